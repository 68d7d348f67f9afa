"""Rows without a label in y, in a Pipeline and in cross-validation.

The convention is that of :mod:`sklearn.semi_supervised`: y is -1 where there is no label. For
string classes and for numbers to predict, None and NaN mean the same.
"""

from copy import deepcopy

from sklearn import get_config
from sklearn.base import BaseEstimator, MetaEstimatorMixin, clone, is_regressor
from sklearn.utils import get_tags, indexable
from sklearn.utils.metadata_routing import MetadataRouter, MethodMapping, process_routing
from sklearn.utils.metaestimators import available_if
from sklearn.utils.validation import check_is_fitted

from sklearn_ssl._sklearn_compat import (
    HasMethods,
    _check_method_params,
    _fit_context,
    _safe_indexing,
)
from sklearn_ssl.few_labels.draws import draw_labels
from sklearn_ssl.few_labels.labeled_folds import (
    SemiSupervisedSplit,
    labeled_cross_val_predict,
    labeled_scorer,
)
from sklearn_ssl.few_labels.labels import (
    check_class_labels,
    check_prediction,
    label_array,
    labeled_rows,
    plain_labels,
)

__all__ = [
    "LabeledOnly",
    "SemiSupervisedSplit",
    "draw_labels",
    "labeled_cross_val_predict",
    "labeled_scorer",
]

METHODS = ("fit", "predict", "predict_proba", "predict_log_proba", "decision_function", "score")


def _estimator_has(method):
    """Return a check that the estimator has a method: the fitted one, if there is one."""

    def check(self):
        getattr(getattr(self, "estimator_", self.estimator), method)  # or its AttributeError
        return True

    return check


