"""Evidence: with your few labels, does pretraining beat what you have?

::

    test rows are set aside; the estimator pretrains on all others, labeled or not
    for k labels per class, and for each of several draws of them:
        the same classifier on the representation, on raw features, on PCA, on an untrained encoder
        the same network, trained on the drawn labels alone, and what you have
        the score of each on the test rows
"""

import time
import warnings
from contextlib import suppress
from numbers import Integral, Real

import numpy as np
from sklearn.base import clone, is_regressor
from sklearn.dummy import DummyClassifier, DummyRegressor
from sklearn.metrics import check_scoring

from sklearn_ssl._seeds import draw_seeds
from sklearn_ssl._sklearn_compat import HasMethods, Interval, validate_params
from sklearn_ssl.evaluation.protocol import draw, possible, split
from sklearn_ssl.evaluation.report import RepresentationReport
from sklearn_ssl.evaluation.representations import (
    OF_EACH,
    PRETRAINED,
    Bench,
    Representation,
    default_head,
)
from sklearn_ssl.evaluation.rivals import can_predict, named_baselines, prepare_rival
from sklearn_ssl.few_labels.labels import holds_fractions, label_array

N_NOISE = 256  # columns on which the head is tried


@validate_params(
    {
        "labels_per_class": ["array-like", Integral, None],
        "n_draws": [Interval(Integral, 2, None, closed="left")],
        "test_size": [
            Interval(Real, 0, 1, closed="neither"),
            Interval(Integral, 1, None, closed="left"),
        ],
        "head": [HasMethods("fit"), None],
        "baselines": ["array-like"],
        "scoring": [str, callable, None],
        "random_state": ["random_state"],
        "verbose": ["verbose"],
    },
    prefer_skip_nested_validation=False,
)
def evaluate_representation(
    estimator,
    X,
    y,
    *,
    labels_per_class=None,
    n_draws=5,
    test_size=0.25,
    X_test=None,
    y_test=None,
    X_unlabeled=None,
    head=None,
    baselines=("raw", "pca", "untrained", "supervised"),
    scoring=None,
    random_state=0,
    verbose=0,
):
    """Measure what a representation is worth with few labels, compared with baselines.

    Test rows are set aside, and the estimator is pretrained on all others, labeled or not. Then k
    labels per class are drawn, several times, and the same classifier learns from the same rows on
    the representation and on each baseline.

    Parameters
    ----------
    estimator : estimator, list of estimators or dict of str to estimator
        A transformer of this package, or a Pipeline with one among its steps. It is cloned, and the
        clone is fitted. An estimator that is already fitted, alone or in a
        :class:`~sklearn.frozen.FrozenEstimator`, is used as it is; it may have seen the test rows,
        though not their labels, and the report says so. Several estimators are evaluated on the
        same rows and draws, under their names or the names of their classes.
    X : array-like, DataFrame or list of str
        Data as the estimator accepts it.
    y : array-like of shape (n,)
        Labels. Rows with -1, None or NaN have no label, and are used for pretraining only. Labels
        are numbers to predict, where -1 is an ordinary number, if `head` is a regressor, if
        `scoring` measures regression, or if neither is given and not all labels are whole numbers.
    labels_per_class : int or array-like of int, default=None
        Numbers of labels to draw from each class, or in total if numbers are to be predicted. Those
        for which there are too few training rows are left out, with a warning. None means (1, 5,
        10, 100) for classes and (20, 60, 200) for numbers.
    n_draws : int, default=5
        Number of draws for each number of labels, at least 2.
    test_size : float or int, default=0.25
        Fraction or number of the labeled rows to set aside. Classes keep their proportions.
    X_test, y_test : array-like, default=None
        Test rows and their labels. If given, X is not split.
    X_unlabeled : array-like, default=None
        More rows of the same kind to pretrain on.
    head : classifier or regressor, default=None
        Model that learns from the representation, and from the features of the baselines. None
        means :class:`~sklearn.linear_model.LogisticRegression`, or
        :class:`~sklearn.linear_model.RidgeCV` for numbers.
    baselines : array-like, default=("raw", "pca", "untrained", "supervised")
        What to compare with:

        - "raw": standardized numbers and one-hot categories of tables, pixels, values of series,
          TF-IDF of texts;
        - "pca": PCA of these to the width of the representation, or, if they have no more
          dimensions than that, to the components with 95 % of the variance; truncated SVD of
          TF-IDF;
        - "untrained": the same estimator with its initial weights;
        - "supervised": the same network, trained from these weights on the drawn labels alone, by
          :class:`~sklearn_ssl.FineTuneClassifier` or :class:`~sklearn_ssl.FineTuneRegressor`,
          with the views of ``augment="auto"``. This takes the longest;
        - ``(name, model)``: what you have. It gets the drawn rows of X as they are. A model that
          also learns from unlabeled rows gets all rows except the test rows, with -1 or NaN where
          no label was drawn: the classifiers of :mod:`sklearn.semi_supervised`, ``LabeledOnly``,
          the fine-tuning estimators, and a Pipeline or a search with ``SemiSupervisedSplit`` that
          ends in one of them.
    scoring : str or callable, default=None
        Any scikit-learn metric, as in :func:`~sklearn.model_selection.cross_validate`. None means
        "accuracy" for classes and "r2" for numbers. "balanced_accuracy" is the mean accuracy over
        classes, for classes of very different sizes.
    random_state : int, RandomState instance or None, default=0
        Seed of the split and the draws, and of the estimator if it has no seed of its own.
    verbose : int, default=0
        If at least 1, results are printed as they are measured.

    Returns
    -------
    report : RepresentationReport
        Print it to see a table and the conclusions.

    Raises
    ------
    TypeError
        If `estimator` does not belong to this package.
    ValueError
        If there are fewer than two classes, if no number of labels is available in all classes, or
        if `head` cannot learn or be scored.

    Warns
    -----
    UserWarning
        If a baseline fails; it is then left out. Your own baselines are measured before the
        pretraining.

    Notes
    -----
    Representations and dense features are centered and divided by one factor for all columns, so
    that the penalty of the classifier affects all of them equally. The baselines learn from the
    same rows as the estimator, without labels; baselines made from an estimator have its seed.

    See Also
    --------
    LabelCurveDisplay : Plot of the report.

    Examples
    --------
    >>> from sklearn.datasets import load_digits
    >>> from sklearn_ssl import SimCLRTransformer
    >>> from sklearn_ssl.evaluation import evaluate_representation
    >>> X, y = load_digits(return_X_y=True)
    >>> ssl = SimCLRTransformer(image_shape=(8, 8), max_epochs=1, random_state=0)
    >>> report = evaluate_representation(
    ...     ssl, X[:500], y[:500], labels_per_class=(1, 5), baselines=("raw", "pca")
    ... )
    >>> report.scores["raw"].shape  # numbers of labels, draws
    (2, 5)
    >>> report.mean["raw"].round(1)
    array([0.8, 0.9])
    """
    if head is not None and not can_predict(head):
        raise ValueError(f"head must be a classifier or a regressor, got {head}.")
    scorer, metric, regression = _resolved(scoring, head, y)
    head = default_head(regression=regression) if head is None else head
    rivals = named_baselines(baselines)
    split_seed, fit_seed, label_seed = draw_seeds(random_state, 3)
    named = _named(estimator, fit_seed, taken=rivals)
    rows = split(X, y, X_test, y_test, X_unlabeled, test_size, split_seed, regression=regression)
    numbers = possible(labels_per_class, rows.y_train, regression=regression)
    draws = draw(rows.y_train, numbers, draw_seeds(label_seed, n_draws), regression=regression)
    _try_head(head, rows, draws[0][0], scorer, metric)

    found = Measurements(rows, draws, scorer, say=print if verbose else _say_nothing)
    for name, rival in rivals.items():  # before the pretraining, which takes the longest
        if rival is not None:
            found.attempt(name, found.add, name, prepare_rival, name, rival, rows)
    known = [name for name, rival in rivals.items() if rival is None]
    for name, representation in named.items():
        if len(named) == 1:
            found.add_representation(name, representation, head, known)
        else:
            found.attempt(name, found.add_representation, name, representation, head, known)
    measured = [name for name in named if name in found.scores]
    if not measured:
        raise ValueError("None of the estimators could be evaluated; the warnings say why.")
    order = [*measured, *(key for name in rivals for key in found.keys_of(name, measured))]
    return RepresentationReport(
        labels_per_class=numbers,
        scores={name: found.scores[name] for name in order},
        titles={name: found.titles[name] for name in order},
        representations=tuple(measured),
        belongs_to=found.belongs_to,
        scoring=metric,
        regression=regression,
        guessing=_guessing(rows, scorer),
        n_pretrain=rows.n_pretrain if any(not named[n].was_fitted for n in measured) else None,
        fitted_before=tuple(name for name in measured if named[name].was_fitted),
        labeled_rows=[[rows.train_rows[drawn] for drawn in of_k] for of_k in draws],
        test_rows=rows.test_rows,
        n_test=len(rows.y_test),
    )


