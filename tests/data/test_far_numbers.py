"""Numbers that lie far from all others, or from those in fit, are warned of by their place."""

import numpy as np
import pandas as pd
import pytest
from sklearn.datasets import load_breast_cancer, load_diabetes, load_wine

from sklearn_ssl import MaskedAutoencoder, SCARFTransformer, SimCLRTransformer, TS2VecTransformer

rng = np.random.default_rng(0)
SERIES = np.sin(np.arange(30) * rng.uniform(0.1, 1, (60, 2, 1)))
PEOPLE = pd.DataFrame(
    {
        "age": rng.integers(18, 80, 120),
        "pay": rng.lognormal(8, 1, 120),
        "town": ["Bath", "Ely"] * 60,
    }
)


def make(Estimator=SCARFTransformer, **params):
    return Estimator(max_epochs=1, random_state=0, **params)


def with_value(column, value, n):
    X = PEOPLE.astype({column: float})
    X.loc[: n - 1, column] = value
    return X


@pytest.mark.parametrize("Estimator", [SCARFTransformer, SimCLRTransformer, MaskedAutoencoder])
@pytest.mark.parametrize("n", [1, 12, 90])
@pytest.mark.parametrize("value", [-9999, 999, -3.4e38, 1e300, 2**31])
def test_lone_values_of_a_table(Estimator, n, value):
    match = rf"far from all others in column 'age' \({value:g}; the others are".replace("+", r"\+")
    with pytest.warns(UserWarning, match=match + ".*with NaN; .*logarithm"):
        make(Estimator).fit(with_value("age", value, n))
    make(Estimator, scaling="quantile").fit(with_value("age", value, n))  # does not care


@pytest.mark.parametrize(
    ("Estimator", "params", "by"),
    [
        (TS2VecTransformer, {}, "NaN"),
        (SimCLRTransformer, {"modality": "series"}, "a usual value"),
    ],
)
@pytest.mark.parametrize("share", [0.001, 0.1, 0.6])
def test_lone_values_of_series(Estimator, params, by, share):
    X = SERIES.copy()
    X[:, 1][rng.random(X[:, 1].shape) < share] = -9999
    with pytest.warns(UserWarning, match=rf"in channel 1 \(-9999; .*replace it with {by}"):
        make(Estimator, **params).fit(X)


def test_lone_values_of_rows_without_labels():
    with pytest.warns(UserWarning, match=r"column 'pay' \(1e\+09"):
        make().fit(PEOPLE, X_unlabeled=with_value("pay", 1e9, 1))


n = 400
ORDINARY = {
    "normal": rng.normal(size=n),
    "heavy tails": rng.lognormal(0, 2.5, n),
    "Cauchy": rng.standard_cauchy(n),
    "rare": np.arange(n) == 7,
    "rare and large": np.where(np.arange(n) == 7, 1e6, 0),
    "counts": rng.poisson(2, n),
    "mostly 0": np.where(rng.random(n) > 0.9, rng.lognormal(3, 1, n), 0),
    "percent": rng.integers(0, 100, n),
    "years": rng.integers(1950, 2024, n),
    "time stamps": 1.7e18 + 1e9 * np.arange(n),
    "constant": np.full(n, 1e17),
    "few values": rng.choice([1, 2, 3, 99], n),
    "one to nine": rng.integers(0, 10, n),
    "rounded": np.round(rng.normal(size=n), 1),
    "two crowds": rng.normal(size=n) + np.where(rng.random(n) > 0.5, 1e5, 0),
}


@pytest.mark.parametrize("column", ORDINARY.values(), ids=ORDINARY.keys())
def test_ordinary_columns_are_no_alarm(column):
    make().fit(np.column_stack([column, rng.normal(size=n)])[::-1])


@pytest.mark.parametrize("load", [load_breast_cancer, load_diabetes, load_wine])
def test_usual_tables_are_no_alarm(load):
    make().fit(load().data[::2]).transform(load().data)


@pytest.mark.parametrize("method", ["transform", "score", "partial_fit"])
def test_numbers_far_from_those_in_fit(method):
    estimator = make().fit(PEOPLE)
    for value in (-99999, 1e20):
        with pytest.warns(UserWarning, match=r"in column 'age', more than a thousand.*NaN"):
            getattr(estimator, method)(with_value("age", value, 1))
    with pytest.warns(UserWarning, match="in column 'pay'.*another unit"):
        getattr(estimator, method)(PEOPLE.assign(pay=PEOPLE.pay * 1000))
    with pytest.warns(UserWarning, match=r"1e\+20 in column 'age'.*clips it"):
        getattr(estimator, method)(with_value("age", 1e20, 1))
    getattr(estimator, method)(PEOPLE.assign(pay=PEOPLE.pay * 10))
