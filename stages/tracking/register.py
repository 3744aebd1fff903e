"""`make register`: register the networks in results/ in MLflow, under one name, with an alias for each arm."""

from pathlib import Path

from stages import ARMS, run_stage
from stages.params import load_params
from stages.tracking.run import REGISTERED_MODEL, register_networks


def main() -> None:
    for line in register_networks(load_params().tracking.experiment, {arm: Path("results", arm) for arm in ARMS}):
        print(line)
    print(f"To serve one: mlflow models serve -m models:/{REGISTERED_MODEL}@bn -p 5001 --env-manager local")


if __name__ == "__main__":
    run_stage(main)
