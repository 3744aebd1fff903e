"""Means, paired differences, their intervals and p values: pure functions of arrays with one number per seed."""

from dataclasses import dataclass

import numpy as np

ROUNDING = 1e-12  # differences of shares and losses that differ by less are equal


@dataclass(frozen=True)
class PairedDifference:
    """The mean of bn - baseline over `n` seeds, its 1 - alpha interval, and the two-sided p value of no difference."""

    estimate: float
    ci_low: float
    ci_high: float
    p_value: float
    n: int


def mean_interval(values: np.ndarray, confidence: float = 0.95) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return mean, lower and upper end of Student's t interval over the last axis: (..., S) -> three (...)."""
    from scipy.special import stdtrit  # the quantile of Student's t, without the second that scipy.stats takes

    n = values.shape[-1]
    mean = values.mean(axis=-1)
    reach = stdtrit(n - 1, (1 + confidence) / 2) * values.std(axis=-1, ddof=1) / np.sqrt(n)
    return mean, mean - reach, mean + reach


def paired_difference(
    baseline: np.ndarray, bn: np.ndarray, *, alpha: float = 0.05, resamples: int = 10_000, seed: int = 0
) -> PairedDifference:
    """Compare the arms seed by seed: two arrays (S,) in the same order of seeds.

    Interval: bias-corrected and accelerated bootstrap over seeds (Efron 1987), percentile where all differences are
    equal. p value: sign flips, exact where 2**S is at most `resamples`; 2 / (resamples + 1) is the least that it can be
    elsewhere. Values that are not finite are an error.
    """
    differences = np.asarray(bn, dtype=float) - np.asarray(baseline, dtype=float)
    if differences.ndim != 1 or not np.isfinite(differences).all():
        raise ValueError(f"expected finite pairs of shape (S,), got {differences!r}")
    low, high = _bootstrap_interval(differences, alpha, resamples, seed)
    p_value = _sign_flip_p_value(differences, resamples, seed)
    return PairedDifference(float(differences.mean()), low, high, p_value, len(differences))


def _bootstrap_interval(differences: np.ndarray, alpha: float, resamples: int, seed: int) -> tuple[float, float]:
    from scipy.stats import bootstrap

    if np.ptp(differences) <= ROUNDING:  # every resample is the same, and so are the percentiles
        return float(differences.mean()), float(differences.mean())
    interval = bootstrap(
        (differences,), np.mean, confidence_level=1 - alpha, n_resamples=resamples, batch=1000, method="BCa", rng=seed
    ).confidence_interval
    return float(interval.low), float(interval.high)


def _sign_flip_p_value(differences: np.ndarray, resamples: int, seed: int) -> float:
    from scipy.stats import permutation_test

    if np.abs(differences).max() <= ROUNDING:
        return 1.0
    test = permutation_test(
        (differences,),
        np.mean,
        permutation_type="samples",
        n_resamples=resamples,
        batch=1000,
        vectorized=True,
        rng=seed,
    )
    return float(test.pvalue)
