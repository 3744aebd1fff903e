"""The oracle: one seed trained alone by ordinary PyTorch, and measured by copying networks and moving their layers."""

import copy
import re

import numpy as np
import pandas as pd
import pytest
import torch
from conftest import normalization
from drawn_dropout import ALL, DrawnDropout, draw_dropout, with_drawn_dropout
from scipy.stats import wasserstein_distance
from torch import Tensor, nn
from torch.nn import functional as F

from stages.training.diagnostics import DIAGNOSTICS, Diagnostics
from stages.training.layers import write_gradient
from stages.training.loop import Schedule, build_replicas, train_arm
from stages.training.loss import cross_entropy
from stages.training.network import Architecture
from stages.training.replicas import flatten_parameters, select, unstack
from stages.training.step_measures import (
    OF_A_STEP,
    Step,
    build_variants,
    covariate_shift,
    landscape,
    layer_gradients,
    measure_step,
)
from stages.training.streams import MASKS, ORDER, open_stream
from stages.training.tables import Table
from stages.training.unit_measures import dead_layers, input_shift

NORMS = {
    "baseline": None,
    "after": normalization(placement="after_activation"),
    "before": normalization(placement="before_activation", momentum=0.3, eps=0.001),
    "dropout": normalization("dropout"),
}
OPTIMIZERS = {
    "adam": lambda weights, lr: torch.optim.Adam(weights, lr=lr),
    "sgd": lambda weights, lr: torch.optim.SGD(weights, lr=lr, momentum=0.9),
}


def measured(train: Table, val: Table, architecture: Architecture, schedule: Schedule, lr: float) -> pd.DataFrame:
    diagnostics = Diagnostics(train, schedule.seeds, lr, schedule.replicas(lr))
    train_arm(train, val, architecture, schedule, diagnostics=diagnostics)
    return diagnostics.table()


def measured_alone(
    train: Table, network: nn.Sequential, schedule: Schedule, lr: float, seed: int
) -> list[dict[str, float]]:
    """Train one ordinary network; return its rows, epoch by epoch."""
    optimizer = OPTIMIZERS[schedule.optimizer](network.parameters(), lr)
    network = with_drawn_dropout(network)
    order, masks = open_stream(seed, ORDER), open_stream(seed, MASKS)
    widths = [layer.out_features for layer in network if isinstance(layer, nn.Linear)][:-1]
    inputs, unit, dead = seen_alone(network, train.x)
    rows = [dict.fromkeys(DIAGNOSTICS, np.nan) | unit | {"dead_layer": dead}]
    for _ in range(schedule.epochs):
        step, inputs_before = {}, inputs
        for index in torch.randperm(len(train.y), generator=order).split(schedule.batch_size):
            draw_dropout(network.train(), widths, len(index), masks)
            before = copy.deepcopy(network)
            optimizer.zero_grad()
            loss_alone(network, train.x[index], train.y[index]).backward()
            optimizer.step()
            step = step or step_alone(before, network, train.x[index], train.y[index], lr)
        inputs, unit, dead = seen_alone(network, train.x)
        pairs = [(a, b) for a, b in zip(inputs_before, inputs, strict=True) if np.ptp(a) > 0]
        shifts = [wasserstein_distance(a, b) / a.std() for a, b in pairs]
        shift = np.mean(shifts) if shifts else np.nan
        rows.append(step | {"input_shift": shift} | unit | {"dead_layer": dead})
    return rows


