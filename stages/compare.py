"""Stage `compare`: set the two arms side by side, seed by seed.

Reads   results/{baseline,bn}/history.parquet: lr, seed, epoch, losses (nats), accuracies (in [0, 1])
        results/{baseline,bn}/curves.csv: at `lr`, per epoch, means and 95% intervals over seeds
        results/{baseline,bn}/diagnostics.parquet: at `lr`, per (seed, epoch): covariate_shift, dead_layer
        data/train.csv, data/val.csv: how many rows and features; the share of the majority class
Writes  results/metrics.json: per arm the means over seeds at `lr` after the last epoch (null where a seed's is not a
        finite number), the paired difference in val_accuracy with interval and p value, and the verdict on each
        claim (null where it was not measured)
        results/claims.csv: a row per claim: wording, unit, and all of stages.evidence.claims.Judgement
        results/comparison.png: validation accuracy over epochs
        results/pairs.csv: seed, baseline, bn, difference: the val_accuracy behind metrics.json, a row per pair
Logs    an MLflow run with these numbers and files, linked to the runs of both arms
"""

import json
import math
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from stages import ARMS, run_stage
from stages.params import Params, load_params
from stages.tracking import StageRun, track_stage

if TYPE_CHECKING:
    import pandas as pd

    from stages.evidence.claims import Judgement
    from stages.evidence.paired import PairedDifference

RESULTS = Path("results")
HISTORIES = {arm: RESULTS / arm / "history.parquet" for arm in ARMS}
DIAGNOSTICS = {arm: RESULTS / arm / "diagnostics.parquet" for arm in ARMS}


def main() -> None:
    params = load_params()
    with track_stage("compare", params.flat(), tags={}) as run:
        report = _compare(params, run)  # SciPy and Matplotlib are imported while MLflow connects
    print(report)


def _compare(params: Params, run: StageRun) -> str:
    """Write and log the results; return the table for the terminal."""
    import pandas as pd

    from stages.evidence.curves import final_values
    from stages.evidence.paired import paired_difference

    alpha = params.evidence.alpha
    histories = {arm: pd.read_parquet(path) for arm, path in HISTORIES.items()}
    finals = {arm: final_values(history, params.lr) for arm, history in histories.items()}
    pairs = pd.DataFrame({arm: final["val_accuracy"] for arm, final in finals.items()})
    difference = paired_difference(
        pairs["baseline"].to_numpy(), pairs["bn"].to_numpy(), alpha=alpha, resamples=params.evidence.resamples
    )
    pairs["difference"] = pairs["bn"] - pairs["baseline"]
    judgements = judge_claims(histories, params)
    metrics = collect_metrics(finals, difference)
    claims = collect_claims(judgements)
    write_results(metrics | {"claims": claims}, difference, lr=params.lr, confidence=1 - alpha)
    tabulate_claims(judgements).to_csv(RESULTS / "claims.csv", index=False, lineterminator="\n")
    pairs.to_csv(RESULTS / "pairs.csv", lineterminator="\n")

    for arm, path in HISTORIES.items():
        run.set_tag(f"{arm}.run_id", run.find_arm_run(arm, path) or "not in this store")
    for name, claim in claims.items():
        run.set_tag(f"claims.{name}", claim["verdict"])
        metrics[f"claims.{name}"] = {key: value for key, value in claim.items() if key != "verdict"}
    run.log_summary({f"{group}.{name}": value for group, row in metrics.items() for name, value in row.items()})
    run.log_artifacts(*(RESULTS / name for name in ("metrics.json", "comparison.png", "pairs.csv", "claims.csv")))
    return format_report(finals, difference, judgements, lr=params.lr, confidence=1 - alpha)


def judge_claims(histories: "dict[str, pd.DataFrame]", params: Params) -> "tuple[Judgement, ...]":
    """Return the verdict on every claim."""
    import pandas as pd

    from stages.evidence.claims import Experiment, Rules, count_parameters, judge

    train = pd.read_csv("data/train.csv")
    experiment = Experiment(
        histories,
        {arm: pd.read_parquet(path) for arm, path in DIAGNOSTICS.items()},
        lr=params.lr,
        majority=majority_share(),
        train_rows=len(train),
        batch_size=params.batch_size,
        parameters=count_parameters(train.shape[1] - 1, params.model.hidden),
    )
    evidence = params.evidence
    return judge(experiment, Rules(evidence.smallest_effect.model_dump(), evidence.alpha, evidence.resamples))


def majority_share() -> float:
    """Return the share of the majority class among the validation rows."""
    import pandas as pd

    return float(pd.read_csv("data/val.csv")["label"].value_counts(normalize=True).max())


