"""Kinds of data: one file for each defines how it is read, described, and converted to tensors.

A new kind is a subclass of :class:`~sklearn_ssl.data.spec.ArraySpec` and an entry in :data:`KINDS`.
"""

from sklearn_ssl.data.containers import opened
from sklearn_ssl.data.image import ImageSpec
from sklearn_ssl.data.image_files import are_names_of_images
from sklearn_ssl.data.readable import count_dims, read_rows
from sklearn_ssl.data.series import SeriesSpec
from sklearn_ssl.data.spec import TAKEN_BY, ArraySpec, shown_shape
from sklearn_ssl.data.stored_arrays import is_lazy
from sklearn_ssl.data.table import TableSpec
from sklearn_ssl.data.text import TextSpec
from sklearn_ssl.data.video import VideoSpec

KINDS = {kind.modality: kind for kind in (TableSpec, ImageSpec, SeriesSpec, VideoSpec, TextSpec)}
# The kind of numbers by their dimensions, unless the estimator or the user names another.
AUTO_MODALITY = {2: "table", 4: "image"}


def kind_of(estimator, X):
    """Return the kind of data that X holds, a subclass of Spec.

    Parameters
    ----------
    estimator : estimator
        Its parameters `modality`, `image_shape` and `image_size`, if it has them, name the kind;
        otherwise X is recognized as texts or image files, or the number of its dimensions says what
        it holds.
    X : object
        As passed by the user.

    Raises
    ------
    ValueError
        If neither determines the kind, or if the estimator does not accept such data.
    """
    modality, taken = modality_of(estimator, X), taken_by(estimator)
    if modality is None:
        _refuse(estimator, X)
    if taken == (TextSpec.modality,) and are_names_of_images(opened(X)):
        raise ValueError(
            f"X holds names of image files, but {type(estimator).__name__} learns from texts. Use "
            "an estimator of images, such as SimCLRTransformer; if the names themselves are the "
            'texts, use it with modality="text".'
        )
    if modality not in taken:
        raise ValueError(
            f"modality={modality!r} must be one of {', '.join(map(repr, ('auto', *taken)))}."
        )
    return KINDS[modality]


def modality_of(estimator, X):
    """Return the name of the kind of data that X holds; None if it is unknown."""
    taken = taken_by(estimator)
    if len(taken) == 1:
        return taken[0]
    if any(getattr(estimator, name, None) is not None for name in ("image_shape", "image_size")):
        return ImageSpec.modality
    named = getattr(estimator, "modality", "auto")
    if named != "auto":
        return named
    for name in taken:
        if KINDS[name].recognizes(X):
            return name
    if not is_lazy(X):  # whose dimensions are known without reading it
        X = read_rows(opened(X), type(estimator).__name__)
    return estimator._auto_modality.get(count_dims(X))


def taken_by(estimator):
    """Return the names of the kinds of data that an estimator, or a class, accepts."""
    return estimator._modalities or tuple(
        name
        for name, kind in KINDS.items()
        if issubclass(kind, estimator._kinds) and kind.default_augmentation is not None
    )


def _refuse(estimator, X):
    """Raise an error about X, whose kind is unknown; scikit-learn's own messages come first."""
    (X,) = ArraySpec.as_arrays(estimator, [X])
    row_shape = ArraySpec.checked(estimator, X, reset=True, min_samples=2).shape[1:]
    n_dims, by_dims = len(row_shape) + 1, estimator._auto_modality
    got = f"X has shape {shown_shape(row_shape)}"
    if n_dims == 3 and by_dims is AUTO_MODALITY:
        raise ValueError(
            f"{got}: it may hold grayscale images (n, height, width) or series (n, channels, "
            'time). Set modality="image" or modality="series".'
        )
    raise ValueError(f"{got}, expected {_among(by_dims)} dimensions.{TAKEN_BY.get(n_dims, '')}")


def _among(by_dims):
    """Name the numbers of dimensions that X may have; three of them may be grayscale images."""
    *most, last = sorted({*by_dims, 3} if 4 in by_dims else by_dims)
    return f"{', '.join(map(str, most))} or {last}" if most else str(last)
