"""The oracle: `torch.optim`, one optimizer for each learning rate."""

import pytest
import torch
from torch import Tensor

from stages.training.optimizers import LONG, Optimizer

ORACLES = {
    "adam": torch.optim.Adam,
    "adamw": torch.optim.AdamW,
    "sgd": torch.optim.SGD,
    "rmsprop": torch.optim.RMSprop,
}
RATES = [0.001, 0.1]
STRETCHES = {"long": LONG, "short": 64}  # values in a row at one rate


def interleaved(stretch: int) -> Tensor:
    """Return the rate of each of some values: at both rates twice, in turn, and of unequal lengths."""
    lengths = torch.tensor([stretch, stretch + 1, stretch, stretch + 7])
    return torch.tensor(RATES * 2, dtype=torch.float64).repeat_interleave(lengths)


@pytest.mark.parametrize("weight_decay", [0.0, 0.1])
@pytest.mark.parametrize("kind", ORACLES)
@pytest.mark.parametrize("stretch", STRETCHES)
def test_each_value_moves_as_by_torch_at_its_own_rate(stretch: str, kind: str, weight_decay: float) -> None:
    generator = torch.Generator().manual_seed(0)
    rates = interleaved(STRETCHES[stretch])
    flat = torch.randn(len(rates), generator=generator, dtype=torch.float64)
    flat.grad = torch.zeros_like(flat)
    optimizer = Optimizer(flat, rates, kind, weight_decay=weight_decay)
    expected = [torch.nn.Parameter(flat.clone()) for _ in RATES]
    oracles = []
    for parameter, rate in zip(expected, RATES, strict=True):
        oracles.append(ORACLES[kind]([parameter], lr=rate, weight_decay=weight_decay))
    for _ in range(5):
        flat.grad.copy_(torch.randn(len(rates), generator=generator, dtype=torch.float64))
        optimizer.step()
        for parameter, oracle in zip(expected, oracles, strict=True):
            parameter.grad = flat.grad.clone()
            oracle.step()
    for parameter, rate in zip(expected, RATES, strict=True):
        torch.testing.assert_close(flat[rates == rate], parameter[rates == rate].detach(), rtol=1e-12, atol=1e-14)


def test_long_stretches_are_moved_rate_by_rate() -> None:
    cut = {}
    for stretch, length in STRETCHES.items():
        flat = torch.zeros(len(interleaved(length)))
        flat.grad = torch.zeros_like(flat)
        cut[stretch] = Optimizer(flat, interleaved(length).float(), "adam")
    assert len(cut["long"].by_rate) == len(RATES)
    assert cut["long"].chunks == []
    assert cut["short"].by_rate == {}
