"""The second tutorial: where its published accuracies lie among many seeds, and how soon 80% is passed."""

from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from stages import COLORS
from stages.evidence.endpoints import epochs_to_target
from stages.history.curves import by_epoch_and_seed, final_values
from stages.history.moments import mean_interval
from studies.experiments import Outputs, Study
from studies.measures import Analysis, Number, bayes_accuracy_of_circles, circle_densities, mean_of, reaches, share_of

if TYPE_CHECKING:
    from matplotlib.axes import Axes

TARGET = 0.8
ARMS = {"none": ("after", "baseline"), "after": ("after", "bn"), "before": ("before", "bn")}  # variant, arm
WORDS = {
    "none": "without batch normalization",
    "after": "with batch normalization after the activation",
    "before": "with batch normalization before the activation",
}
STYLES = {
    "none": {"color": COLORS["baseline"]},
    "after": {"color": COLORS["bn"]},
    "before": {"color": "limegreen", "linestyle": "--"},
}


def analyse(study: Study, outputs: Mapping[str, Outputs]) -> Analysis:
    """Compare the accuracies of all seeds with the published ones and with the best possible."""
    params, rows = outputs["after"].params, outputs["after"].rows("val")
    lr, noise = params["lr"], params["data"]["noise"]
    limit = bayes_accuracy_of_circles(noise)
    numbers = [
        Number("limit", "Bayes limit: the best accuracy that any classifier can expect", limit),
        Number("limit_here", "what the classifier that reaches it has on these test rows", _best_accuracy(rows, noise)),
    ]
    curves, finals, times = {}, {}, {}
    for name, (variant, arm) in ARMS.items():
        history, experiment = outputs[variant].history(arm), outputs[variant].experiment
        curves[name] = by_epoch_and_seed(history, lr, "val_accuracy")
        final = final_values(history, lr)
        finals[name], times[name] = final["val_accuracy"].to_numpy(), epochs_to_target(curves[name], TARGET)
        for part, values in {"train": final["train_accuracy"].to_numpy(), "test": finals[name]}.items():
            numbers += _of_accuracy(f"{name}_{part}", f"{part} accuracy {WORDS[name]}", values, study, experiment)
        what = f"epochs to {TARGET:.0%} test accuracy {WORDS[name]}, mean"
        numbers.append(mean_of(f"{name}_epochs", what, times[name], experiment))
    for name, time, sign in (("after", "sooner", -1), ("before", "later", 1)):
        gain, delay, experiment = finals[name] - finals["none"], times[name] - times["none"], outputs[name].experiment
        what = f"epochs {time} at {TARGET:.0%} test accuracy {WORDS[name]}"
        numbers.append(mean_of(f"{name}_gain", f"test accuracy {WORDS[name]}, less without", gain, experiment))
        numbers.append(mean_of(f"{name}_{time}", what, sign * delay, experiment))
    return Analysis(
        numbers,
        lambda left, right: (_draw_curves(left, curves, limit), _draw_finals(right, finals, study.published, limit)),
        f"{len(finals['none'])} seeds; left: mean and 95% band; right: a dot is a seed, the diamond the published run",
        panels=2,
    )


def _best_accuracy(rows: pd.DataFrame, noise: float) -> float:
    """Return the accuracy on these rows of the classifier that is the best one on all such rows."""
    guess = circle_densities(np.hypot(rows["x1"], rows["x2"]).to_numpy(), noise).argmax(axis=0)
    return float((guess == rows["label"]).mean())


def _of_accuracy(name: str, what: str, values: np.ndarray, study: Study, experiment: str) -> list[Number]:
    """Return the mean of an accuracy (S,), and the share of seeds that reach the published one."""
    published = study.published[name]
    share = f"share of seeds whose {what} reaches the published {published:.3f}"
    return [
        mean_of(name, f"{what}, mean", values, experiment),
        share_of(f"{name}_reached", share, reaches(values, published), experiment),
    ]


def _draw_curves(axes: "Axes", curves: Mapping[str, np.ndarray], limit: float) -> None:
    """Draw test accuracy over epochs, (E, S) each."""
    for name, accuracy in curves.items():
        mean, low, high = mean_interval(accuracy)
        axes.fill_between(range(len(mean)), low, high, color=STYLES[name]["color"], alpha=0.2, linewidth=0)
        axes.plot(mean, label=WORDS[name], **STYLES[name])
    axes.axhline(limit, color="gray", linestyle=":", label="Bayes limit")
    axes.set(xlabel="epoch", ylabel="test accuracy", xmargin=0.01)
    axes.legend(loc="lower right", edgecolor="none", fontsize=8)


def _draw_finals(axes: "Axes", tests: Mapping[str, np.ndarray], published: Mapping[str, float], limit: float) -> None:
    """Draw every seed's test accuracy after the last epoch, (S,) each, and the published one."""
    random = np.random.default_rng(0)
    for place, (name, values) in enumerate(tests.items()):
        spread = place + random.uniform(-0.25, 0.25, len(values))
        axes.scatter(spread, values, s=8, color=STYLES[name]["color"], alpha=0.4, linewidths=0)
        axes.scatter([place], [published[f"{name}_test"]], s=60, marker="D", color="red", edgecolors="black", zorder=3)
    axes.axhline(limit, color="gray", linestyle=":")
    axes.set_xticks(range(len(tests)), ["without", "after the\nactivation", "before the\nactivation"])
    axes.set_ylabel("test accuracy after the last epoch")
