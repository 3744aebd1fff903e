"""Train more and more networks: the time that each takes, and the most memory that a stage holds.

Runs the stages themselves, each in a process of its own, at the default settings but for the number of seeds and of
learning rates: eight, and for the most networks one too, where every network is half a pair that is judged and measured
inside (with a tenth of the resamples: time is linear in them, and memory does not depend on them). Several blocks train
on all cores. Takes 45 minutes. Writes benchmarks/growth.csv, draws benchmarks/growth.png. Processor time counts,
which others on the machine disturb little; that of a stage includes MLflow's process and the workers. Memory is that of
its largest process.
"""

import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import matplotlib.pyplot as plt
import pandas as pd
import yaml

from stages import ARMS, COLORS

ROOT = Path(__file__).parents[1]
RATES = [0.001, 0.003, 0.01, 0.03, 0.1, 0.3, 1.0, 3.0]
SIZES = [(64, 8), (512, 8), (4096, 8), (65_536, 8), (65_536, 1)]  # networks of each arm, learning rates
STAGES = ("train_baseline", "train_bn", "compare")
RESAMPLES = 1000  # at one rate
LIMIT = 2048  # MiB


def main() -> None:
    rows = []
    for networks, rates in SIZES:
        rows += measure(networks, RATES[:rates])
        print(pd.DataFrame(rows[-len(STAGES) :]).to_string(index=False), flush=True)
    table = pd.DataFrame(rows)
    table.to_csv(ROOT / "benchmarks/growth.csv", index=False, lineterminator="\n")
    draw(table)


def measure(networks: int, rates: list[float]) -> Iterator[dict[str, Any]]:
    """Yield one row per stage: networks of each arm, learning rates, processor time in s, peak memory in MiB."""
    with tempfile.TemporaryDirectory() as folder:
        params = yaml.safe_load((ROOT / "params.yaml").read_text())
        params |= {"seeds": networks // len(rates), "lr_sweep": rates}
        if len(rates) == 1:
            params["evidence"]["resamples"] = RESAMPLES
        Path(folder, "params.yaml").write_text(yaml.safe_dump(params))
        Path(folder, "data").mkdir()
        run("generate_data", folder)
        for stage in STAGES:
            seconds, peak = run(stage, folder)
            measured = {"stage": stage, "seconds": round(seconds, 2), "peak_mib": round(peak)}
            yield {"networks": networks, "rates": len(rates)} | measured


def run(stage: str, folder: str) -> tuple[float, float]:
    """Run a stage in a folder; return the processor time of its processes and the largest one's peak memory, in MiB."""
    environment = os.environ | {"PYTHONPATH": str(ROOT), "DVC_ROOT": folder}
    process = subprocess.Popen(
        [sys.executable, "-m", f"stages.{stage}"], cwd=folder, env=environment, stdout=subprocess.DEVNULL
    )
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise SystemExit(f"{stage} exited {process.returncode}")
    return usage.ru_utime + usage.ru_stime, usage.ru_maxrss / 1024


def draw(table: pd.DataFrame) -> None:
    figure, (time, memory) = plt.subplots(1, 2, figsize=(9, 4), layout="constrained")
    colors = {f"train_{arm}": COLORS[arm] for arm in ARMS} | {"compare": "#0072b2"}
    hollow = {"marker": "o", "linestyle": "none", "fillstyle": "none"}
    for stage, rows in table.groupby("stage", sort=False):
        swept, one_rate = rows[rows["rates"] > 1], rows[rows["rates"] == 1]
        line = {"color": colors[stage], "label": stage, "marker": "o"}
        alone = hollow | {"color": colors[stage], "markersize": 10}
        for part, style in ((swept, line), (one_rate, alone)):
            time.plot(part["networks"], 1000 * part["seconds"] / part["networks"], **style)
            memory.plot(part["networks"], part["peak_mib"], **style)
    memory.plot([], [], color="#808080", label="one rate (compare: a tenth of the resamples)", **hollow)
    memory.axhline(LIMIT, color="#808080", linestyle=":", label="2 GiB")
    time.set(yscale="log", ylabel="processor time per network, ms", title="Processor time")
    memory.set(ylim=(0, 1.1 * LIMIT), ylabel="peak memory, MiB", title="Memory of the largest process")
    for axes in (time, memory):
        axes.set(xscale="log", xlabel="networks of each arm")
    figure.legend(*memory.get_legend_handles_labels(), loc="outside lower center", ncols=5, edgecolor="none")
    figure.savefig(ROOT / "benchmarks/growth.png", dpi=110)


if __name__ == "__main__":
    main()
