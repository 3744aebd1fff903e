"""Test the test: how often the statistics call two arms different where the answer is known.

Three comparisons: arms drawn from one distribution; real trainings that differ in nothing but the order of the batches,
without batch norm, and with it in both arms, for only then is the network itself a reading of its own; a learning rate
against a hundredth of it. Prints a Markdown table, and writes it to benchmarks/calibration.md.
"""

import os
import time
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pandas as pd
import torch

from stages.arm.settings import build_normalization
from stages.datasets import load_source, split_rows
from stages.evidence.claims import CLAIMS
from stages.evidence.effects import Rules
from stages.evidence.paired import PairedDifference, paired_difference, wilson_interval
from stages.evidence.trainings import Inside, PairedTrainings, Sweep
from stages.evidence.verdicts import HOLDS, REFUTED, SUPPORTED, Judgement, judge
from stages.params import load_params
from stages.training.diagnostics import Diagnostics
from stages.training.loop import Schedule, train_arm
from stages.training.network import Architecture
from stages.training.streams import OTHER_ORDER
from stages.training.tables import Table

ALPHA, RESAMPLES = 0.05, 999
GROUPS_AT_ONCE = 8  # trained as one
RATES = [0.01, 0.03, 0.1, 0.3, 1.0]
ROOT = Path(__file__).parents[1]

Tables = tuple[pd.DataFrame, pd.DataFrame]  # of one arm: history, diagnostics
Draw = Callable[[np.random.Generator, int], tuple[np.ndarray, np.ndarray]]


@dataclass(frozen=True)
class Rate:
    """How often something happened, beside how often it should."""

    case: str
    happening: str
    hits: int
    trials: int
    expected: str

    def row(self) -> str:
        low, high = wilson_interval(self.hits, self.trials)
        observed = f"{self.hits / self.trials:.3f} [{low:.3f}, {high:.3f}]"
        return f"| {self.case} | {self.happening} | {self.expected} | {observed} | {self.trials} |"


def main() -> None:
    torch.set_num_threads(1)
    start = time.perf_counter()
    rates = [
        *(rate for n in (32, 64) for rate in simulate(trials=1000, n=n)),
        *compare_same(PLAIN, groups=200, seeds=32, epochs=30, rates=RATES),
        *compare_same(NORMALIZED, groups=200, seeds=32, epochs=30, rates=RATES),
        *find_known_effect(groups=10, seeds=64, epochs=100),
    ]
    text = "\n".join([*HEAD, *(rate.row() for rate in rates), ""])
    print(text)
    print(f"{time.perf_counter() - start:.0f} s")
    (ROOT / "benchmarks/calibration.md").write_text(text, encoding="utf-8")


HEAD = f"""# Calibration: `make calibrate`

How often the statistics speak where the answer is known, at alpha = {ALPHA}, with {RESAMPLES} resamples. In brackets:
Wilson's 95% interval of the observed rate. A verdict needs both the interval and p, after Holm's correction over the
claims within a reading. Called is a claim that is supported or refuted.

| comparison | happening | should be | is | trials |
|---|---|---|---|---|""".splitlines()


def simulate(trials: int, n: int, seed: int = 0) -> Iterable[Rate]:
    """Yield the rates of arms drawn from one distribution, and the coverage where they differ by a known amount."""
    for name, draw in EQUAL.items():
        found = _draw_and_compare(draw, trials, n, seed)
        case = f"simulated, n = {n}: {name}, equal"
        by_p, by_interval = [d.p_value < ALPHA for d in found], [not _covers(d, 0.0) for d in found]
        yield Rate(case, "p < alpha", sum(by_p), trials, f"<= {ALPHA}")
        yield Rate(case, "interval excludes 0", sum(by_interval), trials, f"{ALPHA}")
        yield Rate(case, "both", sum(np.logical_and(by_p, by_interval)), trials, f"<= {ALPHA}")
    for name, (draw, truth) in SHIFTED.items():
        found = _draw_and_compare(draw, trials, n, seed)
        case = f"simulated, n = {n}: {name}"
        yield Rate(case, "interval covers it", sum(_covers(d, truth) for d in found), trials, f"{1 - ALPHA}")


