"""Encoder of tables."""

import pytest
import torch
from torch import nn

from sklearn_ssl.encoders.tabular import MLPEncoder


@pytest.fixture(autouse=True)
def _seeded():
    torch.manual_seed(0)


@pytest.mark.parametrize("n_features", [1, 2, 13, 300])
@pytest.mark.parametrize("depth", [1, 2, 5])
def test_mlp_encoder(n_features, depth):
    encoder = MLPEncoder((n_features,), width=16, depth=depth)
    output = encoder(torch.randn(50, n_features))
    assert output.shape == (50, 16)
    assert output.min() == 0, "it ends with a ReLU"
    assert (output.std(dim=0) > 0).any()
    assert sum(isinstance(layer, nn.Linear) for layer in encoder) == depth
    output.pow(3).sum().backward()
    assert all(parameter.grad.abs().sum() > 0 for parameter in encoder.parameters())


def test_mlp_encoder_does_not_mix_rows():
    encoder = MLPEncoder((5,)).eval()
    rows = torch.randn(8, 5)
    with torch.no_grad():
        alone = torch.cat([encoder(row[None]) for row in rows])
        torch.testing.assert_close(encoder(rows), alone, atol=1e-5, rtol=1e-4)
