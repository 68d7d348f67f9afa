"""From texts to rows of tokens, and what happens to texts that are strange, huge or none."""

import dataclasses
import time
from itertools import pairwise
from pathlib import Path

import hypothesis
import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
import scipy.sparse
import torch
from hypothesis import strategies as st
from tokenizers import Tokenizer, models, pre_tokenizers, trainers

from sklearn_ssl import CausalLMEmbedder, MaskedLMEmbedder, SimCSETransformer
from sklearn_ssl.data.text import TextSpec, TokenRows, check_texts
from sklearn_ssl.tokenization import decode, encode, resolve_tokenizer

ESTIMATORS = [MaskedLMEmbedder, CausalLMEmbedder, SimCSETransformer]
every_estimator = pytest.mark.parametrize("Estimator", ESTIMATORS)

TEXTS = [
    "the cat sat on the mat",
    "the dog lay on the rug, and the cat on the dog, and it rained and rained",
    "it rains",
    "a cat is a cat is a cat",
] * 3
JSON = {kind: resolve_tokenizer(kind, TEXTS, 300) for kind in (None, "byte")}
SMALL = {"width": 16, "depth": 1, "n_heads": 2, "max_length": 16, "vocabulary_size": 300}


def make(Estimator, **params):
    return Estimator(**{**SMALL, "max_epochs": 1, "random_state": 0, **params})


@pytest.fixture(scope="module")
def fitted():
    """An estimator of each class, which no test may change."""
    return {Estimator: make(Estimator).fit(TEXTS) for Estimator in ESTIMATORS}


def spec_of(kind, max_length):
    roles = {"begin": 0, "end": 1, "mask": 2, "special": (0, 1, 2)}
    return TextSpec(JSON[kind], 300, **roles, max_length=max_length)


# Rows of tokens ---------------------------------------------------------------------------------


@st.composite
def specs_and_overlaps(draw):
    kind, max_length = draw(st.sampled_from(list(JSON))), draw(st.integers(4, 12))
    return spec_of(kind, max_length), draw(st.integers(0, max_length - 3))


texts_and_spec = hypothesis.given(
    texts=st.lists(st.one_of(st.text(max_size=40), st.sampled_from(TEXTS)), max_size=6),
    spec_and_overlap=specs_and_overlaps(),
)
some = hypothesis.settings(max_examples=200, deadline=None, derandomize=True, database=None)


def parts(rows, i):
    """Take a row to pieces: its tokens in between, and whether its end is there."""
    row = rows[np.array([i])][0]
    assert row.dtype == np.int32
    assert row[0] == rows.spec.begin
    assert (row >= 0).all()
    ends = row[-1] == rows.spec.end
    return row[1 : len(row) - ends].tolist(), ends


@some
@texts_and_spec
def test_rows_put_together_are_the_texts(texts, spec_and_overlap):
    spec, overlap = spec_and_overlap
    rows = TokenRows(texts, spec, overlap)
    whole = [[] for _ in texts]
    for i in range(len(rows)):
        ids, _ = parts(rows, i)
        n_known = rows.overlaps[i]
        so_far = whole[rows.text[i]]
        assert so_far[len(so_far) - n_known :] == ids[:n_known]
        so_far += ids[n_known:]
    ids, starts = encode(spec.tokenizer, texts)
    assert whole == [ids[a:b].tolist() for a, b in pairwise(starts)]
    for text, its_ids in zip(texts, whole):
        assert decode(spec.tokenizer, its_ids).removeprefix(" ") == text.removeprefix(" ")


@some
@texts_and_spec
def test_rows_begin_and_end_where_they_should(texts, spec_and_overlap):
    spec, overlap = spec_and_overlap
    rows = TokenRows(texts, spec, overlap)
    assert (np.diff(rows.text) >= 0).all()
    np.testing.assert_array_equal(np.unique(rows.text), np.arange(len(texts)))
    last_of_text = np.append(np.diff(rows.text), 1) > 0
    first_of_text = np.insert(np.diff(rows.text), 0, 1) > 0
    for i in range(len(rows)):
        ids, ends = parts(rows, i)
        assert ends == last_of_text[i] == rows.ends_text[i]
        assert rows.n_ids[i] == len(ids)
        assert rows.lengths[i] == 1 + len(ids) + ends <= spec.max_length
        assert rows.overlaps[i] == (0 if first_of_text[i] else overlap)
        assert ends or len(ids) == spec.max_length - 2  # cut no earlier than need be
        assert ids[rows.overlaps[i] :] or not texts[rows.text[i]]  # something new


