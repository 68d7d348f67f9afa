"""Pretrained networks of timm, from a folder or as a module."""

import copy
import json
from dataclasses import dataclass
from pathlib import Path

from sklearn_ssl.encoders._weights import load_state, read_state
from sklearn_ssl.encoders.pretrained_image import ImageNetwork

READING = ("checkpoint_path", "pretrained", "pretrained_cfg", "cache_dir")  # make timm read files
WEIGHTS = ("model.safetensors", "pytorch_model.bin")  # as timm's save_for_hf writes them


@dataclass(frozen=True, kw_only=True)
class TimmNetwork(ImageNetwork):
    """A model in a folder, as ``timm.models.save_for_hf`` writes it.

    Attributes
    ----------
    architecture : str
        A name of ``timm.list_models``.
    options : str
        Further arguments of ``timm.create_model``, as JSON.
    """

    architecture: str
    options: str

    def build(self, pretrained, load):
        timm, options = import_timm(), json.loads(self.options)
        others = [name for name in READING if name in options]
        if others or not timm.is_model(self.architecture):  # timm would download or read files
            raise ValueError(
                f"A model of timm is described by {self.architecture!r} with {self.options}: "
                f"expected a name of timm.list_models(), without {', '.join(READING)}."
            )
        model = timm.create_model(self.architecture, pretrained=False, **options)
        if load:
            path = _weights_in(Path(pretrained).expanduser())
            load_state(model, read_state(path), path)
        model.reset_classifier(0)
        return model


@dataclass(frozen=True, kw_only=True)
class GivenTimmModel(ImageNetwork):
    """A model of timm that the user passes as a module."""

    def build(self, pretrained, load):
        model = copy.deepcopy(pretrained).float()
        model.reset_classifier(0)
        return model


def is_timm_model(module):
    """Return whether a module is a model of timm: these know how to read images."""
    return hasattr(module, "pretrained_cfg") and hasattr(module, "reset_classifier")


def read_timm_module(module):
    """Return the network of a model of timm."""
    return GivenTimmModel(**_preprocessing(module.pretrained_cfg))


def read_timm_folder(folder, config):
    """Return the network that a folder holds, as a TimmNetwork.

    Parameters
    ----------
    folder : Path
    config : dict
        Content of its config.json.

    Raises
    ------
    ValueError
        If timm does not know the architecture, or a file is missing.
    ImportError
        If timm is not installed.
    """
    name = config["architecture"]
    if not import_timm().is_model(name):
        raise ValueError(f"{str(folder / 'config.json')!r} names {name!r}, unknown to timm.")
    _weights_in(folder)
    known = config.get("pretrained_cfg", config)
    try:
        prepared = _preprocessing(known)
    except KeyError as error:
        raise ValueError(
            f"{str(folder / 'config.json')!r} lacks {error}, which says how images are prepared. "
            "Save the model again, with timm.models.save_for_hf(model, folder)."
        ) from error
    options = dict(config.get("model_args", {}))
    options["num_classes"] = config.get("num_classes", known.get("num_classes", 1000))
    return TimmNetwork(architecture=name, options=json.dumps(options), **prepared)


def _preprocessing(known):
    return {
        "mean": tuple(known["mean"]),
        "std": tuple(known["std"]),
        "size": tuple(known["input_size"][1:]),
    }


def _weights_in(folder):
    for name in WEIGHTS:
        if (folder / name).is_file():
            return folder / name
    raise ValueError(
        f"The folder {str(folder)!r} has a config.json of timm but no weights: neither "
        f"{' nor '.join(WEIGHTS)}. Save the model again, with timm.models.save_for_hf(model, "
        "folder, safe_serialization=True)."
    )


def import_timm():
    try:
        import timm
    except ImportError as error:
        raise ImportError(
            "pretrained= names a model of timm, which is not installed: pip install timm"
        ) from error
    return timm
