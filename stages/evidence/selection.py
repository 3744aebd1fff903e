"""Each arm at its own best learning rate: half of the seeds choose it, and the other half are compared at it.

So no pair is judged at a rate that it helped to choose. Axes: S seeds, L rates, B resamples.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.special import stdtrit

from stages.evidence.paired import ROUNDING, PairedDifference, batch_size


def select_rates(accuracy: np.ndarray, odd: np.ndarray) -> np.ndarray:
    """Return each seed's rate, its place (S,): the best mean accuracy (S, L) of the other half, the lowest of equals.

    `odd` (S,) says which half a seed is of.
    """
    places = np.empty(len(odd), dtype=int)
    for half in (odd, ~odd):
        places[half] = accuracy[~half].mean(axis=0).argmax()
    return places


@dataclass(frozen=True)
class SelectedDifference:
    """bn - baseline, both at selected rates: with an interval for each level asked for, and each pair's difference."""

    difference: PairedDifference
    intervals: Sequence[tuple[float, float]]
    standard_error: float
    by_pair: np.ndarray


def compare_selected(
    accuracies: Sequence[np.ndarray],
    values: Sequence[np.ndarray],
    odd: np.ndarray,
    *,
    alphas: Sequence[float] = (0.05,),
    resamples: int = 10_000,
    seed: int = 0,
) -> SelectedDifference:
    """Compare values of baseline and bn, (S, L) each, at the rates that the accuracies, (S, L) each, select.

    Interval: Student's t with the standard error of a bootstrap that draws seeds within either half (Efron 1979);
    p value: the arms swapped within seeds. Both select anew in every resample. A pair with a value that is not finite
    at its rates is left out.
    """
    pair = np.stack(values)  # (2, S, L)
    differences = pair[1][:, None, :] - pair[0][:, :, None]  # (S, L, L): baseline at the one rate, bn at the other
    halves = [_Half.of(np.stack(accuracies), differences, half) for half in (odd, ~odd)]
    places = [select_rates(accuracy, odd) for accuracy in accuracies]
    by_pair = differences[np.arange(len(odd)), *places]
    by_pair = by_pair[np.isfinite(by_pair)]
    estimate, n = float(by_pair.mean()), len(by_pair)
    random = np.random.default_rng(seed)
    drawn, swapped = [], []
    batch = batch_size(2 * pair.size)
    for first in range(0, resamples, batch):
        size = min(batch, resamples - first)
        drawn.append(_statistic([half.draw(random, size) for half in halves]))
        swapped.append(_statistic([half.swap(random, size) for half in halves]))
    standard_error = float(np.nanstd(np.concatenate(drawn), ddof=1))
    as_far = np.abs(np.concatenate(swapped)) >= abs(estimate) - ROUNDING
    p_value = (as_far.sum() + 1) / (resamples + 1)
    intervals = []
    for alpha in alphas:
        reach = stdtrit(n - 1, 1 - alpha / 2) * standard_error
        intervals.append((float(estimate - reach), float(estimate + reach)))
    difference = PairedDifference(estimate, *intervals[0], float(p_value), n)
    return SelectedDifference(difference, intervals, standard_error, by_pair)


@dataclass(frozen=True)
class _Half:
    """Half of the seeds, S: accuracies (2, S, L), differences (S, L * L), 0 where not finite, and where they are."""

    accuracies: np.ndarray
    differences: np.ndarray
    finite: np.ndarray

    @classmethod
    def of(cls, accuracies: np.ndarray, differences: np.ndarray, seeds: np.ndarray) -> "_Half":
        own = differences[seeds]
        finite = np.isfinite(own)
        return cls(accuracies[:, seeds], np.where(finite, own, 0.0), finite.astype(float))

    def draw(self, random: np.random.Generator, size: int) -> "_Sums":
        """Draw the seeds with replacement, `size` times."""
        seeds = self.accuracies.shape[1]
        times = random.multinomial(seeds, np.full(seeds, 1 / seeds), size=size)  # (B, S)
        return self._sums(times.astype(float), np.zeros_like(times, dtype=float))

    def swap(self, random: np.random.Generator, size: int) -> "_Sums":
        """Swap the arms of every seed or not, `size` times."""
        swapped = random.integers(2, size=(size, self.accuracies.shape[1])).astype(float)
        return self._sums(1 - swapped, swapped)

    def _sums(self, as_is: np.ndarray, swapped: np.ndarray) -> "_Sums":
        """Sum over seeds, with weights (B, S) of each as it is and with its arms swapped."""
        baseline, bn = self.accuracies
        best = [
            (as_is @ baseline + swapped @ bn).argmax(axis=-1),
            (as_is @ bn + swapped @ baseline).argmax(axis=-1),
        ]
        turned = self.differences.swapaxes(1, 2)  # of the arms swapped it is the negative
        totals = as_is @ _flat(self.differences) - swapped @ _flat(turned)
        counts = as_is @ _flat(self.finite) + swapped @ _flat(self.finite.swapaxes(1, 2))
        return _Sums(best[0] * baseline.shape[1] + best[1], totals, counts)


@dataclass(frozen=True)
class _Sums:
    """Of a half in each resample: the pair of rates that it selects (B,), and sums and counts at all (B, L * L)."""

    best: np.ndarray
    totals: np.ndarray
    counts: np.ndarray


def _statistic(halves: Sequence[_Sums]) -> np.ndarray:
    """Return the mean difference of either half at the rates that the other selects, (B,)."""
    total = count = np.zeros(len(halves[0].best))
    for own, other in (halves, halves[::-1]):
        row = np.arange(len(own.best))
        total = total + own.totals[row, other.best]
        count = count + own.counts[row, other.best]
    with np.errstate(invalid="ignore"):  # 0 / 0, where no drawn pair has a finite value
        return total / count


def _flat(table: np.ndarray) -> np.ndarray:
    return table.reshape(len(table), -1)
