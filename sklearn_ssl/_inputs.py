"""From what users hand in to tensors: validation, the description of the data, batches."""

import warnings
from contextlib import contextmanager
from dataclasses import dataclass, replace

import numpy as np
import torch
from scipy.special import ndtri
from sklearn.utils import check_array
from sklearn.utils.validation import validate_data

from sklearn_ssl import defaults
from sklearn_ssl._columns import holds_numbers_only, is_frame, table_of
from sklearn_ssl._containers import opened, unmasked
from sklearn_ssl._far_numbers import MOST_DEVIATIONS, check_deviations, check_lone_values
from sklearn_ssl._images import FAR, axes_to_move, check_pixels, is_whole, pixel_range
from sklearn_ssl._modality import count_dims, modality_of
from sklearn_ssl._rows import read_rows, refuse_ragged
from sklearn_ssl._series import THAT_TAKE_GAPS, pad_lists
from sklearn_ssl._tables import encode_table

N_DESCRIBED = 10_000  # rows, evenly spaced, from which ranges and moments are taken


@dataclass(frozen=True)
class InputSpec:
    """What an estimator knows of its training data.

    Attributes
    ----------
    modality : {"table", "image", "series", "video"}
    row_shape : tuple of int
        Shape of one row of X as the user gives it.
    shape : tuple of int
        Shape of one row of a batch: ``(features,)``, ``(channels, height, width)``,
        ``(channels, time)`` or ``(time, channels, height, width)``.
    shift, scale : float or ndarray
        A batch is ``(X - shift) * scale``. Tables and series: each column or channel gets mean 0
        and deviation 1; what is a million deviations away is clipped. Images and videos: the range
        of the training data becomes [0, 1]; uint8 is 0 to 255. Pixels that a wide gap separates
        from all others, such as marks of missing ones, do not count for the range, and what is
        further from it than ten times its width is clipped.
    marginals : ndarray of shape (n_quantiles, features) or None
        For tables, quantiles of each column of a batch, each of them a value seen in the column:
        256, or fewer from 257 columns on. Missing numbers have their share of NaN.
    n_samples : int
        Number of rows in ``fit``, from which defaults are derived.
    cardinalities : tuple of int or None
        For tables, how many categories each column has: 0 for one of numbers.
    missing : tuple of bool or None
        For tables, whether numbers of a column were missing.
    categories : tuple or None
        For tables with categories, those of each column, as
        :func:`~sklearn_ssl._tables.learn_categories` returns them. Code 1 is the first.
    quantiles : ndarray of shape (n_quantiles, features) or None
        For tables scaled by quantiles, those of X, at the levels ``(i + 1 / 2) / n_quantiles``.
    whole_numbers : bool
        Whether the pixels of images or videos were whole numbers.
    """

    modality: str
    row_shape: tuple
    shape: tuple
    shift: object
    scale: object
    marginals: object
    n_samples: int
    cardinalities: tuple | None = None
    missing: tuple | None = None
    categories: tuple | None = None
    quantiles: object = None
    whole_numbers: bool = False

    def to_tensor(self, rows, device="cpu"):
        """Turn rows of X into a float32 batch of shape ``(n, *shape)`` on the device."""
        if self.modality in ("image", "video"):
            channels, height, width = self.shape[-3:]
            # A copy: the rows may be the user's own, read-only, reversed or big-endian.
            dtype = np.uint8 if rows.dtype == np.uint8 else np.float32
            with np.errstate(over="ignore"):  # what float32 cannot hold is clipped
                batch = torch.from_numpy(np.array(rows, dtype=dtype, order="C")).to(device)
            batch = batch.reshape(len(rows), *self.shape[:-3], height, width, channels)
            batch = batch.movedim(-1, -3)  # [..., c, h, w], in the memory order channels_last
            return batch.to(torch.float32).sub_(self.shift).mul_(self.scale).clamp_(-FAR, 1 + FAR)
        # Scaled before the cast: a column of time stamps has no digits to spare in float32.
        scaled = self._scaled(rows.reshape(len(rows), *self.shape))
        return torch.from_numpy(scaled.astype(np.float32, copy=False)).to(device)

    def _scaled(self, rows):
        rows = rows.astype(np.float64, copy=False)  # in which -x and means are what they should be
        with np.errstate(over="ignore"):
            scaled = (rows - self.shift) * self.scale
        np.clip(scaled, -MOST_DEVIATIONS, MOST_DEVIATIONS, out=scaled)
        if self.quantiles is not None:
            scaled = _normal_scores(scaled, rows, self.quantiles, self.cardinalities)
        if self.modality == "table" and np.isnan(scaled).any():
            # A column without missing numbers in fit has nothing to say of one: it gets the mean.
            scaled = np.where(np.isnan(scaled) & ~np.array(self.missing), 0, scaled)
        return scaled


