import multiprocessing
import os
import subprocess
import sys

import psutil
import pytest
from conftest import ROOT

from stages import forks

FORKS = """
import os, signal, sys, threading, time
from stages.forks import share_with_fork
stage = os.getpid()
def where(number):
    return number, "here" if os.getpid() == stage else "there"
def die_there(number):
    if os.getpid() != stage:
        os.kill(os.getpid(), signal.SIGKILL)
    return number, "here"
def fail_there(number):
    if number % 2:
        print(where(number)[1], flush=True)
        1 / 0
def wait():
    threading.Event().wait()
def hang_there(number):
    if os.getpid() != stage:
        print("hangs", flush=True)
        time.sleep(300)
    sys.stdin.read()
"""


def start_forking(call: str, **variables: str) -> subprocess.Popen[str]:
    """Start a process of one thread that makes this call."""
    options = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    return subprocess.Popen([sys.executable, "-c", FORKS + call], cwd=ROOT, env=os.environ | variables, **options)


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere nothing is forked")
@pytest.mark.parametrize(
    ("call", "variables", "places"),
    [
        ("print(share_with_fork(where, range(5)))", {}, ["here", "there"]),
        ("print(share_with_fork(die_there, range(5)))", {}, ["here", "here"]),
        ("print(share_with_fork(where, range(5)))", {"STUDY_ENGINE": "inline"}, ["here", "here"]),
        (
            "threading.Thread(target=wait, daemon=True).start(); print(share_with_fork(where, range(5)))",
            {},
            ["here", "here"],
        ),
    ],
)
def test_a_fork_does_every_other_task(call: str, variables: dict[str, str], places: list[str]) -> None:
    printed, told = start_forking(call, **variables).communicate()
    assert printed == f"{[(number, places[number % 2]) for number in range(5)]}\n"
    assert told == ""


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere nothing is forked")
def test_what_goes_wrong_in_a_fork_is_told_once() -> None:
    printed, told = start_forking("share_with_fork(fail_there, range(5))").communicate()
    assert printed == "there\nhere\n"
    assert told.count("Traceback") == told.count("ZeroDivisionError") == 1


def test_half_a_message_of_a_fork_that_was_killed_is_none() -> None:
    ours, theirs = multiprocessing.Pipe(duplex=False)
    os.write(theirs.fileno(), (100).to_bytes(4, "big") + b"not a hundred bytes")
    theirs.close()
    assert forks._receive(ours) is None


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere nothing is forked")
def test_a_fork_ends_with_its_parent() -> None:
    stage = start_forking("share_with_fork(hang_there, range(5))")
    assert stage.stdout.readline() == "hangs\n"
    children = psutil.Process(stage.pid).children()
    assert len(children) == 1
    stage.kill()
    assert psutil.wait_procs(children, timeout=200)[1] == []
    stage.communicate()
