"""Tables as users have them: categories, missing numbers, mixed scales."""

import pickle
import warnings

import numpy as np
import pandas as pd
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import norm
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import cross_val_score
from sklearn.pipeline import make_pipeline

from sklearn_ssl import SimCLRTransformer
from sklearn_ssl.data.categories import decode_table, encode_table, learn_categories
from tests.helpers import describe

N = 120
CITIES = ("Lima", "Oslo", "Rome", None)


@pytest.fixture
def people():
    """A DataFrame with numbers, numbers that are missing, and categories of several dtypes."""
    rng = np.random.default_rng(0)
    people = pd.DataFrame(
        {
            "age": rng.normal(40, 10, N),
            "income": rng.lognormal(size=N),
            "city": rng.choice(["Oslo", "Rome", "Lima"], N),
            "kind": pd.Categorical(rng.choice(["x", "y"], N)),
            "children": pd.array(rng.integers(0, 4, N), dtype="Int64"),
        }
    )
    people.loc[:9, "income"] = np.nan
    people.loc[5:7, "city"] = None
    people.loc[20, "children"] = pd.NA
    return people


def simclr(**params):
    return SimCLRTransformer(**{"max_epochs": 1, "random_state": 0, **params})


def described(X, categories=None, scaling="standard"):
    if categories is not None:
        X = encode_table(X, categories, "Test")
    return describe(X, "table", categories=categories, scaling=scaling)


# Categories -----------------------------------------------------------------------------------


def test_columns_of_categories_are_found_by_their_dtype(people):
    categories = (None, None, CITIES, ("x", "y"), None)
    assert learn_categories([people], "from_dtype") == categories
    assert learn_categories([people[["age", "children"]]], "from_dtype") is None
    assert learn_categories([people], None) is None


@pytest.mark.parametrize("dtype", ["category", "string", object])
def test_dtypes_of_pandas(people, dtype):
    assert learn_categories([people[["city"]].astype(dtype)], "from_dtype") == (CITIES,)


@pytest.mark.parametrize("dtype", [pl.String, pl.Categorical, pl.Enum(["Rome", "Oslo", "Lima"])])
def test_dtypes_of_polars(people, dtype):
    X = pl.from_pandas(people[["city"]]).with_columns(pl.col("city").cast(dtype))
    assert learn_categories([X], "from_dtype") == (CITIES,)
    np.testing.assert_array_equal(
        encode_table(X, (CITIES,), "Test"), encode_table(people[["city"]], (CITIES,), "Test")
    )


def test_numbers_in_a_column_of_objects_are_numbers(people):
    X = people.astype({"age": object, "children": object})
    assert learn_categories([X[["age", "children"]]], "from_dtype") is None


@pytest.mark.parametrize(
    "chosen", [["city", "kind"], [2, 3], np.array([0, 0, 1, 1, 0], bool), ("kind", "city")]
)
def test_columns_of_categories_may_be_named(people, chosen):
    assert learn_categories([people], chosen) == (None, None, CITIES, ("x", "y"), None)


def test_numbers_may_be_categories():
    X = np.array([[3.0, 1.0], [np.nan, 2.0], [1.0, 4.0]])
    categories = learn_categories([X], [0])
    assert categories == ((1.0, 3.0, None), None)
    np.testing.assert_array_equal(encode_table(X, categories, "Test"), [[2, 1], [3, 2], [1, 4]])


@pytest.mark.parametrize("chosen", [[0, 9], [-1], ["town"], [True, False], [0.5], "age"])
def test_columns_that_are_not_there(people, chosen):
    if chosen == "age":  # a string is a keyword, not a column
        with pytest.raises(ValueError, match="'categorical_features' parameter"):
            simclr(categorical_features=chosen).fit(people)
    else:
        match = (
            r"does not fit X, which has 5 columns.*names of columns \(age, .*positions from 0 to 4"
        )
        with pytest.raises(ValueError, match=match):
            simclr(categorical_features=chosen).fit(people)


UNKNOWN = "not among the categories in fit"


