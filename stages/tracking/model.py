"""The network of a run as an MLflow model: with a signature, loaded and served like any other.

PyTorch's exporter is imported here, which takes seconds.
"""

import tempfile
from pathlib import Path

import mlflow
import numpy as np
import torch
import torch._dynamo
import torch.export
from mlflow.entities import LoggedModel, LoggedModelOutput, Metric
from mlflow.models import Model, infer_signature

from stages.tracking.store import Store
from stages.training.network import load_network


def log_model(store: Store, name: str, file: Path, example: list[list[float]]) -> None:
    """Log the network that `save_network` has written, with the run's metrics of the last epoch beside it.

    What an earlier attempt has begun is gone on with where the run knows of it, else made anew.
    """
    client, run = store.client, store.run
    outputs = client.get_run(run.id).outputs
    linked = {output.model_id for output in outputs.model_outputs} if outputs else set()
    begun = client.search_logged_models([run.experiment_id], f"source_run_id = '{run.id}' and name = '{name}'")
    model = next((one for one in begun if one.model_id in linked), None)
    if model is None:
        for cut_off in begun:
            client.delete_logged_model(cut_off.model_id)
        model = client.create_logged_model(run.experiment_id, name, run.id)
        client.log_outputs(run.id, [LoggedModelOutput(model.model_id, run.epochs)])
    if not model.metrics:
        _copy_last_metrics(store, model)
    if model.status != "READY":
        with tempfile.TemporaryDirectory() as folder:
            _save(model, file, example, Path(folder, "model"))
            client.log_model_artifacts(model.model_id, f"{folder}/model")
        client.finalize_logged_model(model.model_id, "READY")


def _copy_last_metrics(store: Store, model: LoggedModel) -> None:
    """Log the run's metrics of its last epoch once more, as the model's."""
    client, run = store.client, store.run
    metrics = []
    for name in client.get_run(run.id).data.metrics:
        for point in client.get_metric_history(run.id, name):
            if point.step == run.epochs:
                metrics.append(Metric(name, point.value, point.timestamp, point.step, model_id=model.model_id))
    client.log_batch(run.id, metrics)


def _save(model: LoggedModel, file: Path, example: list[list[float]], folder: Path) -> None:
    network, inputs = load_network(file), np.array(example, np.float32)
    with torch.no_grad():
        outputs = network(torch.from_numpy(inputs)).numpy()
    described = Model(
        artifact_path=model.artifact_location,
        run_id=model.source_run_id,
        model_id=model.model_id,
        model_uuid=model.model_id,
    )
    mlflow.pytorch.save_model(
        network,
        folder,
        mlflow_model=described,
        signature=infer_signature(inputs, outputs),
        input_example=inputs,
        pip_requirements=[f"torch=={torch.__version__.split('+')[0]}", f"mlflow=={mlflow.__version__}"],
    )
