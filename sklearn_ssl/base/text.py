"""Base class of text estimators: tokens, windows, embeddings of texts of any length."""

import os
import warnings
from collections.abc import Callable, Iterator
from dataclasses import replace
from numbers import Integral, Real
from pathlib import Path

import numpy as np
import torch
from sklearn.utils.validation import check_is_fitted

from sklearn_ssl import defaults, tokenization
from sklearn_ssl._sklearn_compat import Interval, StrOptions
from sklearn_ssl.base.estimator import BasePretrainer
from sklearn_ssl.base.parameters import param
from sklearn_ssl.data.text import TextSpec, TokenRows, check_texts
from sklearn_ssl.encoders._pretrained_folder import load_pretrained, read_pretrained
from sklearn_ssl.encoders.huggingface import build_pretrained
from sklearn_ssl.encoders.text import POOLINGS, TextEncoder
from sklearn_ssl.optim import adamw
from sklearn_ssl.training.runtime import torch_settings

TOKENS_TO_SEE, MOST_EPOCHS = 12_000_000, 100
TOKENS_IN_A_STEP = 2048
ROLES = ("begin", "end", "mask")
LONGEST = 2**17  # tokens in a row
WIDEST = 2**13  # the number of weights grows with its square
PADDED_TO = 8  # lengths of batches in `transform` are multiples of this
TOKENS_AT_ONCE = 512  # in a batch there: more would waste padding


