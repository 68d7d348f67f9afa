"""Classical language models, to compare ours with: n-grams, smoothed as Kneser and Ney do.

Chen and Goodman, An empirical study of smoothing techniques for language modeling (1999),
section 3: the interpolated form of modified Kneser-Ney.
"""

import numpy as np


class NGram:
    """A model of the next token, given the ``order - 1`` tokens before it.

    An order of 1 counts tokens, and adds one to each count. Higher orders take a discount from
    each count, and give what is won to the next lower order, which counts in how many places a
    sequence was seen instead of how often. Below an order of 1 all tokens are equally likely.

    Parameters
    ----------
    order : int
    vocabulary_size : int
        Tokens are 0 to ``vocabulary_size - 1``. A symbol of the end, which is predicted as they
        are, and one of the beginning, which never is, come on top.
    """

    def __init__(self, order, vocabulary_size):
        self.order = order
        self.vocabulary_size = vocabulary_size

    def fit(self, documents):
        """Count the sequences of ``documents``, a list of arrays of int; return the model."""
        symbols, predicted = self._join(documents)
        self.keys_, ids = [], [np.zeros(len(symbols), np.int64)]
        sizes = [1]
        for length in range(1, self.order + 1):
            keys, inverse = np.unique(
                _extended(symbols, ids[-1], sizes[-1], length), return_inverse=True
            )
            self.keys_.append(keys)
            ids.append(inverse)
            sizes.append(len(keys))
        self.counts_, self.discounts_, self.totals_, self.masses_ = [], [], [], []
        counts = np.bincount(ids[-1][predicted], minlength=sizes[-1])
        for length in range(self.order, 0, -1):
            if length < self.order:  # in how many places, of those that the longer ones tell
                longer = self.keys_[length][counts > 0]
                counts = np.bincount(longer % sizes[length], minlength=sizes[length])
            context = np.zeros(sizes[length], np.int64)
            context[ids[length][predicted]] = ids[length - 1][predicted - 1]
            discounts = _discounts(counts)
            totals = np.bincount(context, counts, sizes[length - 1])
            masses = np.bincount(context, discounts[np.minimum(counts, 3)], sizes[length - 1])
            if self.order == 1:
                discounts = np.zeros(4)
                masses = np.full(1, self.vocabulary_size + 1.0)
                totals += masses
            self.counts_.insert(0, counts)
            self.discounts_.insert(0, discounts)
            self.totals_.insert(0, totals)
            self.masses_.insert(0, masses)
        return self

    def probabilities(self, documents):
        """Return the probability of each token and each end of ``documents``, in one array."""
        symbols, predicted = self._join(documents)
        ids, size = np.zeros(len(symbols), np.int64), 1  # of the sequences that end at a symbol
        p = np.full(len(predicted), 1 / (self.vocabulary_size + 1))
        for length in range(1, self.order + 1):
            level = length - 1
            contexts = ids[predicted - 1]
            ids = _find(self.keys_[level], _extended(symbols, ids, size, length), ids >= 0)
            size = len(self.keys_[level])
            found = ids[predicted]
            counts = np.where(found >= 0, self.counts_[level][found], 0)
            totals = np.where(contexts >= 0, self.totals_[level][contexts], 0)
            kept = counts - self.discounts_[level][np.minimum(counts, 3)]
            given = self.masses_[level][contexts] * p
            p = np.where(totals > 0, (kept + given) / np.maximum(totals, 1), p)
        return p

    def nats(self, documents):
        """Return the negative log-likelihood of ``documents``, and how many tokens it is of."""
        p = self.probabilities(documents)
        return -np.log(p).sum(), len(p)

    def _join(self, documents):
        """Return documents as one array of symbols, and the places of those to be predicted."""
        end, begin = self.vocabulary_size, self.vocabulary_size + 1
        head = np.full(max(self.order - 1, 1), begin)
        parts = [part for document in documents for part in (head, document, [end])]
        symbols = np.concatenate(parts).astype(np.int64)
        return symbols, np.flatnonzero(symbols != begin)


def _extended(symbols, ids, size, length):
    """Return a number for the sequence of a length that ends at each symbol: it and no other.

    It is made of the first symbol of the sequence, and of the id of the rest, below ``size``. At
    the first symbols of all, where there is no such sequence, it is made up, and nobody asks.
    """
    return np.roll(symbols, length - 1) * size + ids


def _find(keys, wanted, possible):
    """Return where in sorted keys wanted ones are, and -1 for those that are absent."""
    places = np.minimum(np.searchsorted(keys, wanted), len(keys) - 1)
    return np.where(possible & (keys[places] == wanted), places, -1)


def _discounts(counts):
    """Return what to take from counts of 0, 1, 2 and more, from how many there are of each."""
    n1, n2, n3, n4 = np.bincount(np.minimum(counts, 5), minlength=6)[1:5]
    if 0 in (n1, n2, n3, n4):  # too few sequences to tell
        return np.array([0, 0.5, 0.75, 0.75])
    y = n1 / (n1 + 2 * n2)
    discounts = np.array([0, 1 - 2 * y * n2 / n1, 2 - 3 * y * n3 / n2, 3 - 4 * y * n4 / n3])
    return np.clip(discounts, 0, [0, 1, 2, 3])
