"""Shared fixtures: small real data of every modality, and a watch on the global random streams."""

import numpy as np
import pytest
import torch
from sklearn.datasets import load_digits

from benchmarks.datasets import DatasetNotFoundError
from tests.helpers import batch_of


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items):
    """Mark the tests that read an optional data set: .ci/run runs them where it has the data."""
    for item in items:
        if "load_or_skip" in getattr(item, "fixturenames", ()):
            item.add_marker("data")


@pytest.fixture(scope="session")
def load_or_skip():
    """A function that calls a loader of benchmarks.datasets, and skips where the set is missing."""

    def load_or_skip(loader, *args, **kwargs):
        try:
            return loader(*args, **kwargs)
        except DatasetNotFoundError as error:
            pytest.skip(str(error))

    return load_or_skip


@pytest.fixture(scope="session")
def digits():
    """X of shape (1797, 64) from 0 to 16, and y."""
    return load_digits(return_X_y=True)


@pytest.fixture(params=["table", "image", "series"])
def modality(request):
    """A kind of data; tests of estimators that take others set it themselves."""
    return request.param


@pytest.fixture
def modality_data(modality, digits):
    """Constructor arguments and 64 rows of X, for each modality."""
    X = digits[0][:64]
    return {
        "table": ({}, X),
        "image": ({"modality": "image"}, X.reshape(-1, 8, 8)),
        "series": ({"modality": "series"}, X.reshape(-1, 8, 8)),
        "video": ({"modality": "video"}, X.reshape(-1, 4, 4, 4)),
    }[modality]


@pytest.fixture
def batch_and_spec(modality_data, digits):
    """256 rows as a batch, and their description, for each modality."""
    params, X = modality_data
    return batch_of(digits[0][:256].reshape(256, *X.shape[1:]), params.get("modality", "auto"))


@pytest.fixture
def image_batch_and_spec(digits):
    """64 images as a batch, and their description."""
    return batch_of(digits[0][:64].reshape(64, 8, 8), "image")


def _numpy_stream():
    return np.random.get_state()[1]  # noqa: NPY002 - the global stream is what is watched


@pytest.fixture
def random_streams_untouched():
    """Fail the test if it leaves NumPy's or torch's global random stream changed."""
    numpy_before, torch_before = _numpy_stream().copy(), torch.get_rng_state()
    yield
    np.testing.assert_array_equal(_numpy_stream(), numpy_before)
    assert torch.equal(torch.get_rng_state(), torch_before)
