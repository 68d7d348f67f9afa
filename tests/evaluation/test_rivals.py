"""What users have beside a representation: which rows it learns from, and what if it fails."""

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
from scipy import sparse
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.ensemble import StackingClassifier
from sklearn.frozen import FrozenEstimator
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.model_selection import GridSearchCV
from sklearn.neighbors import KNeighborsClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, MinMaxScaler
from sklearn.semi_supervised import LabelPropagation, LabelSpreading, SelfTrainingClassifier

from sklearn_ssl import (
    FineTuneClassifier,
    FineTuneRegressor,
    SCARFTransformer,
    SimCLRTransformer,
)
from sklearn_ssl.evaluation import evaluate_representation
from sklearn_ssl.semi_supervised import LabeledOnly, SemiSupervisedSplit


@pytest.fixture(name="ssl", scope="module")
def fitted_transformer(digits):
    return SimCLRTransformer(max_epochs=1, random_state=0).fit(digits[0][:200])


@pytest.fixture
def seen():
    """The rows and labels of each fit behind a SeenBy step."""
    Seen.fits.clear()
    return Seen.fits


class Seen(BaseEstimator):
    """Keeps what it is fitted to, as a step of a Pipeline."""

    fits = []

    def fit(self, X, y):
        self.fits.append((X, y))
        return self

    def transform(self, X):
        return X


def arrow_table(X):
    return pa.Table.from_pandas(pd.DataFrame(X).rename(columns=str))


def masked(X):
    return np.ma.masked_array(X, mask=np.zeros_like(X, bool))


READ_UNLABELED = {
    "LabelSpreading": lambda ssl: LabelSpreading(kernel="knn"),
    "LabelPropagation": lambda ssl: LabelPropagation(kernel="knn"),
    "SelfTraining": lambda ssl: SelfTrainingClassifier(LogisticRegression(max_iter=2000)),
    "LabeledOnly": lambda ssl: LabeledOnly(KNeighborsClassifier(1)),
    "FineTune": lambda ssl: FineTuneClassifier(FrozenEstimator(ssl), strategy="probe"),
    "search": lambda ssl: GridSearchCV(
        LabeledOnly(KNeighborsClassifier(1)), {}, cv=SemiSupervisedSplit(2)
    ),
}
NAMES = {
    "numbers": lambda y: y,
    "words": lambda y: np.array([f"digit {label}" for label in y]),
    "floats": lambda y: y.astype(float),
    "small": lambda y: y.astype(np.uint8),
}


@pytest.mark.parametrize("names", NAMES)
@pytest.mark.parametrize("kind", READ_UNLABELED)
def test_those_that_read_minus_one_get_all_rows(ssl, digits, seen, kind, names):
    X, y = digits[0][:200], NAMES[names](digits[1][:200])
    model = make_pipeline(Seen(), READ_UNLABELED[kind](ssl))
    report = evaluate_representation(
        ssl, X, y, labels_per_class=3, n_draws=2, baselines=[(kind, model)]
    )
    assert report.scores[kind].min() > 0.3  # guessing: 0.1
    assert len(seen) == 2
    train = np.setdiff1d(np.arange(200), report.test_rows)
    for (rows, labels), drawn in zip(seen, report.labeled_rows[0]):
        np.testing.assert_array_equal(rows, X[train])
        expected = np.full(200, -1, object)
        expected[drawn] = y[drawn]
        if names == "words" and "Label" in kind and kind != "LabeledOnly":
            expected[drawn] = [int(name.split()[1]) for name in y[drawn]]
        assert labels.tolist() == expected[train].tolist()


@pytest.mark.parametrize(
    "to",
    [list, pd.DataFrame, pl.DataFrame, sparse.csr_array, arrow_table, masked],
    ids=lambda to: to.__name__,
)
def test_rows_without_labels_of_every_kind_are_joined(ssl, digits, seen, to):
    X, y = digits[0][:200], digits[1][:200]
    few = np.where(np.arange(200) < 150, y, -1)
    dense = FunctionTransformer(lambda X: X.toarray() if sparse.issparse(X) else np.asarray(X))
    model = make_pipeline(Seen(), dense, LabelSpreading(kernel="knn"))
    transformer = make_pipeline(dense, ssl)
    report = evaluate_representation(
        transformer,
        to(X),
        few,
        X_unlabeled=to(X[:7] + 1),
        labels_per_class=3,
        n_draws=2,
        baselines=[("spread", model)],
    )
    assert report.scores["spread"].min() > 0.3
    rows, labels = seen[0]
    assert type(rows) is type(to(X))
    rows = rows.toarray() if sparse.issparse(rows) else np.asarray(rows)
    train = np.setdiff1d(np.arange(200), report.test_rows)
    np.testing.assert_array_equal(rows, np.concatenate([X[train], X[:7] + 1]))
    assert np.sum(labels >= 0) == 30


