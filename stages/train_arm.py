"""What the stages `train_baseline` and `train_bn` have in common: they train one arm, and differ in `bn` alone.

Reads   data/train.csv, data/val.csv: feature columns, then `label`
Writes  in results/<arm>/
        history.parquet   lr, seed, epoch, train_loss, train_accuracy, val_loss, val_accuracy
                          (losses in nats, accuracies in [0, 1], in eval mode on all rows; epoch 0 = before training)
        diagnostics.parquet
                          at `lr`: seed, epoch, covariate_shift, gradient_cosine, input_shift, loss_range (nats),
                          gradient_change, beta_smoothness, input_p15, input_p50, input_p85, dead_layer (0 or 1);
                          see stages/training/diagnostics.py
        curves.csv        at `lr`: epoch, and of each measure the mean over seeds and its 95% interval
        surface.csv       where there are two features: both on a grid, and P(class 1) of model.pt there (the most
                          probable class, where there are more than two); else no rows
        model.pt          the network at `lr` of the seed with the median final val_accuracy
Logs    an MLflow run for the arm with a child run per learning rate
"""

import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from stages.engine import Engine
from stages.params import Params, check_widths, load_params
from stages.tracking import StageRun, file_md5, track_stage

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd

    from stages.arm_parts import ArmParts
    from stages.evidence.paired import Moments
    from stages.evidence.wording import Contrast
    from stages.training.arm import Schedule
    from stages.training.network import Architecture

TRAIN, VAL = Path("data/train.csv"), Path("data/val.csv")
FILES = ("history.parquet", "diagnostics.parquet", "curves.csv", "surface.csv", "model.pt")


def run_arm(arm: str) -> None:
    """Train the arm that `arm` names, write its files, and log it all."""
    params = load_params()
    rates = sorted({*params.lr_sweep, params.lr})
    with Engine() as engine, track_stage(f"train_{arm}", params.flat(), tags={"arm": arm}, rates=rates) as run:
        _train(arm, params, rates, engine, run)  # PyTorch is imported while MLflow connects


def _train(arm: str, params: Params, rates: Sequence[float], engine: Engine, run: StageRun) -> None:
    """Train the blocks of the arm, then write its files, then log them."""
    from stages.arm_parts import ArmParts
    from stages.training.arm import Table
    from stages.training.blocks import cut_blocks

    train, val = Table.read(TRAIN), Table.read(VAL)
    architecture = _architecture(arm, params, features=train.x.shape[1], classes=train.classes)
    schedule = _schedule(arm, params, rates)
    for note in _notes(arm, params, architecture, len(train.y)):
        print(f"note: {note}", file=sys.stderr)
    blocks = cut_blocks(schedule, architecture)
    tasks = [(train, val, architecture, block, params.lr, engine.device) for block in blocks]
    folder = Path("results", arm)
    folder.mkdir(parents=True, exist_ok=True)
    with ArmParts(rates, params.lr) as parts:
        with ArmReport(_title(arm, params), run, schedule, params.lr, len(tasks), engine) as report:
            _train_blocks(engine, tasks, parts, report)
        seed = _write_files(folder, parts, report.curves(), architecture)
    run.log_summary({"seconds_per_epoch": report.seconds / schedule.epochs})
    run.describe(_description(schedule, params.lr, seed), folder / "history.parquet", folder / "curves.csv")
    _log_files(run, arm, folder, example=train.x[:2].numpy())


def _title(arm: str, params: Params) -> str:
    """Return what the arm is called while it trains."""
    return f"{arm}, {_contrast(params).labels[arm]}" if arm == "bn" else arm


def _notes(arm: str, params: Params, architecture: "Architecture", rows: int) -> Iterator[str]:
    """Yield what one should know before the training of `arm` on so many rows."""
    from stages.training.arm import dropped_examples

    if dropped_examples(rows, params.batch_size):
        yield "1 example is left out of each epoch: a batch of one cannot be normalized"
    if arm == "bn" and not _contrast(params).alike:
        yield f"a pair {_contrast(params).pair}"
    if architecture.normalizes_pairs:
        yield "features normalized two by two come out near -1 and 1: they keep little but which of the two is larger"


def _contrast(params: Params) -> "Contrast":
    """Say what the arms differ in: not for the baseline, which would be trained anew wherever it reads params.bn."""
    from stages.evidence.wording import describe_contrast

    return describe_contrast(params.bn.kind, params.model.hidden, params.bn.hidden)


def _train_blocks(engine: Engine, tasks: Sequence[tuple[Any, ...]], parts: "ArmParts", report: "ArmReport") -> None:
    from stages.training.blocks import train_block

    if engine.inline:
        tasks = [(*task, report.on_epoch) for task in tasks]
    for block in engine.run(train_block, tasks):
        parts.add(block)
        report.add(block.history)


def _write_files(folder: Path, parts: "ArmParts", curves: "Mapping[str, Moments]", architecture: "Architecture") -> int:
    """Write FILES into `folder`; return the seed whose network is in model.pt."""
    import pandas as pd

    from stages.evidence.curves import median_seed, tabulate_curves
    from stages.training.network import load_network, save_network
    from stages.training.surface import draw_surface

    parts.write_history(folder / "history.parquet")
    parts.write_diagnostics(folder / "diagnostics.parquet")
    tabulate_curves(curves).to_csv(folder / "curves.csv", index=False, lineterminator="\n")
    seed = median_seed(parts.final_values())
    save_network(parts.network(seed), architecture, folder / "model.pt")
    rows = pd.concat([pd.read_csv(TRAIN), pd.read_csv(VAL)])
    surface = draw_surface(load_network(folder / "model.pt"), rows)
    surface.to_csv(folder / "surface.csv", index=False, lineterminator="\n")
    return seed


