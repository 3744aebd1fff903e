"""Especially in deep networks? Depth by initialization by placement: gain, share that trains, gradients, and verdicts.

Every network has its own best rate: that of the other half of the seeds, as in the reading of that name.
"""

from collections.abc import Mapping
from itertools import product
from math import pi
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from stages import ARMS
from stages.evidence.claims import CLAIMS
from stages.evidence.trainings import Sweep
from studies.experiments import Outputs, Study
from studies.measures import (
    Analysis,
    Number,
    accuracy_at_best_rates,
    claim_number,
    error_bars,
    mean_of,
    share_of,
    slopes,
)

if TYPE_CHECKING:
    from matplotlib.axes import Axes

DEPTHS = (1, 2, 4, 8, 16)
DEEP = (4, 8, 16)  # with layers of one shape between the first and the last
INITS = ("pytorch", "he")
PLACES = ("after", "before")
CHANCE = 0.1  # of ten classes
LEARNED = 2 * CHANCE  # a network that ends below has not learned
STYLES = {("pytorch", "after"): "-", ("pytorch", "before"): "--", ("he", "after"): "-.", ("he", "before"): ":"}
LABELS = {"pytorch": "init of PyTorch", "he": "He's init", "after": "after the activation", "before": "before it"}


def analyse(study: Study, outputs: Mapping[str, Outputs]) -> Analysis:
    """Return for each setting what depth does to gain, training, gradients and summaries."""
    numbers: list[Number] = []
    for init, place, depth in product(INITS, PLACES, DEPTHS):
        run = outputs[f"{init}-{place}-{depth}"]
        where = f"depth {depth}, {LABELS[init]}, {LABELS[place]}"
        numbers += _of_setting(f"{init}_{place}_{depth}", where, run, depth)
    found = {number.name: number for number in numbers}
    return Analysis(
        numbers,
        lambda gain, growth: [_draw_gains(gain, found), _draw_growth(growth, found)],
        f"means of {found['pytorch_after_1'].n} pairs, 95% intervals; left: at own best rates; right: first step",
        panels=2,
    )


def _of_setting(key: str, where: str, run: Outputs, depth: int) -> list[Number]:
    """Return the numbers of one experiment."""
    numbers = [claim_number(key, f"gain in accuracy at best rates, {where}", run, "higher_accuracy", "best_rate")]
    for arm in ARMS:
        accuracy = accuracy_at_best_rates(Sweep.of(run.history(arm)))
        label = "with" if arm == "bn" else "without"
        what = f"share of networks that learn, {label}, {where}"
        numbers.append(share_of(f"{key}_{arm}_learned", what, accuracy >= LEARNED, run.experiment))
        if depth in DEEP:
            growth = gradient_growth(run.diagnostics(arm), depth)
            alive = growth[np.isfinite(growth)]  # behind a dead layer there is no gradient
            what = f"squared gradient norm, growth per layer towards the input in the first step, {label}, {where}"
            numbers.append(mean_of(f"{key}_{arm}_growth", what, alive, run.experiment))
    table = run.claims().set_index("name")
    for claim in CLAIMS:
        found = table.loc[claim.name]
        what = f"{claim.name} in all readings, {where}"
        numbers.append(
            Number(
                f"{key}_{claim.name}",
                what,
                float("nan"),
                n=int(found["n"]),
                experiments=run.experiment,
                verdict=str(found["summary"]),
            )
        )
    return numbers


def gradient_growth(diagnostics: pd.DataFrame, depth: int) -> np.ndarray:
    """Return the factor by which the squared norm of the gradient grows per layer towards the input, (S,).

    In the first step, and over the dense layers of one shape: the second to the last hidden one. The slope is that of
    least squares on the logarithm.
    """
    first = diagnostics[diagnostics["epoch"] == 1]
    layers = range(2, depth + 1)
    logs = first[[f"layer_gradient_{layer}" for layer in layers]].to_numpy().T  # (layers, S)
    return 10 ** (-2 * slopes(logs, layers))


def summary_table(study: Study, numbers: Mapping[str, Number]) -> str:
    """Return in Markdown how each claim fares with depth, with the init of PyTorch, after the activation."""
    lines = [f"| {numbers['pytorch_after_1'].n} pairs each | {' | '.join(f'depth {depth}' for depth in DEPTHS)} |"]
    lines.append("|---" * (len(DEPTHS) + 1) + "|")
    for claim in CLAIMS:
        summaries = [numbers[f"pytorch_after_{depth}_{claim.name}"].verdict for depth in DEPTHS]
        lines.append(f"| {claim.name.replace('_', ' ')} | {' | '.join(summaries)} |")
    return "\n".join(lines)


def _draw_gains(axes: "Axes", found: Mapping[str, Number]) -> None:
    """Draw the gain at best rates over depth, a line for each init and placement."""
    for (init, place), style in STYLES.items():
        points = [found[f"{init}_{place}_{depth}"] for depth in DEPTHS]
        _draw_line(axes, points, f"{LABELS[init]}, {LABELS[place]}", color="green", linestyle=style)
    axes.axhline(0, color="gray", linewidth=0.8)
    axes.set_ylabel("gain in validation accuracy")
    axes.legend(loc="best", fontsize=7, edgecolor="none", handlelength=4)


def _draw_growth(axes: "Axes", found: Mapping[str, Number]) -> None:
    """Draw over depth how the squared norm of the gradient grows per layer, before training, and the constant."""
    label = "with: as on the left"
    for (init, place), style in STYLES.items():
        points = [found[f"{init}_{place}_{depth}_bn_growth"] for depth in DEEP]
        _draw_line(axes, points, label, color="green", linestyle=style)
        label = ""  # once is enough
    for init in INITS:
        points = [found[f"{init}_after_{depth}_baseline_growth"] for depth in DEEP]
        _draw_line(axes, points, f"without, {LABELS[init]}", color="black", linestyle=STYLES[init, "after"])
    axes.axhline(pi / (pi - 1), color="gray", linewidth=0.8, label="pi / (pi - 1)")
    axes.set_yscale("log")
    axes.set_ylabel("growth of the squared gradient norm per layer")
    axes.legend(loc="lower left", fontsize=7, edgecolor="none", handlelength=4)


def _draw_line(axes: "Axes", points: list[Number], label: str, **style: str) -> None:
    values, reach = error_bars(points)
    axes.errorbar(DEPTHS[-len(points) :], values, reach, label=label, capsize=2, marker=".", **style)
    axes.set_xscale("log", base=2)
    axes.set_xticks(DEPTHS, [str(depth) for depth in DEPTHS])
    axes.set_xlabel("hidden layers")
