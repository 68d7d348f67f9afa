"""TS2Vec (Yue et al., AAAI 2022, https://arxiv.org/abs/2106.10466).

::

    for each batch x:
        x_a, x_b = two overlapping crops of x, at a random place in each row
        for both: r = network(mask(projection(x)))   # steps of the projected series set to 0
        r_a, r_b = what both crops show of r_a, r_b
        loss = hierarchical_contrast(r_a, r_b)       # of rows and of steps, pairs of steps pooled
    embedding = maximum of r over the time
"""

from numbers import Integral, Real

import torch
from torch import nn

from sklearn_ssl import defaults
from sklearn_ssl._sklearn_compat import Interval
from sklearn_ssl.base.arrays import BaseSeriesTransformer
from sklearn_ssl.base.parameters import param
from sklearn_ssl.encoders.factory import make_temporal_encoder
from sklearn_ssl.encoders.temporal import observed_maximum
from sklearn_ssl.losses import hierarchical_contrast
from sklearn_ssl.pretext import PretextTask

PROJECTED_WIDTH = 64  # channels of a series when steps are hidden


class MaskedStates(nn.Module):
    """States of all steps of a series, from a projection in which some steps are hidden."""

    def __init__(self, n_channels, temporal, output_dim):
        super().__init__()
        self.input_projection = nn.Conv1d(n_channels, PROJECTED_WIDTH, 1)
        self.temporal = temporal
        self.output_dim = output_dim

    def states(self, series, hidden):
        """Return ``(n, output_dim, time)``; `hidden` is bool, ``(n, 1, time)``."""
        # 0 after the projection, not before it, because a series may contain 0
        projected = self.input_projection(series.nan_to_num()).masked_fill(hidden, 0)
        return self.temporal(projected)

    def forward(self, batch):
        missing = missing_steps(batch)
        return observed_maximum(self.states(batch, missing), ~missing)


class TS2VecTask(PretextTask):
    """Recognize steps, and rows, in two overlapping crops with different steps hidden."""

    def __init__(self, encoder, alpha):
        super().__init__()
        self.encoder = encoder
        self.alpha = alpha

    def forward(self, batch):
        crop_a, crop_b, overlap = self._crops(batch)
        missing = missing_steps(crop_b)[:, 0, :overlap]  # [n, overlap]
        r_a = self._masked_states(crop_a)[:, -overlap:]  # [n, overlap, d]
        r_b = self._masked_states(crop_b)[:, :overlap]
        return hierarchical_contrast(r_a, r_b, self.alpha, ~missing)

    def _crops(self, batch):
        """Return two crops; the end of the first and the start of the second are the overlap.

        Their lengths are the same for the whole batch; their position differs for each row.
        """
        time = batch.shape[2]
        overlap = self._random_int(2, time)
        left = self._random_int(0, time - overlap)
        outer_left = self._random_int(0, left)
        outer_right = self._random_int(left + overlap, time)
        low, high = -outer_left, time - outer_right  # how far rows may be shifted
        shift = torch.randint(
            low, high + 1, (len(batch), 1, 1), generator=self.generator, device=batch.device
        )

        def crop(start, end):
            steps = shift + torch.arange(start, end, device=batch.device)
            return batch.gather(2, steps.expand(-1, batch.shape[1], -1))

        return crop(outer_left, left + overlap), crop(left, outer_right), overlap

    def _masked_states(self, series):
        shape = (len(series), 1, series.shape[2])
        hidden = torch.rand(shape, generator=self.generator, device=series.device) < 0.5
        hidden = hidden | missing_steps(series)
        return self.shared(self.encoder.states, series, hidden).transpose(1, 2)

    def _random_int(self, low, high):
        """Draw an integer from `low` to `high`, both included."""
        device = self.generator.device
        return torch.randint(low, high + 1, (), generator=self.generator, device=device).item()


def missing_steps(series):
    """Return the steps without any number: bool, ``(n, 1, time)``."""
    return series.isnan().all(dim=1, keepdim=True)


class TS2VecTransformer(BaseSeriesTransformer):
    """Contrastive representations of series, at increasingly coarse resolutions (TS2Vec).

    A network of dilated convolutions gives each step of a series a state that depends on the steps
    around it. Two overlapping crops, each with half of the steps hidden, should give the same state
    to the same moment of the same row, and different states to other moments and other rows, at
    increasingly coarse resolutions [1]_. ``transform`` returns the maximum of the states over time.

    Series have the shape ``(n, channels, time)``, or ``(n, time)`` for one channel. Steps that are
    missing in all channels, such as those after the end of a shorter series, are NaN and are
    ignored; a number that is missing in only some of the channels counts as the mean.

    Parameters
    ----------
    alpha : float, default=0.5
        Weight of contrasting rows, in [0, 1]; contrasting steps has the remaining weight.
    encoder : None or callable, default=None
        None means :class:`~sklearn_ssl.encoders.TemporalEncoder`, a stack of dilated convolutions
        that sees the whole series. A callable receives the shape of projected series, ``(64,
        time)``, and returns a module from ``(n, 64, time)`` to states ``(n, width, time)``, which
        must also accept shorter series.
    n_components : int or None, default=320
        Width of the representation, produced by a linear layer after the encoder, which the loss
        trains. None keeps the encoder's own width.

    Notes
    -----
    Time and memory of a training step grow with the square of the length and of the batch size: use
    a smaller `batch_size` for long series. The authors' code embeds with the average of the weights
    of all steps; here the learning rate falls to 0 instead.

    References
    ----------
    .. [1] Z. Yue et al., "TS2Vec: Towards Universal Representation of Time Series", AAAI 2022,
       https://arxiv.org/abs/2106.10466

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn_ssl import TS2VecTransformer
    >>> X = np.sin(np.arange(20) / 3 + np.arange(100)[:, None])
    >>> TS2VecTransformer(max_epochs=1, random_state=0).fit_transform(X).shape
    (100, 320)
    """

    alpha: float = param(0.5, Interval(Real, 0, 1, closed="both"))
    n_components: int | None = param(
        320, Interval(Integral, 1, defaults.WIDEST, closed="both"), None
    )

    _relative_cost = 1.7

    def _make_task(self, spec):
        n_channels, time = spec.shape
        shape = (PROJECTED_WIDTH, time)
        temporal, width = make_temporal_encoder(self.encoder, shape, causal=False)
        if self.n_components is not None:
            temporal = nn.Sequential(temporal, nn.Conv1d(width, self.n_components, 1))
            width = self.n_components
        return TS2VecTask(MaskedStates(n_channels, temporal, width), self.alpha)
