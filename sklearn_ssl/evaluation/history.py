"""Curves of what a fit recorded in each epoch."""

import numpy as np
from sklearn.utils.validation import check_is_fitted

from sklearn_ssl._sklearn_compat import check_matplotlib_support
from sklearn_ssl.callbacks import KNNProbe
from sklearn_ssl.training.collapse import SMALLEST_STD

# Panels from left to right: the columns of a history that each may show, and its title.
PANELS = {
    "loss": ("train_loss", "valid_loss"),
    "spread: embedding_std": ("embedding_std",),
    "directions: effective_rank": ("effective_rank",),
    "quality: knn_accuracy": ("knn_accuracy",),
    "quality: knn_r2": ("knn_r2",),
}
NAMES = {"train_loss": "training", "valid_loss": "held-out rows"}


class HistoryDisplay:
    """Loss, collapse and quality of the representation over the epochs of a fit.

    Its panels show what is in ``history_``: the loss; ``embedding_std`` and ``effective_rank``,
    with the bands in which a fit warns of a collapse; and the score of a
    :class:`~sklearn_ssl.callbacks.KNNProbe` among the callbacks, with that of the untrained
    encoder.

    Create it with :meth:`from_estimator`, which also draws it.

    Parameters
    ----------
    history : dict of str to list of float
        As the attribute ``history_`` of an estimator.
    limits : dict of str to float, default=None
        Values of columns below which embeddings count as collapsed.
    initial : dict of str to float, default=None
        Values of columns before the first epoch.

    Attributes
    ----------
    figure_ : matplotlib Figure
    axes_ : ndarray of matplotlib Axes
        One for each panel.
    lines_ : dict of str to matplotlib Line2D
        The curve of each column.

    Examples
    --------
    >>> import matplotlib.pyplot as plt
    >>> from sklearn.datasets import load_digits
    >>> from sklearn_ssl import SimCLRTransformer
    >>> from sklearn_ssl.callbacks import KNNProbe
    >>> from sklearn_ssl.evaluation import HistoryDisplay
    >>> X, y = load_digits(return_X_y=True)
    >>> ssl = SimCLRTransformer(
    ...     image_shape=(8, 8), max_epochs=2, callbacks=[KNNProbe(X[:200], y[:200])]
    ... )
    >>> display = HistoryDisplay.from_estimator(ssl.fit(X[:500]))
    >>> list(display.lines_)
    ['train_loss', 'embedding_std', 'effective_rank', 'knn_accuracy']
    >>> plt.show()  # doctest: +SKIP
    """

    def __init__(self, *, history, limits=None, initial=None):
        self.history = history
        self.limits = limits
        self.initial = initial

    @classmethod
    def from_estimator(cls, estimator, *, axes=None, **kwargs):
        """Draw the history of a fit.

        Parameters
        ----------
        estimator : estimator
            A fitted estimator of this package.
        axes : array-like of matplotlib Axes, default=None
            One for each panel. None makes a new figure.
        **kwargs : dict
            Line properties, passed on to ``Axes.plot``.

        Returns
        -------
        display : HistoryDisplay

        Raises
        ------
        TypeError
            If `estimator` does not belong to this package.
        """
        check_matplotlib_support(f"{cls.__name__}.from_estimator")
        check_is_fitted(estimator)
        if not hasattr(estimator, "history_"):
            raise TypeError(
                f"{cls.__name__} draws the history_ of a fitted estimator of sklearn_ssl, which "
                f"{type(estimator).__name__} does not have. The last step of a pipeline is "
                "pipeline[-1], the best estimator of a search best_estimator_."
            )
        limits = {"embedding_std": SMALLEST_STD}
        if hasattr(estimator, "_fewest_directions"):
            limits["effective_rank"] = estimator._fewest_directions
        initial = {
            probe.column: probe.initial_score_
            for probe in _instances(estimator.callbacks)
            if isinstance(probe, KNNProbe) and hasattr(probe, "initial_score_")
        }
        display = cls(history=estimator.history_, limits=limits, initial=initial)
        return display.plot(axes=axes, **kwargs)

    def plot(self, axes=None, **kwargs):
        """Draw the panels.

        Parameters
        ----------
        axes : array-like of matplotlib Axes, default=None
            One for each panel. None makes a new figure.
        **kwargs : dict
            Line properties, passed on to ``Axes.plot``.

        Returns
        -------
        display : HistoryDisplay
            Itself.
        """
        check_matplotlib_support(f"{type(self).__name__}.plot")
        import matplotlib.pyplot as plt

        panels = {
            title: present
            for title, columns in PANELS.items()
            if (present := [column for column in columns if column in self.history])
        }
        n = len(panels)
        if axes is None:
            _, axes = plt.subplots(1, n, figsize=(3.2 * n, 2.8), layout="constrained")
        self.axes_ = np.ravel(axes)
        if len(self.axes_) != n:
            raise ValueError(f"The history has {n} panels to draw, got {len(self.axes_)} axes.")
        self.figure_, self.lines_ = self.axes_[0].figure, {}
        for ax, (title, columns) in zip(self.axes_, panels.items()):
            for column in columns:
                self._draw(ax, column, kwargs)
            ax.set_title(title, fontsize="medium")
            ax.set_xlabel("epoch")
            ax.xaxis.get_major_locator().set_params(integer=True)
            if ax.get_legend_handles_labels()[0]:
                ax.legend(fontsize="small")
        return self

    def _draw(self, ax, column, style):
        values = self.history[column]
        style = {"marker": "." if len(values) <= 30 else "", "label": NAMES.get(column)} | style
        epochs = np.arange(1, len(values) + 1)
        (self.lines_[column],) = ax.plot(epochs, values, **style)
        if column in (self.limits or {}):
            limit = self.limits[column]
            ax.axhspan(0, limit, color="tab:red", alpha=0.15, linewidth=0, label="collapsed")
            ax.set_ylim(bottom=0)
        if column in (self.initial or {}):
            ax.axhline(self.initial[column], color="0.4", linestyle="--", label="before training")


def _instances(callbacks):
    """Return callbacks without the names that some may have."""
    return [c[1] if isinstance(c, tuple) else c for c in callbacks or ()]
