"""Against a real `mlflow server` on loopback that is not there, goes away, and comes back."""

import base64
import contextlib
import os
import shutil
import signal
import socket
import sys
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from conftest import ARM_FILES, ROOT, environment, free_port, serving, set_params
from forking import SECONDS, Program, start_program
from mlflow import MlflowClient
from mlflow.entities import Run

from stages import ARMS, InputError
from stages.tracking.connection import find_store

EPOCHS, RATES = 200, [0.001, 0.1]
PARAMS = {"lr": 0.001, "lr_sweep": RATES, "seeds": 4, "epochs": EPOCHS}
PASSWORD = "s3cr/t-w0rd"
pytestmark = pytest.mark.whole


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with params of few networks, and their data."""
    folder = tmp_path_factory.mktemp("server") / "project"
    (folder / "data").mkdir(parents=True)
    shutil.copy(ROOT / "params.yaml", folder)
    set_params(folder, PARAMS)
    stage(folder, "generate_data", "")
    return folder


@pytest.fixture
def port() -> int:
    return free_port()


def start(project: Path, name: str, uri: str) -> Program:
    variables = environment(project) | {"DVC_ROOT": str(project), "MLFLOW_TRACKING_URI": uri}
    return start_program(f"stages.{name}", project, variables | {"MLFLOW_HTTP_REQUEST_TIMEOUT": SECONDS})


def stage(project: Path, name: str, uri: str, *, status: int = 0) -> str:
    """Return what a stage prints."""
    ended, printed = start(project, name, uri).end()
    assert ended == status, printed
    return printed


def server(folder: Path, port: int) -> contextlib.AbstractContextManager[str]:
    """Serve the store in `folder`, artifacts too."""
    store = ["--backend-store-uri", f"sqlite:///{folder}/server.db", "--artifacts-destination", f"{folder}/artifacts"]
    command = [sys.executable, "-m", "mlflow", "server", *store, "--host", "127.0.0.1", "--port", str(port)]
    return serving([*command, "--workers", "1"], folder, port, folder / "server.log")


def runs(folder: Path) -> dict[str, Run]:
    """Return the runs of a server's store by name, read from its database; a name that is there twice fails."""
    store = MlflowClient(f"sqlite:///{folder}/server.db")
    found = store.search_runs([experiment.experiment_id for experiment in store.search_experiments()])
    names = [f"{run.data.tags['arm']} {run.info.run_name}" if "arm" in run.data.tags else "compare" for run in found]
    assert len(set(names)) == len(names)
    return dict(zip(names, found, strict=True))


def assert_complete(folder: Path, arm: str) -> None:
    """Assert that the run of an arm and its children have everything, once."""
    store, found = MlflowClient(f"sqlite:///{folder}/server.db"), runs(folder)
    own = [run for name, run in found.items() if name.startswith(f"{arm} ")]
    assert [run.info.status for run in own] == ["FINISHED"] * (1 + len(RATES))
    for logged in own:
        steps = [point.step for point in store.get_metric_history(logged.info.run_id, "val_accuracy")]
        assert sorted(steps) == list(range(EPOCHS + 1))
    parent = found[f"{arm} {arm}"]
    assert parent.info.artifact_uri.startswith("mlflow-artifacts:")
    files = folder / "artifacts" / parent.info.artifact_uri.removeprefix("mlflow-artifacts:/")
    assert {path.name for path in files.iterdir()} == ARM_FILES
    assert sorted(entry.dataset.name for entry in parent.inputs.dataset_inputs) == ["train", "val"]
    (model,) = store.search_logged_models([parent.info.experiment_id], f"source_run_id = '{parent.info.run_id}'")
    assert model.status == "READY"
    assert [output.model_id for output in parent.outputs.model_outputs] == [model.model_id]


def assert_no_password(*folders: Path) -> None:
    """Assert that no file holds the password, plain or as an address has it."""
    for path in (path for folder in folders for path in folder.rglob("*")):
        if path.is_file():
            assert PASSWORD.encode() not in path.read_bytes(), path
            assert PASSWORD.replace("/", "%2F").encode() not in path.read_bytes(), path


@pytest.mark.parametrize("silent", [False, True])
def test_a_server_that_does_not_answer_stops_the_stage(project: Path, port: int, silent: bool) -> None:
    listening = socket.create_server(("127.0.0.1", port), backlog=8) if silent else contextlib.nullcontext()
    with listening:
        printed = stage(project, "train_baseline", f"http://127.0.0.1:{port}", status=2)
    reason = "timed out" if silent else "Connection refused"
    (line,) = printed.splitlines()
    assert line.startswith(f"MLFLOW_TRACKING_URI = 'http://127.0.0.1:{port}': ")
    assert reason in line
    assert line.endswith(": expected an MLflow server or database that answers and lets us log")
    assert not (project / "results/baseline/history.parquet").exists()


