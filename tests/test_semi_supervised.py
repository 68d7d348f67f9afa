"""Rows without a label in y: LabeledOnly, SemiSupervisedSplit, and what goes wrong without them."""

import inspect
import pickle

import numpy as np
import pandas as pd
import pytest
import sklearn
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from scipy import sparse
from sklearn.base import BaseEstimator, ClassifierMixin, clone, is_classifier, is_regressor
from sklearn.datasets import load_diabetes
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import BayesianRidge, Lasso, LinearRegression, LogisticRegression, Ridge
from sklearn.model_selection import (
    GridSearchCV,
    GroupKFold,
    KFold,
    LeaveOneGroupOut,
    LeaveOneOut,
    ShuffleSplit,
    StratifiedKFold,
    cross_val_score,
    cross_validate,
)
from sklearn.neighbors import KNeighborsClassifier
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import FunctionTransformer, MaxAbsScaler, StandardScaler
from sklearn.svm import LinearSVC
from sklearn.utils import estimator_checks, get_tags
from sklearn.utils.estimator_checks import parametrize_with_checks

from sklearn_ssl import SimCLRTransformer
from sklearn_ssl.semi_supervised import LabeledOnly, SemiSupervisedSplit, draw_labels


@pytest.fixture(name="few")
def few_labels(digits):
    """Digits with ten labels per class: X from 0 to 1, y with -1, all labels, labeled rows."""
    X, y = digits
    rows = np.sort(draw_labels(y, 10, random_state=0))
    y_few = np.full(len(y), -1)
    y_few[rows] = y[rows]
    return X / 16, y_few, y, rows


@pytest.fixture(name="few_numbers")
def few_numbers_to_predict():
    """Diabetes, centered so that -1 is an ordinary number, with 60 labels and NaN."""
    X, y = load_diabetes(return_X_y=True)
    y = y - np.round(y.mean())
    y[:3] = -1.0
    rows = np.r_[:3, np.random.default_rng(0).choice(np.arange(3, len(y)), 57, replace=False)]
    y_few = np.full(len(y), np.nan)
    y_few[rows] = y[rows]
    return X, y_few, y, np.sort(rows)


def logistic(**params):
    return LogisticRegression(max_iter=1000, **params)


# scikit-learn's checks ------------------------------------------------------------------------


def expected_failures(estimator):
    if not is_classifier(estimator):
        return {}
    return {
        "check_classifiers_classes": "-1 is one of its two classes, but for the classifiers named "
        "in scikit-learn's list of semi-supervised ones; under such a name it passes, see below"
    }


@parametrize_with_checks(
    [LabeledOnly(LogisticRegression()), LabeledOnly(Ridge())],
    expected_failed_checks=expected_failures,
)
def test_sklearn_check(estimator, check):
    check(estimator)


def test_sklearn_check_of_classes_for_semi_supervised_classifiers():
    check = estimator_checks.check_classifiers_classes
    check("SelfTrainingClassifier", LabeledOnly(LogisticRegression()))


@pytest.mark.parametrize(
    "estimator", [LabeledOnly(LogisticRegression()), LabeledOnly(Ridge())], ids=str
)
@pytest.mark.parametrize(
    "check",
    [
        estimator_checks.check_param_validation,
        estimator_checks.check_dataframe_column_names_consistency,
        # scikit-learn leaves these out where sample_weight is no parameter by name
        estimator_checks.check_sample_weight_equivalence_on_dense_data,
        estimator_checks.check_sample_weights_not_overwritten,
        estimator_checks.check_sample_weights_pandas_series,
        estimator_checks.check_sample_weights_list,
        estimator_checks.check_sample_weights_not_an_array,
        estimator_checks.check_sample_weights_shape,
    ],
    ids=lambda check: check.__name__,
)
@pytest.mark.filterwarnings("ignore:X (has|does not have valid) feature names:UserWarning")
def test_more_sklearn_checks(estimator, check):
    check("LabeledOnly", estimator)


# What goes wrong without them -----------------------------------------------------------------