@pytest.mark.filterwarnings(f"ignore:.*{UNKNOWN}")
def test_codes(people):
    categories = (None, None, ("Oslo", None), ("x", "y"), None)
    encoded = encode_table(people, categories, "Test")
    assert encoded.dtype == np.float64
    np.testing.assert_array_equal(encoded[:, 0], people["age"])
    np.testing.assert_array_equal(encoded[:, 1], people["income"])
    np.testing.assert_array_equal(np.isnan(encoded[:, 4]), people["children"].isna())
    city = people["city"]
    np.testing.assert_array_equal(encoded[:, 2], np.where(city.isna(), 2, city == "Oslo"))
    np.testing.assert_array_equal(encoded[:, 3], np.where(people["kind"] == "x", 1, 2))


def test_codes_and_back(people):
    categories = learn_categories([people], "from_dtype")
    decoded = decode_table(encode_table(people, categories, "Test"), categories)
    city = people["city"].astype(object).where(people["city"].notna(), None)
    assert decoded[:, 2].tolist() == city.tolist()
    assert decoded[:, 3].tolist() == people["kind"].tolist()
    np.testing.assert_array_equal(decoded[:, 1].astype(float), people["income"])
    with pytest.warns(UserWarning, match=UNKNOWN):
        unknown = encode_table(people.assign(city="Paris"), categories, "Test")
    assert set(decode_table(unknown, categories)[:, 2]) == {None}


WORDS = st.text(st.characters(exclude_categories=["N", "Cs"]), max_size=3)
VALUES = st.one_of(st.none(), WORDS, st.integers(-5, 5), st.floats(-5, 5))


@pytest.mark.filterwarnings(f"ignore:.*{UNKNOWN}")
@settings(max_examples=50, deadline=None, derandomize=True, database=None)
@given(values=st.lists(VALUES, min_size=1, max_size=20), others=st.lists(VALUES, max_size=20))
def test_any_value_has_its_code(values, others):
    X = np.array([*values, None], dtype=object)[:-1, None]
    X_other = np.array([*others, None], dtype=object)[:, None]
    (known,) = learn_categories([X], [0])
    codes = encode_table(X, (known,), "Test")[:, 0].astype(int)
    assert [known[code - 1] for code in codes] == values
    for value, code in zip([*others, None], encode_table(X_other, (known,), "Test")[:, 0]):
        assert code == (known.index(value) + 1 if value in known else 0)


# A column that is not what it was in fit -------------------------------------------------------

INTS = [1, 2, 3, 10] * 5
LATER = {
    "strings": list(map(str, INTS)),
    "strings of floats": [f"{value}.0" for value in INTS],
    "strings with zeros": [f"{value:03}" for value in INTS],
    "categories": pd.Categorical(list(map(str, INTS))),
    "floats": list(map(float, INTS)),
    "objects": np.array(INTS, object),
}


# scikit-learn before 1.9 sees no names of polars 2.
@pytest.mark.filterwarnings("ignore:X does not have valid feature names:UserWarning")
@pytest.mark.parametrize("later", LATER.values(), ids=LATER.keys())
@pytest.mark.parametrize("dtype", [int, float])
def test_numbers_are_known_again_when_they_are_strings(dtype, later):
    X = pd.DataFrame({"c": pd.Categorical(np.array(INTS, dtype)), "x": np.arange(20.0)})
    estimator = simclr().fit(X)
    Z = estimator.transform(X)
    X_later = X.assign(c=later)
    np.testing.assert_array_equal(estimator.transform(X_later), Z)
    np.testing.assert_array_equal(estimator.transform(pl.from_pandas(X_later)), Z)


@pytest.mark.parametrize("later", [INTS, list(map(float, INTS)), np.array(INTS, np.int8)])
@pytest.mark.parametrize("form", ["{}", "{:05}", "{}.0"])
def test_strings_are_known_again_when_they_are_numbers(form, later):
    X = pd.DataFrame({"c": [form.format(value) for value in INTS], "x": np.arange(20.0)})
    estimator = simclr().fit(X)
    np.testing.assert_array_equal(estimator.transform(X.assign(c=later)), estimator.transform(X))


