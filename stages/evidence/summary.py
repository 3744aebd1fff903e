"""What a comparison says in numbers: for metrics.json, claims.csv, and the terminal."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

import pandas as pd

from stages.evidence.claims import CLAIMS, FEWEST_PAIRS, INCONCLUSIVE, Judgement
from stages.evidence.comparison import Comparison
from stages.history.wording import Contrast


def collect_metrics(comparison: Comparison) -> dict[str, dict[str, Any]]:
    """Return the content of metrics.json; a number that is not finite is None, for JSON has no NaN."""
    arms = {arm: _finite(dict(final.mean(skipna=False))) for arm, final in comparison.finals.items()}
    measured = asdict(comparison.difference)
    paired = {"val_accuracy": measured["estimate"]} | {key: measured[key] for key in ("ci_low", "ci_high", "p_value")}
    return {**arms, "difference": paired, "claims": collect_claims(comparison.judgements)}


def collect_claims(judgements: Sequence[Judgement]) -> dict[str, dict[str, Any]]:
    """Return the part of metrics.json on the claims."""
    return {
        judged.name: {"verdict": judged.verdict}
        | _finite({key: getattr(judged, key) for key in ("estimate", "ci_low", "ci_high", "p_holm")})
        for judged in judgements
    }


def flatten_numbers(metrics: Mapping[str, Any], prefix: str = "") -> dict[str, float | None]:
    """Return the numbers of metrics.json under dotted keys, as `dvc metrics` has them; verdicts are left out."""
    flat: dict[str, float | None] = {}
    for key, value in metrics.items():
        if isinstance(value, Mapping):
            flat |= flatten_numbers(value, f"{prefix}{key}.")
        elif not isinstance(value, str):
            flat[prefix + key] = value
    return flat


def collect_details(judgements: Sequence[Judgement]) -> dict[str, float]:
    """Return what claims.csv has beyond metrics.json of the claims that were measured, under dotted keys."""
    names = ("probability_better", "probability_low", "probability_high", "minimum_detectable", "estimate_alive")
    details = {f"claims.{one.name}.{name}": getattr(one, name) for one in judgements for name in names}
    return {key: value for key, value in details.items() if math.isfinite(value)}


def tabulate_claims(judgements: Sequence[Judgement], contrast: Contrast) -> pd.DataFrame:
    """Return one row per claim: its wording and unit, and all that was found."""
    pairs = zip(CLAIMS, judgements, strict=True)
    rows = [{"wording": claim.wording(contrast), "unit": claim.unit} | asdict(judged) for claim, judged in pairs]
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
    labels = comparison.experiment.contrast.labels
    width = max(map(len, labels.values()))
    lines = [
        f"Final validation accuracy at learning rate {comparison.experiment.lr:g},"
        f" mean over {difference.n} paired seeds",
        *(f"  {label:{width}}   {comparison.pairs[arm].mean():8.4f}" for arm, label in labels.items()),
        f"  {'difference':{width}}   {difference.estimate:+8.4f}   {100 * confidence:g}% interval"
        f" [{difference.ci_low:+.4f}, {difference.ci_high:+.4f}], p {format_p(difference.p_value)}",
    ]
    for arm, final in comparison.finals.items():
        lost = int((~final.map(math.isfinite)).any(axis=1).sum())
        if lost:
            lines.append(f"  {arm}: {lost} of {len(final)} seeds ended with a loss that is not finite")
    return "\n".join([*lines, "", *format_verdicts(comparison.judgements, confidence)])


def format_verdicts(judgements: Sequence[Judgement], confidence: float) -> list[str]:
    """Return the table of verdicts, at most 100 columns wide, and under it what qualifies them."""
    head = f"{'claim, unit of bn - baseline':30} {'verdict':23} {'estimate':>9}"
    lines = [f"{head} {f'{100 * confidence:g}% interval':>20} {'p (Holm)':>8} {'wins':>5}"]
    for claim, judged in zip(CLAIMS, judgements, strict=True):
        line = f"{f'{claim.name}, {claim.unit}':30} {judged.verdict:23}"
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
