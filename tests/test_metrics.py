"""Label-free measures against slow references, views, and searches without labels."""

import pickle
from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from joblib import parallel_config
from scipy.spatial.distance import pdist
from scipy.stats import ortho_group
from sklearn.decomposition import PCA
from sklearn.exceptions import NotFittedError
from sklearn.frozen import FrozenEstimator
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV, KFold
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import MinMaxScaler

from sklearn_ssl import (
    MaskedLMEmbedder,
    NextFrameEmbedder,
    SimCLRTransformer,
    TS2VecTransformer,
    _measures,
)
from sklearn_ssl.augment import ImageAugmentation, SeriesAugmentation
from sklearn_ssl.encoders import TextEncoder
from sklearn_ssl.metrics import (
    RepresentationScorer,
    alignment,
    alignment_scorer,
    alpha_req,
    alpha_req_scorer,
    embed_views,
    knn_agreement,
    knn_agreement_scorer,
    lidar,
    lidar_scorer,
    rankme,
    rankme_scorer,
    uniformity,
    uniformity_scorer,
)

SCORERS = {
    "rankme": rankme_scorer,
    "alpha_req": alpha_req_scorer,
    "lidar": lidar_scorer,
    "alignment": alignment_scorer,
    "uniformity": uniformity_scorer,
    "knn_agreement": knn_agreement_scorer,
}
WITH_VIEWS = ("lidar", "alignment", "knn_agreement")
ON_ROWS = {
    "rankme": rankme,
    "alpha_req": alpha_req,
    "uniformity": uniformity,
    "alignment": lambda Z: alignment(Z, np.roll(Z, 1, axis=1)),
    "knn_agreement": lambda Z: knn_agreement(Z, np.roll(Z, 1, axis=1), n_neighbors=1),
    "lidar": lambda Z: lidar(np.stack([Z, np.roll(Z, 1, axis=1)], axis=1)),
}


@pytest.fixture(name="Z")
def some_rows():
    rng = np.random.default_rng(0)
    return 3 + rng.normal(size=(60, 8)) @ rng.normal(size=(8, 8))


@pytest.fixture(name="views")
def some_views():
    rng = np.random.default_rng(1)
    return rng.normal(size=(40, 1, 5)) + 0.3 * rng.normal(size=(40, 4, 5))


# The definitions, slowly -------------------------------------------------------------------------


def exp_entropy(values, eps):
    shares = [v / sum(values) + eps for v in values]
    return np.exp(-sum(p * np.log(p) for p in shares))


def test_rankme_is_that_of_the_paper(Z):
    singular_values = np.sqrt(np.linalg.eigvalsh(Z.T @ Z))
    assert rankme(Z) == pytest.approx(exp_entropy(singular_values, 1e-7), rel=1e-9)
    assert rankme(Z, eps=0.01) == pytest.approx(exp_entropy(singular_values, 0.01), rel=1e-9)
    # Neither the centered rows nor the squares that others take:
    assert rankme(Z) != pytest.approx(rankme(Z - Z.mean(axis=0)), rel=0.05)
    assert rankme(Z) != pytest.approx(exp_entropy(singular_values**2, 1e-7), rel=0.05)


def test_lidar_is_that_of_the_paper(views):
    def reference(delta):
        n, n_views, width = views.shape
        mean_of_all = sum(row.mean(axis=0) for row in views) / n
        between, within = np.zeros((width, width)), delta * np.eye(width)
        for row in views:
            mean = row.mean(axis=0)
            between += np.outer(mean - mean_of_all, mean - mean_of_all) / n
            for view in row:
                within += np.outer(view - mean, view - mean) / (n * n_views)
        values, axes = np.linalg.eigh(within)
        inverse_root = axes @ np.diag(values**-0.5) @ axes.T
        return exp_entropy(np.linalg.eigvalsh(inverse_root @ between @ inverse_root), 1e-7)

    for delta in (1e-4, 0.5):
        assert lidar(views, delta=delta) == pytest.approx(reference(delta), rel=1e-9)
    assert lidar(views, delta=0.5) != pytest.approx(lidar(views), rel=0.01)


