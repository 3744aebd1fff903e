"""report.html: one file to hand out, and to play with. It needs no other file and no network."""

import base64
import json
import math
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from stages import ARMS
from stages.evidence.claims import CLAIMS, Claim
from stages.evidence.comparison import Comparison
from stages.evidence.gallery import Picture
from stages.evidence.page.play import collect_play
from stages.evidence.page.words import MEASURED, state_answer, state_same_rate
from stages.evidence.readings import describe_best_rates
from stages.evidence.summary import describe_power, format_p, other_readings
from stages.evidence.verdicts import NO_PRACTICAL_DIFFERENCE, REFUTED, SUPPORTED, Judgement

HERE = Path(__file__).parent
SCRIPTS = ("numbers.js", "page.js")
MARKS = {SUPPORTED: "supported", REFUTED: "refuted", NO_PRACTICAL_DIFFERENCE: "none"}  # else open
READINGS = {
    "best_rate": "Each at its best rate",
    "itself": "The network itself",
    "definition": "By the other definition",
}


def render_report(comparison: Comparison, pictures: Sequence[Picture], params: Mapping[str, Any]) -> str:
    """Return the page, with `params` at its end."""
    environment = Environment(
        loader=FileSystemLoader(HERE), autoescape=True, undefined=StrictUndefined, trim_blocks=True
    )
    trainings, play = comparison.trainings, collect_play(comparison)
    contrast = trainings.contrast
    subject = contrast.subject[0].lower() + contrast.subject[1:]
    scripts = [(HERE / name).read_text(encoding="utf-8") for name in SCRIPTS]
    return environment.get_template("page.html.j2").render(
        subject=subject,
        answer=state_answer(comparison.judgements, subject, comparison.difference.n),
        same_rate=state_same_rate(comparison.judgements, trainings.lr),
        means=contrast.compare(*(f"{comparison.pairs[arm].mean():.3f}" for arm in ARMS)),
        labels=contrast.labels,
        pair=contrast.pair,
        varied=comparison.describe_rows(),
        difference=comparison.difference,
        shown=play["pairs"]["count"],
        features=[*comparison.val.columns[:-1], ""],
        p=format_p(comparison.difference.p_value),
        confidence=f"{100 * comparison.confidence:g}%",
        lr=trainings.lr,
        best_rates=describe_best_rates(trainings),
        rows=trainings.train_rows,
        classes=comparison.classes,
        claims=list(_rows(comparison)),
        pictures=[(picture, _embed(picture.svg)) for picture in pictures],
        params=params,
        css=Markup((HERE / "page.css").read_text(encoding="utf-8")),
        data=Markup(_as_script(play)),
        script=Markup("\n".join(scripts)),
    )


def _as_script(play: Mapping[str, Any]) -> str:
    """Return JSON that cannot end the element it stands in, whatever a class or a column is called."""
    return json.dumps(play, allow_nan=False, separators=(",", ":")).replace("<", "\\u003c")


def _rows(comparison: Comparison) -> Iterator[dict[str, Any]]:
    """Yield what the page says of each claim."""
    for claim, judged in zip(CLAIMS, comparison.judgements, strict=True):
        yield {
            "wording": claim.wording(comparison.trainings.contrast),
            "verdict": judged.verdict,
            "summary": judged.summary_in_words,
            "mark": MARKS.get(judged.verdict, "open"),
            "rows": [("Measured", MEASURED[claim.name]), *_found(claim, judged, comparison)],
        }


def _found(claim: Claim, judged: Judgement, comparison: Comparison) -> Iterator[tuple[str, str]]:
    """Yield what opens under a claim: a term and its description each."""
    yield from _at_same_rate(claim, judged, comparison)
    for reading, other in other_readings(judged).items():
        if reading == "definition" and other.n == 0:
            continue  # most claims have one alone
        yield READINGS[reading], _describe(claim, other)


def _describe(claim: Claim, judged: Judgement) -> str:
    """Say in a line what was found in a reading."""
    if judged.n == 0:
        return f"{judged.verdict}: {judged.note}"
    interval = f"{judged.ci_low:+.3g} to {judged.ci_high:+.3g}"
    found = f"{judged.estimate:+.3g} {claim.unit}, interval {interval}, p {format_p(judged.p_holm)} (Holm)"
    return f"{judged.verdict}: {found}" + (f"; {judged.note}" if judged.note else "")


def _at_same_rate(claim: Claim, judged: Judgement, comparison: Comparison) -> Iterator[tuple[str, str]]:
    if judged.n == 0:
        yield "Not measured", judged.note
        return
    interval = f"{judged.ci_low:+.3g} to {judged.ci_high:+.3g}"
    yield "Difference", f"{judged.estimate:+.3g} {claim.unit}"
    yield (
        f"{100 * comparison.confidence:g}% interval",
        f"{interval}; p {format_p(judged.p_holm)} (Holm), {judged.n} pairs",
    )
    yield "Smallest that matters", f"{judged.smallest_effect:g} {claim.unit}"
    if not math.isnan(judged.probability_better):
        low, high = f"{judged.probability_low:.0%}", f"{judged.probability_high:.0%}"
        yield "Better in", f"{judged.probability_better:.0%} of pairs, interval {low} to {high}; a tie counts half"
    yield "Power", describe_power(judged)
    if judged.verdict_alive != judged.verdict:
        yield "Without the seeds born dead", judged.verdict_alive
    if judged.note:
        yield "Beside it", judged.note


def _embed(svg: str | None) -> str:
    """Return an address that holds a drawing: a picture of its own, whose names and colours touch nothing else."""
    return f"data:image/svg+xml;base64,{base64.b64encode(svg.encode()).decode()}" if svg else ""
