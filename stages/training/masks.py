"""The masks of dropout: of every seed from a stream of its own, the same at all its learning rates."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from stages.training.layers import StackedDropout, StackedLinear
from stages.training.replicas import count_replicas, repeat


def draw_masks(network: nn.Sequential, streams: Sequence[torch.Generator], examples: int) -> None:
    """Draw the masks of one step on so many examples, from the generator of each seed; without dropout, draw nothing.

    A seed draws uniform numbers (units of all layers, B) at once, whatever the dtype and the device of the network.
    """
    layers = dropout_layers(network)
    if not layers:
        return
    widths = list(layers.values())
    draws = [torch.rand(sum(widths), examples, generator=stream) for stream in streams]
    kept = torch.stack(draws) >= next(iter(layers)).rate  # (S, units, B)
    rates = count_replicas(network) // len(streams)
    set_masks(network, kept.split(widths, dim=1), rates)


def set_masks(network: nn.Sequential, kept: Sequence[Tensor], times: int) -> None:
    """Give each dropout layer its masks, from what it keeps of each replica, (R / times, F, B), `times` over."""
    like = next(network.parameters())
    for layer, of_layer in zip(dropout_layers(network), kept, strict=True):
        mask = of_layer.to(like.device, like.dtype) / (1 - layer.rate)
        layer.mask = repeat(mask, times, narrow=layer.narrow)


def kept_values(network: nn.Sequential, replicas: slice) -> list[Tensor]:
    """Return what each dropout layer keeps in this step of some replicas, (R, F, B)."""
    kept = []
    for layer in dropout_layers(network):
        assert layer.mask is not None
        kept.append(layer.mask[replicas] != 0)
    return kept


def dropout_layers(network: nn.Sequential) -> dict[StackedDropout, int]:
    """Return the dropout layers, in order, each with its width F: that of the dense layer before it."""
    layers, width = {}, 0
    for layer in network:
        if isinstance(layer, StackedLinear):
            width = layer.weight.shape[1]
        elif isinstance(layer, StackedDropout):
            layers[layer] = width
    return layers
