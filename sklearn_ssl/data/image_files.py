"""Image files and encoded bytes: read, turned upright, converted and resized by several threads."""

import io
import re
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from numbers import Integral
from os import PathLike, fspath

import joblib
import numpy as np
from PIL import ExifTags, Image

from sklearn_ssl.data.image_items import ImageItems
from sklearn_ssl.data.stored_arrays import stored

SUFFIXES = (".jpg", ".jpeg", ".png", ".webp", ".bmp", ".tif", ".tiff", ".gif")
IMAGE_NAME = re.compile(rf"[^\n]*({'|'.join(map(re.escape, SUFFIXES))})", re.IGNORECASE)
SIGNATURES = re.compile(
    rb"\xff\xd8\xff|\x89PNG\r\n|GIF8|BM|II\*\0|MM\0\*|RIFF.{4}WEBP", re.DOTALL
)  # of the same formats
SOURCES = (str, bytes, PathLike)
SINGLE = (str, bytes, bytearray)  # no rows, although they are sequences
UNREAD = object()  # instead of a row that a data set does not give

DEFAULT_SIZE = 64  # pixels: a fit takes minutes on a CPU, and a network sees what is in a photo
AT_ONCE = 256  # images that are decoded before they are stored
# JPEG files are decoded at a half, a quarter or an eighth of their size, as long as that is at
# least this many times the size that is asked for. On photos of 13 megapixels it is seven times as
# fast, and changes a pixel by less than half a level of 255 on average, less than JPEG itself does.
REDUCED_TO = 3
UPRIGHT_BY = {  # by the orientation in EXIF
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
TURNED = (5, 6, 7, 8)  # width and height are exchanged


class UnreadableImageError(ValueError):
    """A file or bytes that cannot be read as an image."""


class ImageFiles:
    """Images that are decoded when they are indexed, as rows of an array of uint8.

    Parameters
    ----------
    sources : sequence of str, path, bytes, PIL.Image.Image or ndarray of uint8
    size : tuple of int
        ``(height, width, channels)``, with 1 channel (gray) or 3 (RGB).
    resize : {"crop", "pad"}
    row_shape : tuple of int, default=None
        Shape of a row, if it is not `size`.

    Attributes
    ----------
    shape : tuple of int
    dtype : numpy.dtype
    """

    dtype = np.dtype(np.uint8)
    remedy = (
        'Leave it out; sklearn_ssl.load_images(paths, on_error="skip") leaves out all such files.'
    )

    def __init__(self, sources, size, resize, row_shape=None):
        self.sources = sources
        self.size = size
        self.resize = resize
        self.shape = (len(sources), *(row_shape or size))

    def __len__(self):
        return len(self.sources)

    def __getitem__(self, rows):
        """Return the images at `rows`, a slice or an array of integers."""
        places = np.arange(len(self))[rows]
        images = np.empty((len(places), *self.size), self.dtype)
        for image, result in zip(images, self._results(places)):
            if isinstance(result, UnreadableImageError):
                raise UnreadableImageError(f"{result} {self.remedy}") from result.__cause__
            image[:] = result
        return images.reshape(-1, *self.shape[1:])

    def decoded(self):
        """Return all images in an array, which is memory-mapped if it is large."""
        starts = range(0, len(self), AT_ONCE)
        blocks = (self[start : start + AT_ONCE] for start in starts)
        return stored(blocks, self.shape, self.dtype)

    def readable(self):
        """Return which files can be read, and all of their images, like :meth:`decoded`.

        Returns
        -------
        images : ndarray
        errors : dict of int to UnreadableImageError
            By the place of the file.
        """
        errors = {}
        starts = range(0, len(self), AT_ONCE)
        blocks = (self._readable(range(len(self))[s : s + AT_ONCE], errors) for s in starts)
        images = stored(blocks, self.shape, self.dtype)
        return images, errors

    def _readable(self, places, errors):
        images = []
        for place, result in zip(places, self._results(places)):
            if isinstance(result, UnreadableImageError):
                errors[place] = result
            else:
                images.append(result)
        return np.array(images, self.dtype).reshape(-1, *self.shape[1:])

    def _results(self, places):
        """Return a list with an image or an error for each place.

        An image does not depend on the threads, because each is decoded by one of them. A data set
        is read by this thread alone: it may hold an open file, or draw random numbers.
        """
        if isinstance(self.sources, ImageItems):
            return [self._result(place) for place in places]
        with ThreadPoolExecutor(joblib.cpu_count(), thread_name_prefix="decode") as pool:
            return list(pool.map(self._result, places))

    def _result(self, place):
        source = UNREAD
        try:
            source = self.sources[int(place)]
            return self._read(source)
        except MemoryError:
            raise
        except Exception as error:  # Pillow's readers raise many kinds
            return _error_of(source, place, error)

    def _read(self, source):
        return read_image(source, self.size, self.resize)


# What X holds -------------------------------------------------------------------------------------


def sources_in(X, *, pictures=False):
    """Return the rows of X as something to index if they are read as files are; None otherwise.

    Parameters
    ----------
    X : object
        As returned by :func:`~sklearn_ssl.data.containers.opened`. Sequences stay as they are: a
        column of Hugging Face's `datasets` decodes its images when they are asked for.
    pictures : bool, default=False
        Whether images of PIL count, too, and arrays with the pixels of a file.
    """
    if isinstance(X, SINGLE):
        return None
    if not isinstance(X, Sequence):
        is_column = len(getattr(X, "shape", ())) == 1 and hasattr(X, "dtype")
        if not is_column or getattr(X.dtype, "kind", "O") in "biufcmM":
            return None
        X = list(X)
    first = _first(X)
    is_source = isinstance(first, SOURCES) or (pictures and is_picture(first))
    return X if is_source else None


def is_picture(image):
    """Return whether an object is an image of PIL, or an array with the pixels of a file."""
    if not isinstance(image, np.ndarray):
        return isinstance(image, Image.Image)
    has_colors = image.ndim == 2 or (image.ndim == 3 and image.shape[2] in (1, 3, 4))
    return image.dtype == np.uint8 and has_colors


def are_image_files(X):
    """Return whether X holds paths, names that all end like those of images, or encoded images."""
    first = _first(sources_in(X) or ())
    if isinstance(first, bytes):
        return SIGNATURES.match(first) is not None
    return isinstance(first, PathLike) or are_names_of_images(X)


def are_names_of_images(X):
    """Return whether X holds strings that all end like the names of image files."""
    rows = sources_in(X) or ()
    return isinstance(_first(rows), str) and all(
        _is_missing(row) or (isinstance(row, str) and IMAGE_NAME.fullmatch(row)) for row in rows
    )


def _first(rows):
    return next((row for row in rows if not _is_missing(row)), None)


def _is_missing(row):
    return row is None or (isinstance(row, float) and row != row)


def size_of_images(size, name):
    """Return (height, width, channels) of images that are read from files.

    Parameters
    ----------
    size : int, tuple of int or None
        As passed by the user.
    name : str
        Of the parameter.
    """
    size = DEFAULT_SIZE if size is None else size
    lengths = (size, size) if isinstance(size, Integral) else tuple(size)
    are_positive = all(isinstance(length, Integral) and length > 0 for length in lengths)
    height, width, channels = (*lengths, 3)[:3] if len(lengths) in (2, 3) else (0, 0, 0)
    if not are_positive or channels not in (1, 3):
        raise ValueError(
            f"{name} must be an integer, (height, width) or (height, width, channels), positive "
            f"integers with 1 or 3 channels; got {size!r}."
        )
    return int(height), int(width), int(channels)


# One image ----------------------------------------------------------------------------------------


def read_image(source, size, resize="crop"):
    """Return an image as uint8, upright.

    Parameters
    ----------
    source : str, path, bytes, PIL.Image.Image or ndarray of uint8
        The first frame counts if there are several. Arrays have the shape (height, width) or
        (height, width, channels), gray, RGB or RGBA.
    size : tuple of int
        ``(height, width, channels)``, with 1 channel (gray) or 3 (RGB).
    resize : {"crop", "pad"}, default="crop"
        Whether an image of other proportions loses its borders or gets black ones.

    Returns
    -------
    image : ndarray of shape (height, width, channels)
    """
    *sides, channels = size
    mode = "L" if channels == 1 else "RGB"
    if isinstance(source, np.ndarray):
        source = _as_picture(source)
    if isinstance(source, Image.Image):
        image = _fitted(source, (source.width, source.height), mode, sides, resize)
    else:
        file = io.BytesIO(source) if isinstance(source, bytes) else source
        with Image.open(file) as opened:
            extent = _decode_smaller(opened, mode, sides, resize)
            image = _fitted(opened, extent, mode, sides, resize)
    if resize == "pad":
        image = _framed(image, sides)
    return np.asarray(image).reshape(size)


def resize_array(image, sides, resize):
    """Return an array resized like an image from a file, each channel apart.

    Parameters
    ----------
    image : ndarray of shape (height, width[, channels])
    sides : tuple of int
        ``(height, width)``.
    resize : {"crop", "pad"}
        Borders have the value of the darkest pixel, in each channel.

    Returns
    -------
    image : ndarray of float32
        Interpolation does not leave the range of the pixels of a channel.
    """
    with np.errstate(over="ignore"):
        image = np.float32(image)
    if not np.isfinite(image).all():
        raise UnreadableImageError(
            "it has pixels that are missing (NaN), infinite or too large for float32. Replace "
            "them, for example with the median of the others"
        )
    planes = [Image.fromarray(plane) for plane in np.moveaxis(np.atleast_3d(image), -1, 0)]
    fitted = np.stack([_resized(plane, plane.size, sides, resize) for plane in planes], axis=-1)
    lows, highs = image.min(axis=(0, 1)), image.max(axis=(0, 1))
    framed = np.empty((*sides, len(planes)), np.float32)
    framed[:] = lows
    top, left = ((full - part) // 2 for full, part in zip(sides, fitted.shape))
    inside = framed[top : top + fitted.shape[0], left : left + fitted.shape[1]]
    np.clip(fitted, lows, highs, out=inside)
    return framed.reshape(*sides, *image.shape[2:])


def _as_picture(array):
    if not is_picture(array):
        raise UnreadableImageError("among files, arrays must be of uint8 with 1, 3 or 4 channels")
    return Image.fromarray(array[..., 0] if array.shape[2:] == (1,) else array)


def _decode_smaller(image, mode, sides, resize):
    """Make Pillow decode a JPEG file at a fraction of its size, if that is large enough.

    Returns
    -------
    extent : tuple of float
        Width and height that the pixels cover; a reduced image may end within its last ones.
    """
    factor = REDUCED_TO * _factor(image.size, _as_stored(image, sides), resize)
    reduced = tuple(max(1, round(factor * length)) for length in image.size)
    drafted = image.draft(mode, reduced) if factor < 1 else None
    return image.size if drafted is None else drafted[1][2:]


def _fitted(image, extent, mode, sides, resize):
    """Return an image converted, resized and turned upright; with "pad", still without borders."""
    image.load()  # Pillow turns TIFF files upright by itself
    stored = _as_stored(image, sides)
    resized = _resized(_converted(image, mode), extent, stored, resize)
    method = UPRIGHT_BY.get(_orientation(image))
    return resized if method is None else resized.transpose(method)


def _as_stored(image, sides):
    """Return (height, width) that an image has to be resized to, before it is turned upright."""
    return sides[::-1] if _orientation(image) in TURNED else sides


def _orientation(image):
    return image.getexif().get(ExifTags.Base.Orientation, 1)


def _factor(extent, sides, resize):
    """Return by how much an image of this width and height is enlarged."""
    factors = sides[1] / extent[0], sides[0] / extent[1]
    return max(factors) if resize == "crop" else min(factors)


def _converted(image, mode):
    """Return an image in the mode "L" or "RGB"; what is transparent becomes white."""
    if image.mode.startswith("I;16"):
        image = Image.fromarray((np.asarray(image) >> 8).astype(np.uint8))
    if image.mode in ("I", "F"):
        raise UnreadableImageError(
            "its pixels have 32 bits, and what is white is unknown: read such files as arrays, "
            "np.asarray(PIL.Image.open(path)), whose range fit measures"
        )
    if image.has_transparency_data:
        image = image.convert("RGBA")
        image = Image.alpha_composite(Image.new("RGBA", image.size, "white"), image)
    return image if image.mode == mode else image.convert(mode)


def _resized(image, extent, sides, resize):
    """Resize the middle of an image, or all of it, by bicubic interpolation with antialiasing."""
    factor = _factor(extent, sides, resize)
    if resize == "pad":
        size = tuple(max(1, round(factor * length)) for length in extent)
        return image.resize(size, Image.Resampling.BICUBIC, box=(0, 0, *extent))
    size = sides[::-1]  # width, height
    shown = [min(side / factor, length) for side, length in zip(size, extent)]
    start = [(length - seen) / 2 for seen, length in zip(shown, extent)]
    box = (*start, *np.add(start, shown).tolist())
    return image.resize(size, Image.Resampling.BICUBIC, box=box)


def _framed(image, sides):
    """Return an image in the middle of a black one."""
    height, width = sides
    canvas = Image.new(image.mode, (width, height))
    canvas.paste(image, ((width - image.width) // 2, (height - image.height) // 2))
    return canvas


# Errors -------------------------------------------------------------------------------------------


def _error_of(source, place, error):
    unreadable = UnreadableImageError(f"Row {place} of X {_fault(source, error)}.")
    unreadable.__cause__ = error
    return unreadable


def _fault(source, error):
    if source is UNREAD:
        return f"cannot be read: {str(error).rstrip('.') or repr(error)}"
    if _is_missing(source):
        return f"is missing ({source})"
    if not isinstance(source, (*SOURCES, Image.Image, np.ndarray)):
        return f"is of type {type(source).__name__}, among paths or images"
    what = "an image of PIL"
    if isinstance(source, np.ndarray):
        what = f"an array of {source.dtype} of shape {source.shape}"
    elif isinstance(source, bytes):
        what = f"{len(source)} bytes"
    elif isinstance(source, str | PathLike):
        what = f"the file {fspath(source)!r}"
    if isinstance(error, FileNotFoundError):
        return f"is {what}, which does not exist; nothing is downloaded"
    if isinstance(error, Image.UnidentifiedImageError):
        return f"is {what}, not an image that Pillow can read"
    if isinstance(error, UnreadableImageError):
        return f"is {what}: {error}"
    return f"is {what}, which cannot be read as an image: {str(error).rstrip('.') or repr(error)}"
