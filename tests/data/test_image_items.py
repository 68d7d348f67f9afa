"""Data sets of torch and of Hugging Face as X: their items hold images, and perhaps labels."""

import io
import threading

import joblib
import numpy as np
import pytest
import torch
from PIL import Image
from sklearn.datasets import load_sample_images
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import cross_val_score
from sklearn.pipeline import make_pipeline
from torch.utils.data import Dataset, IterableDataset, Subset, TensorDataset
from torchvision.datasets import ImageFolder

from sklearn_ssl import (
    FineTuneClassifier,
    MaskedAutoencoder,
    SimCLRTransformer,
    TS2VecTransformer,
    VIMETransformer,
    load_images,
)
from sklearn_ssl.data.containers import opened
from sklearn_ssl.data.image_files import UnreadableImageError
from sklearn_ssl.evaluation import evaluate_representation

PHOTO = load_sample_images().images[0]
SIZE = 16
N = 16
Y = np.arange(N) % 2


def make(Estimator=SimCLRTransformer, **params):
    return Estimator(**{"image_size": SIZE, "max_epochs": 1, "random_state": 0, **params})


class Items(Dataset):
    """A list as a data set, which counts how often each item is read, and by which threads."""

    def __init__(self, items):
        self.items = items
        self.counts = np.zeros(len(items), int)
        self.threads = set()

    def __len__(self):
        return len(self.items)

    def __getitem__(self, place):
        self.counts[place] += 1
        self.threads.add(threading.get_ident())
        if self.items[place] is None:
            raise OSError("a disk is gone")
        return self.items[place]


def parts(same_size=False):
    """Return parts of a photo, in arrays of bytes."""
    rng = np.random.default_rng(0)
    sizes = np.full((N, 2), SIZE) if same_size else rng.integers(SIZE, 40, (N, 2))
    tops = rng.integers(0, 300, (N, 2))
    return [PHOTO[t : t + h, l : l + w] for (t, l), (h, w) in zip(tops, sizes)]


def tensor(image):
    return torch.from_numpy(image.copy()).movedim(-1, 0)


ITEMS = {
    "images of PIL": Image.fromarray,
    "arrays": lambda image: image,
    "tensors": tensor,
    "tuples": lambda image: (Image.fromarray(image), 1),
    "tuples of tensors": lambda image: (tensor(image), torch.tensor(1)),
    "dicts": lambda image: {"label": 1, "image": Image.fromarray(image), "name": "a"},
}


@pytest.mark.parametrize("item", ITEMS.values(), ids=ITEMS)
def test_items_are_read_like_files(item):
    X = Items([item(image) for image in parts()])
    images = [Image.fromarray(image) for image in parts()]
    ssl = make().fit(X)
    Z = make().fit(images).transform(images)
    np.testing.assert_array_equal(ssl.transform(X), Z)
    np.testing.assert_array_equal(ssl.transform(Subset(X, [0, 3])), Z[[0, 3]])
    np.testing.assert_array_equal(load_images(X, size=SIZE)[0], load_images(images, size=SIZE)[0])


def test_each_item_is_read_once_in_a_fit_and_by_one_thread():
    X = Items([(Image.fromarray(image), 1) for image in parts()])
    make(max_epochs=3).fit(X)
    assert X.counts[1:].tolist() == [1] * (N - 1)  # the first also tells what an item holds
    assert X.threads == {threading.get_ident()}


@pytest.mark.parametrize("item", ITEMS.values(), ids=ITEMS)
def test_without_a_size_images_stay_as_they_are(item):
    arrays = parts(same_size=True)
    X = Items([item(image) for image in arrays])
    ssl = make(image_size=None).fit(X)
    Z = make(image_size=None).fit(np.stack(arrays)).transform(np.stack(arrays))
    np.testing.assert_array_equal(ssl.transform(X), Z)
    X = Items([item(image) for image in parts()])
    with pytest.raises(UnreadableImageError, match=r"Row 1 of X .*size of row 0.*image_size=64"):
        make(image_size=None).fit(X)


