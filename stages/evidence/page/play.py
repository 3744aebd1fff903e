"""What the page plays with: every pair and every rate, as one JSON with packed arrays.

The keys are those that page.js reads. Arrays are base64 of little-endian numbers: an accuracy over at most 255 rows is
a byte, the number of rows that are right.
"""

import base64
from collections.abc import Sequence
from typing import Any

import numpy as np
from scipy.special import stdtrit

from stages import ARMS
from stages.evidence import endpoints
from stages.evidence.comparison import Comparison
from stages.evidence.networks import Networks
from stages.history.moments import mean_interval

TUTORIAL_GAP = 0.13  # the published final validation accuracies: 0.60 without, 0.73 with batch normalization
MOST_EPOCHS = 500  # of a curve: more than a screen can tell apart
MOST_BYTES = 600_000  # of all pairs together; base64 takes a third more
MOST_ROWS = 300  # of the validation set, as dots on a boundary


def collect_play(comparison: Comparison) -> dict[str, Any]:
    """Return the data of the page."""
    trainings = comparison.trainings
    epochs = _shown_epochs(comparison)
    networks = _drawn_networks(comparison)
    pairs = _count_shown_pairs(comparison, len(epochs), networks)
    return {
        "labels": dict(trainings.contrast.labels),
        "apart": dict(zip(ARMS, trainings.contrast.apart, strict=True)),
        "lr": trainings.lr,
        "epochs": epochs.tolist(),
        "majority": trainings.majority,
        "gap": TUTORIAL_GAP,
        "confidence": comparison.confidence,
        "pairs": _collect_pairs(comparison, epochs, pairs),
        "rates": _collect_rates(comparison, epochs),
        "plane": _collect_plane(comparison, networks, pairs) if networks else None,
    }


def _collect_pairs(comparison: Comparison, epochs: np.ndarray, pairs: int) -> dict[str, Any]:
    """Return the first pairs: their curves, and what each is judged by."""
    trainings, rows = comparison.trainings, len(comparison.val)
    baseline, bn = trainings.at_lr()
    target = _target([baseline.val_accuracy, bn.val_accuracy], comparison)
    quantiles = stdtrit(np.arange(1, pairs), (1 + comparison.confidence) / 2)  # Student's t, for 2 pairs and more
    widenings = [comparison.rules.widening(n) for n in range(2, pairs + 1)]
    collected: dict[str, Any] = {
        "count": pairs,
        "total": len(comparison.pairs),
        "rows": rows,
        "bytes": np.dtype(_count_type(rows)).itemsize,
        "target": target,
        "quantiles": _pack(quantiles * widenings, np.float32),
    }
    for arm, curves in (("baseline", baseline), ("bn", bn)):
        right = np.rint(curves.val_accuracy[epochs, :pairs].T * rows)  # (S, E)
        change = endpoints.fluctuation(curves.val_accuracy, curves.val_loss)
        collected[arm] = {
            "curves": _pack(right, _count_type(rows)),
            "final": _pack(curves.val_accuracy[-1, :pairs], np.float32),
            "change": _pack(change[:pairs], np.float32),
        }
        if target is not None:
            reached = endpoints.epochs_to_target(curves.val_accuracy, target)
            collected[arm]["reached"] = _pack(reached[:pairs], np.float32)
    return collected


def _collect_rates(comparison: Comparison, epochs: np.ndarray) -> list[dict[str, Any]]:
    """Return of each rate and arm mean, lower and upper end of the interval, (3, E) in 1/65535, and what they show."""
    sweeps = comparison.trainings.sweeps
    best = {arm: sweep.final_accuracy.mean(axis=0).argmax() for arm, sweep in sweeps.items()}
    collected = []
    for number, lr in enumerate(sweeps["bn"].rates):
        pair = [sweeps[arm].at(lr).val_accuracy for arm in ARMS]  # (E, S) each
        rate: dict[str, Any] = {
            "lr": float(lr),
            "findings": [_describe_accuracy(pair, comparison), _describe_speed(pair, comparison)],
        }
        for arm, accuracy in zip(ARMS, pair, strict=True):
            band = np.stack(mean_interval(accuracy[epochs])).clip(0, 1)
            final = np.stack(mean_interval(endpoints.final_accuracy(accuracy))).clip(0, 1)
            rate[arm] = {
                "curves": _pack(np.rint(band * np.iinfo(np.uint16).max), np.uint16),
                "final": final.tolist(),
                "best": bool(number == best[arm]),
            }
        collected.append(rate)
    return collected


