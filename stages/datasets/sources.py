"""The rows that a name stands for, or the path of a CSV."""

import numpy as np
from sklearn import datasets
from sklearn.utils import Bunch

from stages.datasets.own_csv import read_csv
from stages.datasets.rows import Rows
from stages.params import DataParams

MEASURED = {
    "breast_cancer": datasets.load_breast_cancer,
    "digits": datasets.load_digits,
    "wine": datasets.load_wine,
}
SAMPLES = 500
NOISE = {"circles": 0.1, "moons": 0.2, "spirals": 0.1}  # standard deviation, beside a radius of 1


def load_source(data: DataParams) -> Rows:
    """Return all rows of `data.source`; of a CSV with `data.encode`, the features are still text.

    `data.samples` and `data.noise` are SAMPLES and NOISE where None; only generated sources use them.
    """
    source, seed = data.source, data.seed
    count = SAMPLES if data.samples is None else data.samples
    scatter = NOISE.get(source, 0.0) if data.noise is None else data.noise
    if source == "tutorial_rings":
        return _on_plane(*_make_tutorial_rings(count, seed))
    if source == "circles":
        return _on_plane(*datasets.make_circles(count, noise=scatter, random_state=seed))
    if source == "moons":
        return _on_plane(*datasets.make_moons(count, noise=scatter, random_state=seed))
    if source == "spirals":
        return _on_plane(*_make_spirals(count, scatter, seed))
    if source in MEASURED:
        return _as_rows(MEASURED[source]())
    return read_csv(source, target=data.target, drop=data.drop, encode=data.encode)


def _on_plane(x: np.ndarray, y: np.ndarray) -> Rows:
    return Rows(x, y, ("x1", "x2"))


def _as_rows(table: Bunch) -> Rows:
    """Return one of scikit-learn's tables; spaces in names of columns become underscores."""
    columns = [name.replace(" ", "_") for name in table.feature_names]
    classes = [str(name) for name in table.target_names]
    return Rows(table.data, table.target, tuple(columns), tuple(classes))


def _make_tutorial_rings(samples: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Return the tutorial's two pairs of rings: 2 in 5 rows at the origin, the rest at (3, 3) with labels flipped.

    As in the tutorial both are drawn by one seed: the points of the first come back in the second, moved and scaled.
    """
    first = round(samples * 0.4)
    x1, y1 = datasets.make_gaussian_quantiles(cov=2.0, n_samples=first, n_features=2, n_classes=2, random_state=seed)
    x2, y2 = datasets.make_gaussian_quantiles(
        mean=(3, 3), cov=1.5, n_samples=samples - first, n_features=2, n_classes=2, random_state=seed
    )
    return np.concatenate([x1, x2]), np.concatenate([y1, 1 - y2])


def _make_spirals(samples: int, noise: float, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Return two interleaved Archimedean spirals of one and a half turns, radius up to 1, with Gaussian noise."""
    random = np.random.default_rng(seed)
    y = np.arange(samples) % 2
    turn = np.sqrt(random.uniform(size=samples))  # even spacing along the arm
    angle = 3 * np.pi * turn + np.pi * y
    x = np.column_stack([turn * np.cos(angle), turn * np.sin(angle)])
    return x + random.normal(scale=noise, size=x.shape), y
