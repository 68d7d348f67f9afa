"""DINO: its loss and center, who sees which views, and what is done to gradients and weights."""

import numpy as np
import pytest
import torch
from lightly.loss import DINOLoss
from torch import nn

from sklearn_ssl import DINOTransformer
from sklearn_ssl.heads import FROZEN_PROTOTYPES, default_n_prototypes
from tests.helpers import Outputs, fit_and_record_momenta, make_task, train_step

each_n_local = pytest.mark.parametrize("n_local", [0, 3])


def student_of(task):
    return nn.Sequential(task.encoder, task.projection_head, task.prototypes)


def test_first_losses_are_near_that_of_guessing(batch_and_spec):
    batch, spec = batch_and_spec
    params = {"n_prototypes": 64, "student_temperature": 0.1, "center_momentum": 0.0}
    task = make_task(DINOTransformer(n_local=0, **params), spec)
    with torch.no_grad():
        losses = [task(batch).item() for _ in range(3)]
    # At first there is no center, and student and teacher prefer the same prototypes: a little
    # less. Then the center has taken that away, and the student's uneven answers cost more, as in
    # SwAV.
    unevenness = 1 / (2 * task.prototypes.weight.shape[1] * 0.1**2)
    assert losses[0] == pytest.approx(np.log(64), abs=0.3)
    for loss in losses[1:]:
        assert losses[0] < loss < np.log(64) + 1.2 * unevenness


@each_n_local
def test_losses_and_centers_of_several_steps_are_lightlys(n_local, batch_and_spec):
    batch, spec = batch_and_spec
    estimator = DINOTransformer(
        n_local=n_local, n_prototypes=30, center_momentum=0.7, momentum=0.5, clip=None
    )
    task = make_task(estimator, spec)
    seen = Outputs(student=task.prototypes, teacher=task.teacher)
    oracle = DINOLoss(
        output_dim=30,
        student_temp=task.student_temperature,
        teacher_temp=task.teacher_temperature,
        center_momentum=0.7,
    )
    for step, n in enumerate((64, 64, 32)):
        torch.testing.assert_close(task.center, oracle.center[0, 0], rtol=1e-5, atol=1e-6)
        loss = train_step(task, batch[:n], progress=step / 3)
        views = [
            list(z.detach().chunk(k)) for z, k in ((seen.teacher, 2), (seen.student, 2 + n_local))
        ]
        expected = oracle(*views)  # with the old center, which it then updates
        torch.testing.assert_close(loss, expected, rtol=1e-5, atol=1e-5)
    assert task.center.norm() > 0.01


@each_n_local
def test_teacher_sees_the_global_views_only(n_local, batch_and_spec):
    batch, spec = batch_and_spec
    task = make_task(DINOTransformer(n_local=n_local), spec)
    seen = Outputs(views=task.multi_crop, teacher=task.teacher, student=task.prototypes)
    task(batch)
    assert len(seen.views) == (2 if n_local else 1)
    assert seen.inputs["teacher"] is seen.views[0]
    assert len(seen.teacher) == 2 * len(batch)
    assert len(seen.student) == (2 + n_local) * len(batch)


def test_a_view_learns_nothing_from_itself(batch_and_spec):
    # With two views, what the teacher says of the first one is for the second alone.
    batch, spec = batch_and_spec
    task = make_task(DINOTransformer(n_local=0), spec)
    n = len(batch)
    seen = Outputs(student=task.prototypes)

    def certain_of_the_first_view(module, args, output):
        answer = torch.zeros_like(output)
        answer[:n, 5] = 1000.0  # and of the second, that it is anything
        return answer

    task.teacher.register_forward_hook(certain_of_the_first_view)
    loss = task(batch)
    gradient = torch.autograd.grad(loss, seen.student)[0]
    assert (gradient[n:, 5] < 0).all()
    log_p = (seen.student / task.student_temperature).log_softmax(dim=1)
    torch.testing.assert_close(loss, -(log_p[n:, 5].mean() + log_p[:n].mean()) / 2)


