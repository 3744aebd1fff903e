"""From a column of a CSV to classes, numbered from 0 to K - 1."""

import re
from collections.abc import Sequence
from decimal import Decimal, InvalidOperation
from typing import Any

import numpy as np
import pandas as pd

from stages import InputError, shorten

NUMBER = re.compile(r"[-+]?(\d+\.?\d*|\.\d+)(e[-+]?\d+)?", re.ASCII | re.IGNORECASE)
# More different numbers than this are measurements: as a class if they have decimals, beside slips in any case.
MANY = 20
GAPS = ("", "?", "NA", "N/A", "NaN", "nan", "null", "None")  # how a value that is not there is written


def number_classes(column: pd.Series, where: str) -> tuple[np.ndarray, tuple[str, ...]]:
    """Return the class of each row, (N,), and the K names; `where` begins an error.

    They are numbered in sorted order: as numbers where all of them are, 1 and 1.0 being one, else as texts.
    """
    name = f"column {shorten(column.name)}"
    texts = [trim(text) for text in column]
    if "" in texts:
        row = texts.index("") + 1
        raise InputError(f"{where}: {name}, row {row}: expected a class, got nothing; leave such rows out")
    values = _as_numbers(texts)
    different = sorted(set(values))
    _check_kind(different, len(texts), f"{where}: classification only: {name}")
    numbers = {value: number for number, value in enumerate(different)}
    y = np.array([numbers[value] for value in values])
    first_rows = np.unique(y, return_index=True)[1]
    names = tuple(texts[row] for row in first_rows)
    _check_sizes(np.bincount(y), names, f"{where}: {name}")
    return y, names


def trim(text: str) -> str:
    """Return a text without what cannot be seen around it: blanks of any width, a byte order mark."""
    return text.strip().strip("\u200b\u2060\ufeff").strip()


def _as_numbers(texts: list[str]) -> Sequence[Any]:
    """Return all texts as numbers, exact where floats are not (above 2 ** 53), or as they are where one is none."""
    if not all(NUMBER.fullmatch(text) for text in texts):
        return texts
    try:
        return [Decimal(text) for text in texts]
    except InvalidOperation:  # an exponent of 19 digits or more
        return texts


def _check_kind(different: Sequence[Any], rows: int, where: str) -> None:
    """Raise InputError where these different values in so many rows are measurements, or names of single rows."""
    numeric = isinstance(different[0], Decimal)
    decimals = numeric and any(value != value.to_integral_value() for value in different)
    if len(different) > max(2, rows / 2) or (decimals and len(different) > MANY):
        kind = "numbers" if numeric else "texts"
        raise InputError(
            f"{where} has {len(different)} different {kind} in {rows} rows; data.target names another column"
        )


def _check_sizes(sizes: np.ndarray, names: Sequence[str], where: str) -> None:
    """Raise InputError unless there are two classes or more, of some rows each."""
    if len(names) < 2:
        raise InputError(f"{where}: expected at least two classes, got {shorten(names[0])} alone")
    if sizes.min() < 2:
        rarest = names[int(sizes.argmin())]
        raise InputError(f"{where}: expected at least 2 rows of each class, got 1 of {shorten(rarest)}")
