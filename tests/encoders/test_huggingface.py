"""Pretrained models of transformers: read from a folder, trained on, and the same afterwards."""

import copy
import json
import os
import pickle
import shutil
import socket
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import torch
import transformers
from transformers import AutoModel, AutoTokenizer, BertForMaskedLM, GPT2LMHeadModel

from benchmarks.datasets import load_minilm_folder
from sklearn_ssl import CausalLMEmbedder, MaskedLMEmbedder, SimCSETransformer, TSDAETransformer
from sklearn_ssl.encoders._pretrained_folder import read_pretrained
from sklearn_ssl.encoders.huggingface import build_pretrained
from sklearn_ssl.encoders.text import POOLINGS
from sklearn_ssl.methods import causal_lm
from tests.encoders.tiny_models import TEXTS, bert_tokenizer, save_bert, save_gpt2


@pytest.fixture(scope="module")
def bert(tmp_path_factory):
    return save_bert(tmp_path_factory.mktemp("bert"))


@pytest.fixture(scope="module")
def masked_bert(tmp_path_factory):
    """A folder that has the head for words, too."""
    return save_bert(tmp_path_factory.mktemp("masked_bert"), model=BertForMaskedLM)


@pytest.fixture(scope="module")
def gpt2(tmp_path_factory):
    return save_gpt2(tmp_path_factory.mktemp("gpt2"))


@pytest.fixture(params=[MaskedLMEmbedder, SimCSETransformer, TSDAETransformer, CausalLMEmbedder])
def estimator_and_folder(request, bert, masked_bert, gpt2):
    """A function that makes an estimator, and the folder of a model that it takes."""
    folders = {MaskedLMEmbedder: masked_bert, CausalLMEmbedder: gpt2}
    folder = folders.get(request.param, bert)

    def make(**params):
        return request.param(**{"pretrained": folder, "random_state": 0, **params})

    return make, folder


def ids_of(folder, text):
    """Return the ids of a text as transformers reads it, begun and ended as we do."""
    tokenizer = AutoTokenizer.from_pretrained(folder)
    ids = tokenizer(text, add_special_tokens=False)["input_ids"]
    begin = tokenizer.cls_token_id or tokenizer.bos_token_id
    end = tokenizer.sep_token_id or tokenizer.eos_token_id
    return torch.tensor([[begin, *ids, end]])


# Embeddings -------------------------------------------------------------------------------------


@pytest.mark.parametrize("pooling", POOLINGS)
def test_embeddings_are_pooled_states_of_the_model(estimator_and_folder, pooling):
    make, folder = estimator_and_folder
    texts = [*TEXTS[:5], "the"]
    Z = make(pooling=pooling, max_epochs=0).fit(TEXTS).transform(texts)
    model = AutoModel.from_pretrained(folder).eval()
    for text, z in zip(texts, Z, strict=True):
        with torch.no_grad():
            states = model(ids_of(folder, text)).last_hidden_state[0]
        expected = {"mean": states.mean(dim=0), "last": states[-1], "cls": states[0]}[pooling]
        np.testing.assert_allclose(z, expected, atol=1e-5, rtol=1e-5)


def test_long_texts_are_read_in_pieces_of_what_the_model_takes(bert):
    embedder = MaskedLMEmbedder(pretrained=bert, max_epochs=0).fit(TEXTS)
    assert embedder.input_spec_.max_length == 24
    text = " ".join(TEXTS[:9])
    ids = ids_of(bert, text)[0]
    ids = ids[1:-1]
    model = AutoModel.from_pretrained(bert).eval()
    pieces = [[2, *ids[i : i + 22].tolist()] for i in range(0, len(ids), 22)]
    pieces[-1].append(3)
    with torch.no_grad():
        states = torch.cat([model(torch.tensor([p])).last_hidden_state[0] for p in pieces])
    np.testing.assert_allclose(embedder.transform([text])[0], states.mean(0), atol=1e-5)
    shorter = MaskedLMEmbedder(pretrained=bert, max_epochs=0, max_length=8).fit(TEXTS)
    assert shorter.input_spec_.max_length == 8


