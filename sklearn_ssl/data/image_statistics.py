"""What the default augmentation must know of images: do they have sides, are they one color?"""

import torch
from torch.nn.functional import adaptive_avg_pool2d

MOST_PIXELS = 32  # on a side; larger images are reduced
RIDGE = 1.0  # times the mean square of what is compared


def mirror_accuracy(batches):
    """Return how often a linear model tells held-out images from their mirror images.

    Where neither side is special, as in most photographs, it guesses: 0.5. It tells letters and
    digits apart, and objects that are all photographed from the same side.

    Parameters
    ----------
    batches : iterable of torch.Tensor of shape (n, channels, height, width)
        At least two images in total.

    Returns
    -------
    accuracy : float
        Of two models, each fitted to half of the images and tested on the other half.

    Examples
    --------
    >>> import torch
    >>> right_is_bright = torch.rand(100, 1, 8, 8) + torch.linspace(0, 1, 8)
    >>> mirror_accuracy([right_is_bright])
    1.0
    """
    # A linear model w tells an image x from its mirror image m if w x > w m, or w (x - m) > 0.
    differences = torch.cat([_minus_mirrored(images) for images in batches])
    halves = differences[::2], differences[1::2]
    right = [_signs_found(*pair) for pair in (halves, halves[::-1])]
    return torch.cat(right).mean().item()


def mean_color_share(batches):
    """Return the share of the variance of pixels that the mean colors of images account for.

    It is near 1 if each image is about one color, as parts of a texture or of a landscape are, and
    near 0 if images are alike on average and differ in what they show.

    Parameters
    ----------
    batches : iterable of torch.Tensor of shape (n, channels, height, width)

    Returns
    -------
    share : float
        0 if all pixels are equal.

    Examples
    --------
    >>> import torch
    >>> means = torch.rand(100, 3, 1, 1)
    >>> round(mean_color_share([means + 0.01 * torch.randn(100, 3, 8, 8)]), 1)
    1.0
    """
    moments = [torch.var_mean(x.double(), dim=(-2, -1), correction=0) for x in batches]
    within, means = (torch.cat(parts) for parts in zip(*moments))  # [n, channels]
    between = means.var(dim=0, correction=0).sum()
    total = between + within.mean(dim=0).sum()
    return (between / total).item() if total > 0 else 0.0


def _minus_mirrored(images):
    """Return what mirroring changes in each image; of that, one half mirrors the other."""
    height, width = (min(side, MOST_PIXELS) for side in images.shape[-2:])
    differences = adaptive_avg_pool2d(images - images.flip(-1), (height, width))
    return differences[..., : width // 2].flatten(1).double()


def _signs_found(known, held_out):
    """Fit w such that w x = 1 for known rows; return 1 for other rows with w x > 0, 0.5 for 0."""
    gram = known @ known.T  # [n, n]
    size = gram.diagonal().mean()
    if size == 0:
        return torch.full((len(held_out),), 0.5, dtype=known.dtype)
    gram.diagonal().add_(RIDGE * size)
    weights = torch.linalg.solve(gram, torch.ones_like(gram[0])) @ known
    return (torch.sign(held_out @ weights) + 1) / 2
