"""NT-Xent against lightly's, against a loop in NumPy, and against its own mathematics."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from lightly.loss import NTXentLoss

from sklearn_ssl.losses import nt_xent


def _embeddings(n, d, dtype=torch.float64, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(2, n, d, generator=generator, dtype=torch.float64).to(dtype)


def _nt_xent_loop(z_a, z_b, temperature):
    """Equation 1 of the paper, one pair at a time."""
    z = np.concatenate([z_a, z_b])
    n = len(z_a)

    def similarity(i, k):
        return z[i] @ z[k] / (np.linalg.norm(z[i]) * np.linalg.norm(z[k])) / temperature

    losses = []
    for i in range(2 * n):
        other_view = (i + n) % (2 * n)
        candidates = [math.exp(similarity(i, k)) for k in range(2 * n) if k != i]
        losses.append(math.log(sum(candidates)) - similarity(i, other_view))
    return np.mean(losses)


@pytest.mark.parametrize("temperature", [0.05, 0.2, 1.0])
@pytest.mark.parametrize("d", [1, 2, 16, 128])
@pytest.mark.parametrize("n", [1, 2, 7, 64])
def test_nt_xent_equals_lightly(n, d, temperature):
    z_a, z_b = _embeddings(n, d)
    expected = NTXentLoss(temperature)(z_a, z_b)
    torch.testing.assert_close(nt_xent(z_a, z_b, temperature), expected, rtol=1e-12, atol=1e-12)
    single = nt_xent(z_a.float(), z_b.float(), temperature)
    torch.testing.assert_close(single.double(), expected, rtol=1e-5, atol=1e-5)


@settings(deadline=None, max_examples=30)
@given(
    n=st.integers(1, 6),
    d=st.integers(1, 5),
    temperature=st.floats(0.1, 5),
    seed=st.integers(0, 2**31),
)
def test_nt_xent_equals_a_loop(n, d, temperature, seed):
    z_a, z_b = _embeddings(n, d, seed=seed)
    expected = _nt_xent_loop(z_a.numpy(), z_b.numpy(), temperature)
    assert nt_xent(z_a, z_b, temperature).item() == pytest.approx(expected, rel=1e-10, abs=1e-10)


@pytest.mark.parametrize("temperature", [0.1, 1.0])
@pytest.mark.parametrize("n", [1, 2, 256])
def test_nt_xent_of_equal_embeddings(n, temperature):
    z = torch.ones(n, 8, dtype=torch.float64)
    assert nt_xent(z, z, temperature).item() == pytest.approx(math.log(2 * n - 1), abs=1e-12)


def test_nt_xent_of_one_row_is_zero():
    # The other view is the only candidate, however far away it is.
    assert nt_xent(torch.tensor([[1.0, 0.0]]), torch.tensor([[-1.0, 0.2]]), 0.1).item() == 0.0


@pytest.mark.parametrize("temperature", [0.1, 1.0])
def test_nt_xent_gradient(temperature):
    z_a, z_b = (z.requires_grad_() for z in _embeddings(3, 4))
    assert torch.autograd.gradcheck(lambda a, b: nt_xent(a, b, temperature), (z_a, z_b))


@settings(deadline=None, max_examples=20)
@given(scales=st.lists(st.floats(1e-3, 1e3), min_size=10, max_size=10))
def test_nt_xent_ignores_the_length_of_embeddings(scales):
    z_a, z_b = _embeddings(5, 3)
    scale_a, scale_b = torch.tensor(scales, dtype=torch.float64).reshape(2, 5, 1)
    torch.testing.assert_close(nt_xent(z_a * scale_a, z_b * scale_b, 0.2), nt_xent(z_a, z_b, 0.2))


def test_nt_xent_is_symmetric_in_views_and_rows():
    z_a, z_b = _embeddings(6, 3)
    expected = nt_xent(z_a, z_b, 0.2)
    torch.testing.assert_close(nt_xent(z_b, z_a, 0.2), expected)
    order = torch.tensor([3, 0, 5, 1, 4, 2])
    torch.testing.assert_close(nt_xent(z_a[order], z_b[order], 0.2), expected)


def test_nt_xent_leaves_its_input():
    z_a, z_b = _embeddings(4, 3)
    before = z_a.clone(), z_b.clone()
    nt_xent(z_a, z_b, 0.2)
    assert torch.equal(z_a, before[0])
    assert torch.equal(z_b, before[1])


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_nt_xent_of_half_precision_is_computed_in_float32(dtype):
    z_a, z_b = _embeddings(8, 16, dtype)
    loss = nt_xent(z_a, z_b, 0.1)
    assert loss.dtype == torch.float32
    torch.testing.assert_close(loss, nt_xent(z_a.float(), z_b.float(), 0.1))


def test_nt_xent_of_a_zero_embedding_is_finite():
    z = torch.zeros(3, 4, requires_grad=True)
    loss = nt_xent(z, z, 0.1)
    loss.backward()
    assert loss.item() == pytest.approx(math.log(5))
    assert torch.isfinite(z.grad).all()


def test_nt_xent_is_computed_in_float32_under_autocast():
    generator = torch.Generator().manual_seed(0)
    z_a, z_b = torch.randn(2, 32, 16, generator=generator)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        loss = nt_xent(z_a, z_b, 0.1)
    assert loss == nt_xent(z_a, z_b, 0.1)
