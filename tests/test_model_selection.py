"""Searches, pipelines, caching and metadata routing."""

import numpy as np
import pytest
import sklearn
from sklearn.base import clone
from sklearn.experimental import enable_halving_search_cv  # noqa: F401
from sklearn.frozen import FrozenEstimator
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import (
    GridSearchCV,
    HalvingGridSearchCV,
    KFold,
    cross_val_score,
    cross_validate,
)
from sklearn.pipeline import Pipeline
from skorch.callbacks import Callback

from sklearn_ssl import SimCLRTransformer


class CountFits(Callback):
    """Counts, over all copies of it in this process, how often training began."""

    n_fits = 0

    def on_train_begin(self, net, **kwargs):
        CountFits.n_fits += 1


@pytest.fixture(name="count_fits")
def counting_callbacks():
    CountFits.n_fits = 0
    return [CountFits()]


@pytest.fixture(name="data")
def labeled_digits(digits):
    X, y = digits
    return X[:120], y[:120] % 2


def make_ssl(**params):
    return SimCLRTransformer(max_epochs=1, random_state=0, **params)


def make_pipeline(ssl, memory=None):
    classifier = LogisticRegression(max_iter=2000)
    return Pipeline([("ssl", ssl), ("classifier", classifier)], memory=memory)


GRID = {
    "ssl__temperature": [0.1, 0.5],
    "ssl__n_components": [2, 8],
    "classifier__C": [0.1, 10.0],
}


def test_search_in_parallel_gives_the_same_scores(data):
    searches = [
        GridSearchCV(
            make_pipeline(make_ssl()), GRID, cv=2, scoring="neg_log_loss", n_jobs=n_jobs
        ).fit(*data)
        for n_jobs in (1, 2)
    ]
    serial, parallel = (search.cv_results_ for search in searches)
    # The log loss is continuous: it would show the last bit of an embedding.
    for split in ("split0_test_score", "split1_test_score"):
        assert len(set(serial[split])) == 8
        np.testing.assert_array_equal(parallel[split], serial[split])
    one, other = (search.predict_proba(data[0]) for search in searches)
    np.testing.assert_array_equal(one, other)


def test_halving_search_over_epochs(data):
    search = HalvingGridSearchCV(
        make_pipeline(make_ssl()),
        {"ssl__temperature": [0.1, 0.5], "classifier__C": [0.1, 10.0]},
        resource="ssl__max_epochs",
        max_resources=4,
        min_resources=1,
        factor=2,
        cv=2,
        random_state=0,
    ).fit(*data)
    assert search.n_resources_ == [1, 2, 4]
    assert search.best_estimator_["ssl"].n_iter_ == 4
    assert 0.5 < search.best_score_ <= 1


def test_cross_val_score(data):
    pipeline = make_pipeline(make_ssl())
    scores = cross_val_score(pipeline, *data, cv=3)
    assert scores.shape == (3,)
    np.testing.assert_array_equal(cross_val_score(pipeline, *data, cv=3), scores)
    assert not hasattr(pipeline["ssl"], "task_")


def test_search_without_labels_goes_by_the_score(data):
    X = data[0]
    cv = KFold(2)
    search = GridSearchCV(make_ssl(), {"temperature": [0.1, 1.0]}, cv=cv).fit(X)
    for i, temperature in enumerate([0.1, 1.0]):
        train, test = next(cv.split(X))
        expected = make_ssl(temperature=temperature).fit(X[train]).score(X[test])
        assert search.cv_results_["split0_test_score"][i] == expected
    assert search.transform(X).shape == (120, 256)


def test_clone_of_a_fitted_pipeline(data):
    pipeline = make_pipeline(make_ssl()).fit(*data)
    twin = clone(pipeline)
    assert not hasattr(twin["ssl"], "task_")
    np.testing.assert_array_equal(
        twin.fit(*data).predict_proba(data[0]), pipeline.predict_proba(data[0])
    )


def test_cache_of_a_pipeline_is_hit(data, tmp_path, count_fits):
    pipeline = make_pipeline(make_ssl(callbacks=count_fits), memory=str(tmp_path))
    grid = {"classifier__C": [0.01, 0.1, 1.0, 10.0]}
    search = GridSearchCV(pipeline, grid, cv=2, scoring="neg_log_loss").fit(*data)
    assert CountFits.n_fits == 3  # one for each fold, and one for all rows
    without = GridSearchCV(make_pipeline(make_ssl()), grid, cv=2, scoring="neg_log_loss").fit(*data)
    np.testing.assert_array_equal(
        search.cv_results_["mean_test_score"], without.cv_results_["mean_test_score"]
    )
    clone(pipeline).fit(*data)
    assert CountFits.n_fits == 3
    clone(pipeline).set_params(ssl__temperature=0.3).fit(*data)
    assert CountFits.n_fits == 4


# Rows without labels, by metadata routing -----------------------------------------------------


@pytest.fixture(name="routing")
def metadata_routing():
    with sklearn.config_context(enable_metadata_routing=True):
        yield


def test_unlabeled_rows_reach_a_step_of_a_pipeline(digits, data, routing):
    ssl = make_ssl().set_fit_request(X_unlabeled=True)
    unlabeled = digits[0][120:200]
    pipeline = make_pipeline(ssl).fit(*data, X_unlabeled=unlabeled)
    direct = make_ssl().fit(data[0], X_unlabeled=unlabeled)
    assert pipeline["ssl"].input_spec_.n_samples == 200
    np.testing.assert_array_equal(pipeline[:-1].transform(data[0]), direct.transform(data[0]))
    alone = make_ssl().fit(data[0])
    assert not np.array_equal(alone.transform(data[0]), direct.transform(data[0]))


def test_unlabeled_rows_reach_every_fit_of_a_search(digits, data, routing):
    pipeline = make_pipeline(make_ssl().set_fit_request(X_unlabeled=True))
    unlabeled = digits[0][120:200]
    search = GridSearchCV(pipeline, {"ssl__temperature": [0.1, 0.5]}, cv=2)
    search.fit(*data, X_unlabeled=unlabeled)
    assert search.best_estimator_["ssl"].input_spec_.n_samples == 200
    folds = cross_validate(
        pipeline, *data, cv=2, params={"X_unlabeled": unlabeled}, return_estimator=True
    )
    assert [fold["ssl"].input_spec_.n_samples for fold in folds["estimator"]] == [140, 140]


def test_unlabeled_rows_that_nobody_asked_for_are_an_error(digits, data, routing):
    with pytest.raises(ValueError, match="X_unlabeled"):
        make_pipeline(make_ssl()).fit(*data, X_unlabeled=digits[0][120:200])


# Pretrained once ------------------------------------------------------------------------------


def test_frozen_estimator_is_not_fitted_again(data, count_fits):
    X, y = data
    ssl = make_ssl(callbacks=count_fits).fit(X)
    assert CountFits.n_fits == 1
    pipeline = make_pipeline(FrozenEstimator(ssl))
    search = GridSearchCV(pipeline, {"classifier__C": [0.1, 1.0]}, cv=2).fit(X[:60], y[:60])
    assert CountFits.n_fits == 1
    np.testing.assert_array_equal(search.best_estimator_[:-1].transform(X), ssl.transform(X))
