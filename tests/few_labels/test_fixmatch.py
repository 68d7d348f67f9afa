"""FixMatch: its loss against a slow reference, what it reads, and whether it helps."""

import numpy as np
import pytest
import torch
from sklearn.base import clone
from sklearn.frozen import FrozenEstimator
from sklearn.utils._param_validation import InvalidParameterError
from skorch.callbacks import Callback
from torch import nn

from sklearn_ssl import (
    FineTuneClassifier,
    FineTuneRegressor,
    SCARFTransformer,
    SimCLRTransformer,
    VIMETransformer,
)
from sklearn_ssl.augment import Compose, FeatureCorruption, Foreign, ImageAugmentation
from sklearn_ssl.data.rows import RowBlocks
from sklearn_ssl.few_labels import fixmatch, tuning
from sklearn_ssl.few_labels.fixmatch import MOMENTUM, FixMatchTask, MixedRows, one_batch
from sklearn_ssl.few_labels.targets import Classes
from sklearn_ssl.few_labels.task import LabeledRows, LinearHead
from sklearn_ssl.pretext import PretextTask
from sklearn_ssl.semi_supervised import draw_labels
from sklearn_ssl.training.batches import IndexBatches
from tests.few_labels.test_fine_tune import KINDS

SHARES = np.array([0.5, 0.3, 0.2])
rng = np.random.default_rng(0)


def blobs(n=600, seed=0):
    """Return rows of two clusters, and which of them each row is from."""
    rng = np.random.default_rng(seed)
    y = rng.integers(2, size=n)
    return rng.normal(size=(n, 6)) + 1.2 * y[:, None], y


def few(y, k, seed=0):
    labels = np.full(len(y), -1)
    rows = draw_labels(y, k, random_state=seed)
    labels[rows] = y[rows]
    return labels


@pytest.fixture(scope="module")
def ssl():
    return SCARFTransformer(max_epochs=5, random_state=0).fit(blobs()[0])


def classifier(ssl, **params):
    params = {"max_epochs": 5, "random_state": 0, **params}
    return FineTuneClassifier(FrozenEstimator(ssl), strategy="fixmatch", **params)


# The task -------------------------------------------------------------------------------------


class Pretext(PretextTask):
    def __init__(self):
        super().__init__()
        self.encoder = nn.Linear(4, 5)


@pytest.fixture
def task():
    torch.manual_seed(0)
    head = LinearHead(np.zeros(5), 1.0, 3)
    nn.init.normal_(head.linear.weight)
    task = FixMatchTask(
        *(Pretext(), head, Classes.losses, 0.01, None, 0.75),
        shares=SHARES,
        weak=Foreign(lambda batch: batch + 0.1),
        strong=Foreign(lambda batch: 2 * batch),
    )
    return task.train()


def batch_of(n_labeled=6, n=9):
    rows, others = torch.randn(n_labeled, 4), torch.randn(n, 4)
    return rows, torch.arange(n_labeled) % 3, torch.rand(n_labeled) + 0.5, others


def slow_loss(task, batch, predicted, threshold):
    """Return FixMatch's loss, row by row, and the running means after it."""
    rows, targets, weights, others = (part.numpy() for part in batch)
    layers = [
        (p.weight.detach().numpy(), p.bias.detach().numpy())
        for p in (task.encoder, task.head.linear)
    ]

    def probabilities(row):
        for weight, bias in layers:
            row = weight @ row + bias
        return np.exp(row) / np.exp(row).sum()

    loss = 0.01 * np.square(layers[1][0]).sum()
    for row, target, weight in zip(rows, targets, weights):
        loss -= weight * np.log(probabilities(row + 0.1)[target]) / len(rows)
    guesses = np.array([probabilities(row + 0.1) for row in others])
    predicted = MOMENTUM * predicted + (1 - MOMENTUM) * guesses.mean(axis=0)
    guesses = guesses * SHARES / predicted
    guesses /= guesses.sum(axis=1, keepdims=True)
    threshold = MOMENTUM * threshold + (1 - MOMENTUM) * guesses.max(axis=1).mean()
    for row, guess in zip(others, guesses):
        if guess.max() >= threshold:
            loss -= np.log(probabilities(2 * row)[guess.argmax()]) / len(others)
    return loss, predicted, threshold


