"""Augmentations of whole batches, one per kind of data.

An augmentation is a module called as ``augment(batch, generator)``. It draws one random change per
row, and computes all of them in a few tensor operations. ``adapt(spec)`` returns a copy with the
settings that depend on the data; the estimator calls it in ``fit``. :class:`MultiCrop` makes two
kinds of views.
"""

from sklearn_ssl.augment.base import (
    Augmentation,
    Compose,
    Foreign,
    MultiCrop,
    make_views,
    resolve_augmentation,
)
from sklearn_ssl.augment.image import ImageAugmentation
from sklearn_ssl.augment.series import SeriesAugmentation
from sklearn_ssl.augment.table import FeatureCorruption
from sklearn_ssl.augment.text import TextAugmentation

__all__ = [
    "Augmentation",
    "Compose",
    "FeatureCorruption",
    "Foreign",
    "ImageAugmentation",
    "MultiCrop",
    "SeriesAugmentation",
    "TextAugmentation",
    "make_views",
    "resolve_augmentation",
]
