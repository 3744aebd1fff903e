"""The textbook network, one replica: an ordinary `nn.Sequential`."""

from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from itertools import pairwise
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn import functional as F

ACTIVATIONS = {
    "relu": nn.ReLU,
    "leaky_relu": nn.LeakyReLU,
    "tanh": nn.Tanh,
    "sigmoid": nn.Sigmoid,
    "gelu": nn.GELU,
}
# the layers' names, as in bn1
SHORT = {"batch": "bn", "frozen": "frozen", "layer": "ln", "group": "gn", "dropout": "dropout"}


class FrozenNorm(nn.BatchNorm1d):
    """Batch norm that never looks at a batch: it normalizes by the mean and the variance that it was given."""

    def forward(self, x: Tensor) -> Tensor:
        """(B, F) -> (B, F)."""
        statistics = self.running_mean, self.running_var
        return F.batch_norm(x, *statistics, self.weight, self.bias, training=False, eps=self.eps)


@dataclass(frozen=True)
class Normalization:
    """What normalizes each hidden layer, and its constants, as PyTorch defines them.

    `kind`: batch; frozen, which is batch with the statistics of all training rows at the start, for ever; layer; group;
    dropout, which normalizes nothing, in the place of what does. `inputs`: the inputs too. `momentum` is batch norm's,
    None the cumulative average; `groups` is group norm's; `rate` is dropout's, the share of values that it drops.
    """

    kind: str
    placement: str
    momentum: float | None
    eps: float
    affine: bool
    inputs: bool
    groups: int
    rate: float


@dataclass(frozen=True)
class Architecture:
    """What it takes to build a network. `init_std` is for init normal alone; `normalization` None: without."""

    features: int
    hidden: Sequence[int] = (2, 2)
    activation: str = "relu"
    init: str = "pytorch"
    init_std: float | None = None
    classes: int = 2
    normalization: Normalization | None = None

    @property
    def normalizes_pairs(self) -> bool:
        """Whether layer or group norm has groups of two features, which it brings near -1 and 1."""
        norm = self.normalization
        if norm is None or norm.kind not in ("layer", "group"):
            return False
        widths = [self.features, *self.hidden] if norm.inputs else self.hidden
        return 2 * norm.groups in widths


def build_network(architecture: Architecture, generator: torch.Generator) -> nn.Sequential:
    """Return a network from (B, F) features to logits: dense layers, each but the last activated.

    The logits are (B, 1), of class 1, for two classes, and (B, K) for K > 2.

    Only dense layers draw from `generator`, in order, so that networks of the same widths start from the same weights,
    whatever normalizes them. Biases stay under batch normalization, where they are redundant, for the same reason.
    """
    layers: OrderedDict[str, nn.Module] = OrderedDict()
    norm = architecture.normalization
    widths = [architecture.features, *architecture.hidden]
    if norm and norm.inputs:
        layers |= _normalizer(norm, 0, architecture.features)
    for number, (inputs, outputs) in enumerate(pairwise(widths), start=1):
        layers[f"linear{number}"] = _linear(inputs, outputs, architecture, generator)
        activation = {f"{architecture.activation}{number}": ACTIVATIONS[architecture.activation]()}
        normalizer = _normalizer(norm, number, outputs)
        if norm and norm.placement == "before_activation":
            layers |= normalizer | activation
        else:
            layers |= activation | normalizer
    logits = 1 if architecture.classes == 2 else architecture.classes
    layers[f"linear{len(widths)}"] = _linear(widths[-1], logits, architecture, generator)
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
    norm = settings["normalization"] and Normalization(**settings["normalization"])
    network = build_network(Architecture(**settings | {"normalization": norm}), torch.Generator())
    network.load_state_dict(saved["state_dict"])
    network.add_module("probability", nn.Sigmoid() if settings["classes"] == 2 else nn.Softmax(dim=1))
    return network.eval()


def _normalizer(norm: Normalization | None, number: int, features: int) -> dict[str, nn.Module]:
    """Return the layer that `norm` says, for (B, features), under its name, such as bn1; nothing where it is None."""
    if norm is None:
        return {}
    name = f"{SHORT[norm.kind]}{number}"
    if norm.kind == "batch":
        return {name: nn.BatchNorm1d(features, eps=norm.eps, momentum=norm.momentum, affine=norm.affine)}
    if norm.kind == "frozen":
        return {name: FrozenNorm(features, eps=norm.eps, affine=norm.affine)}
    if norm.kind == "dropout":
        return {name: nn.Dropout(norm.rate)}
    if norm.kind == "layer":
        return {name: nn.LayerNorm(features, eps=norm.eps, elementwise_affine=norm.affine)}
    return {name: nn.GroupNorm(norm.groups, features, eps=norm.eps, affine=norm.affine)}


def _linear(inputs: int, outputs: int, architecture: Architecture, generator: torch.Generator) -> nn.Linear:
    """Return a dense layer with weights, then bias, drawn as `init` says.

    pytorch: both U(+-1 / sqrt(inputs)), the default of nn.Linear. The others have zero bias. keras: Glorot uniform
    (Glorot & Bengio 2010, eq. 16). he: U(+-sqrt(6 / inputs)) (He et al. 2015, sec. 2.2). normal: N(0, init_std ** 2).
    """
    layer = nn.Linear(inputs, outputs)  # what it draws by itself, from PyTorch's global generator, is overwritten
    if architecture.init == "pytorch":
        bound = inputs**-0.5
        nn.init.uniform_(layer.weight, -bound, bound, generator=generator)
        nn.init.uniform_(layer.bias, -bound, bound, generator=generator)
        return layer
    nn.init.zeros_(layer.bias)
    if architecture.init == "keras":
        nn.init.xavier_uniform_(layer.weight, generator=generator)
    elif architecture.init == "he":
        nn.init.kaiming_uniform_(layer.weight, nonlinearity="relu", generator=generator)
    else:
        assert architecture.init_std is not None
        nn.init.normal_(layer.weight, std=architecture.init_std, generator=generator)
    return layer
