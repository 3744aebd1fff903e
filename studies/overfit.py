"""Where a network can overfit: what batch normalization does to the gap, batch size by batch size."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

from stages import ARMS, COLORS
from stages.evidence.curves import final_values
from stages.evidence.endpoints import final_accuracy, generalization_gap
from stages.evidence.paired import mean_interval
from studies.experiments import Outputs, Study
from studies.measures import LABELS, Analysis, Number, mean_of, ratio_of, ratio_slope_of, slopes

if TYPE_CHECKING:
    from matplotlib.axes import Axes

ENDPOINTS = {
    "gap": (generalization_gap, "validation loss less training loss, nats"),
    "accuracy": (final_accuracy, "validation accuracy, last 10 epochs"),
}


def analyse(study: Study, outputs: Mapping[str, Outputs]) -> Analysis:
    """Compare the arms at every batch size, and the effect of batch normalization across batch sizes."""
    runs = list(outputs.values())
    experiments = " ".join(run.experiment for run in runs)
    sizes = [run.params["batch_size"] for run in runs]
    doublings = np.log2(sizes)
    numbers = [Number("rows", "training rows", len(runs[0].rows("train")), experiments=experiments)]
    pairs = {name: [] for name in ENDPOINTS}
    for run in runs:
        measured = _measure(run)  # each (2, S)
        numbers += _of_size(measured, run)
        for name, of_endpoint in pairs.items():
            of_endpoint.append(measured[name])
    values = {name: np.stack(of_endpoint) for name, of_endpoint in pairs.items()}  # (X, 2, S) each
    for name, (_, words) in ENDPOINTS.items():
        effects = values[name][:, 1] - values[name][:, 0]  # (X, S)
        what = f"{words}, with less without: change per doubling of the batch"
        numbers.append(mean_of(f"{name}_trend", what, slopes(effects, doublings), experiments))
    numbers += _shares(values["gap"], doublings, runs)
    numbers.append(_early_gap(runs[-1]))
    labels = {name: words for name, (_, words) in ENDPOINTS.items()}
    return Analysis(
        numbers,
        lambda *panels: [
            _draw(axes, sizes, values[name], labels[name]) for axes, name in zip(panels, labels, strict=True)
        ],
        f"mean over {values['gap'].shape[-1]} paired seeds with its 95% interval; the largest batch is all rows",
        panels=2,
    )


def _measure(run: Outputs) -> dict[str, np.ndarray]:
    """Return the endpoints and the final training accuracy of both arms, (2, S) each."""
    histories, lr = [run.history(arm) for arm in ARMS], run.params["lr"]
    measured = {name: np.stack([of(history, lr) for history in histories]) for name, (of, _) in ENDPOINTS.items()}
    train = [final_values(history, lr)["train_accuracy"].to_numpy() for history in histories]
    return measured | {"train": np.stack(train)}


def _early_gap(run: Outputs) -> Number:
    """Return the difference in the gap after a quarter of the training."""
    lr, epoch = run.params["lr"], run.params["epochs"] // 4
    histories = [run.history(arm) for arm in ARMS]
    without, with_bn = (generalization_gap(history[history["epoch"] <= epoch], lr) for history in histories)
    size = run.params["batch_size"]
    what = f"{ENDPOINTS['gap'][1]}, batches of {size}, after {epoch} epochs, with less without"
    return mean_of(f"early_{size}", what, with_bn - without, run.experiment)


def _of_size(measured: Mapping[str, np.ndarray], run: Outputs) -> list[Number]:
    """Return of one batch size the means of both arms, and of the endpoints the difference."""
    size, numbers = run.params["batch_size"], []
    words = {name: words for name, (_, words) in ENDPOINTS.items()} | {"train": "final training accuracy"}
    for name, pair in measured.items():
        what = f"{words[name]}, batches of {size}"
        for arm, values in zip(ARMS, pair, strict=True):
            numbers.append(mean_of(f"{arm}_{name}_{size}", f"{what}, {LABELS[arm]}", values, run.experiment))
        if name in ENDPOINTS:
            difference = pair[1] - pair[0]
            numbers.append(mean_of(f"{name}_{size}", f"{what}, with less without", difference, run.experiment))
    return numbers


def _shares(gaps: np.ndarray, doublings: np.ndarray, runs: Sequence[Outputs]) -> list[Number]:
    """Return of the gaps (X, 2, S) the share that batch normalization takes away, and its trend."""
    without, with_bn = gaps.swapaxes(0, 1)
    what = "share of the gap that batch normalization takes away"
    experiments = [run.experiment for run in runs]
    shares = [
        ratio_of(f"share_{2**doubling:.0f}", f"{what}, batches of {2**doubling:.0f}", all_of_it - rest, all_of_it, name)
        for doubling, all_of_it, rest, name in zip(doublings, without, with_bn, experiments, strict=True)
    ]
    trend = f"{what}: change per doubling of the batch"
    return [*shares, ratio_slope_of("share_trend", trend, without - with_bn, without, doublings, " ".join(experiments))]


def _draw(axes: "Axes", sizes: Sequence[int], values: np.ndarray, label: str) -> None:
    """Draw an endpoint of both arms, (X, 2, S)."""
    for row, arm in enumerate(ARMS):
        mean, low, high = mean_interval(values[:, row])  # (X,) each
        axes.errorbar(
            sizes, mean, [mean - low, high - mean], color=COLORS[arm], marker="o", capsize=3, label=LABELS[arm]
        )
    axes.set_xscale("log", base=2)
    axes.set_xticks(sizes, [str(size) for size in sizes])
    axes.set(xlabel="batch size, rows", ylabel=label)
    axes.legend(loc="best", edgecolor="none", fontsize=8)
