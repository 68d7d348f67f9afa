"""Language modelling on the Brown corpus: held-out bits a byte, against counted n-grams.

Every tenth document is held out; the end of each text is predicted too. A model of ours is trained
for some minutes on the others.

    python -m benchmarks.brown --minutes 3 10    # measure, and print the table
"""

import argparse
import math
import time
from functools import partial
from itertools import pairwise

import numpy as np

from benchmarks._ngrams import NGram
from benchmarks.datasets import load_brown
from sklearn_ssl import CausalLMEmbedder
from sklearn_ssl.tokenization import encode, train_tokenizer

VOCABULARY_SIZE = 4096
N_BYTES_ORDERS, N_TOKENS_ORDERS = (1, 2, 4, 6, 8), (1, 2, 3)


def split():
    """Return the documents to learn from, and those that are held out."""
    texts, _ = load_brown()
    return [t for i, t in enumerate(texts) if i % 10], texts[::10]


def as_bytes(texts):
    return [np.frombuffer(text.encode(), np.uint8).astype(np.int64) for text in texts]


def as_tokens(tokenizer, texts):
    ids, starts = encode(tokenizer.to_str(), texts)
    return [ids[i:j].astype(np.int64) for i, j in pairwise(starts)]


def bits_a_byte(nats, texts):
    return nats / math.log(2) / sum(len(text.encode()) for text in texts)


def counted(train, held_out, tokenizer):
    """Yield the names and the bits a byte of n-grams of bytes and of tokens."""
    for orders, name, size, read in (
        (N_BYTES_ORDERS, "bytes", 256, as_bytes),
        (N_TOKENS_ORDERS, "tokens", tokenizer.get_vocab_size(), partial(as_tokens, tokenizer)),
    ):
        documents, unseen = read(train), read(held_out)
        for order in orders:
            nats, _ = NGram(order, size).fit(documents).nats(unseen)
            kind = {1: "unigram", 2: "bigram"}.get(order, f"{order}-gram")
            yield f"{kind} of {name}, Kneser-Ney" if order > 1 else f"{kind} of {name}", nats


def rehearse(ssl, texts):
    """Return the seconds that an epoch takes, from a part of one."""
    start = time.perf_counter()
    ssl.set_params(max_epochs=1).fit(texts[::10])
    return 10 * (time.perf_counter() - start)


def trained(ssl, texts, minutes):
    """Fit as many whole epochs as there is time for."""
    n_epochs = max(int(60 * minutes / rehearse(ssl, texts)), 1)
    start = time.perf_counter()
    ssl.set_params(max_epochs=n_epochs).fit(texts)
    return n_epochs, time.perf_counter() - start


def main():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--minutes", nargs="*", type=float, default=[3, 10])
    options = parser.parse_args()
    train, held_out = split()
    tokenizer = train_tokenizer(train, VOCABULARY_SIZE)
    print("| model | bits a byte | trained for |\n|---|---|---|")
    for name, nats in counted(train, held_out, tokenizer):
        print(f"| {name} | {bits_a_byte(nats, held_out):.3f} | - |", flush=True)
    n_tokens = sum(map(len, as_tokens(tokenizer, held_out))) + len(held_out)
    for minutes in options.minutes:
        ssl = CausalLMEmbedder(tokenizer=tokenizer, max_length=256, random_state=0)
        n_epochs, seconds = trained(ssl, train, minutes)
        bits = bits_a_byte(-ssl.score(held_out) * n_tokens, held_out)
        print(f"| CausalLMEmbedder | {bits:.3f} | {n_epochs} epochs, {seconds:.0f} s |", flush=True)


if __name__ == "__main__":
    main()
