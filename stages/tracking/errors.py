"""Which errors are the store's, not ours, and what a user is told of them: one line, without a password."""

import traceback
from collections.abc import Iterator
from contextlib import contextmanager

from stages import InputError
from stages.tracking.address import hide, named_store

OURS = ("stages", "__main__")
TALK_TO_THE_STORE = ("mlflow", "requests", "sqlalchemy")
LENGTH_SHOWN = 200


def is_store_error(error: BaseException) -> bool:
    """Return whether the store, or what talks to it, fails: also a full disk, and an answer nobody understands.

    What our own lines raise is a mistake of ours, and passes through whole.
    """
    return isinstance(error, OSError) or _called(error) in TALK_TO_THE_STORE


def _called(error: BaseException) -> str:
    """Return the package that our own lines had called when the error was raised."""
    called = ""
    for frame, _ in reversed(list(traceback.walk_tb(error.__traceback__))):
        package = frame.f_globals.get("__name__", "").partition(".")[0]
        if package in OURS:
            break
        called = package
    return called


@contextmanager
def errors_named() -> Iterator[None]:
    """Turn what a store that fails raises into one line for the user."""
    try:
        yield
    except InputError:
        raise
    except Exception as error:
        if not is_store_error(error):
            raise
        raise InputError(
            f"{named_store()}: {reason(error)}: expected an MLflow server or database that answers and lets us log"
        ) from None


def reason(error: BaseException) -> str:
    """Return the root cause of an error in one line."""
    while cause := error.__cause__ or (None if error.__suppress_context__ else error.__context__):
        if isinstance(cause, LookupError):  # it only says for which key
            break
        error = cause
    text = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
    return hide(" ".join(text.split()))[:LENGTH_SHOWN] or type(error).__name__
