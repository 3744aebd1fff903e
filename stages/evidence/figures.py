"""Figures from tables: they compute no statistics."""

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import pandas as pd

from stages import COLORS
from stages.evidence.paired import PairedDifference

if TYPE_CHECKING:
    from matplotlib.axes import Axes

LABELS = {"baseline": "without batch normalization", "bn": "with batch normalization"}


def draw_comparison(
    axes: "Axes", curves: Mapping[str, pd.DataFrame], majority: float, difference: PairedDifference, confidence: float
) -> None:
    """Draw both arms' validation accuracy over epochs: mean, 95% band, and the share of the majority class.

    `curves` maps an arm to a table with `epoch`, `val_accuracy`, `val_accuracy_ci_low`, `val_accuracy_ci_high`.
    """
    for arm, table in curves.items():
        axes.fill_between(
            table["epoch"],
            table["val_accuracy_ci_low"],
            table["val_accuracy_ci_high"],
            color=COLORS[arm],
            alpha=0.2,
            linewidth=0,
        )
        axes.plot(table["epoch"], table["val_accuracy"], color=COLORS[arm], label=LABELS[arm])
    axes.axhline(majority, color="gray", linestyle=":", label="always the majority class")
    axes.xaxis.get_major_locator().set_params(integer=True)
    axes.set(xlabel="epoch", ylabel="validation accuracy", xmargin=0.01)
    axes.set_title(state_finding(difference, confidence), loc="left", fontsize=11)
    axes.legend(loc="best", frameon=True, edgecolor="none")


def state_finding(difference: PairedDifference, confidence: float) -> str:
    """Return the finding as a title: a direction where interval and p value both exclude zero, and the numbers.

    The two rest on different assumptions; where they part, nothing is established.
    """
    significant = difference.p_value < 1 - confidence
    if significant and difference.ci_low > 0:
        finding = "Batch normalization raises the final validation accuracy"
    elif significant and difference.ci_high < 0:
        finding = "Batch normalization lowers the final validation accuracy"
    else:
        finding = "No difference in final validation accuracy is established"
    points, low, high = (100 * value for value in (difference.estimate, difference.ci_low, difference.ci_high))
    return f"{finding}:\n{points:+.1f} points, {100 * confidence:g}% interval [{low:+.1f}, {high:+.1f}]"


def save_comparison(
    path: str | Path,
    curves: Mapping[str, pd.DataFrame],
    majority: float,
    difference: PairedDifference,
    confidence: float,
    lr: float,
) -> None:
    """Write the comparison as a PNG of 960 x 600 pixels, with what the band means and n in its caption."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(8, 5), dpi=120, layout="constrained")
    draw_comparison(figure.subplots(), curves, majority, difference, confidence)
    figure.supxlabel(
        f"mean over {difference.n} paired seeds and its 95% band; learning rate {lr:g}; validation set in eval mode",
        fontsize=8,
        color="dimgray",
    )
    figure.savefig(path)
