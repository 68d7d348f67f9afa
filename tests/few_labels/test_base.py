"""Fine-tuning of classes and of numbers: weights, the start, what is held out, what is watched."""

from copy import deepcopy
from threading import Lock

import numpy as np
import pytest
import torch
from sklearn.base import clone
from sklearn.linear_model import Lasso, LinearRegression, LogisticRegression, Ridge, RidgeClassifier
from sklearn.metrics import log_loss
from skorch.callbacks import Callback, EpochScoring

from sklearn_ssl import (
    CausalLMEmbedder,
    FineTuneClassifier,
    FineTuneRegressor,
    SCARFTransformer,
    SimCLRTransformer,
    SimCSETransformer,
)
from sklearn_ssl.few_labels import tuning
from sklearn_ssl.few_labels.task import mean_loss

BOTH = (FineTuneClassifier, FineTuneRegressor)
both = pytest.mark.parametrize("Estimator", BOTH)
TRAINED = ("full", "probe-then-full")
FEEBLE = {  # probes that leave much to be learned
    FineTuneClassifier: LogisticRegression(C=1e-4),
    FineTuneRegressor: Lasso(5.0),
}

rng = np.random.default_rng(0)
X = rng.normal(size=(120, 6))
NUMBERS = 100 + 20 * X[:, 0] + rng.normal(size=120)
CLASSES = (X[:, 0] + 0.5 * rng.normal(size=120) > 0).astype(int)
WORDS = ("good", "bad", "film", "plot", "slow", "great")
TEXTS = [" ".join(rng.choice(WORDS, 5)) for _ in range(60)]


@pytest.fixture(scope="module")
def ssl():
    return SCARFTransformer(max_epochs=5, random_state=0).fit(X)


def labels_for(Estimator):
    return CLASSES if Estimator is FineTuneClassifier else NUMBERS


def decisions(estimator):
    decide = getattr(estimator, "decision_function", estimator.predict)
    return decide(X)


# Weights --------------------------------------------------------------------------------------


@pytest.mark.parametrize("batch_size", [1, 20, 120])
def test_class_weights_count_in_batches_of_any_size(batch_size, ssl):
    """Neither the loss of a batch nor the clipping of its gradient may take them back."""
    y = (X[:, 0] + np.random.default_rng(1).normal(size=120) > 0).astype(int)
    params = {"strategy": "full", "batch_size": batch_size, "max_epochs": 4, "random_state": 0}
    weighted = FineTuneClassifier(ssl, class_weight={0: 1, 1: 50}, **params).fit(X, y)
    plain = FineTuneClassifier(ssl, **params).fit(X, y)
    fresh = np.random.default_rng(2).normal(size=(300, 6))
    assert weighted.predict(fresh).mean() > plain.predict(fresh).mean() + 0.2


@both
@pytest.mark.parametrize("strategy", TRAINED)
def test_only_the_ratio_of_weights_counts_in_a_step(Estimator, strategy, ssl):
    weights = np.where(np.arange(120) % 3, 1.0, 4.0)
    seen = []

    class Watch(Callback):
        def on_batch_end(self, net, batch, training, **kwargs):
            seen.append(batch[2])

    Estimator(ssl, strategy=strategy, max_epochs=1, callbacks=[Watch()], random_state=0).fit(
        X, labels_for(Estimator), weights
    )
    seen = np.concatenate(seen)
    assert seen.mean() == pytest.approx(1, rel=1e-5)
    assert seen.max() / seen.min() == pytest.approx(4, rel=1e-5)


@both
@pytest.mark.parametrize("strategy", ["probe", *TRAINED])
def test_the_sum_of_the_weights_does_not_matter(Estimator, strategy, ssl):
    y, weights = labels_for(Estimator), np.where(np.arange(120) % 3, 1.0, 4.0)
    one, other = (
        Estimator(ssl, strategy=strategy, max_epochs=1, random_state=0).fit(X, y, w)
        for w in (weights, weights / 1e4)
    )
    np.testing.assert_allclose(decisions(one), decisions(other), rtol=1e-3, atol=1e-4)


@both
@pytest.mark.parametrize("early_stopping", [False, True])
@pytest.mark.parametrize("strategy", ["probe", *TRAINED])
def test_a_label_of_weight_0_is_none(Estimator, strategy, early_stopping, ssl):
    y = labels_for(Estimator)
    counts = np.arange(120) % 4 == 0
    params = {
        "strategy": strategy, "early_stopping": early_stopping, "batch_size": 4, "max_epochs": 2,
        "random_state": 0,
    }  # fmt: skip
    weighted = Estimator(ssl, **params).fit(X, y, sample_weight=1.0 * counts)
    without = np.where(counts, y, -1 if Estimator is FineTuneClassifier else np.nan)
    fewer = Estimator(ssl, **params).fit(X, without, sample_weight=np.ones(120))
    np.testing.assert_array_equal(decisions(weighted), decisions(fewer))


