"""What the trainings of both arms have left, as arrays: claims are judged on it, and figures drawn from it."""

from collections.abc import Callable, Collection, Mapping, Set
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from pyarrow import parquet

from stages import ARMS, EXACT, LAYER_GRADIENT, MEASURES
from stages.evidence.endpoints import final_accuracy
from stages.history.wording import BATCH_NORM, Contrast

LOOKED_AT = (  # of the diagnostics: what the claims are judged by and the figures show
    "covariate_shift",
    "gradient_cosine",
    "input_shift",
    "loss_range",
    "gradient_change",
    "beta_smoothness",
    "dead_layer",
)


@dataclass(frozen=True)
class Curves:
    """Measures of networks of one arm after each epoch, (..., E, S) each: epoch 0 first, seeds ascending.

    Losses in nats, accuracies in [0, 1], all in eval mode on all rows.
    """

    train_loss: np.ndarray
    train_accuracy: np.ndarray
    val_loss: np.ndarray
    val_accuracy: np.ndarray

    def apply(self, change: Callable[[np.ndarray], np.ndarray]) -> "Curves":
        """Return what becomes of every measure."""
        # The last digits of a sum depend on the order in memory: it is that of seeds who were never left out.
        changed = {name: np.ascontiguousarray(change(getattr(self, name))) for name in MEASURES}
        return Curves(**changed)

    def __getitem__(self, index: Any) -> "Curves":
        """Return the same part of every measure."""
        return self.apply(lambda values: values[index])

    def at_places(self, places: np.ndarray) -> "Curves":
        """Return of curves (L, E, S) those of each seed at its own place among the rates (S,): (E, S) each."""
        return self.apply(lambda values: np.take_along_axis(values, places[None, None], axis=0)[0])


@dataclass(frozen=True)
class Sweep:
    """All networks of one arm: `rates` (L,) and `seeds` (S,), both ascending, and `curves` (L, E, S).

    `exact` are the curves with exact statistics in place of running averages, where the arm has those.
    """

    rates: np.ndarray
    seeds: np.ndarray
    curves: Curves
    exact: Curves | None = None

    @classmethod
    def of(cls, history: pd.DataFrame) -> "Sweep":
        """Arrange a history: a row per (lr, seed, epoch), in any order."""
        rows = history.sort_values(["lr", "seed", "epoch"])
        return cls._arrange(lambda name: rows[name].to_numpy(), history.columns)

    @classmethod
    def read(cls, path: str | Path) -> "Sweep":
        """Read history.parquet, whose rows are sorted by lr, seed, epoch."""
        file = parquet.ParquetFile(path)
        return cls._arrange(lambda name: file.read([name]).column(0).to_numpy(), file.schema_arrow.names)

    @classmethod
    def _arrange(cls, column: Callable[[str], np.ndarray], names: Collection[str]) -> "Sweep":
        """Make arrays of sorted columns, each asked for by its name and let go: there may be millions of rows."""
        rates, seeds, epochs = (np.unique(column(name)) for name in ("lr", "seed", "epoch"))
        shape = len(rates), len(seeds), len(epochs)

        def arrange(suffix: str) -> Curves:
            by_seed = {name: column(name + suffix).reshape(shape) for name in MEASURES}
            return Curves(**by_seed).apply(lambda values: values.swapaxes(1, 2))  # (L, E, S)

        has_exact = f"val_accuracy{EXACT}" in names and not np.isnan(column(f"val_accuracy{EXACT}")).all()
        return cls(rates, seeds, arrange(""), arrange(EXACT) if has_exact else None)

    def at(self, lr: float, *, exact: bool = False) -> Curves:
        """Return the curves at one rate, (E, S) each; the exact ones where there are any."""
        (place,) = np.flatnonzero(self.rates == lr)
        curves = self.exact if exact and self.exact else self.curves
        return curves[place]

    def final_accuracy(self) -> np.ndarray:
        """Return the final validation accuracy of every network, (S, L)."""
        return np.ascontiguousarray(final_accuracy(self.curves.val_accuracy).T)

    def without(self, seeds: Set[int]) -> "Sweep":
        """Return the sweep without some seeds."""
        kept = ~np.isin(self.seeds, list(seeds))
        exact = self.exact[..., kept] if self.exact else None
        return Sweep(self.rates, self.seeds[kept], self.curves[..., kept], exact)


@dataclass(frozen=True)
class PairedTrainings:
    """Both arms, and the settings that can rule a claim out.

    `sweeps` and `diagnostics` map an arm to its networks, and to what was measured inside those at the headline rate
    `lr`, a row per (seed, epoch). `majority` is the majority class's share of the validation rows, `parameters` the
    weights and biases in the dense layers of the larger network; `contrast` says what the arms differ in.
    """

    sweeps: Mapping[str, Sweep]
    diagnostics: Mapping[str, pd.DataFrame]
    lr: float
    majority: float
    train_rows: int
    batch_size: int
    parameters: int
    contrast: Contrast = BATCH_NORM

    def at_lr(self) -> list[Curves]:
        """Return the curves of baseline and bn at the headline rate, (E, S) each."""
        return [self.sweeps[arm].at(self.lr) for arm in ARMS]

    def inside(self, name: str) -> list[np.ndarray]:
        """Return a diagnostic of baseline and bn from epoch 1 on, (E - 1, S) each: before that, no step was taken."""
        tables = (self.diagnostics[arm].pivot(index="epoch", columns="seed", values=name) for arm in ARMS)
        return [table.loc[1:].to_numpy() for table in tables]

    def without(self, seeds: Set[int]) -> "PairedTrainings":
        """Return the trainings without some seeds, in both arms."""
        sweeps, diagnostics = {}, {}
        for arm, table in self.diagnostics.items():
            sweeps[arm] = self.sweeps[arm].without(seeds)
            diagnostics[arm] = table[~table["seed"].isin(seeds)]
        return replace(self, sweeps=sweeps, diagnostics=diagnostics)

    def born_dead(self) -> set[int]:
        """Return the seeds that have in either arm, before training, a hidden layer dead on all training rows."""
        seeds: set[int] = set()
        for table in self.diagnostics.values():
            start = table[(table["epoch"] == 0) & (table["dead_layer"] == 1)]
            seeds |= {int(seed) for seed in start["seed"]}
        return seeds


def read_diagnostics(path: str | Path) -> pd.DataFrame:
    """Read of diagnostics.parquet what is looked at: seed, epoch, and all but the percentiles."""
    return pd.read_parquet(path, columns=["seed", "epoch", *LOOKED_AT])


def read_layer_gradients(path: str | Path, epochs: int) -> pd.DataFrame:
    """Read of diagnostics.parquet the gradients of the hidden layers at the first step of the first and last epoch.

    Columns: seed, epoch, layer_gradient_1 and so on. What puts out the logits is no hidden layer.
    """
    names = [name for name in parquet.read_schema(path).names if name.startswith(LAYER_GRADIENT)]
    return pd.read_parquet(path, columns=["seed", "epoch", *names[:-1]], filters=[("epoch", "in", [1, epochs])])
