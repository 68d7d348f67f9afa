"""Views of images, against independent references.

The geometry of an augmentation is read from the views of a ramp: bilinear sampling keeps linear
functions, so a view of the coordinates says where each of its pixels was taken from.
"""

import math
from dataclasses import replace

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torchvision.transforms.v2 import functional as reference

from sklearn_ssl.augment import ImageAugmentation
from sklearn_ssl.augment.image import (
    DEPEND_ON_DATA,
    _saturation_and_hue,
    blur_probability,
    crop_scale,
    local_crop_scale,
)
from tests.helpers import spec_of

LUMA = torch.tensor([0.299, 0.587, 0.114])
IDENTITY = {"scale": (1, 1), "ratio": (1, 1), "flip": 0, "jitter": 0, "grayscale": 0, "blur": 0}


def _generator(seed=0):
    return torch.Generator().manual_seed(seed)


def _ramps(n, height, width):
    """Images of their own pixel coordinates, x and y, counted from 0: [n, 2, height, width]."""
    y, x = torch.meshgrid(torch.arange(height), torch.arange(width), indexing="ij")
    return torch.stack([x, y]).float().expand(n, -1, -1, -1)


def _texture(height, width, channels=1, seed=1):
    return torch.rand(1, channels, height, width, generator=_generator(seed))


# Settings -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("side", [8, 31, 32, 63, 64, 200])
def test_image_adapt_fills_in_what_is_open(side):
    spec = spec_of("image", (1, side, side + 10), n=2)
    adapted = ImageAugmentation().adapt(spec)
    assert adapted.scale == crop_scale(side)
    assert adapted.blur == blur_probability(side)
    given_settings = ImageAugmentation(scale=(0.9, 1.1), flip=0.1, blur=0.25).adapt(spec)
    assert given_settings.scale == (0.9, 1.1)
    assert (given_settings.flip, given_settings.blur) == (0.1, 0.25)


@pytest.mark.parametrize(("accuracy", "flip"), [(0.5, 0.5), (0.65, 0.5), (0.66, 0.0), (1, 0.0)])
def test_image_adapt_flips_what_looks_like_its_mirror_image(accuracy, flip):
    spec = replace(spec_of("image", (1, 8, 8)), mirror_accuracy=accuracy)
    assert ImageAugmentation().adapt(spec).flip == flip
    assert ImageAugmentation(flip=0.9).adapt(spec).flip == 0.9


@pytest.mark.parametrize(("share", "changes"), [(0.5, (0.8, 0.2)), (0.51, (0.1, 0.0))])
def test_image_adapt_spares_the_colors_of_what_is_about_one_color(share, changes):
    spec = replace(spec_of("image", (3, 8, 8)), mean_color_share=share)
    adapted = ImageAugmentation().adapt(spec)
    assert (adapted.jitter, adapted.grayscale) == changes
    given_settings = ImageAugmentation(jitter=0.7, grayscale=0.3).adapt(spec)
    assert (given_settings.jitter, given_settings.grayscale) == (0.7, 0.3)


@pytest.mark.parametrize("open_setting", DEPEND_ON_DATA)
def test_image_refuses_open_settings(open_setting):
    augment = ImageAugmentation(**IDENTITY | {open_setting: None})
    with pytest.raises(ValueError, match=rf"{open_setting} is None: .*call adapt\(spec\) first"):
        augment(torch.zeros(2, 1, 8, 8), _generator())


@pytest.mark.parametrize("channels", [1, 2, 3, 5])
def test_image_takes_any_number_of_channels(channels):
    images = torch.rand(20, channels, 10, 13, generator=_generator())
    changes = {"scale": (0.3, 1), "flip": 0.5, "jitter": 1, "grayscale": 0.2, "blur": 1}
    augment = ImageAugmentation(**changes, rotation=30)
    views = augment(images, _generator())
    assert views.shape == images.shape
    assert views.min() >= 0
    assert views.max() <= 1


# Geometry -----------------------------------------------------------------------------------------

SIZES = st.integers(3, 24)


