"""Images: the shape of their rows, and the range of their pixels."""

from numbers import Integral

import numpy as np


def read_image_shape(row_shape, image_shape, X_shape):
    """Return (channels, height, width) of images that come as `row_shape`."""
    if image_shape is None:
        if len(row_shape) == 1:
            raise ValueError(
                f"X has shape {X_shape}: pass image_shape=(height, width) or (height, width, "
                "channels) to have its rows read as images."
            )
        if len(row_shape) == 3 and row_shape[0] <= 4 < row_shape[2]:
            raise ValueError(
                f"X has shape {X_shape}, which looks like channels first; images are expected as "
                "(n, height, width, channels). Use np.moveaxis(X, 1, -1)."
            )
        image_shape = row_shape
    elif len(image_shape) not in (2, 3) or not all(
        isinstance(length, Integral) and length > 0 for length in image_shape
    ):
        raise ValueError(
            "image_shape must be (height, width) or (height, width, channels), positive integers; "
            f"got {image_shape}."
        )
    if np.prod(image_shape) != np.prod(row_shape):
        raise ValueError(
            f"image_shape={tuple(image_shape)} has {np.prod(image_shape)} values, but the rows of "
            f"X, of shape {X_shape}, have {np.prod(row_shape)}."
        )
    height, width, channels = (*image_shape, 1)[:3]
    return channels, height, width


def pixel_range(sample):
    """Return shift and scale that map the range of pixels to [0, 1]."""
    low, high = (0, 255) if sample.dtype == np.uint8 else (np.nanmin(sample), np.nanmax(sample))
    low, high = float(low), float(high)  # whose difference cannot overflow, as int8's can
    return low, 1 / (high - low) if high > low else 1.0
