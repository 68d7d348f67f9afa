"""The contract of every estimator: scikit-learn's checks, and their like for images and series."""

import copy
import pickle
import subprocess
import sys

import joblib
import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
import torch
from sklearn.base import clone
from sklearn.utils import estimator_checks
from sklearn.utils.estimator_checks import parametrize_with_checks

from sklearn_ssl import (
    BarlowTwinsTransformer,
    BYOLTransformer,
    DINOTransformer,
    LeJEPATransformer,
    MaskedAutoencoder,
    MoCoTransformer,
    MoCoV3Transformer,
    NextFrameEmbedder,
    SCARFTransformer,
    SimCLRTransformer,
    SimSiamTransformer,
    SwAVTransformer,
    TS2VecTransformer,
    VICRegTransformer,
    VIMETransformer,
)
from sklearn_ssl._seeds import draw_seed
from sklearn_ssl.data import taken_by
from tests.helpers import assert_equal_but_for_rounding, every_copy

ESTIMATORS = [
    BarlowTwinsTransformer,
    BYOLTransformer,
    DINOTransformer,
    LeJEPATransformer,
    MaskedAutoencoder,
    MoCoTransformer,
    MoCoV3Transformer,
    SimCLRTransformer,
    SimSiamTransformer,
    SwAVTransformer,
    VICRegTransformer,
    VIMETransformer,
    TS2VecTransformer,
    SCARFTransformer,
    NextFrameEmbedder,
]

# Public checks that check_estimator leaves out; the first eleven are in scikit-learn's own suite.
MORE_CHECKS = [
    estimator_checks.check_param_validation,
    estimator_checks.check_set_output_transform,
    estimator_checks.check_set_output_transform_pandas,
    estimator_checks.check_global_output_transform_pandas,
    estimator_checks.check_set_output_transform_polars,
    estimator_checks.check_global_set_output_transform_polars,
    estimator_checks.check_transformer_get_feature_names_out,
    estimator_checks.check_transformer_get_feature_names_out_pandas,
    estimator_checks.check_get_feature_names_out_error,
    estimator_checks.check_dataframe_column_names_consistency,
    estimator_checks.check_inplace_ensure_writeable,
    estimator_checks.check_estimators_partial_fit_n_features,
    estimator_checks.check_estimator_cloneable,
]

every_estimator = pytest.mark.parametrize("Estimator", ESTIMATORS)


def kinds_of(Estimator):
    """Return the kinds of numbers that an estimator takes; test_text_views.py is for texts."""
    return [modality for modality in taken_by(Estimator) if modality != "text"]


# Each estimator, with each of them.
WITH_KINDS = [(E, modality) for E in ESTIMATORS for modality in kinds_of(E)]
every_kind = pytest.mark.parametrize(("Estimator", "modality"), WITH_KINDS)
# One estimator of each kind of data: what reads the data knows no estimators.
ONE_OF_A_KIND = {modality: E for E, modality in reversed(WITH_KINDS)}


def with_each(name, values, of_every_estimator):
    """Parametrize by all values for one estimator of each kind of data, by one for the others."""
    cases = [
        pytest.param(E, modality, value, id=f"{E.__name__}-{modality}-{label}")
        for E, modality in WITH_KINDS
        for label, value in values.items()
        if label == of_every_estimator or ONE_OF_A_KIND[modality] is E
    ]
    return pytest.mark.parametrize(("Estimator", "modality", name), cases)


every_table_estimator = pytest.mark.parametrize(
    "Estimator", [E for E in ESTIMATORS if "table" in taken_by(E)]
)
every_image_estimator = pytest.mark.parametrize(
    "Estimator", [E for E in ESTIMATORS if "image" in taken_by(E)]
)


def make(Estimator, params, **more):
    """Return an estimator for one epoch; one that takes one modality only has no such parameter."""
    known = Estimator().get_params()
    params = {name: value for name, value in params.items() if name in known}
    return Estimator(**{"max_epochs": 1, "random_state": 0, **params, **more})


# scikit-learn's checks ------------------------------------------------------------------------