@settings(deadline=None, max_examples=20)
@given(height=SIZES, width=SIZES, channels=st.sampled_from([1, 2, 3, 5]))
def test_image_identity_and_mirror(height, width, channels):
    images = _texture(height, width, channels)
    same = ImageAugmentation(**IDENTITY)(images, _generator())
    torch.testing.assert_close(same, images, atol=1e-5, rtol=0)
    mirrored = ImageAugmentation(**IDENTITY | {"flip": 1})(images, _generator())
    torch.testing.assert_close(mirrored, images.flip(-1), atol=1e-5, rtol=0)


def test_image_flips_as_many_as_asked():
    images = _texture(6, 7).expand(4000, -1, -1, -1)
    views = ImageAugmentation(**IDENTITY | {"flip": 0.3})(images, _generator())
    flipped = (views - images.flip(-1)).abs().amax((1, 2, 3)) < 1e-5
    assert flipped.float().mean().item() == pytest.approx(0.3, abs=0.03)


@settings(deadline=None, max_examples=30)
@given(height=SIZES, width=SIZES, low=st.floats(0.05, 1), seed=st.integers(0, 2**31))
def test_image_crops_stay_inside(height, width, low, seed):
    white = torch.ones(50, 1, height, width)
    augment = ImageAugmentation(**IDENTITY | {"scale": (low, 1), "ratio": (3 / 4, 4 / 3)})
    views = augment(white, _generator(seed))
    torch.testing.assert_close(views, white, atol=1e-5, rtol=0)


@settings(deadline=None, max_examples=20)
@given(
    height=SIZES,
    width=SIZES,
    area=st.floats(0.1, 0.6),
    ratio=st.floats(0.7, 1.4),
    flip=st.sampled_from([0, 1]),
)
def test_image_crops_have_the_area_and_ratio_asked(height, width, area, ratio, flip):
    augment = ImageAugmentation(
        **IDENTITY | {"scale": (area, area), "ratio": (ratio, ratio), "flip": flip}
    )
    x, y = augment(_ramps(30, height, width), _generator()).unbind(1)
    step_x, step_y = x.diff(dim=2), y.diff(dim=1)
    direction = -1 if flip else 1
    expected_x = torch.full_like(step_x, direction * math.sqrt(area * ratio))
    torch.testing.assert_close(step_x, expected_x, atol=1e-4, rtol=0)
    expected_y = torch.full_like(step_y, math.sqrt(area / ratio))
    torch.testing.assert_close(step_y, expected_y, atol=1e-4, rtol=0)
    # No shear: x is the same in each row of pixels, y in each column.
    assert x.diff(dim=1).abs().max() < 1e-4
    assert y.diff(dim=2).abs().max() < 1e-4


def test_image_crops_reach_every_part():
    x, y = ImageAugmentation(**IDENTITY | {"scale": (0.25, 0.25)})(
        _ramps(2000, 10, 16), _generator()
    ).unbind(1)
    assert x.min() < 0.3
    assert x.max() > 15 - 0.3
    assert y.min() < 0.3
    assert y.max() > 9 - 0.3
    assert x.mean().item() == pytest.approx(7.5, abs=0.2)
    assert y.mean().item() == pytest.approx(4.5, abs=0.2)


def test_image_crop_equals_resized_crop():
    height, width = 8, 12
    smooth = torch.sin(_ramps(1, height, width) / 3).sum(1, keepdim=True)
    images = torch.cat([_ramps(1, height, width), smooth], dim=1).expand(4000, -1, -1, -1)
    views = ImageAugmentation(**IDENTITY | {"scale": (0.25, 0.25)})(images, _generator())
    # resized_crop knows whole pixels only: compare the rows whose crop happens to start at one.
    # The first sample of a crop of half the side lies a quarter of a pixel outside its first pixel.
    corner = views[:, :2, 0, 0] + 0.25  # [n, (x, y)]
    off = (corner - corner.round()).abs().amax(1)
    compared = torch.nonzero(off < 0.03)[:, 0].tolist()
    assert len(compared) >= 5
    for row in compared:
        left, top = corner[row].round().int().tolist()
        expected = reference.resized_crop(
            images[row], top, left, height // 2, width // 2, [height, width], antialias=False
        )
        inside = (slice(None), slice(1, -1), slice(1, -1))  # resized_crop repeats its border
        torch.testing.assert_close(views[row][inside], expected[inside], atol=0.04, rtol=0)


