"""Pretrained classifiers of torchvision, from its weights objects and their files."""

from dataclasses import dataclass
from pathlib import Path

import torch
import torchvision
from torchvision.models import WeightsEnum

from sklearn_ssl.encoders._weights import load_state, read_state
from sklearn_ssl.encoders.image import AUXILIARY, without_head
from sklearn_ssl.encoders.pretrained_image import ImageNetwork

# Weights from TensorFlow, whose networks read pixels from -1 to 1: torchvision's convert their own.
CONVERTED = {"transform_input": True, "init_weights": False}


@dataclass(frozen=True, kw_only=True)
class TorchvisionNetwork(ImageNetwork):
    """A classifier of torchvision.

    Attributes
    ----------
    architecture : str
        A name of ``torchvision.models.list_models``.
    """

    architecture: str

    def build(self, pretrained, load):
        options = {"image_size": self.size[0]} if self.architecture.startswith("vit_") else {}
        if self.architecture in AUXILIARY:
            options = CONVERTED
        model = torchvision.models.get_model(self.architecture, weights=None, **options)
        if load:
            path = _path_of(pretrained)
            load_state(model, read_state(path), path)
        return without_head(model)


def read_torchvision_weights(pretrained):
    """Return the network of a weights object of torchvision, or of the file that it names.

    Parameters
    ----------
    pretrained : torchvision.models.WeightsEnum or Path

    Raises
    ------
    ValueError
        If it is not a classifier of images, or the file is missing or has another name.
    """
    is_file = isinstance(pretrained, Path)
    weights, name = _of_file(pretrained) if is_file else (pretrained, _architecture(pretrained))
    if not is_file and not _path_of(weights).is_file():
        raise ValueError(
            f"pretrained={weights} is not on this machine, and nothing is downloaded: "
            f"{str(_path_of(weights))!r} does not exist. Download it once with "
            f'torchvision.models.get_model({name!r}, weights="{weights.name}").'
        )
    preset = weights.transforms()
    (side,) = preset.crop_size
    return TorchvisionNetwork(
        architecture=name, mean=tuple(preset.mean), std=tuple(preset.std), size=(side, side)
    )


def _path_of(pretrained):
    """Return where the weights are: in a file, or in the folder to which torchvision downloads."""
    if isinstance(pretrained, WeightsEnum):
        return Path(torch.hub.get_dir(), "checkpoints", Path(pretrained.url).name)
    return Path(pretrained).expanduser()


def _classifiers():
    """Return all weights objects of classifiers of images: pairs of a name and their class."""
    names = torchvision.models.list_models(module=torchvision.models)
    return [(name, torchvision.models.get_model_weights(name)) for name in names]


def _architecture(weights):
    for name, kind in _classifiers():
        if isinstance(weights, kind):
            return name
    raise ValueError(
        f"pretrained={weights} is not a classifier of images, the only networks of torchvision "
        "that are supported: torchvision.models.ResNet18_Weights.DEFAULT, for example."
    )


def _of_file(path):
    for name, kind in _classifiers():
        for weights in kind:
            if Path(weights.url).name == path.name:
                return weights, name
    raise ValueError(
        f"pretrained={str(path)!r}: no weights of torchvision's classifiers have that file name, "
        "so it is unknown for which network they are. Build the network, load them with "
        "network.load_state_dict(torch.load(path, weights_only=True)), and pass "
        "pretrained=network."
    )
