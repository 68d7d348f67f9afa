"""Pretrained networks for images in folders of Hugging Face's transformers."""

import copy
import json
from dataclasses import dataclass
from math import prod
from pathlib import Path

import torch
from torch import nn

from sklearn_ssl.encoders._model_files import LOCALLY, check_layers, read_weights
from sklearn_ssl.encoders.huggingface import import_transformers, quiet, without_code
from sklearn_ssl.encoders.pretrained_image import COLORS, ImageNetwork

# The representation is the CLS token; a layer on top of it would be without use.
WITHOUT_POOLER = {"add_pooling_layer": False}
TRANSFORMERS = {
    "vit": WITHOUT_POOLER,
    "deit": WITHOUT_POOLER,
    "dinov2": {},
    "dinov2_with_registers": {},
    "dinov3_vit": {},
}
CONVOLUTIONAL = ("resnet", "convnext", "convnextv2")
FIXED_SIZE = ("vit", "deit")  # their positions are for one size
PROCESSOR = "preprocessor_config.json"


class VisionTransformer(nn.Module):
    """A Vision Transformer of transformers, whose CLS token represents an image."""

    def __init__(self, model):
        super().__init__()
        self.model = model

    def forward(self, images):
        return self.model(pixel_values=images).last_hidden_state[:, 0]

    def attention(self, images):
        """Return the weights of patches for the CLS token, ``(n, n_heads, rows, columns)``."""
        # The fast attention returns no weights. A copy, with the same parameters, computes them:
        # the setting belongs to the model, which another thread may use.
        model = copy.deepcopy(self.model, {id(p): p for p in self.model.parameters()})
        model.set_attn_implementation("eager")
        weights = model(pixel_values=images, output_attentions=True).attentions[-1]
        grid = self._grid(images)
        return weights[:, :, 0, -prod(grid) :].unflatten(2, grid)

    def patch_states(self, images):
        """Return the last states of patches, ``(n, rows, columns, width)``."""
        grid = self._grid(images)
        states = self.model(pixel_values=images).last_hidden_state
        return states[:, -prod(grid) :].unflatten(1, grid)  # after CLS and other extra tokens

    def _grid(self, images):
        patch = _pair(self.model.config.patch_size)
        return tuple(side // length for side, length in zip(images.shape[2:], patch))


class ConvolutionalNetwork(nn.Module):
    """A convolutional network of transformers, whose pooled last map represents an image."""

    def __init__(self, model):
        super().__init__()
        self.model = model

    def forward(self, images):
        return self.model(pixel_values=images).pooler_output.flatten(1)

    def patch_states(self, images):
        """Return the last map, ``(n, rows, columns, width)``."""
        return self.model(pixel_values=images).last_hidden_state.movedim(1, -1)


@dataclass(frozen=True, kw_only=True)
class TransformersNetwork(ImageNetwork):
    """A model of transformers.

    Attributes
    ----------
    config : str
        Its configuration, as JSON.
    """

    config: str

    def build(self, pretrained, load):
        transformers = import_transformers()
        config = transformers.AutoConfig.for_model(
            **json.loads(self.config, object_hook=without_code)
        )
        is_convolutional = config.model_type in CONVOLUTIONAL
        options = {} if is_convolutional else TRANSFORMERS[config.model_type]
        options = {"dtype": torch.float32, **options}
        if load:
            folder = Path(pretrained).expanduser()
            model, report = read_weights(transformers.AutoModel, folder, config, **options)
            check_layers(folder, model, report)
        else:
            with quiet():
                model = transformers.AutoModel.from_config(config, **options)
        return ConvolutionalNetwork(model) if is_convolutional else VisionTransformer(model)


def read_transformers_folder(folder):
    """Return the network that a folder holds, as a TransformersNetwork.

    Parameters
    ----------
    folder : Path
        With a config.json.

    Raises
    ------
    ValueError
        If transformers cannot read it, or if it is not a network for images.
    ImportError
        If transformers is not installed.
    """
    transformers = import_transformers()
    try:
        with quiet():
            config = transformers.AutoConfig.from_pretrained(folder, **LOCALLY)
    except (OSError, ValueError, KeyError, AttributeError) as error:
        raise ValueError(
            f"transformers cannot read a model from {str(folder)!r}: {error}"
        ) from error
    content = config.to_dict()
    if config.model_type == "vit_mae":
        content["model_type"] = "vit"  # the same network; its own class hides patches
    supported = (*TRANSFORMERS, *CONVOLUTIONAL)
    if content["model_type"] not in supported:
        raise ValueError(
            f"pretrained={str(folder)!r} holds a model of type {config.model_type!r}. Supported "
            f"for images are {', '.join([*supported, 'vit_mae'])}; models of texts are for "
            "MaskedLMEmbedder and others, see the guide."
        )
    if config.num_channels != COLORS:
        raise ValueError(
            f"The model in {str(folder)!r} reads {config.num_channels} channels, expected {COLORS}."
        )
    mean, std, size = _preprocessing(folder)
    if content["model_type"] in FIXED_SIZE:
        size = _pair(config.image_size)
    as_text = json.dumps(content, default=str)
    return TransformersNetwork(config=as_text, mean=mean, std=std, size=size)


def _preprocessing(folder):
    """Return mean and standard deviation of colors, and (height, width)."""
    if not (folder / PROCESSOR).is_file():
        raise ValueError(
            f"The folder {str(folder)!r} holds a model but no {PROCESSOR}, which says how pixels "
            "are scaled. Save it there too: AutoImageProcessor.from_pretrained(name)"
            ".save_pretrained(folder)."
        )
    with quiet():
        reader = import_transformers().AutoImageProcessor
        processor = reader.from_pretrained(folder, **LOCALLY)
    mean, std = (0.0,) * COLORS, (1.0,) * COLORS
    if processor.do_normalize:
        mean, std = tuple(processor.image_mean), tuple(processor.image_std)
    size = processor.crop_size if processor.do_center_crop else processor.size
    if size.height and size.width:
        return mean, std, (size.height, size.width)
    return mean, std, _pair(size.shortest_edge)


def _pair(size):
    return tuple(size) if isinstance(size, list | tuple) else (size, size)
