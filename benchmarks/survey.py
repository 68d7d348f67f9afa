"""On many real data sets: how often is ours the best that one can do with few labels?

    python -m benchmarks.survey                          # all that the results lack: hours
    python -m benchmarks.survey --data vowel --force     # one of the sets again
    python -m benchmarks.survey --fixmatch --labels 10   # FixMatch, which takes longer, alone

There is one recipe for each kind of data, and rivals that learn from the same labels. Encoders are
pretrained at their defaults, once with each seed, and each seed has its own draws of labels.
Nothing is chosen here, so there is no validation. Needs the packages aeon, numba and scikit-image.
"""

import time
from dataclasses import replace

import numpy as np
from scipy import sparse
from sklearn.base import clone
from sklearn.decomposition import PCA, TruncatedSVD
from sklearn.frozen import FrozenEstimator
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV
from sklearn.neighbors import KNeighborsClassifier
from sklearn.preprocessing import StandardScaler
from sklearn.semi_supervised import LabelSpreading, SelfTrainingClassifier
from sklearn.utils import _safe_indexing

from benchmarks import features, store, tasks
from benchmarks.quality import BEST, METHODS, Scaler, Trees, boosted_trees, raw_features
from benchmarks.texts import STRENGTHS
from sklearn_ssl import FineTuneClassifier, SimCLRTransformer
from sklearn_ssl.encoders import KernelFeatures
from sklearn_ssl.evaluation.representations import supervised_epochs
from sklearn_ssl.few_labels.draws import draw_labels

LABELS = (1, 5, 10, 100)  # of each class, where there are so many
SEEDS, DRAWS = 2, 5
MOST_ROWS = {"table": 5_000, "image": 10_000, "series": 10_000, "text": 20_000}
MOST_TEST_ROWS = 5_000
MOST_COLUMNS = 1_000  # for rivals that take minutes, or hours, with the pixels of a photo
KEPT_APART = (  # no default was chosen on them
    *("magic", "satimage", "spambase", "texture", "mnist", "emoji"),
    *("arrow_head", "basic_motions", "osu_leaf", "clothing", "wordnet"),
)
RAW, UNTRAINED, KERNELS = "raw features", "untrained encoder", "fixed kernels"
FEW_SERIES = 1_000
LINEAR = LogisticRegression(max_iter=10_000)


# Features and models ------------------------------------------------------------------------------


def features_of(task):
    """Return features of training and test rows, by name: what scikit-learn users would try."""
    raw = raw_features(task).fit(task.X)
    found = {RAW: [raw.transform(X) for X in (task.X, task.X_test)]}
    if task.kind == "image":
        parts = [images(task, X) for X in (task.X, task.X_test)]
        highest = max(parts[0].max(), 1)
        found["HOG"] = [features.gradient_histograms(part) for part in parts]
        found["histogram of colors"] = [features.color_histograms(p, highest) for p in parts]
    if task.kind == "series":
        for name in ("MiniRocket", "MultiRocket"):
            Z, Z_test = features.random_kernels(name, task.X, [task.X, task.X_test])
            scale = StandardScaler().fit(Z)
            found[name] = scale.transform(Z), scale.transform(Z_test)
    return found


def images(task, X):
    """Return rows as images, (n, side, side) or (n, side, side, 3)."""
    shape = task.settings.get("image_shape")
    return X.reshape(-1, *shape) if shape else X


def reduced(raw, width, seed):
    """Return features of the same width as an embedding: by PCA, or of texts by the SVD."""
    n = min(width, *raw[0].shape)
    Reduction = TruncatedSVD if sparse.issparse(raw[0]) else PCA
    reduction = Reduction(n, random_state=seed).fit(raw[0])
    return scaled(*map(reduction.transform, raw))


def scaled(Z, Z_test):
    scale = Scaler().fit(Z)
    return scale.transform(Z), scale.transform(Z_test)


def pretrain(task, seed, **settings):
    """Return the recipe's estimator, fitted, and the seconds that it took."""
    Method = METHODS[BEST[task.kind]]
    known = Method().get_params()
    settings = {**settings, **{k: v for k, v in task.settings.items() if k in known}}
    ssl, start = Method(random_state=seed, **settings), time.perf_counter()
    ssl.fit(task.X, X_unlabeled=task.X_unlabeled)
    return ssl, time.perf_counter() - start


