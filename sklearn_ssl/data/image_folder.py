"""Folders of images: which files there are, with labels, and all of them as one array."""

import os
import warnings
from collections.abc import Iterable
from pathlib import Path

import numpy as np

from sklearn_ssl.data.containers import opened
from sklearn_ssl.data.image_files import SUFFIXES, ImageFiles, size_of_images, sources_in
from sklearn_ssl.data.image_items import ImageItems

UNLABELED = ("unlabeled", "unlabelled")
N_NAMED = 5  # files that a warning names


def list_images(folder, *, unlabeled=UNLABELED):
    """List the image files in a folder and in those inside it, with the names of these as labels.

    Every estimator of images accepts the paths as X, and reads the files itself.

    Parameters
    ----------
    folder : str or path
        Files are in ``folder/label/`` or in folders below; those in `folder` itself have no label.
        Names that begin with a dot are left out.
    unlabeled : str or list of str, default=("unlabeled", "unlabelled")
        Names of folders whose images have no label. Upper and lower case are the same.

    Returns
    -------
    paths : list of str
        Files with the suffixes .jpg, .jpeg, .png, .webp, .bmp, .tif, .tiff and .gif, in upper or
        lower case; sorted.
    labels : ndarray of shape (n,)
        Strings; if some images have no label, objects that are None there, as
        :class:`~sklearn_ssl.FineTuneClassifier` and the splitters of
        ``sklearn_ssl.semi_supervised`` expect it.

    Raises
    ------
    ValueError
        If there is no image, or no such folder.

    See Also
    --------
    load_images : Read the files into one array.

    Examples
    --------
    >>> import tempfile
    >>> from pathlib import Path
    >>> from PIL import Image
    >>> from sklearn_ssl import list_images
    >>> with tempfile.TemporaryDirectory() as photos:
    ...     for name in ("cat/1.jpg", "dog/1.jpg", "unlabeled/1.jpg"):
    ...         path = Path(photos, name)
    ...         path.parent.mkdir()
    ...         Image.new("RGB", (40, 30)).save(path)
    ...     paths, labels = list_images(photos)
    >>> len(paths), labels
    (3, array(['cat', 'dog', None], dtype=object))
    """
    root = Path(folder)
    if not root.is_dir():
        raise ValueError(
            f"{os.fspath(folder)!r} is not a folder. Relative paths start in the current folder."
        )
    paths, labels = [], []
    for place in sorted(_image_files(root), key=lambda path: path.parts):
        paths.append(os.fspath(root / place))
        labels.append(place.parts[0] if len(place.parts) > 1 else None)
    if not paths:
        raise ValueError(
            f"{os.fspath(folder)!r} holds no image files, nor do the folders inside it. They end "
            f"in {', '.join(SUFFIXES)}."
        )
    return paths, _label_array(labels, unlabeled)


