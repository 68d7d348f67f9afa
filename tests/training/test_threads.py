"""Threads compute only where cores are free, and never more of them than the caller allows."""

from types import SimpleNamespace

import numpy as np
import pytest
import torch
from skorch.callbacks import Callback
from threadpoolctl import threadpool_limits

from sklearn_ssl import SimCLRTransformer
from sklearn_ssl.training import runtime, threads
from sklearn_ssl.training.threads import LONG_PAUSE, PAUSE, Threads, most_undisturbed
from tests.helpers import two_cores


@pytest.fixture(name="clock")
def hands(monkeypatch):
    """A clock for the time that passes, and one for the time that the thread computes."""
    clock = SimpleNamespace(now=100.0, computed=0.0)
    fake = SimpleNamespace(perf_counter=lambda: clock.now, thread_time=lambda: clock.computed)
    monkeypatch.setattr(threads, "time", fake)
    return clock


@pytest.fixture(name="free")
def free_cores(monkeypatch):
    """Eight cores, of which some are free, and a list of the looks at them."""
    free = SimpleNamespace(n_cores=8, looks=[])

    def look(most):
        free.looks.append(most)
        return min(free.n_cores, most)

    monkeypatch.setattr(threads, "N_CORES", 8)
    monkeypatch.setattr(threads, "most_undisturbed", look)
    monkeypatch.setattr(threads.torch, "set_num_threads", lambda n: None)
    return free


def step(team, clock, took, computed):
    clock.now += took
    clock.computed += computed
    team.next_step()


def test_nobody_looks_while_the_thread_computes(clock, free):
    team = Threads()
    team.begin()
    for _ in range(100):
        step(team, clock, took=1.0, computed=0.9)
    assert not free.looks
    assert team.undisturbed == 8


def test_a_thread_that_waits_looks_for_free_cores(clock, free):
    team = Threads()
    team.begin()
    free.n_cores = 4
    step(team, clock, took=1.0, computed=0.5)
    assert team.undisturbed == 4


def test_a_short_wait_is_none(clock, free):
    team = Threads()
    team.begin()
    step(team, clock, took=0.015, computed=0.001)
    assert not free.looks


def test_between_two_looks_there_is_a_pause(clock, free):
    team = Threads()
    team.begin()
    for _ in range(50):
        step(team, clock, took=PAUSE / 10, computed=0.0)
    assert len(free.looks) in (4, 5)


def test_when_cores_are_free_again_they_are_used(clock, free):
    team = Threads()
    team.begin()
    free.n_cores = 1
    step(team, clock, took=1.0, computed=0.0)
    free.n_cores = 8
    step(team, clock, took=LONG_PAUSE / 2, computed=LONG_PAUSE / 2)
    assert team.undisturbed == 1
    step(team, clock, took=LONG_PAUSE, computed=LONG_PAUSE)
    assert team.undisturbed == 8
    step(team, clock, took=LONG_PAUSE, computed=LONG_PAUSE)
    assert len(free.looks) == 2


def test_a_single_thread_never_looks(clock, free):
    team = Threads()
    team.limit(1)
    team.begin()
    step(team, clock, took=100.0, computed=0.0)
    assert not free.looks


@pytest.mark.parametrize(
    ("most", "free", "expected"),
    [(1, 1, 1), (2, 2, 2), (2, 1, 1), (8, 8, 8), (8, 7, 7), (8, 6, 3), (8, 2, 1), (3, 2, 2)],
)
def test_the_most_threads_that_do_not_wait(monkeypatch, most, free, expected):
    def sums(n_threads, of):
        assert of == most
        return 1000 if n_threads <= free else 3

    monkeypatch.setattr(threads, "sums_in_a_look", sums)
    assert most_undisturbed(most) == expected


def test_sums_are_counted():
    before = torch.get_num_threads()
    try:
        assert threads.sums_in_a_look(1, 2) > 1
        assert torch.get_num_threads() == 1
    finally:
        torch.set_num_threads(before)


# The caller's limits --------------------------------------------------------------------------


class ThreadsInUse(Callback):
    """Records how many threads torch uses in each step."""

    def initialize(self):
        self.seen = set()

    def on_grad_computed(self, net, **kwargs):
        self.seen.add(torch.get_num_threads())


def threads_of_a_fit(X):
    in_use = ThreadsInUse()
    SimCLRTransformer(max_epochs=1, random_state=0, callbacks=[in_use]).fit(X)
    return in_use.seen


def test_a_limit_of_the_caller_is_respected(digits):
    X = digits[0][:64]
    with two_cores():
        assert threads_of_a_fit(X) == {2}
        with threadpool_limits(1):
            assert threads_of_a_fit(X) == {1}
        assert torch.get_num_threads() == 2
        torch.set_num_threads(1)
        assert threads_of_a_fit(X) == {1}
        assert torch.get_num_threads() == 1
        torch.set_num_threads(5)
        assert threads_of_a_fit(X) == {2}
        assert torch.get_num_threads() == 5


def test_the_limit_is_that_of_the_outermost_call(digits):
    with two_cores():
        with runtime.torch_settings():
            runtime.THREADS.undisturbed = 1
            runtime.THREADS.begin()
            with runtime.torch_settings():
                assert torch.get_num_threads() == 1
            runtime.THREADS.undisturbed = 2
            runtime.THREADS.begin()
            assert torch.get_num_threads() == 2
        assert torch.get_num_threads() == 2


def test_embeddings_do_not_depend_on_the_number_of_threads(digits):
    X = digits[0][:300]
    ssl = SimCLRTransformer(max_epochs=1, random_state=0).fit(X)
    Z = ssl.transform(X)
    with two_cores():
        np.testing.assert_allclose(ssl.transform(X), Z, rtol=1e-4, atol=1e-6)
