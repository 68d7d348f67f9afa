"""Estimators as values that JSON knows and named arrays, and back.

Values that JSON knows stand for themselves. Anything else is a dictionary of one entry or two whose
first key says what it is: ``{"tuple": [...]}``, ``{"array": name}``, ``{"object": class, "state":
...}``. Classes and functions are names, see :mod:`sklearn_ssl.model_files.allowed`.
"""

import functools
import inspect
import math
import warnings
from dataclasses import fields
from numbers import Real
from pathlib import Path

import numpy as np
from sklearn.base import BaseEstimator
from sklearn.utils.metadata_routing import MetadataRequest
from torch import nn
from torchvision.models import WeightsEnum, get_weight

from sklearn_ssl.base.estimator import BasePretrainer
from sklearn_ssl.data.image import ImageSpec
from sklearn_ssl.model_files.allowed import DESCRIPTIONS, name_of, thing_of
from sklearn_ssl.model_files.memory import BoundedMemory
from sklearn_ssl.tokenization import Tokenizer

NUMBERS = [f"{sign}int{bits}" for sign in ("", "u") for bits in (8, 16, 32, 64)]
NUMBERS += ["bool", "float16", "float32", "float64"]
# Bytes that a network may take while it is built, beside four times those of its arrays: tables of
# positions, for example, are not in a file.
SPARE = 64 * 2**20
ROUTING = "_metadata_request"  # of scikit-learn; it refers to the estimator


class Writer:
    """Turns values into JSON, and collects their arrays.

    Attributes
    ----------
    arrays : dict of str to ndarray
    """

    def __init__(self):
        self.arrays = {}

    def encode(self, value, where):
        """Return a value as JSON knows it.

        Parameters
        ----------
        value : object
        where : str
            Its place in the estimator: the name of an array, and part of messages.
        """
        if value is None or type(value) in (bool, int, str):
            return value
        if type(value) is float:
            return value if math.isfinite(value) else {"float": str(value)}
        if type(value) is list:
            return self._each(value, where)
        if type(value) is tuple:
            return {"tuple": self._each(value, where)}
        if type(value) is dict:
            return self._dictionary(value, where)
        if isinstance(value, np.ndarray):
            return self._array(value, where)
        if isinstance(value, np.generic):
            return self._scalar(value, where)
        if isinstance(value, Path):
            return {"path": str(value)}
        if isinstance(value, WeightsEnum):
            return {"weights": str(value)}
        if isinstance(value, Tokenizer):
            return {"tokenizer": value.to_str()}
        if isinstance(value, functools.partial):
            parts = (value.func, value.args, value.keywords)
            return {"partial": [self.encode(part, where) for part in parts]}
        if isinstance(value, np.random.RandomState):
            return {"random state": self.encode(value.get_state(legacy=False), where)}
        if inspect.isclass(value) or inspect.isroutine(value):
            return {"name": name_of(value, where)}
        name = name_of(type(value), where)
        return {"object": name, "state": self.encode(_state_of(value, where), where)}

    def _each(self, values, where):
        return [self.encode(value, f"{where}.{i}") for i, value in enumerate(values)]

    def _dictionary(self, values, where):
        if all(type(key) is str for key in values):
            prefix = f"{where}." if where else ""
            return {"dict": {k: self.encode(value, prefix + k) for k, value in values.items()}}
        return {"items": [self._each(item, where) for item in values.items()]}

    def _array(self, value, where):
        if value.dtype.kind in "OU":
            items = [self.encode(item, where) for item in value.ravel().tolist()]
            kind = "objects" if value.dtype.kind == "O" else "strings"
            return {kind: items, "shape": list(value.shape)}
        if value.dtype.name not in NUMBERS:
            raise ValueError(f"{where}: model files cannot hold an array of {value.dtype}.")
        if value.flags.f_contiguous and not value.flags.c_contiguous:
            return {"transposed": self._array(value.T, where)}  # products keep their last bits
        name, n = where, 2
        while name in self.arrays:
            name, n = f"{where} ({n})", n + 1
        self.arrays[name] = value
        return {"array": name}

    def _scalar(self, value, where):
        if isinstance(value, str):
            return str(value)
        if value.dtype.name not in NUMBERS:
            raise ValueError(f"{where}: model files cannot hold a {value.dtype}.")
        return {"scalar": self.encode(value.item(), where), "dtype": value.dtype.name}


