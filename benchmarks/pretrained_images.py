"""What a network that was trained on ImageNet is worth for other images, with few labels.

    python -m benchmarks.pretrained_images                        # all that is missing: an hour
    python -m benchmarks.pretrained_images --data photos --force  # one of the sets again
    python -m benchmarks.pretrained_images --methods "Lite0, frozen, 96 px"
    python -m benchmarks.pretrained_images --data "photos, validation rows"  # learning rates

EfficientNet-Lite0 embeds images as it is, after more pretraining on the training images, or after
fine-tuning, next to raw pixels and to a small network that is pretrained from scratch. Sets are
reduced to at most 1,400 training and 700 test images; labels are drawn several times, the same ones
for all methods. Learning rates are compared on training rows alone, on fewer of them.
"""

import time
from dataclasses import replace
from functools import cache, partial
from itertools import product

import numpy as np
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import train_test_split
from sklearn.preprocessing import FunctionTransformer, StandardScaler

from benchmarks import datasets as d
from benchmarks import store, tasks
from benchmarks.quality import Scaler
from sklearn_ssl import FineTuneClassifier, SimCLRTransformer, VICRegTransformer
from sklearn_ssl.few_labels.draws import draw_labels

N_TRAIN, N_TEST, N_VALIDATION = 1400, 700, 420
LABELS = (1, 5, 10, 100)
DRAWS = 5
DRAWS_OF_TRAININGS = 1  # each takes minutes
MOST_FINE_TUNED = 10  # labels per class
SIDE = 64  # pixels, where the network is trained: 96 take twice the time
RATES = (5e-5, 2e-4, 5e-4)  # tried on validation rows
BEST_RATE = 2e-4  # there


# Methods ------------------------------------------------------------------------------------------


def raw(task):
    return FunctionTransformer(lambda X: np.reshape(X, (len(X), -1)).astype(np.float32))


def scratch(task):
    return VICRegTransformer(random_state=0, **task.settings).fit(task.X)


def lite0(side=SIDE, **options):
    """Return a function that starts from EfficientNet-Lite0, whose images have that side."""

    def fit(task):
        network = d.load_efficientnet_lite0(side)
        ssl = SimCLRTransformer(pretrained=network, random_state=0, **options, **task.settings)
        return ssl.fit(task.X)

    return fit


METHODS = {
    "raw pixels": raw,
    "VICReg from scratch": scratch,
    **{f"Lite0, frozen, {side} px": lite0(side, max_epochs=0) for side in (SIDE, 96, 224)},
    f"Lite0, SimCLR further, {SIDE} px": lite0(lr=BEST_RATE),
}
FINE_TUNED = {  # encoders, and parameters of FineTuneClassifier
    "VICReg from scratch, fine-tuned": (scratch, {}),
    f"Lite0, fine-tuned, {SIDE} px": (lite0(max_epochs=0), {}),
}
RATES_OF_METHODS = {f"Lite0, SimCLR further, lr {lr:.0e}": lite0(lr=lr) for lr in RATES}
RATES_OF_FINE_TUNING = {
    f"Lite0, fine-tuned, lr {lr:.0e}": (lite0(max_epochs=0), {"lr": lr}) for lr in RATES
}
EMBEDDINGS, FINE_TUNINGS = METHODS | RATES_OF_METHODS, FINE_TUNED | RATES_OF_FINE_TUNING
HEADS = {"": Scaler, ", standardized": StandardScaler}


# Data ---------------------------------------------------------------------------------------------


def reduced(task, n_train=N_TRAIN, n_test=N_TEST):
    """Return a task with fewer rows, the same share of each class."""
    X, y = few_of(task.X, task.y, n_train)
    X_test, y_test = few_of(task.X_test, task.y_test, n_test)
    return replace(task, X=X, y=y, X_test=X_test, y_test=y_test)


def few_of(X, y, n):
    if len(y) <= n:
        return X, y
    rows, _ = train_test_split(np.arange(len(y)), train_size=n, stratify=y, random_state=0)
    return X[np.sort(rows)], y[np.sort(rows)]


def validation(load):
    """Return a task of training rows alone: the first 60 % are learned from, the others scored.

    Parts of the photos lie in order, so that learned ones and scored ones do not overlap.
    """
    task = load()
    n = int(0.6 * len(task.y))
    parts = {"X": task.X[:n], "y": task.y[:n], "X_test": task.X[n:], "y_test": task.y[n:]}
    return reduced(replace(task, labels=(5,), **parts), N_VALIDATION, N_VALIDATION)


def whole(load):
    return replace(reduced(load()), labels=LABELS)


