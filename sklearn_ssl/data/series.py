"""Series: numbers measured in channels, one after another in time."""

import warnings
from dataclasses import dataclass
from functools import partial
from typing import ClassVar

import numpy as np

from sklearn_ssl.augment import SeriesAugmentation
from sklearn_ssl.data.padding import pad_lists
from sklearn_ssl.data.readable import TO_PAD
from sklearn_ssl.data.rows import evenly_spaced
from sklearn_ssl.data.scaled import ScaledSpec, moments
from sklearn_ssl.encoders.rocket import RocketEncoder
from sklearn_ssl.encoders.series import SeriesEncoder
from sklearn_ssl.encoders.tokens import SeriesTokenEncoder

N_LOOKED_AT = 300  # evenly spaced rows that show how smooth series are
MANY_STEPS = 12  # fewer may be correlated channels, measured at the same time


@dataclass(frozen=True, kw_only=True)
class SeriesSpec(ScaledSpec):
    """What an estimator knows about series. A batch has the shape ``(n, channels, time)``.

    If an estimator accepts missing numbers, lists of series are padded to the longest one, and
    missing numbers are NaN in a batch.
    """

    modality: ClassVar[str] = "series"
    n_dims: ClassVar[tuple] = (2, 3)
    expected: ClassVar[str] = "(n, channels, time), or (n, time) for one channel"
    plural: ClassVar[str] = "series"
    own_encoder: ClassVar[str] = 'encoder="rocket", '
    rows_to_see: ClassVar[int] = 500_000
    ragged_advice: ClassVar[str] = TO_PAD
    missing_advice: ClassVar[str] = "TS2VecTransformer and NextFrameEmbedder do; or interpolate X"
    axes: ClassVar[tuple] = (0, 2)
    unit: ClassVar[str] = "channel"
    default_augmentation: ClassVar = SeriesAugmentation

    @classmethod
    def as_arrays(cls, estimator, blocks, spec=None):
        if any(_has_two_indices(X) for X in blocks):
            name = type(estimator).__name__
            raise ValueError(
                f"X is a DataFrame with a MultiIndex, a row for each moment; {name} needs an array "
                "of shape (n, channels, time), or a list of arrays of shape (channels, time). Pass "
                "[frame.to_numpy().T for _, frame in X.groupby(level=0, sort=False)]."
            )
        return super().as_arrays(estimator, blocks, spec)

    @classmethod
    def from_lists(cls, estimator, blocks, lists, spec):
        if not cls.takes_missing(estimator):
            return super().from_lists(estimator, blocks, lists, spec)
        time = None if spec is None else spec.row_shape[-1]
        return pad_lists(blocks, cls.plural, type(estimator).__name__, axis=-1, time=time)

    @classmethod
    def batch_shape(cls, estimator, row_shape):
        cls.check_dims(row_shape)
        return row_shape if len(row_shape) == 2 else (1, *row_shape)

    @classmethod
    def describe(cls, rows, shape):
        """Measure the training rows, at most 10,000 of them."""
        sample = evenly_spaced(rows)
        shift, scale = moments(sample.reshape(-1, *shape), cls.axes)
        return cls(
            n_samples=len(rows), row_shape=sample.shape[1:], shape=shape, shift=shift, scale=scale
        )

    def check_training(self, estimator, rows):
        check_axes(rows, self.shape, type(estimator).__name__)
        super().check_training(estimator, rows)

    def as_rows(self, batch):
        # A prediction may have another length.
        return batch.cpu().numpy().reshape(len(batch), *self.row_shape[:-1], batch.shape[-1])

    def default_encoder(self, shape):
        return SeriesEncoder(shape)

    def named_encoder(self, name, shape):
        return RocketEncoder(shape) if name == "rocket" else super().named_encoder(name, shape)

    def token_encoder(self, patch_size, pooling):
        return partial(SeriesTokenEncoder, patch_size=patch_size, pooling=pooling)


def _has_two_indices(X):
    return getattr(getattr(X, "index", None), "nlevels", 1) > 1


def check_axes(rows, shape, name):
    """Warn if series seem to have their time before their channels.

    This is doubtful if there are more channels than steps, unless the numbers change smoothly along
    the last axis.

    Parameters
    ----------
    rows : RowBlocks
    shape : tuple of int
        ``(channels, time)``.
    name : str
        Of the estimator.
    """
    channels, time = shape
    if time == 1 and channels > 1:
        raise ValueError(
            f"X has shape (n, {channels}, 1): series of a single time step. Expected (n, channels, "
            "time): use np.swapaxes(X, 1, 2)."
        )
    if channels <= time:
        return
    places = np.linspace(0, len(rows) - 1, min(len(rows), N_LOOKED_AT)).astype(np.intp)
    sample = rows[np.unique(places)].astype(np.float64)
    if time > MANY_STEPS and _smoothness(sample, 2) > max(0.5, _smoothness(sample, 1)):
        return
    warnings.warn(
        f"X has more channels than time steps: {name} reads its shape (n, {channels}, {time}) as "
        "(n, channels, time). If time comes first, use np.swapaxes(X, 1, 2). If the shape is "
        'correct, silence this with warnings.filterwarnings("ignore", "X has more channels").',
        UserWarning,
        stacklevel=2,
    )


def _smoothness(sample, axis):
    """Return the correlation of neighbors along an axis, over all rows."""
    with warnings.catch_warnings(), np.errstate(all="ignore"):
        warnings.simplefilter("ignore", RuntimeWarning)  # of what is missing in all rows
        z = (sample - np.nanmean(sample, axis=0)) / np.nanstd(sample, axis=0)
        z[~np.isfinite(z)] = np.nan
        n = z.shape[axis]
        here, there = np.take(z, range(n - 1), axis), np.take(z, range(1, n), axis)
        return np.nan_to_num(np.nanmean(here * there))
