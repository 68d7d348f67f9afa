"""Several labels per row: the loss, the probe, the marks, and what scikit-learn's tools do."""

import joblib
import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
import torch
from scipy.sparse import csr_array
from scipy.special import expit
from sklearn.base import clone
from sklearn.ensemble import RandomForestClassifier
from sklearn.frozen import FrozenEstimator
from sklearn.linear_model import LogisticRegression, Ridge, RidgeClassifier
from sklearn.metrics import accuracy_score, f1_score, log_loss
from sklearn.model_selection import GridSearchCV, KFold, cross_val_score
from sklearn.multiclass import OneVsRestClassifier
from sklearn.multioutput import MultiOutputClassifier
from sklearn.neighbors import KNeighborsClassifier
from sklearn.neural_network import MLPClassifier

from sklearn_ssl import FineTuneClassifier, VIMETransformer
from sklearn_ssl.evaluation import evaluate_representation
from sklearn_ssl.few_labels.multilabel import LogisticRegressionPerLabel, Multilabel
from sklearn_ssl.few_labels.task import FineTuneTask, LinearHead
from sklearn_ssl.semi_supervised import (
    LabeledOnly,
    SemiSupervisedSplit,
    draw_labels,
    labeled_cross_val_predict,
    labeled_scorer,
)
from tests.helpers import assert_layer_is_at_rest, through_model_file, through_skops

STRATEGIES = ("probe", "full", "probe-then-full")
every_strategy = pytest.mark.parametrize("strategy", STRATEGIES)

rng = np.random.default_rng(0)
X = rng.normal(size=(160, 6))
Y = (X[:, :4] + 0.3 * rng.normal(size=(160, 4)) > [0, 0.5, -0.5, 1]).astype(int)
RARE = Y * [1, 1, 1, 0] + [0, 0, 0, 1]  # the last label is that of all rows
FEW = Y.astype(float)
FEW[80:] = np.nan
OBJECTS = np.where(np.isnan(FEW), None, FEW.astype(object))
UNLABELED = np.where(np.isnan(FEW), -1, FEW).astype(int)


@pytest.fixture(scope="module")
def ssl():
    return VIMETransformer(max_epochs=5, random_state=0).fit(X)


def make(ssl, **params):
    return FineTuneClassifier(FrozenEstimator(ssl), **{"random_state": 0, **params})


def scaled(ssl):
    """Return the representation as the probe gets it, its mean and its scale."""
    Z = ssl.transform(X).astype(np.float64)
    mean, scale = Z.mean(axis=0), float(np.sqrt(Z.var(axis=0).mean()))
    return (Z - mean) / scale, mean, scale


# What is learned ------------------------------------------------------------------------------


def test_the_probe_is_a_logistic_regression_for_each_label(ssl):
    Z, _, _ = scaled(ssl)
    expected = OneVsRestClassifier(LogisticRegression(max_iter=10_000)).fit(Z[:80], Y[:80])
    probe = make(ssl, strategy="probe").fit(X, FEW)
    np.testing.assert_allclose(probe.predict_proba(X), expected.predict_proba(Z), atol=1e-4)
    np.testing.assert_array_equal(probe.predict(X), expected.predict(Z))
    assert probe.classes_.tolist() == expected.classes_.tolist() == [0, 1, 2, 3]


def test_the_loss_is_the_mean_over_labels_of_the_logarithms_of_probabilities():
    logits = np.random.default_rng(0).normal(size=(7, 4))
    targets = Multilabel(Y[:7], None, "a test")
    losses = targets.losses(torch.from_numpy(logits), torch.from_numpy(targets.values).double())
    expected = [
        np.mean([-np.log(expit(z if label else -z)) for z, label in zip(*row)])
        for row in zip(logits, Y[:7])
    ]
    np.testing.assert_allclose(losses, expected)