def collect_metrics(finals: "dict[str, pd.DataFrame]", difference: "PairedDifference") -> dict[str, dict[str, Any]]:
    """Return the content of metrics.json; a mean over seeds that is not finite is None, for JSON has no NaN."""
    metrics: dict[str, dict[str, Any]] = {}
    for arm, final in finals.items():
        means = {name: float(value) for name, value in final.mean(skipna=False).items()}
        metrics[arm] = {name: value if math.isfinite(value) else None for name, value in means.items()}
    measured = asdict(difference)
    metrics["difference"] = {
        "val_accuracy": measured["estimate"],
        **{name: measured[name] for name in ("ci_low", "ci_high", "p_value")},
    }
    return metrics


def collect_claims(judgements: "Sequence[Judgement]") -> dict[str, dict[str, Any]]:
    """Return the part of metrics.json on the claims; a number that there is not is None."""
    claims = {}
    for judgement in judgements:
        numbers = {name: getattr(judgement, name) for name in ("estimate", "ci_low", "ci_high", "p_holm")}
        finite = {name: value if math.isfinite(value) else None for name, value in numbers.items()}
        claims[judgement.name] = {"verdict": judgement.verdict, **finite}
    return claims


def tabulate_claims(judgements: "Sequence[Judgement]") -> "pd.DataFrame":
    """Return one row per claim: its wording and unit, and all that was found."""
    import pandas as pd

    from stages.evidence.claims import CLAIMS

    pairs = zip(CLAIMS, judgements, strict=True)
    rows = [{"wording": claim.wording, "unit": claim.unit} | asdict(judged) for claim, judged in pairs]
    return pd.DataFrame(rows).set_index("name").reset_index()


def write_results(metrics: dict[str, Any], difference: "PairedDifference", lr: float, confidence: float) -> None:
    """Write metrics.json and comparison.png."""
    import pandas as pd

    from stages.evidence.figures import save_comparison

    (RESULTS / "metrics.json").write_text(json.dumps(metrics, indent=2, allow_nan=False) + "\n", encoding="utf-8")
    curves = {arm: pd.read_csv(RESULTS / arm / "curves.csv") for arm in ARMS}
    save_comparison(RESULTS / "comparison.png", curves, majority_share(), difference, confidence, lr)


def format_p(p_value: float) -> str:
    """Return `= 0.034`, or `< 0.001`: the test has no finer steps than its resamples."""
    return "< 0.001" if p_value < 0.001 else f"= {p_value:.2g}"


def format_report(
    finals: "dict[str, pd.DataFrame]",
    difference: "PairedDifference",
    judgements: "Sequence[Judgement]",
    lr: float,
    confidence: float,
) -> str:
    """Return the tables that end a run in the terminal."""
    without, with_bn = (finals[arm]["val_accuracy"].mean() for arm in ARMS)
    lines = [
        f"Final validation accuracy at learning rate {lr:g}, mean over {difference.n} paired seeds",
        f"  without batch norm   {without:8.4f}",
        f"  with batch norm      {with_bn:8.4f}",
        f"  difference           {difference.estimate:+8.4f}   {100 * confidence:g}% interval"
        f" [{difference.ci_low:+.4f}, {difference.ci_high:+.4f}], p {format_p(difference.p_value)}",
    ]
    for arm, final in finals.items():
        lost = int((~final.apply(lambda column: column.map(math.isfinite))).any(axis=1).sum())
        if lost:
            lines.append(f"  {arm}: {lost} of {len(final)} seeds ended with a loss that is not finite")
    lines += ["", *format_verdicts(judgements, confidence), ""]
    lines += [
        f"Plot: {RESULTS / 'comparison.png'}",
        "MLflow UI: `make ui`, or `mlflow ui` in this folder; choose *Model training* at the top left",
    ]
    return "\n".join(lines)


def format_verdicts(judgements: "Sequence[Judgement]", confidence: float) -> list[str]:
    """Return the table of verdicts, at most 100 columns wide, and under it what qualifies them."""
    from stages.evidence.claims import CLAIMS, INCONCLUSIVE

    head = f"{'claim, unit of bn - baseline':30} {'verdict':23} {'estimate':>9}"
    lines = [f"{head} {f'{100 * confidence:g}% interval':>20} {'p (Holm)':>8}"]
    for claim, judged in zip(CLAIMS, judgements, strict=True):
        line = f"{f'{claim.name}, {claim.unit}':30} {judged.verdict:23}"
        if judged.n == 0:
            lines.append(f"{line} {judged.note}")
            continue
        interval = f"[{judged.ci_low:+.3g}, {judged.ci_high:+.3g}]"
        lines.append(f"{line} {judged.estimate:+9.3g} {interval:>20} {judged.p_holm:8.2g}")
    for judged in judgements:
        if judged.verdict == INCONCLUSIVE:
            detectable = f"{judged.minimum_detectable:.3g}"
            lines.append(f"  {judged.name}: {judged.n} pairs detect a difference of {detectable} with 80% power")
        if judged.verdict_alive != judged.verdict:
            lines.append(f"  {judged.name}: {judged.verdict_alive} without the seeds born dead")
    return lines


if __name__ == "__main__":
    run_stage(main)
