from pathlib import Path

import pytest
import torch
from conftest import normalization

from stages.training.network import Architecture, Normalization, build_network, load_network, save_network


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
    network = build(normalization=normalization(placement=placement, momentum=0.01, eps=0.001))
    assert [name for name, _ in network.named_children()][:3] == order
    assert (network.bn1.momentum, network.bn1.eps) == (0.01, 0.001)


@pytest.mark.parametrize(
    ("norm", "names"),
    [
        (normalization(inputs=True), ["bn0", "linear1", "relu1", "bn1"]),
        (normalization("layer", inputs=True, placement="before_activation"), ["ln0", "linear1", "ln1", "relu1"]),
        (normalization("group", groups=2), ["linear1", "relu1", "gn1", "linear2"]),
    ],
)
def test_other_normalizers_take_its_chair(norm: Normalization, names: list[str]) -> None:
    network = build(hidden=[4], normalization=norm)
    assert [name for name, _ in network.named_children()][:4] == names
    assert network(torch.randn(5, 2)).shape == (5, 1)


@pytest.mark.parametrize("kind", ["batch", "layer", "group"])
def test_without_affine_nothing_is_learned_in_it(kind: str) -> None:
    plain, bare = build(hidden=[4]), build(hidden=[4], normalization=normalization(kind, affine=False))
    assert [name for name, _ in bare.named_parameters()] == [name for name, _ in plain.named_parameters()]


@pytest.mark.parametrize("norm", [normalization(), normalization("layer", inputs=True), normalization("group")])
@pytest.mark.parametrize("init", ["pytorch", "keras", "he", "normal"])
def test_both_arms_start_from_the_same_weights(init: str, norm: Normalization) -> None:
    std = 0.1 if init == "normal" else None
    init = {"init": init, "init_std": std}
    plain, normalized = build(7, **init), build(7, **init, normalization=norm)
    for name, value in plain.state_dict().items():
        torch.testing.assert_close(normalized.state_dict()[name], value, rtol=0, atol=0)
    assert not torch.equal(build(8, **init).linear1.weight, plain.linear1.weight)


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


def test_normal_weights_have_their_deviation() -> None:
    architecture = Architecture(100, [200], init="normal", init_std=0.3)
    layer = build_network(architecture, torch.Generator().manual_seed(0)).linear1
    assert layer.weight.mean().item() == pytest.approx(0, abs=0.01)
    assert layer.weight.std().item() == pytest.approx(0.3, rel=0.02)
    assert layer.weight.abs().max() > 3 * 0.3  # nothing is cut off
    assert not layer.bias.any()


def test_saved_network_comes_back_with_its_probabilities(tmp_path: Path) -> None:
    architecture = Architecture(
        2, [3, 4], activation="tanh", normalization=normalization(placement="before_activation", eps=0.01)
    )
    network = build_network(architecture, torch.Generator().manual_seed(1))
    network(torch.randn(50, 2))  # moves the running statistics
    save_network(network, architecture, tmp_path / "model.pt")
    x = torch.randn(6, 2)
    with torch.no_grad():
        expected = network.eval()(x).sigmoid()
        torch.testing.assert_close(load_network(tmp_path / "model.pt")(x), expected, rtol=0, atol=0)
