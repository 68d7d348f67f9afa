"""Encoder of series with fixed kernels: features like those of loops over kernels and dilations."""

import pickle
from functools import partial
from itertools import combinations

import numpy as np
import pytest
import torch
from scipy.stats import norm
from sklearn.base import clone
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from sklearn_ssl import MoCoTransformer, SimCLRTransformer
from sklearn_ssl.encoders.rocket import KernelFeatures, RocketEncoder, spread_dilations
from tests.helpers import make_task, spec_of

TRIPLES = list(combinations(range(9), 3))


@pytest.fixture(autouse=True)
def _seeded():
    torch.manual_seed(0)


def measured(shape, n=20, n_features=252):
    series = torch.randn(n, *shape).cumsum(2)
    features = KernelFeatures(shape, n_features)
    features.measure_rows(series)
    return features, series


# Features ---------------------------------------------------------------------------------------


def slow_response(row, used, dilation, triple):
    """Return the response of one kernel to a row, with the channels that it adds up."""
    time = row.shape[1]
    total = row[used].sum(axis=0)
    response = np.zeros(time)
    for t in range(time):
        for place in range(9):
            step = min(max(t + (place - 4) * dilation, 0), time - 1)
            response[t] += (2 if place in triple else -1) * total[step]
    return response


def slow_features(series, dilations, counts, used):
    features, level = [], 0
    for i, (dilation, count) in enumerate(zip(dilations, counts)):
        responses = np.array(
            [
                [slow_response(row, used[i][k], dilation, TRIPLES[k]) for row in series]
                for k in range(84)
            ]
        )  # [84, n, time]
        for _ in range(count):
            for k in range(84):
                level += 1
                rank = level * (1 + 5**0.5) / 2 % 1
                threshold = responses[k].mean() + norm.ppf(rank) * responses[k].std(ddof=1)
                features.append((responses[k] > threshold).mean(axis=1))
    features = np.array(features).T
    std = features.std(axis=0, ddof=1)
    return (features - features.mean(axis=0)) / np.where(std > 1e-6, std, np.inf)


@pytest.mark.parametrize("shape", [(1, 5), (1, 40), (3, 20), (12, 8)])
def test_features_are_those_of_loops(shape):
    features, series = measured(shape, n=6, n_features=252)
    dilations, counts = spread_dilations(shape[1], 3)
    used = [kernels.weight.ne(0).any(dim=2).numpy() for kernels in features.kernels]
    expected = slow_features(series.double().numpy(), dilations, counts, used)
    found = features(series).numpy()
    # Rounding may move a response over a threshold.
    assert np.isclose(found, expected, atol=1e-3).mean() > 0.995
    assert found.shape == (6, 252)


def test_a_kernel_adds_up_one_to_nine_channels():
    features = KernelFeatures((12, 200), 84 * 30)
    used = torch.cat([kernels.weight.ne(0).any(dim=2) for kernels in features.kernels])
    n_used = used.sum(dim=1)
    assert n_used.unique().tolist() == list(range(1, 10))
    assert (n_used == 1).sum() > (n_used == 9).sum()
    assert (used.sum(dim=0) > 0).all()


@pytest.mark.parametrize(
    ("time", "n", "expected"),
    [
        (1, 4, ([1], [4])),
        (9, 4, ([1], [4])),
        (24, 3, ([1, 2], [2, 1])),
        (65, 4, ([1, 2, 4, 8], [1, 1, 1, 1])),
        (65, 1, ([1], [1])),
    ],
)
def test_dilations_are_spread_on_a_logarithmic_scale(time, n, expected):
    assert spread_dilations(time, n) == expected


@pytest.mark.parametrize("time", [2, 8, 24, 150, 1460])
@pytest.mark.parametrize("n", [1, 5, 11, 119])
def test_dilations_get_all_thresholds_and_fit_into_the_series(time, n):
    dilations, counts = spread_dilations(time, n)
    assert sum(counts) == n
    assert min(counts) > 0
    assert dilations == sorted(set(dilations))
    assert dilations[-1] == 1 or 8 * dilations[-1] < time


@pytest.mark.parametrize("shape", [(1, 1), (1, 2), (2, 8), (12, 12)])
def test_short_series_have_features(shape):
    features, series = measured(shape)
    output = features(series)
    assert output.shape == (20, 252)
    assert output.isfinite().all()
    assert shape[1] == 1 or (output.std(dim=0) > 0).any()


def test_constant_series_have_finite_features():
    features = KernelFeatures((2, 30), 252)
    features.measure_rows(torch.zeros(5, 2, 30))
    assert features(torch.zeros(3, 2, 30)).eq(0).all()
    features, _ = measured((2, 30))
    assert features(torch.full((3, 2, 30), 4.0)).isfinite().all()


def test_features_are_as_exact_in_mixed_precision():
    features, series = measured((2, 30))
    series = series + 100
    with torch.autocast("cpu", dtype=torch.bfloat16):
        mixed = features(series)
    torch.testing.assert_close(mixed, features(series))


