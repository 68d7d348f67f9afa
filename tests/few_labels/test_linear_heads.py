"""Which heads are a linear layer, and so can be trained on."""

import numpy as np
import pytest
from sklearn.compose import TransformedTargetRegressor
from sklearn.cross_decomposition import PLSRegression
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis
from sklearn.ensemble import BaggingClassifier
from sklearn.linear_model import (
    BayesianRidge,
    ElasticNet,
    GammaRegressor,
    HuberRegressor,
    Lasso,
    LinearRegression,
    LogisticRegression,
    LogisticRegressionCV,
    Perceptron,
    PoissonRegressor,
    RANSACRegressor,
    Ridge,
    RidgeClassifier,
    RidgeClassifierCV,
    RidgeCV,
    SGDClassifier,
    SGDRegressor,
    TweedieRegressor,
)
from sklearn.model_selection import GridSearchCV
from sklearn.multiclass import OneVsOneClassifier, OneVsRestClassifier
from sklearn.naive_bayes import GaussianNB
from sklearn.neighbors import KNeighborsClassifier
from sklearn.neural_network import MLPRegressor
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import SVC, SVR, LinearSVC, LinearSVR, NuSVC, NuSVR

from sklearn_ssl import FineTuneClassifier, FineTuneRegressor, SCARFTransformer
from sklearn_ssl.few_labels.linear_heads import linear_weights


class SparseLogisticRegression(LogisticRegression):
    """Keeps its coefficients as a sparse matrix."""

    def fit(self, X, y):
        return super().fit(X, y).sparsify()


LINEAR_CLASSIFIERS = [
    LogisticRegression(),
    LogisticRegressionCV(Cs=2, cv=2),
    SparseLogisticRegression(),
    LogisticRegression(fit_intercept=False),
    RidgeClassifier(),
    RidgeClassifierCV(),
    LinearSVC(),
    LinearSVC(multi_class="crammer_singer"),
    SGDClassifier(random_state=0),
    Perceptron(),
    LinearDiscriminantAnalysis(),
    OneVsRestClassifier(LogisticRegression()),
]
OTHER_CLASSIFIERS = [
    SVC(kernel="linear"),
    SVC(kernel="linear", decision_function_shape="ovo"),
    NuSVC(kernel="linear", nu=0.1),
    SVC(),
    KNeighborsClassifier(1),
    GaussianNB(),
    OneVsOneClassifier(LogisticRegression()),
    OneVsRestClassifier(KNeighborsClassifier()),
    OneVsRestClassifier(SVC()),
    BaggingClassifier(LogisticRegression(), 2),
    make_pipeline(StandardScaler(), LogisticRegression()),
]
LINEAR_REGRESSORS = [
    Ridge(),
    RidgeCV(),
    LinearRegression(fit_intercept=False),
    Lasso(alpha=0.01),
    ElasticNet(alpha=0.01),
    HuberRegressor(max_iter=1000),
    BayesianRidge(),
    SGDRegressor(random_state=0),
    LinearSVR(max_iter=10_000),
    SVR(kernel="linear"),
    NuSVR(kernel="linear"),
    TweedieRegressor(power=0),
]
OTHER_REGRESSORS = [
    PoissonRegressor(),
    GammaRegressor(),
    TweedieRegressor(power=1.5),
    PLSRegression(2),
    TransformedTargetRegressor(Ridge(), transformer=StandardScaler()),
    GridSearchCV(Ridge(), {"alpha": [1.0]}, cv=2),
    RANSACRegressor(random_state=0),
    MLPRegressor(max_iter=2000, solver="lbfgs"),
    make_pipeline(StandardScaler(), Ridge()),
]


def representations(dtype=np.float32):
    rng = np.random.default_rng(0)
    return (rng.normal(size=(60, 5)) + 2).astype(dtype)  # whose mean is not 0


def classes(Z, n_classes):
    noisy = Z[:, 0] + 0.3 * Z[::-1, 1]
    return np.digitize(noisy, np.quantile(noisy, np.arange(1, n_classes) / n_classes))


def numbers(Z):
    return np.exp(0.3 * Z[:, 0] + 0.1 * Z[:, 1])


@pytest.mark.filterwarnings("ignore")  # of heads that need more iterations, or a newer parameter
@pytest.mark.parametrize("n_classes", [2, 3, 4])
@pytest.mark.parametrize("head", LINEAR_CLASSIFIERS, ids=repr)
def test_linear_classifiers_are_taken(head, n_classes):
    Z = representations()
    head.fit(Z, classes(Z, n_classes))
    coef, intercept = linear_weights(head, Z)
    assert coef.shape == (1 if n_classes == 2 else n_classes, 5)
    decisions = (
        (Z @ coef.T + intercept).squeeze(axis=1) if n_classes == 2 else Z @ coef.T + intercept
    )
    np.testing.assert_allclose(decisions, head.decision_function(Z), atol=1e-3, rtol=1e-3)


