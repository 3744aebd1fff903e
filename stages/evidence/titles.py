"""What each figure finds, as its title: pure functions of a comparison."""

from collections.abc import Sequence

import numpy as np

from stages.evidence import tables
from stages.evidence.comparison import Comparison
from stages.evidence.paired import PairedDifference


def comparison_title(comparison: Comparison) -> str:
    """State the difference in final validation accuracy."""
    subject = comparison.trainings.contrast.subject
    return state_finding(comparison.difference, comparison.confidence, subject)


def state_finding(difference: PairedDifference, confidence: float, subject: str) -> str:
    """Return the finding as a title: a direction where interval and p value both exclude zero, and the numbers.

    The two rest on different assumptions; where they part, nothing is established.
    """
    significant = difference.p_value < 1 - confidence
    if significant and difference.ci_low > 0:
        finding = f"{subject} raises the final validation accuracy"
    elif significant and difference.ci_high < 0:
        finding = f"{subject} lowers the final validation accuracy"
    else:
        finding = "No difference in final validation accuracy is established"
    points, low, high = (100 * value for value in (difference.estimate, difference.ci_low, difference.ci_high))
    return f"{finding}:\n{points:+.1f} points, {100 * confidence:g}% interval [{low:+.1f}, {high:+.1f}]"


def pairs_title(comparison: Comparison) -> str:
    """Count the pairs in which either arm ends higher."""
    differences = comparison.pairs["difference"]
    better, worse = int((differences > 0).sum()), int((differences < 0).sum())
    subject = comparison.trainings.contrast.subject
    return f"{subject} ends higher in {better} of {len(differences)} pairs, lower in {worse}"


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
    return f"Half of the best gain is left at learning rate {comparison.trainings.contrast.compare(*words)}"


def covariate_shift_title(comparison: Comparison) -> str:
    """Give the ratio of the covariate shifts, gradient view."""
    judged = comparison.judgement("less_covariate_shift")
    if judged.n == 0:
        return "Internal covariate shift: not measured"
    without, with_bn = comparison.trainings.contrast.apart
    ratio, low, high = _ratios([judged.estimate, judged.ci_low, judged.ci_high])
    return (
        f"Internal covariate shift {with_bn} is {ratio:.2g} times that {without}\n"
        f"(gradient view; {100 * comparison.confidence:g}% interval {low:.2g} to {high:.2g})"
    )


def landscape_title(comparison: Comparison) -> str:
    """Give the ratio of the roughnesses of the loss along the gradient."""
    without, with_bn = tables.median_roughness(comparison)
    if not np.isfinite([without, with_bn]).all() or without <= 0:
        return "Roughness of the loss along the gradient: not measured"
    apart = comparison.trainings.contrast.apart
    return (
        f"Along the gradient the loss is {with_bn / without:.2g} times as rough {apart[1]} as {apart[0]}"
        "\n(change of the gradient per distance, median network)"
    )


def dead_layers_title(comparison: Comparison) -> str:
    """Give the shares of networks with a dead layer, before and after training."""
    shares = [table["dead_layer"] for table in tables.tabulate_dead_layers(comparison).values()]
    contrast = comparison.trainings.contrast
    start = contrast.compare(*(f"{share.iloc[0]:.0%}" for share in shares))
    end = contrast.compare(*(f"{share.iloc[-1]:.0%}" for share in shares))
    return f"Networks with a dead layer before training: {start};\nafter it: {end}"


def _ratios(logs: Sequence[float]) -> np.ndarray:
    with np.errstate(over="ignore"):
        return np.exp(logs)
