"""SimCLR (Chen et al., 2020, https://arxiv.org/abs/2002.05709).

::

    for each batch x:
        v_a, v_b = augment(x), augment(x)      # two views
        h_a, h_b = encoder(v_a), encoder(v_b)  # representations, kept
        z_a, z_b = head(h_a), head(h_b)        # projections, thrown away after training
        loss = nt_xent(z_a, z_b)               # find the other view among 2n - 1
"""

from numbers import Real

import torch

from sklearn_ssl import defaults
from sklearn_ssl._base import BaseSSLTransformer
from sklearn_ssl._sklearn_compat import Interval
from sklearn_ssl.augment import make_views, resolve_augmentation
from sklearn_ssl.heads import mlp_head
from sklearn_ssl.losses import nt_xent
from sklearn_ssl.pretext import PretextTask


class SimCLRTask(PretextTask):
    """Recognise two views of the same row among the views of a batch."""

    def __init__(self, encoder, augment, temperature):
        super().__init__()
        self.encoder = encoder
        self.augment = augment
        self.temperature = temperature
        width = encoder.output_dim
        self.projection_head = mlp_head(
            (width, *defaults.projection_dims(width)), last_batch_norm=True
        )

    def forward(self, batch):
        views = make_views(self.augment, batch, 2, self.generator)  # [2n, ...], both in one pass
        z_a, z_b = self.projection_head(self.encoder(views)).chunk(2)  # [n, 128] each
        return nt_xent(z_a, z_b, self.temperature)


class SimCLRTransformer(BaseSSLTransformer):
    """Representations by contrast of two augmented views (SimCLR).

    An encoder learns to recognise the two views of each row among those of its batch, through a
    projection head and the NT-Xent loss [1]_. ``transform`` returns the encoder's output, in front
    of the head. Two draws of the augmentation should agree in what matters to the later task, and
    in as little else as possible: choosing it well is worth more than training for longer.

    Parameters
    ----------
    temperature : float, default=0.2
        Divisor of the cosine similarities in the loss; a small one weighs the hardest negatives
        more. Between 0.1 and 0.5 in the paper's experiments.
    augment : Augmentation, callable or list of them, default=None
        Makes a view of a batch, a tensor of shape ``(n, ...)``. None is
        :class:`~sklearn_ssl.augment.ImageAugmentation` for images,
        :class:`~sklearn_ssl.augment.FeatureCorruption` for tables and
        :class:`~sklearn_ssl.augment.SeriesAugmentation` for series. Any other function of a batch
        will do; random numbers that it draws from torch's global stream are seeded too.
    encoder, n_components, modality, image_shape, categorical_features, scaling
        The network, and how X is read. These and all that follow are shared by all estimators, and
        explained in :class:`~sklearn_ssl.BaseSSLTransformer`; so are the attributes.
    max_epochs, batch_size, optimizer, lr, weight_decay, warm_start
        The training.
    early_stopping, validation_fraction, n_iter_no_change
        When it ends.
    callbacks, device, precision, verbose, random_state
        How it runs.

    Notes
    -----
    The loss compares rows with the others of their batch only, so it depends on the batch size.

    References
    ----------
    .. [1] T. Chen, S. Kornblith, M. Norouzi, G. Hinton, "A Simple Framework for Contrastive
       Learning of Visual Representations", ICML 2020, https://arxiv.org/abs/2002.05709

    Examples
    --------
    Pretrain on all digits and classify with the labels of fifty of them:

    >>> from sklearn.datasets import load_digits
    >>> from sklearn.linear_model import LogisticRegression
    >>> from sklearn_ssl import SimCLRTransformer
    >>> X, y = load_digits(return_X_y=True)
    >>> ssl = SimCLRTransformer(image_shape=(8, 8), max_epochs=1, random_state=0)
    >>> Z = ssl.fit_transform(X)
    >>> Z.shape
    (1797, 256)
    >>> classifier = LogisticRegression().fit(Z[:50], y[:50])
    """

    _parameter_constraints = {
        **BaseSSLTransformer._parameter_constraints,
        "temperature": [Interval(Real, 0, None, closed="neither")],
        "augment": [callable, list, tuple, None],
    }
    _collapse_remedies = {"temperature": "smaller", "lr": "smaller"}
    _fewest_directions = 2.5  # negatives push embeddings apart in all directions

    def __init__(
        self,
        *,
        temperature=0.2,
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
        self.temperature = temperature
        self.augment = augment

    def _make_task(self, spec):
        augment = resolve_augmentation(self.augment, spec)
        return SimCLRTask(self._make_encoder(spec), augment, self.temperature)
