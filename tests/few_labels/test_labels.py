"""Which labels are missing, in every way that users write them."""

import datetime
from decimal import Decimal

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
from numpy.dtypes import StringDType
from sklearn.frozen import FrozenEstimator
from sklearn.linear_model import LogisticRegression
from sklearn.tree import DecisionTreeClassifier

from sklearn_ssl import FineTuneClassifier, SCARFTransformer
from sklearn_ssl.evaluation import evaluate_representation
from sklearn_ssl.few_labels.labels import (
    check_class_labels,
    is_unlabeled,
    label_array,
    numbers_to_predict,
    plain_labels,
)
from sklearn_ssl.semi_supervised import LabeledOnly, SemiSupervisedSplit, labeled_scorer


@pytest.mark.parametrize(
    ("y", "expected"),
    [
        ([0, 1, -1], [0, 0, 1]),
        (np.array([0, 1, -1], np.int8), [0, 0, 1]),
        (np.array([0, 255], np.uint8), [0, 0]),
        ([0.0, -1.0, np.nan], [0, 1, 1]),
        (["a", None, "b"], [0, 1, 0]),
        (["a", np.nan, "b"], [0, 1, 0]),
        (["a", -1, "-1"], [0, 1, 0]),
        (np.array(["-1", "1", "1"]), [0, 0, 0]),
        (np.array(["a", -1.0, None, 1, True], object), [0, 1, 1, 0, 0]),
        ([True, False], [0, 0]),
        (pd.Series(["a", None, "b"]), [0, 1, 0]),
        (pd.Series(["a", pd.NA, "b"], dtype="string"), [0, 1, 0]),
        (pd.Series([1, pd.NA, -1], dtype="Int64"), [0, 1, 1]),
        (pd.Series(["a", np.nan, "b"], dtype="category"), [0, 1, 0]),
        (pd.Series([True, None], dtype="boolean"), [0, 1]),
        (pd.Series([1, None, -1], dtype="int64[pyarrow]"), [0, 1, 1]),
        (pd.Series(["a", None], dtype=pd.ArrowDtype(pa.string())), [0, 1]),
        (pd.Categorical([0, None, -1]), [0, 1, 1]),
        (pd.DataFrame({"y": ["a", None]}), [[0], [1]]),
        (pl.Series([1, None, -1]), [0, 1, 1]),
        (pl.Series(["a", None]), [0, 1]),
        (pl.Series([True, None]), [0, 1]),
        (pl.Series(["a", None], dtype=pl.Categorical), [0, 1]),
        (pl.Series(["a", None], dtype=pl.Enum(["a"])), [0, 1]),
        (pa.array([1, None, -1]), [0, 1, 1]),
        (pa.array([True, None]), [0, 1]),
        (pa.array(["a", None], pa.large_string()), [0, 1]),
        (pa.chunked_array([["a"], [None]]), [0, 1]),
        (pa.chunked_array([pa.array(["a", None]).dictionary_encode()]), [0, 1]),
        (pa.table({"y": pa.array(["a", None]).dictionary_encode()}), [0, 1]),
        (np.ma.masked_array([0, 1, -1], [0, 1, 0]), [0, 1, 1]),
        (np.ma.masked_array(["a", "b"], [0, 1]), [0, 1]),
        (np.ma.masked_array([True, False], [0, 1]), [0, 1]),
        (np.ma.masked_array([[0, 1], [1, 1]], [[0, 1], [0, 1]]), [[0, 1], [0, 1]]),
        (np.ma.masked_array([0, -1]), [0, 1]),
        ([0, np.ma.masked], [0, 1]),
        (["a", np.ma.masked], [0, 1]),
        (np.array(["2020-01-01", "NaT"], "datetime64[D]"), [0, 1]),
        (np.array(["a", None], StringDType(na_object=None)), [0, 1]),
        (np.array(["a", np.nan], StringDType(na_object=np.nan)), [0, 1]),
        ([], []),
    ],
)
def test_classes(y, expected):
    np.testing.assert_array_equal(is_unlabeled(y), np.array(expected, bool))


