"""Random masks of whole batches, and what is put in place of what they hide."""

import torch


def random_mask(n, length, n_masked, generator):
    """Draw a mask for each row, with the same number of masked places in all of them.

    Every set of `n_masked` places is equally likely. Independent draws for each place would leave
    some rows without any mask, and would not allow what is visible to be stacked.

    Parameters
    ----------
    n : int
        Number of rows.
    length : int
        Number of places in a row: features, patches or time steps.
    n_masked : int
        How many of them are masked, from 0 to `length`.
    generator : torch.Generator
        The mask is made on its device.

    Returns
    -------
    mask : torch.Tensor of shape (n, length) of bool
        True where masked.

    Examples
    --------
    >>> import torch
    >>> from sklearn_ssl.masking import random_mask
    >>> random_mask(5, 12, 9, torch.Generator().manual_seed(0)).sum(dim=1)
    tensor([9, 9, 9, 9, 9])
    """
    device = generator.device
    scores = torch.rand(n, length, generator=generator, device=device)
    places = scores.topk(n_masked, dim=1, sorted=False).indices  # exact, even where scores are tied
    mask = torch.zeros(n, length, dtype=torch.bool, device=device)
    return mask.scatter_(1, places, True)


def corrupt_features(batch, mask, marginals, generator):
    """Replace the masked entries of a table by values drawn from their columns.

    The draws are independent: each entry gets a value that its column has in the training data,
    whatever the other entries of the row are. It may happen to be the value that was there.

    Parameters
    ----------
    batch : torch.Tensor of shape (n, features)
    mask : torch.Tensor of shape (n, features) of bool
        True where a value is replaced.
    marginals : torch.Tensor of shape (n_values, features)
        Values of each column, as often as they are frequent; NaN where one is missing.
    generator : torch.Generator

    Returns
    -------
    corrupted : torch.Tensor of shape (n, features)

    Examples
    --------
    >>> import torch
    >>> from sklearn_ssl.masking import corrupt_features
    >>> batch = torch.tensor([[1.0, 2.0], [3.0, 4.0]])
    >>> mask = torch.tensor([[True, False], [False, True]])
    >>> marginals = torch.tensor([[7.0, 8.0]])
    >>> corrupt_features(batch, mask, marginals, torch.Generator())
    tensor([[7., 2.],
            [3., 8.]])
    """
    drawn = torch.randint(len(marginals), batch.shape, generator=generator, device=generator.device)
    return torch.where(mask, marginals.gather(0, drawn), batch)
