"""What a store does not take: on disk until it does, and in nobody's way."""

import json
import math
from pathlib import Path

import pandas as pd
import pytest
from mlflow import MlflowClient
from mlflow.entities import Run
from mlflow.exceptions import MlflowException
from mlflow.protos.databricks_pb2 import BAD_REQUEST, INTERNAL_ERROR, INVALID_PARAMETER_VALUE, TEMPORARILY_UNAVAILABLE
from mlflow.tracking._tracking_service.client import TrackingServiceClient
from requests import HTTPError, Response
from sqlalchemy.exc import DatabaseError, IntegrityError

from stages import InputError
from stages.tracking import entries, outbox, resync
from stages.tracking.delivery import is_refusal
from stages.tracking.entries import Entry, LoggedRun
from stages.tracking.environment import outbox_folder
from stages.tracking.logger import RunLog, open_log
from stages.tracking.outbox import Letter

PARAMS = {"tracking.experiment": "x", "epochs": 5, "lr": 0.1}
RUN = LoggedRun("sqlite:///x", "a" * 32, "bn", "1", 5, "0.1", {"0.1": "b" * 32})


def open_run(store: MlflowClient) -> RunLog:
    return open_log(store.tracking_uri, "train_bn", PARAMS, {"arm": "bn"}, [0.1])


def logged(store: MlflowClient, log: RunLog) -> Run:
    return store.get_run(log.run.id)


def files(store: MlflowClient, log: RunLog) -> list[str]:
    return [file.path for file in store.list_artifacts(log.run.id)]


def test_a_letter_comes_back_as_it_was_put(tmp_path: Path) -> None:
    paths = [tmp_path / folder / "curves.csv" for folder in ("baseline", "bn")]
    for path in paths:
        path.parent.mkdir()
        path.write_text(f"of {path.parent.name}")
    numbers = {"file": 0.1 + 0.2, "large": 1e300, "small": 5e-324, "nan": math.nan, "inf": math.inf, "low": -math.inf}
    sent = [
        Entry(entries.log_epoch, (3, numbers, {entries.rate_key(1 / 3): numbers}, 17)),
        Entry(entries.log_points, (RUN.id, [["val_loss", 0.25, 17, 3]])),
        *(Entry(entries.log_artifact, (path,)) for path in paths),
        Entry(entries.set_tag, ("note", 'quotes " and \u00fcml\u00e4uts\n')),
    ]
    outbox.put(tmp_path / "out", Letter(RUN, sent, "FINISHED", 18))
    for path in paths:
        path.unlink()
    (folder,) = outbox.waiting(tmp_path / "out")
    letter = outbox.read(folder)
    assert (letter.run, letter.status, letter.end_time) == (RUN, "FINISHED", 18)
    assert [entry.function for entry in letter.entries] == [entry.function for entry in sent]
    step, metrics, by_rate, timestamp = letter.entries[0].args
    assert (step, timestamp) == (3, 17)
    assert {name: repr(value) for name, value in metrics.items()} == {
        name: repr(value) for name, value in numbers.items()
    }
    assert repr(by_rate) == repr({"0.3333333333333333": numbers})
    assert [letter.entries[number].args[0].read_text() for number in (2, 3)] == ["of baseline", "of bn"]
    assert [letter.entries[number].args[0].name for number in (2, 3)] == ["curves.csv", "curves.csv"]
    assert letter.entries[1] == sent[1]
    assert letter.entries[4] == sent[4]


def test_nothing_in_the_outbox_is_a_pickle(tmp_path: Path) -> None:
    outbox.put(tmp_path, Letter(RUN, [Entry(entries.set_tag, ("a", "b"))], "FINISHED", 18))
    (letter,) = (path for path in (tmp_path / RUN.id).rglob("*") if path.is_file())
    assert json.loads(letter.read_text())["entries"] == [
        {"function": "set_tag", "args": [{"value": "a"}, {"value": "b"}]}
    ]


def test_every_function_that_may_be_sent_is_found_by_its_name() -> None:
    public = {name for name, value in vars(entries).items() if getattr(value, "__module__", "") == entries.__name__}
    functions = {name for name in public if name.islower() and name != entries.rate_key.__name__}
    assert set(entries.BY_NAME) == functions
    assert set(entries.WORDS) <= set(entries.BY_NAME.values())


