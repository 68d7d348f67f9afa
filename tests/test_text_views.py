"""Methods that compare views, on texts: as transformers of scikit-learn, and what they learn."""

import pickle

import joblib
import numpy as np
import pandas as pd
import polars as pl
import pytest
import torch
from sklearn.base import clone
from sklearn.compose import ColumnTransformer
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV, cross_val_score, train_test_split
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

import sklearn_ssl
from sklearn_ssl import FineTuneClassifier, SimCLRTransformer, VICRegTransformer
from sklearn_ssl.augment import TextAugmentation
from sklearn_ssl.data import taken_by
from sklearn_ssl.datasets import load_scipy_docstrings
from sklearn_ssl.evaluation import evaluate_representation
from sklearn_ssl.semi_supervised import draw_labels
from tests.few_labels.test_fine_tune import augmentation_of
from tests.helpers import assert_equal_but_for_rounding, through_model_file, through_skops

METHODS = [
    Estimator
    for Estimator in (getattr(sklearn_ssl, name) for name in sklearn_ssl.__all__)
    if hasattr(Estimator, "_kinds") and {"text", "table"} <= {*taken_by(Estimator)}
]
every_method = pytest.mark.parametrize("Estimator", METHODS)

WORDS = [
    "the",
    "cat",
    "sat",
    "on",
    "a",
    "mat",
    "and",
    "one",
    "dog",
    "lay",
    "by",
    "it",
    "while",
    "rain",
    "fell",
    "in",
    "spring",
]
rng = np.random.default_rng(0)
TEXTS = [" ".join(rng.choice(WORDS, size)) for size in rng.integers(1, 30, 40)]
LABELS = np.array(["cat" in text for text in TEXTS])
LONG = " ".join(TEXTS) * 3


def make(Estimator=SimCLRTransformer, **params):
    return Estimator(**{"max_epochs": 1, "random_state": 0, **params})


@pytest.fixture(scope="module")
def fitted():
    """A SimCLRTransformer of texts, which no test may change."""
    return make().fit(TEXTS)


@every_method
def test_forty_short_texts(Estimator):
    ssl = make(Estimator).fit(TEXTS)
    Z = ssl.transform(TEXTS)
    assert Z.shape == (40, 128)
    assert Z.dtype == np.float32
    assert np.isfinite(Z).all()
    assert np.isfinite(ssl.score(TEXTS))
    assert ssl.score(TEXTS) == ssl.score(TEXTS)
    np.testing.assert_array_equal(clone(ssl).fit_transform(TEXTS), Z)
    assert not np.array_equal(make(Estimator, max_epochs=0).fit_transform(TEXTS), Z)
    twin = pickle.loads(pickle.dumps(ssl))
    np.testing.assert_array_equal(twin.transform(TEXTS), Z)
    assert twin.score(TEXTS) == ssl.score(TEXTS)


@pytest.mark.parametrize("name", ["SwAV", "DINO", "LeJEPA"])
def test_local_views(name):
    Estimator = getattr(sklearn_ssl, f"{name}Transformer")
    ssl = make(Estimator, n_local=3).fit(TEXTS)
    task = ssl.task_
    lengths = []
    task.encoder.register_forward_hook(
        lambda module, args, output: lengths.append((args[0] >= 0).sum(dim=1).float().mean())
    )
    batch = ssl.input_spec_.to_tensor(ssl.input_spec_.rows_of(ssl, [LONG] * 8)[0][np.arange(8)])
    task.generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        assert torch.isfinite(task(batch))
    assert min(lengths) < 0.7 * max(lengths)


def test_what_is_known_of_texts(fitted):
    spec = fitted.input_spec_
    assert spec.modality == "text"
    assert (spec.n_samples, spec.max_length) == (40, 256)
    assert spec.vocabulary_size == len(WORDS) + 4
    np.testing.assert_array_equal(
        fitted.transform(["THE Cat sat"]), fitted.transform(["the cat sat"])
    )
    assert not hasattr(fitted, "n_features_in_")
    assert fitted.get_feature_names_out().tolist() == [f"simclrtransformer{i}" for i in range(128)]


def test_a_text_is_embedded_alike_in_any_company(fitted):
    texts = [*TEXTS, "", LONG, "words that nobody knows"]
    Z = fitted.transform(texts)
    order = rng.permutation(len(texts))
    np.testing.assert_array_equal(fitted.transform([texts[i] for i in order]), Z[order])
    for i in (0, 40, 41, 42):
        assert_equal_but_for_rounding(fitted.transform(texts[i : i + 1]), Z[i : i + 1])


