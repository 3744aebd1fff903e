"""YAML as DVC reads it: the only file that knows YAML."""

from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError


def parse_yaml(text: str) -> Any:
    """Return what a YAML text holds, read by DVC's own parser: YAML 1.2, where `010` is ten and `no` is text.

    Raises ValueError for what is not YAML, and for a key that stands twice.
    """
    try:
        return YAML(typ="safe").load(text)
    except YAMLError as error:
        raise ValueError(" ".join(str(error).split())) from None
