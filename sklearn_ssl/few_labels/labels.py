"""Which labels are missing: -1, None or NaN, as in ``sklearn.semi_supervised``."""

from numbers import Real

import numpy as np
from scipy.sparse import issparse

from sklearn_ssl.few_labels.callers import labels_to_compare, refuse_encoded_marks
from sklearn_ssl.few_labels.lost_marks import check_string_marks, check_unsigned_marks

LISTS = (list, tuple, set, frozenset)  # of labels, in a row


def is_unlabeled(y, *, regression=False):
    """Return which rows of y have no label.

    Parameters
    ----------
    y : array-like of shape (n,)
        None, NaN, pandas' NA, nulls of polars and Arrow, and masked values of a masked array mean
        no label, and so does the number -1. Strings and booleans are labels: to leave labels out,
        use None in a list or in an array of ``dtype=object``.
    regression : bool, default=False
        Whether y holds numbers to predict, where -1 is an ordinary number.

    Returns
    -------
    unlabeled : ndarray of bool of shape (n,)

    Raises
    ------
    ValueError
        If marks of missing labels have turned into labels, such as "-1" among words.

    Examples
    --------
    >>> from sklearn_ssl.few_labels.labels import is_unlabeled
    >>> is_unlabeled([0, 1, -1]).tolist()
    [False, False, True]
    >>> is_unlabeled(["good", None, "bad"]).tolist()
    [False, True, False]
    >>> is_unlabeled([-1.0, 0.5, float("nan")], regression=True).tolist()
    [False, False, True]
    """
    y = label_array(y)
    missing = _missing(y, -1 if not regression else np.nan)  # nothing equals NaN
    if not missing.any():  # otherwise the user knows how to mark them
        _check_marks(y)
    return missing


def _missing(y, no_class):
    if y.dtype.kind == "O":
        missing = [_is_none(v) or v != v or (_is_number(v) and v == no_class) for v in y.ravel()]
        return np.array(missing, bool).reshape(y.shape)
    if y.dtype.kind == "f":
        return np.isnan(y) | (y == no_class)
    if y.dtype.kind == "i":
        return y == no_class
    if y.dtype.kind in "mM":
        return np.isnat(y)
    return np.zeros(y.shape, bool)


