"""The contract of every estimator of texts: scikit-learn's checks, and their like for texts."""

import copy
import inspect
import io
import pickle
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from itertools import product

import joblib
import numpy as np
import pandas as pd
import polars as pl
import pytest
import sklearn
import torch
from sklearn.base import clone
from sklearn.compose import ColumnTransformer
from sklearn.exceptions import NotFittedError
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV, cross_val_score
from sklearn.pipeline import FeatureUnion, Pipeline, make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.utils import estimator_checks
from sklearn.utils._param_validation import InvalidParameterError
from skorch.callbacks import Callback
from tokenizers import Tokenizer

from sklearn_ssl import (
    BaseTextTransformer,
    CausalLMEmbedder,
    MaskedLMEmbedder,
    Sent2VecTransformer,
    SimCSETransformer,
    TSDAETransformer,
    tokenization,
)
from sklearn_ssl.tokenization import train_tokenizer
from tests.helpers import assert_equal_but_for_rounding, every_copy

ESTIMATORS = [
    *(MaskedLMEmbedder, CausalLMEmbedder, SimCSETransformer, TSDAETransformer),
    Sent2VecTransformer,
]
every_estimator = pytest.mark.parametrize("Estimator", ESTIMATORS)

# check_estimator runs none of its checks on what takes no tables. These want no X, or refuse it.
CHECKS = [
    estimator_checks.check_do_not_raise_errors_in_init_or_set_params,
    estimator_checks.check_estimator_cloneable,
    estimator_checks.check_estimator_repr,
    estimator_checks.check_estimator_tags_renamed,
    estimator_checks.check_estimators_unfitted,
    estimator_checks.check_get_feature_names_out_error,
    estimator_checks.check_get_params_invariance,
    estimator_checks.check_mixin_order,
    estimator_checks.check_no_attributes_set_in_init,
    estimator_checks.check_param_validation,
    estimator_checks.check_parameters_default_constructible,
    estimator_checks.check_set_params,
    estimator_checks.check_transformers_unfitted,
    estimator_checks.check_valid_tag_types,
]

TEXTS = (
    "the cat sat on the mat",
    "the dog lay on the rug, and the cat lay on the dog, and it rained and rained",
    "it rains",
    "",
    "naïve cafés, 漢字 and 😀",
    "a cat is a cat is a cat",
    "the rug is on the mat",
    "it rained on the dog",
    "dogs",
    "a dog and a cat sat in the rain",
)
OTHERS = ("a mouse ran up the clock", "the clock struck one", "and down it ran")
# A BPE for all, also for the estimator whose default is words.
SMALL = {"width": 16, "max_length": 16, "vocabulary_size": 300, "tokenizer": None}
SMALL |= {"lowercase": False, "max_epochs": 1, "random_state": 0}
SMALL_TRANSFORMER = {"depth": 1, "n_heads": 2}
SEVERAL_STEPS = {
    "batch_size": 4
}  # the first one only moves the head of Sent2Vec, which starts at 0


def make(Estimator, **params):
    own = SMALL_TRANSFORMER if issubclass(Estimator, BaseTextTransformer) else SEVERAL_STEPS
    return Estimator(**{**SMALL, **own, **params})


def takes(Estimator, params):
    """Say whether an estimator has all of these parameters."""
    return params.keys() <= inspect.signature(Estimator).parameters.keys()


@pytest.fixture(scope="module")
def fitted():
    """An estimator of each class, which no test may change."""
    return {Estimator: make(Estimator).fit(TEXTS) for Estimator in ESTIMATORS}


# scikit-learn's checks ------------------------------------------------------------------------


@every_estimator
@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__)
def test_sklearn_check(Estimator, check):
    check(Estimator.__name__, make(Estimator))


@every_estimator
def test_tags_say_that_it_takes_texts(Estimator):
    tags = Estimator().__sklearn_tags__()
    assert tags.input_tags.string
    assert tags.input_tags.one_d_array
    assert not tags.input_tags.two_d_array
    assert not tags.input_tags.allow_nan
    assert not tags.target_tags.required
    assert tags.transformer_tags.preserves_dtype == ["float32"]


# Parameters -----------------------------------------------------------------------------------


@every_estimator
def test_every_parameter_has_a_default_and_is_stored_as_it_is(Estimator):
    parameters = inspect.signature(Estimator).parameters
    assert all(p.kind is p.KEYWORD_ONLY and p.default is not p.empty for p in parameters.values())
    values = {name: object() for name in parameters}
    estimator = Estimator(**values)
    for name, value in values.items():
        assert getattr(estimator, name) is value
    assert estimator.get_params(deep=False) == values
    assert {*parameters} == {*Estimator._parameter_constraints}
    default = Estimator()
    for name, parameter in parameters.items():
        assert getattr(default, name) is parameter.default
    assert not {name for name in vars(default) if name.endswith("_")}


@every_estimator
def test_parameters_are_set_and_cloned(Estimator):
    estimator = make(Estimator, lr=0.5)
    assert estimator.set_params(width=32, lowercase=True) is estimator
    expected = make(Estimator, lr=0.5, width=32, lowercase=True)
    assert estimator.get_params() == expected.get_params()
    twin = clone(estimator)
    assert twin is not estimator
    assert twin.get_params() == estimator.get_params()
    with pytest.raises(ValueError, match="Invalid parameter 'encoder'"):
        estimator.set_params(encoder=None)


@every_estimator
def test_representation(Estimator):
    assert repr(Estimator()) == f"{Estimator.__name__}()"
    estimator = make(Estimator, lr=0.25)
    assert eval(repr(estimator)).get_params() == estimator.get_params()
    assert "lr=0.25" in repr(estimator)
    assert Estimator.__name__ in estimator._repr_html_()


@every_estimator
def test_a_tokenizer_as_a_parameter(Estimator):
    tokenizer = train_tokenizer(TEXTS, 300)
    before = tokenizer.to_str()
    estimator = make(Estimator, tokenizer=tokenizer)
    twin = clone(estimator)
    assert isinstance(twin.tokenizer, Tokenizer)
    assert twin.tokenizer is not tokenizer
    Z = estimator.fit_transform(TEXTS)
    assert estimator.tokenizer is tokenizer
    assert tokenizer.to_str() == before
    np.testing.assert_array_equal(make(Estimator).fit_transform(TEXTS), Z)
    np.testing.assert_array_equal(twin.fit_transform(TEXTS), Z)
    np.testing.assert_array_equal(pickle.loads(pickle.dumps(estimator)).transform(TEXTS), Z)
    assert len(repr(estimator)) < 3000


