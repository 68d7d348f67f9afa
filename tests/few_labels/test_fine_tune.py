"""Few labels on a pretrained encoder: the contract, the training, and what it is worth."""

import pickle
from itertools import pairwise

import numpy as np
import pandas as pd
import pytest
import torch
from sklearn import config_context
from sklearn.base import clone
from sklearn.datasets import load_diabetes
from sklearn.decomposition import PCA
from sklearn.exceptions import NotFittedError
from sklearn.frozen import FrozenEstimator
from sklearn.linear_model import LogisticRegression, Ridge, RidgeClassifier
from sklearn.model_selection import GridSearchCV, cross_val_score
from sklearn.neighbors import KNeighborsClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.utils import estimator_checks
from sklearn.utils._param_validation import InvalidParameterError
from sklearn.utils.estimator_checks import parametrize_with_checks
from skorch.callbacks import Callback
from torch import nn

import sklearn_ssl
from sklearn_ssl import (
    CausalLMEmbedder,
    FineTuneClassifier,
    FineTuneRegressor,
    MaskedAutoencoder,
    MaskedLMEmbedder,
    MoCoV3Transformer,
    NextFrameEmbedder,
    SimCLRTransformer,
    SimCSETransformer,
    TS2VecTransformer,
    TSDAETransformer,
    VIMETransformer,
)
from sklearn_ssl.augment import FeatureCorruption, ImageAugmentation, SeriesAugmentation
from sklearn_ssl.data import taken_by
from sklearn_ssl.data.rows import RowBlocks
from sklearn_ssl.few_labels import tuning
from sklearn_ssl.few_labels.targets import Classes
from sklearn_ssl.few_labels.task import FineTuneTask, LinearHead, augmented, layers_of
from sklearn_ssl.pretext import PretextTask
from sklearn_ssl.semi_supervised import draw_labels
from sklearn_ssl.training.loop import TrainingPlan, train
from tests.helpers import assert_layer_is_at_rest, batch_of

STRATEGIES = ("probe", "full", "probe-then-full")
BOTH = (FineTuneClassifier, FineTuneRegressor)

every_strategy = pytest.mark.parametrize("strategy", STRATEGIES)
both = pytest.mark.parametrize("Estimator", BOTH)


def few(y, n_per_class=5, unlabeled=-1):
    """Return the labels of a few rows of each class, and the mark of no label for all others."""
    labeled = np.full(len(y), unlabeled, dtype=object if unlabeled is None else None)
    rows = draw_labels(y, n_per_class, random_state=0)
    labeled[rows] = y[rows]
    return labeled


@pytest.fixture(scope="module")
def data(digits):
    """300 rows of digits, few of which have labels, and 300 others with all theirs."""
    X, y = digits
    return X[:300], few(y[:300]), X[300:600], y[300:600]


@pytest.fixture(scope="module")
def ssl(digits):
    """A transformer that is fitted on 600 digits."""
    augment = ImageAugmentation(flip=0, rotation=10)
    return SimCLRTransformer(
        image_shape=(8, 8), augment=augment, max_epochs=10, random_state=0
    ).fit(digits[0][600:1200])


def weights_of(transformer):
    return {name: t.clone() for name, t in transformer.task_.state_dict().items()}


def assert_same_weights(a, b):
    assert a.keys() == b.keys()
    assert all(torch.equal(a[name], b[name]) for name in a)


# scikit-learn's checks ------------------------------------------------------------------------

EXPECTED_FAILURES = {
    "check_sample_weight_equivalence_on_dense_data": (
        "weights are those of labels: a row that is repeated is pretrained on twice. See "
        "test_weights_are_repetitions_of_labels."
    ),
}
OF_CLASSIFIERS = {
    "check_classifiers_classes": (
        "treats -1 as a class in all classifiers whose names it does not know to be semi-supervised"
        ". See test_sklearn_check_of_classes."
    ),
}


def checked(Estimator, strategy):
    width = 8 if Estimator is FineTuneClassifier else None
    transformer = SimCLRTransformer(max_epochs=1, n_components=width, random_state=0)
    # FixMatch needs more: a step has a third of the labels of a dozen rows.
    n_epochs = {"probe": None, "fixmatch": 45}.get(strategy, 15)
    return Estimator(transformer, strategy=strategy, random_state=0, max_epochs=n_epochs)


@parametrize_with_checks(
    [
        *(checked(E, strategy) for E in BOTH for strategy in STRATEGIES),
        checked(FineTuneClassifier, "fixmatch"),
    ],
    expected_failed_checks=lambda estimator: (
        EXPECTED_FAILURES | (OF_CLASSIFIERS if isinstance(estimator, FineTuneClassifier) else {})
    ),
)
def test_sklearn_check(estimator, check):
    if estimator.strategy == "fixmatch" and check.func.__name__ == "check_classifiers_train":
        estimator.set_params(max_epochs=5)  # of its 300 rows, which make many steps
    check(estimator)