def test_a_plain_classifier_learns_and_predicts_that_a_row_has_no_label(few):
    X, y_few, y, _ = few
    plain = logistic().fit(X, y_few)
    assert -1 in plain.classes_
    hidden = y_few == -1
    assert np.mean(plain.predict(X[hidden]) == -1) == 1.0  # nothing else, for all 1,697 rows
    only = LabeledOnly(logistic()).fit(X, y_few)
    assert only.classes_.tolist() == list(range(10))
    assert np.mean(only.predict(X[hidden]) == y[hidden]) > 0.9


def test_scores_of_other_splitters_mean_nothing(few):
    X, y_few, y, _ = few
    # 94 percent of the rows are no class at all, and saying so of every row is 94 percent right.
    plain = cross_val_score(logistic(), X, y_few, cv=StratifiedKFold(5))
    share_without_label = np.mean(y_few == -1)
    assert plain.mean() == pytest.approx(share_without_label, abs=0.002)
    # A classifier that is right nine times in ten would seem to be wrong nineteen times in twenty.
    only = LabeledOnly(logistic())
    for cv in (StratifiedKFold(5), KFold(5)):
        with pytest.raises(
            ValueError, match="have no label; the metric would count these as wrong"
        ):
            cross_val_score(only, X, y_few, cv=cv, scoring="accuracy", error_score="raise")
    right = cross_val_score(only, X, y_few, cv=SemiSupervisedSplit(5), scoring="accuracy")
    truth = np.mean(only.fit(X, y_few).predict(X) == y)
    assert truth > 0.9
    assert right.mean() == pytest.approx(truth, abs=0.03)


def test_kfold_tests_on_rows_without_label_and_keeps_them_from_the_pretraining(few):
    X, y_few, _, _ = few
    unlabeled = np.flatnonzero(y_few == -1)
    for train, test in KFold(5).split(X, y_few):
        assert np.isin(test, unlabeled).mean() > 0.9
        assert np.isin(unlabeled, train).mean() < 0.85
    for train, test in SemiSupervisedSplit(5).split(X, y_few):
        assert not np.isin(test, unlabeled).any()
        assert np.isin(unlabeled, train).all()


def test_the_right_way_gives_the_scores_of_a_loop_by_hand(few):
    X, _, y, _ = few
    X, y = X[:600], y[:600]
    rows = np.sort(draw_labels(y, 6, random_state=0))
    y_few = np.full(600, -1)
    y_few[rows] = y[rows]
    ssl = SimCLRTransformer(max_epochs=1, random_state=0)
    expected = []
    for train, test in StratifiedKFold(3).split(X[rows], y[rows]):
        every = np.sort(np.r_[rows[train], np.flatnonzero(y_few == -1)])
        fold = clone(ssl).fit(X[every])
        head = logistic().fit(fold.transform(X[rows[train]]), y[rows[train]])
        expected.append(head.score(fold.transform(X[rows[test]]), y[rows[test]]))
    pipeline = Pipeline([("ssl", ssl), ("classifier", LabeledOnly(logistic()))])
    scores = cross_val_score(pipeline, X, y_few, cv=SemiSupervisedSplit(3))
    np.testing.assert_array_equal(scores, expected)


def test_a_plain_regressor_fails_on_nan_and_learns_minus_one(few_numbers):
    X, y_few, y, rows = few_numbers
    with pytest.raises(ValueError, match="NaN"):
        Ridge().fit(X, y_few)
    only = LabeledOnly(Ridge()).fit(X, y_few)
    np.testing.assert_array_equal(only.predict(X), Ridge().fit(X[rows], y[rows]).predict(X))
    assert np.sum(y[rows] == -1) >= 3  # which are numbers, and trained on


# LabeledOnly ----------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["array", "list", "frame", "sparse"])
def test_every_kind_of_x(few, kind):
    X, y_few, y, rows = few
    expected = logistic().fit(X[rows], y[rows])
    given = {
        "array": lambda: X,
        "list": lambda: X.tolist(),
        "frame": lambda: pd.DataFrame(X).add_prefix("pixel"),
        "sparse": lambda: sparse.csr_array(X),
    }[kind]()
    only = LabeledOnly(logistic()).fit(given, y_few)
    assert only.n_features_in_ == 64
    assert hasattr(only, "feature_names_in_") == (kind == "frame")
    np.testing.assert_allclose(only.predict_proba(given), expected.predict_proba(X), atol=1e-4)
    np.testing.assert_array_equal(only.classes_, expected.classes_)


