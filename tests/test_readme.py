"""README.md and docs/ are true: numbers are those of results/metrics.json, parameters those of params.yaml."""

import hashlib
import json
import re
import subprocess
import tomllib
from pathlib import Path

import pandas as pd
import pytest
import yaml

from docs import listings, readme
from stages import training
from stages.evidence.claims import CLAIMS
from stages.params import load_params
from stages.tracking.views import view_tags
from studies.experiments import load_studies
from studies.measures import Number
from studies.report import read_numbers

READINGS = ("same_rate", "best_rate", "itself")

ROOT = Path(__file__).parents[1]
PAGES = {path.relative_to(ROOT).as_posix(): path.read_text() for path in (*ROOT.glob("*.md"), *ROOT.glob("docs/*.md"))}
README = PAGES["README.md"]
TARGETS = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.M))
CLAIM = {"verdict": "refuted", "estimate": 1.684, "ci_low": 1.335, "ci_high": 2.033}


def committed(path: str) -> str:
    """Return a file of the last commit: what the workspace has may be an experiment's, or of another processor."""
    return subprocess.check_output(["git", "show", f"HEAD:{path}"], cwd=ROOT, text=True)


METRICS = json.loads(committed("results/metrics.json"))


def test_readme_holds_the_committed_results() -> None:
    assert readme.write_results(README, METRICS, yaml.safe_load(committed("params.yaml"))) == README
    assert {claim.name for claim in CLAIMS} == set(readme.CLAIMS)
    assert METRICS["difference"]["ci_low"] > 0  # "batch normalization helps this network on average"


def test_the_served_page_is_that_of_the_committed_run() -> None:
    served = subprocess.run(["git", "show", "HEAD:docs/index.html"], cwd=ROOT, capture_output=True, check=False)
    if served.returncode:
        pytest.skip("docs/index.html is not committed: `make page` writes it")
    outs = yaml.safe_load(committed("dvc.lock"))["stages"]["compare"]["outs"]
    report = next(out for out in outs if out["path"] == "results/report.html")
    assert hashlib.md5(served.stdout).hexdigest() == report["md5"]


def test_the_picture_of_the_page_is_small() -> None:
    assert (ROOT / "docs/page.png").stat().st_size < 150_000


def test_readme_holds_what_the_studies_found() -> None:
    numbers = read_numbers(ROOT / "studies/results.csv")
    assert readme.write_studies(README, load_studies(), numbers) == README
    seconds = pd.read_csv(ROOT / "benchmarks/seconds.csv")
    assert readme.write_control(README, METRICS, numbers["batch"], seconds) == README


@pytest.mark.parametrize(
    ("low", "high", "said"),
    [(-0.3, 0.5, "neither is shown to be faster"), (-0.3, -0.1, "still faster"), (0.1, 0.5, "slower")],
)
def test_in_seconds_no_more_is_said_than_the_interval_bears(low: float, high: float, said: str) -> None:
    row = {"reading": "same_rate", "ms": (low + high) / 2, "ms_ci_low": low, "ms_ci_high": high}
    row |= {"baseline_ms_per_epoch": 0.02, "bn_ms_per_epoch": 0.03}
    sentence = readme.state_seconds(pd.DataFrame([row]))
    assert f"1.5 times as much with batch normalization, {said}" in sentence.replace("it is ", "")
    assert f"[{low:+.2f}, {high:+.2f}] ms" in sentence


def test_what_more_pairs_decide_is_said_with_the_command() -> None:
    here = {"verdict": "inconclusive", "best_rate": {"verdict": "inconclusive"}, "itself": {"verdict": "supported"}}
    claims = dict.fromkeys(readme.CLAIMS, here)
    more = {f"{name}_{reading}": Number("", "", 0.1, verdict="inconclusive") for name in claims for reading in READINGS}
    more["share"] = Number("share", "", 0.85, 0.7, 1.0, n=256)
    assert readme.state_more_pairs(claims, more) == ""
    more["steadier_best_rate"] = Number("", "", 0.1, verdict="refuted")
    more["steadier_itself"] = Number("", "", 0.1, verdict="refuted")  # decided already
    assert readme.state_more_pairs(claims, more) == (
        "What stays open above and 256 pairs decide (`dvc exp run -S seeds=256`): is steadier (at best rates): refuted."
    )


