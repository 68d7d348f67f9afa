"""Masks have an exact count in every row, and corruption draws from columns or the vocabulary."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from sklearn_ssl.masking import (
    corrupt_features,
    corrupt_tokens,
    delete_tokens,
    mask_types,
    random_mask,
)

# Of a vocabulary of 40 tokens; special ones are at its beginning, in it and at its end.
WORDS = {"mask": 2, "special": (0, 1, 2, 17, 39), "vocabulary_size": 40}
ORDINARY = [i for i in range(40) if i not in WORDS["special"]]


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


@settings(deadline=None)
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


# Tokens ------------------------------------------------------------------------------------------


def rows_of_tokens(n, length, seed=0):
    """Return rows of ordinary tokens only."""
    places = torch.randint(len(ORDINARY), (n, length), generator=generator(seed))
    return torch.tensor(ORDINARY)[places]


@settings(deadline=None, max_examples=60)
@given(
    rows=st.lists(st.lists(st.integers(0, 39), max_size=30), min_size=1, max_size=6),
    mask_ratio=st.floats(0, 1, exclude_min=True),
    seed=st.integers(0, 2**31),
)
def test_every_row_has_its_part_of_ordinary_tokens_chosen(rows, mask_ratio, seed):
    ids = torch.full((len(rows), max(map(len, rows)) + 2), -1)
    for row, tokens in zip(ids, rows):
        row[: len(tokens)] = torch.tensor(tokens)
    before = ids.clone()
    corrupted, chosen = corrupt_tokens(ids, mask_ratio, generator(seed), **WORDS)
    assert torch.equal(ids, before)
    assert (corrupted.shape, corrupted.dtype) == (ids.shape, torch.int64)
    assert chosen.dtype == torch.bool
    for row, tokens in zip(chosen, rows):
        n_ordinary = sum(token in ORDINARY for token in tokens)
        expected = max(1, np.round(np.float32(mask_ratio) * np.float32(n_ordinary)))
        assert row.sum() == min(expected, n_ordinary)
    assert torch.equal(corrupted[~chosen], ids[~chosen])
    assert set(ids[chosen].tolist()) <= set(ORDINARY)
    assert set(corrupted[chosen].tolist()) <= {WORDS["mask"], *ORDINARY}


@pytest.mark.parametrize(
    ("mask_ratio", "counts"),
    [(0.15, [1, 1, 1, 2, 3, 15]), (0.5, [1, 1, 2, 5, 10, 50]), (1.0, [1, 2, 4, 10, 20, 100])],
)
def test_the_count_is_rounded_and_at_least_one(mask_ratio, counts):
    """Of rows of different lengths in one batch, between a beginning and an end."""
    ids = torch.full((6, 102), -1)
    for row, length in zip(ids, (1, 2, 4, 10, 20, 100)):
        row[0], row[1 : length + 1], row[length + 1] = 0, 5, 1
    _, chosen = corrupt_tokens(ids, mask_ratio, generator(), **WORDS)
    assert chosen.sum(dim=1).tolist() == counts
    assert not chosen[:, 0].any()


def test_every_token_is_as_likely_chosen():
    _, chosen = corrupt_tokens(rows_of_tokens(30_000, 10), 0.3, generator(), **WORDS)
    # 9000 each, with a deviation of 79
    assert (chosen.sum(dim=0) - 9000).abs().max() < 400
    both = (chosen[:, 0] & chosen[:, 1]).sum()  # 3 * 2 of 10 * 9
    assert abs(both - 2000) < 220


def test_of_the_chosen_80_percent_are_masked_and_10_replaced():
    ids = rows_of_tokens(2000, 100)
    corrupted, chosen = corrupt_tokens(ids, 0.5, generator(), **WORDS)
    n = chosen.sum()
    assert n == 100_000
    masked = (corrupted == WORDS["mask"]) & chosen
    same = (corrupted == ids) & chosen
    # A token that is drawn is the old one in one case of 35. Deviations are below 130.
    assert abs(masked.sum() - 0.8 * n) < 650
    assert abs(same.sum() - (0.1 + 0.1 / 35) * n) < 500
    replaced = chosen & ~masked & ~same
    assert abs(replaced.sum() - 0.1 * 34 / 35 * n) < 500


def test_replacements_are_ordinary_and_equally_likely():
    ids = torch.full((2000, 175), ORDINARY[0])
    corrupted, chosen = corrupt_tokens(ids, 1.0, generator(), **WORDS)
    counts = corrupted[chosen & (corrupted != WORDS["mask"])].bincount(minlength=40)
    assert counts[list(WORDS["special"])].sum() == 0
    # 1000 of each other token, with a deviation of 32
    assert (counts[ORDINARY[1:]] - 1000).abs().max() < 160


def test_fates_and_replacements_do_not_depend_on_the_place():
    ids = torch.full((20_000, 4), ORDINARY[0])
    corrupted, _ = corrupt_tokens(ids, 1.0, generator(), **WORDS)
    masked = (corrupted == WORDS["mask"]).numpy()
    np.testing.assert_allclose(masked.mean(axis=0), 0.8, atol=0.02)
    np.testing.assert_allclose(np.corrcoef(masked.T), np.eye(4), atol=0.04)


def test_rows_without_ordinary_tokens_are_left_alone():
    ids = torch.tensor([[0, 17, 1, 39], [0, 1, -1, -1], [-1, -1, -1, -1], [0, 5, 1, -1]])
    for seed in range(20):
        corrupted, chosen = corrupt_tokens(ids, 1.0, generator(seed), **WORDS)
        assert torch.equal(corrupted[:3], ids[:3])
        assert chosen.nonzero().tolist() == [[3, 1]]


def test_the_generator_is_the_only_chance_of_tokens(random_streams_untouched):
    ids = rows_of_tokens(8, 40)
    first = corrupt_tokens(ids, 0.5, generator(1), **WORDS)
    again = corrupt_tokens(ids, 0.5, generator(1), **WORDS)
    other = corrupt_tokens(ids, 0.5, generator(2), **WORDS)
    assert all(map(torch.equal, first, again))
    assert not any(map(torch.equal, first, other))


def test_exact_where_scores_of_tokens_are_tied(monkeypatch):
    monkeypatch.setattr(torch, "rand", lambda shape, **kwargs: torch.zeros(shape))
    ids = rows_of_tokens(3, 20)
    ids[:, 15:] = -1
    corrupted, chosen = corrupt_tokens(ids, 0.4, generator(), **WORDS)
    assert chosen.sum(dim=1).tolist() == [6, 6, 6]
    assert torch.equal(corrupted == WORDS["mask"], chosen)


@settings(deadline=None, max_examples=50)
@given(
    n=st.integers(1, 6),
    length=st.integers(1, 12),
    mask_ratio=st.sampled_from([0.0, 0.3, 0.5, 1.0]),
    seed=st.integers(0, 2**31),
)
def test_types_are_hidden_everywhere_or_nowhere(n, length, mask_ratio, seed):
    generator = torch.Generator().manual_seed(seed)
    given_ids = torch.randint(-2, 5, (n, length), generator=generator)
    ids, hidden, answers = mask_types(given_ids, mask_ratio, generator)
    for before, row, is_hidden, is_answer in zip(given_ids, ids, hidden, answers):
        assert sorted(before.tolist()) == sorted(row.tolist())
        real = row >= 0
        assert not is_hidden[~real].any()
        asked, seen = set(row[is_hidden].tolist()), set(row[real & ~is_hidden].tolist())
        assert not asked & seen
        assert sorted(row[is_answer].tolist()) == sorted(asked)  # each one once
        assert len(seen) >= min(1, real.sum())
        if mask_ratio == 0:
            assert not asked
        if mask_ratio == 1 and real.any():
            assert len(seen) == 1


def test_share_of_hidden_types():
    ids = torch.arange(1000).expand(20, 1000)
    _, hidden, _ = mask_types(ids, 0.3, torch.Generator().manual_seed(0))
    assert hidden.float().mean().item() == pytest.approx(0.3, abs=0.01)


def test_every_type_is_hidden_equally_often_however_frequent_it_is():
    ids = torch.tensor([[1, 1, 1, 1, 1, 1, 2, 3]]).expand(4000, 8)
    ids, _, answers = mask_types(ids, 0.5, torch.Generator().manual_seed(0))
    shares = [(answers & (ids == i)).float().sum().item() / 4000 for i in (1, 2, 3)]
    np.testing.assert_allclose(shares, 0.5 - 0.125 / 3, atol=0.03)  # one of three always stays


# Tokens that are left out -----------------------------------------------------------------------


@settings(deadline=None)
@given(
    lengths=st.lists(st.integers(0, 20), min_size=1, max_size=6),
    deletion=st.sampled_from([0.0, 0.3, 0.6, 0.99, 1.0]),
    seed=st.integers(0, 2**31),
)
def test_deleted_tokens_equal_those_of_a_slow_reference(lengths, deletion, seed):
    ids = torch.full((len(lengths), max(lengths) + 2), -1)
    for row, length in zip(ids, lengths):
        row[: length + 2] = torch.tensor([0, *range(7, 7 + length), 1])
    deletable = ids > 1
    before = ids.clone(), deletable.clone()
    shortened = delete_tokens(ids, deletable, deletion, generator(seed))
    assert torch.equal(ids, before[0])
    assert torch.equal(deletable, before[1])
    luck = torch.rand(ids.shape, generator=generator(seed)).tolist()
    for length, row, numbers in zip(lengths, shortened.tolist(), luck):
        places = range(1, length + 1)
        stays = [i for i in places if numbers[i] >= deletion]
        stays = stays or [max(places, key=numbers.__getitem__)] if length else []
        expected = [0, *(6 + i for i in stays), 1]
        assert row == expected + [-1] * (ids.shape[1] - len(expected))


def test_as_many_tokens_are_deleted_as_asked():
    ids = torch.arange(100).repeat(500, 1)
    shortened = delete_tokens(ids, ids >= 20, 0.6, generator())
    assert ((shortened >= 20).sum() / (500 * 80)).item() == pytest.approx(0.4, abs=0.01)
    assert torch.equal(shortened[:, :20], ids[:, :20])
    counts = torch.bincount(shortened[shortened >= 20], minlength=100)[20:] / 500
    assert (counts - 0.4).abs().max() < 0.1
