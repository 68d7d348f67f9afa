"""Containers of users' data: Arrow arrays, masks, frames that are not collected yet."""

import sys

import numpy as np


def opened(X):
    """Return X as it is, except that Arrow data becomes a Table or a list.

    Raises
    ------
    TypeError
        If X is a polars LazyFrame, which has no rows yet, or a Dataset or DataLoader, which yields
        rows in its own way.
    """
    if type(X).__name__ == "LazyFrame":
        raise TypeError("X is a polars LazyFrame, which has no rows yet. Pass X.collect().")
    _refuse_datasets(X)
    if not hasattr(X, "to_pylist") or type(X).__name__ == "Table":
        return X
    Table = sys.modules["pyarrow"].Table
    if type(X).__name__ == "RecordBatch":
        return Table.from_batches([X])
    if str(X.type).startswith("struct<"):  # rows of a RecordBatch, as scikit-learn takes some
        return Table.from_struct_array(X)
    return X.to_pylist()


def _refuse_datasets(X):
    kinds = [kind.__name__ for kind in type(X).__mro__]
    if any("DataLoader" in kind or "Dataset" in kind for kind in kinds) and not hasattr(X, "dtype"):
        table = next(
            (f"X.{name}()" for name in ("to_pandas", "to_dataframe") if hasattr(X, name)), ""
        )
        raise TypeError(
            f"X is a {kinds[0]}, which yields rows in its own way. Expected an array of numbers, a "
            "data frame, or a list of arrays: stack the rows of the data set, for example with "
            "np.stack([np.asarray(row[0]) for row in dataset])."
            + (f" If it is a table, pass {table}." if table else "")
            + _advice_on_images(X)
        )


def _advice_on_images(X):
    """Return how to pass the images of torchvision's ImageFolder or of Hugging Face's datasets."""
    if hasattr(X, "samples"):
        return " If it lists image files, pass [path for path, label in X.samples]."
    if hasattr(X, "column_names"):
        return ' If a column holds images, pass it, such as X["image"], with image_size=64.'
    return ""


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
