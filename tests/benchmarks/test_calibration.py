"""What the benchmark of calibration measures, next to what it is by definition."""

import numpy as np
import pytest
from sklearn.metrics import brier_score_loss

from benchmarks.calibration import brier_score, calibration_error

rng = np.random.default_rng(0)
CLASSES = np.array(["a", "b", "c"])
PROBABILITIES = rng.dirichlet(np.ones(3), size=200)
Y = CLASSES[rng.integers(0, 3, 200)]


def test_the_calibration_error_is_the_mean_gap_of_the_bins():
    confidence = PROBABILITIES.max(axis=1)
    correct = CLASSES[PROBABILITIES.argmax(axis=1)] == Y
    gaps = []
    for k in range(15):
        inside = (confidence >= k / 15) & (confidence < (k + 1) / 15)
        if inside.any():
            gaps.append(inside.mean() * abs(confidence[inside].mean() - correct[inside].mean()))
    assert calibration_error(Y, PROBABILITIES, CLASSES) == pytest.approx(sum(gaps))


def test_a_sure_answer_that_is_right_has_no_error():
    sure = (Y[:, None] == CLASSES).astype(float)
    assert calibration_error(Y, sure, CLASSES) == brier_score(Y, sure, CLASSES) == 0


def test_the_brier_score_is_that_of_scikit_learn():
    expected = brier_score_loss(Y, PROBABILITIES, scale_by_half=False)
    assert brier_score(Y, PROBABILITIES, CLASSES) == pytest.approx(expected)
