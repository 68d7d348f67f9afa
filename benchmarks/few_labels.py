"""Few labels: what scikit-learn offers, beside a frozen and a fine-tuned encoder.

The data sets, their splits and the draws of the labels are those of quality.py; every method is
given the same rows.

    python -m benchmarks.few_labels                                       # all that is missing
    python -m benchmarks.few_labels --data digits --methods raw frozen    # or a part of it
    python -m benchmarks.few_labels --report                              # doc/few_labels_table.md

Each pair of a data set and a method is a small file in build/few_labels/ as soon as it is measured,
and an encoder is fitted once for each data set, so that runs may be interrupted.
"""

import argparse
import json
import sys
import time
import warnings
from dataclasses import replace
from pathlib import Path

import joblib
import numpy as np
import torch
from sklearn.linear_model import LogisticRegression
from sklearn.neighbors import NearestNeighbors
from sklearn.preprocessing import StandardScaler
from sklearn.semi_supervised import LabelSpreading, SelfTrainingClassifier

from benchmarks import _quality_text, quality
from sklearn_ssl.finetune import FineTuneClassifier
from sklearn_ssl.training.runtime import N_THREADS

LABELS_PER_CLASS = (1, 5, 10, 100)
N_UNLABELED = (
    10_000  # rows that LabelSpreading and SelfTrainingClassifier get, the drawn ones apart
)
THRESHOLD = 0.9  # of confidence, in self-training on representations; chosen on training rows
RESULTS = quality.ROOT / "build" / "few_labels"
REPORT = quality.ROOT / "doc" / "few_labels_table.md"

# For each kind of data, the method that doc/quality.md shows best at ten labels per class.
BEST_DEFAULT = {"image": "vicreg", "table": "vime", "series": "simclr", "text": "causal_lm"}
TEXT_SETTINGS = {"dropout": 0.0, "max_epochs": 2}  # of the fit that quality.py has kept

DATA_SETS = {
    "digits": "digits and pool",
    "penbased": "penbased",
    "penbased_series": "pen trajectories",
    "letter": "letter",
    "uci_sentences": "UCI sentences",
    "adult": "Adult",
    "imdb": "IMDb",
    "fashion": "Fashion-MNIST",
}


# Rows ---------------------------------------------------------------------------------------------


def load(name):
    """Return a data set of quality.py, with our labels per class; texts are a plain tuple."""
    if quality.MODALITY[name] == "text":
        return _quality_text.load(name, validation=False)
    return replace(quality.DATA_SETS[name](), labels_per_class=LABELS_PER_CLASS)


def labelled_and_scored(name, data):
    """Return the rows that labels are drawn from, and those that are scored: ``(X, y)`` twice."""
    if quality.MODALITY[name] != "text":
        return quality.rows_for_probe(data, validation=False)
    texts, scored, y, y_scored = data
    n = _quality_text.N_LABELLED
    return (texts[:n], y[:n]), (scored, y_scored)


def features(name, data, transformer=None):
    """Return features of training rows, and of those to be scored: the raw ones by default.

    The first training rows are those that labels are drawn from.
    """
    if quality.MODALITY[name] == "text":
        return _quality_text.tfidf(*data[:2])
    (X, _), (X_scored, _) = quality.rows_for_probe(data, validation=False)
    encode = transformer or quality.raw_features(data, {})
    Z, Z_scored = encode.transform(X), encode.transform(X_scored)
    if data.X_unlabeled is not None:
        Z = np.concatenate([Z, encode.transform(data.X_unlabeled)])
    return _quality_text.scaled(Z, Z_scored)


def over_draws(answers, y, y_scored, labels_per_class=None):
    """Score answers after each draw, as quality.py does, with the labels per class of this page."""
    return quality.over_draws(answers, y, y_scored, LABELS_PER_CLASS)


# Methods: each takes the name of a data set and the set, and returns scores and facts -------------


def raw(name, data):
    if quality.MODALITY[name] == "text":
        return _measure_text(name, "raw")
    return _probe(quality.raw_features(data, {}), data)


def pca(name, data):
    if quality.MODALITY[name] == "text":
        return _measure_text(name, "pca")
    return _probe(quality.pca(data, {}), data)


def label_spreading(name, data):
    return _with_unlabeled(_label_spreading(), name, data, features(name, data))


