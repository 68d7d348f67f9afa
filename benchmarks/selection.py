"""Do scores without labels rank models as their few-label accuracy does?

Many configurations of several methods, good and poor ones, are fitted on unlabelled rows. Each
score of ``sklearn_ssl.metrics`` is measured on other unlabelled rows, and the accuracy with ten
labels per class on a third part; the report has the rank correlations of the two.

    python -m benchmarks.selection                   # measure all that is missing
    python -m benchmarks.selection --data letter     # or a part of it
    python -m benchmarks.selection --report          # write doc/selection.md

Each configuration is a small file in build/selection/ as soon as it is measured, so that a run may
be interrupted. ``--quick`` trains for an epoch each, into a folder of its own, to try the script.
"""

import argparse
import json
import re
import time
import warnings
from dataclasses import dataclass
from functools import partial
from itertools import zip_longest
from pathlib import Path

import numpy as np
import torch
from scipy.stats import spearmanr
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split

from benchmarks.datasets import load_keel_table, load_optdigits_pool
from benchmarks.quality import N_DRAWS, probe, table_lines, write_result
from sklearn_ssl import (
    BarlowTwinsTransformer,
    BYOLTransformer,
    MaskedAutoencoder,
    NextFrameEmbedder,
    SCARFTransformer,
    SimCLRTransformer,
    SimSiamTransformer,
    SwAVTransformer,
    TS2VecTransformer,
    VICRegTransformer,
    VIMETransformer,
)
from sklearn_ssl.augment import FeatureCorruption, ImageAugmentation, SeriesAugmentation
from sklearn_ssl.metrics import (
    alignment_scorer,
    alpha_req_scorer,
    knn_agreement_scorer,
    lidar_scorer,
    rankme,
    rankme_scorer,
    uniformity_scorer,
)
from sklearn_ssl.training.runtime import N_THREADS

ROOT = Path(__file__).parents[1]
RESULTS = ROOT / "build" / "selection"
REPORT = ROOT / "doc" / "selection.md"
LABELS_PER_CLASS = 10
NO_LR = 1e-12  # at which a fit leaves the first weights as they are

SCORERS = {
    "RankMe": rankme_scorer,
    "alpha-ReQ": alpha_req_scorer,
    "LiDAR": lidar_scorer,
    "alignment": alignment_scorer,
    "uniformity": uniformity_scorer,
    "kNN agreement": knn_agreement_scorer,
    "minus pretext loss": lambda estimator, X: estimator.score(X),
}


# Data sets ----------------------------------------------------------------------------------------


@dataclass
class Parts:
    """Rows to pretrain on, rows to score on, and labelled rows: to draw from, and to test on."""

    X_train: np.ndarray
    X_scored: np.ndarray
    labelled: tuple
    tested: tuple
    settings: dict
    max_epochs: int


def digits():
    """Pretrain on 1,200 of load_digits and 2,823 images of the pool; score on 1,000 more of it."""
    X, y = load_digits(return_X_y=True)
    X, X_test, y, y_test = train_test_split(X, y, test_size=597, stratify=y, random_state=0)
    pool = np.random.default_rng(0).permutation(load_optdigits_pool())
    X_train = np.concatenate([X, pool[1000:]])
    return Parts(X_train, pool[:1000], (X, y), (X_test, y_test), {"image_shape": (8, 8)}, 16)


def letter():
    return _parts(*load_keel_table("letter"), {}, max_epochs=40)


def trajectories():
    X, y = load_keel_table("penbased")
    X = np.moveaxis(X.reshape(-1, 8, 2), 1, 2)  # [n, time, 2] -> [n, 2, time]
    return _parts(X, y, {"modality": "series"}, max_epochs=14)


def _parts(X, y, settings, max_epochs):
    rows = np.random.default_rng(0).permutation(len(X))
    train, scored, tested = rows[:5000], rows[5000:6000], rows[6000:8000]
    labelled = X[train], y[train]
    return Parts(X[train], X[scored], labelled, (X[tested], y[tested]), settings, max_epochs)


DATA_SETS = {"digits": digits, "letter": letter, "trajectories": trajectories}


# Configurations -----------------------------------------------------------------------------------


def unchanged(batch):
    return batch


