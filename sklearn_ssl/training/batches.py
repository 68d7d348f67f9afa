"""The batches of an epoch."""

import numpy as np
import torch

from sklearn_ssl.training.inference import row_batches

SORTED_TOGETHER = 50  # batches whose rows are sorted by length as a group


class IndexBatches:
    """Batches of rows, fetched by index arrays, with sizes that differ by at most one.

    No row is dropped and no batch is left with a single row, which batch normalization could
    not handle. Rows are sorted within a batch, so that memory-mapped data is read forward. If rows
    have ``lengths``, a batch holds rows of about the same length.

    Parameters
    ----------
    rows : RowBlocks or TokenRows
    batch_size : int
        Largest number of rows in a batch.
    order : torch.Generator or None
        Shuffles the rows in every epoch; None keeps their order.
    """

    def __init__(self, rows, batch_size, order):
        self.rows = rows
        self.batch_size = batch_size
        self.order = order

    def __len__(self):
        return -(-len(self.rows) // self.batch_size)

    def __iter__(self):
        if self.order is None:
            yield from row_batches(self.rows, self.batch_size)
            return
        for indices in self.shuffled():
            yield self.rows[indices]

    def shuffled(self):
        """Return the indices of the rows of each batch, sorted, for one epoch."""
        permutation = torch.randperm(len(self.rows), generator=self.order, dtype=torch.int32)
        batches = np.array_split(permutation.numpy(), len(self))
        if hasattr(self.rows, "lengths"):
            batches = self._of_like_length(batches)
        return [np.sort(indices) for indices in batches]

    def _of_like_length(self, batches):
        """Sort rows by length within groups of batches, to reduce padding."""
        sorted_batches = []
        for start in range(0, len(batches), SORTED_TOGETHER):
            group = batches[start : start + SORTED_TOGETHER]
            rows = np.concatenate(group)
            rows = rows[np.argsort(self.rows.lengths[rows], kind="stable")]
            sorted_batches += np.array_split(rows, len(group))
        order = torch.randperm(len(sorted_batches), generator=self.order)
        return [sorted_batches[i] for i in order]
