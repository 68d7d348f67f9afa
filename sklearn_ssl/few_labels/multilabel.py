"""Several labels in a row, yes or no each: what the networks and the heads need to know of them."""

import numpy as np
from scipy.special import expit
from sklearn.base import BaseEstimator, ClassifierMixin, is_regressor
from sklearn.linear_model import LogisticRegression
from sklearn.utils import get_tags
from torch.nn import functional as F

from sklearn_ssl.few_labels.targets import Classes, unstratified_split, with_weights


class Multilabel(Classes):
    """Labels that a row has or has not, each independent of the others.

    The loss is the mean over the labels, not their sum: it is as large as that of a single label,
    and so are its gradients, whose norm is clipped, and the limit beyond which a training counts as
    diverged. The penalty is divided by the number of labels too, so the layer rests where one
    LogisticRegression per label does. The learning rate is that for classes: the steps of Adam do
    not depend on the factor of a loss.

    Parameters
    ----------
    labels : ndarray of int of shape (n, n_labels)
        0 and 1.
    weights : ndarray of shape (n,) or None
    name : str
        Of the estimator.
    """

    head_kind = (
        "classifier of several labels per row, such as OneVsRestClassifier(LogisticRegression()) "
        "or KNeighborsClassifier()"
    )
    linear_heads = "RidgeClassifier, or OneVsRestClassifier of LogisticRegression or LinearSVC"

    def __init__(self, labels, weights, name):
        if np.all(labels == labels[0]):
            raise ValueError(
                f"{name} needs labeled rows that differ in a label; all {len(labels)} of them have "
                f"the same {labels.shape[1]} labels, so there is nothing to learn."
                f"{'' if weights is None else ' Rows with weight 0 do not count.'}"
            )
        self.values = labels.astype(np.float32)
        self.n_outputs = labels.shape[1]
        self.facts = {"classes_": np.arange(self.n_outputs)}
        self.penalty = 0.5 / self.n_outputs
        self.bias = log_odds(labels, weights)

    @staticmethod
    def losses(logits, values):
        return F.binary_cross_entropy_with_logits(logits, values, reduction="none").mean(dim=1)

    @staticmethod
    def default_head():
        return LogisticRegressionPerLabel(max_iter=10_000)

    @staticmethod
    def takes(head):
        """Return whether an estimator may be the head: whether it takes several labels per row."""
        if is_regressor(head):
            return False
        tags = get_tags(head)
        multilabel = tags.classifier_tags is not None and tags.classifier_tags.multi_label
        return multilabel or tags.target_tags.multi_output

    def split(self, validation_fraction, seed):
        """Return the places of labels to learn from, and of those to stop by."""
        return unstratified_split(len(self.values), validation_fraction, seed)

    def linear_model(self, coef, intercept):
        """Return a LogisticRegressionPerLabel with these weights."""
        head = LogisticRegressionPerLabel()
        head.classes_ = np.arange(self.n_outputs)
        return with_weights(head, coef, intercept)

    def layer_weights(self, coef, intercept):
        """Return the weights of a linear head.

        A label without coefficients starts from its frequency: OneVsRestClassifier decides 0 for a
        label that no row has, which would be a probability of 0.5.
        """
        return coef, np.where(coef.any(axis=1), intercept, self.bias)


class LogisticRegressionPerLabel(ClassifierMixin, BaseEstimator):
    """One LogisticRegression per label, which also take weights of the rows.

    A label with a single value among the rows has no coefficients. By the rule of succession, a
    label that none of n rows has gets the probability 1 / (n + 2) for all rows: it is never
    predicted, but not impossible.

    Parameters
    ----------
    max_iter : int, default=10000
        As in LogisticRegression.

    Attributes
    ----------
    coef_ : ndarray of shape (n_labels, width)
    intercept_ : ndarray of shape (n_labels,)
    classes_ : ndarray of shape (n_labels,)
        Numbers of the labels.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn_ssl.few_labels.multilabel import LogisticRegressionPerLabel
    >>> Z, Y = np.array([[-9.0], [0.0], [9.0]]), np.array([[0, 0], [0, 0], [1, 0]])
    >>> head = LogisticRegressionPerLabel().fit(Z, Y)
    >>> head.predict(Z).tolist()
    [[0, 0], [0, 0], [1, 0]]
    >>> head.predict_proba(Z)[:, 1].round(2).tolist()
    [0.2, 0.2, 0.2]
    """

    def __init__(self, max_iter=10_000):
        self.max_iter = max_iter

    def fit(self, X, y, sample_weight=None):
        self.classes_ = np.arange(y.shape[1])
        self.n_features_in_ = X.shape[1]
        self.coef_ = np.zeros((y.shape[1], X.shape[1]))
        self.intercept_ = log_odds(y, sample_weight)
        for k in np.flatnonzero(np.any(y != y[0], axis=0)):
            model = LogisticRegression(max_iter=self.max_iter).fit(X, y[:, k], sample_weight)
            self.coef_[k], self.intercept_[k] = model.coef_[0], model.intercept_[0]
        return self

    def decision_function(self, X):
        return X @ self.coef_.T + self.intercept_

    def predict(self, X):
        return (self.decision_function(X) > 0).astype(int)

    def predict_proba(self, X):
        return expit(self.decision_function(X))

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.classifier_tags.multi_label = True
        return tags


def log_odds(labels, weights):
    """Return the logarithm of the odds of each label, counted once more with and once without it.

    Parameters
    ----------
    labels : ndarray of shape (n, n_labels)
        0 and 1.
    weights : ndarray of shape (n,) or None
        Only their ratio counts.
    """
    n_with = len(labels) * np.average(labels, axis=0, weights=weights)
    return np.log((n_with + 1) / (len(labels) - n_with + 1))


def one_column_per_label(probabilities, classes):
    """Return the probabilities of the labels, also of heads that return an array for each label.

    Parameters
    ----------
    probabilities : ndarray of shape (n, n_labels), or list of ndarray of shape (n, n_values)
        Lists are those of trees, neighbors and MultiOutputClassifier.
    classes : list of ndarray of shape (n_values,)
        For a list, the values of each label, 0 and 1 or one of them.
    """
    if not isinstance(probabilities, list):
        return probabilities
    # Of each row of an array, the sum over the values of probability times value.
    return np.column_stack([p @ values for p, values in zip(probabilities, classes)])
