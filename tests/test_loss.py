"""The oracles: PyTorch's own losses, and argmax."""

import pytest
import torch
from torch.nn import functional as F

from stages.training.loss import cross_entropy, is_right

EXTREME = torch.tensor([0.0, 1e-45, -1e-45, 50.0, -50.0, 1e4, -1e4, torch.nan])


@pytest.mark.parametrize("classes", [3, 10])
def test_of_equal_logits_the_first_says_the_class(classes: int) -> None:
    generator = torch.Generator().manual_seed(0)
    logits = torch.randint(0, 3, (7, classes, 200), generator=generator).float()
    y = torch.randint(0, classes, (7, 200), generator=generator)
    assert torch.equal(is_right(logits, y), (logits.argmax(dim=1) == y).float())
    assert torch.equal(is_right(logits, y[:1]), (logits.argmax(dim=1) == y[:1]).float())
    logits[3, 1] = torch.nan
    assert is_right(logits, y)[3].sum() == 0


@pytest.mark.parametrize("y", [0, 1])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_a_single_logit_holds_at_the_extremes(y: int, dtype: torch.dtype) -> None:
    logits = EXTREME.to(dtype).view(1, 1, -1)
    classes = torch.full((1, logits.shape[-1]), y)
    expected = F.binary_cross_entropy_with_logits(logits[0], classes.to(dtype), reduction="none")
    torch.testing.assert_close(cross_entropy(logits, classes), expected, equal_nan=True)
    right = (logits[0] > 0) if y else (logits[0] <= 0)
    assert torch.equal(is_right(logits, classes), right.to(dtype))


def test_an_infinite_logit_has_no_loss_or_all() -> None:  # PyTorch has NaN for the first
    logits = torch.tensor([torch.inf, -torch.inf]).view(1, 1, -1)
    assert cross_entropy(logits, torch.tensor([[1, 0]])).tolist() == [[0, 0]]
    assert cross_entropy(logits, torch.tensor([[0, 1]])).tolist() == [[torch.inf, torch.inf]]
