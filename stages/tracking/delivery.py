"""The entries of one run on their way into the store: what one of them meets holds up no other."""

from collections import deque
from collections.abc import Iterable, Sequence
from pathlib import Path

from mlflow.exceptions import MlflowException
from requests import HTTPError
from sqlalchemy.exc import DataError, IntegrityError, SQLAlchemyError

from stages.tracking.entries import WORDS, Entry, log_epoch, log_points
from stages.tracking.errors import is_store_error, reason
from stages.tracking.patience import Patience
from stages.tracking.store import Store

# A refusal of who asks, or of the moment, not of what is asked: logging in, a path of a proxy, a conflict, a limit.
MAY_PASS = {401, 403, 404, 407, 408, 409, 423, 425, 429}


class Delivery:
    """What waits to be logged, why the last attempt failed, and what the store will never take."""

    def __init__(self, store: Store, entries: Iterable[Entry] = ()) -> None:
        self.store, self.waiting = store, list(entries)
        self.refused: list[tuple[Entry, Exception]] = []
        self.failure: Exception | None = None

    def attempt(self, patience: Patience) -> None:
        """Carry out what waits, in order; what fails for now goes on waiting.

        Where the run cannot be reached at all, the rest is not tried. A mistake of our own is raised, and what waits
        is given up: it would be raised again.
        """
        self.failure = None
        entries, self.waiting = self.waiting, []
        queue, kept = deque(self._metrics_first(entries)), []
        while queue:
            entry = queue.popleft()
            error = self._carry_out(entry, patience)
            if error is None:
                continue
            if not self._is_reachable(patience):
                self.failure = error
                kept += [entry, *queue]
                break
            if is_refusal(error):
                self.refused.append((entry, error))
            else:
                self.failure = error
                kept.append(entry)
        self.waiting = kept

    def end(self, status: str, end_time: int, patience: Patience) -> bool:
        """Return whether the run could be ended."""
        try:
            patience.wait_for(self.store.end, status, end_time)
        except Exception as error:
            if not is_store_error(error):
                raise
            self.failure = self.failure or error
            return False
        return True

    def tell_failure(self) -> str:
        """Say why something still waits."""
        return reason(self.failure) if self.failure else "the run is deleted"

    def tell_refusals(self) -> str:
        """Say in one line what the store has refused for ever."""
        entries, errors = zip(*self.refused, strict=True)
        run = self.store.run
        return (
            f"MLflow at {run.address} refuses for ever ({reason(errors[0])}): run {run.name!r} there stays without"
            f" its {', '.join(lacking_words(entries))}; the files in results/ are complete"
        )

    def _metrics_first(self, entries: Sequence[Entry]) -> list[Entry]:
        """Return entries with the metrics of all epochs before the rest: a network has those of the last one."""
        others = []
        for entry in entries:
            if entry.function is log_epoch:
                log_epoch(self.store, *entry.args)
            else:
                others.append(entry)
        return [*self.store.take_collected(), *others]

    def _carry_out(self, entry: Entry, patience: Patience) -> Exception | None:
        """Return what the store fails with."""
        try:
            patience.extend(sum(arg.stat().st_size for arg in entry.args if isinstance(arg, Path)))
            patience.wait_for(entry.function, self.store, *entry.args)
        except Exception as error:
            if not is_store_error(error):
                raise
            return error
        return None

    def _is_reachable(self, patience: Patience) -> bool:
        try:
            return patience.wait_for(self.store.is_active)
        except Exception as error:
            if not is_store_error(error):
                raise
            return False


def is_refusal(error: Exception) -> bool:
    """Return whether the store will never take what it was asked to take: it is wrong, or too large."""
    if isinstance(error.__cause__, SQLAlchemyError):  # MLflow calls a damaged database a bad request
        return isinstance(error.__cause__, (DataError, IntegrityError))
    status = 500
    if isinstance(error, MlflowException):
        status = error.get_http_status_code()
    elif isinstance(error, HTTPError) and error.response is not None:
        status = error.response.status_code
    return 400 <= status < 500 and status not in MAY_PASS


def lacking_words(entries: Sequence[Entry]) -> list[str]:
    """Return words for what a run lacks without these entries."""
    steps: list[int] = []
    for entry in entries:
        if entry.function is log_points:
            steps += [step for *_, step in entry.args[1]]
    words = [f"metrics since epoch {min(steps)}"] if steps else []
    functions = {entry.function for entry in entries}
    return words + [word for function, word in WORDS.items() if function in functions]