def compare_same(
    architecture: Architecture, *, groups: int, seeds: int, epochs: int, rates: Sequence[float]
) -> list[Rate]:
    """Train the same networks twice, in two orders of the batches; judge disjoint groups of seeds."""
    judgements: list[tuple[Judgement, ...]] = []
    for first in range(0, groups, GROUPS_AT_ONCE):
        span = range(first * seeds, min(first + GROUPS_AT_ONCE, groups) * seeds)
        schedule = Schedule(rates, span, epochs, batch_size=32)
        orders = {"baseline": schedule, "bn": replace(schedule, order_stream=OTHER_ORDER)}
        tables = {arm: _train(architecture, order, rates[0]) for arm, order in orders.items()}
        judgements += [_judge(group, rates[0]) for group in _groups(tables, span, seeds)]
    case = f"trained twice, {seeds} seeds, other order"
    if architecture.normalization:
        case += ", both with batch norm"
    return [*_rates_of_claims(judgements, case), *_rates_of_readings(judgements, case)]


def find_known_effect(groups: int, seeds: int, epochs: int) -> list[Rate]:
    """Compare a learning rate of 0.001 with 0.00001, both without batch norm, in disjoint groups of seeds."""
    slow, fast = 0.00001, 0.001
    found: Counter[str] = Counter()
    span = range(groups * seeds)
    arms = {}
    for arm, lr in {"baseline": slow, "bn": fast}.items():
        history, diagnostics = _train(PLAIN, Schedule([lr], span, epochs, batch_size=32), lr)
        arms[arm] = history.assign(lr=fast), diagnostics
    for group in _groups(arms, span, seeds):
        found.update(judged.name for judged in _judge(group, fast) if judged.verdict == SUPPORTED)
    case = f"lr {fast:g} against {slow:.5f}, {seeds} seeds"
    return [
        Rate(case, f"{name} supported", found[name], groups, "1") for name in ("faster_training", "higher_accuracy")
    ]


def _train(architecture: Architecture, schedule: Schedule, lr: float) -> Tables:
    """Return the history, and the diagnostics at `lr`."""
    train, val = default_tables()
    diagnostics = Diagnostics(train, schedule.seeds, lr, schedule.replicas(lr))
    _, history = train_arm(train, val, architecture, schedule, diagnostics=diagnostics)
    return history, diagnostics.table()


def _groups(arms: Mapping[str, Tables], span: range, size: int) -> Iterable[dict[str, Tables]]:
    """Yield the tables of `size` seeds after the other."""
    for first in range(span.start, span.stop, size):
        seeds = range(first, first + size)
        yield {arm: tuple(table[table["seed"].isin(seeds)] for table in tables) for arm, tables in arms.items()}


def _normal(random: np.random.Generator, n: int) -> tuple[np.ndarray, np.ndarray]:
    shared = random.normal(size=n)
    return shared + random.normal(size=n), shared + random.normal(size=n)


def _skewed(random: np.random.Generator, n: int) -> tuple[np.ndarray, np.ndarray]:
    return random.exponential(size=n), random.exponential(size=n)


def _heavy_tailed(random: np.random.Generator, n: int) -> tuple[np.ndarray, np.ndarray]:
    shared = random.exponential(size=n)
    return shared * random.lognormal(size=n), shared * random.lognormal(size=n)


def _discrete(random: np.random.Generator, n: int, gain: float = 0.0) -> tuple[np.ndarray, np.ndarray]:
    """Return accuracies on 100 validation rows."""
    share = random.uniform(0.5, 0.8, size=n)
    return random.binomial(100, share) / 100, random.binomial(100, share + gain) / 100


def _tied(random: np.random.Generator, n: int) -> tuple[np.ndarray, np.ndarray]:
    """Return accuracies of which half, in both arms, are stuck at the majority class."""
    learns = random.uniform(size=n) < 0.5
    return tuple(np.where(learns, accuracy, 0.5) for accuracy in _discrete(random, n))


def _skewed_gain(random: np.random.Generator, n: int) -> tuple[np.ndarray, np.ndarray]:
    shared = random.normal(size=n)
    return shared, shared + random.exponential(size=n)


