"""Where work runs that can be cut into tasks: in this process, on all cores of this machine, or on a Dask cluster.

STUDY_ENGINE        auto (default): loky where there is work for several processes, else inline;
                    inline: this process, loky: processes on this machine, or dask
STUDY_DASK_ADDRESS  of the Dask scheduler, as in tcp://127.0.0.1:8786
STUDY_DEVICE        auto (default): CUDA where there is one, cpu, or cuda

They are no params: the results are the same, whichever engine they come from, and on CUDA but for rounding.
"""

import importlib.util
import logging
import os
import sys
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import CancelledError
from concurrent.futures.process import BrokenProcessPool
from difflib import get_close_matches
from typing import Any, TypeVar

from stages import InputError, shorten
from stages.forks import watch_parent

ENGINES = ("auto", "inline", "loky", "dask")
DEVICES = ("auto", "cpu", "cuda")
# Steps of all blocks together, 2 ms or more each in blocks of full size: on two cores half the time of these is about
# what workers take to start and to import PyTorch (benchmarks/blocks.md).
STEPS_WORTH_WORKERS = 2000
DEATHS = 3  # of workers, until it must be the work that kills them
SECONDS_TO_CONNECT = SECONDS_TO_FIND_WORKERS = 10

Task = TypeVar("Task")
Result = TypeVar("Result")


class Engine:
    """Runs functions, which workers must be able to import, unless they run here."""

    def __init__(self) -> None:
        self.name = _read_choice("STUDY_ENGINE", ENGINES)
        self.device = _read_choice("STUDY_DEVICE", DEVICES)
        self._client = _connect() if self.name == "dask" else None
        if self.device == "cuda" and self.name != "dask":  # Dask's workers have devices of their own
            _find_device(self.device)

    def runs_here(self, blocks: int, steps: int) -> bool:
        """Return whether a training of so many blocks, and of so many steps in all of them, runs in this process.

        By STUDY_ENGINE; `auto` lets workers have several blocks, unless they are done before workers have started,
        would all want the one CUDA device, or the one core.
        """
        if self.name != "auto":
            return self.name == "inline"
        short = blocks == 1 or steps < STEPS_WORTH_WORKERS
        return short or _find_device(self.device) == "cuda" or count_cores() == 1

    def run(self, function: Callable[[Task], Result], tasks: Sequence[Task], *, here: bool) -> Iterator[Result]:
        """Yield function(task) for each task, in their order; `here`: in this process, so it may call back.

        The work of a worker that dies is done again.
        """
        if here:
            yield from map(function, tasks)
            return
        if self._client:
            yield from _run_on_dask(self._client, function, tasks)
            return
        done = deaths = 0
        while done < len(tasks):
            try:
                for result in _run_on_loky(function, tasks[done:]):
                    yield result
                    done += 1
            except BrokenProcessPool:
                deaths += 1
                if deaths > DEATHS:
                    way_out = "on every core; LOKY_MAX_CPU_COUNT=1 or STUDY_ENGINE=inline trains one at a time"
                    raise _too_many_deaths(self.name, deaths, way_out) from None
                print(f"note: a worker process died; done so far: {done} of {len(tasks)}", file=sys.stderr)

    def __enter__(self) -> "Engine":
        return self

    def __exit__(self, *exception: object) -> None:
        if self._client:
            self._client.close()


def _find_device(name: str) -> str:
    from stages.training.blocks import find_device  # PyTorch, which otherwise loads while MLflow connects

    return find_device(name)


def count_cores() -> int:
    """Return how many cores this process may use."""
    from joblib import cpu_count  # as above: `inline` spares it

    return int(cpu_count())


def _run_on_loky(function: Callable[[Task], Result], tasks: Sequence[Task]) -> Iterator[Result]:
    from joblib import Parallel, delayed, parallel_config  # a third of a second that `inline` spares

    workers = min(len(tasks), count_cores())  # joblib would start one for every core, whatever there is to do
    with parallel_config(n_jobs=workers, backend="loky", initializer=watch_parent, initargs=(os.getpid(),)):
        run_all = Parallel(return_as="generator", batch_size=1)
        yield from run_all(delayed(function)(task) for task in tasks)


def _run_on_dask(client: Any, function: Callable[[Task], Result], tasks: Sequence[Task]) -> Iterator[Result]:
    """Submit all tasks to a Dask client: not by joblib, which waits for ever where Dask gives a task up."""
    from distributed import KilledWorker  # an optional package

    futures = [client.submit(function, task, pure=False) for task in tasks]
    try:
        while futures:
            yield _wait_for(client, futures.pop(0))  # pop: the cluster need not keep what has arrived here
    except KilledWorker as error:  # Dask has started the task again by itself, several times
        way_out = "in every worker; `--nworkers` says how many share the memory of a machine"
        raise _too_many_deaths("dask", error.allowed_failures + 1, way_out) from None
    except CancelledError:
        raise _refuse_address("the scheduler is gone") from None


def _wait_for(client: Any, future: Any) -> Any:
    """Return the result of a Dask future; raise InputError where nobody is left to work on it."""
    while True:
        try:
            return future.result(timeout=SECONDS_TO_FIND_WORKERS)
        except TimeoutError:
            if future.done():  # the task itself has raised it
                raise
        try:
            client.wait_for_workers(1, timeout=SECONDS_TO_FIND_WORKERS)  # those that died may come back
        except TimeoutError:
            raise _refuse_address("the scheduler has no workers any more") from None


def _too_many_deaths(engine: str, deaths: int, way_out: str) -> InputError:
    return InputError(
        f"STUDY_ENGINE = {engine!r}: {deaths} worker processes died, most likely for want of memory:"
        f" expected enough for a block {way_out}"
    )


def _read_choice(variable: str, allowed: Sequence[str]) -> str:
    """Return the value of an environment variable; the first one allowed is the default."""
    value = os.environ.get(variable) or allowed[0]
    if value in allowed:
        return value
    nearest = get_close_matches(value, allowed, 1)
    hint = f"; did you mean {nearest[0]!r}?" if nearest else ""
    raise InputError(f"{variable} = {value!r}: expected one of {', '.join(allowed)}{hint}")


def _connect() -> Any:
    """Return a client of the Dask scheduler that STUDY_DASK_ADDRESS names."""
    if importlib.util.find_spec("distributed") is None:
        raise InputError("STUDY_ENGINE = 'dask': Dask is not installed here; `make setup-dask` installs it")
    from distributed import Client  # an optional package

    logging.getLogger("distributed").setLevel(logging.CRITICAL)  # what goes wrong ends in a line of ours
    address = os.environ.get("STUDY_DASK_ADDRESS", "")
    if "://" not in address:
        raise _refuse_address("expected an address as in tcp://127.0.0.1:8786")
    try:
        client = Client(address, timeout=SECONDS_TO_CONNECT, set_as_default=False)
    except (OSError, ValueError):
        raise _refuse_address("no Dask scheduler answers there") from None
    try:
        client.wait_for_workers(1, timeout=SECONDS_TO_FIND_WORKERS)
    except TimeoutError:
        client.close()
        raise _refuse_address("the scheduler has no workers") from None
    return client


def _refuse_address(reason: str) -> InputError:
    return InputError(f"STUDY_DASK_ADDRESS = {shorten(os.environ.get('STUDY_DASK_ADDRESS', ''))}: {reason}")