@every_strategy
def test_sklearn_check_of_classes(strategy):
    # Under this name, -1 is no class.
    classifier = checked(FineTuneClassifier, strategy)
    estimator_checks.check_classifiers_classes("SelfTrainingClassifier", classifier)


@both
@pytest.mark.parametrize(
    "check",
    [
        estimator_checks.check_param_validation,
        estimator_checks.check_dataframe_column_names_consistency,
        estimator_checks.check_inplace_ensure_writeable,
        estimator_checks.check_estimator_cloneable,
    ],
    ids=lambda check: check.__name__,
)
def test_sklearn_check_of_its_own_suite(Estimator, check):
    check(Estimator.__name__, checked(Estimator, "probe"))


# What is trained, and what is left alone ------------------------------------------------------


@every_strategy
def test_a_fitted_transformer_is_copied(strategy, ssl, data):
    X, y = data[:2]
    before = weights_of(ssl)
    modes = [module.training for module in ssl.task_.modules()]
    classifier = FineTuneClassifier(ssl, strategy=strategy, max_epochs=3, random_state=0).fit(X, y)
    assert classifier.transformer is ssl
    assert_same_weights(weights_of(ssl), before)
    assert [module.training for module in ssl.task_.modules()] == modes
    tuned = weights_of(classifier.transformer_)
    changed = {name for name in tuned if not torch.equal(tuned[name], before[name])}
    if strategy == "probe":
        assert changed == set()
    else:
        encoder = {f"encoder.{name}" for name, _ in ssl.encoder_.named_parameters()}
        assert changed == encoder  # neither the projection head, nor the running statistics
    assert not any(module.training for module in classifier.transformer_.task_.modules())


@every_strategy
def test_an_unfitted_transformer_sees_all_rows(strategy, data):
    X, y, X_more, _ = data
    transformer = SimCLRTransformer(image_shape=(8, 8), max_epochs=1, random_state=0)
    classifier = FineTuneClassifier(transformer, strategy=strategy, max_epochs=1, random_state=0)
    classifier.fit(X, y)
    assert classifier.transformer_.input_spec_.n_samples == 300
    assert not hasattr(transformer, "task_")
    classifier.fit(X, y, X_unlabeled=X_more)
    assert classifier.transformer_.input_spec_.n_samples == 600
    if strategy == "probe":
        alone = clone(transformer).fit(X, X_unlabeled=X_more)
        assert_same_weights(weights_of(classifier.transformer_), weights_of(alone))


def test_the_probe_is_a_logistic_regression_of_the_scaled_representation(ssl, data):
    X, y, X_test, _ = data
    classifier = FineTuneClassifier(ssl, strategy="probe").fit(X, y)
    Z = ssl.transform(X).astype(np.float64)
    mean, scale = Z.mean(axis=0), Z.std(axis=0)
    scale = np.sqrt((scale**2).mean())
    labeled = y != -1
    expected = LogisticRegression(max_iter=10_000).fit((Z[labeled] - mean) / scale, y[labeled])
    Z_test = (ssl.transform(X_test) - mean) / scale
    np.testing.assert_allclose(
        classifier.predict_proba(X_test), expected.predict_proba(Z_test), atol=1e-4
    )
    assert classifier.n_iter_ == 0


def test_no_epochs_keep_the_encoder_and_the_probe(ssl, data):
    X, y, X_test, _ = data
    probe, then_full, full = (
        FineTuneClassifier(ssl, strategy=strategy, max_epochs=0, random_state=0).fit(X, y)
        for strategy in ("probe", "probe-then-full", "full")
    )
    for classifier in (then_full, full):
        assert classifier.n_iter_ == 0
        assert_same_weights(weights_of(classifier.transformer_), weights_of(ssl))
    np.testing.assert_allclose(
        then_full.predict_proba(X_test), probe.predict_proba(X_test), atol=1e-5
    )
    np.testing.assert_allclose(full.predict_proba(X_test), 1 / len(full.classes_), atol=1e-6)


