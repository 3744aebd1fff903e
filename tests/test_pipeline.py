"""The whole, as people use it: real `dvc` in a fresh clone, with an empty home and no git identity."""

import hashlib
import json
import re
import sys
from pathlib import Path

import mlflow
import numpy as np
import pandas as pd
import pytest
import scipy.stats
import torch
import yaml
from conftest import ARM_FILES, EPOCHS, SEEDS, copy_project, run
from mlflow import MlflowClient

from stages.training.diagnostics import DIAGNOSTICS
from stages.training.network import load_network

FIGURES = ["pairs", "boundaries", "learning_rates", "covariate_shift", "landscape", "dead_layers"]
OUTPUTS = [
    "data/train.csv",
    "data/val.csv",
    "data/classes.json",
    *(f"results/{arm}/{name}" for arm in ("baseline", "bn") for name in ARM_FILES),
    "results/claims.csv",
    "results/comparison.png",
    "results/metrics.json",
    "results/pairs.csv",
    "results/report.html",
    *(f"results/figures/{name}.png" for name in FIGURES),
]


@pytest.fixture(scope="module")
def project(small_project: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the small project. Leave no trace but runs."""
    return copy_project(small_project, tmp_path_factory.mktemp("pipeline") / "project")


def client(project: Path) -> MlflowClient:
    return MlflowClient(f"sqlite:///{project / 'mlflow.db'}")


def runs(project: Path, where: str = "") -> list[mlflow.entities.Run]:
    store = client(project)
    return store.search_runs([store.get_experiment_by_name("batch-normalization").experiment_id], where)


def arm_runs(project: Path, where: str = "") -> dict[str, mlflow.entities.Run]:
    """Return the newest run of each stage, without the children."""
    found = [found for found in runs(project, where) if "mlflow.parentRunId" not in found.data.tags]
    return {found.data.tags["dvc.stage"]: found for found in reversed(found)}


def checksums(project: Path) -> dict[str, str]:
    return {name: hashlib.md5((project / name).read_bytes()).hexdigest() for name in OUTPUTS}


def test_second_repro_runs_nothing(project: Path) -> None:
    assert "Running stage" not in run(["dvc", "repro"], project)
    assert run(["git", "status", "--porcelain"], project) == ""


def test_results_have_the_documented_form(project: Path) -> None:
    metrics = json.loads((project / "results/metrics.json").read_text())
    claims = metrics.pop("claims")
    assert list(claims) == list(pd.read_csv(project / "results/claims.csv")["name"])
    numbers = ("verdict", "estimate", "ci_low", "ci_high")
    assert {tuple(claim) for claim in claims.values()} == {(*numbers, "p_holm", "summary", "best_rate", "itself")}
    assert {tuple(claim["best_rate"]) for claim in claims.values()} == {numbers}
    measures = ["train_loss", "train_accuracy", "val_loss", "val_accuracy"]
    assert {group: list(values) for group, values in metrics.items()} == {
        "baseline": measures,
        "bn": measures,
        "difference": [
            "val_accuracy",
            "ci_low",
            "ci_high",
            "p_value",
            "val_loss",
            "val_loss_ci_low",
            "val_loss_ci_high",
        ],
    }
    history = pd.read_parquet(project / "results/bn/history.parquet")
    assert len(history) == 4 * SEEDS * (EPOCHS + 1)
    diagnostics = pd.read_parquet(project / "results/bn/diagnostics.parquet")
    assert len(diagnostics) == SEEDS * (EPOCHS + 1)  # at the headline learning rate alone
    assert diagnostics.loc[diagnostics["epoch"] > 0, list(DIAGNOSTICS)].notna().all(axis=None)
    last = history[(history["lr"] == 0.001) & (history["epoch"] == EPOCHS)]
    assert metrics["bn"]["val_accuracy"] == pytest.approx(last["val_accuracy"].mean())
    difference = metrics["bn"]["val_accuracy"] - metrics["baseline"]["val_accuracy"]
    assert metrics["difference"]["val_accuracy"] == pytest.approx(difference)
    by_arm = {}
    for arm in ("baseline", "bn"):
        losses = pd.read_parquet(project / f"results/{arm}/history.parquet")
        by_arm[arm] = losses[(losses["lr"] == 0.001) & (losses["epoch"] == EPOCHS)]["val_loss"].to_numpy()
    interval = scipy.stats.ttest_rel(by_arm["bn"], by_arm["baseline"]).confidence_interval()
    found = metrics["difference"]
    assert (found["val_loss_ci_low"], found["val_loss_ci_high"]) == pytest.approx((interval.low, interval.high))


def test_store_holds_a_run_per_arm_with_all_it_promises(project: Path) -> None:
    assert {found.info.status for found in runs(project)} == {"FINISHED"}
    by_stage = arm_runs(project)
    lock = yaml.safe_load((project / "dvc.lock").read_text())["stages"]
    for arm in ("baseline", "bn"):
        found = by_stage[f"train_{arm}"]
        outs = {out["path"]: out["md5"] for out in lock[f"train_{arm}"]["outs"]}
        assert found.data.tags["history.md5"] == outs[f"results/{arm}/history.parquet"]
        assert found.data.params["model.hidden"] == "[2, 2]"
        for name in ("train_loss", "val_accuracy", "val_accuracy_ci_low", "val_accuracy_ci_high"):
            assert len(client(project).get_metric_history(found.info.run_id, name)) == EPOCHS + 1
        children = runs(project, f"tags.`mlflow.parentRunId` = '{found.info.run_id}'")
        assert {child.data.params["lr"] for child in children} == {"0.001", "0.1", "0.3", "1.0"}
        artifacts = {file.path for file in client(project).list_artifacts(found.info.run_id)}
        assert artifacts == ARM_FILES
        model = client(project).get_logged_model(found.outputs.model_outputs[0].model_id)
        shown = {metric.key: metric.value for metric in model.metrics}
        assert shown["val_accuracy"] == found.data.metrics["val_accuracy"]  # of the last epoch, not of the first
        inputs = {entry.dataset.name: entry.dataset.digest for entry in found.inputs.dataset_inputs}
        tables = [dep for dep in lock[f"train_{arm}"]["deps"] if dep["path"].endswith(".csv")]
        assert inputs == {Path(dep["path"]).stem: dep["md5"] for dep in tables}
        assert by_stage["compare"].data.tags[f"{arm}.run_id"] == found.info.run_id
    metrics = json.loads((project / "results/metrics.json").read_text())
    compared = by_stage["compare"].data
    assert compared.metrics["difference.p_value"] == metrics["difference"]["p_value"]
    for name, claim in metrics["claims"].items():
        assert compared.tags[f"claims.{name}"] == claim["verdict"]
        assert compared.metrics.get(f"claims.{name}.estimate") == claim["estimate"]


def test_logged_model_predicts_what_model_pt_predicts(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{project / 'mlflow.db'}")
    for arm in ("baseline", "bn"):
        logged = mlflow.pyfunc.load_model(f"runs:/{arm_runs(project)[f'train_{arm}'].info.run_id}/{arm}")
        rows = pd.read_csv(project / "data/val.csv").drop(columns="label").to_numpy(np.float32)
        with torch.no_grad():
            expected = load_network(project / f"results/{arm}/model.pt")(torch.from_numpy(rows)).numpy()
        np.testing.assert_allclose(logged.predict(rows), expected, rtol=1e-6)
        assert logged.metadata.signature.inputs.input_types()[0] == np.float32


def test_a_terminal_shows_progress(tried_project: Path) -> None:
    shown = (tried_project.parent / "printed.txt").read_bytes().decode()  # with each carriage return
    for arm in ("baseline", "bn"):
        *_, last = re.findall(rf"{arm}[^:]*: 16 networks:[^\r\n]*", shown)
        assert re.search(r": 100%.* 5/5 \[[\d:]+<.*train=\d\.\d+, val=\d\.\d+", last), shown


def test_repro_by_force_writes_the_same_bytes(project: Path) -> None:
    before = checksums(project)
    run(["dvc", "repro", "--force", "train_baseline", "train_bn"], project)
    assert checksums(project) == before


def test_progress_is_quiet_elsewhere(small_project: Path) -> None:
    printed = (small_project.parent / "printed.txt").read_text()
    for arm in ("baseline", "bn"):
        said = re.search(rf"> python -m stages\.train_{arm}\n(.*?)Updating lock file", printed, re.S)[1]
        assert said == "", printed


STALE = {
    "stages/tracking/views.py": set(),
    "stages/tracking/outbox.py": set(),
    "stages/engine.py": set(),
    "stages/evidence/paired.py": {"compare"},
    "stages/evidence/figures.py": {"compare"},
    "stages/training/layers.py": {"train_baseline", "train_bn"},
    "stages/datasets/sources.py": {"generate_data"},
    "data/own/mine.csv": {"generate_data"},
    "stages/training/__pycache__/loop.cpython-399.pyc": set(),
}
CHANGE_EACH = """
import json, sys
from pathlib import Path
from dvc.repo import Repo

for path in map(Path, sys.argv[1:]):
    before = path.read_bytes() if path.exists() else None
    path.parent.mkdir(exist_ok=True)
    path.write_bytes((before or b"a,label\\n") + b"# changed\\n")
    print(json.dumps(list(Repo().status())))
    path.unlink() if before is None else path.write_bytes(before)
"""


def test_a_change_reruns_what_depends_on_it(project: Path) -> None:
    """In one process: to import DVC takes longer than all it does here."""
    printed = run([sys.executable, "-c", CHANGE_EACH, *STALE], project)
    assert dict(zip(STALE, (set(json.loads(line)) for line in printed.splitlines()), strict=True)) == STALE


def test_a_wrong_value_stops_the_pipeline_in_one_line_and_loses_nothing(project: Path) -> None:
    before, runs_before = checksums(project), len(runs(project))
    printed = run(
        ["dvc", "exp", "run", "-S", "data.source=nowhere.csv", "-S", "data.val_fraction=0.3"], project, fails=True
    )
    assert "data.source = 'nowhere.csv': no such file" in printed
    assert "Traceback" not in printed
    printed = run(["dvc", "exp", "run", "-S", "data.source=tutorial_rings", "-S", "lr=fast"], project, fails=True)
    assert "params.yaml: lr = 'fast': expected a number from 1e-10 to 1e10\n" in printed
    assert "Traceback" not in printed
    assert len(runs(project)) == runs_before
    run(["git", "checkout", "--quiet", "params.yaml"], project)
    run(["dvc", "checkout"], project)
    assert checksums(project) == before
    assert run(["git", "status", "--porcelain"], project) == ""


def test_a_csv_of_ones_own_and_a_batch_of_one(project: Path) -> None:
    random = np.random.default_rng(0)
    table = pd.DataFrame(random.normal(size=(42, 3)), columns=["size", "weight", "flat"]).assign(flat=1.0)
    table.assign(kind=np.where(table["size"] > 0, "big", "small")).to_csv(project / "data/own/mine.csv", index=False)
    printed = run(
        ["dvc", "exp", "run", "-S", "data.source=data/own/mine.csv", "-S", "batch_size=16", "train_baseline"], project
    )
    assert "warning: data/own/mine.csv: column 'flat' is constant" in printed
    assert "note: 1 example is left out of each epoch" in printed
    assert list(pd.read_csv(project / "data/train.csv").columns) == ["size", "weight", "flat", "label"]
    (project / "data/own/mine.csv").unlink()
    run(["git", "reset", "--hard", "--quiet"], project)
    run(["dvc", "checkout"], project)
