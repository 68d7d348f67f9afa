"""What representations of texts are worth with few labels, next to counted words.

    python -m benchmarks.texts                            # all that the results lack: hours
    python -m benchmarks.texts --data imdb brown --force  # a part of it again
    python -m benchmarks.texts --data imdb --methods Sent2Vec --validation --set width=256

Encoders learn from the training texts alone, with several seeds; labels are drawn several times,
the same ones for all methods. Settings are chosen with ``--validation``, which scores training
texts and writes nothing.
"""

import time

import numpy as np
from sklearn.decomposition import TruncatedSVD
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.frozen import FrozenEstimator
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import FeatureUnion, make_pipeline

from benchmarks import datasets as d
from benchmarks import store
from benchmarks.corpora import DATA, quick
from benchmarks.quality import METHODS, setting
from sklearn_ssl import (
    MaskedLMEmbedder,
    Sent2VecTransformer,
    SimCSETransformer,
    TSDAETransformer,
)
from sklearn_ssl.few_labels.draws import draw_labels

SEEDS, DRAWS = 3, 5
STRENGTHS = {"C": [0.1, 1, 10, 100]}  # searched, weakest penalty last


# Methods ------------------------------------------------------------------------------------------


def tfidf(texts, seed, **settings):
    return TfidfVectorizer().fit([*texts.X, *texts.X_unlabeled])


def svd(texts, seed, **settings):
    model = make_pipeline(TfidfVectorizer(), TruncatedSVD(128, random_state=seed))
    return model.fit([*texts.X, *texts.X_unlabeled])


def sent2vec(texts, seed, **settings):
    ssl = Sent2VecTransformer(random_state=seed, **settings)
    FITTED[seed] = ssl.fit(texts.X, X_unlabeled=texts.X_unlabeled or None)
    return ssl


def beside_tfidf(texts, seed, **settings):
    """Return counts of length 2, and the encoder that was fitted last with this seed."""
    parts = [("counts", tfidf(texts, seed)), ("ssl", FITTED[seed])]
    frozen = [(name, FrozenEstimator(part)) for name, part in parts]
    return FeatureUnion(frozen, transformer_weights={"counts": 2}).fit(texts.X)


def untrained(texts, seed, **settings):
    ssl = Sent2VecTransformer(random_state=seed, **{**settings, "max_epochs": 0})
    return ssl.fit(texts.X, X_unlabeled=texts.X_unlabeled or None)


def minilm(texts, seed, **settings):
    folder = d.load_minilm_folder()
    return MaskedLMEmbedder(pretrained=folder, max_epochs=0).fit(texts.X[:2])


def adapted(Estimator, epochs):
    """Return a function that adapts MiniLM to at most 3,000 texts; with None, for its default."""

    def adapt(texts, seed, **settings):
        settings = {"max_epochs": epochs, "batch_size": 32, **settings}
        ssl = Estimator(pretrained=d.load_minilm_folder(), random_state=seed, **settings)
        return ssl.fit(texts.head(3000).X)

    return adapt


def views(name):
    """Return a function that fits a method which compares views of texts."""

    def fit(texts, seed, **settings):
        ssl = METHODS[name](random_state=seed, **settings)
        return ssl.fit(texts.X, X_unlabeled=texts.X_unlabeled or None)

    return fit


RIVALS = ("TF-IDF", "SVD of TF-IDF, 128")
SEARCHED = "C searched"
VIEWS = {
    f"{name}, views of texts": views(name)
    for name in (
        *("SimCLR", "MoCo", "MoCoV3", "BYOL", "SimSiam"),
        *("BarlowTwins", "VICReg", "SwAV", "DINO", "LeJEPA"),
    )
}
OF_VIEWS = ("scipy_docstrings", "uci_sentences", "imdb_2000")  # small sets: they take minutes
BESIDE = "Sent2Vec, beside TF-IDF"
ENCODERS = {
    "TF-IDF": tfidf,
    "SVD of TF-IDF, 128": svd,
    "Sent2Vec": sent2vec,
    BESIDE: beside_tfidf,
    "Sent2Vec, untrained": untrained,
    "MiniLM, pretrained elsewhere": minilm,
    "MiniLM, adapted by TSDAE": adapted(TSDAETransformer, None),
    "MiniLM, adapted by SimCSE": adapted(SimCSETransformer, 2),  # takes longer
    **VIEWS,
}
OURS = ("Sent2Vec", "MiniLM, adapted", *VIEWS)
FITTED = {}  # by seed
ONCE = ("TF-IDF", "MiniLM, pretrained elsewhere")  # they do not depend on a seed


