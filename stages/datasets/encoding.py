"""Texts and gaps in features, as numbers: what scikit-learn makes of them, fitted on the training rows."""

from dataclasses import replace

import numpy as np
import pandas as pd
from sklearn.compose import ColumnTransformer
from sklearn.impute import SimpleImputer
from sklearn.preprocessing import OneHotEncoder

from stages import InputError, shorten
from stages.datasets.classes import GAPS, MANY, trim
from stages.datasets.rows import Rows

GAP = "missing"  # as a category
MOST_CATEGORIES = 100  # more of them are names, or numbers with a slip of the pen


def encode_features(rows: Rows, train: np.ndarray) -> Rows:
    """Return `rows`, whose features are texts, with numbers: first columns of numbers, then one for each category.

    In a column of numbers a gap becomes the median; in any other a gap is a category. Medians and categories are those
    of the rows `train`, an index; a category that they do not have is 0 in all its columns.
    """
    cells = pd.DataFrame(rows.x, columns=list(rows.columns)).map(trim)
    numeric, texts = [], []
    for name in rows.columns:
        values = _as_floats(cells[name])
        if values is None:
            cells[name] = cells[name].where(~cells[name].isin(GAPS), GAP)
            texts.append(name)
        else:
            cells[name] = values
            numeric.append(name)
    _check(cells.iloc[train], numeric, texts)
    categories = OneHotEncoder(
        handle_unknown="ignore", sparse_output=False, feature_name_combiner=lambda name, text: f"{name}={text}"
    )
    encoder = ColumnTransformer(
        [("numbers", SimpleImputer(strategy="median"), numeric), ("texts", categories, texts)],
        verbose_feature_names_out=False,
    )
    encoder.fit(cells.iloc[train])
    return replace(rows, x=encoder.transform(cells), columns=tuple(encoder.get_feature_names_out()))


def _as_floats(column: pd.Series) -> pd.Series | None:
    """Return a column of numbers, gaps as NaN; None where it has anything else, or numbers too large for float32."""
    gaps = column.isin(GAPS)
    values = pd.to_numeric(column.mask(gaps), errors="coerce").astype(np.float64)
    with np.errstate(over="ignore"):
        finite = np.isfinite(values.to_numpy(np.float32))
    return values if (finite | gaps).all() else None


def _check(train: pd.DataFrame, numeric: list[str], texts: list[str]) -> None:
    """Raise InputError where a column of the training rows has no number, too many texts, or numbers and a slip."""
    for name in numeric:
        if train[name].isna().all():
            raise InputError(
                f"data.encode = True: column {shorten(name)} has no value in the training rows; data.drop leaves it out"
            )
    for name in texts:
        _refuse_slips(name, train[name])
        count = train[name].nunique()
        if count > MOST_CATEGORIES:
            raise InputError(
                f"data.encode = True: column {shorten(name)} has {count} different texts in the training rows:"
                f" expected at most {MOST_CATEGORIES} categories; data.drop leaves it out"
            )


def _refuse_slips(name: str, column: pd.Series) -> None:
    """Raise InputError where texts are fewer than measurements, which would become a category each."""
    different = pd.Series(column[column != GAP].unique())
    is_number = np.isfinite(pd.to_numeric(different, errors="coerce").astype(np.float64))
    numbers, others = different[is_number], different[~is_number]
    if len(others) and len(numbers) > max(MANY, len(others)):
        raise InputError(
            f"data.encode = True: column {shorten(name)} has {len(numbers)} different numbers and"
            f" {shorten(others.iloc[0])}: expected numbers alone, or categories; data.drop leaves it out"
        )
