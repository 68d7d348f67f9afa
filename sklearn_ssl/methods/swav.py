"""SwAV (Caron et al., 2020, https://arxiv.org/abs/2006.09882).

::

    for each batch x:
        v_1, v_2, v_3, ... = two global and some local views of x
        s_i = prototypes(normalize(head(encoder(v_i))))      # cosine similarities
        q_1, q_2 = sinkhorn(s_1), sinkhorn(s_2)              # codes that use all prototypes equally
        loss = mean over i = 1, 2 and j != i of cross_entropy(s_j / temperature, q_i)
        before the optimizer step, at the start: no gradient for the prototypes
"""

from numbers import Integral, Real

import torch

from sklearn_ssl import defaults
from sklearn_ssl._sklearn_compat import Interval
from sklearn_ssl.augment import MultiCrop
from sklearn_ssl.base.arrays import BaseMultiCropTransformer
from sklearn_ssl.base.parameters import param
from sklearn_ssl.heads import FROZEN_PROTOTYPES, Prototypes, default_n_prototypes, mlp_head
from sklearn_ssl.losses import cross_view_entropy, sinkhorn
from sklearn_ssl.pretext import PretextTask


class SwAVTask(PretextTask):
    """Predict the cluster of one view from the others."""

    def __init__(self, encoder, multi_crop, n_prototypes, temperature, epsilon):
        super().__init__()
        self.encoder = encoder
        self.multi_crop = multi_crop
        self.temperature = temperature
        self.epsilon = epsilon
        width = encoder.output_dim
        hidden, dim = defaults.projection_dims(width)
        self.projection_head = mlp_head((width, hidden, dim))
        self.prototypes = Prototypes(dim, n_prototypes)

    def forward(self, batch):
        views = self.multi_crop(batch, self.generator)  # [2n, ...], [n_local * n, ...]
        h = torch.cat([self.shared(self.encoder, group) for group in views])
        scores = self.prototypes(self.projection_head(h)).unflatten(0, (-1, len(batch)))
        codes = torch.stack([sinkhorn(s, self.epsilon) for s in scores[:2]])  # [2, n, K]
        return cross_view_entropy(scores / self.temperature, codes)

    def after_backward(self, progress):
        if progress < FROZEN_PROTOTYPES:
            self.prototypes.weight.grad = None


class SwAVTransformer(BaseMultiCropTransformer):
    """Representations from cluster assignments swapped between views (SwAV).

    Each batch is clustered on the fly: the embeddings of two views are assigned to learned
    prototypes, all of which are used equally (a Sinkhorn-Knopp iteration). Each assignment is then
    predicted from the other views, some of which show only a small part of the row [1]_.

    Parameters
    ----------
    n_prototypes : int, default=None
        Number of clusters. None means one per 32 rows, 64 to 512: more than there are classes, but
        few enough for a batch to fill them, so the paper's queue of earlier rows is not needed.
    temperature : float, default=0.1
        Divisor of the similarities to the prototypes in predictions.
    epsilon : float, default=0.05
        Divisor of the similarities in assignments; a small one makes them sharp.

    References
    ----------
    .. [1] M. Caron et al., "Unsupervised Learning of Visual Features by Contrasting Cluster
       Assignments", NeurIPS 2020, https://arxiv.org/abs/2006.09882

    Examples
    --------
    >>> from sklearn.datasets import load_digits
    >>> from sklearn_ssl import SwAVTransformer
    >>> X, _ = load_digits(return_X_y=True)
    >>> ssl = SwAVTransformer(image_shape=(8, 8), max_epochs=1, random_state=0)
    >>> ssl.fit_transform(X[:200]).shape
    (200, 256)
    """

    n_prototypes: int | None = param(
        None, Interval(Integral, 2, defaults.MOST, closed="both"), None
    )
    temperature: float = param(0.1, Interval(Real, 0, None, closed="neither"))
    epsilon: float = param(0.05, Interval(Real, 0, None, closed="neither"))

    _relative_cost = 1.1
    _collapse_remedies = {"epsilon": "smaller", "lr": "smaller"}

    def _make_task(self, spec):
        encoder = self._make_encoder(spec)
        return SwAVTask(
            encoder,
            MultiCrop(self.augment, self.n_local, spec, encoder),
            self.n_prototypes or default_n_prototypes(spec.n_samples),
            self.temperature,
            self.epsilon,
        )
