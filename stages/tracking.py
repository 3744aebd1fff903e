"""What is logged to MLflow, and where: the only file that knows MLflow.

The store is `mlflow.db` with `mlartifacts/` at the root of the main repository, also for the temporary workspaces of
`dvc exp run --temp` and the queue, where DVC_ROOT names it. MLFLOW_TRACKING_URI overrides the store.

MLflow works in a process of its own: it takes longer to import and to connect than the networks take to train.
"""

import hashlib
import os
import pickle
import sys
import time
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from stages import COLORS, InputError
from stages.background import BackgroundObject

if TYPE_CHECKING:
    import numpy as np
    from torch import nn

# Read when MLflow is imported. Its telemetry would call out; its progress bars and hints would drown ours.
os.environ |= {"MLFLOW_DISABLE_TELEMETRY": "true", "MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR": "false"}
os.environ.setdefault("MLFLOW_LOGGING_LEVEL", "WARNING")
os.environ.pop("MLFLOW_RUN_ID", None)  # every stage would resume this one run

ROOT = Path(os.environ.get("DVC_ROOT", Path(__file__).parents[1])).resolve()
SECONDS_BETWEEN_WRITES = 2.0  # a write is one call for each run: the arm's, and its children's
METRICS_PER_CALL = 1000  # MLflow's own limit


def tracking_uri() -> str:
    """Return the address of the store."""
    return os.environ.get("MLFLOW_TRACKING_URI") or f"sqlite:///{ROOT / 'mlflow.db'}"


def file_md5(path: str | Path) -> str:
    """Return the md5 of a file's content, which is what dvc.lock holds for it."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "md5").hexdigest()


@contextmanager
def track_stage(
    stage: str, params: Mapping[str, Any], *, tags: Mapping[str, str], rates: Sequence[float] = ()
) -> Iterator["StageRun"]:
    """Open one MLflow run for one execution of a stage, with a child run for each of the learning `rates`.

    The runs end FINISHED, or FAILED where the body raises, or KILLED where this process is killed. `params` are all of
    params.yaml under dotted keys; `tracking.experiment` among them names the MLflow experiment.
    """
    background = BackgroundObject(_MlflowRun, stage, dict(params), dict(tags), list(rates))
    try:
        yield StageRun(background)
    except BaseException:
        try:
            background.close("FAILED")
        except Exception as error:  # what the body raised comes first
            print(error, file=sys.stderr)
        raise
    background.close("FINISHED")


class StageRun:
    """One open run, seen from the stage. Only the methods that return something wait for MLflow."""

    def __init__(self, background: BackgroundObject) -> None:
        self._send, self._ask = background.send, background.ask

    def wait_until_open(self) -> None:
        """Return when the store has answered; raise what kept it from it."""
        self._ask("is_open")

    def log_epoch(self, epoch: int, metrics: Mapping[str, float], by_rate: Mapping[float, Mapping[str, float]]) -> None:
        """Log one epoch's metrics, and those of each learning rate, for the UI to show while the training goes on."""
        self._send("log_epoch", epoch, dict(metrics), dict(by_rate), _now())

    def log_dataset(self, path: str | Path, context: str) -> None:
        """Log a CSV with the column `label` as an input of the run; its digest is DVC's md5 of the file."""
        self._send("log_dataset", str(path), context)

    def prepare_to_log_network(self) -> None:
        """Get ready, beside the training, for `log_network`."""
        self._send("prepare_to_log_network")

    def log_network(self, name: str, network: "nn.Module", example: "np.ndarray") -> None:
        """Log a network in eval mode; `example`, at least 2 rows (B, F) in float32, gives its signature.

        MLflow shows the run's metrics of the last epoch beside it: means over all seeds, of which it is one.
        """
        self._send("log_network", name, pickle.dumps(network), example)

    def log_summary(self, metrics: Mapping[str, float | None]) -> None:
        """Log metrics that have no epoch; a None is left out."""
        self._send("log_summary", {name: value for name, value in metrics.items() if value is not None})

    def log_artifacts(self, *paths: str | Path) -> None:
        """Log files."""
        self._send("log_artifacts", [str(path) for path in paths])

    def set_tag(self, name: str, value: str) -> None:
        """Set a tag of the run."""
        self._send("set_tag", name, value)

    def find_arm_run(self, arm: str, history: str | Path) -> str | None:
        """Return the id of the newest finished run of an arm that wrote this history, or None: not in this store."""
        return self._ask("find_arm_run", arm, file_md5(history))