def step_alone(before: nn.Sequential, after: nn.Sequential, x: Tensor, y: Tensor, lr: float) -> dict[str, float]:
    shifts, cosines = [], []
    gradients = gradients_alone(before, x, y)
    for layer in range(2, sum(isinstance(module, nn.Linear) for module in before) + 1):
        moved = copy.deepcopy(before)
        with torch.no_grad():
            for name, parameter in moved.named_parameters():
                if int(re.search(r"(\d+)\.", name).group(1)) < layer:
                    parameter.copy_(after.get_parameter(name))
        own = [f"linear{layer}.weight", f"linear{layer}.bias"]
        moved_gradients = gradients_alone(moved, x, y)
        here, there = (torch.cat([grads[name].flatten() for name in own]) for grads in (gradients, moved_gradients))
        if here.norm() > 0:
            shifts.append(((here - there).norm() / here.norm()).item())
            cosines.append(F.cosine_similarity(here, there, dim=0).item())
    losses, changes, smoothness = [], [], []
    for step in (0.5, 1, 2, 4):
        there = copy.deepcopy(before)
        with torch.no_grad():
            for name, parameter in there.named_parameters():
                parameter -= step * lr * gradients[name]
        losses.append(loss_alone(copy.deepcopy(there), x, y).item())
        changed = gradients_alone(there, x, y)
        changes.append(torch.cat([(changed[name] - gradients[name]).flatten() for name in changed]).norm().item())
        length = step * lr * torch.cat([gradient.flatten() for gradient in gradients.values()]).norm().item()
        smoothness.append(changes[-1] / length)
    return {
        "covariate_shift": np.mean(shifts),
        "gradient_cosine": np.mean(cosines),
        "loss_range": max(losses) - min(losses),
        "gradient_change": max(changes),
        "beta_smoothness": max(smoothness),
        **layer_gradients_alone(gradients),
    }


def layer_gradients_alone(gradients: dict[str, Tensor]) -> dict[str, float]:
    norms = [gradients[name].norm().item() for name in gradients if re.fullmatch(r"linear\d+\.weight", name)]
    logs = [np.log10(norm / norms[-2]) if norm and norms[-2] else np.nan for norm in norms]
    return {f"layer_gradient_{layer}": log for layer, log in enumerate(logs, start=1)}


def loss_alone(network: nn.Sequential, x: Tensor, y: Tensor) -> Tensor:
    logits = network(x)
    if logits.shape[1] > 1:
        return F.cross_entropy(logits, y)
    return F.binary_cross_entropy_with_logits(logits.squeeze(1), y.double())


def gradients_alone(network: nn.Sequential, x: Tensor, y: Tensor) -> dict[str, Tensor]:
    network = copy.deepcopy(network).train()
    gradients = torch.autograd.grad(loss_alone(network, x, y), list(network.parameters()))
    return dict(zip(dict(network.named_parameters()), gradients, strict=True))


@torch.no_grad()
def seen_alone(network: nn.Sequential, x: Tensor) -> tuple[list[np.ndarray], dict[str, float], float]:
    """Return the inputs of each unit of each dense layer but the first, a unit's percentiles, and whether one is dead.

    The unit is the first of the last hidden layer, the inputs those of its activation.
    """
    inputs, dead, outputs, trained = [], 0.0, x, copy.deepcopy(network).train()
    for layer in network.eval():
        if isinstance(layer, (nn.ReLU, nn.LeakyReLU, nn.GELU, nn.Tanh)):
            unit = np.percentile(x[:128, 0].numpy(), [15, 50, 85])
        if isinstance(layer, nn.Linear) and layer is not network.linear1:
            inputs += list(x[:128].T.numpy())
        x = layer(x)
    for layer in trained:
        if isinstance(layer, DrawnDropout):
            layer.kept = ALL
        outputs = layer(outputs)
        if isinstance(layer, nn.ReLU) and (outputs <= 0).all():
            dead = 1.0
    return inputs, dict(zip(("input_p15", "input_p50", "input_p85"), unit, strict=True)), dead


@pytest.mark.parametrize("norm", NORMS)
@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_a_row_is_what_plain_pytorch_measures(tiny_tables: tuple[Table, Table], norm: str, optimizer: str) -> None:
    architecture = Architecture(2, [4, 3], normalization=NORMS[norm])
    momentum = 0.9 if optimizer == "sgd" else 0.0
    schedule = Schedule([0.001, 0.05, 0.2], [0, 1, 5], epochs=4, batch_size=16, optimizer=optimizer, momentum=momentum)
    table = measured(*tiny_tables, architecture, schedule, lr=0.05)
    replicas = build_replicas(architecture, schedule).double()
    for seed in schedule.seeds:
        network = unstack(replicas, schedule.replica(0.05, seed))
        rows = pd.DataFrame(measured_alone(tiny_tables[0], network, schedule, 0.05, seed))
        ours = table[table["seed"] == seed].drop(columns=["seed", "epoch"]).reset_index(drop=True)
        # Under batch norm a bias has no effect but in running means: adam magnifies the rounding of its gradient.
        rtol = 1e-6 if (norm, optimizer) == ("before", "adam") else 1e-8
        pd.testing.assert_frame_equal(ours, rows, rtol=rtol, atol=1e-10, check_like=True)
    assert table["covariate_shift"].max() > 1e-3  # there was something to measure