# Measuring ----------------------------------------------------------------------------------------


def scores_of(texts, Z, Z_test, searched):
    """Return accuracies: [numbers of labels, draws]."""
    found = np.zeros((len(texts.labels), DRAWS))
    for i, k in enumerate(texts.labels):
        for draw in range(DRAWS):
            rows = draw_labels(texts.y, k, draw)
            model = LogisticRegression(max_iter=10_000)
            if searched and k > 1:
                model = GridSearchCV(model, STRENGTHS, cv=min(k, 5))
            found[i, draw] = model.fit(Z[rows], texts.y[rows]).score(Z_test, texts.y_test)
    return found


def measure(title, texts, settings):
    """Return accuracies, [numbers of labels, seeds * draws], at C=1 and with a search; seconds."""
    plain, searched, seconds = [], [], []
    for seed in range(1 if title in ONCE else SEEDS):
        start = time.perf_counter()
        encoder = ENCODERS[title](texts, seed, **settings)
        seconds.append(time.perf_counter() - start)
        parts = encoder.transform(texts.X), encoder.transform(texts.X_test)
        plain.append(scores_of(texts, *parts, searched=False))
        searched.append(scores_of(texts, *parts, searched=True))
    times = SEEDS if title in ONCE else 1
    found = {title: plain * times, f"{title}, {SEARCHED}": searched * times}
    return {way: np.concatenate(scores, axis=1) for way, scores in found.items()}, seconds


def rows_of(name, texts, found, seconds, rivals):
    """Return rows for the results: accuracies, and leads over rivals in the same draws."""
    rows = []
    for way, scores in found.items():
        common = {"measured": store.today(), "dataset": name, "kind": "text", "method": way}
        common |= {"role": "ours" if way.startswith(OURS) else "baseline"}
        common |= {"n_draws": scores.shape[1], "seed": f"0-{SEEDS - 1}"}
        common |= {"seconds": f"{np.mean(seconds):.1f}"}
        values = {"accuracy": scores}
        for rival, of_rival in rivals.items():
            plain, searched = of_rival.values()
            values[f"lead over {rival}"] = scores - (searched if SEARCHED in way else plain)
        for metric, numbers in values.items():
            for k, of_draws in zip(texts.labels, numbers):
                row = {**common, "labels": k, "metric": metric}
                row |= {"mean": f"{of_draws.mean():.3f}", "std": f"{of_draws.std():.3f}"}
                rows.append({column: row[column] for column in store.COLUMNS})
    return rows


def measure_data(name, make, options):
    """Measure what the results of a data set lack. Rivals are always measured, for the leads."""
    path = options.results / "texts.csv"
    texts = make().for_validation() if options.validation else make()
    known = {row["method"] for row in store.read(path) if row["dataset"] == name}
    everything = [t for t in ENCODERS if t not in VIEWS or name in OF_VIEWS]
    titles = [t for t in options.methods or everything if options.again or t not in known]
    if BESIDE in titles and "Sent2Vec" not in titles:
        titles = ["Sent2Vec", *titles]
    if not titles:
        return
    rivals = {}
    for title in (*RIVALS, *titles):
        if title in rivals:
            continue
        found, seconds = measure(title, texts, dict(options.set))
        if title in RIVALS:
            rivals[title] = found
        if title not in titles:
            continue
        for way, scores in found.items():
            print(name, way, *(f"{s.mean():.3f} ± {s.std():.3f}" for s in scores), flush=True)
        if not options.validation:
            leads = rivals if len(rivals) == len(RIVALS) else {}
            rows = rows_of(name, texts, found, seconds, leads)
            store.replace(path, rows, key=("dataset", "method"))


def main(arguments=None):
    parser = store.parser_of(__doc__)
    parser.add_argument("--data", nargs="+", choices=DATA, default=list(DATA))
    parser.add_argument("--methods", nargs="+", choices=ENCODERS)
    parser.add_argument("--set", nargs="+", type=setting, default=[], metavar="NAME=LITERAL")
    parser.add_argument("--validation", action="store_true", help="score training texts")
    parser.add_argument("--force", action="store_true", help="measure again what was measured")
    options = store.parse(parser, arguments)
    options.again = options.force or options.validation
    if options.quick:
        options.set = [("max_epochs", 2)]
        options.methods = list(ENCODERS)[:5]  # MiniLM may not be installed
        measure_data("quick", quick, options)
        return
    for name in options.data:
        measure_data(name, DATA[name], options)


if __name__ == "__main__":
    main()
