"""The network of a run as an MLflow model: with a signature, loaded, registered and served like any other."""

import tempfile
from importlib.metadata import version
from pathlib import Path

import numpy as np
from mlflow import MlflowClient
from mlflow.entities import LoggedModel, LoggedModelOutput, Metric
from mlflow.models import Model, infer_signature
from mlflow.pyfunc import save_model

from stages.tracking.answers import checked_folder
from stages.tracking.entries import Example, LoggedRun

CODE = Path(__file__).with_name("served_network.py")
PACKAGES = ("mlflow", "numpy", "torch")  # that it takes to load one


def log_model(client: MlflowClient, run: LoggedRun, name: str, artifacts: dict[str, Path], example: Example) -> None:
    """Log a network, with the run's metrics of the last epoch beside it.

    What an earlier attempt has begun is gone on with where the run knows of it, else made anew.
    """
    outputs = client.get_run(run.id).outputs
    linked = {output.model_id for output in outputs.model_outputs} if outputs else set()
    begun = client.search_logged_models([run.experiment_id], f"source_run_id = '{run.id}' and name = '{name}'")
    model = next((one for one in begun if one.model_id in linked), None)
    if model is None:
        for cut_off in begun:
            client.delete_logged_model(cut_off.model_id)
        model = client.create_logged_model(run.experiment_id, name, run.id)
        client.log_outputs(run.id, [LoggedModelOutput(model.model_id, run.epochs)])
    files = checked_folder(model.artifact_location, model.model_id)
    if not model.metrics:
        _copy_last_metrics(client, run, model)
    if model.status != "READY":
        with tempfile.TemporaryDirectory() as folder:
            _save(model, artifacts, example, Path(folder, "model"))
            files.log_artifacts(f"{folder}/model")
        client.finalize_logged_model(model.model_id, "READY")


def _copy_last_metrics(client: MlflowClient, run: LoggedRun, model: LoggedModel) -> None:
    """Log the run's metrics of its last epoch once more, as the model's."""
    metrics = []
    for name in client.get_run(run.id).data.metrics:
        for point in client.get_metric_history(run.id, name):
            if point.step == run.epochs:
                metrics.append(Metric(name, point.value, point.timestamp, point.step, model_id=model.model_id))
    client.log_batch(run.id, metrics)


def _save(model: LoggedModel, artifacts: dict[str, Path], example: Example, folder: Path) -> None:
    inputs = np.array(example[0], np.float32)
    outputs = np.array(example[1], np.float32)
    described = Model(
        artifact_path=model.artifact_location,
        run_id=model.source_run_id,
        model_id=model.model_id,
        model_uuid=model.model_id,
    )
    save_model(
        folder,
        python_model=str(CODE),
        artifacts={name: path.resolve().as_uri() for name, path in artifacts.items()},
        mlflow_model=described,
        signature=infer_signature(inputs, outputs),
        input_example=inputs,
        pip_requirements=[f"{package}=={version(package).split('+')[0]}" for package in PACKAGES],
    )
