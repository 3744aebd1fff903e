"""The optimizers, with a learning rate for each replica, by the formulas of `torch.optim`.

Those of `torch.optim` itself would need a second to import (the compiler), more than most trainings here take. All
parameters are one flat vector, so that a formula is a few calls for all replicas.
"""

from collections.abc import Callable

import torch
from torch import Tensor


class Optimizer:
    """Moves `flat`, which has a `grad`, along a direction that the kind defines, each value at its own rate."""

    def __init__(self, flat: Tensor, rates: Tensor, kind: str, *, momentum: float = 0.0, weight_decay: float = 0.0):
        self.flat, self.rates, self.direction = flat, rates, DIRECTIONS[kind]
        self.momentum, self.weight_decay, self.decoupled = momentum, weight_decay, kind == "adamw"
        self.steps = 0
        self.first, self.second = torch.zeros_like(flat), torch.zeros_like(flat)  # what a kind remembers

    @torch.no_grad()
    def step(self) -> None:
        """Move every replica along its gradient."""
        self.steps += 1
        grad = self.flat.grad
        if self.weight_decay and not self.decoupled:
            grad = grad.add(self.flat, alpha=self.weight_decay)
        direction = self.direction(self, grad)
        if self.weight_decay and self.decoupled:
            direction = direction.add(self.flat, alpha=self.weight_decay)
        self.flat.addcmul_(direction, self.rates, value=-1)


def _adam(state: Optimizer, grad: Tensor, betas: tuple[float, float] = (0.9, 0.999), eps: float = 1e-8) -> Tensor:
    """Kingma & Ba (2015), algorithm 1."""
    first, second = betas
    state.first.lerp_(grad, 1 - first)
    state.second.mul_(second).addcmul_(grad, grad, value=1 - second)
    root = state.second.sqrt().div_((1 - second**state.steps) ** 0.5).add_(eps)
    return (state.first / root).div_(1 - first**state.steps)


def _sgd(state: Optimizer, grad: Tensor) -> Tensor:
    return state.first.mul_(state.momentum).add_(grad) if state.momentum else grad


def _rmsprop(state: Optimizer, grad: Tensor, alpha: float = 0.99, eps: float = 1e-8) -> Tensor:
    state.second.mul_(alpha).addcmul_(grad, grad, value=1 - alpha)
    return grad / state.second.sqrt().add_(eps)


DIRECTIONS: dict[str, Callable[[Optimizer, Tensor], Tensor]] = {
    "adam": _adam,
    "adamw": _adam,  # Loshchilov & Hutter (2019): the decay is no part of the gradient
    "sgd": _sgd,
    "rmsprop": _rmsprop,
}