def test_texts(few):
    texts = [f"{word} {i}" for i, word in enumerate(["good", "bad", "fine", "poor"] * 5)]
    y = np.array(["yes", "no"] * 10, dtype=object)
    y[4:] = None
    model = make_pipeline(TfidfVectorizer(), LabeledOnly(logistic())).fit(texts, y)
    assert model.predict(["good", "poor"]).tolist() == ["yes", "no"]
    inside = LabeledOnly(make_pipeline(TfidfVectorizer(), logistic())).fit(texts, list(y))
    assert inside.predict(["good", "poor"]).tolist() == ["yes", "no"]
    # Here the counts come from the labeled texts alone.
    assert len(inside.estimator_[0].vocabulary_) < len(model[0].vocabulary_)


@pytest.mark.parametrize(
    ("make_y", "classes", "kind"),
    [
        (lambda y: [None if v == -1 else f"digit {v}" for v in y], "digit 0", "U"),
        (lambda y: np.array([np.nan if v == -1 else str(v) for v in y], object), "0", "U"),
        (lambda y: pd.Series([None if v == -1 else str(v) for v in y]), "0", "U"),
        (lambda y: pd.Series([None if v == -1 else str(v) for v in y], dtype="category"), "0", "U"),
        (lambda y: [None if v == -1 else v for v in y.tolist()], 0, "i"),
        (lambda y: pd.Series(y).astype("Int64").mask(y == -1), 0, "if"),
        (lambda y: np.where(y == -1, np.nan, y), 0.0, "f"),
        (lambda y: y.astype(np.int8), 0, "i"),
        (lambda y: y[:, None], 0, "i"),
    ],
)
@pytest.mark.filterwarnings("ignore:A column-vector y:sklearn.exceptions.DataConversionWarning")
def test_every_way_to_write_missing_labels(few, make_y, classes, kind):
    X, y_few, y, rows = few
    only = LabeledOnly(logistic()).fit(X, make_y(y_few))
    assert only.classes_.dtype.kind in kind  # NumPy may read Int64 with NA as floats
    assert only.classes_[0] == classes
    assert len(only.classes_) == 10
    np.testing.assert_array_equal(
        only.decision_function(X), logistic().fit(X[rows], y[rows]).decision_function(X)
    )


def test_booleans_and_several_outputs(few):
    X, y_few, y, rows = few
    even = np.array([None if v == -1 else bool(v % 2 == 0) for v in y_few], object)
    assert LabeledOnly(logistic()).fit(X, even).classes_.tolist() == [False, True]
    both = np.column_stack([y_few, np.where(y_few == -1, -1, y_few % 2)])
    only = LabeledOnly(KNeighborsClassifier(1)).fit(X, both)
    np.testing.assert_array_equal(only.predict(X[rows]), np.column_stack([y[rows], y[rows] % 2]))
    both[rows[0], 1] = -1
    with pytest.raises(ValueError, match="only some of the outputs"):
        LabeledOnly(KNeighborsClassifier(1)).fit(X, both)


def test_numbers_with_none_and_several_outputs(few_numbers):
    X, y_few, y, rows = few_numbers
    with_none = [None if np.isnan(v) else v for v in y_few]
    expected = Ridge().fit(X[rows], y[rows]).predict(X)
    np.testing.assert_array_equal(LabeledOnly(Ridge()).fit(X, with_none).predict(X), expected)
    two = np.column_stack([y_few, 2 * y_few])
    np.testing.assert_allclose(LabeledOnly(Ridge()).fit(X, two).predict(X)[:, 0], expected)


