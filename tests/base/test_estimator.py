"""Fitting, going on, scoring and callbacks of the shared base, on real digits."""

from functools import partial
from itertools import pairwise

import joblib
import numpy as np
import pytest
import torch
from skorch.callbacks import Callback, EarlyStopping
from torch import nn

from sklearn_ssl import BaseSSLTransformer, PretextTask, SimCLRTransformer
from sklearn_ssl.training import loop
from sklearn_ssl.training.callbacks import Bar


@pytest.fixture(name="X")
def rows(digits):
    return digits[0][:96]


def make(**params):
    return SimCLRTransformer(**{"max_epochs": 2, "random_state": 0, **params})


class Recorder(Callback):
    """Keeps, for each epoch, whatever a function of the net returns."""

    def __init__(self, look):
        self.look = look
        self.seen = []

    def on_epoch_end(self, net, **kwargs):
        self.seen.append(self.look(net))


def state_of(module):
    return {name: tensor.clone() for name, tensor in module.state_dict().items()}


def assert_same_state(one, other):
    assert one.keys() == other.keys()
    assert all(torch.equal(one[name], other[name]) for name in one)


# fit ------------------------------------------------------------------------------------------


def test_fit_returns_self_and_sets_the_documented_attributes(X):
    estimator = make(max_epochs=3)
    assert estimator.fit(X, y=None) is estimator
    assert isinstance(estimator.task_, PretextTask)
    assert not estimator.task_.training
    assert estimator.encoder_ is estimator.task_.encoder
    assert estimator.n_iter_ == 3
    assert estimator.loss_curve_ == estimator.history_["train_loss"]
    assert set(estimator.history_) == {
        "train_loss",
        "duration",
        "embedding_std",
        "effective_rank",
    }
    assert [len(column) for column in estimator.history_.values()] == [3] * 4
    assert all(seconds > 0 for seconds in estimator.history_["duration"])
    assert estimator.n_features_in_ == 64
    assert estimator.batch_size_ == 64
    assert estimator.input_spec_.modality == "table"


def test_encoder_of_an_unfitted_estimator_is_missing():
    assert not hasattr(make(), "encoder_")


def test_y_has_no_say(X):
    np.testing.assert_array_equal(
        make().fit(X, np.arange(96)).transform(X), make().fit(X).transform(X)
    )


def test_training_lowers_the_loss(X):
    loss = make(max_epochs=30).fit(X).loss_curve_
    assert loss[-1] < loss[0] - 0.5


def test_fitted_weights_differ_from_the_first_ones_everywhere(X):
    before = {}
    callback = Callback()
    callback.on_train_begin = lambda net, **kwargs: before.update(state_of(net.module_))
    estimator = make(callbacks=[callback]).fit(X)
    after = estimator.task_.state_dict()
    assert [name for name in after if torch.equal(after[name], before[name])] == []


@pytest.mark.parametrize("n_components", [None, 1, 7])
def test_n_components_is_the_width(X, n_components):
    estimator = make(n_components=n_components).fit(X)
    width = n_components or 256
    assert estimator.transform(X).shape == (96, width)
    assert estimator.encoder_.output_dim == width
    assert len(estimator.get_feature_names_out()) == width


def test_batch_size_is_kept_to(X):
    sizes = []
    callback = Callback()
    callback.on_batch_end = lambda net, batch, **kwargs: sizes.append(len(batch))
    estimator = make(batch_size=40, max_epochs=1, callbacks=[callback]).fit(X)
    assert estimator.batch_size_ == 40
    assert sorted(sizes) == [32, 32, 32]  # 96 rows in 3 batches, nothing dropped


@pytest.mark.parametrize(
    "optimizer",
    [
        torch.optim.SGD,
        partial(torch.optim.SGD, momentum=0.9, nesterov=True),
        partial(torch.optim.AdamW, betas=(0.9, 0.95)),
        torch.optim.RMSprop,
        lambda params, lr: torch.optim.Adagrad(params, lr=lr),
    ],
    ids=["SGD", "momentum", "betas", "RMSprop", "function"],
)
def test_any_optimizer(X, optimizer):
    used = Recorder(lambda net: net.optimizer_.param_groups[0])
    estimator = make(optimizer=optimizer, lr=0.01, callbacks=[used]).fit(X)
    assert np.isfinite(estimator.loss_curve_).all()
    assert not np.array_equal(estimator.transform(X), make().fit(X).transform(X))
    for name, value in getattr(optimizer, "keywords", {}).items():
        assert used.seen[0][name] == value


