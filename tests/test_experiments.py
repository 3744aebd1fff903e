"""Every way to run an experiment logs into the one store: the workspace, `--temp`, and the queue."""

import json
import shutil
import subprocess
import time
from collections import Counter
from pathlib import Path

import pytest
import yaml
from conftest import ARM_FILES, EPOCHS, RATES, environment, run, set_params
from mlflow import MlflowClient
from mlflow.entities import Run

from stages import ARMS

ARM_RUNS = 1 + len(RATES)  # one for the arm, and its children
ARTIFACTS = {
    "train_baseline": ARM_FILES,
    "train_bn": ARM_FILES,
    "compare": {"claims.csv", "comparison.png", "metrics.json", "pairs.csv", "report.html"},
}


@pytest.fixture
def project(small_project: Path, tmp_path: Path) -> Path:
    """A copy of the small project with no store yet."""
    folder = tmp_path / "project"
    shutil.copytree(small_project, folder, symlinks=True)
    shutil.rmtree(folder / "mlartifacts")
    for path in folder.glob("mlflow.db*"):
        path.unlink()
    return folder


def start(command: list[str], project: Path) -> subprocess.Popen[str]:
    return subprocess.Popen(command, cwd=project, env=environment(project), stdout=subprocess.PIPE, text=True)


def runs_by_experiment(project: Path) -> dict[str, list[Run]]:
    store = client(project)
    found = store.search_runs([store.get_experiment_by_name("batch-normalization").experiment_id])
    names = {run.data.tags["dvc.exp.name"] for run in found}
    return {name: [run for run in found if run.data.tags["dvc.exp.name"] == name] for name in names}


def client(project: Path) -> MlflowClient:
    return MlflowClient(f"sqlite:///{project / 'mlflow.db'}")


def assert_complete(project: Path, found: list[Run], stages: dict[str, int]) -> None:
    """Assert that an experiment has as many runs per stage as `stages` says, and that each has all its data."""
    store = client(project)
    assert Counter(run.data.tags["dvc.stage"] for run in found) == stages
    assert {run.info.status for run in found} == {"FINISHED"}
    for logged in found:
        stage, is_child = logged.data.tags["dvc.stage"], "mlflow.parentRunId" in logged.data.tags
        if stage != "compare":
            points = store.get_metric_history(logged.info.run_id, "val_loss")
            assert sorted(point.step for point in points) == list(range(EPOCHS + 1))
        if not is_child:
            files = {file.path for file in store.list_artifacts(logged.info.run_id) if not file.is_dir}
            assert ARTIFACTS[stage] <= files
            assert f"dvc exp apply {logged.data.tags['dvc.exp.name']}" in logged.data.tags["mlflow.note.content"]


def successful(project: Path) -> set[str]:
    """Return the names of the experiments that DVC has."""
    shown = json.loads(run(["dvc", "exp", "show", "--json"], project))
    return {
        found["revs"][0]["name"]
        for entry in shown
        for found in entry.get("experiments") or []
        if not found["executor"] or found["executor"]["state"] == "success"
    }


def assert_nothing_is_left(project: Path) -> None:
    left = [path.name for path in (project / ".dvc/tmp/exps").iterdir() if path.name.startswith("tmp")]
    assert left == []


def test_an_experiment_in_the_workspace_and_the_way_back(project: Path) -> None:
    run(["dvc", "exp", "run", "--name", "here", "-S", "lr=0.1", "-S", f"lr_sweep={RATES}"], project)
    (found,) = runs_by_experiment(project).values()
    assert_complete(project, found, {"train_baseline": ARM_RUNS, "train_bn": ARM_RUNS, "compare": 1})
    by_stage = {run.data.tags["dvc.stage"]: run for run in found if "mlflow.parentRunId" not in run.data.tags}
    assert {arm: by_stage["compare"].data.tags[f"{arm}.run_id"] for arm in ARMS} == {
        arm: by_stage[f"train_{arm}"].info.run_id for arm in ARMS
    }
    assert "difference.val_accuracy" in run(["dvc", "metrics", "diff"], project)
    page = run(["dvc", "plots", "diff", "HEAD"], project).strip().removeprefix("file://")
    assert '"range": ["black", "green"]' in Path(page).read_text()
    assert "comparison.png" in Path(page).read_text()

    after = arm_bytes(project)
    run(["git", "reset", "--hard", "--quiet"], project)
    run(["dvc", "checkout"], project)
    assert arm_bytes(project) != after
    run(["sh", "-c", way_back(by_stage["train_bn"])], project)
    assert arm_bytes(project) == after


