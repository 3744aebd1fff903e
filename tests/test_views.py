"""What the MLflow UI is told of colors, charts and columns; tests/test_ui.py looks at it in a browser."""

import pytest

from stages import COLORS
from stages.tracking.views import OF_NO_ARM, run_color

NAMES = [f"experiment-{number}" for number in range(200)]


def channels(color: str) -> tuple[int, int, int]:
    """Return red, green and blue of a color as in #008000."""
    assert len(color) == 7
    return int(color[1:3], 16), int(color[3:5], 16), int(color[5:7], 16)


def test_a_run_outside_an_experiment_has_the_color_of_its_arm() -> None:
    assert {arm: run_color({"arm": arm}) for arm in COLORS} == COLORS


@pytest.mark.parametrize("name", NAMES)
def test_an_experiment_has_shades_that_never_look_like_the_other_arm(name: str) -> None:
    without = channels(run_color({"arm": "baseline", "dvc.exp.name": name}))
    red, green, blue = channels(run_color({"arm": "bn", "dvc.exp.name": name}))
    assert without == (without[0],) * 3  # a grey
    assert 30 <= without[0] <= 200  # neither the black of the arm itself, nor the white of the page
    assert red == blue <= green - 35  # a green


def test_experiments_differ_in_shade() -> None:
    for arm in COLORS:
        assert len({run_color({"arm": arm, "dvc.exp.name": name}) for name in NAMES}) > 50


def test_a_comparison_looks_like_neither_arm() -> None:
    assert run_color({}) == run_color({"dvc.exp.name": "fast"}) == OF_NO_ARM
    red, green, blue = channels(OF_NO_ARM)
    assert blue > max(red, green) + 50
