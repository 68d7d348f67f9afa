"""Images in arrays: a list of them, or the items of a data set, read and resized one by one."""

import numpy as np

from sklearn_ssl.data.image_files import ImageFiles, UnreadableImageError, resize_array
from sklearn_ssl.data.image_items import ImageItems


class ImageArrays(ImageFiles):
    """Images that are read and resized when they are indexed, with any dtype and channels.

    Parameters
    ----------
    sources : sequence of ndarray of shape (height, width[, channels]) or of PIL.Image.Image
        All of the dtype and the channels of the first.
    sides : tuple of int or None
        ``(height, width)`` to resize to; None means that they must have the size of the first.
    resize : {"crop", "pad"}

    Attributes
    ----------
    shape : tuple of int
    dtype : numpy.dtype
        That of the images, if they are not resized or are of uint8; otherwise float32.
    """

    remedy = "Convert it, or leave it out."

    def __init__(self, sources, sides, resize):
        first = np.asarray(sources[0])
        self.sides = sides
        self.first_shape, self.first_dtype = first.shape, first.dtype
        is_kept = sides is None or first.dtype == np.uint8
        self.dtype = first.dtype if is_kept else np.dtype(np.float32)
        size = first.shape if sides is None else (*sides, *first.shape[2:])
        super().__init__(sources, size, resize)

    def _read(self, source):
        image = np.asarray(source)
        if image.dtype != self.first_dtype or image.shape[2:] != self.first_shape[2:]:
            raise UnreadableImageError(
                "it must have the dtype and the channels of row 0, an array of "
                f"{self.first_dtype} of shape {self.first_shape}"
            )
        if self.sides is None and image.shape != self.first_shape:
            raise UnreadableImageError(
                f"it must have the size of row 0, of shape {self.first_shape}; all rows are "
                "resized if you set image_size, for example image_size=64"
            )
        if self.sides is None or image.shape[:2] == self.sides:
            return image
        resized = resize_array(image, self.sides, self.resize)
        return np.rint(resized).astype(self.dtype) if self.dtype.kind == "u" else resized


def arrays_in(X):
    """Return the rows of X if they are single arrays with pixels; None otherwise.

    Parameters
    ----------
    X : object
        As returned by :func:`~sklearn_ssl.data.containers.opened`.
    """
    is_column = isinstance(X, np.ndarray) and X.ndim == 1 and X.dtype == object
    if not is_column and not isinstance(X, list | tuple | ImageItems):
        return None
    is_image = len(X) > 0 and isinstance(X[0], np.ndarray) and X[0].ndim in (2, 3)
    return X if is_image else None
