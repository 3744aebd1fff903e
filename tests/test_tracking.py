"""Against a real MLflow store: an SQLite database in a temporary folder."""

import contextlib
import hashlib
import multiprocessing
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from multiprocessing.process import BaseProcess
from pathlib import Path

import mlflow
import numpy as np
import psutil
import pytest
import sqlalchemy
import torch
from forking import Program, forks_that_log, start_program
from mlflow import MlflowClient
from mlflow.entities import Run
from mlflow.exceptions import MlflowException
from mlflow.store.artifact.local_artifact_repo import LocalArtifactRepository

from stages import InputError
from stages.params import load_params
from stages.tracking import StageRun, liveness, outbox, resync, track_stage
from stages.tracking.address import shown_store
from stages.tracking.entries import Entry, LoggedRun, log_network, log_points
from stages.tracking.environment import outbox_folder
from stages.tracking.liveness import this_process
from stages.tracking.run import NETWORK_CODE
from stages.tracking.store import Store, close_runs_of_dead_processes, open_client, open_experiment, open_run
from stages.training.network import Architecture, build_network, load_network, save_network

ROOT = Path(__file__).parents[1]
PARAMS = load_params(ROOT / "params.yaml").flat()


@pytest.fixture(autouse=True)
def forks(request: pytest.FixtureRequest) -> Iterator[None]:
    """The process that logs is a fork, but where the whole is tested."""
    is_whole = request.node.get_closest_marker("whole")
    with contextlib.nullcontext() if is_whole else forks_that_log():
        yield


def runs(store: MlflowClient, experiment: str = "batch-normalization") -> dict[str, Run]:
    """Return the runs of the store by name."""
    found = store.get_experiment_by_name(experiment)
    return {run.info.run_name: run for run in store.search_runs([found.experiment_id])} if found else {}


def create_run(store: MlflowClient, name: str) -> LoggedRun:
    """Return an open run without children."""
    experiment = open_experiment(store, "batch-normalization")
    run_id = store.create_run(experiment, run_name=name).info.run_id
    return LoggedRun(shown_store(), run_id, name, experiment, 200, "0.001", {})


def environment() -> dict[str, str]:
    variables = {name: value for name, value in os.environ.items() if not name.startswith("MLFLOW_")}
    return variables | {"PYTHONPATH": str(ROOT)}


def log_epochs(run: StageRun, count: int) -> None:
    for epoch in range(count):
        by_rate = {rate: {"val_accuracy": rate * epoch} for rate in (0.01, 0.1)}
        run.log_epoch(epoch, {"val_accuracy": epoch / 10, "val_loss": float("nan")}, by_rate)


def test_a_stage_logs_params_tags_epochs_and_children(store: MlflowClient, tmp_path: Path) -> None:
    with track_stage("train_bn", PARAMS, tags={"arm": "bn"}, rates=[0.01, 0.1]) as run:
        run.wait_until_open()
        log_epochs(run, 1010)  # more than one call takes
        run.set_tag("history.md5", "abc")
        run.set_tags({"a": "1", "b": "2"})
    logged = runs(store)
    parent = logged["bn (sunny-day)"]
    assert parent.info.status == "FINISHED"
    assert parent.data.params == {key: str(value) for key, value in PARAMS.items()}
    expected = {
        "dvc.stage": "train_bn",
        "dvc.exp.name": "sunny-day",
        "arm": "bn",
        "history.md5": "abc",
        "a": "1",
        "b": "2",
    }
    assert expected.items() <= parent.data.tags.items()
    points = store.get_metric_history(parent.info.run_id, "val_accuracy")
    assert [(point.step, point.value) for point in points] == [(epoch, epoch / 10) for epoch in range(1010)]
    child = logged["bn lr=0.1"]
    assert child.data.tags["mlflow.parentRunId"] == parent.info.run_id
    assert (child.info.status, child.data.params["lr"], child.data.params["epochs"]) == ("FINISHED", "0.1", "200")
    assert len(store.get_metric_history(child.info.run_id, "val_accuracy")) == 1010
    assert (tmp_path / "mlartifacts").as_uri() in parent.info.artifact_uri


