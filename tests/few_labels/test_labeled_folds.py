"""Scores and out-of-fold predictions of the labeled rows. Folds: tests/test_semi_supervised.py."""

import numpy as np
import pandas as pd
import pytest
import sklearn
from sklearn.base import clone
from sklearn.datasets import load_diabetes, load_iris
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.metrics import accuracy_score, get_scorer, make_scorer
from sklearn.model_selection import (
    GridSearchCV,
    GroupKFold,
    KFold,
    LeaveOneOut,
    ShuffleSplit,
    StratifiedKFold,
    TunedThresholdClassifierCV,
    cross_val_predict,
    cross_validate,
    learning_curve,
)
from sklearn.neighbors import KNeighborsClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.semi_supervised import SelfTrainingClassifier
from sklearn.svm import LinearSVC

from sklearn_ssl.semi_supervised import (
    LabeledOnly,
    SemiSupervisedSplit,
    labeled_cross_val_predict,
    labeled_scorer,
)

ONLY = LabeledOnly(LogisticRegression(max_iter=1000))


@pytest.fixture(name="few")
def few_labels():
    """Iris, shuffled: X, y with -1 in two of three rows, all labels, labeled rows."""
    X, y = load_iris(return_X_y=True)
    order = np.random.default_rng(0).permutation(150)
    X, y = X[order], y[order]
    rows = np.flatnonzero(np.arange(150) % 3 == 0)
    return X, np.where(np.arange(150) % 3, -1, y), y, rows


WAYS = {
    "-1": lambda y: y,
    "words and None": lambda y: np.array([None if v < 0 else f"kind {v}" for v in y], object),
    "a mask": lambda y: np.ma.masked_array(np.maximum(y, 0), y < 0),
    "Int64": lambda y: pd.Series(y).astype("Int64").mask(y < 0),
    "NaN": lambda y: np.where(y < 0, np.nan, y),
    "list": lambda y: y.tolist(),
}


# Scores -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("way", WAYS)
def test_train_scores_are_those_of_labeled_rows(few, way):
    X, y_few, y, _ = few
    folds = cross_validate(
        ONLY,
        X,
        WAYS[way](y_few),
        cv=SemiSupervisedSplit(3),
        scoring=labeled_scorer("accuracy"),
        return_train_score=True,
        return_indices=True,
        return_estimator=True,
        error_score="raise",
    )
    for i, train in enumerate(folds["indices"]["train"]):
        train = train[y_few[train] >= 0]
        expected = clone(ONLY.estimator).fit(X[train], y[train]).score(X[train], y[train])
        assert folds["train_score"][i] == expected > 0.9
    by_itself = cross_validate(
        ONLY, X, WAYS[way](y_few), cv=SemiSupervisedSplit(3), return_train_score=True
    )
    np.testing.assert_array_equal(by_itself["train_score"], folds["train_score"])


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("scoring", ["accuracy", "roc_auc_ovr", "neg_log_loss"])
def test_a_metric_that_would_count_them_is_refused(few, way, scoring):
    X, y_few, _, _ = few
    y = WAYS[way](y_few)
    model = ONLY.fit(X, y)
    with pytest.raises(ValueError, match=r"but 100 of them have no label.*labeled_scorer"):
        get_scorer(scoring)(model, X, y)
    assert np.isfinite(labeled_scorer(scoring)(model, X, y))


@pytest.mark.filterwarnings("ignore:One or more of the train scores:UserWarning")
def test_train_scores_without_it_are_nan(few):
    X, y_few, _, _ = few
    cv = SemiSupervisedSplit(3)
    search = GridSearchCV(ONLY, {}, cv=cv, scoring="accuracy", return_train_score=True)
    with pytest.warns(UserWarning, match=r"Scoring failed(.|\n)*labeled_scorer"):
        search.fit(X, y_few)
    assert np.isnan(search.cv_results_["mean_train_score"]).all()
    assert search.cv_results_["mean_test_score"].min() > 0.9


