"""Stage `train_baseline`: train the networks without any normalization.

What it reads, writes and logs is in stages/train_arm.py, with <arm> = baseline.
"""

from stages import run_stage
from stages.train_arm import run_arm


def main() -> None:
    run_arm("baseline")


if __name__ == "__main__":
    run_stage(main)
