"""Stage `train_bn`: train the networks with what the params `bn` say, batch normalization unless `bn.kind` is another.

What it reads, writes and logs is in stages/train_arm.py, with <arm> = bn.
"""

from stages import run_stage
from stages.train_arm import run_arm


def main() -> None:
    run_arm("bn")


if __name__ == "__main__":
    run_stage(main)
