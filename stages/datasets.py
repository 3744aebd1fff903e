"""Where the rows come from, and how they become a training and a validation set."""

import math
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pandas as pd

from stages import InputError


@dataclass(frozen=True)
class Rows:
    """A labelled table: features `x` (N, F) in float64, classes `y` (N,) from 0 to K - 1, and the names of both."""

    x: np.ndarray
    y: np.ndarray
    columns: tuple[str, ...]
    classes: tuple[str, ...] = ("0", "1")

    def __getitem__(self, index: np.ndarray) -> "Rows":
        return replace(self, x=self.x[index], y=self.y[index])

    def table(self) -> pd.DataFrame:
        """Return the features under their own names, then `label`."""
        return pd.DataFrame(self.x, columns=list(self.columns)).assign(label=self.y)


def load_source(source: str, *, samples: int | None, noise: float | None, seed: int) -> Rows:
    """Return all rows of a named source, or of the CSV at the path `source`.

    `samples` and `noise` are the source's own where None: 500 rows; noise 0.1 for circles and spirals, 0.2 for moons.
    """
    from sklearn import datasets

    samples = samples or 500
    if source == "tutorial_rings":
        return _plane(*_tutorial_rings(samples, seed))
    if source == "circles":
        return _plane(*datasets.make_circles(samples, noise=_default(noise, 0.1), random_state=seed))
    if source == "moons":
        return _plane(*datasets.make_moons(samples, noise=_default(noise, 0.2), random_state=seed))
    if source == "spirals":
        return _plane(*_spirals(samples, _default(noise, 0.1), seed))
    if source in ("breast_cancer", "digits", "wine"):
        data = getattr(datasets, f"load_{source}")()
        columns = tuple(name.replace(" ", "_") for name in data.feature_names)
        return Rows(data.data, data.target, columns, tuple(map(str, data.target_names)))
    return read_csv(source)


def read_csv(path: str | Path) -> Rows:
    """Read a user's CSV: numeric features, and the class in the column `label`, else in the last column.

    Classes are numbered in sorted order and keep their names. Raises InputError for anything that cannot be trained on.
    """
    where = f"data.source = {str(path)!r}"
    table = _read_table(path, where)
    label = "label" if "label" in table.columns else table.columns[-1]
    features = table.drop(columns=label)
    if features.shape[1] == 0:
        raise InputError(f"{where}: expected at least one feature column beside {label!r}")
    if len(table) == 0:
        raise InputError(f"{where}: expected rows under the header, got none")
    x = np.column_stack([_numeric(features[name], where) for name in features])
    y, classes = _classes(table[label], where)
    return Rows(x, y, tuple(features), classes)


def add_label_noise(y: np.ndarray, share: float, seed: int) -> np.ndarray:
    """Return `y` with a `share` of its labels, drawn without replacement, replaced by another class, uniformly.

    Raises InputError where that leaves a class without rows.
    """
    random = np.random.default_rng(seed)
    classes = len(set(y))
    changed = random.permutation(len(y))[: round(share * len(y))]
    noisy = y.copy()
    noisy[changed] = (y[changed] + random.integers(1, classes, size=len(changed))) % classes
    left = len(set(noisy))
    if left < classes:
        raise InputError(
            f"data.label_noise = {share!r} leaves the {len(y)} training rows with {left} of {classes} classes:"
            " expected all"
        )
    return noisy


def split_rows(rows: Rows, *, split: str, val_fraction: float, seed: int) -> tuple[Rows, Rows]:
    """Return the training and the validation rows.

    `shuffled` draws them at random with the classes' shares kept; `tail` takes the last rows for validation, in the
    order given, as the `validation_split` of Keras does. Raises InputError where a set would lack a class.
    """
    from sklearn.model_selection import train_test_split

    count, classes = len(rows.y), len(rows.classes)
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
    return rows[train], rows[val]


def standardize(train: Rows, val: Rows) -> tuple[Rows, Rows]:
    """Scale every feature to mean 0 and variance 1 on the training rows."""
    from sklearn.preprocessing import StandardScaler

    scaler = StandardScaler().fit(train.x)
    return tuple(replace(rows, x=scaler.transform(rows.x)) for rows in (train, val))


def find_redundant_columns(rows: Rows) -> list[str]:
    """Return one sentence for each constant feature, and for each that repeats an earlier one."""
    findings, seen = [], {}
    for name, column in zip(rows.columns, rows.x.T, strict=True):
        first = seen.setdefault(column.tobytes(), name)
        if np.ptp(column) == 0:
            findings.append(f"column {name!r} is constant")
        elif first != name:
            findings.append(f"column {name!r} repeats column {first!r}")
    return findings


