"""The verdict on each claim.

supported               the interval excludes zero on the claimed side, the estimate is at least the smallest effect
                        that matters, and p after Holm's correction is below alpha
refuted                 the same on the other side
no practical difference the 1 - 2 alpha interval lies inside +- the smallest effect (two one-sided tests at alpha each,
                        Schuirmann 1987; at alpha = 0.05 this is the 90% interval)
inconclusive            none of these; the minimum detectable effect says what this many seeds could have shown
not measured            the settings, or the tables, rule the claim out; the note says why
"""

from dataclasses import dataclass, replace
from math import nan

import numpy as np

from stages.evidence.claims import CLAIMS, Claim
from stages.evidence.effects import Effect, NotMeasuredError, Rules
from stages.evidence.paired import PairedDifference, holm, minimum_detectable_effect, probability_better
from stages.evidence.trainings import PairedTrainings

SUPPORTED, REFUTED, INCONCLUSIVE = "supported", "refuted", "inconclusive"
NO_PRACTICAL_DIFFERENCE, NOT_MEASURED = "no practical difference", "not measured"
FEWEST_PAIRS = 8  # with fewer, the least p of a sign-flip test does not survive Holm's correction for six at 0.05


@dataclass(frozen=True)
class Judgement:
    """The verdict on one claim, and its reasons. Effects are bn - baseline in the claim's unit; NaN: there is none.

    `p_holm` is corrected for the claims that were measured. `probability_better` is the share of seeds where bn is
    better (ties count half) with Wilson's interval; a claim that only all seeds together decide has none. `n` counts
    pairs. The three `alive` fields leave out the seeds born dead in either arm.
    """

    name: str
    verdict: str = NOT_MEASURED
    estimate: float = nan
    ci_low: float = nan
    ci_high: float = nan
    p_value: float = nan
    p_holm: float = nan
    probability_better: float = nan
    probability_low: float = nan
    probability_high: float = nan
    minimum_detectable: float = nan
    n: int = 0
    smallest_effect: float = nan
    n_alive: int = 0
    estimate_alive: float = nan
    verdict_alive: str = NOT_MEASURED
    note: str = ""


def judge(trainings: PairedTrainings, rules: Rules) -> tuple[Judgement, ...]:
    """Return the judgement on each of CLAIMS, in their order, with what it would be without the seeds born dead."""
    judgements = _judge_once(trainings, rules)
    dead = trainings.born_dead()
    alive = _judge_alive(trainings.without(dead), rules) if dead else judgements
    merged = []
    for judged, rest in zip(judgements, alive, strict=True):
        merged.append(replace(judged, n_alive=rest.n, estimate_alive=rest.estimate, verdict_alive=rest.verdict))
    return tuple(merged)


def decide(claim: Claim, difference: PairedDifference, inner: tuple[float, float], p_holm: float, rules: Rules) -> str:
    """Return the verdict, by the rules at the top of this file; `inner` is the 1 - 2 alpha interval."""
    smallest = rules.smallest_effect[claim.name]
    sign = np.sign(difference.estimate)
    excludes_zero = np.sign(difference.ci_low) == sign == np.sign(difference.ci_high) != 0
    if excludes_zero and abs(difference.estimate) >= smallest and p_holm < rules.alpha:
        return SUPPORTED if sign == claim.better else REFUTED
    if difference.n >= FEWEST_PAIRS and -smallest < inner[0] and inner[1] < smallest:
        return NO_PRACTICAL_DIFFERENCE
    return INCONCLUSIVE


def _judge_alive(alive: PairedTrainings, rules: Rules) -> list[Judgement]:
    if len(alive.sweeps["baseline"].seeds) < 2:
        return [Judgement(claim.name) for claim in CLAIMS]
    return _judge_once(alive, rules)


def _judge_once(trainings: PairedTrainings, rules: Rules) -> list[Judgement]:
    measured: dict[str, Effect] = {}
    reasons: dict[str, str] = {}
    for claim in CLAIMS:
        try:
            measured[claim.name] = claim.measure(trainings, rules)
        except NotMeasuredError as reason:
            reasons[claim.name] = str(reason)
    corrected = holm([effect.difference.p_value for effect in measured.values()])
    p_holm = dict(zip(measured, corrected, strict=True))
    judgements = []
    for claim in CLAIMS:
        if claim.name in measured:
            judgements.append(_judgement(claim, measured[claim.name], float(p_holm[claim.name]), rules))
        else:
            smallest = rules.smallest_effect[claim.name]
            judgements.append(Judgement(claim.name, smallest_effect=smallest, note=reasons[claim.name]))
    return judgements


def _judgement(claim: Claim, effect: Effect, p_holm: float, rules: Rules) -> Judgement:
    difference = effect.difference
    share = low = high = nan
    if len(effect.by_pair):
        share, low, high = probability_better(effect.by_pair, claim.better, rules.alpha)
    return Judgement(
        claim.name,
        verdict=decide(claim, difference, effect.inner, p_holm, rules),
        estimate=difference.estimate,
        ci_low=difference.ci_low,
        ci_high=difference.ci_high,
        p_value=difference.p_value,
        p_holm=p_holm,
        probability_better=share,
        probability_low=low,
        probability_high=high,
        minimum_detectable=minimum_detectable_effect(effect.standard_error, rules.alpha),
        n=difference.n,
        smallest_effect=rules.smallest_effect[claim.name],
        note=effect.note,
    )
