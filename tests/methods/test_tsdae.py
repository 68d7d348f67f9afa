"""TSDAE: what the encoder reads, what the decoder knows, and what it is worth."""

import math
import pickle
import warnings

import joblib
import numpy as np
import pytest
import torch
from sklearn.base import clone
from sklearn.linear_model import LogisticRegression
from sklearn.utils._param_validation import InvalidParameterError
from torch.nn import functional as F

from benchmarks.datasets import load_minilm_folder, load_sentiment_sentences
from sklearn_ssl import FineTuneClassifier, TSDAETransformer
from sklearn_ssl.data.text import TokenRows
from sklearn_ssl.few_labels.draws import draw_labels
from tests.encoders.tiny_models import TEXTS, save_bert
from tests.helpers import SENTENCES, make_task

SMALL = {"width": 32, "depth": 2, "vocabulary_size": 340, "random_state": 0}


@pytest.fixture(scope="module")
def fitted():
    """An estimator after a short training, which no test may change."""
    return TSDAETransformer(max_epochs=3, batch_size=8, **SMALL).fit(SENTENCES * 4)


def ids_of(texts, spec):
    """Return texts as one batch."""
    rows = TokenRows(texts, spec)
    return spec.to_tensor(rows[np.arange(len(rows))])


@pytest.fixture
def task_and_ids(fitted):
    """An untrained task without dropout, and a batch of ids of rows of different lengths."""
    ssl = TSDAETransformer(dropout=0, decoder_depth=2, **SMALL)
    task = make_task(ssl, fitted.input_spec_)
    with torch.no_grad():  # at the start all tokens are nearly equally likely
        for parameter in task.parameters():
            noise = torch.Generator().manual_seed(parameter.numel())
            parameter += 0.1 * torch.randn(parameter.shape, generator=noise)
    return task, ids_of(SENTENCES, fitted.input_spec_)


# The loss ---------------------------------------------------------------------------------------


def layer_norm(x, layer):
    x = (x - x.mean()) / (x.var(unbiased=False) + layer.eps).sqrt()
    return x * layer.weight + layer.bias


def attended(block, states, t, head_width=4):
    """Return what attention adds to state t, one head and one key after the other."""
    attention = block.attention
    normed = [layer_norm(state, block.norm1) for state in states[: t + 1]]
    q, k, v = zip(*((attention.qkv.weight @ x + attention.qkv.bias).chunk(3) for x in normed))
    heads = []
    for start in range(0, len(q[0]), head_width):
        part = slice(start, start + head_width)
        turned = [rotated(key[part], i) for i, key in enumerate(k)]
        query = rotated(q[t][part], t)
        weights = torch.stack([query @ key for key in turned]) / math.sqrt(head_width)
        heads.append(sum(w * value[part] for w, value in zip(weights.softmax(0), v)))
    return attention.projection.weight @ torch.cat(heads) + attention.projection.bias


def rotated(x, place):
    """Turn pairs of entries by angles that grow with the place."""
    half = len(x) // 2
    turned = x.clone()
    for i in range(half):
        angle = place * 10_000.0 ** -(i / half)
        a, b = x[i], x[i + half]
        turned[i] = a * math.cos(angle) - b * math.sin(angle)
        turned[i + half] = a * math.sin(angle) + b * math.cos(angle)
    return turned


def slow_loss(task, ids, h):
    """Return the mean loss of all tokens but the first of each row, with plain loops."""
    embedding, losses = task.encoder.embedding.weight, []
    for row, vector in zip(ids, h):
        row = row[row >= 0]
        states = [embedding[token] for token in row[:-1]]
        for block, layer in zip(task.decoder.blocks, task.decoder.from_vector):
            told = [state + layer.weight @ vector + layer.bias for state in states]
            told = [state + attended(block, told, t) for t, state in enumerate(told)]
            wide, _, narrow = block.mlp
            states = []
            for state in told:
                hidden = F.gelu(wide.weight @ layer_norm(state, block.norm2) + wide.bias)
                states.append(state + narrow.weight @ hidden + narrow.bias)
        for state, token in zip(states, row[1:]):
            logits = embedding[task.known] @ layer_norm(state, task.decoder.last_norm)
            (answer,) = (task.known == token).nonzero()[0]
            losses.append(-logits.log_softmax(0)[answer])
    return torch.stack(losses).mean()


