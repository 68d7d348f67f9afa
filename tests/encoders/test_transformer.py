"""The parts of a transformer, against torch's own and against formulas written out."""

import math

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional as F

from sklearn_ssl.encoders._transformer import Block, initialize, sincos_positions


@pytest.fixture(autouse=True)
def _seeded():
    torch.manual_seed(0)


def _block(width, n_heads):
    """A block in float64 whose biases and normalizations are not at their start."""
    block = Block(width, n_heads).double()
    for parameter in block.parameters():
        nn.init.normal_(parameter, std=0.3)
    return block


SIZES = pytest.mark.parametrize(
    ("width", "n_heads", "length"), [(8, 1, 5), (8, 4, 3), (12, 3, 17), (64, 4, 1)]
)


@SIZES
def test_block_is_torchs_layer_with_the_norm_first(width, n_heads, length):
    ours = _block(width, n_heads)
    theirs = nn.TransformerEncoderLayer(
        width, n_heads, 4 * width, dropout=0, activation="gelu", batch_first=True, norm_first=True
    ).double()
    pairs = {
        theirs.self_attn.in_proj_weight: ours.attention.qkv.weight,
        theirs.self_attn.in_proj_bias: ours.attention.qkv.bias,
        theirs.self_attn.out_proj.weight: ours.attention.projection.weight,
        theirs.self_attn.out_proj.bias: ours.attention.projection.bias,
        theirs.linear1.weight: ours.mlp[0].weight,
        theirs.linear1.bias: ours.mlp[0].bias,
        theirs.linear2.weight: ours.mlp[2].weight,
        theirs.linear2.bias: ours.mlp[2].bias,
        theirs.norm1.weight: ours.norm1.weight,
        theirs.norm1.bias: ours.norm1.bias,
        theirs.norm2.weight: ours.norm2.weight,
        theirs.norm2.bias: ours.norm2.bias,
    }
    assert len(pairs) == len(list(ours.parameters()))
    with torch.no_grad():
        for theirs_parameter, ours_parameter in pairs.items():
            theirs_parameter.copy_(ours_parameter)
    x = torch.randn(3, length, width, dtype=torch.float64)
    torch.testing.assert_close(ours(x), theirs(x))


@SIZES
def test_attention_weights_are_the_softmax_of_scaled_products(width, n_heads, length):
    attention = _block(width, n_heads).attention
    x = torch.randn(2, length, width, dtype=torch.float64)
    weights = attention.weights(x)
    assert weights.shape == (2, n_heads, length, length)
    q, k, v = attention.qkv(x).chunk(3, dim=2)
    d = width // n_heads
    outputs = torch.empty_like(x)
    for row in range(2):
        for head in range(n_heads):
            of_head = slice(head * d, (head + 1) * d)
            for i in range(length):
                logits = [q[row, i, of_head] @ k[row, j, of_head] for j in range(length)]
                expected = F.softmax(torch.stack(logits) / math.sqrt(d), dim=0)
                torch.testing.assert_close(weights[row, head, i], expected)
                outputs[row, i, of_head] = expected @ v[row, :, of_head]
    torch.testing.assert_close(attention(x), attention.projection(outputs))


@SIZES
@pytest.mark.parametrize("first", [1, 2])
def test_tokens_that_nobody_asks_for_need_not_be_computed(width, n_heads, length, first):
    block = _block(width, n_heads)
    x = torch.randn(3, length + 2, width, dtype=torch.float64)
    expected = block(x)[:, first:]
    torch.testing.assert_close(block.attend(x[:, first:], block.project(x), first), expected)


def test_block_knows_no_order():
    block = _block(8, 2)
    x = torch.randn(2, 6, 8, dtype=torch.float64)
    order = torch.randperm(6)
    torch.testing.assert_close(block(x[:, order]), block(x)[:, order])


def test_gradients_reach_every_parameter():
    block = Block(8, 2)
    block(torch.randn(2, 5, 8)).square().sum().backward()
    assert all(parameter.grad.abs().sum() > 0 for parameter in block.parameters())


def test_initialize_linear_layers_and_no_others():
    block = _block(64, 4).float()
    norm = block.norm1.weight.clone()
    initialize(block)
    assert torch.equal(block.norm1.weight, norm)
    for layer in (block.attention.qkv, block.attention.projection, block.mlp[0], block.mlp[2]):
        assert not layer.bias.any()
        bound = math.sqrt(6 / sum(layer.weight.shape))
        assert 0.99 * bound < layer.weight.abs().max() <= bound
        torch.testing.assert_close(
            layer.weight.std().item(), bound / math.sqrt(3), rtol=0.05, atol=0
        )


# Positions --------------------------------------------------------------------------------------


def _reference(rows, columns, width):
    """MAE's table, value by value, at rows and columns that need not be integers."""
    quarter = width // 4
    table = np.empty((len(rows) * len(columns), width))
    for i, row in enumerate(rows):
        for j, column in enumerate(columns):
            for f in range(quarter):
                omega = 1 / 10_000 ** (f / quarter)
                table[i * len(columns) + j, f] = np.sin(column * omega)
                table[i * len(columns) + j, quarter + f] = np.cos(column * omega)
                table[i * len(columns) + j, 2 * quarter + f] = np.sin(row * omega)
                table[i * len(columns) + j, 3 * quarter + f] = np.cos(row * omega)
    return table


@pytest.mark.parametrize("width", [4, 8, 64])
@pytest.mark.parametrize("grid", [(1, 1), (7, 7), (14, 14), (3, 5), (9, 2)])
def test_positions_of_the_native_grid_are_maes(grid, width):
    positions = sincos_positions(grid, grid, width)
    assert positions.dtype == torch.float32
    expected = _reference(range(grid[0]), range(grid[1]), width)
    np.testing.assert_allclose(positions, expected, atol=2e-6)


@pytest.mark.parametrize("grid", [(4, 4), (7, 3), (1, 2), (14, 20)])
def test_positions_of_another_grid_are_where_interpolation_puts_them(grid):
    reference_grid = (7, 8)

    def places(axis):
        # A grid of half as many cells or more: interpolation of a ramp keeps its ends, we go on.
        length, n = reference_grid[axis], grid[axis]
        ramp = torch.arange(-length, 2 * length, dtype=torch.float64)[None, None]
        return F.interpolate(ramp, 3 * n, mode="linear", align_corners=False)[0, 0, n : 2 * n]

    expected = _reference(places(0).tolist(), places(1).tolist(), 16)
    np.testing.assert_allclose(sincos_positions(grid, reference_grid, 16), expected, atol=2e-6)
