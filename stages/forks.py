"""Forks of this process, and processes that end with it."""

import contextlib
import multiprocessing
import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Sequence
from multiprocessing.connection import Connection
from multiprocessing.context import ForkContext
from typing import Any, TypeVar

SECONDS_TO_NOTICE = 0.5  # for a process, that its parent is gone

Task = TypeVar("Task")
Result = TypeVar("Result")


def fork_context() -> ForkContext | None:
    """Return how to fork this process; None where that is not safe.

    It is where it has one thread, which a client of Dask's has not, on a system whose libraries allow it.
    """
    is_safe = sys.platform == "linux" and threading.active_count() == 1
    return multiprocessing.get_context("fork") if is_safe else None


def share_with_fork(function: Callable[[Task], Result], tasks: Sequence[Task]) -> list[Result]:
    """Return function(task) for each task, in their order; a fork of this process does every other one.

    A fork has all that this process has, so nothing is sent to it, or imported; its results are sent, pickled.
    Where there can be none, or with STUDY_ENGINE=inline, all is done here.
    """
    context = fork_context()
    if context is None or os.environ.get("STUDY_ENGINE") == "inline":
        return [function(task) for task in tasks]
    ours, theirs = context.Pipe(duplex=False)
    arguments = (os.getpid(), ours, theirs, function, tasks[1::2])
    process = context.Process(target=_send_results, args=arguments, daemon=True)
    process.start()
    theirs.close()
    shared: list[Any] = [None] * len(tasks)
    try:
        shared[::2] = [function(task) for task in tasks[::2]]
        shared[1::2] = _receive(ours) or [function(task) for task in tasks[1::2]]
    finally:
        process.terminate()  # where something is wrong here, it may still work
        process.join()
    return shared


def watch_parent(parent: int) -> None:
    """Let this process end with its parent, whose work it does."""
    threading.Thread(target=_end_with, args=(parent,), daemon=True).start()


def _receive(ours: Connection) -> Any:
    """Return what a fork sends; None where it was killed, or where something is wrong, which is then told here."""
    with contextlib.suppress(EOFError, OSError):  # before a message, and in the middle of one
        return ours.recv()


def _send_results(
    parent: int, ours: Connection, theirs: Connection, function: Callable[[Task], Result], tasks: Sequence[Task]
) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches the whole group; the stage says so, and ends this
    watch_parent(parent)
    ours.close()
    with contextlib.suppress(Exception):
        theirs.send([function(task) for task in tasks])


def _end_with(parent: int) -> None:
    while os.getppid() == parent:
        time.sleep(SECONDS_TO_NOTICE)
    os._exit(1)  # nobody is left to hear of it
