"""report.html: one file to hand out, with the figures in it."""

import base64
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from stages import ARMS
from stages.evidence.claims import CLAIMS, Claim
from stages.evidence.comparison import Comparison
from stages.evidence.gallery import Picture
from stages.evidence.summary import describe_power, format_p
from stages.evidence.verdicts import INCONCLUSIVE, NO_PRACTICAL_DIFFERENCE, REFUTED, SUPPORTED, Judgement
from stages.history.wording import Contrast

TEMPLATE = Path(__file__).with_name("page.html.j2")
MARKS = {SUPPORTED: "supported", REFUTED: "refuted", NO_PRACTICAL_DIFFERENCE: "none"}  # else open


def render_report(comparison: Comparison, pictures: Sequence[Picture], params: Mapping[str, Any]) -> str:
    """Return the report as HTML that needs no other file."""
    environment = Environment(
        loader=FileSystemLoader(TEMPLATE.parent), autoescape=True, undefined=StrictUndefined, trim_blocks=True
    )
    trainings, contrast = comparison.trainings, comparison.trainings.contrast
    means = [f"{comparison.pairs[arm].mean():.3f}" for arm in ARMS]
    claims = zip(CLAIMS, comparison.judgements, strict=True)
    return environment.get_template(TEMPLATE.name).render(
        subject=contrast.subject[0].lower() + contrast.subject[1:],
        means=contrast.compare(*means),
        labels=contrast.labels,
        pair=contrast.pair,
        difference=comparison.difference,
        p=format_p(comparison.difference.p_value),
        confidence=f"{100 * comparison.confidence:g}%",
        lr=trainings.lr,
        rows=trainings.train_rows,
        classes=comparison.classes,
        claims=[_row(claim, judged, contrast) for claim, judged in claims],
        pictures=[{"title": p.title, "reading": p.reading, "source": _embed(p.path)} for p in pictures],
        params=params,
    )


def _row(claim: Claim, judged: Judgement, contrast: Contrast) -> dict[str, str]:
    """Return what the table of verdicts says of one claim."""
    row = dict.fromkeys(("estimate", "interval", "p", "better"), "")
    row |= {
        "wording": claim.wording(contrast),
        "verdict": judged.verdict,
        "mark": MARKS.get(judged.verdict, "open"),
        "note": "; ".join(_notes(judged)),
    }
    if judged.n:
        row |= {
            "estimate": f"{judged.estimate:+.3g} {claim.unit}",
            "interval": f"{judged.ci_low:+.3g} to {judged.ci_high:+.3g}",
            "p": format_p(judged.p_holm),
        }
    if math.isfinite(judged.probability_better):
        low, high = judged.probability_low, judged.probability_high
        row["better"] = f"{judged.probability_better:.0%} of pairs, {low:.0%} to {high:.0%}"
    return row


def _notes(judged: Judgement) -> list[str]:
    notes = [judged.note] if judged.note else []
    if judged.verdict == INCONCLUSIVE:
        notes.append(describe_power(judged))
    if judged.verdict_alive != judged.verdict:
        notes.append(f"{judged.verdict_alive} without the seeds born dead")
    return notes


def _embed(path: Path) -> str:
    return f"data:image/png;base64,{base64.b64encode(path.read_bytes()).decode()}"
