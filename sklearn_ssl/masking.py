"""Random masks of whole batches, and replacements for the hidden values."""

import torch


def random_mask(n, length, n_masked, generator):
    """Draw a mask for each row, with the same number of masked places in every row.

    Every set of `n_masked` places is equally likely. With an independent draw for each place, some
    rows would have no mask, and the visible places could not be stacked.

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
    """Replace the masked entries of a table with values drawn from their columns.

    The draws are independent: each entry gets a value of its column in the training data, whatever
    the other entries of the row are. It may happen to be the original value.

    Parameters
    ----------
    batch : torch.Tensor of shape (n, features)
    mask : torch.Tensor of shape (n, features) of bool
        True where a value is replaced.
    marginals : torch.Tensor of shape (n_values, features)
        Values of each column, repeated by frequency; NaN for missing ones.
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


def corrupt_tokens(ids, mask_ratio, generator, *, mask, special, vocabulary_size):
    """Choose tokens to predict, and hide them, as in BERT [1]_.

    In each row, the fraction `mask_ratio` of its tokens is chosen, rounded, and at least one. Of
    the chosen ones, 80 % become the mask token, 10 % any other token, and 10 % stay as they are.

    Parameters
    ----------
    ids : torch.Tensor of shape (n, length) of int64
        Negative after the end of a row. Rows without ordinary tokens are left unchanged.
    mask_ratio : float
        In (0, 1].
    generator : torch.Generator
    mask : int
        Id of the mask token.
    special : sequence of int
        Ids that are neither chosen nor used as replacements.
    vocabulary_size : int

    Returns
    -------
    corrupted : torch.Tensor of shape (n, length) of int64
    chosen : torch.Tensor of shape (n, length) of bool
        True for tokens to predict.

    References
    ----------
    .. [1] J. Devlin et al., "BERT: Pre-training of Deep Bidirectional Transformers for Language
       Understanding", NAACL 2019, https://arxiv.org/abs/1810.04805

    Examples
    --------
    >>> import torch
    >>> from sklearn_ssl.masking import corrupt_tokens
    >>> ids = torch.arange(3, 23)[None]
    >>> options = {"mask": 0, "special": (0, 1, 2), "vocabulary_size": 100}
    >>> corrupted, chosen = corrupt_tokens(ids, 0.15, torch.Generator().manual_seed(0), **options)
    >>> chosen.sum().item(), torch.equal(corrupted[~chosen], ids[~chosen])
    (3, True)
    """
    device = ids.device
    special = torch.tensor(special, device=device)
    ordinary = (ids >= 0) & ~torch.isin(ids, special)
    scores = torch.rand(ids.shape, generator=generator, device=device)
    # The places with the largest scores come first; special tokens come last.
    rank = scores.masked_fill(~ordinary, -1).argsort(dim=1, descending=True).argsort(dim=1)
    n_ordinary = ordinary.sum(dim=1, keepdim=True)
    n_chosen = (mask_ratio * n_ordinary).round().clamp(min=1)
    chosen = (rank < n_chosen) & ordinary

    draw = torch.rand(ids.shape, generator=generator, device=device)
    words = torch.arange(vocabulary_size, device=device)
    words = words[~torch.isin(words, special)]
    drawn = torch.randint(len(words), ids.shape, generator=generator, device=device)
    corrupted = torch.where(chosen & (draw < 0.8), mask, ids)
    corrupted = torch.where(chosen & (draw >= 0.9), words[drawn], corrupted)
    return corrupted, chosen


def delete_tokens(ids, deletable, deletion, generator):
    """Leave out some tokens of each row; the others move up.

    Each deletable token is left out with the probability `deletion`, but one of them always stays.

    Parameters
    ----------
    ids : torch.Tensor of shape (n, length) of int64
        Negative where there is no token.
    deletable : torch.Tensor of shape (n, length) of bool
        True for tokens that may be left out.
    deletion : float
        In [0, 1].
    generator : torch.Generator or None

    Returns
    -------
    shortened : torch.Tensor of shape (n, length) of int64
        The tokens that stay, in their order, and then -1.

    Examples
    --------
    >>> import torch
    >>> from sklearn_ssl.masking import delete_tokens
    >>> ids = torch.tensor([[0, 5, 6, 7, 8, 1, -1]])
    >>> delete_tokens(ids, ids > 1, 0.6, torch.Generator().manual_seed(2))
    tensor([[ 0,  6,  8,  1, -1, -1, -1]])
    """
    # The token with the largest number stays, however many are deleted.
    luck = torch.rand(ids.shape, generator=generator, device=ids.device)
    luck = luck.masked_fill(~deletable, -1)
    deleted = deletable & (luck < deletion) & (luck < luck.amax(dim=1, keepdim=True))
    ids = ids.masked_fill(deleted | (ids < 0), -1)
    order = (ids < 0).byte().argsort(dim=1, stable=True)  # tokens that stay move to the left
    return ids.gather(1, order)


def mask_types(ids, mask_ratio, generator):
    """Hide some of the different tokens of each row, everywhere they occur.

    A token that is hidden in one place and visible in another would be no question at all. Each
    different token is hidden with the probability `mask_ratio`, but at least one stays visible.

    Parameters
    ----------
    ids : torch.Tensor of shape (n, length) of int64
        Negative where there is no token.
    mask_ratio : float
        In [0, 1].
    generator : torch.Generator

    Returns
    -------
    ids : torch.Tensor of shape (n, length) of int64
        The same tokens in another order: equal ones are next to each other, negative ones at the
        end.
    hidden : torch.Tensor of shape (n, length) of bool
        True where a token is hidden.
    answers : torch.Tensor of shape (n, length) of bool
        True in one place of each hidden token.

    Examples
    --------
    >>> import torch
    >>> from sklearn_ssl.masking import mask_types
    >>> ids, hidden, answers = mask_types(
    ...     torch.tensor([[3, 9, 3, 7, -1]]), 0.5, torch.Generator().manual_seed(0)
    ... )
    >>> ids
    tensor([[ 9,  7,  3,  3, -1]])
    >>> ids[hidden], ids[answers]
    (tensor([9, 3, 3]), tensor([9, 3]))
    """
    ids = ids.sort(dim=1, descending=True).values
    real = ids >= 0
    is_first = torch.ones_like(real)
    is_first[:, 1:] = ids[:, 1:] != ids[:, :-1]
    places = torch.arange(ids.shape[1], device=ids.device)
    first = torch.where(is_first, places, 0).cummax(dim=1).values  # of the equal tokens
    draw = torch.rand(ids.shape, generator=generator, device=ids.device).gather(1, first)
    draw = draw.masked_fill(~real, -1)
    hidden = real & (draw < mask_ratio) & (draw < draw.amax(dim=1, keepdim=True))
    return ids, hidden, hidden & is_first
