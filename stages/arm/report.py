"""What is told of a training while it runs: to MLflow, and in a progress bar."""

import time

import numpy as np
import pandas as pd
from tqdm import tqdm

from stages.engine import Engine
from stages.history.curves import moments_by_epoch
from stages.history.moments import Moments
from stages.tracking.run import StageRun
from stages.training.loop import Schedule


class ArmReport:
    """Tells of the training: MLflow, and a progress bar where stderr is a terminal.

    What is logged are means over all seeds. One block that trains in this process is logged while it trains; else all
    epochs are, once the last block is there.
    """

    def __init__(self, title: str, run: StageRun, schedule: Schedule, lr: float, blocks: int, engine: Engine) -> None:
        self.run, self.rates, self.epochs = run, schedule.learning_rates, schedule.epochs
        self.headline = self.rates.index(lr)
        self.blocks_left, self.inline, self.live = blocks, engine.inline, engine.inline and blocks == 1
        self.moments: dict[str, Moments] = {}  # of each measure, (L, E)
        networks = len(self.rates) * len(schedule.seeds)
        description = f"{title}: {networks} networks" + (f" in {blocks} blocks" if blocks > 1 else "")
        self.bar = tqdm(
            total=schedule.epochs * blocks, desc=description, unit="epoch", disable=None, dynamic_ncols=True
        )
        self.started: float | None = None
        self.seconds = 0.0
        if not self.live:
            self._open()

    def on_epoch(self, epoch: int, measures: dict[str, np.ndarray]) -> None:
        """Report one epoch of a block that trains in this process: each measure as (L, S)."""
        if self.started is None:
            self._open()
        accuracies = {name: measures[f"{name}_accuracy"][self.headline].mean() for name in ("train", "val")}
        self.bar.set_postfix({name: f"{value:.3f}" for name, value in accuracies.items()}, refresh=False)
        self.bar.update(epoch > 0)
        if self.live:
            self._log(epoch, {name: Moments.of(values) for name, values in measures.items()})

    def add(self, history: pd.DataFrame) -> None:
        """Report a block that is done."""
        self.seconds = time.perf_counter() - self.started
        moments = moments_by_epoch(history)
        self.moments = {name: self.moments[name] + more if self.moments else more for name, more in moments.items()}
        self.blocks_left -= 1
        if not self.inline:
            self.bar.update(self.epochs)
        if self.blocks_left == 0 and not self.live:
            for epoch in range(self.epochs + 1):
                self._log(epoch, {name: each[:, epoch] for name, each in self.moments.items()})

    def curves(self) -> dict[str, Moments]:
        """Return the moments of each measure at the headline rate, (E,), once all blocks are done."""
        return {name: moments[self.headline] for name, moments in self.moments.items()}

    def _open(self) -> None:
        """Wait, before any training, for MLflow to answer."""
        self.run.wait_until_open()
        self.run.prepare_to_log_network()
        self.started = time.perf_counter()

    def _log(self, epoch: int, moments: dict[str, Moments]) -> None:
        """Log one epoch: the moments of each measure, (L,)."""
        by_rate = {lr: {name: float(each.mean[i]) for name, each in moments.items()} for i, lr in enumerate(self.rates)}
        _, low, high = moments["val_accuracy"][self.headline].interval()
        interval = {"val_accuracy_ci_low": float(low), "val_accuracy_ci_high": float(high)}
        self.run.log_epoch(epoch, by_rate[self.rates[self.headline]] | interval, by_rate)

    def __enter__(self) -> "ArmReport":
        return self

    def __exit__(self, *exception: object) -> None:
        self.bar.close()
