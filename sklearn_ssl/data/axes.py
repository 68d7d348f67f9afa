"""The order of axes: advice for rows with their axes in another order, and for volumes."""

VOLUMES = (
    "If X holds volumes, (n, depth, height, width[, channels]), pass their slices as images, "
    "slices = X.reshape(-1, *X.shape[2:]), and average what the slices of a volume give: "
    "ssl.transform(slices).reshape(len(X), X.shape[1], -1).mean(axis=1)."
)


def axes_to_move(got, expected):
    """Return how to convert rows of one shape to another that differs in the order of axes."""
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


def is_oblong(height, width):
    return max(height, width) > 2 * min(height, width)
