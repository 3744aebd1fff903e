"""One MLflow run for one execution of a stage, as the stage sees it. MLflow itself works in another process.

A store that does not answer when a stage starts stops the stage. One that fails later does not: what it has not taken
by the end goes into the outbox, from where `make resync` logs it.
"""

import os
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from stages.tracking import entries
from stages.tracking.background import Background
from stages.tracking.clock import milliseconds
from stages.tracking.links import file_md5

if TYPE_CHECKING:
    import numpy as np

NETWORK_CODE = Path(__file__).parents[1] / "training/network.py"  # all that `load_network` needs, in one file


@contextmanager
def track_stage(
    stage: str, params: Mapping[str, Any], *, tags: Mapping[str, str], rates: Sequence[float] = ()
) -> Iterator["StageRun"]:
    """Open one MLflow run for one execution of a stage, with a child run for each of the learning `rates`.

    The runs end FINISHED, or FAILED where the body raises, or KILLED where this process is killed. `params` are all of
    params.yaml under dotted keys; `tracking.experiment` among them names the MLflow experiment.
    """
    background = Background(stage, dict(params), dict(tags), list(rates))
    try:
        yield StageRun(background)
        background.wait_until_logged()  # when all is logged: whoever is killed before that has not finished
    except BaseException:
        try:
            background.close("FAILED")
        except Exception as error:  # what the body raised comes first
            print(error, file=sys.stderr)
        raise
    background.close("FINISHED")


class StageRun:
    """One open run, seen from the stage. Only `wait_until_open` waits for MLflow."""

    def __init__(self, background: Background) -> None:
        self._background = background

    def wait_until_open(self) -> None:
        """Return when the store has answered; raise InputError where it does not."""
        self._background.wait_until_open()

    def log_epoch(self, epoch: int, metrics: Mapping[str, float], by_rate: Mapping[float, Mapping[str, float]]) -> None:
        """Log one epoch's metrics, and those of each learning rate, for the UI to show while the training goes on."""
        children = {entries.rate_key(lr): dict(values) for lr, values in by_rate.items()}
        self._background.send(entries.log_epoch, epoch, dict(metrics), children, milliseconds())

    def log_dataset(self, path: str | Path, context: str) -> None:
        """Log a CSV with the column `label` as an input of the run; its digest is DVC's md5 of the file."""
        self._background.send(entries.log_dataset, _existing(path), str(path), context)

    def log_network(self, name: str, path: str | Path, inputs: "np.ndarray", outputs: "np.ndarray") -> None:
        """Log the network that `save_network` has written; what it makes of some inputs gives its signature.

        MLflow shows the run's metrics of the last epoch beside it: means over all seeds, of which it is one.
        """
        example = [inputs.tolist(), outputs.tolist()]
        self._background.send(entries.log_network, name, _existing(path), NETWORK_CODE, example)

    def log_summary(self, metrics: Mapping[str, float | None]) -> None:
        """Log metrics that have no epoch; a None is left out."""
        numbers = {name: float(value) for name, value in metrics.items() if value is not None}
        self._background.send(entries.log_summary, numbers, milliseconds())

    def log_artifacts(self, *paths: str | Path) -> None:
        """Log files."""
        for path in paths:
            self._background.send(entries.log_artifact, _existing(path))

    def set_tag(self, name: str, value: str) -> None:
        """Set a tag of the run."""
        self._background.send(entries.set_tag, name, value)

    def set_tags(self, tags: Mapping[str, str]) -> None:
        """Set several tags of the run at once, at most 100."""
        self._background.send(entries.set_tags, dict(tags))

    def describe(self, text: str, *made: str | Path) -> None:
        """Describe the run in Markdown, and how to get its files back: no other parameters make all of `made`."""
        self.set_tag("mlflow.note.content", f"{text}\n\n{_how_to_restore(made)}")

    def link_arm_run(self, arm: str, history: str | Path) -> None:
        """Tag the run with the id of the newest finished run of an arm that wrote this history, as `<arm>.run_id`."""
        md5 = file_md5(history)
        self.set_tag(f"{arm}.history.md5", md5)
        self._background.send(entries.link_arm_run, arm, md5)


def _existing(path: str | Path) -> Path:
    """Return the path of a file, which is read later, and elsewhere."""
    if not Path(path).is_file():
        raise FileNotFoundError(f"{path}: no such file to log")
    return Path(path)


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
