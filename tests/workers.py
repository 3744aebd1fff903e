"""What workers do in tests of engines. They import this module, and not MLflow, which would take seconds each."""

import os
import signal
from pathlib import Path

from stages.training.blocks import BlockTask, TrainedBlock, train_block


def die_once_then_train(task: BlockTask, marker: Path) -> TrainedBlock:
    """Kill the process that works on the second block, once."""
    if task.schedule.seeds[0] == 3 and not marker.exists():
        marker.touch()
        os.kill(os.getpid(), signal.SIGKILL)
    return train_block(task)


def train_elsewhere(task: BlockTask, parent: int) -> TrainedBlock:
    assert os.getpid() != parent
    return train_block(task)


def raise_timeout(task: int) -> None:
    raise TimeoutError("of the task")
