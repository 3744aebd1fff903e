"""What a server answers, checked before it becomes a path on this machine: it may say anything."""

import re
from urllib.parse import unquote, urlsplit

from stages import InputError
from stages.tracking.address import named_store

RUN_ID = re.compile("[0-9a-fA-F]{32}")
ON_THIS_MACHINE = ("", "file")


def checked_run_id(run_id: object) -> str:
    """Return a run id, which names a folder of the outbox. Raises InputError where it is none."""
    if not isinstance(run_id, str) or not RUN_ID.fullmatch(run_id):
        raise InputError(f"{named_store()}: answers with the run id {run_id!r:.40}: expected 32 hexadecimal digits")
    return run_id


def check_location(location: str | None, owner_id: str) -> None:
    """Raise PermissionError where files would go to a folder of this machine that is not their run's or model's own."""
    parts = urlsplit(location or "")
    folders = unquote(parts.path).split("/")
    if parts.scheme in ON_THIS_MACHINE and (owner_id not in folders or ".." in folders):
        raise PermissionError(f"it wants the files of {owner_id} in {location!r:.80}")
