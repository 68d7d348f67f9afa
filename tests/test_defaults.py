"""Defaults that depend on the data."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sklearn_ssl import defaults

ROWS = st.integers(2, 10**8)
MODALITIES = sorted(defaults.ROWS_TO_SEE)


@pytest.mark.parametrize("modality", MODALITIES)
@given(n_samples=ROWS)
def test_max_epochs_sees_as_many_rows_as_asked(modality, n_samples):
    epochs = defaults.max_epochs(modality, n_samples)
    assert isinstance(epochs, int)
    assert defaults.FEWEST_EPOCHS <= epochs <= defaults.MOST_EPOCHS
    asked = defaults.ROWS_TO_SEE[modality]
    if epochs > defaults.FEWEST_EPOCHS:
        assert epochs * n_samples <= asked
    if epochs < defaults.MOST_EPOCHS:
        assert (epochs + 1) * n_samples > asked


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
    low, high = defaults.crop_scale(side)
    assert 0 < low < high <= 1
    assert low >= defaults.crop_scale(side + more)[0]


@given(side=st.integers(1, 200), more=st.integers(0, 200))
def test_blur_probability_rises_with_the_side(side, more):
    assert 0 <= defaults.blur_probability(side) <= defaults.blur_probability(side + more) <= 1


@given(width=st.integers(1, 5000))
def test_projection_dims(width):
    hidden, output = defaults.projection_dims(width)
    assert 1 <= hidden <= width
    assert output >= 1


def test_n_quantiles_are_fewer_for_wide_tables():
    assert defaults.n_quantiles(1) == defaults.n_quantiles(256) == 256
    assert defaults.n_quantiles(512) == 128
    assert defaults.n_quantiles(100_000) == 48


@given(side=st.integers(1, 4096))
def test_patch_size_is_a_power_of_two(side):
    size = defaults.patch_size(side)
    assert isinstance(size, int)
    assert size in (2, 4, 8, 16)
    assert size in (2, 16) or size / 1.5 < side / 8 < size * 1.5


def test_patch_size_of_usual_images():
    sides = {8: 2, 16: 2, 28: 4, 32: 4, 64: 8, 96: 16, 128: 16, 224: 16}
    assert {side: defaults.patch_size(side) for side in sides} == sides
