"""Arrays that are read when they are indexed: HDF5, zarr, and whatever has a shape and a dtype."""

import h5py
import numpy as np
import pandas as pd
import pytest
import torch
from scipy import sparse

from sklearn_ssl import FineTuneClassifier, MaskedAutoencoder, NextFrameEmbedder, SimCLRTransformer
from sklearn_ssl.data import stored_arrays
from sklearn_ssl.data.stored_arrays import is_lazy, read_in_blocks


class Lazy:
    """An array that can be read in parts only, and remembers which."""

    def __init__(self, array, chunks=None):
        self.array = array
        self.shape, self.dtype = array.shape, array.dtype
        self.parts = []
        if chunks is not None:
            self.chunks = chunks

    def __getitem__(self, rows):
        self.parts.append((rows.start, rows.stop))
        return self.array[rows]

    def __array__(self, dtype=None, copy=None):
        raise AssertionError("read as a whole")


def rows_of(shape, dtype=np.float32):
    return np.random.default_rng(0).integers(0, 100, shape).astype(dtype)


@pytest.mark.parametrize("in_memory", [0, 2**30])
@pytest.mark.parametrize("dtype", ["float32", "float64", "uint8", "uint16", "int64", "bool"])
@pytest.mark.parametrize("shape", [(50, 3), (7, 4, 5), (9, 4, 5, 3), (0, 3)])
def test_all_rows_come_in_order(shape, dtype, in_memory, monkeypatch):
    monkeypatch.setattr(stored_arrays, "IN_MEMORY", in_memory)
    monkeypatch.setattr(stored_arrays, "BLOCK", 100)
    X = rows_of(shape, dtype)
    read = read_in_blocks(Lazy(X))
    assert read.dtype == X.dtype
    np.testing.assert_array_equal(read, X)


@pytest.mark.parametrize(
    ("chunks", "expected"),
    [(None, 4), ((3, 3), 6), ((10, 3), 10), (((5, 5), (3,)), 4)],
)
def test_no_chunk_is_read_twice(chunks, expected, monkeypatch):
    monkeypatch.setattr(stored_arrays, "BLOCK", 4 * 3 * 4)  # four rows
    X = Lazy(rows_of((20, 3)), chunks)
    read_in_blocks(X)
    starts = range(0, 20, expected)
    assert X.parts == [(start, start + expected) for start in starts]


def test_arrays_in_memory_are_not_lazy():
    X = rows_of((5, 3))
    assert is_lazy(Lazy(X))
    assert not is_lazy(X)
    assert not is_lazy(X.tolist())
    assert not is_lazy(sparse.csr_array(X))
    assert not is_lazy(torch.from_numpy(X))
    assert not is_lazy(pd.DataFrame(X))
    assert not is_lazy(Lazy(X[:, 0]))
    assert not is_lazy(Lazy(X.astype(object)))


@pytest.mark.parametrize(
    ("estimator", "shape"),
    [
        (SimCLRTransformer(max_epochs=1, random_state=0), (80, 6)),
        (SimCLRTransformer(max_epochs=1, random_state=0), (40, 8, 8, 3)),
        (MaskedAutoencoder(modality="image", max_epochs=1, random_state=0), (40, 8, 8)),
        (NextFrameEmbedder(max_epochs=1, random_state=0), (40, 2, 16)),
    ],
)
def test_estimators_read_files_of_hdf5(estimator, shape, tmp_path):
    X = rows_of(shape)
    expected = estimator.fit(X).transform(X)
    with h5py.File(tmp_path / "rows.h5", "w") as file:
        dataset = file.create_dataset("rows", data=X, chunks=(8, *shape[1:]))
        np.testing.assert_array_equal(estimator.fit(dataset).transform(dataset), expected)
        assert np.isfinite(estimator.score(dataset))
        estimator.fit(X[:20], X_unlabeled=dataset)


def test_a_fit_reads_each_part_once(monkeypatch):
    monkeypatch.setattr(stored_arrays, "BLOCK", 400)
    X = Lazy(rows_of((80, 6)))
    SimCLRTransformer(max_epochs=2).fit(X)
    assert len(X.parts) == len(set(X.parts))


def test_fine_tuning_on_a_file_of_hdf5(tmp_path):
    X, y = rows_of((80, 6)), np.arange(80) % 2
    y[20:] = -1
    model = FineTuneClassifier(SimCLRTransformer(max_epochs=1, random_state=0), random_state=0)
    expected = model.fit(X, y).predict(X)
    with h5py.File(tmp_path / "rows.h5", "w") as file:
        dataset = file.create_dataset("rows", data=X)
        np.testing.assert_array_equal(model.fit(dataset, y).predict(dataset), expected)


def test_what_is_wrong_with_a_file_is_said_as_of_an_array(tmp_path):
    X = rows_of((20, 6))
    X[3, 2] = np.nan
    with h5py.File(tmp_path / "rows.h5", "w") as file:
        dataset = file.create_dataset("rows", data=X)
        with pytest.raises(ValueError, match="contains NaN"):
            SimCLRTransformer(modality="series").fit(file.create_dataset("x", data=X[:, None]))
        fitted = SimCLRTransformer(max_epochs=1).fit(X[4:])
        with pytest.raises(ValueError, match="5 features"):
            fitted.transform(dataset[:, 1:])
