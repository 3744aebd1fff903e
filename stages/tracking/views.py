"""What the menu *Views* of the experiment offers in the MLflow UI, before anybody saves a view there.

MLflow keeps each saved view in a tag of the experiment, as JSON of the UI's own (tests/test_ui.py has it opened by
3.17): a name, and a state of the page, in which the UI fills in what is left out.
"""

import json
from collections.abc import Sequence
from typing import Any

from stages import COLORS

OF_NO_ARM = "#4060c0"  # blue, like neither arm
LIGHTEST, DARKEST = 0.7, 0.2  # shares of white in the shades of experiments
SHARES = (0.0, 1.0, 0.5, 0.25, 0.75)  # of the way from the darkest to the lightest

_ARMS = "tags.arm IS NOT NULL AND tags.mlflow.parentRunId IS NULL"
_SINGLE_RATES = "tags.mlflow.parentRunId IS NOT NULL"


def view_tags() -> dict[str, str]:
    """Return the tags that give an experiment its saved views; each is opened by `viewStateShareKey=KEY` too."""
    accuracy_and_loss = [_line("val_accuracy"), _line("val_loss")]
    return {
        **_view("arms", "Arms", _ARMS, [*accuracy_and_loss, _line("train_accuracy"), _line("train_loss")]),
        **_view("arms-by-rate", "Arms, by learning rate", _ARMS, accuracy_and_loss, groupBy=_GROUPS),
        **_view("rates", "Learning rates", _SINGLE_RATES, [_PARALLEL, _SCATTER, *accuracy_and_loss], **_SORTED),
    }


def run_color(arm: str | None) -> str:
    """Return the color of an arm's run outside of experiments, and of a comparison.

    MLflow would choose colors of its own, among them what looks like the other arm.
    """
    return COLORS.get(arm or "", OF_NO_ARM)


def choose_shade(color: str, recent: Sequence[str]) -> str:
    """Return a shade of an arm's color for a DVC experiment: not one of `recent`, newest first, or the oldest of them.

    They come in an order in which each is far from those before.
    """
    shades = [_lighten(color, DARKEST + share * (LIGHTEST - DARKEST)) for share in SHARES]
    return max(shades, key=lambda shade: recent.index(shade) if shade in recent else len(recent))


def _lighten(color: str, white: float) -> str:
    """Return a color as in #008000, mixed with a share of white."""
    channels = [int(color[start : start + 2], 16) for start in (1, 3, 5)]
    lighter = [round(channel + white * (255 - channel)) for channel in channels]
    return "#" + "".join(f"{channel:02x}" for channel in lighter)


def _view(key: str, name: str, search: str, charts: list[dict[str, Any]], **more: Any) -> dict[str, str]:
    state = {
        "searchFilter": search,
        "selectedColumns": ["params.`lr`", "metrics.`val_accuracy`", "tags.`arm`"],
        "runsHiddenMode": "SHOW_ALL",
        "compareRunCharts": charts,
        "compareRunSections": [{"uuid": "means", "name": "Means over seeds", "display": True, "columns": 2}],
        **more,
    }
    view = {"name": name, "createdAt": 0, "updatedAt": 0, "state": json.dumps(state)}
    return {f"mlflow.sharedViewState.{key}": json.dumps(view)}


def _chart(kind: str, **more: Any) -> dict[str, Any]:
    return {
        "type": kind,
        "uuid": "-".join([kind, *more.get("selectedMetricKeys", [])]),
        "metricSectionId": "means",
    } | more


def _line(metric: str) -> dict[str, Any]:
    """Return a chart over epochs; losses of networks that diverge need a logarithmic scale."""
    scale = "log" if metric.endswith("loss") else "linear"
    smoothing = {"useGlobalLineSmoothing": False, "lineSmoothness": 0}
    return _chart("LINE", metricKey=metric, selectedMetricKeys=[metric], scaleType=scale, **smoothing)


# Nested in collapsed rows, as they are in order of creation, the runs of single rates would not be drawn.
_SORTED = {"orderByKey": "params.`lr`", "orderByAsc": True}
_GROUPS = {
    "aggregateFunction": "average",
    "groupByKeys": [{"mode": "param", "groupByData": "lr"}, {"mode": "tag", "groupByData": "arm"}],
}
_PARALLEL = _chart("PARALLEL", selectedParams=["arm", "log10_lr"], selectedMetrics=["val_accuracy"], showAllRuns=True)
_SCATTER = _chart(
    "SCATTER",
    xaxis={"type": "PARAM", "key": "log10_lr"},
    yaxis={"type": "METRIC", "key": "val_accuracy"},
    runsCountToCompare=100,
)