def _normal_scores(scaled, rows, quantiles, cardinalities):
    """Replace numbers by those of a normal distribution at the same quantiles of their column."""
    levels = (np.arange(len(quantiles)) + 0.5) / len(quantiles)
    for j, cardinality in enumerate(cardinalities):
        if cardinality == 0:
            x, q = rows[:, j], quantiles[:, j]
            # From both sides: a value that fills several quantiles lies in their middle.
            below, above = np.interp(x, q, levels), np.interp(-x, -q[::-1], levels)
            scaled[:, j] = ndtri((below + 1 - above) / 2)
    return scaled


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

    @property
    def lengths(self):
        """Lengths of the rows, where they differ."""
        return self.rows.lengths[self.indices]


def read_blocks(estimator, blocks, spec=None):
    """Return X, and what comes beside it, as arrays or frames.

    Parameters
    ----------
    estimator : estimator
    blocks : list of object
        X and further rows, as the user hands them in.
    spec : InputSpec or None
        That of an earlier fit. Lists of series are made as long as those.

    Returns
    -------
    blocks : list of object
    """
    name = type(estimator).__name__
    blocks = [read_rows(opened(X), name) for X in blocks]
    modality = modality_of(estimator, blocks[0]) if spec is None else spec.modality
    blocks = [unmasked(X, modality) for X in blocks]
    if modality == "series" and any(_has_two_indices(X) for X in blocks):
        raise ValueError(
            f"X is a DataFrame with a MultiIndex, a row for each moment; {name} takes an array of "
            "shape (n, channels, time), or a list of arrays of shape (channels, time). Pass "
            "[frame.to_numpy().T for _, frame in X.groupby(level=0, sort=False)]."
        )
    lists = [X for X in blocks if isinstance(X, list | tuple) and len(X)]
    if not lists:
        return blocks
    if modality in ("series", "video") and modality in estimator._missing_allowed:
        time = None if spec is None else spec.row_shape[0 if modality == "video" else -1]
        return pad_lists(blocks, modality, name, time)
    for rows in lists:
        refuse_ragged(rows, modality, name)
    return blocks


def _has_two_indices(X):
    return getattr(getattr(X, "index", None), "nlevels", 1) > 1