@pytest.mark.parametrize("n_classes", [2, 10])
def test_the_full_training_starts_from_the_probe(n_classes, ssl, data):
    X, y, X_test, _ = data
    y = np.where(y < n_classes, y, -1)
    probe = FineTuneClassifier(ssl, strategy="probe").fit(X, y)
    then_full = FineTuneClassifier(
        ssl, max_epochs=1, lr=1e-12, weight_decay=0, augment=None, random_state=0
    ).fit(X, y)
    np.testing.assert_allclose(
        then_full.predict_proba(X_test), probe.predict_proba(X_test), atol=1e-5
    )
    full = FineTuneClassifier(
        ssl, strategy="full", max_epochs=1, lr=1e-12, augment=None, random_state=0
    ).fit(X, y)
    np.testing.assert_allclose(full.predict_proba(X_test), 1 / n_classes, atol=1e-5)


def test_regressions_start_from_the_probe_too(ssl, digits):
    X, y = digits[0][:60], digits[1][:60] * 100.0 - 300
    probe = FineTuneRegressor(ssl, strategy="probe").fit(X, y)
    then_full = FineTuneRegressor(
        ssl, strategy="probe-then-full", max_epochs=1, lr=1e-12, weight_decay=0, random_state=0
    ).fit(X, y)
    np.testing.assert_allclose(then_full.predict(X), probe.predict(X), atol=1e-2)


@pytest.mark.parametrize("n_classes", [2, 5])
def test_the_probe_is_where_the_layer_rests_while_the_encoder_does(n_classes, ssl, digits):
    # Both minimize the same, so a probe with much of the optimum gives a small gradient.
    X, y = digits[0][digits[1] < n_classes], digits[1][digits[1] < n_classes]
    X, y = X[:80], y[:80]
    Z = ssl.transform(X).astype(np.float64)
    mean, scale = Z.mean(axis=0), float(np.sqrt(Z.var(axis=0).mean()))
    head = LogisticRegression(max_iter=10_000, tol=1e-9).fit((Z - mean) / scale, y)
    layer = LinearHead(mean, scale, n_classes)
    coef = np.concatenate([-head.coef_, head.coef_]) / 2 if n_classes == 2 else head.coef_
    bias = (
        np.concatenate([-head.intercept_, head.intercept_]) / 2
        if n_classes == 2
        else head.intercept_
    )
    layer.start_from(coef / scale, bias - coef @ mean / scale)
    penalty = (1.0 if n_classes == 2 else 0.5) / len(y)
    task = FineTuneTask(ssl.task_, layer, Classes.losses, penalty, None, 1.0).eval()
    batch = ssl.input_spec_.to_tensor(X), torch.from_numpy(y), torch.ones(len(y))
    assert_layer_is_at_rest(task, batch)
    ssl.encoder_.zero_grad()


def test_earlier_layers_learn_more_slowly(digits):
    _, spec = batch_of(digits[0][:20].reshape(-1, 8, 8), "image")
    pretext = SimCLRTransformer(modality="image", encoder="vit")._make_task(spec)
    encoder = pretext.encoder
    layer = LinearHead(np.zeros(encoder.output_dim), 1.0, 3)
    task = FineTuneTask(pretext, layer, None, 0.0, None, layer_decay=0.5)
    scales = task.lr_scales()
    of_blocks = [{scales[p] for p in block.parameters()} for block in encoder.blocks]
    assert all(len(scale) == 1 for scale in of_blocks)
    of_blocks = [scale.pop() for scale in of_blocks]
    assert [b / a for a, b in pairwise(of_blocks)] == [2.0] * (len(of_blocks) - 1)
    assert set(scales) == set(encoder.parameters())
    assert max(scales.values()) == 0.5  # of what is in front of the head


def test_layers_of_a_torchvision_model_are_its_blocks(digits):
    _, spec = batch_of(digits[0][:20].reshape(-1, 8, 8), "image")
    encoder = SimCLRTransformer(modality="image", encoder="resnet18")._make_task(spec).encoder
    layers = layers_of(encoder)
    assert sum(type(layer).__name__ == "BasicBlock" for layer in layers) == 8
    assert all(next(layer.parameters(), None) is not None for layer in layers)


def test_rates_of_the_layers_reach_the_optimizer():
    rates = []

    class Watched(torch.optim.SGD):
        def step(self, *args):
            rates.append({round(group["lr"], 9) for group in self.param_groups})
            return super().step(*args)

    class Task(PretextTask):
        def __init__(self):
            super().__init__()
            self.encoder = nn.Sequential(nn.Linear(3, 3), nn.Linear(3, 2))

        def forward(self, batch):
            return self.encoder(batch).square().mean()

        def lr_scales(self):
            return dict.fromkeys(self.encoder[0].parameters(), 0.5)

    task, spec = Task(), batch_of(np.ones((4, 3)))[1]
    plan = TrainingPlan(
        seed=0, n_epochs=1, planned_epochs=1, batch_size=4, optimizer=Watched, lr=0.1,
        weight_decay=0.0, autocast_dtype=None,
    )  # fmt: skip
    train(task, RowBlocks(np.ones((4, 3))), plan, spec=spec, device="cpu")
    assert rates == [{0.1, 0.05}]


