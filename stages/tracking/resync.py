"""`make resync`: log what MLflow did not take while the stages ran, from the copies in mlflow-outbox/."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock
from mlflow import MlflowClient

from stages import InputError, run_stage
from stages.tracking import outbox
from stages.tracking.address import shown_store
from stages.tracking.connection import find_store, patience_with
from stages.tracking.delivery import Delivery
from stages.tracking.environment import outbox_folder
from stages.tracking.errors import errors_named
from stages.tracking.links import link_earlier_comparisons
from stages.tracking.outbox import Letter
from stages.tracking.patience import SECONDS_TO_OPEN, SECONDS_TO_RESYNC, Patience
from stages.tracking.store import Store, open_client


def main() -> None:
    for line in resync():
        print(line)


def resync() -> Iterator[str]:
    """Log what waits in the outbox; yield a line for each run.

    Raises InputError where the store does not answer, and at the end where something still waits.
    """
    with _locked_outbox():
        letters, problems = _read_letters()
        if not letters and not problems:
            yield "nothing to log: every run has all of its data"
        here = {folder: letter for folder, letter in letters.items() if letter.run.address == shown_store()}
        for folder in letters.keys() - here.keys():
            run = letters[folder].run
            yield f"run {run.name!r} waits for MLFLOW_TRACKING_URI={run.address}"
        client = _open_client() if here else None
        for folder, letter in here.items():
            assert client is not None
            delivery = Delivery(Store(client, letter.run), letter.entries)
            if _deliver(delivery, letter):
                outbox.remove(folder)
                yield delivery.tell_refusals() if delivery.refused else f"run {letter.run.name!r} is complete"
            else:
                problems.append(f"run {letter.run.name!r} in {folder}: {delivery.tell_failure()}")
        if problems:
            raise InputError("\n".join(problems))


@contextmanager
def _locked_outbox() -> Iterator[None]:
    """Let no other process log the same letters."""
    try:
        outbox_folder().mkdir(exist_ok=True)
    except OSError as error:
        raise InputError(f"{outbox_folder()}: {error.strerror}: expected a folder, or nothing") from None
    with FileLock(outbox_folder() / "lock"):
        yield


def _read_letters() -> tuple[dict[Path, Letter], list[str]]:
    """Return the letters by their folders, and what is wrong with those that cannot be read."""
    letters, problems = {}, []
    for folder in outbox.waiting(outbox_folder()):
        try:
            letters[folder] = outbox.read(folder)
        except InputError as error:
            problems.append(str(error))
    return letters, problems


def _open_client() -> MlflowClient:
    address = find_store()
    with errors_named():
        return patience_with(address, SECONDS_TO_OPEN).wait_for(open_client, address)


def _deliver(delivery: Delivery, letter: Letter) -> bool:
    """Return whether the run has all of its data now, but for what the store refuses for ever."""
    patience = Patience(SECONDS_TO_RESYNC)
    delivery.attempt(patience)
    has_ended = delivery.end(letter.status, letter.end_time, patience)
    if delivery.waiting or not has_ended:
        return False
    with errors_named():
        patience.wait_for(link_earlier_comparisons, delivery.store.client, letter.run)
    return True


if __name__ == "__main__":
    run_stage(main)
