"""Few-label accuracy of every method, at its defaults and beside what has to be beaten.

An encoder is fitted on unlabelled training rows. The same LogisticRegression then gets k labels per
class, in five draws, and is scored on the held-out part.

    python -m benchmarks.quality                                   # measure all that is missing
    python -m benchmarks.quality --methods simclr --data digits    # or a part of it
    python -m benchmarks.quality --report                          # write doc/quality.md

Each pair of a data set and a method is a small file in build/quality/ as soon as it is measured,
so that runs may be interrupted, and several may go on side by side. Settings are to be chosen on
training rows alone:

    python -m benchmarks.quality --methods simclr --data digits --validation --set temperature=0.3
    python -m benchmarks.quality --methods simclr --data digits --validation --report
"""

import argparse
import ast
import copy
import json
import os
import re
import sys
import time
import warnings
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import torch
from sklearn.compose import make_column_selector, make_column_transformer
from sklearn.datasets import load_breast_cancer, load_digits
from sklearn.decomposition import PCA
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import accuracy_score, balanced_accuracy_score
from sklearn.model_selection import train_test_split
from sklearn.neighbors import KNeighborsClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, OneHotEncoder, StandardScaler

from benchmarks import _quality_text
from benchmarks.datasets import (
    load_adult,
    load_fashion_mnist,
    load_keel_table,
    load_optdigits_pool,
    load_photo_patches,
    load_ucr_series,
)
from sklearn_ssl import (
    BarlowTwinsTransformer,
    BYOLTransformer,
    DINOTransformer,
    LeJEPATransformer,
    MaskedAutoencoder,
    MoCoTransformer,
    MoCoV3Transformer,
    NextFrameEmbedder,
    SCARFTransformer,
    SimCLRTransformer,
    SimSiamTransformer,
    SwAVTransformer,
    TS2VecTransformer,
    VICRegTransformer,
    VIMETransformer,
)
from sklearn_ssl.semi_supervised import draw_labels
from sklearn_ssl.training.runtime import N_THREADS, seeded_global_stream, torch_settings

N_DRAWS = 5
ROOT = Path(__file__).parents[1]
RESULTS = ROOT / "build" / "quality"
REPORT = ROOT / "doc" / "quality.md"

METHODS = {
    "simclr": SimCLRTransformer,
    "moco": MoCoTransformer,
    "moco_v3": MoCoV3Transformer,
    "byol": BYOLTransformer,
    "simsiam": SimSiamTransformer,
    "barlow_twins": BarlowTwinsTransformer,
    "vicreg": VICRegTransformer,
    "swav": SwAVTransformer,
    "dino": DINOTransformer,
    "lejepa": LeJEPATransformer,
    "mae": MaskedAutoencoder,
    "scarf": SCARFTransformer,
    "vime": VIMETransformer,
    "next_frame": NextFrameEmbedder,
    "ts2vec": TS2VecTransformer,
    **_quality_text.METHODS,
}
ALL = "all"  # of the labels, in place of a number for each class


# Data sets ----------------------------------------------------------------------------------------


@dataclass
class DataSet:
    X_train: object  # array or DataFrame
    X_test: object
    y_train: np.ndarray
    y_test: np.ndarray
    labels_per_class: tuple
    settings: dict = field(default_factory=dict)  # parameters that say how X is read
    X_unlabeled: np.ndarray | None = None

    def settings_of(self, Estimator):
        """Return the settings that an estimator has; one for series only is told nothing."""
        known = Estimator().get_params()
        return {name: value for name, value in self.settings.items() if name in known}


def digits():
    """Train on two thirds of load_digits and the 3,823 images that it leaves out."""
    X, y = load_digits(return_X_y=True)
    split = train_test_split(X, y, test_size=597, stratify=y, random_state=0)
    return DataSet(*split, (1, 5, 10), {"image_shape": (8, 8)}, load_optdigits_pool())


def fashion():
    X_train, y_train = load_fashion_mnist(train=True)
    X_test, y_test = load_fashion_mnist(train=False)
    X_train, X_test = X_train.reshape(-1, 784), X_test.reshape(-1, 784)
    return DataSet(X_train, X_test, y_train, y_test, (1, 10, 100), {"image_shape": (28, 28)})


