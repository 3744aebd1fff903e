"""The six claims of the tutorials about batch normalization, and the verdict on each.

supported               the interval excludes zero on the claimed side, the estimate is at least the smallest effect
                        that matters, and p after Holm's correction is below alpha
refuted                 the same on the other side
no practical difference the 1 - 2 alpha interval lies inside +- the smallest effect (two one-sided tests at alpha each,
                        Schuirmann 1987; at alpha = 0.05 this is the 90% interval)
inconclusive            none of these; the minimum detectable effect says what this many seeds could have shown
not measured            the settings, or the tables, rule the claim out; the note says why
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from math import inf, nan

import numpy as np
import pandas as pd

from stages.evidence import endpoints
from stages.evidence.paired import (
    PairedDifference,
    holm,
    minimum_detectable_effect,
    paired_difference,
    paired_interval,
    paired_statistic,
    probability_better,
)
from stages.history.wording import BATCH_NORM, Contrast

SUPPORTED, REFUTED, INCONCLUSIVE = "supported", "refuted", "inconclusive"
NO_PRACTICAL_DIFFERENCE, NOT_MEASURED = "no practical difference", "not measured"
FEWEST_PAIRS = 8  # with fewer, the least p of a sign-flip test does not survive Holm's correction for six at 0.05
ROWS_PER_PARAMETER = 10  # a network with fewer parameters than rows / 10 cannot overfit: there is nothing to regularize


@dataclass(frozen=True)
class Claim:
    """One claim: what is said of bn, in which unit it is measured, and which sign of bn - baseline it claims."""

    name: str
    predicate: str
    unit: str
    better: int

    def wording(self, contrast: Contrast) -> str:
        """Return the claim as a sentence."""
        return f"{contrast.subject} {self.predicate}"


CLAIMS = (
    Claim("faster_training", "reaches a given accuracy in fewer epochs.", "epochs", -1),
    Claim("higher_accuracy", "ends at a higher validation accuracy.", "accuracy", 1),
    Claim("steadier", "makes validation accuracy fluctuate less.", "accuracy/epoch", -1),
    Claim("less_covariate_shift", "reduces internal covariate shift.", "ln ratio", -1),
    Claim("regularizes", "narrows the gap between training and validation loss.", "nats", -1),
    Claim("higher_learning_rates", "allows higher learning rates.", "decades", 1),
)


@dataclass(frozen=True)
class Experiment:
    """What the claims are judged on: the tables of both arms, and the settings that can rule a claim out.

    `majority` is the majority class's share of the validation rows, `parameters` the weights and biases in the dense
    layers of the larger network; `contrast` says what the arms differ in.
    """

    histories: Mapping[str, pd.DataFrame]
    diagnostics: Mapping[str, pd.DataFrame]
    lr: float
    majority: float
    train_rows: int
    batch_size: int
    parameters: int
    contrast: Contrast = BATCH_NORM

    def without(self, seeds: set[int]) -> "Experiment":
        """Return the experiment without some seeds, in both arms."""
        histories, diagnostics = (
            {arm: table[~table["seed"].isin(seeds)] for arm, table in tables.items()}
            for tables in (self.histories, self.diagnostics)
        )
        return replace(self, histories=histories, diagnostics=diagnostics)


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


@dataclass(frozen=True)
class Rules:
    """How to judge: level, resamples, and of each claim the smallest effect that matters, in its unit."""

    smallest_effect: Mapping[str, float]
    alpha: float = 0.05
    resamples: int = 10_000


@dataclass(frozen=True)
class Effect:
    """What was measured of one claim: the difference, its 1 - 2 alpha interval, and what else a verdict shows."""

    difference: PairedDifference
    inner: tuple[float, float]
    standard_error: float
    probability: tuple[float, float, float]
    note: str


class NotMeasuredError(ValueError):
    """The settings or the tables rule a claim out; the message says why in at most 60 characters."""


def judge(experiment: Experiment, rules: Rules) -> tuple[Judgement, ...]:
    """Return the judgement on each of CLAIMS, in their order, with what it would be without the seeds born dead."""
    judgements = _judge_once(experiment, rules)
    dead = set().union(*(endpoints.seeds_born_dead(table) for table in experiment.diagnostics.values()))
    alive = _judge_alive(experiment, dead, rules) if dead else judgements
    return tuple(
        replace(all_seeds, n_alive=rest.n, estimate_alive=rest.estimate, verdict_alive=rest.verdict)
        for all_seeds, rest in zip(judgements, alive, strict=True)
    )


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


def count_parameters(features: int, hidden: Sequence[int], classes: int = 2) -> int:
    """Return the number of weights and biases of the dense layers; two classes share one logit."""
    outputs = 1 if classes == 2 else classes
    return sum((inputs + 1) * units for inputs, units in pairwise([features, *hidden, outputs]))


def _judge_alive(experiment: Experiment, dead: set[int], rules: Rules) -> list[Judgement]:
    alive = experiment.without(dead)
    if alive.histories["baseline"]["seed"].nunique() < 2:
        return [Judgement(claim.name) for claim in CLAIMS]
    return _judge_once(alive, rules)


def _judge_once(experiment: Experiment, rules: Rules) -> list[Judgement]:
    measured: dict[str, Effect] = {}
    reasons: dict[str, str] = {}
    for claim in CLAIMS:
        try:
            measured[claim.name] = _MEASURE[claim.name](experiment, claim, rules)
        except NotMeasuredError as reason:
            reasons[claim.name] = str(reason)
    p_holm = dict(zip(measured, holm([effect.difference.p_value for effect in measured.values()]), strict=True))
    return [
        _judgement(claim, measured[claim.name], float(p_holm[claim.name]), rules)
        if claim.name in measured
        else Judgement(claim.name, smallest_effect=rules.smallest_effect[claim.name], note=reasons[claim.name])
        for claim in CLAIMS
    ]


def _judgement(claim: Claim, effect: Effect, p_holm: float, rules: Rules) -> Judgement:
    difference = effect.difference
    return Judgement(
        claim.name,
        verdict=decide(claim, difference, effect.inner, p_holm, rules),
        estimate=difference.estimate,
        ci_low=difference.ci_low,
        ci_high=difference.ci_high,
        p_value=difference.p_value,
        p_holm=p_holm,
        **dict(zip(("probability_better", "probability_low", "probability_high"), effect.probability, strict=True)),
        minimum_detectable=minimum_detectable_effect(effect.standard_error, rules.alpha),
        n=difference.n,
        smallest_effect=rules.smallest_effect[claim.name],
        note=effect.note,
    )


def _faster_training(experiment: Experiment, claim: Claim, rules: Rules) -> Effect:
    histories, lr = experiment.histories, experiment.lr
    if histories["bn"]["epoch"].max() <= max(endpoints.EPOCHS_RUNNING, rules.smallest_effect[claim.name]):
        raise NotMeasuredError("too few epochs for a difference that matters")
    target = endpoints.shared_target(histories["baseline"], histories["bn"], lr, experiment.majority)
    gain = (target - experiment.majority) / endpoints.SHARE_OF_BEST_GAIN
    if gain < rules.smallest_effect["higher_accuracy"]:  # a target within the noise would time the noise
        raise NotMeasuredError("neither arm gains over the majority class")
    without, with_bn = (endpoints.share_that_reached(histories[arm], lr, target) for arm in ("baseline", "bn"))
    note = f"share of seeds that reached accuracy {target:.3f}: "
    note += experiment.contrast.compare(f"{without:.0%}", f"{with_bn:.0%}")
    return _paired_effect(*_both(endpoints.epochs_to_target, experiment, target), claim, rules, note)


def _higher_accuracy(experiment: Experiment, claim: Claim, rules: Rules) -> Effect:
    return _paired_effect(*_both(endpoints.final_accuracy, experiment), claim, rules)


def _steadier(experiment: Experiment, claim: Claim, rules: Rules) -> Effect:
    changes = _both(endpoints.fluctuation, experiment)
    still = (f"{(change == 0).mean():.0%}" for change in changes)
    spread = (f"{accuracy.std(ddof=1):.3f}" for accuracy in _both(endpoints.final_accuracy, experiment))
    note = "share of seeds whose accuracy never moves: {}; sd over seeds: {} and {}"
    return _paired_effect(*changes, claim, rules, note.format(experiment.contrast.compare(*still), *spread))


def _less_covariate_shift(experiment: Experiment, claim: Claim, rules: Rules) -> Effect:
    diagnostics = [experiment.diagnostics[arm] for arm in ("baseline", "bn")]
    cosines = (f"{table['gradient_cosine'].mean():.4f}" for table in diagnostics)
    note = f"mean gradient cosine {experiment.contrast.compare(*cosines)}"
    return _paired_effect(*endpoints.log_covariate_shift(*diagnostics), claim, rules, note)


def _regularizes(experiment: Experiment, claim: Claim, rules: Rules) -> Effect:
    parameters, rows = experiment.parameters, experiment.train_rows
    if parameters * ROWS_PER_PARAMETER < rows:
        raise NotMeasuredError(f"{parameters} parameters cannot overfit {rows} rows")
    # What regularizes in batch norm is the noise of the batch (Luo et al. 2019).
    if experiment.contrast.kind == "batch" and experiment.batch_size >= rows:
        raise NotMeasuredError("a full batch has no batch noise")
    return _paired_effect(*_both(endpoints.generalization_gap, experiment), claim, rules)


def _higher_learning_rates(experiment: Experiment, claim: Claim, rules: Rules) -> Effect:
    rates, without = endpoints.accuracy_by_rate(experiment.histories["baseline"])
    _, with_bn = endpoints.accuracy_by_rate(experiment.histories["bn"])
    if rates[-1] <= experiment.lr:
        raise NotMeasuredError("lr_sweep has no rate above lr")
    _require_pairs(len(without))
    gains = [accuracy.mean(axis=0) - experiment.majority for accuracy in (without, with_bn)]  # (L,) each
    if min(gain.max() for gain in gains) < rules.smallest_effect["higher_accuracy"]:  # half of nothing is nothing
        raise NotMeasuredError("an arm gains over the majority class at no rate")
    logs = [endpoints.log_half_gain_rate(gain, rates) for gain in gains]
    censored = [log >= np.log10(rates[-1]) for log in logs]
    if all(censored):
        raise NotMeasuredError("neither arm loses half of its gain in the sweep")
    difference, intervals, standard_error = paired_statistic(
        without,
        with_bn,
        lambda means: endpoints.log_half_gain_rate(means - experiment.majority, rates),
        alphas=(rules.alpha, 2 * rules.alpha),
        resamples=rules.resamples,
    )
    note = f"half-gain rate {experiment.contrast.compare(*(_format_rate(log, rates[-1]) for log in logs))}"
    # Where an arm does not fail within the sweep, the difference is a bound, and a bound near zero shows no equality.
    inner = (-inf, inf) if any(censored) else intervals[1]
    return Effect(difference, inner, standard_error, (nan, nan, nan), note)


_MEASURE: dict[str, Callable[[Experiment, Claim, Rules], Effect]] = {
    "faster_training": _faster_training,
    "higher_accuracy": _higher_accuracy,
    "steadier": _steadier,
    "less_covariate_shift": _less_covariate_shift,
    "regularizes": _regularizes,
    "higher_learning_rates": _higher_learning_rates,
}


def _both(
    endpoint: Callable[..., np.ndarray], experiment: Experiment, *arguments: float
) -> tuple[np.ndarray, np.ndarray]:
    """Return an endpoint of both arms at the headline rate, (S,) each."""
    without, with_bn = (endpoint(experiment.histories[arm], experiment.lr, *arguments) for arm in ("baseline", "bn"))
    return without, with_bn


def _paired_effect(baseline: np.ndarray, bn: np.ndarray, claim: Claim, rules: Rules, note: str = "") -> Effect:
    """Compare the arms seed by seed, (S,) each; a pair with a value that is not finite is left out, and counted."""
    kept = np.isfinite(baseline) & np.isfinite(bn)
    if not kept.all():
        note = "; ".join([f"{(~kept).sum()} of {len(kept)} pairs left out: no finite value", *([note] if note else [])])
    _require_pairs(int(kept.sum()))
    pair = baseline[kept], bn[kept]
    differences = pair[1] - pair[0]
    return Effect(
        paired_difference(*pair, alpha=rules.alpha, resamples=rules.resamples),
        paired_interval(*pair, alpha=2 * rules.alpha),
        float(differences.std(ddof=1) / np.sqrt(len(differences))),
        probability_better(differences, claim.better, rules.alpha),
        note,
    )


def _require_pairs(n: int) -> None:
    if n < 2:
        raise NotMeasuredError("fewer than two pairs have a finite value")


def _format_rate(log_rate: float, top: float) -> str:
    return f"{10**log_rate:.3g}" + (" (top of the sweep)" if log_rate >= np.log10(top) else "")