@pytest.mark.parametrize("alpha", [1, 2])
def test_alignment_is_that_of_the_paper(Z, alpha):
    other = Z[::-1]
    distances = [
        np.linalg.norm(a / np.linalg.norm(a) - b / np.linalg.norm(b)) for a, b in zip(Z, other)
    ]
    expected = np.mean(np.power(distances, alpha))
    assert alignment(Z, other, alpha=alpha) == pytest.approx(expected, rel=1e-9)


@pytest.mark.parametrize("t", [2, 0.5])
def test_uniformity_is_that_of_the_paper(Z, t):
    Z = np.vstack([Z, np.zeros(8)])
    normalized = Z / np.maximum(np.linalg.norm(Z, axis=1, keepdims=True), 1e-300)
    expected = np.log(np.exp(-t * pdist(normalized, "sqeuclidean")).mean())
    assert uniformity(Z, t=t) == pytest.approx(expected, rel=1e-9)


def test_uniformity_of_points_that_a_narrow_kernel_does_not_reach():
    assert uniformity(np.eye(3), t=1000) == pytest.approx(-2000)


def test_knn_agreement_is_the_shared_part_of_the_neighbors(Z):
    other = Z + np.random.default_rng(1).normal(size=Z.shape)

    def neighbors(Z, i):
        cosines = [Z[i] @ z / np.linalg.norm(Z[i]) / np.linalg.norm(z) for z in Z]
        return set(sorted(set(range(len(Z))) - {i}, key=lambda j: -cosines[j])[:7])

    shared = [len(neighbors(Z, i) & neighbors(other, i)) / 7 for i in range(len(Z))]
    assert 0.2 < np.mean(shared) < 0.9
    assert knn_agreement(Z, other, n_neighbors=7) == pytest.approx(np.mean(shared))


def test_neighbors_that_are_equally_near_share_what_is_left():
    Z = np.array([[1, 0], [1, 0], [1, 0], [1, 0], [0, 1]])
    # Of each of four rows, two out of three; of the last, two out of four. In each Z by chance.
    expected = (4 * 3 * (2 / 3) ** 2 + 4 * (2 / 4) ** 2) / (5 * 2)
    assert knn_agreement(Z, Z, n_neighbors=2) == pytest.approx(expected)


@pytest.mark.parametrize("name", ["uniformity", "knn_agreement"])
def test_blocks_of_rows_make_no_difference(monkeypatch, Z, name):
    expected = ON_ROWS[name](Z)
    monkeypatch.setattr(_measures, "VALUES_AT_ONCE", 7 * len(Z))
    assert ON_ROWS[name](Z) == pytest.approx(expected, rel=1e-12)
    monkeypatch.setattr(_measures, "VALUES_AT_ONCE", 1)
    assert ON_ROWS[name](Z) == pytest.approx(expected, rel=1e-12)


# Known cases --------------------------------------------------------------------------------------


@pytest.mark.parametrize("k", [1, 4, 9])
def test_rankme_counts_orthogonal_directions(k):
    Z = np.zeros((3 * k, 12))
    Z[np.arange(3 * k), np.arange(3 * k) % k] = 2.5
    assert rankme(np.vstack([Z, Z])) == pytest.approx(k, rel=1e-3)


@pytest.mark.parametrize("alpha", [0, 0.5, 1, 2])
def test_alpha_req_of_a_power_law(alpha):
    rng = np.random.default_rng(0)
    U = np.linalg.qr(rng.normal(size=(200, 31)) - 0.0)[0]
    U -= U.mean(axis=0)
    U = np.linalg.qr(U)[0][:, :30]  # orthonormal columns of mean 0
    deviations = np.arange(1, 31) ** (-alpha / 2)
    Z = 5 + U * deviations @ ortho_group.rvs(30, random_state=0)
    assert alpha_req(Z) == pytest.approx(alpha, abs=1e-6)
    # Directions in which nothing varies do not count, in single precision either.
    wide = np.hstack([Z, np.ones((200, 5))]).astype(np.float32)
    assert alpha_req(wide) == pytest.approx(alpha, abs=1e-3)


