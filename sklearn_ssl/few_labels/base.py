"""What FineTuneClassifier and FineTuneRegressor share: everything except the kind of targets."""

import copy
import os
from collections.abc import Callable
from dataclasses import MISSING
from numbers import Integral, Real

import numpy as np
from sklearn.base import BaseEstimator, clone
from sklearn.exceptions import NotFittedError
from sklearn.frozen import FrozenEstimator
from sklearn.utils import check_consistent_length, column_or_1d, get_tags
from sklearn.utils.validation import check_is_fitted, has_fit_parameter

from sklearn_ssl._scaling import global_scaling
from sklearn_ssl._seeds import draw_seed
from sklearn_ssl._sklearn_compat import (
    HasMethods,
    Interval,
    StrOptions,
    _check_sample_weight,
    _fit_context,
    _num_samples,
    _safe_indexing,
)
from sklearn_ssl.base.estimator import BasePretrainer, of_one_fit
from sklearn_ssl.base.parameters import FieldParametersMixin, param
from sklearn_ssl.data.containers import opened
from sklearn_ssl.few_labels.fixmatch import FixMatchTuning
from sklearn_ssl.few_labels.label_weights import label_weights
from sklearn_ssl.few_labels.labels import (
    check_class_labels,
    check_prediction,
    label_array,
    label_indicators,
    labeled_rows,
    numbers_to_predict,
    plain_labels,
)
from sklearn_ssl.few_labels.linear_heads import linear_weights
from sklearn_ssl.few_labels.tuning import FineTuning, Start
from sklearn_ssl.training.checkpoints import Checkpoint, as_checkpoint, locked_folder
from sklearn_ssl.training.distributed import of_first, shared_fit
from sklearn_ssl.training.estimator_callbacks import CallbacksParameterMixin
from sklearn_ssl.training.identity import parameters_of

N_SCALED = 500  # rows that determine the scale of the representation


