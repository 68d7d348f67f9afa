"""The training loop: hooks of the task and callbacks around a step, weight decay, failures."""

import numpy as np
import pytest
import torch
from sklearn.base import clone
from skorch.callbacks import Callback
from torch import nn

from sklearn_ssl import (
    BaseSSLTransformer,
    FineTuneClassifier,
    PretextTask,
    SimCLRTransformer,
)


@pytest.fixture(name="X")
def forty_eight_rows():
    return np.random.default_rng(0).normal(size=(48, 5))


class LoggedSGD(torch.optim.SGD):
    """Logs its steps, and the weight decay of weights and of biases, into ``log``."""

    log = None

    def step(self, closure=None):
        result = super().step(closure)
        decay = {
            p.ndim: group["weight_decay"] for group in self.param_groups for p in group["params"]
        }
        self.log.append(("step", decay[2], decay[1]))
        return result


class HookedTask(PretextTask):
    """Logs what is called, and with which progress."""

    def __init__(self, encoder):
        super().__init__()
        self.encoder = encoder
        self.log = []

    def forward(self, batch):
        self.log.append(("forward",))
        return self.encoder(batch).square().mean()

    def after_backward(self, progress):
        has_gradients = all(p.grad is not None for p in self.parameters())
        self.log.append(("after_backward", progress, has_gradients))

    def after_step(self, progress):
        self.log.append(("after_step", progress))

    def weight_decay_at(self, progress, weight_decay):
        return weight_decay * (1 + progress)


class WithoutGradients(HookedTask):
    def after_backward(self, progress):
        for parameter in self.parameters():
            parameter.grad = None


class HookedTransformer(BaseSSLTransformer):
    task_class = HookedTask

    def _make_task(self, spec):
        task = self.task_class(self._make_encoder(spec))
        LoggedSGD.log = task.log
        return task


class TransformerWithoutGradients(HookedTransformer):
    task_class = WithoutGradients


def fit(X, Estimator=HookedTransformer, **params):
    shared = {"encoder": lambda shape: nn.Linear(*shape, 3), "batch_size": 16, "max_epochs": 2}
    return Estimator(**shared, optimizer=LoggedSGD, random_state=0, **params).fit(X)


def test_hooks_run_around_the_step_of_the_optimizer(X):
    log = fit(X, weight_decay=0.1).task_.log
    assert [entry[0] for entry in log] == ["forward", "after_backward", "step", "after_step"] * 6
    # Six steps; the hook before a step is told what was done before it, the one after it what is
    # done with it.
    before = [entry for entry in log if entry[0] == "after_backward"]
    assert [(progress, gradients) for _, progress, gradients in before] == [
        (pytest.approx(step / 6), True) for step in range(6)
    ]
    after = [progress for name, *rest in log if name == "after_step" for progress in rest]
    assert after == pytest.approx([step / 6 for step in range(1, 7)])


def test_weight_decay_of_each_step_is_for_weights_alone(X):
    log = fit(X, weight_decay=0.1).task_.log
    steps = [entry for entry in log if entry[0] == "step"]
    assert [of_weights for _, of_weights, _ in steps] == pytest.approx(
        [0.1 * (1 + step / 6) for step in range(6)]
    )
    assert {of_biases for _, _, of_biases in steps} == {0.0}


def test_a_task_may_take_its_gradients_back(X):
    trained, untrained, again = (
        fit(X, Estimator, lr=lr)
        for Estimator, lr in [
            (HookedTransformer, 0.1),
            (TransformerWithoutGradients, 0.1),
            (TransformerWithoutGradients, 0.01),
        ]
    )
    assert torch.equal(untrained.encoder_.weight, again.encoder_.weight)
    assert not torch.equal(trained.encoder_.weight, untrained.encoder_.weight)


def test_progress_of_partial_fit_stops_half_way(X):
    estimator = clone(fit(X))
    for _ in range(3):
        estimator.partial_fit(X)
    after = [entry[1] for entry in estimator.task_.log if entry[0] == "after_step"]
    assert after == pytest.approx([1 / 6, 2 / 6] + [1 / 2] * 7)


def test_hooks_are_not_called_to_validate_or_to_embed(X):
    estimator = fit(X, early_stopping=True)
    calls = [entry[0] for entry in estimator.task_.log]
    n_steps = calls.count("step")
    assert calls.count("after_step") == calls.count("after_backward") == n_steps
    assert calls.count("forward") == n_steps + 2  # and the held-out rows, after each epoch
    estimator.transform(X)
    estimator.score(X)
    later = [entry[0] for entry in estimator.task_.log[len(calls) :]]
    assert set(later) == {"forward"}


