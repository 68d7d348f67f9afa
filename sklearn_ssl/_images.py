"""Images and videos: the shape of their rows, and the range of their pixels."""

import warnings
from numbers import Integral

import numpy as np

MOST_COLORS = 4  # channels of usual images: gray, with alpha, RGB, RGBA
MOST_BANDS = 1000  # more would be rows
FAR = 10  # times as far from the middle as all others: a pixel that is no brightness
FEWEST_LEVELS = 8  # different values that pixels must have for that; masks have less
FEWEST_JUDGED = 1000  # pixels
WIDER_THAN_BYTES = 10 * 255  # such as the range of 12 or 16 bits
ROUNDING = 1e-9  # pixels that differ by less are all the same
N_JUDGED = 100_000  # pixels, evenly spaced, among which those are looked for
PIXELS_AT_ONCE = 2**18

# Shapes -------------------------------------------------------------------------------------------


def read_image_shape(row_shape, image_shape, X_shape, *, is_named=False):
    """Return (channels, height, width) of images that come as `row_shape`.

    Parameters
    ----------
    row_shape : tuple of int
    image_shape : tuple of int or None
        As the user gives it.
    X_shape : str
        That of X, for messages.
    is_named : bool
        Whether the user says ``modality="image"``: with `image_shape`, that settles what is
        doubtful.
    """
    if image_shape is not None:
        _check_image_shape(row_shape, image_shape, X_shape)
    elif len(row_shape) == 1:
        raise ValueError(
            f"X has shape {X_shape}: pass image_shape=(height, width) or (height, width, "
            "channels) to have its rows read as images."
        )
    height, width, channels = (*(image_shape or row_shape), 1)[:3]
    got = f"X has shape {X_shape}"
    remedy = "Use np.moveaxis(X, 1, -1)."
    if len(row_shape) == 1:
        got = f"image_shape={tuple(image_shape)}"
        remedy = (
            f"Give it as (height, width, channels); rows that hold one channel behind the other "
            f"become images by np.moveaxis(X.reshape(-1, {height}, {width}, {channels}), 1, -1)."
        )
    _check_channels_last(
        (height, width, channels), got, remedy, is_settled=is_named and image_shape is not None
    )
    return channels, height, width


def _check_image_shape(row_shape, image_shape, X_shape):
    if len(image_shape) not in (2, 3) or not all(
        isinstance(length, Integral) and length > 0 for length in image_shape
    ):
        raise ValueError(
            "image_shape must be (height, width) or (height, width, channels), positive integers; "
            f"got {image_shape}."
        )
    image_shape = tuple(image_shape)
    if np.prod(image_shape) != np.prod(row_shape):
        raise ValueError(
            f"image_shape={image_shape} has {np.prod(image_shape)} values, but the rows of "
            f"X, of shape {X_shape}, have {np.prod(row_shape)}."
        )
    if len(row_shape) > 1 and (*row_shape, 1)[:3] != (*image_shape, 1)[:3]:
        raise ValueError(
            f"X has shape {X_shape}, and image_shape={image_shape} would mix its pixels; it is for "
            f"flat rows. {axes_to_move(row_shape, image_shape) or 'Leave it out.'}"
        )


def axes_to_move(got, expected):
    """Say how rows of a shape become those of another, if they differ in the order of axes."""
    if len(got) != len(expected) or sorted(got) != sorted(expected) or len(got) < 2:
        return ""
    if len(got) > 2 and (*got[1:], got[0]) == tuple(expected):
        return "Use np.moveaxis(X, 1, -1)."
    if len(got) > 2 and (got[-1], *got[:-1]) == tuple(expected):
        return "Use np.moveaxis(X, -1, 1)."
    changed = [axis for axis, pair in enumerate(zip(got, expected), 1) if pair[0] != pair[1]]
    if len(changed) == 2:
        return f"Use np.swapaxes(X, {changed[0]}, {changed[1]})."
    return ""


def _check_channels_last(shape, got, remedy, *, is_settled=False):
    """Refuse images with channels first, and warn where that is doubtful."""
    height, width, channels = shape
    if height == width or (channels <= MOST_COLORS and not 1 < width == channels):
        return
    looks = f"{got}, which looks like channels first; images are expected as"
    if height <= MOST_COLORS < channels:
        raise ValueError(f"{looks} (n, height, width, channels). {remedy}")
    if is_settled:
        return
    if width == channels > MOST_COLORS:
        raise ValueError(
            f"{looks} (n, height, width, channels). {remedy} If these are {channels} channels of "
            f'{height} x {width} pixels, say so with modality="image" and image_shape={shape}.'
        )
    if channels > MOST_BANDS or width <= MOST_COLORS < min(height, channels):
        doubt, remedy = "rows last", "np.moveaxis(X, -1, 0)"
    elif channels <= MOST_COLORS or (_is_oblong(height, width) and not _is_oblong(width, channels)):
        doubt, remedy = "channels first", "np.moveaxis(X, 1, -1)"
    else:
        return
    warnings.warn(
        f"{got}, which is read as (n, height, width, channels), and may have {doubt}. If so, use "
        f'{remedy}; if not, silence this with modality="image" and image_shape={shape}.',
        UserWarning,
        stacklevel=2,
    )


def _is_oblong(height, width):
    return max(height, width) > 2 * min(height, width)


