"""Views of series, against independent references."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from sklearn_ssl.augment import SeriesAugmentation
from tests.helpers import spec_of


def _generator(seed=0):
    return torch.Generator().manual_seed(seed)


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
