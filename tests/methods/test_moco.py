"""MoCo: what is compared with what, in which order, and the ring of its queue."""

from collections import deque
from copy import deepcopy

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from lightly.loss import NTXentLoss
from torch import nn
from torch.nn import functional as F

from sklearn_ssl import MoCoTransformer
from sklearn_ssl.methods.moco import default_queue_size
from tests.helpers import Outputs, fit_and_record_momenta, make_task, train_step


def query_and_key_network(task):
    return (
        nn.Sequential(task.encoder, task.projection_head),
        nn.Sequential(task.key_encoder, task.key_head),
    )


def test_first_losses(batch_and_spec):
    batch, spec = batch_and_spec
    task = make_task(MoCoTransformer(queue_size=64, temperature=0.2), spec)
    with torch.no_grad():
        losses = [task(batch).item() for _ in range(2)]
    # Random keys are easily told from a row's own. Once the queue holds keys of rows, an untrained
    # network can do hardly better than guess.
    guessing = np.log(1 + 64)
    assert losses[0] < 0.75 * losses[1]
    assert 0.8 * guessing < losses[1] < 1.05 * guessing


@pytest.mark.parametrize(("n", "queue_size"), [(16, 32), (16, 16), (8, 40)])
def test_losses_of_several_steps_are_lightlys(n, queue_size, batch_and_spec):
    batch, spec = batch_and_spec
    task = make_task(MoCoTransformer(queue_size=queue_size, momentum=0.5), spec)
    oracle = NTXentLoss(task.temperature, memory_bank_size=task.queue.shape)
    oracle.memory_bank.bank.copy_(task.queue)
    seen = Outputs(q=task.projection_head, k=task.key_head)
    for step in range(6):  # around the queue, and over its end
        loss = train_step(task, batch[n * step : n * (step + 1)], progress=step / 6)
        expected = oracle(seen.q, seen.k)  # then it puts the keys into its own queue
        torch.testing.assert_close(loss, expected.detach(), rtol=1e-5, atol=1e-5)
        torch.testing.assert_close(task.queue, oracle.memory_bank.bank, rtol=1e-5, atol=1e-6)


def test_keys_come_from_the_average_of_the_step_before(batch_and_spec):
    batch, spec = batch_and_spec
    task = make_task(MoCoTransformer(queue_size=64, momentum=0.7), spec)
    query_network, key_network = query_and_key_network(task)
    seen = Outputs(key_encoder=task.key_encoder, key_head=task.key_head)
    expected = deepcopy(query_network)  # the key network starts as a copy
    for step in range(4):
        train_step(task, batch[:32], progress=step / 4)
        view = seen.inputs["key_encoder"]
        keys = expected(view).detach()
        torch.testing.assert_close(seen.key_head, keys, rtol=1e-4, atol=1e-5)
        newest = task.queue[32 * (step % 2) :][:32]
        torch.testing.assert_close(newest, F.normalize(keys, dim=1), rtol=1e-4, atol=1e-5)
        with torch.no_grad():
            networks = [expected, query_network, key_network]
            for old, online, averaged in zip(*(m.parameters() for m in networks), strict=True):
                old.copy_(0.7 * old + 0.3 * online)
                torch.testing.assert_close(averaged, old, rtol=1e-5, atol=1e-7)


def test_momentum_of_a_fit_is_constant(monkeypatch, digits):
    estimator = MoCoTransformer(momentum=0.8, batch_size=16, max_epochs=2, random_state=0)
    momenta = fit_and_record_momenta(monkeypatch, estimator, digits[0][:64])
    assert momenta == [0.8] * (2 * 8)  # encoder and head, at each of 8 steps


@pytest.mark.parametrize("queue_size", [1, 5, 16, 50])
def test_queue_is_a_ring(queue_size, batch_and_spec):
    batch, spec = batch_and_spec
    task = make_task(MoCoTransformer(queue_size=queue_size), spec)
    seen = Outputs(k=task.key_head)
    expected = deque(task.queue.clone(), maxlen=queue_size)  # the oldest first
    with torch.no_grad():
        for n in (7, 7, 7, 40, 2, 16):
            task(batch[:n])
            expected.extend(F.normalize(seen.k, dim=1))
            from_the_oldest = task.queue.roll(-task.oldest.item(), dims=0)
            torch.testing.assert_close(from_the_oldest, torch.stack([*expected]))
    torch.testing.assert_close(task.queue.norm(dim=1), torch.ones(queue_size))


def test_queries_and_keys_come_from_different_views(batch_and_spec):
    batch, spec = batch_and_spec
    task = make_task(MoCoTransformer(), spec)
    seen = Outputs(q=task.encoder, k=task.key_encoder)
    task(batch)
    view_q, view_k = seen.inputs["q"], seen.inputs["k"]
    assert view_q.shape == view_k.shape == batch.shape
    assert not torch.equal(view_q, view_k)


def test_queue_is_derived_from_the_rows(batch_and_spec):
    _, spec = batch_and_spec
    assert len(make_task(MoCoTransformer(), spec).queue) == default_queue_size(256)


@given(n_samples=st.integers(2, 10**8), more=st.integers(0, 10**6))
def test_queue_is_a_part_of_the_rows(n_samples, more):
    size = default_queue_size(n_samples)
    assert isinstance(size, int)
    assert 1 <= size <= default_queue_size(n_samples + more)
    assert size <= max(n_samples / 2, 64)  # else it would hold keys of the rows of the batch
