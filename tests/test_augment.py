"""Augmentations: what all have in common, then each against an independent reference.

The geometry of an image augmentation is read from the views of a ramp: bilinear sampling keeps
linear functions, so a view of the coordinates says where each of its pixels was taken from.
"""

import copy
import math
import pickle

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn
from torchvision.transforms.v2 import functional as reference

from sklearn_ssl.augment import (
    Augmentation,
    FeatureCorruption,
    ImageAugmentation,
    MultiCrop,
    SeriesAugmentation,
    _saturation_and_hue,
    blur_probability,
    crop_scale,
    local_crop_scale,
    make_views,
    resolve_augmentation,
)
from tests.helpers import describe, spec_of

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


CASES = {
    "image": (ImageAugmentation(scale=(0.4, 1.3), rotation=20, blur=0.5), (3, 9, 14)),
    "image of one channel": (ImageAugmentation(blur=0.5), (1, 12, 7)),
    "table": (FeatureCorruption(), (6,)),
    "series": (SeriesAugmentation(), (3, 17)),
}


@pytest.fixture(params=CASES)
def augment_and_batch(request):
    """An adapted augmentation and 16 equal rows."""
    augment, shape = CASES[request.param]
    augment = augment.adapt(spec_of(request.param.split()[0], shape))
    return augment, torch.rand(1, *shape, generator=_generator()).repeat(16, *[1] * len(shape))


# Common to all ----------------------------------------------------------------------------------


def test_a_view_is_a_changed_copy(augment_and_batch, random_streams_untouched):
    augment, batch = augment_and_batch
    before = batch.clone()
    view = augment(batch, _generator())
    assert torch.equal(batch, before)
    assert view.data_ptr() != batch.data_ptr()
    assert view.shape == batch.shape
    assert view.dtype == batch.dtype
    assert torch.isfinite(view).all()


def test_views_differ_between_equal_rows(augment_and_batch):
    augment, batch = augment_and_batch
    assert len(torch.unique(augment(batch, _generator()), dim=0)) > len(batch) // 2


def test_views_are_those_of_the_seed(augment_and_batch):
    augment, batch = augment_and_batch
    view = augment(batch, _generator(5))
    assert torch.equal(augment(batch, _generator(5)), view)
    assert not torch.equal(augment(batch, _generator(6)), view)


@pytest.mark.parametrize("copied", [copy.deepcopy, lambda a: pickle.loads(pickle.dumps(a))])
def test_copies_make_the_same_views(augment_and_batch, copied):
    augment, batch = augment_and_batch
    assert torch.equal(copied(augment)(batch, _generator()), augment(batch, _generator()))


def test_no_state_and_no_parameters(augment_and_batch):
    augment, _ = augment_and_batch
    assert not augment.state_dict()
    assert not list(augment.parameters())


def test_mixed_precision_changes_nothing(augment_and_batch):
    # Sampling coordinates of eight bits would move pixels, and color maps would not fit views.
    augment, batch = augment_and_batch
    expected = augment(batch, _generator())
    with torch.autocast("cpu", dtype=torch.bfloat16):
        view = augment(batch, _generator())
    assert view.dtype == batch.dtype
    assert torch.equal(view, expected)


def test_forward_must_be_written():
    class Unwritten(Augmentation):
        pass

    with pytest.raises(NotImplementedError, match="Unwritten must define forward"):
        Unwritten()(torch.zeros(2, 3), _generator())


# make_views and resolve_augmentation ------------------------------------------------------------


@pytest.mark.parametrize("n_views", [1, 2, 5])
def test_make_views_stacks_views_of_each_row(n_views):
    batch = torch.randn(7, 4)
    corruption = FeatureCorruption(rate=0.0).adapt(spec_of("table", (4,)))
    views = make_views(corruption, batch, n_views, _generator())
    assert torch.equal(views, batch.repeat(n_views, 1))


def test_make_views_are_independent(augment_and_batch):
    augment, batch = augment_and_batch
    view_a, view_b = make_views(augment, batch, 2, _generator()).chunk(2)
    assert not torch.equal(view_a, view_b)


