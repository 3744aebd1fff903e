"""Every endpoint on tables small enough to work out by hand."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from stages.evidence.endpoints import (
    accuracy_by_rate,
    epochs_to_target,
    final_accuracy,
    fluctuation,
    generalization_gap,
    load_diagnostics,
    load_history,
    log_covariate_shift,
    log_half_gain_rate,
    seeds_born_dead,
    share_that_reached,
    shared_target,
)
from stages.training.diagnostics import DIAGNOSTICS

NAN, INF = float("nan"), float("inf")


def history(accuracies: dict[float, list[list[float]]], **losses: float) -> pd.DataFrame:
    """Return a history, rows in no helpful order, from the accuracies of each rate: one list per seed."""
    rows = [
        {"lr": lr, "seed": seed, "epoch": epoch, "val_accuracy": accuracy}
        for lr, seeds in accuracies.items()
        for seed, epochs in enumerate(seeds)
        for epoch, accuracy in enumerate(epochs)
    ]
    return pd.DataFrame(rows).assign(**losses).iloc[::-1]


def diagnostics(shifts: list[list[float]]) -> pd.DataFrame:
    """Return diagnostics from the covariate shift: one list per seed."""
    rows = [
        {"seed": float(seed), "epoch": float(epoch), "covariate_shift": shift}
        for seed, epochs in enumerate(shifts)
        for epoch, shift in enumerate(epochs)
    ]
    return pd.DataFrame(rows).iloc[::-1]


@pytest.mark.parametrize(
    ("accuracies", "epoch"),
    [
        ([0.5, 0.7, 0.7, 0.7, 0.5], 1),
        ([0.7, 0.7, 0.7, 0.5, 0.5], 0),
        ([0.5, 0.5, 0.7, 0.8, 0.9], 2),
        ([0.7, 0.7, 0.5, 0.7, 0.7], 4),  # never three running: censored at the last epoch
        ([0.5, 0.5, 0.5, 0.5, 0.5], 4),
        ([0.7, 0.7], 1),  # too short to tell
    ],
)
def test_epochs_to_target(accuracies: list[float], epoch: int) -> None:
    assert epochs_to_target(history({0.1: [accuracies]}), 0.1, 0.7).tolist() == [epoch]


def test_share_that_reached() -> None:
    table = history({0.1: [[0.5, 0.7, 0.7, 0.7], [0.7, 0.5, 0.7, 0.7], [0.9] * 4, [0.1] * 4]})
    assert share_that_reached(table, 0.1, 0.7) == 0.5


def test_target_is_the_same_whichever_arm_is_better() -> None:
    worse = history({0.1: [[0.5, 0.6], [0.5, 0.6]]})
    better = history({0.1: [[0.5, 0.9, 0.6], [0.5, 0.7, 0.8]]})  # mean over seeds: 0.5, 0.8, 0.7
    assert shared_target(worse, better, 0.1, 0.5) == pytest.approx(0.5 + 0.9 * 0.3)
    assert shared_target(better, worse, 0.1, 0.5) == shared_target(worse, better, 0.1, 0.5)


def test_final_accuracy_is_the_mean_of_the_last_ten_epochs() -> None:
    assert final_accuracy(history({0.1: [[0.0, 0.0, *[0.4, 0.6] * 5]]}), 0.1) == pytest.approx([0.5])
    assert final_accuracy(history({0.1: [[0.0, 0.4, 0.8]]}), 0.1) == pytest.approx([0.6])  # never before training


@pytest.mark.parametrize(
    ("accuracies", "change"),
    [
        ([0.0, 1.0, 0.5, 0.6, 0.4], 0.15),  # of four epochs the last two: +0.1 and -0.2
        ([0.0, 1.0, 0.5, 0.6], 0.3),  # of three epochs the last two: -0.5 and +0.1
        ([0.2, 0.7], 0.5),
        ([0.0, 1.0, 0.5, 0.5, 0.5], 0.0),
    ],
)
def test_fluctuation(accuracies: list[float], change: float) -> None:
    assert fluctuation(history({0.1: [accuracies]}, val_loss=1.0), 0.1) == pytest.approx([change])


def test_a_diverged_network_is_not_steady() -> None:
    assert np.isnan(fluctuation(history({0.1: [[0.5, 0.0, 0.0]]}, val_loss=NAN), 0.1)).all()


def test_covariate_shift_is_averaged_over_the_epochs_that_a_pair_shares() -> None:
    baseline = diagnostics([[9, 1, 3], [9, 1, NAN], [9, NAN, NAN], [9, 0, 0], [9, INF, 2]])
    bn = diagnostics([[9, 4, 4], [9, 2, 8], [9, 1, 1], [9, 1, 1], [9, 1, 6]])
    without, with_bn = log_covariate_shift(baseline, bn)
    np.testing.assert_allclose(without, np.log([2, 1, NAN, NAN, 2]))
    np.testing.assert_allclose(with_bn[[0, 1, 4]], np.log([4, 2, 6]))


def test_generalization_gap_is_that_of_the_last_epoch() -> None:
    table = history({0.1: [[0.5, 0.5], [0.5, 0.5]]}).sort_values(["seed", "epoch"])
    table = table.assign(train_loss=[9, 0.25, 9, INF], val_loss=[9, 1.0, 9, INF])
    np.testing.assert_array_equal(generalization_gap(table, 0.1), [0.75, NAN])


def test_accuracy_by_rate_has_a_row_per_seed_and_the_rates_ascending() -> None:
    rates, accuracy = accuracy_by_rate(history({0.1: [[0, 0.7], [0, 0.8]], 1.0: [[0, 0.5], [0, 0.6]]}))
    assert rates.tolist() == [0.1, 1.0]
    np.testing.assert_allclose(accuracy, [[0.7, 0.5], [0.8, 0.6]])


@pytest.mark.parametrize(
    ("gain", "log_rate"),
    [
        ([0.4, 0.3, 0.1, 0.0], -1.5),  # half of 0.4 lies midway between 0.3 at -2 and 0.1 at -1
        ([0.2, 0.4, 0.2, 0.0], -1),  # exactly half, at a rate of the sweep
        ([0.4, 0.2, 0.2, 0.0], -2),
        ([0.1, 0.4, 0.1, 0.4], 0),  # of equally good rates the highest; nothing above it: censored
        ([0.4, 0.1, 0.4, 0.1], -1 + 2 / 3),
        ([0.1, 0.4, 0.0, 0.3], -1.5),  # the first fall counts
        ([0.1, 0.2, 0.3, 0.4], 0),
        ([0.4, 0.4, 0.4, 0.3], 0),
        ([0.0, 0.0, 0.0, 0.0], -3),  # no gain at any rate
        ([-0.1, -0.2, -0.1, -0.3], -3),
        ([0.4, 0.0, -0.4, 0.0], -2.5),
    ],
)
def test_half_gain_rate(gain: list[float], log_rate: float) -> None:
    rates = np.array([0.001, 0.01, 0.1, 1.0])
    assert log_half_gain_rate(np.array(gain), rates) == pytest.approx(log_rate)
    np.testing.assert_allclose(log_half_gain_rate(np.array([[gain, gain]]), rates), [[log_rate, log_rate]])


def test_seeds_born_dead_are_dead_before_training() -> None:
    table = pd.DataFrame({"seed": [0.0, 0, 1, 1, 2, 2], "epoch": [0.0, 1] * 3, "dead_layer": [0.0, 1, 1, 1, 1, 0]})
    assert seeds_born_dead(table) == {1, 2}


@pytest.mark.parametrize("epochs", [4, 10, 11, 30])
def test_what_is_not_read_of_a_history_changes_nothing(tmp_path: Path, epochs: int) -> None:
    random = np.random.default_rng(0)
    accuracies = {lr: random.uniform(size=(3, epochs + 1)).tolist() for lr in (0.1, 0.2, 0.4)}
    whole = history(accuracies, val_loss=0.5, train_loss=0.25)
    whole.to_parquet(tmp_path / "history.parquet", index=False, row_group_size=7)  # of some groups no row is read
    read = load_history(tmp_path / "history.parquet", 0.2, epochs)
    assert len(read) == 3 * (epochs + 1 + 2 * min(epochs + 1, 11))
    for left, right in zip(accuracy_by_rate(read), accuracy_by_rate(whole), strict=True):
        np.testing.assert_array_equal(left, right)
    np.testing.assert_array_equal(fluctuation(read, 0.2), fluctuation(whole, 0.2))


def test_of_diagnostics_what_is_looked_at_is_read_whole(tmp_path: Path) -> None:
    random = np.random.default_rng(0)
    rows = np.array([(seed, epoch) for seed in range(3) for epoch in range(11)])
    whole = pd.DataFrame(rows, columns=["seed", "epoch"]).assign(
        **{name: random.uniform(size=len(rows)) for name in DIAGNOSTICS}
    )
    whole.to_parquet(tmp_path / "diagnostics.parquet", index=False, row_group_size=7)
    read = load_diagnostics(tmp_path / "diagnostics.parquet")
    percentiles = ["input_p15", "input_p50", "input_p85"]
    pd.testing.assert_frame_equal(read, whole.drop(columns=percentiles), check_dtype=False, check_like=True)
