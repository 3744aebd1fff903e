"""From the file params.yaml to `Params`."""

from pathlib import Path

from pydantic import ValidationError

from stages import InputError
from stages.params.errors import describe_errors
from stages.params.schema import Params
from stages.params.yaml import parse_yaml


def load_params(path: str | Path = "params.yaml") -> Params:
    """Read and check `path`.

    Raises InputError with one line per wrong value: its key, the value, and what is allowed.
    """
    try:
        values = parse_yaml(Path(path).read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise InputError(f"{path}: not found; run from the repository root") from None
    except ValueError as error:
        raise InputError(f"{path}: not valid YAML: {error}") from None
    if not isinstance(values, dict):
        raise InputError(f"{path}: expected `key: value` lines, got {values!r}")
    try:
        return Params.model_validate(values)
    except ValidationError as error:
        lines = [f"{path}: {line}" for line in describe_errors(error)]
        raise InputError("\n".join(lines)) from None