def test_spectra_of_isotropic_noise():
    Z = np.random.default_rng(0).normal(size=(20_000, 16))
    assert rankme(Z) == pytest.approx(16, abs=0.01)
    assert alpha_req(Z) == pytest.approx(0, abs=0.05)
    # Independent points of a sphere: E exp(2 t cos) is near exp(2 t ** 2 / width) for a wide one.
    wide = np.random.default_rng(0).normal(size=(1000, 500))
    assert uniformity(wide) == pytest.approx(-4 + 2 * 2**2 / 500, abs=5e-3)


def test_lidar_counts_directions_that_tell_rows_apart():
    rng = np.random.default_rng(0)
    corners = np.repeat(np.eye(6)[:4], 50, axis=0)[:, None]  # a tetrahedron: three directions
    noise = 1e-2 * rng.normal(size=(200, 20, 6))
    assert lidar(corners + noise) == pytest.approx(3, abs=0.15)
    # Directions in which the views of a row differ as widely as rows do say nothing.
    nuisance = np.zeros((200, 20, 6))
    nuisance[..., 4:] = rng.normal(size=(200, 20, 2))
    both = corners + noise + nuisance
    assert lidar(both) == pytest.approx(3, abs=0.15)
    assert rankme(both[:, 0]) > 5


def test_alignment_and_agreement_of_equal_and_opposite_views(Z):
    assert alignment(Z, 2 * Z) == pytest.approx(0, abs=1e-12)
    assert alignment(Z, -Z) == pytest.approx(4)
    assert alignment(Z, -Z, alpha=1) == pytest.approx(2)
    assert knn_agreement(Z, Z) == pytest.approx(1)


def test_agreement_of_unrelated_rows_is_chance():
    Z_a, Z_b = np.random.default_rng(0).normal(size=(2, 500, 20))
    assert knn_agreement(Z_a, Z_b) == pytest.approx(10 / 499, abs=0.01)


# Invariances --------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["rankme", "alpha_req", "uniformity"])
@pytest.mark.parametrize("scale", [1e-200, 1e-6, 1, 1e6, 1e200])
def test_rotation_and_scale_make_no_difference(Z, name, scale):
    turned = scale * Z @ ortho_group.rvs(8, random_state=0)
    assert ON_ROWS[name](turned) == pytest.approx(ON_ROWS[name](Z), rel=1e-6)


def test_rotation_makes_no_difference_between_views(views):
    turned = views @ ortho_group.rvs(5, random_state=0)
    a, b, c, d = views[:, 0], views[:, 1], turned[:, 0], turned[:, 1]
    assert lidar(turned) == pytest.approx(lidar(views), rel=1e-9)
    assert alignment(c, d) == pytest.approx(alignment(a, b), rel=1e-9)
    assert knn_agreement(c, d) == pytest.approx(knn_agreement(a, b), rel=1e-9)
    assert knn_agreement(a, c) == pytest.approx(1)


MATRICES = arrays(
    np.float64,
    st.tuples(st.integers(2, 8), st.integers(1, 5)),
    elements=st.floats(-1e6, 1e6, allow_subnormal=False),  # squares of some are 0
)
BOUNDS = {
    "rankme": lambda n, width: (1, min(n, width)),
    "alpha_req": lambda n, width: (0, 64),
    "uniformity": lambda n, width: (-8, 0),
    "alignment": lambda n, width: (0, 4),
    "knn_agreement": lambda n, width: (0, 1),
    "lidar": lambda n, width: (1, min(n - 1, width)),
}


