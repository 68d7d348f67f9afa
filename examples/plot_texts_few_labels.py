"""
What is it about? Texts with few labels
=======================================

SciPy describes each of its functions in a few sentences: is it about statistics, signals, linear
algebra? Suppose someone has sorted only five, ten or twenty descriptions per topic by hand. A small
language model, :class:`~sklearn_ssl.CausalLMEmbedder`, reads all of them without labels, for about
a minute. Is what it learns better than word counts, which take a second? Does it add anything to
the counts?
"""

# %%
# The data: the descriptions in the docstrings of SciPy, which is always installed together with
# this package. We use the six topics that have more than 60 of them, and a third of the texts for
# testing.
import os
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
from sklearn.decomposition import TruncatedSVD
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.frozen import FrozenEstimator
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import balanced_accuracy_score
from sklearn.model_selection import GridSearchCV, train_test_split
from sklearn.pipeline import FeatureUnion, Pipeline, make_pipeline
from sklearn.preprocessing import StandardScaler

from sklearn_ssl import CausalLMEmbedder
from sklearn_ssl.datasets import load_scipy_docstrings
from sklearn_ssl.semi_supervised import draw_labels

QUICK = "SKLEARN_SSL_QUICK" in os.environ  # set by the tests: the same path in a few seconds

texts, y = load_scipy_docstrings()
topics, counts = np.unique(y, return_counts=True)
large = np.isin(y, topics[counts > 60])
X_train, X_test, y_train, y_test = train_test_split(
    np.array(texts, dtype=object)[large],
    y[large],
    test_size=1 / 3,
    stratify=y[large],
    random_state=0,
)
print(f"{len(X_train)} texts to learn from, {len(X_test)} to test on. One about {y_train[0]}:")
print(X_train[0])

# %%
# More texts without labels: those from the smaller topics.
more_texts = np.array(texts, dtype=object)[~large]
per_class = (5, 10) if QUICK else (5, 10, 20)

# %%
# The language model reads all texts except the test texts. The untrained model has the same network
# and the same vocabulary, and shows what the training is worth.
ssl = CausalLMEmbedder(max_epochs=1 if QUICK else 10, verbose=1, random_state=0)
ssl.fit(X_train, X_unlabeled=more_texts)
untrained = CausalLMEmbedder(max_epochs=0, random_state=0)
untrained.fit(X_train, X_unlabeled=more_texts)

# %%
# The rivals count words in the same texts: TF-IDF, and its SVD, the classical way to learn from
# texts without labels. A row of TF-IDF has length 1. To put both next to each other in a
# ``FeatureUnion``, the embedding is standardized and divided by the square root of its width, which
# gives it about the same length. Its weight is a third of that: it should help the counts, not
# outweigh them in a penalized classifier.
WEIGHT = 0.3 / 128**0.5  # 128 is the width


def scaled(transformer):
    """Return a fitted transformer that stays as it is, followed by a scaler."""
    return make_pipeline(FrozenEstimator(transformer), StandardScaler())


def with_counts(transformer):
    """Return word counts and the scaled output of a transformer, side by side."""
    parts = [("counts", FrozenEstimator(counts)), ("other", scaled(transformer))]
    return FeatureUnion(parts, transformer_weights={"other": WEIGHT})


counts = TfidfVectorizer().fit([*X_train, *more_texts])
svd = make_pipeline(counts, TruncatedSVD(128, random_state=0)).fit([*X_train, *more_texts])
transformers = {
    "TF-IDF": make_pipeline(FrozenEstimator(counts)),
    "SVD of TF-IDF": scaled(svd),
    "untrained network": scaled(untrained),
    "language model": scaled(ssl),
    "TF-IDF and SVD": with_counts(svd),
    "TF-IDF and untrained": with_counts(untrained),
    "TF-IDF and language model": with_counts(ssl),
}