def _state_of(value, where):
    """Return what an object is restored from."""
    if isinstance(value, DESCRIPTIONS):
        return {field.name: getattr(value, field.name) for field in fields(value)}
    if isinstance(value, nn.Module):
        names = list(inspect.signature(type(value)).parameters)
        missing = [name for name in names if not hasattr(value, name)]
        if missing:
            raise ValueError(
                f"{where} is a {type(value).__name__}, which is saved as the arguments of its "
                f"__init__: it must keep each of them as an attribute, but has no {missing[0]}."
            )
        return {name: getattr(value, name) for name in names}
    state = value.__getstate__()
    if not isinstance(state, dict):
        raise ValueError(f"{where} is a {type(value).__name__}, whose state is not a dictionary.")
    state = {name: part for name, part in state.items() if name != "_skl_callbacks"}
    if isinstance(value, BaseEstimator) and state.get("callbacks"):
        warnings.warn(
            f"{type(value).__name__} is saved without its callbacks. Set them again after loading, "
            "with set_params(callbacks=...), if you continue its training.",
            UserWarning,
            stacklevel=2,
        )
        state["callbacks"] = None
    if isinstance(value, BaseEstimator) and "checkpoint" in state:
        state["checkpoint"] = None  # a folder of this machine
    if ROUTING in state:
        state[ROUTING] = {
            method: request.requests
            for method, request in vars(state[ROUTING]).items()
            if method != "owner"
        }
    return state


class Reader:
    """Turns what a :class:`Writer` made into values again.

    Parameters
    ----------
    arrays : dict of str to torch.Tensor
        Emptied: each is used once.
    """

    def __init__(self, arrays):
        self.arrays = arrays
        n_bytes = sum(array.nbytes for array in arrays.values())
        self.memory = BoundedMemory(4 * n_bytes + SPARE)
        self.decoders = {
            "tuple": lambda values: tuple(self._each(values)),
            "dict": self._dictionary,
            "items": lambda items: dict(map(self._each, items)),
            "float": _not_finite,
            "array": lambda name: self.arrays.pop(name).numpy(),
            "transposed": lambda value: self.decode(value).T,
            "objects": self._objects,
            "strings": lambda items, shape: np.array(items, dtype=str).reshape(shape),
            "scalar": self._scalar,
            "path": Path,
            "weights": get_weight,
            "tokenizer": Tokenizer.from_str,
            "partial": self._partial,
            "random state": self._random_state,
            "name": thing_of,
            "object": self._object,
        }

    def decode(self, value):
        """Return the value that JSON stands for.

        Raises
        ------
        Exception
            Of whatever type, if the file was not written by a :class:`Writer`.
        """
        if isinstance(value, list):
            return self._each(value)
        if not isinstance(value, dict):
            return value
        kind, *parts = value
        return self.decoders[kind](value[kind], **{part: value[part] for part in parts})

    def _each(self, values):
        return [self.decode(value) for value in values]

    def _dictionary(self, values):
        return {name: self.decode(value) for name, value in values.items()}

    def _objects(self, items, shape):
        values = np.empty(len(items), dtype=object)
        for i, item in enumerate(items):  # values[:] = would take tuples apart
            values[i] = self.decode(item)
        return values.reshape(shape)

    def _scalar(self, value, dtype):
        if dtype not in NUMBERS:
            raise ValueError(f"{str(dtype)[:200]!r} is not a type of numbers")
        return np.dtype(dtype).type(self.decode(value))

    def _partial(self, parts):
        function, args, keywords = self._each(parts)
        return functools.partial(function, *args, **keywords)

    def _random_state(self, state):
        random_state = np.random.RandomState()
        random_state.set_state(self.decode(state))
        return random_state

    def _object(self, name, state):
        cls, state = thing_of(name), self.decode(state)
        if issubclass(cls, DESCRIPTIONS):
            return _checked(cls(**state))
        if issubclass(cls, nn.Module):
            return cls(**state)
        value = cls.__new__(cls)
        _check_names(cls, state)
        if ROUTING in state:
            state[ROUTING] = _routing(value, state[ROUTING])
        if issubclass(cls, BasePretrainer) and "_task_params" in state:
            cls(**state["_task_params"])._validate_params()
        if hasattr(value, "__setstate__"):
            with self.memory:
                value.__setstate__(state)
        else:
            vars(value).update(state)
        return value


def _not_finite(text):
    if text not in ("nan", "inf", "-inf"):
        raise ValueError(f"{str(text)[:200]!r} is not infinite")
    return float(text)


def _checked(spec):
    """Return a description whose entries have the types that its class says."""
    for field in fields(spec):
        value = getattr(spec, field.name)
        expected = Real if field.type is float else field.type
        if not isinstance(expected, str) and not isinstance(value, expected):
            raise ValueError(f"{type(spec).__name__}.{field.name} is a {type(value).__name__}")
    if isinstance(spec, ImageSpec) and spec.loads_weights:
        raise ValueError("it names another file with weights")
    return spec


def _check_names(cls, state):
    """Refuse a state that hides a method of its class."""
    parameters = inspect.signature(cls).parameters
    for name in state:
        if name not in parameters and hasattr(cls, name):
            raise ValueError(f"{cls.__name__}.{name} is not what a file may set")


def _routing(estimator, requests):
    request = MetadataRequest(owner=estimator)
    for method, of_method in requests.items():
        for param, alias in of_method.items():
            getattr(request, method).add_request(param=param, alias=alias)
    return request
