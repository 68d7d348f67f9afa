"""Augmentations of whole batches, one per kind of data.

An augmentation is a module called as ``augment(batch, generator)``. It draws one random change per
row, and computes all of them in a few tensor operations. ``adapt(spec)`` returns a copy with the
settings that depend on the data; the estimator calls it in ``fit``. :class:`MultiCrop` makes two
kinds of views.
"""

import copy
import math

import torch
from torch import nn
from torch.nn import functional as F

from sklearn_ssl.masking import corrupt_features


class Augmentation(nn.Module):
    """Base class: ``forward(batch, generator)`` returns a changed copy of the batch.

    Attributes
    ----------
    modality : {"image", "table", "series"} or None
        The only kind of data that it changes; None means any.
    size : tuple of int or None
        Shape of a view after its channels; None means that of the batch.
    alike : bool
        Whether all rows of a batch may change in the same way, so that each view needs a separate
        call.
    """

    modality = None
    size = None
    alike = False

    def adapt(self, spec):
        """Return a copy with its unset settings derived from the description of the data.

        Parameters
        ----------
        spec : Spec
            Its ``shape`` and ``marginals`` are used.
        """
        return copy.deepcopy(self)

    def local(self, spec):
        """Return an adapted copy that shows less of each row: the small views of multi-crop.

        Parameters
        ----------
        spec : Spec
        """
        return self.adapt(spec)

    def forward(self, batch, generator):
        raise NotImplementedError(f"{type(self).__name__} must define forward(batch, generator)")


class Foreign(Augmentation):
    """A function of a batch from outside this package.

    Parameters
    ----------
    function : callable
        It may be a module.
    """

    alike = True

    def __init__(self, function):
        super().__init__()
        self.function = function

    def forward(self, batch, generator):
        with _full_precision(batch):
            return self.function(batch)


class Compose(Augmentation):
    """Augmentations applied one after another.

    Parameters
    ----------
    steps : list of Augmentation
    """

    def __init__(self, steps):
        super().__init__()
        self.steps = nn.ModuleList(steps)
        self.alike = any(step.alike for step in steps)

    @property
    def size(self):
        """Shape of a view: that of the last step that changes it."""
        return next((step.size for step in reversed(self.steps) if step.size is not None), None)

    @size.setter
    def size(self, size):
        for step in self.steps:
            step.size = size

    def adapt(self, spec):
        return Compose([step.adapt(spec) for step in self.steps])

    def local(self, spec):
        return Compose([step.local(spec) for step in self.steps])

    def forward(self, batch, generator):
        for step in self.steps:
            changed = step(batch, generator)
            _check_view(changed, batch, step.size)
            batch = changed
        return batch


def make_views(augment, batch, n_views, generator):
    """Return `n_views` independent views of a batch, stacked: shape ``(n_views * n, ...)``.

    Parameters
    ----------
    augment : Augmentation or callable
        Any other callable receives only the batch, once for each view.
    batch : torch.Tensor of shape (n, ...)
    n_views : int
    generator : torch.Generator
    """
    if not isinstance(augment, Augmentation):
        augment = Foreign(augment)
    if augment.alike:
        views = [augment(batch, generator) for _ in range(n_views)]
    else:
        views = [augment(batch.repeat(n_views, *[1] * (batch.ndim - 1)), generator)]
    for view in views:
        _check_view(view, batch, augment.size)
    views = torch.cat(views)
    if len(views) != n_views * len(batch):
        raise ValueError(
            f"augment must return one row for each row of its batch, got {views.shape[0]} rows for "
            f"{n_views} views of {len(batch)} rows."
        )
    return views


def _check_view(view, batch, size):
    """Raise an error if an augmentation returns rows unlike those of its batch."""
    if not isinstance(view, torch.Tensor):
        raise TypeError(
            f"augment must return a tensor like the batch it receives, got {type(view).__name__}."
        )
    shape = batch.shape[1:] if size is None else (batch.shape[1], *size)
    if tuple(view.shape[1:]) != tuple(shape) or view.dtype != batch.dtype:
        raise ValueError(
            "augment must return rows like those of the batch it receives, of shape "
            f"{tuple(shape)} and {batch.dtype}; got rows of shape {tuple(view.shape[1:])} and "
            f"{view.dtype}."
        )