@some
@texts_and_spec
def test_batch_of_rows_is_filled_up(texts, spec_and_overlap):
    spec, overlap = spec_and_overlap
    rows = TokenRows(["some text", *texts], spec, overlap)
    chosen = np.random.default_rng(0).integers(len(rows), size=7)
    batch = rows[chosen]
    assert batch.shape == (7, rows.lengths[chosen].max())
    for row, i in zip(batch, chosen):
        np.testing.assert_array_equal(row[: rows.lengths[i]], rows[np.array([i])][0])
        assert (row[rows.lengths[i] :] == -1).all()


def test_rows_of_known_texts():
    rows = TokenRows(["abcdefg", "", "ab"], spec_of("byte", 5))
    a = encode(JSON["byte"], ["a"])[0][0]
    expected = [
        [0, a, a + 1, a + 2, -1],
        [0, a + 3, a + 4, a + 5, -1],
        [0, a + 6, 1, -1, -1],
        [0, 1, -1, -1, -1],
        [0, a, a + 1, 1, -1],
    ]
    np.testing.assert_array_equal(rows[np.arange(5)], np.array(expected)[:, :4])
    assert rows.text.tolist() == [0, 0, 0, 1, 2]
    assert rows.lengths.tolist() == [4, 4, 3, 2, 4]
    assert TokenRows(["abc"], spec_of("byte", 5)).lengths.tolist() == [5]


def test_rows_of_a_known_text_that_overlap():
    rows = TokenRows(["abcdefg"], spec_of("byte", 6), overlap=2)
    a = encode(JSON["byte"], ["a"])[0][0]
    expected = [
        [0, a, a + 1, a + 2, a + 3, -1],
        [0, a + 2, a + 3, a + 4, a + 5, -1],
        [0, a + 4, a + 5, a + 6, 1, -1],
    ]
    np.testing.assert_array_equal(rows[np.arange(3)], np.array(expected)[:, :5])
    assert rows.overlaps.tolist() == [0, 2, 2]


def test_some_rows_are_kept():
    texts = ["", "a long text that is cut into pieces", "", "b"]
    rows, every = (TokenRows(texts, spec_of("byte", 8)) for _ in range(2))
    kept = every.n_ids > 0
    assert rows.keep(kept) is rows
    assert len(rows) == kept.sum() == len(every) - 2
    np.testing.assert_array_equal(rows.text, every.text[kept])
    np.testing.assert_array_equal(rows.lengths, every.lengths[kept])
    np.testing.assert_array_equal(rows[np.arange(len(rows))], every[np.flatnonzero(kept)])


def test_no_texts_are_no_rows():
    assert len(TokenRows([], spec_of("byte", 8))) == 0


def test_spec_makes_batches_and_cannot_be_changed():
    spec = spec_of("byte", 8)
    batch = spec.to_tensor(TokenRows(["ab", ""], spec)[np.arange(2)])
    assert batch.dtype == torch.int64
    assert batch.shape == (2, 4)
    assert spec.modality == "text"
    with pytest.raises(dataclasses.FrozenInstanceError):
        spec.max_length = 9


@every_estimator
def test_spec_of_a_fit(Estimator, fitted):
    spec = fitted[Estimator].input_spec_
    rows = TokenRows(TEXTS, spec)
    assert len(rows) > len(TEXTS)
    assert spec.n_samples == len(rows)
    assert spec.n_tokens == rows.lengths.sum()
    assert spec.max_length == 16
    assert (spec.begin, spec.end, spec.mask, spec.special) == (0, 1, 2, (0, 1, 2))
    assert spec.tokenizer == resolve_tokenizer(None, TEXTS, 300)


