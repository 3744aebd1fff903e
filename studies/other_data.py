"""Other data and networks: what becomes of the six claims, in every reading."""

import re
import textwrap
from collections.abc import Mapping, Sequence
from math import nan
from typing import TYPE_CHECKING

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
)
from studies.experiments import Outputs, Study
from studies.measures import Analysis, Number, claim_number

if TYPE_CHECKING:
    from matplotlib.axes import Axes

HEADS = {
    "faster_training": "faster",
    "higher_accuracy": "more accurate",
    "steadier": "steadier",
    "less_covariate_shift": "less covariate shift",
    "regularizes": "regularizes",
    "higher_learning_rates": "higher rates",
}
FORMATS = {
    "faster_training": "+.1f",
    "higher_accuracy": "+.3f",
    "steadier": "+.4f",
    "less_covariate_shift": "+.2f",
    "regularizes": "+.3f",
    "higher_learning_rates": "+.2f",
}
UNITS = {claim.name: claim.unit for claim in CLAIMS}
READINGS = {"same_rate": "at the same rate", "best_rate": "at best rates", "itself": "of the network itself"}
MARKS = {SUPPORTED: "+", REFUTED: "-", NO_PRACTICAL_DIFFERENCE: "=", INCONCLUSIVE: "?", NOT_MEASURED: "."}
FILLS = {HOLDS: "#b7e1b7", DEPENDS: "#f5e6a8", FAILS: "#f2b8b5", NOT_MEASURED: "white"}


def analyse(study: Study, outputs: Mapping[str, Outputs]) -> Analysis:
    """Collect the verdicts of all experiments in all readings, and what they say together."""
    numbers: list[Number] = []
    for name, run in outputs.items():
        for claim in HEADS:
            numbers += _of_claim(f"{key(name)}_{claim}", f"{HEADS[claim]}: {study.labels[name]}", run, claim)
    found = {number.name: number for number in numbers}
    return Analysis(
        numbers,
        lambda axes: _draw(axes, list(outputs), found, study.labels),
        "with - without normalization at the same rate, and its 95% interval over pairs",
    )


def _of_claim(name: str, what: str, run: Outputs, claim: str) -> list[Number]:
    numbers = []
    for reading, words in READINGS.items():
        suffix = "" if reading == "same_rate" else f"_{reading}"
        numbers.append(claim_number(name + suffix, f"{what}, {UNITS[claim]}, {words}", run, claim, reading))
    summary = str(run.claims().set_index("name").loc[claim, "summary"])
    numbers.append(Number(f"{name}_summary", f"{what}, in all", nan, experiments=run.experiment, verdict=summary))
    return numbers


def key(name: str) -> str:
    """Return how the numbers of an experiment begin."""
    return name.replace("-", "_")


def verdict_table(study: Study, numbers: Mapping[str, Number]) -> str:
    """Return the summaries as a table in Markdown, each with the marks of its readings: a row per experiment."""
    lines = [f"| data and network | pairs | {' | '.join(HEADS.values())} |", "|---" * (len(HEADS) + 2) + "|"]
    for name in study.variants:
        cells = [_cell(numbers, f"{key(name)}_{claim}", "`") for claim in HEADS]
        pairs = numbers[f"{key(name)}_higher_accuracy"].n
        lines.append(f"| {study.labels[name]} | {pairs} | {' | '.join(cells)} |")
    marks = ", ".join(f"`{mark}` {verdict}" for verdict, mark in MARKS.items())
    readings = ", ".join(READINGS.values())
    return "\n".join(
        [*lines, "", f"In each cell what all readings say together, and the verdict of each: {readings}; {marks}."]
    )


def _cell(numbers: Mapping[str, Number], name: str, quote: str = "") -> str:
    marks = [MARKS[numbers[name + suffix].verdict] for suffix in ("", "_best_rate", "_itself")]
    return f"{numbers[f'{name}_summary'].verdict} {quote}{' '.join(marks)}{quote}"


def _draw(axes: "Axes", names: Sequence[str], numbers: Mapping[str, Number], labels: Mapping[str, str]) -> None:
    """Draw a cell per experiment and claim: the summary as its colour, the difference and the readings' marks in it."""
    from matplotlib.patches import Patch, Rectangle

    centered = {"horizontalalignment": "center", "verticalalignment": "center", "fontsize": 5}
    for row, name in enumerate(names):
        for column, (claim, form) in enumerate(FORMATS.items()):
            found = numbers[f"{key(name)}_{claim}"]
            summary = numbers[f"{found.name}_summary"].verdict
            axes.add_patch(Rectangle((column, row), 1, 1, facecolor=FILLS[summary], edgecolor="gray"))
            marks = _cell(numbers, found.name).removeprefix(summary)
            text = f"{found:{form}}\n{marks}" if found.n else marks
            axes.text(column + 0.5, row + 0.5, text, **centered)
    heads = [f"{_wrap(head, 12)}\n({UNITS[claim]})" for claim, head in HEADS.items()]
    axes.set(xlim=(0, len(HEADS)), ylim=(len(names), 0))
    axes.set_xticks([column + 0.5 for column in range(len(heads))], heads, fontsize=8)
    axes.set_yticks([row + 0.5 for row in range(len(names))], [_wrap(labels[name], 26) for name in names], fontsize=7)
    axes.tick_params(length=0, labeltop=True, labelbottom=False)
    patches = [Patch(facecolor=color, edgecolor="gray", label=summary) for summary, color in FILLS.items()]
    axes.legend(handles=patches, loc="upper center", bbox_to_anchor=(0.4, -0.02), ncols=4, fontsize=7, edgecolor="none")


def _wrap(words: str, width: int) -> str:
    """Return the words in lines, none of them broken within brackets."""
    return textwrap.fill(re.sub(r"(\d), (\d)", "\\1,\u00a0\\2", words), width)
