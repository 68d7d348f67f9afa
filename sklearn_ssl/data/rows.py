"""Rows for batches: several arrays as one, a subset of rows, evenly spaced rows."""

import numpy as np

N_DESCRIBED = 10_000  # evenly spaced rows that determine ranges and moments


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
    """A subset of the rows of a :class:`RowBlocks`, without copying them.

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
        """Lengths of the rows, if they differ."""
        return self.rows.lengths[self.indices]


def evenly_spaced(rows, n_most=N_DESCRIBED):
    """Return at most `n_most` of the rows, evenly spaced."""
    n = len(rows)
    return rows[np.linspace(0, n - 1, min(n, n_most)).astype(np.intp)]
