"""All figures of a comparison, a row each: what it is called, its title, caption, how to read it, and how it is drawn.

A new figure is a function that draws (stages/evidence/figures.py), one that finds its title
(stages/evidence/titles.py), one here that gives the first what it draws, and a row of FIGURES.
"""

import io
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from matplotlib.axes import Axes

from stages.evidence import figures, tables, titles
from stages.evidence.comparison import Comparison
from stages.forks import share_with_fork
from stages.history.curves import median_seed

SHIFTS = {
    "covariate_shift": "gradient view (Santurkar 2018)\nchange of a layer's gradient, relative",
    "input_shift": "distribution view (Ioffe & Szegedy 2015)\nshift of a layer's inputs, in sd",
}
ROUGHNESSES = {
    "loss_range": "range of the loss, nats",
    "gradient_change": "change of the gradient",
    "beta_smoothness": "change of the gradient\nper distance",
}
PROBABILITY = "the redder a place, the more probable the second class is to the network, the bluer, the first"
REGION = "the colour of a place is the class that the network names there"
DEEP = 3  # hidden layers: with fewer there is no course from layer to layer
QUARTILES = "median over seeds and the middle half of them, on one batch per epoch"


@dataclass(frozen=True)
class Picture:
    """One figure that was drawn: its `name` as in `FigureSpec`, what it finds, and two sentences on how to read it.

    `png` is the file; `svg` the same for the page, without title and caption; None where there is nothing to see but
    what the title says.
    """

    name: str
    title: str
    caption: str
    reading: str
    png: bytes
    svg: str | None

    def save(self, folder: Path) -> Path:
        """Write the file, and return where it is."""
        path = folder / f"{self.name}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(self.png)
        return path


@dataclass(frozen=True)
class FigureSpec:
    """One figure: `name` is its path without the suffix.

    `caption` and `reading`, how to read it, may name {n}, {lr}, {subject}, {without}, {with_bn}, {pair} and {shading}.
    `draw` gets the comparison and as many Axes as there are `panels`, side by side in the file, one under the other on
    the page. `applies` says whether these networks have such a figure, `is_empty` whether the title is all that there
    is to see.
    """

    name: str
    title: Callable[[Comparison], str]
    caption: str
    reading: str
    draw: Callable[..., None]
    panels: int = 1
    applies: Callable[[Comparison], bool] = lambda comparison: True
    is_empty: Callable[[Comparison], bool] = lambda comparison: False

    def render(self, comparison: Comparison) -> Picture:
        """Return the figure of a comparison."""
        title, words = self.title(comparison), _words(comparison)
        caption = self.caption.format(**words)
        draw = partial(self.draw, comparison)
        png = io.BytesIO()
        figures.save_figure(png, draw, title, caption, self.panels)
        svg = None if self.is_empty(comparison) else figures.render_svg(draw, self.panels)
        return Picture(self.name, title, caption, self.reading.format(**words), png.getvalue(), svg)


def draw_all(comparison: Comparison) -> list[Picture]:
    """Return all figures, in the order to show them in."""
    applying = [figure for figure in FIGURES if figure.applies(comparison)]
    return share_with_fork(lambda figure: figure.render(comparison), applying)


def _words(comparison: Comparison) -> dict[str, str]:
    """Return what captions may name."""
    contrast = comparison.trainings.contrast
    without, with_bn = contrast.apart
    return {
        "n": f"{comparison.difference.n}",
        "lr": f"{comparison.trainings.lr:g}",
        "subject": contrast.subject,
        "without": without,
        "with_bn": with_bn,
        "pair": contrast.pair,
        "shading": PROBABILITY if len(comparison.classes) == 2 else REGION,
    }


def _are_deep(comparison: Comparison) -> bool:
    """Return whether there are layers between the first and the last hidden one, in either arm."""
    gradients = tables.tabulate_layer_gradients(comparison).values()
    return any(len(by_epoch[1]) >= DEEP for by_epoch in gradients)


def _has_no_sweep(comparison: Comparison) -> bool:
    return len(comparison.trainings.sweeps["bn"].rates) < 2


def _has_no_dead_layer(comparison: Comparison) -> bool:
    shares = tables.tabulate_dead_layers(comparison).values()
    return all((table["dead_layer"] == 0).all() for table in shares)


def _draw_comparison(comparison: Comparison, axes: Axes) -> None:
    trainings = comparison.trainings
    figures.draw_comparison(axes, comparison.mean_curves, trainings.majority, trainings.contrast.labels)


def _draw_pairs(comparison: Comparison, axes: Axes) -> None:
    figures.draw_pairs(axes, comparison.pairs, comparison.difference)


def _draw_boundaries(comparison: Comparison, *panels: Axes) -> None:
    labels = comparison.trainings.contrast.labels
    rows = {arm: comparison.validation_rows(median_seed(final)) for arm, final in comparison.finals.items()}
    figures.draw_boundaries(panels, comparison.surfaces, rows, comparison.classes, labels)


