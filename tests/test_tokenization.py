"""Tokenizers: trained, made, read or brought along, and what they make of any text."""

import functools
import hashlib
import os
import signal
import threading
import time

import hypothesis
import numpy as np
import pytest
from hypothesis import strategies as st
from tokenizers import (
    AddedToken,
    Tokenizer,
    decoders,
    models,
    normalizers,
    pre_tokenizers,
    trainers,
)

from sklearn_ssl import tokenization
from sklearn_ssl.tokenization import (
    byte_tokenizer,
    character_tokenizer,
    decode,
    encode,
    joins_spaces,
    lower_case,
    piece,
    resolve_tokenizer,
    special_ids,
    special_token,
    tokenizer_from,
    train_tokenizer,
)

TEXTS = [
    "the cat sat on the mat",
    "the dog lay on the rug, and the cat on the dog",
    "naïve cafés, 漢字 and 😀",
    "it rains; it rained; it will rain",
] * 3
LITERALS = ["[MASK]", "[CLS] a [SEP]", "[UNK][MASK]the[MASK]", "<s></s><|endoftext|>", "[PAD]"]
OWN_KINDS = [None, "char", "byte"]
some_texts = hypothesis.settings(max_examples=150, deadline=None, derandomize=True, database=None)

BPE = train_tokenizer(TEXTS, vocabulary_size=300).to_str()
BYTE = byte_tokenizer().to_str()


def words_of_others(special=(), pre_tokenizer=None, unknown="[UNK]", texts=TEXTS):
    """Return a tokenizer of whole words, as a user may have trained it."""
    tokenizer = Tokenizer(models.WordLevel(unk_token=unknown) if unknown else models.WordLevel())
    tokenizer.pre_tokenizer = pre_tokenizer or pre_tokenizers.Whitespace()
    known = [unknown, *special] if unknown else list(special)
    trainer = trainers.WordLevelTrainer(special_tokens=known, show_progress=False)
    tokenizer.train_from_iterator(texts, trainer)
    return tokenizer


def tokens(json, text):
    return [tokenizer_from(json).id_to_token(i) for i in encode(json, [text])[0]]


# Training -------------------------------------------------------------------------------------


def test_training_is_deterministic():
    first = train_tokenizer(TEXTS, 310).to_str()
    assert train_tokenizer(iter(TEXTS), 310).to_str() == first
    assert train_tokenizer(TEXTS, 309).to_str() != first


def test_the_order_of_texts_has_no_say_in_what_is_learned():
    forwards, backwards = (train_tokenizer(texts, 310) for texts in (TEXTS, TEXTS[::-1]))
    assert backwards.get_vocab() == forwards.get_vocab()


def test_the_most_frequent_pair_is_merged_first():
    tokenizer = train_tokenizer(["xy.xy xy.xy ab"], tokenization.SMALLEST_VOCABULARY + 1)
    assert tokenizer.get_vocab_size() == 260
    assert tokenizer.encode("xy ab").tokens == ["Ġ", "xy", "Ġ", "a", "b"]


@pytest.mark.parametrize(("n_texts", "size"), [(25, 512), (200, 800)])
def test_default_of_vocabulary_size(n_texts, size):
    letters = np.random.default_rng(0).choice(list("abcdefghijklmno "), (n_texts, 200))
    texts = ["".join(row) for row in letters]
    assert tokenization.default_vocabulary_size(n_texts * 200) == size
    assert train_tokenizer(texts).get_vocab_size() == size
    assert resolve_tokenizer(None, texts) == train_tokenizer(texts, size).to_str()


def test_a_short_text_fills_no_large_vocabulary():
    tokenizer = train_tokenizer(["ab ab"], 5000)
    assert tokenization.SMALLEST_VOCABULARY < tokenizer.get_vocab_size() < 265


def test_the_smallest_vocabulary_is_the_bytes_and_the_special_tokens():
    tokenizer = train_tokenizer(TEXTS, tokenization.SMALLEST_VOCABULARY)
    assert tokenizer.get_vocab_size() == tokenization.SMALLEST_VOCABULARY == 259
    assert tokenizer.encode("cat").tokens == ["Ġ", "c", "a", "t"]


@pytest.mark.parametrize("letter", ["a", " "])
def test_longer_words_are_cut_for_training_only(letter):
    long = letter * 20_000
    json = train_tokenizer([long], 400).to_str()
    longest = max(map(len, tokenizer_from(json).get_vocab()))
    assert longest <= 1001  # training takes the square of it
    ids, _ = encode(json, [long])
    assert decode(json, ids).removeprefix(" ") == long.removeprefix(" ")
    assert len(ids) < 60