def read_video_shape(row_shape, X_shape):
    """Return (time, channels, height, width) of videos that come as `row_shape`."""
    time, height, width, channels = (*row_shape, 1)[:4]
    expected = (
        "videos are expected as (n, time, height, width) or (n, time, height, width, channels)"
    )
    if len(row_shape) == 3 and width <= MOST_COLORS < min(time, height):
        raise ValueError(
            f"X has shape {X_shape}, which looks like images in color, (n, height, width, "
            f"channels); {expected}. Methods for images take it as it is."
        )
    if channels > MOST_COLORS and height != width:
        axis = 1 if time <= MOST_COLORS < height else 2
        looks = f"X has shape {X_shape}, which looks like channels first; {expected}"
        if height <= MOST_COLORS or (axis == 1 and width == channels):
            raise ValueError(f"{looks}. Use np.moveaxis(X, {axis}, -1).")
        if width == channels or (_is_oblong(height, width) and not _is_oblong(width, channels)):
            warnings.warn(
                f"{looks}. If so, use np.moveaxis(X, {axis}, -1); if not, silence this with "
                f'warnings.filterwarnings("ignore", "X has shape .* which looks like").',
                UserWarning,
                stacklevel=2,
            )
    return time, channels, height, width


# Pixels -------------------------------------------------------------------------------------------


def pixel_range(sample):
    """Return shift and scale that map the range of pixels to [0, 1].

    Parameters
    ----------
    sample : ndarray
        Images or videos. The range of uint8 is 0 to 255. That of other dtypes is the range of all
        pixels but those that a wide gap separates from the rest, such as marks of missing pixels.
    """
    if sample.dtype == np.uint8:
        return 0.0, 1 / 255
    low, high = _usual_range(sample)
    if max(abs(low), abs(high)) > 1e30:
        raise ValueError(
            f"X has pixels from {low:g} to {high:g}, too large for arithmetic in float32. If they "
            "mark what is missing, replace them, for example by the median of the others; "
            "otherwise, divide X."
        )
    if 0 < high - low < 1e-30:
        raise ValueError(
            f"X has pixels from {low:g} to {high:g}, too close together for arithmetic in float32. "
            "Multiply X."
        )
    return low, 1 / (high - low) if high > low else 1.0


def _usual_range(sample):
    """Return the least and the largest pixel, but for those far from all others."""
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
    """Return the largest pixel that is not far from all others; `sign` tells which end it is of.

    Far is what a gap separates from the rest, if it is rare or has few values.
    """
    levels = np.unique(few)
    middle = levels[len(levels) // 2]
    upper = np.append(levels[len(levels) // 2 :], top)
    spread, gap = upper[:-1] - middle, np.diff(upper)
    far = np.flatnonzero((spread > ROUNDING) & (gap / FAR > spread))
    edge = next((i for i in far if not _is_crowd(few[few > upper[i]], len(few))), None)
    if edge is None or np.sum(levels <= upper[edge]) < FEWEST_LEVELS:
        return top
    # The few may have missed what lies in the gap.
    bound = sign * (upper[edge] + gap[edge] / 2)
    is_usual = sample < bound if sign > 0 else sample > bound
    usual = max(sign * float(f(sample[is_usual])) for f in (np.min, np.max))
    beyond = min(sign * float(f(sample[~is_usual & (sample == sample)])) for f in (np.min, np.max))
    return usual if (beyond - usual) / FAR > usual - middle else top


def _is_crowd(pixels, n):
    return len(pixels) > n / 1000 and len(np.unique(pixels)) >= FEWEST_LEVELS


def check_pixels(X, spec, name):
    """Warn if pixels are in another unit than in fit, or far from those.

    Parameters
    ----------
    X : ndarray
        Read in blocks.
    spec : InputSpec
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
            f"X has pixels from {least:g} to {most:g}, but {known}; {name} clips what is further "
            f"from it than ten times its width. If X is in another unit, bring it to that range"
            f"{_factor(low, high, least, most)}. If {mark:g} marks missing pixels, replace it, for "
            "example by the median of the others.",
            UserWarning,
            stacklevel=2,
        )
        return
    unit = _other_unit(X, spec, low, width, least, most)
    if unit:
        warnings.warn(
            f"X has {unit} from {least:g} to {most:g} as pixels, but {known}. Bring X to that "
            f"range{_factor(low, high, least, most)}, or fit again.",
            UserWarning,
            stacklevel=2,
        )


def _often_beyond(X, low, high):
    """Say whether 1 % of some pixels are beyond a range by half of its width."""
    n_rows = max(1, PIXELS_AT_ONCE // max(1, X[0].size))
    few = X[:: max(1, len(X) // n_rows)][:n_rows].astype(np.float64)
    reach = (high - low) / 2
    return np.mean((few < low - reach) | (few > high + reach)) > 0.01


def _other_unit(X, spec, low, width, least, most):
    """Name the pixels that are bytes, fractions of 1, or standardized, unlike those of fit."""
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
    """Say whether pixels are whole numbers, as far as some of them tell."""
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
    """Return the least and the largest number of an array, in blocks; NaN are passed over."""
    n_rows = max(1, PIXELS_AT_ONCE // max(1, X[0].size))
    lows, highs = zip(
        *(
            (np.fmin.reduce(block, axis=None), np.fmax.reduce(block, axis=None))
            for block in (X[start : start + n_rows] for start in range(0, len(X), n_rows))
        )
    )
    return float(np.fmin.reduce(lows)), float(np.fmax.reduce(highs))
