"""From params.yaml to what is trained: the architecture and the schedule of an arm."""

from collections.abc import Iterator

from stages.history.wording import Contrast, describe_contrast
from stages.params import NormalizationParams, Params, check_network, check_widths
from stages.training.loop import Schedule, dropped_examples
from stages.training.network import Architecture, Normalization
from stages.training.streams import ORDER, OTHER_ORDER


def build_architecture(arm: str, params: Params, *, features: int, classes: int) -> Architecture:
    """Return what the networks of `arm` are built by."""
    hidden = params.model.hidden
    normalization = None
    if arm == "bn":
        bn = params.bn
        if bn.inputs:
            check_widths(bn.kind, bn.groups, [features], f"bn.inputs = True on data of {features} features")
        hidden = bn.hidden or hidden
        normalization = build_normalization(bn)
    check_network(hidden, features, rates=len(params.rates))
    return Architecture(
        features=features,
        hidden=hidden,
        activation=params.model.activation,
        init=params.model.init,
        init_std=params.model.init_std,
        classes=classes,
        normalization=normalization,
    )


def build_normalization(bn: NormalizationParams) -> Normalization | None:
    """Return what `bn` says, as the training takes it; None: no normalization."""
    return None if bn.kind == "none" else Normalization(**bn.model_dump(exclude={"hidden"}))


def build_schedule(arm: str, params: Params) -> Schedule:
    """Return how `arm` trains: every seed at every learning rate."""
    # Where nothing else differs, the order of the batches does: an A/A comparison, in which all effects are chance.
    same_networks = arm == "bn" and params.bn.kind == "none" and params.bn.hidden in (None, params.model.hidden)
    return Schedule(
        learning_rates=params.rates,
        seeds=range(params.seeds),
        epochs=params.epochs,
        batch_size=params.batch_size,
        optimizer=params.optimizer,
        momentum=params.momentum,
        weight_decay=params.weight_decay,
        order_stream=OTHER_ORDER if same_networks else ORDER,
    )


def notes_before(arm: str, params: Params, architecture: Architecture, rows: int) -> Iterator[str]:
    """Yield what one should know before the training of `arm` on so many rows."""
    if dropped_examples(rows, params.batch_size):
        yield "1 example is left out of each epoch: a batch of one cannot be normalized"
    if arm == "bn" and not describe_arms(params).alike:
        yield f"a pair {describe_arms(params).pair}"
    if architecture.normalizes_pairs:
        yield "features normalized two by two come out near -1 and 1: they keep little but which of the two is larger"


def describe_arms(params: Params) -> Contrast:
    """Say what the arms differ in: not for the baseline, which would be trained anew wherever it reads params.bn."""
    return describe_contrast(params.bn.kind, params.model.hidden, params.bn.hidden, params.bn.rate)