OTHERS = {
    "depth and tanh": Architecture(2, [5, 1, 3], "tanh", normalization=NORMS["after"]),
    "three classes": Architecture(2, [4, 3], "gelu", classes=3),
    "three classes, cumulative average, inputs": Architecture(
        2, [4, 3], classes=3, normalization=normalization(momentum=None, inputs=True)
    ),
    "no scale and no shift": Architecture(2, [4, 3], normalization=normalization(affine=False, inputs=True)),
    "layer norm": Architecture(2, [4, 3], "leaky_relu", normalization=normalization("layer", inputs=True, eps=0.01)),
    "group norm before the activation": Architecture(
        2,
        [6, 6],
        classes=3,
        normalization=normalization("group", placement="before_activation", groups=2, affine=False),
    ),
    "dropout, narrow": Architecture(2, [4, 3], normalization=normalization("dropout")),
    "dropout, wide": Architecture(2, [20, 9, 8], "tanh", classes=3, normalization=normalization("dropout", rate=0.2)),
}


@pytest.mark.parametrize("name", OTHERS)
def test_other_networks_hold_too(
    tiny_tables: tuple[Table, Table], three_classes: tuple[Table, Table], name: str
) -> None:
    architecture = OTHERS[name]
    tables = tiny_tables if architecture.classes == 2 else three_classes
    schedule = Schedule([0.1], [3, 4], epochs=2, batch_size=16)
    table = measured(*tables, architecture, schedule, lr=0.1)
    network = unstack(build_replicas(architecture, schedule).double(), 1)
    rows = pd.DataFrame(measured_alone(tables[0], network, schedule, 0.1, 4))
    np.testing.assert_allclose(table.loc[table["seed"] == 4, rows.columns], rows, rtol=1e-8)


@pytest.mark.parametrize("norm", ["after", "dropout"])
def test_many_parameters_are_measured_in_parts(
    tiny_tables: tuple[Table, Table], monkeypatch: pytest.MonkeyPatch, norm: str
) -> None:
    architecture = Architecture(2, [4, 3], normalization=NORMS[norm])
    arguments = *tiny_tables, architecture, Schedule([0.1], range(5), 2, 16)
    whole = measured(*arguments, lr=0.1)
    monkeypatch.setattr("stages.training.diagnostics.VALUES_AT_ONCE", 4 * 16 * 2)  # those of two networks
    pd.testing.assert_frame_equal(measured(*arguments, lr=0.1), whole)


@pytest.mark.parametrize("norm", NORMS)
def test_training_is_the_same_to_the_bit(tiny_tables: tuple[Table, Table], norm: str) -> None:
    train, val = (Table(table.x.float(), table.y) for table in tiny_tables)
    architecture = Architecture(2, normalization=NORMS[norm])
    schedule = Schedule([0.01, 0.1], range(5), epochs=3, batch_size=16)
    diagnostics = Diagnostics(train, schedule.seeds, 0.1, schedule.replicas(0.1))
    plain, history = train_arm(train, val, architecture, schedule)
    watched, watched_history = train_arm(train, val, architecture, schedule, diagnostics=diagnostics)
    assert watched_history.to_numpy().tobytes() == history.to_numpy().tobytes()
    assert list(watched.state_dict()) == list(plain.state_dict())
    for name, value in plain.state_dict().items():  # running statistics too
        assert watched.state_dict()[name].numpy().tobytes() == value.numpy().tobytes(), name


