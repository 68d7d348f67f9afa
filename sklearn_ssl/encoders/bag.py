"""The mean of word vectors: a text as a bag of words."""

import torch
from torch import nn
from torch.nn import functional as F

RARE = 3e-3  # a word of this frequency has half the weight of a very rare one
POWER = 1.25  # a direction of variance v gets the variance v ** POWER; 1 would leave it as it is


class BagEncoder(nn.Module):
    """Weighted mean of the vectors of a text's tokens, whatever their order.

    Each token of the vocabulary has a vector, which is learned, and a weight, which depends on its
    frequency: learned weights were as good with many texts, and worse with few. The means are
    centered and scaled by a batch normalization without parameters, so that an average
    representation has length 1: what a linear classifier with the usual penalty expects.

    Parameters
    ----------
    vocabulary_size : int
    width : int, default=128
        Width of the vectors.
    ignored : sequence of int, default=()
        Ids of tokens that say nothing about a text, such as that of an unknown token. Negative ids,
        with which rows are padded, are always ignored.
    frequency : torch.Tensor of shape (vocabulary_size,), default=None
        The share of each token in the training texts. A token that has the share f has the weight
        a / (a + f), where a is 0.003 [1]_; without shares all weights are 1.
    lr_scale : float, default=1.0
        Factor of the learning rate for the vectors, most of which take part in few steps.

    Attributes
    ----------
    output_dim : int
        Width of the representation.

    References
    ----------
    .. [1] S. Arora, Y. Liang, T. Ma, "A Simple but Tough-to-Beat Baseline for Sentence Embeddings",
       ICLR 2017

    Examples
    --------
    >>> import torch
    >>> from sklearn_ssl.encoders import BagEncoder
    >>> ids = torch.tensor([[1, 2, 3], [4, 5, -1]])
    >>> BagEncoder(vocabulary_size=10, width=16)(ids).shape
    torch.Size([2, 16])
    """

    tokens_at_once = 2**13  # in a batch of `transform`: no states fill the memory

    def __init__(self, vocabulary_size, width=128, *, ignored=(), frequency=None, lr_scale=1.0):
        super().__init__()
        self.lr_scale = lr_scale
        self.output_dim = width
        self.embedding = nn.Embedding(vocabulary_size, width)
        nn.init.normal_(self.embedding.weight, std=width**-0.5)
        f = torch.zeros(vocabulary_size) if frequency is None else frequency
        self.register_buffer("weight", RARE / (RARE + f))
        counts = torch.ones(vocabulary_size, dtype=torch.bool)
        counts[list(ignored)] = False
        self.register_buffer("counts", counts, persistent=False)
        self.register_buffer("emphasis", torch.eye(width))
        self.norm = nn.BatchNorm1d(width, eps=1e-8, affine=False)  # means vary little

    def forward(self, ids):
        ids = self.known(ids)
        if self.training:  # the mean statistics of the first batches, then of the latest ten or so
            self.norm.momentum = max(0.1, 1 / (1 + self.norm.num_batches_tracked.item()))
            used = (ids >= 0).any(dim=0)
            used[0] = True  # at least one place
            ids = ids[:, used]  # padding takes as much time as words, above all in gradients
        h = self.norm(self.bag(ids)) @ self.emphasis * self.output_dim**-0.5
        # Without a known token, all that can be said of a text is the mean of all texts.
        return h * (ids >= 0).any(dim=1, keepdim=True)

    def known(self, ids):
        """Return ids with -1 in place of tokens that are ignored."""
        return ids.masked_fill(~self.counts[ids.clamp(min=0)], -1)

    def bag(self, ids, visible=None):
        """Return the weighted mean of the vectors of each row: ``(n, width)``.

        Parameters
        ----------
        ids : torch.Tensor of shape (n, length) of int64
            As returned by :meth:`known`: negative where there is nothing.
        visible : torch.Tensor of shape (n, length) of bool, default=None
            Which tokens to use; None means all. A row without any becomes 0.
        """
        visible = ids >= 0 if visible is None else visible
        ids = ids.clamp(min=0)
        weights = self.weight[ids] * visible
        # If embedding_bag counts them itself, an exported network refuses a single row.
        starts = ids.shape[1] * torch.arange(ids.shape[0], device=ids.device)
        total = F.embedding_bag(
            ids.flatten(),
            self.embedding.weight,
            starts,
            mode="sum",
            per_sample_weights=weights.flatten(),
        )  # [n, width]
        return total / weights.sum(dim=1, keepdim=True).clamp(min=1e-12)

    @torch.no_grad()
    def emphasize(self, ids):
        """Stretch the directions in which these texts differ most, and keep the average length.

        With few labels, a linear classifier can only learn about some of the directions; what most
        texts differ in is more likely to matter. From then on, representations are multiplied by a
        symmetric matrix.

        Parameters
        ----------
        ids : iterable of torch.Tensor of shape (n, length)
            Batches of texts.
        """
        h = torch.cat([self.norm(self.bag(self.known(batch))) for batch in ids]).double().cpu()
        variances, directions = torch.linalg.eigh(torch.cov(h.T))
        variances = variances.clamp(min=0)
        stretch = variances ** ((POWER - 1) / 2)
        total = (variances * stretch**2).sum()
        if total > 0:  # otherwise all texts are the same
            stretch = stretch * (self.output_dim / total).sqrt()
            self.emphasis.copy_(directions * stretch @ directions.T)
