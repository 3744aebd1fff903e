"""The tables and networks of an arm, gathered from its blocks on disk: memory holds one block at a time."""

import shutil
from collections.abc import Iterator, Sequence
from itertools import chain
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import torch
from pyarrow import parquet
from torch import nn

from stages.history.curves import final_values
from stages.training.blocks import TrainedBlock
from stages.training.folding import fold_networks
from stages.training.replicas import unstack


class ArmParts:
    """What the blocks of an arm have left, in their order, in a `folder` that is there only while they train.

    A killed process leaves the folder behind; the next one that trains the arm begins by removing it. `lr` is the
    headline rate, one of `rates`.
    """

    def __init__(self, folder: Path, rates: Sequence[float], lr: float) -> None:
        self.folder = folder
        self.rates = rates
        self.lr = lr
        self._final: list[pd.DataFrame] = []  # of each block, its final values
        self._folded: list[np.ndarray] = []  # of each block, its networks as dense layers

    def add(self, block: TrainedBlock) -> None:
        """Keep a block, the next in the order of seeds."""
        number = len(self._final)
        _write_groups(self._path("history", number), _tables_by_rate(block.history, self.rates))
        _write_groups(self._path("diagnostics", number), iter([_table(block.diagnostics)]))
        torch.save(block.networks, self._path("networks", number))
        self._final.append(final_values(block.history, self.lr))
        self._folded.append(fold_networks(block.networks))

    def write_history(self, path: Path) -> None:
        """Write all histories as one, sorted by lr, seed, epoch: a row group for each rate of each block."""
        self._gather("history", len(self.rates), path)

    def write_diagnostics(self, path: Path) -> None:
        """Write all diagnostics as one, sorted by seed, epoch: a row group for each block."""
        self._gather("diagnostics", 1, path)

    def final_values(self) -> pd.DataFrame:
        """Return the measures after the last epoch at the headline rate, one row per seed, indexed by seed."""
        return pd.concat(self._final)

    def folded_networks(self) -> np.ndarray:
        """Return the networks at the headline rate as `fold_networks` does, (S, P)."""
        return np.concatenate(self._folded)

    def network(self, seed: int) -> nn.Sequential:
        """Return the network of a seed at the headline rate, as an ordinary network."""
        number = self._block_of(seed)
        networks = torch.load(self._path("networks", number), weights_only=False)  # our own, of a moment ago
        return unstack(networks, self._final[number].index.get_loc(seed))

    def __enter__(self) -> "ArmParts":
        shutil.rmtree(self.folder, ignore_errors=True)
        self.folder.mkdir(parents=True)
        return self

    def __exit__(self, *exception: object) -> None:
        shutil.rmtree(self.folder, ignore_errors=True)

    def _block_of(self, seed: int) -> int:
        for number, final in enumerate(self._final):
            if seed in final.index:
                return number
        raise ValueError(f"seed {seed} is in none of the {len(self._final)} blocks")

    def _gather(self, name: str, groups: int, path: Path) -> None:
        if len(self._final) == 1:
            self._path(name, 0).replace(path)
        else:
            _write_groups(path, self._read_groups(name, groups))

    def _read_groups(self, name: str, groups: int) -> Iterator[pa.Table]:
        """Yield the first row group of every block, then the second of every block, and so on."""
        for group in range(groups):
            for number in range(len(self._final)):
                yield parquet.ParquetFile(self._path(name, number)).read_row_group(group)

    def _path(self, name: str, number: int) -> Path:
        return self.folder / f"{name}-{number}"


def _tables_by_rate(history: pd.DataFrame, rates: Sequence[float]) -> Iterator[pa.Table]:
    for lr in rates:
        yield _table(history[history["lr"] == lr])


def _table(frame: pd.DataFrame) -> pa.Table:
    return pa.Table.from_pandas(frame, preserve_index=False)


def _write_groups(path: Path, tables: Iterator[pa.Table]) -> None:
    """Write tables of one schema, at least one, each as a row group."""
    first = next(tables)
    with parquet.ParquetWriter(path, first.schema) as writer:
        for table in chain([first], tables):
            writer.write_table(table, row_group_size=max(1, len(table)))
