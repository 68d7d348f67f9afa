"""Speed of the estimators of texts, against transformers and sentence-transformers."""

import numpy as np
import torch

from benchmarks._timing import compare, interleaved, timed
from benchmarks.datasets import load_brown, load_minilm_folder, load_sentiment_sentences
from sklearn_ssl import CausalLMEmbedder, MaskedLMEmbedder
from sklearn_ssl.data.text import TokenRows
from sklearn_ssl.masking import corrupt_tokens
from sklearn_ssl.tokenization import train_tokenizer

BATCH_SIZE, MAX_LENGTH, DROPOUT = 32, 128, 0.1
WIDTH, DEPTH = 128, 4


def language_models(size):
    """Tokens a second of the language models, against those of transformers.

    Ours is the whole call of `fit` for one epoch of pieces of the Brown corpus, of 128 tokens and
    with a tokenizer that was trained before; it includes reading the text. The other is an epoch of
    a plain loop over the same rows as tensors, with fused AdamW and clipped gradients. Width,
    depth, 4 heads, vocabulary of 4,096, batch of 32 rows and dropout are the same, and the masks
    are ours; their attention drops nothing, as ours, which lets it be as fast as it can. *auto* is
    our `precision="auto"`. Rows are tokens here.
    """
    texts = load_brown()[0][: size.brown_documents]
    tokenizer = train_tokenizer(texts, 4096)
    for Estimator, name, make in (
        (CausalLMEmbedder, "GPT2LMHeadModel", gpt2),
        (MaskedLMEmbedder, "BertForMaskedLM", bert),
    ):
        ours = {
            precision: Estimator(
                tokenizer=tokenizer,
                width=WIDTH,
                depth=DEPTH,
                max_length=MAX_LENGTH,
                dropout=DROPOUT,
                batch_size=BATCH_SIZE,
                max_epochs=1,
                precision=precision,
                random_state=0,
            )
            for precision in ("float32", "auto")
        }
        spec = Estimator(tokenizer=tokenizer)._read(texts, None, None, reset=True)[1]
        model = make(spec.vocabulary_size)
        epochs = {
            dtype: transformers_epoch(model, texts, spec, dtype)
            for dtype in (torch.float32, torch.bfloat16)
        }
        measures = [
            *(timed(fit.fit, texts) for fit in ours.values()),
            *map(timed, epochs.values()),
        ]
        plain, auto, theirs, theirs_auto = interleaved(measures, size.method_rounds)
        what = f"{Estimator.__name__}, {WIDTH} wide, {DEPTH} deep"
        options = {"n_rows": spec.n_tokens}
        yield compare(f"{what}, float32", plain, theirs, name, at_least=1.0, **options)
        yield compare(f"{what}, auto", auto, theirs, name, at_least=1.8, **options)
        yield compare(
            f"{what}, auto", auto, theirs_auto, f"{name} in bfloat16", at_least=1.1, **options
        )


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


def transformers_epoch(model, texts, spec, dtype):
    """Return a function that trains a model of transformers for an epoch, by a plain loop."""
    rows = TokenRows(texts, spec)
    ids = spec.to_tensor(rows[np.arange(len(rows))])
    causal = not model.__class__.__name__.startswith("Bert")
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3, fused=True)
    generator = torch.Generator().manual_seed(0)
    words = {"mask": spec.mask, "special": spec.special, "vocabulary_size": spec.vocabulary_size}

    def epoch():
        model.train()
        for some in torch.randperm(len(ids), generator=generator).split(BATCH_SIZE):
            batch = ids[some]
            if causal:
                seen, labels = batch, batch.masked_fill(batch < 0, -100)
            else:
                seen, chosen = corrupt_tokens(batch, 0.15, generator, **words)
                labels = batch.masked_fill(~chosen, -100)
            real = batch >= 0
            mask = None if real.all() else real.long()
            with torch.autocast("cpu", dtype=dtype, enabled=dtype is torch.bfloat16):
                loss = model(seen.clamp(min=0), attention_mask=mask, labels=labels).loss
            loss.backward()
            torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            optimizer.step()
            optimizer.zero_grad()

    return epoch


def sentences(size):
    """Sentences a second that a pretrained MiniLM embeds, against sentence-transformers.

    `transform` of an estimator with `pretrained` and `max_epochs=0`, and `encode` of
    SentenceTransformer at its defaults, of the same model in float32, for the UCI sentences of
    sentiment.
    """
    from sentence_transformers import SentenceTransformer

    texts = load_sentiment_sentences()[0][: size.sentences]
    folder = load_minilm_folder()
    ours = MaskedLMEmbedder(pretrained=folder, max_length=256, max_epochs=0).fit(texts[:2])
    theirs = SentenceTransformer(str(folder), device="cpu")
    Z = ours.transform(texts)
    Z /= np.linalg.norm(Z, axis=1, keepdims=True)
    np.testing.assert_allclose(Z, theirs.encode(texts), atol=1e-5)
    times = interleaved([timed(ours.transform, texts), timed(theirs.encode, texts)], size.n_rounds)
    what = f"`transform` with a pretrained MiniLM, {len(texts):,} sentences"
    yield compare(what, *times, "sentence-transformers", n_rows=len(texts), at_least=1.0)
