"""Bad input gets a clear error, and leaves the estimator and the world as they were."""

import signal

import hypothesis
import hypothesis.extra.numpy
import numpy as np
import pandas as pd
import polars as pl
import pytest
import scipy.sparse
import torch
from hypothesis import strategies as st
from skorch.callbacks import Callback
from torch import nn

from sklearn_ssl import (
    BaseSSLTransformer,
    NextFrameEmbedder,
    PretextTask,
    SCARFTransformer,
    SimCLRTransformer,
    TS2VecTransformer,
    VIMETransformer,
)

ROWS = np.random.default_rng(0).normal(size=(24, 16))
ROWS.setflags(write=False)  # no test may change it


@pytest.fixture(autouse=True)
def world_unchanged(random_streams_untouched):
    """Every test here leaves the global random streams and the number of threads alone."""
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    yield
    after = torch.get_num_threads()
    torch.set_num_threads(before)
    assert after == 2


def make(**params):
    return SimCLRTransformer(**{"max_epochs": 1, "random_state": 0, **params})


def with_value(value):
    X = ROWS.copy()
    X[3, 5] = value
    return X


def assert_refused(estimator, method, X, error, match=None, **kwargs):
    """Call a method that must fail, and check that the estimator is what it was."""
    attributes = dict(vars(estimator))
    with pytest.raises(error, match=match):
        getattr(estimator, method)(X, **kwargs)
    assert vars(estimator).keys() == attributes.keys()
    for name, value in attributes.items():
        assert vars(estimator)[name] is value, name


# What X may not be ----------------------------------------------------------------------------

BAD_X = {
    "inf": (with_value(np.inf), ValueError, "infinity"),
    "no rows": (ROWS[:0], ValueError, r"0 sample\(s\)"),
    "no columns": (ROWS[:, :0], ValueError, r"0 feature\(s\)"),
    "one row": (ROWS[:1], ValueError, "minimum of 2 is required"),
    "one dimension": (ROWS[0], ValueError, "Expected 2D array, got 1D array"),
    "a column of pandas": (pd.Series(ROWS[0]), ValueError, "Expected a 2-dim|features"),
    "a column of polars": (pl.Series(ROWS[0]), ValueError, "Expected 2D array, got 1D array"),
    "a number": (3.0, ValueError, "Expected 2D array, got scalar"),
    "nothing": (None, ValueError, "Expected 2D array"),
    "sparse matrix": (scipy.sparse.csr_matrix(ROWS), TypeError, "Sparse data was passed"),
    "sparse array": (scipy.sparse.coo_array(ROWS), TypeError, "Sparse data was passed"),
    "complex": (ROWS + 1j, ValueError, "Complex data not supported"),
    "dictionaries": (
        np.array([[{"a": 1}] * 16] * 24, dtype=object),
        TypeError,
        "argument must be",
    ),
    "dates": (np.zeros((24, 16), "datetime64[s]"), TypeError, "column 0 .datetime64: .* year"),
    "bytes": (ROWS.astype("S"), TypeError, "column 0 .bytes: decode it"),
    "ragged": ([[1.0, 2.0], [3.0]], ValueError, "inhomogeneous"),
    "text": ("a text", ValueError, "X is a single string, 'a text'.*MaskedLMEmbedder"),
}
bad_x = pytest.mark.parametrize(("X", "error", "match"), BAD_X.values(), ids=BAD_X.keys())


@bad_x
@pytest.mark.parametrize("method", ["fit", "partial_fit", "fit_transform"])
def test_bad_x_leaves_an_unfitted_estimator_unfitted(X, error, match, method):
    assert_refused(make(), method, X, error, match)


@bad_x
@pytest.mark.parametrize("method", ["fit", "partial_fit", "score"])
def test_bad_x_leaves_a_fitted_estimator_as_it_was(X, error, match, method):
    estimator = make().fit(ROWS)
    Z = estimator.transform(ROWS)
    assert_refused(estimator, method, X, error, match.replace("Expected 2D array", ".*"))
    np.testing.assert_array_equal(estimator.transform(ROWS), Z)
    np.testing.assert_array_equal(
        estimator.partial_fit(ROWS).transform(ROWS),
        make().fit(ROWS).partial_fit(ROWS).transform(ROWS),
    )


