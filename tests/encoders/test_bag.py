"""BagEncoder: a weighted mean of the vectors of known tokens."""

import pytest
import torch

from sklearn_ssl.encoders import BagEncoder

IDS = torch.tensor([[2, 3, 3, 5, -1], [4, 1, 0, -1, -1], [1, 0, -1, -1, -1], [7, 6, 5, 4, 3]])


@pytest.fixture
def encoder():
    torch.manual_seed(0)
    encoder = BagEncoder(8, 4, ignored=(0, 1)).eval()
    encoder.weight.uniform_(0.1, 2)
    return encoder


def slow_bag(encoder, row):
    """Return the weighted mean over the tokens of one row that count."""
    ids = [i for i in row.tolist() if i not in (-1, 0, 1)]
    if not ids:
        return torch.zeros(encoder.output_dim)
    weights = [encoder.weight[i] for i in ids]
    return sum(w * encoder.embedding.weight[i] for w, i in zip(weights, ids)) / sum(weights)


def test_mean_of_the_tokens_that_count(encoder):
    bags = encoder.bag(encoder.known(IDS))
    torch.testing.assert_close(bags, torch.stack([slow_bag(encoder, row) for row in IDS]))


def test_only_visible_tokens_take_part(encoder):
    ids = torch.tensor([[2, 3, 4]])
    visible = torch.tensor([[True, False, True]])
    expected = slow_bag(encoder, torch.tensor([2, 4]))
    torch.testing.assert_close(encoder.bag(ids, visible)[0], expected)


def test_order_and_padding_do_not_matter(encoder):
    ids = torch.tensor([[5, 2, 3, -1, -1], [3, 5, 2, 0, 1]])
    a, b = encoder(ids)
    torch.testing.assert_close(a, b)


def test_representations_are_centered_and_of_average_length_1():
    torch.manual_seed(0)
    encoder = BagEncoder(100, 64).train()
    h = encoder(torch.randint(100, (500, 20)))
    torch.testing.assert_close(h.mean(dim=0), torch.zeros(64), atol=1e-6, rtol=0)
    assert h.square().sum(dim=1).mean().item() == pytest.approx(1, rel=1e-3)


def test_statistics_forget_the_initial_ones_at_once():
    torch.manual_seed(0)
    encoder = BagEncoder(100, 64).train()
    batches = torch.randint(100, (3, 50, 20))
    for batch in batches:
        encoder(batch)
    bags = [encoder.bag(batch) for batch in batches]
    expected = torch.stack([bag.mean(dim=0) for bag in bags]).mean(dim=0)
    torch.testing.assert_close(encoder.norm.running_mean, expected)
    expected = torch.stack([bag.var(dim=0) for bag in bags]).mean(dim=0)
    torch.testing.assert_close(encoder.norm.running_var, expected)


def test_emphasis_raises_variances_to_a_power_and_keeps_the_average_length():
    torch.manual_seed(0)
    encoder = BagEncoder(30, 4).train()
    ids = torch.randint(30, (300, 5))
    encoder(ids)
    encoder.norm.momentum = 1.0
    encoder(ids)
    encoder.eval()
    before = encoder(ids)
    encoder.emphasize(ids.split(64))
    after = encoder(ids)
    before_values, before_vectors = torch.linalg.eigh(torch.cov(before.T))
    after_values, after_vectors = torch.linalg.eigh(torch.cov(after.T))
    expected = before_values**1.25 / (before_values**1.25).sum() * before_values.sum()
    torch.testing.assert_close(after_values, expected, rtol=1e-3, atol=1e-5)
    same = (before_vectors * after_vectors).sum(dim=0).abs()
    torch.testing.assert_close(same, torch.ones(4), rtol=1e-3, atol=0)
    assert after.square().sum(dim=1).mean().item() == pytest.approx(1, rel=0.01)


def test_texts_that_are_all_the_same_are_not_stretched():
    encoder = BagEncoder(30, 4).eval()
    encoder.emphasize([torch.tensor([[1, 2], [1, 2]])])
    assert torch.equal(encoder.emphasis, torch.eye(4))


def test_without_a_known_token_it_is_the_mean_of_all_texts(encoder):
    encoder.norm.running_mean.fill_(3.0)
    h = encoder(IDS)
    assert torch.equal(h[2], torch.zeros(4))
    assert (h[[0, 1, 3]] != 0).all()


def test_frequent_tokens_have_small_weights():
    frequency = torch.tensor([0.0, 3e-3, 0.1])
    encoder = BagEncoder(3, 4, frequency=frequency)
    expected = torch.tensor([1.0, 0.5, 3e-3 / 0.103])
    torch.testing.assert_close(encoder.weight, expected)
    assert torch.equal(BagEncoder(3, 4).weight, torch.ones(3))


def test_gradients_are_those_of_the_slow_mean(encoder):
    encoder.bag(encoder.known(IDS)).square().sum().backward()
    ours = encoder.embedding.weight.grad.clone()
    encoder.zero_grad()
    torch.stack([slow_bag(encoder, row) for row in IDS]).square().sum().backward()
    torch.testing.assert_close(ours, encoder.embedding.weight.grad)
    assert (ours[2:] != 0).all()
    assert (ours[:2] == 0).all()


def test_places_that_no_row_uses_are_left_out_in_training_alone(encoder, monkeypatch):
    widths = []
    bag = encoder.bag
    monkeypatch.setattr(encoder, "bag", lambda ids: widths.append(ids.shape[1]) or bag(ids))
    ids = torch.tensor([[2, 0, 3, -1, -1], [5, 1, -1, -1, -1]])
    assert torch.isfinite(encoder.train()(ids)).all()
    assert torch.isfinite(encoder(torch.full((2, 5), -1))).all()
    encoder.eval()(ids)
    assert widths == [2, 1, 5]