def test_weight_decay_is_for_matrices_only(X):
    groups = Recorder(lambda net: net.optimizer_.param_groups)
    make(weight_decay=0.3, callbacks=[groups]).fit(X)
    decay = {p.ndim > 1: group["weight_decay"] for group in groups.seen[0] for p in group["params"]}
    assert decay == {True: 0.3, False: 0.0}


def test_learning_rate_rises_and_falls(X):
    rates = []
    callback = Callback()
    callback.on_batch_end = lambda net, **kwargs: rates.append(net.optimizer_.param_groups[0]["lr"])
    make(lr=0.01, max_epochs=40, batch_size=48, callbacks=[callback]).fit(X)
    assert len(rates) == 80
    assert rates[:4] == pytest.approx([0.0025, 0.005, 0.0075, 0.01])
    assert all(later <= earlier for earlier, later in pairwise(rates[3:]))
    assert rates[-1] < 1e-4


def test_bfloat16_trains_and_embeds_in_float32(X):
    dtypes = []

    class Probe(nn.Linear):
        def forward(self, batch):
            output = super().forward(batch)
            dtypes.append(output.dtype)
            return output

    estimator = make(precision="bfloat16", encoder=lambda shape: Probe(64, 8)).fit(X)
    assert torch.bfloat16 in dtypes
    assert np.isfinite(estimator.loss_curve_).all()
    dtypes.clear()
    assert estimator.transform(X).dtype == np.float32
    assert set(dtypes) == {torch.float32}


class InFloat32(torch.nn.Linear):
    """Has a constant that is beyond bfloat16, as masks of some transformers are."""

    def forward(self, x):
        h = super().forward(x)
        return h.masked_fill(h > 9, torch.finfo(torch.float32).max)


def test_an_encoder_that_cannot_take_bfloat16(X):
    params = {"encoder": lambda shape: InFloat32(*shape, 3), "max_epochs": 1}
    assert SimCLRTransformer(precision="float32", **params).fit(X).n_iter_ == 1
    with pytest.raises(ValueError, match=r'cannot be trained in bfloat16 .*precision="float32"'):
        SimCLRTransformer(precision="bfloat16", **params).fit(X)


def dropout_encoder(shape):
    return nn.Sequential(nn.Flatten(), nn.Linear(64, 32), nn.Dropout(0.5), nn.ReLU())


def test_dropout_is_seeded_and_quiet_after_training(X, random_streams_untouched):
    estimator = make(encoder=dropout_encoder)
    Z = estimator.fit_transform(X)
    np.testing.assert_array_equal(estimator.transform(X), Z)
    np.testing.assert_array_equal(estimator.fit_transform(X), Z)
    in_threads = joblib.Parallel(n_jobs=3, backend="threading")(
        joblib.delayed(make(encoder=dropout_encoder, random_state=seed).fit_transform)(X)
        for seed in (0, 1, 0, 2, 0)
    )
    for seed, Z_thread in zip((0, 1, 0, 2, 0), in_threads):
        assert np.array_equal(Z_thread, Z) == (seed == 0)


def test_more_rows_without_labels(X):
    unlabeled = X[40:].astype(np.float32)
    estimator = make().fit(X[:40], X_unlabeled=unlabeled)
    assert estimator.input_spec_.n_samples == 96
    together = make().fit(X)
    np.testing.assert_array_equal(estimator.transform(X), together.transform(X))
    assert not np.array_equal(make().fit(X[:40]).transform(X), together.transform(X))


def test_more_rows_must_be_alike(X):
    with pytest.raises(ValueError, match="63 features, but SimCLRTransformer is expecting 64"):
        make().fit(X, X_unlabeled=X[:, 1:])
    images = X.reshape(-1, 8, 8)
    with pytest.raises(ValueError, match=r"rows of shape \(8, 7\)"):
        make(modality="image").fit(images, X_unlabeled=images[:, :, 1:])


# score ----------------------------------------------------------------------------------------


