"""SimCSE: two passes with dropout, their contrast, and what it is worth."""

import math
import warnings

import numpy as np
import pytest
import torch
from sklearn.utils._param_validation import InvalidParameterError
from torch import nn
from torch.nn import functional as F

from sklearn_ssl import SimCSETransformer
from sklearn_ssl.data.text import TokenRows
from sklearn_ssl.losses import info_nce
from tests.helpers import SENTENCES, make_task

SMALL = {"width": 32, "depth": 2, "vocabulary_size": 340, "random_state": 0}


@pytest.fixture(scope="module")
def fitted():
    """An estimator after a short training, which no test may change."""
    return SimCSETransformer(max_epochs=3, batch_size=8, **SMALL).fit(SENTENCES * 4)


@pytest.fixture
def task_and_ids(fitted):
    """An untrained task, and a batch of ids of rows of different lengths."""
    rows = TokenRows(SENTENCES, fitted.input_spec_)
    task = make_task(SimCSETransformer(**SMALL), fitted.input_spec_)
    return task, fitted.input_spec_.to_tensor(rows[np.arange(len(rows))])


class KnownDropout(nn.Dropout):
    """Drops what it is told to, of some of the rows."""

    def __init__(self, kept):
        super().__init__()
        self.kept = kept
        self.rows = slice(None)

    def forward(self, x):
        return x * self.kept[self.rows] / 0.9 if self.training else x


