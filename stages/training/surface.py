"""What a network of two features says everywhere in the plane."""

import pandas as pd
import torch
from torch import Tensor, nn

POINTS = 101  # along each axis


@torch.no_grad()
def tabulate_surface(network: nn.Module, rows: pd.DataFrame) -> pd.DataFrame:
    """Return what `network` says on a grid over the range of `rows` and a tenth of it around.

    Columns: both features, and third `probability`, of class 1, for two classes, or `predicted`, the number of the most
    probable class, for more; a _ is added where a feature has that name. `rows` has the feature columns, then `label`.
    Without rows where there is no plane: where there are not two features, or where one is constant, or varies too
    little for float32.
    """
    features = list(rows.columns[:-1])
    two_classes = rows["label"].max() == 1
    said = "probability" if two_classes else "predicted"
    while said in features:
        said += "_"
    axes = [_axis(rows[name]) for name in features]
    flat = any(len(axis.unique()) < POINTS for axis in axes)
    if len(features) != 2 or flat:
        return pd.DataFrame(columns=["x1", "x2", said])
    grid = torch.cartesian_prod(*axes)  # (POINTS ** 2, 2)
    probabilities = network(grid)  # (POINTS ** 2, 1 or K)
    values = probabilities.squeeze(1) if two_classes else probabilities.argmax(dim=1)
    table = pd.DataFrame(grid.numpy(), columns=features)
    table[said] = values.numpy()
    return table


def _axis(values: pd.Series) -> Tensor:
    margin = 0.1 * (values.max() - values.min())
    return torch.linspace(values.min() - margin, values.max() + margin, POINTS)