@settings(max_examples=60, deadline=None)
@given(Z=MATRICES)
def test_any_finite_rows_have_a_value_within_bounds(Z):
    for name, measure in ON_ROWS.items():
        low, high = BOUNDS[name](*Z.shape)
        assert low - 1e-4 <= measure(Z) <= high + 1e-4, name


@settings(max_examples=30, deadline=None)
@given(Z=MATRICES, seed=st.integers(0, 99))
def test_the_order_of_the_rows_makes_no_difference(Z, seed):
    order = np.random.default_rng(seed).permutation(len(Z))
    for name in ("rankme", "uniformity", "alignment"):
        assert ON_ROWS[name](Z[order]) == pytest.approx(ON_ROWS[name](Z), rel=1e-4, abs=1e-6)


# What is refused, and what is collapsed -----------------------------------------------------------


@pytest.mark.parametrize("name", ["rankme", "alpha_req", "uniformity"])
@pytest.mark.parametrize(
    ("bad", "message"),
    [
        (np.ones(5), "Expected 2D array"),
        (np.ones((1, 5)), "minimum of 2"),
        (np.array([[1.0, np.nan], [1, 2]]), "Z contains NaN"),
        (np.array([[1.0, np.inf], [1, 2]]), "Z contains infinity"),
        (np.ones((4, 2, 3)), "dim 3"),
    ],
)
def test_rows_that_are_refused(name, bad, message):
    with pytest.raises(ValueError, match=message):
        ON_ROWS[name](bad)


def test_pairs_that_are_refused(Z):
    with pytest.raises(ValueError, match=r"same rows.*got \(60, 8\) and \(59, 8\)"):
        alignment(Z, Z[1:])
    with pytest.raises(ValueError, match=r"same rows.*\(60, 8\) and \(60, 7\)"):
        alignment(Z, Z[:, 1:])
    with pytest.raises(ValueError, match="same rows"):
        knn_agreement(Z, Z[1:])
    assert knn_agreement(Z, Z[:, :7]) < 1  # widths may differ
    with pytest.raises(ValueError, match=r"n_neighbors=60 .* only 59 other rows"):
        knn_agreement(Z, Z, n_neighbors=60)
    with pytest.raises(ValueError, match="n_neighbors"):
        knn_agreement(Z, Z, n_neighbors=0)
    with pytest.raises(ValueError, match=r"\(n, n_views, width\).*\(60, 8\)"):
        lidar(Z)
    with pytest.raises(ValueError, match="two views"):
        lidar(Z[:, None])
    with pytest.raises(ValueError, match="delta"):
        lidar(np.ones((3, 2, 2)), delta=0)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("value", [0, 0.1, -1e5])
def test_a_constant_has_the_worst_value(dtype, value):
    Z = np.full((50, 6), value, dtype)
    rng = np.random.default_rng(0)
    spread = rng.normal(size=(50, 6))
    assert rankme(Z) == pytest.approx(1, abs=1e-4)
    assert rankme(spread) > 5
    assert alpha_req(Z) == pytest.approx(46, abs=0.1)
    assert abs(alpha_req(spread) - 1) < 1
    assert uniformity(Z) == pytest.approx(0, abs=1e-12)
    assert uniformity(spread) < -2
    assert knn_agreement(Z, Z) == pytest.approx(10 / 49)
    assert lidar(np.stack([Z, Z], axis=1)) == pytest.approx(1, abs=1e-4)
    assert alignment(Z, Z) == 0  # the best: it cannot stand alone

    def transform(self, X):
        return np.ones((len(X), 4), np.float32)


class _AllAlike(torch.nn.Module):
    output_dim = 4

    def __init__(self, shape):
        super().__init__()
        self.weight = torch.nn.Parameter(torch.ones(4))

    def forward(self, batch):
        return self.weight + 0 * batch.flatten(1)[:, :4]