class Measurements:
    """Scores on the test rows, as they are found.

    Parameters
    ----------
    rows : Rows
    draws : list of list of ndarray
        Places of the drawn rows, for each number of labels.
    scorer : callable
    say : callable
        Called with each result, as text.
    """

    def __init__(self, rows, draws, scorer, say):
        self.rows = rows
        self.draws = draws
        self.scorer = scorer
        self.say = say
        self.scores, self.titles, self.belongs_to = {}, {}, {}

    def attempt(self, name, function, *args):
        """Call a function, and warn if that fails."""
        try:
            function(*args)
        except Exception as error:
            warnings.warn(
                f"{name} is left out of the report because it raised {type(error).__name__}: "
                f"{error}",
                UserWarning,
                stacklevel=4,
            )

    def add(self, name, prepare, *args):
        """Measure what a function prepares: a title, and a function of drawn rows."""
        title, answer = prepare(*args)
        self.scores[name] = np.array(
            [[self.scorer(*answer(drawn), self.rows.y_test) for drawn in d] for d in self.draws]
        )
        self.titles[name] = title
        n_undefined = int(np.sum(~np.isfinite(self.scores[name])))
        if n_undefined:
            warnings.warn(
                f"{n_undefined} of the {self.scores[name].size} scores of {name} are not finite: "
                "the metric is not defined for its predictions. Use another scoring.",
                UserWarning,
                stacklevel=4,
            )
        self.say(f"{title}: {', '.join(f'{mean:.3f}' for mean in self.scores[name].mean(axis=1))}")

    def add_representation(self, name, representation, head, baselines):
        """Pretrain a representation, and measure it and its built-in baselines."""
        start = time.perf_counter()
        representation.pretrain(self.rows)
        if not representation.was_fitted:
            self.say(
                f"{representation.title}: pretrained on {self.rows.n_pretrain:,} rows in "
                f"{time.perf_counter() - start:.1f} s"
            )
        bench = Bench(representation, head)
        self.add(name, bench.prepare, PRETRAINED)
        for baseline in baselines:
            key = baseline
            if name != PRETRAINED and baseline in OF_EACH:
                key = f"{baseline} {name}"
                self.belongs_to[key] = name
            if key not in self.scores:
                self.attempt(key, self.add, key, bench.prepare, baseline)

    def keys_of(self, baseline, representations):
        """Return the names under which a baseline was measured: one, or one per representation."""
        keys = [baseline, *(f"{baseline} {name}" for name in representations)]
        return [key for key in keys if key in self.scores]