def test_score_leaves_rows_without_label_out(few, few_numbers):
    X, y_few, y, rows = few
    only = LabeledOnly(logistic(C=0.001)).fit(X, y_few)
    assert only.score(X, y_few) == np.mean(only.predict(X[rows]) == y[rows]) < 1
    X, y_few, y, rows = few_numbers
    only = LabeledOnly(Ridge()).fit(X, y_few)
    assert only.score(X, y_few) == only.estimator_.score(X[rows], y[rows])
    with pytest.raises(ValueError, match="None of the 442 rows has a label: y is None or NaN"):
        only.score(X, np.full(442, np.nan))


def test_no_label_at_all(few):
    X = few[0]
    message = "None of the 1797 rows has a label: y is -1, None or NaN"
    with pytest.raises(ValueError, match=message):
        LabeledOnly(logistic()).fit(X, np.full(len(X), -1))
    with pytest.raises(ValueError, match="requires y to be passed, but the target y is None"):
        LabeledOnly(logistic()).fit(X, None)
    with pytest.raises(ValueError, match="inconsistent numbers of samples"):
        LabeledOnly(logistic()).fit(X, np.zeros(5))


@pytest.mark.filterwarnings("ignore:passing a class:FutureWarning")  # scikit-learn < 1.8
@pytest.mark.parametrize("estimator", [3, None, Ridge])
def test_what_is_no_estimator(few, estimator):
    message = "'estimator' parameter of LabeledOnly must be an object|instead of a class"
    message += "|got estimator class instead"
    with pytest.raises((ValueError, TypeError), match=message):
        LabeledOnly(estimator).fit(few[0], few[1])


def test_methods_of_the_estimator_are_there_and_no_others(few):
    X, y_few, _, _ = few
    assert hasattr(LabeledOnly(logistic()), "predict_proba")
    assert not hasattr(LabeledOnly(LinearSVC()), "predict_proba")
    assert hasattr(LabeledOnly(LinearSVC()), "decision_function")
    assert not hasattr(LabeledOnly(Ridge()), "decision_function")
    only = LabeledOnly(logistic())
    for name in ("classes_", "n_features_in_", "feature_names_in_"):
        assert not hasattr(only, name)
    only.fit(X, y_few)
    np.testing.assert_allclose(np.exp(only.predict_log_proba(X)), only.predict_proba(X))
    assert not hasattr(LabeledOnly(Ridge()).fit(X, y_few), "classes_")


def test_a_second_fit_forgets_the_names_of_the_first(few):
    X, y_few, _, _ = few
    only = LabeledOnly(logistic()).fit(pd.DataFrame(X).add_prefix("pixel"), y_few)
    assert only.feature_names_in_[3] == "pixel3"
    assert not hasattr(only.fit(X, y_few), "feature_names_in_")


class OfTexts(ClassifierMixin, BaseEstimator):
    """A classifier of texts, so it says."""

    def fit(self, X, y):
        return self

    def predict(self, X):
        return X

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.input_tags.string, tags.input_tags.two_d_array = True, False
        return tags


def test_tags():
    for estimator in (
        logistic(),
        OfTexts(),
        HistGradientBoostingClassifier(),
        KNeighborsClassifier(),
    ):
        assert is_classifier(LabeledOnly(estimator))
        own, inner = get_tags(LabeledOnly(estimator)), get_tags(estimator)
        assert own.input_tags == inner.input_tags
        assert own.classifier_tags == inner.classifier_tags
        assert own.target_tags.required
    assert is_regressor(LabeledOnly(Ridge()))
    assert is_regressor(LabeledOnly(make_pipeline(StandardScaler(), Ridge())))
    estimator = logistic()
    get_tags(LabeledOnly(estimator)).input_tags.sparse = False
    assert get_tags(estimator).input_tags.sparse


def test_parameters_search_and_pickle(few):
    X, y_few, _, _ = few
    pipeline = make_pipeline(StandardScaler(), LabeledOnly(logistic()))
    grid = {"labeledonly__estimator__C": [1e-5, 1.0]}
    search = GridSearchCV(pipeline, grid, cv=SemiSupervisedSplit(4)).fit(X, y_few)
    assert search.best_params_ == {"labeledonly__estimator__C": 1.0}
    twin = pickle.loads(pickle.dumps(search))
    np.testing.assert_array_equal(twin.predict(X), search.predict(X))


