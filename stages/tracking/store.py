"""One run in an MLflow store, with a child run for each learning rate."""

import contextlib
import json
import math
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import mlflow
import pandas as pd
from filelock import FileLock
from mlflow.entities import Dataset, DatasetInput, InputTag, Metric, Param, RunTag
from mlflow.exceptions import MlflowException
from mlflow.tracking.context.registry import resolve_tags
from mlflow.types import ColSpec, DataType, Schema
from mlflow.utils.validation import MAX_DATASET_SCHEMA_SIZE, MAX_METRICS_PER_BATCH

from stages import InputError
from stages.tracking.address import shown
from stages.tracking.answers import check_location, checked_folder, checked_run_id
from stages.tracking.clock import milliseconds
from stages.tracking.connection import making_tables
from stages.tracking.entries import Entry, Example, LoggedRun, log_points, rate_key
from stages.tracking.environment import root
from stages.tracking.links import file_md5
from stages.tracking.liveness import ProcessName, is_dead, this_process
from stages.tracking.model import log_model
from stages.tracking.views import choose_shade, run_color, view_tags

PROCESS_TAG = "tracking.process"
EXPERIMENT_TAG = "dvc.exp.name"
COLOR_TAG = "mlflow.runColor"


class Store:
    """Where the entries of a run go. Each call can be repeated: nothing is then there twice."""

    def __init__(self, client: mlflow.MlflowClient, run: LoggedRun) -> None:
        self.client, self.run = client, run
        self._collected: dict[str, list[list[Any]]] = {}

    def collect(self, run_id: str, metrics: Mapping[str, float], step: int, timestamp: int) -> None:
        """Keep metrics until `take_collected`: logging many points at once takes ten times less."""
        points = self._collected.setdefault(run_id, [])
        points += [[name, value, timestamp, step] for name, value in metrics.items()]

    def take_collected(self) -> list[Entry]:
        """Return entries that log what has been collected."""
        entries = [Entry(log_points, (run_id, points)) for run_id, points in self._collected.items()]
        self._collected = {}
        return entries

    def log_points(self, run_id: str, points: Sequence[Sequence[Any]]) -> None:
        """Log points of a run's metrics: name, value, timestamp in ms, step."""
        for start in range(0, len(points), MAX_METRICS_PER_BATCH):
            batch = points[start : start + MAX_METRICS_PER_BATCH]
            self.client.log_batch(run_id, metrics=[Metric(*point) for point in batch])

    def log_dataset(self, file: Path, source: str, context: str) -> None:
        """Log a CSV as an input of the run; its digest is DVC's md5 of the file."""
        rows = pd.read_csv(file)
        dataset = Dataset(
            name=file.stem,
            digest=file_md5(file),
            source_type="local",
            source=json.dumps({"uri": source}),
            schema=_schema(rows),
            profile=json.dumps({"num_rows": len(rows), "num_elements": rows.size}),
        )
        tags = [InputTag("mlflow.data.context", context)]
        self.client.log_inputs(self.run.id, [DatasetInput(dataset, tags)])

    def set_tags(self, tags: Mapping[str, str]) -> None:
        """Set several tags of the run in one call."""
        self.client.log_batch(self.run.id, tags=[RunTag(name, value) for name, value in tags.items()])

    def log_artifact(self, file: Path) -> None:
        """Log a file of the run."""
        location = self.client.get_run(self.run.id).info.artifact_uri
        checked_folder(location, self.run.id).log_artifact(str(file))

    def log_model(self, name: str, artifacts: dict[str, Path], example: Example) -> None:
        """Log the network of the run, with an example of its inputs and outputs."""
        log_model(self.client, self.run, name, artifacts, example)

    def is_active(self) -> bool:
        """Return whether the run is there, and not deleted."""
        return str(self.client.get_run(self.run.id).info.lifecycle_stage) == "active"

    def end(self, status: str, end_time: int) -> None:
        """End the run and its children."""
        for run_id in self.run.ids:
            self.client.set_terminated(run_id, status, end_time)


def open_client(address: str) -> mlflow.MlflowClient:
    """Return a client of a store, whose tables are there.

    Processes that make the tables of a fresh database at once collide: one at a time.
    """
    mlflow.set_tracking_uri(address)
    is_server = address.startswith("http")
    with contextlib.nullcontext() if is_server else FileLock(root() / "mlflow.db.lock"), making_tables(address):
        client = mlflow.MlflowClient()
        client.search_experiments(max_results=1)
        return client


def open_run(
    address: str, stage: str, params: Mapping[str, Any], tags: Mapping[str, str], rates: Sequence[float]
) -> Store:
    """Start a run for a stage, with a child run for each learning rate, after the dead have been buried."""
    client = open_client(address)
    experiment_id = open_experiment(client, str(params["tracking.experiment"]))
    close_runs_of_dead_processes(client)
    tags = {"dvc.stage": os.environ.get("DVC_STAGE", stage), **_experiment_tags(), **tags}
    name, color = _run_name(stage), _color(client, experiment_id, tags)
    run_id = _create_run(client, experiment_id, name, {**tags, COLOR_TAG: color})
    run = LoggedRun(shown(address), run_id, name, experiment_id, params["epochs"], str(params["lr"]), {})
    store = Store(client, run)
    try:
        _log_params(client, run_id, params)
        for lr in rates:
            run.children[rate_key(lr)] = _start_child(store, lr, params, tags)
    except BaseException:
        store.end("FAILED", milliseconds())
        raise
    return store


