"""Networks of the frames of videos: sizes, and how pixels are moved."""

import numpy as np
import pytest
import torch
from scipy.ndimage import correlate

from sklearn_ssl.encoders.temporal import FrameStates, TemporalEncoder
from sklearn_ssl.encoders.video import ClipStates, FrameDecoder, FrameEncoder, _move

each_size = pytest.mark.parametrize(
    "shape", [(1, 1, 1), (1, 2, 3), (3, 4, 4), (1, 7, 9), (2, 16, 5), (3, 32, 33)]
)


@pytest.fixture(autouse=True)
def _seeded():
    torch.manual_seed(0)


@each_size
def test_any_size_is_encoded_row_by_row(shape):
    encoder = FrameEncoder(shape, output_dim=6)
    frames = torch.randn(4, *shape)
    vectors = encoder(frames)
    assert vectors.shape == (4, encoder.output_dim) == (4, 6)
    torch.testing.assert_close(encoder(frames[:1]), vectors[:1], rtol=1e-4, atol=1e-5)


@each_size
def test_any_size_has_looks(shape):
    encoder = FrameEncoder(shape, output_dim=6)
    frames = torch.randn(4, *shape)
    vectors, looks = encoder.read(frames)
    assert torch.equal(vectors, encoder(frames))
    assert tuple(part.shape[1] for part in looks) == encoder.looks_dims == (144, 288)


def test_looks_are_means_of_a_grid():
    encoder = FrameEncoder((1, 12, 12))
    frames = torch.randn(2, 1, 12, 12)
    _, looks = encoder.read(frames)
    for part, n_layers, side in zip(looks, (3, 6), (4, 2)):
        maps = encoder.layers[:n_layers](frames)
        cells = maps.unflatten(3, (3, side)).unflatten(2, (3, side)).mean(dim=(3, 5))
        torch.testing.assert_close(part, cells.flatten(1))


def _clip_states(shape):
    frame_encoder = FrameEncoder(shape[1:], output_dim=6)
    return ClipStates(TemporalEncoder((6, shape[0]), width=4), 4, frame_encoder).eval()


@torch.no_grad()
def test_a_clip_is_its_states_and_the_mean_look_of_its_frames():
    encoder, clips = _clip_states((5, 1, 8, 8)), torch.randn(3, 5, 1, 8, 8)
    found = encoder(clips)
    assert found.shape == (3, encoder.output_dim) == (3, 3 * 4 + 144 + 288)
    vectors, looks = encoder.frame_encoder.read(clips.flatten(0, 1))
    states = FrameStates(encoder.temporal, 4)(vectors.view(3, 5, 6).transpose(1, 2))
    means = [look.view(3, 5, -1).mean(dim=1) for look in looks]
    for part, expected in zip(
        found.split([4, 4, 4, 144, 288], dim=1), [*states.split(4, 1), *means]
    ):
        expected = expected - expected.mean(dim=1, keepdim=True)
        expected = expected / (expected.square().mean(dim=1, keepdim=True) + 1e-5).sqrt()
        torch.testing.assert_close(part, expected, rtol=1e-4, atol=1e-5)


@torch.no_grad()
def test_missing_frames_do_not_count_as_looks():
    encoder, clips = _clip_states((6, 1, 8, 8)), torch.randn(2, 6, 1, 8, 8)
    ragged = clips.clone()
    ragged[:, 4:] = torch.nan
    torch.testing.assert_close(encoder(ragged), encoder(clips[:, :4]), rtol=1e-4, atol=1e-5)
    ragged[0] = torch.nan
    assert torch.equal(encoder(ragged)[0], torch.zeros(encoder.output_dim))


@torch.no_grad()
def test_large_states_do_not_outweigh_looks():
    encoder, clips = _clip_states((5, 1, 8, 8)), torch.randn(3, 5, 1, 8, 8)
    before = encoder(clips)
    encoder.temporal.input_projection.weight.mul_(1000)
    parts = encoder(clips).split([12, 432], dim=1)
    assert parts[0].square().mean() < 1.01
    assert torch.equal(parts[1], before[:, 12:])


@each_size
def test_any_size_is_predicted(shape):
    decoder = FrameDecoder(5, shape, horizon=2)
    frames = torch.randn(3, 4, *shape)
    assert decoder(torch.randn(3, 4, 5), frames).shape == (3, 4, 2, *shape)


def test_pixels_are_moved_as_scipy_does():
    frames, kernels = torch.randn(3, 2, 7, 6), torch.rand(3, 25)
    expected = [
        [correlate(channel, kernel.reshape(5, 5), mode="nearest") for channel in frame]
        for frame, kernel in zip(frames.numpy(), kernels.numpy())
    ]
    np.testing.assert_allclose(_move(frames, kernels), np.array(expected), rtol=1e-5, atol=1e-5)


def test_each_predicted_frame_is_moved_on_from_the_one_before():
    decoder = FrameDecoder(5, (1, 9, 9), horizon=3)
    with torch.no_grad():
        decoder.kernels.weight.zero_()
        decoder.kernels.bias.view(3, 5, 5).zero_()[:, 2, 0] = 100  # from two pixels to the left
        frame = torch.zeros(1, 1, 1, 9, 9)
        frame[..., 4, 1] = 1
        predictions = decoder(torch.randn(1, 1, 5), frame)[0, 0, :, 0]
    assert torch.nonzero(predictions > 0.5).tolist() == [[0, 4, 3], [1, 4, 5], [2, 4, 7]]
    torch.testing.assert_close(predictions.sum(dim=(1, 2)), torch.ones(3))
