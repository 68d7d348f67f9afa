"""Heads of pretrained language models: whatever they do to states, words are transformers'."""

import copy
import json
import math
import pickle
from concurrent.futures import ThreadPoolExecutor

import joblib
import numpy as np
import pytest
import torch
import transformers as hf

from sklearn_ssl import CausalLMEmbedder, FineTuneClassifier, MaskedLMEmbedder
from tests.encoders.tiny_models import TEXTS, bert_tokenizer, gpt2_tokenizer, save_bert, save_gpt2

SIZES = {
    "hidden_size": 32,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "intermediate_size": 48,
    "max_position_embeddings": 24,
}
GROUPED = {**SIZES, "num_key_value_heads": 2}
GPTS = {"n_embd": 32, "n_layer": 2, "n_head": 4, "n_positions": 24}
OF_OPT = {name: SIZES[name] for name in SIZES if name != "intermediate_size"}
# An output embedding of its own, with a bias, scaled, capped, narrower than the states.
CAUSAL = {
    "GPT-2": (hf.GPT2Config, GPTS),
    "Llama": (hf.LlamaConfig, GROUPED),
    "Mistral": (hf.MistralConfig, {**GROUPED, "sliding_window": 6}),
    "Qwen": (hf.Qwen2Config, GROUPED),
    "GPT-NeoX": (hf.GPTNeoXConfig, SIZES),
    "Phi": (hf.PhiConfig, GROUPED),
    "GPT-J": (hf.GPTJConfig, {**GPTS, "rotary_dim": 4}),
    "Granite": (hf.GraniteConfig, {**GROUPED, "logits_scaling": 3.0}),
    "Cohere": (hf.CohereConfig, {**GROUPED, "logit_scale": 0.3}),
    "Gemma 2": (hf.Gemma2Config, {**GROUPED, "head_dim": 8, "final_logit_softcapping": 2.0}),
    "OPT": (hf.OPTConfig, {**OF_OPT, "ffn_dim": 48, "word_embed_proj_dim": 16}),
    "Mixtral": (hf.MixtralConfig, {**GROUPED, "num_local_experts": 2}),
}
DISTIL = {"dim": 32, "n_layers": 2, "n_heads": 4, "hidden_dim": 48, "max_position_embeddings": 24}
MASKED = {
    "BERT": (hf.BertConfig, SIZES),
    "RoBERTa": (hf.RobertaConfig, {**SIZES, "max_position_embeddings": 40}),
    "DistilBERT": (hf.DistilBertConfig, DISTIL),
    "ALBERT": (hf.AlbertConfig, {**SIZES, "embedding_size": 16}),
    "ELECTRA": (hf.ElectraConfig, {**SIZES, "embedding_size": 16}),
    "MPNet": (hf.MPNetConfig, {**SIZES, "max_position_embeddings": 40}),
    "DeBERTa": (hf.DebertaV2Config, SIZES),
    "ModernBERT": (hf.ModernBertConfig, SIZES),
}


def save(folder, name, with_head=True):
    """Save a model with random weights and its tokenizer; return the folder and the model."""
    causal = name in CAUSAL
    config_class, sizes = (CAUSAL if causal else MASKED)[name]
    tokenizer = gpt2_tokenizer() if causal else bert_tokenizer()
    size = tokenizer.get_vocab_size()
    special = {"pad_token_id": 0, "bos_token_id": 0, "eos_token_id": 0}
    config = config_class(vocab_size=size, **sizes, **special)
    classes = hf.AutoModelForCausalLM if causal else hf.AutoModelForMaskedLM
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = (classes if with_head else hf.AutoModel).from_config(config).eval()
        for parameter in model.parameters():
            parameter.data += 0.1 * torch.randn_like(parameter)
    model.save_pretrained(folder)
    save_tokenizer = save_gpt2_tokenizer if causal else save_bert_tokenizer
    save_tokenizer(tokenizer, folder)
    return folder, model


def save_gpt2_tokenizer(tokenizer, folder):
    names = dict.fromkeys(("bos_token", "eos_token", "unk_token"), "<|endoftext|>")
    hf.PreTrainedTokenizerFast(tokenizer_object=tokenizer, **names).save_pretrained(folder)


