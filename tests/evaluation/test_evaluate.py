"""Evidence: the protocol, the report with its sentence, the picture."""

import warnings

import matplotlib as mpl
import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.compose import make_column_transformer
from sklearn.datasets import load_breast_cancer
from sklearn.decomposition import PCA
from sklearn.dummy import DummyClassifier
from sklearn.ensemble import RandomForestClassifier
from sklearn.exceptions import NotFittedError
from sklearn.frozen import FrozenEstimator
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import train_test_split
from sklearn.neighbors import KNeighborsClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder

from benchmarks.datasets import load_adult
from sklearn_ssl import (
    CausalLMEmbedder,
    MaskedLMEmbedder,
    NextFrameEmbedder,
    SimCLRTransformer,
    VIMETransformer,
)
from sklearn_ssl.augment import ImageAugmentation
from sklearn_ssl.evaluation import (
    LabelCurveDisplay,
    RepresentationReport,
    evaluate_representation,
    representations,
)
from sklearn_ssl.evaluation.protocol import possible

mpl.use("agg")
FAST = {"labels_per_class": (1, 3), "n_draws": 2}
WITHOUT_TRAINING = {**FAST, "baselines": ("raw", "pca")}


class Recorder(SimCLRTransformer):
    """Keeps the rows that each fit was given."""

    fits = []

    def fit(self, X, y=None, *, X_unlabeled=None):
        self.fits.append((X, X_unlabeled))
        return super().fit(X, X_unlabeled=X_unlabeled)


@pytest.fixture
def recorder():
    Recorder.fits.clear()
    return Recorder(max_epochs=1, random_state=0)


@pytest.fixture(scope="module")
def numbered(digits):
    """200 rows of which each holds its place in the first column, and their labels."""
    X, y = digits[0][:200].copy(), digits[1][:200]
    X[:, 0] = np.arange(200)
    return X, y


@pytest.fixture
def short_training(monkeypatch):
    """Let networks learn from labels for two epochs only."""
    monkeypatch.setattr(representations, "supervised_epochs", lambda n_rows, batch_size: 2)


class KeepsRows(ClassifierMixin, BaseEstimator):
    """Predicts the commonest label, and keeps the rows that each fit was given."""

    fits = []

    def fit(self, X, y):
        self.fits.append((X, y))
        self.classes_, counts = np.unique(y, return_counts=True)
        self.answer_ = self.classes_[counts.argmax()]
        return self

    def predict(self, X):
        return np.full(len(X), self.answer_)


@pytest.fixture
def keeps_rows():
    KeepsRows.fits.clear()
    return KeepsRows()


# The protocol -------------------------------------------------------------------------------------


@pytest.mark.usefixtures("short_training")
def test_pretraining_sees_all_rows_but_those_of_the_test(recorder, numbered):
    X, y = numbered
    few = np.where(np.arange(200) < 120, y, -1)
    more = X[:7] + 50
    report = evaluate_representation(recorder, X, few, X_unlabeled=more, **FAST)
    assert set(report.test_rows) < set(range(120))  # labeled ones
    assert len(report.test_rows) == 30 == report.n_test
    assert len(Recorder.fits) == 2  # the estimator, and the one with untrained weights
    for seen, unlabeled in Recorder.fits:
        assert set(seen[:, 0]) == set(range(200)) - set(report.test_rows)
        np.testing.assert_array_equal(unlabeled, more)
    assert report.n_pretrain == 177


def test_given_test_rows(recorder, numbered):
    X, y = numbered
    report = evaluate_representation(
        recorder, X[:150], y[:150], X_test=X[150:], y_test=y[150:], **WITHOUT_TRAINING
    )
    assert report.test_rows is None
    assert report.n_test == 50
    assert report.n_pretrain == 150
    assert set(Recorder.fits[0][0][:, 0]) == set(range(150))
    assert set(np.concatenate(report.labeled_rows[1])) <= set(range(150))


def test_the_test_keeps_the_shares_of_the_classes(recorder, digits):
    X, y = digits[0][:300], np.repeat([0, 1, 2], [30, 90, 180])
    report = evaluate_representation(recorder, X, y, test_size=0.2, **WITHOUT_TRAINING)
    assert np.bincount(y[report.test_rows]).tolist() == [6, 18, 36]
    assert report.guessing == 36 / 60


def test_draws_have_so_many_labels_a_class_and_no_test_row(recorder, numbered):
    X, y = numbered
    few = np.where(np.arange(200) % 3, y, -1)
    report = evaluate_representation(recorder, X, few, **WITHOUT_TRAINING)
    for k, draws in zip((1, 3), report.labeled_rows):
        assert len(draws) == 2
        assert not np.array_equal(*draws)
        for rows in draws:
            assert np.bincount(few[rows]).tolist() == [k] * 10
            assert not set(rows) & set(report.test_rows)


