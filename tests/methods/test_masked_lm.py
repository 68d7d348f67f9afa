"""The masked language model: what its loss looks at, and what it puts into gaps."""

import math

import numpy as np
import pytest
import torch
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from skorch.callbacks import Callback
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from torch.nn import functional as F

from benchmarks.datasets import load_brown
from sklearn_ssl import CausalLMEmbedder, MaskedLMEmbedder, SimCSETransformer, TSDAETransformer
from sklearn_ssl.data.text import TokenRows
from sklearn_ssl.masking import corrupt_tokens
from sklearn_ssl.methods import masked_lm
from sklearn_ssl.semi_supervised import draw_labels
from tests.helpers import make_task

SENTENCES = [
    "Rome is the capital of Italy.",
    "The cat sat on my mat.",
    "My dog lay under his rug, they say.",
    "We ate bread with butter, and drank tea.",
]
SMALL = {"width": 64, "depth": 1, "vocabulary_size": 340, "random_state": 0}


@pytest.fixture(scope="module")
def trained():
    """A model that knows some sentences by heart; no test may change it."""
    params = {"max_epochs": 100, "batch_size": 8, "dropout": 0.0}
    return MaskedLMEmbedder(**params, **SMALL).fit(SENTENCES * 10)


@pytest.fixture
def task_and_ids(trained):
    """An untrained task, and a batch of ids of rows of different lengths."""
    spec = trained.input_spec_
    rows = TokenRows(SENTENCES, spec)
    task = make_task(MaskedLMEmbedder(**SMALL, dropout=0.0, mask_ratio=0.3), spec)
    return task, spec.to_tensor(rows[np.arange(len(rows))])


# The task ---------------------------------------------------------------------------------------


def test_first_guess_is_the_frequency_of_each_token(task_and_ids, trained):
    """Steps that only learn these frequencies are saved."""
    task, ids = task_and_ids
    frequency = trained.input_spec_.frequency()
    task.generator.manual_seed(3)
    loss = task(ids).item()
    _, chosen = corrupt_tokens(ids, 0.3, torch.Generator().manual_seed(3), **task.words)
    assert loss == pytest.approx(-frequency[ids[chosen]].log().mean().item(), rel=0.05)
    assert loss < 0.8 * math.log(len(task.bias))
    with torch.no_grad():
        logits = task.logits(ids, chosen)
    assert torch.isfinite(logits).all()  # also of tokens that were never seen


class FirstEmbedding(Callback):
    """Keep the embedding from before the first step."""

    def on_train_begin(self, net, **kwargs):
        self.weight_ = net.module_.encoder.embedding.weight.detach().clone()


def first_embedding(**params):
    seen = FirstEmbedding()
    ssl = MaskedLMEmbedder(**SMALL, max_epochs=1, callbacks=[seen], **params).fit(SENTENCES * 10)
    return seen.weight_, ssl.input_spec_


def test_embedding_starts_from_word_vectors(monkeypatch):
    train, learned_vectors = masked_lm.train_word_vectors, []

    def learn(*args, **options):
        learned_vectors.append(train(*args, **options))
        return learned_vectors[0]

    monkeypatch.setattr(masked_lm, "train_word_vectors", learn)
    weight, spec = first_embedding()
    random = MaskedLMEmbedder(**SMALL, max_epochs=0).fit(SENTENCES * 10).encoder_.embedding.weight
    vectors = learned_vectors[0]
    found = [i for i in range(spec.vocabulary_size) if i not in spec.meaningless]
    centered = vectors - vectors.mean(dim=0)
    factors = weight[found] / centered[found]
    torch.testing.assert_close(factors, factors[0, 0].expand_as(factors), rtol=1e-3, atol=1e-5)
    torch.testing.assert_close(weight[list(spec.special)], random[list(spec.special)])
    assert weight.std() == pytest.approx(random.std().item(), rel=0.1)
    assert not torch.allclose(weight[found], random[found], atol=0.01)


def test_word_vectors_do_not_know_held_out_texts(monkeypatch):
    seen = []
    train = masked_lm.train_word_vectors
    monkeypatch.setattr(
        masked_lm,
        "train_word_vectors",
        lambda rows, *args, **options: seen.append(len(rows)) or train(rows, *args, **options),
    )
    first_embedding(early_stopping=True, validation_fraction=0.25)
    assert seen == [30]


