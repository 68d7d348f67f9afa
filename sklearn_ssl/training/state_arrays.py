"""Nested state, such as that of an optimizer, as arrays and JSON, and back."""

import math

import numpy as np
import torch


def as_arrays(state):
    """Separate nested state into arrays and what JSON can hold.

    Parameters
    ----------
    state : dict
        Of dicts, lists, tuples, tensors, arrays, numbers, strings and None.

    Returns
    -------
    arrays : dict of str to torch.Tensor or ndarray
        All tensors and arrays in `state`, by number.
    tree : object
        The rest, with these numbers in the places of the arrays.

    Raises
    ------
    TypeError
        If `state` holds anything else; the message says where.
    """
    arrays = {}
    return arrays, _encoded(state, "", arrays)


def from_arrays(arrays, tree):
    """Return the state that :func:`as_arrays` has separated; arrays come back as they are given."""
    if not isinstance(tree, dict):
        return tree
    ((kind, content),) = tree.items()
    if kind == "array":
        return arrays[content]
    if kind == "float":
        return float(content)
    if kind == "dict":
        return {key: from_arrays(arrays, value) for key, value in content}
    values = [from_arrays(arrays, value) for value in content]
    return tuple(values) if kind == "tuple" else values


def _encoded(value, path, arrays):
    if isinstance(value, torch.Tensor | np.ndarray):
        name = str(len(arrays))
        arrays[name] = value
        return {"array": name}
    if isinstance(value, np.generic):
        value = value.item()
    if isinstance(value, float) and not math.isfinite(value):  # not in JSON
        return {"float": str(value)}
    if value is None or isinstance(value, bool | int | float | str):
        return value
    if isinstance(value, dict):
        pairs = value.items()
        return {"dict": [[key, _encoded(v, f"{path}/{key}", arrays)] for key, v in pairs]}
    if isinstance(value, list | tuple):
        kind = "tuple" if isinstance(value, tuple) else "list"
        return {kind: [_encoded(v, f"{path}/{i}", arrays) for i, v in enumerate(value)]}
    raise TypeError(
        f"{path.lstrip('/')} is a {type(value).__name__}, which cannot be saved: only tensors, "
        "arrays, numbers, strings, and dicts and lists of them can."
    )
