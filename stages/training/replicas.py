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
    """R batch norm layers of F features each; all tensors (R, F), `num_batches_tracked` (R,), where they are there.

    Batch normalization treats every feature alone, so R layers of F features are one layer of R * F features, and
    PyTorch's own kernel serves unchanged.
    """

    def __init__(self, layers: Sequence[nn.BatchNorm1d]) -> None:
        super().__init__()
        self.eps, self.momentum, self.affine = layers[0].eps, layers[0].momentum, layers[0].affine
        _stack_affine(self, layers)
        for name in ("running_mean", "running_var", "num_batches_tracked"):
            self.register_buffer(name, torch.stack([getattr(layer, name) for layer in layers]))

    def forward(self, x: Tensor) -> Tensor:
        """(R, F, B) -> (R, F, B)."""
        if self.training:
            self.num_batches_tracked += 1
        flat = F.batch_norm(
            x.reshape(1, -1, x.shape[-1]),  # (1, R * F, B); a view, but of inputs that the replicas share
            self.running_mean.view(-1),
            self.running_var.view(-1),
            self.weight.view(-1) if self.affine else None,
            self.bias.view(-1) if self.affine else None,
            training=self.training,
            momentum=self._momentum(),
            eps=self.eps,
        )
        return flat.view_as(x)

    def _momentum(self) -> float:
        """Return the weight of this batch in the running statistics; of None, the cumulative average, 1 / batches."""
        if self.momentum is None and self.training:
            return 1 / int(self.num_batches_tracked[0])  # all replicas have seen as many
        return self.momentum or 0.0

    def ordinary(self) -> nn.BatchNorm1d:
        """Return one layer of this kind and size, for weights to be loaded into."""
        features, dtype = self.running_mean.shape[1], self.running_mean.dtype
        return nn.BatchNorm1d(features, eps=self.eps, momentum=self.momentum, affine=self.affine, dtype=dtype)


class StackedGroupNorm(nn.Module):
    """R layer norm or group norm layers of F features each; weight and bias (R, F), where they are there.

    Layer normalization is group normalization with one group: here there is nothing beside features to average over.
    """

    def __init__(self, layers: Sequence[nn.LayerNorm | nn.GroupNorm]) -> None:
        super().__init__()
        self.kind, self.eps = type(layers[0]), layers[0].eps
        if self.kind is nn.LayerNorm:
            (self.features,), self.groups, self.affine = layers[0].normalized_shape, 1, layers[0].elementwise_affine
        else:
            self.features, self.groups, self.affine = layers[0].num_channels, layers[0].num_groups, layers[0].affine
        _stack_affine(self, layers)

    def forward(self, x: Tensor) -> Tensor:
        """(R, F, B) -> (R, F, B)."""
        grouped = x.unflatten(1, (self.groups, -1))  # (R, groups, F / groups, B)
        variance, mean = torch.var_mean(grouped, dim=2, correction=0, keepdim=True)
        normalized = ((grouped - mean) * torch.rsqrt(variance + self.eps)).flatten(1, 2)
        if not self.affine:
            return normalized
        return torch.addcmul(self.bias.unsqueeze(-1), self.weight.unsqueeze(-1), normalized)

    def ordinary(self) -> nn.LayerNorm | nn.GroupNorm:
        """Return one layer of this kind and size, for weights to be loaded into."""
        dtype = self.weight.dtype if self.affine else None
        if self.kind is nn.LayerNorm:
            return nn.LayerNorm(self.features, eps=self.eps, elementwise_affine=self.affine, dtype=dtype)
        return nn.GroupNorm(self.groups, self.features, eps=self.eps, affine=self.affine, dtype=dtype)


def _stack_affine(stacked: nn.Module, layers: Sequence[nn.Module]) -> None:
    """Give `stacked` the weights and biases of normalization layers, (R, F); None where they have none."""
    for name in ("weight", "bias"):
        own = [getattr(layer, name) for layer in layers]
        values = None if own[0] is None else nn.Parameter(torch.stack([value.detach() for value in own]))
        stacked.register_parameter(name, values)


_STACKED = {
    nn.Linear: StackedLinear,
    nn.BatchNorm1d: StackedBatchNorm,
    nn.LayerNorm: StackedGroupNorm,
    nn.GroupNorm: StackedGroupNorm,
}


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
