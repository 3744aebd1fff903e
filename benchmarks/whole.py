"""Time the default `dvc repro` against what it cannot do without, in turn, in one run.

That is: the same five processes (dvc and four stages) start and import all that they use, beside the processes that
talk to MLflow; and both arms are trained, with nothing logged, measured inside or drawn. Read the ratio: absolute times
vary from machine to machine.
"""

import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import torch

from stages.arm.settings import build_normalization
from stages.params import load_params
from stages.training.loop import Schedule, train_arm
from stages.training.network import Architecture
from stages.training.tables import Table

ROOT = Path(__file__).parents[1]
REPEATS = 3
TRACKING = {  # what MLflow's process imports, by stage; it ends without telling
    "train_baseline": ["mlflow", "mlflow.pytorch", "torch.export", "torch._dynamo"],
    "train_bn": ["mlflow", "mlflow.pytorch", "torch.export", "torch._dynamo"],
    "compare": ["mlflow"],
}
TELL_MODULES = """
import atexit, os, sys
def tell():
    words = [word for word in sys.argv if not word.startswith("-")] or [""]
    name = "dvc" if words[0].endswith("dvc") else os.path.basename(words[0]).removesuffix(".py") or "other"
    with open(os.path.join(os.environ["TELL_MODULES"], name), "w") as file:
        file.write("\\n".join(list(sys.modules)))
atexit.register(tell)
"""
IMPORT_ALL = """
import contextlib, importlib, sys
for name in sys.argv[1:]:
    with contextlib.suppress(BaseException):
        importlib.import_module(name)
"""


def main() -> None:
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as told:
        environment = _environment() | {"TELL_MODULES": told}
        Path(told, "sitecustomize.py").write_text(TELL_MODULES)
        _repro(environment | {"PYTHONPATH": told})
        modules = {path.name: path.read_text().split() for path in Path(told).iterdir() if path.suffix != ".py"}
    names = ["dvc", "generate_data", *TRACKING]
    runs = []
    for _ in range(REPEATS):
        starts = {name: _start(modules[name], TRACKING.get(name, [])) for name in names}
        runs.append({"repro": _repro(_environment()), "starts": sum(starts.values()), "steps": _steps()} | starts)
    medians = {name: statistics.median(run[name] for run in runs) for name in runs[0]}
    ratio = statistics.median(run["repro"] / (run["starts"] + run["steps"]) for run in runs)
    for name in names:
        print(f"{name:15} starts and imports {medians[name]:6.2f} s")
    print(f"bare training steps of both arms {medians['steps']:4.2f} s")
    print(f"dvc repro, whole {medians['repro']:20.2f} s, {ratio:.2f} times the sum; median of {REPEATS}")


def _repro(environment: dict[str, str]) -> float:
    """Return the seconds that the default `dvc repro` takes in a fresh clone."""
    with tempfile.TemporaryDirectory() as folder:
        clone = Path(folder, "clone")
        subprocess.run(["git", "clone", "--quiet", str(ROOT), str(clone)], check=True)
        shutil.rmtree(clone / "results")
        start = time.perf_counter()
        subprocess.run(["dvc", "repro", "--quiet"], cwd=clone, env=environment, check=True, stdout=subprocess.DEVNULL)
        return time.perf_counter() - start


def _start(modules: list[str], beside: list[str]) -> float:
    """Return the seconds that a process takes to import modules, and another one beside it to import others."""
    start = time.perf_counter()
    options = {"cwd": ROOT, "env": _environment(), "stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    processes = []
    for names in [modules, beside] if beside else [modules]:
        processes.append(subprocess.Popen([sys.executable, "-c", IMPORT_ALL, *names], **options))
    for process in processes:
        process.wait()
    return time.perf_counter() - start


def _steps() -> float:
    """Return the seconds that the training of both arms takes."""
    params = load_params(ROOT / "params.yaml")
    train, val = Table.read("data/train.csv"), Table.read("data/val.csv")
    schedule = Schedule(params.rates, range(params.seeds), params.epochs, params.batch_size)
    start = time.perf_counter()
    for norm in (None, build_normalization(params.bn)):
        train_arm(train, val, Architecture(train.x.shape[1], normalization=norm), schedule)
    return time.perf_counter() - start


def _environment() -> dict[str, str]:
    return {name: value for name, value in os.environ.items() if not name.startswith(("DVC_", "MLFLOW_", "STUDY_"))}


if __name__ == "__main__":
    main()
