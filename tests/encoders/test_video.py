"""Networks of the frames of videos: sizes, and how pixels are moved."""

import numpy as np
import pytest
import torch
from scipy.ndimage import correlate

from sklearn_ssl.encoders.video import FrameDecoder, FrameEncoder, _move

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
