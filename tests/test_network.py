from pathlib import Path

import pytest
import torch

from stages.training.network import Architecture, BatchNorm, build_network, load_network, save_network


def build(seed: int = 0, **settings: object) -> torch.nn.Sequential:
    return build_network(Architecture(2, **settings), torch.Generator().manual_seed(seed))


def test_the_tutorial_network_has_two_hidden_layers_of_two_units() -> None:
    assert [name for name, _ in build().named_children()] == ["linear1", "relu1", "linear2", "relu2", "linear3"]
    assert build()(torch.zeros(5, 2)).shape == (5, 1)
    assert sum(parameter.numel() for parameter in build().parameters()) == 15


@pytest.mark.parametrize(
    ("placement", "order"),
    [("after_activation", ["linear1", "relu1", "bn1"]), ("before_activation", ["linear1", "bn1", "relu1"])],
)
def test_batch_norm_stands_where_it_was_asked_for(placement: str, order: list[str]) -> None:
    network = build(batch_norm=BatchNorm(placement, momentum=0.01, eps=0.001))
    assert [name for name, _ in network.named_children()][:3] == order
    assert (network.bn1.momentum, network.bn1.eps) == (0.01, 0.001)


@pytest.mark.parametrize("init", ["pytorch", "keras", "he"])
def test_both_arms_start_from_the_same_weights(init: str) -> None:
    plain, normalized = build(7, init=init), build(7, init=init, batch_norm=BatchNorm())
    for name, value in plain.state_dict().items():
        torch.testing.assert_close(normalized.state_dict()[name], value, rtol=0, atol=0)
    assert not torch.equal(build(8, init=init).linear1.weight, plain.linear1.weight)


@pytest.mark.parametrize(
    ("init", "bound", "bias"),
    [("pytorch", 0.01**0.5, 0.01**0.5), ("keras", (6 / 300) ** 0.5, 0.0), ("he", (6 / 100) ** 0.5, 0.0)],
)
def test_initial_weights_fill_their_range(init: str, bound: float, bias: float) -> None:
    layer = build_network(Architecture(100, [200], init=init), torch.Generator().manual_seed(0)).linear1
    assert 0.99 * bound < layer.weight.abs().max() <= bound
    assert layer.weight.std().item() == pytest.approx(bound / 3**0.5, rel=0.02)
    assert layer.bias.abs().max().item() == pytest.approx(bias, rel=0.05)


@pytest.mark.parametrize(("classes", "logits"), [(2, 1), (3, 3), (10, 10)])
def test_two_classes_share_a_logit(classes: int, logits: int, tmp_path: Path) -> None:
    architecture = Architecture(2, classes=classes)
    network = build_network(architecture, torch.Generator().manual_seed(2))
    save_network(network, architecture, tmp_path / "model.pt")
    x = torch.randn(5, 2)
    with torch.no_grad():
        raw, probabilities = network(x), load_network(tmp_path / "model.pt")(x)
    assert raw.shape == probabilities.shape == (5, logits)
    expected = raw.sigmoid() if classes == 2 else raw.exp() / raw.exp().sum(dim=1, keepdim=True)
    torch.testing.assert_close(probabilities, expected)


def test_saved_network_comes_back_with_its_probabilities(tmp_path: Path) -> None:
    architecture = Architecture(2, [3, 4], activation="tanh", batch_norm=BatchNorm("before_activation", eps=0.01))
    network = build_network(architecture, torch.Generator().manual_seed(1))
    network(torch.randn(50, 2))  # moves the running statistics
    save_network(network, architecture, tmp_path / "model.pt")
    x = torch.randn(6, 2)
    with torch.no_grad():
        expected = network.eval()(x).sigmoid()
        torch.testing.assert_close(load_network(tmp_path / "model.pt")(x), expected, rtol=0, atol=0)