# %%
# Train the same logistic regression on each, with the same five draws of labels. The topics have
# different sizes, so the accuracy is the mean over the topics: guessing gives one sixth.
accuracy = {}
print(f"Balanced accuracy on {len(X_test)} texts, mean of five draws ± standard deviation")
print(f"{'labels per class':26}" + "".join(f"{n:>16,}" for n in per_class))
for name, transformer in transformers.items():
    Z_train, Z_test = transformer.fit_transform(X_train), transformer.transform(X_test)
    for n in per_class:
        draws = [draw_labels(y_train, n, random_state=draw) for draw in range(5)]
        classifier = LogisticRegression(max_iter=1000)
        accuracy[name, n] = [
            balanced_accuracy_score(
                y_test, classifier.fit(Z_train[labeled], y_train[labeled]).predict(Z_test)
            )
            for labeled in draws
        ]
    cells = [
        f"{np.mean(accuracy[name, n]):.3f} ± {np.std(accuracy[name, n]):.3f}" for n in per_class
    ]
    print(f"{name:26}" + "".join(f"{cell:>16}" for cell in cells))

# %%
# What the network adds to the counts, draw by draw: both use the same labels, so the differences
# vary less than the accuracies do.
for n in per_class:
    gain = np.subtract(accuracy["TF-IDF and language model", n], accuracy["TF-IDF", n])
    points = f"{100 * gain.mean():+.1f} points next to TF-IDF, ± {100 * gain.std():.1f}"
    print(f"{n:>3} labels per class: {points}")

# %%
# The plot.
figure, axis = plt.subplots(figsize=(8, 5), layout="constrained")
for i, name in enumerate(transformers):
    mean = [np.mean(accuracy[name, n]) for n in per_class]
    deviation = [np.std(accuracy[name, n]) for n in per_class]
    place = np.arange(len(per_class)) + 0.08 * (i - 3)
    style = {"markersize": 7, "capsize": 3, "linestyle": "none"}
    marker = "o" if name.startswith("TF-IDF") else "s"
    axis.errorbar(place, mean, deviation, marker=marker, color=f"C{i}", label=name, **style)
axis.axhline(1 / 6, color="0.5", linewidth=0.8)
axis.set_xticks(range(len(per_class)), [f"{n:,}" for n in per_class])
axis.set(xlabel="labels per class", ylabel="balanced test accuracy, five draws")
figure.legend(loc="outside right upper", frameon=False)
output = Path("demo_output")
output.mkdir(exist_ok=True)
figure.savefig(output / "texts_few_labels.png", dpi=100)
print(f"\nSaved {output}/texts_few_labels.png")

# %%
# Everything together is one estimator, from text to label, and the weight of the embedding is one
# of its parameters: a search on a few labeled texts chooses it. The better the embedding, the more
# weight it can have.
model = Pipeline(
    [("features", with_counts(ssl)), ("classifier", LogisticRegression(max_iter=1000))]
)
weights = [{"other": factor * WEIGHT} for factor in (0.3, 1, 3)]
search = GridSearchCV(model, {"features__transformer_weights": weights}, cv=3)
labeled = draw_labels(y_train, 5 if QUICK else 20, random_state=0)
search.fit(X_train[labeled], y_train[labeled])
factor = search.best_params_["features__transformer_weights"]["other"] / WEIGHT
score = search.score(X_test, y_test)
print(f"\nTF-IDF and language model, {len(labeled)} labels: ", end="")
print(f"best with {factor:.1f} times the weight, accuracy {score:.3f}")
for text in ("Test whether two samples have the same mean.", "The determinant of a matrix."):
    print(f"{text:46}{search.predict([text])[0]}")

# %%
# A network that has read for a minute knows which words go together. Alone it is behind the counts,
# and ahead of their SVD with five labels; next to the counts it adds four points with five labels
# and one with twenty. The SVD and the untrained network add nothing. If there is a pretrained model
# for your language and subject, start with it: :doc:`../texts` explains how, and :doc:`../quality`
# has longer trainings, on more texts.