def open_experiment(client: mlflow.MlflowClient, name: str) -> str:
    """Return the id of an experiment; a new one has its artifacts under the root, wherever this process runs."""
    found = client.get_experiment_by_name(name)
    if found is None:
        is_server = mlflow.get_tracking_uri().startswith("http")
        location = None if is_server else (root() / "mlartifacts").as_uri()
        try:
            return str(client.create_experiment(name, artifact_location=location, tags=view_tags()))
        except MlflowException:
            found = client.get_experiment_by_name(name)
            if found is None:  # it is not that another process has just made it
                raise
    if found.lifecycle_stage == "deleted":
        raise InputError(f"tracking.experiment = {name!r}: deleted in MLflow; restore it or choose another name")
    return str(found.experiment_id)


def close_runs_of_dead_processes(client: mlflow.MlflowClient) -> None:
    """End the runs that killed processes left open, in any experiment, as far as it can be told from here."""
    me = this_process()
    experiments = [experiment.experiment_id for experiment in client.search_experiments()]
    ours = f"tags.`{PROCESS_TAG}` LIKE '{me.boot}:{me.namespace}:%'"
    for run in client.search_runs(experiments, f"attributes.status = 'RUNNING' and {ours}"):
        process = ProcessName.parse(run.data.tags.get(PROCESS_TAG, ""))
        if process and is_dead(process):
            with contextlib.suppress(MlflowException):  # deleted meanwhile, or not ours to change
                _end_if_open(client, run.info.run_id)


def _end_if_open(client: mlflow.MlflowClient, run_id: str) -> None:
    """End the run of a dead process, unless it ended the run itself after we had looked, and before it died."""
    if client.get_run(run_id).info.status == "RUNNING":
        client.set_terminated(run_id, "KILLED")


def _create_run(client: mlflow.MlflowClient, experiment_id: str, name: str, tags: Mapping[str, str]) -> str:
    """Return the id of a new run."""
    told = resolve_tags({PROCESS_TAG: str(this_process()), **tags})  # with the user, the script and the commit
    info = client.create_run(experiment_id, run_name=name, tags=told).info
    run_id = checked_run_id(info.run_id)
    check_location(info.artifact_uri, run_id)
    return run_id


def _start_child(store: Store, lr: float, params: Mapping[str, Any], tags: Mapping[str, str]) -> str:
    """Start the run of one learning rate, with params and a color for the UI to draw the rates of both arms by.

    Its parallel coordinates and scatter plots show params, not tags, and have no logarithmic axis.
    """
    arm, run = tags["arm"], store.run
    params = {**params, "lr": lr, "log10_lr": f"{math.log10(lr):.3g}", "arm": arm}
    tags = {**tags, "mlflow.parentRunId": run.id, COLOR_TAG: run_color(arm)}
    run_id = _create_run(store.client, run.experiment_id, f"{arm} lr={lr:g}", tags)
    _log_params(store.client, run_id, params)
    return run_id


def _color(client: mlflow.MlflowClient, experiment_id: str, tags: Mapping[str, str]) -> str:
    """Return the color of a run: its arm's, in a DVC experiment a shade of that, unlike those of the last others."""
    arm, experiment = tags.get("arm"), tags.get(EXPERIMENT_TAG)
    color = run_color(arm)
    if arm is None or experiment is None:
        return color
    of_arm = f"tags.arm = '{arm}' and tags.`{EXPERIMENT_TAG}` LIKE '%' and tags.mlflow.parentRunId IS NULL"
    found = client.search_runs([experiment_id], of_arm, order_by=["attributes.start_time DESC"], max_results=20)
    others = [run.data.tags for run in found if run.data.tags.get(EXPERIMENT_TAG) != experiment]
    return choose_shade(color, [other.get(COLOR_TAG, "") for other in others])


def _log_params(client: mlflow.MlflowClient, run_id: str, params: Mapping[str, Any]) -> None:
    client.log_batch(run_id, params=[Param(key, str(value)) for key, value in params.items()])


def _schema(rows: pd.DataFrame) -> str:
    """Return the columns as MLflow writes them; of more than it takes, the first ones and the label."""
    columns = []
    for name, dtype in rows.dtypes.items():
        kind = DataType.long if pd.api.types.is_integer_dtype(dtype) else DataType.double
        columns.append(ColSpec(kind, str(name)))
    features, label, text = columns[:-1], columns[-1], ""
    while not text or len(text) > MAX_DATASET_SCHEMA_SIZE:
        text = json.dumps({"mlflow_colspec": Schema([*features, label]).to_dict()})
        features = features[: len(features) // 2]
    return text


def _run_name(stage: str) -> str:
    """Return the name of the arm, with that of the DVC experiment where there is one."""
    title, experiment = stage.removeprefix("train_"), os.environ.get("DVC_EXP_NAME")
    return f"{title} ({experiment})" if experiment else title


def _experiment_tags() -> dict[str, str]:
    variables = {EXPERIMENT_TAG: "DVC_EXP_NAME", "dvc.exp.baseline_rev": "DVC_EXP_BASELINE_REV"}
    return {tag: os.environ[variable] for tag, variable in variables.items() if os.environ.get(variable)}