def _resolved(scoring, head, y):
    """Return the scorer, its name, and whether labels are numbers to predict."""
    scorer = None if scoring is None else check_scoring(scoring=scoring)
    metric = getattr(scorer, "_score_func", None)  # functions of the user have none
    if head is not None:
        regression = is_regressor(head)
    elif metric is not None:
        regression = metric.__module__.endswith("regression")
    else:
        regression = holds_fractions(label_array(y))
    if scoring is None:
        scoring = "r2" if regression else "accuracy"
        return check_scoring(scoring=scoring), scoring, regression
    name = scoring if isinstance(scoring, str) else getattr(metric or scoring, "__name__", "score")
    return scorer, name, regression


def _named(estimator, seed, taken):
    """Return representations by their names; a single one is called "pretrained"."""
    if not isinstance(estimator, list | tuple | dict):
        return {PRETRAINED: Representation(estimator, seed)}
    if not isinstance(estimator, dict):
        estimator = _by_class(estimator)
    wrong = [
        name for name in estimator if not isinstance(name, str) or name in (PRETRAINED, *taken)
    ]
    if not estimator or wrong:
        raise ValueError(
            "estimator must hold at least one estimator, with names that differ from those of the "
            f"baselines; got {list(estimator)}."
        )
    return {name: Representation(each, seed, title=name) for name, each in estimator.items()}


def _by_class(estimators):
    """Return estimators by the names of their classes, numbered if a class is repeated."""
    named = {}
    for estimator in estimators:
        title = name = Representation(estimator, seed=None).title
        count = 2
        while name in named:
            name, count = f"{title} {count}", count + 1
        named[name] = estimator
    return named


def _try_head(head, rows, drawn, scorer, metric):
    """Let the head learn from noise: it must learn from so few rows, and return what is scored.

    Classes are scored with the test labels, in which some classes may be absent; numbers with those
    that were learned, because some metrics do not accept numbers that are far off.
    """
    y = rows.y_train[drawn]
    y_test = y if rows.regression else rows.y_test
    Z = np.random.default_rng(0).normal(size=(max(len(y), len(y_test)), N_NOISE))
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            score = scorer(clone(head).fit(Z[: len(y)], y), Z[: len(y_test)], y_test)
        if not isinstance(score, Real) or not np.isfinite(score):
            raise ValueError(f"the score is {score!r}, not a finite number")
    except Exception as error:
        raise ValueError(
            f"A {type(head).__name__} was tried on {len(y)} labeled rows and scored by {metric} "
            f"before the pretraining, which raised {type(error).__name__}: {error}\nUse another "
            "head or scoring. Metrics for two classes need labels 0 and 1, or make_scorer(..., "
            'pos_label=...); metrics for several classes have names such as "roc_auc_ovr" and '
            '"f1_macro".'
        ) from error


def _say_nothing(text):
    pass


def _guessing(rows, scorer):
    """Return the best score of one prediction for all rows; NaN if that cannot be scored."""
    y = rows.y_test
    if rows.regression:
        dummies = [DummyRegressor(strategy=strategy) for strategy in ("mean", "median")]
    else:
        constant = [DummyClassifier(strategy="constant", constant=c) for c in np.unique(y)]
        dummies = [DummyClassifier(strategy="prior"), *constant]
    X, scores = np.zeros((len(y), 1)), []
    with warnings.catch_warnings(), suppress(Exception):
        warnings.simplefilter("ignore")
        for dummy in dummies:
            scores.append(scorer(dummy.fit(X, y), X, y))
    return float(max(scores, default=np.nan))
