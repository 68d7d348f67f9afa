"""Pixels, of images and of videos: their range, their units, the order of their axes."""

import warnings
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import torch

from sklearn_ssl.data.rows import RowBlocks, evenly_spaced
from sklearn_ssl.data.spec import ArraySpec

BYTES = 0.0, 1 / 255  # shift and scale of uint8
FAR = 10  # times as far from the middle as all others: not a brightness
FEWEST_LEVELS = 8  # different values that the other pixels must have; masks have fewer
FEWEST_JUDGED = 1000  # pixels
WIDER_THAN_BYTES = 10 * 255  # such as the range of 12 or 16 bits
ROUNDING = 1e-9  # pixels that differ by less count as equal
RARE = 0.001  # share of the pixels at either end that cannot widen the range as they like
# A pixel in 3,000 with 8 times the range of the others cost two to three points of accuracy on
# Fashion-MNIST, and none where it was clipped.
REACH = 0.5  # outside of the range, in its widths, where pixels are clipped
N_JUDGED = 100_000  # pixels, evenly spaced, that are searched for them
PIXELS_AT_ONCE = 2**18
MOST_NARROW = 10  # times as wide as that of a channel: then each channel has its own range


@dataclass(frozen=True, kw_only=True)
class PixelSpec(ArraySpec):
    """Base of images and videos, with pixels from 0 to 1 in a batch.

    Attributes
    ----------
    shift, scale : float, or tuple of float with one for each channel
        A batch is ``(X - shift) * scale``: the range of the training data becomes [0, 1]; uint8 is
        0 to 255. Channels of different scales have their own ranges. Pixels separated from all
        others by a wide gap, such as marks of missing pixels, do not count for the range, and it
        ends at most as far beyond the middle 99.8 % of the pixels as these are wide. Pixels are
        clipped where they are outside of the range by more than half of its width.
    whole_numbers : bool
        Whether the pixels were whole numbers.
    """

    shift: float | tuple
    scale: float | tuple
    whole_numbers: bool = False

    is_whole: ClassVar[bool] = True
    raw_title: ClassVar[str] = "raw pixels"

    @classmethod
    def describe(cls, rows, shape):
        """Measure the training rows, at most 10,000 of them; the range of bytes is known."""
        are_bytes = all(block.dtype == np.uint8 for block in rows.blocks)
        sample = rows[np.arange(1)] if are_bytes else evenly_spaced(rows)
        shift, scale = pixel_range(sample, n_channels=shape[-3])
        return cls(
            n_samples=len(rows),
            row_shape=sample.shape[1:],
            shape=shape,
            shift=shift,
            scale=scale,
            whole_numbers=is_whole(sample),
        )

    def check_training(self, estimator, rows):
        first, *further = rows.blocks
        # The range of X_unlabeled should be that of X.
        known = self.describe(RowBlocks(first), self.shape) if further else self
        for block in rows.blocks:
            known.check_values(estimator, block)

    def check_values(self, estimator, X):
        check_pixels(X, self, type(estimator).__name__)

    def to_tensor(self, rows, device="cpu"):
        # A copy: the rows may be the user's own, read-only, reversed or big-endian.
        dtype = np.uint8 if rows.dtype == np.uint8 else np.float32
        with np.errstate(over="ignore"):  # values that float32 cannot represent are clipped
            rows = torch.from_numpy(np.array(rows, dtype=dtype, order="C")).to(device)
        return self.batch_of(rows)

    def batch_of(self, rows):
        channels, height, width = self.shape[-3:]
        batch = rows.reshape(rows.shape[0], *self.shape[:-3], height, width, channels)
        batch = batch.movedim(-1, -3)  # [..., c, h, w], in the memory order channels_last
        shift, scale = self._scaling(torch.float32, rows.device)
        return batch.to(torch.float32).sub(shift).mul_(scale).clamp_(-REACH, 1 + REACH)

    def from_tensor(self, batch):
        shift, scale = self._scaling(torch.float64, batch.device)
        return self.as_rows((batch.double() / scale + shift).float())

    def _scaling(self, dtype, device):
        """Return shift and scale: numbers, or tensors of shape (channels, 1, 1)."""
        both = (self.shift, self.scale)
        if isinstance(self.shift, float):
            return both
        return [torch.tensor(x, dtype=dtype, device=device).reshape(-1, 1, 1) for x in both]


