"""The kNN probe: what it records, and that a training does not notice it."""

import math
import pickle

import numpy as np
import pandas as pd
import pytest
import torch
from sklearn.base import clone
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from skorch.callbacks import Callback

from sklearn_ssl import (
    BaseSSLTransformer,
    CausalLMEmbedder,
    FineTuneClassifier,
    PretextTask,
    SimCLRTransformer,
    TS2VecTransformer,
)
from sklearn_ssl.callbacks import KNNProbe
from tests import test_common, test_common_text

IMAGES = {"image_shape": (8, 8), "max_epochs": 2, "random_state": 0}


def simclr(*callbacks, **params):
    return SimCLRTransformer(**{**IMAGES, **params}, callbacks=list(callbacks))


@pytest.fixture
def rows(digits):
    """As many as the probe uses by default in a small fit."""
    return digits[0][:100], digits[1][:100]


def leave_one_out(Z, y, n_neighbors, predict):
    """Return the predictions from the neighbors with the largest cosines, row by row."""
    predictions = []
    for i in range(len(Z)):
        others = [j for j in range(len(Z)) if j != i]
        lengths = np.linalg.norm(Z[others], axis=1) * np.linalg.norm(Z[i])
        nearest = np.argsort(-(Z[others] @ Z[i]) / lengths)[:n_neighbors]
        predictions.append(predict(y[others][nearest]))
    return np.array(predictions)


def most_frequent(labels):
    return np.bincount(labels).argmax()


# What is recorded -----------------------------------------------------------------------------


@pytest.mark.parametrize("n_neighbors", [1, 5])
def test_accuracy_of_nearest_neighbors(rows, n_neighbors):
    X, y = rows
    ssl = simclr(KNNProbe(X, y, n_neighbors=n_neighbors)).fit(X)
    accuracies = ssl.history_["knn_accuracy"]
    assert len(accuracies) == 2
    Z = ssl.transform(X).astype(np.float64)
    predictions = leave_one_out(Z, y, n_neighbors, most_frequent)
    assert accuracies[-1] == pytest.approx(np.mean(predictions == y))
    assert accuracies[-1] > 0.5


def test_r2_of_nearest_neighbors(rows):
    X, y = rows
    numbers = y - 1.0  # -1 is an ordinary number
    ssl = simclr(KNNProbe(X, numbers, regression=True)).fit(X)
    Z = ssl.transform(X).astype(np.float64)
    errors = leave_one_out(Z, numbers, 5, np.mean) - numbers
    assert ssl.history_["knn_r2"][-1] == pytest.approx(1 - np.mean(errors**2) / numbers.var())
    assert "knn_accuracy" not in ssl.history_


def test_score_before_the_first_epoch_is_that_of_the_untrained_encoder(rows):
    X, y = rows
    probe = KNNProbe(X, y)
    simclr(probe).fit(X)
    Z = simclr(max_epochs=0).fit(X).transform(X).astype(np.float64)
    predictions = leave_one_out(Z, y, 5, most_frequent)
    assert probe.initial_score_ == pytest.approx(np.mean(predictions == y))


def test_score_before_the_first_call_of_partial_fit(rows):
    X, y = rows
    probe = KNNProbe(X, y)
    ssl = simclr(probe).partial_fit(X)
    before = probe.initial_score_
    ssl.partial_fit(X)
    assert probe.initial_score_ == before
    assert len(ssl.history_["knn_accuracy"]) == 2


@pytest.mark.parametrize(
    "mark",
    [
        lambda y, missing: np.where(missing, -1, y),
        lambda y, missing: np.where(missing, np.nan, y),
        lambda y, missing: [None if m else f"digit {label}" for label, m in zip(y, missing)],
    ],
    ids=["-1", "NaN", "None"],
)
def test_rows_without_a_label_are_left_out(rows, mark):
    X, y = rows
    missing = np.arange(len(y)) % 3 == 0
    some = simclr(KNNProbe(X, mark(y, missing))).fit(X)
    others = simclr(KNNProbe(X[~missing], y[~missing])).fit(X)
    assert some.history_["knn_accuracy"] == others.history_["knn_accuracy"]


def test_more_rows_than_it_may_use(rows):
    X, y = rows
    probe = KNNProbe(X, np.where(np.arange(len(y)) < 20, -1, y), max_rows=50)
    ssl = simclr(probe).fit(X)
    used = probe.rows_
    assert len(set(used.tolist())) == 50
    assert used.min() >= 20
    assert used.max() > 90, "not the first ones, which may all be of one class"
    np.testing.assert_array_equal(probe.targets_, y[used])
    same = simclr(KNNProbe(X[used], y[used])).fit(X)
    assert ssl.history_["knn_accuracy"] == same.history_["knn_accuracy"]


