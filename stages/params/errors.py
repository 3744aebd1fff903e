"""What is wrong in params.yaml, in one line for each wrong value: its key, the value, and what is allowed."""

from difflib import SequenceMatcher
from typing import Any

from pydantic import ValidationError
from pydantic_core import ErrorDetails

from stages import MOST_SHOWN, shorten
from stages.params.schema import Params
from stages.params.sections import Section, list_keys, section_of

MOST_LINES = 20

Location = tuple[str | int, ...]


def describe_errors(error: ValidationError) -> list[str]:
    """Return the lines, in the order of the keys."""
    lines = []
    for detail in error.errors(include_url=False):
        lines += _describe(detail)
    if len(lines) > MOST_LINES:
        lines[MOST_LINES:] = [f"... and {len(lines) - MOST_LINES} more"]
    return lines


def _describe(detail: ErrorDetails) -> list[str]:
    """Return a line; several where settings contradict each other, which the schema words itself."""
    location, value = detail["loc"], detail["input"]
    if detail["type"] == "value_error":
        return str(detail["ctx"]["error"]).splitlines()
    if detail["type"] in ("extra_forbidden", "invalid_key"):
        return _describe_unknown(location, value)
    if detail["type"] == "missing":
        return [f"{_dotted(location)} is missing: expected {_allowed(location)}"]
    return [f"{_dotted(location)} = {shorten(value)}: expected {_allowed(location)}"]


def _dotted(location: Location) -> str:
    """Return a location as a user writes it: `model.hidden[1]`."""
    key = ""
    for part in location:
        key += f"[{part}]" if isinstance(part, int) else f".{part}"
    key = key.removeprefix(".")
    return key if key.isprintable() and len(key) <= MOST_SHOWN else shorten(key)


def _allowed(location: Location) -> str:
    """Return what the key at `location` may hold: the description of its field."""
    section: type[Section] = Params
    for name in location:
        field = section.model_fields[str(name)]
        inner = section_of(field)
        if inner is None:
            return str(field.description)
        section = inner
    return "a section with the keys " + ", ".join(section.model_fields)


def _describe_unknown(location: Location, value: Any) -> list[str]:
    """Return a line for an unknown key, or for each key of an unknown section."""
    if not isinstance(value, dict):
        return [_no_such_key(location, value)]
    lines = []
    for name, inner in value.items():
        lines.append(_no_such_key((*location, str(name)), inner))
    return lines or [_no_such_key(location, value)]


def _no_such_key(location: Location, value: Any) -> str:
    """Turn round DVC's advice on a mistyped key: it says to append it with a +, which adds a key that nothing reads."""
    key = _dotted(location)
    nearest = _nearest_key(key)
    return (
        f"{key} = {shorten(value)} is no known key: the nearest is {nearest}."
        f" Take it out of params.yaml, and write -S {nearest}=... without a +"
    )


def _nearest_key(key: str) -> str:
    """Return the valid key most like `key`: one of the same last part if there is one, as in `placement`."""

    def likeness(known: str) -> float:
        whole = SequenceMatcher(None, key, known).ratio()
        last_part = SequenceMatcher(None, key.split(".")[-1], known.split(".")[-1]).ratio()
        return max(whole, last_part)

    return max(list_keys(Params), key=likeness)