# Rows without labels --------------------------------------------------------------------------


@pytest.mark.parametrize("unlabeled", [-1, None, np.nan])
def test_all_marks_of_no_label_mean_the_same(unlabeled, ssl, data):
    X, y, X_test, _ = data
    expected = FineTuneClassifier(ssl, strategy="probe").fit(X, y)
    names = np.array([f"digit {c}" for c in range(10)])
    y = [unlabeled if label == -1 else names[label] for label in y]
    classifier = FineTuneClassifier(ssl, strategy="probe").fit(X, y)
    assert classifier.classes_.tolist() == names.tolist()
    assert classifier.classes_.dtype.kind == "U"
    assert classifier.predict(X_test).tolist() == names[expected.predict(X_test)].tolist()


def test_minus_one_is_a_number_in_a_regression(ssl, digits):
    X = digits[0][:40]
    y = np.where(np.arange(40) % 2, 1.0, -1.0)
    y[30:] = np.nan
    regressor = FineTuneRegressor(ssl, strategy="probe").fit(X, y)
    assert regressor.predict(X[:30]).min() < -0.5


@both
@pytest.mark.parametrize("strategy", ["probe", "full"])
def test_nothing_is_ever_predicted_but_classes(Estimator, strategy, ssl, data):
    X, y, X_test, _ = data
    y = y if Estimator is FineTuneClassifier else np.where(y < 0, np.nan, y)
    estimator = Estimator(ssl, strategy=strategy, max_epochs=2, random_state=0).fit(X, y)
    predicted = estimator.predict(X_test)
    assert np.isfinite(predicted).all()
    if Estimator is FineTuneClassifier:
        assert -1 not in predicted
        assert -1 not in estimator.classes_


@both
def test_score_counts_labeled_rows_only(Estimator, ssl, data):
    X, y, X_test, y_test = data
    mark = -1 if Estimator is FineTuneClassifier else np.nan
    y = np.where(y < 0, mark, y)
    estimator = Estimator(ssl, strategy="probe").fit(X, y)
    some = np.where(np.arange(len(y_test)) % 2, y_test, mark)
    assert estimator.score(X_test, some) == estimator.score(X_test[1::2], y_test[1::2])
    weights = np.random.default_rng(0).random(len(y_test))
    assert estimator.score(X_test, some, weights) == pytest.approx(
        estimator.score(X_test[1::2], y_test[1::2], weights[1::2])
    )


# Weights --------------------------------------------------------------------------------------


@both
def test_weights_are_repetitions_of_labels(Estimator, ssl, digits):
    # Of a fitted transformer: an unfitted one would see repeated rows twice.
    X, y = digits[0][:40], digits[1][:40].astype(float)
    repeats = np.where(np.arange(40) < 20, 3, 1)
    head = (
        LogisticRegression(tol=1e-8, max_iter=1000) if Estimator is FineTuneClassifier else Ridge()
    )
    estimator = Estimator(FrozenEstimator(ssl), strategy="probe", head=head)
    decide = "decision_function" if Estimator is FineTuneClassifier else "predict"
    weighted, repeated, neither = (
        getattr(clone(estimator).fit(*of), decide)(X)
        for of in [(X, y, repeats), (np.repeat(X, repeats, 0), np.repeat(y, repeats)), (X, y)]
    )
    np.testing.assert_allclose(weighted, repeated, atol=1e-2)
    assert np.abs(neither - repeated).max() > 0.05


def test_a_weighted_loss_is_that_of_repeated_rows(ssl, digits):
    X, y = digits[0][:20], torch.from_numpy(digits[1][:20])
    layer = LinearHead(np.zeros(256), 1.0, 10)
    nn.init.normal_(layer.linear.weight, generator=torch.Generator().manual_seed(0))
    task = FineTuneTask(ssl.task_, layer, Classes.losses, 0.01, None, 0.5).eval()
    repeats = torch.arange(20) % 4
    weights = repeats / repeats.float().mean()
    batch, ones = ssl.input_spec_.to_tensor(X), torch.ones(20)
    with torch.no_grad():
        weighted = task((batch, y, weights))
        twice = [torch.repeat_interleave(part, repeats, 0) for part in (batch, y, ones)]
        assert weighted.item() == pytest.approx(task(twice).item(), rel=1e-5)
        assert weighted.item() != pytest.approx(task((batch, y, ones)).item(), rel=1e-3)


