"""Small networks between the encoder and the loss."""

from itertools import pairwise

from torch import nn


def mlp_head(dims, *, last_batch_norm=False):
    """Build a multi-layer perceptron with batch normalisation and ReLU between its layers.

    Parameters
    ----------
    dims : sequence of int
        Widths, from the input to the output: ``(512, 256, 128)`` has two linear layers.
    last_batch_norm : bool, default=False
        Whether the output is normalised too, as in SimCLR. Layers in front of a batch
        normalisation have no bias.

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
        layers += [nn.Linear(width_in, width_out, bias=False), nn.BatchNorm1d(width_out), nn.ReLU()]
    layers.append(nn.Linear(last_in, last_out, bias=not last_batch_norm))
    if last_batch_norm:
        layers.append(nn.BatchNorm1d(last_out))
    return nn.Sequential(*layers)