def _check_marks(y):
    """Look for marks turned into labels; NumPy cuts strings at the width of their array."""
    if y.dtype.kind in "SU":
        strings = np.strings.decode(y, "latin-1") if y.dtype.kind == "S" else y
        check_string_marks(strings.ravel(), width=strings.dtype.itemsize // 4)
    elif y.dtype.kind == "O" and y.size and all(isinstance(label, str) for label in y.ravel()):
        check_string_marks(y.ravel().astype(str))
    elif y.dtype.kind == "u":
        check_unsigned_marks(y.ravel())


def label_array(y):
    """Return y as an array, of objects including None where NumPy would lose a mark.

    In lists of strings, NumPy would turn marks into the labels "None", "nan" and "-1"; in masked
    arrays, it would use the values under the mask. Sparse matrices of several labels become dense.
    """
    if issparse(y):
        return y.toarray()
    if hasattr(y, "num_columns"):  # a table of Arrow
        y = y.column(0) if y.num_columns == 1 else list(zip(*(c.to_pylist() for c in y.columns)))
    if hasattr(y, "to_pylist"):  # NumPy reads nulls of a chunked dictionary as its first entry
        y = y.to_pylist()
    if isinstance(y, np.ma.MaskedArray):
        return _without_masked(y)
    if hasattr(y, "dtype") or hasattr(y, "__array__"):
        y = np.asarray(y)
        return y.astype(object) if y.dtype.kind == "T" else y  # strings of any width
    objects = np.asarray(y, dtype=object)
    as_they_are = (str, *LISTS)  # lists of different lengths are no array of another kind
    if any(isinstance(label, as_they_are) or label is np.ma.masked for label in objects.ravel()):
        return objects
    return np.asarray(y)


def _without_masked(y):
    """Return a masked array as a plain one, with None where it is masked."""
    hidden = np.ma.getmaskarray(y)
    if not hidden.any():
        return label_array(y.data)
    objects = y.data.astype(object)
    objects[hidden] = None
    return objects


def labeled_rows(y, *, regression=False):
    """Return the indices of the rows with a label.

    Parameters
    ----------
    y : ndarray of shape (n,) or (n, n_outputs)
    regression : bool, default=False
        Whether y holds numbers to predict, where -1 is an ordinary number.

    Returns
    -------
    labeled : ndarray of int

    Raises
    ------
    ValueError
        If no row has a label, or a row has labels for only some of its outputs.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn_ssl.few_labels.labels import labeled_rows
    >>> labeled_rows(np.array([3, -1, 5]))
    array([0, 2])
    """
    missing = is_unlabeled(y, regression=regression)
    if missing.ndim > 1:  # [n, n_outputs]
        if np.any(missing.any(axis=1) != missing.all(axis=1)):
            hint = "" if regression else hint_at_minus_one(y)
            raise ValueError(
                "Some rows of y have labels for only some of the outputs. Leave these rows out, or "
                f"mark all of their outputs as missing.{hint}"
            )
        missing = missing.all(axis=1)
    if missing.all():
        words = "None or NaN" if regression else "-1, None or NaN"
        raise ValueError(
            f"None of the {len(y)} rows has a label: y is {words} in all of them, which means that "
            "the label is missing. Label some rows."
        )
    return np.flatnonzero(~missing)


def hint_at_minus_one(y):
    """Return a hint for -1 as a class, or nothing if y does not contain -1.

    For messages about labels of a single class, which is what -1 and 1 amount to.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn_ssl.few_labels.labels import hint_at_minus_one
    >>> hint_at_minus_one(np.array([0, 1]))
    ''
    """
    y = label_array(y)
    if not np.any(_missing(y, -1) & ~_missing(y, np.nan)):
        return ""
    return (
        " -1 means that a row has no label. If it is a class, as for an SVM, give it another "
        "number: y = np.where(y == -1, 0, y)."
    )


def check_class_labels(y, labels, name):
    """Refuse labels that cannot be classes: of several kinds, or with a -1 that is not a mark.

    -1 is a class, and not a mark, if there is only one other class, if there are other negative
    numbers, or if an estimator around ours has numbered the classes. Call it when fitting a
    classifier.

    Parameters
    ----------
    y : array-like
        All labels, including the missing ones.
    labels : ndarray
        The labels that are not missing.
    name : str
        The estimator, for the message.

    Raises
    ------
    ValueError
    """
    refuse_encoded_marks(name)
    check_own_labels(y, labels, name)


def check_own_labels(y, labels, name):
    """Like :func:`check_class_labels`, for labels that no caller can have numbered.

    They are a parameter, rather than the y of a fit.
    """
    _check_one_kind(labels, name)
    if not (hint := hint_at_minus_one(y)):
        return
    if labels.dtype.kind in "if" and np.any(labels < 0):
        raise ValueError(
            f"{name} treats -1 as the mark of a row without a label, but y holds other negative "
            f"numbers too, such as {labels.min():g}. If -1 is a class, number all classes from 0: "
            "y = np.unique(y, return_inverse=True)[1]. If it is the mark, use None or NaN instead. "
            "If y holds numbers to predict, set regression=True, or use a regressor or "
            'scoring="r2".'
        )
    if labels.ndim == 1 and len(set(labels.tolist())) == 1:
        raise ValueError(
            f"{name} needs labeled rows of at least two classes; got only one class, "
            f"{labels.tolist()[0]!r}.{hint}"
        )


def _check_one_kind(labels, name):
    """Refuse labels that have no order, such as strings mixed with numbers."""
    if labels.dtype.kind != "O":
        return
    of_kinds = {type(label).__name__: label for label in labels.ravel()}
    listed = [label for label in of_kinds.values() if isinstance(label, LISTS)]
    if listed:
        raise ValueError(
            f"{name} got {listed[0]!r} in a row of y, next to rows of other lengths or kinds. "
            "Several labels per row are an indicator matrix of 0 and 1, with -1 or NaN in all "
            "columns of a row without labels. sklearn.preprocessing.MultiLabelBinarizer makes it "
            "of lists."
        )
    try:
        sorted(of_kinds.values())
    except TypeError:
        shown = " and ".join(f"{kind} ({label!r})" for kind, label in of_kinds.items())
        raise ValueError(
            f"{name} needs labels of one kind; y holds {shown}. Convert all of them to strings, "
            "and keep None where there is no label: [None if label is None else str(label) for "
            "label in y]."
        ) from None


def check_prediction(name):
    """Refuse to predict for a caller that treats -1 as a class, or compares with missing labels.

    Call it when predicting classes.

    Parameters
    ----------
    name : str
        Who asks.

    Raises
    ------
    ValueError
    """
    refuse_encoded_marks(name)
    y = labels_to_compare()
    if y is None:
        return
    n_missing = int(is_unlabeled(y).reshape(len(label_array(y)), -1).any(axis=1).sum())
    if n_missing:
        raise ValueError(
            f"{name} is scored on {len(y)} rows, but {n_missing} of them have no label; the metric "
            "would count these as wrong. Use sklearn_ssl.semi_supervised.labeled_scorer, which "
            "leaves them out, or scoring=None; for folds, use SemiSupervisedSplit."
        )


def plain_labels(y):
    """Return non-missing labels in a specific dtype, if they are an array of objects.

    Parameters
    ----------
    y : ndarray of shape (n,) or (n, n_outputs)

    Returns
    -------
    y : ndarray of the same shape
        Of strings, bytes, booleans or numbers. Objects of several kinds stay as they are.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn_ssl.few_labels.labels import plain_labels
    >>> plain_labels(np.array(["good", "bad"], dtype=object))
    array(['good', 'bad'], dtype='<U4')
    """
    if y.dtype.kind != "O":
        return y
    labels = y.ravel().tolist()
    for kind in (str, bytes, bool | np.bool_, Real):
        if all(isinstance(label, kind) for label in labels):
            return np.array(labels).reshape(y.shape)
    return y


def numbers_to_predict(labels, name):
    """Return non-missing labels as float64 numbers.

    Parameters
    ----------
    labels : ndarray of shape (n,)
    name : str
        Who asks.

    Raises
    ------
    ValueError
        If they are dates, or strings or objects that are not numbers.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn_ssl.few_labels.labels import numbers_to_predict
    >>> numbers_to_predict(np.array([1, 2]), "Ridge")
    array([1., 2.])
    """
    try:
        if labels.dtype.kind in "cmM":
            raise TypeError
        return labels.astype(np.float64)
    except (TypeError, ValueError):
        raise ValueError(
            f"{name} predicts numbers, but y holds other values, such as {str(labels[0])!r}, in "
            f"the dtype {labels.dtype}. Use a classifier for classes; convert dates to numbers, "
            "such as days since the first one."
        ) from None


def label_indicators(labels, name):
    """Return several non-missing labels per row, yes or no each, as integers 0 and 1.

    Parameters
    ----------
    labels : ndarray of shape (n, n_labels)
    name : str
        Who asks.

    Raises
    ------
    ValueError
        If a column holds anything but 0 and 1.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn_ssl.few_labels.labels import label_indicators
    >>> label_indicators(np.array([[True, False], [True, True]]), "MLPClassifier").tolist()
    [[1, 0], [1, 1]]
    """
    other = [value for value in labels.ravel().tolist() if value not in (0, 1)]
    if other:
        raise ValueError(
            f"{name} takes one label per row, or several columns that say with 0 and 1 which "
            f"labels a row has; y has {labels.shape[1]} columns and holds {other[0]!r}. If each "
            f"column holds classes, use sklearn.multioutput.MultiOutputClassifier({name}(...)), "
            "with a transformer in a FrozenEstimator, or pass one column."
        )
    return labels.astype(int)


def holds_fractions(y):
    """Return whether y holds numbers that are not all whole, so they cannot be classes.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn_ssl.few_labels.labels import holds_fractions
    >>> holds_fractions(np.array([0.5, 1.0, np.nan])), holds_fractions(np.array([0.0, 1.0, np.nan]))
    (True, False)
    """
    y = plain_labels(y[~is_unlabeled(y, regression=True)])
    return y.dtype.kind == "f" and bool(np.any(y != np.round(y)))


def _is_none(label):
    if label is None or label is np.ma.masked:
        return True
    return type(label).__name__ in ("NAType", "NaTType")  # pandas' own


def _is_number(label):
    return isinstance(label, int | float | np.number) and not isinstance(label, bool)
