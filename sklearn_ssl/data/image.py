"""Images: pixels in rows and columns, and in channels."""

import warnings
from dataclasses import dataclass, replace
from functools import partial
from numbers import Integral
from typing import ClassVar

import numpy as np

from sklearn_ssl import defaults
from sklearn_ssl.augment import ImageAugmentation
from sklearn_ssl.data.axes import VOLUMES, axes_to_move, is_oblong
from sklearn_ssl.data.containers import opened, unmasked
from sklearn_ssl.data.image_arrays import ImageArrays, arrays_in
from sklearn_ssl.data.image_files import ImageFiles, are_image_files, size_of_images, sources_in
from sklearn_ssl.data.image_items import MOST_COLORS, ImageItems
from sklearn_ssl.data.image_statistics import mean_color_share, mirror_accuracy
from sklearn_ssl.data.pixels import BYTES, PixelSpec
from sklearn_ssl.data.readable import TO_RESIZE
from sklearn_ssl.data.rows import RowBlocks, evenly_spaced
from sklearn_ssl.data.spec import shown_shape
from sklearn_ssl.encoders.image import ConvEncoder, torchvision_encoder
from sklearn_ssl.encoders.pretrained_image import GivenModule, ImageNetwork
from sklearn_ssl.encoders.pretrained_sources import read_network
from sklearn_ssl.encoders.vit import ViTEncoder

MOST_BANDS = 1000  # more would be rows
N_MEASURED = 512  # images for the statistics on which the default augmentation depends
AT_ONCE = 64  # of them, as float32 numbers: constant memory for large images


