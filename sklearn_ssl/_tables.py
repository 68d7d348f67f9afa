"""Columns of categories: which columns of a table are some, and numbers for their values."""

import numpy as np
from sklearn.utils import check_array

CATEGORY_DTYPES = {"category", "categorical", "enum", "string", "str", "utf8"}


def learn_categories(tables, categorical_features):
    """Find the columns of categories, and the values that each of them has.

    Parameters
    ----------
    tables : list of DataFrame or array-like
        With the same columns. What is no table is left for others to refuse.
    categorical_features : "from_dtype", None or array-like
        As in :class:`~sklearn_ssl.BaseSSLTransformer`.

    Returns
    -------
    categories : tuple or None
        For each column the tuple of its values, None for a missing one among them, or None if it
        holds numbers. None as a whole if all columns do.

    Raises
    ------
    ValueError
        If `categorical_features` names what is not there.
    TypeError
        If values of a column are neither strings nor numbers.
    """
    tables = [_as_table(table) for table in tables]
    if tables[0] is None or categorical_features is None:
        return None
    n_columns = tables[0].shape[1]
    tables = [table for table in tables if table is not None and table.shape[1] == n_columns]
    chosen = _categorical_columns(tables[0], categorical_features)
    if not chosen:
        return None
    return tuple(_distinct(tables, j) if j in chosen else None for j in range(n_columns))


def encode_table(table, categories, estimator_name):
    """Turn a table with columns of categories into one of numbers.

    Parameters
    ----------
    table : DataFrame or array-like of shape (n, features)
    categories : tuple
        As :func:`learn_categories` returns it.
    estimator_name : str
        Named in messages.

    Returns
    -------
    encoded : ndarray of shape (n, features) of float64
        Numbers as they are, NaN where one is missing. Of categories the codes: 1 for the first
        value, and 0 for any that was not learnt.
    """
    table = _as_table(table)
    encoded = np.empty(table.shape)
    numeric = [j for j, values in enumerate(categories) if values is None]
    if numeric:
        encoded[:, numeric] = check_array(
            _columns(table, numeric),
            dtype=np.float64,
            ensure_all_finite="allow-nan",
            ensure_min_samples=0,
            estimator=estimator_name,
            input_name="X",
        )
    for j, values in enumerate(categories):
        if values is not None:
            codes = {value: code for code, value in enumerate(values, start=1)}
            encoded[:, j] = [codes.get(value, 0) for value in _values(table, j)]
    return encoded


def decode_table(encoded, categories):
    """Put categories back in the place of their codes.

    Parameters
    ----------
    encoded : ndarray of shape (n, features)
        As :func:`encode_table` returns it.
    categories : tuple
        As :func:`learn_categories` returns it.

    Returns
    -------
    table : ndarray of shape (n, features) of object
        None for a category that is missing, or was not learnt.
    """
    table = encoded.astype(object)
    for j, values in enumerate(categories):
        if values is not None:
            table[:, j] = np.array([None, *values], dtype=object)[encoded[:, j].astype(int)]
    return table


def _as_table(X):
    """Return a DataFrame or an array of two dimensions; None if X is neither."""
    if _is_frame(X):
        return X
    if isinstance(X, (list, tuple)):
        X = np.array(X, dtype=object)
    return X if isinstance(X, np.ndarray) and X.ndim == 2 else None


def _is_frame(X):
    return hasattr(X, "columns") and hasattr(X, "shape")


def _categorical_columns(table, categorical_features):
    """Return the set of the places of the columns of categories."""
    n_columns = table.shape[1]
    names = np.array(table.columns, dtype=object) if _is_frame(table) else None
    if isinstance(categorical_features, str):  # "from_dtype"
        if names is None:
            return set()
        return {j for j in range(n_columns) if _has_category_dtype(table, j)}
    chosen = np.asarray(categorical_features)
    if chosen.size == 0:
        return set()
    if chosen.dtype == bool and chosen.shape == (n_columns,):
        return set(np.flatnonzero(chosen).tolist())
    if chosen.dtype.kind in "iu" and chosen.min() >= 0 and chosen.max() < n_columns:
        return set(chosen.tolist())
    if chosen.dtype.kind in "UO" and names is not None and set(chosen) <= set(names):
        return {int(np.flatnonzero(names == name)[0]) for name in chosen}
    known = f"names of columns ({', '.join(map(str, names))}), " if names is not None else ""
    raise ValueError(
        f"categorical_features={categorical_features!r} does not fit X, which has {n_columns} "
        f'columns. Expected "from_dtype", None, {known}places from 0 to {n_columns - 1}, or a '
        f"boolean for each column."
    )


def _has_category_dtype(frame, j):
    column = frame[frame.columns[j]]
    dtype = str(getattr(column, "dtype", "")).lower().split("(")[0].split("[")[0]
    if dtype != "object":
        return dtype in CATEGORY_DTYPES
    try:  # objects may be numbers all the same
        np.array([value for value in _values(frame, j) if value is not None], dtype=np.float64)
    except (TypeError, ValueError):
        return True
    return False


def _columns(table, places):
    if not _is_frame(table):
        return table[:, places]
    return table[[table.columns[j] for j in places]]


def _values(table, j):
    """Return the values of a column as a list, with None for each that is missing."""
    column = table[table.columns[j]] if _is_frame(table) else table[:, j]
    values = np.asarray(column, dtype=object)
    # NaN alone differs from itself; NA of pandas answers NA to that question, and has to be asked.
    missing = np.asarray(column.isna()) if hasattr(column, "isna") else values != values
    return np.where(missing, None, values).tolist()


def _distinct(tables, j):
    """Return the values of a column in all tables, sorted: numbers, strings, then None."""
    try:
        distinct = set().union(*(_values(table, j) for table in tables))
        known = sorted(distinct - {None}, key=lambda value: (isinstance(value, str), value))
    except TypeError as error:
        raise TypeError(
            f"The categories in column {j} of X must be strings or numbers: {error}."
        ) from error
    return (*known, None) if None in distinct else tuple(known)
