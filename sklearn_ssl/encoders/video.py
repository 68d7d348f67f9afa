"""Networks for the frames of videos: from pixels to a vector, and back."""

import math

from torch import nn


def _n_halvings(height, width):
    """Return how often the sides are halved: until the shorter one has about 4 pixels."""
    return max(1, round(math.log2(min(height, width) / 4)))


class FrameEncoder(nn.Module):
    """Small convolutional network that gives a vector for each frame.

    Frames are normalised each by itself: batch normalisation would tell a frame of later ones.

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


class FrameDecoder(nn.Module):
    """Predicts the frames of a video from its states and its last frame.

    Parameters
    ----------
    width : int
        Of the states.
    shape : tuple of int
        ``(channels, height, width)`` of a frame.
    horizon : int
        Frames that are predicted.
    """

    def __init__(self, width, shape, horizon):
        super().__init__()
        self.shape = shape
        self.horizon = horizon
        channels, height, width_pixels = shape
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
        self.layers = nn.Sequential(*layers)

    def forward(self, states, frames):
        channels, height, width = self.shape
        maps = self.layers(states.flatten(0, 1))[:, :, :height, :width]
        changes = maps.unflatten(1, (self.horizon, channels)).unflatten(0, states.shape[:2])
        return frames[:, :, None] + changes  # [n, time, horizon, channels, height, width]
