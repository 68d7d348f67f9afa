"""Evidence: does pretraining beat what you have, with the few labels that you have?

::

    test rows are set aside; the estimator pretrains on all others, labelled or not
    for k labels a class, and for each of several draws of them:
        the same classifier on the representation, on raw features, on PCA, on an untrained encoder
        the same network, trained on the drawn labels alone
        accuracy of each on the test rows
"""

import time
from dataclasses import dataclass
from itertools import cycle
from numbers import Integral, Real

import numpy as np
from scipy import stats
from sklearn.frozen import FrozenEstimator
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import accuracy_score, balanced_accuracy_score
from sklearn.utils._optional_dependencies import check_matplotlib_support, check_pandas_support
from sklearn.utils._param_validation import HasMethods, Interval, StrOptions, validate_params

from sklearn_ssl._protocol import (
    PRETRAINED,
    Bench,
    check_estimator,
    draw,
    named_baselines,
    possible,
    score,
    seeded_clone,
    seeds,
    split,
)

CONFIDENCE = 0.95
METRICS = {"accuracy": accuracy_score, "balanced_accuracy": balanced_accuracy_score}


@validate_params(
    {
        "estimator": [HasMethods(["fit", "transform"])],
        "labels_per_class": ["array-like", Integral],
        "n_draws": [Interval(Integral, 2, None, closed="left")],
        "test_size": [
            Interval(Real, 0, 1, closed="neither"),
            Interval(Integral, 1, None, closed="left"),
        ],
        "head": [HasMethods(["fit", "predict"]), None],
        "baselines": ["array-like"],
        "scoring": [StrOptions(set(METRICS))],
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
    labels_per_class=(1, 5, 10, 100),
    n_draws=5,
    test_size=0.25,
    X_test=None,
    y_test=None,
    X_unlabeled=None,
    head=None,
    baselines=("raw", "pca", "untrained", "supervised"),
    scoring="accuracy",
    random_state=0,
    verbose=0,
):
    """Measure what a representation is worth with few labels, beside what has to be beaten.

    Test rows are set aside, and the estimator is pretrained on all others, labelled or not. Then k
    labels a class are drawn, several times, and the same classifier learns from the same rows on
    the representation and on each baseline.

    Parameters
    ----------
    estimator : estimator
        A transformer of this package. It is cloned, and the clone is fitted. One that is fitted
        already, bare or in a :class:`~sklearn.frozen.FrozenEstimator`, is used as it is; it may
        have seen the test rows, though not their labels, and the report says so.
    X : array-like, DataFrame or list of str
        As the estimator takes it.
    y : array-like of shape (n,)
        Labels. Rows with -1, None or NaN have none, and are there for pretraining only.
    labels_per_class : int or array-like of int, default=(1, 5, 10, 100)
        Numbers of labels to draw from each class. Those for which a class has too few training
        rows are left out, with a warning.
    n_draws : int, default=5
        Draws of labels at each number of them, at least 2.
    test_size : float or int, default=0.25
        Part, or number, of the labelled rows that are set aside. They are drawn so that classes
        keep their shares.
    X_test, y_test : array-like, default=None
        Test rows and their labels. X is not split then.
    X_unlabeled : array-like, default=None
        More rows of the same kind to pretrain on.
    head : classifier, default=None
        What learns from the representation, and from the features of the baselines. None is
        :class:`~sklearn.linear_model.LogisticRegression`.
    baselines : array-like, default=("raw", "pca", "untrained", "supervised")
        What stands beside it:

        - "raw": standardised numbers and one-hot categories of tables, pixels, values of series,
          TF-IDF of texts;
        - "pca": PCA of those to the width of the representation, or, where they have no more
          directions than that, to those that hold 95 % of their variance; truncated SVD of TF-IDF;
        - "untrained": the same estimator with the weights that it starts from;
        - "supervised": the same network, trained on the drawn labels alone from those weights, by
          :class:`~sklearn_ssl.FineTuneClassifier`, with the views of ``augment="auto"``. It takes
          the longest;
        - ``(name, classifier)``: what you have. The classifier gets the drawn rows of X as they
          are.
    scoring : {"accuracy", "balanced_accuracy"}, default="accuracy"
        The latter is the mean accuracy over classes, for classes of very different sizes.
    random_state : int, RandomState instance or None, default=0
        Seed of the split and the draws, and of the estimator if that has none of its own.
    verbose : int, default=0
        From 1 on, what has been measured is printed as the evaluation goes on.

    Returns
    -------
    report : RepresentationReport
        Printed, it is a table and a sentence.

    Raises
    ------
    TypeError
        If `estimator` is none of this package.
    ValueError
        If there are fewer than two classes, or no number of labels that all classes have.

    Notes
    -----
    Representations and dense features are centred and divided by one factor for all columns, so
    that the penalty of the classifier weighs all of them alike. The baselines learn from the same
    rows as the estimator, without labels; those that come from an estimator have its seed.

    See Also
    --------
    LabelCurveDisplay : The report as a picture.

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
    given = estimator.estimator if isinstance(estimator, FrozenEstimator) else estimator
    is_fitted = check_estimator(given, is_frozen=given is not estimator)
    rivals = named_baselines(baselines)
    split_seed, fit_seed, draw_seed = seeds(random_state, 3)
    rows = split(X, y, X_test, y_test, X_unlabeled, test_size, split_seed)
    labels_per_class = possible(labels_per_class, rows.y_train)
    draws = draw(rows.y_train, labels_per_class, seeds(draw_seed, n_draws))
    say = print if verbose else _say_nothing

    start = time.perf_counter()
    ssl = given if is_fitted else seeded_clone(given, fit_seed)
    if not is_fitted:
        ssl.fit(rows.X_pretrain, X_unlabeled=rows.X_unlabeled)
        seconds = time.perf_counter() - start
        say(f"{type(ssl).__name__}: pretrained on {rows.n_pretrain:,} rows in {seconds:.1f} s")
    head = LogisticRegression(max_iter=10_000) if head is None else head
    bench = Bench(ssl, rows, head, fit_seed)
    scores, titles = {}, {}
    for name, rival in {PRETRAINED: None, **rivals}.items():
        titles[name], answer = bench.prepare(name, rival)
        scores[name] = score(answer, draws, rows, METRICS[scoring])
        means = ", ".join(f"{mean:.3f}" for mean in scores[name].mean(axis=1))
        say(f"{titles[name]}: {means} at {', '.join(map(str, labels_per_class))} labels a class")
    return RepresentationReport(
        labels_per_class=labels_per_class,
        scores=scores,
        titles=titles,
        scoring=scoring,
        guessing=_guessing(rows.y_test, scoring),
        n_pretrain=None if is_fitted else rows.n_pretrain,
        labeled_rows=[[rows.train_rows[drawn] for drawn in of_k] for of_k in draws],
        test_rows=rows.test_rows,
        n_test=len(rows.y_test),
    )


def _say_nothing(text):
    pass


def _guessing(y, scoring):
    """Return what the same answer for all rows scores at best."""
    counts = np.unique(y, return_counts=True)[1]
    return counts.max() / len(y) if scoring == "accuracy" else 1 / len(counts)


# The report ---------------------------------------------------------------------------------------


@dataclass(repr=False, eq=False, kw_only=True)
class RepresentationReport:
    """What :func:`evaluate_representation` has measured.

    Printed, it is a table of all scores, the differences on the same draws, and a sentence.

    Attributes
    ----------
    labels_per_class : ndarray of shape (n_k,)
        Numbers of labels drawn from each class.
    scores : dict of str to ndarray of shape (n_k, n_draws)
        Scores on the test rows, of "pretrained" and of the baselines by their names. The draws are
        the same for all.
    titles : dict of str to str
        What these names stand for.
    scoring : {"accuracy", "balanced_accuracy"}
    guessing : float
        What the best answer that is the same for all rows scores.
    n_pretrain : int or None
        Rows that the estimator was pretrained on; None for one that was fitted before, and may have
        seen the test rows.
    labeled_rows : list of list of ndarray
        For each number of labels and each draw the places of the labelled rows in X.
    test_rows : ndarray or None
        Places of the test rows in X; None if they came as ``X_test``.
    n_test : int
        Number of test rows.

    Notes
    -----
    Intervals are t-intervals over the draws, at 95 %. They say how far the mean of the draws may
    lie from that of all possible draws. Of chance elsewhere they say nothing: another seed of the
    pretraining, other test rows, another data set. Nor are they widened for looking at several
    baselines and numbers of labels at once: one in twenty errs.
    """

    labels_per_class: np.ndarray
    scores: dict
    titles: dict
    scoring: str = "accuracy"
    guessing: float = np.nan
    n_pretrain: int | None = None
    labeled_rows: list | None = None
    test_rows: np.ndarray | None = None
    n_test: int = 0

    @property
    def baselines(self):
        """Names of the baselines."""
        return [name for name in self.scores if name != PRETRAINED]

    @property
    def mean(self):
        """Mean score of each name, a dict of arrays of shape ``(n_k,)``."""
        return {name: scores.mean(axis=1) for name, scores in self.scores.items()}

    @property
    def interval(self):
        """Ends of the 95 % intervals of the means, a dict of arrays of shape ``(n_k, 2)``."""
        return {name: _interval(scores) for name, scores in self.scores.items()}

    def gain(self, baseline):
        """Return how far pretraining is ahead of a baseline, draw by draw.

        The draws are the same for both, so that the differences spread less than the scores do.

        Parameters
        ----------
        baseline : str
            Its name among the scores.

        Returns
        -------
        mean : ndarray of shape (n_k,)
        interval : ndarray of shape (n_k, 2)
            At 95 %.
        """
        if baseline not in self.baselines:
            raise ValueError(f"baseline must be one of {self.baselines}, got {baseline!r}.")
        differences = self.scores[PRETRAINED] - self.scores[baseline]
        return differences.mean(axis=1), _interval(differences)

    @property
    def summary(self):
        """A sentence that says whether pretraining helped, beside the best baseline at each k."""
        if not self.baselines:
            return "No baseline was measured, so whether pretraining helped cannot be said."
        comparisons = [self._beside_the_best(i) for i in range(len(self.labels_per_class))]
        verdicts = {verdict for _, _, verdict in comparisons}
        parts = [
            _comparison(gain, self.titles[best], k, verdict, first=i == 0)
            for i, (k, (best, gain, verdict)) in enumerate(zip(self.labels_per_class, comparisons))
        ]
        return f"{_headline(verdicts)}: {self.titles[PRETRAINED]} is {_listed(parts)}."

    def _beside_the_best(self, i):
        """Return the best baseline at the i-th k, the gain, and 1, -1 or 0 if it may be chance."""
        best = max(self.baselines, key=lambda name: self.scores[name][i].mean())
        gains, intervals = self.gain(best)
        low, high = intervals[i]
        return best, gains[i], int(low > 0) - int(high < 0)

    def to_frame(self):
        """Return all scores as a pandas DataFrame, one row for each score.

        Returns
        -------
        frame : DataFrame
            With the columns "name", "title", "labels_per_class", "draw" and the metric.
        """
        pd = check_pandas_support("RepresentationReport.to_frame")
        return pd.DataFrame(
            [
                (name, self.titles[name], int(k), draw, score)
                for name, scores in self.scores.items()
                for k, of_k in zip(self.labels_per_class, scores)
                for draw, score in enumerate(of_k)
            ],
            columns=["name", "title", "labels_per_class", "draw", self.scoring],
        )

    def plot(self, ax=None, **kwargs):
        """Draw labels a class against scores.

        Parameters
        ----------
        ax : matplotlib Axes, default=None
            None makes a new figure.
        **kwargs : dict
            Handed on to :meth:`LabelCurveDisplay.plot`.

        Returns
        -------
        display : LabelCurveDisplay
        """
        return LabelCurveDisplay.from_report(self, ax=ax, **kwargs)

    def __repr__(self):
        ks = ", ".join(map(str, self.labels_per_class))
        means = ", ".join(f"{mean:.3f}" for mean in self.mean[PRETRAINED])
        return (
            f"<RepresentationReport of {self.titles[PRETRAINED]}: {self._metric()} {means} at {ks} "
            f"labels a class, beside {', '.join(self.baselines) or 'nothing'}; print it for more>"
        )

    def __str__(self):
        n_draws = self.scores[PRETRAINED].shape[1]
        width = 2 + max(len(title) for title in ("labels a class", *self.titles.values()))
        lines = [
            f"{self._metric().capitalize()} on {self.n_test:,} test rows: mean of {n_draws} draws "
            "of labels, with its 95 % interval",
            "",
            _row("labels a class", self.labels_per_class, width),
        ]
        for name, title in self.titles.items():
            cells = _cells(self.mean[name], self.interval[name], "{:.3f} ± {:.3f}")
            lines.append(_row(title, cells, width))
        lines.append(
            _row("guessing", [f"{self.guessing:.3f}        "] * len(self.labels_per_class), width)
        )
        if self.baselines:
            lines += [
                "",
                f"{self.titles[PRETRAINED]} is ahead, on the same draws, by so many points of",
            ]
        for name in self.baselines:
            gains, intervals = self.gain(name)
            cells = _cells(100 * gains, 100 * intervals, "{:+.1f} ± {:.1f}")
            lines.append(_row(self.titles[name], cells, width))
        return "\n".join([*lines, "", self._pretraining(), self.summary])

    def _metric(self):
        return self.scoring.replace("_", " ")

    def _pretraining(self):
        if self.n_pretrain is None:
            return "It was fitted before: it may have seen the test rows, though not their labels."
        return f"It was pretrained on {self.n_pretrain:,} rows, none of them a test row."


def _interval(values):
    """Return the ends of the t-intervals of the means of rows, of shape ``(n_k, 2)``."""
    n = values.shape[1]
    error = values.std(axis=1, ddof=1) / np.sqrt(n)
    half = stats.t.ppf((1 + CONFIDENCE) / 2, n - 1) * error
    return values.mean(axis=1)[:, None] + half[:, None] * [-1, 1]


def _headline(verdicts):
    if verdicts == {1}:
        return "Pretraining helped"
    if verdicts == {1, 0}:
        return "Pretraining helped, but not clearly at every number of labels"
    if verdicts >= {1, -1}:
        return "Pretraining helped at some numbers of labels, and not at others"
    if -1 in verdicts:
        return "Pretraining did not help"
    return "It is not clear whether pretraining helped"


def _comparison(gain, title, k, verdict, *, first):
    points = f"{100 * abs(gain):.1f}" + (" points" if first else "")
    where = "ahead of" if gain >= 0 else "behind"
    labels = (" label a class" if k == 1 else " labels a class") if first else ""
    chance = "" if verdict else " (within the noise of the draws)"
    return f"{points} {where} {title} at {k}{labels}{chance}"


def _listed(parts):
    return " and ".join(part for part in (", ".join(parts[:-1]), parts[-1]) if part)


def _cells(means, intervals, form):
    return [form.format(mean, high - mean) for mean, (_, high) in zip(means, intervals)]


def _row(title, cells, width):
    return (f"{title:{width}}" + "".join(f"{cell:>16}" for cell in cells)).rstrip()


# The picture --------------------------------------------------------------------------------------


MARKERS = "osD^vPX"
LINE_STYLES = ("-", "-", "--", "-.")  # PCA as wide as the raw features lies on their curve


class LabelCurveDisplay:
    """Labels a class against accuracy, of a representation and its baselines.

    It is made by :meth:`from_estimator` or :meth:`from_report`, which draw it as well.

    Parameters
    ----------
    report : RepresentationReport

    Attributes
    ----------
    ax_ : matplotlib Axes
    figure_ : matplotlib Figure
    lines_ : list of matplotlib Line2D
        A curve for each name in ``report.scores``.
    bands_ : list of matplotlib PolyCollection
        Their 95 % intervals over draws of labels.
    guessing_ : matplotlib Line2D
        The score of one answer for all rows.

    Examples
    --------
    >>> import matplotlib.pyplot as plt
    >>> from sklearn.datasets import load_digits
    >>> from sklearn_ssl import SimCLRTransformer
    >>> from sklearn_ssl.evaluation import LabelCurveDisplay
    >>> X, y = load_digits(return_X_y=True)
    >>> ssl = SimCLRTransformer(image_shape=(8, 8), max_epochs=1, random_state=0)
    >>> display = LabelCurveDisplay.from_estimator(
    ...     ssl, X[:500], y[:500], labels_per_class=(1, 5), baselines=("raw",)
    ... )
    >>> print(display.report.baselines)
    ['raw']
    >>> plt.show()  # doctest: +SKIP
    """

    def __init__(self, *, report):
        self.report = report

    @classmethod
    def from_estimator(cls, estimator, X, y, *, ax=None, **kwargs):
        """Evaluate a representation, and draw its curves.

        Parameters
        ----------
        estimator, X, y
            As in :func:`evaluate_representation`.
        ax : matplotlib Axes, default=None
            None makes a new figure.
        **kwargs : dict
            Handed on to :func:`evaluate_representation`.

        Returns
        -------
        display : LabelCurveDisplay
        """
        check_matplotlib_support(f"{cls.__name__}.from_estimator")
        return cls.from_report(evaluate_representation(estimator, X, y, **kwargs), ax=ax)

    @classmethod
    def from_report(cls, report, *, ax=None, **kwargs):
        """Draw the curves of a report.

        Parameters
        ----------
        report : RepresentationReport
        ax : matplotlib Axes, default=None
            None makes a new figure.
        **kwargs : dict
            Handed on to :meth:`plot`.

        Returns
        -------
        display : LabelCurveDisplay
        """
        return cls(report=report).plot(ax=ax, **kwargs)

    def plot(self, ax=None, *, legend=True, **kwargs):
        """Draw the curves.

        Parameters
        ----------
        ax : matplotlib Axes, default=None
            None makes a new figure.
        legend : bool, default=True
        **kwargs : dict
            Of the lines, handed on to ``Axes.plot``.

        Returns
        -------
        display : LabelCurveDisplay
            Itself.
        """
        check_matplotlib_support(f"{type(self).__name__}.plot")
        import matplotlib.pyplot as plt

        if ax is None:
            ax = plt.subplots(layout="constrained")[1]
        self.ax_, self.figure_ = ax, ax.figure
        ks, self.lines_, self.bands_ = self.report.labels_per_class, [], []
        names = zip(self.report.titles.items(), cycle(MARKERS), cycle(LINE_STYLES))
        for (name, title), marker, line_style in names:
            style = {"marker": marker, "linestyle": line_style, "label": title}
            style |= {"markersize": 5, "linewidth": 1.5}
            if name == PRETRAINED:
                style |= {"markersize": 8, "linewidth": 2.5, "zorder": 3}
            (line,) = ax.plot(ks, self.report.mean[name], **{**style, **kwargs})
            low, high = self.report.interval[name].T
            band = {"color": line.get_color(), "alpha": 0.12, "linewidth": 0}
            self.lines_.append(line)
            self.bands_.append(ax.fill_between(ks, low, high, **band))
        self.guessing_ = ax.axhline(
            self.report.guessing, color="0.5", linewidth=0.8, linestyle=":", label="guessing"
        )
        ax.set_xscale("log")
        ax.set_xticks(ks, [str(k) for k in ks], minor=False)
        ax.set_xticks([], minor=True)
        metric = self.report.scoring.replace("_", " ")
        ax.set(xlabel="labels a class", ylabel=f"test {metric}")
        if legend:
            ax.legend(loc="best", fontsize="small")
        return self
