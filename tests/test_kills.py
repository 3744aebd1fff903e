"""`dvc repro` is killed with all that it started: while it trains, while it logs, while it compares."""

import contextlib
import hashlib
import os
import signal
import sqlite3
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest
from conftest import environment, run, set_params

PARAMS = {"lr": 0.001, "lr_sweep": [], "seeds": 4, "epochs": 120}
REPRO = ["dvc", "repro"]


@pytest.fixture(scope="module")
def project(clone_project: Callable[[], Path]) -> Path:
    """A clone with few networks, after its first `dvc repro`."""
    folder = clone_project()
    set_params(folder, PARAMS)
    run(["dvc", "repro"], folder)
    return folder


def checksums(project: Path) -> dict[str, str]:
    paths = [path for path in (project / "results").rglob("*") if path.is_file()]
    return {str(path.relative_to(project)): hashlib.md5(path.read_bytes()).hexdigest() for path in paths}


def query(project: Path, sql: str) -> list[tuple[object, ...]]:
    """Read the store as any reader: the first after a kill takes back what the killed process had half written."""
    with contextlib.closing(sqlite3.connect(f"file:{project}/mlflow.db?mode=rw", uri=True)) as database:
        return database.execute(sql).fetchall()


def is_training(project: Path) -> bool:
    return bool(query(project, "SELECT 1 FROM metrics JOIN runs USING (run_uuid) WHERE status = 'RUNNING' LIMIT 1"))


def is_logging(project: Path) -> bool:
    logs = "SELECT 1 FROM tags JOIN runs USING (run_uuid) WHERE status = 'RUNNING' AND key = 'history.md5'"
    return bool(query(project, logs))


def is_comparing(project: Path) -> bool:
    return bool(query(project, "SELECT 1 FROM runs WHERE status = 'RUNNING' AND name = 'compare'"))


def kill_repro(project: Path, when: Callable[[Path], bool], how: signal.Signals) -> None:
    """Start `dvc repro`, and send the signal to its process group, as Ctrl-C and a power cut do."""
    quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    repro = subprocess.Popen(REPRO, cwd=project, env=environment(project), start_new_session=True, **quiet)
    while not when(project):
        assert repro.poll() is None, "it ended before it could be killed"
        time.sleep(0.02)
    group = [process for process in psutil.process_iter() if process_group(process) == repro.pid]
    os.killpg(repro.pid, how)
    assert repro.wait(timeout=60) != 0
    assert psutil.wait_procs(group, timeout=60)[1] == []


def process_group(process: psutil.Process) -> int | None:
    with contextlib.suppress(ProcessLookupError):
        return os.getpgid(process.pid)
    return None


@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_a_killed_repro_is_made_good_by_the_next(project: Path, how: signal.Signals) -> None:
    before = checksums(project)
    finished = query(project, "SELECT count(*) FROM runs WHERE status = 'FINISHED'")[0][0]
    for stage in ("train_bn", "compare"):  # a change that changes nothing: DVC runs them again
        with (project / f"stages/{stage}.py").open("a") as file:
            file.write(f"# {how.name}\n")
    for when in (is_training, is_logging, is_comparing):
        kill_repro(project, when, how)
    run(REPRO, project)
    assert checksums(project) == before
    assert query(project, "PRAGMA integrity_check") == [("ok",)]
    statuses = dict(query(project, "SELECT status, count(*) FROM runs GROUP BY status"))
    assert "RUNNING" not in statuses
    assert statuses["FINISHED"] == finished + 3  # train_bn with its child, and compare
