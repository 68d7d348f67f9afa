"""Do scores without labels rank models as their few-label accuracy does?

Many configurations of several methods, good and poor ones, are fitted on unlabeled rows. Each
score of `sklearn_ssl.metrics` is measured on other unlabeled rows, and `evaluate_representation`
gives the accuracy with ten labels per class on a third part. Configurations are written to
results/selection.csv, and what the scores are worth to results/selection_summary.csv: rank
correlations, and what would be chosen by them.

    python -m benchmarks.selection                   # hours
    python -m benchmarks.selection --data letter     # or a part of it
"""

import warnings
from dataclasses import dataclass

import numpy as np
from scipy.stats import spearmanr
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split

from benchmarks import store
from benchmarks.datasets import load_keel_table, load_optdigits_pool
from benchmarks.tasks import trajectories as as_trajectories
from sklearn_ssl import (
    BarlowTwinsTransformer,
    BYOLTransformer,
    CollapseWarning,
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
from sklearn_ssl.evaluation import evaluate_representation
from sklearn_ssl.metrics import (
    alignment_scorer,
    alpha_req_scorer,
    knn_agreement_scorer,
    lidar_scorer,
    rankme,
    rankme_scorer,
    uniformity_scorer,
)

RAW = "raw features"

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
    """Rows to pretrain on, rows to score on, and labeled rows: to draw from, and to test on."""

    X: np.ndarray
    X_scored: np.ndarray
    labeled: tuple
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
    return parts(*load_keel_table("letter"), {}, max_epochs=40)


def trajectories():
    X, y = load_keel_table("penbased")
    return parts(as_trajectories(X), y, {"modality": "series"}, max_epochs=14)


def parts(X, y, settings, max_epochs):
    rows = np.random.default_rng(0).permutation(len(X))
    train, scored, tested = np.split(rows[:8000], [5000, 6000])
    labeled = X[train], y[train]
    return Parts(X[train], X[scored], labeled, (X[tested], y[tested]), settings, max_epochs)


DATA_SETS = {"digits": digits, "letter": letter, "trajectories": trajectories}


def quick():
    """A few rows of scikit-learn's digits."""
    X, y = load_digits(return_X_y=True)
    settings = {"image_shape": (8, 8)}
    return Parts(X[:300], X[300:400], (X[:300], y[:300]), (X[400:600], y[400:600]), settings, 1)


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
        f"SimCLR, {POOR}: untrained": SimCLRTransformer(max_epochs=0),
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
        f"MAE, {POOR}: untrained": MaskedAutoencoder(max_epochs=0),
    }
    return {**simclr, **vicreg, **others}


# Measuring ----------------------------------------------------------------------------------------


def measure(parts, estimator):
    """Return the columns of a configuration, and the accuracy of each draw of labels."""
    known = estimator.get_params()
    settings = {key: value for key, value in parts.settings.items() if key in known}
    if estimator.max_epochs is None:
        settings["max_epochs"] = parts.max_epochs
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        estimator.set_params(**settings, random_state=0).fit(parts.X)
    scores = {name: float(score(estimator, parts.X_scored)) for name, score in SCORERS.items()}
    collapsed = any(issubclass(warning.category, CollapseWarning) for warning in caught)
    (accuracies,) = evaluated(parts, estimator, ()).scores["pretrained"]
    return {**scores, "collapse_warning": "yes" if collapsed else ""}, accuracies


def measure_raw(parts, estimator):
    """Return the same of the raw features, of which RankMe alone can be measured."""
    report = evaluated(parts, estimator, ("raw",))
    return {"RankMe": rankme(parts.X_scored.reshape(len(parts.X_scored), -1))}, report.scores[
        "raw"
    ][0]


def evaluated(parts, fitted, baselines):
    (X, y), (X_test, y_test) = parts.labeled, parts.tested
    few = {"labels_per_class": 10, "n_draws": 5, "baselines": baselines}
    return evaluate_representation(fitted, X, y, X_test=X_test, y_test=y_test, **few)


