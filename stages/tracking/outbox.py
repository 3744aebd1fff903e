"""What a store did not take, on disk until it does: a folder per run, with copies of the files to log."""

import pickle
import shutil
from collections import deque
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

LETTER = "letter.pickle"
DRAFT = ".draft"


def put(folder: Path, letter: Mapping[str, Any], calls: Iterable[tuple[str, tuple[Any, ...]]]) -> None:
    """Write a letter with `calls`, (method, arguments) each; an argument that is a Path becomes a copy of the file."""
    draft = folder.with_suffix(DRAFT)
    shutil.rmtree(draft, ignore_errors=True)
    draft.mkdir(parents=True)
    kept = deque((method, tuple(_keep(value, folder, draft) for value in args)) for method, args in calls)
    (draft / LETTER).write_bytes(pickle.dumps({**letter, "calls": kept}))
    shutil.rmtree(folder, ignore_errors=True)
    draft.rename(folder)


def _keep(value: Any, folder: Path, draft: Path) -> Any:
    """Return `value`, or where it is a Path that of the copy in `folder`, made in `draft`."""
    if not isinstance(value, Path):
        return value
    (draft / "files").mkdir(exist_ok=True)
    shutil.copyfile(value, draft / "files" / value.name)
    return folder / "files" / value.name


def waiting(outbox: Path) -> list[Path]:
    """List the folders, each complete, by name."""
    return sorted(path.parent for path in outbox.glob(f"*/{LETTER}") if path.parent.suffix != DRAFT)


def read(folder: Path) -> dict[str, Any]:
    """Return the letter with its calls."""
    return pickle.loads((folder / LETTER).read_bytes())


def remove(folder: Path) -> None:
    """Remove a folder, if it is there."""
    shutil.rmtree(folder, ignore_errors=True)
