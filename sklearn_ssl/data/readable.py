"""Containers of rows: arrays, frames and lists are read; for others, errors say what to do."""

import re
from collections import Counter
from collections.abc import Iterator, Mapping, Set
from os import PathLike

import numpy as np
import torch

from sklearn_ssl.data.columns import column_names
from sklearn_ssl.data.containers import refuse_dataset
from sklearn_ssl.data.image_files import SIGNATURES
from sklearn_ssl.data.image_items import ImageItems
from sklearn_ssl.data.stored_arrays import is_lazy, read_in_blocks

TAKEN = "Expected an array of numbers, a data frame, or a list of arrays"
FILE_NAME = re.compile(r"\S*\.[A-Za-z]\w{1,4}")
TO_RESIZE = (
    "Images must have the same size. Estimators of images resize files, if X is a list of paths, "
    "and lists of arrays or of images of PIL, for example with image_size=64"
)
IMAGE_ESTIMATORS = (
    "Image files, as a list of paths, are read by estimators of images, such as SimCLRTransformer"
)
IMAGE_ITEMS = (
    "If it holds images, use an estimator of images, such as SimCLRTransformer; if they are gray, "
    'with modality="image"'
)
TO_PAD = "TS2VecTransformer and NextFrameEmbedder accept series of different lengths"
TEXT_ESTIMATORS = "SimCLRTransformer, MaskedLMEmbedder or CausalLMEmbedder, for example"


def read_rows(X, name):
    """Return X as an object with a shape, or as a list of such objects.

    Parameters
    ----------
    X : object
    name : str
        Of the estimator, for messages.

    Returns
    -------
    X : object
        X itself, except for tensors, and arrays or columns of arrays. An array that is read or
        computed when it is indexed is read once, into memory or a temporary file.

    Raises
    ------
    TypeError, ValueError
        If X can be read only once or only in its own way, or if it holds texts or paths.
    """
    if isinstance(X, torch.Tensor):
        return _tensor_as_array(X)
    if isinstance(X, ImageItems):
        refuse_dataset(X.dataset, f" {IMAGE_ITEMS}.")
    _refuse_unreadable(X, name)
    if hasattr(X, "columns") and hasattr(X, "shape"):
        _refuse_names_that_come_twice(X)
        _refuse_nested_frame(X, name)
        return X
    if is_lazy(X):
        return read_in_blocks(X)
    if (
        hasattr(X, "__array__")
        and not isinstance(X, np.ndarray)
        and len(getattr(X, "shape", ())) > 1
    ):
        return np.asarray(X)  # of another library
    rows = _rows_in_one_dimension(X)
    if rows is None:
        return X
    missing = [place for place, row in enumerate(rows) if row is None]
    first = next((row for row in rows if row is not None), None)
    text = next((row for row in rows if isinstance(row, str | bytes | PathLike)), None)
    _refuse_texts_and_paths(text, name)
    if isinstance(first, Mapping):
        raise TypeError("X is a list of dicts. If it is a table, pass pandas.DataFrame(X).")
    if missing:
        raise ValueError(f"Row {missing[0]} of X is missing (None). Leave it out.")
    if hasattr(first, "columns"):
        raise ValueError(
            f"X is a list of DataFrames; {name} needs each series as an array with time as the "
            "last axis. Pass [frame.to_numpy().T for frame in X]."
        )
    if isinstance(first, torch.Tensor):
        return [_tensor_as_array(row) for row in rows]
    if hasattr(first, "getbands"):  # images of PIL
        return [np.asarray(row) for row in rows]
    return rows if np.ndim(first) else X


def count_dims(X):
    """Return the number of dimensions of X, judging by its first row; None if unknown."""
    try:
        if isinstance(X, list | tuple) and len(X):
            return 1 + np.ndim(X[0])
        return len(X.shape if hasattr(X, "shape") else np.asarray(X).shape)
    except (TypeError, ValueError):  # a row of lists of different lengths, for example
        return None


def _tensor_as_array(X):
    if X.layout != torch.strided:
        raise TypeError("Sparse data was passed, a tensor; dense data is required: X.to_dense().")
    X = X.detach().cpu()
    return (X.float() if X.dtype == torch.bfloat16 else X).resolve_conj().resolve_neg().numpy()