# Encoder ----------------------------------------------------------------------------------------


def test_gradients_reach_the_layer_alone():
    encoder = RocketEncoder((2, 30))
    encoder.features.measure_rows(torch.randn(40, 2, 30))
    series = torch.randn(6, 2, 30, requires_grad=True)
    encoder(series).square().sum().backward()
    assert series.grad is None
    assert [name for name, _ in encoder.named_parameters()] == ["layer.weight", "layer.bias"]
    assert all(parameter.grad.abs().sum() > 0 for parameter in encoder.parameters())


def test_an_untrained_encoder_keeps_distances():
    features, series = measured((1, 60), n=50, n_features=924)
    encoder = RocketEncoder((1, 60), width=2000)
    encoder.features = features
    with torch.no_grad():
        near, projected = (torch.cdist(z, z) for z in (features(series), encoder(series)))
    pairs = torch.triu_indices(50, 50, offset=1)
    near, projected = near[pairs[0], pairs[1]], projected[pairs[0], pairs[1]]
    assert torch.corrcoef(torch.stack([near, projected]))[0, 1] > 0.95


@pytest.mark.parametrize("channels", [1, 12])
def test_by_name(channels):
    X = np.random.default_rng(0).normal(size=(40, channels, 20))
    ssl = SimCLRTransformer(modality="series", encoder="rocket", max_epochs=1, random_state=0)
    Z = ssl.fit_transform(X)
    assert isinstance(ssl.encoder_, RocketEncoder)
    assert Z.shape == (40, 320)
    np.testing.assert_array_equal(clone(ssl).fit_transform(X), Z)
    np.testing.assert_array_equal(pickle.loads(pickle.dumps(ssl)).transform(X), Z)
    np.testing.assert_allclose(ssl.transform(X[:3]), Z[:3], atol=1e-5)


def test_kernels_alone_are_an_encoder():
    X = np.random.default_rng(0).normal(size=(40, 2, 20))
    params = {"modality": "series", "max_epochs": 0, "random_state": 0}
    ssl = SimCLRTransformer(encoder=KernelFeatures, **params)
    Z = ssl.fit_transform(X)
    assert Z.shape == (40, 924)
    np.testing.assert_allclose(Z.mean(axis=0), 0, atol=1e-4)
    np.testing.assert_array_equal(pickle.loads(pickle.dumps(ssl)).transform(X), Z)


def test_another_seed_draws_other_channels():
    X = np.random.default_rng(0).normal(size=(40, 5, 20))
    first, second = (
        SimCLRTransformer(modality="series", encoder="rocket", max_epochs=0, random_state=seed)
        .fit(X)
        .encoder_.features.kernels[0]
        .weight
        for seed in (0, 1)
    )
    assert not first.equal(second)


def test_a_fit_measures_its_training_rows_before_any_view():
    X = np.random.default_rng(0).normal(size=(50, 2, 30)).cumsum(axis=2)
    params = {"modality": "series", "encoder": partial(RocketEncoder, n_features=168)}
    ssl = MoCoTransformer(max_epochs=1, random_state=0, **params).fit(X)
    batch = ssl.input_spec_.to_tensor(X)
    for encoder in (ssl.task_.encoder, ssl.task_.key_encoder):
        features = encoder.features(batch)
        torch.testing.assert_close(features.mean(dim=0), torch.zeros(168), atol=1e-4, rtol=0)
        varies = features.std(dim=0) > 0
        torch.testing.assert_close(features[:, varies].std(dim=0), torch.ones(int(varies.sum())))
        assert varies.float().mean() > 0.9


def test_other_arrays_have_no_such_encoder():
    with pytest.raises(ValueError, match="names no network for this kind of data: X is a table"):
        make_task(SimCLRTransformer(encoder="rocket"), spec_of("table", (5,)))


def test_few_labels_are_enough_for_a_motif_anywhere():
    """The place of a burst is random: raw numbers say nothing of its form."""
    rng = np.random.default_rng(0)
    y = np.arange(300) % 2
    X = 0.1 * rng.normal(size=(300, 60))
    for row, label, start in zip(X, y, rng.integers(0, 44, 300)):
        row[start : start + 16] += np.sin(np.arange(16) * (0.8 if label else 1.2))
    raw = make_pipeline(StandardScaler(), LogisticRegression(max_iter=1000))
    ssl = SimCLRTransformer(modality="series", encoder="rocket", max_epochs=2, random_state=0)
    Z = StandardScaler().fit_transform(ssl.fit_transform(X))
    on_raw = raw.fit(X[:20], y[:20]).score(X[20:], y[20:])
    on_embedding = LogisticRegression(max_iter=1000).fit(Z[:20], y[:20]).score(Z[20:], y[20:])
    assert on_embedding > max(on_raw, 0.8) + 0.1
