"""What MLflow loads and serves as a run's model: this file is copied into it, and carried out where it is loaded.

Beside it lie `network.py`, the code that the network was built with, and `model.pt`, which holds no code. PyTorch is
not imported at the top, for the process that logs carries this file out too, and needs no PyTorch.
The ordinary network is `mlflow.pyfunc.load_model(URI).unwrap_python_model().network`.
"""

import sys
from importlib.util import module_from_spec, spec_from_file_location
from typing import Any

import numpy as np
from mlflow.models import set_model
from mlflow.pyfunc.model import PythonModel, PythonModelContext


class ServedNetwork(PythonModel):
    """The network in eval mode, from (B, F) features to (B, 1) or (B, K) probabilities."""

    def load_context(self, context: PythonModelContext) -> None:
        spec = spec_from_file_location("served_network_definition", context.artifacts["definition"])
        assert spec is not None
        assert spec.loader is not None
        definition = module_from_spec(spec)
        sys.modules[spec.name] = definition  # dataclasses look there
        spec.loader.exec_module(definition)
        self.network = definition.load_network(context.artifacts["network"])

    def predict(
        self, context: PythonModelContext, model_input: np.ndarray, params: dict[str, Any] | None = None
    ) -> np.ndarray:
        import torch

        with torch.no_grad():
            probabilities = self.network(torch.from_numpy(np.asarray(model_input, np.float32)))
        return np.asarray(probabilities)


set_model(ServedNetwork())
