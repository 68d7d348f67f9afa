"""Callbacks of the training loop: early stopping, progress bars, and Ctrl-C during them."""

import signal
import threading
from types import SimpleNamespace

import numpy as np
import pytest
from skorch.callbacks import EarlyStopping
from tqdm.auto import tqdm

from sklearn_ssl import SimCLRTransformer
from sklearn_ssl.training import callbacks

ROWS = np.random.default_rng(0).normal(size=(96, 6))


def make(**params):
    return SimCLRTransformer(**{"max_epochs": 9, "random_state": 0, "lr": 1e-4, **params})


def press_ctrl_c():
    # A shell starts background jobs deaf to it, and continuous integration may be one.
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        signal.raise_signal(signal.SIGINT)
    finally:
        signal.signal(signal.SIGINT, before)


def assert_interrupted(estimator):
    before = dict(vars(estimator))
    with pytest.raises(KeyboardInterrupt):
        estimator.fit(ROWS)
    assert vars(estimator) == before


def test_ctrl_c_while_the_best_weights_are_copied(monkeypatch):
    interrupted = SimpleNamespace(deepcopy=lambda weights: press_ctrl_c())
    monkeypatch.setattr(callbacks, "copy", interrupted)
    assert_interrupted(make(early_stopping=True))


@pytest.mark.parametrize("patience", [1, 9])
@pytest.mark.parametrize("moment", ["_is_score_improved", "_calc_new_threshold"])
def test_ctrl_c_within_early_stopping_of_skorch(moment, patience):
    class Interrupted(EarlyStopping):
        """Ctrl-C comes while it looks at a loss."""

    setattr(Interrupted, moment, lambda self, score: press_ctrl_c())
    stop = Interrupted("train_loss", patience=patience)
    assert_interrupted(make(callbacks=[stop]))
    assert stop.patience == patience


def test_early_stopping_of_skorch_is_no_interrupt():
    stop = EarlyStopping("train_loss", patience=3, threshold=1e9, threshold_mode="abs")
    assert make(callbacks=[stop]).fit(ROWS).n_iter_ == 4
    assert stop.patience == 3


@pytest.mark.parametrize("verbose", [0, 1])
def test_no_thread_is_left_behind(verbose, monkeypatch):
    monkeypatch.setattr(tqdm, "monitor", None)  # an earlier test may have started it
    before = set(threading.enumerate())
    make(verbose=verbose, early_stopping=True).fit(ROWS).partial_fit(ROWS)
    assert set(threading.enumerate()) == before
