"""From what users hand in to tensors: validation, the description of the data, batches."""

from dataclasses import dataclass
from numbers import Integral

import numpy as np
import torch
from sklearn.utils.validation import validate_data

from sklearn_ssl import defaults

MODALITIES = ("table", "image", "series")
N_DESCRIBED = 10_000  # rows, evenly spaced, from which ranges and moments are taken


@dataclass(frozen=True)
class InputSpec:
    """What an estimator knows of its training data.

    Attributes
    ----------
    modality : {"table", "image", "series"}
    row_shape : tuple of int
        Shape of one row of X as the user gives it.
    shape : tuple of int
        Shape of one row of a batch: ``(features,)``, ``(channels, height, width)`` or
        ``(channels, time)``.
    shift, scale : float or ndarray
        A batch is ``(X - shift) * scale``. Tables and series: each column or channel gets mean 0
        and deviation 1. Images: the range of the training data becomes [0, 1]; uint8 is 0 to 255.
    marginals : ndarray of shape (n_quantiles, features) or None
        For tables, quantiles of each scaled column, each of them a value seen in the column: 256,
        or fewer from 257 columns on.
    n_samples : int
        Number of rows in ``fit``, from which defaults are derived.
    """

    modality: str
    row_shape: tuple
    shape: tuple
    shift: object
    scale: object
    marginals: object
    n_samples: int

    def to_tensor(self, rows, device="cpu"):
        """Turn rows of X into a float32 batch of shape ``(n, *shape)`` on the device."""
        if self.modality == "image":
            height_width_channels = (*self.shape[1:], self.shape[0])
            # A copy: the rows may be the user's own, read-only, reversed or big-endian.
            dtype = np.uint8 if rows.dtype == np.uint8 else np.float32
            batch = torch.from_numpy(np.array(rows, dtype=dtype, order="C")).to(device)
            batch = batch.reshape(len(rows), *height_width_channels)
            batch = batch.permute(0, 3, 1, 2)  # [n, c, h, w], in the memory order channels_last
            return batch.to(torch.float32).sub_(self.shift).mul_(self.scale)
        # Scaled before the cast: a column of time stamps has no digits to spare in float32.
        scaled = (rows.reshape(len(rows), *self.shape) - self.shift) * self.scale
        return torch.from_numpy(scaled.astype(np.float32, copy=False)).to(device)


class RowBlocks:
    """Several arrays read as if they were one, without copying them.

    Parameters
    ----------
    *blocks : ndarray
        Arrays, memory-mapped ones included, with equal shapes after the first axis.
    """

    def __init__(self, *blocks):
        self.blocks = blocks
        self.starts = np.cumsum([0, *map(len, blocks)])

    def __len__(self):
        return int(self.starts[-1])

    def __getitem__(self, indices):
        """Return a copy of the rows at `indices`, a sorted array of integers."""
        if len(self.blocks) == 1:
            return self.blocks[0][indices]
        cuts = np.searchsorted(indices, self.starts)
        pieces = [
            block[indices[first:last] - start]
            for block, start, first, last in zip(self.blocks, self.starts, cuts, cuts[1:])
        ]
        return np.concatenate(pieces)


class RowSubset:
    """Some of the rows of a :class:`RowBlocks`, without copying them.

    Parameters
    ----------
    rows : RowBlocks
    indices : ndarray of int
        Sorted.
    """

    def __init__(self, rows, indices):
        self.rows = rows
        self.indices = indices

    def __len__(self):
        return len(self.indices)

    def __getitem__(self, indices):
        return self.rows[self.indices[indices]]


def check_input(estimator, X, *, reset, row_shape=None, min_samples=1):
    """Validate X and return it as a numeric ndarray, without a copy where it was one.

    Parameters
    ----------
    estimator : estimator
        Named in messages; its ``n_features_in_`` and ``feature_names_in_`` are set or checked.
    X : array-like
        Numeric and finite, of 2, 3 or 4 dimensions.
    reset : bool
        Whether to set these attributes, as ``fit`` does, or to check X against them.
    row_shape : tuple of int or None
        Shape that the rows must have.
    min_samples : int, default=1
        Fewer rows are an error.

    Raises
    ------
    ValueError, TypeError
        In scikit-learn's words where it checks the same thing.
    """
    if row_shape is not None and len(row_shape) > 1:
        _check_row_shape(estimator, np.shape(X), row_shape)
    try:
        X = validate_data(estimator, X, reset=reset, allow_nd=True, ensure_min_samples=min_samples)
    except ValueError as error:
        if "could not convert string" not in str(error):
            raise
        raise ValueError(
            f"{error}. {type(estimator).__name__} takes numbers: encode columns of strings first, "
            "for instance with sklearn.preprocessing.OneHotEncoder in a ColumnTransformer."
        ) from error
    if row_shape is not None:  # rows of two dimensions may begin with the right length
        _check_row_shape(estimator, X.shape, row_shape)
    return X