def test_a_second_fit_goes_on_without_new_word_vectors(trained):
    texts = SENTENCES * 10
    again = MaskedLMEmbedder(**SMALL, max_epochs=1, warm_start=True).fit(texts)
    known = again.encoder_.embedding.weight.detach().clone()
    seen = FirstEmbedding()
    again.set_params(callbacks=[seen]).fit(texts)
    torch.testing.assert_close(seen.weight_, known)


def test_loss_is_that_of_the_chosen_tokens_of_the_corrupted_text(task_and_ids):
    task, ids = task_and_ids
    with torch.no_grad():  # at the start all losses are the same
        for parameter in task.parameters():
            parameter += 0.2 * torch.randn_like(parameter)
    task.generator.manual_seed(3)
    loss = task(ids)
    corrupted, chosen = corrupt_tokens(ids, 0.3, torch.Generator().manual_seed(3), **task.words)
    assert (corrupted != ids).any()
    states = task.encoder.states(corrupted)
    losses = []
    for row, place in chosen.nonzero().tolist():
        logits = task.encoder.embedding.weight @ task.head(states[row, place]) + task.bias
        losses.append(F.cross_entropy(logits, ids[row, place]))
    assert len(losses) == chosen.sum() > len(ids)
    torch.testing.assert_close(loss, torch.stack(losses).mean(), atol=1e-5, rtol=1e-5)


def test_loss_does_not_look_at_what_the_other_tokens_are(task_and_ids, monkeypatch):
    """Neither are they predicted, nor is the token that was masked seen."""
    task, ids = task_and_ids
    chosen = torch.zeros_like(ids, dtype=torch.bool)
    chosen[:, 2] = True
    hidden = torch.where(chosen, task.words["mask"], ids)
    module = "sklearn_ssl.methods.masked_lm"
    monkeypatch.setattr(f"{module}.corrupt_tokens", lambda *args, **words: (hidden, chosen))
    seen = []
    monkeypatch.setattr(
        f"{module}.linear_cross_entropy",
        lambda states, weight, target, bias: seen.append((states, target)) or states.sum(),
    )
    task(ids)
    task(torch.where(chosen, ids, 5))
    (states, target), (again, same) = seen
    assert torch.equal(states, again)
    assert torch.equal(target, same)
    assert target.tolist() == ids[:, 2].tolist()


def test_special_tokens_are_neither_chosen_nor_drawn(trained):
    spec, task = trained.input_spec_, trained.task_
    assert task.words == {
        "mask": spec.mask,
        "special": spec.special,
        "vocabulary_size": spec.vocabulary_size,
    }
    assert {spec.begin, spec.end, spec.mask} == set(spec.special)


def test_masks_come_from_the_generator_of_the_task(task_and_ids, random_streams_untouched):
    task, ids = task_and_ids
    losses = []
    for seed in (3, 3, 4):
        task.generator.manual_seed(seed)
        losses.append(task(ids).item())
    assert losses[0] == losses[1] != losses[2]
    assert task(ids).item() != losses[2]  # another mask each time


def test_gradients_reach_every_parameter_and_the_embedding_from_both_ends(task_and_ids):
    task, ids = task_and_ids
    inputs = []
    task.encoder.embedding.register_forward_hook(lambda m, a, output: inputs.append(output))
    loss = task(ids)
    (of_inputs,) = torch.autograd.grad(loss, inputs[0], retain_graph=True)
    assert (of_inputs[ids >= 0].norm(dim=1) > 0).all()
    assert (of_inputs[ids < 0] == 0).all()
    loss.backward()
    assert all(parameter.grad.abs().sum() > 0 for parameter in task.parameters())
    unseen = sorted(set(range(len(task.bias))) - set(ids.flatten().tolist()) - {task.words["mask"]})
    assert (task.encoder.embedding.weight.grad[unseen].norm(dim=1) > 0).all()
    assert (task.bias.grad != 0).all()


