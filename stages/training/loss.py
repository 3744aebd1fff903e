"""What networks are trained on and measured by, for two classes and for more.

Networks put out one logit, of class 1, where there are two classes, and K logits where there are K > 2.
"""

import torch
from torch import Tensor
from torch.nn import functional as F


def cross_entropy(logits: Tensor, y: Tensor) -> Tensor:
    """Return the loss of every example in nats: logits (R, 1, B) or (R, K, B), classes y (R, B) -> (R, B).

    One logit: binary cross-entropy of its sigmoid; several: cross-entropy of their softmax.
    """
    if logits.shape[1] == 1:
        return F.binary_cross_entropy_with_logits(logits.squeeze(1), y.to(logits.dtype), reduction="none")
    return F.cross_entropy(logits, y, reduction="none")


def is_right(logits: Tensor, y: Tensor) -> Tensor:
    """Return whether the class with the largest logit is the right one: as in `cross_entropy`, (R, B).

    Of equal ones it is the first; where a logit is not a number, none is right.
    """
    if logits.shape[1] == 1:
        return torch.where(y == 1, logits.squeeze(1) > 0, logits.squeeze(1) <= 0)
    return (logits.argmax(dim=1) == y) & ~logits.isnan().any(dim=1)
