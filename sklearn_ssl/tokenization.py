"""Tokenizers, trained on the user's texts or supplied, and texts as arrays of token ids."""

import math
import os
import re
import threading
from concurrent.futures import Future
from contextlib import contextmanager
from functools import lru_cache
from itertools import islice, takewhile
from pathlib import Path

import numpy as np
from tokenizers import (
    AddedToken,
    Regex,
    Tokenizer,
    decoders,
    models,
    normalizers,
    pre_tokenizers,
    trainers,
)

# Tokens that begin a text, end it, and stand for a masked token. These are the names in other
# tokenizers; a tokenizer without any of them gets the first one.
BEGIN = ("[CLS]", "<s>", "<bos>", "<|begin_of_text|>", "<|endoftext|>")
END = ("[SEP]", "</s>", "<eos>", "<|end_of_text|>", "<|endoftext|>")
MASK = ("[MASK]", "<mask>")
UNKNOWN = "[UNK]"
OWN = (BEGIN[0], END[0], MASK[0])
# The 256 bytes, as the visible characters that stand for them in a vocabulary.
BYTES = tuple(sorted(pre_tokenizers.ByteLevel.alphabet()))
SMALLEST_VOCABULARY = len(OWN) + len(BYTES)
SPACES = "Ġ▁"  # the first character of tokens that begin with a space
_NAMES_OF_SPACES = {"Ġ": b"ByteLevel", "▁": "▁".encode()}  # in the state of a decoder
TEXTS_AT_ONCE = 1000
# Words: letters and digits with apostrophes inside, single punctuation marks, and single Chinese
# and Japanese characters, because no spaces tell those words apart.
_SINGLE = r"\p{Han}\p{Hiragana}\p{Katakana}"
_OTHERS = rf"[\w&&[^{_SINGLE}]]+"
WORD = rf"[{_SINGLE}]|{_OTHERS}(?:['\u2019]{_OTHERS})*|[^\w\s]"
WORDS = 20_000  # the most frequent ones, by default
# Training time grows with the square of the length of a word: longer words are cut.
LONGEST_WORD = re.compile(r"(\S{1000}|\s{1000})")


def train_tokenizer(texts, vocabulary_size=None):
    """Train a byte-level BPE like GPT-2's: frequent words are tokens, rare ones are split.

    It reads any text: anything that is not in its vocabulary is split into bytes.

    Parameters
    ----------
    texts : list of str
    vocabulary_size : int, default=None
        Maximum number of tokens, including special ones and the 256 bytes; a short text needs
        fewer. With None it depends on the length of the text, see ``default_vocabulary_size``.

    Returns
    -------
    tokenizer : tokenizers.Tokenizer

    Examples
    --------
    >>> from sklearn_ssl.tokenization import train_tokenizer
    >>> tokenizer = train_tokenizer(["the cat and the hat"] * 9, vocabulary_size=264)
    >>> tokenizer.encode("the mat").tokens
    ['Ġthe', 'Ġ', 'm', 'at']
    """
    size = vocabulary_size
    if size is None:
        size = default_vocabulary_size(sum(map(len, texts)))
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=True)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=size,
        special_tokens=list(OWN),
        initial_alphabet=list(BYTES),
        show_progress=False,
    )
    return _trained(tokenizer, trainer, texts)


def train_word_tokenizer(texts, vocabulary_size=None):
    """Find the most frequent words of texts; the tokenizer reads all others as unknown.

    Words are letters and digits, with apostrophes inside; punctuation marks count as words, too,
    and so does every Chinese or Japanese character.

    Parameters
    ----------
    texts : list of str
    vocabulary_size : int, default=None
        Maximum number of words, including the special tokens. None means 20,000.

    Returns
    -------
    tokenizer : tokenizers.Tokenizer

    Examples
    --------
    >>> from sklearn_ssl.tokenization import train_word_tokenizer
    >>> tokenizer = train_word_tokenizer(["Don't stop!", "Don't!"])
    >>> tokenizer.encode("Don't go!").tokens
    ["Don't", '[UNK]', '!']
    """
    special = [*OWN, UNKNOWN]
    tokenizer = Tokenizer(models.WordLevel(unk_token=UNKNOWN))
    tokenizer.pre_tokenizer = pre_tokenizers.Split(Regex(WORD), "removed", invert=True)
    tokenizer.decoder = decoders.WordPiece()
    trainer = trainers.WordLevelTrainer(
        vocab_size=vocabulary_size or WORDS, special_tokens=special, show_progress=False
    )
    return _trained(tokenizer, trainer, texts)


