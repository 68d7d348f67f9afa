"""Projection and prediction heads."""

from itertools import pairwise

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from sklearn_ssl.heads import Prototypes, default_n_prototypes, mlp_head


@settings(deadline=None, max_examples=25)
@given(
    dims=st.lists(st.integers(1, 9), min_size=2, max_size=5),
    last_batch_norm=st.booleans(),
    last_bias=st.booleans(),
    activation=st.sampled_from([nn.ReLU, nn.GELU]),
)
def test_mlp_head_layers(dims, last_batch_norm, last_bias, activation):
    head = mlp_head(
        dims, last_batch_norm=last_batch_norm, last_bias=last_bias, activation=activation
    )
    expected = [nn.Linear, nn.BatchNorm1d, activation] * (len(dims) - 2) + [nn.Linear]
    expected += [nn.BatchNorm1d] * last_batch_norm
    assert [type(layer) for layer in head] == expected

    linear = [layer for layer in head if isinstance(layer, nn.Linear)]
    assert [(layer.in_features, layer.out_features) for layer in linear] == list(pairwise(dims))
    # A bias in front of a batch normalization would be taken away again.
    has_bias = [layer.bias is not None for layer in linear]
    assert has_bias == [False] * (len(dims) - 2) + [last_bias and not last_batch_norm]
    assert head(torch.randn(3, dims[0])).shape == (3, dims[-1])


def test_mlp_head_last_batch_norm_standardizes_the_output():
    torch.manual_seed(0)
    head = mlp_head((6, 5, 4), last_batch_norm=True)
    z = head(torch.randn(500, 6) * 10 + 3)
    torch.testing.assert_close(z.mean(0), torch.zeros(4), atol=1e-5, rtol=0)
    torch.testing.assert_close(z.std(0, correction=0), torch.ones(4), atol=1e-3, rtol=0)


@pytest.mark.parametrize("last_batch_norm", [False, True])
def test_mlp_head_trains_every_parameter(last_batch_norm):
    torch.manual_seed(0)
    head = mlp_head((6, 5, 4, 3), last_batch_norm=last_batch_norm)
    head(torch.randn(20, 6)).pow(3).sum().backward()
    assert all(parameter.grad.abs().sum() > 0 for parameter in head.parameters())


def test_mlp_head_needs_two_widths():
    with pytest.raises(ValueError, match="unpack"):
        mlp_head((8,))


# Prototypes


@settings(deadline=None, max_examples=25)
@given(n=st.integers(1, 9), dim=st.integers(1, 9), n_prototypes=st.integers(1, 9))
def test_prototypes_give_cosines(n, dim, n_prototypes):
    head = Prototypes(dim, n_prototypes)
    z = torch.randn(n, dim) * 10
    expected = torch.cosine_similarity(z[:, None], head.weight[None], dim=2)
    torch.testing.assert_close(head(z), expected, rtol=1e-5, atol=1e-5)


def test_prototypes_have_no_gain():
    # Only the directions of the weights and of the embeddings count.
    torch.manual_seed(0)
    head = Prototypes(5, 3)
    z = torch.randn(4, 5, requires_grad=True)
    before = head(z)
    before.square().sum().backward()
    along = [(tensor.grad * tensor).sum(dim=1).abs().max() for tensor in (z, head.weight)]
    assert max(along) < 1e-5
    assert head.weight.grad.norm() > 0.1
    with torch.no_grad():
        head.weight *= 7
    torch.testing.assert_close(head(100 * z), before)


def test_prototypes_are_drawn_apart():
    torch.manual_seed(0)
    weight = torch.nn.functional.normalize(Prototypes(64, 200).weight, dim=1)
    cosines = (weight @ weight.T).fill_diagonal_(0)
    assert cosines.std().item() == pytest.approx(64**-0.5, rel=0.05)


def test_prototypes_compute_in_full_precision():
    torch.manual_seed(0)
    head, z = Prototypes(64, 10), torch.randn(4, 64)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        scores, narrow = head(z), head(z.bfloat16())
    assert torch.equal(scores, head(z))
    assert torch.equal(narrow, head(z.bfloat16().float()))


@given(n_samples=st.integers(2, 10**8), more=st.integers(0, 10**6))
def test_prototypes_grow_with_the_rows(n_samples, more):
    number = default_n_prototypes(n_samples)
    assert isinstance(number, int)
    assert 2 <= number <= default_n_prototypes(n_samples + more)
    assert number <= max(n_samples, 64)
