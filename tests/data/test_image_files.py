"""Images from files and bytes: how they are read, and which estimators and tools take them."""

import io
import re
import warnings
from collections.abc import Sequence
from pathlib import Path

import joblib
import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
from PIL import Image
from sklearn.datasets import load_sample_images
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV, cross_val_score
from sklearn.pipeline import make_pipeline

from sklearn_ssl import (
    CausalLMEmbedder,
    DINOTransformer,
    FineTuneClassifier,
    MaskedAutoencoder,
    NextFrameEmbedder,
    SimCLRTransformer,
    VIMETransformer,
    load_images,
)
from sklearn_ssl.data import image_files, stored_arrays
from sklearn_ssl.data.image_files import ImageFiles, UnreadableImageError, read_image
from sklearn_ssl.evaluation import evaluate_representation
from sklearn_ssl.semi_supervised import LabeledOnly, SemiSupervisedSplit

PHOTOS = load_sample_images().images  # of 427 x 640 pixels
SIZE = 16


def make(Estimator=SimCLRTransformer, **params):
    return Estimator(**{"image_size": SIZE, "max_epochs": 1, "random_state": 0, **params})


def encoded(image, kind="PNG", **options):
    """Return the bytes of a file."""
    file = io.BytesIO()
    (image if isinstance(image, Image.Image) else Image.fromarray(image)).save(
        file, kind, **options
    )
    return file.getvalue()


@pytest.fixture(scope="module")
def paths(tmp_path_factory):
    """JPEG and PNG files of different sizes: 12 parts of each of two photos."""
    folder, rng = tmp_path_factory.mktemp("photos"), np.random.default_rng(0)
    paths = []
    for k, photo in enumerate(PHOTOS):
        for i in range(12):
            height, width = rng.integers(40, 90, 2)
            top, left = rng.integers(0, 427 - height), rng.integers(0, 640 - width)
            paths.append(folder / f"{k}-{i}.{('jpg', 'png')[i % 2]}")
            part = photo[top : top + height, left : left + width]
            Image.fromarray(part).save(paths[-1], quality=95)
    return paths


@pytest.fixture(scope="module")
def y():
    return np.repeat([0, 1], 12)


@pytest.fixture(scope="module")
def fitted(paths):
    return make().fit(paths)


# One image ----------------------------------------------------------------------------------------


def reference(image, size):
    """Return the middle of an image, resized by Pillow: what read_image is expected to do."""
    side = min(image.size)
    left, top = (image.width - side) / 2, (image.height - side) / 2
    box = (left, top, left + side, top + side)
    return np.asarray(image.resize((size, size), Image.Resampling.BICUBIC, box=box))


@pytest.mark.parametrize("shape", [(40, 60), (60, 40), (33, 71), (10, 8), (32, 32)])
def test_the_middle_is_resized(shape):
    image = Image.fromarray(PHOTOS[0][: shape[0], : shape[1]])
    pixels = read_image(encoded(image), (32, 32, 3))
    np.testing.assert_array_equal(pixels, reference(image, 32))


def test_sides_may_differ():
    image = Image.fromarray(PHOTOS[0])
    pixels = read_image(encoded(image), (20, 60, 3))
    height = 640 * 20 / 60
    box = (0, (427 - height) / 2, 640, (427 + height) / 2)
    expected = image.resize((60, 20), Image.Resampling.BICUBIC, box=box)
    np.testing.assert_array_equal(pixels, np.asarray(expected))


