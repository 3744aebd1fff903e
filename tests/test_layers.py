"""The oracle: autograd, through the very same layers."""

import copy
import pickle
from collections.abc import Callable

import pytest
import torch
from conftest import normalization
from torch import nn

from stages.training.layers import write_gradient
from stages.training.loop import Schedule, build_replicas
from stages.training.loss import cross_entropy
from stages.training.masks import draw_masks
from stages.training.network import ACTIVATIONS, Architecture
from stages.training.replicas import flatten_parameters, is_narrow, repeat, select, unstack

NORMS = {
    "none": None,
    "batch": normalization(),
    "inputs too": normalization(inputs=True, affine=False),
    "cumulative, before": normalization(momentum=None, placement="before_activation"),
    "frozen": normalization("frozen"),
    "layer": normalization("layer"),
    "group": normalization("group", groups=2, affine=False, placement="before_activation"),
    "dropout": normalization("dropout", rate=0.3),
}
WIDTHS = {"narrow": [4, 2], "wide": [6, 8]}
SCHEDULE = Schedule([0.1], range(5), 1, 8)


def replicas(widths: str, norm: str, activation: str = "relu", classes: int = 2) -> nn.Sequential:
    architecture = Architecture(2, WIDTHS[widths], activation, classes=classes, normalization=NORMS[norm])
    network = build_replicas(architecture, SCHEDULE).double()
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for parameter in network.parameters():
            parameter += 0.3 * torch.randn(parameter.shape, generator=generator, dtype=torch.float64)
    return network


@pytest.mark.parametrize(
    ("norm", "activation", "classes"),
    [
        *((norm, activation, 2) for norm in NORMS for activation in ("relu", "tanh")),
        *(("batch", activation, 3) for activation in ACTIVATIONS),
    ],
)
@pytest.mark.parametrize("widths", WIDTHS)
def test_the_gradient_is_that_of_autograd(widths: str, norm: str, activation: str, classes: int) -> None:
    network = replicas(widths, norm, activation, classes)
    assert is_narrow(network) == (widths == "narrow")
    generator = torch.Generator().manual_seed(1)
    x = repeat(torch.randn(5, 2, 8, generator=generator, dtype=torch.float64), 1, narrow=is_narrow(network))
    y = torch.randint(0, classes, (5, 8), generator=generator)
    draw_masks(network, [generator] * 5, examples=8)
    logits = network(x)
    loss = cross_entropy(logits, y).mean(dim=-1).sum()
    expected = torch.autograd.grad(loss, list(network.parameters()))
    flat = flatten_parameters(network)
    flat.grad.fill_(torch.nan)  # what is there before is written over
    torch.testing.assert_close(write_gradient(network, x, y), logits)
    for (name, parameter), gradient in zip(network.named_parameters(), expected, strict=True):
        torch.testing.assert_close(parameter.grad, gradient, rtol=1e-9, atol=1e-12, msg=name)


@pytest.mark.parametrize("widths", WIDTHS)
def test_parameters_and_gradients_are_views_of_a_vector(widths: str) -> None:
    network = replicas(widths, "batch")
    before = [parameter.detach().clone() for parameter in network.parameters()]
    flat = flatten_parameters(network)
    assert flat.numel() == sum(parameter.numel() for parameter in before)
    flat *= 2
    for parameter, value in zip(network.parameters(), before, strict=True):
        assert torch.equal(parameter, 2 * value)
    network[0].weight.grad += 1
    assert flat.grad.sum() == network[0].weight.numel()


@pytest.mark.parametrize("widths", WIDTHS)
def test_selected_replicas_are_copies(widths: str) -> None:
    network = replicas(widths, "batch")
    chosen = select(network, torch.tensor([3, 0, 3]))
    for mine, theirs in ((0, 3), (1, 0), (2, 3)):
        left, right = unstack(chosen, mine).state_dict(), unstack(network, theirs).state_dict()
        torch.testing.assert_close(left, right, rtol=0, atol=0)
    assert is_narrow(chosen) == is_narrow(network)
    with torch.no_grad():
        chosen.linear1.weight += 1
    assert not torch.equal(chosen.linear1.weight[0], network.linear1.weight[3])


MOVES: dict[str, Callable[[nn.Sequential], nn.Sequential]] = {
    "flattened": lambda network: [flatten_parameters(network), network][1],
    "another dtype": lambda network: network.float().double(),
    "copied": copy.deepcopy,
    "sent to a worker": lambda network: pickle.loads(pickle.dumps(network)),
    "selected": lambda network: select(network, slice(1, 4)),
}


@pytest.mark.parametrize("move", MOVES)
@pytest.mark.parametrize("widths", WIDTHS)
@torch.no_grad()
def test_layers_follow_their_parameters_wherever_these_lie(widths: str, move: str) -> None:
    network = replicas(widths, "batch").eval()
    x = torch.randn(5, 2, 8, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    network(x)  # remembers where they lie
    moved = MOVES[move](network)
    x = x[: len(next(moved.parameters()))]
    for tensor in moved.parameters():
        tensor.mul_(1.5)
    moved.get_submodule("bn1").running_mean.add_(0.5)
    for number, output in enumerate(moved(x)):
        torch.testing.assert_close(output.T, unstack(moved, number).eval()(x[number].T))


@torch.no_grad()
def test_gradients_are_written_where_they_lie_now() -> None:
    network = replicas("narrow", "batch").train()
    x, y = torch.randn(5, 2, 8, dtype=torch.float64), torch.zeros(5, 8, dtype=torch.long)
    flatten_parameters(network)
    write_gradient(network, x, y)
    flat = flatten_parameters(network)
    write_gradient(network, x, y)
    assert flat.grad.count_nonzero() > flat.numel() / 2