@torch.no_grad()
def test_loss_is_that_of_a_slow_reference(task_and_ids):
    task, ids = task_and_ids
    task = task.double()
    state = task.generator.get_state()
    loss = task(ids)
    task.generator.set_state(state)
    h = []
    for row in task.shortened(ids):
        h.append(task.encoder.states(row[row >= 0][None])[0].mean(dim=0))
    torch.testing.assert_close(loss, slow_loss(task, ids, h), atol=1e-6, rtol=1e-6)


def test_first_loss_is_that_of_guessing(fitted):
    task = make_task(TSDAETransformer(**SMALL), fitted.input_spec_)
    loss = task(ids_of(SENTENCES, fitted.input_spec_)).item()
    assert loss == pytest.approx(math.log(len(task.known)), rel=0.05)


def test_only_tokens_of_the_texts_are_written(fitted):
    spec = fitted.input_spec_
    occur = set(ids_of(SENTENCES, spec).flatten().tolist()) - {-1, spec.begin}
    assert set(fitted.task_.known.tolist()) == occur
    assert len(occur) < spec.vocabulary_size
    unknown = next(i for i in range(spec.vocabulary_size) if i not in {*occur, *spec.special})
    some = fitted.task_.known[0].item()
    with torch.no_grad():
        task = make_task(TSDAETransformer(**SMALL), spec).eval()
        task.deletion = 0
        assert task(torch.tensor([[spec.begin, unknown]])) == 0
        losses = [
            task(torch.tensor([[spec.begin, *row]])).item()
            for row in ([some, unknown], [some, unknown, spec.end], [some])
        ]
    assert np.isfinite(losses).all()
    assert losses[0] > 0
    assert losses[1] != losses[0]


# What the encoder reads -------------------------------------------------------------------------


def test_most_tokens_are_deleted_but_one_stays_and_so_do_the_marks(task_and_ids, fitted):
    task, ids = task_and_ids
    spec = fitted.input_spec_
    kept = []
    for _ in range(200):
        shortened = task.shortened(ids)
        assert shortened.shape[1] == (shortened >= 0).sum(dim=1).max()
        for row, short in zip(ids.tolist(), shortened.tolist()):
            row, short = ([token for token in r if token >= 0] for r in (row, short))
            assert (short[0], short[-1]) == (spec.begin, spec.end)
            assert len(short) >= 3
            places = iter(row)
            assert all(token in places for token in short), "in their order"
            if row == [token for token in ids[1].tolist() if token >= 0]:
                kept.append((len(short) - 2) / (len(row) - 2))
    assert np.mean(kept) == pytest.approx(0.4, abs=0.03)
    assert np.std(kept) > 0.02


def test_a_piece_that_does_not_end_has_no_mark_at_its_end(task_and_ids, fitted):
    task, _ = task_and_ids
    begin, end = fitted.input_spec_.begin, fitted.input_spec_.end
    task.deletion = 0.999
    rows = torch.tensor([[begin, 20, 21, 22, 23], [begin, 30, 31, end, -1], [begin, 9, -1, -1, -1]])
    shortened = task.shortened(rows)
    assert (shortened >= 0).sum(dim=1).tolist() == [2, 3, 2]
    assert shortened[2].tolist() == [begin, 9, -1]
    assert shortened[1, 2] == end


def test_transform_deletes_nothing(fitted):
    ids = ids_of(SENTENCES, fitted.input_spec_)
    with torch.no_grad():
        states = fitted.encoder_.states(ids)
    expected = np.stack([s[row >= 0].mean(dim=0).numpy() for s, row in zip(states, ids)])
    np.testing.assert_allclose(fitted.transform(SENTENCES), expected, atol=1e-5, rtol=1e-4)


# What the decoder knows -------------------------------------------------------------------------


@pytest.fixture
def decoder_and_input(task_and_ids):
    task, ids = task_and_ids
    h = torch.randn(len(ids), 32, generator=torch.Generator().manual_seed(0))
    return task.decoder, task.encoder.embedding(ids.clamp(min=0)).detach(), h


def test_a_later_token_changes_no_earlier_state(decoder_and_input):
    decoder, x, h = decoder_and_input
    states = decoder(x, h)
    for t in range(1, x.shape[1]):
        other = x.clone()
        other[:, t:] += 1 + torch.arange(other[:, t:].shape[2])
        changed = decoder(other, h)
        torch.testing.assert_close(changed[:, :t], states[:, :t], rtol=0, atol=1e-6)
        assert ((changed - states)[:, t:].abs().amax(dim=2) > 1e-3).all()


