"""Ctrl-C and SIGTERM during a fit with a checkpoint, and without."""

import signal
import threading

import pytest
from skorch.callbacks import Callback

from sklearn_ssl.training import interrupts
from sklearn_ssl.training.interrupts import Interrupts
from tests.training.test_checkpoints import (
    N_STEPS,
    X,
    assert_same_fit,
    every_step,
    files_in,
    simclr,
)


class Send(Callback):
    """Sends signals to this process in the middle of a step."""

    def __init__(self, step, *numbers):
        self.step = step
        self.numbers = numbers

    def on_grad_computed(self, net, **kwargs):
        if net.n_steps_done == self.step:
            for number in self.numbers:
                signal.raise_signal(number)


@pytest.fixture
def handlers_restored():
    numbers = (signal.SIGINT, signal.SIGTERM)
    usual = (signal.default_int_handler, signal.SIG_DFL)  # a background process ignores Ctrl-C
    found = [signal.signal(*pair) for pair in zip(numbers, usual)]
    yield
    left = [signal.signal(*pair) for pair in zip(numbers, found)]
    assert left == list(usual)


@pytest.mark.usefixtures("handlers_restored")
@pytest.mark.parametrize("step", [0, 4, N_STEPS - 1])
def test_ctrl_c_saves_the_step_and_says_how_to_continue(step, tmp_path):
    estimator = simclr(checkpoint=tmp_path, callbacks=[Send(step, signal.SIGINT)])
    with pytest.raises(KeyboardInterrupt, match=rf"after step {step + 1}\. To continue, call fit"):
        estimator.fit(X)
    assert not hasattr(estimator, "task_")
    assert files_in(tmp_path) == [f"step-{step + 1:012d}.safetensors"]
    assert_same_fit(simclr(checkpoint=tmp_path).fit(X), simclr().fit(X))


@pytest.mark.usefixtures("handlers_restored")
def test_a_second_ctrl_c_does_not_wait(tmp_path):
    estimator = simclr(checkpoint=tmp_path, callbacks=[Send(4, signal.SIGINT, signal.SIGINT)])
    with pytest.raises(KeyboardInterrupt):
        estimator.fit(X)
    assert files_in(tmp_path) == []


@pytest.mark.usefixtures("handlers_restored")
def test_sigterm_ends_the_process_as_usual(tmp_path):
    estimator = simclr(checkpoint=tmp_path, callbacks=[Send(4, signal.SIGTERM)])
    with pytest.warns(UserWarning, match="To continue"), pytest.raises(SystemExit) as error:
        estimator.fit(X)
    assert error.value.code == 143
    assert_same_fit(simclr(checkpoint=tmp_path).fit(X), simclr().fit(X))


@pytest.mark.usefixtures("handlers_restored")
def test_without_a_checkpoint_ctrl_c_is_raised_in_the_step():
    with pytest.raises(KeyboardInterrupt):
        simclr(callbacks=[Send(4, signal.SIGINT)]).fit(X)


@pytest.mark.usefixtures("handlers_restored")
def test_an_ignored_signal_stays_ignored(tmp_path):
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        simclr(checkpoint=tmp_path, callbacks=[Send(4, signal.SIGINT)]).fit(X)
    finally:
        signal.signal(signal.SIGINT, before)


def test_a_fit_in_a_thread(tmp_path):
    estimator = simclr(checkpoint=every_step(tmp_path))
    thread = threading.Thread(target=estimator.fit, args=(X,))
    thread.start()
    thread.join()
    assert_same_fit(estimator, simclr().fit(X))


def test_processes_that_share_a_fit_end_it_after_the_same_step(handlers_restored):
    fit = Interrupts(shared=True)
    with fit:
        signal.raise_signal(signal.SIGINT)
        signal.raise_signal(signal.SIGINT)  # the terminal has sent it, and torchrun
        assert not fit.pending  # the others do not know yet
        fit.agree(lambda flag: flag)
        assert fit.pending
        with pytest.raises(KeyboardInterrupt, match="after step 3"):
            fit.check("after step 3")
        fit.received = fit.agreed = None


def test_a_process_ends_because_another_was_interrupted():
    fit = Interrupts(shared=True)
    fit.agree(lambda flag: True)
    with pytest.raises(KeyboardInterrupt):
        fit.check()


def test_a_later_signal_ends_a_shared_fit_at_once(handlers_restored, monkeypatch):
    monkeypatch.setattr(interrupts, "ONE_SIGNAL", -1.0)
    fit = Interrupts(shared=True)
    with fit:
        signal.raise_signal(signal.SIGINT)
        with pytest.raises(KeyboardInterrupt):
            signal.raise_signal(signal.SIGINT)
        fit.received = None
