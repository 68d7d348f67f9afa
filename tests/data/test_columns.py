"""One rule for columns of any table: strings are categories, numbers numbers, the rest errors."""

import datetime
import decimal
import fractions
import uuid

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest

from sklearn_ssl import SCARFTransformer
from sklearn_ssl.data.categories import encode_table, learn_categories
from sklearn_ssl.data.columns import read_columns

N = 12
X = np.arange(float(N))
TOWNS = ["Bath", "Ely", None] * 4
DAYS = [datetime.date(2020, 1, 1 + i) for i in range(N)]
TIMES = [datetime.datetime(2020, 1, 1, i) for i in range(N)]
SPANS = [datetime.timedelta(i) for i in range(N)]


def objects(values):
    """Return an array of objects, which NumPy would make of no list of lists."""
    array = np.empty(len(values), dtype=object)
    array[:] = values
    return array


def pandas(values, dtype=None):
    return pd.DataFrame({"x": X, "c": pd.Series(values, dtype=dtype)})


def pandas_arrow(values, dtype=None):
    array = pa.array(values, dtype)
    return pandas(pd.Series(pd.arrays.ArrowExtensionArray(array)))


def polars(values, dtype=None):
    return pl.DataFrame({"x": X, "c": pl.Series(values, dtype=dtype)})


def arrow(values, dtype=None):
    return pa.table({"x": X, "c": pa.array(values, dtype)})


def batch(values, dtype=None):
    return pa.RecordBatch.from_pydict({"x": X, "c": pa.array(values, dtype)})


def array(values, dtype=object):
    return np.column_stack([X.astype(object), objects(values)])


def lists(values, dtype=None):
    return array(values).tolist()


def ways(pandas_dtypes, polars_dtypes, arrow_dtypes):
    """Return all containers, each with some of its dtypes, as parameters of a test."""
    containers = [(pandas, dtype) for dtype in (object, *pandas_dtypes)]
    containers += [(polars, dtype) for dtype in polars_dtypes]
    containers += [(make, t) for make in (pandas_arrow, arrow, batch) for t in arrow_dtypes]
    containers += [(array, object), (lists, None)]
    return [
        pytest.param(make, dtype, id=f"{make.__name__}-{getattr(dtype, '__name__', dtype)}")
        for make, dtype in containers
    ]


# Categories -----------------------------------------------------------------------------------

CODES = pa.dictionary(pa.int8(), pa.string())
STRINGS = ways(
    ["category", "string", "str", "string[pyarrow]"],
    [pl.String, pl.Categorical, pl.Enum(["Ely", "Bath"])],
    [pa.string(), pa.large_string(), pa.string_view(), CODES],
)


@pytest.mark.parametrize(("make", "dtype"), STRINGS)
@pytest.mark.parametrize("values", [TOWNS, ["01234", "10", None] * 4], ids=["words", "digits"])
def test_strings_are_categories(make, dtype, values):
    if isinstance(dtype, pl.Enum):
        dtype = pl.Enum(values[:2])
    table = make(values, dtype)
    categories = learn_categories([table], "from_dtype")
    assert categories == (None, (*values[:2], None))
    np.testing.assert_array_equal(
        encode_table(table, categories, "Test"), np.column_stack([X, [1, 2, 3] * 4])
    )


@pytest.mark.parametrize("text", ["Bath", "12"])
def test_strings_of_a_numpy_dtype_are_categories(text):
    for dtype in ("U4", np.dtypes.StringDType()):
        table = np.array([[text], ["Ely"]] * 4, dtype=dtype)
        assert learn_categories([table], "from_dtype") == (tuple(sorted([text, "Ely"])),)


def test_numpy_makes_strings_of_numbers_beside_strings():
    table = np.array([[23, "Ely"], [41, "Bath"]])
    match = "numbers as strings in column 0.*dtype=object.*categorical_features"
    with pytest.warns(UserWarning, match=match):
        learn_categories([table], "from_dtype")
    assert learn_categories([table], [0, 1]) == (("23", "41"), ("Bath", "Ely"))
    lists = [[23, "Ely"], [41, "Bath"]]  # of which it makes none here
    assert learn_categories([lists], "from_dtype") == (None, ("Bath", "Ely"))


@pytest.mark.parametrize(
    ("make", "dtype"),
    [
        (pandas, "category"),
        (pandas_arrow, pa.dictionary(pa.int8(), pa.int64())),
        (arrow, pa.dictionary(pa.int8(), pa.int64())),
    ],
)
def test_a_dtype_for_categories_makes_some_of_numbers(make, dtype):
    table = make([7, 5, None] * 4, dtype)
    categories = learn_categories([table], "from_dtype")
    assert categories == (None, (5, 7, None))
    np.testing.assert_array_equal(encode_table(table, categories, "Test")[:, 1], [2, 1, 3] * 4)


