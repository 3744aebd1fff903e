"""Stage `generate_data`: make or read the rows, and split them into a training and a validation set.

Reads   the params `data`; data/own/ or another path, where data.source names a CSV
Writes  data/train.csv, data/val.csv: the feature columns, then `label` (0 to K - 1)
        data/classes.json: the names of the K classes, in the order of `label`

Label noise falls on the training rows alone; the scaling is fitted on the training rows.
"""

import json
import sys
from dataclasses import replace
from pathlib import Path

from stages import run_stage
from stages.datasets import add_label_noise, find_redundant_columns, load_source, split_rows, standardize
from stages.params import load_params

WATCHED = Path("data/own")


def main() -> None:
    data = load_params().data
    rows = load_source(data.source, samples=data.samples, noise=data.noise, seed=data.seed)
    for finding in find_redundant_columns(rows):
        print(f"warning: {data.source}: {finding}", file=sys.stderr)
    if data.source.endswith(".csv") and WATCHED.resolve() not in Path(data.source).resolve().parents:
        print(f"warning: {data.source}: DVC watches {WATCHED} alone: it will not see this file change", file=sys.stderr)
    train, val = split_rows(rows, split=data.split, val_fraction=data.val_fraction, seed=data.seed)
    train = replace(train, y=add_label_noise(train.y, data.label_noise, data.seed))
    if data.scale == "standard":
        train, val = standardize(train, val)
    for name, part in {"train": train, "val": val}.items():
        part.table().to_csv(Path("data") / f"{name}.csv", index=False, lineterminator="\n")
    names = json.dumps(rows.classes, ensure_ascii=False)
    Path("data/classes.json").write_text(names + "\n", encoding="utf-8")
    sizes = f"{len(train.y)} training and {len(val.y)} validation rows"
    print(f"{data.source}: {sizes}, {len(rows.columns)} features, {len(rows.classes)} classes")


if __name__ == "__main__":
    run_stage(main)
