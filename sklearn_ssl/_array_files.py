"""Files of named arrays and JSON: a safetensors file that carries its own checksum.

Nothing in such a file is executed when it is read, and any byte that has changed is noticed. The
header of the file has one entry of text, JSON with the sha256 of all other bytes of the file.
"""

import hashlib
import json
import math
import os
from contextlib import contextmanager
from pathlib import Path
from uuid import uuid4

import numpy as np
import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file

_ENTRY = "sklearn_ssl"
_BLANK = "0" * 64  # where the sha256 will be
_BEFORE_SHA256 = rb"{\"sha256\":\""  # in the header, in which the quotes of our JSON are escaped
_LONGEST_HEADER = 100_000_000  # bytes, as in safetensors


class ModelFileError(ValueError):
    """A file is damaged, was not written by this package, or holds what may not be loaded."""


def write_arrays(path, arrays, metadata):
    """Write arrays and metadata to a file, which is complete or not there at all.

    Parameters
    ----------
    path : str or path
        An existing file is replaced at the end; if writing fails, it stays as it was.
    arrays : dict of str to torch.Tensor or ndarray
        Of numbers or booleans. Tensors may be on any device and share memory.
    metadata : dict
        Values that JSON knows. NaN and infinity are not among them.

    Raises
    ------
    ValueError, TypeError
        If an array or a value cannot be written.
    OSError
        If the disk is full, for example.
    """
    document = json.dumps(
        {"sha256": _BLANK, "metadata": metadata}, separators=(",", ":"), allow_nan=False
    )
    tensors = {name: _separate(array) for name, array in arrays.items()}
    with replacing(path) as temporary:
        try:
            save_file(tensors, temporary, {_ENTRY: document})
        except SafetensorError as error:
            raise OSError(f"{path} could not be written: {error}") from error
        with open(temporary, "r+b") as file:
            place, _, sha256 = _stated_and_actual_sha256(file)
            file.seek(place)
            file.write(sha256)
            file.flush()
            os.fsync(file.fileno())


def read_arrays(path):
    """Read a file that :func:`write_arrays` wrote.

    Parameters
    ----------
    path : str or path

    Returns
    -------
    arrays : dict of str to torch.Tensor
        On the CPU, in memory of their own.
    metadata : dict

    Raises
    ------
    ModelFileError
        If the file is damaged or another one.
    OSError
        If there is no such file, for example.
    """
    with open(path, "rb") as file:
        _, stated, actual = _stated_and_actual_sha256(file)
    if not stated:
        raise ModelFileError(f"{path} is not a file of sklearn_ssl, or its beginning is damaged.")
    if stated != actual:
        raise ModelFileError(
            f"{path} is damaged: the sha256 of its content is not the one that was written with "
            "it. Copy or download it again."
        )
    try:
        with safe_open(path, framework="pt") as file:
            metadata = _json(file.metadata()[_ENTRY])["metadata"]
            names = file.keys()
            # Clones, because the tensors of safetensors are parts of the file on disk.
            arrays = {name: file.get_tensor(name).clone() for name in names}
    except (SafetensorError, ValueError, KeyError, TypeError, RecursionError) as error:
        raise ModelFileError(f"{path} holds what sklearn_ssl did not write: {error}") from error
    return arrays, metadata


@contextmanager
def replacing(path):
    """Yield the path of a temporary file in the same folder, which replaces `path` at the end.

    If the block raises, also by Ctrl-C, the temporary file is removed, and `path` stays as it was.
    """
    temporary = Path(path).with_name(f".{uuid4().hex}.tmp")
    try:
        yield temporary
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


def _separate(array):
    """Return a contiguous copy on the CPU, which shares memory with no other tensor."""
    if isinstance(array, torch.Tensor):
        return array.detach().cpu().clone(memory_format=torch.contiguous_format)
    return torch.from_numpy(np.array(array, order="C"))


def _stated_and_actual_sha256(file):
    """Return where a file states its sha256, what it states, and that of all its other bytes."""
    start = file.read(8)
    start += file.read(min(int.from_bytes(start, "little"), _LONGEST_HEADER))
    before, key, after = start.partition(_BEFORE_SHA256)
    sha256 = hashlib.sha256(before + key + after[len(_BLANK) :])
    hashlib.file_digest(file, lambda: sha256)
    return len(before + key), after[: len(_BLANK)], sha256.hexdigest().encode()


def _json(text):
    """Return the values of JSON, of which each name and each number must be possible."""
    return json.loads(
        text, parse_float=_finite, parse_constant=_finite, object_pairs_hook=_without_copies
    )


def _finite(text):
    number = float(text)
    if not math.isfinite(number):
        raise ValueError(f"{text} is not a finite number")
    return number


def _without_copies(pairs):
    values = dict(pairs)
    if len(values) < len(pairs):
        raise ValueError("a name appears twice")
    return values