def test_a_model_in_half_precision_is_read_as_float32(tmp_path):
    for dtype in (torch.bfloat16, torch.float16):
        folder = save_bert(tmp_path / str(dtype), dtype=dtype)
        embedder = MaskedLMEmbedder(pretrained=folder, max_epochs=1, random_state=0).fit(TEXTS)
        assert {p.dtype for p in embedder.task_.parameters()} == {torch.float32}
        assert np.isfinite(embedder.transform(TEXTS)).all()
        generator = CausalLMEmbedder(
            pretrained=save_gpt2(tmp_path / f"g{dtype}", dtype), max_epochs=0
        )
        assert generator.fit(TEXTS).generate("the cat").startswith("the cat")


def test_a_tokenizer_that_fills_up_and_cuts_off_is_read_without(tmp_path, bert):
    tokenizer = bert_tokenizer()
    tokenizer.enable_padding(length=7)
    tokenizer.enable_truncation(5)
    folder = save_bert(tmp_path / "model", tokenizer=tokenizer)
    saved = json.loads((folder / "tokenizer.json").read_text())
    saved["padding"] = json.loads(tokenizer.to_str())["padding"]
    saved["truncation"] = json.loads(tokenizer.to_str())["truncation"]
    (folder / "tokenizer.json").write_text(json.dumps(saved))
    cut, whole = (MaskedLMEmbedder(pretrained=f, max_epochs=0).fit(TEXTS) for f in (folder, bert))
    assert len(cut.tokenizer_.encode("the cat sat on the mat", add_special_tokens=False)) == 6
    np.testing.assert_array_equal(cut.transform(TEXTS), whole.transform(TEXTS))
    of_file = MaskedLMEmbedder(tokenizer=folder, max_epochs=0).fit(TEXTS)
    assert of_file.input_spec_.n_tokens == whole.input_spec_.n_tokens


def test_the_body_of_a_model_with_a_head(masked_bert):
    embedder = MaskedLMEmbedder(pretrained=masked_bert, max_epochs=0).fit(TEXTS)
    theirs = BertForMaskedLM.from_pretrained(masked_bert).bert.state_dict()
    ours = embedder.encoder_.model.state_dict()
    assert all(torch.equal(ours[name], weights) for name, weights in theirs.items())


# Training ---------------------------------------------------------------------------------------


def test_training_goes_on_from_the_weights_of_the_folder(estimator_and_folder):
    make, folder = estimator_and_folder
    as_it_is = make(max_epochs=0).fit(TEXTS)
    theirs = AutoModel.from_pretrained(folder).state_dict()
    ours = as_it_is.encoder_.model.state_dict()
    assert set(ours) == {name for name in theirs if "pooler" not in name}  # no loss asks for it
    assert all(torch.equal(ours[name], theirs[name]) for name in ours)

    trained = make(max_epochs=12, batch_size=8, lr=2e-3).fit(TEXTS)
    assert trained.score(TEXTS) > as_it_is.score(TEXTS) + 0.1
    weights = dict(trained.encoder_.named_parameters())
    changed = {name for name, before in as_it_is.encoder_.named_parameters()
               if not torch.equal(before, weights[name])}  # fmt: skip
    assert changed == set(weights)
    assert not np.allclose(trained.transform(TEXTS), as_it_is.transform(TEXTS), atol=1e-3)
    # A small step stays near: it is no training from the start.
    slow = make(max_epochs=1, lr=1e-6).fit(TEXTS)
    np.testing.assert_allclose(slow.transform(TEXTS), as_it_is.transform(TEXTS), atol=1e-3)


def test_the_default_rate_is_that_of_fine_tuning(bert):
    rates = []

    def optimizer(params, lr, **kwargs):
        rates.append(lr)
        return torch.optim.AdamW(params, lr=lr, **kwargs)

    MaskedLMEmbedder(pretrained=bert, max_epochs=1, optimizer=optimizer).fit(TEXTS)
    MaskedLMEmbedder(max_epochs=1, optimizer=optimizer, width=16, depth=1).fit(TEXTS)
    assert rates[0] == 5e-5 < rates[1]


def test_equal_seeds_give_equal_models(estimator_and_folder, random_streams_untouched):
    make, _ = estimator_and_folder
    a, b = (make(max_epochs=2, batch_size=8).fit(TEXTS) for _ in range(2))
    np.testing.assert_array_equal(a.transform(TEXTS), b.transform(TEXTS))
    assert a.loss_curve_ == b.loss_curve_