def test_score_is_minus_the_loss_and_repeatable(X, random_streams_untouched):
    estimator = make(encoder=dropout_encoder, augment=lambda batch: batch + torch.rand_like(batch))
    estimator.fit(X)
    score = estimator.score(X)
    assert isinstance(score, float)
    assert -np.log(2 * 64 - 1) - 1 < score < 0
    with torch.random.fork_rng():
        torch.manual_seed(99)
        assert estimator.score(X) == score
    assert estimator.score(X, np.arange(96)) == score


def test_score_rises_with_training(X):
    short, long = make(max_epochs=1).fit(X), make(max_epochs=30).fit(X)
    assert long.score(X) > short.score(X) + 0.5


def test_score_leaves_the_estimator_as_it_was(X):
    estimator, twin = make().fit(X), make().fit(X)
    estimator.score(X)
    assert_same_state(estimator.task_.state_dict(), twin.task_.state_dict())
    np.testing.assert_array_equal(
        estimator.partial_fit(X).transform(X), twin.partial_fit(X).transform(X)
    )


# warm_start and partial_fit -------------------------------------------------------------------


def test_warm_start_goes_on_and_keeps_the_history(X):
    begins = []
    callback = Callback()
    callback.on_train_begin = lambda net, **kwargs: begins.append(state_of(net.module_))
    estimator = make(warm_start=True, callbacks=[callback]).fit(X)
    after_first, first_losses = state_of(estimator.task_), estimator.loss_curve_
    estimator.fit(X)
    assert_same_state(begins[1], after_first)
    assert estimator.n_iter_ == 4
    assert estimator.loss_curve_[:2] == first_losses
    assert len(estimator.history_["duration"]) == 4


def test_without_warm_start_everything_begins_anew(X):
    estimator = make().fit(X)
    losses = estimator.loss_curve_
    assert estimator.fit(X).loss_curve_ == losses


def test_warm_start_refuses_other_rows(X):
    estimator = make(warm_start=True).fit(X)
    Z = estimator.transform(X)
    with pytest.raises(ValueError, match=r"warm_start=True continues .* \(64,\), got .* \(63,\)"):
        estimator.fit(X[:, 1:])
    np.testing.assert_array_equal(estimator.transform(X), Z)


def test_partial_fit_is_one_epoch_and_goes_on(X):
    rates = Recorder(lambda net: net.optimizer_.param_groups[0]["lr"])
    steps = Recorder(lambda net: {int(s["step"]) for s in net.optimizer_.state.values()})
    estimator = make(max_epochs=40, lr=0.01, callbacks=[rates, steps])
    assert estimator.partial_fit(X) is estimator
    assert estimator.n_iter_ == 1
    Z = estimator.transform(X)
    for _ in range(4):
        estimator.partial_fit(X)
    assert estimator.n_iter_ == len(estimator.loss_curve_) == 5
    assert not np.array_equal(estimator.transform(X), Z)
    # Two batches an epoch; the optimizer counts on, the rate warms up once and then stays.
    assert steps.seen == [{2}, {4}, {6}, {8}, {10}]
    assert rates.seen == pytest.approx([0.005, 0.01, 0.01, 0.01, 0.01])


def test_partial_fit_draws_new_orders_and_views(X):
    views = []

    def augment(batch):
        view = batch + torch.randn_like(batch)
        views.append(view)
        return view

    make(batch_size=96, augment=augment).partial_fit(X).partial_fit(X)
    assert len(views) == 4
    assert not any(torch.equal(views[0], view) for view in views[1:])


def test_partial_fit_is_repeatable(X):
    one, other = make(), make()
    for rows in (X[:50], X[50:], X[:50]):
        one.partial_fit(rows)
        other.partial_fit(rows)
    np.testing.assert_array_equal(one.transform(X), other.transform(X))


def test_partial_fit_goes_on_from_fit(X):
    estimator = make().fit(X)
    after_fit = state_of(estimator.task_)
    begins = []
    callback = Callback()
    callback.on_train_begin = lambda net, **kwargs: begins.append(state_of(net.module_))
    estimator.set_params(callbacks=[callback]).partial_fit(X)
    assert_same_state(begins[0], after_fit)
    assert estimator.n_iter_ == 3


