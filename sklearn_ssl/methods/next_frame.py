"""Prediction of the next frames of a series or a video.

The autoregressive form of predictive coding (van den Oord et al., 2018,
https://arxiv.org/abs/1807.03748), with the frames themselves as targets.

::

    for each batch x_1 ... x_T:
        s_t = encoder(x_1 ... x_t)             # causal: nothing comes from the future
        p_t+k = x_t + decoder(s_t)_k           # changes, k = 1 ... horizon
        loss = mean over t, k of (p_t+k - x_t+k)^2
    embedding = last s_t, mean and maximum of all s_t; for videos, also the mean look of the frames
"""

from numbers import Integral

import torch
from sklearn.utils import check_scalar
from torch import nn

from sklearn_ssl import defaults
from sklearn_ssl._sklearn_compat import Interval
from sklearn_ssl.base.arrays import BaseSeriesTransformer
from sklearn_ssl.base.estimator import of_one_fit
from sklearn_ssl.base.parameters import param
from sklearn_ssl.encoders.factory import make_temporal_encoder
from sklearn_ssl.encoders.temporal import (
    FrameStates,
    as_batch,
    as_frames,
    forward_fill,
    last_observed,
    observed_frames,
)
from sklearn_ssl.encoders.video import ClipStates, FrameDecoder, FrameEncoder
from sklearn_ssl.pretext import PretextTask
from sklearn_ssl.reconstruction import masked_mse


