"""Small networks as dense layers alone: for the page, which draws what they say and knows no batch normalization."""

from itertools import chain

import numpy as np
import torch
from torch import Tensor, nn

from stages.training.layers import Stacked, StackedDropout, StackedLinear
from stages.training.normalizers import StackedBatchNorm

FEATURES, MOST_PARAMETERS = 2, 200  # what can be drawn, and what is small enough to travel in a page

Dense = tuple[Tensor, Tensor]  # weight (R, out, in), bias (R, out)


@torch.no_grad()
def fold_networks(networks: nn.Sequential) -> np.ndarray:
    """Return R stacked networks in eval mode as dense layers: (R, P) in float32.

    Layer by layer, the weights (out, in) row by row, then the biases; activations stand between them as before.
    P is zero where there is nothing to draw: networks of other than two features, of more than 200 parameters, or
    with a normalizer that no dense layer can take over.
    """
    dense = [layer for layer in networks if isinstance(layer, StackedLinear)]
    replicas, _, features = dense[0].weight.shape
    parameters = sum(layer.weight[0].numel() + layer.bias[0].numel() for layer in dense)
    folded = None
    if features == FEATURES and parameters <= MOST_PARAMETERS:
        folded = _fold(networks)
    if folded is None:
        return np.zeros((replicas, 0), np.float32)
    parts = [part.flatten(1) for part in chain.from_iterable(folded)]
    return torch.cat(parts, dim=1).cpu().numpy().astype(np.float32)


def _fold(networks: nn.Sequential) -> list[Dense] | None:
    """Return the dense layers with batch normalization in them; None where another normalizer is in the way.

    In eval mode batch normalization is x * scale + shift. Right after a dense layer it goes into that layer, anywhere
    else into the next one.
    """
    dense: list[Dense] = []
    before: Dense | None = None  # scale and shift, (R, in) each, that wait for the next dense layer
    last: nn.Module | None = None
    for layer in networks:
        if isinstance(layer, StackedLinear):
            dense.append(_after(before, layer))
            before = None
        elif isinstance(layer, StackedBatchNorm):
            scale, shift = _affine(layer)
            if isinstance(last, StackedLinear):
                weight, bias = dense[-1]
                dense[-1] = weight * scale.unsqueeze(-1), bias * scale + shift
            else:
                before = scale, shift
        elif isinstance(layer, Stacked) and not isinstance(layer, StackedDropout):  # which keeps everything here
            return None
        last = layer
    return dense


def _after(before: Dense | None, layer: StackedLinear) -> Dense:
    """Return a dense layer that first scales and shifts its inputs."""
    weight, bias = layer.weight.double(), layer.bias.double()
    if before is None:
        return weight, bias
    scale, shift = before
    return weight * scale.unsqueeze(1), bias + (weight @ shift.unsqueeze(-1)).squeeze(-1)


def _affine(layer: StackedBatchNorm) -> Dense:
    """Return the scale and the shift of batch normalization in eval mode, (R, F) each."""
    scale = torch.rsqrt(layer.running_var.double() + layer.eps)
    shift = -layer.running_mean.double() * scale
    if layer.weight is None or layer.bias is None:
        return scale, shift
    weight = layer.weight.double()
    return scale * weight, shift * weight + layer.bias.double()
