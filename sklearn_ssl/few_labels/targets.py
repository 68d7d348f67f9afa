"""What y holds, classes or numbers, and what the networks and the heads need to know about it."""

import numpy as np
from sklearn.base import is_classifier, is_regressor
from sklearn.linear_model import LinearRegression, LogisticRegression, Ridge, RidgeCV
from sklearn.metrics import accuracy_score, r2_score
from sklearn.model_selection import train_test_split
from sklearn.utils import assert_all_finite
from sklearn.utils.multiclass import check_classification_targets
from torch.nn import functional as F

AFTER_A_PROBE = 0.1  # rate for numbers, relative to that for classes


class Classes:
    """Class labels: what the networks and the heads need to know about them.

    Parameters
    ----------
    labels : ndarray of shape (n,)
        Without missing ones.
    weights : ndarray of shape (n,) or None
    name : str
        Of the estimator.

    Attributes
    ----------
    values : ndarray of int of shape (n,)
        Places of the labels among the classes.
    n_outputs : int
        Of the linear layer.
    bias : float or ndarray of shape (n_outputs,)
        Of the linear layer, where it does not start from a probe.
    penalty : float
        Factor of the squared weights of the layer, in a loss that is summed over the rows.
    delicate : bool
        Whether the encoder learns without dropout and in float32.
    facts : dict
        Fitted attributes of the estimator.
    """

    metric = staticmethod(accuracy_score)
    head_kind = "classifier"
    decision = "decision_function"
    linear_heads = "LogisticRegression, LinearSVC or RidgeClassifier"
    delicate = False
    bias = 0.0

    def __init__(self, labels, weights, name):
        if labels.dtype.kind == "f":
            assert_all_finite(labels, input_name="y", estimator_name=name)
        check_classification_targets(labels)
        self.classes, self.values = np.unique(labels, return_inverse=True)
        if len(self.classes) < 2:
            raise ValueError(
                f"{name} needs labeled rows of at least two classes; got only one class, "
                f"{_shown(self.classes[0])}."
                f"{'' if weights is None else ' Labels with weight 0 do not count.'}"
            )
        self.n_outputs = len(self.classes)
        self.facts = {"classes_": self.classes}
        self.penalty = 0.5 if self.n_outputs > 2 else 1.0  # of two, each has half of a difference

    @staticmethod
    def losses(logits, values):
        return F.cross_entropy(logits, values, reduction="none")

    @staticmethod
    def default_head():
        return LogisticRegression(max_iter=10_000)

    @staticmethod
    def takes(head):
        """Return whether an estimator may be the head: whether it is not a regressor."""
        return not is_regressor(head)

    def split(self, validation_fraction, seed):
        """Return the places of labels to learn from, and of those to stop by."""
        n, n_held_out = len(self.values), _n_held_out(len(self.values), validation_fraction)
        for part, n_rows in (("to stop by", n_held_out), ("to learn from", n - n_held_out)):
            if n_rows < self.n_outputs:
                raise ValueError(
                    f"early_stopping=True with validation_fraction={validation_fraction} leaves "
                    f"{n_rows} of {n} labeled rows {part}, fewer than the {self.n_outputs} "
                    "classes. Use another validation_fraction, or early_stopping=False."
                )
        self._check_rarest(self.values, least=2, words="a single labeled row")
        kept, held_out = train_test_split(
            np.arange(n), test_size=n_held_out, random_state=seed, stratify=self.values
        )
        self._check_rarest(self.values[kept], least=1, words="no row left to learn from")
        return np.sort(kept), np.sort(held_out)

    def _check_rarest(self, values, least, words):
        counts = np.bincount(values, minlength=self.n_outputs)
        if counts.min() < least:
            label = self.classes[counts.argmin()]
            raise ValueError(
                "early_stopping=True needs labeled rows of each class for learning and others for "
                f"stopping; class {_shown(label)} has {words}. Label more rows of this class, or "
                "use early_stopping=False."
            )

    def linear_model(self, coef, intercept):
        """Return a LogisticRegression with these weights, for two classes with their difference."""
        if self.n_outputs == 2 and len(coef) == 2:
            coef, intercept = coef[1:] - coef[:1], intercept[1:] - intercept[:1]
        head = LogisticRegression()
        head.classes_ = self.classes
        return with_weights(head, coef, intercept)

    @staticmethod
    def layer_weights(coef, intercept):
        """Return the weights of a linear head for one output per class."""
        if len(coef) == 1:
            return np.concatenate([-coef, coef]) / 2, np.concatenate([-intercept, intercept]) / 2
        return coef, intercept

    def penalty_of(self, head, scale):
        """Return the penalty of the layer that starts from a head."""
        return self.penalty

    @staticmethod
    def lr_factor(coef, Z):
        """Return by what the default learning rate is multiplied after a probe."""
        return 1.0


