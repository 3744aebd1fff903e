"""What the MLflow UI is told of colors, charts and columns; tests/test_ui.py looks at it in a browser."""

import pytest

from stages import COLORS
from stages.tracking.views import OF_NO_ARM, choose_shade, run_color

MANY = 12  # experiments: more than there are shades


def shades(arm: str) -> list[str]:
    """Return the shades of experiments, one after the other."""
    given: list[str] = []
    for _ in range(MANY):
        given.insert(0, choose_shade(COLORS[arm], given))
    return given[::-1]


def channels(color: str) -> tuple[int, int, int]:
    """Return red, green and blue of a color as in #008000."""
    assert len(color) == 7
    return int(color[1:3], 16), int(color[3:5], 16), int(color[5:7], 16)


def test_a_run_outside_an_experiment_has_the_color_of_its_arm() -> None:
    assert {arm: run_color(arm) for arm in COLORS} == COLORS


def test_an_experiment_has_shades_that_never_look_like_the_other_arm() -> None:
    for without, with_it in zip(shades("baseline"), shades("bn"), strict=True):
        grey = channels(without)
        assert grey == (grey[0],) * 3
        assert 30 <= grey[0] <= 200  # neither the black of the arm itself, nor the white of the page
        red, green, blue = channels(with_it)
        assert red == blue <= green - 35  # a green


@pytest.mark.parametrize("arm", COLORS)
def test_an_experiment_looks_unlike_those_before_it(arm: str) -> None:
    reds = [channels(shade)[0] for shade in shades(arm)]
    for number, red in enumerate(reds):
        before = reds[max(0, number - 4) : number]
        assert all(abs(red - other) >= 25 for other in before)


def test_a_comparison_looks_like_neither_arm() -> None:
    assert run_color(None) == OF_NO_ARM
    red, green, blue = channels(OF_NO_ARM)
    assert blue > max(red, green) + 50
