"""The page in headless Chromium: of a real run against its tables, and of made-up runs of every kind."""

import json
import re
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from browser import Browser, Page, open_browser
from conftest import CHROMIUM, RATES
from test_play import RATES as MADE_UP_RATES
from test_play import make_comparison

from docs import picture
from stages import ARMS
from stages.evidence.comparison import Comparison
from stages.evidence.page.play import TUTORIAL_GAP
from stages.evidence.page.render import render_report

pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="no Chromium is installed")

PHONE, DESKTOP, PROJECTOR = 390, 1200, 2560
GUARD = """{
  const set = Element.prototype.setAttribute;
  Element.prototype.setAttribute = function (name, value) {
    if (/NaN|undefined|Infinity/.test(value)) console.error(this.tagName, name, String(value));
    set.call(this, name, value);
  };
}"""
CROWDED = """[...document.querySelectorAll('svg')].filter((svg) => svg.checkVisibility()).flatMap((svg) => {
  const words = [...svg.querySelectorAll('text')].map((text) => [text.textContent, text.getBoundingClientRect()]);
  const sheet = svg.getBoundingClientRect();
  const meet = (one, other) => one.left < other.right && other.left < one.right
    && one.top + 3 < other.bottom - 3 && other.top + 3 < one.bottom - 3; // letters are lower than their boxes
  return words.flatMap(([text, box], i) => [
    ...(box.left < sheet.left - 1 || box.right > sheet.right + 1 ? [`${text} is cut off`] : []),
    ...words.slice(i + 1).filter(([, other]) => meet(box, other)).map(([other]) => `${text} lies over ${other}`),
  ]);
})"""
HOSTILE = '</script><img src=x onerror="document.title=1">'


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with open_browser() as browser:
        yield browser


@pytest.fixture
def page(browser: Browser) -> Iterator[Page]:
    """A tab that must have logged no error, drawn what is no number nowhere, and asked for nothing but its file."""
    tab = Page(browser)
    tab.call("Page.addScriptToEvaluateOnNewDocument", source=GUARD)
    yield tab
    tab.close()
    assert tab.errors == []
    assert [address for address in tab.requests if not address.startswith("file:")] == []


@pytest.fixture
def show(page: Page, tmp_path: Path) -> Callable[..., Page]:
    """Return a function that renders a made-up comparison and opens its page."""

    def render(comparison: Comparison, **params: str) -> Page:
        path = tmp_path / "report.html"
        path.write_text(render_report(comparison, [], params), encoding="utf-8")
        page.open(path.as_uri())
        return page

    return render


def text(page: Page, selector: str) -> str:
    return page.run(f"document.querySelector({json.dumps(selector)}).innerText")


def is_shown(page: Page, selector: str) -> bool:
    return page.run(f"document.querySelector({json.dumps(selector)}).checkVisibility()")


def assert_fits(page: Page) -> None:
    wide, window = page.run("[document.documentElement.scrollWidth, document.documentElement.clientWidth]")
    assert wide <= window


@pytest.mark.parametrize("width", [PHONE, DESKTOP])
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_the_page_of_a_real_run_shows_what_its_tables_hold(
    small_project: Path, page: Page, width: int, scheme: str
) -> None:
    results = small_project / "results"
    page.show_as(width, prefers_color_scheme=scheme)
    page.open((results / "report.html").as_uri())
    assert_fits(page)
    assert page.run("[...document.images].every((image) => image.naturalWidth > 0)")
    check_draws(page, pd.read_csv(results / "pairs.csv"), rows=100)
    check_rates(page, results)
    check_verdicts(page, pd.read_csv(results / "claims.csv").set_index("name"))
    assert_fits(page)


def check_draws(page: Page, pairs: pd.DataFrame, rows: int) -> None:
    """Draw until all pairs are there, by button and by key: the tally must be that of the table."""
    for draw in range(1, len(pairs)):
        assert f"of {draw} draws" in text(page, "#tally")
        page.click("#draw") if draw % 2 else page.press(" ", " ")
        check_pair(page, pairs, rows)
    better, worse = (pairs["difference"] > 0).sum(), (pairs["difference"] < 0).sum()
    gap = (pairs["difference"] >= TUTORIAL_GAP).sum()
    assert text(page, "#tally").startswith(
        f"With batch normalization better in {better} of {len(pairs)} draws, worse in {worse};"
        f" the tutorial's gap of 13 points or more in {gap}."
    )
    assert page.run("document.querySelectorAll('.dot.drawn').length") == len(pairs)


