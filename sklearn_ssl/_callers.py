"""Who calls our estimators: one that has taken -1 for a class before, or a metric that will.

``VotingClassifier``, ``StackingClassifier``, ``BaggingClassifier``, ``OneVsRestClassifier`` and
others number the classes before they hand them on: -1 becomes 0, and nothing tells it from the
first class. That most rows have it proves nothing, for honest classes are as unequal. But the
estimator that numbers them keeps what it has numbered, in ``classes_``, and is among the callers
of ours, in ``fit`` or, around a frozen estimator, in ``predict``. There it is looked up; not so in
the processes and threads of ``n_jobs``. Nor can an estimator that predicts see the labels that its
answers are compared with, but the scorer that compares them is a caller too.
"""

import sys

import numpy as np
from sklearn.base import BaseEstimator

from sklearn_ssl._sklearn_compat import SCORER


def refuse_encoded_marks(name):
    """Raise an error if a caller has numbered -1 as one of three classes or more.

    Of two, -1 and 1, it is a class: with a single other one there would be nothing to learn.

    Parameters
    ----------
    name : str
        Who asks.
    """
    for frame in _frames():
        caller = frame.f_locals.get("self")
        if isinstance(caller, BaseEstimator) and _has_class_minus_one(caller):
            outer = type(caller).__name__
            raise ValueError(
                f"{outer} takes -1 for a class: it numbers the classes before {name} sees them, "
                "and would learn and predict that a row has no label. Take the rows without a "
                f"label away from it, by LabeledOnly({outer}(...)) around a pretrained transformer "
                "in a FrozenEstimator. If -1 is a class, give it another number."
            )


def is_called_by(function):
    """Say whether a function of scikit-learn, given by its name, is among the callers."""
    return any(
        frame.f_code.co_name == function and frame.f_globals["__name__"].startswith("sklearn.")
        for frame in _frames()
    )


def labels_to_compare():
    """Return what a scorer of scikit-learn is about to compare predictions with, or None."""
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
    classes = np.asarray(vars(estimator).get("classes_", []))
    if classes.ndim != 1 or classes.dtype.kind not in "if" or len(classes) < 3:
        return False
    return classes[classes < 0].tolist() == [-1]