def self_training(name, data):
    classifier = SelfTrainingClassifier(LogisticRegression(max_iter=1000))
    return _with_unlabeled(classifier, name, data, features(name, data))


def trees(name, data):
    """Boosted trees on rows as they are; on the SVD of texts, for they take no sparse matrix."""
    labelled, scored = labelled_and_scored(name, data)
    if quality.MODALITY[name] == "text":
        Z, Z_scored = _quality_text.svd(*_quality_text.tfidf(*data[:2]))
        labelled, scored = (Z, labelled[1]), (Z_scored, scored[1])
    elif not hasattr(labelled[0], "columns"):
        labelled, scored = ((X.reshape(len(X), -1), y) for X, y in (labelled, scored))

    def answers(rows, draw):
        classifier = quality.boosted_trees(quality._take(labelled[0], rows), labelled[1][rows])
        return classifier.predict(scored[0])

    return over_draws(answers, labelled[1], scored[1])


def frozen(name, data):
    """The same LogisticRegression on what the encoder makes of the rows."""
    if quality.MODALITY[name] == "text":
        return _measure_text(name, "causal_lm", TEXT_SETTINGS)
    ssl, facts = encoder(name, data)
    return {**facts, **_probe(ssl, quality.filled_for(method_for(name), data))}


def beside_svd(name, data):
    """The same LogisticRegression on the embeddings of texts and the SVD of TF-IDF, side by side.

    All columns have a deviation of 1, or of about 1: none of the two was given a weight.
    """
    (texts, y), (scored, y_scored) = labelled_and_scored(name, data)
    ssl, _ = encoder(name, data)
    Z = StandardScaler().fit(learnt := ssl.transform(texts))
    parts = _quality_text.svd(*_quality_text.tfidf(*data[:2]))
    embedded = Z.transform(learnt), Z.transform(ssl.transform(scored))
    both = [np.hstack(pair) for pair in zip(parts, embedded)]
    return _quality_text.accuracies(*both, y, y_scored, over_draws)


def spreading(name, data):
    """LabelSpreading on what the encoder makes of the rows."""
    return _with_unlabeled(_label_spreading(), name, data, representation(name, data))


def self_trained(name, data):
    """SelfTrainingClassifier on what the encoder makes of the rows."""
    classifier = SelfTrainingClassifier(LogisticRegression(max_iter=1000), threshold=THRESHOLD)
    return _with_unlabeled(classifier, name, data, representation(name, data))


def representation(name, data):
    """Return what the encoder makes of training rows, without labels too, and of the scored."""
    ssl, _ = encoder(name, data)
    if quality.MODALITY[name] == "text":
        return _quality_text.scaled(ssl.transform(data[0][:N_UNLABELED]), ssl.transform(data[1]))
    return features(name, quality.filled_for(method_for(name), data), ssl)


def finetune(name, data):
    return _fine_tuned(name, data, "probe-then-full")


def finetune_full(name, data):
    return _fine_tuned(name, data, "full")


METHODS = {
    "raw": (raw, "LogisticRegression"),
    "pca": (pca, "PCA, LogisticRegression"),
    "label_spreading": (label_spreading, "LabelSpreading"),
    "self_training": (self_training, "SelfTrainingClassifier"),
    "trees": (trees, "HistGradientBoosting"),
    "frozen": (frozen, "{ours}, frozen"),
    "beside_svd": (beside_svd, "{ours}, frozen, beside the SVD"),
    "spreading": (spreading, "{ours}, frozen, LabelSpreading"),
    "self_trained": (self_trained, "{ours}, frozen, SelfTrainingClassifier"),
    "finetune": (finetune, "{ours}, probe, then fine-tuned"),
    "finetune_full": (finetune_full, "{ours}, fine-tuned"),
}
OURS = ("frozen", "beside_svd", "spreading", "self_trained", "finetune", "finetune_full")


def is_for(method, name):
    return method != "beside_svd" or quality.MODALITY[name] == "text"


def method_for(name):
    return BEST_DEFAULT[quality.MODALITY[name]]


