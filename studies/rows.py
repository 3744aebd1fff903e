"""Which rows? The default experiment on many draws of the rows: what varies between draws, and what between networks.

The seeds are the same on every draw, so that the differences d_ij of pair j on draw i are a two-way table:

    d_ij = mean + draw_i + pair_j + rest_ij

Each part has a variance, estimated from mean squares (a two-way random-effects analysis of variance without
replication; Searle, Casella & McCulloch 1992, ch. 4), at least 0.
"""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from stages import ARMS
from stages.evidence import endpoints
from stages.evidence.claims import CLAIMS
from stages.evidence.trainings import Sweep
from stages.evidence.verdicts import HOLDS, SUPPORTED
from studies.experiments import Outputs, Study
from studies.measures import RESAMPLES, Analysis, Number, majority_of, share_of

if TYPE_CHECKING:
    from matplotlib.axes import Axes

SHOWN = {"higher_accuracy": "difference in accuracy", "faster_training": "difference in epochs"}
PARTS = {"data": "between draws", "seeds": "between pairs, on all draws alike", "rest": "of a pair on one draw"}


def analyse(study: Study, outputs: Mapping[str, Outputs]) -> Analysis:
    """Return the variances of each claim's differences, and on how many draws it is supported, and holds."""
    tables = [run.claims().set_index("name") for run in outputs.values()]
    experiments = " ".join(run.experiment for run in outputs.values())
    numbers = [Number("data", "draws of the rows", len(tables), experiments=experiments)]
    for claim in CLAIMS:
        numbers += _count_verdicts(claim.name, [table.loc[claim.name] for table in tables], experiments)
    of_draws = [_differences(run) for run in outputs.values()]
    for claim in of_draws[0]:
        numbers += _split_variance(claim, np.stack([differences[claim] for differences in of_draws]), experiments)
    return Analysis(
        numbers,
        lambda *panels: [
            _draw(axes, [table.loc[name] for table in tables], words)
            for axes, (name, words) in zip(panels, SHOWN.items(), strict=True)
        ],
        f"a line per draw of the rows: mean over {int(tables[0]['n'].max())} pairs and its 95% interval, same rate",
        panels=2,
    )


def _count_verdicts(claim: str, rows: Sequence[pd.Series], experiments: str) -> list[Number]:
    """Return on which share of the draws, a row of claims.csv each, a claim is supported, and holds."""
    supported = np.array([row["verdict"] == SUPPORTED for row in rows])
    holds = np.array([row["summary"] == HOLDS for row in rows])
    what = f"{claim}: share of draws on which it"
    return [
        share_of(f"{claim}_supported", f"{what} is supported at the same rate", supported, experiments),
        share_of(f"{claim}_holds", f"{what} holds in all readings", holds, experiments),
    ]


def _differences(run: Outputs) -> dict[str, np.ndarray]:
    """Return bn - baseline of each pair at the same rate, (S,), by claim: of those that the curves decide."""
    pair = [Sweep.of(run.history(arm)).at(run.params["lr"]) for arm in ARMS]
    target = endpoints.shared_target(*(curves.val_accuracy for curves in pair), majority_of(run))
    found = []
    for curves in pair:
        found.append(
            {
                "faster_training": endpoints.epochs_to_target(curves.val_accuracy, target),
                "higher_accuracy": endpoints.final_accuracy(curves.val_accuracy),
                "steadier": endpoints.fluctuation(curves.val_accuracy, curves.val_loss),
                "regularizes": endpoints.generalization_gap(curves.train_loss, curves.val_loss),
            }
        )
    without, with_bn = found
    return {claim: with_bn[claim] - without[claim] for claim in without}


def _split_variance(claim: str, differences: np.ndarray, experiments: str) -> list[Number]:
    """Return the standard deviation of each part of differences (D, S), and the draw's share in the whole variance."""
    draws, pairs = differences.shape
    parts = variances(differences)
    numbers = []
    for (name, words), part in zip(PARTS.items(), parts, strict=True):
        what = f"{claim}: standard deviation {words}"
        numbers.append(Number(f"{claim}_sd_{name}", what, part**0.5, n=pairs, experiments=experiments))
    drawn = np.random.default_rng(0).integers(draws, size=(RESAMPLES // 10, draws))
    resampled = np.array([variances(differences[draw]) for draw in drawn])
    low, high = np.quantile(resampled[:, 0] / resampled.sum(axis=1), [0.025, 0.975])
    what = f"{claim}: share of the draw in the variance of a single pair on a single draw"
    share = float(parts[0] / sum(parts))
    return [*numbers, Number(f"{claim}_share", what, share, float(low), float(high), draws, experiments)]


def variances(differences: np.ndarray) -> tuple[float, float, float]:
    """Return the variances between draws, between pairs and of the rest, from differences (D, S)."""
    draws, pairs = differences.shape
    of_draw = differences.mean(axis=1, keepdims=True)
    of_pair = differences.mean(axis=0, keepdims=True)
    rest = differences - of_draw - of_pair + differences.mean()
    mean_square = float((rest**2).sum() / ((draws - 1) * (pairs - 1)))
    between_draws = float(of_draw.var(ddof=1)) - mean_square / pairs
    between_pairs = float(of_pair.var(ddof=1)) - mean_square / draws
    return max(0.0, between_draws), max(0.0, between_pairs), mean_square


def _draw(axes: "Axes", rows: Sequence[pd.Series], label: str) -> None:
    """Draw the estimate of every draw with its interval, in order."""
    ranked = sorted(rows, key=lambda row: row["estimate"])
    for place, row in enumerate(ranked):
        color = "green" if row["verdict"] == SUPPORTED else "gray"
        axes.plot([row["ci_low"], row["ci_high"]], [place, place], color=color, linewidth=1.5)
        axes.plot(row["estimate"], place, "o", color=color, markersize=4)
    axes.axvline(0, color="black", linewidth=0.8)
    axes.set(xlabel=f"{label} (green: supported)", yticks=[], ylabel="draws of the rows")
