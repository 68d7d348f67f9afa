"""Projection and prediction heads."""

from itertools import pairwise

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from sklearn_ssl.heads import mlp_head


@settings(deadline=None, max_examples=25)
@given(dims=st.lists(st.integers(1, 9), min_size=2, max_size=5), last_batch_norm=st.booleans())
def test_mlp_head_layers(dims, last_batch_norm):
    head = mlp_head(dims, last_batch_norm=last_batch_norm)
    expected = [nn.Linear, nn.BatchNorm1d, nn.ReLU] * (len(dims) - 2) + [nn.Linear]
    expected += [nn.BatchNorm1d] * last_batch_norm
    assert [type(layer) for layer in head] == expected

    linear = [layer for layer in head if isinstance(layer, nn.Linear)]
    assert [(layer.in_features, layer.out_features) for layer in linear] == list(pairwise(dims))
    # A bias in front of a batch normalisation would be taken away again.
    has_bias = [layer.bias is not None for layer in linear]
    assert has_bias == [False] * (len(dims) - 2) + [not last_batch_norm]
    assert head(torch.randn(3, dims[0])).shape == (3, dims[-1])


def test_mlp_head_last_batch_norm_standardises_the_output():
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