# Iterables of texts -------------------------------------------------------------------------------


def test_texts_come_back_as_a_list():
    texts = ["a", "", "ü 😀 e\u0301 漢字", "\0\n"]
    for X in (texts, tuple(texts), iter(texts), np.array(texts, object), pd.Series(texts)):
        checked = check_texts(X, "Name")
        assert checked == texts
        assert type(checked) is list
    assert check_texts(texts, "Name") is not texts


def test_any_iterable_of_texts_will_do(tmp_path):
    file = tmp_path / "file"
    file.write_text("one\ntwo\n")
    with file.open() as lines:
        assert check_texts(lines, "Name") == ["one\n", "two\n"]
    assert check_texts({"one": 1, "two": 2}.keys(), "Name") == ["one", "two"]
    assert check_texts(map(str, range(2)), "Name") == ["0", "1"]


FEW = ["a", "ü 😀", ""]
COLUMNS = {
    "array of Arrow": pa.array(FEW),
    "chunks of Arrow": pa.chunked_array([FEW[:1], FEW[1:]]),
    "large strings": pa.array(FEW, pa.large_string()),
    "string views": pa.array(FEW, pa.string_view()),
    "dictionary of Arrow": pa.array(FEW).dictionary_encode(),
    "column of a table": pa.table({"text": FEW})["text"],
    "pandas strings": pd.Series(FEW, dtype="string"),
    "pandas objects": pd.Series(FEW, dtype=object),
    "pandas categories": pd.Series(FEW, dtype="category"),
    "pandas of Arrow": pd.Series(FEW, dtype="string[pyarrow]"),
    "pandas of large strings": pd.Series(FEW, dtype=pd.ArrowDtype(pa.large_string())),
    "pandas index": pd.Index(FEW),
    "polars": pl.Series(FEW),
    "polars categories": pl.Series(FEW, dtype=pl.Categorical),
    "NumPy": np.array(FEW),
    "NumPy objects": np.array(FEW, object),
    "masked without a mask": np.ma.array(FEW),
    "generator": None,
}


@pytest.mark.parametrize("kind", COLUMNS)
def test_columns_of_texts(kind):
    X = (text for text in FEW) if kind == "generator" else COLUMNS[kind]
    texts = check_texts(X, "Name")
    assert texts == FEW
    assert all(isinstance(text, str) for text in texts)


@every_estimator
def test_a_column_of_arrow_and_a_generator_are_fitted_like_a_list(Estimator, fitted):
    Z = fitted[Estimator].transform(TEXTS)
    for wrap in (pa.array, iter):
        np.testing.assert_array_equal(make(Estimator).fit_transform(wrap(TEXTS)), Z)
        np.testing.assert_array_equal(fitted[Estimator].transform(wrap(TEXTS)), Z)


@pytest.mark.parametrize("n", [0, 1, 2])
def test_too_few_texts(n):
    with pytest.raises(ValueError, match=rf"{n} sample\(s\) while a minimum of 3 .* by Name"):
        check_texts(["a"] * n, "Name", min_samples=3)
    assert check_texts(["a"] * 3, "Name", min_samples=3) == ["a"] * 3


# What X may not be --------------------------------------------------------------------------------

EXPECTED = "expects an iterable of str, a list or a column of texts"
MISSING = r"text 1 is missing .*Drop it, or replace it with an empty string"
OTHERS = "for numbers, images and series, fit .* VIMETransformer for tables or SimCLRTransformer"


class Rows:
    """Says how many rows it has, as a torch Dataset does, but has one for every index."""

    def __len__(self):
        return 3

    def __getitem__(self, index):
        return {"text": f"row {index}"}


