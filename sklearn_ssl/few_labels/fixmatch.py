"""FixMatch: learn from rows without labels what the network already says about them.

https://arxiv.org/abs/2001.07685 (Sohn et al., 2020)

::

    for each batch of labeled rows x, y and of rows u:
        q = softmax(linear(encode(weak(u))))                 # without gradient
        q = normalize(q * shares of classes / running mean of q)
        pseudo, confidence = argmax(q), max(q)
        used = confidence >= running mean of the confidence
        loss = mean(weights * cross_entropy(linear(encode(weak(x))), y))
        loss += sum over used u of cross_entropy(linear(encode(strong(u))), pseudo) / len(u)
        loss += penalty * norm(linear.weight) ** 2

The second line of the loop is ReMixMatch's distribution alignment (https://arxiv.org/abs/1911.09785),
the fourth FreeMatch's threshold (https://arxiv.org/abs/2205.07246).
"""

import copy
import math
from dataclasses import replace

import numpy as np
import torch
from sklearn.model_selection import StratifiedKFold
from torch import nn
from torch.nn import functional as F

from sklearn_ssl._sklearn_compat import _safe_indexing
from sklearn_ssl.augment import resolve_augmentation
from sklearn_ssl.data.rows import RowSubset
from sklearn_ssl.few_labels.task import FineTuneTask, LabeledSpec, augmented
from sklearn_ssl.few_labels.tuning import FineTuning
from sklearn_ssl.training.callbacks import RecordOfTask

N_STEPS = 1000  # 250 to 300 do about as well for tables; images gain up to more than 1,000
N_STEPS_OF_A_FOLD = 250  # shows well enough whether labels are predicted better
UNLABELED_PER_LABELED = 3  # rows in a batch
N_FOLDS = 4
MOMENTUM = 0.99  # of running means: they remember about a hundred steps


class FixMatchTask(FineTuneTask):
    """Learn from labels, and from confident predictions for other rows.

    A batch holds labeled rows, targets and weights, as in :class:`FineTuneTask`, and rows ``u``,
    whose labels are not known. In evaluation there are no such rows.

    The encoder sees all of them, changed and unchanged, in one batch, and unlike in other trainings
    on labels its batch normalizations use and learn the statistics of these batches.

    Parameters
    ----------
    shares : ndarray of shape (n_classes,)
        The shares of the classes among the labels, which sum to 1. Predictions for `u` are made to
        have them on average.
    weak : Augmentation
        How rows change for which the network predicts.
    strong : Augmentation
        How rows change that learn from these predictions.
    """

    def __init__(self, *task, shares, weak, strong, **options):
        super().__init__(*task, **options)
        self.weak = weak
        self.strong = strong
        self.register_buffer("shares", torch.as_tensor(shares, dtype=torch.float32))
        self.register_buffer("predicted", self.shares.clone())  # running mean of predictions
        self.register_buffer("threshold", torch.tensor(1 / len(shares)))
        # Of an epoch: rows, those with a confident prediction, and those whose change keeps it.
        self.register_buffer("counts", torch.zeros(3, dtype=torch.int64), persistent=False)

    def forward(self, batch):
        if not self.training:
            return super().forward(batch)
        rows, targets, weights, others = batch
        parts = [augmented(part, self.weak, self.generator) for part in (rows, others)]
        parts.append(augmented(others, self.strong, self.generator))
        h = self.shared(self.encode, one_batch(parts))
        logits = self.head(h).float()  # [n_labeled + 2 n, n_classes]
        labeled, weak, strong = logits.split([len(part) for part in parts])
        return self.supervised(labeled, targets, weights) + self.consistency(weak, strong)

    def consistency(self, weak, strong):
        """Return the loss of strongly changed rows, for what is predicted of them otherwise.

        Parameters
        ----------
        weak, strong : torch.Tensor of shape (n, n_classes)
            Logits of both views of the rows.
        """
        pseudo, used = self.pseudo_labels(weak.detach().softmax(dim=1))
        agree = strong.argmax(dim=1) == pseudo
        self.counts += torch.stack([torch.ones_like(used), used, agree]).sum(dim=1)
        return (F.cross_entropy(strong, pseudo, reduction="none") * used).mean()

    def end_epoch(self):
        """Return the shares of confident predictions and of views that agree, of this epoch."""
        n, used, agree = self.counts.tolist()
        self.counts.zero_()
        return {"used_share": used / n, "agreement": agree / n}

    def train(self, mode=True):
        return nn.Module.train(self, mode)

    def pseudo_labels(self, probabilities):
        """Return the most likely classes of rows, and which rows are confident enough.

        Parameters
        ----------
        probabilities : torch.Tensor of shape (n, n_classes)

        Returns
        -------
        pseudo : torch.Tensor of shape (n,) of int64
        used : torch.Tensor of shape (n,) of bool
        """
        self.predicted.lerp_(probabilities.mean(dim=0), 1 - MOMENTUM)
        aligned = probabilities * (self.shares / self.predicted.clamp(min=1e-6))
        confidence, pseudo = (aligned / aligned.sum(dim=1, keepdim=True)).max(dim=1)
        self.threshold.lerp_(confidence.mean(), 1 - MOMENTUM)
        return pseudo, confidence >= self.threshold


def one_batch(parts):
    """Return rows as one batch; texts get the length of the longest, padded by -1."""
    longest = max(part.shape[-1] for part in parts)
    return torch.cat([F.pad(part, (0, longest - part.shape[-1]), value=-1) for part in parts])


