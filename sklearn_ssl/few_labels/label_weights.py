"""How much each label counts: weights of rows and weights of classes."""

from numbers import Real

import numpy as np
from sklearn.utils import compute_sample_weight

from sklearn_ssl._sklearn_compat import _check_sample_weight


def label_weights(X, places, labels, sample_weight, class_weight):
    """Return the labels that count, and how much; labels with weight 0 are left out.

    Parameters
    ----------
    X : array-like
        All rows.
    places : ndarray of int of shape (n,)
        Rows of X that have a label.
    labels : ndarray of shape (n,) or (n, n_labels)
        These labels.
    sample_weight : array-like of shape (len(X),) or None
    class_weight : dict, "balanced" or None

    Returns
    -------
    places, labels : ndarrays
    weights : ndarray or None
        None if neither rows nor classes have weights.

    Raises
    ------
    ValueError
        If a weight is not a number of at least 0, if all are 0, or if classes have weights and rows
        several labels.
    """
    if sample_weight is None and class_weight is None:
        return places, labels, None
    weights = np.ones(len(labels))
    if sample_weight is not None:
        weights = _check_sample_weight(sample_weight, X, ensure_non_negative=True)[places]
        places, labels, weights = _counting(places, labels, weights)
    if class_weight is not None:
        _check_class_weight(class_weight, labels)
        weights = weights * compute_sample_weight(class_weight, labels)
    return _counting(places, labels, weights)


def _check_class_weight(class_weight, labels):
    if labels.ndim == 2:
        raise ValueError(
            f"class_weight={class_weight!r} is for one class per row, but y has "
            f"{labels.shape[1]} labels per row. Leave it out, and weight rows with sample_weight."
        )
    for label, weight in class_weight.items() if isinstance(class_weight, dict) else ():
        if not isinstance(weight, Real) or not 0 <= weight < np.inf:
            raise ValueError(
                f"class_weight must hold finite numbers of at least 0; got {weight!r} for class "
                f"{label!r}. A weight of 0 leaves a class out."
            )


def _counting(places, labels, weights):
    """Return the labels with a weight above 0, their places and weights."""
    with np.errstate(over="ignore"):
        total = weights.sum()
    if not np.isfinite(total):
        raise ValueError(
            f"The weights of the labels go up to {weights.max():g}, and their sum is too large for "
            "float64. Divide them by a constant."
        )
    counts = weights > 0
    if not counts.any():
        raise ValueError(
            f"All {len(weights)} labels have weight 0, so there is nothing to learn from. Give "
            "some of them a weight above 0 in sample_weight and class_weight."
        )
    return places[counts], labels[counts], weights[counts]
