"""Encoder of tables."""

import pytest
import torch
from torch import nn

from sklearn_ssl.encoders.tabular import FeatureEmbedding, MLPEncoder


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


CARDINALITIES, MISSING = (0, 3, 0, 2, 0), (False, False, True, False, True)


def a_mixed_batch():
    rows = [[0.5, 1, 2.0, 2, torch.nan], [-1.0, 0, torch.nan, 1, 3.0], [0.0, 3, 1.0, 0, 0.0]]
    return torch.tensor(rows)


def test_embedding_of_numbers_and_of_what_is_missing():
    embedding = FeatureEmbedding(CARDINALITIES, MISSING, width=4)
    out = embedding(a_mixed_batch())
    assert out.shape == (3, embedding.output_dim) == (3, 3 + 2 + 2 * 4)
    expected = [[0.5, 2.0, 0.0, 0, 1], [-1.0, 0.0, 3.0, 1, 0], [0.0, 1.0, 0.0, 0, 0]]
    assert torch.equal(out[:, :5], torch.tensor(expected))


def test_embedding_of_categories():
    embedding = FeatureEmbedding(CARDINALITIES, MISSING, width=4)
    weight = embedding.vectors.weight
    first, second = embedding(a_mixed_batch())[:, 5:].split(4, dim=1)
    zero = torch.zeros(4)
    for got, row in zip(first, (weight[1], zero, weight[3])):
        assert torch.equal(got, row)
    for got, row in zip(second, (weight[5], weight[4], zero)):
        assert torch.equal(got, row)


def test_gradients_reach_known_categories_and_not_the_unknown_one():
    embedding = FeatureEmbedding(CARDINALITIES, MISSING, width=4)
    embedding(a_mixed_batch()).sum().backward()
    gradient = embedding.vectors.weight.grad.abs().sum(dim=1)
    assert (gradient > 0).tolist() == [False, True, False, True, True, True]


def test_a_category_varies_as_much_as_a_number():
    torch.manual_seed(0)
    weight = FeatureEmbedding((2000,), (False,)).vectors.weight.detach()[1:]
    assert weight.var(dim=0).sum() == pytest.approx(1, abs=0.1)
