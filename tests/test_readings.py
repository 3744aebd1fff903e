"""The three readings of a claim: which curves each compares, and that selecting a rate costs no coverage."""

from dataclasses import replace
from itertools import product

import numpy as np
import pandas as pd
import pytest
import scipy.stats
from changed_inside import change_inside

from benchmarks.seconds import tabulate
from stages import ARMS, MEASURES
from stages.evidence.claims import CLAIMS
from stages.evidence.effects import Rules
from stages.evidence.endpoints import epochs_to_target, shared_target
from stages.evidence.paired import holm
from stages.evidence.readings import describe_best_rates, read_best_rate, read_itself, read_same_rate
from stages.evidence.selection import compare_selected, select_rates
from stages.evidence.summary import collect_claims, collect_tags, format_verdicts, tabulate_claims
from stages.evidence.trainings import EXACT, Inside, PairedTrainings, Sweep
from stages.evidence.verdicts import (
    DEPENDS,
    FAILS,
    HOLDS,
    INCONCLUSIVE,
    NO_PRACTICAL_DIFFERENCE,
    NOT_MEASURED,
    REFUTED,
    SUPPORTED,
    Judgement,
    judge,
    summarize,
)
from stages.history.wording import BATCH_NORM

RATES, SEEDS, EPOCHS = (0.01, 0.1, 1.0), 20, 12
RULES = Rules({claim.name: 0.01 for claim in CLAIMS}, resamples=999)
INDEX = pd.MultiIndex.from_product([RATES, range(SEEDS), range(EPOCHS + 1)], names=["lr", "seed", "epoch"])


def make_history(best: float, gain: float, seed: int) -> pd.DataFrame:
    """Return a history that gains over 0.5 at the best rate, and half as much at others; it flickers by 0.02."""
    random = np.random.default_rng(seed)
    history = pd.DataFrame(index=INDEX).reset_index()
    at_rate = np.where(history["lr"] == best, gain, gain / 2) * (history["epoch"] > 2)
    own = random.normal(0, 0.01, SEEDS)[history["seed"]]
    accuracy = 0.5 + at_rate + own + 0.01 * (-1.0) ** history["epoch"]
    losses = random.uniform(0.4, 0.5, (len(history), 2))
    return history.assign(
        train_loss=losses[:, 0], val_loss=losses[:, 1], train_accuracy=accuracy, val_accuracy=accuracy
    )


def pair_up(baseline: pd.DataFrame, bn: pd.DataFrame, lr: float = 0.01) -> PairedTrainings:
    inside = pd.MultiIndex.from_product([range(SEEDS), range(EPOCHS + 1)], names=["seed", "epoch"])
    columns = {"covariate_shift": 1.0, "input_shift": 1.0, "gradient_cosine": 0.9, "dead_layer": 0.0}
    table = pd.DataFrame(columns, index=inside)
    table = table.reset_index()
    return PairedTrainings(
        {"baseline": Sweep.of(baseline), "bn": Sweep.of(bn)},
        dict.fromkeys(ARMS, Inside.of(table)),
        lr=lr,
        majority=0.5,
        train_rows=100,
        batch_size=32,
        parameters=1000,
    )


@pytest.fixture(scope="module")
def trainings() -> PairedTrainings:
    """At 0.01 bn gains 0.2 more; at its own best rate, 0.1, the baseline gains as much."""
    return pair_up(make_history(best=0.1, gain=0.4, seed=0), make_history(best=0.01, gain=0.4, seed=1))


def add_exact(history: pd.DataFrame, accuracy: float | None) -> pd.DataFrame:
    """Return the history with exact measures; its accuracy a constant, or none at all."""
    exact = {f"{name}{EXACT}": history[name] if accuracy else np.nan for name in MEASURES}
    exact[f"val_accuracy{EXACT}"] = accuracy if accuracy else np.nan
    return history.assign(**exact)


