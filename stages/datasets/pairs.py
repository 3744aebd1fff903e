"""Rows of its own for each pair: a split of the same rows, or a draw of new ones."""

import numpy as np

from stages.datasets.rows import Rows
from stages.datasets.sources import load_source
from stages.datasets.split import add_label_noise, fit_scaling, split_rows
from stages.pair_rows import PairRows
from stages.params import DataParams


def draw_pairs(rows: Rows, data: DataParams, pairs: int) -> PairRows:
    """Return what each of so many pairs gets by `data.vary`, where `rows` are those of the source.

    The first pair has the rows that all pairs have where nothing varies.
    """
    if data.vary == "none":
        return PairRows.none()
    tables, drawn = [], []
    for pair in range(pairs):
        seed = pair_seed(data.seed, pair)
        own = load_source(data.model_copy(update={"seed": seed})) if data.vary == "sample" else rows
        tables.append(own.x)
        drawn.append(_draw_pair(own, data, seed))
    train, val, train_labels, val_labels, center, scale = (np.stack(parts) for parts in zip(*drawn, strict=True))
    table = np.stack(tables) if data.vary == "sample" else rows.x[None]
    return PairRows(table, train, val, train_labels, val_labels, center, scale)


def pair_seed(seed: int, pair: int) -> int:
    """Return the seed of a pair's rows: `seed` itself for the first, for others one that has nothing to do with it."""
    return int(np.random.SeedSequence([seed, pair]).generate_state(1)[0]) if pair else seed


def _draw_pair(rows: Rows, data: DataParams, seed: int) -> tuple[np.ndarray, ...]:
    """Return both indices, the classes there, and what is subtracted from features and what divides them."""
    train, val = split_rows(rows, split=data.split, val_fraction=data.val_fraction, seed=seed)
    labels = add_label_noise(rows.y[train], data.label_noise, seed)
    center, scale = fit_scaling(rows.x[train], data.scale)
    return train.astype(np.int32), val.astype(np.int32), labels, rows.y[val], center, scale
