"""Arrays on disk: those that other libraries read when they are indexed, and those of our own."""

import mmap
import tempfile
from math import prod

import numpy as np

IN_MEMORY = 2**30  # bytes; arrays that take more are kept in a temporary file
BLOCK = 2**24  # bytes that are read at once
# What has one of these is in memory already: frames, sparse arrays, those of the CPU or of a GPU.
OF_MEMORY = (
    *("columns", "todense"),
    *("__array_interface__", "__cuda_array_interface__", "__dlpack__"),
)


def is_lazy(X):
    """Return whether X is an array whose rows are read or computed when it is indexed.

    Such as a Dataset of h5py, or an Array of zarr or dask.
    """
    has_rows = all(hasattr(X, name) for name in ("shape", "dtype", "__getitem__"))
    if not has_rows or any(hasattr(X, name) for name in OF_MEMORY):
        return False
    return len(X.shape) > 1 and getattr(X.dtype, "kind", "") in "biuf"


def read_in_blocks(X):
    """Return a lazy array as an ndarray, which is memory-mapped beyond :data:`IN_MEMORY` bytes.

    Batches are random rows, and each of them would read, and unpack, almost every chunk of a file.
    So X is read once, in order.
    """
    dtype = np.dtype(X.dtype)
    at_once = max(1, BLOCK // max(1, prod(X.shape[1:]) * dtype.itemsize))
    chunk = X.chunks[0] if getattr(X, "chunks", None) else 1
    if isinstance(chunk, int):  # dask's differ in length
        at_once = -(-at_once // chunk) * chunk
    starts = range(0, X.shape[0], at_once)  # zarr's have no len()
    blocks = (np.ascontiguousarray(X[start : start + at_once], dtype) for start in starts)
    return stored(blocks, X.shape, dtype)


def stored(blocks, shape, dtype):
    """Return blocks of rows as one array, in memory or in a temporary file.

    The file has no name, and vanishes with the array.

    Parameters
    ----------
    blocks : iterable of ndarray
    shape : tuple of int
        That the array has if no row is left out.
    dtype : numpy.dtype
        Of the blocks.
    """
    if prod(shape) * dtype.itemsize <= IN_MEMORY:
        rows, n = np.empty(shape, dtype), 0
        for block in blocks:
            rows[n : n + len(block)] = block
            n += len(block)
        return rows[:n]
    with tempfile.TemporaryFile() as file:  # written, not mapped yet: a full disk is an error
        for block in blocks:
            file.write(block)
        file.flush()
        if not file.tell():
            return np.empty((0, *shape[1:]), dtype)
        mapped = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
    return np.frombuffer(mapped, dtype).reshape(-1, *shape[1:])
