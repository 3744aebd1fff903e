"""The rows of each pair, where pairs have rows of their own (`data.vary`): `generate_data` writes them, the rest reads.

Rows are stored once, and what a pair trains on is an index into them. Axes: S pairs, pair i being the networks of seed
i, N rows, F features.
"""

from collections.abc import Sequence
from dataclasses import dataclass, fields
from pathlib import Path

import numpy as np
import pandas as pd

VARIED = {  # data.vary in words
    "none": "all pairs have the same rows",
    "split": "each pair has its own split of the same rows",
    "sample": "each pair has its own draw of the rows",
}


@dataclass(frozen=True)
class PairRows:
    """`rows` (1, N, F), those of all pairs, or (S, N, F), each pair's own draw; and what each pair makes of them.

    `train` and `val` (S, n) are indices into N, `train_labels` and `val_labels` the classes there, label noise
    included. A feature is what `rows` have less `center`, over `scale`, (S, F) each.
    """

    rows: np.ndarray
    train: np.ndarray
    val: np.ndarray
    train_labels: np.ndarray
    val_labels: np.ndarray
    center: np.ndarray
    scale: np.ndarray

    def save(self, folder: Path) -> None:
        """Write an array a file."""
        folder.mkdir(parents=True, exist_ok=True)
        for field in fields(self):
            np.save(folder / f"{field.name}.npy", getattr(self, field.name))

    @classmethod
    def read(cls, folder: Path) -> "PairRows | None":
        """Read what `save` has written, from disk as it is used; None where all pairs have the same rows."""
        arrays = {field.name: np.load(folder / f"{field.name}.npy", mmap_mode="r") for field in fields(cls)}
        return cls(**arrays) if len(arrays["train"]) else None

    @classmethod
    def none(cls) -> "PairRows":
        """Return those of no pair: all have the same rows."""
        index, numbers = np.empty((0, 0), np.int32), np.empty((0, 0))
        return cls(numbers[None], index, index, index, index, numbers, numbers)

    def of(self, pairs: Sequence[int]) -> "PairRows":
        """Return the rows of consecutive pairs."""
        some = slice(pairs[0], pairs[-1] + 1)  # a view, which is read from disk where it is used
        chosen = {field.name: getattr(self, field.name)[some] for field in fields(self) if field.name != "rows"}
        return PairRows(rows=self.rows if len(self.rows) == 1 else self.rows[some], **chosen)

    def training(self) -> tuple[np.ndarray, np.ndarray]:
        """Return features (S, n, F) and classes (S, n) to train on."""
        return self._features(self.train), self.train_labels

    def validation(self) -> tuple[np.ndarray, np.ndarray]:
        """Return features (S, n, F) and classes (S, n) to measure by."""
        return self._features(self.val), self.val_labels

    def tables(self, pair: int, features: Sequence[str]) -> list[pd.DataFrame]:
        """Return the rows of one pair to train on and to measure by: the features, by their names, then `label`."""
        own = self.of([pair])
        return [pd.DataFrame(x[0], columns=features).assign(label=y[0]) for x, y in (own.training(), own.validation())]

    def _features(self, index: np.ndarray) -> np.ndarray:
        chosen = np.take_along_axis(self.rows, index[..., None], axis=1)
        return (chosen - self.center[:, None]) / self.scale[:, None]