EQUAL: dict[str, Draw] = {
    "normal": _normal,
    "skewed": _skewed,
    "heavy-tailed": _heavy_tailed,
    "accuracies of 100 rows": _discrete,
    "half of them tied": _tied,
}
SHIFTED: dict[str, tuple[Draw, float]] = {
    "a skewed difference of 1": (_skewed_gain, 1.0),
    "accuracies 0.05 apart": (lambda random, n: _discrete(random, n, 0.05), 0.05),
}


def _draw_and_compare(draw: Draw, trials: int, n: int, seed: int) -> list[PairedDifference]:
    random = np.random.default_rng(seed)
    return [
        paired_difference(*draw(random, n), alpha=ALPHA, resamples=RESAMPLES, seed=trial) for trial in range(trials)
    ]


def _covers(difference: PairedDifference, truth: float) -> bool:
    return difference.ci_low <= truth <= difference.ci_high


PLAIN = Architecture(features=2)
NORMALIZED = Architecture(features=2, normalization=build_normalization(load_params(ROOT / "params.yaml").bn))


def default_tables() -> tuple[Table, Table]:
    """Return the default training and validation rows."""
    data = load_params(ROOT / "params.yaml").data
    rows = load_source(data)
    x, y = torch.from_numpy(rows.x).float(), torch.from_numpy(rows.y)
    train, val = split_rows(rows, split=data.split, val_fraction=data.val_fraction, seed=data.seed)
    return Table(x[train], y[train]), Table(x[val], y[val])


def _judge(arms: Mapping[str, Tables], lr: float) -> tuple[Judgement, ...]:
    """Judge all claims; a network so large that also `regularizes` is measured."""
    train, val = default_tables()
    share = float(val.y.double().mean())
    trainings = PairedTrainings(
        sweeps={arm: Sweep.of(history) for arm, (history, _) in arms.items()},
        diagnostics={arm: Inside.of(diagnostics) for arm, (_, diagnostics) in arms.items()},
        lr=lr,
        majority=max(share, 1 - share),
        train_rows=len(train.y),
        batch_size=32,
        parameters=len(train.y),
    )
    smallest = load_params(ROOT / "params.yaml").evidence.smallest_effect.model_dump()
    return judge(trainings, Rules(smallest, ALPHA, RESAMPLES))


def _rates_of_claims(judgements: Sequence[tuple[Judgement, ...]], case: str) -> Iterable[Rate]:
    for claim, judged in zip(CLAIMS, zip(*judgements, strict=True), strict=True):
        measured = [one for one in judged if one.n > 0]
        name = f"{case}: {claim.name}"
        if measured:
            by_p = sum(one.p_value < ALPHA for one in measured)
            by_interval = sum(one.ci_low > 0 or one.ci_high < 0 for one in measured)
            yield Rate(name, "p < alpha", by_p, len(measured), f"<= {ALPHA}")
            yield Rate(name, "interval excludes 0", by_interval, len(measured), f"{ALPHA}")


def _rates_of_readings(judgements: Sequence[tuple[Judgement, ...]], case: str) -> Iterable[Rate]:
    """Yield in how many groups any claim is called, reading by reading, and in how many any is said to hold."""
    for name, read in READINGS.items():
        readings = [[read(judged) for judged in group] for group in judgements]
        measured = [group for group in readings if any(judged and judged.n > 0 for judged in group)]
        called = sum(any(judged and judged.verdict in (SUPPORTED, REFUTED) for judged in group) for group in measured)
        if measured:
            yield Rate(case, f"{name}: any claim called", called, len(measured), f"<= {ALPHA}")
    hold = sum(any(judged.summary == HOLDS for judged in group) for group in judgements)
    yield Rate(case, "any claim holds in all readings", hold, len(judgements), f"<= {ALPHA}")


READINGS: dict[str, Callable[[Judgement], Judgement | None]] = {
    "same rate": lambda judged: judged,
    "best rates": lambda judged: judged.best_rate,
    "network itself": lambda judged: judged.itself,
    "other definition": lambda judged: judged.definition,
}


if __name__ == "__main__":
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    main()
