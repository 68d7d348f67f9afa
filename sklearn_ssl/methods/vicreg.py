"""VICReg (Bardes, Ponce, LeCun, 2021, https://arxiv.org/abs/2105.04906).

::

    for each batch x:
        z_a, z_b = head(encoder(augment(x))), head(encoder(augment(x)))
        loss = invariance * mean((z_a - z_b)^2)                  # views agree
             + variance * mean(relu(1 - std(z)))                 # no component is constant
             + covariance * sum of squared covariances(z) / d    # and no two are correlated
"""

from numbers import Real

from sklearn_ssl._sklearn_compat import Interval
from sklearn_ssl.augment import make_views, resolve_augmentation
from sklearn_ssl.base.arrays import BaseViewTransformer
from sklearn_ssl.base.parameters import param
from sklearn_ssl.heads import EXPANDER_DIMS, mlp_head
from sklearn_ssl.losses import vicreg
from sklearn_ssl.pretext import PretextTask


class VICRegTask(PretextTask):
    """Make the views of a row agree, in components that vary and are uncorrelated."""

    def __init__(self, encoder, augment, invariance, variance, covariance):
        super().__init__()
        self.encoder = encoder
        self.augment = augment
        self.invariance = invariance
        self.variance = variance
        self.covariance = covariance
        dims = (encoder.output_dim, *EXPANDER_DIMS)
        self.projection_head = mlp_head(dims, last_bias=False)

    def forward(self, batch):
        views = make_views(self.augment, batch, 2, self.generator)  # [2n, ...]
        z_a, z_b = self.projection_head(self.shared(self.encoder, views)).chunk(2)  # [n, 512] each
        return vicreg(
            z_a,
            z_b,
            invariance=self.invariance,
            variance=self.variance,
            covariance=self.covariance,
        )


class VICRegTransformer(BaseViewTransformer):
    """Representations by variance, invariance and covariance (VICReg).

    The projections of two views should be equal, while every component keeps a standard deviation
    of at least 1 over the batch and no two components are correlated [1]_. The loss itself prevents
    a collapse; there are no negatives and no second network.

    Parameters
    ----------
    invariance : float, default=25.0
        Weight of the mean squared difference of the views.
    variance : float, default=25.0
        Weight of the shortfall from a standard deviation of 1. Without it, all rows collapse.
    covariance : float, default=1.0
        Weight of the squared covariances between components.

    References
    ----------
    .. [1] A. Bardes, J. Ponce, Y. LeCun, "VICReg: Variance-Invariance-Covariance Regularization for
       Self-Supervised Learning", ICLR 2022, https://arxiv.org/abs/2105.04906

    Examples
    --------
    >>> from sklearn.datasets import load_digits
    >>> from sklearn_ssl import VICRegTransformer
    >>> X, _ = load_digits(return_X_y=True)
    >>> ssl = VICRegTransformer(image_shape=(8, 8), max_epochs=1, random_state=0)
    >>> ssl.fit_transform(X[:200]).shape
    (200, 256)
    """

    invariance: float = param(25.0, Interval(Real, 0, None, closed="left"))
    variance: float = param(25.0, Interval(Real, 0, None, closed="left"))
    covariance: float = param(1.0, Interval(Real, 0, None, closed="left"))

    _relative_cost = 1.2
    _collapse_remedies = {"variance": "larger", "covariance": "larger", "lr": "smaller"}
    _lengths_count = True  # components should have a standard deviation of 1

    def _make_task(self, spec):
        return VICRegTask(
            self._make_encoder(spec),
            resolve_augmentation(self.augment, spec),
            self.invariance,
            self.variance,
            self.covariance,
        )
