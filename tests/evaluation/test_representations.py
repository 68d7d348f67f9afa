"""What can be evaluated: Pipelines, several estimators, any metric, numbers to be predicted."""

import matplotlib as mpl
import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
from sklearn.base import clone
from sklearn.datasets import load_breast_cancer, load_diabetes
from sklearn.decomposition import PCA
from sklearn.dummy import DummyClassifier
from sklearn.exceptions import NotFittedError
from sklearn.frozen import FrozenEstimator
from sklearn.linear_model import LogisticRegression, Ridge, RidgeClassifier, RidgeCV
from sklearn.metrics import f1_score, get_scorer, make_scorer
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import MinMaxScaler, StandardScaler
from sklearn.svm import LinearSVC

from sklearn_ssl import SCARFTransformer, SimCLRTransformer, VIMETransformer
from sklearn_ssl.evaluation import evaluate_representation, representations

mpl.use("agg")
FAST = {"labels_per_class": (3, 6), "n_draws": 2}
ALL = ("raw", "pca", "untrained", "supervised")


@pytest.fixture(name="cancer", scope="module")
def a_table():
    X, y = load_breast_cancer(return_X_y=True)
    return X[:200], y[:200]


@pytest.fixture(name="diabetes", scope="module")
def a_table_of_numbers():
    return load_diabetes(return_X_y=True)


@pytest.fixture(autouse=True)
def short_training(monkeypatch):
    monkeypatch.setattr(representations, "supervised_epochs", lambda n_rows, batch_size: 2)


def scarf(**params):
    return SCARFTransformer(max_epochs=1, random_state=0, **params)


# Pipelines ----------------------------------------------------------------------------------------


def test_a_pipeline_is_a_loop_by_hand(cancer):
    X, y = cancer
    pipeline = make_pipeline(MinMaxScaler(), scarf(), StandardScaler())
    report = evaluate_representation(pipeline, X, y, baselines=ALL, **FAST)
    assert not hasattr(pipeline[0], "scale_")
    assert not hasattr(pipeline[1], "task_")
    train = np.setdiff1d(np.arange(200), report.test_rows)
    Z = clone(pipeline).fit(X[train]).transform(X)
    Z = (Z - Z[train].mean(0)) / np.sqrt(Z[train].var(0).mean())
    for rows, score in zip(report.labeled_rows[1], report.scores["pretrained"][1]):
        head = LogisticRegression(max_iter=10_000).fit(Z[rows], y[rows])
        assert score == head.score(Z[report.test_rows], y[report.test_rows])
    assert tuple(report.scores) == ("pretrained", *ALL)
    assert report.titles["pretrained"] == "SCARFTransformer"
    assert report.n_pretrain == 150


def test_what_stands_before_sees_extra_rows_but_does_not_learn_from_the_test(cancer):
    X, y = cancer
    more = pd.DataFrame(X[:9]).add_prefix("column")
    frame = pd.DataFrame(X).add_prefix("column")
    report = evaluate_representation(
        make_pipeline(StandardScaler().set_output(transform="pandas"), scarf()),
        frame,
        y,
        X_unlabeled=more,
        baselines=("raw",),
        **FAST,
    )
    assert report.n_pretrain == 159


@pytest.mark.parametrize("frozen", ["no", "all", "a step"])
def test_a_fitted_pipeline_is_used_as_it_is(cancer, frozen):
    X, y = cancer
    pipeline = make_pipeline(StandardScaler(), scarf()).fit(X)
    expected = evaluate_representation(pipeline, X, y, baselines=ALL, **FAST)
    assert expected.n_pretrain is None
    assert "was fitted before" in str(expected)
    given = {
        "no": lambda: pipeline,
        "all": lambda: FrozenEstimator(pipeline),
        "a step": lambda: Pipeline([("s", pipeline[0]), ("ssl", FrozenEstimator(pipeline[1]))]),
    }[frozen]()
    report = evaluate_representation(given, X, y, baselines=ALL, **FAST)
    for name in expected.scores:
        np.testing.assert_array_equal(report.scores[name], expected.scores[name])


def test_a_scaler_behind_a_frozen_transformer_is_fitted(cancer):
    X, y = cancer
    ssl = scarf().fit(X)
    pipeline = make_pipeline(FrozenEstimator(ssl), StandardScaler())
    report = evaluate_representation(pipeline, X, y, baselines=("raw",), **FAST)
    assert report.n_pretrain is None
    assert not hasattr(pipeline[1], "scale_")


