"""Series: lists of them that differ in length, and which axis is their time."""

import warnings

import numpy as np

N_LOOKED_AT = 300  # rows, evenly spaced, that tell how smooth series are
MANY_STEPS = 12  # fewer would be as many channels as are often measured at once, and correlated
THAT_TAKE_GAPS = "TS2VecTransformer and NextFrameEmbedder"


def pad_lists(blocks, modality, name, time=None):
    """Make an array of each list of series or videos, with NaN behind the end of shorter ones.

    Parameters
    ----------
    blocks : list of array or list
        Those that are no lists stay as they are.
    modality : {"series", "video"}
    name : str
        Of the estimator, for messages.
    time : int or None
        Length to pad to. None is that of the longest row in any of the blocks.

    Returns
    -------
    blocks : list of array
    """
    axis = 0 if modality == "video" else -1
    shapes = [_shapes(block, axis, name) for block in blocks]
    longest = max(shape[axis] for block in shapes for shape in block)
    if time is not None and longest > time:
        raise ValueError(
            f"X has {modality} of up to {longest} time steps, but {name} is expecting {time} at "
            "most, the longest that fit has seen. Leave out their first or last steps; or fit "
            "again on one array, padded with NaN to the longest that is to come. Do so before X is "
            "split, as cross-validation splits it."
        )
    return [
        _padded(block, shapes_of_block, axis, time or longest)
        if isinstance(block, list | tuple)
        else block
        for block, shapes_of_block in zip(blocks, shapes)
    ]


def _shapes(block, axis, name):
    """Return the shapes of the rows of a list, which may differ along the time; of an array one."""
    if not isinstance(block, list | tuple):
        return [np.shape(block)[1:]]
    shapes = [np.shape(row) for row in block]
    for place, shape in enumerate(shapes):
        if 0 in shape:
            raise ValueError(f"Row {place} of X is empty: it has shape {shape}. Leave it out.")
    first = shapes[0]
    if len({len(shape) for shape in shapes}) > 1:
        other = next(shape for shape in shapes if len(shape) != len(first))
        raise ValueError(
            f"The rows of X differ in their number of dimensions: they have shapes {first} and "
            f"{other}, for example. {name} takes rows of one kind."
        )
    fixed = {tuple(np.delete(shape, axis)) for shape in shapes}
    if len(fixed) > 1:
        other = next(
            s for s in shapes if tuple(np.delete(s, axis)) != tuple(np.delete(first, axis))
        )
        swapped = len(first) == 2 and len({shape[1] for shape in shapes}) == 1
        advice = (
            "The time seems to come first: pass [np.swapaxes(row, 0, 1) for row in X]."
            if swapped
            else "Only the number of time steps may differ."
        )
        expected = "(channels, time)" if axis else "(time, height, width[, channels])"
        raise ValueError(
            f"The rows of X have shapes {first} and {other}, for example; expected are rows of "
            f"shape {expected}. {advice}"
        )
    return shapes


def _padded(rows, shapes, axis, time):
    if {shape[axis] for shape in shapes} == {time}:
        return np.stack([np.asarray(row) for row in rows])
    shape = list(shapes[0])
    shape[axis] = time
    dtype = np.result_type(np.float32, *{np.asarray(row).dtype for row in rows})
    padded = np.full((len(rows), *shape), np.nan, dtype)
    for row, target in zip(rows, padded):
        np.moveaxis(target, axis, 0)[: np.shape(row)[axis]] = np.moveaxis(np.asarray(row), axis, 0)
    return padded


def check_axes(rows, shape, name):
    """Warn where series seem to have their time before their channels.

    That is doubtful where there are more channels than steps, and is settled where the numbers
    change smoothly along the last axis.

    Parameters
    ----------
    rows : RowBlocks
    shape : tuple of int
        ``(channels, time)``.
    name : str
        Of the estimator.
    """
    channels, time = shape
    if time == 1 and channels > 1:
        raise ValueError(
            f"X has shape (n, {channels}, 1): series of a single time step. Series are expected as "
            "(n, channels, time): use np.swapaxes(X, 1, 2)."
        )
    if channels <= time:
        return
    places = np.linspace(0, len(rows) - 1, min(len(rows), N_LOOKED_AT)).astype(np.intp)
    sample = rows[np.unique(places)].astype(np.float64)
    if time > MANY_STEPS and _smoothness(sample, 2) > max(0.5, _smoothness(sample, 1)):
        return
    warnings.warn(
        f"X has more channels than time steps: {name} reads its shape (n, {channels}, {time}) as "
        "(n, channels, time). If the time comes first, use np.swapaxes(X, 1, 2). If it is as "
        'meant, silence this with warnings.filterwarnings("ignore", "X has more channels").',
        UserWarning,
        stacklevel=2,
    )


def _smoothness(sample, axis):
    """Return the correlation of neighbours along an axis, over all rows."""
    with warnings.catch_warnings(), np.errstate(all="ignore"):
        warnings.simplefilter("ignore", RuntimeWarning)  # of what is missing in all rows
        z = (sample - np.nanmean(sample, axis=0)) / np.nanstd(sample, axis=0)
        z[~np.isfinite(z)] = np.nan
        n = z.shape[axis]
        here, there = np.take(z, range(n - 1), axis), np.take(z, range(1, n), axis)
        return np.nan_to_num(np.nanmean(here * there))
