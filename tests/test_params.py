from pathlib import Path

import pytest
import yaml

from stages import InputError
from stages.params import Params, load_params

COMMITTED = Path(__file__).parents[1] / "params.yaml"


def write(folder: Path, **changes: object) -> Path:
    """Write the committed params with some values changed; a change of `data__noise` is one of data.noise."""
    values = yaml.safe_load(COMMITTED.read_text())
    for key, value in changes.items():
        section = values
        *sections, name = key.split("__")
        for part in sections:
            section = section[part]
        section[name] = value
    path = folder / "params.yaml"
    path.write_text(yaml.safe_dump(values))
    return path


def test_committed_params_hold_the_documented_defaults() -> None:
    flat = load_params(COMMITTED).flat()
    assert flat["lr"] == 0.001
    assert flat["lr_sweep"] == [0.001, 0.003, 0.01, 0.03, 0.1, 0.3, 1.0]
    assert (flat["seeds"], flat["epochs"], flat["batch_size"], flat["optimizer"]) == (64, 200, 32, "adam")
    assert (flat["data.source"], flat["model.hidden"], flat["bn.placement"]) == (
        "tutorial_rings",
        [2, 2],
        "after_activation",
    )


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"lr": "fast"}, "lr = 'fast': expected a number from 1e-10 to 1e10"),
        ({"lr": 0}, "lr = 0: expected a number from 1e-10 to 1e10"),
        ({"lr": True}, "lr = True: expected a number from 1e-10 to 1e10"),
        ({"lr": float("nan")}, "lr = nan: expected a number from 1e-10 to 1e10"),
        ({"lr": float("inf")}, "lr = inf: expected a number from 1e-10 to 1e10"),
        ({"lr": 1e39}, r"lr = 1e\+39: expected a number from 1e-10 to 1e10"),
        ({"data__source": "http://example.org/a.csv"}, "data.source = 'http://example.org/a.csv': expected one of"),
        ({"lrr": 0.1}, "lrr = 0.1 is no known key: the nearest is lr"),
        (
            {"lr_sweep": 0.1},
            r"lr_sweep = 0.1: expected a list of numbers from 1e-10 to 1e10, such as \[0.01, 0.1\], or \[\]",
        ),
        ({"lr_sweep": [0.1, -1]}, r"lr_sweep\[1\] = -1: expected a list of numbers from 1e-10"),
        ({"lr_sweep": [0.1, 0.1]}, r"lr_sweep = \[0.1, 0.1\] repeats \[0.1\]: expected each rate once"),
        ({"seeds": 1}, "seeds = 1: expected a whole number of at least 2"),
        ({"seeds": 2.5}, "seeds = 2.5: expected a whole number of at least 2"),
        ({"epochs": 0}, "epochs = 0: expected a whole number of at least 1"),
        ({"batch_size": 1}, "batch_size = 1: expected a whole number of at least 2: one example cannot be normalized"),
        ({"optimizer": "adamm"}, "optimizer = 'adamm': expected one of adam, adamw, sgd, rmsprop"),
        ({"momentum": 1.0}, "momentum = 1.0: expected a number from 0 to below 1"),
        ({"momentum": 0.9}, "momentum = 0.9 contradicts optimizer = 'adam'"),
        ({"weight_decay": -0.1}, "weight_decay = -0.1: expected a number from 0 to 1e10"),
        ({"weight_decay": float("inf")}, "weight_decay = inf: expected a number from 0 to 1e10"),
        ({"data": 3}, "data = 3: expected a section with the keys source, samples"),
        (
            {"data__source": "ring"},
            "data.source = 'ring': expected one of breast_cancer, circles, digits, .*path that ends in .csv",
        ),
        ({"data__samples": 9}, "data.samples = 9: expected null or a whole number of rows, at least 10"),
        (
            {"data__source": "breast_cancer", "data__samples": 100},
            "data.samples = 100 contradicts data.source = 'breast_cancer'",
        ),
        ({"data__source": "my.csv", "data__noise": 0.1}, "data.noise = 0.1 contradicts data.source = 'my.csv'"),
        ({"data__noise": 0.1}, "data.noise = 0.1 contradicts data.source = 'tutorial_rings'"),
        ({"data__source": "moons", "data__noise": -1.0}, "data.noise = -1.0: expected null or a number from 0 to 1000"),
        ({"data__label_noise": 0.6}, "data.label_noise = 0.6: expected a share from 0 to 0.5"),
        ({"data__val_fraction": 1.0}, "data.val_fraction = 1.0: expected a share above 0 and below 1"),
        ({"data__split": "random"}, "data.split = 'random': expected shuffled or tail"),
        ({"data__scale": None}, "data.scale = None: expected none or standard"),
        ({"data__seed": -1}, "data.seed = -1: expected a whole number from 0 to 4294967295"),
        ({"data__sed": 1}, "data.sed = 1 is no known key: the nearest is data.seed"),
        ({"model__hidden": []}, r"model.hidden = \[\]: expected a list of widths such as \[2, 2\]"),
        ({"model__hidden": [2, 0]}, r"model.hidden\[1\] = 0: expected a list of widths"),
        ({"model__activation": "rleu"}, "model.activation = 'rleu': expected one of relu, leaky_relu, tanh, .*, gelu"),
        ({"model__init": "glorot"}, "model.init = 'glorot': expected one of pytorch, keras, he, normal"),
        (
            {"model__init": "normal"},
            "model.init_std = None contradicts model.init = 'normal': expected a number above 0",
        ),
        (
            {"model__init_std": 0.1},
            "model.init_std = 0.1 contradicts model.init = 'pytorch': expected null, or init: no",
        ),
        (
            {"model__init": "normal", "model__init_std": 0},
            "model.init_std = 0: expected null, or for init normal a num",
        ),
        ({"bn__kind": "instance"}, "bn.kind = 'instance': expected one of batch, layer, group, none"),
        ({"bn__kind": None}, "bn.kind = None: expected one of batch, layer, group, none"),
        ({"bn__hidden": []}, r"bn.hidden = \[\]: expected null, or a list of widths such as \[3, 2\]"),
        ({"bn__hidden": [3, 0]}, r"bn.hidden\[1\] = 0: expected null, or a list of widths such as \[3, 2\]"),
        ({"bn__affine": "no"}, "bn.affine = 'no': expected true or false"),
        ({"bn__inputs": 1}, "bn.inputs = 1: expected true or false"),
        ({"bn__groups": 0}, "bn.groups = 0: expected a whole number of at least 1"),
        ({"bn__groups": 2}, "bn.groups = 2 contradicts bn.kind = 'batch', .*expected 1, or kind: group$"),
        ({"bn__kind": "none", "bn__affine": False}, "bn.affine = False contradicts bn.kind = 'none', .*expected true"),
        ({"bn__kind": "none", "bn__inputs": True}, "bn.inputs = True contradicts bn.kind = 'none', .*expected false"),
        ({"bn__kind": "none", "bn__eps": 0.001}, "bn.eps = 0.001 contradicts bn.kind = 'none', .*expected 1e-05"),
        (
            {"bn__kind": "none", "bn__placement": "before_activation"},
            "bn.placement = 'before_activation' contradicts bn.kind = 'none', which makes no use of it:"
            " expected after_activation, or kind: batch, layer, group$",
        ),
        (
            {"bn__kind": "layer", "bn__momentum": 0.01},
            "bn.momentum = 0.01 contradicts bn.kind = 'layer', which makes no use of it: expected 0.1, or kind: batch$",
        ),
        (
            {"bn__kind": "group", "bn__momentum": None},
            "bn.momentum = None contradicts bn.kind = 'group', .*expected 0.1",
        ),
        (
            {"bn__kind": "layer", "model__hidden": [2, 1]},
            r"model.hidden = \[2, 1\] contradicts bn.kind = 'layer': expected widths of at least 2",
        ),
        (
            {"bn__kind": "group", "bn__groups": 2, "bn__hidden": [4, 2]},
            r"bn.hidden = \[4, 2\] contradicts bn.kind = 'group' with bn.groups = 2: expected mult.* 2 of at least 4",
        ),
        (
            {"bn__kind": "group", "bn__groups": 3, "model__hidden": [8]},
            r"model.hidden = \[8\] contradicts bn.kind = 'group' with bn.groups = 3: expected mult.* 3 of at least 6",
        ),
        ({"placement": "after_activation"}, "placement = .* is no known key: the nearest is bn.placement"),
        ({"bn__placement": "before"}, "bn.placement = 'before': expected after_activation or before_activation"),
        ({"bn__momentum": 0}, "bn.momentum = 0: expected a number above 0 and at most 1 .*, or null"),
        ({"bn__eps": 0}, "bn.eps = 0: expected a number above 0"),
        ({"evidence__alpha": 0.5}, "evidence.alpha = 0.5: expected a number above 0 and below 0.5"),
        ({"evidence__resamples": 10}, "evidence.resamples = 10: expected a whole number from 100 to 1000000"),
        (
            {"evidence__smallest_effect__steadier": 0},
            "evidence.smallest_effect.steadier = 0: expected a difference in accuracy per epoch above 0",
        ),
        (
            {"evidence__smallest_effect": 1},
            "evidence.smallest_effect = 1: expected a section with the keys faster_train",
        ),
        (
            {"evidence__smallest_effect__steady": 0.1},
            "evidence.smallest_effect.steady = 0.1 is no known key: the nearest is evidence.smallest_effect.steadier",
        ),
        ({"tracking__experiment": ""}, "tracking.experiment = '': expected a name of 1 to 500 characters"),
    ],
)
def test_a_wrong_value_gets_one_line(tmp_path: Path, changes: dict[str, object], message: str) -> None:
    with pytest.raises(InputError, match=message) as caught:
        load_params(write(tmp_path, **changes))
    assert "\n" not in str(caught.value)