def photos():
    X_train, y_train = load_photo_patches(train=True)
    X_test, y_test = load_photo_patches(train=False)
    return DataSet(X_train, X_test, y_train, y_test, (1, 5, 20))


def letter():
    return DataSet(*_split(*load_keel_table("letter")), (5, 10, 50))


def adult():
    """Numbers, categories, and holes; a quarter of the rows has the rarer class."""
    return DataSet(*_split(*load_adult()), (10, 50, ALL))


def breast_cancer():
    return DataSet(*_split(*load_breast_cancer(return_X_y=True)), (1, 5, 10))


def penbased():
    return DataSet(*_split(*load_keel_table("penbased")), (5, 10, 50))


def penbased_series():
    """Read the same numbers as trajectories: x and y at eight points of time."""
    X, y = load_keel_table("penbased")
    trajectories = np.moveaxis(X.reshape(-1, 8, 2), 1, 2)  # [n, time, 2] -> [n, 2, time]
    return DataSet(*_split(trajectories, y), (5, 10, 50), {"modality": "series"})


def gunpoint():
    return _ucr("GunPoint", (1, 5, ALL))


def italy_power_demand():
    return _ucr("ItalyPowerDemand", (1, 5, ALL))


def japanese_vowels():
    return _ucr("JapaneseVowels", (1, 5, ALL))


def _ucr(name, labels_per_class):
    X_train, y_train = load_ucr_series(name, train=True)
    X_test, y_test = load_ucr_series(name, train=False)
    settings = {"modality": "series"}
    return DataSet(X_train, X_test, y_train, y_test, labels_per_class, settings)


def _split(X, y):
    return train_test_split(X, y, test_size=0.25, stratify=y, random_state=0)


OF_MODALITY = {
    "text": tuple(_quality_text.DATA_SETS.values()),
    "image": (digits, fashion, photos),
    "table": (letter, adult, breast_cancer, penbased),
    "series": (penbased_series, gunpoint, italy_power_demand, japanese_vowels),
}
DATA_SETS = {f.__name__: f for functions in OF_MODALITY.values() for f in functions}
MODALITY = {f.__name__: modality for modality in OF_MODALITY for f in OF_MODALITY[modality]}


def rows_for_probe(data, validation):
    """Return the rows that labels are drawn from, and those that are scored: ``(X, y)`` twice.

    With `validation` both are training rows, and no test row is touched.
    """
    X, y = data.X_train, data.y_train
    if not validation:
        return (X[:20_000], y[:20_000]), (data.X_test, data.y_test)
    n_labelled, n_scored = 20_000, 10_000
    if len(X) < n_labelled + n_scored:
        n_labelled = round(0.6 * len(X))
        n_scored = len(X) - n_labelled
    return (X[:n_labelled], y[:n_labelled]), (X[-n_scored:], y[-n_scored:])


# Baselines: each returns a fitted transformer -----------------------------------------------------


def raw_features(data, settings):
    """Flat rows; the columns of tables are standardised, pixels and trajectories are not.

    Categories are one-hot, and missing numbers the mean beside an indicator.
    """
    if hasattr(data.X_train, "columns"):
        is_category = make_column_selector(dtype_exclude="number")
        encode = make_column_transformer(
            (OneHotEncoder(handle_unknown="ignore", sparse_output=False), is_category),
            remainder=make_pipeline(StandardScaler(), SimpleImputer(add_indicator=True)),
        )
        return encode.fit(data.X_train[:20_000])
    is_table = not data.settings and data.X_train.ndim == 2
    scaler = StandardScaler(with_mean=is_table, with_std=is_table)
    flatten = FunctionTransformer(_flat)
    return make_pipeline(flatten, scaler, FunctionTransformer(np.nan_to_num)).fit(
        data.X_train[:20_000]
    )


def pca(data, settings):
    raw = raw_features(data, settings)
    width = min(*raw.transform(data.X_train[:500]).shape, 128)
    return make_pipeline(raw, PCA(width, random_state=0)).fit(data.X_train[:20_000])


def colour(data, settings):
    """Mean and deviation of each colour over a patch: what a look from afar tells."""
    return FunctionTransformer(lambda X: np.hstack([X.mean(axis=(1, 2)), X.std(axis=(1, 2))]))


