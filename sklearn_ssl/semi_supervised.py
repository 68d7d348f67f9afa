"""Rows without a label in y, in a Pipeline and in cross-validation.

The convention is that of :mod:`sklearn.semi_supervised`: y is -1 where there is no label. None and
NaN say so too, of classes that are strings and of numbers to be predicted.
"""

from copy import deepcopy
from numbers import Integral

import numpy as np
from sklearn import get_config
from sklearn.base import BaseEstimator, MetaEstimatorMixin, _fit_context, clone, is_regressor
from sklearn.model_selection import BaseCrossValidator, check_cv
from sklearn.utils import _safe_indexing, get_tags, indexable
from sklearn.utils._param_validation import HasMethods
from sklearn.utils.metadata_routing import MetadataRouter, MethodMapping, process_routing
from sklearn.utils.metaestimators import available_if
from sklearn.utils.validation import _check_method_params, check_is_fitted

from sklearn_ssl._labels import is_unlabeled, label_array, labeled_rows, plain_labels

METHODS = ("fit", "predict", "predict_proba", "predict_log_proba", "decision_function", "score")


def _estimator_has(method):
    """Say whether the fitted estimator has a method, or the given one before it is fitted."""

    def check(self):
        getattr(getattr(self, "estimator_", self.estimator), method)  # or its AttributeError
        return True

    return check


