"""Defaults that depend on the data."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sklearn_ssl import defaults
from sklearn_ssl.augment.image import blur_probability, crop_scale, local_crop_scale
from sklearn_ssl.data.table import n_quantiles
from sklearn_ssl.encoders.vit import default_patch_size
from tests.helpers import batch_of

ROWS = st.integers(2, 10**8)
ROWS_TO_SEE = (60_000, 500_000, 1_000_000)


@pytest.mark.parametrize("rows_to_see", ROWS_TO_SEE)
@given(n_samples=ROWS)
def test_max_epochs_sees_as_many_rows_as_asked(rows_to_see, n_samples):
    epochs = defaults.max_epochs(rows_to_see, n_samples)
    assert isinstance(epochs, int)
    assert defaults.FEWEST_EPOCHS <= epochs <= defaults.MOST_EPOCHS
    if epochs > defaults.FEWEST_EPOCHS:
        assert epochs * n_samples <= rows_to_see
    if epochs < defaults.MOST_EPOCHS:
        assert (epochs + 1) * n_samples > rows_to_see


@given(n_samples=ROWS, more=st.integers(0, 10**6))
def test_batch_size_grows_with_the_rows(n_samples, more):
    size = defaults.batch_size(n_samples)
    assert isinstance(size, int)
    assert 64 <= size <= defaults.batch_size(n_samples + more) <= 256


def test_batch_size_takes_enough_steps_of_little_data():
    assert defaults.batch_size(100) == 64
    assert defaults.batch_size(2048) == 128
    assert defaults.batch_size(60_000) == 256


@given(shape=st.lists(st.integers(1, 4096), min_size=1, max_size=3))
def test_inference_batch_size_bounds_memory(shape):
    size = defaults.inference_batch_size(tuple(shape))
    assert isinstance(size, int)
    assert 16 <= size <= 256
    n_values = 1
    for length in shape:
        n_values *= length
    assert size == 16 or size * n_values <= 1_000_000


@given(side=st.integers(1, 200), more=st.integers(0, 200))
def test_crop_scale_is_gentler_for_small_images(side, more):
    low, high = crop_scale(side)
    assert 0 < low < high <= 1
    assert low >= crop_scale(side + more)[0]


@given(side=st.integers(1, 200), more=st.integers(0, 200))
def test_blur_probability_rises_with_the_side(side, more):
    assert 0 <= blur_probability(side) <= blur_probability(side + more) <= 1


@given(width=st.integers(1, 5000))
def test_projection_dims(width):
    hidden, output = defaults.projection_dims(width)
    assert 1 <= hidden <= width
    assert output >= 1


def test_n_quantiles_are_fewer_for_wide_tables():
    assert n_quantiles(1) == n_quantiles(256) == 256
    assert n_quantiles(512) == 128
    assert n_quantiles(100_000) == 48


@given(side=st.integers(1, 4096))
def test_patch_size_is_a_power_of_two(side):
    size = default_patch_size(side)
    assert isinstance(size, int)
    assert size in (2, 4, 8, 16)
    assert size in (2, 16) or size / 1.5 < side / 8 < size * 1.5


def test_patch_size_of_usual_images():
    sides = {8: 2, 16: 2, 28: 4, 32: 4, 64: 8, 96: 16, 128: 16, 224: 16}
    assert {side: default_patch_size(side) for side in sides} == sides


@pytest.mark.parametrize("rows_to_see", ROWS_TO_SEE)
@given(n_samples=ROWS, cost=st.floats(0.2, 5))
def test_dearer_methods_have_fewer_epochs(rows_to_see, n_samples, cost):
    epochs = defaults.max_epochs(rows_to_see, n_samples, cost)
    assert isinstance(epochs, int)
    assert defaults.FEWEST_EPOCHS <= epochs <= defaults.MOST_EPOCHS
    cheap = defaults.max_epochs(rows_to_see, n_samples)
    assert epochs <= cheap if cost >= 1 else epochs >= cheap
    if defaults.FEWEST_EPOCHS < epochs < defaults.MOST_EPOCHS:
        assert epochs * cost * n_samples <= rows_to_see * (1 + 1e-9)


@given(low=st.floats(0.01, 1), span=st.floats(0, 1))
def test_local_crops_are_smaller_than_global_ones(low, span):
    scale = (low, low + span)
    local = local_crop_scale(scale)
    assert 0 < local[0] < local[1] <= scale[0]


@given(n_steps=st.floats(1, 1e7), more=st.floats(0, 1e7))
def test_momentum_looks_back_on_a_part_of_the_steps(n_steps, more):
    momentum = defaults.momentum(n_steps)
    assert 0 < momentum <= defaults.momentum(n_steps + more) < 1
    # Averages over about so many steps: not over nearly all of a long fit.
    assert 1 / (1 - momentum) <= max(n_steps / 2, 50)


@pytest.mark.parametrize(
    ("modality", "shape", "number"),
    [
        ("image", (8, 8), 0),
        ("image", (63, 99), 0),
        ("image", (64, 64), 4),
        ("image", (96, 224), 4),
        ("table", (70,), 0),
        ("series", (3, 70), 0),
    ],
)
def test_local_views_are_for_large_images(modality, shape, number):
    _, spec = batch_of(np.random.default_rng(0).random((4, *shape)), modality)
    assert spec.n_local == number
