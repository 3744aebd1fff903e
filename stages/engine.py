"""Where work runs that can be cut into parts: in this process, on all cores of this machine, or on a Dask cluster.

STUDY_ENGINE        inline (default), loky: processes on this machine, or dask
STUDY_DASK_ADDRESS  of the Dask scheduler, as in tcp://127.0.0.1:8786
STUDY_DEVICE        auto (default): CUDA where there is one, cpu, or cuda

They are no params: the results are the same, whichever engine they come from, and on CUDA but for rounding.
"""

import importlib.util
import os
import sys
from collections.abc import Callable, Iterator, Sequence
from difflib import get_close_matches
from typing import Any, TypeVar

from stages import InputError

ENGINES = ("inline", "loky", "dask")
DEVICES = ("auto", "cpu", "cuda")
DEATHS = 3  # of workers, until it must be the work that kills them
SECONDS_TO_CONNECT = 10

Result = TypeVar("Result")


class Engine:
    """Runs functions, which workers must be able to import. `inline`: in this process, so they may call back."""

    def __init__(self) -> None:
        name = _choice("STUDY_ENGINE", ENGINES)
        self.device = _choice("STUDY_DEVICE", DEVICES)
        self.inline = name == "inline"
        self._backend: dict[str, Any] = {"backend": name}
        if name == "dask":
            self._backend["client"] = _connect()
        elif self.device == "cuda":  # Dask's workers have devices of their own
            from stages.training.blocks import find_device

            find_device(self.device)

    def __enter__(self) -> "Engine":
        return self

    def __exit__(self, *exception: object) -> None:
        if client := self._backend.get("client"):
            client.close()

    def run(self, function: Callable[..., Result], tasks: Sequence[tuple[Any, ...]]) -> Iterator[Result]:
        """Yield function(*task) for each task, in their order; the work of a worker that dies is done again."""
        if self.inline:
            yield from (function(*task) for task in tasks)
            return
        from joblib.externals.loky.process_executor import BrokenProcessPool

        done, deaths = 0, 0
        while done < len(tasks):
            try:
                for result in self._parallel(function, tasks[done:]):
                    yield result
                    done += 1
            except BrokenProcessPool as error:  # Dask does this by itself
                deaths += 1
                if deaths > DEATHS:
                    raise RuntimeError(f"{deaths} worker processes died: is there enough memory?") from error
                print(f"note: a worker process died; done so far: {done} of {len(tasks)}", file=sys.stderr)

    def _parallel(self, function: Callable[..., Result], tasks: Sequence[tuple[Any, ...]]) -> Iterator[Result]:
        from joblib import Parallel, delayed, parallel_config

        with parallel_config(n_jobs=-1, **self._backend):
            parallel = Parallel(return_as="generator", batch_size=1)
            try:
                yield from parallel(delayed(function)(*task) for task in tasks)
            except TimeoutError:
                raise InputError(f"STUDY_DASK_ADDRESS = {_address()!r}: the scheduler has no workers") from None


def _choice(variable: str, allowed: Sequence[str]) -> str:
    """Return the value of an environment variable; the first one allowed is the default."""
    value = os.environ.get(variable) or allowed[0]
    if value not in allowed:
        hint = "".join(f"; did you mean {match!r}?" for match in get_close_matches(value, allowed, 1))
        raise InputError(f"{variable} = {value!r}: expected one of {', '.join(allowed)}{hint}")
    return value


def _connect() -> Any:
    if importlib.util.find_spec("distributed") is None:
        raise InputError("STUDY_ENGINE = 'dask': Dask is not installed here; `make setup-dask` installs it")
    from distributed import Client

    address = _address()
    try:
        return Client(address, timeout=SECONDS_TO_CONNECT, set_as_default=False)
    except (OSError, ValueError):
        raise InputError(f"STUDY_DASK_ADDRESS = {address!r}: no Dask scheduler answers there") from None


def _address() -> str:
    address = os.environ.get("STUDY_DASK_ADDRESS", "")
    if "://" not in address:
        raise InputError(f"STUDY_DASK_ADDRESS = {address!r}: expected an address as in tcp://127.0.0.1:8786")
    return address
