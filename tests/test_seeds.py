"""Seeds from the parameter `random_state`."""

import numpy as np
import torch

from sklearn_ssl._seeds import draw_seed, draw_seeds


def test_the_same_int_gives_the_same_seed():
    assert draw_seed(3) == draw_seed(3) != draw_seed(4)


def test_a_random_state_moves_on():
    random_state = np.random.RandomState(3)
    drawn = [draw_seed(random_state) for _ in range(3)]
    assert drawn == draw_seeds(3, 3)
    assert len(set(drawn)) == 3


def test_seeds_are_ints_that_torch_takes():
    for seed in draw_seeds(None, 4):
        assert type(seed) is int
        torch.Generator().manual_seed(seed)
