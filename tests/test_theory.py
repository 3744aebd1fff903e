"""Answers from theory: least squares by gradient descent, and the growth of gradients with depth.

Least squares, without batch normalization, diverges at any rate above 2 / lambda_max of X'X / N. With, where the
weights w enter as g * (Xw - mean) / std and g has a rate of its own in (0, 1], it converges at any rate of w (Cai, Li &
Shen 2019, sec. 3), though slowly at an enormous one: its first step makes w so long that the later ones hardly turn it.

In wide networks at initialization batch normalization makes gradients grow exponentially with depth (Yang et al. 2019,
"A Mean Field Theory of Batch Normalization"): for relu after batch norm, in large batches, the squared norm of the
gradient in the normalized preactivations u by pi / (pi - 1) per layer towards the inputs. For u is N(0, 1) and hardly
correlated between examples, so what the next layer gets, relu(u), has mean square 1/2 and variance (1 - 1 / pi) / 2.
Its weights, of variance v, give preactivations of variance v * fan_in * (1 - 1 / pi) / 2, by which batch norm divides
the squared gradient on the way back; the weights then multiply it by v * fan_in, and relu halves it. The gradient in
the weights of a layer grows alike, but in the first, which gets no relu(u).
"""

import math

import pytest
import torch
from conftest import normalization
from torch import Tensor
from torch.nn import functional as F

from stages.training.layers import write_gradient
from stages.training.loop import Schedule, build_replicas
from stages.training.network import Architecture, build_network
from stages.training.replicas import flatten_parameters
from stages.training.step_measures import layer_gradients
from stages.training.streams import WEIGHTS, open_stream

STEPS = 300
RATES = (0.5, 0.98, 1.02, 2.0, 10.0, 1e3, 1e6)  # in units of 2 / lambda_max


@pytest.fixture(scope="module")
def problem() -> tuple[Tensor, Tensor, float]:
    """Return centered rows X (N, F) of unequal scales, targets y (N,) with noise, and lambda_max."""
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(200, 3, generator=generator, dtype=torch.float64) * torch.tensor([1.0, 1.5, 2.0])
    x = x - x.mean(dim=0)
    y = x @ torch.tensor([1.0, -1.0, 0.5], dtype=torch.float64)
    y = y + 0.3 * torch.randn(200, generator=generator, dtype=torch.float64)
    return x, y - y.mean(), torch.linalg.eigvalsh(x.T @ x / len(x))[-1].item()


def least_loss(x: Tensor, y: Tensor) -> float:
    return loss_of(x @ torch.linalg.lstsq(x, y.unsqueeze(1)).solution.squeeze(1), y).item()


def loss_of(prediction: Tensor, y: Tensor) -> Tensor:
    return (prediction - y).square().mean() / 2


def descend(x: Tensor, y: Tensor, rate: float, *, batch_norm: bool) -> list[float]:
    """Return the loss before each step of gradient descent on the full batch; g, under batch norm, has rate 1/2."""
    w = torch.tensor([0.3, 0.3, 0.3], dtype=torch.float64, requires_grad=True)
    g = torch.ones(1, dtype=torch.float64, requires_grad=True)
    losses = []
    for _ in range(STEPS):
        z = x @ w  # (N,)
        prediction = (
            F.batch_norm(z.unsqueeze(1), None, None, g, training=True, eps=1e-12).squeeze(1) if batch_norm else z
        )
        loss = loss_of(prediction, y)
        w_gradient, g_gradient = torch.autograd.grad(loss, (w, g), allow_unused=True)
        with torch.no_grad():
            w -= rate * w_gradient
            g -= 0.5 * g_gradient if batch_norm else 0.0
        losses.append(loss.item())
    return losses


@pytest.mark.parametrize("rate", RATES)
def test_least_squares_diverges_above_two_by_lambda_max(problem: tuple[Tensor, Tensor, float], rate: float) -> None:
    x, y, lambda_max = problem
    losses = descend(x, y, rate * 2 / lambda_max, batch_norm=False)
    if rate < 1:
        assert losses[-1] == pytest.approx(least_loss(x, y), rel=1e-3)
    else:
        assert not losses[-1] < 1e3 * losses[0]


@pytest.mark.parametrize("rate", RATES)
def test_with_batch_norm_it_diverges_at_no_rate(problem: tuple[Tensor, Tensor, float], rate: float) -> None:
    x, y, lambda_max = problem
    losses = descend(x, y, rate * 2 / lambda_max, batch_norm=True)
    assert max(losses) == losses[0]
    if rate <= 10:
        assert losses[-1] == pytest.approx(least_loss(x, y), rel=1e-6)
    else:
        assert losses[-1] < losses[STEPS // 2] < 0.2 * losses[0]  # on its way


DEEP = Architecture(200, [1000] * 9, init="he", normalization=normalization(placement="before_activation"))
GROWTH = math.pi / (math.pi - 1)  # 1.467


def draw_batch(seed: int) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(256, 200, generator=generator), torch.randint(0, 2, (256,), generator=generator)


@pytest.mark.parametrize("seed", [0, 1])
def test_gradients_in_the_weights_grow_towards_the_inputs(seed: int) -> None:
    network = build_replicas(DEEP, Schedule([0.1], [seed], 0, 16)).train()
    flatten_parameters(network)
    x, y = draw_batch(seed)
    write_gradient(network, x.T[None], y[None])
    logs = [column.item() for column in layer_gradients(network, slice(None)).values()]
    second, last_hidden = logs[1], logs[8]  # layers of one size
    assert last_hidden == 0
    assert 10 ** (2 * (second - last_hidden) / 7) == pytest.approx(GROWTH, rel=0.02)


@pytest.mark.parametrize("seed", [0, 1])
def test_so_do_those_in_the_preactivations(seed: int) -> None:
    network = build_network(DEEP, open_stream(seed, WEIGHTS)).train()
    x, y = draw_batch(seed)
    normalized = []
    for name, layer in network.named_children():
        x = layer(x)
        if name.startswith("bn"):
            x.retain_grad()
            normalized.append(x)
    F.binary_cross_entropy_with_logits(x.squeeze(1), y.float()).backward()
    squares = [u.grad.square().sum().item() for u in normalized]
    assert (squares[0] / squares[-1]) ** (1 / 8) == pytest.approx(GROWTH, rel=0.03)