BAD_X = {
    "a text": ("a text", ValueError, f"{EXPECTED}; got a single str.*pass a list of it"),
    "bytes": (b"a text", ValueError, f"{EXPECTED}; got a single bytes.*pass a list of it"),
    "a text of NumPy": (np.array("a text"), ValueError, r"got a ndarray of shape \(\).*X.ravel"),
    "None": (None, TypeError, f"{EXPECTED}; got NoneType"),
    "5": (5, TypeError, f"{EXPECTED}; got int"),
    "no texts": ([], ValueError, r"0 sample\(s\) while a minimum of 1 is required"),
    "no texts of NumPy": (np.array([], str), ValueError, r"0 sample\(s\)"),
    "an element None": (["a", None], ValueError, rf"{EXPECTED}; {MISSING}"),
    "an element NaN": (["a", np.nan], ValueError, rf"{EXPECTED}; {MISSING}"),
    "an element NA": (["a", pd.NA], ValueError, rf"{EXPECTED}; {MISSING}"),
    "an element NaT": (["a", pd.NaT], ValueError, rf"{EXPECTED}; {MISSING}"),
    "a column with a hole": (pd.Series(["a", None]), ValueError, MISSING),
    "a column of strings with one": (pd.Series(["a", None], dtype="string"), ValueError, MISSING),
    "a column of polars with one": (pl.Series(["a", None]), ValueError, MISSING),
    "an element of bytes": (["a", b"b"], TypeError, r"text 1 is of type bytes.*decode\('utf-8'\)"),
    "numbers": ([1, 2], TypeError, f"{EXPECTED}; text 0 is of type int"),
    "numbers of NumPy": (np.arange(3.0), TypeError, f"{EXPECTED}; text 0 is of type float64"),
    "a number among texts": (["a", "b", 3], TypeError, "text 2 is of type int"),
    "lists of words": ([["a", "b"], ["c"]], TypeError, "text 0 is of type list"),
    "one column": (
        np.array(TEXTS)[:, None],
        ValueError,
        rf"{EXPECTED}; got a ndarray of shape \(12, 1\): use X\[:, 0\] or X.ravel\(\)",
    ),
    "a table": (
        pd.DataFrame({"text": TEXTS}),
        ValueError,
        rf"{EXPECTED}; got a DataFrame of shape \(12, 1\): pass one of its columns",
    ),
    "a table of polars": (
        pl.DataFrame({"text": TEXTS, "number": 1}),
        ValueError,
        rf"{EXPECTED}; got a DataFrame of shape \(12, 2\): pass one of its columns",
    ),
    "a table of numbers": (np.zeros((3, 4)), ValueError, r"got a ndarray of shape \(3, 4\)"),
    "sparse": (scipy.sparse.csr_array(np.eye(3)), ValueError, r"of shape \(3, 3\)\.$"),
    "a table of Arrow": (pa.table({"text": TEXTS}), ValueError, "Table of shape .* of its columns"),
    "a frame not yet read": (
        pl.LazyFrame({"text": TEXTS}),
        TypeError,
        r"polars LazyFrame, which has no rows yet. Pass X.collect\(\)",
    ),
    "images": (
        np.zeros((3, 8, 8), np.uint8),
        ValueError,
        rf"{EXPECTED}; got a ndarray of shape \(3, 8, 8\): {OTHERS}",
    ),
    "numbers for others": (np.arange(3), TypeError, f"text 0 is of type int64. F{OTHERS[1:]}"),
    "rows of numbers": ([np.zeros(3)] * 2, TypeError, f"of type ndarray. F{OTHERS[1:]}"),
    "a tensor": (torch.zeros(3), TypeError, f"text 0 is of type Tensor. F{OTHERS[1:]}"),
    "words": (
        [["a", "b"], ["c"]],
        TypeError,
        r"of type list. Join its words into one text: ' '.jo",
    ),
    "a dictionary": ({0: "a", 1: "b"}, TypeError, r"got a dict. Pass its values: list\(X.values"),
    "rows with fields": (
        [{"text": "a", "label": 1}] * 2,
        TypeError,
        r"of type dict. Pass the field with the text, for example \[row\['text'\] for row in X\]",
    ),
    "rows of a data set": (Rows(), TypeError, "text 0 is of type dict. Pass the field"),
    "a bytearray among texts": ([bytearray(b"a")], TypeError, "of type bytearray. Decode it"),
    "a path": (Path("a"), TypeError, r"got \w*Path. Read the file: path.read_text\(\)"),
    "paths": ([Path("a")], TypeError, r"text 0 is of type \w*Path. Read the file"),
    "a bytearray": (bytearray(b"ab"), ValueError, "got a single bytearray"),
    "a masked text": (np.ma.array(["a", "b"], mask=[False, True]), ValueError, MISSING),
    "a hole of Arrow": (pa.array(["a", None]), ValueError, MISSING),
    "numbers of Arrow": (pa.array([1, 2]), TypeError, f"text 0 is of type int. F{OTHERS[1:]}"),
    "half a pair": (
        ["a", "b\ud800c"],
        ValueError,
        r"Text 1 has half of a surrogate pair.* at 1.*encode\('utf-8', 'ignore'\)",
    ),
    "the other half": (["\udfff"], ValueError, "Text 0 has half of a surrogate pair"),
}
bad_x = pytest.mark.parametrize(("X", "error", "match"), BAD_X.values(), ids=BAD_X.keys())


