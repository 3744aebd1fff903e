"""The oracle: one replica trained alone, by ordinary layers, an ordinary optimizer and an ordinary loop."""

import copy
import re
from dataclasses import replace
from itertools import combinations, product
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from conftest import normalization
from drawn_dropout import draw_dropout, with_drawn_dropout
from torch import Tensor, nn
from torch.nn import functional as F

from stages import EXACT_MEASURES, MEASURES
from stages.training.evaluation import evaluate
from stages.training.loop import (
    Schedule,
    build_replicas,
    cut_batches,
    dropped_examples,
    train_arm,
)
from stages.training.masks import draw_masks
from stages.training.network import Architecture, FrozenNorm, Normalization, build_network
from stages.training.replicas import stack, unstack
from stages.training.streams import MASKS, ORDER, WEIGHTS, open_stream
from stages.training.tables import Table

NORMS = {
    "baseline": None,
    "after": normalization(placement="after_activation"),
    "before": normalization(placement="before_activation", momentum=0.3, eps=0.001),
    "dropout": normalization("dropout"),
}
OPTIMIZERS = {
    "adam": torch.optim.Adam,
    "adamw": torch.optim.AdamW,
    "sgd": torch.optim.SGD,
    "rmsprop": torch.optim.RMSprop,
}
# Every value of every option that changes what is trained, and the options that have no effect beside a kind.
OPTIONS: dict[str, list[Any]] = {
    "activation": ["relu", "leaky_relu", "tanh", "sigmoid", "gelu"],
    "kind": ["none", "batch", "frozen", "layer", "group", "dropout"],
    "init": ["pytorch", "keras", "he", "normal"],
    "optimizer": ["adam", "adamw", "sgd", "rmsprop"],  # sgd with momentum, and without it below
    "momentum": [0.1, 0.6, None],
    "hidden": [(6,), (6, 8), (8, 6, 6)],  # two features a group would be -1 and 1, and their gradient rounding noise
    "batch_size": [16, 11, 34],  # a short last batch of 2; one of 1, which is left out; all in one
    "classes": [2, 3],
    "placement": ["after_activation", "before_activation"],
    "eps": [1e-5, 1e-2],
    "affine": [True, False],
    "inputs": [True, False],
    "rate": [0.5, 0.2],
    "weight_decay": [0.0, 0.1],
}
WITHOUT_EFFECT = {
    "none": {"placement", "momentum", "eps", "affine", "inputs", "rate"},
    "batch": {"rate"},
    "frozen": {"momentum", "rate"},
    "layer": {"momentum", "rate"},
    "group": {"momentum", "rate"},
    "dropout": {"placement", "momentum", "eps", "affine", "inputs"},
}


def pairs(choice: dict[str, Any]) -> set[tuple[Any, ...]]:
    """Return the pairs of options with the values that meet in a choice and have an effect there."""
    void = WITHOUT_EFFECT.get(choice.get("kind"), set())
    return set(combinations(sorted(item for item in choice.items() if item[0] not in void), 2))


def all_pairs() -> list[tuple[Any, ...]]:
    meetings = (product(OPTIONS[a], OPTIONS[b], [(a, b)]) for a, b in combinations(sorted(OPTIONS), 2))
    found = [((a, one), (b, other)) for meeting in meetings for one, other, (a, b) in meeting]
    return [pair for pair in found if can_meet(dict(pair))]


def can_meet(pair: dict[str, Any]) -> bool:
    """Return whether both values have an effect in a choice of some kind."""
    kinds = [pair["kind"]] if "kind" in pair else OPTIONS["kind"]
    return any(not pair.keys() & WITHOUT_EFFECT[kind] for kind in kinds)


def cover_pairs() -> list[dict[str, Any]]:
    """Return few choices of one value per option in which any two values of two options meet at least once.

    Greedy: a choice starts from two values that have not met, and goes on, option by option, with the value that meets
    most of the others for the first time.
    """
    missing = dict.fromkeys(all_pairs())  # not a set, whose order differs from run to run
    choices = []
    while missing:
        first = next(iter(missing))
        choice = dict(first)
        for name in ["kind", *OPTIONS]:
            if name not in choice:
                met = {value: pairs(choice | {name: value}) & missing.keys() for value in OPTIONS[name]}
                choice[name] = max(OPTIONS[name], key=lambda value: (first in met[value], len(met[value])))
        for pair in pairs(choice):
            missing.pop(pair, None)
        choices.append(choice)
    return choices


CHOICES = cover_pairs()


