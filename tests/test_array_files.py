"""Files of arrays: what comes back, and what happens to files that are damaged or hostile."""

import hashlib
import json
import os

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.torch import load_file

from sklearn_ssl import _array_files
from sklearn_ssl._array_files import ModelFileError, read_arrays, write_arrays

JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    # a lone surrogate is no text
    | st.text(st.characters(exclude_categories=["Cs"])),
    lambda values: st.lists(values) | st.dictionaries(st.text('abc sha256"\\:'), values),
    max_leaves=10,
)


@pytest.fixture
def path(tmp_path):
    return tmp_path / "arrays"


def assert_read(path, arrays, metadata):
    read, read_metadata = read_arrays(path)
    assert read_metadata == metadata
    assert read.keys() == arrays.keys()
    for name, array in arrays.items():
        expected = torch.as_tensor(np.array(array) if isinstance(array, np.ndarray) else array)
        assert read[name].dtype == expected.dtype
        assert torch.equal(read[name], expected)


def test_arrays_of_every_dtype_come_back(path):
    floats, integers = (64, 32, 16), (64, 32, 16, 8)
    names = [
        *(f"float{bits}" for bits in floats),
        *(f"{sign}int{bits}" for sign in ("", "u") for bits in integers),
        "bfloat16",
        "bool",
    ]
    arrays = {name: torch.tensor([[0, 1, 7]]).to(getattr(torch, name)) for name in names}
    write_arrays(path, arrays, {})
    assert_read(path, arrays, {})


def test_arrays_of_any_layout_come_back(path):
    weights = torch.randn(4, 3, 2, 2)
    arrays = {
        "channels last": weights.to(memory_format=torch.channels_last),
        "view": weights[::2, 1],
        "tied": weights,
        "tied, too": weights,
        "scalar": torch.tensor(3.0),
        "empty": torch.zeros(0, 5),
        "numpy": np.arange(6).reshape(2, 3).T,
        "backward": np.arange(6.0)[::-1].copy(),
        "numpy scalar": np.array(2.5),
        "read-only": np.broadcast_to(np.float32(1), (3,)),
    }
    write_arrays(path, arrays, {"epoch": 3})
    assert_read(path, arrays, {"epoch": 3})
    assert load_file(path).keys() == arrays.keys()  # any safetensors reader reads it


@settings(max_examples=25)
@given(metadata=st.dictionaries(st.text('abc"\\'), JSON))
def test_metadata_come_back(metadata, tmp_path_factory):
    path = tmp_path_factory.mktemp("files") / "arrays"
    write_arrays(path, {}, metadata)
    assert read_arrays(path) == ({}, metadata)


def test_equal_content_gives_equal_files(tmp_path):
    for name in ("a", "b"):
        write_arrays(tmp_path / name, {"w": np.arange(3), "v": np.ones(2)}, {"x": [1, 2.5, None]})
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()


@pytest.mark.parametrize("value", [np.nan, np.inf, {"a": [-np.inf]}, object(), 1j])
def test_metadata_that_json_does_not_know(path, value):
    with pytest.raises((ValueError, TypeError), match=r"JSON"):
        write_arrays(path, {}, {"value": value})
    assert os.listdir(path.parent) == []


def test_an_array_of_strings_is_not_written(path):
    with pytest.raises(TypeError, match=r"numpy\.str_"):
        write_arrays(path, {"words": np.array(["a"])}, {})
    assert os.listdir(path.parent) == []


@pytest.mark.parametrize("error", [OSError("No space left on device"), KeyboardInterrupt()])
def test_a_failure_leaves_the_old_file_and_no_other(path, error, monkeypatch):
    write_arrays(path, {"w": np.arange(3)}, {})
    before = path.read_bytes()

    def fail(descriptor):
        raise error

    monkeypatch.setattr(_array_files.os, "fsync", fail)
    with pytest.raises(type(error)):
        write_arrays(path, {"w": np.arange(9)}, {})
    assert path.read_bytes() == before
    assert os.listdir(path.parent) == [path.name]


def test_a_missing_folder_is_an_os_error_with_its_name(tmp_path):
    with pytest.raises(OSError, match=r"missing.arrays could not be written"):
        write_arrays(tmp_path / "missing" / "arrays", {"w": np.arange(3)}, {})


def test_a_missing_file_is_an_os_error(path):
    with pytest.raises(FileNotFoundError):
        read_arrays(path)