@pytest.mark.parametrize(
    ("y", "expected"),
    [
        ([0, 1, -1], [0, 0, 0]),
        ([0.0, -1.0, np.nan], [0, 0, 1]),
        ([0.5, None, -1], [0, 1, 0]),
        (pd.Series([0.5, np.nan, -1]), [0, 1, 0]),
        (np.ma.masked_array([0.5, 1e20, -1], [0, 1, 0]), [0, 1, 0]),
        (pl.Series([0.5, None, -1]), [0, 1, 0]),
        (pa.array([0.5, None, -1]), [0, 1, 0]),
    ],
)
def test_numbers(y, expected):
    assert is_unlabeled(y, regression=True).tolist() == [bool(e) for e in expected]


def test_strings_stay_what_they_are():
    assert label_array(["a", None]).tolist() == ["a", None]
    assert plain_labels(label_array(["a", "b"])).dtype.kind == "U"
    assert plain_labels(label_array(np.array(["a", "b"], StringDType()))).dtype.kind == "U"
    assert label_array(np.array(["a", "b"])).dtype.kind == "U"
    assert label_array([1, 2]).dtype.kind == "i"


@pytest.mark.parametrize("kind", ["array", "bytes", "column"])
@pytest.mark.parametrize("mark", [-1, -1.0, None, np.nan, pd.NA, pd.NaT], ids=str)
@pytest.mark.parametrize("names", [("yes", "no"), ("a", "b"), ("AB", "CD"), ("good", "bad"), "01"])
def test_marks_that_numpy_made_strings(names, mark, kind):
    y = np.array([*names] * 5)
    y[4:] = mark
    is_letter_like_others = mark is np.nan and names == ("a", "b")  # "n"
    y = {
        "array": lambda: y,
        "bytes": lambda: y.astype("S"),
        "column": lambda: y[:, None],
    }[kind]()
    message = r"6 of the 10 labels in y are .*y = y.astype\(object\), then y\[rows\] = None"
    with (pytest.warns if is_letter_like_others else pytest.raises)(
        UserWarning if is_letter_like_others else ValueError, match=message
    ):
        is_unlabeled(y)


@pytest.mark.parametrize(
    "to", [list, pd.Series, pl.Series, pa.array, lambda y: np.array(y, object)]
)
@pytest.mark.parametrize("mark", ["-1", "-1.0", "nan", "<NA>", "NaT"])
def test_marks_that_became_strings_before(mark, to):
    """By ``astype(str)`` of a column: cut nowhere, and refused in every container."""
    with pytest.raises(ValueError, match=f"2 of the 4 labels in y are '{mark}'"):
        is_unlabeled(to(["yes", "no", mark, mark]))


def test_minus_one_among_strings_of_numbers():
    with pytest.raises(ValueError, match=r"are '-1'.*If '-1' is a class, give it another name"):
        is_unlabeled(["0", "1", "2", "-1"])
    with pytest.warns(UserWarning, match="3 of the 5 labels in y are '-1'"):
        is_unlabeled(["0", "1", "-1", "-1", "-1"])  # or feelings from -1 to 1


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.uint32, np.uint64])
def test_minus_one_in_unsigned_numbers(dtype):
    y = np.array([0, 1, 2, -1, -1]).astype(dtype)
    with pytest.raises(
        ValueError, match=f"2 of the 5 labels in y are {np.iinfo(dtype).max}, which"
    ):
        is_unlabeled(y)
    with pytest.raises(ValueError, match=r"y = np.where\(y == .*, -1, y.astype\(int\)\)"):
        is_unlabeled(pd.Series(y[1:] * (y[1:] > 1)).replace(2, 1))
    assert not is_unlabeled(y.astype(float)).any()
    assert not is_unlabeled(y[y < 3]).any()