def test_a_search_that_does_not_know_minus_one_gets_the_drawn_rows(ssl, digits, seen):
    X, y = digits[0][:200], digits[1][:200]
    model = make_pipeline(Seen(), GridSearchCV(LabeledOnly(KNeighborsClassifier(1)), {}, cv=2))
    evaluate_representation(ssl, X, y, labels_per_class=3, n_draws=2, baselines=[("s", model)])
    assert [len(labels) for _, labels in seen] == [30, 30]


@pytest.mark.filterwarnings("ignore:invalid value encountered:RuntimeWarning")
def test_label_spreading_is_worth_what_it_is(digits):
    """With the drawn rows alone, its graph has no other nodes than them."""
    X, y = digits
    spread = make_pipeline(MinMaxScaler(), LabelSpreading(kernel="knn"))
    report = evaluate_representation(
        SimCLRTransformer(max_epochs=1, random_state=0),
        X,
        y,
        labels_per_class=5,
        n_draws=2,
        baselines=("raw", ("spread", spread)),
    )
    assert report.mean["spread"][0] > 0.85
    rows = report.labeled_rows[0][0]
    alone = spread.fit(X[rows], y[rows]).score(X[report.test_rows], y[report.test_rows])
    assert report.scores["spread"][0, 0] > alone + 0.05


def test_regressors_that_read_nan_get_all_rows(seen):
    X = np.random.default_rng(0).normal(size=(120, 4))
    y = np.where(np.arange(120) % 2, X[:, 0], -1.0)
    y[:10] = np.nan
    ssl = SCARFTransformer(max_epochs=1, random_state=0).fit(X)
    rivals = {
        "only": LabeledOnly(Ridge()),
        "tuned": FineTuneRegressor(FrozenEstimator(ssl), strategy="probe"),
        "plain": Ridge(),
    }
    evaluate_representation(
        ssl,
        X,
        y,
        labels_per_class=20,
        n_draws=2,
        baselines=[(name, make_pipeline(Seen(), model)) for name, model in rivals.items()],
    )
    assert [len(labels) for _, labels in seen] == 4 * [92] + 2 * [20]
    assert [np.sum(~np.isnan(labels)) for _, labels in seen] == 6 * [20]


class Fails(ClassifierMixin, BaseEstimator):
    def fit(self, X, y):
        raise RuntimeError("out of luck")

    def predict(self, X):
        raise AssertionError


def test_one_that_fails_is_left_out_before_the_pretraining(digits):
    fits = []

    class Recorder(SimCLRTransformer):
        def fit(self, X, y=None, *, X_unlabeled=None):
            fits.append(X)
            return super().fit(X, X_unlabeled=X_unlabeled)

    X, y = digits[0][:200], digits[1][:200]
    message = "luckless is left out of the report because it raised RuntimeError: out of luck"
    with pytest.warns(UserWarning, match=message) as caught:
        report = evaluate_representation(
            Recorder(max_epochs=1, random_state=0),
            X,
            y,
            labels_per_class=3,
            n_draws=2,
            baselines=("raw", ("luckless", Fails()), ("knn", KNeighborsClassifier(1))),
        )
    assert caught[0].filename == __file__
    assert list(report.scores) == ["pretrained", "raw", "knn"]
    assert len(fits) == 1
    with pytest.warns(UserWarning, match="out of luck"), pytest.raises(RuntimeError, match="stop"):
        evaluate_representation(Stops(), X, y, labels_per_class=3, baselines=[("f", Fails())])


class Stops(SimCLRTransformer):
    def fit(self, X, y=None, *, X_unlabeled=None):
        raise RuntimeError("stop")


def test_stacking_has_no_predict_before_it_is_fitted(ssl, digits):
    stack = StackingClassifier([("knn", KNeighborsClassifier(1))], cv=2)
    report = evaluate_representation(
        ssl,
        digits[0][:200],
        digits[1][:200],
        labels_per_class=3,
        n_draws=2,
        baselines=[("s", stack)],
    )
    assert report.scores["s"].min() > 0.3
