"""Encoder of tables."""

from itertools import pairwise

from torch import nn


class MLPEncoder(nn.Sequential):
    """Multi-layer perceptron with batch normalisation.

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
