"""Time this project's training beside other ways to train the same networks, in turn, in one run.

All take the same data, network, batch size, optimizer and epochs, and measure losses and accuracies after every epoch.
Each way has a process of its own, held to one core; its processor time counts, which others on the machine disturb
little. What is not installed is reported as such (`make bench-peers` installs it). Prints a Markdown table, and writes
it to benchmarks/peers.md.
"""

import importlib.util
import multiprocessing
import os
import platform
import statistics
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from importlib.metadata import version
from pathlib import Path

import numpy as np
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split

from benchmarks.peer_loops import NEEDS, ONE_AT_A_TIME, PEERS, Run, Task, dataloader, matrix_products
from stages.datasets import load_source, split_rows
from stages.params import load_params

REPEATS = 3
RATES = (0.001, 0.003, 0.01, 0.03, 0.1, 0.3, 1.0)
ROOT = Path(__file__).parents[1]
REFERENCE, BOUND = dataloader, matrix_products
INSTALLED = {way for way, peer in PEERS.items() if importlib.util.find_spec(NEEDS.get(peer, "torch"))}

Rows = tuple[np.ndarray, np.ndarray]


def main() -> None:
    text = _describe_machine()
    for title, task in _tasks().items():
        print(f"{title} ...", flush=True)
        text += "\n".join(["", f"## {title}", "", *_table(task), ""])
    print(text)
    (ROOT / "benchmarks/peers.md").write_text(text, encoding="utf-8")


def _tasks() -> dict[str, Task]:
    rings, digits = rings_rows(), digits_rows()
    return {
        "The default network, without batch norm": Task(*rings, (2, 2), 2, False, epochs=200, seeds=64, rates=RATES),
        "The default network, with batch norm": Task(*rings, (2, 2), 2, True, epochs=200, seeds=64, rates=RATES),
        "[100, 100, 100] on digits, without": Task(*digits, (100, 100, 100), 10, False, epochs=5, seeds=64),
        "[100, 100, 100] on digits, with": Task(*digits, (100, 100, 100), 10, True, epochs=5, seeds=64),
        "[32] x 8 on digits, without": Task(*digits, (32,) * 8, 10, False, epochs=5, seeds=64),
        "[32] x 8 on digits, with": Task(*digits, (32,) * 8, 10, True, epochs=5, seeds=64),
    }


def rings_rows() -> list[Rows]:
    data = load_params(ROOT / "params.yaml").data
    rows = load_source(data)
    parts = split_rows(rows, split=data.split, val_fraction=data.val_fraction, seed=data.seed)
    return [(rows.x[part].astype(np.float32), rows.y[part].astype(np.int64)) for part in parts]


def digits_rows() -> list[Rows]:
    x, y = load_digits(return_X_y=True)
    split = train_test_split((x / 16).astype(np.float32), y, test_size=0.2, random_state=1, stratify=y)
    return [(split[0], split[2]), (split[1], split[3])]


def _table(task: Task) -> Iterator[str]:
    rows = f"{len(task.train[1])} training and {len(task.val[1])} validation rows"
    yield f"{task.epochs} epochs, batch {task.batch_size}, {rows}; median of {REPEATS} runs, taken in turn."
    yield ""
    yield "| | networks | seconds | networks per second, DataLoader loop = 1 | share of the matrix products |"
    yield "|---|---|---|---|---|"
    seconds = _time_in_turn(task)
    for way, peer in PEERS.items():
        if peer not in seconds:
            yield f"| {way} | | | {'does not apply' if way in INSTALLED else 'not installed'} | |"
            continue
        networks = 1 if peer in ONE_AT_A_TIME else task.networks
        ratio = networks * _median_ratio(seconds[REFERENCE], seconds[peer])
        share = networks / task.networks * _median_ratio(seconds[BOUND], seconds[peer])
        taken = statistics.median(seconds[peer])
        yield f"| {way} | {networks} | {taken:.2f} | {ratio:.{2 if ratio < 10 else 0}f} | {share:.2g} |"


def _median_ratio(seconds: list[float], of_other: list[float]) -> float:
    return statistics.median(one / other for one, other in zip(seconds, of_other, strict=True))


def _time_in_turn(task: Task) -> dict[Callable, list[float]]:
    """Return the seconds of each installed way, `REPEATS` times in turn; the first run of each is not counted."""
    workers = {PEERS[way]: _Worker(way, task) for way in PEERS if way in INSTALLED}
    workers = {peer: worker for peer, worker in workers.items() if worker.seconds() is not None}
    seconds = {peer: [] for peer in workers}
    for _ in range(REPEATS):
        for peer, worker in workers.items():
            seconds[peer].append(worker.seconds())
    return seconds


class _Worker:
    """A process for one way, which prepares once and then runs when asked."""

    def __init__(self, way: str, task: Task) -> None:
        spawn = multiprocessing.get_context("spawn")
        self.pool = ProcessPoolExecutor(1, spawn, initializer=_prepare, initargs=(way, task))

    def seconds(self) -> float | None:
        return self.pool.submit(_time).result()


_run: Run | None = None  # what this process times


def _prepare(way: str, task: Task) -> None:
    os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})  # before any library counts its cores
    global _run
    _run = PEERS[way](task)


def _time() -> float | None:
    if _run is None:
        return None
    start = time.process_time()
    _run()
    return time.process_time() - start


def _describe_machine() -> str:
    packages = [f"{name} {version(name)}" for name in ("torch", *sorted({*NEEDS.values()})) if _is_installed(name)]
    return f"""# Other ways to train the same networks: `make bench-peers`

On {describe_processor()}, {os.cpu_count()} cores; Python {platform.python_version()}, {", ".join(packages)}.

Seconds of processor time on one core, which all ways share in turn. Not timed: imports, compilation by JAX (which it
needs anew for every shape), and a first run of each. Keras compiles anew for every network, which is timed. All measure
losses and accuracies of training and validation rows after every epoch; Lightning, skorch and Keras take their own
running averages for the training rows, which costs them less. The last row of this project is what a stage runs: it
measures before the training too, and writes a history.

The last row bounds all others: as many operations as the matrix products of the dense layers take, in products of
512 x 512 and nothing else. The last column is the share of it that each way reaches. No GPU was at hand: all of this is
about processors.
"""


def _is_installed(package: str) -> bool:
    return importlib.util.find_spec(package) is not None


def describe_processor() -> str:
    lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    return next((line.split(":")[1].strip() for line in lines if line.startswith("model name")), platform.machine())


if __name__ == "__main__":
    main()
