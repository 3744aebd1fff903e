"""Stage `compare`: set the two arms side by side, seed by seed.

Reads   results/{baseline,bn}/
            history.parquet       lr, seed, epoch, losses (nats), accuracies (in [0, 1])
            curves.csv            at `lr`, per epoch: means and 95% intervals over seeds
            diagnostics.parquet   at `lr`, per (seed, epoch): what was measured inside the networks
            surface.csv           two features, and what the median network says
            networks.npy          every network at `lr` as dense layers, where they are small
        data/train.csv, data/val.csv, data/classes.json
Writes  results/
            metrics.json          per arm the means over seeds at `lr` after the last epoch, the paired difference in
                                  val_accuracy with interval and p value, the verdicts on each claim: at the same
                                  rate, `best_rate`, `itself` (stages/evidence/readings.py), and their `summary`;
                                  null: no number
            claims.csv            a row per claim: wording, unit, and all of stages.evidence.verdicts.Judgement; of the
                                  other readings under best_rate_... and itself_...
            pairs.csv             seed, baseline, bn, difference: final val_accuracy, a row per pair
            comparison.png        validation accuracy over epochs
            figures/              the other figures
            report.html           all of it, in one file, to read and to play with
Logs    an MLflow run with these numbers and files, linked to the runs of both arms
"""

import os

from stages import ARMS, run_stage
from stages.params import load_params, tell_changes
from stages.tracking import track_stage

# Of NumPy's products, which are small here: where others use the cores, threads wait longer than they compute.
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")


def main() -> None:
    params = load_params()
    tell_changes(params)
    with track_stage("compare", params.flat(), tags={}) as run:
        from stages.evidence import files, gallery, summary  # SciPy and Matplotlib are imported while MLflow connects

        comparison = files.read_comparison(params)
        pictures = gallery.draw_all(comparison)
        run.wait_until_open()
        written = files.write_results(comparison, pictures, params.flat())
        report = summary.format_report(comparison)
        for arm in ARMS:
            run.link_arm_run(arm, files.RESULTS / arm / "history.parquet")
        run.set_tags(summary.collect_tags(comparison.judgements))
        run.describe(f"```\n{report}\n```", files.RESULTS / "report.html")
        run.log_summary(summary.collect_numbers(comparison))
        run.log_artifacts(*written)
    print(report, "", f"Report: {files.RESULTS / 'report.html'}   Plot: {files.RESULTS / 'comparison.png'}", sep="\n")
    print("MLflow UI: `make ui`, or `mlflow ui` in this folder; choose *Model training* at the top left")


if __name__ == "__main__":
    run_stage(main)
