"""The part of quality.py that is about texts: sentiment with few labels, and bits a byte."""

import time
from pathlib import Path

import joblib
import numpy as np
from scipy import sparse
from sklearn.decomposition import TruncatedSVD
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import train_test_split

from benchmarks.datasets import (
    load_minilm_folder,
    load_movie_reviews,
    load_sentiment_sentences,
)
from sklearn_ssl import CausalLMEmbedder, MaskedLMEmbedder, SimCSETransformer

METHODS = {
    "masked_lm": MaskedLMEmbedder,
    "causal_lm": CausalLMEmbedder,
    "simcse": SimCSETransformer,
}
TITLES = {"raw": "TF-IDF", "pca": "SVD of TF-IDF, 128 components"}
WIDTH = 128  # of the embeddings, and of the SVD
N_LABELLED = 6000  # training rows that labels are drawn from
BESIDE = 0.1  # length of an average embedding beside TF-IDF, whose rows have length 1


def imdb():
    return _split(*load_movie_reviews("imdb"), 5000)


def rotten_tomatoes():
    return _split(*load_movie_reviews("rotten_tomatoes"), 2000)


def uci_sentences():
    return _split(*load_sentiment_sentences(), 800)


def _split(texts, y, n_test):
    return train_test_split(texts, y, test_size=n_test, stratify=y, random_state=0)


DATA_SETS = {f.__name__: f for f in (imdb, rotten_tomatoes, uci_sentences)}
LABELS_PER_CLASS = (10, 50, 500)


def reviews(validation):
    """Return the training texts of all three sets: what encoders are pretrained on."""
    return [text for name in DATA_SETS for text in load(name, validation)[0]]


def load(name, validation):
    """Return training texts, texts to be scored, and the labels of both.

    With `validation`, the training texts are split once more, and no test text is touched.
    """
    split = DATA_SETS[name]()
    if validation:
        split = _split(split[0], split[2], len(split[1]))
    return split


# Representations: each returns those of the labelled and of the scored texts ----------------------


def tfidf(texts, scored):
    vectorizer = TfidfVectorizer().fit(texts)
    return vectorizer.transform(texts), vectorizer.transform(scored)


def svd(counted, counted_scored):
    model = TruncatedSVD(WIDTH, random_state=0).fit(counted)
    return scaled(model.transform(counted)[:N_LABELLED], model.transform(counted_scored))


def embedded(ssl, texts, scored):
    return scaled(ssl.transform(texts), ssl.transform(scored))


def scaled(Z, Z_scored):
    """Take the mean away, and divide by one factor for all columns, as in the other parts."""
    mean, deviation = Z.mean(axis=0), np.sqrt(Z.var(axis=0).mean())
    return (Z - mean) / deviation, (Z_scored - mean) / deviation


def beside(counted, dense):
    """Put an embedding beside TF-IDF, its columns standardised and short.

    The length was chosen on training texts.
    """
    mean, width = dense[0].mean(axis=0), dense[0].shape[1]
    deviation = np.maximum(dense[0].std(axis=0), 1e-9)  # two columns of MiniLM are always 0
    return [
        sparse.hstack([c, sparse.csr_matrix((Z - mean) / deviation * BESIDE / width**0.5)]).tocsr()
        for c, Z in zip(counted, dense)
    ]


# Measuring ----------------------------------------------------------------------------------------


def pretrained(method, settings, validation, folder):
    """Return an estimator that is fitted on the reviews, and the seconds that took.

    It is kept in a folder: one fit serves all data sets.
    """
    words = [method, "validation" if validation else "test", *map(str, settings.items())]
    path = Path(folder) / f"{'.'.join(words).replace('/', '_')}.joblib"
    if not path.exists():
        if method == "minilm":
            settings = {"pretrained": load_minilm_folder(), "max_epochs": 0, **settings}
        ssl = METHODS.get(method, MaskedLMEmbedder)(random_state=0, **settings)
        texts = reviews(validation)
        start = time.perf_counter()
        ssl.fit(texts)
        path.parent.mkdir(parents=True, exist_ok=True)
        joblib.dump((ssl, time.perf_counter() - start), path)
    return joblib.load(path)


def measure(name, method, settings, validation, folder, over_draws):
    """Return the accuracies of a method on a data set, alone and beside TF-IDF.

    Parameters
    ----------
    name, method : str
    settings : dict
        Parameters of the estimator.
    validation : bool
    folder : path
        Where fitted encoders are kept.
    over_draws : callable
        That of quality.py.
    """
    texts, scored, y, y_scored = load(name, validation)
    facts = {}
    counted = tfidf(texts, scored)
    texts, y = texts[:N_LABELLED], y[:N_LABELLED]
    learnt = counted[0][:N_LABELLED], counted[1]
    if method == "raw":
        Z, Z_scored = learnt
    elif method == "pca":
        Z, Z_scored = svd(*counted)
    else:
        untrained = method.startswith("untrained_")
        kind = method.removeprefix("untrained_")
        own = {**settings, "max_epochs": 0} if untrained else settings
        ssl, seconds = pretrained(kind, own, validation, folder)
        Z, Z_scored = embedded(ssl, texts, scored)
        facts = {"seconds": seconds, "epochs": ssl.n_iter_, "device": "cpu", "warnings": []}
        facts["parameters"] = ssl.get_params(deep=False)
        if ssl.n_iter_:
            facts["n_rows"] = ssl.input_spec_.n_samples
    scores = accuracies(Z, Z_scored, y, y_scored, over_draws)
    if method != "raw":
        together = beside(learnt, (Z, Z_scored))
        facts["beside"] = accuracies(*together, y, y_scored, over_draws)
    return {**scores, **facts}


def accuracies(Z, Z_scored, y, y_scored, over_draws):
    def answers(rows, draw):
        classifier = LogisticRegression(max_iter=10_000).fit(Z[rows], y[rows])
        return classifier.predict(Z_scored)

    return over_draws(answers, y, y_scored, LABELS_PER_CLASS)
