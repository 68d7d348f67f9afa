"""The classical language models of the benchmarks, against Kneser and Ney's formula in loops."""

from collections import Counter, defaultdict

import numpy as np
import pytest

from benchmarks.ngrams import NGram

VOCABULARY = 5
END, BEGIN = VOCABULARY, VOCABULARY + 1


def make_documents(n, seed=0):
    """Return documents of 0 to 29 tokens, in which some sequences are much more frequent."""
    rng = np.random.default_rng(seed)
    return [
        np.minimum(rng.geometric(0.5, rng.integers(30)) - 1 + (i % 2), VOCABULARY - 1)
        for i in range(n)
    ]


class LoopedKneserNey:
    """Modified Kneser-Ney, interpolated, with a dictionary for each order."""

    def __init__(self, order, documents):
        self.order = order
        self.counts = {length: Counter() for length in range(1, order + 1)}
        for document in documents:
            symbols = [BEGIN] * (order - 1) + list(document) + [END]
            for i in range(order - 1, len(symbols)):
                self.counts[order][tuple(symbols[i - order + 1 : i + 1])] += 1
        for length in range(order - 1, 0, -1):
            for sequence in self.counts[length + 1]:
                self.counts[length][sequence[1:]] += 1
        self.discounts = {length: self._discounts(length) for length in self.counts}
        self.followers = defaultdict(list)
        for counts in self.counts.values():
            for sequence in counts:
                self.followers[sequence[:-1]].append(sequence)

    def _discounts(self, length):
        n = Counter(self.counts[length].values())
        if not (n[1] and n[2] and n[3] and n[4]):
            return {1: 0.5, 2: 0.75, 3: 0.75}
        y = n[1] / (n[1] + 2 * n[2])
        return {k: min(max(k - (k + 1) * y * n[k + 1] / n[k], 0), k) for k in (1, 2, 3)}

    def probability(self, context, token):
        """Return how likely a token is after a tuple of ``order - 1`` others, or of fewer."""
        length = len(context) + 1
        below = self.probability(context[1:], token) if context else 1 / (VOCABULARY + 1)
        counts, followers = self.counts[length], self.followers[context]
        if not followers:
            return below
        total = sum(counts[sequence] for sequence in followers)
        taken = {s: self.discounts[length][min(counts[s], 3)] for s in followers}
        sequence = (*context, token)
        kept = counts[sequence] - taken[sequence] if sequence in taken else 0
        return (kept + sum(taken.values()) * below) / total


@pytest.mark.parametrize("order", [2, 3, 4])
@pytest.mark.parametrize("n_documents", [3, 40])
def test_ngram_equals_the_formula(order, n_documents):
    train, test = make_documents(n_documents), make_documents(8, seed=1)
    looped = LoopedKneserNey(order, train)
    expected = []
    for document in test:
        symbols = [BEGIN] * (order - 1) + list(document) + [END]
        for i in range(order - 1, len(symbols)):
            expected.append(looped.probability(tuple(symbols[i - order + 1 : i]), symbols[i]))
    model = NGram(order, VOCABULARY).fit(train)
    np.testing.assert_allclose(model.probabilities(test), expected, rtol=1e-12)
    nats, n_tokens = model.nats(test)
    assert nats == pytest.approx(-np.log(expected).sum())
    assert n_tokens == sum(map(len, test)) + len(test)


def test_the_documents_show_all_of_the_formula():
    counts = [LoopedKneserNey(3, make_documents(n)).counts[3].values() for n in (3, 40)]
    has_all = [{1, 2, 3, 4} <= set(c) for c in counts]
    assert has_all == [False, True]  # discounts without and with enough to tell them
    seen = LoopedKneserNey(3, make_documents(3)).followers
    test = [d for d in make_documents(8, seed=1) if len(d) > 2]
    assert any(tuple(d[:2]) not in seen for d in test)  # and contexts that were never seen


def test_ngram_of_order_1_adds_one():
    model = NGram(1, 3).fit([np.array([0, 0, 1])])
    # Of 0, 1, 2 and the end there are 2, 1, 0 and 1.
    np.testing.assert_allclose(
        model.probabilities([np.array([0, 1, 2]), np.array([], int)]),
        np.array([3, 2, 1, 2, 2]) / 8,
    )


@pytest.mark.parametrize("order", [1, 2, 3, 6])
def test_ngram_probabilities_sum_to_one(order):
    model = NGram(order, VOCABULARY).fit(make_documents(20))
    contexts = [d[:i] for d in make_documents(6, seed=2) for i in (0, 1, 3, len(d))]
    for context in contexts:
        place = len(context)
        longer = [np.append(context, token).astype(int) for token in range(VOCABULARY)]
        p = [model.probabilities([document])[place] for document in [*longer, context]]
        assert min(p) > 0
        assert sum(p) == pytest.approx(1, abs=1e-12)


def test_ngram_knows_the_end_and_the_beginning():
    model = NGram(3, VOCABULARY).fit([np.array([0, 1, 2])] * 100)
    assert model.probabilities([np.array([0, 1, 2])]).min() > 0.98
    assert model.probabilities([np.array([1])])[0] < 0.01  # never first