def _log_files(run: StageRun, arm: str, folder: Path, example: "np.ndarray") -> None:
    """Log FILES, the data, and the network of model.pt; `example` gives its signature."""
    from stages.training.network import load_network

    run.set_tag("history.md5", file_md5(folder / "history.parquet"))
    run.set_tag("model.md5", file_md5(folder / "model.pt"))
    run.log_dataset(TRAIN, "training")
    run.log_dataset(VAL, "validation")
    run.log_network(arm, load_network(folder / "model.pt"), example)
    run.log_artifacts(*(folder / name for name in FILES))


class ArmReport:
    """Tells of the training: MLflow, and a progress bar where stderr is a terminal.

    What is logged are means over all seeds. One block that trains in this process is logged while it trains; else all
    epochs are, once the last block is there.
    """

    def __init__(self, title: str, run: StageRun, schedule: "Schedule", lr: float, blocks: int, engine: Engine) -> None:
        from tqdm import tqdm

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

    def on_epoch(self, epoch: int, measures: "dict[str, np.ndarray]") -> None:
        """Report one epoch of a block that trains in this process: each measure as (L, S)."""
        if self.started is None:
            self._open()
        accuracies = {name: measures[f"{name}_accuracy"][self.headline].mean() for name in ("train", "val")}
        self.bar.set_postfix({name: f"{value:.3f}" for name, value in accuracies.items()}, refresh=False)
        self.bar.update(epoch > 0)
        if self.live:
            from stages.evidence.paired import Moments

            self._log(epoch, {name: Moments.of(values) for name, values in measures.items()})

    def add(self, history: "pd.DataFrame") -> None:
        """Report a block that is done."""
        from stages.evidence.curves import moments_by_epoch

        self.seconds = time.perf_counter() - self.started
        moments = moments_by_epoch(history)
        self.moments = {name: self.moments[name] + more if self.moments else more for name, more in moments.items()}
        self.blocks_left -= 1
        if not self.inline:
            self.bar.update(self.epochs)
        if self.blocks_left == 0 and not self.live:
            for epoch in range(self.epochs + 1):
                self._log(epoch, {name: each[:, epoch] for name, each in self.moments.items()})

    def curves(self) -> "dict[str, Moments]":
        """Return the moments of each measure at the headline rate, (E,), once all blocks are done."""
        return {name: moments[self.headline] for name, moments in self.moments.items()}

    def _open(self) -> None:
        """Wait, before any training, for MLflow to answer."""
        self.run.wait_until_open()
        self.run.prepare_to_log_network()
        self.started = time.perf_counter()

    def _log(self, epoch: int, moments: "dict[str, Moments]") -> None:
        """Log one epoch: the moments of each measure, (L,)."""
        by_rate = {lr: {name: float(each.mean[i]) for name, each in moments.items()} for i, lr in enumerate(self.rates)}
        _, low, high = moments["val_accuracy"][self.headline].interval()
        interval = {"val_accuracy_ci_low": float(low), "val_accuracy_ci_high": float(high)}
        self.run.log_epoch(epoch, by_rate[self.rates[self.headline]] | interval, by_rate)

    def __enter__(self) -> "ArmReport":
        return self

    def __exit__(self, *exception: object) -> None:
        self.bar.close()


def _architecture(arm: str, params: Params, *, features: int, classes: int) -> "Architecture":
    from stages.training.network import Architecture, Normalization

    hidden, normalization = params.model.hidden, None
    if arm == "bn":
        bn, hidden = params.bn, params.bn.hidden or hidden
        if bn.inputs:
            check_widths(bn.kind, bn.groups, [features], f"bn.inputs = True on data of {features} features")
        if bn.kind != "none":
            normalization = Normalization(**bn.model_dump(exclude={"hidden"}))
    return Architecture(
        features=features,
        hidden=hidden,
        activation=params.model.activation,
        init=params.model.init,
        init_std=params.model.init_std,
        classes=classes,
        normalization=normalization,
    )


def _schedule(arm: str, params: Params, rates: Sequence[float]) -> "Schedule":
    from stages.training.arm import ORDER, OTHER_ORDER, Schedule

    same_networks = arm == "bn" and params.bn.kind == "none" and params.bn.hidden in (None, params.model.hidden)
    return Schedule(
        learning_rates=rates,
        seeds=range(params.seeds),
        epochs=params.epochs,
        batch_size=params.batch_size,
        optimizer=params.optimizer,
        momentum=params.momentum,
        weight_decay=params.weight_decay,
        order_stream=OTHER_ORDER if same_networks else ORDER,
    )


def _description(schedule: "Schedule", lr: float, median_seed: int) -> str:
    """Say in Markdown what the numbers of the run are."""
    return (
        f"{len(schedule.seeds)} networks at each of {len(schedule.learning_rates)} learning rates."
        f" The metrics are means over the networks at learning rate {lr:g}; each child run has those of one rate."
        f" The model is the network of seed {median_seed}, whose final validation accuracy is the median."
    )