BAD_PARAMS = [
    {"tokenizer": 5},
    {"tokenizer": b"byte"},
    {"tokenizer": ["char"]},
    {"tokenizer": Tokenizer},
    {"vocabulary_size": 10},
    {"vocabulary_size": 258},
    {"vocabulary_size": 300.0},
    {"max_length": 3},
    {"max_length": None},
    {"max_length": 16.0},
    {"width": 1},
    {"width": 0},
    {"width": None},
    {"width": 18, "n_heads": 2},
    {"width": 16, "n_heads": 3},
    {"width": 12, "n_heads": 4},
    {"depth": 0},
    {"depth": 1.5},
    {"n_heads": 0},
    {"dropout": 1},
    {"dropout": 1.0},
    {"dropout": -0.1},
    {"dropout": np.nan},
    {"dropout": None},
    {"pooling": "max"},
    {"pooling": ""},
    {"vocabulary_size": 10**10},
    {"max_length": 10**10},
    {"max_length": 2**63},
    {"width": 10**10},
    {"width": 2**14, "n_heads": 1},
    {"depth": 10**10},
    {"depth": 10**30},
    {"n_heads": 10**10},
    {"pretrained": 5},
    {"pretrained": True},
    {"max_epochs": -1},
    {"max_epochs": 1.5},
    {"batch_size": 1},
    {"batch_size": 0},
    {"optimizer": "adamw"},
    {"lr": 0},
    {"lr": -1e-3},
    {"weight_decay": -1},
    {"early_stopping": "yes"},
    {"validation_fraction": 1.0},
    {"n_iter_no_change": 0},
    {"warm_start": None},
    {"callbacks": print},
    {"device": 0},
    {"precision": "float16"},
    {"verbose": -1},
    {"random_state": "seed"},
]
OWN_BAD_PARAMS = [
    *((MaskedLMEmbedder, {"mask_ratio": ratio}) for ratio in (0, 1.5, -0.1, np.nan, None, "all")),
    *((SimCSETransformer, {"temperature": value}) for value in (0, -1, None)),
    (SimCSETransformer, {"dropout": 0}),
    *((TSDAETransformer, {"deletion": value}) for value in (1, -0.1, np.nan, None)),
    *((TSDAETransformer, {"decoder_depth": value}) for value in (0, 1.5, None)),
    *((Sent2VecTransformer, {"mask_ratio": ratio}) for ratio in (0, 1, -0.1, np.nan, None)),
    *((Sent2VecTransformer, {"subsampling": value}) for value in (0, -1e-4, None)),
]
BAD_PARAMS = [(E, params) for E in ESTIMATORS for params in BAD_PARAMS if takes(E, params)]
BAD_PARAMS += OWN_BAD_PARAMS


@pytest.mark.parametrize(("Estimator", "params"), BAD_PARAMS, ids=lambda value: str(value)[-60:])
def test_bad_parameters_are_refused_before_anything_is_learned(Estimator, params, monkeypatch):
    def learn(*args):
        pytest.fail("a tokenizer was trained")

    monkeypatch.setattr(tokenization, "resolve_tokenizer", learn)
    estimator = make(Estimator, **params)
    before = dict(vars(estimator))
    name = "width" if "width" in params else next(iter(params))
    for method in ("fit", "partial_fit", "fit_transform"):
        with pytest.raises(ValueError, match=name) as caught:
            getattr(estimator, method)(TEXTS)
        multiple = "multiple of twice n_heads" in str(caught.value)
        assert multiple or isinstance(caught.value, InvalidParameterError)
        assert vars(estimator) == before


GOOD_PARAMS = [
    {"max_length": 4},
    {"vocabulary_size": 259},
    {"width": 2, "n_heads": 1},
    {"width": 12, "n_heads": 3},
    {"dropout": 0.99},
    {"pooling": "last"},
    {"pooling": "cls"},
    {"lr": 1e-9, "weight_decay": 0},
    {"batch_size": 2},
    {"precision": "bfloat16"},
    {"optimizer": torch.optim.SGD},
    {"depth": 3},
    {"batch_size": 10**10},
    {"vocabulary_size": 10**6},
    {"early_stopping": True, "n_iter_no_change": 10**10},
]


@every_estimator
@pytest.mark.parametrize("params", GOOD_PARAMS, ids=str)
def test_parameters_at_their_limits(Estimator, params):
    if not takes(Estimator, params):
        return
    estimator = make(Estimator, **params)
    Z = estimator.fit_transform(TEXTS)
    assert Z.shape == (len(TEXTS), estimator.width)
    assert np.isfinite(Z).all()
    assert np.isfinite(estimator.score(TEXTS))
    assert estimator.input_spec_.max_length == estimator.max_length


@pytest.mark.parametrize("mask_ratio", [1e-9, 1, 1.0])
def test_mask_ratio_at_its_limits(mask_ratio):
    estimator = make(MaskedLMEmbedder, mask_ratio=mask_ratio).fit(TEXTS)
    assert np.isfinite(estimator.transform(TEXTS)).all()


@pytest.mark.parametrize("Estimator", [MaskedLMEmbedder, CausalLMEmbedder, TSDAETransformer])
def test_without_dropout(Estimator):
    estimator = make(Estimator, dropout=0).fit(TEXTS)
    assert np.isfinite(estimator.transform(TEXTS)).all()


@every_estimator
def test_parameters_matter(Estimator, fitted):
    Z = fitted[Estimator].transform(TEXTS)
    changes = [
        {"max_length": 8},
        {"vocabulary_size": 290},
        {"tokenizer": "byte"},
        {"tokenizer": "word"},
        {"depth": 2},
        {"n_heads": 4},
        {"dropout": 0.5},
        {"pooling": "last"},
        {"max_epochs": 2},
        {"batch_size": 3},
        {"lr": 1e-3},
        {"weight_decay": 10},
        {"optimizer": torch.optim.SGD},
    ]
    changes += {
        MaskedLMEmbedder: [{"mask_ratio": 0.5}],
        SimCSETransformer: [{"temperature": 0.5}],
        TSDAETransformer: [{"deletion": 0.3}, {"decoder_depth": 2}],
        Sent2VecTransformer: [{"mask_ratio": 0.3}, {"subsampling": 1.0}],
    }.get(Estimator, [])
    for params in changes:
        if not takes(Estimator, params):
            continue
        assert not np.array_equal(make(Estimator, **params).fit_transform(TEXTS), Z), params


@every_estimator
def test_a_tokenizer_that_is_learned_may_read_lower_case(Estimator):
    upper = [text.upper() for text in TEXTS]
    for tokenizer in (None, "word", "char", "byte"):
        ssl = make(Estimator, tokenizer=tokenizer, lowercase=True).fit(TEXTS)
        np.testing.assert_array_equal(ssl.transform(upper), ssl.transform(TEXTS))
        ssl.set_params(lowercase=False).fit(TEXTS)
        assert not np.array_equal(ssl.transform(upper), ssl.transform(TEXTS))
    supplied = make(Estimator, tokenizer=train_tokenizer(TEXTS, 300), lowercase=True)
    assert not np.array_equal(supplied.fit_transform(TEXTS), supplied.transform(upper))


