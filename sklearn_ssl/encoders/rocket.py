"""Encoder of series: fixed convolution kernels, as in MiniRocket, and a layer that is trained.

::

    for each dilation d, and each of 84 kernels w of weights -1 and 2 that add up to 0:
        r = convolve(x, w, dilation=d)           # a response for each step
        features += [mean(r > t) for t in T_dw]  # the shares of the time above fixed thresholds
    embedding = linear(standardize(features))    # all that is trained
"""

import math
from itertools import combinations

import torch
from torch import nn
from torch.nn import functional as F

LENGTH = 9  # of a kernel
TRIPLES = list(combinations(range(LENGTH), 3))  # places of the weights 2, for each of 84 kernels
MOST_DILATIONS = 32
MOST_CHANNELS = 9  # that a kernel adds up
GOLDEN_RATIO = (1 + 5**0.5) / 2
SPREAD = 0.2  # of initial weights: a step of the optimizer changes small ones by a larger part


class DilatedKernels(nn.Module):
    """The 84 kernels at one dilation: the shares of the time in which they exceed thresholds.

    Parameters
    ----------
    channels : int
        Each kernel adds up 1 to 9 of them, drawn at random; few are more likely than many.
    dilation : int
    levels : torch.Tensor of shape (n_thresholds, 84)
        Thresholds in standard deviations of a kernel's responses, from their mean.
    """

    def __init__(self, channels, dilation, levels):
        super().__init__()
        self.dilation = dilation
        kernels = torch.full((len(TRIPLES), LENGTH), -1.0)
        kernels.scatter_(1, torch.tensor(TRIPLES), 2)
        most = min(channels, MOST_CHANNELS)
        n_used = ((most + 1) ** torch.rand(len(TRIPLES), 1)).long().clamp(max=most)
        used = torch.rand(len(TRIPLES), channels).argsort(dim=1) < n_used  # [84, channels]
        self.register_buffer("weight", used[:, :, None] * kernels[:, None])
        self.register_buffer("levels", levels, persistent=False)
        self.register_buffer("thresholds", levels.clone())

    def responses(self, x):
        """Return the responses ``(n, 84, time)`` to series ``(n, channels, time)``."""
        reach = self.dilation * (LENGTH // 2)
        x = F.pad(x, (reach, reach), mode="replicate")  # zeros would make steps of the ends
        with torch.autocast(x.device.type, enabled=False):  # responses are small differences
            return F.conv1d(x, self.weight, dilation=self.dilation)

    def set_thresholds(self, batch):
        std, mean = torch.std_mean(self.responses(batch), dim=(0, 2))
        self.thresholds.copy_(mean + std * self.levels)

    def forward(self, x):
        responses = self.responses(x)
        shares = [(responses > t[:, None]).float().mean(dim=2) for t in self.thresholds]
        return torch.cat(shares, dim=1)  # [n, n_thresholds * 84]


class KernelFeatures(nn.Module):
    """What fixed convolution kernels find in series, as in MiniRocket: nothing is trained.

    84 kernels of length 9, whose weights are -1 and 2, slide over a series, with dilations from 1
    to the largest with which a kernel is not longer than the series. A feature is the share of the
    time in which a kernel's response exceeds a threshold [1]_, standardized. Of several channels,
    each kernel adds up a random selection.

    Three things differ from the paper, each of which was as good or better with few labels: there
    are 1,000 features, not 10,000; the thresholds follow from the mean and the standard deviation
    of a kernel's responses, not from quantiles of single rows; and series continue with their first
    and last numbers, where half of the paper's kernels see zeros and the others stop at the ends.
    Series may therefore be shorter than a kernel.

    Parameters
    ----------
    shape : tuple of int
        ``(channels, time)``.
    n_features : int, default=1000
        Rounded down to a multiple of 84, the number of kernels, but at least 84.

    References
    ----------
    .. [1] A. Dempster, D. Schmidt, G. Webb, "MiniRocket: A Very Fast (Almost) Deterministic
       Transform for Time Series Classification", KDD 2021, https://arxiv.org/abs/2012.08791

    Examples
    --------
    As an encoder that is not trained:

    >>> import numpy as np
    >>> from sklearn_ssl import SimCLRTransformer
    >>> from sklearn_ssl.encoders import KernelFeatures
    >>> X = np.random.default_rng(0).normal(size=(100, 2, 50))
    >>> kernels = SimCLRTransformer(
    ...     modality="series", encoder=KernelFeatures, max_epochs=0, random_state=0
    ... )
    >>> kernels.fit_transform(X).shape
    (100, 924)
    """

    def __init__(self, shape, n_features=1000):
        super().__init__()
        channels, time = shape
        dilations, counts = spread_dilations(time, max(n_features // len(TRIPLES), 1))
        self.n_features = sum(counts) * len(TRIPLES)
        # Multiples of the golden ratio fill the ranks from 0 to 1 evenly, however many are used.
        ranks = torch.arange(1, self.n_features + 1, dtype=torch.float64) * GOLDEN_RATIO % 1
        levels = torch.special.ndtri(ranks).float().view(-1, len(TRIPLES)).split(counts)
        self.kernels = nn.ModuleList(
            DilatedKernels(channels, *of_dilation) for of_dilation in zip(dilations, levels)
        )
        self.register_buffer("mean", torch.zeros(self.n_features))
        self.register_buffer("scale", torch.ones(self.n_features))

    def shares(self, x):
        return torch.cat([kernels(x) for kernels in self.kernels], dim=1)

    @torch.no_grad()
    def measure_rows(self, batch):
        """Set thresholds, and the means and scales of the features, that suit these rows."""
        for kernels in self.kernels:
            kernels.set_thresholds(batch)
        std, mean = torch.std_mean(self.shares(batch), dim=0)
        self.mean.copy_(mean)
        self.scale.copy_(torch.where(std > 1e-6, 1 / std, 0))

    @torch.no_grad()
    def forward(self, x):
        return (self.shares(x) - self.mean) * self.scale


class RocketEncoder(nn.Module):
    """A linear layer behind the features of fixed convolution kernels.

    Only the layer is trained. Untrained, it is a random projection, which loses a part of the
    features: :class:`KernelFeatures` is the better encoder then.

    Parameters
    ----------
    shape : tuple of int
        ``(channels, time)``.
    width : int, default=320
        Width of the representation, as that of :class:`SeriesEncoder`.
    n_features : int, default=1000
        As in :class:`KernelFeatures`, where the features are described.

    Examples
    --------
    >>> import torch
    >>> from sklearn_ssl.encoders import RocketEncoder
    >>> encoder = RocketEncoder((2, 50))
    >>> series = torch.randn(100, 2, 50)
    >>> encoder.features.measure_rows(series)  # a fit does this with its training rows
    >>> encoder(series).shape
    torch.Size([100, 320])
    """

    def __init__(self, shape, width=320, n_features=1000):
        super().__init__()
        self.features = KernelFeatures(shape, n_features)
        self.layer = nn.Linear(self.features.n_features, width)
        nn.init.normal_(self.layer.weight, std=SPREAD)

    def forward(self, x):
        features = self.features(x)  # [n, n_features]
        return self.layer(features / (SPREAD * features.shape[1] ** 0.5))


def spread_dilations(time, n):
    """Return dilations, and how many of the `n` thresholds of a kernel each of them gets.

    A kernel of the largest dilation is as long as the series. Others are spread evenly on a
    logarithmic scale; small ones, which round to the same integer, get more thresholds.
    """
    n_spread = min(n, MOST_DILATIONS)
    widest = max((time - 1) / (LENGTH - 1), 1)
    exponents = torch.linspace(0, math.log2(widest), n_spread, dtype=torch.float64)
    dilations, counts = (2**exponents + 1e-9).long().unique(return_counts=True)
    counts = counts * n // n_spread
    counts[: n - int(counts.sum())] += 1
    return dilations.tolist(), counts.tolist()