@pytest.mark.parametrize(
    ("params", "X"),
    [({"image_shape": (4, 4)}, with_value(np.nan)), ({"modality": "series"}, with_value(np.nan))],
    ids=["image", "series"],
)
def test_only_tables_may_have_holes(params, X):
    assert_refused(make(**params), "fit", X, ValueError, "Input X contains NaN")
    fitted = make(**params).fit(ROWS)
    for method in ("transform", "score", "partial_fit"):
        assert_refused(fitted, method, X, ValueError, "Input X contains NaN")


def test_frames_without_columns_or_rows():
    assert_refused(make(), "fit", pd.DataFrame(index=range(24)), ValueError, r"0 feature\(s\)")
    X = pl.DataFrame(ROWS)
    assert_refused(make(), "fit", X[:0], ValueError, r"0 sample\(s\)")
    assert_refused(make().fit(X), "transform", X[:0], ValueError, r"0 sample\(s\)")


def test_column_of_strings_that_is_declared_to_hold_none():
    X = pd.DataFrame(ROWS).rename(columns="column {}".format).assign(color="red")
    estimator = make(categorical_features=None)
    match = "'color' of X is read as numbers.*'red'.*categorical_features names them"
    assert_refused(estimator, "fit", X, ValueError, match)


@pytest.mark.parametrize("method", ["transform", "score", "partial_fit"])
def test_column_of_strings_that_held_numbers_in_fit(method):
    X = pd.DataFrame(ROWS).rename(columns="column {}".format)
    X_other = X.astype({"column 3": object}).assign(**{"column 3": "red"})
    match = "Column 'column 3' of X is read as numbers: could not convert string .*'red'"
    assert_refused(make().fit(X), method, X_other, ValueError, match)
    X_mixed = X.assign(color="red")
    X_other = X_other.assign(color="red")
    assert_refused(make().fit(X_mixed), method, X_other, ValueError, match)
    match = match.replace("'column 3'", "3")
    assert_refused(make().fit(ROWS), method, X_other.to_numpy()[:, :16], ValueError, match)
    assert_refused(make(), "fit", X, ValueError, "'red'", X_unlabeled=X_other[X.columns])


@bad_x
def test_bad_x_in_transform(X, error, match):
    if match.startswith("minimum"):
        assert make().fit(ROWS).transform(X).shape == (1, 256)  # one row can be embedded
    else:
        assert_refused(make().fit(ROWS), "transform", X, error, match)


@bad_x
def test_bad_unlabeled_rows(X, error, match):
    if X is None or match.startswith("minimum"):
        pass  # no further rows, and a single one, are allowed
    else:
        assert_refused(make(), "fit", ROWS, error, match, X_unlabeled=X)


# Shapes that do not fit what is asked for -----------------------------------------------------

FLAT = ROWS
CUBE = ROWS.reshape(24, 4, 4)
BAD_SHAPES = {
    "images or series": (
        {},
        CUBE,
        r'\(n, 4, 4\).*grayscale images.*series.*modality="image" or modality="series"',
    ),
    "five dimensions": ({}, ROWS.reshape(24, 2, 2, 2, 2), r"2, 3 or 4 dimensions\. NextFrame"),
    "cube as table": ({"modality": "table"}, CUBE, r"expected \(n, features\)"),
    "images as series": ({"modality": "series"}, CUBE[..., None], r"expected \(n, channels, time"),
    "flat rows as images": ({"modality": "image"}, FLAT, r"pass image_shape=\(height, width\)"),
    "channels first": ({}, np.zeros((24, 3, 8, 8)), r"channels first.*np.moveaxis\(X, 1, -1\)"),
    "other image_shape": ({"image_shape": (4, 5)}, FLAT, r"has 20 values.*\(n, 16\), have 16"),
    "table with image_shape": (
        {"image_shape": (4, 4), "modality": "table"},
        FLAT,
        'requires modality="image"',
    ),
    **{
        f"image_shape={shape}": ({"image_shape": shape}, FLAT, "image_shape must be")
        for shape in [(16,), (4, 4, 1, 1), (4.0, 4), (0, 4), (-4, -4), ("4", "4")]
    },
}