def test_all_learn_from_the_same_draws(recorder, numbered, keeps_rows):
    X, y = numbered
    baselines = (("one", keeps_rows), "raw", ("other", keeps_rows))
    report = evaluate_representation(
        recorder, X, y, head=keeps_rows, baselines=baselines, labels_per_class=(1, 3), n_draws=2
    )
    n = 4  # fits of each: the two that get rows of X as they are, then the others
    del KeepsRows.fits[0]  # the head was tried on noise
    labels = [y_drawn for _, y_drawn in KeepsRows.fits]
    assert len(labels) == 4 * n
    for i, rows in enumerate(rows for draws in report.labeled_rows for rows in draws):
        for j in range(4):
            np.testing.assert_array_equal(labels[i + j * n], y[rows])
        for j in (0, 1):
            np.testing.assert_array_equal(KeepsRows.fits[i + j * n][0], X[rows])
    assert list(report.scores) == ["pretrained", "one", "raw", "other"]


def test_scores_are_those_of_the_classifier(numbered, recorder):
    X, y = numbered
    knn = KNeighborsClassifier(1)
    report = evaluate_representation(recorder, X, y, baselines=[("knn", knn)], **FAST)
    for i, draws in enumerate(report.labeled_rows):
        expected = [
            knn.fit(X[rows], y[rows]).score(X[report.test_rows], y[report.test_rows])
            for rows in draws
        ]
        np.testing.assert_allclose(report.scores["knn"][i], expected)


def test_representations_are_centered_and_divided_by_one_factor(recorder, numbered):
    X, y = numbered
    fitted = recorder.fit(X)
    report = evaluate_representation(fitted, X, y, **WITHOUT_TRAINING)
    rows, test = report.labeled_rows[1][0], report.test_rows
    train = np.setdiff1d(np.arange(200), test)
    for name, Z in (("pretrained", fitted.transform(X)), ("raw", None)):
        if Z is None:
            Z = (X - X[train].mean(0)) / np.where(X[train].std(0) > 0, X[train].std(0), 1)
        Z = (Z - Z[train].mean(0)) / np.sqrt(Z[train].var(0).mean())
        head = LogisticRegression(max_iter=10_000).fit(Z[rows], y[rows])
        assert head.score(Z[test], y[test]) == pytest.approx(report.scores[name][1, 0], abs=0.021)


@pytest.mark.usefixtures("short_training")
@pytest.mark.parametrize("frozen", [False, True])
def test_a_fitted_estimator_is_used_as_it_is(numbered, frozen):
    X, y = numbered
    ssl = SimCLRTransformer(max_epochs=1, random_state=0).fit(X)
    task, before = ssl.task_, ssl.transform(X)
    given = FrozenEstimator(ssl) if frozen else ssl
    report = evaluate_representation(given, X, y, **FAST)
    assert ssl.task_ is task
    np.testing.assert_array_equal(ssl.transform(X), before)
    assert report.n_pretrain is None
    assert "may have seen the test rows" in str(report)
    assert report.titles["pretrained"] == "SimCLRTransformer"


def test_an_unfitted_estimator_stays_unfitted(numbered):
    ssl = SimCLRTransformer(max_epochs=1)
    report = evaluate_representation(ssl, *numbered, **WITHOUT_TRAINING)
    assert not hasattr(ssl, "task_")
    assert ssl.random_state is None
    assert "none of them a test row" in str(report)


@pytest.mark.usefixtures("short_training")
def test_the_seed_decides(numbered):
    ssl = SimCLRTransformer(max_epochs=1)  # without a seed of its own
    reports = [
        evaluate_representation(ssl, *numbered, random_state=seed, **FAST) for seed in (0, 0, 1)
    ]
    first, again, other = reports
    np.testing.assert_array_equal(first.test_rows, again.test_rows)
    for name in first.scores:
        np.testing.assert_array_equal(first.scores[name], again.scores[name])
    assert not np.array_equal(first.test_rows, other.test_rows)
    assert not np.array_equal(first.scores["pretrained"], other.scores["pretrained"])


@pytest.mark.usefixtures("random_streams_untouched")
def test_leaves_the_global_random_streams_alone(numbered):
    evaluate_representation(SimCLRTransformer(max_epochs=1), *numbered, random_state=0, **FAST)


