"""Views of rows of tables."""

import torch

from sklearn_ssl.augment.base import Augmentation
from sklearn_ssl.masking import corrupt_features


class FeatureCorruption(Augmentation):
    """Replace random entries of each row with values drawn from their columns.

    As in SCARF [1]_, the values come from the empirical marginal distribution of the column in the
    training data, kept as up to 256 of its quantiles.

    Parameters
    ----------
    rate : float, default=0.3
        Probability that an entry is redrawn.

    References
    ----------
    .. [1] D. Bahri et al., "SCARF: Self-Supervised Contrastive Learning using Random Feature
       Corruption", ICLR 2022, https://arxiv.org/abs/2106.15147
    """

    modality = "table"

    def __init__(self, rate=0.3):
        super().__init__()
        self.rate = rate
        # Not in state_dict: they belong to the description of the data, which is saved separately.
        self.register_buffer("marginals", None, persistent=False)

    def adapt(self, spec):
        adapted = super().adapt(spec)
        adapted.marginals = torch.tensor(spec.marginals)  # [n_quantiles, d]
        return adapted

    def local(self, spec):
        """Return an adapted copy that keeps half as many entries."""
        local = self.adapt(spec)
        local.rate = (1 + self.rate) / 2
        return local

    def forward(self, batch, generator):
        if self.marginals is None:
            raise ValueError("FeatureCorruption must be adapted to a table first: adapt(spec).")
        mask = torch.rand(batch.shape, generator=generator, device=batch.device) < self.rate
        return corrupt_features(batch, mask, self.marginals, generator)
