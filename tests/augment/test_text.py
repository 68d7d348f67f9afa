"""Views of texts, against a slow reference."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from sklearn_ssl.augment import TextAugmentation
from tests.helpers import spec_of

BEGIN = spec_of("text", None).begin


def _generator(seed=0):
    return torch.Generator().manual_seed(seed)


def _adapted(**params):
    return TextAugmentation(**params).adapt(spec_of("text", None))


def _batch(lengths, begins=True):
    """Rows of so many different tokens, after one for the beginning, and padding."""
    batch = torch.full((len(lengths), max(lengths) + 2), -1)
    for row, length in zip(batch, lengths):
        tokens = torch.arange(100, 100 + length)
        tokens = torch.cat([torch.tensor([BEGIN]), tokens]) if begins else tokens
        row[: len(tokens)] = tokens
    return batch


def _tokens(row):
    """Return a row as a list without its padding, which must be at its end."""
    n = int((row >= 0).sum())
    assert (row[n:] == -1).all()
    return row[:n].tolist()


def _reference(row, crop, deletion, begin, fraction, position, luck):
    """Return a view of one row as a list, given the random numbers from 0 to 1 behind it.

    The first two are tensors, so that products are rounded as in the view.
    """
    tokens = [token for token in row.tolist() if token >= 0]
    front, tokens = (tokens[:1], tokens[1:]) if tokens[:1] == [begin] else ([], tokens)
    share = crop[0] + (crop[1] - crop[0]) * fraction
    kept = min(max(round((share * len(tokens)).item()), 4), len(tokens))
    start = int((position * (len(tokens) - kept + 1)).item())
    places = range(start, start + kept)
    stays = [i for i in places if luck[len(front) + i] >= deletion]
    if places and not stays:
        stays = [max(places, key=lambda i: luck[len(front) + i])]
    return front + [tokens[i] for i in stays]


@settings(deadline=None, max_examples=50)
@given(
    lengths=st.lists(st.integers(0, 30), min_size=1, max_size=8),
    low=st.floats(0, 1),
    high=st.floats(0, 1),
    deletion=st.sampled_from([0.0, 0.1, 0.5, 0.95, 1.0]),
    begins=st.booleans(),
    seed=st.integers(0, 2**31),
)
def test_views_equal_those_of_a_slow_reference(lengths, low, high, deletion, begins, seed):
    batch, n = _batch(lengths, begins), len(lengths)
    generator = _generator(seed)
    draws = [torch.rand(shape, generator=generator) for shape in [(n, 1), (n, 1), batch.shape]]
    views = _adapted(crop=(low, high), deletion=deletion)(batch, _generator(seed))
    for row, view, fraction, position, luck in zip(batch, views, *draws):
        numbers = fraction[0], position[0], luck.tolist()
        assert _tokens(view) == _reference(row, (low, high), deletion, BEGIN, *numbers)


def test_only_tokens_of_the_row_in_their_order():
    batch = _batch([3, 50, 200, 1])
    for row, view in zip(batch, _adapted()(batch, _generator())):
        front, *tokens = _tokens(view)
        assert front == BEGIN
        assert len(tokens) >= 1
        assert tokens == sorted(set(tokens) & set(row.tolist()))


@pytest.mark.parametrize("crop", [(0.05, 0.5), (0.3, 0.8), (1.0, 1.0)])
def test_crops_are_spans_of_the_lengths_asked(crop):
    n = 2000
    views = _adapted(crop=crop, deletion=0)(_batch([200]).repeat(n, 1), _generator())
    spans = [_tokens(view)[1:] for view in views]
    assert all(span == list(range(span[0], span[0] + len(span))) for span in spans)
    fractions = torch.tensor([len(span) / 200 for span in spans])
    assert fractions.min().item() == pytest.approx(crop[0], abs=0.01)
    assert fractions.max().item() == pytest.approx(crop[1], abs=0.01)
    assert fractions.mean().item() == pytest.approx(sum(crop) / 2, abs=0.01)
    assert min(span[0] for span in spans) == 100  # the first token of all
    assert max(span[-1] for span in spans) == 299


@pytest.mark.parametrize("deletion", [0.0, 0.1, 0.6])
def test_as_many_tokens_are_deleted_as_asked(deletion):
    views = _adapted(crop=(1, 1), deletion=deletion)(_batch([200]).repeat(500, 1), _generator())
    kept = (views >= 100).float()
    assert kept.sum(dim=1).mean().item() / 200 == pytest.approx(1 - deletion, abs=0.01)
    counts = torch.bincount(views[views >= 100] - 100)  # every place is as likely
    assert (counts / 500 - (1 - deletion)).abs().max() < 0.1


def test_a_short_text_keeps_four_tokens_and_everything_may_be_deleted_but_one():
    batch = _batch([4, 4, 2, 1])
    views = _adapted(crop=(0, 0), deletion=0)(batch, _generator())
    assert torch.equal(views, batch)
    for row in _adapted(crop=(0, 0), deletion=1)(batch, _generator()):
        assert len(_tokens(row)) == 2


def test_rows_without_tokens_stay_as_they_are():
    batch = torch.tensor([[BEGIN, -1, -1], [-1, -1, -1]])
    assert torch.equal(_adapted()(batch, _generator()), batch)


def test_local_views_are_half_as_long():
    augment = TextAugmentation(crop=(0.4, 0.6), deletion=0.2)
    local = augment.local(spec_of("text", None))
    assert (local.crop, local.deletion, local.begin) == ((0.2, 0.3), 0.2, BEGIN)
    assert augment.crop == (0.4, 0.6)