def _trained(tokenizer, trainer, texts):
    with _stopping() as stopped:
        texts = takewhile(lambda text: not stopped.is_set(), texts)
        pieces = (piece for text in texts for piece in LONGEST_WORD.split(text))
        _interruptibly(tokenizer.train_from_iterator, pieces, trainer)
    return tokenizer


def default_vocabulary_size(n_characters):
    """Return how many tokens a vocabulary has: four times the root of the text's length, to 8,192.

    Words of a short text are too rare to have tokens, and states, of their own.
    """
    return int(min(max(4 * math.sqrt(n_characters), 512), 8192))


@contextmanager
def _stopping():
    """Yield an event that is set when the block ends."""
    event = threading.Event()
    try:
        yield event
    finally:
        event.set()


def _interruptibly(function, *args, **options):
    """Call a function of the library so that Ctrl-C works at once.

    The library computes for a long time without checking for signals. So it runs in a thread, and
    the main thread waits; after an interrupt, the thread finishes alone, and its result is ignored.
    """
    if threading.current_thread() is not threading.main_thread():
        return function(*args, **options)  # signals are for the main thread only
    outcome = Future()

    def call():
        try:
            outcome.set_result(function(*args, **options))
        except BaseException as error:
            outcome.set_exception(error)

    thread = threading.Thread(target=call, daemon=True)
    thread.start()
    while thread.is_alive():
        thread.join(0.1)  # signals delivered to another thread are seen between two waits
    return outcome.result()


def byte_tokenizer():
    """Return the tokenizer whose tokens are the 256 bytes of UTF-8.

    Examples
    --------
    >>> from sklearn_ssl.tokenization import byte_tokenizer
    >>> len(byte_tokenizer().encode("naïve").ids)
    6
    """
    vocabulary = {token: i for i, token in enumerate((*OWN, *BYTES))}
    tokenizer = Tokenizer(models.BPE(vocabulary, []))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.add_special_tokens(list(OWN))
    return tokenizer


def character_tokenizer(texts):
    """Return the tokenizer whose tokens are the characters of texts, and one for unknown ones.

    Examples
    --------
    >>> from sklearn_ssl.tokenization import character_tokenizer
    >>> character_tokenizer(["abc"]).encode("cab?").tokens
    ['c', 'a', 'b', '[UNK]']
    """
    characters = sorted(set().union(*texts))
    vocabulary = {token: i for i, token in enumerate((*OWN, UNKNOWN, *characters))}
    tokenizer = Tokenizer(models.WordLevel(vocabulary, unk_token=UNKNOWN))
    tokenizer.pre_tokenizer = pre_tokenizers.Split(Regex(r"[\s\S]"), "isolated")
    tokenizer.decoder = decoders.Fuse()
    tokenizer.add_special_tokens([*OWN, UNKNOWN])
    return tokenizer


LOWERCASE = normalizers.Lowercase()
FOUND_IN_TEXTS = {
    None: train_tokenizer,
    "word": train_word_tokenizer,
    "char": lambda texts, vocabulary_size: character_tokenizer(texts),
    "byte": lambda texts, vocabulary_size: byte_tokenizer(),
}


