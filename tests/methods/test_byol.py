"""BYOL: its loss, what stops the gradient, and how the target follows."""

import numpy as np
import pytest
import torch
from lightly.loss import NegativeCosineSimilarity
from torch import nn

from sklearn_ssl import BYOLTransformer
from tests.helpers import ConstantPredictor, Outputs, fit_and_record_momenta, make_task, train_step


def test_first_loss_is_that_of_unrelated_predictions(batch_and_spec):
    batch, spec = batch_and_spec
    # Two times 2 - 2 cos: in many dimensions, random directions have a cosine near 0.
    assert make_task(BYOLTransformer(), spec)(batch).item() == pytest.approx(4, abs=0.5)


def test_losses_of_several_steps_are_lightlys_in_both_directions(batch_and_spec):
    batch, spec = batch_and_spec
    task = make_task(BYOLTransformer(momentum=0.5), spec)
    seen = Outputs(p=task.prediction_head, z=task.target_head)
    oracle = NegativeCosineSimilarity()
    for progress in (0.0, 0.4, 0.8):
        loss = train_step(task, batch, progress)
        (p_1, p_2), (z_1, z_2) = seen.p.detach().chunk(2), seen.z.chunk(2)
        expected = (2 + 2 * oracle(p_1, z_2)) + (2 + 2 * oracle(p_2, z_1))
        torch.testing.assert_close(loss, expected, rtol=1e-5, atol=1e-5)


def test_no_gradient_flows_through_the_targets(batch_and_spec):
    batch, spec = batch_and_spec
    task = make_task(BYOLTransformer(), spec)
    task.prediction_head = ConstantPredictor(task.projection_head[-1].out_features)
    task(batch).backward()
    assert [name for name, p in task.named_parameters() if p.grad is not None] == [
        "prediction_head.p"
    ]


def test_momentum_rises_to_one_on_a_cosine(monkeypatch, digits):
    # tau = 1 - (1 - tau_0) * (cos(pi k / K) + 1) / 2, after step k of K
    estimator = BYOLTransformer(momentum=0.9, batch_size=16, max_epochs=3, random_state=0)
    momenta = fit_and_record_momenta(monkeypatch, estimator, digits[0][:80])
    k, K = np.arange(1, 16), 15
    np.testing.assert_allclose(momenta[::2], 1 - 0.1 * (np.cos(np.pi * k / K) + 1) / 2)
    assert momenta[1::2] == momenta[::2]  # of the head as of the encoder
    assert momenta[-1] == 1


def test_target_starts_as_a_copy_and_follows_after_the_optimizer(batch_and_spec):
    batch, spec = batch_and_spec
    task = make_task(BYOLTransformer(momentum=0.6), spec)
    online = nn.Sequential(task.encoder, task.projection_head)
    target = nn.Sequential(task.target_encoder, task.target_head)
    expected = [p.detach().clone() for p in online.parameters()]
    for _ in range(3):
        for parameter, value in zip(target.parameters(), expected, strict=True):
            torch.testing.assert_close(parameter, value, rtol=1e-5, atol=1e-7)
        train_step(task, batch[:32], progress=0.0)
        expected = [
            0.6 * old + 0.4 * new.detach() for old, new in zip(expected, online.parameters())
        ]


def test_target_normalizes_by_the_statistics_of_the_batch(batch_and_spec):
    batch, spec = batch_and_spec
    task = make_task(BYOLTransformer(), spec)
    seen = Outputs(online=task.projection_head, target=task.target_head)
    task(batch)
    # At first both networks are the same, so they agree if both are in training mode.
    torch.testing.assert_close(seen.online, seen.target)
    task.eval()(batch)
    evaluated = seen.target
    task.train()(batch)
    assert not torch.allclose(seen.target, evaluated, atol=1e-2)


def test_online_and_target_see_both_views(batch_and_spec):
    batch, spec = batch_and_spec
    task = make_task(BYOLTransformer(), spec)
    seen = Outputs(online=task.encoder, target=task.target_encoder)
    task(batch)
    assert torch.equal(seen.inputs["online"], seen.inputs["target"])
    view_1, view_2 = seen.inputs["online"].chunk(2)
    assert not torch.equal(view_1, view_2)
