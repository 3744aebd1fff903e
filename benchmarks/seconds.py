"""Say in seconds what `faster_training` says in epochs, for the run in results/: epochs, times what an epoch takes.

Reads   params.yaml, data/, results/{baseline,bn}/history.parquet
Writes  benchmarks/seconds.csv: of each reading bn - baseline with the interval over pairs, in epochs, and in
        milliseconds for one network; and what an epoch takes without and with, in milliseconds for one network

Seconds are no output of the pipeline: they are never the same twice, and its outputs are. So both arms train some
epochs here once more, in turn, as one block on the first pair's rows, without what is measured after each. Seconds are
of processor time, on one core; the interval is over pairs alone, as if the time of an epoch were known. At best rates
it counts that they were selected.
"""

import statistics
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path

import pandas as pd
import torch

from stages import ARMS
from stages.arm.settings import build_architecture, build_schedule
from stages.evidence.claims import measure_faster_training
from stages.evidence.effects import NotMeasuredError, Rules, widen
from stages.evidence.files import read_comparison
from stages.evidence.readings import READINGS
from stages.evidence.trainings import PairedTrainings
from stages.params import Params, load_params
from stages.training.loop import start_training
from stages.training.tables import Table

EPOCHS, REPEATS = 20, 5
ASKED = ("same_rate", "best_rate", "itself")
CSV = Path("benchmarks/seconds.csv")

Costs = Mapping[str, float]  # of an epoch of one network, by arm


def main() -> None:
    if not Path("results/bn/history.parquet").exists():
        sys.exit("results/bn/history.parquet is not there: run `make repro` first")
    torch.set_num_threads(1)
    params = load_params()
    comparison = read_comparison(params)
    table = tabulate(comparison.trainings, comparison.rules, time_epochs(params))
    print(table.to_string(index=False))
    table.to_csv(CSV, index=False, lineterminator="\n", float_format="%.4g")


def time_epochs(params: Params) -> Costs:
    """Return the milliseconds of an epoch of one network of each arm: the median of `REPEATS`, taken in turn."""
    train = Table.read("data/train.csv")
    epochs = {arm: _prepare(arm, params, train) for arm in ARMS}
    taken: dict[str, list[float]] = {arm: [] for arm in ARMS}
    for _ in range(REPEATS):
        for arm, train_on in epochs.items():
            start = time.process_time()  # others on the machine disturb it little
            for _ in range(EPOCHS):
                train_on(None)
            taken[arm].append((time.process_time() - start) / EPOCHS)
    networks = params.seeds * len(params.rates)
    return {arm: 1000 * statistics.median(times) / networks for arm, times in taken.items()}


def _prepare(arm: str, params: Params, train: Table) -> Callable[[None], None]:
    """Return what trains all networks of an arm for one epoch more."""
    architecture = build_architecture(arm, params, features=train.features, classes=train.classes)
    _, train_on = start_training(train, architecture, build_schedule(arm, params))
    return train_on


def tabulate(trainings: PairedTrainings, rules: Rules, milliseconds: Costs) -> pd.DataFrame:
    """Return a row for each reading that is measured."""
    rows = []
    for name in ASKED:
        row: dict[str, object] = {"reading": name}
        try:
            reading = READINGS[name](trainings)
            for unit, costs in {"epochs": dict.fromkeys(ARMS, 1.0), "ms": milliseconds}.items():
                scaled = replace(reading, scales=[costs[arm] for arm in ARMS])
                found = widen(measure_faster_training(scaled, rules), rules).difference
                row |= {unit: found.estimate, f"{unit}_ci_low": found.ci_low, f"{unit}_ci_high": found.ci_high}
        except NotMeasuredError as reason:
            print(f"{name}: {reason}")
            continue
        row |= {f"{arm}_ms_per_epoch": milliseconds[arm] for arm in ARMS}
        rows.append(row)
    return pd.DataFrame(rows)


if __name__ == "__main__":
    main()