def test_a_silent_server_is_given_up_soon(port: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"http://127.0.0.1:{port}")
    started = time.monotonic()
    with socket.create_server(("127.0.0.1", port), backlog=8), pytest.raises(InputError, match="timed out"):
        find_store()
    assert time.monotonic() - started < 18  # the limit is 5, and MLflow's own 20


def test_credentials_reach_the_server_and_a_refusal_stops_the_stage(project: Path, port: int) -> None:
    asked = []

    class Refuse(BaseHTTPRequestHandler):
        def parse_request(self) -> bool:
            super().parse_request()
            asked.append(self.headers["Authorization"])
            self.send_error(401)
            return False

        def log_message(self, *arguments: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", port), Refuse) as refusing:
        threading.Thread(target=refusing.serve_forever, daemon=True).start()
        address = f"http://ann:{PASSWORD.replace('/', '%2F')}@127.0.0.1:{port}"
        printed = stage(project, "train_baseline", address, status=2)
        refusing.shutdown()
    assert f"Basic {base64.b64encode(f'ann:{PASSWORD}'.encode()).decode()}" in asked
    assert printed.startswith(f"MLFLOW_TRACKING_URI = 'http://127.0.0.1:{port}': ")
    assert "401" in printed
    assert printed.count("\n") == 1
    assert "t-w0rd" not in printed


def test_what_a_server_misses_is_logged_later_and_once(project: Path, port: int, tmp_path: Path) -> None:
    uri = f"http://ann:{PASSWORD.replace('/', '%2F')}@127.0.0.1:{port}"
    printed = ""
    with server(tmp_path, port):
        printed += stage(project, "train_baseline", uri)
        training = start(project, "train_bn", uri)
        while "val_accuracy" not in (found.data.metrics if (found := runs(tmp_path).get("bn bn")) else {}):
            assert training.process.is_alive()
            time.sleep(0.1)
        os.kill(training.process.pid, signal.SIGSTOP)  # much is left to log when the server is gone
    os.kill(training.process.pid, signal.SIGCONT)
    status, warning = training.end()
    assert status == 0
    assert {path.name for path in (project / "results/bn").iterdir()} - {".gitignore"} == ARM_FILES
    assert warning.startswith(f"warning: MLflow at http://127.0.0.1:{port} failed (Connection refused): run 'bn'")
    assert "summary, datasets, model, files, tags, end; nothing is lost: `make resync` logs it later\n" in warning
    assert warning.count("\n") == 1
    assert runs(tmp_path)["bn bn"].info.status == "RUNNING"

    printed += warning + stage(project, "tracking.resync", uri, status=2)  # the server is still away
    with server(tmp_path, port):
        printed += stage(project, "compare", uri)
        compared = runs(tmp_path)["compare"].data.tags
        assert (compared["baseline.run_id"], compared["bn.run_id"]) == (
            runs(tmp_path)["baseline baseline"].info.run_id,
            "not in this store",
        )
        assert runs(tmp_path)["bn bn"].info.status == "KILLED"  # for now: its process is gone
        shutil.copytree(project / "mlflow-outbox", tmp_path / "again")
        assert stage(project, "tracking.resync", uri) == "run 'bn' is complete\n"
        assert_complete(tmp_path, "baseline")
        assert_complete(tmp_path, "bn")
        assert runs(tmp_path)["compare"].data.tags["bn.run_id"] == runs(tmp_path)["bn bn"].info.run_id
        assert stage(project, "tracking.resync", uri) == "nothing to log: every run has all of its data\n"
        shutil.copytree(tmp_path / "again", project / "mlflow-outbox", dirs_exist_ok=True)  # cut off at its end
        printed += stage(project, "tracking.resync", uri)
        assert_complete(tmp_path, "bn")
        registered = stage(project, "tracking.register", uri)
        for version, arm in enumerate(ARMS, start=1):
            made = runs(tmp_path)[f"{arm} {arm}"].info.run_id
            assert f"@{arm} is version {version}: the network of run '{arm}', {made}\n" in registered
    printed += registered
    assert PASSWORD not in printed
    assert_no_password(project / "results", tmp_path)
