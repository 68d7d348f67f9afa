"""Data sets that are there wherever the package is."""

from collections import Counter

import numpy as np

from sklearn_ssl import datasets


def test_moving_digits_are_digits_that_move_and_bounce(digits):
    X, y = datasets.make_moving_digits(50, 12, side=14, random_state=3)
    assert X.shape == (50, 12, 14, 14)
    assert X.dtype == np.uint8
    images = {
        image.tobytes(): label for image, label in zip(np.rint(digits[0] * 255 / 16), digits[1])
    }
    for clip, label in zip(X, y):
        corners = []
        for frame in clip:
            found = [
                (i, j)
                for i in range(7)
                for j in range(7)
                if images.get(frame[i : i + 8, j : j + 8].astype(float).tobytes()) == label
                and frame[i : i + 8, j : j + 8].sum() == frame.sum()
            ]
            corners.append(found[0])
        speed = np.abs(np.diff(corners, axis=0))
        assert speed.max() in (1, 2)
        assert (speed.max(axis=0) - speed.min(axis=0) <= 2).all()
    again, _ = datasets.make_moving_digits(50, 12, side=14, random_state=3)
    np.testing.assert_array_equal(again, X)
    assert not np.array_equal(datasets.make_moving_digits(50, 12, side=14, random_state=4)[0], X)


def test_scipy_docstrings_are_descriptions_with_their_topic():
    texts, y = datasets.load_scipy_docstrings()
    assert len(texts) == len(set(texts)) == len(y) > 1000
    counts = Counter(y)
    assert min(counts[topic] for topic in ("special", "stats", "signal", "linalg")) > 80
    described = {text.partition("\n")[0]: topic for text, topic in zip(texts, y)}
    assert described["Perform Bartlett's test for equal variances."] == "stats"
    assert described["Huber loss function."] == "special"
    assert not any("Parameters" in text.splitlines() or "\n\n" in text for text in texts)
