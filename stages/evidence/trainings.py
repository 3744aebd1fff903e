"""What the trainings of both arms have left: claims are judged on it, and figures drawn from it.

It may be larger than the memory: a measure is read when it is asked for, and let go with what asked for it.
"""

from collections.abc import Callable, Mapping, Set
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

import numpy as np
import pandas as pd
from pyarrow import parquet

from stages import ARMS, EXACT, LAYER_GRADIENT
from stages.evidence.columns import Columns
from stages.evidence.endpoints import final_accuracy
from stages.history.wording import BATCH_NORM, Contrast


@dataclass(frozen=True)
class Curves:
    """Measures of networks of one arm after each epoch, (E, S) each: epoch 0 first, seeds ascending.

    Losses in nats, accuracies in [0, 1], all in eval mode on all rows. `read` gives a measure by its name; what has
    been asked for is kept as long as the curves are.
    """

    read: Callable[[str], np.ndarray]

    @cached_property
    def train_loss(self) -> np.ndarray:
        """The loss on the training rows."""
        return self.read("train_loss")

    @cached_property
    def val_loss(self) -> np.ndarray:
        """The loss on the validation rows."""
        return self.read("val_loss")

    @cached_property
    def val_accuracy(self) -> np.ndarray:
        """The accuracy on the validation rows."""
        return self.read("val_accuracy")


@dataclass(frozen=True)
class Sweep:
    """All networks of one arm: `rates` (L,) and `seeds` (S,), both ascending.

    `read` gives a measure by its name at the rate at a place, (E, S). Where an arm has running averages, it also has
    each measure with exact statistics in their place.
    """

    rates: np.ndarray
    seeds: np.ndarray
    read: Callable[[str, int], np.ndarray]
    has_exact: bool = False

    @classmethod
    def of(cls, history: pd.DataFrame) -> "Sweep":
        """Take a history in memory: a row per (lr, seed, epoch), in any order."""
        return cls._from(Columns.of(history))

    @classmethod
    def open(cls, path: str | Path) -> "Sweep":
        """Take history.parquet, whose rows are sorted by lr, seed, epoch."""
        return cls._from(Columns.open(path))

    @classmethod
    def _from(cls, columns: Columns) -> "Sweep":
        name = f"val_accuracy{EXACT}"
        has_exact = name in columns.names and not np.isnan(columns.read(name, 0, 1)[0])  # a number in all rows or none
        return cls(columns.rates, columns.seeds, columns.by_epoch, has_exact)

    def at(self, lr: float, *, exact: bool = False) -> Curves:
        """Return the curves at one rate; the exact ones where there are any."""
        (place,) = np.flatnonzero(self.rates == lr).tolist()
        suffix = EXACT if exact and self.has_exact else ""
        return Curves(lambda name: self.read(name + suffix, place))

    def at_places(self, places: np.ndarray) -> Curves:
        """Return the curves of each seed at its own place among the rates, (S,)."""

        def read(name: str) -> np.ndarray:
            first, *others = np.unique(places).tolist()
            chosen = self.read(name, first)
            for place in others:
                chosen = np.where(places == place, self.read(name, place), chosen)
            return chosen

        return Curves(read)

    @cached_property
    def final_accuracy(self) -> np.ndarray:
        """The final validation accuracy of every network, (S, L)."""
        by_rate = [final_accuracy(self.at(rate).val_accuracy) for rate in self.rates]
        return np.stack(by_rate, axis=-1)

    def without(self, seeds: Set[int]) -> "Sweep":
        """Return the sweep without some seeds."""
        kept = _others(self.seeds, seeds)
        return replace(
            self, seeds=self.seeds[kept], read=lambda name, place: np.compress(kept, self.read(name, place), axis=1)
        )


@dataclass(frozen=True)
class Inside:
    """What was measured inside the networks of one arm, whose `seeds` (S,) ascend.

    `read` gives a measure by its name, (E, S); most have no value at epoch 0, when no step was taken.
    """

    seeds: np.ndarray
    read: Callable[[str], np.ndarray]

    @classmethod
    def of(cls, table: pd.DataFrame) -> "Inside":
        """Take a table in memory: a row per (seed, epoch), in any order."""
        return cls._from(Columns.of(table))

    @classmethod
    def open(cls, path: str | Path) -> "Inside":
        """Take diagnostics.parquet, whose rows are sorted by seed, epoch."""
        return cls._from(Columns.open(path))

    @classmethod
    def _from(cls, columns: Columns) -> "Inside":
        return cls(columns.seeds, columns.by_epoch)

    def born_dead(self) -> set[int]:
        """Return the seeds that have, before training, a hidden layer dead on all training rows."""
        return set(self.seeds[self.read("dead_layer")[0] == 1].tolist())

    def without(self, seeds: Set[int]) -> "Inside":
        """Return the diagnostics without some seeds."""
        kept = _others(self.seeds, seeds)
        return Inside(self.seeds[kept], lambda name: np.compress(kept, self.read(name), axis=1))


def _others(seeds: np.ndarray, left_out: Set[int]) -> np.ndarray:
    """Return which seeds are not left out, (S,)."""
    return ~np.isin(seeds, list(left_out))


@dataclass(frozen=True)
class PairedTrainings:
    """Both arms, and the settings that can rule a claim out.

    `sweeps` and `diagnostics` map an arm to its networks, and to what was measured inside those at the headline rate
    `lr`. `majority` is the majority class's share of the validation rows, `parameters` the weights and biases in the
    dense layers of the larger network; `contrast` says what the arms differ in.
    """

    sweeps: Mapping[str, Sweep]
    diagnostics: Mapping[str, Inside]
    lr: float
    majority: float
    train_rows: int
    batch_size: int
    parameters: int
    contrast: Contrast = BATCH_NORM

    def at_lr(self) -> list[Curves]:
        """Return the curves of baseline and bn at the headline rate."""
        return [self.sweeps[arm].at(self.lr) for arm in ARMS]

    def inside(self, name: str) -> list[np.ndarray]:
        """Return a diagnostic of baseline and bn from epoch 1 on, (E - 1, S) each: before that, no step was taken."""
        return [self.diagnostics[arm].read(name)[1:] for arm in ARMS]

    def without(self, seeds: Set[int]) -> "PairedTrainings":
        """Return the trainings without some seeds, in both arms."""
        sweeps = {arm: sweep.without(seeds) for arm, sweep in self.sweeps.items()}
        diagnostics = {arm: inside.without(seeds) for arm, inside in self.diagnostics.items()}
        return replace(self, sweeps=sweeps, diagnostics=diagnostics)

    def born_dead(self) -> set[int]:
        """Return the seeds whose network is born dead in either arm."""
        return set.union(*(inside.born_dead() for inside in self.diagnostics.values()))


def read_layer_gradients(path: str | Path, epochs: int) -> pd.DataFrame:
    """Read of diagnostics.parquet the gradients of the hidden layers at the first step of the first and last epoch.

    Columns: seed, epoch, layer_gradient_1 and so on. What puts out the logits is no hidden layer.
    """
    names = [name for name in parquet.read_schema(path).names if name.startswith(LAYER_GRADIENT)]
    return pd.read_parquet(path, columns=["seed", "epoch", *names[:-1]], filters=[("epoch", "in", [1, epochs])])