class MultiCrop(nn.Module):
    """Two views of each row, and local views that show less of it, as in SwAV [1]_ and DINO.

    Parameters
    ----------
    augment : None, Augmentation or callable
        As in :func:`resolve_augmentation`. An Augmentation makes local views with its method
        ``local``; any other callable makes them like the global ones.
    n_local : int or None
        Number of local views of each row. None means 4 for images with at least 64 pixels on the
        shorter side, otherwise 0.
    spec : Spec
    encoder : torch.nn.Module
        If it does not accept rows of another shape, local views get the shape of the rows.

    References
    ----------
    .. [1] M. Caron et al., "Unsupervised Learning of Visual Features by Contrasting Cluster
       Assignments", NeurIPS 2020, https://arxiv.org/abs/2006.09882
    """

    def __init__(self, augment, n_local, spec, encoder):
        super().__init__()
        self.n_local = n_local
        if n_local is None:
            self.n_local = spec.n_local
        self.augment = resolve_augmentation(augment, spec)
        self.local_augment = self.augment.local(spec)
        size = self.local_augment.size
        if size is not None and not _takes(encoder, (spec.shape[0], *size)):
            self.local_augment.size = None

    def forward(self, batch, generator):
        """Return a list of one or two batches of views, which may differ in the shape of a row.

        Parameters
        ----------
        batch : torch.Tensor of shape (n, ...)
        generator : torch.Generator

        Returns
        -------
        views : list of torch.Tensor
            The global views, of shape ``(2 * n, ...)``, and unless `n_local` is 0 the local ones,
            of shape ``(n_local * n, ...)``.
        """
        views = [make_views(self.augment, batch, 2, generator)]
        if self.n_local:
            views.append(make_views(self.local_augment, batch, self.n_local, generator))
        return views


@torch.no_grad()
def _takes(encoder, shape):
    """Return whether an encoder embeds rows of another shape than it was built for."""
    was_training = encoder.training
    encoder.eval()
    try:
        return encoder(torch.zeros(2, *shape)).shape == (2, encoder.output_dim)
    except (RuntimeError, ValueError, AssertionError):
        return False
    finally:
        encoder.train(was_training)


def _full_precision(batch):
    """Disable the autocast of a training step: eight-bit coordinates would shift pixels."""
    return torch.autocast(batch.device.type, enabled=False)


