"""An arm of any size: its seeds are cut into blocks, each trained as one, here or elsewhere.

How they are cut depends on the settings alone, so the numbers do not depend on where they come from.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass, replace

import pandas as pd
import torch
from torch import nn

from stages import InputError
from stages.pair_rows import PairRows
from stages.training.diagnostics import Diagnostics
from stages.training.evaluation import Measures
from stages.training.loop import Schedule, train_arm
from stages.training.network import Architecture, build_network
from stages.training.replicas import select
from stages.training.tables import Table

# By benchmarks/blocks.md, larger blocks take up to a quarter less time per network, and leave cores none to share.
REPLICAS_AT_ONCE = 512
PARAMETERS_AT_ONCE = 2**20  # of all replicas of a block together; bounds the memory too


@dataclass(frozen=True)
class BlockTask:
    """All that it takes to train a block, in any process.

    `train` and `val` are the rows of all seeds; `own_rows`, where there are any, those of each seed of the schedule.
    `lr` is the headline rate, at which networks are kept and measured inside. `device`: cpu, cuda, or auto, which is
    cuda where there is one.
    """

    train: Table
    val: Table
    architecture: Architecture
    schedule: Schedule
    lr: float
    device: str = "cpu"
    own_rows: PairRows | None = None

    def tables(self) -> list[Table]:
        """Return the rows to train on and to validate by, on the device."""
        tables = [self.train, self.val]
        if self.own_rows:
            tables = [Table.of(*self.own_rows.training()), Table.of(*self.own_rows.validation())]
        device = find_device(self.device)
        return [table.to(device) for table in tables]


@dataclass(frozen=True)
class TrainedBlock:
    """What comes of a block: history and diagnostics as tables, and the networks at the headline rate, stacked."""

    history: pd.DataFrame
    diagnostics: pd.DataFrame
    networks: nn.Sequential


def cut_blocks(schedule: Schedule, architecture: Architecture) -> list[Schedule]:
    """Return the schedule of each block: some of the seeds, in order, at all learning rates; all of about one size."""
    largest = max(1, networks_at_once(architecture) // len(schedule.learning_rates))
    count = math.ceil(len(schedule.seeds) / largest)
    size = math.ceil(len(schedule.seeds) / count)
    starts = range(0, len(schedule.seeds), size)
    return [replace(schedule, seeds=schedule.seeds[start : start + size]) for start in starts]


def networks_at_once(architecture: Architecture) -> int:
    """Return how many networks a block has at most; one seed at all learning rates may be more."""
    return min(REPLICAS_AT_ONCE, PARAMETERS_AT_ONCE // count_parameters(architecture))


def count_parameters(architecture: Architecture) -> int:
    """Return the number of parameters of one network."""
    network = build_network(architecture, torch.Generator())
    return sum(parameter.numel() for parameter in network.parameters())


def train_block(
    task: BlockTask, on_epoch: Callable[[int, Measures], None] = lambda epoch, measures: None
) -> TrainedBlock:
    """Train one block, and measure inside its networks at the headline rate.

    The same bytes in any process of one machine.
    """
    torch.set_num_threads(1)  # the networks are small, and the bytes must not depend on the cores that are free
    train, val = task.tables()
    headline = task.schedule.replicas(task.lr)
    diagnostics = Diagnostics(train, task.schedule.seeds, task.lr, headline)
    networks, history = train_arm(train, val, task.architecture, task.schedule, on_epoch, diagnostics)
    return TrainedBlock(history, diagnostics.table(), select(networks, headline).cpu())


def find_device(name: str) -> str:
    """Return the device that STUDY_DEVICE names, as PyTorch calls it."""
    if name == "auto":
        return "cuda" if torch.cuda.is_available() else "cpu"
    if name == "cuda" and not torch.cuda.is_available():
        raise InputError("STUDY_DEVICE = 'cuda': PyTorch finds no CUDA device here")
    return name
