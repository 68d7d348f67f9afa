"""Categorical columns: which columns of a table are categorical, and codes for their values."""

import re
import warnings
from collections import Counter
from decimal import Decimal

import numpy as np

from sklearn_ssl.data.columns import (
    among,
    column_names,
    holds_numbers_only,
    is_frame,
    read_columns,
    table_of,
)
from sklearn_ssl.data.image_files import are_names_of_images

N_TO_JUDGE = 20  # values of a column that are needed to judge whether it has too many categories
LARGEST_SHARE = 0.9  # maximum share of different values in a categorical column
N_TO_MISS = 5  # values of a column from which on most of them should be known
NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)(e[+-]?\d{1,3})?", re.ASCII | re.IGNORECASE)
TRUTH = {"true": True, "false": False}


def learn_categories(tables, categorical_features):
    """Find the categorical columns, and the values of each.

    Parameters
    ----------
    tables : list of DataFrame or array-like
        With the same columns. Anything that is not a table is refused elsewhere.
    categorical_features : "from_dtype", None or array-like
        As in :class:`~sklearn_ssl.BaseSSLTransformer`.

    Returns
    -------
    categories : tuple or None
        For each column the tuple of its values, including None for missing, or None if it holds
        numbers. None if all columns hold numbers.

    Raises
    ------
    ValueError
        If `categorical_features` does not fit the columns, or a column holds names of image files.
    TypeError
        If values are neither strings nor numbers.

    Warns
    -----
    UserWarning
        If almost every row has its own category in a column, or numbers are strings.
    """
    tables = [table_of(table) for table in tables]
    if tables[0] is None or categorical_features is None:
        return None
    is_automatic = isinstance(categorical_features, str)  # "from_dtype"
    if is_automatic and holds_numbers_only(tables[0]):
        return None
    n_columns = tables[0].shape[1]
    tables = [table for table in tables if table is not None and table.shape[1] == n_columns]
    chosen = None if is_automatic else _chosen(tables[0], categorical_features)
    if chosen == set():
        return None
    columns = [read_columns(table) for table in tables]
    _refuse_image_files(columns[0])
    if is_automatic:
        chosen = {j for j, c in enumerate(columns[0]) if c.has_category_dtype or c.has_strings}
        _warn_of_numbers_among_strings(tables[0], [columns[0][j] for j in sorted(chosen)])
    blocks = {j: [table[j] for table in columns] for j in sorted(chosen)}
    _warn_of_too_many(blocks.values())
    categories = [_distinct(blocks[j]) if j in chosen else None for j in range(n_columns)]
    return tuple(categories) if chosen else None


def encode_table(X, categories, estimator_name):
    """Turn a table into an array of numbers.

    Parameters
    ----------
    X : frame or array-like of shape (n, features)
    categories : tuple or None
        As returned by :func:`learn_categories`.
    estimator_name : str
        Named in messages.

    Returns
    -------
    encoded : ndarray of shape (n, features)
        Numbers as they are, NaN for missing ones. Codes for categories: 1 for the first value, and
        0 for values that were not learned.

    Raises
    ------
    ValueError
        If a column of numbers holds strings that are not numbers.
    TypeError
        If values are neither strings nor numbers.

    Warns
    -----
    UserWarning
        If most values of a column do not belong to its categories.
    """
    columns = read_columns(table_of(X))
    if not columns:
        return np.empty(X.shape)
    categories = categories or [None] * len(columns)
    return np.column_stack(
        [
            _numbers(column, estimator_name) if known is None else _codes(column, known)
            for column, known in zip(columns, categories)
        ]
    )


def decode_table(encoded, categories):
    """Replace codes with their categories.

    Parameters
    ----------
    encoded : ndarray of shape (n, features)
        As returned by :func:`encode_table`.
    categories : tuple
        As returned by :func:`learn_categories`.

    Returns
    -------
    table : ndarray of shape (n, features) of object
        None for a category that is missing, or was not learned.
    """
    table = encoded.astype(object)
    for j, values in enumerate(categories):
        if values is not None:
            table[:, j] = np.array([None, *values], dtype=object)[encoded[:, j].astype(int)]
    return table


def _chosen(table, categorical_features):
    """Return the set of positions of the columns that the user has named."""
    n_columns = table.shape[1]
    names = column_names(table) if is_frame(table) else []
    chosen = np.asarray(categorical_features)
    if chosen.size == 0:
        return set()
    if chosen.dtype == bool and chosen.shape == (n_columns,):
        return set(np.flatnonzero(chosen).tolist())
    if chosen.dtype.kind in "iu" and chosen.min() >= 0 and chosen.max() < n_columns:
        return set(chosen.tolist())
    if chosen.dtype.kind in "UO" and set(chosen) <= set(names):
        return {names.index(name) for name in chosen}
    known = f"names of columns ({', '.join(map(str, names))}), " if names else ""
    raise ValueError(
        f"categorical_features={categorical_features!r} does not fit X, which has {n_columns} "
        f'columns. Expected "from_dtype", None, {known}positions from 0 to {n_columns - 1}, or a '
        "boolean for each column."
    )


def _numbers(column, estimator_name):
    try:
        return column.to_numbers()
    except (ValueError, OverflowError) as error:
        raise ValueError(
            f"Column {column.name} of X is read as numbers: {error}. {estimator_name} reads "
            "columns of tables as categories if they hold strings in fit, or if "
            "categorical_features names them."
        ) from error


