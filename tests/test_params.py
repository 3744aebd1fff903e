import json
import os
import re
from pathlib import Path
from typing import Any

import pytest
import yaml
from dvc.utils.serialize import parse_yaml as dvc_parse_yaml

from stages import InputError
from stages.params import Params, load_params, parse_yaml

COMMITTED = Path(__file__).parents[1] / "params.yaml"


def write(folder: Path, **changes: object) -> Path:
    """Write the committed params with some values changed; a change of `data__noise` is one of data.noise."""
    path = folder / "params.yaml"
    path.write_text(yaml.safe_dump(change(changes)))
    return path


def change(changes: dict[str, object]) -> dict[str, Any]:
    values: dict[str, Any] = yaml.safe_load(COMMITTED.read_text())
    for key, value in changes.items():
        section = values
        *sections, name = key.split("__")
        for part in sections:
            section = section[part]
        section[name] = value
    return values


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
            r"lr_sweep = 0.1: expected a list of up to 1000 numbers from 1e-10 to 1e10, such as \[0.01, 0.1\], or \[\]",
        ),
        ({"lr_sweep": [0.1, -1]}, r"lr_sweep\[1\] = -1: expected a list of up to 1000 numbers from 1e-10"),
        ({"lr_sweep": [0.1, 0.1]}, r"lr_sweep = \[0.1, 0.1\] repeats 0.1: expected each rate once"),
        ({"seeds": 1}, "seeds = 1: expected a whole number of at least 2"),
        ({"seeds": 2.5}, "seeds = 2.5: expected a whole number of at least 2"),
        ({"epochs": 0}, "epochs = 0: expected a whole number of at least 1"),
        (
            {"batch_size": 1},
            "batch_size = 1: expected a whole number from 2, for one example cannot be normalized, to 10",
        ),
        ({"optimizer": "adamm"}, "optimizer = 'adamm': expected one of adam, adamw, sgd, rmsprop"),
        ({"momentum": 1.0}, "momentum = 1.0: expected a number from 0 to below 1"),
        ({"momentum": 0.9}, "momentum = 0.9 contradicts optimizer = 'adam'"),
        ({"weight_decay": -0.1}, "weight_decay = -0.1: expected a number from 0 to 1e10"),
        ({"weight_decay": float("inf")}, "weight_decay = inf: expected a number from 0 to 1e10"),
        ({"data": 3}, "data = 3: expected a section with the keys source, target, drop, encode, samples"),
        (
            {"data__source": "ring"},
            "data.source = 'ring': expected one of breast_cancer, circles, digits, .*path that ends in .csv",
        ),
        ({"data__target": 3}, "data.target = 3: expected null, or the name of the column of a CSV with the classes"),
        ({"data__target": "kind"}, "data.target = 'kind' contradicts data.source = 'tutorial_rings', .*expected null$"),
        ({"data__drop": "id"}, r"data.drop = 'id': expected a list of columns of a CSV to leave out, or \[\]"),
        (
            {"data__source": "digits", "data__drop": ["pixel_0_0"]},
            r"data.drop = \['pixel_0_0'\] contradicts data.source = 'digits', which is no CSV: expected \[\]$",
        ),
        ({"data__encode": 1}, "data.encode = 1: expected true or false"),
        ({"data__encode": True}, "data.encode = True contradicts data.source = 'tutorial_rings', .*expected false$"),
        (
            {"data__source": "my.csv", "data__target": "kind", "data__drop": ["id", "kind"]},
            r"data.drop = \['id', 'kind'\] contradicts data.target = 'kind'",
        ),
        ({"data__samples": 9}, "data.samples = 9: expected null or a whole number of rows, at least 10"),
        (
            {"data__source": "breast_cancer", "data__samples": 100},
            "data.samples = 100 contradicts data.source = 'breast_cancer'",
        ),
        ({"data__source": "my.csv", "data__noise": 0.1}, "data.noise = 0.1 contradicts data.source = 'my.csv'"),
        ({"data__noise": 0.1}, "data.noise = 0.1 contradicts data.source = 'tutorial_rings'"),
        ({"data__vary": "seed"}, "data.vary = 'seed': expected none, split or sample"),
        (
            {"data__vary": "sample", "data__source": "digits"},
            "data.vary = 'sample' contradicts data.source = 'digits', whose rows are given: expected split, none, or",
        ),
        ({"data__vary": "split", "data__split": "tail"}, "data.vary = 'split' contradicts data.split = 'tail'"),
        (
            {"data__vary": "split", "data__source": "my.csv", "data__encode": True},
            "data.vary = 'split' contradicts data.encode = True, .*expected none$",
        ),
        ({"data__source": "moons", "data__noise": -1.0}, "data.noise = -1.0: expected null or a number from 0 to 1000"),
        ({"data__label_noise": 0.6}, "data.label_noise = 0.6: expected a share from 0 to 0.5"),
        ({"data__val_fraction": 1.0}, "data.val_fraction = 1.0: expected a share above 0 and below 1"),
        ({"data__split": "random"}, "data.split = 'random': expected shuffled or tail"),
        ({"data__scale": None}, "data.scale = None: expected none or standard"),
        ({"data__seed": -1}, "data.seed = -1: expected a whole number from 0 to 4294967295"),
        ({"data__sed": 1}, "data.sed = 1 is no known key: the nearest is data.seed"),
        ({"model__hidden": []}, r"model.hidden = \[\]: expected a list of 1 to 1000 widths such as \[2, 2\]"),
        ({"model__hidden": [2, 0]}, r"model.hidden\[1\] = 0: expected a list of 1 to 1000 widths"),
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
        ({"bn__kind": "instance"}, "bn.kind = 'instance': expected one of batch, frozen, layer, group, dropout, none"),
        ({"bn__kind": None}, "bn.kind = None: expected one of batch, frozen, layer, group, dropout, none"),
        ({"bn__hidden": []}, r"bn.hidden = \[\]: expected null, or a list of 1 to 1000 widths such as \[3, 2\]"),
        ({"bn__hidden": [3, 0]}, r"bn.hidden\[1\] = 0: expected null, or a list of 1 to 1000 widths such as \[3, 2\]"),
        ({"bn__affine": "no"}, "bn.affine = 'no': expected true or false"),
        ({"bn__inputs": 1}, "bn.inputs = 1: expected true or false"),
        ({"bn__groups": 0}, "bn.groups = 0: expected a whole number from 1 to 1000000000"),
        ({"bn__groups": 2}, "bn.groups = 2 contradicts bn.kind = 'batch', .*expected 1, or kind: group$"),
        ({"bn__kind": "none", "bn__affine": False}, "bn.affine = False contradicts bn.kind = 'none', .*expected true"),
        ({"bn__kind": "none", "bn__inputs": True}, "bn.inputs = True contradicts bn.kind = 'none', .*expected false"),
        ({"bn__kind": "none", "bn__eps": 0.001}, "bn.eps = 0.001 contradicts bn.kind = 'none', .*expected 1e-05"),
        (
            {"bn__kind": "none", "bn__placement": "before_activation"},
            "bn.placement = 'before_activation' contradicts bn.kind = 'none', which makes no use of it:"
            " expected after_activation, or kind: batch, frozen, layer, group$",
        ),
        ({"bn__rate": 0.2}, "bn.rate = 0.2 contradicts bn.kind = 'batch', .*expected 0.5, or kind: dropout$"),
        ({"bn__kind": "dropout", "bn__rate": 0}, "bn.rate = 0: expected a share above 0 and below 1"),
        ({"bn__kind": "dropout", "bn__rate": 1.0}, "bn.rate = 1.0: expected a share above 0 and below 1"),
        ({"bn__kind": "dropout", "bn__momentum": None}, "bn.momentum = None contradicts .* 'dropout', .*expected 0.1"),
        ({"bn__kind": "dropout", "bn__eps": 0.001}, "bn.eps = 0.001 contradicts bn.kind = 'dropout', .*exp.* 1e-05"),
        ({"bn__kind": "dropout", "bn__affine": False}, "bn.affine = False contradicts .*'dropout', .*expected true"),
        ({"bn__kind": "dropout", "bn__inputs": True}, "bn.inputs = True contradicts .*'dropout', .*expected false"),
        ({"bn__kind": "dropout", "bn__groups": 2}, "bn.groups = 2 contradicts bn.kind = 'dropout', .*expected 1, "),
        (
            {"bn__kind": "dropout", "bn__placement": "before_activation"},
            "bn.placement = 'before_activation' contradicts bn.kind = 'dropout', .*expected after_activation",
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
        ({"model__lr": 0.1}, r"model.lr = 0.1 is no known key: the nearest is lr\. Take it out"),
        ({"placement": "after_activation"}, "placement = .* is no known key: the nearest is bn.placement"),
        ({"bn__placement": "before"}, "bn.placement = 'before': expected after_activation or before_activation"),
        ({"bn__momentum": 0}, "bn.momentum = 0: expected a number above 0 and at most 1 .*, or null"),
        ({"bn__eps": 0}, "bn.eps = 0: expected a number from 1e-30 to 1e10"),
        ({"evidence__alpha": 0.5}, "evidence.alpha = 0.5: expected a number from 0.000001 to below 0.5"),
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
        {"bn__kind": "dropout", "bn__rate": 0.2, "bn__hidden": [3, 2]},
        {"bn__kind": "layer", "bn__placement": "before_activation", "bn__eps": 0.001},
        {"bn__kind": "layer", "model__hidden": [1], "bn__hidden": [2]},
        {"bn__kind": "group", "bn__groups": 2, "model__hidden": [4, 8]},
        {"model__init": "normal", "model__init_std": 0.01},
        {"optimizer": "adamw", "weight_decay": 0.01},
        {"data__source": "digits", "data__scale": "standard"},
        {"data__source": "my.csv", "data__target": "kind", "data__drop": ["id"], "data__encode": True},
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


# Spellings on which YAML 1.1 and 1.2 differ, or PyYAML and DVC's parser, and others at their border.
SPELLINGS = (
    "010 017 0o17 0O17 -0o17 0o_1 0o8 0b11 0B11 0x1F 0X1f 0x1_0 1_000 1__0 1_ _1 1_0.5 1.5_0 1_000.0 ._5 .1_0 1e1_0 00",
    "08 +010 -010 +5 -0 1:30 1:30:00 1:30.5 190:20:30.15 1e3 1e-3 1E3 +1e3 1e+3 .5 5. 5.e3 5.E-1 -.5 1.e 1e .e3 1e400",
    "-0.0 .inf -.inf +.Inf .nan .NaN yes no on off Yes y n true True TRUE tRue null ~ Null nULL 2020-01-01 1.2.3 0.1",
    "123abc 1,2 \"010\" 'no' [010,no] {a:1} ... =x <x",
)


@pytest.mark.parametrize("spelling", " ".join(SPELLINGS).split())
def test_a_value_is_read_as_dvc_reads_it(spelling: str) -> None:
    text = f"key: {spelling}\n"
    assert repr(parse_yaml(text)) == repr(dvc_parse_yaml(text, "params.yaml"))


@pytest.mark.parametrize(
    ("line", "key", "value"),
    [
        ("seeds: 010", "seeds", 10),
        ("seeds: 0o17", "seeds", 15),
        ("lr: 1e-3", "lr", 0.001),
        ("lr: 3", "lr", 3.0),
        ("  experiment: no", "tracking.experiment", "no"),
    ],
)
def test_numbers_and_texts_reach_the_params(tmp_path: Path, line: str, key: str, value: object) -> None:
    assert load_params(write_line(tmp_path, line)).flat()[key] == value


def write_line(folder: Path, line: str) -> Path:
    """Write the committed params, as they stand, with one line in place of that of the same key."""
    path = folder / "params.yaml"
    key = re.match(r" *\w+: ", line).group()
    path.write_text(re.sub(rf"^{key}.*$", line.replace("\\", r"\\"), COMMITTED.read_text(), count=1, flags=re.M))
    return path


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("lr: [1", "not valid YAML: line 1: expected ',' or ']'"),
        ("- 1", "expected `key: value` lines"),
        ("", "expected `key: value` lines, got None"),
        ("lr: 2026-13-45", "not valid YAML: month must be in 1..12"),
        ("1: 2", r"\[1\] = 1 is no known key"),
        ("lr: 0.001\nseeds: 3\nlr: 0.1", "not valid YAML: line 3: this key stands twice: expected each key once"),
        ("data:\n  seed: 1\n  seed: 2", "not valid YAML: line 3: this key stands twice"),
        ("lr: " + "[" * 600 + "]" * 600, "not valid YAML: lists or sections nested too deeply"),
        ("lr: " + "{a: " * 500 + "1" + "}" * 500, "not valid YAML: lists or sections nested too deeply"),
        ("lr: !!int", "not valid YAML: IndexError"),
        ("lr: !!bool maybe", "not valid YAML: KeyError"),
        ("{a: 1}: 2", "not valid YAML: line 1"),
        ("lr: " + "9" * 5000, "not valid YAML: Exceeds the limit"),
        ("lr: *" + "a" * 5000, "not valid YAML: line 1: found undefined alias"),
        ("lr: \x00", "not valid YAML: unacceptable character"),
    ],
)
def test_a_broken_file_is_named(tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / "params.yaml"
    path.write_text(text)
    with pytest.raises(InputError, match=message) as caught:
        load_params(path)
    lines = [line.removeprefix(f"{path}: ") for line in str(caught.value).splitlines()]
    assert max(map(len, lines)) < 200


def test_a_file_that_is_no_text_is_named(tmp_path: Path) -> None:
    path = tmp_path / "params.yaml"
    path.write_bytes(b"lr: \xff")
    with pytest.raises(InputError, match="not valid YAML: 'utf-8' codec can't decode"):
        load_params(path)


def test_what_is_no_file_is_named(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    for path in (tmp_path, tmp_path / "pipe", Path("/dev/zero")):
        with pytest.raises(InputError, match=f"{path}: expected a file"):
            load_params(path)


# Each level is the one before nine times: more values, written out, than there is memory for.
BOMB = "bomb0: &bomb0 [1]\n" + "".join(
    f"bomb{level}: &bomb{level} [{', '.join([f'*bomb{level - 1}'] * 9)}]\n" for level in range(1, 40)
)


@pytest.mark.parametrize("value", ["*bomb39", "[*bomb39]", "{a: *bomb39}"])
@pytest.mark.parametrize("key", ["lr", "lr_sweep", "data", "  hidden"])
def test_a_yaml_bomb_is_no_value(tmp_path: Path, key: str, value: str) -> None:
    path = write_line(tmp_path, f"{key}: {value}")
    path.write_text(BOMB + path.read_text())
    with pytest.raises(InputError, match=r"bomb0 = \[1\] is no known key") as caught:
        load_params(path)
    assert len(str(caught.value)) < 10_000


HUGE = 10**12


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"evidence__alpha": 1e-16}, "evidence.alpha = 1e-16: expected a number from 0.000001 to below 0.5"),
        ({"batch_size": 2**63}, "batch_size = 9223372036854775808: expected a whole number from 2, .* to 1000000000"),
        ({"lr_sweep": [0.1 + i / 1e6 for i in range(1001)]}, "lr_sweep = .*: expected a list of up to 1000 numbers"),
        ({"model__hidden": [2] * 1001}, "model.hidden = .*: expected a list of 1 to 1000 widths"),
        (
            {"data__source": "data/own/\0.csv"},
            r"data.source = 'data/own/\\x00.csv': expected one of .*, or a path that",
        ),
        ({"data__source": "data/own/\n.csv"}, r"data.source = 'data/own/\\n.csv': expected one of .*, or a path that"),
        ({"tracking__experiment": "a\nb"}, r"tracking.experiment = 'a\\nb': expected a name of 1 to 500 characters"),
        (
            {"tracking__experiment": "\ud800"},
            r"tracking.experiment = '\\ud800': expected a name of 1 to 500 characters",
        ),
        ({"bn__groups": 10**4000}, r"bn.groups = 1000\d*\.\.\.\d*: expected a whole number from 1 to 1000000000"),
        ({"bn__eps": 1e-60}, "bn.eps = 1e-60: expected a number from 1e-30 to 1e10"),
        ({"bn__eps": 1e60}, r"bn.eps = 1e\+60: expected a number from 1e-30 to 1e10"),
        ({"evidence__smallest_effect__steadier": 1e300}, "steadier = 1e\\+300: expected .* above 0, up to 1e10"),
        ({"seeds": HUGE}, "seeds = 1000000000000 with epochs = 200 would take at least 6,432,000 GB of memory"),
        ({"epochs": HUGE}, "seeds = 64 with epochs = 1000000000000 would take at least 2,048,000 GB of memory"),
        (
            {"data__samples": HUGE},
            r"data.samples = 1000000000000 would take at least 24,000 GB of memory: expected less",
        ),
        ({"model__hidden": [HUGE]}, r"model.hidden = \[1000000000000\] would take at least 224,000 GB of memory"),
        ({"bn__hidden": [10**6, 10**6]}, r"bn.hidden = \[1000000, 1000000\] would take at least 112,000 GB of memory"),
    ],
)
def test_what_no_machine_can_do_is_refused(tmp_path: Path, changes: dict[str, object], message: str) -> None:
    path = tmp_path / "params.yaml"
    path.write_text(json.dumps(change(changes)))  # which is YAML, and escapes what YAML cannot hold
    with pytest.raises(InputError, match=message) as caught:
        load_params(path)
    assert "\n" not in str(caught.value)
    assert len(str(caught.value).removeprefix(str(path))) < 350


