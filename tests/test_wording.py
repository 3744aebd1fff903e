"""What the arms are called, for everything that they can differ in."""

import pytest

from stages.evidence.claims import CLAIMS
from stages.history.wording import describe_contrast

CASES = {
    ("batch", None): (
        "Batch normalization",
        ["without batch normalization", "with batch normalization"],
        "1 without, 2 with batch normalization",
    ),
    ("layer", None): (
        "Layer normalization",
        ["without layer normalization", "with layer normalization"],
        "1 without, 2 with layer normalization",
    ),
    ("none", None): (
        "Another order of batches",
        ["without normalization", "without, other batch order (A/A)"],
        "1 in the baseline's order, 2 in another order",
    ),
    ("none", (3, 2)): (
        "A network with [3, 2] instead of [2, 2] units",
        ["with [2, 2] units", "with [3, 2] units"],
        "1 with [2, 2] units, 2 with [3, 2] units",
    ),
    ("group", (4, 4)): (
        "A network with [4, 4] instead of [2, 2] units and with group normalization",
        ["without group normalization ([2, 2] units)", "with group normalization ([4, 4] units)"],
        "1 without group normalization ([2, 2] units), 2 with group normalization ([4, 4] units)",
    ),
    ("dropout", None): (
        "Dropout 0.25",
        ["without dropout", "with dropout 0.25"],
        "1 without, 2 with dropout 0.25",
    ),
    ("dropout", (4, 4)): (
        "A network with [4, 4] instead of [2, 2] units and with dropout 0.25",
        ["without dropout ([2, 2] units)", "with dropout 0.25 ([4, 4] units)"],
        "1 without dropout ([2, 2] units), 2 with dropout 0.25 ([4, 4] units)",
    ),
}


@pytest.mark.parametrize(("case", "words"), CASES.items())
def test_arms_are_named_for_what_they_are(
    case: tuple[str, tuple[int, ...] | None], words: tuple[str, list[str], str]
) -> None:
    kind, bn_hidden = case
    contrast = describe_contrast(kind, [2, 2], bn_hidden, rate=0.25)
    subject, labels, compared = words
    assert contrast.subject == subject
    assert contrast.labels == dict(zip(("baseline", "bn"), labels, strict=True))
    assert contrast.compare(1, 2) == compared
    assert CLAIMS[0].wording(contrast) == f"{subject} reaches a given accuracy in fewer epochs."


@pytest.mark.parametrize("kind", ["batch", "layer", "group", "dropout", "none"])
@pytest.mark.parametrize("bn_hidden", [None, [2, 2], [3, 2]])
def test_a_pair_shares_what_it_says(kind: str, bn_hidden: list[int] | None) -> None:
    contrast = describe_contrast(kind, [2, 2], bn_hidden, rate=0.5)
    same_width = bn_hidden != [3, 2]
    assert ("the same initial weights" in contrast.pair) == same_width
    assert ("the same batches in the same order" in contrast.pair) == (kind != "none" or not same_width)
    assert contrast.alike == (same_width and kind != "none")
