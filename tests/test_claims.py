"""The verdicts: on tables whose answer is known, and against SciPy."""

from collections.abc import Collection, Mapping
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np
import pandas as pd
import pytest
import scipy.stats
from changed_inside import change_inside

from stages import ARMS
from stages.evidence.claims import CLAIMS
from stages.evidence.effects import Rules
from stages.evidence.networks import count_logits, count_parameters
from stages.evidence.paired import (
    PairedDifference,
    holm,
    minimum_detectable_effect,
    paired_interval,
    paired_statistic,
    probability_better,
    wilson_interval,
)
from stages.evidence.summary import collect_claims, format_verdicts, tabulate_claims
from stages.evidence.trainings import Inside, PairedTrainings, Sweep
from stages.evidence.verdicts import (
    INCONCLUSIVE,
    NO_PRACTICAL_DIFFERENCE,
    NOT_MEASURED,
    REFUTED,
    SUPPORTED,
    Judgement,
    decide,
    judge,
)
from stages.history.wording import describe_contrast

BY_NAME = {claim.name: claim for claim in CLAIMS}
SMALLEST = {
    "faster_training": 2.0,
    "higher_accuracy": 0.01,
    "steadier": 0.001,
    "less_covariate_shift": 0.2,
    "regularizes": 0.01,
    "higher_learning_rates": 0.1,
}
RULES = Rules(SMALLEST, alpha=0.05, resamples=999)
SEEDS, EPOCHS, RATES = 24, 30, (0.01, 0.1, 1.0, 10.0)


