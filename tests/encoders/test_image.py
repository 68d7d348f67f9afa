"""Encoders of images."""

import pytest
import torch
import torchvision
from torch import nn

from sklearn_ssl.encoders.image import SMALL_SIDE, ConvEncoder, torchvision_encoder

SIZES = [(4, 4), (5, 7), (8, 8), (15, 16), (28, 28), (32, 20), (64, 64), (95, 97), (4, 96), (96, 5)]


@pytest.fixture(autouse=True)
def _seeded():
    torch.manual_seed(0)


@pytest.mark.parametrize("channels", [1, 3, 5])
@pytest.mark.parametrize("size", SIZES)
def test_conv_encoder_takes_any_size(size, channels):
    encoder = ConvEncoder((channels, *size))
    output = encoder(torch.rand(3, channels, *size))
    assert output.ndim == 2
    assert len(output) == 3
    assert torch.isfinite(output).all()
    assert (output.std(dim=0) > 0).any(), "different images have different representations"
    output.square().sum().backward()
    assert all(parameter.grad.abs().sum() > 0 for parameter in encoder.parameters())


@pytest.mark.parametrize("size", SIZES)
def test_conv_encoder_does_not_mix_rows(size):
    encoder = ConvEncoder((2, *size)).eval()
    images = torch.rand(4, 2, *size)
    with torch.no_grad():
        together, alone = encoder(images), torch.cat([encoder(image[None]) for image in images])
    torch.testing.assert_close(together, alone, atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize("shape", [(1, 8, 8), (3, 32, 32), (1, 32, 64)])
def test_conv_encoder_grid_holds_the_parts_of_the_global_average(shape):
    by_cell, overall = ConvEncoder(shape, grid=2).eval(), ConvEncoder(shape, grid=1).eval()
    overall.load_state_dict(by_cell.state_dict())
    images = torch.rand(3, *shape)
    with torch.no_grad():
        cells = by_cell(images).reshape(3, -1, 4)
        torch.testing.assert_close(cells.mean(2), overall(images))
    assert cells.std(dim=2).max() > 0


@pytest.mark.parametrize("size", [(8, 8), (28, 28)])
def test_conv_encoder_width(size):
    images = torch.rand(2, 1, *size)
    narrow, wide = (ConvEncoder((1, *size), width=width)(images) for width in (4, 8))
    assert wide.shape[1] == 2 * narrow.shape[1]


def test_conv_encoder_ignores_the_memory_order():
    encoder, images = ConvEncoder((3, 28, 28)).eval(), torch.rand(2, 3, 28, 28)
    with torch.no_grad():
        expected = encoder(images)
        got = encoder.to(memory_format=torch.channels_last)(
            images.to(memory_format=torch.channels_last)
        )
    torch.testing.assert_close(got, expected, atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize("channels", [1, 5])
@pytest.mark.parametrize(
    ("name", "width"),
    [
        ("resnet18", 512),
        ("mobilenet_v3_small", 1024),
        ("convnext_tiny", 768),
        ("squeezenet1_0", 512),  # its last layer is a convolution
    ],
)
def test_torchvision_encoder_takes_any_channels(name, width, channels):
    encoder = torchvision_encoder(name, (channels, 32, 40)).eval()
    with torch.no_grad():
        output = encoder(torch.rand(2, channels, 32, 40))
    assert output.shape == (2, width)
    assert torch.isfinite(output).all()


@pytest.mark.parametrize("side", [SMALL_SIDE - 1, SMALL_SIDE])
def test_torchvision_encoder_looks_at_every_pixel_of_small_images(side):
    encoder = torchvision_encoder("resnet18", (3, side, 80))
    is_small = side < SMALL_SIDE
    assert encoder.conv1.stride == ((1, 1) if is_small else (2, 2))
    assert encoder.conv1.kernel_size == ((3, 3) if is_small else (7, 7))
    assert isinstance(encoder.maxpool, nn.Identity if is_small else nn.MaxPool2d)


def test_torchvision_encoder_is_the_model_without_its_last_layer():
    encoder = torchvision_encoder("resnet18", (3, 64, 64)).eval()
    reference = torchvision.models.resnet18(weights=None).eval()
    missing, unexpected = reference.load_state_dict(encoder.state_dict(), strict=False)
    assert (missing, unexpected) == (["fc.weight", "fc.bias"], [])
    images = torch.rand(2, 3, 64, 64)
    with torch.no_grad():
        torch.testing.assert_close(reference.fc(encoder(images)), reference(images))


@pytest.mark.parametrize(
    ("name", "suggestion"), [("resnet81", "resnet18"), ("mobilenetv3small", "mobilenet_v3_small")]
)
def test_torchvision_encoder_unknown_name(name, suggestion):
    with pytest.raises(
        ValueError, match=rf"encoder='{name}' is not .* Did you mean: .*{suggestion}"
    ):
        torchvision_encoder(name, (3, 32, 32))


@pytest.mark.parametrize("name", ["googlenet", "inception_v3"])
def test_torchvision_encoder_has_one_output_in_training_too(name):
    encoder = torchvision_encoder(name, (1, 80, 80)).train()
    assert encoder(torch.rand(2, 1, 80, 80)).shape in ((2, 1024), (2, 2048))
    assert not [key for key in encoder.state_dict() if "aux" in key.lower()]


@pytest.mark.parametrize("name", ["", "fcn_resnet50", "torchvision.models.resnet18"])
def test_torchvision_encoder_takes_names_of_classifiers_only(name):
    with pytest.raises(ValueError, match="is not a torchvision classifier"):
        torchvision_encoder(name, (3, 32, 32))


@pytest.mark.parametrize("shape", [(1, 1, 1), (1, 2, 2), (3, 2, 2), (3, 1, 2), (3, 3, 2)])
def test_gradients_of_tiny_images_in_bfloat16(shape):
    torch.manual_seed(0)
    encoder = ConvEncoder(shape).to(memory_format=torch.channels_last)
    for _ in range(10):  # where they were wrong, they came from memory that nobody had written
        encoder.zero_grad()
        with torch.autocast("cpu", dtype=torch.bfloat16):
            encoder(torch.randn(64, *shape)).float().square().mean().backward()
        assert all(parameter.grad.isfinite().all() for parameter in encoder.parameters())