def save_bert_tokenizer(tokenizer, folder):
    names = ("pad_token", "unk_token", "cls_token", "sep_token", "mask_token")
    names = dict(zip(names, ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]")))
    hf.PreTrainedTokenizerFast(tokenizer_object=tokenizer, **names).save_pretrained(folder)


def ids_of(estimator, text):
    """Return the ids of a text as the estimator reads it."""
    spec = estimator.input_spec_
    ids = estimator.tokenizer_.encode(text, add_special_tokens=False).ids
    return torch.tensor([[spec.begin, *ids, spec.end]])


@pytest.mark.parametrize("name", CAUSAL)
def test_causal_models_say_what_transformers_says(name, tmp_path):
    folder, model = save(tmp_path, name)
    ssl = CausalLMEmbedder(pretrained=folder, max_epochs=0).fit(TEXTS)
    losses = []
    for text in TEXTS[:3]:
        ids = ids_of(ssl, text)
        with torch.no_grad():
            output = model(input_ids=ids, labels=ids)
            states = ssl.encoder_.states(ids)[0]
            logits = ssl.task_.pretrained_head(states)
        torch.testing.assert_close(logits, output.logits[0], atol=1e-4, rtol=1e-4)
        losses.append(output.loss.item())
        assert ssl.score([text]) == pytest.approx(-losses[-1], rel=1e-4)
        assert ssl.perplexity([text]) == pytest.approx(math.exp(losses[-1]), rel=1e-3)
        np.testing.assert_allclose(ssl.transform([text])[0], states.mean(0), atol=1e-4)

    ids = ids_of(ssl, "the cat sat")[:, :-1]
    options = {"attention_mask": torch.ones_like(ids), "pad_token_id": 0, "do_sample": False}
    theirs = model.generate(ids, max_new_tokens=8, **options)[0, ids.shape[1] :]
    expected = ssl.tokenizer_.decode(theirs.tolist(), skip_special_tokens=True)
    assert ssl.generate("the cat sat", max_new_tokens=8, temperature=0) == "the cat sat" + expected


@pytest.mark.parametrize("name", MASKED)
def test_masked_models_say_what_transformers_says(name, tmp_path):
    folder, model = save(tmp_path, name)
    ssl = MaskedLMEmbedder(pretrained=folder, max_epochs=0).fit(TEXTS)
    spec = ssl.input_spec_
    before, after = (ids_of(ssl, text)[0, 1:-1] for text in ("the cat sat on", "mat"))
    ends = (torch.tensor([i]) for i in (spec.begin, spec.mask, spec.end))
    begin, mask, end = ends
    ids = torch.cat([begin, before, mask, after, end])[None]
    with torch.no_grad():
        logits = model(input_ids=ids).logits[0]
        ours = ssl.task_.logits(ids, torch.ones_like(ids, dtype=torch.bool))
    torch.testing.assert_close(ours, logits, atol=1e-4, rtol=1e-4)

    logits = logits[1 + len(before)]
    logits[list(spec.special)] = -torch.inf
    chances, tokens = logits.softmax(0).topk(5)
    words, probabilities = zip(*ssl.fill_mask("the cat sat on [MASK] mat"))
    assert list(words) == [ssl.tokenizer_.id_to_token(token) for token in tokens.tolist()]
    np.testing.assert_allclose(probabilities, chances, rtol=1e-3)


ONE_OF_EACH = [(CausalLMEmbedder, "Llama"), (CausalLMEmbedder, "OPT"), (MaskedLMEmbedder, "ALBERT")]
of_each = pytest.mark.parametrize(("Estimator", "name"), ONE_OF_EACH)


@of_each
def test_training_trains_the_head(Estimator, name, tmp_path):
    folder, _ = save(tmp_path, name)
    params = {"pretrained": folder, "random_state": 0, "batch_size": 8}
    as_it_is = Estimator(**params, max_epochs=0).fit(TEXTS)
    trained = Estimator(**params, max_epochs=8, lr=3e-3).fit(TEXTS)
    assert trained.score(TEXTS) > as_it_is.score(TEXTS) + 0.1
    before = dict(as_it_is.task_.named_parameters())
    for parameter_name, after in trained.task_.named_parameters():
        assert not torch.equal(before[parameter_name], after), parameter_name


@of_each
def test_copies_have_the_head(Estimator, name, tmp_path):
    folder, _ = save(tmp_path / "model", name)
    ssl = Estimator(pretrained=folder, max_epochs=1, random_state=0).fit(TEXTS)
    score = ssl.score(TEXTS)
    joblib.dump(ssl, tmp_path / "saved")
    copies = copy.deepcopy(ssl), pickle.loads(pickle.dumps(ssl)), joblib.load(tmp_path / "saved")
    for duplicate in copies:
        assert duplicate.score(TEXTS) == score
        np.testing.assert_array_equal(duplicate.transform(TEXTS), ssl.transform(TEXTS))
        duplicate.set_params(warm_start=True).fit(TEXTS)
        assert duplicate.n_iter_ == 2


def test_what_is_tied_is_saved_once_and_stays_tied(tmp_path):
    folder = save_gpt2(tmp_path, unused=2000)
    ssl = CausalLMEmbedder(pretrained=folder, max_epochs=1, random_state=0).fit(TEXTS)
    embedding = ssl.encoder_.embedding.weight
    saved = pickle.dumps(ssl)
    n_bytes = sum(4 * parameter.numel() for parameter in ssl.task_.parameters())
    assert len(saved) < n_bytes + embedding.nbytes / 2
    copied = copy.deepcopy(ssl)
    for duplicate in (ssl, pickle.loads(saved), copied, pickle.loads(pickle.dumps(copied))):
        head = duplicate.task_.pretrained_head.whole.lm_head
        assert head.weight is duplicate.encoder_.embedding.weight
        assert torch.equal(head.weight, embedding)


# Without a head in the folder ---------------------------------------------------------------------


@pytest.mark.parametrize(
    ("Estimator", "name", "methods", "kind"),
    [
        (CausalLMEmbedder, "Llama", ("score", "perplexity", "generate"), "CausalLM"),
        (MaskedLMEmbedder, "BERT", ("score", "fill_mask"), "MaskedLM"),
    ],
)
def test_words_are_refused_until_the_head_is_trained(Estimator, name, methods, kind, tmp_path):
    folder, _ = save(tmp_path, name, with_head=False)
    params = {"pretrained": folder, "random_state": 0}
    ssl = Estimator(**params, max_epochs=0).fit(TEXTS)
    assert np.isfinite(ssl.transform(TEXTS)).all()
    texts = ["the [MASK] sat"] if kind == "MaskedLM" else ["the cat sat"]
    for again in (ssl, pickle.loads(pickle.dumps(ssl))):
        for method in methods:
            with pytest.raises(ValueError, match=rf"needs a head .* none: train .*For{kind}\)"):
                getattr(again, method)(texts)
    for trained in (Estimator(**params, max_epochs=1).fit(TEXTS), ssl.partial_fit(TEXTS)):
        for method in methods:
            assert getattr(trained, method)(texts) is not None


def test_a_tied_head_need_not_be_in_the_folder(tmp_path):
    folder, _ = save(tmp_path / "body", "GPT-2", with_head=False)
    ssl = CausalLMEmbedder(pretrained=folder, max_epochs=0).fit(TEXTS)
    assert ssl.perplexity(TEXTS) > 1
    assert ssl.generate("the cat", max_new_tokens=3).startswith("the cat")


def test_the_head_of_another_question_is_no_head_for_words(tmp_path):
    folder = save_bert(tmp_path, model=hf.BertForSequenceClassification)
    ssl = MaskedLMEmbedder(pretrained=folder, max_epochs=0).fit(TEXTS)
    with pytest.raises(ValueError, match="needs a head"):
        ssl.fill_mask("the [MASK]")
    model = hf.BertModel.from_pretrained(folder).eval()
    with torch.no_grad():
        expected = model(ids_of(ssl, TEXTS[0])).last_hidden_state[0].mean(0)
    np.testing.assert_allclose(ssl.transform(TEXTS[:1])[0], expected, atol=1e-5)


def test_fine_tuning_trains_the_body_alone(tmp_path):
    folder, _ = save(tmp_path, "Llama")
    ssl = CausalLMEmbedder(pretrained=folder, max_epochs=0, random_state=0)
    labels = np.arange(len(TEXTS)) % 2
    classifier = FineTuneClassifier(ssl, max_epochs=1, random_state=0).fit(TEXTS, labels)
    assert classifier.predict(TEXTS).shape == labels.shape


@of_each
def test_neither_threads_nor_settings_of_torch_have_a_say(Estimator, name, tmp_path):
    folder, _ = save(tmp_path, name)
    params = {"pretrained": folder, "max_epochs": 1, "random_state": 0}
    ssl = Estimator(**params).fit(TEXTS)
    Z, score = ssl.transform(TEXTS), ssl.score(TEXTS)
    with ThreadPoolExecutor(8) as pool:
        assert set(pool.map(lambda _: ssl.score(TEXTS), range(16))) == {score}
    for setting in (torch.inference_mode(), torch.device("meta")):
        with setting:
            again = pickle.loads(pickle.dumps(Estimator(**params).fit(TEXTS)))
            assert again.score(TEXTS) == score
            np.testing.assert_array_equal(again.transform(TEXTS), Z)


# Models that do not work so -----------------------------------------------------------------------

ENCODERS_ONLY = {"d_model": 32, "vocab_size": 60}
UNSUPPORTED = {
    "T5": hf.T5Config(**ENCODERS_ONLY, d_kv=8, d_ff=32, num_layers=1, num_heads=4),
    "BART": hf.BartConfig(**ENCODERS_ONLY, encoder_layers=1, decoder_layers=1),
    "XLNet": hf.XLNetConfig(**ENCODERS_ONLY, n_layer=1, n_head=4, d_inner=32),
    "Mamba": hf.MambaConfig(hidden_size=32, num_hidden_layers=1, state_size=4, vocab_size=60),
    "ViT": hf.ViTConfig(hidden_size=32, num_hidden_layers=1, num_attention_heads=4),
    # What a row is filled up with changes its states.
    "FNet": hf.FNetConfig(hidden_size=32, num_hidden_layers=1, intermediate_size=32, vocab_size=60),
}


@pytest.mark.parametrize("Estimator", [MaskedLMEmbedder, CausalLMEmbedder])
@pytest.mark.parametrize("name", UNSUPPORTED)
def test_models_of_another_kind_are_refused_with_those_that_are_taken(name, Estimator, tmp_path):
    config = UNSUPPORTED[name]
    hf.AutoModel.from_config(config).save_pretrained(tmp_path)
    save_bert_tokenizer(bert_tokenizer(), tmp_path)
    ssl = Estimator(pretrained=tmp_path, max_epochs=0)
    reasons = "no language model of one network|its states do not follow from the tokens of a row"
    message = f"type '{config.model_type}', which is not supported .({reasons}).* accept encoders"
    with pytest.raises(ValueError, match=message):
        ssl.fit(TEXTS)
    assert not hasattr(ssl, "task_")


def test_sizes_that_do_not_go_together_are_named(tmp_path):
    folder = save_bert(tmp_path)
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps({**config, "num_attention_heads": 7}))
    with pytest.raises(ValueError, match=r"not supported .*not a multiple of the number of attent"):
        MaskedLMEmbedder(pretrained=folder, max_epochs=0).fit(TEXTS)


def test_a_quantized_model_is_refused(tmp_path):
    folder = save_bert(tmp_path)
    config = hf.AutoConfig.from_pretrained(folder)
    config.quantization_config = {"quant_method": "bitsandbytes", "load_in_8bit": True}
    config.save_pretrained(folder)
    with pytest.raises(ValueError, match="is quantized"):
        MaskedLMEmbedder(pretrained=folder, max_epochs=0).fit(TEXTS)
