"""What the figures show, as tables: the statistics behind each."""

import warnings
from collections.abc import Mapping, Sequence
from math import nan

import numpy as np
import pandas as pd

from stages import ARMS, LAYER_GRADIENT
from stages.evidence.comparison import Comparison
from stages.evidence.endpoints import log_rate_at_mark, shared_mark
from stages.evidence.paired import ratio_of_medians, wilson_interval
from stages.evidence.trainings import Inside
from stages.history.curves import median_seed
from stages.history.moments import mean_interval

QUARTILES = {"": 0.5, "_ci_low": 0.25, "_ci_high": 0.75}  # of a column's name: the suffix


def tabulate_rates(comparison: Comparison) -> dict[str, pd.DataFrame]:
    """Return of each arm a row per learning rate: `lr`, and mean and 95% interval of the final validation accuracy.

    Columns: lr, accuracy, ci_low, ci_high.
    """
    tables = {}
    for arm, sweep in comparison.trainings.sweeps.items():
        mean, low, high = mean_interval(sweep.final_accuracy.T)  # (L,) each
        tables[arm] = pd.DataFrame({"lr": sweep.rates, "accuracy": mean, "ci_low": low, "ci_high": high})
    return tables


def half_gain_rates(comparison: Comparison) -> dict[str, float]:
    """Return of each arm the rate at which half of the better arm's best gain is left; empty if not measured."""
    if comparison.judgement("higher_learning_rates").n == 0:
        return {}
    gains = {}
    for arm, table in tabulate_rates(comparison).items():
        gains[arm] = table["accuracy"].to_numpy() - comparison.trainings.majority
    mark = shared_mark(gains["baseline"], gains["bn"])
    lr = comparison.trainings.sweeps["bn"].rates
    return {arm: float(10 ** log_rate_at_mark(gain, mark, lr)) for arm, gain in gains.items()}


def tabulate_diagnostics(comparison: Comparison, names: Sequence[str]) -> dict[str, pd.DataFrame]:
    """Return of each arm the median and quartiles over seeds of some diagnostics, a row per epoch.

    From epoch 1 on: before training no step has been taken. Columns: epoch; NAME, NAME_ci_low, NAME_ci_high.
    """
    tables = {}
    for arm, diagnostics in comparison.trainings.diagnostics.items():
        columns: dict[str, np.ndarray] = {}
        for name in names:
            quartiles = find_quartiles(diagnostics.read(name)[1:])
            columns |= {f"{name}{suffix}": values for suffix, values in quartiles.items()}
        table = pd.DataFrame(columns)
        tables[arm] = table.assign(epoch=table.index + 1)
    return tables


def find_quartiles(values: np.ndarray) -> dict[str, np.ndarray]:
    """Return for each suffix of QUARTILES that quantile over seeds, interpolated linearly: (N, S) -> (N,).

    Medians, for a few networks have values thousands of times the others'. Values that are not finite are left out; NaN
    where no other is there.
    """
    finite = np.isfinite(values)
    ordered = np.where(finite, values, np.nan)
    ordered.sort(axis=1)  # NaN last
    last = np.maximum(finite.sum(axis=1) - 1, 0)
    row = np.arange(len(values))
    quartiles = {}
    for suffix, share in QUARTILES.items():
        below = (share * last).astype(int)
        low, high = ordered[row, below], ordered[row, np.minimum(below + 1, last)]
        quartiles[suffix] = low + (high - low) * (share * last - below)
    return quartiles


def tabulate_dead_layers(comparison: Comparison) -> dict[str, pd.DataFrame]:
    """Return of each arm a row per epoch: the share of seeds with a dead layer, and Wilson's 95% interval.

    Columns: epoch, dead_layer, dead_layer_ci_low, dead_layer_ci_high.
    """
    tables = {}
    for arm, diagnostics in comparison.trainings.diagnostics.items():
        dead = diagnostics.read("dead_layer")  # (E, S)
        counts, n = dead.sum(axis=1), dead.shape[1]
        intervals = np.array([wilson_interval(count, n) for count in counts])
        columns = {
            "epoch": np.arange(len(dead)),
            "dead_layer": counts / n,
            "dead_layer_ci_low": intervals[:, 0],
            "dead_layer_ci_high": intervals[:, 1],
        }
        tables[arm] = pd.DataFrame(columns)
    return tables


def tabulate_layer_gradients(comparison: Comparison) -> dict[str, dict[int, pd.DataFrame]]:
    """Return of each arm, by epoch (the first and the last), a row per hidden layer: how large its gradient is.

    Columns: layer, gradient, gradient_ci_low, gradient_ci_high: the norm of the gradient of its weights over that of
    the last hidden layer's, at the first step of the epoch; median and quartiles over seeds.
    """
    tables = {}
    for arm, gradients in comparison.layer_gradients.items():
        names = [name for name in gradients.columns if name.startswith(LAYER_GRADIENT)]
        by_epoch = {}
        for epoch, rows in gradients.groupby("epoch"):
            quartiles = find_quartiles(rows[names].to_numpy().T)
            columns = {f"gradient{suffix}": 10.0**logs for suffix, logs in quartiles.items()}
            by_epoch[int(epoch)] = pd.DataFrame({"layer": np.arange(1, len(names) + 1)} | columns)
        tables[arm] = by_epoch
    return tables


def ratio_of_roughness(comparison: Comparison) -> tuple[float, float, float]:
    """Return by how much the beta-smoothness of bn's median network exceeds baseline's, and the interval.

    Of a network it is the median over epochs. NaN where there is none, or none in the baseline.
    """
    without, with_bn = roughness_of_pairs(comparison.trainings.diagnostics)
    if len(with_bn) < 2:
        return nan, nan, nan
    rules = comparison.rules
    return ratio_of_medians(without, with_bn, rules.alpha, rules.resamples, widening=rules.widening(len(with_bn)))


def roughness_of_pairs(diagnostics: Mapping[str, Inside]) -> np.ndarray:
    """Return the median beta-smoothness of each network over epochs, (2, n): baseline and bn, of pairs that have it."""
    medians = [_median_over_epochs(diagnostics[arm].read("beta_smoothness")) for arm in ARMS]
    roughness = np.stack(medians)
    return roughness[:, np.isfinite(roughness).all(axis=0)]


def _median_over_epochs(values: np.ndarray) -> np.ndarray:
    """Return the median over the epochs that have a value: (E, S) -> (S,); NaN where none has."""
    with warnings.catch_warnings(category=RuntimeWarning, action="ignore"):
        return np.nanmedian(values, axis=0)


def median_accuracies(comparison: Comparison) -> list[float]:
    """Return of baseline and bn the final validation accuracy of the median network."""
    return [float(final.loc[median_seed(final), "val_accuracy"]) for final in comparison.finals.values()]
