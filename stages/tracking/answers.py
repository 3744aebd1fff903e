"""What a server answers, checked before it becomes a path on this machine: it may say anything."""

import re
from urllib.parse import unquote, urlsplit

import mlflow
from mlflow.store.artifact.artifact_repo import ArtifactRepository
from mlflow.store.artifact.artifact_repository_registry import get_artifact_repository

from stages import InputError
from stages.tracking.address import named_store

RUN_ID = re.compile("[0-9a-fA-F]{32}")
OWNER_ID = re.compile(f"(m-)?{RUN_ID.pattern}")  # a run's, or a model's
ON_THIS_MACHINE = ("", "file")
REFERENCES = ("runs", "models")  # MLflow would ask the server where these lead, and go there


def checked_run_id(run_id: object) -> str:
    """Return a run id, which names a folder of the outbox. Raises InputError where it is none."""
    if not isinstance(run_id, str) or not RUN_ID.fullmatch(run_id):
        raise InputError(f"{named_store()}: answers with the run id {run_id!r:.40}: expected 32 hexadecimal digits")
    return run_id


def check_location(location: str | None, owner_id: str) -> None:
    """Raise PermissionError where files would go to a folder of this machine that is not their run's or model's own."""
    parts = urlsplit(location or "")
    folders = unquote(parts.path).split("/")
    is_own = OWNER_ID.fullmatch(owner_id) and owner_id in folders and ".." not in folders
    is_here = parts.scheme in ON_THIS_MACHINE or len(parts.scheme) == 1  # MLflow takes c:/ for a path
    if parts.scheme in REFERENCES or (is_here and not is_own):
        raise PermissionError(f"it wants the files of {owner_id:.40} in {location!r:.80}")


def checked_folder(location: str | None, owner_id: str) -> ArtifactRepository:
    """Return where the files of a run or a model go. Raises PermissionError as `check_location` does.

    MLflow's client would ask for the location once more, and take another answer.
    """
    check_location(location, owner_id)
    return get_artifact_repository(str(location), tracking_uri=mlflow.get_tracking_uri())
