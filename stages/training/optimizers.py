"""The optimizers, with a learning rate for each replica, by the formulas of `torch.optim`.

Those of `torch.optim` itself would need a second to import (the compiler), more than most trainings here take. All
parameters are one flat vector, so that a formula is a few calls for all replicas.
"""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

VALUES_AT_ONCE = 2**16  # few enough for the caches


@dataclass(frozen=True)
class Chunk:
    """Some of the values that move, each with its gradient and its learning rate: views of the flat vectors.

    The two averages are what a kind remembers from step to step: of the gradient (the velocity of sgd with momentum),
    and of its square.
    """

    values: Tensor
    grad: Tensor
    rates: Tensor
    average: Tensor
    square_average: Tensor


class Optimizer:
    """Moves the values of the vector `flat` against its `grad`, each at its own learning rate out of `rates`."""

    def __init__(
        self, flat: Tensor, rates: Tensor, kind: str, *, momentum: float = 0.0, weight_decay: float = 0.0
    ) -> None:
        self.chunks = _cut(flat, rates)
        self.direction = DIRECTIONS[kind]
        self.momentum = momentum
        self.weight_decay = weight_decay
        self.decoupled = kind == "adamw"
        self.steps = 0

    @torch.no_grad()
    def step(self) -> None:
        """Move every replica against its gradient."""
        self.steps += 1
        for chunk in self.chunks:
            chunk.values.addcmul_(self._decayed_direction(chunk), chunk.rates, value=-1)

    def _decayed_direction(self, chunk: Chunk) -> Tensor:
        """Return the direction with weight decay: decoupled in adamw, the gradient of an L2 penalty in the others."""
        grad = chunk.grad
        if self.weight_decay and not self.decoupled:
            grad = grad.add(chunk.values, alpha=self.weight_decay)
        direction = self.direction(self, chunk, grad)
        if self.weight_decay and self.decoupled:
            direction = direction.add(chunk.values, alpha=self.weight_decay)
        return direction


def _cut(flat: Tensor, rates: Tensor) -> list[Chunk]:
    assert flat.grad is not None
    average, square_average = torch.zeros_like(flat), torch.zeros_like(flat)
    vectors = [flat, flat.grad, rates, average, square_average]
    pieces = [vector.split(VALUES_AT_ONCE) for vector in vectors]
    return [Chunk(*views) for views in zip(*pieces, strict=True)]


# What a step subtracts, in learning rates.


def _adam(
    optimizer: Optimizer, chunk: Chunk, grad: Tensor, betas: tuple[float, float] = (0.9, 0.999), eps: float = 1e-8
) -> Tensor:
    """Kingma & Ba (2015), algorithm 1."""
    beta1, beta2 = betas
    chunk.average.lerp_(grad, 1 - beta1)
    chunk.square_average.mul_(beta2).addcmul_(grad, grad, value=1 - beta2)
    bias1 = 1 - beta1**optimizer.steps
    bias2 = 1 - beta2**optimizer.steps
    root = chunk.square_average.sqrt().div_(bias2**0.5).add_(eps)
    return (chunk.average / root).div_(bias1)


def _sgd(optimizer: Optimizer, chunk: Chunk, grad: Tensor) -> Tensor:
    """The gradient, or with momentum PyTorch's velocity: momentum * velocity + gradient."""
    if not optimizer.momentum:
        return grad
    return chunk.average.mul_(optimizer.momentum).add_(grad)


def _rmsprop(optimizer: Optimizer, chunk: Chunk, grad: Tensor, alpha: float = 0.99, eps: float = 1e-8) -> Tensor:
    """Tieleman & Hinton (2012), lecture 6.5 of a course."""
    chunk.square_average.mul_(alpha).addcmul_(grad, grad, value=1 - alpha)
    return grad / chunk.square_average.sqrt().add_(eps)


DIRECTIONS: dict[str, Callable[[Optimizer, Chunk, Tensor], Tensor]] = {
    "adam": _adam,
    "adamw": _adam,  # Loshchilov & Hutter (2019): the decay is no part of the gradient
    "sgd": _sgd,
    "rmsprop": _rmsprop,
}