def test_a_half_of_the_seeds_selects_for_the_other() -> None:
    accuracy = np.array([[0.9, 0.1, 0.2], [0.1, 0.8, 0.2], [0.7, 0.1, 0.2], [0.1, 0.6, 0.2]])
    odd = np.array([False, True, False, True])
    assert select_rates(accuracy, odd).tolist() == [1, 0, 1, 0]
    assert select_rates(np.full((4, 3), 0.5), odd).tolist() == [0, 0, 0, 0]  # of equals the lowest


def test_no_seed_has_a_say_in_its_own_rate() -> None:
    random = np.random.default_rng(0)
    accuracy, odd = random.uniform(size=(10, 4)), np.arange(10) % 2 == 1
    before = select_rates(accuracy, odd)
    accuracy[odd] = random.uniform(size=(5, 4))
    assert (select_rates(accuracy, odd)[odd] == before[odd]).all()


def test_where_the_best_rates_are_beyond_doubt_the_comparison_is_that_at_them() -> None:
    random = np.random.default_rng(1)
    baseline, bn = random.normal(size=(2, 60, 3))
    values = [baseline, bn + 0.4]
    accuracies = [np.tile([0.0, 1.0, 0.0], (60, 1)), np.tile([0.0, 0.0, 1.0], (60, 1))]
    found = compare_selected(accuracies, values, np.arange(60) % 2 == 1, alphas=(0.05, 0.1))
    differences = values[1][:, 2] - values[0][:, 1]
    np.testing.assert_array_equal(found.by_pair, differences)
    expected = scipy.stats.ttest_1samp(differences, 0)
    assert found.difference.estimate == pytest.approx(differences.mean())
    assert found.standard_error == pytest.approx(differences.std(ddof=1) / np.sqrt(60), rel=0.05)
    for interval, level in zip(found.intervals, (0.95, 0.9), strict=True):
        assert interval == pytest.approx(tuple(expected.confidence_interval(level)), abs=0.03)


def test_swapping_the_arms_turns_the_sign() -> None:
    random = np.random.default_rng(2)
    accuracies, values = random.uniform(size=(2, 30, 4)), random.normal(size=(2, 30, 4))
    odd = np.arange(30) % 2 == 1
    there = compare_selected(accuracies, values, odd)
    back = compare_selected(accuracies[::-1], values[::-1], odd)
    assert there.difference.estimate == -back.difference.estimate
    assert there.difference.p_value == pytest.approx(back.difference.p_value, abs=0.02)
    assert there.standard_error == pytest.approx(back.standard_error, rel=0.05)


def test_a_pair_that_is_not_finite_at_its_rates_is_left_out() -> None:
    accuracies = np.tile([0.0, 1.0], (2, 8, 1))
    values = np.stack([np.zeros((8, 2)), np.arange(16.0).reshape(8, 2)])
    values[0, 2, 1] = values[1, 5, 1] = np.nan
    values[1, 3, 0] = np.inf  # at a rate that is not selected
    found = compare_selected(accuracies, values, np.arange(8) % 2 == 1)
    assert found.by_pair.tolist() == [1, 3, 7, 9, 13, 15]
    assert (found.difference.estimate, found.difference.n) == (8.0, 6)
    assert np.isfinite([found.standard_error, found.difference.p_value]).all()


def test_resamples_select_anew() -> None:
    """Against loops over all ways to swap, and over drawn seeds, that select and compare each time."""
    random, odd = np.random.default_rng(4), np.arange(10) % 2 == 1
    accuracies, values = random.normal(size=(2, 2, 10, 3))
    accuracies[0, :, 0] += 2.0  # which rate is selected depends on how many of a half are swapped
    accuracies[1, :, 2] += 2.0
    values[:, :, 0] += 2.0

    def statistic(accuracies: np.ndarray, values: np.ndarray) -> float:
        baseline, bn = (select_rates(accuracy, odd) for accuracy in accuracies)
        return float((values[1][np.arange(10), bn] - values[0][np.arange(10), baseline]).mean())

    found = compare_selected(accuracies, values, odd)
    swapped = []
    for signs in product([False, True], repeat=10):
        turned = np.array(signs)[:, None]
        swapped.append(
            statistic(np.where(turned, accuracies[::-1], accuracies), np.where(turned, values[::-1], values))
        )
    p_value = np.mean(np.abs(swapped) >= abs(statistic(accuracies, values)))
    assert found.difference.p_value == pytest.approx(p_value, abs=0.02)
    drawn = []
    for _ in range(2000):
        seeds = np.arange(10)
        seeds[odd], seeds[~odd] = random.choice(seeds[odd], 5), random.choice(seeds[~odd], 5)
        drawn.append(statistic(accuracies[:, seeds], values[:, seeds]))
    assert found.standard_error == pytest.approx(np.std(drawn), rel=0.08)