def test_a_network_has_the_metrics_of_the_last_epoch_however_soon_it_follows(
    store: MlflowClient, tmp_path: Path
) -> None:
    architecture = Architecture(2)
    save_network(build_network(architecture, torch.Generator()), architecture, tmp_path / "model.pt")
    with track_stage("train_bn", PARAMS, tags={"arm": "bn"}) as run:
        for epoch in (0, 200):  # the first is logged at once; the last waits, as does the network
            run.log_epoch(epoch, {"val_loss": epoch / 100}, {})
        run.log_network("bn", tmp_path / "model.pt", np.zeros((2, 2)), np.zeros((2, 1)))
    logged = runs(store)["bn (sunny-day)"]
    model = store.get_logged_model(logged.outputs.model_outputs[0].model_id)
    assert {metric.key: metric.value for metric in model.metrics} == {"val_loss": 2.0}


def test_metrics_are_there_while_the_stage_runs(store: MlflowClient) -> None:
    with track_stage("train_bn", PARAMS, tags={"arm": "bn"}, rates=[0.01, 0.1]) as run:
        run.wait_until_open()
        log_epochs(run, 1)
        for _ in range(600):
            if "val_accuracy" in runs(store)["bn lr=0.1"].data.metrics:
                break
            time.sleep(0.1)
        assert {name: list(run.data.metrics) for name, run in runs(store).items() if run.info.status == "RUNNING"} == {
            "bn (sunny-day)": ["val_accuracy", "val_loss"],
            "bn lr=0.01": ["val_accuracy"],
            "bn lr=0.1": ["val_accuracy"],
        }


