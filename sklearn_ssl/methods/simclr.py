"""SimCLR (Chen et al., 2020, https://arxiv.org/abs/2002.05709).

::

    for each batch x:
        v_a, v_b = augment(x), augment(x)      # two views
        h_a, h_b = encoder(v_a), encoder(v_b)  # representations, kept
        z_a, z_b = head(h_a), head(h_b)        # projections, thrown away after training
        loss = nt_xent(z_a, z_b)               # find the other view among 2n - 1
"""

from numbers import Real

from sklearn_ssl import defaults
from sklearn_ssl._sklearn_compat import Interval
from sklearn_ssl.augment import make_views, resolve_augmentation
from sklearn_ssl.base.arrays import BaseViewTransformer
from sklearn_ssl.base.parameters import param
from sklearn_ssl.heads import mlp_head
from sklearn_ssl.losses import nt_xent
from sklearn_ssl.pretext import PretextTask


class SimCLRTask(PretextTask):
    """Recognize two views of the same row among the views of a batch."""

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
        z_a, z_b = self.projection_head(self.shared(self.encoder, views)).chunk(2)  # [n, 128] each
        return nt_xent(z_a, z_b, self.temperature)


class SimCLRTransformer(BaseViewTransformer):
    """Contrastive representations from two augmented views (SimCLR).

    An encoder learns to recognize the two views of each row among those of its batch, through a
    projection head and the NT-Xent loss [1]_. ``transform`` returns the encoder's output, before
    the head. Two views of a row should agree in what matters for the later task, and in as little
    else as possible: choosing the augmentation well is worth more than training for longer.

    Parameters
    ----------
    temperature : float, default=0.2
        Divisor of the cosine similarities in the loss; a small one puts more weight on the hardest
        negatives. Between 0.1 and 0.5 in the paper's experiments.

    Notes
    -----
    The loss compares rows only with the others in their batch, so it depends on the batch size.

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

    temperature: float = param(0.2, Interval(Real, 0, None, closed="neither"))

    _collapse_remedies = {"temperature": "smaller", "lr": "smaller"}
    _fewest_directions = 2.5  # negatives push embeddings apart in all directions

    def _make_task(self, spec):
        augment = resolve_augmentation(self.augment, spec)
        return SimCLRTask(self._make_encoder(spec), augment, self.temperature)
