"""Few labels that are numbers: FineTuneRegressor beside linear models and trees.

    python -m benchmarks.regression                                      # all that is missing
    python -m benchmarks.regression --data diabetes --methods probe      # or a part of it
    python -m benchmarks.regression --validation                         # to choose a setting by
    python -m benchmarks.regression --report                             # doc/regression_table.md

Each pair of a data set and a method is a small file in build/regression/ as soon as it is measured,
and an encoder is fitted once for each data set, so that runs may be interrupted. All of it takes
about a quarter of an hour on one core.
"""

import argparse
import json
import sys
import time
import warnings
from dataclasses import dataclass
from pathlib import Path

import joblib
import numpy as np
import torch
from sklearn.compose import make_column_selector, make_column_transformer
from sklearn.datasets import load_diabetes
from sklearn.decomposition import TruncatedSVD
from sklearn.ensemble import HistGradientBoostingRegressor
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.impute import SimpleImputer
from sklearn.linear_model import RidgeCV
from sklearn.metrics import mean_absolute_error, r2_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, OneHotEncoder, StandardScaler
from sklearn.utils import _safe_indexing

from benchmarks.datasets import (
    load_adult,
    load_california,
    load_clothing_reviews,
    load_keel_table,
)
from benchmarks.quality import ROOT, _flat, table_lines, write_result
from sklearn_ssl import CausalLMEmbedder, FineTuneRegressor, SimCLRTransformer, VIMETransformer
from sklearn_ssl.training.runtime import N_THREADS

N_LABELS = (20, 60, 200)
N_DRAWS = 5
MOST_SCORED = 2_000
ALPHAS = np.logspace(-2, 4, 13)
RESULTS = ROOT / "build" / "regression"
REPORT = ROOT / "doc" / "regression_table.md"


# Data sets ----------------------------------------------------------------------------------------


@dataclass
class DataSet:
    """Rows to pretrain on, from which labels are drawn, rows to score, and what encodes them."""

    X: object
    y: np.ndarray
    X_test: object
    y_test: np.ndarray
    transformer: object


def diabetes():
    return _split(*load_diabetes(return_X_y=True), VIMETransformer(random_state=0), n_test=142)


def california():
    return _split(*load_california(), VIMETransformer(random_state=0))


def adult_age():
    X, income = load_adult()
    return _split(
        X.drop(columns="age").assign(income=income).astype({"income": "category"}),
        X["age"].to_numpy(float),
        VIMETransformer(random_state=0),
    )


def pen_end():
    """Where does a stroke end? Its last height, after seven points of two coordinates."""
    points = load_keel_table("penbased")[0].reshape(-1, 8, 2)
    X = points[:, :7].transpose(0, 2, 1)  # [n, coordinate, time]
    ssl = SimCLRTransformer(modality="series", max_epochs=20, random_state=0)
    return _split(X, points[:, 7, 1], ssl)


def clothing_titles():
    """How many stars stand beside the title of a review?"""
    titles, stars = load_clothing_reviews("title")
    ssl = CausalLMEmbedder(width=64, max_epochs=20, random_state=0)
    return _split(titles, stars.astype(float), ssl, n_test=1_000, most=10_000)


DATA_SETS = {
    "diabetes": (diabetes, "diabetes"),
    "california": (california, "California housing"),
    "adult_age": (adult_age, "Adult, age"),
    "pen_end": (pen_end, "pen trajectories, last height"),
    "clothing": (clothing_titles, "titles of reviews, stars"),
}


def _split(X, y, transformer, n_test=MOST_SCORED, most=None):
    order = np.random.default_rng(0).permutation(len(y))[:most]
    test, train = order[:n_test], order[n_test:]
    return DataSet(_take(X, train), y[train], _take(X, test), y[test], transformer)


def _take(X, rows):
    return _safe_indexing(X, rows)


def draws(data, n_labels, validation):
    """Yield a seed, the places of the labeled rows, and the rows and numbers to score."""
    for draw in range(N_DRAWS):
        order = np.random.default_rng(draw).permutation(len(data.y))
        labeled, others = order[:n_labels], order[n_labels:][: len(data.y_test)]
        if validation:
            yield draw, labeled, _take(data.X, others), data.y[others]
        else:
            yield draw, labeled, data.X_test, data.y_test


# Methods: each returns a function that fits on labeled rows and predicts -------------------------


def ridge(name, data, results):
    encode = _raw(data).fit(data.X)

    def predict(X, y, X_scored, draw):
        head = RidgeCV(alphas=ALPHAS).fit(encode.transform(X), y)
        return head.predict(encode.transform(X_scored))

    return predict