@pytest.mark.parametrize("mode", ["train", "eval"])
@pytest.mark.parametrize("temperature", [0.05, 1.0])
def test_loss_is_the_contrast_of_two_passes(temperature, mode, task_and_ids):
    task, ids = task_and_ids
    task.temperature = temperature
    n, length = ids.shape
    generator = torch.Generator().manual_seed(0)

    def dropout():
        return KnownDropout(torch.rand(2 * n, length, 32, generator=generator) < 0.9)

    task.encoder.dropout = dropout()
    for block in task.encoder.blocks:
        block.dropout = dropout()  # one for its attention and its perceptron
    layers = [task.encoder.dropout, *(block.dropout for block in task.encoder.blocks)]
    getattr(task, mode)()
    loss = task(ids)

    passes = []
    task.train()
    for rows in (slice(n), slice(n, 2 * n)):
        for layer in layers:
            layer.rows = rows
        h = task.encoder(ids)
        passes.append(torch.tanh(task.projection_head[0](h)))
    torch.testing.assert_close(loss, info_nce(*passes, temperature), atol=1e-5, rtol=1e-5)
    # The formula: of all second passes, a text's own is to be found.
    a, b = passes
    expected = []
    for i in range(n):
        similarities = torch.stack([F.cosine_similarity(a[i], b[j], dim=0) for j in range(n)])
        expected.append(-(similarities / temperature).log_softmax(dim=0)[i])
    torch.testing.assert_close(loss, torch.stack(expected).mean(), atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("mode", ["train", "eval"])
def test_the_two_passes_differ(mode, task_and_ids):
    task, ids = task_and_ids
    seen = []
    task.projection_head.register_forward_pre_hook(lambda m, args: seen.append(args[0]))
    getattr(task, mode)()
    task(ids), task(ids)
    for h in seen:
        a, b = h.chunk(2)
        assert a.shape == (len(ids), 32)
        assert ((a - b).norm(dim=1) > 0.01 * a.norm(dim=1)).all()
    assert not torch.equal(*seen)
    assert {m.training for m in task.modules()} == {mode == "train"}


def test_held_out_texts_are_dropped_from_even_if_there_is_an_error(task_and_ids):
    task, ids = task_and_ids
    task.eval()
    with pytest.raises(IndexError):
        task(ids + 10_000)
    assert not any(m.training for m in task.modules())
    assert torch.equal(task.encode(ids), task.encode(ids))


def test_texts_that_are_alike_cannot_be_told_apart(fitted):
    task = make_task(SimCSETransformer(**{**SMALL, "dropout": 1e-9}), fitted.input_spec_)
    ids = torch.arange(10, 20).expand(6, 10)
    assert task(ids).item() == pytest.approx(math.log(6), rel=1e-4)
    assert task(torch.cat([ids[:1], ids[:1] + 40])).item() < 0.2


def test_first_loss_is_below_that_of_guessing(task_and_ids):
    task, ids = task_and_ids
    assert 0 < task(ids).item() < 0.8 * math.log(len(ids))


def test_gradients_reach_every_parameter_and_are_clipped(task_and_ids):
    task, ids = task_and_ids
    (1000 * task(ids)).backward()
    assert all(parameter.grad.abs().sum() > 0 for parameter in task.parameters())
    task.after_backward(0.5)
    norm = torch.stack([parameter.grad.norm() for parameter in task.parameters()]).norm()
    assert norm.item() == pytest.approx(1, rel=1e-3)


def test_transform_returns_what_is_in_front_of_the_head(fitted):
    rows = TokenRows(SENTENCES, fitted.input_spec_)
    ids = fitted.input_spec_.to_tensor(rows[np.arange(len(rows))])
    with torch.no_grad():
        states = fitted.encoder_.states(ids)
    expected = np.stack([s[row >= 0].mean(dim=0).numpy() for s, row in zip(states, ids)])
    np.testing.assert_allclose(fitted.transform(SENTENCES), expected, atol=1e-5, rtol=1e-4)


def test_score_is_that_of_two_passes_and_the_same_at_every_call(fitted, random_streams_untouched):
    scores = {fitted.score(SENTENCES) for _ in range(3)}
    (score,) = scores
    rows = TokenRows(SENTENCES, fitted.input_spec_)
    ids = fitted.input_spec_.to_tensor(rows[np.arange(len(rows))])
    with torch.no_grad():
        z = fitted.task_.projection_head(fitted.encoder_(ids))
        without_dropout = info_nce(z, z, fitted.temperature).item()
    assert -score > without_dropout * 1.01
    assert -score < math.log(len(SENTENCES))


def test_training_makes_texts_easier_to_find(fitted):
    untrained = SimCSETransformer(max_epochs=0, **SMALL).fit(SENTENCES * 4)
    trained = SimCSETransformer(max_epochs=10, batch_size=8, **SMALL).fit(SENTENCES)
    assert trained.score(SENTENCES) > untrained.score(SENTENCES) + 0.01


def test_one_text_cannot_be_scored():
    ssl = SimCSETransformer(max_epochs=1, batch_size=8, **SMALL).fit(SENTENCES)
    with pytest.raises(
        ValueError, match="score needs at least two texts that are not empty, got 1"
    ):
        ssl.score([SENTENCES[0], ""])
    assert ssl.score(SENTENCES[:2]) < 0


@pytest.mark.parametrize("dropout", [0, 0.0, 1, -0.1, None])
def test_without_dropout_there_is_nothing_to_learn(dropout):
    with pytest.raises(InvalidParameterError, match=r"'dropout' parameter .* must be a float in"):
        SimCSETransformer(dropout=dropout, **SMALL).fit(SENTENCES)
    SimCSETransformer(dropout=0.5, max_epochs=1, **SMALL).fit(SENTENCES)


@pytest.mark.parametrize("temperature", [0, -0.1])
def test_temperature_is_positive(temperature):
    with pytest.raises(InvalidParameterError, match="'temperature' parameter"):
        SimCSETransformer(temperature=temperature, **SMALL).fit(SENTENCES)


def test_random_weights_are_warned_of():
    with pytest.warns(UserWarning, match="starts from random weights, .* Sent2VecTransformer"):
        SimCSETransformer(max_epochs=1, **SMALL).fit(SENTENCES)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        SimCSETransformer(max_epochs=0, **SMALL).fit(SENTENCES)
