"""Where the store is by default, and what MLflow reads from the environment when it is imported."""

import os
from pathlib import Path


def _read_number(variable: str, default: float) -> float:
    try:
        return float(os.environ[variable])
    except ValueError:  # MLflow says so itself
        return default


# MLflow's telemetry would call out; its progress bars, links, hints and tracebacks would drown our own lines.
os.environ |= {"MLFLOW_DISABLE_TELEMETRY": "true", "MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR": "false"}
os.environ.setdefault("MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT", "true")
os.environ.setdefault("MLFLOW_LOGGING_LEVEL", "CRITICAL")
os.environ.pop("MLFLOW_RUN_ID", None)  # every stage would resume this one run

# Where a server does not answer, MLflow's own patience is minutes for every request, or as long as the server says.
os.environ.setdefault("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "2")
os.environ.setdefault("MLFLOW_HTTP_REQUEST_BACKOFF_FACTOR", "1")
os.environ.setdefault("MLFLOW_HTTP_REQUEST_TIMEOUT", "20")
os.environ.setdefault("MLFLOW_HTTP_RESPECT_RETRY_AFTER_HEADER", "false")

REQUEST_TIMEOUT = _read_number("MLFLOW_HTTP_REQUEST_TIMEOUT", 20.0)  # in seconds


def root() -> Path:
    """Return the root of the main repository, which DVC names also in the temporary workspaces of experiments."""
    return Path(os.environ.get("DVC_ROOT", Path(__file__).parents[2])).resolve()


def outbox_folder() -> Path:
    """Return where waits what a store has not taken."""
    return root() / "mlflow-outbox"


def lose_patience() -> None:
    """Ask only once from now on, and briefly: the store has failed."""
    os.environ |= {"MLFLOW_HTTP_REQUEST_MAX_RETRIES": "0", "MLFLOW_HTTP_REQUEST_TIMEOUT": "5"}
