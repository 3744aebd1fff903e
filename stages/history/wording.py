"""What the two arms are called in figures, report, terminal and progress: by whatever they differ in."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

NAMES = {
    "batch": "batch normalization",
    "frozen": "normalization frozen at the start",
    "layer": "layer normalization",
    "group": "group normalization",
    "dropout": "dropout",
}


@dataclass(frozen=True)
class Contrast:
    """What the arms differ in, in words.

    `kind` is bn.kind. `subject` begins a sentence on the arm bn, as in "... raises the accuracy". `labels`: arm -> its
    name where it stands alone. `apart`: baseline and bn within a sentence. `pair` goes on after "a pair"; `alike` is
    whether its networks start from the same weights and see the same batches in the same order.
    """

    kind: str
    subject: str
    labels: Mapping[str, str]
    apart: tuple[str, str]
    pair: str
    alike: bool

    def compare(self, baseline: object, bn: object) -> str:
        """Return the values of both arms in words: `0.59 without, 0.65 with batch normalization`."""
        return f"{baseline} {self.apart[0]}, {bn} {self.apart[1]}"


def describe_contrast(
    kind: str, hidden: Sequence[int] = (), bn_hidden: Sequence[int] | None = None, rate: float | None = None
) -> Contrast:
    """Say what the arms differ in, given bn.kind, the hidden widths of both arms (None: the same), and bn.rate."""
    name = NAMES.get(kind)
    exact = f"{name} {rate:g}" if kind == "dropout" else name
    if bn_hidden and list(bn_hidden) != list(hidden):
        return _other_width(kind, name, exact, list(hidden), list(bn_hidden))
    return _normalization(kind, name, exact) if name and exact else _other_order(kind)


def _normalization(kind: str, name: str, exact: str) -> Contrast:
    labels = {"baseline": f"without {name}", "bn": f"with {exact}"}
    pair = (
        "has the same data, the same initial weights and the same batches in the same order, and differs in"
        f" {exact} alone"
    )
    return Contrast(kind, exact.capitalize(), labels, ("without", f"with {exact}"), pair, alike=True)


def _other_width(kind: str, name: str | None, exact: str | None, hidden: list[int], bn_hidden: list[int]) -> Contrast:
    subject = f"A network with {bn_hidden} instead of {hidden} units"
    apart, differs = (f"with {hidden} units", f"with {bn_hidden} units"), "width"
    if name:
        subject += f" and with {exact}"
        apart = f"without {name} ({hidden} units)", f"with {exact} ({bn_hidden} units)"
        differs = f"{exact} and width"
    pair = (
        f"has the same data and the same batches in the same order, and differs in {differs}, and so in its initial"
        " weights"
    )
    return Contrast(kind, subject, dict(zip(("baseline", "bn"), apart, strict=True)), apart, pair, alike=False)


def _other_order(kind: str) -> Contrast:
    labels = {"baseline": "without normalization", "bn": "without, other batch order (A/A)"}
    pair = (
        "has the same data and the same initial weights, and differs in the order of the batches alone: whatever is"
        " found is chance"
    )
    apart = ("in the baseline's order", "in another order")
    return Contrast(kind, "Another order of batches", labels, apart, pair, alike=False)


BATCH_NORM = describe_contrast("batch")
