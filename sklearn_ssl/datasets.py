"""Data sets that need no other package than this one, for examples and experiments."""

import importlib
import inspect
import re

import numpy as np
from sklearn.datasets import load_digits

SCIPY_TOPICS = (
    *("fft", "integrate", "interpolate", "linalg", "ndimage", "optimize"),
    *("signal", "sparse", "spatial", "special", "stats"),
)


def load_scipy_docstrings():
    """Load SciPy's descriptions of its functions and classes, with the topic of each.

    SciPy is always installed with this package. Other versions have slightly different texts.

    Returns
    -------
    texts : list of str
        About 1,240 descriptions with a median of 35 words, without the sections for parameters,
        notes or examples. Each paragraph is a line; there are no duplicates.
    y : ndarray of shape (n,) of str
        One of eleven subpackages of SciPy: "special" and "stats" have about 300 texts each,
        "signal" half of that, "linalg", "optimize" and "ndimage" from 60 to 100, and the others
        fewer.
    """
    topics = {}
    for topic in SCIPY_TOPICS:
        module = importlib.import_module(f"scipy.{topic}")
        for name in module.__all__:
            text = _description(name, getattr(module, name))
            if text:
                topics.setdefault(text, topic)
    return list(topics), np.array(list(topics.values()))


def _description(name, documented):
    """Return the paragraphs of a docstring before its sections, without markup."""
    if not callable(documented):
        return ""
    text = re.split(r"\n[A-Z][A-Za-z ]+\n-{3,}", inspect.getdoc(documented) or "")[0]
    paragraphs = [" ".join(paragraph.split()) for paragraph in re.split(r"\n\s*\n", text)]
    return "\n".join(p for p in paragraphs if p and not p.startswith((f"{name}(", ".. ")))


def make_moving_digits(n_clips, n_frames=10, *, side=20, random_state=0):
    """Make clips of handwritten digits that move across a dark canvas and bounce off its borders.

    Parameters
    ----------
    n_clips : int
    n_frames : int, default=10
        Frames of each clip.
    side : int, default=20
        Height and width of the canvas, at least 9 pixels. The digits, from
        :func:`sklearn.datasets.load_digits`, have 8.
    random_state : int, default=0
        Seed of the digits, their starting points and their speeds: at most 2 pixels per frame in
        either direction, and not 0 in both.

    Returns
    -------
    X : ndarray of shape (n_clips, n_frames, side, side) of uint8
    y : ndarray of shape (n_clips,)
        The digits, 0 to 9.
    """
    rng = np.random.default_rng(random_state)
    images, labels = load_digits(return_X_y=True)
    images = np.rint(images.reshape(-1, 8, 8) * (255 / 16)).astype(np.uint8)
    drawn = rng.integers(len(images), size=n_clips)
    speeds = np.array([(i, j) for i in range(-2, 3) for j in range(-2, 3) if (i, j) != (0, 0)])
    speed = rng.choice(speeds, n_clips)
    room = side - 8
    start = rng.integers(0, 2 * room, (n_clips, 2))
    # A point going around a circle of twice the room moves back and forth when seen from the side.
    angle = (start[:, None] + speed[:, None] * np.arange(n_frames)[:, None]) % (2 * room)
    corner = np.minimum(angle, 2 * room - angle)  # [n_clips, n_frames, 2]
    X = np.zeros((n_clips, n_frames, side, side), np.uint8)
    for clip, digit, path in zip(X, images[drawn], corner):
        for frame, (i, j) in zip(clip, path):
            frame[i : i + 8, j : j + 8] = digit
    return X, labels[drawn]