def test_gradients_are_clipped(task_and_ids):
    task, ids = task_and_ids
    (1000 * task(ids)).backward()
    task.after_backward(0.5)
    norm = torch.stack([parameter.grad.norm() for parameter in task.parameters()]).norm()
    assert norm.item() == pytest.approx(1, rel=1e-3)


@pytest.mark.parametrize("mask_ratio", [0.15, 0.5, 1.0])
def test_the_part_that_is_masked_is_a_parameter(mask_ratio, trained):
    task = make_task(MaskedLMEmbedder(mask_ratio=mask_ratio, **SMALL), trained.input_spec_)
    seen = []
    task.head.register_forward_pre_hook(lambda m, args: seen.append(len(args[0])))
    task(torch.arange(10, 110)[None])
    assert seen == [100 * mask_ratio]


class Groups(Callback):
    """Keeps the weight decay of each parameter."""

    def on_train_end(self, net, **kwargs):
        groups = net.optimizer_.param_groups
        self.decays = {id(p): group["weight_decay"] for group in groups for p in group["params"]}


@pytest.mark.parametrize(
    "Estimator", [MaskedLMEmbedder, CausalLMEmbedder, SimCSETransformer, TSDAETransformer]
)
def test_weight_decay_is_for_matrices_only(Estimator):
    groups = Groups()
    params = {**SMALL, "weight_decay": 0.3, "max_epochs": 1, "callbacks": [groups]}
    task = Estimator(**params).fit(SENTENCES).task_
    decays = {name: groups.decays[id(p)] for name, p in task.named_parameters()}
    assert len(decays) == len(groups.decays)
    assert decays["encoder.embedding.weight"] == 0.3
    for name, parameter in task.named_parameters():
        is_vector = "norm" in name or name.endswith("bias") or name == "head.2.weight"
        assert parameter.ndim == (1 if is_vector else 2)
        assert decays[name] == (0 if is_vector else 0.3), name


def test_defaults_are_those_that_learned_most_in_minutes():
    params = MaskedLMEmbedder().get_params()
    assert (params["mask_ratio"], params["dropout"]) == (0.4, 0.0)
    assert CausalLMEmbedder().dropout == 0.1  # of the shared parameters


# Gaps -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("sentence", SENTENCES)
def test_what_was_learned_is_filled_in(sentence, trained):
    for word in sentence.replace(",", "").rstrip(".").split():
        (filling, probability), *_ = trained.fill_mask(sentence.replace(word, "[MASK]", 1))
        assert filling == word
        assert probability > 0.5
    assert trained.fill_mask(sentence.replace(".", "[MASK]"))[0][0] == "."


def test_fillings_are_the_likeliest_tokens_the_best_first(trained):
    fillings = trained.fill_mask("Rome is the [MASK] of Italy.", top_k=10_000)
    spec = trained.input_spec_
    assert len(fillings) == spec.vocabulary_size
    words, probabilities = zip(*fillings)
    assert all(isinstance(word, str) for word in words)
    assert all(isinstance(probability, float) for probability in probabilities)
    assert list(probabilities) == sorted(probabilities, reverse=True)
    assert sum(probabilities) == pytest.approx(1, abs=1e-4)
    assert probabilities[-4] > probabilities[-3] == 0  # special tokens
    assert trained.fill_mask("Rome is the [MASK] of Italy.", top_k=3) == fillings[:3]
    assert len(trained.fill_mask("Rome is the [MASK] of Italy.")) == 5


def test_probabilities_are_those_of_the_logits(trained):
    spec, tokenizer = trained.input_spec_, trained.tokenizer_
    before = tokenizer.encode("Rome is the", add_special_tokens=False).ids
    after = tokenizer.encode(" of Italy", add_special_tokens=False).ids
    ids = torch.tensor([[spec.begin, *before, spec.mask, *after, spec.end]])
    with torch.no_grad():
        state = trained.task_.head(trained.encoder_.states(ids)[0, 1 + len(before)])
        logits = trained.encoder_.embedding.weight @ state + trained.task_.bias
    logits[list(spec.special)] = -torch.inf
    chances, tokens = logits.softmax(dim=0).topk(4)
    fillings = trained.fill_mask("Rome is the [MASK] of Italy", top_k=4)
    for (word, chance), token, expected in zip(fillings, tokens.tolist(), chances.tolist()):
        assert chance == pytest.approx(expected, rel=1e-4)
        assert word == tokenizer.decode([token]).strip()


