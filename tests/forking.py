"""The process that logs, as a fork of one that has imported MLflow: a fresh one takes three seconds to do so."""

import multiprocessing
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from multiprocessing import forkserver
from multiprocessing.context import ForkServerContext, ForkServerProcess
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[1]


class Forked(ForkServerProcess):
    """Has the environment of who starts it, as a spawned process does, not that of the process it is a fork of."""

    def __init__(self, target: Callable[..., None], args: tuple[Any, ...]) -> None:
        super().__init__(target=call_in, args=(dict(os.environ), target, args))


def call_in(environment: dict[str, str], target: Callable[..., None], args: tuple[Any, ...]) -> None:
    os.environ.clear()
    os.environ.update(environment)
    target(*args)


class Forking(ForkServerContext):
    """Stands in for the context "spawn"."""

    Process = Forked


@contextmanager
def forks_that_log() -> Iterator[None]:
    """Have processes forked that otherwise were spawned."""
    context = Forking()
    context.set_forkserver_preload(["stages.tracking.logger", "opened_store"])
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYTHONPATH", f"{ROOT}{os.pathsep}{ROOT / 'tests'}")
        forkserver.ensure_running()
        patch.undo()
        patch.setattr(multiprocessing, "get_context", lambda method: context)
        yield