def test_columns_without_a_value():
    for nothing in (objects([None] * N), [None] * N, np.full(N, np.nan), [pd.NaT, pd.NA] * 6):
        table = pandas(nothing, object)
        assert learn_categories([table], "from_dtype") is None
        np.testing.assert_array_equal(encode_table(table, None, "Test")[:, 1], [np.nan] * N)
    for make, dtype in ((pandas, "category"), (pandas, "string"), (polars, pl.String)):
        table = make([None] * N, dtype)
        assert learn_categories([table], "from_dtype") == (None, (None,))


# Numbers --------------------------------------------------------------------------------------

WHOLE = [3, None, 5] * 4
NUMBERS = {
    "whole": ways(
        ["float64", "Int64", "UInt8", "Float32"],
        [pl.Int64, pl.UInt8, pl.Float32, pl.Decimal(8, 2)],
        [pa.int8(), pa.uint64(), pa.float32(), pa.float64(), pa.decimal128(8, 2)],
    ),
    "truth": ways(["boolean"], [pl.Boolean], [pa.bool_()]),
    "nothing": ways(["float64"], [pl.Null, pl.Int8], [pa.null(), pa.int32()]),
}


@pytest.mark.parametrize(
    ("values", "make", "dtype"),
    [
        pytest.param(values, *param.values, id=f"{name}-{param.id}")
        for name, values in [
            ("whole", WHOLE),
            ("truth", [True, None, False] * 4),
            ("nothing", [None] * N),
        ]
        for param in NUMBERS[name]
    ],
)
def test_numbers_are_numbers(values, make, dtype):
    table = make(values, dtype)
    assert learn_categories([table], "from_dtype") is None
    expected = np.column_stack([X, np.array(values, dtype=np.float64)])
    np.testing.assert_array_equal(encode_table(table, None, "Test"), expected)
    beside = pandas(TOWNS).assign(n=np.asarray(table["c"])) if make is pandas else None
    if beside is not None:
        assert learn_categories([beside], "from_dtype") == (None, ("Bath", "Ely", None), None)


@pytest.mark.parametrize("missing", [None, np.nan, pd.NA, pd.NaT, decimal.Decimal("NaN")])
@pytest.mark.parametrize(
    "number",
    [3, 3.0, True, decimal.Decimal("3.5"), fractions.Fraction(7, 2), np.float32(3.5), np.int8(3)],
    ids=lambda number: type(number).__name__,
)
def test_numbers_and_holes_among_objects(number, missing):
    values = [number, missing] * 6
    for make in (pandas, array, lists):
        table = make(values, object)
        assert learn_categories([table], "from_dtype") is None
        encoded = encode_table(table, None, "Test")
        np.testing.assert_array_equal(encoded[:, 1], [float(number), np.nan] * 6)


def test_dtypes_that_numpy_does_not_know():
    pytest.importorskip("polars", minversion="1.18")
    table = polars(WHOLE, pl.Int128)
    assert learn_categories([table], "from_dtype") is None
    np.testing.assert_array_equal(encode_table(table, None, "Test")[:, 1], [3, np.nan, 5] * 4)


def test_a_dtype_of_numbers_is_kept():
    frame = pl.DataFrame({"a": [1, 2], "b": [3, 4]}, schema={"a": pl.UInt8, "b": pl.UInt8})
    assert encode_table(frame, None, "Test").dtype == np.uint8
    assert encode_table(frame.to_arrow(), None, "Test").dtype == np.uint8
    assert encode_table(frame.to_pandas().astype("UInt8"), None, "Test").dtype == np.uint8


def test_numbers_and_strings_in_one_column():
    table = pandas([1, "unknown", 2.5] * 4, object)
    with pytest.warns(UserWarning, match="numbers and strings in column 'c'.*NaN"):
        categories = learn_categories([table], "from_dtype")
    assert categories == (None, (1, 2.5, "unknown"))
    assert learn_categories([table], ["c"]) == categories  # who names it has looked at it


def test_number_that_no_float_can_hold():
    with pytest.raises(ValueError, match=r"Column 'c' of X is read as numbers: .*too large"):
        encode_table(pandas([10**400] * N, object), None, "Test")


# Anything else --------------------------------------------------------------------------------