def make_tables(classes: int) -> tuple[Table, Table]:
    """Return 34 training and 20 validation rows of four features, in float64."""
    x = torch.randn(54, 4, generator=torch.Generator().manual_seed(3), dtype=torch.float64)
    borders = {2: [3.0], 3: [2.0, 4.0]}[classes]
    y = torch.bucketize(x.square().sum(dim=1), torch.tensor(borders, dtype=x.dtype))
    return Table(x[:34], y[:34]), Table(x[34:], y[34:])


def make_settings(choice: dict[str, Any]) -> tuple[Architecture, Schedule]:
    norm = None
    if choice["kind"] != "none":
        own = {name: choice[name] for name in ("kind", "placement", "momentum", "eps", "affine", "inputs", "rate")}
        if choice["kind"] == "dropout":
            own |= {"placement": "after_activation", "inputs": False}
        norm = Normalization(**own, groups=2 if choice["kind"] == "group" else 1)
    shape = {name: choice[name] for name in ("hidden", "activation", "init", "classes")}
    std = 0.5 if choice["init"] == "normal" else None
    how = {name: choice[name] for name in ("batch_size", "optimizer", "weight_decay")}
    momentum = 0.9 if choice["optimizer"] == "sgd" else 0.0
    return (
        Architecture(4, init_std=std, normalization=norm, **shape),
        Schedule([0.01, 0.05], [0, 5], epochs=4, momentum=momentum, **how),
    )


def train_alone(
    train: Table, val: Table, architecture: Architecture, schedule: Schedule, lr: float, seed: int
) -> tuple[nn.Sequential, list[list[float]]]:
    network = with_drawn_dropout(build_network(architecture, open_stream(seed, WEIGHTS)).double())
    if any(isinstance(layer, FrozenNorm) for layer in network):
        network = with_exact_statistics(network, train.x)  # once, at the start
    options = {"momentum": schedule.momentum} if schedule.momentum else {}
    optimizer = OPTIMIZERS[schedule.optimizer](
        network.parameters(), lr=lr, weight_decay=schedule.weight_decay, **options
    )
    order, masks = open_stream(seed, ORDER), open_stream(seed, MASKS)
    history = [measure_both_ways(network, train, val)]
    for _ in range(schedule.epochs):
        network.train()
        shuffled = torch.randperm(len(train.y), generator=order)
        for index in shuffled.split(schedule.batch_size):
            if len(index) == 1:
                continue
            draw_dropout(network, architecture.hidden, len(index), masks)
            optimizer.zero_grad()
            loss_alone(network(train.x[index]), train.y[index]).backward()
            optimizer.step()
        history.append(measure_both_ways(network, train, val))
    return network.eval(), history


def loss_alone(logits: Tensor, y: Tensor) -> Tensor:
    if logits.shape[1] > 1:
        return F.cross_entropy(logits, y)
    return F.binary_cross_entropy_with_logits(logits.squeeze(1), y.double())


def measure_both_ways(network: nn.Sequential, train: Table, val: Table) -> list[float]:
    """Measure as it is, and where there is batch norm once more, with the statistics of all training rows."""
    measured = measure_alone(network, train, val)
    if any(type(layer) is nn.BatchNorm1d for layer in network):
        measured += measure_alone(with_exact_statistics(network, train.x), train, val)
    return measured


@torch.no_grad()
def with_exact_statistics(network: nn.Sequential, x: Tensor) -> nn.Sequential:
    """Return a copy whose running statistics are set, layer by layer, by a pass over all rows x (N, F)."""
    network = copy.deepcopy(network).eval()
    for layer in network:
        if isinstance(layer, nn.BatchNorm1d):
            layer.running_mean, layer.running_var = x.mean(dim=0), x.var(dim=0, unbiased=False)
        x = layer(x)
    return network


@torch.no_grad()
def measure_alone(network: nn.Sequential, train: Table, val: Table) -> list[float]:
    network.eval()
    measured = []
    for table in (train, val):
        logits = network(table.x)
        said = logits.argmax(dim=1) if logits.shape[1] > 1 else (logits.squeeze(1) > 0).long()
        measured += [loss_alone(logits, table.y).item(), (said == table.y).double().mean().item()]
    return measured


@pytest.mark.parametrize("choice", CHOICES, ids=lambda choice: "-".join(map(str, choice.values())))
def test_a_replica_is_the_network_that_plain_pytorch_trains(choice: dict[str, Any]) -> None:
    architecture, schedule = make_settings(choice)
    tables = make_tables(choice["classes"])
    networks, history = train_arm(*tables, architecture, schedule)
    assert_alone_is_the_same(tables, architecture, schedule, networks, history, lr=0.05, seed=5)


