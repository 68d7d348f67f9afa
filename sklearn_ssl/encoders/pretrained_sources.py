"""From the parameter `pretrained` of an estimator of images to the network that it means."""

import json
from pathlib import Path

from torch import nn

from sklearn_ssl.encoders._timm_models import is_timm_model, read_timm_folder, read_timm_module
from sklearn_ssl.encoders._torchvision_weights import read_torchvision_weights
from sklearn_ssl.encoders._transformers_images import read_transformers_folder
from sklearn_ssl.encoders.pretrained_image import GivenModule


def read_network(pretrained):
    """Return what is known of a pretrained network for images, except its weights.

    Parameters
    ----------
    pretrained : str, Path, torchvision.models.WeightsEnum or torch.nn.Module

    Returns
    -------
    network : ImageNetwork or GivenModule

    Raises
    ------
    ValueError
        If there is no such folder or file, or it holds something else.
    """
    if isinstance(pretrained, nn.Module):
        return read_timm_module(pretrained) if is_timm_model(pretrained) else GivenModule()
    if not isinstance(pretrained, str | Path):
        return read_torchvision_weights(pretrained)
    path = Path(pretrained).expanduser()
    if path.is_file():
        return read_torchvision_weights(path)
    if not (path / "config.json").is_file():
        raise ValueError(
            f"pretrained={str(pretrained)!r} is neither a folder with a config.json, as written by "
            "transformers or timm, nor a file. Nothing is downloaded: download a model first, for "
            "example with huggingface_hub.snapshot_download(name, local_dir=folder), and pass its "
            "folder; of torchvision, pass weights, such as ResNet18_Weights.DEFAULT."
        )
    try:
        config = json.loads((path / "config.json").read_text(encoding="utf-8"))
    except ValueError as error:
        raise ValueError(f"{str(path / 'config.json')!r} is not JSON: {error}") from error
    if "architecture" in config:  # transformers writes "architectures"
        return read_timm_folder(path, config)
    return read_transformers_folder(path)