def test_the_probe_is_where_the_layer_rests_while_the_encoder_does(ssl):
    Z, mean, scale = scaled(ssl)
    targets = Multilabel(Y, None, "a test")
    head = OneVsRestClassifier(LogisticRegression(max_iter=10_000, tol=1e-9)).fit(Z, Y)
    coef, intercept = (
        np.concatenate([getattr(part, name) for part in head.estimators_])
        for name in ("coef_", "intercept_")
    )
    layer = LinearHead(mean, scale, 4)
    layer.start_from(coef / scale, intercept - coef @ mean / scale)
    penalty = targets.penalty / len(X)
    task = FineTuneTask(ssl.task_, layer, targets.losses, penalty, None, 1.0).eval()
    batch = ssl.input_spec_.to_tensor(X), torch.from_numpy(targets.values), torch.ones(len(X))
    assert_layer_is_at_rest(task, batch)
    ssl.encoder_.zero_grad()


@pytest.mark.parametrize("head", [None, RidgeClassifier(), OneVsRestClassifier(RidgeClassifier())])
def test_the_full_training_starts_from_the_probe(head, ssl):
    probe = make(ssl, strategy="probe", head=head).fit(X, FEW)
    tuned = make(ssl, head=head, max_epochs=1, lr=1e-12, weight_decay=0).fit(X, FEW)
    np.testing.assert_allclose(tuned.decision_function(X), probe.decision_function(X), atol=1e-4)


def test_the_full_training_starts_from_the_frequency_of_each_label(ssl):
    classifier = make(ssl, strategy="full", max_epochs=0).fit(X, RARE[:, ::-1])
    n_with = RARE[:, ::-1].sum(axis=0)
    expected = np.tile((n_with + 1) / (len(X) + 2), (len(X), 1))
    np.testing.assert_allclose(classifier.predict_proba(X), expected, atol=1e-5)


def test_views_stand_beside_the_rows_with_all_of_their_labels(ssl):
    _, mean, scale = scaled(ssl)
    targets = Multilabel(Y, None, "a test")
    layer = LinearHead(mean, scale, 4)
    torch.nn.init.normal_(layer.linear.weight, generator=torch.Generator().manual_seed(0))
    same = lambda rows: rows  # noqa: E731
    task = FineTuneTask(ssl.task_, layer, targets.losses, 0.0, same, 1.0, still=True)
    batch = ssl.input_spec_.to_tensor(X), torch.from_numpy(targets.values), torch.ones(len(X))
    with torch.no_grad():
        torch.testing.assert_close(task.train()(batch), task.eval()(batch))


@every_strategy
def test_labels_are_learned(strategy, ssl):
    classifier = make(ssl, strategy=strategy).fit(X, FEW)
    guess = (Y[:80].mean(axis=0) > 0.5) * np.ones_like(Y)
    assert classifier.score(X[80:], Y[80:]) > accuracy_score(Y[80:], guess[80:]) + 0.1
    assert f1_score(Y[80:], classifier.predict(X[80:]), average="micro") > 0.6


@every_strategy
def test_shapes_are_those_of_scikit_learn(strategy, ssl):
    classifier = make(ssl, strategy=strategy, max_epochs=1).fit(X, FEW)
    predicted, decisions = classifier.predict(X), classifier.decision_function(X)
    assert predicted.shape == decisions.shape == Y.shape
    assert predicted.dtype.kind == "i"
    np.testing.assert_array_equal(predicted, decisions > 0)
    np.testing.assert_allclose(classifier.predict_proba(X), expit(decisions), atol=1e-6)
    assert classifier.score(X, Y) == np.mean(np.all(predicted == Y, axis=1))


# A label of all rows or of none ---------------------------------------------------------------


@every_strategy
@pytest.mark.parametrize("everywhere", [0, 1])
@pytest.mark.parametrize("place", [0, 3])
def test_a_label_with_one_value_is_predicted_for_every_row(place, everywhere, strategy, ssl):
    y = FEW.copy()
    y[:80, place] = everywhere
    classifier = make(ssl, strategy=strategy, max_epochs=10).fit(X, y)
    assert np.all(classifier.predict(X)[:, place] == everywhere)
    probabilities = classifier.predict_proba(X)[:, place]
    assert np.all((probabilities > 0) & (probabilities < 1))
    if strategy == "probe":
        np.testing.assert_allclose(probabilities, (80 * everywhere + 1) / 82)


