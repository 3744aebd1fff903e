"""`make ui`: serve the MLflow UI at a port, and say where the saved views open in it."""

import json
import os
import sys

from stages import run_stage
from stages.params import load_params
from stages.tracking.connection import find_store
from stages.tracking.errors import errors_named
from stages.tracking.store import open_client
from stages.tracking.views import view_tags

CHARTS = "runs?workflowType=machine_learning&compareRunsMode=CHART"


def main() -> None:
    port = sys.argv[1]
    name = load_params().tracking.experiment
    with errors_named():
        experiment = open_client(find_store()).get_experiment_by_name(name)
    if experiment is None:
        print("No runs yet: they come with `dvc repro`")
    else:
        print("\n".join(view_links(f"http://127.0.0.1:{port}", experiment.experiment_id)))
    sys.stdout.flush()
    os.execv(sys.executable, [sys.executable, "-m", "mlflow", "ui", "--port", port, "--workers", "1"])


def view_links(address: str, experiment_id: str) -> list[str]:
    """Return a line for each saved view: its name, and where it opens."""
    lines = []
    for tag, view in view_tags().items():
        name, key = json.loads(view)["name"], tag.removeprefix("mlflow.sharedViewState.")
        lines.append(f"{name:23} {address}/#/experiments/{experiment_id}/{CHARTS}&viewStateShareKey={key}")
    return lines


if __name__ == "__main__":
    run_stage(main)