# Categories and their codes -------------------------------------------------------------------


def _distinct(columns):
    """Return the values of a column in all tables, sorted: numbers, strings, then None.

    A number and its string are one category, if there is only one such string.
    """
    distinct = set().union(*(column.to_list() for column in columns))
    known = distinct - {None}
    numbers = {value for value in known if not isinstance(value, str)}
    written = Counter(_number(value) for value in known - numbers)
    known -= {v for v in known - numbers if _number(v) in numbers and written[_number(v)] == 1}
    known = sorted(known, key=lambda value: (isinstance(value, str), value))
    return (*known, None) if None in distinct else tuple(known)


def _codes(column, known):
    """Return the codes of the values of a column: 0 for those that are not known.

    A number and a string are one category if the string is that number, and no other string is:
    reading a file again may change the dtype of a column.
    """
    values = column.to_list()
    codes = {value: code for code, value in enumerate(known, start=1)}
    new = set(values) - set(codes)
    if new:
        codes |= _written_otherwise(new, codes)
    encoded = np.array([codes.get(value, 0) for value in values], dtype=np.float64)
    _warn_of_unknown(column.name, values, encoded, known)
    return encoded


def _written_otherwise(values, codes):
    """Return the codes of those values that are a known number as a string, or the reverse."""
    alike = {}
    for value, code in codes.items():
        alike.setdefault((isinstance(value, str), _number(value)), []).append(code)
    others = {
        value: alike.get((not isinstance(value, str), _number(value)), []) for value in values
    }
    return {value: found[0] for value, found in others.items() if len(found) == 1}


def _number(value):
    """Return the number that a string or a number is, or the string."""
    if isinstance(value, float):
        return Decimal(repr(value))
    if not isinstance(value, str):
        return value
    return Decimal(value) if NUMBER.fullmatch(value) else TRUTH.get(value.lower(), value)


# Warnings -------------------------------------------------------------------------------------


def _warn_of_numbers_among_strings(table, columns):
    """Warn of numbers that are read as categories because they are mixed with strings."""
    mixed = [c.name for c in columns if not c.has_category_dtype and len(_kinds(c)) == 2]
    if mixed:
        warnings.warn(
            f"X has numbers and strings in column {among(mixed)}: all of them are read as "
            "categories. If they should be numbers, replace the strings with NaN.",
            UserWarning,
            stacklevel=2,
        )
    if isinstance(table, np.ndarray) and table.dtype.kind in "UT":
        written = [c.name for c in columns if all(map(_is_written_number, c.to_list()))]
        if written:
            warnings.warn(
                "X is an array of strings, which are categories, and has numbers as strings in "
                f"column {among(written)}. NumPy turns numbers mixed with strings into strings: "
                "keep them with dtype=object or in a DataFrame, or name the categorical columns in "
                "categorical_features.",
                UserWarning,
                stacklevel=2,
            )


def _kinds(column):
    return {issubclass(cls, str) for cls in column.types}


def _is_written_number(value):
    return value is None or NUMBER.fullmatch(value) is not None


def _refuse_image_files(columns):
    """Refuse columns of paths: as categories, they say nothing about the images."""
    names = [c.name for c in columns if c.has_strings and are_names_of_images(c.to_list())]
    if names:
        raise ValueError(
            f"Column {among(names)} of X holds names of image files, but X is read as a table. To "
            "learn from the images, pass that column alone, as one dimension, to an estimator of "
            "images, such as SimCLRTransformer; to learn from the other columns, leave it out."
        )


def _warn_of_too_many(blocks):
    """Warn of columns in which almost every row has its own category."""
    counts = {}
    for columns in blocks:
        blocks_of_values = [column.to_list() for column in columns]
        n_values = sum(len(values) - values.count(None) for values in blocks_of_values)
        n_different = len(set().union(*blocks_of_values) - {None})
        if n_values >= N_TO_JUDGE and n_different > LARGEST_SHARE * n_values:
            counts[columns[0].name] = f"{n_different} in {n_values} rows"
    if counts:
        listed = [f"{name} ({count})" for name, count in counts.items()]
        warnings.warn(
            f"Almost every row has its own category in column {among(listed)} of X, so nothing can "
            "be learned from it. Drop it if it holds IDs. Use a text estimator for free text, such "
            "as MaskedLMEmbedder. If it holds numbers, convert them, for example with "
            "pandas.to_numeric.",
            UserWarning,
            stacklevel=2,
        )


def _warn_of_unknown(name, values, codes, known):
    """Warn if most values of a column do not belong to its categories."""
    if codes.all():
        return
    unknown = [value for value, code in zip(values, codes) if code == 0 and value is not None]
    n_values = len(values) - values.count(None)
    if n_values >= N_TO_MISS and len(unknown) > n_values / 2:
        examples = among([repr(value) for value in known if value is not None], 3)
        warnings.warn(
            f"Of {n_values} values in column {name} of X, {len(unknown)} are not among the "
            f"categories in fit and are embedded as unknown, such as {unknown[0]!r}; in fit there "
            f"were {examples or 'none'}. Convert the column to the values it had in fit, or fit "
            "again.",
            UserWarning,
            stacklevel=2,
        )
