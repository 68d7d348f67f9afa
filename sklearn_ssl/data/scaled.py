"""Numbers with their own units: each column of a table, each channel of a series is scaled."""

import warnings
from contextlib import contextmanager
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import torch

from sklearn_ssl.data.far_numbers import MOST_DEVIATIONS, check_deviations, check_lone_values
from sklearn_ssl.data.rows import evenly_spaced
from sklearn_ssl.data.spec import ArraySpec


@dataclass(frozen=True, kw_only=True)
class ScaledSpec(ArraySpec):
    """Base of tables and series: columns or channels have mean 0 and deviation 1 in a batch.

    Attributes
    ----------
    shift, scale : ndarray
        A batch is ``(X - shift) * scale``; numbers a million standard deviations away are clipped.
    """

    shift: object
    scale: object

    raw_dtype: ClassVar = torch.float64
    axes: ClassVar[tuple]  # of a batch, over which moments are taken
    unit: ClassVar[str]  # that has a scale of its own: a column or a channel

    def to_tensor(self, rows, device="cpu"):
        # Scaled before the cast: float32 has too few digits for a column of timestamps.
        scaled = self.scaled(rows.reshape(len(rows), *self.shape))
        return torch.from_numpy(scaled.astype(np.float32, copy=False)).to(device)

    def scaled(self, rows):
        """Return rows in the shape of a batch, in standard deviations from the mean, in float64."""
        rows = rows.astype(np.float64, copy=False)  # in which -x and means are what they should be
        with np.errstate(over="ignore"):
            scaled = (rows - self.shift) * self.scale
        return np.clip(scaled, -MOST_DEVIATIONS, MOST_DEVIATIONS, out=scaled)

    def batch_of(self, rows):
        return self.standardized(rows.reshape(rows.shape[0], *self.shape)).float()

    def standardized(self, rows):
        """Return what :meth:`scaled` does, of a tensor."""
        shift, scale = torch.tensor(self.shift), torch.tensor(self.scale)
        return ((rows - shift) * scale).clamp(-MOST_DEVIATIONS, MOST_DEVIATIONS)

    def from_tensor(self, batch):
        return self.as_rows(self.unscaled(batch.double()))

    def unscaled(self, batch):
        """Return a batch in the units of X."""
        scale, shift = (torch.as_tensor(x, device=batch.device) for x in (self.scale, self.shift))
        return batch / scale + shift

    def check_training(self, estimator, rows):
        sample = evenly_spaced(rows).reshape(-1, *self.shape)
        check_lone_values(estimator, sample, self)
        super().check_training(estimator, rows)

    def check_values(self, estimator, X):
        check_deviations(estimator, X, self)

    def is_number(self):
        """Return for each column or channel whether it holds numbers, not categories."""
        return np.ones(self.shape[0], dtype=bool)

    def name_of(self, estimator, j):
        """Return the name of a column or channel in messages."""
        return f"{self.unit} {j}"


def moments(sample, axes):
    """Return shift and scale for mean 0 and standard deviation 1, ignoring missing numbers."""
    if sample.dtype == np.float16:  # in which NumPy would square the differences
        sample = sample.astype(np.float32)
    with columns_may_be_empty():
        most = np.nanmax(np.abs(sample), axis=axes, keepdims=True)
        # Squares of numbers in this unit neither overflow nor underflow.
        unit = np.where((most > 1e15) | ((most > 0) & (most < 1e-15)), most, 1).astype(np.float64)
        if np.any(unit != 1):
            sample = sample / unit
        shift = np.nanmean(sample, axis=axes, keepdims=True, dtype=np.float64)[0] * unit[0]
        deviation = np.nanstd(sample, axis=axes, keepdims=True, dtype=np.float64)[0] * unit[0]
    # The deviation of a constant column is only rounding errors.
    varies = deviation > 10 * np.finfo(np.float64).eps * np.abs(shift)
    with np.errstate(over="ignore"):
        scale = 1 / np.where(varies, deviation, 1)
    return np.nan_to_num(shift), np.minimum(scale, np.finfo(np.float64).max)


@contextmanager
def columns_may_be_empty():
    """Silence NumPy's warnings about columns in which every number is missing."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Mean of empty|Degrees of freedom|All-NaN")
        yield
