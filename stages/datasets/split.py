"""Training and validation rows, their scaling, and label noise."""

import math
from dataclasses import replace

import numpy as np
from sklearn.model_selection import train_test_split
from sklearn.preprocessing import StandardScaler

from stages import InputError
from stages.datasets.rows import Rows


def split_rows(rows: Rows, *, split: str, val_fraction: float, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Return which rows are for training, and which for validation: two indices.

    `shuffled` draws them at random stratified by class; `tail` takes the last rows for validation, in the
    order given, as the `validation_split` of Keras does. Raises InputError where a set would lack a class.
    """
    count = len(rows.y)
    classes = len(rows.classes)
    if split == "tail":
        border = math.floor(count * (1 - val_fraction))
        train, val = np.split(np.arange(count), [border])
    else:
        validation_rows = math.ceil(count * val_fraction)
        if min(validation_rows, count - validation_rows) < classes:
            raise _lacks_a_class(split, val_fraction, count - validation_rows, validation_rows)
        train, val = train_test_split(np.arange(count), test_size=val_fraction, random_state=seed, stratify=rows.y)
    if min(len(set(rows.y[train])), len(set(rows.y[val]))) < classes:
        raise _lacks_a_class(split, val_fraction, len(train), len(val))
    return train, val


def fit_scaling(x: np.ndarray, scale: str) -> tuple[np.ndarray, np.ndarray]:
    """Return what to subtract from each feature and to divide it by, (F,) each, fitted on training rows x (N, F).

    `standard` gives them mean 0 and variance 1, `none` leaves them as they are.
    """
    if scale == "none":
        return np.zeros(x.shape[1]), np.ones(x.shape[1])
    scaler = StandardScaler().fit(x)
    return scaler.mean_, scaler.scale_


def scale_rows(rows: Rows, center: np.ndarray, scale: np.ndarray) -> Rows:
    """Return the rows less `center`, over `scale`, (F,) each."""
    return replace(rows, x=(rows.x - center) / scale)


def add_label_noise(y: np.ndarray, fraction: float, seed: int) -> np.ndarray:
    """Return `y` with a `fraction` of its labels, drawn without replacement, replaced by another class, uniformly.

    Raises InputError where that leaves a class without rows.
    """
    random = np.random.default_rng(seed)
    classes = len(set(y))
    changed = random.permutation(len(y))[: round(fraction * len(y))]
    noisy = y.copy()
    noisy[changed] = (y[changed] + random.integers(1, classes, size=len(changed))) % classes
    left = len(set(noisy))
    if left < classes:
        raise InputError(
            f"data.label_noise = {fraction!r} leaves the {len(y)} training rows with {left} of {classes} classes:"
            " expected all"
        )
    return noisy


def _lacks_a_class(split: str, val_fraction: float, train: int, val: int) -> InputError:
    return InputError(
        f"data.split = {split!r} with data.val_fraction = {val_fraction!r} leaves {train} training and {val} validation"
        " rows: expected every class in each"
    )
