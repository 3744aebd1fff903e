"""How good the networks are: loss and accuracy on all training and validation rows, of every replica.

Under batch normalization there are two answers. One is with the running averages, as networks are used and as `eval()`
has it. The other is with exact statistics, those of all training rows under the weights of the moment: running averages
lag behind the weights and jitter with the batches, so a curve can fluctuate while the network hardly moves.
"""

import numpy as np
import torch
from torch import Tensor, nn

from stages import EXACT_MEASURES
from stages.training.loss import cross_entropy, is_right
from stages.training.normalizers import StackedBatchNorm, StackedFrozenNorm
from stages.training.replicas import count_replicas, select, widest_layer
from stages.training.tables import Table, join

VALUES_IN_CACHE = 2**19  # of one layer's outputs, for the rows that are evaluated at once (measured)
LEAST_ROWS = 32  # at once, however many values they have
VALUES_AT_ONCE = 2**20  # likewise where all rows are needed at once, for some of the replicas

Measures = dict[str, np.ndarray]  # of each of `MEASURES`, or of `EXACT_MEASURES` too, a value for every replica


def evaluate(network: nn.Sequential, train: Table, val: Table) -> Measures:
    """Return each of `MEASURES` as (R,), in eval mode; with batch norm, each of `EXACT_MEASURES` too.

    A logit that is not a number counts as wrong.
    """
    measures = evaluate_as_used(network, train, val)
    if has_running_averages(network):
        measures |= evaluate_exactly(network, train, val)
    return measures


def evaluate_as_used(network: nn.Sequential, train: Table, val: Table) -> Measures:
    """Return each of `MEASURES` as (R,), in eval mode."""
    network.eval()
    measures = {}
    for name, table in {"train": train, "val": val}.items():
        loss, accuracy = _loss_and_accuracy(network, table)
        measures[f"{name}_loss"] = loss.cpu().numpy()
        measures[f"{name}_accuracy"] = accuracy.cpu().numpy()
    return measures


def has_running_averages(network: nn.Sequential) -> bool:
    """Return whether `network` has batch norm whose statistics are not frozen."""
    return any(type(layer) is StackedBatchNorm for layer in network)


@torch.inference_mode()
def freeze_statistics(network: nn.Sequential, train: Table) -> None:
    """Give every `StackedFrozenNorm` the statistics of all training rows, layer by layer, as the weights are now."""
    if not any(isinstance(layer, StackedFrozenNorm) for layer in network):
        return
    values, _ = train.for_replicas(range(count_replicas(network)))  # (R, F, N)
    for layer in network:
        if isinstance(layer, StackedFrozenNorm):
            layer.freeze(values)
        values = layer(values)


@torch.inference_mode()
def _loss_and_accuracy(network: nn.Sequential, table: Table) -> tuple[Tensor, Tensor]:
    """Return the mean over all rows of loss and of right answers, (R,) each, in float64."""
    replicas = count_replicas(network)
    loss, right = torch.zeros(2, replicas, dtype=torch.float64, device=table.x.device)
    at_once = max(LEAST_ROWS, VALUES_IN_CACHE // (replicas * widest_layer(network)))
    for first in range(0, table.rows, at_once):
        x, y = table.for_replicas(range(replicas), slice(first, first + at_once))
        logits = network(x)  # (R, K, B)
        loss += cross_entropy(logits, y).sum(dim=-1)
        right += is_right(logits, y).sum(dim=-1)
    return loss / table.rows, right / table.rows


@torch.inference_mode()
def evaluate_exactly(network: nn.Sequential, train: Table, val: Table) -> Measures:
    """Return each of `EXACT_MEASURES` as (R,)."""
    rows = join(train, val)
    replicas = range(count_replicas(network))
    at_once = _replicas_at_once(network, rows.rows)
    parts = []
    for first in replicas[::at_once]:
        chosen = slice(first, first + at_once)
        part = network if at_once >= len(replicas) else select(network, chosen)
        parts.append(_exact_means(part, *rows.for_replicas(replicas[chosen]), train.rows))
    means = torch.cat(parts, dim=-1).cpu().numpy()  # (4, R)
    return dict(zip(EXACT_MEASURES, means, strict=True))


def _exact_means(network: nn.Sequential, x: Tensor, y: Tensor, training: int) -> Tensor:
    """Return `EXACT_MEASURES` (4, R) in float64 for x (R, F, N), y (R or 1, N): first `training` training rows."""
    logits = exact_logits(network, x, training)  # (R, K, N)
    loss = cross_entropy(logits, y)  # (R, N)
    right = is_right(logits, y)
    means = []
    for chosen in (slice(training), slice(training, None)):
        for values in (loss[:, chosen], right[:, chosen]):
            means.append(values.sum(dim=-1).double() / values.shape[-1])
    return torch.stack(means)


def exact_logits(network: nn.Sequential, x: Tensor, rows: int) -> Tensor:
    """(R, F, N) -> (R, K, N), every batch norm with mean and biased variance of the first `rows` of N.

    Layer by layer: what reaches a layer has passed those before it, which had their own.
    """
    for layer in network:
        x = layer.forward_exact(x, rows) if isinstance(layer, StackedBatchNorm) else layer(x)
    return x


def _replicas_at_once(network: nn.Sequential, rows: int) -> int:
    return max(1, VALUES_AT_ONCE // (rows * widest_layer(network)))