@pytest.mark.parametrize("shape", [(40, 60), (60, 40), (3, 200), (200, 3)])
def test_all_of_a_padded_image_is_there(shape):
    image = np.full((*shape, 3), 200, np.uint8)
    pixels = read_image(encoded(image), (30, 30, 3), "pad")
    seen = (pixels == 200).all(axis=2)
    expected = np.maximum(1, np.round(np.array(shape) * 30 / max(shape)))
    assert (pixels[~seen] == 0).all()
    np.testing.assert_array_equal([seen.any(axis=1).sum(), seen.any(axis=0).sum()], expected)
    borders = np.flatnonzero(seen.any(axis=1)), np.flatnonzero(seen.any(axis=0))
    for rows in borders:  # in the middle
        assert abs(rows[0] - (29 - rows[-1])) <= 1


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("size", [(8, 8, 3), (20, 30, 3), (64, 48, 3)])  # the first: reduced JPEG
def test_images_are_upright(orientation, size):
    """A camera that is held sideways stores the sensor's pixels, and how to turn them."""
    upright = Image.fromarray(PHOTOS[1][:240, :320]).resize((160, 120))
    stored_by = {
        **{2: "FLIP_LEFT_RIGHT", 3: "ROTATE_180", 4: "FLIP_TOP_BOTTOM", 5: "TRANSPOSE"},
        **{6: "ROTATE_90", 7: "TRANSVERSE", 8: "ROTATE_270"},  # the inverse of what a reader does
    }
    sensor = upright
    if orientation > 1:
        sensor = upright.transpose(Image.Transpose[stored_by[orientation]])
    exif = Image.Exif()
    exif[0x0112] = orientation
    jpeg = {"quality": 95, "subsampling": 0}
    for kind, options in {"JPEG": jpeg, "PNG": {}, "TIFF": {}, "WEBP": {"lossless": True}}.items():
        content = encoded(sensor, kind, exif=exif, **options)
        for resize in ("crop", "pad"):
            pixels = read_image(content, size, resize)
            expected = read_image(encoded(upright), size, resize)
            assert np.abs(pixels.astype(int) - expected).mean() < (1.5 if kind == "JPEG" else 0.5)
            if kind == "JPEG":
                image = Image.open(io.BytesIO(content))
                pixels = read_image(image, size, resize)
                assert np.abs(pixels.astype(int) - expected).mean() < 1.5


def test_an_image_of_pil_stays_as_it_is():
    image = Image.fromarray(PHOTOS[0][:40, :60])
    image.getexif()[0x0112] = 6
    before = np.asarray(image).copy()
    pixels = read_image(image, (16, 16, 3))
    np.testing.assert_array_equal(np.asarray(image), before)
    turned = image.transpose(Image.Transpose.ROTATE_270)
    np.testing.assert_allclose(pixels, reference(turned, 16), atol=1)


GRAY = PHOTOS[0][:32, :32, 0]


def test_gray_and_color():
    in_color = read_image(encoded(GRAY), (32, 32, 3))
    np.testing.assert_array_equal(in_color, np.repeat(GRAY[..., None], 3, axis=2))
    np.testing.assert_array_equal(read_image(encoded(GRAY), (32, 32, 1))[..., 0], GRAY)
    photo = Image.fromarray(PHOTOS[0][:32, :32])
    pixels = read_image(encoded(photo), (32, 32, 1))
    np.testing.assert_array_equal(pixels[..., 0], np.asarray(photo.convert("L")))


def test_16_bits_become_the_upper_8():
    values = (np.arange(1024).reshape(32, 32) * 64).astype(np.uint16)
    for kind in ("PNG", "TIFF"):
        pixels = read_image(encoded(values, kind), (32, 32, 1))
        np.testing.assert_array_equal(pixels[..., 0], values >> 8)


def test_a_white_16_bit_image_is_white():
    values = np.full((8, 8), 2**16 - 1, np.uint16)
    assert (read_image(encoded(values), (8, 8, 3)) == 255).all()


@pytest.mark.parametrize("dtype", [np.float32, np.int32])
def test_pixels_of_unknown_range_are_refused(dtype):
    files = ImageFiles([encoded(np.ones((8, 8), dtype), "TIFF")], (8, 8, 3), "crop")
    with pytest.raises(ValueError, match=r"32 bits.*read such files as arrays"):
        files[:]


def test_what_is_transparent_becomes_white():
    colors = np.zeros((8, 8, 4), np.uint8)
    colors[..., 0] = 200
    colors[:4, :, 3], colors[4:, :, 3] = 255, 0
    expected = np.full((8, 8, 3), 255)
    expected[:4] = 200, 0, 0
    np.testing.assert_array_equal(read_image(encoded(colors), (8, 8, 3)), expected)
    colors[4:, :, 3] = 51  # a fifth
    expected[4:] = 244, 204, 204
    np.testing.assert_allclose(read_image(encoded(colors), (8, 8, 3)), expected, atol=1)
    gray = Image.fromarray(np.dstack([GRAY, np.zeros_like(GRAY)]), "LA")
    assert (read_image(encoded(gray), (32, 32, 1)) == 255).all()