@pytest.mark.parametrize(
    "told",
    [
        "no JSON",
        "[]",
        '{"run": {}, "entries": [], "status": "FINISHED", "end_time": 1}',
        '{"entries": [{"function": "system", "args": [{"value": "id"}]}]}',
        '{"entries": [{"function": "log_artifact", "args": [{"file": "../../letter.json"}]}]}',
        '{"entries": [{"function": "log_artifact", "args": [{"file": 7}]}]}',
    ],
)
def test_a_letter_that_cannot_be_read_is_named_and_holds_up_no_other(store: MlflowClient, told: str) -> None:
    log = open_run(store)
    letter = Letter(log.run, [Entry(entries.set_tag, ("a", "b"))], "FINISHED", 1)
    outbox.put(outbox_folder(), letter)
    broken = outbox_folder() / "broken"
    broken.mkdir()
    (broken / outbox.LETTER).write_text(told)
    with pytest.raises(InputError, match=r"broken/letter\.json: cannot be read .*: remove .*broken$"):
        list(resync.resync())
    assert logged(store, log).data.tags["a"] == "b"
    assert outbox.waiting(outbox_folder()) == [broken]


def test_a_table_of_20_000_features_is_logged(store: MlflowClient, tmp_path: Path) -> None:
    columns = {f"a_feature_with_a_name_{number}": [0.5, 1.5] for number in range(20_000)}
    pd.DataFrame(columns | {"label": [0, 1]}).to_csv(tmp_path / "train.csv", index=False)
    log = open_run(store)
    log.add(Entry(entries.log_dataset, (tmp_path / "train.csv", "data/train.csv", "training")))
    log.close("FINISHED")
    (entry,) = logged(store, log).inputs.dataset_inputs
    schema = json.loads(entry.dataset.schema)["mlflow_colspec"]
    assert 5_000 < len(schema) < 20_001
    assert (schema[0]["name"], schema[-1]["name"]) == ("a_feature_with_a_name_0", "label")
    assert json.loads(entry.dataset.profile) == {"num_rows": 2, "num_elements": 40_002}


def test_what_is_refused_for_ever_is_told_and_holds_up_nothing(
    store: MlflowClient, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "file.txt").write_text("content")
    log = open_run(store)
    for entry in (
        Entry(entries.set_tag, ("no$good", "value")),
        Entry(entries.log_summary, ({"no$good": 1.0}, 1)),
        Entry(entries.set_tag, ("good", "value")),
        Entry(entries.log_artifact, (tmp_path / "file.txt",)),
    ):
        log.add(entry)
    log.close("FINISHED")
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("warning: MLflow at sqlite:///")
    assert "refuses for ever (" in line
    assert line.endswith(
        "): run 'bn (sunny-day)' there stays without its summary, tags; the files in results/ are complete"
    )
    assert logged(store, log).info.status == "FINISHED"
    assert logged(store, log).data.tags["good"] == "value"
    assert files(store, log) == ["file.txt"]
    assert outbox.waiting(outbox_folder()) == []


