import contextlib
import os
import pty
import shutil
import signal
import socket
import sqlite3
import subprocess
import sys
import termios
import time
import urllib.request
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import mlflow
import pytest
import torch
import yaml
from filelock import FileLock
from mlflow import MlflowClient

from stages.arm.settings import build_normalization
from stages.params import load_params
from stages.training.network import Normalization
from stages.training.tables import Table

ROOT = Path(__file__).parents[1]
EPOCHS, SEEDS, RATES = 5, 4, [0.001, 0.1, 0.3, 1.0]
SMALL = {"lr": 0.001, "lr_sweep": RATES, "seeds": SEEDS, "epochs": EPOCHS}
ARM_FILES = {"curves.csv", "diagnostics.parquet", "history.parquet", "model.pt", "networks.npy", "surface.csv"}
OUR_VARIABLES = ("DVC_", "MLFLOW_", "GIT_")
CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")

# Fixtures: who uses one is left out of `make test-quick`.
WHOLE = {"clone_project", "browse", "page", "scheduler_alone"}
LONGEST = (
    "test_server.py",  # needs no small project, while another process builds that
    "test_experiments.py",
    "test_kills.py",
    "test_tracking.py",
    "test_studies.py",
    "test_sharing.py",
    "test_pipeline.py",
    "test_ui.py",
    "test_page.py",
    "test_page_in_browser.py",
    "test_register.py",
    "test_engine.py",
    "test_changes.py",
    "test_diagnostics.py",
    "test_calibration.py",
)
NO_JOBS = {"MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false"}  # else a server starts seven processes for work not ours
HANGS = 900  # seconds until a test says so: it is no test of how fast the machine is
Build = Callable[[Path], object]

torch.set_num_threads(1)
signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell has those that it starts with & ignore it


def pytest_collection_modifyitems(items: list[pytest.Function]) -> None:
    """Mark the tests that need DVC in a clone, a server or a browser, and run the longest files first.

    Other tests that take more than three seconds are marked where they stand.
    """
    for item in items:
        if WHOLE.intersection(item.fixturenames):
            item.add_marker("whole")
    items.sort(key=when_it_runs)


def when_it_runs(item: pytest.Function) -> int:
    """Return the place of a test's file: pytest-xdist gives whole files to its processes, in this order."""
    return LONGEST.index(item.path.name) if item.path.name in LONGEST else len(LONGEST)


def normalization(kind: str = "batch", **changes: Any) -> Normalization:
    """Return what the committed params.yaml has, apart from some changes."""
    committed = load_params(ROOT / "params.yaml").bn
    norm = build_normalization(committed.model_copy(update={"kind": kind, **changes}))
    assert norm is not None
    return norm


@pytest.fixture
def tiny_tables() -> tuple[Table, Table]:
    """34 training and 20 validation rows of two features in float64: batches of 16 leave a short one of 2."""
    generator = torch.Generator().manual_seed(3)
    x = torch.randn(54, 2, generator=generator, dtype=torch.float64)
    return split_table(x, (x.square().sum(dim=1) > 1.4).long())


@pytest.fixture
def three_classes(tiny_tables: tuple[Table, Table]) -> tuple[Table, Table]:
    """The same rows in three rings."""
    x = torch.cat([table.x for table in tiny_tables])
    return split_table(x, torch.bucketize(x.square().sum(dim=1), torch.tensor([0.8, 2.2], dtype=x.dtype)))


def split_table(x: torch.Tensor, y: torch.Tensor) -> tuple[Table, Table]:
    return Table(x[:34], y[:34]), Table(x[34:], y[34:])


@pytest.fixture(scope="session")
def build_once(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str, Build], Path]:
    """Return a function that has a folder built by the first process that asks, for all processes of pytest-xdist."""
    shared = tmp_path_factory.getbasetemp()
    if "PYTEST_XDIST_WORKER" in os.environ:
        shared = shared.parent

    def get(name: str, build: Build) -> Path:
        folder, built = shared / name, shared / f"{name}.built"
        with FileLock(shared / f"{name}.lock"):
            if not built.exists():
                shutil.rmtree(folder, ignore_errors=True)  # where an earlier attempt failed
                folder.mkdir()
                build(folder)
                built.touch()
        return folder

    return get


@pytest.fixture(scope="session")
def empty_store(build_once: Callable[[str, Build], Path]) -> Path:
    """An MLflow database without runs, to copy: MLflow takes two seconds to make one."""
    folder = build_once("store", lambda folder: MlflowClient(f"sqlite:///{folder}/mlflow.db").search_experiments())
    return folder / "mlflow.db"


@pytest.fixture(scope="session")
def clone_project() -> Build:
    """Return a function that makes a fresh clone of the project as it is in the working tree, ready for git and DVC."""

    def clone(folder: Path) -> None:
        listed = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
        for name in run(listed, ROOT).split("\0"):
            if name and (ROOT / name).exists():
                (folder / name).parent.mkdir(parents=True, exist_ok=True)
                (folder / name).write_bytes((ROOT / name).read_bytes())
        run(["git", "init", "--quiet", "--initial-branch=main"], folder)
        run(["git", "add", "--all"], folder)
        commit(folder, "Start")

    return clone


@pytest.fixture(scope="session")
def small_project(build_once: Callable[[str, Build], Path], clone_project: Build) -> Path:
    """A clone with few seeds and epochs, after its first `dvc repro`, committed. All tests read it: work in a copy."""

    def build(folder: Path) -> None:
        clone_project(folder / "project")
        set_params(folder / "project", SMALL)
        commit(folder / "project", "Small params")
        printed = run(["dvc", "repro"], folder / "project")
        (folder / "printed.txt").write_text(printed)
        run(["git", "config", "user.name", "Test"], folder / "project")  # from here on: `dvc exp run` makes commits
        run(["git", "config", "user.email", "test@example.org"], folder / "project")
        commit(folder / "project", "Small results")

    return build_once("small", build) / "project"