@pytest.mark.parametrize(
    ("estimator", "error", "message"),
    [
        (
            make_pipeline(StandardScaler(), PCA()),
            TypeError,
            "A Pipeline must have exactly one of them",
        ),
        (make_pipeline(scarf(), scarf()), TypeError, "got Pipeline with 2"),
        (make_pipeline(scarf(), LinearSVC()), TypeError, "LinearSVC has no method transform"),
        ([scarf(), PCA()], TypeError, "got PCA"),
        ([], ValueError, "estimator must hold at least one estimator"),
        ({"raw": scarf()}, ValueError, "with names that differ from those of the baselines"),
        ({1: scarf()}, ValueError, "with names that differ from those of the baselines"),
        (FrozenEstimator(make_pipeline(StandardScaler(), scarf())), NotFittedError, "not fitted"),
    ],
)
def test_what_cannot_be_evaluated(cancer, estimator, error, message):
    with pytest.raises(error, match=message):
        evaluate_representation(estimator, *cancer)


# Several ------------------------------------------------------------------------------------------


def test_several_estimators_stand_on_the_same_draws(cancer):
    X, y = cancer
    several = {"scarf": scarf(), "vime": VIMETransformer(max_epochs=1, random_state=0)}
    report = evaluate_representation(several, X, y, baselines=ALL, **FAST)
    each = ["untrained scarf", "untrained vime", "supervised scarf", "supervised vime"]
    assert list(report.scores) == ["scarf", "vime", "raw", "pca", *each]
    for name, estimator in several.items():
        alone = evaluate_representation(estimator, X, y, baselines=ALL, **FAST)
        np.testing.assert_array_equal(report.scores[name], alone.scores["pretrained"])
        for baseline in ("untrained", "supervised"):
            np.testing.assert_array_equal(
                report.scores[f"{baseline} {name}"], alone.scores[baseline]
            )
        np.testing.assert_array_equal(report.scores["raw"], alone.scores["raw"])
    mean, _ = report.gain("vime", "scarf")
    np.testing.assert_allclose(mean, (report.scores["scarf"] - report.scores["vime"]).mean(axis=1))
    sentences = report.summary.split(". ")
    assert len(sentences) == 4  # of each, about pretraining and about the other baselines
    assert ["untrained weights, scarf" in s for s in sentences] == [True, False, False, False]
    text = str(report)
    assert text.count(", on the same draws, over") == 2
    assert "scarf and vime were pretrained on 150 rows" in text
    display = report.plot()
    assert [line.get_linewidth() for line in display.lines_] == [2.5] * 2 + [1.5] * 6
    plt.close(display.figure_)
    assert "scarf: accuracy" in repr(report)
    assert repr(report).count("vime: accuracy") == 1


def test_a_list_is_named_by_its_classes(cancer):
    X, y = cancer
    fitted = scarf().fit(X)
    report = evaluate_representation([scarf(), fitted], X, y, baselines=("raw",), **FAST)
    assert report.representations == ("SCARFTransformer", "SCARFTransformer 2")
    assert report.fitted_before == ("SCARFTransformer 2",)
    text = str(report)
    assert "SCARFTransformer was pretrained on 150 rows, none of them a test row." in text
    assert "SCARFTransformer 2 was fitted before: it may have seen the test rows" in text


class Fails(SCARFTransformer):
    def fit(self, X, y=None, *, X_unlabeled=None):
        raise RuntimeError("out of luck")


def test_of_several_one_may_fail(cancer):
    with pytest.warns(UserWarning, match="bad is left out of the report .*out of luck"):
        report = evaluate_representation(
            {"bad": Fails(), "good": scarf()}, *cancer, baselines=("raw", "untrained"), **FAST
        )
    assert list(report.scores) == ["good", "raw", "untrained good"]
    with (
        pytest.warns(UserWarning, match="out of luck"),
        pytest.raises(ValueError, match="None of the estimators could be evaluated"),
    ):
        evaluate_representation({"a": Fails(), "b": Fails()}, *cancer, **FAST)
    with pytest.raises(RuntimeError, match="out of luck"):
        evaluate_representation(Fails(), *cancer, **FAST)


# Metrics ------------------------------------------------------------------------------------------


def positives(estimator, X, y):
    return float(np.mean(estimator.predict(X) == 1))


@pytest.mark.parametrize(
    ("scoring", "name", "guessing"),
    [
        ("accuracy", "accuracy", 0.52),
        ("balanced_accuracy", "balanced_accuracy", 0.5),
        ("roc_auc", "roc_auc", 0.5),
        ("average_precision", "average_precision", 0.48),
        ("f1", "f1", 2 * 0.48 / 1.48),
        ("neg_log_loss", "neg_log_loss", -0.6923),
        (make_scorer(f1_score), "f1_score", 2 * 0.48 / 1.48),
        (positives, "positives", 1),
    ],
)
def test_any_metric(cancer, scoring, name, guessing):
    X, y = cancer
    report = evaluate_representation(
        scarf(), X, y, scoring=scoring, baselines=("raw", ("l", LogisticRegression(C=1e-6))), **FAST
    )
    assert report.scoring == name
    assert report.guessing == pytest.approx(guessing, abs=0.02)
    rows, scorer = report.labeled_rows[0][0], scoring if callable(scoring) else get_scorer(scoring)
    model = LogisticRegression(C=1e-6).fit(X[rows], y[rows])
    expected = scorer(model, X[report.test_rows], y[report.test_rows])
    assert report.scores["l"][0, 0] == pytest.approx(expected)
    in_points = not name.startswith(("neg", "positives"))
    assert ("points ahead" in report.summary or "points behind" in report.summary) == in_points
    assert name in report.to_frame().columns