@pytest.mark.parametrize(("n_training", "n_used"), [(300, 100), (1500, 150)])
def test_rows_used_by_default(digits, n_training, n_used):
    X, y = digits
    probe = KNNProbe(X, y)
    simclr(probe, max_epochs=0).fit(X[:n_training])
    assert len(probe.rows_) == n_used


class SpoiledTask(PretextTask):
    """Its loss stays finite, its representations do not."""

    factor = 1.0

    def __init__(self, encoder):
        super().__init__()
        self.encoder = encoder

    def forward(self, batch):
        return self.encoder(batch).square().mean()

    def encode(self, batch):
        return self.factor * self.encoder(batch)

    def after_step(self, progress):
        self.factor = math.nan


class SpoiledTransformer(BaseSSLTransformer):
    def _make_task(self, spec):
        return SpoiledTask(self._make_encoder(spec))


def test_the_fit_says_why_representations_are_not_finite(rows):
    X, y = rows
    ssl = SpoiledTransformer(max_epochs=2, random_state=0, callbacks=[KNNProbe(X, y)])
    with pytest.raises(ValueError, match="returns NaN or infinity after the training"):
        ssl.fit(X)


# The training does not notice -----------------------------------------------------------------


def assert_not_noticed(make_estimator, X, y, X_labeled):
    """Fit with a probe and without, and compare all weights and what is recorded."""
    without, watched = make_estimator([]), make_estimator([KNNProbe(X_labeled, y, n_neighbors=2)])
    without.fit(X)
    watched.fit(X)
    weights = watched.task_.state_dict()
    for name, value in without.task_.state_dict().items():
        assert torch.equal(weights[name], value), name
    recorded = watched.history_
    assert recorded.keys() - without.history_.keys() == {"knn_accuracy"}
    for name in without.history_.keys() - {"duration"}:
        np.testing.assert_array_equal(recorded[name], without.history_[name])


@pytest.mark.usefixtures("random_streams_untouched")
@test_common.every_kind
def test_weights_are_those_without_it(Estimator, modality, modality_data, digits):
    params, X = modality_data

    def make(callbacks):
        more = {"max_epochs": 2, "batch_size": 32, "callbacks": callbacks}
        return test_common.make(Estimator, params, **more)

    assert_not_noticed(make, X, digits[1][:20], X[:20])


@pytest.mark.usefixtures("random_streams_untouched")
@test_common_text.every_estimator
def test_weights_are_those_without_it_for_texts(Estimator):
    texts = list(test_common_text.TEXTS)

    def make(callbacks):
        return test_common_text.make(Estimator, max_epochs=2, callbacks=callbacks)

    assert_not_noticed(make, texts, [0, 1] * 4, texts[:8])


class NoisyTask(PretextTask):
    """A user's own: its encoder draws in evaluation too, and so does its method ``encode``."""

    def __init__(self, encoder):
        super().__init__()
        self.encoder = encoder

    def forward(self, batch):
        return (self.encode(batch) - 1).square().mean()

    def encode(self, batch):
        h = self.encoder(batch)
        own = torch.empty_like(h).normal_(generator=self.generator)
        return h + 0.1 * own + 0.1 * torch.randn_like(h)


class NoisyTransformer(BaseSSLTransformer):
    def _make_task(self, spec):
        return NoisyTask(self._make_encoder(spec))


@pytest.mark.usefixtures("random_streams_untouched")
@pytest.mark.parametrize("early_stopping", [False, True])
def test_weights_are_those_without_it_for_your_own_task(rows, early_stopping):
    def make(callbacks):
        options = {"early_stopping": early_stopping, "max_epochs": 3, "random_state": 0}
        return NoisyTransformer(**options, callbacks=callbacks)

    X, y = rows
    assert_not_noticed(make, X, y, X)


def test_modules_stay_in_their_mode(rows):
    modes = []

    class Modes(Callback):
        def on_epoch_end(self, net, **kwargs):
            modes.append({module.training for module in net.module_.modules()})

    X, y = rows
    simclr(Modes(), KNNProbe(X, y), Modes(), max_epochs=1).fit(X)
    assert modes == [{True}, {True}]


# Data and estimators --------------------------------------------------------------------------


def test_rows_of_a_table_with_categories(rows):
    X, y = rows
    X = pd.DataFrame(X[:, 18:24]).add_prefix("pixel")
    X["dark"] = pd.Categorical(np.where(X["pixel2"] > 8, "yes", "no"))
    few = X.sample(60, random_state=0)
    ssl = SimCLRTransformer(max_epochs=2, random_state=0, callbacks=[KNNProbe(few, y[few.index])])
    assert ssl.fit(X).history_["knn_accuracy"][-1] > 0.3


def test_series_of_different_lengths(rows):
    X, y = rows
    X = [row.reshape(8, 8)[:, : 6 + i % 3] for i, row in enumerate(X)]
    ssl = TS2VecTransformer(max_epochs=1, random_state=0, callbacks=[KNNProbe(X[:60], y[:60])])
    assert ssl.fit(X).history_["knn_accuracy"][0] > 0.3


