"""Blocks come out the same wherever they are trained: in this process, in others, on a Dask cluster over TCP."""

import hashlib
import importlib
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd
import psutil
import pytest
import torch
from conftest import ROOT, normalization
from workers import die_once_then_train, raise_timeout, train_elsewhere

from stages import InputError, run_stage, train_bn
from stages.arm.parts import ArmParts
from stages.engine import STEPS_WORTH_WORKERS, Engine
from stages.history.curves import moments_by_epoch, summarize_epochs, tabulate_curves
from stages.training import blocks
from stages.training.blocks import BlockTask, TrainedBlock, cut_blocks, train_block
from stages.training.loop import Schedule, train_arm
from stages.training.network import Architecture, Normalization
from stages.training.replicas import unstack
from stages.training.tables import Table

SCHEDULE = Schedule([0.01, 0.1], range(8), epochs=3, batch_size=16)
ARCHITECTURE = Architecture(2, normalization=normalization())
BLOCK_OF_THREE_SEEDS = 7  # replicas: three seeds at two rates are six


@pytest.fixture
def tables(tiny_tables: tuple[Table, Table]) -> tuple[Table, Table]:
    return tuple(Table(table.x.float(), table.y) for table in tiny_tables)


@pytest.fixture(autouse=True)
def small_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(blocks, "REPLICAS_AT_ONCE", BLOCK_OF_THREE_SEEDS)
    monkeypatch.delenv("STUDY_ENGINE", raising=False)
    monkeypatch.delenv("STUDY_DASK_ADDRESS", raising=False)
    monkeypatch.delenv("STUDY_DEVICE", raising=False)


def train(
    tables: tuple[Table, Table],
    folder: Path,
    function: Callable[[BlockTask], TrainedBlock] = train_block,
    steps: int = 0,
) -> dict[str, str]:
    """Train on the engine that the environment names; return the checksum of all that it leaves."""
    tasks = [BlockTask(*tables, ARCHITECTURE, block, 0.1) for block in cut_blocks(SCHEDULE, ARCHITECTURE)]
    with Engine() as engine, ArmParts(folder / "parts", SCHEDULE.learning_rates, 0.1) as parts:
        for block in engine.run(function, tasks, here=engine.runs_here(len(tasks), steps)):
            parts.add(block)
        parts.write_history(folder / "history.parquet")
        parts.write_diagnostics(folder / "diagnostics.parquet")
        weights = [parts.network(seed).state_dict() for seed in SCHEDULE.seeds]
    found = {path.name: hashlib.md5(path.read_bytes()).hexdigest() for path in folder.glob("*.parquet")}
    return found | {"networks": str([[value.tolist() for value in each.values()] for each in weights])}


WORK = """
import os, pathlib, time
def for_minutes(number):
    pathlib.Path(os.environ["TMPDIR"], f"working-{number}").touch()
    time.sleep(300)
"""
STAGE = """
import work
from stages import run_stage
from stages.engine import STEPS_WORTH_WORKERS, Engine
run_stage(lambda: list(Engine().run(work.for_minutes, [0, 1], here=False)))
"""


def start_loky(folder: Path) -> tuple[subprocess.Popen[str], list[psutil.Process]]:
    """Start a stage that works for minutes; return it with its children, once two workers are at work."""
    (folder / "work.py").write_text(WORK)
    environment = os.environ | {"STUDY_ENGINE": "loky", "LOKY_MAX_CPU_COUNT": "2", "TMPDIR": str(folder)}
    environment["PYTHONPATH"] = f"{ROOT}:{folder}"
    options = {"env": environment, "stderr": subprocess.PIPE, "text": True, "start_new_session": True}
    stage = subprocess.Popen([sys.executable, "-c", STAGE], **options)
    while len(list(folder.glob("working-*"))) < 2:
        assert stage.poll() is None, stage.stderr.read()
        time.sleep(0.05)
    return stage, psutil.Process(stage.pid).children(recursive=True)


