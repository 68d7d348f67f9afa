"""Containers of users' data: Arrow arrays, masks, frames that are not collected yet."""

import sys
from collections.abc import Mapping

import numpy as np

from sklearn_ssl.data.image_items import ImageItems, images_in


def opened(X):
    """Return X as it is, except for Arrow data and data sets of images.

    Arrow data becomes a Table or a list, and a data set of images a sequence of them. So does a
    list of its items.

    Raises
    ------
    TypeError
        If X is a polars LazyFrame, which has no rows yet, a dict with a column of images, or a
        DataLoader or another Dataset, which yields rows in its own way.
    """
    if isinstance(X, Mapping):
        _refuse_columns(X)
    if type(X).__name__ == "LazyFrame":
        raise TypeError("X is a polars LazyFrame, which has no rows yet. Pass X.collect().")
    if isinstance(X, list) and X and isinstance(X[0], tuple | Mapping):
        return ImageItems(X) if len(images_in(X[0])) == 1 else X
    if _is_dataset(X):
        _refuse_other_items(X)
        return ImageItems(X)
    if not hasattr(X, "to_pylist") or type(X).__name__ == "Table":
        return X
    Table = sys.modules["pyarrow"].Table
    if type(X).__name__ == "RecordBatch":
        return Table.from_batches([X])
    if str(X.type).startswith("struct<"):  # rows of a RecordBatch, as scikit-learn takes some
        return Table.from_struct_array(X)
    return X.to_pylist()


def _refuse_columns(X):
    """Raise an error if a dict holds columns of images: its length is not their number."""
    lists = {name: column for name, column in X.items() if isinstance(column, list)}
    columns = [f"X[{name!r}]" for name, column in lists.items() if images_in(column)]
    if columns:
        which = f"{columns[0]}, its images" if len(columns) == 1 else f"one of {', '.join(columns)}"
        raise TypeError(
            f"X is a {type(X).__name__} of columns, such as a part of a data set of Hugging Face. "
            f"Pass {which}."
        )


def _is_dataset(X):
    kinds = [kind.__name__ for kind in type(X).__mro__]
    return any("DataLoader" in k or "Dataset" in k for k in kinds) and not hasattr(X, "dtype")


def _refuse_other_items(X):
    """Raise an error unless a data set has a length, an index and one image in each item."""
    has_index = hasattr(X, "__len__") and hasattr(X, "__getitem__") and not isinstance(X, Mapping)
    if not has_index or len(X) == 0:
        refuse_dataset(X)
    n_images = len(images_in(X[0]))
    if n_images != 1:
        refuse_dataset(X, f" Its items hold {n_images} images, not one.")


def refuse_dataset(X, reason=""):
    """Raise an error about a data set that cannot be read."""
    name = type(X).__name__
    table = next(
        (f"X.{method}()" for method in ("to_pandas", "to_dataframe") if hasattr(X, method)), ""
    )
    raise TypeError(
        f"X is a {name}, which yields rows in its own way.{reason} Expected an array of numbers, a "
        "data frame, a list of arrays, or a data set with a length and an index, with one image in "
        "each item. Stack the rows of any other data set, for example with "
        "np.stack([np.asarray(row[0]) for row in dataset])."
        + (f" If it is a table, pass {table}." if table else "")
    )


def unmasked(X, whole=None):
    """Return X as it is, except that masked values of a masked array become missing.

    Parameters
    ----------
    X : object
        A masked array, a list of masked arrays, or anything else.
    whole : str, default=None
        What X holds, if no value of it may be missing: "images", "videos".

    Returns
    -------
    X : object
        With NaN in place of masked numbers, or None in place of masked objects. If nothing is
        masked, a view of the data.

    Raises
    ------
    ValueError
        If values are masked that may not be missing.
    """
    if isinstance(X, list | tuple) and any(isinstance(row, np.ma.MaskedArray) for row in X):
        return [unmasked(row, whole) for row in X]
    if not isinstance(X, np.ma.MaskedArray):
        return X
    if not np.ma.is_masked(X):
        return X.data
    if whole:
        raise ValueError(
            f"X has {np.ma.count_masked(X)} masked values, but {whole} must be complete. Fill "
            "them, for example with X.filled(0), or leave out the rows that have masked values."
        )
    dtype = {"f": X.dtype, "b": float, "i": float, "u": float}.get(X.dtype.kind, object)
    filled = X.data.astype(dtype)
    filled[X.mask] = None if filled.dtype == object else np.nan
    return filled
