"""Every way to run an experiment logs into the one store: the workspace, `--temp`, and the queue."""

import json
import shutil
import subprocess
import time
from collections import Counter
from pathlib import Path

import psutil
import pytest
import yaml
from conftest import ARM_FILES, EPOCHS, HANGS, RATES, copy_project, environment, run, set_params
from mlflow import MlflowClient
from mlflow.entities import Run

from stages import ARMS

ARM_RUNS = 1 + len(RATES)  # one for the arm, and its children
ARTIFACTS = {
    "train_baseline": ARM_FILES,
    "train_bn": ARM_FILES,
    "compare": {"claims.csv", "comparison.png", "metrics.json", "pairs.csv", "report.html"},
}


def start(command: list[str], project: Path) -> subprocess.Popen[str]:
    return subprocess.Popen(command, cwd=project, env=environment(project), stdout=subprocess.PIPE, text=True)


def runs_by_experiment(project: Path) -> dict[str, list[Run]]:
    store = client(project)
    found = store.search_runs([store.get_experiment_by_name("batch-normalization").experiment_id])
    by_name: dict[str, list[Run]] = {}
    for logged in found:
        if name := logged.data.tags.get("dvc.exp.name"):
            by_name.setdefault(name, []).append(logged)
    return by_name


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


def test_an_experiment_in_the_workspace_and_the_way_back(tried_project: Path, tmp_path: Path) -> None:
    project = copy_project(tried_project, tmp_path / "project")
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


def test_from_the_file_of_a_commit_to_its_run_and_back(tried_project: Path, tmp_path: Path) -> None:
    """Without an experiment's name: what `dvc repro` made, and somebody committed.

    The commit to pass over is the oldest: it has the history of the small project, and the curves of the sweep.
    """
    project = copy_project(tried_project, tmp_path / "project")
    small = head(project)
    run(["git", "commit", "--all", "--quiet", "--message", "Fast"], project, GIT_COMMITTER_DATE="2000-01-01T00:00:00Z")
    fast = arm_bytes(project)
    set_params(project, {"lr": 0.1, "lr_sweep": [*RATES[:-1], 0.9]})
    run(["dvc", "repro", "--single-item", "train_bn"], project)
    run(["git", "commit", "--all", "--quiet", "--message", "Sweep"], project)
    swept, sweep, swept_run = arm_bytes(project), head(project), unnamed_run(project, "train_bn")
    assert (swept[0] == fast[0], swept[1] == fast[1]) == (False, True)

    run(["git", "checkout", "--quiet", small], project)
    run(["dvc", "checkout"], project)
    first = arm_bytes(project)
    assert (first[0] == fast[0], first[1] == fast[1]) == (True, False)
    ways = [(unnamed_run(project, stage), small, first) for stage in ("train_bn", "compare")]
    for described, commit, files in [*ways, (swept_run, sweep, swept)]:
        run(["git", "checkout", "--quiet", "main~1"], project)
        run(["sh", "-c", way_back(described)], project)
        assert (head(project), arm_bytes(project)) == (commit, files)


def head(project: Path) -> str:
    return run(["git", "rev-parse", "HEAD"], project).strip()


def unnamed_run(project: Path, stage: str) -> Run:
    """Return the run of a stage that wrote the files in the workspace, and belongs to no experiment of DVC's."""
    store = client(project)
    experiment = store.get_experiment_by_name("batch-normalization").experiment_id
    arm = "bn." if stage == "compare" else ""
    md5 = locked_md5(project, "results/bn/history.parquet")
    found = store.search_runs([experiment], f"tags.`dvc.stage` = '{stage}' and tags.`{arm}history.md5` = '{md5}'")
    (unnamed,) = (run for run in found if "dvc.exp.name" not in run.data.tags)
    return unnamed


def way_back(described: Run) -> str:
    """Return the command in a run's description."""
    return described.data.tags["mlflow.note.content"].splitlines()[-1].strip()


def arm_bytes(project: Path) -> list[bytes]:
    return [(project / f"results/bn/{name}").read_bytes() for name in ("history.parquet", "curves.csv")]


def locked_md5(project: Path, path: str) -> str:
    stages = yaml.safe_load((project / "dvc.lock").read_text())["stages"]
    return next(out["md5"] for stage in stages.values() for out in stage.get("outs", []) if out["path"] == path)


@pytest.fixture
def project(small_project: Path, tmp_path: Path) -> Path:
    """A copy of the small project with no store yet."""
    folder = copy_project(small_project, tmp_path / "project")
    shutil.rmtree(folder / "mlartifacts")
    for path in folder.glob("mlflow.db*"):
        path.unlink()
    return folder


def test_two_at_once_start_a_new_store(project: Path) -> None:
    commands = [
        ["dvc", "--wait-for-lock", "exp", "run", "--temp", "--name", f"alpha-{value}", "-S", f"evidence.alpha={value}"]
        for value in (0.2, 0.3)
    ]
    started = [start(command, project) for command in commands]
    printed = [process.communicate()[0] for process in started]
    assert [process.returncode for process in started] == [0, 0], printed
    found = runs_by_experiment(project)
    assert set(found) == successful(project) == {"alpha-0.2", "alpha-0.3"}
    for runs in found.values():
        assert_complete(project, runs, {"compare": 1})
    assert_nothing_is_left(project)


def test_a_queue(project: Path) -> None:
    """One worker, which trains first, and then compares again: what did not change, DVC takes from its cache."""
    queue(project, "--name", "trains", "-S", "bn.momentum=0.02")
    queue(project, "--name", "compares", "-S", "evidence.alpha=0.01")
    work_off(project, workers=1)
    found = runs_by_experiment(project)
    assert set(found) == successful(project) == {"trains", "compares"}
    assert_complete(project, found["trains"], {"train_bn": ARM_RUNS, "compare": 1})
    assert_complete(project, found["compares"], {"compare": 1})
    assert_nothing_is_left(project)


def test_a_sweep_with_two_workers(project: Path) -> None:
    queue(project, "-S", "evidence.alpha=0.01,0.02")
    work_off(project, workers=2)
    found = runs_by_experiment(project)
    names = successful(project)
    assert names  # with several workers DVC itself may lose an experiment; what it calls successful has its runs
    assert set(found) >= names
    for name in names:
        assert_complete(project, found[name], {"compare": 1})
    assert {run.info.status for runs in found.values() for run in runs} == {"FINISHED"}
    assert_nothing_is_left(project)


def queue(project: Path, *settings: str) -> None:
    run(["dvc", "exp", "run", "--queue", *settings], project)


def work_off(project: Path, workers: int) -> None:
    """Have so many workers run what is queued, and wait for them."""
    run(["dvc", "queue", "start", "--jobs", str(workers)], project)
    deadline = time.monotonic() + HANGS
    while any(state in (status := run(["dvc", "queue", "status"], project)) for state in ("Queued", "Running")):
        assert time.monotonic() < deadline, status
        time.sleep(1)
        while is_working(project):  # to ask DVC takes a second of a processor
            time.sleep(1)


def is_working(project: Path) -> bool:
    """Tell whether a process runs an experiment of the queue: it has the path of its file among its arguments."""
    commands = [process.info["cmdline"] or [] for process in psutil.process_iter(["cmdline"])]
    return any("exec-run" in command and str(project) in " ".join(command) for command in commands)