@pytest.mark.filterwarnings("ignore::sklearn_ssl.CollapseWarning")
def test_a_collapsed_estimator_is_scored_worst(fitted, digits):
    X = digits[0]
    collapsed = SimCLRTransformer(encoder=_AllAlike, **PARAMS).fit(X[:64])
    for name, scorer in SCORERS.items():
        if name != "alignment":
            assert scorer(collapsed, X[64:128]) < scorer(fitted, X[64:128]), name
    assert alignment_scorer(collapsed, X[64:128]) == 0


# Views --------------------------------------------------------------------------------------------

PARAMS = {"image_shape": (8, 8), "max_epochs": 1, "random_state": 0}


@pytest.fixture(scope="module", name="fitted")
def fitted_on_digits(digits):
    return SimCLRTransformer(**PARAMS).fit(digits[0][:64])


@pytest.mark.usefixtures("random_streams_untouched")
def test_views_are_the_same_at_every_call(fitted, digits):
    X = digits[0][64:400]  # more than a batch
    views = embed_views(fitted, X, 3)
    assert views.shape == (336, 3, 256)
    assert views.dtype == np.float32
    np.testing.assert_array_equal(embed_views(fitted, X, 3), views)
    assert not np.array_equal(embed_views(fitted, X, 3, random_state=1), views)
    first, second = views[:, 0], views[:, 1]
    assert 0 < alignment(first, second) < alignment(first, np.roll(second, 1, axis=0))
    # They depend on the place of a row, but not on the rows beside it or behind it.
    np.testing.assert_array_equal(embed_views(fitted, X[:300], 3), views[:300])


@pytest.mark.usefixtures("random_streams_untouched")
def test_a_function_of_ones_own_makes_views(fitted, digits):
    X = digits[0][64:100]
    still = embed_views(fitted, X, augment=torch.clone)
    np.testing.assert_array_equal(still[:, 0], still[:, 1])
    np.testing.assert_allclose(still[:, 0], fitted.transform(X), rtol=1e-5, atol=1e-6)

    def noise(batch):  # from torch's global stream
        return batch + 0.1 * torch.randn_like(batch)

    noisy = embed_views(fitted, X, augment=noise)
    assert not np.array_equal(noisy[:, 0], noisy[:, 1])
    np.testing.assert_array_equal(embed_views(fitted, X, augment=noise), noisy)


def test_views_are_not_those_of_the_estimator(digits):
    X = digits[0][:64]
    views = [
        embed_views(SimCLRTransformer(augment=augment, lr=1e-30, **PARAMS).fit(X), X)
        for augment in (None, torch.clone)
    ]
    assert alignment(views[1][:, 0], views[1][:, 1]) > 0
    explicit = embed_views(
        SimCLRTransformer(lr=1e-30, **PARAMS).fit(X), X, augment=ImageAugmentation()
    )
    np.testing.assert_array_equal(explicit, views[0])


def test_views_leave_the_estimator_as_it_was(fitted, digits):
    X = digits[0][:80]
    before, n_threads = fitted.transform(X), torch.get_num_threads()
    views = embed_views(fitted, X)
    fitted.task_.train()
    np.testing.assert_array_equal(embed_views(fitted, X), views)
    np.testing.assert_array_equal(fitted.transform(X), before)
    assert torch.get_num_threads() == n_threads
    assert not fitted.task_.training


def test_views_of_each_kind_of_data(modality, modality_data):
    params, X = modality_data
    ssl = SimCLRTransformer(max_epochs=1, random_state=0, **params).fit(X)
    views = embed_views(ssl, X, 2)
    assert views.shape[:2] == (64, 2)
    assert np.isfinite(views).all()
    assert 0 < alignment(views[:, 0], views[:, 1]) < 1


def test_views_of_a_table_with_categories_and_holes():
    pandas = pytest.importorskip("pandas")
    rng = np.random.default_rng(0)
    X = pandas.DataFrame({"a": rng.normal(size=80), "b": rng.choice(["x", "y"], 80)})
    X.loc[::9, "a"] = np.nan
    ssl = SimCLRTransformer(max_epochs=1, random_state=0).fit(X)
    assert np.isfinite(embed_views(ssl, X)).all()
    assert np.isfinite(knn_agreement_scorer(ssl, X))


