"""What fine-tuning trains: an encoder and a linear layer, on rows with labels.

::

    for each batch of labeled rows x, y:
        loss = mean(weights * cross_entropy(linear(encode(x)), y))
        loss += penalty * norm(linear.weight) ** 2
"""

import numpy as np
import torch
from torch import nn

from sklearn_ssl.augment import make_views
from sklearn_ssl.pretext import MAX_GRAD_NORM, PretextTask
from sklearn_ssl.training.inference import row_batches


class FineTuneTask(PretextTask):
    """An encoder and a linear layer that learn from labels.

    A batch holds rows as the pretext task accepts them, their targets, of shape ``(n,)`` or, for
    several labels per row, ``(n, n_labels)``, and weights of shape ``(n,)``. These have a mean of 1
    over all rows, but not in each batch: a batch of rows with small weights is a small step.

    The layer has the penalty of the probe, a LogisticRegression or a Ridge, so the probe's solution
    stays optimal until the representation changes.

    Batch normalizations keep the statistics of the pretraining, because a few rows give poor ones.
    `still` keeps the whole encoder in evaluation mode, without dropout: if a probe reads narrow
    directions, dropout would disturb its predictions of numbers.
    """

    loss_name = "fine-tuning loss"
    remedies = (
        'a smaller lr (it is {lr:g}), strategy="probe", which trains no encoder, or look for '
        "extreme values in X and y"
    )

    def __init__(self, pretext, head, loss, penalty, augment, layer_decay, still=False):
        super().__init__()
        self.encoder = pretext.encoder
        self.encode = pretext.encode  # a user's task may do more than call its encoder
        self.head = head
        self.loss = loss
        self.penalty = penalty
        self.augment = augment
        self.layer_decay = layer_decay
        self.still = still

    def forward(self, batch):
        rows, targets, weights = batch
        if self.training and self.augment is not None:
            views = augmented(rows, self.augment, self.generator)
            rows, targets, weights = (
                torch.cat(both) for both in ((rows, views), (targets, targets), (weights, weights))
            )
        return self.supervised(self.head(self.shared(self.encode, rows)).float(), targets, weights)

    def supervised(self, outputs, targets, weights):
        """Return the loss of the labels, with the penalty.

        Parameters
        ----------
        outputs : torch.Tensor of shape (n, n_outputs)
        targets : torch.Tensor of shape (n,) or (n, n_labels)
        weights : torch.Tensor of shape (n,)
        """
        # In proportion to the weights; otherwise heavy and light batches would be equal steps.
        self.max_grad_norm = MAX_GRAD_NORM * weights.mean().item()
        losses = self.loss(outputs, targets)  # [n]
        penalty = self.penalty * self.head.linear.weight.square().sum()
        return (weights * losses).mean() + penalty

    def train(self, mode=True):
        super().train(mode)
        for module in self.encoder.modules():
            has_statistics = isinstance(module, nn.modules.batchnorm._BatchNorm)
            if has_statistics or (self.still and not isinstance(module, nn.RNNBase)):
                module.eval()  # cuDNN has no gradients of a recurrent network in evaluation
        return self

    def lr_scales(self):
        """Each layer learns more slowly than the next one, by the factor `layer_decay`."""
        layers = layers_of(self.encoder)
        scales = {p: self.layer_decay ** (len(layers) + 1) for p in self.encoder.parameters()}
        for i, layer in enumerate(layers):
            scales |= dict.fromkeys(layer.parameters(), self.layer_decay ** (len(layers) - i))
        return scales


def augmented(rows, augment, generator):
    """Return a view of rows; except in tables, rows with missing numbers stay unchanged."""
    views = make_views(augment, rows, 1, generator)
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
    """Rows with the targets and weights that a batch needs, arrays of length n."""

    def __init__(self, rows, targets, weights):
        self.rows = rows
        self.targets = targets
        self.weights = weights

    def __len__(self):
        return len(self.rows)

    def __getitem__(self, indices):
        return self.rows[indices], self.targets[indices], self.weights[indices]

    @property
    def lengths(self):
        """Lengths of the rows, if they differ."""
        return self.rows.lengths


class LabeledSpec:
    """Turn batches of :class:`LabeledRows` into tensors: rows, targets and weights."""

    def __init__(self, spec):
        self.spec = spec

    def to_tensor(self, batch, device="cpu"):
        rows, targets, weights = batch
        tensors = (torch.from_numpy(array).to(device) for array in (targets, weights))
        return self.spec.to_tensor(rows, device), *tensors


class LinearHead(nn.Module):
    """A linear layer on the representation, centered and divided by one factor.

    Parameters
    ----------
    mean, scale : ndarray of shape (width,) and float
    n_outputs : int
    bias : float or ndarray of shape (n_outputs,), default=0.0
        Where it starts; the weights start at 0.
    """

    def __init__(self, mean, scale, n_outputs, bias=0.0):
        super().__init__()
        self.linear = nn.Linear(len(mean), n_outputs)
        nn.init.zeros_(self.linear.weight)
        with torch.no_grad():
            self.linear.bias.copy_(torch.as_tensor(bias))
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


@torch.inference_mode()
def mean_loss(task, rows, spec, batch_size, device):
    """Return the loss of a task on labeled rows, in evaluation mode."""
    task.eval()
    losses, sizes = [], []
    for batch in row_batches(rows, batch_size):
        losses.append(task(spec.to_tensor(batch, device)).item())
        sizes.append(len(batch[1]))
    return np.average(losses, weights=sizes)