class _MlflowRun:
    """One open run and its children, in the process that talks to MLflow."""

    def __init__(self, stage: str, params: dict[str, Any], tags: dict[str, str], rates: Sequence[float]) -> None:
        import mlflow

        self.params = params
        self.client, self.experiment_id = _connect(str(params["tracking.experiment"]))
        tags = {"dvc.stage": os.environ.get("DVC_STAGE", stage), **_dvc_experiment_tags(), **tags}
        color = {} if "dvc.exp.name" in tags else {"mlflow.runColor": COLORS.get(tags.get("arm"), "#808080")}
        run = mlflow.start_run(experiment_id=self.experiment_id, run_name=_run_name(stage), tags=tags | color)
        self.run_id = run.info.run_id
        self.children: dict[float, str] = {}
        try:
            mlflow.log_params(params)
            for lr in rates:
                self.children[lr] = self._start_child(params | {"lr": lr}, tags)
        except BaseException:
            self._end("FAILED")
            raise
        self._waiting: dict[str, list[Any]] = {run_id: [] for run_id in (self.run_id, *self.children.values())}
        self._last_write = time.monotonic()

    def is_open(self) -> bool:
        return True

    def prepare_to_log_network(self) -> None:
        """Import now, beside the training, what `log_network` needs."""
        import torch._dynamo
        import torch.export  # noqa: F401

    def log_epoch(
        self, epoch: int, metrics: dict[str, float], by_rate: dict[float, dict[str, float]], timestamp: int
    ) -> None:
        self._waiting[self.run_id] += _metrics(metrics, epoch, timestamp)
        for lr, values in by_rate.items():
            self._waiting[self.children[lr]] += _metrics(values, epoch, timestamp)
        if time.monotonic() - self._last_write > SECONDS_BETWEEN_WRITES:
            self._write_waiting()

    def log_dataset(self, path: str, context: str) -> None:
        import mlflow
        import pandas as pd
        from mlflow.data.sources import LocalArtifactDatasetSource

        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", "Hint: Inferred schema contains integer")  # labels are never missing
            dataset = mlflow.data.from_pandas(
                pd.read_csv(path),
                source=LocalArtifactDatasetSource(path),
                targets="label",
                name=Path(path).stem,
                digest=file_md5(path),
            )
            mlflow.log_input(dataset, context=context)

    def log_network(self, name: str, pickled: bytes, example: "np.ndarray") -> None:
        import mlflow
        import torch

        self._write_waiting()  # MLflow links the metrics of the step that are there
        network = pickle.loads(pickled)
        with torch.no_grad():
            output = network(torch.from_numpy(example)).numpy()
        mlflow.pytorch.log_model(
            network,
            name=name,
            step=self.params["epochs"],
            signature=mlflow.models.infer_signature(example, output),
            input_example=example,
            pip_requirements=[f"torch=={torch.__version__.split('+')[0]}", f"mlflow=={mlflow.__version__}"],
        )

    def log_summary(self, metrics: dict[str, float]) -> None:
        self.client.log_batch(self.run_id, metrics=_metrics(metrics, 0, _now()))

    def log_artifacts(self, paths: Sequence[str]) -> None:
        for path in paths:
            self.client.log_artifact(self.run_id, path)

    def set_tag(self, name: str, value: str) -> None:
        self.client.set_tag(self.run_id, name, value)

    def find_arm_run(self, arm: str, history_md5: str) -> str | None:
        found = self.client.search_runs(
            [self.experiment_id],
            f"tags.arm = '{arm}' and tags.`history.md5` = '{history_md5}' and attributes.status = 'FINISHED'",
            order_by=["attributes.start_time DESC"],
            max_results=1,
        )
        return found[0].info.run_id if found else None

    def close(self, how: str, error: Exception | None) -> None:
        """End the runs: as `how` says, or FAILED where MLflow itself failed."""
        try:
            self._write_waiting()
        except Exception as failed:
            error = error or failed
            raise
        finally:
            self._end("FAILED" if error else how)

    def _end(self, status: str) -> None:
        import mlflow

        for run_id in self.children.values():
            self.client.set_terminated(run_id, status)
        mlflow.end_run(status)

    def _start_child(self, params: Mapping[str, Any], tags: Mapping[str, str]) -> str:
        from mlflow.entities import Param

        name = f"lr={params['lr']:g}"
        links = {"mlflow.parentRunId": self.run_id}
        run_id = self.client.create_run(self.experiment_id, run_name=name, tags={**tags, **links}).info.run_id
        self.client.log_batch(run_id, params=[Param(key, str(value)) for key, value in params.items()])
        return run_id

    def _write_waiting(self) -> None:
        for run_id, metrics in self._waiting.items():
            for start in range(0, len(metrics), METRICS_PER_CALL):
                self.client.log_batch(run_id, metrics=metrics[start : start + METRICS_PER_CALL])
            metrics.clear()
        self._last_write = time.monotonic()


def _connect(experiment: str) -> tuple[Any, str]:
    """Return a client and the id of the experiment, made where it is new.

    Its artifacts lie under ROOT, whatever folder this process runs in. Processes that initialise a fresh database at
    once collide: one at a time.
    """
    import filelock
    import mlflow

    uri = tracking_uri()
    mlflow.set_tracking_uri(uri)
    with filelock.FileLock(ROOT / "mlflow.db.lock"):
        client = mlflow.MlflowClient()
        found = client.get_experiment_by_name(experiment)
        if found is None:
            location = None if uri.startswith("http") else (ROOT / "mlartifacts").as_uri()
            return client, client.create_experiment(experiment, artifact_location=location)
    if found.lifecycle_stage == "deleted":
        raise InputError(f"tracking.experiment = {experiment!r}: deleted in MLflow; restore it or choose another name")
    return client, found.experiment_id


def _run_name(stage: str) -> str:
    """Return the name of the arm, with that of the DVC experiment where there is one."""
    title, experiment = stage.removeprefix("train_"), os.environ.get("DVC_EXP_NAME")
    return f"{title} ({experiment})" if experiment else title


def _dvc_experiment_tags() -> dict[str, str]:
    variables = {"dvc.exp.name": "DVC_EXP_NAME", "dvc.exp.baseline_rev": "DVC_EXP_BASELINE_REV"}
    return {tag: os.environ[variable] for tag, variable in variables.items() if os.environ.get(variable)}


def _metrics(values: Mapping[str, float], step: int, timestamp: int) -> list[Any]:
    from mlflow.entities import Metric

    return [Metric(name, float(value), timestamp, step) for name, value in values.items()]


def _now() -> int:
    """Return milliseconds since 1970, as MLflow counts."""
    return time.time_ns() // 1_000_000