def test_random_generators_are_untouched(tiny_tables: tuple[Table, Table]) -> None:
    train, _ = tiny_tables
    schedule = Schedule([0.1], [0, 1], epochs=1, batch_size=16)
    network = build_replicas(Architecture(2, normalization=normalization()), schedule).double()
    x, y = train.x.T.expand(2, -1, -1), train.y.expand(2, -1)
    cross_entropy(network(x), y).sum().backward()
    torch_state, numpy_state = torch.get_rng_state(), np.random.get_state()[1].copy()
    diagnostics = Diagnostics(train, schedule.seeds, 0.1, schedule.replicas(0.1))
    diagnostics.before_step(network, x, y)
    diagnostics.after_step(network)
    diagnostics.after_epoch(network)
    assert torch.equal(torch.get_rng_state(), torch_state)
    np.testing.assert_array_equal(np.random.get_state()[1], numpy_state)


def test_table_has_one_row_per_seed_and_epoch(tiny_tables: tuple[Table, Table]) -> None:
    schedule = Schedule([0.01, 0.1], [2, 0], epochs=2, batch_size=16)
    table = measured(*tiny_tables, Architecture(2), schedule, lr=0.01)
    layers = ["layer_gradient_1", "layer_gradient_2", "layer_gradient_3"]
    assert list(table.columns) == ["seed", "epoch", *DIAGNOSTICS, *layers]
    assert (table[[*DIAGNOSTICS, *layers]].dtypes == np.float64).all()
    expected = [(seed, epoch) for seed in (2, 0) for epoch in range(3)]
    assert list(table[["seed", "epoch"]].itertuples(index=False, name=None)) == expected
    before = table[table["epoch"] == 0]
    assert before[[*OF_A_STEP, *layers, "input_shift"]].isna().all(axis=None)
    assert before[["input_p15", "input_p50", "input_p85", "dead_layer"]].notna().all(axis=None)


@pytest.fixture
def trio(tiny_tables: tuple[Table, Table]) -> tuple[nn.Sequential, Tensor, Tensor, Tensor, Tensor]:
    """Three seeds without batch norm, in float64: network, parameters (S, P), gradient, and the batch."""
    train, _ = tiny_tables
    network = build_replicas(Architecture(2, [4, 3]), Schedule([0.1], [0, 1, 2], 1, 16)).double()
    x, y = train.x.T.expand(3, -1, -1), train.y.expand(3, -1)
    (cross_entropy(network(x), y).sum() / len(train.y)).backward()
    rows, gradient = (
        torch.cat([tensor.flatten(1) for tensor in tensors], dim=1)
        for tensors in (
            [parameter.detach() for parameter in network.parameters()],
            [parameter.grad for parameter in network.parameters()],
        )
    )
    return network, rows, gradient, x, y


def test_no_covariate_shift_where_earlier_layers_stand_still(
    trio: tuple[nn.Sequential, Tensor, Tensor, Tensor, Tensor],
) -> None:
    network, before, gradient, x, y = trio
    last, first = before.clone(), before.clone()
    last[:, -4:] += 1  # the layer 3 -> 1
    first[:, :12] += 1  # the layer 2 -> 4
    still = measure_step(build_variants(network), Step(before, last, gradient, x, y), lr=0.1)
    np.testing.assert_allclose(still["covariate_shift"], 0, atol=1e-14)
    np.testing.assert_allclose(still["gradient_cosine"], 1, atol=1e-14)
    moved = measure_step(build_variants(network), Step(before, first, gradient, x, y), lr=0.1)
    assert (moved["covariate_shift"] > 0.01).all()


def test_a_diverged_replica_is_not_a_number_and_alone(
    trio: tuple[nn.Sequential, Tensor, Tensor, Tensor, Tensor],
) -> None:
    network, before, gradient, x, y = trio
    after = before - 0.1 * gradient
    healthy = measure_step(build_variants(network), Step(before, after, gradient, x, y), lr=0.1)
    before, after = before.clone(), after.clone()
    before[1], after[1] = torch.nan, torch.nan
    diverged = measure_step(build_variants(network), Step(before, after, gradient, x, y), lr=0.1)
    for name in OF_A_STEP:
        assert np.isnan(diverged[name][1]), name
        np.testing.assert_array_equal(diverged[name][[0, 2]], healthy[name][[0, 2]])


