"""What is measured inside the networks while they train: once per epoch, every seed at one learning rate.

What needs a step is measured on the first batch of the epoch, in training mode. All that is compared there (the network
as it is, with some layers moved, and along its gradient) stands side by side on the replica axis: one forward and one
backward pass serve all of it.

Layer i is dense layer i, counted from 1. A normalization layer moves with the dense layer that it follows, wherever the
activation stands; that of the inputs is layer 0.

Axes of this file alone:
    P  parameters of one network, all in a row
    V  variants of one network: other parameters, same batch
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import numpy as np
import pandas as pd
import torch
from torch import Tensor, nn

from stages.training.layers import StackedLinear, write_gradient
from stages.training.loss import cross_entropy
from stages.training.network import ACTIVATIONS
from stages.training.replicas import flatten_parameters, is_narrow, repeat, select

Passed = Sequence[tuple[nn.Module, Tensor, Tensor]]  # each layer with its input and its output (S, F, N)
OF_A_STEP = ("covariate_shift", "gradient_cosine", "loss_range", "gradient_change", "beta_smoothness")
OF_A_UNIT = {"input_p15": 0.15, "input_p50": 0.5, "input_p85": 0.85}  # what its activation gets: shares of rows below
DIAGNOSTICS = (*OF_A_STEP, "input_shift", *OF_A_UNIT, "dead_layer")
STEPS = (0.5, 1.0, 2.0, 4.0)  # along the gradient, in learning rates (Santurkar et al. 2018, sec. 3.2)
PROBE_ROWS = 128  # the first training rows: the probe set for the inputs of layers
DEAD_ROWS = 4096  # the first training rows: a layer dead on these counts as dead; bounds the memory
PARAMETERS_AT_ONCE = 250_000  # of all seeds together, in each variant of the networks; bounds the memory


class Diagnostics:
    """Watches some replicas of an arm, one per seed, while `train_arm` trains it; changes nothing in the training.

    `x` are all training rows (N, F), `replicas` those trained at `lr`, in the order of `seeds`.
    """

    def __init__(self, x: Tensor, seeds: Sequence[int], lr: float, replicas: slice) -> None:
        self.x, self.seeds, self.lr, self.replicas = x, seeds, lr, replicas
        self.watched: nn.Sequential | None = None  # a copy of the watched replicas
        self.variants: dict[int, nn.Sequential] = {}  # by the number of seeds measured at once
        self.step: dict[str, np.ndarray] = {}
        self.inputs: Tensor | None = None
        self.epochs: list[dict[str, np.ndarray]] = []

    @contextmanager
    def watch_step(self, network: nn.Sequential, x: Tensor, y: Tensor) -> Iterator[None]:
        """Measure the step that is taken inside: x (R, F, B), y (R, B), and their gradient in the parameters."""
        before = self._rows(network.parameters())
        gradient = self._rows(parameter.grad for parameter in network.parameters())
        yield
        after = self._rows(network.parameters())
        tensors = before, after, gradient, x[self.replicas], y[self.replicas]
        seeds = max(1, PARAMETERS_AT_ONCE // before.shape[1])
        parts = zip(*(tensor.split(seeds) for tensor in tensors), strict=True)
        steps = [measure_step(self._variants(network, len(part[0])), *part, self.lr) for part in parts]
        self.step = {name: np.concatenate([step[name] for step in steps]) for name in OF_A_STEP}

    def after_epoch(self, network: nn.Sequential) -> None:
        """Close an epoch (the first call: epoch 0) with what is measured on the training rows."""
        watched = self._watched(network)
        passed = list(_layer_by_layer(watched.eval(), self.x[:PROBE_ROWS]))
        inputs, dead = layer_inputs(passed), dead_layers(watched, self.x[:DEAD_ROWS])
        undefined = np.full(len(self.seeds), np.nan)
        shift = undefined if self.inputs is None else input_shift(self.inputs, inputs)
        measured = dict.fromkeys(OF_A_STEP, undefined) | self.step
        self.epochs.append(measured | {"input_shift": shift} | unit_percentiles(passed) | {"dead_layer": dead})
        self.inputs = inputs

    def table(self) -> pd.DataFrame:
        """Return one row per (seed, epoch): `seed`, `epoch`, `DIAGNOSTICS`; NaN where not defined.

        Row e tells of epoch e: its first step, the inputs after it against those before it, and after it a unit's
        percentiles and the dead layers. Epoch 0, before training, has these last two alone.
        """
        index = pd.MultiIndex.from_product([self.seeds, range(len(self.epochs))], names=["seed", "epoch"])
        columns = {name: np.stack([epoch[name] for epoch in self.epochs], axis=-1).ravel() for name in DIAGNOSTICS}
        return pd.DataFrame(columns, index=index).reset_index()

    def _watched(self, network: nn.Sequential) -> nn.Sequential:
        """Return the watched replicas as they are now, with parameters and running statistics of their own."""
        if self.watched is None:
            self.watched = select(network, self.replicas)
        with torch.no_grad():
            for mine, theirs in zip(_tensors(self.watched), _tensors(network), strict=True):
                mine.copy_(theirs[self.replicas])
        return self.watched

    def _variants(self, network: nn.Sequential, seeds: int) -> nn.Sequential:
        if seeds not in self.variants:
            self.variants[seeds] = build_variants(select(self._watched(network), slice(seeds)))
        return self.variants[seeds]

    def _rows(self, tensors: Iterator[Tensor]) -> Tensor:
        """Return these tensors of the watched replicas as (S, P), a copy.

        In float64, whatever the training uses: along a small step, rounding would pass for curvature.
        """
        return torch.cat([tensor.detach()[self.replicas].flatten(1) for tensor in tensors], dim=1).double()


def build_variants(network: nn.Sequential) -> nn.Sequential:
    """Return V variants of each of S replicas as one network, (V * S) in float64, for `measure_step` to write on."""
    layers, _ = parameter_layers(network)
    count = int(layers.max()) + len(STEPS)
    variants = select(network, torch.arange(len(next(network.parameters()))).repeat(count)).double().train()
    flatten_parameters(variants)
    return variants


def measure_step(
    variants: nn.Sequential, before: Tensor, after: Tensor, gradient: Tensor, x: Tensor, y: Tensor, lr: float
) -> dict[str, np.ndarray]:
    """Return each of `OF_A_STEP` as (S,) for the step from `before` to `after` (S, P) on x (S, F, B), y (S, B)."""
    layers, dense = (each.to(before.device) for each in parameter_layers(variants))
    later = torch.arange(2, int(layers.max()) + 1, device=before.device).view(-1, 1, 1)
    moved = torch.where(layers < later, after, before)  # (layers - 1, S, P)
    along = before - lr * before.new_tensor(STEPS).view(-1, 1, 1) * gradient  # (steps, S, P)
    losses, gradients = losses_and_gradients(variants, torch.cat([before[None], moved, along]), x, y)
    here, of_moved, of_along = gradients.split([1, len(moved), len(along)])
    mine = dense & (layers == later)
    measured = covariate_shift(here.where(mine, 0), of_moved.where(mine, 0))
    measured |= landscape(losses[-len(along) :], here - of_along, before - along)
    return {name: values.cpu().numpy() for name, values in measured.items()}


def parameter_layers(network: nn.Sequential) -> tuple[Tensor, Tensor]:
    """Return of each parameter (P,) the number of the layer that it moves with, and whether it is the dense layer's."""
    numbers, dense = [], []
    for layer in network.children():
        is_dense = isinstance(layer, StackedLinear)
        number = (numbers[-1] if numbers else 0) + is_dense
        size = sum(parameter[0].numel() for parameter in layer.parameters())
        numbers += [number] * size
        dense += [is_dense] * size
    return torch.tensor(numbers), torch.tensor(dense)