def encoder(name, data):
    """Return the fitted transformer of a data set, and what is to be said of the fit."""
    method = method_for(name)
    if quality.MODALITY[name] == "text":
        folder = quality.RESULTS / "encoders"
        ssl, seconds = _quality_text.pretrained(method, TEXT_SETTINGS, False, folder)
        return ssl, {"seconds": seconds, "epochs": ssl.n_iter_}
    path = RESULTS / "encoders" / f"{name}.{method}.joblib"
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        fitted = quality.pretrain(method, quality.filled_for(method, data), {})
        unfinished = path.with_suffix(".part")
        joblib.dump(fitted, unfinished)
        unfinished.replace(path)
    return joblib.load(path)


def _probe(transformer, data):
    (X, y), (X_scored, y_scored) = quality.rows_for_probe(data, validation=False)
    embedded = (transformer.transform(X), y), (transformer.transform(X_scored), y_scored)
    return quality.probe(*embedded, LABELS_PER_CLASS)


def _measure_text(name, method, settings=None):
    folder = quality.RESULTS / "encoders"
    return _quality_text.measure(name, method, settings or {}, False, folder, over_draws)


def _label_spreading():
    return LabelSpreading(kernel=NearestGraph(), max_iter=100)


class NearestGraph:
    """The kernel "knn" of LabelSpreading, computed once for all draws that share their rows."""

    def __init__(self):
        self.graphs = {}

    def __call__(self, X, Y):
        key = joblib.hash((X, Y))
        if key not in self.graphs:
            graph = NearestNeighbors(n_neighbors=7).fit(X).kneighbors_graph(Y)
            self.graphs[key] = graph if Y is X else graph.T.tocsr()
        return self.graphs[key]


def _with_unlabeled(classifier, name, data, Z):
    """Return the scores of a classifier of scikit-learn that learns from unlabelled rows, too."""
    Z, Z_scored = Z
    (_, y), (_, y_scored) = labelled_and_scored(name, data)
    classes, targets = np.unique(y, return_inverse=True)
    n_rows = Z.shape[0]

    def answers(rows, draw):
        kept = np.union1d(rows, np.arange(min(n_rows, N_UNLABELED)))
        marked = np.full(n_rows, -1)
        marked[rows] = targets[rows]
        return classes[classifier.fit(Z[kept], marked[kept]).predict(Z_scored)]

    return over_draws(answers, y, y_scored)


def _fine_tuned(name, data, strategy):
    ssl, _ = encoder(name, data)
    if quality.MODALITY[name] != "text":
        data = quality.filled_for(method_for(name), data)
    (X, y), (X_scored, y_scored) = labelled_and_scored(name, data)
    unlabeled = X[:1000]  # the scale of the representation is taken from some of them

    def answers(rows, draw):
        drawn = [X[i] for i in rows] if isinstance(X, list) else quality._take(X, rows)
        classifier = FineTuneClassifier(ssl, strategy=strategy, random_state=draw)
        return classifier.fit(drawn, y[rows], X_unlabeled=unlabeled).predict(X_scored)

    return over_draws(answers, y, y_scored)


# Measuring ----------------------------------------------------------------------------------------


def measure(name, method, data):
    """Return the result of a method on a data set, ready to be written as JSON."""
    start = time.perf_counter()
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        scores = METHODS[method][0](name, data)
    return {
        **scores,
        "data": name,
        "method": method,
        "wall": time.perf_counter() - start,
        "threads": N_THREADS,
        "cpu": torch.backends.cpu.get_cpu_capability(),
        "warnings": sorted({f"{w.category.__name__}: {w.message}" for w in caught}),
    }


def result_path(folder, name, method):
    return folder / f"{name}.{method}.json"


def measure_all(pairs, options):
    """Measure pairs of a data set and a method, but those measured before."""
    loaded = None, None  # the last data set
    for name, method in pairs:
        path = result_path(options.results, name, method)
        if path.exists() and not options.force:
            continue
        if loaded[0] != name:
            loaded = name, load(name)
        try:
            result = measure(name, method, loaded[1])
        except Exception as error:  # the others go on
            print(f"{path.name} FAILED. {type(error).__name__}: {error}", flush=True)
            continue
        quality.write_result(path, result)
        means = ", ".join(f"{k}: {np.mean(a):.3f}" for k, a in result["accuracies"].items())
        print(f"{path.name}: {means}, {result['wall']:.0f} s", flush=True)
        for text in result["warnings"]:
            print(f"{path.name} warned. {text}", file=sys.stderr, flush=True)