@pytest.mark.parametrize(("params", "X", "match"), BAD_SHAPES.values(), ids=BAD_SHAPES.keys())
def test_shape_that_does_not_fit(params, X, match):
    assert_refused(make(**params), "fit", X, ValueError, match)
    assert_refused(make(**params), "partial_fit", X, ValueError, match)
    fitted = make().fit(ROWS)
    Z = fitted.transform(ROWS)
    assert_refused(fitted.set_params(**params), "fit", X, ValueError, match)
    np.testing.assert_array_equal(fitted.transform(ROWS), Z)


@pytest.mark.parametrize(
    ("Estimator", "shape", "match"),
    [
        (SCARFTransformer, (24, 4, 4, 3), "SimCLRTransformer takes images"),
        (VIMETransformer, (24, 2, 9), "TS2VecTransformer takes series"),
        (TS2VecTransformer, (24, 4, 4, 3), "SimCLRTransformer takes images"),
        (NextFrameEmbedder, (24, 4, 4, 4, 3, 2), "or 5 dimensions"),
        (
            SimCLRTransformer,
            (24, 4, 8, 8, 3),
            r"NextFrameEmbedder takes videos.*slices = X\.resh",
        ),
    ],
)
def test_other_kinds_name_an_estimator_that_takes_them(Estimator, shape, match):
    with pytest.raises(ValueError, match=match):
        Estimator(max_epochs=1, random_state=0).fit(np.zeros(shape))


@pytest.mark.parametrize("Estimator", [SCARFTransformer, VIMETransformer, SimCLRTransformer])
def test_tables_without_a_number(Estimator):
    with pytest.raises(ValueError, match="all of them are missing"):
        Estimator(max_epochs=1, random_state=0).fit(np.full((24, 3), np.nan))


OTHER_ROWS = {
    "fewer columns": ({}, FLAT, FLAT[:, 1:], "15 features, .* expecting 16"),
    "image for table": ({}, FLAT, CUBE, r"\(4, 4\).*\(16,\).*Use X\.reshape\(-1, 16\)"),
    "no channels": ({}, CUBE[..., None], CUBE, r"Use X\.reshape\(-1, 4, 4, 1\)"),
    "one channel": ({"modality": "image"}, CUBE, CUBE[..., None], r"X\.reshape\(-1, 4, 4\)"),
    "flat series": ({"modality": "series"}, CUBE[:, :1], FLAT[:, :4], r"X\.reshape\(-1, 1, 4\)"),
    "series for flat": ({"modality": "series"}, FLAT, FLAT[:, None], r"X\.reshape\(-1, 16\)"),
    "higher": ({"modality": "image"}, CUBE, np.zeros((24, 5, 4)), r"shape \(5, 4\).*\(4, 4\)"),
    "wider": ({"modality": "image"}, CUBE, np.zeros((24, 4, 5)), r"shape \(4, 5\).*\(4, 4\)"),
    "in color": ({"modality": "image"}, CUBE, np.zeros((24, 4, 4, 3)), r"shape \(4, 4, 3\)"),
    "flattened": ({"modality": "image"}, CUBE, FLAT, r"shape \(16,\).*\(4, 4\)"),
    "longer": ({"modality": "series"}, CUBE, np.zeros((24, 4, 9)), r"shape \(4, 9\)"),
    "one image": ({"modality": "image"}, CUBE, CUBE[0], r"\(4,\).*\(4, 4\).*X\[np\.newaxis\]"),
}