# skorch's callbacks and history ---------------------------------------------------------------


class CallLog(Callback):
    """Logs the calls of a training, with what skorch passes to each."""

    def __init__(self):
        self.calls = []

    def on_train_begin(self, net, X, y):
        self.calls.append("train begin")

    def on_epoch_begin(self, net, dataset_train, dataset_valid):
        self.calls.append("epoch begin")

    def on_batch_begin(self, net, batch, training):
        self.calls.append(("batch begin", len(batch), training))

    def on_grad_computed(self, net, named_parameters, batch, training):
        for _ in range(2):  # a callback after another one
            names = [name for name, parameter in named_parameters if parameter.grad is not None]
        self.calls.append(("gradients", names, len(batch), training))

    def on_batch_end(self, net, batch, training, loss, y_pred):
        part = "train" if training else "valid"
        assert net.history[-1, "batches", -1, f"{part}_loss"] == loss.item()
        self.calls.append(("batch end", len(batch), training))

    def on_epoch_end(self, net, dataset_train, dataset_valid):
        self.calls.append(("epoch end", len(dataset_train), len(dataset_valid)))
        self.epoch = net.history[-1]

    def on_train_end(self, net, X, y):
        self.calls.append("train end")


def test_callbacks_are_called_as_by_skorch(X):
    log = CallLog()
    fit(X, early_stopping=True, validation_fraction=0.25, callbacks=[log])
    step = [
        ("batch begin", 12, True),
        ("gradients", ["encoder.weight", "encoder.bias"], 12, True),
        ("batch end", 12, True),
    ]
    held_out = [("batch begin", 12, False), ("batch end", 12, False)]
    epoch = ["epoch begin", *step * 3, *held_out, ("epoch end", 36, 12)]
    assert log.calls == ["train begin", *epoch * 2, "train end"]
    losses = [batch["train_loss"] for batch in log.epoch["batches"][:3]]
    assert log.epoch["train_loss"] == pytest.approx(np.mean(losses))
    assert (log.epoch["train_batch_count"], log.epoch["valid_batch_count"]) == (3, 1)


# Weights that are not finite ------------------------------------------------------------------


@pytest.mark.parametrize("method", ["fit", "partial_fit"])
@pytest.mark.parametrize("params", [{"lr": 1e30}, {"weight_decay": 1e38, "lr": 1.0}])
def test_a_last_step_that_spoils_the_weights(X, method, params):
    params = {"max_epochs": 1, "random_state": 0, **params}
    for fitted in (False, True):
        estimator = SimCLRTransformer(max_epochs=1, random_state=0)
        if fitted:
            estimator.fit(X)
        estimator.set_params(**params)
        before = dict(vars(estimator))
        with pytest.raises(ValueError, match=r"(not finite after|infinity after).*smaller lr"):
            getattr(estimator, method)(X)
        assert vars(estimator) == before


def test_a_last_step_that_spoils_fine_tuning(X):
    ssl = SimCLRTransformer(max_epochs=1, random_state=0).fit(X)
    classifier = FineTuneClassifier(ssl, strategy="full", max_epochs=1, lr=1e38, random_state=0)
    before = dict(vars(classifier))
    with pytest.raises(ValueError, match=r"FineTuneTask are not finite .* smaller lr"):
        classifier.fit(X, np.arange(48) % 2)
    assert vars(classifier) == before


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_an_encoder_that_returns_no_numbers(X, value):
    class Broken(nn.Linear):
        def forward(self, batch):
            return super().forward(batch) + (value if batch.any() else 0)

    estimator = SimCLRTransformer(encoder=lambda shape: Broken(*shape, 3), max_epochs=1)
    with pytest.raises(ValueError, match="encoder, Broken, returns NaN or infinity before any"):
        estimator.fit(X)


def test_embeddings_that_overflow_after_the_training(X):
    class Steep(nn.Linear):
        def forward(self, batch):
            z = super().forward(batch)
            return z * (1.0 if self.training or (self.bias == 0).all() else 1e38) ** 2

    def encoder(shape):
        module = Steep(*shape, 3)
        nn.init.zeros_(module.bias)
        return module

    with pytest.raises(ValueError, match="returns NaN or infinity after the training"):
        SimCLRTransformer(encoder=encoder, max_epochs=1, random_state=0).fit(X)
