"""scikit-learn's callbacks, told of a fit and of each of its epochs."""

from sklearn_ssl._hooks import EpochHook

try:
    from sklearn.callback import CallbackSupportMixin
except ImportError:  # scikit-learn < 1.9

    class CallbackSupportMixin:
        """Stands in where scikit-learn has no callbacks yet."""


class FitCallbacks:
    """The callbacks of one fit; empty where scikit-learn has none yet.

    Parameters
    ----------
    estimator : estimator
        Inherits from ``CallbackSupportMixin``; its fit is wrapped by ``_fit_context``.
    X, y
        What ``fit`` was given.
    n_epochs : int
        The most epochs that the fit may take.
    """

    def __init__(self, estimator, X, y, n_epochs):
        self.arguments = {"estimator": estimator, "X": X, "y": y}
        self.context = None
        if hasattr(estimator, "_init_callback_context"):
            self.context = estimator._init_callback_context(max_subtasks=n_epochs)
            self.context.call_on_fit_task_begin(**self.arguments)

    def epoch_hooks(self, fitted):
        """Return the hook for the training loop.

        Parameters
        ----------
        fitted : dict
            Attributes that make the estimator ready to transform after any epoch.
        """
        if self.context is None:
            return []

        def epochs():
            while True:
                epoch = self.context.subcontext(task_name="epoch")
                yield epoch.call_on_fit_task_begin(**self.arguments)
                yield epoch.call_on_fit_task_end(**self.arguments, reconstruction_attributes=fitted)

        epoch = epochs()
        return [EpochHook(begin=lambda: next(epoch), end=lambda: next(epoch))]

    def end(self):
        """Tell the callbacks that the estimator is fitted."""
        if self.context is not None:
            self.context.call_on_fit_task_end(**self.arguments, reconstruction_attributes={})
