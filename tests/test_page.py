"""Figures and report of a small made-up experiment. Its page in a browser: tests/test_page_in_browser.py."""

import io
import re
from dataclasses import replace
from pathlib import Path
from unittest.mock import Mock

import numpy as np
import pandas as pd
import pytest
from changed_inside import change_inside
from matplotlib.collections import Collection
from matplotlib.figure import Figure
from PIL import Image

from stages import ARMS, COLORS, MEASURES
from stages.evidence import figures
from stages.evidence.claims import CLAIMS
from stages.evidence.comparison import Comparison, compare_arms
from stages.evidence.effects import Rules
from stages.evidence.gallery import FIGURES, ROUGHNESSES, SHIFTS, Picture, draw_all
from stages.evidence.page.render import render_report
from stages.evidence.tables import QUARTILES, find_quartiles, tabulate_diagnostics, tabulate_layer_gradients
from stages.evidence.titles import _round
from stages.evidence.trainings import Inside, PairedTrainings, Sweep
from stages.history.curves import summarize_epochs
from stages.history.wording import BATCH_NORM, Contrast, describe_contrast

EPOCHS, SEEDS, RATES = 12, 8, (0.01, 0.1, 1.0)
RULES = Rules({claim.name: 0.01 for claim in CLAIMS}, resamples=299)  # for eight pairs these are all sign flips
STEP_MEASURES = [*SHIFTS, "gradient_cosine", *ROUGHNESSES]


def make_arm(random: np.random.Generator, gain: float) -> tuple[pd.DataFrame, pd.DataFrame]:
    index = pd.MultiIndex.from_product([RATES, range(SEEDS), range(EPOCHS + 1)], names=["lr", "seed", "epoch"])
    history = pd.DataFrame(random.uniform(0, 0.01, (len(index), 4)), index=index, columns=list(MEASURES)).reset_index()
    history["val_accuracy"] += 0.5 + gain * (history["lr"] < 1) * (history["epoch"] > 2)
    inside = pd.MultiIndex.from_product([range(SEEDS), range(EPOCHS + 1)], names=["seed", "epoch"])
    diagnostics = pd.DataFrame(random.lognormal(size=(len(inside), 6)), index=inside, columns=STEP_MEASURES)
    return history, diagnostics.assign(dead_layer=0.0).reset_index()


@pytest.fixture(scope="module")
def comparison() -> Comparison:
    random = np.random.default_rng(0)
    sweeps, diagnostics, mean_curves = {}, {}, {}
    for arm, gain in {"baseline": 0.1, "bn": 0.3}.items():
        history, inside = make_arm(random, gain)
        diagnostics[arm] = Inside.of(inside)
        sweeps[arm], mean_curves[arm] = Sweep.of(history), summarize_epochs(history, 0.01)
    axis = np.linspace(-1, 1, 5)
    layer_gradients = {arm: make_layer_gradients(random) for arm in ARMS}
    surface = pd.DataFrame([(x, y, (x + 1) / 2) for x in axis for y in axis], columns=["x1", "x2", "probability"])
    return compare_arms(
        PairedTrainings(sweeps, diagnostics, lr=0.01, majority=0.5, train_rows=400, batch_size=32, parameters=15),
        RULES,
        mean_curves=mean_curves,
        surfaces=dict.fromkeys(ARMS, surface),
        val=pd.DataFrame({"x1": [-0.5, 0.5], "x2": [0.0, 0.1], "label": [0, 1]}),
        layer_gradients=layer_gradients,
    )


def make_layer_gradients(random: np.random.Generator) -> pd.DataFrame:
    """Return those of three hidden layers, the last being 0."""
    index = pd.MultiIndex.from_product([range(SEEDS), [1, EPOCHS]], names=["seed", "epoch"])
    logs = random.normal([1, 0.5], size=(len(index), 2))
    names = ["layer_gradient_1", "layer_gradient_2"]
    return pd.DataFrame(logs, index=index, columns=names).assign(layer_gradient_3=0.0).reset_index()


@pytest.fixture(scope="module")
def pictures(comparison: Comparison) -> list[Picture]:
    return draw_all(comparison)