class NextFrameTask(PretextTask):
    """Predict the next frames from the state of each frame."""

    def __init__(self, encoder, decoder, horizon):
        super().__init__()
        self.encoder = encoder
        self.decoder = decoder
        self.horizon = horizon

    def forward(self, batch):
        return self.shared_mean(self._loss, as_frames(batch), count=self._count)

    def _loss(self, frames):
        prediction = self.predict(frames)[:, :-1]  # [n, time - 1, horizon, ...]
        target = next_frames(frames, self.horizon)  # the same shape, NaN where nothing is known
        return masked_mse(prediction, target, ~target.isnan())

    def _count(self, frames):
        """Return how many values the loss is a mean of."""
        return (~next_frames(frames, self.horizon).isnan()).sum()

    def predict(self, frames):
        """Return the frames expected after each frame: ``(n, time, horizon, ...)``."""
        return self.decoder(*self._read(frames))

    def _read(self, frames):
        """Return states ``(n, time, width)``, and the frames without NaN."""
        filled = forward_fill(frames)
        return self.encoder.states(filled).transpose(1, 2), filled

    def roll_out(self, batch, n_steps):
        """Return `n_steps` frames after the last observed one of each row: ``(n, n_steps, ...)``.

        Predictions are treated as observed frames, `horizon` at a time. The oldest frames are
        dropped to make room for those beyond the end.
        """
        frames = as_frames(batch)
        time = frames.shape[1]
        last = last_observed(observed_frames(frames))
        row = torch.arange(len(frames), device=frames.device)[:, None]
        step = torch.arange(1, self.horizon + 1, device=frames.device)
        room = torch.full_like(frames[:, :1], torch.nan).expand(-1, self.horizon, *frames.shape[2:])
        predictions = []
        for _ in range(-(-n_steps // self.horizon)):
            of_last = (x[row, last[:, None]] for x in self._read(frames))  # [n, 1, ...]
            predictions.append(self.decoder(*of_last)[:, 0])  # [n, horizon, ...]
            frames = torch.cat([frames, room], dim=1)
            frames[row, last[:, None] + step] = predictions[-1]
            last = last + self.horizon
            overflow = (last - (time - 1)).clamp(min=0)
            kept = torch.arange(time, device=frames.device) + overflow[:, None]
            frames, last = frames[row, kept], last - overflow
        return torch.cat(predictions, dim=1)[:, :n_steps]


def next_frames(frames, horizon):
    """Return the frames that follow each frame except the last, NaN beyond the end.

    ``(n, time, ...)`` becomes ``(n, time - 1, horizon, ...)``.
    """
    beyond = torch.full_like(frames[:, :1], torch.nan).expand(-1, horizon - 1, *frames.shape[2:])
    later = torch.cat([frames[:, 1:], beyond], dim=1)
    return later.unfold(1, horizon, 1).movedim(-1, 2)


class SeriesDecoder(nn.Module):
    """Predict frames of a series as changes of the last one, from its state."""

    def __init__(self, width, n_channels, horizon):
        super().__init__()
        self.changes = nn.Sequential(
            nn.Linear(width, width), nn.GELU(), nn.Linear(width, horizon * n_channels)
        )
        self.horizon = horizon

    def forward(self, states, frames):
        changes = self.changes(states).unflatten(2, (self.horizon, -1))
        return frames[:, :, None] + changes  # [n, time, horizon, channels]


class Rollout:
    """The predictions of a task, in place of its embeddings."""

    def __init__(self, task, n_steps):
        self.eval, self.encoder = task.eval, task.encoder
        self.encode = lambda batch: task.roll_out(batch, n_steps).flatten(1)


class NextFrameEmbedder(BaseSeriesTransformer):
    """Representations of series and videos from predicting their next frames.

    A causal network reads a series, or a video, and returns a state for every frame, from which the
    next `horizon` frames are predicted: as changes, so the initial prediction repeats the last
    frame [1]_. ``transform`` returns the state of the last frame together with the mean and the
    maximum of all states, and :meth:`predict_next` continues a series.

    It predicts in order to learn representations, and is not a forecaster to rely on: on eight sets
    of series it had lower errors than :class:`~sklearn.linear_model.Ridge` on six, but 1.5 times
    its error, or five times that of the last value, where the level of the series changes. Compare
    it with both on your own series, see :doc:`/forecasts`.

    The states of a video tell how things move, but not what they are: predictions move the pixels
    of the last frame, so the states need not describe them. ``transform`` therefore adds how the
    frames look: the mean over the frames of the first two layers of their network. The last 432
    columns are the looks, and the ones before them, 192 by default, the states. Training pays off
    for questions about motion: with ten labels per class, the speed of a digit is told in 75 %
    instead of 27 % of the clips, which digit it is in 72 % instead of 69 %.

    Series have the shape ``(n, channels, time)``, or ``(n, time)`` for one channel; videos ``(n,
    time, height, width)`` or ``(n, time, height, width, channels)``. Missing numbers are NaN:
    shorter series end in NaN, and may have gaps. They are not used as targets.

    Parameters
    ----------
    horizon : int, default=4
        Number of frames to predict from each state, at most ``time - 1``.
    encoder : None or callable, default=None
        None means :class:`~sklearn_ssl.encoders.TemporalEncoder`, a stack of dilated causal
        convolutions that sees the whole series. A callable receives ``(channels, time)`` and
        returns a module from ``(n, channels, time)`` to states ``(n, width, time)`` that do not
        depend on later frames; ``fit`` checks this. A small convolutional network first turns
        frames of videos into vectors, the channels.

    References
    ----------
    .. [1] A. van den Oord, Y. Li, O. Vinyals, "Representation Learning with Contrastive Predictive
       Coding", 2018, https://arxiv.org/abs/1807.03748

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn_ssl import NextFrameEmbedder
    >>> X = np.sin(np.arange(20) / 3 + np.arange(100)[:, None])
    >>> ssl = NextFrameEmbedder(max_epochs=1, random_state=0)
    >>> ssl.fit_transform(X).shape
    (100, 192)
    >>> ssl.predict_next(X, 5).shape
    (100, 5)
    """

    horizon: int = param(4, Interval(Integral, 1, defaults.MOST, closed="both"))

    _modalities = ("series", "video")
    _auto_modality = {2: "series", 3: "series", 4: "video", 5: "video"}
    _missing_allowed = ("series", "video")

    def _make_task(self, spec):
        time, *frame_shape = as_frames(torch.empty(1, *spec.shape)).shape[1:]
        horizon = min(self.horizon, time - 1)
        are_pictures = len(frame_shape) > 1
        frame_encoder = FrameEncoder(frame_shape) if are_pictures else None
        channels = frame_encoder.output_dim if are_pictures else frame_shape[0]
        temporal, width = make_temporal_encoder(self.encoder, (channels, time), causal=True)
        decoder = (
            FrameDecoder(width, frame_shape, horizon)
            if are_pictures
            else SeriesDecoder(width, channels, horizon)
        )
        encoder = (
            ClipStates(temporal, width, frame_encoder)
            if are_pictures
            else FrameStates(temporal, width)
        )
        return NextFrameTask(encoder, decoder, horizon)

    @of_one_fit
    def predict_next(self, X, steps=1):
        """Predict the frames that follow the last observed frame of each row.

        It predicts `horizon` frames at a time, and treats them as observed to predict the next
        ones. Where the level of a series changes, expect errors larger than those of Ridge or of
        repeating the last value; :doc:`/forecasts` has the figures.

        Parameters
        ----------
        X : array-like
            Rows as in ``fit``. Arrays and lists may have fewer frames, without NaN at the end;
            DataFrames need all columns, with NaN in those to predict.
        steps : int, default=1
            Number of frames to predict.

        Returns
        -------
        frames : ndarray
            ``(n, channels, steps)`` or, for X with two dimensions, ``(n, steps)``; for videos
            ``(n, steps, height, width)`` or ``(n, steps, height, width, channels)``. In the units
            of X.

        Raises
        ------
        ValueError
            If rows have more frames than in ``fit``, or another shape.
        """
        steps = check_scalar(steps, "steps", Integral, min_val=1, max_val=defaults.MOST)
        outputs = self._embed(Rollout(self.task_, steps), self._shorter_as_list(X))
        frames = torch.from_numpy(outputs)
        frame_shape = as_frames(torch.empty(1, *self.input_spec_.shape)).shape[2:]
        frames = frames.view(len(frames), steps, *frame_shape)
        return self.input_spec_.from_tensor(as_batch(frames))

    def _shorter_as_list(self, X):
        """Return an array of rows with too few frames as a list, which is padded at the end."""
        expected, got = list(self.input_spec_.row_shape), list(getattr(X, "shape", ()))[1:]
        if len(got) != len(expected) or hasattr(X, "columns"):
            return X
        time = 0 if self.input_spec_.modality == "video" else -1
        is_shorter = got.pop(time) < expected.pop(time) and got == expected
        return list(X) if is_shorter and len(X) else X
