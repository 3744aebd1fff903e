"""Stage `compare`: set the two arms side by side, seed by seed.

Reads   results/{baseline,bn}/
            history.parquet       lr, seed, epoch, losses (nats), accuracies (in [0, 1])
            curves.csv            at `lr`, per epoch: means and 95% intervals over seeds
            diagnostics.parquet   at `lr`, per (seed, epoch): what was measured inside the networks
            surface.csv           two features, and what the median network says
        data/train.csv, data/val.csv, data/classes.json
Writes  results/
            metrics.json          per arm the means over seeds at `lr` after the last epoch, the paired difference in
                                  val_accuracy with interval and p value, the verdict on each claim; null: no number
            claims.csv            a row per claim: wording, unit, and all of stages.evidence.claims.Judgement
            pairs.csv             seed, baseline, bn, difference: final val_accuracy, a row per pair
            comparison.png        validation accuracy over epochs
            figures/              the other figures
            report.html           all of it, in one file
Logs    an MLflow run with these numbers and files, linked to the runs of both arms
"""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from stages import ARMS, run_stage
from stages.params import Params, load_params
from stages.tracking.run import StageRun, track_stage

if TYPE_CHECKING:
    from stages.evidence.comparison import Comparison

RESULTS = Path("results")


def main() -> None:
    params = load_params()
    with track_stage("compare", params.flat(), tags={}) as run:
        printed = _compare(params, run)  # SciPy and Matplotlib are imported while MLflow connects
    print(printed)


def _compare(params: Params, run: StageRun) -> str:
    """Write and log the results; return what to print."""
    from stages.evidence.summary import collect_details, collect_metrics, flatten_numbers, format_report

    comparison = _read_comparison(params)
    metrics = collect_metrics(comparison)
    run.wait_until_open()
    files = _write_results(comparison, metrics, params)
    for arm in ARMS:
        run.link_arm_run(arm, RESULTS / arm / "history.parquet")
    for name, claim in metrics["claims"].items():
        run.set_tag(f"claims.{name}", claim["verdict"])
    for judged in comparison.judgements:
        run.set_tag(f"claims.{judged.name}.without_born_dead", judged.verdict_alive)
    report = format_report(comparison)
    run.describe(f"```\n{report}\n```", RESULTS / "report.html")
    run.log_summary(flatten_numbers(metrics) | collect_details(comparison.judgements))
    run.log_artifacts(*files)
    return "\n".join(
        [
            report,
            "",
            f"Report: {RESULTS / 'report.html'}   Plot: {RESULTS / 'comparison.png'}",
            "MLflow UI: `make ui`, or `mlflow ui` in this folder; choose *Model training* at the top left",
        ]
    )


def _read_comparison(params: Params) -> "Comparison":
    """Read both arms, and judge the claims."""
    import pandas as pd

    from stages.evidence.claims import Experiment, Rules, count_parameters
    from stages.evidence.comparison import compare_arms
    from stages.evidence.endpoints import load_diagnostics, load_history
    from stages.history.wording import describe_contrast

    train, val = pd.read_csv("data/train.csv"), pd.read_csv("data/val.csv")
    classes = json.loads(Path("data/classes.json").read_text(encoding="utf-8"))
    widths = params.model.hidden, params.bn.hidden or params.model.hidden
    experiment = Experiment(
        histories={arm: load_history(RESULTS / arm / "history.parquet", params.lr, params.epochs) for arm in ARMS},
        diagnostics={arm: load_diagnostics(RESULTS / arm / "diagnostics.parquet") for arm in ARMS},
        lr=params.lr,
        majority=float(val["label"].value_counts(normalize=True).max()),
        train_rows=len(train),
        batch_size=params.batch_size,
        parameters=max(count_parameters(train.shape[1] - 1, hidden, len(classes)) for hidden in widths),
        contrast=describe_contrast(params.bn.kind, *widths),
    )
    evidence = params.evidence
    rules = Rules(evidence.smallest_effect.model_dump(), evidence.alpha, evidence.resamples)
    curves, surfaces = (
        {arm: pd.read_csv(RESULTS / arm / f"{name}.csv") for arm in ARMS} for name in ("curves", "surface")
    )
    return compare_arms(experiment, rules, curves=curves, surfaces=surfaces, val=val, classes=classes)


def _write_results(comparison: "Comparison", metrics: dict[str, Any], params: Params) -> list[Path]:
    """Write all files, and return their paths."""
    from stages.evidence.gallery import draw_all
    from stages.evidence.page import render_report
    from stages.evidence.summary import tabulate_claims

    (RESULTS / "metrics.json").write_text(json.dumps(metrics, indent=2, allow_nan=False) + "\n", encoding="utf-8")
    tabulate_claims(comparison.judgements, comparison.experiment.contrast).to_csv(
        RESULTS / "claims.csv", index=False, lineterminator="\n"
    )
    comparison.pairs.to_csv(RESULTS / "pairs.csv", lineterminator="\n")
    pictures = draw_all(comparison, RESULTS)
    (RESULTS / "report.html").write_text(render_report(comparison, pictures, params.flat()), encoding="utf-8")
    written = [RESULTS / name for name in ("metrics.json", "claims.csv", "pairs.csv", "report.html")]
    return [*written, *(picture.path for picture in pictures)]


if __name__ == "__main__":
    run_stage(main)
