"""What all kinds of data have in common: how X is read, and how it is described.

::

    rows, spec = Kind.read(estimator, blocks)          # fit: check, describe
    batch = spec.to_tensor(rows[indices])              # every step: raw rows -> batch
    rows, owners, shares = spec.rows_of(estimator, X)  # transform: check against fit
    X = spec.from_tensor(batch)                        # a prediction in the units of X
"""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import torch
from sklearn.utils import check_array
from sklearn.utils.validation import validate_data

from sklearn_ssl import defaults
from sklearn_ssl.data.axes import VOLUMES, axes_to_move
from sklearn_ssl.data.categories import encode_table
from sklearn_ssl.data.columns import holds_numbers_only, is_frame
from sklearn_ssl.data.containers import opened, unmasked
from sklearn_ssl.data.raw_rows import RawRows
from sklearn_ssl.data.readable import TO_PAD, TO_RESIZE, count_dims, read_rows, refuse_ragged
from sklearn_ssl.data.rows import RowBlocks

# Estimators to suggest if another one does not accept X, by its number of dimensions.
TAKEN_BY = {
    2: " SimCLRTransformer takes tables, for example.",
    3: " TS2VecTransformer takes series, and SimCLRTransformer grayscale images, for example.",
    4: " SimCLRTransformer takes images, for example.",
    5: f" NextFrameEmbedder takes videos. {VOLUMES}",
}


@dataclass(frozen=True, kw_only=True)
class Spec(RawRows):
    """What an estimator knows about its training data; each kind of data has its own subclass.

    Attributes
    ----------
    modality : str
        Name of the kind.
    n_samples : int
        Number of rows in ``fit``, from which defaults are derived.
    """

    n_samples: int

    modality: ClassVar[str | None] = None
    plural: ClassVar[str] = "rows"  # in messages
    raw_title: ClassVar[str] = "raw values"  # of the features that a representation has to beat
    rows_to_see: ClassVar[int] = 1_000_000  # in a fit, all epochs together
    default_augmentation: ClassVar = None  # a function that returns one, or None
    n_local: ClassVar[int] = 0  # local views of multi-crop
    own_encoder: ClassVar[str] = ""  # that a string names, for messages
    takes_pretrained: ClassVar[bool] = False  # whether pretrained networks for images read the rows

    # Reading X --------------------------------------------------------------------------------

    @classmethod
    def recognizes(cls, X):
        """Return whether X can only be data of this kind, as passed by the user."""
        return False

    @classmethod
    def read(cls, estimator, blocks):
        """Check training data, describe it, and warn of probable mistakes.

        Parameters
        ----------
        estimator : estimator
            Its parameters say how to read X; its ``n_features_in_`` and ``feature_names_in_`` are
            set.
        blocks : list
            X and further rows, as passed by the user.

        Returns
        -------
        rows : RowBlocks or TokenRows
        spec : Spec
        """
        raise NotImplementedError(f"{cls.__name__} must define read(estimator, blocks)")

    def read_more(self, estimator, blocks, *, reset):
        """Check rows with which a training continues, like :meth:`read` for the first ones.

        Parameters
        ----------
        estimator : estimator
        blocks : list
        reset : bool
            Whether this is a new fit, in which column names may differ.
        """
        raise NotImplementedError(
            f"{type(self).__name__} must define read_more(estimator, blocks, *, reset)"
        )

    def rows_of(self, estimator, X):
        """Return X as rows for batches.

        Parameters
        ----------
        estimator : estimator
            Fitted.
        X : object
            As passed by the user.

        Returns
        -------
        rows : RowBlocks or TokenRows
        owners : ndarray of shape (len(rows),)
            The row of X that each row is a part of, in ascending order.
        shares : ndarray of shape (len(rows),)
            Its share of that row of X.
        """
        raise NotImplementedError(f"{type(self).__name__} must define rows_of(estimator, X)")

    def decoded(self, estimator, X):
        """Return X in a form that is fast to read more than once: image files as an array."""
        return X

    def rows_to_score(self, estimator, X):
        """Return X as the rows that a pretext loss is measured on."""
        raise NotImplementedError(f"{type(self).__name__} must define rows_to_score(estimator, X)")

    def strong_augmentation(self):
        """Return changes after which FixMatch expects a row to have the same class.

        Returns
        -------
        augmentation : Augmentation or None
            Not adapted to the data; None means the default augmentation of the kind.
        """

    # To batches -------------------------------------------------------------------------------

    def to_tensor(self, rows, device="cpu"):
        """Turn rows of X into a batch on the device."""
        raise NotImplementedError(f"{type(self).__name__} must define to_tensor(rows, device)")

    def batches_to_embed(self, rows, encoder, *, full=False):
        """Yield the indices of rows, and raw rows that begin with them; the others are padding.

        No batch has less than four rows, and with `full` all are of the same size.
        """
        name = type(self).__name__
        raise NotImplementedError(f"{name} must define batches_to_embed(rows, encoder, full)")

    def blank_batch(self, n):
        """Return a batch of `n` rows that hold nothing, to try a network on."""
        raise NotImplementedError(f"{type(self).__name__} must define blank_batch(n)")

    # Features and networks --------------------------------------------------------------------

    def raw_features(self, estimator, pretrain, others):
        """Return the features that a user would learn from without pretraining.

        Parameters
        ----------
        estimator : estimator
            Fitted.
        pretrain : list of array-like
            Blocks of rows that pretraining has seen.
        others : list of array-like
            Further blocks.

        Returns
        -------
        features : list of ndarray or sparse matrix of shape (n, features)
            Features of all rows of `pretrain` in one array, then those of each other block.
        """
        raise NotImplementedError(f"{type(self).__name__} must define raw_features")

    @property
    def encoder_options(self):
        """What an encoder must know about columns, by keyword: nothing, except in tables."""
        return {}

    def default_encoder(self, shape):
        """Build the default network for rows of this shape, which suits a CPU."""
        raise NotImplementedError(f"{type(self).__name__} must define default_encoder(shape)")

    def named_encoder(self, name, shape):
        """Build the network that a string names."""
        raise ValueError(
            f"encoder={name!r} names no network for this kind of data: X is a {self.modality}. Use "
            f"{self.own_encoder}encoder=None or a function that returns a module."
        )