def test_untrained_is_the_estimator_with_its_first_weights(numbered):
    X, y = numbered
    ssl = SimCLRTransformer(max_epochs=20, early_stopping=True, random_state=0)
    report = evaluate_representation(ssl, X, y, baselines=("untrained",), **FAST)
    train = np.setdiff1d(np.arange(200), report.test_rows)
    start = SimCLRTransformer(max_epochs=0, random_state=0).fit(X[train])
    same = evaluate_representation(
        FrozenEstimator(start), X, y, baselines=("untrained",), **FAST
    )  # of which nothing is trained
    np.testing.assert_array_equal(same.scores["pretrained"], report.scores["untrained"])
    np.testing.assert_array_equal(same.scores["pretrained"], same.scores["untrained"])
    assert not np.array_equal(report.scores["pretrained"], report.scores["untrained"])


def test_of_texts_no_epoch_leaves_the_first_weights():
    texts = [f"{'good' if i % 2 else 'bad'} thing number {i}" for i in range(60)]
    y = np.arange(60) % 2
    ssl = MaskedLMEmbedder(max_epochs=0, width=16, n_heads=2, random_state=0)
    report = evaluate_representation(ssl, texts, y, baselines=("untrained",), **FAST)
    np.testing.assert_array_equal(report.scores["pretrained"], report.scores["untrained"])


def test_balanced_accuracy(recorder, digits):
    X, y = digits[0][:100], np.repeat([0, 1], [80, 20])
    most = DummyClassifier(strategy="constant", constant=0)
    report = evaluate_representation(
        recorder, X, y, scoring="balanced_accuracy", baselines=[("most", most)], **FAST
    )
    assert report.guessing == 0.5
    assert (report.scores["most"] == 0.5).all()
    report = evaluate_representation(recorder, X, y, baselines=[("most", most)], **FAST)
    assert report.guessing == 0.8
    assert (report.scores["most"] == 0.8).all()


def test_verbose_prints_what_is_done(recorder, numbered, capsys):
    evaluate_representation(recorder, *numbered, **WITHOUT_TRAINING)
    assert capsys.readouterr().out == ""
    evaluate_representation(recorder, *numbered, verbose=1, **WITHOUT_TRAINING)
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].startswith("Recorder: pretrained on 150 rows in ")
    assert [line.split(":")[0] for line in lines[1:]] == ["Recorder", "raw features", "PCA to 29"]


# Kinds of data ------------------------------------------------------------------------------------


def _shapes_are_right(report, names=("pretrained", "raw", "pca", "untrained", "supervised")):
    assert tuple(report.scores) == names
    for scores in report.scores.values():
        assert scores.shape == (2, 2)
        assert ((scores >= 0) & (scores <= 1)).all()


@pytest.mark.usefixtures("short_training")
@pytest.mark.parametrize("X_is", ["flat images", "images", "series"])
def test_images_and_series(digits, X_is):
    X, y = digits[0][:100], digits[1][:100]
    params = {
        "flat images": {"image_shape": (8, 8)},
        "images": {"modality": "image"},
        "series": {"modality": "series"},
    }[X_is]
    X = X if X_is == "flat images" else X.reshape(-1, 8, 8)
    report = evaluate_representation(
        SimCLRTransformer(max_epochs=1, random_state=0, **params), X, y, **FAST
    )
    _shapes_are_right(report)
    assert report.titles["raw"] == ("raw values" if X_is == "series" else "raw pixels")


@pytest.mark.usefixtures("short_training")
def test_series_of_different_lengths(digits):
    X, y = digits[0][:60].reshape(-1, 8, 8).copy(), digits[1][:60] % 2
    X[::3, :, 5:] = np.nan
    report = evaluate_representation(NextFrameEmbedder(max_epochs=1, random_state=0), X, y, **FAST)
    _shapes_are_right(report)


@pytest.mark.usefixtures("short_training")
def test_texts_and_labels_that_are_strings():
    words = {"praise": ("fine", "good", "great"), "blame": ("bad", "dull", "poor")}
    y = ["praise", "blame", None] * 30
    texts = [
        f"The film was {words.get(label, ('long',))[i % 3 if label else 0]}, I think."
        for i, label in enumerate(y)
    ]
    ssl = CausalLMEmbedder(max_epochs=1, width=16, n_heads=2, random_state=0)
    report = evaluate_representation(ssl, texts, y, X_unlabeled=iter(texts[:5]), **FAST)
    _shapes_are_right(report)
    assert report.titles["raw"] == "TF-IDF"
    assert report.titles["pca"].startswith("SVD of TF-IDF to ")
    assert report.scores["raw"].mean() > 0.6  # the words tell; guessing: 0.5
    assert report.n_pretrain == 90 - report.n_test + 5


