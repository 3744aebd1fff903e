"""Is it the batch? The same network with batch, frozen and layer normalization, and with what one would try first.

All share seeds, initial weights and batches, so that each pair has a difference from the same network without
normalization. A share of the gain is the ratio of two mean differences, with a bootstrap over pairs.
"""

from collections.abc import Mapping, Sequence
from itertools import product
from typing import TYPE_CHECKING

from stages import ARMS
from stages.evidence.claims import CLAIMS
from stages.evidence.endpoints import epochs_to_target, final_accuracy, shared_target
from stages.evidence.paired import ratio_of_medians
from stages.evidence.tables import roughness_of_pairs
from stages.evidence.trainings import Inside, Sweep
from studies.experiments import Outputs, Study
from studies.measures import (
    Analysis,
    Number,
    accuracy_at_best_rates,
    claim_number,
    error_bars,
    majority_of,
    mean_of,
    ratio_of,
)

if TYPE_CHECKING:
    from matplotlib.axes import Axes

KINDS = ("batch", "frozen", "layer")
ROWS = {"": "the tutorial's rows", "_fresh": "fresh rows for each pair"}
REMEDIES = ("rate", "keras", "he", "scaled")


def analyse(study: Study, outputs: Mapping[str, Outputs]) -> Analysis:
    """Compare the kinds on the same and on fresh rows, and the remedies on fresh rows."""
    numbers: list[Number] = []
    for suffix, rows in ROWS.items():
        runs = {kind: outputs[kind + suffix.replace("_", "-")] for kind in KINDS}
        numbers += _compare_kinds(runs, suffix, rows, study.labels)
    numbers += _compare_remedies(outputs, study.labels)
    numbers += [*_judge_default(outputs["batch"]), _measure_roughness(outputs["batch"])]
    found = {number.name: number for number in numbers}
    return Analysis(
        numbers,
        lambda *panels: [
            draw(axes, found, study.labels) for draw, axes in zip((_draw_kinds, _draw_remedies), panels, strict=True)
        ],
        f"mean difference from the network without normalization and its 95% interval, {found['batch_gain'].n} pairs",
        panels=2,
    )


def _compare_kinds(runs: Mapping[str, Outputs], suffix: str, rows: str, labels: Mapping[str, str]) -> list[Number]:
    """Return gain in accuracy and in epochs of each kind, the gain at best rates, and the frozen statistics' shares."""
    lr, majority = runs["batch"].params["lr"], majority_of(runs["batch"])
    without = Sweep.of(runs["batch"].history("baseline")).at(lr).val_accuracy  # (E, S)
    accuracy = {kind: Sweep.of(run.history("bn")).at(lr).val_accuracy for kind, run in runs.items()}
    target = shared_target(without, accuracy["batch"], majority)
    gains = {kind: final_accuracy(values) - final_accuracy(without) for kind, values in accuracy.items()}
    sooner = {
        kind: epochs_to_target(without, target) - epochs_to_target(values, target) for kind, values in accuracy.items()
    }
    numbers = []
    for kind, run in runs.items():
        where = f"{labels[kind]}, {rows}"
        name = f"{kind}_gain{suffix}"
        numbers.append(mean_of(name, f"gain in accuracy, {where}", gains[kind], run.experiment))
        what = f"epochs sooner at accuracy {target:.3f}, {where}"
        numbers.append(mean_of(f"{kind}_sooner{suffix}", what, sooner[kind], run.experiment))
        what = f"gain in accuracy at best rates, {where}"
        claim = claim_number(f"{kind}_best{suffix}", what, run, "higher_accuracy", "best_rate")
        numbers.append(claim)
    both = f"{runs['frozen'].experiment} {runs['batch'].experiment}"
    what = f"share of batch normalization's gain that frozen statistics have, {rows}"
    numbers.append(ratio_of(f"share{suffix}", f"{what}: accuracy", gains["frozen"], gains["batch"], both))
    numbers.append(ratio_of(f"share_epochs{suffix}", f"{what}: epochs", sooner["frozen"], sooner["batch"], both))
    return numbers