def test_loss_is_that_of_a_slow_reference(task):
    predicted, threshold = SHARES, 1 / 3
    for _ in range(30):
        batch = batch_of()
        expected, predicted, threshold = slow_loss(task, batch, predicted, threshold)
        assert task(batch).item() == pytest.approx(expected, rel=1e-4)
    assert 0 < task.counts[1] < task.counts[0] == 30 * 9  # some are confident enough
    np.testing.assert_allclose(task.predicted, predicted, rtol=1e-4)
    assert task.threshold.item() == pytest.approx(threshold, rel=1e-4)


def test_gradients_come_from_strong_views_alone(task):
    """Predictions for weak views are targets: they have no gradient."""
    weak = torch.randn(9, 3, requires_grad=True)
    strong = torch.randn(9, 3, requires_grad=True)
    task.consistency(3 * weak, strong).backward()
    assert weak.grad is None
    assert strong.grad.abs().sum() > 0


def test_evaluation_has_no_rows_without_labels(task):
    rows, targets, weights, _ = batch_of()
    loss = task.eval()((rows, targets, weights))
    expected = task.supervised(task.head(task.encode(rows)), targets, weights)
    assert loss == expected
    assert task.counts.sum() == 0


def test_texts_of_one_batch_have_one_length():
    ids = [torch.tensor([[1, 2]]), torch.tensor([[3, 4, 5], [6, -1, -1]])]
    assert one_batch(ids).tolist() == [[1, 2, -1], [3, 4, 5], [6, -1, -1]]


