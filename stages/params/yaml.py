"""YAML as DVC reads it: the only file that knows YAML."""

from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.constructor import DuplicateKeyError
from ruamel.yaml.error import MarkedYAMLError, YAMLError

# What the parser lets through of what is no YAML, such as `!!int` without a value or a list as a key.
SLIPS = (AssertionError, AttributeError, IndexError, KeyError, NotImplementedError, TypeError)


def parse_yaml(text: str) -> Any:
    """Return what a YAML text holds, read by DVC's own parser: YAML 1.2, where `010` is ten and `no` is text.

    Raises ValueError, in one line, for what is not YAML, and for a key that stands twice.
    """
    try:
        return YAML(typ="safe").load(text)
    except DuplicateKeyError as error:
        raise ValueError(f"line {_line(error)}: this key stands twice: expected each key once") from None
    except MarkedYAMLError as error:
        raise ValueError(f"line {_line(error)}: {error.problem}") from None
    except YAMLError as error:
        raise ValueError(str(error).partition("\n")[0]) from None
    except RecursionError:
        raise ValueError("lists or sections nested too deeply") from None
    except SLIPS as error:
        raise ValueError(f"{type(error).__name__}: {error}") from None


def _line(error: MarkedYAMLError) -> int:
    """Return where the problem is, counted from 1."""
    mark = error.problem_mark or error.context_mark
    return mark.line + 1 if mark else 1