def test_several_metrics_and_learning_curves(few):
    X, y_few, _, _ = few
    folds = cross_validate(
        ONLY,
        X,
        y_few,
        cv=SemiSupervisedSplit(3),
        scoring=labeled_scorer(["accuracy", "roc_auc_ovr"]),
        return_train_score=True,
    )
    assert folds["train_accuracy"].min() > 0.9
    assert folds["train_roc_auc_ovr"].min() > 0.9
    _, train_scores, _ = learning_curve(
        ONLY,
        X,
        y_few,
        cv=SemiSupervisedSplit(3),
        scoring=labeled_scorer("accuracy"),
        train_sizes=[0.5, 1.0],
        shuffle=True,
        random_state=0,
    )
    assert train_scores.min() > 0.9


def test_minus_one_is_a_number_to_a_regressor():
    X, y = load_diabetes(return_X_y=True)
    y = np.where(np.arange(442) % 2, -1.0, y)
    scores = {
        number: cross_validate(
            LabeledOnly(Ridge()),
            X,
            y + number,
            cv=KFold(2),
            scoring=labeled_scorer("r2"),
            return_train_score=True,
        )["train_score"]
        for number in (0, 5)
    }
    np.testing.assert_allclose(scores[0], scores[5])


def test_weights_of_a_score_are_routed(few):
    X, y_few, y, rows = few
    weights = np.random.default_rng(0).uniform(0, 2, 150)
    model = LabeledOnly(KNeighborsClassifier(9)).fit(X, y_few)
    with sklearn.config_context(enable_metadata_routing=True):
        scorer = labeled_scorer(make_scorer(accuracy_score).set_score_request(sample_weight=True))
        folds = cross_validate(
            LabeledOnly(KNeighborsClassifier(9)),
            X,
            y_few,
            cv=[(rows, np.arange(150))],
            scoring=scorer,
            params={"sample_weight": weights},
        )
    expected = accuracy_score(y[rows], model.predict(X[rows]), sample_weight=weights[rows])
    assert folds["test_score"] == pytest.approx(expected)
    assert scorer(model, X, y_few, sample_weight=weights) == pytest.approx(expected)


def test_scorers_that_are_none():
    with pytest.raises(ValueError, match="scoring"):
        labeled_scorer("exactness")
    assert "accuracy" in repr(labeled_scorer("accuracy"))


# Predictions --------------------------------------------------------------------------------------


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize(
    "method", ["predict", "predict_proba", "predict_log_proba", "decision_function"]
)
def test_predictions_are_those_of_sklearn_for_labeled_rows(few, way, method):
    X, y_few, y, rows = few
    found, found_rows = labeled_cross_val_predict(
        ONLY, X, WAYS[way](y_few), cv=SemiSupervisedSplit(4), method=method
    )
    expected = cross_val_predict(ONLY.estimator, X[rows], y[rows], cv=4, method=method)
    np.testing.assert_array_equal(found_rows, rows)
    if found.dtype.kind in "UO":
        expected = np.array([f"kind {v}" for v in expected])
    np.testing.assert_array_equal(found, expected)


def test_a_regressor_and_splitters():
    X, y = load_diabetes(return_X_y=True)
    few = np.where(np.arange(442) % 2, np.nan, np.round(y))
    rows, groups = np.arange(0, 442, 2), np.arange(442) // 2 % 7
    for cv, same in ((5, KFold(5)), (KFold(3, shuffle=True, random_state=0),) * 2):
        found, _ = labeled_cross_val_predict(LabeledOnly(Ridge()), X, few, cv=cv)
        expected = cross_val_predict(Ridge(), X[rows], np.round(y)[rows], cv=same)
        np.testing.assert_allclose(found, expected)
    found, _ = labeled_cross_val_predict(
        LabeledOnly(Ridge()), X, few, cv=GroupKFold(3), groups=groups
    )
    expected = cross_val_predict(
        Ridge(), X[rows], np.round(y)[rows], cv=GroupKFold(3), groups=groups[rows]
    )
    np.testing.assert_allclose(found, expected)


