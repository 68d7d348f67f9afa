"""Pretrained models of Hugging Face's transformers, from a folder, as encoders of texts."""

import inspect
import json
from contextlib import contextmanager
from pathlib import Path

import torch
from torch import nn

from sklearn_ssl.encoders.text import pool


class PretrainedEncoder(nn.Module):
    """A model of transformers behind the face of :class:`~sklearn_ssl.encoders.TextEncoder`.

    Parameters
    ----------
    config : str
        The model's configuration, as JSON. Its weights are not read: see :meth:`load`.
    causal : bool
        Whether each token must see only what is before it.
    pooling : {"mean", "last", "cls"}

    Raises
    ------
    ValueError
        If the model looks both ways and must not, or the other way round.
    """

    def __init__(self, config, *, causal, pooling):
        super().__init__()
        config = _transformers().AutoConfig.for_model(**json.loads(config))
        self.model = _transformers().AutoModel.from_config(config, dtype=torch.float32)
        parameters = inspect.signature(self.model.forward).parameters
        self.cache_name = "cache" if "cache" in parameters else "past_key_values"
        self.pooling = pooling
        self.output_dim = config.hidden_size
        if _looks_ahead(self) == causal:
            raise ValueError(
                f"pretrained holds a model of type {config.model_type!r}, whose tokens see "
                + ("all of a text" if causal else "only what is before them")
                + ": use it in "
                + ("MaskedLMEmbedder or SimCSETransformer." if causal else "CausalLMEmbedder.")
            )

    @property
    def embedding(self):
        """The embedding of the vocabulary."""
        return self.model.get_input_embeddings()

    def load(self, folder):
        """Read the weights from a folder; nothing is downloaded, and nothing unpickled."""
        try:
            with _no_progress_bars():
                model = type(self.model).from_pretrained(
                    folder, config=self.model.config, **_SAFELY
                )
        except OSError as error:
            raise ValueError(
                f"transformers cannot read weights from {str(folder)!r}, where a model.safetensors "
                f"is expected: {error}"
            ) from error
        self.model.load_state_dict(model.state_dict())

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


_LOCALLY = {"local_files_only": True, "trust_remote_code": False}
_SAFELY = {**_LOCALLY, "use_safetensors": True}


def read_pretrained(folder):
    """Read what is known of a pretrained model but for its weights.

    Parameters
    ----------
    folder : str or path

    Returns
    -------
    config : str
        The model's configuration, as JSON.
    tokenizer : str
        In the format of `tokenizers`.
    names : dict of str to str or None
        The tokens that "begin" and "end" a text, and the "mask".
    max_length : int
        The most tokens that it takes.

    Raises
    ------
    ValueError
        If the folder holds no model that transformers can read.
    ImportError
        If transformers is not installed.
    """
    transformers = _transformers()
    if not (Path(folder) / "config.json").is_file():
        raise ValueError(
            f"pretrained={str(folder)!r} is no folder with a config.json, as transformers' "
            "save_pretrained writes it. Nothing is downloaded: give the path of a folder."
        )
    try:
        config = transformers.AutoConfig.from_pretrained(folder, **_LOCALLY)
        tokenizer = transformers.AutoTokenizer.from_pretrained(folder, **_LOCALLY)
        as_json = tokenizer.backend_tokenizer.to_str()
    except (OSError, ValueError, KeyError, AttributeError) as error:
        raise ValueError(
            f"transformers cannot read a model and its tokenizer from {str(folder)!r}: {error}"
        ) from error
    names = {
        "begin": tokenizer.cls_token or tokenizer.bos_token or tokenizer.eos_token,
        "end": tokenizer.sep_token or tokenizer.eos_token,
        "mask": tokenizer.mask_token,
    }
    longest = min(getattr(config, "max_position_embeddings", 512), tokenizer.model_max_length)
    return json.dumps(config.to_dict(), default=str), as_json, names, int(longest)


@torch.no_grad()
def _looks_ahead(encoder):
    """Whether the state of the first token depends on the last one."""
    was_training = encoder.training
    encoder.eval()
    ids = torch.zeros(2, 4, dtype=torch.int64)
    ids[1, -1] = 1
    a, b = encoder.states(ids)[:, 0]
    encoder.train(was_training)
    return not torch.equal(a, b)


@contextmanager
def _no_progress_bars():
    """Keep transformers from printing, and let it print again afterwards if it did before."""
    logging = _transformers().utils.logging
    were_shown = logging.is_progress_bar_enabled()
    logging.disable_progress_bar()
    try:
        yield
    finally:
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