def _collect_plane(comparison: Comparison, networks: Networks, pairs: int) -> dict[str, Any]:
    """Return the plane of the two features: where it lies, the validation rows in it, and the networks."""
    surface = comparison.surfaces["bn"]
    x, labels = _shown_rows(comparison, pairs)
    return {
        "ranges": [[float(surface[name].min()), float(surface[name].max())] for name in surface.columns[:2]],
        "tables": len(x),
        "rows": _pack(x.swapaxes(1, 2), np.float32),
        "labels": _pack(labels, _count_type(len(comparison.classes))),
        "bytes": np.dtype(_count_type(len(comparison.classes))).itemsize,
        "classes": list(comparison.classes),
        "activation": networks.activation,
        "widths": {arm: list(networks.widths[arm]) for arm in ARMS},
        "networks": {arm: _pack(networks.flat[arm][:pairs], np.float32) for arm in ARMS},
    }


def _shown_rows(comparison: Comparison, pairs: int) -> tuple[np.ndarray, np.ndarray]:
    """Return features (P, N, 2) and classes (P, N) of some validation rows: of each pair, or P = 1, of all pairs."""
    some = slice(None, None, -(-len(comparison.val) // MOST_ROWS))
    if comparison.pair_rows:
        x, y = comparison.pair_rows.of(range(pairs)).validation()
    else:
        table = comparison.val.to_numpy()
        x, y = table[None, :, :-1], table[None, :, -1].astype(int)
    return x[:, some], y[:, some]


def _describe_accuracy(pair: Sequence[np.ndarray], comparison: Comparison) -> str:
    """Say what the claim of a higher accuracy rests on at one rate."""
    finals = [endpoints.final_accuracy(accuracy) for accuracy in pair]
    epochs = min(endpoints.FINAL_EPOCHS, len(pair[0]) - 1)
    means = [f"{final.mean():.3f}" for final in finals]
    return (
        f"Accuracy over the last {epochs} epochs: {comparison.trainings.contrast.compare(*means)};"
        f" {_describe_difference(finals, comparison, '.3f')}."
    )


def _describe_speed(pair: Sequence[np.ndarray], comparison: Comparison) -> str:
    """Say what the claim of a faster training rests on at one rate."""
    target = _target(pair, comparison)
    if target is None:
        return "Speed: not measured, for neither arm gains over the majority class here."
    reached = [endpoints.epochs_to_target(accuracy, target) for accuracy in pair]
    means = [f"{epochs.mean():.0f}" for epochs in reached]
    return (
        f"Epochs to accuracy {target:.3f}, {endpoints.SHARE_OF_BEST_GAIN:.0%} of the best gain here:"
        f" {comparison.trainings.contrast.compare(*means)}; {_describe_difference(reached, comparison, '.0f')}."
    )


def _describe_difference(pair: Sequence[np.ndarray], comparison: Comparison, form: str) -> str:
    baseline, bn = pair
    mean, low, high = comparison.rules.mean_interval(bn - baseline)
    return f"difference {mean:+z{form}}, {100 * comparison.confidence:g}% interval {low:+z{form}} to {high:+z{form}}"


def _target(pair: Sequence[np.ndarray], comparison: Comparison) -> float | None:
    """Return the accuracy to reach; None where neither arm gains as much as matters."""
    baseline, bn = pair
    majority = comparison.trainings.majority
    if endpoints.best_gain(baseline, bn, majority) < comparison.judgement("higher_accuracy").smallest_effect:
        return None
    return endpoints.shared_target(baseline, bn, majority)


def _shown_epochs(comparison: Comparison) -> np.ndarray:
    """Return the epochs that curves show: all of them, or evenly spaced ones with the first and the last."""
    last = len(comparison.mean_curves["bn"]) - 1
    return np.unique(np.linspace(0, last, min(last + 1, MOST_EPOCHS)).round().astype(int))


def _count_shown_pairs(comparison: Comparison, epochs: int, networks: Networks | None) -> int:
    """Return how many pairs the page can hold."""
    of_pair = 2 * epochs * np.dtype(_count_type(len(comparison.val))).itemsize
    if networks:
        of_pair += 4 * sum(flat.shape[1] for flat in networks.flat.values())
    if networks and comparison.pair_rows:
        of_pair += 9 * min(len(comparison.val), MOST_ROWS)  # two features, and a class
    return min(len(comparison.pairs), max(2, MOST_BYTES // of_pair))


def _drawn_networks(comparison: Comparison) -> Networks | None:
    """Return the networks where there is a plane to draw them in, and all of them are there."""
    networks = comparison.networks
    return networks if networks and networks.are_there and comparison.has_plane else None


def _count_type(rows: int) -> type[np.number]:
    """Return the type that holds a number of validation rows."""
    if rows <= np.iinfo(np.uint8).max:
        return np.uint8
    return np.uint16 if rows <= np.iinfo(np.uint16).max else np.uint32


def _pack(values: Any, kind: type[np.number]) -> str:
    """Return numbers in memory order, little-endian, as base64."""
    array = np.ascontiguousarray(values, dtype=np.dtype(kind).newbyteorder("<"))
    return base64.b64encode(array.tobytes()).decode()
