"""What X may be beside an array: what is read, and what is said of the rest."""

from pathlib import Path

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
import torch
from PIL import Image
from sklearn.base import clone
from torch.utils.data import DataLoader, Subset, TensorDataset

from sklearn_ssl import (
    FineTuneClassifier,
    MaskedAutoencoder,
    NextFrameEmbedder,
    SCARFTransformer,
    SimCLRTransformer,
    TS2VecTransformer,
)
from sklearn_ssl.encoders import TextEncoder
from sklearn_ssl.evaluation import evaluate_representation

rng = np.random.default_rng(0)
COLORED = rng.integers(0, 256, (12, 8, 8, 3)).astype(np.uint8)
TEXTS = ["a good film", "a bad one"]
DATASET = TensorDataset(torch.zeros(12, 5))  # those of images are read


def make(Estimator=SimCLRTransformer, **params):
    return Estimator(**{"max_epochs": 1, "random_state": 0, **params})


@pytest.mark.parametrize(
    "wrap",
    [
        torch.from_numpy,
        lambda X: [torch.from_numpy(image) for image in X],
        lambda X: tuple(X),
        lambda X: [Image.fromarray(image) for image in X],
        lambda X: np.array([None, *X], dtype=object)[1:],
        np.ma.masked_array,
    ],
    ids=["tensor", "tensors", "tuple", "PIL", "objects", "masked array"],
)
def test_images_in_other_containers(wrap):
    Z = make().fit(COLORED).transform(COLORED)
    np.testing.assert_array_equal(make().fit(wrap(COLORED)).transform(wrap(COLORED)), Z)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32, torch.float64])
def test_tensors_of_any_dtype_that_ask_for_gradients(dtype):
    X = torch.arange(96, dtype=dtype).reshape(12, 8).requires_grad_()
    Z = make().fit(X.detach().double().numpy()).transform(X.detach().double().numpy())
    np.testing.assert_allclose(make().fit(X).transform(X), Z, rtol=1e-4, atol=1e-5)


class OtherArray:
    """What arrays of xarray, Dask or JAX have in common."""

    def __init__(self, values):
        self.values = values
        self.shape = values.shape
        self.dtype = values.dtype

    def __len__(self):
        return len(self.values)

    def __array__(self, dtype=None, copy=None):
        return np.array(self.values, dtype)


@pytest.mark.parametrize(
    "X",
    [rng.normal(size=(9, 3)), COLORED, np.array([["Bath", 1.5], ["Ely", None]] * 6, dtype=object)],
    ids=["table", "images", "categories"],
)
def test_arrays_of_other_libraries(X):
    Z = make().fit(X).transform(X)
    np.testing.assert_array_equal(make().fit(OtherArray(X)).transform(OtherArray(X)), Z)


REFUSED = {
    "generator": (lambda: (x for x in COLORED), TypeError, r"iterator \(generator\).*list\(X\)"),
    "map": (lambda: map(np.asarray, COLORED), TypeError, r"iterator \(map\).*list\(X\)"),
    "zip": (lambda: zip(COLORED), TypeError, r"iterator \(zip\)"),
    "dict": (lambda: {"X": COLORED}, TypeError, "X is a dict. Expected an array"),
    "Dataset": (lambda: DATASET, TypeError, r"X is a TensorDataset.*np\.stack"),
    "Subset": (lambda: Subset(DATASET, [0, 1]), TypeError, r"X is a Subset.*np\.stack"),
    "DataLoader": (lambda: DataLoader(DATASET), TypeError, r"X is a DataLoader.*np\.stack"),
    "arrays in a frame": (
        lambda: pd.DataFrame({"image": list(COLORED)}),
        ValueError,
        r"cells hold arrays.*list\(X\[column\]\)",
    ),
    "embeddings in a frame": (
        lambda: pl.DataFrame({"id": [1, 2], "vector": [[1.0, 2.0], [3.0, 4.0]]}),
        ValueError,
        r"Column 'vector' of X holds arrays.*list\(X\['vector'\]\)",
    ),
    "structured array": (
        lambda: np.array([(1.0, 2)] * 9, dtype=[("age", "f8"), ("rooms", "i4")]),
        TypeError,
        r"fields age, rooms\. Pass pandas\.DataFrame",
    ),
    "records": (
        lambda: np.rec.array([(1.0, 2)] * 9, dtype=[("age", "f8"), ("rooms", "i4")]),
        TypeError,
        r"fields age, rooms\. Pass pandas\.DataFrame",
    ),
    "dicts": (lambda: [{"age": 1, "rooms": 2}] * 9, TypeError, r"dicts.*pandas\.DataFrame\(X\)"),
    "row of a frame": (
        lambda: pd.DataFrame({"age": [1, 2], "town": ["Bath", "Ely"]}).iloc[0],
        ValueError,
        "holds texts, such as 'Bath'.*column or row of a table must have two dimensions",
    ),
    "columns of one name": (
        lambda: pd.DataFrame([[1, 2]] * 9, columns=["age", "age"]),
        ValueError,
        r"several columns named 'age'.*~X\.columns\.duplicated",
    ),
    "columns of one name in Arrow": (
        lambda: pa.table([pa.array([1.0, 2])] * 2, names=["age", "age"]),
        ValueError,
        "several columns named 'age'",
    ),
    "sparse tensor": (
        lambda: torch.from_numpy(COLORED[:, 0, :, 0]).to_sparse(),
        TypeError,
        "Sparse data was passed",
    ),
    "path": (
        lambda: Path("images/1.png"),
        ValueError,
        r"paths, such as 'images.1\.png'.*does not read",
    ),
    "paths": (lambda: [Path("images/1.png")] * 3, ValueError, "1.png', which does not exist"),
    "names of images": (lambda: ["1.png", "2.png"], ValueError, "1.png', which does not exist"),
    "names of files": (lambda: ["1.npy", "2.npy"], ValueError, r"paths, such as '1\.npy'"),
    "name of a file": (lambda: "data.npy", ValueError, "single string.*list_images"),
    "no row": (lambda: [*COLORED, None], ValueError, "Row 12 of X is missing"),
    "sizes": (
        lambda: [image[: 5 + i % 3] for i, image in enumerate(COLORED)],
        ValueError,
        r"\(5, 8, 3\) and \(6, 8, 3\).*image_size=64",
    ),
    "PIL images": (
        lambda: [Image.fromarray(image).resize((8 + i, 8)) for i, image in enumerate(COLORED)],
        ValueError,
        r"\(8, 8, 3\) and \(8, 9, 3\).*image_size=64",
    ),
    "gray and colored": (
        lambda: [*COLORED, COLORED[0, ..., 0]],
        ValueError,
        r"\(8, 8, 3\) and \(8, 8\).*image_size=64",
    ),
}
TEXT_COLUMNS = {
    "list": TEXTS,
    "bytes": [b"a good film", b"a bad one"],
    "array": np.array(TEXTS),
    "objects": np.array(TEXTS, dtype=object),
    "pandas": pd.Series(TEXTS),
    "pandas objects": pd.Series(TEXTS, dtype=object),
    "pandas category": pd.Series(TEXTS, dtype="category"),
    "polars": pl.Series(TEXTS),
    "Arrow": pa.array(TEXTS),
    "chunks": pa.chunked_array([TEXTS[:1], TEXTS[1:]]),
}
refused = pytest.mark.parametrize(("X", "error", "match"), REFUSED.values(), ids=REFUSED.keys())


