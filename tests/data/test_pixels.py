"""The range of pixels: rare ones do not widen it, and channels of other scales have their own."""

import pickle
import re

import numpy as np
import pytest

from sklearn_ssl import MaskedAutoencoder, NextFrameEmbedder, SimCLRTransformer
from sklearn_ssl.data.pixels import pixel_range
from tests.helpers import describe
from tests.test_common import every_image_estimator, make

N_BANDS = 13
SCALES = np.array([*np.full(10, 4000.0), 30, 1, 10_000])
OFFSETS = np.array([*np.zeros(10), -50, 300, 0])


def photons(shape=(60, 16, 16), seed=0):
    """Return pixels from 0 to 1, most of them dark."""
    return np.random.default_rng(seed).random(shape) ** 2


def bands(n=40, side=8):
    """Return images of 13 bands, the narrowest of which is a ten-thousandth of the widest."""
    return photons((n, side, side, N_BANDS)) * SCALES + OFFSETS


# Rare pixels ----------------------------------------------------------------------------------


@pytest.mark.parametrize("value", [1.5, 3, 5, 8, 12, 50, -3, -50])
@pytest.mark.parametrize("dtype", [np.float32, np.float16, np.int16, np.int32])
def test_rare_pixels_hardly_widen_the_range(value, dtype):
    X = photons()
    X.reshape(-1)[::3000] = value
    if np.dtype(dtype).kind == "i":
        X = X * 600
    shift, scale = pixel_range(X.astype(dtype))
    unit = 600 if np.dtype(dtype).kind == "i" else 1
    assert 0.99 <= 1 / scale / unit <= 2.01  # three times as wide, at most, if there are some
    assert -1.01 <= shift / unit <= 0.01


def test_many_bright_pixels_count():
    X = photons()
    X.reshape(-1)[::100] = np.linspace(1, 6, len(X.reshape(-1)[::100]))
    assert pixel_range(X)[1] == pytest.approx(1 / 6, rel=0.01)


def test_sparse_images_keep_their_range():
    X = np.zeros((60, 16, 16))
    X.reshape(-1)[::500] = photons((31,))[:1]
    X.reshape(-1)[::1500] = np.linspace(0.1, 1, len(X.reshape(-1)[::1500]))
    assert pixel_range(X)[0] == 0
    masks = np.where(photons() > 0.999, 100, (photons() > 0.5)).astype(np.int16)
    assert pixel_range(masks)[0] == 0


def test_few_dark_objects_keep_their_range():
    X = np.zeros((60, 16, 16))
    X.reshape(-1)[::2000] = np.linspace(0.1, 1, len(X.reshape(-1)[::2000]))
    assert pixel_range(X) == (0, 1)  # nearly all pixels are 0: the others are all there is


def test_pixels_far_outside_are_clipped_and_near_ones_are_not():
    spec = describe(np.append(photons(), np.ones((1, 16, 16)), axis=0), "image")
    X = np.full((1, 16, 16), 0.5)
    X[0, 0, :6] = -100, -0.4, 0, 1, 1.4, 100
    batch = spec.to_tensor(X)[0, 0, 0, :6].numpy()
    np.testing.assert_allclose(batch, [-0.5, -0.4, 0, 1, 1.4, 1.5], atol=1e-5)


# Channels -------------------------------------------------------------------------------------


def test_channels_of_other_scales_have_their_own_ranges():
    X = bands()
    spec = describe(X)
    np.testing.assert_allclose(spec.shift, X.min(axis=(0, 1, 2)))
    np.testing.assert_allclose(1 / np.array(spec.scale), np.ptp(X, axis=(0, 1, 2)))
    batch = spec.to_tensor(X)
    np.testing.assert_allclose(batch.amin(dim=(0, 2, 3)), np.zeros(N_BANDS), atol=1e-5)
    np.testing.assert_allclose(batch.amax(dim=(0, 2, 3)), np.ones(N_BANDS), atol=1e-5)
    np.testing.assert_allclose(spec.from_tensor(batch), X, rtol=1e-4, atol=1e-2)


COMMON = {
    "colors": photons((40, 8, 8, 3)) * (1, 0.5, 0.3),
    "no blue": photons((40, 8, 8, 3)) * (1, 0.5, 0),
    "similar bands": photons((40, 8, 8, N_BANDS)) * np.linspace(0.2, 1, N_BANDS),
    "bytes": (photons((40, 8, 8, 3)) * (255, 5, 255)).astype(np.uint8),
}


@pytest.mark.parametrize("X", COMMON.values(), ids=COMMON)
def test_colors_have_one_range(X):
    spec = describe(X)
    high = 255 if X.dtype == np.uint8 else X.max()
    assert (spec.shift, spec.scale) == (
        pytest.approx(0, abs=1e-3),
        pytest.approx(1 / high, rel=1e-3),
    )