@pytest.mark.parametrize("strategy", ["probe", "full"])
def test_class_weights_multiply_those_of_rows(strategy, ssl, data):
    X, y, X_test, _ = data
    params = {"strategy": strategy, "max_epochs": 3, "random_state": 0}
    heavy = FineTuneClassifier(ssl, class_weight={3: 50.0}, **params).fit(X, y)
    weights = np.where(y == 3, 50.0, 1.0)
    same = FineTuneClassifier(ssl, **params).fit(X, y, weights)
    plain = FineTuneClassifier(ssl, **params).fit(X, y)
    np.testing.assert_allclose(heavy.predict_proba(X_test), same.predict_proba(X_test), atol=1e-5)
    assert (heavy.predict(X_test) == 3).sum() > (plain.predict(X_test) == 3).sum()


# Every kind of data ---------------------------------------------------------------------------

TEXTS = [f"{word} {other}" for word in ("good", "bad") for other in "abcdefghijkl"]
SERIES = np.sin(np.arange(24) / np.repeat([2, 4], 12)[:, None])
WITH_GAPS = np.where(np.arange(24) > 20, np.nan, SERIES)
SMALL = {"width": 16, "depth": 1, "n_heads": 2}
KINDS = {
    "table": (VIMETransformer(), np.random.default_rng(0).random((24, 5))),
    "mixed table": (
        VIMETransformer(),
        pd.DataFrame({"a": ["x", "y"] * 12, "b": [1.0, np.nan, 2.0, 3.0] * 6}),
    ),
    "images": (MaskedAutoencoder(modality="image"), np.random.default_rng(0).random((24, 8, 8))),
    "vit": (
        MoCoV3Transformer(modality="image", encoder="vit"),
        np.random.default_rng(0).random((24, 8, 8)),
    ),
    "series": (TS2VecTransformer(), SERIES),
    "series with gaps": (NextFrameEmbedder(), WITH_GAPS),
    "videos": (NextFrameEmbedder(), np.random.default_rng(0).random((24, 4, 8, 8))),
    "masked words": (MaskedLMEmbedder(**SMALL), TEXTS),
    "texts": (SimCSETransformer(**SMALL), TEXTS),
    "written texts": (TSDAETransformer(**SMALL), TEXTS),
    "long texts": (CausalLMEmbedder(max_length=4, **SMALL), TEXTS),
}
Y = np.repeat([0, 1], 12)


@both
@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_of_data(kind, Estimator, random_streams_untouched):
    transformer, X = KINDS[kind]
    transformer = clone(transformer).set_params(max_epochs=1, random_state=0)
    mark = -1 if Estimator is FineTuneClassifier else np.nan
    y = np.where(np.arange(24) % 3, Y, mark)
    for strategy in STRATEGIES:
        estimator = Estimator(transformer, strategy=strategy, max_epochs=2, random_state=0)
        predicted = estimator.fit(X, y).predict(X)
        assert predicted.shape == (24,)
        assert np.isfinite(predicted).all()
        again = clone(estimator).fit(X, y)
        np.testing.assert_array_equal(again.predict(X), predicted)
        np.testing.assert_array_equal(pickle.loads(pickle.dumps(again)).predict(X), predicted)


@pytest.mark.parametrize(("params", "lr"), [({}, 1e-3), ({"lr": 0.5}, 0.5)])
def test_rate_of_fine_tuning(params, lr, ssl, data, monkeypatch):
    rates = []

    def train(task, rows, plan, **kwargs):
        rates.append(plan.lr)
        raise InterruptedError

    monkeypatch.setattr(tuning, "train", train)
    with pytest.raises(InterruptedError):
        FineTuneClassifier(ssl, **params).fit(*data[:2])
    assert rates == [lr]
    assert CausalLMEmbedder()._fine_tuning_lr() == 1e-3
    assert CausalLMEmbedder(pretrained="of others")._fine_tuning_lr() == 2e-4


ALL = [
    getattr(sklearn_ssl, name)
    for name in sklearn_ssl.__all__
    if name.endswith(("Transformer", "Embedder", "Autoencoder")) and not name.startswith("Base")
]


@pytest.mark.parametrize("Transformer", ALL)
def test_every_estimator_can_be_fine_tuned(Transformer):
    modality = taken_by(Transformer)[0]
    known = Transformer().get_params() if modality == "text" else {}
    small = {name: value for name, value in SMALL.items() if name in known}
    X = {"text": TEXTS, "series": SERIES}.get(modality, KINDS["table"][1])
    transformer = Transformer(max_epochs=1, random_state=0, **small).fit(X)
    before = weights_of(transformer)
    y = np.where(np.arange(24) % 3, Y, -1)
    classifier = FineTuneClassifier(transformer, strategy="full", max_epochs=1, random_state=0)
    classifier.fit(X, y)
    assert set(classifier.predict(X)) <= {0, 1}
    assert_same_weights(weights_of(transformer), before)
    after = weights_of(classifier.transformer_)
    trained = {
        f"encoder.{n}" for n, p in transformer.encoder_.named_parameters() if p.requires_grad
    }
    changed = {name for name in after if not torch.equal(after[name], before[name])}
    assert changed
    assert {name for name in changed if name.startswith("encoder.")} <= trained


