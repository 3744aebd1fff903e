"""The six claims of the tutorials about batch normalization, a row each, and how each is measured.

A new claim is an endpoint (stages/evidence/endpoints.py), a function here that compares the arms by it, a row of
CLAIMS, and its smallest effect that matters in params.yaml.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from math import inf

import numpy as np
import pandas as pd

from stages import ARMS
from stages.evidence import endpoints
from stages.evidence.effects import Effect, NotMeasuredError, Rules, compare_seeds, require_pairs
from stages.evidence.paired import paired_statistic
from stages.evidence.readings import Reading
from stages.evidence.trainings import Curves, PairedTrainings
from stages.history.wording import Contrast

ROWS_PER_PARAMETER = 10  # a network with fewer parameters than rows / 10 cannot overfit: there is little to regularize

FEWEST_EPOCHS_TO_FLUCTUATE = 5  # their last half has three changes


def measure_faster_training(reading: Reading, rules: Rules) -> Effect:
    """Compare the epochs until both arms' shared target is reached."""
    majority, contrast = reading.trainings.majority, reading.trainings.contrast
    without, with_bn = (curves.val_accuracy for curves in reading.pair)  # (E, S) each
    if len(with_bn) - 1 <= max(endpoints.EPOCHS_RUNNING, rules.smallest_effect["faster_training"]):
        raise NotMeasuredError("too few epochs for a difference that matters")
    # A target within the noise would time the noise.
    if endpoints.best_gain(without, with_bn, majority) < rules.smallest_effect["higher_accuracy"]:
        raise NotMeasuredError("neither arm gains over the majority class")
    target = endpoints.shared_target(without, with_bn, majority)
    reached = [f"{endpoints.share_that_reached(accuracy, target):.0%}" for accuracy in (without, with_bn)]
    note = f"share of seeds that reached accuracy {target:.3f}: {contrast.compare(*reached)}"
    return reading.compare(lambda curves: endpoints.epochs_to_target(curves.val_accuracy, target), rules, note)


def measure_higher_accuracy(reading: Reading, rules: Rules) -> Effect:
    """Compare the accuracies of the last epochs."""
    return reading.compare(lambda curves: endpoints.final_accuracy(curves.val_accuracy), rules)


def measure_steadier(reading: Reading, rules: Rules) -> Effect:
    """Compare the fluctuations of accuracy; beside them, how far the seeds of an arm are spread at the end."""
    if len(reading.pair[0].val_accuracy) - 1 < FEWEST_EPOCHS_TO_FLUCTUATE:
        raise NotMeasuredError("too few epochs for a fluctuation")
    still, spread = [], []
    for curves in reading.pair:
        still.append(f"{(_fluctuation(curves) == 0).mean():.0%}")
        spread.append(f"{endpoints.final_accuracy(curves.val_accuracy).std(ddof=1):.3f}")
    note = f"share of seeds whose accuracy never moves: {reading.trainings.contrast.compare(*still)}"
    return reading.compare(_fluctuation, rules, f"{note}; sd over seeds: {' and '.join(spread)}")


def measure_gradient_shift(reading: Reading, rules: Rules) -> Effect:
    """Compare the logs of the covariate shift, gradient view; beside them, the cosine of the two gradients."""
    trainings = reading.trainings
    cosines = [f"{pd.Series(cosine.ravel()).mean():.4f}" for cosine in trainings.inside("gradient_cosine")]
    note = f"mean gradient cosine {trainings.contrast.compare(*cosines)}"
    return _compare_shifts("covariate_shift", trainings, rules, note)


def measure_input_shift(reading: Reading, rules: Rules) -> Effect:
    """Compare the logs of the covariate shift, distribution view (Ioffe & Szegedy 2015)."""
    return _compare_shifts("input_shift", reading.trainings, rules)


def _compare_shifts(name: str, trainings: PairedTrainings, rules: Rules, note: str = "") -> Effect:
    without, with_bn = trainings.inside(name)  # (E - 1, S) each
    if len(with_bn) < 2:
        raise NotMeasuredError("a single epoch is no course of a training")
    pair = endpoints.log_covariate_shift(without, with_bn)
    return compare_seeds(pair, rules, note)


def measure_regularizes(reading: Reading, rules: Rules) -> Effect:
    """Compare the gaps between validation and training loss after the last epoch; beside it at equal training loss."""
    trainings = reading.trainings
    parameters, rows = trainings.parameters, trainings.train_rows
    # What regularizes in batch norm is the noise of the batch (Luo et al. 2019).
    if trainings.contrast.kind == "batch" and trainings.batch_size >= rows:
        raise NotMeasuredError("a full batch has no batch noise")
    notes = []
    if parameters * ROWS_PER_PARAMETER < rows:
        notes.append(f"{parameters} parameters cannot overfit {rows} rows")
    notes += _at_equal_loss(reading, rules)
    return reading.compare(_generalization_gap, rules, "; ".join(notes))


def _at_equal_loss(reading: Reading, rules: Rules) -> list[str]:
    """Say how far the gaps differ when either arm's mean training loss first passes the higher of the final ones."""
    mark = max(float(curves.train_loss[-1].mean()) for curves in reading.pair)
    if not np.isfinite(mark):
        return []
    gaps = []
    for curves in reading.pair:
        epoch = int((curves.train_loss.mean(axis=-1) <= mark).argmax())
        gaps.append(curves.val_loss[epoch] - curves.train_loss[epoch])
    differences = gaps[1] - gaps[0]
    if not np.isfinite(differences).all():
        return []
    mean, low, high = rules.mean_interval(differences)
    return [f"at equal training loss {mark:.3f}: {mean:+.3g}, interval {low:+.3g} to {high:+.3g}"]


