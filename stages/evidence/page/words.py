"""Sentences of the page: each is made from the numbers of the run."""

from collections.abc import Mapping, Sequence

from stages.evidence.claims import CLAIMS
from stages.evidence.verdicts import (
    DEPENDS,
    FAILS,
    HOLDS,
    INCONCLUSIVE,
    NO_PRACTICAL_DIFFERENCE,
    NOT_MEASURED,
    REFUTED,
    SUPPORTED,
    Judgement,
)

NUMBERS = ("none", "one", "two", "three", "four", "five", "six")
SHORT = {
    "faster_training": "faster training",
    "higher_accuracy": "higher accuracy",
    "steadier": "steadier accuracy",
    "less_covariate_shift": "less internal covariate shift",
    "regularizes": "regularization",
    "higher_learning_rates": "higher learning rates",
}
MEASURED = {
    "faster_training": (
        "The first of three epochs running at a target accuracy: the majority class and 90% of the best mean gain of"
        " either arm. A network that never gets there counts as the last epoch."
    ),
    "higher_accuracy": "Validation accuracy, the mean of the last ten epochs.",
    "steadier": "How much validation accuracy changes from one epoch to the next, over the last half of the epochs.",
    "less_covariate_shift": (
        "How much a layer's gradient changes because the layers before it have moved, relative to the gradient"
        " (Santurkar 2018, Def. 2.1, made scale-free); the log of the ratio of the arms. The"
        " other definition, Ioffe & Szegedy's (2015): how far a layer's inputs move from one epoch to the next, in"
        " standard deviations."
    ),
    "regularizes": "Validation loss minus training loss after the last epoch.",
    "higher_learning_rates": (
        "The rate above its best one at which an arm still has half of the best gain of either arm over the majority"
        " class, in powers of ten."
    ),
}
SUMMARIES = (  # of one claim, and of more
    (HOLDS, "holds", "hold"),
    (DEPENDS, "depends on the reading", "depend on the reading"),
    (FAILS, "is supported in no reading", "are supported in no reading"),  # though it need not be refuted
    (NOT_MEASURED, "could not be measured", "could not be measured"),
)
VERDICTS = (
    (SUPPORTED, "is supported", "are supported"),
    (REFUTED, "is refuted", "are refuted"),
    (NO_PRACTICAL_DIFFERENCE, "makes no practical difference", "make no practical difference"),
    (INCONCLUSIVE, "stays open", "stay open"),
    (NOT_MEASURED, "could not be measured", "could not be measured"),
)


def state_answer(judgements: Sequence[Judgement], subject: str, pairs: int) -> str:
    """Return the answer in one sentence: how many claims hold in every reading that was measured, and which."""
    counted = _count({judged.name: judged.summary for judged in judgements}, SUMMARIES)
    return f"Of {NUMBERS[len(CLAIMS)]} claims about {subject}, tried on {pairs} pairs of networks, {counted}."


def state_same_rate(judgements: Sequence[Judgement], lr: float) -> str:
    """Return in one sentence what the tutorial's own conditions give: one learning rate for both."""
    counted = _count({judged.name: judged.verdict for judged in judgements}, VERDICTS)
    return f"At the one learning rate {lr:g} for both, {counted}."


def _count(found: Mapping[str, str], wordings: Sequence[tuple[str, str, str]]) -> str:
    """Return how many claims have each finding, and which: `two hold (...) and one fails (...)`."""
    parts = []
    for finding, one, many in wordings:
        named = [SHORT[claim] for claim, of_claim in found.items() if of_claim == finding]
        if named:
            number = NUMBERS[len(named)] if len(named) < len(found) else f"all {NUMBERS[len(named)]}"
            parts.append(f"{number} {one if len(named) == 1 else many} ({', '.join(named)})")
    return " and ".join([", ".join(parts[:-1]), parts[-1]]) if len(parts) > 1 else parts[0]
