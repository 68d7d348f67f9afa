"""Few labels on equal terms: test rows set aside, labels drawn, the same rows for all rivals."""

import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from numbers import Integral

import numpy as np
from scipy import sparse
from sklearn.base import clone
from sklearn.decomposition import PCA, TruncatedSVD
from sklearn.exceptions import NotFittedError
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.frozen import FrozenEstimator
from sklearn.model_selection import train_test_split
from sklearn.utils import (
    _safe_indexing,
    check_consistent_length,
    check_random_state,
    column_or_1d,
)
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import check_is_fitted

from sklearn_ssl._base import BaseSSLTransformer
from sklearn_ssl._containers import opened
from sklearn_ssl._labels import check_minus_one, is_unlabeled, label_array, plain_labels
from sklearn_ssl.collapse import CollapseWarning
from sklearn_ssl.datasets import draw_labels
from sklearn_ssl.finetune import FineTuneClassifier

PRETRAINED = "pretrained"  # name of the representation among the scores

# Rows, labels and seeds ---------------------------------------------------------------------------


def check_estimator(estimator, is_frozen):
    """Return whether a transformer of the package is fitted; anything else is an error."""
    if not isinstance(estimator, BaseSSLTransformer):
        raise TypeError(
            "estimator must be a transformer of sklearn_ssl, fitted or not, got "
            f"{type(estimator).__name__}. What you want to compare with it goes into baselines, as "
            "(name, classifier)."
        )
    try:
        check_is_fitted(estimator)
    except NotFittedError:
        if is_frozen:
            raise
        return False
    return True


def named_baselines(baselines):
    """Return a dict of baselines: None for those known by name, or a classifier."""
    rivals = {}
    for baseline in baselines:
        is_pair = isinstance(baseline, tuple | list) and len(baseline) == 2
        name, classifier = baseline if is_pair else (baseline, None)
        known = isinstance(name, str) and (name in BASELINES) != is_pair
        if not known or name in (PRETRAINED, *rivals) or (is_pair and not _can_fit(classifier)):
            raise ValueError(
                f"Each of the baselines must be one of {', '.join(map(repr, BASELINES))}, or "
                f"(name, classifier) with a name of its own, and stand there once; got {baseline}."
            )
        rivals[name] = classifier
    return rivals


def _can_fit(classifier):
    return hasattr(classifier, "fit") and hasattr(classifier, "predict")


def seeds(random_state, n):
    return check_random_state(random_state).randint(np.iinfo(np.int32).max, size=n).tolist()


@dataclass
class Rows:
    """The rows of an evaluation, by what they are for."""

    X_train: object  # labels are drawn from these
    y_train: np.ndarray
    X_test: object
    y_test: np.ndarray
    X_pretrain: object  # all rows of X but those of the test
    X_unlabeled: object
    n_pretrain: int
    train_rows: np.ndarray  # places in X
    test_rows: np.ndarray | None


def split(X, y, X_test, y_test, X_unlabeled, test_size, seed):
    """Return the rows of the training, of the test, and all that pretraining may see."""
    if (X_test is None) != (y_test is None):
        raise ValueError("X_test and y_test go together; only one of them was given.")
    X, X_test, X_unlabeled = _kept(X), _kept(X_test), _kept(X_unlabeled)
    y = column_or_1d(label_array(y), warn=True)
    check_consistent_length(X, y)
    labeled = np.flatnonzero(~is_unlabeled(y))
    labels = plain_labels(y[labeled])
    check_minus_one(y, labels, "evaluate_representation")
    if X_test is None:
        places = _stratified(labels, test_size, seed)
        train_rows, test_rows = (np.sort(labeled[part]) for part in places)
        X_test, y_test = _safe_indexing(X, test_rows), plain_labels(y[test_rows])
        pretrain_rows = np.setdiff1d(np.arange(len(y)), test_rows)
        X_pretrain = _safe_indexing(X, pretrain_rows)
    else:
        X_test, y_test = _checked_test(X_test, y_test, labels)
        train_rows, test_rows, X_pretrain = labeled, None, X
        pretrain_rows = np.arange(len(y))
    more = 0 if X_unlabeled is None else len(X_unlabeled)
    return Rows(
        X_train=_safe_indexing(X, train_rows),
        y_train=plain_labels(y[train_rows]),
        X_test=X_test,
        y_test=y_test,
        X_pretrain=X_pretrain,
        X_unlabeled=X_unlabeled,
        n_pretrain=len(pretrain_rows) + more,
        train_rows=train_rows,
        test_rows=test_rows,
    )


def _kept(X):
    """Return what can be read more than once, and indexed."""
    return list(X) if isinstance(X, Iterator) else opened(X)


