"""Rows to pretrain on, rows to label and rows to score: what quality.py measures on."""

from dataclasses import dataclass, field, replace

import numpy as np
from sklearn.datasets import load_breast_cancer, load_diabetes, load_digits
from sklearn.model_selection import train_test_split
from sklearn.utils import _safe_indexing

from benchmarks import corpora
from benchmarks import datasets as d
from sklearn_ssl.datasets import load_scipy_docstrings


@dataclass
class Task:
    """A data set, split. Labels are drawn from `X`, and `X_test` is scored."""

    kind: str  # of data
    X: object
    X_test: object
    y: np.ndarray
    y_test: np.ndarray
    labels: tuple  # numbers of them on the page about quality; of each class, but for regression
    settings: dict = field(default_factory=dict)  # parameters that say how X is read
    X_unlabeled: object = None
    scoring: tuple = ("accuracy",)
    shares_reviews: bool = False  # whether to pretrain on the reviews of all sets
    name: str = ""

    def head(self, n):
        """Return the same task with the first rows of `X` only."""
        return replace(self, X=self.X[:n], y=self.y[:n])

    def for_validation(self):
        """Return a task whose scored rows are training rows: no test row is touched."""
        classes = None if "r2" in self.scoring else self.y
        X, X_test, y, y_test = train_test_split(
            self.X, self.y, test_size=0.4, stratify=classes, random_state=0
        )
        return replace(self, X=X, X_test=X_test, y=y, y_test=y_test)


def digits():
    """Two thirds of load_digits, and the 3,823 images that it leaves out."""
    X, y = load_digits(return_X_y=True)
    split = train_test_split(X, y, test_size=597, stratify=y, random_state=0)
    pool = d.load_optdigits_pool()
    return Task("image", *split, (1, 5, 10), {"image_shape": (8, 8)}, X_unlabeled=pool)


def fashion():
    (X, y), (X_test, y_test) = (d.load_fashion_mnist(train=train) for train in (True, False))
    flat = {"image_shape": (28, 28)}
    return Task("image", X.reshape(-1, 784), X_test.reshape(-1, 784), y, y_test, (1, 10, 100), flat)


def photos():
    (X, y), (X_test, y_test) = (d.load_photo_patches(train=train) for train in (True, False))
    return Task("image", X, X_test, y, y_test, (1, 5, 20))


def photos_16_bit():
    """The same in gray, with 16 bits a pixel."""
    (X, y), (X_test, y_test) = (
        d.load_photo_patches(train=train, deep=True) for train in (True, False)
    )
    return Task("image", X, X_test, y, y_test, (1, 5, 20), {"modality": "image"})


def mnist():
    return Task("image", *split(*d.load_mnist()), (1, 10, 100), {"modality": "image"})


def emoji():
    return Task("image", *split(*d.load_emoji()), (1, 5, 20))


def breast_cancer():
    return Task("table", *split(*load_breast_cancer(return_X_y=True)), (1, 5, 10))


def letter():
    return Task("table", *split(*d.load_keel_table("letter")), (5, 10, 50))


def adult():
    """Numbers, categories and missing values; a quarter of the rows has the rarer class."""
    scoring = ("accuracy", "balanced_accuracy")
    return Task("table", *split(*d.load_adult()), (10, 50), scoring=scoring)


def penbased():
    return Task("table", *split(*d.load_keel_table("penbased")), (5, 10, 50))


def penbased_series():
    """The same numbers as trajectories: x and y at eight points of time."""
    X, y = d.load_keel_table("penbased")
    return Task("series", *split(trajectories(X), y), (5, 10, 50), {"modality": "series"})


def trajectories(X):
    return np.moveaxis(X.reshape(-1, 8, 2), 1, 2)  # [n, time, 2] -> [n, 2, time]


def gunpoint():
    return ucr("GunPoint")


def italy_power_demand():
    return ucr("ItalyPowerDemand")


def japanese_vowels():
    return ucr("JapaneseVowels")


def arrow_head():
    return ucr("ArrowHead")


def basic_motions():
    return ucr("BasicMotions")


def osu_leaf():
    return ucr("OSULeaf")


def ucr(name):
    (X, y), (X_test, y_test) = (d.load_ucr_series(name, train=train) for train in (True, False))
    return Task("series", X, X_test, y, y_test, (1, 5), {"modality": "series"})


def imdb():
    return reviews(*d.load_movie_reviews("imdb"), 5000)


def rotten_tomatoes():
    return reviews(*d.load_movie_reviews("rotten_tomatoes"), 2000)


def uci_sentences():
    return reviews(*d.load_sentiment_sentences(), 800)


