"""Ioffe & Szegedy (2015, sec. 4.1) on digits: accuracy over steps, and what a sigmoid of the last layer gets.

How stable that is: over which range its median over rows moves, and the width of its band from the 15th to the 85th
percentile, both in units of the band's mean width; over all of the training, and over its last half.
"""

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from stages import ARMS, COLORS
from stages.evidence.endpoints import epochs_to_target, final_accuracy
from stages.evidence.trainings import Sweep
from stages.history.curves import by_epoch_and_seed, final_values
from stages.history.moments import mean_interval
from studies.experiments import Outputs, Study
from studies.measures import LABELS, Analysis, Number, mean_of

if TYPE_CHECKING:
    from matplotlib.axes import Axes

PERCENTILES = ("input_p15", "input_p50", "input_p85")
TARGET = 0.9
MEASURES = {
    "accuracy": "validation accuracy, last 10 epochs",
    "train": "final training accuracy",
    "steps": f"steps to {TARGET:.0%} validation accuracy",
    "median_range": "range of a sigmoid's median input in all epochs, in mean widths of its band",
    "median_range_late": "range of a sigmoid's median input in the last half of them, in mean widths of its band",
    "width_range": "range of the width of its band in all epochs, in its mean width",
    "width_range_late": "range of the width of its band in the last half of them, in its mean width",
}


def analyse(study: Study, outputs: Mapping[str, Outputs]) -> Analysis:
    """Compare accuracy, speed, and stability of the sigmoid's inputs."""
    run = outputs["training"]
    lr, epochs = run.params["lr"], run.params["epochs"]
    steps_per_epoch = math.ceil(len(run.rows("train")) / run.params["batch_size"])
    histories = {arm: run.history(arm) for arm in ARMS}
    curves = {arm: by_epoch_and_seed(history, lr, "val_accuracy") for arm, history in histories.items()}
    units = {arm: _percentiles(run.diagnostics(arm)) for arm in ARMS}
    measured = {
        arm: {
            "accuracy": final_accuracy(curves[arm]),
            "train": final_values(histories[arm], lr)["train_accuracy"].to_numpy(),
            "steps": epochs_to_target(curves[arm], TARGET) * steps_per_epoch,
            **stability(units[arm]),
        }
        for arm in ARMS
    }
    numbers = [
        Number("steps", "steps of training", steps_per_epoch * epochs, experiments=run.experiment),
        *(number for arm in ARMS for number in _of_rates(arm, outputs["rates"])),
        *_of_arms(measured, run.experiment),
    ]
    return Analysis(
        numbers,
        lambda left, *rest: _draw(left, rest, curves, units, steps_per_epoch),
        f"left: mean and 95% band over {curves['bn'].shape[1]} seeds; middle and right: percentiles 15, 50, 85 over"
        " rows of what the last layer's first sigmoid gets, seed 0",
        panels=3,
    )


def _of_arms(measured: Mapping[str, Mapping[str, np.ndarray]], experiment: str) -> list[Number]:
    """Return of each measure (S,) both arms' means, and their difference."""
    numbers = []
    for name, words in MEASURES.items():
        for arm in ARMS:
            numbers.append(mean_of(f"{arm}_{name}", f"{words}, {LABELS[arm]}", measured[arm][name], experiment))
        difference = measured["bn"][name] - measured["baseline"][name]
        numbers.append(mean_of(f"{name}_difference", f"{words}, with less without", difference, experiment))
    return numbers


def stability(unit: np.ndarray) -> dict[str, np.ndarray]:
    """Return the last four of MEASURES, (S,) each, from a unit's percentiles (3, E, S)."""
    low, median, high = unit
    width = high - low
    found = {}
    for name, values in {"median": median, "width": width}.items():
        for when, epochs in {"": values, "_late": values[len(values) // 2 :]}.items():
            found[f"{name}_range{when}"] = np.ptp(epochs, axis=0) / width.mean(axis=0)
    return found


def _percentiles(diagnostics: pd.DataFrame) -> np.ndarray:
    """Return the percentiles of a unit's input from epoch 1 on, (3, E, S)."""
    return np.stack(
        [diagnostics.pivot(index="epoch", columns="seed", values=name).loc[1:].to_numpy() for name in PERCENTILES]
    )


def _of_rates(arm: str, run: Outputs) -> list[Number]:
    sweep = Sweep.of(run.history(arm))
    accuracy = sweep.final_accuracy  # (S, L)
    what = f"validation accuracy {LABELS[arm]} after {run.params['epochs']} epochs at rate"
    return [
        mean_of(f"{arm}_at_{rate:g}".replace(".", "_"), f"{what} {rate:g}", accuracy[:, place], run.experiment)
        for place, rate in enumerate(sweep.rates)
    ]


def _draw(
    left: "Axes",
    rest: "tuple[Axes, ...]",
    curves: Mapping[str, np.ndarray],
    units: Mapping[str, np.ndarray],
    steps_per_epoch: int,
) -> None:
    """Draw accuracy (E, S) of both arms, and per arm the percentiles (3, E, S) of the first seed's unit, over steps."""
    for arm, accuracy in curves.items():
        mean, low, high = mean_interval(accuracy)
        steps = np.arange(1, len(mean)) * steps_per_epoch
        left.fill_between(steps, low[1:], high[1:], color=COLORS[arm], alpha=0.2, linewidth=0)
        left.plot(steps, mean[1:], color=COLORS[arm], label=LABELS[arm])
    left.set(xlabel="steps", ylabel="validation accuracy", xscale="log", xmargin=0.01)
    left.legend(loc="lower right", edgecolor="none", fontsize=7)
    for axes, (arm, unit) in zip(rest, units.items(), strict=True):
        axes.sharey(rest[0])
        low, median, high = unit[:, :, 0]
        steps = np.arange(1, len(median) + 1) * steps_per_epoch
        axes.fill_between(steps, low, high, color=COLORS[arm], alpha=0.2, linewidth=0)
        axes.plot(steps, median, color=COLORS[arm])
        axes.set_title(LABELS[arm], fontsize=9)
        axes.set(xlabel="steps", ylabel="input of a sigmoid", xscale="log", xmargin=0.01)
