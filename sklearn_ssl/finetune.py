"""The few-label step: a pretrained encoder and a head, as a classifier or a regressor.

::

    h = transformer.fit(all rows)                    # the mountain, no label is looked at
    head = LogisticRegression().fit(h(x), y)         # "probe": the molehill, encoder frozen
    for each batch of labelled rows x, y:            # "full": encoder and linear layer
        loss = cross_entropy(linear(h(augment(x))), y)

"probe-then-full" starts the second from the first (LP-FT: Kumar et al., 2022,
https://arxiv.org/abs/2202.10054): a linear layer that starts at random would first of all distort
the representation.
"""

import copy
from numbers import Integral, Real

import numpy as np
import torch
from sklearn.base import BaseEstimator, ClassifierMixin, RegressorMixin, _fit_context, clone
from sklearn.exceptions import NotFittedError
from sklearn.frozen import FrozenEstimator
from sklearn.model_selection import train_test_split
from sklearn.utils import (
    _safe_indexing,
    check_consistent_length,
    check_random_state,
    column_or_1d,
    compute_sample_weight,
    get_tags,
)
from sklearn.utils._param_validation import HasMethods, Interval, StrOptions
from sklearn.utils.metaestimators import available_if
from sklearn.utils.validation import (
    _check_sample_weight,
    _num_samples,
    check_is_fitted,
    has_fit_parameter,
)

from sklearn_ssl import defaults
from sklearn_ssl._base import BaseSSLTransformer
from sklearn_ssl._containers import opened
from sklearn_ssl._fine_tune_task import (
    Classes,
    FineTuneTask,
    LabeledRows,
    LabeledSpec,
    LinearHead,
    Numbers,
)
from sklearn_ssl._inputs import RowSubset
from sklearn_ssl._labels import check_minus_one, label_array, labeled_rows, plain_labels
from sklearn_ssl._net import train
from sklearn_ssl._parameters import NamedParametersMixin
from sklearn_ssl._runtime import resolve_precision, seeded_global_stream, torch_settings
from sklearn_ssl.augment import resolve_augmentation

N_SCALED = 500  # rows from which the scale of the representation is taken
UNCHANGED = ("text", "video")  # kinds of data without an augmentation