@pytest.mark.usefixtures("short_training")
def test_a_data_frame_with_categories_and_missing_numbers():
    rng = np.random.default_rng(0)
    y = np.arange(120) % 2
    frame = pd.DataFrame(
        {
            "number": np.where(rng.random(120) < 0.2, np.nan, rng.normal(size=120)),
            "color": pd.Categorical(np.where(y, "red", "blue")),
            "empty": np.nan,
            "constant": 1.0,
        },
        index=rng.permutation(120),
    )
    ssl = VIMETransformer(max_epochs=1, random_state=0)
    by_color = make_pipeline(
        make_column_transformer((OneHotEncoder(), ["color"])), LogisticRegression()
    )
    baselines = ("raw", "pca", "untrained", "supervised", ("by color", by_color))
    labels = pd.Series(y, index=frame.index).astype("Int64")
    labels.iloc[:10] = pd.NA
    report = evaluate_representation(
        ssl, frame, labels, X_unlabeled=frame.iloc[:3], baselines=baselines, **FAST
    )
    _shapes_are_right(report, ("pretrained", *baselines[:4], "by color"))
    assert not set(report.test_rows) & set(range(10))
    for name in ("raw", "pca", "by color"):  # the color is the label
        assert report.scores[name][1].min() > 0.9
    KeepsRows.fits.clear()
    evaluate_representation(ssl, frame, labels, head=KeepsRows(), baselines=("raw",), **FAST)
    raw = KeepsRows.fits[-1][0]
    assert raw.shape[1] == 2 + 3 + 2  # one-hot, numbers, indicators of two that have holes
    assert np.isfinite(raw).all()


@pytest.mark.parametrize(
    ("width", "title"), [(5, "PCA to 5"), (64, "PCA to 28"), (100, "PCA to 28")]
)
def test_width_of_pca(digits, width, title):
    X, y = digits
    ssl = SimCLRTransformer(image_shape=(8, 8), n_components=width, max_epochs=1, random_state=0)
    report = evaluate_representation(ssl, X, y, **WITHOUT_TRAINING)
    assert report.titles["pca"] == title


def test_output_as_data_frames_changes_nothing(numbered):
    X, y = numbered
    plain = SimCLRTransformer(max_epochs=1, random_state=0)
    expected = evaluate_representation(plain, X, y, **WITHOUT_TRAINING)
    named = SimCLRTransformer(max_epochs=1, random_state=0).set_output(transform="pandas")
    report = evaluate_representation(named, X, y, **WITHOUT_TRAINING)
    for name in expected.scores:
        np.testing.assert_array_equal(report.scores[name], expected.scores[name])


# What cannot be evaluated -------------------------------------------------------------------------


def test_numbers_of_labels_that_a_class_lacks_are_left_out(recorder, digits):
    X, y = digits[0][:60], np.repeat([0, 1], [52, 8])
    with pytest.warns(
        UserWarning, match=r"10, 100 labels per class are left out: class 1 has 6 training row"
    ) as caught:
        report = evaluate_representation(recorder, X, y, baselines=("raw",))
    assert report.labels_per_class.tolist() == [1, 5]
    assert caught[0].filename == __file__
    with pytest.raises(ValueError, match=r"labels_per_class=\[7, 9\]: class 1 has 6 training"):
        evaluate_representation(recorder, X, y, labels_per_class=(9, 7))


def test_a_forest_as_head(recorder, numbered):
    """An ensemble that is not fitted has no length, and no truth value."""
    forest = RandomForestClassifier(5, random_state=0)
    report = evaluate_representation(recorder, *numbered, head=forest, **WITHOUT_TRAINING)
    assert report.mean["raw"][1] > 0.3  # guessing: 0.1


def test_one_number_of_labels(recorder, numbered):
    report = evaluate_representation(
        recorder, *numbered, labels_per_class=2, n_draws=2, baselines=()
    )
    assert report.labels_per_class.tolist() == [2]
    assert "No baseline was measured" in report.summary


@pytest.mark.parametrize(
    ("y", "message"),
    [
        (np.full(40, -1), "at least two classes, got 0 class"),
        ([None] * 10 + ["a"] * 30, "got 1 class.*30 labeled row"),
        (
            np.where(np.arange(40) < 30, 1, -1),
            r"got only one class, 1\. -1 means.*y = np.where\(y == -1, 0, y\)",
        ),
        (np.array([0] * 39 + [1]), "class 1 has a single labeled row"),
        (["a"] * 39 + ["b"], "class 'b' has a single labeled row"),
        (np.zeros(39, int), "inconsistent numbers of samples"),
    ],
)
def test_labels_that_do_not_do(recorder, digits, y, message):
    with pytest.raises(ValueError, match=message):
        evaluate_representation(recorder, digits[0][:40], y)
    assert not Recorder.fits  # before anything is trained


