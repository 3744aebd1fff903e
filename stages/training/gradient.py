"""The gradient of stacked networks, layer by layer."""

from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn import functional as F

aten = torch.ops.aten

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
