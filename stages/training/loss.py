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
        return F.softplus(-_margin(logits, y), threshold=40)  # from 40 on it is its argument, to float64's last bit
    return F.cross_entropy(logits, y.expand(len(logits), -1), reduction="none")


def is_right(logits: Tensor, y: Tensor) -> Tensor:
    """Return 1. where the class with the largest logit is the right one, else 0.: as in `cross_entropy`, (R, B).

    Of equal ones it is the first; where a logit is not a number, none is right.
    """
    if logits.shape[1] == 1:
        just_below = torch.nextafter(logits.new_zeros(()), logits.new_tensor(-1.0))
        return _margin(logits, y).gt_(torch.where(y == 1, 0, just_below))  # a logit of 0 says class 0
    largest = logits.amax(dim=1, keepdim=True)  # argmax would take a hundred times as long
    right = logits.gather(1, y.expand(len(logits), -1).unsqueeze(1)) == largest
    earlier = torch.arange(logits.shape[1], device=y.device).unsqueeze(1) < y.unsqueeze(1)  # (R or 1, K, B)
    tied = ((logits == largest) & earlier).any(dim=1)
    return (right.squeeze(1) & ~tied).to(logits.dtype)


def _margin(logits: Tensor, y: Tensor) -> Tensor:
    """Return how far a single logit (R, 1, B) is on the side of the right class, (R, B)."""
    return logits.squeeze(1) * (2 * y - 1)