def test_covariate_shift_by_hand() -> None:
    gradients = torch.tensor([[[3.0, 4.0]] * 3, [[0.0, 0.0], [1.0, 0.0], [torch.nan, 0.0]]])  # (2 layers, 3 seeds, P)
    moved = torch.tensor([[[4.0, 3.0]] * 3, [[1.0, 0.0], [0.0, 0.0], [1.0, 0.0]]])
    measures = covariate_shift(gradients, moved)
    one_layer = np.sqrt(2) / 5
    expected = [one_layer, (one_layer + 1) / 2, np.nan]  # without a gradient a layer is left out; NaN is kept
    np.testing.assert_allclose(measures["covariate_shift"], expected)
    np.testing.assert_allclose(measures["gradient_cosine"], [24 / 25, 24 / 25, np.nan])
    assert covariate_shift(0 * moved, moved)["covariate_shift"].isnan().all()


def test_landscape_by_hand() -> None:
    losses = torch.tensor([[1.0, 2.0], [4.0, 2.0]])  # (2 steps, 2 seeds)
    changes = torch.tensor([[[3.0, 4.0], [0.0, 0.0]], [[6.0, 8.0], [0.0, 0.0]]])
    distances = torch.tensor([[[1.0, 0.0], [0.0, 0.0]], [[0.0, 4.0], [0.0, 0.0]]])
    measures = landscape(losses, changes, distances)
    assert measures["loss_range"].tolist() == [3, 0]
    assert measures["gradient_change"].tolist() == [10, 0]
    np.testing.assert_array_equal(measures["beta_smoothness"], [5, np.nan])  # no gradient: nowhere to go


def test_percentiles_of_the_first_unit_by_hand() -> None:
    network = build_replicas(Architecture(1, [2, 3], "tanh"), Schedule([0.1], [0, 1], 0, 16)).double()
    state = network.state_dict()
    for name in state:
        state[name].zero_()
    state["linear2.bias"][:, 0] = torch.tensor([5.0, torch.nan], dtype=torch.float64)  # others: 0
    state["linear1.weight"][0, 0], state["linear2.weight"][0, 0, 0] = 1.0, 100.0
    x = torch.linspace(-1, 1, 101, dtype=torch.float64).unsqueeze(1)
    diagnostics = Diagnostics(Table(x, torch.zeros(101, dtype=torch.long)), [0, 1], 0.1, slice(0, 2))
    diagnostics.after_epoch(network)
    first, second = diagnostics.table()[["input_p15", "input_p50", "input_p85"]].to_numpy()
    np.testing.assert_allclose(first, 5 + 100 * np.tanh([-0.7, 0, 0.7]))
    assert np.isnan(second).all()  # diverged


def test_input_shift_by_hand() -> None:
    before = torch.tensor([[[0.0, 2.0], [0.0, 4.0]], [[0.0, 2.0], [1.0, 1.0]], [[1.0, 1.0], [1.0, 1.0]]])  # (3, 2, 2)
    after = torch.tensor([[[1.0, 3.0], [0.0, 4.0]], [[1.0, 5.0], [1.0, 9.0]], [[1.0, 1.0], [1.0, 2.0]]])
    np.testing.assert_allclose(input_shift(before, after), [0.5, 2, np.nan])  # constant units are left out


@pytest.mark.parametrize("norm", NORMS)
def test_very_negative_biases_make_a_dead_layer(tiny_tables: tuple[Table, Table], norm: str) -> None:
    train, _ = tiny_tables
    network = build_replicas(Architecture(2, [4, 4], normalization=NORMS[norm]), Schedule([0.1], [0, 1, 2, 3], 0, 16))
    network = network.double().eval()
    for layer, replica in ((1, 1), (2, 3)):
        name = f"bn{layer}" if norm == "before" else f"linear{layer}"
        with torch.no_grad():
            network.get_parameter(f"{name}.bias")[replica] = -100
    before = copy.deepcopy(network.state_dict())
    assert dead_layers(select(network, slice(None)), train.for_replicas(range(4))[0]).tolist() == [0, 1, 0, 1]
    assert dead_layers(select(network, slice(2, 4)), train.for_replicas(range(2))[0]).tolist() == [0, 1]
    torch.testing.assert_close(dict(network.state_dict()), dict(before), rtol=0, atol=0)