def test_views_of_series_of_other_estimators(digits):
    X = digits[0][:64].reshape(-1, 8, 8)
    for Estimator in (TS2VecTransformer, NextFrameEmbedder):
        ssl = Estimator(max_epochs=1, random_state=0).fit(X)
        assert np.isfinite(embed_views(ssl, X, augment=SeriesAugmentation())).all()


def test_videos_need_an_augmentation(digits):
    X = digits[0][:32].reshape(-1, 4, 4, 4)
    ssl = NextFrameEmbedder(max_epochs=1, random_state=0).fit(X)
    with pytest.raises(ValueError, match="Videos have no default augmentation"):
        embed_views(ssl, X)
    assert embed_views(ssl, X, augment=torch.clone).shape[:2] == (32, 2)


def test_pipelines_and_frozen_estimators(digits):
    X = digits[0][:64]
    pipeline = make_pipeline(MinMaxScaler(), SimCLRTransformer(**PARAMS)).fit(X)
    scaled = pipeline[0].transform(X)
    expected = embed_views(pipeline[-1], scaled)
    np.testing.assert_array_equal(embed_views(pipeline, X), expected)
    np.testing.assert_array_equal(embed_views(FrozenEstimator(pipeline[-1]), scaled), expected)
    np.testing.assert_array_equal(embed_views(make_pipeline(pipeline[-1]), scaled), expected)
    for name, scorer in SCORERS.items():
        assert scorer(pipeline, X) == scorer(pipeline[-1], scaled), name


def test_estimators_without_views(digits):
    X = digits[0][:32]
    pca = PCA(3).fit(X)
    for name in WITH_VIEWS:
        with pytest.raises(TypeError, match=r"got PCA\. rankme, alpha_req and uniformity"):
            SCORERS[name](pca, X)
    for name in set(SCORERS) - set(WITH_VIEWS):
        assert np.isfinite(SCORERS[name](pca, X))
    with pytest.raises(NotFittedError):
        embed_views(SimCLRTransformer(), X)
    classifier = make_pipeline(PCA(3), LogisticRegression(max_iter=1000)).fit(X, digits[1][:32])
    with pytest.raises(TypeError, match=r"no method transform.*pipeline\[:-1\]"):
        rankme_scorer(classifier, X)


@pytest.mark.parametrize(
    "ssl",
    [
        SimCLRTransformer(encoder=lambda shape: TextEncoder(*shape, width=16, depth=1)),
        MaskedLMEmbedder(max_length=8, width=16, depth=1, n_heads=2),
    ],
    ids=["words", "pieces"],
)
def test_views_of_texts(ssl):
    texts = ["the cat sat on the mat", "a dog barked at the cat", "no bird sang", "rain " * 30] * 4
    ssl.set_params(max_epochs=1, random_state=0).fit(texts)
    views = embed_views(ssl, texts, 3)
    assert views.shape == (16, 3, 16)
    assert np.isfinite(views).all()
    assert not np.array_equal(views[:, 0], views[:, 1])
    np.testing.assert_array_equal(embed_views(ssl, texts, 3), views)
    same = embed_views(ssl, texts, augment=torch.clone)
    np.testing.assert_allclose(same[:, 0], ssl.transform(texts), rtol=1e-5, atol=1e-6)
    for name, scorer in SCORERS.items():
        assert np.isfinite(scorer(ssl, texts)), name


@pytest.mark.parametrize(
    "params", [{"n_views": 0}, {"n_views": 1.5}, {"augment": "strong"}, {"random_state": "x"}]
)
def test_parameters_of_views_that_are_refused(fitted, digits, params):
    with pytest.raises(ValueError, match=next(iter(params))):
        embed_views(fitted, digits[0][:32], **params)


def test_rows_of_another_shape(fitted, digits):
    with pytest.raises(ValueError, match="63 features"):
        embed_views(fitted, digits[0][:32, 1:])