def _refuse_unreadable(X, name):
    if isinstance(X, PathLike):
        _refuse_texts_and_paths(X, name)
    if isinstance(X, str | bytes):
        raise ValueError(
            f"X is a single string, {X[:40]!r}; {name} needs numbers. {TAKEN}. {IMAGE_ESTIMATORS}: "
            "for a folder, pass sklearn_ssl.list_images(folder)[0], for one file a list of its "
            f"path. For texts, pass a list of strings to {TEXT_ESTIMATORS}."
        )
    if isinstance(X, np.ndarray) and X.dtype.names:
        raise TypeError(
            f"X is a structured array with the fields {', '.join(X.dtype.names)}. Pass "
            "pandas.DataFrame(X.ravel())."
        )
    kind = type(X).__name__
    if isinstance(X, Iterator):
        raise TypeError(
            f"X is an iterator ({kind}), which can be read only once. {TAKEN}: pass list(X)."
        )
    if isinstance(X, Mapping | Set) and not hasattr(X, "shape"):  # as SciPy's dok_array has
        raise TypeError(f"X is a {kind}. {TAKEN}, with one entry for each row.")


def _refuse_texts_and_paths(first, name):
    is_text = isinstance(first, str | bytes)
    is_image = isinstance(first, bytes) and SIGNATURES.match(first)
    if is_image or isinstance(first, PathLike) or (is_text and FILE_NAME.fullmatch(str(first))):
        what = "encoded images" if is_image else f"paths, such as {str(first)!r}"
        raise ValueError(
            f"X holds {what}; {name} does not read such files. {TAKEN}: read the files first. "
            f"{IMAGE_ESTIMATORS}."
        )
    if is_text:
        raise ValueError(
            f"X holds texts, such as {first[:40]!r}, but {name} needs numbers. For texts, use "
            f"{TEXT_ESTIMATORS}. A single column or row of a table must have two dimensions."
        )


def _refuse_names_that_come_twice(X):
    name, n = next(iter(Counter(column_names(X)).most_common(1)), ("", 0))
    if n > 1:
        raise ValueError(
            f"X has several columns named {name!r}, which cannot be told apart later. Rename them, "
            "or keep the first of each, in pandas with X.loc[:, ~X.columns.duplicated()]."
        )


def _refuse_nested_frame(X, name):
    """Refuse DataFrames whose cells hold series, as in sktime, or images."""
    if len(X) == 0 or X.shape[1] == 0 or not (hasattr(X, "iloc") or hasattr(X, "row")):
        return
    row = X.iloc[0] if hasattr(X, "iloc") else X.row(0)
    cells = [0 if isinstance(cell, str | bytes | tuple) else np.ndim(cell) for cell in row]
    dims = max(cells)
    if dims == 1 and min(cells) == 0:
        column = list(X.columns)[cells.index(1)]
        raise ValueError(
            f"Column {column!r} of X holds arrays or lists. Split them into several columns; or, "
            f"if they are the rows, pass list(X[{column!r}])."
        )
    if dims > 1:
        raise ValueError(
            f"X is a {type(X).__name__} whose cells hold arrays. Pass the rows of one column, "
            "list(X[column])."
        )
    if dims == 1:
        raise ValueError(
            f"X is a {type(X).__name__} whose cells hold series; {name} needs an array of shape "
            "(n, channels, time), or a list of arrays of shape (channels, time). Pass "
            "[np.stack(row) for row in X.to_numpy()]."
        )


def _rows_in_one_dimension(X):
    """Return the rows of a list, or of an array or a column of objects; otherwise None."""
    if isinstance(X, list | tuple):
        return X
    is_flat = len(getattr(X, "shape", ())) == 1 and hasattr(X, "dtype")
    is_objects = is_flat and getattr(X.dtype, "kind", "O") not in "biufcmM"
    return list(X) if is_objects else None


def refuse_ragged(rows, advice, name):
    """Refuse a list of rows whose shapes differ, and say what to do.

    Parameters
    ----------
    rows : list
    advice : str
        What to do, for the kind of data in X.
    name : str
        Of the estimator, for messages.
    """
    # Rows that are lists are compared by length, which is fast.
    shapes = [(len(row),) if isinstance(row, list | tuple) else np.shape(row) for row in rows]
    other = next((shape for shape in shapes if shape != shapes[0]), None)
    if other is None:
        return
    raise ValueError(
        f"X is a list of rows of inhomogeneous shapes, such as {shapes[0]} and {other}; {name} "
        f"needs rows of the same shape. {advice}."
    )