def test_the_given_estimator_is_not_fitted(few):
    estimator = logistic()
    LabeledOnly(estimator).fit(few[0], few[1])
    assert not hasattr(estimator, "coef_")


def test_parameters_of_predict_are_handed_on(few_numbers):
    X, y_few, _, _ = few_numbers
    only = LabeledOnly(BayesianRidge()).fit(X, y_few)
    assert only.predict(X[:5], return_std=True)[1].shape == (5,)


# Weights and metadata routing -----------------------------------------------------------------


@pytest.fixture(name="weights")
def weights_of_all_rows(few):
    return np.random.default_rng(0).uniform(0.1, 2, len(few[0]))


def test_weights_of_the_labeled_rows_reach_the_estimator(few, weights):
    X, y_few, y, rows = few
    expected = logistic().fit(X[rows], y[rows], sample_weight=weights[rows])
    only = LabeledOnly(logistic()).fit(X, y_few, sample_weight=weights)
    np.testing.assert_array_equal(only.estimator_.coef_, expected.coef_)
    pipeline = Pipeline([("scale", MaxAbsScaler()), ("classifier", LabeledOnly(logistic()))])
    pipeline.fit(X, y_few, classifier__sample_weight=weights)
    Z = MaxAbsScaler().fit_transform(X)[rows]
    by_hand = logistic().fit(Z, y[rows], sample_weight=weights[rows])
    np.testing.assert_array_equal(pipeline[-1].estimator_.coef_, by_hand.coef_)
    score = only.score(X, y_few, sample_weight=weights)
    assert score == expected.score(X[rows], y[rows], sample_weight=weights[rows])


def test_weights_are_routed(few, weights):
    pytest.importorskip("sklearn", minversion="1.8", reason="Pipeline.score asks for no weights")
    X, y_few, y, rows = few
    with sklearn.config_context(enable_metadata_routing=True):
        estimator = logistic().set_fit_request(sample_weight=True)
        estimator.set_score_request(sample_weight=True)
        expected = clone(estimator).fit(X[rows], y[rows], sample_weight=weights[rows])
        pipeline = make_pipeline(FunctionTransformer(), LabeledOnly(estimator))
        pipeline.fit(X, y_few, sample_weight=weights)
        np.testing.assert_array_equal(pipeline[-1].estimator_.coef_, expected.coef_)
        folds = cross_validate(
            pipeline,
            X,
            y_few,
            cv=SemiSupervisedSplit(3),
            params={"sample_weight": weights},
            return_estimator=True,
            return_indices=True,
        )
        train, test = (folds["indices"][part][0] for part in ("train", "test"))
        train = train[y_few[train] != -1]
        by_hand = clone(estimator).fit(X[train], y[train], sample_weight=weights[train])
        np.testing.assert_array_equal(folds["estimator"][0][-1].estimator_.coef_, by_hand.coef_)
        score = by_hand.score(X[test], y[test], sample_weight=weights[test])
        assert folds["test_score"][0] == score


def test_weights_that_nobody_asked_for_are_an_error(few, weights):
    with sklearn.config_context(enable_metadata_routing=True):
        with pytest.raises(ValueError, match="sample_weight"):
            LabeledOnly(logistic()).fit(few[0], few[1], sample_weight=weights)
        unasked = LabeledOnly(logistic().set_fit_request(sample_weight=False))
        with pytest.raises(TypeError, match="sample_weight"):
            unasked.fit(few[0], few[1], sample_weight=weights)


# SemiSupervisedSplit --------------------------------------------------------------------------

SPLITTERS = [
    2,
    StratifiedKFold(3, shuffle=True, random_state=0),
    KFold(4),
    LeaveOneOut(),
    GroupKFold(2),
]
CLASSES = [-1, 0, 1]
WORDS = [None, "a", "b"]
NUMBERS = [float("nan"), -1.0, 0.5, 2.0]