def simulate_arm(random: np.random.Generator, *, better: bool) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Return history and diagnostics; the better arm is better by every claim."""
    index = pd.MultiIndex.from_product([RATES, range(SEEDS), range(EPOCHS + 1)], names=["lr", "seed", "epoch"])
    lr, seed, epoch = (index.get_level_values(name).to_numpy() for name in index.names)
    own = random.normal(0, 0.03, SEEDS)[seed]
    speed, noise, gap, usable = (3, 0.005, 0.1, 1.0) if better else (10, 0.02, 0.3, 0.1)
    gain = (0.3 if better else 0.2) * (1 - np.exp(-epoch / speed)) * (lr <= usable)
    accuracy = 0.5 + gain + own * (epoch > 0) + random.normal(0, noise, len(index))
    history = pd.DataFrame({"train_loss": 0.5, "train_accuracy": accuracy, "val_accuracy": accuracy}, index=index)
    history["val_loss"] = 0.5 + gap + own
    start = index[: SEEDS * (EPOCHS + 1)].droplevel("lr")
    shift = random.lognormal(0 if better else 1, 0.5, len(start))
    inside = {"covariate_shift": shift, "input_shift": shift, "gradient_cosine": 0.9, "dead_layer": 0.0}
    return history.reset_index(), pd.DataFrame(inside, index=start).reset_index()


@pytest.fixture(scope="module")
def trainings() -> PairedTrainings:
    """Everything that is claimed of batch norm is true here."""
    random = np.random.default_rng(0)
    sweeps, diagnostics = {}, {}
    for arm, better in {"baseline": False, "bn": True}.items():
        history, inside = simulate_arm(random, better=better)
        sweeps[arm], diagnostics[arm] = Sweep.of(history), Inside.of(inside)
    return PairedTrainings(sweeps, diagnostics, lr=0.01, majority=0.5, train_rows=400, batch_size=32, parameters=1000)


def swap_arms(trainings: PairedTrainings) -> PairedTrainings:
    sweeps, diagnostics = trainings.sweeps, trainings.diagnostics
    return replace(
        trainings,
        sweeps={"baseline": sweeps["bn"], "bn": sweeps["baseline"]},
        diagnostics={"baseline": diagnostics["bn"], "bn": diagnostics["baseline"]},
    )


def change(trainings: PairedTrainings, arm: str, **measures: np.ndarray | float) -> PairedTrainings:
    """Return the trainings with some measures of an arm changed: values (S,), or one for all."""
    sweep = trainings.sweeps[arm]

    def read(name: str, place: int) -> np.ndarray:
        values = sweep.read(name, place)
        return np.broadcast_to(measures.get(name, values), values.shape)

    return replace(trainings, sweeps=trainings.sweeps | {arm: replace(sweep, read=read)})


def set_dead(trainings: PairedTrainings, dead: Mapping[str, Collection[int]], epochs: slice) -> PairedTrainings:
    """Return the trainings where a layer of some seeds of each arm is dead at some epochs, and no other."""
    diagnostics = {}
    for arm, inside in trainings.diagnostics.items():
        values = np.zeros((EPOCHS + 1, SEEDS))
        values[epochs, list(dead[arm])] = 1.0
        diagnostics[arm] = change_inside(inside, dead_layer=values)
    return replace(trainings, diagnostics=diagnostics)


def keep(trainings: PairedTrainings, rates: int, epochs: int = EPOCHS) -> PairedTrainings:
    """Return the trainings at the lowest rates and until an epoch."""
    sweeps = {}
    for arm, sweep in trainings.sweeps.items():
        sweeps[arm] = replace(sweep, rates=sweep.rates[:rates], read=partial(read_until, sweep, epochs))
    return replace(trainings, sweeps=sweeps)


def read_until(whole: Sweep | Inside, epochs: int, *asked: Any) -> np.ndarray:
    return whole.read(*asked)[: epochs + 1]


def verdict_of(name: str, trainings: PairedTrainings, rules: Rules = RULES) -> Judgement:
    return next(judged for judged in judge(trainings, rules) if judged.name == name)


def test_what_is_true_is_supported_and_swapping_the_arms_refutes_it(trainings: PairedTrainings) -> None:
    there, back = judge(trainings, RULES), judge(swap_arms(trainings), RULES)
    assert [judged.name for judged in there] == [claim.name for claim in CLAIMS]
    assert {judged.verdict for judged in there} == {SUPPORTED}
    assert {judged.verdict for judged in back} == {REFUTED}
    for one, other in zip(there, back, strict=True):
        assert one.estimate == -other.estimate
        assert np.sign(one.estimate) == BY_NAME[one.name].better
        assert one.ci_low <= one.estimate <= one.ci_high
        assert one.p_value == pytest.approx(other.p_value, abs=0.005)
        np.testing.assert_equal(one.probability_better, 1 - other.probability_better)


def test_an_arm_against_itself_shows_no_practical_difference(trainings: PairedTrainings) -> None:
    same = replace(
        trainings,
        sweeps=dict.fromkeys(("baseline", "bn"), trainings.sweeps["bn"]),
        diagnostics=dict.fromkeys(("baseline", "bn"), trainings.diagnostics["bn"]),
    )
    for judged in judge(same, RULES):
        assert (judged.verdict, judged.estimate, judged.p_holm) == (NO_PRACTICAL_DIFFERENCE, 0.0, 1.0)


@pytest.mark.parametrize(
    ("estimate", "interval", "inner", "p_holm", "verdict"),
    [
        (0.05, (0.02, 0.08), (0.03, 0.07), 0.01, SUPPORTED),
        (-0.05, (-0.08, -0.02), (-0.07, -0.03), 0.01, REFUTED),
        (0.01, (0.005, 0.015), (0.006, 0.014), 0.01, SUPPORTED),  # just the smallest effect
        (0.009, (0.005, 0.013), (0.006, 0.012), 0.01, INCONCLUSIVE),  # there, but perhaps too small to matter
        (0.005, (0.001, 0.009), (0.002, 0.008), 0.01, NO_PRACTICAL_DIFFERENCE),  # there, and too small to matter
        (0.05, (0.02, 0.08), (0.03, 0.07), 0.05, INCONCLUSIVE),  # not below alpha after Holm's correction
        (0.05, (-0.01, 0.11), (0.0, 0.10), 0.01, INCONCLUSIVE),
        (0.0, (-0.012, 0.012), (-0.009, 0.009), 1.0, NO_PRACTICAL_DIFFERENCE),  # the 90% interval decides
        (0.0, (-0.02, 0.02), (-0.010, 0.009), 1.0, INCONCLUSIVE),
        (0.0, (0.0, 0.0), (0.0, 0.0), 1.0, NO_PRACTICAL_DIFFERENCE),
    ],
)
def test_verdicts(
    estimate: float, interval: tuple[float, float], inner: tuple[float, float], p_holm: float, verdict: str
) -> None:
    difference = PairedDifference(estimate, *interval, p_holm, 64)
    assert decide(BY_NAME["higher_accuracy"], difference, inner, p_holm, RULES) == verdict
    mirrored = {SUPPORTED: REFUTED, REFUTED: SUPPORTED}.get(verdict, verdict)
    smallest = RULES.smallest_effect | {"regularizes": 0.01}
    assert decide(BY_NAME["regularizes"], difference, inner, p_holm, Rules(smallest)) == mirrored


@pytest.mark.parametrize(
    ("name", "changes", "note"),
    [
        ("regularizes", {"batch_size": 400}, "a full batch has no batch noise"),
        ("faster_training", {"majority": 0.9}, "neither arm gains over the majority class"),
        ("higher_learning_rates", {"majority": 0.75}, "an arm gains over the majority class at no rate"),
        ("higher_learning_rates", {"lr": 10.0}, "lr_sweep has no rate above lr"),
    ],
)
def test_what_the_settings_rule_out_is_not_measured(
    trainings: PairedTrainings, name: str, changes: dict[str, float], note: str
) -> None:
    judged = verdict_of(name, replace(trainings, **changes))
    assert (judged.verdict, judged.note, judged.n) == (NOT_MEASURED, note, 0)
    assert np.isnan([judged.estimate, judged.p_holm]).all()


def test_the_rule_on_overfitting_at_its_border(trainings: PairedTrainings) -> None:
    assert count_parameters([2, 2, 2, count_logits(["0", "1"])]) == 15
    assert count_parameters([3, 4, count_logits(list("abcde"))]) == 3 * 4 + 4 + 4 * 5 + 5
    small, large = (verdict_of("regularizes", replace(trainings, parameters=count)) for count in (39, 40))
    assert small.note.startswith("39 parameters cannot overfit 400 rows; at equal training loss")
    assert large.note.startswith("at equal training loss")
    assert (small.verdict, small.estimate) == (SUPPORTED, large.estimate)


def test_the_gaps_at_equal_training_loss_are_those_of_the_first_epochs_that_pass_it(trainings: PairedTrainings) -> None:
    fast = np.maximum(1.0 - 0.1 * np.arange(EPOCHS + 1), 0.2)[:, None]  # passes 0.5 at epoch 5
    slow = np.maximum(1.0 - 0.05 * np.arange(EPOCHS + 1), 0.5)[:, None]  # ends at 0.5, from epoch 10 on
    gap = 0.01 * np.arange(EPOCHS + 1)[:, None]
    changed = change(trainings, "baseline", train_loss=slow, val_loss=slow + gap)
    judged = verdict_of("regularizes", change(changed, "bn", train_loss=fast, val_loss=fast + gap))
    assert judged.note == "at equal training loss 0.500: -0.05, interval -0.05 to -0.05"


def test_only_batch_norm_has_the_noise_of_the_batch(trainings: PairedTrainings) -> None:
    full = replace(trainings, batch_size=400, contrast=describe_contrast("layer"))
    assert verdict_of("regularizes", full).verdict == SUPPORTED


def test_notes_name_the_arms_for_what_they_are(trainings: PairedTrainings) -> None:
    order = replace(trainings, contrast=describe_contrast("none"))
    notes = {judged.name: judged.note for judged in judge(order, RULES)}
    assert "0% in the baseline's order, 83% in another order" in notes["faster_training"]
    assert " in another order" in notes["higher_learning_rates"]
    assert not any("batch norm" in note or "without" in note for note in notes.values())


def test_few_epochs_and_no_sweep_are_no_error(trainings: PairedTrainings) -> None:
    notes = {judged.name: judged.note for judged in judge(keep(trainings, rates=1, epochs=1), RULES)}
    assert notes["faster_training"] == "too few epochs for a difference that matters"
    assert notes["steadier"] == "too few epochs for a fluctuation"
    assert notes["higher_learning_rates"] == "lr_sweep has no rate above lr"


def test_nothing_is_refuted_from_a_single_change(trainings: PairedTrainings) -> None:
    once = keep(swap_arms(trainings), rates=4, epochs=1)
    diagnostics = {}
    for arm, inside in once.diagnostics.items():
        diagnostics[arm] = replace(inside, read=partial(read_until, inside, 1))
    judged = {one.name: one for one in judge(replace(once, diagnostics=diagnostics), RULES)}
    assert judged["steadier"].verdict == judged["less_covariate_shift"].verdict == NOT_MEASURED
    assert judged["less_covariate_shift"].note == "a single epoch is no course of a training"
    five = {one.name: one.verdict for one in judge(keep(swap_arms(trainings), rates=4, epochs=5), RULES)}
    assert five["steadier"] != NOT_MEASURED


def test_only_what_is_measured_counts_for_holm(trainings: PairedTrainings) -> None:
    fewer = judge(replace(trainings, batch_size=400), RULES)
    p_values = [judged.p_value for judged in fewer if judged.n]
    assert len(p_values) == 5
    np.testing.assert_allclose([judged.p_holm for judged in fewer if judged.n], holm(p_values))


def test_diverged_replicas_are_left_out_by_pairs_and_counted(trainings: PairedTrainings) -> None:
    losses = trainings.sweeps["bn"].at(0.01).val_loss.copy()
    losses[:, [3, 5]] = np.inf
    judged = verdict_of("regularizes", change(trainings, "bn", val_loss=losses))
    assert (judged.n, judged.note) == (SEEDS - 2, f"2 of {SEEDS} pairs left out: no finite value")
    assert judged.estimate == pytest.approx(verdict_of("regularizes", trainings.without({3, 5})).estimate)
    judged = verdict_of("regularizes", change(trainings, "baseline", train_loss=np.nan))
    assert (judged.verdict, judged.note) == (NOT_MEASURED, "fewer than two pairs have a finite value")


def test_verdicts_are_also_given_without_seeds_born_dead(trainings: PairedTrainings) -> None:
    judgements = judge(set_dead(trainings, {"baseline": [0, 1], "bn": [1, 2]}, epochs=slice(1)), RULES)
    for judged, rest in zip(judgements, judge(trainings.without({0, 1, 2}), RULES), strict=True):
        assert (judged.n, judged.n_alive) == (SEEDS, SEEDS - 3)
        assert (judged.estimate_alive, judged.verdict_alive) == (rest.estimate, rest.verdict)
        assert judged.estimate_alive != judged.estimate or judged.name == "higher_learning_rates"


def test_all_born_dead_leaves_nothing_to_judge(trainings: PairedTrainings) -> None:
    judgements = judge(set_dead(trainings, dict.fromkeys(ARMS, range(SEEDS)), epochs=slice(None)), RULES)
    assert {(judged.verdict, judged.verdict_alive) for judged in judgements} == {(SUPPORTED, NOT_MEASURED)}


def test_what_is_inconclusive_says_what_could_have_been_found(trainings: PairedTrainings) -> None:
    noisy = np.random.default_rng(1).normal(0, 0.2, SEEDS)
    differing = change(trainings, "baseline", val_loss=0.6 + noisy)
    judged = verdict_of("regularizes", change(differing, "bn", val_loss=0.6))
    assert judged.verdict == INCONCLUSIVE
    expected = (scipy.stats.norm.ppf(0.975) + scipy.stats.norm.ppf(0.8)) * noisy.std(ddof=1) / np.sqrt(SEEDS)
    assert judged.minimum_detectable == pytest.approx(expected)
    assert minimum_detectable_effect(1 / np.sqrt(64)) == pytest.approx(0.35, abs=0.001)  # in sd, for 64 seeds


@pytest.mark.parametrize("name", ["higher_accuracy", "higher_learning_rates"])
def test_the_ninety_percent_interval_decides_on_no_practical_difference(trainings: PairedTrainings, name: str) -> None:
    outer = verdict_of(name, trainings).ci_high
    inner = verdict_of(name, trainings, replace(RULES, alpha=0.1)).ci_high
    assert inner < outer
    between = replace(RULES, smallest_effect=SMALLEST | {name: (inner + outer) / 2})
    assert verdict_of(name, trainings, between).verdict == NO_PRACTICAL_DIFFERENCE
    within = replace(RULES, smallest_effect=SMALLEST | {name: inner * 0.999})
    assert verdict_of(name, trainings, within).verdict == INCONCLUSIVE


def test_an_arm_that_never_fails_in_the_sweep_shows_no_equality(trainings: PairedTrainings) -> None:
    held_out = keep(trainings, rates=3)
    assert verdict_of("higher_learning_rates", held_out).verdict == SUPPORTED  # only bn holds out to the top
    wide = replace(RULES, smallest_effect=SMALLEST | {"higher_learning_rates": 9.0})
    assert verdict_of("higher_learning_rates", held_out, wide).verdict == INCONCLUSIVE
    judged = verdict_of("higher_learning_rates", keep(trainings, rates=2))
    assert (judged.verdict, judged.note) == (NOT_MEASURED, "neither arm loses half of its gain in the sweep")


def test_holm_by_hand() -> None:
    # Sorted 0.01, 0.02, 0.03, 0.8 times 4, 3, 2, 1: 0.04, 0.06, 0.06, 0.8; none may fall below the one before.
    np.testing.assert_allclose(holm([0.03, 0.01, 0.8, 0.02]), [0.06, 0.04, 0.8, 0.06])
    np.testing.assert_allclose(holm([0.6, 0.7]), [1.0, 1.0])
    assert holm([]).tolist() == []


def test_wilson_is_that_of_scipy() -> None:
    for wins, n, alpha in [(0, 10, 0.05), (7, 12, 0.1), (64, 64, 0.05)]:
        interval = scipy.stats.binomtest(wins, n).proportion_ci(1 - alpha, method="wilson")
        assert wilson_interval(wins, n, alpha) == pytest.approx(tuple(interval))


def test_ties_count_half() -> None:
    differences = np.array([0.5, 0.0, 0.0, 0.2])
    assert probability_better(differences, 1) == (0.75, *wilson_interval(3, 4))
    assert probability_better(differences, -1) == (0.25, *wilson_interval(1, 4))


def test_interval_at_another_level_is_that_of_scipy() -> None:
    values = np.random.default_rng(2).exponential(size=30)
    interval = scipy.stats.ttest_1samp(values, 0).confidence_interval(0.9)
    assert paired_interval(np.zeros(30), values, alpha=0.1) == pytest.approx(tuple(interval))


def subtract_means(without: np.ndarray, with_bn: np.ndarray) -> np.ndarray:
    return (with_bn - without)[..., 0]


def test_a_statistic_of_means_agrees_with_the_mean_of_differences() -> None:
    random = np.random.default_rng(3)
    baseline, bn = random.normal(size=(30, 1)), random.normal(0.4, size=(30, 1))
    difference, intervals, error = paired_statistic(baseline, bn, subtract_means, alphas=(0.05, 0.1))
    expected = scipy.stats.bootstrap(((bn - baseline)[:, 0],), np.mean, rng=1)
    assert difference.estimate == pytest.approx((bn - baseline).mean())
    assert (difference.ci_low, difference.ci_high) == intervals[0]
    by_t = scipy.stats.ttest_rel(bn[:, 0], baseline[:, 0])
    assert intervals[0] == pytest.approx(tuple(by_t.confidence_interval(0.95)), abs=0.02)
    assert intervals[1] == pytest.approx(tuple(by_t.confidence_interval(0.9)), abs=0.02)
    assert error == pytest.approx(expected.standard_error, rel=0.03)
    assert difference.p_value == pytest.approx(scipy.stats.ttest_rel(bn[:, 0], baseline[:, 0]).pvalue, abs=0.02)


def test_swaps_by_hand() -> None:
    # Of the 4 ways to swap two pairs, the means differ by 2, 1, -1, -2: two are as far from zero as what was found.
    difference, _, _ = paired_statistic(np.zeros((2, 1)), np.array([[1.0], [3.0]]), subtract_means)
    assert (difference.estimate, difference.p_value) == (2.0, 0.5)


def test_files_and_terminal_hold_every_claim(trainings: PairedTrainings) -> None:
    judgements = judge(replace(trainings, batch_size=400), RULES)
    claims = collect_claims(judgements)
    numbers = ("estimate", "ci_low", "ci_high", "p_holm")
    regularizes = claims["regularizes"]
    assert {name: regularizes[name] for name in ("verdict", *numbers)} == {
        "verdict": NOT_MEASURED,
        **dict.fromkeys(numbers),
    }
    assert list(claims) == list(tabulate_claims(judgements, trainings.contrast)["name"]) == list(BY_NAME)
    lines = format_verdicts(judgements, 0.95, "")
    for name, claim in claims.items():
        words = [line for line in lines if line.startswith(name)]
        assert len(words) >= 2  # the verdicts, and the numbers or why there are none
        assert (claim["verdict"] if claim["verdict"] != NOT_MEASURED else "-") in words[0]
