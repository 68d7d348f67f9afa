"""VIME, its self-supervised part (Yoon et al., 2020, NeurIPS; https://github.com/jsyoon0823/VIME).

::

    for each batch x:
        mask = each entry with probability p_mask
        corrupted = x, with masked entries redrawn from their column
        m = corrupted differs from x         # a redrawn entry may be unchanged
        h = encoder(corrupted)
        loss = bce(mask_head(h), m) + alpha * error(feature_head(h), x)
"""

from numbers import Real

import torch
from torch import nn
from torch.nn import functional as F

from sklearn_ssl._sklearn_compat import Interval
from sklearn_ssl.base.arrays import BaseTableTransformer
from sklearn_ssl.base.parameters import param
from sklearn_ssl.masking import corrupt_features
from sklearn_ssl.pretext import PretextTask
from sklearn_ssl.reconstruction import feature_loss, prediction_width


class VIMETask(PretextTask):
    """Find the entries of a row that were redrawn, and the original row."""

    def __init__(self, encoder, p_mask, alpha, marginals, cardinalities):
        super().__init__()
        self.encoder = encoder
        self.p_mask = p_mask
        self.alpha = alpha
        self.cardinalities = cardinalities
        # Not in state_dict: they belong to the description of the data, which is saved separately.
        self.register_buffer("marginals", torch.tensor(marginals), persistent=False)
        self.mask_head = nn.Linear(encoder.output_dim, len(cardinalities))
        self.feature_head = nn.Linear(encoder.output_dim, prediction_width(cardinalities))

    def forward(self, batch):
        draws = torch.rand(batch.shape, generator=self.generator, device=batch.device)
        mask = draws < self.p_mask  # [n, M]
        corrupted = corrupt_features(batch, mask, self.marginals, self.generator)
        changed = (corrupted != batch) & ~(corrupted.isnan() & batch.isnan())
        h = self.shared(self.encoder, corrupted)
        # float() leaves the autocast of a training step, as feature_loss does.
        mask_loss = F.binary_cross_entropy_with_logits(self.mask_head(h).float(), changed.float())
        everywhere = torch.ones_like(mask)  # in the paper all entries count, masked or not
        error = feature_loss(self.feature_head(h), batch, everywhere, self.cardinalities)
        return mask_loss + self.alpha * error


class VIMETransformer(BaseTableTransformer):
    """Representations of tables by mask estimation and reconstruction (VIME).

    Random entries of each row are replaced with values drawn from their columns. From the encoder's
    output, one linear layer predicts which entries were changed, and another predicts the original
    row [1]_. ``transform`` returns the encoder's output.

    Parameters
    ----------
    p_mask : float, default=0.3
        Probability that an entry is redrawn.
    alpha : float, default=2.0
        Weight of the reconstruction, relative to that of the mask.
    validation_fraction : float, default=0.1
        Fraction of the rows held out for early stopping, which are corrupted in the same way in
        every epoch.

    Notes
    -----
    As in the paper, all entries of a row are reconstructed, not only those that were redrawn.
    Numbers count with their squared error in standard deviations of their column, categories with
    the cross-entropy, divided by that of guessing; missing numbers do not count. The second,
    semi-supervised step of the paper, consistency of predictions, is not included.

    References
    ----------
    .. [1] J. Yoon, Y. Zhang, J. Jordon, M. van der Schaar, "VIME: Extending the Success of Self-
       and Semi-supervised Learning to Tabular Domain", NeurIPS 2020,
       https://papers.nips.cc/paper/2020/hash/7d97667a3e056acab9aaf653807b4a03-Abstract.html

    Examples
    --------
    >>> from sklearn.datasets import load_wine
    >>> from sklearn_ssl import VIMETransformer
    >>> X, y = load_wine(return_X_y=True)
    >>> ssl = VIMETransformer(max_epochs=1, random_state=0)
    >>> ssl.fit_transform(X).shape
    (178, 256)
    """

    p_mask: float = param(0.3, Interval(Real, 0, 1, closed="neither"))
    alpha: float = param(2.0, Interval(Real, 0, None, closed="neither"))

    _relative_cost = 0.5  # one view of each row
    _collapse_remedies = {"p_mask": "smaller", "lr": "smaller"}

    def _make_task(self, spec):
        encoder = self._make_encoder(spec)
        return VIMETask(encoder, self.p_mask, self.alpha, spec.marginals, spec.cardinalities)
