"""Rows as tensors become the same batch in an exported network as they do here."""

from types import SimpleNamespace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from sklearn_ssl.data import KINDS
from sklearn_ssl.data.rows import RowBlocks
from sklearn_ssl.data.spec import Spec
from sklearn_ssl.data.table import TableSpec
from tests.helpers import describe, spec_of

NUMBERS = st.floats(allow_nan=True, allow_infinity=False) | st.sampled_from([0.0, 1.0, 2.0])
SHAPES = {"table": (4,), "image": (3, 5, 6), "series": (2, 7), "video": (4, 1, 5, 6)}


def batches(spec, rows):
    return spec.batch_of(torch.from_numpy(rows).to(spec.raw_dtype)), spec.to_tensor(rows)


@settings(max_examples=50, deadline=None)
@given(arrays(np.float64, (6, 3), elements=NUMBERS), arrays(np.float64, (4, 3), elements=NUMBERS))
def test_rows_of_tables(seen, rows):
    with np.errstate(all="ignore"):
        spec = TableSpec.describe(RowBlocks(seen), (3,))
        got, expected = batches(spec, rows)
    torch.testing.assert_close(got, expected, rtol=0, atol=0, equal_nan=True)


@settings(max_examples=50, deadline=None)
@given(arrays(np.float64, (60, 2), elements=NUMBERS), arrays(np.float64, (4, 2), elements=NUMBERS))
def test_rows_of_tables_by_their_quantiles(seen, rows):
    rows[0] = seen[0]
    with np.errstate(all="ignore"):
        spec = TableSpec.describe(RowBlocks(seen), (2,), scaling="quantile")
        got, expected = batches(spec, rows)
    torch.testing.assert_close(got, expected, rtol=0, atol=1e-6, equal_nan=True)


@pytest.mark.parametrize("modality", ["image", "series", "video"])
@pytest.mark.parametrize("dtype", [np.uint8, np.float64])
def test_rows_of_other_kinds(modality, dtype):
    shape = SHAPES[modality]
    row_shape = spec_of(modality, shape).row_shape if modality != "video" else (4, 5, 6)
    X = np.random.default_rng(0).integers(256, size=(40, *row_shape)).astype(dtype)
    spec = describe(X, modality)
    got, expected = batches(spec, X)
    torch.testing.assert_close(got, expected, rtol=0, atol=0)


@pytest.mark.parametrize("modality", SHAPES)
def test_examples_are_rows_of_x(modality):
    spec = spec_of(modality, SHAPES[modality])
    for missing in ((), (modality,)):
        rows = spec.example_rows(SimpleNamespace(_missing_allowed=missing), 50)
        assert rows.shape == (50, *spec.raw_shape)
        assert torch.from_numpy(rows).dtype == spec.raw_dtype
        assert np.isnan(rows).any() == (bool(missing) and modality != "table")


def test_examples_of_texts_begin_and_end_like_texts():
    spec = spec_of("text", None)
    ids = spec.example_rows(None, 50)
    assert (ids[:, 0] == spec.begin).all()
    lengths = (ids >= 0).sum(axis=1)
    assert len(set(lengths)) > 5
    assert lengths.min() >= 2
    assert all((row[n:] == -1).all() for row, n in zip(ids, lengths))
    assert ids.max() < spec.vocabulary_size
    assert torch.equal(*batches(spec, ids))


def test_a_kind_without_batch_of_says_so():
    with pytest.raises(NotImplementedError, match=r"Spec must define batch_of\(rows\)"):
        Spec(n_samples=2).batch_of(torch.zeros(2, 3))
    assert all("batch_of" in dir(kind) for kind in KINDS.values())
