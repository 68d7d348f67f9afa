"""What people computed from images and series before networks learned it: rivals in survey.py."""

import numpy as np

N_SHADES = 4  # of each color in a histogram; four times as many of gray
SHORTEST = 10  # kernels have nine points, and MultiRocket also reads differences


def gradient_histograms(images):
    """Return histograms of oriented gradients (HOG), of four by four cells.

    Parameters
    ----------
    images : ndarray of shape (n, side, side) or (n, side, side, 3)

    Returns
    -------
    features : ndarray of shape (n, 324)
    """
    from skimage.feature import hog

    cell = images.shape[1] // 4
    settings = {"pixels_per_cell": (cell, cell), "cells_per_block": (2, 2)}
    axis = -1 if images.ndim == 4 else None
    return np.stack([hog(image, **settings, channel_axis=axis) for image in images])


def color_histograms(images, highest):
    """Return the share of each of 64 colors, or of 16 shades of gray, in each image.

    Parameters
    ----------
    images : ndarray of shape (n, side, side) or (n, side, side, 3)
    highest : float
        The largest value that pixels can have.

    Returns
    -------
    features : ndarray of shape (n, 64) or (n, 16)
    """
    n_shades = N_SHADES if images.ndim == 4 else N_SHADES**2
    n_colors = N_SHADES**3 if images.ndim == 4 else n_shades
    shades = np.minimum(images * (n_shades / highest), n_shades - 1).astype(int)
    if images.ndim == 4:
        shades = shades @ [N_SHADES**2, N_SHADES, 1]
    shades = shades.reshape(len(images), -1) + n_colors * np.arange(len(images))[:, None]
    counts = np.bincount(shades.ravel(), minlength=len(images) * n_colors)
    return counts.reshape(len(images), n_colors) / shades.shape[1]


def random_kernels(name, train, parts):
    """Return what random convolutions find in series.

    Parameters
    ----------
    name : {"MiniRocket", "MultiRocket"}
        Of a class of the package ``aeon``, which needs ``numba``.
    train : ndarray of shape (n, channels, time)
        Series that decide about thresholds.
    parts : list of ndarray of shape (n, channels, time)
        Series to transform. Missing ends are zeros, and series of fewer than ten points get longer.

    Returns
    -------
    features : list of ndarray of shape (n, n_features)
    """
    from aeon.transformations.collection import convolution_based

    kernels = getattr(convolution_based, name)(random_state=0).fit(_padded(train))
    return [np.asarray(kernels.transform(_padded(X))) for X in parts]


def _padded(X):
    missing = max(SHORTEST - X.shape[2], 0)
    return np.nan_to_num(np.pad(X, ((0, 0), (0, 0), (0, missing)))).astype(np.float64)
