"""Layers that hold R layers of one kind and apply each to its own input: forward and backward, side by side.

Every layer finds its gradient itself (`backward`, once after each `forward` in training mode): autograd's bookkeeping
would take as long as the arithmetic.
"""

from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

aten = torch.ops.aten


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


_ACTIVATIONS: dict[type[nn.Module], Callable[[Tensor, Tensor, Tensor], Tensor]] = {  # of grad, input and output
    nn.ReLU: lambda grad, x, output: aten.threshold_backward(grad, output, 0),
    nn.LeakyReLU: lambda grad, x, output: aten.leaky_relu_backward(grad, x, nn.LeakyReLU().negative_slope, False),
    nn.Tanh: lambda grad, x, output: aten.tanh_backward(grad, output),
    nn.Sigmoid: lambda grad, x, output: aten.sigmoid_backward(grad, output),
    nn.GELU: lambda grad, x, output: aten.gelu_backward(grad, x),
}


@torch.no_grad()
def write_gradient(network: nn.Sequential, x: Tensor, y: Tensor) -> Tensor:
    """Write the gradient of every replica's mean loss into `grad` of its parameters, which is there; return the logits.

    The network is in training mode, its parameters flattened; batch x (R, F, B), y (R, B); logits as for
    `cross_entropy`. What autograd finds, without its bookkeeping.
    """
    passed = []
    for layer in network:
        output = layer(x)
        passed.append((layer, x, output))
        x = output
    grad = _gradient_of_logits(x, y)
    for number, (layer, x, output) in reversed(list(enumerate(passed))):
        if type(layer) in _ACTIVATIONS:
            grad = _ACTIVATIONS[type(layer)](grad, x, output)
        else:
            grad = layer.backward(x, grad, needed=number > 0)
    return passed[-1][-1]


def _gradient_of_logits(logits: Tensor, y: Tensor) -> Tensor:
    """Return the gradient of the mean of `cross_entropy` over B: (what is predicted - what is the case) / B."""
    if logits.shape[1] == 1:
        return torch.sigmoid(logits).sub_(y.unsqueeze(1)).div_(y.shape[-1])
    case = F.one_hot(y, logits.shape[1]).transpose(1, 2)  # (R, K, B)
    return torch.softmax(logits, dim=1).sub_(case).div_(y.shape[-1])
