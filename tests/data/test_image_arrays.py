"""Lists of images in arrays: which ones are resized, and how."""

import io

import joblib
import numpy as np
import pytest
from PIL import Image
from sklearn.datasets import load_sample_images
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline

from sklearn_ssl import (
    FineTuneClassifier,
    MaskedAutoencoder,
    SimCLRTransformer,
    TS2VecTransformer,
    load_images,
)
from sklearn_ssl.data import stored_arrays
from sklearn_ssl.data.image_arrays import ImageArrays
from sklearn_ssl.data.image_files import UnreadableImageError
from sklearn_ssl.semi_supervised import LabeledOnly, SemiSupervisedSplit

PHOTO = load_sample_images().images[0]
SIZE = 16


def make(Estimator=SimCLRTransformer, **params):
    return Estimator(**{"image_size": SIZE, "max_epochs": 1, "random_state": 0, **params})


def parts(n=12, dtype=np.uint8, channels=(0, 1, 2)):
    """Return parts of a photo, of different sizes, in an array each."""
    rng = np.random.default_rng(0)
    images = []
    for _ in range(n):
        height, width = rng.integers(SIZE, 40, 2)
        top, left = rng.integers(0, 300, 2)
        part = PHOTO[top : top + height, left : left + width, channels]
        images.append(part.astype(dtype) * (1 if dtype == np.uint8 else dtype(7)))
    return images


def as_files(images):
    files = []
    for image in images:
        file = io.BytesIO()
        Image.fromarray(image).save(file, "PNG")
        files.append(file.getvalue())
    return files


@pytest.mark.parametrize("channels", [0, [0, 1, 2], [0, 1, 2, 0]], ids=["gray", "RGB", "RGBA"])
@pytest.mark.parametrize("params", [{}, {"image_resize": "pad"}, {"image_size": (8, 12, 1)}])
def test_bytes_are_read_as_from_files(channels, params):
    X = parts(channels=channels)
    ssl = make(**params).fit(X)
    files = as_files(X)
    Z = ssl.transform(X)
    np.testing.assert_array_equal(Z, ssl.transform(files))
    np.testing.assert_array_equal(Z, make(**params).fit(files).transform(files))


def test_load_images_reads_arrays_of_bytes():
    X = parts()
    (read, _), (expected, _) = (load_images(images, size=SIZE) for images in (X, as_files(X)))
    np.testing.assert_array_equal(read, expected)
    with pytest.raises(ValueError, match="or of arrays of uint8; got"):
        load_images(parts(dtype=np.float32))


def resized(X, size=(SIZE, SIZE), resize="crop"):
    return ImageArrays(X, size, resize)[:]


@pytest.mark.parametrize("dtype", [np.uint16, np.int16, np.int32, np.float16, np.float32, float])
@pytest.mark.parametrize("resize", ["crop", "pad"])
def test_other_numbers_are_resized_like_bytes(dtype, resize):
    X = parts()
    read = resized([image.astype(dtype) for image in X], resize=resize)
    expected = load_images(X, size=SIZE, resize=resize)[0]
    assert read.dtype == np.float32
    inside = expected.min(axis=(1, 2, 3)) > 0 if resize == "pad" else slice(None)
    # Bytes are rounded after each of the two directions.
    assert np.abs(read[inside] - expected[inside]).max() <= 1.5


def test_interpolation_stays_in_the_range_of_the_image():
    image = np.zeros((30, 30, 2), np.float32)
    image[:, 15:] = 1000, 1
    (read,) = resized([image], (11, 11))
    np.testing.assert_array_equal(read.min(axis=(0, 1)), [0, 0])
    np.testing.assert_array_equal(read.max(axis=(0, 1)), [1000, 1])


def test_borders_are_as_dark_as_the_darkest_pixel():
    image = np.full((10, 20, 2), (-1000.0, 5))
    image[2:8, 2:18] = 500
    (read,) = resized([image], (20, 20), "pad")
    assert read.shape == (20, 20, 2)
    np.testing.assert_array_equal(read[:5], np.full((5, 20, 2), (-1000, 5)))
    np.testing.assert_array_equal(read[10, 10], 500)


def test_images_of_the_right_size_stay_as_they_are():
    X = [np.random.default_rng(0).normal(size=(9, 7, 5)) for _ in range(3)]
    np.testing.assert_array_equal(resized(X, (9, 7)), np.float32(X))


def test_channels_are_resized_apart():
    X = parts(dtype=np.float32, channels=[0, 1, 2, 0, 1])
    read = resized(X)
    for channel in range(5):
        alone = resized([image[..., channel] for image in X])
        np.testing.assert_array_equal(read[..., channel], alone)


def test_bytes_in_bands_stay_bytes():
    X = parts(channels=[0, 1, 2, 0, 1])
    assert make().fit(X).input_spec_.row_shape == (SIZE, SIZE, 5)
    read = resized(X)
    assert read.dtype == np.uint8
    expected, _ = load_images([image[..., :3] for image in X], size=SIZE)
    assert np.abs(read[..., :3] - expected.astype(float)).max() <= 1.5


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.float32])
@pytest.mark.parametrize("channels", [0, [0, 1, 2], [0, 1, 2, 0, 1]], ids=["gray", "RGB", "5"])
def test_fit_and_transform_agree(dtype, channels):
    X = parts(dtype=dtype, channels=channels)
    ssl = make(image_resize="pad")
    Z = ssl.fit_transform(X)
    np.testing.assert_array_equal(ssl.transform(X), Z)
    np.testing.assert_array_equal(ssl.transform(X[:1]), Z[:1])
    column = np.empty(len(X), object)
    column[:] = X
    np.testing.assert_array_equal(ssl.transform(column), Z)
    ssl.set_params(image_resize="crop")  # that of fit is remembered
    np.testing.assert_array_equal(ssl.transform(tuple(X)), Z)
    assert ssl.score(X) == ssl.score(column)