class Numbers:
    """Numbers to predict: the networks learn them with mean 0 and standard deviation 1.

    Parameters and attributes are those of :class:`Classes`.
    """

    metric = staticmethod(r2_score)
    head_kind = "regressor"
    decision = "predict"
    linear_heads = "Ridge, Lasso or LinearSVR"
    delicate = True
    n_outputs = 1
    bias = 0.0
    penalty = 1.0

    def __init__(self, labels, weights, name):
        assert_all_finite(labels, input_name="y", estimator_name=name)
        self.facts = {}
        with np.errstate(over="ignore", invalid="ignore"):
            self.mean = np.average(labels, weights=weights)
            deviation = np.sqrt(np.average((labels - self.mean) ** 2, weights=weights))
        if not np.isfinite(deviation):
            raise ValueError(
                f"y holds numbers from {labels.min():g} to {labels.max():g}, whose squares are too "
                "large for float64. Divide y by a constant."
            )
        self.scale = deviation if deviation > 0 else 1.0
        self.values = ((labels - self.mean) / self.scale).astype(np.float32)

    @staticmethod
    def losses(outputs, values):
        return (outputs[:, 0] - values).square()

    @staticmethod
    def default_head():
        return RidgeCV(alphas=np.logspace(-2, 4, 13))

    @staticmethod
    def takes(head):
        """Return whether an estimator may be the head: whether it is not a classifier."""
        return not is_classifier(head)

    def split(self, validation_fraction, seed):
        """Return the places of labels to learn from, and of those to stop by."""
        return unstratified_split(len(self.values), validation_fraction, seed)

    def linear_model(self, coef, intercept):
        """Return a LinearRegression in the units of y."""
        return with_weights(
            LinearRegression(), coef[0] * self.scale, intercept[0] * self.scale + self.mean
        )

    def layer_weights(self, coef, intercept):
        """Return the weights of a linear head for standardized numbers."""
        return coef / self.scale, (intercept - self.mean) / self.scale

    def penalty_of(self, head, scale):
        """Return the penalty of the layer that starts from a head.

        Parameters
        ----------
        head : estimator
        scale : float
            The representation is divided by it for the layer, but was not for the head.
        """
        if isinstance(head, Ridge | RidgeCV):
            return np.max(head.alpha_ if isinstance(head, RidgeCV) else head.alpha) / scale**2
        return self.penalty

    @staticmethod
    def lr_factor(coef, Z):
        """Return by what the default learning rate is multiplied after a probe.

        A squared error is unbounded, unlike an error of a probability. If a probe reads directions
        that are narrow compared with the size of the representation, a change of the encoder moves
        the predictions by a multiple of that change, and the rate is divided by the multiple.

        Parameters
        ----------
        coef : ndarray of shape (1, width)
            Coefficients of the layer that predicts standardized numbers.
        Z : ndarray of shape (n, width)
            The representations.
        """
        moved = np.linalg.norm(coef) * np.sqrt(np.square(Z, dtype=np.float64).mean())
        return AFTER_A_PROBE / max(1.0, moved)


def unstratified_split(n, validation_fraction, seed):
    """Return the places of labels to learn from, and of those to stop by, drawn from n rows."""
    n_held_out = _n_held_out(n, validation_fraction)
    if n - n_held_out < 2:
        raise ValueError(
            f"early_stopping=True with validation_fraction={validation_fraction} leaves "
            f"{n - n_held_out} of {n} labeled rows to learn from; at least 2 are needed. Use a "
            "smaller validation_fraction, or early_stopping=False."
        )
    kept, held_out = train_test_split(np.arange(n), test_size=n_held_out, random_state=seed)
    return np.sort(kept), np.sort(held_out)


def _n_held_out(n, validation_fraction):
    """Return how many of n rows are held out: at least one."""
    return int(np.ceil(validation_fraction * n))


def _shown(label):
    return repr(label.item() if isinstance(label, np.generic) else label)


def with_weights(head, coef, intercept):
    """Return a head with these weights, as if it had been fitted."""
    head.coef_, head.intercept_ = coef, intercept
    head.n_features_in_ = coef.shape[-1]
    return head
