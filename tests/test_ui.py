"""The charts that the MLflow UI opens with, in a real browser on what `make ui` serves."""

import math
import re
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from conftest import copy_project, free_port, serving, set_params
from mlflow import MlflowClient
from mlflow.entities import Run

from stages import ARMS
from stages.tracking.views import view_tags

CARD = 'data-testid="experiment-view-compare-runs-card"'
BLACK, GREEN = "rgb(0, 0, 0)", "rgb(0, 128, 0)"
Page = Callable[..., str]


@dataclass
class Served:
    """Where the UI is, and what it said when it started."""

    address: str
    printed: str


@pytest.fixture(scope="module")
def project(tried_project: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the small project with an experiment at another learning rate: the server writes to its store.

    Its params name an experiment of MLflow's that has no runs.
    """
    project = copy_project(tried_project, tmp_path_factory.mktemp("ui") / "project")
    set_params(project, {"tracking": {"experiment": "another"}})
    return project


@pytest.fixture(scope="module")
def another(store: MlflowClient) -> str:
    """The number of that experiment."""
    return store.create_experiment("another")


@pytest.fixture(scope="module")
def served(project: Path, another: str) -> Iterator[Served]:
    """What `make ui` serves."""
    port, log = free_port(), project.parent / "ui.log"
    with serving([sys.executable, "-m", "stages.tracking.ui", str(port)], project, port, log) as address:
        yield Served(address, log.read_text())


@pytest.fixture(scope="module")
def open_page(browse: Callable[..., str], served: Served, tmp_path_factory: pytest.TempPathFactory) -> Page:
    """Return what opens the experiment in the browser, in one of its saved views: its charts, or its table of runs."""
    folder = tmp_path_factory.mktemp("browser")
    runs = f"{served.address}/#/experiments/1/runs?workflowType=machine_learning"

    def open_view(view: str, mode: str = "CHART") -> str:
        page = f"{runs}&compareRunsMode={mode}&viewStateShareKey={view}"
        return browse(page, folder, size="1600,1800", wait_ms=100_000)

    return open_view


@pytest.fixture(scope="module")
def store(project: Path) -> MlflowClient:
    return MlflowClient(f"sqlite:///{project / 'mlflow.db'}")


def arm_runs(store: MlflowClient, children: bool) -> list[Run]:
    runs = store.search_runs(["1"], "tags.arm IS NOT NULL")
    return [run for run in runs if ("mlflow.parentRunId" in run.data.tags) == children]


def cards(page: str) -> dict[str, str]:
    """Return the HTML of each chart by its title."""
    return {re.search(r">([\w. ]+)<", html)[1]: html for html in page.split(CARD)[1:]}


def curves(card: str) -> list[tuple[str, np.ndarray]]:
    """Return each curve's color and its points in pixels (E, 2), y down."""
    paths = re.findall(r'class="js-line" d="M([^"]+)" style="[^"]*stroke: (rgb\([^)]+\)); stroke-opacity: 1;', card)
    return [(color, np.array([point.split(",") for point in path.split("L")], float)) for path, color in paths]


def drawn_as(values: list[float], curve: np.ndarray) -> bool:
    """Return whether a curve is the values on a linear axis; the chart leaves out points on a straight line."""
    x, y = curve.T
    pixels = np.interp(np.linspace(x[0], x[-1], len(values)), x, y)
    if np.ptp(values) < 1e-9:  # flat, up to the rounding of a mean
        return bool(np.ptp(pixels) < 0.01)
    return bool(np.ptp(pixels) > 0 and np.corrcoef(values, pixels)[0, 1] < -0.9999)


def test_ui_says_where_the_experiment_is(served: Served, another: str) -> None:
    assert another != "1"
    assert served.printed.count(f"{served.address}/#/experiments/{another}/") == len(view_tags())


def test_view_of_the_arms_draws_their_curves(open_page: Page, store: MlflowClient) -> None:
    charts = cards(open_page("arms"))
    assert list(charts) == ["val_accuracy", "val_loss", "train_accuracy", "train_loss"]
    drawn = curves(charts["val_accuracy"])
    runs = arm_runs(store, children=False)
    assert len(drawn) == len(runs) >= 4
    tags = [run.data.tags["mlflow.runColor"] for run in runs]
    given = {f"rgb({int(tag[1:3], 16)}, {int(tag[3:5], 16)}, {int(tag[5:7], 16)})" for tag in tags}
    assert {color for color, _ in drawn} == given >= {BLACK, GREEN}
    assert len(given) == 4  # the experiment's are shades
    for arm_run in runs:
        logged = [point.value for point in store.get_metric_history(arm_run.info.run_id, "val_accuracy")]
        assert any(drawn_as(logged, curve) for _, curve in drawn), arm_run.info.run_name


@pytest.mark.parametrize("view", ["arms", "rates"])
def test_the_table_shows_the_rate_the_accuracy_and_the_arm(open_page: Page, view: str) -> None:
    columns = re.findall(r'ag-header-cell[^>]*col-id="([^"]+)"', open_page(view, mode="TABLE"))
    assert set(columns[-3:]) == {"params.`lr`", "metrics.`val_accuracy`", "tags.`arm`"}


def test_view_by_learning_rate_groups_the_arms(open_page: Page, store: MlflowClient) -> None:
    page = open_page("arms-by-rate")
    groups = {(run.data.params["lr"], run.data.tags["arm"]) for run in arm_runs(store, children=False)}
    assert len(groups) >= 4
    for lr, arm in groups:
        assert f"lr: {lr}, arm: {arm} (val_accuracy)" in page
    assert len(curves(cards(page)["val_accuracy"])) == len(groups)


def test_view_of_the_learning_rates_has_parallel_coordinates(open_page: Page, store: MlflowClient) -> None:
    charts = cards(open_page("rates"))
    parallel = charts["Parallel Coordinates"]
    assert re.findall(r'<text[^>]*class="label"[^>]*>(\w+)<', parallel) == ["arm", "log10_lr", "val_accuracy"]
    ticks = re.findall(r"<text[^>]*>([-\w.]+)<", parallel)
    assert {*ARMS, "-3.0", "-1.0", "0.0"} <= set(ticks)

    dots = re.findall(
        r'class="point[^>]*translate\(([\d.]+),([\d.]+)\)[^>]*fill: (rgb\([^)]+\))', charts["log10_lr vs. val_accuracy"]
    )
    runs = arm_runs(store, children=True)
    rates = [math.log10(float(run.data.params["lr"])) for run in runs]
    accuracies = [run.data.metrics["val_accuracy"] for run in runs]
    assert len(dots) == len(runs) >= 8
    for arm, color in zip(ARMS, (BLACK, GREEN), strict=True):
        of_arm = [run.data.tags["arm"] == arm for run in runs]
        found = np.array(sorted((float(x), -float(y)) for x, y, fill in dots if fill == color))
        logged = np.array(
            sorted(point for point, mine in zip(zip(rates, accuracies, strict=True), of_arm, strict=True) if mine)
        )
        assert np.corrcoef(found[:, 0], logged[:, 0])[0, 1] > 0.9999
        assert np.corrcoef(found[:, 1], logged[:, 1])[0, 1] > 0.9999
