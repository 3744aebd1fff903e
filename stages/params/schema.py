"""The sections of params.yaml, their keys, and what each key may hold."""

import json
from collections import Counter
from collections.abc import Sequence
from typing import Annotated, Any, Literal

from pydantic import Field, PositiveInt, model_validator

from stages import InputError, shorten
from stages.params.sections import Section, UsedBy, flatten, used_by

NOISY_SOURCES = {"circles", "moons", "spirals"}
GENERATED_SOURCES = NOISY_SOURCES | {"tutorial_rings"}
REAL_SOURCES = {"breast_cancer", "digits", "wine"}
NORMALIZERS = ("batch", "frozen", "layer", "group")

MOST_RATES = MOST_LAYERS = 1000
HUGE = 10**9  # more than any table has rows, or any layer features

LearningRate = Annotated[float, Field(ge=1e-10, le=1e10)]  # beyond, a step in float32 is nothing or infinite


class DataParams(Section):
    """The rows, and how they are split."""

    source: str = Field(
        pattern=rf"^({'|'.join(sorted(GENERATED_SOURCES | REAL_SOURCES))}|[^:\p{{Cc}}]+\.csv)$",
        description=f"one of {', '.join(sorted(GENERATED_SOURCES | REAL_SOURCES))}, or a path that ends in .csv",
    )
    target: str | None = Field(min_length=1, description="null, or the name of the column of a CSV with the classes")
    drop: list[str] = Field(description="a list of columns of a CSV to leave out, or []")
    encode: bool = Field(description="true or false")
    samples: int | None = Field(ge=10, description="null or a whole number of rows, at least 10")
    noise: float | None = Field(ge=0, le=1000, description="null or a number from 0 to 1000")
    label_noise: float = Field(ge=0, le=0.5, description="a share from 0 to 0.5")
    val_fraction: float = Field(gt=0, lt=1, description="a share above 0 and below 1")
    split: Literal["shuffled", "tail"] = Field(description="shuffled or tail")
    scale: Literal["none", "standard"] = Field(description="none or standard")
    vary: Literal["none", "split", "sample"] = Field(description="none, split or sample")
    seed: int = Field(ge=0, lt=2**32, description="a whole number from 0 to 4294967295")

    @model_validator(mode="after")
    def _only_a_csv_has_columns_to_choose(self) -> "DataParams":
        for_csv: dict[str, Any] = {"target": None, "drop": [], "encode": False}
        for name, idle in for_csv.items():
            value = getattr(self, name)
            if value != idle and not self.is_csv:
                raise ValueError(
                    f"data.{name} = {shorten(value)} contradicts data.source = {self.source!r}, which is no CSV:"
                    f" expected {json.dumps(idle)}"
                )
        if self.target in self.drop:
            raise ValueError(f"data.drop = {shorten(self.drop)} contradicts data.target = {shorten(self.target)}")
        return self

    @model_validator(mode="after")
    def _only_generated_rows_have_samples_and_noise(self) -> "DataParams":
        if self.samples is not None and self.source not in GENERATED_SOURCES:
            raise ValueError(
                f"data.samples = {shorten(self.samples)} contradicts data.source = {shorten(self.source)},"
                f" whose rows are given: expected null, or a source out of {', '.join(sorted(GENERATED_SOURCES))}"
            )
        if self.noise is not None and self.source not in NOISY_SOURCES:
            raise ValueError(
                f"data.noise = {self.noise!r} contradicts data.source = {shorten(self.source)},"
                f" which takes no noise: expected null, or a source out of {', '.join(sorted(NOISY_SOURCES))}"
            )
        return self

    @model_validator(mode="after")
    def _what_varies_can_vary(self) -> "DataParams":
        if self.vary == "sample" and self.source not in GENERATED_SOURCES:
            raise ValueError(
                f"data.vary = 'sample' contradicts data.source = {shorten(self.source)}, whose rows are given:"
                f" expected split, none, or a source out of {', '.join(sorted(GENERATED_SOURCES))}"
            )
        if self.vary == "split" and self.split == "tail":
            raise ValueError(
                "data.vary = 'split' contradicts data.split = 'tail', which always takes the same rows:"
                " expected sample, none, or split: shuffled"
            )
        if self.vary == "split" and self.encode:
            raise ValueError(
                "data.vary = 'split' contradicts data.encode = True, which would give each pair columns of its own:"
                " expected none"
            )
        return self

    @property
    def is_csv(self) -> bool:
        """Whether the rows are a user's own."""
        return self.source.endswith(".csv")


