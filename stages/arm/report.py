"""What is told of a training while it runs: to MLflow, and in a progress bar."""

import time

import pandas as pd
from tqdm import tqdm

from stages import MEASURES
from stages.arm.live import LiveCurves
from stages.history.curves import moments_by_epoch
from stages.history.moments import Moments
from stages.tracking import StageRun
from stages.training.evaluation import Measures
from stages.training.loop import Schedule


class ArmReport:
    """Tells of the training of an arm in `blocks`: MLflow, `curves`, and a progress bar where stderr is a terminal.

    What is logged are means over all seeds. One block that trains in this process (`inline`) is logged, and its curves
    are written, while it trains; else all epochs are logged once the last block is there. `title` names the arm, `lr`
    is its headline rate.
    """

    def __init__(
        self,
        title: str,
        run: StageRun,
        curves: LiveCurves,
        schedule: Schedule,
        lr: float,
        *,
        blocks: int,
        inline: bool,
    ) -> None:
        self.run = run
        self.live_curves = curves
        self.rates = schedule.learning_rates
        self.headline = self.rates.index(lr)
        self.epochs = schedule.epochs
        self.blocks = blocks
        self.inline = inline
        self.live = inline and blocks == 1
        self.moments: dict[str, Moments] = {}  # of each measure, (L, E), over the blocks so far
        self.blocks_done = 0
        self.seconds = 0.0  # from the start of the training to the end of the last block
        self._title = _describe(title, len(self.rates) * len(schedule.seeds), blocks)
        self._bar: tqdm | None = None
        self._started = 0.0

    def on_epoch(self, epoch: int, measures: Measures) -> None:
        """Report one epoch of a block that trains in this process: each measure as (L, S)."""
        bar = self._bar or self._start()
        accuracies = {}
        for name in ("train", "val"):
            accuracies[name] = f"{measures[f'{name}_accuracy'][self.headline].mean():.3f}"
        bar.set_postfix(accuracies, refresh=False)
        bar.update(epoch > 0)
        if self.live:
            self._log(epoch, {name: Moments.of(measures[name]) for name in MEASURES})
            self.live_curves.add({name: measures[name][self.headline] for name in MEASURES})

    def add(self, history: pd.DataFrame) -> None:
        """Report a block that is done."""
        self.seconds = time.perf_counter() - self._started
        for name, moments in moments_by_epoch(history).items():
            self.moments[name] = self.moments[name] + moments if name in self.moments else moments
        self.blocks_done += 1
        if self._bar and not self.inline:
            self._bar.update(self.epochs)
        if self.blocks_done == self.blocks and not self.live:
            for epoch in range(self.epochs + 1):
                self._log(epoch, {name: moments[:, epoch] for name, moments in self.moments.items()})

    def curves(self) -> dict[str, Moments]:
        """Return the moments of each measure at the headline rate, (E,), once all blocks are done."""
        return {name: moments[self.headline] for name, moments in self.moments.items()}

    def __enter__(self) -> "ArmReport":
        if not self.live:
            self._start()  # the first word comes when a block is done: too late to learn of a dead store
        return self

    def __exit__(self, *exception: object) -> None:
        if self._bar:
            self._bar.close()

    def _start(self) -> tqdm:
        """Wait for MLflow to answer; count the time from then on, which is the training's own."""
        self.run.wait_until_open()
        self._started = time.perf_counter()
        total = self.epochs * self.blocks
        self._bar = tqdm(total=total, desc=self._title, unit="epoch", disable=None, dynamic_ncols=True)
        return self._bar

    def _log(self, epoch: int, moments: dict[str, Moments]) -> None:
        """Log one epoch: the moments of each measure, (L,)."""
        by_rate = {}
        for number, lr in enumerate(self.rates):
            by_rate[lr] = {name: float(of_measure.mean[number]) for name, of_measure in moments.items()}
        _, low, high = moments["val_accuracy"][self.headline].interval()
        interval = {"val_accuracy_ci_low": float(low), "val_accuracy_ci_high": float(high)}
        self.run.log_epoch(epoch, by_rate[self.rates[self.headline]] | interval, by_rate)


def _describe(title: str, networks: int, blocks: int) -> str:
    in_blocks = f" in {blocks} blocks" if blocks > 1 else ""
    return f"{title}: {networks} networks{in_blocks}"
