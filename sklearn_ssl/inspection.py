"""Tools to look into a trained encoder."""

import copy

import numpy as np
import torch
from sklearn.utils.validation import check_is_fitted
from torch import nn

from sklearn_ssl.training.inference import row_batches
from sklearn_ssl.training.runtime import torch_settings


def attention_maps(estimator, X):
    """Return which patches of each image a Vision Transformer attends to.

    The maps are the attention weights of the CLS token for the patches in the last block, one map
    for each head.

    Parameters
    ----------
    estimator : estimator
        Fitted with ``encoder="vit"``, or with an encoder of your own that has a method
        ``attention(batch)``, which returns a tensor of shape ``(n, n_heads, rows, columns)``.
    X : array-like
        Images of the shape seen in ``fit``.

    Returns
    -------
    maps : ndarray of shape (n, n_heads, rows, columns)
        In float32. Each map sums to a little less than 1, because the CLS token also attends to
        itself.

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
    check_is_fitted(estimator)
    estimator = copy.copy(estimator)  # another thread may fit it meanwhile
    encoder = _with_attention(estimator)
    spec = estimator.input_spec_
    X = estimator._check_rows(X)
    device = next(encoder.parameters()).device
    with torch_settings(), torch.inference_mode():
        maps = [
            encoder.attention(spec.to_tensor(rows, device)).float().cpu().numpy()
            for rows in row_batches(X, spec.inference_batch_size)
        ]
    return np.concatenate(maps)


def _with_attention(estimator):
    encoder = getattr(estimator, "encoder_", None)
    if not isinstance(encoder, nn.Module):
        raise TypeError(
            "attention_maps takes a fitted transformer of sklearn_ssl, got "
            f"{type(estimator).__name__}. The last step of a pipeline is pipeline[-1]."
        )
    if isinstance(encoder, nn.Sequential):  # n_components adds a linear layer
        encoder = encoder[0]
    if not hasattr(encoder, "attention"):
        raise ValueError(
            f'{type(encoder).__name__} has no attention to show. Fit with encoder="vit", on images.'
        )
    return encoder
