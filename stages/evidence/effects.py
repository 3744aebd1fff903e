"""What was measured of a claim: from one number per seed and arm to a difference with all that a verdict needs."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
from scipy.special import stdtr, stdtrit

from stages.evidence.paired import PairedDifference, paired_difference, paired_interval
from stages.history.moments import mean_interval


@dataclass(frozen=True)
class Rules:
    """How to judge: level, resamples, and of each claim the smallest effect that matters, in its unit.

    `overlap` is not zero where pairs split the same rows: the number of validation rows for each training row.
    """

    smallest_effect: Mapping[str, float]
    alpha: float = 0.05
    resamples: int = 10_000
    overlap: float = 0.0

    def widening(self, n: int) -> float:
        """Return how many times as large a mean's standard error over `n` pairs is as that of independent pairs.

        The variance is sd ** 2 * (1 / n + overlap) in place of sd ** 2 / n (Nadeau & Bengio 2003).
        """
        return math.sqrt(1 + n * self.overlap)

    def mean_interval(self, differences: np.ndarray) -> tuple[float, float, float]:
        """Return the mean over pairs (S,) and both ends of its 1 - alpha interval: Student's t, widened."""
        mean, _, high = mean_interval(differences, 1 - self.alpha)
        reach = self.widening(len(differences)) * (high - mean)
        return float(mean), float(mean - reach), float(mean + reach)


@dataclass(frozen=True)
class Effect:
    """The difference bn - baseline, its 1 - 2 alpha interval `inner`, its standard error, and a note.

    `by_pair` has the difference of each pair, (n,); it is empty where only all seeds together have a number.
    """

    difference: PairedDifference
    inner: tuple[float, float]
    standard_error: float
    note: str = ""
    by_pair: np.ndarray = field(default_factory=lambda: np.empty(0))


def widen(effect: Effect, rules: Rules) -> Effect:
    """Return the effect as it is where pairs split the same rows: interval, p and standard error allow for that."""
    if not rules.overlap:
        return effect
    estimate, factor = effect.difference.estimate, rules.widening(effect.difference.n)
    low, high = (estimate + factor * (end - estimate) for end in effect.inner)
    return replace(
        effect,
        difference=widen_difference(effect.difference, rules),
        inner=(low, high),
        standard_error=factor * effect.standard_error,
    )


def widen_difference(difference: PairedDifference, rules: Rules) -> PairedDifference:
    """Return the difference with an interval `rules.widening` times as wide, and the p value of Student's t for it.

    Flipping signs would take the pairs for independent; but its p has a least value, so that few pairs decide nothing.
    """
    if not rules.overlap:
        return difference
    estimate, n, factor = difference.estimate, difference.n, rules.widening(difference.n)
    reach = factor * (difference.ci_high - estimate)
    standard_error = reach / stdtrit(n - 1, 1 - rules.alpha / 2)
    p_value = 2 * stdtr(n - 1, -abs(estimate) / standard_error) if standard_error else float(estimate == 0)
    p_value = max(float(p_value), difference.p_value)
    return replace(difference, ci_low=estimate - reach, ci_high=estimate + reach, p_value=p_value)


class NotMeasuredError(ValueError):
    """The settings or the tables rule a claim out; the message says why in at most 60 characters."""


def compare_seeds(pair: Sequence[np.ndarray], rules: Rules, note: str = "") -> Effect:
    """Compare baseline and bn seed by seed, (S,) each; a pair without a finite value is left out, and counted."""
    baseline, bn = pair
    kept = np.isfinite(baseline) & np.isfinite(bn)
    require_pairs(int(kept.sum()))
    without, with_bn = baseline[kept], bn[kept]
    by_pair = with_bn - without
    return Effect(
        paired_difference(without, with_bn, alpha=rules.alpha, resamples=rules.resamples),
        inner=paired_interval(without, with_bn, alpha=2 * rules.alpha),
        standard_error=float(by_pair.std(ddof=1) / np.sqrt(len(by_pair))),
        note=note_left_out(kept, note),
        by_pair=by_pair,
    )


def note_left_out(kept: np.ndarray, note: str) -> str:
    """Return the note, and before it how many pairs (S,) were not kept."""
    if kept.all():
        return note
    left_out = f"{(~kept).sum()} of {len(kept)} pairs left out: no finite value"
    return f"{left_out}; {note}" if note else left_out


def require_pairs(n: int) -> None:
    """Raise where there are too few pairs for any interval."""
    if n < 2:
        raise NotMeasuredError("fewer than two pairs have a finite value")