def check_pair(page: Page, pairs: pd.DataFrame, rows: int) -> None:
    """Compare the pair that is shown: its accuracies, and what its networks say of the validation rows."""
    number = int(re.match(r"Pair (\d+) of", text(page, "#pair-name"))[1])
    pair = pairs.iloc[number - 1]
    accuracies = f"{pair['baseline']:.2f} without, {pair['bn']:.2f} with batch normalization"
    assert accuracies in text(page, "#conclusions")
    word = "More" if pair["difference"] > 0 else "Less" if pair["difference"] < 0 else "As"
    assert text(page, "#conclusions").startswith(f"{word} accurate")
    assert accuracies in page.run("document.querySelector('#curves svg').getAttribute('aria-label')")
    for arm in ARMS:
        words = page.run(f"document.getElementById('plane-{arm}').getAttribute('aria-label')")
        assert f"right on {round(rows * pair[arm])} of {rows} validation rows" in words


def check_rates(page: Page, results: Path) -> None:
    """Move the slider over all rates: the findings must be those of the histories."""
    histories = [pd.read_parquet(results / arm / "history.parquet") for arm in ARMS]
    for number, rate in enumerate(RATES):
        slide(page, number)
        assert re.match(rf"{rate:g}(:|$)", text(page, "#rate-name"))
        finals = [history[(history["lr"] == rate) & (history["epoch"] > 0)] for history in histories]
        means = [final["val_accuracy"].mean() for final in finals]  # 5 epochs: the last ten are all but the first
        findings = text(page, "#rate-findings")
        shown = re.match(r"Accuracy over the last 5 epochs: (.*) without, (.*) with batch", findings)
        assert [float(shown[1]), float(shown[2])] == pytest.approx(means, abs=0.000501)
        assert page.run("document.querySelectorAll('#rate-curves .band').length") == 2


def slide(page: Page, number: int) -> None:
    page.run(
        f"(() => {{ const slider = document.getElementById('rate'); slider.value = {number};"
        " slider.dispatchEvent(new Event('input')); })()"
    )


def check_verdicts(page: Page, claims: pd.DataFrame) -> None:
    """Open every claim by a click: what it then says must be in the table."""
    rows = page.run("document.querySelectorAll('.verdict').length")
    assert rows == len(claims)
    for number, (_, claim) in enumerate(claims.iterrows(), start=1):
        row = f".verdict:nth-of-type({number})"
        assert not is_shown(page, f"{row} dl")
        page.click(f"{row} summary")
        assert is_shown(page, f"{row} dl")
        assert claim["verdict"] in text(page, f"{row} summary")
        found = text(page, f"{row} dl")
        if claim["n"]:
            assert f"{claim['estimate']:+.3g} {claim['unit']}" in found
            assert f"{claim['ci_low']:+.3g} to {claim['ci_high']:+.3g}" in found
        else:
            assert claim["note"] in found


def test_draws_are_counted_for_the_side_they_are_on(show: Callable[..., Page]) -> None:
    comparison = make_comparison()
    assert (comparison.pairs["difference"] > 0).sum() == 8  # in a small real run both sides may have as many
    check_draws(show(comparison), comparison.pairs, rows=20)


def test_curves_lie_where_the_numbers_are(show: Callable[..., Page]) -> None:
    comparison = make_comparison()
    page = show(comparison)
    number = int(re.match(r"Pair (\d+) of", text(page, "#pair-name"))[1]) - 1
    for arm, curves in zip(ARMS, comparison.trainings.at_lr(), strict=True):
        d = page.run(f"document.querySelector('#curves .curve.{arm}').getAttribute('d')")
        drawn = np.array([float(step.split()[1]) for step in d[1:].split("L")])
        accuracy = curves.val_accuracy[:, number]
        slope, start = np.polyfit(accuracy, drawn, 1)
        assert slope < 0  # higher is farther up
        np.testing.assert_allclose(drawn, start + slope * accuracy, atol=0.1)


def test_a_dot_a_key_and_the_slider_show_their_pair(show: Callable[..., Page]) -> None:
    comparison = make_comparison()
    page = show(comparison)
    differences = comparison.pairs["difference"].to_numpy()
    page.run("document.getElementById('browse').focus()")
    page.press("Home")
    assert shown_difference(page, differences) == differences.min()
    page.press("End")
    assert shown_difference(page, differences) == differences.max()
    assert "of 1 draws" in text(page, "#tally")  # to look is not to draw
    page.click(".dot:nth-of-type(1)")
    assert page.run("document.querySelector('.dot').classList.contains('shown')")


def shown_difference(page: Page, differences: np.ndarray) -> float:
    return float(differences[int(re.match(r"Pair (\d+) of", text(page, "#pair-name"))[1]) - 1])


