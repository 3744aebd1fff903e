"""Addresses of stores: refused in one line where they are none, and never shown with a password."""

import os
import sqlite3
import traceback
from pathlib import Path

import mlflow
import pytest

from stages import InputError
from stages.tracking.address import hide, log_in, shown, shown_store, store_address
from stages.tracking.connection import find_store
from stages.tracking.logger import open_log
from stages.tracking.store import open_client, open_experiment

SECRET = "s3cret"


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("DVC_ROOT", str(tmp_path))
    for variable in ("MLFLOW_TRACKING_URI", "MLFLOW_TRACKING_USERNAME", "MLFLOW_TRACKING_PASSWORD"):
        monkeypatch.setenv(variable, "")
    return tmp_path


@pytest.mark.parametrize(
    ("address", "expected"),
    [
        ("http://ann:secret@host:5000/mlflow", "http://host:5000/mlflow"),
        ("postgresql://ann:secret@host/db", "postgresql://host/db"),
        ("postgresql://host/db?user=ann&password=secret", "postgresql://host/db"),
        ("http://ann:sec/ret@host", "http://host"),
        ("sqlite:////home/a@b/mlflow.db", "sqlite:////home/a@b/mlflow.db"),
        ("sqlite+pysqlite:////home/a@b%25/mlflow.db", "sqlite+pysqlite:////home/a@b%25/mlflow.db"),
        ("http://host:5000", "http://host:5000"),
        ("bob:pw@host:5000", "host:5000"),
        ("http:/bob:pw@host", "host"),
        ("http://bob:p\nw@host", "http://host"),
        ("http://bob:pw@host\u2100", "http://host\u2100"),
        ("http://bob:pw\uff20host", "http://host"),
        ("http://bob:pw@in\ufe6bhost", "http://host"),
        ("http://host\n", "http://host?"),
        ("bob:pw@host://host", "host://host"),
        ("http://bob:p@ss@host", "http://host"),
        ("http://bob:p?w@host/?key=value", "http://host/"),
        ("sqlite+pysqlcipher://:pw@/file.db", "sqlite+pysqlcipher:///file.db"),
    ],
)
def test_no_address_is_shown_with_credentials(address: str, expected: str) -> None:
    assert shown(address) == expected


@pytest.mark.parametrize(
    ("address", "reason"),
    [
        (f"ann:{SECRET}@host:5000", "has no scheme"),
        (f"//ann:{SECRET}@host", "has no scheme"),
        (f"http:/ann:{SECRET}@host", "has no scheme"),
        ("./mlruns", "has no scheme"),
        (f"http://ann:{SECRET}\n@host", "has a space or a line break"),
        (f"http://ann:x {SECRET}@host", "has a space or a line break"),
        (f"http://ann:{SECRET}@host\u2100", "has no valid host and port"),
        (f"http://ann:{SECRET}\uff20host", "has no valid host and port"),
        (f"http://ann:{SECRET}%00@host", "has a %00 before its @"),
        (f"http://ann:{SECRET}[@host", "has no valid host and port"),
        (f"http://ann:{SECRET}@[host", "has no valid host and port"),
        (f"http://ann:{SECRET}@host:port", "has no valid host and port"),
        (f"http://ann:{SECRET}@host:99999", "has no valid host and port"),
        (f"http://ann:{SECRET}@", "has no valid host and port"),
        (f"http://ann:{SECRET}/x@host", "has an @ after the first slash"),
        (f"http://ann:{SECRET}@127.0.0.1:1", "Connection refused"),
        (f"HTTP://ann:{SECRET}@127.0.0.1:1", "Connection refused"),
        (f"postgresql://ann:{SECRET}@127.0.0.1:1/db", "No module named 'psycopg"),
        (f"postgresql://ann:{SECRET}@host:port/db", "has no valid host and port"),
        (f"mysql+pymysql://ann:{SECRET}@127.0.0.1/db", "No module named 'pymysql'"),
        (f"mssql+pyodbc://ann:{SECRET}@127.0.0.1/db", "No module named 'pyodbc'"),
        (f"sqlite+pysqlcipher://:{SECRET}@/x.db", "No module named '"),
        (f"nonsense://ann:{SECRET}@host/db", "nonsense"),
        (f"s3://ann:{SECRET}@bucket", "s3"),
        ("sqlite://", "is in memory"),
        ("sqlite:///:memory:", "is in memory"),
        ("sqlite:///file::memory:?uri=true", "is in memory"),
        ("sqlite:///file:x?mode=memory&uri=true", "is in memory"),
        ("sqlite:///file:?uri=true", "is in memory"),
        ("sqlite:///file:%253Amemory%253A?uri=true", "is in memory"),
        ("sqlite:///file:/x?vfs=memdb&uri=true", "is in memory"),
        ("sqlite:////no/such/folder/x.db", "unable to open database file"),
    ],
)
def test_an_address_that_is_none_stops_the_stage_in_one_line(
    root: Path, monkeypatch: pytest.MonkeyPatch, address: str, reason: str
) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", address)
    with pytest.raises(InputError) as raised:
        open_log(find_store(), "train_bn", {"tracking.experiment": "x"}, {}, [])
    line = str(raised.value)
    assert line.startswith("MLFLOW_TRACKING_URI = ")
    assert reason in line
    assert "\n" not in line
    printed = "".join(traceback.format_exception(raised.value))
    assert SECRET not in printed
    assert "ann" not in printed.replace("_channel", "")


