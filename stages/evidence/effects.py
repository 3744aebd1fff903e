"""What was measured of a claim: from one number per seed and arm to a difference with all that a verdict needs."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from stages.evidence.paired import PairedDifference, paired_difference, paired_interval


@dataclass(frozen=True)
class Rules:
    """How to judge: level, resamples, and of each claim the smallest effect that matters, in its unit."""

    smallest_effect: Mapping[str, float]
    alpha: float = 0.05
    resamples: int = 10_000


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