# Saving -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("max_epochs", [0, 2])
def test_a_fitted_estimator_needs_no_folder(estimator_and_folder, tmp_path, max_epochs):
    make, folder = estimator_and_folder
    moved = shutil.copytree(folder, tmp_path / "moved")
    embedder = make(pretrained=moved, max_epochs=max_epochs).fit(TEXTS)
    Z, score = embedder.transform(TEXTS), embedder.score(TEXTS)
    saved = pickle.dumps(embedder)
    shutil.rmtree(moved)
    again = pickle.loads(saved)
    for known in (again, embedder, copy.deepcopy(embedder)):
        np.testing.assert_array_equal(known.transform(TEXTS), Z)
        assert known.score(TEXTS) == score
    with pytest.raises(ValueError, match=r"not a folder with a config.json"):
        again.fit(TEXTS)
    np.testing.assert_array_equal(again.transform(TEXTS), Z)


def test_texts_are_read_three_times_by_default(estimator_and_folder):
    make, _ = estimator_and_folder
    assert make().fit(TEXTS * 4).n_iter_ == 3
    assert make(max_epochs=5).fit(TEXTS).n_iter_ == 5


# What is refused, and what is not done -----------------------------------------------------------


@pytest.mark.parametrize("Estimator", [MaskedLMEmbedder, SimCSETransformer, TSDAETransformer])
def test_a_model_that_looks_back_only_is_for_the_causal_estimator(Estimator, gpt2):
    message = "sees? .*only what is before them: use it in CausalLMEmbedder|has no mask token"
    with pytest.raises(ValueError, match=message):
        Estimator(pretrained=gpt2, max_epochs=0).fit(TEXTS)


def test_a_model_that_looks_ahead_is_not_for_the_causal_estimator(bert):
    message = "type 'bert', whose tokens see all of a text: use it in MaskedLMEmbedder, SimCSE"
    with pytest.raises(ValueError, match=message):
        CausalLMEmbedder(pretrained=bert, max_epochs=0).fit(TEXTS)


@pytest.mark.parametrize("causal", [True, False])
def test_which_way_a_model_looks_is_seen_in_any_mode(causal, bert, gpt2):
    config = read_pretrained(gpt2 if causal else bert, causal).config
    build_pretrained(config, causal=causal, pooling="mean")
    with pytest.raises(ValueError, match="whose tokens see"):
        build_pretrained(config, causal=not causal, pooling="mean")


@pytest.mark.parametrize("make", ["nothing", "empty", "file", "tokenizer"])
def test_a_folder_without_a_model(make, tmp_path, bert):
    path = tmp_path / "model"
    if make == "empty":
        path.mkdir()
    elif make == "file":
        path.write_text("{}")
    elif make == "tokenizer":
        path = shutil.copytree(bert, path)
        (path / "config.json").unlink()
    embedder = MaskedLMEmbedder(pretrained=path, max_epochs=0)
    with pytest.raises(
        ValueError, match=r"not a folder with a config.json.* Nothing is downloaded"
    ):
        embedder.fit(TEXTS)
    assert not hasattr(embedder, "task_")


def test_the_name_of_a_model_on_the_hub_is_no_folder():
    with pytest.raises(ValueError, match=r"'bert-base-uncased' is not a folder .* Nothing is down"):
        MaskedLMEmbedder(pretrained="bert-base-uncased", max_epochs=0).fit(TEXTS)


@pytest.mark.parametrize(
    "broken", [{"config.json": "{}"}, {"config.json": "no json"}, {"tokenizer.json": "{}"}]
)
def test_files_that_cannot_be_read(broken, tmp_path, bert):
    folder = shutil.copytree(bert, tmp_path / "model")
    for name, text in broken.items():
        (folder / name).write_text(text)
    with pytest.raises(ValueError, match="transformers cannot read a model and its tokenizer"):
        MaskedLMEmbedder(pretrained=folder, max_epochs=0).fit(TEXTS)


