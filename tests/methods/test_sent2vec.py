"""Sent2Vec: hidden words from the mean of the others, and what it is worth."""

import math

import numpy as np
import pytest
import torch
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import train_test_split
from sklearn.utils._param_validation import InvalidParameterError

from sklearn_ssl import Sent2VecTransformer
from sklearn_ssl.data.text import TokenRows
from sklearn_ssl.datasets import load_scipy_docstrings
from sklearn_ssl.masking import mask_types
from tests.helpers import make_task

TEXTS = [
    "The cat sat on the mat.",
    "A dog lay on the rug, and the cat lay on the dog.",
    "It rains.",
    "To be or not to be, that is the question.",
    "dogs",
]
SMALL = {"width": 16, "random_state": 0}


@pytest.fixture(scope="module")
def fitted():
    """An estimator after a short training, which no test may change."""
    return Sent2VecTransformer(max_epochs=3, batch_size=8, **SMALL).fit(TEXTS * 4)


@pytest.fixture
def task_and_ids(fitted):
    """An untrained task with a head that knows something, and a batch of ids."""
    rows = TokenRows(TEXTS, fitted.input_spec_)
    task = make_task(Sent2VecTransformer(**SMALL), fitted.input_spec_)
    torch.nn.init.normal_(task.head.weight)
    task.generator = torch.Generator().manual_seed(0)
    return task, fitted.input_spec_.to_tensor(rows[np.arange(len(rows))])


def slow_loss(task, spec, ids, hidden):
    """Return the loss, a text at a time, for given hidden tokens."""
    counts = torch.from_numpy(spec.token_counts).double()
    frequency = counts / counts.sum()
    log_p_total = 0.0
    for row, is_hidden in zip(ids, hidden):
        seen = [i for i, h in zip(row.tolist(), is_hidden.tolist()) if i >= 0 and not h]
        asked = {i for i, h in zip(row.tolist(), is_hidden.tolist()) if h}
        assert not asked & set(seen)  # a visible word is never asked for
        if not asked:
            continue
        weights = task.encoder.weight[seen]
        h = weights @ task.encoder.embedding.weight[seen] / weights.sum()
        log_p = (task.head.weight @ h + task.head.bias).log_softmax(dim=0)
        share = {i: min(1.0, math.sqrt(1e-4 / frequency[i])) for i in asked}
        log_p_total += sum(share[i] * log_p[i] for i in asked) / sum(share.values())
    return -log_p_total / len(ids)


@pytest.mark.parametrize("mode", ["train", "eval"])
def test_loss_is_the_cross_entropy_of_hidden_words(mode, task_and_ids, fitted):
    task, ids = task_and_ids
    getattr(task, mode)()
    ordered, hidden, _ = mask_types(task.encoder.known(ids), 0.5, torch.Generator().manual_seed(0))
    expected = slow_loss(task, fitted.input_spec_, ordered, hidden)
    torch.testing.assert_close(task(ids), expected, atol=1e-5, rtol=1e-5)


def test_first_loss_is_that_of_guessing_by_frequency(fitted):
    """The head starts as the frequencies of words: a little below ln(vocabulary) here."""
    spec = fitted.input_spec_
    ssl = Sent2VecTransformer(max_epochs=0, **SMALL).fit(TEXTS * 4)
    known = spec.token_counts[spec.token_counts > 0]
    p = known / known.sum()
    assert 0 < -ssl.score(TEXTS) < math.log(len(known)) * 1.2
    assert -ssl.score(TEXTS) > -(p * np.log(p)).sum() * 0.8


def test_a_text_of_one_word_asks_nothing(task_and_ids):
    task, _ = task_and_ids
    task.eval()
    loss = task(torch.tensor([[9, 9, 9, -1], [8, -1, -1, -1]]))
    assert loss == 0
    loss.backward()
    assert all(parameter.grad.abs().sum() == 0 for parameter in task.parameters())


def test_gradients_reach_every_parameter(task_and_ids):
    task, ids = task_and_ids
    task(ids).backward()
    assert all(parameter.grad.abs().sum() > 0 for parameter in task.parameters())


def test_special_and_unknown_tokens_neither_ask_nor_answer(task_and_ids, fitted):
    task, ids = task_and_ids
    spec = fitted.input_spec_
    meaningless = [*spec.special, spec.unknown]
    known = task.encoder.known(ids)
    assert torch.isin(ids, torch.tensor(meaningless)).any()
    assert not torch.isin(known, torch.tensor(meaningless)).any()
    task(ids).backward()
    assert (task.encoder.embedding.weight.grad[meaningless] == 0).all()


