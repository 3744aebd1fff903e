"""`dvc repro` is killed with all that it started: while it trains, while it logs, while it compares."""

import contextlib
import hashlib
import os
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest
from conftest import EPOCHS, HANGS, RATES, copy_project, environment, run

REPRO = ["dvc", "repro"]
NEWLY = "status = 'RUNNING' AND start_time >= ?"  # those that a kill before left open are no longer running


@pytest.fixture
def project(small_project: Path, tmp_path: Path) -> Path:
    return copy_project(small_project, tmp_path / "project")


def checksums(project: Path) -> dict[str, str]:
    paths = [path for path in (project / "results").rglob("*") if path.is_file()]
    return {str(path.relative_to(project)): hashlib.md5(path.read_bytes()).hexdigest() for path in paths}


def query(project: Path, sql: str, *values: object) -> list[tuple[object, ...]]:
    """Read the store as any reader: the first after a kill takes back what the killed process had half written."""
    with contextlib.closing(sqlite3.connect(f"file:{project}/mlflow.db?mode=rw", uri=True)) as database:
        return database.execute(sql, values).fetchall()


def is_training(project: Path, since: int) -> bool:
    return bool(query(project, f"SELECT 1 FROM metrics JOIN runs USING (run_uuid) WHERE {NEWLY} LIMIT 1", since))


def is_logging(project: Path, since: int) -> bool:
    logs = f"SELECT 1 FROM tags JOIN runs USING (run_uuid) WHERE {NEWLY} AND key = 'history.md5'"
    return bool(query(project, logs, since))


def is_comparing(project: Path, since: int) -> bool:
    return bool(query(project, f"SELECT 1 FROM runs WHERE {NEWLY} AND name = 'compare'", since))


KILLS = {is_training: signal.SIGKILL, is_logging: signal.SIGINT, is_comparing: signal.SIGTERM}


def kill_repro(project: Path, when: Callable[[Path, int], bool], how: signal.Signals) -> None:
    """Start `dvc repro`, and send the signal to its process group, as Ctrl-C and a power cut do."""
    quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    started = time.time_ns() // 1_000_000  # in milliseconds, as MLflow counts
    repro = subprocess.Popen(REPRO, cwd=project, env=environment(project), start_new_session=True, **quiet)
    while not when(project, started):
        assert repro.poll() is None, "it ended before it could be killed"
        time.sleep(0.02)
    group = [process for process in psutil.process_iter() if process_group(process) == repro.pid]
    os.killpg(repro.pid, how)
    assert repro.wait(timeout=HANGS) != 0
    assert psutil.wait_procs(group, timeout=HANGS)[1] == []


def process_group(process: psutil.Process) -> int | None:
    with contextlib.suppress(ProcessLookupError):
        return os.getpgid(process.pid)
    return None


def test_killed_repros_are_made_good_by_the_next(project: Path) -> None:
    """Three are killed in a row: by each signal once, and in each place once."""
    before = checksums(project)
    finished = query(project, "SELECT count(*) FROM runs WHERE status = 'FINISHED'")[0][0]
    for stage in ("train_bn", "compare"):  # a change that changes nothing: DVC runs them again
        with (project / f"stages/{stage}.py").open("a") as file:
            file.write("# changed\n")
    for when, how in KILLS.items():
        kill_repro(project, when, how)
        assert query(project, "PRAGMA integrity_check") == [("ok",)], (when, how)
    run(REPRO, project)
    assert checksums(project) == before
    statuses = dict(query(project, "SELECT status, count(*) FROM runs GROUP BY status"))
    assert "RUNNING" not in statuses
    assert statuses["FINISHED"] == finished + 1 + len(RATES) + 1  # train_bn with its children, and compare


def test_a_stage_outlives_the_process_that_logs(project: Path) -> None:
    before = checksums(project)
    started = time.time_ns() // 1_000_000
    command = [sys.executable, "-m", "stages.train_baseline"]
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    stage = subprocess.Popen(command, cwd=project, env=environment(project), **pipes)
    while not is_training(project, started):
        assert stage.poll() is None
        time.sleep(0.02)
    (logs,) = psutil.Process(stage.pid).children()
    logs.kill()
    _, errors = stage.communicate(timeout=HANGS)
    assert stage.returncode == 0
    (line,) = errors.splitlines()
    assert line.startswith("warning: the process that logs to MLflow was killed: run 'baseline' at sqlite:///")
    assert checksums(project) == before
    assert run([sys.executable, "-m", "stages.tracking.resync"], project) == "run 'baseline' is complete\n"
    runs = query(project, "SELECT run_uuid, status FROM runs WHERE start_time >= ?", started)
    assert [status for _, status in runs] == ["FINISHED"] * (1 + len(RATES))
    points = "SELECT count(*) FROM metrics WHERE run_uuid = ? AND key = 'val_accuracy'"
    assert {query(project, points, run_id)[0][0] for run_id, _ in runs} == {EPOCHS + 1}