class MixedRows:
    """Rows of all kinds, and beside every few of them a labeled one.

    Labeled rows take turns, in an order that the seed determines: whatever the rows of a batch are,
    each is there as often as the others.

    Parameters
    ----------
    labeled : LabeledRows
    rows : RowBlocks or TokenRows
    seed : int
    """

    def __init__(self, labeled, rows, seed):
        self.labeled = labeled
        self.rows = rows
        self.order = np.random.default_rng(seed).permutation(len(labeled))
        self.turn = 0  # place in this order of the next labeled row

    def __len__(self):
        return len(self.rows)

    def __getitem__(self, indices):
        n = min(math.ceil(len(indices) / UNLABELED_PER_LABELED), len(self.labeled))
        turns = np.arange(self.turn, self.turn + n) % len(self.order)
        self.turn = (self.turn + n) % len(self.order)
        return self.labeled[np.sort(self.order[turns])], self.rows[indices]

    def state_dict(self):
        return {"turn": self.turn}

    def load_state_dict(self, state):
        self.turn = state["turn"]

    @property
    def lengths(self):
        """Lengths of the rows, if they differ."""
        return self.rows.lengths


class MixedSpec(LabeledSpec):
    """Turn batches of :class:`MixedRows`, and of LabeledRows, into tensors."""

    def to_tensor(self, batch, device="cpu"):
        if len(batch) == 3:
            return super().to_tensor(batch, device)
        labeled, rows = batch
        return (*super().to_tensor(labeled, device), self.spec.to_tensor(rows, device))


class FixMatchTuning(FineTuning):
    """The training of FixMatch: also on rows without their labels.

    Parameters
    ----------
    **fine_tuning
        As in :class:`FineTuning`.
    rows : RowBlocks or TokenRows
        All rows, whether they have labels or not.
    """

    _Task = FixMatchTask
    n_steps = N_STEPS

    def __init__(self, *, rows, **fine_tuning):
        super().__init__(**fine_tuning)
        self.rows = rows

    def run(self, X, weights, kept):
        accuracies = self._cross_validate(X, weights, kept)
        self.facts = {"cv_accuracies_": accuracies}
        if accuracies is not None and accuracies["fixmatch"] < accuracies["probe"]:
            return None, {"train_loss": []}
        return super().run(X, weights, kept)

    def _cross_validate(self, X, weights, kept):
        """Return the accuracies of the probe and of FixMatch on labels that are held out in turn.

        None if a class has a single label.
        """
        values = self.targets.values
        n_folds = min(np.bincount(values[kept]).min(), N_FOLDS)
        if n_folds < 2:
            return None
        Z, labels = self.transformer.transform(X), self.targets.classes[values]
        correct = np.zeros(2)
        folds = StratifiedKFold(n_folds, shuffle=True, random_state=self.seed)
        for some, others in folds.split(kept, values[kept]):
            train, test = kept[some], kept[others]
            probe = self.estimator._probe(Z, labels, weights, train, self.scaling)
            fold = self._fold(probe, Z, train)
            head, _ = FineTuning.run(
                fold,
                _safe_indexing(X, train),
                None if weights is None else weights[train],
                np.arange(len(train)),
            )
            tuned = fold.transformer.transform(_safe_indexing(X, test))
            predicted = probe.predict(Z[test]), head.predict(tuned)
            correct += [(p == labels[test]).sum() for p in predicted]
        return dict(zip(("probe", "fixmatch"), (correct / len(kept)).tolist()))

    def _fold(self, probe, Z, train):
        """Return a training on some of the labels, which starts from a probe on them."""
        fold = copy.copy(self)
        fold.n_steps = N_STEPS_OF_A_FOLD
        fold.estimator = copy.copy(self.estimator)
        fold.estimator.callbacks, fold.estimator.verbose = None, 0
        fold.checkpoints = None
        fold.transformer = copy.deepcopy(self.transformer)
        fold.targets = copy.copy(self.targets)
        fold.targets.values = self.targets.values[train]
        fold.start = self.estimator._start(probe, Z[train], self.targets, self.scaling)
        return fold

    def _competes(self, task, holds_out):
        return holds_out  # almost any training on labels fits these better than the probe

    def _augmentation(self):
        return None  # labeled rows are among `rows`, which are changed

    def _options(self):
        values = self.targets.values
        augment, spec = self.estimator.augment, self.transformer.input_spec_
        if augment is None or augment == "auto":
            augment = getattr(self.transformer, "augment", None)
        if augment is None:
            augment = spec.strong_augmentation()
        strong = resolve_augmentation(augment, spec)
        shares = np.bincount(values) / len(values)
        return {"shares": shares, "weak": strong.weak(spec), "strong": strong}

    def _plan(self, train_rows, holds_out, device):
        train_rows, _, plan = super()._plan(train_rows, holds_out, device)
        rows, n_epochs = self.rows, self.estimator.max_epochs
        if n_epochs is None:
            rows = self._at_most(self.n_steps * plan.batch_size)
            n_epochs = math.ceil(self.n_steps / math.ceil(len(rows) / plan.batch_size))
        callbacks = [RecordOfTask(), *plan.callbacks]
        mixed = MixedRows(train_rows, rows, self.seed)
        plan = replace(
            plan, n_epochs=n_epochs, planned_epochs=n_epochs, callbacks=callbacks, parts=[mixed]
        )
        return mixed, MixedSpec(self.transformer.input_spec_), plan

    def _at_most(self, n):
        """Return the rows, or `n` of them."""
        if len(self.rows) <= n:
            return self.rows
        chosen = np.random.default_rng(self.seed).choice(len(self.rows), n, replace=False)
        return RowSubset(self.rows, np.sort(chosen))