def test_a_stage_that_raises_fails_its_runs(store: MlflowClient) -> None:
    with pytest.raises(ZeroDivisionError), track_stage("train_bn", PARAMS, tags={"arm": "bn"}, rates=[0.1]) as run:
        run.log_epoch(1 // 0, {}, {})
    assert {name: run.info.status for name, run in runs(store).items()} == {
        "bn (sunny-day)": "FAILED",
        "bn lr=0.1": "FAILED",
    }


@pytest.mark.parametrize("log", [StageRun.log_artifacts, lambda run, path: run.log_dataset(path, "training")])
def test_a_file_that_is_missing_is_named_where_it_is_logged(store: MlflowClient, log: Callable[..., None]) -> None:
    with pytest.raises(FileNotFoundError, match=r"nowhere\.pt"), track_stage("train_bn", PARAMS, tags={}) as run:
        log(run, "nowhere.pt")
    assert runs(store)["bn (sunny-day)"].info.status == "FAILED"


def test_a_mistake_of_ours_in_the_process_that_logs_is_raised_here(store: MlflowClient) -> None:
    with pytest.raises(RuntimeError, match=r"KeyError: '0\.5'"), track_stage("train_bn", PARAMS, tags={}) as run:
        run.log_epoch(0, {}, {0.5: {}})  # no child has this rate
    assert runs(store)["bn (sunny-day)"].info.status == "FAILED"


def test_a_stage_that_raises_says_what_went_wrong_in_mlflow_too(
    store: MlflowClient, capsys: pytest.CaptureFixture[str]
) -> None:
    def fail_twice() -> None:
        with track_stage("train_bn", PARAMS, tags={"arm": "bn"}, rates=[0.1]) as run:
            run.log_epoch(0, {}, {0.5: {}})  # no child has this rate
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail_twice()
    assert "KeyError: '0.5'" in capsys.readouterr().err
    assert {run.info.status for run in runs(store).values()} == {"FAILED"}


def test_a_run_that_cannot_be_opened_fails(store: MlflowClient) -> None:
    bad = PARAMS | {"a$b": 1}
    with (
        pytest.raises(InputError, match=r"a\$b"),
        track_stage("train_bn", bad, tags={"arm": "bn"}, rates=[0.1]) as run,
    ):
        run.wait_until_open()
    assert {run.info.status for run in runs(store).values()} == {"FAILED"}


def newest_child() -> BaseProcess:
    """Return the child started last: tests of other files may have left theirs to this process."""
    return max(multiprocessing.active_children(), key=lambda child: int(child.name.rpartition("-")[2]))


def kill_the_process_that_logs() -> None:
    process = newest_child()
    process.kill()
    process.join()


def test_a_stage_outlives_the_process_that_logs(
    store: MlflowClient, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "file.txt").write_text("content")
    with track_stage("train_bn", PARAMS, tags={"arm": "bn"}, rates=[0.1]) as run:
        run.log_epoch(0, {"val_loss": 1.0}, {0.1: {"val_loss": 2.0}})
        run.wait_until_open()
        kill_the_process_that_logs()
        run.log_epoch(1, {"val_loss": float("inf")}, {0.1: {"val_loss": float("nan")}})
        run.set_tag("history.md5", "abc")
        run.log_artifacts(tmp_path / "file.txt")
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("warning: the process that logs to MLflow was killed: run 'bn (sunny-day)' at sqlite:///")
    assert line.endswith("; nothing is lost: `make resync` logs it later")
    (tmp_path / "file.txt").unlink()
    assert list(resync.resync()) == ["run 'bn (sunny-day)' is complete"]
    assert {name: found.info.status for name, found in runs(store).items()} == {
        "bn (sunny-day)": "FINISHED",
        "bn lr=0.1": "FINISHED",
    }
    logged = runs(store)["bn (sunny-day)"]
    assert logged.data.tags["history.md5"] == "abc"
    points = store.get_metric_history(logged.info.run_id, "val_loss")
    assert [(point.step, point.value) for point in points] == [(0, 1.0), (1, sys.float_info.max)]
    assert [file.path for file in store.list_artifacts(logged.info.run_id)] == ["file.txt"]


def test_a_full_disk_costs_a_run_nothing(
    store: MlflowClient, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "file.txt").write_text("content")
    with track_stage("train_bn", PARAMS, tags={"arm": "bn"}, rates=[0.1]) as run:
        run.wait_until_open()
        process = newest_child()
        size = (tmp_path / "mlflow.db").stat().st_size
        psutil.Process(process.pid).rlimit(psutil.RLIMIT_FSIZE, (size, size))  # no file of its may grow beyond
        for epoch in range(1500):
            run.log_epoch(epoch, {"val_loss": epoch / 2}, {0.1: {"val_loss": 0.5}})
        run.log_artifacts(tmp_path / "file.txt")
    (line,) = capfd.readouterr().err.splitlines()
    assert line.startswith("warning: MLflow at sqlite:///")
    assert "there lacks its metrics since epoch " in line
    assert line.endswith("; nothing is lost: `make resync` logs it later")
    assert list(resync.resync()) == ["run 'bn (sunny-day)' is complete"]
    logged = runs(store)["bn (sunny-day)"]
    assert logged.info.status == "FINISHED"
    points = store.get_metric_history(logged.info.run_id, "val_loss")
    assert sorted((point.step, point.value) for point in points) == [(epoch, epoch / 2) for epoch in range(1500)]
    assert [file.path for file in store.list_artifacts(logged.info.run_id)] == ["file.txt"]


def test_a_process_that_logs_and_dies_before_it_opens_a_run_stops_the_stage(
    store: MlflowClient, capsys: pytest.CaptureFixture[str]
) -> None:
    def kill_at_once() -> None:
        with track_stage("train_bn", PARAMS, tags={}) as run:
            kill_the_process_that_logs()
            run.wait_until_open()

    with pytest.raises(InputError, match="killed before it had opened a run"):
        kill_at_once()
    assert capsys.readouterr().err == ""  # it is told once


def test_experiments_of_one_arm_differ_in_shade(store: MlflowClient, monkeypatch: pytest.MonkeyPatch) -> None:
    colors = []
    for name in ("first", "it's", "third", "first"):
        monkeypatch.setenv("DVC_EXP_NAME", name)
        opened = open_run(store.tracking_uri, "train_bn", PARAMS, {"arm": "bn"}, [])
        colors.append(store.get_run(opened.run.id).data.tags["mlflow.runColor"])
    assert colors[3] == colors[0]
    assert len(set(colors)) == 3


def test_nothing_waits_for_the_disk_while_tables_are_made(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    address = f"sqlite:///{tmp_path}/mlflow.db"
    (tmp_path / "mlflow.db").touch()
    seen = []

    class Client:
        def __init__(self) -> None:
            self.connection = sqlalchemy.create_engine(address).connect()
            seen.append(self.waits_for_the_disk())

        def waits_for_the_disk(self) -> bool:
            return self.connection.exec_driver_sql("PRAGMA synchronous").scalar() > 0

        def search_experiments(self, max_results: int) -> None:
            self.connection.exec_driver_sql("CREATE TABLE IF NOT EXISTS experiments (name TEXT)")

    monkeypatch.setattr(mlflow, "MlflowClient", Client)
    clients = [open_client(address) for _ in range(2)]
    assert seen == [False, True]
    assert [client.waits_for_the_disk() for client in clients] == [True, True]


def test_a_deleted_experiment_is_refused(store: MlflowClient) -> None:
    store.delete_experiment(store.create_experiment("batch-normalization"))
    with (
        pytest.raises(InputError, match=r"tracking\.experiment = 'batch-normalization': deleted in MLflow"),
        track_stage("train_bn", PARAMS, tags={}) as run,
    ):
        run.wait_until_open()


START = """
import multiprocessing, sys, threading, time
import psutil
from stages.params import load_params
from stages.tracking import track_stage

if __name__ == "__main__":
    {setup}
    with track_stage("train_bn", load_params().flat(), tags={{"arm": "bn"}}, rates=[]):
        (logs,) = multiprocessing.active_children()
        print(psutil.Process(logs.pid).cmdline() == psutil.Process().cmdline())
"""
KILLED_STAGE = """
import time
from stages.params import load_params
from stages.tracking import track_stage

if __name__ == "__main__":
    with track_stage("train_bn", load_params().flat(), tags={"arm": "bn"}, rates=[0.1]) as run:
        time.sleep(0.3)  # the process that logs is importing
        print("started", flush=True)
        run.log_epoch(0, {"val_loss": 1.0}, {0.1: {"val_loss": 1.0}})
        run.wait_until_open()
        print("open", flush=True)
        time.sleep(60)
"""


@pytest.mark.whole
@pytest.mark.parametrize(
    ("how", "when"),
    [
        (signal.SIGKILL, b"started\n"),
        (signal.SIGTERM, b"started\n"),
        (signal.SIGINT, b"started\n"),
        (signal.SIGINT, b"open\n"),
    ],
)
def test_a_killed_stage_leaves_no_run_open(
    store: MlflowClient, tmp_path: Path, how: signal.Signals, when: bytes
) -> None:
    (tmp_path / "stage.py").write_text(KILLED_STAGE)
    command = [sys.executable, tmp_path / "stage.py"]
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    process = subprocess.Popen(command, cwd=ROOT, env=environment(), start_new_session=True, **pipes)
    while process.stdout.readline() != when:
        pass
    if how is signal.SIGKILL:
        process.kill()
    else:
        os.killpg(process.pid, how)  # as Ctrl-C does, and a terminal that is closed
    _, errors = process.communicate()  # ends when the tracking process has ended too
    assert b"BrokenPipe" not in errors
    assert errors.count(b"KeyboardInterrupt") == (how is signal.SIGINT)  # the stage's: no process beside it tells of it
    found = runs(store)
    assert {run.info.status for run in found.values()} <= {"FAILED" if how is signal.SIGINT else "KILLED"}
    assert when == b"started\n" or found["bn lr=0.1"].data.metrics == {"val_loss": 1.0}


@pytest.mark.whole
@pytest.mark.skipif(sys.platform != "linux", reason="processes are forked on Linux alone")
@pytest.mark.parametrize(
    ("setup", "is_fork"),
    [("pass", True), ("threading.Thread(target=time.sleep, args=[9], daemon=True).start()", False)],
)
def test_a_stage_of_one_thread_forks_the_process_that_logs(
    store: MlflowClient, tmp_path: Path, setup: str, is_fork: bool
) -> None:
    (tmp_path / "stage.py").write_text(START.format(setup=setup))
    command = [sys.executable, tmp_path / "stage.py"]
    printed = subprocess.check_output(command, cwd=ROOT, env=environment(), text=True)
    assert printed == f"{is_fork}\n"
    assert {run.info.status for run in runs(store).values()} == {"FINISHED"}


def start_stage(folder: Path, text: str) -> Program:
    (folder / "stage.py").write_text(text)
    return start_program(str(folder / "stage.py"), ROOT, environment())


@pytest.mark.whole
@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGTERM])
def test_a_stage_that_is_killed_while_it_trains_leaves_no_run_open(
    store: MlflowClient, tmp_path: Path, how: signal.Signals
) -> None:
    stage = start_stage(tmp_path, KILLED_STAGE)
    assert [stage.printed.readline() for _ in range(2)] == ["started\n", "open\n"]
    os.kill(stage.process.pid, how)
    assert stage.end() == (-how, "")
    found = runs(store)
    assert {run.info.status for run in found.values()} == {"KILLED"}
    assert found["bn lr=0.1"].data.metrics == {"val_loss": 1.0}


