"""What MLflow imports and prepares when it first opens a store is there once this module is imported."""

import tempfile

from mlflow import MlflowClient

with tempfile.TemporaryDirectory() as folder:
    MlflowClient(f"sqlite:///{folder}/mlflow.db").search_experiments()