def _measure_roughness(run: Outputs) -> Number:
    """Return how many times as rough the loss along the gradient is with batch normalization: medians over seeds."""
    rough = roughness_of_pairs({arm: Inside.of(run.diagnostics(arm)) for arm in ARMS})
    ratio, low, high = ratio_of_medians(*rough)
    what = "effective beta-smoothness along the gradient: with over without, medians over seeds"
    return Number("roughness", what, ratio, low, high, rough.shape[1], run.experiment)


def _judge_default(run: Outputs) -> list[Number]:
    """Return what as many pairs of the default experiment say of each claim in each reading."""
    numbers = []
    for claim, reading in product(CLAIMS, ("same_rate", "best_rate", "itself")):
        what = f"{claim.name}, {reading.replace('_', ' ')}, {claim.unit}"
        numbers.append(claim_number(f"{claim.name}_{reading}", what, run, claim.name, reading))
    return numbers


def _compare_remedies(outputs: Mapping[str, Outputs], labels: Mapping[str, str]) -> list[Number]:
    """Return what each remedy adds to the network without normalization, on fresh rows."""
    run = outputs["batch-fresh"]
    lr, sweep = run.params["lr"], Sweep.of(run.history("baseline"))
    plain = final_accuracy(sweep.at(lr).val_accuracy)  # (S,)
    remedied = {"rate": accuracy_at_best_rates(sweep)}
    names = {"rate": run.experiment}
    for name in ("keras", "he", "scaled"):
        history = Sweep.of(outputs[name].history("baseline"))
        remedied[name] = final_accuracy(history.at(lr).val_accuracy)
        names[name] = f"{outputs[name].experiment} {run.experiment}"
    return [
        mean_of(f"remedy_{name}", f"gain in accuracy on fresh rows, {labels[name]}", values - plain, names[name])
        for name, values in remedied.items()
    ]


def _draw_kinds(axes: "Axes", found: Mapping[str, Number], labels: Mapping[str, str]) -> None:
    """Draw the gain of each kind: on the same and on fresh rows, and on these at best rates."""
    styles = {
        "_gain": ("tutorial's rows, rate 0.001", "o", "C0"),
        "_gain_fresh": ("fresh rows, rate 0.001", "s", "C1"),
        "_best_fresh": ("fresh rows, best rates", "D", "C2"),
    }
    for offset, (suffix, (label, marker, color)) in enumerate(styles.items()):
        points = [found[f"{kind}{suffix}"] for kind in KINDS]
        _draw_points(axes, points, -0.2 * offset, label=label, fmt=marker, color=color)
    axes.set_yticks([-0.2 - place for place in range(len(KINDS))], [labels[kind] for kind in KINDS])
    axes.set_xlabel("gain in validation accuracy")
    axes.legend(loc="best", fontsize=7, edgecolor="none")


def _draw_remedies(axes: "Axes", found: Mapping[str, Number], labels: Mapping[str, str]) -> None:
    """Draw what each remedy gains, beside batch normalization, on fresh rows."""
    points = [found["batch_gain_fresh"], *(found[f"remedy_{name}"] for name in REMEDIES)]
    _draw_points(axes, points, 0, fmt="s", color="C1")
    names = [labels["batch"], *(labels[name] for name in REMEDIES)]
    axes.set_yticks([-place for place in range(len(names))], [name.replace(", ", ",\n") for name in names])
    axes.set_xlabel("gain on fresh rows")


def _draw_points(axes: "Axes", points: Sequence[Number], offset: float, **style: str) -> None:
    """Draw values with their intervals, one under the other."""
    values, reach = error_bars(points)
    places = [offset - place for place in range(len(points))]
    axes.errorbar(values, places, xerr=reach, capsize=3, **style)
    axes.axvline(0, color="gray", linewidth=0.8)
