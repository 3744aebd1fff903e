"""What a network of two features says everywhere in the plane."""

import pandas as pd
import torch
from torch import nn

POINTS = 101  # along each axis


@torch.no_grad()
def probability_surface(network: nn.Module, rows: pd.DataFrame) -> pd.DataFrame:
    """Return P(class 1) on a grid over the range of `rows` and a tenth of it around: both features, `probability`.

    `rows` has the feature columns, then `label`. Without rows where there is no plane: where there are not two
    features, or where one is constant, or varies too little for float32.
    """
    columns = list(rows.columns[:-1])
    axes = [_axis(rows[name]) for name in columns]
    if len(columns) != 2 or any(len(axis.unique()) < POINTS for axis in axes) or "probability" in columns:
        return pd.DataFrame(columns=["x1", "x2", "probability"])
    grid = torch.cartesian_prod(*axes)  # (POINTS ** 2, 2)
    surface = pd.DataFrame(grid.numpy(), columns=columns)
    return surface.assign(probability=network(grid).squeeze(1).numpy())


def _axis(values: pd.Series) -> torch.Tensor:
    margin = 0.1 * (values.max() - values.min())
    return torch.linspace(values.min() - margin, values.max() + margin, POINTS)
