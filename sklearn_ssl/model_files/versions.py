"""The versions of the packages that the results of a model depend on."""

import platform
from importlib.metadata import version

from sklearn_ssl._version import __version__

PACKAGES = ("numpy", "scikit-learn", "scipy", "tokenizers", "torch", "torchvision")


def versions():
    """Return the versions of Python, this package and those that it computes with, by name."""
    return {
        "sklearn_ssl": __version__,
        "python": platform.python_version(),
        **{name: version(name) for name in PACKAGES},
    }
