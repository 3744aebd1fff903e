"""Servers that answer what no server should: a stage ends in one line, soon, and nothing is lost or overwritten."""

import json
import multiprocessing
import os
import shutil
import threading
import time
from collections.abc import Callable, Iterator
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import mlflow
import pytest

from stages import InputError
from stages.params import load_params
from stages.tracking import background, connection, environment, logger, model, outbox, patience
from stages.tracking.connection import find_store
from stages.tracking.entries import Entry, log_artifact, log_network, set_tag
from stages.tracking.logger import open_log

ROOT = Path(__file__).parents[1]
PARAMS = load_params(ROOT / "params.yaml").flat()
RUN_ID = "0123456789abcdef" * 2
SET_WHILE_LOGGING = (
    "MLFLOW_TRACKING_USERNAME",
    "MLFLOW_TRACKING_PASSWORD",
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES",
    "MLFLOW_HTTP_REQUEST_TIMEOUT",
)
EXPERIMENT = {"experiment_id": "1", "name": "batch-normalization", "lifecycle_stage": "active"}


class Server:
    """What a server answers, by the end of the path asked for: JSON, raw bytes, or what a function does."""

    def __init__(self) -> None:
        self.answers: dict[str, Any] = {
            "experiments/search": {"experiments": [EXPERIMENT]},
            "experiments/get-by-name": {"experiment": EXPERIMENT},
            "runs/search": {},
            "runs/create": run_answer(RUN_ID),
            "runs/get": run_answer(RUN_ID),
        }
        self.asked: list[str] = []

    def answer(self, handler: BaseHTTPRequestHandler) -> None:
        path = handler.path.partition("?")[0].removesuffix("/")
        self.asked.append(path)
        answer = next((answer for end, answer in self.answers.items() if path.endswith(end)), {})
        if callable(answer):
            answer(handler)
            return
        body = answer if isinstance(answer, bytes) else json.dumps(answer).encode()
        handler.send_response(200)
        handler.send_header("Content-Length", str(len(body)))
        handler.end_headers()
        handler.wfile.write(body)


def run_answer(run_id: Any, artifact_uri: str = f"mlflow-artifacts:/1/{RUN_ID}/artifacts") -> dict[str, Any]:
    info = {"run_id": run_id, "run_name": "bn", "experiment_id": "1", "status": "RUNNING", "lifecycle_stage": "active"}
    info["artifact_uri"] = artifact_uri
    return {"run": {"info": info, "data": {}}}


