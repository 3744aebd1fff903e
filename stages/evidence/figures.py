"""Figures from tables: they compute no statistics. Black is the arm baseline, green the arm bn, throughout.

`labels` maps an arm to what it is called.
"""

import io
import textwrap
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import pandas as pd
from matplotlib import colormaps, rc_context
from matplotlib.axes import Axes
from matplotlib.collections import QuadMesh
from matplotlib.colors import ListedColormap
from matplotlib.figure import Figure
from matplotlib.ticker import AutoLocator, MaxNLocator

from stages import COLORS
from stages.evidence.paired import PairedDifference

TWO_CLASSES = ("royalblue", "tomato")  # those of the surface under them: blue for P(class 1) = 0
TITLE_WIDTH = 100  # letters
PHONE = 4.2, 3.0  # inches of a panel: on a screen 390 pixels wide its letters are 12 pixels high
MOST_NAMES = 12  # in a legend
MOST_DOTS = 1000  # in vector graphics, of 150 bytes each: more of them are a picture
MOST_LETTERS = 24  # of a column or a class: a longer label would leave no room for what it labels
Tables = Mapping[str, pd.DataFrame]  # arm -> table
Labels = Mapping[str, str]


def save_figure(path: Path | BinaryIO, draw: Callable[..., Any], title: str, caption: str, panels: int = 1) -> None:
    """Write a PNG of 960 x 600 pixels: what `draw` draws, given the Axes of each panel, under the finding."""
    figure = Figure(figsize=(8, 5), dpi=120, layout="constrained")
    draw(*figure.subplots(1, panels, squeeze=False)[0])
    lines = [textwrap.fill(line, TITLE_WIDTH) for line in title.splitlines()]
    figure.suptitle("\n".join(lines), x=0.01, horizontalalignment="left", fontsize=11)
    figure.supxlabel(caption, fontsize=8, color="dimgray")
    figure.savefig(path)


def render_svg(draw: Callable[..., Any], panels: int = 1) -> str:
    """Return as SVG what `draw` draws, panel under panel, as wide as a phone, with no title and no caption."""
    width, height = PHONE
    written = io.StringIO()
    with rc_context({"svg.hashsalt": "figure"}):  # else its names, and so its bytes, are other ones each time
        figure = Figure(figsize=(width, panels * height), dpi=144, layout="constrained")
        draw(*figure.subplots(panels, 1, squeeze=False)[:, 0])
        figure.savefig(written, format="svg", metadata={"Date": None})
    return written.getvalue()


def draw_comparison(axes: Axes, curves: Tables, majority: float, labels: Labels) -> None:
    """Draw validation accuracy over epochs, and the share of the majority class; tables as in `draw_bands`."""
    shares = {
        arm: _within_shares(table, "val_accuracy_ci_low", "val_accuracy_ci_high") for arm, table in curves.items()
    }
    draw_bands(axes, shares, "val_accuracy", "validation accuracy", labels)
    _draw_majority(axes, majority)
    axes.legend(loc="best", edgecolor="none")


def draw_bands(axes: Axes, curves: Tables, name: str, label: str, labels: Labels) -> None:
    """Draw one measure over epochs: columns `epoch`, NAME, NAME_ci_low, NAME_ci_high."""
    for arm, table in curves.items():
        low, high = table[f"{name}_ci_low"], table[f"{name}_ci_high"]
        axes.fill_between(table["epoch"], low, high, color=COLORS[arm], alpha=0.2, linewidth=0)
        axes.plot(table["epoch"], table[name], color=COLORS[arm], label=labels[arm])
    whole_epochs = AutoLocator()
    whole_epochs.set_params(integer=True)
    axes.xaxis.set_major_locator(whole_epochs)
    axes.set(xlabel="epoch", ylabel=label, xmargin=0.01)


