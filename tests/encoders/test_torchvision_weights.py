"""Weights of torchvision: as torchvision itself reads them, and never downloaded."""

from pathlib import Path

import numpy as np
import pytest
import torch
from torchvision.models import (
    GoogLeNet_Weights,
    Inception_V3_Weights,
    ResNet18_Weights,
    ViT_B_16_Weights,
    get_model,
    resnet18,
)
from torchvision.models.segmentation import FCN_ResNet50_Weights
from torchvision.transforms.functional import to_tensor

from sklearn_ssl import SimCLRTransformer
from sklearn_ssl.encoders.pretrained_sources import read_network
from tests.helpers import through_model_file

WEIGHTS = ResNet18_Weights.IMAGENET1K_V1


def images(n=2, side=224):
    return np.random.default_rng(0).integers(0, 256, (n, side, side, 3), dtype=np.uint8)


@pytest.fixture(scope="module")
def resnet():
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = resnet18()
        model.bn1.running_mean.normal_()
        return model.eval()


@pytest.fixture
def cache(tmp_path, monkeypatch):
    """The folder into which torchvision downloads, empty; it is never downloaded from there."""
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    folder = tmp_path / "hub" / "checkpoints"
    folder.mkdir(parents=True)
    return folder


def embedder(pretrained):
    return SimCLRTransformer(pretrained=pretrained, max_epochs=0, random_state=0)


def test_embeddings_are_those_of_torchvision(resnet, cache):
    path, X = cache / Path(WEIGHTS.url).name, images()
    torch.save(resnet.state_dict(), path)
    pixels = torch.stack([to_tensor(image) for image in X])
    mean, std = ([0.485, 0.456, 0.406], [0.229, 0.224, 0.225])  # of the page about the weights
    pixels = (pixels - torch.tensor(mean)[:, None, None]) / torch.tensor(std)[:, None, None]
    kept = []
    resnet.avgpool.register_forward_hook(lambda module, args, output: kept.append(output))
    with torch.no_grad():
        resnet(pixels)
    ssl = embedder(WEIGHTS).fit(X)
    Z = ssl.transform(X)
    np.testing.assert_allclose(Z, kept[0].flatten(1), atol=1e-4)
    path.rename(path.with_name("moved"))
    np.testing.assert_array_equal(through_model_file(ssl).transform(X), Z)
    path.with_name("moved").rename(path)
    of_file, of_weights = read_network(str(path)), read_network(WEIGHTS)
    assert of_file == of_weights
    loaded = of_file.build(str(path), load=True).state_dict()
    assert all(torch.equal(loaded[name], resnet.state_dict()[name]) for name in loaded)


@pytest.mark.parametrize("weights", [GoogLeNet_Weights.DEFAULT, Inception_V3_Weights.DEFAULT])
def test_auxiliary_classifiers_are_left_out(weights, cache):
    """They exist for the first training only, in whose mode there are several outputs."""
    name = type(weights).__name__.removesuffix("_Weights").lower()
    model = get_model(name, weights=None, init_weights=False, transform_input=True).eval()
    path = cache / Path(weights.url).name
    torch.save(model.state_dict(), path)
    network = read_network(weights).build(weights, load=True)
    batch = torch.rand(2, 3, 80, 80)
    model.fc = torch.nn.Identity()
    with torch.no_grad():
        torch.testing.assert_close(network.eval()(batch), model(batch))
    assert network.train()(batch).shape == model(batch).shape
    assert not [name for name in network.state_dict() if "aux" in name.lower()]


def test_weights_that_are_not_there_are_not_downloaded(cache):
    with pytest.raises(ValueError, match=r"nothing is downloaded.*get_model\('resnet18', weights="):
        embedder(WEIGHTS).fit(images(2, 8))
    with pytest.raises(ValueError, match=r"get_model\('vit_b_16', weights=\"IMAGENET1K_SWAG_E2E"):
        embedder(ViT_B_16_Weights.IMAGENET1K_SWAG_E2E_V1).fit(images(2, 8))
    assert list(cache.iterdir()) == []


def test_other_weights_are_refused(cache):
    with pytest.raises(ValueError, match=r"FCN_ResNet50_Weights.* is not a classifier of images"):
        embedder(FCN_ResNet50_Weights.DEFAULT).fit(images(2, 8))
    path = cache / "mine.pth"
    torch.save({}, path)
    with pytest.raises(ValueError, match=r"mine\.pth.*load_state_dict.*pretrained=network"):
        embedder(path).fit(images(2, 8))


class Code:
    def __reduce__(self):
        return print, ("this runs when it is unpickled",)


def test_files_are_not_unpickled(cache, capsys):
    path = cache / Path(WEIGHTS.url).name
    torch.save({"conv1.weight": Code()}, path)
    with pytest.raises(ValueError, match="is not a file of weights alone"):
        embedder(path).fit(images(2, 8))
    assert capsys.readouterr().out == ""


def test_arrays_of_another_network_are_named(resnet, cache):
    path = cache / Path(WEIGHTS.url).name
    state = dict(resnet.state_dict())
    state["conv1.weight"] = state["conv1.weight"][:, :1]
    state["more"] = state.pop("fc.bias")
    torch.save(state, path)
    message = r"lacks 1 \(fc\.bias\); has in another shape 1 \(conv1\.weight \(64, 1, 7, 7\)\); "
    with pytest.raises(ValueError, match=message + r"has, without a place, 1 \(more\)"):
        embedder(path).fit(images(2, 8))
