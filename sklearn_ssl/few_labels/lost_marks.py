"""Marks of missing labels that have turned into labels, and would be learned as one more class.

``y[40:] = -1`` writes "-1" into an array of strings, ``y[40:] = None`` writes "None", and both are
cut at the width of the array: "Non" next to "yes". ``astype(str)`` does this to whole columns.
These rules apply:

- Nobody names a class "nan", "<NA>", "unlabeled" or "", or "-1" if the other classes are words or
  count from 0: refused in every container.
- "None", and what is left of a mark that was cut, may be the name of a class: "Non" next to "Oui",
  "N" in an electrocardiogram. It is suspected only if there are two other classes, because
  otherwise nothing would be left to learn. If its style differs from all of these, as "None" next
  to "good" and "bad", it is refused in arrays of strings of one width; in the same style, there is
  a warning if most rows have it. All other containers can hold None itself, but ``astype(str)`` of
  pandas writes "None": there is a warning if most rows have it, in another style.
- "-1" is a class if the only other class is "1", or if there are other negative numbers. Next to
  "0" and "1" it may be either, and there is a warning if most rows have it.
- ``astype(np.uint8)`` turns -1 into 255: refused next to 0 to k, for k of at least 1.
"""

import warnings
from enum import Enum

import numpy as np

NAMES_OF_NO_CLASS = ("nan", "NaN", "<NA>", "NaT", "", "unlabeled", "unlabelled")
MINUS_ONE = ("-1", "-1.", "-1.0")
CUT = ("-1", "None", "nan", "<NA>", "NaT")

Suspicion = Enum("Suspicion", ["NONE", "DOUBT", "CERTAINTY"])


def check_string_marks(labels, width=None):
    """Refuse labels that are marks of missing labels, and warn in case of doubt.

    Parameters
    ----------
    labels : ndarray of str of shape (n,)
    width : int, default=None
        Where a mark would have been cut: the width of the array of strings that the labels come
        from, if they do.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn_ssl.few_labels.lost_marks import check_string_marks
    >>> y = np.array(["yes", "no", "yes", "no"])
    >>> y[2:] = None
    >>> check_string_marks(y, width=3)
    Traceback (most recent call last):
        ...
    ValueError: 2 of the 4 labels in y are 'Non', which is ...
    """
    classes, counts = np.unique(labels, return_counts=True)
    for mark, count in zip(classes.tolist(), counts.tolist()):
        suspicion = _suspicion(mark, [name for name in classes.tolist() if name != mark], width)
        if suspicion is Suspicion.CERTAINTY:
            raise ValueError(_message(mark, count, len(labels)))
        if suspicion is Suspicion.DOUBT and count > len(labels) / 2:
            warnings.warn(_message(mark, count, len(labels)), UserWarning, stacklevel=2)


def _suspicion(mark, others, width):
    if mark in NAMES_OF_NO_CLASS:
        return Suspicion.CERTAINTY
    if mark in MINUS_ONE:
        return _suspicion_of_minus_one(others)
    if len(others) < 2 or not (mark == "None" or _is_cut(mark, width)):
        return Suspicion.NONE
    is_alike = _style(mark) in map(_style, others)
    if width is None:
        return Suspicion.NONE if is_alike else Suspicion.DOUBT
    return Suspicion.DOUBT if is_alike else Suspicion.CERTAINTY


def _suspicion_of_minus_one(others):
    try:
        numbers = {float(name) for name in others}
    except ValueError:  # words
        return Suspicion.CERTAINTY
    if min(numbers, default=-1) < 0 or len(numbers) < 2:
        return Suspicion.NONE
    return Suspicion.DOUBT if numbers == {0, 1} else Suspicion.CERTAINTY


def _is_cut(mark, width):
    return any(mark == whole[:width] != whole for whole in CUT)


def _style(name):
    """Return the kind of letters or digits in a name, and whether it has other characters."""
    letters = "".join(c for c in name if c.isalpha())
    signs = any(not c.isalnum() for c in name)
    if not letters:
        return "digits" if any(c.isdigit() for c in name) else "none", signs
    return "large" if letters.isupper() else "small" if letters.islower() else "both", signs


def check_unsigned_marks(labels):
    """Refuse the largest number of an unsigned type beside 0 to k: it is what becomes of -1.

    Parameters
    ----------
    labels : ndarray of unsigned integers of shape (n,)

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn_ssl.few_labels.lost_marks import check_unsigned_marks
    >>> check_unsigned_marks(np.array([0, 1, 2, -1]).astype(np.uint8))
    Traceback (most recent call last):
        ...
    ValueError: 1 of the 4 labels in y are 255, which is what -1 turns into in an array of uint8...
    """
    largest = np.iinfo(labels.dtype).max
    count = int(np.sum(labels == largest))
    others = np.unique(labels[labels != largest])
    if count and len(others) > 1 and np.array_equal(others, np.arange(len(others))):
        raise ValueError(
            f"{count:,} of the {len(labels):,} labels in y are {largest}, which is what -1 turns "
            f"into in an array of {labels.dtype}. If these rows have no label, restore -1: y = "
            f"np.where(y == {largest}, -1, y.astype(int)). If {largest} is a class, use y = "
            "y.astype(int)."
        )


def _message(mark, count, n):
    is_cut = mark not in (*NAMES_OF_NO_CLASS, *MINUS_ONE, "None")
    escape = "use y = y.astype(object)" if is_cut else "give it another name"
    return (
        f"{count:,} of the {n:,} labels in y are {mark!r}, which is what a mark of missing labels "
        "(-1, None, NaN) turns into among strings. If these rows have no label, mark them in an "
        "array that can hold the mark: first y = y.astype(object), then y[rows] = None. If "
        f"{mark!r} is a class, {escape}."
    )