def names_of_figures(comparison: Comparison) -> list[str]:
    """Return the names of the figures that a comparison has; nothing is drawn."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(figures, "save_figure", Mock())
        patch.setattr(figures, "render_svg", Mock(return_value="<svg/>"))
        return [Path(picture.name).name for picture in draw_all(comparison)]


def draw(comparison: Comparison, name: str) -> Picture:
    """Draw one figure, as a file and for the page."""
    by_name = {figure.name: figure for figure in FIGURES}
    return by_name[f"figures/{name}"].render(comparison)


def titles_of(comparison: Comparison) -> dict[str, str]:
    shown = [figure for figure in FIGURES if figure.applies(comparison)]
    return {Path(figure.name).name: figure.title(comparison) for figure in shown}


def test_every_figure_is_drawn_at_its_size_under_its_title(comparison: Comparison, pictures: list[Picture]) -> None:
    assert [Path(picture.name).name for picture in pictures] == [
        *("comparison", "pairs", "boundaries", "learning_rates"),
        *("covariate_shift", "landscape", "layer_gradients", "dead_layers"),
    ]
    for picture in pictures:
        with Image.open(io.BytesIO(picture.png)) as image:
            assert image.size == (960, 600)
    assert {Path(picture.name).name: picture.title for picture in pictures} == titles_of(comparison)


def test_a_title_states_the_finding(comparison: Comparison) -> None:
    titles = titles_of(comparison)
    assert titles["comparison"].startswith("Batch normalization raises the final validation accuracy:\n+19.9 points")
    assert titles["pairs"] == (
        "Batch normalization ends higher in 8 of 8 pairs, lower in 0:\n"
        "in 100% (95% interval 68% to 100%), where a tie counts as half"
    )
    # Linear in log(rate): the gain of bn falls from 0.3 to nothing between 0.1 and 1, so half is left at 10 ** -0.5.
    # The baseline gains 0.1 at most, and never as much as half of 0.3: what counts is its best rate.
    assert titles["learning_rates"].startswith(
        "Half of the better arm's gain is left at learning rate 0.01 without, 0.32 with batch normalization:\n32 times"
    )
    assert "after it: 0% (0% to 32%) without, 0% (0% to 32%) with batch normalization" in titles["dead_layers"]


def test_a_ratio_stands_beside_its_interval_and_its_verdict(comparison: Comparison) -> None:
    titles = titles_of(comparison)
    verdicts = {"learning_rates": "higher_learning_rates", "covariate_shift": "less_covariate_shift"}
    for name, claim in verdicts.items():
        found = f"{claim.replace('_', ' ')}: {comparison.judgement(claim).verdict}"
        assert re.search(rf"[\d.]+ times, 95% interval [\d.]+ to [\d.]+; {found}$", titles[name], re.MULTILINE)
    assert re.search(r"\n[\d.]+ times, 95% interval [\d.]+ to [\d.]+ \(", titles["landscape"])


def test_a_ratio_is_written_out_where_it_can_be_read() -> None:
    assert [_round(ratio) for ratio in (0.0123, 4.56, 123.4, 2.9e12)] == ["0.012", "4.6", "123", "2.9e+12"]


def test_more_than_two_features_have_no_boundaries(comparison: Comparison) -> None:
    nothing = pd.DataFrame(columns=["x1", "x2", "probability"])
    wide = replace(comparison, surfaces=dict.fromkeys(ARMS, nothing))
    assert set(titles_of(comparison)) - set(names_of_figures(wide)) == {"boundaries"}


def test_of_more_classes_the_regions_are_drawn(comparison: Comparison) -> None:
    axis = np.linspace(-1, 1, 5)
    surface = pd.DataFrame([(x, y, int(x > 0) + int(y > 0)) for x in axis for y in axis])
    rows = comparison.val.assign(label=[0, 2])
    wine = replace(
        comparison,
        surfaces=dict.fromkeys(ARMS, surface.set_axis(["x1", "x2", "predicted"], axis="columns")),
        val=rows,
        classes=["red", "_white", "rosé $"],
    )
    assert "boundaries" in names_of_figures(wine)
    draw(wine, "boundaries")
    panels = Figure().subplots(1, 2)
    figures.draw_boundaries(panels, wine.surfaces, dict.fromkeys(ARMS, wine.val), wine.classes, BATCH_NORM.labels)
    names = [text.get_text() for text in panels[1].get_legend().get_texts()]
    assert names == ["class red", "class _white", "class rosé $"]
    regions, *dots = panels[0].collections
    assert sorted(set(regions.get_array().ravel())) == [0, 1, 2]
    assert [len(one.get_offsets()) for one in dots] == [1, 0, 1]
    for label, one in enumerate(dots):
        if len(one.get_facecolors()):
            np.testing.assert_allclose(one.get_facecolors()[0][:3], regions.cmap(label / 2)[:3])


@pytest.mark.parametrize("contrast", [describe_contrast("layer"), describe_contrast("none", [2], [3])])
def test_figures_and_report_name_the_arms(comparison: Comparison, contrast: Contrast) -> None:
    other = compare_arms(
        replace(comparison.trainings, contrast=contrast),
        RULES,
        mean_curves=comparison.mean_curves,
        surfaces=comparison.surfaces,
        val=comparison.val,
    )
    titles = titles_of(other)
    assert titles["comparison"].startswith(f"{contrast.subject} raises the final validation accuracy")
    assert titles["pairs"].startswith(f"{contrast.subject} ends higher in 8 of 8 pairs")
    for name in ("learning_rates", "dead_layers", "boundaries", "covariate_shift", "landscape"):
        assert contrast.apart[0] in titles[name]
        assert contrast.apart[1] in titles[name]
    text = render_report(other, [draw(other, "boundaries")], {}).replace("\n", " ")
    assert f"a pair {contrast.pair}." in text
    assert f"A difference is {contrast.labels['bn']} minus {contrast.labels['baseline']}" in text
    own = text.split('<script type="application/json"')[0].replace("Batch normalization, put to the test", "")
    # The tutorial that started it is of batch normalization.
    assert own.lower().count("batch normalization") == 1
    axes = Figure().subplots()
    figures.draw_bands(axes, comparison.mean_curves, "val_loss", "validation loss", contrast.labels)
    assert [line.get_label() for line in axes.lines] == list(contrast.labels.values())


def test_a_sweep_of_one_rate_says_that_it_did_not_measure(comparison: Comparison) -> None:
    one_rate = {}
    for arm, sweep in comparison.trainings.sweeps.items():
        one_rate[arm] = replace(sweep, rates=sweep.rates[:1])
    alone = compare_arms(
        replace(comparison.trainings, sweeps=one_rate),
        RULES,
        mean_curves=comparison.mean_curves,
        surfaces=comparison.surfaces,
        val=comparison.val,
    )
    assert next(figure for figure in FIGURES if figure.name == "figures/learning_rates").is_empty(alone)
    assert titles_of(alone)["learning_rates"] == (
        "Tolerance of high learning rates not measured:\nlr_sweep has no rate above lr"
    )


def test_what_is_not_a_number_is_drawn_all_the_same(comparison: Comparison) -> None:
    lost = {
        arm: change_inside(inside, input_shift=np.nan, beta_smoothness=np.inf, loss_range=0.0)
        for arm, inside in comparison.trainings.diagnostics.items()
    }
    broken = replace(comparison, trainings=replace(comparison.trainings, diagnostics=lost))
    draw(broken, "covariate_shift")
    assert draw(broken, "landscape").title == "Roughness of the loss along the gradient: not measured"


def test_names_of_columns_are_not_mathematics(comparison: Comparison) -> None:
    named = {"x1": "cost_$", "x2": "gain_$_$"}
    surfaces = {arm: surface.rename(columns=named) for arm, surface in comparison.surfaces.items()}
    renamed = replace(comparison, surfaces=surfaces, val=comparison.val.rename(columns=named))
    draw(renamed, "boundaries")


def test_long_names_leave_room_for_the_figure(comparison: Comparison) -> None:
    named = {"x1": "w" * 300, "x2": "h" * 300}
    surfaces = {arm: surface.rename(columns=named) for arm, surface in comparison.surfaces.items()}
    val = comparison.val.rename(columns=named)
    renamed = replace(comparison, surfaces=surfaces, val=val, classes=["a" * 300, "b" * 300])
    draw(renamed, "boundaries")  # Matplotlib warns where nothing is left of the Axes: that is an error
    panels = Figure().subplots(1, 2)
    figures.draw_boundaries(panels, surfaces, dict.fromkeys(surfaces, val), renamed.classes, BATCH_NORM.labels)
    assert panels[0].get_xlabel() == "w" * 21 + "..."


def test_arms_keep_their_colours(comparison: Comparison) -> None:
    axes = Figure().subplots()
    figures.draw_bands(axes, comparison.mean_curves, "val_loss", "validation loss", BATCH_NORM.labels)
    assert [line.get_color() for line in axes.lines] == [COLORS["baseline"], COLORS["bn"]]
    panels = Figure().subplots(1, 2)
    quartiles = tabulate_diagnostics(comparison, ["loss_range", "input_shift"])
    figures.draw_log_bands(panels, quartiles, {"loss_range": "range", "input_shift": "shift"}, BATCH_NORM.labels)
    assert [line.get_color() for line in panels[1].lines] == [COLORS["baseline"], COLORS["bn"]]
    assert panels[1].get_yscale() == "log"


def test_a_band_of_shares_stays_between_none_and_all() -> None:
    curves = pd.DataFrame({"epoch": [0, 1], "val_accuracy": [0.1, 0.9]})
    wide = curves.assign(val_accuracy_ci_low=[-0.3, 0.5], val_accuracy_ci_high=[0.5, 1.3])
    axes = Figure().subplots()
    figures.draw_comparison(axes, {"bn": wide}, 0.5, BATCH_NORM.labels)
    low, high = extent(axes.collections[0])
    assert (low, high) == (0, 1)
    accuracies = pd.DataFrame({"lr": [0.1, 1], "accuracy": [0.1, 0.9], "ci_low": [-0.3, 0.5], "ci_high": [0.5, 1.3]})
    axes = Figure().subplots()
    figures.draw_learning_rates(axes, {"bn": accuracies}, {}, 0.5, BATCH_NORM.labels)
    ends = [extent(bars) for bars in axes.collections]
    assert ends == [pytest.approx((0, 1))]


def test_a_quartile_of_zero_makes_no_wedge() -> None:
    table = pd.DataFrame({"epoch": [1, 2, 3], "shift": [0.4, 0.02, 0.3]})
    table = table.assign(shift_ci_low=[0.2, 0.0, 0.1], shift_ci_high=[0.6, 0.5, 0.7])
    axes = Figure().subplots()
    figures.draw_log_bands([axes], {"bn": table}, {"shift": "shift"}, BATCH_NORM.labels)
    assert extent(axes.collections[0]) == (0.02, 0.7)  # from the least that there is to draw


def extent(drawn: Collection) -> tuple[float, float]:
    """Return the lowest and the highest place of what is drawn."""
    places = np.concatenate([path.vertices for path in drawn.get_paths()])
    return places[:, 1].min(), places[:, 1].max()


def test_where_the_title_says_all_nothing_is_drawn(comparison: Comparison) -> None:
    empty = {figure.name: figure.is_empty for figure in FIGURES}
    assert empty["figures/dead_layers"](comparison)
    dead = {arm: change_inside(inside, dead_layer=1.0) for arm, inside in comparison.trainings.diagnostics.items()}
    assert not empty["figures/dead_layers"](
        replace(comparison, trainings=replace(comparison.trainings, diagnostics=dead))
    )
    assert not empty["figures/learning_rates"](comparison)


def test_gradients_of_layers_are_medians_over_seeds_as_ratios(comparison: Comparison) -> None:
    by_epoch = tabulate_layer_gradients(comparison)["bn"]
    assert list(by_epoch) == [1, EPOCHS]
    raw = comparison.layer_gradients["bn"]
    for epoch, table in by_epoch.items():
        logs = raw.loc[raw["epoch"] == epoch, ["layer_gradient_1", "layer_gradient_2", "layer_gradient_3"]]
        assert table["layer"].tolist() == [1, 2, 3]
        np.testing.assert_allclose(table["gradient"], 10 ** logs.median())
        np.testing.assert_allclose(table["gradient_ci_high"], 10 ** logs.quantile(0.75))
    title = titles_of(comparison)["layer_gradients"]
    first = by_epoch[EPOCHS]["gradient"].iloc[0]
    assert f", {first:.2g} (" in title.splitlines()[2]


@pytest.mark.parametrize(("layers", "shown"), [(2, False), (3, True)])
def test_gradients_by_layer_are_drawn_of_deep_networks_alone(comparison: Comparison, layers: int, shown: bool) -> None:
    names = [f"layer_gradient_{layer}" for layer in range(1, layers + 1)]
    kept = {arm: table[["seed", "epoch", *names]] for arm, table in comparison.layer_gradients.items()}
    assert ("layer_gradients" in titles_of(replace(comparison, layer_gradients=kept))) == shown


def test_gradients_of_layers_that_have_none_are_left_out(comparison: Comparison) -> None:
    dead = {arm: table.assign(layer_gradient_1=np.nan) for arm, table in comparison.layer_gradients.items()}
    without = replace(comparison, layer_gradients=dead)
    assert "at the first step undefined without, undefined with" in titles_of(without)["layer_gradients"]
    axes = Figure().subplots()
    figures.draw_layer_gradients(axes, tabulate_layer_gradients(without), BATCH_NORM.labels)
    axes.figure.draw_without_rendering()


def test_a_drawing_for_the_page_is_the_same_at_every_run(pictures: list[Picture], comparison: Comparison) -> None:
    again = figures.render_svg(lambda axes: FIGURES[1].draw(comparison, axes))
    assert pictures[1].svg == again
    assert "<dc:date>" not in again


def test_pairs_have_the_colour_of_the_better_arm(comparison: Comparison) -> None:
    axes = Figure().subplots()
    pairs = pd.DataFrame({"difference": [0.2, -0.1, 0.0]})
    figures.draw_pairs(axes, pairs, comparison.difference)
    (dots,) = [collection for collection in axes.collections if len(collection.get_offsets()) == 3]
    assert [tuple(offset) for offset in dots.get_offsets()] == [(1, -0.1), (2, 0.0), (3, 0.2)]
    green, black = (0.0, 128 / 255, 0.0, 1.0), (0.0, 0.0, 0.0, 1.0)
    assert tuple(dots.get_facecolors()[0]) == pytest.approx(black)
    assert tuple(dots.get_facecolors()[2]) == pytest.approx(green)


@pytest.mark.parametrize(("number", "pictures"), [(figures.MOST_DOTS, 0), (figures.MOST_DOTS + 1, 1)])
def test_the_dots_of_many_pairs_are_one_picture(comparison: Comparison, number: int, pictures: int) -> None:
    pairs = pd.DataFrame({"difference": np.linspace(-1, 1, number)})
    svg = figures.render_svg(lambda axes: figures.draw_pairs(axes, pairs, comparison.difference))
    assert svg.count("<image") == pictures
    assert len(svg) < 200_000


def test_quartiles_by_hand() -> None:
    values = np.array([[1.0, 1000.0, 3.0, np.nan, 2.0], [np.inf, 4.0, np.nan, -np.inf, np.nan], [np.nan] * 5])
    quartiles = find_quartiles(values)
    np.testing.assert_array_equal(quartiles[""], [2.5, 4.0, np.nan])
    np.testing.assert_array_equal(quartiles["_ci_low"], [1.75, 4.0, np.nan])
    np.testing.assert_array_equal(quartiles["_ci_high"], [252.25, 4.0, np.nan])


def test_quartiles_are_those_of_pandas() -> None:
    values = np.random.default_rng(0).lognormal(sigma=3, size=(7, 50))
    values[values > 20] = np.nan
    for suffix, share in QUARTILES.items():
        expected = pd.DataFrame(values).T.melt().groupby("variable")["value"].quantile(share)
        np.testing.assert_array_equal(find_quartiles(values)[suffix], expected)


@pytest.fixture
def report(comparison: Comparison, pictures: list[Picture], tmp_path: Path) -> Path:
    path = tmp_path / "report.html"
    params = {"lr": 0.01, "data.source": "<script>alert(1)</script>.csv"}
    path.write_text(render_report(comparison, pictures, params), encoding="utf-8")
    return path


def test_report_holds_every_claim_figure_and_param_in_one_file(report: Path, comparison: Comparison) -> None:
    text = report.read_text()
    for claim, judged in zip(CLAIMS, comparison.judgements, strict=True):
        assert claim.wording(BATCH_NORM) in text
        assert f">{judged.verdict}</span>{claim.wording(BATCH_NORM)}" in text
        assert f"<small>in all: {judged.summary_in_words}</small>" in text
        for term, other in (("Each at its best rate", judged.best_rate), ("The network itself", judged.itself)):
            assert f"<dt>{term}</dt><dd>{other.verdict}" in text
    assert text.count("data:image/svg+xml;base64,") == 7
    assert not re.findall(r'(?:src|href)="(?!data:)', text)  # nothing to load
    assert "<script>alert" not in text  # the value of a param is text
    assert "400 rows of 2 classes (0, 1)" in text
    assert "15 parameters cannot overfit 400 rows" in text
