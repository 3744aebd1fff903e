"""Experiments side by side, in temporary workspaces: one for each core."""

import os
import subprocess
import threading
import time
from collections.abc import Collection, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass

from stages.engine import count_cores

# DVC says so, and the name, when the workspace of an experiment is there.
SET_UP = "Reproducing experiment"


@dataclass(frozen=True)
class Ended:
    """An experiment that has ended. `problem`: what DVC printed where it failed."""

    name: str
    seconds: float
    problem: str | None


class SideBySide:
    """Runs `dvc exp run --temp`, several at a time.

    Where one fails, those that run come to their end, and no other starts.
    """

    def __init__(self) -> None:
        # DVC sets experiments up in one place, its stash: of two at a time, each would take what comes first.
        self._setting_up = threading.Lock()
        self._stopped = threading.Event()

    def run(self, experiments: Mapping[str, Sequence[str]], outdated: Collection[str] = ()) -> list[Ended]:
        """Run experiments in their order, given what `dvc exp run` takes beside the name of each; return failures.

        Those that are outdated are removed, each when its turn has come.
        """
        at_once = min(count_cores(), len(experiments))
        environment = _environment(at_once)
        pool = ThreadPoolExecutor(at_once)
        running = []
        for name, arguments in experiments.items():
            running.append(pool.submit(self._run_one, name, arguments, name in outdated, environment))
        failed = []
        try:
            for number, done in enumerate(as_completed(running), start=1):
                ended = done.result()
                if ended is None:
                    continue
                print(f"{number}/{len(running)} {describe(ended)}", flush=True)
                if ended.problem is not None:
                    failed.append(ended)
        finally:
            self._stopped.set()
            pool.shutdown(cancel_futures=True)
        return failed

    def _run_one(
        self, name: str, arguments: Sequence[str], outdated: bool, environment: Mapping[str, str]
    ) -> Ended | None:
        with self._setting_up:
            if self._stopped.is_set():
                return None
            start = time.perf_counter()
            if outdated:
                _start_dvc(["exp", "remove", name], environment).communicate()
            process = _start_dvc(["exp", "run", "--temp", "--name", name, *arguments], environment)
            printed = _read_until(process, f"{SET_UP} '{name}'")
            if process.poll():  # before anybody else can start
                self._stopped.set()
        printed += process.communicate()[0]
        if process.returncode:
            self._stopped.set()
        return Ended(name, time.perf_counter() - start, printed if process.returncode else None)


def describe(ended: Ended) -> str:
    """Say that an experiment has ended, and how."""
    outcome = f"{ended.seconds:.0f} s" if ended.problem is None else "failed"
    return f"{ended.name}: {outcome}"


def _environment(at_once: int) -> dict[str, str]:
    """Return the environment of so many experiments at once.

    Where they share the cores, networks train in one process, unless STUDY_ENGINE says otherwise. What DVC prints comes
    at once: it tells when the next may start.
    """
    engine = {"STUDY_ENGINE": "inline"} if at_once > 1 else {}
    return engine | os.environ | {"PYTHONUNBUFFERED": "1"}


def _start_dvc(arguments: Sequence[str], environment: Mapping[str, str]) -> subprocess.Popen[str]:
    command = ["dvc", "--wait-for-lock", *arguments]
    return subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, errors="replace", env=environment
    )


def _read_until(process: subprocess.Popen[str], start: str) -> str:
    """Return what a process prints, to the line that starts so; without any, wait for its end."""
    assert process.stdout is not None
    lines = []
    for line in process.stdout:
        lines.append(line)
        if line.startswith(start):
            return "".join(lines)
    process.wait()
    return "".join(lines)
