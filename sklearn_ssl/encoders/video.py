"""Networks for the frames of videos: from pixels to a vector, and back."""

import math

import torch
from torch import nn
from torch.nn import functional as F

from sklearn_ssl.encoders.temporal import (
    FrameStates,
    forward_fill,
    observed_frames,
    observed_mean,
    pool_states,
)

GRID = 3  # cells along each side, in which the first maps of a frame are averaged
STAY = 4.0  # logit of a pixel itself: initially about 2 / 3 of the total weight


def _n_halvings(height, width):
    """Return how often the sides are halved: until the shorter one has about 4 pixels."""
    return max(1, round(math.log2(min(height, width) / 4)))


class FrameEncoder(nn.Module):
    """Small convolutional network that returns a vector for each frame, and how it looks.

    Looks are the maps of the first two convolutions, at full and at half resolution, averaged in a
    grid of 3x3. Each frame is normalized separately: batch normalization would reveal later frames.

    Parameters
    ----------
    shape : tuple of int
        ``(channels, height, width)``.
    width : int, default=16
        Channels of the first convolution; each further one, which halves the sides, doubles them,
        up to 64.
    output_dim : int, default=128
    """

    def __init__(self, shape, width=16, output_dim=128):
        super().__init__()
        channels, height, width_pixels = shape
        self.looks_dims = width * GRID**2, min(2 * width, 64) * GRID**2
        layers = [nn.Conv2d(channels, width, 3, padding=1), nn.GroupNorm(8, width), nn.GELU()]
        for _ in range(_n_halvings(height, width_pixels)):
            wider = min(2 * width, 64)
            layers.append(nn.Conv2d(width, wider, 3, stride=2, padding=1))
            layers += [nn.GroupNorm(8, wider), nn.GELU()]
            width, height, width_pixels = wider, -(-height // 2), -(-width_pixels // 2)
        layers += [nn.Flatten(), nn.Linear(width * height * width_pixels, output_dim)]
        self.layers = nn.Sequential(*layers)
        self.output_dim = output_dim

    def forward(self, x):
        return self.layers(x)

    def read(self, x):
        """Return the vectors of frames, and their looks: two tensors ``(n, looks_dim)``."""
        fine = self.layers[:3](x)
        coarse = self.layers[3:6](fine)
        looks = [F.adaptive_avg_pool2d(maps, GRID).flatten(1) for maps in (fine, coarse)]
        return self.layers[6:](coarse), looks


class ClipStates(FrameStates):
    """States of all frames of a video, and a vector for each row: how it moves and how it looks.

    The states that predict the next frame know how things move, but hardly what they are: the
    decoder takes that from the last frame. So the vector of a row is the pooled states of
    :class:`FrameStates`, followed by the looks of its frames, averaged over the observed ones.
    States of a trained network are far larger than looks, so each part, such as the last state, is
    scaled to mean 0 and variance 1 over its own width.

    Parameters
    ----------
    temporal : torch.nn.Module
        Maps the vectors of frames, as ``(n, channels, time)``, to states ``(n, width, time)``; it
        must be causal.
    width : int
        Of the states.
    frame_encoder : FrameEncoder
        Its vectors are the channels of `temporal`.
    """

    def __init__(self, temporal, width, frame_encoder):
        super().__init__(temporal, width)
        self.frame_encoder = frame_encoder
        self.output_dim += sum(frame_encoder.looks_dims)

    def states(self, frames):
        vectors = self.frame_encoder(frames.flatten(0, 1))  # [n * time, d]
        return super().states(vectors.unflatten(0, frames.shape[:2]))

    def forward(self, frames):
        observed = observed_frames(frames)
        vectors, looks = self.frame_encoder.read(forward_fill(frames).flatten(0, 1))
        states = super().states(vectors.unflatten(0, frames.shape[:2]))
        looks = [x.unflatten(0, frames.shape[:2]).transpose(1, 2) for x in looks]  # [n, d, time]
        parts = (
            *pool_states(states, observed),
            *(observed_mean(x, observed[:, None]) for x in looks),
        )
        return torch.cat([F.layer_norm(part, part.shape[1:]) for part in parts], dim=1)


class FrameDecoder(nn.Module):
    """Predict the next frames of a video from a state and the frame it belongs to.

    From each predicted frame to the next, pixels are moved: each becomes a weighted mean of the
    pixels around it, with the same weights everywhere, as in convolutional dynamic neural advection
    [1]_. Then changes are added. Initially, hardly anything moves and nothing changes: the
    prediction is the frame itself.

    Parameters
    ----------
    width : int
        Of the states.
    shape : tuple of int
        ``(channels, height, width)`` of a frame.
    horizon : int
        Number of frames to predict.
    reach : int, default=2
        Number of pixels that something can move from one frame to the next.

    References
    ----------
    .. [1] C. Finn, I. Goodfellow, S. Levine, "Unsupervised Learning for Physical Interaction
       through Video Prediction", NeurIPS 2016, https://arxiv.org/abs/1605.07157
    """

    def __init__(self, width, shape, horizon, reach=2):
        super().__init__()
        self.shape = shape
        self.horizon = horizon
        channels, height, width_pixels = shape
        n_weights = (2 * reach + 1) ** 2
        self.kernels = nn.Linear(width, horizon * n_weights)
        n_doublings = _n_halvings(height, width_pixels)
        sides = (-(-height // 2**n_doublings), -(-width_pixels // 2**n_doublings))
        map_width = min(16 * 2**n_doublings, 64)
        layers = [nn.Linear(width, map_width * sides[0] * sides[1])]
        layers += [nn.Unflatten(1, (map_width, *sides)), nn.GELU()]
        for _ in range(n_doublings):
            narrower = max(map_width // 2, 16)
            layers += [nn.ConvTranspose2d(map_width, narrower, 4, stride=2, padding=1), nn.GELU()]
            map_width = narrower
        layers.append(nn.Conv2d(map_width, horizon * channels, 3, padding=1))
        self.changes = nn.Sequential(*layers)
        with torch.no_grad():
            self.kernels.bias.view(horizon, -1)[:, n_weights // 2] += STAY
            self.changes[-1].weight.zero_()
            self.changes[-1].bias.zero_()

    def forward(self, states, frames):
        channels, height, width = self.shape
        states, frames, n_and_time = states.flatten(0, 1), frames.flatten(0, 1), frames.shape[:2]
        kernels = self.kernels(states).unflatten(1, (self.horizon, -1)).softmax(dim=2)
        moved = []
        for kernel in kernels.unbind(1):
            frames = _move(frames, kernel)
            moved.append(frames)
        changes = self.changes(states)[:, :, :height, :width]
        predictions = torch.stack(moved, 1) + changes.unflatten(1, (self.horizon, channels))
        return predictions.unflatten(0, n_and_time)  # [n, time, horizon, channels, height, width]


def _move(frames, kernels):
    """Convolve all channels of each frame ``(m, c, height, width)`` with its kernel of ``(m, s²)``.

    Pixels at the border are repeated beyond it.
    """
    m, channels, height, width = frames.shape
    size = math.isqrt(kernels.shape[1])
    frames = F.pad(frames, (size // 2,) * 4, mode="replicate").flatten(0, 1)
    kernels = kernels.view(m, 1, size, size).repeat_interleave(channels, 0)
    moved = F.conv2d(frames[None], kernels, groups=m * channels)
    return moved.view(m, channels, height, width)