@pytest.mark.parametrize("form", [str, lambda value: str(value).lower(), int])
def test_truth_is_known_again(form):
    X = pd.DataFrame({"c": pd.Categorical([True, False] * 10), "x": np.arange(20.0)})
    later = X.assign(c=pd.Categorical([form(value) for value in X["c"]]))
    for X_fit, X_later in [(X, later), (later, X)]:
        estimator = simclr().fit(X_fit)
        Z = estimator.transform(X_fit)
        np.testing.assert_array_equal(estimator.transform(X_later), Z)


@pytest.mark.filterwarnings(f"ignore:.*{UNKNOWN}")
def test_strings_that_are_one_number_stay_apart():
    known = ("007", "7", "7.0")
    table = np.array([["7"], ["007"], [None], ["07"], [7], [0]], dtype=object)
    np.testing.assert_array_equal(encode_table(table, (known,), "Test")[:, 0], [2, 1, 0, 0, 0, 0])
    assert learn_categories([table[[0, 1, 3]]], [0]) == (("007", "07", "7"),)


def test_a_number_and_its_string_are_one_category():
    chunks = pd.DataFrame({"c": pd.Series([1, 2, "1", "2", "x", None] * 4, dtype=object)})
    categories = learn_categories([chunks], ["c"])
    assert categories == ((1, 2, "x", None),)
    codes = encode_table(chunks, categories, "Test")
    np.testing.assert_array_equal(codes[:6, 0], [1, 2, 1, 2, 3, 4])
    later = pd.DataFrame({"c": ["2", "1"] * 6})
    assert learn_categories([chunks[:2].astype("category"), later], "from_dtype") == ((1, 2),)


def test_most_values_of_a_column_are_unknown():
    X = pd.DataFrame({"c": ["a", "b"] * 10, "d": [None, "y"] * 10, "x": np.arange(20.0)})
    estimator = simclr().fit(X)
    match = "Of 20 values in column 'c' of X, 20 are not .* such as 'A'; in fit there were 'a', 'b'"
    for method in (estimator.transform, estimator.score, estimator.partial_fit):
        with pytest.warns(UserWarning, match=match):
            method(X.assign(c=X["c"].str.upper()))
    with pytest.warns(UserWarning, match="Of 10 values in column 'd' of X, 10 are not among"):
        estimator.transform(X.assign(d=X["d"].str.upper()))
    # Some new ones are nothing unusual, nor is a new one in a row or two, nor missing ones.
    estimator.transform(X.assign(c=["new", *X["c"][1:]]))
    estimator.transform(X.assign(c="new")[:2])
    estimator.transform(X.assign(c=None))


def test_a_column_that_was_empty_in_fit():
    X = pd.DataFrame({"c": pd.Categorical([None] * 20), "x": np.arange(20.0)})
    with pytest.warns(UserWarning, match="column 'c' of X, 20 are not .* in fit there were none"):
        simclr().fit(X).transform(X.assign(c="a"))
    for nothing in (np.nan, None):  # of no dtype for categories
        X = X.assign(c=nothing)
        with pytest.raises(ValueError, match=r"Column 'c' of X is read as numbers: .*'a'"):
            simclr().fit(X).transform(X.assign(c="a"))


# Columns that say nothing ------------------------------------------------------------------------

TEXTS = [f"A text about the subject number {i % 49}." for i in range(50)]


@pytest.mark.parametrize("values", [TEXTS, list(map(str, range(50))), pd.Categorical(range(50))])
@pytest.mark.parametrize("chosen", ["from_dtype", ["c", "kind"]])
def test_columns_with_a_category_in_each_row(values, chosen):
    X = pd.DataFrame({"c": values, "kind": ["x", "y"] * 25, "x": np.arange(50.0)})
    match = r"own category in column 'c' \(\d+ in 50 rows\) of X.*IDs.*MaskedLMEmbedder.*to_numeric"
    with pytest.warns(UserWarning, match=match):
        simclr(categorical_features=chosen).fit(X)
    more = pl.from_pandas(X)
    with pytest.warns(UserWarning, match=match.replace("50", "100")) as warned:
        learn_categories([more, more.with_columns(c=pl.col("kind").cum_count() + 50)], ["c"])
    assert len(warned) == 1


