"""`make register`: register the networks in results/ in MLflow, under one name, with an alias for each arm."""

from collections.abc import Iterator, Mapping
from pathlib import Path

from mlflow import MlflowClient
from mlflow.entities import LoggedModel, Run

from stages import ARMS, InputError, run_stage
from stages.params import load_params
from stages.tracking.address import shown_store
from stages.tracking.connection import find_store
from stages.tracking.errors import errors_named
from stages.tracking.links import file_md5, finished_runs
from stages.tracking.store import open_client

REGISTERED_MODEL = "batchnorm-study"
TAGS = ("arm", "history.md5", "model.md5", "dvc.exp.name")  # of a run, that its network has too


def main() -> None:
    for line in register_networks(load_params().tracking.experiment, {arm: Path("results", arm) for arm in ARMS}):
        print(line)
    print(f"To serve one: mlflow models serve -m models:/{REGISTERED_MODEL}@bn -p 5001 --env-manager local")


def register_networks(experiment: str, folders: Mapping[str, Path]) -> Iterator[str]:
    """Register the network of each arm: as logged by the run that wrote the files in the arm's folder, under its alias.

    Yields a line for each. Raises InputError where one of the runs is not in this store, and then registers nothing.
    """
    address = find_store()
    with errors_named():
        client = open_client(address)
        logged = {arm: _find_network(client, experiment, arm, folder) for arm, folder in folders.items()}
        if not client.search_registered_models(f"name = '{REGISTERED_MODEL}'"):
            text = "The median network of each arm: alias `baseline`, and alias `bn`, which has what baseline has not"
            client.create_registered_model(REGISTERED_MODEL, description=text)
        for arm, (run, model) in logged.items():
            version = _register(client, arm, run, model)
            where = f"run {run.info.run_name!r}, {run.info.run_id}"
            yield f"{REGISTERED_MODEL}@{arm} is version {version}: the network of {where}"


def _find_network(client: MlflowClient, experiment: str, arm: str, folder: Path) -> tuple[Run, LoggedModel]:
    """Return the newest finished run that wrote an arm's files, and the model that it logged."""
    files = {"history.md5": folder / "history.parquet", "model.md5": folder / "model.pt"}
    for path in files.values():
        if not path.exists():
            raise InputError(f"{path}: no such file: run `dvc repro`, or `dvc pull`")
    tags = {"arm": arm, **{tag: file_md5(path) for tag, path in files.items()}}
    found = client.get_experiment_by_name(experiment)
    for run in finished_runs(client, found.experiment_id, tags) if found else []:
        of_run = f"source_run_id = '{run.info.run_id}'"
        for model in client.search_logged_models([run.info.experiment_id], of_run):
            return run, model
    raise InputError(
        f"{folder}: the run that wrote it is not in {shown_store()}: set MLFLOW_TRACKING_URI to the store that has it,"
        " or make one here with `dvc repro --force`"
    )


def _register(client: MlflowClient, arm: str, run: Run, model: LoggedModel) -> str:
    """Return the version that is this logged model, made where there is none, after the arm's alias points to it."""
    source = f"models:/{model.model_id}"
    versions = client.search_model_versions(f"name = '{REGISTERED_MODEL}'")
    version = next((version for version in versions if version.source == source), None)
    if version is None:
        tags = {tag: run.data.tags[tag] for tag in TAGS if tag in run.data.tags}
        description = f"Arm `{arm}`: {run.data.tags['mlflow.note.content']}"
        version = client.create_model_version(
            REGISTERED_MODEL, source, run.info.run_id, tags, description=description, model_id=model.model_id
        )
    client.set_registered_model_alias(REGISTERED_MODEL, arm, version.version)
    return str(version.version)


if __name__ == "__main__":
    run_stage(main)
