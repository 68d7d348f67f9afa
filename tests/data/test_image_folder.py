"""Folders of images: files, labels, and arrays."""

import gc
import os

import numpy as np
import pandas as pd
import pytest
from PIL import Image
from sklearn.datasets import load_sample_images

from sklearn_ssl import list_images, load_images
from sklearn_ssl.data import stored_arrays
from sklearn_ssl.data.image_files import read_image
from sklearn_ssl.few_labels.labels import is_unlabeled

PHOTO = load_sample_images().images[0]
NAMES = [
    *("cat/b.jpg", "cat/a.JPG", "cat/deep/er/c.png", "dog/d.jpeg"),
    *("Unlabeled/e.bmp", "unlabelled/f.webp", "g.tif"),
]
OTHERS = ("cat/notes.txt", "dog/.hidden.jpg", ".cache/h.jpg", "dog/data.npy")
EXPECTED = {
    "Unlabeled/e.bmp": None,
    "cat/a.JPG": "cat",
    "cat/b.jpg": "cat",
    "cat/deep/er/c.png": "cat",
    "dog/d.jpeg": "dog",
    "g.tif": None,
    "unlabelled/f.webp": None,
}


@pytest.fixture
def folder(tmp_path):
    for i, name in enumerate(NAMES):
        path = tmp_path / "photos" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(PHOTO[10 * i : 10 * i + 40, : 50 + i]).save(path)
    for name in OTHERS:
        path = tmp_path / "photos" / name
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(b"no image")
    return tmp_path / "photos"


def names_of(paths, folder):
    return [os.path.relpath(path, folder).replace(os.sep, "/") for path in paths]


@pytest.mark.parametrize("kind", [str, lambda folder: folder])
def test_files_are_listed_in_order_with_their_labels(folder, kind):
    paths, labels = list_images(kind(folder))
    assert dict(zip(names_of(paths, folder), labels)) == EXPECTED
    assert names_of(paths, folder) == sorted(EXPECTED)
    assert labels.dtype == object
    assert is_unlabeled(labels).sum() == 3


def test_labels_are_strings_if_all_are_there(folder):
    _, labels = list_images(folder / "cat")
    assert [str(label) for label in labels] == ["None", "None", "deep"]
    (folder / "g.tif").unlink()
    _, labels = list_images(folder, unlabeled="nothing")
    assert labels.dtype.kind == "U"
    assert set(labels) == {"Unlabeled", "unlabelled", "cat", "dog"}


@pytest.mark.parametrize("unlabeled", ["CAT", ["cat", "Dog"]])
def test_other_names_of_folders_without_labels(folder, unlabeled):
    _, labels = list_images(folder, unlabeled=unlabeled)
    missing = {unlabeled.lower()} if isinstance(unlabeled, str) else {"cat", "dog"}
    assert not missing & {label for label in labels if label}
    assert "Unlabeled" in labels


def test_no_images(tmp_path, folder):
    (tmp_path / "texts").mkdir()
    (tmp_path / "texts" / "image.txt").write_text("no image")
    with pytest.raises(ValueError, match=r"holds no image files.*\.jpg, \.jpeg"):
        list_images(tmp_path / "texts")
    with pytest.raises(ValueError, match="nowhere' is not a folder"):
        load_images(tmp_path / "nowhere")
    with pytest.raises(ValueError, match="is not a folder"):
        load_images(folder / "g.tif")


def test_images_are_loaded_as_estimators_read_them(folder):
    X, labels, paths = load_images(folder, size=(20, 24), return_paths=True)
    assert (X.shape, X.dtype) == ((7, 20, 24, 3), np.uint8)
    np.testing.assert_array_equal(X, [read_image(path, (20, 24, 3)) for path in paths])
    assert (paths, list(labels)) == (list_images(folder)[0], list(list_images(folder)[1]))
    X, _ = load_images(folder, size=(20, 24, 1), resize="pad")
    np.testing.assert_array_equal(X, [read_image(path, (20, 24, 1), "pad") for path in paths])
    assert load_images(folder)[0].shape == (7, 64, 64, 3)


def test_paths_have_the_names_of_their_folders_as_labels(folder):
    paths = [folder / name for name in EXPECTED]
    for sources in (paths, pd.Series(list(map(str, paths)))):
        X, labels = load_images(sources, size=8)
        np.testing.assert_array_equal(X, load_images(folder, size=8)[0])
        expected = [None, "cat", "cat", "er", "dog", "photos", None]
        assert list(labels) == expected
    X_bytes, labels = load_images([path.read_bytes() for path in paths], size=8)
    np.testing.assert_array_equal(X_bytes, X)
    assert all(label is None for label in labels)


@pytest.mark.parametrize("X", [[], np.zeros((3, 8, 8)), [1, 2], 3, {}, None])
def test_what_is_no_image(X):
    with pytest.raises(ValueError, match="expects a folder, or a list, an array or a column"):
        load_images(X)


@pytest.mark.parametrize(
    ("options", "match"),
    [
        ({"on_error": "ignore"}, "on_error must be 'raise' or 'skip'; got 'ignore'"),
        ({"resize": "stretch"}, "resize must be 'crop' or 'pad'; got 'stretch'"),
        ({"size": 0}, "size must be an integer"),
        ({"size": (8, 8, 4)}, "1 or 3 channels"),
    ],
)
def test_bad_options(folder, options, match):
    with pytest.raises(ValueError, match=match):
        load_images(folder, **options)


@pytest.mark.parametrize("in_memory", [2**30, 0])
def test_broken_files_are_left_out(folder, monkeypatch, in_memory):
    monkeypatch.setattr(stored_arrays, "IN_MEMORY", in_memory)
    (folder / "cat" / "b.jpg").write_bytes(b"broken")
    with pytest.raises(ValueError, match=r'Row 2 of X is the file .*b\.jpg.*on_error="skip"'):
        load_images(folder)
    with pytest.warns(
        UserWarning, match=r"1 of 7 images cannot be read and are left out:"
    ) as warned:
        X, labels, paths = load_images(folder, size=8, on_error="skip", return_paths=True)
    assert "Row 2 of X is the file" in str(warned[0].message)
    assert warned[0].filename == __file__
    assert names_of(paths, folder) == sorted(set(EXPECTED) - {"cat/b.jpg"})
    assert list(labels) == [EXPECTED[name] for name in names_of(paths, folder)]
    np.testing.assert_array_equal(X, [read_image(path, (8, 8, 3)) for path in paths])


def test_many_broken_files(folder):
    for name in NAMES[1:]:
        (folder / name).write_bytes(b"broken")
    with pytest.warns(UserWarning, match=r"(?s)6 of 7 images.*\n  and 1 more$"):
        X, labels = load_images(folder, size=8, on_error="skip")
    assert (len(X), list(labels)) == (1, ["cat"])
    (folder / NAMES[0]).unlink()
    with pytest.raises(ValueError, match="6 of 6 images cannot be read"):
        load_images(folder, size=8, on_error="skip")


def test_many_images_are_mapped_from_a_file_that_goes_with_them(folder, tmp_path, monkeypatch):
    monkeypatch.setattr(stored_arrays, "IN_MEMORY", 1000)
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    X, _ = load_images(folder, size=8)
    assert X.base is not None
    with pytest.raises(ValueError, match="read-only"):
        X[0] = 0
    np.save(tmp_path / "images.npy", X)
    monkeypatch.undo()
    np.testing.assert_array_equal(np.load(tmp_path / "images.npy"), load_images(folder, size=8)[0])
    del X
    gc.collect()
    assert {path.name for path in tmp_path.iterdir()} == {"photos", "images.npy"}
