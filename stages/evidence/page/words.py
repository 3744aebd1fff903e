"""Sentences of the page: each is made from the numbers of the run."""

from collections.abc import Sequence

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
DOES = {
    SUPPORTED: "support",
    REFUTED: "refute",
    NO_PRACTICAL_DIFFERENCE: "find no practical difference in",
    INCONCLUSIVE: "leave open",
    NOT_MEASURED: "could not measure",
}
SUMMARIES = (  # of how many: one, or more
    (HOLDS, "holds", "hold"),
    (DEPENDS, "depends on the reading", "depend on the reading"),
    (FAILS, "fails", "fail"),
)


def state_answer(judgements: Sequence[Judgement], subject: str, pairs: int) -> str:
    """Return the answer in one sentence: how many claims got which verdict, and which."""
    parts = []
    for verdict, does in DOES.items():
        named = [SHORT[judged.name] for judged in judgements if judged.verdict == verdict]
        if named:
            parts.append(f"{does} {NUMBERS[len(named)]} ({', '.join(named)})")
    found = " and ".join([", ".join(parts[:-1]), parts[-1]]) if len(parts) > 1 else parts[0]
    return (
        f"Of {NUMBERS[len(CLAIMS)]} claims about {subject}, {pairs} pairs of networks at one learning rate {found}."
        f" {_sum_up(judgements)}"
    )


def _sum_up(judgements: Sequence[Judgement]) -> str:
    """Return in a sentence what all readings of the claims say together."""
    parts = []
    for summary, one, many in SUMMARIES:
        named = [SHORT[judged.name] for judged in judgements if judged.summary == summary]
        if named:
            parts.append(f"{NUMBERS[len(named)]} {one if len(named) == 1 else many} ({', '.join(named)})")
    return f"Read in every way that was measured, {', '.join(parts)}." if parts else ""
