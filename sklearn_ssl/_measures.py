"""Measures of representations that need no labels, as functions of arrays."""

from numbers import Integral, Real

import numpy as np
from scipy.special import entr, logsumexp
from sklearn.utils import check_array

from sklearn_ssl._sklearn_compat import Interval, validate_params
from sklearn_ssl.data.containers import unmasked

# Representations are float32: anything smaller than this, relative to their length, is rounding.
ROUNDING = float(np.finfo(np.float32).eps)
ALIKE = 1e-6  # cosines that differ by less count as equal
VALUES_AT_ONCE = 2**22  # similarities in a block: 32 MB

POSITIVE = Interval(Real, 0, None, closed="neither")
NOT_NEGATIVE = Interval(Real, 0, None, closed="left")
COUNT = Interval(Integral, 1, None, closed="left")


# Spectra ------------------------------------------------------------------------------------------


@validate_params({"Z": ["array-like"], "eps": [NOT_NEGATIVE]}, prefer_skip_nested_validation=True)
def rankme(Z, eps=1e-7):
    """Measure in how many directions representations extend: RankMe.

    It is ``exp(-sum(p * log(p)))`` with ``p = s / sum(s) + eps``, where s are the singular values
    of Z: **not squared, and of Z without subtracting its mean** [1]_. Implementations differ in
    both, and give very different numbers for the same Z.
    :func:`~sklearn_ssl.collapse.embedding_spread` measures another effective rank: that of
    normalized and centered rows, from squared singular values, as a participation ratio. It only
    counts the widest directions; RankMe also counts narrow ones.

    Parameters
    ----------
    Z : array-like of shape (n, width)
        Finite numbers; at least two rows.
    eps : float, default=1e-7
        Added to each p, as in the paper.

    Returns
    -------
    rank : float
        From 1 to ``min(n, width)``, plus an excess of the order of eps. It is 1 if all rows are
        equal, even all zero.

    Raises
    ------
    ValueError
        If Z is not a table of finite numbers, or has fewer than two rows.

    References
    ----------
    .. [1] Q. Garrido, R. Balestriero, L. Najman, Y. LeCun, "RankMe: Assessing the Downstream
       Performance of Pretrained Self-Supervised Representations by Their Rank", ICML 2023,
       equation 1, https://arxiv.org/abs/2210.02885

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn_ssl.metrics import rankme
    >>> round(rankme(np.eye(3).repeat(5, axis=0)), 4)  # three directions of equal length
    3.0
    >>> round(rankme(np.ones((5, 3))), 4)
    1.0
    """
    return _exp_entropy(np.linalg.svd(_scaled(_rows(Z)), compute_uv=False), eps)


@validate_params({"Z": ["array-like"]}, prefer_skip_nested_validation=True)
def alpha_req(Z):
    """Measure how steeply the variances of representations decay: alpha-ReQ.

    The i-th largest eigenvalue of the covariance of Z is assumed to be proportional to ``i **
    -alpha``: alpha is minus the slope of a least-squares line through the logarithms of the
    eigenvalues over the logarithms of their ranks i [1]_. All eigenvalues above rounding count;
    implementations that leave out the first or the last ones give other numbers.

    Parameters
    ----------
    Z : array-like of shape (n, width)
        Finite numbers; at least two rows.

    Returns
    -------
    alpha : float
        0 if all directions vary equally. The paper finds that good representations have values near
        1: less means noise in all directions, more means few directions. If fewer than two
        directions vary, no line is defined, and alpha is 46, as if the second eigenvalue were at
        the rounding of float32.

    Raises
    ------
    ValueError
        If Z is not a table of finite numbers, or has fewer than two rows.

    References
    ----------
    .. [1] K. K. Agrawal, A. K. Mondal, A. Ghosh, B. A. Richards, "alpha-ReQ: Assessing
       Representation Quality in Self-Supervised Learning by Measuring Eigenspectrum Decay",
       NeurIPS 2022, https://openreview.net/forum?id=ii9X4vtZGTZ

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn_ssl.metrics import alpha_req
    >>> crosses = np.vstack([np.eye(50), -np.eye(50)])  # all variances are equal
    >>> abs(round(alpha_req(crosses), 6))
    0.0
    >>> deviations = np.arange(1, 51) ** -0.5  # variances fall as 1 / i
    >>> round(alpha_req(crosses * deviations), 6)
    1.0
    """
    Z = _scaled(_rows(Z))
    s = np.linalg.svd(Z - Z.mean(axis=0), compute_uv=False)
    s = s[s > ROUNDING * np.linalg.norm(Z)]
    if len(s) < 2:
        s = np.array([1, ROUNDING])
    rank = np.arange(1, len(s) + 1)
    return float(-np.polyfit(np.log(rank), np.log(s**2), 1)[0])


