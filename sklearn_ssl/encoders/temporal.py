"""Networks that preserve time: a state for every frame of a series or a video."""

import math

import torch
from torch import nn
from torch.nn import functional as F

MOST_BLOCKS = 10


class TemporalBlock(nn.Module):
    """Two dilated convolutions with a shortcut; the length stays the same.

    There is no normalization: normalizing over time would reveal the future to a frame.
    """

    def __init__(self, width, dilation, causal):
        super().__init__()
        self.padding = (2 * dilation, 0) if causal else (dilation, dilation)
        self.conv1 = nn.Conv1d(width, width, 3, dilation=dilation)
        self.conv2 = nn.Conv1d(width, width, 3, dilation=dilation)

    def forward(self, x):
        residual = self.conv1(F.pad(F.gelu(x), self.padding))
        residual = self.conv2(F.pad(F.gelu(residual), self.padding))
        return x + residual


class TemporalEncoder(nn.Module):
    """Residual network of dilated convolutions that returns a state for every frame.

    The dilations are 1, 2, 4, ... until a state has seen the whole series: at most 10 blocks.

    Parameters
    ----------
    shape : tuple of int
        ``(channels, time)``. Longer and shorter series are accepted too.
    width : int, default=64
        Channels of each block and of the states.
    causal : bool, default=True
        Whether a state only sees the frames up to its own, or those on both sides.
    """

    def __init__(self, shape, width=64, causal=True):
        super().__init__()
        channels, time = shape
        reach = 4 if causal else 2  # frames that the first block sees on a side; all, 2^n - 1 times
        n_blocks = math.ceil(math.log2((time - 1) / reach + 1))
        self.input_projection = nn.Conv1d(channels, width, 1)
        self.blocks = nn.Sequential(
            *[TemporalBlock(width, 2**i, causal) for i in range(min(max(n_blocks, 1), MOST_BLOCKS))]
        )

    def forward(self, x):
        return self.blocks(self.input_projection(x))  # [n, width, time]


class FrameStates(nn.Module):
    """States of all frames of a series, and their pooling to a vector for each row.

    The vector is the state of the last observed frame, together with the mean and the maximum of
    the states of observed frames. NaN after the last observed frame do not count; those before it
    are filled with the last number at their place. A row without a frame gets zeros.

    Parameters
    ----------
    temporal : torch.nn.Module
        Maps ``(n, channels, time)`` to states ``(n, width, time)``; it must be causal.
    width : int
        Of the states.
    """

    def __init__(self, temporal, width):
        super().__init__()
        self.temporal = temporal
        self.output_dim = 3 * width

    def states(self, frames):
        """Return the states ``(n, width, time)`` of frames ``(n, time, ...)`` without NaN."""
        return self.temporal(frames.transpose(1, 2))

    def forward(self, batch):
        frames = as_frames(batch)
        states = self.states(forward_fill(frames))
        return torch.cat(pool_states(states, observed_frames(frames)), dim=1)


def pool_states(states, observed):
    """Return the last, the mean and the maximum of observed states, each ``(n, width)``.

    `states` are ``(n, width, time)``, and `observed` is bool, ``(n, time)``.
    """
    last = last_observed(observed)[:, None, None].expand(-1, states.shape[1], 1)
    observed = observed[:, None]  # [n, 1, time]
    state = states.masked_fill(~observed, 0).gather(2, last)[:, :, 0]
    return state, observed_mean(states, observed), observed_maximum(states, observed)


def as_frames(batch):
    """Return a batch of series or of videos as frames, ``(n, time, ...)``."""
    return batch.transpose(1, 2) if batch.ndim == 3 else batch


def as_batch(frames):
    """Return frames ``(n, time, ...)`` as a batch: the inverse of :func:`as_frames`."""
    return frames.transpose(1, 2) if frames.ndim == 3 else frames


def observed_frames(frames):
    """Return which frames ``(n, time, ...)`` have a number at all: bool, ``(n, time)``."""
    return ~frames.flatten(2).isnan().all(dim=2)


def observed_mean(states, observed):
    """Return the mean of ``(n, width, time)`` over the observed frames, 0 if there is none.

    `observed` is bool, ``(n, 1, time)``.
    """
    return states.masked_fill(~observed, 0).sum(dim=2) / observed.sum(dim=2).clamp(min=1)


def observed_maximum(states, observed):
    """Return the maximum of ``(n, width, time)`` over the observed frames, 0 if there is none.

    `observed` is bool, ``(n, 1, time)``.
    """
    maximum = states.masked_fill(~observed, -torch.inf).amax(dim=2)
    return maximum.masked_fill(~observed.any(dim=2), 0)


def last_observed(observed):
    """Return the index of the last observed frame of each row, 0 if there is none: ``(n,)``."""
    time = torch.arange(observed.shape[1], device=observed.device)
    return (observed * time).amax(dim=1)


def forward_fill(frames):
    """Replace NaN with the last number before it at the same place, or with 0 if there is none.

    Parameters
    ----------
    frames : torch.Tensor of shape (n, time, ...)

    Examples
    --------
    >>> import torch
    >>> from sklearn_ssl.encoders.temporal import forward_fill
    >>> nan = torch.nan
    >>> forward_fill(torch.tensor([[nan, 2.0, nan, nan, 5.0, nan]]))
    tensor([[0., 2., 2., 2., 5., 5.]])
    """
    # Without a branch on the data where a network is exported.
    if not torch.compiler.is_exporting() and not frames.isnan().any():
        return frames
    reach = 1
    while reach < frames.shape[1]:  # looks back 1, 2, 4, ... frames: in the end all
        earlier = torch.cat([frames[:, :reach], frames[:, :-reach]], dim=1)
        frames = torch.where(frames.isnan(), earlier, frames)
        reach *= 2
    return frames.nan_to_num()