def test_make_views_of_a_foreign_callable_calls_it_once_a_view():
    seen = []

    def shift(batch):
        seen.append(batch)
        return batch + len(seen)

    batch = torch.randn(3, 4)
    views = make_views(shift, batch, 2, _generator())
    assert torch.equal(views, torch.cat([batch + 1, batch + 2]))
    assert len(seen) == 2


def test_make_views_of_a_foreign_callable_are_made_in_full_precision():
    batch = torch.randn(3, 4)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        views = make_views(lambda batch: batch @ torch.eye(4), batch, 2, _generator())
    assert torch.equal(views, batch.repeat(2, 1))


@pytest.mark.parametrize(
    ("wrong", "n_rows"), [(lambda batch: batch[:-1], 6), (lambda batch: batch.repeat(2, 1), 16)]
)
def test_make_views_refuses_another_number_of_rows(wrong, n_rows):
    with pytest.raises(ValueError, match=f"got {n_rows} rows for 2 views of 4 rows"):
        make_views(wrong, torch.zeros(4, 3), 2, _generator())


@pytest.mark.parametrize(
    ("modality", "shape", "kind"),
    [
        ("image", (1, 8, 8), ImageAugmentation),
        ("table", (5,), FeatureCorruption),
        ("series", (2, 9), SeriesAugmentation),
    ],
)
def test_resolve_augmentation_has_a_default_for_each_modality(modality, shape, kind):
    augment = resolve_augmentation(None, spec_of(modality, shape))
    assert type(augment) is kind
    assert augment(torch.zeros(3, *shape), _generator()).shape == (3, *shape)


def test_resolve_augmentation_never_changes_the_parameter():
    image, table = ImageAugmentation(), FeatureCorruption(rate=0.5)
    adapted_image = resolve_augmentation(image, spec_of("image", (1, 8, 8)))
    adapted_table = resolve_augmentation(table, spec_of("table", (5,)))
    assert image.scale is image.blur is table.marginals is None
    assert adapted_image.scale == crop_scale(8)
    assert adapted_table.rate == 0.5


def test_resolve_augmentation_copies_a_foreign_callable():
    class Counting:
        calls = 0

        def __call__(self, batch):
            self.calls += 1
            return batch

    parameter = Counting()
    resolved = resolve_augmentation(parameter, spec_of("table", (5,)))
    make_views(resolved, torch.zeros(2, 5), 1, _generator())
    assert (resolved.function.calls, parameter.calls) == (1, 0)


# Images: settings -------------------------------------------------------------------------------


@pytest.mark.parametrize("side", [8, 31, 32, 63, 64, 200])
def test_image_adapt_fills_in_what_is_open(side):
    spec = spec_of("image", (1, side, side + 10), n=2)
    adapted = ImageAugmentation().adapt(spec)
    assert adapted.scale == crop_scale(side)
    assert adapted.blur == blur_probability(side)
    given_settings = ImageAugmentation(scale=(0.9, 1.1), blur=0.25).adapt(spec)
    assert (given_settings.scale, given_settings.blur) == ((0.9, 1.1), 0.25)


@pytest.mark.parametrize("open_setting", ["scale", "blur"])
def test_image_refuses_open_settings(open_setting):
    augment = ImageAugmentation(**{"scale": (0.5, 1), "blur": 0, open_setting: None})
    with pytest.raises(ValueError, match=r"call adapt\(spec\) first"):
        augment(torch.zeros(2, 1, 8, 8), _generator())


@pytest.mark.parametrize("channels", [1, 2, 3, 5])
def test_image_takes_any_number_of_channels(channels):
    images = torch.rand(20, channels, 10, 13, generator=_generator())
    augment = ImageAugmentation(scale=(0.3, 1), rotation=30, jitter=1, blur=1)
    views = augment(images, _generator())
    assert views.shape == images.shape
    assert views.min() >= 0
    assert views.max() <= 1


# Images: geometry -------------------------------------------------------------------------------

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