def test_these_choices_hold_every_two_values_together() -> None:
    met = set().union(*map(pairs, CHOICES))
    for a, b in combinations(sorted(OPTIONS), 2):
        for one, other in product(OPTIONS[a], OPTIONS[b]):
            if can_meet({a: one, b: other}):
                assert ((a, one), (b, other)) in met
    assert {(choice["kind"], choice["momentum"]) for choice in CHOICES} >= {("batch", None), ("batch", 0.6)}
    assert len(CHOICES) < 50  # all together would be over half a million


@pytest.mark.parametrize("norm", NORMS)
@pytest.mark.parametrize("optimizer", ["adam", "sgd"])
def test_so_are_all_replicas(tiny_tables: tuple[Table, Table], norm: str, optimizer: str) -> None:
    architecture = Architecture(2, [3, 2], normalization=NORMS[norm])
    schedule = Schedule([0.001, 0.01, 0.2], [0, 1, 5], epochs=4, batch_size=16, optimizer=optimizer)
    networks, history = train_arm(*tiny_tables, architecture, schedule)
    for lr, seed in product(schedule.learning_rates, schedule.seeds):
        assert_alone_is_the_same(tiny_tables, architecture, schedule, networks, history, lr, seed)


def assert_alone_is_the_same(
    tables: tuple[Table, Table],
    architecture: Architecture,
    schedule: Schedule,
    networks: nn.Sequential,
    history: pd.DataFrame,
    lr: float,
    seed: int,
) -> None:
    alone, measured = train_alone(*tables, architecture, schedule, lr, seed)
    rows = history[(history["lr"] == lr) & (history["seed"] == seed)]
    np.testing.assert_allclose(rows.drop(columns=["lr", "seed", "epoch"]), measured, rtol=1e-8, atol=1e-10)
    replica = unstack(networks, schedule.replica(lr, seed)).double()
    norm = architecture.normalization
    before_batch_norm = norm is not None and (norm.kind, norm.placement) == ("batch", "before_activation")
    for name, values in alone.state_dict().items():
        # A bias right before batch norm moves its running mean alone: its gradient is rounding noise, which adam and
        # rmsprop magnify.
        noise = before_batch_norm and (name.endswith("running_mean") or re.fullmatch(r"linear\d+\.bias", name))
        torch.testing.assert_close(replica.state_dict()[name], values, rtol=1e-8, atol=1e-6 if noise else 1e-10)


@pytest.mark.parametrize(
    ("architecture", "columns"),
    [
        (Architecture(2), MEASURES),
        (Architecture(2, [4], normalization=normalization("layer")), MEASURES),
        (Architecture(2, normalization=normalization()), (*MEASURES, *EXACT_MEASURES)),
    ],
    ids=["baseline", "layer", "batch"],
)
def test_history_has_one_row_per_rate_seed_and_epoch(
    tiny_tables: tuple[Table, Table], architecture: Architecture, columns: tuple[str, ...]
) -> None:
    schedule = Schedule([0.01, 0.1], [0, 1, 2], epochs=2, batch_size=16)
    _, history = train_arm(*tiny_tables, architecture, schedule)
    assert list(history.columns) == ["lr", "seed", "epoch", *columns]
    expected = [(lr, seed, epoch) for lr in (0.01, 0.1) for seed in range(3) for epoch in range(3)]
    assert list(history[["lr", "seed", "epoch"]].itertuples(index=False, name=None)) == expected


def test_a_seed_has_the_same_batches_at_every_rate(tiny_tables: tuple[Table, Table]) -> None:
    train, _ = tiny_tables
    schedule = Schedule([0.01, 0.1], [0, 1], epochs=1, batch_size=16)
    batches = list(cut_batches(train, schedule, [open_stream(seed, ORDER) for seed in schedule.seeds], narrow=False))
    assert [tuple(x.shape) for x, _ in batches] == [(4, 2, 16), (4, 2, 16), (4, 2, 2)]
    for x, y in batches:
        assert torch.equal(x[:2], x[2:])
        assert torch.equal(y[:2], y[2:])
        assert not torch.equal(x[0], x[1])
    seen = torch.cat([x[1] for x, _ in batches], dim=1).T  # every row once
    assert torch.equal(seen.sort(dim=0).values, train.x.sort(dim=0).values)


