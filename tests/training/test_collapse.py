"""Collapse: how it is measured, and that fits which collapse say so, and only those."""

import warnings

import numpy as np
import pytest
import torch
from sklearn.datasets import load_breast_cancer, load_wine
from torch import nn

import sklearn_ssl
from sklearn_ssl import (
    BYOLTransformer,
    CollapseWarning,
    LeJEPATransformer,
    MoCoTransformer,
    SimCLRTransformer,
    VICRegTransformer,
)
from sklearn_ssl.augment import ImageAugmentation
from sklearn_ssl.data import taken_by
from sklearn_ssl.pretext import PretextTask
from sklearn_ssl.training.collapse import embedding_spread, symptom, watched_embeddings


def slow_spread(z):
    """The same in NumPy: deviations by column, variances along principal axes."""
    z = z / np.maximum(np.linalg.norm(z, axis=1, keepdims=True), 1e-12)
    std = np.sqrt(np.mean(z.std(axis=0) ** 2)) * np.sqrt(z.shape[1])
    variances = np.linalg.svd(z - z.mean(axis=0), compute_uv=False) ** 2
    return std, variances.sum() ** 2 / (variances**2).sum()


@pytest.mark.parametrize("shape", [(2, 3), (5, 40), (40, 5), (256, 128), (7, 7)])
def test_spread_is_that_of_the_definition(shape):
    z = np.random.default_rng(0).normal(size=shape) + 0.5
    np.testing.assert_allclose(embedding_spread(torch.tensor(z)), slow_spread(z), rtol=1e-4)


def test_spread_of_embeddings_that_are_alike():
    std, rank = embedding_spread(torch.ones(16, 8))
    assert std < 1e-6
    assert 1 <= rank < 16
    assert embedding_spread(torch.zeros(16, 8)) == (0, 1)


def test_spread_does_not_depend_on_lengths():
    z = torch.randn(50, 8, generator=torch.Generator().manual_seed(0))
    lengths = torch.rand(50, 1, generator=torch.Generator().manual_seed(1)) + 0.1
    np.testing.assert_allclose(embedding_spread(z * lengths), embedding_spread(z), rtol=1e-4)


def test_lengths_may_count():
    z = torch.randn(20_000, 8, generator=torch.Generator().manual_seed(0)) * 0.01
    std, rank = embedding_spread(z, lengths_count=True)
    assert std == pytest.approx(0.01, rel=0.01)
    assert rank == pytest.approx(8, abs=0.05)
    assert embedding_spread(z)[0] == pytest.approx(1, abs=0.01)


def test_isotropic_embeddings_have_full_spread():
    z = torch.randn(20_000, 8, generator=torch.Generator().manual_seed(0))
    std, rank = embedding_spread(z)
    assert std == pytest.approx(1, abs=0.01)
    assert rank == pytest.approx(8, abs=0.05)


def test_embeddings_on_a_line_have_rank_one():
    z = torch.randn(100, 1, generator=torch.Generator().manual_seed(0)) * torch.ones(1, 8)
    std, rank = embedding_spread(z)
    assert std > 0.9
    assert rank == pytest.approx(1)
    assert "few directions" in symptom(std, rank, 1.2)


def test_symptoms():
    assert symptom(0.8, 2, 1.2) is None
    assert "same for all rows" in symptom(0.01, 3, 1.5)
    assert "few directions" in symptom(0.8, 2, 3)


def test_embeddings_are_watched_in_training_only():
    task = PretextTask()
    task.encoder = nn.Linear(3, 2)
    seen = []
    with watched_embeddings(task, seen):
        task.eval()
        task.encoder(torch.zeros(4, 3))
        assert seen == []
        task.train()
        output = task.encoder(torch.ones(4, 3))
        assert torch.equal(seen[0], output)
        assert not seen[0].requires_grad
    assert task.encoder(torch.zeros(5, 3)).shape == (5, 2)
    assert len(seen[0]) == 4


def test_history_has_the_spread_of_each_epoch(modality_data):
    params, X = modality_data
    estimator = SimCLRTransformer(max_epochs=3, random_state=0, **params).fit(X)
    for name in ("embedding_std", "effective_rank"):
        assert len(estimator.history_[name]) == 3
        assert np.isfinite(estimator.history_[name]).all()
    estimator.partial_fit(X)
    assert len(estimator.history_["effective_rank"]) == 4


class BYOLWithoutPredictor(BYOLTransformer):
    def _make_task(self, spec):
        task = super()._make_task(spec)
        task.prediction_head = nn.Identity()
        return task


COLLAPSES = {
    "byol": (BYOLWithoutPredictor(momentum=0.0), "larger momentum .it is 0."),
    "vicreg": (VICRegTransformer(variance=0), "larger variance .it is 0."),
    "moco": (
        MoCoTransformer(temperature=1000.0, augment=ImageAugmentation(flip=0.5)),
        "smaller temperature .it is 1000.",
    ),
    "lejepa": (LeJEPATransformer(weight=0), "larger weight .it is 0."),
}


# Without contrast, MoCo's embeddings of images fall into three directions if views are mirrored.
# Otherwise they keep four, and those of this table five, like healthy embeddings of a poorer table.
@pytest.mark.parametrize(
    ("name", "modality"),
    [(name, "image") for name in COLLAPSES]
    + [(name, "table") for name in COLLAPSES if name != "moco"],
)
def test_collapse_is_named(name, modality, digits):
    estimator, advice = COLLAPSES[name]
    image_shape = (8, 8) if modality == "image" else None
    estimator.set_params(max_epochs=15, batch_size=64, random_state=0, image_shape=image_shape)
    with pytest.warns(CollapseWarning, match=f"has collapsed.*{advice}"):
        estimator.fit(digits[0][:640])
    last = [estimator.history_[key][-1] for key in ("embedding_std", "effective_rank")]
    assert symptom(*last, estimator._fewest_directions)


def test_collapse_is_told_once(digits):
    estimator = VICRegTransformer(variance=0, max_epochs=40, batch_size=64, random_state=0)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        estimator.fit(digits[0][:256])  # 160 steps, of which 60 may warn
    assert [w.category for w in caught] == [CollapseWarning]


@pytest.mark.parametrize("n_rows", [2, 4, 8])
def test_few_rows_span_few_directions(n_rows, digits):
    estimator = SimCLRTransformer(max_epochs=110, random_state=0).fit(digits[0][:n_rows])
    assert estimator.n_iter_ == 110  # and there was no warning, which is an error here


METHODS = [
    name
    for name in sklearn_ssl.__all__
    if name.endswith("Transformer") and "table" in taken_by(getattr(sklearn_ssl, name))
]
METHODS.remove("BaseSSLTransformer")


@pytest.mark.parametrize("data_set", ["digits", "breast_cancer", "wine"])
@pytest.mark.parametrize("method", METHODS)
def test_healthy_fits_do_not_warn(method, data_set, digits):
    # Warnings are errors here. Defaults but for the length; benchmarks/quality.py watches the rest.
    Estimator = getattr(sklearn_ssl, method)
    if data_set == "digits":
        params, X = {"image_shape": (8, 8), "batch_size": 64}, digits[0][:640]
    else:
        params, X = {}, {"breast_cancer": load_breast_cancer, "wine": load_wine}[data_set]().data
    params = {name: value for name, value in params.items() if name in Estimator().get_params()}
    n_epochs = -(-120 * 64 // len(X))  # 120 steps: from the 100th on, a fit may warn
    estimator = Estimator(max_epochs=n_epochs, random_state=0, **params).fit(X)
    assert estimator.history_["embedding_std"][-1] > 0.1
