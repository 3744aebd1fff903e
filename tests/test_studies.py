"""The studies: their files, their statistics, the runner in a real clone, the text against the committed numbers."""

import json
import re
from itertools import combinations
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
import scipy.stats
import yaml
from conftest import EPOCHS, RATES, SEEDS, copy_project, run
from sklearn.datasets import make_circles

from stages import MEASURES as MEASURES_OF_EPOCHS
from stages import InputError
from stages.datasets import load_source, read_csv, split_rows
from stages.evidence.trainings import Curves
from stages.params import load_params
from studies import dropout, measures, report
from studies.depth import gradient_growth
from studies.experiments import STUDIES, Study, Variant, choose_studies, is_current, load_studies, run_missing, spread
from studies.green_line import FACTORS, SPLITS, worth_of_factors
from studies.measures import (
    Number,
    claim_number,
    crossed_mean_of,
    mean_of,
    ratio_of,
    ratio_slope_of,
    reaches,
    shapley,
    share_of,
    slopes,
)
from studies.overfit import _measure, last_epochs
from studies.rows import variances
from studies.side_by_side import Ended, SideBySide
from studies.sigmoid import MEASURES, stability

ROOT = Path(__file__).parents[1]
ALL = {study.name: study for study in load_studies()}
VARIANTS = [variant for study in ALL.values() for variant in study.variants.values()]
NUMBERS = report.read_numbers(ROOT / report.RESULTS)


def test_every_study_has_a_file_and_a_module() -> None:
    files = {path.stem for path in (ROOT / "studies").glob("*.yaml")}
    assert files == set(STUDIES)
    assert {f"{name}.py" for name in STUDIES} <= {path.name for path in (ROOT / "studies").glob("*.py")}


def test_experiments_have_names_of_their_own() -> None:
    assert len({variant.experiment for variant in VARIANTS}) == len(VARIANTS)


def test_studies_can_be_named() -> None:
    assert [study.name for study in choose_studies(["rows", "tutorial"])] == ["tutorial", "rows"]
    assert [study.name for study in choose_studies([])] == list(STUDIES)
    with pytest.raises(InputError, match=r"^study 'row': expected one of tutorial, green_line, "):
        choose_studies(["tutorial", "row"])