@dataclass(frozen=True, kw_only=True)
class ImageSpec(PixelSpec):
    """What an estimator knows of images. A batch has the shape ``(n, channels, height, width)``.

    Attributes
    ----------
    mirror_accuracy : float
        How often a linear model tells training images from their mirror images.
    mean_color_share : float
        Share of the variance of pixels that the mean colors of training images account for.
    resize : str
        How images from files get their size: "crop" or "pad".
    network : ImageNetwork, GivenModule or None
        What a pretrained network is, without its weights.
    loads_weights : bool
        Whether a pretrained encoder gets its weights from where the user says; otherwise they are
        random, to be replaced by those of a fit.
    """

    mirror_accuracy: float = 0.5
    mean_color_share: float = 0.0
    resize: str = "crop"
    network: ImageNetwork | GivenModule | None = None
    loads_weights: bool = False

    modality: ClassVar[str] = "image"
    n_dims: ClassVar[tuple] = (2, 3, 4)
    expected: ClassVar[str] = (
        "(n, height, width) or (n, height, width, channels), or flat rows and image_shape"
    )
    plural: ClassVar[str] = "images"
    rows_to_see: ClassVar[int] = 600_000
    takes_pretrained: ClassVar[bool] = True
    ragged_advice: ClassVar[str] = TO_RESIZE
    default_augmentation: ClassVar = ImageAugmentation

    # Reading images one by one ----------------------------------------------------------------

    @classmethod
    def recognizes(cls, X):
        X = opened(X)
        if isinstance(X, ImageItems):
            return not isinstance(X[0], np.ndarray) or X[0].ndim == 3
        return are_image_files(X)

    @classmethod
    def read(cls, estimator, blocks):
        network = _network_of(estimator)  # first, because it may be refused
        rows, spec = super().read(estimator, blocks)
        return rows, replace(spec, resize=estimator.image_resize, network=network)

    @classmethod
    def as_arrays(cls, estimator, blocks, spec=None):
        read = [cls._images(estimator, X, spec) for X in blocks]
        blocks = [X if images is None else images.decoded() for X, images in zip(blocks, read)]
        return super().as_arrays(estimator, blocks, spec)

    @classmethod
    def _images(cls, estimator, X, spec=None):
        """Return X as images that are read one by one; None if it is an array or a frame."""
        X, is_sized = opened(X), estimator.image_size is not None
        sources = sources_in(X, pictures=is_sized)
        is_certain = is_sized or estimator.modality == cls.modality
        if sources is not None and (is_certain or are_image_files(X)):
            return cls._files(estimator, sources, spec)
        if isinstance(X, ImageItems):
            return cls._arrays(estimator, X, spec)
        rows = arrays_in(X) if is_sized else None
        return None if rows is None else cls._arrays(estimator, unmasked(rows, cls.plural), spec)

    @classmethod
    def _files(cls, estimator, sources, spec):
        if spec is not None:
            channels, height, width = spec.shape
            if channels not in (1, 3):
                raise ValueError(
                    f"X holds image files, which are read with 1 or 3 channels, but the images in "
                    f"fit had {channels}. Pass an array of shape {shown_shape(spec.row_shape)}."
                )
            return ImageFiles(sources, (height, width, channels), spec.resize, spec.row_shape)
        if estimator.image_shape is not None:
            raise ValueError(
                f"image_shape={estimator.image_shape} is the shape of flat rows, but X holds image "
                f"files. Use image_size={estimator.image_shape} instead."
            )
        network = _network_of(estimator)
        own_size = network.size if network else None
        size = size_of_images(estimator.image_size or own_size, "image_size")
        return ImageFiles(sources, size, estimator.image_resize)

    @classmethod
    def _arrays(cls, estimator, sources, spec):
        if estimator.image_size is None:
            return ImageArrays(sources, None, estimator.image_resize)
        if spec is not None:
            return ImageArrays(sources, spec.shape[1:], spec.resize)
        *sides, _ = size_of_images(estimator.image_size, "image_size")
        images = ImageArrays(sources, tuple(sides), estimator.image_resize)
        channels = (*images.shape, 1)[3]
        if np.ndim(estimator.image_size) and (*estimator.image_size, channels)[2] != channels:
            raise ValueError(
                f"image_size={estimator.image_size} asks for {estimator.image_size[2]} channels, "
                f"but X holds arrays of {images.first_dtype} with {channels}, which are resized "
                f"as they are. Use image_size={tuple(sides)}."
            )
        return images

    def rows_of(self, estimator, X):
        images = self._images(estimator, X, self)
        if images is None or not self._are_known(images):
            return super().rows_of(estimator, X)
        return RowBlocks(images), np.arange(len(images)), np.ones(len(images))

    def _are_known(self, images):
        """Return whether images can only have the shape and the range of those in ``fit``."""
        are_bytes = images.dtype == np.uint8 and (self.shift, self.scale) == BYTES
        return are_bytes and images.shape[1:] == self.row_shape

    def decoded(self, estimator, X):
        images = self._images(estimator, X, self)
        return X if images is None else images.decoded()

    @classmethod
    def batch_shape(cls, estimator, row_shape):
        named, image_shape = estimator.modality, estimator.image_shape
        for name in ("image_shape", "image_size"):
            value = getattr(estimator, name)
            if value is not None and named not in ("auto", cls.modality):
                raise ValueError(
                    f'{name}={value} requires modality="image", got modality={named!r}.'
                )
        cls.check_dims(row_shape)
        is_named = named == cls.modality
        shape = read_image_shape(row_shape, image_shape, is_named=is_named)
        if estimator.image_size is not None:
            _check_image_size(estimator.image_size, shape)
        return shape

    # Description and networks -----------------------------------------------------------------

    @classmethod
    def describe(cls, rows, shape):
        spec = super().describe(rows, shape)
        images = evenly_spaced(rows, N_MEASURED)

        def batches():
            for start in range(0, len(images), AT_ONCE):
                yield spec.to_tensor(images[start : start + AT_ONCE])

        return replace(
            spec,
            mirror_accuracy=mirror_accuracy(batches()),
            mean_color_share=mean_color_share(batches()),
        )

    @property
    def n_local(self):
        """4 for at least 64 pixels on the shorter side, and 0 below.

        A part of a small image, of a row of a table or of a series hardly shows which row it comes
        from: with local views, SwAV was both slower and worse on images of 8 and of 28 pixels.
        """
        return 4 if min(self.shape[1:]) >= 64 else 0

    def as_rows(self, batch):
        return super().as_rows(batch.movedim(1, -1))

    def default_encoder(self, shape):
        return ConvEncoder(shape)

    def named_encoder(self, name, shape):
        return ViTEncoder(shape) if name == "vit" else torchvision_encoder(name, shape)

    def pretrained_encoder(self, pretrained):
        """Build the encoder that starts from a pretrained network."""
        return self.network.encoder(pretrained, self.loads_weights, self.shape)

    @property
    def inference_batch_size(self):
        size = self.network.size if self.network else None
        return defaults.inference_batch_size((*self.shape[:1], *size) if size else self.shape)

    def token_encoder(self, patch_size, pooling):
        # Larger patches than those of other Vision Transformers are more to predict, and fewer of
        # them are less work: on Fashion-MNIST a side of 7 was more than twice as fast as one of 4,
        # and five points better with ten labels per class. Wide and shallow is as good as deeper,
        # and quicker.
        patch_size = patch_size or min(max(min(self.shape[1:]) // 4, 1), 16)
        return partial(ViTEncoder, patch_size=patch_size, pooling=pooling, width=128, depth=2)

    def mild_augmentation(self):
        return ImageAugmentation(jitter=0, grayscale=0, blur=0)


def _network_of(estimator):
    """Return what is known of the pretrained network of an estimator; None if it has none."""
    pretrained = getattr(estimator, "pretrained", None)  # not all estimators have the parameter
    return None if pretrained is None else read_network(pretrained)


def read_image_shape(row_shape, image_shape, *, is_named=False):
    """Return (channels, height, width) of images passed as `row_shape`.

    Parameters
    ----------
    row_shape : tuple of int
    image_shape : tuple of int or None
        As passed by the user.
    is_named : bool
        Whether the user sets ``modality="image"``: together with `image_shape`, this settles
        doubts.
    """
    if image_shape is not None:
        _check_image_shape(row_shape, image_shape)
    elif len(row_shape) == 1:
        raise ValueError(
            f"X has shape {shown_shape(row_shape)}: pass image_shape=(height, width) or "
            "(height, width, channels) to have its rows read as images."
        )
    height, width, channels = (*(image_shape or row_shape), 1)[:3]
    got = f"X has shape {shown_shape(row_shape)}"
    remedy = "Use np.moveaxis(X, 1, -1)."
    if len(row_shape) == 1:
        got = f"image_shape={tuple(image_shape)}"
        remedy = (
            "Pass it as (height, width, channels); rows with one channel after the other become "
            f"images by np.moveaxis(X.reshape(-1, {height}, {width}, {channels}), 1, -1)."
        )
    _check_channels_last(
        (height, width, channels), got, remedy, is_settled=is_named and image_shape is not None
    )
    return channels, height, width


def _check_image_size(image_size, shape):
    """Refuse an array of another size: only files and lists of images are resized."""
    height, width, _ = size_of_images(image_size, "image_size")
    if (height, width) != shape[1:]:
        raise ValueError(
            f"image_size={image_size} is for files and for lists of images, which are resized; X "
            f"is an array of images of {shape[1]} x {shape[2]} pixels. Leave image_size out, or "
            "pass list(X)."
        )


def _check_image_shape(row_shape, image_shape):
    if len(image_shape) not in (2, 3) or not all(
        isinstance(length, Integral) and length > 0 for length in image_shape
    ):
        raise ValueError(
            "image_shape must be (height, width) or (height, width, channels), positive integers; "
            f"got {image_shape}."
        )
    image_shape = tuple(image_shape)
    if np.prod(image_shape) != np.prod(row_shape):
        raise ValueError(
            f"image_shape={image_shape} has {np.prod(image_shape)} values, but the rows of "
            f"X, of shape {shown_shape(row_shape)}, have {np.prod(row_shape)}."
        )
    if len(row_shape) > 1 and (*row_shape, 1)[:3] != (*image_shape, 1)[:3]:
        advice = axes_to_move(row_shape, image_shape) or "Leave it out."
        raise ValueError(
            f"X has shape {shown_shape(row_shape)}, and image_shape={image_shape} would mix its "
            f"pixels; it is for flat rows. {advice}"
        )


def _check_channels_last(shape, got, remedy, *, is_settled=False):
    """Refuse images with channels first, and warn if that is doubtful."""
    height, width, channels = shape
    if height == width == channels > MOST_COLORS and not is_settled:
        warnings.warn(
            f"{got}, which is read as images of {height} x {width} pixels with {channels} "
            f'channels. If so, silence this with modality="image" and image_shape={shape}. '
            f"{VOLUMES}",
            UserWarning,
            stacklevel=2,
        )
    if height == width or (channels <= MOST_COLORS and not 1 < width == channels):
        return
    looks = f"{got}, which looks like channels first; images are expected as"
    if height <= MOST_COLORS < channels:
        raise ValueError(f"{looks} (n, height, width, channels). {remedy}")
    if is_settled:
        return
    if width == channels > MOST_COLORS:
        raise ValueError(
            f"{looks} (n, height, width, channels). {remedy} If these are {channels} channels of "
            f'{height} x {width} pixels, set modality="image" and image_shape={shape}. {VOLUMES}'
        )
    if channels > MOST_BANDS or width <= MOST_COLORS < min(height, channels):
        doubt, remedy = "rows last", "np.moveaxis(X, -1, 0)"
    elif channels <= MOST_COLORS or (is_oblong(height, width) and not is_oblong(width, channels)):
        doubt, remedy = "channels first", "np.moveaxis(X, 1, -1)"
    else:
        return
    warnings.warn(
        f"{got}, which is read as (n, height, width, channels), and may have {doubt}. If so, use "
        f'{remedy}; if not, silence this with modality="image" and image_shape={shape}.'
        + (f" {VOLUMES}" if channels > MOST_COLORS else ""),
        UserWarning,
        stacklevel=2,
    )