def test_texts_in_an_iterator_and_a_series():
    ssl = CausalLMEmbedder(max_epochs=1, random_state=0, **SMALL)
    for texts in (iter(TEXTS), pd.Series(TEXTS, index=np.arange(24)[::-1]), np.array(TEXTS)):
        classifier = FineTuneClassifier(ssl, strategy="probe").fit(texts, Y)
        assert classifier.predict(TEXTS).shape == (24,)


def test_every_piece_of_a_long_text_counts_by_its_length():
    ssl = CausalLMEmbedder(max_length=4, max_epochs=0, tokenizer="char", **SMALL).fit(TEXTS)
    rows, owners, shares = ssl._rows_of(["abcdefg", "a", ""])
    np.testing.assert_allclose(np.bincount(owners, shares), 1)
    assert owners.tolist() == [0, 0, 0, 0, 1, 2]
    assert len(rows) == 6


@pytest.mark.parametrize("early_stopping", [False, True])
def test_batches_hold_texts_of_about_the_same_length(early_stopping):
    class Batches(Callback):
        def on_batch_begin(self, net, batch, training):
            if training:
                seen.append(batch)

    seen = []
    n_letters = np.random.default_rng(0).permutation(np.arange(1, 41))
    texts = ["a" * n for n in n_letters]
    ssl = CausalLMEmbedder(max_length=64, max_epochs=0, tokenizer="char", **SMALL).fit(texts)
    params = {"early_stopping": early_stopping, "max_epochs": 1, "random_state": 0}
    FineTuneRegressor(ssl, strategy="full", batch_size=4, callbacks=[Batches()], **params).fit(
        texts, n_letters, sample_weight=n_letters
    )
    lengths = [(rows >= 0).sum(axis=1) - 2 for rows, _, _ in seen]  # without beginning and end
    in_order = np.sort(np.concatenate(lengths))
    assert len(in_order) == (32 if early_stopping else 40)
    assert sorted(map(sorted, lengths)) == [list(part) for part in np.split(in_order, len(seen))]
    # Each row kept its own target, standardized, and its own weight, relative to the mean.
    targets, weights = (np.concatenate(column) for column in list(zip(*seen))[1:])
    lengths = np.concatenate(lengths)
    np.testing.assert_allclose(weights, lengths / lengths.mean(), rtol=1e-5)
    assert np.corrcoef(targets, lengths)[0, 1] == pytest.approx(1)


def test_views_stand_beside_the_rows_in_training_only(ssl, digits):
    class Watched(PretextTask):
        encoder = nn.Identity()

        def encode(self, rows):
            self.seen = rows
            return rows.flatten(1)

    pretext, layer = Watched(), LinearHead(np.zeros(64), 1.0, 10)
    augment = lambda rows: 1 - rows  # noqa: E731
    task = FineTuneTask(pretext, layer, Classes.losses, 0.0, augment, 1.0)
    rows = ssl.input_spec_.to_tensor(digits[0][:5])
    batch = rows, torch.from_numpy(digits[1][:5]), torch.ones(5)
    task.train()(batch)
    assert torch.equal(pretext.seen, torch.cat([rows, 1 - rows]))
    task.eval()(batch)
    assert torch.equal(pretext.seen, rows)


def augmentation_of(estimator):
    fitted, any_targets, scaling, start = estimator.transformer, None, None, None
    return tuning.FineTuning(estimator, fitted, any_targets, scaling, start, 0)._augmentation()


@pytest.mark.parametrize("kind", ["table", "images", "series", "texts", "videos"])
def test_auto_is_the_augmentation_of_the_kind_of_data(kind):
    transformer, X = KINDS[kind]
    transformer = clone(transformer).set_params(max_epochs=1, random_state=0).fit(X)
    augment = augmentation_of(FineTuneClassifier(transformer, augment="auto"))
    expected = {
        "table": FeatureCorruption,
        "images": ImageAugmentation,
        "series": SeriesAugmentation,
    }
    assert type(augment) is expected.get(kind, type(None))
    own = SimCLRTransformer(modality="image", augment=ImageAugmentation(flip=0), max_epochs=1)
    own.fit(KINDS["images"][1])
    assert augmentation_of(FineTuneClassifier(own, augment="auto")).flip == 0
    assert augmentation_of(FineTuneClassifier(own)) is None