def test_schedules_of_partial_fit_stop_half_way(X):
    # At their end a BYOL target, say, would never move again.
    recorder = Recorder(lambda net: net.progress)
    estimator = make(max_epochs=4, callbacks=[recorder])
    for _ in range(6):
        estimator.partial_fit(X)
    assert recorder.seen == [0.25, 0.5, 0.5, 0.5, 0.5, 0.5]
    recorder.seen.clear()
    estimator.fit(X)
    assert recorder.seen == [0.25, 0.5, 0.75, 1.0]


def test_partial_fit_keeps_the_description_of_the_first_rows(X):
    estimator = make().partial_fit(X)
    spec = estimator.input_spec_
    assert estimator.partial_fit(X * 100).input_spec_ is spec


# early stopping -------------------------------------------------------------------------------


def test_early_stopping_keeps_the_best_weights(X):
    weights = Recorder(lambda net: state_of(net.module_))
    estimator = make(
        max_epochs=60,
        lr=0.05,
        early_stopping=True,
        n_iter_no_change=3,
        validation_fraction=0.25,
        callbacks=[weights],
    ).fit(X)
    losses = estimator.history_["valid_loss"]
    best = int(np.argmin(losses))
    assert len(losses) == estimator.n_iter_ < 60
    assert estimator.n_iter_ == best + 1 + 3
    assert_same_state(state_of(estimator.task_), weights.seen[best])


def test_early_stopping_holds_rows_out(X):
    seen = {True: [], False: []}
    callback = Callback()
    callback.on_batch_end = lambda net, batch, training, **kwargs: seen[training].extend(batch)
    make(early_stopping=True, validation_fraction=0.25, max_epochs=1, callbacks=[callback]).fit(X)
    assert len(seen[True]) == 72
    assert len(seen[False]) == 24
    np.testing.assert_array_equal(
        np.unique([*seen[True], *seen[False]], axis=0), np.unique(X, axis=0)
    )


def test_held_out_loss_is_repeatable(X):
    params = {"early_stopping": True, "n_iter_no_change": 100, "lr": 1e-4, "max_epochs": 3}
    one, other = make(**params).fit(X), make(**params).fit(X)
    assert one.history_["valid_loss"] == other.history_["valid_loss"]
    assert len(set(one.history_["valid_loss"])) == 3


def test_early_stopping_needs_rows(X):
    with pytest.raises(ValueError, match=r"validation_fraction=0.9 leaves 1 of 10 rows"):
        make(early_stopping=True, validation_fraction=0.9).fit(X[:10])


# callbacks ------------------------------------------------------------------------------------


def test_early_stopping_of_skorch_ends_the_fit(X):
    stop = EarlyStopping("train_loss", patience=2, threshold=1e9, threshold_mode="abs", sink=str)
    estimator = make(max_epochs=20, callbacks=[("stop", stop)]).fit(X)
    assert estimator.n_iter_ == 3  # two without the improvement that the first one was
    assert estimator.transform(X).shape == (96, 256)


def test_skorch_callbacks_see_losses_and_batches(X):
    losses = Recorder(lambda net: net.history[-1, "train_loss"])
    estimator = make(callbacks=[losses]).fit(X)
    assert losses.seen == estimator.loss_curve_


def test_callback_class_is_refused():
    with pytest.raises(TypeError, match="callbacks must be skorch callbacks"):
        make(callbacks=[Callback]).fit(np.eye(8))


class SklearnRecorder:
    """A scikit-learn callback that writes down its calls, and stops after an epoch if asked to."""

    def __init__(self, stop_at=None):
        self.stop_at = stop_at
        self.calls = []
        self.embeddings = []

    def setup(self, estimator, context):
        self.calls.append("setup")

    def teardown(self, estimator, context):
        self.calls.append("teardown")

    def on_fit_task_begin(self, estimator, context):
        self.calls.append(f"begin {context.task_name} {context.task_id} {context.max_subtasks}")

    def on_fit_task_end(self, estimator, context, *, X=None, y=None, fitted_estimator=None):
        self.calls.append(f"end {context.task_name} {context.task_id}")
        self.embeddings.append(fitted_estimator.transform(X))
        return context.task_name == "epoch" and context.task_id == self.stop_at


@pytest.fixture
def sklearn_callback():
    """The module sklearn.callback, of scikit-learn from version 1.9 on."""
    return pytest.importorskip("sklearn.callback", reason="scikit-learn before 1.9")