@pytest.mark.filterwarnings("ignore:Label not . is present in all training examples:UserWarning")
@pytest.mark.parametrize("place", [0, 3])
def test_one_versus_rest_may_know_a_label_of_no_row(place, ssl):
    y = FEW.copy()
    y[:80, place] = 0
    head = OneVsRestClassifier(LogisticRegression(max_iter=1000))
    classifier = make(ssl, head=head, max_epochs=2).fit(X, y)
    assert isinstance(classifier.head_, LogisticRegressionPerLabel)  # the probe was improved
    np.testing.assert_allclose(classifier.predict_proba(X)[:, place], 1 / 82, rtol=0.5)


def test_rows_that_do_not_differ(ssl):
    with pytest.raises(ValueError, match="all 80 of them have the same 4 labels"):
        make(ssl).fit(X, np.where(np.isnan(FEW), np.nan, 1))
    with pytest.raises(ValueError, match="Rows with weight 0 do not count"):
        make(ssl).fit(X, Y, sample_weight=np.arange(160) == 3)


# What y may be --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "y",
    [
        FEW,
        UNLABELED,
        OBJECTS,
        OBJECTS.tolist(),
        np.where(np.isnan(FEW), None, FEW.astype(bool).astype(object)),
        np.ma.array(Y, mask=np.isnan(FEW)),
        csr_array(UNLABELED),
        pd.DataFrame(FEW, columns=list("abcd")),
        pd.DataFrame(FEW, columns=list("abcd")).astype("boolean"),
        pl.DataFrame(FEW, schema=list("abcd")),
        pa.table(dict(zip("abcd", FEW.T))),
    ],
    ids=lambda y: f"{type(y).__name__} {getattr(y, 'dtype', '')}",
)
def test_every_container_and_mark(y, ssl):
    expected = make(ssl, strategy="probe").fit(X, FEW)
    classifier = make(ssl, strategy="probe").fit(X, y)
    np.testing.assert_array_equal(classifier.predict_proba(X), expected.predict_proba(X))
    assert classifier.score(X, y) == expected.score(X[:80], Y[:80])


@pytest.mark.parametrize(
    ("y", "message"),
    [
        (np.where(Y == 1, 1.0, np.nan), "labels for only some of the outputs"),
        (np.where(Y == 1, 1, -1), r"only some of the outputs.*np.where\(y == -1, 0, y\)"),
        (Y + 1, r"several columns that say .* has 4 columns and holds 2\..*MultiOutput"),
        (Y * 0.5, "holds 0.5"),
        (np.where(Y == 1, "yes", "no"), "holds '(yes|no)'"),
        (Y[:, :0], r"shape=\(160, 0\)"),
        (Y[..., None], "dim 3"),
        ([np.flatnonzero(row).tolist() for row in Y], "MultiLabelBinarizer"),
        ([set(np.flatnonzero(row)) for row in Y], "MultiLabelBinarizer"),
        ([*Y[:80].tolist(), *[None] * 80], "-1 or NaN in all columns of a row without labels"),
    ],
)
def test_other_columns_are_refused(y, message, ssl):
    classifier = make(ssl)
    with pytest.raises(ValueError, match=message):
        classifier.fit(X, y)
    assert not hasattr(classifier, "head_")


@pytest.mark.parametrize(
    ("params", "message"),
    [
        ({"class_weight": "balanced"}, "4 labels per row. Leave it out, .* sample_weight"),
        ({"class_weight": {0: 2}}, "class_weight={0: 2} is for one class per row"),
        ({"strategy": "fixmatch"}, 'y has 4 columns. Use strategy="probe-then-full", "full" or'),
        ({"head": LogisticRegression()}, "several labels per row, such as OneVsRest.*got Logistic"),
        ({"head": Ridge()}, "is a classifier of several labels per row"),
        ({"head": KNeighborsClassifier()}, "another head: RidgeClassifier, or OneVsRestClassifier"),
        ({"early_stopping": True, "validation_fraction": 0.99}, "leaves 0 of 80 labeled rows"),
    ],
)
def test_what_does_not_go_with_several_labels(params, message, ssl):
    with pytest.raises(ValueError, match=message):
        make(ssl, **params).fit(X, FEW)