def test_a_seed_has_the_same_masks_at_every_rate_and_others_in_every_step() -> None:
    schedule = Schedule([0.01, 0.1], [0, 1], epochs=1, batch_size=16)
    network = build_replicas(Architecture(2, [30, 20], normalization=normalization("dropout", rate=0.2)), schedule)
    streams = [open_stream(seed, MASKS) for seed in schedule.seeds]
    draw_masks(network, streams, examples=50)
    first, second = network.dropout1.mask, network.dropout2.mask
    assert (first.shape, second.shape) == ((4, 30, 50), (4, 20, 50))
    assert torch.equal(first[:2], first[2:])
    assert not torch.equal(first[0], first[1])
    assert not torch.equal(first[:, :20], second)
    assert set(first.unique().tolist()) == {0.0, 1.25}
    assert first.mean().item() == pytest.approx(1, abs=4 * 0.5 / 3000**0.5)  # 3000 draws, each of deviation 1/2
    draw_masks(network, streams, examples=50)
    assert not torch.equal(network.dropout1.mask, first)


def test_nothing_is_dropped_outside_a_step(tiny_tables: tuple[Table, Table]) -> None:
    train, _ = tiny_tables
    schedule = Schedule([0.1], [0, 1], epochs=1, batch_size=16)
    network, _ = train_arm(*tiny_tables, Architecture(2, normalization=normalization("dropout")), schedule)
    ordinary = unstack(network, 1).eval()
    assert isinstance(ordinary.dropout1, nn.Dropout)
    x = train.x.T.expand(2, -1, -1)
    for mode in (False, True):  # no step is being taken in either
        torch.testing.assert_close(network.train(mode)(x)[1].T, ordinary(train.x))


def test_pairs_share_their_initial_weights(tiny_tables: tuple[Table, Table]) -> None:
    schedule = Schedule([0.01, 0.1], [0, 1], epochs=0, batch_size=16)
    plain = build_replicas(Architecture(2), schedule)
    normalized = build_replicas(Architecture(2, normalization=normalization()), schedule)
    torch.testing.assert_close(plain.linear2.weight, normalized.linear2.weight, rtol=0, atol=0)
    torch.testing.assert_close(plain.linear2.weight[:2], plain.linear2.weight[2:], rtol=0, atol=0)
    assert not torch.equal(plain.linear2.weight[0], plain.linear2.weight[1])


def test_a_seed_has_unrelated_streams() -> None:
    draws = {
        tuple(torch.rand(3, generator=open_stream(seed, stream)).tolist()) for seed in range(4) for stream in (0, 1)
    }
    assert len(draws) == 8


@pytest.mark.parametrize("norm", NORMS)
def test_a_replica_does_not_depend_on_its_neighbours(tiny_tables: tuple[Table, Table], norm: str) -> None:
    architecture = Architecture(2, [3, 2], normalization=NORMS[norm])
    schedule = Schedule([0.01, 1e300], [0, 1], epochs=3, batch_size=16, optimizer="sgd")
    both, history = train_arm(*tiny_tables, architecture, schedule)
    healthy, _ = train_arm(*tiny_tables, architecture, replace(schedule, learning_rates=[0.01, 0.1]))
    assert not np.isfinite(history["train_loss"]).all()  # the neighbour diverged
    for seed in (0, 1):
        left, right = unstack(both, seed).state_dict(), unstack(healthy, seed).state_dict()
        torch.testing.assert_close(left, right, rtol=0, atol=0)


def test_same_settings_give_the_same_bytes(tiny_tables: tuple[Table, Table]) -> None:
    single = [Table(table.x.float(), table.y) for table in tiny_tables]
    schedule = Schedule([0.01, 0.1], range(5), epochs=3, batch_size=16)
    arguments = (*single, Architecture(2, normalization=normalization()), schedule)
    first, again = train_arm(*arguments)[1], train_arm(*arguments)[1]
    assert first.to_numpy().tobytes() == again.to_numpy().tobytes()


def test_evaluation_by_hand() -> None:
    network = nn.Sequential()
    network.add_module("linear1", nn.Linear(1, 1))
    with torch.no_grad():
        network.linear1.weight.fill_(2.0)
        network.linear1.bias.fill_(0.0)
    train = Table(torch.tensor([[1.0], [-1.0], [0.0]]), torch.tensor([1, 1, 0]))
    measures = evaluate(stack([network]), train, train)
    assert measures["train_accuracy"].tolist() == pytest.approx([2 / 3])  # a logit of zero says class 0
    right, wrong, undecided = np.log1p(np.exp(-2)), np.log1p(np.exp(2)), np.log(2)
    assert measures["train_loss"].tolist() == pytest.approx([(right + wrong + undecided) / 3])


