import os
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import yaml
from conftest import ROOT
from sklearn.datasets import (
    load_breast_cancer,
    load_digits,
    load_wine,
    make_circles,
    make_gaussian_quantiles,
    make_moons,
)

from stages import InputError, generate_data
from stages.datasets import (
    Rows,
    add_label_noise,
    encode_features,
    find_doubts,
    fit_scaling,
    load_source,
    read_csv,
    scale_rows,
    split_rows,
)
from stages.params import load_params
from stages.params.schema import GENERATED_SOURCES, REAL_SOURCES

COMMITTED = load_params(ROOT / "params.yaml").data


def load(source: str, samples: int | None = None, noise: float | None = None, seed: int = 1) -> Rows:
    changes = {"source": source, "samples": samples, "noise": noise, "seed": seed}
    return load_source(COMMITTED.model_copy(update=changes))


def split(rows: Rows, kind: str = "shuffled", val_fraction: float = 0.2, seed: int = 1) -> tuple[Rows, Rows]:
    train, val = split_rows(rows, split=kind, val_fraction=val_fraction, seed=seed)
    return rows[train], rows[val]


def write_csv(folder: Path, text: str) -> Path:
    path = folder / "mine.csv"
    path.write_text(text)
    return path


def test_tutorial_rings_are_the_two_calls_of_the_tutorial() -> None:
    x1, y1 = make_gaussian_quantiles(cov=2.0, n_samples=200, n_features=2, n_classes=2, random_state=1)
    x2, y2 = make_gaussian_quantiles(mean=(3, 3), cov=1.5, n_samples=300, n_features=2, n_classes=2, random_state=1)
    rows = load("tutorial_rings")
    np.testing.assert_array_equal(rows.x, np.concatenate([x1, x2]))
    np.testing.assert_array_equal(rows.y, np.concatenate([y1, -y2 + 1]))


def test_tail_split_of_the_rings_is_that_of_the_tutorial() -> None:
    train, val = split(load("tutorial_rings"), "tail")
    assert len(train.y) == 400
    np.testing.assert_array_equal(np.bincount(val.y), [57, 43])
    np.testing.assert_array_equal(val.x, load("tutorial_rings").x[400:])


def test_named_sources_are_those_of_scikit_learn() -> None:
    np.testing.assert_array_equal(load("circles").x, make_circles(500, noise=0.1, random_state=1)[0])
    np.testing.assert_array_equal(load("moons", 60, 0.3, 5).x, make_moons(60, noise=0.3, random_state=5)[0])
    cancer = load("breast_cancer")
    np.testing.assert_array_equal(cancer.x, load_breast_cancer().data)
    np.testing.assert_array_equal(cancer.y, load_breast_cancer().target)
    assert cancer.columns[0] == "mean_radius"
    assert cancer.classes == ("malignant", "benign")
    digits, wine = load("digits"), load("wine")
    np.testing.assert_array_equal(digits.x, load_digits().data)
    np.testing.assert_array_equal(digits.y, load_digits().target)
    assert digits.classes == tuple("0123456789")
    np.testing.assert_array_equal(wine.x, load_wine().data)
    assert wine.classes == ("class_0", "class_1", "class_2")


@pytest.mark.parametrize("source", sorted(GENERATED_SOURCES | REAL_SOURCES))
def test_every_source_that_params_may_name_has_rows(source: str) -> None:
    assert np.bincount(load(source).y).min() > 1


def test_spirals_without_noise_lie_on_two_opposite_arms() -> None:
    rows = load("spirals", samples=100, noise=0.0)
    radius = np.hypot(*rows.x.T)
    angle = 3 * np.pi * radius + np.pi * rows.y
    np.testing.assert_allclose(rows.x, radius[:, None] * np.column_stack([np.cos(angle), np.sin(angle)]), atol=1e-12)
    np.testing.assert_array_equal(np.bincount(rows.y), [50, 50])


