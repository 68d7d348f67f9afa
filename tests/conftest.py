"""Shared fixtures: small real data of every modality, and data sets that may be absent."""

import numpy as np
import pytest
from sklearn.datasets import load_digits

from sklearn_ssl import datasets


@pytest.fixture(scope="session")
def digits():
    """X of shape (1797, 64) from 0 to 16, and y."""
    return load_digits(return_X_y=True)


@pytest.fixture(params=["table", "image", "series"])
def modality_data(request, digits):
    """Constructor arguments and 64 rows of X, for each modality."""
    X = digits[0][:64]
    return {
        "table": ({}, X),
        "image": ({"modality": "image"}, X.reshape(-1, 8, 8)),
        "series": ({"modality": "series"}, X.reshape(-1, 8, 8)),
    }[request.param]


def _numpy_stream():
    return np.random.get_state()[1]  # noqa: NPY002 - the global stream is what is watched


@pytest.fixture
def random_streams_untouched():
    """Fail the test if it leaves NumPy's or torch's global random stream changed."""
    import torch

    numpy_before, torch_before = _numpy_stream().copy(), torch.get_rng_state()
    yield
    np.testing.assert_array_equal(_numpy_stream(), numpy_before)
    assert torch.equal(torch.get_rng_state(), torch_before)


def load_or_skip(loader, *args, **kwargs):
    """Return what a loader of sklearn_ssl.datasets returns; skip where the set is not installed."""
    try:
        return loader(*args, **kwargs)
    except datasets.DatasetNotFoundError as error:
        pytest.skip(str(error))
