"""Tools to look into a trained encoder."""

import copy

import numpy as np
import torch
from sklearn.utils.validation import check_is_fitted
from torch import nn
from torch.nn import functional as F

from sklearn_ssl.training.inference import row_batches
from sklearn_ssl.training.runtime import torch_settings


def attention_maps(estimator, X):
    """Return which patches of each image a Vision Transformer attends to.

    The maps are the attention weights of the CLS token for the patches in the last block, one map
    for each head.

    Parameters
    ----------
    estimator : estimator
        Fitted with ``encoder="vit"``, with a pretrained Vision Transformer from a folder of
        transformers, or with an encoder of your own that has a method ``attention(batch)``, which
        returns a tensor of shape ``(n, n_heads, rows, columns)``.
    X : array-like
        Images of the shape seen in ``fit``.

    Returns
    -------
    maps : ndarray of shape (n, n_heads, rows, columns)
        In float32. Each map sums to a little less than 1, because the CLS token also attends to
        itself, and to registers if there are any.

    Raises
    ------
    TypeError
        If `estimator` does not belong to this package.
    ValueError
        If its encoder has no attention.

    Examples
    --------
    >>> from sklearn.datasets import load_digits
    >>> from sklearn_ssl import SimCLRTransformer
    >>> from sklearn_ssl.inspection import attention_maps
    >>> X, _ = load_digits(return_X_y=True)
    >>> ssl = SimCLRTransformer(encoder="vit", image_shape=(8, 8), max_epochs=1, random_state=0)
    >>> ssl = ssl.fit(X[:64])
    >>> attention_maps(ssl, X[:10]).shape
    (10, 4, 4, 4)
    """
    return _maps(estimator, X, "attention", lambda attention: attention)


def similarity_maps(estimator, X, patch):
    """Return how similar the patches of each image are to one of them.

    The maps are cosine similarities of the states of patches after the last block. In networks that
    have learned parts of things, the map of a patch shows the thing that it belongs to [1]_.

    Parameters
    ----------
    estimator : estimator
        Fitted with ``encoder="vit"``, with a pretrained network from a folder of transformers, or
        with an encoder of your own that has a method ``patch_states(batch)``, which returns a
        tensor of shape ``(n, rows, columns, width)``.
    X : array-like
        Images of the shape seen in ``fit``.
    patch : tuple of int
        Row and column of the patch, counted from 0; negative numbers count from the end.

    Returns
    -------
    maps : ndarray of shape (n, rows, columns)
        In float32, from -1 to 1; 1 at the patch itself.

    Raises
    ------
    TypeError
        If `estimator` does not belong to this package.
    ValueError
        If its encoder has no states of patches, or not that patch.

    References
    ----------
    .. [1] O. Siméoni et al., "Localizing Objects with Self-Supervised Transformers and no Labels",
       BMVC 2021, https://arxiv.org/abs/2109.14279

    Examples
    --------
    >>> from sklearn.datasets import load_digits
    >>> from sklearn_ssl import SimCLRTransformer
    >>> from sklearn_ssl.inspection import similarity_maps
    >>> X, _ = load_digits(return_X_y=True)
    >>> ssl = SimCLRTransformer(encoder="vit", image_shape=(8, 8), max_epochs=1, random_state=0)
    >>> maps = similarity_maps(ssl.fit(X[:64]), X[:10], patch=(1, 2))
    >>> maps.shape, round(float(maps[0, 1, 2]), 3)
    ((10, 4, 4), 1.0)
    """
    row, column = patch

    def similarity(states):
        _check_patch(patch, states.shape[1:3])
        states = F.normalize(states.float(), dim=3)
        return torch.einsum("nrcw,nw->nrc", states, states[:, row, column])

    return _maps(estimator, X, "patch_states", similarity)


def _maps(estimator, X, method, map_of):
    """Return a function of what a method of the encoder returns for images, batch by batch."""
    check_is_fitted(estimator)
    estimator = copy.copy(estimator)  # another thread may fit it meanwhile
    encoder = _encoder_with(method, estimator)
    spec = estimator.input_spec_
    X = estimator._check_rows(X)
    device = next(encoder.parameters()).device
    with torch_settings(), torch.inference_mode():
        maps = [
            map_of(getattr(encoder, method)(spec.to_tensor(rows, device))).float().cpu().numpy()
            for rows in row_batches(X, spec.inference_batch_size)
        ]
    return np.concatenate(maps)


def _encoder_with(method, estimator):
    encoder = getattr(estimator, "encoder_", None)
    if not isinstance(encoder, nn.Module):
        raise TypeError(
            "expected a fitted transformer of sklearn_ssl, got "
            f"{type(estimator).__name__}. The last step of a pipeline is pipeline[-1]."
        )
    if isinstance(encoder, nn.Sequential):  # n_components adds a linear layer
        encoder = encoder[0]
    if not hasattr(encoder, method):
        raise ValueError(
            f"{type(encoder).__name__} has no {'attention' if method == 'attention' else 'patches'}"
            ' to show. Fit with encoder="vit", or with a pretrained Vision Transformer, on images.'
        )
    return encoder


def _check_patch(patch, grid):
    if not all(-length <= place < length for place, length in zip(patch, grid)):
        raise ValueError(f"patch={patch} is not on the grid of {grid[0]} x {grid[1]} patches.")
