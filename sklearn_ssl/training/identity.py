"""What tells one fit from another: parameters, data and initial weights, in words and digests."""

import copy
import hashlib
import re
from numbers import Integral

import numpy as np
import torch
from torch import nn

from sklearn_ssl._version import __version__
from sklearn_ssl.training import runtime

# Parameters that change neither the weights nor the history of a fit.
WITHOUT_EFFECT = ("callbacks", "checkpoint", "device", "verbose")
MOST_BYTES = 2**26  # of the rows that are read for a digest: more are represented by a sample
AT_ONCE = 256  # rows
N_DIGITS = 16  # of a digest


def parameters_of(estimator):
    """Return in words what determines a fit, apart from data and weights.

    Parameters
    ----------
    estimator : estimator
        Its `transformer`, if it has one, is left out: that is a fit of its own.

    Returns
    -------
    facts : dict of str to str
        The class and, by name, the parameters. `random_state` is one of them if it is an int.
    """
    params = estimator.get_params(deep=False)
    drawn = not isinstance(params.get("random_state"), Integral)
    left_out = (*WITHOUT_EFFECT, "transformer", *(["random_state"] if drawn else []))
    facts = {name: in_words(value) for name, value in params.items() if name not in left_out}
    return {"class": in_words(type(estimator)), **facts}


def in_words(value):
    """Return a text that is the same in another process."""
    if isinstance(value, list | tuple):
        return f"[{', '.join(map(in_words, value))}]"
    if hasattr(value, "__qualname__"):  # a function or a class
        return f"{value.__module__}.{value.__qualname__}"
    if isinstance(value, nn.Module):
        return ", ".join(_settings(module) for module in value.modules())
    if isinstance(value, np.generic):
        value = value.item()
    return re.sub(r" at 0x[0-9a-fA-F]+", "", repr(value))


def _settings(module):
    own = {name: value for name, value in vars(module).items() if not name.startswith("_")}
    own.pop("training")
    return f"{type(module).__qualname__}({in_words(own)})"


def environment(device):
    """Return what may change the last digits of a fit, in words."""
    return {
        "sklearn-ssl": __version__,
        "torch": torch.__version__,
        "threads": str(runtime.THREADS.most),
        "device": device.type,
    }


def digest_of_rows(rows):
    """Return the number, shape and type of rows, and a digest of their content.

    Parameters
    ----------
    rows : RowBlocks or any other rows for batches
        If they take more than :data:`MOST_BYTES`, evenly spaced ones are read.
    """
    rows = copy.copy(rows)  # reading may count as a turn
    first = _arrays(rows[np.arange(1)])
    n_read = min(len(rows), max(MOST_BYTES // sum(array.nbytes for array in first), 1))
    places = np.linspace(0, len(rows) - 1, n_read).astype(np.intp)
    sha256 = hashlib.sha256()
    for start in range(0, n_read, AT_ONCE):
        for array in _arrays(rows[places[start : start + AT_ONCE]]):
            sha256.update(f"{array.dtype} {array.shape}".encode())
            sha256.update(np.ascontiguousarray(array).data)
    shapes = " and ".join(f"{array.shape[1:]} of {array.dtype}" for array in first)
    read = "" if n_read == len(rows) else f" of {n_read} of them"
    return f"{len(rows)} rows of shape {shapes}, sha256{read} {sha256.hexdigest()[:N_DIGITS]}"


def _arrays(batch):
    """Return the arrays of a batch, which may be a nested tuple of arrays."""
    if isinstance(batch, tuple):
        return [array for part in batch for array in _arrays(part)]
    return [batch]


def digest_of_weights(module):
    """Return a digest of the weights and buffers of a module."""
    sha256 = hashlib.sha256()
    for name, tensor in module.state_dict().items():
        sha256.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}".encode())
        sha256.update(tensor.cpu().contiguous().flatten().view(torch.uint8).numpy().data)
    return f"sha256 {sha256.hexdigest()[:N_DIGITS]}"
