"""An object that lives in a process of its own, so that neither its imports nor its work hold up ours.

It also outlives us: where our process dies, even by SIGKILL, the object's process learns of it and can tidy up.
"""

import multiprocessing
import os
import queue
import signal
import sys
import threading
import traceback
from collections.abc import Callable
from typing import Any

from stages import InputError

_ORPHANED = object()


class BackgroundObject:
    """Calls methods of `factory(*args)`, made in another process: in order, later (`send`) or now (`ask`).

    Whatever goes wrong there is raised by the next `ask`, and until then later calls are passed over. The object must
    have a method `abandon()`, called where our process is gone.
    """

    def __init__(self, factory: Callable[..., Any], *args: Any) -> None:
        context = multiprocessing.get_context("spawn")
        self._connection, theirs = context.Pipe()
        self._process = context.Process(target=_serve, args=(theirs, factory, args))
        self._process.start()
        theirs.close()

    def send(self, method: str, *args: Any) -> None:
        """Have `method` called when its turn comes."""
        self._connection.send((method, args, False))

    def ask(self, method: str, *args: Any) -> Any:
        """Return what `method` returns, after all calls before it."""
        self._connection.send((method, args, True))
        try:
            value, error = self._connection.recv()
        except EOFError:
            raise RuntimeError("the tracking process died") from None
        if error is not None:
            raise error
        return value

    def close(self) -> None:
        """End the process, once all calls are done."""
        self._connection.close()
        self._process.join()


def _serve(connection: Any, factory: Callable[..., Any], args: tuple[Any, ...]) -> None:
    """Make the object, and call its methods as they come, until nobody is there to call."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches the whole group; our caller decides what it means
    calls: queue.SimpleQueue[Any] = queue.SimpleQueue()
    threading.Thread(target=_receive, args=(connection, calls), daemon=True).start()
    target, error = _attempt(factory, args)
    while (call := calls.get()) is not _ORPHANED:
        method, arguments, answer = call
        value = None
        if error is None:
            value, error = _attempt(getattr(target, method), arguments)
        if answer:
            connection.send((value, error))
            error = error if target is None else None
    if target is not None:
        target.abandon()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(0)  # all is done: spare our caller the seconds that taking MLflow apart would take


def _receive(connection: Any, calls: "queue.SimpleQueue[Any]") -> None:
    """Take calls off the pipe at once, so that the caller never waits for its buffer to drain."""
    try:
        while True:
            calls.put(connection.recv())
    except (EOFError, OSError):
        calls.put(_ORPHANED)


def _attempt(function: Callable[..., Any], args: tuple[Any, ...]) -> tuple[Any, Exception | None]:
    try:
        return function(*args), None
    except InputError as error:
        return None, error
    except Exception:
        return None, RuntimeError(f"in the tracking process:\n{traceback.format_exc()}")
