"""What is measured inside the networks while they train: once per epoch, every seed at one learning rate."""

from collections.abc import Iterable, Sequence

import numpy as np
import pandas as pd
import torch
from torch import Tensor, nn

from stages.training.masks import kept_values
from stages.training.replicas import select, state_tensors, widest_layer
from stages.training.step_measures import (
    OF_A_STEP,
    Step,
    Variants,
    build_variants,
    layer_gradient_columns,
    layer_gradients,
    measure_step,
)
from stages.training.tables import Table
from stages.training.unit_measures import (
    OF_A_UNIT,
    dead_layers,
    input_shift,
    layer_inputs,
    pass_layers,
    unit_percentiles,
)

DIAGNOSTICS = (*OF_A_STEP, "input_shift", *OF_A_UNIT, "dead_layer")
PROBE_ROWS = 128  # the first training rows: the probe set for the inputs of layers
DEAD_ROWS = 4096  # the first training rows: a layer dead on these counts as dead; bounds the memory
# Of parameters, or of what a layer gets or puts out, in each variant of the networks: bounds the memory. Of
# networks of 2 to 20 layers, four times as many took up to a third longer, a quarter as many up to twice as long.
VALUES_AT_ONCE = 2**15


class Diagnostics:
    """Watches some replicas of an arm, one per seed, while `train_arm` trains it; changes nothing in the training.

    `train` are all training rows, `replicas` those trained at `lr`, in the order of `seeds`.
    """

    def __init__(self, train: Table, seeds: Sequence[int], lr: float, replicas: slice) -> None:
        self.train = train
        self.seeds = seeds
        self.lr = lr
        self.replicas = replicas
        self.epochs: list[dict[str, np.ndarray]] = []  # of each epoch, each column as (S,)
        self._step: Step | None = None  # the one that is being taken
        self._of_step: dict[str, np.ndarray] = {}
        self._inputs: Tensor | None = None  # of the layers, after the last epoch
        self._copy: nn.Sequential | None = None
        self._variants_of: dict[int, Variants] = {}  # by the number of seeds measured at once

    def before_step(self, network: nn.Sequential, x: Tensor, y: Tensor) -> None:
        """Remember where the step on x (R, F, B), y (R, B) starts; its gradient is in the parameters."""
        parameters = list(network.parameters())
        start = self._in_a_row(parameters)
        gradient = self._in_a_row(parameter.grad for parameter in parameters if parameter.grad is not None)
        kept = kept_values(network, self.replicas)
        self._of_step |= layer_gradients(network, self.replicas)
        self._step = Step(start, start, gradient, x[self.replicas], y[self.replicas], kept)

    def after_step(self, network: nn.Sequential) -> None:
        """Measure the step that has been taken."""
        assert self._step is not None
        self._step.after = self._in_a_row(network.parameters())
        features, examples = self._step.x.shape[1:]
        of_a_seed = max(self._step.after.shape[1], max(features, widest_layer(network)) * examples)
        seeds_at_once = max(1, VALUES_AT_ONCE // of_a_seed)
        measured = []
        for first in range(0, len(self.seeds), seeds_at_once):
            part = self._step.select(slice(first, first + seeds_at_once))
            measured.append(measure_step(self._variants(network, len(part.before)), part, self.lr))
        for name in OF_A_STEP:
            self._of_step[name] = np.concatenate([of_part[name] for of_part in measured])

    @torch.inference_mode()
    def after_epoch(self, network: nn.Sequential) -> None:
        """Close an epoch (the first call: epoch 0) with what is measured on the training rows."""
        undefined = np.full(len(self.seeds), np.nan)
        watched = self._watched(network)
        passed = list(pass_layers(watched.eval(), self._rows(PROBE_ROWS)))
        inputs = layer_inputs(passed)
        shift = undefined if self._inputs is None else input_shift(self._inputs, inputs)
        self._inputs = inputs
        measured = dict.fromkeys(OF_A_STEP, undefined) | {"input_shift": shift}
        measured |= unit_percentiles(passed)
        measured["dead_layer"] = dead_layers(watched, self._rows(DEAD_ROWS))
        measured |= dict.fromkeys(layer_gradient_columns(network), undefined)
        self.epochs.append(measured | self._of_step)

    def table(self) -> pd.DataFrame:
        """Return one row per (seed, epoch): `seed`, `epoch`, `DIAGNOSTICS`, `layer_gradients`; NaN where not defined.

        Row e tells of epoch e: its first step, the inputs after it against those before it, and after it a unit's
        percentiles and the dead layers. Epoch 0, before training, has these last two alone.
        """
        index = pd.MultiIndex.from_product([self.seeds, range(len(self.epochs))], names=["seed", "epoch"])
        columns = {}
        for name in self.epochs[0]:
            values = np.stack([measured[name] for measured in self.epochs], axis=-1)  # (S, E)
            columns[name] = values.ravel()
        return pd.DataFrame(columns, index=index).reset_index()

    def _rows(self, most: int) -> Tensor:
        """Return the first training rows of each seed, (S, F, N)."""
        x, _ = self.train.for_replicas(range(len(self.seeds)), slice(most))
        return x

    @torch.inference_mode()
    def _watched(self, network: nn.Sequential) -> nn.Sequential:
        """Return the watched replicas as they are now, with parameters and running statistics of their own."""
        if self._copy is None:
            self._copy = select(network, self.replicas)
        for mine, theirs in zip(state_tensors(self._copy), state_tensors(network), strict=True):
            mine.copy_(theirs[self.replicas])
        return self._copy

    def _variants(self, network: nn.Sequential, seeds: int) -> Variants:
        if seeds not in self._variants_of:
            self._variants_of[seeds] = build_variants(select(self._watched(network), slice(seeds)))
        return self._variants_of[seeds]

    def _in_a_row(self, tensors: Iterable[Tensor]) -> Tensor:
        """Return these tensors of the watched replicas as (S, P), a copy.

        In float64, whatever the training uses: along a small step, rounding would pass for curvature.
        """
        rows = [tensor.detach()[self.replicas].flatten(1) for tensor in tensors]
        return torch.cat(rows, dim=1).double()
