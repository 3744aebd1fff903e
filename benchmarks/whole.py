"""Time the whole run beside the same at an earlier commit, in turn, in one run: the default, and a small experiment.

Every run has a fresh clone, with nothing in DVC's cache and no MLflow database. Prints a Markdown table, and writes it
to benchmarks/whole.md. Seconds of the clock, and of the processor, which others on the machine disturb less. Read the
ratios: absolute times vary from machine to machine.
"""

import os
import resource
import shutil
import statistics
import subprocess
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

from benchmarks.peers import describe_processor

ROOT = Path(__file__).parents[1]
EARLIER = "437b837"  # the last commit before the rooms of stages/, the readings and the page to play with
REPEATS = 3
RUNS = {
    "`dvc repro`": ["repro", "--quiet"],
    "`dvc exp run -S seeds=8 -S epochs=5 -S 'lr_sweep=[]'`": [
        *("exp", "run", "--quiet"),
        *("-S", "seeds=8", "-S", "epochs=5", "-S", "lr_sweep=[]"),
    ],
}
NOBODY = {f"GIT_{role}_{what}": "bench" for role in ("AUTHOR", "COMMITTER") for what in ("NAME", "EMAIL")}
HEAD = """\
# The whole run: `make bench`

On {processor}, {cores} cores. From a fresh clone, with all packages installed: median of {repeats} runs, taken in turn
with those of commit `{earlier}`, which measures less: it has one reading of each claim, no exact statistics, and a page
without a script.

| | seconds | at `{earlier}` | ratio | of processor time | at `{earlier}` | ratio |
|---|---|---|---|---|---|---|"""

Taken = tuple[float, float]  # seconds of the clock, seconds of the processor


def main() -> None:
    head = HEAD.format(processor=describe_processor(), cores=os.cpu_count(), repeats=REPEATS, earlier=EARLIER)
    rows = [row(name, *time_in_turn(command)) for name, command in RUNS.items()]
    text = "\n".join([head, *rows, ""])
    print(text)
    (ROOT / "benchmarks/whole.md").write_text(text, encoding="utf-8")


def time_in_turn(command: Sequence[str]) -> tuple[list[Taken], list[Taken]]:
    """Return what the command took now and at the earlier commit."""
    now, earlier = [], []
    for _ in range(REPEATS):
        now.append(time_run(command, "HEAD"))
        earlier.append(time_run(command, EARLIER))
    return now, earlier


def time_run(command: Sequence[str], commit: str) -> Taken:
    """Return what `dvc` with this command takes in a fresh clone of a commit."""
    with tempfile.TemporaryDirectory() as folder:
        clone = Path(folder, "clone")
        subprocess.run(["git", "clone", "--quiet", str(ROOT), str(clone)], check=True)
        subprocess.run(["git", "checkout", "--quiet", commit], cwd=clone, check=True)
        shutil.rmtree(clone / "results")
        start, used = time.perf_counter(), _processor_seconds()
        subprocess.run(["dvc", *command], cwd=clone, env=_environment(), check=True, stdout=subprocess.DEVNULL)
        return time.perf_counter() - start, _processor_seconds() - used


def row(name: str, now: Sequence[Taken], earlier: Sequence[Taken]) -> str:
    """Return a row of the table; a ratio is the median of those of each turn."""
    cells = [name]
    for here, there in zip(zip(*now, strict=True), zip(*earlier, strict=True), strict=True):
        ratio = statistics.median(a / b for a, b in zip(here, there, strict=True))
        cells += [f"{statistics.median(here):.1f}", f"{statistics.median(there):.1f}", f"{ratio:.2f}"]
    return f"| {' | '.join(cells)} |"


def _processor_seconds() -> float:
    """Return the processor seconds of all processes started here that have ended, and of those that they started."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def _environment() -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("DVC_", "MLFLOW_", "STUDY_"))}
    return kept | NOBODY


if __name__ == "__main__":
    main()
