"""A blog's single run of a 20-layer tanh network on moons, as many pairs on fresh rows."""

from collections.abc import Mapping
from typing import TYPE_CHECKING

from stages import ARMS, COLORS
from stages.evidence.trainings import Sweep
from stages.history.moments import mean_interval
from studies.experiments import Outputs, Study
from studies.measures import LABELS, Analysis, Number, accuracy_at_best_rates, claim_number, mean_of, reaches, share_of

if TYPE_CHECKING:
    from matplotlib.axes import Axes


def analyse(study: Study, outputs: Mapping[str, Outputs]) -> Analysis:
    """Compare the arms at their best rates, and with what was published."""
    (run,) = outputs.values()
    sweeps = {arm: Sweep.of(run.history(arm)) for arm in ARMS}
    numbers: list[Number] = []
    for arm, sweep in sweeps.items():
        at_best = accuracy_at_best_rates(sweep)
        what = f"accuracy of the last ten epochs at the best rate, {LABELS[arm]}"
        numbers.append(mean_of(arm, what, at_best, run.experiment))
        reached = reaches(at_best, study.published[arm])
        what = f"share that reaches the published {study.published[arm]:.3f}, {LABELS[arm]}"
        numbers.append(share_of(f"{arm}_reached", what, reached, run.experiment))
    for name, reading in {"gain": "best_rate", "same_rate": "same_rate"}.items():
        what = f"with less without, {reading.replace('_', ' ')}"
        numbers.append(claim_number(name, what, run, "higher_accuracy", reading))
    return Analysis(
        numbers,
        lambda axes: _draw(axes, sweeps),
        f"accuracy of the last ten epochs: mean and 95% interval over {numbers[0].n} pairs, each on rows of its own",
    )


def _draw(axes: "Axes", sweeps: Mapping[str, Sweep]) -> None:
    """Draw final accuracy over the rates."""
    for arm, sweep in sweeps.items():
        mean, low, high = mean_interval(sweep.final_accuracy.T)
        axes.errorbar(
            sweep.rates, mean, [mean - low, high - mean], color=COLORS[arm], marker=".", capsize=3, label=LABELS[arm]
        )
    axes.set_xscale("log")
    axes.set(xlabel="learning rate", ylabel="validation accuracy")
    axes.legend(loc="best", edgecolor="none")
