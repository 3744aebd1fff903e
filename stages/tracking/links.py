"""Runs find each other by the content of files, for no run id ever enters a file that DVC tracks."""

import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import Run

    from stages.tracking.entries import LoggedRun

NOT_HERE = "not in this store"


def file_md5(path: str | Path) -> str:
    """Return the md5 of a file's content, which is what dvc.lock holds for it."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "md5").hexdigest()


def folder_md5(path: str | Path) -> str:
    """Return an md5 of the names and contents of all files in a folder."""
    digests = [f"{file.name} {file_md5(file)}" for file in sorted(Path(path).iterdir())]
    return hashlib.md5("\n".join(digests).encode()).hexdigest()


def finished_runs(client: "MlflowClient", experiment_id: str, tags: Mapping[str, str]) -> list["Run"]:
    """Return the finished runs with these tags, newest first."""
    conditions = [f"tags.`{name}` = '{value}'" for name, value in tags.items()]
    finished = " and ".join([*conditions, "attributes.status = 'FINISHED'"])
    return list(client.search_runs([experiment_id], finished, order_by=["attributes.start_time DESC"]))


def link_newest_arm_run(client: "MlflowClient", run: "LoggedRun", arm: str, history_md5: str) -> None:
    """Tag a comparison with the id of the arm's run that wrote a history: the newest finished one."""
    found = finished_runs(client, run.experiment_id, {"arm": arm, "history.md5": history_md5})
    same_lr = [one for one in found if one.data.params.get("lr") == run.lr]  # a history holds other rates too
    newest = next(iter(same_lr or found), None)
    client.set_tag(run.id, f"{arm}.run_id", newest.info.run_id if newest else NOT_HERE)


def link_earlier_comparisons(client: "MlflowClient", run: "LoggedRun") -> None:
    """Link an arm's run to the comparisons that used its history while it was not in the store."""
    found = client.get_run(run.id)
    arm, md5 = found.data.tags.get("arm"), found.data.tags.get("history.md5")
    if arm is None or found.info.status != "FINISHED":
        return
    same = f"tags.`{arm}.history.md5` = '{md5}' and params.lr = '{run.lr}'"
    for comparison in client.search_runs([run.experiment_id], same):
        linked = comparison.data.tags.get(f"{arm}.run_id", NOT_HERE)
        if linked == NOT_HERE or client.get_run(linked).data.params.get("lr") != run.lr:
            client.set_tag(comparison.info.run_id, f"{arm}.run_id", run.id)
