"""Augmentations: what all have in common, and how an estimator uses them."""

import copy
import math
import pickle

import pytest
import torch
from torch import nn

from sklearn_ssl.augment import (
    Augmentation,
    FeatureCorruption,
    ImageAugmentation,
    MultiCrop,
    SeriesAugmentation,
    TextAugmentation,
    make_views,
    resolve_augmentation,
)
from sklearn_ssl.augment.image import crop_scale
from tests.helpers import spec_of

IDENTITY = {"scale": (1, 1), "ratio": (1, 1), "flip": 0, "jitter": 0, "grayscale": 0, "blur": 0}


def _generator(seed=0):
    return torch.Generator().manual_seed(seed)


def _ramps(n, height, width):
    """Images of their own pixel coordinates, x and y, counted from 0: [n, 2, height, width]."""
    y, x = torch.meshgrid(torch.arange(height), torch.arange(width), indexing="ij")
    return torch.stack([x, y]).float().expand(n, -1, -1, -1)


CASES = {
    "image": (ImageAugmentation(scale=(0.4, 1.3), rotation=20, blur=0.5), (3, 9, 14)),
    "image of one channel": (ImageAugmentation(blur=0.5), (1, 12, 7)),
    "table": (FeatureCorruption(), (6,)),
    "series": (SeriesAugmentation(), (3, 17)),
    "text": (TextAugmentation(), (40,)),
}


@pytest.fixture(params=CASES)
def augment_and_batch(request):
    """An adapted augmentation and 16 equal rows."""
    augment, shape = CASES[request.param]
    modality = request.param.split()[0]
    row = torch.rand(1, *shape, generator=_generator())
    row = (row * 1000).long() if modality == "text" else row
    return augment.adapt(spec_of(modality, shape)), row.repeat(16, *[1] * len(shape))


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
        ("text", None, TextAugmentation),
    ],
)
def test_resolve_augmentation_has_a_default_for_each_modality(modality, shape, kind):
    spec = spec_of(modality, shape)
    augment, batch = resolve_augmentation(None, spec), spec.blank_batch(3)
    assert type(augment) is kind
    assert augment(batch, _generator()).shape == batch.shape


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
