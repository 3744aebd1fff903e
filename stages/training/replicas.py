"""The textbook network, many replicas in one module: from one network to many, and back.

A network of a few units costs next to nothing to compute and almost everything to dispatch, so R of them trained
together cost little more than one.

All shapes have the replicas first. In memory they come first in wide networks, whose layers are matrix products, and
last in narrow ones, whose layers are a few sums over all replicas and examples at once.
"""

import copy
from collections import OrderedDict
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from stages.training.layers import Stacked, StackedDropout, StackedLinear
from stages.training.network import FrozenNorm
from stages.training.normalizers import StackedBatchNorm, StackedFrozenNorm, StackedGroupNorm

NARROW = 16  # weights: networks without a larger layer have their replicas last in memory (measured)

_STACKED: dict[type[nn.Module], Callable[[Sequence[Any]], Stacked]] = {
    nn.Linear: StackedLinear,
    nn.BatchNorm1d: StackedBatchNorm,
    FrozenNorm: StackedFrozenNorm,
    nn.LayerNorm: StackedGroupNorm,
    nn.GroupNorm: StackedGroupNorm,
    nn.Dropout: StackedDropout,
}


def stack(networks: Sequence[nn.Sequential]) -> nn.Sequential:
    """Return R networks of one architecture as one module, (R, F, B) features to (R, 1, B) or (R, K, B) logits."""
    layers: OrderedDict[str, nn.Module] = OrderedDict()
    for name, layer in networks[0].named_children():
        layers[name] = layer  # an activation has no state: it serves all replicas as it is
        if type(layer) in _STACKED:
            alike = [network.get_submodule(name) for network in networks]
            layers[name] = _STACKED[type(layer)](alike)
    return _arrange(nn.Sequential(layers))


def unstack(stacked: nn.Sequential, replica: int) -> nn.Sequential:
    """Return one replica as the ordinary network that it is, with a copy of its weights."""
    layers: OrderedDict[str, nn.Module] = OrderedDict()
    for name, layer in stacked.named_children():
        layers[name] = layer.ordinary() if isinstance(layer, Stacked) else layer
    network = nn.Sequential(layers).to(next(stacked.parameters()).dtype)
    network.load_state_dict({name: value[replica] for name, value in stacked.state_dict().items()})
    return network


def select(stacked: nn.Sequential, replicas: slice | Tensor) -> nn.Sequential:
    """Return some of the replicas, chosen as a tensor's rows are, as a stacked network with tensors of its own."""
    chosen = copy.deepcopy(stacked)
    for tensor in state_tensors(chosen):
        tensor.grad = None
        tensor.data = tensor.data[replicas].clone()
    return _arrange(chosen)


def repeat(x: Tensor, times: int, *, narrow: bool) -> Tensor:
    """Return a batch (S, F, B) for `times` * S replicas, (times * S, F, B), in the memory that suits their layers."""
    if narrow:
        replicas_last = x.permute(2, 1, 0).contiguous()  # (B, F, S)
        return torch.cat([replicas_last] * times, dim=2).permute(2, 1, 0)
    return torch.cat([x.contiguous()] * times)


def is_narrow(stacked: nn.Sequential) -> bool:
    """Return whether the replicas are last in memory."""
    first = stacked[0]
    assert isinstance(first, Stacked)
    return first.narrow


def count_replicas(stacked: nn.Sequential) -> int:
    """Return R."""
    return len(next(stacked.parameters()))


def widest_layer(stacked: nn.Sequential) -> int:
    """Return the number of units of the largest layer."""
    return max(parameter.shape[1] for parameter in stacked.parameters())


def state_tensors(stacked: nn.Sequential) -> list[Tensor]:
    """Return parameters and buffers, all with the replicas first in their shapes."""
    return [*stacked.parameters(), *stacked.buffers()]


def flatten_parameters(stacked: nn.Sequential) -> Tensor:
    """Make all parameters views of one flat vector, in the order of their memory, and return it.

    So are their gradients: views of its own, which is zero.
    """
    parameters = list(stacked.parameters())
    flat = torch.cat([in_memory_order(parameter.detach()) for parameter in parameters])
    flat.grad = torch.zeros_like(flat)
    sizes = [parameter.numel() for parameter in parameters]
    for parameter, values, grads in zip(parameters, flat.split(sizes), flat.grad.split(sizes), strict=True):
        shape, stride = parameter.shape, parameter.stride()
        parameter.data = values.as_strided(shape, stride)
        parameter.grad = grads.as_strided(shape, stride)
    _forget_views(stacked)
    return flat


def in_memory_order(tensor: Tensor) -> Tensor:
    """View a tensor without gaps as the vector that lies in memory."""
    return tensor.as_strided((tensor.numel(),), (1,))


def _arrange(stacked: nn.Sequential) -> nn.Sequential:
    """Put the replicas last in memory where the network is narrow, first elsewhere."""
    sizes = [layer.weight[0].numel() for layer in stacked if isinstance(layer, StackedLinear)]
    narrow = max(sizes) <= NARROW
    for tensor in state_tensors(stacked):
        tensor.data = tensor.movedim(0, -1).contiguous().movedim(-1, 0) if narrow else tensor.contiguous()
    for layer in stacked:
        if isinstance(layer, Stacked):
            layer.narrow = narrow
    _forget_views(stacked)
    return stacked


def _forget_views(stacked: nn.Sequential) -> None:
    for layer in stacked:
        if isinstance(layer, Stacked):
            layer.forget_views()