def test_play_draws_on_until_it_is_paused(show: Callable[..., Page]) -> None:
    page = show(make_comparison(seeds=40))
    page.click("#play")
    page.run("new Promise((done) => setTimeout(done, 1500))")
    assert text(page, "#play") == "Pause"
    drawn = page.run("document.querySelectorAll('.dot.drawn').length")
    assert drawn >= 3
    page.click("#play")
    drawn = page.run("document.querySelectorAll('.dot.drawn').length")
    page.run("new Promise((done) => setTimeout(done, 1500))")
    assert page.run("document.querySelectorAll('.dot.drawn').length") == drawn
    page.click("#restart")
    assert "of 1 draws" in text(page, "#tally")


def test_the_keyboard_alone_reaches_all_and_does_one_thing_at_a_time(show: Callable[..., Page]) -> None:
    page = show(make_comparison())
    reached = []
    for _ in range(12):
        page.press("Tab")
        reached.append(page.run("document.activeElement.id || document.activeElement.tagName"))
    assert reached == [*["SUMMARY"] * 7, "draw", "play", "restart", "browse", "rate"]
    page.run("document.getElementById('draw').focus()")
    page.press(" ", " ")
    assert "of 2 draws" in text(page, "#tally")  # the button's own draw, and no second one
    page.run("document.querySelector('.verdict summary').focus()")
    page.press("Enter", "\r")
    assert is_shown(page, ".verdict dl")
    page.press(" ", " ")
    assert not is_shown(page, ".verdict dl")
    assert "of 2 draws" in text(page, "#tally")


def test_words_for_a_screen_reader_change_with_what_is_drawn(show: Callable[..., Page]) -> None:
    page = show(make_comparison())
    page.click("#draw")
    spoken = page.run("[...document.querySelectorAll('#dots svg, #curves svg')].map((svg) => svg.ariaLabel)")
    tally = text(page, "#tally")
    assert tally.split(".")[0].lower() in spoken[1].lower()
    assert spoken[0].startswith("Validation accuracy of one pair over 12 epochs; at the end")
    assert page.run("document.getElementById('tally').ariaLive") == "polite"
    for rate in MADE_UP_RATES:
        slide(page, MADE_UP_RATES.index(rate))
        label = page.run("document.querySelector('#rate-curves svg').ariaLabel")
        assert label == f"Mean validation accuracy over epochs at learning rate {rate:g}"
        assert page.run("document.getElementById('rate').ariaValueText") == text(page, "#rate-name")


def test_with_reduced_motion_nothing_moves_by_itself(page: Page, show: Callable[..., Page]) -> None:
    page.show_as(DESKTOP, prefers_reduced_motion="reduce")
    show(make_comparison(seeds=40))
    assert text(page, "#play") == "Draw ten"
    page.click("#play")
    page.run("new Promise((done) => setTimeout(done, 1500))")
    assert "of 11 draws" in text(page, "#tally")


KINDS = {
    "many classes": {"classes": ("red", "white", "rosé")},
    "many features": {"columns": ("a", "b", "c")},
    "one rate": {"rates": (0.01,)},
    "ten rates": {"rates": (0.0001, 0.0003, 0.001, 0.003, 0.01, 0.03, 0.1, 0.3, 1.0, 3.0)},
    "two epochs": {"epochs": 2},
    "two seeds": {"seeds": 2},
    "hundreds": {"seeds": 500},
}


@pytest.mark.parametrize("kind", KINDS)
def test_pages_of_every_kind_fit_and_show_what_there_is(page: Page, tmp_path: Path, kind: str) -> None:
    path = tmp_path / "report.html"
    path.write_text(render_report(make_comparison(**KINDS[kind]), [], {}), encoding="utf-8")
    for width in (320, PHONE, DESKTOP, PROJECTOR):
        page.show_as(width)
        page.open(path.as_uri())
        page.press(" ", " ")
        assert_fits(page)
        assert page.run(CROWDED) == [], width
        assert all(epoch.isdigit() for epoch in ticks_below(page, "#curves")), width
        for rate in range(len(KINDS[kind].get("rates", MADE_UP_RATES))):
            slide(page, rate)
            assert page.run(CROWDED) == [], (width, rate)
        assert is_shown(page, "#planes") == (kind != "many features"), width
        assert is_shown(page, "#rates") == (kind != "one rate"), width
        assert "of 2 draws" in text(page, "#tally"), width
        assert smallest_text(page) >= 11, width


def ticks_below(page: Page, place: str) -> list[str]:
    """Return what stands at the ticks of a drawing's horizontal axis."""
    found = page.run(
        f"[...document.querySelectorAll('{place} text[text-anchor=middle]')].map((text) => text.textContent)"
    )
    assert len(found) > 1
    return found