def _draw_learning_rates(comparison: Comparison, axes: Axes) -> None:
    trainings = comparison.trainings
    top = trainings.sweeps["bn"].rates[-1]
    # At the top of the sweep an arm has not failed yet: there is nothing to mark.
    marks = {arm: rate for arm, rate in tables.half_gain_rates(comparison).items() if rate < top}
    accuracies = tables.tabulate_rates(comparison)
    figures.draw_learning_rates(axes, accuracies, marks, trainings.majority, trainings.contrast.labels)


def _draw_shifts(comparison: Comparison, *panels: Axes) -> None:
    quartiles = tables.tabulate_diagnostics(comparison, list(SHIFTS))
    figures.draw_log_bands(panels, quartiles, SHIFTS, comparison.trainings.contrast.labels)


def _draw_landscape(comparison: Comparison, *panels: Axes) -> None:
    quartiles = tables.tabulate_diagnostics(comparison, list(ROUGHNESSES))
    figures.draw_log_bands(panels, quartiles, ROUGHNESSES, comparison.trainings.contrast.labels)


def _draw_layer_gradients(comparison: Comparison, axes: Axes) -> None:
    gradients = tables.tabulate_layer_gradients(comparison)
    figures.draw_layer_gradients(axes, gradients, comparison.trainings.contrast.labels)


def _draw_dead_layers(comparison: Comparison, axes: Axes) -> None:
    shares = tables.tabulate_dead_layers(comparison)
    figures.draw_dead_layers(axes, shares, comparison.trainings.contrast.labels)


FIGURES = (
    FigureSpec(
        "comparison",
        titles.comparison_title,
        caption="mean over {n} paired seeds and its 95% band; learning rate {lr}; in eval mode",
        reading="Each line is the mean over all seeds, and the band says where that mean would lie for other seeds."
        " What lies at the dotted line does no better than always to name the most frequent class.",
        draw=_draw_comparison,
    ),
    FigureSpec(
        "figures/pairs",
        titles.pairs_title,
        caption="a dot is a pair; above zero it is better {with_bn}, below {without}",
        reading="Each dot is one pair of networks: it {pair}."
        " Who runs one of each, as most tutorials do, sees one of these dots.",
        draw=_draw_pairs,
    ),
    FigureSpec(
        "figures/boundaries",
        titles.boundaries_title,
        caption="the network of each arm with the median final accuracy; dots: validation rows",
        reading="What one typical network of each arm has learned: {shading}."
        " Where a network is right, dots have the colour of their place.",
        draw=_draw_boundaries,
        panels=2,
        applies=lambda comparison: comparison.has_plane,
    ),
    FigureSpec(
        "figures/learning_rates",
        titles.learning_rates_title,
        caption="mean over {n} paired seeds with its 95% interval",
        reading="The farther right a curve stays up, the higher the learning rates that its arm tolerates."
        " The dashed lines mark where half of the better arm's best gain over the majority class is left.",
        draw=_draw_learning_rates,
        is_empty=_has_no_sweep,
    ),
    FigureSpec(
        "figures/covariate_shift",
        titles.covariate_shift_title,
        caption=QUARTILES,
        reading="Gradient view: how much a layer's gradient changes because the layers before it have moved;"
        " distribution view: how far a layer's inputs moved from one epoch to the next. Higher is more shift, so the"
        " claim says that the curve {with_bn} is the lower one.",
        draw=_draw_shifts,
        panels=len(SHIFTS),
    ),
    FigureSpec(
        "figures/landscape",
        titles.landscape_title,
        caption=QUARTILES,
        reading="How much loss and gradient change at 1/2 to 4 learning rates along the gradient (Santurkar 2018, sec."
        " 3.2). This is the modern account of batch normalization; it is shown as an explanation, and no verdict rests"
        " on it.",
        draw=_draw_landscape,
        panels=len(ROUGHNESSES),
    ),
    FigureSpec(
        "figures/layer_gradients",
        titles.layer_gradients_title,
        caption="median over those of {n} seeds that have a gradient there, and the middle half of them; first step of"
        " an epoch; solid: the first epoch, dashed: the last",
        reading="The norm of the gradient of each hidden layer's weights over that of the last hidden layer's. Where a"
        " line falls to the right, the gradient grows from layer to layer on its way to the inputs; where it rises, it"
        " vanishes on that way.",
        draw=_draw_layer_gradients,
        applies=_are_deep,
    ),
    FigureSpec(
        "figures/dead_layers",
        titles.dead_layers_title,
        caption="share of {n} seeds with Wilson's 95% interval; dead: no unit of a layer ever active",
        reading="A layer is dead where none of its units is active on any training row: no gradient passes it, and the"
        " network computes a constant. Where a verdict changes without the networks born dead, its claim says so.",
        draw=_draw_dead_layers,
        is_empty=_has_no_dead_layer,
    ),
)
