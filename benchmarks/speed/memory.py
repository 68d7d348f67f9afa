"""Peak memory on memory-mapped X, each in a process of its own, and the time of a million rows."""

import multiprocessing
import tempfile
import threading
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import numpy as np

from benchmarks.speed.timing import BATCH_SIZE, growth, row, seconds
from sklearn_ssl import SCARFTransformer, SimCLRTransformer

FIT = {"batch_size": BATCH_SIZE, "max_epochs": 1, "random_state": 0}


def memory(size):
    """Peak memory of `fit` and `transform` at n rows and at ten times as many."""
    few, many = size.rows, 10 * size.rows
    for kind in ("table", "images"):
        for method in ("fit", "transform"):
            (peak_few, X_few), (peak_many, X_many) = (
                in_new_process(peak_memory, kind, method, n) for n in (few, many)
            )
            what = f"Peak memory of `{method}`, {kind}, {many:,} rows of {X_many / 2**20:,.1f} MiB"
            name = f"{few:,} rows of {X_few / 2**20:,.1f} MiB"
            yield growth(what, peak_many, peak_few, X_many, X_few, name)


def million(size):
    """Time and memory of an epoch of SCARFTransformer on a million rows."""
    many, few = size.million_rows, size.million_rows // 10
    of_many, time_many = in_new_process(fit_of_a_file, many)
    of_few, time_few = in_new_process(fit_of_a_file, few)
    n_bytes = 32 * 4
    what = f"Peak memory of `fit`, {many:,} rows of {n_bytes * many / 2**20:,.0f} MiB"
    yield growth(what, of_many, of_few, n_bytes * many, n_bytes * few, f"{few:,} rows")
    yield row(
        f"`fit` for one epoch, {many:,} rows",
        f"{many / time_many:,.0f} rows/s",
        f"{few:,} rows: {few / time_few:,.0f} rows/s",
        f"{(many / time_many) / (few / time_few):.3g}",
    )


def peak_memory(kind, method, n_rows):
    """Return the bytes that a method needs beside X, weights and result, and the bytes of X."""
    rng = np.random.default_rng(0)

    def block(n):
        if kind == "table":
            return rng.normal(size=(n, 64))
        return rng.integers(256, size=(n, 28, 28), dtype=np.uint8)

    with memory_mapped(block, n_rows) as X:
        modality = "table" if kind == "table" else "image"
        fitted = SimCLRTransformer(modality=modality, n_components=64, **FIT).fit(X[:64])
        with sampled_peak() as peak:
            result = getattr(fitted, method)(X)
        kept = [result] if method == "transform" else fitted.task_.state_dict().values()
        return peak["bytes"] - sum(array.nbytes for array in kept), X.nbytes


def fit_of_a_file(n_rows):
    """Return the bytes and the seconds that a fit on a memory-mapped table takes."""
    rng = np.random.default_rng(0)

    def block(n):
        rows = rng.normal(size=(n, 32)).astype(np.float32)
        return np.where(rng.random(rows.shape) < 0.01, np.float32(np.nan), rows)

    with memory_mapped(block, n_rows) as X:
        ssl = SCARFTransformer(**FIT)
        ssl.fit(X[:1000])  # loads what is loaded once
        with sampled_peak() as peak:
            time = seconds(ssl.fit, X)
        return peak["bytes"], time


@contextmanager
def memory_mapped(block, n_rows, n_at_once=1000):
    """Write X to a file, a block of rows at a time, and give it memory-mapped."""
    with tempfile.TemporaryDirectory() as folder:
        path, first = Path(folder) / "X.npy", block(1)
        X = np.lib.format.open_memmap(path, "w+", first.dtype, (n_rows, *first.shape[1:]))
        for start in range(0, n_rows, n_at_once):
            X[start : start + n_at_once] = block(min(n_at_once, n_rows - start))
        X.flush()
        yield np.load(path, mmap_mode="r")


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