@parametrize_with_checks([Estimator(max_epochs=1) for Estimator in ESTIMATORS])
def test_sklearn_check(estimator, check):
    check(estimator)


@pytest.mark.filterwarnings("ignore:X (has|does not have valid) feature names:UserWarning")
@every_estimator
@pytest.mark.parametrize("check", MORE_CHECKS, ids=lambda check: check.__name__)
def test_sklearn_check_of_its_own_suite(Estimator, check):
    check(Estimator.__name__, Estimator(max_epochs=1))


# The same for tables, images and series -------------------------------------------------------


@pytest.fixture(scope="module")
def fits():
    """The fits that many tests start from, by class and kind of data."""
    return {}


@pytest.fixture
def first_fit(modality, modality_data, fits):
    """A function that returns the first fit of an Estimator, which no test may change."""
    params, X = modality_data

    def fit(Estimator):
        if (Estimator, modality) not in fits:
            fits[Estimator, modality] = make(Estimator, params).fit(X)
        return fits[Estimator, modality]

    return fit


@pytest.fixture
def fitted(first_fit, modality_data):
    """A function that fits an Estimator on data of the modality, and the data.

    With the Estimator alone it returns a copy of the first fit: without the state of the optimizer.
    """
    params, X = modality_data

    def fit(Estimator, rows=X, **more):
        if rows is X and not more:
            return copy.deepcopy(first_fit(Estimator))
        return make(Estimator, params, **more).fit(rows)

    return fit, X


@every_kind
def test_fit_is_idempotent(Estimator, fitted):
    fit, X = fitted
    estimator = fit(Estimator)
    first, score = estimator.transform(X), estimator.score(X)
    estimator.fit(X)
    np.testing.assert_array_equal(estimator.transform(X), first)
    assert estimator.score(X) == score


@every_kind
def test_a_row_is_embedded_alike_in_any_company(Estimator, fitted):
    fit, X = fitted
    estimator = fit(Estimator)
    Z = estimator.transform(X)
    order = np.random.default_rng(0).permutation(len(X))
    np.testing.assert_array_equal(estimator.transform(X[order]), Z[order])
    for rows in (slice(0, 1), slice(7, 10), slice(0, None, 3)):
        assert_equal_but_for_rounding(estimator.transform(X[rows]), Z[rows])


@every_kind
def test_a_row_is_embedded_alike_whatever_the_number_of_batches(Estimator, fitted):
    fit, X = fitted
    estimator = fit(Estimator)
    many = np.concatenate([X] * 17)  # more rows than transform takes at once
    Z = estimator.transform(many)
    assert_equal_but_for_rounding(Z[-len(X) :], estimator.transform(X))


@every_kind
def test_fit_transform_is_fit_and_transform(Estimator, fitted):
    fit, X = fitted
    estimator = fit(Estimator)
    np.testing.assert_array_equal(clone(estimator).fit_transform(X), estimator.transform(X))


@every_kind
@every_copy
def test_copies_embed_alike(Estimator, duplicate, first_fit, modality_data):
    _, X = modality_data
    estimator = first_fit(Estimator)
    Z = estimator.transform(X)
    twin = duplicate(estimator)
    np.testing.assert_array_equal(twin.transform(X), Z)
    assert twin.score(X) == estimator.score(X)
    assert twin.history_ == estimator.history_
    twin.fit(X[:30])  # and training one leaves the other alone
    assert not np.array_equal(twin.transform(X), Z)
    np.testing.assert_array_equal(estimator.transform(X), Z)


@every_kind
def test_clone_is_unfitted_and_fits_alike(Estimator, fitted):
    fit, X = fitted
    estimator = fit(Estimator)
    twin = clone(estimator)
    assert set(vars(twin)) == set(vars(Estimator()))
    np.testing.assert_array_equal(twin.fit(X).transform(X), estimator.transform(X))


@every_kind
def test_embeddings_are_float32_and_finite(Estimator, fitted):
    fit, X = fitted
    Z = fit(Estimator).transform(X)
    assert Z.dtype == np.float32
    assert Z.shape[0] == len(X)
    assert Z.ndim == 2
    assert np.isfinite(Z).all()