AUGMENTATIONS = {
    "digits": {
        "strong": ImageAugmentation(scale=(0.08, 1), rotation=90, jitter=1.2),
        "weak": ImageAugmentation(scale=(0.9, 1), flip=0, jitter=0.1),
    },
    "letter": {"strong": FeatureCorruption(0.7), "weak": FeatureCorruption(0.05)},
    "trajectories": {
        "strong": SeriesAugmentation(crop=(0.1, 0.5), scaling=0.6, noise=0.5, mask=0.4),
        "weak": SeriesAugmentation(crop=(0.9, 1), scaling=0.02, noise=0.02, mask=0),
    },
}
OF_KIND = {  # methods for one kind of data
    "digits": {},
    "letter": {"SCARF": SCARFTransformer, "VIME": VIMETransformer},
    "trajectories": {"NextFrame": NextFrameEmbedder, "TS2Vec": TS2VecTransformer},
}
POOR = "poor"  # begins the names of those that were meant to be


def configurations(name, max_epochs):
    """Return ``{"method, what differs from its defaults": estimator}``."""
    views = {**AUGMENTATIONS[name], "no": unchanged}
    simclr, vicreg = (
        {
            f"{kind}, defaults": Estimator(),
            f"{kind}, {few} epochs": Estimator(max_epochs=few),
            f"{kind}, {many} epochs": Estimator(max_epochs=many),
            f"{kind}, lr 1e-5": Estimator(lr=1e-5),
            **{
                f"{kind}, {strength} augmentation": Estimator(augment=augment)
                for strength, augment in views.items()
            },
        }
        for kind, Estimator in (("SimCLR", SimCLRTransformer), ("VICReg", VICRegTransformer))
        for few, many in [(2, 3 * max_epochs)]
    )
    simclr |= {
        "SimCLR, temperature 0.05": SimCLRTransformer(temperature=0.05),
        "SimCLR, temperature 1": SimCLRTransformer(temperature=1.0),
        "SimCLR, 64 components": SimCLRTransformer(n_components=64),
        "SimCLR, 8 components": SimCLRTransformer(n_components=8),
        f"SimCLR, {POOR}: 2 components": SimCLRTransformer(n_components=2),
        f"SimCLR, {POOR}: lr 0.1": SimCLRTransformer(lr=0.1),
        f"SimCLR, {POOR}: lr 1e-12": SimCLRTransformer(lr=NO_LR, max_epochs=1),
    }
    vicreg |= {
        "VICReg, covariance 0": VICRegTransformer(covariance=0),
        f"VICReg, {POOR}: variance 0": VICRegTransformer(variance=0),
    }
    others = {
        "BYOL": BYOLTransformer,
        "SimSiam": SimSiamTransformer,
        "Barlow Twins": BarlowTwinsTransformer,
        "SwAV": SwAVTransformer,
        "MAE": MaskedAutoencoder,
        **OF_KIND[name],
    }
    others = {f"{kind}, defaults": Estimator() for kind, Estimator in others.items()}
    others |= {
        "BYOL, 2 epochs": BYOLTransformer(max_epochs=2),
        "MAE, 2 epochs": MaskedAutoencoder(max_epochs=2),
        f"MAE, {POOR}: lr 1e-12": MaskedAutoencoder(lr=NO_LR, max_epochs=1),
    }
    return {**simclr, **vicreg, **others}


# Measuring ----------------------------------------------------------------------------------------


def measure(name, parts, configuration, estimator, max_epochs):
    """Return the scores and the accuracies of a configuration, ready to be written as JSON."""
    known = estimator.get_params()
    settings = {key: value for key, value in parts.settings.items() if key in known}
    if estimator.max_epochs is None:
        settings["max_epochs"] = max_epochs
    estimator.set_params(**settings, random_state=0)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        start = time.perf_counter()
        estimator.fit(parts.X_train)
        fit_seconds = time.perf_counter() - start
        start = time.perf_counter()
        scores = {
            title: float(score(estimator, parts.X_scored)) for title, score in SCORERS.items()
        }
        score_seconds = time.perf_counter() - start
    embedded = [(estimator.transform(X), y) for X, y in (parts.labelled, parts.tested)]
    accuracies = probe(*embedded, [LABELS_PER_CLASS])["accuracies"][LABELS_PER_CLASS]
    return {
        "data": name,
        "configuration": configuration,
        "scores": scores,
        "accuracies": accuracies,
        "epochs": estimator.n_iter_,
        "n_rows": len(parts.X_train),
        "threads": N_THREADS,
        "cpu": torch.backends.cpu.get_cpu_capability(),
        "seconds": {"fit": fit_seconds, "scores": score_seconds},
        "warnings": sorted({warning.category.__name__ for warning in caught}),
    }