@pytest.mark.parametrize("method", ["transform", "score", "partial_fit"])
@pytest.mark.parametrize(
    ("params", "X", "other", "match"), OTHER_ROWS.values(), ids=OTHER_ROWS.keys()
)
def test_other_rows_than_in_fit(params, X, other, match, method):
    estimator = make(**params).fit(X)
    Z = estimator.transform(X)
    assert_refused(estimator, method, other, ValueError, match)
    np.testing.assert_array_equal(estimator.transform(X), Z)


@pytest.mark.parametrize("method", ["transform", "score", "partial_fit"])
@pytest.mark.parametrize("shape", [(24, 4, 4), (24, 4, 1), (24, 4, 1, 1)])
def test_further_dimensions_of_the_right_length_are_refused(method, shape):
    estimator = make().fit(ROWS[:, :4])
    X = np.zeros(shape)
    assert_refused(estimator, method, X, ValueError, r"rows of shape \(4, .* rows of shape \(4,\)")


# Parameters that cannot work ------------------------------------------------------------------


class Pair(nn.Module):
    def forward(self, batch):
        return batch, batch


BAD_PARAMS = {
    "device": ({"device": "cuda:99"}, ValueError, "device='cuda:99' cannot be used here"),
    "no device": ({"device": "abacus"}, ValueError, "device='abacus'.*Use device=\"cpu\""),
    "meta device": ({"device": "meta"}, ValueError, "device='meta' cannot be used here"),
    "encoder of rank 4": (
        {"encoder": lambda shape: nn.Identity(), "image_shape": (4, 4)},
        ValueError,
        r"one vector for each row.*\(3, 1, 4, 4\)",
    ),
    "encoder of rank 1": (
        {"encoder": lambda shape: nn.Flatten(0)},
        ValueError,
        r"one vector for each row.*\(48,\)",
    ),
    "encoder of pairs": ({"encoder": lambda shape: Pair()}, ValueError, "returned tuple"),
    "encoder of other width": (
        {"encoder": lambda shape: nn.Linear(7, 2)},
        ValueError,
        r"cannot take batches of shape \(n, 16\)|cannot take batches of shape \(n, 16,\)",
    ),
    "no module": ({"encoder": lambda shape: shape}, TypeError, "got tuple"),
    "module": (
        {"encoder": nn.Linear(16, 2)},
        TypeError,
        "function that returns a new torch.nn.Module",
    ),
    "no model": (
        {"encoder": "resnet81", "image_shape": (4, 4)},
        ValueError,
        "'resnet81' is not a torchvision classifier. Did you mean: resnet",
    ),
    "image model": ({"encoder": "resnet18"}, ValueError, "X is a table"),
    "callback": ({"callbacks": [print]}, TypeError, "must be skorch callbacks"),
    "augment of fewer rows": (
        {"augment": lambda batch: batch[1:]},
        ValueError,
        "one row for each row",
    ),
    "augment of NaN": (
        {"augment": lambda batch: batch * torch.nan},
        ValueError,
        "loss is nan at step 1 of 1. Try a smaller lr .*precision.*extreme values in X",
    ),
}


@pytest.mark.parametrize(
    ("params", "error", "match"), BAD_PARAMS.values(), ids=list(BAD_PARAMS.keys())
)
def test_parameters_that_cannot_work(params, error, match):
    assert_refused(make(**params), "fit", ROWS, error, match)
    fitted = make().fit(ROWS)
    Z = fitted.transform(ROWS)
    assert_refused(fitted.set_params(**params), "fit", ROWS, error, match)
    np.testing.assert_array_equal(fitted.transform(ROWS), Z)


@pytest.mark.parametrize("case", ["device", "callback"])
def test_parameters_that_cannot_work_in_partial_fit(case):
    params, error, match = BAD_PARAMS[case]
    fitted = make().fit(ROWS)
    Z = fitted.transform(ROWS)
    assert_refused(fitted.set_params(**params), "partial_fit", ROWS, error, match)
    np.testing.assert_array_equal(fitted.transform(ROWS), Z)


