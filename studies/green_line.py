"""Where the green line comes from: the third neuron, batch normalization, or the split.

The published gap is that of [3, 2] with batch normalization over [2, 2] without, on the tail split. It takes three
factors to get there: the third neuron, batch normalization, and the tail split instead of a shuffled one. With a set
of them in place, the worth is the gap of the network that has them over the plain [2, 2] on the same split:

    worth(set) = accuracy(width 3 if neuron, batch norm if bn, on tail if split) - accuracy(width 2, plain, on the same)

so that the split alone is worth nothing, and all three the published gap. Each factor's contribution is its Shapley
value, what it adds on average over the six orders in which they can be put in place (Shapley 1953; Shorrocks 2013):
the split's is how much it enlarges what the other two bring. They are means over seeds and shuffles, and add up to the
gap. On the tail split alone, which is all that the tutorial shows, the third neuron and batch normalization share it.

The tail split is one, shuffled splits are many: the same rows are shuffled several times. What is measured on shuffled
splits is a mean over shuffles and seeds, and its interval is over both; on the tail split both are over seeds.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import chain, combinations, product
from typing import TYPE_CHECKING

import numpy as np

from stages import COLORS
from stages.history.curves import final_values
from studies.experiments import Outputs, Study
from studies.measures import LABELS, Analysis, Number, crossed_mean_of, mean_of, ratio_of, shapley

if TYPE_CHECKING:
    from matplotlib.axes import Axes

FACTORS = {"neuron": "the third neuron", "bn": "batch normalization", "split": "the tail split"}
ARMS = {False: "baseline", True: "bn"}
SPLITS = ("tail", "shuffled")
WIDTHS = (2, 3)
GAPS = {"neuron_alone": (3, False), "bn_alone": (2, True), "gap": (3, True)}  # over [2, 2] without
Cell = tuple[int, bool, str]  # width of the first layer, batch normalization, split
Names = Mapping[tuple[int, str], str]  # experiments by width and split
Cells = Mapping[Cell, np.ndarray]  # accuracies: (S,) on the tail split, (K, S) on K shuffled splits


def analyse(study: Study, outputs: Mapping[str, Outputs]) -> Analysis:
    """Split the gap into the contributions of the three factors."""
    runs = list(outputs.values())
    cells = _read_cells(runs)
    names = {kind: " ".join(run.experiment for run in runs if _kind(run) == kind) for kind in product(WIDTHS, SPLITS)}
    by_shuffle = (cells[3, True, "shuffled"] - cells[2, False, "shuffled"]).mean(axis=1)  # (K,)
    numbers = [
        *_of_split("tail", mean_of, cells, names),
        *_of_split("shuffled", crossed_mean_of, cells, names),
        *_of_shuffles(by_shuffle, _both(names, "shuffled")),
        *_of_factors(worth_of_factors(cells), names),
    ]
    found = {number.name: number for number in numbers}
    n = found["gap_tail"].n
    return Analysis(
        numbers,
        lambda left, right: (_draw_cells(left, found, cells), _draw_parts(right, found, by_shuffle)),
        f"mean over {n} seeds with its 95% interval; shuffled: over {len(by_shuffle)} shuffles too, a dot for each",
        panels=2,
    )


def _of_split(split: str, mean: Callable[..., Number], cells: Cells, names: Names) -> Iterator[Number]:
    """Return the accuracies on a split, and the gaps over the plain [2, 2]."""
    for width, batch_norm in product(WIDTHS, ARMS):
        what = f"final validation accuracy, {_in_words(width, batch_norm, split)}"
        yield mean(f"{ARMS[batch_norm]}_{width}_{split}", what, cells[width, batch_norm, split], names[width, split])
    for name, there in GAPS.items():
        what = f"gap of {_in_words(*there, split)} over {_in_words(2, False, split)}"
        yield mean(f"{name}_{split}", what, cells[*there, split] - cells[2, False, split], _both(names, split))


def _of_shuffles(gaps: np.ndarray, experiments: str) -> Iterator[Number]:
    """Return how many shuffles there are, and the ends of their gaps (K,)."""
    yield Number("shuffles", "shuffles of the rows", len(gaps), experiments=experiments)
    what = f"gap of {_in_words(*GAPS['gap'], 'shuffled')} over {_in_words(2, False, 'shuffled')}"
    for name, gap in {"smallest": gaps.min(), "largest": gaps.max()}.items():
        yield Number(f"gap_{name}", f"{what}: the {name} on one shuffle", float(gap), experiments=experiments)


def _of_factors(worth: Mapping[frozenset[str], np.ndarray], names: Names) -> Iterator[Number]:
    """Return the contributions to the gap: of two factors on the tail split alone, and of all three."""
    tail, shuffled = (_both(names, split) for split in SPLITS)
    alone = {factors - {"split"}: value for factors, value in worth.items() if "split" in factors}
    for factor, part in shapley(["neuron", "bn"], alone).items():
        what = f"contribution of {FACTORS[factor]} to the gap on the tail split"
        yield mean_of(f"{factor}_tail", what, part, tail)
        what = f"share of {FACTORS[factor]} in the gap on the tail split"
        yield ratio_of(f"{factor}_tail_share", what, part, worth[frozenset(FACTORS)], tail)
    for factor, part in shapley(list(FACTORS), worth).items():
        what = f"contribution of {FACTORS[factor]} to the gap, of three factors"
        yield crossed_mean_of(factor, what, part, f"{tail} {shuffled}")


def _read_cells(runs: Sequence[Outputs]) -> dict[Cell, np.ndarray]:
    """Return the final accuracies of the eight kinds of network."""
    found: dict[Cell, list[np.ndarray]] = {}
    for run in sorted(runs, key=lambda run: run.params["data"]["seed"]):
        width, split = _kind(run)
        for batch_norm, arm in ARMS.items():
            final = final_values(run.history(arm), run.params["lr"])["val_accuracy"].to_numpy()
            found.setdefault((width, batch_norm, split), []).append(final)
    return {cell: np.stack(finals) if cell[-1] == "shuffled" else finals[0] for cell, finals in found.items()}


def worth_of_factors(cells: Cells) -> dict[frozenset[str], np.ndarray]:
    """Return the worth of every set of factors, (S,) or (K, S), from the accuracies of the eight kinds of network."""
    sets = chain.from_iterable(combinations(FACTORS, size) for size in range(len(FACTORS) + 1))
    worth = {}
    for chosen in map(frozenset, sets):
        split = "tail" if "split" in chosen else "shuffled"
        there = cells[3 if "neuron" in chosen else 2, "bn" in chosen, split]
        worth[chosen] = there - cells[2, False, split]
    return worth


def _kind(run: Outputs) -> tuple[int, str]:
    return run.params["model"]["hidden"][0], run.params["data"]["split"]


def _both(names: Names, split: str) -> str:
    return " ".join(names[width, split] for width in WIDTHS)


def _in_words(width: int, batch_norm: bool, split: str) -> str:
    return f"[{width}, 2] {LABELS[ARMS[batch_norm]]}, {split} split"


def _draw_cells(axes: "Axes", found: Mapping[str, Number], cells: Cells) -> None:
    """Draw the mean accuracy of the eight kinds of network."""
    places = {cell: place for place, cell in enumerate(product(SPLITS, WIDTHS))}
    for batch_norm, arm in ARMS.items():
        for (split, width), place in places.items():
            label = LABELS[arm] if place == 0 else None
            _draw_mean(axes, place, found[f"{arm}_{width}_{split}"], COLORS[arm], marker="o", label=label)
            if split == "shuffled":
                _draw_dots(axes, place, cells[width, batch_norm, split].mean(axis=1), COLORS[arm])
    axes.set_xticks(list(places.values()), [f"[{width}, 2]\n{split}" for split, width in places])
    axes.set(xmargin=0.15, ylabel="final validation accuracy")
    axes.legend(loc="best", edgecolor="none", fontsize=8)


def _draw_parts(axes: "Axes", found: Mapping[str, Number], by_shuffle: np.ndarray) -> None:
    """Draw the two contributions, the gap on the tail split that they add up to, and the gap on shuffled splits."""
    bars = {
        f"third\nneuron\n{found['neuron_tail_share'].value:.0%}": (found["neuron_tail"], "lightgray"),
        f"batch\nnorm\n{found['bn_tail_share'].value:.0%}": (found["bn_tail"], "lightgray"),
        "their\ngap,\ntail": (found["gap_tail"], "darkgray"),
        "the same\ngap,\nshuffled": (found["gap_shuffled"], "darkgray"),
    }
    for place, (number, color) in enumerate(bars.values()):
        axes.bar(place, number.value, color=color)
        _draw_mean(axes, place, number, "black")
    _draw_dots(axes, len(bars) - 1, by_shuffle, "black")
    axes.set_xticks(range(len(bars)), list(bars))
    axes.set_ylabel("gap in final validation accuracy")


def _draw_mean(axes: "Axes", place: float, number: Number, color: str, **style: object) -> None:
    reach = [[number.value - number.ci_low], [number.ci_high - number.value]]
    axes.errorbar(place, number.value, reach, color=color, capsize=3, **style)


def _draw_dots(axes: "Axes", place: float, values: np.ndarray, color: str) -> None:
    axes.plot(np.full(len(values), place + 0.22), values, ".", color=color, markersize=4)