def reviews(texts, y, n_test):
    return Task("text", *split(texts, y, n_test), (10, 50, 500), shares_reviews=True)


def clothing():
    return of_texts(corpora.clothing())


def brown():
    return of_texts(corpora.brown())


def wordnet():
    return of_texts(corpora.wordnet())


def of_texts(texts):
    parts = texts.X, texts.X_test, texts.y, texts.y_test
    return Task("text", *parts, texts.labels, X_unlabeled=list(texts.X_unlabeled) or None)


def all_reviews():
    """Return the training texts of all three sets: one encoder serves them all."""
    return [text for make in (imdb, rotten_tomatoes, uci_sentences) for text in make().X]


def diabetes():
    return numbers("table", *load_diabetes(return_X_y=True), n_test=142)


def california_housing():
    return numbers("table", *d.load_california())


def adult_age():
    X, income = d.load_adult()
    others = X.drop(columns="age").assign(income=income).astype({"income": "category"})
    return numbers("table", others, X["age"].to_numpy(float))


def pen_end():
    """Where does a stroke end? Its last height, after seven points of two coordinates."""
    X = trajectories(d.load_keel_table("penbased")[0])
    settings = {"modality": "series", "max_epochs": 20}
    return numbers("series", X[:, :, :7], X[:, 1, 7], settings=settings)


def clothing_titles():
    """How many stars stand beside the title of a review?"""
    titles, stars = d.load_clothing_reviews("title")
    rows = np.random.default_rng(0).permutation(len(stars))[:10_000]
    texts, stars = [titles[i] for i in rows], stars[rows].astype(float)
    return numbers("text", texts, stars, 1_000, {"width": 64, "max_epochs": 20})


def numbers(kind, X, y, n_test=2_000, settings=None):
    order = np.random.default_rng(0).permutation(len(y))
    test, train = order[:n_test], order[n_test:]
    parts = [_safe_indexing(X, rows) for rows in (train, test)]
    scoring = ("r2", "neg_mean_absolute_error")
    return Task(kind, *parts, y[train], y[test], (20, 60, 200), settings or {}, scoring=scoring)


def split(X, y, test_size=0.25):
    return train_test_split(X, y, test_size=test_size, stratify=y, random_state=0)


# With --quick: tasks of a few rows that scikit-learn brings.


def quick_digits():
    X, y = load_digits(return_X_y=True)
    return Task("image", *split(X[:300], y[:300]), (1, 5), {"image_shape": (8, 8)})


def quick_table():
    X, y = load_breast_cancer(return_X_y=True)
    scoring = ("accuracy", "balanced_accuracy")
    return Task("table", *split(X[:200], y[:200]), (1, 5), scoring=scoring)


def quick_numbers():
    return numbers("table", *load_diabetes(return_X_y=True), n_test=50)


def quick_texts():
    texts, topics = load_scipy_docstrings()
    rows = np.flatnonzero(np.isin(topics, ["special", "stats"]))[::4]
    settings = {"width": 16, "depth": 1, "max_length": 32}
    return Task("text", *split([texts[i] for i in rows], topics[rows]), (1, 5), settings)


def keel(name):
    """Return a function of this name that makes the task of a table of KEEL."""

    def make():
        return Task("table", *split(*d.load_keel_table(name)), (5, 10, 50))

    make.__name__ = name
    return make


CLASSES = (
    *(digits, fashion, photos, breast_cancer, letter, adult, penbased, penbased_series),
    *(gunpoint, italy_power_demand, japanese_vowels, imdb, rotten_tomatoes, uci_sentences),
)
FEW_LABELS = (digits, penbased, penbased_series, letter, uci_sentences, adult, imdb, fashion)
SURVEY = (
    *(breast_cancer, adult, letter, penbased),
    *map(keel, ("banana", "chess", "contraceptive", "german", "magic", "phoneme", "ring")),
    *map(keel, ("satimage", "segment", "spambase", "splice", "texture", "vehicle", "vowel")),
    *(digits, emoji, fashion, mnist, photos, photos_16_bit),
    *(arrow_head, basic_motions, gunpoint, italy_power_demand, japanese_vowels, osu_leaf),
    *(penbased_series, brown, clothing, imdb, rotten_tomatoes, uci_sentences, wordnet),
)
QUICK_SURVEY = (quick_table,)
NUMBERS = (diabetes, california_housing, adult_age, pen_end, clothing_titles)
QUICK = {
    "quality": (quick_digits,),
    "few_labels": (quick_table, quick_texts),
    "regression": (quick_numbers,),
}


def load(make):
    """Return a task with its name."""
    return replace(make(), name=make.__name__)