class BaseTextTransformer(BasePretrainer):
    """Base class of self-supervised transformers of texts.

    A subclass defines ``_make_task(self, spec)``, like subclasses of
    :class:`~sklearn_ssl.BaseSSLTransformer`, and builds its encoder with ``_make_encoder(spec)``.
    Declare its own parameters as fields in the class body, such as ``noise: float = 0.5``. A batch
    of its task holds the ids of tokens, int64 of shape ``(n, length)``: each row begins with the
    token ``spec.begin``, a row in which a text ends has ``spec.end``, and the rest of a row is
    filled with -1.

    Parameters
    ----------
    tokenizer : None, "char", "byte", path or tokenizers.Tokenizer, default=None
        How texts become tokens. None trains a byte-level BPE on the texts of ``fit``; it can then
        read any text. "char" and "byte" use single characters or bytes; a path points to a
        ``tokenizer.json``, or to a folder that contains one.
    vocabulary_size : int, default=None
        Maximum number of tokens of a trained BPE, including the 256 bytes and the special tokens.
        None means four times the square root of the number of characters, from 512 to 8,192.
    max_length : int, default=128
        Maximum number of tokens that are read at once. Longer texts are cut: in ``fit`` each piece
        is a row of its own, and ``transform`` averages the representations of a text's pieces,
        weighted by their lengths.
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
        and sizes, so `tokenizer`, `vocabulary_size`, `width`, `depth`, `n_heads` and `dropout` have
        no effect, and `max_length` is the model's own if that is shorter. Needs ``pip install
        'sklearn-ssl[hf]'``; nothing is downloaded. A fitted estimator no longer needs the folder.
        The head of a language model is loaded and trained too. From a sentence-transformers folder,
        the pooling, the maximum number of tokens and lowercasing are used; for unit length, add a
        :class:`~sklearn.preprocessing.Normalizer`.
    max_epochs : int, default=None
        Number of passes over the texts. With None, the network reads about 12,000,000 tokens, but
        every text 1 to 100 times. With 0 nothing is trained.
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

    Attributes
    ----------
    tokenizer_ : tokenizers.Tokenizer
        The tokenizer in use.
    """

    tokenizer: object = param(None, None, str, Path, tokenization.Tokenizer)
    vocabulary_size: int | None = param(
        None,
        Interval(Integral, tokenization.SMALLEST_VOCABULARY, defaults.MOST, closed="both"),
        None,
    )
    max_length: int = param(128, Interval(Integral, 4, LONGEST, closed="both"))
    width: int = param(128, Interval(Integral, 2, WIDEST, closed="both"))
    depth: int = param(2, Interval(Integral, 1, defaults.DEEPEST, closed="both"))
    n_heads: int = param(4, Interval(Integral, 1, WIDEST, closed="both"))
    dropout: float = param(0.1, Interval(Real, 0, 1, closed="left"))
    pooling: str | None = param(None, StrOptions(set(POOLINGS)), None)
    pretrained: str | Path | None = param(None, None, str, Path)
    optimizer: Callable = adamw
    lr: float | None = param(None, Interval(Real, 0, None, closed="neither"), None)
    weight_decay: float = 0.01

    _modalities = ("text",)
    _causal = False  # whether a token sees only what is before it

    # Fitting ----------------------------------------------------------------------------------

    def _read(self, X, X_unlabeled, known, *, reset):
        """Return the pieces of all texts, and the description of the texts."""
        name = type(self).__name__
        texts = check_texts(X, name)
        if X_unlabeled is not None:
            texts += check_texts(X_unlabeled, name)
        spec = known or self._read_vocabulary(texts)
        rows = TokenRows(texts, spec)
        if known is None:
            self._warn_of_unknown_tokens(rows.ids, spec)
        rows.keep(rows.n_ids > 0)
        if len(rows) < 2:
            raise ValueError(
                f"{name} needs at least two pieces of text to train on, of up to {spec.max_length} "
                f"tokens each; got {len(texts)} text(s) with {len(rows)}."
            )
        if known is not None:
            return rows, known
        return rows, replace(spec, n_samples=len(rows), n_tokens=int(rows.lengths.sum()))

    def _warn_of_unknown_tokens(self, ids, spec):
        unknown = tokenization.unknown_id(spec.tokenizer)
        share = 0 if unknown is None or len(ids) == 0 else np.mean(ids == unknown)
        if share > 0.5:
            warnings.warn(
                f"{share:.0%} of the tokens of the texts are unknown to the tokenizer of "
                f"{type(self).__name__}, which cannot tell them apart. Does it belong to the model "
                "and suit the language? tokenizer=None reads any text.",
                UserWarning,
                stacklevel=2,
            )

    def _read_vocabulary(self, texts):
        """Return a TextSpec that knows the tokens, but no rows yet."""
        if self.pretrained is not None:
            return self._read_folder()
        if self.width % (2 * self.n_heads):
            raise ValueError(
                "width must be a multiple of twice n_heads, whose rotary positions turn pairs; "
                f"got width={self.width} and n_heads={self.n_heads}."
            )
        if not any(texts):
            raise ValueError(f"{type(self).__name__} got empty texts only: nothing to learn.")
        json = tokenization.resolve_tokenizer(self.tokenizer, texts, self.vocabulary_size)
        names = dict(zip(ROLES, (tokenization.BEGIN, tokenization.END, tokenization.MASK)))
        return TextSpec(**_vocabulary(json, names), max_length=self.max_length)

    def _read_folder(self):
        """Return a TextSpec from the folder of a pretrained model."""
        known = read_pretrained(os.path.expanduser(self.pretrained), self._causal)
        json = known.tokenizer
        if known.sentences.lower_case:
            json = tokenization.lower_case(json)
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
        return TextSpec(
            **_vocabulary(json, {role: (name,) for role, name in known.names.items() if name}),
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

    def _first_task(self, spec):
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
        return default_batch_size(rows.lengths.mean())

    def _planned_epochs(self, spec, n_samples):
        if self.max_epochs is not None:
            return self.max_epochs
        n_tokens = n_samples * spec.n_tokens / spec.n_samples
        return default_epochs(n_tokens, self._relative_cost)

    def _largest_lr(self):
        if self.lr is not None:
            return self.lr
        return 4e-3 if self.pretrained is None else 5e-5

    def _fine_tuning_lr(self):
        return 1e-3 if self.pretrained is None else 2e-4

    # After fitting ----------------------------------------------------------------------------

    def fit_transform(self, X, y=None, **fit_params):
        """Pretrain on texts, and return their representations.

        Parameters
        ----------
        X : iterable of str
        y : ignored
            Present for API consistency.
        **fit_params : dict
            Passed on to ``fit``.

        Returns
        -------
        representations : ndarray of shape (n, output_dim)
            In float32.
        """
        X = list(X) if isinstance(X, Iterator) else X  # it is read twice
        return super().fit_transform(X, y, **fit_params)

    @property
    def tokenizer_(self):
        """The tokenizer, a new `tokenizers.Tokenizer` each time."""
        check_is_fitted(self, "input_spec_")
        return tokenization.tokenizer_from(self.input_spec_.tokenizer)

    def _rows(self, X, overlap=0):
        return TokenRows(check_texts(X, type(self).__name__), self.input_spec_, overlap)

    def _rows_of(self, X):
        rows = self._rows(X)
        return rows, rows.text, rows.lengths / np.bincount(rows.text, rows.lengths)[rows.text]

    def _rows_to_score(self, X):
        rows = self._rows(X)
        rows.keep(rows.n_ids > 0)
        if len(rows) == 0:
            raise ValueError(f"{type(self).__name__} got empty texts only: nothing to score.")
        return rows

    def _embed(self, task, X):
        """Return the mean of a task's output for the pieces of each text.

        Rows of similar length always form batches of the same shape, because the embedding of a row
        must not depend on the other rows.
        """
        rows = self._rows(X)
        n_texts = rows.text[-1] + 1
        embeddings = np.zeros((n_texts, task.encoder.output_dim), np.float32)
        longest = self.input_spec_.max_length
        padded = np.minimum(-(-rows.lengths // PADDED_TO) * PADDED_TO, longest)
        task.eval()
        with torch_settings(), torch.inference_mode():
            for length in np.unique(padded):
                alike = np.flatnonzero(padded == length)
                n_rows = -(-TOKENS_AT_ONCE // length)
                for start in range(0, len(alike), n_rows):
                    block = alike[start : start + n_rows]
                    batch = np.full((n_rows, length), -1, np.int32)
                    ids = rows[block]
                    batch[: len(ids), : ids.shape[1]] = ids
                    batch[len(ids) :, 0] = self.input_spec_.begin
                    output = task.encode(self.input_spec_.to_tensor(batch, self._task_device()))
                    weights = rows.lengths[block, None].astype(np.float32)
                    output = output[: len(ids)].float().cpu().numpy()
                    np.add.at(embeddings, rows.text[block], weights * output)
        n_tokens = np.bincount(rows.text, rows.lengths)
        return embeddings / n_tokens[:, None].astype(np.float32)

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.input_tags.string = True
        tags.input_tags.two_d_array = False
        tags.input_tags.one_d_array = True
        tags.input_tags.allow_nan = False
        return tags


def _vocabulary(json, names):
    """Return the part of a TextSpec about a tokenizer, given names for its special tokens."""
    tokenizer = tokenization.tokenizer_from(json)
    ids = {role: tokenization.special_token(tokenizer, names.get(role, ())) for role in ROLES}
    size = max(tokenizer.get_vocab().values()) + 1
    special = tokenization.special_ids(json)
    return {"tokenizer": json, "vocabulary_size": size, "special": special, **ids}


def default_epochs(n_tokens, cost=1.0):
    """Return how often texts are read: 12,000,000 tokens in all, but every text 1 to 100 times."""
    return int(min(max(TOKENS_TO_SEE / cost / n_tokens, 1), MOST_EPOCHS))


def default_batch_size(mean_length):
    """Return how many pieces of text, of so many tokens, are a step: 2,048 tokens, 8 to 256.

    Steps matter most: with twice the tokens and half the steps, masked language models hardly got
    beyond the frequencies of words in five minutes.
    """
    return int(min(max(TOKENS_IN_A_STEP / mean_length, 8), 256))