@st.composite
def labels(draw):
    """Labels of several kinds, which of them are missing, and the groups of the rows."""
    kind = draw(st.sampled_from([CLASSES, WORDS, NUMBERS]))
    values = draw(st.lists(st.sampled_from(kind), min_size=8, max_size=30))
    values += kind[1:] * 4  # four labeled rows of each at least
    values = draw(st.permutations(values))
    missing = np.array([v is kind[0] or v == kind[0] for v in values])
    groups = np.arange(len(values)) % draw(st.integers(2, 4))
    assume(len(set(groups[~missing])) > 1)
    return values, missing, groups


@pytest.mark.parametrize("cv", SPLITTERS, ids=str)
@settings(max_examples=30, deadline=None, derandomize=True, database=None)
@given(drawn=labels())
def test_every_labeled_row_is_tested_once_and_the_others_always_train(cv, drawn):
    y, missing, groups = drawn
    if isinstance(cv, StratifiedKFold):
        assume(not any(isinstance(v, float) for v in y))
    X = np.zeros((len(y), 1))
    groups = groups if isinstance(cv, GroupKFold) else None  # others would warn
    split = SemiSupervisedSplit(cv)
    folds = list(split.split(X, y, groups))
    assert len(folds) == split.get_n_splits(X, y, groups)
    tested = np.concatenate([test for _, test in folds])
    np.testing.assert_array_equal(np.sort(tested), np.flatnonzero(~missing))
    for train, test in folds:
        np.testing.assert_array_equal(np.sort(np.r_[train, test]), np.arange(len(y)))
        assert np.isin(np.flatnonzero(missing), train).all()
        assert (np.diff(train) > 0).all()
        if isinstance(cv, GroupKFold):
            labeled_train = train[~missing[train]]
            assert not set(groups[labeled_train]) & set(groups[test])


def test_folds_are_those_of_the_labeled_rows(few, few_numbers):
    X, y_few, y, rows = few
    for cv, same in [(5, StratifiedKFold(5)), (KFold(3), KFold(3))]:
        expected = [rows[test] for _, test in same.split(X[rows], y[rows])]
        found = [test for _, test in SemiSupervisedSplit(cv).split(X, y_few)]
        for a, b in zip(found, expected):
            np.testing.assert_array_equal(a, b)
    X, y_few, y, rows = few_numbers
    for regression in ("auto", True):
        y_read = y_few + 0.25 if regression == "auto" else y_few
        expected = [rows[test] for _, test in KFold(5).split(rows)]
        split = SemiSupervisedSplit(5, regression=regression)
        for (_, a), b in zip(split.split(X, y_read), expected):
            np.testing.assert_array_equal(a, b)


def test_a_class_of_few_labels_is_in_every_fold(few):
    X, y_few, _, _ = few
    for train, test in SemiSupervisedSplit(10).split(X, y_few):
        assert sorted(y_few[test]) == list(range(10))
        assert np.unique(y_few[train]).tolist() == list(range(-1, 10))


def test_repeated_draws_with_a_shuffled_splitter(few):
    X, y_few, _, _ = few
    split = SemiSupervisedSplit(ShuffleSplit(3, test_size=0.2, random_state=0))
    assert split.get_n_splits() == 3
    for train, test in split.split(X, y_few):
        assert len(test) == 20
        assert len(train) == len(X) - 20


@pytest.mark.parametrize("routing", [False, True])
def test_groups_in_cross_validation(few, routing):
    X, y_few, _, rows = few
    groups = np.arange(len(X)) % 3
    cv = SemiSupervisedSplit(LeaveOneGroupOut())
    with sklearn.config_context(enable_metadata_routing=routing):
        more = {"params": {"groups": groups}} if routing else {"groups": groups}
        folds = cross_validate(
            LabeledOnly(logistic()), X, y_few, cv=cv, return_indices=True, **more
        )
    for group, test in enumerate(folds["indices"]["test"]):
        np.testing.assert_array_equal(test, rows[groups[rows] == group])


