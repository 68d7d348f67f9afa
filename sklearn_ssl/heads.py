"""Small networks between the encoder and the loss."""

from itertools import pairwise

import torch
from torch import nn
from torch.nn import functional as F

EXPANDER_DIMS = (512, 512, 512)  # of Barlow Twins and VICReg, which compare many components
FROZEN_PROTOTYPES = 0.02  # part of the steps after which those of SwAV and DINO learn, too


def mlp_head(dims, *, last_batch_norm=False, last_bias=True, activation=nn.ReLU):
    """Build a multi-layer perceptron with batch normalization between its layers.

    Parameters
    ----------
    dims : sequence of int
        Widths, from the input to the output: ``(512, 256, 128)`` has two linear layers.
    last_batch_norm : bool, default=False
        Whether the output is normalized too, as in SimCLR. Layers before a batch normalization have
        no bias.
    last_bias : bool, default=True
        Whether the last layer has a bias, if it is not normalized. The bias has no effect if the
        loss, or a batch normalization of the next head, subtracts the mean of the output.
    activation : callable, default=torch.nn.ReLU
        Creates the module that follows each hidden layer.

    Returns
    -------
    head : torch.nn.Sequential
        Maps ``(n, dims[0])`` to ``(n, dims[-1])``.

    Examples
    --------
    >>> from sklearn_ssl.heads import mlp_head
    >>> [type(layer).__name__ for layer in mlp_head((8, 4, 2))]
    ['Linear', 'BatchNorm1d', 'ReLU', 'Linear']
    """
    *hidden, (last_in, last_out) = pairwise(dims)
    layers = []
    for width_in, width_out in hidden:
        layers.append(nn.Linear(width_in, width_out, bias=False))
        layers += [nn.BatchNorm1d(width_out), activation()]
    layers.append(nn.Linear(last_in, last_out, bias=last_bias and not last_batch_norm))
    if last_batch_norm:
        layers.append(nn.BatchNorm1d(last_out))
    return nn.Sequential(*layers)


class Prototypes(nn.Module):
    """Cosine similarities of embeddings to learned prototypes.

    The last layer of SwAV and of DINO: a linear layer without bias whose input and whose rows of
    weights have length 1 (a weight normalization with its gain frozen at 1).

    Parameters
    ----------
    dim : int
        Width of the embeddings.
    n_prototypes : int
    """

    def __init__(self, dim, n_prototypes):
        super().__init__()
        self.weight = nn.Parameter(torch.randn(n_prototypes, dim) / dim**0.5)

    def forward(self, z):
        with torch.autocast(z.device.type, enabled=False):  # small temperatures magnify rounding
            z = F.normalize(z.float(), dim=1)
            return z @ F.normalize(self.weight, dim=1).T  # [n, n_prototypes]


def default_n_prototypes(n_samples):
    """Return how many prototypes stand for groups of similar rows: 64 to 512."""
    return int(min(max(n_samples // 32, 64), 512))