@pytest.mark.parametrize(
    "classes", [{"scoring": "accuracy"}, {"head": LogisticRegression()}], ids=["scoring", "head"]
)
def test_numbers_are_no_classes(recorder, digits, classes):
    with pytest.raises(ValueError, match="Unknown label type"):
        evaluate_representation(recorder, digits[0][:40], np.linspace(0, 1, 40), **classes)
    assert not Recorder.fits


@pytest.mark.parametrize(
    ("y", "message"),
    [
        (None, "y is None"),
        (["a", 1] * 20, r"labels of one kind; y holds str \('a'\) and int \(1\)"),
        ([-2, -1, 0, 1] * 10, "other negative numbers too, such as -2"),
        (np.full(40, 0.5), "All 40 labels in y are the same number"),
    ],
)
def test_labels_that_nothing_can_be_made_of(recorder, digits, y, message):
    with pytest.raises(ValueError, match=message):
        evaluate_representation(recorder, digits[0][:40], y)
    assert not Recorder.fits


@pytest.mark.parametrize("y", [["a", "b"] * 20, np.arange(40).astype("M8[D]")])
def test_labels_that_are_no_numbers(recorder, digits, y):
    with pytest.raises(ValueError, match="evaluate_representation predicts numbers, but y holds"):
        evaluate_representation(recorder, digits[0][:40], y, scoring="r2")
    assert not Recorder.fits


@pytest.mark.parametrize(
    ("n_classes", "scoring", "message"),
    [
        (
            2,
            "f1",
            r"scored by f1 before .* pos_label=1 is not a valid label(.|\n)*pos_label=",
        ),
        (3, "roc_auc", r"LogisticRegression was tried on 3 labeled(.|\n)*such as .roc_auc_ovr."),
        (3, lambda model, X, y: "good", "the score is 'good', not a finite number"),
        (3, lambda model, X, y: {"accuracy": 1.0}, "the score is {'accuracy': 1.0}, not a"),
        (3, lambda model, X, y: np.nan, "the score is nan, not a finite number"),
    ],
)
def test_scores_that_cannot_be_had(recorder, digits, n_classes, scoring, message):
    y = np.array(["a", "b", "c"])[np.arange(60) % n_classes]
    with pytest.raises(ValueError, match=message):
        evaluate_representation(recorder, digits[0][:60], y, scoring=scoring, labels_per_class=1)
    assert not Recorder.fits


def test_a_test_without_one_of_the_classes(recorder, digits):
    X, y = digits[0][:60], np.arange(60) % 2
    test = {"X_test": X[y == 1], "y_test": y[y == 1]}
    with pytest.raises(ValueError, match=r"roc_auc before the pre.*the score is nan"):
        evaluate_representation(recorder, X, y, scoring="roc_auc", labels_per_class=3, **test)
    assert not Recorder.fits
    report = evaluate_representation(
        recorder, X, y, labels_per_class=3, baselines=("raw",), n_draws=2, **test
    )
    assert np.isfinite(report.mean["raw"]).all()


def test_scores_that_are_not_defined_are_told(recorder, digits):
    def score(model, X, y):
        return np.nan if X.shape[1] == 64 else 1.0  # the raw pixels

    X, y = digits[0][:60], np.arange(60) % 2
    with pytest.warns(UserWarning, match="2 of the 2 scores of raw are not finite"):
        evaluate_representation(
            recorder, X, y, scoring=score, labels_per_class=3, baselines=("raw",), n_draws=2
        )


@pytest.mark.parametrize(
    ("y_test", "message"),
    [
        (None, "X_test and y_test must be passed together"),
        ([0, 1, -1], "y_test must hold a label for each row"),
        ([0, 1, 7], "labels that are not in y: 7"),
        ([0, 1], "inconsistent numbers of samples"),
    ],
)
def test_test_rows_that_do_not_do(recorder, digits, y_test, message):
    X, y = digits[0][:40], np.arange(40) % 2
    with pytest.raises(ValueError, match=message):
        evaluate_representation(recorder, X, y, X_test=X[:3], y_test=y_test)
    assert not Recorder.fits


@pytest.mark.parametrize(
    "labels_per_class", [(), (0, 5), (1.5,), ("a",), (True,), [[1, 2], [3]], (1, None)]
)
def test_numbers_of_labels_that_are_none(recorder, numbered, labels_per_class):
    with pytest.raises(ValueError, match="labels_per_class"):
        evaluate_representation(recorder, *numbered, labels_per_class=labels_per_class)