def test_teacher_starts_as_a_copy_and_follows_after_the_optimizer(batch_and_spec):
    batch, spec = batch_and_spec
    task = make_task(DINOTransformer(momentum=0.6, clip=None), spec)
    student = student_of(task)
    expected = [p.detach().clone() for p in student.parameters()]
    for _ in range(3):
        for parameter, value in zip(task.teacher.parameters(), expected, strict=True):
            torch.testing.assert_close(parameter, value, rtol=1e-5, atol=1e-7)
        train_step(task, batch[:32], progress=0.0)
        online = [p.detach() for p in student.parameters()]
        expected = [0.6 * old + 0.4 * new for old, new in zip(expected, online, strict=True)]


def test_momentum_rises_to_one_on_a_cosine(monkeypatch, digits):
    estimator = DINOTransformer(momentum=0.8, batch_size=16, max_epochs=2, random_state=0)
    momenta = fit_and_record_momenta(monkeypatch, estimator, digits[0][:64])
    steps = np.arange(1, 9)
    np.testing.assert_allclose(momenta, 1 - 0.2 * (np.cos(np.pi * steps / 8) + 1) / 2)


def test_weight_decay_rises_for_matrices_alone(digits):
    used = []

    class Recording(torch.optim.AdamW):
        def step(self, closure=None):
            used.append(
                {p.ndim > 1: g["weight_decay"] for g in self.param_groups for p in g["params"]}
            )
            return super().step(closure)

    params = {"weight_decay": 0.1, "weight_decay_end": 0.5, "batch_size": 16, "max_epochs": 2}
    DINOTransformer(optimizer=Recording, **params).fit(digits[0][:64])
    steps = np.arange(8)
    expected = 0.5 - 0.4 * (np.cos(np.pi * steps / 8) + 1) / 2
    np.testing.assert_allclose([decay[True] for decay in used], expected)
    assert [decay[False] for decay in used] == [0] * 8


def test_gradients_are_clipped_for_each_parameter_apart(image_batch_and_spec):
    batch, spec = image_batch_and_spec
    task = make_task(DINOTransformer(), spec)
    task(batch).backward()
    before = {name: p.grad.clone() for name, p in task.named_parameters() if p.requires_grad}
    norms = sorted(gradient.norm().item() for gradient in before.values())
    task.clip = norms[len(norms) // 2]
    task.after_backward(progress=0.5)
    for name, parameter in task.named_parameters():
        if name in before:
            expected = before[name] * min(1, task.clip / before[name].norm().item())
            torch.testing.assert_close(parameter.grad, expected, rtol=1e-4, atol=1e-7)


def test_gradients_need_not_be_clipped(image_batch_and_spec):
    batch, spec = image_batch_and_spec
    task = make_task(DINOTransformer(clip=None), spec)
    (1e6 * task(batch)).backward()
    before = [p.grad.clone() for p in task.parameters() if p.requires_grad]
    task.after_backward(progress=0.5)
    after = [p.grad for p in task.parameters() if p.requires_grad]
    assert all(map(torch.equal, after, before))


def test_prototypes_wait_at_the_start(batch_and_spec):
    batch, spec = batch_and_spec
    task = make_task(DINOTransformer(), spec)
    first = task.prototypes.weight.detach().clone()
    train_step(task, batch, progress=0.0)
    assert torch.equal(task.prototypes.weight, first)
    train_step(task, batch, progress=FROZEN_PROTOTYPES)
    assert not torch.equal(task.prototypes.weight, first)


def test_prototypes_are_derived_from_the_rows(batch_and_spec):
    _, spec = batch_and_spec
    task = make_task(DINOTransformer(), spec)
    assert len(task.prototypes.weight) == len(task.center) == default_n_prototypes(256)
