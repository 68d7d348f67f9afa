"""Vision Transformer for images of any size."""

import math

from torch import nn
from torch.nn import functional as F

from sklearn_ssl.encoders._transformer import initialize
from sklearn_ssl.encoders.tokens import TokenEncoder

# Pixels are from 0 to 1. Scaled by the usual mean and deviation of photographs, a patch has the
# same weight as its position; without scaling, positions would dominate.
PIXEL_MEAN, PIXEL_DEVIATION = 0.5, 0.25


def patchify(images, patch_size):
    """Cut images into square patches, row by row; sides are padded with zeros.

    Parameters
    ----------
    images : torch.Tensor of shape (n, channels, height, width)
        In any memory order.
    patch_size : int
        Side of a patch.

    Returns
    -------
    patches : torch.Tensor of shape (n, rows, columns, patch_size * patch_size * channels)
        Within a patch, pixels are ordered row by row, with their channels together.
    """
    missing_rows, missing_columns = (-side % patch_size for side in images.shape[2:])
    if missing_rows or missing_columns:
        images = F.pad(images, (0, missing_columns, 0, missing_rows))
    rows = images.permute(0, 2, 3, 1).unflatten(1, (-1, patch_size))  # [n, rows, p, width, c]
    patches = rows.unflatten(3, (-1, patch_size)).transpose(2, 3)  # [n, rows, columns, p, p, c]
    return patches.flatten(3)


class ViTEncoder(TokenEncoder):
    """Small Vision Transformer, with fixed positions, for images of any size.

    An image is cut into patches; each becomes a token, the sum of a linear map of its pixels and of
    the sines and cosines of its position. A CLS token is added, and transformer blocks let all
    tokens attend to each other [1]_. The representation is the CLS token followed by the mean of
    the others, unless `pooling` says otherwise.

    Images of other sizes than `shape` are accepted too: their grid of patches is stretched over
    that of `shape`.

    On a CPU, a training step takes several times as long as that of :class:`ConvEncoder`.

    Parameters
    ----------
    shape : tuple of int
        ``(channels, height, width)``.
    patch_size : int, default=None
        Side of a patch. None means a power of two near an eighth of the shorter side, from 2 to 16.
    width : int, default=64
        Width of the tokens, a multiple of 4 and of `n_heads`.
    depth : int, default=4
        Number of blocks.
    n_heads : int, default=4
        Attention heads in each block.
    pooling : {"cls_and_mean", "cls", "mean", "grid"}, default="cls_and_mean"
        The representation: the CLS token followed by the mean of the others, one of the two alone,
        or the means of the tokens in the cells of a grid, at most 4 by 4, next to each other, which
        preserves positions.

    References
    ----------
    .. [1] A. Dosovitskiy et al., "An Image is Worth 16x16 Words: Transformers for Image
       Recognition at Scale", ICLR 2021, https://arxiv.org/abs/2010.11929

    Examples
    --------
    >>> import torch
    >>> from sklearn_ssl.encoders import ViTEncoder
    >>> encoder = ViTEncoder((1, 28, 28))
    >>> encoder(torch.rand(2, 1, 28, 28)).shape
    torch.Size([2, 128])
    >>> encoder.attention(torch.rand(2, 1, 28, 28)).shape
    torch.Size([2, 4, 7, 7])
    """

    def __init__(
        self, shape, patch_size=None, width=64, depth=4, n_heads=4, pooling="cls_and_mean"
    ):
        channels, *sides = shape
        patch_size = patch_size or default_patch_size(min(sides))
        grid = tuple(-(-side // patch_size) for side in sides)
        super().__init__(shape, grid, width, depth, n_heads, pooling)
        self.patch_size = patch_size
        self.patch_embedding = nn.Linear(channels * patch_size**2, width)
        initialize(self)

    def cut(self, batch):
        return (patchify(batch, self.patch_size) - PIXEL_MEAN) / PIXEL_DEVIATION

    def join(self, pieces):
        return self.arrange(pieces) * PIXEL_DEVIATION + PIXEL_MEAN

    def arrange(self, pieces):
        channels, height, width = self.shape
        patches = pieces.unflatten(3, (self.patch_size, self.patch_size, channels))
        images = patches.permute(0, 5, 1, 3, 2, 4).flatten(4).flatten(2, 3)
        return images[:, :, :height, :width]

    def embed(self, pieces, places):
        return self.patch_embedding(pieces)

    def attention(self, images):
        """Return what the CLS token looks at in the last block.

        Parameters
        ----------
        images : torch.Tensor of shape (n, channels, height, width)

        Returns
        -------
        attention : torch.Tensor of shape (n, n_heads, rows, columns)
            Weights of the patches. They sum to a little less than 1 for each image, because the CLS
            token also attends to itself.
        """
        pieces = self.cut(images)
        last = self.blocks[-1]
        weights = last.attention.weights(last.norm1(self.blocks[:-1](self._embedded(pieces))))
        return weights[:, :, 0, 1:].unflatten(2, pieces.shape[1:3])  # of CLS, without itself

    def patch_states(self, images):
        """Return the states of patches after the last block.

        Parameters
        ----------
        images : torch.Tensor of shape (n, channels, height, width)

        Returns
        -------
        states : torch.Tensor of shape (n, rows, columns, width)
        """
        pieces = self.cut(images)
        return self.tokens(pieces)[:, 1:].unflatten(1, pieces.shape[1:3])


def default_patch_size(side):
    """Return the side of a Vision Transformer's patches: the power of two nearest side / 8.

    From 2 to 16: about 64 patches in an image of a usual size, because the cost of attention grows
    with the square of their number.
    """
    return 2 ** min(max(round(math.log2(side / 8)), 1), 4)
