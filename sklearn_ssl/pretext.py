"""The contract of a pretext task: a module that turns a batch of raw data into a loss."""

import copy
import math

from torch import nn
from torch.optim.swa_utils import get_ema_multi_avg_fn

MAX_GRAD_NORM = 1.0  # for the tasks that clip their gradients


class PretextTask(nn.Module):
    """Base class of pretext tasks.

    A pretext task makes its own views or targets from a batch, and measures how wrong its networks
    are about them. Subclasses set ``self.encoder`` in ``__init__`` and write :meth:`forward`; the
    estimator around them does the rest.

    Two rules keep fits reproducible and saved models complete: draw random numbers only from
    ``self.generator``, and keep everything that must be saved (a queue, a center, a teacher, a step
    counter) in a buffer or a submodule. A network that gradients must not train gets
    ``requires_grad_(False)``.

    A batch is a float32 tensor on the device of the task, or int64 for texts:

    ======== ================================ ============================================
    modality shape                            units
    ======== ================================ ============================================
    table    ``(n, features)``                each column with mean 0 and deviation 1
    image    ``(n, channels, height, width)`` black 0, white 1 (the range seen in ``fit``)
    series   ``(n, channels, time)``          each channel with mean 0 and deviation 1
    text     ``(n, length)``                  ids of tokens, -1 after the end of a row
    ======== ================================ ============================================

    In tables, categorical columns hold codes from 1 on, with 0 for unknown, and missing numbers are
    NaN; an encoder built by ``self._make_encoder(spec)`` takes care of both.

    Attributes
    ----------
    generator : torch.Generator or None
        The source of random numbers, on the device of the task. The estimator sets it before it
        calls :meth:`forward`.
    processes : object or None
        The processes that share the fit, for :meth:`shared`. The estimator sets it, too.
    max_grad_norm : float or None
        If the total norm of the gradients of a step is larger, they are scaled down to it. None,
        the default, leaves them as they are.

    Examples
    --------
    >>> import torch
    >>> from sklearn_ssl import PretextTask
    >>> class DenoisingTask(PretextTask):
    ...     def __init__(self, encoder, n_features):
    ...         super().__init__()
    ...         self.encoder = encoder
    ...         self.decoder = torch.nn.Linear(encoder.output_dim, n_features)
    ...
    ...     def forward(self, batch):
    ...         noise = torch.empty_like(batch).normal_(generator=self.generator)
    ...         return (self.decoder(self.encoder(batch + noise)) - batch).square().mean()
    """

    generator = None
    processes = None
    max_grad_norm = None

    # For the error message of a loss that is not finite.
    loss_name = "pretext loss"
    remedies = (
        "a smaller lr (it is {lr:g}), a larger temperature where there is one, "
        'precision="float32", or look for extreme values in X'
    )

    def forward(self, batch):
        """Return the pretext loss of a batch, a scalar tensor."""
        raise NotImplementedError(f"{type(self).__name__} must define forward(batch) -> loss")

    def shared(self, function, *rows):
        """Return what a function of rows returns; processes that share a fit share its work.

        Otherwise the function is just called. Each process calls it with some of the rows, and all
        get the outputs for all rows: the loss is that of the whole batch in every process. What is
        not shared is computed in each process.

        Parameters
        ----------
        function : callable
            Returns a tensor with one row for each of its rows, which does not depend on the other
            rows, except in batch normalizations. It draws no random numbers except by dropout.
        *rows : torch.Tensor of shape (n, ...)

        Returns
        -------
        outputs : torch.Tensor of shape (n, ...)
        """
        if self.processes is None:
            return function(*rows)
        return self.processes.rows(function, rows, self.generator)

    def shared_mean(self, function, *rows, count=None):
        """Return a loss that is a mean over rows; processes that share a fit share its work.

        Parameters
        ----------
        function : callable
            As in :meth:`shared`, but returns a scalar.
        *rows : torch.Tensor of shape (n, ...)
        count : callable, default=None
            Tells of the same rows over how many things, such as tokens, the mean is taken. None
            means that it is over the rows.

        Returns
        -------
        loss : torch.Tensor
            The mean for all rows, a scalar.
        """
        if self.processes is None:
            return function(*rows)
        return self.processes.mean(function, rows, self.generator, count)

    def encode(self, batch):
        """Return the representation of a batch, of shape ``(n, output_dim)``."""
        return self.encoder(batch)

    def after_backward(self, progress):
        """Called after the backward pass and before the optimizer step, to clip or drop gradients.

        Clips them by ``max_grad_norm`` unless it is overridden.

        Parameters
        ----------
        progress : float
            The fraction of the training that is done, from 0 to 1.
        """
        if self.max_grad_norm is not None:
            nn.utils.clip_grad_norm_(self.parameters(), self.max_grad_norm)

    def after_step(self, progress):
        """Called after every optimizer step, for EMA updates and schedules.

        Parameters
        ----------
        progress : float
            The fraction of the training that is done, from 0 to 1.
        """

    def weight_decay_at(self, progress, weight_decay):
        """Return the weight decay of the next step; by default the estimator's parameter.

        Parameters
        ----------
        progress : float
            The fraction of the training that is done, from 0 to 1.
        weight_decay : float
            The parameter of the estimator.
        """
        return weight_decay

    def lr_scales(self):
        """Return factors of the learning rate for some parameters.

        By default those of modules that have an attribute ``lr_scale``.

        Returns
        -------
        scales : dict of torch.nn.Parameter to float
            Other parameters have the factor 1.
        """
        return {
            parameter: module.lr_scale
            for module in self.modules()
            if hasattr(module, "lr_scale")
            for parameter in module.parameters()
        }


def frozen_copy(module):
    """Return a copy that gradients do not train: an initial target, teacher or key network.

    Like every submodule, it is in training mode during a fit, so its batch normalizations use the
    statistics of the batch.

    Parameters
    ----------
    module : torch.nn.Module
    """
    return copy.deepcopy(module).requires_grad_(False)


def ema_update(target, online, momentum):
    """Move `target` towards `online`: ``target = momentum * target + (1 - momentum) * online``.

    Parameters
    ----------
    target, online : torch.nn.Module
        Two modules with the same architecture. Parameters are averaged; the target keeps its own
        buffers, such as the statistics of its batch normalizations.
    momentum : float
        In [0, 1]. 1 leaves the target as it is, 0 copies the online parameters.
    """
    average = get_ema_multi_avg_fn(momentum)
    average(list(target.parameters()), list(online.parameters()), None)


def cosine_schedule(start, end, progress):
    """Return a value that goes from `start` to `end` on half a cosine.

    With ``end=1`` it is the momentum of BYOL: ``1 - (1 - start) * (cos(pi * progress) + 1) / 2``.

    Parameters
    ----------
    start, end : float
    progress : float
        The fraction of the training that is done, from 0 to 1.

    Examples
    --------
    >>> from sklearn_ssl.pretext import cosine_schedule
    >>> [round(cosine_schedule(0.9, 1.0, progress), 3) for progress in (0, 0.5, 1)]
    [0.9, 0.95, 1.0]
    """
    return end - (end - start) * (math.cos(math.pi * progress) + 1) / 2
