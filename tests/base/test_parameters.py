"""What an ``__init__`` may look like, and values of parameters that no machine can serve."""

import inspect
import pickle
import threading
from numbers import Integral, Real
from typing import ClassVar

import numpy as np
import pytest
import torch
from sklearn.base import clone
from sklearn.utils._param_validation import Interval, InvalidParameterError
from sklearn.utils.estimator_checks import check_param_validation
from skorch.callbacks import EarlyStopping
from torch import nn

from sklearn_ssl import (
    BaseSSLTransformer,
    CausalLMEmbedder,
    FineTuneClassifier,
    MaskedLMEmbedder,
    NextFrameEmbedder,
    SimCLRTransformer,
    SimCSETransformer,
    TSDAETransformer,
)
from sklearn_ssl.augment import (
    FeatureCorruption,
    ImageAugmentation,
    make_views,
    resolve_augmentation,
)
from sklearn_ssl.base.language_model import BaseTextTransformer
from sklearn_ssl.metrics import embed_views
from tests.helpers import spec_of
from tests.test_common import ESTIMATORS

BASES = [BaseSSLTransformer, BaseTextTransformer, SimCLRTransformer, FineTuneClassifier]


def with_kwargs(self, *, mine=1, **kwargs):
    """Take parameters by any name."""


def with_args(self, *args):
    """Take parameters by place."""


@pytest.mark.parametrize("base", BASES)
@pytest.mark.parametrize(("init", "what"), [(with_kwargs, r"\*\*kwargs"), (with_args, r"\*args")])
def test_init_must_name_every_parameter(base, init, what):
    with pytest.raises(TypeError, match=rf"Mine.__init__ takes {what}.* name every parameter"):
        type("Mine", (base,), {"__init__": init})


def test_init_of_subclasses_that_name_theirs():
    class Mine(SimCLRTransformer):
        def __init__(self, *, mine=1, lr=1e-3):
            super().__init__(lr=lr)
            self.mine = mine

    class Inherits(Mine):
        """Has no __init__ of its own."""

    assert clone(Inherits(mine=3, lr=0.1)).get_params() == {"mine": 3, "lr": 0.1}


# Parameters as fields -------------------------------------------------------------------------


class NoisyTransformer(SimCLRTransformer):
    """Has a parameter of its own.

    Parameters
    ----------
    noise : float, default=0.5
        How much of it.
    """

    noise: float = 0.5
    lr: float = 1e-3

    _counter: ClassVar[int] = 0


class CheckedTransformer(NoisyTransformer):
    _parameter_constraints = {"noise": [Interval(Real, 0, 1, closed="both")]}


def test_a_field_is_a_parameter():
    noisy = NoisyTransformer(noise=0.1, temperature=0.3)
    assert noisy.get_params() == {
        **SimCLRTransformer(temperature=0.3, lr=1e-3).get_params(),
        "noise": 0.1,
    }
    assert repr(clone(noisy)) == "NoisyTransformer(noise=0.1, temperature=0.3)"
    assert clone(noisy).set_params(noise=0.2).noise == 0.2
    assert list(inspect.signature(NoisyTransformer).parameters)[:4] == [
        *("noise", "lr", "temperature", "augment")
    ]
    with pytest.raises(TypeError, match="positional"):
        NoisyTransformer(0.1)
    with pytest.raises(TypeError, match="unexpected keyword argument 'nois'"):
        NoisyTransformer(nois=0.1)
    assert pickle.loads(pickle.dumps(noisy)).noise == 0.1


def test_constraints_of_a_field_that_is_declared_again_are_inherited():
    assert NoisyTransformer._parameter_constraints == {
        **SimCLRTransformer._parameter_constraints,
        "noise": "no_validation",
    }
    with pytest.raises(InvalidParameterError, match="'lr' parameter of NoisyTransformer"):
        NoisyTransformer(lr=0.0).fit(ROWS)
    check_param_validation("NoisyTransformer", NoisyTransformer(max_epochs=1))


