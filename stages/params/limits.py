"""What params would take in memory, at the very least, against what this machine has."""

from collections.abc import Sequence
from decimal import Decimal
from itertools import pairwise

import psutil

from stages import InputError, shorten
from stages.params.schema import Params

BYTES_PER_PARAMETER = 16  # the weight, its gradient, and two means of it that Adam keeps
BYTES_PER_PAIR = 2 * 2 * 8  # bytes of a pair after an epoch: of either arm two measures, as `compare` holds them


def check_memory(params: Params) -> None:
    """Raise InputError, a line for each setting, where this machine cannot hold what `params` ask for."""
    lines = []
    if params.data.samples is not None:
        columns = 3  # two features and the class, of 8 bytes
        draws, what = 1, f"data.samples = {shorten(params.data.samples)}"
        if params.data.vary == "sample":
            draws, what = params.seeds, f"{what} for each of seeds = {shorten(params.seeds)}"
        lines += _too_much(what, draws * params.data.samples * columns * 8)
    for key, hidden in {"model.hidden": params.model.hidden, "bn.hidden": params.bn.hidden or []}.items():
        needed = _network_bytes(hidden, features=1) * len(params.rates)
        lines += _too_much(f"{key} = {shorten(hidden)}", needed)
    pairs = f"seeds = {shorten(params.seeds)} with epochs = {shorten(params.epochs)}"
    lines += _too_much(pairs, params.seeds * (params.epochs + 1) * BYTES_PER_PAIR)
    if lines:
        raise InputError("\n".join(lines))


def check_network(hidden: Sequence[int], features: int, rates: int) -> None:
    """Raise InputError where this machine cannot hold a network at all learning rates, on data of so many features."""
    lines = _too_much(
        f"hidden = {shorten(hidden)} on data of {features} features", _network_bytes(hidden, features) * rates
    )
    if lines:
        raise InputError(lines[0])


def _too_much(what: str, needed: int) -> list[str]:
    """Return the line on `what`, if so many bytes are more than there are."""
    there = psutil.virtual_memory().total
    if needed <= there:
        return []
    return [
        f"{what} would take at least {_gigabytes(needed)} of memory: expected less than the {_gigabytes(there)} here"
    ]


def _network_bytes(hidden: Sequence[int], features: int) -> int:
    widths = [features, *hidden, 1]
    weights = 0
    for inputs, outputs in pairwise(widths):
        weights += inputs * outputs
    return weights * BYTES_PER_PARAMETER


def _gigabytes(count: int) -> str:
    gigabytes = Decimal(count) / 10**9
    return f"{gigabytes:,.0f} GB" if gigabytes < 10**9 else f"{gigabytes:.0e} GB"
