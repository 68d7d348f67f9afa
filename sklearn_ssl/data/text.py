"""From users' texts to batches of token ids."""

import numbers
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import ClassVar

import numpy as np
import torch
from sklearn.feature_extraction.text import TfidfVectorizer

from sklearn_ssl.data.containers import opened
from sklearn_ssl.data.spec import Spec
from sklearn_ssl.tokenization import encode

OF_NUMBERS = (
    "for numbers, images and series, use estimators of arrays, such as VIMETransformer for tables "
    "or SimCLRTransformer for images"
)


@dataclass(frozen=True)
class TextSpec(Spec):
    """What an estimator knows about its training texts. A batch holds ids, ``(n, length)``.

    Attributes
    ----------
    tokenizer : str
        In the JSON format of `tokenizers`.
    vocabulary_size : int
    begin, end, mask : int or None
        Ids of the tokens that begin and end a text and stand for a masked token.
    special : tuple of int
        Ids of all tokens that no text contains.
    max_length : int
        Maximum number of tokens in a row of a batch, including those for the beginning and the end.
    n_samples, n_tokens : int
        Number of rows into which the texts were cut in ``fit``, and of their tokens.
    unknown : int or None
        Id of the token for all that the tokenizer does not know.
    token_counts : ndarray of shape (vocabulary_size,) or None
        How often each token occurs in them.
    pretrained : str or None
        The configuration of a transformers model, as JSON.
    pooling : str
        How states are pooled if the parameter is not set.
    """

    tokenizer: str = field(repr=False)  # a page of JSON
    vocabulary_size: int
    begin: int
    end: int
    mask: int | None
    special: tuple
    max_length: int
    n_samples: int = field(default=0, kw_only=True)
    n_tokens: int = 0
    unknown: int | None = None
    token_counts: np.ndarray | None = field(default=None, repr=False, compare=False)
    pretrained: str | None = field(default=None, repr=False)
    pooling: str = "mean"

    modality: ClassVar[str] = "text"
    raw_title: ClassVar[str] = "TF-IDF"

    @property
    def meaningless(self):
        """Ids of tokens that say nothing about a text."""
        return self.special if self.unknown is None else (*self.special, self.unknown)

    def to_tensor(self, rows, device="cpu"):
        """Turn rows of ids into an int64 batch on the device."""
        return torch.from_numpy(rows).to(device, torch.int64)

    def raw_features(self, estimator, pretrain, others):
        texts = [text for block in pretrain for text in block]
        model = TfidfVectorizer().fit(texts)
        return [model.transform(block) for block in (texts, *others)]