def test_a_class_of_weight_0_is_left_out(ssl):
    y = np.arange(120) % 3
    by_class = FineTuneClassifier(ssl, class_weight={1: 0}, max_epochs=1, random_state=0).fit(X, y)
    by_row = FineTuneClassifier(ssl, max_epochs=1, random_state=0).fit(X, y, 1.0 * (y != 1))
    assert by_class.classes_.tolist() == by_row.classes_.tolist() == [0, 2]
    with pytest.raises(
        ValueError, match=r"got only one class, 2\. Labels with weight 0 do not count"
    ):
        FineTuneClassifier(ssl, class_weight={0: 0, 1: 0}).fit(X, y)


@both
def test_labels_that_all_weigh_0(Estimator, ssl):
    y = np.where(np.arange(120) < 9, labels_for(Estimator), np.nan)
    with pytest.raises(ValueError, match="All 9 labels have weight 0"):
        Estimator(ssl).fit(X, y, np.where(np.arange(120) < 9, 0.0, 1.0))


@pytest.mark.parametrize("weight", [-1, np.nan, np.inf, "heavy", None])
def test_wrong_class_weights(weight, ssl):
    classifier = FineTuneClassifier(ssl, class_weight={0: 1, 1: weight})
    with pytest.raises(ValueError, match=r"class_weight must hold finite .*; got .* for class 1"):
        classifier.fit(X, CLASSES)
    assert not hasattr(classifier, "head_")


@both
@pytest.mark.parametrize("weight", [-1, np.nan, np.inf])
def test_wrong_weights_of_rows(Estimator, weight, ssl):
    weights = np.ones(120)
    weights[3] = weight
    with pytest.raises(ValueError, match="sample_weight"):
        Estimator(ssl).fit(X, labels_for(Estimator), weights)


def test_a_loss_that_is_not_finite_is_called_what_it_is(ssl):
    with pytest.raises(ValueError, match="fine-tuning loss is nan") as raised:
        FineTuneClassifier(ssl, strategy="full", lr=1e30, max_epochs=5).fit(X, CLASSES)
    assert "temperature" not in str(raised.value)
    assert 'strategy="probe"' in str(raised.value)


@both
@pytest.mark.parametrize("strategy", TRAINED)
def test_a_last_step_that_breaks_the_encoder_is_an_error(Estimator, strategy, ssl):
    estimator = Estimator(ssl, strategy=strategy, lr=1e30, max_epochs=1, batch_size=120)
    with pytest.raises(ValueError, match="fine-tuning loss is nan after the last step"):
        estimator.fit(X, labels_for(Estimator))
    assert not hasattr(estimator, "head_")


def test_a_training_that_is_worse_than_a_guess_is_told(ssl):
    with pytest.warns(UserWarning, match=r"and was .* before the first: the training has diverged"):
        FineTuneRegressor(ssl, strategy="full", lr=10.0, max_epochs=1).fit(X, NUMBERS)


@both
def test_a_training_that_is_worse_than_its_probe_leaves_the_probe(Estimator, ssl):
    y = labels_for(Estimator)
    probe = Estimator(ssl, strategy="probe").fit(X, y)
    tuned = Estimator(ssl, strategy="probe-then-full", lr=1.0, max_epochs=2, random_state=0)
    np.testing.assert_allclose(decisions(tuned.fit(X, y)), decisions(probe), rtol=1e-5)
    assert tuned.n_iter_ == 2


def test_dropout_does_not_destroy_a_probe_of_texts():
    rng = np.random.default_rng(0)
    words = ["good", "bad", "film", "plot", "actor", "slow", "great", "dull", "story", "scene"]
    texts = [" ".join(rng.choice(words, rng.integers(5, 60))) for _ in range(100)]
    y = np.array([text.count("good") > text.count("bad") for text in texts])
    ssl = CausalLMEmbedder(width=16, depth=1, max_length=16, max_epochs=2, random_state=0)
    probe = FineTuneClassifier(ssl.fit(texts), strategy="probe").fit(texts, y).score(texts, y)
    default = FineTuneClassifier(ssl, max_epochs=2, random_state=0).fit(texts, y)
    assert probe > 0.8
    assert default.score(texts, y) > probe - 0.02


