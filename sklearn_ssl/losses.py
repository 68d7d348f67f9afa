"""Losses of the pretext tasks, as pure functions of embeddings."""

import torch
from torch.nn import functional as F


def nt_xent(z_a, z_b, temperature):
    """Normalised temperature-scaled cross-entropy between two views of a batch.

    Each of the 2n embeddings is asked to find the other view of its own row among the 2n - 1
    others, by cosine similarity [1]_ (equation 1). The mean over the 2n questions is returned.

    Parameters
    ----------
    z_a, z_b : torch.Tensor of shape (n, d)
        Projections of the two views; row i of both comes from the same sample. They are
        normalised here, in float32 or wider.
    temperature : float
        Positive divisor of the similarities. A small one weighs the hardest negatives more.

    Returns
    -------
    loss : torch.Tensor
        A scalar. Embeddings that are all alike give ``log(2n - 1)``.

    References
    ----------
    .. [1] T. Chen et al., "A Simple Framework for Contrastive Learning of Visual
       Representations", ICML 2020, https://arxiv.org/abs/2002.05709

    Examples
    --------
    >>> import torch
    >>> from sklearn_ssl.losses import nt_xent
    >>> z = torch.eye(4)
    >>> print(f"{nt_xent(z, z, temperature=0.1):.4f}")
    0.0003
    """
    z = torch.cat([z_a, z_b])  # [2n, d]
    z = F.normalize(z if z.dtype == torch.float64 else z.float(), dim=1)
    with torch.autocast(z.device.type, enabled=False):  # a small temperature magnifies rounding
        logits = z @ z.T / temperature  # [2n, 2n]
    logits.fill_diagonal_(-torch.inf)  # a view is no candidate for itself
    n = len(z_a)
    other_view = torch.arange(2 * n, device=z.device).roll(n)
    return F.cross_entropy(logits, other_view)
