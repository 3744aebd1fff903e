"""Means, paired differences, their intervals and p values: pure functions of arrays with one number per seed."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from scipy.special import ndtri, stdtrit
from scipy.stats import bootstrap, permutation_test

from stages.history.moments import mean_interval

NUMBERS_AT_ONCE = 3_000_000  # of resamples: 24 MB, and a few times that while they are worked on
ROUNDING = 1e-12  # differences of shares and losses that differ by less are equal


@dataclass(frozen=True)
class PairedDifference:
    """The mean of bn - baseline over `n` seeds, its 1 - alpha interval, and the two-sided p value of no difference."""

    estimate: float
    ci_low: float
    ci_high: float
    p_value: float
    n: int


def paired_difference(
    baseline: np.ndarray, bn: np.ndarray, *, alpha: float = 0.05, resamples: int = 10_000, seed: int = 0
) -> PairedDifference:
    """Compare the arms seed by seed: two arrays (S,) in the same order of seeds.

    Interval: Student's t over seeds. A bootstrap over seeds (BCa) is too short where many pairs tie or a few differ by
    much, as here: it excluded zero in up to 19 of 100 comparisons of equals. p value: sign flips, exact where 2**S is
    at most `resamples`; elsewhere at least 2 / (resamples + 1). Values that are not finite are an error.
    """
    differences = _differences(baseline, bn)
    mean, low, high = mean_interval(differences, 1 - alpha)
    p_value = _sign_flip_p_value(differences, resamples, seed)
    return PairedDifference(float(mean), float(low), float(high), p_value, len(differences))


def paired_interval(baseline: np.ndarray, bn: np.ndarray, *, alpha: float) -> tuple[float, float]:
    """Return the 1 - alpha interval of `paired_difference` alone, for a second level."""
    _, low, high = mean_interval(_differences(baseline, bn), 1 - alpha)
    return float(low), float(high)


def paired_statistic(
    baseline: np.ndarray,
    bn: np.ndarray,
    statistic: Callable[[np.ndarray, np.ndarray], np.ndarray],
    *,
    alphas: Sequence[float] = (0.05,),
    resamples: int = 10_000,
    seed: int = 0,
) -> tuple[PairedDifference, list[tuple[float, float]], float]:
    """Compare the arms by a number that only all seeds together have.

    Both arms are (S, L); `statistic` maps the means over seeds of baseline and bn, (..., L) each, to their difference
    (...). Intervals: Student's t with the standard error of a bootstrap that draws seeds, the same for both arms
    (Efron 1979); p value: the arms swapped within seeds.
    Returns the difference with its interval at the first of `alphas`, the intervals at all, and the standard error.
    """
    rows = np.concatenate([baseline, bn])
    pair = np.arange(len(rows)).reshape(2, -1)  # SciPy resamples and swaps the row numbers: indices (2, ..., S)

    def difference(without: np.ndarray, with_bn: np.ndarray, axis: int = -1) -> np.ndarray:
        return statistic(rows[without].mean(axis=-2), rows[with_bn].mean(axis=-2))

    estimate = float(difference(*pair))
    standard_error = _bootstrap_standard_error(pair, difference, resamples, batch_size(rows.size), seed)
    intervals = []
    for alpha in alphas:
        reach = stdtrit(pair.shape[1] - 1, 1 - alpha / 2) * standard_error
        intervals.append((float(estimate - reach), float(estimate + reach)))
    test = permutation_test(
        tuple(pair),
        difference,
        permutation_type="samples",
        n_resamples=resamples,
        vectorized=True,
        batch=batch_size(rows.size),
        rng=seed,
    )
    return PairedDifference(estimate, *intervals[0], float(test.pvalue), pair.shape[1]), intervals, standard_error


def ratio_of_medians(
    baseline: np.ndarray,
    bn: np.ndarray,
    alpha: float = 0.05,
    resamples: int = 10_000,
    seed: int = 0,
    widening: float = 1.0,
) -> tuple[float, float, float]:
    """Return median(bn) / median(baseline) over seeds, (S,) each, with a bootstrap's percentile interval (Efron 1979).

    Values are not negative. The ratio is infinite where the baseline's median is 0. The interval of the logarithm is
    `widening` times as wide as the bootstrap's.
    """
    random, batch = np.random.default_rng(seed), batch_size(baseline.size)
    ratios = []
    for first in range(0, resamples, batch):
        size = min(batch, resamples - first), baseline.size
        drawn = random.integers(baseline.size, size=size)
        ratios.append(_ratio(np.median(baseline[drawn], axis=-1), np.median(bn[drawn], axis=-1)))
    # No interpolation: between two infinite ratios there is nothing.
    low, high = np.quantile(np.concatenate(ratios), [alpha / 2, 1 - alpha / 2], method="nearest")
    ratio = _ratio(np.median(baseline), np.median(bn))
    if widening > 1 and low > 0 and high < np.inf:
        low, high = ratio * (low / ratio) ** widening, ratio * (high / ratio) ** widening
    return float(ratio), float(low), float(high)


def _ratio(below: np.ndarray, above: np.ndarray) -> np.ndarray:
    return np.where(below > 0, above / np.where(below > 0, below, 1.0), np.inf)


def holm(p_values: Sequence[float]) -> np.ndarray:
    """Return p values adjusted for their number: all claims below alpha hold at once (Holm 1979)."""
    values = np.asarray(p_values, dtype=float)
    order = np.argsort(values)
    adjusted = np.empty_like(values)
    adjusted[order] = np.minimum(1.0, np.maximum.accumulate(values[order] * np.arange(len(values), 0, -1)))
    return adjusted


def probability_better(
    differences: np.ndarray, better: int, alpha: float = 0.05, widening: float = 1.0
) -> tuple[float, float, float]:
    """Return the share of seeds (S,) where bn is better, with its interval; a tie counts as half.

    `better` is 1 where higher is better, -1 where lower is. The interval is that of a share of so many fewer seeds that
    its standard error is `widening` times as large.
    """
    wins = (differences * better > 0).sum() + (differences == 0).sum() / 2
    share, n = float(wins / len(differences)), len(differences) / widening**2
    return share, *wilson_interval(share * n, n, alpha)


def wilson_interval(successes: float, n: float, alpha: float = 0.05) -> tuple[float, float]:
    """Return the 1 - alpha score interval of a share (Wilson 1927)."""
    z, share = ndtri(1 - alpha / 2), successes / n
    center = (share + z**2 / (2 * n)) / (1 + z**2 / n)
    reach = z * np.sqrt(share * (1 - share) / n + z**2 / (4 * n**2)) / (1 + z**2 / n)
    return float(max(0.0, center - reach)), float(min(1.0, center + reach))


def minimum_detectable_effect(standard_error: float, alpha: float = 0.05, power: float = 0.8) -> float:
    """Return the difference that a test at `alpha` finds with `power`: (z_{1-alpha/2} + z_{power}) standard errors."""
    return float((ndtri(1 - alpha / 2) + ndtri(power)) * standard_error)


def batch_size(numbers: int) -> int:
    """Return how many resamples of so many numbers to hold at once: 1000, but no more than memory bears."""
    return int(np.clip(NUMBERS_AT_ONCE // numbers, 1, 1000))


def _differences(baseline: np.ndarray, bn: np.ndarray) -> np.ndarray:
    differences = np.asarray(bn, dtype=float) - np.asarray(baseline, dtype=float)
    if differences.ndim != 1 or not np.isfinite(differences).all():
        raise ValueError(f"expected finite pairs of shape (S,), got {differences!r}")
    return differences


def _bootstrap_standard_error(
    pair: np.ndarray, difference: Callable[..., np.ndarray], resamples: int, batch: int, seed: int
) -> float:
    drawn = bootstrap(
        tuple(pair),
        difference,
        paired=True,
        vectorized=True,
        n_resamples=resamples,
        batch=batch,
        method="percentile",  # its interval is not used: the quickest
        rng=seed,
    )
    return float(drawn.standard_error)


def _sign_flip_p_value(differences: np.ndarray, resamples: int, seed: int) -> float:
    if np.abs(differences).max() <= ROUNDING:
        return 1.0
    test = permutation_test(
        (differences,),
        np.mean,
        permutation_type="samples",
        n_resamples=resamples,
        batch=batch_size(len(differences)),
        vectorized=True,
        rng=seed,
    )
    return float(test.pvalue)