@validate_params(
    {"Z": ["array-like"], "delta": [POSITIVE], "eps": [NOT_NEGATIVE]},
    prefer_skip_nested_validation=True,
)
def lidar(Z, delta=1e-4, eps=1e-7):
    """Measure in how many directions rows differ by more than views of a row do: LiDAR.

    Each row is a class whose members are its views. With the scatter B of the means of the classes
    and the scatter W of the views about them, it is ``exp(-sum(p * log(p)))`` with
    ``p = v / sum(v) + eps``, where v are the eigenvalues of ``V @ B @ V`` and V is the inverse root
    of ``W + delta * I`` [1]_.

    Parameters
    ----------
    Z : array-like of shape (n, n_views, width)
        Representations of views, as returned by :func:`embed_views`. At least two rows and two
        views; the paper uses 1,000 rows and 50 views.
    delta : float, default=1e-4
        Keeps W invertible. It is added to variances, so scaling Z to much smaller numbers changes
        the measure.
    eps : float, default=1e-7
        Added to each p, as in the paper.

    Returns
    -------
    rank : float
        From 1 to ``min(n - 1, width)``, plus an excess of the order of eps. It is 1 if all rows are
        equal.

    Raises
    ------
    ValueError
        If Z does not hold finite numbers in three dimensions, or too few rows or views.

    References
    ----------
    .. [1] V. Thilak et al., "LiDAR: Sensing Linear Probing Performance in Joint Embedding SSL
       Architectures", ICLR 2024, https://arxiv.org/abs/2312.04000

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn_ssl.metrics import lidar
    >>> rng = np.random.default_rng(0)
    >>> rows = rng.normal(size=(500, 1, 8)) * [1, 1, 1, 0, 0, 0, 0, 0]
    >>> views = rows + 0.1 * rng.normal(size=(500, 10, 8))  # rows differ in three directions
    >>> round(lidar(views), 1)
    3.0
    """
    Z = unmasked(Z)
    Z = check_array(Z, dtype=np.float64, allow_nd=True, ensure_min_samples=2, input_name="Z")
    if Z.ndim != 3 or Z.shape[1] < 2:
        raise ValueError(
            "lidar takes representations of shape (n, n_views, width) with at least two views, got "
            f"{Z.shape}. Use embed_views(estimator, X, n_views=10)."
        )
    n, n_views, width = Z.shape
    means = Z.mean(axis=1)  # [n, width]
    within = np.zeros((width, width))
    for view in np.moveaxis(Z, 1, 0):
        within += (view - means).T @ (view - means) / (n * n_views)
    variances, axes = np.linalg.eigh(within)
    whitened = (means - means.mean(axis=0)) @ axes / np.sqrt(np.maximum(variances, 0) + delta)
    return _exp_entropy(np.linalg.svd(whitened, compute_uv=False) ** 2, eps)


def _scaled(Z):
    """Divide by the largest value, so that no square can overflow or underflow."""
    largest = np.abs(Z).max()
    return Z / largest if largest > 0 else Z


def _exp_entropy(values, eps):
    """Return the number of equal values with the same entropy: an effective rank."""
    total = values.sum()
    shares = values / total if total > 0 else values
    return float(np.exp(entr(shares + eps).sum()))


