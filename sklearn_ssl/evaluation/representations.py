"""Representations and their baselines, under the same head.

Each has a title and an answer: a function that maps the positions of drawn rows to a model that has
learned from their labels, and to the test rows in the form the model accepts.
"""

from dataclasses import replace

import numpy as np
from scipy import sparse
from sklearn.base import clone
from sklearn.decomposition import PCA, TruncatedSVD
from sklearn.exceptions import NotFittedError
from sklearn.frozen import FrozenEstimator
from sklearn.linear_model import LogisticRegression, RidgeCV
from sklearn.pipeline import Pipeline
from sklearn.utils.validation import check_is_fitted

from sklearn_ssl._scaling import global_scaling
from sklearn_ssl._sklearn_compat import _safe_indexing
from sklearn_ssl.base.estimator import BasePretrainer
from sklearn_ssl.few_labels.fine_tune import FineTuneClassifier, FineTuneRegressor

PRETRAINED = "pretrained"  # name of a single representation among the scores

# What is evaluated --------------------------------------------------------------------------------


class Representation:
    """A transformer of the package, and the steps before and after it in a Pipeline.

    Parameters
    ----------
    estimator : estimator
        A transformer of the package, fitted or not, or a Pipeline with one among its steps.
    seed : int
        For a transformer without a seed of its own.
    title : str, default=None
        None means the class of the transformer.
    """

    def __init__(self, estimator, seed, title=None):
        self.before, self.ssl, self.after = _parts(estimator)
        self.seed = seed
        self.title = title or type(self.ssl).__name__
        self.was_fitted = is_fitted(self.ssl)
        self.rows = None
        self._start = None

    def pretrain(self, rows):
        """Keep the rows as the transformer sees them, and fit it to them unless it is fitted."""
        self.rows = self._seen(rows)
        if not self.was_fitted:
            self.ssl = self._fitted(seeded_clone(self.ssl, self.seed))
        if not (self.was_fitted and all(map(is_fitted, self.after))):
            self.after = self._fitted_after(self.ssl)

    def embedded(self):
        """Return the representations of the training rows and of the test rows."""
        return self._embedded(self.ssl, self.after)

    def embedded_untrained(self):
        """Return the same, with the initial weights of the transformer."""
        start = self.untrained()
        return self._embedded(start, self._fitted_after(start))

    def untrained(self):
        """Return the transformer with its initial weights."""
        if self._start is None:
            quiet = {"callbacks": None, "verbose": 0}
            self._start = self._fitted(seeded_clone(self.ssl, self.seed, max_epochs=0, **quiet))
        return self._start

    def _fitted(self, ssl):
        return ssl.fit(self.rows.X_pretrain, X_unlabeled=self.rows.X_unlabeled)

    def _seen(self, rows):
        for step in self.before:
            if not (self.was_fitted and is_fitted(step)):
                step = clone(step).fit(rows.X_pretrain)
            more = rows.X_unlabeled
            rows = replace(
                rows,
                X_pretrain=step.transform(rows.X_pretrain),
                X_unlabeled=None if more is None else step.transform(more),
                X_train=step.transform(rows.X_train),
                X_test=step.transform(rows.X_test),
            )
        return rows

    def _fitted_after(self, ssl):
        """Return the steps after the transformer, fitted to its output for all rows."""
        steps, Z = [], ssl.transform(self.rows.X_pretrain) if self.after else None
        for step in self.after:
            steps.append(clone(step).fit(Z))
            Z = steps[-1].transform(Z)
        return steps

    def _embedded(self, ssl, after):
        parts = [ssl.transform(X) for X in (self.rows.X_train, self.rows.X_test)]
        for step in after:
            parts = [step.transform(Z) for Z in parts]
        return [np.asarray(Z) for Z in parts]


def _parts(estimator):
    """Return the steps before the transformer, the transformer, and the steps after it."""
    frozen = isinstance(estimator, FrozenEstimator)
    estimator = estimator.estimator if frozen else estimator
    if frozen:
        check_is_fitted(estimator)
    is_pipeline = isinstance(estimator, Pipeline)
    steps = [step for _, step in estimator.steps] if is_pipeline else [estimator]
    steps = [step for step in steps if step is not None and step != "passthrough"]
    ours = [i for i, step in enumerate(steps) if isinstance(_thawed(step), BasePretrainer)]
    if len(ours) != 1:
        raise TypeError(
            "estimator must be a transformer of sklearn_ssl, fitted or not, got "
            f"{type(estimator).__name__}{' with ' + str(len(ours)) if is_pipeline else ''}. A "
            "Pipeline must have exactly one of them among its steps. Pass models to compare with "
            "in baselines, as (name, classifier)."
        )
    (i,) = ours
    if not all(hasattr(step, "transform") for step in steps):
        raise TypeError(
            f"The Pipeline must end in a representation, but its {type(steps[-1]).__name__} has no "
            "method transform. Pass pipeline[:-1], and a classifier as head."
        )
    if isinstance(steps[i], FrozenEstimator):
        check_is_fitted(steps[i].estimator)
    return steps[:i], _thawed(steps[i]), steps[i + 1 :]