def test_what_fails_for_now_waits_and_holds_up_nothing(
    store: MlflowClient, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    log = open_run(store)
    set_tag = TrackingServiceClient.set_tag
    with monkeypatch.context() as ill:

        def fail_on_one(self: TrackingServiceClient, run_id: str, key: str, *more: object, **options: object) -> None:
            if key == "ill":
                raise MlflowException("the server is ill", INTERNAL_ERROR)
            set_tag(self, run_id, key, *more, **options)

        ill.setattr(TrackingServiceClient, "set_tag", fail_on_one)
        log.add(Entry(entries.set_tag, ("ill", "value")))
        log.add(Entry(entries.set_tag, ("well", "value")))
        log.add(Entry(entries.log_epoch, (4, {"val_loss": 1.0}, {"0.1": {"val_loss": math.nan}}, 1)))
        log.close("FINISHED")
    (line,) = capsys.readouterr().err.splitlines()
    assert line.endswith(
        "failed (the server is ill): run 'bn (sunny-day)' there lacks its tags;"
        " nothing is lost: `make resync` logs it later"
    )
    run = logged(store, log)
    assert (run.info.status, run.data.metrics, run.data.tags["well"]) == ("FINISHED", {"val_loss": 1.0}, "value")
    assert "ill" not in run.data.tags
    assert list(resync.resync()) == ["run 'bn (sunny-day)' is complete"]
    assert logged(store, log).data.tags["ill"] == "value"
    assert logged(store, log).info.status == "FINISHED"


def test_a_store_that_cannot_be_reached_is_asked_once_a_round(
    store: MlflowClient, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    asked = []

    def fail(*arguments: object, **options: object) -> None:
        asked.append(arguments)
        raise MlflowException("away", TEMPORARILY_UNAVAILABLE)

    log = open_run(store)
    with monkeypatch.context() as away:
        for method in ("set_tag", "log_batch", "get_run", "set_terminated"):
            away.setattr(TrackingServiceClient, method, fail)
        for number in range(50):
            log.add(Entry(entries.set_tag, (f"tag{number}", "value")))
            log.write_if_due()
        log.add(Entry(entries.log_epoch, (4, {"val_loss": 1.0}, {}, 1)))
        log.close("FINISHED")
    assert len(asked) <= 5  # for two rounds, each with a look whether the run is there, and the end
    assert "there lacks its metrics since epoch 4, tags, end; nothing is lost" in capsys.readouterr().err
    list(resync.resync())
    run = logged(store, log)
    assert {f"tag{number}" for number in range(50)} <= run.data.tags.keys()
    assert (run.info.status, run.data.metrics) == ("FINISHED", {"val_loss": 1.0})


def test_a_run_that_is_deleted_while_it_runs_keeps_its_data(
    store: MlflowClient, capsys: pytest.CaptureFixture[str]
) -> None:
    log = open_run(store)
    store.delete_run(log.run.id)
    log.add(Entry(entries.set_tag, ("a", "b")))
    log.close("FINISHED")
    (line,) = capsys.readouterr().err.splitlines()
    assert "there lacks its tags, end; nothing is lost" in line
    store.restore_run(log.run.id)
    list(resync.resync())
    assert (logged(store, log).info.status, logged(store, log).data.tags["a"]) == ("FINISHED", "b")


def test_artifacts_that_cannot_be_written_go_out_later(
    store: MlflowClient, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "mlartifacts").write_text("a file, not a folder")
    (tmp_path / "file.txt").write_text("content")
    log = open_run(store)
    log.add(Entry(entries.log_artifact, (tmp_path / "file.txt",)))
    log.add(Entry(entries.set_tag, ("a", "b")))
    log.close("FINISHED")
    (line,) = capsys.readouterr().err.splitlines()
    assert "there lacks its files; nothing is lost" in line
    assert (logged(store, log).info.status, logged(store, log).data.tags["a"]) == ("FINISHED", "b")
    (tmp_path / "mlartifacts").unlink()
    list(resync.resync())
    assert files(store, log) == ["file.txt"]


def test_an_outbox_that_cannot_be_written_is_told_in_the_same_line(
    store: MlflowClient, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    log = open_run(store)
    (tmp_path / "mlflow-outbox").write_text("a file, not a folder")
    monkeypatch.setattr(MlflowClient, "set_tag", lambda *_: raise_error(OSError(28, "No space left on device")))
    log.add(Entry(entries.set_tag, ("a", "b")))
    log.close("FINISHED")
    (line,) = capsys.readouterr().err.splitlines()
    assert "failed (No space left on device)" in line
    assert "mlflow-outbox either (Not a directory); the results are complete" in line
    with pytest.raises(InputError, match="mlflow-outbox: File exists: expected a folder"):
        list(resync.resync())


def raise_error(error: Exception) -> None:
    raise error


def caused_by(error: Exception, cause: Exception) -> Exception:
    error.__cause__ = cause
    return error


def http_error(status: int) -> HTTPError:
    response = Response()
    response.status_code = status
    return HTTPError(f"{status}", response=response)


@pytest.mark.parametrize(
    ("error", "for_ever"),
    [
        (MlflowException("too long", INVALID_PARAMETER_VALUE), True),
        (MlflowException("what is that?", BAD_REQUEST), True),
        (MlflowException("ill", INTERNAL_ERROR), False),
        (MlflowException("busy", TEMPORARILY_UNAVAILABLE), False),
        (caused_by(MlflowException("", BAD_REQUEST), DatabaseError("", None, Exception("malformed"))), False),
        (caused_by(MlflowException("", BAD_REQUEST), IntegrityError("", None, Exception("no such key"))), True),
        (http_error(400), True),
        (http_error(413), True),
        (http_error(401), False),
        (http_error(403), False),
        (http_error(404), False),
        (http_error(429), False),
        (http_error(500), False),
        (http_error(503), False),
        (ConnectionError("away"), False),
        (TimeoutError("no answer"), False),
        (OSError(28, "No space left on device"), False),
    ],
)
def test_a_refusal_of_what_is_asked_is_for_ever(error: Exception, for_ever: bool) -> None:
    assert is_refusal(error) == for_ever
