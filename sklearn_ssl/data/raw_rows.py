"""Rows of X as they are, in tensors: what a network needs that leaves Python."""

from typing import ClassVar

import numpy as np
import torch


class RawRows:
    """The part of a Spec that describes rows of X to an exported network.

    Attributes
    ----------
    raw_dtype : torch.dtype
        Of the numbers in rows of X.
    raw_facts : dict of str to object
        What else one has to know to write them, in types that JSON has.
    """

    raw_dtype: ClassVar = torch.float32
    raw_facts: ClassVar = {}

    @property
    def raw_shape(self):
        """Shape of a row of X; a name stands for a length that may vary."""
        return self.row_shape

    def batch_of(self, rows):
        """Turn rows of X into a batch, in operations on tensors alone.

        Parameters
        ----------
        rows : torch.Tensor of shape (n, *raw_shape)
            Numbers of `raw_dtype`; codes in place of categories, ids in place of tokens.
        """
        raise NotImplementedError(f"{type(self).__name__} must define batch_of(rows)")

    def example_rows(self, estimator, n):
        """Return made-up rows of X on which an exported network is tried.

        Parameters
        ----------
        estimator : estimator
            Whether it accepts missing numbers decides whether there are any.
        n : int
        """
        rng = np.random.default_rng(0)
        rows = self.from_tensor(torch.from_numpy(rng.normal(size=(n, *self.shape))))
        if self.takes_missing(estimator):
            rows[rng.random(rows.shape) < 0.1] = np.nan
        return rows