# Fit and transform ----------------------------------------------------------------------------


@every_estimator
def test_fit_returns_itself_and_is_idempotent(Estimator):
    estimator = make(Estimator)
    assert estimator.fit(TEXTS) is estimator
    Z, score = estimator.transform(TEXTS), estimator.score(TEXTS)
    estimator.fit(TEXTS)
    np.testing.assert_array_equal(estimator.transform(TEXTS), Z)
    assert estimator.score(TEXTS) == score
    assert estimator.n_iter_ == 1


@every_estimator
def test_a_fit_forgets_the_one_before(Estimator, fitted):
    estimator = make(Estimator).fit(OTHERS)
    np.testing.assert_array_equal(
        estimator.fit(TEXTS).transform(TEXTS), fitted[Estimator].transform(TEXTS)
    )


@every_estimator
def test_fit_transform_is_fit_and_transform(Estimator, fitted):
    estimator = make(Estimator)
    Z = fitted[Estimator].transform(TEXTS)
    np.testing.assert_array_equal(estimator.fit_transform(TEXTS), Z)
    np.testing.assert_array_equal(estimator.transform(TEXTS), Z)
    Z_more = make(Estimator).fit(TEXTS, X_unlabeled=OTHERS).transform(TEXTS)
    np.testing.assert_array_equal(estimator.fit_transform(TEXTS, X_unlabeled=OTHERS), Z_more)


@every_estimator
def test_x_and_parameters_are_unchanged(Estimator):
    X = np.array(TEXTS, object)
    X_list, params = list(TEXTS), make(Estimator).get_params()
    estimator = make(Estimator)
    for texts in (X, X_list):
        estimator.fit(texts, X_unlabeled=texts)
        estimator.partial_fit(texts)
        estimator.transform(texts)
        estimator.score(texts)
    assert X.tolist() == X_list == list(TEXTS)
    assert estimator.get_params() == params


@every_estimator
def test_y_is_ignored(Estimator, fitted):
    Z = fitted[Estimator].transform(TEXTS)
    for y in (np.arange(len(TEXTS)), ["a"] * len(TEXTS), [np.nan], object()):
        np.testing.assert_array_equal(make(Estimator).fit(TEXTS, y).transform(TEXTS), Z)
        np.testing.assert_array_equal(make(Estimator).fit_transform(TEXTS, y), Z)
        assert fitted[Estimator].score(TEXTS, y) == fitted[Estimator].score(TEXTS)
    np.testing.assert_array_equal(
        make(Estimator).partial_fit(TEXTS, [1]).transform(TEXTS),
        make(Estimator).partial_fit(TEXTS).transform(TEXTS),
    )


@every_estimator
def test_not_fitted_yet(Estimator):
    estimator = make(Estimator)
    for method in ("transform", "score", "perplexity", "generate", "fill_mask"):
        if hasattr(estimator, method):
            with pytest.raises(NotFittedError, match=f"This {Estimator.__name__} instance is not"):
                getattr(estimator, method)(["a [MASK]"])
    with pytest.raises(NotFittedError):
        estimator.get_feature_names_out()
    for name in ("encoder_", "tokenizer_"):
        with pytest.raises(NotFittedError):
            getattr(estimator, name)


@every_estimator
@pytest.mark.parametrize("width", [16, 24])
def test_embeddings_are_finite_numbers_of_the_width(Estimator, width):
    estimator = make(Estimator, width=width)
    Z = estimator.fit_transform(TEXTS)
    assert type(Z) is np.ndarray
    assert Z.dtype == np.float32
    assert Z.shape == (len(TEXTS), width)
    assert np.isfinite(Z).all()
    assert len(np.unique(Z, axis=0)) == len(TEXTS)
    assert estimator.encoder_.output_dim == width


@every_estimator
def test_attributes(Estimator, fitted):
    estimator = fitted[Estimator]
    assert estimator.n_iter_ == 1
    assert estimator.loss_curve_ == estimator.history_["train_loss"]
    assert len(estimator.history_["duration"]) == 1
    assert np.isfinite(estimator.loss_curve_).all()
    assert estimator.batch_size_ >= 4
    assert estimator.encoder_ is estimator.task_.encoder
    assert not estimator.task_.training
    vocabulary = estimator.tokenizer_.get_vocab()
    assert len(vocabulary) == estimator.input_spec_.vocabulary_size <= 300
    assert "Ġcat" in vocabulary


@every_estimator
def test_the_tokenizer_that_is_given_out_may_be_changed(Estimator, fitted):
    Z = fitted[Estimator].transform(TEXTS)
    tokenizer = fitted[Estimator].tokenizer_
    assert tokenizer.encode(TEXTS[0]).ids
    tokenizer.enable_truncation(1)
    tokenizer.add_tokens(["cat"])
    np.testing.assert_array_equal(fitted[Estimator].transform(TEXTS), Z)
    np.testing.assert_array_equal(make(Estimator).fit_transform(TEXTS), Z)


@every_estimator
def test_score_is_finite_and_the_same_at_every_call(Estimator, fitted):
    score = fitted[Estimator].score(TEXTS)
    assert isinstance(score, float)
    assert np.isfinite(score)
    assert score <= 0
    fitted[Estimator].transform(OTHERS)
    assert fitted[Estimator].score(list(TEXTS)) == score
    assert fitted[Estimator].score(OTHERS) != score


# A text's embedding is its own ----------------------------------------------------------------


@every_estimator
def test_a_text_is_embedded_alike_in_any_company(Estimator, fitted):
    estimator = fitted[Estimator]
    texts = [*TEXTS, *OTHERS, " ".join(TEXTS)]
    Z = estimator.transform(texts)
    order = np.random.default_rng(0).permutation(len(texts))
    np.testing.assert_array_equal(estimator.transform([texts[i] for i in order]), Z[order])
    assert_equal_but_for_rounding(estimator.transform(texts[3:7]), Z[3:7])
    assert_equal_but_for_rounding(estimator.transform(texts * 5), np.tile(Z, (5, 1)))
    for i, text in enumerate(texts):
        assert_equal_but_for_rounding(estimator.transform([text]), Z[i : i + 1])