def resolve_tokenizer(tokenizer, texts, vocabulary_size=None, *, lowercase=False):
    """Return the tokenizer for a parameter, as JSON text in the format of `tokenizers`.

    Parameters
    ----------
    tokenizer : None, str, path or tokenizers.Tokenizer
        None trains a byte-level BPE, "word" uses the most frequent words, "char" and "byte" single
        characters or bytes. A path points to a file ``tokenizer.json``, or to a folder that
        contains one.
    texts : list of str
    vocabulary_size : int or None
    lowercase : bool, default=False
        Whether a tokenizer that is not passed, but found in the texts, reads them in lower case.

    Returns
    -------
    json : str
        Includes tokens for the beginning and the end of a text and for masks.

    Raises
    ------
    ValueError
        If there is no such file, or it contains no tokenizer.
    TypeError
        If `tokenizer` is something else.
    """
    if tokenizer is None or (isinstance(tokenizer, str) and tokenizer in FOUND_IN_TEXTS):
        if lowercase:
            texts = [LOWERCASE.normalize_str(text) for text in texts]
        json = FOUND_IN_TEXTS[tokenizer](texts, vocabulary_size).to_str()
        return lower_case(json) if lowercase else json
    if isinstance(tokenizer, str | Path):
        tokenizer = _read(Path(os.path.expanduser(tokenizer)))
    elif isinstance(tokenizer, Tokenizer):
        tokenizer = Tokenizer.from_str(tokenizer.to_str())  # do not change the user's object
    else:
        raise TypeError(
            'tokenizer must be None, "word", "char", "byte", the path of a tokenizer.json or a '
            f"fitted tokenizers.Tokenizer; got {type(tokenizer).__name__}."
        )
    known = tokenizer.get_added_tokens_decoder()
    for names in (BEGIN, END, MASK):
        token = special_token(tokenizer, names)
        if token is None or token not in known or not known[token].special:
            name = names[0] if token is None else tokenizer.id_to_token(token)
            tokenizer.add_special_tokens([AddedToken(name, special=True)])
    return tokenizer.to_str()


def _read(path):
    path = path / "tokenizer.json" if os.path.isdir(path) else path
    if not os.path.isfile(path):  # unlike Path's, never raises, whatever the name
        raise ValueError(
            f'tokenizer={str(path)[:200]!r} is not a file. Pass None, "word", "char", "byte", the '
            "path of a tokenizer.json or of a folder that contains one, or a fitted "
            "tokenizers.Tokenizer."
        )
    try:
        return Tokenizer.from_file(str(path))
    except Exception as error:  # the library raises Exception itself
        raise ValueError(f"{str(path)!r} contains no tokenizer of `tokenizers`: {error}") from error


def lower_case(json):
    """Return a tokenizer that reads texts in lower case."""
    tokenizer = Tokenizer.from_str(json)
    known = [tokenizer.normalizer] if tokenizer.normalizer is not None else []
    tokenizer.normalizer = normalizers.Sequence([LOWERCASE, *known])
    return tokenizer.to_str()


def special_token(tokenizer, names):
    """Return the id of the first of these names that a tokenizer has, or None."""
    ids = map(tokenizer.token_to_id, names)
    return next((i for i in ids if i is not None), None)


def tokenizer_from(json):
    """Return a new tokenizer from JSON, which reads whole texts, and everything in them as text.

    Names of special tokens in a text do not become special tokens; nothing is padded or cut off.
    """
    tokenizer = Tokenizer.from_str(json)
    tokenizer.encode_special_tokens = True
    tokenizer.no_padding()
    tokenizer.no_truncation()
    return tokenizer


_shared = lru_cache(maxsize=8)(tokenizer_from)  # private: users may change the ones they get


def special_ids(json):
    """Return the ids of special tokens that no text contains: all except the unknown token."""
    tokenizer = _shared(json)
    unknown = getattr(tokenizer.model, "unk_token", None)
    tokens = tokenizer.get_added_tokens_decoder().items()
    return tuple(sorted(i for i, t in tokens if t.special and t.content != unknown))


