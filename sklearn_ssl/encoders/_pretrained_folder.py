"""Folders with pretrained transformers models: their description, weights, and defects."""

import json
from pathlib import Path
from typing import NamedTuple

import torch

from sklearn_ssl.encoders._model_files import LOCALLY, check_layers, lacking_in, read_weights
from sklearn_ssl.encoders._sentence_transformers import SentenceModel, read_sentence_model
from sklearn_ssl.encoders.huggingface import WordHead, class_for, import_transformers, quiet

SHORTEST = 3  # tokens: a beginning, an end, and one of the text


class Pretrained(NamedTuple):
    """What is known about a pretrained model, except its weights.

    Attributes
    ----------
    config : str
        The model's configuration, as JSON.
    tokenizer : str
        In the format of `tokenizers`.
    names : dict of str to str or None
        The tokens that "begin" and "end" a text, and the "mask".
    max_length : int
        Maximum number of tokens that it accepts.
    sentences : SentenceModel
        What sentence-transformers would do with it.
    """

    config: str
    tokenizer: str
    names: dict
    max_length: int
    sentences: SentenceModel


def read_pretrained(folder, causal):
    """Read what is known about a pretrained model, except its weights.

    Parameters
    ----------
    folder : str or path
    causal : bool
        Whether each token must see only the tokens before it.

    Returns
    -------
    pretrained : Pretrained

    Raises
    ------
    ValueError
        If the folder contains no model that transformers can read, or another kind of model.
    ImportError
        If transformers is not installed.
    """
    transformers = import_transformers()
    sentences = read_sentence_model(folder)
    path = Path(folder) / sentences.path
    if not (path / "config.json").is_file():
        raise ValueError(
            f"pretrained={str(folder)!r} is not a folder with a config.json, as written by "
            "transformers' save_pretrained. Nothing is downloaded: pass the path of a folder."
        )
    try:
        with quiet():
            config = transformers.AutoConfig.from_pretrained(path, **LOCALLY)
    except (OSError, ValueError, KeyError, AttributeError) as error:
        raise _unreadable(folder, error) from error
    class_for(config, causal)
    if getattr(config, "quantization_config", None) is not None:
        raise ValueError(
            f"The model in {str(folder)!r} is quantized, and cannot be read: use the original "
            "model."
        )
    try:
        with quiet():
            tokenizer = transformers.AutoTokenizer.from_pretrained(path, **LOCALLY)
        as_json = tokenizer.backend_tokenizer.to_str()
    except Exception as error:  # of transformers or tokenizers, which raises Exception itself
        raise _unreadable(folder, error) from error
    files = {"tokenizer.json", *type(tokenizer).vocab_files_names.values()}
    if not any((path / name).is_file() for name in files):
        raise ValueError(
            f"The folder {str(folder)!r} contains a model but no tokenizer, without which every "
            f"word is unknown: none of {', '.join(sorted(files))}. Save it there too, with "
            "tokenizer.save_pretrained(folder)."
        )
    names = {
        "begin": tokenizer.cls_token or tokenizer.bos_token or tokenizer.eos_token,
        "end": tokenizer.sep_token or tokenizer.eos_token,
        "mask": tokenizer.mask_token,
    }
    if names["begin"] is None or names["end"] is None:
        raise ValueError(
            f"The tokenizer in {str(folder)!r} names no tokens that begin and end a text: set its "
            "cls_token and sep_token, or its bos_token and eos_token, and save it again."
        )
    limits = (_n_positions(config, causal), tokenizer.model_max_length, sentences.max_length)
    longest = int(min([limit for limit in limits if limit and limit > 0], default=512))
    if longest < SHORTEST:
        raise ValueError(
            f"The files in {str(folder)!r} allow texts of at most {longest} tokens, including "
            "those at the beginning and at the end. Correct max_seq_length in "
            "sentence_bert_config.json, or model_max_length in tokenizer_config.json."
        )
    as_text = json.dumps(config.to_dict(), default=str)
    return Pretrained(as_text, as_json, names, longest, sentences)


def _n_positions(config, causal):
    """Return the number of tokens that a model has positions for, 0 if unknown."""
    known = getattr(config.get_text_config(), "max_position_embeddings", 0)
    try:
        with torch.device("meta"), quiet():  # without memory for the weights
            model = class_for(config, causal).from_config(config)
    except Exception:
        return known  # building it later says what is wrong
    for (
        name,
        table,
    ) in model.named_modules():  # RoBERTa does not use positions up to its padding index
        if name.endswith("position_embeddings") and getattr(table, "padding_idx", None) is not None:
            return min(known, len(table.weight) - table.padding_idx - 1)
    return known


def _unreadable(folder, error):
    return ValueError(
        f"transformers cannot read a model and its tokenizer from {str(folder)!r}: {error}"
    )


def load_pretrained(folder, causal, encoder, head=None):
    """Read weights from a folder; nothing is downloaded, and nothing unpickled.

    Parameters
    ----------
    folder : str or path
    causal : bool
    encoder : PretrainedEncoder
    head : WordHead or None
        If the folder lacks it, it keeps its initial weights, and is not ``known``.

    Raises
    ------
    ValueError
        If there are no weights, or they do not fit the encoder.
    """
    config = encoder.model.config
    path = Path(folder) / read_sentence_model(folder).path
    whole, report = read_weights(class_for(config, causal), path, config)
    prefix = f"{whole.base_model_prefix}."
    check_layers(folder, whole, report, prefix)
    encoder.model.load_state_dict(whole.base_model.state_dict())
    if head is not None:
        lacking = [name for name in lacking_in(report) if not name.startswith(prefix)]
        if lacking:
            head.known.fill_(False)
        else:
            head.load_state_dict(WordHead(whole).state_dict())
