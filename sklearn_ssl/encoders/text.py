"""A small transformer over the tokens of texts, bidirectional or causal."""

import math

import torch
from torch import nn

from sklearn_ssl.encoders._transformer import Attention, dot_product_attention

POOLINGS = ("mean", "last", "cls")
ROTARY_BASE = 10_000.0  # longest wavelength of rotary positions, in tokens over 2 pi


class TextEncoder(nn.Module):
    """Transformer over token ids: BERT's architecture, or GPT's.

    A batch holds the ids of tokens, padded with negative numbers at the end of each row. Padding is
    neither attended to nor pooled.

    Parameters
    ----------
    vocabulary_size : int
    max_length : int
        Maximum number of tokens in a row.
    width : int, default=128
        Width of the states, a multiple of `n_heads`.
    depth : int, default=4
        Number of blocks.
    n_heads : int, default=4
        Attention heads in each block.
    causal : bool, default=False
        Whether a token sees only itself and the tokens before it, as in GPT [2]_, or all tokens, as
        in BERT [1]_.
    pooling : {"mean", "last", "cls"}, default="mean"
        How the states of a row become its representation: their mean, or the state of its last or
        first token.
    norm_first : bool, default=True
        Whether normalizations come before attentions and perceptrons (GPT-2) or after the shortcuts
        around them (BERT).
    positions : {"rotary", "learned"}, default="rotary"
        How positions are encoded: queries and keys are rotated by angles that grow along the row
        [3]_, or a learned vector for each position is added.
    dropout : float, default=0.0
        Fraction of the embeddings, and of the outputs of attentions and perceptrons, that a
        training step drops.

    Attributes
    ----------
    output_dim : int
        Width of the representation.

    References
    ----------
    .. [1] J. Devlin et al., "BERT: Pre-training of Deep Bidirectional Transformers for Language
       Understanding", NAACL 2019, https://arxiv.org/abs/1810.04805
    .. [2] A. Radford et al., "Language Models are Unsupervised Multitask Learners", 2019
    .. [3] J. Su et al., "RoFormer: Enhanced Transformer with Rotary Position Embedding", 2021,
       https://arxiv.org/abs/2104.09864

    Examples
    --------
    >>> import torch
    >>> from sklearn_ssl.encoders import TextEncoder
    >>> ids = torch.tensor([[1, 2, 3], [4, 5, -1]])
    >>> TextEncoder(vocabulary_size=10, max_length=8, width=16)(ids).shape
    torch.Size([2, 16])
    """

    def __init__(
        self,
        vocabulary_size,
        max_length,
        *,
        width=128,
        depth=4,
        n_heads=4,
        causal=False,
        pooling="mean",
        norm_first=True,
        positions="rotary",
        dropout=0.0,
    ):
        super().__init__()
        self.max_length = max_length
        self.pooling = pooling
        self.output_dim = width
        self.embedding = nn.Embedding(vocabulary_size, width)
        self.rotary = positions == "rotary"
        if self.rotary:
            self.register_buffer(
                "turns", rotary_turns(max_length, width // n_heads), persistent=False
            )
        else:
            self.positions = nn.Embedding(max_length, width)
        self.first_norm = nn.Identity() if norm_first else nn.LayerNorm(width)
        self.dropout = nn.Dropout(dropout)
        self.blocks = nn.ModuleList(
            TextBlock(width, n_heads, causal, norm_first, dropout) for _ in range(depth)
        )
        self.last_norm = nn.LayerNorm(width) if norm_first else nn.Identity()
        initialize(self)

    def forward(self, ids):
        return pool(self.states(ids), ids, self.pooling)

    def states(self, ids, cache=None):
        """Return the state of each token, of shape ``(n, length, width)``.

        Parameters
        ----------
        ids : torch.Tensor of shape (n, length) of int64
            Negative after the end of a row.
        cache : KeyValueCache or None
            For a causal encoder: keys and values of the earlier tokens, to which these are added.
            After the first call, which fills it, a row has one token per call.
        """
        start = 0 if cache is None else cache.length
        stop = start + ids.shape[1]
        x = self.embedding(ids.clamp(min=0))
        if self.rotary:
            turns = self.turns[start:stop].to(x.dtype)
        else:
            turns = None
            x = x + self.positions.weight[start:stop]
        x = self.dropout(self.first_norm(x))
        real = ids >= 0
        mask = real[:, None, None] if is_padded(real) else None  # [n, 1, 1, length]: of the keys
        for i, block in enumerate(self.blocks):
            x = block(x, turns, mask, None if cache is None else cache.layer(i))
        return self.last_norm(x)

    def new_cache(self):
        """Return an empty cache for :meth:`states`."""
        return KeyValueCache(len(self.blocks))


def is_padded(real):
    """Return whether padding has to be masked: always where a network is exported for any rows."""
    return torch.compiler.is_exporting() or not real.all()


def pool(states, ids, pooling):
    """Return one vector for each row, from the states of its tokens: ``(n, width)``."""
    real = ids >= 0
    if pooling == "mean":
        total = (states * real[:, :, None]).sum(dim=1)
        return total / real.sum(dim=1, keepdim=True)
    place = real.sum(dim=1) - 1 if pooling == "last" else torch.zeros_like(ids[:, 0])
    return states[torch.arange(ids.shape[0], device=ids.device), place]


def initialize(network):
    """Initialize like GPT-2: small weights, even smaller where one of the blocks adds to states."""
    for module in network.modules():
        if isinstance(module, nn.Linear | nn.Embedding):
            nn.init.normal_(module.weight, std=0.02)
        if isinstance(module, nn.Linear):
            nn.init.zeros_(module.bias)
    for block in network.blocks:
        for layer in (block.attention.projection, block.mlp[2]):
            nn.init.normal_(layer.weight, std=0.02 / math.sqrt(2 * len(network.blocks)))


class TextBlock(nn.Module):
    """Self-attention and a perceptron, each with a normalization, dropout and a shortcut."""

    def __init__(self, width, n_heads, causal, norm_first, dropout):
        super().__init__()
        self.norm_first = norm_first
        self.norm1 = nn.LayerNorm(width)
        self.attention = TextAttention(width, n_heads, causal)
        self.norm2 = nn.LayerNorm(width)
        self.mlp = nn.Sequential(
            nn.Linear(width, 4 * width), nn.GELU(), nn.Linear(4 * width, width)
        )
        self.dropout = nn.Dropout(dropout)

    def forward(self, x, turns, mask, past):
        if self.norm_first:
            x = x + self.dropout(self.attention(self.norm1(x), turns, mask, past))
            return x + self.dropout(self.mlp(self.norm2(x)))
        x = self.norm1(x + self.dropout(self.attention(x, turns, mask, past)))
        return self.norm2(x + self.dropout(self.mlp(x)))


class TextAttention(Attention):
    """Self-attention that can be causal, with rotary positions and a cache."""

    def __init__(self, width, n_heads, causal):
        super().__init__(width, n_heads)
        self.causal = causal

    def forward(self, x, turns, mask, past):
        q, k, v = self._heads(self.qkv(x))  # [n, heads, length, width / heads]
        if turns is not None:
            q, k = turned(q, turns), turned(k, turns)
        if past is not None:
            k, v = past.add(k, v)
        # Padding is at the end of rows, so a causal token never sees it.
        one_more = self.causal and q.shape[2] == 1
        mask = None if self.causal else mask
        x = dot_product_attention(q, k, v, mask, is_causal=self.causal and not one_more)
        return self.projection(x.transpose(1, 2).flatten(2))  # [n, length, width]


class KeyValueCache:
    """Keys and values of the tokens that a causal encoder has read."""

    def __init__(self, n_layers):
        self.layers = [LayerCache() for _ in range(n_layers)]

    @property
    def length(self):
        keys = self.layers[0].keys
        return 0 if keys is None else keys.shape[2]

    def layer(self, i):
        return self.layers[i]


class LayerCache:
    """The part of one block."""

    keys = values = None

    def add(self, k, v):
        if self.keys is not None:
            k, v = torch.cat([self.keys, k], dim=2), torch.cat([self.values, v], dim=2)
        self.keys, self.values = k, v
        return k, v


def rotary_turns(length, head_width):
    """Return cosines and sines of rotary positions: ``(length, 2, head_width / 2)``."""
    frequencies = ROTARY_BASE ** -(torch.arange(0, head_width, 2) / head_width)
    angles = torch.arange(length)[:, None] * frequencies
    return torch.stack([angles.cos(), angles.sin()], dim=1)


def turned(x, turns):
    """Rotate queries or keys ``(n, heads, length, width)`` by the angles of their positions."""
    cos, sin = turns.to(x.dtype).unbind(dim=1)  # [length, width / 2] each
    a, b = x.chunk(2, dim=3)
    return torch.cat([a * cos - b * sin, a * sin + b * cos], dim=3)