def test_constraints_that_are_written_out():
    assert (
        CheckedTransformer._parameter_constraints.keys() == CheckedTransformer().get_params().keys()
    )
    for noise in (2.0, True, "much"):
        with pytest.raises(InvalidParameterError, match="'noise' parameter of CheckedTransformer"):
            CheckedTransformer(noise=noise).fit(ROWS)
    assert CheckedTransformer(noise=1, max_epochs=1).fit(ROWS).noise == 1


def test_an_entry_for_each_parameter_is_in_the_docstring():
    doc = inspect.getdoc(NoisyTransformer)
    assert doc.startswith("Has a parameter of its own.")
    for name in NoisyTransformer().get_params():
        assert doc.count(f"\n{name} : ") == 1
    assert CheckedTransformer.__doc__.endswith(doc[doc.index("\n\nAttributes") :])


def test_fields_beside_an_init():
    class Written(SimCLRTransformer):
        noise: float = 0.5

        def __init__(self, *, noise=0.1):
            super().__init__(max_epochs=1)
            self.noise = noise

    assert Written().get_params() == {"noise": 0.1}
    assert Written().max_epochs == 1
    with pytest.raises(TypeError, match="Below declares more, but the __init__ that it inherits"):
        type("Below", (Written,), {"__annotations__": {"more": float}, "more": 1.0})


# Values that no machine can serve -------------------------------------------------------------

TEN_DIGITS = 10**10
HARMLESS = ("max_epochs", "batch_size", "n_iter_no_change")  # nothing is as large as they are
ROWS = np.random.default_rng(0).normal(size=(48, 6))
TEXTS = [f"the cat number {i} sat on the mat" for i in range(24)]


def counts_of(Estimator):
    """Return the parameters of a class that are whole numbers."""
    return [
        name
        for name, constraints in Estimator._parameter_constraints.items()
        if any(isinstance(c, Interval) and c.type is Integral for c in constraints)
    ]


ALL = [*ESTIMATORS, CausalLMEmbedder, MaskedLMEmbedder, SimCSETransformer, TSDAETransformer]


@pytest.mark.parametrize("Estimator", ALL)
def test_ten_digits_are_refused_by_name(Estimator):
    X = TEXTS if Estimator in ALL[-4:] else ROWS
    names = [name for name in counts_of(Estimator) if name not in HARMLESS]
    assert names
    for name in names:
        with pytest.raises(InvalidParameterError, match=f"'{name}' parameter of"):
            Estimator(**{name: TEN_DIGITS}).fit(X)


@pytest.mark.parametrize("Estimator", [*ALL, FineTuneClassifier])
def test_true_is_no_number(Estimator):
    required = {"transformer": SimCLRTransformer()} if Estimator is FineTuneClassifier else {}
    numbers = [
        name
        for name, constraints in Estimator._parameter_constraints.items()
        if any(isinstance(constraint, Interval) for constraint in constraints)
    ]
    for name in numbers:
        with pytest.raises(
            InvalidParameterError, match=rf"'{name}' parameter of .*Got True instead"
        ):
            Estimator(**required, **{name: True}).fit(ROWS, np.arange(48) % 2)


def test_ten_digits_of_what_is_asked_for():
    ssl = SimCLRTransformer(max_epochs=1, random_state=0).fit(ROWS)
    with pytest.raises(InvalidParameterError, match="'n_views' parameter of"):
        embed_views(ssl, ROWS, n_views=TEN_DIGITS)
    series = NextFrameEmbedder(max_epochs=1, random_state=0).fit(ROWS)
    with pytest.raises(ValueError, match="steps == 10000000000, must be <="):
        series.predict_next(ROWS, steps=TEN_DIGITS)