def test_texts_in_pieces():
    texts = [word + " and" * 40 for word in ("cat", "dog") * 10]
    probe = KNNProbe(texts, ["cat", "dog"] * 10)
    ssl = test_common_text.make(CausalLMEmbedder, callbacks=[probe]).fit(texts)
    assert len(ssl.history_["knn_accuracy"]) == 1


def test_in_a_pipeline(rows):
    X, y = rows
    scaled = StandardScaler().fit_transform(X)
    pipeline = make_pipeline(StandardScaler(), simclr(KNNProbe(scaled, y)))
    accuracies = pipeline.fit(X)[-1].history_["knn_accuracy"]
    assert accuracies == simclr(KNNProbe(scaled, y)).fit(scaled).history_["knn_accuracy"]


def test_in_the_transformer_of_a_classifier(rows):
    X, y = rows
    probe = KNNProbe(X, y)
    classifier = FineTuneClassifier(simclr(probe)).fit(X, y)
    assert len(classifier.transformer_.history_["knn_accuracy"]) == 2
    assert classifier.transformer_.callbacks[0].initial_score_ > 0.5
    assert not hasattr(probe, "initial_score_"), "clones are fitted"


def test_a_classifier_cannot_be_watched(rows):
    X, y = rows
    classifier = FineTuneClassifier(
        simclr(), strategy="full", max_epochs=1, callbacks=[KNNProbe(X, y)]
    )
    with pytest.raises(TypeError, match=r"pass it to the transformer, as in SimCLRTransformer\("):
        classifier.fit(X, y)


# Clones and pickles ---------------------------------------------------------------------------


def test_a_clone_is_rebuilt(rows):
    X, y = rows
    ssl = simclr(KNNProbe(X, y, n_neighbors=3)).fit(X)
    twin = clone(ssl).callbacks[0]
    assert twin is not ssl.callbacks[0]
    assert twin.n_neighbors == 3
    np.testing.assert_array_equal(twin.X, X)
    assert not hasattr(twin, "initial_score_")


def test_a_pickle_contains_the_rows_once(rows):
    X, y = rows
    X_labeled = np.tile(X, (20, 1))
    ssl = simclr(KNNProbe(X_labeled, np.tile(y, 20))).fit(X)
    size = len(pickle.dumps(ssl))
    loaded = pickle.loads(pickle.dumps(ssl))
    assert loaded.callbacks[0].initial_score_ == ssl.callbacks[0].initial_score_
    ssl.set_params(callbacks=None)
    assert 1 < (size - len(pickle.dumps(ssl))) / X_labeled.nbytes < 1.1


# Rows that it cannot use ----------------------------------------------------------------------

USELESS = {
    "width": (lambda X, y: (X[:, :5], y), {}, "X has 5 features, but SimCLRTransformer is exp"),
    "lengths": (lambda X, y: (X, y[:9]), {}, r"inconsistent numbers of samples: \[100, 9\]"),
    "few": (lambda X, y: (X[:5], y[:5]), {}, "n_neighbors=5 .* only 5 rows with a label. Use few"),
    "fractions": (lambda X, y: (X, y + 0.5), {}, "fractions, which are no classes: set regr"),
    "unlabeled": (lambda X, y: (X, y * 0 - 1), {}, "None of the 100 rows has a label"),
    "one class": (lambda X, y: (X, y * 0), {}, "at least two classes; got only one class, 0"),
    "-1 and 1": (lambda X, y: (X, y % 2 * 2 - 1), {}, "only one class, 1. -1 means that a row h"),
    "two kinds": (lambda X, y: (X, ["a", 1] * 50), {}, "it needs labels of one kind"),
    "words": (lambda X, y: (X, ["a"] * 100), {"regression": True}, "it predicts numbers, but y"),
    "two columns": (lambda X, y: (X, np.c_[y, y]), {}, "y should be a 1d array"),
    "no neighbors": (lambda X, y: (X, y), {"n_neighbors": 0}, "n_neighbors == 0, must be >= 1"),
    "no rows": (lambda X, y: (X, y), {"max_rows": 0}, "max_rows == 0, must be >= 2"),
}


@pytest.mark.parametrize(("change", "params", "match"), USELESS.values(), ids=USELESS)
def test_useless_rows_are_refused_before_the_first_epoch(rows, change, params, match):
    epochs = []

    class Epochs(Callback):
        def on_epoch_begin(self, net, **kwargs):
            epochs.append(net)

    X, y = rows
    ssl = simclr(Epochs(), KNNProbe(*change(X, y), **params))
    with pytest.raises(ValueError, match=f"KNNProbe cannot use its rows: .*{match}"):
        ssl.fit(X)
    assert epochs == []
    assert not hasattr(ssl, "task_")
