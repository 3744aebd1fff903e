"""The textbook network, one replica: an ordinary `nn.Sequential`."""

from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from itertools import pairwise
from pathlib import Path

import torch
from torch import nn

ACTIVATIONS = {"relu": nn.ReLU, "tanh": nn.Tanh, "sigmoid": nn.Sigmoid}


@dataclass(frozen=True)
class BatchNorm:
    """Where batch normalization stands, and its constants, in PyTorch's convention for momentum."""

    placement: str = "after_activation"
    momentum: float = 0.1
    eps: float = 1e-5


@dataclass(frozen=True)
class Architecture:
    """What it takes to build a network. `batch_norm` None: without."""

    features: int
    hidden: Sequence[int] = (2, 2)
    activation: str = "relu"
    init: str = "pytorch"
    batch_norm: BatchNorm | None = None
    classes: int = 2


def build_network(architecture: Architecture, generator: torch.Generator) -> nn.Sequential:
    """Return a network from (B, F) features to logits: dense layers, each but the last activated.

    The logits are (B, 1), of class 1, for two classes, and (B, K) for K > 2.

    Only dense layers draw from `generator`, in order, so that a network without batch normalization and one with it
    start from the same weights. Biases stay under batch normalization, where they are redundant, for the same reason.
    """
    layers: OrderedDict[str, nn.Module] = OrderedDict()
    widths = [architecture.features, *architecture.hidden]
    for number, (inputs, outputs) in enumerate(pairwise(widths), start=1):
        layers[f"linear{number}"] = _linear(inputs, outputs, architecture.init, generator)
        layers[f"{architecture.activation}{number}"] = ACTIVATIONS[architecture.activation]()
        if norm := architecture.batch_norm:
            layers[f"bn{number}"] = nn.BatchNorm1d(outputs, eps=norm.eps, momentum=norm.momentum)
            if norm.placement == "before_activation":
                layers.move_to_end(f"{architecture.activation}{number}")
    outputs = 1 if architecture.classes == 2 else architecture.classes
    layers[f"linear{len(widths)}"] = _linear(widths[-1], outputs, architecture.init, generator)
    return nn.Sequential(layers)


def save_network(network: nn.Sequential, architecture: Architecture, path: str | Path) -> None:
    """Write what `load_network` needs."""
    torch.save({"architecture": asdict(architecture), "state_dict": network.state_dict()}, path)


def load_network(path: str | Path) -> nn.Sequential:
    """Return the saved network in eval mode, from (B, F) features to probabilities.

    (B, 1) of class 1, by a sigmoid, for two classes; (B, K) of all, by a softmax, for K > 2.
    """
    saved = torch.load(path, weights_only=True)
    settings = saved["architecture"]
    norm = settings["batch_norm"] and BatchNorm(**settings["batch_norm"])
    network = build_network(Architecture(**settings | {"batch_norm": norm}), torch.Generator())
    network.load_state_dict(saved["state_dict"])
    network.add_module("probability", nn.Sigmoid() if settings["classes"] == 2 else nn.Softmax(dim=1))
    return network.eval()


def _linear(inputs: int, outputs: int, init: str, generator: torch.Generator) -> nn.Linear:
    """Return a dense layer with weights, then bias, drawn as `init` says.

    pytorch: both U(+-1 / sqrt(inputs)), the default of nn.Linear. keras: Glorot uniform, zero bias (Glorot & Bengio
    2010, eq. 16). he: U(+-sqrt(6 / inputs)), zero bias (He et al. 2015, sec. 2.2).
    """
    layer = nn.Linear(inputs, outputs)  # what it draws by itself, from PyTorch's global generator, is overwritten
    if init == "pytorch":
        bound = inputs**-0.5
        nn.init.uniform_(layer.weight, -bound, bound, generator=generator)
        nn.init.uniform_(layer.bias, -bound, bound, generator=generator)
        return layer
    nn.init.zeros_(layer.bias)
    if init == "keras":
        nn.init.xavier_uniform_(layer.weight, generator=generator)
    else:
        nn.init.kaiming_uniform_(layer.weight, nonlinearity="relu", generator=generator)
    return layer
