"""Values as JSON and arrays, and back."""

import json
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as npst
from scipy.sparse import csr_array

from sklearn_ssl.augment import FeatureCorruption, ImageAugmentation
from sklearn_ssl.encoders import TextEncoder
from sklearn_ssl.model_files.codec import NUMBERS, Reader, Writer
from sklearn_ssl.tokenization import train_tokenizer

SCALARS = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text()
    | st.builds(np.float32, st.floats(width=32))
    | st.builds(np.float64, st.floats())
    | st.builds(np.int16, st.integers(-9, 9))
    | st.builds(np.bool_, st.booleans())
)
ARRAYS = npst.arrays(
    st.sampled_from([*NUMBERS, "<U3"]), npst.array_shapes(min_dims=0, min_side=0, max_dims=3)
)
KEYS = st.text() | st.integers() | st.booleans()
VALUES = st.recursive(
    SCALARS | ARRAYS,
    lambda values: (
        st.lists(values) | st.tuples(values, values) | st.dictionaries(KEYS, values, max_size=3)
    ),
    max_leaves=8,
)


def of_tuples(*tuples):
    array = np.empty(len(tuples), dtype=object)
    for i, item in enumerate(tuples):
        array[i] = item
    return array


def through_json(value):
    writer = Writer()
    text = json.dumps(writer.encode(value, "value"), allow_nan=False)
    arrays = {name: torch.from_numpy(np.array(a, order="C")) for name, a in writer.arrays.items()}
    reader = Reader(arrays)
    decoded = reader.decode(json.loads(text))
    assert reader.arrays == {}
    return decoded


def assert_same(got, expected):
    assert type(got) is type(expected)
    if isinstance(expected, dict):
        assert list(got) == list(expected)
        assert_same(list(got.values()), list(expected.values()))
    elif isinstance(expected, list | tuple):
        assert len(got) == len(expected)
        for one, other in zip(got, expected, strict=True):
            assert_same(one, other)
    elif isinstance(expected, np.ndarray):
        assert got.dtype.kind == expected.dtype.kind
        np.testing.assert_array_equal(got, expected)
    else:
        np.testing.assert_equal(got, expected)


@settings(max_examples=200)
@given(value=VALUES)
def test_values_come_back(value):
    assert_same(through_json(value), value)


@pytest.mark.parametrize(
    "value",
    [
        np.array(["a", None, 3, (1, 2.5)], dtype=object),
        np.array([["a", "b"], [1, None]], dtype=object),
        of_tuples((1, 2), (3, 4)),
        np.arange(6.0).reshape(2, 3).T,
        Path("folder") / "file",
        {"a": {(1, "x"): [np.inf, -np.inf]}},
    ],
)
def test_rarer_values_come_back(value):
    assert_same(through_json(value), value)


def test_the_layout_of_a_matrix_comes_back():
    assert through_json(np.arange(6.0).reshape(2, 3).T).flags.f_contiguous
    assert through_json(np.arange(6.0).reshape(2, 3)).flags.c_contiguous


def test_a_random_state_goes_on():
    random_state = np.random.RandomState(0)
    random_state.normal(size=3)
    twin = through_json(random_state)
    np.testing.assert_array_equal(twin.normal(size=5), random_state.normal(size=5))


def test_functions_with_arguments_come_back():
    make = through_json(partial(TextEncoder, width=64, depth=1))
    assert make.func is TextEncoder
    assert make.keywords == {"width": 64, "depth": 1}


def test_a_tokenizer_comes_back():
    tokenizer = train_tokenizer(["the cat and the hat"] * 9, 264)
    assert through_json(tokenizer).encode("the mat").ids == tokenizer.encode("the mat").ids


@pytest.mark.parametrize(
    "augment", [ImageAugmentation(scale=(0.3, 1), jitter=0.5), FeatureCorruption(0.2)]
)
def test_augmentations_come_back(augment):
    twin = through_json([augment])[0]
    assert type(twin) is type(augment)
    simple = {name: value for name, value in vars(augment).items() if name[0] != "_"}
    assert {name: vars(twin)[name] for name in simple} == simple


class Stranger:
    pass


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ({"encoder": lambda shape: None}, r"^encoder holds .*<lambda>.*register_model_class"),
        ({"a": {"b": [0, Stranger()]}}, r"^a\.b\.1 holds .*Stranger"),
        ({"f": torch.load}, r"^f holds torch\.\S*load"),
        ({"x": np.array([1 + 1j])}, "x: model files cannot hold an array of complex128"),
        ({"x": np.array(["2020-01-01"], dtype="datetime64[D]")}, r"an array of datetime64\[D\]"),
        ({"x": np.complex64(1)}, "x: model files cannot hold a complex64"),
        ({"x": csr_array(np.eye(2))}, "^x holds scipy.sparse"),
    ],
)
def test_what_cannot_be_held_is_named(value, message):
    with pytest.raises(ValueError, match=message):
        Writer().encode(value, "")
