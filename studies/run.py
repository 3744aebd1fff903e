"""Run the experiments of the studies that are missing: `python -m studies.run`; of some only: their names behind it."""

import sys

from stages import run_stage
from studies.experiments import choose_studies, run_missing


def main() -> None:
    """Run those of the studies that are named, or of all."""
    run_missing(choose_studies(sys.argv[1:]))


if __name__ == "__main__":
    run_stage(main)
