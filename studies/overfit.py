"""Where a network can overfit: what batch normalization does to the gap, batch size by batch size.

Batches of different sizes differ in how many there are: the sizes are compared after equally many steps, and after
equally many epochs. One experiment has both, as what comes after an epoch changes nothing before it.
"""

from collections.abc import Mapping, Sequence
from math import ceil
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from stages import ARMS, COLORS
from stages.history.curves import final_values
from stages.history.moments import mean_interval
from studies.experiments import Outputs, Study
from studies.measures import LABELS, Analysis, Number, mean_of, ratio_of, ratio_slope_of, slopes

if TYPE_CHECKING:
    from matplotlib.axes import Axes

ENDPOINTS = {"gap": "validation loss less training loss, nats", "accuracy": "validation accuracy"}
STYLES = {"steps": "-", "epochs": "--"}  # what all batch sizes have had as many of
SUFFIXES = {"steps": "", "epochs": "_epochs"}  # of a number's name


def analyse(study: Study, outputs: Mapping[str, Outputs]) -> Analysis:
    """Compare the arms at every batch size, and the effect of batch normalization across batch sizes."""
    runs = list(outputs.values())
    sizes = [run.params["batch_size"] for run in runs]
    rows, epochs = len(runs[0].rows("train")), runs[0].params["epochs"]
    experiments = " ".join(run.experiment for run in runs)
    histories = [[run.history(arm) for arm in ARMS] for run in runs]
    lr = runs[0].params["lr"]
    numbers = [Number("rows", "training rows", rows, experiments=experiments)]
    values = {}
    for equal in STYLES:
        lasts = last_epochs(equal, sizes, rows, epochs)
        measured = [_measure(of_run, lr, last) for of_run, last in zip(histories, lasts, strict=True)]
        values[equal] = {name: np.stack([of[name] for of in measured]) for name in measured[0]}  # (X, 2, S) each
        numbers += _compare(values[equal], sizes, f"after {epochs} {equal}", SUFFIXES[equal], runs)
    early = _measure(histories[-1], lr, epochs // 4)["gap"]
    what = f"{ENDPOINTS['gap']}, batches of {sizes[-1]}, after {epochs // 4} epochs, with less without"
    numbers.append(mean_of(f"early_{sizes[-1]}", what, early[1] - early[0], runs[-1].experiment))
    return Analysis(
        numbers,
        lambda *panels: [
            _draw(axes, sizes, {f"{epochs} {equal}": values[equal][name] for equal in STYLES}, words)
            for axes, (name, words) in zip(panels, ENDPOINTS.items(), strict=True)
        ],
        f"mean over {early.shape[-1]} paired seeds with its 95% interval; the largest batch is all rows",
        panels=2,
    )


def last_epochs(equal: str, sizes: Sequence[int], rows: int, epochs: int) -> list[int]:
    """Return the epoch to look at for each batch size: the last, or that after as many steps as there are epochs.

    The largest batch is all rows, and takes one step an epoch.
    """
    if max(sizes) != rows:
        raise ValueError(f"largest batch of {max(sizes)} rows: expected all {rows}")
    if equal == "epochs":
        return [epochs] * len(sizes)
    steps_per_epoch = {size: ceil(rows / size) for size in sizes}
    for size, steps in steps_per_epoch.items():
        if epochs % steps:
            raise ValueError(f"batches of {size}: expected {epochs} steps to be whole epochs of {steps} steps")
    return [epochs // steps for steps in steps_per_epoch.values()]


def _measure(histories: Sequence[pd.DataFrame], lr: float, epoch: int) -> dict[str, np.ndarray]:
    """Return the endpoints after an epoch and the training accuracy then, of both arms, (2, S) each."""
    then = [final_values(history[history["epoch"] <= epoch], lr) for history in histories]
    return {
        "gap": np.stack([values["val_loss"] - values["train_loss"] for values in then]),
        "accuracy": np.stack([values["val_accuracy"] for values in then]),
        "train": np.stack([values["train_accuracy"] for values in then]),
    }


def _compare(
    values: Mapping[str, np.ndarray], sizes: Sequence[int], when: str, suffix: str, runs: Sequence[Outputs]
) -> list[Number]:
    """Return of values (X, 2, S) what they are at each batch size, and what a doubling of the batch changes."""
    numbers, words = [], ENDPOINTS | {"train": "training accuracy"}
    for place, (size, run) in enumerate(zip(sizes, runs, strict=True)):
        for name, what in words.items():
            pair, what = values[name][place], f"{what}, batches of {size}, {when}"
            for arm, of_arm in zip(ARMS, pair, strict=True):
                key = f"{arm}_{name}_{size}{suffix}"
                numbers.append(mean_of(key, f"{what}, {LABELS[arm]}", of_arm, run.experiment))
            if name in ENDPOINTS:
                key = f"{name}_{size}{suffix}"
                numbers.append(mean_of(key, f"{what}, with less without", pair[1] - pair[0], run.experiment))
    doublings, experiments = np.log2(sizes), " ".join(run.experiment for run in runs)
    for name, what in ENDPOINTS.items():
        trend = slopes(values[name][:, 1] - values[name][:, 0], doublings)
        what = f"{what}, {when}, with less without: change per doubling of the batch"
        numbers.append(mean_of(f"{name}_trend{suffix}", what, trend, experiments))
    without, with_bn = values["gap"].swapaxes(0, 1)  # (X, S) each
    what = f"share of the gap that batch normalization takes away, {when}"
    for size, run, all_of_it, rest in zip(sizes, runs, without, with_bn, strict=True):
        key = f"share_{size}{suffix}"
        numbers.append(ratio_of(key, f"{what}, batches of {size}", all_of_it - rest, all_of_it, run.experiment))
    key, what = f"share_trend{suffix}", f"{what}: change per doubling of the batch"
    numbers.append(ratio_slope_of(key, what, without - with_bn, without, doublings, experiments))
    return numbers


def _draw(axes: "Axes", sizes: Sequence[int], values: Mapping[str, np.ndarray], label: str) -> None:
    """Draw an endpoint of both arms, (X, 2, S), after equal steps and after equal epochs."""
    for (when, of_both), line in zip(values.items(), STYLES.values(), strict=True):
        for row, arm in enumerate(ARMS):
            mean, low, high = mean_interval(of_both[:, row])  # (X,) each
            axes.errorbar(
                sizes,
                mean,
                [mean - low, high - mean],
                color=COLORS[arm],
                linestyle=line,
                marker=".",
                capsize=3,
                label=f"{LABELS[arm].removesuffix(' batch normalization')}, {when}",
            )
    axes.set_xscale("log", base=2)
    axes.set_xticks(sizes, [str(size) for size in sizes])
    axes.set(xlabel="batch size, rows", ylabel=label)
    axes.legend(loc="best", edgecolor="none", fontsize=8, handlelength=3.5)