def test_palettes():
    image = Image.fromarray(PHOTOS[0][:32, :32]).quantize(16)
    in_color = np.asarray(image.convert("RGB"))
    np.testing.assert_array_equal(read_image(encoded(image), (32, 32, 3)), in_color)
    hidden = int(np.asarray(image)[0, 0])
    pixels = read_image(encoded(image, "PNG", transparency=hidden), (32, 32, 3))
    expected = np.where((np.asarray(image) == hidden)[..., None], 255, in_color)
    np.testing.assert_array_equal(pixels, expected)


def test_one_bit_and_cmyk():
    bits = Image.fromarray(GRAY > 128)
    assert bits.mode == "1"
    expected = (GRAY > 128)[..., None] * 255
    np.testing.assert_array_equal(read_image(encoded(bits), (32, 32, 1)), expected)
    photo = Image.fromarray(PHOTOS[0][:32, :32])
    pixels = read_image(encoded(photo.convert("CMYK"), "JPEG", quality=100), (32, 32, 3))
    assert np.abs(pixels.astype(int) - np.asarray(photo)).mean() < 2


@pytest.mark.parametrize("kind", ["GIF", "TIFF", "WEBP"])
def test_the_first_of_several_frames(kind):
    frames = [Image.new("RGB", (8, 8), color) for color in ("red", "blue")]
    content = encoded(frames[0], kind, save_all=True, append_images=frames[1:])
    red = read_image(content, (8, 8, 3)).astype(int)
    assert np.abs(red - (255, 0, 0)).max() < 6


@pytest.mark.parametrize("side", [8, 16, 32, 48, 64, 100])
@pytest.mark.parametrize("channels", [1, 3])
def test_jpeg_files_decoded_at_a_fraction_of_their_size_look_the_same(side, channels):
    """On average within a level of 255 of the whole photo, resized."""
    for photo in PHOTOS:
        photo = Image.fromarray(photo)
        reduced = read_image(encoded(photo, "JPEG", quality=95), (side, side, channels))
        whole = read_image(encoded(photo), (side, side, channels))
        assert np.abs(reduced.astype(int) - whole).mean() < 1


# Many images --------------------------------------------------------------------------------------


def test_pixels_do_not_depend_on_threads_blocks_or_memory(paths, monkeypatch):
    files = ImageFiles(paths, (SIZE, SIZE, 3), "crop")
    expected = np.stack([read_image(path, (SIZE, SIZE, 3)) for path in paths])
    for n_threads, at_once, in_memory in ((1, 256, 2**30), (3, 5, 2**30), (3, 5, 0), (2, 64, 0)):
        monkeypatch.setattr(image_files.joblib, "cpu_count", lambda n=n_threads: n)
        monkeypatch.setattr(image_files, "AT_ONCE", at_once)
        monkeypatch.setattr(stored_arrays, "IN_MEMORY", in_memory)
        images = files.decoded()
        np.testing.assert_array_equal(images, expected)
        np.testing.assert_array_equal(files[3:20:2], expected[3:20:2])
        np.testing.assert_array_equal(files[np.array([2, 2, 0])], expected[[2, 2, 0]])
        assert images.dtype == np.uint8
        assert images.flags.writeable == (in_memory > 0)


def test_a_temporary_file_is_gone_with_its_array(paths, tmp_path, monkeypatch):
    monkeypatch.setattr(stored_arrays, "IN_MEMORY", 0)
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    images = ImageFiles(paths, (SIZE, SIZE, 3), "crop").decoded()
    with pytest.raises(ValueError, match="does not exist"):
        ImageFiles([*paths, "no.jpg"], (SIZE, SIZE, 3), "crop").decoded()
    assert not list(tmp_path.iterdir())
    assert images.any()


def test_a_full_disk_is_an_error(paths, tmp_path, monkeypatch):
    class Full(io.BytesIO):
        def write(self, block):
            raise OSError(28, "No space left on device")

    monkeypatch.setattr(stored_arrays, "IN_MEMORY", 0)
    monkeypatch.setattr(stored_arrays.tempfile, "TemporaryFile", Full)
    with pytest.raises(OSError, match="No space left"):
        make().fit(paths)


