"""A fit that shares the machine: beside a busy process, and beside another fit of a search."""

import subprocess
import sys
import time
from contextlib import contextmanager
from functools import partial

import numpy as np
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from threadpoolctl import threadpool_limits

from benchmarks.speed.timing import compare, interleaved, seconds, timed
from sklearn_ssl import CausalLMEmbedder, SCARFTransformer, SimCLRTransformer
from sklearn_ssl.datasets import load_scipy_docstrings
from sklearn_ssl.training.threads import LONG_PAUSE


def company(size):
    """Seconds of fits with company against those alone."""
    images = size.load_images(size.method_images)
    table = np.random.default_rng(0).normal(size=(len(images), 64))
    texts = load_scipy_docstrings()[0][: len(images)]
    pause = 0 if size.quick else LONG_PAUSE
    once = {"max_epochs": 1, "random_state": 0}
    for what, ssl, X in (
        ("images", SimCLRTransformer(modality="image", max_epochs=5, random_state=0), images),
        ("a table", SCARFTransformer(max_epochs=10, random_state=0), table),
        ("texts", CausalLMEmbedder(**once), texts),
    ):
        fit = ssl.fit, X, pause
        measures = partial(beside_busy_process, *fit), partial(alone, *fit)
        busy, quiet = interleaved(measures, size.method_rounds)
        measurement = f"`fit` of {what} beside a process that occupies a core"
        yield compare(measurement, busy, quiet, "alone", at_most=2.5)

    pipeline = make_pipeline(
        SimCLRTransformer(modality="image", **once), LogisticRegression(max_iter=1_000)
    )
    grid = {"simclrtransformer__lr": [1e-3, 2e-3]}
    labels = np.arange(len(images)) % 10
    searches = [
        timed(GridSearchCV(pipeline, grid, cv=2, n_jobs=n_jobs, refit=False).fit, images, labels)
        for n_jobs in (2, 1)
    ]
    with threadpool_limits(1, user_api="blas"):  # OpenBLAS's threads make the classifier slow here
        times = interleaved(searches, size.method_rounds)
    yield compare("A search with `n_jobs=2`", *times, "n_jobs=1", at_most=1.0)


def alone(fit, X, pause):
    time.sleep(pause)  # until a fit may look for free cores again
    return seconds(fit, X)


def beside_busy_process(fit, X, pause):
    with busy_process():
        return alone(fit, X, pause)


@contextmanager
def busy_process():
    """Occupy a core, from another session: systems share cores fairly between sessions."""
    command = [sys.executable, "-c", "while True: pass"]
    process = subprocess.Popen(command, start_new_session=True)
    try:
        yield
    finally:
        process.kill()
        process.wait()
