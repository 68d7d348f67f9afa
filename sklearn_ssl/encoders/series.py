"""Encoder of series."""

import torch
from torch import nn
from torch.nn import functional as F


class DilatedBlock(nn.Module):
    """Two dilated convolutions with a shortcut; the length stays the same."""

    def __init__(self, channels_in, channels_out, dilation):
        super().__init__()
        layout = {"kernel_size": 3, "padding": dilation, "dilation": dilation, "bias": False}
        self.conv1 = nn.Conv1d(channels_in, channels_out, **layout)
        self.norm1 = nn.BatchNorm1d(channels_out)
        self.conv2 = nn.Conv1d(channels_out, channels_out, **layout)
        self.norm2 = nn.BatchNorm1d(channels_out)
        self.shortcut = nn.Conv1d(channels_in, channels_out, 1, bias=False)

    def forward(self, x):
        residual = F.relu(self.norm1(self.conv1(x)))
        residual = self.norm2(self.conv2(residual))
        return F.relu(residual + self.shortcut(x))


class SeriesEncoder(nn.Module):
    """Residual network of dilated convolutions, pooled over quarters of the time.

    Parameters
    ----------
    shape : tuple of int
        ``(channels, time)``.
    width : int, default=64
        Channels of each block.
    segments : int, default=4
        Number of time segments that are pooled separately: the representation consists of their
        maxima and the mean over all time.
    """

    def __init__(self, shape, width=64, segments=4):
        super().__init__()
        channels, time = shape
        self.blocks = nn.Sequential(
            DilatedBlock(channels, width, dilation=1),
            DilatedBlock(width, width, dilation=2),
            DilatedBlock(width, width, dilation=4),
        )
        self.segments = min(segments, time)

    def forward(self, x):
        x = self.blocks(x)  # [n, width, time]
        maxima = maxima_of_segments(x, self.segments).flatten(1)
        return torch.cat([maxima, x.mean(dim=2)], dim=1)  # [n, width * (segments + 1)]


def maxima_of_segments(x, n):
    """Return the maxima of ``(n_rows, width, time)`` in each of n segments of time."""
    if not torch.compiler.is_exporting():
        return F.adaptive_max_pool1d(x, n)
    # ONNX has no adaptive pooling. Slices give the same numbers, but take longer in training.
    starts = [i * x.shape[2] // n for i in range(n)]
    stops = [-(-i * x.shape[2] // n) for i in range(1, n + 1)]
    return torch.stack([x[:, :, i:j].amax(dim=2) for i, j in zip(starts, stops)], dim=2)