# Rows -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("n_rows", [60, 1000])  # in one batch, in many
@pytest.mark.parametrize("n_labeled", [1, 7, 60])
def test_batches_take_all_labels_equally_often(n_rows, n_labeled):
    places = np.arange(n_labeled)
    labeled = LabeledRows(RowBlocks(places[:, None]), places, np.ones(n_labeled, np.float32))
    rows = MixedRows(labeled, RowBlocks(np.arange(n_rows)[:, None]), seed=0)
    counts = np.zeros(n_labeled, dtype=int)
    for _ in range(20):
        for indices in IndexBatches(rows, 64, torch.Generator().manual_seed(0)):
            (beside, targets, weights), others = indices
            assert len(targets) == len(weights) == min(-(-len(others) // 3), n_labeled)
            np.testing.assert_array_equal(beside[:, 0], targets)
            counts += np.bincount(targets, minlength=n_labeled)
    assert counts.max() - counts.min() <= 1


# The classifier -------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["table", "images", "series", "texts"])
def test_every_kind_of_data(kind):
    transformer, X = KINDS[kind]
    ssl = clone(transformer).set_params(max_epochs=1, random_state=0).fit(X)
    y = np.where(np.arange(len(X)) < 8, np.arange(len(X)) % 2, -1)
    fitted = classifier(ssl, max_epochs=2).fit(X, y)
    assert set(fitted.predict(X)) <= {0, 1}
    again = classifier(ssl, max_epochs=2).fit(X, y)
    np.testing.assert_array_equal(fitted.predict_proba(X), again.predict_proba(X))


def test_kinds_without_augmentation_need_one():
    transformer, X = KINDS["videos"]
    ssl = clone(transformer).set_params(max_epochs=1, random_state=0).fit(X)
    y = np.arange(len(X)) % 2
    with pytest.raises(ValueError, match="no default augmentation: pass a function"):
        classifier(ssl).fit(X, y)
    classifier(ssl, augment=lambda batch: 0.99 * batch, max_epochs=0).fit(X, y)


def test_history_and_accuracies(ssl):
    X, y = blobs()
    fitted = classifier(ssl).fit(X, few(y, 5))
    assert len(fitted.history_["used_share"]) == fitted.n_iter_ == 5
    for name in ("used_share", "agreement"):
        assert all(0 < share <= 1 for share in fitted.history_[name])
    assert set(fitted.cv_accuracies_) == {"probe", "fixmatch"}
    assert all(0.5 < accuracy <= 1 for accuracy in fitted.cv_accuracies_.values())
    assert all(type(accuracy) is float for accuracy in fitted.cv_accuracies_.values())
    assert not hasattr(
        classifier(ssl).set_params(strategy="full").fit(X, few(y, 5)), "cv_accuracies_"
    )


def test_rows_without_labels_matter(ssl):
    X, y = blobs()
    labels = few(y, 5)
    more = classifier(ssl).fit(X, labels, X_unlabeled=X[:50] + 1).predict_proba(X)
    assert not np.allclose(classifier(ssl).fit(X, labels).predict_proba(X), more)


@pytest.mark.parametrize(("accuracies", "trained"), [((0.7, 0.6), 0), ((0.6, 0.6), 5), (None, 5)])
def test_the_probe_is_kept_if_it_predicts_more_labels(accuracies, trained, ssl, monkeypatch):
    X, y = blobs()
    labels = few(y, 5)
    if accuracies is not None:
        accuracies = dict(zip(("probe", "fixmatch"), accuracies))
    monkeypatch.setattr(
        fixmatch.FixMatchTuning, "_cross_validate", lambda self, X, weights, kept: accuracies
    )
    fitted = classifier(ssl).fit(X, labels)
    probe = FineTuneClassifier(FrozenEstimator(ssl), strategy="probe").fit(X, labels)
    assert fitted.n_iter_ == trained
    assert fitted.cv_accuracies_ == accuracies
    same = np.array_equal(fitted.predict_proba(X), probe.predict_proba(X))
    assert same == (trained == 0)


@pytest.mark.parametrize(("n_steps", "n_epochs", "n_rows"), [(5, 1, 5 * 64), (25, 3, 600)])
def test_a_training_has_about_as_many_steps_for_any_number_of_rows(
    n_steps, n_epochs, n_rows, ssl, monkeypatch
):
    X, y = blobs()
    plans = []
    monkeypatch.setattr(fixmatch.FixMatchTuning, "n_steps", n_steps)
    monkeypatch.setattr(
        tuning, "train", lambda task, rows, plan, **options: plans.append((rows, plan)) or ({}, {})
    )
    with pytest.raises(KeyError, match="train_loss"):
        classifier(ssl, max_epochs=None).fit(X, few(y, 1))
    ((rows, plan),) = plans
    assert (len(rows), plan.n_epochs) == (n_rows, n_epochs)
    assert len(np.unique(rows[np.arange(len(rows))][1], axis=0)) == n_rows


def test_one_label_of_a_class_is_enough(ssl):
    X, y = blobs()
    labels = few(y, 1)
    fitted = classifier(ssl).fit(X, labels)
    assert fitted.cv_accuracies_ is None
    assert fitted.n_iter_ == 5


def test_callbacks_do_not_see_the_folds(ssl):
    X, y = blobs()
    begun = []

    class Count(Callback):
        def on_train_begin(self, net, **kwargs):
            begun.append(net)

    classifier(ssl, callbacks=[Count()]).fit(X, few(y, 5))
    assert len(begun) == 1


def test_a_fitted_transformer_stays_as_it_was(ssl):
    X, y = blobs()
    before = ssl.transform(X)
    classifier(ssl).fit(X, few(y, 5))
    np.testing.assert_array_equal(ssl.transform(X), before)


def test_weights_of_labels_count(ssl):
    X, y = blobs()
    labels, weights = few(y, 5), np.where(y == 1, 20.0, 1.0)
    plain = classifier(ssl).fit(X, labels).predict_proba(X)[:, 1].mean()
    assert classifier(ssl).fit(X, labels, weights).predict_proba(X)[:, 1].mean() > plain


def test_regression_has_no_pseudo_labels(ssl):
    X, _ = blobs()
    with pytest.raises(InvalidParameterError, match="strategy"):
        FineTuneRegressor(ssl, strategy="fixmatch").fit(X, X[:, 0])


# Views ----------------------------------------------------------------------------------------


def test_weak_views(ssl):
    spec = SimCLRTransformer(modality="image", max_epochs=0).fit(KINDS["images"][1]).input_spec_
    weak = ImageAugmentation(flip=0, rotation=5, jitter=1).weak(spec)
    assert (weak.flip, weak.rotation, weak.scale) == (0, 5, (0.8, 1.0))
    assert (weak.jitter, weak.grayscale, weak.blur) == (0, 0, 0)
    batch = torch.rand(5, 6)
    for augment in (FeatureCorruption(0.5), Compose([FeatureCorruption(0.5), Foreign(torch.neg)])):
        assert torch.equal(augment.weak(ssl.input_spec_)(batch, torch.Generator()), batch)


# What it is worth -----------------------------------------------------------------------------


@pytest.mark.slow
def test_it_beats_the_probe_on_digits(digits):
    """Five labels of each digit, as a table; what is compared with is the probe on the same."""
    X, y = digits
    ssl = VIMETransformer(max_epochs=40, random_state=0).fit(X[:1200])
    gains = []
    for seed in range(2):
        labels = few(y[:1200], 5, seed)
        probe, fitted = (
            FineTuneClassifier(FrozenEstimator(ssl), strategy=strategy, random_state=0)
            .fit(X[:1200], labels)
            .score(X[1200:], y[1200:])
            for strategy in ("probe", "fixmatch")
        )
        gains.append(fitted - probe)
    assert np.mean(gains) > 0.01
