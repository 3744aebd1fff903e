"""Networks folded into dense layers say what they said before."""

from itertools import pairwise

import numpy as np
import pytest
import torch
from conftest import normalization
from torch import Tensor, nn

from stages.training.folding import fold_networks
from stages.training.network import ACTIVATIONS, Architecture, build_network
from stages.training.replicas import stack

X = torch.randn(40, 2, generator=torch.Generator().manual_seed(0))


def trained(architecture: Architecture, seed: int) -> nn.Sequential:
    """Return a network whose normalizers have seen data: nothing about them is as it was at the start."""
    generator = torch.Generator().manual_seed(seed)
    network = build_network(architecture, generator)
    for parameter in network.parameters():
        nn.init.normal_(parameter, generator=generator)
    network.train()
    for _ in range(5):
        network(3 * torch.randn(16, architecture.features, generator=generator) + 1)
    return network.eval()


def says(flat: np.ndarray, widths: list[int], activation: nn.Module) -> Tensor:
    """Return the logits of dense layers laid out as `fold_networks` does, by the definition."""
    x, flat = X.numpy().astype(float), flat.astype(float)
    for inputs, outputs in pairwise(widths):
        weight, flat = flat[: inputs * outputs].reshape(outputs, inputs), flat[inputs * outputs :]
        x, flat = x @ weight.T + flat[:outputs], flat[outputs:]
        logits, x = x, activation(torch.from_numpy(x)).numpy()
    assert not len(flat)
    return torch.from_numpy(logits).float()


@pytest.mark.parametrize("placement", ["after_activation", "before_activation"])
@pytest.mark.parametrize("affine", [True, False])
@pytest.mark.parametrize("inputs", [True, False])
@pytest.mark.parametrize("activation", ["relu", "tanh"])
def test_folded_networks_say_the_same(placement: str, affine: bool, inputs: bool, activation: str) -> None:
    norm = normalization(placement=placement, affine=affine, inputs=inputs)
    architecture = Architecture(2, (3, 4), activation, classes=3, normalization=norm)
    networks = [trained(architecture, seed) for seed in range(3)]
    folded = fold_networks(stack(networks))
    assert folded.shape == (3, 9 + 16 + 15)
    assert folded.dtype == np.float32
    for network, flat in zip(networks, folded, strict=True):
        torch.testing.assert_close(
            says(flat, [2, 3, 4, 3], ACTIVATIONS[activation]()), network(X).detach(), rtol=1e-4, atol=1e-4
        )


def test_without_normalization_the_weights_are_as_they_were() -> None:
    network = trained(Architecture(2), seed=1)
    expected = torch.cat([parameter.detach().flatten() for parameter in network.parameters()])
    np.testing.assert_array_equal(fold_networks(stack([network]))[0], expected.numpy())


def test_dropout_leaves_the_weights_as_they_were() -> None:
    network = trained(Architecture(2, normalization=normalization("dropout")), seed=1)
    folded = fold_networks(stack([network]))[0]
    torch.testing.assert_close(says(folded, [2, 2, 2, 1], nn.ReLU()), network(X).detach())


@pytest.mark.parametrize(
    "architecture",
    [
        Architecture(3),
        Architecture(2, (16, 16)),  # 337 parameters
        Architecture(2, normalization=normalization("layer")),
        Architecture(2, normalization=normalization("group")),
    ],
)
def test_what_cannot_be_drawn_has_no_parameters(architecture: Architecture) -> None:
    networks = [trained(architecture, seed) for seed in range(2)]
    assert fold_networks(stack(networks)).shape == (2, 0)