def test_ten_digits_that_do_no_harm():
    huge = dict.fromkeys(HARMLESS, TEN_DIGITS) | {"n_iter_no_change": 2, "verbose": 1}
    estimator = SimCLRTransformer(early_stopping=True, lr=1e-30, random_state=0, **huge).fit(ROWS)
    assert estimator.n_iter_ < 10
    assert np.isfinite(estimator.score(ROWS))
    stop = EarlyStopping("train_loss", patience=2, threshold=1e9, threshold_mode="abs")
    huge["n_iter_no_change"] = TEN_DIGITS
    assert SimCLRTransformer(early_stopping=True, callbacks=[stop], **huge).fit(ROWS).n_iter_ == 3


# Functions that return what nobody can use ----------------------------------------------------


class Shaped(nn.Module):
    """Returns what a function makes of a linear layer's output."""

    def __init__(self, change):
        super().__init__()
        self.linear = nn.Linear(6, 3)
        self.change = change

    def forward(self, batch):
        return self.change(self.linear(batch))


class WithLock:
    """A function of a batch that cannot be copied."""

    def __init__(self):
        self.lock = threading.Lock()

    def __call__(self, batch):
        return batch


USELESS = {
    "augment: shape": ({"augment": lambda x: x[:, :3]}, ValueError, r"augment .* shape \(6,\)"),
    "augment: axis": ({"augment": lambda x: x[:, None]}, ValueError, r"augment .* shape \(1, 6\)"),
    "augment: float64": ({"augment": torch.Tensor.double}, ValueError, "augment .*torch.float64"),
    "augment: uint8": ({"augment": torch.Tensor.byte}, ValueError, "augment .*torch.uint8"),
    "augment: list": ({"augment": torch.Tensor.tolist}, TypeError, "augment .* got list"),
    "augment: None": ({"augment": lambda x: None}, TypeError, "augment .* got NoneType"),
    "augment: array": ({"augment": torch.Tensor.numpy}, TypeError, "augment .* got ndarray"),
    "augment: empty": ({"augment": []}, ValueError, "augment is empty"),
    "augment: None in it": ({"augment": [None]}, ValueError, "None among its steps"),
    "augment: of images": (
        {"augment": [ImageAugmentation()]},
        ValueError,
        r"ImageAugmentation\(\) changes data of the kind 'image', but X is read as 'table'",
    ),
    "augment: step": ({"augment": [torch.clone, 3]}, TypeError, "augment must consist .* got 3"),
    "augment: inner": (
        {"augment": [torch.clone, torch.Tensor.double, torch.Tensor.float]},
        ValueError,
        "augment .*torch.float64",
    ),
    "augment: lock": ({"augment": WithLock()}, TypeError, "augment .* that can be copied.*_thread"),
    "augment: class": ({"augment": WithLock}, TypeError, "augment must consist of functions"),
    "optimizer: groups": ({"optimizer": torch.optim.LBFGS}, ValueError, "optimizer=.*LBFGS.*lr"),
    "optimizer: no lr": ({"optimizer": lambda p: None}, TypeError, "optimizer=.*'lr'.*partial"),
    "optimizer: object": ({"optimizer": object}, TypeError, "optimizer=.* takes no arguments"),
    "optimizer: None": ({"optimizer": lambda p, lr: None}, TypeError, "optimizer .* got NoneType"),
    "optimizer: list": ({"optimizer": lambda p, lr: list(p)}, TypeError, "optimizer .* got list"),
    **{
        f"encoder: {name}": (
            {"encoder": lambda shape, change=change: Shaped(change)},
            ValueError,
            f"encoder must return .*{got}",
        )
        for name, change, got in [
            ("empty", lambda z: z[:, :0], r"\(3, 0\)"),
            ("int", lambda z: z.long(), "torch.int64"),
            ("double", lambda z: z.double(), "torch.float64"),
            ("half", lambda z: z.half(), "torch.float16"),
            ("bool", lambda z: z > 0, "torch.bool"),
            ("complex", lambda z: z + 0j, "torch.complex64"),
            ("rows", lambda z: z[:2], r"\(2, 3\)"),
            ("axis", lambda z: z[:, None], r"\(3, 1, 3\)"),
            ("turned", lambda z: z[:, :2].T, r"\(2, 3\)"),
            ("list", lambda z: z.tolist(), "list"),
            ("tuple", lambda z: (z, z), "tuple"),
            ("None", lambda z: None, "NoneType"),
        ]
    },
}