@every_estimator
@pytest.mark.parametrize("length", [4, 6, 14])
def test_a_text_is_embedded_alike_in_a_full_batch(Estimator, length):
    estimator = make(Estimator, tokenizer="byte").fit(TEXTS)
    rng = np.random.default_rng(0)
    texts = ["".join(row) for row in rng.choice(list("abc def"), (300, length))]
    Z = estimator.transform(texts)  # 128 texts of 8 tokens, as 6 letters are, fill a batch
    for i in (0, 127, 128, 255, 299):
        assert_equal_but_for_rounding(estimator.transform(texts[i : i + 1])[0], Z[i])
    shorter = estimator.transform([*texts[:64], *(text[1:] for text in texts)])
    assert_equal_but_for_rounding(shorter[:64], Z[:64])


@every_estimator
def test_the_mean_over_the_pieces_of_a_long_text(Estimator, fitted):
    estimator = fitted[Estimator]
    text = " ".join(TEXTS)
    ids = estimator.tokenizer_.encode(text).ids
    begin, end = (estimator.tokenizer_.token_to_id(name) for name in ("[CLS]", "[SEP]"))
    pieces = [[begin, *ids[i : i + 14]] for i in range(0, len(ids), 14)]
    pieces[-1].append(end)
    assert len(pieces) > 3
    with torch.no_grad():
        embeddings = [estimator.encoder_(torch.tensor([piece])).numpy()[0] for piece in pieces]
    expected = np.average(embeddings, axis=0, weights=[len(piece) for piece in pieces])
    np.testing.assert_allclose(estimator.transform([text])[0], expected, rtol=1e-4, atol=1e-5)


# Containers -----------------------------------------------------------------------------------

CONTAINERS = {
    "list": list,
    "tuple": tuple,
    "generator": lambda texts: (text for text in texts),
    "ndarray of str": np.array,
    "ndarray of object": lambda texts: np.array(texts, dtype=object),
    "ndarray of StringDType": lambda texts: np.array(texts, dtype=np.dtypes.StringDType()),
    "strided ndarray": lambda texts: np.repeat(np.array(texts), 2)[::2],
    "Series": pd.Series,
    "Series of object": lambda texts: pd.Series(texts, dtype=object),
    "Series of string": lambda texts: pd.Series(texts, dtype="string"),
    "Series of arrow": lambda texts: pd.Series(texts, dtype="string[pyarrow]"),
    "Series of category": lambda texts: pd.Series(texts, dtype="category"),
    "Series with an index": lambda texts: pd.Series(texts, index=range(len(texts), 0, -1)),
    "Index": pd.Index,
    "polars Series": pl.Series,
}


# All of them for one estimator, and one for the others: what reads texts knows no estimators.
@pytest.mark.parametrize(
    ("Estimator", "name"),
    [(MaskedLMEmbedder, name) for name in CONTAINERS] + [(E, "Series") for E in ESTIMATORS[1:]],
)
def test_containers_of_texts(Estimator, name, fitted):
    contain = CONTAINERS[name]
    Z, score = fitted[Estimator].transform(TEXTS), fitted[Estimator].score(TEXTS)
    estimator = make(Estimator).fit(contain(TEXTS))
    np.testing.assert_array_equal(estimator.transform(contain(TEXTS)), Z)
    np.testing.assert_array_equal(make(Estimator).fit_transform(contain(TEXTS)), Z)
    assert estimator.score(contain(TEXTS)) == score
    np.testing.assert_array_equal(
        estimator.partial_fit(contain(TEXTS)).transform(TEXTS),
        make(Estimator).fit(TEXTS).partial_fit(TEXTS).transform(TEXTS),
    )


@every_estimator
@pytest.mark.parametrize(
    ("container", "kind"),
    [("default", np.ndarray), ("pandas", pd.DataFrame), ("polars", pl.DataFrame)],
)
def test_output_containers(Estimator, container, kind, fitted):
    Z = fitted[Estimator].transform(TEXTS)
    estimator = make(Estimator).set_output(transform=container)
    for texts in (TEXTS, iter(TEXTS)):
        framed = estimator.fit_transform(texts)
        assert isinstance(framed, kind)
        np.testing.assert_array_equal(np.asarray(framed), Z)
    framed = estimator.transform(iter(TEXTS))
    assert isinstance(framed, kind)
    np.testing.assert_array_equal(np.asarray(framed), Z)
    if container != "default":
        assert list(framed.columns) == estimator.get_feature_names_out().tolist()
    with sklearn.config_context(transform_output=container):
        assert isinstance(fitted[Estimator].transform(TEXTS), kind)


@every_estimator
def test_a_pandas_index_is_kept(Estimator):
    X = pd.Series(TEXTS, index=[f"review {i}" for i in range(len(TEXTS))], name="review")
    estimator = make(Estimator).set_output(transform="pandas")
    for framed in (estimator.fit_transform(X), estimator.transform(X)):
        pd.testing.assert_index_equal(framed.index, X.index)
        assert (framed.dtypes == np.float32).all()


@every_estimator
def test_names_of_features(Estimator, fitted):
    name = Estimator.__name__.lower()
    expected = [f"{name}{i}" for i in range(16)]
    assert fitted[Estimator].get_feature_names_out().tolist() == expected
    assert fitted[Estimator].get_feature_names_out(["review"]).tolist() == expected
    if Estimator is MaskedLMEmbedder:
        assert expected[0] == "maskedlmembedder0"


# Determinism ----------------------------------------------------------------------------------


def fit_and_embed(Estimator, random_state=0, **params):
    return make(Estimator, max_epochs=2, random_state=random_state, **params).fit_transform(TEXTS)


@every_estimator
@pytest.mark.parametrize("backend", ["loky", "threading"])
def test_same_seed_same_embedding_in_parallel(Estimator, backend):
    serial = [fit_and_embed(Estimator, seed) for seed in range(4)]
    parallel = joblib.Parallel(n_jobs=2, backend=backend)(
        joblib.delayed(fit_and_embed)(Estimator, seed) for seed in range(4)
    )
    for expected, Z in zip(serial, parallel):
        np.testing.assert_array_equal(Z, expected)


@every_estimator
def test_another_seed_gives_another_embedding(Estimator):
    Z = fit_and_embed(Estimator, 0)
    assert not np.array_equal(fit_and_embed(Estimator, 1), Z)
    untrained = make(Estimator, max_epochs=0, random_state=0).fit_transform(TEXTS)
    assert not np.array_equal(untrained, Z)


@every_estimator
def test_the_number_of_threads_has_no_say(Estimator):
    Z = fit_and_embed(Estimator)
    before = torch.get_num_threads()
    torch.set_num_threads(before + 2)
    try:
        np.testing.assert_array_equal(fit_and_embed(Estimator), Z)
    finally:
        torch.set_num_threads(before)


