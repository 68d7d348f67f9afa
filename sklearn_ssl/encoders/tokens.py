"""Token encoders: transformers that can be shown a part of each row.

:class:`TokenEncoder` is their base class; those for series and tables are here, the one for images
is in ``vit.py``.
"""

import math

import torch
from torch import nn
from torch.nn import functional as F

from sklearn_ssl.encoders._transformer import Block, initialize, sincos_positions

POOLINGS = ("cls_and_mean", "cls", "mean", "grid")


def gather_tokens(tokens, places):
    """Return the tokens at given places of each row.

    Parameters
    ----------
    tokens : torch.Tensor of shape (n, length, values)
    places : torch.Tensor of shape (n, k)
        Indices, of torch.int64.

    Returns
    -------
    chosen : torch.Tensor of shape (n, k, values)
    """
    return tokens.gather(1, places[:, :, None].expand(-1, -1, tokens.shape[2]))


class TokenEncoder(nn.Module):
    """Base class of transformers that cut a row into pieces, and turn each into a token.

    A token is a subclass's embedding of a piece, plus its position. A CLS token is added,
    transformer blocks let all tokens attend to each other, and pooling turns them into one vector.

    Parameters
    ----------
    shape : tuple of int
        Shape of one row of a batch.
    grid : tuple of int
        Number of pieces along each axis, for rows of the given shape.
    width : int
        Width of the tokens, a multiple of 4 and of `n_heads`.
    depth : int
        Number of blocks.
    n_heads : int
        Attention heads in each block.
    pooling : {"cls_and_mean", "cls", "mean", "grid"}
        What ``forward`` returns: the CLS token, the mean of the others, both next to each other, or
        the means of parts of the row next to each other, which preserve positions. There are
        `most_cells` parts along each axis, or as many as pieces if these are fewer.

    Attributes
    ----------
    most_cells : int
        4 for images and series: a grid of 4 by 4, and quarters of the time. 16 for tables.
    """

    most_cells = 4
    learned_positions = False

    def __init__(self, shape, grid, width, depth, n_heads, pooling):
        super().__init__()
        if width % 4 or width % n_heads:
            raise ValueError(f"width={width} must be a multiple of 4 and of n_heads={n_heads}.")
        if pooling not in POOLINGS:
            raise ValueError(
                f"pooling={pooling!r} must be one of {', '.join(map(repr, POOLINGS))}."
            )
        self.shape = tuple(shape)
        self.grid = tuple(grid)
        self.width = width
        self.pooling = pooling
        self.cls_token = nn.Parameter(torch.empty(width).normal_(std=0.02))
        self.output_dim = width * self._n_parts()
        self.add_positions(self, width)
        self.blocks = nn.Sequential(*[Block(width, n_heads) for _ in range(depth)])
        self.norm = nn.LayerNorm(width)

    def cut(self, batch):
        """Return the pieces of a batch: ``(n, *grid, values)``."""
        raise NotImplementedError(f"{type(self).__name__} must define cut(batch)")

    def join(self, pieces):
        """Return the batch that was cut into these pieces, of shape ``(n, *grid, values)``."""
        return self.arrange(pieces)

    def arrange(self, pieces):
        """Return values of pieces at their places in a batch, without padding."""
        raise NotImplementedError(f"{type(self).__name__} must define arrange(pieces)")

    def spread(self, mask):
        """Return a mask of pieces, ``(n, length)``, as one of the values of a batch."""
        n_values = self.cut(self.positions.new_zeros(1, *self.shape)).shape[-1]
        return self.arrange(
            mask.unflatten(1, self.grid)[..., None].expand(-1, *self.grid, n_values)
        )

    def embed(self, pieces, places):
        """Return tokens of pieces, without their positions.

        Parameters
        ----------
        pieces : torch.Tensor of shape (n, k, values)
        places : torch.Tensor of shape (n, k) or None
            Indices of the pieces in the flattened grid. None means all, in order.

        Returns
        -------
        tokens : torch.Tensor of shape (n, k, width)
        """
        raise NotImplementedError(f"{type(self).__name__} must define embed(pieces, places)")

    def tokens(self, pieces, places=None):
        """Return the CLS token and those of the pieces, which have attended to each other.

        Parameters
        ----------
        pieces : torch.Tensor of shape (n, ..., values)
            With the grid in the middle.
        places : torch.Tensor of shape (n, k), default=None
            Indices of the visible pieces in the flattened grid; the others are not computed. None
            means all.

        Returns
        -------
        tokens : torch.Tensor of shape (n, 1 + k, width)
        """
        return self.norm(self.blocks(self._embedded(pieces, places)))

    def forward(self, batch):
        pieces = self.cut(batch)
        return self._pool(self.tokens(pieces), pieces.shape[1:-1])

    def add_positions(self, module, width):
        """Give a module ``positions``, of shape (length, width), for the pieces of this grid."""
        if self.learned_positions:
            (length,) = self.grid
            positions = torch.empty(length, width).normal_(std=width**-0.5)
            module.positions = nn.Parameter(positions)
        else:
            positions = sincos_positions(self.grid, self.grid, width)
            module.register_buffer("positions", positions, persistent=False)

    def _embedded(self, pieces, places=None):
        n, *grid, _ = pieces.shape
        pieces = pieces.flatten(1, -2)  # [n, length, values]
        if places is None:
            tokens = self.embed(pieces, None) + self._positions_of(tuple(grid))
        else:
            shown = gather_tokens(pieces, places)
            tokens = self.embed(shown, places) + F.embedding(places, self.positions)
        cls_token = self.cls_token.expand(n, 1, -1)  # at no position
        return torch.cat([cls_token, tokens], dim=1)

    def _positions_of(self, grid):
        if grid == self.grid or self.learned_positions:
            return self.positions
        return sincos_positions(grid, self.grid, self.width, self.positions.device)

    def _n_parts(self):
        if self.pooling == "grid":
            return math.prod(self._cells())
        return 2 if self.pooling == "cls_and_mean" else 1

    def _cells(self):
        return [min(self.most_cells, length) for length in self.grid]

    def _pool(self, tokens, grid):
        cls, tokens = tokens[:, 0], tokens[:, 1:]
        if self.pooling == "cls":
            return cls
        if self.pooling == "mean":
            return tokens.mean(dim=1)
        if self.pooling == "cls_and_mean":
            return torch.cat([cls, tokens.mean(dim=1)], dim=1)
        pool = F.adaptive_avg_pool2d if len(grid) == 2 else F.adaptive_avg_pool1d
        means = pool(tokens.transpose(1, 2).unflatten(2, grid), self._cells())  # [n, width, *cells]
        return means.flatten(2).transpose(1, 2).flatten(1)  # [n, number of cells * width]


