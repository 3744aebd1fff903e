"""Time a network in blocks of several sizes, in turn, in one run: `cut_blocks` has its sizes from here.

What is timed is an epoch of a block at four learning rates, with its evaluation: processor time on one core, for each
network. Others on the machine take part of the caches, so the smallest of several epochs counts. Prints a Markdown
table, and writes it to benchmarks/blocks.md.
"""

import time
from dataclasses import replace
from itertools import pairwise

import numpy as np
import torch

from benchmarks.peers import ROOT, describe_processor, digits_rows, rings_rows
from stages.arm.settings import build_normalization
from stages.params import load_params
from stages.training.blocks import count_parameters, networks_at_once
from stages.training.loop import Schedule, train_arm
from stages.training.network import Architecture
from stages.training.tables import Table

RATES = (0.001, 0.003, 0.01, 0.03)
SIZES = (8, 16, 32, 64, 128, 256, 512, 1024)  # networks in a block
REPEATS, EPOCHS = 3, 2
LARGEST = 2**21  # parameters of a block that is timed
DIGITS = {"features": 64, "classes": 10}
ARCHITECTURES = {
    "rings, [2, 2]": Architecture(2),
    "rings, [16, 16]": Architecture(2, [16, 16]),
    "digits, [32] x 8": Architecture(hidden=[32] * 8, **DIGITS),
    "digits, [100, 100, 100]": Architecture(hidden=[100] * 3, **DIGITS),
}


def main() -> None:
    torch.set_num_threads(1)
    lines = HEAD.splitlines()
    for name, architecture in ARCHITECTURES.items():
        norm = build_normalization(load_params(ROOT / "params.yaml").bn)
        for arm, normalization in {"without": None, "with": norm}.items():
            lines.append(_row(f"{name}, {arm}", replace(architecture, normalization=normalization)))
            print(lines[-1], flush=True)
    (ROOT / "benchmarks/blocks.md").write_text("\n".join([*lines, ""]), encoding="utf-8")


HEAD = f"""# Blocks of several sizes: `python -m benchmarks.blocks`

On {describe_processor()}, torch {torch.__version__}.

Milliseconds of processor time that a network takes for an epoch and its evaluation, in blocks of so many networks at
{len(RATES)} learning rates; the smallest of {REPEATS * EPOCHS}, taken in turn. The last column: how many networks a
block has at most.

| networks in a block | {" | ".join(map(str, SIZES))} | at most |
|---|{"---|" * (len(SIZES) + 1)}"""


def _row(name: str, architecture: Architecture) -> str:
    tables = _tables(rings_rows() if architecture.features == 2 else digits_rows())
    parameters = count_parameters(architecture)
    seconds: dict[int, list[float]] = {size: [] for size in SIZES if size * parameters <= LARGEST}
    for _ in range(REPEATS):
        for size, taken in seconds.items():
            taken += _seconds_of_epochs(tables, architecture, size)
    cells = [""] * len(SIZES)
    for column, (size, taken) in enumerate(seconds.items()):
        cells[column] = f"{1000 * min(taken) / size:.3g}"
    return f"| {name} | {' | '.join(cells)} | {networks_at_once(architecture)} |"


def _tables(rows: list[tuple[np.ndarray, np.ndarray]]) -> list[Table]:
    return [Table(torch.from_numpy(x), torch.from_numpy(y)) for x, y in rows]


def _seconds_of_epochs(tables: list[Table], architecture: Architecture, size: int) -> list[float]:
    """Return the processor time of each epoch but the zeroth, which builds the networks."""
    times: list[float] = []
    schedule = Schedule(RATES, range(size // len(RATES)), EPOCHS, batch_size=32)
    train_arm(*tables, architecture, schedule, lambda epoch, measures: times.append(time.process_time()))
    return [after - before for before, after in pairwise(times)]


if __name__ == "__main__":
    main()
