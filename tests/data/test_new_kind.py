"""A sixth kind of data is one class and one line: counts of words, reads or clicks, per row."""

from dataclasses import dataclass

import joblib
import numpy as np
import pytest
import torch
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline

from sklearn_ssl import FineTuneClassifier, SimCLRTransformer
from sklearn_ssl.augment import Augmentation
from sklearn_ssl.data import KINDS
from sklearn_ssl.data.rows import evenly_spaced
from sklearn_ssl.data.spec import ArraySpec
from sklearn_ssl.encoders import MLPEncoder
from sklearn_ssl.evaluation import evaluate_representation


class Thinning(Augmentation):
    """Hides a third of the counts."""

    def forward(self, batch, generator):
        return batch * (torch.rand(batch.shape, generator=generator) > 1 / 3)


@dataclass(frozen=True, kw_only=True)
class CountsSpec(ArraySpec):
    """A batch holds logarithms of counts, from 0 to about 1."""

    most: float
    modality = "counts"
    n_dims = (2,)
    expected = "(n, features)"
    raw_title = "raw counts"
    default_augmentation = Thinning

    @classmethod
    def describe(cls, rows, shape):
        most = float(evenly_spaced(rows).max())
        return cls(n_samples=len(rows), row_shape=shape, shape=shape, most=most)

    def check_values(self, estimator, X):
        if X.min() < 0:
            raise ValueError(f"Counts are not negative, got {X.min()}.")

    def to_tensor(self, rows, device="cpu"):
        logs = np.log1p(rows) / np.log1p(self.most)
        return torch.from_numpy(logs.astype(np.float32)).to(device)

    def from_tensor(self, batch):
        return np.expm1(self.as_rows(batch) * np.log1p(self.most))

    def default_encoder(self, shape):
        return MLPEncoder(shape, width=32)


def test_counts_go_through_everything(tmp_path, monkeypatch):
    monkeypatch.setitem(KINDS, "counts", CountsSpec)
    rng = np.random.default_rng(0)
    y = np.arange(200) % 2
    X = rng.poisson(np.where(y[:, None] == np.arange(20) % 2, 9, 2))
    ssl = SimCLRTransformer(modality="counts", max_epochs=3, random_state=0)
    model = make_pipeline(ssl, LogisticRegression()).fit(X[:100], y[:100])
    assert model.score(X[100:], y[100:]) > 0.9
    joblib.dump(model, tmp_path / "model.joblib")
    loaded = joblib.load(tmp_path / "model.joblib")
    np.testing.assert_array_equal(loaded[:-1].transform(X), model[:-1].transform(X))
    spec = model[0].input_spec_
    np.testing.assert_allclose(spec.from_tensor(spec.to_tensor(X)), X, rtol=1e-4, atol=1e-4)
    few = np.where(np.arange(200) < 20, y, -1)
    assert FineTuneClassifier(ssl, max_epochs=3, random_state=0).fit(X, few).score(X, y) > 0.9
    report = evaluate_representation(ssl, X, y, labels_per_class=5, n_draws=2)
    assert report.titles["raw"] == "raw counts"
    with pytest.raises(ValueError, match="not negative"):
        ssl.fit(-X)