@pytest.mark.whole
def test_a_killed_stage_leaves_no_worker_behind(tmp_path: Path) -> None:
    stage, children = start_loky(tmp_path)
    assert len(children) >= 2
    stage.kill()
    assert psutil.wait_procs(children, timeout=200)[1] == []
    stage.communicate()


@pytest.mark.whole
def test_ctrl_c_ends_a_stage_and_its_workers_in_one_line(tmp_path: Path) -> None:
    stage, children = start_loky(tmp_path)
    os.killpg(stage.pid, signal.SIGINT)  # the whole group, as a terminal does
    _, told = stage.communicate(timeout=200)
    assert told.startswith("interrupted")
    assert told.count("\n") == 1
    assert stage.returncode == 130
    assert psutil.wait_procs(children, timeout=200)[1] == []


def test_ctrl_c_ends_a_stage_in_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    def interrupted() -> None:
        raise KeyboardInterrupt

    with pytest.raises(SystemExit) as exit:
        run_stage(interrupted)
    assert exit.value.code == 130
    assert capsys.readouterr().err.count("\n") == 1


def test_ctrl_c_ends_the_imports_of_a_stage_in_one_line(tmp_path: Path) -> None:
    (tmp_path / "pydantic.py").write_text("raise KeyboardInterrupt")
    command = [sys.executable, "-m", "stages.compare"]
    environment = os.environ | {"PYTHONPATH": str(tmp_path)}
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
    assert done.stderr.startswith("interrupted")
    assert done.stderr.count("\n") == 1
    assert done.returncode


def test_what_a_killed_training_left_is_removed_by_the_next(tmp_path: Path) -> None:
    folder = tmp_path / "results" / ".parts"
    for _ in range(2):
        with ArmParts(folder, SCHEDULE.learning_rates, 0.1):
            assert list(folder.iterdir()) == []
            (folder / "history-7").touch()
        assert not folder.exists()
        folder.mkdir()
        (folder / "history-8").touch()  # as if the last one had been killed


def test_blocks_hold_all_seeds_in_order() -> None:
    cut = cut_blocks(SCHEDULE, ARCHITECTURE)
    assert [list(block.seeds) for block in cut] == [[0, 1, 2], [3, 4, 5], [6, 7]]
    assert {tuple(block.learning_rates) for block in cut} == {(0.01, 0.1)}


@pytest.mark.parametrize(
    ("hidden", "rates", "seeds", "sizes"),
    [
        ([2, 2], 7, 64, [64]),  # the default run: 448 networks
        ([2, 2], 7, 80, [40, 40]),  # not 73 and 7: blocks of one size end together
        ([100, 100, 100], 1, 64, [32, 32]),  # 2**20 over 20,601 parameters are 50
        ([2000, 2000], 2, 3, [1, 1, 1]),  # four million parameters each
    ],
)
def test_large_networks_come_in_small_blocks(
    monkeypatch: pytest.MonkeyPatch, hidden: list[int], rates: int, seeds: int, sizes: list[int]
) -> None:
    monkeypatch.setattr(blocks, "REPLICAS_AT_ONCE", 512)
    schedule = replace(SCHEDULE, learning_rates=[0.1] * rates, seeds=range(seeds))
    assert [len(block.seeds) for block in cut_blocks(schedule, Architecture(2, hidden))] == sizes


