"""Views of images."""

import math

import torch
from torch.nn import functional as F

from sklearn_ssl.augment.base import Augmentation, full_precision, uniform

DEPEND_ON_DATA = ("scale", "flip", "jitter", "grayscale", "blur")
MOST_ALIKE = 0.65  # accuracy above which mirror images are not like the images
MOSTLY_ONE_COLOR = 0.5  # share of the variance above which an image is about one color


class ImageAugmentation(Augmentation):
    """Random resized crop, flip, rotation, color jitter, gray and blur.

    As in SimCLR [1]_, with rotations added. Crop, flip and rotation are one bilinear sampling of
    each image; brightness, saturation, hue and gray are one linear map of its channels.

    Parameters
    ----------
    scale : tuple of float or None, default=None
        Range of the fraction of the area that a crop keeps. Above 1, the image shrinks and is
        surrounded by black. None means (0.08, 1) for at least 64 pixels on the shorter side, and a
        milder (0.3, 1) below, where a crop of 8 % contains hardly a pixel.
    ratio : tuple of float, default=(3/4, 4/3)
        Range of the change of the aspect ratio.
    flip : float or None, default=None
        Probability of mirroring left and right. None means 0.5 if the training images look like
        their mirror images, as most photographs do, and 0 if a linear model tells them apart in
        more than 65 % of the cases, as it does for digits and letters.
    rotation : float, default=0
        Maximum angle, in degrees, in either direction.
    jitter : float or None, default=None
        Strength of the color jitter: brightness, contrast and saturation change by up to 0.8 times
        this, hue by 0.2 times this of the color circle. Images without three channels only change
        in brightness and contrast. None means 0.8; but 0.1 if the mean colors of the training
        images account for more than half of the variance of their pixels. Then an image is about
        one color, which says more of it than shapes do.
    jitter_probability : float, default=0.8
        Fraction of the images that are jittered.
    grayscale : float or None, default=None
        Fraction of the images with three channels that turn gray. None means 0.2, or 0 where the
        jitter is 0.1 by default.
    blur : float or None, default=None
        Fraction of the images that are blurred, with a Gaussian of 0.1 to 2 pixels and a kernel of
        a tenth of the shorter side. None means 0.5 for at least 32 pixels, and 0 below.

    References
    ----------
    .. [1] T. Chen et al., "A Simple Framework for Contrastive Learning of Visual
       Representations", ICML 2020, https://arxiv.org/abs/2002.05709

    Examples
    --------
    >>> import torch
    >>> from sklearn_ssl.augment import ImageAugmentation
    >>> augment = ImageAugmentation(scale=(0.5, 1), flip=0.5, jitter=0.8, grayscale=0.2, blur=0)
    >>> augment(torch.rand(16, 3, 28, 28), torch.Generator().manual_seed(0)).shape
    torch.Size([16, 3, 28, 28])
    """

    modality = "image"

    def __init__(
        self,
        *,
        scale=None,
        ratio=(3 / 4, 4 / 3),
        flip=None,
        rotation=0.0,
        jitter=None,
        jitter_probability=0.8,
        grayscale=None,
        blur=None,
    ):
        super().__init__()
        self.scale = scale
        self.ratio = ratio
        self.flip = flip
        self.rotation = rotation
        self.jitter = jitter
        self.jitter_probability = jitter_probability
        self.grayscale = grayscale
        self.blur = blur

    def adapt(self, spec):
        adapted = super().adapt(spec)
        for name, value in default_settings(spec).items():
            if getattr(self, name) is None:
                setattr(adapted, name, value)
        return adapted

    def local(self, spec):
        """Return an adapted copy with smaller crops, resized to half the side length."""
        local = self.adapt(spec)
        local.scale = local_crop_scale(local.scale)
        local.size = tuple(-(-side // 2) for side in spec.shape[1:])
        return local

    def weak(self, spec):
        """Return an adapted copy that only mirrors and rotates as this one, and crops little."""
        weak = self.adapt(spec)
        weak.scale, weak.jitter, weak.grayscale, weak.blur = (0.8, 1.0), 0.0, 0.0, 0.0
        return weak

    def forward(self, batch, generator):
        unset = [name for name in DEPEND_ON_DATA if getattr(self, name) is None]
        if unset:
            raise ValueError(f"{unset[0]} is None: set it, or call adapt(spec) first.")
        with full_precision(batch):
            views = self._crop_flip_rotate(batch, generator)
            if self.jitter or (self.grayscale and batch.shape[1] == 3):
                views = self._jitter(views, generator)
            if self.blur:
                views = self._blur(views, generator)
        return views

    def _crop_flip_rotate(self, batch, generator):
        n, _, height, width = batch.shape

        def draw(low, high):
            return uniform(n, low, high, batch, generator)

        area = draw(*self.scale)
        ratio = draw(math.log(self.ratio[0]), math.log(self.ratio[1])).exp_()
        # As fractions of the whole side.
        crop_width, crop_height = (area * ratio).sqrt_(), (area / ratio).sqrt_()
        if max(self.scale) <= 1:
            crop_width.clamp_(max=1)
            crop_height.clamp_(max=1)
        # Coordinates run from -1 to 1 over the image. A crop stays inside; a larger one contains
        # it. Half a pixel is left at the edges, because a sample there would be mixed with black.
        center_x = draw(-1, 1) * (1 - crop_width).abs_() * (1 - 1 / width)
        center_y = draw(-1, 1) * (1 - crop_height).abs_() * (1 - 1 / height)
        mirror = torch.where(draw(0, 1) < self.flip, -1.0, 1.0)
        angle = draw(-self.rotation, self.rotation) * (math.pi / 180)
        cos, sin = angle.cos(), angle.sin()
        aspect = height / width
        affine = torch.stack(
            [
                torch.stack([mirror * crop_width * cos, -crop_height * sin * aspect, center_x], -1),
                torch.stack([mirror * crop_width * sin / aspect, crop_height * cos, center_y], -1),
            ],
            dim=1,
        )  # [n, 2, 3]
        size = (*batch.shape[:2], *(self.size or batch.shape[2:]))
        grid = F.affine_grid(affine, size, align_corners=False)
        return F.grid_sample(batch, grid, align_corners=False)

    def _jitter(self, views, generator):
        n, channels = views.shape[:2]

        def draw(low, high):
            return uniform((n, 1, 1, 1), low, high, views, generator)

        chosen = (draw(0, 1) < self.jitter_probability) * self.jitter
        brightness, contrast = (1 + chosen * draw(-0.8, 0.8) for _ in range(2))
        if channels == 3:
            saturation = 1 + chosen * draw(-0.8, 0.8)
            saturation = torch.where(draw(0, 1) < self.grayscale, 0.0, saturation)
            hue = chosen * draw(-0.2, 0.2) * (2 * math.pi)
            color_map = brightness[:, 0] * _saturation_and_hue(saturation, hue)  # [n, 3, 3]
            views = torch.einsum("nij,njhw->nihw", color_map, views)
        else:
            views = views * brightness
        mean = views.mean(dim=(1, 2, 3), keepdim=True)
        return torch.lerp(mean, views, contrast).clamp_(0, 1)

    def _blur(self, views, generator):
        n, channels, height, width = views.shape
        chosen = torch.nonzero(uniform(n, 0, 1, views, generator) < self.blur)[:, 0]
        sigma = uniform((n, 1), 0.1, 2.0, views, generator)[chosen].repeat_interleave(channels, 0)
        side = min(height, width)
        radius = min(max(1, side // 20), side - 1)
        offsets = torch.arange(-radius, radius + 1, device=views.device)
        kernel = torch.softmax(-0.5 * (offsets / sigma) ** 2, dim=1)  # [chosen * c, 2 radius + 1]
        planes = views[chosen].reshape(1, -1, height, width)
        groups = planes.shape[1]
        planes = F.pad(planes, [radius] * 4, mode="reflect")
        planes = F.conv2d(planes, kernel[:, None, None, :], groups=groups)
        planes = F.conv2d(planes, kernel[:, None, :, None], groups=groups)
        blurred = planes.reshape(-1, channels, height, width)
        return views.index_copy(0, chosen, blurred)


def default_settings(spec):
    """Return the settings that depend on the data, by name, for images of a description."""
    side = min(spec.shape[1:])
    jitter, grayscale = color_changes(spec.mean_color_share)
    return {
        "scale": crop_scale(side),
        "flip": flip_probability(spec.mirror_accuracy),
        "jitter": jitter,
        "grayscale": grayscale,
        "blur": blur_probability(side),
    }


def crop_scale(side):
    """Return the range of the area of random crops, from the shorter side of the images.

    SimCLR's 8 % of a large image is an object; of a small one it is hardly a pixel.
    """
    return (0.08, 1.0) if side >= 64 else (0.3, 1.0)


def local_crop_scale(scale):
    """Return the range of the area of local crops: below that of the global ones."""
    return scale[0] / 3, scale[0]


def flip_probability(mirror_accuracy):
    """Return the probability of mirroring, from how often mirror images are told from images.

    Where images have sides, mirror images are unlike any of them: learning to ignore the side is
    in vain for shoes that all point to the left (an accuracy of .81), and harms for digits (.81 to
    .95). Photographs and emoji have .51 to .58.
    """
    return 0.0 if mirror_accuracy > MOST_ALIKE else 0.5


def color_changes(mean_color_share):
    """Return the strength of the jitter and the fraction of gray images.

    Parts of landscapes have a share of .80 to .89, and with strong changes lose what tells them
    apart; pictures of objects have .13 to .28, and strong changes gain a little.
    """
    return (0.1, 0.0) if mean_color_share > MOSTLY_ONE_COLOR else (0.8, 0.2)


def blur_probability(side):
    """Return the probability of blurring an image: below 32 pixels there is no detail to remove."""
    return 0.5 if side >= 32 else 0.0


# Rows: luma, and the two color differences of the YIQ space, in which hue is an angle.
_RGB_TO_YIQ = ((0.299, 0.587, 0.114), (0.596, -0.274, -0.322), (0.211, -0.523, 0.312))


def _saturation_and_hue(saturation, hue):
    """Return the maps of RGB, ``(n, 3, 3)``, that scale and rotate its color differences."""
    to_yiq = torch.tensor(_RGB_TO_YIQ, device=hue.device)
    cos, sin = (saturation * hue.cos())[:, 0, 0, 0], (saturation * hue.sin())[:, 0, 0, 0]
    in_yiq = torch.zeros(len(hue), 3, 3, device=hue.device)
    in_yiq[:, 0, 0] = 1
    in_yiq[:, 1, 1] = in_yiq[:, 2, 2] = cos
    in_yiq[:, 1, 2], in_yiq[:, 2, 1] = -sin, sin
    return torch.linalg.inv(to_yiq) @ in_yiq @ to_yiq