def test_every_state_depends_on_the_vector_of_its_row_and_no_other(decoder_and_input):
    decoder, x, h = decoder_and_input
    states = decoder(x, h)
    h[2] += torch.linspace(-1, 1, 32)
    changed = (decoder(x, h) - states).abs().amax(dim=2)
    assert (changed[2] > 1e-3).all()
    assert changed[[0, 1, 3, 4]].max() < 1e-6


def test_the_decoder_sees_nothing_of_the_text_but_the_vector(task_and_ids):
    """With the vector fixed, what the encoder reads makes no difference to the loss."""
    task, ids = task_and_ids
    fixed = torch.zeros(len(ids), 32)
    task.encoder.register_forward_hook(lambda module, args, output: fixed)
    with torch.no_grad():
        losses = {task(ids).item() for _ in range(5)}
    assert len(losses) == 1


def test_the_vector_helps_to_write_its_text():
    texts = ["cats like fish", "dogs like bones", "owls hunt mice", "cows eat grass"] * 4
    ssl = TSDAETransformer(max_epochs=60, dropout=0, deletion=0.3, **SMALL).fit(texts)
    ids = ids_of(texts[:4], ssl.input_spec_)
    task = ssl.task_.eval()
    task.deletion = 0
    with torch.no_grad():
        own = task(ids).item()
        task.encoder.register_forward_hook(lambda module, args, output: output.roll(1, dims=0))
        of_another = task(ids).item()
    assert of_another > own + 1


def test_gradients_reach_encoder_and_decoder_and_are_clipped(task_and_ids):
    task, ids = task_and_ids
    seen = []
    task.encoder.register_forward_hook(lambda module, args, output: seen.append(output))
    loss = 1000 * task(ids)
    (of_vectors,) = torch.autograd.grad(loss, seen[0], retain_graph=True)
    assert (of_vectors.norm(dim=1) > 0).all()
    loss.backward()
    assert all(parameter.grad.abs().sum() > 0 for parameter in task.parameters())
    task.after_backward(0.5)
    norm = torch.stack([parameter.grad.norm() for parameter in task.parameters()]).norm()
    assert norm.item() == pytest.approx(1, rel=1e-3)


# The estimator ----------------------------------------------------------------------------------


def test_score_is_the_same_at_every_call(fitted, random_streams_untouched):
    scores = {fitted.score(SENTENCES) for _ in range(3)}
    assert len(scores) == 1
    assert -math.log(len(fitted.task_.known)) < scores.pop() < 0


def test_held_out_loss_stops_the_training_and_is_the_same_again():
    params = {**SMALL, "early_stopping": True, "n_iter_no_change": 3, "batch_size": 8}
    curves = [
        TSDAETransformer(max_epochs=8, **params).fit(SENTENCES * 8).history_["valid_loss"]
        for _ in range(2)
    ]
    assert curves[0] == curves[1]
    assert np.isfinite(curves[0]).all()
    # The weights stand still, and so does what is left out of held-out rows.
    still = TSDAETransformer(max_epochs=3, lr=1e-30, **params).fit(SENTENCES * 8)
    assert len(set(still.history_["valid_loss"])) == 1
    assert len(set(still.history_["train_loss"])) == 3


def test_training_makes_texts_easier_to_write(fitted):
    untrained = TSDAETransformer(max_epochs=0, **SMALL).fit(SENTENCES * 4)
    trained = TSDAETransformer(max_epochs=20, batch_size=8, **SMALL).fit(SENTENCES * 4)
    assert trained.score(SENTENCES) > untrained.score(SENTENCES) + 0.5


def test_saved_cloned_and_fitted_again(fitted, tmp_path):
    Z, score = fitted.transform(SENTENCES), fitted.score(SENTENCES)
    joblib.dump(fitted, tmp_path / "ssl")
    for twin in (
        pickle.loads(pickle.dumps(fitted)),
        joblib.load(tmp_path / "ssl"),
        clone(fitted).fit(SENTENCES * 4),
    ):
        np.testing.assert_array_equal(twin.transform(SENTENCES), Z)
        assert twin.score(SENTENCES) == score


def test_texts_with_new_tokens_are_scored_and_trained_on(fitted):
    ssl = pickle.loads(pickle.dumps(fitted))
    others = ["漢字 of another kind", "zzz", *SENTENCES]
    assert np.isfinite(ssl.score(others))
    assert np.isfinite(ssl.score(["漢字"]))
    assert np.isfinite(ssl.partial_fit(others).loss_curve_).all()


@pytest.mark.parametrize("deletion", [1, -0.1, None])
def test_deletion_leaves_something(deletion):
    with pytest.raises(InvalidParameterError, match="'deletion' parameter"):
        TSDAETransformer(deletion=deletion, **SMALL).fit(SENTENCES)