@dataclass(frozen=True, kw_only=True)
class ArraySpec(Spec):
    """Base of the kinds of data whose rows are arrays of one shape.

    A new kind defines ``modality``, ``n_dims``, ``expected``, ``describe``, ``to_tensor``,
    ``from_tensor`` and ``default_encoder``, and is added to ``sklearn_ssl.data.KINDS``. With
    ``batch_of`` it can be exported.

    Attributes
    ----------
    row_shape : tuple of int
        Shape of one row of X as passed by the user.
    shape : tuple of int
        Shape of one row of a batch.
    """

    row_shape: tuple
    shape: tuple

    n_dims: ClassVar[tuple]  # that X may have
    expected: ClassVar[str]  # shape of X, for messages
    is_whole: ClassVar[bool] = False  # whether no value may be missing, for whichever estimator
    ragged_advice: ClassVar[str] = f"{TO_RESIZE}. {TO_PAD}"
    missing_advice: ClassVar[str] = (
        "Replace them, for example by np.nan_to_num(X, nan=np.nanmedian(X))"
    )

    # Only tables have columns of categories.
    cardinalities: ClassVar = None
    categories: ClassVar = None

    # Reading X --------------------------------------------------------------------------------

    @classmethod
    def read(cls, estimator, blocks):
        rows = cls._checked_blocks(estimator, cls.as_arrays(estimator, blocks))
        shape = cls.batch_shape(estimator, rows.blocks[0].shape[1:])
        spec = cls.describe(rows, shape)
        spec.check_training(estimator, rows)
        return rows, spec

    @classmethod
    def as_arrays(cls, estimator, blocks, spec=None):
        """Return blocks of rows as arrays or frames, after reading masks and lists of rows.

        Parameters
        ----------
        estimator : estimator
        blocks : list
            As passed by the user.
        spec : Spec or None
            The Spec of an earlier fit.
        """
        blocks = [read_rows(opened(X), type(estimator).__name__) for X in blocks]
        blocks = [unmasked(X, cls.plural if cls.is_whole else None) for X in blocks]
        lists = [X for X in blocks if isinstance(X, list | tuple) and len(X)]
        return cls.from_lists(estimator, blocks, lists, spec) if lists else blocks

    @classmethod
    def from_lists(cls, estimator, blocks, lists, spec):
        """Return blocks that include lists of rows; scikit-learn turns them into arrays."""
        for X in lists:
            refuse_ragged(X, cls.ragged_advice, type(estimator).__name__)
        return blocks

    @classmethod
    def batch_shape(cls, estimator, row_shape):
        """Return the shape of rows of X in a batch; raise an error if they are of another kind."""
        cls.check_dims(row_shape)
        return row_shape

    @classmethod
    def check_dims(cls, row_shape):
        if len(row_shape) + 1 not in cls.n_dims:
            raise ValueError(
                f"X has shape {shown_shape(row_shape)}, expected {cls.expected}."
                f"{TAKEN_BY.get(len(row_shape) + 1, '')}"
            )

    @classmethod
    def describe(cls, rows, shape):
        """Measure the training rows: return a spec.

        Parameters
        ----------
        rows : RowBlocks
        shape : tuple of int
            As returned by :meth:`batch_shape`.
        """
        raise NotImplementedError(f"{cls.__name__} must define describe(rows, shape)")

    def check_training(self, estimator, rows):
        """Warn of probable mistakes in training data."""
        for block in rows.blocks:
            self.check_values(estimator, block)

    def read_more(self, estimator, blocks, *, reset):
        rows = self._checked_blocks(
            estimator,
            self.as_arrays(estimator, blocks, self),
            reset=reset,
            row_shape=None if reset else self.row_shape,
            categories=self.categories,
        )
        got = rows.blocks[0].shape[1:]
        if got != self.row_shape:
            raise ValueError(
                f"warm_start=True continues a fit on rows of shape {self.row_shape}, got rows of "
                f"shape {got}. Use warm_start=False to start over."
            )
        for block in rows.blocks:
            self.check_values(estimator, block)
        return rows

    def rows_of(self, estimator, X):
        rows = RowBlocks(self.check(estimator, X))
        return rows, np.arange(len(rows)), np.ones(len(rows))

    def rows_to_score(self, estimator, X):
        return RowBlocks(self.check(estimator, X, min_samples=estimator._fewest_to_score))

    def check(self, estimator, X, min_samples=1):
        """Return X as numbers, checked against the rows of ``fit``."""
        (X,) = self.as_arrays(estimator, [X], self)
        X = self.checked(
            estimator,
            X,
            reset=False,
            row_shape=self.row_shape,
            min_samples=min_samples,
            categories=self.categories,
        )
        self.check_values(estimator, X)
        return X

    def check_values(self, estimator, X):
        """Warn of numbers that are far from those in ``fit``."""

    @classmethod
    def _checked_blocks(cls, estimator, blocks, *, reset=True, row_shape=None, categories=None):
        X, *further = blocks
        X = cls.checked(
            estimator,
            X,
            reset=reset,
            row_shape=row_shape,
            min_samples=2,
            categories=categories,
        )
        further = [
            cls.checked(estimator, U, reset=False, row_shape=X.shape[1:], categories=categories)
            for U in further
        ]
        return RowBlocks(X, *further)

    @classmethod
    @np.errstate(over="ignore", invalid="ignore")  # sums in which infinity is looked for
    def checked(cls, estimator, X, *, reset, row_shape=None, min_samples=1, categories=None):
        """Validate X and return it as a numeric ndarray, without a copy if it is one.

        Parameters
        ----------
        estimator : estimator
            Named in messages; its ``n_features_in_`` and ``feature_names_in_`` are set or checked.
        X : array-like
            Finite numbers; also NaN in kinds of data where the estimator accepts it.
        reset : bool
            Whether to set these attributes, as ``fit`` does, or to check X against them.
        row_shape : tuple of int or None
            Shape that the rows must have.
        min_samples : int, default=1
            Fewer rows are an error.
        categories : tuple or None
            Categories of the columns of a table. The table is then copied, with codes in place of
            categories; so is a table of objects.

        Raises
        ------
        ValueError, TypeError
            With scikit-learn's messages for what it checks itself.
        """
        if row_shape is not None and (len(row_shape) > 1 or (count_dims(X) or 0) > 2):
            _check_row_shape(estimator, np.shape(X), row_shape)
        checks = {
            "allow_nd": True,
            "ensure_min_samples": min_samples,
            "ensure_all_finite": "allow-nan" if cls.takes_missing(estimator) else True,
        }
        table = cls.table_in(X)
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
            raise ValueError(cls._no_missing(estimator)) from error
        if row_shape is not None:  # rows of two dimensions may begin with the right length
            _check_row_shape(estimator, X.shape, row_shape)
        if 0 in X.shape[1:]:
            raise ValueError(f"X has shape {X.shape}: its rows are empty.")
        if min_samples > 1 and _all_missing(X):
            raise ValueError("X holds no numbers: all of them are missing (NaN).")
        return X

    @classmethod
    def takes_missing(cls, estimator):
        """Return whether an estimator accepts NaN in this kind of data."""
        return cls.modality in estimator._missing_allowed

    @classmethod
    def table_in(cls, X):
        """Return X if its columns may be of any dtype; None if it is an array of numbers."""
        return X if is_frame(X) else None

    @classmethod
    def _no_missing(cls, estimator):
        """Return what to do about NaN if an estimator does not accept it."""
        return (
            f"Input X contains NaN. {type(estimator).__name__} does not accept missing numbers in "
            f"data of the kind {cls.modality!r}. {cls.missing_advice}."
        )

    # To batches and back ----------------------------------------------------------------------

    def batches_to_embed(self, rows, encoder, *, full=False):
        size = self.inference_batch_size
        fewest = size if full else defaults.FEWEST_AT_ONCE
        for start in range(0, len(rows), size):
            block = rows[start : start + size]
            indices = np.arange(start, start + len(block))
            n_missing = max(fewest - len(block), 0)
            if n_missing:
                padding = np.zeros((n_missing, *block.shape[1:]), block.dtype)
                block = np.concatenate([block, padding])
            yield indices, block

    @property
    def inference_batch_size(self):
        """How many rows are embedded at once."""
        return defaults.inference_batch_size(self.shape)

    def blank_batch(self, n):
        return torch.zeros(n, *self.shape)

    def from_tensor(self, batch):
        """Turn a batch back into rows in the shape and the units of X.

        Parameters
        ----------
        batch : torch.Tensor of shape (n, ...)

        Returns
        -------
        rows : ndarray
            Codes in place of categories, see :meth:`decode`.
        """
        raise NotImplementedError(f"{type(self).__name__} must define from_tensor(batch)")

    def as_rows(self, batch):
        """Return a batch as an array in the shape of X, its values as they are."""
        return batch.cpu().numpy().reshape(len(batch), *self.row_shape)

    def decode(self, rows):
        """Return rows with categories in place of their codes, if there are any."""
        return rows

    # Features and networks --------------------------------------------------------------------

    def raw_features(self, estimator, pretrain, others):
        features = [self.features(self.check(estimator, X)) for X in (*pretrain, *others)]
        return [np.concatenate(features[: len(pretrain)]), *features[len(pretrain) :]]

    def features(self, rows):
        """Return checked rows as features in float32: only numbers, none missing."""
        return np.nan_to_num(rows.reshape(len(rows), -1).astype(np.float32))

    def token_encoder(self, patch_size, pooling):
        """Return a function that builds a TokenEncoder, which can be shown a part of each row."""
        raise ValueError(
            f"There is no default token encoder for data of the kind {self.modality!r}: pass a "
            "function that returns one as encoder."
        )

    def mild_augmentation(self):
        """Return what changes rows that are then to be predicted; None if nothing should."""


def shown_shape(row_shape):
    """Write the shape of X as messages do."""
    return f"(n, {', '.join(map(str, row_shape))})"


def _all_missing(X):
    return bool(np.isnan(X[0]).all() and np.isnan(X).all())


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
    if takes_gaps and got[:-1] == row_shape[:-1]:
        return (
            f"Leave out its first or last steps, such as X[..., -{row_shape[-1]}:], or fit again."
        )
    return axes_to_move(got, row_shape) or "Resize or reshape X to match, or fit again."


def _long_axes(shape):
    return [length for length in shape if length > 1]
