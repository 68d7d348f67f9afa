"""What a representation is worth with few labels, next to what has to be beaten.

    python -m benchmarks.quality                             # all that the results lack: hours
    python -m benchmarks.quality --pages few_labels          # one page of them
    python -m benchmarks.quality --data digits --methods SimCLR VICReg --force
    python -m benchmarks.report                              # write the pages

Each estimator is pretrained once for each data set, and `evaluate_representation` draws labels and
scores it. Rows are written to benchmarks/results as soon as a pair of a data set and a method is
measured, so that a run may be interrupted. Settings are chosen on training rows alone, and nothing
is written then:

    python -m benchmarks.quality --data digits --methods SimCLR --validation --set temperature=0.3
"""

import argparse
import ast
import time
from dataclasses import replace

import numpy as np
from sklearn.base import BaseEstimator, TransformerMixin
from sklearn.compose import make_column_selector, make_column_transformer
from sklearn.decomposition import TruncatedSVD
from sklearn.ensemble import HistGradientBoostingClassifier, HistGradientBoostingRegressor
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.frozen import FrozenEstimator
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LogisticRegression
from sklearn.neighbors import KNeighborsClassifier
from sklearn.pipeline import make_pipeline, make_union
from sklearn.preprocessing import FunctionTransformer, OneHotEncoder, StandardScaler
from sklearn.semi_supervised import LabelSpreading, SelfTrainingClassifier
from sklearn.utils import get_tags

import sklearn_ssl
from benchmarks import store, tasks
from benchmarks.datasets import load_minilm_folder
from sklearn_ssl import FineTuneClassifier, FineTuneRegressor, MaskedLMEmbedder
from sklearn_ssl.data import taken_by
from sklearn_ssl.evaluation import evaluate_representation
from sklearn_ssl.training.threads import N_CORES

METHODS = {
    name.removesuffix("Transformer").removesuffix("Embedder"): getattr(sklearn_ssl, name)
    for name in sklearn_ssl.__all__
    if name.endswith(("Transformer", "Embedder", "Autoencoder")) and not name.startswith("Base")
}
# For each kind of data, the method that the page about quality shows best at ten labels per class.
BEST = {"image": "VICReg", "table": "VIME", "series": "SimCLR", "text": "Sent2Vec"}
MOST_ROWS = {"quality": 20_000, "few_labels": 10_000, "regression": None}  # that may get labels
ENCODERS = {}  # the last fitted encoder: that of the reviews serves three data sets
SHORT = 0.1  # length of an average embedding beside TF-IDF, whose rows have length 1


# What learns from the labels besides a linear model on the representation -------------------------


def raw_features(task):
    """Return what makes features of rows as they are: TF-IDF, one-hot columns or flat rows."""
    if task.kind == "text":
        return TfidfVectorizer()
    if hasattr(task.X, "columns"):
        is_category = make_column_selector(dtype_exclude="number")
        return make_column_transformer(
            (OneHotEncoder(handle_unknown="ignore", sparse_output=False), is_category),
            remainder=make_pipeline(StandardScaler(), SimpleImputer(add_indicator=True)),
        )
    return make_pipeline(FunctionTransformer(flat), Scaler(of_columns=task.kind == "table"))


def flat(X):
    return np.nan_to_num(np.reshape(X, (len(X), -1)))


class Scaler(TransformerMixin, BaseEstimator):
    """Take the means away, and divide by one factor, or by a factor for each column."""

    def __init__(self, of_columns=False, length=None):
        self.of_columns = of_columns
        self.length = length  # of an average row; None leaves it at the root of the width

    def fit(self, X, y=None):
        self.mean_ = X.mean(axis=0)
        variances = X.var(axis=0)
        self.scale_ = np.sqrt(variances if self.of_columns else variances.mean())
        self.scale_ = np.where(self.scale_ > 1e-9, self.scale_, 1.0)
        if self.length is not None:
            self.scale_ = self.scale_ * X.shape[1] ** 0.5 / self.length
        return self

    def transform(self, X):
        return (X - self.mean_) / self.scale_


