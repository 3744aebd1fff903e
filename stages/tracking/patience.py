"""How long we wait for the store, whatever it does meanwhile."""

import math
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future
from typing import ParamSpec, TypeVar

from stages.tracking.environment import REQUEST_TIMEOUT

# What MLflow grants one request, we grant all of them together: those before a training, and those at its end.
SECONDS = REQUEST_TIMEOUT
SECONDS_TO_ANSWER = 7.0  # in which a store must say that it is there
SECONDS_TO_OPEN = max(SECONDS_TO_ANSWER, SECONDS - SECONDS_TO_ANSWER)
SECONDS_TO_WRITE = 5.0  # while the training goes on
SECONDS_TO_END = 5.0
SECONDS_TO_LOG = max(SECONDS_TO_END, SECONDS - SECONDS_TO_WRITE - SECONDS_TO_END)  # what waits when a stage ends
SECONDS_TO_RESYNC = 600.0  # for each run: somebody waits for this to succeed
BYTES_PER_SECOND = 100_000  # a slow line's: large files get more time

Parameters = ParamSpec("Parameters")
Result = TypeVar("Result")


class Patience:
    """The time that a number of calls may take as a whole, from now on; `math.inf` is without end."""

    def __init__(self, seconds: float) -> None:
        self.seconds, self._end = seconds, time.monotonic() + seconds

    def extend(self, size: int) -> None:
        """Add what it takes to send so many bytes over a slow line."""
        self.seconds += size / BYTES_PER_SECOND
        self._end += size / BYTES_PER_SECOND

    def wait_for(
        self, function: Callable[Parameters, Result], *args: Parameters.args, **kwargs: Parameters.kwargs
    ) -> Result:
        """Return what the function returns, or raise what it raises; TimeoutError where the time is over.

        A call that takes too long goes on in a thread of its own, and nobody hears of it: a server that sends a byte
        now and then keeps every timeout of a socket from coming.
        """
        if self._end == math.inf:
            return function(*args, **kwargs)
        answer: Future[Result] = Future()

        def call() -> None:
            try:
                answer.set_result(function(*args, **kwargs))
            except BaseException as error:
                answer.set_exception(error)

        threading.Thread(target=call, daemon=True).start()
        try:
            return answer.result(max(0.0, self._end - time.monotonic()))
        except TimeoutError:
            if answer.done():  # it is the function's own
                raise
            raise TimeoutError(f"no answer within {self.seconds:.0f} seconds") from None
