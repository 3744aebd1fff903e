"""Where the rows come from, and how they become a training and a validation set.

rows.py      a labelled table, and what is doubtful in it
sources.py   the rows that a name or a path stands for
own_csv.py   a CSV of the user's own
classes.py   from its column of classes to numbers
encoding.py  its texts and gaps as numbers
split.py     training and validation rows, scaling, label noise
pairs.py     all of that for each pair, where rows vary
written.py   the tables on disk, and what they are in words
"""

from stages.datasets.encoding import encode_features
from stages.datasets.own_csv import read_csv
from stages.datasets.pairs import draw_pairs
from stages.datasets.rows import Rows, find_doubts
from stages.datasets.sources import load_source
from stages.datasets.split import add_label_noise, fit_scaling, scale_rows, split_rows
from stages.datasets.written import describe_rows, write_rows

__all__ = [
    "Rows",
    "add_label_noise",
    "describe_rows",
    "draw_pairs",
    "encode_features",
    "find_doubts",
    "fit_scaling",
    "load_source",
    "read_csv",
    "scale_rows",
    "split_rows",
    "write_rows",
]
