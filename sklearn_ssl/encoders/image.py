"""Encoders of images: a small residual network made for a CPU, and torchvision's models."""

import math
from difflib import get_close_matches

import torchvision
from torch import nn
from torch.nn import functional as F

SMALL_SIDE = 64  # below, torchvision's strided first layers would leave too little
# Classifiers in the middle of a network, which only its first training uses.
AUXILIARY = {"googlenet": ("aux1", "aux2"), "inception_v3": ("AuxLogits",)}


class ResidualBlock(nn.Module):
    """Two 3x3 convolutions with a shortcut; the first one halves the sides."""

    def __init__(self, channels_in, channels_out, stride=2):
        super().__init__()
        self.conv1 = nn.Conv2d(channels_in, channels_out, 3, stride, padding=1, bias=False)
        self.norm1 = nn.BatchNorm2d(channels_out)
        self.conv2 = nn.Conv2d(channels_out, channels_out, 3, padding=1, bias=False)
        self.norm2 = nn.BatchNorm2d(channels_out)
        self.shortcut = nn.Conv2d(channels_in, channels_out, 1, stride, bias=False)

    def forward(self, x):
        residual = F.relu(self.norm1(self.conv1(x)))
        residual = self.norm2(self.conv2(residual))
        return F.relu(residual + self.shortcut(x))


class ConvEncoder(nn.Module):
    """Small residual network whose embedding keeps a coarse spatial layout.

    The first convolution works at full resolution below 16 pixels, at half resolution from 16 and
    at a quarter from 96 on; then blocks halve the sides and double the channels down to 4 pixels,
    at least two blocks. The last map is averaged on a grid of at most 4x4, and flattened: in a
    small image, the position of things is as informative as what they are.

    Parameters
    ----------
    shape : tuple of int
        ``(channels, height, width)``.
    width : int, default=16
        Channels of the first convolution.
    grid : int, default=4
        Cells of the grid along each side; 1 is global average pooling.
    """

    def __init__(self, shape, width=16, grid=4):
        super().__init__()
        channels, height, width_pixels = shape
        side = min(height, width_pixels)
        stride = 1 if side < 16 else 2 if side < 96 else 4
        kernel = 3 if stride == 1 else 5
        layers = [
            nn.Conv2d(channels, width, kernel, stride=stride, padding=kernel // 2, bias=False),
            nn.BatchNorm2d(width),
            nn.ReLU(),
        ]
        sides = [-(-n // stride) for n in (height, width_pixels)]
        side = min(sides)
        n_blocks = max(2, math.ceil(math.log2(side / 4)))
        for _ in range(n_blocks):
            # Along a single pixel, torch's gradients with stride 2 in bfloat16 may be NaN.
            strides = tuple(2 if n > 1 else 1 for n in sides)
            layers.append(ResidualBlock(width, 2 * width, strides))
            width, sides = 2 * width, [-(-n // 2) for n in sides]
        self.layers = nn.Sequential(*layers)
        self.grid = min(grid, *sides)

    def forward(self, x):
        x = self.layers(x)  # [n, width, side, side]
        if x.shape[2:] != (self.grid, self.grid):
            x = F.adaptive_avg_pool2d(x, self.grid)
        return x.flatten(1)  # [n, width * grid * grid]


def torchvision_encoder(name, shape):
    """Build an untrained torchvision classifier without its last layer.

    The first convolution accepts any number of channels. For images below 64 pixels the first
    convolution of a ResNet becomes 3x3 with stride 1, and its first pooling is dropped, as is usual
    on CIFAR.

    Parameters
    ----------
    name : str
        As in ``torchvision.models.list_models(module=torchvision.models)``, for example "resnet18".
    shape : tuple of int
        ``(channels, height, width)``.

    Raises
    ------
    ValueError
        If torchvision has no classifier of that name.
    """
    names = torchvision.models.list_models(module=torchvision.models)
    if name not in names:
        close = ", ".join(get_close_matches(name, names, n=3, cutoff=0))
        raise ValueError(
            f"encoder={name!r} is not a torchvision classifier. Did you mean: {close}?"
        )
    options = {"init_weights": True} if name in AUXILIARY else {}  # by default, with a warning
    model = torchvision.models.get_model(name, weights=None, **options)
    small = min(shape[1:]) < SMALL_SIDE and isinstance(model, torchvision.models.ResNet)
    if small:
        model.maxpool = nn.Identity()

    first_name, first = _find(model, nn.Conv2d)[0]
    layout = (
        {"kernel_size": 3, "stride": 1, "padding": 1}
        if small
        else {"kernel_size": first.kernel_size, "stride": first.stride, "padding": first.padding}
    )
    bias = first.bias is not None
    model.set_submodule(first_name, nn.Conv2d(shape[0], first.out_channels, bias=bias, **layout))
    return without_head(model)


def without_head(model):
    """Replace the last layer of a torchvision classifier, in place, by one that does nothing.

    Auxiliary classifiers are left out.
    """
    last_name, _ = (_find(model, nn.Linear) or _find(model, nn.Conv2d))[-1]
    model.set_submodule(last_name, nn.Identity())
    for name in sum(AUXILIARY.values(), ()):
        if hasattr(model, name):
            setattr(model, name, None)
            model.aux_logits = False
    return model


def _find(model, kind):
    return [(name, module) for name, module in model.named_modules() if isinstance(module, kind)]
