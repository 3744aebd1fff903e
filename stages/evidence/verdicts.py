"""The verdict on each claim.

supported               the interval excludes zero on the claimed side, the estimate is at least the smallest effect
                        that matters, and p after Holm's correction is below alpha
refuted                 the same on the other side
no practical difference the 1 - 2 alpha interval lies inside +- the smallest effect (two one-sided tests at alpha each,
                        Schuirmann 1987; at alpha = 0.05 this is the 90% interval)
inconclusive            none of these; the minimum detectable effect says what this many seeds could have shown
not measured            the settings, or the tables, rule the claim out; the note says why

Each reading (stages/evidence/readings.py) has verdicts of its own. In all of them a claim

holds    is supported in every reading that is measured
fails    is supported in none
depends  neither
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from math import nan

import numpy as np

from stages.evidence.claims import CLAIMS, Claim
from stages.evidence.effects import Effect, NotMeasuredError, Rules, widen
from stages.evidence.paired import PairedDifference, holm, minimum_detectable_effect, probability_better
from stages.evidence.readings import READINGS
from stages.evidence.trainings import PairedTrainings

SUPPORTED, REFUTED, INCONCLUSIVE = "supported", "refuted", "inconclusive"
NO_PRACTICAL_DIFFERENCE, NOT_MEASURED = "no practical difference", "not measured"
OTHER_READINGS = ("best_rate", "itself", "definition")
HOLDS, DEPENDS, FAILS = "holds", "depends", "fails"
FEWEST_PAIRS = 8  # with fewer, the least p of a sign-flip test does not survive Holm's correction for six at 0.05


@dataclass(frozen=True)
class Judgement:
    """The verdict on one claim, and its reasons. Effects are bn - baseline in the claim's unit; NaN: there is none.

    `p_holm` is corrected for the claims that were measured. `probability_better` is the share of seeds where bn is
    better (ties count half) with Wilson's interval; a claim that only all seeds together decide has none. `n` counts
    pairs. The three `alive` fields leave out the seeds born dead in either arm.

    The numbers are those at the same rate; `best_rate`, `itself` and `definition` judge the same claim in those
    readings, and `summary` is what all readings say together.
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
    summary: str = NOT_MEASURED
    best_rate: "Judgement | None" = None
    itself: "Judgement | None" = None
    definition: "Judgement | None" = None

    @property
    def summary_in_words(self) -> str:
        """The summary, on what it depends where that is the definition, and no more than what it says."""
        of_definition = self.summary == DEPENDS and self.definition is not None and self.definition.n > 0
        if of_definition:
            return "depends on the definition"
        return "supported in no reading" if self.summary == FAILS else self.summary


def judge(trainings: PairedTrainings, rules: Rules) -> tuple[Judgement, ...]:
    """Return the judgement on each of CLAIMS, in their order, with what it would be without the seeds born dead."""
    judgements = _judge_once(trainings, rules, "same_rate")
    others = {reading: _judge_once(trainings, rules, reading) for reading in OTHER_READINGS}
    dead = trainings.born_dead()
    alive = _judge_alive(trainings.without(dead), rules) if dead else judgements
    merged = []
    for place, (judged, rest) in enumerate(zip(judgements, alive, strict=True)):
        own = {reading: found[place] for reading, found in others.items()}
        merged.append(
            replace(
                judged,
                n_alive=rest.n,
                estimate_alive=rest.estimate,
                verdict_alive=rest.verdict,
                summary=summarize([judged.verdict, *(other.verdict for other in own.values())]),
                best_rate=own["best_rate"],
                itself=own["itself"],
                definition=own["definition"],
            )
        )
    return tuple(merged)


def summarize(verdicts: Sequence[str]) -> str:
    """Return what the verdicts of all readings on a claim say together.

    That a claim holds needs no correction for the number of readings, for it asks for all of them at once
    (intersection-union test, Berger 1982).
    """
    supported = [verdict == SUPPORTED for verdict in verdicts if verdict != NOT_MEASURED]
    if not supported:
        return NOT_MEASURED
    if all(supported):
        return HOLDS
    return DEPENDS if any(supported) else FAILS


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
    return _judge_once(alive, rules, "same_rate")


def _judge_once(trainings: PairedTrainings, rules: Rules, reading: str) -> list[Judgement]:
    """Judge the claims in one reading; Holm's correction is for those that it measures."""
    measured, reasons = _measure(trainings, rules, reading)
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


def _measure(trainings: PairedTrainings, rules: Rules, reading: str) -> tuple[dict[str, Effect], dict[str, str]]:
    """Return the effects of the claims that can be measured in a reading, and of the others why they cannot."""
    measured: dict[str, Effect] = {}
    reasons: dict[str, str] = {}
    for claim in CLAIMS:
        try:
            read = READINGS[reading](trainings)  # for each claim anew: the curves that it has read are let go with it
            if reading not in claim.measures:
                raise NotMeasuredError("this reading does not apply")
            measured[claim.name] = widen(claim.measures[reading](read, rules), rules)
        except NotMeasuredError as reason:
            reasons[claim.name] = str(reason)
    return measured, reasons


def _judgement(claim: Claim, effect: Effect, p_holm: float, rules: Rules) -> Judgement:
    difference = effect.difference
    share = low = high = nan
    if len(effect.by_pair):
        share, low, high = probability_better(effect.by_pair, claim.better, rules.alpha, rules.widening(difference.n))
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
