"""VICReg (Bardes, Ponce, LeCun, 2021, https://arxiv.org/abs/2105.04906).

::

    for each batch x:
        z_a, z_b = head(encoder(augment(x))), head(encoder(augment(x)))
        loss = invariance * mean((z_a - z_b)^2)                  # views agree
             + variance * mean(relu(1 - std(z)))                 # no component is constant
             + covariance * sum of squared covariances(z) / d    # and no two are alike
"""

from numbers import Real

import torch

from sklearn_ssl import defaults
from sklearn_ssl._base import BaseSSLTransformer
from sklearn_ssl._sklearn_compat import Interval
from sklearn_ssl.augment import make_views, resolve_augmentation
from sklearn_ssl.heads import mlp_head
from sklearn_ssl.losses import vicreg
from sklearn_ssl.pretext import PretextTask


class VICRegTask(PretextTask):
    """Make the views of a row agree, in components that vary and are not alike."""

    def __init__(self, encoder, augment, invariance, variance, covariance):
        super().__init__()
        self.encoder = encoder
        self.augment = augment
        self.invariance = invariance
        self.variance = variance
        self.covariance = covariance
        dims = (encoder.output_dim, *defaults.expander_dims())
        self.projection_head = mlp_head(dims, last_bias=False)

    def forward(self, batch):
        views = make_views(self.augment, batch, 2, self.generator)  # [2n, ...]
        z_a, z_b = self.projection_head(self.encoder(views)).chunk(2)  # [n, 512] each
        return vicreg(
            z_a,
            z_b,
            invariance=self.invariance,
            variance=self.variance,
            covariance=self.covariance,
        )


class VICRegTransformer(BaseSSLTransformer):
    """Representations by variance, invariance and covariance (VICReg).

    The projections of two views shall be equal, while every component keeps a standard deviation of
    at least 1 over the batch and no two components are correlated [1]_. What keeps it from
    collapsing is written in the loss; there are no negatives and no second network.

    Parameters
    ----------
    invariance : float, default=25.0
        Weight of the mean squared difference of the views.
    variance : float, default=25.0
        Weight of what is missing to a standard deviation of 1. Without it, all rows collapse.
    covariance : float, default=1.0
        Weight of the squared covariances between components.
    augment : Augmentation, callable or list of them, default=None
        Makes the views, as in :class:`~sklearn_ssl.SimCLRTransformer`.
    encoder, n_components, modality, image_shape, categorical_features, scaling
        The network, and how X is read. These and all that follow are shared by all estimators, and
        explained in :class:`~sklearn_ssl.BaseSSLTransformer`; so are the attributes.
    max_epochs, batch_size, optimizer, lr, weight_decay, warm_start
        The training.
    early_stopping, validation_fraction, n_iter_no_change
        When it ends.
    callbacks, device, precision, verbose, random_state
        How it runs.

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

    _parameter_constraints = {
        **BaseSSLTransformer._parameter_constraints,
        "invariance": [Interval(Real, 0, None, closed="left")],
        "variance": [Interval(Real, 0, None, closed="left")],
        "covariance": [Interval(Real, 0, None, closed="left")],
        "augment": [callable, list, tuple, None],
    }
    _relative_cost = 1.2
    _collapse_remedies = {"variance": "larger", "covariance": "larger", "lr": "smaller"}
    _lengths_count = True  # components shall have a deviation of 1

    def __init__(
        self,
        *,
        invariance=25.0,
        variance=25.0,
        covariance=1.0,
        augment=None,
        encoder=None,
        n_components=None,
        modality="auto",
        image_shape=None,
        categorical_features="from_dtype",
        scaling="standard",
        max_epochs=None,
        batch_size=None,
        optimizer=torch.optim.AdamW,
        lr=2e-3,
        weight_decay=1e-4,
        early_stopping=False,
        validation_fraction=0.1,
        n_iter_no_change=10,
        warm_start=False,
        callbacks=None,
        device="auto",
        precision="auto",
        verbose=0,
        random_state=None,
    ):
        super().__init__(
            encoder=encoder,
            n_components=n_components,
            modality=modality,
            image_shape=image_shape,
            categorical_features=categorical_features,
            scaling=scaling,
            max_epochs=max_epochs,
            batch_size=batch_size,
            optimizer=optimizer,
            lr=lr,
            weight_decay=weight_decay,
            early_stopping=early_stopping,
            validation_fraction=validation_fraction,
            n_iter_no_change=n_iter_no_change,
            warm_start=warm_start,
            callbacks=callbacks,
            device=device,
            precision=precision,
            verbose=verbose,
            random_state=random_state,
        )
        self.invariance = invariance
        self.variance = variance
        self.covariance = covariance
        self.augment = augment

    def _make_task(self, spec):
        return VICRegTask(
            self._make_encoder(spec),
            resolve_augmentation(self.augment, spec),
            self.invariance,
            self.variance,
            self.covariance,
        )
