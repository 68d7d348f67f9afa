"""BYOL (Grill et al., 2020, https://arxiv.org/abs/2006.07733).

::

    for each batch x:
        v_1, v_2 = augment(x), augment(x)
        p_1, p_2 = predictor(head(encoder(v_1))), predictor(head(encoder(v_2)))  # online
        z_1, z_2 = target_head(target_encoder(v_1)), ...                         # without gradient
        loss = (2 - 2 cos(p_1, z_2)) + (2 - 2 cos(p_2, z_1))
        optimizer step
        tau = 1 - (1 - momentum) * (cos(pi * progress) + 1) / 2
        target = tau * target + (1 - tau) * online
"""

from numbers import Real

import torch

from sklearn_ssl import defaults
from sklearn_ssl._sklearn_compat import Interval
from sklearn_ssl.augment import make_views, resolve_augmentation
from sklearn_ssl.base.arrays import BaseViewTransformer
from sklearn_ssl.base.parameters import param
from sklearn_ssl.heads import mlp_head
from sklearn_ssl.losses import negative_cosine
from sklearn_ssl.pretext import PretextTask, cosine_schedule, ema_update, frozen_copy


class BYOLTask(PretextTask):
    """Predict the output of a slowly moving copy of the network for another view."""

    def __init__(self, encoder, augment, momentum):
        super().__init__()
        self.encoder = encoder
        self.augment = augment
        self.momentum = momentum
        width = encoder.output_dim
        hidden, dim = defaults.projection_dims(width)
        self.projection_head = mlp_head((width, hidden, dim), last_bias=False)
        self.prediction_head = mlp_head((dim, hidden, dim))
        self.target_encoder = frozen_copy(encoder)
        self.target_head = frozen_copy(self.projection_head)

    def forward(self, batch):
        views = make_views(self.augment, batch, 2, self.generator)  # [2n, ...]
        h = self.shared(self.encoder, views)
        p_1, p_2 = self.prediction_head(self.projection_head(h)).chunk(2)
        with torch.no_grad():
            h = self.shared(self.target_encoder, views)
            z_1, z_2 = self.target_head(h).chunk(2)  # [n, 128] each
        return 4 + 2 * negative_cosine(p_1, z_2) + 2 * negative_cosine(p_2, z_1)

    def after_step(self, progress):
        momentum = cosine_schedule(self.momentum, 1.0, progress)
        ema_update(self.target_encoder, self.encoder, momentum)
        ema_update(self.target_head, self.projection_head, momentum)


class BYOLTransformer(BaseViewTransformer):
    """Representations from predicting a slowly moving target (BYOL).

    From one view of a row, an online network predicts a target network's projection of the other
    view; the target is an average of the online network's earlier weights [1]_. Rows are not
    compared with each other, so similar rows are not pushed apart, and small batches are enough.

    Parameters
    ----------
    momentum : float, default=None
        Fraction of its weights that the target keeps at the first step, in [0, 1); it rises to 1
        along a cosine. None averages over a quarter of the fit, and is between 0.9 and 0.996: with
        the paper's 0.996, meant for 300,000 steps, the target of a short fit would hardly move.

    References
    ----------
    .. [1] J.-B. Grill et al., "Bootstrap Your Own Latent: A New Approach to Self-Supervised
       Learning", NeurIPS 2020, https://arxiv.org/abs/2006.07733

    Examples
    --------
    >>> from sklearn.datasets import load_digits
    >>> from sklearn_ssl import BYOLTransformer
    >>> X, _ = load_digits(return_X_y=True)
    >>> ssl = BYOLTransformer(image_shape=(8, 8), max_epochs=1, random_state=0)
    >>> ssl.fit_transform(X[:200]).shape
    (200, 256)
    """

    momentum: float | None = param(None, Interval(Real, 0, 1, closed="left"), None)

    _relative_cost = 1.4
    _collapse_remedies = {"momentum": "larger", "lr": "smaller"}

    def _make_task(self, spec):
        augment = resolve_augmentation(self.augment, spec)
        return BYOLTask(self._make_encoder(spec), augment, self._momentum(spec))