@pytest.mark.parametrize("source", ["tutorial_rings", "circles", "moons", "spirals"])
def test_generated_sources_take_samples_and_a_seed(source: str) -> None:
    assert len(load(source, samples=33).y) == 33
    assert set(load(source, samples=33).y) == {0, 1}
    np.testing.assert_array_equal(load(source).x, load(source).x)
    assert not np.array_equal(load(source).x, load(source, seed=2).x)


def test_shuffled_split_keeps_the_shares_and_loses_no_row() -> None:
    rows = load("breast_cancer")
    train, val = split(rows)
    assert (len(train.y), len(val.y)) == (455, 114)
    assert abs(train.y.mean() - val.y.mean()) < 0.01
    both = np.concatenate([train.x, val.x])
    np.testing.assert_array_equal(np.sort(both, axis=0), np.sort(rows.x, axis=0))
    assert not np.array_equal(train.y, split(rows, seed=2)[0].y)


def test_label_noise_flips_the_share_asked_for() -> None:
    y = np.arange(200) % 2
    noisy = add_label_noise(y, 0.15, seed=1)
    assert (noisy != y).sum() == 30
    np.testing.assert_array_equal(add_label_noise(y, 0.0, seed=1), y)
    np.testing.assert_array_equal(y, np.arange(200) % 2)


def test_label_noise_falls_on_the_other_classes_alike() -> None:
    y = np.arange(30_000) % 3
    noisy = add_label_noise(y, 0.4, seed=1)
    assert (noisy != y).sum() == 12_000
    moved = np.bincount(((noisy - y) % 3)[noisy != y], minlength=3)
    assert moved[0] == 0
    np.testing.assert_allclose(moved[1:] / 12_000, 0.5, atol=0.02)
    np.testing.assert_array_equal(np.unique(noisy), [0, 1, 2])


def test_label_noise_that_leaves_one_class_is_refused() -> None:
    with pytest.raises(
        InputError, match=r"data.label_noise = 0.5 leaves the 4 training rows with 1 of 2 classes: expected all"
    ):
        add_label_noise(np.array([0, 1, 0, 1]), 0.5, seed=0)


def test_classes_may_be_called_anything(tmp_path: Path) -> None:
    np.testing.assert_array_equal(read_csv(write_csv(tmp_path, "a,c\n1,None\n2,NA\n3,None\n4,NA\n")).y, [1, 0, 1, 0])
    np.testing.assert_array_equal(read_csv(write_csv(tmp_path, "a,c\n1,10\n2,9\n3,10\n4,9\n")).y, [1, 0, 1, 0])


def test_classes_keep_their_names_in_the_order_of_the_labels(tmp_path: Path) -> None:
    named = read_csv(write_csv(tmp_path, "a,kind\n1,pear\n2,fig\n3,apple\n4,fig\n5,pear\n6,apple\n"))
    assert named.classes == ("apple", "fig", "pear")
    np.testing.assert_array_equal(named.y, [2, 1, 0, 1, 2, 0])
    numbered = read_csv(write_csv(tmp_path, "a,grade\n1,10\n2,9\n3,10\n4,9\n5,8\n6,8\n"))
    assert numbered.classes == ("8", "9", "10")
    np.testing.assert_array_equal(numbered.y, [2, 1, 2, 1, 0, 0])
    assert split(named, "shuffled", 0.5)[1].classes == ("apple", "fig", "pear")
    assert load("moons").classes == ("0", "1")


def test_scaling_is_fitted_on_the_training_rows() -> None:
    train, val = split(load("breast_cancer"))
    scaling = fit_scaling(train.x, "standard")
    scaled_train, scaled_val = scale_rows(train, *scaling), scale_rows(val, *scaling)
    np.testing.assert_allclose(scaled_train.x.mean(axis=0), 0, atol=1e-9)
    np.testing.assert_allclose(scaled_train.x.std(axis=0), 1)
    np.testing.assert_allclose(scaled_val.x, (val.x - train.x.mean(axis=0)) / train.x.std(axis=0), rtol=1e-6, atol=1e-9)