@np.errstate(over="ignore", invalid="ignore")  # sums in which infinity is looked for
def check_input(estimator, X, *, reset, modality, categories=None, row_shape=None, min_samples=1):
    """Validate X and return it as a numeric ndarray, without a copy where it was one.

    Parameters
    ----------
    estimator : estimator
        Named in messages; its ``n_features_in_`` and ``feature_names_in_`` are set or checked.
    X : array-like
        Finite numbers; NaN too in the kinds of data in which the estimator takes it.
    reset : bool
        Whether to set these attributes, as ``fit`` does, or to check X against them.
    modality : str or None
        What X holds, see :func:`~sklearn_ssl._modality.modality_of`.
    categories : tuple or None
        Those of the columns of a table, see :func:`~sklearn_ssl._tables.learn_categories`. The
        table is copied then, with codes in their place, and so is one of objects.
    row_shape : tuple of int or None
        Shape that the rows must have.
    min_samples : int, default=1
        Fewer rows are an error.

    Raises
    ------
    ValueError, TypeError
        In scikit-learn's words where it checks the same thing.
    """
    if row_shape is not None and (len(row_shape) > 1 or (count_dims(X) or 0) > 2):
        _check_row_shape(estimator, np.shape(X), row_shape)
    checks = {
        "allow_nd": True,
        "ensure_min_samples": min_samples,
        "ensure_all_finite": "allow-nan" if modality in estimator._missing_allowed else True,
    }
    table = table_of(X) if modality == "table" or is_frame(X) else None
    try:
        if table is None or (categories is None and holds_numbers_only(table)):
            X = validate_data(estimator, X, reset=reset, **checks)
        else:
            validate_data(estimator, table, reset=reset, skip_check_array=True)
            X = encode_table(table, categories, type(estimator).__name__)
            X = check_array(X, input_name="X", estimator=estimator, **checks)
    except ValueError as error:
        if "contains NaN" not in str(error):
            raise
        raise ValueError(_no_missing(estimator, modality)) from error
    if row_shape is not None:  # rows of two dimensions may begin with the right length
        _check_row_shape(estimator, X.shape, row_shape)
    if 0 in X.shape[1:]:
        raise ValueError(f"X has shape {X.shape}: its rows are empty.")
    if min_samples > 1 and modality != "image" and _all_missing(X):
        raise ValueError("X holds no numbers: all of them are missing (NaN).")
    return X


def _all_missing(X):
    return bool(np.isnan(X[0]).all() and np.isnan(X).all())


def _no_missing(estimator, modality):
    """Say what to do about NaN where an estimator cannot take it."""
    advice = "Replace them, for example by np.nan_to_num(X, nan=np.nanmedian(X))"
    if modality == "series":
        advice = f"{THAT_TAKE_GAPS} do; or interpolate X"
    return (
        f"Input X contains NaN. {type(estimator).__name__} takes no missing numbers in data of the "
        f"kind {modality!r}. {advice}."
    )


def _check_row_shape(estimator, shape, row_shape):
    if shape[1:] != row_shape:
        takes_gaps = "series" in estimator._missing_allowed
        raise ValueError(
            f"X has rows of shape {shape[1:]}, but {type(estimator).__name__} is expecting rows of "
            f"shape {row_shape} as input. {_shape_advice(shape, row_shape, takes_gaps)}"
        )


def _shape_advice(shape, row_shape, takes_gaps):
    got = shape[1:]
    if shape == row_shape:
        return "If X is a single row, pass X[np.newaxis]."
    is_one_flat = 1 in (len(got), len(row_shape)) and np.prod(got) == np.prod(row_shape)
    if is_one_flat or _long_axes(got) == _long_axes(row_shape):
        return f"Use X.reshape(-1, {', '.join(map(str, row_shape))})."
    if takes_gaps and got[:-1] == row_shape[:-1] and got[-1] < row_shape[-1]:
        return "Pad its end with NaN, or pass list(X)."
    return axes_to_move(got, row_shape) or "Resize or reshape X to match, or fit again."


def _long_axes(shape):
    return [length for length in shape if length > 1]


def check_training_rows(estimator, rows, spec):
    """Warn of numbers far from all others, where they hide what the others differ in.

    Parameters
    ----------
    estimator : estimator
    rows : RowBlocks
    spec : InputSpec
    """
    if spec.modality in ("table", "series") and spec.quantiles is None:
        check_lone_values(estimator, _sample(rows).reshape(-1, *spec.shape), spec)


def check_values(estimator, X, spec):
    """Warn of numbers that lie far from those in fit, where they are clipped.

    Parameters
    ----------
    estimator : estimator
    X : ndarray
        Read in blocks.
    spec : InputSpec
    """
    if spec.modality in ("image", "video"):
        check_pixels(X, spec, type(estimator).__name__)
    elif spec.quantiles is None:
        check_deviations(estimator, X, spec)