def test_words_of_usual_length_are_not_cut():
    word = "".join(np.random.default_rng(0).choice(list("abc"), 999))
    texts = [f"{word} {word} the cat"]
    tokenizer = train_tokenizer(texts, 5000)
    assert tokenizer.encode(word).tokens == ["Ġ" + word]


# Round trips ----------------------------------------------------------------------------------


@some_texts
@hypothesis.given(text=st.text())
def test_bytes_give_back_any_text(text):
    ids, starts = encode(BYTE, [text])
    assert decode(BYTE, ids) == text
    assert len(ids) == starts[-1] == len(text.encode())


@some_texts
@hypothesis.given(text=st.text())
def test_bpe_gives_back_any_text_up_to_the_space_in_front(text):
    ids, _ = encode(BPE, [text])
    begins_with_space = text.startswith(" ") or not text
    assert decode(BPE, ids) == (text if begins_with_space else " " + text)


@some_texts
@hypothesis.given(text=st.text())
def test_characters_give_back_any_text_that_they_know(text):
    json = character_tokenizer(["some other", text]).to_str()
    ids, _ = encode(json, [text])
    assert decode(json, ids) == text
    assert len(ids) == len(text)


@some_texts
@hypothesis.given(texts=st.lists(st.text(), max_size=8), json=st.sampled_from([BPE, BYTE]))
def test_texts_are_encoded_one_after_the_other(texts, json):
    ids, starts = encode(json, texts)
    assert ids.dtype == np.int32
    assert len(starts) == len(texts) + 1
    tokenizer = tokenizer_from(json)
    for text, start, stop in zip(texts, starts, starts[1:]):
        expected = tokenizer.encode(text, add_special_tokens=False).ids
        assert ids[start:stop].tolist() == expected


def test_more_texts_than_are_encoded_at_once():
    n = 2 * tokenization.TEXTS_AT_ONCE + 5
    ids, starts = encode(BYTE, ["ab" * (i % 3) for i in range(n)])
    np.testing.assert_array_equal(np.diff(starts), [2 * (i % 3) for i in range(n)])
    assert decode(BYTE, ids[starts[n - 2] : starts[n - 1]]) == "ab" * ((n - 2) % 3)


@pytest.mark.parametrize("text", LITERALS)
@pytest.mark.parametrize("kind", OWN_KINDS)
def test_names_of_special_tokens_in_a_text_are_text(kind, text):
    json = resolve_tokenizer(kind, [*TEXTS, *LITERALS])
    ids, _ = encode(json, [text])
    assert not set(ids.tolist()) & set(special_ids(json))
    assert decode(json, ids).removeprefix(" ") == text
    unknown = tokenizer_from(json).token_to_id(tokenization.UNKNOWN)
    assert unknown not in ids.tolist()


# Characters -----------------------------------------------------------------------------------


def test_characters_that_are_unknown():
    json = resolve_tokenizer("char", ["abc", "cd"])
    assert tokens(json, "dxay😀") == ["d", "[UNK]", "a", "[UNK]", "[UNK]"]
    assert decode(json, encode(json, ["dxa"])[0]) == "da"
    assert tokenizer_from(json).get_vocab_size() == 4 + 4


def test_every_character_is_a_token():
    text = "a\r\n\t \u0301e\u200b漢😀"
    json = resolve_tokenizer("char", [text])
    assert tokens(json, text) == list(text)


def test_the_unknown_is_what_a_text_may_have():
    json = resolve_tokenizer("char", ["abc"])
    names = {tokenizer_from(json).id_to_token(i) for i in special_ids(json)}
    assert names == {"[CLS]", "[SEP]", "[MASK]"}


# A tokenizer that the user brings --------------------------------------------------------------


def test_a_users_tokenizer_is_left_as_it_was():
    tokenizer = words_of_others()
    before = tokenizer.to_str()
    json = resolve_tokenizer(tokenizer, TEXTS)
    encode(json, TEXTS)
    assert tokenizer.to_str() == before
    assert tokenizer.encode_special_tokens is False
    assert json != before


def test_special_tokens_that_are_lacking_are_added():
    tokenizer = words_of_others()
    json = resolve_tokenizer(tokenizer, TEXTS)
    size = tokenizer.get_vocab_size()
    own = tokenizer_from(json)
    assert own.get_vocab_size() == size + 3
    assert [own.token_to_id(name) for name in tokenization.OWN] == [size, size + 1, size + 2]
    assert special_ids(json) == (size, size + 1, size + 2)
    assert tokens(json, "the cat flies") == ["the", "cat", "[UNK]"]