class BaseFineTuner(NamedParametersMixin, BaseEstimator):
    """What the classifier and the regressor share: all but the kind of targets."""

    _parameter_constraints = {
        "transformer": [HasMethods(["fit", "transform"])],
        "strategy": [StrOptions({"probe", "full", "probe-then-full"})],
        "head": [HasMethods(["fit", "predict"]), None],
        "augment": [StrOptions({"auto"}), callable, None],
        "max_epochs": [Interval(Integral, 1, None, closed="left"), None],
        "batch_size": [Interval(Integral, 1, None, closed="left")],
        "lr": [Interval(Real, 0, None, closed="neither"), None],
        "layer_decay": [Interval(Real, 0, 1, closed="right")],
        "weight_decay": [Interval(Real, 0, None, closed="left")],
        "early_stopping": ["boolean"],
        "validation_fraction": [Interval(Real, 0, 1, closed="neither")],
        "n_iter_no_change": [Interval(Integral, 1, None, closed="left")],
        "verbose": ["verbose"],
        "random_state": ["random_state"],
    }

    _Targets = None  # what y holds
    _regression = False

    def __init__(
        self,
        transformer,
        *,
        strategy="probe-then-full",
        head=None,
        augment=None,
        max_epochs=None,
        batch_size=64,
        lr=None,
        layer_decay=0.75,
        weight_decay=0.01,
        early_stopping=False,
        validation_fraction=0.2,
        n_iter_no_change=10,
        verbose=0,
        random_state=None,
    ):
        self.transformer = transformer
        self.strategy = strategy
        self.head = head
        self.augment = augment
        self.max_epochs = max_epochs
        self.batch_size = batch_size
        self.lr = lr
        self.layer_decay = layer_decay
        self.weight_decay = weight_decay
        self.early_stopping = early_stopping
        self.validation_fraction = validation_fraction
        self.n_iter_no_change = n_iter_no_change
        self.verbose = verbose
        self.random_state = random_state

    # Fitting ----------------------------------------------------------------------------------

    @_fit_context(prefer_skip_nested_validation=False)
    def fit(self, X, y, sample_weight=None, *, X_unlabeled=None):
        """Pretrain on all rows, if the transformer is not fitted yet, and learn from the labels.

        A fit that fails or is interrupted leaves the estimator as it was.

        Parameters
        ----------
        X : array-like
            Rows as the transformer takes them, with and without labels.
        y : array-like of shape (n,)
            Their labels. None and NaN mean that a row has none; in a classifier, so does -1.
        sample_weight : array-like of shape (n,), default=None
            Weights of the labels. Pretraining takes no notice of them.
        X_unlabeled : array-like, default=None
            More rows to pretrain on. With a fitted transformer, they only help to tell the scale of
            the representation. They arrive by metadata routing as in the transformers, after
            ``set_fit_request(X_unlabeled=True)``.

        Returns
        -------
        self : estimator

        Raises
        ------
        ValueError
            If no row has a label, or if the parameters do not go together.
        TypeError
            If `transformer` is not one of this package.
        """
        prefit = self._check_parameters()
        X = _as_rows(X)
        all_labels = y
        places, y = self._labeled(X, y)
        if not self._regression:
            check_minus_one(all_labels, y, type(self).__name__)
        weights = self._weights(X, y, places, sample_weight)
        targets = self._Targets(y, weights, type(self).__name__)

        transformer = self._pretrained(prefit, X, X_unlabeled)
        scaling = _scaling(transformer, [X] if X_unlabeled is None else [X, X_unlabeled])
        X = _safe_indexing(X, places)
        head, history = None, {"train_loss": []}
        if self.strategy != "full":
            head = self._probe(transformer.transform(X), y, targets, weights, scaling)
        if self.strategy != "probe":
            head, history = self._tune(transformer, head, X, targets, weights, scaling)
        vars(self).update(
            transformer_=transformer,
            head_=head,
            history_=history,
            n_iter_=len(history["train_loss"]),
            **targets.facts,
        )
        return self

    def _check_parameters(self):
        """Return the transformer if it is a fitted one, and None otherwise."""
        name = type(self).__name__
        frozen = isinstance(self.transformer, FrozenEstimator)
        transformer = self.transformer.estimator if frozen else self.transformer
        if not isinstance(transformer, BaseSSLTransformer):
            raise TypeError(
                f"{name} trains on a transformer of sklearn_ssl, SimCLRTransformer() say; got "
                f"{type(transformer).__name__}. For others, use a Pipeline."
            )
        if self.strategy == "full" and self.head is not None:
            raise ValueError(
                f'strategy="full" trains a linear layer, and head={self.head} has no part in it. '
                'Use strategy="probe" or "probe-then-full", or leave head out.'
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
        y = column_or_1d(label_array(y), warn=True)
        check_consistent_length(X, y)
        places = labeled_rows(y, regression=self._regression)
        return places, plain_labels(y[places])

    def _weights(self, X, y, places, sample_weight):
        """Return the weights of the labels, or None if all are equal."""
        class_weight = getattr(self, "class_weight", None)
        if sample_weight is None and class_weight is None:
            return None
        weights = np.ones(len(y))
        if sample_weight is not None:
            weights = _check_sample_weight(sample_weight, X, ensure_non_negative=True)[places]
        if class_weight is not None:
            weights = weights * compute_sample_weight(class_weight, y)
        return weights

    def _pretrained(self, prefit, X, X_unlabeled):
        """Return a copy of the fitted transformer, or a new one that has seen all rows."""
        if prefit is not None:
            return copy.deepcopy(prefit)
        return clone(self.transformer).fit(X, X_unlabeled=X_unlabeled)

    def _probe(self, Z, y, targets, weights, scaling):
        """Fit the head on frozen representations."""
        weighted = {} if weights is None else {"sample_weight": weights}
        if self.head is None:
            mean, scale = scaling
            head = targets.default_head().fit((Z - mean) / scale, y, **weighted)
            head.coef_ = head.coef_ / scale
            head.intercept_ = head.intercept_ - head.coef_ @ mean
            return head
        if weighted and not has_fit_parameter(self.head, "sample_weight"):
            raise ValueError(
                f"head={self.head} takes no sample_weight. Leave sample_weight and class_weight "
                "out, or use another head."
            )
        head = clone(self.head).fit(Z, y, **weighted)
        if self.strategy == "probe-then-full" and not hasattr(head, "coef_"):
            raise ValueError(
                'strategy="probe-then-full" starts from a linear head, one with coef_ and '
                f'intercept_; got head={self.head}. Use strategy="probe" for it.'
            )
        return head

    @torch_settings()
    def _tune(self, transformer, head, X, targets, weights, scaling):
        """Train the encoder of the transformer, in place, and a linear layer on it."""
        seed = int(check_random_state(self.random_state).randint(np.iinfo(np.int32).max))
        device = transformer._task_device()
        with seeded_global_stream(seed):
            layer = LinearHead(*scaling, targets.n_outputs)
        if head is not None:
            layer.start_from(*targets.layer_weights(head))
        augment = self._augmentation(transformer)
        pretext = transformer.task_
        rows, owners, shares = transformer._rows_of(X)
        weights = shares if weights is None else weights[owners] * shares
        rows = LabeledRows(rows, targets.values[owners], weights.astype(np.float32))
        penalty = targets.penalty / weights.sum()
        task = FineTuneTask(pretext, layer, targets.losses, penalty, augment, self.layer_decay)
        task.to(device)
        kept, held_out = self._hold_out(rows, owners, targets, seed)
        n_epochs = self.max_epochs or defaults.fine_tuning_epochs(len(kept), self.batch_size)
        with torch_settings():
            history, _ = train(
                task,
                kept,
                spec=LabeledSpec(transformer.input_spec_),
                device=device,
                random_state=seed,
                n_epochs=n_epochs,
                planned_epochs=n_epochs,
                batch_size=self.batch_size,
                optimizer=torch.optim.AdamW,
                lr=self.lr or transformer._fine_tuning_lr(),
                weight_decay=self.weight_decay,
                autocast_dtype=resolve_precision(transformer.precision, device),
                valid_rows=held_out,
                patience=self.n_iter_no_change if self.early_stopping else None,
                progress_name=type(self).__name__ if self.verbose else None,
            )
        pretext.eval()
        return targets.linear_model(*layer.weights()), history

    def _augmentation(self, transformer):
        """Return the function that changes labelled rows: by default, that of the pretraining."""
        spec = transformer.input_spec_
        if self.augment is None or (self.augment == "auto" and spec.modality in UNCHANGED):
            return None
        own = getattr(transformer, "augment", None)
        return resolve_augmentation(own if self.augment == "auto" else self.augment, spec)

    def _hold_out(self, rows, owners, targets, seed):
        """Return the rows to train on, and those to stop by or None."""
        if not self.early_stopping:
            return rows, None
        kept, _ = train_test_split(
            np.arange(len(targets.values)),
            test_size=self.validation_fraction,
            random_state=seed,
            stratify=None if self._regression else targets.values,
        )
        is_kept = np.isin(owners, kept)
        return tuple(RowSubset(rows, np.flatnonzero(some)) for some in (is_kept, ~is_kept))

    # After fitting ----------------------------------------------------------------------------

    def predict(self, X):
        """Return what the head says of each row.

        Parameters
        ----------
        X : array-like
            Rows as in ``fit``.

        Returns
        -------
        y : ndarray of shape (n,)
        """
        Z = self._represent(X)
        return self.head_.predict(Z)

    def _to_score(self, X, y, sample_weight):
        """Return the rows that have a label, their labels and weights."""
        X = _as_rows(X)
        places, y = self._labeled(X, y)
        if sample_weight is not None:
            sample_weight = _check_sample_weight(sample_weight, X)[places]
        return _safe_indexing(X, places), y, sample_weight

    def _represent(self, X):
        check_is_fitted(self)
        return self.transformer_.transform(X)

    @property
    def n_features_in_(self):
        """Length of the second axis of X, see :class:`~sklearn_ssl.BaseSSLTransformer`."""
        return self._of_transformer("n_features_in_")

    @property
    def feature_names_in_(self):
        """Names of the columns of X, if it had some."""
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
    """Return what can be indexed: X itself, an array of what only promises to be one, or a list."""
    X = opened(X)
    if hasattr(X, "__len__") or hasattr(X, "shape"):
        return X
    return np.asarray(X) if hasattr(X, "__array__") else list(X)


def _scaling(transformer, blocks):
    """Return mean and scale of the representation, over at most N_SCALED rows of each block.

    One factor for all columns: among a few hundred rows, a column may be nearly constant.
    """
    Z = [
        transformer.transform(_safe_indexing(X, _evenly(_num_samples(X), N_SCALED))) for X in blocks
    ]
    Z = np.concatenate(Z).astype(np.float64)
    scale = np.sqrt(Z.var(axis=0).mean())
    return Z.mean(axis=0), float(scale) if scale > 0 else 1.0


def _evenly(n, most):
    """Return the places of at most `most` of n rows, evenly spaced."""
    return np.linspace(0, n - 1, min(n, most)).astype(np.intp)


def _head_has(name):
    """Say of an estimator whether its head, the fitted one if there is one, has a method."""

    def check(estimator):
        head = getattr(estimator, "head_", estimator.head)
        return head is None or hasattr(head, name)

    return check


class FineTuneClassifier(ClassifierMixin, BaseFineTuner):
    """Classifier with few labels: a pretrained encoder and a head.

    Rows without a label, marked by -1, None or NaN, count: an unfitted transformer is pretrained on
    all rows, and then the labelled ones teach a classifier. A fitted transformer is copied, and
    never changed; inside cross-validation and searches, which clone what they are given, wrap it in
    :class:`sklearn.frozen.FrozenEstimator`.

    Parameters
    ----------
    transformer : estimator of this package, or FrozenEstimator of one
        Fitted or not.
    strategy : {"probe-then-full", "full", "probe"}, default="probe-then-full"
        "probe" fits `head` on the frozen representation. "full" trains the whole encoder and a
        linear layer on it. "probe-then-full" does both: the linear layer starts from the probe,
        and does not distort the representation before it knows anything [1]_. With less than ten
        labels a class of images, "probe" is the safest; for texts, "full" was the best.
    head : estimator, default=None
        For the probe, any scikit-learn classifier; it is given what ``transform`` returns. None is
        LogisticRegression, on representations that are centred and divided by one factor for all
        columns. For "probe-then-full" it must be linear.
    class_weight : dict, "balanced" or None, default=None
        Weights of the classes, by which those of their labels are multiplied.
    augment : "auto", callable or None, default=None
        How labelled rows are changed, beside which they stay in the batch as they are. "auto" is
        the transformer's own augmentation, or else that of the kind of data: see
        :doc:`/augmentation`. It pays for images, many epochs and hundreds of labels, and
        costs twice the time. "auto" leaves texts and videos as they are; texts have dropout.
    max_epochs : int, default=None
        How often the labelled rows are seen in the full training. None is 30 times, or less, down
        to 5, where that would be more than 2,000 steps.
    batch_size : int, default=64
        Largest number of rows in a step.
    lr : float, default=None
        Largest learning rate, that of the linear layer. None is 1e-3, or 2e-4 for a model of others
        (`pretrained` of estimators of texts), which has more to lose.
    layer_decay : float, default=0.75
        Factor by which each layer learns more slowly than the one behind it: the first ones hold
        what is common to all tasks.
    weight_decay : float, default=0.01
        Decay of kernels and matrices.
    early_stopping : bool, default=False
        Whether to hold out some labelled rows, stop when their loss no longer falls, and keep the
        weights of the best epoch. Ten labels are too few for that.
    validation_fraction : float, default=0.2
        Part of the labelled rows that is held out.
    n_iter_no_change : int, default=10
        Epochs without improvement that early stopping waits for.
    verbose : int, default=0
        From 1 on, a progress bar is shown.
    random_state : int, RandomState instance or None, default=None
        Seed of the order of the rows and of their changes in the full training. The transformer
        has its own.

    Attributes
    ----------
    transformer_ : estimator
        The fitted transformer, with the fine-tuned encoder.
    head_ : estimator
        The fitted head. After a full training it is a LogisticRegression with the weights of the
        linear layer.
    classes_ : ndarray of shape (n_classes,)
        The labels, without the mark of unlabelled rows.
    history_ : dict of str to list of float
        Of the full training, as in :class:`~sklearn_ssl.BaseSSLTransformer`.
    n_iter_ : int
        Number of epochs of the full training.
    n_features_in_, feature_names_in_
        As those of the transformer.

    See Also
    --------
    FineTuneRegressor : The same for numbers.
    sklearn_ssl.semi_supervised.LabeledOnly : For the last step of a Pipeline.

    References
    ----------
    .. [1] A. Kumar, A. Raghunathan, R. Jones, T. Ma, P. Liang, "Fine-Tuning can Distort Pretrained
       Features and Underperform Out-of-Distribution", ICLR 2022, https://arxiv.org/abs/2202.10054

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn.datasets import load_digits
    >>> from sklearn_ssl import FineTuneClassifier, SimCLRTransformer
    >>> X, y = load_digits(return_X_y=True)
    >>> few = np.where(np.arange(len(y)) < 50, y, -1)  # -1: no label
    >>> ssl = SimCLRTransformer(image_shape=(8, 8), max_epochs=1, random_state=0)
    >>> classifier = FineTuneClassifier(ssl, strategy="probe").fit(X, few)
    >>> classifier.predict_proba(X).shape
    (1797, 10)
    >>> classifier.score(X, y) > 0.5  # guessing: 0.1
    True
    """

    _parameter_constraints = {
        **BaseFineTuner._parameter_constraints,
        "class_weight": [dict, StrOptions({"balanced"}), None],
    }
    _Targets = Classes

    def __init__(
        self,
        transformer,
        *,
        strategy="probe-then-full",
        head=None,
        class_weight=None,
        augment=None,
        max_epochs=None,
        batch_size=64,
        lr=None,
        layer_decay=0.75,
        weight_decay=0.01,
        early_stopping=False,
        validation_fraction=0.2,
        n_iter_no_change=10,
        verbose=0,
        random_state=None,
    ):
        super().__init__(
            transformer,
            strategy=strategy,
            head=head,
            augment=augment,
            max_epochs=max_epochs,
            batch_size=batch_size,
            lr=lr,
            layer_decay=layer_decay,
            weight_decay=weight_decay,
            early_stopping=early_stopping,
            validation_fraction=validation_fraction,
            n_iter_no_change=n_iter_no_change,
            verbose=verbose,
            random_state=random_state,
        )
        self.class_weight = class_weight

    def score(self, X, y, sample_weight=None):
        """Return the accuracy on the rows that have a label.

        Parameters
        ----------
        X : array-like
            Rows as in ``fit``.
        y : array-like of shape (n,)
            Their labels; rows without one do not count.
        sample_weight : array-like of shape (n,), default=None

        Returns
        -------
        score : float
        """
        return super().score(*self._to_score(X, y, sample_weight))

    @available_if(_head_has("predict_proba"))
    def predict_proba(self, X):
        """Return the probability of each class.

        Parameters
        ----------
        X : array-like
            Rows as in ``fit``.

        Returns
        -------
        probabilities : ndarray of shape (n, n_classes)
            In the order of ``classes_``.
        """
        Z = self._represent(X)
        return self.head_.predict_proba(Z)

    @available_if(_head_has("decision_function"))
    def decision_function(self, X):
        """Return how far each row is on the side of each class.

        Parameters
        ----------
        X : array-like
            Rows as in ``fit``.

        Returns
        -------
        decisions : ndarray of shape (n,) or (n, n_classes)
            Of two classes, that of the second one.
        """
        Z = self._represent(X)
        return self.head_.decision_function(Z)


class FineTuneRegressor(RegressorMixin, BaseFineTuner):
    """Regressor with few labels: a pretrained encoder and a head.

    As :class:`FineTuneClassifier`, for numbers: NaN or None marks a row without a label, and -1 is
    a number like any other.

    Parameters
    ----------
    transformer : estimator of this package, or FrozenEstimator of one
        Fitted or not.
    strategy : {"probe-then-full", "full", "probe"}, default="probe-then-full"
        As in :class:`FineTuneClassifier`.
    head : estimator, default=None
        For the probe, any scikit-learn regressor. None is RidgeCV, on representations that are
        centred and divided by one factor for all columns.
    augment, max_epochs, batch_size, lr, layer_decay, weight_decay
        The full training, as in :class:`FineTuneClassifier`.
    early_stopping, validation_fraction, n_iter_no_change
        When it ends.
    verbose, random_state
        How it runs.

    Attributes
    ----------
    transformer_ : estimator
        The fitted transformer, with the fine-tuned encoder.
    head_ : estimator
        The fitted head. After a full training it is a LinearRegression with the weights of the
        linear layer.
    history_, n_iter_, n_features_in_, feature_names_in_
        As in :class:`FineTuneClassifier`.

    See Also
    --------
    FineTuneClassifier : The same for classes.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn.datasets import load_diabetes
    >>> from sklearn_ssl import FineTuneRegressor, VIMETransformer
    >>> X, y = load_diabetes(return_X_y=True)
    >>> few = np.where(np.arange(len(y)) < 50, y, np.nan)  # NaN: no label
    >>> ssl = VIMETransformer(max_epochs=1, random_state=0)
    >>> FineTuneRegressor(ssl, strategy="probe").fit(X, few).predict(X).shape
    (442,)
    """

    _Targets = Numbers
    _regression = True

    def score(self, X, y, sample_weight=None):
        """Return the R² on the rows that have a label.

        Parameters
        ----------
        X : array-like
            Rows as in ``fit``.
        y : array-like of shape (n,)
            Their labels; rows without one do not count.
        sample_weight : array-like of shape (n,), default=None

        Returns
        -------
        score : float
        """
        return super().score(*self._to_score(X, y, sample_weight))
