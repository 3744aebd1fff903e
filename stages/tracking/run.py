"""What is logged to MLflow, and where: the only file that knows MLflow.

The store is `mlflow.db` with `mlartifacts/` at the root of the main repository, also for the temporary workspaces of
`dvc exp run --temp` and the queue, where DVC_ROOT names it. MLFLOW_TRACKING_URI overrides the store.

MLflow works in a process of its own: it takes longer to import and to connect than the networks take to train.
A store that does not answer when a stage starts stops the stage. One that fails later does not: what it has not taken
by the end goes into the outbox, from where `resync` logs it.
"""

import contextlib
import hashlib
import math
import os
import pickle
import re
import socket
import sys
import tempfile
import time
import warnings
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote, urlsplit, urlunsplit

from stages import COLORS, InputError
from stages.tracking import outbox
from stages.tracking.background import BackgroundObject
from stages.tracking.views import view_tags

if TYPE_CHECKING:
    import numpy as np
    from torch import nn

# Read when MLflow is imported. Its telemetry would call out; its progress bars, links and hints would drown ours.
os.environ |= {"MLFLOW_DISABLE_TELEMETRY": "true", "MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR": "false"}
os.environ.setdefault("MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT", "true")
os.environ.setdefault("MLFLOW_LOGGING_LEVEL", "WARNING")
os.environ.pop("MLFLOW_RUN_ID", None)  # every stage would resume this one run

