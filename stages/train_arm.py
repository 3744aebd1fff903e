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
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from stages.params import Params, check_widths, load_params
from stages.tracking import StageRun, file_md5, track_stage

if TYPE_CHECKING:
    import numpy as np

    from stages.training.arm import Schedule
    from stages.training.network import Architecture

TRAIN, VAL = Path("data/train.csv"), Path("data/val.csv")
FILES = ("history.parquet", "diagnostics.parquet", "curves.csv", "surface.csv", "model.pt")


def run_arm(arm: str) -> None:
    """Train the arm that `arm` names, write its files, and log it all."""
    params = load_params()
    rates = sorted({*params.lr_sweep, params.lr})
    with track_stage(f"train_{arm}", params.flat(), tags={"arm": arm}, rates=rates) as run:
        _train(arm, params, rates, run)  # PyTorch is imported while MLflow connects


def _train(arm: str, params: Params, rates: Sequence[float], run: StageRun) -> None:
    import pandas as pd
    import torch

    from stages.evidence.curves import final_values, median_seed, summarize_epochs
    from stages.evidence.wording import describe_contrast
    from stages.training.arm import Table, train_arm
    from stages.training.diagnostics import Diagnostics
    from stages.training.network import load_network, save_network
    from stages.training.replicas import unstack
    from stages.training.surface import draw_surface

    torch.set_num_threads(1)  # the networks are small, and the bytes must not depend on the machine's cores
    train, val = Table.read(TRAIN), Table.read(VAL)
    architecture = _architecture(arm, params, features=train.x.shape[1], classes=train.classes)
    schedule = _schedule(arm, params, rates)
    _note_dropped_example(len(train.y), schedule.batch_size)
    diagnostics = Diagnostics(train.x, schedule.seeds, params.lr, schedule.replicas(params.lr))
    title = arm
    if arm == "bn":  # params.bn is not for the baseline to read: it would be trained anew for nothing
        contrast = describe_contrast(params.bn.kind, params.model.hidden, params.bn.hidden)
        title = f"{arm}, {contrast.labels[arm]}"
        if not contrast.alike:
            print(f"note: a pair {contrast.pair}", file=sys.stderr)
    with EpochReport(title, run, schedule, params.lr) as report:
        networks, history = train_arm(train, val, architecture, schedule, report, diagnostics)

    folder = Path("results", arm)
    folder.mkdir(parents=True, exist_ok=True)
    history.to_parquet(folder / "history.parquet", index=False)
    diagnostics.table().to_parquet(folder / "diagnostics.parquet", index=False)
    summarize_epochs(history, params.lr).to_csv(folder / "curves.csv", index=False, lineterminator="\n")
    seed = median_seed(final_values(history, params.lr))
    network = unstack(networks, schedule.replica(params.lr, seed))
    save_network(network, architecture, folder / "model.pt")
    network = load_network(folder / "model.pt")
    rows = pd.concat([pd.read_csv(TRAIN), pd.read_csv(VAL)])
    draw_surface(network, rows).to_csv(folder / "surface.csv", index=False, lineterminator="\n")

    run.log_summary({"seconds_per_epoch": report.seconds / schedule.epochs})
    run.set_tag("history.md5", file_md5(folder / "history.parquet"))
    run.set_tag("model.md5", file_md5(folder / "model.pt"))
    run.describe(_description(schedule, params.lr, seed), made=folder / "curves.csv")
    run.log_dataset(TRAIN, "training")
    run.log_dataset(VAL, "validation")
    run.log_network(arm, network, example=train.x[:2].numpy())
    run.log_artifacts(*(folder / name for name in FILES))


class EpochReport:
    """Tells of every epoch: MLflow, and a progress bar where stderr is a terminal."""

    def __init__(self, title: str, run: StageRun, schedule: "Schedule", lr: float) -> None:
        from tqdm import tqdm

        self.run, self.rates, self.seconds = run, schedule.learning_rates, 0.0
        self.headline = self.rates.index(lr)
        networks = len(self.rates) * len(schedule.seeds)
        self.bar = tqdm(
            total=schedule.epochs, desc=f"{title}: {networks} networks", unit="epoch", disable=None, dynamic_ncols=True
        )

    def __call__(self, epoch: int, measures: "dict[str, np.ndarray]") -> None:
        """Report one epoch: each measure as (L, S). The first, before any training, waits for MLflow to answer."""
        from stages.evidence.paired import mean_interval

        if epoch == 0:
            self.run.wait_until_open()
            self.run.prepare_to_log_network()
            self.started = time.perf_counter()
        self.seconds = time.perf_counter() - self.started
        means = {name: values.mean(axis=1) for name, values in measures.items()}  # (L,) each
        by_rate = {lr: {name: float(mean[i]) for name, mean in means.items()} for i, lr in enumerate(self.rates)}
        headline = by_rate[self.rates[self.headline]]
        _, low, high = mean_interval(measures["val_accuracy"][self.headline])
        interval = {"val_accuracy_ci_low": float(low), "val_accuracy_ci_high": float(high)}
        self.run.log_epoch(epoch, headline | interval, by_rate)
        self.bar.set_postfix(
            train=f"{headline['train_accuracy']:.3f}", val=f"{headline['val_accuracy']:.3f}", refresh=False
        )
        self.bar.update(epoch > 0)

    def __enter__(self) -> "EpochReport":
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


def _note_dropped_example(rows: int, batch_size: int) -> None:
    from stages.training.arm import dropped_examples

    if dropped_examples(rows, batch_size):
        print("note: 1 example is left out of each epoch: a batch of one cannot be normalized", file=sys.stderr)
