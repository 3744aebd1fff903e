"""`make ui`: the MLflow UI at any port, with links that open the experiment whatever its id."""

import re
import sys
from pathlib import Path

from conftest import copy_project, free_port, serving
from mlflow import MlflowClient

from stages.tracking.ui import view_links
from stages.tracking.views import view_tags


def test_every_view_has_its_link() -> None:
    links = view_links("http://127.0.0.1:5001", "17")
    keys = [link.split("viewStateShareKey=")[1] for link in links]
    assert [f"mlflow.sharedViewState.{key}" for key in keys] == list(view_tags())
    assert all("http://127.0.0.1:5001/#/experiments/17/runs?workflowType=machine_learning&" in link for link in links)


def test_ui_says_where_the_experiment_is(small_project: Path, tmp_path: Path) -> None:
    project = copy_project(small_project, tmp_path / "project")
    params = project / "params.yaml"
    params.write_text(params.read_text().replace("experiment: batch-normalization", "experiment: another"))
    store = MlflowClient(f"sqlite:///{project / 'mlflow.db'}")
    number = store.create_experiment("another")
    port = free_port()
    with serving([sys.executable, "-m", "stages.tracking.ui", str(port)], project, port, tmp_path / "log") as address:
        printed = (tmp_path / "log").read_text()
        assert printed.count(f"{address}/#/experiments/{number}/") == len(view_tags())


def test_make_ui_serves_at_the_port_that_is_named() -> None:
    makefile = (Path(__file__).parents[1] / "Makefile").read_text()
    assert re.search(r"^PORT \?= 5000$", makefile, re.M)
    assert re.search(r"^ui: .*\n\t@python -m stages\.tracking\.ui \$\(PORT\)$", makefile, re.M)