# The report ---------------------------------------------------------------------------------------


INTRODUCTION = f"""# Few labels, compared

Accuracy on held-out rows with 1, 5, 10 and 100 labels per class: mean ± standard deviation over
{quality.N_DRAWS} draws of the labels, the same for all methods. The best mean of each column is
bold. Data sets and splits are those of [quality](quality.md).

- *LogisticRegression*, *PCA* and the *frozen* encoder share one classifier, at the same penalty.
  Raw features are pixels, coordinates, standardised columns with categories one-hot, and TF-IDF of
  texts; PCA has 128 components at most, which only turns rows that are no longer than that, and
  is `TruncatedSVD` for texts.
- *LabelSpreading* (`kernel="knn"`) and *SelfTrainingClassifier* (of `LogisticRegression`) see the
  raw features of the training rows without labels too, of {N_UNLABELED:,} at most: the first ones.
- *HistGradientBoosting* is given the labelled rows as they are, categories and missing numbers
  included, and the SVD of texts. Its leaves have a twentieth of the labelled rows, 20 at most.
- *Frozen, LabelSpreading* and *frozen, SelfTrainingClassifier* are these classifiers on the
  representation in place of raw features; self-training takes its own answers for labels from a
  confidence of {THRESHOLD} on, chosen on training rows. Raw features have its default, 0.75.
- Ours is the one method for each kind of data that the page about quality shows best at ten labels
  a class: VICReg for images, VIME for tables, SimCLR for series, and for texts a causal language
  model, pretrained on the training texts of three sets. It is fitted once for each data set, at its
  defaults, on the training rows without labels. That page was measured on the same held-out rows:
  the choice among methods favours ours a little.
- *Fine-tuned* is `FineTuneClassifier` at its defaults, with that fitted encoder and
  `strategy="full"`; *probe, then fine-tuned* is its default strategy.

Measured by `python -m benchmarks.few_labels` and written by
`python -m benchmarks.few_labels --report`. Threads: {{threads}}; processor: {{cpu}}.
"""


TREES = """With 1,000 labels per class of Adult, trees and even a logistic regression on plain
columns are ahead of a frozen network, as the example of tables shows; from some hundred labels
on, try them first. With 1 to 100 labels per class, *HistGradientBoosting* is ahead of all
of ours on"""
RECIPES = ("beside the SVD", "frozen, SelfTrainingClassifier")
VERDICTS = """The best row of ours beside the best of scikit-learn's, picked by the means above.
In brackets one recipe for each kind of data in place of the best row: `SelfTrainingClassifier` on
the frozen encoder, and for texts `LogisticRegression` on the embedding beside the SVD.
"""


def title(name, method):
    words = METHODS[method][1].format(ours=quality.TITLES[method_for(name)])
    if quality.MODALITY[name] == "text":
        words = words.replace("PCA", "SVD")
        words += ", alone" if method == "frozen" else ""
    return words


def read_results(folder, names, methods):
    """Return the results that are there, by data set and method; name the others."""
    results = {}
    for name in names:
        for method in filter(lambda method: is_for(method, name), methods):
            path = result_path(folder, name, method)
            if path.exists():
                results[name, method] = json.loads(path.read_text())
            else:
                print(f"not measured yet: --data {name} --methods {method}", file=sys.stderr)
    return results


def scored_rows(name, results, kind="accuracies"):
    """Return what one data set has to show: ``{title: (whether ours, {k: scores})}``."""
    rows = {}
    for method in METHODS:
        result = results.get((name, method))
        if result is None:
            continue
        rows[title(name, method)] = method in OURS, result[kind]
        if method == "frozen" and "beside" in result:
            words = title(name, method).replace("alone", "beside TF-IDF")
            rows[words] = True, result["beside"][kind]
    return rows


def table_rows(caption, rows):
    """Return lines of cells, the best mean of each column bold."""
    means = {(t, k): np.mean(a) for t, (_, scores) in rows.items() for k, a in scores.items()}
    labels = [str(k) for k in LABELS_PER_CLASS]
    best = {k: max(means[t, k] for t in rows) for k in labels}
    lines = []
    for i, (words, (_, scores)) in enumerate(rows.items()):
        cells = []
        for k in labels:
            mean = f"{means[words, k]:.3f}"
            is_best = mean == f"{best[k]:.3f}"
            cells.append(f"**{mean}** ± {np.std(scores[k]):.3f}" if is_best else _cell(scores[k]))
        lines.append([caption if i == 0 else "", words, *cells])
    return lines


