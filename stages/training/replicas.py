"""The textbook network, many replicas in one module: every layer holds R layers and applies each to its own input.

A network of a few units costs next to nothing to compute and almost everything to dispatch, so R of them trained
together cost little more than one. For the same reason every layer finds its gradient itself (`backward`, once after
each `forward` in training mode): autograd's bookkeeping would take as long as the arithmetic.

All shapes have the replicas first. In memory they come first in wide networks, whose layers are matrix products, and
last in narrow ones, whose layers are a few sums over all replicas and examples at once.
"""

import copy
from collections import OrderedDict
from collections.abc import Sequence

import torch
from torch import Tensor, nn

aten = torch.ops.aten
NARROW = 16  # weights: networks without a larger layer have their replicas last in memory (measured)


class Stacked(nn.Module):
    """R layers of one kind and size. `narrow`: the replicas are last in memory."""

    narrow = False


class StackedLinear(Stacked):
    """R dense layers: weight (R, out, in), bias (R, out)."""

    def __init__(self, layers: Sequence[nn.Linear]) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.stack([layer.weight.detach() for layer in layers]))
        self.bias = nn.Parameter(torch.stack([layer.bias.detach() for layer in layers]))

    def forward(self, x: Tensor) -> Tensor:
        """(R, in, B) -> (R, out, B)."""
        if not self.narrow:
            return torch.baddbmm(self.bias.unsqueeze(-1), self.weight, x)
        x, weight = x.permute(2, 1, 0), self.weight.permute(1, 2, 0)  # (B, in, R), (out, in, R)
        output = torch.addcmul(self.bias.T, weight[:, 0], x[:, :1])
        for i in range(1, x.shape[1]):
            output.addcmul_(weight[:, i], x[:, i : i + 1])
        return output.permute(2, 1, 0)

    def backward(self, x: Tensor, grad: Tensor, needed: bool) -> Tensor | None:
        """Write `grad` of weight and bias; return that of the input x, where it is `needed`."""
        torch.sum(grad, -1, out=self.bias.grad)
        if not self.narrow:
            torch.bmm(grad, x.transpose(1, 2), out=self.weight.grad)
            return torch.bmm(self.weight.transpose(1, 2), grad) if needed else None
        x, grad, weight = x.permute(2, 1, 0), grad.permute(2, 1, 0), self.weight.permute(1, 2, 0)
        torch.sum(grad.unsqueeze(2) * x.unsqueeze(1), 0, out=self.weight.grad.permute(1, 2, 0))
        if not needed:
            return None
        of_x = weight[0] * grad[:, :1]
        for o in range(1, grad.shape[1]):
            of_x.addcmul_(weight[o], grad[:, o : o + 1])
        return of_x.permute(2, 1, 0)

    def ordinary(self) -> nn.Linear:
        """Return one layer of this kind and size, for weights to be loaded into."""
        outputs, inputs = self.weight.shape[1:]
        return nn.Linear(inputs, outputs, dtype=self.weight.dtype)


class StackedBatchNorm(Stacked):
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
            self.num_batches_tracked.add_(1)
        weight, bias, mean, variance = map(self._flat, (self.weight, self.bias, self.running_mean, self.running_var))
        arguments = (weight, bias, mean, variance, self.training, self._momentum(), self.eps)
        output, *self.of_batch = torch.native_batch_norm(self._as_one_layer(x), *arguments)
        return self._as_replicas(output, x)

    def backward(self, x: Tensor, grad: Tensor, needed: bool) -> Tensor | None:
        """Write `grad` of weight and bias; return that of the input x, where it is `needed`."""
        weight, mean, variance = map(self._flat, (self.weight, self.running_mean, self.running_var))
        of_x, of_weight, of_bias = aten.native_batch_norm_backward(
            *(self._as_one_layer(tensor) for tensor in (grad, x)),
            weight,
            mean,
            variance,
            *self.of_batch,
            train=True,
            eps=self.eps,
            output_mask=[needed, self.affine, self.affine],
        )
        if self.affine:
            self._flat(self.weight.grad).copy_(of_weight)
            self._flat(self.bias.grad).copy_(of_bias)
        return self._as_replicas(of_x, x) if needed else None

    def _flat(self, tensor: Tensor | None) -> Tensor | None:
        """View (R, F) as the (R * F,) that lies in memory."""
        if tensor is None:
            return None
        return tensor.T.view(-1) if self.narrow else tensor.view(-1)

    def _as_one_layer(self, x: Tensor) -> Tensor:
        """View (R, F, B) as one layer's input, (B, F * R) or (1, R * F, B); a copy where the replicas share x."""
        return x.permute(2, 1, 0).flatten(1) if self.narrow else x.reshape(1, -1, x.shape[-1])

    def _as_replicas(self, flat: Tensor, like: Tensor) -> Tensor:
        replicas, features, examples = like.shape
        if self.narrow:
            return flat.view(examples, features, replicas).permute(2, 1, 0)
        return flat.view(replicas, features, examples)

    def _momentum(self) -> float:
        """Return the weight of this batch in the running statistics; of None, the cumulative average, 1 / batches."""
        if self.momentum is None and self.training:
            return 1 / int(self.num_batches_tracked[0])  # all replicas have seen as many
        return self.momentum or 0.0

    def ordinary(self) -> nn.BatchNorm1d:
        """Return one layer of this kind and size, for weights to be loaded into."""
        features, dtype = self.running_mean.shape[1], self.running_mean.dtype
        return nn.BatchNorm1d(features, eps=self.eps, momentum=self.momentum, affine=self.affine, dtype=dtype)