def measure_raw(name, parts):
    """Return the same of the raw features, of which RankMe alone can be measured."""
    raw = [(X.reshape(len(X), -1), y) for X, y in (parts.labelled, parts.tested)]
    if name == "letter":
        mean, deviation = raw[0][0].mean(axis=0), raw[0][0].std(axis=0)
        raw = [((X - mean) / deviation, y) for X, y in raw]
    accuracies = probe(*raw, [LABELS_PER_CLASS])["accuracies"][LABELS_PER_CLASS]
    scored = parts.X_scored.reshape(len(parts.X_scored), -1)
    return {
        "data": name,
        "configuration": "raw features",
        "scores": {"RankMe": rankme(scored)},
        "accuracies": accuracies,
    }


def measure_all(names, options):
    folder = options.results
    for name in names:
        parts = DATA_SETS[name]()
        max_epochs = 1 if options.quick else parts.max_epochs
        todo = {"raw features": partial(measure_raw, name, parts)}
        for title, estimator in configurations(name, parts.max_epochs).items():
            if options.quick:
                estimator.set_params(max_epochs=1)
            todo[title] = partial(measure, name, parts, title, estimator, max_epochs)
        for title, job in todo.items():
            path = folder / name / f"{title.replace(', ', '.').replace(' ', '_')}.json"
            if not path.exists():
                result = job()
                write_result(path, result)
                print(f"{name}, {title}: {np.mean(result['accuracies']):.3f}", flush=True)


# The report ---------------------------------------------------------------------------------------


def read_results(folder):
    """Return the results of each data set, in the order of their configurations."""
    found = {}
    for name in DATA_SETS:
        results = [json.loads(path.read_text()) for path in sorted((folder / name).glob("*.json"))]
        by_title = {result["configuration"]: result for result in results}
        titles = ["raw features", *configurations(name, DATA_SETS[name]().max_epochs)]
        missing = [title for title in titles if title not in by_title]
        if missing:
            raise SystemExit(f"Not measured yet, of {name}: {'; '.join(missing)}")
        found[name] = [by_title[title] for title in titles]
    return found


GROUPS = {
    "SimCLR": lambda title: title.startswith("SimCLR"),
    "VICReg": lambda title: title.startswith("VICReg"),
    "all methods": lambda title: True,
    "all, but for the poor ones": lambda title: POOR not in title,
    "all, but for no augmentation": lambda title: "no augmentation" not in title,
    "all of default augmentation and width": lambda title: (
        not re.search("augmentation|components", title)
    ),
}


def groups_of(results):
    """Return the configurations of each group, without the raw features."""
    fitted = [result for result in results if result["configuration"] != "raw features"]
    return {
        group: [result for result in fitted if belongs(result["configuration"])]
        for group, belongs in GROUPS.items()
    }


def mean_accuracies(results):
    return np.array([np.mean(result["accuracies"]) for result in results])


def correlation_rows(results):
    """Return a row for each score, and how well a draw of labels agrees with the other draws."""
    groups = groups_of(results)
    rows = []
    for title in SCORERS:
        cells = [
            _rho([result["scores"][title] for result in group], mean_accuracies(group))
            for group in groups.values()
        ]
        rows.append([title, *cells])
    rows.append(["*one draw of labels*", *map(_agreement_of_draws, groups.values())])
    return rows


def _rho(scores, accuracies):
    return f"{spearmanr(scores, accuracies).statistic:+.2f}"


def _agreement_of_draws(group):
    """Return the mean correlation of the accuracies of a draw with those of the others."""
    draws = np.array([result["accuracies"] for result in group])  # [configurations, draws]
    each = [
        spearmanr(draws[:, i], np.delete(draws, i, axis=1).mean(axis=1)).statistic
        for i in range(draws.shape[1])
    ]
    return f"{np.mean(each):+.2f}"


def chosen_rows(results):
    """Return for each score the accuracy of the configuration that it would choose."""
    groups = groups_of(results)
    rows = []
    for title in SCORERS:
        cells = []
        for group in groups.values():
            best = max(group, key=lambda result: result["scores"][title])
            cells.append(f"{np.mean(best['accuracies']):.3f}")
        rows.append([title, *cells])
    for title, of in (("*the best*", np.max), ("*the median*", np.median), ("*the worst*", np.min)):
        rows.append([title, *(f"{of(mean_accuracies(group)):.3f}" for group in groups.values())])
    defaults = [
        next((r for r in group if r["configuration"] == f"{kind}, defaults"), None)
        for kind, group in zip_longest(("SimCLR", "VICReg"), groups.values())
    ]
    cells = ["-" if r is None else f"{np.mean(r['accuracies']):.3f}" for r in defaults]
    rows.append(["*the defaults*", *cells])
    return rows


