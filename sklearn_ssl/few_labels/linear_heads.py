"""Heads whose decision is a linear layer, which the training of an encoder can start from."""

import numpy as np
from scipy.sparse import issparse
from sklearn.base import is_classifier
from sklearn.multiclass import OneVsRestClassifier

TOLERANCE = 1e-3  # of the spread of the decisions
ROUNDING = 8  # units in the last place of the largest term


def linear_weights(head, Z):
    """Return the coefficients and intercepts of a fitted head, or None if it is not linear.

    Not every ``coef_`` belongs to a linear layer: a support vector classifier compares classes in
    pairs, a Poisson regression predicts an exponential. So the layer is compared with the head.

    Parameters
    ----------
    head : estimator
        Its decision is ``decision_function`` for a classifier, and ``predict`` for a regressor.
    Z : ndarray of shape (n, width)
        Rows on which both are computed.

    Returns
    -------
    weights : tuple of ndarrays of shapes (n_outputs, width) and (n_outputs,), or None

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn.linear_model import PoissonRegressor, Ridge
    >>> from sklearn_ssl.few_labels.linear_heads import linear_weights
    >>> Z, y = np.eye(3), np.arange(3)
    >>> [w.shape for w in linear_weights(Ridge().fit(Z, y), Z)]
    [(1, 3), (1,)]
    >>> linear_weights(PoissonRegressor().fit(Z, y), Z) is None
    True
    """
    decide = getattr(head, "decision_function" if is_classifier(head) else "predict", None)
    weights = _weights(head, Z)
    if decide is None or weights is None:
        return None
    coef, intercept = weights
    decisions = np.asarray(decide(Z)).reshape(len(Z), -1)
    n_outputs = decisions.shape[1]
    if coef.shape != (n_outputs, Z.shape[1]) or len(intercept) not in (1, n_outputs):
        return None
    largest = (np.abs(Z) @ np.abs(coef).T + np.abs(intercept)).max()
    rounding = ROUNDING * np.finfo(np.result_type(decisions, np.float32)).eps * largest
    off = np.abs(Z.astype(np.float64) @ coef.T + intercept - decisions).max()
    if not off <= TOLERANCE * np.ptp(decisions) + rounding:
        return None
    if is_classifier(head) and not _decides(head, Z, decisions):
        return None
    return coef, np.broadcast_to(intercept, n_outputs).copy()


def _weights(head, Z):
    """Return the coefficients and intercepts that a fitted head has, or None."""
    if isinstance(head, OneVsRestClassifier):
        if not all(hasattr(part, "decision_function") for part in head.estimators_):
            return None
        parts = [_weights(part, Z) or _weights_of_constant(part, Z) for part in head.estimators_]
        return tuple(np.concatenate(arrays) for arrays in zip(*parts))
    if not hasattr(head, "coef_"):
        return None
    coef = head.coef_.toarray() if issparse(head.coef_) else head.coef_
    intercept = np.asarray(getattr(head, "intercept_", 0.0), np.float64)
    return np.atleast_2d(np.asarray(coef, np.float64)), np.ravel(intercept)


def _weights_of_constant(part, Z):
    """Return the weights of what OneVsRestClassifier takes for a label of all rows, or of none."""
    return np.zeros((1, Z.shape[1])), np.ravel(part.decision_function(Z[:1]))


def _decides(head, Z, decisions):
    """Return whether the class with the largest decision is the one the classifier predicts.

    With three classes, there are as many pairs as classes, so the shapes do not tell. Several
    labels per row are not compared with each other.
    """
    predicted = head.predict(Z)
    if predicted.ndim == 2:
        return True
    n_outputs = decisions.shape[1]
    places = decisions[:, 0] > 0 if n_outputs == 1 else decisions.argmax(axis=1)
    is_one_per_class = len(head.classes_) == max(n_outputs, 2)
    return is_one_per_class and np.array_equal(head.classes_[places.astype(int)], predicted)