def pixel_range(sample, n_channels=1):
    """Return shift and scale that map the range of pixels, or that of each channel, to [0, 1].

    Colors have one range: their balance says something. Channels that are measured apart, such as
    the bands of a satellite, may differ so much that some would be black in the range of all.

    Parameters
    ----------
    sample : ndarray
        Images or videos, their channels last.
    n_channels : int, default=1
        1 also if all channels have the same scale.

    Returns
    -------
    shift, scale : float, or tuple of float of length `n_channels`
    """
    if sample.dtype == np.uint8:
        return BYTES
    low, high = _checked_range(sample)
    if n_channels == 1:
        return _scaling_of(low, high)
    ranges = [_checked_range(band) for band in sample.reshape(-1, n_channels).T]
    widths = [top - bottom for bottom, top in ranges if top > bottom]
    if high - low <= MOST_NARROW * min(widths, default=high - low):
        return _scaling_of(low, high)
    return tuple(zip(*(_scaling_of(*band) for band in ranges)))


def _scaling_of(low, high):
    return low, 1 / (high - low) if high > low else 1.0


def _checked_range(sample):
    """Return the smallest and the largest usual pixel, which float32 must be able to represent."""
    low, high = _usual_range(sample)
    if max(abs(low), abs(high)) > 1e30:
        raise ValueError(
            f"X has pixels from {low:g} to {high:g}, too large for float32 arithmetic. If they "
            "mark missing pixels, replace them, for example with the median of the others; "
            "otherwise, divide X."
        )
    if 0 < high - low < 1e-30:
        raise ValueError(
            f"X has pixels from {low:g} to {high:g}, too close together for float32 arithmetic. "
            "Multiply X by a constant."
        )
    return low, high


def _usual_range(sample):
    """Return the ends of the range: the extreme pixels, except those far from most others."""
    few = sample.reshape(-1)
    low, high = float(np.nanmin(few)), float(np.nanmax(few))
    if few.size > N_JUDGED:
        few = few[np.random.default_rng(0).integers(few.size, size=N_JUDGED)]
    few = np.sort(few[few == few].astype(np.float64))
    if len(few) < FEWEST_JUDGED:
        return low, high
    with np.errstate(over="ignore"):
        low = -_last_usual(-few[::-1], -low, sample, -1)
        high = _last_usual(few, high, sample, 1)
        return _without_tails(few[(few >= low) & (few <= high)], low, high)


def _without_tails(few, low, high):
    """Return the ends of a range, nearer if rare pixels are far outside of all others.

    Parameters
    ----------
    few : ndarray
        A sample of the pixels between `low` and `high`, sorted.
    """
    n_rare = int(RARE * len(few))
    first, last = few[n_rare], few[-1 - n_rare]
    if first == last or len(np.unique(few)) < FEWEST_LEVELS:
        return low, high
    width = float(last - first)
    return max(low, float(first) - width), min(high, float(last) + width)