class TokenRows:
    """Texts as rows of token ids, of at most `max_length` tokens each; longer texts are cut.

    Each row begins with the token for a beginning; the token for an end comes where a text ends.

    Parameters
    ----------
    texts : list of str
    spec : TextSpec
    overlap : int, default=0
        Number of tokens that a row shares with the previous row of the same text.

    Attributes
    ----------
    text : ndarray of shape (n_rows,)
        The text that each row is cut from.
    lengths : ndarray of shape (n_rows,)
        Number of tokens, special ones included.
    overlaps : ndarray of shape (n_rows,)
        How many of them, after the first one, are also in the previous row.
    """

    def __init__(self, texts, spec, overlap=0):
        self.spec = spec
        self.ids, starts = encode(spec.tokenizer, texts)
        stride = spec.max_length - 2 - overlap
        n_ids = np.diff(starts)
        n_rows = np.maximum(-(-(n_ids - overlap) // stride), 1)  # an empty text has a row, too
        self.text = np.repeat(np.arange(len(n_ids)), n_rows)
        place = np.arange(len(self.text)) - np.repeat(np.cumsum(n_rows) - n_rows, n_rows)
        self.starts = starts[self.text] + place * stride
        stops = np.minimum(self.starts + stride + overlap, starts[self.text + 1])
        self.ends_text = stops == starts[self.text + 1]
        self.overlaps = np.where(place > 0, overlap, 0)
        self.n_ids = stops - self.starts
        self.lengths = 1 + self.n_ids + self.ends_text

    def __len__(self):
        return len(self.starts)

    def keep(self, rows):
        """Keep only the given rows, an array of indices or booleans."""
        for name in ("text", "starts", "ends_text", "overlaps", "n_ids", "lengths"):
            setattr(self, name, getattr(self, name)[rows])
        return self

    def __getitem__(self, rows):
        """Return the ids of rows: ``(n, length of the longest)`` of int32, padded with -1."""
        lengths = self.lengths[rows]
        batch = np.full((len(lengths), lengths.max()), -1, np.int32)
        batch[:, 0] = self.spec.begin
        places = np.arange(batch.shape[1] - 1)
        real = places < self.n_ids[rows, None]
        batch[:, 1:][real] = self.ids[(self.starts[rows, None] + places)[real]]
        ending = np.flatnonzero(self.ends_text[rows])
        batch[ending, lengths[ending] - 1] = self.spec.end
        return batch


def check_texts(X, name, *, min_samples=1):
    """Return texts as a list of str.

    Parameters
    ----------
    X : iterable of str
    name : str
        Of the estimator, for messages.
    min_samples : int, default=1
        Fewer texts are an error.

    Raises
    ------
    ValueError
        If X is a single string, has two dimensions or too few texts, or if one of them is missing.
    TypeError
        If X is not an iterable, or holds anything other than str.
    """
    expected = f"{name} expects an iterable of str, a list or a column of texts"
    if isinstance(X, str | bytes | bytearray):
        raise ValueError(
            f"{expected}; got a single {type(X).__name__}. For one text, pass a list of it."
        )
    if isinstance(X, Mapping):
        raise TypeError(f"{expected}; got a {type(X).__name__}. Pass its values: list(X.values()).")
    X = opened(X)
    if len(getattr(X, "shape", (0,))) != 1:
        raise ValueError(f"{expected}; got a {type(X).__name__} of shape {X.shape}{_hint(X)}.")
    try:
        # Otherwise Python would read forever if X[i] exists for every i.
        texts = list(X) if hasattr(X, "__iter__") else [X[i] for i in range(len(X))]
    except TypeError as error:
        raise TypeError(f"{expected}; got {type(X).__name__}.{_hint_of(X)}") from error
    for i, text in enumerate(texts):
        if not isinstance(text, str):
            raise _not_a_text(text, i, expected)
        if not text.isascii():
            _check_unicode(text, i)
    if len(texts) < min_samples:
        raise ValueError(
            f"Found array with {len(texts)} sample(s) while a minimum of {min_samples} is required "
            f"by {name}."
        )
    return texts


def _hint(X):
    """Return what to do with texts with another number of dimensions."""
    if hasattr(X, "columns"):
        return ": pass one of its columns"
    if isinstance(X, np.ndarray) and X.dtype.kind in "biufc":
        return f": {OF_NUMBERS}"
    if isinstance(X, np.ndarray):
        return ": use X[:, 0] or X.ravel()"
    return ""


def _hint_of(text):
    """Return what to do with something that is not a text."""
    if isinstance(text, bytes | bytearray):
        return " Decode it: text.decode('utf-8')."
    if isinstance(text, Path):
        return " Read the file: path.read_text()."
    if isinstance(text, list | tuple) and all(isinstance(word, str) for word in text):
        return " Join its words into one text: ' '.join(words)."
    if isinstance(text, Mapping):
        return " Pass the field with the text, for example [row['text'] for row in X]."
    if isinstance(text, numbers.Number) or hasattr(text, "shape"):
        return f" {OF_NUMBERS[0].upper()}{OF_NUMBERS[1:]}."
    return ""


def _not_a_text(text, i, expected):
    is_nan = isinstance(text, numbers.Real) and text != text
    if text is None or text is np.ma.masked or is_nan or _is_na(text):
        return ValueError(
            f"{expected}; text {i} is missing ({text}). Drop it, or replace it with an empty "
            "string."
        )
    return TypeError(f"{expected}; text {i} is of type {type(text).__name__}.{_hint_of(text)}")


def _is_na(value):
    return type(value).__name__ in ("NAType", "NaTType")  # of pandas, which may not be installed


def _check_unicode(text, i):
    try:
        text.encode()
    except UnicodeEncodeError as error:
        raise ValueError(
            f"Text {i} has half of a surrogate pair, which is not a character, at {error.start}. "
            "Read the file with the right encoding, or drop it: text.encode('utf-8', "
            "'ignore').decode('utf-8')."
        ) from error
