"""Stage `generate_data`: make or read the rows, and split them into a training and a validation set.

Reads   the params `data` and `seeds`; data/own/ or another path, where data.source names a CSV
Writes  data/train.csv, data/val.csv: the feature columns, then `label` (0 to K - 1)
        data/classes.json: the names of the K classes, in the order of `label`
        data/pairs/: the rows of each pair, where data.vary gives it rows of its own (stages/pair_rows.py): the first
        pair's are those of the two tables

Label noise falls on the training rows alone; the scaling is fitted on the training rows.
"""

import json
import sys
from dataclasses import replace
from pathlib import Path

from stages import run_stage
from stages.datasets import (
    Rows,
    add_label_noise,
    draw_pairs,
    encode_features,
    find_doubts,
    fit_scaling,
    load_source,
    scale_rows,
    split_rows,
)
from stages.pair_rows import VARIED
from stages.params import DataParams, load_params, tell_changes

DATA = Path("data")
WATCHED = DATA / "own"


def main() -> None:
    params = load_params()
    tell_changes(params)
    data = params.data
    rows = load_source(data)
    train_index, val_index = split_rows(rows, split=data.split, val_fraction=data.val_fraction, seed=data.seed)
    if data.encode:
        rows = encode_features(rows, train_index)
    warn(rows, data)
    train, val = rows[train_index], rows[val_index]
    train = replace(train, y=add_label_noise(train.y, data.label_noise, data.seed))
    scaling = fit_scaling(train.x, data.scale)
    write(scale_rows(train, *scaling), scale_rows(val, *scaling))
    draw_pairs(rows, data, params.seeds).save(DATA / "pairs")
    print(describe(train, val, data))


def warn(rows: Rows, data: DataParams) -> None:
    """Say what is hardly meant."""
    doubts = find_doubts(rows)
    if data.is_csv and WATCHED.resolve() not in Path(data.source).resolve().parents:
        doubts.append(f"DVC watches {WATCHED} alone: it will not see this file change")
    for doubt in doubts:
        print(f"warning: {data.source}: {doubt}", file=sys.stderr)


def write(train: Rows, val: Rows) -> None:
    for name, rows in {"train": train, "val": val}.items():
        rows.table().to_csv(DATA / f"{name}.csv", index=False, lineterminator="\n")
    names = json.dumps(train.classes, ensure_ascii=False)
    (DATA / "classes.json").write_text(names + "\n", encoding="utf-8")


def describe(train: Rows, val: Rows, data: DataParams) -> str:
    """Return the sizes, of a CSV which column was taken for the classes, and what varies."""
    sizes = f"{len(train.y)} training and {len(val.y)} validation rows"
    column = f" in column {train.label!r}" if data.is_csv else ""
    varied = "" if data.vary == "none" else f"; {VARIED[data.vary]}"
    return f"{data.source}: {sizes}, {len(train.columns)} features, {len(train.classes)} classes{column}{varied}"


if __name__ == "__main__":
    run_stage(main)
