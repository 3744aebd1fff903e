"""Stage `train_baseline`: train the networks without any normalization.

What it reads, writes and logs is in stages/arm/run.py, with <arm> = baseline.
"""

from stages import run_stage
from stages.engine import Engine
from stages.params import load_params, tell_changes
from stages.tracking import track_stage


def main() -> None:
    params = load_params()
    tell_changes(params)
    tags = {"arm": "baseline"}
    with Engine() as engine, track_stage("train_baseline", params.flat(), tags=tags, rates=params.rates) as run:
        from stages.arm.run import run_arm  # PyTorch is imported while MLflow connects

        run_arm("baseline", params, engine, run)


if __name__ == "__main__":
    run_stage(main)
