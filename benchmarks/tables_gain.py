"""What pretraining is worth on tables when the whole network is fine-tuned, as in SCARF's paper.

    python -m benchmarks.tables_gain                    # less than an hour on one core
    python -m benchmarks.tables_gain --tables letter    # or a part of it

Each table is split again with each seed. `FineTuneClassifier` trains the whole network with all
labels and with a quarter of them, from pretrained weights and from those that pretraining starts
from. It chooses its epoch on rows that it holds out; test rows are looked at once, at the end.
"""

from functools import partial

import numpy as np
from sklearn.datasets import load_breast_cancer, load_digits
from sklearn.frozen import FrozenEstimator
from sklearn.model_selection import train_test_split
from sklearn.utils import _safe_indexing

from benchmarks import store
from benchmarks.datasets import load_adult, load_keel_table
from sklearn_ssl import FineTuneClassifier, SCARFTransformer, VIMETransformer

TABLES = {
    "adult": load_adult,
    "breast_cancer": lambda: load_breast_cancer(return_X_y=True),
    "digits": lambda: load_digits(return_X_y=True),
    **{
        name: lambda name=name: load_keel_table(name)
        for name in ("letter", "magic", "penbased", "phoneme", "satimage", "spambase")
    },
}
METHODS = {
    "SCARF": partial(SCARFTransformer, corruption_rate=0.6, temperature=1.0),  # as in the paper
    "VIME": VIMETransformer,
}
LABELS = {"all labels": 1.0, "a quarter": 0.25}
N_TRAIN, N_TEST = 2_500, 5_000  # at most; an eighth of the training rows chooses the epoch
ROWS_TO_SEE = 80_000  # in pretraining, all epochs together


def rows_of_each_class(y, n, seed):
    """Return the places of n rows at most, the classes in their shares."""
    places = np.arange(len(y))
    if n >= len(y):
        return places
    return train_test_split(places, train_size=n, stratify=y, random_state=seed)[0]


def accuracies(X, y, Method, seed, options):
    """Return the test accuracies of a split: [labels, (not pretrained, pretrained)]."""
    train, test = train_test_split(np.arange(len(y)), test_size=0.2, stratify=y, random_state=seed)
    train = train[rows_of_each_class(y[train], options.rows, seed)]
    test = test[rows_of_each_class(y[test], N_TEST, seed)]
    X, y, X_test, y_test = (_safe_indexing(a, rows) for rows in (train, test) for a in (X, y))
    epochs = int(np.clip(options.rows_to_see // len(y), 1, 200))
    both = {"batch_size": 128, "random_state": seed}
    untrained = Method(**both, max_epochs=0).fit(X)
    pretrained = Method(**both, max_epochs=epochs).fit(X)
    found = []
    for part in LABELS.values():
        some = rows_of_each_class(y, round(part * len(y)), seed)
        for ssl in (untrained, pretrained):
            model = FineTuneClassifier(
                FrozenEstimator(ssl),
                strategy="full",
                layer_decay=1.0,
                batch_size=128,
                max_epochs=options.epochs,
                early_stopping=True,
                validation_fraction=1 / 8,
                n_iter_no_change=8,
                random_state=seed,
            )
            found.append(model.fit(_safe_indexing(X, some), y[some]).score(X_test, y_test))
    return np.reshape(found, (len(LABELS), 2))


def measure(name, title, options):
    """Return the rows of a table: accuracies in percent, and the gain with its standard error."""
    X, y = TABLES[name]()
    measured = 100 * np.array(
        [accuracies(X, y, METHODS[title], seed, options) for seed in range(options.splits)]
    )  # [splits, labels, 2]
    gains = 100 * (measured[..., 1] / measured[..., 0] - 1)
    errors = gains.std(axis=0, ddof=1) / len(gains) ** 0.5
    means = measured.mean(axis=0)
    return [
        {
            "measured": store.today(),
            "dataset": name,
            "method": title,
            "labels": labels,
            "not_pretrained": f"{without:.1f}",
            "pretrained": f"{pretrained:.1f}",
            "gain": f"{gain:+.2f}",
            "gain_se": f"{error:.2f}",
            "n_splits": options.splits,
        }
        for labels, (without, pretrained), gain, error in zip(
            LABELS, means, gains.mean(axis=0), errors
        )
    ]


def mean_gains(rows):
    """Return the mean gain over all tables as rows of the file."""
    for labels in LABELS:
        gains = [float(row["gain"]) for row in rows if row["labels"] == labels]
        blank = dict.fromkeys(("not_pretrained", "pretrained", "gain_se"), "")
        gain = {"labels": labels, "gain": f"{np.mean(gains):+.2f}"}
        yield {**rows[0], "dataset": "mean", **blank, **gain}


def main(arguments=None):
    parser = store.parser_of(__doc__)
    parser.add_argument("--tables", nargs="+", choices=TABLES, default=list(TABLES))
    parser.add_argument("--methods", nargs="+", choices=METHODS, default=["SCARF"])
    options = store.parse(parser, arguments)
    options.rows, options.rows_to_see = N_TRAIN, ROWS_TO_SEE
    options.splits, options.epochs = 5, 60
    if options.quick:
        options.tables, options.rows, options.rows_to_see = ["breast_cancer"], 200, 400
        options.splits, options.epochs = 2, 2
    for title in options.methods:
        rows = []
        for name in options.tables:
            rows += measure(name, title, options)
            print(*(" | ".join(map(str, row.values())) for row in rows[-2:]), sep="\n", flush=True)
            store.replace(options.results / "tables_gain.csv", rows, key=("dataset", "method"))
        if set(options.tables) == set(TABLES):
            means = list(mean_gains(rows))
            store.replace(options.results / "tables_gain.csv", means, key=("dataset", "method"))


if __name__ == "__main__":
    main()
