"""Models of timm, as modules and in folders: the same embeddings as in timm."""

import json

import numpy as np
import pytest
import torch

from sklearn_ssl import SimCLRTransformer
from sklearn_ssl.encoders._timm_models import TimmNetwork
from tests.helpers import through_model_file

timm = pytest.importorskip("timm", reason="timm is not installed; it is optional")

SIDE = 64
NAMES = ("resnet10t", "vit_tiny_patch16_224")  # the smallest of their kinds


def images(n=4, side=SIDE):
    return np.random.default_rng(0).integers(0, 256, (n, side, side, 3), dtype=np.uint8)


def tiny(name, n_classes=7):
    options = {"img_size": SIDE, "depth": 2} if name.startswith("vit") else {}
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = timm.create_model(name, num_classes=n_classes, **options).eval()
    model.pretrained_cfg = {**model.pretrained_cfg, "input_size": (3, SIDE, SIDE)}
    return model


def of_timm(model, X):
    known = model.pretrained_cfg
    pixels = torch.from_numpy(X).permute(0, 3, 1, 2) / 255
    mean, std = (torch.tensor(known[name])[:, None, None] for name in ("mean", "std"))
    with torch.no_grad():
        return model.forward_head(
            model.forward_features((pixels - mean) / std), pre_logits=True
        ).numpy()


def embedder(pretrained):
    return SimCLRTransformer(pretrained=pretrained, max_epochs=0, random_state=0)


@pytest.mark.parametrize("name", NAMES)
def test_a_module_embeds_as_in_timm_without_its_classifier(name):
    model, X = tiny(name), images()
    Z = embedder(model).fit(X).transform(X)
    np.testing.assert_allclose(Z, of_timm(model, X), atol=1e-4)
    assert model.num_classes == 7  # the user's own is as it was


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("safe", [True, False])
def test_a_folder_embeds_as_in_timm(name, safe, tmp_path):
    model, X = tiny(name), images()
    options = {"img_size": SIDE, "depth": 2} if name.startswith("vit") else {}
    timm.models.save_for_hf(model, tmp_path, model_args=options, safe_serialization=safe)
    ssl = embedder(tmp_path).fit(X)
    np.testing.assert_allclose(ssl.transform(X), of_timm(model, X), atol=1e-4)
    np.testing.assert_array_equal(through_model_file(ssl).transform(X), ssl.transform(X))


def test_folders_with_defects_are_refused(tmp_path):
    timm.models.save_for_hf(tiny("resnet10t"), tmp_path, safe_serialization=True)
    path = tmp_path / "config.json"
    config = json.loads(path.read_text())
    path.write_text(json.dumps(config | {"architecture": "resnet11"}))
    with pytest.raises(ValueError, match="names 'resnet11', unknown to timm"):
        embedder(tmp_path).fit(images())
    path.write_text(json.dumps({**config, "pretrained_cfg": {"mean": [0.5] * 3}}))
    with pytest.raises(ValueError, match="lacks 'std', which says how images are prepared"):
        embedder(tmp_path).fit(images())
    path.write_text(json.dumps(config | {"num_classes": 5}))
    with pytest.raises(ValueError, match=r"has in another shape 2 \(fc\.weight \(7, 512\)"):
        embedder(tmp_path).fit(images())
    path.write_text(json.dumps(config))
    (tmp_path / "model.safetensors").unlink()
    with pytest.raises(ValueError, match=r"no weights: neither model\.safetensors nor"):
        embedder(tmp_path).fit(images())


@pytest.mark.parametrize(
    ("architecture", "options"),
    [("hf-hub:somebody/model", "{}"), ("resnet10t", '{"checkpoint_path": "/tmp/weights.pth"}')],
)
def test_nothing_is_downloaded_or_read_because_a_description_says_so(architecture, options):
    network = TimmNetwork(
        architecture=architecture, options=options, mean=(0,) * 3, std=(1,) * 3, size=(32, 32)
    )
    with pytest.raises(ValueError, match="without checkpoint_path"):
        network.build(None, load=False)
