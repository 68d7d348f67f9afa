"""Series: lists of them that differ in length, and the order of their axes."""

import warnings

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
import torch
from sklearn.frozen import FrozenEstimator

from sklearn_ssl import (
    FineTuneClassifier,
    MaskedAutoencoder,
    NextFrameEmbedder,
    SCARFTransformer,
    SimCLRTransformer,
    TS2VecTransformer,
)
from sklearn_ssl.evaluation import evaluate_representation
from tests.helpers import assert_equal_but_for_rounding

rng = np.random.default_rng(0)
LENGTHS = [8 + i % 5 for i in range(20)]
RAGGED = [rng.normal(size=(2, n)) for n in LENGTHS]  # (channels, time), as aeon's loaders return
FLAT = [row[0] for row in RAGGED]
CLIPS = [rng.random((n - 5, 6, 6)) for n in LENGTHS]
y = np.arange(20) % 2

of_ragged_series = pytest.mark.parametrize("Estimator", [TS2VecTransformer, NextFrameEmbedder])


def make(Estimator, **params):
    return Estimator(max_epochs=1, random_state=0, **params)


def padded(rows, time=12):
    rows = [np.asarray(row) for row in rows]
    X = np.full((len(rows), *rows[0].shape[:-1], time), np.nan)
    for row, target in zip(rows, X):
        target[..., : row.shape[-1]] = row
    return X


# Lists of series ------------------------------------------------------------------------------


@of_ragged_series
def test_lists_are_padded_with_nan(Estimator):
    of_list, of_array = make(Estimator).fit(RAGGED), make(Estimator).fit(padded(RAGGED))
    assert of_list.input_spec_.shape == (2, 12)
    Z = of_array.transform(padded(RAGGED))
    np.testing.assert_array_equal(of_list.transform(RAGGED), Z)
    assert_equal_but_for_rounding(of_list.transform(RAGGED[:1]), Z[:1])  # shorter than in fit
    assert of_list.score(RAGGED) == of_array.score(padded(RAGGED))
    of_list.partial_fit(RAGGED[:5])
    of_array.partial_fit(padded(RAGGED[:5]))
    np.testing.assert_array_equal(of_list.transform(RAGGED), of_array.transform(padded(RAGGED)))


@of_ragged_series
@pytest.mark.parametrize(
    "wrap",
    [
        lambda rows: tuple(rows),
        lambda rows: [row.tolist() for row in rows],
        lambda rows: [torch.from_numpy(row) for row in rows],
        lambda rows: [pd.Series(row) for row in rows],
        lambda rows: np.array(rows, dtype=object),
        lambda rows: pd.Series(rows),
        lambda rows: pl.Series([row.tolist() for row in rows]),
        lambda rows: pa.array([row.tolist() for row in rows]),
    ],
    ids=["tuple", "lists", "tensors", "Series", "objects", "column", "polars", "Arrow"],
)
def test_lists_of_flat_series(Estimator, wrap):
    Z = make(Estimator).fit_transform(padded(FLAT))
    np.testing.assert_array_equal(make(Estimator).fit_transform(wrap(FLAT)), Z)


@of_ragged_series
def test_further_rows_may_be_the_longest(Estimator):
    longer = rng.normal(size=(3, 2, 15))
    for more in (longer, list(longer)):
        estimator = make(Estimator).fit(RAGGED, X_unlabeled=more)
        assert estimator.input_spec_.shape == (2, 15)
    assert make(Estimator).fit(longer, X_unlabeled=RAGGED).input_spec_.shape == (2, 15)


@of_ragged_series
def test_few_labels_on_lists(Estimator):
    model = FineTuneClassifier(make(Estimator), max_epochs=1, random_state=0)
    assert model.fit(RAGGED, y).predict(RAGGED[:3]).shape == (3,)
    fitted = FrozenEstimator(make(Estimator).fit(RAGGED))
    assert FineTuneClassifier(fitted, strategy="probe").fit(RAGGED[:9], y[:9]).score(RAGGED, y) > 0


