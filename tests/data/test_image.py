"""Images and videos: the order of their axes, and the range of their pixels."""

import warnings

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression

from sklearn_ssl import MaskedAutoencoder, NextFrameEmbedder, SimCLRTransformer
from sklearn_ssl.data.pixels import pixel_range
from tests.helpers import batch_shape, describe

rng = np.random.default_rng(0)


def make(Estimator=SimCLRTransformer, **params):
    return Estimator(max_epochs=1, random_state=0, **params)


# Axes -----------------------------------------------------------------------------------------

REFUSED = {
    "gray": ((1, 8, 9), None, r"channels first.*np\.moveaxis\(X, 1, -1\)"),
    "RGB": ((3, 32, 40), None, r"channels first.*np\.moveaxis\(X, 1, -1\)"),
    "13 bands": ((13, 32, 32), None, r"channels first.*np\.moveaxis\(X, 1, -1\).*(13, 32, 32)"),
    "volumes": ((10, 32, 32), None, r"volumes.*slices = X\.reshape\(-1, \*X\.shape\[2:\]\)"),
    "200 bands": ((200, 9, 9), None, r"channels first.*np\.moveaxis\(X, 1, -1\)"),
    "flat": ((3072,), (3, 32, 32), r"np\.moveaxis\(X\.reshape\(-1, 3, 32, 32\), 1, -1\)"),
    "flat, 5 bands": ((320,), (5, 8, 8), r"np\.moveaxis\(X\.reshape\(-1, 5, 8, 8\), 1, -1\)"),
    "would be mixed": ((3, 32, 32), (32, 32, 3), r"mix its pixels.*np\.moveaxis\(X, 1, -1\)"),
    "sides exchanged": ((24, 32), (32, 24), r"mix its pixels.*np\.swapaxes\(X, 1, 2\)"),
    "colored sides": ((24, 32, 3), (32, 24, 3), r"mix its pixels.*np\.swapaxes\(X, 1, 2\)"),
    "as many pixels": ((8, 8), (4, 16), r"mix its pixels.*Leave it out"),
}


@pytest.mark.parametrize(("row", "image_shape", "match"), REFUSED.values(), ids=REFUSED.keys())
@pytest.mark.parametrize("Estimator", [SimCLRTransformer, MaskedAutoencoder])
def test_axes_that_cannot_be_meant(Estimator, row, image_shape, match):
    modality = "image" if len(row) == 2 else "auto"
    with pytest.raises(ValueError, match=match):
        make(Estimator, modality=modality, image_shape=image_shape).fit(np.zeros((6, *row)))


DOUBTFUL = {
    "bands first": ((13, 30, 32), r"channels first.*np\.moveaxis\(X, 1, -1\)"),
    "many bands first": ((200, 9, 11), r"channels first.*np\.moveaxis\(X, 1, -1\)"),
    "rows last": ((32, 20, 2000), r"rows last.*np\.moveaxis\(X, -1, 0\)"),
    "colors, rows last": ((32, 3, 60), r"rows last.*np\.moveaxis\(X, -1, 0\)"),
    "small and colored": ((3, 4, 4), r"channels first.*np\.moveaxis\(X, 1, -1\)"),
    "small and gray": ((1, 3, 3), r"channels first.*np\.moveaxis\(X, 1, -1\)"),
    "cubes": ((28, 28, 28), r"28 channels.*volumes.*slices = X\.reshape\(-1, \*X\.shape\[2:\]\)"),
    "thick slices": ((30, 64, 48), r"channels first.*volumes.*slices = X\.reshape"),
    "four bands": ((4, 3, 3), r"channels first.*np\.moveaxis\(X, 1, -1\)"),
}


@pytest.mark.parametrize(("row", "match"), DOUBTFUL.values(), ids=DOUBTFUL.keys())
def test_doubtful_axes_are_settled_by_modality_and_shape(row, match):
    with pytest.warns(UserWarning, match=match):
        read = batch_shape(row)
    assert batch_shape(row, "image", row) == read


def test_refused_axes_that_may_be_meant_are_settled_too():
    row = (13, 32, 32)
    assert batch_shape(row, "image", row)[0] == (32, 13, 32)
    with pytest.raises(ValueError, match="channels first"):
        batch_shape((3, 32, 32), "image", (3, 32, 32))  # three pixels high


