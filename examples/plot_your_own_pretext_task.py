"""
Your own pretext task
=====================

What can we ask a network about an image, without a label, that it can only answer if it sees what
is in it? For example, how the image was rotated [1]_. A pretext task is a module with two parts,
the loss of a batch and an encoder; the estimator around it takes a few lines, one for each
parameter of your own.

.. [1] S. Gidaris et al., "Unsupervised Representation Learning by Predicting Image Rotations", ICLR
   2018, https://arxiv.org/abs/1803.07728
"""

# %%
# The complete task. A batch is a float tensor, ``(n, channels, height, width)`` for images; rows of
# a table or series are instead shifted cyclically by quarters of their length.
import torch
from torch import nn
from torch.nn import functional as F

from sklearn_ssl import BaseSSLTransformer, PretextTask
from sklearn_ssl.augment import make_views, resolve_augmentation


def rotate(batch, quarters):
    if batch.ndim == 4:
        return torch.rot90(batch, quarters, dims=(2, 3))
    return torch.roll(batch, quarters * batch.shape[-1] // 4, dims=-1)


class RotationTask(PretextTask):
    def __init__(self, encoder, augment, label_smoothing):
        super().__init__()
        self.encoder = encoder
        self.augment = augment
        self.label_smoothing = label_smoothing
        self.head = nn.Linear(encoder.output_dim, 4)

    def forward(self, batch):
        rotated = torch.cat([rotate(batch, quarters) for quarters in range(4)])  # [4n, ...]
        rotated = make_views(
            self.augment, rotated, 1, self.generator
        )  # otherwise details reveal the answer
        answers = torch.arange(4, device=batch.device).repeat_interleave(len(batch))  # [4n]
        logits = self.head(self.encoder(rotated))
        return F.cross_entropy(logits, answers, label_smoothing=self.label_smoothing)


class RotationTransformer(BaseSSLTransformer):
    """Representations from predicting how an image was rotated."""

    label_smoothing: float = 0.0  # a parameter, in addition to those of the base class

    def _make_task(self, spec):
        augment = resolve_augmentation(None, spec)
        return RotationTask(self._make_encoder(spec), augment, self.label_smoothing)


# %%
# That was all. The result is a scikit-learn transformer: scikit-learn's own checks pass (they use
# tables; ``max_epochs=1`` keeps them short), ...
from sklearn.utils.estimator_checks import check_estimator

results = check_estimator(RotationTransformer(max_epochs=1, random_state=0), on_skip=None)
n_passed = sum(result["status"] == "passed" for result in results)
print(f"scikit-learn's checks: {n_passed} of {len(results)} passed, the others do not apply")

# %%
# ... it works in a Pipeline and a grid search, which can search over your own parameter, ...
import os

import numpy as np
from sklearn.datasets import load_digits
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV, train_test_split
from sklearn.pipeline import Pipeline

QUICK = "SKLEARN_SSL_QUICK" in os.environ  # set by the tests: the same path in a few seconds

X, y = load_digits(return_X_y=True)
X_train, X_test, y_train, y_test = train_test_split(X, y, test_size=597, stratify=y, random_state=0)
pipeline = Pipeline(
    [
        ("ssl", RotationTransformer(image_shape=(8, 8), max_epochs=1 if QUICK else 10)),
        ("classifier", LogisticRegression(max_iter=1000)),
    ]
).set_params(ssl__random_state=0)
grid = {"ssl__label_smoothing": [0.0, 0.1], "classifier__C": [0.1, 1]}
search = GridSearchCV(pipeline, grid, cv=2).fit(X_train, y_train)
print(f"Best of the grid: {search.best_params_}, test accuracy {search.score(X_test, y_test):.3f}")

# %%
# ... and it is saved like any other estimator.
import tempfile
from pathlib import Path

import joblib

with tempfile.TemporaryDirectory() as folder:
    joblib.dump(search.best_estimator_, Path(folder) / "rotation.joblib")
    loaded = joblib.load(Path(folder) / "rotation.joblib")
print("Equal after loading:", np.array_equal(loaded.predict(X_test), search.predict(X_test)))

# %%
# Does the task teach anything? The loss falls, but that says little. The same classifier on few
# labels says more, compared with raw pixels and the untrained encoder: the task does teach
# something, but on such small images not enough to beat the pixels with few labels. A contrastive
# task does, see :ref:`sphx_glr_auto_examples_plot_digits.py`.
import matplotlib.pyplot as plt
from sklearn.preprocessing import MinMaxScaler

from sklearn_ssl.semi_supervised import draw_labels

settings = {"image_shape": (8, 8), "random_state": 0}
transformers = {
    "raw pixels": MinMaxScaler(),
    "untrained encoder": RotationTransformer(**settings, max_epochs=0),
    "rotation": RotationTransformer(**settings, max_epochs=1 if QUICK else 20),
}
labels_per_class = (1, 5, 10, 50)
figure, axis = plt.subplots(layout="constrained")
for name, transformer in transformers.items():
    Z_train, Z_test = transformer.fit(X_train).transform(X_train), transformer.transform(X_test)
    accuracies = []
    for k in labels_per_class:
        draws = [draw_labels(y_train, k, random_state=draw) for draw in range(5)]
        classifier = LogisticRegression(max_iter=1000)
        scores = [classifier.fit(Z_train[i], y_train[i]).score(Z_test, y_test) for i in draws]
        accuracies.append(np.mean(scores))
    axis.plot(labels_per_class, accuracies, marker="o", label=name)
    print(f"{name:20}", np.round(accuracies, 3))
axis.set(xscale="log", xlabel="labels per class", ylabel="test accuracy", xticks=labels_per_class)
axis.set_xticklabels(labels_per_class)
axis.legend()
