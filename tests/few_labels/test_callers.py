"""Estimators around ours that number -1 as a class: refused where that can be seen."""

import numpy as np
import pytest
from sklearn.calibration import CalibratedClassifierCV
from sklearn.datasets import load_iris
from sklearn.ensemble import (
    AdaBoostClassifier,
    BaggingClassifier,
    StackingClassifier,
    VotingClassifier,
)
from sklearn.frozen import FrozenEstimator
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV
from sklearn.multiclass import OneVsOneClassifier, OneVsRestClassifier, OutputCodeClassifier
from sklearn.multioutput import MultiOutputClassifier
from sklearn.neighbors import KNeighborsClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.semi_supervised import SelfTrainingClassifier

from sklearn_ssl import FineTuneClassifier, SCARFTransformer
from sklearn_ssl.semi_supervised import LabeledOnly, SemiSupervisedSplit


@pytest.fixture(scope="module", name="flowers")
def flowers_with_few_labels():
    """Iris: X, y with -1 in 4 of 5 rows, all labels, and a transformer that has seen X."""
    X, y = load_iris(return_X_y=True)
    frozen = FrozenEstimator(SCARFTransformer(max_epochs=1, random_state=0).fit(X))
    return X, np.where(np.arange(150) % 5, -1, y), y, frozen


def fine_tuned(frozen):
    return FineTuneClassifier(frozen, strategy="probe")


def pipeline(frozen):
    return make_pipeline(StandardScaler(), LabeledOnly(LogisticRegression()))


NUMBER_CLASSES = {
    "Voting": lambda inner: VotingClassifier([("inner", inner)], voting="soft"),
    "Stacking": lambda inner: StackingClassifier([("inner", inner)], cv=3),
    "Bagging": lambda inner: BaggingClassifier(inner, 3, random_state=0),
    "OneVsRest": OneVsRestClassifier,
    "OneVsOne": OneVsOneClassifier,
    "OutputCode": lambda inner: OutputCodeClassifier(inner, random_state=0),
    "Calibrated": lambda inner: CalibratedClassifierCV(inner, cv=3),
}


@pytest.mark.parametrize("outer", NUMBER_CLASSES)
@pytest.mark.parametrize("inner", [fine_tuned, pipeline])
def test_around_ours_they_are_refused(flowers, outer, inner):
    X, y_few, _, frozen = flowers
    model = NUMBER_CLASSES[outer](inner(frozen))
    message = rf"{outer}Classifier\w* treats -1 as a class: .*with LabeledOnly\({outer}Classifier"
    with pytest.raises(ValueError, match=message):
        model.fit(X, y_few)


@pytest.mark.parametrize("outer", ["Voting", "Stacking", "Bagging", "Calibrated"])
@pytest.mark.parametrize("inner", [fine_tuned, pipeline])
def test_around_ours_that_are_frozen_they_are_refused(flowers, outer, inner):
    """Their fit does nothing; it is their answers that are taken for numbers of classes."""
    X, y_few, _, frozen = flowers
    model = NUMBER_CLASSES[outer](FrozenEstimator(inner(frozen).fit(X, y_few)))
    if outer == "Stacking":
        model.set_params(cv="prefit")
    with pytest.raises(ValueError, match=r"treats -1 as a class: .*with LabeledOnly"):
        model.fit(X, y_few).predict(X)


@pytest.mark.parametrize("outer", ["Stacking", "Calibrated"])
def test_around_our_folds_they_are_refused(flowers, outer):
    X, y_few, _, _ = flowers
    model = NUMBER_CLASSES[outer](LogisticRegression(max_iter=1000)).set_params(
        cv=SemiSupervisedSplit(2)
    )
    with pytest.raises(ValueError, match="before SemiSupervisedSplit sees them"):
        model.fit(X, y_few)


@pytest.mark.parametrize("outer", [*NUMBER_CLASSES, "AdaBoost"])
def test_inside_labeled_only_they_work(flowers, outer):
    X, y_few, y, frozen = flowers
    kinds = {**NUMBER_CLASSES, "AdaBoost": lambda inner: AdaBoostClassifier(inner, n_estimators=3)}
    model = make_pipeline(frozen, LabeledOnly(kinds[outer](LogisticRegression(max_iter=1000))))
    model.fit(X, y_few)
    assert model.classes_.tolist() == [0, 1, 2]
    assert np.mean(model.predict(X) == y) > 0.6  # guessing: 1/3; of three estimators, it varies


@pytest.mark.parametrize("inner", [fine_tuned, pipeline])
def test_those_that_hand_on_minus_one_work(flowers, inner):
    X, y_few, y, frozen = flowers
    for model in (
        SelfTrainingClassifier(inner(frozen)),
        GridSearchCV(inner(frozen), {}, cv=SemiSupervisedSplit(2)),
    ):
        assert np.mean(model.fit(X, y_few).predict(X) == y) > 0.6
    both = np.column_stack([y_few, y_few])
    assert np.mean(MultiOutputClassifier(inner(frozen)).fit(X, both).predict(X)[:, 1] == y) > 0.6


@pytest.mark.parametrize("classes", [[-1, 1], [0, 1, 2], [-2, -1, 0]], ids=str)
def test_labels_of_all_rows_are_no_false_alarm(flowers, classes):
    """Also of very unequal classes: that most rows are of class 0 proves nothing."""
    X, _, y, _ = flowers
    y = np.array(classes)[np.where(np.arange(150) % 10, 0, y % len(classes))]
    voting = VotingClassifier([("inner", LabeledOnly(KNeighborsClassifier(1)))])
    np.testing.assert_array_equal(np.unique(voting.fit(X, y).predict(X)), np.unique(y))