def _last_usual(few, top, sample, sign):
    """Return the largest pixel that is not far from all others; `sign` tells at which end.

    Pixels are far if a gap separates them from the rest and they are rare or have few values.
    """
    levels = np.unique(few)
    middle = levels[len(levels) // 2]
    upper = np.append(levels[len(levels) // 2 :], top)
    spread, gap = upper[:-1] - middle, np.diff(upper)
    far = np.flatnonzero((spread > ROUNDING) & (gap / FAR > spread))
    edge = next((i for i in far if not _is_crowd(few[few > upper[i]], len(few))), None)
    if edge is None or np.sum(levels <= upper[edge]) < FEWEST_LEVELS:
        return top
    # The sample may have missed pixels inside the gap.
    bound = sign * (upper[edge] + gap[edge] / 2)
    is_usual = sample < bound if sign > 0 else sample > bound
    usual = max(sign * float(f(sample[is_usual])) for f in (np.min, np.max))
    beyond = min(sign * float(f(sample[~is_usual & (sample == sample)])) for f in (np.min, np.max))
    return usual if (beyond - usual) / FAR > usual - middle else top


def _is_crowd(pixels, n):
    return len(pixels) > n / 1000 and len(np.unique(pixels)) >= FEWEST_LEVELS


def check_pixels(X, spec, name):
    """Warn if pixels have another unit than in fit, or are far from the others.

    Parameters
    ----------
    X : ndarray
        Read in blocks.
    spec : Spec
    name : str
        Of the estimator.
    """
    shifts, widths = np.atleast_1d(spec.shift), 1 / np.atleast_1d(spec.scale)
    if X.dtype == np.uint8 and np.all(shifts == 0) and np.all(np.round(widths) == 255):
        return
    n_ranges = len(shifts)
    lows, highs = extremes(X, n_ranges)
    few = _few_rows(X).reshape(-1, n_ranges).astype(np.float64)
    for place, (low, width) in enumerate(zip(shifts, widths)):
        found = float(lows[place]), float(highs[place])
        alarm = _alarm(X, few[:, place], spec, low, low + width, *found, name)
        if alarm:
            where = "X" if n_ranges == 1 else f"Channel {place} of X"
            warnings.warn(f"{where} has {alarm}", UserWarning, stacklevel=2)
            return


def _alarm(X, few, spec, low, high, least, most, name):
    """Return what is wrong with pixels from `least` to `most`, if they were `low` to `high`."""
    width = high - low
    known = f"the range of nearly all pixels in fit is {low:g} to {high:g}"
    if max(low - least, most - high) > FAR * width or _often_beyond(few, low, high):
        mark = least if low - least > most - high else most
        return (
            f"pixels from {least:g} to {most:g}, but {known}; {name} clips pixels further outside "
            "it than half its width. If X has another unit, convert it to that range"
            f"{_factor(low, high, least, most)}. If {mark:g} marks missing pixels, replace it, for "
            "example with the median of the others."
        )
    unit = _other_unit(X, spec, low, width, least, most)
    if not unit:
        return ""
    return (
        f"{unit} from {least:g} to {most:g} as pixels, but {known}. Convert X to that range"
        f"{_factor(low, high, least, most)}, or fit again."
    )


def _few_rows(X):
    """Return some evenly spaced rows."""
    n_rows = _rows_at_once(X)
    return X[:: max(1, len(X) // n_rows)][:n_rows]


def _rows_at_once(X):
    return max(1, PIXELS_AT_ONCE // max(1, X[0].size))


def _often_beyond(few, low, high):
    """Return whether 1 % of some pixels are outside a range by half of its width."""
    reach = REACH * (high - low)
    return np.mean((few < low - reach) | (few > high + reach)) > 0.01


def _other_unit(X, spec, low, width, least, most):
    """Name pixels that are bytes, fractions of 1, or standardized, unlike those in fit."""
    if X.dtype == np.uint8:
        return "bytes" if width > WIDER_THAN_BYTES else ""
    is_wide = width > (2 if spec.whole_numbers else 100)
    is_narrow = most - least < width / 5 and (most <= 1 or least < low)
    if not (is_wide and is_narrow):
        return ""
    if X.dtype == bool:
        return "booleans"
    is_binary = X.dtype.kind == "f" and (least, most) == (0, 1)
    return "fractions" if is_binary or not is_whole(X) else ""


def is_whole(X):
    """Return whether pixels are whole numbers, judging by a sample."""
    if X.dtype.kind != "f":
        return True
    few = X[: _rows_at_once(X)]
    return not np.any(few % 1 > 0)


def _factor(low, high, least, most):
    """Name the factor between two usual ranges of pixels."""
    if low == 0 <= least:
        for top in (255, 65535):
            if high <= 1 < most <= top:
                return f", for example by X / {top}"
            if most <= 1 and round(high) == top:
                return f", for example by X * {top}"
    if (low, round(high)) == (0, 65535):  # and bytes
        return ", for example by X * 257.0"
    return ""


def extremes(X, n_channels=1):
    """Return the smallest and the largest numbers of each channel, in blocks, ignoring NaN."""
    n_rows = _rows_at_once(X)
    lows, highs = zip(
        *(
            (np.fmin.reduce(block, axis=0), np.fmax.reduce(block, axis=0))
            for block in (
                X[start : start + n_rows].reshape(-1, n_channels)
                for start in range(0, len(X), n_rows)
            )
        )
    )
    return np.fmin.reduce(lows), np.fmax.reduce(highs)
