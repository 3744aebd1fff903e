"""The same training in nine ways, each as users of that library write it, for `benchmarks.peers` to time.

A function prepares one way for a task (imports, data, what is compiled ahead) and returns what is timed: training so
many networks for all epochs, with losses and accuracies of the training and the validation rows after each. Lightning,
skorch and Keras report their running averages over the training batches, which spares them a pass over those rows.
"""

import warnings
from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    import torch
    from torch import nn

    from stages.training.loop import Schedule
    from stages.training.network import Architecture
    from stages.training.tables import Table

Run = Callable[[], object]


@dataclass(frozen=True)
class Task:
    """What to train: rows x (N, F) in float32, classes y (N,) as integers; `classes` 2 means one logit."""

    train: tuple[np.ndarray, np.ndarray]
    val: tuple[np.ndarray, np.ndarray]
    hidden: tuple[int, ...]
    classes: int
    batch_norm: bool
    epochs: int
    seeds: int  # with `rates`: the networks that are trained as one, where that is possible
    rates: tuple[float, ...] = (0.001,)
    batch_size: int = 32

    @property
    def networks(self) -> int:
        return self.seeds * len(self.rates)

    @property
    def widths(self) -> list[int]:
        return [self.train[0].shape[1], *self.hidden, 1 if self.classes == 2 else self.classes]


def dataloader(task: Task) -> Run:
    """Loop over a DataLoader, as most tutorials do."""
    from torch.utils.data import DataLoader, TensorDataset

    train, val = _tensors(task)

    def run() -> None:
        network = _network(task)
        optimizer = _adam(network, task)
        loader = DataLoader(TensorDataset(*train), task.batch_size, shuffle=True)
        for _ in range(task.epochs):
            network.train()
            for x, y in loader:
                optimizer.zero_grad()
                _loss(network(x), y).backward()
                optimizer.step()
            _evaluate(network, train, val)

    return run


def plain_loop(task: Task) -> Run:
    """Loop over slices of a shuffled index: PyTorch without a DataLoader."""
    import torch

    train, val = _tensors(task)

    def run() -> None:
        network = _network(task)
        optimizer = _adam(network, task)
        for _ in range(task.epochs):
            network.train()
            for index in torch.randperm(len(train[1])).split(task.batch_size):
                optimizer.zero_grad()
                _loss(network(train[0][index]), train[1][index]).backward()
                optimizer.step()
            _evaluate(network, train, val)

    return run


