"""Pairs with rows of their own: what each gets, that its networks train on it, and what the statistics make of it."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from conftest import ROOT, normalization

from stages import InputError, generate_data
from stages.datasets import draw_pairs, load_source
from stages.datasets.pairs import pair_seed
from stages.evidence.effects import Rules, compare_seeds, widen, widen_difference
from stages.evidence.files import majority_share
from stages.evidence.paired import PairedDifference, probability_better, wilson_interval
from stages.pair_rows import PairRows
from stages.params import DataParams, load_params
from stages.training.blocks import BlockTask, train_block
from stages.training.diagnostics import Diagnostics
from stages.training.loop import Schedule, train_arm
from stages.training.network import Architecture
from stages.training.tables import Table

NORMS = {"baseline": None, "batch": normalization(), "frozen": normalization("frozen")}
COMMITTED = load_params(ROOT / "params.yaml")


def data_params(**changes: object) -> DataParams:
    return COMMITTED.data.model_copy(update=changes)


def drawn(pairs: int = 3, **changes: object) -> PairRows:
    data = data_params(**changes)
    return draw_pairs(load_source(data), data, pairs)


@pytest.mark.parametrize("vary", ["split", "sample"])
def test_the_first_pair_has_the_rows_of_the_tables(
    vary: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "data").mkdir()
    data = data_params(vary=vary, scale="standard", label_noise=0.1)
    monkeypatch.setattr(generate_data, "load_params", lambda: COMMITTED.model_copy(update={"data": data, "seeds": 3}))
    generate_data.main()
    assert "each pair has its own" in capsys.readouterr().out
    pairs = PairRows.read(Path("data/pairs"))
    assert pairs is not None
    for name, (x, y) in {"train": pairs.training(), "val": pairs.validation()}.items():
        table = pd.read_csv(f"data/{name}.csv")
        np.testing.assert_allclose(x[0], table[["x1", "x2"]], rtol=1e-12, atol=1e-12)
        np.testing.assert_array_equal(y[0], table["label"])
        assert not np.allclose(x[0], x[1])
        assert not np.allclose(x[1], x[2])
    np.testing.assert_allclose(pairs.training()[0].mean(axis=1), 0, atol=1e-12)  # each scaled by its own rows
    np.testing.assert_allclose(pairs.training()[0].std(axis=1), 1)


def test_a_split_stores_rows_once_and_uses_each_once() -> None:
    pairs = drawn(vary="split")
    assert pairs.rows.shape == (1, 500, 2)
    index = np.concatenate([pairs.train, pairs.val], axis=1)
    np.testing.assert_array_equal(np.sort(index), np.tile(np.arange(500), (3, 1)))
    np.testing.assert_array_equal(pairs.train_labels, load_source(COMMITTED.data).y[pairs.train])


def test_a_sample_is_a_draw_of_the_source() -> None:
    pairs = drawn(vary="sample", source="moons")
    assert len(pairs.rows) == 3
    for pair in range(3):
        rows = load_source(data_params(source="moons", seed=pair_seed(1, pair)))
        np.testing.assert_array_equal(pairs.rows[pair], rows.x)
        np.testing.assert_array_equal(pairs.val_labels[pair], rows.y[pairs.val[pair]])


def test_label_noise_falls_on_other_rows_in_each_pair() -> None:
    clean, noisy = drawn(vary="split"), drawn(vary="split", label_noise=0.1)
    changed = clean.train_labels != noisy.train_labels
    np.testing.assert_array_equal(changed.sum(axis=1), 40)
    assert not np.array_equal(clean.train[0][changed[0]], clean.train[1][changed[1]])
    np.testing.assert_array_equal(clean.val_labels, noisy.val_labels)


def test_what_varies_does_not_depend_on_the_number_of_pairs() -> None:
    few, many = drawn(2, vary="sample"), drawn(5, vary="sample")
    np.testing.assert_array_equal(many.of(range(2)).training()[0], few.training()[0])


def test_without_variation_there_are_none(tmp_path: Path) -> None:
    drawn(vary="none").save(tmp_path)
    assert PairRows.read(tmp_path) is None


@pytest.fixture
def own_tables() -> list[Table]:
    """Rows of its own for each of three seeds, in float64: 34 for training, 20 for validation."""
    pairs = drawn(vary="sample", samples=54, val_fraction=20 / 54)
    tables = []
    for x, y in (pairs.training(), pairs.validation()):
        tables.append(Table(torch.tensor(x), torch.tensor(y)))
    return tables


@pytest.mark.parametrize("norm", NORMS)
@pytest.mark.parametrize("hidden", [[2, 2], [7, 5]])
def test_each_seed_trains_on_its_own_rows(own_tables: list[Table], norm: str, hidden: list[int]) -> None:
    architecture = Architecture(2, hidden, normalization=NORMS[norm])
    schedule = Schedule([0.01, 0.1], [0, 1, 2], epochs=3, batch_size=16)
    together, inside = train(own_tables, architecture, schedule)
    for seed in schedule.seeds:
        shared = [Table(table.x[seed], table.y[seed]) for table in own_tables]
        alone, inside_alone = train(shared, architecture, replace(schedule, seeds=[seed]))
        of_seed = together[together["seed"] == seed].reset_index(drop=True)
        pd.testing.assert_frame_equal(of_seed, alone, rtol=1e-9, atol=1e-12)
        of_seed = inside[inside["seed"] == seed].reset_index(drop=True)
        pd.testing.assert_frame_equal(of_seed, inside_alone, rtol=1e-6, atol=1e-9)


def train(tables: list[Table], architecture: Architecture, schedule: Schedule) -> tuple[pd.DataFrame, pd.DataFrame]:
    diagnostics = Diagnostics(tables[0], schedule.seeds, 0.1, schedule.replicas(0.1))
    _, history = train_arm(*tables, architecture, schedule, diagnostics=diagnostics)
    return history, diagnostics.table()


def test_a_block_trains_on_the_rows_of_its_seeds() -> None:
    pairs = drawn(4, vary="split")
    tables = [Table.of(x[0], y[0]) for x, y in (pairs.training(), pairs.validation())]
    schedule = Schedule([0.01], [2, 3], epochs=2, batch_size=32)
    task = BlockTask(*tables, Architecture(2), schedule, 0.01, own_rows=pairs.of(schedule.seeds))
    for seed in schedule.seeds:
        x, y = pairs.training()
        alone = Table.of(x[seed], y[seed])
        x, y = pairs.validation()
        _, expected = train_arm(alone, Table.of(x[seed], y[seed]), Architecture(2), replace(schedule, seeds=[seed]))
        history = train_block(task).history
        of_seed = history[history["seed"] == seed].reset_index(drop=True)
        pd.testing.assert_frame_equal(of_seed, expected, rtol=1e-5)


def test_the_majority_is_the_mean_over_pairs() -> None:
    assert majority_share(np.array([[0, 0, 0, 1], [1, 0, 1, 0]])) == (0.75 + 0.5) / 2


def test_splits_of_the_same_rows_tell_less_than_as_many_samples() -> None:
    """Splits of one sample of 100 rows: the interval for the mean of the population covers it as often as it says."""
    random = np.random.default_rng(1)
    rules = Rules({}, overlap=20 / 80)
    covered, covered_uncorrected = 0, 0
    samples, splits = 500, 25
    for _ in range(samples):
        of_rows = random.normal(size=100)  # what bn is better by on each row
        splits_val = np.array([random.permutation(of_rows)[:20].mean() for _ in range(splits)])
        effect = compare_seeds([np.zeros(splits), splits_val], replace(rules, resamples=100))
        covered_uncorrected += effect.difference.ci_low <= 0 <= effect.difference.ci_high
        difference = widen(effect, rules).difference
        covered += difference.ci_low <= 0 <= difference.ci_high
        assert (difference.p_value < 0.05) == (not difference.ci_low <= 0 <= difference.ci_high)
    assert covered_uncorrected / samples < 0.65
    assert 0.93 <= covered / samples <= 0.98


def test_the_correction_by_hand() -> None:
    difference = PairedDifference(0.2, 0.1, 0.3, 0.001, n=16)
    wide = widen_difference(difference, Rules({}, overlap=0.5))
    assert wide.ci_low == pytest.approx(0.2 - 3 * 0.1)  # the root of 1 + 16 * 0.5
    assert wide.ci_high == pytest.approx(0.2 + 3 * 0.1)
    assert 0.1 < wide.p_value < 0.3
    assert widen_difference(difference, Rules({})) == difference


@pytest.mark.parametrize("differences", [[0.25, 0.25], [0.10, 0.12, 0.11], [0.2] * 7])
def test_few_splits_decide_nothing_however_alike_they_are(differences: list[float]) -> None:
    bn = np.array(differences)
    effect = compare_seeds([np.zeros_like(bn), bn], Rules({}, overlap=0.25))
    p_value = widen(effect, Rules({}, overlap=0.25)).difference.p_value
    assert p_value >= 2 / 2 ** len(bn)  # that of all sign flips


def test_wins_of_splits_of_the_same_rows_are_worth_fewer() -> None:
    differences = np.array([1.0] * 40 + [-1.0] * 24)
    share, low, high = probability_better(differences, 1, widening=Rules({}, overlap=0.25).widening(64))
    assert share == 40 / 64
    assert (low, high) == pytest.approx(wilson_interval(40 / 17, 64 / 17))  # 1 + 64 / 4 = 17
    assert low < 0.5


def test_draws_of_all_pairs_must_fit_in_memory(tmp_path: Path) -> None:
    text = (ROOT / "params.yaml").read_text().replace("samples: null", "samples: 1000000")
    path = tmp_path / "params.yaml"
    path.write_text(text.replace("vary: none", "vary: sample").replace("\nseeds: 64", "\nseeds: 100000"))
    with pytest.raises(InputError, match=r"data\.samples = 1000000 for each of seeds = 100000"):
        load_params(path)
