"""Layers that hold R layers of one kind and apply each to its own input: forward and backward, side by side.

Every layer finds its gradient itself, by a `backward` after each `forward` in training mode: in networks as small as
these, autograd's bookkeeping would take as long as the arithmetic.
"""

from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn

from stages.training.loss import cross_entropy_gradient

aten = torch.ops.aten


class Stacked(nn.Module):
    """R layers of one kind and size; the shapes of `weight` and `bias`, where it has them, begin with R.

    `narrow`: in memory the replicas come last (see stages/training/replicas.py).
    """

    narrow = False
    weight: nn.Parameter | None
    bias: nn.Parameter | None

    def backward(self, x: Tensor, grad: Tensor, needed: bool) -> Tensor | None:
        """Take the gradient in the output, `grad` (R, out, B), of the last `forward`, on `x` (R, in, B).

        Write the gradients in weight and bias over their `grad`; return that in `x`, where it is `needed`.
        """
        raise NotImplementedError

    def ordinary(self) -> nn.Module:
        """Return one layer of this kind and size, for weights to be loaded into."""
        raise NotImplementedError


class StackedLinear(Stacked):
    """R dense layers: weight (R, out, in), bias (R, out)."""

    weight: nn.Parameter
    bias: nn.Parameter

    def __init__(self, layers: Sequence[nn.Linear]) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.stack([layer.weight.detach() for layer in layers]))
        self.bias = nn.Parameter(torch.stack([layer.bias.detach() for layer in layers]))

    def forward(self, x: Tensor) -> Tensor:
        """(R, in, B) -> (R, out, B)."""
        if self.narrow:
            return self._narrow_forward(x)
        return torch.baddbmm(self.bias.unsqueeze(-1), self.weight, x)

    def backward(self, x: Tensor, grad: Tensor, needed: bool) -> Tensor | None:
        torch.sum(grad, -1, out=gradient_of(self.bias))
        if self.narrow:
            return self._narrow_backward(x, grad, needed)
        torch.bmm(grad, x.transpose(1, 2), out=gradient_of(self.weight))
        return torch.bmm(self.weight.transpose(1, 2), grad) if needed else None

    # A batched product of tiny matrices is a loop over the replicas. With the replicas last it is a loop over the few
    # units instead, and each turn serves all replicas and examples at once.

    def _narrow_forward(self, x: Tensor) -> Tensor:
        x = x.permute(2, 1, 0)  # (B, in, R)
        weight = self.weight.permute(1, 2, 0)  # (out, in, R)
        output = torch.addcmul(self.bias.T, weight[:, 0], x[:, :1])  # (B, out, R)
        for i in range(1, x.shape[1]):
            output.addcmul_(weight[:, i], x[:, i : i + 1])
        return output.permute(2, 1, 0)  # (R, out, B)

    def _narrow_backward(self, x: Tensor, grad: Tensor, needed: bool) -> Tensor | None:
        x, grad = x.permute(2, 1, 0), grad.permute(2, 1, 0)  # (B, in, R), (B, out, R)
        weight = self.weight.permute(1, 2, 0)  # (out, in, R)
        products = grad.unsqueeze(2) * x.unsqueeze(1)  # (B, out, in, R)
        torch.sum(products, 0, out=gradient_of(self.weight).permute(1, 2, 0))
        if not needed:
            return None
        grad_x = weight[0] * grad[:, :1]  # (B, in, R)
        for o in range(1, grad.shape[1]):
            grad_x.addcmul_(weight[o], grad[:, o : o + 1])
        return grad_x.permute(2, 1, 0)  # (R, in, B)

    def ordinary(self) -> nn.Linear:
        outputs, inputs = self.weight.shape[1:]
        return nn.Linear(inputs, outputs)


class StackedDropout(Stacked):
    """R dropout layers: they keep a value with probability 1 - rate, divided by it, as `nn.Dropout` does.

    `mask` (R, F, B), which is 0 or 1 / (1 - rate), comes from outside for every step, so that all that is measured in a
    step shares it (stages/training/masks.py). None: everything is kept as it is.
    """

    def __init__(self, layers: Sequence[nn.Dropout]) -> None:
        super().__init__()
        self.rate = layers[0].p
        self.mask: Tensor | None = None

    def train(self, mode: bool = True) -> "StackedDropout":
        """Forget the mask at the end of the training mode: it belongs to a step."""
        if not mode:
            self.mask = None
        super().train(mode)
        return self

    def forward(self, x: Tensor) -> Tensor:
        """(R, F, B) -> (R, F, B)."""
        return x if self.mask is None else x * self.mask

    def backward(self, x: Tensor, grad: Tensor, needed: bool) -> Tensor | None:
        return grad if self.mask is None else grad * self.mask

    def ordinary(self) -> nn.Dropout:
        return nn.Dropout(self.rate)


# Activations have no state: PyTorch's own layers serve all replicas as they are. The gradient in their input is that in
# their output times the derivative, which is cheapest to have from the input or from the output.


def relu_backward(grad: Tensor, x: Tensor, output: Tensor) -> Tensor:
    """The derivative is 1 where the output is above 0, else 0."""
    return aten.threshold_backward(grad, output, 0)


def leaky_relu_backward(grad: Tensor, x: Tensor, output: Tensor) -> Tensor:
    """The derivative is 1 where x is above 0, else the slope that `nn.LeakyReLU` has by default."""
    return aten.leaky_relu_backward(grad, x, nn.LeakyReLU().negative_slope, False)


def tanh_backward(grad: Tensor, x: Tensor, output: Tensor) -> Tensor:
    """The derivative is 1 - output ** 2."""
    return aten.tanh_backward(grad, output)


def sigmoid_backward(grad: Tensor, x: Tensor, output: Tensor) -> Tensor:
    """The derivative is output * (1 - output)."""
    return aten.sigmoid_backward(grad, output)


def gelu_backward(grad: Tensor, x: Tensor, output: Tensor) -> Tensor:
    """The derivative is Phi(x) + x * phi(x), the normal distribution and its density."""
    return aten.gelu_backward(grad, x)


ACTIVATION_BACKWARD: dict[type[nn.Module], Callable[[Tensor, Tensor, Tensor], Tensor]] = {
    nn.ReLU: relu_backward,
    nn.LeakyReLU: leaky_relu_backward,
    nn.Tanh: tanh_backward,
    nn.Sigmoid: sigmoid_backward,
    nn.GELU: gelu_backward,
}


@torch.no_grad()
def write_gradient(network: nn.Sequential, x: Tensor, y: Tensor) -> Tensor:
    """Write the gradient of every replica's mean loss over the `grad` of its parameters; return the logits.

    For a batch x (R, F, B), y (R, B) and a network in training mode, whose parameters `flatten_parameters` has
    prepared; logits as for `cross_entropy`. What autograd finds, without its bookkeeping.
    """
    passed = []
    for layer in network:
        output = layer(x)
        passed.append((layer, x, output))
        x = output
    logits = x
    grad: Tensor | None = cross_entropy_gradient(logits, y)
    first = network[0]
    for layer, x, output in reversed(passed):
        assert grad is not None  # needed by every layer but the first
        if isinstance(layer, Stacked):
            grad = layer.backward(x, grad, needed=layer is not first)
        else:
            grad = ACTIVATION_BACKWARD[type(layer)](grad, x, output)
    return logits


def gradient_of(parameter: nn.Parameter | None) -> Tensor:
    """Return the memory of a parameter's gradient, which `flatten_parameters` has put there."""
    assert parameter is not None
    assert parameter.grad is not None
    return parameter.grad