def test_tables_of_a_run() -> None:
    metrics = {
        "baseline": {"val_accuracy": 0.5919, "val_loss": 0.658},
        "bn": {"val_accuracy": 0.6553, "val_loss": 0.6651},
        "difference": {"val_accuracy": 0.0634, "ci_low": 0.0383, "ci_high": 0.0885, "p_value": 0.034}
        | {"val_loss": 0.0071, "val_loss_ci_low": -0.01, "val_loss_ci_high": 0.024},
        "claims": dict.fromkeys(readme.CLAIMS, CLAIM) | {"regularizes": {"verdict": "not measured", "estimate": None}},
    }
    params = {"epochs": 20, "lr": 0.1, "evidence": {"alpha": 0.1}}
    answer = readme.tabulate_answer(metrics, params)
    assert "after 20 epochs at learning rate 0.1" in answer
    assert "90% interval" in answer
    assert "| validation accuracy | 0.592 | 0.655 | +0.063 [+0.038, +0.088], p = 0.034 |" in answer
    assert "| validation loss, nats | 0.658 | 0.665 | +0.007 [-0.010, +0.024] |" in answer
    claims = readme.tabulate_claims(metrics["claims"], params)
    assert "| with - without, 90% interval |" in claims
    assert "| trains faster | refuted | +1.7 [+1.3, +2.0] epochs |\n" in claims
    assert claims.endswith("| allows higher learning rates | refuted | +1.68 [+1.33, +2.03] decades |")
    assert "| regularizes | not measured |  |\n" in claims


def test_table_of_claims_that_were_read_in_other_ways() -> None:
    others = {"best_rate": {"verdict": "supported"}, "itself": {"verdict": "inconclusive"}, "summary": "depends"}
    claims = readme.tabulate_claims(dict.fromkeys(readme.CLAIMS, CLAIM | others), {"evidence": {"alpha": 0.05}})
    head, _, first = claims.splitlines()[:3]
    assert head.endswith("| with - without, 95% interval | at best rates | network itself | in all |")
    assert first.endswith("epochs | supported | inconclusive | depends |")
    assert claims.endswith(readme.EXPLANATION)


def test_insert_replaces_what_stands_between_the_marks() -> None:
    text = "head\n<!-- `make readme` writes: block -->\nold\n<!-- block end -->\nfoot\n"
    written = readme.insert(text, "block", "new\nlines")
    assert written == "head\n<!-- `make readme` writes: block -->\nnew\nlines\n<!-- block end -->\nfoot\n"
    assert readme.insert(written, "block", "old") == text


def test_readme_is_short() -> None:
    assert len(README.split()) < 1300


def test_table_of_parameters_holds_every_key_and_every_default() -> None:
    rows = re.findall(r"^\| (`.*?) \| (.*?) \|", PAGES["docs/parameters.md"], re.M)
    documented = {}
    for keys, defaults in rows:
        names = re.findall(r"`([\w.]+)`", keys)
        values = [defaults] if len(names) == 1 else re.split(r", (?![^\[]*\])", defaults)
        documented |= dict(zip(names, values, strict=True))
    params = load_params(ROOT / "params.yaml").flat()
    assert set(documented) == set(params)
    for key, text in documented.items():
        value = [float(rate) for rate in text.split(", ")] if key == "lr_sweep" else yaml.safe_load(text)
        assert value == params[key], key


@pytest.mark.parametrize("page", PAGES)
def test_every_file_that_a_page_links_to_is_there(page: str) -> None:
    for target in re.findall(r"\]\(([^)#]+)[^)]*\)", PAGES[page]):
        assert target.startswith("http") or (ROOT / page).parent.joinpath(target).exists(), target


@pytest.mark.parametrize("page", PAGES)
def test_every_heading_that_a_page_links_to_is_there(page: str) -> None:
    for target, place in re.findall(r"\]\(([^)#:]*\.md)#([^)]+)\)", PAGES[page]):
        text = (ROOT / page).parent.joinpath(target).read_text()
        assert place in map(readme.anchor, re.findall(r"^#+ (.*)", text, re.M)), place


@pytest.mark.parametrize("page", PAGES)
def test_every_make_target_that_a_page_names_is_there(page: str) -> None:
    named = re.findall(r"(?:`|^|\$ )make ([a-z-]+)", PAGES[page], re.M)
    assert set(named) <= TARGETS


def test_every_file_and_name_in_the_guide_is_there() -> None:
    guide = PAGES["CONTRIBUTING.md"]
    paths = {path.replace("NAME", "tutorial") for path in re.findall(r"`([\w./]+(?:\.\w+|/))`", guide) if "/" in path}
    assert len(paths) > 20
    assert [path for path in paths if not (ROOT / path).exists()] == []
    code = "".join(path.read_text() for folder in ("stages", "studies") for path in ROOT.glob(f"{folder}/**/*.py"))
    names = set(re.findall(r"`([A-Z][A-Za-z_]{4,}|_[a-z]+|[a-z]+_[a-z]+)`", guide)) - {"CHANGELOG"}
    assert len(names) > 8
    assert [name for name in names if name not in code] == []


