"""From users' texts to batches of token ids."""

import numbers
import warnings
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import ClassVar

import numpy as np
import torch
from sklearn.feature_extraction.text import TfidfVectorizer

from sklearn_ssl import tokenization
from sklearn_ssl.augment import TextAugmentation
from sklearn_ssl.data.containers import opened
from sklearn_ssl.data.readable import FILE_NAME
from sklearn_ssl.data.spec import Spec
from sklearn_ssl.encoders.bag import BagEncoder
from sklearn_ssl.encoders.text import TextEncoder

OF_NUMBERS = (
    "for numbers, images and series, fit an estimator of arrays, such as VIMETransformer for "
    "tables or SimCLRTransformer for images"
)
OF_IMAGES = "For image files, fit an estimator of images, such as SimCLRTransformer."
ROLES = ("begin", "end", "mask")
# For estimators without parameters of the tokenizer:
LENGTH_OF_WORDS = 256  # tokens in a row
# Of vectors of words: with ten labels per class and three epochs, 0.68 of long film reviews were
# right, and 0.57 at the learning rate of networks.
LR_SCALE = 10.0
# In a batch of `transform`; more tokens at once, or other lengths, would waste padding.
TOKENS_AT_ONCE = 512
PADDED_TO = 8  # lengths are multiples of this
LONGEST_EXAMPLE = 32  # tokens


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
    raw_dtype: ClassVar = torch.int64
    raw_shape: ClassVar = ("length",)
    plural: ClassVar[str] = "texts"
    own_encoder: ClassVar[str] = 'encoder="transformer", '
    raw_title: ClassVar[str] = "TF-IDF"
    rows_to_see: ClassVar[int] = 300_000
    default_augmentation: ClassVar = TextAugmentation

    @property
    def meaningless(self):
        """Ids of tokens that say nothing about a text."""
        return self.special if self.unknown is None else (*self.special, self.unknown)

    def frequency(self):
        """Return the share of each token in the training texts; None if there are none yet."""
        if self.token_counts is None:
            return None
        return torch.from_numpy(self.token_counts / self.token_counts.sum()).float()

    # Reading texts ----------------------------------------------------------------------------

    @classmethod
    def recognizes(cls, X):
        return _holds_texts(X)

    @classmethod
    def read(cls, estimator, blocks):
        name = type(estimator).__name__
        texts = _texts_of(blocks, name)
        if not any(texts):
            raise ValueError(f"{name} got empty texts only: nothing to learn.")
        # Text estimators have parameters that say how texts become tokens.
        read_vocabulary = getattr(estimator, "_read_vocabulary", cls.of_words)
        spec = read_vocabulary(texts)
        rows = TokenRows(texts, spec)
        _warn_of_unknown_tokens(rows.ids, spec.unknown, name)
        spec._check_training(rows, texts, name)
        for attribute in ("n_features_in_", "feature_names_in_"):  # of an earlier fit on a table
            vars(estimator).pop(attribute, None)
        return rows, replace(
            spec,
            n_samples=len(rows),
            n_tokens=int(rows.lengths.sum()),
            token_counts=np.bincount(rows.ids, minlength=spec.vocabulary_size),
        )

    @classmethod
    def of_words(cls, texts):
        """Return a spec whose tokens are the most frequent words of texts, in lower case."""
        json = tokenization.resolve_tokenizer("word", texts, lowercase=True)
        return cls.of_tokenizer(json, max_length=LENGTH_OF_WORDS)

    @classmethod
    def of_tokenizer(cls, json, names=None, **options):
        """Return a spec that knows the tokens, but no rows yet.

        Parameters
        ----------
        json : str
            A tokenizer.
        names : dict of str to tuple of str, default=None
            Names that the special tokens of each role may have.
        **options
            Other attributes of the spec.
        """
        if names is None:
            names = zip(ROLES, (tokenization.BEGIN, tokenization.END, tokenization.MASK))
        names, tokenizer = dict(names), tokenization.tokenizer_from(json)
        ids = {role: tokenization.special_token(tokenizer, names.get(role, ())) for role in ROLES}
        return cls(
            tokenizer=json,
            vocabulary_size=max(tokenizer.get_vocab().values()) + 1,
            special=tokenization.special_ids(json),
            unknown=tokenization.unknown_id(json),
            **ids,
            **options,
        )

    def read_more(self, estimator, blocks, *, reset):
        name = type(estimator).__name__
        texts = _texts_of(blocks, name)
        rows = TokenRows(texts, self)
        self._check_training(rows, texts, name)
        return rows

    def _check_training(self, rows, texts, name):
        """Drop empty rows; raise an error if hardly any are left."""
        rows.keep(rows.n_ids > 0)
        if len(rows) < 2:
            raise ValueError(
                f"{name} needs at least two pieces of text to train on, of up to {self.max_length} "
                f"tokens each; got {len(texts)} text(s) with {len(rows)}."
            )

    def check(self, estimator, X, min_samples=1):
        """Return X as a list of str."""
        return check_texts(X, type(estimator).__name__, min_samples=min_samples)

    def pieces(self, estimator, X, overlap=0):
        """Return all pieces of texts, those of empty texts included, as TokenRows."""
        return TokenRows(self.check(estimator, X), self, overlap)

    def rows_of(self, estimator, X):
        rows = self.pieces(estimator, X)
        return rows, rows.text, rows.lengths / np.bincount(rows.text, rows.lengths)[rows.text]

    def rows_to_score(self, estimator, X):
        rows = self.pieces(estimator, X)
        rows.keep(rows.n_ids > 0)
        if len(rows) < estimator._fewest_to_score:
            name = type(estimator).__name__
            if len(rows) == 0:
                raise ValueError(f"{name} got empty texts only: nothing to score.")
            raise ValueError(
                f"{name} compares texts with each other: score needs at least two texts that are "
                "not empty, got 1."
            )
        return rows

    def strong_augmentation(self):  # a short crop may leave out what the text says
        return TextAugmentation(crop=(1, 1), deletion=0.2)

    # To batches -------------------------------------------------------------------------------

    @property
    def shape(self):
        """What an encoder is built for: ``(vocabulary_size, max_length)``."""
        return self.vocabulary_size, self.max_length

    def batches_to_embed(self, rows, encoder, *, full=False):
        padded = np.minimum(-(-rows.lengths // PADDED_TO) * PADDED_TO, self.max_length)
        for length in np.unique(padded):
            alike = np.flatnonzero(padded == length)
            n_rows = -(-getattr(encoder, "tokens_at_once", TOKENS_AT_ONCE) // length)
            for start in range(0, len(alike), n_rows):
                indices = alike[start : start + n_rows]
                ids = rows[indices]
                n = n_rows if full else len(ids)  # many tokens even so
                batch = np.full((n, length), -1, np.int32)
                batch[: len(ids), : ids.shape[1]] = ids
                batch[len(ids) :, 0] = self.begin
                yield indices, batch

    def blank_batch(self, n):
        return torch.full((n, self.max_length), self.begin)

    def to_tensor(self, rows, device="cpu"):
        """Turn rows of ids into an int64 batch on the device."""
        return torch.from_numpy(rows).to(device, torch.int64)

    def batch_of(self, rows):
        return rows

    def example_rows(self, estimator, n):
        rng = np.random.default_rng(0)
        length = min(self.max_length, LONGEST_EXAMPLE)
        rows = rng.integers(self.vocabulary_size, size=(n, length))
        rows[:, 0] = self.begin
        rows[np.arange(length) >= rng.integers(2, length + 1, size=(n, 1))] = -1
        return rows

    @property
    def raw_facts(self):
        names = ("tokenizer", "begin", "end", "max_length")
        return {name: getattr(self, name) for name in names}

    def raw_features(self, estimator, pretrain, others):
        texts = [text for block in pretrain for text in block]
        model = TfidfVectorizer().fit(texts)
        return [model.transform(block) for block in (texts, *others)]

    # Networks ---------------------------------------------------------------------------------

    def default_encoder(self, shape):
        return BagEncoder(
            self.vocabulary_size,
            ignored=self.meaningless,
            frequency=self.frequency(),
            lr_scale=LR_SCALE,
        )

    def named_encoder(self, name, shape):
        if name == "transformer":
            return TextEncoder(*shape, depth=2)
        return super().named_encoder(name, shape)


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
        self.ids, starts = tokenization.encode(spec.tokenizer, texts)
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


def _warn_of_unknown_tokens(ids, unknown, name):
    share = 0 if unknown is None or len(ids) == 0 else np.mean(ids == unknown)
    if share > 0.5:
        warnings.warn(
            f"{share:.0%} of the tokens of the texts are unknown to the tokenizer of {name}, which "
            "cannot tell them apart. Does it belong to the model and suit the language? "
            "tokenizer=None reads any text.",
            UserWarning,
            stacklevel=2,
        )


def _holds_texts(X):
    """Return whether X is a list or a column whose first entry is a text, and not all are paths."""
    X = opened(X)
    is_column = len(getattr(X, "shape", ())) == 1 and hasattr(X, "__getitem__")
    if not isinstance(X, list | tuple) and not is_column:
        return False
    first = next((text for text in X if not _is_missing(text)), None)
    if not isinstance(first, str | bytes):
        return False
    return not all(isinstance(text, str) and FILE_NAME.fullmatch(text) for text in X)


def _texts_of(blocks, name):
    return [text for block in blocks for text in check_texts(block, name)]


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
        return f" Decode it: text.decode('utf-8'). {OF_IMAGES}"
    if isinstance(text, Path):
        return f" Read the file: path.read_text(). {OF_IMAGES}"
    if isinstance(text, list | tuple) and all(isinstance(word, str) for word in text):
        return " Join its words into one text: ' '.join(words)."
    if isinstance(text, Mapping):
        return " Pass the field with the text, for example [row['text'] for row in X]."
    if isinstance(text, numbers.Number) or hasattr(text, "shape"):
        return f" {OF_NUMBERS[0].upper()}{OF_NUMBERS[1:]}."
    return ""


def _not_a_text(text, i, expected):
    if _is_missing(text):
        return ValueError(
            f"{expected}; text {i} is missing ({text}). Drop it, or replace it with an empty "
            "string."
        )
    return TypeError(f"{expected}; text {i} is of type {type(text).__name__}.{_hint_of(text)}")


def _is_missing(text):
    if text is None or text is np.ma.masked or (isinstance(text, numbers.Real) and text != text):
        return True
    return type(text).__name__ in ("NAType", "NaTType")  # of pandas, which may not be installed


def _check_unicode(text, i):
    try:
        text.encode()
    except UnicodeEncodeError as error:
        raise ValueError(
            f"Text {i} has half of a surrogate pair, which is not a character, at {error.start}. "
            "Read the file with the right encoding, or drop it: text.encode('utf-8', "
            "'ignore').decode('utf-8')."
        ) from error
