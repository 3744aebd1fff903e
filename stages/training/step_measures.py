"""What is measured in one step of the optimizer: how layers disturb each other, and the loss along the gradient.

On the batch of the step, in training mode. All that is compared there (the network as it is, with some layers moved,
and along its gradient) stands side by side on the replica axis: one forward and one backward pass serve all of it.

Layer i is dense layer i, counted from 1. A normalization layer moves with the dense layer that it follows, wherever the
activation stands; that of the inputs is layer 0.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn

from stages import LAYER_GRADIENT
from stages.training.layers import StackedLinear, gradient_of, write_gradient
from stages.training.loss import cross_entropy
from stages.training.masks import set_masks
from stages.training.replicas import count_replicas, flatten_parameters, is_narrow, repeat, select

OF_A_STEP = ("covariate_shift", "gradient_cosine", "loss_range", "gradient_change", "beta_smoothness")
STEPS = (0.5, 1.0, 2.0, 4.0)  # along the gradient, in learning rates (Santurkar et al. 2018, sec. 3.2)


@dataclass
class Step:
    """A step on the batch x (S, F, B), y (S, B): parameters `before` and `after` it, and the `gradient`, (S, P).

    `kept`: what each dropout layer keeps in it, (S, F, B).
    """

    before: Tensor
    after: Tensor
    gradient: Tensor
    x: Tensor
    y: Tensor
    kept: Sequence[Tensor] = ()

    def select(self, seeds: slice) -> "Step":
        """Return the step of some of the seeds."""
        kept = [of_layer[seeds] for of_layer in self.kept]
        return Step(self.before[seeds], self.after[seeds], self.gradient[seeds], self.x[seeds], self.y[seeds], kept)


@dataclass(frozen=True)
class Variants:
    """V variants of each of S replicas as one network, (V * S) in float64, for `measure_step` to write on.

    For each dense layer but the first: `is_earlier` (layers - 1, 1, P), which parameters belong to layers before it;
    `columns`, where its own parameters stand in P.
    """

    network: nn.Sequential
    is_earlier: Tensor
    columns: Sequence[slice]


def build_variants(network: nn.Sequential) -> Variants:
    """Return the variants of each replica: as it is, moved for each dense layer but the first, and along `STEPS`."""
    layers, is_dense = parameter_layers(network)
    later = torch.arange(2, int(layers.max()) + 1)
    replicas = torch.arange(count_replicas(network)).repeat(1 + len(later) + len(STEPS))
    variants = select(network, replicas).double().train()
    flatten_parameters(variants)
    columns = []
    for number in later:
        own = (is_dense & (layers == number)).nonzero()
        columns.append(slice(int(own[0]), int(own[-1]) + 1))
    is_earlier = layers < later.view(-1, 1, 1)
    return Variants(variants, is_earlier.to(next(network.parameters()).device), columns)


def measure_step(variants: Variants, step: Step, lr: float) -> dict[str, np.ndarray]:
    """Return each of `OF_A_STEP` as (S,)."""
    moved = torch.where(variants.is_earlier, step.after, step.before)  # (layers - 1, S, P)
    rates = lr * step.before.new_tensor(STEPS).view(-1, 1, 1)
    along = step.before - rates * step.gradient  # (steps, S, P)
    values = torch.cat([step.before[None], moved, along])  # (V, S, P)
    set_masks(variants.network, step.kept, len(values))
    losses, gradients = losses_and_gradients(variants.network, values, step.x, step.y)
    here, of_moved, of_along = gradients.split([1, len(moved), len(along)])
    of_layers = [here[0, :, columns] for columns in variants.columns]
    moved_layers = [of_layer[:, columns] for of_layer, columns in zip(of_moved, variants.columns, strict=True)]
    measured = covariate_shift(of_layers, moved_layers)
    measured |= landscape(losses[-len(along) :], here - of_along, step.before - along)
    return {name: values.cpu().numpy() for name, values in measured.items()}


@torch.inference_mode()
def layer_gradients(network: nn.Sequential, replicas: slice) -> dict[str, np.ndarray]:
    """Return how large the gradient is, layer by layer, in some replicas: (S,) for each dense layer, by its column.

    log10 of the norm of the gradient of its weights, as it is in the parameters, over that of the last hidden dense
    layer; NaN where either is zero, as behind a dead layer.
    """
    norms = []
    for layer in network:
        if isinstance(layer, StackedLinear):
            norms.append(_norm(gradient_of(layer.weight)[replicas].flatten(1).double()))  # (S,)
    last_hidden = norms[-2]
    columns = {}
    for name, norm in zip(layer_gradient_columns(network), norms, strict=True):
        ratio = norm / last_hidden
        columns[name] = ratio.where((norm != 0) & (last_hidden != 0), torch.nan).log10().cpu().numpy()
    return columns


def layer_gradient_columns(network: nn.Sequential) -> list[str]:
    """Return the columns of `layer_gradients`: one for each dense layer, counted from 1; the last puts out logits."""
    dense = sum(isinstance(layer, StackedLinear) for layer in network)
    return [f"{LAYER_GRADIENT}{number}" for number in range(1, dense + 1)]


def parameter_layers(network: nn.Sequential) -> tuple[Tensor, Tensor]:
    """Return of each parameter (P,) the number of the layer that it moves with, and whether it is the dense layer's."""
    numbers: list[int] = []
    is_dense: list[bool] = []
    number = 0
    for layer in network.children():
        dense = isinstance(layer, StackedLinear)
        number += dense
        size = sum(parameter[0].numel() for parameter in layer.parameters())
        numbers += [number] * size
        is_dense += [dense] * size
    return torch.tensor(numbers), torch.tensor(is_dense)


