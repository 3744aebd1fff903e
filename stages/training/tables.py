"""Rows to train or to evaluate on."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from torch import Tensor


@dataclass(frozen=True)
class Table:
    """Features `x` (N, F) and classes `y` (N,), which are int64 from 0 to K - 1."""

    x: Tensor
    y: Tensor

    @classmethod
    def read(cls, path: str | Path) -> "Table":
        """Read a CSV of feature columns, in float32, and `label`."""
        table = pd.read_csv(path)
        features = table.drop(columns="label").to_numpy(np.float32)
        # torch.tensor copies. pandas hands out its own memory: read-only, and column by column, where a batch of rows
        # takes ten times as long to gather.
        x = torch.tensor(np.ascontiguousarray(features))
        y = torch.tensor(table["label"].to_numpy(np.int64))
        return cls(x, y)

    def to(self, device: str | torch.device) -> "Table":
        """Return the table on a device."""
        return Table(self.x.to(device), self.y.to(device))

    @property
    def classes(self) -> int:
        """The number of classes."""
        return int(self.y.max()) + 1
