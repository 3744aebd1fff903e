"""The optimizers, with a learning rate for each replica, by the formulas of `torch.optim`.

Those of `torch.optim` itself would need a second to import (the compiler), more than most trainings here take. All
parameters are one flat vector, so that a formula is a few calls for all replicas. Adam is one call, of the kernel
behind `fused=True` in `torch.optim`: it goes over the values once, but knows one learning rate a call.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor

VALUES_AT_ONCE = 2**16  # few enough for the caches
LONG = 2048  # values in a row at one rate, on average: from here on Adam's kernel is faster called rate by rate


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


class Stretches(NamedTuple):
    """Stretches of the flat vectors, as Adam's kernel takes them: as in `Chunk`, but several of each."""

    values: list[Tensor]
    grads: list[Tensor]
    averages: list[Tensor]
    square_averages: list[Tensor]


class Optimizer:
    """Moves the values of the vector `flat` against its `grad`, each at its own learning rate out of `rates`."""

    def __init__(
        self, flat: Tensor, rates: Tensor, kind: str, *, momentum: float = 0.0, weight_decay: float = 0.0
    ) -> None:
        self.direction = DIRECTIONS[kind]
        self.momentum = momentum
        self.weight_decay = weight_decay
        self.decoupled = kind == "adamw"
        self.steps = torch.zeros((), device=flat.device)  # a tensor: Adam's kernel wants it so
        by_rate = self.direction is _adam and _mean_stretch(rates) >= LONG
        self.by_rate = _cut_by_rate(flat, rates) if by_rate else {}
        self.chunks = [] if by_rate else _cut(flat, rates)

    def step(self) -> None:
        """Move every replica against its gradient."""
        self.steps += 1
        for rate, stretches in self.by_rate.items():
            self._move_by_adam(stretches, rate)
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

    def _move_by_adam(self, stretches: Stretches, rate: float) -> None:
        kernel = torch._fused_adamw_ if self.decoupled else torch._fused_adam_
        _call_adam(kernel, stretches, rate, self.steps, self.weight_decay)


def _cut(flat: Tensor, rates: Tensor) -> list[Chunk]:
    assert flat.grad is not None
    average, square_average = torch.zeros_like(flat), torch.zeros_like(flat)
    vectors = [flat, flat.grad, rates, average, square_average]
    pieces = [vector.split(VALUES_AT_ONCE) for vector in vectors]
    return [Chunk(*views) for views in zip(*pieces, strict=True)]


def _cut_by_rate(flat: Tensor, rates: Tensor) -> dict[float, Stretches]:
    """Return the stretches at each learning rate."""
    assert flat.grad is not None
    of_stretch, lengths = torch.unique_consecutive(rates, return_counts=True)
    vectors = [flat, flat.grad, torch.zeros_like(flat), torch.zeros_like(flat)]
    pieces = [vector.split(lengths.tolist()) for vector in vectors]
    by_rate: dict[float, Stretches] = {}
    for rate, *views in zip(of_stretch.tolist(), *pieces, strict=True):
        stretches = by_rate.setdefault(rate, Stretches([], [], [], []))
        for of_vector, view in zip(stretches, views, strict=True):
            of_vector.append(view)
    return by_rate


def _mean_stretch(rates: Tensor) -> float:
    """Return how many values in a row have the same rate, on average."""
    return len(rates) / len(torch.unique_consecutive(rates))


# What a step subtracts, in learning rates.


def _adam(optimizer: Optimizer, chunk: Chunk, grad: Tensor) -> Tensor:
    """Kingma & Ba (2015), algorithm 1: where it would take a value from 0, at a rate of -1."""
    direction = torch.zeros_like(grad)
    stretches = Stretches([direction], [grad], [chunk.average], [chunk.square_average])
    _call_adam(torch._fused_adam_, stretches, -1.0, optimizer.steps, 0.0)
    return direction


def _call_adam(
    kernel: Callable[..., None], stretches: Stretches, rate: float, steps: Tensor, weight_decay: float
) -> None:
    kernel(
        *stretches,
        [],  # of AMSGrad
        [steps] * len(stretches.values),
        lr=rate,
        beta1=0.9,
        beta2=0.999,
        weight_decay=weight_decay,
        eps=1e-8,
        amsgrad=False,
        maximize=False,
    )


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