def test_equal_images_in_a_list_are_resized_too():
    X = [np.full((20, 30, 3), 10.0 * i) for i in range(12)]
    assert make().fit(X).input_spec_.row_shape == (SIZE, SIZE, 3)
    with pytest.raises(ValueError, match=r"20 x 30 pixels.*image_size out, or pass list\(X\)"):
        make().fit(np.stack(X))


@pytest.mark.parametrize("in_memory", [2**30, 0])
def test_many_images_are_mapped_from_a_file(in_memory, monkeypatch):
    monkeypatch.setattr(stored_arrays, "IN_MEMORY", in_memory)
    X = parts(dtype=np.uint16)
    read = ImageArrays(X, (SIZE, SIZE), "crop").decoded()
    np.testing.assert_array_equal(read, resized(X))
    assert read.flags.writeable == (in_memory > 0)


REFUSED = {
    "dtype": (lambda X: X[3].astype(np.float32), r"Row 3 of X is an array of float32.*uint16"),
    "channels": (lambda X: X[3][..., 0], r"Row 3 of X is an array .* channels of row 0.*, 3\)"),
    "image of PIL": (lambda X: Image.new("RGB", (20, 20)), "Row 3 of X is an image of PIL"),
    "path": (lambda X: "photo.jpg", "Row 3 of X is the file 'photo.jpg'"),
    "None": (lambda X: None, r"Row 3 of X is missing \(None\)"),
    "text": (lambda X: 3.0, "Row 3 of X is of type float"),
}


@pytest.mark.parametrize(("spoil", "match"), REFUSED.values(), ids=REFUSED)
def test_rows_of_another_kind_are_named(spoil, match):
    X = parts(dtype=np.uint16)
    ssl = make().fit(X)
    X[3] = spoil(X)
    with pytest.raises(UnreadableImageError, match=match):
        make().fit(X)
    with pytest.raises(UnreadableImageError, match=match):
        ssl.transform(X)


def test_missing_and_masked_pixels_are_refused():
    X = parts(dtype=np.float32)
    X[2][5, 5] = np.nan
    with pytest.raises(ValueError, match=r"Row 2 .* missing"):
        make().fit(X)
    X[2] = np.ma.masked_invalid(X[2])
    with pytest.raises(ValueError, match="masked values, but images must be complete"):
        make().fit(X)


def test_numbers_beyond_float32_are_refused():
    X = parts(dtype=float)
    X[2] = X[2] * 1e300
    with pytest.raises(ValueError, match=r"Row 2 .* too large for float32.*median"):
        make().fit(X)


def test_without_a_size_the_error_names_it():
    for X in (parts(), parts(dtype=np.float32)):
        with pytest.raises(ValueError, match=r"inhomogeneous.*lists of arrays.*image_size=64"):
            make(image_size=None).fit(X)


@pytest.mark.parametrize(
    ("params", "match"),
    [
        ({"image_size": (8, 8, 1)}, r"1 channels, but X holds arrays of float32 with 3.*\(8, 8\)"),
        ({"image_size": (8, 8, 2)}, "image_size must be"),
        ({"modality": "series"}, 'requires modality="image"'),
    ],
)
def test_sizes_that_do_not_go_with_arrays(params, match):
    with pytest.raises(ValueError, match=match):
        make(**params).fit(parts(dtype=np.float32))


def test_other_estimators_still_read_lists_of_series():
    X = [np.random.default_rng(i).normal(size=(2, 9 + i)) for i in range(8)]
    assert TS2VecTransformer(max_epochs=1).fit(X).input_spec_.row_shape == (2, 16)


def test_channels_of_another_number_after_fit():
    ssl = make().fit(parts(dtype=np.float32))
    with pytest.raises(ValueError, match=r"rows of shape \(16, 16, 4\)"):
        ssl.transform(parts(dtype=np.float32, channels=[0, 1, 2, 0]))


def test_tools_of_scikit_learn(tmp_path):
    X, y = parts(24, dtype=np.uint16), np.arange(24) % 2
    pipeline = make_pipeline(make(), LogisticRegression())
    search = GridSearchCV(pipeline, {"logisticregression__C": [0.1, 1]}, cv=2, error_score="raise")
    assert search.fit(X, y).predict(X).shape == (24,)
    few = np.where(np.arange(24) < 12, y, -1)
    folds = SemiSupervisedSplit(2)
    pipeline = make_pipeline(make(), LabeledOnly(LogisticRegression()))
    search = GridSearchCV(pipeline, {"labeledonly__estimator__C": [0.1, 1]}, cv=folds)
    assert search.fit(X, few).predict(X).shape == (24,)
    for strategy in ("probe", "probe-then-full", "fixmatch"):
        tuned = FineTuneClassifier(make(), strategy=strategy, max_epochs=1, random_state=0)
        assert tuned.fit(X, few).predict(X).shape == (24,)
    joblib.dump(tuned, tmp_path / "tuned.joblib")
    again = joblib.load(tmp_path / "tuned.joblib")
    np.testing.assert_array_equal(again.predict_proba(X), tuned.predict_proba(X))


def test_reconstructions_have_the_size_of_the_network():
    X = parts(dtype=np.uint16)
    ssl = make(MaskedAutoencoder).fit(X, X_unlabeled=X[:5])
    assert ssl.reconstruct(X).prediction[0].shape == (SIZE, SIZE, 3)
    assert ssl.partial_fit(X).transform(X).shape[0] == 12
