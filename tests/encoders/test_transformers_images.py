"""Folders of transformers with networks for images: the same embeddings as in transformers."""

import json

import numpy as np
import pytest
import torch
from transformers import AutoImageProcessor, AutoModel, BertConfig, BertModel

from sklearn_ssl import MaskedLMEmbedder, SimCLRTransformer
from tests.encoders.tiny_models import TEXTS
from tests.encoders.tiny_networks import CONVOLUTIONAL, SIDE, VITS, save_network


def images(n=6, side=SIDE, channels=3):
    shape = (n, side, side, channels)
    return np.random.default_rng(0).integers(0, 256, shape, dtype=np.uint8)


def of_transformers(folder, X):
    """Return what transformers itself makes of images that have the network's size."""
    processor = AutoImageProcessor.from_pretrained(folder)
    options = {"do_resize": False, "do_center_crop": False}
    pixels = processor(list(X), return_tensors="pt", **options)["pixel_values"]
    model = AutoModel.from_pretrained(folder).eval()
    if model.config.model_type == "vit_mae":
        model.config.mask_ratio = 0.0
    with torch.no_grad():
        output = model(pixels)
    if "pooler_output" in output and output.last_hidden_state.ndim == 4:
        return output.pooler_output.flatten(1).numpy()
    return output.last_hidden_state[:, 0].numpy()


def embedder(folder, **params):
    return SimCLRTransformer(**{"pretrained": folder, "max_epochs": 0, "random_state": 0, **params})


@pytest.mark.parametrize("kind", [*VITS, *CONVOLUTIONAL])
def test_embeddings_are_those_of_transformers(kind, tmp_path):
    folder, X = save_network(kind, tmp_path / kind), images()
    Z = embedder(folder).fit(X).transform(X)
    np.testing.assert_allclose(Z, of_transformers(folder, X), atol=1e-4)
    assert Z.std(axis=0).mean() > 1e-3  # rows differ


def test_a_folder_whose_weights_are_missing_or_of_other_shapes_is_refused(tmp_path):
    folder, X = save_network("vit", tmp_path / "vit"), images()
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(config | {"intermediate_size": 40}))
    with pytest.raises(ValueError, match=r"lack 6 of the arrays .* another shape: .*mlp"):
        embedder(folder).fit(X)
    (folder / "config.json").write_text(json.dumps(config | {"num_hidden_layers": 1}))
    with pytest.raises(ValueError, match=r"16 arrays of layers that config\.json does not know"):
        embedder(folder).fit(X)
    (folder / "config.json").write_text(json.dumps(config))
    (folder / "model.safetensors").unlink()
    with pytest.raises(ValueError, match=r"where a model\.safetensors is expected"):
        embedder(folder).fit(X)
    (folder / "config.json").write_text("{")
    with pytest.raises(ValueError, match=r"config\.json' is not JSON"):
        embedder(folder).fit(X)


def test_a_folder_without_the_scale_of_pixels_is_refused(tmp_path):
    folder = save_network("vit", tmp_path / "vit", processor=False)
    with pytest.raises(ValueError, match=r"no preprocessor_config\.json, which says how pixels"):
        embedder(folder).fit(images())


def test_networks_of_other_kinds_name_the_right_door(tmp_path):
    BertModel(BertConfig(hidden_size=12, num_hidden_layers=1)).save_pretrained(tmp_path / "bert")
    with pytest.raises(ValueError, match=r"model of type 'bert'.*MaskedLMEmbedder"):
        embedder(tmp_path / "bert").fit(images())
    folder = save_network("vit", tmp_path / "vit")
    with pytest.raises(ValueError, match=r"type 'vit'.*SimCLRTransformer"):
        MaskedLMEmbedder(pretrained=folder, max_epochs=0).fit(TEXTS)
    gray = save_network("resnet", tmp_path / "gray", num_channels=1)
    with pytest.raises(ValueError, match="reads 1 channels, expected 3"):
        embedder(gray).fit(images())


def test_damaged_weights_are_refused(tmp_path):
    folder = save_network("resnet", tmp_path)
    model = AutoModel.from_pretrained(folder)
    with torch.no_grad():
        next(model.parameters()).fill_(torch.nan)
    model.save_pretrained(folder)
    with pytest.raises(ValueError, match="1 arrays with NaN or infinite"):
        embedder(folder).fit(images())