@pytest.mark.parametrize("routing", [False, True])
def test_search_without_groups(few, routing):
    X, y_few, _, _ = few
    with sklearn.config_context(enable_metadata_routing=routing):
        search = GridSearchCV(
            LabeledOnly(logistic()), {"estimator__C": [1e-5, 1]}, cv=SemiSupervisedSplit(3)
        ).fit(X, y_few)
    assert search.best_params_["estimator__C"] == 1
    assert search.n_splits_ == 3


def test_strings_with_none_in_cross_validation(few):
    X, y_few, _, _ = few
    words = np.array([None if v == -1 else f"digit {v}" for v in y_few], object)
    only, cv = LabeledOnly(logistic()), SemiSupervisedSplit(5)
    expected = cross_val_score(only, X, y_few, cv=cv)
    for scoring in (None, "accuracy"):
        np.testing.assert_array_equal(
            cross_val_score(only, X, words, cv=cv, scoring=scoring), expected
        )


def test_regression_in_cross_validation(few_numbers):
    X, y_few, y, rows = few_numbers
    cv = SemiSupervisedSplit(5, regression=True)
    scores = cross_val_score(LabeledOnly(LinearRegression()), X, y_few, cv=cv, scoring="r2")
    expected = cross_val_score(LinearRegression(), X[rows], y[rows], cv=KFold(5), scoring="r2")
    np.testing.assert_allclose(scores, expected)
    grid = {"estimator__alpha": [1e3, 0.1]}
    search = GridSearchCV(LabeledOnly(Lasso()), grid, cv=cv).fit(X, y_few)
    assert search.best_params_["estimator__alpha"] == 0.1


def test_all_rows_labeled(digits):
    X, y = digits
    for (train, test), expected in zip(
        SemiSupervisedSplit(3).split(X, y), StratifiedKFold(3).split(X, y)
    ):
        np.testing.assert_array_equal(train, expected[0])
        np.testing.assert_array_equal(test, expected[1])


def test_every_kind_of_x_is_split(few):
    X, y_few, _, _ = few
    expected = next(SemiSupervisedSplit(5).split(X, y_few))[1]
    for given_X in (pd.DataFrame(X), sparse.csr_array(X), ["text"] * len(X)):
        test = next(SemiSupervisedSplit(5).split(given_X, pd.Series(y_few)))[1]
        np.testing.assert_array_equal(test, expected)


def test_repr():
    assert repr(SemiSupervisedSplit(KFold(3))) == (
        "SemiSupervisedSplit(cv=KFold(n_splits=3, random_state=None, shuffle=False),\n"
        "          regression='auto')"
    )


@pytest.mark.parametrize(
    ("cv", "error", "message"),
    [
        ("five", TypeError, "cv must be a number of folds or a splitter"),
        (True, TypeError, "cv must be a number of folds or a splitter"),
        ([([0], [1])], TypeError, "cv must be a number of folds or a splitter"),
        (1, ValueError, "cv must be at least 2 folds, got 1"),
        (11, ValueError, "Class 0 has 10 labeled rows, fewer than 11 folds"),
        (200, ValueError, "200 folds of 100 labeled rows are too many"),
    ],
)
def test_bad_folds(few, cv, error, message):
    with pytest.raises(error, match=message):
        list(SemiSupervisedSplit(cv).split(few[0], few[1]))


def test_bad_labels(few, few_numbers):
    X, y_few, _, _ = few
    with pytest.raises(ValueError, match="needs y to know which rows have a label"):
        next(SemiSupervisedSplit().split(X))
    with pytest.raises(ValueError, match="None of the 1797 rows has a label"):
        next(SemiSupervisedSplit().split(X, np.full(len(X), -1)))
    with pytest.raises(ValueError, match="inconsistent numbers of samples"):
        next(SemiSupervisedSplit().split(X, y_few[:-1]))
    X, y_few, _, _ = few_numbers
    with pytest.raises(ValueError, match="If y holds numbers to predict, set regression=True"):
        next(SemiSupervisedSplit().split(X, y_few))  # whole numbers look like classes


def test_signatures_are_those_of_sklearn():
    for name in ("split", "get_n_splits"):
        own = inspect.signature(getattr(SemiSupervisedSplit, name)).parameters
        assert list(own) == ["self", "X", "y", "groups"]