# Distances ----------------------------------------------------------------------------------------


@validate_params(
    {"Z_a": ["array-like"], "Z_b": ["array-like"], "alpha": [POSITIVE]},
    prefer_skip_nested_validation=True,
)
def alignment(Z_a, Z_b, alpha=2):
    """Measure how far apart two views of the same rows are, after scaling to length 1.

    It is the mean of ``norm(a - b) ** alpha`` over the rows a of Z_a and b of Z_b, after each is
    divided by its length [1]_.

    Parameters
    ----------
    Z_a, Z_b : array-like of shape (n, width)
        Finite numbers; at least two rows.
    alpha : float, default=2
        Power of the distances.

    Returns
    -------
    distance : float
        From 0 to ``2 ** alpha``; lower is better. Do not use it alone: representations that are all
        equal have the best value, 0. Rows of zeros stay zero.

    Raises
    ------
    ValueError
        If Z_a and Z_b are not tables of finite numbers of the same shape.

    References
    ----------
    .. [1] T. Wang, P. Isola, "Understanding Contrastive Representation Learning through Alignment
       and Uniformity on the Hypersphere", ICML 2020, https://arxiv.org/abs/2005.10242

    Examples
    --------
    >>> from sklearn_ssl.metrics import alignment
    >>> round(alignment([[1, 0], [0, 2]], [[2, 0], [0, -1]]), 6)  # (0 ** 2 + 2 ** 2) / 2
    2.0
    """
    Z_a, Z_b = _pair(Z_a, Z_b)
    _check_same(Z_a.shape, Z_b.shape)
    distances = np.linalg.norm(_normalized(Z_a) - _normalized(Z_b), axis=1)
    return float(np.mean(distances**alpha))


@validate_params({"Z": ["array-like"], "t": [POSITIVE]}, prefer_skip_nested_validation=True)
def uniformity(Z, t=2):
    """Measure how evenly representations of length 1 spread over the sphere.

    It is ``log(mean(exp(-t * norm(x - y) ** 2)))`` over all pairs of different rows, after each is
    divided by its length [1]_. Time grows with the square of the number of rows, memory does not.

    Parameters
    ----------
    Z : array-like of shape (n, width)
        Finite numbers; at least two rows.
    t : float, default=2
        Narrowness of the kernel.

    Returns
    -------
    potential : float
        From ``-4 * t`` to 0; lower is better. It is 0, the worst value, if all rows are equal. Rows
        of zeros stay zero.

    Raises
    ------
    ValueError
        If Z is not a table of finite numbers, or has fewer than two rows.

    References
    ----------
    .. [1] T. Wang, P. Isola, "Understanding Contrastive Representation Learning through Alignment
       and Uniformity on the Hypersphere", ICML 2020, https://arxiv.org/abs/2005.10242

    Examples
    --------
    >>> from sklearn_ssl.metrics import uniformity
    >>> round(uniformity([[1, 0], [0, 3]]), 6)  # one pair, at a distance of 2 ** 0.5
    -4.0
    """
    Z = _normalized(_rows(Z))
    n, squares = len(Z), np.einsum("ij,ij->i", Z, Z)
    potentials = []
    for rows in _blocks(n):
        # Each pair once: later rows are to the right of the diagonal.
        later = slice(rows.start, n)
        distances = squares[rows, None] + squares[None, later] - 2 * Z[rows] @ Z[later].T
        pairs = np.triu(np.ones(distances.shape, bool), k=1)
        if pairs.any():
            potentials.append(logsumexp(-t * np.maximum(distances[pairs], 0)))
    return float(min(logsumexp(potentials) - np.log(n * (n - 1) / 2), 0.0))