# Images: colors and blur -----------------------------------------------------------------------


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


# Tables -----------------------------------------------------------------------------------------


def _corruption(X, rate):
    spec = describe(X, "table")
    return FeatureCorruption(rate).adapt(spec), spec


@settings(deadline=None, max_examples=20)
@given(
    n=st.integers(2, 600),
    d=st.integers(1, 6),
    rate=st.floats(0, 1),
    seed=st.integers(0, 2**31),
    dtype=st.sampled_from([np.float64, np.float32, np.int64]),
)
def test_feature_corruption_draws_values_of_the_column(n, d, rate, seed, dtype):
    X = (np.random.default_rng(seed).normal(size=(n, d)) * 100).astype(dtype)
    augment, spec = _corruption(X, rate)
    train = spec.to_tensor(X)
    batch = torch.full((50, d), 1e9)
    views = augment(batch, _generator(seed))
    for column in range(d):
        allowed = torch.cat([train[:, column], batch[:1, column]])
        assert torch.isin(views[:, column], allowed).all()


@pytest.mark.parametrize("rate", [0.0, 0.3, 0.6, 1.0])
def test_feature_corruption_rate(rate, digits):
    augment, _ = _corruption(digits[0], rate)
    batch = torch.full((2000, 64), 1e9)
    corrupted = (augment(batch, _generator()) != batch).float()
    assert corrupted.mean().item() == pytest.approx(rate, abs=0.005)
    # Each column and each row has its share.
    assert (corrupted.mean(0) - rate).abs().max() < 0.05
    assert (corrupted.mean(1) - rate).abs().max() < 0.35


def test_feature_corruption_keeps_marginal_frequencies():
    rng = np.random.default_rng(0)
    X = rng.choice([0.0, 1.0, 5.0, 9.0], size=(3000, 2), p=[0.5, 0.3, 0.15, 0.05])
    augment, spec = _corruption(X, 1.0)
    views = augment(torch.zeros(20_000, 2), _generator())
    for column in range(2):
        for value in torch.unique(spec.to_tensor(X)[:, column]):
            asked = (spec.to_tensor(X)[:, column] == value).float().mean()
            got = (views[:, column] == value).float().mean()
            # 256 quantiles, and sampling
            assert got.item() == pytest.approx(asked.item(), abs=1 / 256 + 0.012)


def test_feature_corruption_draws_columns_independently():
    x = np.linspace(-1, 1, 500)
    augment, _ = _corruption(np.stack([x, x], axis=1), 1.0)
    views = augment(torch.zeros(5000, 2), _generator())
    assert abs(np.corrcoef(views.T.numpy())[0, 1]) < 0.06


def test_feature_corruption_must_be_adapted():
    with pytest.raises(ValueError, match=r"adapted to a table first: adapt\(spec\)"):
        FeatureCorruption()(torch.zeros(2, 3), _generator())


# Series -----------------------------------------------------------------------------------------

NO_CHANGE = {"crop": (1, 1), "scaling": 0, "noise": 0, "mask": 0}


@settings(deadline=None, max_examples=25)
@given(n=st.integers(1, 5), channels=st.integers(1, 4), time=st.integers(1, 70))
def test_series_identity(n, channels, time):
    batch = torch.randn(n, channels, time, generator=_generator())
    views = SeriesAugmentation(**NO_CHANGE)(batch, _generator())
    torch.testing.assert_close(views, batch, atol=1e-4, rtol=0)


@pytest.mark.parametrize("time", [1, 2, 3])
def test_series_may_be_short(time):
    batch = torch.randn(20, 2, time, generator=_generator())
    views = SeriesAugmentation()(batch, _generator())
    assert views.shape == batch.shape
    assert torch.isfinite(views).all()
    cropped = SeriesAugmentation(**NO_CHANGE | {"crop": (0.2, 0.6)})(batch, _generator())
    # Interpolated values lie between those of the series.
    assert (cropped.amin(2) >= batch.amin(2) - 1e-6).all()
    assert (cropped.amax(2) <= batch.amax(2) + 1e-6).all()