def test_a_long_text_is_the_mean_of_its_pieces(fitted):
    spec = fitted.input_spec_
    rows, owners, shares = spec.rows_of(fitted, ["the cat", LONG])
    assert len(rows) > 3
    assert owners.tolist() == [0] + [1] * (len(rows) - 1)
    np.testing.assert_allclose(np.bincount(owners, shares), 1)
    with torch.inference_mode():
        pieces = [
            fitted.encoder_(spec.to_tensor(rows[np.array([i])])).numpy() for i in range(len(rows))
        ]
    expected = shares[1:] @ np.concatenate(pieces[1:])
    np.testing.assert_allclose(fitted.transform(["a dog", LONG])[1], expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(
    "duplicate", [through_skops, through_model_file, lambda e: pickle.loads(pickle.dumps(e))]
)
def test_copies_embed_alike_and_go_on(duplicate, fitted, tmp_path):
    twin = duplicate(fitted)
    np.testing.assert_array_equal(twin.transform(TEXTS), fitted.transform(TEXTS))
    twin.partial_fit(TEXTS[:20])
    assert not np.array_equal(twin.transform(TEXTS), fitted.transform(TEXTS))
    np.testing.assert_array_equal(make().fit(TEXTS).transform(TEXTS), fitted.transform(TEXTS))
    path = tmp_path / "texts.joblib"
    joblib.dump(fitted, path)
    assert b"spring fell" not in path.read_bytes()


@pytest.mark.parametrize("method", ["partial_fit", "warm_start"])
def test_a_training_goes_on_with_its_vocabulary(method):
    ssl = make(warm_start=True).fit(TEXTS)
    spec = ssl.input_spec_
    (ssl.fit if method == "warm_start" else ssl.partial_fit)(["new words about a cat"] * 9)
    assert ssl.input_spec_ is spec
    assert ssl.n_iter_ == 2
    assert np.isfinite(ssl.transform(TEXTS)).all()


def test_unlabeled_texts_are_read_like_others():
    ssl = make().fit(TEXTS[:20], X_unlabeled=pd.Series(TEXTS[20:]))
    np.testing.assert_array_equal(ssl.transform(TEXTS), make().fit(TEXTS).transform(TEXTS))


def test_a_fit_forgets_the_kind_of_the_one_before(fitted):
    numbers = rng.normal(size=(40, 3))
    ssl = make().fit(pd.DataFrame(numbers, columns=["a", "b", "c"])).fit(TEXTS)
    assert not hasattr(ssl, "n_features_in_")
    assert not hasattr(ssl, "feature_names_in_")
    np.testing.assert_array_equal(ssl.transform(TEXTS), fitted.transform(TEXTS))
    assert ssl.fit(numbers).n_features_in_ == 3


@pytest.mark.parametrize("method", ["transform", "score", "partial_fit"])
def test_numbers_after_texts_are_refused(method, fitted):
    numbers = rng.normal(size=(40, 3))
    with pytest.raises(ValueError, match="SimCLRTransformer expects an iterable of str"):
        getattr(clone(fitted).fit(TEXTS), method)(numbers)
    with pytest.raises(ValueError, match="SimCLRTransformer expects an iterable of str"):
        clone(fitted).fit(TEXTS, X_unlabeled=numbers)


@pytest.mark.parametrize(
    ("texts", "match"),
    [
        (["", ""], "empty texts only: nothing to learn"),
        (["one text"], "needs at least two pieces of text"),
        (["a text", ""], r"got 2 text\(s\) with 1"),
    ],
)
def test_too_little_to_learn_from(texts, match):
    with pytest.raises(ValueError, match=match):
        make().fit(texts)


@pytest.mark.parametrize(
    ("texts", "match"), [([""], "nothing to score"), (["the cat", ""], "at least two texts")]
)
def test_too_few_texts_to_score(texts, match, fitted):
    with pytest.raises(ValueError, match=match):
        fitted.score(texts)


def test_parameters_of_the_encoder():
    ssl = make(encoder="transformer", n_components=5).fit(TEXTS)
    assert ssl.transform(TEXTS).shape == (40, 5)
    assert type(ssl.encoder_[0]).__name__ == "TextEncoder"
    with pytest.raises(
        ValueError, match="'vit' names no network for this kind of data: X is a text"
    ):
        make(encoder="vit").fit(TEXTS)
    seen = []

    def bag(shape):
        seen.append(shape)
        return MeanOfWords(shape[0])

    ssl = make(encoder=bag).fit(TEXTS)
    assert seen == [ssl.input_spec_.shape] == [(len(WORDS) + 4, 256)]
    assert ssl.transform(TEXTS).shape == (40, 7)


class MeanOfWords(torch.nn.Module):
    """The simplest network of texts."""

    def __init__(self, vocabulary_size):
        super().__init__()
        self.words = torch.nn.EmbeddingBag(vocabulary_size + 1, 7, padding_idx=vocabulary_size)

    def forward(self, ids):
        return self.words(torch.where(ids < 0, len(self.words.weight) - 1, ids))


# With the rest of scikit-learn ---------------------------------------------------------------


def test_augmentation_in_a_search():
    model = make_pipeline(make(), LogisticRegression())
    augments = [None, TextAugmentation(crop=(0.5, 1)), [TextAugmentation(deletion=0.5)]]
    search = GridSearchCV(model, {"simclrtransformer__augment": augments}, cv=2)
    assert np.isfinite(search.fit(TEXTS, LABELS).cv_results_["mean_test_score"]).all()
    assert cross_val_score(model, np.array(TEXTS), LABELS, cv=2).shape == (2,)
    with pytest.raises(ValueError, match=r"TextAugmentation.* changes data of the kind 'text'"):
        make(augment=TextAugmentation()).fit(rng.normal(size=(40, 3)))


@pytest.mark.parametrize("frame", [pd.DataFrame, pl.DataFrame])
def test_a_column_of_texts_beside_numbers(frame):
    X = frame({"review": TEXTS, "price": np.arange(40.0)})
    columns = ColumnTransformer([("ssl", make(), "review"), ("scale", StandardScaler(), ["price"])])
    Z = columns.fit_transform(X)
    assert Z.shape == (40, 129)
    np.testing.assert_array_equal(Z[:, :-1], make().fit_transform(TEXTS))
    framed = make().set_output(transform="pandas").fit_transform(pd.Series(TEXTS, name="review"))
    np.testing.assert_array_equal(framed, Z[:, :-1])


@pytest.mark.parametrize("strategy", ["probe", "probe-then-full", "full"])
def test_few_labels(strategy):
    y = np.where(np.arange(40) < 20, LABELS.astype(int), -1)
    model = FineTuneClassifier(make(), strategy=strategy, max_epochs=2, random_state=0)
    model.fit([*TEXTS[:39], LONG], y)
    assert model.predict_proba(TEXTS).shape == (40, 2)
    assert model.transformer_.input_spec_.modality == "text"


def test_labeled_texts_change_as_in_the_pretraining():
    ssl = make(augment=TextAugmentation(deletion=0.5)).fit(TEXTS)
    model = FineTuneClassifier(ssl, strategy="full", augment="auto", max_epochs=1, random_state=0)
    assert augmentation_of(model).deletion == 0.5
    plain = clone(model).set_params(augment=None)
    changed, same = (m.fit(TEXTS, LABELS).decision_function(TEXTS) for m in (model, plain))
    assert not np.array_equal(changed, same)


def test_evaluation():
    report = evaluate_representation(
        make(), TEXTS, LABELS, labels_per_class=3, n_draws=2, random_state=0
    )
    assert report.titles["raw"] == "TF-IDF"


# What a representation is worth ---------------------------------------------------------------


@pytest.mark.slow
@pytest.mark.parametrize("Estimator", [SimCLRTransformer, VICRegTransformer])
def test_five_labels_a_topic_are_worth_more_than_without_training(Estimator):
    texts, topics = load_scipy_docstrings()
    train, test, y, y_test = train_test_split(texts, topics, test_size=0.4, random_state=0)
    accuracies = []
    for n_epochs in (0, 20):
        ssl = make(Estimator, max_epochs=n_epochs).fit(train)
        Z, Z_test = ssl.transform(train), ssl.transform(test)
        draws = [draw_labels(y, 5, random_state=draw) for draw in range(5)]
        probe = make_pipeline(StandardScaler(), LogisticRegression(C=0.01, max_iter=1000))
        scores = [probe.fit(Z[few], y[few]).score(Z_test, y_test) for few in draws]
        accuracies.append(np.mean(scores))
    assert accuracies[1] > accuracies[0] + 0.05
