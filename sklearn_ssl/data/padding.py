"""Lists of series or videos with different lengths."""

import numpy as np


def pad_lists(blocks, plural, name, *, axis, time=None):
    """Turn each list of series or videos into an array, with NaN after the end of shorter ones.

    Parameters
    ----------
    blocks : list of array or list
        Blocks that are not lists stay as they are.
    plural : str
        What X holds, for messages.
    name : str
        Of the estimator, for messages.
    axis : int
        The time axis of a row.
    time : int or None
        Length to pad to. None means the longest row in any of the blocks.

    Returns
    -------
    blocks : list of array
    """
    shapes = [_shapes(block, axis, name) for block in blocks]
    longest = max(shape[axis] for block in shapes for shape in block)
    if time is not None and longest > time:
        raise ValueError(
            f"X has {plural} of up to {longest} time steps, but {name} is expecting at most "
            f"{time}, the longest in fit. Leave out their first or last steps, or fit again on one "
            "array, padded with NaN to the longest length needed. For cross-validation, pad before "
            "X is split."
        )
    return [
        _padded(block, shapes_of_block, axis, time or longest)
        if isinstance(block, list | tuple)
        else block
        for block, shapes_of_block in zip(blocks, shapes)
    ]


def _shapes(block, axis, name):
    """Return the shapes of the rows of a list, which may differ in time; one for an array."""
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
            f"{other}, for example. {name} needs rows of one kind."
        )
    fixed = {tuple(np.delete(shape, axis)) for shape in shapes}
    if len(fixed) > 1:
        other = next(
            s for s in shapes if tuple(np.delete(s, axis)) != tuple(np.delete(first, axis))
        )
        swapped = len(first) == 2 and len({shape[1] for shape in shapes}) == 1
        advice = (
            "Time seems to be the first axis: pass [np.swapaxes(row, 0, 1) for row in X]."
            if swapped
            else "Only the number of time steps may differ."
        )
        expected = "(channels, time)" if axis else "(time, height, width[, channels])"
        raise ValueError(
            f"The rows of X have shapes {first} and {other}, for example; expected rows of shape "
            f"{expected}. {advice}"
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