@pytest.mark.parametrize(
    ("params", "message"),
    [
        ({"scoring": "neg_log_loss", "head": LinearSVC()}, "LinearSVC.*before the pretraining"),
        ({"scoring": f1_score}, "looks like it is a metric function"),
        ({"scoring": "exactness"}, "scoring"),
        ({"head": make_pipeline(PCA(50), RidgeClassifier())}, "tried on 6 labeled rows"),
    ],
)
def test_heads_and_metrics_are_tried_before_the_pretraining(cancer, params, message):
    with pytest.raises(ValueError, match=message):
        evaluate_representation(Fails(), *cancer, **FAST, **params)


def test_several_classes_need_a_metric_of_several(digits):
    X, y = digits[0][:200], digits[1][:200]
    with pytest.raises(ValueError, match="multi_class must be in"):
        evaluate_representation(Fails(), X, y, scoring="roc_auc", labels_per_class=3)
    report = evaluate_representation(
        SimCLRTransformer(max_epochs=1, random_state=0),
        X,
        y,
        scoring="roc_auc_ovr",
        labels_per_class=3,
        n_draws=2,
        baselines=("raw", ("guess", DummyClassifier())),
    )
    assert report.mean["raw"][0] > 0.8
    assert report.mean["guess"][0] == report.guessing == 0.5


# Numbers to be predicted --------------------------------------------------------------------------


def test_numbers_are_predicted(diabetes):
    X, y = diabetes
    y = y + 0.5
    few = np.where(np.arange(442) < 340, y, np.nan)
    report = evaluate_representation(
        scarf(),
        X,
        few,
        labels_per_class=(20, 100),
        n_draws=3,
        baselines=(*ALL, ("ridge", RidgeCV(np.logspace(-3, 3, 7)))),
    )
    assert report.regression
    assert report.scoring == "r2"
    assert report.guessing == pytest.approx(0)
    assert report.n_pretrain == 442 - 85
    assert [len(rows) for rows in report.labeled_rows[0]] == [20, 20, 20]
    for rows in report.labeled_rows[1]:
        assert np.isfinite(few[rows]).all()
        assert not set(rows) & set(report.test_rows)
    assert report.mean["raw"][1] > 0.3
    text = str(report)
    assert text.startswith("R2 on 85 test rows")
    assert ", on the same draws, over" in text
    assert "points" not in text
    assert "per class" not in text
    assert "at 20 labels" in report.summary
    display = report.plot()
    assert display.ax_.get_xlabel() == "labels"
    plt.close(display.figure_)


@pytest.mark.parametrize(
    "params",
    [{"head": Ridge()}, {"scoring": "neg_mean_absolute_error"}, {"scoring": "r2"}],
    ids=str,
)
def test_whole_numbers_are_predicted_if_the_head_or_the_metric_says_so(diabetes, params):
    X, y = diabetes  # whole numbers
    y = np.where(np.arange(442) < 30, -1, y)  # which are numbers like any other
    report = evaluate_representation(scarf(), X, y, n_draws=2, baselines=("raw",), **params)
    assert report.labels_per_class.tolist() == [20, 60, 200]
    assert report.n_test == 111
    if params.get("scoring") == "neg_mean_absolute_error":
        expected = -np.abs(y[report.test_rows] - np.median(y[report.test_rows])).mean()
        assert report.guessing == pytest.approx(expected)
        assert report.mean["raw"].max() < -30


def test_numbers_with_test_rows_of_their_own_and_too_few(diabetes):
    X, y = diabetes
    with pytest.warns(
        UserWarning, match=r"200 labels are left out: there are 150 labeled training"
    ):
        report = evaluate_representation(
            scarf(),
            X[:150],
            y[:150] + 0.5,
            X_test=X[150:],
            y_test=y[150:],  # not seen before
            n_draws=2,
            baselines=("raw",),
        )
    assert report.n_test == 292
    with pytest.raises(ValueError, match="y_test must hold a label for each row"):
        evaluate_representation(
            scarf(), X[:9], y[:9] + 0.5, X_test=X[:2], y_test=[1.0, np.nan], labels_per_class=3
        )
    with pytest.raises(ValueError, match="predicts numbers, but y holds"):
        evaluate_representation(scarf(), X, ["a"] * 442, head=Ridge())
