"""From tables of every seed to what people look at: one row per epoch or learning rate, one number per seed."""

from collections.abc import Mapping

import numpy as np
import pandas as pd

from stages import MEASURES
from stages.history.moments import Moments


def summarize_epochs(history: pd.DataFrame, lr: float) -> pd.DataFrame:
    """Return one row per epoch at `lr`: `epoch`, and of each measure the mean and the 95% interval over seeds.

    Columns: NAME, NAME_ci_low, NAME_ci_high for each of MEASURES; losses in nats, accuracies in [0, 1].
    """
    return tabulate_curves({name: Moments.of(by_epoch_and_seed(history, lr, name)) for name in MEASURES})


def moments_by_epoch(history: pd.DataFrame) -> dict[str, Moments]:
    """Return the moments over seeds of each measure, (L, E), of a history sorted by lr, seed, epoch."""
    shape = [history[name].nunique() for name in ("lr", "seed", "epoch")]
    return {name: Moments.of(history[name].to_numpy().reshape(shape).swapaxes(1, 2)) for name in MEASURES}


def tabulate_curves(moments: Mapping[str, Moments]) -> pd.DataFrame:
    """Return the table of `summarize_epochs` from the moments of each measure, (E,)."""
    curves = {"epoch": np.arange(len(moments[MEASURES[0]].mean))}
    for name in MEASURES:
        mean, low, high = moments[name].interval()
        curves |= {name: mean, f"{name}_ci_low": low, f"{name}_ci_high": high}
    return pd.DataFrame(curves)


def by_epoch_and_seed(history: pd.DataFrame, lr: float, measure: str) -> np.ndarray:
    """Return one measure at `lr` as (E, S), epochs and seeds ascending."""
    rows = history.loc[history["lr"] == lr, ["epoch", "seed", measure]]
    return rows.pivot(index="epoch", columns="seed", values=measure).to_numpy()


def final_values(history: pd.DataFrame, lr: float) -> pd.DataFrame:
    """Return the measures after the last epoch at `lr`, one row per seed, seeds ascending, indexed by seed."""
    last = history[(history["lr"] == lr) & (history["epoch"] == history["epoch"].max())]
    return last.set_index("seed").sort_index()[list(MEASURES)]


def median_seed(final: pd.DataFrame) -> int:
    """Return the seed whose final val_accuracy is the median; of an even number the lower one; of ties the lowest."""
    ranked = final["val_accuracy"].sort_values(kind="stable")
    median = ranked.iloc[(len(ranked) - 1) // 2]
    return int(ranked.index[ranked == median].min())