DATA = {
    "photos": partial(whole, tasks.photos),
    "fashion": partial(whole, tasks.fashion),
    "digits": partial(whole, tasks.digits),
}
VALIDATION = {
    "photos, validation rows": partial(validation, tasks.photos),
    "fashion, validation rows": partial(validation, tasks.fashion),
}


# Measuring ----------------------------------------------------------------------------------------


def fitted_on(task, fit):
    """Return a fitted transformer, and the seconds that it took."""
    start = time.process_time()
    return fit(task), time.process_time() - start


def scores_of_heads(task, title, encoder):
    """Return the accuracies of classifiers of a representation, by method; and seconds."""
    start = time.process_time()
    Z, Z_test = encoder.transform(task.X), encoder.transform(task.X_test)
    seconds = time.process_time() - start
    found = {title + ending: {} for ending in HEADS}
    for (ending, Scale), k in product(HEADS.items(), task.labels):
        scaler = Scale().fit(Z)
        scores = []
        is_all = k * len(np.unique(task.y)) == len(task.y)  # then there is a single draw
        for draw in range(1 if is_all else DRAWS):
            rows = draw_labels(task.y, k, draw)
            head = LogisticRegression(max_iter=10_000)
            head.fit(scaler.transform(Z[rows]), task.y[rows])
            scores.append(head.score(scaler.transform(Z_test), task.y_test))
        found[title + ending][k] = scores
    return found, seconds


def scores_of_fine_tuning(task, title, encoder, options):
    """Return the accuracies of a network that labels train too; and seconds of a training."""
    start, scores = time.process_time(), {}
    for k in (k for k in task.labels if k <= MOST_FINE_TUNED):
        scores[k] = []
        for draw in range(DRAWS_OF_TRAININGS):
            rows = draw_labels(task.y, k, draw)
            model = FineTuneClassifier(encoder, random_state=0, **options)
            model.fit(task.X[rows], task.y[rows])
            scores[k].append(model.score(task.X_test, task.y_test))
    n_trainings = sum(map(len, scores.values()))
    return {title: scores}, (time.process_time() - start) / n_trainings


def titles_of(name):
    """Return what is measured on a data set."""
    if name in VALIDATION:
        return [f"Lite0, frozen, {SIDE} px", *RATES_OF_METHODS, *RATES_OF_FINE_TUNING]
    return [*METHODS, *FINE_TUNED]


def rows_of(name, found, seconds):
    """Return rows for the results."""
    rows = []
    for method, scores in found.items():
        common = {"measured": store.today(), "dataset": name, "kind": "image", "method": method}
        common |= {"role": "baseline" if method.startswith("raw") else "ours"}
        common |= {"metric": "accuracy", "seed": 0, "seconds": f"{seconds:.0f}"}
        for k, values in scores.items():
            row = common | {"labels": k, "n_draws": len(values)}
            row |= {"mean": f"{np.mean(values):.3f}", "std": f"{np.std(values):.3f}"}
            rows.append({column: row[column] for column in store.COLUMNS})
    return rows


def measure_data(name, task, options):
    """Measure what the results of a data set lack."""
    path = options.results / "pretrained_images.csv"
    fitted = cache(partial(fitted_on, task))
    known = {row["method"] for row in store.read(path) if row["dataset"] == name}
    for title in options.methods or titles_of(name):
        if title in known and not options.force:
            continue
        if title in FINE_TUNINGS:
            fit, parameters = FINE_TUNINGS[title]
            found, seconds = scores_of_fine_tuning(task, title, fitted(fit)[0], parameters)
        else:
            encoder, seconds_of_fit = fitted(EMBEDDINGS[title])
            found, seconds = scores_of_heads(task, title, encoder)
            seconds += seconds_of_fit
        rows = rows_of(name, found, seconds)
        store.replace(path, rows, key=("dataset", "method"))
        for row in rows:
            print(*(row[c] for c in ("dataset", "method", "labels", "mean", "std", "seconds")))


def main(arguments=None):
    parser = store.parser_of(__doc__)
    sets = {**DATA, **VALIDATION}
    parser.add_argument("--data", nargs="+", choices=sets, default=list(sets))
    parser.add_argument("--methods", nargs="+", choices=[*EMBEDDINGS, *FINE_TUNINGS])
    parser.add_argument("--force", action="store_true", help="measure again what was measured")
    options = store.parse(parser, arguments)
    if options.quick:
        options.methods = ["raw pixels"]  # the network may not be installed
        X, y = tasks.load_digits(return_X_y=True)
        measure_data("quick", reduced(tasks.Task("image", X, X[:100], y, y[:100], LABELS)), options)
        return
    for name in options.data:
        measure_data(name, sets[name](), options)


if __name__ == "__main__":
    main()