def load_images(
    images, *, size=None, resize="crop", unlabeled=UNLABELED, on_error="raise", return_paths=False
):
    """Read images from a folder, from paths or from bytes, into one array.

    Each image is turned upright, as its camera says, and converted: what is transparent becomes
    white, CMYK and palettes become RGB, and 16 bits become 8. Of several frames, the first is read.
    The same file always gives the same pixels.

    Parameters
    ----------
    images : str, path or sequence
        A folder, as in :func:`list_images`; a list, an array or a column of paths, of encoded
        images (bytes), of images of PIL or of arrays of uint8; or a data set of torch or of Hugging
        Face, with one such image or array, or a tensor of uint8, in each item.
    size : int or tuple of int, default=None
        The side of a square, ``(height, width)`` or ``(height, width, channels)``, with 3 channels
        (RGB, the default) or 1 (gray). None means 64 pixels.
    resize : {"crop", "pad"}, default="crop"
        What happens to images of other proportions: "crop" cuts off what is too long on both sides,
        "pad" keeps all of the image between black borders. Both are bicubic, with antialiasing.
    unlabeled : str or list of str, default=("unlabeled", "unlabelled")
        Names of folders whose images have no label. Upper and lower case are the same.
    on_error : {"raise", "skip"}, default="raise"
        Whether a file that is missing or broken is an error, or is left out, with a warning that
        counts them.
    return_paths : bool, default=False
        Whether to return the paths, too.

    Returns
    -------
    X : ndarray of shape (n, height, width, channels) of uint8
        Beyond 1 GiB it is mapped from a temporary file, which is gone when the array is; to keep
        it, use ``np.save``. It is in the folder of ``tempfile.gettempdir()``.
    labels : ndarray of shape (n,)
        Names of folders, as in :func:`list_images`; of single paths, that of the folder they are
        in. None for anything else.
    paths : list
        Where they were read from; places in a data set. Only if `return_paths` is True.

    Raises
    ------
    ValueError
        If a file cannot be read, or none of them can.

    See Also
    --------
    list_images : Only list the files.

    Examples
    --------
    >>> import tempfile
    >>> from pathlib import Path
    >>> from PIL import Image
    >>> from sklearn_ssl import load_images
    >>> with tempfile.TemporaryDirectory() as photos:
    ...     for name in ("cat/1.jpg", "cat/2.jpg", "dog/1.jpg"):
    ...         path = Path(photos, name)
    ...         path.parent.mkdir(exist_ok=True)
    ...         Image.new("RGB", (40, 30), "orange").save(path)
    ...     X, labels = load_images(photos, size=32)
    >>> X.shape, labels.tolist()
    ((3, 32, 32, 3), ['cat', 'cat', 'dog'])
    """
    for name, value, options in (
        ("resize", resize, ("crop", "pad")),
        ("on_error", on_error, ("raise", "skip")),
    ):
        if value not in options:
            raise ValueError(f"{name} must be {' or '.join(map(repr, options))}; got {value!r}.")
    sources, labels = _listed(images, unlabeled)
    files = ImageFiles(sources, size_of_images(size, "size"), resize)
    if on_error == "raise":
        X, kept = files.decoded(), range(len(sources))
    else:
        X, errors = files.readable()
        _warn_of(errors, len(sources))
        kept = [place for place in range(len(sources)) if place not in errors]
        labels = labels[kept]
    if not return_paths:
        return X, labels
    is_dataset = isinstance(sources, ImageItems)
    return X, labels, list(kept) if is_dataset else [sources[place] for place in kept]


def _listed(images, unlabeled):
    """Return paths or other sources of images, and their labels."""
    if isinstance(images, str | os.PathLike):
        return list_images(images, unlabeled=unlabeled)
    sources = sources_in(opened(images), pictures=True)
    if sources is None:
        what = f"a {type(images).__name__}"
        if isinstance(images, Iterable) and not hasattr(images, "shape"):
            what += " of something else, or empty"
        raise ValueError(
            "load_images expects a folder, or a list, an array or a column of paths, of encoded "
            f"images (bytes), of images of PIL or of arrays of uint8; got {what}."
        )
    if isinstance(sources, ImageItems):
        return sources, np.full(len(sources), None)
    are_paths = (isinstance(source, str | os.PathLike) for source in sources)
    parents = [Path(s).parent.name if is_path else None for s, is_path in zip(sources, are_paths)]
    return sources, _label_array(parents, unlabeled)


def _image_files(root):
    """Yield the image files below a folder, relative to it."""
    for folder, folders, names in os.walk(root, followlinks=True):
        folders[:] = [name for name in folders if not name.startswith(".")]
        for name in names:
            if not name.startswith(".") and name.lower().endswith(SUFFIXES):
                yield Path(folder, name).relative_to(root)


def _label_array(labels, unlabeled):
    """Return labels as strings, or as objects with None where there is none."""
    unlabeled = [unlabeled] if isinstance(unlabeled, str) else unlabeled
    unlabeled = {name.lower() for name in unlabeled}
    labels = [label if label and label.lower() not in unlabeled else None for label in labels]
    return np.array(labels, dtype=object if None in labels else str)


def _warn_of(errors, n_images):
    """Warn of files that are left out; raise an error if all of them are."""
    if not errors:
        return
    named = "\n".join(f"  {error}" for error in list(errors.values())[:N_NAMED])
    if len(errors) > N_NAMED:
        named += f"\n  and {len(errors) - N_NAMED} more"
    said = f"{len(errors)} of {n_images} images cannot be read"
    if len(errors) == n_images:
        raise ValueError(f"{said}:\n{named}")
    warnings.warn(f"{said} and are left out:\n{named}", UserWarning, stacklevel=3)
