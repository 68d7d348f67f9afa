"""MoCo v3 (Chen, Xie, He, 2021, https://arxiv.org/abs/2104.02057).

::

    for each batch x:
        v_1, v_2 = augment(x), augment(x)
        q_1, q_2 = predictor(head(encoder(v_1))), predictor(head(encoder(v_2)))
        k_1, k_2 = key_head(key_encoder(v_1)), key_head(key_encoder(v_2))  # without gradient
        loss = info_nce(q_1, k_2) + info_nce(q_2, k_1)                     # within the batch
        optimizer step
        key network = momentum * key network + (1 - momentum) * query network
"""

from numbers import Real

import torch

from sklearn_ssl import defaults
from sklearn_ssl._sklearn_compat import Interval
from sklearn_ssl.augment import make_views, resolve_augmentation
from sklearn_ssl.base.arrays import BaseViewTransformer
from sklearn_ssl.base.parameters import param
from sklearn_ssl.encoders.vit import ViTEncoder
from sklearn_ssl.heads import mlp_head
from sklearn_ssl.losses import info_nce
from sklearn_ssl.pretext import PretextTask, cosine_schedule, ema_update, frozen_copy


class MoCoV3Task(PretextTask):
    """Recognize a row's key, made by a slowly moving network, among those of the batch."""

    def __init__(self, encoder, augment, temperature, momentum):
        super().__init__()
        self.encoder = encoder
        self.augment = augment
        self.temperature = temperature
        self.momentum = momentum
        for module in encoder.modules():
            if isinstance(module, ViTEncoder):  # stays random, which keeps the training stable
                module.patch_embedding.requires_grad_(False)
        width = encoder.output_dim
        hidden, dim = defaults.projection_dims(width)
        self.projection_head = mlp_head((width, hidden, dim), last_batch_norm=True)
        self.prediction_head = mlp_head((dim, hidden, dim), last_batch_norm=True)
        self.key_encoder = frozen_copy(encoder)
        self.key_head = frozen_copy(self.projection_head)

    def forward(self, batch):
        views = make_views(self.augment, batch, 2, self.generator)  # [2n, ...]
        h = self.shared(self.encoder, views)
        q_1, q_2 = self.prediction_head(self.projection_head(h)).chunk(2)
        with torch.no_grad():
            k_1, k_2 = self.key_head(self.shared(self.key_encoder, views)).chunk(2)  # [n, 128] each
        loss = info_nce(q_1, k_2, self.temperature) + info_nce(q_2, k_1, self.temperature)
        return 2 * self.temperature * loss

    def after_step(self, progress):
        momentum = cosine_schedule(self.momentum, 1.0, progress)
        ema_update(self.key_encoder, self.encoder, momentum)
        ema_update(self.key_head, self.projection_head, momentum)


class MoCoV3Transformer(BaseViewTransformer):
    """Contrastive representations with keys from a slowly moving network (MoCo v3).

    Like MoCo v2, but without a queue: the negatives are the other keys of the batch, both views are
    queries and keys, and the queries pass through a prediction head [1]_. With ``encoder="vit"``,
    the projection of the patches keeps its random weights, which makes the training of Vision
    Transformers stable.

    Parameters
    ----------
    temperature : float, default=0.2
        Divisor of the cosine similarities in the loss.
    momentum : float, default=None
        Fraction of its weights that the key network keeps at the first step, in [0, 1); it rises to
        1 along a cosine. None averages over a quarter of the fit, and is between 0.9 and 0.996.

    References
    ----------
    .. [1] X. Chen, S. Xie, K. He, "An Empirical Study of Training Self-Supervised Vision
       Transformers", ICCV 2021, https://arxiv.org/abs/2104.02057

    Examples
    --------
    >>> from sklearn.datasets import load_digits
    >>> from sklearn_ssl import MoCoV3Transformer
    >>> X, _ = load_digits(return_X_y=True)
    >>> ssl = MoCoV3Transformer(image_shape=(8, 8), max_epochs=1, random_state=0)
    >>> ssl.fit_transform(X[:200]).shape
    (200, 256)
    """

    temperature: float = param(0.2, Interval(Real, 0, None, closed="neither"))
    momentum: float | None = param(None, Interval(Real, 0, 1, closed="left"), None)

    _relative_cost = 1.4
    _collapse_remedies = {"temperature": "smaller", "lr": "smaller"}
    _fewest_directions = 2.5  # negatives push embeddings apart in all directions

    def _make_task(self, spec):
        return MoCoV3Task(
            self._make_encoder(spec),
            resolve_augmentation(self.augment, spec),
            self.temperature,
            self._momentum(spec),
        )
