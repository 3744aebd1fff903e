"""A labelled table."""

from dataclasses import dataclass, replace

import numpy as np
import pandas as pd


@dataclass(frozen=True)
class Rows:
    """A labelled table: features `x` (N, F) in float64, classes `y` (N,) from 0 to K - 1, and the names of both."""

    x: np.ndarray
    y: np.ndarray
    columns: tuple[str, ...]
    classes: tuple[str, ...] = ("0", "1")

    def __getitem__(self, index: np.ndarray) -> "Rows":
        return replace(self, x=self.x[index], y=self.y[index])

    def table(self) -> pd.DataFrame:
        """Return the features under their own names, then `label`."""
        return pd.DataFrame(self.x, columns=list(self.columns)).assign(label=self.y)


def find_redundant_columns(rows: Rows) -> list[str]:
    """Return one sentence for each constant feature, and for each that repeats an earlier one."""
    findings = []
    seen: dict[bytes, str] = {}
    for name, column in zip(rows.columns, rows.x.T, strict=True):
        first = seen.setdefault(column.tobytes(), name)
        if np.ptp(column) == 0:
            findings.append(f"column {name!r} is constant")
        elif first != name:
            findings.append(f"column {name!r} repeats column {first!r}")
    return findings
