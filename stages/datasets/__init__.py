"""Where the rows come from, and how they become a training and a validation set.

rows.py      a labelled table, and what is doubtful in it
sources.py   the rows that a name or a path stands for
own_csv.py   a CSV of the user's own
classes.py   from its column of classes to numbers
encoding.py  its texts and gaps as numbers
split.py     training and validation rows, scaling, label noise
"""

from stages.datasets.encoding import encode_features
from stages.datasets.own_csv import read_csv
from stages.datasets.rows import Rows, find_doubts
from stages.datasets.sources import load_source
from stages.datasets.split import add_label_noise, split_rows, standardize

__all__ = [
    "Rows",
    "add_label_noise",
    "encode_features",
    "find_doubts",
    "load_source",
    "read_csv",
    "split_rows",
    "standardize",
]