class ModelParams(Section):
    """The network, apart from what normalizes it."""

    hidden: list[PositiveInt] = Field(
        min_length=1,
        max_length=MOST_LAYERS,
        description=f"a list of 1 to {MOST_LAYERS} widths such as [2, 2], each a whole number of at least 1",
    )
    activation: Literal["relu", "leaky_relu", "tanh", "sigmoid", "gelu"] = Field(
        description="one of relu, leaky_relu, tanh, sigmoid, gelu"
    )
    init: Literal["pytorch", "keras", "he", "normal"] = Field(description="one of pytorch, keras, he, normal")
    init_std: float | None = Field(
        ge=1e-30, le=1e10, description="null, or for init normal a number from 1e-30 to 1e10"
    )

    @model_validator(mode="after")
    def _only_normal_has_a_deviation(self) -> "ModelParams":
        if self.init == "normal" and self.init_std is None:
            raise ValueError("model.init_std = None contradicts model.init = 'normal': expected a number above 0")
        if self.init != "normal" and self.init_std is not None:
            raise ValueError(
                f"model.init_std = {self.init_std!r} contradicts model.init = {self.init!r}:"
                " expected null, or init: normal, the only one that uses it"
            )
        return self


class NormalizationParams(Section):
    """What the arm `bn` has and `baseline` has not, in PyTorch's conventions."""

    kind: Literal["batch", "frozen", "layer", "group", "dropout", "none"] = Field(
        description="one of batch, frozen, layer, group, dropout, none"
    )
    hidden: list[PositiveInt] | None = Field(
        min_length=1,
        max_length=MOST_LAYERS,
        description=f"null, or a list of 1 to {MOST_LAYERS} widths such as [3, 2], each a whole number of at least 1",
    )
    placement: Annotated[
        Literal["after_activation", "before_activation"],
        UsedBy(NORMALIZERS, default="after_activation"),
    ] = Field(description="after_activation or before_activation")
    momentum: Annotated[float | None, UsedBy(("batch",), default=0.1)] = Field(
        gt=0,
        le=1,
        description="a number above 0 and at most 1 (0.01 is what Keras calls 0.99), or null: the cumulative average",
    )
    eps: Annotated[float, UsedBy(NORMALIZERS, default=0.00001)] = Field(
        ge=1e-30, le=1e10, description="a number from 1e-30 to 1e10"
    )
    affine: Annotated[bool, UsedBy(NORMALIZERS, default=True)] = Field(description="true or false")
    inputs: Annotated[bool, UsedBy(NORMALIZERS, default=False)] = Field(description="true or false")
    groups: Annotated[int, UsedBy(("group",), default=1)] = Field(
        ge=1, le=HUGE, description=f"a whole number from 1 to {HUGE}"
    )
    rate: Annotated[float, UsedBy(("dropout",), default=0.5)] = Field(
        gt=0, lt=1, description="a share above 0 and below 1"
    )

    @model_validator(mode="after")
    def _settings_fit_the_kind(self) -> "NormalizationParams":
        wrong = []
        for name, mark in used_by(NormalizationParams).items():
            value = getattr(self, name)
            if self.kind in mark.kinds or value == mark.default:
                continue
            wrong.append(
                f"bn.{name} = {value!r} contradicts bn.kind = {self.kind!r}, which makes no use of it:"
                f" expected {str(mark.default).lower()}, or kind: {', '.join(mark.kinds)}"
            )
        if wrong:
            raise ValueError("\n".join(wrong))
        return self


Effect = Annotated[float, Field(gt=0, le=1e10)]