def test_a_start_closes_the_runs_of_dead_processes(store: MlflowClient) -> None:
    experiment, me = store.create_experiment("batch-normalization"), this_process()
    dead = replace(me, pid=2**22 + 1)  # above the largest process id
    processes = {
        "dead": dead,
        "of an id that no system has": replace(me, pid=2**70),
        "reused": replace(me, start=1000),  # the process of that id started later
        "alive": me,
        "of no process": replace(me, pid=-dead.pid),
        "before the last boot, or elsewhere": replace(dead, boot="another"),
        "in another container": replace(dead, namespace="4026539999"),
        "of an earlier version": "host:1:1000",
        "of a later version": f"{dead}:more",
    }
    for name, process in processes.items():
        store.create_run(experiment, run_name=name, tags={"tracking.process": str(process)})
    store.create_run(experiment, run_name="somebody's")
    with track_stage("train_bn", PARAMS, tags={}) as run:
        run.wait_until_open()
        statuses = {name: found.info.status for name, found in runs(store).items()}
    assert {name for name, status in statuses.items() if status == "KILLED"} == {
        "dead",
        "of an id that no system has",
        "reused",
    }
    assert {name for name, status in statuses.items() if status == "RUNNING"} == {
        "alive",
        "of no process",
        "before the last boot, or elsewhere",
        "in another container",
        "of an earlier version",
        "of a later version",
        "somebody's",
        "bn (sunny-day)",
    }