@pytest.fixture(scope="session")
def tried_project(build_once: Callable[[str, Build], Path], small_project: Path) -> Path:
    """The small project after the experiment `fast`, which is in its workspace. All tests read it: work in a copy."""

    def build(folder: Path) -> None:
        project = copy_project(small_project, folder / "project")
        printed = run_in_terminal(["dvc", "exp", "run", "--name", "fast", "-S", "lr=0.1"], project)
        (folder / "printed.txt").write_text(printed)

    return build_once("tried", build) / "project"


def copy_project(project: Path, folder: Path) -> Path:
    """Copy a finished project to `folder`; the artifacts of its MLflow runs are the copied ones."""
    shutil.copytree(project, folder, symlinks=True)
    places = {"experiments": "artifact_location", "runs": "artifact_uri", "logged_models": "artifact_location"}
    with contextlib.closing(sqlite3.connect(folder / "mlflow.db")) as store:
        for table, column in places.items():
            moved = f"UPDATE {table} SET {column} = replace({column}, ?, ?)"
            store.execute(moved, (project.as_uri(), folder.as_uri()))
        store.commit()
    return folder


@pytest.fixture
def store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, empty_store: Path) -> Iterator[MlflowClient]:
    """A client of an empty store in `tmp_path`, where stages log to as if that were the root of the repository."""
    shutil.copy(empty_store, tmp_path)
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    monkeypatch.setenv("DVC_ROOT", str(tmp_path))
    monkeypatch.setenv("DVC_STAGE", "train_bn")
    monkeypatch.setenv("DVC_EXP_NAME", "sunny-day")
    mlflow.set_tracking_uri(f"sqlite:///{tmp_path / 'mlflow.db'}")
    yield MlflowClient()
    mlflow.set_tracking_uri(None)
    os.environ.pop("MLFLOW_TRACKING_URI", None)  # MLflow sets it too


def commit(project: Path, message: str) -> None:
    """Commit all changes, as somebody whose identity git does not know otherwise."""
    author = ["-c", "user.name=Test", "-c", "user.email=test@example.org"]
    run(["git", *author, "commit", "--all", "--quiet", "--message", message], project)


def set_params(project: Path, values: Mapping[str, Any]) -> None:
    """Change top-level values of params.yaml."""
    params = yaml.safe_load((project / "params.yaml").read_text())
    (project / "params.yaml").write_text(yaml.safe_dump({**params, **values}, sort_keys=False))


def run(command: list[str], folder: Path, *, fails: bool = False, **variables: str) -> str:
    """Run a command in `folder`, as somebody with an empty home and no git identity; return all it prints."""
    output = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT, "text": True}
    done = subprocess.run(command, cwd=folder, env=environment(folder) | variables, check=False, **output)
    assert (done.returncode != 0) == fails, f"{command} exited {done.returncode}:\n{done.stdout}"
    return done.stdout


def run_in_terminal(command: list[str], folder: Path) -> str:
    """Return what a terminal gets to see, with all that is drawn over later."""
    ours, terminal = pty.openpty()
    termios.tcsetwinsize(terminal, (24, 120))
    process = subprocess.Popen(command, cwd=folder, env=environment(folder), stdout=terminal, stderr=terminal)
    os.close(terminal)
    shown = b""
    with contextlib.suppress(OSError):  # EIO: the other end is closed
        while chunk := os.read(ours, 4096):
            shown += chunk
    os.close(ours)
    assert process.wait() == 0, shown.decode()
    return shown.decode()


def environment(folder: Path) -> dict[str, str]:
    home = folder.parent / "home"
    home.mkdir(exist_ok=True)
    kept = {key: value for key, value in os.environ.items() if not key.startswith(OUR_VARIABLES)}
    return kept | {"HOME": str(home), "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"}


def free_port() -> int:
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        return listening.getsockname()[1]


def answers(address: str) -> bool:
    with contextlib.suppress(OSError):
        urllib.request.urlopen(address, timeout=10).close()
        return True
    return False


@contextlib.contextmanager
def serving(command: list[str], folder: Path, port: int, log: Path, **variables: str) -> Iterator[str]:
    """Run a server in `folder` and yield its address once it answers; kill it at the end, as a power cut would."""
    address = f"http://127.0.0.1:{port}"
    with log.open("wb") as output:
        outputs = {"stdout": output, "stderr": output, "start_new_session": True}
        process = subprocess.Popen(command, cwd=folder, env=environment(folder) | NO_JOBS | variables, **outputs)
        try:
            deadline = time.monotonic() + HANGS
            while not answers(f"{address}/health"):
                assert process.poll() is None, log.read_text()
                assert time.monotonic() < deadline, log.read_text()
                time.sleep(0.2)
            yield address
        finally:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()


@pytest.fixture(scope="session")
def browse() -> Callable[..., str]:
    """Return a function that opens a page in headless Chromium and returns it as it is there; skip without Chromium."""
    if CHROMIUM is None:
        pytest.skip("no Chromium is installed")
    return open_in_chromium


def open_in_chromium(address: str, folder: Path, size: str = "1200,900", wait_ms: int | None = None) -> str:
    """Return the page after `wait_ms` of the page's own time, where it goes on loading."""
    flags = ["--headless", "--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-background-networking"]
    flags += [f"--virtual-time-budget={wait_ms}"] if wait_ms else []
    flags += [f"--user-data-dir={folder / 'browser'}", f"--window-size={size}"]
    command = [CHROMIUM, *flags, "--dump-dom", address]
    return subprocess.run(command, capture_output=True, text=True, timeout=HANGS, check=True).stdout
