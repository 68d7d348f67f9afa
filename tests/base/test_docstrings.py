"""Every parameter and fitted attribute of every estimator is explained, and defaults are true."""

import inspect
import re

import numpy as np
import pytest
import torch

import sklearn_ssl
from sklearn_ssl.base.docstrings import join_docstrings
from sklearn_ssl.optim import adamw

ESTIMATORS = [
    cls
    for name, cls in vars(sklearn_ssl).items()
    if name in sklearn_ssl.__all__ and hasattr(cls, "get_params")
]
TEXTS = ["the cat sat on the mat", "the dog lay on the rug"] * 4
ROWS = np.random.default_rng(0).normal(size=(24, 6))


def entries_of(cls, title):
    """Return the text behind the name of each entry of a section, up to the end of its line."""
    section = re.search(rf"^{title}\n-+\n(.*?)(\n\n\S|\Z)", inspect.getdoc(cls), re.M | re.S)[1]
    entries = re.findall(r"^(\w+) : (.+)\n +\S", section, re.M)
    assert len(entries) == len(re.findall(r"^\S", section, re.M)), "one name, a type and a text"
    assert len(dict(entries)) == len(entries)
    return dict(entries)


@pytest.mark.parametrize("cls", ESTIMATORS)
def test_every_parameter_is_explained_with_its_default(cls):
    entries = entries_of(cls, "Parameters")
    parameters = inspect.signature(cls).parameters
    assert list(entries) == list(parameters)
    for name, parameter in parameters.items():
        kind, _, default = entries[name].partition(", default=")
        assert kind
        if parameter.default is parameter.empty:
            assert not default
        else:
            assert eval(default, {"torch": torch, "adamw": adamw}) == parameter.default, name


def fitted(cls):
    if cls.__name__.startswith("FineTune"):
        y = np.arange(len(ROWS)) % 2
        strategy = "fixmatch" if cls is sklearn_ssl.FineTuneClassifier else "probe"
        params = {"strategy": strategy, "max_epochs": 0, "random_state": 0}
        return cls(sklearn_ssl.SimCLRTransformer(max_epochs=1), **params).fit(ROWS, y)
    is_of_texts = getattr(cls, "_modalities", None) == ("text",)
    X = TEXTS if is_of_texts else ROWS
    return cls(max_epochs=1).fit(X)


@pytest.mark.parametrize("cls", [cls for cls in ESTIMATORS if not cls.__name__.startswith("Base")])
def test_every_fitted_attribute_is_explained(cls):
    entries = entries_of(cls, "Attributes")
    estimator = fitted(cls)
    public = {name for name in dir(estimator) if re.fullmatch(r"[a-z]\w*_", name)}
    assert public <= {*entries}
    assert {name for name in entries if not hasattr(estimator, name)} <= {"feature_names_in_"}


# Joining --------------------------------------------------------------------------------------

BASE = """A base.

    Parameters
    ----------
    noise : float, default=0.5
        How much.
    gone : int, default=1
        No parameter of the class.

    Attributes
    ----------
    loss_ : float
        The loss.

    Notes
    -----
    Not for others.
    """


def test_own_entries_stand_first_and_replace_others():
    own = """Summary.

    More.

    Parameters
    ----------
    mine : int, default=3
        Mine.
    a, b : int, default=1
        Both.

    Examples
    --------
    >>> 1 + 1
    2
    """
    assert join_docstrings(own, [BASE], ["mine", "a", "b", "noise"]) == inspect.cleandoc(
        """Summary.

        More.

        Parameters
        ----------
        mine : int, default=3
            Mine.
        a, b : int, default=1
            Both.
        noise : float, default=0.5
            How much.

        Attributes
        ----------
        loss_ : float
            The loss.

        Examples
        --------
        >>> 1 + 1
        2
        """
    )
    quiet = own.replace("mine : int, default=3\n        Mine.", "noise : float, default=0.1\n")
    joined = join_docstrings(quiet, [BASE], ["noise", "a", "b"])
    assert "noise : float, default=0.1\n" in joined
    assert "default=0.5" not in joined


@pytest.mark.parametrize("own", ["One line.", "Google.\n\n    Args:\n        x: y\n", "", None])
def test_docstrings_of_any_form(own):
    joined = join_docstrings(own, [None, BASE, ""], ["noise"])
    assert joined.startswith(inspect.cleandoc(own or "Parameters\n----------"))
    assert joined.endswith("loss_ : float\n    The loss.")
    assert join_docstrings(joined, [BASE], ["noise"]) == joined


def test_nothing_is_said_without_docstrings():
    assert join_docstrings(None, [None, None], ["noise"]) is None
    assert join_docstrings("One line.", [], []) == "One line."
