"""Parts of a transformer: blocks, their initialization, and fixed positions."""

import math

import torch
from torch import nn
from torch.nn import functional as F

LONGEST_PLAIN = 256  # tokens in a row up to which the attention matrix is held in memory


class Attention(nn.Module):
    """Multi-head self-attention.

    Parameters
    ----------
    width : int
        Width of the tokens, a multiple of `n_heads`.
    n_heads : int
    """

    def __init__(self, width, n_heads):
        super().__init__()
        self.n_heads = n_heads
        self.qkv = nn.Linear(width, 3 * width)
        self.projection = nn.Linear(width, width)

    def forward(self, x):
        return self.attend(self.qkv(x))

    def attend(self, qkv, first=0):
        """Return the result of attention to all tokens, for the tokens from `first` on.

        Parameters
        ----------
        qkv : torch.Tensor of shape (n, length, 3 * width)
            Queries, keys and values of the tokens, from the layer `qkv`.
        first : int, default=0
        """
        q, k, v = self._heads(qkv)
        x = dot_product_attention(q[:, :, first:], k, v)
        return self.projection(x.transpose(1, 2).flatten(2))  # [n, length - first, width]

    def weights(self, x):
        """Return how much each token attends to each: ``(n, n_heads, length, length)``.

        The last axis sums to 1. :meth:`forward` does not compute these weights explicitly.
        """
        q, k, _ = self._heads(self.qkv(x))
        return (q @ k.transpose(2, 3) / math.sqrt(q.shape[3])).softmax(dim=3)

    def _heads(self, qkv):
        parts = qkv.unflatten(2, (3, self.n_heads, -1))
        return parts.permute(2, 0, 3, 1, 4).unbind()  # q, k, v: [n, heads, length, width / heads]


def dot_product_attention(q, k, v, mask=None, is_causal=False):
    """Scaled dot-product attention, ``softmax(q k^T / sqrt(width)) v``.

    Uses torch's function, except for short rows in bfloat16 on a CPU: there its fused kernel,
    forward and backward, takes two to nine times as long as the plain formula.

    Parameters
    ----------
    q, k, v : torch.Tensor of shape (n, heads, length, width)
    mask : torch.Tensor of bool or None
        True where a query may attend to a key; broadcast to ``(n, heads, length, length)``.
    is_causal : bool, default=False
        Whether a query only attends to keys up to its own position; `mask` must then be None.
    """
    length = k.shape[2]
    if q.dtype != torch.bfloat16 or q.device.type != "cpu" or length > LONGEST_PLAIN:
        return F.scaled_dot_product_attention(q, k, v, mask, is_causal=is_causal)
    scores = (q * q.shape[3] ** -0.5) @ k.transpose(2, 3)
    if is_causal:
        mask = torch.ones(length, length, dtype=torch.bool, device=q.device).tril()
    if mask is not None:
        scores = scores.masked_fill(~mask, -torch.inf)
    return scores.softmax(dim=3) @ v


class Block(nn.Module):
    """Self-attention and a perceptron, each after a normalization and with a shortcut.

    The perceptron's hidden layer has four times the width of the tokens.

    Parameters
    ----------
    width : int
        Width of the tokens, a multiple of `n_heads`.
    n_heads : int
    """

    def __init__(self, width, n_heads):
        super().__init__()
        self.norm1 = nn.LayerNorm(width)
        self.attention = Attention(width, n_heads)
        self.norm2 = nn.LayerNorm(width)
        self.mlp = nn.Sequential(
            nn.Linear(width, 4 * width), nn.GELU(), nn.Linear(4 * width, width)
        )

    def forward(self, x):
        return self.attend(x, self.project(x))

    def project(self, x):
        """Return queries, keys and values of tokens: ``(..., 3 * width)``."""
        return self.attention.qkv(self.norm1(x))

    def attend(self, x, qkv, first=0):
        """Return the tokens from `first` on, which have attended to all.

        Parameters
        ----------
        x : torch.Tensor of shape (n, length - first, width)
            Those tokens.
        qkv : torch.Tensor of shape (n, length, 3 * width)
            The output of :meth:`project` for all tokens.
        first : int, default=0
            In the last block, tokens that are not needed can be skipped.
        """
        x = x + self.attention.attend(qkv, first)
        return x + self.mlp(self.norm2(x))


def initialize(module):
    """Set Xavier-uniform weights and zero biases in every linear layer of a module, as in MAE [1]_.

    References
    ----------
    .. [1] K. He et al., "Masked Autoencoders Are Scalable Vision Learners", CVPR 2022,
       https://arxiv.org/abs/2111.06377
    """
    for layer in module.modules():
        if isinstance(layer, nn.Linear):
            nn.init.xavier_uniform_(layer.weight)
            nn.init.zeros_(layer.bias)


def sincos_positions(grid, reference_grid, width, device=None):
    """Return sine and cosine position embeddings of the cells of a grid, row by row.

    Each axis has its share of the width, half sines and half cosines, with frequencies from 1 down
    to 1/10,000; in an image the columns come first, as in MAE. A grid of another size is stretched
    over the reference grid.

    Parameters
    ----------
    grid, reference_grid : tuple of int
        ``(rows, columns)`` or ``(length,)`` of the given data, and of the data that positions are
        defined for.
    width : int
        A multiple of twice the number of axes.
    device : torch.device, default=None

    Returns
    -------
    positions : torch.Tensor of shape (rows * columns, width) or (length, width)
        In float32.
    """
    n_frequencies = width // (2 * len(grid))
    frequencies = 10_000.0 ** -(torch.arange(n_frequencies, device=device) / n_frequencies)

    def along(axis):
        cells = torch.arange(grid[axis], device=device)
        # The middles of the cells, as in interpolation; equal grids give 0, 1, 2, ...
        place = (cells + 0.5) * reference_grid[axis] / grid[axis] - 0.5
        angles = place[:, None] * frequencies  # [cells, n_frequencies]
        return torch.cat([angles.sin(), angles.cos()], dim=1)

    if len(grid) == 1:
        return along(0)
    n_rows, n_columns = grid
    of_rows, of_columns = along(0), along(1)
    return torch.cat([of_columns.repeat(n_rows, 1), of_rows.repeat_interleave(n_columns, 0)], dim=1)