def unknown_id(json):
    """Return the id of the unknown token, or None if there is none."""
    tokenizer = _shared(json)
    token = getattr(tokenizer.model, "unk_token", None)
    return None if token is None else tokenizer.token_to_id(token)


def joins_spaces(json):
    """Return whether the tokens of words include the space before them, as in GPT-2."""
    return any(token[0] in SPACES and len(token) > 1 for token in _shared(json).get_vocab())


def encode(json, texts):
    """Return the ids of texts, one after the other, and where each text begins.

    Parameters
    ----------
    json : str
        A tokenizer.
    texts : list of str

    Returns
    -------
    ids : ndarray of shape (n_ids,) of int32
        Without special tokens.
    starts : ndarray of shape (n + 1,) of int64
        Text i has the ids from ``starts[i]`` to ``starts[i + 1]``.

    Raises
    ------
    ValueError
        If the tokenizer cannot read a text.
    """
    tokenizer, texts = _shared(json), iter(texts)
    blocks, lengths = [np.empty(0, np.int32)], [0]
    while block := list(islice(texts, TEXTS_AT_ONCE)):
        try:
            encoded = _interruptibly(tokenizer.encode_batch_fast, block, add_special_tokens=False)
        except Exception as error:  # the library raises Exception itself
            raise ValueError(
                f"The tokenizer cannot read all texts ({error}). Give it a token for unknown text, "
                "or use tokenizer=None, which reads any text."
            ) from error
        blocks.append(np.fromiter((i for text in encoded for i in text.ids), np.int32))
        lengths += map(len, encoded)
    return np.concatenate(blocks), np.cumsum(lengths)


def encode_behind(json, text):
    """Return the ids of a text that directly follows a word, as a list.

    :func:`encode` treats a text as a beginning: many tokenizers put a space before it.
    """
    word = "1" if text[:1].isalpha() else "a"
    alone, whole = (encode(json, [part])[0].tolist() for part in (word, word + text))
    if whole[: len(alone)] != alone:  # a token spans the word and the text
        return encode(json, [text])[0].tolist()
    return whole[len(alone) :]


def decode(json, ids, behind=()):
    """Return the text of ids; special tokens are left out.

    The ids that they come `behind` decide whether it begins with a space.
    """
    tokenizer = _shared(json)
    before = tokenizer.decode([*behind], skip_special_tokens=True)
    return tokenizer.decode([*behind, *ids], skip_special_tokens=True)[len(before) :]


def piece(json, token):
    """Return one token as text, different for each token of a tokenizer.

    The space before a word is left out. A token that continues a word is marked with ``##``, like
    BERT's pieces, if the same letters also have a token with a space.
    """
    tokenizer = _shared(json)
    raw = tokenizer.id_to_token(token)
    decoder = b"" if tokenizer.decoder is None else tokenizer.decoder.__getstate__()
    space = next((mark for mark in SPACES if _NAMES_OF_SPACES[mark] in decoder), None)
    if space is None or token in tokenizer.get_added_tokens_decoder():
        return raw
    text = _text_of_bytes(raw) if space == "Ġ" else raw.replace(space, " ")
    if text.isspace():
        return text
    if raw[0] == space:
        return text[1:]
    return text if tokenizer.token_to_id(space + raw) is None else f"##{text}"


def _text_of_bytes(raw):
    """Return the text of a token of bytes; bytes that are not a character are escaped."""
    return bytes(map(_byte_values().get, raw)).decode(errors="backslashreplace")


@lru_cache(maxsize=1)
def _byte_values():
    """Return which byte each visible character stands for: GPT-2's table."""
    visible = [*range(33, 127), *range(161, 173), *range(174, 256)]
    others = [byte for byte in range(256) if byte not in visible]
    return {chr(byte): byte for byte in visible} | {
        chr(256 + i): byte for i, byte in enumerate(others)
    }


__all__ = [
    "byte_tokenizer",
    "character_tokenizer",
    "resolve_tokenizer",
    "train_tokenizer",
    "train_word_tokenizer",
]