@pytest.mark.parametrize(
    "row",
    [
        *[(28, 28, 1), (32, 40, 3), (8, 100, 4), (64, 64, 13), (16, 16, 15), (64, 48, 20)],
        *[(9, 9, 200), (3, 3, 200), (10, 12, 200), (1, 1, 50)],
    ],
)
def test_usual_axes(row):
    assert batch_shape(row)[0] == (row[2], row[0], row[1])


VIDEOS = {
    "(t, c, h, w)": ((5, 3, 12, 12), r"np\.moveaxis\(X, 2, -1\)"),
    "(t, c, h, w) of another shape": ((5, 1, 12, 20), r"np\.moveaxis\(X, 2, -1\)"),
    "(c, t, h, w)": ((3, 10, 12, 12), r"np\.moveaxis\(X, 1, -1\)"),
    "images": ((12, 14, 3), "looks like images in color"),
}


@pytest.mark.parametrize(("row", "match"), VIDEOS.values(), ids=VIDEOS.keys())
def test_axes_of_videos_that_cannot_be_meant(row, match):
    with pytest.raises(ValueError, match=match):
        make(NextFrameEmbedder).fit(np.zeros((6, *row)))


def test_doubtful_axes_of_videos():
    with pytest.warns(UserWarning, match=r"channels first.*np\.moveaxis\(X, 2, -1\)"):
        make(NextFrameEmbedder).fit(rng.random((6, 5, 7, 12, 12)))
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "X has shape .* which looks like")
        make(NextFrameEmbedder).fit(rng.random((6, 5, 7, 12, 12)))


@pytest.mark.parametrize("row", [(5, 12, 12, 3), (3, 8, 10, 1), (4, 12, 14, 13), (6, 8, 8, 8)])
def test_usual_axes_of_videos(row):
    time, channels, height, width = batch_shape(row, "video")[0]
    assert (time, height, width, channels) == row


@pytest.mark.parametrize("method", ["transform", "score", "partial_fit"])
@pytest.mark.parametrize(
    ("got", "remedy"),
    [((3, 8, 10), r"np\.moveaxis\(X, 1, -1\)"), ((10, 8, 3), r"np\.swapaxes\(X, 1, 2\)")],
)
def test_exchanged_axes_after_fit_are_named(got, remedy, method):
    estimator = make().fit(rng.random((6, 8, 10, 3)))
    with pytest.raises(ValueError, match=remedy):
        getattr(estimator, method)(np.zeros((4, *got)))


# Another unit ---------------------------------------------------------------------------------

