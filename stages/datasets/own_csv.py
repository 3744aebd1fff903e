"""A CSV of the user's own: a header, features, and classes."""

import unicodedata
from collections import Counter
from collections.abc import Sequence
from difflib import SequenceMatcher
from pathlib import Path

import numpy as np
import pandas as pd

from stages import MOST_SHOWN, InputError, shorten
from stages.datasets.classes import NUMBER, number_classes, trim
from stages.datasets.rows import Rows

SEPARATORS = {";": "semicolons", "\t": "tabs", "|": "vertical bars"}


def read_csv(path: str | Path, *, target: str | None = None, drop: Sequence[str] = (), encode: bool = False) -> Rows:
    """Read a user's CSV without the columns `drop`; the class is in the column `target`, else `label`, else the last.

    Features are numbers, or with `encode` still text, for `encode_features`. Classes are numbered in sorted order and
    keep their names. Raises InputError for anything that cannot be trained on.
    """
    where = f"data.source = {shorten(str(path))}"
    table = _read_table(Path(path), where)
    _check_known(drop, table.columns, "data.drop")
    table = table.drop(columns=list(drop))
    if table.shape[1] == 0:
        raise InputError(f"data.drop = {shorten(list(drop))}: expected a column of {where} to stay")
    label = _class_column(table.columns, target, where)
    features = table.drop(columns=label)
    if features.shape[1] == 0:
        raise InputError(f"{where}: expected at least one feature column beside {shorten(label)}")
    if "label" in features:
        raise InputError(f"{where}: a feature is called 'label', as the class is in data/: rename or drop it")
    if len(table) == 0:
        raise InputError(f"{where}: expected rows under the header, got none")
    x = features.to_numpy(object) if encode else _all_numeric(features, where)
    y, classes = number_classes(table[label], where)
    return Rows(x, y, tuple(features), classes, label)


def _read_table(path: Path, where: str) -> pd.DataFrame:
    """Return the table as text, with the header's names; a value that is not there is empty."""
    _check_file(path, where)
    try:
        cells = pd.read_csv(path, header=None, dtype=str, keep_default_na=False, skipinitialspace=True).fillna("")
    except pd.errors.EmptyDataError:
        raise InputError(f"{where}: expected a header and rows, got an empty file") from None
    except (pd.errors.ParserError, UnicodeDecodeError, OSError) as error:
        told = " ".join(str(error).split())[:MOST_SHOWN]
        raise InputError(f"{where}: not readable as CSV: {told}") from None
    header = [trim(name) for name in cells.iloc[0]]
    _check_header(header, where)
    return cells.iloc[1:].set_axis(header, axis="columns").reset_index(drop=True)


def _check_file(path: Path, where: str) -> None:
    """Raise InputError where there is no file to read, or where its columns are not separated by commas."""
    if not path.exists():
        raise InputError(
            f"{where}: no such file (from {Path.cwd()}; a temporary workspace holds only files that git tracks)"
        )
    if not path.is_file():
        raise InputError(f"{where}: expected a file, not a folder, a device or a pipe")
    try:
        with path.open(encoding="utf-8", errors="replace") as file:
            header = file.readline(1_000_000)
    except OSError as error:
        raise InputError(f"{where}: not readable: {error.strerror}") from None
    for separator, name in SEPARATORS.items():
        if separator in header and "," not in header:
            raise InputError(f"{where}: its columns are separated by {name}: expected commas")


def _check_header(header: list[str], where: str) -> None:
    """Raise InputError unless these are names, each once."""
    for name, times in Counter(header).items():
        if name == "":
            raise InputError(f"{where}: expected a name for each column, got none for column {header.index('') + 1}")
        if NUMBER.fullmatch(name):
            raise InputError(f"{where}: expected a header of column names, got {', '.join(header)[:MOST_SHOWN]}")
        if times > 1:
            raise InputError(f"{where}: expected every column name once, got {shorten(name)} twice")


def _class_column(names: Sequence[str], target: str | None, where: str) -> str:
    """Return which column has the classes: `target`, or the one called label in any spelling, or the last."""
    if target is not None:
        _check_known([target], names, "data.target")
        return target
    called_label = [name for name in names if _letters(name) == "label"]
    if len(called_label) > 1:
        raise InputError(f"{where}: both {called_label[0]!r} and {called_label[1]!r}: data.target says which to take")
    return called_label[0] if called_label else names[-1]


def _letters(name: str) -> str:
    """Return the letters and digits of a name, in one case and width: it may hold characters that nobody sees."""
    return "".join(filter(str.isalnum, unicodedata.normalize("NFKC", name).casefold()))


def _check_known(asked: Sequence[str], names: Sequence[str], key: str) -> None:
    """Raise InputError where a column that is asked for is not there."""
    for name in asked:
        if name not in names:
            nearest = max(names, key=lambda known: _likeness(known, name))
            raise InputError(f"{key} = {shorten(name)}: no such column; the nearest is {shorten(nearest)}")


def _likeness(one: str, other: str) -> float:
    return SequenceMatcher(None, one.casefold(), other.casefold()).ratio()


def _all_numeric(features: pd.DataFrame, where: str) -> np.ndarray:
    columns = [_numeric(features[name], where) for name in features]
    return np.column_stack(columns)


def _numeric(column: pd.Series, where: str) -> np.ndarray:
    """Return the column as float64; every value must be finite, in float32 too, in which networks are trained."""
    values = pd.to_numeric(column, errors="coerce").to_numpy(np.float64)
    with np.errstate(over="ignore"):
        finite = np.isfinite(values.astype(np.float32))
    if not finite.all():
        row = int(np.flatnonzero(~finite)[0])
        got = shorten(column[row]) if column[row] else "nothing"
        raise InputError(
            f"{where}: column {shorten(column.name)}, row {row + 1}: expected a finite number, got {got};"
            " data.drop leaves the column out, data.encode=true takes texts and gaps"
        )
    return values