@pytest.mark.parametrize(
    "y",
    [
        ["-1", "1"] * 3,
        ["-1", "0", "1"] * 2,
        ["-2", "-1", "0", "1", "2"],
        np.array(["-1", "1"]),
        np.array(["-1.0", "1.0"]),
        ["None", "Mild", "Severe", "None", "None", "None"],
        np.array(["None", "Mild", "Severe"]),
        np.array(["None", "Some", "None", "None"]),
        np.array(["Oui", "Non", "Non"]),
        np.array(["No", "Si", "No"]),
        np.array(["Y", "N", "N", "N"]),
        np.array(["y", "n", "n"]),
        np.array(["+", "-", "-"]),
        np.array(list("ABCDEFGHIJKLMNOPQRSTUVWXYZ")),
        np.array(list("abcdefghijklmnopqrstuvwxyz")),
        np.array(["Na", "Mg", "Al"]),
        np.array(["N", "S", "V", "F", "Q", "N", "N", "N", "N", "N"], object),
        np.array([0, 255, 255], np.uint8),
        np.array([3, 17, 255], np.uint8),
        np.array([0, 128, 255], np.uint8),
        np.array(["a", -1, "nan"], object),  # it is known there how to mark
    ],
)
def test_names_that_are_classes(y):
    is_unlabeled(y)  # neither an error nor a warning


@pytest.mark.parametrize("to", [list, pd.Series, pl.Series, np.array])
@pytest.mark.parametrize("mark", ["", "NaN", "unlabeled"])
def test_names_that_nobody_gives_to_a_class(mark, to):
    message = f"2 of the 4 labels in y are '{mark}'.*is a class, give it another name"
    with pytest.raises(ValueError, match=message):
        is_unlabeled(to(["yes", "no", mark, mark]))


def test_none_that_a_column_of_objects_made_a_string():
    y = ["good", "bad", "None", "None", "None"]
    with pytest.warns(UserWarning, match="3 of the 5 labels in y are 'None'.*another name"):
        is_unlabeled(pd.Series(y, dtype=object))
    is_unlabeled(y[:4])  # not most of them


def test_minus_one_beside_other_negative_numbers():
    y = np.array([-2, -1, 0, 1, 2])
    for of_kind in (y, y.astype(float), pd.Series(y), y.astype(object)):
        labels = plain_labels(np.asarray(of_kind)[y != -1])
        with pytest.raises(ValueError, match=r"other negative numbers too, such as -2.*from 0"):
            check_class_labels(of_kind, labels, "LabeledOnly")
    check_class_labels(y[y != -1], y[y != -1], "LabeledOnly")
    check_class_labels(y[1:], y[2:], "LabeledOnly")


def test_labels_of_several_kinds():
    y = np.array(["a", 1, None, "b"], object)
    message = r"needs labels of one kind; y holds str \('b'\) and int \(1\).*str\(label\) for"
    with pytest.raises(ValueError, match=message):
        check_class_labels(y, plain_labels(y[~is_unlabeled(y)]), "LabeledOnly")


@pytest.mark.parametrize(
    "labels",
    [
        np.array(["no", "yes"]),
        np.array(["2020-01-01", "2020-01-02"], "datetime64[D]"),
        np.array([datetime.date(2020, 1, 1)], object),
        np.array([1j, 2]),
    ],
    ids=["names", "dates", "objects", "complex"],
)
def test_labels_that_are_no_numbers(labels):
    with pytest.raises(ValueError, match="FineTuneRegressor predicts numbers, but y holds other"):
        numbers_to_predict(labels, "FineTuneRegressor")


def test_numbers_in_any_form():
    for labels in ([1, 2], [True, False], [Decimal("1.5"), 2], ["1.5", "2"]):
        assert numbers_to_predict(np.array(labels), "Ridge").dtype == np.float64


def test_a_single_class_beside_minus_one():
    y = np.array([1, -1, 1])
    with pytest.raises(ValueError, match=r"got only one class, 1\. -1 means.*y = np.where"):
        check_class_labels(y, y[[0, 2]], "LabeledOnly")
    for fine in ([1, 0, -1], [1.0, np.nan], ["a", None], [1, 1], [None, True]):
        y = label_array(fine)
        check_class_labels(y, plain_labels(y[~is_unlabeled(y)]), "LabeledOnly")


# Everywhere that y is read ------------------------------------------------------------------------