@bad_x
def test_bad_texts(X, error, match):
    with pytest.raises(error, match=match):
        check_texts(X, "Name")


def assert_refused(estimator, method, X, error, match, **kwargs):
    """Call a method that must fail, and check that the estimator is what it was."""
    attributes = dict(vars(estimator))
    with pytest.raises(error, match=match):
        getattr(estimator, method)(X, **kwargs)
    assert vars(estimator).keys() == attributes.keys()
    for name, value in attributes.items():
        assert vars(estimator)[name] is value, name


@every_estimator
@bad_x
def test_bad_texts_in_a_fit(Estimator, X, error, match):
    if match.startswith(EXPECTED):
        match = f"{Estimator.__name__} {match}"
    for method in ("fit", "partial_fit", "fit_transform"):
        assert_refused(make(Estimator), method, X, error, match)
    if X is not None:  # which means that there are no further texts
        assert_refused(make(Estimator), "fit", TEXTS, error, match, X_unlabeled=X)


@every_estimator
@bad_x
def test_bad_texts_after_a_fit(Estimator, X, error, match, fitted):
    for method in ("transform", "score", "fit", "partial_fit"):
        assert_refused(fitted[Estimator], method, X, error, match)


@bad_x
@pytest.mark.parametrize("method", ["perplexity", "generate"])
def test_bad_texts_for_a_causal_model(X, error, match, method, fitted):
    if method == "perplexity" or not isinstance(X, str):  # which is a prompt
        assert_refused(fitted[CausalLMEmbedder], method, X, error, match)


# Empty texts --------------------------------------------------------------------------------------


@every_estimator
def test_nothing_but_empty_texts(Estimator, fitted):
    match = f"{Estimator.__name__} got empty texts only: nothing to learn"
    for kind in (None, "char", "byte"):
        assert_refused(make(Estimator, tokenizer=kind), "fit", ["", ""], ValueError, match)
    assert_refused(fitted[Estimator], "partial_fit", ["", ""], ValueError, "got 2 text.* with 0")
    Z = fitted[Estimator].transform(["", ""])
    np.testing.assert_array_equal(Z[0], Z[1])
    assert np.isfinite(Z).all()


@pytest.mark.parametrize("Estimator", [MaskedLMEmbedder, SimCSETransformer])
def test_empty_texts_have_no_score(Estimator, fitted):
    match = f"{Estimator.__name__} got empty texts only: nothing to score"
    assert_refused(fitted[Estimator], "score", ["", ""], ValueError, match)
    assert fitted[Estimator].score(["", *TEXTS, ""]) == fitted[Estimator].score(TEXTS)


def test_a_causal_model_scores_the_end_of_an_empty_text(fitted):
    estimator = fitted[CausalLMEmbedder]
    with torch.no_grad():
        state = estimator.encoder_.states(torch.tensor([[0]]))[0, 0]
        expected = torch.log_softmax(estimator.encoder_.embedding.weight @ state, 0)[1]
    assert estimator.score(["", ""]) == pytest.approx(expected.item(), rel=1e-5)


