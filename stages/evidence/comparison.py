"""Both arms side by side: what the figures, the report and the tables are made from."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import pandas as pd

from stages.evidence.claims import Experiment, Judgement, Rules, judge
from stages.evidence.paired import PairedDifference, paired_difference
from stages.history.curves import final_values


@dataclass(frozen=True)
class Comparison:
    """The experiment and what was found.

    `finals` maps an arm to its measures after the last epoch at the headline rate, one row per seed; `pairs` has
    baseline, bn and difference of final val_accuracy, one row per seed, and `difference` compares them; `curves` and
    `surfaces` map an arm to its curves.csv and surface.csv; `val` are the validation rows, `classes` the names of the
    classes.
    """

    experiment: Experiment
    curves: Mapping[str, pd.DataFrame]
    surfaces: Mapping[str, pd.DataFrame]
    val: pd.DataFrame
    classes: Sequence[str]
    finals: Mapping[str, pd.DataFrame]
    pairs: pd.DataFrame
    difference: PairedDifference
    judgements: Sequence[Judgement]
    confidence: float

    def judgement(self, name: str) -> Judgement:
        """Return the judgement on a claim."""
        return next(judged for judged in self.judgements if judged.name == name)


def compare_arms(
    experiment: Experiment,
    rules: Rules,
    *,
    curves: Mapping[str, pd.DataFrame],
    surfaces: Mapping[str, pd.DataFrame],
    val: pd.DataFrame,
    classes: Sequence[str] = ("0", "1"),
) -> Comparison:
    """Compare the arms pair by pair at the headline rate, and judge every claim."""
    finals = {arm: final_values(history, experiment.lr) for arm, history in experiment.histories.items()}
    pairs = pd.DataFrame({arm: final["val_accuracy"] for arm, final in finals.items()})
    arms = (pairs[arm].to_numpy() for arm in ("baseline", "bn"))
    difference = paired_difference(*arms, alpha=rules.alpha, resamples=rules.resamples)
    pairs["difference"] = pairs["bn"] - pairs["baseline"]
    judgements = judge(experiment, rules)
    confidence = 1 - rules.alpha
    return Comparison(experiment, curves, surfaces, val, classes, finals, pairs, difference, judgements, confidence)
