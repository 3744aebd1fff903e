"""Every small network of both arms, as the dense layers that it amounts to."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from stages import ARMS


@dataclass(frozen=True)
class Networks:
    """The networks of both arms at the headline rate, as stages/training/folding.py lays them out.

    `flat`: arm -> (S, P), seeds ascending; P is zero where there is nothing to draw. `widths`: arm -> the number of
    features, of units in each hidden layer, and of logits.
    """

    flat: Mapping[str, np.ndarray]
    widths: Mapping[str, Sequence[int]]
    activation: str

    @property
    def are_there(self) -> bool:
        """Whether both arms have their networks."""
        return all(self.flat[arm].shape[1] == count_parameters(self.widths[arm]) for arm in ARMS)


def count_parameters(widths: Sequence[int]) -> int:
    """Return the number of weights and biases of dense layers of these widths."""
    return sum((inputs + 1) * outputs for inputs, outputs in pairwise(widths))


def count_logits(classes: Sequence[str]) -> int:
    """Return how many outputs a network has: two classes share one."""
    return 1 if len(classes) == 2 else len(classes)
