"""Pretrained networks for images, as encoders that read this package's batches.

An :class:`ImageNetwork` knows what a network is without its weights, so a saved estimator can build
it again from arrays alone. Each source of networks has its own subclass, in its own module:
transformers, timm, torchvision, and here a torch module.
"""

import copy
from dataclasses import dataclass

import torch
from torch import nn
from torch.nn import functional as F
from torch.nn.modules.batchnorm import _BatchNorm

COLORS = 3


class PretrainedImageEncoder(nn.Module):
    """A pretrained network that sees images at its own size and in its own units.

    Its batch normalizations keep the statistics of its own training, also in training mode: a few
    images of another kind would give poor ones. Their scales and shifts are trained.

    Parameters
    ----------
    network : torch.nn.Module
        Maps prepared images to ``(n, width)``.
    prepare : torch.nn.Module
        Maps a batch, with pixels from 0 to 1, to what the network reads.
    """

    def __init__(self, network, prepare):
        super().__init__()
        self.prepare = prepare
        self.network = network

    def forward(self, batch):
        return self.network(self.prepare(batch))

    def train(self, mode=True):
        super().train(mode)
        for module in self.network.modules():
            if isinstance(module, _BatchNorm):
                module.eval()
        return self

    def attention(self, batch):
        """Return what the CLS token looks at in the last block, see :meth:`ViTEncoder.attention`.

        Raises
        ------
        ValueError
            If the network is not a Vision Transformer from a folder of transformers.
        """
        return self._part("attention", "attention weights")(self.prepare(batch))

    def patch_states(self, batch):
        """Return the states of patches, see :meth:`ViTEncoder.patch_states`."""
        return self._part("patch_states", "states of patches")(self.prepare(batch))

    def _part(self, name, meaning):
        if not hasattr(self.network, name):
            raise ValueError(
                f"{type(self.network).__name__} shows no {meaning}: pretrained Vision Transformers "
                'from a folder of transformers do, and encoder="vit".'
            )
        return getattr(self.network, name)


class Prepare(nn.Module):
    """Resize images, repeat gray values as colors, and standardize colors, as a network expects.

    Parameters
    ----------
    mean, std : tuple of float
        Of each color, for pixels from 0 to 1.
    size : tuple of int
        ``(height, width)``. Images of other proportions are stretched.
    """

    def __init__(self, mean, std, size):
        super().__init__()
        self.size = tuple(size)
        for name, values in (("mean", mean), ("std", std)):
            self.register_buffer(name, torch.tensor(values).reshape(-1, 1, 1), persistent=False)

    def forward(self, batch):
        if batch.shape[2:] != self.size:
            batch = F.interpolate(batch, self.size, mode="bicubic", antialias=True).clamp(0, 1)
        return (batch.expand(-1, COLORS, -1, -1) - self.mean) / self.std


@dataclass(frozen=True, kw_only=True)
class ImageNetwork:
    """A pretrained network without its weights.

    Attributes
    ----------
    mean, std : tuple of float
        Of each color, for pixels from 0 to 1.
    size : tuple of int
        ``(height, width)`` of the images that it reads.
    """

    mean: tuple
    std: tuple
    size: tuple

    def build(self, pretrained, load):
        """Build the network, from prepared images to ``(n, width)``.

        Parameters
        ----------
        pretrained : object
            The estimator's parameter.
        load : bool
            Whether to read the weights from there; otherwise they are random.
        """
        raise NotImplementedError(f"{type(self).__name__} must define build(pretrained, load)")

    def encoder(self, pretrained, load, shape):
        """Build an encoder of images of a shape, ``(channels, height, width)``."""
        if shape[0] not in (1, COLORS):
            raise ValueError(
                f"X has images of {shape[0]} channels, but pretrained networks read {COLORS}, red, "
                "green and blue, or 1, which is repeated. Choose channels, such as X[..., :3], or "
                "train from scratch, with pretrained=None."
            )
        network = self.build(pretrained, load)
        return PretrainedImageEncoder(network, Prepare(self.mean, self.std, self.size))


class GivenNetwork(nn.Module):
    """A user's module; if it returns maps, their means are the representation."""

    def __init__(self, module):
        super().__init__()
        self.module = module

    def forward(self, images):
        output = self.module(images)
        is_map = isinstance(output, torch.Tensor) and output.ndim == 4
        return output.mean((2, 3)) if is_map else output


@dataclass(frozen=True)
class GivenModule:
    """A network that the user passes as a module, which reads batches as they are."""

    size: tuple | None = None

    def encoder(self, pretrained, load, shape):
        """Return an encoder with a copy of the user's module, whose weights it always has."""
        return PretrainedImageEncoder(
            GivenNetwork(copy.deepcopy(pretrained).float()), nn.Identity()
        )