def truncated(path):
    return path.read_bytes()[: len(path.read_bytes()) // 2]


BROKEN = {
    "truncated": (truncated, r"row 2 of x is \d+ bytes, which cannot be read.*truncated"),
    "text": (lambda path: b"a text", "row 2 of x is 6 bytes, not an image"),
    "missing": (lambda path: path.with_name("no.jpg"), "no.jpg', which does not exist"),
    "folder": (lambda path: path.parent, "which cannot be read as an image: .*directory"),
    "None": (lambda path: None, r"row 2 of x is missing \(none\)"),
    "NaN": (lambda path: np.nan, r"row 2 of x is missing \(nan\)"),
    "array": (lambda path: np.zeros((4, 4)), "row 2 of x is an array of float64 of"),
}


@pytest.mark.parametrize(("spoil", "match"), BROKEN.values(), ids=BROKEN)
def test_a_broken_file_is_named(paths, fitted, spoil, match):
    X = [paths[0], paths[2], spoil(paths[4]), *paths[6:]]
    estimator = make()
    with pytest.raises(UnreadableImageError, match=f"(?i){match}.*load_images"):
        estimator.fit(X)
    assert not hasattr(estimator, "task_")
    with pytest.raises(ValueError, match=f"(?i){match}"):
        fitted.transform(X)


# Containers ---------------------------------------------------------------------------------------

CONTAINERS = {
    "list of Path": list,
    "tuple": tuple,
    "str": lambda paths: list(map(str, paths)),
    "array": lambda paths: np.array(list(map(str, paths))),
    "objects": lambda paths: np.array(paths, dtype=object),
    "Series": lambda paths: pd.Series(list(map(str, paths)), index=range(7, 7 + len(paths))),
    "column of polars": lambda paths: pl.DataFrame({"path": list(map(str, paths))})["path"],
    "Arrow": lambda paths: pa.array(list(map(str, paths))),
    "bytes": lambda paths: [path.read_bytes() for path in paths],
    "column of bytes": lambda paths: pl.Series([path.read_bytes() for path in paths]),
}


@pytest.mark.parametrize("wrap", CONTAINERS.values(), ids=CONTAINERS)
def test_containers_of_files(paths, fitted, wrap):
    again = make().fit(wrap(paths))
    np.testing.assert_array_equal(again.transform(wrap(paths)), fitted.transform(paths))


def test_images_of_pil(paths):
    X = [Image.open(io.BytesIO(path.read_bytes())) for path in paths]
    Z = make().fit(X).transform(X)
    np.testing.assert_array_equal(Z, make().fit(paths).transform(X))
    with pytest.raises(ValueError, match=r"inhomogeneous.*image_size=64"):
        make(image_size=None).fit(X)


class Column(Sequence):
    """Like a column of images in Hugging Face's datasets: decoded when it is indexed."""

    def __init__(self, paths):
        self.paths = paths

    def __len__(self):
        return len(self.paths)

    def __getitem__(self, place):
        return Image.open(io.BytesIO(self.paths[place].read_bytes()))


def test_a_sequence_of_images(paths, y):
    X = [Column(paths)[i] for i in range(24)]
    Z = make().fit(X).transform(X)
    np.testing.assert_array_equal(make().fit(Column(paths)).transform(Column(paths)), Z)
    few = np.where(np.arange(24) % 2 == 0, y, -1)
    classifier = FineTuneClassifier(make(), strategy="probe").fit(Column(paths), few)
    assert classifier.predict(Column(paths)).shape == (24,)


def test_files_and_their_pixels_are_the_same(paths, fitted):
    X, _ = load_images(paths, size=SIZE)
    Z = fitted.transform(paths)
    np.testing.assert_array_equal(make().fit(X).transform(X), Z)
    np.testing.assert_array_equal(fitted.transform(X), Z)
    np.testing.assert_array_equal(make(image_size=None).fit(X).transform(paths), Z)
    assert fitted.score(paths) == fitted.score(X)
    assert fitted.input_spec_.shape == (3, SIZE, SIZE)


def test_default_size(paths):
    assert make(image_size=None, max_epochs=0).fit(paths).input_spec_.shape == (3, 64, 64)


@pytest.mark.parametrize(
    ("size", "shape"),
    [((12, 16), (3, 12, 16)), ([12, 12, 1], (1, 12, 12)), (np.int64(8), (3, 8, 8))],
)
def test_sizes(paths, size, shape):
    ssl = make(image_size=size, max_epochs=0).fit(paths)
    assert ssl.input_spec_.shape == shape
    assert ssl.transform(paths[:3]).shape[0] == 3


@pytest.mark.parametrize("size", [0, (8,), (8, 8, 2), (8, 8, 8, 8), (8.0, 8), -3])
def test_bad_sizes(paths, size):
    with pytest.raises(ValueError, match=r"image_size must be an integer, \(height, width\)"):
        make(image_size=size).fit(paths)


def test_padding_is_remembered(paths):
    padded = make(image_resize="pad", max_epochs=0).fit(paths)
    Z = padded.transform(paths)
    X, _ = load_images(paths, size=SIZE, resize="pad")
    np.testing.assert_array_equal(padded.transform(X), Z)
    padded.set_params(image_resize="crop")
    np.testing.assert_array_equal(padded.transform(paths), Z)


def test_names_without_suffixes_are_files_if_images_are_expected(paths, tmp_path):
    names = [tmp_path / path.stem for path in paths]
    for name, path in zip(names, paths):
        name.write_bytes(path.read_bytes())
    X = list(map(str, names))
    assert make(image_size=None, modality="image", max_epochs=0).fit(X).input_spec_.n_samples == 24
    assert make(max_epochs=0).fit(X).input_spec_.modality == "image"
    assert make(image_size=None, max_epochs=0).fit(X).input_spec_.modality == "text"


def test_names_of_images_can_be_texts(paths):
    X = ["holiday photo.jpg", "portrait.jpg"] * 4
    assert (
        make(image_size=None, modality="text", max_epochs=0).fit(X).input_spec_.modality == "text"
    )
    assert make(image_size=None, max_epochs=0).fit([*X, "text"]).input_spec_.modality == "text"


# The right door -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("estimator", "match"),
    [
        (VIMETransformer(), "read by estimators of images, such as SimCLRTransformer"),
        (NextFrameEmbedder(), "read by estimators of images, such as SimCLRTransformer"),
        (CausalLMEmbedder(), "an estimator of images, such as SimCLRTransformer"),
        (SimCLRTransformer(modality="table"), "read by estimators of images"),
        (make(modality="series"), 'image_size=16 requires modality="image"'),
        (SimCLRTransformer(image_shape=(8, 8)), r"Use image_size=\(8, 8\) instead"),
    ],
)
def test_wrong_doors(paths, estimator, match):
    for X in (paths, list(map(str, paths)), [path.read_bytes() for path in paths]):
        with pytest.raises((ValueError, TypeError), match=match):
            estimator.fit(X)