def draw_log_bands(panels: Sequence[Axes], curves: Tables, measures: Mapping[str, str], labels: Labels) -> None:
    """Draw several measures over epochs, one a panel, on a logarithmic axis: `measures` maps each to its title."""
    for axes, (name, title) in zip(panels, measures.items(), strict=True):
        values = pd.concat([table[name] for table in curves.values()])
        positive = values[(values > 0) & (values < np.inf)]
        if len(positive):
            axes.set_yscale("log", nonpositive="mask")
            curves = {arm: _lift_from_zero(table, name, positive.min()) for arm, table in curves.items()}
        draw_bands(axes, curves, name, "", labels)
        axes.set_title(title, fontsize=10)
    panels[0].legend(loc="best", edgecolor="none", fontsize=8)


def draw_learning_rates(
    axes: Axes, accuracies: Tables, half_gain_rates: Mapping[str, float], majority: float, labels: Labels
) -> None:
    """Draw accuracy against learning rate: columns `lr`, `accuracy`, `ci_low`, `ci_high`; half-gain rates dashed."""
    for arm, wide in accuracies.items():
        table = _within_shares(wide, "ci_low", "ci_high")
        mean = table["accuracy"]
        errors = [mean - table["ci_low"], table["ci_high"] - mean]
        axes.errorbar(table["lr"], mean, errors, color=COLORS[arm], marker="o", capsize=3, label=labels[arm])
    for arm, rate in half_gain_rates.items():
        axes.axvline(rate, color=COLORS[arm], linestyle="--", linewidth=1)
    _draw_majority(axes, majority)
    axes.set(xscale="log", xlabel="learning rate; dashed: half-gain rate", ylabel="validation accuracy, last 10 epochs")
    axes.legend(loc="best", edgecolor="none")


def draw_pairs(axes: Axes, pairs: pd.DataFrame, difference: PairedDifference) -> None:
    """Draw each pair's `difference` as a dot in the colour of the better arm, and the mean with its interval."""
    ordered = pairs["difference"].sort_values().to_numpy()
    colors = np.where(ordered > 0, COLORS["bn"], np.where(ordered < 0, COLORS["baseline"], "gray"))
    axes.axhspan(difference.ci_low, difference.ci_high, color="gray", alpha=0.25, linewidth=0)
    axes.axhline(difference.estimate, color="gray", label="mean difference and its interval")
    axes.axhline(0, color="gray", linestyle=":", label="no difference")
    axes.scatter(
        range(1, len(ordered) + 1), ordered, c=colors.tolist(), s=18, zorder=3, rasterized=len(ordered) > MOST_DOTS
    )
    axes.set(xlabel="pairs, from the lowest difference to the highest", ylabel="difference in validation accuracy")
    axes.legend(loc="best", edgecolor="none")


def draw_boundaries(
    panels: Sequence[Axes], surfaces: Tables, rows: Tables, classes: Sequence[str], labels: Labels
) -> None:
    """Draw what one network per arm says over the plane, and the rows.

    `surfaces`: two feature columns, and `probability`, of class 1, or `predicted`, the class; on a grid. `rows`: the
    same features and `label`, the validation rows of that network; `classes`: their names.
    """
    colors = _class_colors(len(classes))
    for axes, (arm, surface) in zip(panels, surfaces.items(), strict=True):
        x, y = surface.columns[:2]
        grid = surface.pivot(index=y, columns=x, values=surface.columns[2])
        if len(classes) == 2:
            shading = _draw_probability(axes, grid, COLORS[arm])
            scale = axes.figure.colorbar(shading, ax=axes)
            scale.ax.set_ylabel(f"probability of class {_shorten(classes[1])}", parse_math=False)
        else:
            _draw_regions(axes, grid, colors)
        _draw_rows(axes, rows[arm], classes, colors)
        axes.set_title(labels[arm], fontsize=10, color=COLORS[arm])
    if len(classes) <= MOST_NAMES:
        for text in panels[-1].legend(loc="best", fontsize=7).get_texts():
            text.set_parse_math(False)  # a name with $ is a name


