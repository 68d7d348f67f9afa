"""Callbacks of the training loop: the package's own, and what it accepts of the user's."""

import copy
import math
from contextlib import contextmanager

from skorch.callbacks import Callback, EarlyStopping, EpochScoring
from skorch.exceptions import SkorchException
from tqdm.auto import tqdm


class StopTraining(Exception):  # noqa: N818 - like StopIteration, not an error
    """Raised by a callback to end a fit early and keep what was learned."""


class RecordOfTask(Callback):
    """Record what the task says of an epoch: what its method ``end_epoch`` returns."""

    def on_epoch_end(self, net, **kwargs):
        for name, value in net.module_.end_epoch().items():
            net.history.record(name, value)


def check_callbacks(callbacks):
    for callback in callbacks:
        named = isinstance(callback, tuple) and len(callback) == 2 and isinstance(callback[0], str)
        instance = callback[1] if named else callback
        if not isinstance(instance, Callback):
            raise TypeError(
                "callbacks must be skorch callbacks (instances of skorch.callbacks.Callback), or "
                f"pairs of a name and a callback; got {callback!r}."
            )
        if isinstance(instance, EpochScoring) and not _is_function_of_net(instance.scoring):
            raise ValueError(
                f"EpochScoring with scoring={instance.scoring!r} compares predictions with y, but "
                "the networks trained here return a loss, and y is not passed to callbacks. Pass a "
                "function scoring(net, X, y) that uses the network, net.module_, or watch "
                "train_loss, or valid_loss with early_stopping=True."
            )


def _is_function_of_net(scoring):
    """Return whether scoring is a function of a net, not a metric of scikit-learn or its name."""
    return callable(scoring) and not hasattr(scoring, "_score_func")


def end_epoch(callback, net, **kwargs):
    """Tell a callback that an epoch has ended.

    skorch's EarlyStopping would raise a KeyboardInterrupt, which looks like Ctrl-C. It counts with
    an infinite patience instead, and StopTraining is raised for it. EpochScoring must not look for
    predictions that it has stored: see :func:`end_batch`.
    """
    try:
        _end_epoch(callback, net, **kwargs)
    except (KeyError, SkorchException) as error:
        if "in history" not in str(error):
            raise
        raise ValueError(
            f"{type(callback).__name__} looks for a value that this training does not record: "
            f"{error.args[0]} valid_loss is only recorded with early_stopping=True; otherwise, let "
            'the callback watch train_loss, for example with monitor="train_loss".'
        ) from error


def _end_epoch(callback, net, **kwargs):
    if isinstance(callback, EarlyStopping):
        with _changed(callback, "patience", math.inf):
            callback.on_epoch_end(net, **kwargs)
        if callback.misses_ >= callback.patience:
            raise StopTraining
    elif isinstance(callback, EpochScoring):
        with _changed(callback, "use_caching", False):
            callback.on_epoch_end(net, **kwargs)
    else:
        callback.on_epoch_end(net, **kwargs)


def end_batch(callback, net, **kwargs):
    """Tell a callback that a batch has ended, except EpochScoring: it would store a missing y."""
    if not isinstance(callback, EpochScoring):
        callback.on_batch_end(net, **kwargs)


@contextmanager
def _changed(callback, name, value):
    before = getattr(callback, name)
    setattr(callback, name, value)
    try:
        yield
    finally:
        setattr(callback, name, before)


class KeepBest(Callback):
    """End a fit when the held-out loss no longer improves, and keep the weights of the best epoch.

    Parameters
    ----------
    patience : int
        Epochs without a better loss before the fit ends.
    """

    def __init__(self, patience):
        self.patience = patience

    def on_train_begin(self, net, **kwargs):
        self.best_loss = math.inf
        self.best_weights = None
        self.n_worse = 0

    def on_epoch_end(self, net, **kwargs):
        loss = net.history[-1, "valid_loss"]
        if loss < self.best_loss:
            weights = copy.deepcopy(net.module_.state_dict())
            self.best_loss, self.best_weights, self.n_worse = loss, weights, 0
            return
        self.n_worse += 1
        if self.n_worse >= self.patience:
            raise StopTraining

    def state_dict(self):
        names = ("best_loss", "best_weights", "n_worse")
        return {name: vars(self)[name] for name in names}

    def load_state_dict(self, state):
        vars(self).update(state)

    def on_train_end(self, net, **kwargs):
        if self.n_worse > 0 and self.best_weights is not None:
            net.module_.load_state_dict(self.best_weights)


class Bar(tqdm):
    """A bar without the thread that tqdm starts to monitor all bars, and that outlives them."""

    monitor_interval = 0


class ProgressBar(Callback):
    """Advance a tqdm bar at every step, and show the loss."""

    def __init__(self, bar):
        self.bar = bar

    def on_epoch_begin(self, net, **kwargs):
        if self.bar.n == 0:  # a time left that does not count the steps of another process
            self.bar.n = self.bar.initial = net.n_steps_restored

    def on_batch_end(self, net, loss, training, **kwargs):
        if training:
            self.bar.set_postfix_str(f"loss {loss.item():.3f}", refresh=False)
            self.bar.update()


class EpochHook(Callback):
    """Call ``begin()`` and ``end()`` around each epoch; if `end` returns True, the fit stops."""

    def __init__(self, begin, end):
        self.begin = begin
        self.end = end

    def on_epoch_begin(self, net, **kwargs):
        self.begin()

    def on_epoch_end(self, net, **kwargs):
        if self.end():
            raise StopTraining