def measure_data_set(name, parts, configurations, results):
    """Write the rows of all configurations of a data set, and what the scores are worth on it."""
    common = {"measured": store.today(), "dataset": name}
    measured = {}
    for title, estimator in configurations.items():
        measured[title] = measure(parts, estimator)
        print(f"{name}, {title}: {measured[title][1].mean():.3f}", flush=True)
    raw = measure_raw(parts, estimator)
    rows = []
    for title, (scores, accuracies) in {**measured, RAW: raw}.items():
        row = {**common, "configuration": title, "accuracy": f"{accuracies.mean():.3f}"}
        row |= {"std": f"{accuracies.std():.3f}"}
        row |= {name: f"{scores[name]:.3g}" if name in scores else "" for name in SCORERS}
        row |= {"collapse_warning": scores.get("collapse_warning", "")}
        rows.append({**row, "epochs": parts.max_epochs, "n_rows": len(parts.X)})
    store.replace(results / "selection.csv", rows, key=("dataset",))
    rows = [{**common, **row} for row in worth(measured)]
    store.replace(results / "selection_summary.csv", rows, key=("dataset",))


# What the scores are worth ------------------------------------------------------------------------


GROUPS = {
    "SimCLR": lambda title: title.startswith("SimCLR"),
    "VICReg": lambda title: title.startswith("VICReg"),
    "all methods": lambda title: True,
    "all, but for the poor ones": lambda title: POOR not in title,
    "all, but for no augmentation": lambda title: "no augmentation" not in title,
    "all of default augmentation and width": lambda title: (
        "augmentation" not in title and "components" not in title
    ),
}


def worth(measured):
    """Yield rows that say how well each score ranks, chooses and sieves configurations."""
    for group, belongs in GROUPS.items():
        titles = [title for title in measured if belongs(title)]
        draws = np.array([measured[title][1] for title in titles])  # [configurations, draws]
        means = draws.mean(axis=1)
        cells = []
        for name in SCORERS:
            scores = np.array([measured[title][0][name] for title in titles])
            cells += [
                ("correlation", name, f"{correlation(scores, means):+.2f}"),
                ("chosen", name, f"{means[scores.argmax()]:.3f}"),
                ("sieve", name, f"{100 * sieved(scores, means):+.1f}"),
            ]
        cells.append(("correlation", "one draw of labels", f"{agreement(draws):+.2f}"))
        for word, of in (("best", np.max), ("median", np.median), ("worst", np.min)):
            cells.append(("chosen", f"the {word}", f"{of(means):.3f}"))
        default = [mean for title, mean in zip(titles, means) if title == f"{group}, defaults"]
        cells.append(("chosen", "the defaults", f"{default[0]:.3f}" if default else ""))
        for table, row, value in cells:
            yield {"table": table, "row": row, "group": group, "n": len(titles), "value": value}


def correlation(a, b):
    return spearmanr(a, b).statistic


def sieved(scores, means):
    """Return how much better the third with the best scores is than that with the worst."""
    ranked, third = means[np.argsort(scores)], len(scores) // 3
    return ranked[-third:].mean() - ranked[:third].mean()


def agreement(draws):
    """Return the mean correlation of the accuracies of a draw with those of the others."""
    others = [np.delete(draws, i, axis=1).mean(axis=1) for i in range(draws.shape[1])]
    return np.mean([correlation(draw, rest) for draw, rest in zip(draws.T, others)])


def main(arguments=None):
    parser = store.parser_of(__doc__)
    parser.add_argument("--data", nargs="+", choices=DATA_SETS, default=list(DATA_SETS))
    options = store.parse(parser, arguments)
    if not options.quick:
        for name in options.data:
            parts = DATA_SETS[name]()
            measure_data_set(name, parts, configurations(name, parts.max_epochs), options.results)
        return
    every_third = dict(list(configurations("digits", 1).items())[::3])
    quickly = {title: ssl.set_params(max_epochs=1) for title, ssl in every_third.items()}
    measure_data_set("quick", quick(), quickly, options.results)


if __name__ == "__main__":
    main()
