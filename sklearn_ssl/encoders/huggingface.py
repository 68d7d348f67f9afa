"""Pretrained models of Hugging Face's transformers, from a folder, as encoders of texts."""

import inspect
import json
import re
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import torch
from torch import nn

from sklearn_ssl.encoders._sentence_transformers import SentenceModel, read_sentence_model
from sklearn_ssl.encoders.text import pool

_LOCALLY = {"local_files_only": True, "trust_remote_code": False}
_SAFELY = {**_LOCALLY, "use_safetensors": True}
_TAKES = (
    "MaskedLMEmbedder and SimCSETransformer take encoders such as BERT, RoBERTa, DistilBERT, MPNet "
    "or ModernBERT, CausalLMEmbedder takes decoders such as GPT-2, Llama, Mistral, Qwen or Gemma."
)


class PretrainedEncoder(nn.Module):
    """The body of a model of transformers, behind the face of `encoders.TextEncoder`.

    Parameters
    ----------
    model : transformers.PreTrainedModel
        Without its head.
    pooling : {"mean", "last", "cls"}
    """

    def __init__(self, model, pooling):
        super().__init__()
        self.model = model
        parameters = inspect.signature(model.forward).parameters
        self.cache_name = "cache" if "cache" in parameters else "past_key_values"
        self.pooling = pooling
        self.output_dim = None  # known when it has been tried

    @property
    def embedding(self):
        """The embedding of the vocabulary."""
        return self.model.get_input_embeddings()

    def forward(self, ids):
        return pool(self.states(ids), ids, self.pooling)

    def states(self, ids, cache=None):
        """Return the state of each token, see :meth:`TextEncoder.states`."""
        real = ids >= 0
        options = {} if cache is None else {self.cache_name: cache.past, "use_cache": True}
        if not real.all():
            options["attention_mask"] = real.long()
        return self.model(input_ids=ids.clamp(min=0), **options).last_hidden_state

    def new_cache(self):
        """Return an empty cache for :meth:`states`."""
        return PastKeyValues(_transformers().DynamicCache(config=self.model.config))


class PastKeyValues:
    """What a causal model of transformers keeps of the tokens that it has read."""

    def __init__(self, past):
        self.past = past

    @property
    def length(self):
        return self.past.get_seq_length()


class WordHead(nn.Module):
    """The head of a model of transformers: from states of tokens to logits of a vocabulary.

    It is the whole model, with what hands on given states in the place of its body. So everything
    that its architecture does to states is done: layers, scales and caps.

    Parameters
    ----------
    whole : transformers.PreTrainedModel
        Loses its body.

    Attributes
    ----------
    known : torch.Tensor
        Whether the weights are those of a folder: False is a head that has to be trained first.
    """

    def __init__(self, whole):
        super().__init__()
        body = {id(parameter) for parameter in whole.base_model.parameters()}
        setattr(whole, whole.base_model_prefix, GivenStates())
        self.whole = whole
        self.register_buffer("known", torch.tensor(True))
        # What is tied to the body, as an embedding is, is saved and loaded there.
        everything = self.named_parameters(remove_duplicate=False)
        self.tied = [name for name, parameter in everything if id(parameter) in body]
        self.register_state_dict_post_hook(_leave_out_tied)
        self.register_load_state_dict_pre_hook(_fill_in_tied)

    def forward(self, states):
        """Return the logits of states: ``(n, vocabulary_size)`` of ``(n, width)``."""
        return self.whole(inputs_embeds=states[None]).logits[0]


class GivenStates(nn.Module):
    """Stands for the body of a model: its states are what it is given."""

    @property
    def decoder(self):  # where OPT looks for its body
        return self

    def forward(self, *args, inputs_embeds, **kwargs):
        return StatesOnly([inputs_embeds])


class StatesOnly(tuple):
    """Outputs of a body, of which all but the states are None."""

    @property
    def last_hidden_state(self):
        return self[0]

    def __getattr__(self, name):
        if name.startswith("__"):
            raise AttributeError(name)


def _leave_out_tied(head, state, prefix, local_metadata):
    for name in head.tied:
        state.pop(prefix + name, None)


def _fill_in_tied(head, state, prefix, *args):
    for name in head.tied:
        state[prefix + name] = head.get_parameter(name).data


def build_pretrained(config, *, causal, pooling):
    """Build a model of transformers without its weights, see :func:`load_pretrained`.

    Parameters
    ----------
    config : str
        The model's configuration, as JSON.
    causal : bool
        Whether each token must see only what is before it.
    pooling : {"mean", "last", "cls"}

    Returns
    -------
    encoder : PretrainedEncoder
    head : WordHead

    Raises
    ------
    ValueError
        If the model looks both ways and must not, or the other way round, or does not work so.
    """
    config = _transformers().AutoConfig.for_model(**json.loads(config))
    model_class = _class_for(config, causal)
    try:
        whole = model_class.from_config(config, dtype=torch.float32)
        was_training = whole.training
        with torch.no_grad():
            encoder, head, looks_ahead = _taken_apart(whole.eval(), causal, pooling)
    except Exception as error:  # whatever a model of others may raise
        raise _unsupported(config.model_type, error) from error
    if looks_ahead == causal:
        raise _wrong_way(config, causal)
    return encoder.train(was_training), head.train(was_training)