def test_a_run_that_its_process_ended_before_it_died_is_left_alone(
    store: MlflowClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    tags = {"tracking.process": str(this_process())}
    run_id = store.create_run("0", tags=tags).info.run_id

    def ends_and_dies(process: liveness.ProcessName) -> bool:
        store.set_terminated(run_id, "FINISHED")  # after the search for open runs
        return True

    monkeypatch.setattr("stages.tracking.store.is_dead", ends_and_dies)
    close_runs_of_dead_processes(store)
    assert store.get_run(run_id).info.status == "FINISHED"


@pytest.mark.parametrize("place", ["BOOT_ID", "NAMESPACE"])
def test_a_process_that_cannot_be_seen_from_here_is_not_known_to_be_dead(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, place: str
) -> None:
    dead = replace(this_process(), pid=2**22 + 1)
    assert liveness.is_dead(dead)
    (tmp_path / "another").write_text("another")
    monkeypatch.setattr(liveness, place, tmp_path / "another")
    assert not liveness.is_dead(dead)


def test_a_process_that_nobody_waits_for_is_dead() -> None:
    process = subprocess.Popen(["true"])
    seen = psutil.Process(process.pid)
    while seen.status() != psutil.STATUS_ZOMBIE:
        time.sleep(0.01)
    assert liveness.is_dead(replace(this_process(), pid=process.pid, start=int(seen.create_time())))
    process.wait()


def test_compare_links_the_newest_finished_run_of_a_history(store: MlflowClient, tmp_path: Path) -> None:
    (tmp_path / "history.parquet").write_bytes(b"history")
    tags = {"arm": "bn", "history.md5": hashlib.md5(b"history").hexdigest()}
    experiment = store.create_experiment("batch-normalization")

    def add_run(status: str, start_time: int, lr: str = "0.001", **others: str) -> str:
        run_id = store.create_run(experiment, start_time, tags | others).info.run_id
        store.log_param(run_id, "lr", lr)
        store.set_terminated(run_id, status)
        return run_id

    def linked() -> str:
        with track_stage("compare", PARAMS, tags={}) as run:
            run.link_arm_run("bn", tmp_path / "history.parquet")
        return store.search_runs([experiment], "run_name LIKE 'compare%'")[0].data.tags["bn.run_id"]  # newest first

    add_run("FINISHED", 1, **{"history.md5": "another"})
    add_run("FINISHED", 2, arm="baseline")
    add_run("FAILED", 3)
    assert linked() == "not in this store"
    other_rate = add_run("FINISHED", 4, lr="0.1")
    assert linked() == other_rate
    add_run("FINISHED", 1)
    newest = add_run("FINISHED", 2)
    add_run("FAILED", 5)
    assert linked() == newest


def test_a_stage_that_is_killed_while_it_logs_has_not_finished(store: MlflowClient, tmp_path: Path) -> None:
    stage = KILLED_STAGE.replace("time.sleep(60)", 'run.set_tag("a", "b")\n        print("logged", flush=True)')
    (tmp_path / "data.csv").write_text("a,label\n1.0,0\n")
    log_dataset = f"run.log_dataset({str(tmp_path / 'data.csv')!r}, 'training')\n        "  # takes a while
    started = start_stage(tmp_path, stage.replace("run.set_tag", log_dataset * 30 + "run.set_tag"))
    assert [started.printed.readline() for _ in range(3)] == ["started\n", "open\n", "logged\n"]
    started.process.kill()
    assert started.end() == (-signal.SIGKILL, "")
    assert {run.info.status for run in runs(store).values()} == {"KILLED"}


@pytest.mark.parametrize("step", ["log_outputs", "log_batch", "log_artifacts", "finalize_logged_model"])
def test_a_model_that_was_cut_off_is_finished(
    store: MlflowClient, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, step: str
) -> None:
    run = create_run(store, "bn")
    logged = Store(store, run)
    logged.log_points(run.id, [["val_loss", 0.5, 1, run.epochs], ["val_loss", 0.7, 1, 0]])
    architecture = Architecture(features=2)
    save_network(build_network(architecture, torch.Generator()), architecture, tmp_path / "model.pt")
    network, inputs = load_network(tmp_path / "model.pt"), torch.zeros(2, 2)
    example = [inputs.tolist(), network(inputs).tolist()]
    with monkeypatch.context() as cut:
        place = LocalArtifactRepository if step == "log_artifacts" else MlflowClient
        cut.setattr(place, step, lambda *_, **__: fail(MlflowException("cut off")))
        with pytest.raises(MlflowException, match="cut off"):
            log_network(logged, "bn", tmp_path / "model.pt", NETWORK_CODE, example)
    for _ in range(2):  # the second time there is nothing left to do
        log_network(logged, "bn", tmp_path / "model.pt", NETWORK_CODE, example)
    (output,) = store.get_run(run.id).outputs.model_outputs
    assert output.step == run.epochs
    model = store.get_logged_model(output.model_id)
    assert model.status == "READY"
    assert {metric.key: metric.value for metric in model.metrics} == {"val_loss": 0.5}
    loaded = mlflow.pyfunc.load_model(f"models:/{output.model_id}")
    np.testing.assert_allclose(loaded.predict(inputs.numpy()), example[1], rtol=1e-6)
    assert str(loaded.unwrap_python_model().network) == str(network)  # the ordinary nn.Sequential


def fail(error: Exception) -> None:
    raise error


def test_a_run_that_is_gone_does_not_hold_up_the_outbox(store: MlflowClient) -> None:
    first, second = create_run(store, "deleted"), create_run(store, "waiting")
    for run in (first, second):
        entries = [Entry(log_points, (run.id, [["val_loss", 0.5, 1, 0]]))]
        outbox.put(outbox_folder(), outbox.Letter(run, entries, "FINISHED", 1))
    store.delete_run(first.id)
    for name, value in {"arm": "bn", "history.md5": "abc"}.items():
        store.set_tag(second.id, name, value)
    comparison = store.create_run(second.experiment_id, tags={"bn.history.md5": "abc"}).info.run_id
    store.log_param(comparison, "lr", "0.001")  # it was cut off before its link
    with pytest.raises(InputError, match=r"run 'deleted' in .*deleted"):
        list(resync.resync())
    found = store.get_run(second.id)
    assert (found.info.status, found.data.metrics) == ("FINISHED", {"val_loss": 0.5})
    assert [folder.name for folder in outbox.waiting(outbox_folder())] == [first.id]
    assert store.get_run(comparison).data.tags["bn.run_id"] == second.id
    store.restore_run(first.id)
    assert list(resync.resync()) == ["run 'deleted' is complete"]


@pytest.mark.whole
def test_stages_that_start_at_once_on_a_new_database_all_log(tmp_path: Path) -> None:
    (tmp_path / "stage.py").write_text(KILLED_STAGE.replace("time.sleep(60)", "pass"))
    variables = environment() | {"DVC_ROOT": str(tmp_path)}
    stages = [start_program(str(tmp_path / "stage.py"), ROOT, variables) for _ in range(3)]
    assert [stage.end() for stage in stages] == [(0, "started\nopen\n")] * 3
    store = MlflowClient(f"sqlite:///{tmp_path / 'mlflow.db'}")
    found = store.search_runs([store.get_experiment_by_name("batch-normalization").experiment_id])
    assert [run.info.status for run in found] == ["FINISHED"] * 6
