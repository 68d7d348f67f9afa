"""Looking into a trained encoder."""

import numpy as np
import pytest
import torch
from sklearn.decomposition import PCA
from sklearn.exceptions import NotFittedError
from sklearn.pipeline import make_pipeline
from torch import nn
from transformers import AutoImageProcessor, AutoModel

from sklearn_ssl import SimCLRTransformer
from sklearn_ssl.inspection import attention_maps, similarity_maps
from tests.encoders.tiny_networks import SIDE, save_network

PARAMS = {"image_shape": (8, 8), "max_epochs": 1, "random_state": 0}


@pytest.fixture(scope="module")
def fitted(digits):
    return SimCLRTransformer(encoder="vit", **PARAMS).fit(digits[0][:32])


def test_maps_of_each_head_and_image(fitted, digits):
    X = digits[0][:20]
    maps = attention_maps(fitted, X)
    assert maps.shape == (20, 4, 4, 4)
    assert maps.dtype == np.float32
    assert (maps > 0).all()
    assert (maps.sum(axis=(2, 3)) < 1).all()
    with torch.no_grad():
        expected = fitted.encoder_.attention(fitted.input_spec_.to_tensor(X))
    np.testing.assert_allclose(maps, expected, rtol=1e-5)


def test_more_rows_than_a_batch(fitted, digits):
    X = digits[0][:300]
    maps = attention_maps(fitted, X)
    assert len(maps) == 300
    pieces = np.concatenate([attention_maps(fitted, X[i : i + 100]) for i in (0, 100, 200)])
    np.testing.assert_allclose(maps, pieces, rtol=1e-4)


@pytest.mark.usefixtures("random_streams_untouched")
def test_leaves_the_estimator_as_it_was(fitted, digits):
    X = digits[0][:8]
    before = fitted.transform(X)
    n_threads = torch.get_num_threads()
    attention_maps(fitted, X)
    assert torch.get_num_threads() == n_threads
    np.testing.assert_array_equal(fitted.transform(X), before)
    assert all(parameter.requires_grad for parameter in fitted.encoder_.parameters())


def test_behind_a_linear_layer(digits):
    X = digits[0][:32]
    ssl = SimCLRTransformer(encoder="vit", n_components=3, **PARAMS).fit(X)
    maps = attention_maps(ssl, X)
    with torch.no_grad():
        expected = ssl.encoder_[0].attention(ssl.input_spec_.to_tensor(X))
    np.testing.assert_allclose(maps, expected, rtol=1e-5)


def test_color_images_that_are_not_square():
    images = np.random.default_rng(0).integers(0, 256, (16, 12, 17, 3), dtype=np.uint8)
    ssl = SimCLRTransformer(encoder="vit", max_epochs=1, random_state=0).fit(images)
    assert attention_maps(ssl, images).shape == (16, 4, 6, 9)  # patches of 2 pixels


class _Stare(nn.Module):
    """An encoder of one's own with a method of that name."""

    def __init__(self, shape):
        super().__init__()
        self.linear = nn.Linear(shape[1] * shape[2], 4)

    def forward(self, batch):
        return self.linear(batch.flatten(1))

    def attention(self, batch):
        return batch.double()


def test_an_encoder_of_ones_own(digits):
    X = digits[0][:32]
    maps = attention_maps(SimCLRTransformer(encoder=_Stare, **PARAMS).fit(X), X)
    np.testing.assert_allclose(maps, X.reshape(-1, 1, 8, 8) / 16, rtol=1e-6)
    assert maps.dtype == np.float32


def test_an_encoder_without_attention(digits):
    X = digits[0][:32]
    for n_components in (None, 2):
        ssl = SimCLRTransformer(n_components=n_components, **PARAMS).fit(X)
        with pytest.raises(ValueError, match=r'no attention to show.*encoder="vit"'):
            attention_maps(ssl, X)


def test_another_estimator(fitted, digits):
    X = digits[0][:32]
    with pytest.raises(TypeError, match="fitted transformer of sklearn_ssl, got PCA"):
        attention_maps(PCA(2).fit(X), X)
    with pytest.raises(TypeError, match=r"got Pipeline.*pipeline\[-1\]"):
        attention_maps(make_pipeline(fitted), X)


