"""What can be logged: the functions that a stage sends to the process that logs.

Each takes the store first, then only what JSON holds, or the Path of a file. What a store does not take waits in the
outbox under the function's name, so each may be carried out a second time, and then nothing is there twice.
MLflow is not imported here, for every stage imports this.
"""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from stages.tracking.links import link_newest_arm_run

if TYPE_CHECKING:
    from stages.tracking.store import Store

Example = list[list[list[float]]]  # inputs (B, F), and outputs (B, 1) or (B, K)


@dataclass(frozen=True)
class LoggedRun:
    """Where a stage's run is in the store, and its child runs, by learning rate as `rate_key` writes it."""

    address: str  # of the store, as it may be shown
    id: str
    name: str
    experiment_id: str
    epochs: int
    lr: str
    children: dict[str, str]

    @property
    def ids(self) -> list[str]:
        """Return the id of the run and those of its children."""
        return [self.id, *self.children.values()]


@dataclass(frozen=True)
class Entry:
    """One of the functions below, and what it is called with, after the store."""

    function: Callable[..., None]
    args: tuple[Any, ...]


def rate_key(lr: float) -> str:
    """Return a learning rate as text, which JSON needs for a key."""
    return repr(float(lr))


def log_epoch(
    store: "Store",
    epoch: int,
    metrics: dict[str, float],
    by_rate: dict[str, dict[str, float]],
    timestamp: int,
) -> None:
    """Collect one epoch's metrics, and those of each learning rate; they are logged many at once."""
    store.collect(store.run.id, metrics, epoch, timestamp)
    for rate, values in by_rate.items():
        store.collect(store.run.children[rate], values, epoch, timestamp)


def log_points(store: "Store", run_id: str, points: list[list[Any]]) -> None:
    """Log points of a run's metrics: name, value, timestamp in ms, step."""
    store.log_points(run_id, points)


def log_summary(store: "Store", metrics: dict[str, float], timestamp: int) -> None:
    """Log metrics that have no epoch."""
    store.log_points(store.run.id, [[name, value, timestamp, 0] for name, value in metrics.items()])


def log_dataset(store: "Store", file: Path, source: str, context: str) -> None:
    """Log a CSV with the column `label`, which is to be found at `source`, as an input of the run."""
    store.log_dataset(file, source, context)


def log_network(store: "Store", name: str, network: Path, definition: Path, example: Example) -> None:
    """Log the network that `save_network` has written, with the code that loads it; `example` gives its signature."""
    store.log_model(name, {"network": network, "definition": definition}, example)


def log_artifact(store: "Store", file: Path) -> None:
    """Log a file."""
    store.log_artifact(file)


def set_tag(store: "Store", name: str, value: str) -> None:
    """Set a tag of the run."""
    store.client.set_tag(store.run.id, name, value)


def set_tags(store: "Store", tags: dict[str, str]) -> None:
    """Set several tags of the run, at most 100, at once: each call waits for the disk."""
    store.set_tags(tags)


def link_arm_run(store: "Store", arm: str, history_md5: str) -> None:
    """Tag the run with the id of the arm's run that wrote this history."""
    link_newest_arm_run(store.client, store.run, arm, history_md5)


# All that may be sent, and found again by its name in a letter.
SENT = (
    log_epoch,
    log_points,
    log_summary,
    log_dataset,
    log_network,
    log_artifact,
    set_tag,
    set_tags,
    link_arm_run,
)
BY_NAME: dict[str, Callable[..., None]] = {function.__name__: function for function in SENT}

# What a run lacks where an entry has not arrived; metrics are told by their epochs.
WORDS: dict[Callable[..., None], str] = {
    log_summary: "summary",
    log_dataset: "datasets",
    log_network: "model",
    log_artifact: "files",
    set_tag: "tags",
    set_tags: "tags",
    link_arm_run: "links",
}