def test_blocks_make_up_the_whole(tiny_tables: tuple[Table, Table], tmp_path: Path) -> None:
    architecture = Architecture(2)  # batch norm would turn rounding into differences, in units that are dead
    networks, whole = train_arm(*tiny_tables, architecture, SCHEDULE)
    with ArmParts(tmp_path / "parts", SCHEDULE.learning_rates, 0.1) as parts:
        for block in cut_blocks(SCHEDULE, architecture):
            parts.add(train_block(BlockTask(*tiny_tables, architecture, block, 0.1)))
        parts.write_history(tmp_path / "history.parquet")
        parts.write_diagnostics(tmp_path / "diagnostics.parquet")
        for seed in SCHEDULE.seeds:
            alone = unstack(networks, SCHEDULE.replica(0.1, seed)).state_dict()
            torch.testing.assert_close(parts.network(seed).state_dict(), alone, rtol=1e-8, atol=1e-10)
        final = whole[(whole["lr"] == 0.1) & (whole["epoch"] == 3)]
        np.testing.assert_allclose(parts.final_values()["val_accuracy"], final["val_accuracy"])
    pd.testing.assert_frame_equal(pd.read_parquet(tmp_path / "history.parquet"), whole, rtol=1e-9)
    diagnostics = pd.read_parquet(tmp_path / "diagnostics.parquet")
    expected = [(seed, epoch) for seed in SCHEDULE.seeds for epoch in range(4)]
    assert list(diagnostics[["seed", "epoch"]].itertuples(index=False, name=None)) == expected


def test_curves_add_up_over_blocks(tables: tuple[Table, Table]) -> None:
    _, whole = train_arm(*tables, ARCHITECTURE, SCHEDULE)
    by_block = [moments_by_epoch(whole[whole["seed"].isin(seeds)]) for seeds in ([0, 1, 2], [3], [4, 5, 6, 7])]
    added = {name: sum((block[name] for block in by_block[1:]), by_block[0][name]) for name in by_block[0]}
    curves = tabulate_curves({name: moments[1] for name, moments in added.items()})
    pd.testing.assert_frame_equal(curves, summarize_epochs(whole, 0.1), check_dtype=False)


@pytest.mark.whole
@pytest.mark.parametrize(
    ("engine", "blocks", "steps", "here"),
    [
        (None, 1, 10**9, True),
        (None, 2, STEPS_WORTH_WORKERS - 1, True),  # done before workers have started
        (None, 2, STEPS_WORTH_WORKERS, False),
        ("auto", 2, STEPS_WORTH_WORKERS, False),
        ("inline", 2, STEPS_WORTH_WORKERS, True),
        ("loky", 1, 1, False),
    ],
)
def test_several_blocks_are_for_workers(
    monkeypatch: pytest.MonkeyPatch, engine: str | None, blocks: int, steps: int, here: bool
) -> None:
    if engine:
        monkeypatch.setenv("STUDY_ENGINE", engine)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr("stages.engine.count_cores", lambda: 2)
    assert Engine().runs_here(blocks, steps) is here