@every_estimator
def test_empty_texts_teach_nothing(Estimator, fitted):
    with_empty_ones = ["", *TEXTS[:5], "", *TEXTS[5:], ""]
    estimator = make(Estimator).fit(with_empty_ones)
    expected = fitted[Estimator].transform(TEXTS)
    np.testing.assert_array_equal(estimator.transform(TEXTS), expected)


@every_estimator
def test_an_empty_text_among_others(Estimator, fitted):
    estimator = fitted[Estimator]
    Z = estimator.transform(["", *TEXTS, ""])
    np.testing.assert_array_equal(Z[1:-1], estimator.transform(TEXTS))
    with torch.no_grad():
        expected = estimator.encoder_(torch.tensor([[0, 1]])).numpy()  # begins, and ends
    np.testing.assert_allclose(Z[[0, -1]], np.repeat(expected, 2, axis=0), rtol=1e-4, atol=1e-5)


@every_estimator
def test_white_space_is_text(Estimator):
    texts = [" ", "\n\n", "\t \t", "\u3000"]
    Z = make(Estimator).fit_transform(texts)
    assert np.isfinite(Z).all()
    assert len(np.unique(Z, axis=0)) == 4


@every_estimator
@pytest.mark.parametrize("X", [["a text"], ["", "a text"]], ids=["one text", "an empty one, too"])
def test_a_single_piece_is_too_little(Estimator, X):
    match = rf"needs at least two pieces of text .* up to 16 tokens .*; got {len(X)} text.* with 1"
    assert_refused(make(Estimator), "fit", X, ValueError, match)


@every_estimator
def test_one_text_of_several_pieces_is_enough(Estimator):
    estimator = make(Estimator).fit([" ".join(TEXTS)])
    assert estimator.input_spec_.n_samples > 2
    assert np.isfinite(estimator.transform(["the cat"])).all()


# Any language -------------------------------------------------------------------------------------

STRANGE = [
    "naïve café, e\u0301tude",
    "漢字と仮名",
    "😀👩‍👩‍👧 🏳️‍🌈",
    "हिन्दी और తెలుగు",
    "\u202eright to left\u202c שלום",
    "\0\x07\x1b[0m",
    "a\r\nb\tc",
    "\ufeffbom \ufffd \U0010ffff",
    "z̶̢͈̎a̴͔͐l̸͜͠g̵͇̈́o̷",
]


@every_estimator
@pytest.mark.parametrize("kind", [None, "char", "byte"])
def test_texts_of_any_language(Estimator, kind):
    estimator = make(Estimator, tokenizer=kind).fit(STRANGE)
    Z = estimator.transform(STRANGE)
    assert np.isfinite(Z).all()
    assert len(np.unique(Z, axis=0)) == len(STRANGE)
    assert np.isfinite(estimator.score(STRANGE))


@every_estimator
def test_characters_that_were_not_in_the_fit(Estimator, fitted):
    Z = fitted[Estimator].transform(STRANGE)
    assert np.isfinite(Z).all()
    assert len(np.unique(Z, axis=0)) == len(STRANGE)  # a BPE spells them
    estimator = make(Estimator, tokenizer="char").fit(TEXTS)
    Z = estimator.transform(["漢字", "😀é", "漢", "cat"])
    np.testing.assert_array_equal(Z[0], Z[1])  # two unknown ones each
    assert len(np.unique(Z, axis=0)) == 3


# Literally "[MASK]" -------------------------------------------------------------------------------

LITERALS = ["a [MASK] b", "[CLS] a b", "a b [SEP]", "[UNK]", "a [MASK][MASK] b"]