def test_rows_with_gaps_are_not_changed_at_random():
    rows = torch.ones(3, 1, 8)
    rows[1, 0, 5] = torch.nan
    views = augmented(rows, lambda batch: batch + 1, None)
    assert views[0].eq(2).all()
    assert views[2].eq(2).all()
    assert views[1].nan_to_num(1).eq(1).all()


# scikit-learn's tools -------------------------------------------------------------------------


def test_a_frozen_transformer_is_not_pretrained_again(ssl, data):
    X, y, X_test, y_test = data
    classifier = FineTuneClassifier(FrozenEstimator(ssl), strategy="probe")
    assert classifier.fit(X, y).transformer_.n_iter_ == 10
    assert clone(classifier).fit(X, y).score(X_test, y_test) == classifier.score(X_test, y_test)
    labeled = y != -1
    scores = cross_val_score(classifier, X[labeled], y[labeled], cv=2)
    assert scores.mean() > 0.5
    with_head = clone(classifier).set_params(head=LogisticRegression(max_iter=1000))
    search = GridSearchCV(with_head, {"head__C": [0.01, 1.0]}, cv=2)
    search.fit(X[labeled], y[labeled])
    assert search.best_estimator_.transformer_.input_spec_.n_samples == 600


def test_a_search_over_the_pretraining(data):
    X = data[0]
    ssl = SimCLRTransformer(image_shape=(8, 8), max_epochs=1, random_state=0)
    labels = np.arange(300) % 3
    search = GridSearchCV(
        FineTuneClassifier(ssl, strategy="probe"), {"transformer__n_components": [4, 8]}, cv=2
    ).fit(X, labels)
    assert search.best_estimator_.transformer_.transform(X).shape[1] in (4, 8)


def test_extra_rows_come_by_metadata_routing(data):
    X, _, X_more, y_more = data
    ssl = SimCLRTransformer(image_shape=(8, 8), max_epochs=1, random_state=0)
    with config_context(enable_metadata_routing=True):
        classifier = FineTuneClassifier(ssl, strategy="probe").set_fit_request(X_unlabeled=True)
        search = GridSearchCV(classifier, {"transformer__n_components": [8]}, cv=2)
        search.fit(X_more[:100], y_more[:100], X_unlabeled=X)
    assert search.best_estimator_.transformer_.input_spec_.n_samples == 400


def test_equal_seeds_give_equal_classifiers(ssl, data):
    X, y, X_test, _ = data
    a, b, c = (
        FineTuneClassifier(ssl, strategy="full", augment="auto", max_epochs=3, random_state=seed)
        .fit(X, y)
        .predict_proba(X_test)
        for seed in (0, 0, 1)
    )
    np.testing.assert_array_equal(a, b)
    assert not np.array_equal(a, c)


def test_early_stopping_holds_out_labeled_rows(ssl, digits):
    X, y = digits[0][:200], digits[1][:200]
    classifier = FineTuneClassifier(
        ssl, early_stopping=True, n_iter_no_change=2, max_epochs=50, lr=0.01, random_state=0
    ).fit(X, y)
    assert len(classifier.history_["valid_loss"]) == classifier.n_iter_ < 50
    assert classifier.score(digits[0][200:400], digits[1][200:400]) > 0.8


def test_any_classifier_can_be_the_head(ssl, data):
    X, y, X_test, _ = data
    head = KNeighborsClassifier(3)
    classifier = FineTuneClassifier(ssl, strategy="probe", head=head).fit(X, y)
    labeled = y != -1
    expected = head.fit(ssl.transform(X)[labeled], y[labeled]).predict(ssl.transform(X_test))
    np.testing.assert_array_equal(classifier.predict(X_test), expected)
    assert not hasattr(classifier, "decision_function")


def test_a_linear_head_can_be_trained_on(ssl, data):
    X, y, X_test, y_test = data
    classifier = FineTuneClassifier(ssl, head=RidgeClassifier(), max_epochs=2, random_state=0)
    assert not hasattr(classifier, "predict_proba")
    classifier.fit(X, y)
    assert hasattr(classifier, "predict_proba")
    assert classifier.score(X_test, y_test) > 0.5


# What goes wrong ------------------------------------------------------------------------------