@every_estimator
def test_the_global_streams_have_no_say_with_an_int_seed(Estimator):
    Z = fit_and_embed(Estimator)
    with torch.random.fork_rng():
        torch.manual_seed(1234)
        np.testing.assert_array_equal(fit_and_embed(Estimator), Z)


@every_estimator
def test_global_state_is_left_alone(Estimator, random_streams_untouched):
    before = torch.get_num_threads()
    torch.set_num_threads(3)
    try:
        estimator = make(Estimator).fit(TEXTS)
        estimator.partial_fit(TEXTS)
        estimator.transform(TEXTS)
        estimator.score(TEXTS)
        pickle.loads(pickle.dumps(estimator))
        assert torch.get_num_threads() == 3
    finally:
        torch.set_num_threads(before)


@every_estimator
def test_seed_may_be_a_random_state(Estimator):
    estimator = make(Estimator, random_state=np.random.RandomState(0))
    first = estimator.fit_transform(TEXTS)
    assert not np.array_equal(estimator.fit_transform(TEXTS), first)  # the stream went on
    estimator.set_params(random_state=np.random.RandomState(0))
    np.testing.assert_array_equal(estimator.fit_transform(TEXTS), first)


# Files ----------------------------------------------------------------------------------------


@every_estimator
@every_copy
def test_copies_embed_alike(Estimator, duplicate, fitted):
    estimator = make(Estimator, early_stopping=True).fit(TEXTS)
    Z = estimator.transform(TEXTS)
    twin = duplicate(estimator)
    np.testing.assert_array_equal(twin.transform(TEXTS), Z)
    assert twin.score(TEXTS) == estimator.score(TEXTS)
    assert twin.history_ == estimator.history_
    assert twin.get_params() == estimator.get_params()
    twin.fit(OTHERS * 2)  # and training one leaves the other alone
    twin.partial_fit(OTHERS)
    np.testing.assert_array_equal(estimator.transform(TEXTS), Z)


@every_estimator
def test_unfitted_copies_stay_unfitted(Estimator):
    estimator = make(Estimator)
    for twin in (copy.deepcopy(estimator), pickle.loads(pickle.dumps(estimator))):
        assert vars(twin) == vars(estimator)
        with pytest.raises(NotFittedError):
            twin.transform(TEXTS)


FRESH_PROCESS = """
import sys, joblib
results = []
for path in sys.argv[2:]:
    estimator, texts = joblib.load(path)
    Z, score = estimator.transform(texts), estimator.score(texts)
    results.append((Z, score, estimator.fit_transform(texts)))
joblib.dump(results, sys.argv[1])
"""


def test_a_fresh_process_embeds_and_fits_alike(tmp_path):
    estimators = [
        make(Estimator, tokenizer=tokenizer)
        for Estimator in ESTIMATORS
        for tokenizer in (None, "char", train_tokenizer(TEXTS, 280))
    ]
    expected, files = [], []
    for i, estimator in enumerate(estimators):
        refitted = estimator.fit_transform(TEXTS)
        estimator.partial_fit(OTHERS)
        files.append(tmp_path / f"{i}.joblib")
        joblib.dump((estimator, TEXTS), files[-1])
        expected.append((estimator.transform(TEXTS), estimator.score(TEXTS), refitted))
    command = [sys.executable, "-c", FRESH_PROCESS, tmp_path / "results", *files]
    subprocess.run(command, check=True)
    for (Z, score, refitted), fresh in zip(
        expected, joblib.load(tmp_path / "results"), strict=True
    ):
        np.testing.assert_array_equal(fresh[0], Z)
        assert fresh[1] == score
        np.testing.assert_array_equal(fresh[2], refitted)


class NamesOnly(pickle.Unpickler):
    """Writes down every name that it is asked for."""

    def __init__(self, content):
        super().__init__(io.BytesIO(content))
        self.names = set()

    def find_class(self, module, name):
        self.names.add(f"{module}.{name}")
        return super().find_class(module, name)


@every_estimator
def test_file_names_nothing_but_our_types_and_arrays(Estimator):
    estimator = make(Estimator, early_stopping=True).fit(TEXTS)
    reader = NamesOnly(pickle.dumps(estimator.partial_fit(TEXTS)))
    reader.load()
    assert reader.names <= {
        f"{Estimator.__module__}.{Estimator.__name__}",
        "sklearn_ssl.data.text.TextSpec",
        "sklearn_ssl.optim.adamw",
        "numpy.ndarray",
        "numpy.dtype",
        "numpy._core.multiarray._reconstruct",
        "numpy._core.multiarray.scalar",
        "numpy._core.numeric._frombuffer",
    }
    state = estimator.__getstate__()
    assert "task_" not in state
    assert all(type(array) is np.ndarray for array in state["_task_arrays"].values())
    assert state["_task_arrays"].keys() == estimator.task_.state_dict().keys()


@every_estimator
def test_file_holds_no_optimizer_and_no_texts(Estimator):
    estimator = make(Estimator, early_stopping=True).fit(TEXTS, X_unlabeled=OTHERS)
    estimator.partial_fit(TEXTS)
    content = pickle.dumps(estimator)
    for text in (*TEXTS[:2], *OTHERS):
        assert text.encode() not in content
    for word in (b"torch", b"exp_avg", b"skorch", b"Generator", b"PretextNet", b"Task"):
        assert word not in content.replace(b"_task_arrays", b"").replace(b"_task_params", b"")
    n_bytes = sum(t.numel() * t.element_size() for t in estimator.task_.state_dict().values())
    n_bytes += len(estimator.input_spec_.tokenizer.encode())
    assert len(content) < 1.2 * n_bytes + 5000


# Going on -------------------------------------------------------------------------------------


@every_estimator
def test_partial_fit_goes_on_with_its_vocabulary(Estimator):
    estimator = make(Estimator)
    assert estimator.partial_fit(TEXTS) is estimator
    spec, Z = estimator.input_spec_, estimator.transform(TEXTS)
    assert estimator.n_iter_ == 1
    estimator.partial_fit(OTHERS)
    assert estimator.n_iter_ == len(estimator.loss_curve_) == 2
    assert estimator.input_spec_ is spec
    assert not np.array_equal(estimator.transform(TEXTS), Z)
    assert "Ġclock" not in estimator.tokenizer_.get_vocab()
    assert "Ġcat" in estimator.tokenizer_.get_vocab()


@every_estimator
def test_partial_fit_of_unknown_characters(Estimator):
    estimator = make(Estimator, tokenizer="char").partial_fit(OTHERS)
    size = estimator.input_spec_.vocabulary_size
    estimator.partial_fit(TEXTS)
    assert estimator.input_spec_.vocabulary_size == size
    assert np.isfinite(estimator.transform(TEXTS)).all()


