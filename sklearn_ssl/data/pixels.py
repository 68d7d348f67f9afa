"""Pixels, of images and of videos: their range, their units, the order of their axes."""

import warnings
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import torch

from sklearn_ssl.data.rows import RowBlocks, evenly_spaced
from sklearn_ssl.data.spec import ArraySpec

MOST_COLORS = 4  # channels of usual images: gray, with alpha, RGB, RGBA
BYTES = 0.0, 1 / 255  # shift and scale of uint8
FAR = 10  # times as far from the middle as all others: not a brightness
FEWEST_LEVELS = 8  # different values that the other pixels must have; masks have fewer
FEWEST_JUDGED = 1000  # pixels
WIDER_THAN_BYTES = 10 * 255  # such as the range of 12 or 16 bits
ROUNDING = 1e-9  # pixels that differ by less count as equal
N_JUDGED = 100_000  # pixels, evenly spaced, that are searched for them
PIXELS_AT_ONCE = 2**18


@dataclass(frozen=True, kw_only=True)
class PixelSpec(ArraySpec):
    """Base of images and videos, with pixels from 0 to 1 in a batch.

    Attributes
    ----------
    shift, scale : float
        A batch is ``(X - shift) * scale``: the range of the training data becomes [0, 1]; uint8 is
        0 to 255. Pixels separated from all others by a wide gap, such as marks of missing pixels,
        do not count for the range, and pixels further outside it than ten times its width are
        clipped.
    whole_numbers : bool
        Whether the pixels were whole numbers.
    """

    shift: float
    scale: float
    whole_numbers: bool = False

    is_whole: ClassVar[bool] = True
    raw_title: ClassVar[str] = "raw pixels"

    @classmethod
    def describe(cls, rows, shape):
        """Measure the training rows, at most 10,000 of them; the range of bytes is known."""
        are_bytes = all(block.dtype == np.uint8 for block in rows.blocks)
        sample = rows[np.arange(1)] if are_bytes else evenly_spaced(rows)
        shift, scale = pixel_range(sample)
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
        channels, height, width = self.shape[-3:]
        # A copy: the rows may be the user's own, read-only, reversed or big-endian.
        dtype = np.uint8 if rows.dtype == np.uint8 else np.float32
        with np.errstate(over="ignore"):  # values that float32 cannot represent are clipped
            batch = torch.from_numpy(np.array(rows, dtype=dtype, order="C")).to(device)
        batch = batch.reshape(len(rows), *self.shape[:-3], height, width, channels)
        batch = batch.movedim(-1, -3)  # [..., c, h, w], in the memory order channels_last
        return batch.to(torch.float32).sub_(self.shift).mul_(self.scale).clamp_(-FAR, 1 + FAR)

    def from_tensor(self, batch):
        return self.as_rows((batch.double() / self.scale + self.shift).float())


def pixel_range(sample):
    """Return shift and scale that map the range of pixels to [0, 1].

    Parameters
    ----------
    sample : ndarray
        Images or videos. The range of uint8 is 0 to 255. For other dtypes it is the range of all
        pixels except those separated from the rest by a wide gap, such as marks of missing pixels.
    """
    if sample.dtype == np.uint8:
        return BYTES
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
    return low, 1 / (high - low) if high > low else 1.0


def _usual_range(sample):
    """Return the smallest and the largest pixel, except those far from all others."""
    few = sample.reshape(-1)
    low, high = float(np.nanmin(few)), float(np.nanmax(few))
    if few.size > N_JUDGED:
        few = few[np.random.default_rng(0).integers(few.size, size=N_JUDGED)]
    few = np.sort(few[few == few].astype(np.float64))
    if len(few) < FEWEST_JUDGED:
        return low, high
    with np.errstate(over="ignore"):
        return -_last_usual(-few[::-1], -low, sample, -1), _last_usual(few, high, sample, 1)


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
    low, high = spec.shift, spec.shift + 1 / spec.scale
    if X.dtype == np.uint8 and (low, round(high)) == (0, 255):
        return
    least, most = extremes(X)
    width = high - low
    known = f"the range of nearly all pixels in fit is {low:g} to {high:g}"
    if max(low - least, most - high) > FAR * width or _often_beyond(X, low, high):
        mark = least if low - least > most - high else most
        warnings.warn(
            f"X has pixels from {least:g} to {most:g}, but {known}; {name} clips pixels further "
            "outside it than ten times its width. If X has another unit, convert it to that "
            f"range{_factor(low, high, least, most)}. If {mark:g} marks missing pixels, replace "
            "it, for example with the median of the others.",
            UserWarning,
            stacklevel=2,
        )
        return
    unit = _other_unit(X, spec, low, width, least, most)
    if unit:
        warnings.warn(
            f"X has {unit} from {least:g} to {most:g} as pixels, but {known}. Convert X to that "
            f"range{_factor(low, high, least, most)}, or fit again.",
            UserWarning,
            stacklevel=2,
        )


def _often_beyond(X, low, high):
    """Return whether 1 % of a sample of pixels are outside a range by half of its width."""
    n_rows = max(1, PIXELS_AT_ONCE // max(1, X[0].size))
    few = X[:: max(1, len(X) // n_rows)][:n_rows].astype(np.float64)
    reach = (high - low) / 2
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
    few = X[: max(1, PIXELS_AT_ONCE // max(1, X[0].size))]
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


def extremes(X):
    """Return the smallest and the largest number of an array, in blocks, ignoring NaN."""
    n_rows = max(1, PIXELS_AT_ONCE // max(1, X[0].size))
    lows, highs = zip(
        *(
            (np.fmin.reduce(block, axis=None), np.fmax.reduce(block, axis=None))
            for block in (X[start : start + n_rows] for start in range(0, len(X), n_rows))
        )
    )
    return float(np.fmin.reduce(lows)), float(np.fmax.reduce(highs))
