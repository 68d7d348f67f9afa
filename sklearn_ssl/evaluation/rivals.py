"""The user's own models: rivals of a representation that learn from the drawn rows of X."""

import numpy as np
from scipy import sparse
from sklearn.base import BaseEstimator, ClassifierMixin, RegressorMixin, clone
from sklearn.pipeline import Pipeline
from sklearn.semi_supervised import LabelPropagation, LabelSpreading, SelfTrainingClassifier

from sklearn_ssl._sklearn_compat import BaseSearchCV, _safe_indexing
from sklearn_ssl.evaluation.representations import BASELINES, PRETRAINED
from sklearn_ssl.few_labels.base import BaseFineTuner
from sklearn_ssl.few_labels.labels import is_unlabeled, plain_labels
from sklearn_ssl.semi_supervised import LabeledOnly, SemiSupervisedSplit

PROPAGATION = (LabelPropagation, LabelSpreading)
READ_UNLABELED = (*PROPAGATION, SelfTrainingClassifier, LabeledOnly, BaseFineTuner)


def named_baselines(baselines):
    """Return a dict of baselines: None for built-in ones, or the user's model."""
    rivals = {}
    for baseline in baselines:
        is_pair = isinstance(baseline, tuple | list) and len(baseline) == 2
        name, model = baseline if is_pair else (baseline, None)
        known = isinstance(name, str) and (name in BASELINES) != is_pair
        if not known or name in (PRETRAINED, *rivals) or (is_pair and not can_predict(model)):
            raise ValueError(
                f"Each of the baselines must be one of {', '.join(map(repr, BASELINES))}, or "
                "(name, classifier) with a different name, and must not be repeated; got "
                f"{baseline}."
            )
        rivals[name] = model
    return rivals


def can_predict(model):
    """Return whether a model predicts; StackingClassifier has no ``predict`` until it is fitted."""
    predicts = hasattr(model, "predict") or isinstance(model, ClassifierMixin | RegressorMixin)
    return hasattr(model, "fit") and predicts


def prepare_rival(name, model, rows):
    """Return the title of the user's model, and a function that lets it learn from drawn rows.

    A model that also learns from unlabeled rows gets all rows except the test rows.
    """
    if not _reads_unlabeled(model):

        def answer(drawn):
            X = _safe_indexing(rows.X_train, drawn)
            return clone(model).fit(X, rows.y_train[drawn]), rows.X_test

        return name, answer

    X = _joined(rows.X_pretrain, rows.X_unlabeled)
    if rows.y_train.dtype.kind not in "iuf" and _propagates(model):
        model = _OfNumbers(model)

    def answer_from_all(drawn):
        return clone(model).fit(X, _marked(rows, drawn)), rows.X_test

    return name, answer_from_all


def _reads_unlabeled(model):
    """Return whether a model learns from rows with -1, or NaN for numbers."""
    if isinstance(model, BaseSearchCV) and not isinstance(model.cv, SemiSupervisedSplit):
        return False
    inner = _inner(model)
    return isinstance(model, READ_UNLABELED) if inner is None else _reads_unlabeled(inner)


def _propagates(model):
    inner = _inner(model)
    return isinstance(model, PROPAGATION) if inner is None else _propagates(inner)


def _inner(model):
    """Return the part that learns from labels: the last step of a Pipeline, or of a search."""
    if isinstance(model, Pipeline):
        return model[-1]
    return model.estimator if isinstance(model, BaseSearchCV) else None


def _marked(rows, drawn):
    """Return labels of all rows that a model may learn from, missing except for the drawn ones."""
    kind = rows.y_train.dtype.kind
    mark, dtype = (np.nan, float) if rows.regression else (-1, "i8" if kind in "iu" else object)
    y = np.full(rows.n_pretrain, mark, dtype="f8" if kind == "f" else dtype)
    y[rows.train_places[drawn]] = rows.y_train[drawn]
    return y


def _joined(X, more):
    """Return rows of the same kind, one after the other."""
    if more is None:
        return X
    if isinstance(X, list):
        return [*X, *more]
    if sparse.issparse(X):
        return sparse.vstack([X, more]).tocsr()
    if hasattr(X, "iloc"):
        import pandas as pd

        return pd.concat([X, more], ignore_index=True)
    if hasattr(X, "vstack"):  # polars
        return X.vstack(more)
    if hasattr(X, "to_batches"):
        return type(X).from_batches([*X.to_batches(), *more.to_batches()])
    return np.ma.concatenate([X, more]) if _has_mask(X, more) else np.concatenate([X, more])


def _has_mask(*arrays):
    return any(isinstance(array, np.ma.MaskedArray) for array in arrays)


class _OfNumbers(ClassifierMixin, BaseEstimator):
    """Label propagation for string labels: it sorts -1 among the labels, which needs numbers."""

    def __init__(self, classifier):
        self.classifier = classifier

    def fit(self, X, y):
        has_label = ~is_unlabeled(y)
        self.classes_, codes = np.unique(plain_labels(y[has_label]), return_inverse=True)
        numbers = np.full(len(y), -1)
        numbers[has_label] = codes
        self.classifier_ = clone(self.classifier).fit(X, numbers)
        return self

    def predict(self, X):
        return self.classes_[self.classifier_.predict(X)]

    def predict_proba(self, X):
        return self.classifier_.predict_proba(X)