def _thawed(step):
    return step.estimator if isinstance(step, FrozenEstimator) else step


def is_fitted(estimator):
    try:
        check_is_fitted(estimator)
    except NotFittedError:
        return False
    return True


def seeded_clone(estimator, seed, **params):
    """Return a clone, with this seed if it has no seed of its own."""
    copy = clone(estimator)
    if copy.random_state is None:
        copy.random_state = seed
    return copy.set_params(**params)


# The representation and its baselines, under the same head ----------------------------------------


class Bench:
    """Prepares a representation and its baselines.

    Parameters
    ----------
    representation : Representation
        Pretrained.
    head : estimator
        A classifier or a regressor.
    """

    def __init__(self, representation, head):
        self.representation = representation
        self.rows = representation.rows
        self.ssl = representation.ssl
        self.seed = representation.seed
        self.head = head

    def prepare(self, name):
        """Return the title of the representation or of a baseline, and its answer."""
        return self._pretrained() if name == PRETRAINED else BASELINES[name](self)

    def _pretrained(self):
        return self.representation.title, self._probe(*self.representation.embedded())

    def _raw(self):
        _, Z_train, Z_test = raw_features(self.ssl, self.rows)
        return self.ssl.input_spec_.raw_title, self._probe(Z_train, Z_test)

    def _pca(self):
        Z, Z_train, Z_test = raw_features(self.ssl, self.rows)
        width = min(self.ssl._n_features_out, *Z.shape)
        if sparse.issparse(Z):
            model, title = TruncatedSVD(width, random_state=self.seed), "SVD of TF-IDF"
        else:  # all components would only rotate the features
            n_components = width if width < min(Z.shape) else 0.95
            model, title = PCA(n_components, random_state=self.seed), "PCA"
        model.fit(Z)
        parts = [np.asarray(model.transform(Z)) for Z in (Z_train, Z_test)]
        return f"{title} to {parts[0].shape[1]}", self._probe(*parts)

    def _untrained(self):
        return self._of_each("untrained weights"), self._probe(
            *self.representation.embedded_untrained()
        )

    def _supervised(self):
        # Its first layers have learned nothing that a small learning rate would preserve, and views
        # help it more than they help a pretrained network.
        kind = FineTuneRegressor if self.rows.regression else FineTuneClassifier
        model = kind(
            FrozenEstimator(self.representation.untrained()),
            strategy="full",
            augment="auto",
            lr=2e-3,
            layer_decay=1.0,
            random_state=self.seed,
        )

        def answer(drawn):
            n_epochs = supervised_epochs(len(drawn), model.batch_size)
            X = _safe_indexing(self.rows.X_train, drawn)
            learned = clone(model).set_params(max_epochs=n_epochs).fit(X, self.rows.y_train[drawn])
            return learned, self.rows.X_test

        return self._of_each("training on labels alone"), answer

    def _of_each(self, title):
        is_named = self.representation.title != type(self.ssl).__name__
        return f"{title}, {self.representation.title}" if is_named else title

    def _probe(self, Z_train, Z_test):
        """Return a function that lets the head learn from drawn rows of features."""
        Z_train, Z_test = _scaled(Z_train, Z_test)

        def answer(drawn):
            return clone(self.head).fit(Z_train[drawn], self.rows.y_train[drawn]), Z_test

        return answer


BASELINES = {
    "raw": Bench._raw,
    "pca": Bench._pca,
    "untrained": Bench._untrained,
    "supervised": Bench._supervised,
}
OF_EACH = ("untrained", "supervised")  # depend on the representation, the others only on its width


def default_head(*, regression):
    if regression:
        return RidgeCV(alphas=np.logspace(-2, 4, 13))
    return LogisticRegression(max_iter=10_000)


def supervised_epochs(n_rows, batch_size):
    """Return the epochs of a network trained on labels alone: 100, but about 400 steps at most.

    That is longer than for a pretrained network, which starts closer to the optimum.
    """
    return int(np.clip(400 // -(-n_rows // batch_size), 10, 100))


def raw_features(ssl, rows):
    """Return raw features of the rows for pretraining, training and testing.

    Parameters
    ----------
    ssl : estimator
        Fitted; it knows which columns hold categories and which have missing numbers.
    rows : Rows

    Returns
    -------
    features : list of three ndarrays of shape (n, features), or of sparse matrices for texts
    """
    more = [] if rows.X_unlabeled is None else [rows.X_unlabeled]
    pretrain, others = [rows.X_pretrain, *more], [rows.X_train, rows.X_test]
    return ssl.input_spec_.raw_features(ssl, pretrain, others)


def _scaled(Z_train, Z_test):
    """Scale dense features, see :func:`global_scaling`; rows of TF-IDF have length 1."""
    if sparse.issparse(Z_train):
        return Z_train, Z_test
    mean, scale = global_scaling(Z_train)
    return (Z_train - mean) / scale, (Z_test - mean) / scale
