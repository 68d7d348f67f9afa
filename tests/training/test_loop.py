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
from sklearn_ssl.data.rows import RowSubset
from sklearn_ssl.training.batches import SORTED_TOGETHER, IndexBatches


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


# Batches of rows of about the same length ------------------------------------------------------


class Numbered:
    """Rows that are their own numbers."""

    def __init__(self, n_rows):
        self.n_rows = n_rows

    def __len__(self):
        return self.n_rows

    def __getitem__(self, indices):
        return indices


class OfLengths(Numbered):
    def __init__(self, n_rows):
        super().__init__(n_rows)
        self.lengths = np.random.default_rng(1).integers(1, 40, n_rows)


def epochs_of(rows, batch_size, n_epochs=2, seed=0):
    batches = IndexBatches(rows, batch_size, torch.Generator().manual_seed(seed))
    return [[batch.tolist() for batch in batches] for _ in range(n_epochs)]


def slow_epochs(lengths, n_rows, batch_size, n_epochs=2, seed=0):
    """Row by row: shuffle, cut, sort each group of batches by length, cut, shuffle batches."""
    generator = torch.Generator().manual_seed(seed)
    n_batches = -(-n_rows // batch_size)
    sizes = [n_rows // n_batches + (i < n_rows % n_batches) for i in range(n_batches)]
    epochs = []
    for _ in range(n_epochs):
        waiting = torch.randperm(n_rows, generator=generator, dtype=torch.int32).tolist()
        batches = []
        for start in range(0, n_batches, SORTED_TOGETHER):
            group_sizes = sizes[start : start + SORTED_TOGETHER]
            group = [waiting.pop(0) for _ in range(sum(group_sizes))]
            if lengths is not None:
                group.sort(key=lambda i: lengths[i])
            batches += [sorted(group.pop(0) for _ in range(size)) for size in group_sizes]
        if lengths is not None:
            batches = [batches[i] for i in torch.randperm(n_batches, generator=generator)]
        epochs.append(batches)
    return epochs


SIZES = [(2, 1), (5, 8), (17, 4), (403, 4), (1000, 7)]  # rows, and the largest batch


@pytest.mark.parametrize(("n_rows", "batch_size"), SIZES)
def test_order_of_rows_without_lengths(n_rows, batch_size):
    epochs = epochs_of(Numbered(n_rows), batch_size)
    assert epochs == slow_epochs(None, n_rows, batch_size)


@pytest.mark.parametrize(("n_rows", "batch_size"), SIZES)
def test_order_of_rows_with_lengths(n_rows, batch_size):
    rows = OfLengths(n_rows)
    epochs = epochs_of(rows, batch_size)
    assert epochs == slow_epochs(rows.lengths, n_rows, batch_size)
    for batches in epochs:
        assert sorted(i for batch in batches for i in batch) == list(range(n_rows))
        assert max(map(len, batches)) <= batch_size


def test_batches_of_like_length_differ_between_epochs_and_seeds():
    rows = OfLengths(403)
    first, second = epochs_of(rows, 4)
    assert first != second
    assert {tuple(batch) for batch in first} != {tuple(batch) for batch in second}
    assert [first, second] == epochs_of(rows, 4) != epochs_of(rows, 4, seed=1)


def test_batches_of_like_length_have_less_padding():
    rows = OfLengths(1000)

    def n_padded(batches):
        return sum(len(batch) * rows.lengths[batch].max() for batch in batches) - rows.lengths.sum()

    (sorted_batches,) = epochs_of(rows, 8, n_epochs=1)
    (random_batches,) = epochs_of(Numbered(1000), 8, n_epochs=1)
    assert n_padded(sorted_batches) < 0.1 * n_padded(random_batches)


def test_batches_of_a_subset_are_of_like_length():
    rows, kept = OfLengths(403), np.arange(0, 403, 2)
    epochs = epochs_of(RowSubset(rows, kept), 4)
    places = slow_epochs(rows.lengths[kept], len(kept), 4)
    assert epochs == [[kept[batch].tolist() for batch in batches] for batches in places]