@every_estimator
def test_a_series_of_partial_fits_can_be_repeated(Estimator):
    def series():
        estimator = make(Estimator)
        for texts in (TEXTS, OTHERS, TEXTS):
            estimator.partial_fit(texts)
        return estimator.transform(TEXTS)

    np.testing.assert_array_equal(series(), series())


@every_estimator
def test_partial_fit_learns(Estimator):
    estimator = make(Estimator, lr=1e-2)
    for _ in range(60):
        estimator.partial_fit(TEXTS)
    assert np.mean(estimator.loss_curve_[-5:]) < 0.9 * np.mean(estimator.loss_curve_[:5])


@every_estimator
def test_warm_start_goes_on(Estimator):
    estimator = make(Estimator, max_epochs=2, warm_start=True).fit(TEXTS)
    Z, curve, spec = estimator.transform(TEXTS), estimator.loss_curve_, estimator.input_spec_
    estimator.fit(OTHERS)
    assert estimator.n_iter_ == 4
    assert estimator.loss_curve_[:2] == curve
    assert estimator.input_spec_ is spec
    assert not np.array_equal(estimator.transform(TEXTS), Z)
    estimator.set_params(warm_start=False).fit(TEXTS)
    assert estimator.n_iter_ == 2
    np.testing.assert_array_equal(estimator.transform(TEXTS), Z)


@every_estimator
def test_early_stopping_stops_where_nothing_is_learned(Estimator):
    options = {"max_epochs": 9, "lr": 1e-30, "validation_fraction": 0.3}
    estimator = make(Estimator, early_stopping=True, n_iter_no_change=2, **options).fit(TEXTS)
    assert estimator.n_iter_ == 3
    assert len(set(estimator.history_["valid_loss"])) == 1  # the same masks, and dropout
    assert np.isfinite(estimator.history_["valid_loss"]).all()
    assert make(Estimator, **options).fit(TEXTS).n_iter_ == 9


class Weights(Callback):
    """Keeps the embeddings of the tokens after each epoch."""

    def __init__(self):
        self.epochs = []

    def on_epoch_end(self, net, **kwargs):
        self.epochs.append(net.module_.encoder.embedding.weight.detach().clone())


@every_estimator
def test_early_stopping_keeps_the_best_epoch(Estimator):
    weights = Weights()
    options = {"early_stopping": True, "validation_fraction": 0.3, "n_iter_no_change": 3}
    options |= {"max_epochs": 9} | (  # far too large steps
        {"optimizer": torch.optim.SGD, "lr": 50.0}
        if issubclass(Estimator, BaseTextTransformer)
        else {"lr": 1.0}
    )
    estimator = make(Estimator, callbacks=[weights], **options).fit(TEXTS)
    best = np.argmin(estimator.history_["valid_loss"])
    assert best < len(weights.epochs) - 1
    assert torch.equal(estimator.encoder_.embedding.weight, weights.epochs[best])
    assert not torch.equal(estimator.encoder_.embedding.weight, weights.epochs[-1])


@every_estimator
def test_too_few_texts_to_hold_some_out(Estimator):
    estimator = make(Estimator, early_stopping=True)
    before = dict(vars(estimator))
    with pytest.raises(ValueError, match="leaves 1 of 3 rows for training"):
        estimator.fit(OTHERS)
    assert vars(estimator) == before


@every_estimator
def test_unlabeled_texts_are_read_like_others(Estimator, fitted):
    estimator = make(Estimator).fit(TEXTS, X_unlabeled=pd.Series(OTHERS))
    Z = estimator.transform(TEXTS)
    np.testing.assert_array_equal(make(Estimator).fit([*TEXTS, *OTHERS]).transform(TEXTS), Z)
    assert "Ġclock" in estimator.tokenizer_.get_vocab()
    n_samples = fitted[Estimator].input_spec_.n_samples
    assert estimator.input_spec_.n_samples == n_samples + len(OTHERS)
    np.testing.assert_array_equal(
        make(Estimator).fit(TEXTS, X_unlabeled=iter(OTHERS)).transform(TEXTS), Z
    )


# No epochs ------------------------------------------------------------------------------------


@every_estimator
@pytest.mark.parametrize("more", [{}, {"early_stopping": True}, {"verbose": 1}], ids=str)
def test_no_epochs_are_an_untrained_encoder(Estimator, more):
    estimator = make(Estimator, max_epochs=0, **more).fit(TEXTS)
    assert estimator.n_iter_ == 0
    assert estimator.loss_curve_ == []
    assert set(map(len, estimator.history_.values())) == {0}
    Z = estimator.transform(TEXTS)
    assert np.isfinite(Z).all()
    assert np.isfinite(estimator.score(TEXTS))
    np.testing.assert_array_equal(pickle.loads(pickle.dumps(estimator)).transform(TEXTS), Z)
    first = make(Estimator, lr=1e-30).fit_transform(TEXTS)
    # A training of MaskedLM starts from word vectors, which are learned as well.
    assert np.array_equal(first, Z) == (Estimator is not MaskedLMEmbedder)


@every_estimator
def test_training_after_no_epochs(Estimator):
    estimator = make(Estimator, max_epochs=0)
    assert estimator.partial_fit(TEXTS).n_iter_ == 1
    estimator = make(Estimator, max_epochs=0).fit(TEXTS)
    Z = estimator.transform(TEXTS)
    assert estimator.partial_fit(TEXTS).n_iter_ == 1
    assert not np.array_equal(estimator.transform(TEXTS), Z)
    estimator.fit(TEXTS).set_params(max_epochs=1, warm_start=True).fit(TEXTS)
    assert estimator.n_iter_ == len(estimator.loss_curve_) == 1
    if Estimator is not MaskedLMEmbedder:  # it goes on from random word vectors
        # The center of Sent2Vec remembers the batches before.
        tolerance = 0 if issubclass(Estimator, BaseTextTransformer) else 0.02
        np.testing.assert_allclose(
            estimator.transform(TEXTS), make(Estimator).fit_transform(TEXTS), rtol=0, atol=tolerance
        )


# Threads, and what the caller has set in torch ------------------------------------------------


def answers_of(estimator):
    """Return what every method of a fitted estimator says, as functions."""
    answers = {
        "transform": lambda: estimator.transform(TEXTS).tolist(),
        "score": lambda: estimator.score(TEXTS),
    }
    if isinstance(estimator, MaskedLMEmbedder):
        answers["fill_mask"] = lambda: estimator.fill_mask(["the [MASK] sat", "it [MASK]"])
    if isinstance(estimator, CausalLMEmbedder):
        answers["perplexity"] = lambda: estimator.perplexity(TEXTS)
        answers["generate"] = lambda: estimator.generate("the", max_new_tokens=6, random_state=0)
    return answers