class SmallLeaves:
    """Boosted trees at their defaults, but with leaves that few rows can fill."""

    def fit(self, X, y):
        self.min_samples_leaf = int(np.clip(len(y) // 20, 1, 20))
        return super().fit(X, y)


class Trees(SmallLeaves, HistGradientBoostingClassifier):
    pass


class TreesOfNumbers(SmallLeaves, HistGradientBoostingRegressor):
    pass


def frozen(*steps):
    return FrozenEstimator(make_pipeline(*steps))


def boosted_trees(task, Kind):
    """Return trees on rows as they are; on the SVD of texts, for they take no sparse matrix."""
    if task.kind == "text":
        encode = make_pipeline(TfidfVectorizer(), TruncatedSVD(100, random_state=0)).fit(task.X)
        return make_pipeline(FrozenEstimator(encode), Kind(random_state=0))
    own = Kind(random_state=0)
    is_frame = hasattr(task.X, "columns")
    return own if is_frame else make_pipeline(FunctionTransformer(flat), own)


def beside_tfidf(task, ssl):
    """Return a linear model on TF-IDF and, next to it, on the embedding, short."""
    embedding = frozen(ssl, Scaler(of_columns=True, length=SHORT).fit(ssl.transform(task.X)))
    counts = FrozenEstimator(TfidfVectorizer().fit(task.X))
    return make_pipeline(make_union(counts, embedding), LogisticRegression(max_iter=10_000))


def rivals_of_quality(task, title, ssl, is_first):
    """Return further rivals on the page about quality: those of the data, and of each method."""
    rivals = ["untrained", "supervised"] if task.kind != "text" else ["untrained"]
    if task.kind == "text":
        rivals.append((f"{title}, beside TF-IDF", beside_tfidf(task, ssl)))
    if title.startswith("MaskedAutoencoder") and task.kind == "image":
        rivals.append((f"{title}, fine-tuned", FineTuneClassifier(FrozenEstimator(ssl))))
    if not is_first:
        return rivals
    if task.kind == "series":
        nearest = make_pipeline(FunctionTransformer(flat), KNeighborsClassifier(1))
        rivals.append(("nearest neighbor, raw values", nearest))
    if task.kind == "table":
        rivals.append(("HistGradientBoosting", boosted_trees(task, Trees)))
    return ["raw", "pca", *rivals]


def rivals_of_few_labels(task, title, ssl, is_first):
    """Return what scikit-learn offers for few labels, on raw features and on the encoder."""
    raw = FrozenEstimator(raw_features(task).fit(task.X))
    encoder = frozen(ssl, Scaler().fit(ssl.transform(task.X)))
    linear = LogisticRegression(max_iter=1000)
    spreading = LabelSpreading(kernel="knn", max_iter=100)
    rivals = [
        "raw",
        "pca",
        ("LabelSpreading", make_pipeline(raw, spreading)),
        ("SelfTrainingClassifier", make_pipeline(raw, SelfTrainingClassifier(linear))),
        ("HistGradientBoosting", boosted_trees(task, Trees)),
        (f"{title}, frozen, LabelSpreading", make_pipeline(encoder, spreading)),
        (
            f"{title}, frozen, SelfTrainingClassifier",
            make_pipeline(encoder, SelfTrainingClassifier(linear, threshold=0.9)),
        ),
        (f"{title}, probe, then fine-tuned", FineTuneClassifier(FrozenEstimator(ssl))),
        (f"{title}, fine-tuned", FineTuneClassifier(FrozenEstimator(ssl), strategy="full")),
    ]
    if task.kind == "text":
        rivals.append((f"{title}, frozen, beside TF-IDF", beside_tfidf(task, ssl)))
        svd = make_pipeline(TfidfVectorizer(), TruncatedSVD(128, random_state=0)).fit(task.X)
        both = [frozen(part, Scaler().fit(part.transform(task.X))) for part in (svd, ssl)]
        model = make_pipeline(make_union(*both), LogisticRegression(max_iter=10_000))
        rivals.append((f"{title}, frozen, beside the SVD", model))
    return rivals


def rivals_of_regression(task, title, ssl, is_first):
    """Return trees, and the two strategies of fine-tuning that change the encoder."""
    probe_first, full = (
        FineTuneRegressor(FrozenEstimator(ssl), strategy=strategy)
        for strategy in ("probe-then-full", "full")
    )
    return [
        "raw",
        ("HistGradientBoosting", boosted_trees(task, TreesOfNumbers)),
        (f"{title}, probe, then fine-tuned", probe_first),
        (f"{title}, fine-tuned", full),
    ]


PAGES = {  # data sets, rivals, and what stands behind the name of a method
    "quality": (tasks.CLASSES, rivals_of_quality, ""),
    "few_labels": (tasks.FEW_LABELS, rivals_of_few_labels, ", frozen"),
    "regression": (tasks.NUMBERS, rivals_of_regression, ", probe: the default"),
}


# Measuring ----------------------------------------------------------------------------------------


def methods_for(page, task):
    """Return the estimators of a page for a data set, by title."""
    if page != "quality":
        name = BEST[task.kind]
        return {name: METHODS[name]}
    found = {name: M for name, M in METHODS.items() if task.kind in taken_by(M)}
    return {**found, "MiniLM": MaskedLMEmbedder} if task.kind == "text" else found


def pretrain(title, Method, task, settings):
    """Return a fitted estimator, the task as it can read it, and the seconds of the fit."""
    if title.startswith("MiniLM"):
        settings = {"pretrained": load_minilm_folder(), "max_epochs": 0}
    known = Method().get_params()
    settings = {**task.settings, **settings}
    ssl = Method(random_state=0, **{k: v for k, v in settings.items() if k in known})
    if task.kind == "series" and not get_tags(ssl).input_tags.allow_nan:
        task = replace(task, X=np.nan_to_num(task.X), X_test=np.nan_to_num(task.X_test))
    key = title if task.shares_reviews else (title, task.name)
    if key not in ENCODERS:
        X = tasks.all_reviews() if task.shares_reviews else task.X
        start = time.perf_counter()
        ssl.fit(X, X_unlabeled=task.X_unlabeled)
        ENCODERS.clear()  # of other data sets
        ENCODERS[key] = ssl, time.perf_counter() - start
    ssl, seconds = ENCODERS[key]
    return ssl, task, seconds


def score(task, title, ssl, rivals, options):
    """Return the rows of `evaluate_representation`, for each metric of a task."""
    rows = []
    for scoring in task.scoring:
        report = evaluate_representation(
            {title: ssl},
            task.X,
            task.y,
            X_test=task.X_test,
            y_test=task.y_test,
            X_unlabeled=task.X_unlabeled,
            labels_per_class=task.labels,
            n_draws=options.draws,
            baselines=rivals,
            scoring=scoring,
        )
        sign = -1 if scoring.startswith("neg_") else 1
        for name, scores in report.scores.items():
            for k, of_draws in zip(report.labels_per_class, sign * scores):
                row = {"method": report.titles[name], "labels": int(k)}
                row |= {"role": "ours" if name.startswith(title.split(",")[0]) else "baseline"}
                row |= {"metric": scoring.removeprefix("neg_"), "n_draws": options.draws}
                row |= {"mean": f"{of_draws.mean():.3f}", "std": f"{of_draws.std():.3f}"}
                rows.append(row)
    return rows


def facts(title, ssl, seconds):
    """Return rows that say what a fit was like."""
    found = {"threads": N_CORES, "epochs": ssl.n_iter_, "n_rows": ssl.input_spec_.n_samples}
    for name, form in (("embedding_std", "{:.3f}"), ("effective_rank", "{:.1f}")):
        if name in ssl.history_:
            found[name] = form.format(ssl.history_[name][-1])
    row = {"method": title, "role": "ours", "labels": "", "seconds": f"{seconds:.1f}"}
    return [{**row, "metric": name, "mean": value} for name, value in found.items()]


def measure(page, task, title, Method, is_first, options):
    """Return all rows of a method on a data set."""
    settings = {**dict(options.set), **({"max_epochs": 1} if options.quick else {})}
    ssl, task, seconds = pretrain(title, Method, task, settings)
    most = MOST_ROWS[page]
    task = task.head(most) if most else task
    _, rivals_of, ending = PAGES[page]
    rivals = rivals_of(task, title, ssl, is_first)
    rows = score(task, title + ending, ssl, rivals, options)
    common = {"measured": store.today(), "dataset": task.name, "kind": task.kind, "seed": 0}
    rows += facts(title, ssl, seconds) if page == "quality" else []
    return [{column: {**common, **row}.get(column, "") for column in store.COLUMNS} for row in rows]


def words_of(settings):
    """Return what stands behind the name of a method that has not its defaults."""
    words = ", ".join(f"{name}={value!r}" for name, value in settings)
    return f" ({words})" if words else ""


def is_measured(title, known):
    """Say whether rows of a method are among those with these names."""
    return any(name == title or name.startswith((f"{title},", f"{title} (")) for name in known)


def measure_page(page, options):
    """Measure what the results of a page lack, one data set after the other."""
    path = options.results / f"{page}.csv"
    for make in tasks.QUICK[page] if options.quick else PAGES[page][0]:
        if options.data and make.__name__ not in options.data:
            continue
        task = tasks.load(make)
        if page == "few_labels" and not options.quick:
            task = replace(task, labels=(1, 5, 10, 100))
        task = task.for_validation() if options.validation else task
        known = [row["method"] for row in store.read(path) if row["dataset"] == task.name]
        for i, (title, Method) in enumerate(methods_for(page, task).items()):
            if options.methods and title not in options.methods:
                continue
            title += words_of(options.set)
            if is_measured(title, known) and not options.again:
                continue
            rows = measure(page, task, title, Method, i == 0, options)
            for row in rows:
                words = ("dataset", "method", "metric", "labels", "mean", "std")
                print(" | ".join(str(row[word]) for word in words), flush=True)
            if not options.validation:
                store.replace(path, rows, key=("dataset", "method"))


def setting(text):
    """Read ``name=value``, where the value is a Python literal."""
    name, _, value = text.partition("=")
    try:
        return name, ast.literal_eval(value)
    except (ValueError, SyntaxError):
        raise argparse.ArgumentTypeError(f"{text!r} is not name=value with a literal") from None


def main(arguments=None):
    parser = store.parser_of(__doc__)
    parser.add_argument("--pages", nargs="+", choices=PAGES, default=list(PAGES))
    parser.add_argument("--data", nargs="+", help="names of functions of benchmarks/tasks.py")
    parser.add_argument("--methods", nargs="+", choices=[*METHODS, "MiniLM"])
    parser.add_argument("--set", nargs="+", type=setting, default=[], metavar="NAME=LITERAL")
    parser.add_argument("--validation", action="store_true", help="score training rows")
    parser.add_argument("--force", action="store_true", help="measure again what was measured")
    options = store.parse(parser, arguments)
    options.again = options.force or options.validation
    options.draws = 2 if options.quick else 5
    for page in options.pages:
        measure_page(page, options)


if __name__ == "__main__":
    main()