@pytest.mark.parametrize(
    ("kind", "val_fraction", "message"),
    [
        ("shuffled", 0.01, r"data.val_fraction = 0.01 leaves 9 training and 1 validation rows: expected every class"),
        ("shuffled", 0.99, "leaves 0 training and 10 validation rows"),
        ("tail", 0.2, "leaves 8 training and 2 validation rows: expected every class in each"),
        ("tail", 0.01, "leaves 9 training and 1 validation rows"),
    ],
)
def test_a_split_without_a_class_is_refused(kind: str, val_fraction: float, message: str) -> None:
    rows = Rows(np.arange(20.0).reshape(10, 2), np.repeat([0, 1], 5), ("a", "b"))
    with pytest.raises(InputError, match=message):
        split(rows, kind, val_fraction)


def test_csv_takes_the_last_column_or_the_one_named_label(tmp_path: Path) -> None:
    last = read_csv(write_csv(tmp_path, "a,b,kind\n1,2,yes\n3,4,no\n5,6,yes\n7,8,no\n"))
    assert last.columns == ("a", "b")
    np.testing.assert_array_equal(last.y, [1, 0, 1, 0])
    named = read_csv(write_csv(tmp_path, "a,label,b\n1,5,2\n3,7,4\n5,5,6\n7,7,8\n"))
    np.testing.assert_array_equal(named.x, [[1, 2], [3, 4], [5, 6], [7, 8]])
    np.testing.assert_array_equal(named.y, [0, 1, 0, 1])
    assert list(named.table().columns) == ["a", "b", "label"]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "expected a header and rows, got an empty file"),
        ("a,label\n", "expected rows under the header, got none"),
        ("label\n0\n1\n", "expected at least one feature column beside 'label'"),
        ("a,label\n1,0\nx,1\n", "column 'a', row 2: expected a finite number, got 'x'"),
        ("a,label\n1,0\n,1\n", "got nothing; data.drop leaves the column out, data.encode=true takes texts and gaps"),
        ("a,label\nnan,0\n2,1\n", "column 'a', row 1: expected a finite number, got 'nan'"),
        ("a,label\ninf,0\n2,1\n", "column 'a', row 1: expected a finite number, got 'inf'"),
        ("a,label\n1e39,0\n2,1\n", "column 'a', row 1: expected a finite number, got '1e39'"),
        ("a,label\n1,0\n2,0\n", "column 'label': expected at least two classes, got '0' alone"),
        ("a,label\n1,0\n2,1\n3,1\n", "column 'label': expected at least 2 rows of each class, got 1 of '0'"),
        ("a,price\n1,0.5\n2,1.7\n3,2.1\n4,3.3\n", "only: column 'price' has 4 different numbers in 4 rows"),
        ("a,id\n1,x\n2,y\n3,z\n4,t\n", "classification only: column 'id' has 4 different texts in 4 rows"),
        ("a;label\n1;0\n2;1\n", "its columns are separated by semicolons: expected commas"),
        ("a\tlabel\n1\t0\n2\t1\n", "its columns are separated by tabs: expected commas"),
        ("a;label\n1,5;0\n2,5;1\n", "its columns are separated by semicolons: expected commas"),
        ("a|label\n1|0\n2|1\n", "its columns are separated by vertical bars: expected commas"),
        (",a,label\n0,1,0\n1,2,1\n", "expected a name for each column, got none for column 1"),
        ("a,label,LABEL\n1,0,1\n2,1,0\n", "both 'label' and 'LABEL': data.target says which to take"),
        ("a,a ,label\n1,1,0\n2,2,1\n", "expected every column name once, got 'a' twice"),
        (f"a,label\n{'x' * 5000},0\n2,1\n", "column 'a', row 1: expected a finite number, got 'xxx.*xxx';"),
        (f"a,label\n1,{'x' * 5000}\n2,{'x' * 5000}\n", "expected at least two classes, got 'xxx.*xxx' alone"),
        (f"{'a' * 5000},label\nx,0\n2,1\n", "column 'aaa.*aaa', row 1: expected a finite number, got 'x'"),
        (f"{'a' * 5000},{'a' * 5000},label\n", "expected every column name once, got 'aaa.*aaa' twice"),
        (f"1,{'2' * 5000}\n1,2\n", "expected a header of column names, got 1, 222"),
        ("a,label\n1,0\n2,\n3,1\n", "column 'label', row 2: expected a class, got nothing"),
        ("a,a,label\n1,1,0\n2,2,1\n", "expected every column name once, got 'a' twice"),
        ("1,2,0\n3,4,1\n5,6,0\n", "expected a header of column names, got 1, 2, 0"),
        ("1.5,2,yes\n3,4,no\n5,6,yes\n7,8,no\n", "expected a header of column names, got 1.5, 2, yes"),
        ("a,label\n1,5,0\n2,6,1\n", "not readable as CSV: .* Expected 2 fields in line 2, saw 3"),
        ("a,b,label\n1,2,0\n1,2\n1,2,1\n", "column 'label', row 2: expected a class, got nothing"),
        ("a,b,label\n1,2,0\n1,2,3,4\n", "not readable as CSV"),
    ],
)
def test_a_csv_that_cannot_be_trained_on_is_refused(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(InputError, match=message) as caught:
        read_csv(write_csv(tmp_path, text))
    assert "\n" not in str(caught.value)
    assert "mine.csv" in str(caught.value)
    assert len(str(caught.value)) < 500


def test_a_missing_csv_is_refused() -> None:
    with pytest.raises(InputError, match=r"data.source = 'nowhere.csv': no such file"):
        read_csv("nowhere.csv")


def test_what_is_no_file_is_refused(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.csv")
    (tmp_path / "folder.csv").mkdir()
    (tmp_path / "device.csv").symlink_to("/dev/zero")
    for name in ("pipe", "folder", "device"):
        with pytest.raises(InputError, match=f"{name}.csv': expected a file, not a folder, a device or a pipe"):
            read_csv(tmp_path / f"{name}.csv")


@pytest.mark.parametrize(
    "name",
    [
        *("label ", " label", "LABEL", "Label", "label\u00a0", "\u200blabel", "\ufefflabel", "la\u200bbel"),
        *("label\u00ad", "label\u200e", "\u202alabel\u202c", "label\u2800", "\uff4cabel", "'label'", "label:"),
    ],
)
def test_the_label_is_known_however_it_is_written(tmp_path: Path, name: str) -> None:
    rows = read_csv(write_csv(tmp_path, f"{name},a\n0,7\n1,8\n0,8\n1,7\n"))
    assert rows.columns == ("a",)
    np.testing.assert_array_equal(rows.y, [0, 1, 0, 1])


def test_large_class_numbers_stay_apart(tmp_path: Path) -> None:
    """Floats above 2 ** 53 would merge them."""
    rows = "1,9007199254740993\n2,9007199254740992.0\n"
    large = read_csv(write_csv(tmp_path, f"a,id\n{rows}{rows}"))
    np.testing.assert_array_equal(large.y, [1, 0, 1, 0])
    assert large.classes == ("9007199254740992.0", "9007199254740993")


def test_equal_numbers_are_one_class_and_so_are_equal_texts(tmp_path: Path) -> None:
    numbers = read_csv(write_csv(tmp_path, "a,c\n1,1\n2,1.0\n3,02\n4,2e0\n5,-1\n6,-1\n"))
    assert numbers.classes == ("-1", "1", "02")
    np.testing.assert_array_equal(numbers.y, [1, 1, 2, 2, 0, 0])
    texts = read_csv(write_csv(tmp_path, "a,c\n1,yes\n2,yes \n3,no\n4,no\u00a0\n"))
    assert texts.classes == ("no", "yes")
    beyond = read_csv(write_csv(tmp_path, f"a,c\n1,1e{'9' * 30}\n2,1\n3,1\n4,1e{'9' * 30}\n"))  # no Decimal
    assert beyond.classes == ("1", f"1e{'9' * 30}")


def test_measurements_are_no_classes_even_where_some_repeat(tmp_path: Path) -> None:
    prices = "".join(f"1,{i % 40 / 10}\n" for i in range(400))
    with pytest.raises(InputError, match=r"only: column 'price' has 40 different numbers in 400 rows; data.target"):
        read_csv(write_csv(tmp_path, f"a,price\n{prices}"))
    ages = "".join(f"1,{i % 40}\n" for i in range(400))
    assert len(read_csv(write_csv(tmp_path, f"a,age\n{ages}")).classes) == 40


def test_target_and_drop_choose_columns(tmp_path: Path) -> None:
    path = write_csv(tmp_path, "id,kind,label,b\n1,x,5,2\n2,y,6,4\n3,x,7,6\n4,y,8,8\n")
    rows = read_csv(path, target="kind", drop=["id", "label"])
    assert (rows.columns, rows.classes, rows.label) == (("b",), ("x", "y"), "kind")
    np.testing.assert_array_equal(rows.x, [[2], [4], [6], [8]])
    with pytest.raises(InputError, match="a feature is called 'label', as the class is in data/"):
        read_csv(path, target="kind")
    with pytest.raises(InputError, match=r"data.target = 'kynd': no such column; the nearest is 'kind'"):
        read_csv(path, target="kynd")
    with pytest.raises(
        InputError, match=r"data.drop = \['id', 'kind', 'label', 'b'\]: expected a column of .* to stay"
    ):
        read_csv(path, drop=["id", "kind", "label", "b"])
    with pytest.raises(InputError, match=r"data.drop = 'ID': no such column; the nearest is 'id'"):
        read_csv(path, drop=["ID"])


MIXED = """\
size,color,weight,kind
1,red,10,x
2,blue,?,y
,red,30,x
4,,20,y
100,green,NA,x
7,blue,1000,y
"""


def test_texts_and_gaps_become_numbers_by_the_training_rows(tmp_path: Path) -> None:
    rows = read_csv(write_csv(tmp_path, MIXED), encode=True)
    encoded = encode_features(rows, np.arange(4))
    assert encoded.columns == ("size", "weight", "color=blue", "color=missing", "color=red")
    np.testing.assert_array_equal(
        encoded.x,
        [
            [1, 10, 0, 0, 1],
            [2, 20, 1, 0, 0],  # 20: the median of 10, 30 and 20
            [2, 30, 0, 0, 1],  # 2: the median of 1, 2 and 4
            [4, 20, 0, 1, 0],
            [100, 20, 0, 0, 0],  # green: not among the training rows
            [7, 1000, 1, 0, 0],
        ],
    )
    np.testing.assert_array_equal(encoded.y, rows.y)


def test_numbers_alone_are_encoded_as_they_are(tmp_path: Path) -> None:
    path = write_csv(tmp_path, "a,b,kind\n1,2,x\n3,4,y\n5,6,x\n7,8,y\n")
    np.testing.assert_array_equal(encode_features(read_csv(path, encode=True), np.array([0, 1])).x, read_csv(path).x)


@pytest.mark.parametrize(
    ("cells", "message"),
    [
        (["", "", "3", "4"], "data.encode = True: column 'a' has no value in the training rows; data.drop leaves it"),
        (
            [f"name {i}" for i in range(202)],
            "column 'a' has 101 different texts in the training rows: expected at most",
        ),
        (
            [*(f"{i}.5" for i in range(30)), "5%"] * 2,
            "column 'a' has 30 different numbers and '5%': expected numbers alone, or categories; data.drop",
        ),
    ],
)
def test_what_cannot_be_encoded_is_refused(tmp_path: Path, cells: list[str], message: str) -> None:
    lines = "".join(f"{cell},0,{row % 2}\n" for row, cell in enumerate(cells))
    rows = read_csv(write_csv(tmp_path, f"a,b,label\n{lines}"), encode=True)
    with pytest.raises(InputError, match=message):
        encode_features(rows, np.arange(len(cells) // 2))


def test_doubtful_columns_are_found() -> None:
    column = np.array([1.0, 2.5, 2.0])
    rows = Rows(np.column_stack([column, np.full(3, 7.0), column]), np.array([0, 1, 0]), ("a", "b", "c"))
    assert find_doubts(rows) == ["column 'b' is constant", "column 'c' repeats column 'a'"]


@pytest.mark.parametrize(
    ("column", "found"),
    [
        ([1, 2, 3, 4], True),
        ([17, 20, 21, 400], True),  # in order
        ([9, 8, 5, 1], True),
        ([3, 0, 2, 1], True),  # without a gap
        ([1, 2, 2, 3], False),
        ([1, 2, 3.5, 4], False),
        ([17, 21, 20, 400], False),
    ],
)
def test_a_column_that_numbers_the_rows_is_found(column: list[float], found: bool) -> None:
    rows = Rows(np.array(column, dtype=float)[:, None], np.array([0, 1, 0, 1]), ("id",))
    assert any("column 'id' numbers the rows" in doubt for doubt in find_doubts(rows)) == found


@pytest.mark.parametrize("pair", [("Yes", "yes"), ("\u00e9", "e\u0301"), ("1", "\uff11")])
def test_classes_that_read_alike_are_found(pair: tuple[str, str]) -> None:
    rows = Rows(np.array([[1.5], [2.0]]), np.array([0, 1]), ("a",), (pair[0], "no", pair[1]))
    assert find_doubts(rows) == [f"classes {pair[0]!r} and {pair[1]!r} read alike"]


def test_a_class_that_may_be_a_gap_is_found() -> None:
    rows = Rows(np.array([[1.5], [2.0]]), np.array([0, 1]), ("a",), ("1", "nan"))
    assert find_doubts(rows) == ["class 'nan' reads like a value that is not there"]


@pytest.mark.parametrize("source", sorted(GENERATED_SOURCES | REAL_SOURCES))
def test_our_own_sources_leave_no_doubt(source: str) -> None:
    assert [doubt for doubt in find_doubts(load(source)) if "constant" not in doubt] == []


def test_the_stage_encodes_then_scales_by_the_training_rows(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    sizes = ["", *[1] * 31, *[9] * 8]  # the gap is 1, by the training rows, which leaves no variance to scale by
    colors = ["red", "red", "", ""] * 10
    lines = "".join(f"{row},{sizes[row]},{colors[row]},{'ab'[row % 2]}\n" for row in range(40))
    write_csv(tmp_path, f"id,size,color,kind\n{lines}")
    data = {"source": "mine.csv", "target": "kind", "encode": True, "scale": "standard", "split": "tail"}
    params = load_params(ROOT / "params.yaml").model_dump()
    (tmp_path / "params.yaml").write_text(yaml.safe_dump(params | {"data": params["data"] | data}))
    (tmp_path / "data").mkdir()
    monkeypatch.chdir(tmp_path)
    generate_data.main()
    train, val = (pd.read_csv(f"data/{name}.csv") for name in ("train", "val"))
    assert list(train.columns) == ["id", "size", "color=missing", "color=red", "label"]
    np.testing.assert_allclose(train["id"], (np.arange(32) - 15.5) / np.arange(32).std())
    np.testing.assert_allclose(val["id"], (np.arange(32, 40) - 15.5) / np.arange(32).std())
    assert (set(train["size"]), set(val["size"])) == ({0}, {8})
    np.testing.assert_allclose(val["color=red"], [1, 1, -1, -1, 1, 1, -1, -1])
    assert (tmp_path / "data" / "classes.json").read_text() == '["a", "b"]\n'
    told = capsys.readouterr()
    assert told.out == "mine.csv: 32 training and 8 validation rows, 4 features, 2 classes in column 'kind'\n"
    assert "warning: mine.csv: column 'id' numbers the rows" in told.err
    assert "warning: mine.csv: DVC watches data/own alone" in told.err