def _check_row_shape(estimator, shape, row_shape):
    if shape[1:] != row_shape:
        raise ValueError(
            f"X has rows of shape {shape[1:]}, but {type(estimator).__name__} is expecting rows of "
            f"shape {row_shape} as input. Resize or reshape X to match, or fit again."
        )


def resolve_modality(row_shape, modality="auto", image_shape=None):
    """Say what kind of data rows of this shape are, and the shape they have in a batch.

    Parameters
    ----------
    row_shape : tuple of int
        Shape of one row of X.
    modality : {"auto", "table", "image", "series"}
    image_shape : tuple of int or None
        ``(height, width)`` or ``(height, width, channels)`` of flat rows.

    Returns
    -------
    modality : {"table", "image", "series"}
    shape : tuple of int
        As in :class:`InputSpec`.
    """
    n_dims = len(row_shape) + 1
    X_shape = f"(n, {', '.join(map(str, row_shape))})"
    if image_shape is not None:
        if modality not in ("auto", "image"):
            raise ValueError(
                f'image_shape={image_shape} goes with modality="image", got modality={modality!r}.'
            )
        modality = "image"
    elif modality == "auto":
        modality = {2: "table", 4: "image"}.get(n_dims)
    if modality is None and n_dims == 3:
        raise ValueError(
            f"X has shape {X_shape}: it may hold grey images (n, height, width) or series "
            '(n, channels, time). Say which with modality="image" or modality="series".'
        )

    if modality == "table" and n_dims == 2:
        return modality, row_shape
    if modality == "series" and n_dims in (2, 3):
        return modality, row_shape if n_dims == 3 else (1, *row_shape)
    if modality == "image" and n_dims in (2, 3, 4):
        return modality, _image_shape(row_shape, image_shape, X_shape)
    expected = {
        "table": "(n, features)",
        "series": "(n, channels, time), or (n, time) for one channel",
        "image": "(n, height, width) or (n, height, width, channels), or flat rows and image_shape",
        None: "2, 3 or 4 dimensions",
    }[modality]
    raise ValueError(f"X has shape {X_shape}, expected {expected}.")


def _image_shape(row_shape, image_shape, X_shape):
    """Return (channels, height, width) of images that come as `row_shape`."""
    if image_shape is None:
        if len(row_shape) == 1:
            raise ValueError(
                f"X has shape {X_shape}: pass image_shape=(height, width) or (height, width, "
                "channels) to have its rows read as images."
            )
        if len(row_shape) == 3 and row_shape[0] <= 4 < row_shape[2]:
            raise ValueError(
                f"X has shape {X_shape}, which looks like channels first; images are expected as "
                "(n, height, width, channels). Use np.moveaxis(X, 1, -1)."
            )
        image_shape = row_shape
    elif len(image_shape) not in (2, 3) or not all(
        isinstance(length, Integral) and length > 0 for length in image_shape
    ):
        raise ValueError(
            "image_shape must be (height, width) or (height, width, channels), positive integers; "
            f"got {image_shape}."
        )
    if np.prod(image_shape) != np.prod(row_shape):
        raise ValueError(
            f"image_shape={tuple(image_shape)} has {np.prod(image_shape)} values, but the rows of "
            f"X, of shape {X_shape}, have {np.prod(row_shape)}."
        )
    height, width, channels = (*image_shape, 1)[:3]
    return channels, height, width


def describe(rows, modality, shape):
    """Measure the training rows; at most 10,000 of them are read.

    Parameters
    ----------
    rows : RowBlocks
    modality, shape
        As :func:`resolve_modality` returns them.

    Returns
    -------
    spec : InputSpec
    """
    n_samples = len(rows)
    sample = rows[np.linspace(0, n_samples - 1, min(n_samples, N_DESCRIBED)).astype(np.intp)]
    row_shape, dtype = sample.shape[1:], sample.dtype
    marginals = None
    if modality == "image":
        low, high = (0, 255) if dtype == np.uint8 else (sample.min(), sample.max())
        low, high = float(low), float(high)  # whose difference cannot overflow, as int8's can
        shift, scale = low, 1 / (high - low) if high > low else 1.0
    else:
        sample = sample.reshape(-1, *shape)
        axes = 0 if modality == "table" else (0, 2)
        shift = sample.mean(axis=axes, keepdims=True, dtype=np.float64)[0]
        deviation = sample.std(axis=axes, keepdims=True, dtype=np.float64)[0]
        # A constant column has a deviation of rounding errors only.
        constant = deviation <= 10 * np.finfo(np.float64).eps * np.abs(shift)
        scale = 1 / np.where(constant, 1, deviation)
    if modality == "table":
        n_quantiles = defaults.n_quantiles(shape[0])
        levels = (np.arange(n_quantiles) + 0.5) / n_quantiles
        ranks = np.ceil(levels * len(sample)).astype(np.intp) - 1
        quantiles = np.sort(sample, axis=0)[ranks]
        marginals = ((quantiles - shift) * scale).astype(np.float32)
    return InputSpec(modality, row_shape, shape, shift, scale, marginals, n_samples)