def _taken_apart(whole, causal, pooling):
    """Return the encoder and the head of a model, and whether tokens see those behind them.

    Raises
    ------
    RuntimeError
        If the parts do not do what the model does.
    """
    encoder = PretrainedEncoder(whole.base_model, pooling)
    ids = torch.arange(1, 9).repeat(2, 1) % len(encoder.embedding.weight)
    ids[1, -1] = 0
    states, logits = encoder.states(ids), whole(input_ids=ids).logits
    encoder.output_dim = states.shape[2]
    head = WordHead(whole)
    looks_ahead = not torch.equal(*states[:, 0])
    goes_on = causal and not looks_ahead
    if not (_agree(head(states[0]), logits[0]) and _reads_as_rows_come(encoder, ids[:1], goes_on)):
        raise RuntimeError("its states do not follow from the tokens of a row alone")
    return encoder, head, looks_ahead


def _reads_as_rows_come(encoder, ids, goes_on):
    """Whether states depend neither on what a row is filled up with nor on a cache."""
    states = encoder.states(ids)
    filled_up = torch.cat([ids, torch.full((1, 3), -1)], dim=1)
    if not _agree(encoder.states(filled_up)[:, :8], states):
        return False
    if not goes_on:
        return True
    cache = encoder.new_cache()
    parts = [encoder.states(ids[:, :5], cache), encoder.states(ids[:, 5:6], cache)]
    return cache.length == 6 and _agree(torch.cat(parts, dim=1), states[:, :6])


def _agree(a, b):
    return a.shape == b.shape and torch.allclose(a, b, rtol=1e-3, atol=1e-4)


def _class_for(config, causal):
    """Return the class of transformers for models with a head, which look back only or not."""
    transformers = _transformers()
    masked = type(config) in transformers.MODEL_FOR_MASKED_LM_MAPPING
    back_only = type(config) in transformers.MODEL_FOR_CAUSAL_LM_MAPPING
    if getattr(config, "is_encoder_decoder", False) or not (masked or back_only):
        raise _unsupported(config.model_type)
    if not (back_only if causal else masked):
        raise _wrong_way(config, causal)
    return transformers.AutoModelForCausalLM if causal else transformers.AutoModelForMaskedLM


def _wrong_way(config, causal):
    """Return the error for a model that looks the other way, if it can be used there."""
    try:
        build_pretrained(
            json.dumps(config.to_dict(), default=str), causal=not causal, pooling="mean"
        )
    except (ValueError, RecursionError):
        return _unsupported(config.model_type)
    return ValueError(
        f"pretrained holds a model of type {config.model_type!r}, whose tokens see "
        + ("all of a text" if causal else "only what is before them")
        + ": use it in "
        + ("MaskedLMEmbedder or SimCSETransformer." if causal else "CausalLMEmbedder.")
    )


def _unsupported(model_type, reason="no language model of one network"):
    return ValueError(
        f"pretrained holds a model of type {model_type!r}, which is not supported ({reason}). "
        f"{_TAKES}"
    )


def load_pretrained(folder, causal, encoder, head=None):
    """Read weights from a folder; nothing is downloaded, and nothing unpickled.

    Parameters
    ----------
    folder : str or path
    causal : bool
    encoder : PretrainedEncoder
    head : WordHead or None
        The folder may lack it: it keeps its first weights then, and is not ``known``.

    Raises
    ------
    ValueError
        If there are none, or not those of the encoder.
    """
    config = encoder.model.config
    reader = _class_for(config, causal)
    try:
        with _quiet():
            whole, report = reader.from_pretrained(
                Path(folder) / read_sentence_model(folder).path,
                config=config,
                output_loading_info=True,
                ignore_mismatched_sizes=True,
                **_SAFELY,
            )
    except Exception as error:  # of transformers, safetensors or the system
        raise ValueError(
            f"transformers cannot read weights from {str(folder)!r}, where a model.safetensors "
            f"is expected: {error}{_hint_of_pickles(folder)}"
        ) from error
    _check_layers(folder, whole, report)
    encoder.model.load_state_dict(whole.base_model.state_dict())
    if head is not None:
        prefix = f"{whole.base_model_prefix}."
        lacking = [name for name in _lacking(report) if not name.startswith(prefix)]
        if lacking:
            head.known.fill_(False)
        else:
            head.load_state_dict(WordHead(whole).state_dict())


