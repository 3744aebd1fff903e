"""Stage `compare`: set the two arms side by side, seed by seed.

Reads   results/{baseline,bn}/history.parquet: lr, seed, epoch, losses (nats), accuracies (in [0, 1])
        results/{baseline,bn}/curves.csv: at `lr`, per epoch, means and 95% intervals over seeds
        data/val.csv: the share of the majority class
Writes  results/metrics.json: per arm the means over seeds at `lr` after the last epoch (null where a seed's is not a
        finite number), and the paired difference in val_accuracy with interval and p value
        results/comparison.png: validation accuracy over epochs
        results/pairs.csv: seed, baseline, bn, difference: the val_accuracy behind metrics.json, a row per pair
Logs    an MLflow run with these numbers and files, linked to the runs of both arms
"""

import json
import math
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from stages import ARMS, run_stage
from stages.params import Params, load_params
from stages.tracking import StageRun, track_stage

if TYPE_CHECKING:
    import pandas as pd

    from stages.evidence.paired import PairedDifference

RESULTS = Path("results")
HISTORIES = {arm: RESULTS / arm / "history.parquet" for arm in ARMS}


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
    finals = {arm: final_values(pd.read_parquet(path), params.lr) for arm, path in HISTORIES.items()}
    pairs = pd.DataFrame({arm: final["val_accuracy"] for arm, final in finals.items()})
    difference = paired_difference(
        pairs["baseline"].to_numpy(), pairs["bn"].to_numpy(), alpha=alpha, resamples=params.evidence.resamples
    )
    pairs["difference"] = pairs["bn"] - pairs["baseline"]
    metrics = collect_metrics(finals, difference)
    write_results(metrics, difference, lr=params.lr, confidence=1 - alpha)
    pairs.to_csv(RESULTS / "pairs.csv", lineterminator="\n")

    for arm, path in HISTORIES.items():
        run.set_tag(f"{arm}.run_id", run.find_arm_run(arm, path) or "not in this store")
    run.log_summary({f"{group}.{name}": value for group, row in metrics.items() for name, value in row.items()})
    run.log_artifacts(*(RESULTS / name for name in ("metrics.json", "comparison.png", "pairs.csv")))
    return format_report(finals, difference, lr=params.lr, confidence=1 - alpha)


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


def write_results(metrics: dict[str, Any], difference: "PairedDifference", lr: float, confidence: float) -> None:
    """Write metrics.json and comparison.png."""
    import pandas as pd

    from stages.evidence.figures import save_comparison

    (RESULTS / "metrics.json").write_text(json.dumps(metrics, indent=2, allow_nan=False) + "\n", encoding="utf-8")
    curves = {arm: pd.read_csv(RESULTS / arm / "curves.csv") for arm in ARMS}
    majority = pd.read_csv("data/val.csv")["label"].value_counts(normalize=True).max()
    save_comparison(RESULTS / "comparison.png", curves, majority, difference, confidence, lr)


def format_p(p_value: float) -> str:
    """Return `= 0.034`, or `< 0.001`: the test has no finer steps than its resamples."""
    return "< 0.001" if p_value < 0.001 else f"= {p_value:.2g}"


def format_report(
    finals: "dict[str, pd.DataFrame]", difference: "PairedDifference", lr: float, confidence: float
) -> str:
    """Return the table that ends a run in the terminal."""
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
    lines += [
        f"Plot: {RESULTS / 'comparison.png'}",
        "MLflow UI: `make ui`, or `mlflow ui` in this folder; choose *Model training* at the top left",
    ]
    return "\n".join(lines)


if __name__ == "__main__":
    run_stage(main)
