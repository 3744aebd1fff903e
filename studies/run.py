"""Run the experiments of the studies that are missing: `python -m studies.run`."""

from studies.experiments import load_studies, run_missing

if __name__ == "__main__":
    run_missing(load_studies())
