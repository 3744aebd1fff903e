"""What the trainings show: statistics and figures, from tables. Knows nothing of PyTorch, MLflow or params.yaml."""