@both
def test_weights_whose_sum_is_too_large(Estimator, ssl):
    with pytest.raises(ValueError, match=r"go up to 1e\+307, and their sum is too large"):
        Estimator(ssl).fit(X, labels_for(Estimator), np.full(120, 1e307))


@pytest.mark.parametrize("strategy", ["probe", *TRAINED])
def test_a_single_number(strategy, ssl):
    y = np.where(np.arange(120) == 7, 3.0, np.nan)
    regressor = FineTuneRegressor(ssl, strategy=strategy, max_epochs=1).fit(X, y)
    np.testing.assert_allclose(regressor.predict(X), 3.0)


@pytest.mark.parametrize("y", [np.repeat(["no", "yes"], 60), np.arange(120).astype("M8[D]")])
def test_labels_that_are_no_numbers(y, ssl):
    with pytest.raises(ValueError, match="predicts numbers, but y holds other values, such as"):
        FineTuneRegressor(ssl).fit(X, y)


@pytest.mark.parametrize("strategy", ["probe", *TRAINED])
def test_numbers_that_are_too_large(strategy, ssl):
    with pytest.raises(ValueError, match=r"whose squares are too large for float64\. Divide y"):
        FineTuneRegressor(ssl, strategy=strategy).fit(X, NUMBERS * 1e200)


# The start ------------------------------------------------------------------------------------


def first_losses(monkeypatch, estimator, rows, y):
    """Return the loss on all rows before the first step, in evaluation and in training mode."""
    losses = {}

    def train(task, train_rows, plan, *, spec, device, **kwargs):
        task.penalty = 0.0
        losses["evaluation"] = mean_loss(task, train_rows, spec, 1000, device)
        task.train()
        losses["training"] = task(spec.to_tensor(train_rows[np.arange(len(y))], device)).item()
        raise InterruptedError

    monkeypatch.setattr(tuning, "train", train)
    with pytest.raises(InterruptedError):
        estimator.fit(rows, y)
    return losses


SMALL_TEXT = {"width": 16, "depth": 1, "n_heads": 2, "max_epochs": 2, "random_state": 0}
STARTS = {
    "table": (SCARFTransformer(max_epochs=2, random_state=0), X[:60]),
    "images": (
        SimCLRTransformer(modality="image", max_epochs=2, random_state=0),
        rng.random((60, 8, 8)),
    ),
    "series": (
        SimCLRTransformer(modality="series", max_epochs=2, random_state=0),
        rng.normal(size=(60, 1, 20)),
    ),
    "texts": (CausalLMEmbedder(dropout=0.3, **SMALL_TEXT), TEXTS),
    "other texts": (SimCSETransformer(**SMALL_TEXT), TEXTS),
}


@pytest.mark.parametrize("head", [None, Ridge(0.1)], ids=["default", "Ridge"])
@pytest.mark.parametrize("kind", STARTS)
def test_numbers_start_from_the_loss_of_the_probe(kind, head, monkeypatch):
    transformer, rows = STARTS[kind]
    transformer, y = transformer.fit(rows), NUMBERS[:60]
    probe = FineTuneRegressor(transformer, head=head).fit(rows, y)
    loss_of_probe = np.mean((probe.predict(rows) - y) ** 2) / y.var()
    tuned = FineTuneRegressor(transformer, strategy="probe-then-full", head=head)
    losses = first_losses(monkeypatch, tuned, rows, y)
    assert losses["evaluation"] == pytest.approx(loss_of_probe, rel=0.01)
    assert losses["training"] == pytest.approx(loss_of_probe, rel=0.01)


@pytest.mark.parametrize("head", [None, RidgeClassifier()], ids=["default", "RidgeClassifier"])
@pytest.mark.parametrize("n_classes", [2, 3])
@pytest.mark.parametrize("kind", STARTS)
def test_classes_start_from_the_loss_of_the_probe(kind, n_classes, head, monkeypatch):
    transformer, rows = STARTS[kind]
    transformer, y = transformer.fit(rows), np.arange(60) % n_classes
    probe = FineTuneClassifier(transformer, strategy="probe", head=head).fit(rows, y)
    logits = probe.decision_function(rows)
    logits = np.stack([-logits / 2, logits / 2], axis=1) if n_classes == 2 else logits
    loss_of_probe = log_loss(y, torch.softmax(torch.from_numpy(logits).double(), dim=1).numpy())
    losses = first_losses(monkeypatch, FineTuneClassifier(transformer, head=head), rows, y)
    assert losses["evaluation"] == pytest.approx(loss_of_probe, rel=0.01)