class SeriesTokenEncoder(TokenEncoder):
    """Small transformer for series, whose tokens are patches of time.

    A few successive steps, with all their channels, become a token: the sum of a linear map of
    their values and of the sines and cosines of their position. The end of a series is padded with
    zeros to a whole patch.

    Parameters
    ----------
    shape : tuple of int
        ``(channels, time)``.
    patch_size : int, default=None
        Number of steps in a patch. None means about a sixteenth of the length.
    width : int, default=64
        Width of the tokens, a multiple of 4 and of `n_heads`.
    depth : int, default=4
        Number of blocks.
    n_heads : int, default=4
        Attention heads in each block.
    pooling : {"grid", "mean", "cls", "cls_and_mean"}, default="grid"
        The representation: the means of the tokens over quarters of the time, their mean over all
        time, the CLS token, or the last two next to each other.

    Examples
    --------
    >>> import torch
    >>> from sklearn_ssl.encoders import SeriesTokenEncoder
    >>> SeriesTokenEncoder((3, 100))(torch.randn(2, 3, 100)).shape
    torch.Size([2, 256])
    """

    def __init__(self, shape, patch_size=None, width=64, depth=4, n_heads=4, pooling="grid"):
        channels, time = shape
        patch_size = patch_size or max(round(time / 16), 1)
        super().__init__(shape, (-(-time // patch_size),), width, depth, n_heads, pooling)
        self.patch_size = patch_size
        self.patch_embedding = nn.Linear(channels * patch_size, width)
        initialize(self)

    def cut(self, batch):
        series = F.pad(batch, (0, -batch.shape[2] % self.patch_size))
        patches = series.unflatten(2, (-1, self.patch_size))  # [n, channels, length, steps]
        return patches.permute(0, 2, 3, 1).flatten(2)  # [n, length, steps * channels]

    def arrange(self, pieces):
        channels, time = self.shape
        steps = pieces.unflatten(2, (-1, channels)).flatten(1, 2)  # [n, length * steps, channels]
        return steps[:, :time].transpose(1, 2)

    def embed(self, pieces, places):
        return self.patch_embedding(pieces)


class FeatureTokenEncoder(TokenEncoder):
    """Small transformer for tables, whose tokens are the entries of a row.

    A number becomes a learned vector of its column, times the number; a missing one becomes another
    learned vector of the column; each category has its own vector, with zeros for unknown ones. A
    learned vector for each column is added as its position [1]_.

    Parameters
    ----------
    shape : tuple of int
        ``(features,)``.
    cardinalities : tuple of int, default=None
        Number of categories of each column, whose entries are codes from 1 on, and 0 if unknown; 0
        for a column of numbers. None means only numbers.
    missing : tuple of bool, default=None
        Whether numbers of a column may be missing (NaN). None means no missing numbers.
    width : int, default=32
        Width of the tokens, a multiple of 4 and of `n_heads`.
    depth : int, default=3
        Number of blocks.
    n_heads : int, default=4
        Attention heads in each block.
    pooling : {"grid", "mean", "cls", "cls_and_mean"}, default="grid"
        The representation: the tokens next to each other (from 17 columns on, the means of 16
        groups of neighbors), their mean, the CLS token, or the last two next to each other.

    References
    ----------
    .. [1] Y. Gorishniy et al., "Revisiting Deep Learning Models for Tabular Data", NeurIPS 2021,
       https://arxiv.org/abs/2106.11959

    Examples
    --------
    >>> import torch
    >>> from sklearn_ssl.encoders import FeatureTokenEncoder
    >>> encoder = FeatureTokenEncoder((3,), cardinalities=(0, 0, 2), missing=(False, True, False))
    >>> encoder(torch.tensor([[0.3, torch.nan, 1.0], [-0.2, 0.9, 2.0]])).shape
    torch.Size([2, 96])
    """

    most_cells = 16
    learned_positions = True

    def __init__(
        self,
        shape,
        cardinalities=None,
        missing=None,
        width=32,
        depth=3,
        n_heads=4,
        pooling="grid",
    ):
        super().__init__(shape, shape, width, depth, n_heads, pooling)
        (n_features,) = shape
        self.cardinalities = cardinalities or (0,) * n_features
        self.has_missing = any(missing or ())
        spread = width**-0.5
        self.weight = nn.Parameter(torch.empty(n_features, width).normal_(std=spread))
        if self.has_missing:
            self.missing = nn.Parameter(torch.empty(n_features, width).normal_(std=spread))
        if any(self.cardinalities):
            counts = torch.tensor(self.cardinalities)
            # Row 0 is for unknown categories, in all columns; those of column j follow offsets[j].
            self.register_buffer("offsets", counts.cumsum(0) - counts, persistent=False)
            self.register_buffer("coded", counts > 0, persistent=False)
            self.categories = nn.Embedding(1 + int(counts.sum()), width, padding_idx=0)
            with torch.no_grad():
                self.categories.weight *= spread
        initialize(self)

    def cut(self, batch):
        return batch[:, :, None]

    def arrange(self, pieces):
        return pieces[:, :, 0]

    def embed(self, pieces, places):
        def of(column_wise):
            return column_wise if places is None else column_wise[places]

        def learned(column_wise):  # the gradient of an index adds up in an order that varies
            return column_wise if places is None else F.embedding(places, column_wise)

        values = pieces.nan_to_num(0) if self.has_missing else pieces
        tokens = values * learned(self.weight)  # [n, k, width]
        if self.has_missing:
            tokens = torch.where(pieces.isnan(), learned(self.missing), tokens)
        if any(self.cardinalities):
            codes = values[:, :, 0].long()
            coded = of(self.coded).expand_as(codes)
            rows = torch.where(coded & (codes > 0), codes + of(self.offsets), 0)
            tokens = torch.where(coded[:, :, None], self.categories(rows), tokens)
        return tokens
