"""`make ui`: the MLflow UI at any port, with links that open the experiment whatever its id."""

import re
from pathlib import Path

from stages.tracking.ui import view_links
from stages.tracking.views import view_tags


def test_every_view_has_its_link() -> None:
    links = view_links("http://127.0.0.1:5001", "17")
    keys = [link.split("viewStateShareKey=")[1] for link in links]
    assert [f"mlflow.sharedViewState.{key}" for key in keys] == list(view_tags())
    assert all("http://127.0.0.1:5001/#/experiments/17/runs?workflowType=machine_learning&" in link for link in links)


def test_make_ui_serves_at_the_port_that_is_named() -> None:
    makefile = (Path(__file__).parents[1] / "Makefile").read_text()
    assert re.search(r"^PORT \?= 5000$", makefile, re.M)
    assert re.search(r"^ui: .*\n\t@python -m stages\.tracking\.ui \$\(PORT\)$", makefile, re.M)