@torch.inference_mode()
def losses_and_gradients(variants: nn.Sequential, values: Tensor, x: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
    """Return the loss (V, S) and its gradient (V, S, P) for parameters `values` (V, S, P), on one batch."""
    parameters = list(variants.parameters())
    sizes = [parameter[0].numel() for parameter in parameters]
    parts = values.flatten(0, 1).split(sizes, dim=1)  # (V * S, size) each
    for parameter, part in zip(parameters, parts, strict=True):
        parameter.copy_(part.view(parameter.shape))
    x = repeat(x.double(), len(values), narrow=is_narrow(variants))  # (V * S, F, B)
    y = y.repeat(len(values), 1)
    losses = cross_entropy(write_gradient(variants, x, y), y).mean(dim=-1)  # (V * S,)
    gradients = torch.cat([gradient_of(parameter).flatten(1) for parameter in parameters], dim=1)
    return losses.view(values.shape[:2]), gradients.view(values.shape)


def covariate_shift(gradients: Sequence[Tensor], moved: Sequence[Tensor]) -> dict[str, Tensor]:
    """Return how far the layers before a layer, by moving, change its gradient (Santurkar et al. 2018, Def. 2.1).

    `gradients` G and `moved` G' are of all layers but the first, (S, P) each, in the layer's own dense parameters,
    which both arms have. covariate_shift is ||G - G'|| / ||G||, free of scale, and gradient_cosine cos(G, G'); each is
    the mean over the layers where it is defined, NaN without any. A layer with ||G|| = 0 has neither, one with
    ||G'|| = 0 no cosine. Behind a dead layer all inputs are constant, and a shift of 0 says nothing.
    """
    norms, moved_norms, distances, products = [], [], [], []
    for before, after in zip(gradients, moved, strict=True):
        norms.append(_norm(before))  # (S,)
        moved_norms.append(_norm(after))
        distances.append(_norm(before - after))
        products.append((before * after).sum(dim=-1))
    norm, moved_norm = torch.stack(norms), torch.stack(moved_norms)  # (layers, S)
    shift = torch.stack(distances) / norm
    cosine = torch.stack(products) / (norm * moved_norm)
    return {
        "covariate_shift": mean_where(norm != 0, shift, dim=0),
        "gradient_cosine": mean_where((norm != 0) & (moved_norm != 0), cosine, dim=0),
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


def mean_where(defined: Tensor, values: Tensor, dim: int) -> Tensor:
    """Return the mean of the values that are defined; unlike nanmean, it hides no NaN of a diverged network."""
    return values.where(defined, 0).sum(dim) / defined.sum(dim)


def _norm(vectors: Tensor) -> Tensor:
    return torch.linalg.vector_norm(vectors, dim=-1)
