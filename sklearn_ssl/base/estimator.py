"""The scikit-learn side of every pretext task: parameters, fit, transform, score."""

import copy
import os
from collections.abc import Callable
from contextlib import contextmanager
from functools import wraps
from numbers import Integral, Real

import numpy as np
import torch
from sklearn.base import BaseEstimator, ClassNamePrefixFeaturesOutMixin, TransformerMixin
from sklearn.utils.validation import check_is_fitted

from sklearn_ssl import defaults
from sklearn_ssl._seeds import draw_seed
from sklearn_ssl._sklearn_compat import CallbackSupportMixin, Interval, StrOptions, _fit_context
from sklearn_ssl.base.parameters import FieldParametersMixin, param
from sklearn_ssl.base.persistence import SavedAsArraysMixin
from sklearn_ssl.data import AUTO_MODALITY, kind_of, modality_of
from sklearn_ssl.data.rows import RowSubset
from sklearn_ssl.data.spec import ArraySpec
from sklearn_ssl.training.calibration import calibrate_batch_norms, measure_rows
from sklearn_ssl.training.checkpoints import Checkpoint, locked_folder
from sklearn_ssl.training.collapse import CollapseWatch
from sklearn_ssl.training.distributed import of_first, shared_fit
from sklearn_ssl.training.estimator_callbacks import CallbacksParameterMixin, FitCallbacks
from sklearn_ssl.training.identity import parameters_of
from sklearn_ssl.training.inference import (
    embed,
    embeds_finitely,
    mean_of_pieces,
    pretext_loss,
)
from sklearn_ssl.training.loop import TrainingPlan, join_histories, train
from sklearn_ssl.training.runtime import (
    resolve_device,
    resolve_precision,
    seeded_global_stream,
    torch_settings,
)


def of_one_fit(method):
    """Make a method use the state of one fit: another thread may refit the estimator meanwhile."""

    @wraps(method)
    def call(self, *args, **kwargs):
        check_is_fitted(self)
        return method(copy.copy(self), *args, **kwargs)

    return call


