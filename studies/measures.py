"""What the studies measure beyond the claims: pure functions of arrays with one number per seed."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import permutations
from math import factorial, nan

import numpy as np

from stages.evidence.paired import wilson_interval
from stages.evidence.selection import select_rates
from stages.evidence.trainings import Sweep
from stages.history.moments import mean_interval
from studies.experiments import Outputs

LABELS = {"baseline": "without batch normalization", "bn": "with batch normalization"}
RESAMPLES = 10_000
AT_LEAST = 1e-9  # what rounding takes from an accuracy


@dataclass(frozen=True)
class Number:
    """One number of a study: `what` in words, and where it has one its 95% interval over `n` seeds.

    Where `shuffles` is not 0, the interval is over as many shuffles of the rows too, with `n` seeds on each.

    In a template, `{name:.2f}` gives it with its interval, `{name.value:.2f}` alone. `experiments` are names with
    spaces between them; `verdict` is that on a claim.
    """

    name: str
    what: str
    value: float
    ci_low: float = nan
    ci_high: float = nan
    n: int = 0
    experiments: str = ""
    verdict: str = ""
    shuffles: int = 0

    def __format__(self, spec: str) -> str:
        low, high = format(self.ci_low, spec), format(self.ci_high, spec)
        return format(self.value, spec) + (f" [{low}, {high}]" if np.isfinite(self.ci_low) else "")


@dataclass(frozen=True)
class Analysis:
    """What a study found: its numbers, and its figure, as `save_figure` takes it."""

    numbers: Sequence[Number]
    draw: Callable[..., None]
    caption: str
    panels: int = 1

    def named(self) -> dict[str, Number]:
        """Return the numbers by name."""
        return {number.name: number for number in self.numbers}


def claim_number(name: str, what: str, run: Outputs, claim: str, reading: str = "same_rate") -> Number:
    """Return what an experiment found of a claim in a reading, with the verdict; without a value where not measured."""
    found = run.claims().set_index("name").loc[claim]
    prefix = "" if reading == "same_rate" else f"{reading}_"
    value, low, high = (float(found[f"{prefix}{field}"]) for field in ("estimate", "ci_low", "ci_high"))
    verdict, n = str(found[f"{prefix}verdict"]), int(found[f"{prefix}n"])
    return Number(name, what, value, low, high, n, run.experiment, verdict)


def majority_of(run: Outputs) -> float:
    """Return the majority class's share of the validation rows; of draws, of the first pair's."""
    return float(run.rows("val")["label"].value_counts(normalize=True).max())


def accuracy_at_best_rates(sweep: Sweep) -> np.ndarray:
    """Return the final accuracy of each seed at the rate that the other half of the seeds selects, (S,)."""
    by_rate = sweep.final_accuracy  # (S, L)
    return by_rate[np.arange(len(by_rate)), select_rates(by_rate, sweep.seeds % 2 == 1)]


def error_bars(points: Sequence[Number]) -> tuple[list[float], list[list[float]]]:
    """Return the values of several numbers, and how far their intervals reach below and above, for `errorbar`."""
    below = [point.value - point.ci_low for point in points]
    above = [point.ci_high - point.value for point in points]
    return [point.value for point in points], [below, above]


def mean_of(name: str, what: str, values: np.ndarray, experiments: str) -> Number:
    """Return the mean over seeds (S,) with Student's t interval."""
    mean, low, high = (float(value) for value in mean_interval(values))
    return Number(name, what, mean, low, high, len(values), experiments)


def crossed_mean_of(name: str, what: str, values: np.ndarray, experiments: str) -> Number:
    """Return the mean over shuffles of the rows and seeds (K, S), with an interval over both.

    It estimates the mean over all shuffles of these rows and all seeds. Every shuffle has the same seeds. The squared
    standard errors of the means over either add up (Cameron, Gelbach & Miller 2011, without the term that they take off
    again: too large on average, by the interaction's share); Student's t, with the degrees of freedom of Satterthwaite
    (1946).
    """
    from scipy.special import stdtrit

    if min(values.shape) < 2:
        raise ValueError(f"{name}: expected at least 2 shuffles and 2 seeds, got values of shape {values.shape}")
    squares, freedom = [], []
    for means in (values.mean(axis=1), values.mean(axis=0)):
        squares.append(means.var(ddof=1) / len(means))
        freedom.append(len(means) - 1)
    mean, both, reach = float(values.mean()), sum(squares), 0.0
    if both > 0:
        degrees = both**2 / sum(square**2 / free for square, free in zip(squares, freedom, strict=True))
        reach = float(stdtrit(degrees, 0.975) * np.sqrt(both))
    shuffles, seeds = values.shape
    return Number(name, what, mean, mean - reach, mean + reach, seeds, experiments, shuffles=shuffles)