def test_not_fitted(digits):
    with pytest.raises(NotFittedError):
        attention_maps(SimCLRTransformer(encoder="vit"), digits[0])


def test_rows_of_another_shape(fitted, digits):
    with pytest.raises(ValueError, match="63 features"):
        attention_maps(fitted, digits[0][:, 1:])


# Similarity ---------------------------------------------------------------------------------------


def test_similarity_to_a_patch(fitted, digits):
    X = digits[0][:20]
    maps = similarity_maps(fitted, X, patch=(1, -1))
    encoder = fitted.encoder_
    with torch.no_grad():
        states = encoder.tokens(encoder.cut(fitted.input_spec_.to_tensor(X)))[:, 1:].numpy()
    expected = [[[np.inner(a, b)] for b in s] for s, a in zip(states, states[:, 7])]
    lengths = np.linalg.norm(states, axis=2)
    expected = np.reshape(expected, (20, 16)) / lengths / lengths[:, [7]]
    np.testing.assert_allclose(maps, expected.reshape(20, 4, 4), atol=1e-5)
    np.testing.assert_allclose(maps[:, 1, 3], 1, rtol=1e-5)
    assert maps.dtype == np.float32


def test_similarity_errors(fitted, digits):
    X = digits[0][:32]
    with pytest.raises(ValueError, match=r"patch=\(4, 0\) is not on the grid of 4 x 4 patches"):
        similarity_maps(fitted, X, patch=(4, 0))
    with pytest.raises(ValueError, match=r'no patches to show.*encoder="vit"'):
        similarity_maps(SimCLRTransformer(**PARAMS).fit(X), X, patch=(0, 0))


# Pretrained networks ------------------------------------------------------------------------------


def pretrained(kind, folder, **params):
    images = np.random.default_rng(0).integers(0, 256, (3, SIDE, SIDE, 3), dtype=np.uint8)
    ssl = SimCLRTransformer(pretrained=save_network(kind, folder), max_epochs=0, **params)
    return ssl.fit(images), images


@pytest.mark.parametrize("kind", ["vit", "dinov2", "dinov3_vit"])
def test_maps_are_those_of_transformers(kind, tmp_path):
    ssl, images = pretrained(kind, tmp_path, n_components=3)
    processor = AutoImageProcessor.from_pretrained(tmp_path)
    options = {"do_resize": False, "do_center_crop": False, "return_tensors": "pt"}
    pixels = processor(list(images), **options)["pixel_values"]
    model = AutoModel.from_pretrained(tmp_path, attn_implementation="eager").eval()
    with torch.no_grad():
        output = model(pixels, output_attentions=True)
    n_extra = 3 if kind == "dinov3_vit" else 1  # the CLS token, and two registers
    attention = output.attentions[-1][:, :, 0, n_extra:].reshape(3, 2, 4, 4)
    np.testing.assert_allclose(attention_maps(ssl, images), attention, atol=1e-5)
    states = output.last_hidden_state[:, n_extra:]
    similarity = torch.cosine_similarity(states, states[:, [6]], dim=2).reshape(3, 4, 4)
    np.testing.assert_allclose(similarity_maps(ssl, images, (1, 2)), similarity, atol=1e-4)


def test_pretrained_networks_without_attention(tmp_path):
    ssl, images = pretrained("resnet", tmp_path)
    with pytest.raises(ValueError, match="ConvolutionalNetwork shows no attention weights"):
        attention_maps(ssl, images)
    assert similarity_maps(ssl, images, (0, 0)).shape == (3, 4, 4)
    own = SimCLRTransformer(pretrained=nn.Conv2d(3, 4, 3), max_epochs=0).fit(images)
    for maps, arguments in ((attention_maps, ()), (similarity_maps, ((0, 0),))):
        with pytest.raises(ValueError, match=r"GivenNetwork shows no .* folder of transformers"):
            maps(own, images, *arguments)