IDS = [uuid.UUID(int=i) for i in range(N)]
OTHERS = {
    "date": (DAYS, "'c'.*year, month", [], [pl.Date], [pa.date32(), pa.date64()]),
    "datetime": (
        TIMES,
        "'c'.*year, month",
        ["datetime64[ns]", "datetime64[s]", "datetime64[ns, UTC]", "period[D]", "category"],
        [pl.Datetime, pl.Datetime("ns")],
        [pa.timestamp("ns"), pa.timestamp("s"), pa.timestamp("us", "UTC")],
    ),
    "timedelta": (
        SPANS,
        "'c'.*days, or total seconds",
        ["timedelta64[ns]"],
        [pl.Duration],
        [pa.duration("s")],
    ),
    "time": ([time.time() for time in TIMES], "'c'.*hours", [], [pl.Time], [pa.time64("us")]),
    "uuid": (IDS, r"'c' \(UUID: drop it", [], [pl.Object], []),
    "bytes": ([b"Bath"] * N, "'c'.*decode", ["category"], [pl.Binary], [pa.binary()]),
    "complex": ([1j] * N, "'c'.*real and imaginary", ["complex128"], [], []),
    "list": ([[1, 2]] * N, "'c'.*split it into several columns", [], [pl.List(pl.Int8)], [None]),
    "array": (
        [np.zeros(2)] * N,
        "'c'.*split it into several columns",
        [],
        [pl.Array(pl.Int8, 2)],
        [],
    ),
    "dict": ([{"a": 1}] * N, "'c'.*split it into several columns", [], [None], [None]),
    "tuple": ([(1, 2)] * N, "'c'.*split it into several columns", ["category"], [], []),
    "set": ([{1}] * N, "'c'.*split it into several columns", [], [], []),
    "object": ([object()] * N, r"'c'.*astype\(str\)", ["category"], [pl.Object], []),
    "interval": (list(pd.interval_range(0, N)), r"'c'.*astype\(str\)", ["category"], [], []),
}


NESTED = ("complex", "list", "array", "tuple")  # a list of such rows is no table


@pytest.mark.parametrize(
    ("values", "match", "make", "dtype"),
    [
        pytest.param(values, match, *param.values, id=f"{name}-{param.id}")
        for name, (values, match, *dtypes) in OTHERS.items()
        for param in ways(*dtypes)
        if name not in NESTED or param.values[0] is not lists
    ],
)
def test_anything_else_is_an_error(values, match, make, dtype):
    table = make(values, dtype)
    if make in (array, lists):
        match = match.replace("'c'", "column 1")
    for chosen in ("from_dtype", [1]):
        with pytest.raises(TypeError, match=match):
            learn_categories([table], chosen)
    with pytest.raises(TypeError, match=match):
        encode_table(table, None, "Test")


def test_all_columns_of_other_values_are_named():
    table = pd.DataFrame({"day": DAYS, "x": X, "id": IDS})
    with pytest.raises(TypeError, match=r"column 'day' \(date: .*'id' \(UUID: ") as error:
        read_columns(table)
    assert "'x'" not in str(error.value)
    many = pd.DataFrame({f"day {j}": DAYS for j in range(30)})
    with pytest.raises(TypeError, match=r"'day 4' .* and 25 more\.$"):
        read_columns(many)


def test_columns_of_one_name_are_told_apart():
    table = pd.concat([pandas(TOWNS)] * 2, axis=1)
    towns = ("Bath", "Ely", None)
    assert learn_categories([table], "from_dtype") == (None, towns, None, towns)


def test_columns_of_several_levels():
    table = pandas(TOWNS)
    table.columns = pd.MultiIndex.from_tuples([("a", "x"), ("a", "c")])
    assert learn_categories([table], "from_dtype") == (None, ("Bath", "Ely", None))


def test_sparse_columns_are_numbers():
    table = pd.get_dummies(pandas(TOWNS), sparse=True)
    encoded = encode_table(table, None, "Test")
    np.testing.assert_array_equal(encoded, table.astype(float))


# Estimators -----------------------------------------------------------------------------------


@pytest.mark.parametrize(("make", "dtype"), STRINGS)
def test_a_table_of_any_kind_is_embedded_alike(make, dtype):
    def embeddings(table):
        ssl = SCARFTransformer(max_epochs=1, random_state=0)
        Z = ssl.fit(table, X_unlabeled=table).transform(table)
        np.testing.assert_array_equal(ssl.partial_fit(table).score(table), ssl.score(table))
        return Z, getattr(ssl, "feature_names_in_", None)

    Z, names = embeddings(make(TOWNS, dtype))
    expected, _ = embeddings(pandas(TOWNS))
    np.testing.assert_array_equal(Z, expected)
    if make in (array, lists):
        assert names is None
    elif make is not polars:  # whose names scikit-learn sees from version 1.9 on
        assert names.tolist() == ["x", "c"]