def torch_vmap(task: Task) -> Run | None:
    """Use torch.func: vmap over the stacked parameters of ordinary networks, and one optimizer for all.

    Without batch norm alone: under vmap its running statistics cannot be written on.
    """
    import torch
    from torch.func import functional_call, grad, stack_module_state, vmap

    if task.batch_norm:
        return None
    (x, y), val = _tensors(task)

    def run() -> None:
        networks: list[nn.Sequential] = []
        for _ in range(task.seeds):
            networks += [_network(task)] * len(task.rates)
        parameters, _ = stack_module_state(networks)
        rates = torch.tensor(task.rates).repeat(task.seeds)
        shaped = [rates.view(-1, *[1] * (p.dim() - 1)) for p in parameters.values()]
        optimizer = torch.optim.Adam(parameters.values(), lr=1.0, fused=True)

        def loss(state: dict, x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
            return _loss(functional_call(networks[0], state, (x,)), y)

        @torch.no_grad()
        def measure(state: dict, x: torch.Tensor, y: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
            logits = functional_call(networks[0], state, (x,))
            return _loss(logits, y), _accuracy(logits, y)

        gradients, measures = vmap(grad(loss)), vmap(measure, in_dims=(0, None, None))
        for _ in range(task.epochs):
            order = torch.stack([torch.randperm(len(y)) for _ in range(task.seeds)])
            order = order.repeat_interleave(len(task.rates), dim=0)
            for index in order.split(task.batch_size, dim=1):
                found = gradients(parameters, x[index], y[index])
                for name, parameter in parameters.items():
                    parameter.grad = found[name]
                before = [parameter.detach().clone() for parameter in parameters.values()]
                optimizer.step()  # at rate 1; each network goes its own rate of the way
                with torch.no_grad():
                    for parameter, start, rate in zip(parameters.values(), before, shaped, strict=True):
                        parameter.copy_(torch.lerp(start, parameter, rate))
            for rows in ((x, y), val):
                measures(parameters, *rows)

    return run


def stacked(task: Task) -> Run:
    """Use this project's own training, in its blocks, with what the others measure."""
    from stages.training.evaluation import evaluate_as_used
    from stages.training.loop import start_training

    train, val = _stacked_tables(task)
    blocks, architecture = _stacked_blocks(task)

    def run() -> None:
        for schedule in blocks:
            network, train_on = start_training(train, architecture, schedule)
            for _ in range(task.epochs):
                train_on(None)
                evaluate_as_used(network, train, val)

    return run


def stacked_exact(task: Task) -> Run | None:
    """Use this project's own training with exact statistics, too, which no other way has."""
    from stages.training.loop import train_arm

    if not task.batch_norm:
        return None
    tables, (blocks, architecture) = _stacked_tables(task), _stacked_blocks(task)

    def run() -> None:
        for schedule in blocks:
            train_arm(*tables, architecture, schedule)

    return run


def jax_vmap(task: Task, *, nested: bool = False) -> Run | None:
    """Compile jit(vmap(scan)): a scan over the epochs, in each a scan over the batches.

    `nested`: one vmap over the seeds and one over the rates, so that a seed draws its batches once for all rates, as
    this project's training does.
    """
    if nested and len(task.rates) == 1:
        return None
    import jax
    import jax.numpy as jnp
    from jax import lax, random

    (x, y), val = (tuple(map(jnp.asarray, rows)) for rows in (task.train, task.val))
    full = len(y) // task.batch_size * task.batch_size
    last = len(y) - full > 1

    def draw(key: jax.Array) -> list:
        layers = []
        for inputs, outputs in pairwise(task.widths):
            key, for_weight, for_bias = random.split(key, 3)
            bound = inputs**-0.5
            weight = random.uniform(for_weight, (inputs, outputs), minval=-bound, maxval=bound)
            layers.append([weight, random.uniform(for_bias, (outputs,), minval=-bound, maxval=bound)])
        if task.batch_norm:
            layers += [[jnp.ones(width), jnp.zeros(width)] for width in task.hidden]
        return layers

    def logits(layers: list, running: list, x: jax.Array, training: bool) -> tuple[jax.Array, list]:
        dense, norms, moved = layers[: len(task.widths) - 1], layers[len(task.widths) - 1 :], []
        for i, (weight, bias) in enumerate(dense[:-1]):
            x = jax.nn.relu(x @ weight + bias)
            if norms:
                mean, var = (x.mean(0), x.var(0)) if training else running[i]
                unbiased = var * len(x) / (len(x) - 1)
                moved.append([0.9 * old + 0.1 * new for old, new in zip(running[i], (mean, unbiased), strict=True)])
                x = (x - mean) * lax.rsqrt(var + 1e-5) * norms[i][0] + norms[i][1]
        return x @ dense[-1][0] + dense[-1][1], moved

    def cross_entropy(z: jax.Array, y: jax.Array) -> jax.Array:
        if task.classes == 2:
            return (jax.nn.softplus(z[:, 0]) - z[:, 0] * y).mean()
        return -jnp.take_along_axis(jax.nn.log_softmax(z), y[:, None], axis=1).mean()

    def accuracy(z: jax.Array, y: jax.Array) -> jax.Array:
        return ((z[:, 0] > 0 if task.classes == 2 else z.argmax(1)) == y).mean()

    def batch_loss(layers: list, running: list, index: jax.Array) -> tuple[jax.Array, list]:
        z, moved = logits(layers, running, x[index], training=True)
        return cross_entropy(z, y[index]), moved

    def step(state: tuple, index: jax.Array) -> tuple[tuple, None]:
        rate, layers, running, first, second, count = state
        gradients, running = jax.grad(batch_loss, has_aux=True)(layers, running, index)
        count += 1
        first = jax.tree.map(lambda m, g: 0.9 * m + 0.1 * g, first, gradients)
        second = jax.tree.map(lambda v, g: 0.999 * v + 0.001 * g * g, second, gradients)
        layers = jax.tree.map(
            lambda p, m, v: p - rate * m / (1 - 0.9**count) / (jnp.sqrt(v / (1 - 0.999**count)) + 1e-8),
            layers,
            first,
            second,
        )
        return (rate, layers, running, first, second, count), None

    def epoch(state: tuple, key: jax.Array) -> tuple[tuple, list]:
        order = random.permutation(key, len(y))
        state, _ = lax.scan(step, state, order[:full].reshape(-1, task.batch_size))
        if last:
            state, _ = step(state, order[full:])
        measured = []
        for rows, classes in ((x, y), val):
            z, _ = logits(state[1], state[2], rows, training=False)
            measured += [cross_entropy(z, classes), accuracy(z, classes)]
        return state, measured

    def train(key: jax.Array, rate: jax.Array) -> list:
        layers = draw(key)
        running = [[jnp.zeros(width), jnp.ones(width)] for width in task.hidden] if task.batch_norm else []
        zeros = jax.tree.map(jnp.zeros_like, layers)
        state = (rate, layers, running, zeros, zeros, 0.0)
        return lax.scan(epoch, state, random.split(key, task.epochs))[1]

    keys, rates = random.split(random.key(0), task.seeds), jnp.array(task.rates)
    if nested:
        arguments, mapped = (keys, rates), jax.vmap(jax.vmap(train, in_axes=(None, 0)), in_axes=(0, None))
    else:
        arguments, mapped = (jnp.repeat(keys, len(rates)), jnp.tile(rates, task.seeds)), jax.vmap(train)
    compiled = jax.jit(mapped).lower(*arguments).compile()
    return lambda: jax.block_until_ready(compiled(*arguments))


def lightning(task: Task) -> Run:
    """Use Lightning's Trainer."""
    import logging

    import lightning
    import torch
    from torch.utils.data import DataLoader, TensorDataset

    warnings.simplefilter("ignore")
    logging.getLogger("lightning.pytorch").setLevel(logging.ERROR)

    class Module(lightning.LightningModule):
        def __init__(self) -> None:
            super().__init__()
            self.network = _network(task)

        def training_step(self, batch: list, _: int) -> torch.Tensor:
            return self._log("train", batch)

        def validation_step(self, batch: list, _: int) -> None:
            self._log("val", batch)

        def _log(self, name: str, batch: list) -> torch.Tensor:
            logits = self.network(batch[0])
            loss = _loss(logits, batch[1])
            measures = {f"{name}_loss": loss, f"{name}_accuracy": _accuracy(logits, batch[1])}
            self.log_dict(measures, on_step=False, on_epoch=True)
            return loss

        def configure_optimizers(self) -> torch.optim.Optimizer:
            return torch.optim.Adam(self.parameters(), lr=task.rates[0])

    train, val = (TensorDataset(*rows) for rows in _tensors(task))
    quiet = {"logger": False, "enable_checkpointing": False, "enable_progress_bar": False}

    def run() -> None:
        trainer = lightning.Trainer(
            max_epochs=task.epochs, accelerator="cpu", enable_model_summary=False, num_sanity_val_steps=0, **quiet
        )
        trainer.fit(Module(), DataLoader(train, task.batch_size, shuffle=True), DataLoader(val, len(val)))

    return run


def skorch(task: Task) -> Run:
    """Use skorch's scikit-learn interface, with its own scoring of accuracies."""
    import torch
    from skorch import NeuralNetBinaryClassifier, NeuralNetClassifier
    from skorch.callbacks import EpochScoring
    from skorch.dataset import Dataset
    from skorch.helper import predefined_split

    x, y = task.train
    targets = y.astype(np.float32) if task.classes == 2 else y
    val = Dataset(task.val[0], task.val[1].astype(targets.dtype))
    kind = NeuralNetBinaryClassifier if task.classes == 2 else NeuralNetClassifier
    loss = torch.nn.BCEWithLogitsLoss if task.classes == 2 else torch.nn.CrossEntropyLoss

    def run() -> None:
        network = torch.nn.Sequential(_network(task), torch.nn.Flatten(0)) if task.classes == 2 else _network(task)
        kind(
            network,
            criterion=loss,
            optimizer=torch.optim.Adam,
            lr=task.rates[0],
            max_epochs=task.epochs,
            batch_size=task.batch_size,
            iterator_train__shuffle=True,
            train_split=predefined_split(val),
            callbacks=[EpochScoring("accuracy", on_train=True, name="train_acc", lower_is_better=False)],
            verbose=0,
        ).fit(x, targets)

    return run


def keras(task: Task) -> Run:
    """Use Keras' `fit`, on JAX, which is its fastest backend here."""
    import os

    os.environ["KERAS_BACKEND"] = "jax"
    import keras

    binary = task.classes == 2

    def run() -> None:
        layers = [keras.Input(task.widths[:1])]
        for width in task.hidden:
            layers.append(keras.layers.Dense(width, activation="relu"))
            layers += [keras.layers.BatchNormalization(momentum=0.9, epsilon=1e-5)] if task.batch_norm else []
        model = keras.Sequential([*layers, keras.layers.Dense(task.widths[-1])])
        kind = keras.losses.BinaryCrossentropy if binary else keras.losses.SparseCategoricalCrossentropy
        accuracy = keras.metrics.BinaryAccuracy(threshold=0) if binary else keras.metrics.SparseCategoricalAccuracy()
        model.compile(keras.optimizers.Adam(task.rates[0]), kind(from_logits=True), metrics=[accuracy])
        model.fit(*task.train, task.batch_size, task.epochs, validation_data=task.val, verbose=0)

    return run


def jax_nested(task: Task) -> Run | None:
    """Compile jit(vmap(vmap(scan)))."""
    return jax_vmap(task, nested=True)


def matrix_products(task: Task) -> Run:
    """Do nothing but products of 512 x 512, of as many operations as those of the dense layers: the bound of one core.

    Two operations for each weight, row and product: in a step one forward and two backward, of which the first layer
    needs one; and one forward when losses and accuracies are measured.
    """
    import torch

    weights = [inputs * outputs for inputs, outputs in pairwise(task.widths)]
    steps = len(task.train[1]) * (3 * sum(weights) - weights[0])
    measuring = (len(task.train[1]) + len(task.val[1])) * sum(weights)
    operations = 2 * task.networks * task.epochs * (steps + measuring)
    left, right, product = torch.randn(3, 512, 512).unbind()

    def run() -> None:
        for _ in range(max(1, round(operations / (2 * 512**3)))):
            torch.mm(left, right, out=product)

    return run


PEERS = {  # in the order of the table
    "PyTorch, DataLoader loop": dataloader,
    "PyTorch, plain loop": plain_loop,
    "PyTorch Lightning": lightning,
    "skorch": skorch,
    "Keras (on JAX)": keras,
    "torch.func.vmap": torch_vmap,
    "JAX, jit(vmap(scan))": jax_vmap,
    "JAX, jit(vmap(vmap(scan))): batches drawn once per seed": jax_nested,
    "this project": stacked,
    "this project, with exact statistics beside running averages": stacked_exact,
    "the matrix products alone": matrix_products,
}
NEEDS = {lightning: "lightning", skorch: "skorch", keras: "keras", jax_vmap: "jax", jax_nested: "jax"}
ONE_AT_A_TIME = {dataloader, plain_loop, lightning, skorch, keras}


def _network(task: Task) -> "nn.Sequential":
    from torch import nn

    layers: list[nn.Module] = []
    for inputs, outputs in pairwise(task.widths[:-1]):
        layers += [nn.Linear(inputs, outputs), nn.ReLU()]
        layers += [nn.BatchNorm1d(outputs)] if task.batch_norm else []
    return nn.Sequential(*layers, nn.Linear(*task.widths[-2:]))


def _stacked_tables(task: Task) -> list["Table"]:
    from stages.training.tables import Table

    return [Table(*rows) for rows in _tensors(task)]


def _stacked_blocks(task: Task) -> tuple[list["Schedule"], "Architecture"]:
    from stages.arm.settings import build_normalization
    from stages.params import load_params
    from stages.training.blocks import cut_blocks
    from stages.training.loop import Schedule
    from stages.training.network import Architecture

    norm = build_normalization(load_params().bn) if task.batch_norm else None
    architecture = Architecture(task.widths[0], task.hidden, classes=task.classes, normalization=norm)
    schedule = Schedule(task.rates, range(task.seeds), task.epochs, task.batch_size)
    return cut_blocks(schedule, architecture), architecture


def _adam(network: "nn.Module", task: Task) -> "torch.optim.Optimizer":
    import torch

    return torch.optim.Adam(network.parameters(), lr=task.rates[0])


def _tensors(task: Task) -> list[tuple["torch.Tensor", "torch.Tensor"]]:
    import torch

    return [(torch.from_numpy(x), torch.from_numpy(y)) for x, y in (task.train, task.val)]


def _loss(logits: "torch.Tensor", y: "torch.Tensor") -> "torch.Tensor":
    from torch.nn import functional as F

    if logits.shape[1] == 1:
        return F.binary_cross_entropy_with_logits(logits[:, 0], y.float())
    return F.cross_entropy(logits, y)


def _accuracy(logits: "torch.Tensor", y: "torch.Tensor") -> "torch.Tensor":
    predicted = logits[:, 0] > 0 if logits.shape[1] == 1 else logits.argmax(dim=1)
    return (predicted == y).float().mean()


def _evaluate(network: "nn.Module", *tables: tuple["torch.Tensor", "torch.Tensor"]) -> list[float]:
    import torch

    network.eval()
    measured = []
    with torch.no_grad():
        for x, y in tables:
            logits = network(x)
            measured += [_loss(logits, y).item(), _accuracy(logits, y).item()]
    return measured