class LabeledOnly(MetaEstimatorMixin, BaseEstimator):
    """A classifier or regressor that is trained on the rows with a label.

    Use it for the last step of a ``Pipeline`` that starts with an estimator of this package: the
    latter learns from all rows, the classifier from the labeled ones. Without it, a classifier
    treats -1 as one more class, learns it and predicts it.

    Parameters
    ----------
    estimator : estimator
        A classifier or regressor. A clone of it is fitted. For a classifier, a label is missing
        where y is -1, None or NaN; for a regressor where it is None or NaN, because -1 is an
        ordinary number.

    Attributes
    ----------
    estimator_ : estimator
        The fitted clone.
    classes_ : ndarray of shape (n_classes,)
        Classes of the labeled rows, if it is a classifier.
    n_features_in_ : int
        Number of features seen in ``fit``, if `estimator` counts them.
    feature_names_in_ : ndarray of shape (`n_features_in_`,)
        Their names, if X was a DataFrame.

    See Also
    --------
    SemiSupervisedSplit : Cross-validation that only tests on labeled rows.

    Notes
    -----
    Strings mixed with None are passed in an array of objects. The labels are converted back to an
    array of strings, or of integers if they are whole numbers.

    ``fit`` and ``score`` pass ``sample_weight``, and all other parameters with one entry per row,
    on to `estimator` for the labeled rows only. ``score`` leaves out rows without a label.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn.datasets import load_digits
    >>> from sklearn.linear_model import LogisticRegression
    >>> from sklearn.pipeline import Pipeline
    >>> from sklearn_ssl import SimCLRTransformer
    >>> from sklearn_ssl.semi_supervised import LabeledOnly
    >>> X, y = load_digits(return_X_y=True)
    >>> y[100:] = -1  # most rows have no label
    >>> pipeline = Pipeline(
    ...     [
    ...         ("ssl", SimCLRTransformer(image_shape=(8, 8), max_epochs=1, random_state=0)),
    ...         ("classifier", LabeledOnly(LogisticRegression(max_iter=1000))),
    ...     ]
    ... )
    >>> pipeline = pipeline.fit(X, y)
    >>> pipeline["ssl"].input_spec_.n_samples
    1797
    >>> pipeline.classes_
    array([0, 1, 2, 3, 4, 5, 6, 7, 8, 9])
    """

    _parameter_constraints = {"estimator": [HasMethods("fit")]}

    def __init__(self, estimator):
        self.estimator = estimator

    @_fit_context(prefer_skip_nested_validation=False)
    def fit(self, X, y, **fit_params):
        """Train a clone of the estimator on the labeled rows.

        Parameters
        ----------
        X : array-like, sparse matrix or list of str of length n
        y : array-like of shape (n,) or (n, n_outputs)
            -1, None or NaN where there is no label; for numbers to predict, None or NaN.
        **fit_params : dict
            Passed on to ``estimator.fit``, for example ``sample_weight``. With metadata routing
            enabled, what the estimator requests.

        Returns
        -------
        self : object

        Raises
        ------
        ValueError
            If no row has a label; if a row has labels for only some of its outputs; if y consists
            of -1 and a single class; or if an estimator around this one treats -1 as a class.
        """
        X, labels, params = self._labeled_part("fit", X, y, fit_params)
        if not is_regressor(self.estimator):
            check_class_labels(y, labels, type(self).__name__)
        self.estimator_ = clone(self.estimator).fit(X, labels, **params)
        return self

    @available_if(_estimator_has("predict"))
    def predict(self, X, **params):
        """Predict with the estimator.

        Parameters
        ----------
        X : array-like, sparse matrix or list of str of length n
        **params : dict
            Passed on to ``estimator.predict``.

        Returns
        -------
        y : ndarray of shape (n,) or (n, n_outputs)
        """
        return self._call("predict", X, params)

    @available_if(_estimator_has("predict_proba"))
    def predict_proba(self, X, **params):
        """Return the probability of each class.

        Parameters
        ----------
        X : array-like, sparse matrix or list of str of length n
        **params : dict
            Passed on to ``estimator.predict_proba``.

        Returns
        -------
        probabilities : ndarray of shape (n, n_classes)
            In the order of ``classes_``.
        """
        return self._call("predict_proba", X, params)

    @available_if(_estimator_has("predict_log_proba"))
    def predict_log_proba(self, X, **params):
        """Return the logarithm of the probability of each class.

        Parameters
        ----------
        X : array-like, sparse matrix or list of str of length n
        **params : dict
            Passed on to ``estimator.predict_log_proba``.

        Returns
        -------
        log_probabilities : ndarray of shape (n, n_classes)
            In the order of ``classes_``.
        """
        return self._call("predict_log_proba", X, params)

    @available_if(_estimator_has("decision_function"))
    def decision_function(self, X, **params):
        """Return the decision function of the estimator.

        Parameters
        ----------
        X : array-like, sparse matrix or list of str of length n
        **params : dict
            Passed on to ``estimator.decision_function``.

        Returns
        -------
        decision : ndarray of shape (n,) or (n, n_classes)
        """
        return self._call("decision_function", X, params)

    @available_if(_estimator_has("score"))
    def score(self, X, y, **params):
        """Return the score of the estimator on the labeled rows.

        Parameters
        ----------
        X : array-like, sparse matrix or list of str of length n
        y : array-like of shape (n,) or (n, n_outputs)
            Rows without a label are left out.
        **params : dict
            Passed on to ``estimator.score``, for example ``sample_weight``.

        Returns
        -------
        score : float
            Accuracy of a classifier, R2 of a regressor, if they keep scikit-learn's default.
        """
        check_is_fitted(self)
        X, y, params = self._labeled_part("score", X, y, params)
        return self.estimator_.score(X, y, **params)

    @property
    def classes_(self):
        """Classes of the labeled rows."""
        return self._fitted("classes_")

    @property
    def n_features_in_(self):
        """Number of features seen in ``fit``."""
        return self._fitted("n_features_in_")

    @property
    def feature_names_in_(self):
        """Names of the features seen in ``fit``."""
        return self._fitted("feature_names_in_")

    def get_metadata_routing(self):
        """Return what the estimator requests, see scikit-learn's guide to metadata routing.

        Returns
        -------
        routing : MetadataRouter
        """
        mapping = MethodMapping()
        for method in METHODS:
            mapping.add(caller=method, callee=method)
        return MetadataRouter(owner=self).add(estimator=self.estimator, method_mapping=mapping)

    def __sklearn_tags__(self):
        tags = deepcopy(get_tags(self.estimator))
        tags.target_tags.required = True
        tags.transformer_tags = None
        tags.array_api_support = False  # labels are processed with NumPy
        return tags

    def _labeled_part(self, method, X, y, params):
        """Return the labeled rows of X, their labels, and the parameters for the estimator."""
        if y is None:
            raise ValueError(
                f"{type(self).__name__}.{method} requires y to be passed, but the target y is None."
            )
        X, y = indexable(X, label_array(y))
        labeled = labeled_rows(y, regression=is_regressor(self.estimator))
        params = _check_method_params(X, self._routed(method, params), indices=labeled)
        return _safe_indexing(X, labeled), plain_labels(y[labeled]), params

    def _call(self, method, X, params):
        check_is_fitted(self)
        if not is_regressor(self.estimator_):
            check_prediction(type(self).__name__)
        return getattr(self.estimator_, method)(X, **self._routed(method, params))

    def _routed(self, method, params):
        """Return the parameters for a method of the estimator: all of them, without routing."""
        if not get_config()["enable_metadata_routing"]:
            return params
        return process_routing(self, method, **params).estimator[method]

    def _fitted(self, name):
        if "estimator_" not in vars(self):
            raise AttributeError(f"{type(self).__name__} has no {name} before it is fitted.")
        return getattr(self.estimator_, name)