def test_channels_far_from_each_other_have_their_own_ranges():
    X = photons((40, 8, 8, 2))
    X[..., 1] += 1000
    assert describe(X).shift == pytest.approx((0, 1000), abs=0.01)


def test_a_constant_channel_among_others():
    X = bands()
    X[..., 3] = 7
    batch = describe(X).to_tensor(X)
    assert (batch[:, 3] == 0).all()
    assert np.isfinite(batch.numpy()).all()


def test_a_mark_of_missing_pixels_in_one_channel():
    X = bands()
    X[:2, 0, 0, 5] = -99_999
    with pytest.warns(UserWarning, match=r"Channel 5 of X has pixels from -99999 .*marks missing"):
        ssl = SimCLRTransformer(max_epochs=0).fit(X)
    assert ssl.input_spec_.shift[5] >= 0


def test_a_channel_in_another_unit_is_named():
    X = bands()
    ssl = SimCLRTransformer(max_epochs=0).fit(X)
    ssl.transform(X)
    other = X.copy()
    other[..., 11] *= 100
    with pytest.warns(UserWarning, match=r"Channel 11 of X has pixels from .* unit"):
        ssl.transform(other)


@pytest.mark.parametrize("dtype", [np.float32, np.float64, np.int32])
def test_flat_rows_and_batches_of_any_size_agree(dtype):
    X = bands(20).astype(dtype)
    Z = SimCLRTransformer(max_epochs=1, random_state=0).fit_transform(X)
    flat = SimCLRTransformer(max_epochs=1, random_state=0, image_shape=X.shape[1:])
    np.testing.assert_array_equal(flat.fit_transform(X.reshape(20, -1)), Z)
    np.testing.assert_array_equal(flat.transform(X[:3].reshape(3, -1)), Z[:3])


def test_predictions_are_in_the_units_of_each_channel():
    X = bands()
    shown = MaskedAutoencoder(max_epochs=1, random_state=0).fit(X).reconstruct(X[:5])
    np.testing.assert_allclose(shown.input, X[:5], rtol=1e-3, atol=0.1)
    assert (np.abs(shown.prediction - OFFSETS) <= 2 * SCALES).all()
    clips = photons((12, 4, 8, 8, 2)) * (1, 1000)
    ssl = NextFrameEmbedder(max_epochs=1, random_state=0).fit(clips)
    assert len(ssl.input_spec_.shift) == 2
    assert ssl.predict_next(clips, 1).shape == (12, 1, 8, 8, 2)


@every_image_estimator
def test_every_estimator_of_images_takes_bands(Estimator):
    X = bands(12, side=16)
    ssl = make(Estimator, {}).fit(X)
    Z = ssl.transform(X)
    assert np.isfinite(Z).all()
    np.testing.assert_array_equal(pickle.loads(pickle.dumps(ssl)).transform(X), Z)
    assert np.isfinite(ssl.score(X))


@pytest.mark.parametrize("dtype", [np.uint16, np.int16, np.int32, np.float16, np.float32, bool])
def test_numbers_of_any_dtype_and_mapped_ones_are_read_alike(dtype, tmp_path):
    X = (photons((12, 8, 8)) * (1 if dtype is bool else 1000)).round().astype(dtype)
    ssl = SimCLRTransformer(modality="image", max_epochs=1, random_state=0).fit(X)
    Z = ssl.transform(X)
    np.testing.assert_array_equal(ssl.transform(X.astype(float)), Z)
    np.save(tmp_path / "X.npy", X)
    np.testing.assert_array_equal(ssl.transform(np.load(tmp_path / "X.npy", mmap_mode="r")), Z)


# Volumes --------------------------------------------------------------------------------------


@pytest.mark.parametrize("shape", [(12, 6, 8, 8), (12, 6, 8, 8, 1)])
def test_volumes_are_refused_with_the_lines_that_make_slices_of_them(shape):
    X = photons(shape)
    with pytest.raises(ValueError, match="If X holds volumes") as caught:
        SimCLRTransformer().fit(X)
    slices, mean = re.search(r"slices = (.*), and .*: (ssl.*\))\.$", str(caught.value)).groups()
    slices = eval(slices, {"X": X})
    ssl = SimCLRTransformer(modality="image", max_epochs=1).fit(slices)
    Z = eval(mean, {"X": X, "ssl": ssl, "slices": slices})
    np.testing.assert_allclose(Z[3], ssl.transform(X[3]).mean(axis=0), rtol=1e-4, atol=1e-5)