def _stratified(labels, test_size, seed):
    """Return the places of training and of test rows among the labelled ones."""
    _check_classes(labels)
    classes, counts = np.unique(labels, return_counts=True)
    if counts.min() < 2:
        raise ValueError(
            "Each class needs a row to train on and one to test on; class "
            f"{_shown(classes[counts.argmin()])} has a single labelled row. Leave it out, or pass "
            "X_test and y_test."
        )
    return train_test_split(
        np.arange(len(labels)), test_size=test_size, stratify=labels, random_state=seed
    )


def _check_classes(labels):
    check_classification_targets(labels)
    n_classes = len(np.unique(labels))
    if n_classes < 2:
        raise ValueError(
            f"y must hold labels of two classes at least, got {n_classes} class(es) in "
            f"{len(labels)} labelled row(s). -1, None and NaN mean that a row has no label."
        )


def _checked_test(X_test, y_test, labels):
    _check_classes(labels)
    y_test = column_or_1d(label_array(y_test), warn=True)
    check_consistent_length(X_test, y_test)
    if len(y_test) == 0 or is_unlabeled(y_test).any():
        raise ValueError("y_test must hold a label for each row of X_test, and one row at least.")
    y_test = plain_labels(y_test)
    unknown = sorted(set(y_test.tolist()) - set(labels.tolist()), key=str)
    if unknown:
        raise ValueError(
            f"y_test has labels that y has not: {', '.join(map(_shown, unknown))}. Nothing could "
            "learn to predict them."
        )
    return X_test, y_test


def possible(labels_per_class, y):
    """Return the numbers of labels that all classes have, sorted; warn of those left out.

    Raises
    ------
    ValueError
        If none is left.
    """
    ks = [labels_per_class] if isinstance(labels_per_class, Integral) else list(labels_per_class)
    if not ks or any(not isinstance(k, Integral) or isinstance(k, bool) or k < 1 for k in ks):
        raise ValueError(
            f"labels_per_class must hold integers, 1 at least, got {labels_per_class!r}."
        )
    wanted = np.unique(ks)
    classes, counts = np.unique(y, return_counts=True)
    fewest = f"class {_shown(classes[counts.argmin()])} has {counts.min()} training row(s)"
    possible = wanted[wanted <= counts.min()]
    if len(possible) == 0:
        raise ValueError(
            f"There are too few labels for any of labels_per_class={wanted.tolist()}: {fewest}. "
            "Ask for fewer, or for a smaller test_size."
        )
    if len(possible) < len(wanted):
        left_out = ", ".join(map(str, wanted[len(possible) :]))
        warnings.warn(
            f"{left_out} labels a class are left out: {fewest}.", UserWarning, stacklevel=4
        )
    return possible


def _shown(label):
    """Return a label as a message shows it: NumPy's own types would name themselves."""
    return repr(label.item() if isinstance(label, np.generic) else label)


def draw(y, labels_per_class, seeds):
    """Return for each number of labels, and each draw, the places of the training rows."""
    return [[draw_labels(y, k, seed) for seed in seeds] for k in labels_per_class]


def seeded_clone(estimator, seed, **params):
    """Return a clone; one without a seed of its own gets this one."""
    copy = clone(estimator)
    if copy.random_state is None:
        copy.random_state = seed
    return copy.set_params(**params)


# What is compared: each makes predictions from drawn rows -----------------------------------------


