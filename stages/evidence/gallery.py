"""All figures of a comparison: what each shows, the finding in its title, and how to read it."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from stages.evidence import endpoints, figures
from stages.evidence.comparison import Comparison
from stages.evidence.paired import PairedDifference, wilson_interval
from stages.history.curves import median_seed, summarize_quartiles
from stages.history.moments import mean_interval

if TYPE_CHECKING:
    from matplotlib.axes import Axes

QUARTILES = "median over seeds and the middle half of them, on one batch per epoch"


@dataclass(frozen=True)
class Picture:
    """One figure: where it is, what it finds, and two sentences on how to read it."""

    path: Path
    title: str
    reading: str


def draw_all(comparison: Comparison, folder: Path) -> list[Picture]:
    """Write comparison.png into `folder` and the rest into its figures/; return them in the order to show them in."""
    figures_folder = folder / "figures"
    figures_folder.mkdir(parents=True, exist_ok=True)
    planar = all(len(surface) > 0 for surface in comparison.surfaces.values())
    others = (_pairs, *([_boundaries] if planar else []), _learning_rates, _shift, _landscape, _dead)
    return [_comparison(comparison, folder), *(draw(comparison, figures_folder) for draw in others)]


def state_finding(difference: PairedDifference, confidence: float, subject: str) -> str:
    """Return the finding as a title: a direction where interval and p value both exclude zero, and the numbers.

    The two rest on different assumptions; where they part, nothing is established.
    """
    significant = difference.p_value < 1 - confidence
    if significant and difference.ci_low > 0:
        finding = f"{subject} raises the final validation accuracy"
    elif significant and difference.ci_high < 0:
        finding = f"{subject} lowers the final validation accuracy"
    else:
        finding = "No difference in final validation accuracy is established"
    points, low, high = (100 * value for value in (difference.estimate, difference.ci_low, difference.ci_high))
    return f"{finding}:\n{points:+.1f} points, {100 * confidence:g}% interval [{low:+.1f}, {high:+.1f}]"


def _comparison(comparison: Comparison, folder: Path) -> Picture:
    experiment, difference = comparison.experiment, comparison.difference
    contrast = experiment.contrast
    title = state_finding(difference, comparison.confidence, contrast.subject)
    caption = f"mean over {difference.n} paired seeds and its 95% band; learning rate {experiment.lr:g}; in eval mode"
    figures.save_figure(
        folder / "comparison.png",
        lambda axes: figures.draw_comparison(axes, comparison.curves, experiment.majority, contrast.labels),
        title,
        caption,
    )
    reading = (
        "Each line is the mean over all seeds, and the band says where that mean would lie for other seeds."
        " What lies at the dotted line does no better than always to name the most frequent class."
    )
    return Picture(folder / "comparison.png", title, reading)


def _pairs(comparison: Comparison, folder: Path) -> Picture:
    differences = comparison.pairs["difference"]
    better, worse = int((differences > 0).sum()), int((differences < 0).sum())
    contrast = comparison.experiment.contrast
    title = f"{contrast.subject} ends higher in {better} of {len(differences)} pairs, lower in {worse}"
    figures.save_figure(
        folder / "pairs.png",
        lambda axes: figures.draw_pairs(axes, comparison.pairs, comparison.difference),
        title,
        f"a dot is a pair; green: better {contrast.apart[1]}; black: better {contrast.apart[0]}",
    )
    reading = (
        f"Each dot is one pair of networks: it {contrast.pair}."
        " Who runs one of each, as most tutorials do, sees one of these dots."
    )
    return Picture(folder / "pairs.png", title, reading)


def _learning_rates(comparison: Comparison, folder: Path) -> Picture:
    experiment = comparison.experiment
    measured = comparison.judgement("higher_learning_rates").n > 0
    rates, marks = {}, {}
    for arm, history in experiment.histories.items():
        lr, accuracy = endpoints.accuracy_by_rate(history)  # (L,), (S, L)
        mean, low, high = mean_interval(accuracy.T)
        rates[arm] = pd.DataFrame({"lr": lr, "accuracy": mean, "ci_low": low, "ci_high": high})
        if measured:
            marks[arm] = float(10 ** endpoints.log_half_gain_rate(mean - experiment.majority, lr))
    title = f"Tolerance of high learning rates not measured:\n{comparison.judgement('higher_learning_rates').note}"
    if measured:
        top = max(experiment.histories["bn"]["lr"])
        words = (f"{mark:.2g}" if mark < top else f"above {top:.2g}" for mark in marks.values())
        title = f"Half of the best gain is left at learning rate {experiment.contrast.compare(*words)}"
        marks = {arm: mark for arm, mark in marks.items() if mark < top}
    figures.save_figure(
        folder / "learning_rates.png",
        lambda axes: figures.draw_learning_rates(axes, rates, marks, experiment.majority, experiment.contrast.labels),
        title,
        f"mean over {comparison.difference.n} paired seeds with its 95% interval",
    )
    reading = (
        "The farther right a curve stays up, the higher the learning rates that its arm tolerates."
        " The dashed lines mark where half of the best gain over the majority class is left."
    )
    return Picture(folder / "learning_rates.png", title, reading)


def _shift(comparison: Comparison, folder: Path) -> Picture:
    judged = comparison.judgement("less_covariate_shift")
    title = "Internal covariate shift: not measured"
    if judged.n:
        with np.errstate(over="ignore"):
            ratio, low, high = np.exp([judged.estimate, judged.ci_low, judged.ci_high])
        without, with_bn = comparison.experiment.contrast.apart
        title = (
            f"Internal covariate shift {with_bn} is {ratio:.2g} times that {without}\n"
            f"(gradient view; {100 * comparison.confidence:g}% interval {low:.2g} to {high:.2g})"
        )
    measures = {
        "covariate_shift": "gradient view (Santurkar 2018)\nchange of a layer's gradient, relative",
        "input_shift": "distribution view (Ioffe & Szegedy 2015)\nshift of a layer's inputs, in sd",
    }
    _save_diagnostics(comparison, folder / "covariate_shift.png", title, measures)
    reading = (
        "Left: how much a layer's gradient changes because the layers before it have moved; right: how far a layer's"
        " inputs moved from one epoch to the next. Higher is more shift, so the claim says that green lies below black."
    )
    return Picture(folder / "covariate_shift.png", title, reading)


def _landscape(comparison: Comparison, folder: Path) -> Picture:
    tables, apart = comparison.experiment.diagnostics.values(), comparison.experiment.contrast.apart
    without, with_bn = (table.groupby("seed")["beta_smoothness"].median().median() for table in tables)
    title = "Roughness of the loss along the gradient: not measured"
    if np.isfinite([without, with_bn]).all() and without > 0:
        title = (
            f"Along the gradient the loss is {with_bn / without:.2g} times as rough {apart[1]} as {apart[0]}"
            "\n(change of the gradient per distance, median network)"
        )
    measures = {
        "loss_range": "range of the loss, nats",
        "gradient_change": "change of the gradient",
        "beta_smoothness": "change of the gradient\nper distance",
    }
    _save_diagnostics(comparison, folder / "landscape.png", title, measures)
    reading = (
        "How much loss and gradient change at 1/2 to 4 learning rates along the gradient (Santurkar 2018, sec. 3.2)."
        " This is the modern account of batch normalization; it is shown as an explanation, and no verdict rests on it."
    )
    return Picture(folder / "landscape.png", title, reading)


def _dead(comparison: Comparison, folder: Path) -> Picture:
    contrast = comparison.experiment.contrast
    curves = {arm: _dead_shares(table) for arm, table in comparison.experiment.diagnostics.items()}
    start, end = (
        contrast.compare(*(f"{table['dead_layer'].iloc[epoch]:.0%}" for table in curves.values())) for epoch in (0, -1)
    )
    title = f"Networks with a dead layer before training: {start};\nafter it: {end}"
    figures.save_figure(
        folder / "dead_layers.png",
        lambda axes: _draw_dead(axes, curves, contrast.labels),
        title,
        f"share of {comparison.difference.n} seeds with Wilson's 95% interval; dead: no unit of a layer ever active",
    )
    reading = (
        "A layer is dead where none of its units is active on any training row: no gradient passes it, and the network"
        " computes a constant. Verdicts that change without the networks born dead are marked in the table above."
    )
    return Picture(folder / "dead_layers.png", title, reading)


def _boundaries(comparison: Comparison, folder: Path) -> Picture:
    medians = [final.loc[median_seed(final), "val_accuracy"] for final in comparison.finals.values()]
    contrast = comparison.experiment.contrast
    title = f"The median networks: validation accuracy {contrast.compare(*(f'{value:.2f}' for value in medians))}"
    figures.save_figure(
        folder / "boundaries.png",
        lambda *panels: figures.draw_boundaries(
            panels, comparison.surfaces, comparison.val, comparison.classes, contrast.labels
        ),
        title,
        "the network of each arm with the median final accuracy: the class it names; dots: validation rows",
        panels=2,
    )
    reading = (
        "What one typical network of each arm has learned: the colour of a place is the class that it names there."
        " A network that is right has dots of that colour alone."
    )
    return Picture(folder / "boundaries.png", title, reading)


def _save_diagnostics(comparison: Comparison, path: Path, title: str, measures: Mapping[str, str]) -> None:
    """Write one panel per measure, from epoch 1: before training no step has been taken."""
    tables, labels = comparison.experiment.diagnostics.items(), comparison.experiment.contrast.labels
    curves = {arm: summarize_quartiles(table[table["epoch"] > 0], list(measures)) for arm, table in tables}
    figures.save_figure(
        path,
        lambda *panels: figures.draw_log_bands(panels, curves, measures, labels),
        title,
        QUARTILES,
        panels=len(measures),
    )


def _dead_shares(diagnostics: pd.DataFrame) -> pd.DataFrame:
    """Return `epoch`, the share of seeds with a dead layer, and Wilson's interval."""
    counts = diagnostics.groupby("epoch")["dead_layer"].agg(["sum", "count"])
    intervals = np.array([wilson_interval(dead, int(n)) for dead, n in counts.to_numpy()])
    return pd.DataFrame(
        {
            "epoch": counts.index,
            "dead_layer": (counts["sum"] / counts["count"]).to_numpy(),
            "dead_layer_ci_low": intervals[:, 0],
            "dead_layer_ci_high": intervals[:, 1],
        }
    )


def _draw_dead(axes: "Axes", curves: Mapping[str, pd.DataFrame], labels: Mapping[str, str]) -> None:
    figures.draw_bands(axes, curves, "dead_layer", "share of networks with a dead layer", labels)
    axes.set_ylim(bottom=0)
    axes.legend(loc="best", edgecolor="none")