@pytest.mark.parametrize("image_size", [None, SIZE])
def test_tensors_of_floats(image_size):
    """What torchvision's ToTensor makes."""
    arrays = np.stack(parts(same_size=True)) / np.float32(255)
    X = TensorDataset(torch.from_numpy(arrays).movedim(-1, 1), torch.arange(N))
    ssl = make(image_size=image_size).fit(X)
    expected = make(image_size=None).fit(arrays)
    assert ssl.input_spec_.scale == expected.input_spec_.scale
    np.testing.assert_array_equal(ssl.transform(X), expected.transform(arrays))
    with pytest.warns(UserWarning, match="X has pixels from 0 to 255"):
        ssl.transform(Items(parts(same_size=True)))


def test_gray_images():
    arrays = np.stack(parts(same_size=True))[..., 0]
    Z = make(modality="image", image_size=None).fit(arrays).transform(arrays)
    X = Items([(Image.fromarray(image), 1) for image in arrays])
    np.testing.assert_array_equal(make(image_size=None).fit(X).transform(X), Z)
    X = TensorDataset(torch.from_numpy(arrays))
    with pytest.raises(TypeError, match=r'TensorDataset.*modality="image"'):
        make(image_size=None).fit(X)
    ssl = make(image_size=None, modality="image").fit(X)
    np.testing.assert_array_equal(ssl.transform(X), Z)


def test_folders_of_torchvision(tmp_path):
    for place, image in enumerate(parts()):
        path = tmp_path / f"{place % 2}" / f"{place:02}.png"
        path.parent.mkdir(exist_ok=True)
        Image.fromarray(image).save(path)
    X = ImageFolder(tmp_path)
    paths = [path for path, _ in X.samples]
    Z = make().fit(paths).transform(paths)
    np.testing.assert_array_equal(make().fit(X).transform(X), Z)
    few = np.where(np.arange(N) % 4 < 2, X.targets, -1)
    tuned = FineTuneClassifier(make(), strategy="probe", random_state=0).fit(X, few)
    again = FineTuneClassifier(make(), strategy="probe", random_state=0).fit(paths, few)
    np.testing.assert_array_equal(tuned.predict_proba(X), again.predict_proba(paths))


class Rows:
    """What a Dataset of Hugging Face's `datasets` is for us: rows by index, columns by name."""

    column_names = ("image", "label")

    def __init__(self, images):
        self.columns = {"image": images, "label": [1] * len(images)}

    def __len__(self):
        return len(self.columns["label"])

    def __getitem__(self, key):
        """Return a column, a row, or a dict of parts of columns."""
        if isinstance(key, str):
            return self.columns[key]
        return {name: column[key] for name, column in self.columns.items()}


Rows.__name__ = "Dataset"


def test_data_sets_of_hugging_face():
    images = [Image.fromarray(image) for image in parts()]
    X = Rows(images)
    Z = make().fit(images).transform(images)
    ssl = make().fit(X)
    np.testing.assert_array_equal(ssl.transform(X), Z)
    np.testing.assert_array_equal(ssl.transform(X["image"]), Z)
    pipeline = make_pipeline(make(), LogisticRegression())
    assert np.isfinite(cross_val_score(pipeline, X["image"], Y, cv=2, error_score="raise")).all()


def test_a_part_of_a_data_set_of_hugging_face_is_a_dict_of_columns():
    X = Rows([Image.fromarray(image) for image in parts()])
    with pytest.raises(TypeError, match=r"X is a dict of columns.*Pass X\['image'\], its images"):
        make().fit(X[:8])
    two = {"before": X[:8]["image"], "after": X[:8]["image"]}
    with pytest.raises(TypeError, match=r"Pass one of X\['before'\], X\['after'\]"):
        make().fit(two)


