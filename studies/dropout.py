"""Similar to dropout? Batch normalization, dropout and weight decay on the same networks, where these overfit."""

from collections.abc import Mapping
from itertools import product
from typing import TYPE_CHECKING

import numpy as np

from stages.evidence.endpoints import final_accuracy, generalization_gap
from stages.evidence.trainings import Curves, Sweep
from studies.experiments import Outputs, Study
from studies.measures import Analysis, Number, error_bars, mean_of

if TYPE_CHECKING:
    from matplotlib.axes import Axes

REGIMES = {"moons": "moons, 80 rows", "cancer": "breast cancer, 128 rows"}
METHODS = ("bn", "dropout-20", "dropout-50", "decay")
MEASURES = {
    "gap": "gap between validation and training loss at the end, nats",
    "best": "lowest validation loss of the training, nats",
    "accuracy": "accuracy of the last ten epochs",
}


def analyse(study: Study, outputs: Mapping[str, Outputs]) -> Analysis:
    """Compare each method with the plain network, pair by pair."""
    numbers: list[Number] = []
    for regime, method in product(REGIMES, METHODS):
        run = outputs[f"{regime}-{method}"]
        plain = measure(_curves(outputs[f"{regime}-bn"], "baseline"))
        # Weight decay is the optimizer's: both arms have it, and the arm baseline nothing else.
        found = measure(_curves(run, "baseline" if method == "decay" else "bn"))
        for name, what in MEASURES.items():
            key = f"{regime}_{method.replace('-', '_')}_{name}"
            what = f"{what}: {study.labels[method]} less plain, {REGIMES[regime]}"
            numbers.append(mean_of(key, what, found[name] - plain[name], run.experiment))
    by_name = {number.name: number for number in numbers}
    return Analysis(
        numbers,
        lambda *panels: [_draw(axes, by_name, name, study.labels) for axes, name in zip(panels, MEASURES, strict=True)],
        f"difference from the plain network, mean and 95% interval over {numbers[0].n} pairs",
        panels=len(MEASURES),
    )


def _curves(run: Outputs, arm: str) -> Curves:
    return Sweep.of(run.history(arm)).at(run.params["lr"])


def measure(curves: Curves) -> dict[str, np.ndarray]:
    """Return each of MEASURES, (S,)."""
    return {
        "gap": generalization_gap(curves.train_loss, curves.val_loss),
        "best": curves.val_loss.min(axis=0),
        "accuracy": final_accuracy(curves.val_accuracy),
    }


def _draw(axes: "Axes", found: Mapping[str, Number], name: str, labels: Mapping[str, str]) -> None:
    """Draw what each method changes in one measure, on both data sets."""
    for color, regime in zip(("C0", "C1"), REGIMES, strict=True):
        points = [found[f"{regime}_{method.replace('-', '_')}_{name}"] for method in METHODS]
        values, reach = error_bars(points)
        places = np.arange(len(points)) + (0.15 if regime == "moons" else -0.15)
        axes.errorbar(values, -places, xerr=reach, fmt="o", capsize=3, color=color, label=REGIMES[regime])
    axes.axvline(0, color="gray", linewidth=0.8)
    names = [labels[method] for method in METHODS] if name == "gap" else []
    axes.set_yticks([-place for place in range(len(METHODS))] if names else [], names)
    axes.set_xlabel(MEASURES[name].replace(", nats", "\n(nats)").replace(" of the ", "\nof the "), fontsize=8)
    if name == "best":  # the panel with the most room
        axes.legend(loc="center right", fontsize=7, handletextpad=0, borderaxespad=0.3)