class StackedGroupNorm(Stacked):
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
        centered = grouped - grouped.mean(dim=2, keepdim=True)
        self.scale = torch.rsqrt(centered.square().mean(dim=2, keepdim=True) + self.eps)
        self.normalized = centered * self.scale
        normalized = self.normalized.flatten(1, 2)
        if not self.affine:
            return normalized
        return torch.addcmul(self.bias.unsqueeze(-1), self.weight.unsqueeze(-1), normalized)

    def backward(self, x: Tensor, grad: Tensor, needed: bool) -> Tensor | None:
        """Write `grad` of weight and bias; return that of the input x, where it is `needed`."""
        if self.affine:
            torch.sum(grad * self.normalized.flatten(1, 2), -1, out=self.weight.grad)
            torch.sum(grad, -1, out=self.bias.grad)
            grad = grad * self.weight.unsqueeze(-1)
        if not needed:
            return None
        grad = grad.unflatten(1, (self.groups, -1))
        along = self.normalized * (grad * self.normalized).mean(dim=2, keepdim=True)
        return ((grad - grad.mean(dim=2, keepdim=True) - along) * self.scale).flatten(1, 2)

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
    return _arrange(nn.Sequential(layers))


def select(stacked: nn.Sequential, replicas: slice | Tensor) -> nn.Sequential:
    """Return some of the replicas, chosen as a tensor's rows are, as a stacked network with tensors of its own."""
    chosen = copy.deepcopy(stacked)
    for tensor in (*chosen.parameters(), *chosen.buffers()):
        tensor.grad, tensor.data = None, tensor.data[replicas].clone()
    return _arrange(chosen)


def repeat(x: Tensor, times: int, *, narrow: bool) -> Tensor:
    """Return a batch (S, F, B) for `times` * S replicas, (times * S, F, B), in the memory that suits their layers."""
    if narrow:
        return torch.cat([x.permute(2, 1, 0).contiguous()] * times, dim=2).permute(2, 1, 0)
    return torch.cat([x.contiguous()] * times)


def is_narrow(stacked: nn.Sequential) -> bool:
    """Return whether the replicas are last in memory."""
    return stacked[0].narrow


def _arrange(stacked: nn.Sequential) -> nn.Sequential:
    """Put the replicas last in memory where the network is narrow, first elsewhere."""
    narrow = max(layer.weight[0].numel() for layer in stacked if isinstance(layer, StackedLinear)) <= NARROW
    for tensor in (*stacked.parameters(), *stacked.buffers()):
        tensor.data = tensor.movedim(0, -1).contiguous().movedim(-1, 0) if narrow else tensor.contiguous()
    for layer in stacked:
        if isinstance(layer, Stacked):
            layer.narrow = narrow
    return stacked


def flatten_parameters(stacked: nn.Sequential) -> Tensor:
    """Make all parameters views of one flat vector, in the order of their memory, and return it.

    So are their gradients: views of its own, which is zero.
    """
    parameters = list(stacked.parameters())
    flat = torch.cat([in_memory_order(parameter.detach()) for parameter in parameters])
    flat.grad = torch.zeros_like(flat)
    sizes = [parameter.numel() for parameter in parameters]
    for parameter, values, grads in zip(parameters, flat.split(sizes), flat.grad.split(sizes), strict=True):
        shape = parameter.shape, parameter.stride()
        parameter.data, parameter.grad = values.as_strided(*shape), grads.as_strided(*shape)
    return flat


def in_memory_order(tensor: Tensor) -> Tensor:
    """View a tensor without gaps as the vector that lies in memory."""
    return tensor.as_strided((tensor.numel(),), (1,))


def unstack(stacked: nn.Sequential, replica: int) -> nn.Sequential:
    """Return one replica as the ordinary network that it is, with a copy of its weights."""
    layers: OrderedDict[str, nn.Module] = OrderedDict()
    for name, layer in stacked.named_children():
        layers[name] = layer.ordinary() if hasattr(layer, "ordinary") else layer
    network = nn.Sequential(layers)
    network.load_state_dict({name: value[replica] for name, value in stacked.state_dict().items()})
    return network
