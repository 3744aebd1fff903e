"""Stacked layers that normalize: R layers of one kind in one, as in stages/training/layers.py."""

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor, nn

from stages.training.layers import Stacked, aten, gradient_of
from stages.training.network import FrozenNorm


class NormViews(NamedTuple):
    """Of R batch norm layers as one: all as (R * F,), in the order of memory, but the number of `batches` (R,)."""

    weight: Tensor | None
    bias: Tensor | None
    running_mean: Tensor
    running_var: Tensor
    weight_grad: Tensor | None
    bias_grad: Tensor | None
    batches: Tensor


class StackedBatchNorm(Stacked):
    """R batch norm layers of F features each; all tensors are (R, F), but `num_batches_tracked` (R,).

    Batch normalization treats every feature alone, so R layers of F features are one layer of R * F features, and
    PyTorch's own kernel serves unchanged.
    """

    running_mean: Tensor
    running_var: Tensor
    num_batches_tracked: Tensor

    def __init__(self, layers: Sequence[nn.BatchNorm1d]) -> None:
        super().__init__()
        self.eps = layers[0].eps
        self.momentum = layers[0].momentum
        self.affine = layers[0].affine
        self.weight = _stack_parameters([layer.weight for layer in layers])
        self.bias = _stack_parameters([layer.bias for layer in layers])
        for name in ("running_mean", "running_var", "num_batches_tracked"):
            self.register_buffer(name, torch.stack([layer.get_buffer(name) for layer in layers]))
        self.of_batch: list[Tensor] = []  # mean and 1 / deviation of the last batch in training mode, (R * F,) each

    def make_views(self) -> NormViews:
        weight, bias = self.weight, self.bias
        return NormViews(
            None if weight is None else self._flat(weight),
            None if bias is None else self._flat(bias),
            self._flat(self.running_mean),
            self._flat(self.running_var),
            None if weight is None or weight.grad is None else self._flat(weight.grad),
            None if bias is None or bias.grad is None else self._flat(bias.grad),
            self.num_batches_tracked,
        )

    def forward(self, x: Tensor) -> Tensor:
        """(R, F, B) -> (R, F, B)."""
        views = self.views()
        if self.training:
            views.batches.add_(1)
        output, *of_batch = torch.native_batch_norm(
            self._as_one_layer(x),
            views.weight,
            views.bias,
            views.running_mean,
            views.running_var,
            training=self.training,
            momentum=self._momentum(),
            eps=self.eps,
        )
        self.of_batch[:] = of_batch  # in place: a module takes 4 microseconds to set an attribute
        return self._as_replicas(output, x)

    def forward_exact(self, x: Tensor, rows: int) -> Tensor:
        """(R, F, N) -> (R, F, N), with mean and biased variance of the first `rows` of N, not the running averages."""
        mean, variance = self._statistics(x[..., :rows])
        return self._normalize(x, mean, variance)

    def _statistics(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Return mean and biased variance of x (R, F, N) over N, (R * F,) each."""
        return torch.batch_norm_update_stats(self._as_one_layer(x), None, None, 0.0)

    def _normalize(self, x: Tensor, mean: Tensor | None, variance: Tensor | None) -> Tensor:
        """Normalize x (R, F, N) by a given mean and variance, (R * F,) each."""
        views = self.views()
        output, _, _ = torch.native_batch_norm(
            self._as_one_layer(x),
            views.weight,
            views.bias,
            mean,
            variance,
            training=False,
            momentum=0.0,
            eps=self.eps,
        )
        return self._as_replicas(output, x)

    def backward(self, x: Tensor, grad: Tensor, needed: bool) -> Tensor | None:
        views = self.views()
        grad_x, grad_weight, grad_bias = aten.native_batch_norm_backward(
            self._as_one_layer(grad),
            self._as_one_layer(x),
            views.weight,
            views.running_mean,
            views.running_var,
            *self.of_batch,
            train=True,
            eps=self.eps,
            output_mask=[needed, self.affine, self.affine],
        )
        if self.affine:
            views.weight_grad.copy_(grad_weight)
            views.bias_grad.copy_(grad_bias)
        return self._as_replicas(grad_x, x) if needed else None

    def ordinary(self) -> nn.BatchNorm1d:
        features = self.running_mean.shape[1]
        return nn.BatchNorm1d(features, eps=self.eps, momentum=self.momentum, affine=self.affine)

    def _momentum(self) -> float:
        """Return the weight of this batch in the running statistics; of None, the cumulative average, 1 / batches."""
        if self.momentum is None and self.training:
            return 1 / int(self.num_batches_tracked[0])  # all replicas have seen as many
        return self.momentum or 0.0

    # Between R layers and one: views, in the order in which the values lie in memory.

    def _flat(self, tensor: Tensor) -> Tensor:
        """(R, F) -> (R * F,)."""
        return tensor.T.view(-1) if self.narrow else tensor.view(-1)

    def _unflat(self, tensor: Tensor) -> Tensor:
        """(R * F,) -> (R, F)."""
        replicas, features = self.running_mean.shape
        return tensor.view(features, replicas).T if self.narrow else tensor.view(replicas, features)

    def _as_one_layer(self, x: Tensor) -> Tensor:
        """(R, F, B) -> (B, F * R) in narrow networks, else (1, R * F, B); a copy where the replicas share x."""
        return x.permute(2, 1, 0).flatten(1) if self.narrow else x.reshape(1, -1, x.shape[-1])

    def _as_replicas(self, flat: Tensor, like: Tensor) -> Tensor:
        """Undo `_as_one_layer`: return (R, F, B), the shape of `like`."""
        replicas, features, examples = like.shape
        if self.narrow:
            return flat.view(examples, features, replicas).permute(2, 1, 0)
        return flat.view(replicas, features, examples)


class StackedFrozenNorm(StackedBatchNorm):
    """R batch norm layers with a mean and a variance that `freeze` has set; only weight and bias are trained."""

    def forward(self, x: Tensor) -> Tensor:
        """(R, F, B) -> (R, F, B)."""
        views = self.views()
        return self._normalize(x, views.running_mean, views.running_var)

    def freeze(self, x: Tensor) -> None:
        """Take mean and biased variance of x (R, F, N) over N, for ever."""
        mean, variance = self._statistics(x)
        self.running_mean.copy_(self._unflat(mean))
        self.running_var.copy_(self._unflat(variance))

    def backward(self, x: Tensor, grad: Tensor, needed: bool) -> Tensor | None:
        inverse_deviation = torch.rsqrt(self.running_var + self.eps).unsqueeze(-1)  # (R, F, 1)
        if self.weight is not None:
            normalized = (x - self.running_mean.unsqueeze(-1)) * inverse_deviation
            torch.sum(grad * normalized, -1, out=gradient_of(self.weight))
            torch.sum(grad, -1, out=gradient_of(self.bias))
            grad = grad * self.weight.unsqueeze(-1)
        return grad * inverse_deviation if needed else None

    def ordinary(self) -> FrozenNorm:
        features = self.running_mean.shape[1]
        return FrozenNorm(features, eps=self.eps, affine=self.affine)


class StackedGroupNorm(Stacked):
    """R layer norm or group norm layers of F features each; weight and bias (R, F).

    Layer normalization is group normalization with one group: here there is nothing beside features to average over.
    """

    def __init__(self, layers: Sequence[nn.LayerNorm | nn.GroupNorm]) -> None:
        super().__init__()
        first = layers[0]
        self.kind = type(first)
        self.eps = first.eps
        if isinstance(first, nn.GroupNorm):
            self.groups, self.features, self.affine = first.num_groups, first.num_channels, first.affine
        else:
            self.groups, self.features, self.affine = 1, first.normalized_shape[0], first.elementwise_affine
        self.weight = _stack_parameters([layer.weight for layer in layers])
        self.bias = _stack_parameters([layer.bias for layer in layers])

    def forward(self, x: Tensor) -> Tensor:
        """(R, F, B) -> (R, F, B)."""
        grouped = x.unflatten(1, (self.groups, -1))  # (R, groups, F / groups, B)
        centered = grouped - grouped.mean(dim=2, keepdim=True)
        variance = centered.square().mean(dim=2, keepdim=True)
        self.inverse_deviation = torch.rsqrt(variance + self.eps)
        self.normalized = centered * self.inverse_deviation
        normalized = self.normalized.flatten(1, 2)  # (R, F, B)
        if self.weight is None or self.bias is None:
            return normalized.clone()  # `backward` needs it
        return torch.addcmul(self.bias.unsqueeze(-1), self.weight.unsqueeze(-1), normalized)

    def backward(self, x: Tensor, grad: Tensor, needed: bool) -> Tensor | None:
        if self.weight is not None:
            torch.sum(grad * self.normalized.flatten(1, 2), -1, out=gradient_of(self.weight))
            torch.sum(grad, -1, out=gradient_of(self.bias))
            grad = grad * self.weight.unsqueeze(-1)
        if not needed:
            return None
        # A group's mean and deviation answer to x too: what lies along either has no effect and leaves the gradient.
        grad = grad.unflatten(1, (self.groups, -1))  # (R, groups, F / groups, B)
        along_mean = grad.mean(dim=2, keepdim=True)
        along_deviation = self.normalized * (grad * self.normalized).mean(dim=2, keepdim=True)
        grad_x = (grad - along_mean - along_deviation) * self.inverse_deviation
        return grad_x.flatten(1, 2)  # (R, F, B)

    def ordinary(self) -> nn.LayerNorm | nn.GroupNorm:
        if self.kind is nn.LayerNorm:
            return nn.LayerNorm(self.features, eps=self.eps, elementwise_affine=self.affine)
        return nn.GroupNorm(self.groups, self.features, eps=self.eps, affine=self.affine)


def _stack_parameters(values: Sequence[Tensor | None]) -> nn.Parameter | None:
    """Return the weights or biases of R layers, (F,) each, as (R, F); None where the layers have none."""
    present = [value.detach() for value in values if value is not None]
    return nn.Parameter(torch.stack(present)) if present else None