def _plane(x: np.ndarray, y: np.ndarray) -> Rows:
    return Rows(x, y, ("x1", "x2"))


def _default(value: float | None, default: float) -> float:
    return default if value is None else value


def _tutorial_rings(samples: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Return the tutorial's two pairs of rings: 2 in 5 rows at the origin, the rest at (3, 3) with labels flipped."""
    from sklearn.datasets import make_gaussian_quantiles

    first = round(samples * 0.4)
    x1, y1 = make_gaussian_quantiles(cov=2.0, n_samples=first, n_features=2, n_classes=2, random_state=seed)
    x2, y2 = make_gaussian_quantiles(
        mean=(3, 3), cov=1.5, n_samples=samples - first, n_features=2, n_classes=2, random_state=seed
    )
    return np.concatenate([x1, x2]), np.concatenate([y1, 1 - y2])


def _spirals(samples: int, noise: float, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Return two interleaved Archimedean spirals of one and a half turns, radius up to 1, with Gaussian noise."""
    random = np.random.default_rng(seed)
    y = np.arange(samples) % 2
    turn = np.sqrt(random.uniform(size=samples))  # even spacing along the arm
    angle = 3 * np.pi * turn + np.pi * y
    x = np.column_stack([turn * np.cos(angle), turn * np.sin(angle)])
    return x + random.normal(scale=noise, size=x.shape), y


def _read_table(path: str | Path, where: str) -> pd.DataFrame:
    """Return the table as text, with the header's names; a value that is not there is empty."""
    try:
        cells = pd.read_csv(path, header=None, dtype=str, keep_default_na=False, skipinitialspace=True).fillna("")
    except FileNotFoundError:
        raise InputError(
            f"{where}: no such file (from {Path.cwd()}; a temporary workspace holds only files that git tracks)"
        ) from None
    except pd.errors.EmptyDataError:
        raise InputError(f"{where}: expected a header and rows, got an empty file") from None
    except (pd.errors.ParserError, UnicodeDecodeError, OSError) as error:
        raise InputError(f"{where}: not readable as CSV: {' '.join(str(error).split())}") from None
    header = cells.iloc[0]
    if header.duplicated().any():
        raise InputError(f"{where}: expected every column name once, got {header[header.duplicated()].iloc[0]!r} twice")
    if pd.to_numeric(header, errors="coerce").notna().any():
        raise InputError(f"{where}: expected a header of column names, got {', '.join(header[:3])} ...")
    return cells.iloc[1:].set_axis(header, axis="columns").reset_index(drop=True)


def _numeric(column: pd.Series, where: str) -> np.ndarray:
    """Return the column as float64; every value must be finite, in float32 too, in which networks are trained."""
    values = pd.to_numeric(column, errors="coerce").to_numpy(np.float64)
    with np.errstate(over="ignore"):
        finite = np.isfinite(values.astype(np.float32))
    if not finite.all():
        row = int(np.flatnonzero(~finite)[0])
        got = repr(column[row]) if column[row] else "nothing"
        raise InputError(f"{where}: column {column.name!r}, row {row + 1}: expected a finite number, got {got}")
    return values


def _classes(column: pd.Series, where: str) -> tuple[np.ndarray, tuple[str, ...]]:
    """Return the classes numbered in sorted order, as numbers where all of them are, else as text; and their names."""
    if (column == "").any():
        row = int(np.flatnonzero(column == "")[0])
        raise InputError(f"{where}: column {column.name!r}, row {row + 1}: expected a class, got nothing")
    numbers = pd.to_numeric(column, errors="coerce")
    codes, classes = pd.factorize(column if numbers.isna().any() else numbers, sort=True)
    if len(classes) < 2:
        raise InputError(f"{where}: expected at least two classes in column {column.name!r}, got {classes[0]} alone")
    rarest = int(np.argmin(np.bincount(codes)))
    if np.bincount(codes)[rarest] < 2:
        raise InputError(f"{where}: expected at least 2 rows of each class, got 1 of {classes[rarest]}")
    return codes, tuple(map(str, classes))


def _lacks_a_class(split: str, val_fraction: float, train: int, val: int) -> InputError:
    return InputError(
        f"data.split = {split!r} with data.val_fraction = {val_fraction!r} leaves {train} training and {val} validation"
        " rows: expected every class in each"
    )