@with_each("dtype", {dtype: dtype for dtype in ("float64", "float32", "uint8")}, "float32")
def test_x_and_parameters_are_unchanged(Estimator, dtype, fitted):
    fit, X = fitted
    many = np.concatenate([X] * 17).astype(dtype)  # whole batches are read without a copy
    before = many.copy()
    estimator = fit(Estimator, many[:64])
    params = {**estimator.get_params()}
    estimator.transform(many)
    estimator.score(many)
    estimator.partial_fit(many[:64])
    np.testing.assert_array_equal(many, before)
    assert estimator.get_params() == params


@every_table_estimator
def test_frames_of_any_kind_are_read_by_one_rule(Estimator):
    ssl = Estimator(max_epochs=1, random_state=0)
    X = pd.DataFrame({"x": np.arange(24.0), "n": [1, None] * 12, "c": ["1", "2", None] * 8})
    kinds = [X.astype(object), pl.from_pandas(X), pa.Table.from_pandas(X), X.astype(object).values]
    Z = ssl.fit(X).transform(X)
    assert ssl.input_spec_.categories == (None, None, ("1", "2", None))
    for same in kinds:
        other = clone(ssl).fit(same)
        np.testing.assert_array_equal(other.transform(same), Z)
        np.testing.assert_array_equal(other.partial_fit(same).score(same), other.score(same))
    dates = X.assign(x=pd.date_range("2020", periods=24))
    match = "column 'x' .Timestamp: convert it to numbers"
    for call in (ssl.fit, ssl.partial_fit, ssl.transform, ssl.score, clone(ssl).fit):
        with pytest.raises(TypeError, match=match):
            call(dates)
    with pytest.raises(TypeError, match=match):
        ssl.fit(X, X_unlabeled=dates)
    np.testing.assert_array_equal(ssl.transform(X), Z)


@every_table_estimator
@pytest.mark.parametrize("scaling", ["standard", "quantile"])
def test_masked_values_of_a_table_are_missing(Estimator, scaling):
    X = np.random.default_rng(0).normal(size=(24, 3))
    X[::5, 1] = 1e20  # what a file has under its mask
    holes = np.where(X == 1e20, np.nan, X)
    X = np.ma.masked_equal(X, 1e20)
    ssl = Estimator(max_epochs=1, random_state=0, scaling=scaling).fit(X)
    Z = ssl.transform(holes)
    np.testing.assert_array_equal(ssl.transform(X), Z)
    np.testing.assert_array_equal(clone(ssl).fit(holes).transform(holes), Z)


# Dtypes of numbers, and the smallest and largest of those that are tried.
LIMITS = {
    **dict.fromkeys(["bool"], (0, 1)),
    **dict.fromkeys(["uint8", "uint16", "uint32", "uint64"], (0, 255)),
    **dict.fromkeys(["int8", "int16", "int32", "int64", ">i2"], (-128, 127)),
    **dict.fromkeys(["float16", "float32", "longdouble", ">f4", ">f8", "object"], (-128, 255)),
}


@pytest.mark.filterwarnings("ignore:X has (fractions|booleans) from 0 to 1")  # after -128 to 255
@pytest.mark.parametrize(
    ("Estimator", "modality", "params"),
    [(E, modality, {}) for E in ESTIMATORS for modality in kinds_of(E)]
    + [(E, "table", {"scaling": "quantile"}) for E in ESTIMATORS if "table" in taken_by(E)],
)
def test_numbers_of_any_dtype_are_embedded_alike(Estimator, params, fitted):
    fit, X = fitted
    rng = np.random.default_rng(0)
    estimator = fit(Estimator, rng.integers(-128, 255, X.shape, endpoint=True) * 1.0, **params)
    for dtype, limits in LIMITS.items():
        X = rng.integers(*limits, (8, *X.shape[1:]), endpoint=True)
        X[:2] = np.reshape(limits, (2, *[1] * (X.ndim - 1)))
        Z = estimator.transform(X.astype(np.float64))
        np.testing.assert_array_equal(estimator.transform(X.astype(dtype)), Z, dtype)


