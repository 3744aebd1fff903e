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
from functools import partial
from pathlib import Path

import pandas as pd
import torch

from stages import ARMS
from stages.arm.settings import build_architecture, build_schedule
from stages.evidence import endpoints
from stages.evidence.effects import NotMeasuredError, Rules, compare_seeds, widen_difference
from stages.evidence.files import read_comparison
from stages.evidence.paired import PairedDifference
from stages.evidence.readings import READINGS, Reading
from stages.evidence.selection import compare_selected
from stages.evidence.trainings import PairedTrainings
from stages.params import Params, load_params
from stages.training.evaluation import freeze_statistics
from stages.training.loop import build_optimizer, build_replicas, train_epoch
from stages.training.streams import MASKS, open_stream
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
        for arm, train_one in epochs.items():
            start = time.process_time()  # others on the machine disturb it little
            for _ in range(EPOCHS):
                train_one()
            taken[arm].append((time.process_time() - start) / EPOCHS)
    networks = params.seeds * len(params.rates)
    return {arm: 1000 * statistics.median(times) / networks for arm, times in taken.items()}


def _prepare(arm: str, params: Params, train: Table) -> Callable[[], None]:
    """Return what trains all networks of an arm for one epoch more."""
    architecture = build_architecture(arm, params, features=train.features, classes=train.classes)
    schedule = build_schedule(arm, params)
    network = build_replicas(architecture, schedule)
    freeze_statistics(network, train)
    optimizer = build_optimizer(network, schedule)
    orders = [open_stream(seed, schedule.order_stream) for seed in schedule.seeds]
    masks = [open_stream(seed, MASKS) for seed in schedule.seeds]
    return partial(train_epoch, network, optimizer, train, schedule, orders, masks)


def tabulate(trainings: PairedTrainings, rules: Rules, milliseconds: Costs) -> pd.DataFrame:
    """Return a row for each reading that is measured."""
    rows = []
    for name in ASKED:
        try:
            reading = READINGS[name](trainings)
        except NotMeasuredError as reason:
            print(f"{name}: {reason}")
            continue
        row: dict[str, object] = {"reading": name}
        for unit, costs in {"epochs": dict.fromkeys(ARMS, 1.0), "ms": milliseconds}.items():
            found = widen_difference(compare_costs(name, reading, rules, costs), rules)
            row |= {unit: found.estimate, f"{unit}_ci_low": found.ci_low, f"{unit}_ci_high": found.ci_high}
        row |= {f"{arm}_ms_per_epoch": milliseconds[arm] for arm in ARMS}
        rows.append(row)
    return pd.DataFrame(rows)


def compare_costs(name: str, reading: Reading, rules: Rules, costs: Costs) -> PairedDifference:
    """Compare what it costs each arm to reach the shared target, where an epoch has its own cost in each."""
    trainings = reading.trainings
    target = endpoints.shared_target(*(curves.val_accuracy for curves in reading.pair), trainings.majority)
    if name != "best_rate":
        spent = []
        for arm, curves in zip(ARMS, reading.pair, strict=True):
            spent.append(costs[arm] * endpoints.epochs_to_target(curves.val_accuracy, target))
        return compare_seeds(spent, rules).difference
    sweeps = [trainings.sweeps[arm] for arm in ARMS]
    at_rates = []
    for arm, sweep in zip(ARMS, sweeps, strict=True):
        at_rates.append(costs[arm] * endpoints.epochs_to_target(sweep.curves.val_accuracy, target).T)
    return compare_selected(
        [sweep.final_accuracy() for sweep in sweeps],
        at_rates,
        sweeps[0].seeds % 2 == 1,
        alphas=(rules.alpha,),
        resamples=rules.resamples,
    ).difference


if __name__ == "__main__":
    main()
