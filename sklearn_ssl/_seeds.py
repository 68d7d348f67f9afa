"""Seeds for torch, from the parameter `random_state` that scikit-learn's estimators have."""

import numpy as np
from sklearn.utils import check_random_state


def draw_seed(random_state):
    """Return a seed: the same for the same int, another one at each call of a RandomState."""
    (seed,) = draw_seeds(random_state, 1)
    return seed


def draw_seeds(random_state, n):
    """Return a list of `n` seeds."""
    return check_random_state(random_state).randint(np.iinfo(np.int32).max, size=n).tolist()
