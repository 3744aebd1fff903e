import os
import subprocess
import sys

import numpy as np
import pandas as pd
import pytest
import scipy.stats
from conftest import ROOT
from matplotlib.figure import Figure

from stages import COLORS, MEASURES
from stages.evidence.figures import draw_comparison
from stages.evidence.paired import paired_difference, ratio_of_medians
from stages.evidence.titles import state_accuracy
from stages.evidence.verdicts import INCONCLUSIVE, NO_PRACTICAL_DIFFERENCE, REFUTED, SUPPORTED, Judgement
from stages.history.curves import by_epoch_and_seed, final_values, median_seed, summarize_epochs
from stages.history.moments import mean_interval
from stages.history.wording import BATCH_NORM


@pytest.fixture
def history() -> pd.DataFrame:
    """Two rates, three seeds, epochs 0 and 1, in no particular order; every measure is 100 lr + seed + epoch / 10."""
    rows = [(lr, seed, epoch) for epoch in (1, 0) for seed in (2, 0, 1) for lr in (0.01, 0.1)]
    table = pd.DataFrame(rows, columns=["lr", "seed", "epoch"])
    value = 100 * table["lr"] + table["seed"] + table["epoch"] / 10
    return table.assign(**dict.fromkeys(MEASURES, value))


def test_values_are_ordered_by_epoch_and_seed(history: pd.DataFrame) -> None:
    np.testing.assert_allclose(by_epoch_and_seed(history, 0.1, "val_loss"), [[10, 11, 12], [10.1, 11.1, 12.1]])
    np.testing.assert_allclose(final_values(history, 0.01)["val_accuracy"], [1.1, 2.1, 3.1])


def test_curves_hold_means_and_students_intervals(history: pd.DataFrame) -> None:
    curves = summarize_epochs(history, 0.1)
    assert list(curves["epoch"]) == [0, 1]
    np.testing.assert_allclose(curves["train_loss"], [11, 11.1])
    low, high = scipy.stats.t.interval(0.95, 2, loc=11, scale=1 / np.sqrt(3))
    np.testing.assert_allclose(
        curves.loc[0, ["val_accuracy_ci_low", "val_accuracy_ci_high"]].astype(float), [low, high]
    )


@pytest.mark.parametrize(
    ("accuracies", "seed"),
    [([0.1, 0.9, 0.5], 2), ([0.1, 0.2, 0.3, 0.4], 1), ([0.5, 0.5, 0.5], 0), ([0.9, 0.3, 0.3], 1)],
)
def test_median_seed(accuracies: list[float], seed: int) -> None:
    assert median_seed(pd.DataFrame({"val_accuracy": accuracies})) == seed


def test_mean_interval_covers_at_its_rate() -> None:
    samples = np.random.default_rng(0).normal(3, 2, size=(4000, 12))
    _, low, high = mean_interval(samples)
    assert ((low < 3) & (high > 3)).mean() == pytest.approx(0.95, abs=0.012)


def test_sign_flips_by_hand() -> None:
    # Of the 8 ways to sign 1, 2, 3, two reach a mean as far from zero as theirs: all plus and all minus.
    assert paired_difference(np.zeros(3), np.array([1.0, 2.0, 3.0])).p_value == pytest.approx(0.25)
    # 3 - 1 = 2: reached or passed by +-2, +-4 of the 4 sums -4, -2, 2, 4.
    assert paired_difference(np.array([0.0, 1.0]), np.array([3.0, 0.0])).p_value == pytest.approx(1.0)


def test_difference_is_that_of_scipy() -> None:
    random = np.random.default_rng(5)
    baseline, bn = random.normal(size=40), random.normal(0.4, size=40)
    measured = paired_difference(baseline, bn, alpha=0.1)
    expected = scipy.stats.ttest_rel(bn, baseline)
    assert measured.estimate == pytest.approx((bn - baseline).mean())
    assert (measured.ci_low, measured.ci_high) == pytest.approx(tuple(expected.confidence_interval(0.9)))
    assert measured.p_value == pytest.approx(expected.pvalue, abs=0.01)


def test_swapping_the_arms_turns_the_sign() -> None:
    random = np.random.default_rng(6)
    one, other = random.exponential(size=30), random.normal(size=30)
    there, back = paired_difference(one, other), paired_difference(other, one)
    assert there.estimate == -back.estimate
    assert there.p_value == pytest.approx(back.p_value, abs=0.01)
    assert (there.ci_low, there.ci_high) == pytest.approx((-back.ci_high, -back.ci_low))


def test_noise_that_both_arms_share_cancels() -> None:
    random = np.random.default_rng(7)
    shared, own = random.normal(scale=100, size=50), random.normal(1, 0.1, size=50)
    assert paired_difference(shared, shared + own).ci_low > 0.9


