"""`make register`, `mlflow models serve`, and what of the data and the networks is logged for them."""

import contextlib
import io
import json
import runpy
import shutil
import sys
import urllib.request
from pathlib import Path

import mlflow
import numpy as np
import pandas as pd
import pytest
import torch
from conftest import ROOT, free_port, serving
from mlflow import MlflowClient
from mlflow.entities import Run

from stages import ARMS
from stages.tracking import file_md5
from stages.training.network import load_network

NAME = "batchnorm-study"
REGISTER = str(ROOT / "stages/tracking/register.py")


@pytest.fixture(scope="module")
def uri(small_project: Path, tmp_path_factory: pytest.TempPathFactory) -> str:
    """A copy of the small project's database: nothing is registered in its own."""
    return f"sqlite:///{shutil.copy(small_project / 'mlflow.db', tmp_path_factory.mktemp('store'))}"


@pytest.fixture(scope="module")
def registered(small_project: Path, uri: str) -> list[str]:
    """The lines that the first `make register` prints."""
    return register(small_project, uri)


def register(project: Path, uri: str) -> list[str]:
    """Do what `python -m stages.tracking.register` does there; return the lines that it prints."""
    printed = io.StringIO()
    with pytest.MonkeyPatch.context() as patch, contextlib.redirect_stdout(printed):
        patch.chdir(project)
        patch.setenv("MLFLOW_TRACKING_URI", uri)
        runpy.run_path(REGISTER, run_name="__main__")
    mlflow.set_tracking_uri(None)
    return printed.getvalue().splitlines()


def refusal(project: Path, uri: str, capsys: pytest.CaptureFixture[str]) -> str:
    """Return the one line that says why a project's networks are not registered."""
    with pytest.raises(SystemExit) as ended:
        register(project, uri)
    mlflow.set_tracking_uri(None)
    assert ended.value.code == 2
    (line,) = capsys.readouterr().err.splitlines()
    return line


def arm_run(project: Path, uri: str, arm: str) -> Run:
    """Return the newest run that wrote the arm's history."""
    md5 = file_md5(project / "results" / arm / "history.parquet")
    return MlflowClient(uri).search_runs(["1"], f"tags.arm = '{arm}' and tags.`history.md5` = '{md5}'")[0]


def test_aliases_point_at_the_networks_in_the_workspace(small_project: Path, uri: str, registered: list[str]) -> None:
    store = MlflowClient(uri)
    for arm, line in zip(ARMS, registered, strict=False):
        version, made = store.get_model_version_by_alias(NAME, arm), arm_run(small_project, uri, arm)
        assert version.run_id == made.info.run_id
        assert version.source == f"models:/{made.outputs.model_outputs[0].model_id}"
        folder = small_project / "results" / arm
        expected = {"arm": arm, "history.md5": file_md5(folder / "history.parquet")}
        assert version.tags == expected | {"model.md5": file_md5(folder / "model.pt")}
        assert version.description.startswith(f"Arm `{arm}`: 4 networks at each of 4 learning rates.")
        assert line == f"{NAME}@{arm} is version {version.version}: the network of run '{arm}', {made.info.run_id}"


def test_registering_again_adds_no_version(small_project: Path, uri: str, registered: list[str]) -> None:
    assert register(small_project, uri) == registered
    assert len(MlflowClient(uri).search_model_versions(f"name = '{NAME}'")) == len(ARMS)


