"""The peak of memory while something runs, in a process of its own."""

import multiprocessing
import threading
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from pathlib import Path


def in_new_process(function, *args):
    """Return what a function returns in a fresh process."""
    with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as executor:
        return executor.submit(function, *args).result()


@contextmanager
def sampled_peak(interval=0.001):
    """Give a dict whose "bytes" is, after the block, the peak of anonymous memory above the start.

    The memory is sampled a thousand times a second: a step takes ten times as long at least.
    """
    start = anonymous_memory()
    peak, done = {"bytes": 0}, threading.Event()

    def sample():
        while not done.wait(interval):
            peak["bytes"] = max(peak["bytes"], anonymous_memory() - start)

    sampler = threading.Thread(target=sample)
    sampler.start()
    try:
        yield peak
    finally:
        done.set()
        sampler.join()


def anonymous_memory():
    """Return the bytes of this process's memory that no file backs (Linux)."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith("RssAnon:"):
            return 1024 * int(line.split()[1])
    raise RuntimeError("/proc/self/status has no RssAnon: memory is measured on Linux only.")
