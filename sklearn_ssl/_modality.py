"""What kind of data X holds, and the shape that its rows have in a batch."""

import numpy as np

from sklearn_ssl._images import read_image_shape, read_video_shape

MODALITIES = ("table", "image", "series")
# Modality of X by its dimensions, unless the estimator or the user says another.
AUTO_MODALITY = {2: "table", 4: "image"}
# Who takes rows that an estimator does not, by the dimensions of X.
TAKEN_BY = {
    2: " SimCLRTransformer takes tables, for example.",
    3: " TS2VecTransformer takes series, and SimCLRTransformer gray images, for example.",
    4: " SimCLRTransformer takes images, for example.",
    5: " NextFrameEmbedder takes videos.",
}


def modality_of(estimator, X):
    """Say what X holds, as far as the parameters and the number of dimensions tell.

    Parameters
    ----------
    estimator : estimator
    X : object

    Returns
    -------
    modality : str or None
        None if they do not tell; :func:`resolve_modality` says then what is to be done.
    """
    if estimator.image_shape is not None:
        return "image"
    if estimator.modality != "auto":
        return estimator.modality
    return estimator._auto_modality.get(count_dims(X))


def count_dims(X):
    """Return the number of dimensions of X, as far as its first row tells; None if it does not."""
    try:
        if isinstance(X, list | tuple) and len(X):
            return 1 + np.ndim(X[0])
        return len(X.shape if hasattr(X, "shape") else np.shape(X))
    except (TypeError, ValueError):  # a row of lists of different lengths, for example
        return None


def resolve_modality(row_shape, modality="auto", image_shape=None, auto_modality=AUTO_MODALITY):
    """Say what kind of data rows of this shape are, and the shape they have in a batch.

    Parameters
    ----------
    row_shape : tuple of int
        Shape of one row of X.
    modality : {"auto", "table", "image", "series", "video"}
    image_shape : tuple of int or None
        ``(height, width)`` or ``(height, width, channels)`` of flat rows.
    auto_modality : dict of int to str
        What "auto" makes of X, by the number of its dimensions.

    Returns
    -------
    modality : {"table", "image", "series", "video"}
    shape : tuple of int
        As in :class:`~sklearn_ssl._inputs.InputSpec`.
    """
    n_dims, named = len(row_shape) + 1, modality
    X_shape = f"(n, {', '.join(map(str, row_shape))})"
    if image_shape is not None:
        if modality not in ("auto", "image"):
            raise ValueError(
                f'image_shape={image_shape} goes with modality="image", got modality={modality!r}.'
            )
        modality = "image"
    elif modality == "auto":
        modality = auto_modality.get(n_dims)
    if modality is None and n_dims == 3 and auto_modality is AUTO_MODALITY:
        raise ValueError(
            f"X has shape {X_shape}: it may hold grey images (n, height, width) or series "
            '(n, channels, time). Say which with modality="image" or modality="series".'
        )

    if modality == "table" and n_dims == 2:
        return modality, row_shape
    if modality == "series" and n_dims in (2, 3):
        return modality, row_shape if n_dims == 3 else (1, *row_shape)
    if modality == "image" and n_dims in (2, 3, 4):
        is_named = named == "image"
        return modality, read_image_shape(row_shape, image_shape, X_shape, is_named=is_named)
    if modality == "video" and n_dims in (4, 5):
        return modality, read_video_shape(row_shape, X_shape)
    expected = {
        "table": "(n, features)",
        "series": "(n, channels, time), or (n, time) for one channel",
        "image": "(n, height, width) or (n, height, width, channels), or flat rows and image_shape",
        "video": "(n, time, height, width) or (n, time, height, width, channels)",
        None: f"{_among(auto_modality)} dimensions",
    }[modality]
    raise ValueError(f"X has shape {X_shape}, expected {expected}.{TAKEN_BY.get(n_dims, '')}")


def _among(auto_modality):
    """Name the numbers of dimensions that X may have; three of them may be grey images."""
    *most, last = sorted({*auto_modality, 3} if 4 in auto_modality else auto_modality)
    return f"{', '.join(map(str, most))} or {last}" if most else str(last)