def _cell(scores):
    return f"{np.mean(scores):.3f} ± {np.std(scores):.3f}"


def verdict(caption, rows, k="10"):
    """Say who leads with k labels per class, and by how much."""
    best = {}
    for ours in (True, False):
        means = {t: np.mean(s[k]) for t, (is_ours, s) in rows.items() if is_ours == ours}
        if not means:
            return None
        best[ours] = max(means.items(), key=lambda item: item[1])
    (our_title, our_mean), (their_title, their_mean) = best[True], best[False]
    points = 100 * (our_mean - their_mean)
    leads = "leads" if points > 0 else "is behind" if points < 0 else "is level"
    recipes = [t for t, (is_ours, _) in rows.items() if is_ours and t.endswith(RECIPES)]
    aheads = [f" ({100 * (np.mean(rows[t][1][k]) - their_mean):+.1f})" for t in recipes[:1]]
    return (
        f"- {caption}: {our_title} {leads}, {points:+.1f} points against {their_title}"
        f"{''.join(aheads)}."
    )


def about_trees(groups):
    """Say where boosted trees are ahead of all of ours."""
    ahead = []
    for caption, rows in groups:
        for k in map(str, LABELS_PER_CLASS):
            ours = [np.mean(scores[k]) for is_ours, scores in rows.values() if is_ours]
            trees = [np.mean(s[k]) for t, (_, s) in rows.items() if t == METHODS["trees"][1]]
            if ours and trees and trees[0] > max(ours):
                ahead.append(f"{caption} with {k} per class")
    where = "; ".join(ahead) if ahead else "none of these tables"
    return f"{TREES}: {where}."


def report(results):
    names = [name for name in DATA_SETS if any(name == data for data, _ in results)]
    groups = [(DATA_SETS[name], scored_rows(name, results)) for name in names]
    groups += [
        (f"{DATA_SETS[name]}, balanced accuracy", scored_rows(name, results, "balanced_accuracies"))
        for name in names
        if name in quality.IMBALANCED
    ]
    facts = {
        key: " and ".join(sorted({str(result[key]) for result in results.values()}))
        for key in ("threads", "cpu")
    }
    lines = ["", "## The table", ""]
    header = ["", "labels per class", *map(str, LABELS_PER_CLASS)]
    table = [row for group in groups for row in table_rows(*group)]
    lines += quality.table_lines(header, table)
    verdicts = [verdict(*group) for group in groups]
    if any(verdicts):
        lines += ["## With ten labels per class", "", VERDICTS, *filter(None, verdicts), ""]
        tables = [
            group for name, group in zip(names, groups) if quality.MODALITY[name] == "table"
        ] + groups[len(names) :]
        lines += ["## Trees on tables", "", about_trees(tables), ""]
    missing = [(n, m) for n in names for m in METHODS if is_for(m, n) and (n, m) not in results]
    if missing:
        words = "; ".join(f"{title(n, m)}, on {DATA_SETS[n]}" for n, m in missing)
        lines += [f"Not measured yet: {words}.", ""]
    return INTRODUCTION.format(**facts) + "\n".join(lines)


# Command line -------------------------------------------------------------------------------------


def parse_options():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--methods", nargs="+", choices=METHODS, default=list(METHODS))
    parser.add_argument("--data", nargs="+", choices=DATA_SETS, default=list(DATA_SETS))
    parser.add_argument("--force", action="store_true", help="measure again what was measured")
    parser.add_argument("--report", action="store_true", help="print a part, or write the whole")
    parser.add_argument("--results", type=Path, default=RESULTS, help="folder of the results")
    return parser.parse_args()


def main():
    options = parse_options()
    if not options.report:
        pairs = [(name, m) for name in options.data for m in options.methods if is_for(m, name)]
        measure_all(pairs, options)
        return
    text = report(read_results(options.results, options.data, options.methods))
    if {*options.data, *options.methods} == {*DATA_SETS, *METHODS}:
        REPORT.write_text(text)
    else:
        print(text)


if __name__ == "__main__":
    main()
