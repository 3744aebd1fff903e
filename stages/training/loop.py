"""One arm: all its replicas, every seed at every learning rate, trained together, epoch by epoch."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial

import numpy as np
import pandas as pd
import torch
from torch import Tensor, nn

from stages import EXACT_MEASURES, MEASURES
from stages.training.diagnostics import Diagnostics
from stages.training.evaluation import Measures, evaluate, freeze_statistics
from stages.training.layers import write_gradient
from stages.training.masks import draw_masks
from stages.training.network import Architecture, build_network
from stages.training.optimizers import Optimizer
from stages.training.replicas import flatten_parameters, in_memory_order, is_narrow, repeat, stack
from stages.training.streams import MASKS, ORDER, WEIGHTS, open_stream
from stages.training.tables import Table

VALUES_AT_ONCE = 2**17  # of the features of several batches, gathered in one call: few enough for the caches


@dataclass(frozen=True)
class Schedule:
    """How an arm trains. Replicas are numbered rate by rate, and seed by seed at each rate.

    `momentum` is for sgd. `weight_decay` is what the optimizer of PyTorch makes of it: decoupled in adamw, an L2
    penalty in the others. `order_stream` OTHER_ORDER: the same networks, on batches in another order.
    """

    learning_rates: Sequence[float]
    seeds: Sequence[int]
    epochs: int
    batch_size: int
    optimizer: str = "adam"
    momentum: float = 0.0
    weight_decay: float = 0.0
    order_stream: int = ORDER

    def replica(self, learning_rate: float, seed: int) -> int:
        """Return the number of a replica."""
        return self.replicas(learning_rate).start + self.seeds.index(seed)

    def replicas(self, learning_rate: float) -> slice:
        """Return the numbers of all replicas at a learning rate, seed by seed."""
        first = self.learning_rates.index(learning_rate) * len(self.seeds)
        return slice(first, first + len(self.seeds))


def train_arm(
    train: Table,
    val: Table,
    architecture: Architecture,
    schedule: Schedule,
    on_epoch: Callable[[int, Measures], None] = lambda epoch, measures: None,
    diagnostics: Diagnostics | None = None,
) -> tuple[nn.Sequential, pd.DataFrame]:
    """Train every replica, and return them stacked, with their history.

    A replica is the network that plain PyTorch trains from the same seed on the same batches, in dtype and device of
    `train.x`. The history has one row per (lr, seed, epoch) with what `evaluate` measures after it: losses in nats,
    accuracies in [0, 1]; epoch 0 is before training. `on_epoch` gets the epoch and each measure as (L, S).
    `diagnostics` watches, and has its table afterwards; the training is the same, to the bit, with it and without.
    """
    network, train_on = start_training(train, architecture, schedule)
    shape = len(schedule.learning_rates), len(schedule.seeds)
    epochs = []
    for epoch in range(schedule.epochs + 1):
        if epoch > 0:
            train_on(diagnostics)
        measures = evaluate(network, train, val)
        epochs.append({name: values.reshape(shape) for name, values in measures.items()})
        if diagnostics:
            diagnostics.after_epoch(network)
        on_epoch(epoch, epochs[-1])
    return network.eval(), _history(epochs, schedule)


def start_training(
    train: Table, architecture: Architecture, schedule: Schedule
) -> tuple[nn.Sequential, Callable[[Diagnostics | None], None]]:
    """Return the arm before training, in dtype and device of `train.x`, and what trains it for one epoch more."""
    _keep_freed_memory()
    network = build_replicas(architecture, schedule).to(train.x.device, train.x.dtype)
    freeze_statistics(network, train)
    optimizer = build_optimizer(network, schedule)
    if architecture.classes == 2:
        train = replace(train, y=train.y.to(train.x.dtype))  # what the sigmoid of one logit is subtracted from
    orders = [open_stream(seed, schedule.order_stream) for seed in schedule.seeds]
    masks = [open_stream(seed, MASKS) for seed in schedule.seeds]
    return network, partial(train_epoch, network, optimizer, train, schedule, orders, masks)


def _keep_freed_memory() -> None:
    """Let malloc keep what is freed, up to 32 MiB, for what comes next.

    By itself, glibc's gives it back and has it anew in every epoch, which can take as long as an evaluation. It
    learns to keep twice as much as what it sees freed at once (mallopt(3), M_MMAP_THRESHOLD).
    """
    torch.empty(2**24, dtype=torch.uint8)


def build_replicas(architecture: Architecture, schedule: Schedule) -> nn.Sequential:
    """Return the arm before training: the network of each seed, once for every learning rate."""
    networks = [build_network(architecture, open_stream(seed, WEIGHTS)) for seed in schedule.seeds]
    return stack(networks * len(schedule.learning_rates))


def build_optimizer(network: nn.Sequential, schedule: Schedule) -> Optimizer:
    """Flatten the parameters, and return what moves them, each replica at its own learning rate."""
    flat = flatten_parameters(network)
    of_replicas = flat.new_tensor(schedule.learning_rates).repeat_interleave(len(schedule.seeds))  # (R,)
    of_values = []
    for parameter in network.parameters():
        rates = of_replicas.view(-1, *[1] * (parameter.dim() - 1))  # (R, 1, ...)
        of_values.append(in_memory_order(torch.empty_like(parameter).copy_(rates)))
    return Optimizer(
        flat,
        torch.cat(of_values),
        schedule.optimizer,
        momentum=schedule.momentum,
        weight_decay=schedule.weight_decay,
    )


@torch.inference_mode()  # a sixth faster than no_grad, which counts for every tensor how often it has changed
def train_epoch(
    network: nn.Sequential,
    optimizer: Optimizer,
    train: Table,
    schedule: Schedule,
    orders: Sequence[torch.Generator],
    masks: Sequence[torch.Generator],
    diagnostics: Diagnostics | None = None,
) -> None:
    """Take one step per batch; each seed has an order of its own, drawn from its generator in `orders`.

    So are the masks of dropout, where there is any, from `masks`. `diagnostics` watches the first step.
    """
    network.train()
    batches = cut_batches(train, schedule, orders, narrow=is_narrow(network))
    for number, (x, y) in enumerate(batches):
        draw_masks(network, masks, x.shape[-1])
        write_gradient(network, x, y)
        watching = diagnostics if number == 0 else None
        if watching:
            watching.before_step(network, x, y)
        optimizer.step()
        if watching:
            watching.after_step(network)


def cut_batches(
    train: Table, schedule: Schedule, orders: Sequence[torch.Generator], *, narrow: bool
) -> Iterator[tuple[Tensor, Tensor]]:
    """Yield the batches of one epoch: x (R, F, B), y (R, B)."""
    rates, rows = len(schedule.learning_rates), train.rows
    order = torch.stack([torch.randperm(rows, generator=generator) for generator in orders])  # (S, N)
    used = rows - dropped_examples(rows, schedule.batch_size)
    values = schedule.batch_size * rates * len(orders) * train.features
    at_once = schedule.batch_size * max(1, VALUES_AT_ONCE // values)
    for index in order[:, :used].to(train.x.device).split(at_once, dim=1):
        x, y = _gather(train, index, rates, narrow=narrow)
        yield from zip(x.split(schedule.batch_size, dim=-1), y.split(schedule.batch_size, dim=-1), strict=True)


def _gather(train: Table, index: Tensor, rates: int, *, narrow: bool) -> tuple[Tensor, Tensor]:
    """Return the rows (S, B) of every seed for its networks at all learning rates: x (R, F, B), y (R, B)."""
    if not narrow:
        return train.gather(index.repeat(rates, 1), narrow=False)
    x, y = train.gather(index, narrow=True)
    return repeat(x, rates, narrow=True), torch.cat([y.T] * rates, dim=1).T


def dropped_examples(rows: int, batch_size: int) -> int:
    """Return how many examples an epoch leaves out: a last batch of ONE cannot be normalized, so no arm sees it."""
    return int(rows % batch_size == 1)


def _history(epochs: Sequence[Measures], schedule: Schedule) -> pd.DataFrame:
    """Return the history, sorted by lr, seed, epoch, from the measures of each epoch, (L, S) each."""
    axes = [schedule.learning_rates, schedule.seeds, range(len(epochs))]
    index = pd.MultiIndex.from_product(axes, names=["lr", "seed", "epoch"])
    columns = {}
    for name in sorted(epochs[0], key=[*MEASURES, *EXACT_MEASURES].index):
        values = np.stack([measures[name] for measures in epochs], axis=-1)  # (L, S, E)
        columns[name] = values.ravel()
    return pd.DataFrame(columns, index=index).reset_index()
