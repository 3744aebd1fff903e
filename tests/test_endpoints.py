"""Every endpoint on tables small enough to work out by hand."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from stages import ARMS, MEASURES
from stages.evidence.endpoints import (
    epochs_to_target,
    final_accuracy,
    fluctuation,
    generalization_gap,
    log_covariate_shift,
    log_rate_at_mark,
    share_that_reached,
    shared_mark,
    shared_target,
)
from stages.evidence.trainings import Inside, PairedTrainings, Sweep, read_layer_gradients

NAN, INF = float("nan"), float("inf")


def by_epoch(*seeds: list[float]) -> np.ndarray:
    """Return a measure as (E, S) from one list of epochs per seed."""
    return np.array(seeds, dtype=float).T


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
    assert epochs_to_target(by_epoch(accuracies), 0.7).tolist() == [epoch]


def test_share_that_reached() -> None:
    accuracy = by_epoch([0.5, 0.7, 0.7, 0.7], [0.7, 0.5, 0.7, 0.7], [0.9] * 4, [0.1] * 4)
    assert share_that_reached(accuracy, 0.7) == 0.5


def test_target_is_the_same_whichever_arm_is_better() -> None:
    worse = by_epoch([0.5, 0.6], [0.5, 0.6])
    better = by_epoch([0.5, 0.9, 0.6], [0.5, 0.7, 0.8])  # mean over seeds: 0.5, 0.8, 0.7
    assert shared_target(worse, better, 0.5) == pytest.approx(0.5 + 0.9 * 0.3)
    assert shared_target(better, worse, 0.5) == shared_target(worse, better, 0.5)


def test_final_accuracy_is_the_mean_of_the_last_ten_epochs() -> None:
    assert final_accuracy(by_epoch([0.0, 0.0, *[0.4, 0.6] * 5])) == pytest.approx([0.5])
    assert final_accuracy(by_epoch([0.0, 0.4, 0.8])) == pytest.approx([0.6])  # never before training


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
    accuracy = by_epoch(accuracies)
    assert fluctuation(accuracy, np.ones_like(accuracy)) == pytest.approx([change])


def test_a_diverged_network_is_not_steady() -> None:
    accuracy = by_epoch([0.5, 0.0, 0.0], [0.5, 0.0, 0.0])
    loss = by_epoch([1.0, 1.0, NAN], [NAN, 1.0, 1.0])  # the second was lost before the last half alone
    np.testing.assert_array_equal(fluctuation(accuracy, loss), [NAN, 0.0])


def test_covariate_shift_is_averaged_over_the_epochs_that_a_pair_shares() -> None:
    baseline = by_epoch([1, 3], [1, NAN], [NAN, NAN], [0, 0], [INF, 2])
    bn = by_epoch([4, 4], [2, 8], [1, 1], [1, 1], [1, 6])
    without, with_bn = log_covariate_shift(baseline, bn)
    np.testing.assert_allclose(without, np.log([2, 1, NAN, NAN, 2]))
    np.testing.assert_allclose(with_bn[[0, 1, 4]], np.log([4, 2, 6]))


def test_generalization_gap_is_that_of_the_last_epoch() -> None:
    train_loss, val_loss = by_epoch([9, 0.25], [9, INF]), by_epoch([9, 1.0], [9, INF])
    np.testing.assert_array_equal(generalization_gap(train_loss, val_loss), [0.75, NAN])


def test_endpoints_take_several_rates_at_once() -> None:
    random = np.random.default_rng(0)
    accuracy, loss, other = random.uniform(size=(3, 4, 30, 6))  # (L, E, S) each
    endpoints = {
        final_accuracy: (accuracy,),
        fluctuation: (accuracy, loss),
        generalization_gap: (loss, other),
    }
    for endpoint, measures in endpoints.items():
        each = [endpoint(*(measure[rate] for measure in measures)) for rate in range(4)]
        np.testing.assert_array_equal(endpoint(*measures), each)
    each = [epochs_to_target(accuracy[rate], 0.6) for rate in range(4)]
    np.testing.assert_array_equal(epochs_to_target(accuracy, 0.6), each)


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
def test_the_rate_with_half_of_the_own_gain(gain: list[float], log_rate: float) -> None:
    rates, mark = np.array([0.001, 0.01, 0.1, 1.0]), np.array(max(gain) / 2)
    assert log_rate_at_mark(np.array(gain), mark, rates) == pytest.approx(log_rate)
    many = log_rate_at_mark(np.array([[gain, gain]]), np.array([[mark, mark]]), rates)
    np.testing.assert_allclose(many, [[log_rate, log_rate]])


@pytest.mark.parametrize(
    ("gain", "log_rate"),
    [
        ([0.4, 0.3, 0.1, 0.0], -1.5),  # 0.2 lies midway between 0.3 at -2 and 0.1 at -1
        ([0.3, 0.25, 0.15, 0.0], -1.5),
        ([0.1, 0.3, 0.1, 0.3], 0),
        ([0.1, 0.18, 0.1, 0.1], -2),  # it never gets to 0.2: its best rate
        ([0.2, 0.1, 0.1, 0.1], -3),  # it just gets there
        ([0.25, 0.25, 0.25, 0.25], 0),
    ],
)
def test_the_rate_at_a_shared_mark(gain: list[float], log_rate: float) -> None:
    rates, other = np.array([0.001, 0.01, 0.1, 1.0]), np.array([0.0, 0.4, 0.0, 0.0])
    for pair in ((np.array(gain), other), (other, np.array(gain))):
        mark = shared_mark(*pair)
        assert mark == pytest.approx(0.2)
        assert log_rate_at_mark(np.array(gain), mark, rates) == pytest.approx(log_rate)


@pytest.fixture
def history() -> pd.DataFrame:
    """Three rates, four seeds, epochs 0 to 5, with measures of their own."""
    index = pd.MultiIndex.from_product([(0.1, 0.2, 0.4), range(4), range(6)], names=["lr", "seed", "epoch"])
    values = np.random.default_rng(0).uniform(size=(len(index), len(MEASURES)))
    return pd.DataFrame(values, index=index, columns=list(MEASURES)).reset_index()


def test_a_sweep_has_every_measure_by_rate_epoch_and_seed(history: pd.DataFrame, tmp_path: Path) -> None:
    shuffled = history.sample(frac=1, random_state=1)
    history.to_parquet(tmp_path / "history.parquet", index=False, row_group_size=7)
    for sweep in (Sweep.of(shuffled), Sweep.open(tmp_path / "history.parquet")):
        assert (sweep.rates.tolist(), sweep.seeds.tolist()) == ([0.1, 0.2, 0.4], [0, 1, 2, 3])
        for row in history.itertuples():
            rate = list(sweep.rates).index(row.lr)
            for name in MEASURES:
                assert sweep.read(name, rate)[row.epoch, row.seed] == getattr(row, name)
        for name in ("train_loss", "val_loss", "val_accuracy"):
            np.testing.assert_array_equal(getattr(sweep.at(0.2), name), sweep.read(name, 1))


def test_a_sweep_without_seeds_is_that_of_a_history_without_them(history: pd.DataFrame) -> None:
    rest, expected = Sweep.of(history).without({0, 2}), Sweep.of(history[history["seed"].isin([1, 3])])
    assert rest.seeds.tolist() == [1, 3]
    for rate in rest.rates:
        np.testing.assert_array_equal(rest.at(rate).val_loss, expected.at(rate).val_loss)
    assert rest.at(0.1).val_loss.flags.c_contiguous  # else the last digits of its means would be others


def test_final_accuracy_of_a_sweep_has_a_row_per_seed(history: pd.DataFrame) -> None:
    sweep = Sweep.of(history)
    by_rate = [final_accuracy(sweep.at(rate).val_accuracy) for rate in sweep.rates]
    np.testing.assert_array_equal(sweep.final_accuracy, np.transpose(by_rate))


def test_seeds_born_dead_in_either_arm_are_dead_before_training() -> None:
    dead_later = pd.DataFrame({"seed": [0.0, 0, 1, 1], "epoch": [0.0, 1] * 2, "dead_layer": [0.0, 1, 0, 0]})
    dead_first = pd.DataFrame({"seed": [0.0, 0, 1, 1], "epoch": [0.0, 1] * 2, "dead_layer": [0.0, 0, 1, 0]})
    for pair in ((dead_later, dead_first), (dead_first, dead_later)):
        diagnostics = {arm: Inside.of(table) for arm, table in zip(ARMS, pair, strict=True)}
        trainings = PairedTrainings({}, diagnostics, lr=0.1, majority=0.5, train_rows=4, batch_size=2, parameters=9)
        assert trainings.born_dead() == {1}


def test_a_diagnostic_is_read_by_epoch_and_seed(tmp_path: Path) -> None:
    rows = np.array([(seed, epoch) for seed in range(3) for epoch in range(11)])
    whole = pd.DataFrame(rows, columns=["seed", "epoch"]).assign(input_shift=np.arange(33.0), dead_layer=0.0)
    whole.to_parquet(tmp_path / "diagnostics.parquet", index=False, row_group_size=7)
    for inside in (Inside.open(tmp_path / "diagnostics.parquet"), Inside.of(whole.sample(frac=1, random_state=1))):
        np.testing.assert_array_equal(inside.read("input_shift"), np.arange(33.0).reshape(3, 11).T)
        np.testing.assert_array_equal(inside.without({1}).read("input_shift"), inside.read("input_shift")[:, [0, 2]])


def test_of_gradients_by_layer_the_hidden_ones_are_read_at_the_first_and_last_epoch(tmp_path: Path) -> None:
    rows = pd.DataFrame([(seed, epoch) for seed in range(3) for epoch in range(11)], columns=["seed", "epoch"])
    names = [f"layer_gradient_{layer}" for layer in (1, 2, 3)]
    whole = rows.assign(gradient_cosine=0.5, **dict.fromkeys(names, 10 * rows["seed"] + rows["epoch"]))
    whole.to_parquet(tmp_path / "diagnostics.parquet", index=False, row_group_size=7)
    read = read_layer_gradients(tmp_path / "diagnostics.parquet", epochs=10)
    assert list(read.columns) == ["seed", "epoch", "layer_gradient_1", "layer_gradient_2"]
    assert read["layer_gradient_2"].tolist() == [1, 10, 11, 20, 21, 30]
