"""The Vision Transformer encoder."""

import pickle

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional as F

from sklearn_ssl import SimCLRTransformer
from sklearn_ssl.encoders import ConvEncoder, ViTEncoder, make_encoder
from sklearn_ssl.encoders.vit import patchify
from tests.helpers import spec_of

SIZES = [(1, 1), (4, 4), (5, 7), (8, 8), (15, 16), (28, 28), (32, 20), (64, 64), (4, 40)]


@pytest.fixture(autouse=True)
def _seeded():
    torch.manual_seed(0)


# Patches ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("memory_format", [torch.contiguous_format, torch.channels_last])
@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize(("height", "width", "size"), [(8, 12, 4), (6, 3, 3), (7, 9, 4), (2, 2, 5)])
def test_patchify_cuts_row_by_row_and_fills_with_zeros(
    height, width, size, channels, memory_format
):
    images = torch.rand(2, channels, height, width).to(memory_format=memory_format)
    patches = patchify(images, size)
    rows, columns = -(-height // size), -(-width // size)
    assert patches.shape == (2, rows, columns, size * size * channels)
    cut = patches.reshape(2, rows, columns, size, size, channels)
    for y in range(rows * size):
        for x in range(columns * size):
            inside = y < height and x < width
            expected = images[:, :, y, x] if inside else torch.zeros(2, channels)
            assert torch.equal(cut[:, y // size, x // size, y % size, x % size], expected)


# The encoder ------------------------------------------------------------------------------------


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("size", SIZES)
def test_takes_any_size(size, channels):
    encoder = ViTEncoder((channels, *size), width=16, depth=2, n_heads=2)
    output = encoder(torch.rand(3, channels, *size))
    assert output.shape == (3, 32)
    assert torch.isfinite(output).all()
    assert (output.std(dim=0) > 0).any(), "different images have different representations"
    output.square().sum().backward()
    encoder(torch.rand(3, channels, *size)).pow(3).sum().backward()
    assert all(parameter.grad.abs().sum() > 0 for parameter in encoder.parameters())


@pytest.mark.parametrize("size", [(14, 14), (13, 30), (28, 14), (3, 2), (60, 60)])
def test_takes_other_sizes_than_its_own(size):
    encoder = ViTEncoder((1, 28, 28), depth=1)
    with torch.no_grad():
        output = encoder(torch.rand(2, 1, *size))
        attention = encoder.attention(torch.rand(2, 1, *size))
    assert output.shape == encoder(torch.rand(2, 1, 28, 28)).shape
    assert torch.isfinite(output).all()
    assert attention.shape[2:] == tuple(-(-side // 4) for side in size)


def test_a_smaller_image_is_seen_at_the_places_of_the_larger():
    """A gray image says nothing but where its patches are: halved, it is nearly the same."""
    encoder = ViTEncoder((1, 32, 32), patch_size=4, depth=1)
    with torch.no_grad():
        whole, half, shifted = (
            encoder(torch.full((1, 1, *size), 0.5)) for size in [(32, 32), (16, 16), (16, 32)]
        )
        corner = ViTEncoder((1, 16, 16), patch_size=4, depth=1)  # whose places are a corner's
        corner.load_state_dict(encoder.state_dict())
        corner = corner(torch.full((1, 1, 16, 16), 0.5))
    assert F.mse_loss(half, whole) < 0.2 * F.mse_loss(corner, whole)
    assert F.mse_loss(shifted, whole) < 0.2 * F.mse_loss(corner, whole)


def test_images_are_filled_up_to_whole_patches():
    encoder, images = ViTEncoder((1, 30, 27), patch_size=4, depth=2), torch.rand(2, 1, 30, 27)
    with torch.no_grad():
        torch.testing.assert_close(encoder(images), encoder(F.pad(images, (0, 1, 0, 2))))


def test_pixels_are_centered_and_scaled():
    encoder, seen = ViTEncoder((1, 4, 4)), []
    encoder.patch_embedding.register_forward_pre_hook(lambda module, args: seen.append(args[0]))
    encoder(torch.tensor([0.0, 0.5, 0.75]).reshape(3, 1, 1, 1).expand(3, 1, 4, 4))
    (pixels,) = seen
    assert torch.equal(pixels, torch.tensor([-2.0, 0.0, 1.0])[:, None, None].expand(3, 4, 4))


def test_the_representation_is_the_cls_token_beside_the_mean_of_the_patches():
    encoder, images = ViTEncoder((1, 8, 8), width=16, depth=1), torch.rand(5, 1, 8, 8)
    seen = []
    encoder.norm.register_forward_hook(lambda module, inputs, output: seen.append(output))
    output = encoder(images)
    (tokens,) = seen
    assert tokens.shape == (5, 1 + 16, 16)
    torch.testing.assert_close(output[:, :16], tokens[:, 0])
    torch.testing.assert_close(output[:, 16:], tokens[:, 1:].sum(1) / 16)


def test_the_order_of_the_patches_matters_through_their_positions_only():
    encoder, images = ViTEncoder((1, 8, 8), patch_size=2, depth=2), torch.rand(2, 1, 8, 8)
    moved = images.roll(2, dims=3)  # by one patch
    with torch.no_grad():
        assert (encoder(moved) - encoder(images)).abs().max() > 0.01
        encoder.positions.zero_()
        torch.testing.assert_close(encoder(moved), encoder(images), atol=1e-5, rtol=1e-4)


def test_rows_do_not_mix_and_modes_are_equal():
    encoder, images = ViTEncoder((2, 9, 12)), torch.rand(4, 2, 9, 12)
    with torch.no_grad():
        together = encoder.train()(images)
        assert torch.equal(encoder.eval()(images), together)
        alone = torch.cat([encoder(image[None]) for image in images])
    torch.testing.assert_close(together, alone, atol=1e-5, rtol=1e-4)


def test_ignores_the_memory_order():
    encoder, images = ViTEncoder((3, 28, 28)), torch.rand(2, 3, 28, 28)
    with torch.no_grad():
        expected = encoder(images)
        encoder.to(memory_format=torch.channels_last)
        assert torch.equal(encoder(images.to(memory_format=torch.channels_last)), expected)


def test_all_linear_layers_start_without_a_bias():
    biases = [m.bias for m in ViTEncoder((1, 8, 8)).modules() if isinstance(m, nn.Linear)]
    assert len(biases) == 1 + 4 * 4
    assert not torch.cat(biases).any()


def test_equal_seeds_give_equal_weights():
    states = []
    for _ in range(2):
        torch.manual_seed(3)
        states.append(ViTEncoder((1, 8, 8)).state_dict())
    assert all(torch.equal(states[0][name], states[1][name]) for name in states[0])


@pytest.mark.parametrize(("width", "n_heads"), [(10, 2), (16, 3)])
def test_a_width_that_cannot_be_divided(width, n_heads):
    with pytest.raises(ValueError, match=f"width={width} must be .* n_heads={n_heads}"):
        ViTEncoder((1, 8, 8), width=width, n_heads=n_heads)


# Attention --------------------------------------------------------------------------------------


def test_attention_is_that_of_the_cls_token_in_the_last_block():
    encoder, images = ViTEncoder((3, 8, 12), patch_size=2), torch.rand(2, 3, 8, 12)
    last, inputs = encoder.blocks[-1].attention, []
    norm = encoder.blocks[-1].norm1
    handle = norm.register_forward_hook(lambda module, args, output: inputs.append(output))
    with torch.no_grad():
        encoder(images)
        handle.remove()
        attention = encoder.attention(images)
        n_heads = last.n_heads
        assert attention.shape == (2, n_heads, 4, 6)
        q, k, _ = last.qkv(inputs[0]).chunk(3, dim=2)
        for head, (q_head, k_head) in enumerate(zip(q.chunk(n_heads, 2), k.chunk(n_heads, 2))):
            logits = torch.einsum("nd,nld->nl", q_head[:, 0], k_head) / q_head.shape[2] ** 0.5
            expected = F.softmax(logits, dim=1)[:, 1:].reshape(2, 4, 6)
            torch.testing.assert_close(attention[:, head], expected)
    sums = attention.sum((2, 3))
    assert (sums < 1).all()
    assert (sums > 0.5).all()


def test_each_weight_is_of_the_patch_at_its_place():
    """In a network of one block, a changed patch leaves the others' ratios as they were."""
    encoder, images = ViTEncoder((1, 6, 8), patch_size=2, depth=1), torch.rand(1, 1, 6, 8)
    changed = images.clone()
    changed[:, :, 2:4, 6:8] = 2.0  # row 1, column 3 of the grid
    with torch.no_grad():
        ratio = (encoder.attention(changed) / encoder.attention(images))[0]  # [heads, 3, 4]
    elsewhere = torch.ones(3, 4, dtype=torch.bool)
    elsewhere[1, 3] = False
    others = ratio[:, elsewhere]
    torch.testing.assert_close(others, others[:, :1].expand_as(others), atol=1e-4, rtol=1e-4)
    assert ((ratio[:, 1, 3] - others[:, 0]).abs() > 1e-3).all()


# As the parameter of an estimator ---------------------------------------------------------------


def test_vit_is_a_name_for_images_and_not_the_default():
    spec = spec_of("image", (3, 12, 9))
    encoder = make_encoder("vit", spec)
    assert type(encoder) is ViTEncoder
    assert encoder.output_dim == encoder(torch.rand(1, 3, 12, 9)).shape[1]
    assert type(make_encoder(None, spec)) is ConvEncoder


@pytest.mark.parametrize(("modality", "shape"), [("table", (7,)), ("series", (2, 20))])
def test_vit_is_no_name_for_other_data(modality, shape):
    message = f"encoder='vit' names no network for this kind of data: X is a {modality}"
    with pytest.raises(ValueError, match=message):
        make_encoder("vit", spec_of(modality, shape))


@pytest.mark.parametrize("n_components", [None, 5])
def test_fit_transform_pickle(digits, n_components):
    X = digits[0][:64]
    ssl = SimCLRTransformer(
        encoder="vit",
        n_components=n_components,
        image_shape=(8, 8),
        max_epochs=1,
        random_state=0,
    )
    embeddings = ssl.fit_transform(X)
    assert embeddings.shape == (64, n_components or ssl.encoder_.output_dim)
    assert np.isfinite(embeddings).all()
    np.testing.assert_array_equal(ssl.fit(X).transform(X), embeddings)
    np.testing.assert_array_equal(pickle.loads(pickle.dumps(ssl)).transform(X), embeddings)