@pytest.mark.parametrize("apart", [0.0, 0.5])
def test_to_select_a_rate_costs_no_coverage(apart: float) -> None:
    """Rates are equally good but for chance, so that each half selects another; the arms differ by `apart`."""
    random, odd = np.random.default_rng(3), np.arange(32) % 2 == 1
    covered, rejected = [], []
    for trial in range(300):
        own, noise = random.normal(size=(32, 1)), random.normal(size=(2, 32, 5))
        accuracies = own + noise
        accuracies[1] += apart
        found = compare_selected(accuracies, accuracies, odd, resamples=199, seed=trial).difference
        covered.append(found.ci_low <= apart <= found.ci_high)
        rejected.append(found.p_value <= 0.05)
    assert np.mean(covered) >= 0.95 - 0.038  # three standard errors
    if apart == 0:
        assert np.mean(rejected) == pytest.approx(0.05, abs=0.038)


def test_each_reading_compares_its_own_curves(trainings: PairedTrainings) -> None:
    same, best = read_same_rate(trainings), read_best_rate(trainings)
    for curves, arm, rate in zip(best.pair, ARMS, (0.1, 0.01), strict=True):
        np.testing.assert_array_equal(curves.val_accuracy, trainings.sweeps[arm].at(rate).val_accuracy)
    for curves, arm in zip(same.pair, ARMS, strict=True):
        np.testing.assert_array_equal(curves.val_loss, trainings.sweeps[arm].at(0.01).val_loss)


def test_each_seed_has_the_curve_of_its_rate(trainings: PairedTrainings) -> None:
    places = np.arange(SEEDS) % 3
    sweep = trainings.sweeps["bn"]
    curves = sweep.at_places(places)
    for seed, place in enumerate(places):
        np.testing.assert_array_equal(curves.val_loss[:, seed], sweep.at(RATES[place]).val_loss[:, seed])


def test_what_holds_at_a_shared_rate_alone_depends(trainings: PairedTrainings) -> None:
    judged = {one.name: one for one in judge(trainings, RULES)}
    higher = judged["higher_accuracy"]
    assert (higher.verdict, higher.summary) == (SUPPORTED, DEPENDS)
    assert higher.best_rate.verdict == NO_PRACTICAL_DIFFERENCE
    assert higher.estimate == pytest.approx(0.2, abs=0.01)
    assert higher.best_rate.estimate == pytest.approx(0.0, abs=0.01)
    for name in ("less_covariate_shift", "higher_learning_rates"):
        assert (judged[name].best_rate.verdict, judged[name].best_rate.n) == (NOT_MEASURED, 0)


