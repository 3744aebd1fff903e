"""From the file params.yaml to `Params`."""

from pathlib import Path
from typing import Any

from pydantic import ValidationError

from stages import MOST_SHOWN, InputError, shorten
from stages.params.errors import describe_errors
from stages.params.limits import check_memory
from stages.params.schema import Params
from stages.params.yaml import parse_yaml


def load_params(path: str | Path = "params.yaml") -> Params:
    """Read and check `path`.

    Raises InputError with one line per wrong value: its key, the value, and what is allowed.
    """
    values = _read(Path(path))
    if not isinstance(values, dict):
        raise InputError(f"{path}: expected `key: value` lines, got {shorten(values)}")
    try:
        params = Params.model_validate(values)
        check_memory(params)
    except ValidationError as error:
        raise _named(path, describe_errors(error)) from None
    except InputError as error:
        raise _named(path, str(error).splitlines()) from None
    return params


def _read(path: Path) -> Any:
    """Return what a file of YAML holds; raise InputError where there is none."""
    if not path.exists():
        raise InputError(f"{path}: not found; run from the repository root")
    if not path.is_file():
        raise InputError(f"{path}: expected a file")
    try:
        return parse_yaml(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise InputError(f"{path}: not readable: {error.strerror}") from None
    except ValueError as error:
        raise InputError(f"{path}: not valid YAML: {str(error)[:MOST_SHOWN]}") from None


def _named(path: str | Path, lines: list[str]) -> InputError:
    """Return an error that names the file in each line."""
    return InputError("\n".join([f"{path}: {line}" for line in lines]))
