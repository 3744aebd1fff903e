"""The statistics where the answer is known: `make calibrate` in small."""

from dataclasses import replace

import pytest
from scipy.stats import binom

from benchmarks.calibrate import (
    NORMALIZED,
    OTHER_ORDER,
    PLAIN,
    RATES,
    Rate,
    compare_same,
    default_tables,
    find_known_effect,
    simulate,
)
from stages.training.loop import Schedule, train_arm
from stages.training.network import Architecture


def is_plausible(rate: Rate, expected: float) -> bool:
    """Tell whether a count is within what 99.9% of binomial counts are within."""
    return binom.ppf(0.0005, rate.trials, expected) <= rate.hits <= binom.ppf(0.9995, rate.trials, expected)


@pytest.mark.whole
def test_equal_arms_are_called_different_at_rate_alpha() -> None:
    for rate in simulate(trials=150, n=32):
        expected = 0.95 if rate.happening == "interval covers it" else 0.05
        assert is_plausible(rate, expected), rate


@pytest.mark.whole
@pytest.mark.parametrize(
    ("architecture", "readings"),
    [
        (PLAIN, ["same rate", "best rates", "other definition"]),
        (NORMALIZED, ["same rate", "best rates", "network itself", "other definition"]),
    ],
)
def test_trainings_that_differ_in_the_order_of_batches_alone_are_called_the_same(
    architecture: Architecture, readings: list[str]
) -> None:
    rates = compare_same(architecture, groups=8, seeds=16, epochs=6, rates=RATES[::2])
    by_claim = [rate for rate in rates if ": " in rate.case]
    by_reading = rates[len(by_claim) :]
    said = [*(f"{reading}: any claim called" for reading in readings), "any claim holds in all readings"]
    assert [rate.happening for rate in by_reading] == said
    assert {rate.case.rsplit(": ")[1].split()[0] for rate in by_claim} >= {"higher_accuracy", "steadier", "regularizes"}
    for rate in rates:
        assert rate.hits <= binom.ppf(0.9995, rate.trials, 0.05), rate


def test_another_order_of_batches_is_another_training() -> None:
    schedule = Schedule([0.1], range(2), epochs=1, batch_size=32)
    _, one = train_arm(*default_tables(), PLAIN, schedule)
    _, other = train_arm(*default_tables(), PLAIN, replace(schedule, order_stream=OTHER_ORDER))
    before, after = one["epoch"] == 0, one["epoch"] == 1
    assert (one[before] == other[before]).all(axis=None)  # the same weights
    assert (one.loc[after, "train_loss"] != other.loc[after, "train_loss"]).all()


@pytest.mark.whole
def test_a_known_effect_is_found() -> None:
    faster, higher = find_known_effect(groups=1, seeds=64, epochs=60)
    assert (faster.hits, higher.hits) == (1, 1)


def test_a_rate_is_printed_beside_its_interval() -> None:
    assert Rate("case", "p < alpha", 5, 100, "0.05").row() == (
        "| case | p < alpha | 0.05 | 0.050 [0.022, 0.112] | 100 |"
    )


@pytest.mark.parametrize(("hits", "plausible"), [(5, True), (14, False), (0, True)])
def test_what_is_plausible(hits: int, plausible: bool) -> None:
    assert is_plausible(Rate("", "", hits, 100, ""), 0.05) == plausible