@pytest.mark.parametrize("method", ["fit", "partial_fit"])
@pytest.mark.parametrize("warm_start", [False, True])
def test_diverging_training_names_the_step_and_what_to_try(method, warm_start):
    estimator = make(batch_size=6, warm_start=warm_start).fit(ROWS)
    Z = estimator.transform(ROWS)
    estimator.set_params(lr=1e30)
    match = r"loss is nan at step \d+ of 4. Try a smaller lr \(it is 1e\+30\)"
    assert_refused(estimator, method, ROWS, ValueError, match)
    np.testing.assert_array_equal(estimator.transform(ROWS), Z)


class VectorLoss(PretextTask):
    def __init__(self, encoder):
        super().__init__()
        self.encoder = encoder

    def forward(self, batch):
        return self.encoder(batch).square().mean(dim=1)


class VectorLossTransformer(BaseSSLTransformer):
    def _make_task(self, spec):
        return VectorLoss(self._make_encoder(spec))


def test_loss_of_several_numbers():
    match = r"must return a scalar loss; VectorLoss returned shape \(24,\)"
    assert_refused(
        VectorLossTransformer(max_epochs=1, random_state=0), "fit", ROWS, ValueError, match
    )


# Callbacks that raise, and Ctrl-C -------------------------------------------------------------

HOOKS = [
    "initialize",
    "on_train_begin",
    "on_epoch_begin",
    "on_batch_begin",
    "on_grad_computed",
    "on_batch_end",
    "on_epoch_end",
    "on_train_end",
]


class BrokenError(Exception):
    """No class that anything else raises or catches."""


def callback_that_calls(hook, function):
    callback = Callback()
    setattr(callback, hook, lambda *args, **kwargs: function())
    return callback


def raise_(error):
    raise error


def press_ctrl_c():
    # A shell starts background jobs deaf to it, and continuous integration may be one.
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        signal.raise_signal(signal.SIGINT)
    finally:
        signal.signal(signal.SIGINT, before)


INTERRUPTIONS = {
    "error": (lambda: raise_(BrokenError("broken")), BrokenError, "broken"),
    "ValueError": (lambda: raise_(ValueError("broken")), ValueError, "broken"),
    "StopIteration": (lambda: raise_(StopIteration("broken")), StopIteration, "broken"),
    "KeyboardInterrupt": (lambda: raise_(KeyboardInterrupt), KeyboardInterrupt, None),
    "SystemExit": (lambda: raise_(SystemExit), SystemExit, None),
    "Ctrl-C": (press_ctrl_c, KeyboardInterrupt, None),
}


@pytest.mark.parametrize("hook", HOOKS)
@pytest.mark.parametrize(
    ("interrupt", "error", "match"), INTERRUPTIONS.values(), ids=INTERRUPTIONS.keys()
)
def test_interrupted_in_a_callback(hook, interrupt, error, match):
    broken = {"callbacks": [callback_that_calls(hook, interrupt)], "verbose": 1}
    for method in ("fit", "partial_fit"):
        assert_refused(make(**broken), method, ROWS, error, match)
    fitted = make(early_stopping=True).fit(ROWS)
    Z = fitted.transform(ROWS)
    fitted.set_params(**broken)
    for warm_start in (False, True):
        fitted.set_params(warm_start=warm_start)
        assert_refused(fitted, "fit", ROWS, error, match)
    assert_refused(fitted, "partial_fit", ROWS, error, match)
    np.testing.assert_array_equal(fitted.transform(ROWS), Z)


def test_an_interrupted_partial_fit_can_be_repeated():
    estimator, twin = make().partial_fit(ROWS), make().partial_fit(ROWS)
    estimator.set_params(callbacks=[callback_that_calls("on_train_end", press_ctrl_c)])
    assert_refused(estimator, "partial_fit", ROWS, KeyboardInterrupt)
    estimator.set_params(callbacks=None).partial_fit(ROWS)
    np.testing.assert_array_equal(estimator.transform(ROWS), twin.partial_fit(ROWS).transform(ROWS))