@pytest.fixture(scope="module", name="table")
def table_with_few_labels():
    """60 rows of which 30 have a label, the truth, and a transformer that has seen them."""
    X = np.random.default_rng(0).normal(size=(60, 3))
    frozen = FrozenEstimator(SCARFTransformer(max_epochs=1, random_state=0).fit(X))
    return X, (X[:, 0] > 0).astype(int), np.arange(60) % 2 == 0, frozen


def _classes_of_fit(estimator):
    return lambda X, y, frozen: estimator(frozen).fit(X, y).classes_


def _classes_of_folds(X, y, frozen):
    labels = np.asarray(label_array(y), object)
    return np.unique([labels[test].tolist() for _, test in SemiSupervisedSplit(3).split(X, y)])


def _classes_of_score(X, y, frozen):
    """Of rows whose labels are those of the classifier: any other would be wrong."""
    truth = np.asarray(label_array(y), object)[::2]
    model = LabeledOnly(DecisionTreeClassifier()).fit(X[::2], truth)
    assert model.score(X, y) == 1
    assert labeled_scorer("accuracy")(model, X, y) == 1
    return model.classes_


def _classes_of_evaluation(X, y, frozen):
    report = evaluate_representation(
        frozen, X, y, labels_per_class=2, n_draws=2, baselines=("raw",)
    )
    return np.unique(np.asarray(label_array(y), object)[report.labeled_rows[0][0]].tolist())


READERS = {
    "FineTuneClassifier": _classes_of_fit(lambda t: FineTuneClassifier(t, strategy="probe")),
    "LabeledOnly": _classes_of_fit(lambda t: LabeledOnly(LogisticRegression())),
    "SemiSupervisedSplit": _classes_of_folds,
    "score": _classes_of_score,
    "evaluate_representation": _classes_of_evaluation,
}
WORDS = np.array(["no", "yes"])
HOLES = {
    "mask": lambda y, has: np.ma.masked_array(np.where(has, y, 9), ~has),
    "mask of words": lambda y, has: np.ma.masked_array(WORDS[y], ~has),
    "Int64": lambda y, has: pd.Series(y).astype("Int64").where(has),
    "boolean": lambda y, has: pd.Series(y == 1).astype("boolean").where(has),
    "string": lambda y, has: pd.Series(WORDS[y], dtype="string").where(has),
    "category": lambda y, has: pd.Series(WORDS[y], dtype="category").where(has),
    "polars": lambda y, has: pl.Series([v if h else None for v, h in zip(y.tolist(), has)]),
    "polars words": lambda y, has: pl.Series(
        [str(v) if h else None for v, h in zip(WORDS[y], has)]
    ),
    "Arrow": lambda y, has: pa.array(y, mask=~has),
    "Arrow dictionary": lambda y, has: pa.chunked_array(
        [pa.array(WORDS[y].tolist(), mask=~has).dictionary_encode()]
    ),
}


@pytest.mark.parametrize("holes", HOLES)
@pytest.mark.parametrize("reader", READERS)
def test_holes_are_no_class(table, reader, holes):
    X, y, has_label, frozen = table
    classes = READERS[reader](X, HOLES[holes](y, has_label), frozen)
    assert [str(c) for c in classes] in (["0", "1"], ["0.0", "1.0"], ["False", "True"], [*WORDS])


@pytest.mark.parametrize("mark", [-1, None, np.nan], ids=str)
@pytest.mark.parametrize("reader", READERS)
def test_marks_that_became_strings_are_refused(table, reader, mark):
    X, y, has_label, frozen = table
    y = np.where(y, "yes", "no")
    y[~has_label] = mark
    with pytest.raises(ValueError, match=r"30 of the 60 labels in y are .*y.astype\(object\)"):
        READERS[reader](X, y, frozen)


@pytest.mark.parametrize("reader", [r for r in READERS if r != "score"])
def test_labels_of_minus_one_and_one(table, reader):
    X, y, _, frozen = table
    with pytest.raises(ValueError, match=rf"{reader} needs .* -1 means that a row has no label"):
        READERS[reader](X, 2 * y - 1, frozen)
