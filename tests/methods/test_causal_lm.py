"""The causal language model: its loss, its score against slow loops, and the texts it writes."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import chisquare
from tokenizers import Tokenizer, decoders, models, pre_tokenizers
from torch.nn import functional as F

from sklearn_ssl import CausalLMEmbedder, tokenization
from sklearn_ssl.data.text import TokenRows
from sklearn_ssl.methods.causal_lm import draw
from tests.helpers import make_task

SENTENCES = [
    "To be or not to be, that is the question.",
    "The cat sat on the mat.",
    "A dog lay on the rug, and the cat lay on the dog.",
    "It rains.",
]
SMALL = {"width": 32, "depth": 2, "vocabulary_size": 340, "random_state": 0}


@pytest.fixture(scope="module")
def trained():
    """A model that knows some sentences by heart; no test may change it."""
    return CausalLMEmbedder(max_epochs=60, batch_size=8, **SMALL).fit(SENTENCES * 10)


@pytest.fixture(scope="module")
def short():
    """A model of random weights that reads 12 tokens at once; no test may change it."""
    embedder = CausalLMEmbedder(max_epochs=0, max_length=12, **SMALL).fit(SENTENCES * 10)
    with torch.no_grad():  # at the start all that follows is equally likely
        for parameter in embedder.task_.parameters():
            parameter += 0.15 * torch.randn(
                parameter.shape, generator=torch.Generator().manual_seed(1)
            )
    return embedder


def ids_of(embedder, text):
    """Return the ids of a text, as a list."""
    return embedder.tokenizer_.encode(text, add_special_tokens=False).ids


@torch.no_grad()
def logits_behind(embedder, ids):
    """Return what may follow some ids, which are read at once."""
    states = embedder.encoder_.states(torch.tensor([ids]))[0, -1]
    return embedder.encoder_.embedding.weight @ states


# The task ---------------------------------------------------------------------------------------


@pytest.fixture
def task_and_ids(short):
    spec = short.input_spec_
    task = make_task(CausalLMEmbedder(**SMALL, dropout=0.0), spec)
    rows = TokenRows(SENTENCES, spec)
    return task, spec.to_tensor(rows[np.arange(len(rows))])


def test_first_loss_is_that_of_guessing(task_and_ids):
    task, ids = task_and_ids
    assert task(ids).item() == pytest.approx(
        math.log(task.encoder.embedding.num_embeddings), rel=0.05
    )


def test_loss_is_the_mean_over_all_tokens_but_the_first_of_a_row(task_and_ids):
    task, ids = task_and_ids
    losses = []
    for row in ids:
        row = row[row >= 0]
        for t in range(1, len(row)):
            state = task.encoder.states(row[None, :t])[0, -1]
            losses.append(F.cross_entropy(task.encoder.embedding.weight @ state, row[t]))
    assert len(losses) == (ids >= 0).sum() - len(ids)
    torch.testing.assert_close(task(ids), torch.stack(losses).mean(), atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("known", [0, 2, [[0], [3], [1]]])
def test_tokens_that_are_known_are_read_and_not_predicted(known, task_and_ids):
    task, ids = task_and_ids
    ids = ids[:3]
    n_known = np.broadcast_to(known, (3, 1))[:, 0]
    losses = []
    for row, n in zip(ids, n_known):
        row = row[row >= 0]
        logits = task.encoder.states(row[None])[0, n:-1] @ task.encoder.embedding.weight.T
        losses += F.cross_entropy(logits, row[n + 1 :], reduction="none")
    loss = task(ids, torch.tensor(known) if isinstance(known, list) else known)
    torch.testing.assert_close(loss, torch.stack(losses).mean(), atol=1e-5, rtol=1e-5)


def test_gradients_reach_every_parameter_and_the_embedding_from_both_ends(task_and_ids):
    task, ids = task_and_ids
    inputs = []
    task.encoder.embedding.register_forward_hook(lambda m, a, output: inputs.append(output))
    loss = task(ids)
    (of_inputs,) = torch.autograd.grad(loss, inputs[0], retain_graph=True)
    assert (of_inputs[:, 0].norm(dim=1) > 0).all()
    loss.backward()
    assert all(parameter.grad.abs().sum() > 0 for parameter in task.parameters())
    unseen = sorted(set(range(task.encoder.embedding.num_embeddings)) - set(ids.flatten().tolist()))
    assert (task.encoder.embedding.weight.grad[unseen].norm(dim=1) > 0).all()


def test_gradients_are_clipped(task_and_ids):
    task, ids = task_and_ids
    (1000 * task(ids)).backward()
    task.after_backward(0.5)
    norm = torch.stack([parameter.grad.norm() for parameter in task.parameters()]).norm()
    assert norm.item() == pytest.approx(1, rel=1e-3)


# Score ------------------------------------------------------------------------------------------


def slow_losses(embedder, text):
    """Return the loss of each token of a text and of its end, from as much as may be read.

    A text of more than `max_length` is read in windows. The next one begins when a window is full,
    with the last half of its tokens.
    """
    spec = embedder.input_spec_
    ids = [*ids_of(embedder, text), spec.end]
    n_read = spec.max_length - 2  # in a window, beside a beginning and an end
    first, losses = 0, []
    for place, token in enumerate(ids):
        if place - first == n_read and token != spec.end:
            first = place - n_read // 2
        logits = logits_behind(embedder, [spec.begin, *ids[first:place]])
        losses.append(F.cross_entropy(logits, torch.tensor(token)).item())
    return losses


LONG = " ".join(3 * SENTENCES)


@pytest.mark.parametrize("text", ["", "It rains.", SENTENCES[2], LONG, LONG[:100]])
def test_score_is_that_of_a_slow_loop(text, short):
    losses = slow_losses(short, text)
    assert short.score([text]) == pytest.approx(-np.mean(losses), rel=1e-4)


def test_score_of_several_texts_is_the_mean_over_their_tokens(short):
    texts = ["It rains.", LONG, "", SENTENCES[0]]
    losses = [loss for text in texts for loss in slow_losses(short, text)]
    assert short.score(texts) == pytest.approx(-np.mean(losses), rel=1e-4)
    assert short.perplexity(texts) == pytest.approx(math.exp(np.mean(losses)), rel=1e-3)


@settings(deadline=None, max_examples=15)
@given(n_words=st.integers(0, 60), seed=st.integers(0, 99))
def test_score_of_texts_of_any_length(n_words, seed, short):
    text = " ".join(np.random.default_rng(seed).choice(LONG.split(), n_words))
    assert short.score([text]) == pytest.approx(-np.mean(slow_losses(short, text)), rel=1e-4)


@pytest.mark.parametrize("max_length", [4, 5, 6])
def test_score_in_the_shortest_windows(max_length):
    params = {**SMALL, "max_length": max_length, "max_epochs": 3, "batch_size": 64}
    embedder = CausalLMEmbedder(**params).fit(SENTENCES)
    losses = slow_losses(embedder, SENTENCES[0])
    assert embedder.score(SENTENCES[:1]) == pytest.approx(-np.mean(losses), rel=1e-4)


def test_score_depends_neither_on_the_order_nor_on_the_batch_size(short, monkeypatch):
    texts = [LONG, "", *SENTENCES, LONG[50:]]
    expected = short.score(texts)
    assert short.score(texts[::-1]) == pytest.approx(expected, rel=1e-6)
    for batch_size in (2, 3, 100):
        monkeypatch.setattr(short, "batch_size_", batch_size)
        assert short.score(texts) == pytest.approx(expected, rel=1e-6)


def test_score_is_that_of_guessing_at_first_and_better_afterwards(trained):
    untrained = CausalLMEmbedder(max_epochs=0, **SMALL).fit(SENTENCES * 10)
    size = untrained.input_spec_.vocabulary_size
    assert untrained.score(SENTENCES) == pytest.approx(-math.log(size), rel=0.05)
    assert untrained.perplexity(SENTENCES) == pytest.approx(size, rel=0.3)
    assert trained.score(SENTENCES) > -0.6
    assert 1 <= trained.perplexity(SENTENCES) < 1.8
    backwards = [sentence[::-1] for sentence in SENTENCES]
    assert trained.score(backwards) < trained.score(SENTENCES) - 3


# Generation -------------------------------------------------------------------------------------


def slow_greedy(embedder, prompt, n_tokens):
    """Return the ids of a greedy continuation, without a cache.

    When as much is read as may be, the older half is forgotten.
    """
    spec = embedder.input_spec_
    window, new = [spec.begin, *ids_of(embedder, prompt)][-spec.max_length :], []
    while len(new) < n_tokens:
        logits = logits_behind(embedder, window)
        logits[[i for i in spec.special if i != spec.end]] = -torch.inf
        new.append(logits.argmax().item())
        if new[-1] == spec.end:
            return new[:-1]
        if len(window) == spec.max_length:
            window = [*window, new[-1]][-(spec.max_length // 2) :]
        else:
            window = [*window, new[-1]]
    return new


@pytest.mark.parametrize("prompt", ["", "It", "The cat sat on", SENTENCES[2], LONG])
def test_greedy_texts_are_those_of_a_loop_without_a_cache(prompt, short):
    """Beyond the length of a window, too."""
    expected = slow_greedy(short, prompt, 40)
    assert len(expected) == 40
    assert len(set(expected)) > 3
    text = short.generate(prompt, max_new_tokens=40, temperature=0)
    known = ids_of(short, prompt)
    expected = short.tokenizer_.decode(known + expected)
    assert text == (expected.removeprefix(" ") if not prompt.startswith(" ") else expected)


def test_what_was_learned_by_heart_is_recited(trained):
    assert trained.generate("To be or not to", max_new_tokens=1, temperature=0) == (
        "To be or not to be"
    )
    beginnings = ["To be", "The", "A dog", "It"]
    assert trained.generate(beginnings, temperature=0) == SENTENCES
    drawn = trained.generate([""] * 20, random_state=0)
    assert set(drawn) & set(SENTENCES)


@pytest.mark.parametrize("temperature", [0, 1.0])
def test_prompts_are_kept(temperature, short):
    prompts = ["", "It", "The cat sat on", LONG, "naïve 漢字 😀", " two  spaces", "\ttab\n"]
    texts = short.generate(prompts, max_new_tokens=5, temperature=temperature, random_state=0)
    assert isinstance(texts, list)
    for prompt, text in zip(prompts, texts, strict=True):
        assert text.startswith(prompt)
        assert len(text) > len(prompt)


def test_one_prompt_gives_one_text(short):
    alone = short.generate("The cat", max_new_tokens=5, random_state=0)
    assert isinstance(alone, str)
    assert short.generate(["The cat"], max_new_tokens=5, random_state=0) == [alone]
    assert short.generate(np.array(["The cat"]), max_new_tokens=5, random_state=0) == [alone]


def test_equal_seeds_give_equal_texts(short, random_streams_untouched):
    texts = [short.generate(SENTENCES, random_state=seed) for seed in (3, 3, 4)]
    assert texts[0] == texts[1] != texts[2]
    state = np.random.RandomState(3)
    assert short.generate(SENTENCES, random_state=state) == texts[0]
    assert short.generate(SENTENCES, random_state=state) != texts[0]


@pytest.mark.parametrize("temperature", [0, 1.0])
def test_a_continuation_does_not_depend_on_the_prompts_beside_it(temperature, short):
    options = {"temperature": temperature, "random_state": 0, "max_new_tokens": 20}
    together = short.generate(["The cat", "It rains", "A dog lay on the rug"], **options)
    others = short.generate(["", "It rains", "To be", "The dog", "A"], **options)
    assert others[1] == together[1]
    assert short.generate(["The cat"], **options) == together[:1]


def test_more_tokens_than_there_are_to_draw_from_are_all(short):
    texts = [
        short.generate("the cat", max_new_tokens=5, top_k=top_k, random_state=0)
        for top_k in (None, 10**6, 10**30)
    ]
    assert texts[0] == texts[1] == texts[2]


def test_the_likeliest_token_alone_is_the_greedy_one(short):
    greedy = short.generate(SENTENCES, temperature=0)
    for options in ({"top_k": 1}, {"top_k": 1, "temperature": 5.0}, {"temperature": 1e-6}):
        assert short.generate(SENTENCES, random_state=0, **options) == greedy
    assert short.generate(SENTENCES, random_state=0) != greedy
    some = short.generate(SENTENCES, random_state=0, top_k=short.input_spec_.vocabulary_size)
    assert some == short.generate(SENTENCES, random_state=0, top_k=10_000)
    assert some == short.generate(SENTENCES, random_state=0)


def test_first_tokens_follow_the_softmax(short):
    spec, n, prompt = short.input_spec_, 4000, "The cat"
    texts = short.generate([prompt] * n, max_new_tokens=1, temperature=0.3, random_state=0)
    known = ids_of(short, prompt)
    logits = logits_behind(short, [spec.begin, *known]).double()
    logits[[i for i in spec.special if i != spec.end]] = -torch.inf
    expected = dict.fromkeys(texts, 0.0)
    for token, probability in enumerate((logits / 0.3).softmax(dim=0).tolist()):
        # Parts of characters look alike.
        text = short.tokenizer_.decode([*known, token]).removeprefix(" ")
        expected[text] = expected.get(text, 0.0) + n * probability
    frequent = [text for text in expected if expected[text] > 20]
    assert len(frequent) > 5
    counts = [texts.count(text) for text in frequent]
    expected = [expected[text] for text in frequent]
    rest = [n - sum(counts)], [n - sum(expected)]
    assert chisquare(counts + rest[0], expected + rest[1]).pvalue > 1e-3


def evenly(n):
    return (torch.arange(n, dtype=torch.float64) + 0.5) / n


@pytest.mark.parametrize("temperature", [0.5, 1.0, 2.0])
@pytest.mark.parametrize("top_k", [None, 1, 3, 7, 100])
def test_draws_are_those_of_the_softmax_of_the_likeliest(top_k, temperature):
    logits = torch.randn(7, generator=torch.Generator().manual_seed(0))
    n = 100_000
    tokens = draw(logits.expand(n, 7), temperature, top_k, evenly(n))
    assert tokens.shape == (n, 1)
    kept = logits.topk(min(top_k or 7, 7)).indices
    expected = torch.zeros(7)
    expected[kept] = (logits[kept] / temperature).softmax(dim=0)
    shares = tokens[:, 0].bincount(minlength=7) / n
    torch.testing.assert_close(shares, expected, atol=1e-4, rtol=0)


def test_draws_at_the_ends_of_chance_are_possible_tokens():
    logits = torch.tensor([[0.1, -torch.inf, 0.3, -torch.inf]]).expand(4, 4)
    chance = torch.tensor([0.0, 1e-300, 1 - 2**-53, np.nextafter(1, 0)], dtype=torch.float64)
    assert draw(logits, 1.0, None, chance)[:, 0].tolist() == [2, 2, 0, 0]
    assert draw(logits, 0, None, chance)[:, 0].tolist() == [2, 2, 2, 2]
    equal = torch.zeros(4, 5)
    assert draw(equal, 1.0, 2, chance)[:, 0].tolist() == [0, 0, 1, 1]
    assert draw(equal[:1], 1.0, 2, torch.tensor([0.5])).item() == 1  # the first one's part is over


# The end, and what is never written -------------------------------------------------------------


@pytest.fixture
def scripted(short, monkeypatch):
    """A function that makes the model want some tokens, one after the other, in each row."""

    def script(*rows):
        steps = iter(zip(*rows, strict=True))
        n_read = []

        def next_logits(ids, cache):
            n_read.append(ids.shape[1])
            logits = torch.zeros(len(rows), short.input_spec_.vocabulary_size)
            for row, token in enumerate(next(steps)):
                logits[row, token] = 50.0
            return logits

        monkeypatch.setattr(short.task_, "next_logits", next_logits)
        return n_read

    return script


def test_a_text_ends_with_the_token_for_an_end(short, scripted):
    end = short.input_spec_.end
    a, b, c = (ids_of(short, word)[0] for word in ("the", "on", "cat"))
    n_read = scripted([a, end, b, c, end, a], [b, c, a, end, c, a])
    texts = short.generate(["It", "It"], random_state=0, max_new_tokens=6)
    decode = short.tokenizer_.decode
    it = ids_of(short, "It")
    assert texts == [decode([*it, a]).strip(), decode([*it, b, c, a]).strip()]
    assert len(n_read) == 4  # no more was asked for than the longest text needs


def test_as_many_tokens_as_are_asked_for(short, scripted):
    a, b = (ids_of(short, word)[0] for word in ("the", "on"))
    for n in (1, 3):
        scripted([a, b, a, b])
        text = short.generate("It", max_new_tokens=n)
        new = ids_of(short, text)[len(ids_of(short, "It")) :]
        assert new == [a, b, a, b][:n]


@pytest.mark.parametrize("temperature", [0, 1.0])
def test_special_tokens_are_never_written(temperature, short, monkeypatch):
    spec = short.input_spec_
    assert set(spec.special) == {spec.begin, spec.mask, spec.end}
    written = []

    def next_logits(ids, cache):
        logits = torch.zeros(len(ids), spec.vocabulary_size)
        logits[:, [spec.begin, spec.mask]] = 100.0
        logits[:, spec.end] = -10.0
        return logits

    def decode(json, ids, behind):
        written.extend(ids)
        return ""

    monkeypatch.setattr(short.task_, "next_logits", next_logits)
    monkeypatch.setattr(tokenization, "decode", decode)
    short.generate(["It"] * 40, temperature=temperature, random_state=0)
    assert len(written) > 1000
    assert not set(written) & set(spec.special)


def test_texts_go_on_beyond_the_window(short):
    """A model that has learned an endless text of short periods continues it."""
    endless = " ".join(["one two three four five"] * 60)
    params = {**SMALL, "max_length": 16, "max_epochs": 40, "batch_size": 8}
    embedder = CausalLMEmbedder(**params).fit([endless])
    text = embedder.generate("one two three four five one two", max_new_tokens=60, temperature=0)
    assert len(ids_of(embedder, text)) >= 60
    assert endless.startswith(text)
    long = embedder.generate(endless[:200], max_new_tokens=20, temperature=0)
    assert long.startswith(endless[:200])


# Prompts ----------------------------------------------------------------------------------------


def test_an_empty_prompt_begins_a_text(trained):
    text = trained.generate("", temperature=0)
    assert text in SENTENCES
    assert trained.generate("  ", temperature=0) == text


def test_spaces_behind_a_prompt_are_left_out(trained):
    text = trained.generate("The cat sat", temperature=0)
    assert trained.generate(["The cat sat ", "The cat sat   "], temperature=0) == [text, text]


def of_words(kind):
    """Return a tokenizer that writes spaces in another way than ours."""
    words = ["the", "cat", "sat", ".", "it", "rains"]
    if kind == "metaspace":
        words = [word if word == "." else f"▁{word}" for word in words]
        pieces = [(word, -1.0) for word in ["<unk>", "<s>", "</s>", *words]]
        tokenizer = Tokenizer(models.Unigram(pieces, unk_id=0))
        tokenizer.pre_tokenizer = pre_tokenizers.Metaspace()
        tokenizer.decoder = decoders.Metaspace()
    else:
        words = ["[UNK]", "[CLS]", "[SEP]", "[MASK]", *words]
        vocabulary = {word: i for i, word in enumerate(words)}
        tokenizer = Tokenizer(models.WordPiece(vocabulary, unk_token="[UNK]"))
        tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
        tokenizer.decoder = decoders.WordPiece()
    return tokenizer


@pytest.mark.parametrize("tokenizer", ["metaspace", "wordpiece", "byte", "char"])
def test_spaces_between_prompt_and_continuation(tokenizer):
    if tokenizer in ("metaspace", "wordpiece"):
        tokenizer = of_words(tokenizer)
    params = {"max_epochs": 60, "batch_size": 8, "width": 32, "depth": 2, "random_state": 0}
    known = ["the cat sat.", "it rains."]
    embedder = CausalLMEmbedder(tokenizer=tokenizer, **params).fit(known * 8)
    texts = embedder.generate(["the", "the cat", "it", ""], temperature=0)
    assert texts[:3] == ["the cat sat.", "the cat sat.", "it rains."]
    assert texts[3] in known


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"temperature": -1}, "temperature == -1, must be >= 0"),
        ({"temperature": -1e-9}, "must be >= 0"),
        ({"top_k": 0}, "top_k == 0, must be >= 1"),
        ({"max_new_tokens": 0}, "max_new_tokens == 0, must be >= 1"),
        ({"max_new_tokens": 10**10}, "max_new_tokens == 10000000000, must be <= 1048576"),
    ],
)
def test_numbers_out_of_range(options, message, short):
    with pytest.raises(ValueError, match=message):
        short.generate("It", **options)


@pytest.mark.parametrize("options", [{"temperature": "1"}, {"top_k": 1.5}, {"max_new_tokens": 2.0}])
def test_what_is_no_number(options, short):
    with pytest.raises(TypeError, match=f"{next(iter(options))} must be an instance of"):
        short.generate("It", **options)


def test_generation_and_score_leave_the_model_as_it_was(short):
    before = {name: tensor.clone() for name, tensor in short.task_.state_dict().items()}
    Z = short.transform(SENTENCES)
    short.generate(SENTENCES, random_state=0)
    short.score(SENTENCES)
    assert not short.task_.training
    np.testing.assert_array_equal(short.transform(SENTENCES), Z)
    for name, tensor in short.task_.state_dict().items():
        assert torch.equal(tensor, before[name])


@pytest.mark.parametrize("temperature", [np.nan, np.inf])
def test_temperature_is_finite(temperature, short):
    with pytest.raises(ValueError, match=f"temperature must be a finite number, got {temperature}"):
        short.generate("It", temperature=temperature)
