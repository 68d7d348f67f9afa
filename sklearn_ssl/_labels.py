"""Which labels are missing: -1, None or NaN, as in ``sklearn.semi_supervised``."""

from numbers import Real

import numpy as np


def is_unlabeled(y, *, regression=False):
    """Say which rows of y have no label.

    Parameters
    ----------
    y : array-like of shape (n,)
        None, NaN and pandas' NA are no label, and of numbers -1 is none either. Strings and
        booleans are labels: to leave some out, mix None among them in a list, or in an array of
        ``dtype=object``.
    regression : bool, default=False
        Whether y holds numbers to be predicted, of which -1 is one like any other.

    Returns
    -------
    unlabeled : ndarray of bool of shape (n,)

    Examples
    --------
    >>> from sklearn_ssl._labels import is_unlabeled
    >>> is_unlabeled([0, 1, -1]).tolist()
    [False, False, True]
    >>> is_unlabeled(["good", None, "bad"]).tolist()
    [False, True, False]
    >>> is_unlabeled([-1.0, 0.5, float("nan")], regression=True).tolist()
    [False, False, True]
    """
    y = label_array(y)
    no_class = -1 if not regression else np.nan  # nothing equals NaN
    if y.dtype.kind == "O":
        missing = [_is_none(v) or v != v or (_is_number(v) and v == no_class) for v in y.ravel()]
        return np.array(missing, bool).reshape(y.shape)
    if y.dtype.kind == "f":
        return np.isnan(y) | (y == no_class)
    if y.dtype.kind == "i":
        return y == no_class
    return np.zeros(y.shape, bool)


def label_array(y):
    """Return y as an array; strings mixed with None or numbers as one of objects.

    NumPy would make "None", "nan" and "-1" of them, which are labels like any other.
    """
    if hasattr(y, "dtype") or hasattr(y, "__array__"):
        return np.asarray(y)
    objects, plain = np.asarray(y, dtype=object), np.asarray(y)
    if plain.dtype.kind == "U" and not all(isinstance(label, str) for label in objects.ravel()):
        return objects
    return plain


def labeled_rows(y, *, regression=False):
    """Return the indices of the rows with a label.

    Parameters
    ----------
    y : ndarray of shape (n,) or (n, n_outputs)
    regression : bool, default=False
        Whether y holds numbers to be predicted, of which -1 is one like any other.

    Returns
    -------
    labeled : ndarray of int

    Raises
    ------
    ValueError
        If there is none, or a row has a label for some of its outputs only.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn_ssl._labels import labeled_rows
    >>> labeled_rows(np.array([3, -1, 5]))
    array([0, 2])
    """
    missing = is_unlabeled(y, regression=regression)
    if missing.ndim > 1:  # [n, n_outputs]
        if np.any(missing.any(axis=1) != missing.all(axis=1)):
            raise ValueError(
                "Some rows of y have a label for some of the outputs only. Leave them out, or mark "
                "all of their outputs as missing."
            )
        missing = missing.all(axis=1)
    if missing.all():
        words = "None or NaN" if regression else "-1, None or NaN"
        raise ValueError(
            f"None of the {len(y)} rows has a label: y is {words}, which mark missing labels, in "
            "all of them. Label some rows."
        )
    return np.flatnonzero(~missing)


def plain_labels(y):
    """Return labels without missing ones in a dtype of their own, if they are an array of objects.

    Parameters
    ----------
    y : ndarray of shape (n,) or (n, n_outputs)

    Returns
    -------
    y : ndarray of the same shape
        Of strings, booleans or numbers. Objects of several kinds stay what they are.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn_ssl._labels import plain_labels
    >>> plain_labels(np.array(["good", "bad"], dtype=object))
    array(['good', 'bad'], dtype='<U4')
    """
    if y.dtype.kind != "O":
        return y
    labels = y.ravel().tolist()
    for kind in (str, bool | np.bool_, Real):
        if all(isinstance(label, kind) for label in labels):
            return np.array(labels).reshape(y.shape)
    return y


def _is_none(label):
    return label is None or type(label).__name__ in ("NAType", "NaTType")  # pandas' own


def _is_number(label):
    return isinstance(label, int | float | np.number) and not isinstance(label, bool)
