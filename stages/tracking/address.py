"""The address of the store: what it is, how it may be shown, and what it says about logging in."""

import os
import re
from pathlib import Path
from urllib.parse import quote, unquote, urlsplit, urlunsplit

from sqlalchemy import URL, make_url

from stages import InputError
from stages.tracking.environment import root

VARIABLE = "MLFLOW_TRACKING_URI"
SECRETS = ("MLFLOW_TRACKING_PASSWORD", "MLFLOW_TRACKING_TOKEN")
DATABASES = ("sqlite", "postgres", "mysql", "mssql")
FILES = ("sqlite:///", "sqlite+pysqlite:///")
RELATIVE = re.compile(r"sqlite(?:\+pysqlite)?:///(?!/|:|file:)([^?]+)(.*)")
AT = re.compile("[@\ufe6b\uff20]")  # what Unicode takes for an @
EXPECTED = "expected an address as in http://127.0.0.1:5000 or sqlite:////folder/mlflow.db"
LENGTH_SHOWN = 100


def store_address() -> str:
    """Return the address of the store, as it is configured.

    A relative path begins at the root: temporary workspaces, where stages of an experiment may run, are deleted.
    """
    scheme, separator, rest = (os.environ.get(VARIABLE) or "sqlite:///mlflow.db").partition("://")
    address = scheme.lower() + separator + rest if separator else scheme
    relative = RELATIVE.fullmatch(address)
    return _database_address(root() / unquote(relative[1])) + relative[2] if relative else address


def _database_address(file: Path) -> str:
    """Return the address of an SQLite database, whatever characters are in its path."""
    path = str(file)
    address = URL.create("sqlite", database=path).render_as_string()
    if address.endswith(path):
        return address
    # Quoted: for sqlite:/// MLflow would make a folder of this spelling too.
    return URL.create("sqlite+pysqlite", database=path).render_as_string()


def shown(address: str) -> str:
    """Return an address without all before its last @, and without a query, which may hold a password too.

    Where it begins with FILES there is no place for a user: an @ is part of the path.
    """
    if not address.startswith(FILES):
        address = AT.sub("@", address)
    found = re.match(r"[A-Za-z][A-Za-z0-9+.-]*://", address)
    scheme = found[0] if found else ""
    rest = address[len(scheme) :]
    if not address.startswith(FILES):
        rest = rest.rpartition("@")[2]
    text = scheme + rest.partition("?")[0]
    return "".join(character if character.isprintable() else "?" for character in text)


def shown_store() -> str:
    """Return the address of the store, as it may be shown."""
    return shown(store_address())


def named_store() -> str:
    """Return the begin of a line about the store: the variable that names it, and its value, shortened."""
    return f"{VARIABLE} = {shown_store()[:LENGTH_SHOWN]!r}"


def hide(text: str) -> str:
    """Return a text of others, as of an exception, without the store's user, password, token and query."""
    address = store_address()
    if address.startswith(FILES):
        return text
    address, text = AT.sub("@", address), AT.sub("@", text)
    for secret in sorted(_secrets(address), key=len, reverse=True):
        text = re.sub(rf"(?<!\w){re.escape(secret)}(?!\w)", "***", text)
    return re.sub(r"[^\s'\"]+@", "***@", text) if "@" in address else text


def _secrets(address: str) -> set[str]:
    """Return what of an address must not be shown, in all spellings: as it is, unquoted, quoted, as `repr` has it."""
    before = re.sub(r"^[A-Za-z0-9+.-]*://", "", address.rpartition("@")[0])
    query = address.partition("?")[2]
    user, _, password = before.partition(":")
    values = [value for _, _, value in (pair.partition("=") for pair in query.split("&"))]
    found: set[str] = set()
    apart = [os.environ.get(variable, "") for variable in SECRETS]
    for secret in (before, user, password, query, *values, *apart):
        found |= {secret, unquote(secret), quote(secret, safe=""), repr(secret)[1:-1]}
    return found - {""}


def log_in(address: str) -> str:
    """Return an address without the credentials of a server, and give those to MLflow where it never shows them.

    Raises InputError where it is no address.
    """
    if not address.isprintable() or (" " in address.partition("?")[0] and not address.startswith("sqlite")):
        raise _refusal("has a space or a line break in it")
    if re.fullmatch(r"databricks(-uc)?", address):
        return address
    if not re.match(r"[A-Za-z][A-Za-z0-9+.-]*://", address):
        raise _refusal("has no scheme")
    if address.startswith(DATABASES):
        _check_database(address)
    return _log_in_to_server(address) if address.startswith("http") else address


def _log_in_to_server(address: str) -> str:
    try:
        parts = urlsplit(address)
        is_misread = "@" in parts.path + parts.query + parts.fragment
        has_host = is_misread or (parts.hostname and parts.port != 0)
    except ValueError:
        has_host = is_misread = False
    if is_misread:
        expected = "expected %2F for a slash in the password, %40 for an @ in the path"
        raise _refusal("has an @ after the first slash", expected)
    if not has_host:
        raise _refusal("has no valid host and port")
    credentials, at, server = parts.netloc.rpartition("@")
    if "%00" in credentials:
        raise _refusal("has a %00 before its @", "expected a password without one")
    if at:
        user, _, password = credentials.partition(":")
        os.environ["MLFLOW_TRACKING_USERNAME"] = unquote(user)
        os.environ["MLFLOW_TRACKING_PASSWORD"] = unquote(password)
    return urlunsplit(parts._replace(netloc=server))


def _check_database(address: str) -> None:
    """Raise InputError for a port that is no number; SQLAlchemy's own errors have a line that is good enough."""
    try:
        make_url(address)
    except ValueError:
        raise _refusal("has no valid host and port") from None


def memory_refusal() -> InputError:
    """Return the error on a database that is no file."""
    return _refusal("is in memory, where all runs are lost", "expected a file, as in sqlite:////folder/mlflow.db")


def _refusal(reason: str, expected: str = EXPECTED) -> InputError:
    return InputError(f"{named_store()} {reason}: {expected}")
