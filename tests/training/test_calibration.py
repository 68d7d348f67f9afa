"""Statistics of the batch normalizations of networks that are not trained."""

import numpy as np
import pytest
import torch
from torch import nn

from sklearn_ssl import BaseSSLTransformer, PretextTask
from sklearn_ssl.training import calibration


class Scaled(PretextTask):
    """Has a batch normalization in training mode, and another one that is kept in evaluation."""

    def __init__(self, n_features):
        super().__init__()
        self.encoder = nn.BatchNorm1d(n_features)
        self.encoder.output_dim = n_features
        self.still = nn.BatchNorm1d(n_features)
        self.still.running_mean += 5
        self.unused = nn.BatchNorm1d(n_features)
        self.unused.running_mean += 6
        self.register_buffer("n_calls", torch.tensor(0))

    def train(self, mode=True):
        super().train(mode)
        self.still.eval()
        return self

    def forward(self, batch):
        self.n_calls += 1
        return self.still(self.encoder(batch)).square().mean()


class ScaledTransformer(BaseSSLTransformer):
    def _make_task(self, spec):
        return Scaled(spec.shape[0])


@pytest.fixture(name="X")
def correlated_rows():
    return np.random.default_rng(0).gamma(2.0, size=(5000, 3)) @ [[1, 1, 0], [0, 1, 0], [0, 0, 1]]


def fit(X, **params):
    return ScaledTransformer(max_epochs=0, random_state=0, **params).fit(X)


def test_statistics_are_the_mean_of_a_few_batches(X, monkeypatch):
    batches = []
    to_tensor = type(fit(X).input_spec_).to_tensor

    def record(spec, rows, device="cpu"):
        batches.append(to_tensor(spec, rows, device))
        return batches[-1]

    monkeypatch.setattr(type(fit(X).input_spec_), "to_tensor", record)
    norm = fit(X, batch_size=100).encoder_
    seen = batches[-1 - calibration.N_BATCHES : -1]  # between two looks at the first rows
    assert {len(batch) for batch in seen} == {100}
    torch.testing.assert_close(norm.running_mean, torch.stack([b.mean(0) for b in seen]).mean(0))
    torch.testing.assert_close(norm.running_var, torch.stack([b.var(0) for b in seen]).mean(0))


def test_statistics_are_close_to_those_of_the_data(X):
    norm = fit(X[np.lexsort(X.T)]).encoder_  # rows are shuffled
    scaled = (X - X.mean(axis=0)) / X.std(axis=0)
    np.testing.assert_allclose(norm.running_mean, scaled.mean(axis=0), atol=0.1)
    np.testing.assert_allclose(norm.running_var, scaled.var(axis=0), rtol=0.1)


def test_what_is_not_trained_on_is_left_alone(X):
    task = fit(X).task_
    assert task.still.running_mean.tolist() == [5, 5, 5]
    assert task.unused.running_mean.tolist() == [6, 6, 6]
    assert task.n_calls == 0
    assert task.encoder.momentum == 0.1
    assert task.generator is None


def test_a_trained_network_keeps_its_statistics(X):
    ssl = ScaledTransformer(max_epochs=1, warm_start=True, random_state=0).fit(X)
    before = ssl.encoder_.running_mean.clone()
    ssl.set_params(max_epochs=0).fit(X)
    assert torch.equal(ssl.encoder_.running_mean, before)


# Modules that measure rows ----------------------------------------------------------------------


class Measuring(Scaled):
    """Keeps the batches that it was shown."""

    def __init__(self, n_features):
        super().__init__(n_features)
        self.shown = []

    def measure_rows(self, batch):
        self.shown.append(batch)


class MeasuringTransformer(BaseSSLTransformer):
    def _make_task(self, spec):
        return Measuring(spec.shape[0])


def test_a_new_network_is_shown_evenly_spaced_rows_once(X):
    ssl = MeasuringTransformer(max_epochs=1, warm_start=True, random_state=0).fit(X).fit(X)
    (batch,) = ssl.task_.shown
    assert len(batch) == calibration.N_MEASURED
    everything = ssl.input_spec_.to_tensor(X)
    assert torch.equal(batch[[0, -1]], everything[[0, -1]])
    places = [(everything == row).all(dim=1).nonzero()[0, 0].item() for row in batch]
    assert set(np.diff(places)) <= {19, 20}  # 5000 / 256


def test_a_few_rows_are_shown_in_whole(X):
    ssl = MeasuringTransformer(max_epochs=0, random_state=0).fit(X[:10])
    (batch,) = ssl.task_.shown
    assert torch.equal(batch, ssl.input_spec_.to_tensor(X[:10]))