@pytest.mark.parametrize(
    ("begin", "end", "mask"),
    [("[CLS]", "[SEP]", "[MASK]"), ("<s>", "</s>", "<mask>"), ("<bos>", "<eos>", "[MASK]")],
)
def test_special_tokens_that_are_there_are_used(begin, end, mask):
    tokenizer = words_of_others([begin, end, mask, "<pad>"])
    json = resolve_tokenizer(tokenizer, TEXTS)
    assert tokenizer_from(json).get_vocab_size() == tokenizer.get_vocab_size()
    assert special_ids(json) == (1, 2, 3, 4)
    roles = (tokenization.BEGIN, tokenization.END, tokenization.MASK)
    assert [special_token(tokenizer_from(json), names) for names in roles] == [1, 2, 3]


def test_one_token_may_begin_and_end_texts():
    tokenizer = words_of_others(["<|endoftext|>"])
    json = resolve_tokenizer(tokenizer, TEXTS)
    own = tokenizer_from(json)
    assert special_token(own, tokenization.BEGIN) == special_token(own, tokenization.END) == 1
    assert special_ids(json) == (1, own.token_to_id("[MASK]"))
    assert own.get_vocab_size() == tokenizer.get_vocab_size() + 1


def test_a_word_with_the_name_of_a_special_token_becomes_one():
    white = pre_tokenizers.WhitespaceSplit()
    tokenizer = words_of_others(pre_tokenizer=white, texts=["a [MASK] b", "a b"])
    mask = tokenizer.token_to_id("[MASK]")
    json = resolve_tokenizer(tokenizer, TEXTS)
    assert tokenizer_from(json).token_to_id("[MASK]") == mask
    assert mask in special_ids(json)
    assert mask not in special_ids(tokenizer.to_str())


def test_an_added_word_with_the_name_of_a_special_token_becomes_one():
    tokenizer = words_of_others()
    tokenizer.add_tokens(["[MASK]"])
    mask = tokenizer.token_to_id("[MASK]")
    json = resolve_tokenizer(tokenizer, TEXTS)
    assert tokenizer_from(json).token_to_id("[MASK]") == mask
    assert mask in special_ids(json)
    assert tokens(json, "the [MASK]") == ["the", "[UNK]", "[UNK]", "[UNK]"]


def test_what_a_users_tokenizer_does_beside_its_words_is_left_out():
    tokenizer = words_of_others(["[CLS]", "[SEP]", "[MASK]"])
    plain = tokens(resolve_tokenizer(tokenizer, TEXTS), TEXTS[0])
    tokenizer.enable_truncation(2)
    tokenizer.enable_padding(length=30)
    json = resolve_tokenizer(tokenizer, TEXTS)
    assert tokens(json, TEXTS[0]) == plain == TEXTS[0].split()
    assert tokenizer.truncation["max_length"] == 2


def test_names_of_special_tokens_are_text_to_a_users_tokenizer():
    tokenizer = words_of_others(["[CLS]", "[SEP]", "[MASK]"], texts=[*TEXTS, "[ MASK ]"])
    assert tokenizer.encode("a [MASK]").tokens == ["[UNK]", "[MASK]"]
    json = resolve_tokenizer(tokenizer, TEXTS)
    assert tokens(json, "a [MASK]") == ["[UNK]", "[", "MASK", "]"]


def test_a_text_that_a_users_tokenizer_cannot_read():
    json = resolve_tokenizer(words_of_others(unknown=None), TEXTS)
    assert tokens(json, "the cat") == ["the", "cat"]
    with pytest.raises(ValueError, match=r"cannot read all texts.*UNK.*use tokenizer=None"):
        encode(json, ["the cat", "the elephant"])


def test_what_is_given_out_may_be_changed():
    tokenizer = tokenizer_from(BPE)
    ids = encode(BPE, TEXTS)[0]
    tokenizer.enable_truncation(1)
    tokenizer.encode_special_tokens = False
    tokenizer.add_special_tokens([AddedToken("cat", special=True)])
    np.testing.assert_array_equal(encode(BPE, TEXTS)[0], ids)
    assert tokenizer_from(BPE).truncation is None
    assert tokenizer_from(BPE).encode_special_tokens is True