def test_every_changed_byte_is_noticed(path):
    write_arrays(path, {"w": np.arange(5.0), "b": np.arange(3) > 1}, {"history": [0.5, 0.25]})
    content = path.read_bytes()
    rng = np.random.default_rng(0)
    for place in range(len(content)):
        changed = bytearray(content)
        changed[place] ^= rng.integers(1, 256)
        path.write_bytes(changed)
        with pytest.raises(ModelFileError, match=str(path)):
            read_arrays(path)


def test_every_truncation_and_any_addition_is_noticed(path):
    write_arrays(path, {"w": np.arange(5.0)}, {"history": [0.5, 0.25]})
    content = path.read_bytes()
    for changed in (*(content[:end] for end in range(len(content))), content + b"\0"):
        path.write_bytes(changed)
        with pytest.raises(ModelFileError, match=str(path)):
            read_arrays(path)


def hostile(path, header, data=b"", length=None):
    """Write a file with a header of one's own and the right sha256."""
    header = header.encode()
    length = len(header) if length is None else length
    blank = header.replace(b"SHA256", b"0" * 64)
    length += len(blank) - len(header)
    start = length.to_bytes(8, "little")
    whole = start + blank + data
    sha256 = hashlib.sha256(whole.replace(b"0" * 64, b"", 1)).hexdigest().encode()
    path.write_bytes(whole.replace(b"0" * 64, sha256, 1))


def header(arrays="", metadata="{}"):
    document = json.dumps('{"sha256":"SHA256","metadata":' + metadata + "}")
    return '{"__metadata__":{"sklearn_ssl":' + document + "}" + arrays + "}"


def entry(name="w", dtype="F32", shape=(2,), offsets=(0, 8)):
    values = {"dtype": dtype, "shape": list(shape), "data_offsets": list(offsets)}
    return f", {json.dumps(name)}: {json.dumps(values)}"


def test_a_file_of_ones_own_with_the_right_sha256_is_read(path):
    hostile(path, header(entry(), '{"a": 1}'), bytes(8))
    assert_read(path, {"w": torch.zeros(2)}, {"a": 1})


HOSTILE = {
    "overlap": (header(entry() + entry("v")), bytes(8)),
    "hole": (header(entry() + entry("v", offsets=(12, 20))), bytes(20)),
    "negative offset": (header(entry(offsets=(-8, 0))), bytes(8)),
    "reversed offsets": (header(entry(offsets=(8, 0))), bytes(8)),
    "beyond the end": (header(entry(shape=(2000,), offsets=(0, 8000))), bytes(8)),
    "other shape": (header(entry(shape=(3,))), bytes(8)),
    "negative shape": (header(entry(shape=(-2,))), bytes(8)),
    "shape that overflows": (header(entry(shape=(2**62, 4))), bytes(8)),
    "huge shape": (header(entry(shape=(10**40,))), bytes(8)),
    "unknown dtype": (header(entry(dtype="O")), bytes(8)),
    "more data": (header(entry()), bytes(80)),
    "no entry": ('{"__metadata__":{"other":"{\\"sha256\\":\\"SHA256\\"}"}}',),
    "document that is a list": (
        '{"__metadata__":{"sklearn_ssl":"[{\\"sha256\\":\\"SHA256\\"}]"}}',
    ),
    "no metadata": ('{"__metadata__":{"sklearn_ssl":"{\\"sha256\\":\\"SHA256\\"}"}}',),
    "NaN": (header(metadata='{"lr": NaN}'),),
    "infinity": (header(metadata='{"lr": [-Infinity]}'),),
    "infinity in digits": (header(metadata='{"lr": 1e999}'),),
    "name twice": (header(metadata='{"lr": 1, "lr": 2}'),),
    "more digits than Python reads": (header(metadata='{"lr": ' + "9" * 5000 + "}"),),
    "deep": (header(metadata="[" * 200_000 + "]" * 200_000),),
    "no JSON": (header(metadata="{'lr': 1}"),),
    "header without an end": (header()[:-1],),
    "huge header": (header(), b"", 2**63),
    "header as long as the library allows": (header(), b"", 99_999_000),
}


@pytest.mark.parametrize("content", HOSTILE.values(), ids=HOSTILE.keys())
def test_a_hostile_file_is_refused(path, content):
    hostile(path, *content)
    with pytest.raises(ModelFileError, match=str(path)):
        read_arrays(path)