def test_tools_and_the_list_of_items_that_they_make():
    items = [(Image.fromarray(image), 1) for image in parts()]
    X = Items(items)
    ssl = make().fit(X)
    np.testing.assert_array_equal(ssl.transform(items), ssl.transform(X))
    pipeline = make_pipeline(make(), LogisticRegression())
    assert np.isfinite(cross_val_score(pipeline, X, Y, cv=2, error_score="raise")).all()
    report = evaluate_representation(ssl, X, Y, labels_per_class=[2], n_draws=2)
    assert np.isfinite(list(report.scores.values())).all()
    assert make(MaskedAutoencoder).fit(X, X_unlabeled=X).transform(X).shape[0] == N
    assert ssl.partial_fit(X).score(X) == ssl.score(items)


def test_a_fitted_estimator_keeps_no_data_set(tmp_path):
    X = Items([(Image.fromarray(image), lambda: "cannot be pickled") for image in parts()])
    ssl = make().fit(X)
    joblib.dump(ssl, tmp_path / "ssl.joblib")
    np.testing.assert_array_equal(
        joblib.load(tmp_path / "ssl.joblib").transform(X), ssl.transform(X)
    )


def test_broken_items_are_named_or_left_out():
    images = [Image.fromarray(image) for image in parts()]
    X = Items([*images[:3], None, *images[4:], (1, 2)])
    with pytest.raises(UnreadableImageError, match="Row 3 of X cannot be read: a disk is gone"):
        make().fit(X)
    with pytest.warns(
        UserWarning, match=r"2 of 17 images cannot.*\n.*Row 3 .*\n.*Row 16 .* 0 images"
    ):
        read, labels, places = load_images(X, size=SIZE, on_error="skip", return_paths=True)
    assert places == [0, 1, 2, *range(4, 16)]
    assert labels.tolist() == [None] * 15
    expected, _ = load_images([images[place] for place in places], size=SIZE)
    np.testing.assert_array_equal(read, expected)


class Stream(IterableDataset):
    def __iter__(self):
        return iter(())


class Unsized(Dataset):
    def __getitem__(self, place):
        return Image.fromarray(PHOTO)


REFUSED = {
    "table": (lambda: TensorDataset(torch.zeros(8, 5)), "hold 0 images, not one"),
    "two views": (lambda: TensorDataset(*[torch.zeros(8, 3, 9, 9)] * 2), "hold 2 images, not one"),
    "no length": (Unsized, "a data set with a length"),
    "stream": (Stream, "a data set with a length"),
    "empty": (lambda: Items([]), "a data set with a length"),
}


@pytest.mark.parametrize(("X", "match"), REFUSED.values(), ids=REFUSED)
def test_other_data_sets_are_refused(X, match):
    with pytest.raises(TypeError, match=rf"{match}.*np\.stack"):
        make().fit(X())


def test_tensors_with_channels_last_are_refused():
    X = TensorDataset(torch.zeros(8, 20, 18, 3))
    with pytest.raises(ValueError, match=r"\(20, 18, 3\) looks like channels last"):
        make().fit(X)


@pytest.mark.parametrize("Estimator", [VIMETransformer, TS2VecTransformer])
def test_estimators_of_something_else_name_one_of_images(Estimator):
    X = Items([Image.fromarray(image) for image in parts()])
    with pytest.raises(TypeError, match=r"X is a Items.*estimator of images, such as SimCLR"):
        Estimator(max_epochs=1).fit(X)


def test_what_is_no_data_set_stays_as_it_is():
    png = io.BytesIO()
    Image.fromarray(PHOTO[:9, :9]).save(png, "PNG")
    for X in (
        [{"age": 1}, {"age": 2}],
        [(1.0, 2.0), (3.0, 4.0)],
        [(PHOTO, PHOTO)],
        [png.getvalue()],
        [PHOTO, PHOTO],
        [],
    ):
        assert opened(X) is X