def sieve_rows(results):
    """Return for each score the gap between the accuracies of its upper and its lower third."""
    rows = []
    for title in SCORERS:
        cells = []
        for group in groups_of(results).values():
            ranked = sorted(group, key=lambda result: result["scores"][title])
            accuracies, third = mean_accuracies(ranked), len(ranked) // 3
            gap = accuracies[-third:].mean() - accuracies[:third].mean()
            cells.append(f"{100 * gap:+.1f}")
        rows.append([title, *cells])
    return rows


def configuration_rows(results):
    rows = []
    for result in sorted(results, key=lambda result: -np.mean(result["accuracies"])):
        accuracies, scores = result["accuracies"], result["scores"]
        numbers = [f"{scores[title]:.3g}" if title in scores else "-" for title in SCORERS]
        warned = (
            " (warned of a collapse)" if "CollapseWarning" in result.get("warnings", ()) else ""
        )
        accuracy = f"{np.mean(accuracies):.3f} ± {np.std(accuracies):.3f}"
        rows.append([result["configuration"] + warned, accuracy, *numbers])
    return rows


INTRODUCTION = f"""# Choosing without labels

Do the scores of `sklearn_ssl.metrics`, which need no labels, rank models as their few-label
accuracy does? Configurations of several methods, some of them meant to be poor, were fitted on
unlabelled rows. The scores were measured on 1,000 other unlabelled rows. The accuracy is that of
the same `LogisticRegression` with {LABELS_PER_CLASS} labels per class, drawn among the rows of the
fit, on a third part of the rows: the mean over {N_DRAWS} draws.

- *Correlation*: Spearman's, of the score and the mean accuracy over configurations. If there is no
  relation, it is beyond ±0.54 in one of twenty cases with 14 configurations, beyond ±0.70 with 9,
  beyond ±0.35 with 32.
- *One draw of labels*: the correlation of the accuracy in one draw with the mean of the others. No
  score can be expected to do better.
- *Groups*: the last two were formed after a look at the results. They say what the scores owe to
  the configurations without augmentation, and what is left among those that differ neither in
  augmentation nor in width.
- *Chosen*: the accuracy of the configuration with the best score.
- *Sieve*: how many points better the third with the best scores is, on average, than the third with
  the worst.
- *Minus pretext loss*: `score(X)`. Losses of different methods, temperatures or augmentations are
  not comparable; it is here for context.
- All scores are so that more is better. Views for LiDAR, alignment and kNN agreement are those of
  the default augmentation of the data, whatever a configuration was trained with.
- One seed each; fits are much shorter than the defaults, but for what a name says.

Measured by `python -m benchmarks.selection`, and written by `python -m benchmarks.selection
--report`. Processor: {{cpu}}, {{threads}} thread(s).
"""


def summary_rows(found):
    """Return for each score its correlations on all data sets."""
    rows = []
    for i, title in enumerate(SCORERS):
        cells = [
            " / ".join(correlation_rows(results)[i][1 + j] for results in found.values())
            for j in range(len(GROUPS))
        ]
        rows.append([title, *cells])
    return rows


def report(found):
    first = found["digits"][1]
    lines = [INTRODUCTION.format(cpu=first["cpu"], threads=first["threads"])]
    lines += ["## Summary", "", f"Correlations on {' / '.join(found)}.", ""]
    lines += table_lines(["", *GROUPS], summary_rows(found))
    for name, results in found.items():
        counts = [f"{group} ({len(members)})" for group, members in groups_of(results).items()]
        epochs = DATA_SETS[name]().max_epochs
        n_rows = f"{results[1]['n_rows']:,}"
        lines += [f"## {name}", "", f"{epochs} epochs on {n_rows} rows.", ""]
        lines += table_lines(["correlation", *counts], correlation_rows(results))
        lines += table_lines(["accuracy of the chosen", *counts], chosen_rows(results))
        lines += table_lines(["sieve: points", *counts], sieve_rows(results))
        lines += ["All configurations, and RankMe of the raw features:", ""]
        lines += table_lines(["", "accuracy", *SCORERS], configuration_rows(results))
    return "\n".join(lines)


# Command line -------------------------------------------------------------------------------------


def main():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", nargs="+", choices=DATA_SETS, default=list(DATA_SETS))
    parser.add_argument("--quick", action="store_true", help="an epoch each; report is printed")
    parser.add_argument("--report", action="store_true", help="write doc/selection.md")
    parser.add_argument("--results", type=Path, default=RESULTS, help="folder of the results")
    options = parser.parse_args()
    if options.quick:
        options.results = options.results / "quick"
    if not options.report:
        measure_all(options.data, options)
    elif options.quick:
        print(report(read_results(options.results)))
    else:
        REPORT.write_text(report(read_results(options.results)))


if __name__ == "__main__":
    main()