@pytest.mark.parametrize(
    "baselines",
    [
        ("umap",),
        ("raw", "raw"),
        (("raw", DummyClassifier()),),
        (("mine", PCA()),),
        (("pretrained", DummyClassifier()),),
        (DummyClassifier(),),
        (3,),
    ],
)
def test_baselines_that_are_none(recorder, numbered, baselines):
    with pytest.raises(ValueError, match=r"must be one of 'raw', 'pca', .*or \(name, classifier\)"):
        evaluate_representation(recorder, *numbered, baselines=baselines)


@pytest.mark.parametrize(
    "wrong",
    [
        {"n_draws": 1},
        {"test_size": 0.0},
        {"scoring": "auc"},
        {"baselines": "raw"},
        {"head": PCA()},
        {"verbose": "loud"},
    ],
)
def test_parameters_that_are_none(recorder, numbered, wrong):
    with pytest.raises(ValueError, match=next(iter(wrong))):
        evaluate_representation(recorder, *numbered, **wrong)


def test_estimators_of_others(numbered):
    with pytest.raises(TypeError, match="transformer of sklearn_ssl, fitted or not, got PCA"):
        evaluate_representation(PCA(2), *numbered)
    with pytest.raises(NotFittedError):
        evaluate_representation(FrozenEstimator(SimCLRTransformer()), *numbered)


@given(
    wanted=st.lists(st.integers(1, 30), min_size=1, max_size=6),
    counts=st.lists(st.integers(1, 20), min_size=2, max_size=4),
)
def test_which_numbers_of_labels_arepossible(wanted, counts):
    y = np.repeat(np.arange(len(counts)), counts)
    expected = sorted({k for k in wanted if k <= min(counts)})
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        if expected:
            assert possible(wanted, y).tolist() == expected
            assert len(caught) == (max(wanted) > min(counts))
        else:
            with pytest.raises(ValueError, match="too few labels"):
                possible(wanted, y)


# The report ---------------------------------------------------------------------------------------


def report_of(pretrained, raw=None, **others):
    """Return a report of scores, for each k those of the draws, at 1, 10, 100 labels per class."""
    scores = {"pretrained": pretrained, "raw": raw, **others}
    scores = {name: np.array(of, float) for name, of in scores.items() if of is not None}
    titles = {"pretrained": "SimCLRTransformer", "raw": "raw pixels", "pca": "PCA to 9"}
    titles |= {"untrained": "untrained weights"}
    return RepresentationReport(
        labels_per_class=np.array([1, 10, 100])[: len(pretrained)],
        scores=scores,
        titles={name: titles[name] for name in scores},
        guessing=0.25,
        n_pretrain=1200,
        n_test=400,
    )


ABOUT_HALF = [0.5, 0.52, 0.48]
NOISE = [0.53, 0.49, 0.51]


HEADLINES = {
    "untrained": (
        "Pretraining helped",
        "Pretraining helped, but not clearly at every number of labels",
        "Pretraining helped at some numbers of labels, and not at others",
        "Pretraining did not help",
        "It is not clear whether pretraining helped",
    ),
    "raw": (
        "It beats its baselines",
        "It beats its baselines, but not clearly at every number of labels",
        "It beats its baselines at some numbers of labels, and not at others",
        "A baseline is better",
        "It is not clear whether it beats its baselines",
    ),
}
CASES = [
    (
        [np.add(ABOUT_HALF, 0.2), np.add(ABOUT_HALF, 0.123)],
        [ABOUT_HALF, ABOUT_HALF],
        "20.0 points ahead of {} at 1 label per class and 12.3 ahead of {} at 10.",
    ),
    (
        [np.add(ABOUT_HALF, 0.2), NOISE],
        [ABOUT_HALF, ABOUT_HALF],
        "20.0 points ahead of {} at 1 label per class and 1.0 ahead of {} at 10 (within the noise "
        "of the draws).",
    ),
    (
        [np.add(ABOUT_HALF, 0.2), NOISE, ABOUT_HALF],
        [ABOUT_HALF, ABOUT_HALF, np.add(ABOUT_HALF, 0.1)],
        "20.0 points ahead of {} at 1 label per class, 1.0 ahead of {} at 10 (within the noise of "
        "the draws) and 10.0 behind {} at 100.",
    ),
    (
        [ABOUT_HALF, NOISE],
        [np.add(ABOUT_HALF, 0.1), ABOUT_HALF],
        "10.0 points behind {} at 1 label per class and 1.0 ahead of {} at 10 (within the noise of "
        "the draws).",
    ),
    (
        [ABOUT_HALF],
        [NOISE],
        "1.0 points behind {} at 1 label per class (within the noise of the draws).",
    ),
]


