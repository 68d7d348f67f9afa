"""The report of an evaluation: a table, the differences draw by draw, and a summary in words."""

from dataclasses import dataclass, field

import numpy as np
from scipy import stats

from sklearn_ssl._sklearn_compat import check_pandas_support
from sklearn_ssl.evaluation.label_curves import LabelCurveDisplay
from sklearn_ssl.evaluation.representations import PRETRAINED

CONFIDENCE = 0.95
IN_POINTS = (  # metrics from 0 to 1, with differences in hundredths
    *("accuracy", "balanced_accuracy", "top_k_accuracy", "average_precision", "roc_auc", "f1"),
    *("precision", "recall", "jaccard"),
)


@dataclass(repr=False, eq=False, kw_only=True)
class RepresentationReport:
    """The results of :func:`evaluate_representation`.

    Print it to see a table of all scores, the differences on the same draws, and a summary.

    Attributes
    ----------
    labels_per_class : ndarray of shape (n_k,)
        Numbers of labels drawn from each class, or in total if numbers are predicted.
    scores : dict of str to ndarray of shape (n_k, n_draws)
        Scores on the test rows, of the representations and of the baselines by their names. The
        draws are the same for all, and higher is better.
    titles : dict of str to str
        What these names stand for.
    representations : tuple of str
        Names of what was evaluated: "pretrained", or the names of several estimators.
    belongs_to : dict of str to str
        For several estimators: baselines that belong to only one of them, and to which.
    scoring : str
        Name of the metric.
    regression : bool
        Whether labels are numbers to predict.
    guessing : float
        Score of the best prediction that is the same for all rows.
    n_pretrain : int or None
        Number of rows used for pretraining; None if all estimators were fitted before.
    fitted_before : tuple of str
        Names of estimators that were fitted before, and may have seen the test rows.
    labeled_rows : list of list of ndarray
        For each number of labels and each draw, the positions of the labeled rows in X.
    test_rows : ndarray or None
        Positions of the test rows in X; None if ``X_test`` was given.
    n_test : int
        Number of test rows.

    Notes
    -----
    Intervals are t-intervals over the draws, at 95 %. They say how far the mean of the draws may be
    from that of all possible draws. They do not cover other sources of chance: another seed of the
    pretraining, other test rows, another data set. They are not widened for comparing several
    baselines and numbers of labels at once: one in twenty is wrong.
    """

    labels_per_class: np.ndarray
    scores: dict
    titles: dict
    representations: tuple = (PRETRAINED,)
    belongs_to: dict = field(default_factory=dict)
    scoring: str = "accuracy"
    regression: bool = False
    guessing: float = np.nan
    n_pretrain: int | None = None
    fitted_before: tuple = ()
    labeled_rows: list | None = None
    test_rows: np.ndarray | None = None
    n_test: int = 0

    @property
    def baselines(self):
        """Names of the baselines."""
        return [name for name in self.scores if name not in self.representations]

    @property
    def mean(self):
        """Mean score of each name, a dict of arrays of shape ``(n_k,)``."""
        return {name: scores.mean(axis=1) for name, scores in self.scores.items()}

    @property
    def interval(self):
        """Ends of the 95 % intervals of the means, a dict of arrays of shape ``(n_k, 2)``."""
        return {name: _interval(scores) for name, scores in self.scores.items()}

    def gain(self, baseline, representation=None):
        """Return how far pretraining is ahead of a baseline, draw by draw.

        Both use the same draws, so the differences vary less than the scores do.

        Parameters
        ----------
        baseline : str
            Its name in ``scores``, or the name of another representation.
        representation : str, default=None
            The representation to compare with it. None means the first one.

        Returns
        -------
        mean : ndarray of shape (n_k,)
        interval : ndarray of shape (n_k, 2)
            At 95 %.
        """
        name = self.representations[0] if representation is None else representation
        if name not in self.representations:
            raise ValueError(f"representation must be one of {self.representations}, got {name!r}.")
        others = [other for other in self.scores if other != name]
        if baseline not in others:
            raise ValueError(f"baseline must be one of {others}, got {baseline!r}.")
        differences = self.scores[name] - self.scores[baseline]
        return differences.mean(axis=1), _interval(differences)

    @property
    def summary(self):
        """Conclusions: whether pretraining helped, and whether a baseline is better.

        Whether it helped is decided by a comparison with the untrained network. A better baseline
        means that something else works better, not that pretraining was useless. Each
        representation is compared with the best of its baselines at each number of labels.
        """
        sentences = [
            sentence
            for name in self.representations
            for sentence in (self._about_pretraining(name), self._about_baselines(name))
            if sentence
        ]
        return " ".join(sentences) or (
            "No baseline was measured, so it is unknown whether pretraining helped."
        )

    def _about_pretraining(self, name):
        untrained = [other for other in self._baselines_of(name) if self._is_untrained(other)]
        return self._sentence(name, untrained, HELPED)

    def _about_baselines(self, name):
        others = [other for other in self._baselines_of(name) if not self._is_untrained(other)]
        return self._sentence(name, others, BETTER)

    def _is_untrained(self, baseline):
        return baseline in ("untrained", f"untrained {self.belongs_to.get(baseline)}")

    def _baselines_of(self, name):
        return [other for other in self.baselines if self.belongs_to.get(other, name) == name]

    def _sentence(self, name, baselines, headlines):
        if not baselines:
            return ""
        comparisons = [
            self._beside_the_best(name, baselines, i) for i in range(len(self.labels_per_class))
        ]
        parts = [self._comparison(i, *comparison) for i, comparison in enumerate(comparisons)]
        headline = headlines[_verdict({verdict for _, _, verdict in comparisons})]
        return f"{headline}: {self.titles[name]} is {_listed(parts)}."

    def _beside_the_best(self, name, baselines, i):
        """Return the best baseline at the i-th k, the gain, and 1, -1 or 0 if it may be chance."""
        best = max(baselines, key=lambda baseline: self.scores[baseline][i].mean())
        gains, intervals = self.gain(best, name)
        low, high = intervals[i]
        return best, gains[i], int(low > 0) - int(high < 0)

    def _comparison(self, i, best, gain, verdict):
        k, unit = self.labels_per_class[i], " points" if self._in_points and i == 0 else ""
        amount = f"{100 * abs(gain):.1f}" if self._in_points else f"{abs(gain):.3g}"
        where = "ahead of" if gain >= 0 else "behind"
        labels = f" {self._labels if k > 1 else self._labels.replace('s', '', 1)}" if i == 0 else ""
        chance = "" if verdict else " (within the noise of the draws)"
        return f"{amount}{unit} {where} {self.titles[best]} at {k}{labels}{chance}"

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

    def to_dict(self):
        """Return the results as values that JSON knows, without the positions of rows.

        Returns
        -------
        results : dict
            The summary, the scores of each draw, and what they were measured on; None stands for
            numbers that are unknown.
        """
        return {
            "summary": self.summary,
            "scoring": self.scoring,
            "regression": self.regression,
            "guessing": None if np.isnan(self.guessing) else float(self.guessing),
            "labels_per_class": [int(k) for k in self.labels_per_class],
            "scores": {name: np.asarray(scores).tolist() for name, scores in self.scores.items()},
            "titles": dict(self.titles),
            "representations": list(self.representations),
            "belongs_to": dict(self.belongs_to),
            "n_pretrain": self.n_pretrain,
            "fitted_before": list(self.fitted_before),
            "n_test": self.n_test,
        }

    def plot(self, ax=None, **kwargs):
        """Draw labels per class against scores.

        Parameters
        ----------
        ax : matplotlib Axes, default=None
            None makes a new figure.
        **kwargs : dict
            Passed on to :meth:`LabelCurveDisplay.plot`.

        Returns
        -------
        display : LabelCurveDisplay
        """
        return LabelCurveDisplay.from_report(self, ax=ax, **kwargs)

    def __repr__(self):
        ks = ", ".join(map(str, self.labels_per_class))
        means = {
            name: ", ".join(f"{mean:.3f}" for mean in means) for name, means in self.mean.items()
        }
        scores = "; ".join(
            f"{self.titles[name]}: {self._metric} {means[name]}" for name in self.representations
        )
        return (
            f"<RepresentationReport of {scores} at {ks} {self._labels}, compared with "
            f"{', '.join(self.baselines) or 'nothing'}; print it for more>"
        )

    def __str__(self):
        test = f"{self._metric.capitalize()} on {self.n_test:,} test rows"
        rows = [
            (f"{test}: mean of {self._n_draws} draws of labels, with its 95 % interval",),
            ("",),
            (self._labels, *map(str, self.labels_per_class)),
        ]
        for name, title in self.titles.items():
            rows.append((title, *_cells(self.mean[name], self.interval[name], _number)))
        guessing = f"{_number(self.guessing)}{BLANK}"
        rows.append(("guessing", *[guessing] * len(self.labels_per_class)))
        for name in self.representations:
            rows += self._gains(name)
        return "\n".join([*_aligned(rows), "", self._pretraining(), self.summary])

    def _gains(self, name):
        """Return the rows of the table that show the lead of a representation."""
        baselines = self._baselines_of(name)
        if not baselines:
            return []
        unit = " in points" if self._in_points else ""
        rows = [("",), (f"Lead of {self.titles[name]}{unit}, on the same draws, over",)]
        factor, form = (100, "{:.1f}".format) if self._in_points else (1, _number)
        for baseline in baselines:
            gains, intervals = self.gain(baseline, name)
            cells = _cells(factor * gains, factor * intervals, form, sign="+")
            rows.append((self.titles[baseline], *cells))
        return rows

    @property
    def _n_draws(self):
        return next(iter(self.scores.values())).shape[1]

    @property
    def _metric(self):
        return self.scoring.replace("_", " ")

    @property
    def _labels(self):
        return "labels" if self.regression else "labels per class"

    @property
    def _in_points(self):
        return self.scoring.startswith(IN_POINTS)

    def _pretraining(self):
        """Return a sentence about the rows that the estimators have seen."""
        sentences = []
        if self.n_pretrain is not None:
            new = [n for n in self.representations if n not in self.fitted_before]
            sentences.append(
                f"{self._it(new)} pretrained on {self.n_pretrain:,} rows, none of them a test row."
            )
        if before := self.fitted_before:
            they = "it" if len(before) == 1 else "they"
            sentences.append(
                f"{self._it(before)} fitted before: {they} may have seen the test rows, though not "
                "their labels."
            )
        return " ".join(sentences)

    def _it(self, names):
        if len(self.representations) == 1:
            return "It was"
        return _listed([self.titles[name] for name in names]) + (
            " was" if len(names) == 1 else " were"
        )