def test_credentials_are_taken_out_of_the_address(root: Path) -> None:
    assert log_in("https://ann:p%40ss%2F@host:5000/mlflow?a=b") == "https://host:5000/mlflow?a=b"
    assert (os.environ["MLFLOW_TRACKING_USERNAME"], os.environ["MLFLOW_TRACKING_PASSWORD"]) == ("ann", "p@ss/")


@pytest.mark.parametrize(
    ("address", "text"),
    [
        ("http://ann:s3cret@host", "no connection to http://ann:s3cret@host/api"),
        ("http://ann:s3cret\uff20host", "no connection to http://ann:s3cret\uff20host/api"),
        ("http://ann:s3cret@host", "invalid literal: 's3cret@host'"),
        ("http://ann:s3cret@host", "password authentication failed for user 'ann' with s3cret"),
        ("http://ann:s3cr%2Ft@host", "decoded: s3cr/t"),
        ("http://ann:s3c\nret@host", "as repr has it: 's3c\\nret'"),
        ("http://ann:s3c\nret@host", "without the line break: http://ann:s3cret@host"),
        ("postgresql://host/db?user=ann&password=s3cret", "no password 's3cret' of ann in db"),
        ("ann:s3cret@host", "no such file: ann:s3cret@host"),
    ],
)
def test_what_others_say_is_told_without_credentials(monkeypatch: pytest.MonkeyPatch, address: str, text: str) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", address)
    told = hide(text)
    assert not any(secret in told for secret in ("ann", "s3c", "ret"))
    assert told.split()[0] == text.split()[0]  # the rest is there


@pytest.mark.parametrize(
    "name",
    [
        "per%20cent",
        "100%",
        "quest?ion",
        "it's",
        'say "so"',
        "ha#sh",
        "a@b",
        "plus+",
        "semi;colon",
        "\u00fcml\u00e4ut",
        "a&b=c",
    ],
)
def test_the_database_is_at_the_root_whatever_its_path(
    root: Path, monkeypatch: pytest.MonkeyPatch, empty_store: Path, name: str
) -> None:
    folder = root / name
    folder.mkdir()
    (folder / "mlflow.db").write_bytes(empty_store.read_bytes())
    monkeypatch.setenv("DVC_ROOT", str(folder))
    client = open_client(find_store())
    run_id = client.create_run(open_experiment(client, "x"), run_name="here").info.run_id
    (folder / "file.txt").write_text("content")
    client.log_artifact(run_id, str(folder / "file.txt"))
    mlflow.set_tracking_uri(None)
    with sqlite3.connect(folder / "mlflow.db") as database:  # where a plain `mlflow ui` finds it
        assert database.execute("SELECT name FROM runs").fetchall() == [("here",)]
    assert (folder / "mlartifacts" / run_id / "artifacts" / "file.txt").read_text() == "content"
    assert {path.name for path in root.iterdir()} == {name}


@pytest.mark.parametrize(
    "uri", ["", "sqlite:///mlflow.db", "sqlite+pysqlite:///./mlflow.db", "SQLITE:///mlflow.db?a=b"]
)
def test_a_relative_path_begins_at_the_root_wherever_the_stage_runs(
    root: Path, monkeypatch: pytest.MonkeyPatch, uri: str
) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", uri)
    assert shown_store() == f"sqlite:///{root}/mlflow.db"


def test_an_address_is_compared_as_it_is_used(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "HTTP://ann:s3cret@host")
    assert shown(log_in(store_address())) == shown_store() == "http://host"


@pytest.mark.parametrize("variable", ["MLFLOW_TRACKING_TOKEN", "MLFLOW_TRACKING_PASSWORD"])
def test_a_secret_beside_the_address_is_hidden_too(monkeypatch: pytest.MonkeyPatch, variable: str) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://host")
    monkeypatch.setenv(variable, "s3c\nret")
    assert hide("invalid header: 'Bearer s3c\\nret'") == "invalid header: 'Bearer ***'"


def test_the_default_address_holds_no_credentials_to_hide(root: Path) -> None:
    assert hide(f"ann@host {store_address()}") == f"ann@host {store_address()}"
