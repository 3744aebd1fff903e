"""What a comparison says in numbers: for metrics.json, claims.csv, MLflow, and the terminal."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from itertools import product
from typing import Any

import numpy as np
import pandas as pd

from stages.evidence.claims import CLAIMS
from stages.evidence.comparison import Comparison
from stages.evidence.verdicts import FEWEST_PAIRS, INCONCLUSIVE, Judgement
from stages.history.wording import Contrast


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
    }
    metrics["claims"] = collect_claims(comparison.judgements)
    return metrics


def collect_claims(judgements: Sequence[Judgement]) -> dict[str, dict[str, Any]]:
    """Return the part of metrics.json on the claims."""
    claims: dict[str, dict[str, Any]] = {}
    for judged in judgements:
        numbers = {name: getattr(judged, name) for name in ("estimate", "ci_low", "ci_high", "p_holm")}
        claims[judged.name] = {"verdict": judged.verdict} | _finite(numbers)
    return claims


def collect_tags(judgements: Sequence[Judgement]) -> dict[str, str]:
    """Return the verdicts as tags of MLflow's run."""
    tags = {f"claims.{judged.name}": judged.verdict for judged in judgements}
    return tags | {f"claims.{judged.name}.without_born_dead": judged.verdict_alive for judged in judgements}


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
    """Return one row per claim: its wording and unit, and all that was found."""
    rows = []
    for claim, judged in zip(CLAIMS, judgements, strict=True):
        rows.append({"wording": claim.wording(contrast), "unit": claim.unit} | asdict(judged))
    return pd.DataFrame(rows).set_index("name").reset_index()


def describe_power(judged: Judgement) -> str:
    """Say what an inconclusive comparison could have found."""
    if judged.n < FEWEST_PAIRS:
        return f"{judged.n} pairs are too few for any verdict"
    return f"{judged.n} pairs detect a difference of {judged.minimum_detectable:.3g} with 80% power, uncorrected"


def format_p(p_value: float) -> str:
    """Return `= 0.034`, or `< 0.001`: the test has no finer steps than its resamples."""
    return "< 0.001" if p_value < 0.001 else f"= {p_value:.2g}"


def format_report(comparison: Comparison) -> str:
    """Return the tables that end a run in the terminal."""
    difference, confidence = comparison.difference, comparison.confidence
    labels, lr = comparison.trainings.contrast.labels, comparison.trainings.lr
    width = max(map(len, labels.values()))
    lines = [f"Final validation accuracy at learning rate {lr:g}, mean over {difference.n} paired seeds"]
    for arm, label in labels.items():
        lines.append(f"  {label:{width}}   {comparison.pairs[arm].mean():8.4f}")
    interval = f"{100 * confidence:g}% interval [{difference.ci_low:+.4f}, {difference.ci_high:+.4f}]"
    found = f"{difference.estimate:+8.4f}   {interval}, p {format_p(difference.p_value)}"
    lines.append(f"  {'difference':{width}}   {found}")
    for arm, final in comparison.finals.items():
        finite = np.isfinite(final).all(axis=1)
        lost = int((~finite).sum())
        if lost:
            lines.append(f"  {arm}: {lost} of {len(final)} seeds ended with a loss that is not finite")
    return "\n".join([*lines, "", *format_verdicts(comparison.judgements, confidence)])


def format_verdicts(judgements: Sequence[Judgement], confidence: float) -> list[str]:
    """Return the table of verdicts, at most 100 columns wide, and under it what qualifies them."""
    interval = f"{100 * confidence:g}% interval"
    head = f"{'claim, unit of bn - baseline':30} {'verdict':23} {'estimate':>9}"
    lines = [f"{head} {interval:>20} {'p (Holm)':>8} {'wins':>5}"]
    for claim, judged in zip(CLAIMS, judgements, strict=True):
        what = f"{claim.name}, {claim.unit}"
        line = f"{what:30} {judged.verdict:23}"
        if judged.n == 0:
            lines.append(f"{line} {judged.note}")
            continue
        interval = f"[{judged.ci_low:+.3g}, {judged.ci_high:+.3g}]"
        wins = "" if math.isnan(judged.probability_better) else f"{judged.probability_better:.0%}"
        lines.append(f"{line} {judged.estimate:+9.3g} {interval:>20} {judged.p_holm:8.2g} {wins:>5}".rstrip())
    for judged in judgements:
        if judged.verdict == INCONCLUSIVE:
            lines.append(f"  {judged.name}: {describe_power(judged)}")
        if judged.verdict_alive != judged.verdict:
            lines.append(f"  {judged.name}: {judged.verdict_alive} without the seeds born dead")
    return lines


def _finite(values: Mapping[str, float]) -> dict[str, float | None]:
    return {name: float(value) if math.isfinite(value) else None for name, value in values.items()}
