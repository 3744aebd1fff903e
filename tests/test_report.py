"""What is told of a training: when the progress bar starts, and what MLflow gets of one block and of several."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pandas as pd
import pytest

from stages import MEASURES
from stages.arm import live
from stages.arm import report as reporting
from stages.arm.live import LiveCurves
from stages.arm.report import ArmReport
from stages.training.loop import Schedule

SCHEDULE = Schedule([0.01, 0.1], range(4), epochs=2, batch_size=16)


class Listener:
    """Stands in for the run and for the progress bar, and notes what happens in which order."""

    def __init__(self) -> None:
        self.events: list[str] = []
        self.logged: dict[int, dict[str, float]] = {}
        self.counted = 0.0

    def wait_until_open(self) -> None:
        self.events.append("MLflow answers")

    def log_epoch(self, epoch: int, metrics: dict[str, float], by_rate: dict[float, dict[str, float]]) -> None:
        self.logged[epoch] = metrics

    def tqdm(self, **options: Any) -> "Listener":
        self.events.append("bar starts")
        return self

    def set_postfix(self, *arguments: Any, **options: Any) -> None:
        pass

    def update(self, count: float) -> None:
        self.counted += count

    def close(self) -> None:
        self.events.append("bar ends")


@pytest.fixture
def listener(monkeypatch: pytest.MonkeyPatch) -> Listener:
    listener = Listener()
    monkeypatch.setattr(reporting, "tqdm", listener.tqdm)
    return listener


@pytest.fixture
def curves(tmp_path: Path) -> LiveCurves:
    return LiveCurves(tmp_path / "curves.csv", draft=tmp_path / "draft")


def measures(epoch: int) -> dict[str, np.ndarray]:
    values = np.arange(8.0).reshape(2, 4) / 10 + epoch  # (L, S)
    return dict.fromkeys(MEASURES, values)


def history(seeds: list[int]) -> pd.DataFrame:
    rows = []
    for number, lr in enumerate(SCHEDULE.learning_rates):
        for seed in seeds:
            for epoch in range(3):
                rows.append({"lr": lr, "seed": seed, "epoch": epoch} | dict.fromkeys(MEASURES, epoch + number + seed))
    return pd.DataFrame(rows).astype(dict.fromkeys(MEASURES, float))


def test_the_bar_counts_training_not_waiting_for_mlflow(listener: Listener, curves: LiveCurves) -> None:
    with ArmReport("bn", listener, curves, SCHEDULE, 0.1, blocks=1, inline=True) as report:
        assert listener.events == []
        for epoch in range(3):
            report.on_epoch(epoch, measures(epoch))
    assert listener.events == ["MLflow answers", "bar starts", "bar ends"]
    assert listener.counted == 2  # epoch 0 is before training


def test_one_block_here_is_logged_while_it_trains(listener: Listener, curves: LiveCurves) -> None:
    with ArmReport("bn", listener, curves, SCHEDULE, 0.1, blocks=1, inline=True) as report:
        report.on_epoch(0, measures(0))
        assert listener.logged[0]["val_loss"] == pytest.approx(0.55)  # the mean over seeds at the headline rate
        report.on_epoch(1, measures(1))
        assert listener.logged.keys() == {0, 1}


@pytest.mark.parametrize("inline", [True, False])
def test_several_blocks_are_logged_as_one_once_the_last_is_done(
    listener: Listener, curves: LiveCurves, inline: bool
) -> None:
    with ArmReport("bn", listener, curves, SCHEDULE, 0.1, blocks=2, inline=inline) as report:
        assert listener.events == ["MLflow answers", "bar starts"]  # a store that is not there stops it at once
        report.add(history([0, 1]))
        assert listener.logged == {}
        report.add(history([2, 3]))
    assert [listener.logged[epoch]["train_loss"] for epoch in range(3)] == [2.5, 3.5, 4.5]
    assert report.curves()["val_loss"].mean.tolist() == [2.5, 3.5, 4.5]
    assert listener.counted == (0 if inline else 4)  # inline, on_epoch counts


def test_curves_grow_while_one_block_trains_here(
    listener: Listener, curves: LiveCurves, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(live, "SECONDS_BETWEEN", 0.0)
    monkeypatch.setattr(live, "SHARE_OF_TIME", 0)
    with ArmReport("bn", listener, curves, SCHEDULE, 0.1, blocks=1, inline=True) as report:
        for epoch in range(3):
            report.on_epoch(epoch, measures(epoch))
            table = pd.read_csv(curves.path)
            assert table["epoch"].tolist() == list(range(epoch + 1))
            assert table["val_loss"].tolist() == pytest.approx([0.55 + each for each in range(epoch + 1)])
            assert not curves.draft.exists()  # moved, so that nobody reads half a line


def test_curves_are_written_once_a_second_at_most(curves: LiveCurves, monkeypatch: pytest.MonkeyPatch) -> None:
    clock = iter([100.0, 100.01, 100.9, 101.0, 101.2, 101.9, 104.9, 105.1, 105.1])  # a start, and an end if it writes
    monkeypatch.setattr(live, "time", SimpleNamespace(monotonic=lambda: next(clock)))
    lengths = []
    for epoch in range(6):
        curves.add({name: values[1] for name, values in measures(epoch).items()})
        lengths.append(len(pd.read_csv(curves.path)))
    assert lengths == [1, 1, 3, 3, 3, 6]  # the second writing took 0.2 seconds: four pass until the next


def test_one_block_of_several_writes_no_curves(listener: Listener, curves: LiveCurves) -> None:
    with ArmReport("bn", listener, curves, SCHEDULE, 0.1, blocks=2, inline=True) as report:
        report.on_epoch(0, measures(0))
    assert not curves.path.exists()
