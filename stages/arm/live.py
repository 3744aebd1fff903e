"""Curves that can be read while an arm trains, by `dvc plots` or an editor."""

import math
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from stages import MEASURES
from stages.history.curves import tabulate_curves
from stages.history.moments import Moments

SECONDS_BETWEEN = 1.0  # from one writing to the next, at least
SHARE_OF_TIME = 20  # at most one second in so many is spent on writing


class LiveCurves:
    """The curves of the epochs so far, in the file `path`: at any moment a whole table, as it is written at `draft`."""

    def __init__(self, path: Path, draft: Path) -> None:
        self.path = path
        self.draft = draft
        self._moments: dict[str, list[Moments]] = {name: [] for name in MEASURES}  # of each epoch
        self._next = -math.inf

    def add(self, measures: Mapping[str, np.ndarray]) -> None:
        """Take the next epoch, each measure as (S,)."""
        for name, epochs in self._moments.items():
            epochs.append(Moments.of(measures[name]))
        start = time.monotonic()
        if start >= self._next:
            self._write()
            # Long trainings have long tables: writing must not become what they wait for.
            took = time.monotonic() - start
            self._next = start + max(SECONDS_BETWEEN, SHARE_OF_TIME * took)

    def _write(self) -> None:
        curves = {name: join_epochs(epochs) for name, epochs in self._moments.items()}
        tabulate_curves(curves).to_csv(self.draft, index=False, lineterminator="\n")
        self.draft.replace(self.path)


def join_epochs(epochs: Sequence[Moments]) -> Moments:
    """Return the moments of several epochs, () each, as one: (E,)."""
    mean = np.array([moments.mean for moments in epochs])
    squares = np.array([moments.squares for moments in epochs])
    return Moments(epochs[0].n, mean, squares)
