"""The tables and networks of an arm, gathered from its blocks on disk: memory holds one block at a time."""

import shutil
import tempfile
from collections.abc import Iterable, Sequence
from pathlib import Path

import pandas as pd
import pyarrow as pa
import torch
from pyarrow import parquet
from torch import nn

from stages.history.curves import final_values
from stages.training.blocks import TrainedBlock
from stages.training.replicas import unstack


class ArmParts:
    """What the blocks of an arm have left, in their order, in a temporary folder; `lr` is the headline rate."""

    def __init__(self, rates: Sequence[float], lr: float) -> None:
        self.rates, self.lr = rates, lr
        self._final: list[pd.DataFrame] = []
        self._folder = tempfile.TemporaryDirectory(prefix="arm-")
        self._blocks = 0

    def add(self, block: TrainedBlock) -> None:
        """Keep a block, the next in the order of seeds."""
        by_rate = (block.history[block.history["lr"] == lr] for lr in self.rates)
        _write_groups(self._path("history"), map(_table, by_rate))
        _write_groups(self._path("diagnostics"), [_table(block.diagnostics)])
        self._final.append(final_values(block.history, self.lr))
        torch.save(block.networks, self._path("networks"))
        self._blocks += 1

    def write_history(self, path: Path) -> None:
        """Write all histories as one, sorted by lr, seed, epoch: a row group for each rate of each block."""
        self._gather("history", len(self.rates), path)

    def write_diagnostics(self, path: Path) -> None:
        """Write all diagnostics as one, sorted by seed, epoch: a row group for each block."""
        self._gather("diagnostics", 1, path)

    def final_values(self) -> pd.DataFrame:
        """Return the measures after the last epoch at the headline rate, one row per seed, indexed by seed."""
        return pd.concat(self._final)

    def network(self, seed: int) -> nn.Sequential:
        """Return the network of a seed at the headline rate, as an ordinary network."""
        block = next(block for block, final in enumerate(self._final) if seed in final.index)
        networks = torch.load(self._path("networks", block), weights_only=False)  # our own, of a moment ago
        return unstack(networks, self._final[block].index.get_loc(seed))

    def __enter__(self) -> "ArmParts":
        return self

    def __exit__(self, *exception: object) -> None:
        self._folder.cleanup()

    def _gather(self, name: str, groups: int, path: Path) -> None:
        if self._blocks == 1:
            shutil.move(self._path(name, 0), path)
            return
        parts = ((self._path(name, block), group) for group in range(groups) for block in range(self._blocks))
        _write_groups(path, (parquet.ParquetFile(part).read_row_group(group) for part, group in parts))

    def _path(self, name: str, block: int | None = None) -> Path:
        return Path(self._folder.name, f"{name}-{self._blocks if block is None else block}")


def _write_groups(path: Path, tables: Iterable[pa.Table]) -> None:
    """Write tables of one schema, each as a row group."""
    writer = None
    for table in tables:
        writer = writer or parquet.ParquetWriter(path, table.schema)
        writer.write_table(table, row_group_size=max(1, len(table)))
    writer.close()


def _table(frame: pd.DataFrame) -> pa.Table:
    return pa.Table.from_pandas(frame, preserve_index=False)