# Where a server does not answer, MLflow's own patience is minutes for every call. Once one has failed, we have none.
os.environ.setdefault("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "2")
os.environ.setdefault("MLFLOW_HTTP_REQUEST_BACKOFF_FACTOR", "1")
os.environ.setdefault("MLFLOW_HTTP_REQUEST_TIMEOUT", "20")
NO_PATIENCE = {"MLFLOW_HTTP_REQUEST_MAX_RETRIES": "0", "MLFLOW_HTTP_REQUEST_TIMEOUT": "5"}

ROOT = Path(os.environ.get("DVC_ROOT", Path(__file__).parents[2])).resolve()
OUTBOX = ROOT / "mlflow-outbox"
SECONDS_BETWEEN_WRITES = 2.0  # a write is one call for each run: the arm's, and its children's
SECONDS_BETWEEN_ATTEMPTS = 10.0  # while the store fails
METRICS_PER_CALL = 1000  # MLflow's own limit
NOT_HERE = "not in this store"
GREY = "#808080"
PROCESS_TAG = "tracking.process"
REGISTERED_MODEL = "batchnorm-study"


def tracking_uri() -> str:
    """Return the address of the store, as it is configured."""
    return os.environ.get("MLFLOW_TRACKING_URI") or f"sqlite:///{ROOT / 'mlflow.db'}"


def without_credentials(address: str) -> str:
    """Return an address without user and password, and without a query, which may hold them too."""
    return address if address.startswith("sqlite") else re.sub(r"://.*@", "://", address).partition("?")[0]


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
        background.ask("is_open")  # when all is logged: whoever is killed before that has not finished
    except BaseException:
        try:
            background.close("FAILED")
        except Exception as error:  # what the body raised comes first
            print(error, file=sys.stderr)
        raise
    background.close("FINISHED")


class StageRun:
    """One open run, seen from the stage. Only `wait_until_open` waits for MLflow."""

    def __init__(self, background: BackgroundObject) -> None:
        self._send, self._ask = background.send, background.ask

    def wait_until_open(self) -> None:
        """Return when the store has answered; raise InputError where it does not."""
        self._ask("is_open")

    def log_epoch(self, epoch: int, metrics: Mapping[str, float], by_rate: Mapping[float, Mapping[str, float]]) -> None:
        """Log one epoch's metrics, and those of each learning rate, for the UI to show while the training goes on."""
        self._send("log_epoch", epoch, dict(metrics), dict(by_rate), _now())

    def log_dataset(self, path: str | Path, context: str) -> None:
        """Log a CSV with the column `label` as an input of the run; its digest is DVC's md5 of the file."""
        self._send("call", "log_dataset", Path(path), str(path), context)

    def prepare_to_log_network(self) -> None:
        """Get ready, beside the training, for `log_network`."""
        self._send("prepare_to_log_network")

    def log_network(self, name: str, network: "nn.Module", example: "np.ndarray") -> None:
        """Log a network in eval mode; `example`, at least 2 rows (B, F) in float32, gives its signature.

        MLflow shows the run's metrics of the last epoch beside it: means over all seeds, of which it is one.
        """
        self._send("call", "log_network", name, pickle.dumps(network), example)

    def log_summary(self, metrics: Mapping[str, float | None]) -> None:
        """Log metrics that have no epoch; a None is left out."""
        self._send("call", "log_summary", {name: value for name, value in metrics.items() if value is not None}, _now())

    def log_artifacts(self, *paths: str | Path) -> None:
        """Log files."""
        for path in paths:
            self._send("call", "log_artifact", Path(path))

    def set_tag(self, name: str, value: str) -> None:
        """Set a tag of the run."""
        self._send("call", "set_tag", name, value)

    def describe(self, text: str, *made: str | Path) -> None:
        """Describe the run in Markdown, and how to get its files back: no other parameters make all of `made`."""
        self.set_tag("mlflow.note.content", f"{text}\n\n{_how_to_restore(made)}")

    def link_arm_run(self, arm: str, history: str | Path) -> None:
        """Tag the run with the id of the newest finished run of an arm that wrote this history, as `<arm>.run_id`."""
        md5 = file_md5(history)
        self.set_tag(f"{arm}.history.md5", md5)
        self._send("call", "link_arm_run", arm, md5)


def resync() -> Iterator[str]:
    """Log what waits in the outbox; yield a line for each run.

    Raises InputError where the store does not answer, and at the end where it refused something.
    """
    import filelock

    OUTBOX.mkdir(exist_ok=True)
    with filelock.FileLock(OUTBOX / "lock"):
        letters = {folder: outbox.read(folder) for folder in outbox.waiting(OUTBOX)}
        if not letters:
            yield "nothing to log: every run has all of its data"
        here = {folder: one for folder, one in letters.items() if one["address"] == without_credentials(tracking_uri())}
        for folder in letters.keys() - here.keys():
            yield f"run {letters[folder]['run'].name!r} waits for MLFLOW_TRACKING_URI={letters[folder]['address']}"
        refused = []
        client = _open_store() if here else None
        for folder, letter in here.items():
            try:
                _deliver_letter(client, letter)
            except Exception as error:
                if not _is_store_error(error):
                    raise
                refused.append(f"run {letter['run'].name!r} in {folder}: {_reason(error)}")
            else:
                outbox.remove(folder)
                yield f"run {letter['run'].name!r} is complete"
        if refused:
            raise InputError("\n".join(refused))


def _deliver_letter(client: Any, letter: dict[str, Any]) -> None:
    with _Store(client, letter["run"]).resumed() as store:
        store.deliver(letter["metrics"], letter["calls"])
    _link_comparisons(client, letter["run"])


def register_networks(experiment: str, folders: Mapping[str, Path]) -> Iterator[str]:
    """Register the network of each arm: as logged by the run that wrote the files in the arm's folder, under its alias.

    Yields a line for each. Raises InputError where one of the runs is not in this store, and then registers nothing.
    """
    client = _open_store()
    with _errors_named():
        logged = {arm: _find_network(client, experiment, arm, folder) for arm, folder in folders.items()}
        if not client.search_registered_models(f"name = '{REGISTERED_MODEL}'"):
            text = "The median network without (alias `baseline`) and with batch normalization (alias `bn`)"
            client.create_registered_model(REGISTERED_MODEL, description=text)
        for arm, (run, model) in logged.items():
            version = _register(client, arm, run, model)
            where = f"run {run.info.run_name!r}, {run.info.run_id}"
            yield f"{REGISTERED_MODEL}@{arm} is version {version}: the network of {where}"


class _MlflowRun:
    """One open run and its children, in the process that talks to MLflow.

    What the store does not take is offered again later, once more at the end, and then put into the outbox.
    """

    def __init__(self, stage: str, params: dict[str, Any], tags: dict[str, str], rates: Sequence[float]) -> None:
        client = _open_store()
        with _errors_named():
            experiment_id = _open_experiment(client, str(params["tracking.experiment"]))
            _close_runs_of_dead_processes(client)
            self.store = _Store.start(client, experiment_id, stage, params, tags, rates)
        self.run = self.store.run
        self.metrics: dict[str, list[_Point]] = {run_id: [] for run_id in self.run.ids}
        self.calls: deque[tuple[str, tuple[Any, ...]]] = deque()
        self.failure: Exception | None = None
        self.next_attempt = 0.0

    def is_open(self) -> bool:
        return True

    def prepare_to_log_network(self) -> None:
        """Import now, beside the training, what `log_network` needs."""
        import torch._dynamo
        import torch.export  # noqa: F401

    def log_epoch(
        self, epoch: int, metrics: dict[str, float], by_rate: dict[float, dict[str, float]], timestamp: int
    ) -> None:
        self._add(self.run.id, metrics, epoch, timestamp)
        for lr, values in by_rate.items():
            self._add(self.run.children[lr], values, epoch, timestamp)
        if time.monotonic() > self.next_attempt:
            self._deliver()

    def call(self, method: str, *args: Any) -> None:
        """Call a method of the store, after all that waits."""
        self.calls.append((method, args))
        if not self.failure or time.monotonic() > self.next_attempt:
            self._deliver()

    def close(self, how: str, error: Exception | None) -> None:
        """End the runs: as `how` says, or FAILED where our own code failed."""
        self.calls.append(("end", ("FAILED" if error else how, _now())))
        if self.failure:
            self._put_into_outbox()  # before an attempt that may take so long that we are killed
        self._deliver()
        if self.failure:
            self._put_into_outbox()
            print(self._warning(), file=sys.stderr)
        else:
            outbox.remove(OUTBOX / self.run.id)

    def _put_into_outbox(self) -> None:
        letter = {"address": without_credentials(tracking_uri()), "run": self.run, "metrics": self.metrics}
        outbox.put(OUTBOX / self.run.id, letter, self.calls)

    def _add(self, run_id: str, values: Mapping[str, float], step: int, timestamp: int) -> None:
        self.metrics[run_id] += [(name, float(value), timestamp, step) for name, value in values.items()]

    def _deliver(self) -> None:
        self.failure = None
        try:
            self.store.deliver(self.metrics, self.calls)
        except Exception as error:
            if not _is_store_error(error):
                self.calls.clear()  # the first would raise again
                raise
            self.failure = error
            os.environ |= NO_PATIENCE
        self.next_attempt = time.monotonic() + (SECONDS_BETWEEN_ATTEMPTS if self.failure else SECONDS_BETWEEN_WRITES)

    def _warning(self) -> str:
        """Say in one line what the run lacks."""
        names = {
            "log_summary": "summary",
            "log_dataset": "datasets",
            "log_network": "model",
            "log_artifact": "files",
            "set_tag": "tags",
            "link_arm_run": "links",
            "end": "end",
        }
        waiting = {method for method, _ in self.calls}
        steps = [step for points in self.metrics.values() for *_, step in points]
        lacking = [f"metrics since epoch {min(steps)}"] if steps else []
        lacking += [name for method, name in names.items() if method in waiting]
        return (
            f"warning: MLflow at {without_credentials(tracking_uri())} failed ({_reason(self.failure)}): run"
            f" {self.run.name!r} there lacks its {', '.join(lacking)}; nothing is lost: `make resync` logs it later"
        )


_Point = tuple[str, float, int, int]  # name, value, timestamp in ms, step


@dataclass(frozen=True)
class _Run:
    """Where a run and its children, one per learning rate, are in the store."""

    id: str
    name: str
    experiment_id: str
    children: dict[float, str]
    epochs: int
    lr: str

    @property
    def ids(self) -> list[str]:
        return [self.id, *self.children.values()]


class _Store:
    """A run in an MLflow store. A call that failed half-way can be repeated: nothing is then there twice."""

    def __init__(self, client: Any, run: _Run) -> None:
        self.client, self.run = client, run

    @classmethod
    def start(
        cls,
        client: Any,
        experiment_id: str,
        stage: str,
        params: dict[str, Any],
        tags: dict[str, str],
        rates: Sequence[float],
    ) -> "_Store":
        """Start a run for a stage, with a child run for each learning rate."""
        import mlflow

        dvc_stage = os.environ.get("DVC_STAGE", stage)
        tags = {"dvc.stage": dvc_stage, PROCESS_TAG: _this_process(), **_experiment_tags(), **tags}
        color = {} if "dvc.exp.name" in tags else {"mlflow.runColor": COLORS.get(tags.get("arm"), GREY)}
        info = mlflow.start_run(experiment_id=experiment_id, run_name=_run_name(stage), tags=tags | color).info
        run = _Run(info.run_id, info.run_name, experiment_id, {}, params["epochs"], str(params["lr"]))
        store = cls(client, run)
        try:
            mlflow.log_params(params)
            for lr in rates:
                run.children[lr] = store._start_child(lr, params, tags)
        except BaseException:
            store.end("FAILED", _now())
            raise
        return store

    def _start_child(self, lr: float, params: Mapping[str, Any], tags: Mapping[str, str]) -> str:
        """Start the run of one learning rate, with params and a color for the UI to draw the rates of both arms by.

        Its parallel coordinates and scatter plots show params, not tags, and have no logarithmic axis.
        """
        from mlflow.entities import Param

        arm = tags["arm"]
        params = {**params, "lr": lr, "log10_lr": f"{math.log10(lr):.3g}", "arm": arm}
        tags = {**tags, "mlflow.parentRunId": self.run.id, "mlflow.runColor": COLORS[arm]}
        info = self.client.create_run(self.run.experiment_id, run_name=f"{arm} lr={lr:g}", tags=tags).info
        self.client.log_batch(info.run_id, params=[Param(key, str(value)) for key, value in params.items()])
        return info.run_id

    @contextmanager
    def resumed(self) -> Iterator["_Store"]:
        """Open a run again that an earlier process left without its end."""
        import mlflow

        try:
            mlflow.start_run(self.run.id)
            yield self
        except BaseException:
            with contextlib.suppress(Exception):  # what was raised first counts
                mlflow.end_run("KILLED")
            raise

    def deliver(self, metrics: dict[str, list[_Point]], calls: deque[tuple[str, tuple[Any, ...]]]) -> None:
        """Log metrics by run id, then carry out calls in order; what has been taken leaves `metrics` and `calls`."""
        for run_id, points in metrics.items():
            self._log_points(run_id, points)
        while calls:
            method, args = calls[0]
            getattr(self, method)(*args)
            calls.popleft()

    def _log_points(self, run_id: str, points: list[_Point]) -> None:
        from mlflow.entities import Metric

        while points:
            self.client.log_batch(run_id, metrics=[Metric(*point) for point in points[:METRICS_PER_CALL]])
            del points[:METRICS_PER_CALL]

    def log_dataset(self, path: Path, source: str, context: str) -> None:
        import mlflow
        import pandas as pd
        from mlflow.data.sources import LocalArtifactDatasetSource

        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", "Hint: Inferred schema contains integer")  # labels are never missing
            dataset = mlflow.data.from_pandas(
                pd.read_csv(path),
                source=LocalArtifactDatasetSource(source),
                targets="label",
                name=path.stem,
                digest=file_md5(path),
            )
            mlflow.log_input(dataset, context=context)

    def log_network(self, name: str, pickled: bytes, example: "np.ndarray") -> None:
        import mlflow
        import torch

        network = pickle.loads(pickled)
        with torch.no_grad():
            output = network(torch.from_numpy(example)).numpy()
        options = {
            "signature": mlflow.models.infer_signature(example, output),
            "input_example": example,
            "pip_requirements": [f"torch=={torch.__version__.split('+')[0]}", f"mlflow=={mlflow.__version__}"],
        }
        linked = {output.model_id for output in self.client.get_run(self.run.id).outputs.model_outputs}
        begun = f"source_run_id = '{self.run.id}' and name = '{name}'"
        for model in self.client.search_logged_models([self.run.experiment_id], begun):
            if model.model_id in linked and model.metrics:
                if model.status != "READY":
                    self._upload_model(model, network, options)
                return
            self.client.delete_logged_model(model.model_id)  # cut off before all was linked
        mlflow.pytorch.log_model(network, name=name, step=self.run.epochs, **options)

    def _upload_model(self, model: Any, network: "nn.Module", options: Mapping[str, Any]) -> None:
        """Do the last part of `log_model`, which by then has linked the model to the run and its metrics."""
        import mlflow

        ids = {"run_id": self.run.id, "model_id": model.model_id, "model_uuid": model.model_id}
        description = mlflow.models.Model(artifact_path=model.artifact_location, **ids)
        with tempfile.TemporaryDirectory() as folder:
            mlflow.pytorch.save_model(network, f"{folder}/model", mlflow_model=description, **options)
            self.client.log_model_artifacts(model.model_id, f"{folder}/model")
        self.client.finalize_logged_model(model.model_id, "READY")

    def log_summary(self, metrics: dict[str, float], timestamp: int) -> None:
        self._log_points(self.run.id, [(name, float(value), timestamp, 0) for name, value in metrics.items()])

    def log_artifact(self, path: Path) -> None:
        self.client.log_artifact(self.run.id, str(path))

    def set_tag(self, name: str, value: str) -> None:
        self.client.set_tag(self.run.id, name, value)

    def link_arm_run(self, arm: str, history_md5: str) -> None:
        found = _finished_runs(self.client, self.run.experiment_id, {"arm": arm, "history.md5": history_md5})
        same_lr = [run for run in found if run.data.params.get("lr") == self.run.lr]  # a history holds other rates too
        newest = next(iter(same_lr or found), None)
        self.set_tag(f"{arm}.run_id", newest.info.run_id if newest else NOT_HERE)

    def end(self, status: str, end_time: int) -> None:
        import mlflow

        mlflow.end_run(status)  # it is no longer the active run, whatever comes next
        for run_id in self.run.ids:
            self.client.set_terminated(run_id, status, end_time)


def _open_store() -> Any:
    """Return a client of the store.

    Raises InputError where it does not answer. Processes that initialise a fresh database at once collide: one at a
    time.
    """
    with _errors_named():
        address = _log_in(tracking_uri())
        _await_answer(address)
        import filelock
        import mlflow

        mlflow.set_tracking_uri(address)
        with filelock.FileLock(ROOT / "mlflow.db.lock"):
            client = mlflow.MlflowClient()
            client.search_experiments(max_results=1)
            return client


def _await_answer(address: str) -> None:
    """Raise where a store is not there: within seconds, and before MLflow is imported, which has more patience."""
    if address.startswith("http"):
        import requests

        with contextlib.suppress(requests.exceptions.SSLError):  # there is a server; MLflow knows what to trust
            requests.head(address, timeout=5)
    elif address.startswith(("sqlite", "postgres", "mysql", "mssql")):
        import sqlalchemy

        sqlalchemy.create_engine(address).connect().close()


def _open_experiment(client: Any, name: str) -> str:
    """Return the id of an experiment, made where it is new: its artifacts under ROOT, wherever this process runs."""
    from mlflow.exceptions import MlflowException

    found = client.get_experiment_by_name(name)
    if found is None:
        location = None if tracking_uri().startswith("http") else (ROOT / "mlartifacts").as_uri()
        try:
            return client.create_experiment(name, artifact_location=location, tags=view_tags())
        except MlflowException:
            found = client.get_experiment_by_name(name)
            if found is None:  # it is not that another process has just made it
                raise
    if found.lifecycle_stage == "deleted":
        raise InputError(f"tracking.experiment = {name!r}: deleted in MLflow; restore it or choose another name")
    return found.experiment_id


def _log_in(address: str) -> str:
    """Return a server's address without the credentials in it, and give them to MLflow where it never shows them.

    Raises InputError where it cannot be told what they are.
    """
    if not address.startswith("http") or "@" not in address:
        return address
    scheme, authority, *rest = urlsplit(address)
    credentials, at, host = authority.rpartition("@")
    if not at:
        raise InputError(
            f"MLFLOW_TRACKING_URI = {without_credentials(address)!r}, with an @ after the first slash:"
            " expected %2F for a slash in the password, %40 for an @ in the path"
        )
    user, _, password = credentials.partition(":")
    os.environ["MLFLOW_TRACKING_USERNAME"] = unquote(user)
    os.environ["MLFLOW_TRACKING_PASSWORD"] = unquote(password)
    return urlunsplit((scheme, host, *rest))


def _is_store_error(error: Exception) -> bool:
    """Return whether this is what a store that fails raises."""
    from requests import RequestException

    if isinstance(error, RequestException):
        return True
    from mlflow.exceptions import MlflowException
    from sqlalchemy.exc import SQLAlchemyError

    return isinstance(error, (MlflowException, SQLAlchemyError))


@contextmanager
def _errors_named() -> Iterator[None]:
    """Turn what a store that fails raises into one line for the user."""
    try:
        yield
    except Exception as error:
        if not _is_store_error(error):
            raise
        raise InputError(
            f"MLFLOW_TRACKING_URI = {without_credentials(tracking_uri())!r}: {_reason(error)}:"
            " expected an MLflow server or database that answers and lets us log"
        ) from None


def _reason(error: BaseException) -> str:
    """Return the root cause of an error in one line."""
    while cause := error.__cause__ or error.__context__:
        error = cause
    reason = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
    return without_credentials(" ".join(reason.split()))[:300]


def _this_process() -> str:
    """Return what tells this process from all others, for as long as its runs may be open: host:pid:start."""
    import psutil

    return f"{socket.gethostname()}:{os.getpid()}:{psutil.Process().create_time():.0f}"


def _close_runs_of_dead_processes(client: Any) -> None:
    """End the runs that killed processes of this host left open, in any experiment."""
    from mlflow.exceptions import MlflowException

    experiments = [experiment.experiment_id for experiment in client.search_experiments()]
    ours = f"attributes.status = 'RUNNING' and tags.`{PROCESS_TAG}` LIKE '{socket.gethostname()}:%'"
    for run in client.search_runs(experiments, ours):
        host, process, start = run.data.tags[PROCESS_TAG].rsplit(":", 2)
        if host == socket.gethostname() and not _is_alive(int(process), float(start)):
            with contextlib.suppress(MlflowException):  # deleted meanwhile, or not ours to change
                client.set_terminated(run.info.run_id, "KILLED")


def _is_alive(process: int, start: float) -> bool:
    import psutil

    try:
        found = psutil.Process(process)
        return abs(found.create_time() - start) < 60 and found.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def _finished_runs(client: Any, experiment_id: str, tags: Mapping[str, str]) -> list[Any]:
    """Return the finished runs with these tags, newest first."""
    conditions = [f"tags.`{name}` = '{value}'" for name, value in tags.items()]
    finished = " and ".join([*conditions, "attributes.status = 'FINISHED'"])
    return client.search_runs([experiment_id], finished, order_by=["attributes.start_time DESC"])


def _link_comparisons(client: Any, run: _Run) -> None:
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


def _find_network(client: Any, experiment: str, arm: str, folder: Path) -> tuple[Any, Any]:
    """Return the newest finished run that wrote an arm's files, and the model that it logged."""
    files = {"history.md5": folder / "history.parquet", "model.md5": folder / "model.pt"}
    for path in files.values():
        if not path.exists():
            raise InputError(f"{path}: no such file: run `dvc repro`, or `dvc pull`")
    tags = {"arm": arm, **{tag: file_md5(path) for tag, path in files.items()}}
    found = client.get_experiment_by_name(experiment)
    for run in _finished_runs(client, found.experiment_id, tags) if found else []:
        for model in client.search_logged_models([found.experiment_id], f"source_run_id = '{run.info.run_id}'"):
            return run, model
    store = without_credentials(tracking_uri())
    raise InputError(
        f"{folder}: the run that wrote it is not in {store}: set MLFLOW_TRACKING_URI to the store that has it,"
        " or make one here with `dvc repro --force`"
    )


def _register(client: Any, arm: str, run: Any, model: Any) -> int:
    """Return the version that is this logged model, made where there is none, after the arm's alias points to it."""
    source = f"models:/{model.model_id}"
    versions = client.search_model_versions(f"name = '{REGISTERED_MODEL}'")
    version = next((version for version in versions if version.source == source), None)
    if version is None:
        told = ("arm", "history.md5", "model.md5", "dvc.exp.name")
        tags = {tag: run.data.tags[tag] for tag in told if tag in run.data.tags}
        description = f"Arm `{arm}`: {run.data.tags['mlflow.note.content']}"
        version = client.create_model_version(
            REGISTERED_MODEL, source, run.info.run_id, tags, description=description, model_id=model.model_id
        )
    client.set_registered_model_alias(REGISTERED_MODEL, arm, version.version)
    return version.version


def _run_name(stage: str) -> str:
    """Return the name of the arm, with that of the DVC experiment where there is one."""
    title, experiment = stage.removeprefix("train_"), os.environ.get("DVC_EXP_NAME")
    return f"{title} ({experiment})" if experiment else title


def _experiment_tags() -> dict[str, str]:
    variables = {"dvc.exp.name": "DVC_EXP_NAME", "dvc.exp.baseline_rev": "DVC_EXP_BASELINE_REV"}
    return {tag: os.environ[variable] for tag, variable in variables.items() if os.environ.get(variable)}


def _how_to_restore(made: Sequence[str | Path]) -> str:
    """Return Markdown with the command that brings back the files in `made`, and those beside them."""
    if experiment := os.environ.get("DVC_EXP_NAME"):
        return f"This brings its files back into the workspace:\n\n    dvc exp apply {experiment}"
    has_all = " ".join(["--all-match", *(f"-e {file_md5(path)}" for path in made)])
    first = f"git grep -l {has_all} $(git rev-list --all -- dvc.lock) -- dvc.lock | tail -1 | cut -d: -f1"
    return (
        "Once they are committed, this brings its files back into the workspace:\n\n"
        f'    git checkout "$({first})" && dvc checkout'
    )


def _now() -> int:
    """Return milliseconds since 1970, as MLflow counts."""
    return time.time_ns() // 1_000_000