BYTES = rng.integers(0, 256, (40, 8, 8)).astype(np.uint8)
KINDS = pytest.mark.parametrize(
    ("Estimator", "params", "shape"),
    [
        (SimCLRTransformer, {"image_shape": (8, 8)}, (40, 64)),
        (MaskedAutoencoder, {"modality": "image"}, (40, 8, 8)),
        (NextFrameEmbedder, {}, (40, 4, 4, 4)),
    ],
    ids=["flat", "MAE", "videos"],
)
OTHER_UNITS = {
    "uint8, float": (BYTES, BYTES / np.float32(255), r"0 to 1.*0 to 255.*X \* 255"),
    "float, uint8": (BYTES / 255, BYTES, r"0 to 255.*0 to 1;.*X / 255"),
    "float, float 255": (BYTES / 255, BYTES.astype(np.float16), r"0 to 255.*0 to 1;.*X / 255"),
    "uint8, standardized": (BYTES, BYTES / 75 - 1.7, r"-1\.7 to 1\.7.*0 to 255"),
    "uint16, float": (BYTES * np.uint16(257), BYTES / 255, r"0 to 1.*0 to 65535.*X \* 65535"),
    "float, uint16": (BYTES / 255, BYTES * np.uint16(257), r"0 to 65535.*0 to 1;.*X / 65535"),
    "uint8, uint16": (BYTES, BYTES * np.uint16(257), "0 to 65535.*0 to 255"),
    "float, [-1, 1]": (BYTES / 255, BYTES / 127.5 - 1, "-1 to 1.*0 to 1;"),
    "fractions, float": (BYTES * 0.99, BYTES / 255, "0 to 1.*0 to 252"),
    "of 16, float": ((BYTES // 16).astype(float), BYTES / 255, "0 to 1.*0 to 15"),
    "uint16, uint8": (BYTES * np.uint16(257), BYTES, r"bytes from 0 to 255.*65535.*X \* 257"),
    "12 bits, uint8": (BYTES * np.uint16(16), BYTES, "bytes from 0 to 255.*0 to 4080"),
    "uint8, boolean": (BYTES, BYTES > 100, r"booleans from 0 to 1.*0 to 255.*X \* 255"),
    "uint8, two levels": (BYTES, (BYTES > 100).astype(float), r"0 to 1.*0 to 255.*X \* 255"),
    "int16, float": (BYTES.astype(np.int16), BYTES / 255, r"0 to 1.*0 to 255.*X \* 255"),
}


def assert_another_unit_is_named(Estimator, params, X, other, match):
    estimator = make(Estimator, **params).fit(X)
    for method in (estimator.transform, estimator.score, estimator.partial_fit):
        with pytest.warns(UserWarning, match=match):
            method(other)
    estimator.set_params(warm_start=True)
    with pytest.warns(UserWarning, match=match):
        estimator.fit(other)
    with pytest.warns(UserWarning, match=match):
        make(Estimator, **params).fit(X, X_unlabeled=other)


@pytest.mark.parametrize(("X", "other", "match"), OTHER_UNITS.values(), ids=OTHER_UNITS.keys())
def test_pixels_in_another_unit(X, other, match):
    assert_another_unit_is_named(SimCLRTransformer, {"modality": "image"}, X, other, match)


@KINDS
@pytest.mark.parametrize("case", ["uint8, float", "float, uint8"])
def test_pixels_in_another_unit_of_every_kind(Estimator, params, shape, case):
    X, other, match = OTHER_UNITS[case]
    X, other = X.reshape(shape), other.reshape(shape)
    assert_another_unit_is_named(Estimator, params, X, other, match)


HEALTHY = {
    "half precision": ((BYTES * 256.0).astype(np.float16),) * 2,
    "bytes of few whole numbers": (BYTES * 5.0, BYTES),
    "two levels of bytes": (BYTES, (BYTES > 100).astype(np.uint8)),
    "white and black": (BYTES / 255, (BYTES > 100).astype(float)),
    "dark uint8": (BYTES, BYTES // 100),
    "dark, as float": (BYTES, (BYTES // 100).astype(float)),
    "black": (BYTES, np.zeros((40, 8, 8))),
    "dark fractions": (BYTES / 255, BYTES / 255 / 1000),
    "some rows": (BYTES / 255, BYTES[:1] / 255),
    "a little brighter": (BYTES / 255, BYTES / 200),
    "scaled by column": (BYTES / 255, np.where(rng.random((40, 8, 8)) > 0.995, 4, BYTES / 255)),
    "float in bytes": (BYTES, BYTES.astype(np.float32)),
    "resized": (BYTES, BYTES * 0.3 + 1.5),
    "int16": (BYTES.astype(np.int16) * 100, BYTES.astype(np.int16)),
    "boolean": (BYTES > 100, BYTES > 200),
}


@pytest.mark.parametrize(("X", "other"), HEALTHY.values(), ids=HEALTHY.keys())
def test_healthy_pixels_are_no_alarm(X, other):
    estimator = make(modality="image").fit(X)
    estimator.transform(other)
    estimator.score(other if len(other) > 1 else X)
    estimator.partial_fit(other if len(other) > 1 else X)


# One pixel far from all others ----------------------------------------------------------------

MARKS = [-9999, 1e20, -3.4e38, 9.97e36, 1e5]


def marked(X, value, n=2):
    X = X.copy()
    X[:n, 0, 0] = value
    return X


@pytest.mark.parametrize("value", MARKS)
@pytest.mark.parametrize("share", [0.001, 0.1, 0.7])
def test_marks_of_missing_pixels_do_not_rule_the_range(value, share):
    X = rng.random((80, 8, 8)).astype(np.float32)
    X[rng.random(X.shape) < share] = value
    np.testing.assert_allclose(pixel_range(X), (0, 1), atol=0.05)


def test_marks_in_sparse_images_and_several_of_them():
    X = np.where(rng.random((80, 8, 8)) > 0.9, rng.random((80, 8, 8)), 0)
    expected = pixel_range(X)
    X[rng.random(X.shape) < 0.1] = -9999
    X[rng.random(X.shape) < 0.1] = -3.4e38
    X[:2, 3, 3] = 255, 1e20
    assert pixel_range(X) == pytest.approx(expected, rel=0.1)


@pytest.mark.parametrize(
    ("dtype", "value"),
    [(np.int16, -9999), (np.int16, -32768), (np.uint16, 65535), (np.int32, -(2**31))],
)
def test_marks_among_whole_numbers(dtype, value):
    X = rng.integers(0, 1000, (40, 8, 8)).astype(dtype)
    X[0, 1, :2] = 0, 999
    assert pixel_range(marked(X, value)) == (0, 1 / 999)


@KINDS
@pytest.mark.parametrize("value", [-9999, 1e20])
def test_marks_warn_and_change_little(Estimator, params, shape, value):
    X = rng.random((40, 8, 8))
    clean = make(Estimator, **params).fit(X.reshape(shape)).input_spec_
    X = marked(X, value).reshape(shape)
    with pytest.warns(UserWarning, match=rf"{value:g}".replace("+", r"\+") + " marks missing"):
        estimator = make(Estimator, **params).fit(X)
    assert estimator.input_spec_.scale == pytest.approx(clean.scale, rel=0.05)
    for method in (estimator.transform, estimator.score, estimator.partial_fit):
        with pytest.warns(UserWarning, match="marks missing"):
            method(X)


ORDINARY = {
    "uniform": rng.random((40, 8, 8)),
    "normal": rng.normal(size=(40, 8, 8)),
    "binary": (rng.random((40, 8, 8)) > 0.99).astype(float),
    "masks": rng.choice([0, 1, 255], (40, 8, 8), p=[0.6, 0.399, 0.001]).astype(np.int16),
    "lines": np.where(rng.random((40, 8, 8)) > 0.97, rng.random((40, 8, 8)), 0),
    "spots": rng.normal(0, 0.01, (40, 16, 16)) + (rng.random((40, 16, 16)) > 0.9),
    "rare and bright": np.where(rng.random((40, 16, 16)) > 0.995, 1.0, 0)
    + rng.normal(0, 1e-3, (40, 16, 16)),
    "binary but for rounding": (rng.random((40, 16, 16)) > 0.8) + 1e-16 * rng.random((40, 16, 16)),
    "constant": np.ones((40, 8, 8)),
    "uint8": marked(BYTES // 100, 255),
    "few": np.array([[[0.0, 0.1], [0.2, 1000.0]]] * 4),
}


@pytest.mark.parametrize("X", ORDINARY.values(), ids=ORDINARY.keys())
def test_ordinary_pixels_keep_their_range(X):
    low, high = (0, 255) if X.dtype == np.uint8 else (float(X.min()), float(X.max()))
    expected = (low, 1 / (high - low) if high > low else 1.0)
    assert pixel_range(X) == expected
    spec = describe(X, "image")
    batch = spec.to_tensor(X)  # and none is clipped
    np.testing.assert_allclose(batch.numpy()[:, 0], (X - low) * expected[1], atol=1e-5)


def test_a_hot_pixel_costs_no_accuracy(digits):
    X, y = digits[0].reshape(-1, 8, 8) / 16, digits[1]

    def probe(X):
        ssl = SimCLRTransformer(modality="image", max_epochs=5, random_state=0).fit(X[:600])
        head = LogisticRegression(max_iter=2000).fit(ssl.transform(X[:600]), y[:600])
        return head.score(ssl.transform(X[1200:]), y[1200:])

    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "X has pixels from")
        assert probe(marked(X, -9999, 10)) > probe(X) - 0.05


def test_negative_fractions_are_their_own_range():
    make(modality="image").fit(500 * rng.random((40, 8, 8)) - 499.5).transform(np.zeros((2, 8, 8)))


def test_a_range_beyond_float32_is_refused():
    X = rng.random((40, 8, 8))
    with pytest.raises(ValueError, match=r"1e\+300, too large.*replace.*divide X"):
        make(modality="image").fit(X * 1e300 / X.max())
    with pytest.raises(ValueError, match=r"e-41, too close.*Multiply X"):
        make(modality="image").fit(X * 1e-40)