def untrained(method, data, settings):
    """Let an epoch at no learning rate give the batch normalisation its statistics."""
    Estimator = METHODS[method]
    parameters = {**data.settings_of(Estimator), **settings, "max_epochs": 1, "lr": 1e-12}
    return Estimator(**parameters, random_state=0).fit(data.X_train)


def _flat(X):
    return X.reshape(len(X), -1)


def nearest_neighbour(X, y):
    return make_pipeline(
        FunctionTransformer(_flat), FunctionTransformer(np.nan_to_num), KNeighborsClassifier(1)
    ).fit(X, y)


def boosted_trees(X, y):
    """Histograms of gradient boosting at their defaults, but leaves that few rows can fill."""
    leaf = int(np.clip(len(X) // 20, 1, 20))
    return HistGradientBoostingClassifier(min_samples_leaf=leaf, random_state=0).fit(X, y)


BASELINES = {"raw": raw_features, "pca": pca, "colour": colour}
UNTRAINED = {  # and whose encoder it is
    "untrained": "simclr",
    "untrained_mae": "mae",
    "untrained_next_frame": "next_frame",
    "untrained_ts2vec": "ts2vec",
}
# Of these there is no representation, but a classifier of the drawn rows.
CLASSIFIERS = {"1nn": nearest_neighbour, "trees": boosted_trees}
NETWORKS = {"supervised": "simclr", "supervised_mae": "mae"}  # whose network gets the labels alone
VEHICLES = {**UNTRAINED, **NETWORKS}
OF_TEXTS = ("untrained_masked_lm", "untrained_causal_lm", "minilm")  # made in _quality_text.py
OTHERS = (*BASELINES, *UNTRAINED, *CLASSIFIERS, *NETWORKS, *OF_TEXTS)
TITLES = {
    "raw": "raw features",
    "pca": "PCA, at most 128 components",
    "colour": "mean and deviation of the colours",
    "untrained": "untrained encoder",
    "untrained_mae": "untrained encoder of MaskedAutoencoder",
    "untrained_next_frame": "untrained encoder of NextFrame",
    "untrained_ts2vec": "untrained encoder of TS2Vec",
    "1nn": "nearest neighbour, raw values",
    "trees": "HistGradientBoosting",
    "supervised": "same network, the labels alone",
    "supervised_mae": "network of MaskedAutoencoder, the labels alone",
    "untrained_masked_lm": "untrained encoder of MaskedLM",
    "untrained_causal_lm": "untrained encoder of CausalLM",
    "minilm": "MiniLM, pretrained elsewhere",
    **{
        name: re.sub("(Transformer|Embedder)$", "", method.__name__)
        for name, method in METHODS.items()
    },
}
IMBALANCED = ("adult",)  # data sets of which the balanced accuracy is reported, too
FINE_TUNED = ("mae",)  # methods of which the whole network is trained with the labels, too


def is_for(method, name):
    """Whether a method or a baseline takes a data set."""
    modality = MODALITY[name]
    if method in METHODS:
        return modality in METHODS[method]._modalities
    if modality == "text" or method in OF_TEXTS:
        return modality == "text" and method in ("raw", "pca", *OF_TEXTS)
    others = {
        "colour": name == "photos",
        "untrained_next_frame": modality == "series",
        "untrained_ts2vec": modality == "series",
        "1nn": modality == "series",
        "trees": modality == "table",
        "supervised_mae": modality == "image",
    }
    return others.get(method, True)


# Measuring ----------------------------------------------------------------------------------------


def probe(labelled, scored, labels_per_class):
    """Return the scores of logistic regressions on few labelled rows, see :func:`over_draws`."""
    (Z_labelled, y_labelled), (Z_scored, y_scored) = labelled, scored
    # One factor for all columns: the penalty weighs every representation alike, and directions
    # that hardly vary stay small.
    mean, deviation = Z_labelled.mean(axis=0), Z_labelled.std(axis=0)
    scale = np.sqrt(np.mean(deviation**2))
    Z_labelled, Z_scored = (Z_labelled - mean) / scale, (Z_scored - mean) / scale

    def answers(rows, draw):
        # The penalty does not see rotations, and the weights lie in the span of the labelled rows:
        # there the same fit is many times quicker.
        span = np.linalg.svd(Z_labelled[rows], full_matrices=False)[2].T
        classifier = LogisticRegression(max_iter=10_000)
        classifier.fit(Z_labelled[rows] @ span, y_labelled[rows])
        return classifier.predict(Z_scored @ span)

    return over_draws(answers, y_labelled, y_scored, labels_per_class)


def classify(fit, data, labelled, scored):
    """Return the same of a classifier of rows as they are."""
    (X_labelled, y_labelled), (X_scored, y_scored) = labelled, scored

    def answers(rows, draw):
        return fit(_take(X_labelled, rows), y_labelled[rows]).predict(X_scored)

    return over_draws(answers, y_labelled, y_scored, data.labels_per_class)


def train_whole(vehicle, data, labelled, scored, *, pretrained):
    """Return the same of the network of an encoder, all of it trained on the drawn labels.

    Parameters
    ----------
    vehicle : estimator
        A fitted one, whose encoder it is.
    pretrained : bool
        Whether to start from its weights, or from new ones.
    """
    (X_labelled, y_labelled), (X_scored, y_scored) = labelled, scored
    classes, targets = np.unique(y_labelled, return_inverse=True)
    spec = vehicle.input_spec_
    X_labelled, X_scored = vehicle._check_rows(X_labelled), vehicle._check_rows(X_scored)

    def answers(rows, draw):
        with seeded_global_stream(draw), torch_settings():
            if pretrained:
                encoder = copy.deepcopy(vehicle.encoder_)
            else:
                encoder = vehicle._make_task(spec).encoder
            network = torch.nn.Sequential(
                encoder, torch.nn.Linear(encoder.output_dim, len(classes))
            )
            batch, target = spec.to_tensor(X_labelled[rows]), torch.from_numpy(targets[rows])
            _train_supervised(network, batch, target, n_steps=100)
            return classes[_answers(network, spec, X_scored)]

    return over_draws(answers, y_labelled, y_scored, data.labels_per_class)


def over_draws(answers, y, y_scored, labels_per_class):
    """Score the answers after each draw of labelled rows.

    Returns
    -------
    scores : dict
        "accuracies" and "balanced_accuracies", each ``{k: [score of each draw]}``.
    """
    scores = {"accuracies": {}, "balanced_accuracies": {}}
    for k in labels_per_class:
        draws = range(1 if k == ALL else N_DRAWS)
        rows = [np.arange(len(y)) if k == ALL else draw_labels(y, k, i) for i in draws]
        said = [answers(rows_of_draw, i) for i, rows_of_draw in zip(draws, rows)]
        scores["accuracies"][k] = [accuracy_score(y_scored, s) for s in said]
        scores["balanced_accuracies"][k] = [balanced_accuracy_score(y_scored, s) for s in said]
    return scores


def _take(X, rows):
    return X.iloc[rows] if hasattr(X, "iloc") else X[rows]


def _train_supervised(network, batch, target, n_steps):
    optimizer = torch.optim.AdamW(network.parameters(), lr=1e-3)
    for _ in range(n_steps):
        rows = torch.randperm(len(batch))[:256]
        loss = torch.nn.functional.cross_entropy(network(batch[rows]), target[rows])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()


@torch.inference_mode()
def _answers(network, spec, X):
    network.eval()
    starts = range(0, len(X), 1000)
    return torch.cat([network(spec.to_tensor(X[i : i + 1000])).argmax(1) for i in starts]).numpy()


def pretrain(method, data, settings):
    """Return a fitted estimator, and what is to be said of the fit."""
    Estimator = METHODS[method]
    ssl = Estimator(**{"random_state": 0, **data.settings_of(Estimator), **settings})
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        start = time.perf_counter()
        ssl.fit(data.X_train, X_unlabeled=data.X_unlabeled)
        seconds = time.perf_counter() - start
    facts = {
        "seconds": seconds,
        "epochs": ssl.n_iter_,
        "n_rows": ssl.input_spec_.n_samples,
        "device": next(ssl.encoder_.parameters()).device.type,
        "warnings": [f"{w.category.__name__}: {w.message}" for w in caught],
        "parameters": ssl.get_params(deep=False),
    }
    for name in ("embedding_std", "effective_rank"):
        if name in ssl.history_:
            facts[name] = ssl.history_[name][-1]
    return ssl, facts


def measure(name, data, method, settings, validation):
    """Return the result of a method on a data set, ready to be written as JSON."""
    data = filled_for(method, data)
    labelled, scored = rows_for_probe(data, validation)
    facts = {}
    if method in CLASSIFIERS:
        scores = classify(CLASSIFIERS[method], data, labelled, scored)
    elif method in NETWORKS:
        vehicle = untrained(NETWORKS[method], data, settings)
        scores = train_whole(vehicle, data, labelled, scored, pretrained=False)
    else:
        if method in METHODS:
            transformer, facts = pretrain(method, data, settings)
        elif method in UNTRAINED:
            transformer = untrained(UNTRAINED[method], data, settings)
        else:
            transformer = BASELINES[method](data, settings)
        embedded = [(transformer.transform(X), y) for X, y in (labelled, scored)]
        scores = probe(*embedded, data.labels_per_class)
        if method in FINE_TUNED and MODALITY[name] == "image":
            facts["fine_tuned"] = train_whole(transformer, data, labelled, scored, pretrained=True)
    return {
        "data": name,
        "method": method,
        "settings": settings,
        "validation": validation,
        "threads": N_THREADS,
        "cpu": torch.backends.cpu.get_cpu_capability(),
        **scores,
        **facts,
    }


def measure_texts(name, method, settings, options):
    """Return the same of a data set of texts, see _quality_text.py."""
    folder = options.results / "encoders"
    measured = _quality_text.measure(name, method, settings, options.validation, folder, over_draws)
    return {
        "data": name,
        "method": method,
        "settings": settings,
        "validation": options.validation,
        "threads": N_THREADS,
        "cpu": torch.backends.cpu.get_cpu_capability(),
        **measured,
    }


def filled_for(method, data):
    """Return the data as a method takes it: zeros after the end of series, if it wants numbers."""
    Estimator = METHODS.get(VEHICLES.get(method, method))
    if data.settings.get("modality") != "series" or Estimator is None:
        return data
    if "series" in Estimator._missing_allowed:
        return data
    X_train, X_test = np.nan_to_num(data.X_train), np.nan_to_num(data.X_test)
    return replace(data, X_train=X_train, X_test=X_test)


def settings_for(method, settings):
    """Return those of the settings that change a method: a baseline has no more than a network."""
    if method in METHODS:
        return settings
    network = ("encoder", "n_components") if method in VEHICLES else ()
    return {name: value for name, value in settings.items() if name in network}


def result_path(folder, name, method, settings, validation):
    words = [name, method, *(f"{key}={settings[key]}" for key in sorted(settings))]
    stem = re.sub(r"[^\w.,=+-]+", "_", ".".join(words))
    return folder / ("validation" if validation else "test") / f"{stem}.json"


def write_result(path, result):
    """Write all of a file or nothing."""
    path.parent.mkdir(parents=True, exist_ok=True)
    unfinished = path.with_name(f"{path.name}.{os.getpid()}")
    unfinished.write_text(json.dumps(result, indent=1, default=repr) + "\n")
    unfinished.replace(path)


def measure_all(pairs, settings, options):
    """Measure pairs of a data set and a method, but those measured before."""
    loaded = None, None  # the last data set
    for name, method in pairs:
        own_settings = settings_for(method, settings)
        path = result_path(options.results, name, method, own_settings, options.validation)
        if path.exists() and not options.force:
            print(f"{path.name}: measured before (--force measures it again)", flush=True)
            continue
        if MODALITY[name] == "text":
            result = measure_texts(name, method, own_settings, options)
        else:
            if loaded[0] != name:
                loaded = name, DATA_SETS[name]()
            result = measure(name, loaded[1], method, own_settings, options.validation)
        write_result(path, result)
        means = ", ".join(f"{k}: {np.mean(a):.3f}" for k, a in result["accuracies"].items())
        print(f"{path.name}: {means}", flush=True)
        for text in result.get("warnings", ()):
            print(f"{path.name} warned. {text}", file=sys.stderr, flush=True)


# The report ---------------------------------------------------------------------------------------


def read_results(folder, pairs, validation, only_defaults):
    """Return the results of some pairs; exit, naming them, where some have not been measured."""
    paths = sorted((folder / ("validation" if validation else "test")).glob("*.json"))
    results = [json.loads(path.read_text()) for path in paths]
    if only_defaults:
        results = [result for result in results if not result["settings"]]
    measured = {(result["data"], result["method"]) for result in results}
    missing = [pair for pair in pairs if pair not in measured]
    if missing:
        names = "\n".join(f"  --data {name} --methods {method}" for name, method in missing)
        sys.exit(f"Not measured yet:\n{names}")
    rank = {pair: i for i, pair in enumerate(pairs)}
    chosen = [result for result in results if (result["data"], result["method"]) in rank]
    return sorted(chosen, key=lambda result: rank[result["data"], result["method"]])


def title(result):
    names = {**TITLES, **_quality_text.TITLES} if MODALITY[result["data"]] == "text" else TITLES
    settings = ", ".join(f"{name}={value}" for name, value in result["settings"].items())
    return names[result["method"]] + (f" ({settings})" if settings else "")


def table_lines(header, rows):
    return [_line(header), "|" + "---|" * len(header), *map(_line, rows), ""]


def _line(cells):
    return "| " + " | ".join(cells) + " |"


def data_set_lines(name, results):
    """Return the section of one data set: its table, and the warnings of the fits."""
    labels = list(results[0]["accuracies"])
    balanced = [f"{k}, balanced" for k in labels] if name in IMBALANCED else []
    facts = ["threads", "epochs", "embedding spread", "effective rank"]
    lines = [f"## {name}", ""]
    rows_seen = {f"{result['n_rows']:,}" for result in results if "n_rows" in result}
    if rows_seen:
        lines += [f"Pretrained on {' or '.join(sorted(rows_seen))} rows.", ""]
    rows = []
    for result in results:
        rows.append([title(result), *_score_cells(name, result), *_fact_cells(result)])
        for key, words in (("fine_tuned", "fine-tuned"), ("beside", "beside TF-IDF")):
            if key in result:
                cells = _score_cells(name, result[key])
                rows.append([f"{title(result)}, {words}", *cells, *["-"] * len(facts)])
    lines += table_lines(["labels per class", *labels, *balanced, *facts], rows)
    noted = [(result, text) for result in results for text in result.get("warnings", ())]
    if noted:
        lines += [*(f"- {title(result)} warned. {_one_line(text)}" for result, text in noted), ""]
    return lines


def _one_line(text):
    return " ".join(text.split())


def _score_cells(name, scores):
    kinds = ["accuracies", *(["balanced_accuracies"] if name in IMBALANCED else [])]
    return [f"{np.mean(a):.3f} ± {np.std(a):.3f}" for kind in kinds for a in scores[kind].values()]


def _fact_cells(result):
    if "seconds" not in result:
        return ["-"] * 4
    on_cpu = result["device"] == "cpu"
    spread = [
        f"{result[key]:.{digits}f}" if key in result else "-"
        for key, digits in (("embedding_std", 3), ("effective_rank", 1))
    ]
    return [
        str(result["threads"]) if on_cpu else result["device"],
        str(result["epochs"]),
        *spread,
    ]


def summary_lines(results):
    """Say how far methods are from the best, and whether they beat what they are made of."""
    means = {
        (title(result), result["data"], k): np.mean(accuracies)
        for result in results
        for k, accuracies in result["accuracies"].items()
    }
    methods = list(dict.fromkeys(title(r) for r in results if r["method"] in METHODS))
    best = max((means.get((m, "fashion", "100"), 0) for m in methods), default=0)
    baselines = [(data, TITLES[b]) for data in ("digits", "fashion") for b in ("raw", "untrained")]
    header = [
        "",
        "fashion, 1,000 labels: points behind the best method",
        *(f"{data}, 10 per class: beats {baseline}" for data, baseline in baselines),
    ]
    rows = [
        [
            method,
            _points_behind(means.get((method, "fashion", "100")), best),
            *(
                _verdict(means.get((method, data, "10")), means.get((baseline, data, "10")))
                for data, baseline in baselines
            ),
        ]
        for method in methods
    ]
    return ["## Summary", "", *table_lines(header, rows)]


def _points_behind(accuracy, best):
    return "-" if accuracy is None else f"{100 * (best - accuracy):.1f}"


def _verdict(accuracy, baseline):
    if accuracy is None or baseline is None:
        return "-"
    return f"{'yes' if accuracy > baseline else 'no'}, {100 * (accuracy - baseline):+.1f}"


INTRODUCTION = f"""# Quality

Accuracy on {{rows}} with few labels: mean ± standard deviation over {N_DRAWS} draws of the labels,
with the same `LogisticRegression`. Every method is at its defaults, but for what a row names in
brackets.

- *Raw features*: columns of tables are standardised, pixels and trajectories are not.
- *Untrained encoder*: the default network at its initial weights, after an epoch of SimCLR at no
  learning rate.
- *Same network, the labels alone*: that network with a linear layer, trained for 100 steps.
  *Fine-tuned* starts from the pretrained weights, and is otherwise the same.
- *HistGradientBoosting* takes categories and missing numbers as they are; its leaves have a
  twentieth of the labelled rows, 20 at most.
- Texts: one fit on the training texts of all three sets serves them all. *Beside TF-IDF* is the
  embedding next to the counts, each column standardised and divided by ten times the root of their
  number, a factor that was chosen on training texts.
- *Embedding spread*: deviation of the embeddings of the last batch, about 1 if they are well
  spread. Near 0, or with an *effective rank* near 1, an encoder has collapsed.

*Threads* is how many cores a fit used; how long fits take is on the page about speed. Processor:
{{processors}}. Measured by `python -m benchmarks.quality`, and written by
`python -m benchmarks.quality --report`.
"""
SETTLED_ON_TEST_IMAGES = """
The default strength of the colour jitter and the shape of the image encoder, which all methods
share, were settled with SimCLR while looking at the test images of digits and Fashion-MNIST: the
rows of these two sets flatter, those of SimCLR most. What is new in the other methods (momentum,
normalised heads, no local views of small images) was settled on training rows (`--validation`).
So were patches, width and depth of MaskedAutoencoder, on training rows of Fashion-MNIST.
"""


def report(results, validation):
    rows = "training rows that gave the probe no labels" if validation else "held-out rows"
    processors = " and ".join(sorted({result["cpu"] for result in results}))
    text = INTRODUCTION.format(rows=rows, processors=processors)
    if not validation:
        text += SETTLED_ON_TEST_IMAGES
    lines = [""]
    if any(result["data"] in ("digits", "fashion") for result in results):
        lines += summary_lines(results)
    for name in dict.fromkeys(result["data"] for result in results):
        lines += data_set_lines(name, [result for result in results if result["data"] == name])
    return text + "\n".join(lines)


# Command line -------------------------------------------------------------------------------------


def setting(text):
    """Read ``name=value``, where the value is a Python literal."""
    name, _, value = text.partition("=")
    try:
        return name, ast.literal_eval(value)
    except (ValueError, SyntaxError):
        raise argparse.ArgumentTypeError(
            f"{text!r} is not name=value with a Python literal; a string needs quotes of its own"
        ) from None


def parse_options():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    names = [*OTHERS, *METHODS]
    parser.add_argument("--methods", nargs="+", choices=names, default=names, metavar="METHOD")
    parser.add_argument("--data", nargs="+", choices=DATA_SETS, default=list(DATA_SETS))
    parser.add_argument("--set", nargs="+", type=setting, default=[], metavar="NAME=LITERAL")
    parser.add_argument("--validation", action="store_true", help="score training rows")
    parser.add_argument("--force", action="store_true", help="measure again what was measured")
    parser.add_argument("--report", action="store_true", help="print a part, or write the whole")
    parser.add_argument("--results", type=Path, default=RESULTS, help="folder of the results")
    return parser.parse_args()


def main():
    options = parse_options()
    pairs = [
        (name, method)
        for name in DATA_SETS
        for method in (*OTHERS, *METHODS)
        if name in options.data and method in options.methods and is_for(method, name)
    ]
    if not options.report:
        measure_all(pairs, dict(options.set), options)
        return
    names = {*options.data, *options.methods}
    whole = names == {*DATA_SETS, *OTHERS, *METHODS} and not options.validation
    results = read_results(options.results, pairs, options.validation, only_defaults=whole)
    text = report(results, options.validation)
    if whole:
        REPORT.write_text(text)
    else:
        print(text)


if __name__ == "__main__":
    main()
