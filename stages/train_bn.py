"""Stage `train_bn`: train the networks with what the params `bn` say, batch normalization unless `bn.kind` is another.

What it reads, writes and logs is in stages/arm/run.py, with <arm> = bn.
"""

from stages import run_stage
from stages.engine import Engine
from stages.params import load_params, tell_changes
from stages.tracking import track_stage


def main() -> None:
    params = load_params()
    tell_changes(params)
    tags = {"arm": "bn"}
    with Engine() as engine, track_stage("train_bn", params.flat(), tags=tags, rates=params.rates) as run:
        from stages.arm.run import run_arm  # PyTorch is imported while MLflow connects

        run_arm("bn", params, engine, run)


if __name__ == "__main__":
    run_stage(main)