def test_evaluation_of_three_classes_by_hand() -> None:
    network = nn.Sequential()
    network.add_module("linear1", nn.Linear(1, 3, bias=False))
    network.linear1.bias = nn.Parameter(torch.zeros(3))
    with torch.no_grad():
        network.linear1.weight.copy_(torch.tensor([[1.0], [-1.0], [0.0]]))
    train = Table(torch.tensor([[2.0], [-2.0], [2.0], [0.0]]), torch.tensor([0, 1, 2, 0]))
    measures = evaluate(stack([network]), train, train)
    assert measures["train_accuracy"].tolist() == [3 / 4]  # of equal logits, the first class is said
    largest = np.log(np.exp(2) + np.exp(-2) + 1)
    expected = ((largest - 2) + (largest - 2) + largest + np.log(3)) / 4
    assert measures["train_loss"].tolist() == pytest.approx([expected])


def test_of_many_classes_a_diverged_replica_is_wrong_everywhere(three_classes: tuple[Table, Table]) -> None:
    networks = build_replicas(Architecture(2, classes=3), Schedule([0.01], [0, 1], 0, 16)).double()
    with torch.no_grad():
        networks.linear3.bias[1, 0] = torch.nan  # argmax takes NaN for the largest, and class 0 would be right
    measures = evaluate(networks, *three_classes)
    assert measures["val_accuracy"][1] == 0
    assert measures["val_accuracy"][0] > 0
    assert np.isfinite(measures["val_loss"]).tolist() == [True, False]


def test_a_diverged_replica_is_wrong_everywhere(tiny_tables: tuple[Table, Table]) -> None:
    networks = build_replicas(Architecture(2), Schedule([0.01], [0, 1], 0, 16)).double()
    healthy = evaluate(networks, *tiny_tables)
    with torch.no_grad():
        networks.linear3.bias[1] = torch.nan
    measures = evaluate(networks, *tiny_tables)
    assert measures["val_accuracy"][1] == 0
    assert np.isnan(measures["val_loss"][1])
    assert measures["val_loss"][0] == healthy["val_loss"][0]


def test_large_tables_are_measured_in_parts(monkeypatch: pytest.MonkeyPatch, tiny_tables: tuple[Table, Table]) -> None:
    networks = build_replicas(Architecture(2, normalization=normalization()), Schedule([0.01], [0, 1], 0, 16)).double()
    whole = evaluate(networks, *tiny_tables)
    monkeypatch.setattr("stages.training.evaluation.LEAST_ROWS", 7)
    monkeypatch.setattr("stages.training.evaluation.VALUES_IN_CACHE", 0)
    monkeypatch.setattr("stages.training.evaluation.VALUES_AT_ONCE", 2 * 54)  # those of one network
    for name, values in evaluate(networks, *tiny_tables).items():
        np.testing.assert_allclose(values, whole[name], rtol=1e-14)


def test_to_evaluate_changes_nothing(tiny_tables: tuple[Table, Table]) -> None:
    networks = build_replicas(Architecture(2, normalization=normalization()), Schedule([0.01], [0, 1], 0, 16)).double()
    before = copy.deepcopy(networks.state_dict())
    evaluate(networks, *tiny_tables)
    torch.testing.assert_close(networks.state_dict(), before, rtol=0, atol=0)


@pytest.mark.parametrize(("rows", "batch_size", "dropped"), [(33, 32, 1), (34, 32, 0), (64, 32, 0), (3, 2, 1)])
def test_a_last_batch_of_one_is_left_out(rows: int, batch_size: int, dropped: int) -> None:
    assert dropped_examples(rows, batch_size) == dropped


@pytest.mark.parametrize("norm", NORMS)
def test_stacking_and_unstacking_returns_the_networks(norm: str) -> None:
    generator = torch.Generator().manual_seed(1)
    networks = [build_network(Architecture(2, [3, 2], normalization=NORMS[norm]), generator) for _ in range(4)]
    for network in networks:
        network(torch.randn(20, 2, generator=generator))  # gives each its own running statistics
    stacked = stack(copy.deepcopy(networks)).eval()
    x = torch.randn(4, 2, 6, generator=generator)  # (R, F, B)
    with torch.no_grad():
        logits = stacked(x)
    for replica, network in enumerate(networks):
        back = unstack(stacked, replica)
        torch.testing.assert_close(back.state_dict(), network.state_dict(), rtol=0, atol=0)
        with torch.no_grad():
            torch.testing.assert_close(logits[replica].T, network.eval()(x[replica].T))
