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
class Part:
    """Some of the values that move: views of all of them, and of what an optimizer remembers."""

    values: Tensor
    grad: Tensor
    rates: Tensor
    first: Tensor
    second: Tensor


class Optimizer:
    """Moves `flat`, which has a `grad`, along a direction that the kind defines, each value at its own rate."""

    def __init__(
        self, flat: Tensor, rates: Tensor, kind: str, *, momentum: float = 0.0, weight_decay: float = 0.0
    ) -> None:
        tensors = flat, flat.grad, rates, torch.zeros_like(flat), torch.zeros_like(flat)
        self.parts = [Part(*views) for views in zip(*(each.split(VALUES_AT_ONCE) for each in tensors), strict=True)]
        self.direction, self.momentum, self.steps = DIRECTIONS[kind], momentum, 0
        self.weight_decay, self.decoupled = weight_decay, kind == "adamw"

    @torch.no_grad()
    def step(self) -> None:
        """Move every replica along its gradient."""
        self.steps += 1
        for part in self.parts:
            grad = part.grad
            if self.weight_decay and not self.decoupled:
                grad = grad.add(part.values, alpha=self.weight_decay)
            direction = self.direction(self, part, grad)
            if self.weight_decay and self.decoupled:
                direction = direction.add(part.values, alpha=self.weight_decay)
            part.values.addcmul_(direction, part.rates, value=-1)


def _adam(
    optimizer: Optimizer, part: Part, grad: Tensor, betas: tuple[float, float] = (0.9, 0.999), eps: float = 1e-8
) -> Tensor:
    """Kingma & Ba (2015), algorithm 1."""
    first, second = betas
    part.first.lerp_(grad, 1 - first)
    part.second.mul_(second).addcmul_(grad, grad, value=1 - second)
    root = part.second.sqrt().div_((1 - second**optimizer.steps) ** 0.5).add_(eps)
    return (part.first / root).div_(1 - first**optimizer.steps)


def _sgd(optimizer: Optimizer, part: Part, grad: Tensor) -> Tensor:
    return part.first.mul_(optimizer.momentum).add_(grad) if optimizer.momentum else grad


def _rmsprop(optimizer: Optimizer, part: Part, grad: Tensor, alpha: float = 0.99, eps: float = 1e-8) -> Tensor:
    part.second.mul_(alpha).addcmul_(grad, grad, value=1 - alpha)
    return grad / part.second.sqrt().add_(eps)


DIRECTIONS: dict[str, Callable[[Optimizer, Part, Tensor], Tensor]] = {
    "adam": _adam,
    "adamw": _adam,  # Loshchilov & Hutter (2019): the decay is no part of the gradient
    "sgd": _sgd,
    "rmsprop": _rmsprop,
}