class Bomb:
    """Makes a folder when it is unpickled."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return os.mkdir, (str(self.path),)


def test_weights_that_are_pickled_are_not_read(tmp_path, bert):
    folder = shutil.copytree(bert, tmp_path / "model")
    (folder / "model.safetensors").unlink()
    torch.save(Bomb(tmp_path / "exploded"), folder / "pytorch_model.bin")
    embedder = MaskedLMEmbedder(pretrained=folder, max_epochs=0)
    with pytest.raises(ValueError, match=r"cannot read weights .* model.safetensors is expected"):
        embedder.fit(TEXTS)
    assert not hasattr(embedder, "task_")
    assert not (tmp_path / "exploded").exists()


def test_code_that_lies_in_the_folder_is_not_run(tmp_path, bert):
    folder = shutil.copytree(bert, tmp_path / "model")
    config = json.loads((folder / "config.json").read_text())
    config["model_type"] = "of_their_own"
    config["auto_map"] = {"AutoConfig": "code.Config", "AutoModel": "code.Model"}
    (folder / "config.json").write_text(json.dumps(config))
    (folder / "code.py").write_text(f"import os\nos.mkdir({str(tmp_path / 'run')!r})\n")
    with pytest.raises(ValueError, match="transformers cannot read a model"):
        MaskedLMEmbedder(pretrained=folder, max_epochs=0).fit(TEXTS)
    assert not (tmp_path / "run").exists()


def test_nothing_is_downloaded(estimator_and_folder, monkeypatch):
    make, _ = estimator_and_folder
    asked = []

    def refuse(*args, **kwargs):
        asked.append(args)
        raise OSError("no network")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    monkeypatch.setattr(socket, "getaddrinfo", refuse)
    make(max_epochs=1).fit(TEXTS).transform(TEXTS)
    assert asked == []


# GPT-2 ------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def trained_gpt2(gpt2):
    """An estimator that has trained GPT-2 on the texts, and transformers' model of its weights."""
    params = {"max_epochs": 30, "batch_size": 8, "lr": 3e-3}
    embedder = CausalLMEmbedder(pretrained=gpt2, random_state=0, **params).fit(TEXTS)
    model = GPT2LMHeadModel.from_pretrained(gpt2).eval()
    model.transformer.load_state_dict(embedder.encoder_.model.state_dict())
    return embedder, model


@pytest.mark.parametrize("prompt", ["the cat", "a dog", "", "the dog sat"])
def test_greedy_texts_are_those_of_transformers(prompt, trained_gpt2, gpt2):
    embedder, model = trained_gpt2
    ids = ids_of(gpt2, prompt)[:, :-1]
    options = {"attention_mask": torch.ones_like(ids), "pad_token_id": 0}
    theirs = model.generate(ids, do_sample=False, max_new_tokens=12, **options)
    new = theirs[0, ids.shape[1] :].tolist()
    assert len(set(new)) > 2
    assert 0 not in new[:-1]
    text = AutoTokenizer.from_pretrained(gpt2).decode(new, skip_special_tokens=True)
    ours = embedder.generate(prompt, max_new_tokens=12, temperature=0)
    assert ours == (prompt + text if prompt else text.lstrip(" "))


def test_states_with_a_cache_are_those_of_all_tokens_at_once(trained_gpt2):
    encoder = trained_gpt2[0].encoder_
    size = len(encoder.embedding.weight)
    ids = torch.randint(size, (3, 20), generator=torch.Generator().manual_seed(0))
    cache = encoder.new_cache()
    with torch.no_grad():
        parts = [encoder.states(ids[:, :7], cache)]
        for t in range(7, 20):
            assert cache.length == t
            parts.append(encoder.states(ids[:, t : t + 1], cache))
        torch.testing.assert_close(
            torch.cat(parts, dim=1), encoder.states(ids), atol=1e-4, rtol=1e-4
        )


def test_one_token_for_the_beginning_and_the_end(trained_gpt2, gpt2):
    embedder, model = trained_gpt2
    spec = embedder.input_spec_
    assert (spec.begin, spec.end, spec.mask, spec.special) == (0, 0, None, (0,))
    for text in TEXTS[:3]:
        ids = ids_of(gpt2, text)
        with torch.no_grad():
            loss = model(ids, labels=ids).loss.item()
        assert embedder.score([text]) == pytest.approx(-loss, rel=1e-4)
    # It has learned where texts end.
    assert embedder.generate("it rains cats and", temperature=0) == TEXTS[2]


# A real one -------------------------------------------------------------------------------------