@validate_params(
    {"Z_a": ["array-like"], "Z_b": ["array-like"], "n_neighbors": [COUNT]},
    prefer_skip_nested_validation=True,
)
def knn_agreement(Z_a, Z_b, n_neighbors=10):
    """Measure how well two representations of the same rows agree on nearest neighbors.

    It is the fraction of a row's nearest neighbors in Z_a that are also neighbors in Z_b, averaged
    over the rows: the mutual nearest-neighbor metric [1]_. Neighbors have the largest cosines; no
    row is its own neighbor. If several rows are equally near, to 1e-6, it is the fraction that
    random choices among them would share on average. Time grows with the square of the number of
    rows, memory does not.

    Parameters
    ----------
    Z_a : array-like of shape (n, width)
        Finite numbers; at least two rows.
    Z_b : array-like of shape (n, another width)
        The same rows: in another view, or from another encoder.
    n_neighbors : int, default=10

    Returns
    -------
    agreement : float
        From 0 to 1; higher is better. ``n_neighbors / (n - 1)`` is chance, and also the value if
        all representations are equal.

    Raises
    ------
    ValueError
        If Z_a and Z_b are not tables of finite numbers with the same number of rows, or if there
        are not more rows than neighbors.

    References
    ----------
    .. [1] M. Huh, B. Cheung, T. Wang, P. Isola, "The Platonic Representation Hypothesis", ICML
       2024, appendix A, https://arxiv.org/abs/2405.07987

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn_ssl.metrics import knn_agreement
    >>> Z = np.random.default_rng(0).normal(size=(101, 4))
    >>> round(knn_agreement(Z, 3 * Z), 6)
    1.0
    >>> round(knn_agreement(Z, np.ones((101, 2))), 6)  # 10 neighbors among 100 rows
    0.1
    """
    Z_a, Z_b = (_normalized(Z) for Z in _pair(Z_a, Z_b))
    _check_same(Z_a.shape[:1], Z_b.shape[:1])
    n = len(Z_a)
    if n_neighbors >= n:
        raise ValueError(
            f"n_neighbors={n_neighbors} neighbors are needed for each row, but there are only "
            f"{n - 1} other rows: use fewer neighbors, or more rows."
        )
    shared = sum(
        np.sum(_nearest(Z_a, rows, n_neighbors) * _nearest(Z_b, rows, n_neighbors))
        for rows in _blocks(n)
    )
    return float(shared / (n * n_neighbors))


def _nearest(Z, rows, n_neighbors):
    """Return the probability that each row is a neighbor of `rows`, ``(len(rows), n)``.

    It is 1 for rows nearer than the last neighbor; rows as near as the last share what is left.
    """
    cosines = Z[rows] @ Z.T
    np.fill_diagonal(cosines[:, rows], -np.inf)
    last = np.partition(cosines, -n_neighbors, axis=1)[:, -n_neighbors, None]
    nearer = cosines > last + ALIKE
    as_near = np.abs(cosines - last) <= ALIKE
    left = n_neighbors - nearer.sum(axis=1, keepdims=True)
    return nearer + as_near * (left / as_near.sum(axis=1, keepdims=True))


def _blocks(n):
    """Return slices of rows, few enough to be compared with all n at once."""
    n_rows = max(1, VALUES_AT_ONCE // n)
    return [slice(start, min(start + n_rows, n)) for start in range(0, n, n_rows)]


def _normalized(Z):
    """Return rows of length 1; rows of zeros are left as they are."""
    largest = np.abs(Z).max(axis=1, keepdims=True)
    Z = Z / np.where(largest > 0, largest, 1)  # as in _scaled
    lengths = np.linalg.norm(Z, axis=1, keepdims=True)
    return Z / np.where(lengths > 0, lengths, 1)


def _rows(Z, name="Z"):
    Z = unmasked(Z)  # NaN is refused below
    return check_array(Z, dtype=np.float64, ensure_min_samples=2, input_name=name)


def _pair(Z_a, Z_b):
    return _rows(Z_a, "Z_a"), _rows(Z_b, "Z_b")


def _check_same(shape_a, shape_b):
    if shape_a != shape_b:
        raise ValueError(
            "Z_a and Z_b must hold the same rows, in the same order, got "
            f"{' and '.join(map(str, (shape_a, shape_b)))}."
        )