@pytest.mark.parametrize(
    ("gradient", "distribution", "verdicts", "summary"),
    [
        (0.5, 0.5, (SUPPORTED, SUPPORTED), HOLDS),
        (0.5, 2.0, (SUPPORTED, REFUTED), DEPENDS),
        (2.0, 0.5, (REFUTED, SUPPORTED), DEPENDS),
        (2.0, 1.0, (REFUTED, NO_PRACTICAL_DIFFERENCE), FAILS),
    ],
)
def test_covariate_shift_is_judged_by_both_definitions(
    trainings: PairedTrainings, gradient: float, distribution: float, verdicts: tuple[str, str], summary: str
) -> None:
    inside = change_inside(trainings.diagnostics["bn"], covariate_shift=gradient, input_shift=distribution)
    changed = replace(trainings, diagnostics=trainings.diagnostics | {"bn": inside})
    judged = {one.name: one for one in judge(changed, RULES)}
    shift = judged["less_covariate_shift"]
    assert ((shift.verdict, shift.definition.verdict), shift.summary) == (verdicts, summary)
    assert (shift.estimate, shift.definition.estimate) == pytest.approx((np.log(gradient), np.log(distribution)))
    assert judged["steadier"].definition.verdict == NOT_MEASURED
    notes = [line for line in format_verdicts(tuple(judged.values()), 0.95, "") if "other definition" in line]
    decides = ", on which it depends" if summary == DEPENDS else ""
    assert f"less_covariate_shift: {verdicts[1]} by its other definition{decides}" in notes
    words = {HOLDS: "holds", DEPENDS: "depends on the definition", FAILS: "supported in no reading"}
    assert shift.summary_in_words == words[summary]


def test_holm_counts_the_claims_of_a_reading(trainings: PairedTrainings) -> None:
    judged = judge(trainings, RULES)
    measured = [one.best_rate for one in judged if one.best_rate.n]
    assert len(measured) == 4
    np.testing.assert_allclose([one.p_holm for one in measured], holm([one.p_value for one in measured]))


def test_exact_statistics_show_the_network_itself(trainings: PairedTrainings) -> None:
    histories = [make_history(best=0.1, gain=0.4, seed=seed) for seed in (0, 1)]
    exact = pair_up(add_exact(histories[0], None), add_exact(histories[1], 0.75))
    baseline, bn = read_itself(exact).pair
    np.testing.assert_array_equal(baseline.val_accuracy, exact.at_lr()[0].val_accuracy)  # it reads the same
    assert (bn.val_accuracy == 0.75).all()
    judged = {one.name: one for one in judge(exact, RULES)}["steadier"]
    assert judged.verdict == NO_PRACTICAL_DIFFERENCE  # both flicker alike
    assert (judged.itself.verdict, judged.itself.estimate) == (SUPPORTED, pytest.approx(-0.02))
    assert {one.itself.note for one in judge(trainings, RULES)} == {"no network has exact statistics beside its own"}


def test_an_exact_history_is_read_from_disk_without_some_seeds(tmp_path: object) -> None:
    history = add_exact(make_history(best=0.1, gain=0.4, seed=0), 0.75)
    history.to_parquet(f"{tmp_path}/history.parquet")
    sweep = Sweep.open(f"{tmp_path}/history.parquet").without({0, 3})
    assert sweep.at(0.1, exact=True).val_accuracy.shape == (EPOCHS + 1, SEEDS - 2)
    assert (sweep.at(0.1, exact=True).val_accuracy == 0.75).all()
    assert not (sweep.at(0.1).val_accuracy == 0.75).all()


@pytest.mark.parametrize(
    ("verdicts", "summary"),
    [
        ([SUPPORTED, SUPPORTED, SUPPORTED], HOLDS),
        ([SUPPORTED, NOT_MEASURED, NOT_MEASURED], HOLDS),
        ([SUPPORTED, SUPPORTED, INCONCLUSIVE], DEPENDS),
        ([REFUTED, SUPPORTED, NOT_MEASURED], DEPENDS),
        ([INCONCLUSIVE, NO_PRACTICAL_DIFFERENCE, REFUTED], FAILS),
        ([NOT_MEASURED, NOT_MEASURED, NOT_MEASURED], NOT_MEASURED),
    ],
)
def test_a_claim_holds_that_is_supported_in_every_reading(verdicts: list[str], summary: str) -> None:
    assert summarize(verdicts) == summary


