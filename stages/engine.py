"""Where work runs that can be cut into tasks: in this process, on all cores of this machine, or on a Dask cluster.

STUDY_ENGINE        inline (default), loky: processes on this machine, or dask
STUDY_DASK_ADDRESS  of the Dask scheduler, as in tcp://127.0.0.1:8786
STUDY_DEVICE        auto (default): CUDA where there is one, cpu, or cuda

They are no params: the results are the same, whichever engine they come from, and on CUDA but for rounding.
"""

import importlib.util
import os
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures.process import BrokenProcessPool
from difflib import get_close_matches
from typing import Any, TypeVar

from stages import InputError

ENGINES = ("inline", "loky", "dask")
DEVICES = ("auto", "cpu", "cuda")
DEATHS = 3  # of workers, until it must be the work that kills them
SECONDS_TO_CONNECT = 10
SECONDS_TO_NOTICE = 0.5  # for a worker, that its parent is gone

Task = TypeVar("Task")
Result = TypeVar("Result")


class Engine:
    """Runs functions, which workers must be able to import. `inline`: in this process, so they may call back."""

    def __init__(self) -> None:
        self.name = _read_choice("STUDY_ENGINE", ENGINES)
        self.device = _read_choice("STUDY_DEVICE", DEVICES)
        self.inline = self.name == "inline"
        self._client = _connect() if self.name == "dask" else None
        if self.device == "cuda" and self.name != "dask":  # Dask's workers have devices of their own
            from stages.training.blocks import find_device  # PyTorch, which otherwise loads while MLflow connects

            find_device(self.device)

    def run(self, function: Callable[[Task], Result], tasks: Sequence[Task]) -> Iterator[Result]:
        """Yield function(task) for each task, in their order; the work of a worker that dies is done again."""
        if self.inline:
            yield from map(function, tasks)
            return
        done = deaths = 0
        while done < len(tasks):
            try:
                for result in self._run_on_workers(function, tasks[done:]):
                    yield result
                    done += 1
            except BrokenProcessPool:  # of loky's; Dask starts a task again by itself
                deaths += 1
                if deaths > DEATHS:
                    raise _too_many_deaths(self.name, deaths) from None
                print(f"note: a worker process died; done so far: {done} of {len(tasks)}", file=sys.stderr)

    def __enter__(self) -> "Engine":
        return self

    def __exit__(self, *exception: object) -> None:
        if self._client:
            self._client.close()

    def _run_on_workers(self, function: Callable[[Task], Result], tasks: Sequence[Task]) -> Iterator[Result]:
        from joblib import Parallel, delayed, parallel_config  # a third of a second that the engine `inline` spares

        backend: dict[str, Any] = {"backend": self.name}
        if self._client:
            backend["client"] = self._client
        else:
            backend |= {"initializer": _watch_parent, "initargs": (os.getpid(),)}
        with parallel_config(n_jobs=-1, **backend):
            run_all = Parallel(return_as="generator", batch_size=1)
            try:
                yield from run_all(delayed(function)(task) for task in tasks)
            except TimeoutError:
                raise InputError(f"STUDY_DASK_ADDRESS = {_dask_address()!r}: the scheduler has no workers") from None


def _watch_parent(parent: int) -> None:
    """Let this process, a worker of loky's, end with its parent: by itself it would wait for more work."""
    threading.Thread(target=_end_with, args=(parent,), daemon=True).start()


def _end_with(parent: int) -> None:
    while os.getppid() == parent:
        time.sleep(SECONDS_TO_NOTICE)
    os._exit(1)  # nobody is left to hear of it


def _too_many_deaths(engine: str, deaths: int) -> InputError:
    return InputError(
        f"STUDY_ENGINE = {engine!r}: {deaths} worker processes died, most likely for want of memory:"
        " expected enough for a block on every core; LOKY_MAX_CPU_COUNT=1 or STUDY_ENGINE=inline trains one at a time"
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

    address = _dask_address()
    try:
        return Client(address, timeout=SECONDS_TO_CONNECT, set_as_default=False)
    except (OSError, ValueError):
        raise InputError(f"STUDY_DASK_ADDRESS = {address!r}: no Dask scheduler answers there") from None


def _dask_address() -> str:
    address = os.environ.get("STUDY_DASK_ADDRESS", "")
    if "://" not in address:
        raise InputError(f"STUDY_DASK_ADDRESS = {address!r}: expected an address as in tcp://127.0.0.1:8786")
    return address
