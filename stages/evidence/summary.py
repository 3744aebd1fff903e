"""What a comparison says in numbers: for metrics.json, claims.csv, MLflow, and the terminal."""

import math
import textwrap
from collections.abc import Mapping, Sequence
from dataclasses import fields
from itertools import product
from typing import Any

import numpy as np
import pandas as pd

from stages import ARMS
from stages.evidence.claims import CLAIMS
from stages.evidence.comparison import Comparison
from stages.evidence.readings import describe_best_rates
from stages.evidence.verdicts import (
    DEPENDS,
    FEWEST_PAIRS,
    INCONCLUSIVE,
    NO_PRACTICAL_DIFFERENCE,
    NOT_MEASURED,
    OTHER_READINGS,
    Judgement,
)
from stages.history.wording import Contrast

COLUMNS = 80  # of a terminal
SHORT = {NO_PRACTICAL_DIFFERENCE: "no pract. diff.", NOT_MEASURED: "-"}
UNITS = {claim.name: claim.unit for claim in CLAIMS}
TITLES = {"best_rate": "best rates", "itself": "network itself", "definition": "other definition"}
READING_NAMES = ("verdict", "estimate", "ci_low", "ci_high", "p_holm", "n", "note")


def collect_metrics(comparison: Comparison) -> dict[str, dict[str, Any]]:
    """Return the content of metrics.json; a number that is not finite is None, for JSON has no NaN."""
    metrics: dict[str, dict[str, Any]] = {}
    for arm, final in comparison.finals.items():
        means = final.mean(skipna=False)  # of a network that has diverged too: the mean is then no number
        metrics[arm] = _finite(dict(means))
    difference = comparison.difference
    metrics["difference"] = {
        "val_accuracy": difference.estimate,
        "ci_low": difference.ci_low,
        "ci_high": difference.ci_high,
        "p_value": difference.p_value,
    } | _compare_losses(comparison)
    metrics["claims"] = collect_claims(comparison.judgements)
    return metrics


def _compare_losses(comparison: Comparison) -> dict[str, float | None]:
    """Return the mean difference in final validation loss, in nats, with its interval; None where it diverged."""
    baseline, bn = (comparison.finals[arm]["val_loss"].to_numpy() for arm in ARMS)
    with np.errstate(invalid="ignore"):  # inf - inf
        mean, low, high = comparison.rules.mean_interval(bn - baseline)
    return _finite({"val_loss": mean, "val_loss_ci_low": low, "val_loss_ci_high": high})


def collect_claims(judgements: Sequence[Judgement]) -> dict[str, dict[str, Any]]:
    """Return the part of metrics.json on the claims."""
    claims: dict[str, dict[str, Any]] = {}
    for judged in judgements:
        claim = _verdict_and(judged, "estimate", "ci_low", "ci_high", "p_holm") | {"summary": judged.summary}
        for reading in ("best_rate", "itself"):  # the columns of `dvc exp show` are few
            other = other_readings(judged)[reading]
            claim[reading] = _verdict_and(other, "estimate", "ci_low", "ci_high")
        claims[judged.name] = claim
    return claims


def other_readings(judged: Judgement) -> dict[str, Judgement]:
    """Return the judgements on the same claim in the readings beside the same rate."""
    return {reading: getattr(judged, reading) or Judgement(judged.name) for reading in OTHER_READINGS}


def collect_tags(judgements: Sequence[Judgement]) -> dict[str, str]:
    """Return the verdicts as tags of MLflow's run."""
    tags: dict[str, str] = {}
    for judged in judgements:
        name = f"claims.{judged.name}"
        tags |= {name: judged.verdict, f"{name}.summary": judged.summary}
        tags[f"{name}.without_born_dead"] = judged.verdict_alive
        for reading in ("best_rate", "itself"):
            other = other_readings(judged)[reading]
            tags[f"{name}.{reading}"] = other.verdict
    return tags


def collect_numbers(comparison: Comparison) -> dict[str, float | None]:
    """Return all numbers of the comparison under dotted keys: those of metrics.json, and the details of claims.csv."""
    return flatten_numbers(collect_metrics(comparison)) | collect_details(comparison.judgements)


def flatten_numbers(metrics: Mapping[str, Any], prefix: str = "") -> dict[str, float | None]:
    """Return the numbers of metrics.json under dotted keys, as `dvc metrics` has them; verdicts are left out."""
    flat: dict[str, float | None] = {}
    for key, value in metrics.items():
        if isinstance(value, Mapping):
            flat |= flatten_numbers(value, f"{prefix}{key}.")
        elif not isinstance(value, str):
            flat[prefix + key] = value
    return flat


def collect_details(judgements: Sequence[Judgement]) -> dict[str, float | None]:
    """Return what claims.csv has beyond metrics.json of the claims that were measured, under dotted keys."""
    names = ("probability_better", "probability_low", "probability_high", "minimum_detectable", "estimate_alive")
    details: dict[str, float | None] = {}
    for judged, name in product(judgements, names):
        value = getattr(judged, name)
        if math.isfinite(value):
            details[f"claims.{judged.name}.{name}"] = value
    return details


