"""Base class of text estimators with a transformer, new or pretrained."""

import os
import warnings
from collections.abc import Callable
from numbers import Integral, Real
from pathlib import Path

from sklearn_ssl import defaults
from sklearn_ssl._sklearn_compat import Interval, StrOptions
from sklearn_ssl.base.parameters import param
from sklearn_ssl.base.text import BaseTextPretrainer
from sklearn_ssl.data.text import TextSpec
from sklearn_ssl.encoders._pretrained_folder import load_pretrained, read_pretrained
from sklearn_ssl.encoders.huggingface import build_pretrained
from sklearn_ssl.encoders.text import POOLINGS, TextEncoder
from sklearn_ssl.optim import adamw
from sklearn_ssl.tokenization import lower_case

TOKENS_TO_SEE, MOST_EPOCHS = 12_000_000, 100
MOST_EPOCHS_PRETRAINED = 3  # a model that knows the language would forget more than it learns
TOKENS_IN_A_STEP = 2048
WIDEST = 2**13  # the number of weights grows with its square


class BaseTextTransformer(BaseTextPretrainer):
    """Base class of self-supervised transformers of texts.

    A subclass defines ``_make_task(self, spec)``, like subclasses of
    :class:`~sklearn_ssl.BaseSSLTransformer`, and builds its encoder with ``_make_encoder(spec)``.
    Declare its own parameters as fields in the class body, such as ``noise: float = 0.5``. A batch
    of its task holds the ids of tokens, int64 of shape ``(n, length)``: each row begins with the
    token ``spec.begin``, a row in which a text ends has ``spec.end``, and the rest of a row is
    filled with -1.

    Parameters
    ----------
    width : int, default=128
        Width of the transformer's states, a multiple of twice `n_heads`; see
        :class:`~sklearn_ssl.encoders.TextEncoder`.
    depth : int, default=2
        Blocks of the transformer.
    n_heads : int, default=4
        Attention heads of a block.
    dropout : float, default=0.1
        Fraction of the states that a training step drops.
    pooling : {"mean", "last", "cls"}, default=None
        What represents a text: the mean of the states of its tokens, or the state of the last or
        the first token. None means the mean, or what a folder of sentence-transformers asks for.
    pretrained : str or path, default=None
        A folder with a model of Hugging Face's transformers, whose weights are the starting point
        of the training; with ``max_epochs=0`` the model embeds as it is. It has its own tokenizer
        and sizes, so `tokenizer`, `vocabulary_size`, `lowercase`, `width`, `depth`, `n_heads` and
        `dropout` have no effect, and `max_length` is the model's own if that is shorter. Needs
        ``pip install 'sklearn-ssl[hf]'``; nothing is downloaded. A fitted estimator no longer needs
        the folder. The head of a language model is loaded and trained too. From a
        sentence-transformers folder, the pooling, the maximum number of tokens and lowercasing are
        used; for unit length, add a :class:`~sklearn.preprocessing.Normalizer`.
    max_epochs : int, default=None
        Number of passes over the texts. With None, the network reads about 12,000,000 tokens, but
        every text 1 to 100 times, and with `pretrained` at most 3 times. With 0 nothing is trained.
    batch_size : int, default=None
        Largest number of pieces of text in a step. None means as many as have about 2,048 tokens,
        from 8 to 256.
    lr : float, default=None
        Peak learning rate. None means 4e-3, or 5e-5 for a pretrained model.
    weight_decay : float, default=0.01
        Weight decay of matrices; biases and normalizations have none.
    optimizer : callable, default=adamw
        A torch optimizer class, or a callable with the same arguments; AdamW with GPT's betas, 0.9
        and 0.95.
    """

    width: int = param(128, Interval(Integral, 2, WIDEST, closed="both"))
    depth: int = param(2, Interval(Integral, 1, defaults.DEEPEST, closed="both"))
    n_heads: int = param(4, Interval(Integral, 1, WIDEST, closed="both"))
    dropout: float = param(0.1, Interval(Real, 0, 1, closed="left"))
    pooling: str | None = param(None, StrOptions(set(POOLINGS)), None)
    pretrained: str | Path | None = param(None, None, str, Path)
    optimizer: Callable = adamw
    lr: float | None = param(None, Interval(Real, 0, None, closed="neither"), None)
    weight_decay: float = 0.01

    _causal = False  # whether a token sees only what is before it
    _tokens_in_a_step = TOKENS_IN_A_STEP
    _from_random_weights = None  # what to warn of if it is not pretrained

    def _read_vocabulary(self, texts):
        if self.pretrained is not None:
            return self._read_folder()
        if self.width % (2 * self.n_heads):
            raise ValueError(
                "width must be a multiple of twice n_heads, whose rotary positions turn pairs; "
                f"got width={self.width} and n_heads={self.n_heads}."
            )
        return super()._read_vocabulary(texts)

    def _read_folder(self):
        """Return a TextSpec from the folder of a pretrained model."""
        known = read_pretrained(os.path.expanduser(self.pretrained), self._causal)
        json = known.tokenizer
        if known.sentences.lower_case:
            json = lower_case(json)
        if known.sentences.left_out:
            warnings.warn(
                f"{type(self).__name__} does not apply the modules "
                f"{', '.join(known.sentences.left_out)} of {str(self.pretrained)!r}: "
                "representations are not those of sentence-transformers.",
                UserWarning,
                stacklevel=2,
            )
        pooling = self.pooling or known.sentences.pooling
        if pooling not in POOLINGS:
            raise ValueError(
                f"The model in {str(self.pretrained)!r} pools the states of tokens with "
                f"{pooling!r}, which {type(self).__name__} does not support. Choose another "
                f"pooling: pooling={' or '.join(map(repr, POOLINGS))}."
            )
        return TextSpec.of_tokenizer(
            json,
            {role: (name,) for role, name in known.names.items() if name},
            max_length=min(self.max_length, known.max_length),
            pretrained=known.config,
            pooling=pooling,
        )

    def _make_encoder(self, spec):
        return self._make_encoder_and_head(spec)[0]

    def _make_encoder_and_head(self, spec):
        """Build the encoder, and the head of a pretrained model that turns its states into words.

        The head is None for the package's own encoder.
        """
        pooling = self.pooling or spec.pooling
        if spec.pretrained is not None:
            encoder, head = build_pretrained(spec.pretrained, causal=self._causal, pooling=pooling)
            n_rows = encoder.embedding.num_embeddings
            if spec.vocabulary_size > n_rows:
                raise ValueError(
                    f"The tokenizer of the pretrained model has {spec.vocabulary_size} tokens, its "
                    f"embedding only {n_rows} rows: tokens were added. Call "
                    "model.resize_token_embeddings(len(tokenizer)) in transformers, and save the "
                    "model again."
                )
            return encoder, head
        encoder = TextEncoder(
            spec.vocabulary_size,
            spec.max_length,
            width=self.width,
            depth=self.depth,
            n_heads=self.n_heads,
            causal=self._causal,
            pooling=pooling,
            dropout=self.dropout,
        )
        return encoder, None

    def _first_task(self, spec, rows, seed, device):
        warned_of = self._from_random_weights
        if warned_of and spec.pretrained is None and self.max_epochs != 0:
            warnings.warn(
                f"{type(self).__name__} starts from random weights, from which {warned_of}. Pass "
                "the folder of a pretrained model as pretrained, or use Sent2VecTransformer or, "
                "for crops of texts as views, SimCLRTransformer.",
                UserWarning,
                stacklevel=2,
            )
        task = self._make_task(spec)
        if spec.pretrained is not None:
            head = getattr(task, "pretrained_head", None)
            folder = os.path.expanduser(self.pretrained)
            load_pretrained(folder, self._causal, task.encoder, head)
        return task

    def _check_head(self, method):
        """Refuse to predict words with a head that has never been trained."""
        head = self.task_.pretrained_head
        if head is not None and not head.known and self.n_iter_ == 0:
            raise ValueError(
                f"{method} needs a head that turns states into words, but the folder of the "
                "pretrained model has none: train one, with max_epochs=1 or more, or use a folder "
                f"with {'a causal' if self._causal else 'a masked'} language model "
                f"(AutoModelFor{'CausalLM' if self._causal else 'MaskedLM'})."
            )

    def _default_batch_size(self, rows):
        return default_batch_size(rows.lengths.mean(), self._tokens_in_a_step)

    def _planned_epochs(self, spec, n_samples):
        if self.max_epochs is not None:
            return self.max_epochs
        n_tokens = n_samples * spec.n_tokens / spec.n_samples
        most = MOST_EPOCHS if self.pretrained is None else MOST_EPOCHS_PRETRAINED
        return default_epochs(n_tokens, self._relative_cost, most)

    def _largest_lr(self):
        if self.lr is not None:
            return self.lr
        return 4e-3 if self.pretrained is None else 5e-5

    def _fine_tuning_lr(self):
        return 1e-3 if self.pretrained is None else 2e-4


def default_epochs(n_tokens, cost, most):
    """Return how often texts are read: 12,000,000 tokens in all, but each 1 to `most` times."""
    return int(min(max(TOKENS_TO_SEE / cost / n_tokens, 1), most))


def default_batch_size(mean_length, n_tokens):
    """Return how many pieces of text, of so many tokens, are a step of `n_tokens`, 8 to 256.

    Steps matter most: with twice the tokens and half the steps, masked language models hardly got
    beyond the frequencies of words in five minutes.
    """
    return int(min(max(n_tokens / mean_length, 8), 256))
