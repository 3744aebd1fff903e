"""Where the rows come from, and how they become a training and a validation set.

rows.py      a labelled table
sources.py   the rows that a name or a path stands for
own_csv.py   a CSV of the user's own
split.py     training and validation rows, scaling, label noise
"""

from stages.datasets.own_csv import read_csv
from stages.datasets.rows import Rows, find_redundant_columns
from stages.datasets.sources import load_source
from stages.datasets.split import add_label_noise, split_rows, standardize

__all__ = [
    "Rows",
    "add_label_noise",
    "find_redundant_columns",
    "load_source",
    "read_csv",
    "split_rows",
    "standardize",
]
