"""Write what the studies found: studies/results.csv, docs/studies.md, docs/studies/*.png.

Every number is read from the outputs of the experiments, which `python -m studies.run` makes. With the names of some
studies behind `python -m studies.report`, the others keep the numbers and the figures that they have.
"""

import math
import sys
import textwrap
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from importlib import import_module
from itertools import groupby
from pathlib import Path

import pandas as pd

from stages import InputError, run_stage
from stages.evidence.figures import save_figure
from studies.depth import summary_table
from studies.experiments import STUDIES, Outputs, Study, choose_studies, experiment_revisions, load_studies
from studies.measures import Analysis, Number
from studies.other_data import verdict_table

RESULTS, PAGE, FIGURES = Path("studies/results.csv"), Path("docs/studies.md"), Path("docs/studies")
TITLE_WIDTH = 100  # letters
TABLES = {"depth": summary_table, "other_data": verdict_table}  # what stands under a finding
Numbers = Mapping[str, Number]  # of one study, by name

HEAD = """# Studies: published results rerun, and other questions

`make studies` runs each study as DVC experiments (`studies/*.yaml` has their overrides), those that are missing, and
writes this page, its figures and [results.csv](../studies/results.csv). Intervals are 95% intervals over pairs, which
share their rows unless a study says that each has its own; where rows are shuffled several times they are over pairs
and shuffles, and n is pairs x shuffles.
Under each figure are all numbers of the study with the experiments that they come from: `dvc exp apply NAME` brings one
into the workspace, `dvc exp show` lists them.
"""


def main() -> None:
    """Write what the studies that are named found, or all."""
    studies, revisions = choose_studies(sys.argv[1:]), experiment_revisions()
    found = {study.name: analyse(study, revisions) for study in studies}
    write_table(tabulate(found))
    numbers = read_numbers(RESULTS)  # rounded: what is written here can be written again from the table alone
    FIGURES.mkdir(parents=True, exist_ok=True)
    for study in studies:
        analysis, title = found[study.name], fill(study.title, numbers[study.name])
        save_figure(FIGURES / f"{study.name}.png", analysis.draw, wrap(title), analysis.caption, analysis.panels)
    PAGE.write_text(write_page(load_studies(), numbers), encoding="utf-8")
    print(f"{RESULTS}   {PAGE}   {FIGURES}/")


def analyse(study: Study, revisions: Mapping[str, str]) -> Analysis:
    """Return what the study's module of the same name makes of its experiments."""
    missing = [variant.experiment for variant in study.variants.values() if variant.experiment not in revisions]
    if missing:
        raise InputError(f"experiments missing: {', '.join(missing)}: expected them from `python -m studies.run`")
    outputs = {
        name: Outputs(variant.experiment, revisions[variant.experiment]) for name, variant in study.variants.items()
    }
    return import_module(f"studies.{study.name}").analyse(study, outputs)


def tabulate(found: Mapping[str, Analysis]) -> pd.DataFrame:
    """Return one row per number: `study`, and the fields of `Number`."""
    return pd.DataFrame(
        {"study": study} | asdict(number) for study, analysis in found.items() for number in analysis.numbers
    )


def write_table(found: pd.DataFrame) -> None:
    """Write these rows into results.csv, over those that it has of the same studies, or of studies that are gone."""
    order, parts = list(STUDIES), [found]
    if RESULTS.exists():
        written = pd.read_csv(RESULTS, dtype=str, keep_default_na=False)
        kept = set(STUDIES) - set(found["study"])
        parts.append(written[written["study"].isin(kept)])
    rows = pd.concat([part.map(_as_written) for part in parts])
    rows = rows.sort_values("study", key=lambda names: names.map(order.index), kind="stable")
    rows.to_csv(RESULTS, index=False, lineterminator="\n")


def _as_written(value: object) -> str:
    """Return what stands in results.csv for a value."""
    if isinstance(value, float):
        return "" if math.isnan(value) else f"{value:.6g}"
    return str(value)


def read_numbers(path: Path) -> dict[str, dict[str, Number]]:
    """Return the numbers of every study out of results.csv."""
    table = pd.read_csv(path, keep_default_na=False, na_values=dict.fromkeys(("value", "ci_low", "ci_high"), ""))
    numbers: dict[str, dict[str, Number]] = {}
    for row in table.to_dict("records"):
        study = row.pop("study")
        numbers.setdefault(study, {})[row["name"]] = Number(**row)
    return numbers


def fill(template: str, numbers: Numbers) -> str:
    """Return the text with its numbers."""
    return " ".join(template.format(**numbers).split())


def wrap(title: str) -> str:
    """Return the title in as few lines as a figure's width allows, all about as long."""
    lines = len(textwrap.wrap(title, TITLE_WIDTH))
    width = next(width for width in range(1, TITLE_WIDTH + 1) if len(textwrap.wrap(title, width)) <= lines)
    return textwrap.fill(title, width)


def write_page(studies: Sequence[Study], numbers: Mapping[str, Numbers]) -> str:
    """Return docs/studies.md."""
    return "\n".join([HEAD, *(_section(study, numbers[study.name]) for study in studies)])


def _section(study: Study, numbers: Numbers) -> str:
    title = fill(study.title, numbers)
    extra = ""
    if study.name in TABLES:
        extra = f"\n{TABLES[study.name](study, numbers)}\n"
    return f"""## {study.heading}

**{study.question}** {fill(study.source, numbers)}

![{title}](studies/{study.name}.png)

{fill(study.finding, numbers)}
{extra}
<details><summary>All numbers of this study</summary>

{_table(numbers.values())}

</details>
"""


def _table(numbers: Sequence[Number]) -> str:
    lines = ["| what | value | 95% interval | n | experiment |", "|---|---|---|---|---|"]
    for number in numbers:
        interval = "" if math.isnan(number.ci_low) else f"[{number.ci_low:.4g}, {number.ci_high:.4g}]"
        value = number.verdict if math.isnan(number.value) else f"{number.value:.4g}"
        n = f"{number.n} x {number.shuffles}" if number.shuffles else number.n or ""
        lines.append(f"| {number.what} | {value} | {interval} | {n} | {list_names(number.experiments)} |")
    return "\n".join(lines)


def list_names(experiments: str) -> str:
    """Return the names as Markdown, of those that end in consecutive numbers the first and the last number."""
    listed = []
    for (stem, _), numbered in groupby(enumerate(experiments.split()), _stem_and_start):
        first, *others = (name for _, name in numbered)
        last = f" to `{others[-1].removeprefix(stem)}`" if others else ""
        listed.append(f"`{first}`{last}")
    return ", ".join(listed)


def _stem_and_start(numbered: tuple[int, str]) -> tuple[str, int]:
    """Return a name without its number, and that number less the name's place: one value while they count up."""
    place, name = numbered
    stem = name.rstrip("0123456789")
    return stem, int(name.removeprefix(stem) or place) - place


if __name__ == "__main__":
    run_stage(main)
