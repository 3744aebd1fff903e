"""One number per seed and arm for each claim: pure functions of arrays. Fixed before the run.

Arrays have epochs and seeds last, (..., E, S), epoch 0 (before training) first. Seeds are ascending, so that position i
is the same pair in both arms. `accuracy` is val_accuracy, in [0, 1]; losses are in nats.
"""

import numpy as np

EPOCHS_RUNNING = 3  # at the target, for one lucky epoch is not learning
SHARE_OF_BEST_GAIN = 0.9
FINAL_EPOCHS = 10


def best_gain(baseline: np.ndarray, bn: np.ndarray, majority: float) -> float:
    """Return the best gain over the majority class: of the mean over seeds, of either arm (E, S), at any epoch."""
    best = max(accuracy.mean(axis=-1).max() for accuracy in (baseline, bn))
    return float(best - majority)


def shared_target(baseline: np.ndarray, bn: np.ndarray, majority: float) -> float:
    """Return the accuracy to reach: the majority class and 0.9 of the best gain over it; both arms are (E, S).

    The best gain is that of the mean over seeds, of either arm, at any epoch: neither arm is measured by a mark that
    the other set.
    """
    return majority + SHARE_OF_BEST_GAIN * best_gain(baseline, bn, majority)


def epochs_to_target(accuracy: np.ndarray, target: float) -> np.ndarray:
    """faster_training: return the first of 3 epochs running with accuracy >= target, (..., S), in epochs.

    Runs that never get there count as the last epoch. As all are censored at the same horizon, the mean is the
    restricted mean time (Royston & Parmar 2013), and none is dropped.
    """
    running = _reaches(accuracy, target)
    last = accuracy.shape[-2] - 1
    return np.where(running.any(axis=-2), running.argmax(axis=-2), last).astype(float)


def share_that_reached(accuracy: np.ndarray, target: float) -> float:
    """Return the share of seeds (E, S) that reach the target for 3 epochs running."""
    return float(_reaches(accuracy, target).any(axis=-2).mean())


def final_accuracy(accuracy: np.ndarray) -> np.ndarray:
    """higher_accuracy: return the mean of the last 10 epochs, (..., S), in [0, 1]; epoch 0 never counts."""
    trained = accuracy[..., 1:, :]
    return trained[..., -FINAL_EPOCHS:, :].mean(axis=-2)


def fluctuation(accuracy: np.ndarray, val_loss: np.ndarray) -> np.ndarray:
    """steadier: return the mean absolute change of accuracy from epoch to epoch over the last half, (..., S).

    NaN where the loss is not finite there: a network that has diverged is not steady.
    """
    middle = (accuracy.shape[-2] - 1) // 2
    change = np.abs(np.diff(accuracy[..., middle:, :], axis=-2)).mean(axis=-2)
    finite = np.isfinite(val_loss[..., middle:, :]).all(axis=-2)
    return np.where(finite, change, np.nan)


def log_covariate_shift(baseline: np.ndarray, bn: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """less_covariate_shift: return both arms' log of the mean shift over epochs, (S,) each, from (E, S) each.

    The difference is the log of the ratio (Santurkar et al. 2018, Def. 2.1, made scale-free). A pair is averaged over
    the epochs where BOTH have a finite value: a network that dies early would else be compared by its early epochs
    alone. NaN where a pair shares no such epoch, or where nothing ever shifts and the log has no value.
    """
    both = np.isfinite(baseline) & np.isfinite(bn)  # (E, S)
    sums = [np.where(both, shift, 0.0).sum(axis=0) for shift in (baseline, bn)]
    with np.errstate(divide="ignore", invalid="ignore"):
        logs = np.log(np.stack(sums) / both.sum(axis=0))  # (2, S)
    logs[~np.isfinite(logs)] = np.nan
    return logs[0], logs[1]


def generalization_gap(train_loss: np.ndarray, val_loss: np.ndarray) -> np.ndarray:
    """Regularizes: return val_loss - train_loss after the last epoch, (..., S), in nats; not finite if it diverged."""
    with np.errstate(invalid="ignore"):  # inf - inf
        return val_loss[..., -1, :] - train_loss[..., -1, :]


def log_rate_at_mark(gain: np.ndarray, mark: np.ndarray, rates: np.ndarray) -> np.ndarray:
    """higher_learning_rates: return log10 of the rate where mean gains (..., L) have fallen to a mark (...): (...).

    It is the first such rate above the best one, interpolated linearly in log(rate); of equally good rates the highest
    is the best one. It is the top of the sweep where the gain never falls so far (censored), the best rate itself where
    the gain never gets so far, and the bottom where the mark is no gain at all. `rates` (L,) are ascending.
    """
    log_rates, top = np.log10(rates), len(rates) - 1
    best = top - gain[..., ::-1].argmax(axis=-1)
    above_best = np.arange(len(rates)) > best[..., None]
    fallen = above_best & (gain <= mark[..., None])
    after = np.maximum(fallen.argmax(axis=-1), 1)  # 1: any, for where nothing fell the value is not used
    high, low = _take(gain, after - 1), _take(gain, after)
    with np.errstate(divide="ignore", invalid="ignore"):
        fraction = (high - mark) / (high - low)
    crossing = log_rates[after - 1] + fraction * (log_rates[after] - log_rates[after - 1])
    rate = np.where(fallen.any(axis=-1), crossing, log_rates[top])
    rate = np.where(gain.max(axis=-1) < mark, log_rates[best], rate)
    return np.where(mark > 0, rate, log_rates[0])


def shared_mark(baseline: np.ndarray, bn: np.ndarray) -> np.ndarray:
    """Return half of the best gain of either arm, from both arms' mean gains (..., L): (...)."""
    return np.maximum(baseline.max(axis=-1), bn.max(axis=-1)) / 2


def _take(values: np.ndarray, index: np.ndarray) -> np.ndarray:
    """Return one value of each row: (..., L), (...) -> (...)."""
    return np.take_along_axis(values, index[..., None], axis=-1)[..., 0]


def _reaches(accuracy: np.ndarray, target: float) -> np.ndarray:
    """Return whether an epoch and the next two are at the target: (..., E, S) -> (..., max(E - 2, 1), S)."""
    hits = accuracy >= target
    if hits.shape[-2] < EPOCHS_RUNNING:
        return np.zeros_like(hits[..., :1, :])
    windows = np.lib.stride_tricks.sliding_window_view(hits, EPOCHS_RUNNING, axis=-2)
    return np.all(windows, axis=-1)
