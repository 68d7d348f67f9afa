"""The contract of pretext tasks, and the moving average."""

import copy
import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from sklearn_ssl.pretext import PretextTask, cosine_schedule, ema_update, frozen_copy


class RandomLossTask(PretextTask):
    """Its loss is a random number."""

    def __init__(self):
        super().__init__()
        self.encoder = nn.Linear(2, 3)

    def forward(self, batch):
        return torch.rand((), generator=self.generator)


def _two_networks():
    torch.manual_seed(0)
    return [nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4), nn.Linear(4, 2)) for _ in range(2)]


def _copies(module):
    return [parameter.detach().clone() for parameter in module.parameters()]


def test_forward_must_be_written():
    class Unwritten(PretextTask):
        pass

    with pytest.raises(NotImplementedError, match=r"Unwritten must define forward\(batch\)"):
        Unwritten()(torch.zeros(2, 3))


def test_encode_is_the_encoder():
    task = RandomLossTask()
    batch = torch.randn(4, 2)
    assert torch.equal(task.encode(batch), task.encoder(batch))


def test_after_step_changes_nothing_by_default():
    task = RandomLossTask()
    before = copy.deepcopy(task.state_dict())
    assert task.after_step(0.5) is None
    assert all(torch.equal(value, before[name]) for name, value in task.state_dict().items())


def test_after_backward_changes_no_gradient_by_default():
    task = RandomLossTask()
    task.encoder(torch.ones(4, 2)).sum().backward()
    before = [p.grad.clone() for p in task.parameters()]
    assert task.after_backward(0.5) is None
    assert all(map(torch.equal, (p.grad for p in task.parameters()), before))


@pytest.mark.parametrize("max_grad_norm", [0.5, 1e6])
def test_after_backward_scales_large_gradients_down(max_grad_norm):
    task = RandomLossTask()
    task.max_grad_norm = max_grad_norm
    task.encoder(torch.ones(4, 2)).sum().backward()
    gradient = nn.utils.parameters_to_vector(p.grad for p in task.parameters())
    task.after_backward(0.5)
    clipped = nn.utils.parameters_to_vector(p.grad for p in task.parameters())
    expected = gradient * min(max_grad_norm / gradient.norm(), 1)
    torch.testing.assert_close(clipped, expected, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("progress", [0.0, 0.3, 1.0])
def test_weight_decay_is_the_parameter_by_default(progress):
    assert RandomLossTask().weight_decay_at(progress, 0.7) == 0.7


def test_modules_may_have_a_learning_rate_of_their_own():
    task = PretextTask()
    task.encoder, task.head = nn.Sequential(nn.Linear(2, 3), nn.Linear(3, 2)), nn.Linear(2, 1)
    assert task.lr_scales() == {}
    task.encoder[0].lr_scale = 10.0
    assert task.lr_scales() == dict.fromkeys(task.encoder[0].parameters(), 10.0)


def test_generator_is_the_only_source_of_random_numbers(random_streams_untouched):
    task = RandomLossTask.__new__(RandomLossTask)  # without the encoder's initial weights
    PretextTask.__init__(task)
    assert task.generator is None
    losses = []
    for _ in range(2):
        task.generator = torch.Generator().manual_seed(3)
        losses.append(task(None).item())
    assert losses[0] == losses[1]


def test_generator_is_no_part_of_the_saved_state():
    task = RandomLossTask()
    names = set(task.state_dict())
    task.generator = torch.Generator()
    assert set(task.state_dict()) == names == {"encoder.weight", "encoder.bias"}


@settings(deadline=None, max_examples=25)
@given(momentum=st.floats(0, 1))
def test_ema_update_averages_parameters(momentum):
    target, online = _two_networks()
    before = _copies(target)
    ema_update(target, online, momentum)
    for after, old, new in zip(target.parameters(), before, online.parameters()):
        expected = momentum * old.double() + (1 - momentum) * new.detach().double()
        torch.testing.assert_close(after.detach().double(), expected, rtol=1e-6, atol=1e-7)


@pytest.mark.parametrize(("momentum", "source"), [(0.0, "online"), (1.0, "target")])
def test_ema_update_at_its_ends_is_exact(momentum, source):
    target, online = _two_networks()
    expected = {"online": _copies(online), "target": _copies(target)}[source]
    ema_update(target, online, momentum)
    assert all(torch.equal(a, b) for a, b in zip(target.parameters(), expected))


def test_ema_update_leaves_the_online_network_and_all_buffers():
    target, online = _two_networks()
    online(torch.randn(9, 3))  # moves the batch statistics
    online_before = copy.deepcopy(online.state_dict())
    buffers_before = {name: buffer.clone() for name, buffer in target.named_buffers()}
    ema_update(target, online, 0.5)
    for name, value in online.state_dict().items():
        assert torch.equal(value, online_before[name])
    for name, buffer in target.named_buffers():
        assert torch.equal(buffer, buffers_before[name])


@pytest.mark.parametrize("trained", [False, True])
def test_ema_update_makes_no_gradients(trained):
    target, online = _two_networks()
    target.requires_grad_(trained)
    ema_update(target, online, 0.9)
    for parameter in (*target.parameters(), *online.parameters()):
        assert parameter.grad is None
        assert parameter.grad_fn is None
    assert all(parameter.requires_grad == trained for parameter in target.parameters())


def test_ema_update_refuses_another_architecture():
    target, _ = _two_networks()
    with pytest.raises(RuntimeError, match="lists must have the same"):
        ema_update(target, nn.Linear(3, 4), 0.9)


# Copies and schedules


def test_frozen_copy_is_alike_and_apart():
    module, _ = _two_networks()
    copied = frozen_copy(module)
    batch = torch.randn(9, 3)
    assert torch.equal(copied(batch), module(batch))
    assert copied.training
    assert not any(p.requires_grad for p in copied.parameters())
    assert all(p.requires_grad for p in module.parameters())
    before = _copies(copied)
    with torch.no_grad():
        for parameter in module.parameters():
            parameter += 1
    assert all(map(torch.equal, copied.parameters(), before))


ENDS = st.floats(-10, 10)


@given(start=ENDS, end=ENDS)
def test_cosine_schedule_has_its_ends_and_its_middle(start, end):
    assert cosine_schedule(start, end, 0.0) == pytest.approx(start, abs=1e-9)
    assert cosine_schedule(start, end, 1.0) == end
    assert cosine_schedule(start, end, 0.5) == pytest.approx((start + end) / 2, abs=1e-9)


@given(start=ENDS, end=ENDS, progress=st.floats(0, 1), more=st.floats(0, 1))
def test_cosine_schedule_goes_one_way(start, end, progress, more):
    earlier = cosine_schedule(start, end, progress)
    later = cosine_schedule(start, end, min(progress + more, 1.0))
    assert (later - earlier) * (end - start) >= -1e-9


@given(tau_0=st.floats(0, 1), k=st.integers(0, 1000))
def test_cosine_schedule_is_that_of_byol(tau_0, k):
    expected = 1 - (1 - tau_0) * (math.cos(math.pi * k / 1000) + 1) / 2
    assert cosine_schedule(tau_0, 1.0, k / 1000) == pytest.approx(expected, abs=1e-12)
