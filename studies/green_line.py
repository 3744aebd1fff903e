"""Where the green line comes from: the third neuron, batch normalization, or the split.

The published gap is that of [3, 2] with batch normalization over [2, 2] without, on the tail split. It takes three
factors to get there: the third neuron, batch normalization, and the tail split instead of a shuffled one. With a set
of them in place, the worth is the gap of the network that has them over the plain [2, 2] on the same split:

    worth(set) = accuracy(width 3 if neuron, batch norm if bn, on tail if split) - accuracy(width 2, plain, on the same)

so that the split alone is worth nothing, and all three the published gap. Each factor's contribution is its Shapley
value, what it adds on average over the six orders in which they can be put in place (Shapley 1953; Shorrocks 2013):
the split's is how much it enlarges what the other two bring. Contributions are means over seeds, and add up to the gap.
On the tail split alone, which is all that the tutorial shows, the third neuron and batch normalization share the gap.
"""

from collections.abc import Mapping
from itertools import chain, combinations
from typing import TYPE_CHECKING

import numpy as np

from stages import COLORS
from stages.evidence.curves import final_values
from stages.evidence.paired import mean_interval
from studies.experiments import Outputs, Study
from studies.measures import LABELS, Analysis, Number, mean_of, ratio_of, shapley

if TYPE_CHECKING:
    from matplotlib.axes import Axes

FACTORS = {"neuron": "the third neuron", "bn": "batch normalization", "split": "the tail split"}
ARMS = {False: "baseline", True: "bn"}
Cell = tuple[int, bool, str]  # width of the first layer, batch normalization, split


def analyse(study: Study, outputs: Mapping[str, Outputs]) -> Analysis:
    """Split the gap into the contributions of the three factors."""
    cells: dict[Cell, np.ndarray] = {}
    numbers: list[Number] = []
    for run in outputs.values():
        width, split = run.params["model"]["hidden"][0], run.params["data"]["split"]
        for batch_norm, arm in ARMS.items():
            final = final_values(run.history(arm), run.params["lr"])["val_accuracy"].to_numpy()
            cells[width, batch_norm, split] = final
            what = f"final validation accuracy, {_in_words(width, batch_norm, split)}"
            numbers.append(mean_of(f"{arm}_{width}_{split}", what, final, run.experiment))
    worth = worth_of_factors(cells)
    parts, gap = shapley(list(FACTORS), worth), worth[frozenset(FACTORS)]
    experiments = " ".join(run.experiment for run in outputs.values())
    gaps = {"neuron_alone": (3, False), "bn_alone": (2, True), "gap": (3, True)}
    for split in ("tail", "shuffled"):
        runs = " ".join(run.experiment for run in outputs.values() if run.params["data"]["split"] == split)
        for name, there in gaps.items():
            what = f"gap of {_in_words(*there, split)} over {_in_words(2, False, split)}"
            difference = cells[*there, split] - cells[2, False, split]
            numbers.append(mean_of(f"{name}_{split}", what, difference, runs))
    alone = {factors - {"split"}: value for factors, value in worth.items() if "split" in factors}
    runs = " ".join(run.experiment for run in outputs.values() if run.params["data"]["split"] == "tail")
    for factor, part in shapley(["neuron", "bn"], alone).items():
        words = FACTORS[factor]
        numbers.append(mean_of(f"{factor}_tail", f"contribution of {words} to the gap on the tail split", part, runs))
        what = f"share of {words} in the gap on the tail split"
        numbers.append(ratio_of(f"{factor}_tail_share", what, part, gap, runs))
    for factor, words in FACTORS.items():
        numbers.append(mean_of(factor, f"contribution of {words} to the gap", parts[factor], experiments))
        numbers.append(ratio_of(f"{factor}_share", f"share of {words} in the gap", parts[factor], gap, experiments))
    return Analysis(
        numbers,
        lambda left, right: (_draw_cells(left, cells), _draw_parts(right, parts, gap)),
        f"mean over {len(gap)} seeds with its 95% interval, one shuffled split; right: Shapley values of three factors",
        panels=2,
    )


def worth_of_factors(cells: Mapping[Cell, np.ndarray]) -> dict[frozenset[str], np.ndarray]:
    """Return the worth of every set of factors, (S,) each, from the accuracies of the eight kinds of network."""
    sets = chain.from_iterable(combinations(FACTORS, size) for size in range(len(FACTORS) + 1))
    worth = {}
    for chosen in map(frozenset, sets):
        split = "tail" if "split" in chosen else "shuffled"
        there = cells[3 if "neuron" in chosen else 2, "bn" in chosen, split]
        worth[chosen] = there - cells[2, False, split]
    return worth


def _in_words(width: int, batch_norm: bool, split: str) -> str:
    return f"[{width}, 2] {LABELS[ARMS[batch_norm]]}, {split} split"


def _draw_cells(axes: "Axes", cells: Mapping[Cell, np.ndarray]) -> None:
    """Draw the mean accuracy of the eight kinds of network."""
    places = {(width, split): place for place, (width, _, split) in enumerate(list(cells)[::2])}
    for batch_norm, arm in ARMS.items():
        for (width, split), place in places.items():
            mean, low, high = mean_interval(cells[width, batch_norm, split])
            label = LABELS[arm] if place == 0 else None
            axes.errorbar(
                place, mean, [[mean - low], [high - mean]], color=COLORS[arm], marker="o", capsize=3, label=label
            )
    axes.set_xticks(list(places.values()), [f"[{width}, 2]\n{split}" for width, split in places])
    axes.set(xmargin=0.15, ylabel="final validation accuracy")
    axes.legend(loc="best", edgecolor="none", fontsize=8)


def _draw_parts(axes: "Axes", parts: Mapping[str, np.ndarray], gap: np.ndarray) -> None:
    """Draw the contributions, and the gap that they add up to."""
    bars = {**{FACTORS[factor]: part for factor, part in parts.items()}, "the gap": gap}
    for place, values in enumerate(bars.values()):
        mean, low, high = mean_interval(values)
        color = "dimgray" if place == len(parts) else "lightgray"
        axes.bar(place, mean, color=color)
        axes.errorbar(place, mean, [[mean - low], [high - mean]], color="black", capsize=3)
    axes.axhline(0, color="black", linewidth=0.8)
    axes.set_xticks(range(len(bars)), [words.replace(" ", "\n") for words in bars])
    axes.set_ylabel("validation accuracy")