def test_many_categories_that_come_twice_are_nothing_unusual():
    X = pd.DataFrame({"c": list(map(str, range(50))) * 2, "x": np.arange(100.0)})
    assert len(simclr().fit(X).input_spec_.categories[0]) == 50
    few = pd.DataFrame({"c": list("abcdefghij"), "x": np.arange(10.0)})
    assert len(simclr().fit(few).input_spec_.categories[0]) == 10


# The batch ------------------------------------------------------------------------------------


def test_description_and_batch_of_a_mixed_table(people):
    categories = learn_categories([people], "from_dtype")
    spec = described(people, categories)
    assert spec.cardinalities == (0, 0, 4, 2, 0)
    assert spec.missing == (False, True, False, False, True)
    rows = encode_table(people, categories, "Test")
    batch = spec.to_tensor(rows).numpy()
    assert batch.dtype == np.float32
    np.testing.assert_array_equal(batch[:, [2, 3]], rows[:, [2, 3]])
    np.testing.assert_array_equal(np.isnan(batch), np.isnan(rows))
    np.testing.assert_allclose(np.nanmean(batch[:, [0, 1, 4]], axis=0), 0, atol=1e-6)
    np.testing.assert_allclose(np.nanstd(batch[:, [0, 1, 4]], axis=0), 1, rtol=1e-6)


def test_marginals_are_values_in_their_shares(people):
    categories = learn_categories([people], "from_dtype")
    spec = described(people, categories)
    batch = spec.to_tensor(encode_table(people, categories, "Test")).numpy()
    for column, marginal in zip(batch.T, spec.marginals.T):
        assert set(marginal[~np.isnan(marginal)]) <= set(column[~np.isnan(column)])
        assert np.isnan(marginal).mean() == pytest.approx(np.isnan(column).mean(), abs=0.01)
    for code in (1, 2, 3, 4):
        share = np.mean(batch[:, 2] == code)
        assert np.mean(spec.marginals[:, 2] == code) == pytest.approx(share, abs=0.01)


def test_a_number_that_is_missing_for_the_first_time_counts_as_the_mean():
    X = np.random.default_rng(0).normal(5, 2, (50, 2))
    spec = described(X)
    hole = np.array([[np.nan, 5.0]])
    mean = np.array([[X[:, 0].mean(), 5.0]])
    np.testing.assert_allclose(spec.to_tensor(hole), spec.to_tensor(mean), atol=1e-6)


def test_holes_are_looked_for_in_all_rows():
    X = np.zeros((25_001, 3))
    X[-1, 1] = np.nan
    assert described(X).missing == (False, True, False)
    assert described(np.nan_to_num(X).astype(int)).missing == (False, False, False)


def test_columns_of_holes_or_of_one_value():
    X = np.column_stack([np.full(40, np.nan), np.full(40, 1e9 + 0.1), np.arange(40.0)])
    for scaling in ("standard", "quantile"):
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            batch = described(X, scaling=scaling).to_tensor(X)
        assert batch[:, 0].isnan().all()
        assert batch[:, 1].abs().max() < 1e-5
    Z = simclr().fit_transform(X)
    assert np.isfinite(Z).all()


@pytest.mark.parametrize("shape", [(3000,), (300,)])
def test_quantiles_of_any_distribution_are_those_of_the_normal(shape):
    x = np.random.default_rng(0).lognormal(sigma=2, size=shape)
    batch = described(x[:, None], scaling="quantile").to_tensor(x[:, None]).numpy()[:, 0]
    ranks = (np.argsort(np.argsort(x)) + 0.5) / len(x)
    middle = abs(ranks - 0.5) < 0.48
    np.testing.assert_allclose(batch[middle], norm.ppf(ranks)[middle], atol=0.1)
    assert abs(batch).max() < 3


def test_quantiles_put_a_frequent_value_into_the_middle_of_its_share():
    x = np.repeat([0.0, 1.0, 2.0], [50, 25, 25])[:, None]
    batch = described(x, scaling="quantile").to_tensor(x).numpy()
    np.testing.assert_allclose(np.unique(batch), norm.ppf([0.25, 0.625, 0.875]), atol=0.25)
    assert len(np.unique(batch)) == 3