@every_kind
def test_read_only_memory_map(Estimator, fitted, tmp_path):
    fit, X = fitted
    many = np.concatenate([X] * 17).astype(np.float32)
    joblib.dump(many, tmp_path / "X.joblib")
    mapped = joblib.load(tmp_path / "X.joblib", mmap_mode="r")
    assert not mapped.flags.writeable
    estimator = fit(Estimator, many[:64])
    Z = fit(Estimator, mapped[:64]).transform(mapped)
    np.testing.assert_array_equal(Z, estimator.transform(many))


VIEWS = {
    "F-order": np.asfortranarray,
    "strided": lambda X: np.repeat(X, 2, axis=0)[::2],
    "backwards": lambda X: X[::-1].copy()[::-1],
    "mirrored": lambda X: np.flip(np.flip(X, -1).copy(), -1),
    "big-endian": lambda X: X.astype(">f8"),
    "list": lambda X: X.astype("<f8").tolist(),
    "several": lambda X: np.flip(np.flip(X.astype(">f8"), (0, -1)).copy(), (0, -1)),
}


@with_each("view", VIEWS, "several")
def test_memory_layout_does_not_matter(Estimator, view, fitted):
    fit, X = fitted
    many = np.concatenate([X] * 17)  # fills a batch of transform
    Z = fit(Estimator).transform(many)
    estimator = fit(Estimator, view(X))
    np.testing.assert_array_equal(estimator.transform(view(many)), Z)


REAL_DTYPES = ("bool", "int8", "uint16", "int64", "float16", "float32", "longdouble")


@with_each("dtype", {dtype: dtype for dtype in REAL_DTYPES}, "float16")
def test_any_real_dtype(Estimator, dtype, fitted):
    fit, X = fitted
    X = np.concatenate([X > 8, X > 4]).astype(dtype)
    Z = fit(Estimator, X).transform(X)
    reference = fit(Estimator, X.astype(np.float64)).transform(X.astype(np.float64))
    # The order of the sums in means and deviations may differ, so the last digits may.
    np.testing.assert_allclose(Z, reference, rtol=1e-3, atol=1e-4)


@every_image_estimator
def test_range_of_int8_images_does_not_overflow(Estimator):
    X = np.random.default_rng(0).integers(-128, 128, (16, 6, 6)).astype(np.int8)
    X[0, 0, :2] = -128, 127
    estimator = Estimator(modality="image", max_epochs=1, random_state=0).fit(X)
    assert estimator.input_spec_.shift == -128
    assert estimator.input_spec_.scale == 1 / 255


@every_image_estimator
def test_uint8_and_float_images_are_embedded_alike(Estimator, digits):
    X = np.round(digits[0][:64].reshape(-1, 8, 8) * 255 / 16).astype(np.uint8)
    assert X.min() == 0
    assert X.max() == 255
    estimator = Estimator(modality="image", max_epochs=1, random_state=0).fit(X)
    Z = estimator.transform(X)
    np.testing.assert_array_equal(estimator.transform(X.astype(np.float64)), Z)
    np.testing.assert_array_equal(estimator.fit(X.astype(np.float32)).transform(X), Z)


@every_image_estimator
def test_flat_rows_are_the_same_images(Estimator, digits):
    X = digits[0][:64]
    images = Estimator(modality="image", max_epochs=1, random_state=0)
    flat = Estimator(image_shape=(8, 8), max_epochs=1, random_state=0)
    Z = images.fit_transform(X.reshape(-1, 8, 8))
    np.testing.assert_array_equal(flat.fit_transform(X), Z)
    np.testing.assert_array_equal(images.fit_transform(X.reshape(-1, 8, 8, 1)), Z)


@every_image_estimator
def test_color_images(Estimator, digits):
    X = digits[0][:60].reshape(20, 8, 8, 3)
    images = Estimator(max_epochs=1, random_state=0)
    flat = Estimator(image_shape=(8, 8, 3), max_epochs=1, random_state=0)
    Z = images.fit_transform(X)
    assert images.input_spec_.shape == (3, 8, 8)
    np.testing.assert_array_equal(flat.fit_transform(X.reshape(20, -1)), Z)


