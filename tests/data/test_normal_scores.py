import numpy as np
import torch
from scipy.special import ndtri

from sklearn_ssl.data.normal_scores import inverse_normal, normal_scores


def test_inverse_of_the_normal_distribution():
    tails = np.logspace(-10, -0.4, 1000)
    p = np.concatenate([tails, np.linspace(0.001, 0.999, 1001), 1 - tails])
    got = inverse_normal(torch.from_numpy(p)).numpy()
    np.testing.assert_allclose(got, ndtri(p), rtol=2e-7, atol=1e-9)


def test_scores_of_numbers_between_beyond_and_among_equal_quantiles():
    quantiles = torch.tensor([[0.0], [1.0], [1.0], [1.0], [3.0], [3.0]], dtype=torch.float64)
    rows = torch.tensor([[-9.0], [0.0], [0.5], [1.0], [2.0], [3.0], [9.0], [torch.nan]])
    places = np.array([0.5, 0.5, 1, 2.5, 4, 5, 5.5, np.nan]) / 6
    got = normal_scores(rows.double(), quantiles)[:, 0].numpy()
    np.testing.assert_allclose(got, ndtri(places), rtol=1e-6, atol=1e-9)
