"""Base class of text estimators: tokens, pieces of texts, embeddings of texts of any length."""

import warnings
from collections.abc import Iterator
from dataclasses import replace
from numbers import Integral
from pathlib import Path

import numpy as np
import torch
from sklearn.utils.validation import check_is_fitted

from sklearn_ssl import defaults, tokenization
from sklearn_ssl._sklearn_compat import Interval
from sklearn_ssl.base.estimator import BasePretrainer
from sklearn_ssl.base.parameters import param
from sklearn_ssl.data.text import TextSpec, TokenRows, check_texts
from sklearn_ssl.training.runtime import torch_settings

ROLES = ("begin", "end", "mask")
LONGEST = 2**17  # tokens in a row
PADDED_TO = 8  # lengths of batches in `transform` are multiples of this


class BaseTextPretrainer(BasePretrainer):
    """Base class of estimators of texts, whatever their network.

    Parameters
    ----------
    tokenizer : None, "word", "char", "byte", path or tokenizers.Tokenizer, default=None
        How texts become tokens. None trains a byte-level BPE on the texts of ``fit``; it can then
        read any text. "word" uses the most frequent words, numbers and punctuation marks; other
        words are unknown, and Chinese and Japanese characters are words of their own. "char" and
        "byte" use single characters or bytes; a path points to a ``tokenizer.json``, or to a folder
        that contains one.
    vocabulary_size : int, default=None
        Maximum number of tokens that are found in the texts: of a BPE, including the 256 bytes and
        the special tokens, or of words. None means 20,000 words, or a BPE of four times the square
        root of the number of characters, from 512 to 8,192.
    lowercase : bool, default=False
        Whether a tokenizer that is found in the texts reads them in lower case. It has no effect on
        one that is passed or comes from a file.
    max_length : int, default=128
        Maximum number of tokens that are read at once. Longer texts are cut: in ``fit`` each piece
        is a row of its own, and ``transform`` averages the representations of a text's pieces,
        weighted by their lengths.

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
    lowercase: bool = param(False, "boolean")
    max_length: int = param(128, Interval(Integral, 4, LONGEST, closed="both"))

    _modalities = ("text",)
    _tokens_at_once = 512  # in a batch of `transform`: more would waste padding

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
        return rows, replace(
            spec,
            n_samples=len(rows),
            n_tokens=int(rows.lengths.sum()),
            token_counts=np.bincount(rows.ids, minlength=spec.vocabulary_size),
        )

    def _warn_of_unknown_tokens(self, ids, spec):
        share = 0 if spec.unknown is None or len(ids) == 0 else np.mean(ids == spec.unknown)
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
        if not any(texts):
            raise ValueError(f"{type(self).__name__} got empty texts only: nothing to learn.")
        json = tokenization.resolve_tokenizer(
            self.tokenizer, texts, self.vocabulary_size, lowercase=self.lowercase
        )
        names = dict(zip(ROLES, (tokenization.BEGIN, tokenization.END, tokenization.MASK)))
        return TextSpec(**vocabulary(json, names), max_length=self.max_length)

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
                n_rows = -(-self._tokens_at_once // length)
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


def vocabulary(json, names):
    """Return the part of a TextSpec about a tokenizer, given names for its special tokens."""
    tokenizer = tokenization.tokenizer_from(json)
    ids = {role: tokenization.special_token(tokenizer, names.get(role, ())) for role in ROLES}
    size = max(tokenizer.get_vocab().values()) + 1
    return {
        "tokenizer": json,
        "vocabulary_size": size,
        "special": tokenization.special_ids(json),
        "unknown": tokenization.unknown_id(json),
        **ids,
    }
