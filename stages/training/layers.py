"""Layers that hold R layers of one kind and apply each to its own input: forward and backward, side by side.

Every layer finds its gradient itself, by a `backward` after each `forward` in training mode: in networks as small as
these, autograd's bookkeeping would take as long as the arithmetic.
"""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from stages.training.loss import cross_entropy_gradient

aten = torch.ops.aten


class Stacked(nn.Module):
    """R layers of one kind and size; the shapes of `weight` and `bias`, where it has them, begin with R.

    `narrow`: in memory the replicas come last (see stages/training/replicas.py). What `forward` returns may be written
    over in training: what `backward` needs lies elsewhere.
    """

    narrow = False
    weight: nn.Parameter | None
    bias: nn.Parameter | None
    _kept_views: Any = None

    def backward(self, x: Tensor, grad: Tensor, needed: bool) -> Tensor | None:
        """Take the gradient in the output, `grad` (R, out, B), of the last `forward`, on `x` (R, in, B).

        Write the gradients in weight and bias over their `grad`; return that in `x`, where it is `needed`.
        """
        raise NotImplementedError

    def ordinary(self) -> nn.Module:
        """Return one layer of this kind and size, for weights to be loaded into."""
        raise NotImplementedError

    def views(self) -> Any:
        """Return parameters, buffers and gradients as the arithmetic takes them, by `make_views`.

        In small networks, to make them takes as long as the arithmetic: they are kept until `forget_views`. But where
        autograd looks on, it has to see them made.
        """
        if torch.is_grad_enabled():
            return self.make_views()
        if self._kept_views is None:
            self._kept_views = self.make_views()
        return self._kept_views

    def make_views(self) -> Any:
        """Return views of the memory where parameters, buffers and gradients lie now."""
        raise NotImplementedError

    def forget_views(self) -> None:
        """Parameters, buffers or gradients lie elsewhere from now on."""
        self._kept_views = None

    def _apply(self, *args: Any, **kwargs: Any) -> "Stacked":
        self.forget_views()  # moved to another device or dtype
        return super()._apply(*args, **kwargs)

    def __getstate__(self) -> dict[str, Any]:
        return self.__dict__ | {"_kept_views": None}  # a copy has memory of its own


class WideViews(NamedTuple):
    """Of a dense layer with the replicas first: weight (R, out, in), bias (R, out, 1); gradients as in parameters."""

    weight: Tensor
    bias: Tensor
    weight_grad: Tensor | None
    bias_grad: Tensor | None


class NarrowViews(NamedTuple):
    """Of a dense layer with the replicas last: what leads from each unit (out, R), and to each unit (in, R).

    bias (out, R); gradients (out, in, R) and (out, R).
    """

    from_units: Sequence[Tensor]
    to_units: Sequence[Tensor]
    bias: Tensor
    weight_grad: Tensor | None
    bias_grad: Tensor | None


class StackedLinear(Stacked):
    """R dense layers: weight (R, out, in), bias (R, out)."""

    weight: nn.Parameter
    bias: nn.Parameter

    def __init__(self, layers: Sequence[nn.Linear]) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.stack([layer.weight.detach() for layer in layers]))
        self.bias = nn.Parameter(torch.stack([layer.bias.detach() for layer in layers]))

    def make_views(self) -> WideViews | NarrowViews:
        weight, bias = self.weight, self.bias
        if not self.narrow:
            return WideViews(weight, bias.unsqueeze(-1), weight.grad, bias.grad)
        last = weight.permute(1, 2, 0)  # (out, in, R)
        weight_grad = None if weight.grad is None else weight.grad.permute(1, 2, 0)
        bias_grad = None if bias.grad is None else bias.grad.T
        return NarrowViews(last.unbind(1), last.unbind(0), bias.T, weight_grad, bias_grad)

    def forward(self, x: Tensor) -> Tensor:
        """(R, in, B) -> (R, out, B)."""
        views = self.views()
        if self.narrow:
            return _narrow_forward(views, x.permute(2, 1, 0)).permute(2, 1, 0)
        return torch.baddbmm(views.bias, views.weight, x)

    def backward(self, x: Tensor, grad: Tensor, needed: bool) -> Tensor | None:
        views = self.views()
        if self.narrow:
            grad_x = _narrow_backward(views, x.permute(2, 1, 0), grad.permute(2, 1, 0), needed)
            return None if grad_x is None else grad_x.permute(2, 1, 0)
        torch.sum(grad, -1, out=views.bias_grad)
        torch.bmm(grad, x.transpose(1, 2), out=views.weight_grad)
        return torch.bmm(views.weight.transpose(1, 2), grad) if needed else None

    def ordinary(self) -> nn.Linear:
        outputs, inputs = self.weight.shape[1:]
        return nn.Linear(inputs, outputs)


# A batched product of tiny matrices is a loop over the replicas. With the replicas last it is a loop over the few units
# instead, and each turn serves all replicas and examples at once.


def _narrow_forward(views: NarrowViews, x: Tensor) -> Tensor:
    """(B, in, R) -> (B, out, R)."""
    output = torch.addcmul(views.bias, views.from_units[0], x[:, :1])
    for i in range(1, x.shape[1]):
        output.addcmul_(views.from_units[i], x[:, i : i + 1])
    return output


def _narrow_backward(views: NarrowViews, x: Tensor, grad: Tensor, needed: bool) -> Tensor | None:
    """Like `Stacked.backward`, for x (B, in, R) and grad (B, out, R)."""
    torch.sum(grad, 0, out=views.bias_grad)
    products = grad.unsqueeze(2) * x.unsqueeze(1)  # (B, out, in, R)
    torch.sum(products, 0, out=views.weight_grad)
    if not needed:
        return None
    grad_x = views.to_units[0] * grad[:, :1]
    for o in range(1, grad.shape[1]):
        grad_x.addcmul_(views.to_units[o], grad[:, o : o + 1])
    return grad_x


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
    return aten.threshold_backward.grad_input(grad, output, 0, grad_input=grad)  # in place: nobody else has it


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


@torch.inference_mode()
def write_gradient(network: nn.Sequential, x: Tensor, y: Tensor) -> Tensor:
    """Write the gradient of every replica's mean loss over the `grad` of its parameters; return the logits.

    For a batch x (R, F, B), y (R, B) and a network in training mode, whose parameters `flatten_parameters` has
    prepared; logits as for `cross_entropy`. What autograd finds, without its bookkeeping.
    """
    passed = []
    for layer in network:
        # ReLU writes over its input, for which nobody asks again. Others by `forward`, not by layer(x), which looks for
        # hooks: a twentieth of a step, and there are none.
        output = torch.relu_(x) if type(layer) is nn.ReLU else layer.forward(x)
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
