"""Curves that can be read while an arm trains, by `dvc plots` or an editor."""

import math
import time
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from stages import MEASURES
from stages.history.curves import tabulate_curves
from stages.history.moments import Moments

SECONDS_BETWEEN = 1.0  # from one writing to the next


class LiveCurves:
    """The curves of the epochs so far, in the file `path`: at any moment a whole table, as it is written at `draft`."""

    def __init__(self, path: Path, draft: Path) -> None:
        self.path = path
        self.draft = draft
        self._values: dict[str, list[np.ndarray]] = {name: [] for name in MEASURES}  # of each epoch, (S,)
        self._written = -math.inf

    def add(self, measures: Mapping[str, np.ndarray]) -> None:
        """Take the next epoch, each measure as (S,)."""
        for name, epochs in self._values.items():
            epochs.append(measures[name])
        now = time.monotonic()
        if now - self._written >= SECONDS_BETWEEN:
            self._written = now
            self._write()

    def _write(self) -> None:
        moments = {name: Moments.of(np.stack(epochs)) for name, epochs in self._values.items()}
        tabulate_curves(moments).to_csv(self.draft, index=False, lineterminator="\n")
        self.draft.replace(self.path)