@pytest.fixture
def server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    """A server on loopback, which is the store of this process; `tmp_path` is the root."""
    said = Server()

    class Handler(BaseHTTPRequestHandler):
        def answer(self) -> None:
            self.rfile.read(int(self.headers.get("Content-Length") or 0))
            said.answer(self)

        do_GET = do_POST = do_PATCH = do_PUT = answer  # noqa: N815

        def do_HEAD(self) -> None:
            said.answers.get("HEAD", lambda handler: handler.send_error(404))(self)

        def log_message(self, *arguments: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as listening:
        serve = partial(listening.serve_forever, 0.01)  # looks so often for its end
        threading.Thread(target=serve, daemon=True).start()
        monkeypatch.setenv("MLFLOW_TRACKING_URI", f"http://ann:s3cret@127.0.0.1:{listening.server_port}")
        monkeypatch.setenv("DVC_ROOT", str(tmp_path))
        for variable in SET_WHILE_LOGGING:
            monkeypatch.setenv(variable, os.environ.get(variable, ""))
        yield said
        listening.shutdown()
        mlflow.set_tracking_uri(None)


def open_run() -> logger.RunLog:
    return open_log(find_store(), "train_bn", PARAMS, {"arm": "bn"}, [0.1])


def test_a_server_that_answers_as_it_should_opens_a_run(server: Server) -> None:
    assert open_run().run.ids == [RUN_ID, RUN_ID]


@pytest.mark.parametrize("found", [{}, {"tags": [{"key": "tracking.process", "value": "?"}]}])
def test_runs_without_the_tags_that_were_asked_for_change_nothing(
    server: Server, monkeypatch: pytest.MonkeyPatch, found: dict[str, Any]
) -> None:
    monkeypatch.setenv("DVC_EXP_NAME", "fast")
    server.answers["runs/search"] = {"runs": [run_answer("f" * 32)["run"] | {"data": found}]}
    assert open_run().run.id == RUN_ID
    assert not any(path.endswith("runs/update") for path in server.asked)


@pytest.mark.parametrize(
    "run_id", ["../..", "/tmp/x", "", ".", "a" * 31, "g" * 32, f"{RUN_ID}\n", f"{RUN_ID}/..", f"../{RUN_ID}"]
)
def test_a_run_id_that_is_none_is_refused(server: Server, tmp_path: Path, run_id: str) -> None:
    server.answers["runs/create"] = run_answer(run_id)
    with pytest.raises(InputError, match=r"answers with the run id .*: expected 32 hexadecimal digits"):
        open_run()
    assert list(tmp_path.iterdir()) == []
    assert not any(path.endswith("runs/update") for path in server.asked)


ELSEWHERE = [
    "",
    ".",
    "/etc",
    "file:///etc",
    f"file:///tmp/{RUN_ID}/../..",
    f"file:///{RUN_ID}/%2e%2e/%2E%2E",
    f"a{RUN_ID}/b",
    "c:/../etc",
    f"runs:/{RUN_ID}/artifacts",
    f"models:/m-{RUN_ID}",
]


@pytest.mark.parametrize("artifact_uri", ELSEWHERE)
def test_files_go_to_no_folder_but_the_run_s_own(server: Server, artifact_uri: str) -> None:
    server.answers["runs/create"] = run_answer(RUN_ID, artifact_uri)
    with pytest.raises(InputError, match=f"it wants the files of {RUN_ID} in "):
        open_run()


@pytest.mark.parametrize("artifact_uri", [f"/shared/1/{RUN_ID}/artifacts", f"s3://bucket/{RUN_ID}/artifacts", "s3://x"])
def test_files_may_go_where_a_team_has_them(server: Server, artifact_uri: str) -> None:
    server.answers["runs/create"] = run_answer(RUN_ID, artifact_uri)
    assert open_run().run.id == RUN_ID


def test_files_go_nowhere_else_when_the_server_thinks_again(server: Server, tmp_path: Path) -> None:
    log = open_run()
    (tmp_path / "etc").mkdir()
    (tmp_path / "passwd").write_text("ours")
    server.answers["runs/get"] = run_answer(RUN_ID, (tmp_path / "etc").as_uri())
    log.add(Entry(log_artifact, (tmp_path / "passwd",)))
    log.close("FINISHED")
    assert list((tmp_path / "etc").iterdir()) == []
    (letter,) = outbox.waiting(tmp_path / "mlflow-outbox")
    assert (letter / "files/0/passwd").read_text() == "ours"


@pytest.mark.parametrize("model_id", ["", "etc", "m-etc", f"m-{RUN_ID}"])
def test_a_network_goes_to_no_folder_but_its_own(
    server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, model_id: str
) -> None:
    log = open_run()
    elsewhere = tmp_path / "m-etc" / "etc"
    elsewhere.mkdir(parents=True)
    info = {"model_id": model_id, "name": "bn", "artifact_uri": elsewhere.as_uri()}
    server.answers["mlflow/logged-models"] = {"model": {"info": info}}
    monkeypatch.setattr(model, "_save", lambda *parts: shutil.copytree(ROOT / "data", parts[-1]))
    log.add(Entry(log_network, ("bn", tmp_path / "model.pt", ROOT / "stages/training/network.py", [[], []])))
    (tmp_path / "model.pt").touch()
    log.close("FINISHED")
    assert list(elsewhere.iterdir()) == []
    assert len(outbox.waiting(tmp_path / "mlflow-outbox")) == 1


@pytest.mark.parametrize(
    "answer",
    [
        [],
        None,
        7,
        "text",
        {"experiments": 5, "experiment": 5, "run": 5, "runs": 5},
        {"experiments": [5], "experiment": [5], "run": [5], "runs": [5]},
        {"experiments": [{"experiment_id": {}}], "experiment": {"name": []}, "run": {"info": 7}, "runs": [{"info": 7}]},
        {"run": {"info": {"run_id": RUN_ID, "status": "NO SUCH STATUS"}}},
        {"run": {"data": {"params": {}}}},
        {"run": None, "experiment": None},
        b"\xff\xfe",
        b"{" * 100_000,
        b"[" * 100_000,
        b"<html>not MLflow</html>",
        b'{"experiment": {"experiment_id": 1e999}}',
    ],
)
@pytest.mark.parametrize("path", ["experiments/search", "experiments/get-by-name", "runs/search", "runs/create", "api"])
def test_an_answer_of_the_wrong_type_is_one_line(server: Server, path: str, answer: Any) -> None:
    server.answers = {"": answer} if path == "api" else server.answers | {path: answer}
    try:
        open_run()
        line = ""  # what was wrong did not matter
    except InputError as error:
        line = str(error)
    assert line == "" or line.startswith("MLFLOW_TRACKING_URI = 'http://127.0.0.1:")
    assert "\n" not in line
    assert "s3cret" not in line


def drip(handler: BaseHTTPRequestHandler) -> None:
    """Send a header that never ends, slowly enough to bore and fast enough for every timeout of a socket."""
    try:
        handler.wfile.write(b"HTTP/1.1 200 OK\r\nX-Slow: ")
        for _ in range(600):
            handler.wfile.write(b"x")
            time.sleep(0.1)
    except OSError:  # nobody listens any more
        handler.close_connection = True


def ask_to_come_back(handler: BaseHTTPRequestHandler) -> None:
    handler.send_response(503)
    handler.send_header("Retry-After", "3600")
    handler.send_header("Content-Length", "0")
    handler.end_headers()


@pytest.mark.parametrize("path", ["HEAD", "experiments/search", "runs/create"])
@pytest.mark.parametrize("behave", [drip, ask_to_come_back])
def test_no_server_makes_a_stage_wait_for_long(
    server: Server, monkeypatch: pytest.MonkeyPatch, path: str, behave: Callable[..., None]
) -> None:
    monkeypatch.setattr(connection, "SECONDS_TO_ANSWER", 2.0)
    monkeypatch.setattr(logger, "SECONDS_TO_OPEN", 1.0)
    server.answers[path] = behave
    if path == "HEAD" and behave is ask_to_come_back:
        assert find_store().startswith("http://127.0.0.1:")  # it is there; whether it lets us log is asked next
        return
    started = time.monotonic()
    with pytest.raises(InputError, match=r"no answer within|503"):
        open_run()
    assert time.monotonic() - started < 15


def test_all_waiting_before_a_training_and_all_after_it_takes_what_mlflow_grants_one_request() -> None:
    assert patience.SECONDS_TO_ANSWER + patience.SECONDS_TO_OPEN <= environment.REQUEST_TIMEOUT
    after = patience.SECONDS_TO_WRITE + patience.SECONDS_TO_LOG + patience.SECONDS_TO_END
    assert after <= environment.REQUEST_TIMEOUT


def test_a_server_that_turns_slow_costs_a_run_its_data_for_now_and_no_time(
    server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for name, seconds in {"SECONDS_TO_WRITE": 0.5, "SECONDS_TO_LOG": 1.0, "SECONDS_TO_END": 0.5}.items():
        monkeypatch.setattr(logger, name, seconds)
    log = open_run()
    server.answers = {"": drip}
    for number in range(20):
        log.add(Entry(set_tag, (f"tag{number}", "value")))
        log.write_if_due()
    started = time.monotonic()
    log.log_all()
    log.close("FINISHED")
    assert time.monotonic() - started < 10
    (line,) = capsys.readouterr().err.splitlines()
    assert "failed (no answer within 1 seconds)" in line
    assert "run 'bn' there lacks its tags, end; nothing is lost" in line
    letter = outbox.read(tmp_path / "mlflow-outbox" / RUN_ID)
    assert [entry.args[0] for entry in letter.entries] == [f"tag{number}" for number in range(20)]


def test_a_mistake_of_ours_is_told_without_credentials(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(logger, "open_run", lambda address, *_: {}[os.environ["MLFLOW_TRACKING_URI"]])
    ours, theirs = multiprocessing.Pipe()
    service = background._Service(theirs)
    service.open("train_bn", PARAMS, {"arm": "bn"}, [0.1])
    service.take(background.Open())
    _, error = ours.recv()
    assert "KeyError: '***@127.0.0.1:" in str(error)
    assert "s3cret" not in str(error)