def tokenizer_of_words():
    tokenizer = Tokenizer(models.WordLevel(unk_token="[UNK]"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    special = ["[UNK]", "[CLS]", "[SEP]", "[MASK]"]
    trainer = trainers.WordLevelTrainer(special_tokens=special, show_progress=False)
    tokenizer.train_from_iterator([*TEXTS, *LITERALS], trainer)
    return tokenizer


@every_estimator
@pytest.mark.parametrize("kind", [None, "char", "byte", tokenizer_of_words])
def test_names_of_special_tokens_are_text(Estimator, kind):
    tokenizer = kind() if callable(kind) else kind
    texts = [*TEXTS, *LITERALS]
    estimator = make(Estimator, tokenizer=tokenizer).fit(texts)
    spec = estimator.input_spec_
    rows = TokenRows(LITERALS, spec)
    for i in range(len(rows)):
        ids, _ = parts(rows, i)
        assert not set(ids) & set(spec.special)
    masked = TokenRows(["a b"], spec)[np.array([0])]
    ids = torch.tensor(np.insert(masked, 2, spec.mask, axis=1), dtype=torch.int64)
    with torch.no_grad():
        with_the_special_token = estimator.encoder_(ids).numpy()
    Z = estimator.transform(["a [MASK] b"])
    assert not np.allclose(Z, with_the_special_token, atol=1e-2)
    assert np.isfinite(estimator.score(LITERALS))


# Many, long and equal texts -----------------------------------------------------------------------


@every_estimator
def test_a_vocabulary_that_the_texts_cannot_fill(Estimator):
    estimator = make(Estimator, vocabulary_size=5000).fit(TEXTS)
    size = estimator.input_spec_.vocabulary_size
    assert 259 < size < 400
    assert len(estimator.encoder_.embedding.weight) == size == estimator.tokenizer_.get_vocab_size()
    assert np.isfinite(estimator.transform(TEXTS)).all()


@every_estimator
@pytest.mark.parametrize("early_stopping", [False, True])
def test_equal_texts(Estimator, early_stopping):
    texts = ["the same text"] * 12
    estimator = make(Estimator, early_stopping=early_stopping).fit(texts)
    Z = estimator.transform([*texts, "another text"])
    assert np.isfinite(Z).all()
    assert len(np.unique(Z, axis=0)) == 2
    assert np.isfinite(estimator.score(texts))


@every_estimator
def test_very_many_short_texts(Estimator, fitted):
    rng = np.random.default_rng(0)
    kinds = ["", *TEXTS[:4], "a", "b c"]
    drawn = rng.integers(len(kinds), size=20_000)
    estimator = fitted[Estimator]
    Z = estimator.transform([kinds[i] for i in drawn])
    np.testing.assert_array_equal(Z, estimator.transform(kinds)[drawn])


def mean_of_windows(estimator, text):
    """Embed a long text by loops: windows between a begin and, in the last one, an end."""
    spec = estimator.input_spec_
    ids = encode(spec.tokenizer, [text])[0].tolist()
    size = spec.max_length - 2
    windows = [ids[i : i + size] for i in range(0, len(ids), size)]
    *whole, last = [[spec.begin, *window] for window in windows]
    last.append(spec.end)
    with torch.no_grad():
        embeddings = [estimator.encoder_(batch) for batch in torch.tensor(whole).split(256)]
        embeddings.append(estimator.encoder_(torch.tensor([last])))
    embeddings = torch.cat(embeddings).double().numpy()
    lengths = [*map(len, whole), len(last)]
    return np.average(embeddings, axis=0, weights=lengths)


WORDS = ["caterpillar", "grandmother", "extraordinary", "photosynthesis"]


@every_estimator
@pytest.mark.parametrize("between", [" ", ""], ids=["words", "one word"])
def test_a_text_of_a_megabyte(Estimator, between):
    words = np.random.default_rng(0).choice(WORDS, 100_000).tolist()
    text = between.join(words)[:1_000_000]
    assert len(text) == 1_000_000
    start = time.process_time()
    estimator = make(Estimator, max_length=64, batch_size=256).fit([text])
    Z = estimator.transform([text, "a caterpillar"])
    assert time.process_time() - start < 60
    assert Z.shape == (2, 16)
    np.testing.assert_allclose(Z[0], mean_of_windows(estimator, text), rtol=1e-4, atol=1e-4)


def test_a_spec_is_printed_without_its_tokenizer():
    spec = MaskedLMEmbedder(max_epochs=0, random_state=0).fit(TEXTS).input_spec_
    assert "vocabulary_size=" in repr(spec)
    assert len(repr(spec)) < 300
