"""One number per seed and arm for each claim, from the tables of the training stages. Fixed before the run.

Histories have one row per (lr, seed, epoch), diagnostics one per (seed, epoch). Every array is in ascending order of
seeds, so that position i is the same pair in both arms. Axes: S seeds, E epochs (epoch 0 included), L learning rates.
"""

from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import pandas as pd
from pyarrow import parquet

from stages.history.curves import by_epoch_and_seed

ACCURACY = "val_accuracy"
EPOCHS_RUNNING = 3  # at the target, for one lucky epoch is not learning
SHARE_OF_BEST_GAIN = 0.9
FINAL_EPOCHS = 10
LOOKED_AT = (  # of the diagnostics: what the claims are judged by and the figures show
    "covariate_shift",
    "gradient_cosine",
    "input_shift",
    "loss_range",
    "gradient_change",
    "beta_smoothness",
    "dead_layer",
)


def load_history(path: str | Path, lr: float, epochs: int) -> pd.DataFrame:
    """Read of a history what is looked at: all epochs at `lr`, and at the other rates those of `final_accuracy`."""
    batches = _read_batches(path)
    first = epochs - FINAL_EPOCHS
    return pd.concat([rows[(rows["lr"] == lr) | (rows["epoch"] >= first)] for rows in batches], ignore_index=True)


def load_diagnostics(path: str | Path) -> pd.DataFrame:
    """Read of diagnostics what is looked at: all but the percentiles."""
    return pd.concat(_read_batches(path, ["seed", "epoch", *LOOKED_AT]), ignore_index=True)


def _read_batches(path: str | Path, columns: Sequence[str] | None = None) -> Iterator[pd.DataFrame]:
    """Yield the rows of a table part by part: there may be millions, and to read them at once takes several times."""
    for batch in parquet.ParquetFile(path).iter_batches(columns=columns):
        yield batch.to_pandas().astype({"seed": np.int32, "epoch": np.int32})


def shared_target(baseline: pd.DataFrame, bn: pd.DataFrame, lr: float, majority: float) -> float:
    """Return the validation accuracy to reach: the majority class and 0.9 of the best mean gain over it of either arm.

    Symmetric in the arms: neither is measured by a mark that the other set.
    """
    best = max(by_epoch_and_seed(history, lr, ACCURACY).mean(axis=1).max() for history in (baseline, bn))
    return float(majority + SHARE_OF_BEST_GAIN * (best - majority))


def epochs_to_target(history: pd.DataFrame, lr: float, target: float) -> np.ndarray:
    """faster_training: return the first of 3 epochs running with val_accuracy >= target, (S,), in epochs.

    Runs that never get there count as the last epoch. As all are censored at the same horizon, the mean is the
    restricted mean time (Royston & Parmar 2013), and none is dropped.
    """
    accuracy = by_epoch_and_seed(history, lr, ACCURACY)  # (E, S)
    running = _reaches(accuracy, target)
    return np.where(running.any(axis=0), running.argmax(axis=0), len(accuracy) - 1).astype(float)


def share_that_reached(history: pd.DataFrame, lr: float, target: float) -> float:
    """Return the share of seeds that reach the target for 3 epochs running."""
    return float(_reaches(by_epoch_and_seed(history, lr, ACCURACY), target).any(axis=0).mean())


def final_accuracy(history: pd.DataFrame, lr: float) -> np.ndarray:
    """higher_accuracy: return the mean val_accuracy of the last 10 epochs, (S,), in [0, 1]; epoch 0 never counts."""
    return by_epoch_and_seed(history, lr, ACCURACY)[1:][-FINAL_EPOCHS:].mean(axis=0)