def test_extreme_values_do_not_stretch_quantiles():
    x = np.random.default_rng(0).normal(size=(200, 1))
    x[0] = 1e12
    spec = described(x, scaling="quantile")
    assert spec.to_tensor(x).std() > 0.8
    assert described(x).to_tensor(x)[1:].std() < 0.1


@pytest.mark.parametrize("scaling", ["standard", "quantile"])
@pytest.mark.parametrize("unit", [1e-300, 1e-200, 1e-20, 1e20, 1e300])
def test_numbers_of_any_magnitude_are_scaled_alike(unit, scaling):
    X = np.random.default_rng(0).normal(size=(200, 2)) * [1, unit]
    batch = described(X, scaling=scaling).to_tensor(X)
    expected = described(X / [1, unit], scaling=scaling).to_tensor(X / [1, unit])
    np.testing.assert_allclose(batch, expected, rtol=1e-3, atol=1e-3)


def test_numbers_near_the_largest_of_their_dtype():
    X = np.full((12, 4), [3e38, -3e38, 3e38, -3e38], np.float32) * np.linspace(0.1, 1, 12)[:, None]
    assert np.isfinite(simclr().fit(X.astype(np.float32)).transform(X.astype(np.float32))).all()


DTYPES = ["bool", "int8", "uint8", "int16", "uint16", "int64", "uint64", ">i4"]
DTYPES += ["float16", "float32", "longdouble", ">f4", "object"]


@pytest.mark.parametrize("scaling", ["standard", "quantile"])
@pytest.mark.parametrize("dtype", DTYPES)
def test_numbers_of_any_dtype_are_described_and_scaled_alike(dtype, scaling):
    kind = np.dtype(dtype).kind
    low, high = {"b": (0, 1), "u": (0, 255), "i": (-128, 127)}.get(kind, (-9, 9))
    X = np.random.default_rng(0).integers(low, high, (200, 3), endpoint=True)
    X[:2] = [[low] * 3, [high] * 3]
    X, same = X.astype(dtype), X.astype(np.float64)
    ours = simclr(scaling=scaling).fit(X)
    spec, rows = ours.input_spec_, ours._check_rows(X)
    expected = described(same, scaling=scaling)
    np.testing.assert_array_equal(spec.to_tensor(rows), expected.to_tensor(same))
    np.testing.assert_array_equal(spec.marginals, expected.marginals)
    for name in ("shift", "scale", "missing", "cardinalities"):
        np.testing.assert_array_equal(getattr(spec, name), getattr(expected, name), name)


# Estimators -----------------------------------------------------------------------------------


def test_polars_and_pandas_are_embedded_alike(people):
    X = people.astype({"children": float})
    Z = simclr().fit_transform(X)
    X_polars = pl.from_pandas(X)
    np.testing.assert_array_equal(simclr().fit_transform(X_polars), Z)


def test_order_of_categories_and_of_the_rows_does_not_matter_to_codes(people):
    kind = people["kind"].cat.reorder_categories(["y", "x"])
    Z = simclr().fit_transform(people)
    np.testing.assert_array_equal(simclr().fit_transform(people.assign(kind=kind)), Z)
    assert simclr().fit(people[::-1]).input_spec_.categories[2] == CITIES


@pytest.mark.filterwarnings(f"ignore:.*{UNKNOWN}")
def test_category_that_comes_up_after_fit_is_embedded_as_unknown(people):
    estimator = simclr().fit(people)
    Paris, Berlin = (estimator.transform(people.assign(city=name)) for name in ("Paris", "Berlin"))
    np.testing.assert_array_equal(Paris, Berlin)
    assert not np.array_equal(Paris, estimator.transform(people.assign(city="Rome")))
    # Missing was seen in the column of cities, but not in that of kinds.
    missing = estimator.transform(people.assign(city=None))
    assert not np.array_equal(missing, Paris)
    no_kind = people.assign(kind=pd.Categorical([None] * N, categories=["x", "y"]))
    other_kind = people.assign(kind="z")
    np.testing.assert_array_equal(estimator.transform(no_kind), estimator.transform(other_kind))