@torch.no_grad()
def losses_and_gradients(variants: nn.Sequential, values: Tensor, x: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
    """Return the loss (V, S) and its gradient (V, S, P) for parameters `values` (V, S, P), on one batch."""
    parameters = list(variants.parameters())
    parts = values.flatten(0, 1).split([parameter[0].numel() for parameter in parameters], dim=1)
    for parameter, part in zip(parameters, parts, strict=True):
        parameter.copy_(part.view(parameter.shape))
    x, y = repeat(x.double(), len(values), narrow=is_narrow(variants)), y.repeat(len(values), 1)
    losses = cross_entropy(write_gradient(variants, x, y), y).mean(dim=-1)
    gradients = torch.cat([parameter.grad.flatten(1) for parameter in parameters], dim=1)
    return losses.view(values.shape[:2]), gradients.view(values.shape)


def covariate_shift(gradients: Tensor, moved: Tensor) -> dict[str, Tensor]:
    """Return how far the layers before a layer, by moving, change its gradient (Santurkar et al. 2018, Def. 2.1).

    `gradients` G and `moved` G', both (layers, S, P), are of all layers but the first, and zero but for the layer's own
    dense parameters, which both arms have. covariate_shift is ||G - G'|| / ||G||, free of scale, and gradient_cosine
    cos(G, G'); each is the mean over the layers where it is defined, NaN without any. A layer with ||G|| = 0 has
    neither, one with ||G'|| = 0 no cosine. Behind a dead layer all inputs are constant, and a shift of 0 says nothing.
    """
    norm, moved_norm = _norm(gradients), _norm(moved)
    shift = _norm(gradients - moved) / norm
    cosine = (gradients * moved).sum(dim=-1) / (norm * moved_norm)
    return {
        "covariate_shift": _mean_where(norm != 0, shift, dim=0),
        "gradient_cosine": _mean_where((norm != 0) & (moved_norm != 0), cosine, dim=0),
    }


def landscape(losses: Tensor, changes: Tensor, distances: Tensor) -> dict[str, Tensor]:
    """Return how the loss behaves along the gradient (Santurkar et al. 2018, sec. 3.2).

    From losses (steps, S), and changes of the gradient and of the parameters (steps, S, P). loss_range: largest less
    smallest loss, in nats; gradient_change: largest ||change of the gradient||; beta_smoothness: largest ||change of
    the gradient|| / ||change of the parameters||, NaN where the gradient is zero.
    """
    change = _norm(changes)  # (steps, S)
    return {
        "loss_range": losses.amax(dim=0) - losses.amin(dim=0),
        "gradient_change": change.amax(dim=0),
        "beta_smoothness": (change / _norm(distances)).amax(dim=0),
    }


def layer_inputs(passed: Passed) -> Tensor:
    """Return what all dense layers but the first get: (S, F, N), sorted along N."""
    inputs = [inputs for layer, inputs, _ in passed if isinstance(layer, StackedLinear)]
    inputs = torch.cat(inputs[1:], dim=1).contiguous().cpu().numpy()
    return torch.from_numpy(np.sort(inputs))  # several times torch.sort's speed


def unit_percentiles(passed: Passed) -> dict[str, np.ndarray]:
    """Return each of `OF_A_UNIT` as (S,): of what the first unit of the last hidden layer gets before its activation.

    Ioffe & Szegedy (2015, sec. 4.1, Fig. 1) show them of a typical unit. Units are drawn alike: the first is as typical
    as any.
    """
    *_, inputs = (inputs for layer, inputs, _ in passed if isinstance(layer, tuple(ACTIVATIONS.values())))
    shares = torch.tensor(list(OF_A_UNIT.values()), dtype=torch.float64)
    percentiles = torch.quantile(inputs[:, 0].double().cpu(), shares, dim=-1)  # (S, N) -> (3, S)
    return dict(zip(OF_A_UNIT, percentiles.numpy(), strict=True))


@torch.no_grad()
def dead_layers(network: nn.Sequential, x: Tensor) -> np.ndarray:
    """Return 1. where some layer is dead: no unit of it puts out more than 0 on any of the rows x, after relu; else 0.

    (N, F) -> (S,). In training mode, all rows being one batch: with batch norm's running statistics, which know nothing
    of the data before training, it would be another network than the one that trains. They are lost in `network`.
    Others than relu never die.
    """
    passed = _layer_by_layer(network.train(), x)
    peaks = [output.amax(dim=(1, 2)).cpu().numpy() for layer, _, output in passed if isinstance(layer, nn.ReLU)]
    if not peaks:
        return np.zeros(len(next(network.parameters())))
    return (np.stack(peaks) <= 0).any(axis=0).astype(float)  # NaN is not dead: a diverged network is another matter


@torch.no_grad()
def _layer_by_layer(network: nn.Sequential, x: Tensor) -> Iterator[tuple[nn.Module, Tensor, Tensor]]:
    """Yield each layer with its input and its output (S, F, N), for rows x (N, F)."""
    x = x.T.expand(len(next(network.parameters())), -1, -1)
    for layer in network:
        output = layer(x)
        yield layer, x, output
        x = output


def _tensors(network: nn.Sequential) -> list[Tensor]:
    return [*network.parameters(), *network.buffers()]


def input_shift(before: Tensor, after: Tensor) -> np.ndarray:
    """Return how far the layers' inputs moved between two epochs, (S,), from values (S, F, N) sorted along N.

    Internal covariate shift as Ioffe & Szegedy (2015, sec. 2) describe it: per unit, the 1-Wasserstein distance between
    the two distributions over the standard deviation (of the population) of the first; mean over the units of all
    layers but those that were constant, NaN without any.
    """
    before, after = before.double(), after.double()  # in float32 the square of a saturated unit's deviation may be 0
    distance = (after - before).abs().mean(dim=-1)  # W1 of samples of equal size
    deviation = (before - before.mean(dim=-1, keepdim=True)).square().mean(dim=-1).sqrt()
    constant = before[..., 0] == before[..., -1]  # by rounding, the deviation of a constant need not be 0
    return _mean_where(~constant, distance / deviation, dim=1).numpy()


def _norm(vectors: Tensor) -> Tensor:
    return torch.linalg.vector_norm(vectors, dim=-1)


def _mean_where(defined: Tensor, values: Tensor, dim: int) -> Tensor:
    """Return the mean of the values that are defined; unlike nanmean, it hides no NaN of a diverged network."""
    return values.where(defined, 0).sum(dim) / defined.sum(dim)
