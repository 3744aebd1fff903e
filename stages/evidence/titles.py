"""What each figure finds, as its title: pure functions of a comparison."""

import math

import numpy as np
import pandas as pd

from stages.evidence import tables
from stages.evidence.comparison import Comparison
from stages.evidence.endpoints import FINAL_EPOCHS
from stages.evidence.paired import probability_better
from stages.evidence.summary import other_readings
from stages.evidence.verdicts import INCONCLUSIVE, NO_PRACTICAL_DIFFERENCE, NOT_MEASURED, REFUTED, SUPPORTED, Judgement

MOST_WRITTEN_OUT = 1e6  # a ratio, digit by digit
ACCURACY_FINDINGS = {
    SUPPORTED: "{Subject} raises the final validation accuracy",
    REFUTED: "{Subject} lowers the final validation accuracy",
    NO_PRACTICAL_DIFFERENCE: "{Subject} makes no practical difference to the final validation accuracy",
    INCONCLUSIVE: "Whether {subject} raises or lowers the final validation accuracy is not established",
    NOT_MEASURED: "Final validation accuracy: not measured",
}


def comparison_title(comparison: Comparison) -> str:
    """State the verdict on higher accuracy, and the difference."""
    judged = comparison.judgement("higher_accuracy")
    epochs = len(comparison.mean_curves["bn"]) - 1
    return state_accuracy(judged, comparison.trainings.contrast.subject, comparison.confidence, epochs)


def state_accuracy(judged: Judgement, subject: str, confidence: float, epochs: int) -> str:
    """Return the verdict as a sentence, and under it the difference over the last of so many epochs."""
    finding = ACCURACY_FINDINGS[judged.verdict].format(Subject=subject, subject=subject[0].lower() + subject[1:])
    if judged.n == 0:
        return finding
    points, low, high = (100 * value for value in (judged.estimate, judged.ci_low, judged.ci_high))
    over = f"mean of the last {min(FINAL_EPOCHS, epochs)} epochs" if epochs > 1 else "after the only epoch"
    return f"{finding}:\n{points:+.1f} points ({over}), {100 * confidence:g}% interval [{low:+.1f}, {high:+.1f}]"


def pairs_title(comparison: Comparison) -> str:
    """Count the pairs in which either arm ends higher."""
    differences = comparison.pairs["difference"].to_numpy()
    better, worse = int((differences > 0).sum()), int((differences < 0).sum())
    rules = comparison.rules
    share, low, high = probability_better(differences, 1, rules.alpha, rules.widening(len(differences)))
    return (
        f"{comparison.trainings.contrast.subject} ends higher in {better} of {len(differences)} pairs, lower in"
        f" {worse}:\nin {share:.0%} ({_level(comparison)} {low:.0%} to {high:.0%}), where a tie counts as half"
    )


def boundaries_title(comparison: Comparison) -> str:
    """Give the accuracies of the networks whose boundaries are drawn."""
    accuracies = [f"{accuracy:.2f}" for accuracy in tables.median_accuracies(comparison)]
    return f"The median networks: validation accuracy {comparison.trainings.contrast.compare(*accuracies)}"


def learning_rates_title(comparison: Comparison) -> str:
    """Give the half-gain rates."""
    rates = tables.half_gain_rates(comparison)
    if not rates:
        note = comparison.judgement("higher_learning_rates").note
        return f"Tolerance of high learning rates not measured:\n{note}"
    top = comparison.trainings.sweeps["bn"].rates[-1]
    words = [f"{rate:.2g}" if rate < top else f"above {top:.2g}" for rate in rates.values()]
    judged = comparison.judgement("higher_learning_rates")
    ratio = _ratio(10.0, judged, comparison)
    return (
        f"Half of the better arm's gain is left at learning rate {comparison.trainings.contrast.compare(*words)}:\n"
        f"{ratio}; higher learning rates: {judged.verdict}"
    )


def covariate_shift_title(comparison: Comparison) -> str:
    """Give the ratio of the covariate shifts, by both definitions."""
    judged = comparison.judgement("less_covariate_shift")
    if judged.n == 0:
        return "Internal covariate shift: not measured"
    without, with_bn = comparison.trainings.contrast.apart
    title = f"Internal covariate shift {with_bn} compared with {without}:"
    views = {"gradient view": judged, "distribution view": other_readings(judged)["definition"]}
    for view, found in views.items():
        if found.n:
            title += f"\n{view}: {_ratio(math.e, found, comparison)}; less covariate shift: {found.verdict}"
    return title


def landscape_title(comparison: Comparison) -> str:
    """Give the ratio of the roughnesses of the loss along the gradient."""
    ratio, low, high = tables.ratio_of_roughness(comparison)
    if not np.isfinite(ratio):
        return "Roughness of the loss along the gradient: not measured"
    without, with_bn = comparison.trainings.contrast.apart
    return (
        f"Roughness of the loss along the gradient {with_bn} compared with {without}:\n"
        f"{_round(ratio)} times, {_level(comparison)} {_round(low)} to {_round(high)}"
        " (change of the gradient per distance)"
    )


def layer_gradients_title(comparison: Comparison) -> str:
    """Give the ratio of the first hidden layer's gradient to the last one's, at the start and at the end."""
    start, end = [], []
    for by_epoch in tables.tabulate_layer_gradients(comparison).values():
        start.append(_median_ratio(by_epoch[min(by_epoch)]))
        end.append(_median_ratio(by_epoch[max(by_epoch)]))
    contrast = comparison.trainings.contrast
    return (
        "Gradient of the first hidden layer over that of the last one, median (middle half) over seeds:\n"
        f"at the first step {contrast.compare(*start)};\nin the last epoch {contrast.compare(*end)}"
    )


def _median_ratio(layers: pd.DataFrame) -> str:
    """Return the first layer's ratio and its quartiles."""
    first = layers.iloc[0]
    if not np.isfinite(first["gradient"]):
        return "undefined"
    ratio, low, high = (_round(first[name]) for name in ("gradient", "gradient_ci_low", "gradient_ci_high"))
    return f"{ratio} ({low} to {high})"


def dead_layers_title(comparison: Comparison) -> str:
    """Give the shares of networks with a dead layer, before and after training."""
    start, end = [], []
    for table in tables.tabulate_dead_layers(comparison).values():
        start.append(_share(table.iloc[0]))
        end.append(_share(table.iloc[-1]))
    contrast = comparison.trainings.contrast
    return (
        f"Networks with a dead layer before training: {contrast.compare(*start)};\nafter it: {contrast.compare(*end)}"
    )


def _share(row: pd.Series) -> str:
    """Return the share of networks with a dead layer and its interval."""
    low, high = row["dead_layer_ci_low"], row["dead_layer_ci_high"]
    return f"{row['dead_layer']:.0%} ({low:.0%} to {high:.0%})"


def _ratio(base: float, judged: Judgement, comparison: Comparison) -> str:
    """Return the ratio, and its interval, of which the judgement has logarithms."""
    with np.errstate(over="ignore"):
        ratio, low, high = np.power(base, [judged.estimate, judged.ci_low, judged.ci_high])
    return f"{_round(ratio)} times, {_level(comparison)} {_round(low)} to {_round(high)}"


def _round(ratio: float) -> str:
    """Return two digits, or all before the point: not 2.7e+02, but 2.9e+12."""
    return f"{ratio:.0f}" if 100 <= ratio < MOST_WRITTEN_OUT else f"{ratio:.2g}"


def _level(comparison: Comparison) -> str:
    return f"{100 * comparison.confidence:g}% interval"
