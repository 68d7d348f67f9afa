"""Pretrained models of Hugging Face's transformers, from a folder, as text encoders."""

import inspect
import json
import os
import threading
from contextlib import contextmanager

import torch
from torch import nn

from sklearn_ssl.encoders.text import is_padded, pool

_LOCKS = {"quiet": threading.RLock()}
if hasattr(os, "register_at_fork"):  # another thread may hold it while this one forks
    os.register_at_fork(after_in_child=lambda: _LOCKS.update(quiet=threading.RLock()))
OTHERWISE = "its states do not follow from the tokens of a row alone"
_NAMES_CODE = {"auto_map", "attn_implementation", "_attn_implementation", "custom_pipelines"}
_TAKES = (
    "MaskedLMEmbedder, SimCSETransformer and TSDAETransformer accept encoders such as BERT, "
    "RoBERTa, DistilBERT, MPNet or ModernBERT, CausalLMEmbedder accepts decoders such as GPT-2, "
    "Llama, Mistral, Qwen or Gemma. Networks for images go into SimCLRTransformer and others."
)


class PretrainedEncoder(nn.Module):
    """The body of a transformers model, with the interface of `encoders.TextEncoder`.

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
        self.output_dim = None  # known after a test run

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
        if is_padded(real):
            options["attention_mask"] = real.long()
        return self.model(input_ids=ids.clamp(min=0), **options).last_hidden_state

    def new_cache(self):
        """Return an empty cache for :meth:`states`."""
        return PastKeyValues(import_transformers().DynamicCache(config=self.model.config))


class PastKeyValues:
    """What a causal transformers model keeps of the tokens that it has read."""

    def __init__(self, past):
        self.past = past

    @property
    def length(self):
        return self.past.get_seq_length()


class WordHead(nn.Module):
    """The head of a transformers model: from states of tokens to logits of a vocabulary.

    It is the whole model, with a module that passes on given states in place of its body. So it
    applies everything in the architecture: layers, scales and caps.

    Parameters
    ----------
    whole : transformers.PreTrainedModel
        Loses its body.

    Attributes
    ----------
    known : torch.Tensor
        Whether the weights come from a folder; if False, the head has to be trained first.
    """

    def __init__(self, whole):
        super().__init__()
        body = {id(parameter) for parameter in whole.base_model.parameters()}
        setattr(whole, whole.base_model_prefix, GivenStates())
        self.whole = whole
        self.register_buffer("known", torch.tensor(True))
        # Parameters tied to the body, such as an embedding, are saved and loaded there.
        everything = self.named_parameters(remove_duplicate=False)
        self.tied = [name for name, parameter in everything if id(parameter) in body]
        self.register_state_dict_post_hook(_leave_out_tied)
        self.register_load_state_dict_pre_hook(_fill_in_tied)

    def forward(self, states):
        """Return the logits of states: ``(n, vocabulary_size)`` of ``(n, width)``."""
        return self.whole(inputs_embeds=states[None]).logits[0]


class GivenStates(nn.Module):
    """Replaces the body of a model: its states are its input."""

    @property
    def decoder(self):  # where OPT looks for its body
        return self

    def forward(self, *args, inputs_embeds, **kwargs):
        return StatesOnly([inputs_embeds])


class StatesOnly(tuple):
    """Outputs of a body; everything except the states is None."""

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
    """Build a transformers model without its weights, see `_pretrained_folder.load_pretrained`.

    Parameters
    ----------
    config : str
        The model's configuration, as JSON.
    causal : bool
        Whether each token must see only the tokens before it.
    pooling : {"mean", "last", "cls"}

    Returns
    -------
    encoder : PretrainedEncoder
    head : WordHead

    Raises
    ------
    ValueError
        If the model is bidirectional but must be causal, or vice versa, or is not supported.
    """
    facts = json.loads(config, object_hook=without_code)
    config = import_transformers().AutoConfig.for_model(**facts)
    model_class = class_for(config, causal)
    try:
        whole = model_class.from_config(config, dtype=torch.float32)
    except Exception as error:  # of transformers: config.json is inconsistent
        raise _unsupported(config.model_type, error) from error
    was_training = whole.training
    try:
        with torch.no_grad(), quiet():
            encoder, head, looks_ahead = _taken_apart(whole.eval(), causal, pooling)
    except Exception as error:  # whatever a foreign model may raise
        raise _unsupported(config.model_type, OTHERWISE) from error
    if looks_ahead == causal:
        raise _wrong_way(config, causal)
    return encoder.train(was_training), head.train(was_training)


def without_code(facts):
    """Leave out what would make transformers download code, or run it from a folder."""
    return {name: fact for name, fact in facts.items() if name not in _NAMES_CODE}


def _taken_apart(whole, causal, pooling):
    """Return the encoder and the head of a model, and whether tokens see later tokens.

    Raises
    ------
    RuntimeError
        If the parts do not give the same result as the model.
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
        raise RuntimeError(OTHERWISE)
    return encoder, head, looks_ahead


def _reads_as_rows_come(encoder, ids, goes_on):
    """Return whether states depend neither on padding nor on a cache."""
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


def class_for(config, causal):
    """Return the transformers class for models with a head, causal or not."""
    transformers = import_transformers()
    masked = type(config) in transformers.MODEL_FOR_MASKED_LM_MAPPING
    back_only = type(config) in transformers.MODEL_FOR_CAUSAL_LM_MAPPING
    if getattr(config, "is_encoder_decoder", False) or not (masked or back_only):
        raise _unsupported(config.model_type)
    if not (back_only if causal else masked):
        raise _wrong_way(config, causal)
    return transformers.AutoModelForCausalLM if causal else transformers.AutoModelForMaskedLM


def _wrong_way(config, causal):
    """Return the error for a model of the other kind, if it can be used elsewhere."""
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
        + (
            "MaskedLMEmbedder, SimCSETransformer or TSDAETransformer."
            if causal
            else "CausalLMEmbedder."
        )
    )


def _unsupported(model_type, reason="no language model of one network"):
    return ValueError(
        f"pretrained holds a model of type {model_type!r}, which is not supported ({reason}). "
        f"{_TAKES}"
    )


@contextmanager
def quiet():
    """Keep transformers from printing, and restore its settings afterwards."""
    logging = import_transformers().utils.logging
    with _LOCKS["quiet"]:
        were_shown, verbosity = logging.is_progress_bar_enabled(), logging.get_verbosity()
        logging.disable_progress_bar()
        logging.set_verbosity_error()
        try:
            yield
        finally:
            logging.set_verbosity(verbosity)
            if were_shown:
                logging.enable_progress_bar()


def import_transformers():
    try:
        import transformers
    except ImportError as error:
        raise ImportError(
            "pretrained= reads models with the package transformers, which is not installed: "
            "pip install 'sklearn-ssl[hf]'"
        ) from error
    return transformers
