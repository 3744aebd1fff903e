"""`make resync`: log what MLflow did not take while the stages ran, from the copies in mlflow-outbox/."""

from stages import run_stage
from stages.tracking.run import resync


def main() -> None:
    for line in resync():
        print(line)


if __name__ == "__main__":
    run_stage(main)
