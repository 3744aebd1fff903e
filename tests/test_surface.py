import numpy as np
import pandas as pd
import torch
from torch import nn

from stages.training.surface import POINTS, probability_surface


def test_surface_covers_the_rows_and_a_tenth_around() -> None:
    network = nn.Sequential(nn.Linear(2, 1), nn.Sigmoid())
    with torch.no_grad():
        network[0].weight.copy_(torch.tensor([[2.0, -1.0]]))
        network[0].bias.fill_(0.5)
    rows = pd.DataFrame({"size": [0.0, 10.0], "weight": [-1.0, 1.0], "label": [0, 1]})
    surface = probability_surface(network, rows)
    assert list(surface.columns) == ["size", "weight", "probability"]
    assert len(surface) == POINTS**2
    np.testing.assert_allclose([surface["size"].min(), surface["size"].max()], [-1, 11], rtol=1e-6)
    expected = 1 / (1 + np.exp(-(2 * surface["size"] - surface["weight"] + 0.5)))
    np.testing.assert_allclose(surface["probability"], expected, atol=1e-5)


def test_there_is_no_plane_of_three_features() -> None:
    rows = pd.DataFrame({"a": [0.0], "b": [0.0], "c": [0.0], "label": [0]})
    assert len(probability_surface(nn.Sequential(nn.Linear(3, 1), nn.Sigmoid()), rows)) == 0