def test_the_majority_class_lies_within_the_drawing_though_all_networks_do_better(show: Callable[..., Page]) -> None:
    comparison = make_comparison()
    page = show(replace(comparison, trainings=replace(comparison.trainings, majority=0.1)))
    for place in ("#curves", "#rate-curves"):
        line, axis = page.run(
            f"[document.querySelector('{place} .mark').y1.baseVal.value,"
            f" Number(document.querySelector('{place} text[text-anchor=middle]').getAttribute('y'))]"
        )
        assert line < axis - 16  # the letters of the axis are below


def test_the_picture_for_the_readme_shows_the_same_pair_each_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "index.html").write_text(render_report(make_comparison(seeds=40), [], {}), encoding="utf-8")
    monkeypatch.setattr(picture, "DOCS", tmp_path)
    images = set()
    for _ in range(3):
        picture.main()
        images.add((tmp_path / "page.png").read_bytes())
    assert len(images) == 1


def test_words_stand_clear_whichever_pair_is_shown(page: Page, show: Callable[..., Page]) -> None:
    page.show_as(320)
    show(make_comparison(seeds=40))
    page.run("document.getElementById('browse').focus()")
    page.press("Home")
    for _ in range(40):
        assert page.run(CROWDED) == []
        page.press("ArrowRight")


def smallest_text(page: Page) -> float:
    """Return the size in pixels of the smallest letters in a drawing, as they are shown."""
    return page.run(
        "Math.min(...[...document.querySelectorAll('svg')].filter((svg) => svg.checkVisibility()).map((svg) =>"
        " svg.getBoundingClientRect().width / svg.viewBox.baseVal.width"
        " * parseFloat(getComputedStyle(svg.querySelector('text')).fontSize)))"
    )


def test_names_from_outside_stay_text(show: Callable[..., Page]) -> None:
    comparison = make_comparison(classes=(HOSTILE, "1"), columns=(HOSTILE, "'\"`${1}"))
    page = show(comparison, **{"data.source": HOSTILE})
    assert f"class {HOSTILE}" in text(page, "#keys")
    assert f"To the right: {HOSTILE}; upwards: '\"`${{1}}." in text(page, "#planes")
    assert HOSTILE in text(page, "table")
    assert page.run("document.images.length") == 0
    assert page.run("document.title") == "Batch normalization, put to the test"
    assert page.run("document.scripts.length") == 2


def test_without_scripts_claims_are_there_and_nothing_that_needs_them(page: Page, show: Callable[..., Page]) -> None:
    page.call("Emulation.setScriptExecutionDisabled", value=True)
    show(make_comparison())
    assert not is_shown(page, "#draw")
    assert not is_shown(page, "#rate")
    page.click(".verdict summary")
    assert is_shown(page, ".verdict dl")
    assert "With scripts on" in text(page, "noscript")


def test_it_works_in_the_frame_of_the_mlflow_ui(page: Page, tmp_path: Path) -> None:
    """MLflow shows an artifact in a frame that may run scripts, and nothing else: no storage, no origin."""
    (tmp_path / "report.html").write_text(render_report(make_comparison(), [], {}), encoding="utf-8")
    frame = '<iframe sandbox="allow-scripts" src="report.html" width="800" height="600" style="display: none"></iframe>'
    (tmp_path / "frame.html").write_text(frame)
    page.open((tmp_path / "frame.html").as_uri())
    page.run("document.querySelector('iframe').style.display = 'block'")
    page.enter_frame()
    page.run(  # the frame hears of its size when it does, and draws then
        "new Promise((done) => { const look = (left) => left && !document.querySelector('#curves .curve')"
        " ? setTimeout(look, 20, left - 1) : done(); look(3000); })"
    )
    page.run("document.getElementById('draw').click()")
    assert page.run("document.querySelectorAll('#curves .curve').length") == 2
    assert "of 2 draws" in text(page, "#tally")


def test_where_there_is_no_room_nothing_is_drawn_until_there_is(page: Page, show: Callable[..., Page]) -> None:
    page.show_as(20)  # the margins alone take more
    show(make_comparison())
    page.press(" ", " ")
    slide(page, 1)
    page.show_as(PHONE)
    page.run("new Promise(requestAnimationFrame)")
    assert page.run("document.querySelectorAll('.dot').length") == 8
    assert "of 2 draws" in text(page, "#tally")


def test_on_paper_no_figure_is_higher_than_a_page(small_project: Path, page: Page) -> None:
    page.show_as(718)  # A4 without its margins
    page.call("Emulation.setEmulatedMedia", media="print")
    page.open((small_project / "results/report.html").as_uri())
    heights = page.run("[...document.querySelectorAll('.picture')].map((each) => each.offsetHeight)")
    assert 0 < max(heights) < 1000


def test_on_paper_every_claim_is_open(page: Page, show: Callable[..., Page]) -> None:
    show(make_comparison())
    page.call("Page.printToPDF")
    assert page.run("[...document.querySelectorAll('details')].every((each) => each.open)")
