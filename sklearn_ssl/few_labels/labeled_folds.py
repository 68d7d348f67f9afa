"""Cross-validation with unlabeled rows: folds, scores and predictions of the labeled ones."""

from numbers import Integral

import numpy as np
from sklearn.base import clone, is_regressor
from sklearn.metrics import check_scoring
from sklearn.model_selection import BaseCrossValidator, check_cv
from sklearn.utils import indexable

from sklearn_ssl._sklearn_compat import (
    HasMethods,
    StrOptions,
    _check_method_params,
    _safe_indexing,
    validate_params,
)
from sklearn_ssl.few_labels.callers import is_called_by
from sklearn_ssl.few_labels.labels import (
    check_class_labels,
    holds_fractions,
    label_array,
    labeled_rows,
    plain_labels,
)


class SemiSupervisedSplit(BaseCrossValidator):
    """Folds of the labeled rows; unlabeled rows are in every training part.

    Unlabeled rows cannot be used for testing, but they can be used for pretraining. Other splitters
    do not recognize them: ``StratifiedKFold`` treats -1 as a class, and ``KFold`` tests on them.

    Parameters
    ----------
    cv : int or splitter, default=5
        How the labeled rows are split. A number of folds means
        :class:`~sklearn.model_selection.StratifiedKFold` for classes, and
        :class:`~sklearn.model_selection.KFold` for numbers and for several labels per row, both
        without shuffling, as everywhere in scikit-learn. Any scikit-learn splitter works, including
        those with groups or a random state.
    regression : bool or "auto", default="auto"
        Whether y holds numbers to predict, where -1 is an ordinary number. "auto" treats numbers as
        classes if all of them are whole: set True if they are not classes.

    See Also
    --------
    LabeledOnly : Train a classifier on the labeled rows only.

    Notes
    -----
    All unlabeled rows are used for training, whatever `cv` does with the labeled ones: also those
    of the groups under test, and those later in time than the tested rows. If that reveals too much
    to the transformer, make the folds by hand.

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
            -1, None or NaN where there is no label; for numbers to predict, None or NaN.
        groups : array-like of shape (n,), default=None
            For splitters with groups. Groups of unlabeled rows do not matter.

        Yields
        ------
        train : ndarray of int
            In increasing order: some of the labeled rows, and all unlabeled ones.
        test : ndarray of int
            The other labeled rows, in the order of `cv`.

        Raises
        ------
        TypeError
            If `cv` is neither a number nor a splitter.
        ValueError
            If y is None; if there are fewer labels than folds, in total or in one class; if y
            consists of -1 and a single class; or if the caller treats -1 as a class.
        """
        X, y, groups = indexable(X, self._labels(y), groups)
        regression = self._is_regression(y)
        labeled = labeled_rows(y, regression=regression)
        unlabeled = np.setdiff1d(np.arange(len(y)), labeled)
        if len(unlabeled) and is_called_by("cross_val_predict"):
            raise ValueError(
                "cross_val_predict needs every row to be tested, but rows without a label are "
                "never tested. Use sklearn_ssl.semi_supervised.labeled_cross_val_predict, which "
                "predicts the labeled ones."
            )
        labels = plain_labels(y[labeled])
        if not regression:
            check_class_labels(y, labels, type(self).__name__)
        X, groups = (_rows_of(a, labeled) for a in (X, groups))
        for train, test in self._splitter(labels).split(X, labels, groups):
            yield np.sort(np.concatenate([labeled[train], unlabeled])), labeled[test]

    def get_n_splits(self, X=None, y=None, groups=None):
        """Return the number of folds.

        Parameters
        ----------
        X, y, groups : array-like, default=None
            As in ``split``. Some splitters count the labeled rows or their groups: ``LeaveOneOut``
            and those that leave groups out.

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
        """Return what `cv` requests: ``groups``, if it splits by them.

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
                "SemiSupervisedSplit needs y to know which rows have a label, but y is None."
            )
        return label_array(y)

    def _is_regression(self, y):
        if self.regression == "auto":
            return holds_fractions(y)
        return bool(self.regression)

    def _splitter(self, y):
        """Return the splitter of the labeled rows."""
        self._check_cv()
        if not isinstance(self.cv, Integral):
            return self.cv
        regression = self._is_regression(y)
        _check_enough_labels(y, self.cv, regression)
        return check_cv(int(self.cv), y, classifier=not regression)

    def _check_cv(self):
        is_number = isinstance(self.cv, Integral) and not isinstance(self.cv, bool)
        if is_number and self.cv < 2:
            raise ValueError(f"cv must be at least 2 folds, got {self.cv}.")
        if not is_number and not (hasattr(self.cv, "split") and hasattr(self.cv, "get_n_splits")):
            raise TypeError(
                "cv must be a number of folds or a splitter such as "
                f"StratifiedKFold(5, shuffle=True), got {self.cv!r}."
            )