def describe(rows, modality, shape, *, categories=None, scaling="standard"):
    """Measure the training rows; but for missing numbers, at most 10,000 of them are read.

    Parameters
    ----------
    rows : RowBlocks
        Tables with codes in place of categories.
    modality, shape
        As :func:`~sklearn_ssl._modality.resolve_modality` returns them.
    categories : tuple or None
        Those of the columns of a table, see :func:`~sklearn_ssl._tables.learn_categories`.
    scaling : {"standard", "quantile"}
        How the numbers of a table are scaled.

    Returns
    -------
    spec : InputSpec
    """
    n_samples, sample = len(rows), _sample(rows)
    row_shape = sample.shape[1:]
    if modality in ("image", "video"):
        scaling = pixel_range(sample)
        return InputSpec(
            *(modality, row_shape, shape, *scaling, None, n_samples),
            whole_numbers=is_whole(sample),
        )
    sample = sample.reshape(-1, *shape)
    if modality == "series":
        return InputSpec(modality, row_shape, shape, *_moments(sample, (0, 2)), None, n_samples)

    sample = sample.astype(np.float64, copy=False)
    shift, scale = _moments(sample, 0)
    cardinalities = tuple(len(values or ()) for values in categories or [None] * shape[0])
    coded = np.array(cardinalities) > 0
    n_quantiles = defaults.n_quantiles(shape[0])
    levels = (np.arange(n_quantiles) + 0.5) / n_quantiles
    spec = InputSpec(
        modality,
        row_shape,
        shape,
        np.where(coded, 0, shift),
        np.where(coded, 1, scale),
        None,
        n_samples,
        cardinalities,
        _missing(rows, shape),
        categories,
        _quantiles(sample, levels) if scaling == "quantile" else None,
    )
    ranks = np.ceil(levels * len(sample)).astype(np.intp) - 1
    marginals = spec._scaled(np.sort(sample, axis=0)[ranks])  # NaN comes last, in its share
    return replace(spec, marginals=marginals.astype(np.float32))


def _sample(rows):
    n = len(rows)
    return rows[np.linspace(0, n - 1, min(n, N_DESCRIBED)).astype(np.intp)]


def _moments(sample, axes):
    """Return shift and scale that give mean 0 and deviation 1, of what is not missing."""
    if sample.dtype == np.float16:  # in which NumPy would square the differences
        sample = sample.astype(np.float32)
    with _columns_may_be_empty():
        most = np.nanmax(np.abs(sample), axis=axes, keepdims=True)
        # Squares of numbers in this unit neither overflow nor vanish.
        unit = np.where((most > 1e15) | ((most > 0) & (most < 1e-15)), most, 1).astype(np.float64)
        if np.any(unit != 1):
            sample = sample / unit
        shift = np.nanmean(sample, axis=axes, keepdims=True, dtype=np.float64)[0] * unit[0]
        deviation = np.nanstd(sample, axis=axes, keepdims=True, dtype=np.float64)[0] * unit[0]
    # A constant column has a deviation of rounding errors only.
    varies = deviation > 10 * np.finfo(np.float64).eps * np.abs(shift)
    with np.errstate(over="ignore"):
        scale = 1 / np.where(varies, deviation, 1)
    return np.nan_to_num(shift), np.minimum(scale, np.finfo(np.float64).max)


def _quantiles(sample, levels):
    """Return quantiles of what is not missing in each column; zeros where all is."""
    with _columns_may_be_empty():
        return np.nan_to_num(np.nanquantile(sample, levels, axis=0))


@contextmanager
def _columns_may_be_empty():
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Mean of empty|Degrees of freedom|All-NaN")
        yield


def _missing(rows, shape):
    """Return for each column whether numbers are missing; all rows are read, block by block."""
    missing = np.zeros(shape, dtype=bool)
    for start in range(0, len(rows), N_DESCRIBED):
        block = rows[np.arange(start, min(start + N_DESCRIBED, len(rows)))]
        missing |= np.isnan(block).any(axis=0)
    return tuple(missing.tolist())
