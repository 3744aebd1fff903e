"""A CSV of the user's own: a header, numeric features, and classes."""

from pathlib import Path

import numpy as np
import pandas as pd

from stages import InputError
from stages.datasets.rows import Rows


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
