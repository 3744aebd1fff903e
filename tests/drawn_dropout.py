"""Ordinary dropout for the oracles, but for where its masks come from."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

ALL = torch.tensor(True)


class DrawnDropout(nn.Module):
    def __init__(self, rate: float) -> None:
        super().__init__()
        self.rate = rate
        self.kept = ALL  # (B, F), anew for every step

    def forward(self, x: Tensor) -> Tensor:
        return x * self.kept / (1 - self.rate) if self.training else x


def with_drawn_dropout(network: nn.Sequential) -> nn.Sequential:
    """Put `DrawnDropout` in the place of `nn.Dropout`."""
    for name, layer in list(network.named_children()):
        if isinstance(layer, nn.Dropout):
            network.set_submodule(name, DrawnDropout(layer.p))
    return network


def draw_dropout(network: nn.Sequential, widths: Sequence[int], examples: int, masks: torch.Generator) -> None:
    """Draw what the dropout layers, of these widths, keep in a step."""
    layers = [layer for layer in network if isinstance(layer, DrawnDropout)]
    if layers:
        draws = torch.rand(sum(widths), examples, generator=masks)
        for layer, drawn in zip(layers, draws.split(list(widths)), strict=True):
            layer.kept = drawn.mT >= layer.rate
