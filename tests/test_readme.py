"""The README is true: its numbers are those of results/metrics.json, its parameters those of params.yaml."""

import json
import re
import subprocess
from pathlib import Path

from stages.params import load_params
from stages.tracking.views import view_tags

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text()
# The committed numbers: those in the workspace may be of an experiment, or of a machine that rounds differently.
METRICS = json.loads(subprocess.check_output(["git", "show", "HEAD:results/metrics.json"], cwd=ROOT))


def test_answer_table_holds_the_numbers_of_metrics_json() -> None:
    baseline, bn, difference = METRICS["baseline"], METRICS["bn"], METRICS["difference"]
    assert difference["p_value"] < 0.001
    interval = f"[{difference['ci_low']:+.3f}, {difference['ci_high']:+.3f}]"
    assert (
        f"| validation accuracy | {baseline['val_accuracy']:.3f} | {bn['val_accuracy']:.3f}"
        f" | {difference['val_accuracy']:+.3f} {interval} | < 0.001 |"
    ) in README
    assert f"| validation loss (nats) | {baseline['val_loss']:.3f} | {bn['val_loss']:.3f} | | |" in README
    assert f"by {100 * difference['val_accuracy']:.0f} points of accuracy" in README
    assert bn["val_loss"] > baseline["val_loss"]  # "The mean validation loss is not better"


def test_table_of_claims_holds_the_verdicts_of_metrics_json() -> None:
    formats = {
        "trains faster": ("faster_training", "+.1f"),
        "ends more accurate": ("higher_accuracy", "+.3f"),
        "is steadier": ("steadier", "+.4f"),
        "reduces internal covariate shift": ("less_covariate_shift", "+.2f"),
        "regularizes": ("regularizes", "+.2f"),
        "allows higher learning rates": ("higher_learning_rates", "+.2f"),
    }
    assert {name for name, _ in formats.values()} == set(METRICS["claims"])
    for words, (name, form) in formats.items():
        claim = METRICS["claims"][name]
        (row,) = re.findall(rf"^\| {words} \| (.*) \|$", README, re.M)
        assert row.startswith(claim["verdict"]) or row.startswith(f"**{claim['verdict']}**")
        if claim["estimate"] is not None:
            low, estimate, high = (format(claim[key], form) for key in ("ci_low", "estimate", "ci_high"))
            assert f"{estimate} [{low}, {high}]" in row


def test_parameter_table_holds_every_key_and_no_other() -> None:
    table = README.split("## Parameters")[1]
    documented = {key for row in re.findall(r"^\| (`.*?) \|", table, re.M) for key in re.findall(r"`([a-z_.]+)`", row)}
    assert documented == set(load_params(ROOT / "params.yaml").flat())


def test_every_file_that_it_links_to_is_there() -> None:
    for target in re.findall(r"\]\(([^)#]+)\)", README):
        assert target.startswith("http") or (ROOT / target).exists(), target


def test_every_make_target_that_it_names_is_there() -> None:
    targets = set(re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(), re.M))
    assert set(re.findall(r"`make ([a-z]+)`|^make ([a-z]+)", README, re.M)) <= {(name, "") for name in targets} | {
        ("", name) for name in targets
    }


def test_every_saved_view_of_the_mlflow_ui_has_its_link() -> None:
    views = {tag.removeprefix("mlflow.sharedViewState.") for tag in view_tags()}
    assert set(re.findall(r"viewStateShareKey=([\w-]+)", README)) == views
