"""How well are the probabilities of `FineTuneClassifier` calibrated, and what helps?

    python -m benchmarks.calibration                            # an hour or two on one core
    python -m benchmarks.calibration --data digits --labels 10  # or a part of it

Each encoder is pretrained once. With each draw of labels, each strategy learns from them, and its
probabilities for test rows are compared with their classes: as they are, and calibrated by
scikit-learn, on out-of-fold predictions of the labeled rows or on a fifth of them, held out.
"""

import time

import numpy as np
from sklearn.base import clone
from sklearn.calibration import CalibratedClassifierCV
from sklearn.datasets import load_digits
from sklearn.frozen import FrozenEstimator
from sklearn.metrics import accuracy_score, log_loss
from sklearn.model_selection import train_test_split

from benchmarks import store
from benchmarks.datasets import load_keel_table
from sklearn_ssl import FineTuneClassifier, SimCLRTransformer, VIMETransformer
from sklearn_ssl.semi_supervised import draw_labels

DATA = {
    "digits": (
        "image",
        lambda: load_digits(return_X_y=True),
        SimCLRTransformer(image_shape=(8, 8), max_epochs=20, random_state=0),
    ),
    "penbased": (
        "table",
        lambda: load_keel_table("penbased"),
        VIMETransformer(max_epochs=10, random_state=0),
    ),
}
STRATEGIES = ("probe", "probe-then-full", "full", "fixmatch")
N_TEST = 597  # a third of the digits
N_BINS = 15
KEY = ("dataset", "method", "labels")


# What is measured ---------------------------------------------------------------------------------


def calibration_error(y, probabilities, classes):
    """Return the expected calibration error of the most likely class, in bins of equal width.

    https://arxiv.org/abs/1706.04599 (Guo et al., 2017)
    """
    confidence = probabilities.max(axis=1)
    correct = classes[probabilities.argmax(axis=1)] == y
    bins = np.minimum((confidence * N_BINS).astype(int), N_BINS - 1)
    gaps = np.bincount(bins, weights=confidence - correct, minlength=N_BINS)
    return np.abs(gaps).sum() / len(y)


def brier_score(y, probabilities, classes):
    """Return the mean squared distance of the probabilities from the class, between 0 and 2."""
    return np.square(probabilities - (y[:, None] == classes)).sum(axis=1).mean()


METRICS = {
    "accuracy": lambda y, p, classes: accuracy_score(y, classes[p.argmax(axis=1)]),
    "calibration_error": calibration_error,
    "brier_score": brier_score,
    "log_loss": lambda y, p, classes: log_loss(y, p, labels=classes),
}


# Ways to calibrate: each returns a fitted classifier ----------------------------------------------


def as_it_is(classifier, X, y, drawn, seed):
    return classifier.fit(X, only(y, drawn))


def held_out_temperature(classifier, X, y, drawn, seed):
    kept, held_out = train_test_split(drawn, test_size=0.2, stratify=y[drawn], random_state=seed)
    frozen = FrozenEstimator(classifier.fit(X, only(y, kept)))
    calibrated = CalibratedClassifierCV(frozen, method="temperature", cv=2)  # which fits no fold
    return calibrated.fit(X[held_out], y[held_out])


def out_of_fold(method):
    def calibrate(classifier, X, y, drawn, seed):
        calibrated = CalibratedClassifierCV(classifier, method=method, cv=5, ensemble=False)
        return calibrated.fit(X[drawn], y[drawn])

    return calibrate


def only(y, drawn):
    """Return y with only the drawn labels."""
    few = np.full(len(y), None, dtype=object)
    few[drawn] = y[drawn]
    return few


CALIBRATIONS = {
    "as it is": as_it_is,
    "temperature, out of fold": out_of_fold("temperature"),
    "sigmoid, out of fold": out_of_fold("sigmoid"),
    "temperature, a fifth held out": held_out_temperature,
}


def measure(name, strategy, title, options):
    """Return the rows of a way to calibrate, for each number of labels and each metric."""
    kind, _, _ = DATA[name]
    ssl, X, X_test, y, y_test = options.pretrained[name]
    rows = []
    for k in options.labels:
        scores, start = [], time.perf_counter()
        for seed in range(options.draws):
            classifier = FineTuneClassifier(
                FrozenEstimator(ssl),
                strategy=strategy,
                max_epochs=options.epochs,
                random_state=seed,
            )
            drawn = draw_labels(y, k, seed)
            fitted = CALIBRATIONS[title](classifier, X, y, drawn, seed)
            probabilities = fitted.predict_proba(X_test)
            scores.append([f(y_test, probabilities, fitted.classes_) for f in METRICS.values()])
        row = {
            "measured": store.today(),
            "dataset": name,
            "kind": kind,
            "method": f"{strategy}, {title}",
            "role": "ours",
            "labels": k,
            "n_draws": options.draws,
            "seed": 0,
            "seconds": f"{(time.perf_counter() - start) / options.draws:.1f}",
        }
        for metric, values in zip(METRICS, np.transpose(scores)):
            found = {"metric": metric, "mean": f"{values.mean():.3f}", "std": f"{values.std():.3f}"}
            rows.append({column: {**row, **found}[column] for column in store.COLUMNS})
    return rows


def pretrain(name, options):
    """Return a fitted transformer, the rows it has seen, those to test on, and their classes."""
    _, load, ssl = DATA[name]
    X, y = load()
    split = train_test_split(X, y, test_size=N_TEST, stratify=y, random_state=0)
    ssl = clone(ssl).set_params(max_epochs=1) if options.quick else ssl
    return ssl.fit(split[0]), *split


def main(arguments=None):
    parser = store.parser_of(__doc__)
    parser.add_argument("--data", nargs="+", choices=DATA, default=list(DATA))
    parser.add_argument("--strategies", nargs="+", choices=STRATEGIES, default=STRATEGIES)
    parser.add_argument("--calibrations", nargs="+", choices=CALIBRATIONS, default=CALIBRATIONS)
    parser.add_argument("--labels", nargs="+", type=int, default=[10, 100], help="of each class")
    options = store.parse(parser, arguments)
    options.draws, options.epochs = 2, None
    if options.quick:
        options.data, options.labels, options.epochs = ["digits"], [10], 1
    options.pretrained = {name: pretrain(name, options) for name in options.data}
    for name in options.data:
        for strategy in options.strategies:
            for title in options.calibrations:
                if strategy == "fixmatch" and "out of fold" in title:
                    continue  # folds of labeled rows leave no others to learn from
                rows = measure(name, strategy, title, options)
                for row in rows:
                    words = ("dataset", "method", "metric", "labels", "mean", "std", "seconds")
                    print(" | ".join(str(row[word]) for word in words), flush=True)
                store.replace(options.results / "calibration.csv", rows, key=KEY)


if __name__ == "__main__":
    main()