class LabeledOnly(MetaEstimatorMixin, BaseEstimator):
    """A classifier or regressor that is trained on the rows with a label.

    Meant for the last step of a ``Pipeline`` that starts with an estimator of this package: that
    one learns from all rows, the classifier from the labelled ones. Without it, a classifier takes
    -1 for one more class, learns it and predicts it.

    Parameters
    ----------
    estimator : estimator
        A classifier or regressor. A clone of it is fitted. For a classifier, a label is missing
        where y is -1, None or NaN; for a regressor where it is None or NaN, since -1 is a number
        like any other.

    Attributes
    ----------
    estimator_ : estimator
        The fitted clone.
    classes_ : ndarray of shape (n_classes,)
        Classes of the labelled rows, if it is a classifier.
    n_features_in_ : int
        Number of features seen in ``fit``, if `estimator` counts them.
    feature_names_in_ : ndarray of shape (n_features_in_,)
        Their names, if X was a DataFrame.

    See Also
    --------
    SemiSupervisedSplit : Cross-validation that tests on labelled rows only.

    Notes
    -----
    Strings that are mixed with None come in an array of objects. The labelled ones become an array
    of strings again, whole numbers one of integers.

    ``fit`` and ``score`` hand ``sample_weight``, and all other parameters with one entry for each
    row, on to `estimator` for the labelled rows only. ``score`` leaves out the rows without label.

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

    _parameter_constraints = {"estimator": [HasMethods(["fit", "predict"])]}

    def __init__(self, estimator):
        self.estimator = estimator

    @_fit_context(prefer_skip_nested_validation=False)
    def fit(self, X, y, **fit_params):
        """Train a clone of the estimator on the labelled rows.

        Parameters
        ----------
        X : array-like, sparse matrix or list of str of length n
        y : array-like of shape (n,) or (n, n_outputs)
            -1, None or NaN where there is no label; of numbers to be predicted, None or NaN.
        **fit_params : dict
            Handed on to ``estimator.fit``, for example ``sample_weight``. With metadata routing
            enabled, what the estimator asks for.

        Returns
        -------
        self : object

        Raises
        ------
        ValueError
            If no row has a label, or a row has one for some of several outputs only.
        """
        X, y, params = self._labeled_part("fit", X, y, fit_params)
        self.estimator_ = clone(self.estimator).fit(X, y, **params)
        return self

    @available_if(_estimator_has("predict"))
    def predict(self, X, **params):
        """Predict with the estimator.

        Parameters
        ----------
        X : array-like, sparse matrix or list of str of length n
        **params : dict
            Handed on to ``estimator.predict``.

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
            Handed on to ``estimator.predict_proba``.

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
            Handed on to ``estimator.predict_log_proba``.

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
            Handed on to ``estimator.decision_function``.

        Returns
        -------
        decision : ndarray of shape (n,) or (n, n_classes)
        """
        return self._call("decision_function", X, params)

    @available_if(_estimator_has("score"))
    def score(self, X, y, **params):
        """Return the score of the estimator on the labelled rows.

        Parameters
        ----------
        X : array-like, sparse matrix or list of str of length n
        y : array-like of shape (n,) or (n, n_outputs)
            Rows without a label are left out.
        **params : dict
            Handed on to ``estimator.score``, for example ``sample_weight``.

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
        """Classes of the labelled rows."""
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
        """Return what the estimator asks for, see scikit-learn's guide to metadata routing.

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
        tags.array_api_support = False  # labels are looked at with NumPy
        return tags

    def _labeled_part(self, method, X, y, params):
        """Return the labelled rows of X, their labels, and what the estimator is to be given."""
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
        return getattr(self.estimator_, method)(X, **self._routed(method, params))

    def _routed(self, method, params):
        """Return the parameters that are for a method of the estimator: all, without routing."""
        if not get_config()["enable_metadata_routing"]:
            return params
        return process_routing(self, method, **params).estimator[method]

    def _fitted(self, name):
        if "estimator_" not in vars(self):
            raise AttributeError(f"{type(self).__name__} has no {name} before it is fitted.")
        return getattr(self.estimator_, name)


class SemiSupervisedSplit(BaseCrossValidator):
    """Folds of the labelled rows; those without a label are in every training part.

    Unlabelled rows cannot be tested on, and are the ones to pretrain on. Other splitters do not
    know them: ``StratifiedKFold`` takes -1 for a class, and ``KFold`` tests on them.

    Parameters
    ----------
    cv : int or splitter, default=5
        How the labelled rows are split. A number of folds is
        :class:`~sklearn.model_selection.StratifiedKFold` for classes and
        :class:`~sklearn.model_selection.KFold` for numbers, neither of them shuffled, as everywhere
        in scikit-learn. Any of its splitters will do, those with groups or a random state too.
    regression : bool or "auto", default="auto"
        Whether y holds numbers to be predicted, of which -1 is one like any other. "auto" takes
        numbers for classes as long as they are all whole ones: say True if they are not classes.

    See Also
    --------
    LabeledOnly : Trains a classifier on the labelled rows only.

    Notes
    -----
    All unlabelled rows train, whatever `cv` does with the labelled ones: those of the groups under
    test, and those that come later in time than the tested rows. If that would tell the transformer
    too much, make the folds by hand.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn_ssl.semi_supervised import SemiSupervisedSplit
    >>> y = np.array([0, -1, 1, 0, -1, 1])
    >>> for train, test in SemiSupervisedSplit(2).split(np.zeros((6, 1)), y):
    ...     print(train, test)
    [1 3 4 5] [0 2]
    [0 1 2 4] [3 5]
    """

    def __init__(self, cv=5, *, regression="auto"):
        self.cv = cv
        self.regression = regression

    def split(self, X, y=None, groups=None):
        """Yield the rows of each training part, and those to test on.

        Parameters
        ----------
        X : array-like, sparse matrix or list of str of length n
        y : array-like of shape (n,) or (n, n_outputs)
            -1, None or NaN where there is no label; of numbers to be predicted, None or NaN.
        groups : array-like of shape (n,), default=None
            For splitters with groups. Those of unlabelled rows do not matter.

        Yields
        ------
        train : ndarray of int
            In increasing order: some labelled rows, and all that have no label.
        test : ndarray of int
            The other labelled rows, in the order of `cv`.

        Raises
        ------
        TypeError
            If `cv` is neither a number nor a splitter.
        ValueError
            If y is None, or there are fewer labels than folds, of all or of some class.
        """
        X, y, groups = indexable(X, self._labels(y), groups)
        labeled = labeled_rows(y, regression=self._is_regression(y))
        unlabeled = np.setdiff1d(np.arange(len(y)), labeled)
        X, y, groups = (_rows_of(a, labeled) for a in (X, y, groups))
        for train, test in self._splitter(plain_labels(y)).split(X, plain_labels(y), groups):
            yield np.sort(np.concatenate([labeled[train], unlabeled])), labeled[test]

    def get_n_splits(self, X=None, y=None, groups=None):
        """Return the number of folds.

        Parameters
        ----------
        X, y, groups : array-like, default=None
            As in ``split``. Some splitters count them, of the labelled rows: ``LeaveOneOut`` and
            those that leave groups out.

        Returns
        -------
        n_splits : int
        """
        self._check_cv()
        if isinstance(self.cv, Integral):
            return int(self.cv)
        if y is not None:
            y = self._labels(y)
            labeled = labeled_rows(y, regression=self._is_regression(y))
            X, y, groups = (_rows_of(a, labeled) for a in indexable(X, y, groups))
        return self.cv.get_n_splits(X, y, groups)

    def get_metadata_routing(self):
        """Return what `cv` asks for: ``groups``, if it splits by them.

        Returns
        -------
        routing : MetadataRequest
        """
        if hasattr(self.cv, "get_metadata_routing"):
            return self.cv.get_metadata_routing()
        return super().get_metadata_routing()

    def _labels(self, y):
        if y is None:
            raise ValueError(
                "SemiSupervisedSplit needs y, which says the rows that have a label, but y is None."
            )
        return label_array(y)

    def _is_regression(self, y):
        if self.regression == "auto":
            return _holds_fractions(y)
        return bool(self.regression)

    def _splitter(self, y):
        """Return the splitter of the labelled rows."""
        self._check_cv()
        if not isinstance(self.cv, Integral):
            return self.cv
        regression = self._is_regression(y)
        _check_enough_labels(y, self.cv, regression)
        return check_cv(int(self.cv), y, classifier=not regression)

    def _check_cv(self):
        is_number = isinstance(self.cv, Integral) and not isinstance(self.cv, bool)
        if is_number and self.cv < 2:
            raise ValueError(f"cv must be 2 folds or more, got {self.cv}.")
        if not is_number and not (hasattr(self.cv, "split") and hasattr(self.cv, "get_n_splits")):
            raise TypeError(
                "cv must be a number of folds or a splitter such as "
                f"StratifiedKFold(5, shuffle=True), got {self.cv!r}."
            )


def _holds_fractions(y):
    y = plain_labels(y[~is_unlabeled(y, regression=True)])
    return y.dtype.kind == "f" and bool(np.any(y != np.round(y)))


def _check_enough_labels(y, n_folds, regression):
    advice = "Take fewer folds, or give cv a splitter, which is not checked."
    if len(y) < n_folds:
        raise ValueError(f"{n_folds} folds of {len(y)} labelled rows are too many. {advice}")
    if regression or y.ndim > 1:
        return
    classes, counts = np.unique(y, return_counts=True)
    if counts.min() < n_folds:
        raise ValueError(
            f"Class {classes[counts.argmin()]!s} has {counts.min()} labelled rows, fewer than "
            f"{n_folds} folds. {advice} If y holds numbers to be predicted, say regression=True."
        )


def _rows_of(a, rows):
    return None if a is None else _safe_indexing(a, rows)