@pytest.mark.parametrize("as_frame", [pd.DataFrame, pl.DataFrame, pa.table, np.column_stack])
@pytest.mark.parametrize("estimator", [SimCLRTransformer(), VIMETransformer()])
def test_a_table_with_a_column_of_paths(paths, estimator, as_frame):
    names, sizes = list(map(str, paths)), [1.0] * len(paths)
    table = {"photo": names, "size": sizes}
    for columns in (["photo"], ["photo", "size"]):
        X = {name: table[name] for name in columns}
        X = as_frame(list(X.values()) if as_frame is np.column_stack else X)
        with pytest.raises(ValueError, match=r"Column ('photo'|0) of X .* pass that column alone"):
            estimator.fit(X)


def test_a_folder_is_no_list_of_paths(paths):
    for X in (paths[0].parent, str(paths[0].parent)):
        with pytest.raises(ValueError, match="SimCLRTransformer"):
            make().fit(X)


def test_arrays_are_not_resized():
    with pytest.raises(ValueError, match=r"array of images of 8 x 8 pixels\. Leave image_size out"):
        make().fit(np.zeros((6, 8, 8, 3), np.uint8))


def test_channels_that_no_file_has(paths):
    X = np.random.default_rng(0).integers(0, 256, (6, 8, 8, 4)).astype(np.uint8)
    ssl = make(image_size=None).fit(X)
    with pytest.raises(ValueError, match="1 or 3 channels, but the images in fit had 4"):
        ssl.transform(paths)


def test_files_after_a_fit_on_another_range(paths):
    X, _ = load_images(paths, size=SIZE)
    ssl = make().fit(X / 255)
    with pytest.warns(UserWarning, match="X has pixels from"):
        ssl.transform(paths)


# Estimators and tools -----------------------------------------------------------------------------


@pytest.mark.parametrize("Estimator", [MaskedAutoencoder, DINOTransformer])
def test_other_methods(Estimator, paths):
    ssl = make(Estimator).fit(paths)
    X, _ = load_images(paths, size=SIZE)
    np.testing.assert_array_equal(ssl.transform(paths), ssl.transform(X))