def measure_higher_learning_rates(reading: Reading, rules: Rules) -> Effect:
    """Compare the rates at which an arm still has half of the best gain of either.

    Beside it the rates with half of its own best gain, and the best rates.
    """
    trainings = reading.trainings
    rates, majority = trainings.sweeps["bn"].rates, trainings.majority
    if rates[-1] <= trainings.lr:
        raise NotMeasuredError("lr_sweep has no rate above lr")
    without, with_bn = (trainings.sweeps[arm].final_accuracy for arm in ARMS)  # (S, L) each
    require_pairs(len(without))
    gains = [accuracy.mean(axis=0) - majority for accuracy in (without, with_bn)]  # (L,) each
    # Half of nothing is nothing.
    if min(gain.max() for gain in gains) < rules.smallest_effect["higher_accuracy"]:
        raise NotMeasuredError("an arm gains over the majority class at no rate")
    shared = endpoints.shared_mark(*gains)
    logs = [float(endpoints.log_rate_at_mark(gain, shared, rates)) for gain in gains]
    censored = [log >= np.log10(rates[-1]) for log in logs]
    if all(censored):
        raise NotMeasuredError("neither arm loses half of its gain in the sweep")

    def difference_of_logs(without: np.ndarray, with_bn: np.ndarray) -> np.ndarray:
        pair = without - majority, with_bn - majority
        mark = endpoints.shared_mark(*pair)
        baseline, bn = (endpoints.log_rate_at_mark(gain, mark, rates) for gain in pair)
        return bn - baseline

    difference, intervals, standard_error = paired_statistic(
        without, with_bn, difference_of_logs, alphas=(rules.alpha, 2 * rules.alpha), resamples=rules.resamples
    )
    # Where an arm does not fail within the sweep, the difference is a bound, and a bound near zero shows no equality.
    inner = (-inf, inf) if any(censored) else intervals[1]
    own = [float(endpoints.log_rate_at_mark(gain, gain.max() / 2, rates)) for gain in gains]
    best = [float(np.log10(rates[gain.argmax()])) for gain in gains]
    top = rates[-1]
    found = {"half of the better arm's gain left at rate": logs, "of its own": own, "best rate": best}
    words = [f"{what} {trainings.contrast.compare(*_format_rates(pair, top))}" for what, pair in found.items()]
    return Effect(difference, inner, standard_error, "; ".join(words))


def _generalization_gap(curves: Curves) -> np.ndarray:
    return endpoints.generalization_gap(curves.train_loss, curves.val_loss)


def _fluctuation(curves: Curves) -> np.ndarray:
    return endpoints.fluctuation(curves.val_accuracy, curves.val_loss)


def _format_rates(log_rates: Sequence[float], top: float) -> list[str]:
    words = []
    for log_rate in log_rates:
        end = " (top of the sweep)" if log_rate >= np.log10(top) else ""
        words.append(f"{10**log_rate:.3g}{end}")
    return words


Measure = Callable[[Reading, Rules], Effect]
ALL_READINGS = ("same_rate", "best_rate", "itself")


@dataclass(frozen=True)
class Claim:
    """One claim: what is said of bn, in which unit, with which sign of bn - baseline, and how it is measured.

    `measures` maps the readings that can say something of the claim to what measures it there. It raises
    NotMeasuredError where the settings or the tables rule the claim out.
    """

    name: str
    predicate: str
    unit: str
    better: int
    measures: Mapping[str, Measure]

    def wording(self, contrast: Contrast) -> str:
        """Return the claim as a sentence."""
        return f"{contrast.subject} {self.predicate}"


CLAIMS = (
    Claim(
        "faster_training",
        "reaches a given accuracy in fewer epochs.",
        unit="epochs",
        better=-1,
        measures=dict.fromkeys(ALL_READINGS, measure_faster_training),
    ),
    Claim(
        "higher_accuracy",
        "ends at a higher validation accuracy.",
        unit="accuracy",
        better=1,
        measures=dict.fromkeys(ALL_READINGS, measure_higher_accuracy),
    ),
    Claim(
        "steadier",
        "makes validation accuracy fluctuate less.",
        unit="accuracy/epoch",
        better=-1,
        measures=dict.fromkeys(ALL_READINGS, measure_steadier),
    ),
    Claim(
        "less_covariate_shift",
        "reduces internal covariate shift.",
        unit="ln ratio",
        better=-1,
        # The insides of networks are measured at `lr` alone, by both definitions.
        measures={"same_rate": measure_gradient_shift, "definition": measure_input_shift},
    ),
    Claim(
        "regularizes",
        "narrows the gap between training and validation loss.",
        unit="nats",
        better=-1,
        measures=dict.fromkeys(ALL_READINGS, measure_regularizes),
    ),
    Claim(
        "higher_learning_rates",
        "allows higher learning rates.",
        unit="decades",
        better=1,
        measures={"same_rate": measure_higher_learning_rates},  # it is about all rates at once
    ),
)
