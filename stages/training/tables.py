"""Rows to train or to evaluate on."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from torch import Tensor


@dataclass(frozen=True)
class Table:
    """Features `x` (N, F) and classes `y` (N,), which are int64 from 0 to K - 1; of two also floats, to train on.

    Where each seed has rows of its own, they are (S, N, F) and (S, N).
    """

    x: Tensor
    y: Tensor

    @classmethod
    def of(cls, x: np.ndarray, y: np.ndarray) -> "Table":
        """Return a table in float32 with memory of its own."""
        # torch.tensor copies. pandas hands out its own memory: read-only, and column by column, where a batch of rows
        # takes ten times as long to gather.
        return cls(torch.tensor(np.ascontiguousarray(x, np.float32)), torch.tensor(np.asarray(y, np.int64)))

    @classmethod
    def read(cls, path: str | Path) -> "Table":
        """Read a CSV of feature columns and `label`."""
        table = pd.read_csv(path)
        return cls.of(table.drop(columns="label").to_numpy(), table["label"].to_numpy())

    def to(self, device: str | torch.device) -> "Table":
        """Return the table on a device."""
        return Table(self.x.to(device), self.y.to(device))

    def gather(self, index: Tensor, *, narrow: bool) -> tuple[Tensor, Tensor]:
        """Return some rows for each replica, by their numbers (R, B): x (R, F, B), y (R, B).

        Replicas are numbered rate by rate, and seed by seed at each rate. In memory they come last where `narrow`, and
        first elsewhere, where the features of a row stay together: a matrix product takes them as they are.
        """
        if self._of_seeds:
            seeds = torch.arange(len(index), device=index.device) % len(self.x)
            index = index + self.rows * seeds.unsqueeze(1)
        rows = self.x.flatten(0, -2)
        if narrow:
            index = index.T  # (B, R)
            x = rows.T.index_select(1, index.flatten()).unflatten(1, index.shape)  # (F, B, R)
            return x.permute(2, 0, 1), self._classes_of(index).T
        x = rows.index_select(0, index.flatten()).unflatten(0, index.shape)  # (R, B, F)
        return x.transpose(1, 2), self._classes_of(index)

    def _classes_of(self, index: Tensor) -> Tensor:
        return self.y.flatten().index_select(0, index.flatten()).view(index.shape)

    def for_replicas(self, replicas: Sequence[int], rows: slice = slice(None)) -> tuple[Tensor, Tensor]:
        """Return what networks get of some rows, by the numbers of their replicas: x (R, F, N), y (R or 1, N).

        Replicas are numbered rate by rate, and seed by seed at each rate.
        """
        if not self._of_seeds:
            return self.x[rows].T.expand(len(replicas), -1, -1), self.y[None, rows]
        seeds = torch.tensor(replicas, device=self.x.device) % len(self.x)
        return self.x[:, rows][seeds].transpose(1, 2), self.y[:, rows][seeds]

    @property
    def _of_seeds(self) -> bool:
        """Whether each seed has rows of its own."""
        return self.x.dim() == 3

    @property
    def rows(self) -> int:
        """N."""
        return self.y.shape[-1]

    @property
    def features(self) -> int:
        """F."""
        return self.x.shape[-1]

    @property
    def classes(self) -> int:
        """The number of classes."""
        return int(self.y.max()) + 1


def join(train: Table, val: Table) -> Table:
    """Return the rows of both, the training rows first."""
    return Table(torch.cat([train.x, val.x], dim=-2), torch.cat([train.y, val.y], dim=-1))