def test_a_dead_layer_stays_dead_while_it_trains(
    tiny_tables: tuple[Table, Table], monkeypatch: pytest.MonkeyPatch
) -> None:
    schedule = Schedule([0.1], [0, 1], epochs=2, batch_size=16)
    network = build_replicas(Architecture(2), schedule)
    with torch.no_grad():
        network.linear2.bias[:] = -100
    monkeypatch.setattr("stages.training.loop.build_replicas", lambda *arguments: network)
    table = measured(*tiny_tables, Architecture(2), schedule, lr=0.1)
    assert (table["dead_layer"] == 1).all()
    steps = table[table["epoch"] > 0]
    assert steps[["layer_gradient_1", "layer_gradient_2", "layer_gradient_3"]].isna().all(axis=None)
    assert (steps["covariate_shift"] == 0).all()  # of layer 3, whose inputs are constant; layer 2 has no gradient
    np.testing.assert_allclose(steps["input_shift"], 0)  # layer 1 gets no gradient either


def test_a_layer_without_a_gradient_has_no_ratio(tiny_tables: tuple[Table, Table]) -> None:
    train, _ = tiny_tables
    network = build_replicas(Architecture(2, [4, 4, 4]), Schedule([0.1], [0], 0, 16)).double()
    with torch.no_grad():
        network.linear1.bias[:] = -100  # what follows gets constants, of which layer 3 still learns
        network.linear2.bias[:] = 1
    flatten_parameters(network)
    write_gradient(network, train.x.T[None], train.y[None])
    logs = [column.item() for column in layer_gradients(network, slice(None)).values()]
    assert np.isnan(logs[:2]).all()
    assert logs[2] == 0
    assert np.isfinite(logs[3])


def test_one_row_keeps_a_layer_alive() -> None:
    network = build_replicas(Architecture(1, [2]), Schedule([0.1], [0, 1], 0, 16)).double().eval()
    with torch.no_grad():
        network.linear1.weight[:], network.linear1.bias[:] = 1, -10
    x = torch.zeros(2, 1, 9, dtype=torch.float64)
    assert dead_layers(select(network, slice(None)), x).tolist() == [1, 1]
    x[..., 7] = 11
    assert dead_layers(select(network, slice(None)), x).tolist() == [0, 0]
    with torch.no_grad():
        network.linear1.bias[0] = -12
        network.linear1.weight[1, 0, 0] = torch.nan
    assert dead_layers(select(network, slice(None)), x).tolist() == [1, 0]  # diverged is not dead


@pytest.mark.parametrize("activation", ["tanh", "sigmoid", "leaky_relu", "gelu"])
def test_other_activations_do_not_die(tiny_tables: tuple[Table, Table], activation: str) -> None:
    network = build_replicas(Architecture(2, [3], activation), Schedule([0.1], [0, 1], 0, 16)).double().eval()
    with torch.no_grad():
        network.linear1.bias[:] = -100
    assert dead_layers(select(network, slice(None)), tiny_tables[0].for_replicas(range(2))[0]).tolist() == [0, 0]


def test_batch_norm_before_the_activation_leaves_no_network_born_dead(tiny_tables: tuple[Table, Table]) -> None:
    train, _ = tiny_tables
    schedule = Schedule([0.1], range(200), 0, 16)
    x, _ = train.for_replicas(range(200))
    born_dead = {
        norm: dead_layers(build_replicas(Architecture(2, normalization=NORMS[norm]), schedule).double(), x)
        for norm in ("baseline", "after", "before")
    }
    assert born_dead["baseline"].mean() > 0.02
    assert born_dead["after"].mean() < born_dead["baseline"].mean()
    assert born_dead["before"].mean() == 0