def test_axes_of_the_guide_are_those_of_the_code() -> None:
    defined = re.findall(r"^    ([A-Z])  (.*)", training.__doc__, re.M)
    listed = re.findall(r"^\| `([A-Z])` \| (.*) \|", PAGES["CONTRIBUTING.md"], re.M)
    assert [axis for axis, _ in listed] == [axis for axis, _ in defined]


def test_every_saved_view_of_the_mlflow_ui_is_named() -> None:
    names = {json.loads(view)["name"] for view in view_tags().values()}
    assert names == set(re.findall(r"^- \*([^*]+)\*:", PAGES["docs/mlflow.md"], re.M))
    assert all(f"*{name}*" in README for name in names)


def test_the_build_for_the_processor_is_that_of_the_pinned_version() -> None:
    (pinned,) = re.findall(r"^torch==.*", (ROOT / "requirements.lock").read_text(), re.M)
    assert f"pip install {pinned} --index-url https://download.pytorch.org/whl/cpu\n" in README


def test_release_is_one_everywhere() -> None:
    version = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text())
    assert citation["version"] == version
    assert f"## [{version}] - {citation['date-released']}" in PAGES["CHANGELOG.md"]


class Echo(listings.Shell):
    """Answers each command by its last word, in a line with blanks at the end."""

    def __init__(self) -> None:
        self.commands: list[str] = []

    def run(self, command: str) -> str:
        self.commands.append(command)
        return f"{command.split()[-1]}   \n\n"


def test_text_after_commands_is_what_the_last_one_printed() -> None:
    commands = "```console\nmake it\nsay one\n```\n"
    page = f"{commands}words\n```text\nold\nolder\n```\n```\nsay no\n```\n{commands}"
    shell = Echo()
    written = listings.run_page(page, shell)
    assert written == page.replace("old\nolder\n", "one\n")
    assert shell.commands == ["make it", "say one"] * 2


def test_listing_of_a_run_is_its_result_and_the_verdicts() -> None:
    printed = (
        "Running stage\nFinal validation accuracy at 1\n  a  \n\nverdict\n  b  \n\nsame rate\n\nReport: x\nMLflow\n"
    )
    assert listings.shorten(printed) == "Final validation accuracy at 1\n  a\n\nverdict\n  b"


def test_readme_holds_how_often_equal_networks_are_called_different() -> None:
    table = (ROOT / "benchmarks/calibration.md").read_text()
    rows = re.findall(r"any claim called \| <= 0\.05 \| ([0-9.]+) \[.*?\] \| (\d+) \|", table)
    assert {int(trials) for _, trials in rows} == {200}
    most = max(round(float(rate) * 200) for rate, _ in rows)
    assert (
        f"Of 200 comparisons of networks with themselves, on batches\n  in another order, at most {most} had" in README
    )


def test_an_exercise_is_a_question_and_one_command_and_its_answer_is_folded_away() -> None:
    intro, *exercises = re.split(r"^## \d\. .*$", PAGES["docs/exercises.md"], flags=re.M)
    assert len(exercises) == 8
    assert "Each exercise is a question and one command" in intro
    for number, exercise in enumerate(exercises, start=1):
        question, command, answer = re.split(r"```(?:console)?\n", exercise, maxsplit=2)
        assert "?" in question
        assert re.fullmatch(rf"dvc exp run --temp --name exercise-{number} -S [^\n]+\n", command)
        assert answer.strip().startswith("<details><summary>What was found</summary>")
        assert answer.strip().endswith("</details>")


def test_what_takes_minutes_says_so_before_it_begins() -> None:
    command = ["make", "--just-print", "--always-make", ".venv/installed"]
    printed = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout
    told, installs = printed.index("echo 'Installing the packages"), printed.index("pip install")
    assert told < installs
    assert "--quiet" not in printed


def test_readme_holds_how_fast_many_networks_train() -> None:
    table = (ROOT / "benchmarks/peers.md").read_text()
    times = re.search(
        r"## The default network, without.*?\| this project \| 448 \| [0-9.]+ \| (\d+) \|", table, re.DOTALL
    )[1]
    assert f"All 448 networks of an arm train as one module: {times}\n  times the networks per second" in README
