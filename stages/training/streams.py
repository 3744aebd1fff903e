"""The random numbers of a seed: streams that have nothing to do with one another.

What draws from one stream leaves the others where they are, so that the networks of a pair, and of all learning rates,
can share their initial weights and the order of their batches whatever else differs between them.
"""

import numpy as np
import torch

WEIGHTS = 0
ORDER = 1  # of the examples, epoch by epoch
OTHER_ORDER = 2
MASKS = 3  # of dropout, step by step


def open_stream(seed: int, stream: int) -> torch.Generator:
    """Return the generator of one stream of a seed, at its start."""
    state = np.random.SeedSequence([seed, stream]).generate_state(1, np.uint64)
    return torch.Generator().manual_seed(int(state[0]))