@every_estimator
def test_one_estimator_serves_many_threads(Estimator, fitted):
    answers = answers_of(fitted[Estimator])
    serial = {name: answer() for name, answer in answers.items()}
    names = [*answers] * 12
    with ThreadPoolExecutor(8) as pool:
        threaded = list(pool.map(lambda name: answers[name](), names))
    assert [name for name, a in zip(names, threaded) if a != serial[name]] == []


SETTINGS = {
    "float64": lambda: default_dtype(torch.float64),
    "bfloat16": lambda: default_dtype(torch.bfloat16),
    "inference_mode": torch.inference_mode,
    "meta": lambda: torch.device("meta"),
    "autocast": lambda: torch.autocast("cpu", torch.bfloat16),
}


@contextmanager
def default_dtype(dtype):
    torch.set_default_dtype(dtype)
    try:
        yield
    finally:
        torch.set_default_dtype(torch.float32)


@every_estimator
@pytest.mark.parametrize("setting", SETTINGS)
def test_settings_of_torch_have_no_say(Estimator, setting, fitted):
    expected = {name: answer() for name, answer in answers_of(fitted[Estimator]).items()}
    with SETTINGS[setting]():
        estimator = pickle.loads(pickle.dumps(make(Estimator).fit(TEXTS)))
        assert {name: answer() for name, answer in answers_of(estimator).items()} == expected


# Callbacks, progress, and what breaks a fit ---------------------------------------------------


class Recorder(Callback):
    """Counts batches and epochs."""

    def __init__(self):
        self.n_batches = self.n_epochs = 0

    def on_batch_end(self, net, batch=None, training=None, **kwargs):
        self.n_batches += training
        assert batch.ndim == 2
        assert batch.dtype == np.int32

    def on_epoch_end(self, net, **kwargs):
        self.n_epochs += 1


