"""SCARF (Bahri et al., 2022, https://arxiv.org/abs/2106.15147).

::

    for each batch x of n rows and M columns:
        mask = exactly floor(c * M) columns, different ones in each row
        corrupted = x, with masked entries redrawn from their column
        z, z_c = head(encoder(x)), head(encoder(corrupted))
        loss = info_nce(z, z_c)     # find the row's corrupted version in the batch
"""

import math
from numbers import Real

import torch
from torch import nn

from sklearn_ssl._sklearn_compat import Interval
from sklearn_ssl.base.arrays import BaseTableTransformer
from sklearn_ssl.base.parameters import param
from sklearn_ssl.losses import info_nce
from sklearn_ssl.masking import corrupt_features, random_mask
from sklearn_ssl.pretext import PretextTask

HEAD_WIDTH = 256  # of both layers


class SCARFTask(PretextTask):
    """Recognize a row when some of its entries are redrawn."""

    def __init__(self, encoder, n_corrupted, marginals, temperature):
        super().__init__()
        self.encoder = encoder
        self.n_corrupted = n_corrupted
        self.temperature = temperature
        # Not in state_dict: they belong to the description of the data, which is saved separately.
        self.register_buffer("marginals", torch.tensor(marginals), persistent=False)
        self.projection_head = nn.Sequential(
            nn.Linear(encoder.output_dim, HEAD_WIDTH), nn.ReLU(), nn.Linear(HEAD_WIDTH, HEAD_WIDTH)
        )

    def forward(self, batch):
        mask = random_mask(*batch.shape, self.n_corrupted, self.generator)  # [n, M]
        corrupted = corrupt_features(batch, mask, self.marginals, self.generator)
        both = torch.cat([batch, corrupted])  # in one pass
        h = self.shared(self.encoder, both)  # [2n, output_dim]
        z, z_corrupted = self.projection_head(h).chunk(2)  # [n, 256] each
        return info_nce(z, z_corrupted, self.temperature)


class SCARFTransformer(BaseTableTransformer):
    """Representations of tables by random feature corruption (SCARF).

    In each row of a batch, some entries are replaced with values drawn from their columns, and an
    encoder learns to find the corrupted version of each row among those of the batch [1]_.
    ``transform`` returns the encoder's output, before the projection head.

    Parameters
    ----------
    corruption_rate : float, default=0.3
        Fraction of the columns that are corrupted: ``floor(corruption_rate * n_features)`` of them,
        but at least one, different ones in each row. A categorical column counts as one.
    temperature : float, default=0.2
        Divisor of the cosine similarities in the loss; a small one puts more weight on the hardest
        negatives.
    validation_fraction : float, default=0.1
        Fraction of the rows held out for early stopping, which are corrupted in the same way in
        every epoch.

    Notes
    -----
    In the paper, `corruption_rate` is 0.6 and `temperature` 1. A frozen encoder is better with the
    defaults: accuracy of a linear probe with ten labels per class on validation rows, where the
    five tables are digits, penbased, letter, satimage and Adult, and an untrained encoder has .723
    on them.

    ================================ ======== ===========
    tables                           defaults the paper's
    ================================ ======== ===========
    mean of five, of 2,000 rows each .782     .749
    texture (KEEL), 600 rows         .879     .724
    ================================ ======== ===========

    If the whole network is fine-tuned, both settings are equally good. A frozen encoder can still
    be worse than the raw columns, which have .935 on texture; of
    :class:`~sklearn_ssl.VIMETransformer` this is less likely.

    The default encoder has the paper's four layers of 256 units, and batch normalization, which the
    paper does not mention; without it, the same average is .722.

    Values are drawn from up to 256 quantiles of each column, which represent its distribution in
    the training data.

    References
    ----------
    .. [1] D. Bahri, H. Jiang, Y. Tay, D. Metzler, "SCARF: Self-Supervised Contrastive Learning
       using Random Feature Corruption", ICLR 2022, https://arxiv.org/abs/2106.15147

    Examples
    --------
    >>> from sklearn.datasets import load_wine
    >>> from sklearn_ssl import SCARFTransformer
    >>> X, y = load_wine(return_X_y=True)
    >>> ssl = SCARFTransformer(max_epochs=1, random_state=0)
    >>> ssl.fit_transform(X).shape
    (178, 256)
    """

    corruption_rate: float = param(0.3, Interval(Real, 0, 1, closed="right"))
    temperature: float = param(0.2, Interval(Real, 0, None, closed="neither"))

    _collapse_remedies = {"temperature": "smaller", "corruption_rate": "smaller", "lr": "smaller"}

    def _make_task(self, spec):
        n_corrupted = self._n_corrupted(spec.shape[0])
        return SCARFTask(self._make_encoder(spec), n_corrupted, spec.marginals, self.temperature)

    def _n_corrupted(self, n_features):
        if n_features == 1:
            raise ValueError(
                "X has 1 feature(s), but SCARFTransformer recognizes rows by the features that are "
                "not redrawn: at least 2 are needed."
            )
        return max(math.floor(self.corruption_rate * n_features + 1e-9), 1)  # 0.29 * 100 is 29