def test_reconstructions_of_files(paths):
    ssl = make(MaskedAutoencoder).fit(paths)
    assert ssl.reconstruct(paths[:2]).prediction.shape == (2, SIZE, SIZE, 3)


def test_more_files_and_fits_that_continue(paths):
    X, _ = load_images(paths, size=SIZE)
    ssl = make().fit(paths[:12], X_unlabeled=X[12:])
    np.testing.assert_array_equal(
        ssl.transform(X), make().fit(X[:12], X_unlabeled=X[12:]).transform(X)
    )
    ssl = make().partial_fit(paths).partial_fit(paths)
    np.testing.assert_array_equal(
        ssl.transform(X), make().partial_fit(X).partial_fit(X).transform(X)
    )


def test_a_fitted_estimator_does_not_hold_the_pixels(paths):
    small, large = (len(joblib.hash(ssl)) and len(_pickled(ssl)) for ssl in _of_two_sizes(paths))
    assert abs(small - large) < 200


def _of_two_sizes(paths):
    return make().fit(paths[:4]), make().fit(paths)


def _pickled(ssl):
    file = io.BytesIO()
    joblib.dump(ssl, file)
    return file.getvalue()


def test_pipeline_and_search(paths, y):
    pipeline = make_pipeline(make(), LogisticRegression(max_iter=1000))
    accuracy = cross_val_score(pipeline, paths, y, cv=2)
    X, _ = load_images(paths, size=SIZE)
    np.testing.assert_array_equal(accuracy, cross_val_score(pipeline, X, y, cv=2))
    grid = {"simclrtransformer__image_size": [8, 16], "logisticregression__C": [0.1, 10]}
    search = GridSearchCV(pipeline, grid, cv=2).fit(pd.Series(list(map(str, paths))), y)
    assert search.predict(list(map(str, paths))).shape == (24,)


def test_search_in_parallel(paths, y):
    pipeline = make_pipeline(make(), LogisticRegression(max_iter=1000))
    scores = [cross_val_score(pipeline, paths, y, cv=2, n_jobs=n_jobs) for n_jobs in (1, 2)]
    np.testing.assert_array_equal(*scores)


@pytest.mark.parametrize("strategy", ["probe", "probe-then-full", "fixmatch"])
def test_fine_tuning(paths, y, strategy):
    few = np.where(np.arange(24) % 3 == 0, y, -1)
    X, _ = load_images(paths, size=SIZE)
    predictions = [
        FineTuneClassifier(make(), strategy=strategy, max_epochs=2, random_state=0)
        .fit(rows, few)
        .predict_proba(rows)
        for rows in (paths, X)
    ]
    np.testing.assert_array_equal(*predictions)


def test_fine_tuning_reads_each_file_once_for_all_epochs(paths, y, monkeypatch):
    n_read = []
    monkeypatch.setattr(
        image_files, "read_image", lambda *args: n_read.append(args[0]) or read_image(*args)
    )
    ssl = make().fit(paths)
    assert len(n_read) == 24
    classifier = FineTuneClassifier(ssl, max_epochs=5)
    classifier.fit(paths, y)
    assert len(n_read) == 24 + 24 + 24  # once for the scale of the representation


def test_few_labels_in_a_pipeline_and_in_folds(paths, y):
    few = np.where(np.arange(24) % 2 == 0, y, -1)
    pipeline = make_pipeline(make(), LabeledOnly(LogisticRegression(max_iter=1000)))
    scores = cross_val_score(pipeline, paths, few, cv=SemiSupervisedSplit(2))
    assert len(scores) == 2
    assert np.isfinite(scores).all()


def test_evaluation(paths, y):
    X, _ = load_images(paths, size=SIZE)
    reports = []
    for rows in (paths, X):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)
            report = evaluate_representation(make(), rows, y, labels_per_class=2, n_draws=2)
        reports.append(re.sub(r"\d+(\.\d+)? s\b", "", str(report)))
    assert reports[0] == reports[1]


def test_a_column_of_a_frame(paths, y):
    from sklearn.compose import make_column_transformer

    frame = pd.DataFrame({"photo": list(map(str, paths)), "width": np.arange(24.0)})
    transformer = make_column_transformer((make(), "photo"), remainder="passthrough")
    Z = transformer.fit_transform(frame)
    np.testing.assert_allclose(Z[:, -1], np.arange(24))
    assert Z.shape == (24, make().fit(paths).transform(paths).shape[1] + 1)
    assert Path(frame["photo"][0]).exists()