def tabulate_claims(judgements: Sequence[Judgement], contrast: Contrast) -> pd.DataFrame:
    """Return one row per claim: its wording and unit, and all that was found; READING_NAMES for each other reading."""
    rows = []
    for claim, judged in zip(CLAIMS, judgements, strict=True):
        row: dict[str, Any] = {"name": claim.name, "wording": claim.wording(contrast), "unit": claim.unit}
        row |= {field.name: getattr(judged, field.name) for field in fields(judged)}
        for reading, other in other_readings(judged).items():
            del row[reading]
            row |= {f"{reading}_{name}": getattr(other, name) for name in READING_NAMES}
        rows.append(row)
    return pd.DataFrame(rows)


def describe_power(judged: Judgement) -> str:
    """Say what an inconclusive comparison could have found."""
    if judged.n < FEWEST_PAIRS:
        return f"{judged.n} pairs are too few for any verdict"
    return f"{judged.n} pairs detect {judged.minimum_detectable:.3g} with 80% power, uncorrected"


def format_p(p_value: float) -> str:
    """Return `= 0.034`, or `< 0.001`: the test has no finer steps than its resamples."""
    return "< 0.001" if p_value < 0.001 else f"= {p_value:.2g}"


def format_report(comparison: Comparison) -> str:
    """Return the tables that end a run in the terminal, at most 80 columns wide."""
    trainings, difference = comparison.trainings, comparison.difference
    labels = trainings.contrast.labels
    width = max(map(len, labels.values()))
    lines = [f"Final validation accuracy at learning rate {trainings.lr:g}, mean over {difference.n} paired seeds"]
    for arm, label in labels.items():
        lines.append(f"  {label:{width}} {comparison.pairs[arm].mean():8.4f}")
    interval = f"{100 * comparison.confidence:g}% [{difference.ci_low:+.4f}, {difference.ci_high:+.4f}]"
    found = f"{difference.estimate:+8.4f} {interval}, p {format_p(difference.p_value)}"
    lines.append(f"  {'difference':{width}} {found}")
    if comparison.pair_rows:
        lines += textwrap.wrap(comparison.describe_rows(), COLUMNS, initial_indent="  ", subsequent_indent="  ")
    for arm, final in comparison.finals.items():
        finite = np.isfinite(final).all(axis=1)
        lost = int((~finite).sum())
        if lost:
            lines.append(f"  {arm}: {lost} of {len(final)} seeds ended with a loss that is not finite")
    rates = describe_best_rates(trainings)
    verdicts = format_verdicts(comparison.judgements, comparison.confidence, rates)
    return "\n".join([*lines, "", *verdicts])


def format_verdicts(judgements: Sequence[Judgement], confidence: float, best_rates: str) -> list[str]:
    """Return the verdicts of all readings, and under them their numbers and what qualifies them.

    `best_rates` says in words which rates were selected.
    """
    lines = [f"{'verdict':22}{'same rate':16}{'best rates':16}{'network itself':16}in all"]
    for judged in judgements:
        own = other_readings(judged)
        verdicts = [judged.verdict, own["best_rate"].verdict, own["itself"].verdict, judged.summary]
        words = [f"{SHORT.get(verdict, verdict):16}" for verdict in verdicts]
        lines.append(f"{judged.name:22}{''.join(words)}".rstrip())
    lines += ["", *_format_numbers(judgements, "same rate", confidence)]
    for reading, name in TITLES.items():
        others = [other_readings(judged)[reading] for judged in judgements]
        lines += _format_numbers(others, name, confidence)
    lines += ["", *textwrap.wrap(f"best rates: {best_rates}", COLUMNS, subsequent_indent="  ")]
    for judged in judgements:
        for note in _qualify(judged):
            lines += textwrap.wrap(f"{judged.name}: {note}", COLUMNS, subsequent_indent="  ")
    return lines


def _format_numbers(judgements: Sequence[Judgement], name: str, confidence: float) -> list[str]:
    """Return a table with a row for each claim that was measured, or nothing where none was."""
    measured = [judged for judged in judgements if judged.n]
    if not measured:
        return []
    interval = f"{100 * confidence:g}% interval"
    lines = [f"{f'{name}, bn - baseline':30} {'estimate':>9} {interval:>21} {'p (Holm)':>8} {'wins':>5}"]
    for judged in measured:
        what = f"{judged.name}, {UNITS[judged.name]}"
        interval = f"[{judged.ci_low:+.3g}, {judged.ci_high:+.3g}]"
        wins = "" if math.isnan(judged.probability_better) else f"{judged.probability_better:.0%}"
        line = f"{what:30} {judged.estimate:+9.3g} {interval:>21} {judged.p_holm:8.2g} {wins:>5}"
        lines.append(line.rstrip())
    return lines


def _qualify(judged: Judgement) -> list[str]:
    """Return what a verdict at the same rate leaves open."""
    notes = []
    other = other_readings(judged)["definition"]
    if other.n:
        decides = ", on which it depends" if judged.summary == DEPENDS else ""
        notes.append(f"{other.verdict} by its other definition{decides}")
    if judged.n == 0:
        notes.append(f"not measured: {judged.note}")
    if judged.verdict == INCONCLUSIVE:
        notes.append(describe_power(judged))
    if judged.verdict_alive != judged.verdict:
        notes.append(f"{judged.verdict_alive} without the seeds born dead")
    return notes


def _verdict_and(judged: Judgement, *names: str) -> dict[str, Any]:
    return {"verdict": judged.verdict} | _finite({name: getattr(judged, name) for name in names})


def _finite(values: Mapping[str, float]) -> dict[str, float | None]:
    return {name: float(value) if math.isfinite(value) else None for name, value in values.items()}