@every_image_estimator
@pytest.mark.parametrize("frame", [pd.DataFrame, pl.DataFrame], ids=["pandas", "polars"])
def test_rows_of_a_data_frame_may_be_images(Estimator, frame, digits):
    X = digits[0][:64]
    columns = [f"pixel{i}" for i in range(64)]
    X_frame = frame({name: X[:, i] for i, name in enumerate(columns)})
    estimator = Estimator(image_shape=(8, 8), max_epochs=1, random_state=0).fit(X_frame)
    assert estimator.feature_names_in_.tolist() == columns
    Z = estimator.transform(X_frame)
    reference = clone(estimator).fit(X)
    np.testing.assert_array_equal(Z, reference.transform(X))
    assert not hasattr(reference, "feature_names_in_")
    with pytest.raises(ValueError, match="feature names"):
        estimator.transform(X_frame[columns[::-1]])


@pytest.fixture
def people():
    """A DataFrame of numbers, some of them missing, and of categories."""
    rng = np.random.default_rng(0)
    people = pd.DataFrame(
        {
            "age": rng.normal(40, 10, 64),
            "town": rng.choice(["Oslo", "Rome", "Lima"], 64),
            "income": rng.lognormal(size=64),
            "kind": pd.Categorical(rng.choice(["x", "y"], 64)),
        }
    )
    people.loc[:9, "income"] = np.nan
    people.loc[5:7, "town"] = None
    return people


@pytest.mark.filterwarnings("ignore:Of 64 values in column")
@every_table_estimator
@pytest.mark.parametrize("scaling", ["standard", "quantile"])
def test_table_with_categories_and_holes(Estimator, scaling, people):
    estimator = make(Estimator, {}, scaling=scaling).fit(people)
    Z = estimator.transform(people)
    assert np.isfinite(Z).all()
    assert np.isfinite(estimator.score(people))
    twin = pickle.loads(pickle.dumps(estimator))
    np.testing.assert_array_equal(twin.transform(people), Z)
    np.testing.assert_array_equal(clone(estimator).fit_transform(pl.from_pandas(people)), Z)
    strange = people.assign(town="Paris", age=np.nan, kind="z")
    assert np.isfinite(estimator.transform(strange)).all()
    assert np.isfinite(estimator.partial_fit(strange).transform(people)).all()
    with pytest.raises(ValueError, match="must be in the same order"):
        estimator.transform(people[people.columns[::-1]])
    with pytest.raises(ValueError, match="infinity"):
        estimator.transform(people.assign(age=np.inf))


@every_table_estimator
def test_table_of_categories_alone(Estimator, people):
    X = people[["town", "kind"]]
    assert np.isfinite(make(Estimator, {}).fit_transform(X)).all()


@pytest.mark.filterwarnings("ignore:X has (pixels|a value)", "ignore:.*collapsed")
@every_kind
def test_finite_numbers_of_any_size_give_finite_results(Estimator, modality, fitted):
    fit, X = fitted
    estimator = fit(Estimator, X.copy())  # with its optimizer
    ordinary = np.delete(estimator.transform(X), 3, axis=0)
    where = {"table": "in column 5", "series": "in channel 0"}.get(modality, "marks missing")
    for value, dtype in [(1e20, "f4"), (9.97e36, "f4"), (-3.4e38, "f4"), (-1.7e308, "f8")]:
        huge = X.astype(dtype)
        huge[3].flat[5] = value
        with pytest.warns(UserWarning, match=where) as caught:
            Z = estimator.transform(huge)
        assert f"{value:g}" in str(caught[0].message)
        assert np.isfinite(Z).all()
        np.testing.assert_allclose(np.delete(Z, 3, axis=0), ordinary, rtol=1e-4, atol=1e-5)
        assert np.isfinite(estimator.score(huge))
    again = fit(Estimator, huge)
    assert np.isfinite(again.loss_curve_).all()
    assert np.isfinite(again.transform(X)).all()
    assert np.isfinite(estimator.partial_fit(huge).transform(X)).all()