def test_several_columns_of_classes_go_one_by_one(ssl):
    y = np.column_stack([np.arange(160) % 3, Y[:, 0]])
    y[80:] = -1
    each = MultiOutputClassifier(make(ssl, strategy="probe")).fit(X, y)
    assert [classes.tolist() for classes in each.classes_] == [[0, 1, 2], [0, 1]]
    assert np.mean(each.predict(X)[:, 1] == Y[:, 0]) > 0.6


# Weights, early stopping, heads ---------------------------------------------------------------


def test_weights_are_repetitions_of_rows(ssl):
    weights = np.random.default_rng(0).integers(0, 4, 80)
    Z, _, _ = scaled(ssl)
    weighted = LogisticRegressionPerLabel().fit(Z[:80], RARE[:80], sample_weight=weights)
    rows = np.repeat(np.arange(80), weights)
    repeated = LogisticRegressionPerLabel().fit(Z[rows], RARE[rows])
    np.testing.assert_allclose(
        weighted.predict_proba(Z)[:, :3], repeated.predict_proba(Z)[:, :3], atol=1e-3
    )


@every_strategy
def test_a_row_of_weight_0_has_no_labels(strategy, ssl):
    labeled = 1.0 * ~np.isnan(FEW).any(axis=1)
    params = {"strategy": strategy, "max_epochs": 2}
    by_weight = make(ssl, **params).fit(X, Y, sample_weight=labeled)
    by_mark = make(ssl, **params).fit(X, FEW, sample_weight=np.ones(160))
    np.testing.assert_array_equal(by_weight.decision_function(X), by_mark.decision_function(X))


@pytest.mark.parametrize("strategy", ["full", "probe-then-full"])
def test_early_stopping(strategy, ssl):
    classifier = make(ssl, strategy=strategy, early_stopping=True, max_epochs=5).fit(X, FEW)
    assert len(classifier.history_["valid_loss"]) == classifier.n_iter_ <= 5
    assert classifier.score(X[80:], Y[80:]) > 0.2  # guessing at random: 0.06


@pytest.mark.parametrize(
    "head",
    [
        KNeighborsClassifier(),
        RandomForestClassifier(10, random_state=0),
        MLPClassifier((8,), solver="lbfgs", max_iter=2000, random_state=0),
        MultiOutputClassifier(LogisticRegression()),
        OneVsRestClassifier(LogisticRegression()),
    ],
    ids=lambda head: type(head).__name__,
)
def test_probabilities_of_any_head_are_a_column_per_label(head, ssl):
    classifier = make(ssl, strategy="probe", head=head).fit(X, Y)
    probabilities = classifier.predict_proba(X)
    assert probabilities.shape == Y.shape
    assert classifier.score(X, Y) > 0.3
    sure = np.abs(probabilities - 0.5) > 1e-6
    np.testing.assert_array_equal((probabilities > 0.5)[sure], classifier.predict(X)[sure])


def test_trees_may_know_a_label_with_one_value(ssl):
    classifier = make(ssl, strategy="probe", head=RandomForestClassifier(5)).fit(X, RARE)
    np.testing.assert_array_equal(classifier.predict_proba(X)[:, 3], 1)


# The tools around it --------------------------------------------------------------------------


def test_tags_say_which_settings_take_several_labels(ssl):
    def takes_several(**params):
        return make(ssl, **params).__sklearn_tags__().classifier_tags.multi_label

    assert takes_several()
    assert takes_several(head=KNeighborsClassifier())
    assert not takes_several(head=LogisticRegression())
    assert not takes_several(strategy="fixmatch")


