"""Other data and networks: the verdict on each of the six claims."""

import re
import textwrap
from collections.abc import Mapping
from typing import TYPE_CHECKING

import pandas as pd

from stages.evidence.claims import CLAIMS
from stages.evidence.verdicts import INCONCLUSIVE, NO_PRACTICAL_DIFFERENCE, NOT_MEASURED, REFUTED, SUPPORTED
from studies.experiments import Outputs, Study
from studies.measures import Analysis, Number

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
FILLS = {
    SUPPORTED: "#b7e1b7",
    REFUTED: "#f2b8b5",
    NO_PRACTICAL_DIFFERENCE: "#c5d3f0",
    INCONCLUSIVE: "#e8e8e8",
    NOT_MEASURED: "white",
}


def analyse(study: Study, outputs: Mapping[str, Outputs]) -> Analysis:
    """Collect the verdicts of all experiments."""
    claims = {name: run.claims().set_index("name") for name, run in outputs.items()}
    numbers = [
        Number(
            f"{name.replace('-', '_')}_{claim}",
            f"{HEADS[claim]}: {study.labels[name]}, {UNITS[claim]}",
            found["estimate"],
            found["ci_low"],
            found["ci_high"],
            int(found["n"]),
            outputs[name].experiment,
            found["verdict"],
        )
        for name, table in claims.items()
        for claim, found in table.iterrows()
    ]
    return Analysis(
        numbers,
        lambda axes: _draw(axes, claims, study.labels),
        f"with - without normalization and its 95% interval, over {claims['default']['n'].max()} paired seeds",
    )


def verdict_table(study: Study, numbers: Mapping[str, Number]) -> str:
    """Return the verdicts as a table in Markdown: a row per experiment, a column per claim."""
    pairs = numbers["default_higher_accuracy"].n
    lines = [f"| {pairs} pairs each | {' | '.join(HEADS.values())} |", "|---" * (len(HEADS) + 1) + "|"]
    for name in study.variants:
        verdicts = [numbers[f"{name.replace('-', '_')}_{claim}"].verdict for claim in HEADS]
        lines.append(f"| {study.labels[name]} | {' | '.join(verdicts)} |")
    return "\n".join(lines)


def _draw(axes: "Axes", claims: Mapping[str, pd.DataFrame], labels: Mapping[str, str]) -> None:
    """Draw a cell per experiment and claim: the verdict as its colour, the difference in it."""
    from matplotlib.patches import Patch, Rectangle

    centered = {"horizontalalignment": "center", "verticalalignment": "center", "fontsize": 6.5}
    for row, table in enumerate(claims.values()):
        for column, (claim, spec) in enumerate(FORMATS.items()):
            found = table.loc[claim]
            axes.add_patch(Rectangle((column, row), 1, 1, facecolor=FILLS[found["verdict"]], edgecolor="gray"))
            if found["n"]:
                estimate, low, high = (format(found[name], spec) for name in ("estimate", "ci_low", "ci_high"))
                axes.text(column + 0.5, row + 0.5, f"{estimate}\n[{low}, {high}]", **centered)
    heads = [f"{_wrap(head, 12)}\n({UNITS[claim]})" for claim, head in HEADS.items()]
    axes.set(xlim=(0, len(HEADS)), ylim=(len(claims), 0))
    axes.set_xticks([column + 0.5 for column in range(len(heads))], heads, fontsize=8)
    axes.set_yticks([row + 0.5 for row in range(len(claims))], [_wrap(labels[name], 22) for name in claims], fontsize=8)
    axes.tick_params(length=0, labeltop=True, labelbottom=False)
    patches = [Patch(facecolor=color, edgecolor="gray", label=verdict) for verdict, color in FILLS.items()]
    axes.legend(handles=patches, loc="upper center", bbox_to_anchor=(0.4, -0.02), ncols=5, fontsize=7, edgecolor="none")


def _wrap(words: str, width: int) -> str:
    """Return the words in lines, none of them broken within brackets."""
    return textwrap.fill(re.sub(r"(\d), (\d)", "\\1,\u00a0\\2", words), width)
