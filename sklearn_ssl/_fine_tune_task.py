"""What fine-tuning trains: an encoder and a linear layer, on rows with labels.

::

    for each batch of labelled rows x, y:
        loss = cross_entropy(linear(encode(x)), y) + penalty * norm(linear.weight) ** 2
"""

import numpy as np
import torch
from sklearn.linear_model import LinearRegression, LogisticRegression, RidgeCV
from sklearn.utils import assert_all_finite
from sklearn.utils.multiclass import check_classification_targets
from torch import nn
from torch.nn import functional as F

from sklearn_ssl.pretext import PretextTask

LARGEST_NORM = 1.0  # of the gradients


class FineTuneTask(PretextTask):
    """An encoder and a linear layer that learn from labels.

    A batch holds rows as the pretext task takes them, their targets and weights, of shape ``(n,)``.

    The layer has the penalty of a LogisticRegression with ``C=1``, or a Ridge with ``alpha=1``, so
    that what such a probe has found stays where it is until the representation moves.

    Batch normalisations keep the statistics of the pretraining: a few rows have none of their own.
    """

    def __init__(self, pretext, head, loss, penalty, augment, layer_decay):
        super().__init__()
        self.encoder = pretext.encoder
        self.encode = pretext.encode  # a user's task may do more than its encoder
        self.head = head
        self.loss = loss
        self.penalty = penalty
        self.augment = augment
        self.layer_decay = layer_decay

    def forward(self, batch):
        rows, targets, weights = batch
        if self.training and self.augment is not None:
            views = augmented(rows, self.augment, self.generator)
            rows, targets, weights = torch.cat([rows, views]), targets.tile(2), weights.tile(2)
        losses = self.loss(self.head(self.encode(rows)).float(), targets)  # [n]
        penalty = self.penalty * self.head.linear.weight.square().sum()
        return (weights * losses).sum() / weights.sum() + penalty

    def train(self, mode=True):
        super().train(mode)
        for module in self.modules():
            if isinstance(module, nn.modules.batchnorm._BatchNorm):
                module.eval()
        return self

    def after_backward(self, progress):
        nn.utils.clip_grad_norm_(self.parameters(), LARGEST_NORM)

    def lr_scales(self):
        """The layer in front of the head learns by `layer_decay` more slowly, and so on."""
        layers = layers_of(self.encoder)
        scales = {p: self.layer_decay ** (len(layers) + 1) for p in self.encoder.parameters()}
        for i, layer in enumerate(layers):
            scales |= dict.fromkeys(layer.parameters(), self.layer_decay ** (len(layers) - i))
        return scales


def augmented(rows, augment, generator):
    """Return a view of rows; those in which numbers are missing stay as they are, but in tables."""
    views = augment(rows, generator)
    whole = rows.isfinite().flatten(1).all(1)
    if rows.ndim == 2 or whole.all():
        return views
    return torch.where(whole.reshape(-1, *[1] * (rows.ndim - 1)), views, rows)


def layers_of(encoder):
    """Return the layers of an encoder in the order of its data: its children, and their blocks."""
    layers = []
    for child in encoder.children():
        is_list = isinstance(child, nn.Sequential | nn.ModuleList)
        layers += child.children() if is_list else [child]
    return [layer for layer in layers if next(layer.parameters(), None) is not None]


class LabeledRows:
    """Rows with the targets and weights that a batch needs, arrays of shape ``(n,)``."""

    def __init__(self, rows, targets, weights):
        self.rows = rows
        self.targets = targets
        self.weights = weights

    def __len__(self):
        return len(self.rows)

    def __getitem__(self, indices):
        return self.rows[indices], self.targets[indices], self.weights[indices]


class LabeledSpec:
    """Turns batches of :class:`LabeledRows` into tensors: rows, targets and weights of ``(n,)``."""

    def __init__(self, spec):
        self.spec = spec

    def to_tensor(self, batch, device="cpu"):
        rows, targets, weights = batch
        tensors = (torch.from_numpy(array).to(device) for array in (targets, weights))
        return self.spec.to_tensor(rows, device), *tensors