@every_kind
@pytest.mark.parametrize(
    ("container", "kind"),
    [("default", np.ndarray), ("pandas", pd.DataFrame), ("polars", pl.DataFrame)],
)
def test_output_containers(Estimator, container, kind, fitted):
    fit, X = fitted
    estimator = fit(Estimator)
    Z = estimator.transform(X)
    framed = estimator.set_output(transform=container).transform(X)
    assert isinstance(framed, kind)
    np.testing.assert_array_equal(np.asarray(framed), Z)
    if container != "default":
        assert list(framed.columns) == estimator.get_feature_names_out().tolist()


@every_kind
def test_names_and_numbers_of_features(Estimator, fitted):
    fit, X = fitted
    size = {"n_components": 5} if "n_components" in Estimator().get_params() else {}
    estimator = fit(Estimator, **size)
    width = estimator.encoder_.output_dim
    assert not size or width == 5
    assert estimator.n_features_in_ == X.shape[1]
    name = Estimator.__name__.lower()
    assert estimator.get_feature_names_out().tolist() == [f"{name}{i}" for i in range(width)]
    assert estimator.transform(X).shape == (len(X), width)


# Determinism ----------------------------------------------------------------------------------


def fit_and_embed(Estimator, params, X, random_state=0):
    return make(Estimator, params, max_epochs=2, random_state=random_state).fit_transform(X)


@with_each("backend", {backend: backend for backend in ("loky", "threading")}, "threading")
def test_same_seed_same_embedding_in_parallel(Estimator, backend, modality_data):
    params, X = modality_data
    serial = [fit_and_embed(Estimator, params, X, seed) for seed in range(3)]
    parallel = joblib.Parallel(n_jobs=2, backend=backend)(
        joblib.delayed(fit_and_embed)(Estimator, params, X, seed) for seed in range(3)
    )
    for expected, Z in zip(serial, parallel):
        np.testing.assert_array_equal(Z, expected)


FRESH_PROCESS = """
import sys, joblib
estimators, results = joblib.load(sys.argv[1]), []
joblib.dump([estimator.fit_transform(X) for estimator, X in estimators], sys.argv[2])
"""


def test_same_seed_same_embedding_in_a_fresh_process(digits, tmp_path):
    X = digits[0][:64]
    inputs = {
        "table": ({}, X),
        "image": ({"image_shape": (8, 8)}, X),
        "series": ({"modality": "series"}, X.reshape(-1, 8, 8)),
        "video": ({"modality": "video"}, X.reshape(-1, 4, 4, 4)),
    }
    jobs = [
        (make(Estimator, inputs[modality][0], max_epochs=2), inputs[modality][1])
        for Estimator in ESTIMATORS
        for modality in kinds_of(Estimator)
    ]
    paths = [str(tmp_path / "in.joblib"), str(tmp_path / "out.joblib")]
    joblib.dump(jobs, paths[0])
    subprocess.run([sys.executable, "-c", FRESH_PROCESS, *paths], check=True)
    for (estimator, X_in), Z in zip(jobs, joblib.load(paths[1]), strict=True):
        np.testing.assert_array_equal(estimator.fit_transform(X_in), Z)


@every_kind
def test_another_seed_gives_another_embedding(Estimator, modality_data):
    params, X = modality_data
    Z = fit_and_embed(Estimator, params, X, 0)
    assert not np.array_equal(fit_and_embed(Estimator, params, X, 1), Z)


@every_kind
def test_the_global_streams_have_no_say_with_an_int_seed(Estimator, modality_data):
    params, X = modality_data
    Z = fit_and_embed(Estimator, params, X)
    with torch.random.fork_rng():
        torch.manual_seed(1234)
        torch.rand(5)
        np.testing.assert_array_equal(fit_and_embed(Estimator, params, X), Z)


@every_kind
def test_global_state_is_left_alone(Estimator, modality_data, random_streams_untouched):
    params, X = modality_data
    before = torch.get_num_threads()
    torch.set_num_threads(3)
    try:
        estimator = make(Estimator, params).fit(X)
        estimator.partial_fit(X)
        estimator.transform(X)
        estimator.score(X)
        pickle.loads(pickle.dumps(estimator))
        assert torch.get_num_threads() == 3
    finally:
        torch.set_num_threads(before)