@pytest.mark.parametrize("interrupt", [press_ctrl_c, lambda: raise_(BrokenError)])
@pytest.mark.parametrize("stage", ["augment", "optimizer", "encoder"])
def test_interrupted_in_a_users_function(interrupt, stage):
    stages = {
        "augment": lambda batch: interrupt(),
        "optimizer": lambda params, lr: interrupt(),
        "encoder": lambda shape: interrupt(),
    }
    estimator = make(**{stage: stages[stage]})
    assert_refused(estimator, "fit", ROWS, (KeyboardInterrupt, BrokenError))


@pytest.mark.parametrize("hook", ["setup", "on_fit_task_begin", "on_fit_task_end"])
def test_scikit_learn_callback_that_raises(hook):
    pytest.importorskip("sklearn.callback", reason="scikit-learn before 1.9")

    class Quiet:
        def setup(self, estimator, context):
            """Nothing to set up."""

        teardown = on_fit_task_begin = on_fit_task_end = setup

    callback = Quiet()
    setattr(callback, hook, lambda estimator, context: raise_(BrokenError("broken")))
    assert_refused(make().set_callbacks(callback), "fit", ROWS, BrokenError, "broken")
    fitted = make().fit(ROWS)
    Z = fitted.transform(ROWS)
    assert_refused(fitted.set_callbacks(callback), "fit", ROWS, BrokenError, "broken")
    np.testing.assert_array_equal(fitted.transform(ROWS), Z)


# Anything at all ------------------------------------------------------------------------------

array_shapes = hypothesis.extra.numpy.array_shapes
ANY_SHAPES = array_shapes(min_dims=0, max_dims=5, min_side=0, max_side=6)
USUAL_SHAPES = array_shapes(min_dims=2, max_dims=4, min_side=1, max_side=9)
NUMBERS = ["bool", "int8", "uint8", "int16", "uint16", "int64", "uint64", ">i2"]
NUMBERS += ["float16", "float32", "float64", "longdouble", ">f4"]
OTHERS = ["complex64", "object", "U6", "S6", "datetime64[s]", "timedelta64[s]"]


@st.composite
def arrays(draw):
    """Arrays of few rows, mostly of numbers, with values that may be all alike."""
    shape = draw(st.one_of(USUAL_SHAPES, USUAL_SHAPES, ANY_SHAPES))
    dtype = draw(st.sampled_from(3 * NUMBERS + OTHERS))
    rng = np.random.default_rng(draw(st.integers(0, 9)))
    low, high = draw(st.sampled_from([(0, 1), (0, 2), (0, 17), (-100, 100)]))
    return rng.integers(low, high, shape).astype(dtype)


@pytest.mark.filterwarnings("ignore:X has more channels than time steps")
@pytest.mark.filterwarnings("ignore:.*which is read as ")
@pytest.mark.parametrize("modality", ["auto", "table", "image", "series"])
def test_anything_fits_or_is_refused(modality):
    @hypothesis.settings(max_examples=100, deadline=None, derandomize=True, database=None)
    @hypothesis.given(
        X=arrays(),
        image_shape=st.one_of(st.none(), st.none(), st.tuples(*[st.integers(1, 6)] * 2)),
        early_stopping=st.booleans(),
        holes=st.booleans(),
    )
    def check(X, image_shape, early_stopping, holes):
        if holes and X.dtype.kind == "f" and X.size:
            X.flat[::3] = np.nan
        before = X.copy()
        estimator = make(modality=modality, image_shape=image_shape, early_stopping=early_stopping)
        attributes = dict(vars(estimator))
        try:
            estimator.fit(X)
        except (ValueError, TypeError):
            outcomes.append("refused")
            assert vars(estimator) == attributes
        else:
            outcomes.append("fitted")
            Z = estimator.transform(X)
            assert Z.shape == (len(X), estimator.encoder_.output_dim)
            assert Z.dtype == np.float32
            assert np.isfinite(Z).all()
            assert np.isfinite(estimator.score(X))
        np.testing.assert_array_equal(X, before)

    outcomes = []
    check()
    assert outcomes.count("fitted") > 5
    assert outcomes.count("refused") > 5
