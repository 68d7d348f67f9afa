"""Views of rows of tables, against independent references."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from sklearn_ssl.augment import FeatureCorruption
from tests.helpers import describe


def _generator(seed=0):
    return torch.Generator().manual_seed(seed)


def _corruption(X, rate):
    spec = describe(X, "table")
    return FeatureCorruption(rate).adapt(spec), spec


@settings(deadline=None, max_examples=20)
@given(
    n=st.integers(2, 600),
    d=st.integers(1, 6),
    rate=st.floats(0, 1),
    seed=st.integers(0, 2**31),
    dtype=st.sampled_from([np.float64, np.float32, np.int64]),
)
def test_feature_corruption_draws_values_of_the_column(n, d, rate, seed, dtype):
    X = (np.random.default_rng(seed).normal(size=(n, d)) * 100).astype(dtype)
    augment, spec = _corruption(X, rate)
    train = spec.to_tensor(X)
    batch = torch.full((50, d), 1e9)
    views = augment(batch, _generator(seed))
    for column in range(d):
        allowed = torch.cat([train[:, column], batch[:1, column]])
        assert torch.isin(views[:, column], allowed).all()


@pytest.mark.parametrize("rate", [0.0, 0.3, 0.6, 1.0])
def test_feature_corruption_rate(rate, digits):
    augment, _ = _corruption(digits[0], rate)
    batch = torch.full((2000, 64), 1e9)
    corrupted = (augment(batch, _generator()) != batch).float()
    assert corrupted.mean().item() == pytest.approx(rate, abs=0.005)
    # Each column and each row has its share.
    assert (corrupted.mean(0) - rate).abs().max() < 0.05
    assert (corrupted.mean(1) - rate).abs().max() < 0.35


def test_feature_corruption_keeps_marginal_frequencies():
    rng = np.random.default_rng(0)
    X = rng.choice([0.0, 1.0, 5.0, 9.0], size=(3000, 2), p=[0.5, 0.3, 0.15, 0.05])
    augment, spec = _corruption(X, 1.0)
    views = augment(torch.zeros(20_000, 2), _generator())
    for column in range(2):
        for value in torch.unique(spec.to_tensor(X)[:, column]):
            asked = (spec.to_tensor(X)[:, column] == value).float().mean()
            got = (views[:, column] == value).float().mean()
            # 256 quantiles, and sampling
            assert got.item() == pytest.approx(asked.item(), abs=1 / 256 + 0.012)


def test_feature_corruption_draws_columns_independently():
    x = np.linspace(-1, 1, 500)
    augment, _ = _corruption(np.stack([x, x], axis=1), 1.0)
    views = augment(torch.zeros(5000, 2), _generator())
    assert abs(np.corrcoef(views.T.numpy())[0, 1]) < 0.06


def test_feature_corruption_must_be_adapted():
    with pytest.raises(ValueError, match=r"adapted to a table first: adapt\(spec\)"):
        FeatureCorruption()(torch.zeros(2, 3), _generator())


@pytest.mark.parametrize("rate", [0.0, 0.3, 1.0])
def test_local_views_of_tables_keep_half_as_many_entries(rate, digits):
    spec = describe(digits[0], "table")
    local = FeatureCorruption(rate).local(spec)
    kept = (local(torch.full((2000, 64), 1e9), _generator()) == 1e9).float().mean().item()
    assert kept == pytest.approx((1 - rate) / 2, abs=0.005)