@pytest.mark.parametrize("case", range(5), ids=["ahead", "partly", "both", "behind", "unclear"])
@pytest.mark.parametrize("baseline", HEADLINES)
def test_the_sentence(baseline, case):
    """Whether pretraining helped is said of the untrained network, and of nothing else."""
    pretrained, other, comparison = CASES[case]
    report = report_of(pretrained, **{baseline: other})
    title = report.titles[baseline]
    expected = f"{HEADLINES[baseline][case]}: SimCLRTransformer is " + comparison.replace(
        "{}", title
    )
    assert report.summary == expected
    assert str(report).endswith(expected)


def test_a_better_baseline_is_another_sentence():
    report = report_of([ABOUT_HALF], untrained=[np.subtract(ABOUT_HALF, 0.2)], raw=[[0.6] * 3])
    assert report.summary == (
        "Pretraining helped: SimCLRTransformer is 20.0 points ahead of untrained weights at 1 "
        "label per class. A baseline is better: SimCLRTransformer is 10.0 points behind raw pixels "
        "at 1 label per class."
    )


def test_the_sentence_names_the_best_baseline_at_each_number_of_labels():
    worse, better = np.subtract(ABOUT_HALF, 0.2), np.add(ABOUT_HALF, 0.2)
    report = report_of(
        [ABOUT_HALF, ABOUT_HALF], raw=[worse, worse], pca=[np.subtract(worse, 0.1), better]
    )
    assert report.summary == (
        "It beats its baselines at some numbers of labels, and not at others: SimCLRTransformer is "
        "20.0 points ahead of raw pixels at 1 label per class and 20.0 behind PCA to 9 at 10."
    )


def test_draws_are_compared_in_pairs():
    """Accuracies that spread widely, while one is always a little ahead."""
    spread = np.array([[0.3, 0.5, 0.7]])
    report = report_of(spread + np.array([0.02, 0.03, 0.02]), spread)
    (low, high), (low_raw, high_raw) = report.interval["pretrained"][0], report.interval["raw"][0]
    assert low < high_raw  # the intervals overlap
    assert low_raw < high
    assert report.summary.startswith("It beats its baselines: ")
    mean, ((low, high),) = report.gain("raw")
    assert mean == pytest.approx(0.07 / 3)
    assert 0 < low < mean < high


def test_intervals_are_those_of_students_t():
    scores = np.random.default_rng(0).random((3, 5))
    report = report_of(scores, scores[::-1])
    for name in ("pretrained", "raw"):
        for values, mean, interval in zip(
            report.scores[name], report.mean[name], report.interval[name]
        ):
            expected = stats.ttest_1samp(values, 0).confidence_interval(0.95)
            np.testing.assert_allclose(interval, expected)
            assert mean == pytest.approx(values.mean())
    _, intervals = report.gain("raw")
    for a, b, interval in zip(scores, scores[::-1], intervals):
        np.testing.assert_allclose(interval, stats.ttest_rel(a, b).confidence_interval(0.95))


def test_equal_draws_have_no_interval():
    report = report_of([[0.5, 0.5]], [[0.4, 0.4]])
    np.testing.assert_allclose(report.interval["pretrained"], [[0.5, 0.5]])
    assert report.summary.startswith("It beats its baselines: ")
    assert report_of([[0.5, 0.5]], [[0.5, 0.5]]).summary.startswith("It is not clear")


def test_gain_beside_an_unknown_baseline():
    with pytest.raises(ValueError, match=r"one of \['raw'\], got 'pretrained'"):
        report_of([NOISE], [NOISE]).gain("pretrained")


def test_printed():
    report = report_of([np.add(ABOUT_HALF, 0.2), NOISE], [ABOUT_HALF, ABOUT_HALF])
    lines = str(report).splitlines()
    assert lines[:8] == [
        "Accuracy on 400 test rows: mean of 3 draws of labels, with its 95 % interval",
        "",
        "labels per class                  1              10",
        "SimCLRTransformer     0.700 ± 0.050   0.510 ± 0.050",
        "raw pixels            0.500 ± 0.050   0.500 ± 0.050",
        "guessing              0.250           0.250",
        "",
        "Lead of SimCLRTransformer in points, on the same draws, over",
    ]
    assert lines[8].split() == ["raw", "pixels", "+20.0", "±", "0.0", "+1.0", "±", "8.6"]
    assert lines[10] == "It was pretrained on 1,200 rows, none of them a test row."
    assert repr(report) == (
        "<RepresentationReport of SimCLRTransformer: accuracy 0.700, 0.510 at 1, 10 labels per "
        "class, compared with raw; print it for more>"
    )