# Scorers ------------------------------------------------------------------------------------------


def test_scorers_are_the_measures_with_more_being_better(fitted, digits):
    X = digits[0][64:128]
    Z, pair = fitted.transform(X), embed_views(fitted, X, 2)
    expected = {
        "rankme": rankme(Z),
        "alpha_req": -abs(alpha_req(Z) - 1),
        "uniformity": -uniformity(Z),
        "lidar": lidar(embed_views(fitted, X, 10)),
        "alignment": -alignment(pair[:, 0], pair[:, 1]),
        "knn_agreement": knn_agreement(pair[:, 0], pair[:, 1]),
    }
    for name, scorer in SCORERS.items():
        score = scorer(fitted, X)
        assert isinstance(score, float)
        assert score == expected[name], name
        assert scorer(fitted, X, np.zeros(64)) == score  # labels are not looked at
        assert scorer.name == name


def test_scorers_survive_pickling_and_have_settings(fitted, digits):
    X = digits[0][64:128]
    for scorer in SCORERS.values():
        twin = pickle.loads(pickle.dumps(scorer))
        assert twin == scorer
        assert twin(fitted, X) == scorer(fitted, X)
    assert repr(rankme_scorer) == (
        "RepresentationScorer(name='rankme', n_views=0, augment=None, random_state=0)"
    )
    other = replace(alignment_scorer, augment=ImageAugmentation(scale=(0.9, 1)))
    assert other(fitted, X) > alignment_scorer(fitted, X)
    own = RepresentationScorer("largest", np.max)
    assert own(fitted, X) == fitted.transform(X).max()


def test_search_without_labels(digits):
    X = digits[0][:96]
    grid = {"n_components": [2, 16]}
    ssl = SimCLRTransformer(**PARAMS)
    searches = [
        GridSearchCV(ssl, grid, scoring=rankme_scorer, cv=2, n_jobs=n_jobs) for n_jobs in (1, 2)
    ]
    with parallel_config("threading"):  # processes take long to start; pickling is tested above
        for search in searches:
            search.fit(X)
    assert searches[0].best_params_ == {"n_components": 16}
    np.testing.assert_array_equal(*(search.cv_results_["mean_test_score"] for search in searches))
    train, test = next(KFold(2).split(X))
    expected = rankme(SimCLRTransformer(n_components=16, **PARAMS).fit(X[train]).transform(X[test]))
    assert searches[0].cv_results_["split0_test_score"][1] == expected


@pytest.mark.filterwarnings("ignore::sklearn_ssl.CollapseWarning")
def test_search_by_several_scores(digits):
    X = digits[0][:96]
    search = GridSearchCV(
        make_pipeline(MinMaxScaler(), SimCLRTransformer(**PARAMS)),
        {"simclrtransformer__encoder": [None, _AllAlike]},
        scoring=SCORERS,
        refit="lidar",
        cv=2,
    ).fit(X)
    assert search.best_params_ == {"simclrtransformer__encoder": None}
    for name in SCORERS:
        scores = search.cv_results_[f"mean_test_{name}"]
        assert np.isfinite(scores).all()
        assert (scores[0] < scores[1]) == (name == "alignment")


def test_search_over_an_estimator_of_scikit_learn(digits):
    X = digits[0][:200]
    search = GridSearchCV(PCA(random_state=0), {"n_components": [2, 5]}, scoring=rankme_scorer)
    assert search.fit(X).best_params_ == {"n_components": 5}


def test_masked_values_are_missing_and_refused():
    Z = np.random.default_rng(0).normal(size=(20, 4))
    masked = np.ma.masked_array(np.where(Z > 2, 1e20, Z), Z > 0.5)
    for measure in (rankme, alpha_req, uniformity, lambda Z: lidar(Z.reshape(10, 2, 4))):
        with pytest.raises(ValueError, match="contains NaN"):
            measure(masked)
        assert measure(np.ma.masked_array(Z)) == measure(Z)