@pytest.mark.parametrize(("height", "width"), [(9, 9), (7, 16), (20, 6)])
@pytest.mark.parametrize("flip", [0, 1])
def test_image_rotation_equals_torchvision(height, width, flip):
    texture = _texture(height, width)
    images = torch.cat([_ramps(1, height, width), texture], dim=1).expand(40, -1, -1, -1)
    augment = ImageAugmentation(**IDENTITY | {"rotation": 40, "flip": flip})
    middle = (height // 2, width // 2)
    for view in augment(images, _generator()):
        # Coordinates grow from the middle on as the rotation says.
        across = view[:2, middle[0], middle[1]] - view[:2, middle[0], middle[1] - 1]
        direction = -1 if flip else 1
        angle = math.degrees(math.atan2(direction * across[1], direction * across[0]))
        assert abs(angle) <= 40
        source = texture.flip(-1) if flip else texture
        expected = reference.rotate(
            source, direction * angle, interpolation=reference.InterpolationMode.BILINEAR
        )
        torch.testing.assert_close(view[2:], expected[0], atol=2e-3, rtol=0)


@pytest.mark.parametrize(("height", "width"), [(9, 9), (12, 21), (30, 12)])
@pytest.mark.parametrize("ratio", [1, 4 / 3])
def test_image_rotation_keeps_distances_and_right_angles(height, width, ratio):
    area = 0.2
    augment = ImageAugmentation(
        **IDENTITY | {"scale": (area, area), "ratio": (ratio, ratio), "rotation": 180, "flip": 0.5}
    )
    views = augment(_ramps(200, height, width), _generator())
    # Pixels around the middle are inside the image whatever the angle, the others may be black.
    middle = views[:, :, height // 2 - 1 : height // 2 + 1, width // 2 - 1 : width // 2 + 1]
    rightwards = middle[:, :, 0, 1] - middle[:, :, 0, 0]
    downwards = middle[:, :, 1, 0] - middle[:, :, 0, 0]
    for step, expected in ((rightwards, area * ratio), (downwards, area / ratio)):
        lengths = step.norm(dim=1)
        torch.testing.assert_close(
            lengths, torch.full_like(lengths, math.sqrt(expected)), atol=1e-4, rtol=0
        )
    dots = (rightwards * downwards).sum(1)
    torch.testing.assert_close(dots, torch.zeros_like(dots), atol=1e-4, rtol=0)


@pytest.mark.parametrize(("height", "width"), [(16, 16), (12, 20)])
@pytest.mark.parametrize("area", [0.6, 1.0, 1.5])
def test_image_rotated_crop_equals_torchvision_affine(height, width, area):
    texture = _texture(height, width)
    images = torch.cat([_ramps(1, height, width), texture], dim=1).expand(30, -1, -1, -1)
    augment = ImageAugmentation(**IDENTITY | {"scale": (area, area), "rotation": 30})
    row, column = height // 2, width // 2
    for view in augment(images, _generator()):
        center = view[:2, row - 1 : row + 1, column - 1 : column + 1]
        across = center[:, 0, 1] - center[:, 0, 0]
        angle = math.degrees(math.atan2(across[1], across[0]))
        # Where the middle of the view was taken from, as seen from the middle of the image.
        x, y = (center.mean((1, 2)) - torch.tensor([(width - 1) / 2, (height - 1) / 2])).tolist()
        zoom = 1 / math.sqrt(area)
        cos, sin = math.cos(math.radians(angle)), math.sin(math.radians(angle))
        translate = [-zoom * (cos * x + sin * y), -zoom * (cos * y - sin * x)]
        expected = reference.affine(
            texture[0],
            angle=-angle,
            translate=translate,
            scale=zoom,
            shear=[0.0, 0.0],
            interpolation=reference.InterpolationMode.BILINEAR,
        )
        torch.testing.assert_close(view[2:], expected, atol=5e-3, rtol=0)


def test_image_scale_above_one_shows_black_around_the_whole_image():
    white = torch.ones(100, 1, 12, 18)
    views = ImageAugmentation(**IDENTITY | {"scale": (1.7, 2.2)})(white, _generator())
    is_black_somewhere = views.amin((1, 2, 3)) == 0
    assert is_black_somewhere.all()
    # Nothing of the image is lost: what is seen has 1 / area of the pixels.
    seen = views.mean((1, 2, 3))
    assert seen.min() > 1 / 2.2 - 0.02
    assert seen.max() < 1 / 1.7 + 0.02


# Colors and blur ----------------------------------------------------------------------------------


def _luma(images):
    return torch.einsum("c,nchw->nhw", LUMA, images)


def _jitter_only(**settings):
    return ImageAugmentation(**IDENTITY | settings)


def test_image_gray_makes_channels_equal_and_keeps_luma():
    images = torch.rand(10, 3, 6, 8, generator=_generator())
    views = _jitter_only(grayscale=1)(images, _generator())
    for channel in views.unbind(1):
        torch.testing.assert_close(channel, _luma(images), atol=1e-5, rtol=0)


def test_image_gray_as_often_as_asked():
    images = torch.rand(3000, 3, 2, 2, generator=_generator())
    views = _jitter_only(grayscale=0.2)(images, _generator())
    is_gray = views.std(dim=1).amax((1, 2)) < 1e-5
    assert is_gray.float().mean().item() == pytest.approx(0.2, abs=0.03)
    torch.testing.assert_close(views[~is_gray], images[~is_gray], atol=1e-5, rtol=0)


@pytest.mark.parametrize("channels", [1, 2, 5])
def test_image_gray_is_for_three_channels(channels):
    images = torch.rand(5, channels, 6, 8, generator=_generator())
    views = _jitter_only(grayscale=1)(images, _generator())
    torch.testing.assert_close(views, images, atol=1e-5, rtol=0)


@pytest.mark.parametrize("channels", [1, 3, 4])
def test_image_jitter_probability(channels):
    images = torch.rand(2000, channels, 4, 4, generator=_generator()) * 0.2 + 0.4
    views = _jitter_only(jitter=0.5, jitter_probability=0.7)(images, _generator())
    changed = (views - images).abs().amax((1, 2, 3)) > 1e-5
    assert changed.float().mean().item() == pytest.approx(0.7, abs=0.04)


@pytest.mark.parametrize("channels", [1, 3, 4])
def test_image_jitter_maps_luma_linearly(channels):
    # Brightness and contrast are one line through the luma of each image, whose slope and level
    # they bound; saturation and hue leave luma alone. Colors near the middle are never clipped.
    images = torch.rand(200, channels, 5, 5, generator=_generator()) * 0.1 + 0.45
    views = _jitter_only(jitter=0.5, jitter_probability=1)(images, _generator())
    luma = _luma if channels == 3 else lambda x: x
    before, after = luma(images).flatten(1).double(), luma(views).flatten(1).double()
    centered = before - before.mean(1, keepdim=True)
    slope = (centered * after).sum(1) / centered.square().sum(1)
    line = slope[:, None] * centered + after.mean(1, keepdim=True)
    torch.testing.assert_close(after, line, atol=1e-5, rtol=0)
    assert slope.min() >= 0.6**2 - 1e-3
    assert slope.max() <= 1.4**2 + 1e-3
    assert slope.std() > 0.1


@settings(deadline=None, max_examples=20)
@given(saturation=st.floats(0, 2), hue=st.floats(-math.pi, math.pi))
def test_saturation_and_hue_keep_luma_and_grays(saturation, hue):
    color_map = _saturation_and_hue(
        torch.full((1, 1, 1, 1), saturation), torch.full((1, 1, 1, 1), hue)
    )[0]
    torch.testing.assert_close(LUMA @ color_map, LUMA, atol=1e-5, rtol=0)
    torch.testing.assert_close(color_map @ torch.ones(3), torch.ones(3), atol=1e-5, rtol=0)
    # The two color differences turn and scale together.
    assert torch.linalg.det(color_map).item() == pytest.approx(saturation**2, abs=1e-4)


def test_saturation_and_hue_by_known_angles():
    def color_map(saturation, hue):
        return _saturation_and_hue(
            torch.tensor(saturation).reshape(1, 1, 1, 1), torch.tensor(hue).reshape(1, 1, 1, 1)
        )[0]

    torch.testing.assert_close(color_map(1.0, 0.0), torch.eye(3), atol=1e-5, rtol=0)
    torch.testing.assert_close(color_map(0.0, 1.0), LUMA.expand(3, 3), atol=1e-5, rtol=0)
    third = color_map(1.0, 2 * math.pi / 3)
    torch.testing.assert_close(third @ third @ third, torch.eye(3), atol=1e-5, rtol=0)


@pytest.mark.parametrize(("height", "width"), [(20, 20), (40, 64), (100, 60), (3, 5)])
@pytest.mark.parametrize("channels", [2, 3])
def test_image_blur_equals_torchvision(height, width, channels):
    # The first channel holds a single bright pixel, whose view is the kernel.
    images = _texture(height, width, channels).repeat(12, 1, 1, 1)
    row, column = height // 2, width // 2
    images[:, 0] = 0
    images[:, 0, row, column] = 1
    radius = max(1, min(height, width) // 20)
    for image, view in zip(images, _jitter_only(blur=1)(images, _generator())):
        log_ratio = math.log(view[0, row, column] / view[0, row, column + 1])
        sigma = math.sqrt(0.5 / log_ratio)
        expected = reference.gaussian_blur(image, [2 * radius + 1] * 2, [sigma, sigma])
        torch.testing.assert_close(view, expected, atol=1e-5, rtol=0)


def test_image_blur_is_of_a_tenth_to_two_pixels():
    images = torch.zeros(1000, 1, 5, 5)
    images[:, :, 2, 2] = 1
    views = _jitter_only(blur=1)(images, _generator())
    sigmas = (0.5 / (views[:, 0, 2, 2] / views[:, 0, 2, 3]).log()).sqrt()
    assert sigmas.min().item() == pytest.approx(0.1, abs=0.02)
    assert sigmas.max().item() == pytest.approx(2.0, abs=0.02)
    assert sigmas.mean().item() == pytest.approx(1.05, abs=0.05)


def test_image_blurs_as_many_as_asked():
    images = _texture(8, 8).repeat(2000, 1, 1, 1)
    views = _jitter_only(blur=0.4)(images, _generator())
    # A Gaussian of a fifth of a pixel and less changes nothing that can be seen.
    blurred = (views != images).flatten(1).any(1)
    assert blurred.float().mean().item() == pytest.approx(0.4, abs=0.05)


@pytest.mark.parametrize("shape", [(4, 1, 1, 9), (4, 3, 2, 2)])
def test_blur_takes_images_of_any_size(shape):
    augment = ImageAugmentation(**IDENTITY | {"blur": 1.0})
    views = augment(torch.rand(shape, generator=_generator(0)), _generator(1))
    assert views.shape == shape
    assert torch.isfinite(views).all()


def test_local_views_of_images_show_less():
    height, width = 20, 20
    spec = spec_of("image", (2, height, width))
    settings = IDENTITY | {"scale": (0.4, 0.8)}
    images = _ramps(2000, height, width)
    parts = {}
    for name, augment in [
        ("global", ImageAugmentation(**settings)),
        ("local", ImageAugmentation(**settings).local(spec)),
    ]:
        views = augment(images, _generator())
        # The step from pixel to pixel, times their number, is the side of the crop.
        steps = views.diff(dim=3)[:, 0, 0, 0] * views.shape[3]
        parts[name] = (steps / width).square()
    assert 0.4 - 1e-3 < parts["global"].min() < parts["global"].max() < 0.8 + 1e-3
    low, high = local_crop_scale((0.4, 0.8))
    assert high == 0.4
    assert low - 1e-3 < parts["local"].min() < parts["local"].max() < high + 1e-3
    assert parts["local"].mean().item() == pytest.approx((low + high) / 2, abs=0.01)


def test_local_views_of_images_are_samples_of_the_image():
    spec = spec_of("image", (2, 9, 14))
    local = ImageAugmentation(**IDENTITY | {"scale": (0.3, 1)}).local(spec)
    x, y = local(_ramps(500, 9, 14), _generator()).unbind(1)
    assert x.shape == (500, 5, 7)
    for pixels, last in ((x, 13), (y, 8)):
        assert pixels.min() >= -1e-4
        assert pixels.max() <= last + 1e-4
    assert (x.diff(dim=2) > 0).all()
    assert (y.diff(dim=1) > 0).all()