WRONG = {
    "not ours": ({"transformer": PCA()}, TypeError, r"such as SimCLRTransformer\(\); got PCA"),
    "a head of no use": (
        {"strategy": "full", "head": Ridge()},
        ValueError,
        r'strategy="full" trains a linear layer and does not use head=Ridge\(\)',
    ),
    "a head that is not linear": (
        {"head": KNeighborsClassifier(1)},
        ValueError,
        'starts from a linear head.*Use strategy="probe"',
    ),
    "a pipeline as a head to train on": (
        {"head": make_pipeline(StandardScaler(), LogisticRegression())},
        ValueError,
        "starts from a linear head",
    ),
    "weights for a head without": (
        {"strategy": "probe", "head": KNeighborsClassifier(1), "class_weight": "balanced"},
        ValueError,
        r"head=KNeighborsClassifier\(n_neighbors=1\) takes no sample_weight",
    ),
    "an unfitted frozen one": (
        {"transformer": FrozenEstimator(SimCLRTransformer())},
        NotFittedError,
        "not fitted",
    ),
    "a head that predicts nothing": ({"head": PCA()}, InvalidParameterError, "'head' parameter"),
    "an unknown strategy": ({"strategy": "half"}, InvalidParameterError, "'strategy' parameter"),
}


@pytest.mark.parametrize("wrong", WRONG)
def test_wrong_parameters(wrong, ssl, data):
    params, error, message = WRONG[wrong]
    classifier = FineTuneClassifier(**{"transformer": ssl, "max_epochs": 1, **params})
    with pytest.raises(error, match=message):
        classifier.fit(*data[:2])
    assert not hasattr(classifier, "head_")
    assert not hasattr(classifier, "classes_")


@pytest.mark.parametrize(
    ("y", "message"),
    [
        (np.full(300, -1), "None of the 300 rows has a label: y is -1, None or NaN"),
        ([None] * 300, "None of the 300 rows has a label"),
        (np.where(np.arange(300) < 9, 4, -1), "of at least two classes; got only one class"),
        (np.arange(299), "inconsistent numbers of samples"),
        (np.random.default_rng(0).random(300), "Unknown label type: continuous"),
        (np.zeros((300, 2, 2)), "dim 3"),
    ],
)
def test_wrong_labels(y, message, ssl, data):
    classifier = FineTuneClassifier(ssl, strategy="probe")
    with pytest.raises(ValueError, match=message):
        classifier.fit(data[0], y)
    assert not hasattr(classifier, "transformer_")


def test_wrong_numbers(ssl, data):
    with pytest.raises(ValueError, match="None of the 300 rows has a label: y is None or NaN"):
        FineTuneRegressor(ssl).fit(data[0], np.full(300, np.nan))
    with pytest.raises(ValueError, match="Input y contains infinity"):
        FineTuneRegressor(ssl).fit(data[0], np.full(300, np.inf))


def test_a_failed_fit_leaves_the_last_one(ssl, data):
    X, y, X_test, _ = data
    classifier = FineTuneClassifier(ssl, strategy="probe").fit(X, y)
    before = classifier.predict_proba(X_test)
    classifier.set_params(strategy="full", lr=1e12, max_epochs=3)
    with pytest.raises(ValueError, match=r"loss is (nan|inf)"):
        classifier.fit(X, y)
    np.testing.assert_array_equal(classifier.predict_proba(X_test), before)


# What it is worth -----------------------------------------------------------------------------


@pytest.fixture(scope="module")
def with_and_without(digits):
    """A transformer fitted on most digits, and one with its first weights."""
    transformer = SimCLRTransformer(
        image_shape=(8, 8),
        augment=ImageAugmentation(flip=0, rotation=10),
        max_epochs=15,
        random_state=0,
    )
    untrained = clone(transformer).set_params(max_epochs=1, lr=1e-12)
    return transformer.fit(digits[0][:1200]), untrained.fit(digits[0][:1200])


@pytest.mark.slow
@every_strategy
def test_few_labels_are_worth_more_than_without_pretraining(strategy, digits, with_and_without):
    X, y = digits
    labels = few(y[:1200], 5)
    pretrained, untrained = (
        FineTuneClassifier(ssl, strategy=strategy, random_state=0)
        .fit(X[:1200], labels)
        .score(X[1200:], y[1200:])
        for ssl in with_and_without
    )
    assert pretrained > untrained + 0.02


@pytest.mark.slow
@every_strategy
def test_a_regression_is_worth_more_than_the_mean(strategy):
    X, y = load_diabetes(return_X_y=True)
    labels = np.where(np.arange(len(y)) < 150, y, np.nan)
    ssl = VIMETransformer(max_epochs=20, random_state=0)
    regressor = FineTuneRegressor(ssl, strategy=strategy, random_state=0).fit(X, labels)
    assert regressor.score(X[150:], y[150:]) > 0.3
