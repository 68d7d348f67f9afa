"""Normal scores as operations on tensors, for ONNX, which has no interpolation and no inverse CDF.

Outside of exported networks, NumPy's interpolation and SciPy's ``ndtri`` are faster.
"""

import torch

# PPND7 of M. Wichura, "Algorithm AS 241: The Percentage Points of the Normal Distribution", Applied
# Statistics 37, 1988, with errors up to 1e-7. Numerators and denominators, lowest powers first.
CENTER = 0.425  # probabilities less than this away from a half
NUMERATOR = 3.3871327179, 50.434271938, 159.29113202, 59.109374720
DENOMINATOR = 1.0, 17.895169469, 78.757757664, 67.187563600
TAIL_NUMERATOR = 1.4234372777, 2.7568153900, 1.3067284816, 0.17023821103
TAIL_DENOMINATOR = 1.0, 0.73700164250, 0.12021132975


def normal_scores(rows, quantiles):
    """Return numbers of a normal distribution at the same quantiles as the numbers of each column.

    Parameters
    ----------
    rows : torch.Tensor of shape (n, features)
        In float64. NaN stays NaN.
    quantiles : torch.Tensor of shape (n_quantiles, features)
        Of each column, at the levels ``(i + 1 / 2) / n_quantiles``.
    """
    # From both sides: a value that spans several quantiles gets their middle.
    below, above = _levels_at(rows, quantiles), _levels_at(-rows, -quantiles.flip(0))
    return inverse_normal((below + 1 - above) / 2)


def _levels_at(rows, quantiles):
    """Interpolate the levels of quantiles, as np.interp does, in each column."""
    n = len(quantiles)
    n_below = (rows[:, None] >= quantiles).sum(dim=1)  # [n_rows, features]
    place = (n_below - 1).clamp(0, n - 2)
    low, high = quantiles.gather(0, place), quantiles.gather(0, place + 1)
    share = ((rows - low) / (high - low)).clamp(0, 1)
    share = torch.where(n_below == n, 1, share)  # the last two quantiles may be equal
    return (place + share + 0.5) / n


def inverse_normal(p):
    """Return the numbers that a standard normal is below with probability p, from 1e-10 on.

    Examples
    --------
    >>> import torch
    >>> from sklearn_ssl.data.normal_scores import inverse_normal
    >>> inverse_normal(torch.tensor([0.025, 0.5, 0.975]))
    tensor([-1.9600,  0.0000,  1.9600])
    """
    q = p - 0.5
    r = CENTER**2 - q.square()
    center = q * _polynomial(r, NUMERATOR) / _polynomial(r, DENOMINATOR)
    r = (-torch.minimum(p, 1 - p).log()).sqrt() - 1.6
    tail = q.sign() * _polynomial(r, TAIL_NUMERATOR) / _polynomial(r, TAIL_DENOMINATOR)
    return torch.where(q.abs() <= CENTER, center, tail)


def _polynomial(x, coefficients):
    value = 0.0
    for coefficient in reversed(coefficients):
        value = value * x + coefficient
    return value
