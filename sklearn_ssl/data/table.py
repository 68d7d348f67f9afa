"""Tables: columns of numbers, which may be missing, and columns of categories."""

from dataclasses import dataclass, replace
from functools import partial
from typing import ClassVar

import numpy as np
import torch
from scipy.special import ndtri

from sklearn_ssl.augment import FeatureCorruption
from sklearn_ssl.data.categories import decode_table, learn_categories
from sklearn_ssl.data.columns import table_of
from sklearn_ssl.data.normal_scores import normal_scores
from sklearn_ssl.data.readable import TO_PAD
from sklearn_ssl.data.rows import N_DESCRIBED, evenly_spaced
from sklearn_ssl.data.scaled import ScaledSpec, columns_may_be_empty, moments
from sklearn_ssl.encoders.tabular import MLPEncoder
from sklearn_ssl.encoders.tokens import FeatureTokenEncoder


@dataclass(frozen=True, kw_only=True)
class TableSpec(ScaledSpec):
    """What an estimator knows about a table. A batch has the shape ``(n, features)``.

    Attributes
    ----------
    marginals : ndarray of shape (n_quantiles, features)
        Quantiles of each column of a batch, all of them values of the column: 256, or fewer from
        257 columns on, including a share of NaN for missing numbers.
    cardinalities : tuple of int
        Number of categories of each column: 0 for numbers.
    missing : tuple of bool
        Whether numbers of a column were missing.
    categories : tuple or None
        Categories of each column, as returned by ``learn_categories``. Code 1 is the first. None if
        all columns hold numbers.
    quantiles : ndarray of shape (n_quantiles, features) or None
        With ``scaling="quantile"``, the quantiles of X at the levels ``(i + 1 / 2) / n_quantiles``.
    """

    marginals: object
    cardinalities: tuple
    missing: tuple
    categories: tuple | None = None
    quantiles: object = None

    modality: ClassVar[str] = "table"
    n_dims: ClassVar[tuple] = (2,)
    expected: ClassVar[str] = "(n, features)"
    raw_title: ClassVar[str] = "raw features"
    rows_to_see: ClassVar[int] = 1_000_000
    ragged_advice: ClassVar[str] = TO_PAD
    axes: ClassVar[tuple] = (0,)
    unit: ClassVar[str] = "column"
    default_augmentation: ClassVar = FeatureCorruption

    @classmethod
    def read(cls, estimator, blocks):
        blocks = cls.as_arrays(estimator, blocks)
        categories = learn_categories(blocks, estimator.categorical_features)
        rows = cls._checked_blocks(estimator, blocks, categories=categories)
        shape = cls.batch_shape(estimator, rows.blocks[0].shape[1:])
        spec = cls.describe(rows, shape, categories=categories, scaling=estimator.scaling)
        spec.check_training(estimator, rows)
        return rows, spec

    @classmethod
    def describe(cls, rows, shape, *, categories=None, scaling="standard"):
        """Measure the training rows; except for missing numbers, at most 10,000 of them are read.

        Parameters
        ----------
        rows : RowBlocks
            With codes in place of categories.
        shape : tuple of int
        categories : tuple or None
        scaling : {"standard", "quantile"}
        """
        sample = evenly_spaced(rows).astype(np.float64, copy=False)
        shift, scale = moments(sample, cls.axes)
        cardinalities = tuple(len(values or ()) for values in categories or [None] * shape[0])
        coded = np.array(cardinalities) > 0
        levels = _levels(n_quantiles(shape[0]))
        spec = cls(
            n_samples=len(rows),
            row_shape=shape,
            shape=shape,
            shift=np.where(coded, 0, shift),
            scale=np.where(coded, 1, scale),
            marginals=None,
            cardinalities=cardinalities,
            missing=_missing(rows, shape),
            categories=categories,
            quantiles=_quantiles(sample, levels) if scaling == "quantile" else None,
        )
        ranks = np.ceil(levels * len(sample)).astype(np.intp) - 1
        marginals = spec.scaled(np.sort(sample, axis=0)[ranks])  # NaN comes last, in its share
        return replace(spec, marginals=marginals.astype(np.float32))

    @classmethod
    def table_in(cls, X):
        return table_of(X)

    def check_training(self, estimator, rows):
        if self.quantiles is None:  # which no extreme value can stretch
            super().check_training(estimator, rows)

    def check_values(self, estimator, X):
        if self.quantiles is None:
            super().check_values(estimator, X)

    def strong_augmentation(self):
        return FeatureCorruption(rate=0.15)  # 0.3 cost up to two points where it did not help

    def scaled(self, rows):
        scaled = super().scaled(rows)
        if self.quantiles is not None:
            scaled = self._normal_scores(scaled, rows.astype(np.float64, copy=False))
        if np.isnan(scaled).any():
            # A column without missing numbers in fit has nothing to say of one: it gets the mean.
            scaled = np.where(np.isnan(scaled) & ~np.array(self.missing), 0, scaled)
        return scaled

    def _normal_scores(self, scaled, rows):
        """Replace numbers by those of a normal distribution at the same quantiles of their column.

        scikit-learn's QuantileTransformer does the same, but it maps the smallest and the largest
        value to -5.2 and 5.2 however few rows there are; here they stay within 2.9 for 256
        quantiles. It also validates every batch, which takes longer than computing its scores.
        """
        levels = _levels(len(self.quantiles))
        for j in np.flatnonzero(self.is_number()):
            x, q = rows[:, j], self.quantiles[:, j]
            # From both sides: a value that spans several quantiles gets their middle.
            below, above = np.interp(x, q, levels), np.interp(-x, -q[::-1], levels)
            scaled[:, j] = ndtri((below + 1 - above) / 2)
        return scaled

    def standardized(self, rows):
        scaled = super().standardized(rows)
        if self.quantiles is not None:
            scores = normal_scores(rows, torch.tensor(self.quantiles))
            scaled = torch.where(torch.tensor(self.is_number()), scores, scaled)
        return torch.where(scaled.isnan() & ~torch.tensor(self.missing), 0, scaled)

    def unscaled(self, batch):
        values = super().unscaled(batch)
        if self.quantiles is None:
            return values
        quantiles = torch.from_numpy(self.quantiles).to(batch.device)
        last = len(quantiles) - 1
        place = (torch.special.ndtr(batch) * len(quantiles) - 0.5).clamp(0, last)
        below = place.long()
        above = (below + 1).clamp(max=last)
        numbers = quantiles.gather(0, below).lerp(quantiles.gather(0, above), place - below)
        is_number = torch.from_numpy(self.is_number()).to(batch.device)
        return torch.where(is_number, numbers, values)

    @property
    def raw_facts(self):
        return {} if self.categories is None else {"categories": self.categories}

    def example_rows(self, estimator, n):
        """Return rows whose entries are those of rows in ``fit``, each from another one."""
        places = np.random.default_rng(0).integers(len(self.marginals), size=(n, *self.shape))
        batch = np.take_along_axis(self.marginals, places, axis=0)
        return self.from_tensor(torch.from_numpy(batch))

    def decode(self, rows):
        return rows if self.categories is None else decode_table(rows, self.categories)

    def is_number(self):
        return np.array(self.cardinalities) == 0

    def name_of(self, estimator, j):
        names = getattr(estimator, "feature_names_in_", None)
        return f"column {j}" if names is None else f"column {names[j]!r}"

    def features(self, rows):
        """Return standardized numbers, marks of missing ones, and one-hot categories."""
        numbers = ((rows - self.shift) * self.scale)[:, self.is_number()]
        holes = np.isnan(rows[:, np.array(self.missing)])
        one_hot = [rows[:, [j]] == np.arange(1, n + 1) for j, n in enumerate(self.cardinalities)]
        return np.hstack([np.nan_to_num(numbers), holes, *one_hot]).astype(np.float32)

    @property
    def encoder_options(self):
        if not any((*self.cardinalities, *self.missing)):
            return {}
        return {"cardinalities": self.cardinalities, "missing": self.missing}

    def default_encoder(self, shape):
        return MLPEncoder(shape)

    def token_encoder(self, patch_size, pooling):
        return partial(FeatureTokenEncoder, pooling=pooling)


def n_quantiles(n_features):
    """Return the number of quantiles for each column: 256, or down to 48 in wide tables.

    They are saved with the estimator, and should be small compared with the weights.
    """
    return int(min(max(65_536 // n_features, 48), 256))


def _levels(n):
    return (np.arange(n) + 0.5) / n


def _quantiles(sample, levels):
    """Return quantiles of each column, ignoring missing numbers; zeros if all are missing."""
    with columns_may_be_empty():
        return np.nan_to_num(np.nanquantile(sample, levels, axis=0))


def _missing(rows, shape):
    """Return for each column whether numbers are missing; all rows are read, block by block."""
    missing = np.zeros(shape, dtype=bool)
    for start in range(0, len(rows), N_DESCRIBED):
        block = rows[np.arange(start, min(start + N_DESCRIBED, len(rows)))]
        missing |= np.isnan(block).any(axis=0)
    return tuple(missing.tolist())