class BaseFineTuner(CallbacksParameterMixin, FieldParametersMixin, BaseEstimator):
    """What the classifier and the regressor share: everything except the kind of targets.

    Parameters
    ----------
    transformer : estimator of this package, or FrozenEstimator of one
        Fitted or not.
    augment : "auto", callable or None, default=None
        How to change labeled rows; changed and unchanged rows are both in the batch. "auto" means
        the transformer's own augmentation, or else that of the kind of data: see
        :doc:`/augmentation`. It pays off for images, many epochs and hundreds of labels, and
        doubles the time. "auto" leaves videos unchanged, and texts if the transformer compares no
        views.
    max_epochs : int, default=None
        Number of passes over the labeled rows in the full training. None means 30, or fewer, down
        to 5, if that would be more than 2,000 steps. With 0 nothing is trained: "full" keeps a head
        of zeros, and "probe-then-full" its probe.
    batch_size : int, default=64
        Largest number of rows in a step.
    lr : float, default=None
        Peak learning rate, that of the linear layer. None means 1e-3, or 2e-4 for a pretrained
        model (`pretrained` of text estimators), which has more to lose.
    layer_decay : float, default=0.75
        Factor of the learning rate of each layer relative to the next one: the first layers hold
        what is common to all tasks.
    weight_decay : float, default=0.01
        Weight decay of kernels and matrices.
    early_stopping : bool, default=False
        Whether to hold out some of the labeled rows, stop when their loss no longer improves, and
        keep the weights of the best epoch. The probe does not see these rows and is one of the
        candidates: if no epoch is better, it is kept, and fitted on all labels. Ten labels are too
        few for early stopping. The strategy "probe" has no epochs, and holds nothing out.
    validation_fraction : float, default=0.2
        Fraction of the labeled rows to hold out.
    n_iter_no_change : int, default=10
        Epochs without improvement before early stopping ends the training.
    callbacks : list, default=None
        skorch callbacks of the full training. The transformer has its own callbacks.
    checkpoint : str, path or Checkpoint, default=None
        Folder in which ``fit`` saves its state every ten minutes, and when Ctrl-C or SIGTERM ends
        it. If it was killed, the same call continues from there; so does the pretraining of an
        unfitted transformer, unless that has a folder of its own. Each fit needs its own folder. A
        :class:`~sklearn_ssl.Checkpoint` sets the interval; see :doc:`/long_fits`.
    verbose : int, default=0
        If at least 1, a progress bar is shown.
    random_state : int, RandomState instance or None, default=None
        Seed of the order of the rows and of their changes in the full training. The transformer has
        its own seed.

    Attributes
    ----------
    transformer_ : estimator
        The fitted transformer, with the fine-tuned encoder.
    history_ : dict of str to list of float
        History of the full training, as in :class:`~sklearn_ssl.BaseSSLTransformer`.
    n_iter_ : int
        Number of epochs of the full training.
    n_features_in_ : int
        The same as in the transformer.
    feature_names_in_ : ndarray of shape (`n_features_in_`,)
        The same as in the transformer.
    """

    transformer: BasePretrainer = param(MISSING, HasMethods(["fit", "transform"]), kw_only=False)
    strategy: str = param("probe", StrOptions({"probe", "full", "probe-then-full"}))
    head: BaseEstimator | None = param(None, HasMethods(["fit", "predict"]), None)
    augment: Callable | list | str | None = param(
        None, StrOptions({"auto"}), callable, list, tuple, None
    )
    max_epochs: int | None = param(None, Interval(Integral, 0, None, closed="left"), None)
    batch_size: int = param(64, Interval(Integral, 1, None, closed="left"))
    lr: float | None = param(None, Interval(Real, 0, None, closed="neither"), None)
    layer_decay: float = param(0.75, Interval(Real, 0, 1, closed="right"))
    weight_decay: float = param(0.01, Interval(Real, 0, None, closed="left"))
    early_stopping: bool = param(False, "boolean")
    validation_fraction: float = param(0.2, Interval(Real, 0, 1, closed="neither"))
    n_iter_no_change: int = param(10, Interval(Integral, 1, None, closed="left"))
    callbacks: list | None = param(None, list, tuple, None)
    checkpoint: str | os.PathLike | Checkpoint | None = param(
        None, str, os.PathLike, Checkpoint, None
    )
    verbose: int = param(0, "verbose")
    random_state: int | np.random.RandomState | None = param(None, "random_state")

    _Targets = None  # what y holds, if it is one column
    _regression = False

    # Fitting ----------------------------------------------------------------------------------

    @_fit_context(prefer_skip_nested_validation=False)
    def fit(self, X, y, sample_weight=None, *, X_unlabeled=None):
        """Pretrain on all rows, if the transformer is not fitted yet, and learn from the labels.

        A fit that fails or is interrupted leaves the estimator as it was.

        Parameters
        ----------
        X : array-like
            Rows as accepted by the transformer, with and without labels.
        y : array-like of shape (n,), or (n, n_labels) for a classifier
            Their labels. None and NaN mean that a row has no label; for a classifier, so does -1.
            Several columns, also of a sparse matrix, say with 0 and 1 which labels a row has. A row
            has all of its labels or none: then all columns are marked.
        sample_weight : array-like of shape (n,), default=None
            Weights of the labels. Pretraining ignores them. A label with weight 0 is left out. They
            are divided by their mean over all labels, except for a `head` that you pass, which gets
            them as they are.
        X_unlabeled : array-like, default=None
            More rows to pretrain on, and to learn from by FixMatch. Otherwise, with a fitted
            transformer, they are only used to determine the scale of the representation. They are
            passed by metadata routing as in the transformers, after
            ``set_fit_request(X_unlabeled=True)``.

        Returns
        -------
        self : estimator

        Raises
        ------
        ValueError
            If no row has a label, if a row has labels in only some columns, if several columns
            hold anything but 0 and 1, or if the parameters do not fit together or to y.
        TypeError
            If `transformer` is not one of this package.
        """
        prefit = self._check_parameters()
        X = _as_rows(X)
        X_unlabeled = None if X_unlabeled is None else _as_rows(X_unlabeled)
        places, labels = self._labeled(X, y)
        class_weight = getattr(self, "class_weight", None)
        places, labels, weights = label_weights(X, places, labels, sample_weight, class_weight)
        if weights is not None and self.head is None:  # the user's own head may need the sum
            weights = weights / weights.mean()
        if not self._regression:
            check_class_labels(y, labels, type(self).__name__)
        Targets = self._kind_of(labels)
        self._check_head(Targets)
        targets = Targets(labels, weights, type(self).__name__)
        labeled = places, labels, weights, targets
        with shared_fit(), locked_folder(self._part_of_checkpoint("fine-tuning")) as checkpoints:
            fitted = self._fitted(prefit, X, X_unlabeled, labeled, checkpoints)
        vars(self).update(fitted)
        return self

    def _fitted(self, prefit, X, X_unlabeled, labeled, checkpoints):
        """Pretrain and learn from the labels; return the fitted attributes."""
        places, labels, weights, targets = labeled
        seed = draw_seed(self.random_state)
        if checkpoints is not None:
            seed = checkpoints.begin(parameters_of(self), seed)
        seed = of_first(seed)
        kept = self._kept(targets, seed)
        transformer = self._pretrained(prefit, X, X_unlabeled)
        scaling = _scaling(transformer, [X] if X_unlabeled is None else [X, X_unlabeled])
        rows = transformer._decoded(_safe_indexing(X, places))
        head, history = None, {"train_loss": []}
        if self.strategy != "full":
            Z = transformer.transform(rows)
            head = self._probe(Z, labels, weights, kept, scaling)
        if self.strategy != "probe":
            start = None if head is None else self._start(head, Z[kept], targets, scaling)
            tuning = FineTuning(self, transformer, targets, scaling, start, seed, checkpoints)
            if self.strategy == "fixmatch":
                others, _ = transformer._read(X, X_unlabeled, transformer.input_spec_, reset=False)
                tuning = FixMatchTuning(**vars(tuning), rows=others)
            tuned, history = tuning.run(rows, weights, kept)
            if tuned is None:  # the probe was better
                tuned = self._probe(Z, labels, weights, slice(None), scaling)
            head = tuned
            targets.facts |= tuning.facts
        return {
            "transformer_": transformer,
            "head_": head,
            "history_": history,
            "n_iter_": len(history["train_loss"]),
            **targets.facts,
        }

    def _check_parameters(self):
        """Return the transformer if it is a fitted one, and None otherwise."""
        name = type(self).__name__
        frozen = isinstance(self.transformer, FrozenEstimator)
        transformer = self.transformer.estimator if frozen else self.transformer
        if not isinstance(transformer, BasePretrainer):
            raise TypeError(
                f"{name} needs a transformer of sklearn_ssl, such as SimCLRTransformer(); got "
                f"{type(transformer).__name__}. For other transformers, use a Pipeline."
            )
        if self.strategy == "full" and self.head is not None:
            raise ValueError(
                f'strategy="full" trains a linear layer and does not use head={self.head}. Use '
                'strategy="probe" or "probe-then-full", or leave head out.'
            )
        try:
            check_is_fitted(transformer)
        except NotFittedError:
            if frozen:
                raise
            return None
        return transformer

    def _labeled(self, X, y):
        """Return the places of the rows that have a label, and these labels."""
        name = type(self).__name__
        if y is None:
            raise ValueError(f"{name} requires y to be passed, but the target y is None.")
        y = label_array(y)
        if self._regression or y.ndim != 2 or y.shape[1] < 2:
            y = column_or_1d(y, warn=True)
        check_consistent_length(X, y)
        places = labeled_rows(y, regression=self._regression)
        labels = plain_labels(y[places])
        if labels.ndim == 2:
            return places, label_indicators(labels, name)
        return places, numbers_to_predict(labels, name) if self._regression else labels

    def _kind_of(self, labels):
        """Return what y holds, by its labels."""
        return self._Targets

    def _check_head(self, Targets):
        if self.head is not None and not Targets.takes(self.head):
            raise ValueError(
                f"The head of a {type(self).__name__} is a {Targets.head_kind}; got {self.head}."
            )

    def _kept(self, targets, seed):
        """Return the places of the labels to learn from; early stopping uses the others."""
        if not self.early_stopping or self.strategy == "probe":
            return np.arange(len(targets.values))
        kept, _ = targets.split(self.validation_fraction, seed)
        return kept

    def _pretrained(self, prefit, X, X_unlabeled):
        """Return a copy of the fitted transformer, or a new one that has seen all rows."""
        if prefit is not None:
            return copy.deepcopy(prefit)
        transformer = clone(self.transformer)
        own = transformer.checkpoint
        transformer.checkpoint = own or self._part_of_checkpoint("pretraining")
        transformer.fit(X, X_unlabeled=X_unlabeled)
        transformer.checkpoint = own
        return transformer

    def _part_of_checkpoint(self, name):
        checkpoint = as_checkpoint(self.checkpoint)
        return None if checkpoint is None else checkpoint.part(name)

    def _probe(self, Z, labels, weights, rows, scaling):
        """Fit the head on frozen representations of the given rows."""
        weighted = {} if weights is None else {"sample_weight": weights[rows]}
        Z, labels = Z[rows], labels[rows]
        if self.head is None:
            mean, scale = scaling
            with np.errstate(invalid="ignore"):  # a single number leaves RidgeCV no choice
                head = self._kind_of(labels).default_head()
                head.fit((Z - mean) / scale, labels, **weighted)
            head.coef_ = head.coef_ / scale
            head.intercept_ = head.intercept_ - head.coef_ @ mean
            return head
        if weighted and not has_fit_parameter(self.head, "sample_weight"):
            raise ValueError(
                f"head={self.head} takes no sample_weight. Leave sample_weight and class_weight "
                "out, or use another head."
            )
        return clone(self.head).fit(Z, labels, **weighted)

    def _start(self, head, Z, targets, scaling):
        """Return what the training needs from a probe that was fitted on representations."""
        weights = linear_weights(head, Z)
        if weights is None:
            raise ValueError(
                f'strategy="{self.strategy}" starts from a linear head, one whose '
                f"{targets.decision} is X @ coef_.T + intercept_; that of head={self.head} is not. "
                f'Use strategy="probe" for it, or another head: {targets.linear_heads}.'
            )
        fitted_on = 1.0 if self.head is None else scaling[1]
        coef, intercept = targets.layer_weights(*weights)
        penalty, lr_factor = targets.penalty_of(head, fitted_on), targets.lr_factor(coef, Z)
        return Start(coef, intercept, penalty, lr_factor)

    # After fitting ----------------------------------------------------------------------------

    @of_one_fit
    def predict(self, X):
        """Predict with the head.

        Parameters
        ----------
        X : array-like
            Rows as in ``fit``.

        Returns
        -------
        y : ndarray of shape (n,), or (n, n_labels) after a fit of several labels per row
        """
        Z = self._represent(X)
        return self.head_.predict(Z)

    def score(self, X, y, sample_weight=None):
        """Return the accuracy, or the R² of a regressor, on the rows that have a label.

        For several labels per row, the accuracy is the share of rows with all labels right, as
        everywhere in scikit-learn.

        Parameters
        ----------
        X : array-like
            Rows as in ``fit``.
        y : array-like of shape (n,), or (n, n_labels) for a classifier
            Their labels; rows without a label are left out.
        sample_weight : array-like of shape (n,), default=None

        Returns
        -------
        score : float
        """
        X = _as_rows(X)
        rows, y = self._labeled(X, y)
        if sample_weight is not None:
            sample_weight = _check_sample_weight(sample_weight, X)[rows]
        predictions = self.predict(_safe_indexing(X, rows))
        return self._Targets.metric(y, predictions, sample_weight=sample_weight)

    def _represent(self, X):
        if not self._regression:
            check_prediction(type(self).__name__)
        return self.transformer_.transform(X)

    @property
    def n_features_in_(self):
        """Length of the second axis of X, see :class:`~sklearn_ssl.BaseSSLTransformer`."""
        return self._of_transformer("n_features_in_")

    @property
    def feature_names_in_(self):
        """Names of the columns of X, if it has names."""
        return self._of_transformer("feature_names_in_")

    def _of_transformer(self, name):
        if "transformer_" not in vars(self):
            raise AttributeError(f"{type(self).__name__} has no {name}: it is not fitted.")
        return getattr(self.transformer_, name)

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.input_tags = get_tags(self.transformer).input_tags
        tags.target_tags.required = True
        return tags


def _as_rows(X):
    """Return something that can be indexed: X itself, an array of an array-like, or a list."""
    X = opened(X)
    if hasattr(X, "__len__") or hasattr(X, "shape"):
        return X
    return np.asarray(X) if hasattr(X, "__array__") else list(X)


def _scaling(transformer, blocks):
    """Return mean and scale of the representation, over at most N_SCALED rows of each block."""
    Z = [
        transformer.transform(_safe_indexing(X, _evenly(_num_samples(X), N_SCALED))) for X in blocks
    ]
    return global_scaling(np.concatenate(Z).astype(np.float64))


def _evenly(n, most):
    """Return the places of at most `most` of n rows, evenly spaced."""
    return np.linspace(0, n - 1, min(n, most)).astype(np.intp)


def head_has(name):
    """Return a check that the head of an estimator has a method: the fitted head, if any."""

    def check(estimator):
        head = getattr(estimator, "head_", estimator.head)
        return head is None or hasattr(head, name)

    return check
