"""TS2Vec: its crops and masks, its loss, what is pooled, and what it is worth."""

import numpy as np
import pytest
import torch
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from torch import nn

from benchmarks.datasets import load_keel_table
from sklearn_ssl import TS2VecTransformer
from sklearn_ssl.losses import hierarchical_contrast
from sklearn_ssl.semi_supervised import draw_labels
from tests.helpers import batch_of, make_task

nan = torch.nan


def _batch_and_task(n=12, channels=2, time=10, **params):
    X = np.random.default_rng(0).normal(size=(n, channels, time)).cumsum(axis=2)
    batch, spec = batch_of(X, "series")
    return batch, make_task(TS2VecTransformer(**params), spec)


# Crops


@pytest.mark.parametrize("time", [2, 3, 10])
def test_crops_overlap_in_the_same_moments_of_each_row(time):
    _, task = _batch_and_task(time=time)
    moments = torch.arange(float(time)).expand(6, 1, time)  # a step says when it is
    seen = set()
    for _ in range(200):
        crop_a, crop_b, overlap = task._crops(moments)
        assert torch.equal(crop_a[:, :, -overlap:], crop_b[:, :, :overlap])
        for crop in (crop_a, crop_b):
            assert (crop.diff(dim=2) == 1).all()
            assert crop.min() >= 0
            assert crop.max() < time
        seen.add((crop_a.shape[2], crop_b.shape[2], overlap))
    lengths = range(2, time + 1)
    assert {overlap for _, _, overlap in seen} == set(lengths)
    possible = {
        (a, b, overlap)
        for overlap in lengths
        for a in range(overlap, time + 1)
        for b in range(overlap, time + 1)
        if a + b - overlap <= time
    }
    assert seen <= possible
    assert len(seen) == len(possible) or time == 10


def test_rows_are_cropped_at_places_of_their_own():
    _, task = _batch_and_task()
    moments = torch.arange(10.0).expand(50, 1, 10)
    starts = [task._crops(moments)[0][:, 0, 0] for _ in range(20)]
    assert max(len(start.unique()) for start in starts) > 2


# Masks


def test_half_of_the_steps_are_hidden_behind_the_projection():
    batch, task = _batch_and_task(n=500)
    seen = []
    task.encoder.temporal.register_forward_hook(lambda module, args, _: seen.append(args[0]))
    task(batch)
    assert len(seen) == 2
    for projected in seen:
        hidden = (projected == 0).all(dim=1)  # [n, time]
        assert ((projected == 0).any(dim=1) == hidden).all()
        assert hidden.float().mean().item() == pytest.approx(0.5, abs=0.05)
    assert len({(projected == 0).sum().item() for projected in seen}) == 2


def test_nothing_is_hidden_when_rows_are_embedded():
    batch, task = _batch_and_task()
    with torch.no_grad():
        states = task.encoder.temporal(task.encoder.input_projection(batch))
        torch.testing.assert_close(task.encode(batch), states.amax(dim=2))


# The loss


def test_loss_is_that_of_the_overlap(monkeypatch):
    batch, task = _batch_and_task(alpha=0.3)
    batch[:3, :, 7:] = nan
    left, right = batch[:, :, :8], batch[:, :, 2:]
    monkeypatch.setattr(task, "_crops", lambda batch: (left, right, 6))
    hidden = [torch.rand(12, 1, 8) < 0.5, torch.rand(12, 1, 8) < 0.5]
    draws = iter(hidden)
    monkeypatch.setattr(torch, "rand", lambda *args, **kwargs: 1 - next(draws).float())
    with torch.no_grad():
        states = [
            task.encoder.states(crop, h | crop.isnan().all(dim=1, keepdim=True))
            for crop, h in zip((left, right), hidden)
        ]
        r_a, r_b = (s.transpose(1, 2) for s in (states[0][:, :, 2:], states[1][:, :, :6]))
        observed = ~batch[:, 0, 2:8].isnan()
        torch.testing.assert_close(task(batch), hierarchical_contrast(r_a, r_b, 0.3, observed))


def test_every_parameter_is_trained():
    batch, task = _batch_and_task()
    task(batch).backward()
    assert all(parameter.grad.abs().sum() > 0 for parameter in task.parameters())


def test_states_see_both_sides():
    batch, task = _batch_and_task()
    batch.requires_grad_()
    states = task.encoder.states(batch, torch.zeros(12, 1, 10, dtype=torch.bool))
    states[0, :, 5].square().sum().backward()
    assert (batch.grad[0].abs().sum(dim=0) > 0).all()
    assert (batch.grad[1:] == 0).all()


# Missing steps


def test_missing_steps_are_not_pooled():
    batch, task = _batch_and_task()
    batch[0, :, 6:] = nan
    with torch.no_grad():
        missing = batch[:1].isnan().all(dim=1, keepdim=True)
        states = task.encoder.states(batch[:1], missing)
        torch.testing.assert_close(task.encode(batch)[0], states[0, :, :6].amax(dim=1))


def test_a_number_that_is_missing_alone_is_taken_for_the_mean():
    batch, task = _batch_and_task()
    filled = batch.clone()
    batch[:, 0, 3], filled[:, 0, 3] = nan, 0
    assert torch.equal(task.encode(batch), task.encode(filled))


def test_rows_without_a_step_do_no_harm():
    batch, task = _batch_and_task()
    batch[0] = nan
    loss = task(batch)
    assert torch.isfinite(loss)
    loss.backward()
    assert all(torch.isfinite(parameter.grad).all() for parameter in task.parameters())
    assert torch.equal(task.encode(batch)[0], torch.zeros(320))


# Networks of the user's


@pytest.mark.parametrize(("n_components", "width"), [(None, 5), (7, 7)])
def test_a_network_of_the_users(n_components, width):
    seen = []

    def encoder(shape):
        seen.append(shape)
        return nn.Conv1d(shape[0], 5, 3, padding=1)

    X = np.random.default_rng(0).normal(size=(12, 3, 9))
    ssl = TS2VecTransformer(encoder=encoder, n_components=n_components, max_epochs=1)
    assert ssl.fit_transform(X).shape == (12, width)
    assert seen[0] == (64, 9)


# What it is worth


@pytest.mark.slow
def test_it_is_worth_more_than_its_untrained_network(load_or_skip):
    X, y = load_or_skip(load_keel_table, "penbased")
    rows = np.random.default_rng(0).permutation(len(X))
    X, y = X[rows].reshape(-1, 8, 2).transpose(0, 2, 1), y[rows]
    (X_train, X_test), (y_train, y_test) = (X[:600], X[600:2000]), (y[:600], y[600:2000])

    def accuracy(ssl):
        Z_train, Z_test = ssl.transform(X_train), ssl.transform(X_test)
        accuracies = []
        for draw in range(3):
            labeled = draw_labels(y_train, 10, draw)
            classifier = make_pipeline(StandardScaler(), LogisticRegression(max_iter=1000))
            classifier.fit(Z_train[labeled], y_train[labeled])
            accuracies.append(classifier.score(Z_test, y_test))
        return np.mean(accuracies)

    trained = TS2VecTransformer(max_epochs=8, random_state=0).fit(X_train)
    untrained = TS2VecTransformer(max_epochs=0, random_state=0).fit(X_train)
    assert accuracy(trained) > accuracy(untrained) + 0.01
