"""Nested state goes through arrays and JSON unchanged."""

import json
import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from sklearn_ssl.training.state_arrays import as_arrays, from_arrays

VALUES = st.none() | st.booleans() | st.integers() | st.floats() | st.text()
STATES = st.recursive(
    VALUES,
    lambda inner: (
        st.lists(inner)
        | st.lists(inner).map(tuple)
        | st.dictionaries(st.text() | st.integers(), inner)
    ),
)


def through_json(state):
    arrays, tree = as_arrays(state)
    return from_arrays(arrays, json.loads(json.dumps(tree, allow_nan=False)))


@given(STATES)
def test_plain_values_come_back(state):
    returned = through_json(state)
    assert repr(returned) == repr(state)  # NaN is not equal to itself


def test_arrays_are_separated():
    state = {"a": torch.ones(2), 3: [{"b": np.zeros(3)}, (torch.tensor(1.0), 4)]}
    arrays, tree = as_arrays(state)
    assert [array.sum() for array in arrays.values()] == [2, 0, 1]
    returned = from_arrays(arrays, json.loads(json.dumps(tree)))
    assert returned["a"] is state["a"]
    assert returned[3][0]["b"] is state[3][0]["b"]
    assert returned[3][1] == state[3][1]


def test_numbers_of_numpy_become_pythons():
    returned = through_json({"loss": np.float32(0.1), "n": np.int64(3), "best": np.bool_(True)})
    assert returned == {"loss": float(np.float32(0.1)), "n": 3, "best": True}
    assert math.isnan(through_json(np.float64("nan")))


@pytest.mark.parametrize("value", [object(), {1, 2}, b"bytes", torch.float32])
def test_anything_else_is_named(value):
    with pytest.raises(TypeError, match=rf"a/1/b is a {type(value).__name__}, which cannot be"):
        as_arrays({"a": [0, {"b": value}]})