@refused
def test_refused_by_fit(X, error, match):
    estimator = make()
    before = dict(vars(estimator))
    with pytest.raises(error, match=match):
        estimator.fit(X())
    with pytest.raises(error, match=match):
        estimator.fit(COLORED, X_unlabeled=X())
    assert vars(estimator) == before


@refused
@pytest.mark.parametrize("method", ["transform", "score", "partial_fit"])
def test_refused_after_fit(X, error, match, method):
    estimator = make().fit(COLORED)
    Z = estimator.transform(COLORED)
    with pytest.raises(error, match=match):
        getattr(estimator, method)(X())
    np.testing.assert_array_equal(estimator.transform(COLORED), Z)


@pytest.mark.parametrize("Estimator", [TS2VecTransformer, NextFrameEmbedder])
@pytest.mark.parametrize("case", ["generator", "Dataset", "names of files"])
def test_refused_by_estimators_of_series(Estimator, case):
    X, error, match = REFUSED[case]
    with pytest.raises(error, match=match):
        make(Estimator).fit(X())


@pytest.mark.parametrize("X", TEXT_COLUMNS.values(), ids=TEXT_COLUMNS.keys())
def test_texts_are_refused_by_estimators_of_numbers(X):
    match = "holds texts, such as .* needs numbers. For texts, use SimCLRTransformer"
    for Estimator in (MaskedAutoencoder, SCARFTransformer, TS2VecTransformer, NextFrameEmbedder):
        with pytest.raises(ValueError, match=match):
            make(Estimator).fit(X)
    ssl = make().fit(COLORED)
    for method in ("transform", "score", "partial_fit"):
        with pytest.raises(ValueError, match=match):
            getattr(ssl, method)(X)
    with pytest.raises(ValueError, match=match):
        ssl.fit(COLORED, X_unlabeled=X)


@pytest.mark.parametrize("X", TEXT_COLUMNS.values(), ids=TEXT_COLUMNS.keys())
def test_a_column_of_texts_is_recognized(X):
    if isinstance(X[0], bytes):
        with pytest.raises(TypeError, match=r"text 0 is of type bytes\. Decode it"):
            make().fit(X)
        return
    ssl = make(encoder=lambda shape: TextEncoder(*shape, width=16, depth=1))
    Z = ssl.fit(X).transform(X)
    assert ssl.input_spec_.modality == "text"
    np.testing.assert_array_equal(clone(ssl).fit(TEXTS).transform(TEXTS), Z)


def test_texts_some_of_which_look_like_paths():
    texts = ["Node.js", "is not a path", "film.jpg"] * 4
    assert make(max_epochs=0).fit(texts).input_spec_.modality == "text"
    with pytest.raises(ValueError, match=r"X holds paths, such as 'Node\.js'"):
        make(max_epochs=0).fit(texts[::3])
    named = make(max_epochs=0, modality="text").fit(texts[::3])
    assert named.input_spec_.n_samples == 4
    with pytest.raises(ValueError, match="text 1 is missing"):
        make().fit(["a text", None, "another one"])
    with pytest.raises(ValueError, match="text 0 is missing"):
        make().fit([np.nan, "a text", "another one"])


def test_columns_of_strings_are_still_tables():
    rows = [["Bath", "red"], ["Ely", "blue"]] * 6
    for X in (rows, np.array(rows), pd.DataFrame(rows, columns=["a", "b"])):
        assert make(max_epochs=0).fit(X).input_spec_.modality == "table"
    assert make(max_epochs=0).fit(pd.DataFrame({"a": TEXTS * 6})).input_spec_.modality == "table"


@pytest.mark.parametrize("case", ["Dataset", "DataLoader"])
def test_datasets_are_refused_where_labels_are_learned(case):
    X, error, match = REFUSED[case]
    with pytest.raises(error, match=match):
        FineTuneClassifier(make()).fit(X(), np.arange(12) % 2)
    with pytest.raises(error, match=match):
        evaluate_representation(make(), X(), np.arange(12) % 2)