def test_one_core_has_no_use_for_workers(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr("stages.engine.count_cores", lambda: 1)
    assert Engine().runs_here(2, STEPS_WORTH_WORKERS)


def test_workers_do_not_share_a_cuda_device_unasked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    assert Engine().runs_here(2, STEPS_WORTH_WORKERS)


@pytest.mark.skipif(torch.cuda.is_available(), reason="workers would share the CUDA device")
def test_by_default_workers_give_the_same_bytes(
    tables: tuple[Table, Table], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LOKY_MAX_CPU_COUNT", "2")
    here = train(tables, tmp_path)
    assert train(tables, tmp_path, partial(train_elsewhere, parent=os.getpid()), STEPS_WORTH_WORKERS) == here


@pytest.mark.parametrize("processes", ["1", "2"])
def test_processes_on_this_machine_give_the_same_bytes(
    tables: tuple[Table, Table], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, processes: str
) -> None:
    here = train(tables, tmp_path)
    monkeypatch.setenv("STUDY_ENGINE", "loky")
    monkeypatch.setenv("LOKY_MAX_CPU_COUNT", processes)
    assert train(tables, tmp_path) == here


@pytest.mark.whole
def test_a_process_that_is_killed_loses_nothing(
    tables: tuple[Table, Table], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    here = train(tables, tmp_path)
    monkeypatch.setenv("STUDY_ENGINE", "loky")
    monkeypatch.setenv("LOKY_MAX_CPU_COUNT", "2")
    assert train(tables, tmp_path, partial(die_once_then_train, marker=tmp_path / "died")) == here
    assert (tmp_path / "died").exists()
    assert "note: a worker process died; done so far: " in capfd.readouterr().err


def test_what_is_done_before_a_worker_dies_is_not_done_again(monkeypatch: pytest.MonkeyPatch) -> None:
    started = []

    def die_after_the_first(function: Callable[[int], int], tasks: list[int]) -> Iterator[int]:
        started.append(tasks)
        yield function(tasks[0])
        if len(started) == 1:
            raise BrokenProcessPool
        yield from map(function, tasks[1:])

    monkeypatch.setattr("stages.engine._run_on_loky", die_after_the_first)
    assert list(Engine().run(abs, [-1, -2, -3], here=False)) == [1, 2, 3]
    assert started == [[-1, -2, -3], [-2, -3]]


@pytest.mark.whole
def test_work_that_kills_every_worker_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("STUDY_ENGINE", "loky")
    monkeypatch.setenv("LOKY_MAX_CPU_COUNT", "2")
    monkeypatch.setattr("stages.engine.DEATHS", 1)
    with Engine() as engine, pytest.raises(InputError) as error:
        list(engine.run(os._exit, [1, 2], here=False))
    assert re.fullmatch(r"STUDY_ENGINE = 'loky': 2 worker processes died, .*", str(error.value))  # one line


@pytest.mark.parametrize(
    ("variables", "message"),
    [
        (
            {"STUDY_ENGINE": "lokky"},
            "STUDY_ENGINE = 'lokky': expected one of auto, inline, loky, dask; did you mean 'loky'?",
        ),
        ({"STUDY_DEVICE": "tpu0"}, "STUDY_DEVICE = 'tpu0': expected one of auto, cpu, cuda"),
        ({"STUDY_ENGINE": "dask"}, "STUDY_DASK_ADDRESS = '': expected an address as in tcp://127.0.0.1:8786"),
        (
            {"STUDY_ENGINE": "dask", "STUDY_DASK_ADDRESS": "tcp://127.0.0.1:1"},
            "STUDY_DASK_ADDRESS = 'tcp://127.0.0.1:1': no Dask scheduler answers there",
        ),
    ],
)
def test_an_engine_that_is_not_there_is_refused(
    monkeypatch: pytest.MonkeyPatch, variables: dict[str, str], message: str
) -> None:
    if variables.get("STUDY_ENGINE") == "dask":
        pytest.importorskip("distributed", reason="Dask is not installed: make setup-dask")
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr("stages.engine.SECONDS_TO_CONNECT", 2)
    with pytest.raises(InputError) as error:
        Engine()
    assert str(error.value) == message


def test_dask_that_is_not_installed_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("STUDY_ENGINE", "dask")
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(InputError, match=r"^STUDY_ENGINE = 'dask': Dask is not installed here; `make setup-dask`"):
        Engine()


TWO_WORKERS = ("distributed.cli.dask_worker", "--nthreads", "1", "--nworkers", "2")


@contextmanager
def dask(folder: Path, *command: str) -> Iterator[subprocess.Popen[bytes]]:
    """Run a scheduler or workers of Dask, which find each other by a file."""
    pytest.importorskip("distributed", reason="Dask is not installed: make setup-dask")
    places = [ROOT, ROOT / "tests", os.environ.get("PYTHONPATH", "")]
    environment = os.environ | {"PYTHONPATH": ":".join(map(str, places))}
    environment["DASK_DISTRIBUTED__SCHEDULER__ALLOWED_FAILURES"] = "1"
    command = (sys.executable, "-m", *command, "--no-dashboard", "--scheduler-file", str(folder / "scheduler.json"))
    with (folder / "dask.log").open("a") as log:
        options = {"stdout": log, "stderr": log, "start_new_session": True}
        process = subprocess.Popen(command, env=environment, cwd=folder, **options)
        try:
            yield process
        finally:
            os.killpg(process.pid, signal.SIGKILL)  # asked to end, workers wait for a scheduler
            process.wait()


@pytest.fixture
def scheduler_alone(tmp_path: Path) -> Iterator[str]:
    """A Dask scheduler, a process of its own; its address."""
    file = tmp_path / "scheduler.json"
    with dask(tmp_path, "distributed.cli.dask_scheduler", "--host", "127.0.0.1", "--port", "0") as process:
        while not file.exists():
            assert process.poll() is None, (tmp_path / "dask.log").read_text()
            time.sleep(0.1)
        yield json.loads(file.read_text())["address"]


@pytest.fixture
def scheduler(scheduler_alone: str, tmp_path: Path) -> Iterator[str]:
    """A Dask scheduler and two workers, each a process of its own; its address."""
    with dask(tmp_path, *TWO_WORKERS):
        wait_for_nannies(scheduler_alone)
        yield scheduler_alone


def wait_for_nannies(scheduler: str) -> None:
    """Return once both workers are watched: Dask gives them all up where one dies before that."""
    with importlib.import_module("distributed").Client(scheduler, set_as_default=False) as client:
        while list(client.run(lambda dask_worker: dask_worker.status.name, nanny=True).values()) != ["running"] * 2:
            time.sleep(0.1)


def wait_for_the_end_of_workers(scheduler: str) -> None:
    """Return once the scheduler has noticed: what it gives to dead workers would count as their deaths."""
    with importlib.import_module("distributed").Client(scheduler, set_as_default=False) as client:
        while client.scheduler_info(n_workers=-1)["workers"]:
            time.sleep(0.1)


def test_a_scheduler_without_workers_is_refused(monkeypatch: pytest.MonkeyPatch, scheduler_alone: str) -> None:
    monkeypatch.setenv("STUDY_ENGINE", "dask")
    monkeypatch.setenv("STUDY_DASK_ADDRESS", scheduler_alone)
    monkeypatch.setattr("stages.engine.SECONDS_TO_FIND_WORKERS", 0.5)
    with pytest.raises(InputError) as error:
        Engine()
    assert str(error.value) == f"STUDY_DASK_ADDRESS = '{scheduler_alone}': the scheduler has no workers"


def test_a_dask_cluster_gives_the_same_bytes(
    tables: tuple[Table, Table], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, scheduler: str
) -> None:
    here = train(tables, tmp_path)
    monkeypatch.setenv("STUDY_ENGINE", "dask")
    monkeypatch.setenv("STUDY_DASK_ADDRESS", scheduler)
    assert train(tables, tmp_path) == here
    assert train(tables, tmp_path, partial(die_once_then_train, marker=tmp_path / "died")) == here
    assert (tmp_path / "died").exists()


def test_work_that_kills_every_worker_of_dask_ends(monkeypatch: pytest.MonkeyPatch, scheduler: str) -> None:
    monkeypatch.setenv("STUDY_ENGINE", "dask")
    monkeypatch.setenv("STUDY_DASK_ADDRESS", scheduler)
    with Engine() as engine, pytest.raises(InputError) as error:
        list(engine.run(os._exit, [1], here=False))
    assert re.fullmatch(r"STUDY_ENGINE = 'dask': 2 worker processes died, .*", str(error.value))  # one line


def test_workers_that_do_not_come_back_end_the_work(
    monkeypatch: pytest.MonkeyPatch, scheduler_alone: str, tmp_path: Path
) -> None:
    monkeypatch.setenv("STUDY_ENGINE", "dask")
    monkeypatch.setenv("STUDY_DASK_ADDRESS", scheduler_alone)
    with dask(tmp_path, *TWO_WORKERS):
        wait_for_nannies(scheduler_alone)
        engine = Engine()
    wait_for_the_end_of_workers(scheduler_alone)
    monkeypatch.setattr("stages.engine.SECONDS_TO_FIND_WORKERS", 0.5)
    with engine, pytest.raises(InputError) as error:
        list(engine.run(abs, [1], here=False))
    assert str(error.value) == f"STUDY_DASK_ADDRESS = '{scheduler_alone}': the scheduler has no workers any more"


def test_a_timeout_of_a_task_is_its_own(monkeypatch: pytest.MonkeyPatch, scheduler: str) -> None:
    monkeypatch.setenv("STUDY_ENGINE", "dask")
    monkeypatch.setenv("STUDY_DASK_ADDRESS", scheduler)
    with Engine() as engine, pytest.raises(TimeoutError, match="of the task"):
        list(engine.run(raise_timeout, [1], here=False))


def test_a_scheduler_that_is_killed_ends_the_work(monkeypatch: pytest.MonkeyPatch, scheduler: str) -> None:
    monkeypatch.setenv("STUDY_ENGINE", "dask")
    monkeypatch.setenv("STUDY_DASK_ADDRESS", scheduler)
    with importlib.import_module("distributed").Client(scheduler, set_as_default=False) as client:
        process = client.run_on_scheduler(os.getpid)
    with Engine() as engine:
        results = engine.run(time.sleep, [0, 300], here=False)
        next(results)
        os.kill(process, signal.SIGKILL)
        with pytest.raises(InputError) as error:
            next(results)
    assert str(error.value) == f"STUDY_DASK_ADDRESS = '{scheduler}': the scheduler is gone"


NO_CUDA = r"^STUDY_DEVICE = 'cuda': PyTorch finds no CUDA device here$"


@pytest.fixture
def no_cuda(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setenv("STUDY_DEVICE", "cuda")


@pytest.mark.usefixtures("no_cuda")
def test_a_device_that_is_not_there_opens_no_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shutil.copy(ROOT / "params.yaml", tmp_path)
    (tmp_path / "data").mkdir()
    for name in ("train.csv", "val.csv"):
        (tmp_path / "data" / name).write_text("x1,x2,label\n0,0,0\n1,1,1\n")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("DVC_ROOT", str(tmp_path))
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    with pytest.raises(InputError, match=NO_CUDA):
        train_bn.main()
    assert not (tmp_path / "mlflow.db").exists()


@pytest.mark.usefixtures("no_cuda")
def test_workers_of_dask_look_for_a_device_themselves(
    tables: tuple[Table, Table], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("STUDY_ENGINE", "dask")
    monkeypatch.setattr("stages.engine._connect", lambda: None)
    with Engine() as engine, pytest.raises(InputError, match=NO_CUDA):
        train_block(BlockTask(*tables, ARCHITECTURE, SCHEDULE, 0.1, engine.device))


@pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no CUDA device")
@pytest.mark.parametrize("hidden", [[2, 2], [8, 8]])
@pytest.mark.parametrize("norm", [None, normalization(), normalization("layer")])
def test_cuda_trains_the_same_networks(
    tiny_tables: tuple[Table, Table], hidden: list[int], norm: Normalization | None
) -> None:
    schedule = replace(SCHEDULE, optimizer="sgd")
    task = BlockTask(*tiny_tables, Architecture(2, hidden, normalization=norm), schedule, 0.1)
    here, there = (train_block(replace(task, device=device)) for device in ("cpu", "cuda"))
    pd.testing.assert_frame_equal(there.history, here.history, rtol=1e-8)
    torch.testing.assert_close(there.networks.state_dict(), here.networks.state_dict(), rtol=1e-8, atol=1e-10)
    pd.testing.assert_frame_equal(there.diagnostics, here.diagnostics, rtol=1e-6, atol=1e-8)
