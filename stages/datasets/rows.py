"""A labelled table."""

import unicodedata
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd

from stages import shorten
from stages.datasets.classes import GAPS


@dataclass(frozen=True)
class Rows:
    """A labelled table: features `x` (N, F) in float64, classes `y` (N,) from 0 to K - 1, and the names of both.

    `label` is what the source calls the column of the classes.
    """

    x: np.ndarray
    y: np.ndarray
    columns: tuple[str, ...]
    classes: tuple[str, ...] = ("0", "1")
    label: str = "label"

    def __getitem__(self, index: np.ndarray) -> "Rows":
        return replace(self, x=self.x[index], y=self.y[index])

    def table(self) -> pd.DataFrame:
        """Return the features under their own names, then `label`."""
        return pd.DataFrame(self.x, columns=list(self.columns)).assign(label=self.y)


def find_doubts(rows: Rows) -> list[str]:
    """Return one sentence for each column that is hardly meant as a feature, and for classes that are hardly two."""
    findings = []
    seen: dict[bytes, str] = {}
    for name, column in zip(rows.columns, rows.x.T, strict=True):
        first = seen.setdefault(column.tobytes(), name)
        if np.ptp(column) == 0:
            findings.append(f"column {shorten(name)} is constant")
        elif first != name:
            findings.append(f"column {shorten(name)} repeats column {shorten(first)}")
        elif _number_the_rows(column):
            findings.append(
                f"column {shorten(name)} numbers the rows: it tells them apart, and nothing of a row to come"
            )
    spelled: dict[str, str] = {}
    for name in rows.classes:
        if name in GAPS:
            findings.append(f"class {shorten(name)} reads like a value that is not there")
        first = spelled.setdefault(unicodedata.normalize("NFKC", name).casefold(), name)
        if first != name:
            findings.append(f"classes {shorten(first)} and {shorten(name)} read alike")
    return findings


def _number_the_rows(column: np.ndarray) -> bool:
    """Return whether each row has a whole number of its own: in order, or without a gap."""
    if not np.array_equal(column, np.floor(column)):
        return False
    steps = np.diff(column)
    in_order = bool((steps > 0).all() or (steps < 0).all())
    without_gap = np.ptp(column) == len(column) - 1 and len(np.unique(column)) == len(column)
    return in_order or without_gap
