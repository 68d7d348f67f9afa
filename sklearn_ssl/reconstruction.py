"""Reconstruction losses: how far predictions are from what was hidden."""

import math

import torch
from torch.nn import functional as F


def masked_mse(prediction, target, mask):
    """Mean squared error over masked places.

    Parameters
    ----------
    prediction : torch.Tensor of shape (n, ...)
    target : torch.Tensor of shape (n, ...)
        In float32 or float64, the dtype in which the loss is computed. Values that are not masked
        are ignored, and may be NaN.
    mask : torch.Tensor of bool
        True where the loss is computed. It has the first axes of `prediction`, for example ``(n,
        patches)`` for ``(n, patches, pixels)``, and applies to all entries along the others.

    Returns
    -------
    loss : torch.Tensor
        A scalar; 0 if nothing is masked.

    Examples
    --------
    >>> import torch
    >>> from sklearn_ssl.reconstruction import masked_mse
    >>> prediction, target = torch.zeros(2, 2), torch.tensor([[1.0, 9.0], [2.0, torch.nan]])
    >>> masked_mse(prediction, target, torch.tensor([[True, False], [True, False]]))
    tensor(2.5000)
    """
    n_entries = mask.sum() * math.prod(prediction.shape[mask.ndim :])
    mask = mask[(..., *[None] * (prediction.ndim - mask.ndim))]
    return _squared_errors(prediction, target, mask) / n_entries.clamp(min=1)


def feature_loss(prediction, target, where, cardinalities):
    """Error of predicted entries of a table: squared for numbers, cross-entropy for categories.

    The cross-entropy of a column with k categories is divided by log(k): guessing costs 1, as in a
    column of numbers with standard deviation 1, so no column outweighs the others.

    Parameters
    ----------
    prediction : torch.Tensor of shape (n, prediction_width(cardinalities))
        Column by column: a number, or the logits of the categories.
    target : torch.Tensor of shape (n, features)
        A batch of a table, in float32 or float64, the dtype in which the loss is computed: numbers,
        and codes of categories starting at 1.
    where : torch.Tensor of shape (n, features) of bool
        True for the entries that count. Missing numbers (NaN), unknown categories (code 0) and
        columns with a single category, where there is nothing to predict, never count.
    cardinalities : sequence of int
        Number of categories of each column; 0 for columns of numbers.

    Returns
    -------
    loss : torch.Tensor
        The mean over the entries that count, a scalar; 0 if there are none.

    Examples
    --------
    A number with an error of 2, and a category with equal probabilities:

    >>> import torch
    >>> from sklearn_ssl.reconstruction import feature_loss
    >>> target = torch.tensor([[2.0, 3.0]])
    >>> where = torch.ones(1, 2, dtype=torch.bool)
    >>> feature_loss(torch.zeros(1, 1 + 5), target, where, cardinalities=(0, 5))
    tensor(2.5000)
    """
    columns = prediction.split([max(k, 1) for k in cardinalities], dim=1)
    numeric = [j for j, k in enumerate(cardinalities) if k == 0]
    numbers = target[:, numeric]
    counted = where[:, numeric] & ~numbers.isnan()
    guesses = torch.cat([prediction[:, :0], *(columns[j] for j in numeric)], dim=1)
    total, n_entries = _squared_errors(guesses, numbers, counted), counted.sum()
    for j, k in enumerate(cardinalities):
        if k > 1:
            counted = where[:, j] & (target[:, j] > 0)
            category = torch.where(counted, target[:, j] - 1, -1).long()
            logits = columns[j].to(target.dtype)
            entropy = F.cross_entropy(logits, category, ignore_index=-1, reduction="sum")
            total, n_entries = total + entropy / math.log(k), n_entries + counted.sum()
    return total / n_entries.clamp(min=1)


def count_entries(target, where, cardinalities):
    """Return how many entries count in :func:`feature_loss`, which takes the same arguments."""
    cardinalities = torch.tensor(cardinalities, device=target.device)
    known = torch.where(cardinalities > 0, target > 0, ~target.isnan())
    return (where & known & (cardinalities != 1)).sum()


def prediction_width(cardinalities):
    """Return how many outputs predict a row: one for a number, k for one of k categories.

    Parameters
    ----------
    cardinalities : sequence of int
        As in :func:`feature_loss`.
    """
    return sum(max(k, 1) for k in cardinalities)


def _squared_errors(prediction, target, mask):
    """Return the sum over the mask; the rest, even NaN, does not affect the sum or the gradient."""
    error = prediction.to(target.dtype) - target
    return error.masked_fill(~mask, 0).square().sum()