def test_scikit_learn_callback_sees_every_epoch(X, sklearn_callback):
    recorder = SklearnRecorder()
    estimator = make(max_epochs=2).set_callbacks(recorder).fit(X)
    epochs = ["begin epoch 0 0", "end epoch 0", "begin epoch 1 0", "end epoch 1"]
    assert recorder.calls == ["setup", "begin fit 0 2", *epochs, "end fit 0", "teardown"]
    first, second, last = recorder.embeddings
    assert not np.array_equal(first, second)
    np.testing.assert_array_equal(last, estimator.transform(X))
    np.testing.assert_array_equal(last, make(max_epochs=2).fit(X).transform(X))


def test_scikit_learn_callback_in_partial_fit(X, sklearn_callback):
    recorder = SklearnRecorder()
    make().set_callbacks(recorder).partial_fit(X)
    epoch = ["begin epoch 0 0", "end epoch 0"]
    assert recorder.calls == ["setup", "begin fit 0 1", *epoch, "end fit 0", "teardown"]


def test_scikit_learn_callback_may_stop_the_fit(X, sklearn_callback):
    estimator = make(max_epochs=9).set_callbacks(SklearnRecorder(stop_at=1)).fit(X)
    assert estimator.n_iter_ == 2


def test_scoring_monitor(X, sklearn_callback):
    scoring = {"minus_loss": lambda estimator, X, y: estimator.score(X)}
    monitor = sklearn_callback.ScoringMonitor(scoring=scoring)
    estimator = make(max_epochs=3).set_callbacks(monitor).fit(X, np.arange(96))
    log = {row["task_id_path"]: row["minus_loss"] for row in monitor.get_logs().data}
    assert list(log) == [(0,), (0, 0), (0, 1), (0, 2)]
    assert len(set(log.values())) == 3
    assert log[0,] == log[0, 2] == estimator.score(X)


def test_progress_bar_of_scikit_learn(X, sklearn_callback, capsys):
    pytest.importorskip("rich", reason="scikit-learn's ProgressBar is drawn by rich")
    make().set_callbacks(sklearn_callback.ProgressBar()).fit(X)
    assert "SimCLRTransformer - fit" in capsys.readouterr().out


# verbose --------------------------------------------------------------------------------------


@pytest.mark.parametrize("verbose", [0, 1])
def test_short_fits_are_silent(X, verbose, capfd):
    make(verbose=verbose, early_stopping=True).fit(X).partial_fit(X).transform(X)
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize("verbose", [0, 1])
def test_progress_bar_of_long_fits(X, verbose, capfd, monkeypatch):
    monkeypatch.setattr(loop, "Bar", lambda **options: Bar(**{**options, "delay": 0}))
    make(verbose=verbose, batch_size=48).fit(X)
    out, err = capfd.readouterr()
    assert out == ""
    assert ("SimCLRTransformer: 100%" in err) == bool(verbose)
    assert ("4/4" in err) == bool(verbose)
    assert ("loss" in err) == bool(verbose)


# a task of one's own --------------------------------------------------------------------------


class Denoising(PretextTask):
    """Say which noise was added, and count the steps."""

    def __init__(self, encoder, n_features):
        super().__init__()
        self.encoder = encoder
        self.decoder = nn.Linear(encoder.output_dim, n_features)
        self.register_buffer("n_steps", torch.tensor(0))
        self.progress = []

    def forward(self, batch):
        noise = torch.empty_like(batch).normal_(generator=self.generator)
        return (self.decoder(self.encoder(batch + noise)) - batch).square().mean()

    def after_step(self, progress):
        self.n_steps += 1
        self.progress.append(progress)


class DenoisingTransformer(BaseSSLTransformer):
    def _make_task(self, spec):
        return Denoising(self._make_encoder(spec), spec.shape[0])


def test_a_task_of_ones_own(X):
    estimator = DenoisingTransformer(max_epochs=2, batch_size=48, random_state=0)
    Z = estimator.fit_transform(X)
    assert Z.shape == (96, 256)
    assert estimator.task_.n_steps == 4
    assert estimator.task_.progress == [0.25, 0.5, 0.75, 1.0]
    assert estimator.score(X) < 0
    assert estimator.partial_fit(X).task_.n_steps == 6


def test_missing_methods_are_named(X):
    with pytest.raises(NotImplementedError, match="BaseSSLTransformer must define _make_task"):
        BaseSSLTransformer().fit(X)
