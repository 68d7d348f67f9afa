"""SwAV: prototypes, the codes of global views, and what is predicted from what."""

import numpy as np
import pytest
import torch
from lightly.loss import SwaVLoss
from skorch.callbacks import Callback

from sklearn_ssl import SwAVTransformer
from sklearn_ssl.methods import swav
from tests.helpers import Outputs, make_task, train_step

each_n_local = pytest.mark.parametrize("n_local", [0, 3])


def test_first_loss_is_a_little_over_that_of_guessing(batch_and_spec):
    batch, spec = batch_and_spec
    task = make_task(SwAVTransformer(n_prototypes=64, temperature=0.1), spec)
    d = task.prototypes.weight.shape[1]
    # Predictions are as uneven as the cosines with random prototypes, of variance 1 / d. If rows
    # look alike, so that their codes say nothing of these, that costs its half, over temperature^2.
    unevenness = 1 / (2 * d * 0.1**2)
    assert np.log(64) < task(batch).item() < np.log(64) + 1.2 * unevenness


@each_n_local
def test_losses_of_several_steps_are_lightlys(n_local, batch_and_spec):
    batch, spec = batch_and_spec
    task = make_task(SwAVTransformer(n_local=n_local, n_prototypes=30), spec)
    seen = Outputs(scores=task.prototypes)
    oracle = SwaVLoss(task.temperature, sinkhorn_epsilon=task.epsilon)
    for step in range(3):
        loss = train_step(task, batch[:64], progress=step / 3)
        scores = seen.scores.detach().chunk(2 + n_local)
        expected = oracle(list(scores[:2]), list(scores[2:])).squeeze()
        torch.testing.assert_close(loss, expected, rtol=1e-4, atol=1e-4)


@each_n_local
def test_codes_are_those_of_the_global_views(n_local, monkeypatch, batch_and_spec):
    batch, spec = batch_and_spec
    task = make_task(SwAVTransformer(n_local=n_local, epsilon=0.3), spec)
    seen, assigned = Outputs(scores=task.prototypes), []

    def record(scores, epsilon):
        assert epsilon == 0.3
        assigned.append(scores.detach())
        return torch.full_like(scores, 1 / scores.shape[1])

    monkeypatch.setattr(swav, "sinkhorn", record)
    task(batch)
    assert len(assigned) == 2
    assert torch.equal(torch.cat(assigned), seen.scores[: 2 * len(batch)])


@each_n_local
def test_gradient_is_that_of_constant_codes(n_local, monkeypatch, batch_and_spec):
    batch, spec = batch_and_spec
    task = make_task(SwAVTransformer(n_local=n_local), spec)
    seen, codes = Outputs(scores=task.prototypes), []
    sinkhorn = swav.sinkhorn

    def record(scores, epsilon):
        codes.append(torch.tensor(sinkhorn(scores, epsilon).tolist()))  # no graph leads here
        return sinkhorn(scores, epsilon)

    monkeypatch.setattr(swav, "sinkhorn", record)
    loss = task(batch)
    gradient = torch.autograd.grad(loss, seen.scores, retain_graph=True)[0]
    log_p = [(s / task.temperature).log_softmax(dim=1) for s in seen.scores.chunk(2 + n_local)]
    pairs = [(i, j) for i in range(2) for j in range(2 + n_local) if i != j]
    by_hand = -sum((codes[i] * log_p[j]).sum(dim=1).mean() for i, j in pairs) / len(pairs)
    torch.testing.assert_close(loss, by_hand, rtol=1e-4, atol=1e-4)
    expected = torch.autograd.grad(by_hand, seen.scores)[0]
    assert expected.norm() > 1e-4
    torch.testing.assert_close(gradient, expected, rtol=1e-4, atol=1e-7)


def test_scores_are_cosines_with_the_prototypes(batch_and_spec):
    batch, spec = batch_and_spec
    task = make_task(SwAVTransformer(n_local=0), spec)
    train_step(task, batch, progress=0.5)
    seen = Outputs(z=task.projection_head, scores=task.prototypes)
    task(batch)
    expected = torch.cosine_similarity(seen.z[:, None], task.prototypes.weight, dim=2)
    torch.testing.assert_close(seen.scores, expected, rtol=1e-4, atol=1e-5)


def test_prototypes_wait_at_the_start(batch_and_spec):
    batch, spec = batch_and_spec
    task = make_task(SwAVTransformer(), spec)
    first = task.prototypes.weight.detach().clone()
    train_step(task, batch, progress=0.0)
    assert torch.equal(task.prototypes.weight, first)
    train_step(task, batch, progress=swav.FROZEN_PROTOTYPES)
    assert not torch.equal(task.prototypes.weight, first)


def test_prototypes_of_a_fit_wait_for_a_part_of_the_steps(monkeypatch, digits):
    monkeypatch.setattr(swav, "FROZEN_PROTOTYPES", 0.3)
    weights = []

    record = Callback()
    record.on_batch_begin = lambda net, **kwargs: weights.append(
        net.module_.prototypes.weight.detach().clone()
    )
    estimator = SwAVTransformer(n_local=0, callbacks=[record], batch_size=16, max_epochs=2)
    estimator.fit(digits[0][:80])  # 10 steps, of which 3 leave the prototypes alone
    changed = [not torch.equal(after, weights[0]) for after in weights]
    assert changed == [False] * 4 + [True] * 6


def test_prototypes_are_derived_from_the_rows(batch_and_spec):
    _, spec = batch_and_spec
    task = make_task(SwAVTransformer(), spec)
    assert len(task.prototypes.weight) == swav.default_n_prototypes(256)
