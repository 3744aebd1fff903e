"""params.yaml, typed and checked.

yaml.py     what DVC reads in a text
schema.py   the sections, the keys, and what each may hold; sections.py: what a section is
limits.py   what they take in memory, against what is there
errors.py   one line for each wrong value
load.py     all of it: from the file to `Params`
changes.py  what differs from the last commit
"""

from stages.params.changes import tell_changes
from stages.params.limits import check_network
from stages.params.load import load_params
from stages.params.schema import DataParams, NormalizationParams, Params, check_widths
from stages.params.yaml import parse_yaml

__all__ = [
    "DataParams",
    "NormalizationParams",
    "Params",
    "check_network",
    "check_widths",
    "load_params",
    "parse_yaml",
    "tell_changes",
]
