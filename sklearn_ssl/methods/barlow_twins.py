"""Barlow Twins (Zbontar et al., 2021, https://arxiv.org/abs/2103.03230).

::

    for each batch x:
        z_a, z_b = head(encoder(augment(x))), head(encoder(augment(x)))
        c = correlations of the columns of z_a with those of z_b, over the batch
        loss = sum_i (1 - c_ii)^2 + redundancy_weight * sum_{i != j} c_ij^2
"""

from numbers import Real

from sklearn_ssl._sklearn_compat import Interval
from sklearn_ssl.augment import make_views, resolve_augmentation
from sklearn_ssl.base.arrays import BaseViewTransformer
from sklearn_ssl.base.parameters import param
from sklearn_ssl.heads import EXPANDER_DIMS, mlp_head
from sklearn_ssl.losses import barlow_twins
from sklearn_ssl.pretext import PretextTask


class BarlowTwinsTask(PretextTask):
    """Make each component the same in both views, and different from the other components."""

    def __init__(self, encoder, augment, redundancy_weight):
        super().__init__()
        self.encoder = encoder
        self.augment = augment
        self.redundancy_weight = redundancy_weight
        dims = (encoder.output_dim, *EXPANDER_DIMS)
        self.projection_head = mlp_head(dims, last_bias=False)

    def forward(self, batch):
        views = make_views(self.augment, batch, 2, self.generator)  # [2n, ...]
        z_a, z_b = self.projection_head(self.shared(self.encoder, views)).chunk(2)  # [n, 512] each
        return barlow_twins(z_a, z_b, self.redundancy_weight)


class BarlowTwinsTransformer(BaseViewTransformer):
    """Representations by redundancy reduction (Barlow Twins).

    The correlation matrix between the projections of two views should be the identity: each
    component should be the same in both views, and different components should be uncorrelated
    [1]_. Components are compared instead of rows, so there are no negatives and no second network.
    The projection is wide on purpose.

    Parameters
    ----------
    redundancy_weight : float, default=5e-3
        Weight of the correlations between different components, the paper's lambda.

    References
    ----------
    .. [1] J. Zbontar et al., "Barlow Twins: Self-Supervised Learning via Redundancy Reduction",
       ICML 2021, https://arxiv.org/abs/2103.03230

    Examples
    --------
    >>> from sklearn.datasets import load_digits
    >>> from sklearn_ssl import BarlowTwinsTransformer
    >>> X, _ = load_digits(return_X_y=True)
    >>> ssl = BarlowTwinsTransformer(image_shape=(8, 8), max_epochs=1, random_state=0)
    >>> ssl.fit_transform(X[:200]).shape
    (200, 256)
    """

    redundancy_weight: float = param(5e-3, Interval(Real, 0, None, closed="left"))

    _relative_cost = 1.2
    _collapse_remedies = {"redundancy_weight": "larger", "lr": "smaller"}

    def _make_task(self, spec):
        augment = resolve_augmentation(self.augment, spec)
        return BarlowTwinsTask(self._make_encoder(spec), augment, self.redundancy_weight)