def test_as_a_data_frame():
    frame = report_of([ABOUT_HALF, NOISE], [NOISE, NOISE]).to_frame()
    assert frame.shape == (12, 5)
    one = frame.query("name == 'pretrained' and labels_per_class == 10")
    assert one["accuracy"].tolist() == NOISE
    assert one["draw"].tolist() == [0, 1, 2]
    assert set(frame["title"]) == {"SimCLRTransformer", "raw pixels"}


# The picture --------------------------------------------------------------------------------------


@pytest.fixture
def closed_figures():
    yield
    plt.close("all")


@pytest.mark.usefixtures("closed_figures")
def test_display_of_a_report():
    report = report_of([ABOUT_HALF, NOISE, NOISE], [NOISE, NOISE, ABOUT_HALF])
    display = report.plot()
    assert isinstance(display, LabelCurveDisplay)
    assert display.report is report
    assert display.figure_ is display.ax_.figure
    for line, name in zip(display.lines_, ("pretrained", "raw"), strict=True):
        np.testing.assert_array_equal(line.get_xdata(), [1, 10, 100])
        np.testing.assert_allclose(line.get_ydata(), report.mean[name])
    for band, name in zip(display.bands_, ("pretrained", "raw"), strict=True):
        heights = band.get_paths()[0].vertices[:, 1]
        assert heights.min() == pytest.approx(report.interval[name].min())
        assert heights.max() == pytest.approx(report.interval[name].max())
    assert display.guessing_.get_ydata()[0] == 0.25
    assert display.ax_.get_xscale() == "log"
    assert [text.get_text() for text in display.ax_.get_xticklabels()] == ["1", "10", "100"]
    assert display.ax_.get_xlabel() == "labels per class"
    assert display.ax_.get_ylabel() == "test accuracy"
    legend = [text.get_text() for text in display.ax_.get_legend().get_texts()]
    assert legend == ["SimCLRTransformer", "raw pixels", "guessing"]


@pytest.mark.usefixtures("closed_figures")
def test_display_on_given_axes():
    figure, axes = plt.subplots(1, 2)
    display = LabelCurveDisplay.from_report(
        report_of([NOISE], [ABOUT_HALF]), ax=axes[1], legend=False, linestyle="--"
    )
    assert display.ax_ is axes[1]
    assert display.figure_ is figure
    assert display.ax_.get_legend() is None
    assert {line.get_linestyle() for line in display.lines_} == {"--"}
    figure.draw_without_rendering()  # a single number of labels is no error


@pytest.mark.usefixtures("closed_figures")
def test_display_of_an_estimator(recorder, numbered):
    _, ax = plt.subplots()
    display = LabelCurveDisplay.from_estimator(recorder, *numbered, ax=ax, **WITHOUT_TRAINING)
    assert display.ax_ is ax
    assert len(display.lines_) == 3
    assert display.report.n_pretrain == 150


# Real data ----------------------------------------------------------------------------------------


@pytest.mark.slow
def test_simclr_beats_what_it_has_to_on_digits(digits):
    X, y = digits
    ssl = SimCLRTransformer(
        image_shape=(8, 8),
        augment=ImageAugmentation(scale=(0.5, 1.5), rotation=15, flip=0),
        temperature=0.5,
        max_epochs=12,
        random_state=0,
    )
    report = evaluate_representation(
        ssl, X, y, labels_per_class=(1, 5), baselines=("raw", "untrained")
    )
    assert report.summary.startswith("Pretraining helped: ")
    for name, least in (("raw", 0.05), ("untrained", 0.1)):
        mean, intervals = report.gain(name)
        assert mean[0] > least
        assert (intervals > 0).all()


def test_labels_alone_learn_on_breast_cancer():
    X, y = load_breast_cancer(return_X_y=True)
    report = evaluate_representation(
        VIMETransformer(max_epochs=1, random_state=0),
        X,
        y,
        labels_per_class=(20,),
        n_draws=2,
        baselines=("raw", "supervised"),
    )
    assert report.mean["supervised"] > 0.88  # guessing: 0.63
    assert report.mean["raw"] > 0.92


def test_adult_as_it_comes(load_or_skip):
    X, y = load_or_skip(load_adult)
    X, _, y, _ = train_test_split(X, y, train_size=2000, stratify=y, random_state=0)
    ssl = VIMETransformer(max_epochs=2, random_state=0)
    report = evaluate_representation(
        ssl, X, y, labels_per_class=(50,), n_draws=2, baselines=("raw", "pca")
    )
    assert report.mean["raw"] > 0.68