def test_a_study_that_is_written_anew_leaves_the_others_as_they_are(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = (ROOT / report.RESULTS).read_text()
    monkeypatch.setattr(report, "RESULTS", tmp_path / "results.csv")
    report.RESULTS.write_text(f"{before}renamed,old,a number,1,,,3,,,0\n")  # a study that is gone
    found = SimpleNamespace(numbers=list(NUMBERS["depth"].values()))
    report.write_table(report.tabulate({"depth": found}))
    assert report.RESULTS.read_text() == before
    found = SimpleNamespace(numbers=[Number("new", "a number", 0.1234567, n=3)])
    report.write_table(report.tabulate({"depth": found}))
    lines = report.RESULTS.read_text().splitlines()
    assert [line for line in lines if line.startswith("depth,")] == ["depth,new,a number,0.123457,,,3,,,0"]
    assert [line for line in before.splitlines() if not line.startswith("depth,")] == [
        line for line in lines if not line.startswith("depth,")
    ]


@pytest.mark.parametrize("variant", VARIANTS, ids=lambda variant: variant.experiment)
def test_overrides_are_valid_params(variant: Variant, tmp_path: Path) -> None:
    default = yaml.safe_load((ROOT / "params.yaml").read_text())
    path = tmp_path / "params.yaml"
    path.write_text(yaml.safe_dump(variant.params(default)))
    flat = load_params(path).flat()
    assert {key: flat[key] for key in variant.overrides} == variant.overrides


def test_overrides_are_passed_on_as_dvc_reads_them() -> None:
    variant = Variant("name", {"model.hidden": [3, 2], "bn.momentum": None, "data.split": "tail", "lr": 0.01})
    assert variant.arguments() == [
        *("-S", "model.hidden=[3, 2]"),
        *("-S", "bn.momentum=null"),
        *("-S", "data.split=tail"),
        *("-S", "lr=0.01"),
    ]


def test_a_key_that_is_not_there_is_an_error() -> None:
    with pytest.raises(KeyError, match="hiden"):
        Variant("name", {"model.hiden": [3, 2]}).params({"model": {"hidden": [2, 2]}})


def test_shapley_values_by_hand() -> None:
    worth = {
        frozenset(): np.array([0.0, 10.0]),
        frozenset("a"): np.array([1.0, 10.0]),
        frozenset("b"): np.array([2.0, 10.0]),
        frozenset("ab"): np.array([7.0, 16.0]),
    }
    parts = shapley("ab", worth)
    assert parts["a"].tolist() == [(1 + 5) / 2, 3]
    assert parts["b"].tolist() == [(2 + 6) / 2, 3]


def test_shapley_values_add_up_and_are_fair() -> None:
    random = np.random.default_rng(0)
    worth = {frozenset(chosen): random.normal(size=5) for size in range(4) for chosen in combinations("abc", size)}
    parts = shapley("abc", worth)
    np.testing.assert_allclose(sum(parts.values()), worth[frozenset("abc")] - worth[frozenset()])
    additive = {
        chosen: np.array([{"a": 1, "b": 2, "c": 4}[factor] for factor in chosen]).sum(keepdims=True) for chosen in worth
    }
    assert {factor: part.item() for factor, part in shapley("abc", additive).items()} == pytest.approx(
        {"a": 1, "b": 2, "c": 4}
    )


def test_the_gap_is_split_by_hand() -> None:
    accuracies = {
        (2, False, "tail"): 0.50,
        (3, False, "tail"): 0.60,
        (2, True, "tail"): 0.55,
        (3, True, "tail"): 0.80,
        (2, False, "shuffled"): 0.60,
        (3, False, "shuffled"): 0.60,
        (2, True, "shuffled"): 0.70,
        (3, True, "shuffled"): 0.70,
    }
    parts = shapley(
        ["neuron", "bn", "split"], worth_of_factors({cell: np.array([a]) for cell, a in accuracies.items()})
    )
    # Each line: what a factor adds in the six orders; the split alone adds nothing.
    by_hand = {
        "neuron": (0 + 0 + 0 + 0.25 + 0.10 + 0.25) / 6,
        "bn": (0.1 + 0.1 + 0.1 + 0.20 + 0.05 + 0.20) / 6,
        "split": (0 + 0 + 0.2 + 0.10 - 0.05 + 0.2) / 6,
    }
    assert sum(by_hand.values()) == pytest.approx(0.3)
    assert {factor: part.item() for factor, part in parts.items()} == pytest.approx(by_hand)


def test_the_gap_is_split_shuffle_by_shuffle() -> None:
    random = np.random.default_rng(0)
    one = {(w, bn, split): random.uniform(size=5) for w in (2, 3) for bn in (False, True) for split in SPLITS}
    other = {cell: random.uniform(size=5) if cell[-1] == "shuffled" else value for cell, value in one.items()}
    both = {cell: np.stack([one[cell], other[cell]]) if cell[-1] == "shuffled" else one[cell] for cell in one}
    parts, *by_shuffle = (shapley(list(FACTORS), worth_of_factors(cells)) for cells in (both, one, other))
    for factor, part in parts.items():
        np.testing.assert_allclose(part, [of_shuffle[factor] for of_shuffle in by_shuffle])
    gap = one[3, True, "tail"] - one[2, False, "tail"]
    np.testing.assert_allclose(sum(parts.values()), [gap, gap])


def test_the_rows_that_are_shuffled_are_the_tutorials() -> None:
    overrides = [variant.overrides for variant in ALL["green_line"].variants.values()]
    (path,) = {override["data.source"] for override in overrides}
    rows = read_csv(ROOT / path)
    tutorial = load_source(load_params(ROOT / "params.yaml").data)
    assert (rows.columns, rows.classes) == (tutorial.columns, tutorial.classes)
    np.testing.assert_allclose(rows.x, tutorial.x, rtol=1e-12)
    np.testing.assert_array_equal(rows.y, tutorial.y)
    shuffles = {
        split_rows(rows, split="shuffled", val_fraction=0.2, seed=override["data.seed"])[1].tobytes()
        for override in overrides
        if override["data.split"] == "shuffled"
    }
    assert len(shuffles) == NUMBERS["green_line"]["shuffles"].value


def test_equal_steps_are_fewer_epochs_of_small_batches() -> None:
    sizes = [8, 16, 32, 64, 128]
    assert last_epochs("epochs", sizes, rows=128, epochs=400) == [400] * 5
    assert last_epochs("steps", sizes, rows=128, epochs=400) == [25, 50, 100, 200, 400]
    assert last_epochs("steps", [48, 130], rows=130, epochs=6) == [2, 6]  # 48, 48, and 34 rows


def test_networks_are_compared_as_they_are_after_that_epoch() -> None:
    table = pd.DataFrame([(0.1, seed, epoch) for seed in (0, 1) for epoch in range(4)], columns=["lr", "seed", "epoch"])
    for place, name in enumerate(MEASURES_OF_EPOCHS):
        table[name] = 10 * place + table["epoch"] ** 2 + table["seed"] / 2
    at = {name: 10 * place + 2**2 for place, name in enumerate(MEASURES_OF_EPOCHS)}
    assert {name: values.tolist() for name, values in _measure([table, table], 0.1, 2).items()} == {
        "gap": [[at["val_loss"] - at["train_loss"]] * 2] * 2,
        "accuracy": [[at["val_accuracy"], at["val_accuracy"] + 0.5]] * 2,
        "train": [[at["train_accuracy"], at["train_accuracy"] + 0.5]] * 2,
    }


def test_equal_steps_that_are_not_whole_epochs_are_an_error() -> None:
    with pytest.raises(ValueError, match="batches of 8: expected 400 steps to be whole epochs of 17 steps"):
        last_epochs("steps", [8, 130], rows=130, epochs=400)
    with pytest.raises(ValueError, match="largest batch of 128 rows: expected all 130"):
        last_epochs("epochs", [8, 128], rows=130, epochs=400)


def test_slopes_are_those_of_a_least_squares_fit() -> None:
    effects = np.random.default_rng(0).normal(size=(5, 7))
    x = [3, 4, 5, 6, 7]
    np.testing.assert_allclose(slopes(effects, x), np.polyfit(x, effects, 1)[0])


def test_bayes_limit_of_circles_is_what_the_best_guess_gets() -> None:
    x, y = make_circles(200_000, noise=0.1, random_state=0)
    guess = measures.circle_densities(np.hypot(*x.T), 0.1).argmax(axis=0)
    limit = measures.bayes_accuracy_of_circles(0.1)
    assert limit == pytest.approx(0.841, abs=0.0005)
    assert (guess == y).mean() == pytest.approx(limit, abs=4 * np.sqrt(0.25 / len(y)))
    threshold = max(((np.hypot(*x.T) < radius) == y).mean() for radius in np.linspace(0.7, 1.1, 81))
    assert threshold == pytest.approx(limit, abs=0.003)
    densities = measures.circle_densities(np.linspace(0, 3, 10_001), 0.1)
    np.testing.assert_allclose(np.trapezoid(densities, dx=3 / 10_000), 1, atol=1e-6)


def test_stability_of_a_unit_by_hand() -> None:
    unit = np.array([[[0.0], [0], [0], [0]], [[3], [0], [2], [1]], [[2], [1], [7], [6]]])  # 15, 50, 85 in 4 epochs
    found = {name: value.item() for name, value in stability(unit).items()}  # the band is 4 wide on average
    assert found == {
        "median_range": 3 / 4,
        "median_range_late": 1 / 4,
        "width_range": 6 / 4,
        "width_range_late": 1 / 4,
    }
    assert list(found) == list(MEASURES)[-4:]


def test_an_interval_over_shuffles_and_seeds() -> None:
    seeds = np.random.default_rng(0).normal(size=9)
    of_seeds, alike = mean_of("", "", seeds, ""), crossed_mean_of("", "", np.tile(seeds, (4, 1)), "")
    assert (alike.value, alike.ci_low, alike.ci_high) == pytest.approx(
        (of_seeds.value, of_seeds.ci_low, of_seeds.ci_high)
    )  # the shuffles make no difference
    shuffles = crossed_mean_of("", "", np.tile(seeds, (4, 1)).T, "")
    assert (shuffles.ci_low, shuffles.ci_high) == (alike.ci_low, alike.ci_high)
    assert (shuffles.n, shuffles.shuffles) == (alike.shuffles, alike.n) == (4, 9)
    crossed = crossed_mean_of("", "", np.array([[0.0, 2], [4, 6]]), "")  # means 1, 5 and 2, 4: squares 4 + 1
    degrees = 5**2 / (4**2 + 1**2)
    assert (crossed.value, crossed.ci_high) == pytest.approx((3, 3 + scipy.stats.t.ppf(0.975, degrees) * 5**0.5))


def test_values_that_are_all_equal_have_an_interval_of_no_width() -> None:
    number = crossed_mean_of("", "", np.full((2, 3), 0.5), "")
    assert (number.value, number.ci_low, number.ci_high) == (0.5, 0.5, 0.5)


@pytest.mark.parametrize("shape", [(1, 5), (5, 1)])
def test_one_shuffle_or_seed_has_no_interval_over_both(shape: tuple[int, int]) -> None:
    with pytest.raises(ValueError, match=r"gap: expected at least 2 shuffles and 2 seeds, got values of shape \("):
        crossed_mean_of("gap", "", np.zeros(shape), "")


@pytest.mark.parametrize(("interaction", "low", "high"), [(1, 0.94, 0.985), (30, 0.98, 1)])
def test_an_interval_over_shuffles_and_seeds_covers_the_mean(interaction: float, low: float, high: float) -> None:
    random = np.random.default_rng(0)
    found = []
    for _ in range(1000):
        effects = random.normal(size=(8, 1)), 3 * random.normal(size=(1, 50)), random.normal(size=(8, 50))
        number = crossed_mean_of("", "", effects[0] + effects[1] + interaction * effects[2], "")
        found.append(number.ci_low < 0 < number.ci_high)
    assert low < np.mean(found) < high


def test_numbers_come_with_their_intervals() -> None:
    values = np.array([1.0, 2, 3, 4])
    mean = mean_of("mean", "", values, "experiment")
    reach = 3.182446 * np.std(values, ddof=1) / 2
    assert (mean.value, mean.n) == (2.5, 4)
    assert (mean.ci_low, mean.ci_high) == pytest.approx((2.5 - reach, 2.5 + reach))
    share = share_of("share", "", reaches(values / 10, 0.3), "experiment")
    assert (share.value, share.n) == (0.5, 4)
    assert share.ci_low == pytest.approx(0.150, abs=0.001)  # Wilson
    ratio = ratio_of("ratio", "", values, 2 * values, "experiment")
    assert (ratio.value, ratio.ci_low, ratio.ci_high) == (0.5, 0.5, 0.5)
    noise = np.random.default_rng(0).normal(size=(2, 400))
    ratio = ratio_of("ratio", "", 1 + noise[0], 2 + noise[1], "experiment")
    slope = ratio_slope_of(
        "slope", "", np.stack([values, 3 * values]), np.stack([values, values]), [2, 4], "experiment"
    )
    assert (slope.value, slope.ci_low, slope.ci_high) == (1, 1, 1)
    delta = np.sqrt((1 / 4 + 1 / 16) / 400)  # the delta method: var(a / b) for means 1 and 2, variances 1 / 400
    assert (ratio.ci_high - ratio.ci_low) / (2 * 1.96) == pytest.approx(delta, rel=0.15)


def test_variances_between_draws_and_between_pairs_are_told_apart() -> None:
    """The pairs are the same on every draw: what they have in common is not taken for the draw's, nor off it."""
    random = np.random.default_rng(0)
    found = []
    for _ in range(400):
        parts = 0.5 * random.normal(size=(20, 1)), 2 * random.normal(size=(1, 64)), 3 * random.normal(size=(20, 64))
        found.append(variances(sum(parts)))
    assert np.mean(found, axis=0) == pytest.approx([0.25, 4, 9], rel=0.1)
    assert variances(np.tile(random.normal(size=64), (20, 1)))[0] == 0  # never below none


def test_what_dropout_is_compared_by() -> None:
    loss = np.array([[0.9, 0.8], [0.5, 0.7], [0.6, 1.0]])  # (E, S)
    found = dropout.measure(Curves({"train_loss": loss - 0.2, "val_loss": loss, "val_accuracy": loss}.__getitem__))
    assert found["gap"] == pytest.approx([0.2, 0.2])
    assert found["best"] == pytest.approx([0.5, 0.7])  # of the whole training
    assert found["accuracy"] == pytest.approx([0.55, 0.85])


def test_a_number_of_a_claim_is_that_of_its_reading() -> None:
    row = {"name": "steadier", "estimate": 1.0, "ci_low": 0.0, "ci_high": 2.0, "n": 9, "verdict": "refuted"}
    row |= {f"best_rate_{name}": value for name, value in row.items() if name != "name"} | {"best_rate_estimate": 3.0}
    run = SimpleNamespace(experiment="only", claims=lambda: pd.DataFrame([row]))
    assert claim_number("one", "", run, "steadier") == Number("one", "", 1.0, 0.0, 2.0, 9, "only", "refuted")
    assert claim_number("one", "", run, "steadier", "best_rate").value == 3.0


def test_a_template_shows_a_number_with_its_interval_or_alone() -> None:
    numbers = {"gap": Number("gap", "", 0.1234, 0.1, 0.15, 20), "limit": Number("limit", "", 0.841)}
    assert report.fill("{gap:+.2f} of {gap.n},\n {gap.value:.0%}; {limit:.3f}", numbers) == (
        "+0.12 [+0.10, +0.15] of 20, 12%; 0.841"
    )


def test_a_title_has_lines_of_about_one_length() -> None:
    assert report.wrap("short enough") == "short enough"
    title = "word " * 20 + "end"  # 103 letters
    assert report.wrap(title).splitlines() == ["word " * 9 + "word", "word " * 10 + "end"]


def test_seeds_and_shuffles_are_counted_apart() -> None:
    crossed = crossed_mean_of("", "gap", np.array([[0.0, 2, 4], [4, 6, 8]]), "tail")
    table = report._table([crossed, mean_of("", "gap", np.array([1.0, 2]), "tail")])
    assert [row.split(" | ")[3] for row in table.splitlines()[2:]] == ["3 x 2", "2"]


def test_names_with_consecutive_numbers_are_listed_by_first_and_last() -> None:
    assert report.list_names("tail") == "`tail`"
    assert report.list_names("") == ""
    assert report.list_names("two-tail two-9 two-10 two-11 three-12") == "`two-tail`, `two-9` to `11`, `three-12`"
    assert report.list_names("two-8 two-16 two-17 tail head") == "`two-8`, `two-16` to `17`, `tail`, `head`"


@pytest.fixture
def csv_experiment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """The commit of an experiment in the working directory, a repository with rows.csv and params.yaml."""
    monkeypatch.chdir(tmp_path)
    Path("rows.csv").write_text("x,label\n1,0\n")
    Path("params.yaml").write_text("data: {source: rows.csv}\n")
    run(["git", "init", "--quiet"], tmp_path)
    run(["git", "config", "user.name", "Test"], tmp_path)
    run(["git", "config", "user.email", "test@example.org"], tmp_path)
    run(["git", "add", "."], tmp_path)
    run(["git", "commit", "--quiet", "--message", "Experiment"], tmp_path)
    return run(["git", "rev-parse", "HEAD"], tmp_path).strip()


def test_an_experiment_is_outdated_by_the_csv_that_it_reads(csv_experiment: str) -> None:
    assert is_current(csv_experiment, {"data": {"source": "rows.csv"}})
    Path("rows.csv").write_text("x,label\n2,0\n")
    assert not is_current(csv_experiment, {"data": {"source": "rows.csv"}})


def test_an_experiment_is_not_outdated_by_a_csv_that_it_does_not_read(csv_experiment: str) -> None:
    Path("params.yaml").write_text("data: {source: moons}\n")
    run(["git", "commit", "--all", "--quiet", "--message", "Moons"], Path.cwd())
    Path("rows.csv").write_text("x,label\n2,0\n")
    assert is_current("HEAD", {"data": {"source": "moons"}})


@pytest.mark.parametrize(("source", "anew"), [("rows.csv", ["--force"]), ("moons", [])])
def test_what_reads_a_csv_is_not_taken_from_the_run_cache(
    source: str, anew: list[str], csv_experiment: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    runs = []

    def run_none(self: SideBySide, arguments: dict[str, list[str]], outdated: dict[str, str]) -> list[Ended]:
        runs.append(arguments)
        return []

    monkeypatch.setattr(SideBySide, "run", run_none)
    monkeypatch.setattr("studies.experiments.find_missing", lambda variants, default: [] if runs else variants)
    variants = {"only": Variant("name", {"data.source": source})}
    run_missing([Study("study", *[""] * 5, variants=variants, published={}, labels={})])
    assert runs == [{"name": [*anew, "-S", f"data.source={source}"]}]


def test_what_fails_or_gets_lost_beside_others_is_run_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    there: set[str] = set()
    runs = []

    def run_some(self: SideBySide, arguments: dict[str, list[str]], outdated: dict[str, str]) -> list[Ended]:
        runs.append("".join(arguments))
        there.update({"abcd": "a", "cde": "d"}.get(runs[-1], runs[-1]))
        return [Ended("b", 1.0, "the stash is busy")] if runs[-1] == "abcd" else []

    def find_lost(variants: list[Variant], default: dict[str, object]) -> list[Variant]:
        return [variant for variant in variants if variant.experiment not in there]

    monkeypatch.setattr(SideBySide, "run", run_some)
    monkeypatch.setattr("studies.experiments.find_missing", find_lost)
    variants = {name: Variant(name, {"seeds": 1}) for name in "abcd"}
    run_missing([Study("study", *[""] * 5, variants=variants, published={}, labels={})])
    assert runs == ["abcd", "b", "cd"]  # c and d had not started
    there.clear()
    variants = {name: Variant(name, {"seeds": 1}) for name in "cde"}
    run_missing([Study("study", *[""] * 5, variants=variants, published={}, labels={})])
    assert runs[3:] == ["cde", "c", "e"]


def test_what_shares_a_baseline_is_run_far_apart() -> None:
    names = ["a", "a-layer", "b", "a-frozen", "b-layer", "c"]
    variants = [Variant(name, {"seed": name[0], "bn.kind": name}) for name in names]
    in_order = spread(variants, {"seed": 1, "bn": {"kind": "batch"}})
    assert [variant.experiment for variant in in_order] == ["a", "b", "c", "a-layer", "b-layer", "a-frozen"]


RUN = """
import json, sys
from pathlib import Path
from studies.depth import gradient_growth
from studies.experiments import Outputs, experiment_revisions, is_current, load_study, run_missing

study = load_study(Path(sys.argv[1]))
run_missing([study])
variant = study.variants["only"]
outputs = Outputs(variant.experiment, experiment_revisions()[variant.experiment])
history, rows, claims = outputs.history("bn"), outputs.rows("val"), outputs.claims()
with open("stages/evidence/figures.py", "a") as code:
    code.write("# changed")
outdated = not is_current(outputs.revision, outputs.params)
alpha = outputs.params["evidence"]["alpha"]
print(json.dumps([outputs.params["lr"], alpha, len(history), len(rows), int(claims["n"].max()), outdated]))
"""


def run_study(project: Path, overrides: dict[str, object], *, fails: bool = False) -> list[str]:
    """Run a study of one experiment; return the lines that are printed."""
    path = project.parent / "tiny_study.yaml"
    texts = dict.fromkeys(("heading", "title", "question", "source", "finding"), "")
    path.write_text(yaml.safe_dump({**texts, "overrides": {}, "variants": {"only": overrides}}))
    lines = run(["python", "-c", RUN, str(path)], project, fails=fails).splitlines()
    run(["git", "checkout", "--quiet", "stages"], project)
    return lines


def test_what_is_missing_or_outdated_is_run(tried_project: Path, tmp_path: Path) -> None:
    """An experiment stays where its params and code are ours, whatever commit it began at; else it is made anew."""
    project = copy_project(tried_project, tmp_path / "project")
    run(["git", "reset", "--hard", "--quiet"], project)
    run(["dvc", "exp", "rename", "fast", "tiny-study-only"], project)
    run(["git", "commit", "--allow-empty", "--quiet", "--message", "Another baseline"], project)
    rows = len(RATES) * SEEDS * (EPOCHS + 1)
    said, read = run_study(project, {"lr": 0.1})
    assert said == "tiny-study-only: is there"
    assert json.loads(read) == [0.1, 0.05, rows, 100, SEEDS, True]
    said, read = run_study(project, {"evidence.alpha": 0.01})
    assert re.fullmatch(r"1/1 tiny-study-only: \d+ s", said)
    assert json.loads(read) == [0.001, 0.01, rows, 100, SEEDS, True]
    assert run(["dvc", "exp", "list", "--all-commits", "--name-only"], project).split() == ["tiny-study-only"]
    assert run(["git", "status", "--porcelain"], project) == ""  # the workspace is as it was


def test_a_wrong_override_ends_the_run_with_what_dvc_says(small_project: Path, tmp_path: Path) -> None:
    project = copy_project(small_project, tmp_path / "project")
    printed = run_study(project, {"lr": "fast"}, fails=True)
    assert "params.yaml: lr = 'fast': expected a number from 1e-10 to 1e10" in printed
    assert "Traceback" not in "".join(printed)


def test_page_holds_the_committed_numbers() -> None:
    assert (ROOT / report.PAGE).read_text() == report.write_page(list(ALL.values()), NUMBERS)


def test_every_number_names_experiments_of_its_study() -> None:
    for name, study in ALL.items():
        known = {variant.experiment for variant in study.variants.values()}
        for number in NUMBERS[name].values():
            assert set(number.experiments.split()) <= known, number
            assert number.experiments or number.name in ("limit", "limit_here"), number


def below(number: Number, mark: float = 0.0) -> bool:
    return number.ci_high < mark


def above(number: Number, mark: float = 0.0) -> bool:
    return number.ci_low > mark


def test_what_the_text_on_the_tutorial_says_without_numbers() -> None:
    found = NUMBERS["tutorial"]
    reached = ["plain_reached", "bn_reached", "reader_plain_reached", "reader_bn_reached"]
    assert all(above(found[name], 0.1) for name in reached)  # "ordinary outcomes"
    assert above(found["no_better"], 0.1)  # "so is no gain"
    assert found["gap"].value == pytest.approx(NUMBERS["green_line"]["gap_tail"].value)  # the same networks


def test_what_the_text_on_the_green_line_says_without_numbers() -> None:
    found = NUMBERS["green_line"]
    parts = [found[name] for name in ("neuron", "bn", "split")]
    assert sum(part.value for part in parts) == pytest.approx(found["gap_tail"].value, abs=1e-6)
    assert sum(found[name].value for name in ("neuron_tail", "bn_tail")) == pytest.approx(
        found["gap_tail"].value, abs=1e-6
    )
    assert above(found["neuron_tail"])
    assert above(found["bn_tail"])
    assert not above(found["split"])  # "the split does not make it"
    assert found["gap_smallest"].value > found["gap_tail"].value  # "the gap is no artefact of the split"


def test_what_the_text_on_the_second_tutorial_says_without_numbers() -> None:
    found = NUMBERS["circles"]
    for name in ("none", "after", "before"):
        assert 0.05 < found[f"{name}_test_reached"].value < 0.95  # "typical"
    assert found["none_train_reached"].value > 0.1
    assert found["before_train_reached"].value > 0.1
    assert below(found["after_train_reached"], 0.1)  # "lucky"
    assert not above(found["after_gain"])
    assert not below(found["after_gain"], -0.002)  # "changes no accuracy"
    assert below(found["before_gain"])
    assert above(found["after_sooner"])
    assert above(found["before_later"])
    assert found["after_epochs"].value < 20 < found["before_epochs"].value  # "for one of the two"


def test_what_the_text_on_the_sigmoids_says_without_numbers() -> None:
    found = NUMBERS["sigmoid"]
    rates = {number.name: number.value for number in found.values() if number.name.startswith("baseline_at_")}
    assert len(rates) == 6
    lr = ALL["sigmoid"].variants["training"].overrides["lr"]
    assert max(rates, key=rates.get) == f"baseline_at_{lr:g}"  # "ends best"
    assert below(found["steps_difference"])
    assert above(found["accuracy_difference"])
    assert below(found["median_range_difference"])
    assert above(found["median_range_late_difference"])  # "not what the end shows"
    assert above(found["baseline_train"], 0.99)


def test_what_the_text_on_overfitting_says_without_numbers() -> None:
    found, variants = NUMBERS["overfit"], ALL["overfit"].variants.values()
    sizes = [variant.overrides["batch_size"] for variant in variants]
    assert (sizes[0], sizes[-1]) == (8, 128)  # "in batches of 8"
    assert found["rows"].value == sizes[-1]  # "the full batch"
    assert {variant.overrides["epochs"] for variant in variants} == {400}
    for suffix, when in {"": "after 400 steps", "_epochs": "after 400 epochs"}.items():
        assert all(when in found[f"{name}_8{suffix}"].what for name in ("share", "gap", "accuracy"))
    assert "after 100 epochs" in found["early_128"].what
    assert found["share_128"].value == found["share_128_epochs"].value  # of which 400 steps are 400 epochs
    for suffix in ("", "_epochs"):
        assert all(below(found[f"gap_{size}{suffix}"]) for size in sizes)  # "takes away"
        assert below(found[f"share_trend{suffix}"])
        assert below(found["gap_128"], found[f"gap_8{suffix}"].value * 8 / 128)  # "not in proportion to 1/B"
    assert all(below(found[f"accuracy_{size}_epochs"]) for size in sizes)  # "by then it costs accuracy at every size"
    assert not above(found["accuracy_8"])  # "nor a better network"
    assert below(found["gap_trend"])  # "grows with the batch at equal steps": there the change of the gap is negative
    assert above(found["gap_trend_epochs"])  # "shrinks at equal epochs only"
    assert above(found["early_128"])  # "wider"


@pytest.mark.parametrize("study", ALL.values(), ids=ALL)
def test_a_finding_is_three_sentences_under_a_figure(study: Study) -> None:
    text = report.fill(study.finding, NUMBERS[study.name])
    assert len(re.findall(r"\.(?= [A-Z]|$)", text)) == 3, text
    assert "nan" not in text
    assert (ROOT / report.FIGURES / f"{study.name}.png").exists()


def test_gradients_that_grow_by_a_factor_per_layer_show_it() -> None:
    growth = np.array([1.5, 1.0, 0.8])  # of the squared norm, per layer towards the input
    table = pd.DataFrame({"epoch": 1, "seed": range(3)})
    for layer in range(1, 6):
        table[f"layer_gradient_{layer}"] = 9.0 if layer in (1, 5) else (4 - layer) / 2 * np.log10(growth)
    later = table.assign(epoch=2, layer_gradient_2=7.0)
    np.testing.assert_allclose(gradient_growth(pd.concat([table, later]), depth=4), growth)
