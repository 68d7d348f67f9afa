"""Which rows get a label in an experiment with few labels."""

import numpy as np


def draw_labels(y, n_per_class, random_state):
    """Draw rows to be labeled, the same number from each class.

    Parameters
    ----------
    y : array-like of shape (n,)
        Labels. Masked values of a masked array are not drawn.
    n_per_class : int
    random_state : int

    Returns
    -------
    indices : ndarray of shape (n_per_class * n_classes,)

    Raises
    ------
    ValueError
        If y has several columns.
    """
    if np.ndim(y) != 1:
        raise ValueError(
            f"draw_labels draws from classes, one per row, but y has the shape {np.shape(y)}. Draw "
            "rows whatever their labels are: np.random.default_rng(0).choice(len(y), 100, "
            "replace=False)."
        )
    rows = np.flatnonzero(~np.ma.getmaskarray(y))
    y = np.asarray(y)[rows]
    rng = np.random.default_rng(random_state)
    return np.concatenate(
        [rng.choice(rows[y == label], n_per_class, replace=False) for label in np.unique(y)]
    )
