"""The log of one run, in the process that talks to MLflow.

What the store does not take is offered again later, once more at the end, and then put into the outbox.
"""

import sys
import time
from collections.abc import Mapping, Sequence
from typing import Any

from stages.tracking import outbox
from stages.tracking.clock import milliseconds
from stages.tracking.connection import patience_with
from stages.tracking.delivery import Delivery, lacking_words
from stages.tracking.entries import Entry, LoggedRun
from stages.tracking.environment import lose_patience, outbox_folder
from stages.tracking.errors import errors_named, reason
from stages.tracking.outbox import Letter
from stages.tracking.patience import SECONDS_TO_END, SECONDS_TO_LOG, SECONDS_TO_OPEN, SECONDS_TO_WRITE
from stages.tracking.store import Store, open_run

SECONDS_BETWEEN_WRITES = 2.0  # a write is one call for each run: the arm's, and its children's
SECONDS_BETWEEN_ATTEMPTS = 10.0  # while the store fails


def open_log(
    address: str, stage: str, params: Mapping[str, Any], tags: Mapping[str, str], rates: Sequence[float]
) -> "RunLog":
    """Open a run for a stage. Raises InputError where the store does not let us, or not in time."""
    with errors_named():
        patience = patience_with(address, SECONDS_TO_OPEN)
        return RunLog(patience.wait_for(open_run, address, stage, params, tags, rates), address)


class RunLog:
    """What has been sent for one open run, and has to be logged."""

    def __init__(self, store: Store, address: str) -> None:
        self.run: LoggedRun = store.run
        self._store, self._address = store, address
        self._delivery = Delivery(store)
        self._next_attempt = 0.0
        self._has_logged_all = False

    def add(self, entry: Entry) -> None:
        """Log an entry at the next write."""
        self._delivery.waiting.append(entry)

    def write_if_due(self) -> None:
        """Log what waits, every few seconds, for the UI to show."""
        if self._delivery.waiting and time.monotonic() > self._next_attempt:
            self._attempt(SECONDS_TO_WRITE)

    def log_all(self) -> None:
        """Log what waits, once and for all."""
        if self._has_logged_all:
            return
        self._has_logged_all = True
        if self._delivery.failure:
            self._put_into_outbox("KILLED", milliseconds())  # as we may be, while we try once more
        self._attempt(SECONDS_TO_LOG)

    def close(self, status: str) -> None:
        """Log what waits, and end the run: FAILED after a mistake of our own, which is raised."""
        try:
            self.log_all()
        except Exception:
            status = "FAILED"
            raise
        finally:
            self._end(status)

    def _end(self, status: str) -> None:
        """End the run; what could not be logged goes into the outbox, and is told."""
        end_time = milliseconds()
        has_ended = self._delivery.end(status, end_time, patience_with(self._address, SECONDS_TO_END))
        if self._delivery.refused:
            print(f"warning: {self._delivery.tell_refusals()}", file=sys.stderr)
        if has_ended and not self._delivery.waiting:
            outbox.remove(outbox_folder() / self.run.id)
            return
        not_kept = self._put_into_outbox(status, end_time)
        print(self._warning(has_ended, not_kept), file=sys.stderr)

    def _attempt(self, seconds: float) -> None:
        self._delivery.attempt(patience_with(self._address, seconds))
        failed = self._delivery.failure is not None
        if failed:
            lose_patience()
        self._next_attempt = time.monotonic() + (SECONDS_BETWEEN_ATTEMPTS if failed else SECONDS_BETWEEN_WRITES)

    def _put_into_outbox(self, status: str, end_time: int) -> Exception | None:
        """Write a letter; return why that is not possible, as on a full disk."""
        try:
            outbox.put(outbox_folder(), Letter(self.run, self._delivery.waiting, status, end_time))
        except OSError as error:
            return error
        return None

    def _warning(self, has_ended: bool, not_kept: Exception | None) -> str:
        """Say in one line what the run lacks, and what becomes of it."""
        lacking = lacking_words(self._delivery.waiting) + ([] if has_ended else ["end"])
        comfort = "nothing is lost: `make resync` logs it later"
        if not_kept:
            comfort = f"it cannot be kept in {outbox_folder()} either ({reason(not_kept)}); the results are complete"
        return (
            f"warning: MLflow at {self.run.address} failed ({self._delivery.tell_failure()}): run {self.run.name!r}"
            f" there lacks its {', '.join(lacking)}; {comfort}"
        )
