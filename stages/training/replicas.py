"""The textbook network, many replicas in one module: every layer holds R layers and applies each to its own input.

A network of a few units costs next to nothing to compute and almost everything to dispatch, so R of them trained
together cost little more than one.
"""

from collections import OrderedDict
from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F


class StackedLinear(nn.Module):
    """R dense layers: weight (R, out, in), bias (R, out)."""

    def __init__(self, layers: Sequence[nn.Linear]) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.stack([layer.weight.detach() for layer in layers]))
        self.bias = nn.Parameter(torch.stack([layer.bias.detach() for layer in layers]))

    def forward(self, x: Tensor) -> Tensor:
        """(R, in, B) -> (R, out, B)."""
        return torch.baddbmm(self.bias.unsqueeze(-1), self.weight, x)

    def ordinary(self) -> nn.Linear:
        """Return one layer of this kind and size, for weights to be loaded into."""
        outputs, inputs = self.weight.shape[1:]
        return nn.Linear(inputs, outputs, dtype=self.weight.dtype)


class StackedBatchNorm(nn.Module):
    """R batch norm layers of F features each; all tensors (R, F), `num_batches_tracked` (R,).

    Batch normalization treats every feature alone, so R layers of F features are one layer of R * F features, and
    PyTorch's own kernel serves unchanged.
    """

    def __init__(self, layers: Sequence[nn.BatchNorm1d]) -> None:
        super().__init__()
        self.eps, self.momentum = layers[0].eps, layers[0].momentum
        self.weight = nn.Parameter(torch.stack([layer.weight.detach() for layer in layers]))
        self.bias = nn.Parameter(torch.stack([layer.bias.detach() for layer in layers]))
        for name in ("running_mean", "running_var", "num_batches_tracked"):
            self.register_buffer(name, torch.stack([getattr(layer, name) for layer in layers]))

    def forward(self, x: Tensor) -> Tensor:
        """(R, F, B) -> (R, F, B)."""
        if self.training:
            self.num_batches_tracked += 1
        flat = F.batch_norm(
            x.view(1, -1, x.shape[-1]),  # (1, R * F, B)
            self.running_mean.view(-1),
            self.running_var.view(-1),
            self.weight.view(-1),
            self.bias.view(-1),
            training=self.training,
            momentum=self.momentum,
            eps=self.eps,
        )
        return flat.view_as(x)

    def ordinary(self) -> nn.BatchNorm1d:
        """Return one layer of this kind and size, for weights to be loaded into."""
        features = self.weight.shape[1]
        return nn.BatchNorm1d(features, eps=self.eps, momentum=self.momentum, dtype=self.weight.dtype)


_STACKED = {nn.Linear: StackedLinear, nn.BatchNorm1d: StackedBatchNorm}


def stack(networks: Sequence[nn.Sequential]) -> nn.Sequential:
    """Return R networks of one architecture as one module, (R, F, B) features to (R, 1, B) or (R, K, B) logits."""
    layers: OrderedDict[str, nn.Module] = OrderedDict()
    for name, layer in networks[0].named_children():
        stacked = _STACKED.get(type(layer))  # an activation has no state: it serves all replicas as it is
        layers[name] = stacked([network.get_submodule(name) for network in networks]) if stacked else layer
    return nn.Sequential(layers)


def unstack(stacked: nn.Sequential, replica: int) -> nn.Sequential:
    """Return one replica as the ordinary network that it is, with a copy of its weights."""
    layers: OrderedDict[str, nn.Module] = OrderedDict()
    for name, layer in stacked.named_children():
        layers[name] = layer.ordinary() if hasattr(layer, "ordinary") else layer
    network = nn.Sequential(layers)
    network.load_state_dict({name: value[replica] for name, value in stacked.state_dict().items()})
    return network
