"""LeJEPA: its two terms, and the directions along which it looks."""

import pytest
import torch

from sklearn_ssl import LeJEPATransformer
from sklearn_ssl.methods import lejepa
from tests.helpers import Outputs, make_task, train_step

each_n_local = pytest.mark.parametrize("n_local", [0, 3])


@pytest.fixture
def directions(monkeypatch):
    """The directions of each call of sigreg."""
    seen = []
    sigreg = lejepa.sigreg

    def record(z, directions):
        seen.append(directions)
        return sigreg(z, directions)

    monkeypatch.setattr(lejepa, "sigreg", record)
    return seen


def views_of(outputs, batch):
    return outputs.z.detach().unflatten(0, (-1, len(batch)))


def test_first_loss_is_between_a_point_and_a_gaussian(batch_and_spec):
    batch, spec = batch_and_spec
    loss = make_task(LeJEPATransformer(weight=1.0), spec)(batch).item()
    # Untrained projections are short: farther from a standard normal distribution than such a
    # sample, which gives about 1, and nearer than a single point.
    assert 0.1 * 256 < loss < 0.402 * 256


@each_n_local
def test_without_weight_only_the_prediction_is_left(n_local, batch_and_spec):
    batch, spec = batch_and_spec
    task = make_task(LeJEPATransformer(weight=0.0, n_local=n_local), spec)
    seen = Outputs(z=task.projection_head)
    loss = task(batch)
    z = views_of(seen, batch).double()
    assert len(z) == 2 + n_local
    center = (z[0] + z[1]) / 2  # of the global views
    expected = sum((view - center).square().mean() for view in z) / len(z)
    torch.testing.assert_close(loss.double(), expected, rtol=1e-4, atol=1e-7)


@each_n_local
def test_with_all_the_weight_only_the_distance_from_a_gaussian_is_left(
    n_local, directions, batch_and_spec
):
    batch, spec = batch_and_spec
    task = make_task(LeJEPATransformer(weight=1.0, n_local=n_local), spec)
    seen = Outputs(z=task.projection_head)
    loss = task(batch)
    z = views_of(seen, batch)
    each = [lejepa.sigreg(view, directions[0]) for view in z]
    torch.testing.assert_close(loss, sum(each) / len(z), rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("weight", [0.05, 0.5])
def test_weight_mixes_both(weight, batch_and_spec):
    batch, spec = batch_and_spec
    losses = {
        w: make_task(LeJEPATransformer(weight=w), spec)(batch).item() for w in (0.0, weight, 1.0)
    }
    expected = (1 - weight) * losses[0.0] + weight * losses[1.0]
    assert losses[weight] == pytest.approx(expected, rel=1e-4)


def test_directions_are_new_at_each_step_and_of_the_generator(
    directions, batch_and_spec, random_streams_untouched
):
    batch, spec = batch_and_spec
    task = make_task(LeJEPATransformer(n_directions=20, augment=torch.clone), spec)
    for _ in range(2):
        task.generator = torch.Generator().manual_seed(3)
        for _ in range(3):
            train_step(task, batch[:16], progress=0.0)
    assert not torch.equal(directions[0], directions[1])
    assert not torch.equal(directions[1], directions[2])
    assert all(map(torch.equal, directions[:3], directions[3:]))


def test_directions_are_of_unit_length_and_uniform(directions, batch_and_spec):
    batch, spec = batch_and_spec
    task = make_task(LeJEPATransformer(n_directions=2000), spec)
    seen = Outputs(z=task.projection_head)
    task(batch)
    (columns,) = directions
    d = seen.z.shape[1]
    assert columns.shape == (d, 2000)
    torch.testing.assert_close(columns.norm(dim=0), torch.ones(2000))
    # Second moments of the uniform distribution on a sphere.
    torch.testing.assert_close(columns @ columns.T / 2000, torch.eye(d) / d, atol=0.01, rtol=0)