@pytest.mark.parametrize("crop", [(0.5, 1.0), (0.1, 0.2), (0.4, 0.4)])
def test_series_crop_is_a_stretched_piece(crop):
    time = 33
    ramp = torch.arange(time).float().expand(500, 2, -1)
    views = SeriesAugmentation(**NO_CHANGE | {"crop": crop})(ramp, _generator())
    assert views.min() >= 0
    assert views.max() <= time - 1
    steps = views.diff(dim=2)
    torch.testing.assert_close(steps, steps[:, :1, :1].expand_as(steps), atol=1e-4, rtol=0)
    lengths = steps[:, 0, 0]
    assert lengths.min() >= crop[0] - 1e-4
    assert lengths.max() <= crop[1] + 1e-4
    assert lengths.mean().item() == pytest.approx(sum(crop) / 2, abs=0.03)


def test_series_crop_equals_interpolation():
    signal, ramp = torch.randn(1, 1, 25, generator=_generator()), torch.arange(25.0)[None, None]
    batch = torch.cat([signal, ramp], dim=1).expand(20, -1, -1)
    for view in SeriesAugmentation(**NO_CHANGE | {"crop": (0.3, 1)})(batch, _generator()).numpy():
        expected = np.interp(view[1], np.arange(25), signal[0, 0].numpy())
        np.testing.assert_allclose(view[0], expected, atol=1e-4)


def test_series_scaling_is_one_factor_a_channel():
    batch = torch.rand(2000, 2, 6, generator=_generator()) + 1
    views = SeriesAugmentation(**NO_CHANGE | {"scaling": 0.3})(batch, _generator())
    factors = views / batch
    assert (factors.amax(2) - factors.amin(2)).max() < 1e-5
    logarithms = factors[:, :, 0].log()
    assert logarithms.mean().item() == pytest.approx(0, abs=0.02)
    assert logarithms.std().item() == pytest.approx(0.3, abs=0.02)
    assert abs(np.corrcoef(logarithms.T.numpy())[0, 1]) < 0.08


def test_series_noise_is_white():
    views = SeriesAugmentation(**NO_CHANGE | {"noise": 0.5})(torch.zeros(3000, 2, 5), _generator())
    correlations = np.cov(views.flatten(1).T.numpy())
    np.testing.assert_allclose(correlations, 0.25 * np.eye(10), atol=0.03)


@pytest.mark.parametrize("time", [1, 2, 3, 10, 37])
@pytest.mark.parametrize("mask", [0.1, 0.25, 0.5, 1.0])
def test_series_mask_is_one_piece_of_the_length_asked(time, mask):
    views = SeriesAugmentation(**NO_CHANGE | {"mask": mask})(
        torch.ones(1000, 2, time), _generator()
    )
    masked = views == 0
    assert torch.equal(masked[:, 0], masked[:, 1]), "all channels lose the same time"
    masked = masked[:, 0]
    # Whole steps: the length asked, rounded up or down.
    lengths = masked.sum(1)
    assert (lengths - mask * time).abs().max() <= 1
    starts = (masked.int().diff(dim=1, prepend=torch.zeros(1000, 1, dtype=torch.int)) == 1).sum(1)
    assert starts.max() <= 1
    assert masked.any(0).all(), "each step is masked at some time, the first and last ones too"


@pytest.mark.parametrize("shape", [(4, 1, 1, 9), (4, 3, 2, 2)])
def test_blur_takes_images_of_any_size(shape):
    augment = ImageAugmentation(scale=(1, 1), blur=1.0)
    views = augment(torch.rand(shape, generator=_generator(0)), _generator(1))
    assert views.shape == shape
    assert torch.isfinite(views).all()


# Local views and multi-crop ---------------------------------------------------------------------


