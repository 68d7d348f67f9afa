"""SimSiam: its loss, and the gradient that stops."""

import pytest
import torch
from lightly.loss import NegativeCosineSimilarity
from torch import nn

from sklearn_ssl import SimSiamTransformer
from tests.helpers import ConstantPredictor, Outputs, make_task, train_step


def test_first_loss_is_that_of_unrelated_predictions(batch_and_spec):
    batch, spec = batch_and_spec
    assert make_task(SimSiamTransformer(), spec)(batch).item() == pytest.approx(0, abs=0.05)


def test_losses_of_several_steps_are_lightlys_in_both_directions(batch_and_spec):
    batch, spec = batch_and_spec
    task = make_task(SimSiamTransformer(), spec)
    seen = Outputs(p=task.prediction_head, z=task.projection_head)
    oracle = NegativeCosineSimilarity()
    for _ in range(3):
        loss = train_step(task, batch, progress=0.0)
        (p_1, p_2), (z_1, z_2) = seen.p.detach().chunk(2), seen.z.detach().chunk(2)
        expected = (oracle(p_1, z_2) + oracle(p_2, z_1)) / 2
        torch.testing.assert_close(loss, expected, rtol=1e-5, atol=1e-5)


def test_gradient_is_that_of_constant_targets(batch_and_spec):
    batch, spec = batch_and_spec
    task = make_task(SimSiamTransformer(), spec)
    seen = Outputs(z=task.projection_head, p=task.prediction_head)
    loss = task(batch)
    gradient = torch.autograd.grad(loss, seen.z, retain_graph=True)[0]
    p_1, p_2 = seen.p.chunk(2)
    z_1, z_2 = (torch.tensor(z.tolist()) for z in seen.z.chunk(2))  # no graph leads here
    cosines = [torch.cosine_similarity(p, z).mean() for p, z in ((p_1, z_2), (p_2, z_1))]
    expected = torch.autograd.grad(-sum(cosines) / 2, seen.z)[0]
    assert expected.norm() > 1e-5
    torch.testing.assert_close(gradient, expected, rtol=1e-4, atol=1e-8)


def test_no_gradient_flows_through_the_targets(batch_and_spec):
    batch, spec = batch_and_spec
    task = make_task(SimSiamTransformer(), spec)
    task.prediction_head = ConstantPredictor(task.projection_head[-1].num_features)
    task(batch).backward()
    assert [name for name, p in task.named_parameters() if p.grad is not None] == [
        "prediction_head.p"
    ]


def test_projections_are_normalized_and_predicted_through_a_bottleneck(batch_and_spec):
    batch, spec = batch_and_spec
    task = make_task(SimSiamTransformer(), spec)
    z = task.projection_head(task.encoder(batch))
    torch.testing.assert_close(z.mean(0), torch.zeros(z.shape[1]), atol=1e-4, rtol=0)
    widths = [m.out_features for m in task.prediction_head if isinstance(m, nn.Linear)]
    assert widths[-1] == z.shape[1]
    assert widths[0] < z.shape[1]