def test_random_weights_are_warned_of():
    with pytest.warns(UserWarning, match="starts from random weights, .* Sent2VecTransformer"):
        TSDAETransformer(max_epochs=1, **SMALL).fit(SENTENCES)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        TSDAETransformer(max_epochs=0, **SMALL).fit(SENTENCES)


@pytest.mark.parametrize("pooling", ["last", "cls"])
def test_every_pooling_is_trained(pooling):
    ssl = TSDAETransformer(pooling=pooling, max_epochs=2, **SMALL).fit(SENTENCES * 4)
    untrained = clone(ssl).set_params(max_epochs=0).fit(SENTENCES * 4)
    assert ssl.score(SENTENCES) > untrained.score(SENTENCES)
    assert not np.allclose(ssl.transform(SENTENCES), untrained.transform(SENTENCES), atol=1e-3)


# Pretrained models ------------------------------------------------------------------------------


def test_a_new_decoder_learns_faster_than_a_pretrained_encoder(tmp_path):
    folder = save_bert(tmp_path / "model", unused=3)
    rates = {}

    def optimizer(params, lr, **kwargs):
        for group in params:
            rates.update(dict.fromkeys(group["params"], group["lr_scale"]))
        return torch.optim.AdamW(params, lr=lr, **kwargs)

    ssl = TSDAETransformer(pretrained=folder, max_epochs=1, optimizer=optimizer).fit(TEXTS)
    assert {rates[p] for p in ssl.task_.decoder.parameters()} == {20}
    assert {rates[p] for p in ssl.encoder_.parameters()} == {1}
    TSDAETransformer(max_epochs=1, optimizer=optimizer, **SMALL).fit(TEXTS)
    assert {*rates.values()} == {1, 20}


def test_a_pretrained_model_is_adapted_in_small_steps(tmp_path):
    folder = save_bert(tmp_path / "model")
    ssl = TSDAETransformer(pretrained=folder, max_epochs=1).fit(TEXTS * 4)
    assert ssl.batch_size_ == int(512 / (ssl.input_spec_.n_tokens / (4 * len(TEXTS))))
    assert TSDAETransformer(**SMALL).fit(SENTENCES).n_iter_ == 100


def test_tokens_that_do_not_occur_keep_their_vectors(tmp_path):
    folder = save_bert(tmp_path / "model", unused=3)
    params = {"pretrained": folder, "weight_decay": 0, "random_state": 0}
    vectors = [
        TSDAETransformer(max_epochs=n, **params).fit(TEXTS[:2] * 3).encoder_.embedding.weight
        for n in (0, 2)
    ]
    changed = (vectors[0] != vectors[1]).any(dim=1)
    spec = TSDAETransformer(max_epochs=0, **params).fit(TEXTS[:2] * 3).input_spec_
    occur = set(ids_of(TEXTS[:2], spec).flatten().tolist()) - {-1}
    assert set(changed.nonzero()[:, 0].tolist()) == occur


def test_fine_tuning_of_an_adapted_model(tmp_path):
    folder = save_bert(tmp_path / "model")
    y = np.array(["dog" in text for text in TEXTS]).astype(int)
    ssl = TSDAETransformer(pretrained=folder, max_epochs=2, batch_size=8, random_state=0)
    model = FineTuneClassifier(ssl, strategy="full", max_epochs=30, lr=2e-3, random_state=0)
    assert model.fit(TEXTS, y).score(TEXTS, y) == 1


@pytest.mark.slow
def test_an_adapted_model_beats_itself_on_held_out_texts(load_or_skip):
    """Is a sentence about a product, a film or a restaurant positive? With ten labels of each."""
    folder = load_or_skip(load_minilm_folder)
    texts, y = load_or_skip(load_sentiment_sentences)
    order = np.random.default_rng(0).permutation(len(texts))
    X, y = [texts[i] for i in order], np.asarray(y)[order]
    accuracy = {}
    for epochs in (0, None):
        ssl = TSDAETransformer(pretrained=folder, max_epochs=epochs, random_state=0).fit(X[:1500])
        Z, Z_test = ssl.transform(X[:1500]), ssl.transform(X[1500:])
        scores = []
        for seed in range(10):
            few = draw_labels(y[:1500], 10, seed)
            model = LogisticRegression(max_iter=10_000).fit(Z[few], y[:1500][few])
            scores.append(model.score(Z_test, y[1500:]))
        accuracy[epochs] = np.mean(scores)
    assert accuracy[None] > accuracy[0] + 0.005