def supervised(untrained, seed, n_labels):
    """Return the same network, to be trained on labels alone."""
    return FineTuneClassifier(
        FrozenEstimator(untrained),
        strategy="full",
        augment="auto",
        lr=2e-3,
        layer_decay=1.0,
        max_epochs=supervised_epochs(n_labels, 64),
        random_state=seed,
    )


# Measuring ----------------------------------------------------------------------------------------


class Bench:
    """Scores of models that learn from the same draws of labels of a data set."""

    def __init__(self, task, seed, labels, n_draws):
        self.task = task
        self.seed = seed
        self.n_draws = n_draws
        self.labels = [k for k in labels if k <= fewest(task.y)]
        self.rows = []

    def measure(self, method, score, *, seconds=0.0, role="rival"):
        """Add rows of the scores of a method, a function of drawn rows and their number."""
        for k in self.labels:
            start, scores = time.perf_counter(), []
            for draw in range(self.n_draws):
                drawn = draw_labels(self.task.y, k, DRAWS * self.seed + draw)
                scores.append(f"{score(drawn, k):.4f}")
            each = (time.perf_counter() - start) / self.n_draws
            row = {"measured": store.today(), "dataset": self.task.name, "kind": self.task.kind}
            row |= {"n_rows": len(self.task.y), "method": method, "role": role, "labels": k}
            row |= {"seed": self.seed, "scores": " ".join(scores)}
            self.rows.append(row | {"seconds": f"{seconds + each:.1f}"})
            print(*list(row.values())[1:], flush=True)

    def on_features(self, method, Z, Z_test, model=None, **facts):
        """Measure a model of features, or a linear one."""
        y, y_test = self.task.y, self.task.y_test
        self.measure(
            method,
            lambda drawn, k: clone(model or LINEAR).fit(Z[drawn], y[drawn]).score(Z_test, y_test),
            **facts,
        )

    def on_features_searched(self, method, Z, Z_test, **facts):
        """Measure a linear model whose penalty is searched, if there are two labels per class."""
        y, y_test = self.task.y, self.task.y_test

        def score(drawn, k):
            model = GridSearchCV(LINEAR, STRENGTHS, cv=min(k, 5)) if k > 1 else clone(LINEAR)
            return model.fit(Z[drawn], y[drawn]).score(Z_test, y_test)

        self.measure(method, score, **facts)

    def on_all_features(self, method, Z, Z_test, model):
        """Measure a model that learns from the features of rows without labels too."""
        classes, places = np.unique(self.task.y, return_inverse=True)

        def score(drawn, k):
            marked = np.full(len(places), -1)
            marked[drawn] = places[drawn]
            predicted = clone(model).fit(Z, marked).predict(Z_test)
            return np.mean(classes[predicted] == self.task.y_test)

        self.measure(method, score)

    def on_rows(self, method, make, **facts):
        """Measure a model of rows as they are, which a function of the number of labels makes."""
        task = self.task

        def score(drawn, k):
            model = make(len(drawn)).fit(_safe_indexing(task.X, drawn), task.y[drawn])
            return model.score(task.X_test, task.y_test)

        self.measure(method, score, **facts)

    def on_all_rows(self, method, model, **facts):
        """Measure a model that learns from rows without labels too, as they are."""
        task = self.task

        def score(drawn, k):
            marked = np.full(len(task.y), None, object)
            marked[drawn] = task.y[drawn]
            fitted = clone(model).fit(task.X, marked, X_unlabeled=task.X_unlabeled)
            return fitted.score(task.X_test, task.y_test)

        self.measure(method, score, **facts)


def measure_rivals(bench, found, seed):
    """Measure what learns without pretraining."""
    raw = found[RAW]
    for name, parts in found.items():
        bench.on_features(name, *parts)
    bench.on_features("nearest neighbor", *raw, KNeighborsClassifier(1))
    if bench.task.kind == "text":
        bench.on_features_searched(f"{RAW}, C searched", *raw)
    bench.on_all_features("LabelSpreading", *raw, LabelSpreading(kernel="knn", max_iter=100))
    if bench.task.kind == "text" or raw[0].shape[1] <= MOST_COLUMNS:
        bench.on_all_features("SelfTraining", *raw, SelfTrainingClassifier(LINEAR))
        bench.on_rows("boosted trees", lambda n: clone(boosted_trees(bench.task, Trees)))


