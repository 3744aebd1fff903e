"""Stage `generate_data`: make or read the rows, and split them into a training and a validation set.

Reads   the params `data` and `seeds`; data/own/ or another path, where data.source names a CSV
Writes  data/train.csv, data/val.csv: the feature columns, then `label` (0 to K - 1)
        data/classes.json: the names of the K classes, in the order of `label`
        data/pairs/: the rows of each pair, where data.vary gives it rows of its own (stages/pair_rows.py): the first
        pair's are those of the two tables

Label noise falls on the training rows alone; the scaling is fitted on the training rows.
"""

import sys
from dataclasses import replace
from pathlib import Path

from stages import datasets, run_stage
from stages.params import DataParams, load_params, tell_changes

DATA = Path("data")
WATCHED = DATA / "own"


def main() -> None:
    params = load_params()
    tell_changes(params)
    data = params.data
    rows = datasets.load_source(data)
    train_index, val_index = datasets.split_rows(rows, split=data.split, val_fraction=data.val_fraction, seed=data.seed)
    if data.encode:
        rows = datasets.encode_features(rows, train_index)
    warn(rows, data)
    train, val = rows[train_index], rows[val_index]
    train = replace(train, y=datasets.add_label_noise(train.y, data.label_noise, data.seed))
    scaling = datasets.fit_scaling(train.x, data.scale)
    datasets.write_rows(datasets.scale_rows(train, *scaling), datasets.scale_rows(val, *scaling), DATA)
    datasets.draw_pairs(rows, data, params.seeds).save(DATA / "pairs")
    print(datasets.describe_rows(train, val, data))


def warn(rows: datasets.Rows, data: DataParams) -> None:
    """Say what is hardly meant."""
    doubts = datasets.find_doubts(rows)
    if data.is_csv and WATCHED.resolve() not in Path(data.source).resolve().parents:
        doubts.append(f"DVC watches {WATCHED} alone: it will not see this file change")
    for doubt in doubts:
        print(f"warning: {data.source}: {doubt}", file=sys.stderr)


if __name__ == "__main__":
    run_stage(main)
