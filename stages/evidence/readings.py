"""The readings of a claim from the same trainings: each chooses which curves are compared.

same_rate   both arms at `lr`, with running averages: what the tutorial plots
best_rate   each arm at its own best rate of the sweep: a shared rate may favour one arm (Dahl et al. 2023; Schmidt,
            Schneider & Hennig 2021)
itself      at `lr`, with exact statistics, those of all training rows, in place of running averages: these lag and
            jitter, and a curve can fluctuate while the network hardly moves
definition  as same_rate, but by the claim's other definition: covariate shift has two, which may have opposite signs
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from stages import ARMS
from stages.evidence.effects import Effect, NotMeasuredError, Rules, compare_seeds, note_left_out, require_pairs
from stages.evidence.selection import compare_selected, select_rates
from stages.evidence.trainings import Curves, PairedTrainings, Sweep

Endpoint = Callable[[Curves], np.ndarray]  # of one arm's curves: (S,)


@dataclass(frozen=True)
class Reading:
    """The curves of baseline and bn that are compared.

    `scales`: what an endpoint is multiplied by in either arm, where its unit is another in each.
    """

    trainings: PairedTrainings
    pair: Sequence[Curves]
    scales: Sequence[float] = (1.0, 1.0)

    def compare(self, endpoint: Endpoint, rules: Rules, note: str = "") -> Effect:
        """Compare the arms by an endpoint, seed by seed."""
        return compare_seeds(self._scaled([endpoint(curves) for curves in self.pair]), rules, note)

    def _scaled(self, values: Sequence[np.ndarray]) -> list[np.ndarray]:
        return [scale * of_arm for scale, of_arm in zip(self.scales, values, strict=True)]


@dataclass(frozen=True)
class BestRateReading(Reading):
    """As above, with the curves of each seed at the rate that the other half of the seeds selects for its arm."""

    def compare(self, endpoint: Endpoint, rules: Rules, note: str = "") -> Effect:
        """Compare the arms by an endpoint; interval and p value count that the rates were selected."""
        sweeps = [self.trainings.sweeps[arm] for arm in ARMS]
        chosen = [endpoint(curves) for curves in self.pair]  # (S,) each
        kept = np.all(np.isfinite(chosen), axis=0)
        require_pairs(int(kept.sum()))
        found = compare_selected(
            [sweep.final_accuracy for sweep in sweeps],
            self._scaled([_by_rate(endpoint, sweep) for sweep in sweeps]),
            sweeps[0].seeds % 2 == 1,
            alphas=(rules.alpha, 2 * rules.alpha),
            resamples=rules.resamples,
        )
        return Effect(
            found.difference,
            inner=found.intervals[1],
            standard_error=found.standard_error,
            note=note_left_out(kept, note),
            by_pair=found.by_pair,
        )


def _by_rate(endpoint: Endpoint, sweep: Sweep) -> np.ndarray:
    """Return an endpoint of every network, (S, L)."""
    return np.stack([endpoint(sweep.at(rate)) for rate in sweep.rates]).T


def read_same_rate(trainings: PairedTrainings) -> Reading:
    """Return both arms at the headline rate."""
    return Reading(trainings, trainings.at_lr())


def read_best_rate(trainings: PairedTrainings) -> Reading:
    """Return each arm at its own best rate: that of the highest mean final accuracy of the other half of the seeds."""
    selected = select_best_rates(trainings)
    pair = []
    for sweep, places in zip((trainings.sweeps[arm] for arm in ARMS), selected, strict=True):
        pair.append(sweep.at_places(places))
    return BestRateReading(trainings, pair)


def read_itself(trainings: PairedTrainings) -> Reading:
    """Return both arms at the headline rate with exact statistics; an arm without running averages reads the same."""
    sweeps = [trainings.sweeps[arm] for arm in ARMS]
    if not any(sweep.has_exact for sweep in sweeps):
        raise NotMeasuredError("no network has exact statistics beside its own")
    return Reading(trainings, [sweep.at(trainings.lr, exact=True) for sweep in sweeps])


READINGS = {
    "same_rate": read_same_rate,
    "best_rate": read_best_rate,
    "itself": read_itself,
    "definition": read_same_rate,
}


def select_best_rates(trainings: PairedTrainings) -> list[np.ndarray]:
    """Return of baseline and bn the place in the sweep of each seed's selected rate, (S,) each."""
    seeds, rates = trainings.sweeps["bn"].seeds, trainings.sweeps["bn"].rates
    odd = seeds % 2 == 1
    if len(rates) < 2:
        raise NotMeasuredError("lr_sweep has no other rate than lr")
    if min(odd.sum(), (~odd).sum()) < 2:
        raise NotMeasuredError("fewer than two seeds in a half")
    return [select_rates(trainings.sweeps[arm].final_accuracy, odd) for arm in ARMS]


def describe_best_rates(trainings: PairedTrainings) -> str:
    """Return the selected rates of both arms in words, or why there are none."""
    try:
        selected = select_best_rates(trainings)
    except NotMeasuredError as reason:
        return str(reason)
    rates = trainings.sweeps["bn"].rates
    words = []
    for places in selected:
        names = [_name_rate(rates, place) for place in np.unique(places)]
        words.append(" and ".join(names))
    return trainings.contrast.compare(*words)


def _name_rate(rates: np.ndarray, place: int) -> str:
    end = {0: " (lowest of the sweep)", len(rates) - 1: " (highest of the sweep)"}
    return f"{rates[place]:g}{end.get(int(place), '')}"