def trees(name, data, results):
    if isinstance(data.X, list):
        svd = make_pipeline(TfidfVectorizer(), TruncatedSVD(100, random_state=0)).fit(data.X)
        encode = svd.transform
    else:
        encode = (lambda X: X) if hasattr(data.X, "columns") else _flat

    def predict(X, y, X_scored, draw):
        leaf = int(np.clip(len(y) // 20, 1, 20))
        model = HistGradientBoostingRegressor(min_samples_leaf=leaf, random_state=0)
        return model.fit(encode(X), y).predict(encode(X_scored))

    return predict


def probe(name, data, results):
    return _fine_tuned(name, data, results, "probe")


def then_full(name, data, results):
    return _fine_tuned(name, data, results, "probe-then-full")


def full(name, data, results):
    return _fine_tuned(name, data, results, "full")


METHODS = {
    "ridge": (ridge, "Ridge on raw columns"),
    "trees": (trees, "HistGradientBoosting"),
    "probe": (probe, "{ours}, probe: the default"),
    "then_full": (then_full, "{ours}, probe, then fine-tuned"),
    "full": (full, "{ours}, fine-tuned"),
}


def _raw(data):
    if isinstance(data.X, list):
        return TfidfVectorizer(sublinear_tf=True)
    if hasattr(data.X, "columns"):
        is_category = make_column_selector(dtype_exclude="number")
        return make_column_transformer(
            (OneHotEncoder(handle_unknown="ignore", sparse_output=False), is_category),
            remainder=make_pipeline(StandardScaler(), SimpleImputer(add_indicator=True)),
        )
    return make_pipeline(FunctionTransformer(_flat), StandardScaler())


def encoder(name, data, results):
    """Return the fitted transformer of a data set."""
    path = results / "encoders" / f"{name}.joblib"
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        start = time.perf_counter()
        fitted = data.transformer.fit(data.X)
        unfinished = path.with_suffix(".part")
        joblib.dump((fitted, time.perf_counter() - start), unfinished)
        unfinished.replace(path)
    return joblib.load(path)[0]


def _fine_tuned(name, data, results, strategy):
    ssl = encoder(name, data, results)
    unlabeled = _take(data.X, np.arange(min(1000, len(data.y))))  # for the scale of representations

    def predict(X, y, X_scored, draw):
        regressor = FineTuneRegressor(ssl, strategy=strategy, random_state=draw)
        return regressor.fit(X, y, X_unlabeled=unlabeled).predict(X_scored)

    return predict


# Measuring ----------------------------------------------------------------------------------------


def measure(name, method, data, options):
    """Return the result of a method on a data set, ready to be written as JSON."""
    start = time.perf_counter()
    scores = {"r2": {}, "error": {}}
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        predict = METHODS[method][0](name, data, options.results)
        for k in N_LABELS:
            pairs = [
                (y, predict(_take(data.X, rows), data.y[rows], X, draw))
                for draw, rows, X, y in draws(data, k, options.validation)
            ]
            scores["r2"][k] = [r2_score(*pair) for pair in pairs]
            scores["error"][k] = [mean_absolute_error(*pair) for pair in pairs]
    return {
        **scores,
        "data": name,
        "method": method,
        "wall": time.perf_counter() - start,
        "threads": N_THREADS,
        "cpu": torch.backends.cpu.get_cpu_capability(),
        "warnings": sorted({f"{w.category.__name__}: {w.message}" for w in caught}),
    }


def result_path(options, name, method):
    kind = ".validation" if options.validation else ""
    return options.results / f"{name}.{method}{kind}.json"


def measure_all(options):
    """Measure what was not measured before."""
    for name in options.data:
        missing = [
            (method, path)
            for method in options.methods
            if options.force or not (path := result_path(options, name, method)).exists()
        ]
        data = DATA_SETS[name][0]() if missing else None
        for method, path in missing:
            result = measure(name, method, data, options)
            write_result(path, result)
            means = ", ".join(f"{k}: {np.mean(a):.3f}" for k, a in result["r2"].items())
            print(f"{path.name}: {means}, {result['wall']:.0f} s", flush=True)
            for text in result["warnings"]:
                print(f"{path.name} warned. {text}", file=sys.stderr, flush=True)


# The report ---------------------------------------------------------------------------------------


INTRODUCTION = f"""# Numbers from few labels, compared

R² and mean absolute error on held-out rows with 20, 60 and 200 labels that are numbers: mean ±
standard deviation over {N_DRAWS} draws of the labels, the same for all methods. The best mean of
each column is bold.

- *Ridge on raw columns* is `RidgeCV` on standardized columns with categories one-hot, on flat
  series, and on TF-IDF of texts. *HistGradientBoosting* is given the rows as they are, and the
  SVD of TF-IDF. Its leaves have a twentieth of the labeled rows, 20 at most.
- *Probe*, *probe, then fine-tuned* and *fine-tuned* are `FineTuneRegressor` with its three
  strategies, on one encoder for each data set. It is fitted on all training rows without labels:
  VIME for tables, SimCLR for series (20 epochs), and for texts a causal language model (20 epochs).
- The learning rate and the default strategy were chosen on the first four sets, by training rows
  whose labels were not drawn (`--validation`); their rows of these tables were looked at once. The
  reviews themselves, in place of their titles, were given up for time, after a probe on them had
  shown an R² of 0.

Measured by `python -m benchmarks.regression` and written by
`python -m benchmarks.regression --report`. Threads: {{threads}}; processor: {{cpu}}.
"""


def read_results(options):
    """Return the results that are there, by data set and method; name the others."""
    results = {}
    for name in options.data:
        for method in options.methods:
            path = result_path(options, name, method)
            if path.exists():
                results[name, method] = json.loads(path.read_text())
            else:
                print(f"not measured yet: --data {name} --methods {method}", file=sys.stderr)
    return results


def table(results, kind, best_of):
    """Return the lines of the table of one score, the best mean of each column bold."""
    header = ["", "labels", *map(str, N_LABELS)]
    lines = []
    for name in dict.fromkeys(name for name, _ in results):
        rows = {method: result[kind] for (data, method), result in results.items() if data == name}
        best = {
            str(k): best_of(np.mean(scores[str(k)]) for scores in rows.values()) for k in N_LABELS
        }
        for i, (method, scores) in enumerate(rows.items()):
            cells = [_cell(scores[k], best[k]) for k in map(str, N_LABELS)]
            lines.append([DATA_SETS[name][1] if i == 0 else "", title(name, method), *cells])
    return table_lines(header, lines)


def title(name, method):
    ours = {"pen_end": "SimCLR", "clothing": "causal language model"}.get(name, "VIME")
    return METHODS[method][1].format(ours=ours)


def _cell(scores, best):
    mean = f"{np.mean(scores):.3f}"
    mean = f"**{mean}**" if mean == f"{best:.3f}" else mean
    return f"{mean} ± {np.std(scores):.3f}"


def beside_the_probe(results):
    """Say how often fine-tuning is ahead of its probe, and how far behind it is at worst."""
    gains = [
        new - old
        for name in DATA_SETS
        if {(name, "then_full"), (name, "probe")} <= set(results)
        for k in map(str, N_LABELS)
        for new, old in zip(results[name, "then_full"]["r2"][k], results[name, "probe"]["r2"][k])
    ]
    return (
        f"Of {len(gains)} probes that were then fine-tuned, {sum(gain > 0 for gain in gains)} "
        f"became better. R² changed by {np.mean(gains):+.3f} in the mean, {max(gains):+.3f} at\n"
        f"best and {min(gains):+.3f} at worst."
    )


def report(results):
    facts = {
        key: ", ".join(sorted({str(result[key]) for result in results.values()}))
        for key in ("threads", "cpu")
    }
    return "\n".join(
        [
            INTRODUCTION.format(**facts),
            beside_the_probe(results),
            "\n## R²\n",
            *table(results, "r2", max),
            "\n## Mean absolute error\n",
            "In the units of the labels: the progress of a disease, 100,000 dollars, years, a "
            "height of 0\nto 100, stars.\n",
            *table(results, "error", min),
            "",
        ]
    )


def parse_options():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", nargs="+", choices=DATA_SETS, default=list(DATA_SETS))
    parser.add_argument("--methods", nargs="+", choices=METHODS, default=list(METHODS))
    parser.add_argument("--validation", action="store_true", help="score other training rows")
    parser.add_argument("--force", action="store_true", help="measure again what was measured")
    parser.add_argument("--report", action="store_true", help="write the page")
    parser.add_argument("--results", type=Path, default=RESULTS, help="folder of the results")
    return parser.parse_args()


def main():
    options = parse_options()
    if options.report:
        REPORT.write_text(report(read_results(options)))
    else:
        measure_all(options)


if __name__ == "__main__":
    main()
