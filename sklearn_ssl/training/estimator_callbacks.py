"""Callbacks: notify scikit-learn's of a fit and its epochs; clone and save skorch's."""

import copy
import warnings

from sklearn.base import clone

from sklearn_ssl.training.callbacks import EpochHook


class FitCallbacks:
    """The callbacks of one fit; empty if scikit-learn does not support them yet.

    Parameters
    ----------
    estimator : estimator
        Inherits from ``CallbackSupportMixin``; its fit is wrapped by ``_fit_context``.
    X, y
        The arguments of ``fit``.
    """

    def __init__(self, estimator, X, y):
        self.arguments = {"estimator": estimator, "X": X, "y": y}
        self.context = None

    def begin(self, n_epochs):
        """Tell the callbacks that a fit begins, of so many epochs at most."""
        estimator = self.arguments["estimator"]
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

    def end(self, fitted):
        """Tell the callbacks that the fit has ended, with these attributes."""
        if self.context is not None:
            self.context.call_on_fit_task_end(**self.arguments, reconstruction_attributes=fitted)


class CallbacksParameterMixin:
    """Clone, copy and pickle an estimator whose ``callbacks`` are skorch callbacks.

    A clone rebuilds each of them from its parameters, as scikit-learn does with estimators. A
    callback that cannot be copied, because of a lock or an open file, is shared by clones and
    copies, and left out of a pickle, with a warning.
    """

    def __sklearn_clone__(self):
        if getattr(self, "callbacks", None) is None:
            return super().__sklearn_clone__()
        twin = super(CallbacksParameterMixin, self._without_callbacks()).__sklearn_clone__()
        twin.callbacks = _each(self.callbacks, lambda callback: clone(callback, safe=False))
        return twin

    def __copy__(self):
        twin = type(self).__new__(type(self))
        vars(twin).update(vars(self))
        return twin

    def __deepcopy__(self, memo):
        memo[id(self)] = twin = type(self).__new__(type(self))
        # Not with the memo, where a failed copy would leave a half-copied callback.
        callbacks = _each(getattr(self, "callbacks", None), copy.deepcopy)
        state = copy.deepcopy(self._without_callbacks().__getstate__(), memo)
        twin.__setstate__({**state, "callbacks": callbacks} if "callbacks" in state else state)
        return twin

    def __getstate__(self):
        state = dict(super().__getstate__())
        callbacks = state.get("callbacks")
        if isinstance(callbacks, list | tuple):
            kept = [callback for callback in callbacks if _can_be_copied(callback)]
            if len(kept) < len(callbacks):
                left_out = [callback for callback in callbacks if callback not in kept]
                warnings.warn(
                    f"{type(self).__name__} is saved without callbacks that cannot be pickled "
                    f"because they hold a lock or an open file, for example: {left_out}. Set them "
                    "again after loading, with set_params(callbacks=...).",
                    UserWarning,
                    stacklevel=2,
                )
                state["callbacks"] = type(callbacks)(kept)
        return state

    def _without_callbacks(self):
        twin = copy.copy(self)
        if "callbacks" in vars(twin):
            twin.callbacks = None
        return twin


def _each(callbacks, duplicate):
    """Duplicate callbacks one by one; share those that cannot be duplicated."""
    if isinstance(callbacks, list | tuple):
        return type(callbacks)(_each(callback, duplicate) for callback in callbacks)
    try:
        return duplicate(callbacks)
    except Exception:  # whatever copying a foreign object raises
        return callbacks


def _can_be_copied(callback):
    try:
        copy.deepcopy(callback)
    except Exception:  # whatever copying a foreign object raises
        return False
    return True