def test_of_two_classes_a_linear_support_vector_machine_is_taken():
    Z = representations()
    for kind in (SVC(kernel="linear"), NuSVC(kernel="linear")):
        head = kind.fit(Z, classes(Z, 2))
        coef, intercept = linear_weights(head, Z)
        np.testing.assert_allclose(Z @ coef[0] + intercept, head.decision_function(Z), atol=1e-3)


@pytest.mark.parametrize("n_classes", [3, 4])
@pytest.mark.parametrize("head", OTHER_CLASSIFIERS, ids=repr)
def test_other_classifiers_are_not(head, n_classes):
    Z = representations()
    assert linear_weights(head.fit(Z, classes(Z, n_classes)), Z) is None


@pytest.mark.parametrize("shared", [None, 0, 1])  # the value of a label that all rows have
@pytest.mark.parametrize("place", [0, 2])
@pytest.mark.parametrize(
    ("head", "is_linear"),
    [
        (RidgeClassifier(), True),
        (OneVsRestClassifier(LinearSVC()), True),
        (OneVsRestClassifier(SVC()), False),
        (OneVsRestClassifier(KNeighborsClassifier()), False),
        (KNeighborsClassifier(), False),
    ],
    ids=repr,
)
@pytest.mark.filterwarnings("ignore:Label .* is present in all training examples:UserWarning")
def test_heads_of_several_labels(head, is_linear, place, shared):
    Z = representations()
    Y = (Z[:, :3] + 0.3 * Z[:, 2:] > [2, 1, 3]).astype(int)
    if shared is not None:
        Y[:, place] = shared
    weights = linear_weights(head.fit(Z, Y), Z)
    assert (weights is not None) == is_linear
    if is_linear:
        coef, intercept = weights
        assert coef.shape == (3, 5)
        np.testing.assert_allclose(Z @ coef.T + intercept, head.decision_function(Z), atol=1e-3)


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("offset", [0.0, 1e3])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("head", LINEAR_REGRESSORS, ids=repr)
def test_linear_regressors_are_taken(head, dtype, offset):
    Z = representations(dtype)
    coef, intercept = linear_weights(head.fit(Z, numbers(Z) + offset), Z)
    assert coef.shape == (1, 5)
    assert intercept.shape == (1,)


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("offset", [0.0, 1e3])
@pytest.mark.parametrize("head", OTHER_REGRESSORS, ids=repr)
def test_other_regressors_are_not(head, offset):
    Z = representations()
    assert linear_weights(head.fit(Z, numbers(Z) + offset), Z) is None


@pytest.fixture(scope="module")
def table():
    X = representations(np.float64)
    return X, SCARFTransformer(max_epochs=1, random_state=0).fit(X)


def test_a_classifier_that_is_not_linear_is_refused_with_the_ones_to_use(table):
    X, ssl = table
    y = np.array(["low", "middle", "high"])[classes(X, 3)]
    head = SVC(kernel="linear")
    with pytest.raises(
        ValueError, match=r"decision_function is X @ coef_.T \+ intercept_.*SVC.*Li"
    ):
        FineTuneClassifier(ssl, head=head, random_state=0).fit(X, y)
    probe = FineTuneClassifier(ssl, strategy="probe", head=head).fit(X, y)
    two = np.where(y == "low", "low", "high")
    tuned = FineTuneClassifier(ssl, head=head, max_epochs=1, lr=1e-9, random_state=0).fit(X, two)
    assert probe.score(X, y) > 0.5
    assert tuned.score(X, two) == FineTuneClassifier(ssl, strategy="probe", head=head).fit(
        X, two
    ).score(X, two)


def test_a_regressor_that_is_not_linear_is_refused_with_the_ones_to_use(table):
    X, ssl = table
    with pytest.raises(ValueError, match=r"predict is X @ coef_.T.*PoissonRegressor.*Ridge, Lasso"):
        FineTuneRegressor(ssl, strategy="probe-then-full", head=PoissonRegressor()).fit(
            X, numbers(X)
        )


@pytest.mark.parametrize(
    ("Estimator", "head", "message"),
    [
        (FineTuneClassifier, Ridge(), "head of a FineTuneClassifier is a classifier; got Ridge"),
        (FineTuneRegressor, LinearSVC(), "head of a FineTuneRegressor is a regressor; got Linear"),
    ],
)
@pytest.mark.parametrize("strategy", ["probe", "probe-then-full"])
def test_a_head_of_the_other_kind_is_refused(Estimator, head, message, strategy, table):
    X, ssl = table
    with pytest.raises(ValueError, match=message):
        Estimator(ssl, head=head, strategy=strategy).fit(X, classes(X, 2))