def test_evaluation_on_lists():
    evaluation = evaluate_representation(
        make(TS2VecTransformer).fit(RAGGED),
        RAGGED,
        y,
        labels_per_class=[2],
        n_draws=2,
        baselines=["raw", "pca"],
    )
    assert np.isfinite(evaluation.scores["raw"]).all()


def test_lists_of_videos():
    estimator = make(NextFrameEmbedder).fit(CLIPS)
    assert estimator.input_spec_.shape == (7, 1, 6, 6)
    assert np.isfinite(estimator.transform(CLIPS[:3])).all()
    whole = [np.zeros((4, 6, 6, 3), np.uint8)] * 4
    assert make(NextFrameEmbedder).fit(whole).input_spec_.scale == 1 / 255  # as of an array


@of_ragged_series
@pytest.mark.parametrize(
    ("X", "match"),
    [
        (
            [row.T for row in RAGGED],
            r"Time seems to be the first axis: pass \[np\.swapaxes\(row, 0, 1\)",
        ),
        ([*RAGGED, *FLAT], r"differ in their number of dimensions.*\(2, 8\) and \(8,\)"),
        ([row[: 1 + i % 2] for i, row in enumerate(RAGGED)], r"Only the number of time steps may"),
        ([*RAGGED, np.empty((2, 0))], r"Row 20 of X is empty: it has shape \(2, 0\)"),
        ([pd.DataFrame(row.T) for row in RAGGED], r"frame\.to_numpy\(\)\.T for frame in X"),
        (pd.DataFrame({"a": [pd.Series(row) for row in FLAT]}), "cells hold series.*np.stack"),
        (pl.DataFrame({"a": [row.tolist() for row in FLAT]}), "cells hold series.*np.stack"),
    ],
    ids=["time first", "flat too", "channels", "empty", "frames", "sktime's", "polars"],
)
def test_lists_that_are_refused(Estimator, X, match):
    estimator = make(Estimator)
    with pytest.raises(ValueError, match=match):
        estimator.fit(X)
    assert not hasattr(estimator, "n_features_in_")
    fitted = make(Estimator).fit(RAGGED)
    for method in ("transform", "score", "partial_fit"):
        with pytest.raises(ValueError, match=match):
            getattr(fitted, method)(X)


@of_ragged_series
def test_long_frames_of_sktime(Estimator):
    X = pd.concat({i: pd.DataFrame(row.T, columns=["a", "b"]) for i, row in enumerate(RAGGED)})
    with pytest.raises(ValueError, match="MultiIndex, a row for each moment"):
        make(Estimator).fit(X)
    rows = [frame.to_numpy().T for _, frame in X.groupby(level=0, sort=False)]
    np.testing.assert_array_equal(np.concatenate(rows, axis=1), np.concatenate(RAGGED, axis=1))


@of_ragged_series
def test_arrays_of_shorter_series_may_become_lists(Estimator):
    estimator = make(Estimator).fit(RAGGED)
    X = np.stack([row[:, :8] for row in RAGGED])
    with pytest.raises(ValueError, match=r"rows of shape \(2, 8\).*pass list\(X\)"):
        estimator.transform(X)
    assert estimator.transform(list(X)).shape[0] == 20


@of_ragged_series
def test_longer_series_than_in_fit(Estimator):
    estimator = make(Estimator).fit(RAGGED)
    with pytest.raises(ValueError, match=r"up to 13 time steps, .* expecting at most 12"):
        estimator.transform([rng.normal(size=(2, 13))])


def test_what_the_error_of_nested_frames_advises_works():
    X = pd.DataFrame({name: [pd.Series(row[j]) for row in RAGGED] for j, name in enumerate("ab")})
    Z = make(TS2VecTransformer).fit_transform([np.stack(row) for row in X.to_numpy()])
    np.testing.assert_array_equal(Z, make(TS2VecTransformer).fit_transform(RAGGED))