def test_missing_numbers_are_told_from_the_mean(people):
    estimator = simclr().fit(people)
    mean = estimator.transform(people.assign(income=people["income"].mean()))
    assert not np.allclose(estimator.transform(people.assign(income=np.nan)), mean)
    # No age was missing in fit: nothing was learned about it.
    mean = estimator.transform(people.assign(age=people["age"].mean()))
    np.testing.assert_allclose(estimator.transform(people.assign(age=np.nan)), mean, atol=1e-5)


def test_categories_of_unlabeled_rows_are_learned_too(people):
    estimator = simclr().fit(people, X_unlabeled=people.assign(city="Paris")[:30])
    assert estimator.input_spec_.categories[2] == ("Lima", "Oslo", "Paris", "Rome", None)
    assert estimator.input_spec_.n_samples == N + 30


def test_a_fit_that_goes_on_keeps_its_codes(people):
    estimator = simclr(warm_start=True).fit(people)
    categories = estimator.input_spec_.categories
    others = people[people["city"] != "Lima"]
    estimator.fit(others)
    assert estimator.input_spec_.categories == categories
    twin = simclr().partial_fit(people).partial_fit(others)
    assert twin.input_spec_.categories == categories
    assert simclr().fit(others).input_spec_.categories != categories


def test_names_and_order_of_columns_are_checked(people):
    estimator = simclr().fit(people)
    assert estimator.feature_names_in_.tolist() == people.columns.tolist()
    with pytest.raises(ValueError, match="must be in the same order"):
        estimator.transform(people[people.columns[::-1]])
    with pytest.raises(ValueError, match="now missing:\n- age"):
        estimator.transform(people.drop(columns="age"))
    with pytest.raises(ValueError, match="unseen at fit time:\n- size"):
        estimator.transform(people.assign(size=1.0))


def test_infinity_is_not_missing(people):
    with pytest.raises(ValueError, match="contains infinity"):
        simclr().fit(people.assign(age=np.inf))
    with pytest.raises(ValueError, match="contains infinity"):
        simclr().fit(people[["age", "children"]].astype(float).assign(age=-np.inf))


def test_x_is_left_alone(people):
    before = people.copy(deep=True)
    simclr().fit(people).transform(people)
    pd.testing.assert_frame_equal(people, before)


def test_categories_survive_pickling(people):
    estimator = simclr().fit(people)
    twin = pickle.loads(pickle.dumps(estimator))
    np.testing.assert_array_equal(twin.transform(people), estimator.transform(people))


@pytest.mark.filterwarnings(f"ignore:.*{UNKNOWN}")
def test_scaling_and_categories_are_those_of_each_fold(people):
    # The last fold alone has a city of its own, and larger numbers.
    people = people.astype({"city": object})
    people.loc[80:, "city"] = "Paris"
    people.loc[80:, "age"] += 1000
    seen = []

    class Recorder(SimCLRTransformer):
        def fit(self, X, y=None):
            super().fit(X, y)
            seen.append(self.input_spec_)
            return self

    y = np.arange(N) % 2
    pipeline = make_pipeline(Recorder(max_epochs=1, random_state=0), LogisticRegression())
    folds = [(np.arange(80), np.arange(80, N)), (np.arange(40, N), np.arange(40))]
    assert np.isfinite(cross_val_score(pipeline, people, y, cv=folds)).all()
    assert "Paris" not in seen[0].categories[2]
    assert "Paris" in seen[1].categories[2]
    assert seen[0].shift[0] < 50 < seen[1].shift[0]


@pytest.mark.parametrize("scaling", ["standard", "quantile"])
def test_a_memory_mapped_table_with_holes(scaling, tmp_path):
    X = np.random.default_rng(0).normal(size=(600, 4)).astype(np.float32)
    X[::7, 2] = np.nan
    np.save(tmp_path / "X.npy", X)
    mapped = np.load(tmp_path / "X.npy", mmap_mode="r")
    Z = simclr(scaling=scaling).fit_transform(X)
    np.testing.assert_array_equal(simclr(scaling=scaling).fit_transform(mapped), Z)