@pytest.mark.parametrize("shift", [0.0, 0.25, 0.1, 0.5])
def test_equal_differences_have_an_interval_of_no_width(shift: float) -> None:
    baseline = np.array([0.39, 0.37, 0.37, 0.16, 0.48, 0.06, 0.06, 0.19])  # plus the shift, equal but for rounding
    measured = paired_difference(baseline, baseline + shift)
    assert (measured.ci_low, measured.estimate, measured.ci_high) == pytest.approx((shift, shift, shift))
    assert measured.p_value == pytest.approx(1.0 if shift == 0 else 2 / 2**8)


def test_interval_covers_and_test_rejects_at_their_rates() -> None:
    random = np.random.default_rng(8)
    measured = [paired_difference(np.zeros(25), random.normal(size=25), resamples=499) for _ in range(400)]
    covered = np.mean([difference.ci_low < 0 < difference.ci_high for difference in measured])
    rejected = np.mean([difference.p_value < 0.05 for difference in measured])
    assert covered == pytest.approx(0.95, abs=0.033)
    assert rejected == pytest.approx(0.05, abs=0.033)  # three standard errors


@pytest.mark.parametrize("bad", [np.array([1.0, np.nan]), np.ones((2, 2))])
def test_values_that_cannot_be_compared_are_refused(bad: np.ndarray) -> None:
    with pytest.raises(ValueError, match="expected finite pairs of shape"):
        paired_difference(np.zeros_like(bad), bad)


@pytest.mark.parametrize(
    ("verdict", "finding"),
    [
        (SUPPORTED, "Layer normalization raises the final validation accuracy"),
        (REFUTED, "Layer normalization lowers the final validation accuracy"),
        (NO_PRACTICAL_DIFFERENCE, "Layer normalization makes no practical difference to the final validation accuracy"),
        (INCONCLUSIVE, "Whether layer normalization raises or lowers the final validation accuracy is not established"),
    ],
)
def test_a_title_says_no_more_than_its_verdict(verdict: str, finding: str) -> None:
    judged = Judgement("higher_accuracy", verdict, estimate=-0.02, ci_low=-0.03, ci_high=-0.01, n=16)
    words = {200: "mean of the last 10 epochs", 4: "mean of the last 4 epochs", 1: "after the only epoch"}
    for epochs, over in words.items():
        title = state_accuracy(judged, "Layer normalization", 0.95, epochs)
        assert title == f"{finding}:\n-2.0 points ({over}), 95% interval [-3.0, -1.0]"


def test_a_title_without_a_measurement_has_no_number() -> None:
    assert state_accuracy(Judgement("higher_accuracy"), "It", 0.95, 9) == "Final validation accuracy: not measured"


def test_ratio_of_medians_covers_at_its_rate() -> None:
    random = np.random.default_rng(9)
    covered = []
    for _ in range(150):
        shared = random.normal(size=60)
        baseline, bn = np.exp(shared + random.normal(size=(2, 60)))
        ratio, low, high = ratio_of_medians(baseline, 3 * bn, resamples=400)
        assert ratio == pytest.approx(3 * np.median(bn) / np.median(baseline))
        covered.append(low <= 3 <= high)
    assert np.mean(covered) == pytest.approx(0.95, abs=0.055)  # three standard errors
    assert ratio_of_medians(np.zeros(9), np.ones(9)) == (np.inf, np.inf, np.inf)


def test_comparison_is_black_without_and_green_with() -> None:
    columns = ["epoch", "val_accuracy", "val_accuracy_ci_low", "val_accuracy_ci_high"]
    curves = {
        "baseline": pd.DataFrame([[0, 0.5, 0.4, 0.6], [1, 0.6, 0.5, 0.7]], columns=columns),
        "bn": pd.DataFrame([[0, 0.5, 0.4, 0.6], [1, 0.8, 0.7, 0.9]], columns=columns),
    }
    axes = Figure().subplots()
    draw_comparison(axes, curves, 0.55, BATCH_NORM.labels)
    without, with_bn, majority = axes.lines
    assert (without.get_color(), without.get_label()) == (COLORS["baseline"], "without batch normalization")
    assert (with_bn.get_color(), with_bn.get_label()) == (COLORS["bn"], "with batch normalization")
    assert list(with_bn.get_ydata()) == [0.5, 0.8]
    assert majority.get_ydata()[0] == 0.55
    assert len(axes.collections) == 2  # the bands


THREADS = """
import stages.compare, numpy
from threadpoolctl import threadpool_info
print([pool["num_threads"] for pool in threadpool_info() if pool["internal_api"] == "openblas"])
"""


@pytest.mark.skipif(os.cpu_count() == 1, reason="there is one thread in any case")
@pytest.mark.parametrize(("variables", "threads"), [({}, 1), ({"OPENBLAS_NUM_THREADS": "2"}, 2)])
def test_compare_multiplies_in_one_thread_unless_it_is_told_otherwise(variables: dict[str, str], threads: int) -> None:
    unset = {name: value for name, value in os.environ.items() if name != "OPENBLAS_NUM_THREADS"}
    command = [sys.executable, "-c", THREADS]
    assert subprocess.check_output(command, cwd=ROOT, env=unset | variables, text=True) == f"[{threads}]\n"
