"""Which labels are missing, in every way that users write them."""

import numpy as np
import pandas as pd
import pytest

from sklearn_ssl._labels import is_unlabeled, label_array


@pytest.mark.parametrize(
    ("y", "expected"),
    [
        ([0, 1, -1], [0, 0, 1]),
        (np.array([0, 1, -1], np.int8), [0, 0, 1]),
        (np.array([0, 255], np.uint8), [0, 0]),
        ([0.0, -1.0, np.nan], [0, 1, 1]),
        (["a", None, "b"], [0, 1, 0]),
        (["a", np.nan, "b"], [0, 1, 0]),
        (["a", -1, "-1"], [0, 1, 0]),
        (np.array(["a", "-1", "None"]), [0, 0, 0]),
        (np.array(["a", -1.0, None, 1, True], object), [0, 1, 1, 0, 0]),
        ([True, False], [0, 0]),
        (pd.Series(["a", None, "b"]), [0, 1, 0]),
        (pd.Series(["a", pd.NA, "b"], dtype="string"), [0, 1, 0]),
        (pd.Series([1, pd.NA, -1], dtype="Int64"), [0, 1, 1]),
        (pd.Series(["a", np.nan, "b"], dtype="category"), [0, 1, 0]),
        (pd.Series([True, None], dtype="boolean"), [0, 1]),
        ([], []),
    ],
)
def test_classes(y, expected):
    assert is_unlabeled(y).tolist() == [bool(e) for e in expected]


@pytest.mark.parametrize(
    ("y", "expected"),
    [
        ([0, 1, -1], [0, 0, 0]),
        ([0.0, -1.0, np.nan], [0, 0, 1]),
        ([0.5, None, -1], [0, 1, 0]),
        (pd.Series([0.5, np.nan, -1]), [0, 1, 0]),
    ],
)
def test_numbers(y, expected):
    assert is_unlabeled(y, regression=True).tolist() == [bool(e) for e in expected]


def test_strings_stay_what_they_are():
    assert label_array(["a", None]).tolist() == ["a", None]
    assert label_array(["a", "b"]).dtype.kind == "U"
    assert label_array([1, 2]).dtype.kind == "i"
