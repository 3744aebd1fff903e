"""Diagnostics with some measures changed."""

import numpy as np

from stages.evidence.trainings import Inside


def change_inside(inside: Inside, **measures: np.ndarray | float) -> Inside:
    """Return the diagnostics with some measures changed: values (E, S), or one for all."""

    def read(name: str) -> np.ndarray:
        if name not in measures:
            return inside.read(name)
        return np.broadcast_to(measures[name], inside.read("dead_layer").shape)

    return Inside(inside.seeds, read)