def draw_dead_layers(axes: Axes, shares: Tables, labels: Labels) -> None:
    """Draw the share of networks with a dead layer over epochs; the column is `dead_layer`, as in `draw_bands`."""
    draw_bands(axes, shares, "dead_layer", "share of networks with a dead layer", labels)
    axes.set_ylim(bottom=0)
    axes.legend(loc="best", edgecolor="none")


def draw_layer_gradients(axes: Axes, gradients: Mapping[str, Mapping[int, pd.DataFrame]], labels: Labels) -> None:
    """Draw of each arm and epoch (the first solid, others dashed) a quantity per layer, on a logarithmic axis.

    Columns: layer, gradient, gradient_ci_low, gradient_ci_high.
    """
    for arm, by_epoch in gradients.items():
        for epoch, table in by_epoch.items():
            style, label = ("-", labels[arm]) if epoch == min(by_epoch) else ("--", None)
            low, high = table["gradient_ci_low"], table["gradient_ci_high"]
            axes.fill_between(table["layer"], low, high, color=COLORS[arm], alpha=0.2, linewidth=0)
            axes.plot(table["layer"], table["gradient"], color=COLORS[arm], linestyle=style, marker=".", label=label)
    axes.set_yscale("log", nonpositive="mask")
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.set(xlabel="hidden layer, from the inputs", ylabel="gradient, relative to the last layer's")
    axes.legend(loc="best", edgecolor="none")


def _draw_majority(axes: Axes, majority: float) -> None:
    axes.axhline(majority, color="gray", linestyle=":", label="always the majority class")


def _within_shares(table: pd.DataFrame, *names: str) -> pd.DataFrame:
    """Return the table with some columns cut off at 0 and 1: no accuracy lies beyond."""
    return table.assign(**{name: table[name].clip(0, 1) for name in names})


def _lift_from_zero(table: pd.DataFrame, name: str, least: float) -> pd.DataFrame:
    """Return the table with bands that begin at `least` where they would begin at 0, which no log axis has."""
    low = f"{name}_ci_low"
    return table.assign(**{low: table[low].where(table[low] > 0, np.minimum(least, table[name]))})


def _draw_probability(axes: Axes, grid: pd.DataFrame, color: str) -> QuadMesh:
    """Draw P(class 1), a table of y by x, and its boundary at 1/2; return the shading."""
    shading = axes.pcolormesh(
        grid.columns, grid.index, grid, cmap="RdBu_r", vmin=0, vmax=1, alpha=0.5, linewidth=0, rasterized=True
    )
    if grid.to_numpy().min() < 0.5 < grid.to_numpy().max():
        axes.contour(grid.columns, grid.index, grid, levels=[0.5], colors=color, linewidths=2)
    return shading


def _draw_regions(axes: Axes, grid: pd.DataFrame, colors: Sequence[Any]) -> None:
    """Draw the predicted class, a table of y by x, in the colour of that class."""
    axes.pcolormesh(
        grid.columns,
        grid.index,
        grid,
        cmap=ListedColormap(colors),
        vmin=-0.5,
        vmax=len(colors) - 0.5,
        alpha=0.4,
        linewidth=0,
        rasterized=True,  # in vector graphics: 10,000 cells are a picture
    )


def _draw_rows(axes: Axes, rows: pd.DataFrame, classes: Sequence[str], colors: Sequence[Any]) -> None:
    """Draw the rows, each in the colour of its class."""
    x, y = rows.columns[:2]
    for label, name in enumerate(classes):
        dots = rows[rows["label"] == label]
        words = f"class {_shorten(name)}"
        axes.scatter(dots[x], dots[y], s=16, color=colors[label], edgecolors="black", linewidths=0.4, label=words)
    axes.set_xlabel(_shorten(x), parse_math=False)
    axes.set_ylabel(_shorten(y), parse_math=False)


def _shorten(name: str) -> str:
    return name if len(name) <= MOST_LETTERS else f"{name[: MOST_LETTERS - 3]}..."


def _class_colors(classes: int) -> Sequence[Any]:
    if classes == 2:
        return TWO_CLASSES
    return list(colormaps["turbo"](np.linspace(0.05, 0.95, classes)))