@pytest.mark.parametrize(
    ("modality", "shape", "local_shape"),
    [
        ("image", (3, 8, 12), (3, 4, 6)),
        ("image", (1, 7, 5), (1, 4, 3)),
        ("series", (2, 10), (2, 5)),
        ("series", (1, 7), (1, 4)),
        ("series", (1, 1), (1, 1)),
        ("table", (6,), (6,)),
    ],
)
def test_local_views_have_half_the_sides(modality, shape, local_shape):
    spec = spec_of(modality, shape)
    augment = resolve_augmentation(None, spec)
    local = augment.local(spec)
    batch = torch.rand(5, *shape, generator=_generator())
    assert local(batch, _generator()).shape == (5, *local_shape)
    assert augment(batch, _generator()).shape == (5, *shape)


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


def test_local_views_of_series_are_of_half_as_much_time():
    time = 33
    spec = spec_of("series", (2, time))
    ramp = torch.arange(time).float().expand(2000, 2, -1)
    local = SeriesAugmentation(**NO_CHANGE | {"crop": (0.5, 0.9)}).local(spec)
    views = local(ramp, _generator())
    assert views.shape == (2000, 2, 17)
    parts = (views[:, 0, -1] - views[:, 0, 0]) / (time - 1)
    assert 0.25 - 1e-4 < parts.min() < parts.max() < 0.45 + 1e-4
    assert parts.mean().item() == pytest.approx(0.35, abs=0.005)
    assert views.min() >= 0
    assert views.max() <= time - 1


@pytest.mark.parametrize("rate", [0.0, 0.3, 1.0])
def test_local_views_of_tables_keep_half_as_many_entries(rate, digits):
    spec = describe(digits[0], "table")
    local = FeatureCorruption(rate).local(spec)
    kept = (local(torch.full((2000, 64), 1e9), _generator()) == 1e9).float().mean().item()
    assert kept == pytest.approx((1 - rate) / 2, abs=0.005)


def test_local_leaves_the_augmentation_as_it_was(augment_and_batch, request):
    kind = request.node.callspec.params["augment_and_batch"].split()[0]
    augment, batch = augment_and_batch
    before, size = augment(batch, _generator()), augment.size
    augment.local(spec_of(kind, batch.shape[1:]))
    assert augment.size is size
    assert torch.equal(augment(batch, _generator()), before)


class Noise(Augmentation):
    """A user's augmentation, which knows nothing of local views."""

    def forward(self, batch, generator):
        return batch + torch.randn(batch.shape, generator=generator)


def test_local_views_of_any_other_augmentation_are_as_the_others():
    batch = torch.zeros(4, 6)
    local = Noise().local(spec_of("table", (6,)))
    assert torch.equal(local(batch, _generator()), Noise()(batch, _generator()))


def _convolution(shape):
    """An encoder of images or series of any size."""
    convolve, norm, pool = {
        3: (nn.Conv2d, nn.BatchNorm2d, nn.AdaptiveAvgPool2d),
        2: (nn.Conv1d, nn.BatchNorm1d, nn.AdaptiveAvgPool1d),
    }[len(shape)]
    encoder = nn.Sequential(convolve(shape[0], 5, 1), norm(5), pool(1), nn.Flatten())
    encoder.output_dim = 5
    return encoder


def _of_one_shape(shape):
    encoder = nn.Sequential(nn.Flatten(), nn.Linear(math.prod(shape), 5))
    encoder.output_dim = 5
    return encoder


MULTI_CROP_CASES = [
    ("image", (3, 9, 14), _convolution, (3, 5, 7)),
    ("image", (3, 9, 14), _of_one_shape, (3, 9, 14)),
    ("image", (1, 64, 80), _convolution, (1, 32, 40)),
    ("series", (2, 11), _convolution, (2, 6)),
    ("series", (2, 11), _of_one_shape, (2, 11)),
    ("table", (6,), _of_one_shape, (6,)),
]


