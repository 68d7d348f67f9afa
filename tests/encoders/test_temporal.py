"""Networks that give a state for every frame, and what becomes of missing numbers."""

import numpy as np
import pandas as pd
import pytest
import torch
from torch import nn

from sklearn_ssl.encoders.factory import make_temporal_encoder
from sklearn_ssl.encoders.temporal import (
    FrameStates,
    TemporalEncoder,
    as_frames,
    forward_fill,
    last_observed,
    observed_frames,
    observed_maximum,
)

nan = torch.nan


@pytest.fixture(autouse=True)
def _seeded():
    torch.manual_seed(0)


def _seen(encoder, series, t):
    """Return the frames on which the state of frame `t` depends."""
    series = series.clone().requires_grad_()
    encoder(series)[:, :, t].square().sum().backward()
    return torch.nonzero(series.grad.abs().sum(dim=(0, 1)))[:, 0].tolist()


@pytest.mark.parametrize("time", [2, 3, 5, 6, 24, 61, 62])
def test_causal_states_see_all_frames_up_to_their_own_and_no_later_one(time):
    encoder, series = TemporalEncoder((2, time), width=8), torch.randn(3, 2, time)
    for t in (0, 1, time // 2, time - 1):
        assert _seen(encoder, series, t) == list(range(t + 1))


@pytest.mark.parametrize("time", [2, 3, 4, 6, 24, 31])
def test_other_states_see_the_whole_series(time):
    encoder, series = TemporalEncoder((2, time), 8, causal=False), torch.randn(3, 2, time)
    for t in (0, time - 1):
        assert _seen(encoder, series, t) == list(range(time))


def test_long_series_have_no_more_than_ten_blocks():
    assert len(TemporalEncoder((1, 100_000), width=4).blocks) == 10


def test_other_lengths_can_be_read():
    encoder = TemporalEncoder((2, 10), width=8)
    series = torch.randn(3, 2, 15)
    with torch.no_grad():
        torch.testing.assert_close(encoder(series)[:, :, :4], encoder(series[:, :, :4]))


def test_every_parameter_is_trained():
    for encoder in (TemporalEncoder((2, 30), 8), TemporalEncoder((2, 30), 8, causal=False)):
        encoder(torch.randn(6, 2, 30)).square().sum().backward()
        assert all(parameter.grad.abs().sum() > 0 for parameter in encoder.parameters())


# Missing numbers


def test_forward_fill_is_that_of_pandas():
    frames = torch.randn(5, 7, 3)
    frames[torch.rand(5, 7, 3) < 0.5] = nan
    expected = [pd.DataFrame(row.numpy()).ffill().fillna(0).to_numpy() for row in frames]
    torch.testing.assert_close(forward_fill(frames), torch.from_numpy(np.stack(expected)))
    videos = frames.reshape(5, 7, 1, 3, 1)
    assert torch.equal(forward_fill(videos), forward_fill(frames).reshape(videos.shape))


def test_frames_without_a_number_are_not_observed():
    series = torch.tensor([[[1, nan, nan, 1], [nan, 1, nan, nan]], [[nan] * 4] * 2])
    observed = observed_frames(as_frames(series))
    assert observed.tolist() == [[True, True, False, True], [False] * 4]
    assert last_observed(observed).tolist() == [3, 0]
    videos = torch.zeros(1, 3, 1, 2, 2)
    videos[0, 1] = videos[0, 2, 0, 0, 0] = nan
    assert observed_frames(as_frames(videos)).tolist() == [[True, False, True]]


def test_observed_maximum():
    states = torch.tensor([[[-1.0, -2, 3]], [[1, 2, 3]]])
    observed = torch.tensor([[[True, True, False]], [[False] * 3]])
    assert observed_maximum(states, observed).tolist() == [[-1], [0]]


def test_pooling_is_that_of_the_observed_frames():
    encoder = FrameStates(TemporalEncoder((2, 9), width=4), 4)
    series = torch.randn(2, 2, 9)
    ragged = series.clone()
    ragged[:, :, 6:] = nan
    ragged[1, :, 3] = nan  # a gap
    gap_filled = torch.where(ragged.isnan(), ragged.roll(1, dims=2), ragged)
    with torch.no_grad():
        states = encoder.states(as_frames(gap_filled).nan_to_num())[:, :, :6]
        for row, kept in ((0, [0, 1, 2, 3, 4, 5]), (1, [0, 1, 2, 4, 5])):
            s = states[row][:, kept]
            expected = torch.cat([s[:, -1], s.mean(dim=1), s.amax(dim=1)])
            torch.testing.assert_close(encoder(ragged)[row], expected)
        whole = encoder.temporal(series)
        expected = torch.cat([whole[:, :, -1], whole.mean(dim=2), whole.amax(dim=2)], dim=1)
        torch.testing.assert_close(encoder(series), expected)


def test_a_row_without_a_frame_has_zeros():
    encoder = FrameStates(TemporalEncoder((1, 5), width=4), 4)
    assert torch.equal(encoder(torch.full((2, 1, 5), nan)), torch.zeros(2, 12))


# Networks of the user's


class GRU(nn.Module):
    """Recurrent states; the reversed ones know the future."""

    def __init__(self, shape, reverse=False):
        super().__init__()
        self.gru = nn.GRU(shape[0], 6, batch_first=True)
        self.reverse = reverse

    def forward(self, x):
        x = x.flip(2) if self.reverse else x
        states = self.gru(x.transpose(1, 2))[0].transpose(1, 2)
        return states.flip(2) if self.reverse else states


def test_another_causal_network():
    module, width = make_temporal_encoder(GRU, (2, 7), causal=True)
    assert isinstance(module, GRU)
    assert width == 6


LEAKS = {
    "reversed": lambda shape: GRU(shape, reverse=True),
    "convolution": lambda shape: nn.Conv1d(shape[0], 4, 3, padding=1),
    "batch normalization": lambda shape: nn.BatchNorm1d(shape[0]),
    "normalization over the time": lambda shape: nn.LayerNorm(shape[1]),
    "behind dropout": lambda shape: nn.Sequential(nn.Dropout(), nn.BatchNorm1d(shape[0])),
}


@pytest.mark.parametrize("encoder", LEAKS.values(), ids=LEAKS)
def test_networks_that_know_the_future_are_refused(encoder):
    with pytest.raises(ValueError, match=r"must be causal.* such as frame 5, change with frame 6"):
        make_temporal_encoder(encoder, (2, 7), causal=True)
    make_temporal_encoder(encoder, (2, 7), causal=False)


def test_the_check_of_causality_says_how_many_frames_know_the_future():
    def convolution(shape):
        return nn.Conv1d(shape[0], 4, 5, padding=2)

    with pytest.raises(ValueError, match="states of 2 of the 6 frames"):
        make_temporal_encoder(convolution, (2, 7), causal=True)


def test_dropout_is_causal():
    def encoder(shape):
        return nn.Sequential(nn.Conv1d(shape[0], 4, 1), nn.Dropout(0.5))

    make_temporal_encoder(encoder, (2, 7), causal=True)


def test_the_check_changes_nothing():
    def encoder(shape):
        return nn.BatchNorm1d(shape[0])

    module, _ = make_temporal_encoder(encoder, (2, 7), causal=False)
    assert module.num_batches_tracked == 0
    assert module.training


@pytest.mark.parametrize(
    ("encoder", "error", "match"),
    [
        (nn.Identity(), TypeError, r"must be a function .*, got a module \(Identity\)"),
        ("resnet18", TypeError, "must be a function that returns a new .*, got 'resnet18'"),
        (lambda shape: shape, TypeError, r"called with .*, \(2, 7\); got tuple"),
        (lambda shape: nn.Flatten(), ValueError, r"\(n, width, time\); .* returned \(2, 14\)"),
        (lambda shape: nn.Conv1d(2, 4, 3), ValueError, r"of shape \(2, 2, 7\) it .* \(2, 4, 5\)"),
        (lambda shape: nn.Conv1d(3, 4, 1), ValueError, r"cannot take .* \(n, 2, 7\)"),
        (lambda shape: nn.GRU(7, 4), ValueError, "it returned tuple"),
    ],
)
def test_networks_that_give_no_states_are_refused(encoder, error, match):
    with pytest.raises(error, match=match):
        make_temporal_encoder(encoder, (2, 7), causal=True)


def test_one_frame_is_refused():
    with pytest.raises(ValueError, match="series of 1 frame"):
        make_temporal_encoder(None, (2, 1), causal=True)
