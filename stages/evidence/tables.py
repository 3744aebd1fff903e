"""What the figures show, as tables: the statistics behind each."""

from collections.abc import Mapping, Sequence
from math import nan
from typing import Any

import numpy as np
import pandas as pd

from stages import ARMS, LAYER_GRADIENT
from stages.evidence.comparison import Comparison
from stages.evidence.endpoints import log_rate_at_mark, shared_mark
from stages.evidence.paired import ratio_of_medians, wilson_interval
from stages.history.curves import QUARTILES, median_seed, summarize_quartiles
from stages.history.moments import mean_interval


def tabulate_rates(comparison: Comparison) -> dict[str, pd.DataFrame]:
    """Return of each arm a row per learning rate: `lr`, and mean and 95% interval of the final validation accuracy.

    Columns: lr, accuracy, ci_low, ci_high.
    """
    tables = {}
    for arm, sweep in comparison.trainings.sweeps.items():
        mean, low, high = mean_interval(sweep.final_accuracy().T)  # (L,) each
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

    From epoch 1 on: before training no step has been taken.
    """
    tables = {}
    for arm, diagnostics in comparison.trainings.diagnostics.items():
        trained = diagnostics[diagnostics["epoch"] > 0]
        tables[arm] = summarize_quartiles(trained, names)
    return tables


def tabulate_dead_layers(comparison: Comparison) -> dict[str, pd.DataFrame]:
    """Return of each arm a row per epoch: the share of seeds with a dead layer, and Wilson's 95% interval.

    Columns: epoch, dead_layer, dead_layer_ci_low, dead_layer_ci_high.
    """
    tables = {}
    for arm, diagnostics in comparison.trainings.diagnostics.items():
        counts = diagnostics.groupby("epoch")["dead_layer"].agg(["sum", "count"])
        intervals = np.array([wilson_interval(dead, int(n)) for dead, n in counts.to_numpy()])
        columns = {
            "epoch": counts.index,
            "dead_layer": (counts["sum"] / counts["count"]).to_numpy(),
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
        for row in summarize_quartiles(gradients, names).to_dict("records"):
            columns: dict[str, Any] = {"layer": np.arange(1, len(names) + 1)}
            for suffix in QUARTILES:
                columns[f"gradient{suffix}"] = 10.0 ** np.array([row[name + suffix] for name in names])
            by_epoch[int(row["epoch"])] = pd.DataFrame(columns)
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


def roughness_of_pairs(diagnostics: Mapping[str, pd.DataFrame]) -> np.ndarray:
    """Return the median beta-smoothness of each network over epochs, (2, n): baseline and bn, of pairs that have it."""
    medians = [diagnostics[arm].groupby("seed")["beta_smoothness"].median().to_numpy() for arm in ARMS]
    roughness = np.stack(medians)
    return roughness[:, np.isfinite(roughness).all(axis=0)]


def median_accuracies(comparison: Comparison) -> list[float]:
    """Return of baseline and bn the final validation accuracy of the median network."""
    return [float(final.loc[median_seed(final), "val_accuracy"]) for final in comparison.finals.values()]
