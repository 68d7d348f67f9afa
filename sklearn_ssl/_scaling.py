"""Scaling of representations before a linear head: one factor for all columns."""

import numpy as np


def global_scaling(Z):
    """Return the mean of each column, and one factor for all: the root of the mean variance.

    With ``(Z - mean) / scale``, the penalty of a head has the same effect on every representation,
    and directions that hardly vary stay small: with a few hundred rows, a column may be constant.

    Parameters
    ----------
    Z : ndarray of shape (n, width)

    Returns
    -------
    mean : ndarray of shape (width,)
    scale : float
        1 if all rows are equal.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn_ssl._scaling import global_scaling
    >>> mean, scale = global_scaling(np.array([[0.0, 5.0], [8.0, 5.0]]))
    >>> mean.tolist(), scale == 8**0.5
    ([4.0, 5.0], True)
    """
    return Z.mean(axis=0), float(np.sqrt(Z.var(axis=0).mean())) or 1.0
