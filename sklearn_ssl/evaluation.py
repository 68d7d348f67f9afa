"""Evidence: does pretraining beat what you have, with the few labels that you have?

::

    test rows are set aside; the estimator pretrains on all others, labelled or not
    for k labels a class, and for each of several draws of them:
        the same classifier on the representation, on raw features, on PCA, on an untrained encoder
        the same network, trained on the drawn labels alone
        accuracy of each on the test rows
"""

import time
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import cycle
from numbers import Integral, Real

import numpy as np
from scipy import sparse, stats
from sklearn.base import clone
from sklearn.decomposition import PCA, TruncatedSVD
from sklearn.exceptions import NotFittedError
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.frozen import FrozenEstimator
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import accuracy_score, balanced_accuracy_score
from sklearn.model_selection import train_test_split
from sklearn.utils import (
    _safe_indexing,
    check_consistent_length,
    check_random_state,
    column_or_1d,
)
from sklearn.utils._optional_dependencies import check_matplotlib_support, check_pandas_support
from sklearn.utils._param_validation import HasMethods, Interval, StrOptions, validate_params
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import check_is_fitted

from sklearn_ssl._base import BaseSSLTransformer
from sklearn_ssl._labels import is_unlabeled, label_array
from sklearn_ssl.collapse import CollapseWarning
from sklearn_ssl.datasets import draw_labels
from sklearn_ssl.finetune import FineTuneClassifier

CONFIDENCE = 0.95
PRETRAINED = "pretrained"  # name of the representation among the scores
METRICS = {"accuracy": accuracy_score, "balanced_accuracy": balanced_accuracy_score}


