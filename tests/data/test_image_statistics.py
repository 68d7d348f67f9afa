"""What the default augmentation must know of images: do they have sides, are they one color?"""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.datasets import load_digits, load_sample_images
from sklearn.linear_model import Ridge

from sklearn_ssl import SimCLRTransformer
from sklearn_ssl.data.image_statistics import mean_color_share, mirror_accuracy
from tests.helpers import describe

rng = np.random.default_rng(0)


def patches(size=16, n=500):
    """Return parts of two photographs, of shape (n, size, size, 3)."""
    photos, rng = load_sample_images().images, np.random.default_rng(0)
    corners = zip(rng.integers(2, size=n), rng.integers(400, size=n), rng.integers(600, size=n))
    return np.stack([photos[i][y : y + size, x : x + size] for i, y, x in corners])


def batch(X):
    return torch.tensor(X, dtype=torch.float32)[:, None]


def test_accuracy_equals_that_of_ridge_regression():
    images = rng.normal(size=(41, 5, 7)) + np.linspace(0, 0.5, 7)
    differences = (images - images[..., ::-1])[..., :3].reshape(41, -1)
    right = []
    for start in (0, 1):
        known, held_out = differences[start::2], differences[1 - start :: 2]
        strength = np.mean(np.sum(known**2, axis=1))
        model = Ridge(alpha=strength, fit_intercept=False).fit(known, np.ones(len(known)))
        right.extend(model.predict(held_out) > 0)
    found = mirror_accuracy([batch(images[:20]), batch(images[20:])])
    assert found == pytest.approx(np.mean(right))
    assert 0.5 < found < 1


@given(n=st.integers(2, 9), height=st.integers(1, 5), width=st.integers(1, 70))
@settings(max_examples=30, deadline=None)
def test_images_that_equal_their_mirror_images(n, height, width):
    images = torch.rand(n, 2, height, width)
    assert mirror_accuracy([images + images.flip(-1)]) == 0.5


def test_digits_have_sides_and_photographs_have_none():
    assert describe(load_digits().images, "image").mirror_accuracy > 0.75
    assert describe(patches()).mirror_accuracy < 0.6


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.float64])
@pytest.mark.parametrize("row", [(8, 8), (40, 90, 3)])
def test_any_size_and_dtype(row, dtype):
    brighter = np.linspace(0, 100, row[1]).reshape(row[1], *[1] * (len(row) - 2))
    X = (rng.uniform(0, 100, size=(60, *row)) + brighter).astype(dtype)
    assert describe(X, "image").mirror_accuracy > 0.9


def augmentation_of(X):
    return SimCLRTransformer(modality="image", max_epochs=0).fit(X).task_.augment


def test_only_images_without_sides_are_flipped():
    assert augmentation_of(load_digits().images).flip == 0
    assert augmentation_of(patches()).flip == 0.5


def test_share_equals_a_ratio_of_variances():
    images = rng.normal(size=(30, 3, 4, 5)) + rng.normal(size=(30, 3, 1, 1))
    batches = torch.tensor(images[:7]), torch.tensor(images[7:])
    expected = images.mean((2, 3)).var(0).sum() / images.var((0, 2, 3)).sum()
    assert mean_color_share(batches) == pytest.approx(expected)
    assert mean_color_share([torch.zeros(2, 1, 3, 3)]) == 0


def test_colors_change_little_where_images_are_about_one_color():
    for X, jitter, grayscale in ((patches(), 0.1, 0), (load_digits().images, 0.8, 0.2)):
        augment = augmentation_of(X)
        assert (augment.jitter, augment.grayscale) == (jitter, grayscale)
