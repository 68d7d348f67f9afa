"""The loss over a vocabulary is torch's own, and never holds the logits of all tokens."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn import functional as F

from sklearn_ssl import vocabulary_loss
from sklearn_ssl.vocabulary_loss import head_cross_entropy, linear_cross_entropy

with_and_without_bias = pytest.mark.parametrize("with_bias", [True, False])


@pytest.fixture(autouse=True)
def _in_small_pieces(monkeypatch):
    """Let the number of logits alone say how many rows are computed at once."""
    monkeypatch.setattr(vocabulary_loss, "FEWEST_ROWS", 1)


def problem(n, width, vocabulary_size, with_bias=True, dtype=torch.float64, seed=0):
    """Return states, weights, targets and a bias, of logits that are about 2 apart."""
    generator = torch.Generator().manual_seed(seed)

    def normal(*shape):
        return torch.randn(shape, generator=generator, dtype=torch.float64).to(dtype)

    h = (2 * normal(n, width) / math.sqrt(width)).requires_grad_()
    weight = normal(vocabulary_size, width).requires_grad_()
    target = torch.randint(vocabulary_size, (n,), generator=generator)
    bias = normal(vocabulary_size).requires_grad_() if with_bias else None
    return h, weight, target, bias


@with_and_without_bias
def test_without_states_the_loss_is_0_and_so_are_gradients(with_bias):
    h, weight, target, bias = problem(0, 4, 9, with_bias)
    for loss in (
        linear_cross_entropy(h, weight, target, bias),
        head_cross_entropy(lambda h: F.linear(h, weight, bias), h, target),
    ):
        for value in with_gradients(loss, h, weight, bias):
            assert torch.equal(value, torch.zeros_like(value))


def with_gradients(loss, h, weight, bias):
    inputs = [x for x in (h, weight, bias) if x is not None]
    return [loss, *torch.autograd.grad(loss, inputs)]


def expected(h, weight, target, bias):
    return F.cross_entropy(F.linear(h, weight, bias), target)


def assert_equal_to_torch(h, weight, target, bias, tolerance):
    ours = with_gradients(linear_cross_entropy(h, weight, target, bias), h, weight, bias)
    theirs = with_gradients(expected(h, weight, target, bias), h, weight, bias)
    for our, their in zip(ours, theirs, strict=True):
        assert our.dtype == their.dtype
        torch.testing.assert_close(our, their, atol=tolerance, rtol=tolerance)


@with_and_without_bias
@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float64, 1e-10), (torch.float32, 1e-5)])
@pytest.mark.parametrize("n", [1, 999, 1000, 2001])
def test_value_and_gradients_are_those_of_torch(n, dtype, tolerance, with_bias, monkeypatch):
    monkeypatch.setattr(vocabulary_loss, "LOGITS_AT_ONCE", 1000 * 37)
    assert_equal_to_torch(*problem(n, 16, 37, with_bias, dtype), tolerance)


@settings(deadline=None, max_examples=50)
@given(
    n=st.integers(1, 40),
    width=st.integers(1, 9),
    vocabulary_size=st.integers(1, 50),
    at_once=st.integers(1, 500),
    with_bias=st.booleans(),
    seed=st.integers(0, 2**31),
)
def test_of_any_size_and_in_any_pieces(n, width, vocabulary_size, at_once, with_bias, seed):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(vocabulary_loss, "LOGITS_AT_ONCE", at_once)
        assert_equal_to_torch(*problem(n, width, vocabulary_size, with_bias, seed=seed), 1e-10)


@with_and_without_bias
def test_gradients_are_those_of_finite_differences(with_bias, monkeypatch):
    monkeypatch.setattr(vocabulary_loss, "LOGITS_AT_ONCE", 3 * 11)
    h, weight, target, bias = problem(7, 4, 11, with_bias)
    inputs = (h, weight) if bias is None else (h, weight, bias)
    assert torch.autograd.gradcheck(
        lambda h, weight, bias=None: linear_cross_entropy(h, weight, target, bias), inputs
    )


@with_and_without_bias
@pytest.mark.parametrize("at_once", [1, 300, 10**6])
def test_several_targets_with_shares_are_probabilities_for_torch(at_once, with_bias, monkeypatch):
    monkeypatch.setattr(vocabulary_loss, "LOGITS_AT_ONCE", at_once)
    h, weight, _, bias = problem(40, 8, 37, with_bias)
    generator = torch.Generator().manual_seed(1)
    target = torch.rand(40, 37, generator=generator).topk(6, dim=1).indices
    share = torch.rand(40, 6, generator=generator, dtype=torch.float64)
    share[:, 3:] *= torch.rand(40, 3, generator=generator) < 0.5
    share /= share.sum(dim=1, keepdim=True)
    share[5] = 0  # nothing is asked of this state
    probabilities = torch.zeros(40, 37, dtype=torch.float64).scatter(1, target, share)
    ours = linear_cross_entropy(h, weight, target, bias, share)
    theirs = F.cross_entropy(F.linear(h, weight, bias), probabilities)
    for our, their in zip(*(with_gradients(loss, h, weight, bias) for loss in (ours, theirs))):
        torch.testing.assert_close(our, their)


@pytest.mark.parametrize("trained", [0, 1, 2])
def test_one_input_alone_may_be_trained(trained):
    h, weight, target, bias = problem(9, 4, 11)
    of_torch = with_gradients(expected(h, weight, target, bias), h, weight, bias)[1 + trained]
    inputs = [h, weight, bias]
    for i, x in enumerate(inputs):
        x.requires_grad_(i == trained)
    linear_cross_entropy(h, weight, target, bias).backward()
    torch.testing.assert_close(inputs[trained].grad, of_torch)
    assert all(x.grad is None for i, x in enumerate(inputs) if i != trained)


def test_inputs_need_not_be_contiguous(monkeypatch):
    monkeypatch.setattr(vocabulary_loss, "LOGITS_AT_ONCE", 5 * 11)
    h, weight, target, bias = (x.detach()[::2] for x in problem(26, 8, 22))
    target = target % 11
    target = torch.stack([target, target], dim=1)[:, 0]
    h, weight, bias = h.requires_grad_(), weight.requires_grad_(), bias.requires_grad_()
    assert not any(x.is_contiguous() for x in (h, weight, target, bias))
    assert_equal_to_torch(h, weight, target, bias, 1e-10)


def test_gradients_are_scaled_by_what_comes_from_above():
    h, weight, target, bias = problem(9, 4, 11)
    of_loss = with_gradients(linear_cross_entropy(h, weight, target, bias), h, weight, bias)
    scaled = -2.5 * linear_cross_entropy(h, weight, target, bias)
    for gradient, once in zip(with_gradients(scaled, h, weight, bias)[1:], of_loss[1:]):
        torch.testing.assert_close(gradient, -2.5 * once)


def test_inputs_stay_as_they_are_and_a_loss_can_be_differentiated_twice_over():
    h, weight, target, bias = problem(9, 4, 11)
    before = [x.clone() for x in (h, weight, target, bias)]
    loss = linear_cross_entropy(h, weight, target, bias)
    first = torch.autograd.grad(loss, [h, weight, bias], retain_graph=True)
    second = torch.autograd.grad(loss, [h, weight, bias])
    assert all(map(torch.equal, first, second))
    assert all(map(torch.equal, before, (h, weight, target, bias)))


def test_a_gradient_of_a_gradient_is_refused():
    """Its gradients are made in the forward pass: those of them would be wrong, silently."""
    h, weight, target, bias = problem(9, 4, 11)
    loss = linear_cross_entropy(h, weight, target, bias)
    (gradient,) = torch.autograd.grad(loss.square(), h, create_graph=True)
    with pytest.raises(RuntimeError, match="once_differentiable"):
        gradient.sum().backward()


@pytest.mark.parametrize("context", [torch.no_grad, torch.inference_mode])
def test_without_gradients_none_is_computed(context, monkeypatch):
    h, weight, target, bias = problem(9, 4, 11)
    exponentials = []
    exp_ = torch.Tensor.exp_
    monkeypatch.setattr(torch.Tensor, "exp_", lambda x: exponentials.append(x) or exp_(x))
    with context():
        loss = linear_cross_entropy(h, weight, target, bias)
    assert exponentials == []
    assert not loss.requires_grad
    torch.testing.assert_close(loss, expected(h, weight, target, bias).detach())
    linear_cross_entropy(h, weight, target, bias).backward()
    assert len(exponentials) == 1  # where the gradients begin


@with_and_without_bias
def test_under_autocast_products_are_rounded_and_nothing_else(with_bias, monkeypatch):
    monkeypatch.setattr(vocabulary_loss, "LOGITS_AT_ONCE", 100 * 300)
    h, weight, target, bias = problem(700, 64, 300, with_bias, torch.float32)
    exact = with_gradients(expected(h, weight, target, bias), h, weight, bias)
    with torch.autocast("cpu", torch.bfloat16):
        loss = linear_cross_entropy(h, weight, target, bias)
    rounded = with_gradients(loss, h, weight, bias)
    assert [x.dtype for x in rounded] == [torch.float32] * len(rounded)
    assert loss.item() == pytest.approx(exact[0].item(), rel=2e-3)
    for ours, theirs in zip(rounded[1:], exact[1:], strict=True):
        # A number in bfloat16 is off by 0.4 % at most.
        assert 1e-5 < (ours - theirs).norm() / theirs.norm() < 0.02


def test_states_in_bfloat16_have_a_gradient_in_bfloat16():
    """As they come out of a layer under autocast, while the weights are in float32."""
    h, weight, target, bias = problem(50, 16, 30, dtype=torch.float32)
    h = h.detach().bfloat16().requires_grad_()
    with torch.autocast("cpu", torch.bfloat16):
        loss = linear_cross_entropy(h, weight, target, bias)
    _, d_h, d_weight, d_bias = with_gradients(loss, h, weight, bias)
    assert (loss.dtype, d_h.dtype) == (torch.float32, torch.bfloat16)
    assert d_weight.dtype == d_bias.dtype == torch.float32
    theirs = with_gradients(expected(h.float(), weight, target, bias), h, weight, bias)
    torch.testing.assert_close(d_h, theirs[1], atol=1e-3, rtol=0.05)


def test_float64_is_not_rounded_by_autocast():
    h, weight, target, bias = problem(50, 16, 30)
    with torch.autocast("cpu", torch.bfloat16):
        assert_equal_to_torch(h, weight, target, bias, 1e-10)


def test_logits_of_all_tokens_are_never_held(monkeypatch):
    seen = []

    def spy(function):
        def spying(*args, **kwargs):
            output = function(*args, **kwargs)
            seen.append(output.shape)
            return output

        return spying

    monkeypatch.setattr(vocabulary_loss, "LOGITS_AT_ONCE", 40 * 100)
    monkeypatch.setattr(torch, "log_softmax", spy(torch.log_softmax))
    monkeypatch.setattr(F, "linear", spy(F.linear))
    h, weight, target, bias = problem(100, 8, 100)
    linear_cross_entropy(h, weight, target, bias).backward()
    rows = [40, 40, 20]
    assert sorted(seen) == sorted(2 * [torch.Size([n, 100]) for n in rows])


def test_by_default_a_few_megabytes_are_held():
    assert vocabulary_loss.LOGITS_AT_ONCE * 4 <= 8e6
    h, weight, target, _ = problem(3, 2, vocabulary_loss.LOGITS_AT_ONCE + 1, dtype=torch.float32)
    loss = linear_cross_entropy(h, weight, target)  # one token at a time
    torch.testing.assert_close(loss, expected(h, weight, target, None))


def test_guessing_costs_the_logarithm_of_the_vocabulary():
    h, weight = torch.zeros(5, 8), torch.randn(1000, 8)
    loss = linear_cross_entropy(h, weight, torch.arange(5))
    assert loss.item() == pytest.approx(math.log(1000), rel=1e-6)


def test_large_logits_do_not_overflow():
    h, weight, target, bias = problem(20, 8, 30, dtype=torch.float32)
    h = (h * 1e4).detach().requires_grad_()
    loss = linear_cross_entropy(h, weight, target, bias)
    gradients = with_gradients(loss, h, weight, bias)[1:]
    torch.testing.assert_close(loss, expected(h, weight, target, bias))
    assert all(gradient.isfinite().all() for gradient in gradients)


@pytest.mark.parametrize("n", [1, 255, 600])
def test_any_head_in_parts(n):
    generator = torch.Generator().manual_seed(0)
    h = torch.randn(n, 8, generator=generator, requires_grad=True)
    head = torch.nn.Sequential(torch.nn.Linear(8, 30), torch.nn.Tanh())
    target = torch.randint(30, (n,), generator=generator)
    parameters = [h, *head.parameters()]
    whole = torch.nn.functional.cross_entropy(head(h), target)
    parts = head_cross_entropy(head, h, target)
    torch.testing.assert_close(parts, whole)
    expected = torch.autograd.grad(whole, parameters)
    torch.testing.assert_close(torch.autograd.grad(parts, parameters), expected)
