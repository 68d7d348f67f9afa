"""Seeds for torch, from the parameter `random_state` of scikit-learn's estimators."""

import numpy as np
from sklearn.utils import check_random_state


def draw_seed(random_state):
    """Return a seed: always the same for an int, a new one at each call for a RandomState."""
    (seed,) = draw_seeds(random_state, 1)
    return seed


def draw_seeds(random_state, n):
    """Return a list of `n` seeds."""
    return check_random_state(random_state).randint(np.iinfo(np.int32).max, size=n).tolist()