@pytest.mark.parametrize(("params", "error", "match"), USELESS.values(), ids=USELESS)
def test_useless_functions_are_refused_by_name(params, error, match):
    estimator = SimCLRTransformer(max_epochs=1, random_state=0, **params)
    before = dict(vars(estimator))
    for method in (estimator.fit, estimator.partial_fit):
        with pytest.raises(error, match=match):
            method(ROWS)
        assert vars(estimator) == before


@pytest.mark.parametrize("Estimator", [E for E in ESTIMATORS if "augment" in E().get_params()])
def test_useless_augmentations_of_every_estimator(Estimator):
    estimator = Estimator(max_epochs=1, augment=torch.Tensor.double)
    with pytest.raises(ValueError, match=r"augment .*torch.float64"):
        estimator.fit(ROWS)


# Augmentations in a row -----------------------------------------------------------------------


def louder(batch):
    return batch * 2


def noisy(batch):
    return batch + torch.randn_like(batch[:1])


@pytest.mark.parametrize("Estimator", [E for E in ESTIMATORS if "augment" in E().get_params()])
@pytest.mark.parametrize(
    "combine",
    [
        list,
        tuple,
        lambda steps: nn.Sequential(*map(as_module, steps)),
        lambda steps: nn.ModuleList(map(as_module, steps)),
    ],
)
def test_augmentations_compose(Estimator, combine):
    images = ROWS.repeat(6, axis=1).reshape(48, 6, 6)
    for X, own in ((ROWS, FeatureCorruption(0.3)), (images, ImageAugmentation(rotation=9))):
        params = {"max_epochs": 1, "random_state": 0, "modality": ["table", "image"][X.ndim - 2]}
        together = Estimator(augment=combine([louder, own, noisy]), **params)
        Z = together.fit_transform(X)
        assert np.isfinite(Z).all()
        assert not np.array_equal(Estimator(augment=own, **params).fit_transform(X), Z)
        twin = pickle.loads(pickle.dumps(clone(together).fit(X)))
        np.testing.assert_array_equal(twin.transform(X), Z)
        assert twin.score(X) == together.score(X)


def as_module(step):
    return step if isinstance(step, nn.Module) else AsModule(step)


class AsModule(nn.Module):
    def __init__(self, function):
        super().__init__()
        self.function = function

    def forward(self, batch):
        return self.function(batch)


def test_steps_are_taken_in_their_order():
    batch = torch.ones(4, 6)
    steps = [louder, AsModule(lambda batch: batch + 1), louder]
    augment = resolve_augmentation(steps, spec_of("table", (6,)))
    assert make_views(augment, batch, 3, None).eq(6).all()
    assert make_views(augment, batch, 3, None).shape == (12, 6)


def test_functions_make_each_view_by_itself():
    augment = resolve_augmentation([torch.clone, noisy], spec_of("table", (6,)))
    one, other = make_views(augment, torch.zeros(4, 6), 2, None).chunk(2)
    assert not torch.equal(one, other)


def test_functions_of_a_batch_in_fine_tuning():
    ssl = SimCLRTransformer(max_epochs=1, random_state=0).fit(ROWS)
    for augment in (louder, [louder, FeatureCorruption(0.1)]):
        classifier = FineTuneClassifier(ssl, strategy="full", augment=augment, max_epochs=1)
        assert len(classifier.fit(ROWS, np.arange(48) % 2).predict(ROWS)) == 48
