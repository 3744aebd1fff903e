"""What networks are trained on and measured by, for two classes and for more.

Networks put out one logit, of class 1, where there are two classes, and K logits where there are K > 2.
"""

import torch
from torch import Tensor
from torch.nn import functional as F


def cross_entropy(logits: Tensor, y: Tensor) -> Tensor:
    """Return the loss of every example in nats: logits (R, 1, B) or (R, K, B), classes y (R or 1, B) -> (R, B).

    One logit: binary cross-entropy of its sigmoid; several: cross-entropy of their softmax.
    """
    if logits.shape[1] == 1:
        excess = _excess(logits, y)
        return F.softplus(excess, threshold=40)  # from 40 on it is its argument, to float64's last bit
    return F.cross_entropy(logits, y.expand(len(logits), -1), reduction="none")


def cross_entropy_gradient(logits: Tensor, y: Tensor) -> Tensor:
    """Return the gradient, in the logits (R, K, B), of the mean of `cross_entropy` over B, for classes y (R, B).

    It is (probability - target) / B, where the target is 1 for the right class and 0 for the others.
    """
    examples = y.shape[-1]
    if logits.shape[1] == 1:
        probability = torch.sigmoid(logits)  # (R, 1, B)
        return probability.sub_(y.unsqueeze(1)).div_(examples)
    probability = torch.softmax(logits, dim=1)  # (R, K, B)
    right_class = y.unsqueeze(1)  # (R, 1, B)
    minus_one = logits.new_full((), -1.0).expand_as(right_class)
    return probability.scatter_add_(1, right_class, minus_one).div_(examples)


def is_right(logits: Tensor, y: Tensor) -> Tensor:
    """Return 1. where the class with the largest logit is the right one, else 0.: as in `cross_entropy`, (R, B).

    Of equal logits the first counts as the largest; where a logit is not a number, no class is right.
    """
    if logits.shape[1] == 1:
        just_above = torch.nextafter(logits.new_zeros(()), logits.new_ones(()))
        threshold = torch.where(y == 1, 0, just_above)  # a logit of 0 says class 0
        return _excess(logits, y).lt_(threshold)
    # Not by argmax: along this dimension it takes a hundred times as long as the maximum.
    largest = logits.amax(dim=1, keepdim=True)  # (R, 1, B)
    of_right_class = logits.gather(1, y.expand(len(logits), -1).unsqueeze(1))  # (R, 1, B)
    earlier = torch.arange(logits.shape[1], device=y.device).unsqueeze(1) < y.unsqueeze(1)  # (R or 1, K, B)
    tied = ((logits == largest) & earlier).any(dim=1)  # (R, B)
    right = (of_right_class == largest).squeeze(1) & ~tied
    return right.to(logits.dtype)


def _excess(logits: Tensor, y: Tensor) -> Tensor:
    """Return how far a single logit (R, 1, B) is on the side of the wrong class, (R, B)."""
    sign = 1 - 2 * y  # 1 for class 0, -1 for class 1
    return logits.squeeze(1) * sign
