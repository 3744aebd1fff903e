"""What is measured layer by layer on fixed rows: what units get, how that shifts, and which layers are dead."""

from collections.abc import Iterator, Sequence

import numpy as np
import torch
from torch import Tensor, nn

from stages.training.layers import StackedLinear
from stages.training.network import ACTIVATIONS
from stages.training.replicas import count_replicas
from stages.training.step_measures import mean_where

OF_A_UNIT = {"input_p15": 0.15, "input_p50": 0.5, "input_p85": 0.85}  # what its activation gets: fractions of rows

Passed = Sequence[tuple[nn.Module, Tensor, Tensor]]  # each layer with its input and its output, (S, F, N)


@torch.inference_mode()
def pass_layers(network: nn.Sequential, x: Tensor) -> Iterator[tuple[nn.Module, Tensor, Tensor]]:
    """Yield each layer with its input and its output, (S, F, N) each; x goes into the first."""
    for layer in network:
        output = layer(x)
        yield layer, x, output
        x = output


def layer_inputs(passed: Passed) -> Tensor:
    """Return what all dense layers but the first get: (S, F, N), sorted along N."""
    of_dense = [x for layer, x, _ in passed if isinstance(layer, StackedLinear)]
    inputs = torch.cat(of_dense[1:], dim=1).contiguous().cpu().numpy()
    return torch.from_numpy(np.sort(inputs))  # several times torch.sort's speed


def input_shift(before: Tensor, after: Tensor) -> np.ndarray:
    """Return how far the layers' inputs moved between two epochs, (S,), from values (S, F, N) sorted along N.

    Internal covariate shift as Ioffe & Szegedy (2015, sec. 2) describe it: per unit, the 1-Wasserstein distance between
    the two distributions over the standard deviation (of the population) of the first; mean over the units of all
    layers but those that were constant, NaN without any.
    """
    before, after = before.double(), after.double()  # in float32 the square of a saturated unit's deviation may be 0
    distance = (after - before).abs().mean(dim=-1)  # W1 of samples of equal size
    deviation = (before - before.mean(dim=-1, keepdim=True)).square().mean(dim=-1).sqrt()
    constant = before[..., 0] == before[..., -1]  # by rounding, the deviation of a constant need not be 0
    return mean_where(~constant, distance / deviation, dim=1).numpy()


def unit_percentiles(passed: Passed) -> dict[str, np.ndarray]:
    """Return each of `OF_A_UNIT` as (S,): of what the first unit of the last hidden layer gets before its activation.

    Ioffe & Szegedy (2015, sec. 4.1, Fig. 1) show them of a typical unit. Units are drawn alike: the first is as typical
    as any.
    """
    of_activations = [x for layer, x, _ in passed if isinstance(layer, tuple(ACTIVATIONS.values()))]
    unit = of_activations[-1][:, 0].double().cpu().numpy()  # (S, N)
    in_order = np.sort(unit)  # of what is sorted, percentiles take half the time
    with np.errstate(invalid="ignore"):  # between infinities, in a network that diverges, there is no number
        percentiles = np.quantile(in_order, list(OF_A_UNIT.values()), axis=-1)  # (3, S)
    return dict(zip(OF_A_UNIT, percentiles, strict=True))


def dead_layers(network: nn.Sequential, x: Tensor) -> np.ndarray:
    """Return 1. where some layer is dead: no unit of it puts out more than 0 on any of the rows x, after relu; else 0.

    (S, F, N) -> (S,). In training mode, all rows being one batch: with batch norm's running statistics, which know
    nothing of the data before training, it would be another network than the one that trains. With relu, they are
    lost in `network`. Others than relu never die.
    """
    if not any(isinstance(layer, nn.ReLU) for layer in network):
        return np.zeros(count_replicas(network))
    peaks = []
    for layer, _, output in pass_layers(network.train(), x):
        if isinstance(layer, nn.ReLU):
            peaks.append(output.amax(dim=(1, 2)).cpu().numpy())
    dead = np.stack(peaks) <= 0  # (layers, S); NaN is not dead: a diverged network is another matter
    return dead.any(axis=0).astype(float)