class SmallestEffectParams(Section):
    """Of each claim the smallest effect that matters, in the unit of the claim."""

    faster_training: Effect = Field(description="a number of epochs above 0, up to 1e10")
    higher_accuracy: Effect = Field(description="a difference in accuracy above 0, up to 1e10, such as 0.01")
    steadier: Effect = Field(description="a difference in accuracy per epoch above 0, up to 1e10, such as 0.001")
    less_covariate_shift: Effect = Field(description="the natural log of a ratio, above 0, up to 1e10")
    regularizes: Effect = Field(description="a number of nats above 0, up to 1e10")
    higher_learning_rates: Effect = Field(description="a number of decades above 0, up to 1e10")


class EvidenceParams(Section):
    """The statistics."""

    alpha: float = Field(
        ge=1e-6, lt=0.5, description="a number from 0.000001 to below 0.5: the most resamples find no smaller p"
    )
    resamples: int = Field(ge=100, le=1_000_000, description="a whole number from 100 to 1000000")
    smallest_effect: SmallestEffectParams


class TrackingParams(Section):
    """MLflow."""

    experiment: str = Field(
        min_length=1, max_length=500, pattern=r"^\P{Cc}+$", description="a name of 1 to 500 characters"
    )


class Params(Section):
    """All of params.yaml. Units and meaning of each key: the table in docs/parameters.md."""

    lr: LearningRate = Field(description="a number from 1e-10 to 1e10")
    lr_sweep: list[LearningRate] = Field(
        max_length=MOST_RATES,
        description=f"a list of up to {MOST_RATES} numbers from 1e-10 to 1e10, such as [0.01, 0.1], or []",
    )
    seeds: int = Field(ge=2, description="a whole number of at least 2: an interval needs two")
    epochs: int = Field(ge=1, description="a whole number of at least 1")
    batch_size: int = Field(
        ge=2,
        le=HUGE,
        description=f"a whole number from 2, for one example cannot be normalized, to {HUGE}",
    )
    optimizer: Literal["adam", "adamw", "sgd", "rmsprop"] = Field(description="one of adam, adamw, sgd, rmsprop")
    momentum: float = Field(ge=0, lt=1, description="a number from 0 to below 1")
    weight_decay: float = Field(ge=0, le=1e10, description="a number from 0 to 1e10")
    data: DataParams
    model: ModelParams
    bn: NormalizationParams
    evidence: EvidenceParams
    tracking: TrackingParams

    @model_validator(mode="after")
    def _settings_fit_each_other(self) -> "Params":
        if self.momentum and self.optimizer != "sgd":
            raise ValueError(
                f"momentum = {self.momentum!r} contradicts optimizer = {self.optimizer!r}:"
                " expected 0.0, or optimizer: sgd, the only one that uses it"
            )
        for rate, times in Counter(self.lr_sweep).items():
            if times > 1:
                raise ValueError(f"lr_sweep = {shorten(self.lr_sweep)} repeats {rate}: expected each rate once")
        key, widths = ("bn.hidden", self.bn.hidden) if self.bn.hidden else ("model.hidden", self.model.hidden)
        check_widths(self.bn.kind, self.bn.groups, widths, f"{key} = {shorten(widths)}")
        return self

    @property
    def rates(self) -> list[float]:
        """All learning rates to train at, ascending."""
        return sorted({*self.lr_sweep, self.lr})

    def flat(self) -> dict[str, Any]:
        """Return every value under its dotted key, as MLflow logs them: `{"lr": 0.001, "data.source": ...}`."""
        return flatten(self.model_dump())


def check_widths(kind: str, groups: int, widths: Sequence[int], what: str) -> None:
    """Raise InputError where layer or group norm cannot normalize layers of these `widths`; `what` names them.

    One feature alone, less its mean, is zero: a group needs two.
    """
    if kind not in ("layer", "group"):
        return
    contradicted = f"bn.kind = {kind!r}" + (f" with bn.groups = {groups}" if kind == "group" else "")
    allowed = f"multiples of {groups}" if groups > 1 else "widths"
    for width in widths:
        if width % groups or width < 2 * groups:
            raise InputError(f"{what} contradicts {contradicted}: expected {allowed} of at least {2 * groups}")