def _check_enough_labels(y, n_folds, regression):
    advice = "Use fewer folds, or pass a splitter as cv, which is not checked."
    if len(y) < n_folds:
        raise ValueError(f"{n_folds} folds of {len(y)} labeled rows are too many. {advice}")
    if regression or y.ndim > 1:
        return
    classes, counts = np.unique(y, return_counts=True)
    if counts.min() < n_folds:
        raise ValueError(
            f"Class {classes[counts.argmin()]!s} has {counts.min()} labeled rows, fewer than "
            f"{n_folds} folds. {advice} If y holds numbers to predict, set regression=True."
        )


def _rows_of(a, rows):
    return None if a is None else _safe_indexing(a, rows)


# Scores and predictions of labeled rows -----------------------------------------------------------


class _LabeledScorer:
    """A scorer that leaves out rows without a label."""

    def __init__(self, scorer):
        self.scorer = scorer

    def __call__(self, estimator, X, y, **params):
        _check_no_class_is_minus_one(estimator)
        X, y = indexable(X, label_array(y))
        labeled = labeled_rows(y, regression=is_regressor(estimator))
        params = _check_method_params(X, params, indices=labeled)
        return self.scorer(
            estimator, _safe_indexing(X, labeled), plain_labels(y[labeled]), **params
        )

    def __repr__(self):
        return f"labeled_scorer({self.scorer!r})"

    def _accept_sample_weight(self):  # asked by searches without metadata routing
        return self.scorer._accept_sample_weight()

    def get_metadata_routing(self):
        """Return what the scorer asks for."""
        return self.scorer.get_metadata_routing()


def labeled_scorer(scoring):
    """Make a scorer that leaves out rows without a label.

    The folds of :class:`SemiSupervisedSplit` are tested on labeled rows, but trained on all rows.
    You need this scorer to score training parts, for ``return_train_score=True`` and
    ``learning_curve``. Otherwise the metric counts rows without a label as wrong, and fails if None
    marks them. The ``score`` of :class:`LabeledOnly` and of the fine-tuning estimators leaves them
    out by itself.

    Parameters
    ----------
    scoring : str, callable, list or dict
        One or several metrics, as in :func:`~sklearn.model_selection.cross_validate`.

    Returns
    -------
    scorer : callable
        Pass it as ``scoring``. It reads y like the estimator: for regressors, -1 is a number.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn.datasets import load_iris
    >>> from sklearn.linear_model import LogisticRegression
    >>> from sklearn.model_selection import cross_validate
    >>> from sklearn_ssl.semi_supervised import LabeledOnly, SemiSupervisedSplit, labeled_scorer
    >>> X, y = load_iris(return_X_y=True)
    >>> y[np.arange(150) % 5 > 0] = -1  # 120 of 150 rows have no label
    >>> scores = cross_validate(
    ...     LabeledOnly(LogisticRegression()),
    ...     X,
    ...     y,
    ...     cv=SemiSupervisedSplit(2),
    ...     scoring=labeled_scorer("accuracy"),
    ...     return_train_score=True,
    ... )
    >>> bool(scores["train_score"].min() > 0.9)
    True
    """
    return _LabeledScorer(check_scoring(scoring=scoring))


NOT_SEEN = {"predict_proba": 0.0, "predict_log_proba": -np.inf, "decision_function": -np.inf}


