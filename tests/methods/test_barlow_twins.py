"""Barlow Twins: its loss is that of the projections of two views."""

import pytest
import torch
from lightly.loss import BarlowTwinsLoss

from sklearn_ssl import BarlowTwinsTransformer
from tests.helpers import Outputs, make_task, train_step


def test_first_loss_of_views_that_have_nothing_in_common(batch_and_spec):
    batch, spec = batch_and_spec
    n, weight = len(batch), 0.02
    estimator = BarlowTwinsTransformer(augment=torch.rand_like, redundancy_weight=weight)
    task = make_task(estimator, spec)
    seen = Outputs(z=task.projection_head)
    with torch.random.fork_rng():
        torch.manual_seed(0)
        loss = task(batch).item()
    # Correlations of n independent rows have a mean of 0 and a variance of 1 / n.
    d = seen.z.shape[1]
    assert loss == pytest.approx(d * (1 + 1 / n) + weight * d * (d - 1) / n, rel=0.06)


def test_first_loss_of_equal_views_is_redundancy(batch_and_spec):
    batch, spec = batch_and_spec
    params = {"augment": torch.clone, "redundancy_weight": 0.0}
    assert make_task(BarlowTwinsTransformer(**params), spec)(batch).item() < 1e-3


@pytest.mark.parametrize("weight", [5e-3, 0.1])
def test_losses_of_several_steps_are_lightlys(weight, batch_and_spec):
    batch, spec = batch_and_spec
    task = make_task(BarlowTwinsTransformer(redundancy_weight=weight), spec)
    seen = Outputs(z=task.projection_head)
    oracle = BarlowTwinsLoss(weight)
    for _ in range(3):
        loss = train_step(task, batch, progress=0.0, lr=1e-4)
        expected = oracle(*seen.z.detach().double().chunk(2))
        torch.testing.assert_close(loss.double(), expected, rtol=1e-4, atol=1e-4)


def test_the_views_are_two_of_each_row(batch_and_spec):
    batch, spec = batch_and_spec
    task = make_task(BarlowTwinsTransformer(augment=torch.clone), spec)
    seen = Outputs(views=task.encoder)
    task(batch)
    assert torch.equal(seen.inputs["views"], torch.cat([batch, batch]))