@every_kind
def test_the_number_of_threads_has_no_say(Estimator, modality_data):
    params, X = modality_data
    Z = fit_and_embed(Estimator, params, X)
    before = torch.get_num_threads()
    torch.set_num_threads(3)
    try:
        np.testing.assert_array_equal(fit_and_embed(Estimator, params, X), Z)
    finally:
        torch.set_num_threads(before)


# No epochs ------------------------------------------------------------------------------------


def initial_task(estimator, X):
    """Return the task that a fit of an estimator with an int seed starts from."""
    spec = clone(estimator).fit(X).input_spec_
    with torch.random.fork_rng():
        torch.manual_seed(draw_seed(estimator.random_state))
        return estimator._make_task(spec)


def statistics_of(task):
    """Return what batch normalizations have tracked, by name."""
    kinds = ("running_mean", "running_var", "num_batches_tracked")
    return {name: b for name, b in task.state_dict().items() if name.endswith(kinds)}


def parameters_equal(a, b):
    a, b = dict(a.named_parameters()), dict(b.named_parameters())
    return a.keys() == b.keys() and all(torch.equal(a[name], b[name]) for name in a)


@every_kind
@pytest.mark.parametrize("more", [{}, {"early_stopping": True}, {"verbose": 1}], ids=str)
def test_no_epochs_leave_the_initial_weights(Estimator, more, fitted):
    fit, X = fitted
    estimator = fit(Estimator, max_epochs=0, **more)
    assert estimator.n_iter_ == 0
    assert estimator.loss_curve_ == []
    assert set(map(len, estimator.history_.values())) == {0}
    task = initial_task(estimator, X)
    assert parameters_equal(estimator.task_, task)
    buffers, tracked = task.state_dict(), statistics_of(task)
    for name, value in estimator.task_.state_dict().items():
        assert name in tracked or torch.equal(value, buffers[name]), name
    Z = estimator.transform(X)
    assert np.isfinite(Z).all()
    assert np.isfinite(estimator.score(X))
    np.testing.assert_array_equal(pickle.loads(pickle.dumps(estimator)).transform(X), Z)


@pytest.mark.parametrize(("Estimator", "modality"), [(E, taken_by(E)[0]) for E in ESTIMATORS])
def test_batch_norms_of_no_epochs_know_the_data(Estimator, fitted):
    fit, _ = fitted
    tracked = statistics_of(fit(Estimator, max_epochs=0).task_)
    n_epochs = 60 if tracked else 1  # 60 forget 0 and 1
    trained = statistics_of(fit(Estimator, max_epochs=n_epochs, lr=1e-30).task_)
    assert tracked.keys() == trained.keys()
    for name in tracked:
        if name.endswith("running_var"):
            mean, deviation = name.replace("_var", "_mean"), (trained[name] + 1e-5).sqrt()
            assert ((tracked[mean] - trained[mean]) / deviation).abs().mean() < 0.2, mean
            assert (tracked[name] / trained[name]).log().abs().mean() < 0.3, name


@every_kind
def test_training_after_no_epochs(Estimator, fitted):
    fit, X = fitted
    once = fit(Estimator)
    estimator = fit(Estimator, max_epochs=0)
    first = estimator.transform(X)
    assert estimator.partial_fit(X).n_iter_ == 1
    assert not np.array_equal(estimator.transform(X), first)
    assert parameters_equal(estimator.task_, clone(estimator).partial_fit(X).task_)
    estimator.fit(X).set_params(max_epochs=1, warm_start=True).fit(X)
    assert estimator.n_iter_ == len(estimator.loss_curve_) == 1
    assert parameters_equal(estimator.task_, once.task_)


@every_estimator
def test_seed_may_be_a_random_state(Estimator, digits):
    X = digits[0][:32]
    estimator = Estimator(max_epochs=1, random_state=np.random.RandomState(0))
    first = estimator.fit_transform(X)
    assert not np.array_equal(estimator.fit_transform(X), first)  # the stream went on
    estimator.set_params(random_state=np.random.RandomState(0))
    np.testing.assert_array_equal(estimator.fit_transform(X), first)
