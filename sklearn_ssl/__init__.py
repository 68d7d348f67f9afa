"""Self-supervised learning with scikit-learn's tools."""

from sklearn_ssl._base import BaseSSLTransformer
from sklearn_ssl._version import __version__
from sklearn_ssl.methods.simclr import SimCLRTransformer
from sklearn_ssl.pretext import PretextTask

from sklearn_ssl import _workers  # isort: skip - after torch and scikit-learn have been loaded

__all__ = ["BaseSSLTransformer", "PretextTask", "SimCLRTransformer", "__version__"]

del _workers
