"""The names that model files may hold, and those of the user."""

import os

import pytest
import torch
from sklearn.linear_model import LogisticRegression

import sklearn_ssl
from sklearn_ssl import BasePretrainer, SimCLRTransformer
from sklearn_ssl.model_files import allowed
from sklearn_ssl.model_files.allowed import (
    SKOPS_TRUSTED_TYPES,
    name_of,
    register_model_class,
    thing_of,
)


def my_net(shape):
    return torch.nn.Flatten()


@pytest.fixture(autouse=True)
def nothing_is_registered(monkeypatch):
    monkeypatch.setattr(allowed, "_REGISTERED", {})


def test_every_public_estimator_is_known():
    public = [getattr(sklearn_ssl, name) for name in sklearn_ssl.__all__]
    estimators = [c for c in public if isinstance(c, type) and issubclass(c, BasePretrainer)]
    assert len(estimators) > 20
    for cls in estimators:
        assert thing_of(name_of(cls, "")) is cls
        assert f"{cls.__module__}.{cls.__qualname__}" in SKOPS_TRUSTED_TYPES


@pytest.mark.parametrize("thing", [torch.optim.SGD, torch.optim.AdamW, LogisticRegression])
def test_what_estimators_are_made_with_is_known(thing):
    assert thing_of(name_of(thing, "optimizer")) is thing


@pytest.mark.parametrize(
    "name",
    [
        "os.system",
        "posix.system",
        "builtins.eval",
        "builtins.exec",
        "subprocess.Popen",
        "torch.load",
        "joblib.load",
        "sklearn.pipeline.Pipeline",
        "sklearn_ssl.methods.simclr.np",
        "sklearn_ssl.methods.simclr.SimCLRTask",
        "sklearn_ssl.data.image_files.read",
        "SimCLRTransformer",
        "../../x",
        "sklearn_ssl.methods.simclr.SimCLRTransformer.fit",
        "",
        None,
        3,
        ["sklearn_ssl.optim.adamw"],
        {"name": "sklearn_ssl.optim.adamw"},
    ],
)
def test_other_names_are_refused(name):
    with pytest.raises(ValueError, match="neither of sklearn_ssl nor registered"):
        thing_of(name)


def test_what_skops_may_trust_is_of_this_package_or_an_optimizer():
    assert all(name.startswith(("sklearn_ssl.", "torch.optim.")) for name in SKOPS_TRUSTED_TYPES)


def test_a_function_is_known_once_it_is_registered():
    with pytest.raises(ValueError, match=r"encoder holds .*my_net, .*register_model_class"):
        name_of(my_net, "encoder")
    assert register_model_class(my_net) is my_net
    assert name_of(my_net, "encoder") == f"{__name__}.my_net"
    assert thing_of(f"{__name__}.my_net") is my_net


def test_a_name_of_ones_own_comes_first():
    register_model_class(my_net)
    register_model_class(my_net, "net of 2026")
    assert name_of(my_net, "encoder") == "net of 2026"


def test_a_cell_that_is_run_again_registers_what_it_defines_then():
    register_model_class(my_net, "net")
    register_model_class(os.path.join, "net")
    assert thing_of("net") is os.path.join


@pytest.mark.parametrize("thing", [lambda shape: None, type("Local", (), {}).__init__])
def test_a_lambda_needs_a_name(thing):
    if "<lambda>" in thing.__qualname__:
        with pytest.raises(ValueError, match=r"<lambda> has no name that another process could"):
            register_model_class(thing)
    assert register_model_class(thing, "mine") is thing


@pytest.mark.parametrize("thing", [SimCLRTransformer(), "os.system", None])
def test_only_classes_and_functions_are_registered(thing):
    with pytest.raises(TypeError, match="Only classes and functions"):
        register_model_class(thing)


def test_names_of_the_package_keep_their_meaning():
    name = name_of(SimCLRTransformer, "")
    with pytest.raises(ValueError, match="is known to model files already"):
        register_model_class(my_net, name)
