"""Callbacks that watch a pretraining, for the parameter ``callbacks`` of every estimator."""

import math
from contextlib import contextmanager
from numbers import Integral

import numpy as np
from sklearn.metrics import accuracy_score, r2_score
from sklearn.neighbors import NearestNeighbors
from sklearn.utils import check_consistent_length, check_scalar, column_or_1d
from skorch.callbacks import Callback

from sklearn_ssl._sklearn_compat import _safe_indexing
from sklearn_ssl.data.containers import opened
from sklearn_ssl.few_labels.labels import (
    check_own_labels,
    holds_fractions,
    label_array,
    labeled_rows,
    numbers_to_predict,
    plain_labels,
)
from sklearn_ssl.few_labels.targets import Classes
from sklearn_ssl.training.calibration import calibrate_batch_norms
from sklearn_ssl.training.inference import fixed_views, modes_kept, twin

__all__ = ["KNNProbe"]

SEED = 0  # of the choice of rows
FEWEST, MOST = 100, 1000  # rows that are used by default, if as many have a label


class KNNProbe(Callback):
    """Record after each epoch how well nearest neighbors predict labels from the representation.

    The labeled rows are embedded, and the label of each is predicted from its nearest neighbors
    among the others, by cosine: leave-one-out, so no row is lost to a test set. ``history_`` gets
    the accuracy, ``"knn_accuracy"``, or R² for numbers, ``"knn_r2"``. This is the kNN monitor of
    [1]_ and [2]_.

    The training does not see the labels. It ends with exactly the same weights as without the
    callback.

    Parameters
    ----------
    X : array-like, DataFrame or list of str
        Rows as the estimator accepts them, which may be among those that it is fitted on. In a
        Pipeline, they must have passed through the steps before the estimator.
    y : array-like of shape (n,)
        Labels. Rows with -1, None or NaN have no label and are left out; -1 is an ordinary number
        if `regression` is True.
    regression : bool, default=False
        Whether y holds numbers to predict, rather than classes.
    n_neighbors : int, default=5
        Neighbors that vote, or whose mean is the prediction. Use fewer if a class has fewer labels
        than that.
    max_rows : int, default=None
        Most labeled rows that are used; of more, so many are drawn once. None means a tenth of the
        number of rows in the fit, but 100 to 1,000, so that the probe takes a few percent of the
        time. By chance, accuracies vary by up to 5 points with 100 rows, and 1.6 with 1,000; all
        epochs of a fit use the same rows, so their differences vary less.

    Attributes
    ----------
    initial_score_ : float
        The score before the first epoch, which training has to improve. It is that of the untrained
        encoder, unless the weights are pretrained or ``warm_start`` continues a fit. Batch
        normalizations first get the statistics of a sample of the training rows, as in a fit with
        ``max_epochs=0``.
    rows_ : ndarray of int of shape (n_used,)
        The places in X of the rows that are used.
    targets_ : ndarray of shape (n_used,)
        Their labels; those of classes are numbered.

    Raises
    ------
    ValueError
        When a fit begins: if X does not match the rows of the fit, or if there are too few labels.

    Notes
    -----
    A saved estimator contains its callbacks, and so these rows, once. To save it without them, call
    ``estimator.set_params(callbacks=None)`` before.

    References
    ----------
    .. [1] Z. Wu, Y. Xiong, S. X. Yu, D. Lin, "Unsupervised Feature Learning via Non-Parametric
       Instance Discrimination", CVPR 2018, https://arxiv.org/abs/1805.01978
    .. [2] X. Chen, K. He, "Exploring Simple Siamese Representation Learning", CVPR 2021,
       https://arxiv.org/abs/2011.10566

    Examples
    --------
    >>> from sklearn.datasets import load_digits
    >>> from sklearn_ssl import SimCLRTransformer
    >>> from sklearn_ssl.callbacks import KNNProbe
    >>> X, y = load_digits(return_X_y=True)
    >>> probe = KNNProbe(X[:200], y[:200])
    >>> ssl = SimCLRTransformer(
    ...     image_shape=(8, 8), max_epochs=2, random_state=0, callbacks=[probe]
    ... )
    >>> ssl = ssl.fit(X)
    >>> [accuracy > 0.5 for accuracy in (probe.initial_score_, *ssl.history_["knn_accuracy"])]
    [True, True, True]
    """

    def __init__(self, X, y, *, regression=False, n_neighbors=5, max_rows=None):
        self.X = X
        self.y = y
        self.regression = regression
        self.n_neighbors = n_neighbors
        self.max_rows = max_rows

    @property
    def column(self):
        """Name of the score in ``history_``."""
        return "knn_r2" if self.regression else "knn_accuracy"

    def on_train_begin(self, net, X, **kwargs):
        if net.embed is None:
            raise TypeError(
                "KNNProbe watches a pretraining: pass it to the transformer, as in "
                "SimCLRTransformer(callbacks=[...]), not to the estimator that fine-tunes it."
            )
        with _named_errors():
            self.rows_, self.targets_ = self._labeled(len(X))
        if net.n_steps_done == 0:  # not in a later call of partial_fit
            self.initial_score_ = self._score(net, _calibrated(net, X))

    def on_epoch_end(self, net, **kwargs):
        with modes_kept(net.module_):
            net.history.record(self.column, self._score(net, net.module_))

    def _labeled(self, n_training):
        """Return the places of the rows to use, and their labels as numbers."""
        max_rows = self.max_rows
        if max_rows is None:
            max_rows = min(max(n_training // 10, FEWEST), MOST)
        check_scalar(self.n_neighbors, "n_neighbors", Integral, min_val=1)
        check_scalar(max_rows, "max_rows", Integral, min_val=2)
        y = column_or_1d(label_array(self.y), warn=True)
        check_consistent_length(opened(self.X), y)
        rows = labeled_rows(y, regression=self.regression)
        labels = plain_labels(y[rows])
        if self.regression:
            targets = numbers_to_predict(labels, "it")
        elif holds_fractions(y):
            raise ValueError("y holds fractions, which are no classes: set regression=True.")
        else:
            check_own_labels(y, labels, "it")
            targets = Classes(labels, None, "it").values
        if len(rows) > max_rows:
            drawn = np.random.default_rng(SEED).choice(len(rows), max_rows, replace=False)
            drawn.sort()
            rows, targets = rows[drawn], targets[drawn]
        if len(rows) <= self.n_neighbors:
            raise ValueError(
                f"n_neighbors={self.n_neighbors} neighbors are needed for each row, but there are "
                f"only {len(rows)} rows with a label. Use fewer neighbors, or label more rows."
            )
        return rows, targets

    def _score(self, net, task):
        with _named_errors(), fixed_views(task, net.device):  # a user's encoder may draw
            Z = net.embed(task, _safe_indexing(opened(self.X), self.rows_))
        if not np.isfinite(Z).all():  # the fit will fail, and say why
            return math.nan
        search = NearestNeighbors(n_neighbors=self.n_neighbors, metric="cosine").fit(Z)
        targets = self.targets_[search.kneighbors(return_distance=False)]  # [n, n_neighbors]
        if self.regression:
            return r2_score(self.targets_, targets.mean(axis=1))
        votes = np.eye(self.targets_.max() + 1)[targets].sum(axis=1)  # [n, n_classes]
        return accuracy_score(self.targets_, votes.argmax(axis=1))


def _calibrated(net, rows):
    """Return the task before it is trained, with batch normalizations that suit the rows."""
    task = twin(net.module_)
    calibrate_batch_norms(
        task,
        rows,
        net.spec,
        batch_size=net.batch_size,
        device=net.device,
        random_state=net.plan.seed,
    )
    return task


@contextmanager
def _named_errors():
    """Say in errors whose rows are at fault: not those of the fit."""
    try:
        yield
    except (TypeError, ValueError) as error:
        raise ValueError(f"KNNProbe cannot use its rows: {error}") from error
