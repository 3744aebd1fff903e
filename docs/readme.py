"""Write what README.md quotes of the results, between its marks.

Reads   results/metrics.json, params.yaml, studies/results.csv, benchmarks/seconds.csv
Writes  README.md
"""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from stages import run_stage
from stages.evidence.summary import format_p
from stages.evidence.verdicts import INCONCLUSIVE, NOT_MEASURED
from stages.params import parse_yaml
from studies.experiments import Study, load_studies
from studies.report import RESULTS, Numbers, fill, read_numbers

README, METRICS, PARAMS = Path("README.md"), Path("results/metrics.json"), Path("params.yaml")
SECONDS = Path("benchmarks/seconds.csv")
CLAIMS = {  # name: what is claimed, format of the difference, its unit
    "faster_training": ("trains faster", "+.1f", "epochs"),
    "higher_accuracy": ("ends more accurate", "+.3f", "accuracy"),
    "steadier": ("is steadier", "+.4f", "accuracy per epoch"),
    "less_covariate_shift": ("reduces internal covariate shift", "+.2f", "ln ratio"),
    "regularizes": ("regularizes", "+.2f", "nats"),
    "higher_learning_rates": ("allows higher learning rates", "+.2f", "decades"),
}
READINGS = {"best_rate": "at best rates", "itself": "network itself", "summary": "in all"}
EXPLANATION = """\
*At best rates*: each arm at its own best rate of the sweep. *Network itself*: with exact statistics in place of running
averages. *In all*: it holds where every reading supports it, fails where none does, else depends."""


def main() -> None:
    """Write all blocks."""
    metrics = json.loads(METRICS.read_text(encoding="utf-8"))
    params = parse_yaml(PARAMS.read_text(encoding="utf-8"))
    text = write_results(README.read_text(encoding="utf-8"), metrics, params)
    numbers = read_numbers(RESULTS)
    text = write_control(text, metrics, numbers["batch"], pd.read_csv(SECONDS))
    README.write_text(write_studies(text, load_studies(), numbers), encoding="utf-8")


def write_results(text: str, metrics: Mapping[str, Any], params: Mapping[str, Any]) -> str:
    """Return the text with the tables of a run: of both arms, and of the claims."""
    text = insert(text, "answer", tabulate_answer(metrics, params))
    return insert(text, "claims", tabulate_claims(metrics["claims"], params))


def write_studies(text: str, studies: Sequence[Study], numbers: Mapping[str, Numbers]) -> str:
    """Return the text with the way to all studies, and what the one on depth found."""
    return insert(text, "studies", list_studies(studies, numbers))


def write_control(text: str, metrics: Mapping[str, Any], batch: Numbers, seconds: pd.DataFrame) -> str:
    """Return the text with what the table of verdicts leaves open."""
    sentences = [state_seconds(seconds), state_more_pairs(metrics["claims"], batch), state_landscape(batch)]
    return insert(text, "control", "\n\n".join([state_share(batch), " ".join(filter(None, sentences))]))


def state_seconds(seconds: pd.DataFrame) -> str:
    """Return what is left of faster training at the same rate where an epoch counts by the time it takes."""
    found = seconds.set_index("reading").loc["same_rate"]
    times = found["bn_ms_per_epoch"] / found["baseline_ms_per_epoch"]
    compared = "neither is shown to be faster"
    if found["ms_ci_high"] < 0:
        compared = "it is still faster"
    elif found["ms_ci_low"] > 0:
        compared = "it is slower"
    interval = f"[{found['ms_ci_low']:+.2f}, {found['ms_ci_high']:+.2f}]"
    return (
        f"In processor time, where an epoch of the stacked training takes {times:.1f} times as much with batch"
        f" normalization, {compared}: {found['ms']:+.2f} {interval} ms to the target (`make bench`)."
    )


def state_share(batch: Numbers) -> str:
    """Return how much of the gain in accuracy frozen statistics have, from the study of that name."""
    return (
        f"**Is it the batch?** Statistics frozen at the start have {batch['share']:.0%} of the gain in accuracy, and"
        f" {batch['share_fresh']:.0%} with fresh rows for each pair (n = {batch['share'].n})."
    )


def state_landscape(batch: Numbers) -> str:
    """Return which definition of covariate shift is meant, and whether the loss landscape is smoother."""
    ratio = batch["roughness"]
    compared = "not shown to be smoother or rougher"
    if ratio.ci_low > 1:
        compared = "rougher"
    elif ratio.ci_high < 1:
        compared = "smoother"
    santurkar = "[Santurkar et al. 2018](https://arxiv.org/abs/1805.11604)"
    return (
        f"Covariate shift is that of {santurkar}, of gradients; the loss along the gradient, smoother in their work, is"
        f" {compared} on these: {ratio:.1f} times as rough."
    )


