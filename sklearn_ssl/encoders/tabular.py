"""Encoder of tables, and the embedding before it for missing numbers and categories."""

from itertools import pairwise

import torch
from torch import nn

CATEGORY_WIDTH = 8  # numbers that represent a category


class FeatureEmbedding(nn.Module):
    """Turn a batch of a table with categories or missing numbers into numbers only.

    Numbers stay, with 0, their mean, in place of missing ones; columns with missing numbers get an
    indicator [1]_; each category is replaced with a learned vector [2]_, and an unknown one with
    zeros.

    Parameters
    ----------
    cardinalities : tuple of int
        Categories of each column; 0 for a column of numbers.
    missing : tuple of bool
        Whether numbers of a column may be missing.
    width : int, default=8
        Length of a category's vector. Initially, all its entries together vary as much as one
        column of numbers.

    References
    ----------
    .. [1] M. Le Morvan et al., "What's a good imputation to predict with missing values?",
       NeurIPS 2021, https://arxiv.org/abs/2106.00311
    .. [2] C. Guo, F. Berkhahn, "Entity Embeddings of Categorical Variables", 2016,
       https://arxiv.org/abs/1604.06737

    Examples
    --------
    A number, a number that may be missing, and one of two categories:

    >>> import torch
    >>> from sklearn_ssl.encoders import FeatureEmbedding
    >>> embedding = FeatureEmbedding(cardinalities=(0, 0, 2), missing=(False, True, False))
    >>> batch = torch.tensor([[0.3, torch.nan, 1.0], [-0.2, 0.9, 2.0]])
    >>> embedding(batch).shape
    torch.Size([2, 11])
    """

    def __init__(self, cardinalities, missing, width=CATEGORY_WIDTH):
        super().__init__()
        coded = torch.tensor(cardinalities) > 0
        # The first row of the vectors is for unknown categories of all columns.
        offsets = torch.tensor(cardinalities).cumsum(0) - torch.tensor(cardinalities)
        places = {
            "numbers": torch.nonzero(~coded)[:, 0],
            "may_miss": torch.nonzero(torch.tensor(missing) & ~coded)[:, 0],
            "codes": torch.nonzero(coded)[:, 0],
            "offsets": offsets[coded],
        }
        for name, place in places.items():
            self.register_buffer(name, place, persistent=False)
        self.vectors = nn.Embedding(1 + sum(cardinalities), width, padding_idx=0)
        with torch.no_grad():
            self.vectors.weight /= width**0.5
        n_coded = len(self.codes)
        self.output_dim = len(self.numbers) + len(self.may_miss) + n_coded * width

    def forward(self, batch):
        numbers = batch[:, self.numbers].nan_to_num(0)  # [n, columns of numbers]
        missing = batch[:, self.may_miss].isnan().to(batch.dtype)
        codes = batch[:, self.codes].long()
        vectors = self.vectors(torch.where(codes > 0, codes + self.offsets, 0)).flatten(1)
        return torch.cat([numbers, missing, vectors], dim=1)


class MLPEncoder(nn.Sequential):
    """Multi-layer perceptron with batch normalization.

    Parameters
    ----------
    shape : tuple of int
        ``(features,)``.
    width : int, default=256
        Units of each layer, and width of the representation.
    depth : int, default=4
        Number of layers.
    """

    def __init__(self, shape, width=256, depth=4):
        layers = []
        for width_in, width_out in pairwise([shape[0], *[width] * depth]):
            layers += [nn.Linear(width_in, width_out, bias=False), nn.BatchNorm1d(width_out)]
            layers.append(nn.ReLU())
        super().__init__(*layers)