class LinearHead(nn.Module):
    """A linear layer on the representation, centred and divided by one factor.

    Parameters
    ----------
    mean, scale : ndarray of shape (width,) and float
    n_outputs : int
    """

    def __init__(self, mean, scale, n_outputs):
        super().__init__()
        self.linear = nn.Linear(len(mean), n_outputs)
        nn.init.zeros_(self.linear.weight)
        nn.init.zeros_(self.linear.bias)
        self.register_buffer("mean", torch.from_numpy(mean.astype(np.float32)))
        self.scale = scale

    def forward(self, h):
        return self.linear((h - self.mean) / self.scale)

    @torch.no_grad()
    def start_from(self, coef, intercept):
        """Take the weights of a linear model of the representation as it is."""
        coef, intercept = torch.as_tensor(coef), torch.as_tensor(intercept)
        self.linear.weight.copy_(coef * self.scale)
        self.linear.bias.copy_(intercept + coef @ self.mean.to(coef.dtype))

    def weights(self):
        """Return the coefficients and intercepts for the representation as it is."""
        linear = self.linear
        coef = linear.weight.detach().cpu().numpy().astype(np.float64) / self.scale
        intercept = linear.bias.detach().cpu().numpy().astype(np.float64)
        return coef, intercept - coef @ self.mean.cpu().numpy()


# What y holds ----------------------------------------------------------------------------------


class Classes:
    """Labels of classes: what the networks and the heads need of them.

    Attributes
    ----------
    values : ndarray of int of shape (n,)
        Places of the labels among the classes.
    n_outputs : int
        Of the linear layer.
    penalty : float
        Factor of the squared weights of the layer, in a loss that is summed over the rows.
    facts : dict
        Fitted attributes of the estimator.
    """

    def __init__(self, y, weights, name):
        if y.dtype.kind == "f":
            assert_all_finite(y, input_name="y", estimator_name=name)
        check_classification_targets(y)
        self.classes, self.values = np.unique(y, return_inverse=True)
        self.n_outputs = len(self.classes)
        self.facts = {"classes_": self.classes}
        self.penalty = 0.5 if self.n_outputs > 2 else 1.0  # of two, each has half of a difference
        if self.n_outputs < 2:
            raise ValueError(
                f"{name} needs labelled rows of two classes at least; got one class only, "
                f"{self.classes[0]!r}."
            )

    @staticmethod
    def losses(logits, values):
        return F.cross_entropy(logits, values, reduction="none")

    def default_head(self):
        return LogisticRegression(max_iter=10_000)

    def linear_model(self, coef, intercept):
        """Return a LogisticRegression with these weights; of two classes it has the difference."""
        if self.n_outputs == 2 and len(coef) == 2:
            coef, intercept = coef[1:] - coef[:1], intercept[1:] - intercept[:1]
        head = LogisticRegression()
        head.classes_ = self.classes
        return _with_weights(head, coef, intercept)

    def layer_weights(self, head):
        """Return the weights of a linear head for one output a class."""
        coef, intercept = np.atleast_2d(head.coef_), np.atleast_1d(head.intercept_)
        if len(coef) == 1:
            return np.concatenate([-coef, coef]) / 2, np.concatenate([-intercept, intercept]) / 2
        return coef, intercept


class Numbers:
    """Numbers to be predicted: the networks learn them with mean 0 and deviation 1.

    Attributes are those of :class:`Classes`.
    """

    n_outputs = 1

    def __init__(self, y, weights, name):
        y = np.asarray(y, np.float64)
        assert_all_finite(y, input_name="y", estimator_name=name)
        self.facts = {}
        self.penalty = 1.0
        self.mean = np.average(y, weights=weights)
        deviation = np.sqrt(np.average((y - self.mean) ** 2, weights=weights))
        self.scale = deviation if deviation > 0 else 1.0
        self.values = ((y - self.mean) / self.scale).astype(np.float32)

    @staticmethod
    def losses(outputs, values):
        return (outputs[:, 0] - values).square()

    def default_head(self):
        return RidgeCV(alphas=np.logspace(-2, 4, 13))

    def linear_model(self, coef, intercept):
        """Return a LinearRegression in the units of y."""
        return _with_weights(
            LinearRegression(), coef[0] * self.scale, intercept[0] * self.scale + self.mean
        )

    def layer_weights(self, head):
        """Return the weights of a linear head for standardised numbers."""
        coef, intercept = np.atleast_2d(head.coef_), np.atleast_1d(head.intercept_)
        return coef / self.scale, (intercept - self.mean) / self.scale


def _with_weights(head, coef, intercept):
    head.coef_, head.intercept_ = coef, intercept
    head.n_features_in_ = coef.shape[-1]
    return head