def test_a_number_that_python_does_not_write_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"seeds = a number of thousands of digits with .* at least \de\+72\d\d GB"):
        load_params(write_line(tmp_path, "seeds: 0x" + "f" * 6000))


def test_a_text_of_any_length_is_cut_in_the_error(tmp_path: Path) -> None:
    with pytest.raises(InputError) as caught:
        load_params(write(tmp_path, optimizer="a" * 5000, **{"b" * 5000: 1}))
    for line in str(caught.value).splitlines():
        assert len(line.removeprefix(f"{tmp_path}/params.yaml")) < 350


def test_many_wrong_values_are_counted(tmp_path: Path) -> None:
    with pytest.raises(InputError) as caught:
        load_params(write(tmp_path, lr_sweep=["a"] * 500))
    lines = str(caught.value).splitlines()
    assert len(lines) == 21
    assert lines[-1].endswith("... and 480 more")


def test_an_appended_key_is_turned_round(tmp_path: Path) -> None:
    """DVC's advice on `-S lrr=0.1` is to write `-S +lrr=0.1`."""
    with pytest.raises(InputError) as caught:
        load_params(write(tmp_path, lrr=0.1, modl={"hiden": [3], "init": "he"}))
    assert [line.split(": ", 1)[1] for line in str(caught.value).splitlines()] == [
        "lrr = 0.1 is no known key: the nearest is lr. Take it out of params.yaml, and write -S lr=... without a +",
        "modl.hiden = [3] is no known key: the nearest is model.hidden."
        " Take it out of params.yaml, and write -S model.hidden=... without a +",
        "modl.init = 'he' is no known key: the nearest is model.init."
        " Take it out of params.yaml, and write -S model.init=... without a +",
    ]


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="not found; run from the repository root"):
        load_params(tmp_path / "params.yaml")
