"""Both arms side by side: what the figures, the report and the tables are made from."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import pandas as pd

from stages import ARMS, MEASURES
from stages.evidence.effects import Rules, widen_difference
from stages.evidence.networks import Networks
from stages.evidence.paired import PairedDifference, paired_difference
from stages.evidence.trainings import PairedTrainings, Sweep
from stages.evidence.verdicts import Judgement, judge
from stages.pair_rows import VARIED, PairRows


@dataclass(frozen=True)
class Comparison:
    """The trainings and what was found.

    `finals` maps an arm to its measures after the last epoch at the headline rate, one row per seed; `pairs` has
    baseline, bn and difference of final val_accuracy, one row per seed, and `difference` compares them. `mean_curves`
    and `surfaces` map an arm to its curves.csv and surface.csv; `val` are the validation rows, `classes` the names of
    the classes; `networks` are those at the headline rate, where they were kept. Where pairs have rows of their own,
    `pair_rows` are those, and `val` the first pair's. `layer_gradients` maps an arm to what `read_layer_gradients`
    returns.
    """

    trainings: PairedTrainings
    mean_curves: Mapping[str, pd.DataFrame]
    surfaces: Mapping[str, pd.DataFrame]
    val: pd.DataFrame
    classes: Sequence[str]
    finals: Mapping[str, pd.DataFrame]
    pairs: pd.DataFrame
    difference: PairedDifference
    judgements: Sequence[Judgement]
    rules: Rules
    networks: Networks | None = None
    pair_rows: PairRows | None = None
    layer_gradients: Mapping[str, pd.DataFrame] = field(default_factory=dict)

    @property
    def confidence(self) -> float:
        """The level of the intervals."""
        return 1 - self.rules.alpha

    def judgement(self, name: str) -> Judgement:
        """Return the judgement on a claim."""
        return next(judged for judged in self.judgements if judged.name == name)

    def describe_rows(self) -> str:
        """Say what varies between pairs, and which intervals allow for it; nothing where nothing does."""
        if self.pair_rows is None:
            return ""
        if self.rules.overlap:
            return (
                f"{VARIED['split']}: intervals of differences and of wins allow for the overlap (Nadeau & Bengio 2003),"
                " other shares and bands of curves do not"
            )
        return VARIED["sample"]

    def validation_rows(self, seed: int) -> pd.DataFrame:
        """Return what the networks of a seed were validated by: the features, then `label`."""
        if self.pair_rows is None:
            return self.val
        return self.pair_rows.tables(seed, self.val.columns[:-1])[1]

    @property
    def has_plane(self) -> bool:
        """Whether there are two features, so that what the networks say can be drawn in their plane."""
        return all(len(surface) > 0 for surface in self.surfaces.values())


def compare_arms(
    trainings: PairedTrainings,
    rules: Rules,
    *,
    mean_curves: Mapping[str, pd.DataFrame],
    surfaces: Mapping[str, pd.DataFrame],
    val: pd.DataFrame,
    classes: Sequence[str] = ("0", "1"),
    networks: Networks | None = None,
    pair_rows: PairRows | None = None,
    layer_gradients: Mapping[str, pd.DataFrame] | None = None,
) -> Comparison:
    """Compare the arms pair by pair at the headline rate, and judge every claim."""
    finals = {arm: _last_epoch(trainings.sweeps[arm], trainings.lr) for arm in ARMS}
    pairs = pd.DataFrame({arm: final["val_accuracy"] for arm, final in finals.items()})
    baseline, bn = pairs["baseline"].to_numpy(), pairs["bn"].to_numpy()
    difference = widen_difference(paired_difference(baseline, bn, alpha=rules.alpha, resamples=rules.resamples), rules)
    pairs["difference"] = pairs["bn"] - pairs["baseline"]
    judgements = judge(trainings, rules)
    return Comparison(
        trainings,
        mean_curves,
        surfaces,
        val,
        classes,
        finals,
        pairs,
        difference,
        judgements,
        rules,
        networks,
        pair_rows,
        layer_gradients or {},
    )


def _last_epoch(sweep: Sweep, lr: float) -> pd.DataFrame:
    """Return the measures at a rate after the last epoch, one row per seed."""
    curves = sweep.at(lr)
    last = {name: curves.read(name)[-1].copy() for name in MEASURES}  # a view would keep the other epochs too
    return pd.DataFrame(last, index=pd.Index(sweep.seeds, name="seed"))