def test_every_setting_without_effect_gets_a_line(tmp_path: Path) -> None:
    changes = {"bn__kind": "none", "bn__eps": 0.001, "bn__momentum": 0.01, "lr": -1}
    with pytest.raises(InputError) as caught:
        load_params(write(tmp_path, **changes))
    keys = [line.split(": ")[1].split(" = ")[0] for line in str(caught.value).splitlines()]
    assert keys == ["lr", "bn.momentum", "bn.eps"]


def test_every_wrong_value_gets_its_own_line(tmp_path: Path) -> None:
    with pytest.raises(InputError) as caught:
        load_params(write(tmp_path, lr="fast", bn__eps=-1))
    assert [line.split(" = ")[0].split()[-1] for line in str(caught.value).splitlines()] == ["lr", "bn.eps"]


@pytest.mark.parametrize(
    "changes",
    [
        {"bn__momentum": None},
        {"bn__hidden": [3, 2]},
        {"bn__kind": "none"},
        {"bn__kind": "layer"},
        {"bn__kind": "group"},
        {"bn__kind": "layer", "bn__placement": "before_activation", "bn__eps": 0.001},
        {"bn__kind": "layer", "model__hidden": [1], "bn__hidden": [2]},
        {"bn__kind": "group", "bn__groups": 2, "model__hidden": [4, 8]},
        {"model__init": "normal", "model__init_std": 0.01},
        {"optimizer": "adamw", "weight_decay": 0.01},
        {"data__source": "digits", "data__scale": "standard"},
    ],
)
def test_these_are_right(tmp_path: Path, changes: dict[str, object]) -> None:
    flat = load_params(write(tmp_path, **changes)).flat()
    assert {name: flat[name.replace("__", ".")] for name in changes} == changes