@validate_params(
    {
        "estimator": [HasMethods("fit")],
        "method": [StrOptions({"predict", *NOT_SEEN})],
        "params": [dict, None],
    },
    prefer_skip_nested_validation=False,
)
def labeled_cross_val_predict(estimator, X, y, *, cv=5, groups=None, method="predict", params=None):
    """Predict each labeled row with a clone that has not learned from its label.

    Like :func:`~sklearn.model_selection.cross_val_predict`, which needs every row to be tested, and
    cannot leave out rows without a label. These are in every training part.

    Parameters
    ----------
    estimator : estimator
        An estimator that accepts unlabeled rows: :class:`LabeledOnly`, a Pipeline that ends in it,
        a fine-tuning estimator, or one of :mod:`sklearn.semi_supervised`.
    X : array-like, sparse matrix or list of str of length n
    y : array-like of shape (n,) or (n, n_labels)
        -1, None or NaN where there is no label; for numbers to predict, None or NaN.
    cv : int or splitter, default=5
        How the labeled rows are split, or a :class:`SemiSupervisedSplit`. Each labeled row must be
        tested once.
    groups : array-like of shape (n,), default=None
        For splitters with groups.
    method : {"predict", "predict_proba", "predict_log_proba", "decision_function"}, \
            default="predict"
    params : dict, default=None
        Passed on to ``fit``. Parameters with one entry per row, such as ``sample_weight``, are
        split.

    Returns
    -------
    predictions : ndarray of shape (n_labeled,), (n_labeled, n_classes) or (n_labeled, n_labels)
        For the labeled rows. Columns are in the order of the classes; a class that a fold has not
        seen has probability 0.
    rows : ndarray of int of shape (n_labeled,)
        Positions of these rows in X, in increasing order.

    Raises
    ------
    ValueError
        If `cv` does not test each labeled row exactly once, or if the estimator returns an array
        for each column of y.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn.datasets import load_iris
    >>> from sklearn.linear_model import LogisticRegression
    >>> from sklearn_ssl.semi_supervised import LabeledOnly, labeled_cross_val_predict
    >>> X, y = load_iris(return_X_y=True)
    >>> y[np.arange(150) % 5 > 0] = -1  # 120 of 150 rows have no label
    >>> probabilities, rows = labeled_cross_val_predict(
    ...     LabeledOnly(LogisticRegression()), X, y, cv=2, method="predict_proba"
    ... )
    >>> probabilities.shape
    (30, 3)
    >>> bool(np.mean(probabilities.argmax(axis=1) == y[rows]) > 0.9)
    True
    """
    regression = is_regressor(estimator)
    if not isinstance(cv, SemiSupervisedSplit):
        cv = SemiSupervisedSplit(cv, regression=regression)
    X, y, groups = indexable(X, label_array(y), groups)
    rows = labeled_rows(y, regression=regression)
    folds = list(cv.split(X, y, groups))
    tested = np.concatenate([test for _, test in folds])
    if not np.array_equal(np.sort(tested), rows):
        raise ValueError(
            f"cv={cv} does not test each of the {len(rows)} labeled rows exactly once, so some of "
            "them would have no prediction or several. Use a number of folds, StratifiedKFold or "
            "KFold."
        )
    by_class = not regression and y.ndim == 1 and method != "predict"
    classes = np.unique(plain_labels(y[rows])) if by_class else None
    predictions = []
    for train, test in folds:
        fitted = clone(estimator).fit(
            _safe_indexing(X, train),
            y[train],
            **_check_method_params(X, params or {}, indices=train),
        )
        _check_no_class_is_minus_one(fitted)
        answers = getattr(fitted, method)(_safe_indexing(X, test))
        if isinstance(answers, list):
            raise ValueError(
                f"{method} of {estimator} returns a list, of an array for each column of y, which "
                "labeled_cross_val_predict cannot put together. Use an estimator that returns one "
                "array, such as FineTuneClassifier or OneVsRestClassifier, or one column of y."
            )
        if classes is not None and len(fitted.classes_) < len(classes):
            answers = _with_all_classes(answers, fitted.classes_, classes, method)
        predictions.append(answers)
    return np.concatenate(predictions)[np.argsort(tested)], rows


def _check_no_class_is_minus_one(fitted):
    """Refuse an estimator that has learned a class -1 from rows without a label."""
    classes = [] if is_regressor(fitted) else getattr(fitted, "classes_", [])
    if isinstance(classes, list):  # of arrays, one for each column of y
        classes = np.concatenate([[], *classes])
    if -1 in np.ravel(classes).tolist():
        name = type(fitted).__name__
        raise ValueError(
            f"{name} treats -1 as a class, and would predict that a row has no label. Remove these "
            f"rows first, with LabeledOnly({name}(...))."
        )


def _with_all_classes(answers, seen, classes, method):
    """Return answers with columns for classes that a fold has not seen."""
    if answers.ndim == 1:  # the decision function of two classes
        answers = np.column_stack([-answers, answers])
    every = np.full((len(answers), len(classes)), NOT_SEEN[method])
    every[:, np.searchsorted(classes, seen)] = answers
    return every
