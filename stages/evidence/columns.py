"""Columns of a table of networks over epochs, read when they are asked for: all of them at once may not fit memory."""

from collections.abc import Callable, Collection
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
import pandas as pd
from pyarrow import parquet

ROWS_AT_ONCE = 2**20  # of a column of which all rows are looked at


@dataclass(frozen=True)
class Columns:
    """A table with a row per (seed, epoch), sorted by them; where it has a column `lr`, by that first.

    `names` are those of its columns, `rows` is their number, and `read` gives of a column the values from one row to
    another.
    """

    names: Collection[str]
    rows: int
    read: Callable[[str, int, int], np.ndarray]

    @classmethod
    def of(cls, table: pd.DataFrame) -> "Columns":
        """Return the columns of a table in memory, whose rows are in any order."""
        keys = [name for name in ("lr", "seed", "epoch") if name in table]
        ordered = table.sort_values(keys)
        return cls(table.columns, len(table), lambda name, first, last: ordered[name].to_numpy()[first:last])

    @classmethod
    def open(cls, path: str | Path) -> "Columns":
        """Return the columns of a parquet file, of which no other row groups are read than those asked for."""
        file = parquet.ParquetFile(path)
        sizes = [file.metadata.row_group(group).num_rows for group in range(file.num_row_groups)]
        ends = np.cumsum(sizes)
        starts = ends - sizes

        def read(name: str, first: int, last: int) -> np.ndarray:
            values = np.empty(last - first, file.schema_arrow.field(name).type.to_pandas_dtype())
            for group in np.flatnonzero((starts < last) & (ends > first)).tolist():
                start, end = max(first, starts[group]), min(last, ends[group])
                of_group = file.read_row_group(group, [name], use_threads=False).column(0).to_numpy()
                values[start - first : end - first] = of_group[start - starts[group] : end - starts[group]]
            return values

        return cls(file.schema_arrow.names, file.metadata.num_rows, read)

    @cached_property
    def rates(self) -> np.ndarray:
        """The learning rates, (L,), ascending; of a table without any, one that is no number."""
        return self._distinct("lr", self.rows) if "lr" in self.names else np.array([np.nan])

    @cached_property
    def seeds(self) -> np.ndarray:
        """The seeds, (S,), ascending."""
        return self._distinct("seed", self.rows // len(self.rates))

    def by_epoch(self, name: str, place: int = 0) -> np.ndarray:
        """Return a column at the rate at a place, (E, S)."""
        size = self.rows // len(self.rates)
        values = self.read(name, place * size, (place + 1) * size).reshape(len(self.seeds), -1)
        # The last digits of a sum depend on the order in memory.
        return np.ascontiguousarray(values.T)

    def _distinct(self, name: str, rows: int) -> np.ndarray:
        parts = []
        for first in range(0, rows, ROWS_AT_ONCE):
            parts.append(np.unique(self.read(name, first, min(first + ROWS_AT_ONCE, rows))))
        return np.unique(np.concatenate(parts))
