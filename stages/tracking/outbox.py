"""What a store did not take, on disk until it does: a folder per run, with a letter and copies of the files to log."""

import contextlib
import json
import shutil
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from stages import InputError
from stages.tracking.entries import BY_NAME, Entry, LoggedRun

LETTER = "letter.json"
FILES = "files"
DRAFT = ".draft"


@dataclass(frozen=True)
class Letter:
    """What is still to be logged of a run, and how it ended, with the time in ms."""

    run: LoggedRun
    entries: Sequence[Entry]
    status: str
    end_time: int


def put(outbox: Path, letter: Letter) -> None:
    """Write a letter, in place of an earlier one of the same run; a Path in it becomes a copy of the file.

    It is complete or not there: a draft takes its name last. The JSON is Python's, with NaN and Infinity.
    """
    folder = outbox / letter.run.id
    draft = folder.with_suffix(DRAFT)
    shutil.rmtree(draft, ignore_errors=True)
    (draft / FILES).mkdir(parents=True)
    entries = []
    for entry in letter.entries:
        with contextlib.suppress(FileNotFoundError):  # a file that is gone meanwhile cannot be kept
            entries.append(_write_entry(entry, draft / FILES))
    told = {"run": asdict(letter.run), "entries": entries, "status": letter.status, "end_time": letter.end_time}
    (draft / LETTER).write_text(json.dumps(told), encoding="utf-8")
    shutil.rmtree(folder, ignore_errors=True)
    draft.rename(folder)


def waiting(outbox: Path) -> list[Path]:
    """List the folders, each complete, by name."""
    return sorted(path.parent for path in outbox.glob(f"*/{LETTER}") if path.parent.suffix != DRAFT)


def read(folder: Path) -> Letter:
    """Return the letter in a folder.

    Raises InputError where it cannot be read.
    """
    try:
        told = json.loads((folder / LETTER).read_text(encoding="utf-8"))
        entries = [_read_entry(entry, folder / FILES) for entry in told["entries"]]
        return Letter(LoggedRun(**told["run"]), entries, told["status"], told["end_time"])
    except (OSError, ValueError, LookupError, TypeError) as error:
        raise InputError(f"{folder / LETTER}: cannot be read ({error!r:.100}): remove {folder}") from None


def remove(folder: Path) -> None:
    """Remove a folder, if it is there."""
    shutil.rmtree(folder, ignore_errors=True)


def _write_entry(entry: Entry, files: Path) -> dict[str, Any]:
    return {"function": entry.function.__name__, "args": [_write_arg(arg, files) for arg in entry.args]}


def _write_arg(arg: Any, files: Path) -> dict[str, Any]:
    """Return what stands for an argument; a file's copy keeps its name, in a folder with a number."""
    if not isinstance(arg, Path):
        return {"value": arg}
    number = len(list(files.iterdir()))
    (files / str(number)).mkdir()
    shutil.copyfile(arg, files / str(number) / arg.name)
    return {"file": number}


def _read_entry(told: dict[str, Any], files: Path) -> Entry:
    args = tuple(_read_arg(arg, files) for arg in told["args"])
    return Entry(BY_NAME[told["function"]], args)


def _read_arg(told: dict[str, Any], files: Path) -> Any:
    if "value" in told:
        return told["value"]
    (file,) = (files / str(int(told["file"]))).iterdir()
    return file
