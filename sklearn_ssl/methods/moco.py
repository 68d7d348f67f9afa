"""MoCo v2 (He et al., 2019, https://arxiv.org/abs/1911.05722; Chen et al., 2020).

::

    for each batch x:
        v_q, v_k = augment(x), augment(x)
        q = normalize(head(encoder(v_q)))           # queries
        k = normalize(key_head(key_encoder(v_k)))   # keys, without gradient
        loss = cross_entropy([q . k, q . queue] / temperature, 0)
        put k into the queue in place of the oldest keys
        optimizer step
        key network = momentum * key network + (1 - momentum) * query network
"""

from numbers import Integral, Real

import torch
from torch.nn import functional as F

from sklearn_ssl import defaults
from sklearn_ssl._sklearn_compat import Interval
from sklearn_ssl.augment import make_views, resolve_augmentation
from sklearn_ssl.base.arrays import BaseViewTransformer
from sklearn_ssl.base.parameters import param
from sklearn_ssl.heads import mlp_head
from sklearn_ssl.losses import queue_info_nce
from sklearn_ssl.pretext import PretextTask, ema_update, frozen_copy


def default_queue_size(n_samples):
    """Return the length of MoCo's queue: a quarter of the rows, 64 to 4,096 keys.

    A queue longer than the data would hold older keys of the very rows of the batch.
    """
    return int(min(max(n_samples // 4, 64), 4096))


class MoCoTask(PretextTask):
    """Recognize a row's key, made by a slowly moving network, among those of earlier batches."""

    def __init__(self, encoder, augment, temperature, momentum, queue_size):
        super().__init__()
        self.encoder = encoder
        self.augment = augment
        self.temperature = temperature
        self.momentum = momentum
        width = encoder.output_dim
        dims = (width, *defaults.projection_dims(width))
        self.projection_head = mlp_head(dims)
        self.key_encoder = frozen_copy(encoder)
        self.key_head = frozen_copy(self.projection_head)
        self.register_buffer("queue", F.normalize(torch.randn(queue_size, dims[-1]), dim=1))
        self.register_buffer("oldest", torch.tensor(0))  # its position in the queue

    def forward(self, batch):
        view_q, view_k = make_views(self.augment, batch, 2, self.generator).chunk(2)
        q = self.projection_head(self.shared(self.encoder, view_q))  # queries: [n, 128]
        with torch.no_grad():
            k = self.key_head(self.shared(self.key_encoder, view_k))  # keys: [n, 128]
        # The queue changes before the backward pass, which needs the values that the loss has seen.
        loss = queue_info_nce(q, k, self.queue.clone(), self.temperature)
        if self.training:
            self._enqueue(k)
        return loss

    @torch.no_grad()
    def _enqueue(self, keys):
        """Replace the oldest keys; if there are more keys than places, keep the last ones."""
        keys = F.normalize(keys.float(), dim=1)[-len(self.queue) :]
        places = (self.oldest + torch.arange(len(keys), device=keys.device)) % len(self.queue)
        self.queue[places] = keys
        self.oldest.copy_((self.oldest + len(keys)) % len(self.queue))

    def after_step(self, progress):
        ema_update(self.key_encoder, self.encoder, self.momentum)
        ema_update(self.key_head, self.projection_head, self.momentum)


class MoCoTransformer(BaseViewTransformer):
    """Contrastive representations with a queue of earlier rows (MoCo v2).

    An encoder learns which key belongs to its view of a row: the one made from another view of that
    row, or one from earlier batches, which are kept in a queue [1]_. Keys come from a copy of the
    network that follows it slowly, so that old and new keys can be compared. The number of
    negatives does not depend on the batch size, and only one view of each row is used for training:
    a step takes about two thirds of the time of SimCLR's. Heads and augmentation are those of v2
    [2]_.

    Parameters
    ----------
    temperature : float, default=0.2
        Divisor of the cosine similarities in the loss.
    momentum : float, default=None
        Fraction of its weights that the key network keeps at each step, in [0, 1). None averages
        over a quarter of the fit, and is between 0.9 and 0.996; the paper's 0.999 is for a million
        steps.
    queue_size : int, default=None
        Number of keys in the queue. None means a quarter of the rows, 64 to 4,096: a queue longer
        than the data would contain older keys of the same rows as the batch, as false negatives.

    Notes
    -----
    Unlike in the paper, the hidden layers of the head are batch-normalized: without it, fits of a
    few hundred steps collapsed into a single direction.

    References
    ----------
    .. [1] K. He et al., "Momentum Contrast for Unsupervised Visual Representation Learning",
       CVPR 2020, https://arxiv.org/abs/1911.05722
    .. [2] X. Chen et al., "Improved Baselines with Momentum Contrastive Learning", 2020,
       https://arxiv.org/abs/2003.04297

    Examples
    --------
    >>> from sklearn.datasets import load_digits
    >>> from sklearn_ssl import MoCoTransformer
    >>> X, _ = load_digits(return_X_y=True)
    >>> ssl = MoCoTransformer(image_shape=(8, 8), max_epochs=1, random_state=0)
    >>> ssl.fit_transform(X[:200]).shape
    (200, 256)
    """

    temperature: float = param(0.2, Interval(Real, 0, None, closed="neither"))
    momentum: float | None = param(None, Interval(Real, 0, 1, closed="left"), None)
    queue_size: int | None = param(None, Interval(Integral, 1, defaults.MOST, closed="both"), None)

    _relative_cost = 0.7
    _collapse_remedies = {"temperature": "smaller", "lr": "smaller"}
    _fewest_directions = 2.5  # negatives push embeddings apart in all directions

    def _make_task(self, spec):
        return MoCoTask(
            self._make_encoder(spec),
            resolve_augmentation(self.augment, spec),
            self.temperature,
            self._momentum(spec),
            self.queue_size or default_queue_size(spec.n_samples),
        )
