"""How many threads torch computes with: as many as have a core to themselves."""

import threading
import time

import joblib
import torch

# The physical cores that the process may use, in containers and joblib's workers too.
N_CORES = joblib.cpu_count(only_physical_cores=True)

# Threads that share a sum wait for each other at its end. If another process occupies a core, two
# of ours take turns on the other one, and each wait lasts until the system switches between them:
# milliseconds instead of microseconds. On 2 cores of which another process occupied one, a fit
# took 105 to 204 s with two threads and 2.1 s with one; on the free machine 1.2 s and 1.7 s.
SHARE_WAITED = 0.25  # of the time of a step: then we look whether the cores are free
SHORTEST_WAIT = 0.02  # seconds
PAUSE = 1.0  # seconds from one look to the next
LONG_PAUSE = 5.0  # if cores were taken, because a look in vain takes up to 0.1 s
LOOK = 0.02  # seconds that each number of threads is tried
# Two threads add as many numbers in 20 ms as one does, times 0.7 to 1.4, because memory is slow; if
# they wait for a core, times 0.00.
SLOW = 0.4
NUMBERS_PER_THREAD = 2**15  # torch does not share shorter sums


class Threads:
    """The number of threads that compute, for the whole process.

    Attributes
    ----------
    most : int
        The limit that the caller has set, and at most :data:`N_CORES`.
    undisturbed : int
        The number of threads that had cores to themselves at the last look.
    """

    def __init__(self):
        self.most = self.undisturbed = N_CORES
        self.next_look = 0.0
        self.looking = threading.Lock()
        self.step = threading.local()

    def limit(self, most):
        """Compute with at most this many threads."""
        self.most = min(most, N_CORES)

    def forked(self):
        """Compute with one thread in a forked process, which has none of OpenMP's threads."""
        global N_CORES
        N_CORES = self.most = 1
        self.looking = threading.Lock()

    def begin(self):
        """Set torch's number of threads, for the calling thread, before its first step."""
        torch.set_num_threads(min(self.undisturbed, self.most))
        self.step.began = time.perf_counter(), time.thread_time()

    def next_step(self):
        """Look for free cores if the calling thread had to wait, and set torch's number of threads.

        A thread that waits for another one spins. It does not if the other one is on its core.
        """
        (began, computed), now = self.step.began, (time.perf_counter(), time.thread_time())
        took = now[0] - began
        waited = took - (now[1] - computed)
        disturbed = waited > max(SHORTEST_WAIT, SHARE_WAITED * took)
        if self.most > 1 and (disturbed or self.undisturbed < self.most):
            self.look(now[0])
        self.begin()

    def look(self, now):
        """Find the number of threads that have cores to themselves, unless we have just done so."""
        if now < self.next_look or not self.looking.acquire(blocking=False):
            return
        try:
            self.undisturbed = most_undisturbed(self.most)
            pause = PAUSE if self.undisturbed == self.most else LONG_PAUSE
            self.next_look = time.perf_counter() + pause
        finally:
            self.looking.release()


def most_undisturbed(most):
    """Return the largest number of threads that do not wait for cores: most, most - 1, half ..."""
    alone = sums_in_a_look(1, most)
    n_threads = most
    while n_threads > 1 and sums_in_a_look(n_threads, most) < SLOW * alone:
        n_threads = max(most - 1, 1) if n_threads == most else n_threads // 2
    return n_threads


def sums_in_a_look(n_threads, most):
    """Return how often threads can add numbers in :data:`LOOK`, enough for `most` threads."""
    torch.set_num_threads(n_threads)
    numbers = torch.zeros(most * NUMBERS_PER_THREAD, dtype=torch.float32, device="cpu")
    n_sums, end = 0, time.perf_counter() + LOOK
    while time.perf_counter() < end:
        numbers.add_(1.0)
        n_sums += 1
    return n_sums