def test_rare_words_count_fully_and_frequent_ones_less(fitted):
    counts = fitted.input_spec_.token_counts
    frequency = counts / counts.sum()
    importance = fitted.task_.importance.numpy()
    expected = np.minimum(1, np.sqrt(1e-4 / np.maximum(frequency, 1e-12)))
    np.testing.assert_allclose(importance, expected, rtol=1e-5)


def test_transform_is_the_scaled_mean_of_vectors(fitted):
    encoder = fitted.encoder_
    rows = TokenRows(TEXTS, fitted.input_spec_)
    ids = encoder.known(fitted.input_spec_.to_tensor(rows[np.arange(len(rows))]))
    with torch.no_grad():
        mean, var = encoder.norm.running_mean, encoder.norm.running_var
        expected = (encoder.bag(ids) - mean) / (var + encoder.norm.eps).sqrt() / 4
        expected = expected @ encoder.emphasis
    np.testing.assert_allclose(fitted.transform(TEXTS), expected, atol=1e-5, rtol=1e-4)


def test_center_and_scale_are_those_of_whole_texts():
    """They are learned from bags in which nothing is hidden."""
    ssl = Sent2VecTransformer(max_epochs=40, batch_size=10, **SMALL).fit(TEXTS * 4)
    Z = ssl.transform(TEXTS * 4)
    assert np.abs(Z.mean(axis=0)).max() < 0.1
    assert np.square(Z).sum(axis=1).mean() == pytest.approx(1, rel=0.2)


def test_case_and_unknown_words_do_not_matter(fitted):
    a, b, c = fitted.transform(["the cat sat", "THE CAT SAT", "the zyx cat zyx sat"])
    np.testing.assert_array_equal(a, b)
    np.testing.assert_allclose(a, c, atol=1e-6)
    a, b = fitted.transform(["", "zyx zyx zyx"])
    np.testing.assert_array_equal(a, 0)
    np.testing.assert_array_equal(b, 0)


def test_long_texts_are_the_mean_of_their_pieces():
    ssl = Sent2VecTransformer(max_epochs=1, max_length=6, **SMALL).fit(TEXTS)
    whole, first, second = ssl.transform(["the cat lay on the mat", "the cat lay on", "the mat"])
    # Rows have a token for the beginning, and the last one for the end: 5 and 4 tokens.
    np.testing.assert_allclose(whole, (5 * first + 3 * second) / 8, atol=0.2)
    assert ssl.input_spec_.n_samples > len(TEXTS)


def test_training_lowers_the_loss_on_texts(fitted):
    untrained = Sent2VecTransformer(max_epochs=0, **SMALL).fit(TEXTS * 4)
    trained = Sent2VecTransformer(max_epochs=30, batch_size=8, **SMALL).fit(TEXTS * 4)
    assert trained.score(TEXTS) > untrained.score(TEXTS) + 0.1


@pytest.mark.parametrize("tokenizer", [None, "char", "byte"])
def test_other_tokens(tokenizer):
    ssl = Sent2VecTransformer(tokenizer=tokenizer, max_epochs=2, **SMALL).fit(TEXTS)
    assert np.isfinite(ssl.transform(TEXTS)).all()
    np.testing.assert_array_equal(*ssl.transform(["The Cat", "the cat"]))


@pytest.mark.parametrize("mask_ratio", [0, 1, -0.1])
def test_some_words_are_hidden_and_some_are_not(mask_ratio):
    with pytest.raises(InvalidParameterError, match="'mask_ratio' parameter"):
        Sent2VecTransformer(mask_ratio=mask_ratio).fit(TEXTS)


@pytest.mark.slow
def test_it_beats_its_untrained_encoder_and_word_counts_on_held_out_texts():
    """Which part of SciPy is a docstring from? With five labels of each."""
    from sklearn.feature_extraction.text import TfidfVectorizer

    texts, y = load_scipy_docstrings()
    X, X_test, y, y_test = train_test_split(texts, y, stratify=y, test_size=0.3, random_state=0)
    encoders = {
        "ours": Sent2VecTransformer(random_state=0),
        "untrained": Sent2VecTransformer(max_epochs=0, random_state=0),
        "counts": TfidfVectorizer(),
    }
    accuracy = {}
    for name, encoder in encoders.items():
        Z, Z_test = encoder.fit_transform(X), encoder.transform(X_test)
        scores = []
        for seed in range(5):
            rng = np.random.default_rng(seed)
            few = [rng.choice(np.flatnonzero(y == c), 5, replace=False) for c in np.unique(y)]
            few = np.concatenate(few)
            model = LogisticRegression(C=10, max_iter=1000).fit(Z[few], y[few])
            scores.append(model.score(Z_test, y_test))
        accuracy[name] = np.mean(scores)
    assert accuracy["ours"] > accuracy["untrained"] + 0.05
    assert accuracy["ours"] > accuracy["counts"] + 0.02