def test_every_fold_learns_from_the_rows_without_label(few):
    X, y_few, _, _ = few
    seen = []

    class Recorder(SelfTrainingClassifier):
        def fit(self, X, y, **params):
            seen.append(np.sum(y == -1))
            return super().fit(X, y, **params)

    labeled_cross_val_predict(Recorder(LogisticRegression(max_iter=1000)), X, y_few, cv=2)
    assert seen == [100, 100]


def test_a_class_that_a_fold_did_not_learn(few):
    X, y_few, y, rows = few
    y_few = np.where(y_few == 2, -1, y_few)
    y_few[rows[y[rows] == 2][0]] = 2  # a single label of this class
    for method, none in (("predict_proba", 0), ("decision_function", -np.inf)):
        found, found_rows = labeled_cross_val_predict(
            ONLY, X, y_few, cv=LeaveOneOut(), method=method
        )
        assert found.shape == (len(found_rows), 3)
        assert found[y_few[found_rows] == 2, 2].tolist() == [none]
        assert (found[:, :2].argmax(axis=1) == y_few[found_rows])[y_few[found_rows] < 2].all()


def test_weights_reach_the_fits(few):
    X, y_few, y, rows = few
    weights = np.random.default_rng(0).uniform(0.1, 2, 150)
    found, _ = labeled_cross_val_predict(
        ONLY, X, y_few, method="predict_proba", params={"sample_weight": weights}
    )
    expected = cross_val_predict(
        ONLY.estimator,
        X[rows],
        y[rows],
        method="predict_proba",
        params={"sample_weight": weights[rows]},
    )
    np.testing.assert_array_equal(found, expected)


def test_pipelines_and_frames(few):
    X, y_few, y, rows = few
    model = make_pipeline(StandardScaler(), ONLY)
    found, _ = labeled_cross_val_predict(model, pd.DataFrame(X), pd.Series(y_few))
    assert np.mean(found == y[rows]) > 0.9


def test_estimators_that_learn_minus_one(few):
    X, y_few, _, _ = few
    message = r"LogisticRegression treats -1 as a class.*LabeledOnly\(LogisticRegression"
    plain = LogisticRegression(max_iter=1000)
    with pytest.raises(ValueError, match=message):
        labeled_cross_val_predict(plain, X, y_few)
    with pytest.raises(ValueError, match=message):
        labeled_scorer("accuracy")(plain.fit(X, y_few), X, y_few)


def test_cross_val_predict_names_it(few):
    X, y_few, y, _ = few
    with pytest.raises(ValueError, match=r"Use sklearn_ssl\.semi_supervised\.labeled_cross_val"):
        cross_val_predict(ONLY, X, y_few, cv=SemiSupervisedSplit(3))
    found = cross_val_predict(ONLY, X, y, cv=SemiSupervisedSplit(3))  # all rows have a label
    np.testing.assert_array_equal(found, cross_val_predict(ONLY, X, y, cv=3))


@pytest.mark.parametrize("cv", [ShuffleSplit(3, random_state=0), StratifiedKFold(3)], ids=str)
def test_rows_that_are_not_tested_once(few, cv):
    X, y_few, _, _ = few
    if isinstance(cv, ShuffleSplit):
        with pytest.raises(
            ValueError, match="does not test each of the 50 labeled rows exactly once"
        ):
            labeled_cross_val_predict(ONLY, X, y_few, cv=cv)
    else:
        labeled_cross_val_predict(ONLY, X, y_few, cv=cv)


def test_methods_that_are_none(few):
    X, y_few, _, _ = few
    with pytest.raises(AttributeError, match="predict_proba"):
        labeled_cross_val_predict(LabeledOnly(LinearSVC()), X, y_few, method="predict_proba")
    with pytest.raises(ValueError, match="'method' parameter of labeled_cross_val_predict"):
        labeled_cross_val_predict(ONLY, X, y_few, method="transform")


def test_a_threshold_is_tuned_inside_labeled_only(few):
    X, y_few, y, _ = few
    y_few = np.where(y_few > 0, 1, y_few)
    tuned = LabeledOnly(TunedThresholdClassifierCV(LogisticRegression(max_iter=1000), cv=3))
    assert tuned.fit(X, y_few).score(X, np.minimum(y, 1)) > 0.9
