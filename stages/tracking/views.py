"""What the menu *Views* of the experiment offers in the MLflow UI, before anybody saves a view there.

MLflow keeps each saved view in a tag of the experiment, as JSON of the UI's own (tests/test_ui.py has it opened by
3.17): a name, and a state of the page, in which the UI fills in what is left out.
"""

import hashlib
import json
from collections.abc import Mapping
from typing import Any

from stages import COLORS

OF_NO_ARM = "#4060c0"  # blue, like neither arm
LIGHTEST, DARKEST = 0.7, 0.2  # shares of white in the shades of experiments

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


def run_color(tags: Mapping[str, str]) -> str:
    """Return the color of a run with these tags: its arm's, and in a DVC experiment a shade of that, by its name.

    MLflow would choose colors of its own, among them what looks like the other arm.
    """
    color = COLORS.get(tags.get("arm", ""), OF_NO_ARM)
    experiment = tags.get("dvc.exp.name")
    if experiment is None or color == OF_NO_ARM:
        return color
    share = hashlib.md5(experiment.encode()).digest()[0] / 255
    return _lighten(color, DARKEST + share * (LIGHTEST - DARKEST))


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