@pytest.mark.parametrize("section", sorted(Params.model_fields))
def test_a_missing_key_is_named(tmp_path: Path, section: str) -> None:
    values = yaml.safe_load(COMMITTED.read_text())
    del values[section]
    path = tmp_path / "params.yaml"
    path.write_text(yaml.safe_dump(values))
    with pytest.raises(InputError, match=rf"{section} is missing: expected "):
        load_params(path)


@pytest.mark.parametrize(("text", "value"), [("1e-3", 0.001), ("1e3", 1000.0), ("5.E-1", 0.5), (".5", 0.5), ("3", 3.0)])
def test_numbers_are_read_as_dvc_reads_them(tmp_path: Path, text: str, value: float) -> None:
    path = tmp_path / "params.yaml"
    path.write_text(COMMITTED.read_text().replace("lr: 0.001", f"lr: {text}"))
    assert load_params(path).lr == value


def test_no_is_text(tmp_path: Path) -> None:
    path = tmp_path / "params.yaml"
    path.write_text(COMMITTED.read_text().replace("experiment: batch-normalization", "experiment: no"))
    assert load_params(path).tracking.experiment == "no"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("lr: [1", "not valid YAML"),
        ("- 1", "expected `key: value` lines"),
        ("", "expected `key: value` lines"),
        ("lr: 2026-13-45", "not valid YAML"),
        ("1: 2", r"\[1\] = 1 is no known key"),
    ],
)
def test_a_broken_file_is_named(tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / "params.yaml"
    path.write_text(text)
    with pytest.raises(InputError, match=message):
        load_params(path)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="not found; run from the repository root"):
        load_params(tmp_path / "params.yaml")