def share_of(name: str, what: str, happens: np.ndarray, experiments: str) -> Number:
    """Return the share of seeds where something happens (S,), with Wilson's interval."""
    low, high = wilson_interval(int(happens.sum()), len(happens))
    return Number(name, what, float(happens.mean()), low, high, len(happens), experiments)


def ratio_of(name: str, what: str, parts: np.ndarray, totals: np.ndarray, experiments: str) -> Number:
    """Return mean(parts) / mean(totals), (S,) each, with a bootstrap's interval."""
    return _of_means(name, what, np.stack([parts, totals]), lambda means: means[0] / means[1], experiments)


def ratio_slope_of(
    name: str, what: str, parts: np.ndarray, totals: np.ndarray, x: Sequence[float], experiments: str
) -> Number:
    """Return the slope of mean(parts) / mean(totals) on x (X,), from (X, S) each, with a bootstrap's interval."""
    pair = np.stack([parts, totals])  # (2, X, S)
    return _of_means(name, what, pair, lambda means: slopes(means[0] / means[1], x), experiments)


def _of_means(
    name: str, what: str, values: np.ndarray, statistic: Callable[[np.ndarray], np.ndarray], experiments: str
) -> Number:
    """Return a statistic of means over seeds, from values (..., S), with the percentile interval over drawn seeds.

    `statistic` maps means (..., N) to (N,).
    """
    seeds = values.shape[-1]
    drawn = np.random.default_rng(0).multinomial(seeds, np.full(seeds, 1 / seeds), size=RESAMPLES)  # (N, S)
    low, high = np.quantile(statistic(values @ drawn.T / seeds), [0.025, 0.975])
    value = statistic(values.mean(axis=-1, keepdims=True)).item()
    return Number(name, what, value, float(low), float(high), seeds, experiments)


def reaches(values: np.ndarray, mark: float) -> np.ndarray:
    """Return whether each value is at least the mark, but for rounding."""
    return values >= mark - AT_LEAST


def shapley(factors: Sequence[str], worth: Mapping[frozenset[str], np.ndarray]) -> dict[str, np.ndarray]:
    """Return what each factor contributes to worth[all] - worth[none], (S,) each (Shapley 1953; Shorrocks 2013).

    `worth` has the outcome under every set of factors. A factor's contribution is what it adds to the factors that are
    there before it, averaged over all orders in which they can be added; the contributions sum to the whole.
    """
    parts = dict.fromkeys(factors, 0.0)
    for order in permutations(factors):
        for place, factor in enumerate(order):
            before = frozenset(order[:place])
            parts[factor] = parts[factor] + (worth[before | {factor}] - worth[before]) / factorial(len(factors))
    return parts


def slopes(effects: np.ndarray, x: Sequence[float]) -> np.ndarray:
    """Return each seed's least-squares slope of effects (X, S) on x (X,): (S,)."""
    centered = np.asarray(x) - np.mean(x)
    return centered @ effects / (centered @ centered)


def bayes_accuracy_of_circles(noise: float) -> float:
    """Return the best accuracy that any classifier can expect on scikit-learn's `make_circles`."""
    r = np.linspace(0, 1 + 12 * noise, 200_001)
    return float(np.trapezoid(circle_densities(r, noise).max(axis=0), r) / 2)


def circle_densities(r: np.ndarray, noise: float) -> np.ndarray:
    """Return the density of a row's radius r (N,) under either class of `make_circles`: (2, N).

    The classes 0 and 1 lie on circles of radius R = 1 and 0.8, plus Gaussian noise of deviation s in both coordinates:
    Rice's distribution, r / s^2 exp(-(r^2 + R^2) / (2 s^2)) I0(r R / s^2). The best guess is the denser one.
    """
    from scipy.special import ive  # I0 times exp(-x)

    radius = np.array([[1.0], [0.8]])
    return r / noise**2 * np.exp(-((r - radius) ** 2) / (2 * noise**2)) * ive(0, r * radius / noise**2)
