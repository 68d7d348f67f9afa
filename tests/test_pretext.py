"""The contract of pretext tasks, and the moving average."""

import copy

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from sklearn_ssl.pretext import PretextTask, ema_update


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
