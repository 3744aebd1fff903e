"""Whether the store is there: asked before MLflow is imported, which has more patience."""

import contextlib
import math
import sqlite3
from collections.abc import Iterator
from pathlib import Path

import requests
import sqlalchemy

from stages.tracking.address import DATABASES, log_in, memory_refusal, store_address
from stages.tracking.errors import errors_named
from stages.tracking.patience import SECONDS_TO_ANSWER, Patience

SECONDS_TO_CONNECT = 5


def find_store() -> str:
    """Return the address of a store that is there, without credentials.

    Raises InputError where it does not answer: within seconds, where MLflow would wait for minutes.
    """
    with errors_named():
        address = log_in(store_address())
        patience_with(address, SECONDS_TO_ANSWER).wait_for(_await_answer, address)
        return address


def patience_with(address: str, seconds: float) -> Patience:
    """Return how long a store may take; a database of our own takes what it takes on a slow disk."""
    return Patience(math.inf if address.startswith("sqlite") else seconds)


def _await_answer(address: str) -> None:
    if address.startswith("http"):
        with contextlib.suppress(requests.exceptions.SSLError):  # there is a server; MLflow knows what to trust
            requests.head(address, timeout=SECONDS_TO_CONNECT)
    elif address.startswith(DATABASES):
        _connect(address)


def _connect(address: str) -> None:
    """Connect to a database once. Raises InputError for one of SQLite's that would be gone with this process."""
    with sqlalchemy.create_engine(address, poolclass=sqlalchemy.NullPool).connect() as connection:
        if connection.dialect.name != "sqlite":
            return
        connection.exec_driver_sql("SELECT name FROM sqlite_master")  # makes the file
        databases = connection.exec_driver_sql("PRAGMA database_list")
        files = [file for _, name, file in databases if name == "main"]
        if not all(file and Path(file).exists() for file in files):
            raise memory_refusal()


@contextlib.contextmanager
def making_tables(address: str) -> Iterator[None]:
    """Do not wait for the disk while MLflow makes the tables of an empty SQLite database: it does so a thousand times.

    Where power fails meanwhile, the file may be unreadable, and nothing is in it yet.
    """
    if not _is_empty(address):
        yield
        return
    connections: list[sqlite3.Connection] = []

    def hurry(connection: sqlite3.Connection, _: object) -> None:
        connection.execute("PRAGMA synchronous = OFF")
        connections.append(connection)

    sqlalchemy.event.listen(sqlalchemy.Engine, "connect", hurry)
    try:
        yield
    finally:
        sqlalchemy.event.remove(sqlalchemy.Engine, "connect", hurry)
        for connection in connections:
            with contextlib.suppress(sqlite3.ProgrammingError):  # it is closed
                connection.execute("PRAGMA synchronous = FULL")


def _is_empty(address: str) -> bool:
    """Return whether an address is that of an SQLite file with nothing in it."""
    if not address.startswith("sqlite"):
        return False
    file = Path(sqlalchemy.make_url(address).database or "")
    return file.is_file() and file.stat().st_size == 0