class Bench:
    """Prepares the representation and the baselines of an evaluation.

    Parameters
    ----------
    ssl : estimator
        Fitted.
    rows : Rows
    head : classifier
    seed : int
        Of what has none of its own.
    """

    def __init__(self, ssl, rows, head, seed):
        self.ssl = ssl
        self.rows = rows
        self.head = head
        self.seed = seed
        self._start = None

    def prepare(self, name, classifier=None):
        """Return the title of a baseline, and a function from drawn places to predictions."""
        if classifier is not None:
            return name, self._learner(classifier)
        return self._pretrained() if name == PRETRAINED else BASELINES[name](self)

    def _pretrained(self):
        return type(self.ssl).__name__, self._probe(*self._embedded(self.ssl))

    def _raw(self):
        _, Z_train, Z_test = raw_features(self.ssl, self.rows)
        return RAW_TITLES[self.ssl.input_spec_.modality], self._probe(Z_train, Z_test)

    def _pca(self):
        Z, Z_train, Z_test = raw_features(self.ssl, self.rows)
        width = min(self.ssl._n_features_out, *Z.shape)
        if sparse.issparse(Z):
            model, title = TruncatedSVD(width, random_state=self.seed), "SVD of TF-IDF"
        else:  # as many directions as there are would only turn the features
            model, title = (
                PCA(width if width < min(Z.shape) else 0.95, random_state=self.seed),
                "PCA",
            )
        model.fit(Z)
        parts = [np.asarray(model.transform(Z)) for Z in (Z_train, Z_test)]
        return f"{title} to {parts[0].shape[1]}", self._probe(*parts)

    def _untrained(self):
        return "untrained weights", self._probe(*self._embedded(self._untrained_ssl()))

    def _supervised(self):
        # Its first layers know nothing yet that a small learning rate would keep, and views help it
        # more than a pretrained network.
        classifier = FineTuneClassifier(
            FrozenEstimator(self._untrained_ssl()),
            strategy="full",
            augment="auto",
            lr=2e-3,
            layer_decay=1.0,
            random_state=self.seed,
        )
        batch_size = classifier.batch_size

        def answer(drawn):
            classifier.set_params(max_epochs=supervised_epochs(len(drawn), batch_size))
            return self._learner(classifier)(drawn)

        return "training on labels alone", answer

    def _untrained_ssl(self):
        """Return the estimator with the weights that it starts from."""
        if self._start is None:
            params = {
                **self.ssl._untrained_params,
                "early_stopping": False,
                "callbacks": None,
                "verbose": 0,
            }
            self._start = seeded_clone(self.ssl, self.seed, **params)
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", CollapseWarning)
                self._start.fit(self.rows.X_pretrain, X_unlabeled=self.rows.X_unlabeled)
        return self._start

    def _embedded(self, ssl):
        return [np.asarray(ssl.transform(X)) for X in (self.rows.X_train, self.rows.X_test)]

    def _probe(self, Z_train, Z_test):
        """Return a function that lets the head learn from drawn rows of features."""
        Z_train, Z_test = _scaled(Z_train, Z_test)

        def answer(drawn):
            head = clone(self.head).fit(Z_train[drawn], self.rows.y_train[drawn])
            return head.predict(Z_test)

        return answer

    def _learner(self, classifier):
        """Return a function that lets a classifier learn from drawn rows of X."""

        def answer(drawn):
            model = clone(classifier)
            model.fit(_safe_indexing(self.rows.X_train, drawn), self.rows.y_train[drawn])
            return model.predict(self.rows.X_test)

        return answer


BASELINES = {
    "raw": Bench._raw,
    "pca": Bench._pca,
    "untrained": Bench._untrained,
    "supervised": Bench._supervised,
}
RAW_TITLES = {
    "table": "raw features",
    "image": "raw pixels",
    "series": "raw values",
    "video": "raw pixels",
    "text": "TF-IDF",
}


def supervised_epochs(n_rows, batch_size):
    """Return how long a network trains on labels alone: 100 epochs, but about 400 steps at most.

    That is longer than for a pretrained one, which starts closer to its end.
    """
    return int(np.clip(400 // -(-n_rows // batch_size), 10, 100))


def raw_features(ssl, rows):
    """Return raw features of the rows of pretraining, of training and of the test.

    Parameters
    ----------
    ssl : estimator
        Fitted; it says which columns hold categories, and in which numbers are missing.
    rows : Rows

    Returns
    -------
    features : list of three ndarrays of shape (n, features), or of sparse matrices for texts
    """
    more = [] if rows.X_unlabeled is None else [rows.X_unlabeled]
    if ssl.input_spec_.modality == "text":
        texts = [text for block in (rows.X_pretrain, *more) for text in block]
        model = TfidfVectorizer().fit(texts)
        return [model.transform(block) for block in (texts, rows.X_train, rows.X_test)]
    features = [
        _features_of(ssl._check_rows(X), ssl.input_spec_)
        for X in (rows.X_pretrain, *more, rows.X_train, rows.X_test)
    ]
    return [np.concatenate(features[:-2]), *features[-2:]]


def _features_of(rows, spec):
    """Return rows as features in float32: numbers only, and none missing."""
    if spec.modality != "table":  # series of different lengths end in NaN
        return np.nan_to_num(rows.reshape(len(rows), -1).astype(np.float32))
    is_number = np.array(spec.cardinalities) == 0
    numbers = ((rows - spec.shift) * spec.scale)[:, is_number]
    holes = np.isnan(rows[:, np.array(spec.missing)])
    one_hot = [rows[:, [j]] == np.arange(1, n + 1) for j, n in enumerate(spec.cardinalities)]
    return np.hstack([np.nan_to_num(numbers), holes, *one_hot]).astype(np.float32)


def _scaled(Z_train, Z_test):
    """Take the mean away, and divide by one factor for all columns; rows of TF-IDF have length 1.

    One factor: the penalty weighs every representation alike, and directions that hardly vary stay
    small.
    """
    if sparse.issparse(Z_train):
        return Z_train, Z_test
    mean = Z_train.mean(axis=0)
    scale = np.sqrt(np.mean(Z_train.var(axis=0))) or 1.0
    return (Z_train - mean) / scale, (Z_test - mean) / scale


def score(answer, draws, rows, metric):
    """Return scores on the test rows, of shape ``(n_k, n_draws)``."""
    return np.array([[metric(rows.y_test, answer(drawn)) for drawn in of_k] for of_k in draws])
