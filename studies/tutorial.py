"""The tutorial, exactly: where its published accuracies lie among many seeds."""

from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np

from stages import COLORS
from stages.history.curves import final_values
from studies.experiments import Outputs, Study
from studies.measures import Analysis, Number, mean_of, reaches, share_of

if TYPE_CHECKING:
    from matplotlib.axes import Axes

WORDS = {"plain": "without batch normalization, [2, 2]", "bn": "with batch normalization, [3, 2]"}
ARMS = {"plain": "baseline", "bn": "bn"}


def analyse(study: Study, outputs: Mapping[str, Outputs]) -> Analysis:
    """Compare the final validation accuracies of all seeds with the published ones."""
    run = outputs["rings"]
    finals = {
        name: final_values(run.history(arm), run.params["lr"])["val_accuracy"].to_numpy() for name, arm in ARMS.items()
    }
    numbers = [
        *(number for name, final in finals.items() for number in _of_arm(name, final, study.published, run.experiment)),
        *_of_pairs(finals["plain"], finals["bn"], study.published, run.experiment),
    ]
    return Analysis(
        numbers,
        lambda axes: _draw(axes, finals, study.published),
        f"{len(finals['bn'])} seeds of each; solid line: published; dashed: a reader's rerun; dotted: our mean",
    )


def _of_arm(name: str, final: np.ndarray, published: Mapping[str, float], experiment: str) -> list[Number]:
    """Return mean and quantiles of an arm's final accuracies (S,), and the share that reaches the published ones."""
    low, median, high = np.quantile(final, [0.025, 0.5, 0.975])
    what = f"final validation accuracy {WORDS[name]}"
    return [
        mean_of(f"{name}_mean", f"{what}, mean", final, experiment),
        Number(f"{name}_low", f"{what}, 2.5% quantile over seeds", float(low), n=len(final), experiments=experiment),
        Number(f"{name}_median", f"{what}, median over seeds", float(median), n=len(final), experiments=experiment),
        Number(f"{name}_high", f"{what}, 97.5% quantile over seeds", float(high), n=len(final), experiments=experiment),
        *(
            share_of(
                f"{prefix}{name}_reached",
                f"share of seeds {WORDS[name]}, that reach {whose} {published[prefix + name]:.2f}",
                reaches(final, published[prefix + name]),
                experiment,
            )
            for prefix, whose in {"": "the published", "reader_": "the reader's"}.items()
        ),
    ]


def _of_pairs(plain: np.ndarray, bn: np.ndarray, published: Mapping[str, float], experiment: str) -> list[Number]:
    gap = round(published["bn"] - published["plain"], 2)
    shares = {
        "gap_reached": (f"at least the published gap of {gap:.2f}", reaches(bn - plain, gap)),
        "no_better": ("an end no better with batch normalization", reaches(plain, bn)),
    }
    return [
        mean_of("gap", "difference of the two, mean", bn - plain, experiment),
        Number(
            "gap_sd",
            "difference of the two, standard deviation over seeds",
            float(np.std(bn - plain, ddof=1)),
            n=len(bn),
            experiments=experiment,
        ),
        *(
            share_of(name, f"share of pairs with {what}", happens, experiment)
            for name, (what, happens) in shares.items()
        ),
    ]


def _draw(axes: "Axes", finals: Mapping[str, np.ndarray], published: Mapping[str, float]) -> None:
    """Draw both distributions, and the published values in the colour of their arm."""
    everything = np.concatenate(list(finals.values()))
    bins = np.arange(np.floor(100 * everything.min()) - 1, np.ceil(100 * everything.max()) + 2, 2) / 100 - 0.005
    for name, final in finals.items():
        color = COLORS[ARMS[name]]
        axes.hist(final, bins, color=color, alpha=0.35, label=WORDS[name])
        axes.axvline(published[name], color=color)
        axes.axvline(published[f"reader_{name}"], color=color, linestyle="--")
        axes.axvline(final.mean(), color=color, linestyle=":")
    axes.set(xlabel="final validation accuracy", ylabel="seeds")
    axes.legend(loc="upper right", edgecolor="none", framealpha=1)