def measure_ours(bench, ssl, raw, seed, seconds):
    """Measure a pretrained encoder, and what it has to beat: the same width without training."""
    title, task = BEST[bench.task.kind], bench.task
    ours = {"role": "ours", "seconds": seconds}
    embedded = [ssl.transform(X) for X in (task.X, task.X_test)]
    bench.on_features("PCA", *reduced(raw, embedded[0].shape[1], seed))
    bench.on_features(f"{title}, frozen", *scaled(*embedded), **ours)
    untrained, _ = pretrain(task, seed, max_epochs=0)
    bench.on_features(UNTRAINED, *scaled(*(untrained.transform(X) for X in (task.X, task.X_test))))
    if task.kind == "series":
        measure_kernels(bench, task, seed)
    if task.kind == "text":
        both = [sparse.hstack([2 * Z, H]).tocsr() for Z, H in zip(raw, embedded)]
        bench.on_features(f"{title}, beside TF-IDF", *both, **ours)
        return
    bench.on_rows("supervised network", lambda n: supervised(untrained, seed, n))
    tuned = FineTuneClassifier(FrozenEstimator(ssl), random_state=seed)
    bench.on_rows(f"{title}, probe, then fine-tuned", lambda n: clone(tuned), **ours)


def measure_kernels(bench, task, seed):
    """Measure fixed kernels, which nothing trains: our recipe for few series."""
    start = time.perf_counter()
    settings = {"modality": "series", "encoder": KernelFeatures, "max_epochs": 0}
    kernels = SimCLRTransformer(random_state=seed, **settings).fit(task.X)
    parts = [kernels.transform(X) for X in (task.X, task.X_test)]
    bench.on_features(KERNELS, *parts, role="ours", seconds=time.perf_counter() - start)


def measure(task, seed, options):
    """Return all rows of a data set and a seed."""
    if task.kind == "series":
        task = replace(task, X=np.nan_to_num(task.X), X_test=np.nan_to_num(task.X_test))
    settings = {"max_epochs": 1} if options.quick else {}
    ssl, seconds = pretrain(task, seed, **settings)
    bench = Bench(task, seed, options.labels, DRAWS)
    if options.fixmatch:
        tuned = FineTuneClassifier(FrozenEstimator(ssl), strategy="fixmatch", random_state=seed)
        bench.on_all_rows(f"{BEST[task.kind]}, FixMatch", tuned, role="ours", seconds=seconds)
        return bench.rows
    found = features_of(task)
    measure_ours(bench, ssl, found[RAW], seed, seconds)
    measure_rivals(bench, found, seed)
    return bench.rows


def fewest(y):
    """Return the number of rows of the rarest class."""
    return np.unique(y, return_counts=True)[1].min()


def smaller(task):
    """Return a task with as many rows as a laptop has patience for."""
    n, n_test = MOST_ROWS[task.kind], MOST_TEST_ROWS
    return replace(
        task.head(n), X_test=task.X_test[:n_test], y_test=np.asarray(task.y_test[:n_test])
    )


def main(arguments=None):
    parser = store.parser_of(__doc__)
    parser.add_argument("--data", nargs="+", help="names of functions of benchmarks/tasks.py")
    parser.add_argument("--kinds", nargs="+", choices=MOST_ROWS, default=list(MOST_ROWS))
    parser.add_argument("--labels", nargs="+", type=int, default=list(LABELS))
    parser.add_argument("--seeds", nargs="+", type=int, default=list(range(SEEDS)))
    parser.add_argument("--fixmatch", action="store_true")
    parser.add_argument("--force", action="store_true", help="measure again what was measured")
    options = store.parse(parser, arguments)
    path = options.results / "survey.csv"
    for seed in options.seeds:
        for make in tasks.QUICK_SURVEY if options.quick else tasks.SURVEY:
            task = smaller(tasks.load(make))
            if (options.data and task.name not in options.data) or task.kind not in options.kinds:
                continue
            if options.fixmatch and task.kind == "text":
                continue
            measured = {
                ("FixMatch" in row["method"], int(row["labels"]))
                for row in store.read(path)
                if (row["dataset"], row["seed"]) == (task.name, str(seed))
            }
            wanted = {(options.fixmatch, k) for k in options.labels if k <= fewest(task.y)}
            if wanted - measured or options.force:
                rows = measure(task, seed, options)
                store.replace(path, rows, key=("dataset", "method", "seed", "labels"))


if __name__ == "__main__":
    main()