@pytest.mark.parametrize("scoring", [None, "f1_micro", "roc_auc"])
def test_a_search_with_rows_that_have_no_labels(scoring, ssl):
    search = GridSearchCV(
        make(ssl, max_epochs=1),
        {"strategy": ["probe", "full"]},
        cv=SemiSupervisedSplit(3),
        scoring=scoring,
        error_score="raise",
    ).fit(X, FEW)
    assert search.best_params_ == {"strategy": "probe"}
    assert search.predict(X).shape == Y.shape


def test_rows_without_labels_are_not_scored(ssl):
    with pytest.raises(ValueError, match="scored on 54 rows, but 27 of them have no label"):
        cross_val_score(
            make(ssl, strategy="probe"),
            X,
            FEW[np.random.default_rng(7).permutation(160)],
            cv=KFold(3),
            scoring="f1_micro",
            error_score="raise",
        )
    labeled = labeled_scorer("f1_micro")
    classifier = make(ssl, strategy="probe").fit(X, FEW)
    expected = f1_score(Y[:80], classifier.predict(X[:80]), average="micro")
    assert labeled(classifier, X, FEW) == pytest.approx(expected)


@pytest.mark.parametrize("method", ["predict", "predict_proba", "decision_function"])
def test_predictions_out_of_fold(method, ssl):
    probe = make(ssl, strategy="probe")
    found, rows = labeled_cross_val_predict(probe, X, FEW, cv=4, method=method)
    assert rows.tolist() == list(range(80))
    train = np.r_[20:160]
    expected = getattr(clone(probe).fit(X[train], FEW[train]), method)(X[:20])
    np.testing.assert_allclose(found[:20], expected)


def test_lists_are_not_put_together_out_of_fold():
    forest = LabeledOnly(RandomForestClassifier(5))
    with pytest.raises(ValueError, match="returns a list, of an array for each column of y"):
        labeled_cross_val_predict(forest, X, FEW, cv=2, method="predict_proba")
    y = np.where(np.isnan(FEW), np.nan, RARE)
    assert labeled_cross_val_predict(forest, X, y, cv=2)[0].shape == (80, 4)


def test_labeled_only_leaves_rows_out():
    only = LabeledOnly(OneVsRestClassifier(LogisticRegression(max_iter=1000)))
    alone = clone(only.estimator).fit(X[:80], Y[:80])
    for y in (FEW, UNLABELED, OBJECTS, csr_array(UNLABELED)):
        np.testing.assert_array_equal(only.fit(X, y).predict(X), alone.predict(X))
        assert only.score(X, y) == alone.score(X[:80], Y[:80])


def test_labels_are_evaluated_and_drawn_one_by_one(ssl):
    with pytest.raises(ValueError, match=r"y has 4 columns. Evaluate them one by one: y\[:, 0\]"):
        evaluate_representation(ssl, X, Y)
    with pytest.raises(ValueError, match=r"one per row, but y has the shape \(160, 4\)"):
        draw_labels(Y, 2, random_state=0)


@every_strategy
def test_a_classifier_is_cloned_and_saved(strategy, ssl, tmp_path):
    classifier = make(ssl, strategy=strategy, max_epochs=1).fit(X, FEW)
    joblib.dump(classifier, tmp_path / "classifier.joblib")
    again = clone(classifier).fit(X, FEW)
    loaded = [through_skops(classifier), through_model_file(classifier)]
    for other in (joblib.load(tmp_path / "classifier.joblib"), *loaded, again):
        np.testing.assert_array_equal(other.predict_proba(X), classifier.predict_proba(X))


def test_one_column_after_several(ssl):
    classifier = make(ssl, max_epochs=1).fit(X, FEW).fit(X, UNLABELED[:, 0])
    assert classifier.predict(X).shape == (160,)
    assert classifier.predict_proba(X).shape == (160, 2)


def test_probabilities_are_better_than_frequencies(ssl):
    probabilities = make(ssl, strategy="probe").fit(X, FEW).predict_proba(X[80:])
    frequencies = np.tile(Y[:80].mean(axis=0), (80, 1))
    losses = [
        np.mean([log_loss(Y[80:, k], p[:, k]) for k in range(4)])
        for p in (probabilities, frequencies)
    ]
    assert losses[0] < losses[1] - 0.05
