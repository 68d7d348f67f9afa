"""What data may be wrapped in: masks, arrays and tables of Arrow, lazy frames."""

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import cross_val_score
from sklearn.pipeline import make_pipeline

from sklearn_ssl import (
    FineTuneClassifier,
    MaskedAutoencoder,
    NextFrameEmbedder,
    SCARFTransformer,
    SimCLRTransformer,
    TS2VecTransformer,
)
from sklearn_ssl.data.containers import opened, unmasked
from sklearn_ssl.evaluation import evaluate_representation
from sklearn_ssl.semi_supervised import LabeledOnly, SemiSupervisedSplit

N = 36
ROWS = np.random.default_rng(0).normal(size=(N, 4))
y = np.tile([0, 1, -1], N // 3)


def simclr(**params):
    return SimCLRTransformer(**{"max_epochs": 1, "random_state": 0, **params})


def masked(X, dtype=None):
    """Return an array with some masked values, and one with NaN in their place."""
    X = np.asarray(X, dtype)
    mask = np.zeros(X.shape, bool)
    mask[::5, 0] = True
    holes = np.where(mask, np.nan, X.astype(np.float64))
    filled = np.where(mask, np.array(99).astype(X.dtype), X)  # what nobody should see
    return np.ma.masked_array(filled, mask), holes


# Masks ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("method", ["transform", "score", "partial_fit", "fit"])
@pytest.mark.parametrize("dtype", ["float64", "float32", "float16", "int8", "uint16", "bool", "O"])
@pytest.mark.parametrize("as_list", [False, True])
def test_masked_numbers_of_a_table_are_missing(dtype, method, as_list):
    X, holes = masked(10 * ROWS, dtype)
    X = list(X) if as_list else X
    ours, expected = simclr().fit(X), simclr().fit(holes)
    assert ours.input_spec_.missing == (True, False, False, False)
    results = getattr(ours, method)(X), getattr(expected, method)(holes)
    if method in ("transform", "score"):
        np.testing.assert_allclose(*results, rtol=1e-3, atol=1e-4)
    np.testing.assert_allclose(ours.transform(X), expected.transform(holes), rtol=1e-2, atol=1e-3)


def test_masked_further_rows():
    X, holes = masked(ROWS)
    Z = simclr().fit(ROWS, X_unlabeled=X).transform(X)
    np.testing.assert_array_equal(Z, simclr().fit(ROWS, X_unlabeled=holes).transform(holes))


def test_masked_categories_are_missing():
    X = np.column_stack([np.tile(["Bath", "Ely"], N // 2).astype(object), np.arange(N)])
    X = np.ma.masked_array(X, np.zeros(X.shape, bool))
    X[::3] = np.ma.masked
    assert simclr().fit(X).input_spec_.categories == (("Bath", "Ely", None), None)


@pytest.mark.parametrize("Estimator", [TS2VecTransformer, NextFrameEmbedder])
@pytest.mark.parametrize("as_list", [False, True])
def test_masked_values_of_series_are_missing(Estimator, as_list):
    series = np.random.default_rng(0).normal(size=(12, 3, 20))
    X, holes = masked(series)
    X = list(X) if as_list else X
    ssl = Estimator(max_epochs=1, random_state=0).fit(X)
    expected = Estimator(max_epochs=1, random_state=0).fit(holes)
    np.testing.assert_array_equal(ssl.transform(X), expected.transform(holes))


@pytest.mark.parametrize("Estimator", [SimCLRTransformer, MaskedAutoencoder])
def test_masked_series_where_none_may_be_missing(Estimator):
    X, _ = masked(np.random.default_rng(0).normal(size=(12, 3, 20)))
    with pytest.raises(ValueError, match="NaN"):
        Estimator(modality="series", max_epochs=1).fit(X)


@pytest.mark.parametrize(
    ("params", "shape"),
    [({"modality": "image"}, (4, 4)), ({"image_shape": (4, 4)}, (16,)), ({}, (4, 4, 1))],
)
@pytest.mark.parametrize("as_list", [False, True])
def test_masked_pixels_are_refused(params, shape, as_list):
    plain = np.random.default_rng(0).normal(size=(N, *shape))
    X, _ = masked(plain)
    fitted = simclr(**params).fit(plain)
    X = list(X) if as_list else X
    for method in ("fit", "partial_fit", "transform", "score"):
        with pytest.raises(ValueError, match=r"masked values, but images must be complete.*filled"):
            getattr(fitted, method)(X)
    with pytest.raises(ValueError, match="images must be complete"):
        simclr(**params).fit(plain, X_unlabeled=X)


@pytest.mark.parametrize("mask", [np.ma.nomask, False])
@pytest.mark.parametrize("modality", ["table", "image", "series"])
def test_masked_arrays_without_a_masked_value_are_not_copied(mask, modality):
    X = np.ma.masked_array(ROWS, mask)
    plain = unmasked(X, modality)
    assert type(plain) is np.ndarray
    assert np.shares_memory(plain, ROWS)
    assert unmasked(ROWS, modality) is ROWS


# Arrow, and frames that are not read ----------------------------------------------------------


def test_nested_arrays_of_arrow_are_rows():
    X = pa.array(ROWS.tolist())
    Z = simclr().fit_transform(ROWS)
    np.testing.assert_array_equal(simclr().fit_transform(X), Z)
    np.testing.assert_array_equal(simclr().fit_transform(pa.chunked_array([X])), Z)
    series = pa.array(np.random.default_rng(0).normal(size=(8, 3, 20)).tolist())
    assert TS2VecTransformer(max_epochs=1).fit(series).input_spec_.shape == (3, 20)
    with pytest.raises(ValueError, match="Expected 2D array, got 1D"):
        simclr().fit(pa.array([1.0, 2.0]))


def table(kind):
    frame = pd.DataFrame(ROWS, columns=list("abcd")).assign(town=["Bath", "Ely", None] * (N // 3))
    arrow = pa.Table.from_pandas(frame, preserve_index=False)
    return {
        "pandas": frame,
        "pyarrow.Table": arrow,
        "pyarrow.RecordBatch": arrow.to_batches()[0],
        "polars": pl.from_pandas(frame),
    }[kind]


KINDS = ["pyarrow.Table", "pyarrow.RecordBatch", "polars"]


def ssl_and_head():
    ssl = SCARFTransformer(max_epochs=1, random_state=0)
    return make_pipeline(ssl, LabeledOnly(LogisticRegression()))


USES = {
    "probe": lambda X: (
        FineTuneClassifier(SCARFTransformer(max_epochs=1, random_state=0), strategy="probe")
        .fit(X, y, X_unlabeled=X)
        .predict_proba(X)
    ),
    "full": lambda X: (
        FineTuneClassifier(
            SCARFTransformer(max_epochs=1, random_state=0).fit(X), max_epochs=1, random_state=0
        )
        .fit(X, y)
        .predict_proba(X)
    ),
    "pipeline": lambda X: ssl_and_head().fit(X, y).predict_proba(X),
    "cross-validation": lambda X: cross_val_score(ssl_and_head(), X, y, cv=SemiSupervisedSplit(2)),
    "evaluation": lambda X: (
        evaluate_representation(
            SCARFTransformer(max_epochs=1, random_state=0),
            X,
            y,
            X_unlabeled=X,
            labels_per_class=[3],
            n_draws=2,
            baselines=["raw", "pca"],
            random_state=0,
        ).scores
    ),
}


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("use", USES.values(), ids=USES.keys())
def test_frames_in_few_labels(kind, use):
    ours, expected = use(table(kind)), use(table("pandas"))
    if not isinstance(ours, np.ndarray):
        ours, expected = list(ours.values()), list(expected.values())
    np.testing.assert_array_equal(ours, expected)


def test_lazy_frames():
    X = pl.LazyFrame({"a": ROWS[:, 0]})
    ssl = simclr().fit(ROWS[:, :1])
    uses = [
        lambda: simclr().fit(X),
        lambda: simclr().fit(ROWS, X_unlabeled=X),
        lambda: ssl.partial_fit(X),
        lambda: ssl.transform(X),
        lambda: ssl.score(X),
        lambda: FineTuneClassifier(ssl).fit(X, y),
        lambda: evaluate_representation(ssl, X, y),
    ]
    for use in uses:
        with pytest.raises(TypeError, match=r"LazyFrame.*no rows yet.*X\.collect\(\)"):
            use()


def test_other_data_is_left_alone():
    for X in (ROWS, ROWS.tolist(), pd.DataFrame(ROWS), pl.DataFrame(ROWS), None, 3.0, "text"):
        assert opened(X) is X
        assert unmasked(X, "table") is X
