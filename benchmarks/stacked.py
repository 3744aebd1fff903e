"""Time the stacked training against a DataLoader loop over one network, in turn, in one run.

Both take the same data (data/train.csv, data/val.csv), architecture, batch size, optimizer and epochs, and measure the
same four numbers after every epoch. The stacked training runs a second time with its diagnostics, which gives the share
of time that these add; what exact statistics add is timed apart. Seconds are of processor time, on one core. They vary
from machine to machine: read the ratios. Prints a Markdown table, and writes it to benchmarks/stacked.md.
"""

import statistics
import sys
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import torch
from torch import nn
from torch.nn import functional as F
from torch.utils.data import DataLoader, TensorDataset

from stages.arm.settings import build_normalization
from stages.params import load_params
from stages.training.diagnostics import Diagnostics
from stages.training.evaluation import evaluate_as_used, evaluate_exactly, has_running_averages
from stages.training.loop import Schedule, build_replicas, train_arm
from stages.training.network import Architecture, build_network
from stages.training.replicas import stack
from stages.training.tables import Table

RATES = [0.001, 0.003, 0.01, 0.03, 0.1, 0.3, 1.0]
SEEDS = range(64)
EPOCHS, BATCH_SIZE, REPEATS = 200, 32, 3


COLUMNS = (
    "",
    "DataLoader loop, 1 network",
    f"stacked, {len(RATES) * len(SEEDS)} networks",
    "networks per second, loop = 1",
    "diagnostics add",
    "exact statistics add",
)
HEAD = f"""\
# The stacked training beside a loop over one network: `make bench`

{EPOCHS} epochs of the default data and network, batch {BATCH_SIZE}; median of {REPEATS} runs, taken in turn, in seconds
of processor time on one core. Both measure the same after every epoch. The last two columns: what each adds, as a share
of the stacked seconds.

| {" | ".join(COLUMNS)} |
{"|---" * len(COLUMNS)}|"""


def main() -> None:
    if not Path("data/train.csv").exists():
        sys.exit("data/train.csv is not there: run `make repro` first")
    torch.set_num_threads(1)
    train, val = Table.read("data/train.csv"), Table.read("data/val.csv")
    lines = [HEAD]
    for name, norm in {"without": None, "with batch norm": build_normalization(load_params().bn)}.items():
        lines.append(_row(name, train, val, Architecture(train.x.shape[1], normalization=norm)))
    text = "\n".join([*lines, ""])
    print(text)
    Path("benchmarks/stacked.md").write_text(text, encoding="utf-8")


def _row(name: str, train: Table, val: Table, architecture: Architecture) -> str:
    """Time one arm; return its row of the table."""
    schedule = Schedule(RATES, SEEDS, EPOCHS, BATCH_SIZE)
    network = build_replicas(architecture, schedule).eval()
    loop, stacked, watched, exact = _time_in_turn(
        partial(_loop_over_one_network, train, val, architecture),
        partial(train_arm, train, val, architecture, schedule),
        partial(_train_and_watch, train, val, architecture, schedule),
        partial(_evaluate_exactly, network, train, val),
    )
    alike = [many - part for many, part in zip(stacked, exact, strict=True)]  # with what the loop measures
    networks = len(RATES) * len(SEEDS)
    ratio = statistics.median(networks * one / many for one, many in zip(loop, alike, strict=True))
    inside = statistics.median((more - many) / one for more, many, one in zip(watched, stacked, alike, strict=True))
    again = statistics.median(part / one for part, one in zip(exact, alike, strict=True))
    adds = f"{again:.0%}" if has_running_averages(network) else "does not apply"
    seconds = f"{statistics.median(loop):.2f} | {statistics.median(alike):.2f}"
    return f"| {name} | {seconds} | {ratio:.0f} | {inside:.0%} | {adds} |"


def _train_and_watch(train: Table, val: Table, architecture: Architecture, schedule: Schedule) -> None:
    diagnostics = Diagnostics(train, schedule.seeds, RATES[0], schedule.replicas(RATES[0]))
    train_arm(train, val, architecture, schedule, diagnostics=diagnostics)


def _evaluate_exactly(network: nn.Sequential, train: Table, val: Table) -> None:
    """Take as often as a training the share of it that exact statistics have; without batch norm there is none."""
    for _ in range(EPOCHS + 1 if has_running_averages(network) else 0):
        evaluate_exactly(network, train, val)


def _time_in_turn(*functions: Callable[[], object]) -> list[list[float]]:
    seconds: list[list[float]] = [[] for _ in functions]
    for _ in range(REPEATS):
        for taken, function in zip(seconds, functions, strict=True):
            start = time.process_time()  # others on the machine disturb it little
            function()
            taken.append(time.process_time() - start)
    return seconds


def _loop_over_one_network(train: Table, val: Table, architecture: Architecture) -> None:
    """Train one network as most tutorials do, but measure it as cheaply as the stacked training does."""
    network = build_network(architecture, torch.Generator().manual_seed(0))
    optimizer = torch.optim.Adam(network.parameters(), lr=RATES[0])
    rows = TensorDataset(train.x, train.y)
    loader = DataLoader(rows, BATCH_SIZE, shuffle=True, generator=torch.Generator().manual_seed(0))
    for _ in range(EPOCHS):
        network.train()
        for x, y in loader:
            optimizer.zero_grad()
            F.binary_cross_entropy_with_logits(network(x).squeeze(1), y.float()).backward()
            optimizer.step()
        evaluate_as_used(stack([network]), train, val)


if __name__ == "__main__":
    main()