def test_several_texts_give_a_list_for_each(trained):
    texts = ["Rome is the [MASK] of Italy.", "[MASK]", "In [MASK]"]
    fillings = trained.fill_mask(texts, top_k=2)
    assert [len(some) for some in fillings] == [2, 2, 2]
    assert fillings == [trained.fill_mask(text, top_k=2) for text in texts]
    assert trained.fill_mask(np.array(texts), top_k=2) == fillings
    assert trained.fill_mask(texts[:1], top_k=2) == fillings[:1]


@pytest.mark.parametrize(
    ("text", "n"), [("Rome", 0), ("[MASK] and [MASK]", 2), ("", 0), ("[mask]", 0)]
)
def test_no_gap_or_two(text, n, trained):
    with pytest.raises(ValueError, match=rf"texts with one \[MASK\]; text 0 has {n}: '"):
        trained.fill_mask(text)
    with pytest.raises(ValueError, match=rf"text 1 has {n}: "):
        trained.fill_mask(["a [MASK]", text])


@pytest.mark.parametrize(("top_k", "error"), [(0, ValueError), (-1, ValueError), (1.5, TypeError)])
def test_bad_numbers_of_fillings(top_k, error, trained):
    with pytest.raises(error, match="top_k"):
        trained.fill_mask("a [MASK]", top_k=top_k)


@pytest.fixture
def ids_read(monkeypatch):
    """A function that returns the ids with a mask that an estimator reads for a text."""

    def read(embedder, text):
        seen = []

        def logits(ids, chosen):
            seen.append(ids[0].tolist())
            return torch.zeros(1, embedder.input_spec_.vocabulary_size)

        with monkeypatch.context() as patch:
            patch.setattr(embedder.task_, "logits", logits)
            embedder.fill_mask(text)
        return seen[0]

    return read


def tokenizer_of(kind):
    """Return a tokenizer of words of another make than ours."""
    if kind == "metaspace":
        tokenizer = Tokenizer(models.BPE(unk_token="<unk>"))
        tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
            [pre_tokenizers.Metaspace(), pre_tokenizers.Punctuation()]
        )
        tokenizer.decoder = decoders.Metaspace()
        trainer, special = trainers.BpeTrainer, ["<unk>", "<s>", "</s>", "<mask>"]
    else:
        tokenizer = Tokenizer(models.WordPiece(unk_token="[UNK]"))
        tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
        trainer, special = trainers.WordPieceTrainer, ["[UNK]", "[CLS]", "[SEP]", "[MASK]"]
    trainer = trainer(vocab_size=200, special_tokens=special, show_progress=False)
    tokenizer.train_from_iterator(SENTENCES, trainer)
    return tokenizer


@pytest.mark.parametrize("kind", [None, "metaspace", "wordpiece", "byte", "char"])
def test_what_stands_around_a_gap_is_read_as_in_a_text(kind, ids_read):
    tokenizer = tokenizer_of(kind) if kind in ("metaspace", "wordpiece") else kind
    params = {"tokenizer": tokenizer, "max_epochs": 0, "width": 8, "depth": 1, "n_heads": 2}
    embedder = MaskedLMEmbedder(**params).fit(SENTENCES)
    spec = embedder.input_spec_

    def ids_of(text):
        return embedder.tokenizer_.encode(text, add_special_tokens=False).ids

    # Tokens of words have the space in front of them; characters are between spaces.
    space = ids_of("a ")[1:] if kind in ("byte", "char") else []
    for word, text in {
        "Italy": "Rome is the capital of [MASK].",
        "capital": "Rome is the [MASK] of Italy.",
        "rug": "My dog lay under his [MASK], they say.",
    }.items():
        before, after = text.split(" [MASK]")
        whole = ids_of(text.replace("[MASK]", word))
        n_before, n_after = len(ids_of(before)), len(whole) - len(ids_of(f"{before} {word}"))
        expected = [*whole[:n_before], *space, spec.mask, *whole[-n_after:]]
        assert ids_read(embedder, text) == [spec.begin, *expected, spec.end]
        assert after
    assert ids_read(embedder, "[MASK]") == [spec.begin, spec.mask, spec.end]
    assert ids_read(embedder, "Rome [MASK]")[-2:] == [spec.mask, spec.end]


