"""Folders of pretrained models: incomplete, damaged, or of sentence-transformers."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import safetensors.torch
import torch
import transformers as hf

from sklearn_ssl import CausalLMEmbedder, MaskedLMEmbedder, SimCSETransformer
from tests.encoders.tiny_models import TEXTS, bert_tokenizer, save_bert, save_gpt2

SIZES = ("vocab_size", "hidden_size", "num_hidden_layers", "num_attention_heads")
SIZES += ("intermediate_size", "max_position_embeddings")
ENCODERS = [MaskedLMEmbedder, SimCSETransformer]


@pytest.fixture
def bert(tmp_path):
    return save_bert(tmp_path / "bert", model=hf.BertForMaskedLM)


def refused(folder, message, Estimator=MaskedLMEmbedder):
    ssl = Estimator(pretrained=folder, max_epochs=0)
    with pytest.raises(ValueError, match=message):
        ssl.fit(TEXTS)
    assert not hasattr(ssl, "task_")


def change(path, **values):
    path.write_text(json.dumps({**json.loads(path.read_text()), **values}))


# Tokenizers ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("left", [(), ("tokenizer_config.json",)])
def test_a_folder_without_a_tokenizer(bert, left):
    for name in {"tokenizer.json", "tokenizer_config.json"} - set(left):
        (bert / name).unlink()
    refused(
        bert, r"contains a model but no tokenizer, .*tokenizer\.save_pretrained|cannot read a model"
    )


def test_a_tokenizer_without_a_mask(tmp_path):
    folder = save_bert(tmp_path)
    names = {"cls_token": "[CLS]", "sep_token": "[SEP]", "unk_token": "[UNK]"}
    tokenizer = hf.PreTrainedTokenizerFast(tokenizer_object=bert_tokenizer(), **names)
    tokenizer.save_pretrained(folder)
    refused(folder, "has no mask token.*or use SimCSETransformer")
    assert SimCSETransformer(pretrained=folder, max_epochs=0).fit(TEXTS).n_iter_ == 0


def test_texts_of_which_most_tokens_are_unknown(bert):
    strange = ["ein fremder Satz", "noch ein anderer mat"]
    ssl = MaskedLMEmbedder(pretrained=bert, max_epochs=0)
    with pytest.warns(UserWarning, match=r"86% of the tokens of the texts are unknown"):
        ssl.fit(strange)
    ssl.fit([*TEXTS, *strange])  # a few are no reason to warn
    with pytest.warns(UserWarning, match=r"86% of the tokens of the texts are unknown"):
        MaskedLMEmbedder(tokenizer=bert_tokenizer(), max_epochs=0, width=16).fit(strange)


def test_a_tokenizer_with_more_tokens_than_the_embedding_has_rows(tmp_path):
    for Estimator, save in ((MaskedLMEmbedder, save_bert), (CausalLMEmbedder, save_gpt2)):
        folder = save(tmp_path / Estimator.__name__)
        tokenizer = hf.AutoTokenizer.from_pretrained(folder)
        tokenizer.add_tokens(["<<new>>"])
        tokenizer.save_pretrained(folder)
        n = len(tokenizer)
        message = f"has {n} tokens, its embedding only {n - 1} rows.*resize_token_embeddings"
        refused(folder, message, Estimator)


def test_a_tokenizer_without_tokens_for_the_ends_of_a_text(tmp_path):
    folder = save_bert(tmp_path)
    hf.PreTrainedTokenizerFast(tokenizer_object=bert_tokenizer()).save_pretrained(folder)
    refused(folder, "names no tokens that begin and end a text")


# Weights ------------------------------------------------------------------------------------------


def rewrite(folder, change):
    path = folder / "model.safetensors"
    weights = change(safetensors.torch.load_file(path))
    safetensors.torch.save_file(weights, path, metadata={"format": "pt"})


@pytest.mark.parametrize("Estimator", ENCODERS)
def test_layers_without_weights(Estimator, bert):
    change(bert / "config.json", num_hidden_layers=4)
    refused(bert, r"lack 32 of the arrays .* bert\.encoder\.layer\.2\.attention.*", Estimator)


@pytest.mark.parametrize("Estimator", ENCODERS)
def test_layers_that_the_configuration_does_not_know(Estimator, bert):
    change(bert / "config.json", num_hidden_layers=1)
    refused(bert, r"have 16 arrays of layers that config.json does not know: bert\.", Estimator)


def test_a_causal_model_without_all_of_its_layers(tmp_path):
    folder = save_gpt2(tmp_path)
    change(folder / "config.json", n_layer=3)
    refused(folder, r"lack 12 of the arrays .* transformer\.h\.2\.", CausalLMEmbedder)


def test_one_array_without_weights(bert):
    name = "bert.encoder.layer.1.output.dense.weight"
    rewrite(bert, lambda weights: {key: w for key, w in weights.items() if key != name})
    refused(bert, rf"lack 1 of the arrays .*: {name}\.")


def test_weights_of_another_shape(bert):
    change(bert / "config.json", intermediate_size=64)
    refused(bert, r"lack \d+ of the arrays .* in another shape: bert\.encoder\.layer\.0\.int")


def test_weights_that_are_no_numbers(bert):
    name = "bert.encoder.layer.1.output.dense.weight"

    def damage(weights):
        weights[name][0, 0] = torch.nan
        return weights

    rewrite(bert, damage)
    refused(bert, rf"have 1 arrays with NaN or infinite numbers: {name}\.")


def test_a_part_of_the_files_of_the_weights(bert):
    hf.BertForMaskedLM.from_pretrained(bert).save_pretrained(bert, max_shard_size="20KB")
    (bert / "model.safetensors").unlink(missing_ok=True)
    assert MaskedLMEmbedder(pretrained=bert, max_epochs=0).fit(TEXTS).n_iter_ == 0
    next(bert.glob("model-00002-of-*.safetensors")).unlink()
    refused(bert, "cannot read weights from")


def test_positions_that_are_of_no_use(tmp_path):
    folder = save_bert(tmp_path)
    config = hf.RobertaConfig(
        **{name: getattr(hf.AutoConfig.from_pretrained(folder), name) for name in SIZES},
        pad_token_id=1,
    )
    hf.RobertaForMaskedLM(config).save_pretrained(folder)
    long = [" ".join(TEXTS)] * 2
    ssl = MaskedLMEmbedder(pretrained=folder, max_epochs=1).fit(long)
    assert ssl.input_spec_.max_length == 22  # two of 24 are left free
    assert np.isfinite(ssl.transform(long)).all()


def test_weights_under_other_names(bert):
    rewrite(bert, lambda weights: {f"student.{key}": w for key, w in weights.items()})
    refused(bert, "lack 37 of the arrays")


def test_neither_a_pooler_nor_a_head_is_asked_for(bert, tmp_path):
    kept = lambda weights: {key: w for key, w in weights.items() if "cls." not in key}  # noqa: E731
    rewrite(bert, kept)
    for Estimator in ENCODERS:
        assert np.isfinite(Estimator(pretrained=bert, max_epochs=0).fit_transform(TEXTS)).all()


@pytest.mark.parametrize("n_bytes", [0, 100, 20_000])
def test_weights_that_are_cut_off(n_bytes, bert):
    path = bert / "model.safetensors"
    path.write_bytes(path.read_bytes()[:n_bytes])
    refused(bert, "cannot read weights from")


def test_weights_that_are_no_weights(bert):
    (bert / "model.safetensors").write_bytes(b"version https://git-lfs.github.com/spec/v1\n" * 9)
    refused(bert, "cannot read weights from")


def test_weights_that_git_has_not_fetched(bert):
    (bert / "model.safetensors").write_text("version https://git-lfs.github.com/spec/v1\n")
    refused(bert, r"model.safetensors is a pointer of Git LFS: .*git lfs pull")


def test_pickled_weights_are_answered_by_what_to_do(bert):
    (bert / "model.safetensors").unlink()
    torch.save({}, bert / "pytorch_model.bin")
    refused(bert, r"\.bin are pickles, .* save it by save_pretrained, which writes safetensors")


@pytest.mark.parametrize("kind", ["nothing", "empty", "file", "hub", "weights alone"])
@pytest.mark.parametrize("Estimator", [*ENCODERS, CausalLMEmbedder])
def test_no_folder_with_a_model(Estimator, kind, bert, tmp_path):
    path = {"hub": "sentence-transformers/all-MiniLM-L6-v2"}.get(kind, tmp_path / "there")
    if kind == "empty":
        path.mkdir()
    elif kind == "file":
        path = bert / "model.safetensors"
    elif kind == "weights alone":
        path.mkdir()
        shutil.copy(bert / "model.safetensors", path)
    refused(path, r"is not a folder with a config.json, .* Nothing is downloaded", Estimator)


# Folders of sentence-transformers -----------------------------------------------------------------

MODULES = "sentence_transformers.models."


def of_sentences(folder, pooling, *more, **options):
    """Add to a folder what sentence-transformers writes beside a model."""
    paths = {"Transformer": "", "Pooling": "1_Pooling"}
    paths |= {name: f"{i}_{name}" for i, name in enumerate(more, start=2)}
    modules = [
        {"idx": i, "name": str(i), "path": path, "type": MODULES + name}
        for i, (name, path) in enumerate(paths.items())
    ]
    (folder / "modules.json").write_text(json.dumps(modules))
    (folder / "sentence_bert_config.json").write_text(json.dumps(options))
    (folder / "1_Pooling").mkdir()
    (folder / "1_Pooling" / "config.json").write_text(json.dumps(pooling))
    return folder


def switches(**on):
    names = ("cls_token", "mean_tokens", "max_tokens", "mean_sqrt_len_tokens", "lasttoken")
    chosen = {f"pooling_mode_{name}": on.get(name, False) for name in names}
    return {"word_embedding_dimension": 32, **chosen}


@pytest.mark.parametrize(
    ("config", "pooling"),
    [
        (switches(cls_token=True), "cls"),
        (switches(mean_tokens=True), "mean"),
        (switches(lasttoken=True), "last"),
        ({"pooling_mode": "cls"}, "cls"),
        ({}, "mean"),
    ],
)
@pytest.mark.parametrize("Estimator", ENCODERS)
def test_pooling_is_what_the_folder_asks_for(Estimator, config, pooling, bert):
    of_sentences(bert, config, "Normalize")
    default, same, mean = (
        Estimator(pretrained=bert, max_epochs=0, pooling=p).fit_transform(TEXTS)
        for p in (None, pooling, "mean")
    )
    np.testing.assert_array_equal(default, same)
    assert np.array_equal(default, mean) == (pooling == "mean")


@pytest.mark.parametrize(
    ("config", "name"),
    [
        (switches(max_tokens=True), "max"),
        (switches(mean_sqrt_len_tokens=True), "mean_sqrt_len"),
        (switches(cls_token=True, mean_tokens=True), r"cls\+mean"),
        ({"pooling_mode": "weightedmean"}, "weightedmean"),
    ],
)
def test_pooling_that_is_not_ours_has_to_be_chosen(config, name, bert):
    of_sentences(bert, config)
    refused(bert, f"pools the states of tokens with '{name}', .*: pooling='mean' or ")
    assert MaskedLMEmbedder(pretrained=bert, max_epochs=0, pooling="mean").fit(TEXTS).n_iter_ == 0


def test_modules_that_are_not_applied_are_named(bert):
    of_sentences(bert, switches(mean_tokens=True), "Dense", "Normalize")
    with pytest.warns(UserWarning, match="does not apply the modules Dense of"):
        MaskedLMEmbedder(pretrained=bert, max_epochs=0).fit(TEXTS)


def test_length_and_case_are_those_of_the_folder(bert):
    of_sentences(bert, switches(mean_tokens=True), max_seq_length=9, do_lower_case=True)
    ssl = MaskedLMEmbedder(pretrained=bert, max_epochs=0).fit(TEXTS)
    assert ssl.input_spec_.max_length == 9
    np.testing.assert_array_equal(ssl.transform(["The CAT sat"]), ssl.transform(["the cat sat"]))


def test_lengths_that_leave_no_room_for_a_text(bert):
    change(bert / "tokenizer_config.json", model_max_length=2)
    refused(bert, "allow texts of at most 2 tokens.*model_max_length")


def test_a_length_that_is_no_number(bert):
    (bert / "modules.json").write_text("[]")
    (bert / "sentence_bert_config.json").write_text(json.dumps({"max_seq_length": "many"}))
    refused(bert, "modules.json of .* is not that of a model of sentence-transformers: .*'many'")


@pytest.mark.parametrize("kind", [str, Path])
def test_a_folder_in_the_home_of_the_user(kind, bert, monkeypatch):
    monkeypatch.setenv("HOME", str(bert.parent))
    monkeypatch.setenv("USERPROFILE", str(bert.parent))
    embedded = [
        MaskedLMEmbedder(pretrained=folder, max_epochs=0).fit_transform(TEXTS)
        for folder in (bert, kind("~/bert"))
    ]
    np.testing.assert_array_equal(*embedded)
    tokenizer = kind("~/bert/tokenizer.json")
    ssl = MaskedLMEmbedder(tokenizer=tokenizer, max_epochs=0).fit(TEXTS)
    assert "[UNK]" in ssl.tokenizer_.get_vocab()


def test_a_model_in_a_folder_of_its_own(bert, tmp_path):
    outer = tmp_path / "outer"
    shutil.copytree(bert, outer / "0_Transformer")
    of_sentences(outer, switches(cls_token=True))
    modules = json.loads((outer / "modules.json").read_text())
    modules[0]["path"] = "0_Transformer"
    (outer / "modules.json").write_text(json.dumps(modules))
    expected = MaskedLMEmbedder(pretrained=bert, max_epochs=0, pooling="cls").fit_transform(TEXTS)
    Z = MaskedLMEmbedder(pretrained=outer, max_epochs=0).fit_transform(TEXTS)
    np.testing.assert_array_equal(Z, expected)


@pytest.mark.parametrize("text", ["", "[1]", '[{"type": 3}]', "null"])
def test_modules_that_cannot_be_read(text, bert):
    (bert / "modules.json").write_text(text)
    refused(bert, "modules.json of .* is not that of a model of sentence-transformers|cannot read")
