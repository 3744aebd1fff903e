"""Means over seeds and their intervals, from groups of seeds that add up."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy.special import stdtrit  # the quantile of Student's t, without the second that scipy.stats takes to import


@dataclass(frozen=True)
class Moments:
    """Of `n` seeds each, (...): the mean, and the sum of squared deviations from it. Groups of seeds add up."""

    n: int
    mean: np.ndarray
    squares: np.ndarray

    @classmethod
    def of(cls, values: np.ndarray) -> "Moments":
        """Return the moments over the last axis: (..., S) -> (...)."""
        with np.errstate(invalid="ignore", over="ignore"):  # the losses of networks that have diverged
            mean = values.mean(axis=-1)
            return cls(values.shape[-1], mean, np.square(values - mean[..., None]).sum(axis=-1))

    def __add__(self, other: "Moments") -> "Moments":
        """Return the moments of both groups together (Chan, Golub & LeVeque 1979)."""
        n = self.n + other.n
        with np.errstate(invalid="ignore", over="ignore"):
            apart = other.mean - self.mean
            squares = self.squares + other.squares + np.square(apart) * (self.n * other.n / n)
            return Moments(n, self.mean + apart * (other.n / n), squares)

    def __getitem__(self, index: Any) -> "Moments":
        return Moments(self.n, self.mean[index], self.squares[index])

    def interval(self, confidence: float = 0.95) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Return mean, lower and upper end of Student's t interval: three (...)."""
        standard_error = np.sqrt(self.squares / (self.n - 1) / self.n)
        reach = stdtrit(self.n - 1, (1 + confidence) / 2) * standard_error
        return self.mean, self.mean - reach, self.mean + reach


def mean_interval(values: np.ndarray, confidence: float = 0.95) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return mean, lower and upper end of Student's t interval over the last axis: (..., S) -> three (...)."""
    return Moments.of(values).interval(confidence)
