"""The training of an encoder and a linear layer on labels, and what it starts from."""

import copy
import math
import warnings
from collections import namedtuple
from types import MappingProxyType

import numpy as np
import torch

from sklearn_ssl.augment import resolve_augmentation
from sklearn_ssl.data.rows import RowSubset
from sklearn_ssl.few_labels.task import (
    FineTuneTask,
    LabeledRows,
    LabeledSpec,
    LinearHead,
    mean_loss,
)
from sklearn_ssl.training.loop import TrainingPlan, train
from sklearn_ssl.training.runtime import resolve_precision, seeded_global_stream, torch_settings

WORSE = 3  # times the initial loss, or that of guessing standardized numbers, which is 1

# What a linear layer takes from a probe.
Start = namedtuple("Start", ["coef", "intercept", "penalty", "lr_factor"])


class FineTuning:
    """The training of the encoder of a transformer, in place, and of a linear layer on it.

    Parameters
    ----------
    estimator : FineTuneClassifier or FineTuneRegressor
        Its parameters say how to train.
    transformer : estimator
        Fitted.
    targets : Classes, Multilabel or Numbers
    scaling : tuple of ndarray of shape (width,) and float
        Mean and scale of the representation.
    start : Start or None
        What the layer starts from.
    seed : int
    checkpoints : CheckpointFolder or None, default=None
    """

    _Task = FineTuneTask
    facts = MappingProxyType({})  # fitted attributes of the estimator that it adds

    def __init__(self, estimator, transformer, targets, scaling, start, seed, checkpoints=None):
        self.estimator = estimator
        self.transformer = transformer
        self.targets = targets
        self.scaling = scaling
        self.start = start
        self.seed = seed
        self.checkpoints = checkpoints

    @torch_settings()
    def run(self, X, weights, kept):
        """Train.

        Parameters
        ----------
        X : array-like of shape (n, ...)
            Rows with labels.
        weights : ndarray of shape (n,) or None
        kept : ndarray of int
            Places of the labels to learn from; the others decide when to stop.

        Returns
        -------
        head : estimator or None
            None if the start was better; the encoder is then restored.
        history : dict
        """
        rows, owners, shares = self.transformer._rows_of(X)
        weights = shares if weights is None else weights[owners] * shares
        is_kept = np.isin(owners, kept)
        total = weights[is_kept].sum()
        weights = weights / weights[is_kept].mean()  # once, so that batches may differ in theirs
        rows = LabeledRows(rows, self.targets.values[owners], weights.astype(np.float32))
        train_rows, valid_rows = rows, None
        if not is_kept.all():
            train_rows = RowSubset(rows, np.flatnonzero(is_kept))
            valid_rows = RowSubset(rows, np.flatnonzero(~is_kept))
        task = self._task(total)
        better, history = self._train(task, train_rows, valid_rows)
        self.transformer.task_.eval()
        head = self.targets.linear_model(*task.head.weights()) if better else None
        return head, history

    def _task(self, total_weight):
        """Return what is trained, at its start."""
        targets, start = self.targets, self.start
        with seeded_global_stream(self.seed):
            layer = LinearHead(*self.scaling, targets.n_outputs, targets.bias)
        penalty = targets.penalty
        if start is not None:
            layer.start_from(start.coef, start.intercept)
            penalty = start.penalty
        return self._Task(
            self.transformer.task_,
            layer,
            targets.losses,
            penalty / total_weight,
            self._augmentation(),
            self.estimator.layer_decay,
            still=targets.delicate,
            **self._options(),
        )

    def _options(self):
        """Return further arguments of the task."""
        return {}

    def _competes(self, task, holds_out):
        """Say whether the loss may decide between the start and the end of the training."""
        return holds_out or task.augment is None

    def _augmentation(self):
        """Return the function that changes labeled rows: for "auto", that of the pretraining."""
        augment, spec = self.estimator.augment, self.transformer.input_spec_
        if augment is None:
            return None
        if augment != "auto":
            return resolve_augmentation(augment, spec)
        if spec.default_augmentation is None or not self.transformer._augments_labeled_rows:
            return None
        return resolve_augmentation(getattr(self.transformer, "augment", None), spec)

    def _plan(self, train_rows, holds_out, device):
        """Return the rows of batches, what turns these into tensors, and how to train."""
        estimator, transformer = self.estimator, self.transformer
        n_epochs = estimator.max_epochs
        if n_epochs is None:
            n_epochs = default_epochs(len(train_rows), estimator.batch_size)
        lr_factor = 1.0 if self.start is None else self.start.lr_factor
        precision = "float32" if self.targets.delicate else transformer.precision
        plan = TrainingPlan(
            seed=self.seed,
            n_epochs=n_epochs,
            planned_epochs=n_epochs,
            batch_size=estimator.batch_size,
            optimizer=torch.optim.AdamW,
            lr=estimator.lr or transformer._fine_tuning_lr() * lr_factor,
            weight_decay=estimator.weight_decay,
            autocast_dtype=resolve_precision(precision, device),
            patience=estimator.n_iter_no_change if holds_out else None,
            callbacks=estimator.callbacks or (),
            progress_name=type(estimator).__name__ if estimator.verbose else None,
            checkpoints=self.checkpoints,
        )
        return train_rows, LabeledSpec(transformer.input_spec_), plan

    def _train(self, task, train_rows, valid_rows):
        """Train a task in place; return whether it is better than at its start, and the history.

        If the start is a probe, it competes with all epochs for the lowest loss on the held-out
        rows or, if there are none, with the last epoch for the lowest loss on the training rows:
        dropout and large steps may harm a probe that reads narrow directions. With augmented rows,
        that comparison means little.
        """
        device = self.transformer._task_device()
        task.to(device)
        holds_out = valid_rows is not None
        competes = self.start is not None and self._competes(task, holds_out)
        first_state = copy.deepcopy(task.state_dict()) if competes else None
        rows = valid_rows if holds_out else train_rows
        train_rows, spec, plan = self._plan(train_rows, holds_out, device)
        measured = task, rows, spec, self.estimator.batch_size, device
        first_loss = mean_loss(*measured)
        history, _ = train(task, train_rows, plan, spec=spec, device=device, valid_rows=valid_rows)
        last_loss = mean_loss(*measured)
        if not np.isfinite(last_loss) and not (competes and holds_out):
            raise ValueError(
                f"The {task.loss_name} is {last_loss} after the last step. Try "
                f"{task.remedies.format(lr=plan.lr)}."
            )
        if competes and not last_loss < first_loss:
            task.load_state_dict(first_state)
            return False, history
        if last_loss > WORSE * max(first_loss, 1.0):
            warnings.warn(
                f"The {task.loss_name} is {last_loss:.3g} after the last step, and was "
                f"{first_loss:.3g} before the first: the training has diverged. Try "
                f"{task.remedies.format(lr=plan.lr)}.",
                UserWarning,
                stacklevel=2,
            )
        return True, history


def default_epochs(n_rows, batch_size):
    """Return how often labeled rows are seen: 30 times, or down to 5 beyond 2,000 steps.

    The more steps, the further the encoder moves; with few labels it had better stay near.
    """
    return min(max(2000 // math.ceil(n_rows / batch_size), 5), 30)
