"""What `compare` holds of trainings that are larger than the memory."""

import tracemalloc
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from stages import ARMS, EXACT_MEASURES, MEASURES
from stages.evidence import paired
from stages.evidence.claims import CLAIMS
from stages.evidence.comparison import Comparison, compare_arms
from stages.evidence.effects import Rules
from stages.evidence.gallery import ROUGHNESSES, SHIFTS
from stages.evidence.page.play import collect_play
from stages.evidence.tables import ratio_of_roughness, tabulate_dead_layers, tabulate_diagnostics
from stages.evidence.trainings import Inside, PairedTrainings, Sweep

SEEDS, EPOCHS, RATE = 512, 500, 0.01
COLUMN = 8 * SEEDS * (EPOCHS + 1)  # bytes of one measure of one arm
DIAGNOSTICS = (*SHIFTS, "gradient_cosine", *ROUGHNESSES, "dead_layer")


def write_arm(folder: Path, gain: float) -> None:
    """Write history and diagnostics of an arm that gains over 0.5; the first seeds are born dead."""
    folder.mkdir()
    index = pd.MultiIndex.from_product([range(SEEDS), range(EPOCHS + 1)], names=["seed", "epoch"])
    rows = index.to_frame(index=False)
    values = np.random.default_rng(0).uniform(0.1, 0.2, len(rows))
    history = rows.assign(lr=RATE, **dict.fromkeys([*MEASURES, *EXACT_MEASURES], values + gain * (rows["epoch"] > 5)))
    inside = rows.assign(**dict.fromkeys(DIAGNOSTICS, values)).assign(dead_layer=(rows["seed"] < 9).astype(float))
    for name, table in {"history": history, "diagnostics": inside}.items():
        table.to_parquet(folder / f"{name}.parquet", index=False, row_group_size=64 * (EPOCHS + 1))


def compare(folder: Path) -> Comparison:
    trainings = PairedTrainings(
        sweeps={arm: Sweep.open(folder / arm / "history.parquet") for arm in ARMS},
        diagnostics={arm: Inside.open(folder / arm / "diagnostics.parquet") for arm in ARMS},
        lr=RATE,
        majority=0.1,
        train_rows=400,
        batch_size=32,
        parameters=15,
    )
    return compare_arms(
        trainings,
        Rules({claim.name: 0.001 for claim in CLAIMS}, resamples=9),
        mean_curves=dict.fromkeys(ARMS, _curves()),
        surfaces=dict.fromkeys(ARMS, pd.DataFrame(columns=["x1", "x2", "probability"])),
        val=pd.DataFrame({"x1": [0.0, 1.0], "x2": [0.0, 1.0], "label": [0, 1]}),
    )


def _curves() -> pd.DataFrame:
    names = [f"{name}{suffix}" for name in MEASURES for suffix in ("", "_ci_low", "_ci_high")]
    return pd.DataFrame({"epoch": np.arange(EPOCHS + 1)} | dict.fromkeys(names, 0.5))


def test_compare_holds_a_few_measures_at_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(paired, "NUMBERS_AT_ONCE", SEEDS)  # one resample: as large as a measure at one epoch
    for arm, gain in {"baseline": 0.2, "bn": 0.3}.items():
        write_arm(tmp_path / arm, gain)
    tracemalloc.start()
    try:
        comparison = compare(tmp_path)
        collect_play(comparison)
        tabulate_diagnostics(comparison, [*SHIFTS, *ROUGHNESSES])
        tabulate_dead_layers(comparison)
        ratio_of_roughness(comparison)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    judged = {one.name: one for one in comparison.judgements}
    measured = [name for name, one in judged.items() if one.n and one.n_alive == SEEDS - 9]
    assert len(measured) == len(CLAIMS) - 1  # there is one rate
    assert judged["steadier"].itself.n == SEEDS
    assert peak < 7 * COLUMN  # a claim has two measures of both arms, and works on them
