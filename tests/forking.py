"""Processes as forks of one that has imported MLflow and PyTorch: a fresh one takes five seconds to do so."""

import importlib
import multiprocessing
import os
import runpy
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from multiprocessing import forkserver
from multiprocessing.connection import Connection
from multiprocessing.context import ForkServerContext, ForkServerProcess
from multiprocessing.reduction import DupFd
from pathlib import Path
from typing import IO, Any

import pytest

ROOT = Path(__file__).parents[1]
PRELOADED = ["stages.tracking.logger", "stages.arm.run", "opened_store"]
SECONDS = "300"  # that a server has: other tests may keep the machine busy


class Forked(ForkServerProcess):
    """Has environment and outputs of who starts it, as a spawned process does, not those of what it is a fork of."""

    def __init__(self, target: Callable[..., None], args: tuple[Any, ...]) -> None:
        super().__init__(target=call_with, args=(Outputs(), dict(os.environ), target, args))


class Outputs:
    """Standard output and error: whoever unpickles them has those of who pickled them."""

    def __reduce__(self) -> tuple[Callable[..., None], tuple[Any, ...]]:
        return take_outputs, (DupFd(1), DupFd(2))


def take_outputs(*outputs: Any) -> None:
    for descriptor, output in enumerate(outputs, start=1):
        os.dup2(output.detach(), descriptor)


def call_with(_: None, environment: dict[str, str], target: Callable[..., None], args: tuple[Any, ...]) -> None:
    os.environ.clear()
    os.environ.update(environment)
    target(*args)


class Forking(ForkServerContext):
    """Stands in for the context "spawn"."""

    Process = Forked


def start_forking() -> Forking:
    """Return the context, once the process that is forked runs."""
    context = Forking()
    context.set_forkserver_preload(PRELOADED)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYTHONPATH", f"{ROOT}{os.pathsep}{ROOT / 'tests'}")
        patch.setenv("MLFLOW_HTTP_REQUEST_TIMEOUT", SECONDS)
        forkserver.ensure_running()
    return context


@contextmanager
def forks_that_log() -> Iterator[None]:
    """Have processes forked that otherwise were spawned."""
    context = start_forking()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(multiprocessing, "get_context", lambda method: context)
        yield


@dataclass
class Program:
    """A fork that runs a program, and all that it prints, as it comes."""

    process: Forked
    printed: IO[str]

    def end(self) -> tuple[int | None, str]:
        """Return its exit status and the rest of what it printed, once all that print there have ended."""
        rest = self.printed.read()
        self.process.join()
        self.printed.close()
        return self.process.exitcode, rest


def start_program(name: str, folder: Path, variables: Mapping[str, str]) -> Program:
    """Start a module, as `python -m NAME`, or a file ending in .py, as a fork; it forks the process that logs."""
    ours, theirs = multiprocessing.Pipe(duplex=False)
    process = start_forking().Process(run_program, (name, folder, dict(variables), theirs))
    process.start()
    theirs.close()
    return Program(process, os.fdopen(os.dup(ours.fileno())))


def run_program(name: str, folder: Path, variables: dict[str, str], output: Connection) -> None:
    os.dup2(output.fileno(), 1)
    os.dup2(output.fileno(), 2)
    output.close()
    os.setsid()
    os.chdir(folder)
    os.environ.clear()
    os.environ.update(variables)
    importlib.reload(importlib.import_module("stages.tracking.environment"))
    if name.endswith(".py"):
        runpy.run_path(name, run_name="__main__")
    else:
        runpy.run_module(name, run_name="__main__", alter_sys=True)