def _check_layers(folder, whole, report):
    """Refuse weights that leave a part of the body as it was drawn, or have layers beyond it."""
    prefix = f"{whole.base_model_prefix}."
    lacking = [
        name for name in _lacking(report) if name.startswith(prefix) and "pooler" not in name
    ]
    if lacking:
        raise ValueError(
            f"The weights in {str(folder)!r} lack {len(lacking)} of the arrays that config.json "
            f"asks for, or have them in another shape: {_some(lacking)}. Save the whole model "
            "again, by model.save_pretrained(folder), or correct config.json."
        )
    layers = {re.sub(r"\d+", "0", name.removeprefix(prefix)) for name in whole.state_dict()}
    surplus = [
        name
        for name in sorted(report["unexpected_keys"])
        if re.search(r"\d", name) and re.sub(r"\d+", "0", name.removeprefix(prefix)) in layers
    ]
    if surplus:
        raise ValueError(
            f"The weights in {str(folder)!r} have {len(surplus)} arrays of layers that config.json "
            f"does not know: {_some(surplus)}. Correct the number of layers there."
        )


def _lacking(report):
    return sorted(report["missing_keys"] | {name for name, *_ in report["mismatched_keys"]})


def _some(names):
    return ", ".join(names[:3]) + (", ..." if len(names) > 3 else "")


def _hint_of_pickles(folder):
    if not any(Path(folder).glob("*.bin")):
        return ""
    return (
        ". Files with the ending .bin are pickles, which may run any code and are not read: if you "
        "trust them, load the model with transformers once, and save it by save_pretrained, "
        "which writes safetensors."
    )


class Pretrained(NamedTuple):
    """What is known of a pretrained model but for its weights.

    Attributes
    ----------
    config : str
        The model's configuration, as JSON.
    tokenizer : str
        In the format of `tokenizers`.
    names : dict of str to str or None
        The tokens that "begin" and "end" a text, and the "mask".
    max_length : int
        The most tokens that it takes.
    sentences : SentenceModel
        What sentence-transformers would do with it.
    """

    config: str
    tokenizer: str
    names: dict
    max_length: int
    sentences: SentenceModel


def read_pretrained(folder, causal):
    """Read what is known of a pretrained model but for its weights.

    Parameters
    ----------
    folder : str or path
    causal : bool
        Whether each token must see only what is before it.

    Returns
    -------
    pretrained : Pretrained

    Raises
    ------
    ValueError
        If the folder holds no model that transformers can read, or another kind of model.
    ImportError
        If transformers is not installed.
    """
    transformers = _transformers()
    sentences = read_sentence_model(folder)
    path = Path(folder) / sentences.path
    if not (path / "config.json").is_file():
        raise ValueError(
            f"pretrained={str(folder)!r} is no folder with a config.json, as transformers' "
            "save_pretrained writes it. Nothing is downloaded: give the path of a folder."
        )
    try:
        with _quiet():
            config = transformers.AutoConfig.from_pretrained(path, **_LOCALLY)
    except (OSError, ValueError, KeyError, AttributeError) as error:
        raise _unreadable(folder, error) from error
    _class_for(config, causal)
    if getattr(config, "quantization_config", None) is not None:
        raise ValueError(
            f"The model in {str(folder)!r} is quantized, and cannot be read: use the one that it "
            "was made of."
        )
    try:
        with _quiet():
            tokenizer = transformers.AutoTokenizer.from_pretrained(path, **_LOCALLY)
        as_json = tokenizer.backend_tokenizer.to_str()
    except Exception as error:  # of transformers or tokenizers, which raises Exception itself
        raise _unreadable(folder, error) from error
    files = {"tokenizer.json", *type(tokenizer).vocab_files_names.values()}
    if not any((path / name).is_file() for name in files):
        raise ValueError(
            f"The folder {str(folder)!r} holds a model but no tokenizer, without which every word "
            f"is unknown: none of {', '.join(sorted(files))}. Save it there too, by "
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
    positions = getattr(config.get_text_config(), "max_position_embeddings", 0)
    limits = (positions, tokenizer.model_max_length, sentences.max_length)
    longest = int(min([limit for limit in limits if limit and limit > 0], default=512))
    as_text = json.dumps(config.to_dict(), default=str)
    return Pretrained(as_text, as_json, names, longest, sentences)


def _unreadable(folder, error):
    return ValueError(
        f"transformers cannot read a model and its tokenizer from {str(folder)!r}: {error}"
    )


@contextmanager
def _quiet():
    """Keep transformers from printing, and let it print again afterwards if it did before."""
    logging = _transformers().utils.logging
    were_shown, verbosity = logging.is_progress_bar_enabled(), logging.get_verbosity()
    logging.disable_progress_bar()
    logging.set_verbosity_error()
    try:
        yield
    finally:
        logging.set_verbosity(verbosity)
        if were_shown:
            logging.enable_progress_bar()


def _transformers():
    try:
        import transformers
    except ImportError as error:
        raise ImportError(
            "pretrained= reads models with the package transformers, which is not installed: "
            "pip install 'sklearn-ssl[hf]'"
        ) from error
    return transformers