def test_the_penalty_holds_a_ridge_where_it_is(ssl):
    """Its squared error and penalty have their minimum there, whatever its alpha."""
    for head in (None, Ridge(alpha=3.0), Ridge(alpha=0.01)):
        tuned = FineTuneRegressor(
            ssl, strategy="probe-then-full", head=head, lr=1e-3, layer_decay=1e-12, max_epochs=20,
            weight_decay=0, batch_size=120, random_state=0,
        ).fit(X, NUMBERS)  # fmt: skip
        probe = FineTuneRegressor(ssl, head=head).fit(X, NUMBERS)
        assert np.abs(tuned.predict(X) - probe.predict(X)).max() < 0.05 * NUMBERS.std()


@pytest.mark.parametrize("unit", [1e-6, 1.0, 1e6])
def test_the_unit_of_the_numbers_does_not_matter(unit, ssl):
    params = {"strategy": "probe-then-full", "max_epochs": 3, "random_state": 0}
    one = FineTuneRegressor(ssl, **params).fit(X, NUMBERS).predict(X)
    other = FineTuneRegressor(ssl, **params).fit(X, NUMBERS * unit).predict(X)
    np.testing.assert_allclose(other / unit, one, rtol=1e-3)


def test_fine_tuning_does_not_destroy_a_probe_that_reads_narrow_directions():
    y = np.array([text.count("good") + text.count("great") - text.count("bad") for text in TEXTS])
    lm = CausalLMEmbedder(width=16, max_epochs=10, random_state=0).fit(TEXTS)
    probe, tuned, stopped = (
        FineTuneRegressor(lm, random_state=0, **params).fit(TEXTS[:40], y[:40].astype(float))
        for params in (
            {},
            {"strategy": "probe-then-full"},
            {"strategy": "probe-then-full", "early_stopping": True},
        )
    )
    r2 = [regressor.score(TEXTS, y.astype(float)) for regressor in (probe, tuned, stopped)]
    assert r2[0] > 0.5
    assert min(r2) > r2[0] - 0.1
    assert tuned.history_["train_loss"][0] < 1  # 1 is the mean of y


# What is held out -----------------------------------------------------------------------------


def test_the_probe_does_not_see_the_rows_that_early_stopping_holds_out(ssl):
    y = np.random.default_rng(0).integers(
        0, 2, 120
    )  # coins: no probe can know rows it has not seen
    classifier = FineTuneClassifier(
        ssl, head=LogisticRegression(C=1e6, max_iter=10_000), early_stopping=True, lr=1e-9,
        max_epochs=1, random_state=0,
    ).fit(X, y)  # fmt: skip
    assert classifier.history_["valid_loss"][0] > np.log(2)


@both
def test_early_stopping_keeps_the_probe_where_no_epoch_is_better(Estimator, ssl):
    y = labels_for(Estimator)
    probe = Estimator(ssl, strategy="probe").fit(X, y)
    stopped = Estimator(
        ssl, strategy="probe-then-full", early_stopping=True, lr=0.3, max_epochs=3, random_state=0
    ).fit(X, y)
    assert stopped.n_iter_ == 3
    np.testing.assert_allclose(decisions(stopped), decisions(probe), rtol=1e-5)
    for name, tensor in stopped.transformer_.task_.state_dict().items():
        assert torch.equal(tensor, ssl.task_.state_dict()[name])


@both
def test_early_stopping_keeps_an_epoch_that_is_better(Estimator, ssl):
    y = labels_for(Estimator)
    stopped = Estimator(
        ssl, strategy="probe-then-full", head=FEEBLE[Estimator], early_stopping=True, lr=3e-3,
        max_epochs=5, random_state=0,
    ).fit(X, y)  # fmt: skip
    assert min(stopped.history_["valid_loss"]) < stopped.history_["valid_loss"][0]
    changed = stopped.transformer_.task_.state_dict()
    assert any(not torch.equal(t, changed[name]) for name, t in ssl.task_.state_dict().items())
    assert isinstance(stopped.head_, LogisticRegression | LinearRegression)


@both
def test_a_probe_alone_is_fitted_on_all_labels(Estimator, ssl):
    y = labels_for(Estimator)
    plain, stopped = (
        Estimator(ssl, strategy="probe", early_stopping=early_stopping, random_state=0).fit(X, y)
        for early_stopping in (False, True)
    )
    np.testing.assert_array_equal(decisions(plain), decisions(stopped))