def test_selected_rates_in_words(trainings: PairedTrainings) -> None:
    words = "0.1 without, 0.01 (lowest of the sweep) with batch normalization"
    assert describe_best_rates(trainings) == words
    alone = {arm: replace(sweep, rates=sweep.rates[:1]) for arm, sweep in trainings.sweeps.items()}
    one_rate = replace(trainings, sweeps=alone)
    assert describe_best_rates(one_rate) == "lr_sweep has no other rate than lr"
    assert {one.best_rate.note for one in judge(one_rate, RULES)} == {"lr_sweep has no other rate than lr"}
    assert describe_best_rates(trainings.without({1, 3, *range(4, SEEDS)})) == "fewer than two seeds in a half"


def test_every_table_has_the_readings(trainings: PairedTrainings) -> None:
    judgements = judge(trainings, RULES)
    claims = collect_claims(judgements)
    assert list(claims["higher_accuracy"]) == [
        *("verdict", "estimate", "ci_low", "ci_high", "p_holm", "summary", "best_rate", "itself")
    ]
    nothing = {"verdict": NOT_MEASURED} | dict.fromkeys(("estimate", "ci_low", "ci_high"))
    assert claims["higher_accuracy"]["itself"] == nothing
    assert claims["higher_accuracy"]["best_rate"]["verdict"] == NO_PRACTICAL_DIFFERENCE
    tags = collect_tags(judgements)
    assert (tags["claims.higher_accuracy.summary"], tags["claims.higher_accuracy.itself"]) == (DEPENDS, NOT_MEASURED)
    row = tabulate_claims(judgements, BATCH_NORM).set_index("name").loc["higher_accuracy"]
    assert (row["summary"], row["best_rate_n"], row["itself_verdict"]) == (DEPENDS, SEEDS, NOT_MEASURED)
    (line,) = [one for one in format_verdicts(judgements, 0.95, "") if one.startswith("higher_accuracy  ")]
    assert line.split()[-1] == DEPENDS


def test_the_widest_table_fits_eighty_columns() -> None:
    widest = Judgement("", estimate=-0.000123456, ci_low=-0.000234567, ci_high=-0.000012345, p_holm=0.00012345, n=64)
    widest = replace(widest, probability_better=1.0, minimum_detectable=0.000123456)
    for verdict in (NO_PRACTICAL_DIFFERENCE, INCONCLUSIVE):
        judgements = []
        for claim in CLAIMS:
            one = replace(widest, name=claim.name, verdict=verdict)
            judgements.append(replace(one, best_rate=one, itself=one))
        lines = format_verdicts(judgements, 0.95, "0.001 (lowest of the sweep) and " * 9)
        assert len(lines) > 4 * len(CLAIMS)
        assert max(map(len, lines)) <= 80
    unmeasured = [Judgement(claim.name, note="x" * 60) for claim in CLAIMS]
    assert max(map(len, format_verdicts(unmeasured, 0.95, ""))) <= 80


def test_in_seconds_an_epoch_counts_what_it_takes(trainings: PairedTrainings) -> None:
    claim = judge(trainings, RULES)[0]
    table = tabulate(trainings, RULES, {"baseline": 2.0, "bn": 2.0}).set_index("reading")
    assert list(table.index) == ["same_rate", "best_rate"]
    assert table.loc["same_rate", "epochs"] == claim.estimate
    assert table.loc["best_rate", "epochs"] == claim.best_rate.estimate
    for end in ("", "_ci_low", "_ci_high"):
        assert table[f"ms{end}"].to_numpy() == pytest.approx(2 * table[f"epochs{end}"].to_numpy())


def test_in_seconds_dear_epochs_undo_the_gain_in_epochs(trainings: PairedTrainings) -> None:
    without, with_bn = (trainings.sweeps[arm].at(0.01).val_accuracy for arm in ARMS)
    target = shared_target(without, with_bn, 0.5)
    epochs = [epochs_to_target(accuracy, target).mean() for accuracy in (without, with_bn)]
    found = tabulate(trainings, RULES, {"baseline": 1.0, "bn": 5.0}).set_index("reading").loc["same_rate"]
    assert found["epochs"] < 0 < found["ms"]
    assert found["ms"] == pytest.approx(5 * epochs[1] - epochs[0])
