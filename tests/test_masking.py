"""Masks have an exact count in every row, and corruption draws from the columns."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from sklearn_ssl.masking import corrupt_features, random_mask


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


@given(n=st.integers(0, 9), length=st.integers(1, 40), data=st.data(), seed=st.integers(0, 2**31))
def test_every_row_has_as_many_masked_places(n, length, data, seed):
    n_masked = data.draw(st.integers(0, length))
    mask = random_mask(n, length, n_masked, generator(seed))
    assert mask.shape == (n, length)
    assert mask.dtype == torch.bool
    assert mask.sum(dim=1).tolist() == [n_masked] * n


def test_every_set_of_places_is_equally_likely():
    masks = random_mask(30_000, 5, 2, generator())
    numbers = (masks * 2 ** torch.arange(5)).sum(dim=1)
    counts = numbers.bincount(minlength=32)
    assert (counts > 0).sum() == 10  # 5 over 2
    # 3000 each, with a deviation of 52
    assert (counts[counts > 0] - 3000).abs().max() < 260


def test_exact_where_scores_are_tied(monkeypatch):
    monkeypatch.setattr(torch, "rand", lambda *shape, **kwargs: torch.full(shape, 0.5))
    assert random_mask(3, 7, 4, generator()).sum(dim=1).tolist() == [4, 4, 4]


def test_the_generator_is_the_only_chance(random_streams_untouched):
    first = random_mask(8, 20, 5, generator(1))
    assert torch.equal(random_mask(8, 20, 5, generator(1)), first)
    assert not torch.equal(random_mask(8, 20, 5, generator(2)), first)
    batch, marginals = torch.randn(8, 20, generator=generator()), torch.arange(200.0).view(10, 20)
    corrupted = corrupt_features(batch, first, marginals, generator(1))
    assert torch.equal(corrupt_features(batch, first, marginals, generator(1)), corrupted)
    assert not torch.equal(corrupt_features(batch, first, marginals, generator(2)), corrupted)


def test_masked_entries_come_from_their_column_and_no_other_changes():
    batch = -torch.ones(4000, 3)
    marginals = torch.tensor([[0.0, 10.0, 20.0], [1.0, 11.0, 21.0], [1.0, 12.0, 22.0]])
    mask = random_mask(4000, 3, 2, generator())
    corrupted = corrupt_features(batch, mask, marginals, generator())
    assert torch.equal(corrupted == -1, ~mask)
    assert (batch == -1).all()
    for column in range(3):
        values, counts = corrupted[mask[:, column], column].unique(return_counts=True)
        share = dict(zip(values.tolist(), (counts / counts.sum()).tolist()))
        expected = {0.0: 1 / 3, 1.0: 2 / 3} if column == 0 else None
        expected = expected or {10.0 * column + i: 1 / 3 for i in range(3)}
        assert share == pytest.approx(expected, abs=0.05)


def test_columns_and_rows_are_drawn_independently():
    marginals = torch.linspace(-1, 1, 50)[:, None].expand(-1, 3).contiguous()
    mask = torch.ones(20_000, 3, dtype=torch.bool)
    corrupted = corrupt_features(torch.zeros(20_000, 3), mask, marginals, generator()).numpy()
    np.testing.assert_allclose(np.corrcoef(corrupted.T), np.eye(3), atol=0.05)
    assert abs(np.corrcoef(corrupted[1:, 0], corrupted[:-1, 0])[0, 1]) < 0.05


def test_missing_values_are_drawn_in_their_share():
    marginals = torch.tensor([[0.0], [torch.nan], [1.0], [2.0]])
    mask = torch.ones(8000, 1, dtype=torch.bool)
    corrupted = corrupt_features(torch.zeros(8000, 1), mask, marginals, generator())
    assert corrupted.isnan().float().mean().item() == pytest.approx(0.25, abs=0.03)
    unmasked = corrupt_features(torch.full((5, 1), torch.nan), ~mask[:5], marginals, generator())
    assert unmasked.isnan().all()