@validate_params(
    {
        "estimator": [HasMethods(["fit", "transform"])],
        "labels_per_class": ["array-like", Integral],
        "n_draws": [Interval(Integral, 2, None, closed="left")],
        "test_size": [
            Interval(Real, 0, 1, closed="neither"),
            Interval(Integral, 1, None, closed="left"),
        ],
        "head": [HasMethods(["fit", "predict"]), None],
        "baselines": ["array-like"],
        "scoring": [StrOptions(set(METRICS))],
        "random_state": ["random_state"],
        "verbose": ["verbose"],
    },
    prefer_skip_nested_validation=False,
)
def evaluate_representation(
    estimator,
    X,
    y,
    *,
    labels_per_class=(1, 5, 10, 100),
    n_draws=5,
    test_size=0.25,
    X_test=None,
    y_test=None,
    X_unlabeled=None,
    head=None,
    baselines=("raw", "pca", "untrained", "supervised"),
    scoring="accuracy",
    random_state=0,
    verbose=0,
):
    """Measure what a representation is worth with few labels, beside what has to be beaten.

    Test rows are set aside, and the estimator is pretrained on all others, labelled or not. Then k
    labels a class are drawn, several times, and the same classifier learns from the same rows on
    the representation and on each baseline.

    Parameters
    ----------
    estimator : estimator
        A transformer of this package. It is cloned, and the clone is fitted. One that is fitted
        already, bare or in a :class:`~sklearn.frozen.FrozenEstimator`, is used as it is; it may
        have seen the test rows, though not their labels, and the report says so.
    X : array-like, DataFrame or list of str
        As the estimator takes it.
    y : array-like of shape (n,)
        Labels. Rows with -1, None or NaN have none, and are there for pretraining only.
    labels_per_class : int or array-like of int, default=(1, 5, 10, 100)
        Numbers of labels to draw from each class. Those for which a class has too few training
        rows are left out, with a warning.
    n_draws : int, default=5
        Draws of labels at each number of them, at least 2.
    test_size : float or int, default=0.25
        Part, or number, of the labelled rows that are set aside. They are drawn so that classes
        keep their shares.
    X_test, y_test : array-like, default=None
        Test rows and their labels. X is not split then.
    X_unlabeled : array-like, default=None
        More rows of the same kind to pretrain on.
    head : classifier, default=None
        What learns from the representation, and from the features of the baselines. None is
        :class:`~sklearn.linear_model.LogisticRegression`.
    baselines : array-like, default=("raw", "pca", "untrained", "supervised")
        What stands beside it:

        - "raw": standardised numbers and one-hot categories of tables, pixels, values of series,
          TF-IDF of texts;
        - "pca": PCA of those to the width of the representation, or, where they have no more
          directions than that, to those that hold 95 % of their variance; truncated SVD of TF-IDF;
        - "untrained": the same estimator with the weights that it starts from;
        - "supervised": the same network, trained on the drawn labels alone from those weights, by
          :class:`~sklearn_ssl.FineTuneClassifier`. It takes the longest;
        - ``(name, classifier)``: what you have. The classifier gets the drawn rows of X as they
          are.
    scoring : {"accuracy", "balanced_accuracy"}, default="accuracy"
        The latter is the mean accuracy over classes, for classes of very different sizes.
    random_state : int, RandomState instance or None, default=0
        Seed of the split and the draws, and of the estimator if that has none of its own.
    verbose : int, default=0
        From 1 on, what has been measured is printed as the evaluation goes on.

    Returns
    -------
    report : RepresentationReport
        Printed, it is a table and a sentence.

    Raises
    ------
    TypeError
        If `estimator` is none of this package.
    ValueError
        If there are fewer than two classes, or no number of labels that all classes have.

    Notes
    -----
    Representations and dense features are centred and divided by one factor for all columns, so
    that the penalty of the classifier weighs all of them alike. The baselines learn from the same
    rows as the estimator, without labels; those that come from an estimator have its seed.

    See Also
    --------
    LabelCurveDisplay : The report as a picture.

    Examples
    --------
    >>> from sklearn.datasets import load_digits
    >>> from sklearn_ssl import SimCLRTransformer
    >>> from sklearn_ssl.evaluation import evaluate_representation
    >>> X, y = load_digits(return_X_y=True)
    >>> ssl = SimCLRTransformer(image_shape=(8, 8), max_epochs=1, random_state=0)
    >>> report = evaluate_representation(
    ...     ssl, X[:500], y[:500], labels_per_class=(1, 5), baselines=("raw", "pca")
    ... )
    >>> report.scores["raw"].shape  # numbers of labels, draws
    (2, 5)
    >>> report.mean["raw"].round(1)
    array([0.8, 0.9])
    """
    given = estimator.estimator if isinstance(estimator, FrozenEstimator) else estimator
    is_fitted = _check_estimator(given, is_frozen=given is not estimator)
    rivals = _named_baselines(baselines)
    split_seed, fit_seed, draw_seed = _seeds(random_state, 3)
    rows = _split(X, y, X_test, y_test, X_unlabeled, test_size, split_seed)
    labels_per_class = _possible(labels_per_class, rows.y_train)
    draws = _draw(rows.y_train, labels_per_class, _seeds(draw_seed, n_draws))
    say = print if verbose else _say_nothing

    start = time.perf_counter()
    ssl = given if is_fitted else _seeded_clone(given, fit_seed)
    if not is_fitted:
        ssl.fit(rows.X_pretrain, X_unlabeled=rows.X_unlabeled)
        seconds = time.perf_counter() - start
        say(f"{type(ssl).__name__}: pretrained on {rows.n_pretrain:,} rows in {seconds:.1f} s")
    bench = _Bench(ssl, rows, head or LogisticRegression(max_iter=10_000), fit_seed)
    scores, titles = {}, {}
    for name, rival in {PRETRAINED: None, **rivals}.items():
        titles[name], answer = bench.prepare(name, rival)
        scores[name] = _score(answer, draws, rows, METRICS[scoring])
        means = ", ".join(f"{mean:.3f}" for mean in scores[name].mean(axis=1))
        say(f"{titles[name]}: {means} at {', '.join(map(str, labels_per_class))} labels a class")
    return RepresentationReport(
        labels_per_class=labels_per_class,
        scores=scores,
        titles=titles,
        scoring=scoring,
        guessing=_guessing(rows.y_test, scoring),
        n_pretrain=None if is_fitted else rows.n_pretrain,
        labeled_rows=[[rows.train_rows[drawn] for drawn in of_k] for of_k in draws],
        test_rows=rows.test_rows,
        n_test=len(rows.y_test),
    )


# Rows, labels and seeds ---------------------------------------------------------------------------


def _check_estimator(estimator, is_frozen):
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


def _named_baselines(baselines):
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


