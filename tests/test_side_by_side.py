"""Experiments side by side: several at a time, set up one after the other, none after one that fails."""

import json
import re
from pathlib import Path

import pytest
from conftest import copy_project, run

from studies.side_by_side import SideBySide

# Stands in for DVC where the order of events is tested: what it does, and when, goes into the file `events`.
STAND_IN = """#!/usr/bin/env python
import os, sys, time

def tell(what):
    with open("events", "a") as events:
        events.write(f"{what} {name}\\n")

def fail():
    sys.exit("lr = 'fast': expected a number")

if "remove" in sys.argv:
    name = sys.argv[-1]
    tell("removes")
    sys.exit()
name = sys.argv[sys.argv.index("--name") + 1]
tell("starts")
time.sleep(0.3)
if name == "fails-at-once":
    fail()
tell("is-set-up")
print(f"Reproducing experiment '{name}'")
if name == "fails":
    fail()
while sum(line.startswith(("is-set-up", "starts fails")) for line in open("events")) < 2:
    time.sleep(0.01)
tell(os.environ.get("STUDY_ENGINE", "auto"))
"""


@pytest.fixture
def stand_in(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The file of events; two cores."""
    path = tmp_path / "dvc"
    path.write_text(STAND_IN)
    path.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=":")
    monkeypatch.setattr("studies.side_by_side.count_cores", lambda: 2)
    monkeypatch.chdir(tmp_path)
    return tmp_path / "events"


def test_one_is_set_up_while_others_run(stand_in: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The first can only end when the second is set up; each is set up before the next starts."""
    SideBySide().run({"first": [], "second": [], "third": []})
    events = stand_in.read_text().splitlines()
    starts = [event for event in events if not event.startswith("inline")]
    assert starts == [f"{what} {name}" for name in ("first", "second", "third") for what in ("starts", "is-set-up")]
    assert len(events) == 9
    lines = capsys.readouterr().out.splitlines()
    assert [re.sub(r"\w+: \d+ s", "NAME", line) for line in lines] == ["1/3 NAME", "2/3 NAME", "3/3 NAME"]


@pytest.mark.parametrize("fails", ["fails", "fails-at-once"])
def test_none_starts_after_one_that_fails(stand_in: Path, capsys: pytest.CaptureFixture[str], fails: str) -> None:
    failed = SideBySide().run({"first": [], fails: ["-S", "lr=fast"], "third": [], "fourth": [], "fifth": []})
    assert [(ended.name, "lr = 'fast': expected a number" in str(ended.problem)) for ended in failed] == [(fails, True)]
    events = stand_in.read_text().splitlines()
    assert "inline first" in events  # those that run come to their end
    assert "starts fifth" not in events
    assert ("starts third" in events) <= (fails == "fails")
    printed = capsys.readouterr().out
    assert f"{fails}: failed" in printed
    assert "fifth" not in printed


def test_what_is_alone_has_all_cores(stand_in: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("STUDY_ENGINE", raising=False)
    stand_in.write_text("is-set-up another\n")
    assert SideBySide().run({"alone": []}, outdated={"alone"}) == []
    events = stand_in.read_text().splitlines()[1:]
    assert events == ["removes alone", "starts alone", "is-set-up alone", "auto alone"]


RUN = "from studies.side_by_side import SideBySide; SideBySide().run({arguments})"


def test_each_is_what_its_name_says(small_project: Path, tmp_path: Path) -> None:
    """Real experiments, none of which gets what another asked for."""
    project = copy_project(small_project, tmp_path / "project")
    rates = {f"rate-{number}": number / 100 for number in range(1, 4)}
    arguments = {name: ["-S", f"lr={rate}"] for name, rate in rates.items()}
    printed = run(["python", "-c", RUN.format(arguments=arguments)], project)
    assert len(printed.splitlines()) == 3
    for name, rate in rates.items():
        reference = run(["git", "for-each-ref", "--format=%(refname)", f"refs/exps/*/*/{name}"], project).strip()
        assert f"lr: {rate}" in run(["git", "show", f"{reference}:params.yaml"], project)
        assert json.loads(run(["git", "show", f"{reference}:results/metrics.json"], project))
    assert run(["git", "status", "--porcelain"], project) == ""
