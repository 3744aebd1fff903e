"""One arm: all its replicas, every seed at every learning rate, trained together."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from torch import Tensor, nn

from stages import MEASURES
from stages.training.diagnostics import Diagnostics
from stages.training.layers import write_gradient
from stages.training.loss import cross_entropy, is_right
from stages.training.network import Architecture, build_network
from stages.training.optimizers import Optimizer
from stages.training.replicas import flatten_parameters, in_memory_order, is_narrow, repeat, stack

WEIGHTS, ORDER, OTHER_ORDER = 0, 1, 2  # the streams of random numbers that a seed has
EVALUATED_AT_ONCE = 128  # rows: few enough for the caches, whatever the size of the table


@dataclass(frozen=True)
class Table:
    """Rows to train or to evaluate on: features `x` (N, F), classes `y` (N,) from 0 to K - 1, in int64."""

    x: Tensor
    y: Tensor

    @classmethod
    def read(cls, path: str | Path) -> "Table":
        """Read a CSV of feature columns, in float32, and `label`."""
        table = pd.read_csv(path)
        x = table.drop(columns="label").to_numpy(np.float32)
        return cls(torch.from_numpy(x), torch.tensor(table["label"].to_numpy(np.int64)))

    def to(self, device: str | torch.device) -> "Table":
        """Return the table on a device."""
        return Table(self.x.to(device), self.y.to(device))

    @property
    def classes(self) -> int:
        """The number of classes."""
        return int(self.y.max()) + 1


@dataclass(frozen=True)
class Schedule:
    """How an arm trains. `momentum` is for sgd. Replicas are numbered rate by rate, seed by seed in each.

    `weight_decay` is what the optimizer of PyTorch makes of it: decoupled in adamw, an L2 penalty in the others.
    """

    learning_rates: Sequence[float]
    seeds: Sequence[int]
    epochs: int
    batch_size: int
    optimizer: str = "adam"
    momentum: float = 0.0
    weight_decay: float = 0.0
    order_stream: int = ORDER  # OTHER_ORDER: the same networks, on batches in another order

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
    on_epoch: Callable[[int, dict[str, np.ndarray]], None] = lambda epoch, measures: None,
    diagnostics: Diagnostics | None = None,
) -> tuple[nn.Sequential, pd.DataFrame]:
    """Train every replica, and return them stacked, with their history.

    A replica is the network that plain PyTorch trains from the same seed on the same batches, in dtype and device of
    `train.x`. The history has one row per (lr, seed, epoch) with `MEASURES`: losses in nats, accuracies in [0, 1], all
    in eval mode on the full tables; epoch 0 is before training. `on_epoch` gets the epoch and each measure as (L, S).
    `diagnostics` watches, and has its table afterwards; the training is the same, to the bit, with it and without.
    """
    network = build_replicas(architecture, schedule).to(train.x.device, train.x.dtype)
    optimizer = build_optimizer(network, schedule)
    orders = [_generator(seed, schedule.order_stream) for seed in schedule.seeds]
    epochs = []
    for epoch in range(schedule.epochs + 1):
        if epoch > 0:
            train_epoch(network, optimizer, train, schedule, orders, diagnostics)
        measures = evaluate(network, train, val)
        if diagnostics:
            diagnostics.after_epoch(network)
        epochs.append({name: values.reshape(len(schedule.learning_rates), -1) for name, values in measures.items()})
        on_epoch(epoch, epochs[-1])
    return network.eval(), _history(epochs, schedule)


def build_replicas(architecture: Architecture, schedule: Schedule) -> nn.Sequential:
    """Return the arm before training: the network of each seed, once for every learning rate."""
    networks = [build_network(architecture, _generator(seed, WEIGHTS)) for seed in schedule.seeds]
    return stack(networks * len(schedule.learning_rates))


def train_epoch(
    network: nn.Sequential,
    optimizer: Optimizer,
    train: Table,
    schedule: Schedule,
    orders: Sequence[torch.Generator],
    diagnostics: Diagnostics | None = None,
) -> None:
    """Take one step per batch; each seed has an order of its own, drawn from its generator in `orders`.

    `diagnostics` watches the first step.
    """
    network.train()
    for number, (x, y) in enumerate(_batches(train, schedule, orders, narrow=is_narrow(network))):
        write_gradient(network, x, y)
        with diagnostics.watch_step(network, x, y) if diagnostics and number == 0 else nullcontext():
            optimizer.step()


@torch.no_grad()
def evaluate(network: nn.Sequential, train: Table, val: Table) -> dict[str, np.ndarray]:
    """Return each of `MEASURES` as (R,), in eval mode. A logit that is not a number counts as wrong."""
    network.eval()
    measures = {}
    for name, table in {"train": train, "val": val}.items():
        loss = correct = 0.0
        for x, y in zip(table.x.split(EVALUATED_AT_ONCE), table.y.split(EVALUATED_AT_ONCE), strict=True):
            logits = network(x.T.expand(_replicas(network), -1, -1))  # (R, K, B)
            loss = loss + cross_entropy(logits, y[None]).sum(dim=-1).double()
            correct = correct + is_right(logits, y[None]).sum(dim=-1).double()
        measures[f"{name}_loss"] = (loss / len(table.y)).cpu().numpy()
        measures[f"{name}_accuracy"] = (correct / len(table.y)).cpu().numpy()
    return measures


def dropped_examples(rows: int, batch_size: int) -> int:
    """Return how many examples an epoch leaves out: a last batch of ONE cannot be normalized, so no arm sees it."""
    return int(rows % batch_size == 1)


def build_optimizer(network: nn.Sequential, schedule: Schedule) -> Optimizer:
    """Flatten the parameters, and return what moves them, each replica at its own learning rate."""
    flat = flatten_parameters(network)
    rates = flat.new_tensor(schedule.learning_rates).repeat_interleave(len(schedule.seeds))
    shaped = (torch.empty_like(each).copy_(rates.view(-1, *[1] * (each.dim() - 1))) for each in network.parameters())
    rates = torch.cat([in_memory_order(each) for each in shaped])
    return Optimizer(flat, rates, schedule.optimizer, momentum=schedule.momentum, weight_decay=schedule.weight_decay)


def _batches(
    train: Table, schedule: Schedule, orders: Sequence[torch.Generator], *, narrow: bool
) -> Iterator[tuple[Tensor, Tensor]]:
    """Yield the batches of one epoch: x (R, F, B), y (R, B)."""
    rates, rows = len(schedule.learning_rates), len(train.y)
    order = torch.stack([torch.randperm(rows, generator=generator) for generator in orders], dim=1)  # (N, S)
    for index in order[: rows - dropped_examples(rows, schedule.batch_size)].split(schedule.batch_size):
        index = index.to(train.x.device)
        x = train.x.index_select(0, index.flatten()).unflatten(0, index.shape)  # (B, S, F)
        y = train.y.take(index)
        yield repeat(x.permute(1, 2, 0), rates, narrow=narrow), torch.cat([y] * rates, dim=1).T


def _generator(seed: int, stream: int) -> torch.Generator:
    """Return the generator of one stream of a seed, unrelated to those of other streams and seeds."""
    state = np.random.SeedSequence([seed, stream]).generate_state(1, np.uint64)
    return torch.Generator().manual_seed(int(state[0]))


def _replicas(network: nn.Module) -> int:
    return len(next(network.parameters()))


def _history(epochs: Sequence[dict[str, np.ndarray]], schedule: Schedule) -> pd.DataFrame:
    """Return the history, sorted by lr, seed, epoch, from the measures of each epoch, (L, S) each."""
    index = pd.MultiIndex.from_product(
        [schedule.learning_rates, schedule.seeds, range(len(epochs))], names=["lr", "seed", "epoch"]
    )
    columns = {name: np.stack([epoch[name] for epoch in epochs], axis=-1).ravel() for name in MEASURES}  # (L, S, E)
    return pd.DataFrame(columns, index=index).reset_index()
