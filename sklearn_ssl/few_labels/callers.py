"""Who calls our estimators: an estimator that treats -1 as a class, or a metric that will.

``VotingClassifier``, ``StackingClassifier``, ``BaggingClassifier``, ``OneVsRestClassifier`` and
others number the classes before they pass them on: -1 becomes 0, and nothing distinguishes it from
the first class. It proves nothing that most rows have it, because real classes can be just as
unequal. But the estimator that numbers them keeps the classes in ``classes_``, and it is among the
callers of ours, in ``fit`` or, around a frozen estimator, in ``predict``. We look it up there,
which does not work in the processes and threads of ``n_jobs``. In the same way, an estimator that
predicts cannot see the labels that its answers are compared with, but the scorer that compares them
is a caller too.
"""

import sys

import numpy as np
from sklearn.base import BaseEstimator

from sklearn_ssl._sklearn_compat import SCORER


def refuse_encoded_marks(name):
    """Raise an error if a caller has numbered -1 as one of three or more classes.

    With two classes, -1 and 1, it is a class: otherwise there would be nothing to learn.

    Parameters
    ----------
    name : str
        The estimator, for the message.
    """
    for frame in _frames():
        caller = frame.f_locals.get("self")
        if isinstance(caller, BaseEstimator) and _has_class_minus_one(caller):
            outer = type(caller).__name__
            raise ValueError(
                f"{outer} treats -1 as a class: it numbers the classes before {name} sees them, "
                "and would learn and predict that a row has no label. Remove the rows without a "
                f"label first, with LabeledOnly({outer}(...)) around a pretrained transformer in a "
                "FrozenEstimator. If -1 is a class, give it another number."
            )


def is_called_by(function):
    """Return whether a scikit-learn function, given by its name, is among the callers."""
    return any(
        frame.f_code.co_name == function and frame.f_globals["__name__"].startswith("sklearn.")
        for frame in _frames()
    )


def labels_to_compare():
    """Return what a scikit-learn scorer is about to compare predictions with, or None."""
    for frame in _frames():
        if (frame.f_globals["__name__"], frame.f_code.co_name) == SCORER:
            return frame.f_locals.get("y_true")
    return None


def _frames():
    frame = sys._getframe(2)
    while frame is not None:
        yield frame
        frame = frame.f_back


def _has_class_minus_one(estimator):
    classes = vars(estimator).get("classes_", [])
    if isinstance(classes, list):  # of arrays, one for each column of y
        return False
    classes = np.asarray(classes)
    if classes.ndim != 1 or classes.dtype.kind not in "if" or len(classes) < 3:
        return False
    return classes[classes < 0].tolist() == [-1]
