"""Does anything grow in a process that fits, saves, loads and predicts for an hour?

    python -m benchmarks.soak                  # an hour
    python -m benchmarks.soak --minutes 5

In each round, for an estimator of each kind of data: fit, partial_fit, transform, save_model,
load_model, joblib, fine-tuning, and predictions in eight threads at once, which must have the bits
of one thread. Printed at the end of a round: resident memory, threads and open files. Fails if
what is open grows, or if memory grows by more than a tenth from the first quarter of the rounds to
the last.
"""

import argparse
import gc
import io
import os
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import joblib
import numpy as np
from sklearn.datasets import load_digits

from sklearn_ssl import (
    FineTuneClassifier,
    MaskedAutoencoder,
    NextFrameEmbedder,
    Sent2VecTransformer,
    SimCLRTransformer,
    VIMETransformer,
    load_model,
    save_model,
)
from sklearn_ssl.datasets import load_scipy_docstrings

N_THREADS = 8
MOST_GROWTH = 1.1


def estimators_and_rows():
    images, y = load_digits(return_X_y=True)
    texts, topics = load_scipy_docstrings()
    series = images.reshape(-1, 8, 8)
    once = {"max_epochs": 1, "random_state": 0}
    return [
        (SimCLRTransformer(image_shape=(8, 8), **once), images, y),
        (MaskedAutoencoder(image_shape=(8, 8), **once), images, y),
        (VIMETransformer(**once), images, y),
        (NextFrameEmbedder(**once), series, y),
        (Sent2VecTransformer(**once), texts[:300], topics[:300]),
    ]


def visit(ssl, X, y, folder):
    """Do with an estimator all that users do."""
    ssl.fit(X).partial_fit(X)
    Z = ssl.transform(X)
    save_model(ssl, folder / "model")
    buffer = io.BytesIO()
    joblib.dump(ssl, buffer)
    buffer.seek(0)
    for copied in (load_model(folder / "model"), joblib.load(buffer)):
        assert np.array_equal(copied.transform(X), Z)
    model = FineTuneClassifier(ssl, strategy="full", max_epochs=1, random_state=0)
    model.fit(X[:100], y[:100])
    predicted = model.predict_proba(X)
    with ThreadPoolExecutor(N_THREADS) as pool:
        calls = [pool.submit(model.predict_proba, X) for _ in range(N_THREADS)]
        assert all(np.array_equal(call.result(), predicted) for call in calls)


def state():
    """Return the resident memory in MiB, the number of threads and that of open files."""
    gc.collect()
    status = dict(line.split(":", 1) for line in Path("/proc/self/status").read_text().splitlines())
    memory = int(status["VmRSS"].split()[0]) / 1024
    return memory, int(status["Threads"]), len(os.listdir("/proc/self/fd"))


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--minutes", type=float, default=60.0)
    end = time.monotonic() + 60 * parser.parse_args().minutes
    cases, states = estimators_and_rows(), []
    with tempfile.TemporaryDirectory() as folder:
        while time.monotonic() < end:
            for case in cases:
                visit(*case, Path(folder))
            states.append(state())
            print("round {}: {:.0f} MiB, threads {}, files {}".format(len(states), *states[-1]))
    memory, threads, files = np.array(states).T
    quarter = -(-len(states) // 4)
    growth = np.median(memory[-quarter:]) / np.median(memory[:quarter])
    print(f"Memory of the last quarter is {growth:.3f} of that of the first.")
    assert growth < MOST_GROWTH
    assert np.median(threads[-quarter:]) <= np.median(threads[:quarter])
    assert np.median(files[-quarter:]) <= np.median(files[:quarter])


if __name__ == "__main__":
    main()
