"""What a section of params.yaml is, whatever it holds."""

from dataclasses import dataclass
from typing import Any

from pydantic import BaseModel, ConfigDict
from pydantic.fields import FieldInfo


class Section(BaseModel):
    """A part of params.yaml: every key must be there, no other may; `description` says what its value may be."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, allow_inf_nan=False)


@dataclass(frozen=True)
class UsedBy:
    """Marks a setting of `bn` that only some kinds use: under any other it must have its default."""

    kinds: tuple[str, ...]
    default: Any


def used_by(section: type[Section]) -> dict[str, UsedBy]:
    """Return of each setting that some kinds make no use of: which kinds do, and its default."""
    settings = {}
    for name, field in section.model_fields.items():
        for mark in field.metadata:
            if isinstance(mark, UsedBy):
                settings[name] = mark
    return settings


def section_of(field: FieldInfo) -> type[Section] | None:
    """Return the section that a field holds; None: it holds a value."""
    annotation = field.annotation
    if isinstance(annotation, type) and issubclass(annotation, Section):
        return annotation
    return None


def list_keys(section: type[Section], prefix: str = "") -> list[str]:
    """List the dotted keys that hold a value, in a section and in those within it."""
    keys = []
    for name, field in section.model_fields.items():
        inner = section_of(field)
        if inner:
            keys += list_keys(inner, f"{prefix}{name}.")
        else:
            keys.append(prefix + name)
    return keys


def flatten(values: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    """Return the values of sections in sections under dotted keys."""
    flat: dict[str, Any] = {}
    for name, value in values.items():
        if isinstance(value, dict):
            flat |= flatten(value, f"{prefix}{name}.")
        else:
            flat[f"{prefix}{name}"] = value
    return flat