def test_from_the_file_of_a_commit_to_its_run_and_back(project: Path) -> None:
    """Without an experiment's name: what `dvc repro` made, and somebody committed."""
    rate, sweep = {"lr": 0.1}, {"lr": 0.1, "lr_sweep": [0.1, 0.3]}  # the first history again, then the same curves
    made, found = [], []
    store = client(project)
    for values in (rate, sweep):
        set_params(project, values)
        run(["dvc", "repro"], project)
        made.append(arm_bytes(project))
        run(["git", "commit", "--all", "--quiet", "--message", f"{values}"], project)
        md5 = locked_md5(project, "results/bn/history.parquet")
        experiment = store.get_experiment_by_name("batch-normalization").experiment_id
        found.append(store.search_runs([experiment], f"tags.`history.md5` = '{md5}'")[0])
    for values, files, described in zip((rate, sweep), made, found, strict=True):
        compared = f"tags.`dvc.stage` = 'compare' and tags.`bn.run_id` = '{described.info.run_id}'"
        for each in (described, *store.search_runs([experiment], compared)):
            run(["git", "checkout", "--quiet", "main~2"], project)
            run(["sh", "-c", way_back(each)], project)
            assert arm_bytes(project) == files
            assert values.items() <= yaml.safe_load((project / "params.yaml").read_text()).items()


def way_back(described: Run) -> str:
    """Return the command in a run's description."""
    return described.data.tags["mlflow.note.content"].splitlines()[-1].strip()


def arm_bytes(project: Path) -> list[bytes]:
    return [(project / f"results/bn/{name}").read_bytes() for name in ("history.parquet", "curves.csv")]


def locked_md5(project: Path, path: str) -> str:
    stages = yaml.safe_load((project / "dvc.lock").read_text())["stages"]
    return next(out["md5"] for stage in stages.values() for out in stage.get("outs", []) if out["path"] == path)


def test_two_at_once_start_a_new_store(project: Path) -> None:
    commands = [
        ["dvc", "exp", "run", "--temp", "--name", f"rate-{lr}", "-S", f"lr={lr}", "-S", "lr_sweep=[]"]
        for lr in (0.1, 0.3)
    ]
    started = [start(command, project) for command in commands]
    printed = [process.communicate()[0] for process in started]
    assert [process.returncode for process in started] == [0, 0], printed
    found = runs_by_experiment(project)
    assert set(found) == successful(project) == {"rate-0.1", "rate-0.3"}
    for runs in found.values():
        assert_complete(project, runs, {"train_baseline": 2, "train_bn": 2, "compare": 1})
    assert_nothing_is_left(project)


@pytest.mark.parametrize("workers", [1, 4])
def test_the_queue(project: Path, workers: int) -> None:
    momenta = [0.02, 0.05, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7][: 2 * workers]
    run(["dvc", "exp", "run", "--queue", "-S", f"bn.momentum={','.join(map(str, momenta))}"], project)
    run(["dvc", "queue", "start", "--jobs", str(workers)], project)
    deadline = time.monotonic() + 300
    while any(state in (status := run(["dvc", "queue", "status"], project)) for state in ("Queued", "Running")):
        assert time.monotonic() < deadline, status
        time.sleep(2)
    found = runs_by_experiment(project)
    names = successful(project)
    # With several workers DVC itself may lose an experiment; what it calls successful has its runs.
    assert len(names) == len(momenta) if workers == 1 else len(names) >= len(momenta) / 2
    assert set(found) >= names
    for name in names:  # the arm without batch norm does not depend on momentum: DVC takes it from its cache
        assert_complete(project, found[name], {"train_bn": ARM_RUNS, "compare": 1})
    assert {run.info.status for runs in found.values() for run in runs} == {"FINISHED"}
    assert_nothing_is_left(project)
