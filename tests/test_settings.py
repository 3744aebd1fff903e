"""From params.yaml to what is trained: what the arm bn has, and the baseline has not."""

from pathlib import Path
from typing import Any

import pytest
from conftest import normalization

from stages import InputError
from stages.arm.settings import build_architecture, build_schedule, notes_before
from stages.params import Params, load_params
from stages.training.network import Architecture
from stages.training.streams import ORDER, OTHER_ORDER

COMMITTED = load_params(Path(__file__).parents[1] / "params.yaml")


def change(**changes: Any) -> Params:
    """Return the committed params with some of `bn` changed."""
    return Params.model_validate(COMMITTED.model_dump() | {"bn": COMMITTED.bn.model_dump() | changes})


def architecture(arm: str, params: Params, features: int = 2) -> Architecture:
    return build_architecture(arm, params, features=features, classes=3)


def test_the_arms_differ_in_batch_norm_alone() -> None:
    plain, normalized = (architecture(arm, COMMITTED) for arm in ("baseline", "bn"))
    assert plain == Architecture(2, [2, 2], classes=3)
    assert normalized == Architecture(2, [2, 2], classes=3, normalization=normalization())
    assert build_schedule("baseline", COMMITTED) == build_schedule("bn", COMMITTED)


@pytest.mark.parametrize("particular", [{"kind": "group", "groups": 2}, {"kind": "batch", "momentum": None}])
def test_every_setting_arrives(particular: dict[str, Any]) -> None:
    settings = {"placement": "before_activation", "eps": 0.01, "affine": False, "inputs": True, **particular}
    params = change(hidden=[4, 6], **settings)
    assert architecture("baseline", params) == Architecture(2, [2, 2], classes=3)
    normalized = architecture("bn", params, features=8)
    assert normalized == Architecture(8, [4, 6], classes=3, normalization=normalization(**settings))


@pytest.mark.parametrize(
    ("changes", "order"),
    [
        ({"kind": "none"}, OTHER_ORDER),
        ({"kind": "none", "hidden": [2, 2]}, OTHER_ORDER),
        ({"kind": "none", "hidden": [3, 2]}, ORDER),
        ({"kind": "layer"}, ORDER),
        ({"hidden": [3, 2]}, ORDER),
    ],
)
def test_the_same_networks_get_another_order(changes: dict[str, Any], order: int) -> None:
    params = change(**changes)
    assert build_schedule("bn", params).order_stream == order
    assert build_schedule("baseline", params).order_stream == ORDER
    assert architecture("bn", params).hidden == changes.get("hidden", [2, 2])
    assert (architecture("bn", params).normalization is None) == (params.bn.kind == "none")


@pytest.mark.parametrize(("features", "allowed"), [(2, False), (5, False), (4, True)])
def test_inputs_too_must_make_groups(features: int, allowed: bool) -> None:
    params = change(kind="group", groups=2, hidden=[4], inputs=True)
    architecture("baseline", params, features)
    if allowed:
        architecture("bn", params, features)
        return
    message = rf"bn.inputs = True on data of {features} features contradicts bn.kind = 'group' with bn.groups = 2: exp"
    with pytest.raises(InputError, match=message):
        architecture("bn", params, features)


@pytest.mark.parametrize(
    ("changes", "noted"),
    [
        ({"kind": "layer"}, True),  # two units in each layer
        ({"kind": "layer", "hidden": [3, 2]}, True),
        ({"kind": "layer", "hidden": [3, 4]}, False),
        ({"kind": "layer", "hidden": [3, 4], "inputs": True}, True),  # two features
        ({"kind": "group", "groups": 2, "hidden": [4, 8]}, True),
        ({"kind": "group", "groups": 2, "hidden": [6, 8]}, False),
        ({"kind": "batch", "inputs": True}, False),
        ({"kind": "none", "hidden": [2, 2]}, False),
    ],
)
def test_features_that_are_normalized_two_by_two_are_noted(changes: dict[str, Any], noted: bool) -> None:
    params = change(**changes)
    notes = {arm: list(notes_before(arm, params, architecture(arm, params), rows=32)) for arm in ("baseline", "bn")}
    assert notes["baseline"] == []
    assert any("two by two come out near -1 and 1" in note for note in notes["bn"]) == noted


def test_a_network_too_large_for_the_data_is_refused() -> None:
    params = change(hidden=[10**6])
    architecture("bn", params, features=2)
    with pytest.raises(
        InputError, match=r"hidden = \[1000000\] on data of 100000 features would take at least [\d,]+ GB"
    ):
        architecture("bn", params, features=100_000)
