"""An object that lives in a process of its own, so that neither its imports nor its work hold up ours.

It also outlives us: where our process dies, even by SIGKILL, the object's process learns of it and can tidy up.
"""

import contextlib
import multiprocessing
import os
import queue
import signal
import sys
import threading
import traceback
from collections.abc import Callable, Iterator
from typing import Any

from stages import InputError

_CLOSE = "close"


class BackgroundObject:
    """Calls methods of `factory(*args)`, made in another process: in order, later (`send`) or now (`ask`).

    Whatever goes wrong there is raised by the next `ask` or `close`, and until then later calls are passed over. The
    object must have a method `close(how, error)`; it is called last, whatever happened before, with `how` "KILLED"
    where our process is gone and with what went wrong and has not been raised.
    """

    def __init__(self, factory: Callable[..., Any], *args: Any) -> None:
        context = multiprocessing.get_context("spawn")
        self._connection, theirs = context.Pipe()
        self._process = context.Process(target=_serve, args=(theirs, factory, args))
        self._process.start()
        theirs.close()

    def send(self, method: str, *args: Any) -> None:
        """Have `method` called when its turn comes."""
        with self._alive():
            self._connection.send((method, args, False))

    def ask(self, method: str, *args: Any) -> Any:
        """Return what `method` returns, after all calls before it."""
        with self._alive():
            self._connection.send((method, args, True))
            value, error = self._connection.recv()
        if error is not None:
            raise error
        return value

    def close(self, how: str) -> None:
        """End the object and its process, once all calls are done."""
        try:
            self.ask(_CLOSE, how)
        finally:
            self._connection.close()
            self._process.join()

    @contextlib.contextmanager
    def _alive(self) -> Iterator[None]:
        try:
            yield
        except (EOFError, OSError):
            raise RuntimeError("the tracking process died") from None


def _serve(connection: Any, factory: Callable[..., Any], args: tuple[Any, ...]) -> None:
    """Make the object, and call its methods as they come, until it is closed."""
    for name in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(name, signal.SIG_IGN)  # they reach the whole group; our caller decides what they mean
    calls: queue.SimpleQueue[Any] = queue.SimpleQueue()
    threading.Thread(target=_receive, args=(connection, calls), daemon=True).start()
    target, error = _attempt(factory, args)
    method = ""
    while method != _CLOSE:
        method, arguments, answer = calls.get()
        value = None
        if method == _CLOSE:
            arguments = (*arguments, error)
        if target is not None and (error is None or method == _CLOSE):
            value, failed = _attempt(getattr(target, method), arguments)
            error = error or failed
        if answer:
            with contextlib.suppress(OSError):  # nobody is there any more: the next call closes
                connection.send((value, error))
            error = None
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(0)  # all is done: spare our caller the seconds that taking MLflow apart would take


def _receive(connection: Any, calls: "queue.SimpleQueue[Any]") -> None:
    """Take calls off the pipe at once, so that the caller never waits for its buffer to drain."""
    try:
        while True:
            calls.put(connection.recv())
    except (EOFError, OSError):
        calls.put((_CLOSE, ("KILLED",), False))


def _attempt(function: Callable[..., Any], args: tuple[Any, ...]) -> tuple[Any, Exception | None]:
    try:
        return function(*args), None
    except InputError as error:
        return None, error
    except Exception:
        return None, RuntimeError(f"in the tracking process:\n{traceback.format_exc()}")