class BasePretrainer(
    FieldParametersMixin,
    SavedAsArraysMixin,
    CallbacksParameterMixin,
    CallbackSupportMixin,
    ClassNamePrefixFeaturesOutMixin,
    TransformerMixin,
    BaseEstimator,
):
    """Base class of all pretraining estimators: training, ``fit``, ``transform`` and ``score``.

    A subclass defines ``_make_task(self, spec)``, which returns a :class:`~sklearn_ssl.PretextTask`
    for the data that `spec` describes. Declare its own parameters as fields in the class body, such
    as ``noise: float = 0.5``; ``__init__`` is generated from the fields.
    :class:`~sklearn_ssl.BaseSSLTransformer` and :class:`~sklearn_ssl.BaseTextTransformer` are the
    base classes for your own tasks.

    Parameters
    ----------
    max_epochs : int, default=None
        Number of passes over the data. With None, the networks see about 600,000 images, 1,000,000
        rows of a table, 500,000 series, 60,000 videos or 300,000 texts, but every row 4 to 200
        times. With 0 nothing is trained: the initial weights are kept, as a baseline, and batch
        normalizations get the statistics of a sample of the rows.
    batch_size : int, default=None
        Largest number of rows in a step. None means 256, or fewer, down to 64, for less than 4,096
        rows.
    optimizer : callable, default=torch.optim.AdamW
        A torch optimizer class, or a callable with the same arguments.
    lr : float, default=2e-3
        Peak learning rate; the rate rises over the first 5 % of the steps, then falls to 0 along a
        cosine.
    weight_decay : float, default=1e-4
        Weight decay of kernels and matrices; biases and normalizations have none.
    early_stopping : bool, default=False
        Whether to hold out some of the rows, stop when their pretext loss no longer improves, and
        keep the weights of the best epoch.
    validation_fraction : float, default=0.1
        Fraction of the rows held out for early stopping.
    n_iter_no_change : int, default=10
        Epochs without improvement before early stopping ends the training.
    warm_start : bool, default=False
        Whether ``fit`` continues from the weights and the optimizer of the last fit, with a new
        schedule.
    callbacks : list, default=None
        skorch callbacks; :class:`~sklearn_ssl.callbacks.KNNProbe` watches how good the
        representation becomes. Set scikit-learn's callbacks with ``set_callbacks``, from version
        1.9 on.
    checkpoint : str, path or Checkpoint, default=None
        Folder in which ``fit`` saves its state every ten minutes, and when Ctrl-C or SIGTERM ends
        it. If it was killed, the same call continues from there. Each fit needs its own folder. A
        :class:`~sklearn_ssl.Checkpoint` sets the interval; see :doc:`/long_fits`. ``partial_fit``
        does not use it.
    device : str, default="auto"
        Where torch computes: "cpu", "cuda", "cuda:1"; "auto" uses a GPU if there is one.
    precision : {"auto", "float32", "bfloat16"}, default="auto"
        Arithmetic of the training; "auto" uses bfloat16 if the hardware supports it natively.
        Representations are always computed in float32.
    verbose : int, default=0
        If at least 1, fits of more than two seconds show a progress bar with the time left.
    random_state : int, RandomState instance or None, default=None
        Seed of the initial weights, the order of the rows and the views. An int makes fits
        reproducible on the same machine, in any process or thread.

    Attributes
    ----------
    task_ : PretextTask
        The trained task, in evaluation mode.
    encoder_ : torch.nn.Module
        Its encoder.
    history_ : dict of str to list of float
        For each epoch "train_loss", "duration" in seconds, with early stopping "valid_loss", the
        spread of the last batch's embeddings, "embedding_std" and "effective_rank", as measured by
        :func:`~sklearn_ssl.collapse.embedding_spread`, and anything that `callbacks` record in
        ``net.history``. NaN marks epochs in which a value was not recorded.
    loss_curve_ : list of float
        Training loss of each epoch.
    n_iter_ : int
        Number of epochs run.
    batch_size_ : int
        Batch size used.
    input_spec_ : Spec
        Description of the training data: kind, shape, range. Each kind of data has its own subclass
        of :class:`~sklearn_ssl.data.spec.Spec`.
    """

    max_epochs: int | None = param(None, Interval(Integral, 0, None, closed="left"), None)
    batch_size: int | None = param(None, Interval(Integral, 2, None, closed="left"), None)
    optimizer: Callable = param(torch.optim.AdamW, callable)
    lr: float = param(2e-3, Interval(Real, 0, None, closed="neither"))
    weight_decay: float = param(1e-4, Interval(Real, 0, None, closed="left"))
    early_stopping: bool = param(False, "boolean")
    validation_fraction: float = param(0.1, Interval(Real, 0, 1, closed="neither"))
    n_iter_no_change: int = param(10, Interval(Integral, 1, None, closed="left"))
    warm_start: bool = param(False, "boolean")
    callbacks: list | None = param(None, list, tuple, None)
    checkpoint: str | os.PathLike | Checkpoint | None = param(
        None, str, os.PathLike, Checkpoint, None
    )
    device: str = param("auto", str)
    precision: str = param("auto", StrOptions({"auto", "float32", "bfloat16"}))
    verbose: int = param(0, "verbose")
    random_state: int | np.random.RandomState | None = param(None, "random_state")

    _modalities = None  # kinds of data that X may hold; None: all of `_kinds` that have views
    _kinds = ArraySpec
    _auto_modality = AUTO_MODALITY  # the kind by the number of dimensions, where there are several
    _missing_allowed = ("table",)  # modalities in which X may hold NaN
    _relative_cost = 1.0  # time of a row in a fit, compared with SimCLR
    _collapse_remedies = {"lr": "smaller"}  # advice of a CollapseWarning, in this order
    _fewest_to_score = 2  # rows, or pieces of text
    _augments_labeled_rows = True  # whether fine-tuning does, by default
    _fewest_directions = 1.2  # embeddings with a smaller effective rank count as collapsed
    _lengths_count = False  # whether the loss depends on the lengths of embeddings

    def _make_task(self, spec):
        """Build the untrained pretext task for data described by a Spec."""
        raise NotImplementedError(f"{type(self).__name__} must define _make_task(spec)")

    def _planned_epochs(self, spec, n_samples):
        if self.max_epochs is not None:
            return self.max_epochs
        return defaults.max_epochs(spec.rows_to_see, n_samples, self._cost(spec))

    def _cost(self, spec):
        """Return the time of a row in a fit, compared with SimCLR."""
        return self._relative_cost

    def _momentum(self, spec):
        """Return the momentum of an averaged network: the parameter, or one for so many steps."""
        if self.momentum is not None:
            return self.momentum
        batch_size = self.batch_size or self._default_batch_size(range(spec.n_samples))
        n_epochs = max(self._planned_epochs(spec, spec.n_samples), 1)
        return defaults.momentum(n_epochs * spec.n_samples / batch_size)

    # Fitting ----------------------------------------------------------------------------------

    @_fit_context(prefer_skip_nested_validation=True)
    def fit(self, X, y=None, *, X_unlabeled=None):
        """Pretrain on X, without its labels.

        A fit that fails or is interrupted leaves the estimator as it was.

        Parameters
        ----------
        X : array-like of shape (n, features), (n, height, width[, channels]) or (n, channels, time)
            At least two rows of finite numbers; tables may have missing numbers (NaN) and
            categories. Memory-mapped arrays are read in batches. Texts are a list or a column of
            strings. Images may also be a list or a column of paths or of encoded images (bytes),
            or a data set of torch or Hugging Face with one image in each item; they are decoded
            once, and kept in a temporary file if they take more than 1 GiB. With `image_size`, a
            list of arrays may hold images of different sizes.
        y : ignored
            Present for API consistency.
        X_unlabeled : array-like, default=None
            More rows of the same kind to pretrain on. In a Pipeline or a search they are passed by
            metadata routing, after ``set_fit_request(X_unlabeled=True)``; a search passes them on
            whole unless they happen to have as many rows as X.

        Returns
        -------
        self : estimator
            The fitted transformer.
        """
        with self._draft() as draft, shared_fit():
            go_on = self.warm_start and hasattr(draft, "task_")
            known = draft.input_spec_ if go_on else None
            rows, spec = draft._read(X, X_unlabeled, known, reset=True)
            callbacks = FitCallbacks(self, X, y)
            with locked_folder(self.checkpoint) as checkpoints:
                draft._fit(rows, spec, callbacks, go_on=go_on, checkpoints=checkpoints)
        return self

    @_fit_context(prefer_skip_nested_validation=True)
    def partial_fit(self, X, y=None):
        """Train for one epoch on X, continuing where the last call stopped.

        The learning rate warms up and then stays constant; other schedules, such as that of a
        momentum, stop half way. The description of the data (range, means and standard deviations)
        is that of the first call.

        Parameters
        ----------
        X : array-like
            As in ``fit``.
        y : ignored
            Present for API consistency.

        Returns
        -------
        self : estimator
            The fitted transformer.
        """
        with self._draft() as draft, shared_fit():
            go_on = hasattr(draft, "task_")
            known = draft.input_spec_ if go_on else None
            rows, spec = draft._read(X, None, known, reset=not go_on)
            draft._fit(rows, spec, FitCallbacks(self, X, y), go_on=go_on, partial=True)
        return self

    def _read(self, X, X_unlabeled, known, *, reset):
        """Return the rows, ready to be read in batches, and their description.

        The description is `known`, that of an earlier fit, unless it is None.
        """
        blocks = [X] if X_unlabeled is None else [X, X_unlabeled]
        if known is None:
            return kind_of(self, blocks[0]).read(self, blocks)
        return known.read_more(self, blocks, reset=reset), known

    @torch_settings()
    def _fit(self, rows, spec, callbacks, *, go_on, partial=False, checkpoints=None):
        """Learn from rows described by `spec`; `go_on` continues an earlier fit."""
        device = resolve_device(self.device)
        seed = draw_seed(self.random_state)
        if checkpoints is not None:
            seed = checkpoints.begin(parameters_of(self), seed)
        seed = of_first(seed)
        max_epochs = self._planned_epochs(spec, len(rows))
        n_epochs = 1 if partial else max_epochs
        holds_out = self.early_stopping and not partial and n_epochs > 0
        train_rows, valid_rows = self._hold_out(rows, seed) if holds_out else (rows, None)
        if go_on:
            task = copy.deepcopy(self.task_)
        else:
            task = self._new_task(spec, train_rows, seed, device)
        task.to(device, memory_format=torch.channels_last)

        self.task_ = task
        self.input_spec_ = spec
        self.batch_size_ = self.batch_size or self._default_batch_size(rows)
        self._n_features_out = task.encoder.output_dim
        if not go_on:
            measure_rows(task, train_rows, spec, device)
            self._check_embeddings(
                rows, device, "before any training. Check the parameters that create it,"
            )
        callbacks.begin(n_epochs)
        plan = TrainingPlan(
            seed=seed,
            n_epochs=n_epochs,
            planned_epochs=max(max_epochs, n_epochs),
            batch_size=self.batch_size_,
            optimizer=self.optimizer,
            lr=self._largest_lr(),
            weight_decay=self.weight_decay,
            autocast_dtype=resolve_precision(self.precision, device),
            cosine=not partial,
            patience=self.n_iter_no_change if holds_out else None,
            callbacks=[
                *callbacks.epoch_hooks(self._fitted_attributes()),
                *(self.callbacks or ()),
            ],
            progress_name=type(self).__name__ if self.verbose else None,
            watch=self._collapse_watch(task),
            checkpoints=checkpoints,
        )
        history, self._resume_state = train(
            task,
            train_rows,
            plan,
            spec=spec,
            device=device,
            valid_rows=valid_rows,
            resume_state=getattr(self, "_resume_state", None) if go_on else None,
            embed=self._embed,
        )
        if n_epochs == 0 and not go_on:
            self._calibrate(rows, seed, device)
        self._check_embeddings(
            rows,
            device,
            f"after the training. Try a smaller lr (it is {self._largest_lr():g}) or weight_decay "
            f"(it is {self.weight_decay:g}),",
        )
        self.history_ = join_histories(self.history_, history) if go_on else history
        self.loss_curve_ = self.history_["train_loss"]
        self.n_iter_ = len(self.loss_curve_)
        callbacks.end(self._fitted_attributes())

    def _new_task(self, spec, rows, seed, device):
        """Return an untrained task, and keep what it is rebuilt from when a file is loaded."""
        with seeded_global_stream(seed):
            task = self._first_task(spec, rows, seed, device)
        params = self.get_params(deep=False)
        left_out = ("callbacks", "checkpoint")  # callbacks may be impossible to save
        self._task_params = {name: params[name] for name in params if name not in left_out}
        return task

    def _check_embeddings(self, rows, device, when_and_what_to_do):
        """Raise if the encoder gives the first rows NaN or infinity."""
        if not embeds_finitely(self.task_.eval(), rows, self.input_spec_, device):
            raise ValueError(
                f"The encoder, {type(self.task_.encoder).__name__}, returns NaN or infinity "
                f"{when_and_what_to_do} or look for extreme values in X."
            )

    def _first_task(self, spec, rows, seed, device):
        """Build the task that a training on these rows starts from."""
        return self._make_task(spec)

    def _calibrate(self, rows, seed, device):
        """Give the batch normalizations of a task that is not trained the statistics of rows."""
        options = {"batch_size": self.batch_size_, "device": device, "random_state": seed}
        calibrate_batch_norms(self.task_, rows, self.input_spec_, **options)

    def _default_batch_size(self, rows):
        return defaults.batch_size(len(rows))

    def _largest_lr(self):
        return self.lr

    def _fine_tuning_lr(self):
        """Return the peak learning rate with which labels change the encoder."""
        return 1e-3

    def _collapse_watch(self, task):
        """Return the object that monitors the embeddings of a fit and warns of a collapse."""
        derived = {"batch_size": self.batch_size_, "lr": self._largest_lr()}
        used = {**vars(self), **derived, **vars(task)}
        remedies = {name: (change, used[name]) for name, change in self._collapse_remedies.items()}
        name = type(self).__name__
        return CollapseWatch(name, remedies, self._fewest_directions, self._lengths_count)

    def _hold_out(self, rows, seed):
        n_held_out = max(2, round(self.validation_fraction * len(rows)))
        if len(rows) - n_held_out < 2:
            raise ValueError(
                f"early_stopping=True with validation_fraction={self.validation_fraction} leaves "
                f"{len(rows) - n_held_out} of {len(rows)} rows for training; at least 2 are needed."
            )
        permutation = np.random.default_rng(seed).permutation(len(rows))
        held_out, kept = permutation[:n_held_out], permutation[n_held_out:]
        return RowSubset(rows, np.sort(kept)), RowSubset(rows, np.sort(held_out))

    @contextmanager
    def _draft(self):
        """Let a copy learn, and take over its result at once when it has finished.

        Until then this estimator stays as it was, also for other threads.
        """
        draft = copy.copy(self)
        yield draft
        params = self.get_params(deep=False)
        for name in self._fitted_attributes().keys() - vars(draft).keys():
            delattr(self, name)
        vars(self).update({n: value for n, value in vars(draft).items() if n not in params})

    def _fitted_attributes(self):
        private = ("_n_features_out", "_resume_state", "_task_params")
        return {
            name: value
            for name, value in vars(self).items()
            if name in private or (name.endswith("_") and not name.startswith("_"))
        }

    # After fitting ----------------------------------------------------------------------------
    # Other modules of the package ask a fitted estimator for `task_` and `input_spec_`, and for
    # what these methods say: `_check_rows`, `_rows_of` and `_decoded` (X as the rows of batches),
    # `_task_device`, and `_fine_tuning_lr`.

    @property
    def encoder_(self):
        """The trained encoder, a torch module."""
        check_is_fitted(self, "task_")
        return self.task_.encoder

    @of_one_fit
    def transform(self, X):
        """Return the representations of X.

        Except for the last digits, the representation of a row does not depend on the other rows
        or their number.

        Parameters
        ----------
        X : array-like
            Rows of the shape seen in ``fit``.

        Returns
        -------
        representations : ndarray of shape (n, output_dim)
            In float32.
        """
        return self._embed(self.task_, X)

    def _embed(self, task, X):
        """Return the output of a task's ``encode`` for X, batch by batch."""
        rows, owners, shares = self._rows_of(X)
        with torch_settings():
            outputs = embed(task, rows, self.input_spec_, device=self._task_device())
        return mean_of_pieces(outputs, owners, shares)

    @of_one_fit
    def score(self, X, y=None):
        """Return minus the mean pretext loss on X.

        Views and masks are the same in every call, so scores can be compared; the networks are in
        evaluation mode. A better score does not necessarily mean better representations.

        Parameters
        ----------
        X : array-like
            At least two rows of the shape seen in ``fit``.
        y : ignored
            Present for API consistency.

        Returns
        -------
        score : float
            At most 0 for losses that are not negative.
        """
        rows = self._rows_to_score(X)
        with torch_settings():
            return -pretext_loss(
                self.task_,
                rows,
                self.input_spec_,
                batch_size=self.batch_size_,
                device=self._task_device(),
            )

    def _rows_to_score(self, X):
        return self.input_spec_.rows_to_score(self, X)

    def _rows_of(self, X):
        """Return X as rows for batches, the row of X that each belongs to, and its share of it."""
        return self.input_spec_.rows_of(self, X)

    def _decoded(self, X):
        """Return X in a form that is fast to read more than once."""
        return self.input_spec_.decoded(self, X)

    def _check_rows(self, X):
        """Return X, checked against the rows of ``fit``: as numbers, or a list of texts."""
        return self.input_spec_.check(self, X)

    def _task_device(self):
        return next(self.task_.parameters()).device

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.transformer_tags.preserves_dtype = ["float32"]
        flat_rows = modality_of(self, np.empty((0, 0)))
        tags.input_tags.allow_nan = flat_rows in self._missing_allowed
        return tags