TOO_FEW = {
    "a single row": (
        np.where(np.arange(60) == 3, "yak", np.where(CLASSES[:60], "cat", "dog")),
        0.2,
        "class 'yak' has a single labeled row",
    ),
    "too few held out": (
        np.where(CLASSES[:60], "cat", "dog"),
        0.01,
        "leaves 1 of 60 labeled rows to stop by, fewer than the 2 classes",
    ),
    "too few kept": (
        np.where(CLASSES[:60], "cat", "dog")[:10],
        0.9,
        "leaves 1 of 10 labeled rows to learn from, fewer than the 2 classes",
    ),
    "all of a class held out": (
        np.where(np.arange(60) < 2, "yak", np.where(CLASSES[:60], "cat", "dog")),
        0.9,
        "class 'yak' has no row left to learn from",
    ),
}


@pytest.mark.parametrize("as_objects", [False, True])
@pytest.mark.parametrize("why", TOO_FEW)
def test_too_few_labels_to_stop_by(why, as_objects, ssl):
    y, fraction, message = TOO_FEW[why]
    y = y.astype(object) if as_objects else y
    params = {"early_stopping": True, "validation_fraction": fraction, "random_state": 0}
    for strategy in TRAINED:
        with pytest.raises(ValueError, match=message):
            FineTuneClassifier(ssl, strategy=strategy, **params).fit(X[: len(y)], y)


def test_too_few_numbers_to_stop_by(ssl):
    regressor = FineTuneRegressor(ssl, strategy="full", early_stopping=True)
    with pytest.raises(ValueError, match="leaves 1 of 2 labeled rows to learn from"):
        regressor.fit(X, np.where(np.arange(120) < 2, NUMBERS, np.nan))


# Labels of -1 ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "y", [2 * CLASSES - 1, 2.0 * CLASSES - 1, (2 * CLASSES - 1).astype(object)]
)
@pytest.mark.parametrize("strategy", ["probe", *TRAINED])
def test_minus_one_beside_one_is_explained(y, strategy, ssl):
    with pytest.raises(ValueError, match=r"-1 means that a row has no label.*another number"):
        FineTuneClassifier(ssl, strategy=strategy).fit(X, y)


# What is watched ------------------------------------------------------------------------------


@both
@pytest.mark.parametrize("strategy", TRAINED)
def test_callbacks_hear_of_the_epochs(Estimator, strategy, ssl):
    class Count(Callback):
        n_epochs = 0

        def on_epoch_end(self, net, **kwargs):
            self.n_epochs += 1

    count = Count()
    estimator = Estimator(
        ssl, strategy=strategy, callbacks=[("count", count)], max_epochs=3, random_state=0
    )
    estimator.fit(X, labels_for(Estimator))
    assert count.n_epochs == 3


@both
def test_scores_of_callbacks_reach_the_history(Estimator, ssl):
    half = EpochScoring(lambda net, X, y: 0.5, name="half", use_caching=False)
    estimator = Estimator(
        ssl, strategy="full", callbacks=[half], early_stopping=True, max_epochs=2, random_state=0
    ).fit(X, labels_for(Estimator))
    assert estimator.history_["half"] == [0.5, 0.5]


@both
def test_what_is_no_callback_is_refused(Estimator, ssl):
    with pytest.raises(TypeError, match="callbacks must be skorch callbacks"):
        Estimator(ssl, strategy="full", callbacks=[print]).fit(X, labels_for(Estimator))


class Log(Callback):
    """Holds what cannot be copied, as a writer to a file does."""

    def __init__(self, writer):
        self.writer = writer


@both
@pytest.mark.parametrize("fitted", [False, True])
@pytest.mark.parametrize("strategy", ["probe", *TRAINED])
def test_callbacks_that_hold_a_lock(Estimator, strategy, fitted):
    transformer = SCARFTransformer(max_epochs=1, callbacks=[Log(Lock())], random_state=0)
    if fitted:
        transformer.fit(X)
    estimator = Estimator(
        transformer, strategy=strategy, callbacks=[Log(Lock())], max_epochs=1, random_state=0
    )
    y = labels_for(Estimator)
    expected = decisions(estimator.fit(X, y))
    for twin in (clone(estimator).fit(X, y), deepcopy(estimator)):
        np.testing.assert_array_equal(decisions(twin), expected)
        assert twin.callbacks[0].writer is estimator.callbacks[0].writer