def test_resolved_is_what_was_asked_for():
    assert resolve_tokenizer(None, TEXTS, 300) == BPE
    assert resolve_tokenizer("byte", TEXTS, 5000) == BYTE
    assert resolve_tokenizer("char", TEXTS) == character_tokenizer(TEXTS).to_str()


# From files -----------------------------------------------------------------------------------


@pytest.mark.parametrize("as_path", [str, lambda path: path], ids=["str", "Path"])
@pytest.mark.parametrize("whole_folder", [False, True])
def test_path_of_a_file_or_its_folder(as_path, whole_folder, tmp_path):
    tokenizer = words_of_others(["<s>"])
    file = tmp_path / "tokenizer.json"
    tokenizer.save(str(file))
    before = file.read_bytes()
    json = resolve_tokenizer(as_path(tmp_path if whole_folder else file), TEXTS)
    assert json == resolve_tokenizer(tokenizer, TEXTS)
    assert file.read_bytes() == before


def test_a_file_may_have_any_name(tmp_path):
    train_tokenizer(TEXTS, 300).save(str(tmp_path / "words of cats"))
    assert resolve_tokenizer(tmp_path / "words of cats", []) == BPE


@pytest.mark.parametrize("name", ["nothing", "", "bpe", BPE, "a\0b", "x" * 9999])
def test_path_of_nothing(name, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    match = r'is not a file\. Pass None, "word", "char", "byte", the path of a tokenizer\.json or'
    with pytest.raises(ValueError, match=match) as caught:
        resolve_tokenizer(name, TEXTS)
    assert len(str(caught.value)) < 500


def test_path_of_a_folder_without_a_tokenizer(tmp_path):
    with pytest.raises(ValueError, match=r"tokenizer\.json' is not a file"):
        resolve_tokenizer(tmp_path, TEXTS)


@pytest.mark.parametrize(
    "content", [b"", b"a text", b"{}", b"[1, 2]", b'{"version": "1.0"}', b"\xff\xfe\x00"]
)
def test_path_of_a_file_that_is_no_tokenizer(content, tmp_path):
    file = tmp_path / "tokenizer.json"
    file.write_bytes(content)
    with pytest.raises(
        ValueError, match=r"tokenizer\.json' contains no tokenizer of `tokenizers`: "
    ):
        resolve_tokenizer(file, TEXTS)


@pytest.mark.parametrize("thing", [5, True, b"byte", ["char"], Tokenizer, models.BPE(), object()])
def test_what_is_no_tokenizer(thing):
    match = rf'must be None, "word", "char", .* or a fitted .*got {type(thing).__name__}'
    with pytest.raises(TypeError, match=match):
        resolve_tokenizer(thing, TEXTS)


# What is known of a tokenizer -------------------------------------------------------------------


def metaspace():
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace()
    tokenizer.decoder = decoders.Metaspace()
    tokenizer.train_from_iterator(TEXTS, trainers.BpeTrainer(vocab_size=90, show_progress=False))
    return tokenizer


@pytest.mark.parametrize(
    ("tokenizer", "expected"),
    [(None, True), ("char", False), ("byte", False), (metaspace, True), (words_of_others, False)],
)
def test_words_with_the_space_in_front(tokenizer, expected):
    tokenizer = tokenizer() if callable(tokenizer) else tokenizer
    assert joins_spaces(resolve_tokenizer(tokenizer, TEXTS, 300)) is expected


@pytest.mark.parametrize("kind", OWN_KINDS)
def test_own_tokenizers_have_three_special_tokens_in_front(kind):
    json = resolve_tokenizer(kind, TEXTS)
    assert special_ids(json) == (0, 1, 2)
    own = tokenizer_from(json)
    assert [own.id_to_token(i) for i in range(3)] == ["[CLS]", "[SEP]", "[MASK]"]
    assert sorted(own.get_vocab().values()) == list(range(own.get_vocab_size()))


def test_special_tokens_are_left_out_of_decoded_text():
    ids = encode(BPE, ["the cat"])[0].tolist()
    assert decode(BPE, [0, *ids, 2, 1]) == decode(BPE, ids) == " the cat"


def test_first_name_that_is_known():
    tokenizer = tokenizer_from(BPE)
    assert special_token(tokenizer, ("<s>", "[SEP]", "[CLS]")) == 1
    assert special_token(tokenizer, ("<s>",)) is None
    assert special_token(tokenizer, ()) is None


# Single tokens ----------------------------------------------------------------------------------


def pieces_of(tokenizer):
    """Return all tokens as text, by what they are in the vocabulary."""
    json = tokenizer.to_str()
    return {raw: piece(json, i) for raw, i in tokenizer.get_vocab().items()}


def sentencepiece_like(decoder):
    words = ["<unk>", "▁bird", "bird", "▁", "▁▁", "s", "▁▁s", "<0xE2>"]
    tokenizer = Tokenizer(models.Unigram([(word, -1.0) for word in words], unk_id=0))
    tokenizer.decoder = decoder
    return tokenizer


LLAMAS = decoders.Sequence([decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse()])


@pytest.mark.parametrize(
    "tokenizer",
    [
        train_tokenizer(["the thebird bird, \n\n  naïve ☃ 漢字 ..", "bird .. "] * 9, 600),
        byte_tokenizer(),
        character_tokenizer(["a bird \n\t▁Ġ#☃"]),
        sentencepiece_like(decoders.Metaspace()),
        sentencepiece_like(LLAMAS),
    ],
    ids=["bpe", "byte", "char", "metaspace", "llama"],
)
def test_no_two_tokens_are_the_same_text_and_none_is_empty(tokenizer):
    pieces = pieces_of(tokenizer)
    assert len(set(pieces.values())) == len(pieces) == tokenizer.get_vocab_size()
    assert "" not in pieces.values()


def test_what_goes_on_a_word_is_marked_where_the_word_is_a_token_too():
    tokenizer = train_tokenizer(["the thebird bird", "hand bird."] * 9, 300)
    pieces = pieces_of(tokenizer)
    assert pieces["Ġbird"] == "bird"
    assert pieces["bird"] == "##bird"
    assert pieces["."] == "."
    assert pieces["Ġ"] == " "
    pieces = pieces_of(sentencepiece_like(decoders.Metaspace()))
    expected = {"▁bird": "bird", "bird": "##bird", "▁": " ", "▁▁": "  ", "s": "s", "▁▁s": " s"}
    assert pieces.items() >= expected.items()
    vocabulary = {"[UNK]": 0, "bird": 1, "##bird": 2, "s": 3}
    tokenizer = Tokenizer(models.WordPiece(vocabulary, unk_token="[UNK]"))
    tokenizer.decoder = decoders.WordPiece()
    assert pieces_of(tokenizer) == {word: word for word in vocabulary}


def test_bytes_are_spelled_where_they_are_no_character():
    known = set(pieces_of(byte_tokenizer()).values()) - {"[CLS]", "[SEP]", "[MASK]"}
    assert known == {chr(b) for b in range(128)} | {f"\\x{b:x}" for b in range(128, 256)}


def test_a_tokenizer_in_lower_case():
    tokenizer = words_of_others()
    json = lower_case(tokenizer.to_str())
    assert tokens(json, "The CAT") == tokens(tokenizer.to_str(), "the cat")
    tokenizer.normalizer = normalizers.Replace("cat", "mat")
    assert tokens(lower_case(tokenizer.to_str()), "CAT") == ["mat"]


# Ctrl-C -----------------------------------------------------------------------------------------


def seconds_until_interrupted(function, *args):
    """Send what Ctrl-C sends while a function runs; return how long it took to arrive."""
    sent = []

    def send():
        sent.append(time.perf_counter())
        os.kill(os.getpid(), signal.SIGINT)

    # A process that was started in the background may ignore the signal.
    handler = signal.signal(signal.SIGINT, signal.default_int_handler)
    timer = threading.Timer(0.2, send)
    timer.start()
    try:
        with pytest.raises(KeyboardInterrupt):
            function(*args)
    finally:
        signal.signal(signal.SIGINT, handler)
    return time.perf_counter() - sent[0]


def test_what_never_asks_for_signals_is_interrupted_at_once():
    hold = functools.partial(hashlib.pbkdf2_hmac, "sha256", b"", b"", 20_000_000)
    assert seconds_until_interrupted(tokenization._interruptibly, hold) < 2


@pytest.mark.parametrize("kind", ["train", "encode"])
def test_long_work_on_texts_is_interrupted_at_once(kind):
    if kind == "train":
        words = (f"{i:x} {i * i:x} {i**3:x}" for i in range(300_000))
        late = seconds_until_interrupted(train_tokenizer, [" ".join(words)], 50_000)
    else:
        late = seconds_until_interrupted(encode, BYTE, ["x y " * 5_000_000])
    assert late < 2


def test_an_error_of_the_library_arrives():
    with pytest.raises(ZeroDivisionError):
        tokenization._interruptibly(divmod, 1, 0)
    assert tokenization._interruptibly(divmod, 7, 2) == (3, 1)