def test_a_store_without_the_runs_is_named(
    small_project: Path, uri: str, empty_store: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    other = f"sqlite:///{shutil.copy(empty_store, tmp_path)}"
    assert refusal(small_project, other, capsys) == (
        f"results/baseline: the run that wrote it is not in {other}: set MLFLOW_TRACKING_URI to the store that has it,"
        " or make one here with `dvc repro --force`"
    )
    folder = tmp_path / "project"
    shutil.copytree(small_project, folder, ignore=shutil.ignore_patterns("mlartifacts", ".dvc", "model.pt"))
    assert refusal(folder, uri, capsys) == "results/baseline/model.pt: no such file: run `dvc repro`, or `dvc pull`"


def test_one_arm_that_is_not_there_registers_neither(
    small_project: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    uri = f"sqlite:///{shutil.copy(small_project / 'mlflow.db', tmp_path)}"
    store = MlflowClient(uri)
    for found in store.search_runs(["1"], "tags.arm = 'bn'"):
        store.delete_run(found.info.run_id)
    assert refusal(small_project, uri, capsys).startswith("results/bn: the run that wrote it is not in sqlite:///")
    assert store.search_registered_models() == []


def test_the_printed_command_serves_the_network(
    small_project: Path, uri: str, registered: list[str], tmp_path: Path
) -> None:
    port = free_port()
    command = registered[-1].removeprefix("To serve one: ").replace("5001", str(port)).split()
    rows = pd.read_csv(small_project / "data/val.csv").drop(columns="label").to_numpy(np.float32)
    body = json.dumps({"inputs": rows.tolist()}).encode()
    with serving(command, small_project, port, tmp_path / "log", MLFLOW_TRACKING_URI=uri) as address:
        request = urllib.request.Request(f"{address}/invocations", body, {"Content-Type": "application/json"})
        with urllib.request.urlopen(request, timeout=60) as answer:
            served = json.load(answer)["predictions"]
    with torch.no_grad():
        expected = load_network(small_project / "results/bn/model.pt")(torch.from_numpy(rows)).numpy()
    np.testing.assert_allclose(served, expected, rtol=1e-6)


def test_a_logged_network_can_be_loaded_safely_and_says_what_it_takes(
    small_project: Path, uri: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", uri)
    for arm in ARMS:
        model = f"models:/{arm_run(small_project, uri, arm).outputs.model_outputs[0].model_id}"
        files = Path(mlflow.artifacts.download_artifacts(model))
        torch.load(files / "artifacts/model.pt", weights_only=True)  # numbers and names alone
        assert not list(files.rglob("*.pkl"))
        info = mlflow.models.get_model_info(model)
        (taken,), (given,) = info.signature.inputs, info.signature.outputs
        assert (taken.type, taken.shape, given.type, given.shape) == (np.float32, (-1, 2), np.float32, (-1, 1))
        example = mlflow.pyfunc.load_model(model).input_example
        rows = pd.read_csv(small_project / "data/train.csv").drop(columns="label").to_numpy(np.float32)
        np.testing.assert_array_equal(example, rows[:2])


def test_a_logged_network_is_loaded_without_the_project_as_an_ordinary_one(
    small_project: Path, uri: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", uri)
    rows = torch.tensor([[0.5, -0.5], [3.0, 3.0]])
    own = {arm: load_network(small_project / "results" / arm / "model.pt")(rows).tolist() for arm in ARMS}
    for name in [name for name in sys.modules if name.split(".")[0] == "stages"]:
        monkeypatch.setitem(sys.modules, name, None)  # whoever imports it now fails
    for arm in ARMS:
        model = f"models:/{arm_run(small_project, uri, arm).outputs.model_outputs[0].model_id}"
        network = mlflow.pyfunc.load_model(model).unwrap_python_model().network
        assert isinstance(network, torch.nn.Sequential)
        assert network(rows).tolist() == own[arm]


def test_inputs_have_the_schema_of_the_files(small_project: Path, uri: str) -> None:
    for arm in ARMS:
        inputs = arm_run(small_project, uri, arm).inputs.dataset_inputs
        assert {entry.tags[0].value: entry.dataset.name for entry in inputs} == {
            "training": "train",
            "validation": "val",
        }
        for entry in inputs:
            path = small_project / "data" / f"{entry.dataset.name}.csv"
            assert json.loads(entry.dataset.source) == {"uri": f"data/{path.name}"}
            assert entry.dataset.digest == file_md5(path)
            columns = json.loads(entry.dataset.schema)["mlflow_colspec"]
            assert {column["name"]: column["type"] for column in columns} == {
                "x1": "double",
                "x2": "double",
                "label": "long",
            }
            assert json.loads(entry.dataset.profile)["num_rows"] == len(pd.read_csv(path))
