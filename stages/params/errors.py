"""What is wrong in params.yaml, in one line for each wrong value: its key, the value, and what is allowed."""

import difflib

from pydantic import ValidationError
from pydantic_core import ErrorDetails

from stages.params.schema import Params, Section, list_keys, section_of


def describe_errors(error: ValidationError) -> list[str]:
    """Return the lines, in the order of the keys."""
    lines = []
    for detail in error.errors():
        lines += _describe(detail).splitlines()
    return lines


def _describe(detail: ErrorDetails) -> str:
    """Return a line; several where settings contradict each other, which the schema words itself."""
    if detail["type"] == "value_error":
        return str(detail["ctx"]["error"])
    key, value = _dotted(detail["loc"]), detail["input"]
    if detail["type"] in ("extra_forbidden", "invalid_key"):
        return f"{key} = {value!r} is no known key: the nearest is {_nearest_key(key)}"
    allowed = _allowed(detail["loc"])
    if detail["type"] == "missing":
        return f"{key} is missing: expected {allowed}"
    return f"{key} = {value!r}: expected {allowed}"


def _dotted(location: tuple[str | int, ...]) -> str:
    """Return a location as a user writes it: `model.hidden[1]`."""
    key = ""
    for part in location:
        key += f"[{part}]" if isinstance(part, int) else f".{part}"
    return key.removeprefix(".")


def _allowed(location: tuple[str | int, ...]) -> str:
    """Return what the key at `location` may hold: the description of its field."""
    section: type[Section] = Params
    for name in location:
        field = section.model_fields[str(name)]
        inner = section_of(field)
        if inner is None:
            return str(field.description)
        section = inner
    return "a section with the keys " + ", ".join(section.model_fields)


def _nearest_key(key: str) -> str:
    """Return the valid key most like `key`: one of the same last part if there is one, as in `placement`."""
    known = list_keys(Params)
    last_part = key.split(".")[-1]
    for name in known:
        if name.split(".")[-1] == last_part:
            return name
    return difflib.get_close_matches(key, known, n=1, cutoff=0.0)[0]
