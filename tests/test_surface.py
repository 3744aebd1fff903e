import numpy as np
import pandas as pd
import pytest
import torch
from torch import nn

from stages.training.surface import POINTS, tabulate_surface


def test_surface_covers_the_rows_and_a_tenth_around() -> None:
    network = nn.Sequential(nn.Linear(2, 1), nn.Sigmoid())
    with torch.no_grad():
        network[0].weight.copy_(torch.tensor([[2.0, -1.0]]))
        network[0].bias.fill_(0.5)
    rows = pd.DataFrame({"size": [0.0, 10.0], "weight": [-1.0, 1.0], "label": [0, 1]})
    surface = tabulate_surface(network, rows)
    assert list(surface.columns) == ["size", "weight", "probability"]
    assert len(surface) == POINTS**2
    np.testing.assert_allclose([surface["size"].min(), surface["size"].max()], [-1, 11], rtol=1e-6)
    expected = 1 / (1 + np.exp(-(2 * surface["size"] - surface["weight"] + 0.5)))
    np.testing.assert_allclose(surface["probability"], expected, atol=1e-5)


def test_of_more_classes_the_most_probable_is_named() -> None:
    network = nn.Sequential(nn.Linear(2, 3), nn.Softmax(dim=1))
    with torch.no_grad():
        network[0].weight.copy_(torch.tensor([[0.0, 0.0], [1.0, 0.0], [0.0, 1.0]]))
        network[0].bias.zero_()
    surface = tabulate_surface(network, pd.DataFrame({"a": [-1.0, 1.0], "b": [-1.0, 1.0], "label": [0, 2]}))
    assert list(surface.columns) == ["a", "b", "predicted"]
    a, b = surface["a"], surface["b"]
    apart = (np.minimum(a.abs(), b.abs()) > 1e-6) & ((a - b).abs() > 1e-6)
    expected = np.where((a < 0) & (b < 0), 0, np.where(a > b, 1, 2))
    np.testing.assert_array_equal(surface["predicted"][apart], expected[apart])


@pytest.mark.parametrize(("feature", "labels"), [("probability", [0, 1]), ("predicted", [0, 2])])
def test_a_feature_may_have_the_name_of_what_is_said(feature: str, labels: list[int]) -> None:
    network = nn.Sequential(nn.Linear(2, 1), nn.Sigmoid()) if labels[1] == 1 else nn.Linear(2, 3)
    features = {feature: [0.0, 1.0], f"{feature}_": [0.0, 1.0]}
    surface = tabulate_surface(network, pd.DataFrame(features | {"label": labels}))
    assert list(surface.columns) == [feature, f"{feature}_", f"{feature}__"]
    expected = network(torch.tensor(surface[[feature, f"{feature}_"]].to_numpy()))
    expected = expected[:, 0] if labels[1] == 1 else expected.argmax(dim=1)
    np.testing.assert_allclose(surface[f"{feature}__"], expected.detach(), rtol=1e-5)


@pytest.mark.parametrize(
    "features",
    [
        {"a": [0.0, 1.0], "b": [0.0, 1.0], "c": [0.0, 1.0]},
        {"a": [0.0, 1.0], "constant": [3.0, 3.0]},
        {"a": [0.0, 1.0], "seconds": [1.7e9, 1.7e9 + 60]},  # float32 has no value in between
    ],
)
def test_there_is_not_always_a_plane(features: dict[str, list[float]]) -> None:
    network = nn.Sequential(nn.Linear(len(features), 1), nn.Sigmoid())
    assert len(tabulate_surface(network, pd.DataFrame(features | {"label": [0, 1]}))) == 0
