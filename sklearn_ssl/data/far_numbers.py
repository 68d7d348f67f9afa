"""Numbers in tables and series that are far from all others, or from those in fit."""

import warnings

import numpy as np

from sklearn_ssl.data.columns import among

MOST_DEVIATIONS = 1e6  # from the mean of a column; numbers further away are clipped
MANY_DEVIATIONS = 1e3  # from here on, there is a warning
ROWS_AT_ONCE = 10_000
N_JUDGED = 2000  # values of a column or channel, evenly spaced, and its extremes
FEWEST_LEVELS = 8  # different values that the others must have
FAR, FAR_FOR_A_MARK = 100, 10  # times as far from the middle as all others
MARKS = {10**n - 1 for n in range(2, 10)} | {2**n - k for n in (15, 16, 31) for k in (0, 1)}


def check_lone_values(estimator, sample, spec):
    """Warn of values so far from the others that these are nearly equal in comparison.

    Parameters
    ----------
    estimator : estimator
    sample : ndarray of shape (n, *spec.shape)
    spec : ScaledSpec
    """
    by_row = np.moveaxis(sample, 1, -1).reshape(-1, spec.shape[0])
    numbers = np.flatnonzero(spec.is_number())
    found = {j: lone for j in numbers if (lone := _lone_value(by_row[:, j])) is not None}
    if not found:
        return
    listed = [
        f"{spec.name_of(estimator, j)} ({value:g}; the others are {low:g} to {high:g})"
        for j, (value, low, high) in found.items()
    ]
    warnings.warn(
        f"X has a value far from all others in {among(listed)}; compared with it, they are nearly "
        f"equal to {type(estimator).__name__}. {_remedy(estimator, spec)}",
        UserWarning,
        stacklevel=2,
    )


def _lone_value(values):
    """Return a value that is far from all others, and their range; None if there is none."""
    few = values[:: max(1, len(values) // N_JUDGED)]
    few = np.append(few, [np.fmin.reduce(values), np.fmax.reduce(values)]).astype(np.float64)
    levels = np.unique(few[~np.isnan(few)])
    if len(levels) <= FEWEST_LEVELS:
        return None
    for sign in (1, -1):
        upper = (sign * levels)[::sign]  # ascending
        upper = upper[len(upper) // 2 :]
        with np.errstate(over="ignore"):
            spread, gap = upper[:-1] - upper[0], np.diff(upper)
        is_mark = [abs(value) in MARKS for value in upper[1:]]
        far = np.flatnonzero((spread > 0) & (gap > np.where(is_mark, FAR_FOR_A_MARK, FAR) * spread))
        if len(far) and len(upper) - far[0] <= FEWEST_LEVELS:
            usual = levels[sign * levels <= upper[far[0]]]
            if len(usual) >= FEWEST_LEVELS:
                return sign * upper[far[0] + 1], usual[0], usual[-1]
    return None


def check_deviations(estimator, X, spec):
    """Warn of numbers that are far from those in fit.

    Parameters
    ----------
    estimator : estimator
    X : ndarray
        Read in blocks.
    spec : ScaledSpec
    """
    least, most = np.inf, -np.inf
    for start in range(0, len(X), ROWS_AT_ONCE):
        block = X[start : start + ROWS_AT_ONCE].reshape(-1, *spec.shape)
        least = np.fmin(least, np.fmin.reduce(block, axis=spec.axes, keepdims=True)[0])
        most = np.fmax(most, np.fmax.reduce(block, axis=spec.axes, keepdims=True)[0])
    with np.errstate(over="ignore"):
        below, above = (spec.shift - least) * spec.scale, (most - spec.shift) * spec.scale
    deviations = np.fmax(below, above)
    far = np.flatnonzero(deviations > MANY_DEVIATIONS)
    if len(far) == 0:
        return
    place, name = far[np.argmax(deviations.flat[far])], type(estimator).__name__
    value = (least if below.flat[place] > above.flat[place] else most).flat[place]
    clipped = f"; {name} clips it at a million" if deviations.max() > MOST_DEVIATIONS else ""
    warnings.warn(
        f"X has a value of {value:g} in {spec.name_of(estimator, place)}, more than a thousand "
        f"standard deviations from the mean in fit, {spec.shift.flat[place]:g}{clipped}. If X has "
        f"another unit than in fit, convert it. {_remedy(estimator, spec)}",
        UserWarning,
        stacklevel=2,
    )


def _remedy(estimator, spec):
    by = "NaN" if spec.takes_missing(estimator) else "a usual value"
    return (
        f"If it marks a missing number, replace it with {by}; if it is correct, transform the "
        f"{spec.unit}, for example with a logarithm."
    )
