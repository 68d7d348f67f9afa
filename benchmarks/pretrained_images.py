"""What a network that was trained on ImageNet is worth for other images, with few labels.

    python -m benchmarks.pretrained_images                        # all that the results lack: hours
    python -m benchmarks.pretrained_images --data photos --force  # one of the sets again
    python -m benchmarks.pretrained_images --methods "Lite0, frozen, 96 px"

EfficientNet-Lite0 embeds images as it is, after more pretraining on the training images, or after
fine-tuning, next to raw pixels and to a small network that is pretrained from scratch. Sets are
reduced to at most 1,400 training and 700 test images; labels are drawn several times, the same ones
for all methods.
"""

import time
from dataclasses import replace

import numpy as np
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import train_test_split
from sklearn.preprocessing import FunctionTransformer, StandardScaler

from benchmarks import datasets as d
from benchmarks import store, tasks
from benchmarks.quality import Scaler
from sklearn_ssl import FineTuneClassifier, SimCLRTransformer, VICRegTransformer
from sklearn_ssl.few_labels.draws import draw_labels

N_TRAIN, N_TEST = 1400, 700
LABELS = (1, 5, 10, 100)
DRAWS = 5
DRAWS_OF_TRAININGS = 2  # each takes minutes
MOST_FINE_TUNED = 10  # labels per class
DATA = {
    "photos": tasks.photos,
    "fashion": tasks.fashion,
    "digits": tasks.digits,
}


# Methods ------------------------------------------------------------------------------------------


def raw(task):
    return FunctionTransformer(lambda X: np.reshape(X, (len(X), -1)).astype(np.float32))


def scratch(task):
    return VICRegTransformer(random_state=0, **task.settings).fit(task.X)


def lite0(side, epochs=0):
    """Return a function that starts from EfficientNet-Lite0, whose images have that side."""

    def fit(task):
        options = {"max_epochs": epochs, "random_state": 0, **task.settings}
        network = d.load_efficientnet_lite0(side)
        return SimCLRTransformer(pretrained=network, **options).fit(task.X)

    return fit


METHODS = {
    "raw pixels": raw,
    "VICReg from scratch": scratch,
    "Lite0, frozen, 96 px": lite0(96),
    "Lite0, frozen, 128 px": lite0(128),
    "Lite0, frozen, 224 px": lite0(224),
    "Lite0, pretrained further, 96 px": lite0(96, epochs=None),
}
FINE_TUNED = "fine-tuned"
TRAINED_FURTHER = {
    f"VICReg from scratch, {FINE_TUNED}": scratch,
    f"Lite0, {FINE_TUNED}, 96 px": lite0(96),
}
HEADS = {"": Scaler, ", standardized": StandardScaler}


# Measuring ----------------------------------------------------------------------------------------


def reduced(task):
    """Return a task with fewer rows, the same share of each class."""
    X, y = few_of(task.X, task.y, N_TRAIN)
    X_test, y_test = few_of(task.X_test, task.y_test, N_TEST)
    return replace(task, X=X, y=y, X_test=X_test, y_test=y_test)


def few_of(X, y, n):
    if len(y) <= n:
        return X, y
    rows, _ = train_test_split(np.arange(len(y)), train_size=n, stratify=y, random_state=0)
    return X[np.sort(rows)], y[np.sort(rows)]


def scores_of_heads(task, title):
    """Return the accuracies of classifiers of a representation, by method; and seconds."""
    start = time.perf_counter()
    encoder = METHODS[title](task)
    Z, Z_test = encoder.transform(task.X), encoder.transform(task.X_test)
    seconds = time.perf_counter() - start
    found = {title + ending: {} for ending in HEADS}
    for (ending, Scale), k in ((head, k) for head in HEADS.items() for k in LABELS):
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


def scores_of_training(task, title):
    """Return the accuracies of a network that labels train too; and seconds of a training."""
    encoder = TRAINED_FURTHER[title](task)
    start, scores = time.perf_counter(), {}
    for k in (k for k in LABELS if k <= MOST_FINE_TUNED):
        scores[k] = []
        for draw in range(DRAWS_OF_TRAININGS):
            rows = draw_labels(task.y, k, draw)
            model = FineTuneClassifier(encoder, random_state=0)
            model.fit(task.X[rows], task.y[rows])
            scores[k].append(model.score(task.X_test, task.y_test))
    n_trainings = sum(map(len, scores.values()))
    return {title: scores}, (time.perf_counter() - start) / n_trainings


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
    known = {row["method"] for row in store.read(path) if row["dataset"] == name}
    for title in options.methods:
        if title in known and not options.force:
            continue
        measure = scores_of_heads if title in METHODS else scores_of_training
        found, seconds = measure(task, title)
        rows = rows_of(name, found, seconds)
        store.replace(path, rows, key=("dataset", "method"))
        for row in rows:
            print(*(row[c] for c in ("dataset", "method", "labels", "mean", "std", "seconds")))


def main(arguments=None):
    parser = store.parser_of(__doc__)
    titles = [*METHODS, *TRAINED_FURTHER]
    parser.add_argument("--data", nargs="+", choices=DATA, default=list(DATA))
    parser.add_argument("--methods", nargs="+", choices=titles, default=titles)
    parser.add_argument("--force", action="store_true", help="measure again what was measured")
    options = store.parse(parser, arguments)
    if options.quick:
        options.methods = ["raw pixels"]  # the network may not be installed
        X, y = tasks.load_digits(return_X_y=True)
        measure_data("quick", reduced(tasks.Task("image", X, X[:100], y, y[:100], LABELS)), options)
        return
    for name in options.data:
        measure_data(name, reduced(DATA[name]()), options)


if __name__ == "__main__":
    main()