def _uniform(shape, low, high, like, generator):
    """Draw from [low, high) on the device of `like`."""
    return torch.rand(shape, generator=generator, device=like.device).mul_(high - low).add_(low)


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
    flip : float, default=0.5
        Probability of mirroring left and right. Use 0 if mirrored images mean something else, like
        digits and letters.
    rotation : float, default=0
        Maximum angle, in degrees, in either direction.
    jitter : float, default=0.8
        Strength of the color jitter: brightness, contrast and saturation change by up to 0.8 times
        this, hue by 0.2 times this of the color circle. Images without three channels only change
        in brightness and contrast.
    jitter_probability : float, default=0.8
        Fraction of the images that are jittered.
    grayscale : float, default=0.2
        Fraction of the images with three channels that turn gray.
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
    >>> augment = ImageAugmentation(scale=(0.5, 1), blur=0)
    >>> augment(torch.rand(16, 3, 28, 28), torch.Generator().manual_seed(0)).shape
    torch.Size([16, 3, 28, 28])
    """

    modality = "image"

    def __init__(
        self,
        *,
        scale=None,
        ratio=(3 / 4, 4 / 3),
        flip=0.5,
        rotation=0.0,
        jitter=0.8,
        jitter_probability=0.8,
        grayscale=0.2,
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
        side = min(spec.shape[1:])
        if self.scale is None:
            adapted.scale = crop_scale(side)
        if self.blur is None:
            adapted.blur = blur_probability(side)
        return adapted

    def local(self, spec):
        """Return an adapted copy with smaller crops, resized to half the side length."""
        local = self.adapt(spec)
        local.scale = local_crop_scale(local.scale)
        local.size = tuple(-(-side // 2) for side in spec.shape[1:])
        return local

    def forward(self, batch, generator):
        if self.scale is None or self.blur is None:
            raise ValueError("scale and blur are not set: set them, or call adapt(spec) first.")
        with _full_precision(batch):
            views = self._crop_flip_rotate(batch, generator)
            if self.jitter or (self.grayscale and batch.shape[1] == 3):
                views = self._jitter(views, generator)
            if self.blur:
                views = self._blur(views, generator)
        return views

    def _crop_flip_rotate(self, batch, generator):
        n, _, height, width = batch.shape

        def draw(low, high):
            return _uniform(n, low, high, batch, generator)

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
            return _uniform((n, 1, 1, 1), low, high, views, generator)

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
        chosen = torch.nonzero(_uniform(n, 0, 1, views, generator) < self.blur)[:, 0]
        sigma = _uniform((n, 1), 0.1, 2.0, views, generator)[chosen].repeat_interleave(channels, 0)
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


def crop_scale(side):
    """Return the range of the area of random crops, from the shorter side of the images.

    SimCLR's 8 % of a large image is an object; of a small one it is hardly a pixel.
    """
    return (0.08, 1.0) if side >= 64 else (0.3, 1.0)


def local_crop_scale(scale):
    """Return the range of the area of local crops: below that of the global ones."""
    return scale[0] / 3, scale[0]


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


class SeriesAugmentation(Augmentation):
    """Random crop in time, change of amplitude, noise and masked time.

    Parameters
    ----------
    crop : tuple of float, default=(0.5, 1.0)
        Range of the fraction of the time that a crop keeps; it is stretched to the full length.
    scaling : float, default=0.2
        Standard deviation of the logarithm of the factor for each channel.
    noise : float, default=0.1
        Standard deviation of added white noise, in standard deviations of the channel.
    mask : float, default=0.1
        Fraction of the time, in one piece, that is set to the mean of the channel.
    """

    modality = "series"

    def __init__(self, *, crop=(0.5, 1.0), scaling=0.2, noise=0.1, mask=0.1):
        super().__init__()
        self.crop = crop
        self.scaling = scaling
        self.noise = noise
        self.mask = mask

    def local(self, spec):
        """Return an adapted copy with crops of half the length, resized to half the length."""
        local = self.adapt(spec)
        local.crop = tuple(part / 2 for part in self.crop)
        local.size = (-(-spec.shape[1] // 2),)
        return local

    def forward(self, batch, generator):
        n, channels, whole_time = batch.shape
        (time,) = self.size or (whole_time,)

        def draw(low, high):
            return _uniform((n, 1), low, high, batch, generator)

        def normal(*shape):
            return torch.randn(shape, generator=generator, device=batch.device)

        steps = torch.linspace(0, 1, time, device=batch.device)
        length = draw(*self.crop)
        position = (draw(0, 1) * (1 - length) + length * steps) * (whole_time - 1)  # [n, t]
        left = position.floor().clamp_(max=max(whole_time - 2, 0)).long()
        right = (left + 1).clamp_(max=whole_time - 1)
        left_value = batch.gather(2, left[:, None].expand(-1, channels, -1))
        right_value = batch.gather(2, right[:, None].expand(-1, channels, -1))
        views = torch.lerp(left_value, right_value, (position - left)[:, None])

        views = views * (self.scaling * normal(n, channels, 1)).exp_()
        views = views.add_(normal(n, channels, time), alpha=self.noise)
        middles = (torch.arange(time, device=batch.device) + 0.5) / time
        start = draw(0, 1 - self.mask)
        masked = (middles >= start) & (middles < start + self.mask)  # [n, t]
        return views.masked_fill_(masked[:, None], 0)


def resolve_augmentation(augment, spec):
    """Return the augmentation for an estimator's parameter, adapted to the data.

    Parameters
    ----------
    augment : None, Augmentation, callable, list or tuple
        None means the default augmentation of the kind of data. A list, a tuple or an
        ``nn.Sequential`` contains several, applied one after another. The parameter itself is never
        changed.
    spec : Spec

    Returns
    -------
    augmentation : Augmentation

    Raises
    ------
    TypeError
        If `augment` does not consist of functions of a batch.
    ValueError
        If `augment` is empty, or is made for another kind of data; or if it is None and the kind of
        data has no default augmentation.
    """
    if augment is None:
        if spec.default_augmentation is None:
            raise ValueError(
                f"Data of the kind {spec.modality!r} has no default augmentation: pass a function "
                "of a batch as augment."
            )
        augment = spec.default_augmentation()
    if isinstance(augment, Augmentation):
        if augment.modality not in (None, spec.modality):
            raise ValueError(
                f"augment={type(augment).__name__}() changes data of the kind "
                f"{augment.modality!r}, but X is read as {spec.modality!r}. Use augment=None, or "
                "your own function of a batch."
            )
        return augment.adapt(spec)
    if isinstance(augment, list | tuple | nn.Sequential | nn.ModuleList):
        if len(augment) == 0 or any(step is None for step in augment):
            raise ValueError(
                "augment is empty, or has None among its steps: pass augmentations, or "
                "augment=None for the default."
            )
        return Compose([resolve_augmentation(step, spec) for step in augment])
    if not callable(augment) or isinstance(augment, type):
        raise TypeError(f"augment must consist of functions of a batch, got {augment!r}.")
    try:
        return Foreign(copy.deepcopy(augment))
    except TypeError as error:
        raise TypeError(
            f"augment must consist of functions that can be copied; copying {augment!r} fails "
            f"({error}). Keep a lock or an open file in a global variable of a module."
        ) from error
