"""LeJEPA (Balestriero, LeCun, 2025, https://arxiv.org/abs/2511.08544).

::

    for each batch x:
        v_1, v_2, v_3, ... = two global and some local views of x
        z_i = head(encoder(v_i))
        center = (z_1 + z_2) / 2                        # of the global views
        prediction = mean over i of (z_i - center)^2
        sigreg = mean over i of the distance of z_i, seen along random directions,
                 from a standard normal distribution
        loss = (1 - weight) * prediction + weight * sigreg
"""

from numbers import Integral, Real

import torch
from torch.nn import functional as F

from sklearn_ssl import defaults
from sklearn_ssl._sklearn_compat import Interval
from sklearn_ssl.augment import MultiCrop
from sklearn_ssl.base.arrays import BaseMultiCropTransformer
from sklearn_ssl.base.parameters import param
from sklearn_ssl.heads import mlp_head
from sklearn_ssl.losses import sigreg
from sklearn_ssl.pretext import PretextTask


class LeJEPATask(PretextTask):
    """Make the views of a row agree, with embeddings that are normally distributed."""

    def __init__(self, encoder, multi_crop, weight, n_directions):
        super().__init__()
        self.encoder = encoder
        self.multi_crop = multi_crop
        self.weight = weight
        self.n_directions = n_directions
        width = encoder.output_dim
        hidden, dim = defaults.projection_dims(width)
        self.projection_head = mlp_head((width, hidden, hidden, dim // 4))

    def forward(self, batch):
        views = self.multi_crop(batch, self.generator)  # [2n, ...], [n_local * n, ...]
        h = torch.cat([self.shared(self.encoder, group) for group in views])
        z = self.projection_head(h).unflatten(0, (-1, len(batch)))  # [v, n, d]
        center = z[:2].mean(dim=0)
        prediction = (z - center).square().mean()
        directions = torch.randn(
            z.shape[2], self.n_directions, generator=self.generator, device=z.device
        )
        directions = F.normalize(directions, dim=0)  # new ones at every step
        return (1 - self.weight) * prediction + self.weight * sigreg(z, directions)


class LeJEPATransformer(BaseMultiCropTransformer):
    """Representations that agree between views and are normally distributed (LeJEPA).

    The embeddings of all views of a row, including those that show only a small part of it, should
    be close to the mean of its global views; and the embeddings of all rows should follow an
    isotropic Gaussian, which is tested along random directions (SIGReg) [1]_. There is no teacher,
    no stopped gradient and no schedule: there is only one weight to choose.

    Parameters
    ----------
    weight : float, default=0.05
        Weight of the distance from a Gaussian, in [0, 1]; the agreement of the views has the
        remaining weight.
    n_directions : int, default=64
        Number of random directions along which embeddings are tested, drawn again at every step.

    References
    ----------
    .. [1] R. Balestriero, Y. LeCun, "LeJEPA: Provable and Scalable Self-Supervised Learning Without
       the Heuristics", 2025, https://arxiv.org/abs/2511.08544

    Examples
    --------
    >>> from sklearn.datasets import load_digits
    >>> from sklearn_ssl import LeJEPATransformer
    >>> X, _ = load_digits(return_X_y=True)
    >>> ssl = LeJEPATransformer(image_shape=(8, 8), max_epochs=1, random_state=0)
    >>> ssl.fit_transform(X[:200]).shape
    (200, 256)
    """

    weight: float = param(0.05, Interval(Real, 0, 1, closed="both"))
    n_directions: int = param(64, Interval(Integral, 1, defaults.MOST, closed="both"))

    _relative_cost = 1.1
    _collapse_remedies = {"weight": "larger", "lr": "smaller"}
    _lengths_count = True  # components should have a standard deviation of 1

    def _make_task(self, spec):
        encoder = self._make_encoder(spec)
        multi_crop = MultiCrop(self.augment, self.n_local, spec, encoder)
        return LeJEPATask(encoder, multi_crop, self.weight, self.n_directions)