@pytest.mark.parametrize("X", [RAGGED, FLAT, padded(RAGGED)], ids=["list", "flat", "NaN"])
@pytest.mark.parametrize("Estimator", [SimCLRTransformer, MaskedAutoencoder])
def test_other_estimators_name_those_that_take_gaps(Estimator, X):
    with pytest.raises(ValueError, match="TS2VecTransformer and NextFrameEmbedder") as caught:
        make(Estimator, modality="series").fit(X)
    assert "HistGradientBoosting" not in str(caught.value)


@pytest.mark.parametrize("Estimator", [SimCLRTransformer, SCARFTransformer])
def test_tables_of_unequal_rows_name_the_estimators_of_series(Estimator):
    with pytest.raises(ValueError, match=r"inhomogeneous.*TS2VecTransformer and Next"):
        make(Estimator).fit(FLAT)


# Nothing to learn from ------------------------------------------------------------------------


@of_ragged_series
@pytest.mark.parametrize("shape", [(5, 2, 0), (5, 0, 9)])
def test_empty_rows(Estimator, shape):
    with pytest.raises(ValueError, match=r"its rows are empty|0 feature"):
        make(Estimator).fit(np.empty(shape))


@of_ragged_series
def test_all_missing(Estimator):
    X = np.full((6, 2, 12), np.nan)
    with pytest.raises(ValueError, match="all of them are missing"):
        make(Estimator).fit(X)
    fitted = make(Estimator).fit(RAGGED)
    for method in ("score", "partial_fit"):
        with pytest.raises(ValueError, match="all of them are missing"):
            getattr(fitted, method)(X)
    assert np.isfinite(fitted.transform(X)).all()  # row by row, as in any company


# Axes -----------------------------------------------------------------------------------------

TIME_FIRST = rng.normal(size=(16, 40, 3))
of_series = pytest.mark.parametrize(
    ("Estimator", "params"),
    [
        (TS2VecTransformer, {}),
        (NextFrameEmbedder, {}),
        (SimCLRTransformer, {"modality": "series"}),
        (MaskedAutoencoder, {"modality": "series"}),
    ],
)


@of_series
def test_more_channels_than_steps_are_doubtful(Estimator, params):
    with pytest.warns(UserWarning, match=r"\(n, 40, 3\).*np\.swapaxes\(X, 1, 2\)"):
        make(Estimator, **params).fit(TIME_FIRST)
    make(Estimator, **params).fit(TIME_FIRST.swapaxes(1, 2))
    with warnings.catch_warnings():  # what the message says of those that are meant so
        warnings.filterwarnings("ignore", "X has more channels")
        make(Estimator, **params).fit(TIME_FIRST)


@of_series
def test_series_of_one_step_are_refused(Estimator, params):
    with pytest.raises(ValueError, match=r"\(n, 40, 1\).*np\.swapaxes\(X, 1, 2\)"):
        make(Estimator, **params).fit(TIME_FIRST[:, :, :1])


@of_series
def test_many_channels_of_smooth_series_are_no_alarm(Estimator, params):
    phase = rng.uniform(0, 6, (16, 40, 1))
    X = np.sin(phase + np.arange(20) / 2)
    make(Estimator, **params).fit(X)
    with pytest.warns(UserWarning, match="more channels than time steps"):
        make(Estimator, **params).fit(np.sin(phase + np.arange(20) / 2)[:, :, :3])


@of_series
@pytest.mark.parametrize("method", ["transform", "score", "partial_fit"])
def test_swapped_axes_after_fit_are_named(Estimator, params, method):
    estimator = make(Estimator, **params).fit(TIME_FIRST.swapaxes(1, 2))
    with pytest.raises(ValueError, match=r"Use np\.swapaxes\(X, 1, 2\)"):
        getattr(estimator, method)(TIME_FIRST)
