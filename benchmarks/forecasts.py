"""How far are forecasts of `NextFrameEmbedder` from the truth, and those of simple forecasters?

    python -m benchmarks.forecasts                         # some minutes on one core
    python -m benchmarks.forecasts --data airline solar    # or a part of it

A long series is cut into windows. The steps to forecast of all test windows come after the last
step that a training window holds. A network with defaults is trained with each seed.
"""

import time
from functools import partial

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from sklearn.datasets import load_digits
from sklearn.linear_model import Ridge

from benchmarks import store, tasks
from benchmarks.datasets import load_long_series
from sklearn_ssl import NextFrameEmbedder

SEEDS = 3
TRAIN_SHARE = 2 / 3  # of the steps of a long series
MOST_WINDOWS, MOST_ROWS = 150, 1_000  # of a long series, and of a set of series, in each part


# Data: training rows, test rows [n, channels, time], and the number of steps to forecast ----------


def windows(name, seen, steps):
    """Cut a long series into evenly spaced windows of `seen` + `steps` steps."""
    return *cut(load_long_series(name), seen, steps), steps


def cut(series, seen, steps):
    """Return training and test windows of a series of shape ``(channels, time)``."""
    end = round(TRAIN_SHARE * series.shape[1])
    parts = series[:, :end], series[:, end - seen :]
    return [
        evenly_spaced(sliding_window_view(part, seen + steps, axis=1).swapaxes(0, 1))
        for part in parts
    ]


def evenly_spaced(rows):
    return rows[np.linspace(0, len(rows) - 1, min(len(rows), MOST_WINDOWS)).astype(int)]


def rows_of(make, steps):
    task = make()
    return task.X[:MOST_ROWS], task.X_test[:MOST_ROWS], steps


def quick_rows():
    """Images, from left to right."""
    images = load_digits().images  # [n, row, column]
    return images[:100], images[100:200], 2


DATA = {
    "italy_power_demand": partial(rows_of, tasks.italy_power_demand, 4),
    "penbased_series": partial(rows_of, tasks.penbased_series, 2),
    "airline": partial(windows, "airline", 24, 6),
    "drugs": partial(windows, "drugs", 24, 6),
    "lynx": partial(windows, "lynx", 24, 4),
    "solar": partial(windows, "solar", 48, 8),
    "blood_pressure": partial(windows, "blood_pressure", 48, 12),
    "walking": partial(windows, "walking", 32, 8),
}
QUICK_DATA = {"digits": quick_rows}


# Forecasters: training rows, the part of test rows that is seen, steps and seed -> the future -----


def last_value(X, past, steps, seed):
    return np.repeat(past[:, :, -1:], steps, axis=2)


def ridge(X, past, steps, seed):
    """Predict all channels at all steps from all that is seen, each number in deviations."""
    mean, deviation = moments(X)
    X, past = (X - mean) / deviation, (past - mean) / deviation
    seen = X[:, :, :-steps].reshape(len(X), -1)
    model = Ridge().fit(seen, X[:, :, -steps:].reshape(len(X), -1))
    future = model.predict(past.reshape(len(past), -1))
    return future.reshape(len(past), -1, steps) * deviation + mean


def ridge_of_changes(X, past, steps, seed):
    """The same, but from and to differences from the last value that is seen."""
    now = past[:, :, -1:]
    return ridge(X - X[:, :, [-steps - 1]], past - now, steps, seed) + now


def next_frame(X, past, steps, seed, **params):
    return NextFrameEmbedder(random_state=seed, **params).fit(X).predict_next(past, steps)


METHODS = {
    "last value": last_value,
    "Ridge": ridge,
    "Ridge of changes": ridge_of_changes,
    "untrained NextFrame": partial(next_frame, max_epochs=0),
    "NextFrame": next_frame,
}
BASELINES = ("last value", "Ridge", "Ridge of changes")  # nothing random in them


def moments(X):
    """Return mean and standard deviation of each channel: ``(channels, 1)``."""
    return X.mean(axis=(0, 2))[:, None], X.std(axis=(0, 2))[:, None]


def measure(name, data, title, options):
    """Return two rows of the file: the mean absolute error of the next step, and of all steps."""
    X, X_test, steps = data
    past, future = X_test[:, :, :-steps], X_test[:, :, -steps:]
    _, deviation = moments(X)
    params = options.params if title == "NextFrame" else {}
    start, errors = time.perf_counter(), []
    for seed in range(1 if title in BASELINES else SEEDS):
        forecast = METHODS[title](X, past, steps, seed, **params)
        error = np.abs(forecast - future) / deviation
        errors.append((error[:, :, 0].mean(), error.mean()))
    seconds = (time.perf_counter() - start) / len(errors)
    return [
        {
            "measured": store.today(),
            "dataset": name,
            "method": title,
            "seen": past.shape[2],
            "steps": steps,
            "n_train": len(X),
            "n_test": len(X_test),
            "metric": metric,
            "mean": f"{mean:.3f}",
            "std": f"{std:.3f}",
            "n_seeds": len(errors),
            "seconds": f"{seconds:.1f}",
        }
        for metric, mean, std in zip(
            ("next step", "all steps"), np.mean(errors, axis=0), np.std(errors, axis=0)
        )
    ]


def main(arguments=None):
    parser = store.parser_of(__doc__)
    parser.add_argument("--data", nargs="+", choices=DATA, default=list(DATA))
    parser.add_argument("--methods", nargs="+", choices=METHODS, default=list(METHODS))
    options = store.parse(parser, arguments)
    options.params = {"max_epochs": 2} if options.quick else {}
    sets = QUICK_DATA if options.quick else {name: DATA[name] for name in options.data}
    for name, load in sets.items():
        data = load()
        for title in options.methods:
            rows = measure(name, data, title, options)
            print(*(" | ".join(map(str, row.values())) for row in rows), sep="\n", flush=True)
            store.replace(options.results / "forecasts.csv", rows, key=("dataset", "method"))


if __name__ == "__main__":
    main()
