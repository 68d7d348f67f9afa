"""SimSiam (Chen, He, 2020, https://arxiv.org/abs/2011.10566).

::

    for each batch x:
        v_1, v_2 = augment(x), augment(x)
        z_1, z_2 = head(encoder(v_1)), head(encoder(v_2))
        p_1, p_2 = predictor(z_1), predictor(z_2)
        loss = -cos(p_1, stop_gradient(z_2)) / 2 - cos(p_2, stop_gradient(z_1)) / 2
"""

from sklearn_ssl import defaults
from sklearn_ssl.augment import make_views, resolve_augmentation
from sklearn_ssl.base.arrays import BaseViewTransformer
from sklearn_ssl.heads import mlp_head
from sklearn_ssl.losses import negative_cosine
from sklearn_ssl.pretext import PretextTask


class SimSiamTask(PretextTask):
    """Predict the projection of another view, through which no gradient flows."""

    def __init__(self, encoder, augment):
        super().__init__()
        self.encoder = encoder
        self.augment = augment
        width = encoder.output_dim
        hidden, dim = defaults.projection_dims(width)
        self.projection_head = mlp_head((width, hidden, hidden, dim), last_batch_norm=True)
        self.prediction_head = mlp_head((dim, dim // 4, dim))  # a bottleneck

    def forward(self, batch):
        views = make_views(self.augment, batch, 2, self.generator)  # [2n, ...]
        z = self.projection_head(self.shared(self.encoder, views))  # [2n, 128]
        p_1, p_2 = self.prediction_head(z).chunk(2)
        z_1, z_2 = z.detach().chunk(2)  # without detach, all embeddings become equal
        return (negative_cosine(p_1, z_2) + negative_cosine(p_2, z_1)) / 2


class SimSiamTransformer(BaseViewTransformer):
    """Representations from predicting another view, with a stopped gradient (SimSiam).

    From the projection of one view, a small prediction head predicts that of the other, and
    gradients only flow through the prediction [1]_. It is BYOL without an averaged target: the
    simplest method, and as fast as SimCLR, but only the stopped gradient keeps it from collapsing.

    References
    ----------
    .. [1] X. Chen, K. He, "Exploring Simple Siamese Representation Learning", CVPR 2021,
       https://arxiv.org/abs/2011.10566

    Examples
    --------
    >>> from sklearn.datasets import load_digits
    >>> from sklearn_ssl import SimSiamTransformer
    >>> X, _ = load_digits(return_X_y=True)
    >>> ssl = SimSiamTransformer(image_shape=(8, 8), max_epochs=1, random_state=0)
    >>> ssl.fit_transform(X[:200]).shape
    (200, 256)
    """

    _collapse_remedies = {"lr": "smaller", "batch_size": "larger"}

    def _make_task(self, spec):
        return SimSiamTask(self._make_encoder(spec), resolve_augmentation(self.augment, spec))
