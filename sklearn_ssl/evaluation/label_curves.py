"""Curves of scores over numbers of labels."""

from itertools import cycle

from sklearn_ssl._sklearn_compat import check_matplotlib_support

MARKERS = "osD^vPX"
LINE_STYLES = ("-", "-", "--", "-.")  # PCA with all components has the curve of the raw features


class LabelCurveDisplay:
    """Scores of representations and their baselines against numbers of labels.

    Create it with :meth:`from_estimator` or :meth:`from_report`, which also draw it.

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
        The score of one prediction for all rows.

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
            Passed on to :func:`evaluate_representation`.

        Returns
        -------
        display : LabelCurveDisplay
        """
        check_matplotlib_support(f"{cls.__name__}.from_estimator")
        from sklearn_ssl.evaluation.evaluate import evaluate_representation

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
            Passed on to :meth:`plot`.

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
            Line properties, passed on to ``Axes.plot``.

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
            if name in self.report.representations:
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
        labels = "labels" if self.report.regression else "labels per class"
        ax.set(xlabel=labels, ylabel=f"test {metric}")
        if legend:
            ax.legend(loc="best", fontsize="small")
        return self