@every_estimator
def test_skorch_callbacks(Estimator, fitted):
    recorder = Recorder()
    estimator = make(Estimator, callbacks=[recorder], max_epochs=3, batch_size=4).fit(TEXTS)
    n_batches = -(-estimator.input_spec_.n_samples // 4)
    assert n_batches > 1
    assert (recorder.n_epochs, recorder.n_batches) == (3, 3 * n_batches)
    np.testing.assert_array_equal(
        make(Estimator, callbacks=[Recorder()]).fit_transform(TEXTS),
        fitted[Estimator].transform(TEXTS),
    )


@every_estimator
@pytest.mark.parametrize("max_epochs", [0, 1, 3])
def test_scikit_learn_callbacks(Estimator, max_epochs):
    pytest.importorskip("sklearn.callback", reason="scikit-learn before 1.9")
    calls = []

    class Quiet:
        def setup(self, estimator, context):
            """Nothing to set up."""

        teardown = setup

        def on_fit_task_begin(self, estimator, context, **kwargs):
            """Nothing to do."""

        def on_fit_task_end(self, estimator, context, **kwargs):
            calls.append(context.task_name)

    make(Estimator, max_epochs=max_epochs).set_callbacks(Quiet()).fit(TEXTS)
    assert calls == ["epoch"] * max_epochs + ["fit"]


@every_estimator
def test_verbose_changes_nothing_and_is_silent_for_short_fits(Estimator, fitted, capfd):
    Z = make(Estimator, verbose=1).fit_transform(TEXTS)
    np.testing.assert_array_equal(Z, fitted[Estimator].transform(TEXTS))
    assert capfd.readouterr() == ("", "")


class BrokenError(Exception):
    """No class that anything else raises or catches."""


class Breaks(Callback):
    """Raises an error at the end of an epoch, or at the beginning of the training."""

    def __init__(self, error, hook):
        self.error = error
        setattr(self, hook, self.break_)

    def break_(self, *args, **kwargs):
        raise self.error


HOOKS = ("on_train_begin", "on_batch_end", "on_epoch_end", "on_train_end")


# Every error for one estimator, and one for the others: they share the loop.
@pytest.mark.parametrize(
    ("Estimator", "hook", "error"),
    [
        *product(ESTIMATORS, HOOKS, [BrokenError]),
        *product([MaskedLMEmbedder], HOOKS, [KeyboardInterrupt, StopIteration]),
    ],
)
def test_a_broken_fit_leaves_the_estimator_as_it_was(Estimator, hook, error):
    callbacks = [Breaks(error, hook)]
    estimator = make(Estimator, callbacks=callbacks)
    before = dict(vars(estimator))
    for method in (estimator.fit, estimator.partial_fit, estimator.fit_transform):
        with pytest.raises(error):
            method(TEXTS)
        assert vars(estimator) == before
    estimator = make(Estimator).fit(TEXTS)
    Z = estimator.transform(TEXTS)
    estimator.set_params(callbacks=callbacks)
    before = dict(vars(estimator))
    for warm_start in (False, True):
        estimator.warm_start = before["warm_start"] = warm_start
        for method in (estimator.fit, estimator.partial_fit):
            with pytest.raises(error):
                method(OTHERS)
            assert vars(estimator).keys() == before.keys()
            assert all(vars(estimator)[name] is value for name, value in before.items())
    np.testing.assert_array_equal(estimator.transform(TEXTS), Z)
    estimator.set_params(callbacks=None)
    np.testing.assert_array_equal(
        estimator.partial_fit(TEXTS).transform(TEXTS),
        make(Estimator).fit(TEXTS).partial_fit(TEXTS).transform(TEXTS),
    )


@every_estimator
@pytest.mark.parametrize("lr", [1e30, 1e38])
def test_a_training_that_diverges(Estimator, lr):
    estimator = make(Estimator, lr=lr, max_epochs=3)
    before = dict(vars(estimator))
    with pytest.raises(
        ValueError, match=r"loss is (nan|inf) at step \d+ of \d+\. Try a smaller lr"
    ):
        estimator.fit(TEXTS)
    assert vars(estimator) == before


# In scikit-learn's tools ----------------------------------------------------------------------

REVIEWS = [
    f"{word} {noun} {i}" for i in range(3) for word in ("good", "bad") for noun in ("cat", "dog")
]
LABELS = np.array(["good" in review for review in REVIEWS])


def classifier_of(Estimator, memory=None, **params):
    steps = [("embed", make(Estimator, **params)), ("classify", LogisticRegression())]
    return Pipeline(steps, memory=memory)


@every_estimator
def test_pipeline_with_a_classifier(Estimator):
    pipeline = classifier_of(Estimator).fit(REVIEWS, LABELS)
    Z = make(Estimator).fit_transform(REVIEWS)
    expected = LogisticRegression().fit(Z, LABELS).predict_proba(Z)
    np.testing.assert_array_equal(pipeline.predict_proba(REVIEWS), expected)
    assert 0 <= pipeline.score(REVIEWS, LABELS) <= 1
    np.testing.assert_array_equal(
        pickle.loads(pickle.dumps(pipeline)).predict_proba(REVIEWS), expected
    )
    assert pipeline[:-1].get_feature_names_out().shape == (16,)
    np.testing.assert_array_equal(
        clone(pipeline).fit(REVIEWS, LABELS).predict_proba(REVIEWS), expected
    )


@every_estimator
def test_search_in_parallel_gives_the_same_scores(Estimator):
    grid = {"embed__max_length": [4, 16], "classify__C": [0.1, 10.0]}
    if Estimator is MaskedLMEmbedder:
        grid["embed__mask_ratio"] = [0.15, 1.0]
    n_candidates = 8 if Estimator is MaskedLMEmbedder else 4
    searches = [
        GridSearchCV(
            classifier_of(Estimator), grid, cv=2, scoring="neg_log_loss", n_jobs=n_jobs
        ).fit(REVIEWS, LABELS)
        for n_jobs in (1, 2)
    ]
    serial, parallel = (search.cv_results_ for search in searches)
    for split in ("split0_test_score", "split1_test_score"):
        assert len(set(serial[split])) == n_candidates
        np.testing.assert_array_equal(parallel[split], serial[split])
    one, other = (search.predict_proba(REVIEWS) for search in searches)
    np.testing.assert_array_equal(one, other)


@every_estimator
def test_search_without_labels_goes_by_the_score(Estimator):
    search = GridSearchCV(make(Estimator), {"lr": [1e-9, 1e-2]}, cv=2).fit(np.array(REVIEWS))
    half = len(REVIEWS) // 2
    expected = make(Estimator, lr=1e-2).fit(REVIEWS[half:]).score(REVIEWS[:half])
    assert search.cv_results_["split0_test_score"][1] == expected
    assert search.transform(REVIEWS).shape == (len(REVIEWS), 16)


@every_estimator
def test_cross_validation_in_parallel(Estimator):
    pipeline = classifier_of(Estimator)
    options = {"cv": 2, "scoring": "neg_log_loss"}
    scores = cross_val_score(pipeline, REVIEWS, LABELS, n_jobs=2, **options)
    np.testing.assert_array_equal(cross_val_score(pipeline, REVIEWS, LABELS, **options), scores)
    assert np.isfinite(scores).all()
    assert not hasattr(pipeline["embed"], "task_")


class CountFits(Callback):
    """Counts, over all copies of it in this process, how often training began."""

    n_fits = 0

    def on_train_begin(self, net, **kwargs):
        CountFits.n_fits += 1


@every_estimator
def test_cache_of_a_pipeline_is_hit(Estimator, tmp_path):
    CountFits.n_fits = 0
    params = {"tokenizer": train_tokenizer(REVIEWS, 280), "callbacks": [CountFits()]}
    pipeline = classifier_of(Estimator, str(tmp_path), **params).fit(REVIEWS, LABELS)
    expected = pipeline.predict_proba(REVIEWS)
    assert CountFits.n_fits == 1
    again = clone(pipeline).set_params(classify__C=1.0).fit(REVIEWS, LABELS)
    np.testing.assert_array_equal(again.predict_proba(REVIEWS), expected)
    assert CountFits.n_fits == 1
    again.set_params(embed__max_length=4).fit(REVIEWS, LABELS)
    assert CountFits.n_fits == 2


@every_estimator
def test_union_with_counts_of_words(Estimator):
    union = FeatureUnion([("words", TfidfVectorizer()), ("embed", make(Estimator))])
    both = union.fit_transform(REVIEWS)
    words = TfidfVectorizer().fit_transform(REVIEWS).toarray()
    Z = make(Estimator).fit_transform(REVIEWS)
    np.testing.assert_array_equal(both.toarray(), np.hstack([words, Z]))
    np.testing.assert_array_equal(union.transform(REVIEWS).toarray(), both.toarray())
    names = union.get_feature_names_out()
    assert names[-1] == f"embed__{Estimator.__name__.lower()}15"
    pipeline = make_pipeline(union, LogisticRegression()).fit(REVIEWS, LABELS)
    assert pipeline.predict(REVIEWS).shape == LABELS.shape


@every_estimator
@pytest.mark.parametrize("frame", [pd.DataFrame, pl.DataFrame], ids=["pandas", "polars"])
def test_text_column_beside_numbers(Estimator, frame):
    numbers = np.random.default_rng(0).normal(3, 2, (len(REVIEWS), 2))
    X = frame({"review": REVIEWS, "price": numbers[:, 0], "stars": numbers[:, 1]})
    columns = ColumnTransformer(
        [("text", make(Estimator), "review"), ("numbers", StandardScaler(), ["price", "stars"])]
    )
    Z = columns.fit_transform(X)
    expected = np.hstack(
        [make(Estimator).fit_transform(REVIEWS), StandardScaler().fit_transform(numbers)]
    )
    np.testing.assert_allclose(Z, expected, rtol=1e-6)
    np.testing.assert_array_equal(columns.transform(X), Z)
    names = columns.get_feature_names_out().tolist()
    assert names[0] == f"text__{Estimator.__name__.lower()}0"
    assert names[16:] == ["numbers__price", "numbers__stars"]
    framed = columns.set_output(transform="pandas").fit_transform(X)
    assert framed.columns.tolist() == names
    np.testing.assert_array_equal(framed, Z)
    pipeline = make_pipeline(columns, LogisticRegression())
    assert np.isfinite(cross_val_score(pipeline, X, LABELS, cv=2)).all()


@every_estimator
def test_text_column_as_a_table_is_refused(Estimator):
    X = pd.DataFrame({"review": REVIEWS})
    columns = ColumnTransformer([("text", make(Estimator), ["review"])])
    with pytest.raises(ValueError, match=r"got a DataFrame of shape \(12, 1\): pass one of its"):
        columns.fit(X)


@every_estimator
def test_unlabeled_texts_reach_a_step_of_a_pipeline(Estimator):
    with sklearn.config_context(enable_metadata_routing=True):
        ssl = make(Estimator).set_fit_request(X_unlabeled=True)
        pipeline = make_pipeline(ssl, LogisticRegression())
        pipeline.fit(REVIEWS, LABELS, X_unlabeled=OTHERS)
    direct = make(Estimator).fit(REVIEWS, X_unlabeled=OTHERS)
    np.testing.assert_array_equal(pipeline[:-1].transform(REVIEWS), direct.transform(REVIEWS))
    assert pipeline[0].input_spec_.n_samples == len(REVIEWS) + len(OTHERS)