def fluctuation(history: pd.DataFrame, lr: float) -> np.ndarray:
    """steadier: return the mean absolute change of val_accuracy from epoch to epoch over the last half, (S,).

    NaN where the loss is not finite there: a network that has diverged is not steady.
    """
    accuracy, loss = (by_epoch_and_seed(history, lr, name) for name in (ACCURACY, "val_loss"))  # (E, S) each
    last_half = slice((len(accuracy) - 1) // 2, None)
    change = np.abs(np.diff(accuracy[last_half], axis=0)).mean(axis=0)
    return np.where(np.isfinite(loss[last_half]).all(axis=0), change, np.nan)


def log_covariate_shift(baseline: pd.DataFrame, bn: pd.DataFrame) -> tuple[np.ndarray, np.ndarray]:
    """less_covariate_shift: return both arms' log of the mean covariate_shift over epochs >= 1, (S,) each.

    The difference is the log of the ratio (Santurkar et al. 2018, Def. 2.1, made scale-free). A pair is averaged over
    the epochs where BOTH have a finite value: a network that dies early would else be compared by its early epochs
    alone. NaN where a pair shares no such epoch, or where nothing ever shifts and the log has no value.
    """
    shifts = [table.pivot(index="epoch", columns="seed", values="covariate_shift").loc[1:] for table in (baseline, bn)]
    pair = np.stack([shift.to_numpy() for shift in shifts])  # (2, E, S)
    both = np.isfinite(pair).all(axis=0)
    with np.errstate(divide="ignore", invalid="ignore"):
        logs = np.log(np.where(both, pair, 0.0).sum(axis=1) / both.sum(axis=0))  # (2, S)
    logs[~np.isfinite(logs)] = np.nan
    return logs[0], logs[1]


def generalization_gap(history: pd.DataFrame, lr: float) -> np.ndarray:
    """Regularizes: return val_loss - train_loss after the last epoch, (S,), in nats; not finite after divergence."""
    last = {name: by_epoch_and_seed(history, lr, name)[-1] for name in ("val_loss", "train_loss")}
    with np.errstate(invalid="ignore"):  # inf - inf
        return last["val_loss"] - last["train_loss"]


def accuracy_by_rate(history: pd.DataFrame) -> tuple[np.ndarray, np.ndarray]:
    """higher_learning_rates: return the rates, ascending (L,), and the final accuracy at each, (S, L)."""
    rates = np.sort(history["lr"].unique())
    return rates, np.stack([final_accuracy(history, rate) for rate in rates], axis=-1)


def log_half_gain_rate(gain: np.ndarray, rates: np.ndarray) -> np.ndarray:
    """Return log10 of LR50 from mean gains over the majority class: (..., L) -> (...), rates ascending.

    LR50 is the rate above the best one where the gain has fallen to half of its best, interpolated linearly in
    log(rate); of equally good rates the highest is the best one. It is the top of the sweep where the gain never falls
    so far (censored), and the bottom where no rate gains anything.
    """
    log_rates, top = np.log10(rates), len(rates) - 1
    best = top - gain[..., ::-1].argmax(axis=-1)
    half = gain.max(axis=-1) / 2
    fallen = (np.arange(len(rates)) > best[..., None]) & (gain <= half[..., None])
    after = np.maximum(fallen.argmax(axis=-1), 1)  # 1: any, for where nothing fell the value is not used
    high, low = (np.take_along_axis(gain, i[..., None], axis=-1)[..., 0] for i in (after - 1, after))
    with np.errstate(divide="ignore", invalid="ignore"):
        way = (high - half) / (high - low)
    crossing = log_rates[after - 1] + way * (log_rates[after] - log_rates[after - 1])
    return np.where(half > 0, np.where(fallen.any(axis=-1), crossing, log_rates[top]), log_rates[0])


def seeds_born_dead(diagnostics: pd.DataFrame) -> set[int]:
    """Return the seeds whose network has, before training, a hidden layer that is dead on all training rows."""
    start = diagnostics[(diagnostics["epoch"] == 0) & (diagnostics["dead_layer"] == 1)]
    return {int(seed) for seed in start["seed"]}


def _reaches(accuracy: np.ndarray, target: float) -> np.ndarray:
    """Return whether an epoch and the next two are at the target: (E, S) -> (max(E - 2, 0), S), one row at least."""
    hits = accuracy >= target
    if len(hits) < EPOCHS_RUNNING:
        return np.zeros_like(hits[:1])
    windows = np.lib.stride_tricks.sliding_window_view(hits, EPOCHS_RUNNING, axis=0)
    return windows.all(axis=-1)
