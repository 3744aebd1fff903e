"""Which rows? The default experiment on many draws of the rows: what varies between draws, what between seeds.

On draw i the mean over pairs is m_i with standard error s_i. Between pairs the variance is the mean of n * s_i ** 2;
between draws it is the variance of m_i less the mean of s_i ** 2, at least 0 (a random-effects model by moments).
"""

from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np
from scipy.special import stdtrit

from stages.evidence.claims import CLAIMS
from stages.evidence.verdicts import HOLDS, SUPPORTED
from studies.experiments import Outputs, Study
from studies.measures import RESAMPLES, Analysis, Number, share_of

if TYPE_CHECKING:
    from matplotlib.axes import Axes

SHOWN = {"higher_accuracy": "difference in accuracy", "faster_training": "difference in epochs"}


def analyse(study: Study, outputs: Mapping[str, Outputs]) -> Analysis:
    """Return the two variances of each claim, and on how many draws it is supported, and holds."""
    tables = [run.claims().set_index("name") for run in outputs.values()]
    experiments = " ".join(run.experiment for run in outputs.values())
    numbers = [Number("data", "draws of the rows", len(tables), experiments=experiments)]
    for claim in CLAIMS:
        rows = [table.loc[claim.name] for table in tables]
        numbers += _of_claim(claim.name, rows, experiments)
    return Analysis(
        numbers,
        lambda *panels: [
            _draw(axes, [table.loc[name] for table in tables], words)
            for axes, (name, words) in zip(panels, SHOWN.items(), strict=True)
        ],
        f"a line per draw of the rows: mean over {int(tables[0]['n'].max())} pairs and its 95% interval, same rate",
        panels=2,
    )


def _of_claim(claim: str, rows: list, experiments: str) -> list[Number]:
    supported = np.array([row["verdict"] == SUPPORTED for row in rows])
    holds = np.array([row["summary"] == HOLDS for row in rows])
    numbers = [
        share_of(
            f"{claim}_supported", f"{claim}: draws on which it is supported at the same rate", supported, experiments
        ),
        share_of(f"{claim}_holds", f"{claim}: draws on which it holds in all readings", holds, experiments),
    ]
    measured = [row for row in rows if row["n"] > 1]
    if len(measured) < 2:
        return numbers
    means = np.array([row["estimate"] for row in measured])
    pairs = int(measured[0]["n"])
    errors = np.array([(row["ci_high"] - row["estimate"]) / stdtrit(row["n"] - 1, 0.975) for row in measured])
    data, seeds = variances(means, errors, pairs)
    drawn = np.random.default_rng(0).integers(len(means), size=(RESAMPLES, len(means)))
    resampled = np.array([variances(means[draw], errors[draw], pairs) for draw in drawn])
    shares = resampled[:, 0] / resampled.sum(axis=1)
    low, high = np.quantile(shares, [0.025, 0.975])
    what = f"{claim}: standard deviation"
    return [
        *numbers,
        Number(f"{claim}_sd_data", f"{what} between draws", data**0.5, n=len(means), experiments=experiments),
        Number(f"{claim}_sd_seeds", f"{what} between pairs on one draw", seeds**0.5, n=pairs, experiments=experiments),
        Number(
            f"{claim}_share",
            f"{claim}: share of the draw in the variance of one pair",
            float(data / (data + seeds)),
            float(low),
            float(high),
            len(means),
            experiments,
        ),
    ]


def variances(means: np.ndarray, errors: np.ndarray, pairs: int) -> tuple[float, float]:
    """Return the variance between draws and that between pairs, from the means and standard errors of draws (D,)."""
    of_error = float(np.mean(errors**2))
    return max(0.0, float(means.var(ddof=1)) - of_error), pairs * of_error


def _draw(axes: "Axes", rows: list, label: str) -> None:
    """Draw the estimate of every draw with its interval, in order."""
    ranked = sorted(rows, key=lambda row: row["estimate"])
    for place, row in enumerate(ranked):
        color = "green" if row["verdict"] == SUPPORTED else "gray"
        axes.plot([row["ci_low"], row["ci_high"]], [place, place], color=color, linewidth=1.5)
        axes.plot(row["estimate"], place, "o", color=color, markersize=4)
    axes.axvline(0, color="black", linewidth=0.8)
    axes.set(xlabel=f"{label} (green: supported)", yticks=[], ylabel="draws of the rows")
