"""Which rows get a label: as many of each class, and none that is masked."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from sklearn_ssl.semi_supervised import draw_labels


@given(
    counts=st.lists(st.integers(5, 12), min_size=1, max_size=6),
    n_per_class=st.integers(1, 5),
    seed=st.integers(0, 2**31),
)
def test_draw_labels_takes_as_many_of_each_class(counts, n_per_class, seed):
    y = np.random.default_rng(0).permutation(np.repeat(np.arange(len(counts)), counts))
    drawn = draw_labels(y, n_per_class, seed)
    assert len(set(drawn)) == len(drawn) == n_per_class * len(counts)
    assert np.bincount(y[drawn]).tolist() == [n_per_class] * len(counts)
    np.testing.assert_array_equal(drawn, draw_labels(list(y), n_per_class, seed))


def test_draw_labels_differs_between_seeds():
    y = np.zeros(1000, dtype=int)
    assert set(draw_labels(y, 10, 0)) != set(draw_labels(y, 10, 1))


def test_what_is_masked_is_not_drawn():
    y = np.ma.masked_array(np.arange(60) % 3, mask=np.arange(60) % 3 == 2)
    drawn = draw_labels(y, 10, random_state=0)
    assert np.bincount(y.data[drawn]).tolist() == [10, 10]
    whole = np.arange(60) % 2
    np.testing.assert_array_equal(
        draw_labels(whole, 5, random_state=0),
        draw_labels(list(whole), 5, random_state=0),
    )
