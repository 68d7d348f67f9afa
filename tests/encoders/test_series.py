"""Encoder of series."""

import pytest
import torch

from sklearn_ssl.encoders.series import DilatedBlock, SeriesEncoder, maxima_of_segments


@pytest.fixture(autouse=True)
def _seeded():
    torch.manual_seed(0)


@pytest.mark.parametrize("channels", [1, 4])
@pytest.mark.parametrize("time", [1, 2, 3, 5, 24, 151])
def test_series_encoder_takes_any_length(channels, time):
    encoder = SeriesEncoder((channels, time), width=8, segments=4)
    output = encoder(torch.randn(6, channels, time))
    # The maximum of each segment, of which there are no more than steps, and the mean.
    assert output.shape == (6, 8 * (min(4, time) + 1))
    assert torch.isfinite(output).all()
    assert (output.std(dim=0) > 0).any()


@pytest.mark.parametrize("time", [1, 3, 8, 13])
def test_exported_maxima_are_the_same(time, monkeypatch):
    x, n = torch.randn(5, 6, time), min(4, time)
    expected = maxima_of_segments(x, n)
    monkeypatch.setattr(torch.compiler, "is_exporting", lambda: True)
    assert torch.equal(maxima_of_segments(x, n), expected)


def test_series_encoder_trains_every_parameter():
    encoder = SeriesEncoder((2, 30), width=8)
    encoder(torch.randn(6, 2, 30)).square().sum().backward()
    assert all(parameter.grad.abs().sum() > 0 for parameter in encoder.parameters())


@pytest.mark.parametrize("time", [1, 2, 3, 40])
def test_series_encoder_does_not_mix_rows(time):
    encoder = SeriesEncoder((2, time)).eval()
    series = torch.randn(5, 2, time)
    with torch.no_grad():
        alone = torch.cat([encoder(one[None]) for one in series])
        torch.testing.assert_close(encoder(series), alone, atol=1e-5, rtol=1e-4)


def test_series_encoder_keeps_the_order_of_events():
    by_quarter, overall = (SeriesEncoder((1, 40), 8, segments).eval() for segments in (4, 1))
    overall.load_state_dict(by_quarter.state_dict())
    series = torch.randn(3, 1, 40)
    with torch.no_grad():
        quarters, whole = by_quarter(series), overall(series)
    maxima = quarters[:, :32].reshape(3, 8, 4)
    torch.testing.assert_close(maxima.amax(2), whole[:, :8])
    torch.testing.assert_close(quarters[:, 32:], whole[:, 8:])
    assert not torch.allclose(maxima[:, :, 0], maxima[:, :, 3])


@pytest.mark.parametrize("dilation", [1, 2, 4])
@pytest.mark.parametrize("time", [1, 3, 20])
def test_dilated_block_keeps_the_length_and_sees_its_neighborhood(dilation, time):
    block = DilatedBlock(1, 3, dilation).eval()
    series = torch.randn(1, 1, time, requires_grad=True)
    output = block(series)
    assert output.shape == (1, 3, time)
    middle = time // 2
    output[0, :, middle].sum().backward()
    seen = torch.nonzero(series.grad[0, 0])[:, 0]
    assert (seen - middle).abs().max() <= 2 * dilation