@pytest.mark.parametrize("max_length", [4, 5, 9, 16])
def test_of_a_long_text_what_is_near_the_gap_is_read(max_length, ids_read):
    params = {**SMALL, "max_length": max_length, "max_epochs": 0}
    embedder = MaskedLMEmbedder(**params).fit(SENTENCES)
    spec, long = embedder.input_spec_, " ".join(SENTENCES)
    ids = embedder.tokenizer_.encode(long, add_special_tokens=False).ids
    room = (max_length - 3) // 2
    beside = embedder.tokenizer_.encode(" " + long, add_special_tokens=False).ids[:room]
    before = ids[len(ids) - room :]
    assert ids_read(embedder, f"{long} [MASK] {long}") == [
        *(spec.begin, *before, spec.mask, *beside, spec.end)
    ]
    assert 2 * room + 3 <= max_length
    far = embedder.fill_mask(f"Rome {long} [MASK] {long} Rome")
    assert embedder.fill_mask(f"{long} [MASK] {long}") == far


def test_filling_leaves_the_model_as_it_was(trained, random_streams_untouched):
    before = {name: tensor.clone() for name, tensor in trained.task_.state_dict().items()}
    trained.fill_mask("a [MASK]")
    assert not trained.task_.training
    for name, tensor in trained.task_.state_dict().items():
        assert torch.equal(tensor, before[name])


# What it is worth, and what the others are ------------------------------------------------------


@pytest.fixture(scope="module")
def pieces_of_brown(load_or_skip):
    """Pieces of 30 words: 3,200 to train on and 1,600 of other documents. Is it fiction?"""
    texts, genres = load_or_skip(load_brown)
    stories = ["adventure", "fiction", "humor", "mystery", "romance", "science_fiction"]
    fiction = np.isin(genres, stories)
    rng = np.random.default_rng(0)
    documents = [rng.permutation(np.flatnonzero(fiction == kind))[:120] for kind in (0, 1)]
    pieces, y = [], []
    for document in rng.permutation(np.concatenate(documents)):
        words = texts[document].split()
        pieces += [" ".join(words[i : i + 30]) for i in range(0, 600, 30)]
        y += [fiction[document]] * 20
    return pieces[:3200], pieces[3200:], np.array(y[:3200]), np.array(y[3200:])


@pytest.mark.slow
@pytest.mark.parametrize(
    ("Estimator", "params"),
    [
        (
            MaskedLMEmbedder,
            {"mask_ratio": 0.5, "dropout": 0.0, "max_epochs": 4, "batch_size": 16, "lr": 1.5e-3},
        ),
        (CausalLMEmbedder, {"max_epochs": 2, "batch_size": 16, "lr": 3e-3}),
        (
            SimCSETransformer,
            {"width": 16, "n_heads": 2, "depth": 2, "max_epochs": 4, "batch_size": 64, "lr": 8e-3}
            | {"dropout": 0.2},
        ),
    ],
)
def test_thirty_labels_a_class_are_worth_more_than_without_training(
    Estimator, params, pieces_of_brown
):
    texts_train, texts_test, y_train, y_test = pieces_of_brown

    def accuracy(**more):
        ssl = Estimator(**{"width": 64, "depth": 1, "random_state": 0, **params, **more})
        Z_train, Z_test = ssl.fit_transform(texts_train), ssl.transform(texts_test)
        accuracies = []
        for draw in range(5):
            labeled = draw_labels(y_train, 30, random_state=draw)
            classifier = make_pipeline(StandardScaler(), LogisticRegression(C=0.1, max_iter=2000))
            classifier.fit(Z_train[labeled], y_train[labeled])
            accuracies.append(classifier.score(Z_test, y_test))
        return np.mean(accuracies)

    # Measured on four seeds: at least .78, .71 and .73, and at most .62 without training.
    assert accuracy() > accuracy(max_epochs=0) + 0.08
