"""VICReg: its loss is that of the projections of two views."""

import pytest
import torch
from lightly.loss import VICRegLoss

from sklearn_ssl import VICRegTransformer
from tests.helpers import Outputs, make_task, train_step

WEIGHTS = {"invariance": 7.0, "variance": 3.0, "covariance": 2.0}


@pytest.mark.parametrize("weights", [{}, WEIGHTS], ids=["default", "other"])
def test_losses_of_several_steps_are_lightlys(weights, batch_and_spec):
    batch, spec = batch_and_spec
    task = make_task(VICRegTransformer(**weights), spec)
    seen = Outputs(z=task.projection_head)
    oracle = VICRegLoss(task.invariance, task.variance, task.covariance)
    for _ in range(3):
        loss = train_step(task, batch, progress=0.0, lr=1e-3)
        expected = oracle(*seen.z.detach().double().chunk(2))
        torch.testing.assert_close(loss.double(), expected, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("term", WEIGHTS)
def test_first_value_of_each_term(term, batch_and_spec):
    batch, spec = batch_and_spec
    weights = {name: float(name == term) for name in WEIGHTS}
    loss = make_task(VICRegTransformer(augment=torch.clone, **weights), spec)(batch).item()
    if term == "invariance":
        assert loss == pytest.approx(0, abs=1e-8)  # equal views
    else:
        # Untrained projections vary, by less than the deviation of 1 that is asked for.
        assert 0.01 < loss < 0.99


def test_the_views_are_two_of_each_row(batch_and_spec):
    batch, spec = batch_and_spec
    task = make_task(VICRegTransformer(augment=torch.clone), spec)
    seen = Outputs(views=task.encoder)
    task(batch)
    assert torch.equal(seen.inputs["views"], torch.cat([batch, batch]))