def state_more_pairs(claims: Mapping[str, Any], batch: Numbers) -> str:
    """Return which readings are inconclusive here, and decided by the study's pairs; nothing where none is."""
    decided = []
    for name, claim in claims.items():
        readings = {"same_rate": claim, "best_rate": claim["best_rate"], "itself": claim["itself"]}
        for reading, here in readings.items():
            more = batch[f"{name}_{reading}"]
            if here["verdict"] == INCONCLUSIVE and more.verdict not in (INCONCLUSIVE, NOT_MEASURED):
                decided.append(f"{CLAIMS[name][0]} ({READINGS.get(reading, 'at the same rate')}): {more.verdict}")
    if not decided:
        return ""
    pairs = batch["share"].n
    return f"What stays open above and {pairs} pairs decide (`dvc exp run -S seeds={pairs}`): {'; '.join(decided)}."


def insert(text: str, block: str, content: str) -> str:
    """Return the text with what stands between the marks of a block replaced."""
    begin, end = f"<!-- `make readme` writes: {block} -->\n", f"\n<!-- {block} end -->"
    before, rest = text.split(begin)
    return before + begin + content + end + rest.split(end)[1]


def tabulate_answer(metrics: Mapping[str, Any], params: Mapping[str, Any]) -> str:
    """Return accuracy and loss of both arms after the last epoch, in Markdown."""
    baseline, bn, difference = metrics["baseline"], metrics["bn"], metrics["difference"]
    found = f"{difference['val_accuracy']:+.3f} {format_interval(difference, '+.3f')}"
    loss = ""
    if difference["val_loss"] is not None:
        ends = {end: difference[f"val_loss_{end}"] for end in ("ci_low", "ci_high")}
        loss = f"{difference['val_loss']:+.3f} {format_interval(ends, '+.3f')}"
    level = f"{1 - params['evidence']['alpha']:.0%}"
    return "\n".join(
        [
            f"| after {params['epochs']} epochs at learning rate {params['lr']:g} | without | with batch normalization"
            f" | difference, {level} interval |",
            "|---|---|---|---|",
            f"| validation accuracy | {baseline['val_accuracy']:.3f} | {bn['val_accuracy']:.3f}"
            f" | {found}, p {format_p(difference['p_value'])} |",
            f"| validation loss, nats | {baseline['val_loss']:.3f} | {bn['val_loss']:.3f} | {loss} |",
        ]
    )


def tabulate_claims(claims: Mapping[str, Any], params: Mapping[str, Any]) -> str:
    """Return a row per claim, in Markdown; where it was read in other ways too, their verdicts and what they are."""
    level = f"{1 - params['evidence']['alpha']:.0%}"
    readings = [reading for reading in READINGS if reading in claims["higher_accuracy"]]
    heads = ["batch normalization ...", "verdict", f"with - without, {level} interval", *map(READINGS.get, readings)]
    lines = [f"| {' | '.join(heads)} |", "|---" * len(heads) + "|"]
    for name, (words, form, unit) in CLAIMS.items():
        claim = claims[name]
        found = ""
        if claim["estimate"] is not None:
            found = f"{claim['estimate']:{form}} {format_interval(claim, form)} {unit}"
        cells = [words, claim["verdict"], found, *(describe_reading(claim[reading]) for reading in readings)]
        lines.append(f"| {' | '.join(cells)} |")
    if readings:
        lines += ["", EXPLANATION]
    return "\n".join(lines)


def describe_reading(found: Mapping[str, Any] | str) -> str:
    """Return the verdict of a reading, or a summary, which is one already."""
    return found if isinstance(found, str) else found["verdict"]


def format_interval(numbers: Mapping[str, float], form: str) -> str:
    """Return `[low, high]`."""
    return f"[{numbers['ci_low']:{form}}, {numbers['ci_high']:{form}}]"


def list_studies(studies: Sequence[Study], numbers: Mapping[str, Numbers]) -> str:
    """Return the way to the studies, and what the one on depth found, the tutorial's last claim, in Markdown."""
    depth = next(study for study in studies if study.name == "depth")
    found = f"[{depth.heading}](docs/studies.md#{anchor(depth.heading)})? {fill(depth.title, numbers[depth.name])}."
    return f"[{len(studies)} studies](docs/studies.md) rerun published results and ask what they leave open. {found}"


def anchor(heading: str) -> str:
    """Return what GitHub makes of a heading in an address."""
    dashed = heading.lower().replace(" ", "-")
    return "".join(letter for letter in dashed if letter.isalnum() or letter == "-")


if __name__ == "__main__":
    run_stage(main)
