"""The columns of a table - a frame of pandas, polars or Arrow, an array, a list - and their values.

Strings are categories, numbers are numbers, whatever their dtype; anything else is an error.
"""

import datetime
import re
import uuid
from dataclasses import dataclass
from decimal import Decimal
from numbers import Complex, Real

import numpy as np

# Dtypes of categorical columns, whatever their values are.
CATEGORY_DTYPES = {"category", "categorical", "enum", "dictionary"}
CATEGORY_DTYPES |= {"string", "str", "utf8", "large_string", "string_view"}
NOT_NUMPY = {
    "struct",
    "int128",
    "uint128",
}  # dtypes that NumPy converts to others, or does not support
MISSING = ("NoneType", "NAType", "NaTType")  # the last two are those of pandas

# How to convert other values: the first entry that fits a type applies.
REMEDIES = [
    (
        (datetime.date, np.datetime64),
        "convert it to numbers: year, month, day of the week, days since a date",
    ),
    ((datetime.timedelta, np.timedelta64), "convert it to numbers: days, or total seconds"),
    ((datetime.time,), "convert it to numbers: hours since midnight"),
    ((uuid.UUID,), "drop it: the ID of a row says nothing about other rows"),
    ((bytes, bytearray, memoryview), "decode it with value.decode()"),
    ((Complex,), "split it into two columns: real and imaginary parts"),
    ((list, tuple, dict, set, np.ndarray), "split it into several columns"),
    ((object,), "convert it to numbers, or to strings, which are categories: .astype(str)"),
]


@dataclass
class Column:
    """A column of a table.

    Attributes
    ----------
    name : str
        As written in messages.
    values : ndarray or list
        Numbers of a numeric dtype, or values of any type, None for missing ones.
    types : set of type
        Types of the values in a list, without missing ones.
    has_category_dtype : bool
    """

    name: str
    values: object
    types: set
    has_category_dtype: bool

    @property
    def has_strings(self):
        """Whether some values are strings."""
        return any(issubclass(cls, str) for cls in self.types)

    def to_list(self):
        """Return the values as a list, None for missing ones."""
        if isinstance(self.values, list):
            return self.values
        return np.where(np.isnan(self.values), None, self.values.astype(object)).tolist()

    def to_numbers(self):
        """Return the values as an array of numbers, NaN for missing ones."""
        if isinstance(self.values, list):
            return np.array(self.values, dtype=np.float64)
        return self.values


def is_frame(X):
    """Return whether X is a table with column names: of pandas, polars or Arrow."""
    if len(getattr(X, "shape", ())) != 2:
        return False
    return any(hasattr(X, name) for name in ("iloc", "get_columns", "column_names"))


def column_names(frame):
    """Return the names of the columns of a frame as a list."""
    return list(getattr(frame, "column_names", frame.columns))


def table_of(X):
    """Return a frame or a two-dimensional array as it is, a list as such an array, else None."""
    if isinstance(X, list | tuple):
        try:
            X, nested = np.asarray(X), X
        except ValueError:  # of different lengths
            return None
        if X.dtype.kind in "US":  # NumPy has turned numbers mixed with strings into strings
            X = np.array(nested, dtype=object)
    return X if is_frame(X) or (isinstance(X, np.ndarray) and X.ndim == 2) else None


def holds_numbers_only(table):
    """Return whether all dtypes of a table are numeric dtypes of NumPy."""
    if isinstance(table, np.ndarray):
        return table.dtype.kind in "biufc"
    if not hasattr(table, "iloc") or table.shape[1] == 0:
        return False
    return all(isinstance(dtype, np.dtype) and dtype.kind in "biuf" for dtype in table.dtypes)


def read_columns(table):
    """Return the columns of a table.

    Parameters
    ----------
    table : frame or ndarray of shape (n, features)

    Returns
    -------
    columns : list of Column

    Raises
    ------
    TypeError
        If values are neither strings nor numbers.
    """
    names = column_names(table) if is_frame(table) else range(table.shape[1])
    columns = [_read(f"{name!r}", _column(table, j)) for j, name in enumerate(names)]
    others = {
        column.name: next(cls for cls in column.types if not _is_plain(cls))
        for column in columns
        if not all(map(_is_plain, column.types))
    }
    if others:
        listed = [f"{name} ({cls.__name__}: {_remedy(cls)})" for name, cls in others.items()]
        raise TypeError(
            "The argument must be a table of strings and numbers, but X has other values in "
            f"column {among(listed)}."
        )
    return columns


def among(names, most=5):
    """Return names as listed in a message, only the first ones if there are many."""
    more = len(names) - most
    return ", ".join(names[:most]) + (f" and {more} more" if more > 0 else "")


def _column(table, j):
    if hasattr(table, "iloc"):
        return table.iloc[:, j]
    return table.columns[j] if hasattr(table, "column_names") else table[:, j]


def _read(name, column):
    if hasattr(
        getattr(column, "dtype", None), "pyarrow_dtype"
    ):  # pandas does not know all Arrow types
        column = column.array.__arrow_array__()
    dtype = column.dtype if hasattr(column, "dtype") else column.type
    word = re.match(r"\w*", str(dtype).lower()).group()
    if word not in CATEGORY_DTYPES | NOT_NUMPY:
        array = _array(column, dtype)
        if array.ndim == 1 and array.dtype.kind in "biuf":
            return Column(name, array, set(), False)
    values = column.to_pylist() if hasattr(column, "to_pylist") else _list(column)
    values = _plain_values(values)
    types = set(map(type, values)) - {type(None)}
    return Column(name, values, types, word in CATEGORY_DTYPES)


def _array(column, dtype):
    array = np.asarray(column)
    if array.dtype == object and getattr(dtype, "kind", "O") in "biuf":  # of pandas, with NA
        return column.to_numpy(dtype=np.float64, na_value=np.nan)
    return array


def _list(column):
    """Return the values of a column of NumPy (which makes integers of dates), pandas or polars."""
    if isinstance(column, np.ndarray):
        return column.tolist() if column.dtype.kind in "OUT" else list(column)
    return column.to_list()


def _plain_values(values):
    """Return a list of values of Python's own types, None for missing ones."""
    if set(map(type, values)) <= {str, int, bool, type(None)}:
        return values
    try:
        plain = {value: _plain(value) for value in set(values)}
    except TypeError:  # lists and the like, which are refused
        return values
    return [plain[value] for value in values]


def _plain(value):
    """Return a value as one of Python's own types, a missing one as None."""
    if isinstance(value, np.generic) and not isinstance(value, np.datetime64 | np.timedelta64):
        value = value.item()
    if isinstance(value, float | Decimal | np.floating) and value != value:
        return None
    return None if type(value).__name__ in MISSING else value


def _is_plain(cls):
    return issubclass(cls, str | Real | Decimal) and not issubclass(cls, np.timedelta64)


def _remedy(cls):
    if cls.__name__ == "Period":  # of pandas
        cls = datetime.date
    return next(remedy for classes, remedy in REMEDIES if issubclass(cls, classes))
