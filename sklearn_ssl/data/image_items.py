"""Data sets of images, such as those of torch and of Hugging Face, as sequences of images."""

from collections.abc import Mapping, Sequence

import numpy as np
import torch

MOST_COLORS = 4  # channels of usual images: gray, with alpha, RGB, RGBA


class ImageItems(Sequence):
    """The images in the items of a data set; the labels in them are left out.

    Parameters
    ----------
    dataset : object
        With a length and items by index. An item is an image, or a tuple or a dict with one: an
        image of PIL, an array of shape (height, width[, channels]) or a tensor of shape (height,
        width) or (channels, height, width), as torchvision has it.
    """

    def __init__(self, dataset):
        self.dataset = dataset
        self.kind = type(dataset).__name__

    def __len__(self):
        return len(self.dataset)

    def __getitem__(self, place):
        images = images_in(self.dataset[int(place)])
        if len(images) != 1:
            raise ValueError(f"item {place} of the {self.kind} holds {len(images)} images, not one")
        return _channels_last(images[0])


def images_in(item):
    """Return the images in an item of a data set."""
    if is_image(item):
        return [item]
    if isinstance(item, Mapping):
        item = item.values()
    elif not isinstance(item, list | tuple):
        return []
    return [entry for entry in item if is_image(entry)]


def is_image(entry):
    """Return whether an object is an image of PIL, or an array or a tensor with pixels."""
    are_numbers = isinstance(entry, np.ndarray | torch.Tensor) and entry.dtype != object
    return hasattr(entry, "getbands") or (are_numbers and entry.ndim in (2, 3))


def _channels_last(image):
    if not isinstance(image, torch.Tensor):
        return image
    if image.ndim == 3 and image.shape[2] <= MOST_COLORS < min(image.shape[:2]):
        raise ValueError(
            f"a tensor of shape {tuple(image.shape)} looks like channels last; tensors in a data "
            "set are expected as (channels, height, width), arrays as (height, width, channels)"
        )
    image = image.detach().cpu()
    return (image.movedim(0, -1) if image.ndim == 3 else image).numpy()
