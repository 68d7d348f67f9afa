"""Losses of the pretext tasks, as pure functions of embeddings."""

from functools import wraps

import torch
from torch.nn import functional as F


def _in_full_precision(loss):
    """Make a loss compute in float32, even under autocast; float64 stays float64.

    Exponentials, small temperatures and sums over a batch magnify the rounding of half precision.
    """

    @wraps(loss)
    def in_full_precision(*args, **kwargs):
        args = [_float32_or_wider(a) for a in args]
        kwargs = {name: _float32_or_wider(a) for name, a in kwargs.items()}
        first = next(a for a in (*args, *kwargs.values()) if isinstance(a, torch.Tensor))
        with torch.autocast(first.device.type, enabled=False):
            return loss(*args, **kwargs)

    return in_full_precision


def _float32_or_wider(argument):
    narrow = isinstance(argument, torch.Tensor) and argument.dtype != torch.float64
    return argument.float() if narrow else argument


@_in_full_precision
def nt_xent(z_a, z_b, temperature):
    """Normalized temperature-scaled cross-entropy between two views of a batch.

    For each of the 2n embeddings, the task is to find the other view of its row among the 2n - 1
    others, by cosine similarity [1]_ (equation 1). The mean over the 2n cases is returned.

    Parameters
    ----------
    z_a, z_b : torch.Tensor of shape (n, d)
        Projections of the two views; row i of both comes from the same sample. They are normalized
        here, in float32 or wider.
    temperature : float
        Positive divisor of the similarities. A small one puts more weight on the hardest negatives.

    Returns
    -------
    loss : torch.Tensor
        A scalar. If all embeddings are equal, it is ``log(2n - 1)``.

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
    z = F.normalize(torch.cat([z_a, z_b]), dim=1)  # [2n, d]
    logits = z @ z.T / temperature  # [2n, 2n]
    logits.fill_diagonal_(-torch.inf)  # a view is not a candidate for itself
    n = len(z_a)
    other_view = torch.arange(2 * n, device=z.device).roll(n)
    return F.cross_entropy(logits, other_view)


@_in_full_precision
def queue_info_nce(q, k, queue, temperature):
    """Contrastive loss of queries with their own keys and a queue of earlier keys (MoCo).

    For each query, the task is to find its own key among that key and those of the queue, by cosine
    similarity: equation 1 of [1]_, averaged over the queries. The other keys of the batch are not
    candidates.

    Parameters
    ----------
    q, k : torch.Tensor of shape (n, d)
        Queries and keys; row i of both comes from the same sample. In MoCo, keys and queue come
        from a network that is not trained: the caller must stop the gradient.
    queue : torch.Tensor of shape (K, d)
        Keys of earlier batches. All three are normalized here.
    temperature : float
        Positive divisor of the similarities.

    Returns
    -------
    loss : torch.Tensor
        A scalar. If all embeddings are equal, it is ``log(K + 1)``.

    References
    ----------
    .. [1] K. He et al., "Momentum Contrast for Unsupervised Visual Representation Learning",
       CVPR 2020, https://arxiv.org/abs/1911.05722

    Examples
    --------
    >>> import torch
    >>> from sklearn_ssl.losses import queue_info_nce
    >>> alike = torch.ones(4, 8)
    >>> print(f"{queue_info_nce(alike, alike, torch.ones(15, 8), temperature=0.2):.4f}")
    2.7726
    """
    q, k, queue = (F.normalize(z, dim=1) for z in (q, k, queue))
    positive = (q * k).sum(dim=1, keepdim=True)  # [n, 1]
    logits = torch.cat([positive, q @ queue.T], dim=1) / temperature  # [n, 1 + K]
    own_key = torch.zeros(len(q), dtype=torch.long, device=q.device)  # it comes first
    return F.cross_entropy(logits, own_key)


@_in_full_precision
def info_nce(q, k, temperature):
    """Contrastive loss of queries with the keys of their batch, in one direction.

    For each row i of ``q``, the task is to find row i of ``k`` among the n rows of ``k``, by cosine
    similarity [1]_. MoCo v3 [2]_ adds both directions, each times ``2 * temperature``.

    Parameters
    ----------
    q, k : torch.Tensor of shape (n, d)
        Queries and keys; row i of both comes from the same sample. They are normalized here.
    temperature : float
        Positive divisor of the similarities.

    Returns
    -------
    loss : torch.Tensor
        A scalar. If all embeddings are equal, it is ``log(n)``.

    References
    ----------
    .. [1] A. van den Oord et al., "Representation Learning with Contrastive Predictive Coding",
       2018, https://arxiv.org/abs/1807.03748
    .. [2] X. Chen et al., "An Empirical Study of Training Self-Supervised Vision Transformers",
       ICCV 2021, https://arxiv.org/abs/2104.02057

    Examples
    --------
    >>> import torch
    >>> from sklearn_ssl.losses import info_nce
    >>> z = torch.eye(4)
    >>> print(f"{info_nce(z, z, temperature=0.1):.4f}")
    0.0001
    """
    logits = F.normalize(q, dim=1) @ F.normalize(k, dim=1).T / temperature  # [n, n]
    return F.cross_entropy(logits, torch.arange(len(q), device=q.device))


@_in_full_precision
def negative_cosine(p, z):
    """Minus the mean cosine similarity of predictions and their targets.

    Equation 1 of SimSiam [1]_, averaged over the rows. The squared distance of the normalized
    vectors, which BYOL minimizes [2]_, is ``2 + 2 * negative_cosine(p, z)``.

    Parameters
    ----------
    p, z : torch.Tensor of shape (n, d)
        Predictions, and targets that the caller must detach: without a stopped gradient, both
        methods collapse.

    Returns
    -------
    loss : torch.Tensor
        A scalar from -1, if all are parallel, to 1.

    References
    ----------
    .. [1] X. Chen, K. He, "Exploring Simple Siamese Representation Learning", CVPR 2021,
       https://arxiv.org/abs/2011.10566
    .. [2] J.-B. Grill et al., "Bootstrap Your Own Latent", NeurIPS 2020,
       https://arxiv.org/abs/2006.07733

    Examples
    --------
    >>> import torch
    >>> from sklearn_ssl.losses import negative_cosine
    >>> p, z = torch.tensor([[2.0, 0.0], [1.0, 1.0]]), torch.tensor([[5.0, 0.0], [1.0, -1.0]])
    >>> print(f"{negative_cosine(p, z):.4f}")
    -0.5000
    """
    return -F.cosine_similarity(p, z, dim=1).mean()


@_in_full_precision
def barlow_twins(z_a, z_b, redundancy_weight):
    """Distance of the cross-correlation of two views from the identity.

    If C is the matrix of correlations between the columns of both views over the batch, this is
    ``sum_i (1 - C_ii)^2 + redundancy_weight * sum_{i != j} C_ij^2``: equations 1 and 2 of [1]_.
    Columns are standardized as in batch normalization, with the biased variance plus 1e-5.

    Parameters
    ----------
    z_a, z_b : torch.Tensor of shape (n, d), n >= 2
        Projections of the two views; row i of both comes from the same sample.
    redundancy_weight : float
        Weight of the second sum, lambda in the paper.

    Returns
    -------
    loss : torch.Tensor
        A scalar. If all embeddings are equal, it is ``d``: they correlate with nothing.

    References
    ----------
    .. [1] J. Zbontar et al., "Barlow Twins: Self-Supervised Learning via Redundancy Reduction",
       ICML 2021, https://arxiv.org/abs/2103.03230

    Examples
    --------
    >>> import torch
    >>> from sklearn_ssl.losses import barlow_twins
    >>> z = torch.tensor([[1.0, 1.0], [1.0, -1.0], [-1.0, 1.0], [-1.0, -1.0]])
    >>> print(f"{barlow_twins(z, z, redundancy_weight=5e-3):.4f}")
    0.0000
    >>> print(f"{barlow_twins(z, -z, redundancy_weight=5e-3):.4f}")
    7.9999
    """
    z_a, z_b = (F.batch_norm(z, None, None, training=True) for z in (z_a, z_b))
    correlation = z_a.T @ z_b / len(z_a)  # [d, d]
    identity = torch.eye(len(correlation), dtype=z_a.dtype, device=z_a.device)
    weight = identity + redundancy_weight * (1 - identity)
    return (weight * (correlation - identity).square()).sum()


@_in_full_precision
def vicreg(z_a, z_b, *, invariance, variance, covariance):
    """Variance, invariance and covariance of the embeddings of two views.

    The sum of three terms [1]_, each times its weight: the mean squared difference of the views;
    how far the standard deviations of the columns, ``sqrt(var + 1e-4)``, fall short of 1
    (equations 1 and 2), on average over columns and views; and the sum over the views of the
    squared covariances of different columns, divided by d (equations 3 and 4). Variances are
    unbiased.

    As in the code of the paper, but unlike its equations 5 and 6, the first term is also divided by
    d, and the second is the mean over the views, not their sum. The usual weights are meant for
    this.

    Parameters
    ----------
    z_a, z_b : torch.Tensor of shape (n, d), n >= 2
        Projections of the two views; row i of both comes from the same sample.
    invariance, variance, covariance : float
        Weights of the terms: lambda, mu and nu in the paper.

    Returns
    -------
    loss : torch.Tensor
        A scalar. If all embeddings are equal, it is ``0.99 * variance``.

    References
    ----------
    .. [1] A. Bardes et al., "VICReg: Variance-Invariance-Covariance Regularization for
       Self-Supervised Learning", ICLR 2022, https://arxiv.org/abs/2105.04906

    Examples
    --------
    >>> import torch
    >>> from sklearn_ssl.losses import vicreg
    >>> z = torch.ones(4, 8)
    >>> print(f"{vicreg(z, z, invariance=25, variance=25, covariance=1):.4f}")
    24.7500
    """
    n, d = z_a.shape
    loss = invariance * F.mse_loss(z_a, z_b)
    for z in (z_a, z_b):
        z = z - z.mean(dim=0)
        cov = z.T @ z / (n - 1)  # [d, d]
        variances = cov.diagonal()
        shortfall = F.relu(1 - (variances + 1e-4).sqrt())  # [d]; sqrt has no slope at 0
        off_diagonal = cov - variances.diag()
        loss = loss + variance * shortfall.mean() / 2 + covariance * off_diagonal.square().sum() / d
    return loss


@_in_full_precision
@torch.no_grad()
def sinkhorn(scores, epsilon, n_iterations=3):
    """Soft assignment of a batch to prototypes that uses all prototypes equally (SwAV's codes).

    ``exp(scores / epsilon)`` is scaled, in turn, to equal sums over the prototypes and to equal
    sums over the rows: equations 3 to 5 of [1]_. It is computed in logarithms, so nothing under- or
    overflows. No gradient flows through the codes.

    Parameters
    ----------
    scores : torch.Tensor of shape (n, K)
        Similarities of n rows to K prototypes.
    epsilon : float
        Positive; a small one makes the codes nearly one-hot.
    n_iterations : int, default=3
        Number of times that both are scaled.

    Returns
    -------
    codes : torch.Tensor of shape (n, K)
        Rows sum to 1, columns nearly to n / K.

    References
    ----------
    .. [1] M. Caron et al., "Unsupervised Learning of Visual Features by Contrasting Cluster
       Assignments", NeurIPS 2020, https://arxiv.org/abs/2006.09882

    Examples
    --------
    Both rows prefer the first prototype, but one of them has to take the second:

    >>> import torch
    >>> from sklearn_ssl.losses import sinkhorn
    >>> sinkhorn(torch.tensor([[0.9, 0.1], [0.9, 0.6]]), epsilon=0.05).round(decimals=2)
    tensor([[1.0000, 0.0000],
            [0.1400, 0.8600]])
    """
    log_codes = scores / epsilon
    for _ in range(n_iterations):
        log_codes = log_codes.log_softmax(dim=0)  # each prototype is used equally
        log_codes = log_codes.log_softmax(dim=1)  # each row is one assignment
    return log_codes.exp()


@_in_full_precision
def cross_view_entropy(logits, targets):
    """Cross-entropy of the predictions for one view with the targets from another.

    The mean of ``-sum_k targets[s, i, k] * log_softmax(logits[u, i])[k]`` over the rows i and the
    pairs of views with s != u. This is the loss of DINO, with targets from the teacher (equation 3
    of [1]_), and of SwAV, with codes as targets (equations 2 and 6 of [2]_).

    Parameters
    ----------
    logits : torch.Tensor of shape (v, n, K)
        Logits of all v >= 2 views, already divided by their temperature.
    targets : torch.Tensor of shape (t, n, K), t <= v
        Distributions over K, for the first t of the same views. The caller must detach them.

    Returns
    -------
    loss : torch.Tensor
        A scalar. If all logits are equal, it is ``log(K)``.

    References
    ----------
    .. [1] M. Caron et al., "Emerging Properties in Self-Supervised Vision Transformers",
       ICCV 2021, https://arxiv.org/abs/2104.14294
    .. [2] M. Caron et al., "Unsupervised Learning of Visual Features by Contrasting Cluster
       Assignments", NeurIPS 2020, https://arxiv.org/abs/2006.09882

    Examples
    --------
    >>> import torch
    >>> from sklearn_ssl.losses import cross_view_entropy
    >>> targets = torch.eye(16).expand(2, 16, 16)
    >>> print(f"{cross_view_entropy(torch.zeros(8, 16, 16), targets):.4f}")
    2.7726
    """
    v, n, _ = logits.shape
    t = len(targets)
    log_p = logits.log_softmax(dim=2)
    entropy = -targets.flatten(1) @ log_p.flatten(1).T  # [t, v], summed over rows
    entropy.fill_diagonal_(0)  # a view is not compared with itself
    return entropy.sum() / (t * (v - 1) * n)


@_in_full_precision
def sigreg(z, directions):
    """Distance of embeddings from an isotropic Gaussian along random directions (LeJEPA).

    Along each direction a, the empirical characteristic function of the n numbers ``x = z @ a`` is
    compared with that of the standard normal distribution by the statistic of Epps and Pulley [2]_

    ``n * integral_{-3}^{3} |mean_i exp(1j * t * x_i) - exp(-t^2 / 2)|^2 * exp(-t^2 / 2) dt``

    and the mean over the directions is returned. The integrand is even in t: twice the integral
    from 0 to 3 is taken, by the trapezoid rule with 17 knots, as in the code of the paper [1]_.

    Parameters
    ----------
    z : torch.Tensor of shape (n, d) or (v, n, d)
        Embeddings. For v views, the mean of their statistics is returned.
    directions : torch.Tensor of shape (d, m)
        Columns of unit length, drawn again for each batch.

    Returns
    -------
    loss : torch.Tensor
        A scalar. Gaussian embeddings give about 1.05 on average, for any n; embeddings that are all
        zero give ``0.402 * n``.

    References
    ----------
    .. [1] R. Balestriero, Y. LeCun, "LeJEPA: Provable and Scalable Self-Supervised Learning
       Without the Heuristics", 2025, https://arxiv.org/abs/2511.08544
    .. [2] T. W. Epps, L. B. Pulley, "A test for normality based on the empirical characteristic
       function", Biometrika 70(3), 1983

    Examples
    --------
    >>> import torch
    >>> from sklearn_ssl.losses import sigreg
    >>> directions = torch.eye(8)
    >>> print(f"{sigreg(torch.zeros(100, 8), directions):.1f}")
    40.2
    """
    t = torch.linspace(0, 3, 17, dtype=z.dtype, device=z.device)[1:]  # at 0 both functions are 1
    gaussian = (-t.square() / 2).exp()  # characteristic function, and weight in the integral
    step = torch.full_like(t, 2 * 3 / 16)  # twice, for the negative t
    step[-1] /= 2
    angle = (z @ directions)[..., None] * t  # [..., n, m, 16]
    real, imaginary = angle.cos().mean(dim=-3), angle.sin().mean(dim=-3)  # [..., m, 16]
    distance = (real - gaussian).square() + imaginary.square()
    return z.shape[-2] * (distance @ (step * gaussian)).mean()


@_in_full_precision
def hierarchical_contrast(z_a, z_b, alpha=0.5, observed=None):
    """Contrastive loss of the time steps of two views, at increasingly coarse resolutions (TS2Vec).

    At each time step, the task for a row is to find its other view among those of all rows
    (equation 2 of [1]_, with the weight `alpha`); within each row, the task for a step is to find
    its other view among all steps (equation 1, with the weight ``1 - alpha``), by dot products.
    Then pairs of steps are replaced by their maximum, and the same is repeated down to one step,
    where only rows are contrasted (algorithm 1). The mean over the resolutions is returned.

    Parameters
    ----------
    z_a, z_b : torch.Tensor of shape (n, time, d)
        States of the two views; the same row and step of both show the same moment. When pairs are
        formed, a last step without a partner is left out.
    alpha : float, default=0.5
        Weight of contrasting rows, in [0, 1].
    observed : torch.Tensor of shape (n, time) of bool, default=None
        The steps that count, as queries and as candidates; None means all.

    Returns
    -------
    loss : torch.Tensor
        A scalar. If all states are equal, it is the mean of ``alpha * log(2n - 1)`` and
        ``(1 - alpha) * log(2 * time - 1)`` over the resolutions.

    References
    ----------
    .. [1] Z. Yue et al., "TS2Vec: Towards Universal Representation of Time Series", AAAI 2022,
       https://arxiv.org/abs/2106.10466

    Examples
    --------
    >>> import torch
    >>> from sklearn_ssl.losses import hierarchical_contrast
    >>> z = torch.zeros(4, 2, 8)  # log(7) / 2 + log(3) / 2 at two steps, log(7) / 2 at one
    >>> print(f"{hierarchical_contrast(z, z):.4f}")
    1.2476
    """
    seen = torch.ones(z_a.shape[:2], device=z_a.device) if observed is None else observed
    seen = seen.bool()
    levels = []
    while z_a.shape[1] > 1:
        of_rows = _contrast(z_a.transpose(0, 1), z_b.transpose(0, 1), seen.T)
        levels.append(alpha * of_rows + (1 - alpha) * _contrast(z_a, z_b, seen))
        z_a, z_b = (_maximum_of_pairs(z, seen) for z in (z_a, z_b))
        seen = F.max_pool1d(seen[:, None].float(), 2)[:, 0].bool()
    levels.append(alpha * _contrast(z_a.transpose(0, 1), z_b.transpose(0, 1), seen.T))
    return torch.stack(levels).mean()


def _contrast(z_a, z_b, seen):
    """Mean cross-entropy of finding the other view among all of a group, ``(groups, m, d)``."""
    z = torch.cat([z_a, z_b], dim=1)  # [groups, 2m, d]
    seen = torch.cat([seen, seen], dim=1)
    logits = z @ z.transpose(1, 2)  # [groups, 2m, 2m]
    logits = logits.masked_fill(~seen[:, None], torch.finfo(z.dtype).min)
    logits.diagonal(dim1=1, dim2=2).fill_(-torch.inf)  # a view is not a candidate for itself
    m = z_a.shape[1]
    other_view = torch.arange(2 * m, device=z.device).roll(m).expand(len(z), -1)
    losses = F.cross_entropy(logits.flatten(0, 1), other_view.flatten(), reduction="none")
    seen = seen.flatten()
    return losses.masked_fill(~seen, 0).sum() / seen.sum().clamp(min=1)


def _maximum_of_pairs(z, seen):
    """Replace pairs of steps of ``(n, time, d)`` by their maximum over what was seen, or by 0."""
    z = z.masked_fill(~seen[..., None], -torch.inf).transpose(1, 2)
    return F.max_pool1d(z, 2).transpose(1, 2).nan_to_num(neginf=0)