@pytest.mark.parametrize(("modality", "shape", "make_encoder", "local_shape"), MULTI_CROP_CASES)
@pytest.mark.parametrize("n_local", [None, 0, 1, 3])
def test_multi_crop_makes_two_global_and_some_local_views(
    modality, shape, make_encoder, local_shape, n_local
):
    encoder = make_encoder(shape)
    multi_crop = MultiCrop(None, n_local, spec_of(modality, shape), encoder)
    views = multi_crop(torch.rand(4, *shape, generator=_generator()), _generator())
    if n_local is None:
        n_local = 4 if min(shape[1:], default=0) >= 64 else 0
    expected = [(2 * 4, *shape)] + ([(n_local * 4, *local_shape)] if n_local else [])
    assert [tuple(group.shape) for group in views] == expected
    for group in views:
        assert encoder(group).shape == (len(group), 5)


def test_multi_crop_shows_less_where_the_encoder_takes_one_shape_only():
    shape = (2, 20, 20)
    augment = ImageAugmentation(**IDENTITY | {"scale": (0.4, 1)})
    multi_crop = MultiCrop(augment, 1, spec_of("image", shape), _of_one_shape(shape))
    global_views, local_views = multi_crop(_ramps(300, 20, 20), _generator())
    areas = [
        (v.diff(dim=3)[:, 0, 0, 0] * v.diff(dim=2)[:, 1, 0, 0]) for v in (global_views, local_views)
    ]
    assert areas[0].min() > 0.4 - 1e-3
    assert areas[1].max() < 0.4 + 1e-3


@pytest.mark.parametrize("training", [True, False])
def test_multi_crop_tries_the_encoder_without_a_trace(training, random_streams_untouched):
    with torch.random.fork_rng():
        encoder = _convolution((3, 8, 8)).train(training)
    before = copy.deepcopy(encoder.state_dict())
    MultiCrop(None, 2, spec_of("image", (3, 8, 8)), encoder)
    assert encoder.training is training
    assert all(torch.equal(value, before[name]) for name, value in encoder.state_dict().items())


@pytest.mark.parametrize("n_local", [0, 3])
def test_multi_crop_of_a_foreign_callable_calls_it_once_a_view(n_local):
    seen = []

    def shift(batch):
        seen.append(batch)
        return batch + len(seen)

    spec = spec_of("image", (1, 8, 8))
    multi_crop = MultiCrop(shift, n_local, spec, _convolution((1, 8, 8)))
    batch = torch.zeros(2, 1, 8, 8)
    views = torch.cat(multi_crop(batch, _generator()))
    assert views.shape == (2 * (2 + n_local), 1, 8, 8)
    assert views[::2, 0, 0, 0].tolist() == list(range(1, 3 + n_local))


def test_multi_crop_of_an_augmentation_without_local_views():
    multi_crop = MultiCrop(Noise(), 2, spec_of("image", (1, 8, 8)), _convolution((1, 8, 8)))
    views = multi_crop(torch.zeros(4, 1, 8, 8), _generator())
    assert [len(group) for group in views] == [8, 8]
    assert len(torch.unique(torch.cat(views), dim=0)) == 16


def test_multi_crop_never_changes_the_parameter():
    augment = ImageAugmentation(scale=(0.5, 1.0))
    multi_crop = MultiCrop(augment, 2, spec_of("image", (1, 8, 8)), _convolution((1, 8, 8)))
    assert multi_crop.augment.scale == augment.scale == (0.5, 1.0)
    assert augment.size is multi_crop.augment.size is augment.blur is None
    assert multi_crop.local_augment.size == (4, 4)


def test_multi_crop_draws_from_the_generator_alone(random_streams_untouched):
    with torch.random.fork_rng():
        encoder = _convolution((1, 8, 8))
    multi_crop = MultiCrop(None, 2, spec_of("image", (1, 8, 8)), encoder)
    batch = torch.rand(4, 1, 8, 8, generator=_generator())
    views, same, other = (multi_crop(batch, _generator(seed)) for seed in (1, 1, 2))
    assert all(map(torch.equal, views, same))
    assert not any(map(torch.equal, views, other))


def test_multi_crop_has_no_state():
    spec = spec_of("table", (6,))
    multi_crop = MultiCrop(None, 2, spec, _of_one_shape((6,)))
    assert not multi_crop.state_dict()
    assert not list(multi_crop.parameters())
