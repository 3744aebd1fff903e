"""What the page plays with: its data against the tables, and what its script computes against Python."""

import base64
import json
import shutil
import subprocess
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from conftest import HANGS

from stages import ARMS, MEASURES
from stages.evidence.claims import CLAIMS
from stages.evidence.comparison import Comparison, compare_arms
from stages.evidence.effects import Rules
from stages.evidence.gallery import ROUGHNESSES, SHIFTS
from stages.evidence.networks import Networks, count_logits, count_parameters
from stages.evidence.page.play import MOST_BYTES, collect_play
from stages.evidence.page.render import HERE
from stages.evidence.page.words import state_answer, state_same_rate
from stages.evidence.trainings import Inside, PairedTrainings, Sweep
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
    summarize,
)
from stages.history.curves import summarize_epochs
from stages.history.moments import mean_interval
from stages.pair_rows import PairRows
from stages.training.folding import fold_networks
from stages.training.network import ACTIVATIONS, Architecture, build_network
from stages.training.replicas import stack

NODE = shutil.which("node")
RATES = (0.01, 0.1, 1.0)
needs_node = pytest.mark.skipif(NODE is None, reason="Node is not installed")


def make_comparison(
    seeds: int = 8,
    rates: tuple[float, ...] = RATES,
    classes: tuple[str, ...] = ("0", "1"),
    columns: tuple[str, ...] = ("x1", "x2"),
    epochs: int = 12,
    rows: int = 20,
) -> Comparison:
    """Return a made-up comparison whose accuracies are shares of `rows` validation rows; seeds differ by much."""
    random = np.random.default_rng(0)
    sweeps, diagnostics, mean_curves = {}, {}, {}
    for arm, gain in {"baseline": 2, "bn": 5}.items():
        history = _make_history(random, seeds, rates, epochs)
        learned = gain * (history["lr"] < 1) * (history["epoch"] > 2)
        history["val_accuracy"] = (rows // 3 + random.integers(0, 3, len(history)) + learned) / rows
        sweeps[arm], mean_curves[arm] = Sweep.of(history), summarize_epochs(history, rates[0])
        diagnostics[arm] = Inside.of(_make_diagnostics(random, seeds, epochs))
    val = pd.DataFrame(random.uniform(-1, 1, (rows, len(columns))), columns=list(columns))
    widths = [len(columns), 3, 2, count_logits(classes)]
    size = count_parameters(widths) if len(columns) == 2 else 0
    return compare_arms(
        PairedTrainings(sweeps, diagnostics, rates[0], 0.45, train_rows=400, batch_size=32, parameters=15),
        Rules({claim.name: 0.01 for claim in CLAIMS}, resamples=199),
        mean_curves=mean_curves,
        surfaces=dict.fromkeys(ARMS, _make_surface(columns, len(classes))),
        val=val.assign(label=np.arange(rows) % len(classes)),
        classes=classes,
        networks=Networks(
            {arm: random.normal(size=(seeds, size)).astype(np.float32) for arm in ARMS},
            dict.fromkeys(ARMS, widths),
            "relu",
        ),
    )


def _make_history(random: np.random.Generator, seeds: int, rates: tuple[float, ...], epochs: int) -> pd.DataFrame:
    index = pd.MultiIndex.from_product([rates, range(seeds), range(epochs + 1)], names=["lr", "seed", "epoch"])
    return pd.DataFrame(random.uniform(0.1, 0.9, (len(index), 4)), index=index, columns=list(MEASURES)).reset_index()


def _make_diagnostics(random: np.random.Generator, seeds: int, epochs: int) -> pd.DataFrame:
    index = pd.MultiIndex.from_product([range(seeds), range(epochs + 1)], names=["seed", "epoch"])
    names = [*SHIFTS, "gradient_cosine", *ROUGHNESSES]
    table = pd.DataFrame(random.lognormal(size=(len(index), len(names))), index=index, columns=names)
    return table.assign(dead_layer=0.0).reset_index()


def _make_surface(columns: tuple[str, ...], classes: int) -> pd.DataFrame:
    said = "probability" if classes == 2 else "predicted"
    if len(columns) != 2:
        return pd.DataFrame(columns=["x1", "x2", said])
    axis = np.linspace(-1.2, 1.2, 5)
    rows = [(x, y, (x + 1.2) / 2.4 if classes == 2 else int(x > 0)) for x in axis for y in axis]
    return pd.DataFrame(rows, columns=[*columns, said])


def unpack(packed: str, kind: Any) -> np.ndarray:
    return np.frombuffer(base64.b64decode(packed), dtype=kind)


@pytest.mark.parametrize(("rows", "kind"), [(20, "<u1"), (255, "<u1"), (256, "<u2"), (70_000, "<u4")])
def test_curves_are_counts_of_validation_rows(rows: int, kind: str) -> None:
    comparison = make_comparison(rows=rows)
    pairs = collect_play(comparison)["pairs"]
    assert pairs["bytes"] == np.dtype(kind).itemsize
    for arm, curves in zip(ARMS, comparison.trainings.at_lr(), strict=True):
        counts = unpack(pairs[arm]["curves"], kind).reshape(8, 13)
        np.testing.assert_allclose(counts / rows, curves.val_accuracy.T)
        np.testing.assert_allclose(unpack(pairs[arm]["final"], "<f4"), comparison.pairs[arm], rtol=1e-6)


def test_each_pair_has_the_endpoints_that_the_claims_are_judged_by() -> None:
    comparison = make_comparison()
    pairs = collect_play(comparison)["pairs"]
    reached = [unpack(pairs[arm]["reached"], "<f4") for arm in ARMS]
    changes = [unpack(pairs[arm]["change"], "<f4") for arm in ARMS]
    assert (reached[1] - reached[0]).mean() == pytest.approx(comparison.judgement("faster_training").estimate, abs=1e-5)
    assert (changes[1] - changes[0]).mean() == pytest.approx(comparison.judgement("steadier").estimate, abs=1e-6)


def test_each_rate_has_its_curves_its_best_mark_and_what_the_verdicts_rest_on() -> None:
    comparison = make_comparison()
    rates = collect_play(comparison)["rates"]
    assert [rate["lr"] for rate in rates] == list(RATES)
    for arm in ARMS:
        sweep = comparison.trainings.sweeps[arm]
        for rate in rates:
            band = unpack(rate[arm]["curves"], "<u2").reshape(3, 13) / 65535
            np.testing.assert_allclose(band, mean_interval(sweep.at(rate["lr"]).val_accuracy), atol=1e-5)
        best = [rate["lr"] for rate in rates if rate[arm]["best"]]
        assert best == [sweep.rates[sweep.final_accuracy.mean(axis=0).argmax()]]
    accuracy, speed = rates[0]["findings"]
    judged = {name: comparison.judgement(name) for name in ("higher_accuracy", "faster_training")}
    assert f"difference {judged['higher_accuracy'].estimate:+.3f}" in accuracy
    assert f"interval {judged['higher_accuracy'].ci_low:+.3f} to {judged['higher_accuracy'].ci_high:+.3f}" in accuracy
    assert f"difference {judged['faster_training'].estimate:+.0f}" in speed
    assert rates[2]["findings"][1] == "Speed: not measured, for neither arm gains over the majority class here."


def test_bands_stay_between_none_and_all() -> None:
    comparison = make_comparison(seeds=2)
    low, high = mean_interval(comparison.trainings.at_lr()[0].val_accuracy)[1:]
    assert low.min() < 0 or high.max() > 1  # two seeds: an interval of 12.7 standard errors
    for rate in collect_play(comparison)["rates"]:
        assert all(0 <= value <= 1 for arm in ARMS for value in rate[arm]["final"])


def test_a_page_of_many_pairs_holds_the_first_ones() -> None:
    comparison = make_comparison(seeds=1100, rates=(0.01,), epochs=200)
    play = collect_play(comparison)
    assert play["pairs"]["total"] == 1100
    assert play["pairs"]["count"] == MOST_BYTES // (2 * 201 + 2 * 4 * 20)
    assert len(json.dumps(play)) < 1_000_000
    counts = unpack(play["pairs"]["bn"]["curves"], "<u1").reshape(-1, 201)
    np.testing.assert_array_equal(
        counts[-1], np.rint(comparison.trainings.at_lr()[1].val_accuracy[:, len(counts) - 1] * 20)
    )


def test_long_curves_are_thinned_and_keep_their_ends() -> None:
    epochs = collect_play(make_comparison(rates=(0.01,), epochs=3000))["epochs"]
    assert len(epochs) == 500
    assert (epochs[0], epochs[-1]) == (0, 3000)


@pytest.mark.parametrize("columns", [("x1",), ("x1", "x2", "x3")])
def test_without_a_plane_there_is_none(columns: tuple[str, ...]) -> None:
    assert collect_play(make_comparison(columns=columns))["plane"] is None


def test_each_pair_shows_the_rows_that_it_was_validated_by() -> None:
    shared = make_comparison()
    plane = collect_play(shared)["plane"]
    assert plane["tables"] == 1
    points = unpack(plane["rows"], "<f4").reshape(1, 2, 20)
    np.testing.assert_allclose(points[0].T, shared.val[["x1", "x2"]], rtol=1e-6)
    random = np.random.default_rng(1)
    index = np.stack([random.permutation(30) for _ in range(8)])
    labels = random.integers(2, size=(8, 30))
    scaling = np.zeros((8, 2)), np.full((8, 2), 2.0)
    parts = index[:, :10], index[:, 10:], labels[:, :10], labels[:, 10:]
    pair_rows = PairRows(random.normal(size=(8, 30, 2)), *parts, *scaling)
    own = replace(shared, pair_rows=pair_rows, rules=replace(shared.rules, overlap=0.5))
    plane, pairs = collect_play(own)["plane"], collect_play(own)["pairs"]
    assert plane["tables"] == 8
    points = unpack(plane["rows"], "<f4").reshape(8, 2, 20)
    np.testing.assert_allclose(points[3].T, pair_rows.rows[3][index[3, 10:]] / 2, rtol=1e-6)
    np.testing.assert_array_equal(unpack(plane["labels"], "<u1").reshape(8, 20), labels[:, 10:])
    assert own.validation_rows(3)["label"].tolist() == labels[3, 10:].tolist()
    plain = unpack(collect_play(shared)["pairs"]["quantiles"], "<f4")
    wider = np.sqrt(1 + np.arange(2, 9) / 2)
    np.testing.assert_allclose(unpack(pairs["quantiles"], "<f4"), plain * wider, rtol=1e-6)


def run_numbers(script: str, folder: Path, **given: Any) -> Any:
    """Return what an expression of JavaScript comes to, with all of numbers.js and `given` in reach."""
    module = folder / "numbers.mjs"
    shutil.copy(HERE / "numbers.js", module)
    lines = [
        f"import * as numbers from {json.dumps(module.as_uri())};",
        f"const given = {json.dumps(given)};",
        f"console.log(JSON.stringify({script}));",
    ]
    command = [str(NODE), "--input-type=module", "--eval", "\n".join(lines)]
    return json.loads(subprocess.run(command, capture_output=True, text=True, check=True, timeout=HANGS).stdout)


@needs_node
def test_means_and_intervals_are_those_of_python(tmp_path: Path) -> None:
    values = np.random.default_rng(1).normal(size=30).tolist()
    quantiles = collect_play(make_comparison(seeds=40))["pairs"]["quantiles"]
    script = "numbers.meanInterval(given.values, numbers.unpack(given.quantiles, 'f'))"
    computed = run_numbers(script, tmp_path, values=values, quantiles=quantiles)
    expected = mean_interval(np.array(values))
    assert [computed["mean"], computed["low"], computed["high"]] == pytest.approx(list(expected), rel=1e-6)
    alone = run_numbers("numbers.meanInterval([3], [])", tmp_path)
    assert alone == {"mean": 3, "low": None, "high": None}


@needs_node
@pytest.mark.parametrize("activation", list(ACTIVATIONS))
@pytest.mark.parametrize("classes", [2, 3])
def test_forward_pass_is_that_of_pytorch(activation: str, classes: int, tmp_path: Path) -> None:
    generator = torch.Generator().manual_seed(2)
    architecture = Architecture(2, (4, 3), activation, classes=classes)
    networks = [build_network(architecture, generator) for _ in range(3)]
    x = 3 * torch.randn(20, 2, generator=generator)
    with torch.no_grad():
        expected = torch.stack([network(x) for network in networks]).numpy()
    widths = [2, 4, 3, 1 if classes == 2 else classes]
    script = (
        "Array.from({length: 3}, (_, replica) => given.rows.map((row) => numbers.forward(numbers.row("
        "numbers.unpack(given.flat, 'f'), given.size, replica), given.widths, given.activation, row)))"
    )
    flat = fold_networks(stack(networks))
    packed = base64.b64encode(flat.tobytes()).decode()
    given = {"flat": packed, "size": flat.shape[1], "widths": widths, "activation": activation, "rows": x.tolist()}
    np.testing.assert_allclose(run_numbers(script, tmp_path, **given), expected, atol=2e-6)


@needs_node
def test_predictions_are_those_that_are_counted_as_right(tmp_path: Path) -> None:
    logits = [[0.0], [1e-9], [-2.0], [1.0, 3.0, 3.0], [-1.0, 0.0, -5.0]]
    said = run_numbers("given.logits.map(numbers.predict)", tmp_path, logits=logits)
    assert [one["label"] for one in said] == [0, 1, 0, 1, 1]
    assert said[2]["probability"] == pytest.approx(float(1 - torch.sigmoid(torch.tensor(-2.0))))
    assert said[4]["probability"] == pytest.approx(float(torch.softmax(torch.tensor(logits[4]), dim=0).max()))
    assert run_numbers("numbers.predict([NaN, 1])", tmp_path)["label"] == -1


@needs_node
def test_tally_piles_and_ticks_by_hand(tmp_path: Path) -> None:
    differences = [0.13, 0.2, 0.0, -0.1, 0.05, 0.1299999]
    assert run_numbers("numbers.tally(given.differences, 0.13)", tmp_path, differences=differences) == {
        **{"better": 4, "worse": 1, "gap": 3}  # the last differs from the gap by less than rounding
    }
    piled = run_numbers("numbers.pile([-0.02, 0, 0.01, 0.02, 0.03, 0], 0.02)", tmp_path)
    assert [(dot["column"], dot["height"]) for dot in piled] == [(-1, 0), (0, 0), (1, 0), (1, 1), (2, 0), (0, 1)]
    assert run_numbers("numbers.sizeDots(30, 100, 5, 10)", tmp_path) == {"size": 10, "abreast": 1}
    assert run_numbers("numbers.sizeDots(30, 100, 20, 10)", tmp_path) == {"size": 10, "abreast": 2}
    assert run_numbers("numbers.sizeDots(30, 100, 300, 10)", tmp_path) == {"size": 3, "abreast": 10}
    assert run_numbers("[numbers.ticks(0, 200, 5), numbers.ticks(0.31, 0.88, 5)]", tmp_path) == [
        [0, 50, 100, 150, 200],
        [0.4, 0.6, 0.8],
    ]


@needs_node
def test_shuffled_numbers_are_all_there_and_in_every_order(tmp_path: Path) -> None:
    script = "Array.from({length: 6000}, () => numbers.shuffle(3, Math.random).join(''))"
    counts = pd.Series(run_numbers(script, tmp_path)).value_counts()
    assert sorted(counts.index) == ["012", "021", "102", "120", "201", "210"]
    assert counts.between(850, 1150).all()  # of 1000 each, five standard errors


@pytest.mark.parametrize(
    ("summaries", "counted"),
    [
        (
            [HOLDS, HOLDS, FAILS],
            "two hold (faster training, higher accuracy) and one is supported in no reading (steadier accuracy)",
        ),
        (
            [DEPENDS, NOT_MEASURED, DEPENDS],
            "two depend on the reading (faster training, steadier accuracy) and one could"
            " not be measured (higher accuracy)",
        ),
        (
            [FAILS, FAILS, FAILS],
            "all three are supported in no reading (faster training, higher accuracy, steadier accuracy)",
        ),
    ],
)
def test_the_answer_counts_what_holds_in_all_readings(summaries: list[str], counted: str) -> None:
    names = [claim.name for claim in CLAIMS]
    judgements = [Judgement(name, summary=summary) for name, summary in zip(names, summaries, strict=False)]
    answer = state_answer(judgements, "batch normalization", 64)
    assert answer == f"Of six claims about batch normalization, tried on 64 pairs of networks, {counted}."


@pytest.mark.parametrize(
    ("verdict", "counted"),
    [
        (INCONCLUSIVE, "all six stay open"),
        (NO_PRACTICAL_DIFFERENCE, "all six make no practical difference"),
        (NOT_MEASURED, "all six could not be measured"),
    ],
)
def test_where_all_verdicts_are_alike_nothing_more_is_said(verdict: str, counted: str) -> None:
    judgements = [Judgement(claim.name, verdict, summary=summarize([verdict])) for claim in CLAIMS]
    assert state_same_rate(judgements, 0.1).startswith(f"At the one learning rate 0.1 for both, {counted} (")
    answer = state_answer(judgements, "batch normalization", 2)
    in_all = counted if verdict == NOT_MEASURED else "all six are supported in no reading"
    assert answer.startswith(f"Of six claims about batch normalization, tried on 2 pairs of networks, {in_all} (")


def test_the_same_rate_counts_verdicts() -> None:
    verdicts = [REFUTED, SUPPORTED, REFUTED]
    judgements = [Judgement(claim.name, verdict) for claim, verdict in zip(CLAIMS, verdicts, strict=False)]
    assert state_same_rate(judgements, 0.003) == (
        "At the one learning rate 0.003 for both, one is supported (higher accuracy)"
        " and two are refuted (faster training, steadier accuracy)."
    )
