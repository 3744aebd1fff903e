"""Which params are not those of the last commit: an experiment starts from the values that the one before it left."""

import contextlib
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import psutil

from stages import shorten
from stages.params.schema import Params
from stages.params.sections import flatten
from stages.params.yaml import parse_yaml

MOST_CHANGES = 8


def tell_changes(params: Params) -> None:
    """Say on stderr, in one line, what differs: once in a run of the pipeline, whichever stage comes first."""
    changes = _changes(params)
    if not changes or _told_already():
        return
    shown = ", ".join(changes[:MOST_CHANGES])
    more = f" and {len(changes) - MOST_CHANGES} more" if len(changes) > MOST_CHANGES else ""
    print(f"note: not as in the last commit: {shown}{more}{_way_back()}", file=sys.stderr)


def _changes(params: Params) -> list[str]:
    """Return each value that differs, and what it was."""
    committed = _committed()
    changes = []
    for key, value in params.flat().items():
        if committed and committed.get(key) != value:
            before = shorten(committed[key]) if key in committed else "not there"
            changes.append(f"{key} = {shorten(value)} ({before})")
    return changes


def _committed() -> dict[str, Any]:
    """Return the params of the last commit under dotted keys; empty where there is no git, commit or such file."""
    command = ["git", "show", "HEAD:./params.yaml"]
    try:
        text = subprocess.run(command, capture_output=True, text=True, check=True, timeout=10).stdout
        return flatten(parse_yaml(text))
    except (OSError, subprocess.SubprocessError, ValueError, AttributeError, RecursionError):
        return {}


def _told_already() -> bool:
    """Return whether an earlier stage of this run of DVC has told; from now on one has.

    All stages of a run are started by one DVC process, which is noted where DVC keeps what is temporary.
    """
    if "DVC_ROOT" not in os.environ:
        return False
    note = Path(os.environ["DVC_ROOT"], ".dvc", "tmp", "told-changes")
    with contextlib.suppress(OSError, psutil.Error):
        dvc = _starter()
        run = f"{dvc.pid} {dvc.create_time()}"
        if note.exists() and note.read_text() == run:
            return True
        note.write_text(run)
    return False


def _starter() -> psutil.Process:
    """Return the process that has started this stage: DVC, with a shell between them that may still be there."""
    parent = psutil.Process(os.getppid())
    is_shell = "-c" in parent.cmdline()[1:]  # bash makes way for the one command that it was given, dash does not
    return (parent.parent() or parent) if is_shell else parent


def _way_back() -> str:
    """Return how to get them back, unless this is a temporary workspace, whose values stay in it."""
    if Path(os.environ.get("DVC_ROOT", ".")).resolve() != Path.cwd():
        return ""
    return "; the next run starts from here, or after `git checkout params.yaml` from there"
