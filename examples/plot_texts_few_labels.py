"""
What is it about? Texts with few labels
=======================================

SciPy describes each of its functions in a few sentences: is it about statistics, signals, linear
algebra? Suppose someone has sorted only five, ten or twenty descriptions per topic by hand.
:class:`~sklearn_ssl.Sent2VecTransformer` reads all of them without labels, in a few seconds, and
learns to guess hidden words from the others. Is that better than counting words?
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
from sklearn.neighbors import NearestNeighbors
from sklearn.pipeline import FeatureUnion, make_pipeline

from sklearn_ssl import Sent2VecTransformer
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
# The encoder reads all texts except the test texts. The untrained one has the same words and random
# vectors, and shows what the training is worth.
ssl = Sent2VecTransformer(max_epochs=2 if QUICK else None, verbose=1, random_state=0)
ssl.fit(X_train, X_unlabeled=more_texts)
untrained = Sent2VecTransformer(max_epochs=0, random_state=0)
untrained.fit(X_train, X_unlabeled=more_texts)

# %%
# The rivals count words in the same texts: TF-IDF, and its SVD, the classical way to learn from
# texts without labels. A row of TF-IDF has length 1, and so has an average representation of ours.
# Side by side, in a union, we give counts twice that length, as the user guide recommends.
counts = TfidfVectorizer().fit([*X_train, *more_texts])
svd = make_pipeline(counts, TruncatedSVD(128, random_state=0)).fit([*X_train, *more_texts])
transformers = {
    "TF-IDF": FrozenEstimator(counts),
    "SVD of TF-IDF": FrozenEstimator(svd),
    "Sent2Vec, untrained": FrozenEstimator(untrained),
    "Sent2Vec": FrozenEstimator(ssl),
    "Sent2Vec and TF-IDF": FeatureUnion(
        [("ssl", FrozenEstimator(ssl)), ("counts", FrozenEstimator(counts))],
        transformer_weights={"counts": 2},
    ),
}

# %%
# Train the same logistic regression on each, with the same five draws of labels. The topics have
# different sizes, so the accuracy is the mean over the topics: guessing gives one sixth.
accuracy = {}
print(f"Balanced accuracy on {len(X_test)} texts, mean of five draws ± standard deviation")
print(f"{'labels per class':22}" + "".join(f"{n:>16,}" for n in per_class))
for name, transformer in transformers.items():
    Z_train, Z_test = transformer.transform(X_train), transformer.transform(X_test)
    for n in per_class:
        draws = [draw_labels(y_train, n, random_state=draw) for draw in range(5)]
        classifier = LogisticRegression(C=10, max_iter=1000)
        accuracy[name, n] = [
            balanced_accuracy_score(
                y_test, classifier.fit(Z_train[labeled], y_train[labeled]).predict(Z_test)
            )
            for labeled in draws
        ]
    cells = [
        f"{np.mean(accuracy[name, n]):.3f} ± {np.std(accuracy[name, n]):.3f}" for n in per_class
    ]
    print(f"{name:22}" + "".join(f"{cell:>16}" for cell in cells))

# %%
# The lead, draw by draw: both use the same labels, so the differences vary less than the accuracies
# do.
for n in per_class:
    gain = np.subtract(accuracy["Sent2Vec", n], accuracy["TF-IDF", n])
    points = f"{100 * gain.mean():+.1f} points ahead of TF-IDF, ± {100 * gain.std():.1f}"
    print(f"{n:>3} labels per class: {points}")

# %%
# The plot.
figure, axis = plt.subplots(figsize=(8, 5), layout="constrained")
for i, name in enumerate(transformers):
    mean = [np.mean(accuracy[name, n]) for n in per_class]
    deviation = [np.std(accuracy[name, n]) for n in per_class]
    place = np.arange(len(per_class)) + 0.08 * (i - 2)
    style = {"markersize": 7, "capsize": 3, "linestyle": "none"}
    marker = "s" if name.startswith("Sent2Vec") else "o"
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
# Without any label, representations find texts that mean something similar.
index = NearestNeighbors(n_neighbors=3, metric="cosine").fit(ssl.transform(X_train))
question = "Which of two samples is larger on average?"
_, places = index.kneighbors(ssl.transform([question]))
print(f"\n{question}")
for i in places[0]:
    print(f"    {y_train[i]:10}{' '.join(X_train[i].split())[:70]}")

# %%
# Encoder and classifier are one estimator, from text to label, and a search on a few labeled texts
# chooses how strong the penalty is. The frozen encoder is not fitted again.
model = make_pipeline(FrozenEstimator(ssl), LogisticRegression(max_iter=1000))
search = GridSearchCV(model, {"logisticregression__C": [0.1, 1, 10, 100]}, cv=3)
labeled = draw_labels(y_train, 5 if QUICK else 20, random_state=0)
search.fit(X_train[labeled], y_train[labeled])
C, score = search.best_params_["logisticregression__C"], search.score(X_test, y_test)
print(f"\n{len(labeled)} labels: best with C={C:g}, accuracy {score:.3f}")
for text in ("Test whether two samples have the same mean.", "The determinant of a matrix."):
    print(f"{text:46}{search.predict([text])[0]}")

# %%
# With five labels per topic, what the encoder has learned is worth eleven points more than counting
# words, six with ten and two with twenty; together with counts it is worth ten, seven and four. The
# untrained vectors are far behind: it is the reading that helps. :doc:`../texts` says what else to
# try, and :doc:`../texts_table` has more data.