HELPED = {
    "ahead": "Pretraining helped",
    "partly": "Pretraining helped, but not clearly at every number of labels",
    "both": "Pretraining helped at some numbers of labels, and not at others",
    "behind": "Pretraining did not help",
    "unclear": "It is not clear whether pretraining helped",
}
BETTER = {
    "ahead": "It beats its baselines",
    "partly": "It beats its baselines, but not clearly at every number of labels",
    "both": "It beats its baselines at some numbers of labels, and not at others",
    "behind": "A baseline is better",
    "unclear": "It is not clear whether it beats its baselines",
}
BLANK = " " * 8  # in place of an interval


def _verdict(verdicts):
    """Return the headline of comparisons that were won, lost, or may be chance: 1, -1, 0."""
    if verdicts >= {1, -1}:
        return "both"
    if 1 in verdicts:
        return "ahead" if verdicts == {1} else "partly"
    return "behind" if -1 in verdicts else "unclear"


def _interval(values):
    """Return the ends of the t-intervals of the means of rows, of shape ``(n_k, 2)``."""
    n = values.shape[1]
    error = values.std(axis=1, ddof=1) / np.sqrt(n)
    half = stats.t.ppf((1 + CONFIDENCE) / 2, n - 1) * error
    return values.mean(axis=1)[:, None] + half[:, None] * [-1, 1]


def _listed(parts):
    return " and ".join(part for part in (", ".join(parts[:-1]), parts[-1]) if part)


def _number(value):
    """Return a number with three decimals, large numbers with none."""
    return f"{value:.3f}" if abs(value) < 100 else f"{value:,.0f}"


def _cells(means, intervals, form, sign=""):
    signs = [sign if mean >= 0 else "" for mean in means]
    return [
        f"{plus}{form(mean)} ± {form(high - mean)}"
        for plus, mean, (_, high) in zip(signs, means, intervals)
    ]


def _aligned(rows):
    """Return lines of cells in columns; rows of a single cell are sentences."""
    table = [row for row in rows if len(row) > 1]
    first = 2 + max(len(row[0]) for row in table)
    width = max(16, *(2 + len(cell) for row in table for cell in row[1:]))
    return [
        (f"{row[0]:{first}}" + "".join(f"{cell:>{width}}" for cell in row[1:])).rstrip()
        if len(row) > 1
        else "".join(row)
        for row in rows
    ]
