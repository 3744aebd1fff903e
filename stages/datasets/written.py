"""What `generate_data` leaves: the tables on disk, and a line that says what they are."""

import json
from pathlib import Path

from stages.datasets.rows import Rows
from stages.pair_rows import VARIED
from stages.params import DataParams


def write_rows(train: Rows, val: Rows, folder: Path) -> None:
    """Write train.csv, val.csv, and the names of the classes."""
    for name, rows in {"train": train, "val": val}.items():
        rows.table().to_csv(folder / f"{name}.csv", index=False, lineterminator="\n")
    names = json.dumps(train.classes, ensure_ascii=False)
    (folder / "classes.json").write_text(names + "\n", encoding="utf-8")


def describe_rows(train: Rows, val: Rows, data: DataParams) -> str:
    """Return the sizes, of a CSV which column was taken for the classes, and what varies."""
    sizes = f"{len(train.y)} training and {len(val.y)} validation rows"
    column = f" in column {train.label!r}" if data.is_csv else ""
    varied = "" if data.vary == "none" else f"; {VARIED[data.vary]}"
    return f"{data.source}: {sizes}, {len(train.columns)} features, {len(train.classes)} classes{column}{varied}"