def _seeds(random_state, n):
    return check_random_state(random_state).randint(np.iinfo(np.int32).max, size=n).tolist()


@dataclass
class _Rows:
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


def _split(X, y, X_test, y_test, X_unlabeled, test_size, seed):
    """Return the rows of the training, of the test, and all that pretraining may see."""
    if (X_test is None) != (y_test is None):
        raise ValueError("X_test and y_test go together; only one of them was given.")
    X, X_test, X_unlabeled = _kept(X), _kept(X_test), _kept(X_unlabeled)
    y = column_or_1d(label_array(y), warn=True)
    check_consistent_length(X, y)
    labeled = np.flatnonzero(~is_unlabeled(y))
    labels = _labels(y[labeled])
    if X_test is None:
        places = _stratified(labels, test_size, seed)
        train_rows, test_rows = (np.sort(labeled[part]) for part in places)
        X_test, y_test = _safe_indexing(X, test_rows), _labels(y[test_rows])
        pretrain_rows = np.setdiff1d(np.arange(len(y)), test_rows)
        X_pretrain = _safe_indexing(X, pretrain_rows)
    else:
        X_test, y_test = _checked_test(X_test, y_test, labels)
        train_rows, test_rows, X_pretrain = labeled, None, X
        pretrain_rows = np.arange(len(y))
    more = 0 if X_unlabeled is None else len(X_unlabeled)
    return _Rows(
        X_train=_safe_indexing(X, train_rows),
        y_train=_labels(y[train_rows]),
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
    return list(X) if isinstance(X, Iterator) else X


def _labels(y):
    """Return labels, none of which is missing, with the dtype that they have without None."""
    if y.dtype.kind == "O":
        y = np.array(y.tolist())
    return y


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
    y_test = _labels(y_test)
    unknown = sorted(set(y_test.tolist()) - set(labels.tolist()), key=str)
    if unknown:
        raise ValueError(
            f"y_test has labels that y has not: {', '.join(map(_shown, unknown))}. Nothing could "
            "learn to predict them."
        )
    return X_test, y_test


def _possible(labels_per_class, y):
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


def _draw(y, labels_per_class, seeds):
    """Return for each number of labels, and each draw, the places of the training rows."""
    return [[draw_labels(y, k, seed) for seed in seeds] for k in labels_per_class]


def _seeded_clone(estimator, seed, **params):
    """Return a clone; one without a seed of its own gets this one."""
    copy = clone(estimator)
    if copy.random_state is None:
        copy.random_state = seed
    return copy.set_params(**params)


def _say_nothing(text):
    pass


# What is compared: each makes predictions from drawn rows -----------------------------------------


class _Bench:
    """Prepares the representation and the baselines of an evaluation.

    Parameters
    ----------
    ssl : estimator
        Fitted.
    rows : _Rows
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
        network = FrozenEstimator(self._untrained_ssl())
        # Its first layers know nothing yet that a small learning rate would keep.
        classifier = FineTuneClassifier(
            network, strategy="full", layer_decay=1.0, random_state=self.seed
        )
        batch_size = classifier.batch_size

        def answer(drawn):
            classifier.set_params(max_epochs=_supervised_epochs(len(drawn), batch_size))
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
            self._start = _seeded_clone(self.ssl, self.seed, **params)
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
    "raw": _Bench._raw,
    "pca": _Bench._pca,
    "untrained": _Bench._untrained,
    "supervised": _Bench._supervised,
}
RAW_TITLES = {
    "table": "raw features",
    "image": "raw pixels",
    "series": "raw values",
    "video": "raw pixels",
    "text": "TF-IDF",
}


def _supervised_epochs(n_rows, batch_size):
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
    rows : _Rows

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


def _score(answer, draws, rows, metric):
    """Return scores on the test rows, of shape ``(n_k, n_draws)``."""
    return np.array([[metric(rows.y_test, answer(drawn)) for drawn in of_k] for of_k in draws])


def _guessing(y, scoring):
    """Return what the same answer for all rows scores at best."""
    counts = np.unique(y, return_counts=True)[1]
    return counts.max() / len(y) if scoring == "accuracy" else 1 / len(counts)


# The report ---------------------------------------------------------------------------------------


@dataclass(repr=False, eq=False, kw_only=True)
class RepresentationReport:
    """What :func:`evaluate_representation` has measured.

    Printed, it is a table of all scores, the differences on the same draws, and a sentence.

    Attributes
    ----------
    labels_per_class : ndarray of shape (n_k,)
        Numbers of labels drawn from each class.
    scores : dict of str to ndarray of shape (n_k, n_draws)
        Scores on the test rows, of "pretrained" and of the baselines by their names. The draws are
        the same for all.
    titles : dict of str to str
        What these names stand for.
    scoring : {"accuracy", "balanced_accuracy"}
    guessing : float
        What the best answer that is the same for all rows scores.
    n_pretrain : int or None
        Rows that the estimator was pretrained on; None for one that was fitted before, and may have
        seen the test rows.
    labeled_rows : list of list of ndarray
        For each number of labels and each draw the places of the labelled rows in X.
    test_rows : ndarray or None
        Places of the test rows in X; None if they came as ``X_test``.
    n_test : int
        Number of test rows.

    Notes
    -----
    Intervals are t-intervals over the draws, at 95 %. They say how far the mean of the draws may
    lie from that of all possible draws. Of chance elsewhere they say nothing: another seed of the
    pretraining, other test rows, another data set. Nor are they widened for looking at several
    baselines and numbers of labels at once: one in twenty errs.
    """

    labels_per_class: np.ndarray
    scores: dict
    titles: dict
    scoring: str = "accuracy"
    guessing: float = np.nan
    n_pretrain: int | None = None
    labeled_rows: list | None = None
    test_rows: np.ndarray | None = None
    n_test: int = 0

    @property
    def baselines(self):
        """Names of the baselines."""
        return [name for name in self.scores if name != PRETRAINED]

    @property
    def mean(self):
        """Mean score of each name, a dict of arrays of shape ``(n_k,)``."""
        return {name: scores.mean(axis=1) for name, scores in self.scores.items()}

    @property
    def interval(self):
        """Ends of the 95 % intervals of the means, a dict of arrays of shape ``(n_k, 2)``."""
        return {name: _interval(scores) for name, scores in self.scores.items()}

    def gain(self, baseline):
        """Return how far pretraining is ahead of a baseline, draw by draw.

        The draws are the same for both, so that the differences spread less than the scores do.

        Parameters
        ----------
        baseline : str
            Its name among the scores.

        Returns
        -------
        mean : ndarray of shape (n_k,)
        interval : ndarray of shape (n_k, 2)
            At 95 %.
        """
        if baseline not in self.baselines:
            raise ValueError(f"baseline must be one of {self.baselines}, got {baseline!r}.")
        differences = self.scores[PRETRAINED] - self.scores[baseline]
        return differences.mean(axis=1), _interval(differences)

    @property
    def summary(self):
        """A sentence that says whether pretraining helped, beside the best baseline at each k."""
        if not self.baselines:
            return "No baseline was measured, so whether pretraining helped cannot be said."
        comparisons = [self._beside_the_best(i) for i in range(len(self.labels_per_class))]
        verdicts = {verdict for _, _, verdict in comparisons}
        parts = [
            _comparison(gain, self.titles[best], k, verdict, first=i == 0)
            for i, (k, (best, gain, verdict)) in enumerate(zip(self.labels_per_class, comparisons))
        ]
        return f"{_headline(verdicts)}: {self.titles[PRETRAINED]} is {_listed(parts)}."

    def _beside_the_best(self, i):
        """Return the best baseline at the i-th k, the gain, and 1, -1 or 0 if it may be chance."""
        best = max(self.baselines, key=lambda name: self.scores[name][i].mean())
        gains, intervals = self.gain(best)
        low, high = intervals[i]
        return best, gains[i], int(low > 0) - int(high < 0)

    def to_frame(self):
        """Return all scores as a pandas DataFrame, one row for each score.

        Returns
        -------
        frame : DataFrame
            With the columns "name", "title", "labels_per_class", "draw" and the metric.
        """
        pd = check_pandas_support("RepresentationReport.to_frame")
        return pd.DataFrame(
            [
                (name, self.titles[name], int(k), draw, score)
                for name, scores in self.scores.items()
                for k, of_k in zip(self.labels_per_class, scores)
                for draw, score in enumerate(of_k)
            ],
            columns=["name", "title", "labels_per_class", "draw", self.scoring],
        )

    def plot(self, ax=None, **kwargs):
        """Draw labels a class against scores.

        Parameters
        ----------
        ax : matplotlib Axes, default=None
            None makes a new figure.
        **kwargs : dict
            Handed on to :meth:`LabelCurveDisplay.plot`.

        Returns
        -------
        display : LabelCurveDisplay
        """
        return LabelCurveDisplay.from_report(self, ax=ax, **kwargs)

    def __repr__(self):
        ks = ", ".join(map(str, self.labels_per_class))
        means = ", ".join(f"{mean:.3f}" for mean in self.mean[PRETRAINED])
        return (
            f"<RepresentationReport of {self.titles[PRETRAINED]}: {self._metric()} {means} at {ks} "
            f"labels a class, beside {', '.join(self.baselines) or 'nothing'}; print it for more>"
        )

    def __str__(self):
        n_draws = self.scores[PRETRAINED].shape[1]
        width = 2 + max(len(title) for title in ("labels a class", *self.titles.values()))
        lines = [
            f"{self._metric().capitalize()} on {self.n_test:,} test rows: mean of {n_draws} draws "
            "of labels, with its 95 % interval",
            "",
            _row("labels a class", self.labels_per_class, width),
        ]
        for name, title in self.titles.items():
            cells = _cells(self.mean[name], self.interval[name], "{:.3f} ± {:.3f}")
            lines.append(_row(title, cells, width))
        lines.append(
            _row("guessing", [f"{self.guessing:.3f}        "] * len(self.labels_per_class), width)
        )
        if self.baselines:
            lines += [
                "",
                f"{self.titles[PRETRAINED]} is ahead, on the same draws, by so many points of",
            ]
        for name in self.baselines:
            gains, intervals = self.gain(name)
            cells = _cells(100 * gains, 100 * intervals, "{:+.1f} ± {:.1f}")
            lines.append(_row(self.titles[name], cells, width))
        return "\n".join([*lines, "", self._pretraining(), self.summary])

    def _metric(self):
        return self.scoring.replace("_", " ")

    def _pretraining(self):
        if self.n_pretrain is None:
            return "It was fitted before: it may have seen the test rows, though not their labels."
        return f"It was pretrained on {self.n_pretrain:,} rows, none of them a test row."


def _interval(values):
    """Return the ends of the t-intervals of the means of rows, of shape ``(n_k, 2)``."""
    n = values.shape[1]
    error = values.std(axis=1, ddof=1) / np.sqrt(n)
    half = stats.t.ppf((1 + CONFIDENCE) / 2, n - 1) * error
    return values.mean(axis=1)[:, None] + half[:, None] * [-1, 1]


def _headline(verdicts):
    if verdicts == {1}:
        return "Pretraining helped"
    if verdicts == {1, 0}:
        return "Pretraining helped, but not clearly at every number of labels"
    if verdicts >= {1, -1}:
        return "Pretraining helped at some numbers of labels, and not at others"
    if -1 in verdicts:
        return "Pretraining did not help"
    return "It is not clear whether pretraining helped"


def _comparison(gain, title, k, verdict, *, first):
    points = f"{100 * abs(gain):.1f}" + (" points" if first else "")
    where = "ahead of" if gain >= 0 else "behind"
    labels = (" label a class" if k == 1 else " labels a class") if first else ""
    chance = "" if verdict else " (within the noise of the draws)"
    return f"{points} {where} {title} at {k}{labels}{chance}"


def _listed(parts):
    return " and ".join(part for part in (", ".join(parts[:-1]), parts[-1]) if part)


def _cells(means, intervals, form):
    return [form.format(mean, high - mean) for mean, (_, high) in zip(means, intervals)]


def _row(title, cells, width):
    return (f"{title:{width}}" + "".join(f"{cell:>16}" for cell in cells)).rstrip()


# The picture --------------------------------------------------------------------------------------


MARKERS = "osD^vPX"
LINE_STYLES = ("-", "-", "--", "-.")  # PCA as wide as the raw features lies on their curve


class LabelCurveDisplay:
    """Labels a class against accuracy, of a representation and its baselines.

    It is made by :meth:`from_estimator` or :meth:`from_report`, which draw it as well.

    Parameters
    ----------
    report : RepresentationReport

    Attributes
    ----------
    ax_ : matplotlib Axes
    figure_ : matplotlib Figure
    lines_ : list of matplotlib Line2D
        A curve for each name in ``report.scores``.
    bands_ : list of matplotlib PolyCollection
        Their 95 % intervals over draws of labels.
    guessing_ : matplotlib Line2D
        The score of one answer for all rows.

    Examples
    --------
    >>> import matplotlib.pyplot as plt
    >>> from sklearn.datasets import load_digits
    >>> from sklearn_ssl import SimCLRTransformer
    >>> from sklearn_ssl.evaluation import LabelCurveDisplay
    >>> X, y = load_digits(return_X_y=True)
    >>> ssl = SimCLRTransformer(image_shape=(8, 8), max_epochs=1, random_state=0)
    >>> display = LabelCurveDisplay.from_estimator(
    ...     ssl, X[:500], y[:500], labels_per_class=(1, 5), baselines=("raw",)
    ... )
    >>> print(display.report.baselines)
    ['raw']
    >>> plt.show()  # doctest: +SKIP
    """

    def __init__(self, *, report):
        self.report = report

    @classmethod
    def from_estimator(cls, estimator, X, y, *, ax=None, **kwargs):
        """Evaluate a representation, and draw its curves.

        Parameters
        ----------
        estimator, X, y
            As in :func:`evaluate_representation`.
        ax : matplotlib Axes, default=None
            None makes a new figure.
        **kwargs : dict
            Handed on to :func:`evaluate_representation`.

        Returns
        -------
        display : LabelCurveDisplay
        """
        check_matplotlib_support(f"{cls.__name__}.from_estimator")
        return cls.from_report(evaluate_representation(estimator, X, y, **kwargs), ax=ax)

    @classmethod
    def from_report(cls, report, *, ax=None, **kwargs):
        """Draw the curves of a report.

        Parameters
        ----------
        report : RepresentationReport
        ax : matplotlib Axes, default=None
            None makes a new figure.
        **kwargs : dict
            Handed on to :meth:`plot`.

        Returns
        -------
        display : LabelCurveDisplay
        """
        return cls(report=report).plot(ax=ax, **kwargs)

    def plot(self, ax=None, *, legend=True, **kwargs):
        """Draw the curves.

        Parameters
        ----------
        ax : matplotlib Axes, default=None
            None makes a new figure.
        legend : bool, default=True
        **kwargs : dict
            Of the lines, handed on to ``Axes.plot``.

        Returns
        -------
        display : LabelCurveDisplay
            Itself.
        """
        check_matplotlib_support(f"{type(self).__name__}.plot")
        import matplotlib.pyplot as plt

        if ax is None:
            ax = plt.subplots(layout="constrained")[1]
        self.ax_, self.figure_ = ax, ax.figure
        ks, self.lines_, self.bands_ = self.report.labels_per_class, [], []
        names = zip(self.report.titles.items(), cycle(MARKERS), cycle(LINE_STYLES))
        for (name, title), marker, line_style in names:
            style = {"marker": marker, "linestyle": line_style, "label": title}
            style |= {"markersize": 5, "linewidth": 1.5}
            if name == PRETRAINED:
                style |= {"markersize": 8, "linewidth": 2.5, "zorder": 3}
            (line,) = ax.plot(ks, self.report.mean[name], **{**style, **kwargs})
            low, high = self.report.interval[name].T
            band = {"color": line.get_color(), "alpha": 0.12, "linewidth": 0}
            self.lines_.append(line)
            self.bands_.append(ax.fill_between(ks, low, high, **band))
        self.guessing_ = ax.axhline(
            self.report.guessing, color="0.5", linewidth=0.8, linestyle=":", label="guessing"
        )
        ax.set_xscale("log")
        ax.set_xticks(ks, [str(k) for k in ks], minor=False)
        ax.set_xticks([], minor=True)
        metric = self.report.scoring.replace("_", " ")
        ax.set(xlabel="labels a class", ylabel=f"test {metric}")
        if legend:
            ax.legend(loc="best", fontsize="small")
        return self