def test_rows_of_the_embedding_without_a_token_are_never_said(tmp_path):
    # Vocabularies are filled up to a multiple of 64, say.
    gpt2 = save_gpt2(tmp_path / "gpt2", unused=500)
    embedder = CausalLMEmbedder(pretrained=gpt2, max_epochs=0).fit(TEXTS)
    size = embedder.input_spec_.vocabulary_size
    seen = []
    draw = causal_lm.draw

    def watched(*args):
        seen.append(draw(*args))
        return seen[-1]

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(causal_lm, "draw", watched)
        embedder.generate(TEXTS[:20], max_new_tokens=10, random_state=0)
    assert 0 < torch.cat(seen).max() < size

    bert = save_bert(tmp_path / "bert", model=BertForMaskedLM, unused=500)
    embedder = MaskedLMEmbedder(pretrained=bert, max_epochs=0).fit(TEXTS)
    fillings = embedder.fill_mask("mat and [MASK]", top_k=1000)
    assert len(fillings) == embedder.input_spec_.vocabulary_size
    assert sum(chance for _, chance in fillings) == pytest.approx(1)


def test_transformers_prints_nothing_and_may_print_again(bert, capfd):
    verbosity = transformers.utils.logging.get_verbosity()
    MaskedLMEmbedder(pretrained=bert, max_epochs=0).fit(TEXTS)
    assert capfd.readouterr() == ("", "")
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda _: MaskedLMEmbedder(pretrained=bert, max_epochs=0).fit(TEXTS), "abcd"))
    assert transformers.utils.logging.is_progress_bar_enabled()
    assert transformers.utils.logging.get_verbosity() == verbosity


@pytest.fixture(scope="module")
def minilm(load_or_skip):
    """The folder of MiniLM, and sentences embedded as they are."""
    folder = load_or_skip(load_minilm_folder)
    sentences = [
        "A man is playing the guitar on a stage.",
        "Somebody makes music with a string instrument.",
        "The stock market fell sharply on Monday.",
        "Share prices went down at the beginning of the week.",
        "How do I bake bread?",
        "What is the recipe for a loaf?",
    ]
    embedder = SimCSETransformer(pretrained=folder, max_epochs=0).fit(sentences)
    return folder, sentences, embedder.transform(sentences)


def test_embeddings_of_minilm_are_those_of_transformers(minilm):
    folder, sentences, Z = minilm
    tokenizer, model = AutoTokenizer.from_pretrained(folder), AutoModel.from_pretrained(folder)
    model.eval()
    for sentence, z in zip(sentences, Z, strict=True):
        with torch.no_grad():
            states = model(**tokenizer(sentence, return_tensors="pt")).last_hidden_state[0]
        np.testing.assert_allclose(z, states.mean(dim=0), atol=1e-5)


def test_sentences_that_mean_the_same_are_near_in_minilm(minilm):
    _, _, Z = minilm
    Z = Z / np.linalg.norm(Z, axis=1, keepdims=True)
    similarities = Z @ Z.T - 2 * np.eye(6)
    assert similarities.argmax(axis=1).tolist() == [1, 0, 3, 2, 5, 4]
    pairs = similarities[[0, 2, 4], [1, 3, 5]]
    rest = similarities[similarities > -0.9]
    assert pairs.min() > 0.45
    assert np.sort(rest)[:-6].max() < 0.3


def test_the_tokenizer_of_minilm_neither_fills_up_nor_cuts_off(minilm):
    folder = minilm[0]
    saved = json.loads((folder / "tokenizer.json").read_text())
    assert saved["padding"]
    assert saved["truncation"]
    names = read_pretrained(folder, causal=False).names
    assert names == {"begin": "[CLS]", "end": "[SEP]", "mask": "[MASK]"}
    embedder = MaskedLMEmbedder(pretrained=folder, max_epochs=0).fit(["word " * 1000, "a"])
    assert embedder.input_spec_.n_tokens >= 1001
    assert len(embedder.tokenizer_.encode("word " * 1000, add_special_tokens=False)) == 1000


def test_a_configuration_names_no_code(tmp_path):
    config = json.loads(read_pretrained(save_bert(tmp_path / "bert"), causal=False).config)
    evil = {
        "auto_map": {"AutoModel": "evil/repo--module.Model"},
        "attn_implementation": "evil/code",
    }
    encoder, _ = build_pretrained(json.dumps(config | evil), causal=False, pooling="mean")
    assert not hasattr(encoder.model.config, "auto_map")
    assert encoder.model.config._attn_implementation != "evil/code"
