"""What the stages `train_baseline` and `train_bn` have in common: they train one arm, and differ in `bn` alone.

Reads   data/train.csv, data/val.csv: feature columns, then `label`
        data/pairs/: where pairs have rows of their own, those; the tables then have the first pair's
Writes  in results/<arm>/
        history.parquet   lr, seed, epoch, train_loss, train_accuracy, val_loss, val_accuracy
                          (losses in nats, accuracies in [0, 1], in eval mode on all rows; epoch 0 = before training);
                          under batch norm the same four as NAME_exact, with the statistics of all training rows in
                          place of running averages
        diagnostics.parquet
                          at `lr`: seed, epoch, covariate_shift, gradient_cosine, input_shift, loss_range (nats),
                          gradient_change, beta_smoothness, input_p15, input_p50, input_p85, dead_layer (0 or 1);
                          see stages/training/diagnostics.py. layer_gradient_1 to layer_gradient_D, one for each dense
                          layer, the last of which puts out the logits: log10 of the norm of the gradient of its
                          weights over that of the last hidden dense layer, at the first step of the epoch
        curves.csv        at `lr`: epoch, and of each measure the mean over seeds and its 95% interval;
                          written while one block trains here, too
        surface.csv       where there are two features: both on a grid, and P(class 1) of model.pt there (the most
                          probable class, where there are more than two); else no rows
        networks.npy      every network at `lr` as dense layers, (S, P) in float32: stages/training/folding.py; (S, 0)
                          where there are not two features, or more than 200 parameters
        model.pt          the network at `lr` of the seed with the median final val_accuracy
Logs    an MLflow run for the arm with a child run per learning rate
"""

import math
import sys
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd
import torch

from stages.arm.live import LiveCurves
from stages.arm.parts import ArmParts
from stages.arm.report import ArmReport
from stages.arm.settings import build_architecture, build_schedule, describe_arms, notes_before
from stages.engine import Engine
from stages.history.curves import median_seed, tabulate_curves
from stages.history.moments import Moments
from stages.pair_rows import PairRows
from stages.params import Params
from stages.tracking import StageRun, file_md5, folder_md5
from stages.training.blocks import BlockTask, cut_blocks, train_block
from stages.training.loop import Schedule
from stages.training.network import Architecture, load_network, save_network
from stages.training.surface import tabulate_surface
from stages.training.tables import Table

TRAIN, VAL, PAIRS = Path("data/train.csv"), Path("data/val.csv"), Path("data/pairs")
FILES = ("history.parquet", "diagnostics.parquet", "curves.csv", "surface.csv", "networks.npy", "model.pt")
PARTS = ".parts"  # the folder beside FILES that is there while the arm trains


def run_arm(arm: str, params: Params, engine: Engine, run: StageRun) -> None:
    """Train the blocks of the arm, then write its files, then log them."""
    train, val, pairs = Table.read(TRAIN), Table.read(VAL), PairRows.read(PAIRS)
    architecture = build_architecture(arm, params, features=train.features, classes=train.classes)
    schedule = build_schedule(arm, params)
    for note in notes_before(arm, params, architecture, train.rows):
        print(f"note: {note}", file=sys.stderr)
    tasks = []
    for block in cut_blocks(schedule, architecture):
        own_rows = pairs and pairs.of(block.seeds)
        tasks.append(BlockTask(train, val, architecture, block, params.lr, engine.device, own_rows))
    folder = Path("results", arm)
    here = engine.runs_here(len(tasks), steps=len(tasks) * _count_steps(schedule, train.rows))
    live = LiveCurves(folder / "curves.csv", draft=folder / PARTS / "curves.csv")
    report = ArmReport(_title(arm, params), run, live, schedule, params.lr, blocks=len(tasks), inline=here)
    with ArmParts(folder / PARTS, schedule.learning_rates, params.lr) as parts:
        _train_blocks(engine, tasks, parts, report)
        seed = _write_files(folder, parts, report.curves(), architecture, pairs)
    run.log_summary({"seconds_per_epoch": report.seconds / schedule.epochs})
    description = _description(schedule, params.lr, seed)
    if pairs:
        description += " Each pair has rows of its own; the datasets are the first pair's."
        run.set_tag("pairs.md5", folder_md5(PAIRS))
    run.describe(description, folder / "history.parquet", folder / "curves.csv")
    _log_files(run, arm, folder, example=train.x[:2].numpy())


def _count_steps(schedule: Schedule, rows: int) -> int:
    """Return how many steps the training on so many rows takes."""
    return schedule.epochs * math.ceil(rows / schedule.batch_size)


def _title(arm: str, params: Params) -> str:
    """Return what the arm is called while it trains."""
    return f"{arm}, {describe_arms(params).labels[arm]}" if arm == "bn" else arm


def _train_blocks(engine: Engine, tasks: Sequence[BlockTask], parts: ArmParts, report: ArmReport) -> None:
    # A block that trains elsewhere cannot call back: it is heard of when it is done.
    train = partial(train_block, on_epoch=report.on_epoch) if report.inline else train_block
    with report:
        for block in engine.run(train, tasks, here=report.inline):
            parts.add(block)
            report.add(block.history)


def _write_files(
    folder: Path,
    parts: ArmParts,
    curves: Mapping[str, Moments],
    architecture: Architecture,
    pairs: PairRows | None,
) -> int:
    """Write FILES into `folder`; return the seed whose network is in model.pt."""
    parts.write_history(folder / "history.parquet")
    parts.write_diagnostics(folder / "diagnostics.parquet")
    tabulate_curves(curves).to_csv(folder / "curves.csv", index=False, lineterminator="\n")
    np.save(folder / "networks.npy", parts.folded_networks())
    seed = median_seed(parts.final_values())
    save_network(parts.network(seed), architecture, folder / "model.pt")
    surface = tabulate_surface(load_network(folder / "model.pt"), _rows_of(seed, pairs))
    surface.to_csv(folder / "surface.csv", index=False, lineterminator="\n")
    return seed


def _rows_of(seed: int, pairs: PairRows | None) -> pd.DataFrame:
    """Return all rows of a seed: the features, then `label`."""
    tables = [pd.read_csv(TRAIN), pd.read_csv(VAL)]
    if pairs:
        tables = pairs.tables(seed, tables[0].columns[:-1])
    return pd.concat(tables)


def _log_files(run: StageRun, arm: str, folder: Path, example: np.ndarray) -> None:
    """Log FILES, the data, and the network of model.pt; `example` gives its signature."""
    run.set_tag("history.md5", file_md5(folder / "history.parquet"))
    run.set_tag("model.md5", file_md5(folder / "model.pt"))
    run.log_dataset(TRAIN, "training")
    run.log_dataset(VAL, "validation")
    with torch.no_grad():
        probabilities = load_network(folder / "model.pt")(torch.from_numpy(example)).numpy()
    run.log_network(arm, folder / "model.pt", example, probabilities)
    run.log_artifacts(*(folder / name for name in FILES))


def _description(schedule: Schedule, lr: float, median_seed: int) -> str:
    """Say in Markdown what the numbers of the run are."""
    return (
        f"{len(schedule.seeds)} networks at each of {len(schedule.learning_rates)} learning rates."
        f" The metrics are means over the networks at learning rate {lr:g}; each child run has those of one rate."
        f" The model is the network of seed {median_seed}, whose final validation accuracy is the median."
    )
